/* SPDX-License-Identifier: MIT */
/* Queues of whole messages: codes, contents, references, order. */
#include "queue/test_help.h"

#include <stdint.h>
#include <stdlib.h>

static motet_bytes text(const char *s) { return (motet_bytes){s, strlen(s)}; }

static void put_text(motet_queue *q, const char *s) { CHECK_EQ(motet_queue_put_bytes(q, text(s), MOTET_NOWAIT), 0); }

/* The next message is this text. */
static void check_next(motet_queue *q, const char *s)
{
    motet_message *m = NULL;
    CHECK_EQ(motet_queue_take(q, &m, MOTET_NOWAIT), 0);
    CHECK_EQ(motet_message_size(m), strlen(s));
    CHECK_MEM(motet_message_data(m), s, strlen(s));
    CHECK_PTR(motet_message_unref(m), NULL);
}

TEST(misuse)
{
    motet_queue *q = queue_of(0, MOTET_FIFO, 0);
    motet_buffer *b = motet_buffer_new();
    motet_message *m = NULL;
    int item = 0;
    struct iovec hole = {.iov_base = NULL, .iov_len = 1};
    put_text(q, "stays");
    CHECK_EQ(motet_queue_put(q, &item, MOTET_NOWAIT), -EINVAL);
    CHECK_EQ(motet_queue_get(q, &item, MOTET_NOWAIT), -EINVAL);
    CHECK_EQ(motet_queue_put_many(q, &item, 1, MOTET_NOWAIT), -EINVAL);
    CHECK_EQ(motet_queue_put_many(q, &item, 0, MOTET_NOWAIT), -EINVAL);
    CHECK_EQ(motet_queue_get_many(q, &item, 1, MOTET_NOWAIT), -EINVAL);
    CHECK_EQ(motet_queue_put_bytes(NULL, text("x"), MOTET_NOWAIT), -EINVAL);
    CHECK_EQ(motet_queue_put_bytes(q, (motet_bytes){NULL, 1}, MOTET_NOWAIT), -EINVAL);
    CHECK_EQ(motet_queue_put_parts(NULL, &hole, 0, MOTET_NOWAIT), -EINVAL);
    CHECK_EQ(motet_queue_put_parts(q, NULL, 1, MOTET_NOWAIT), -EINVAL);
    CHECK_EQ(motet_queue_put_parts(q, &hole, 1, MOTET_NOWAIT), -EINVAL);
    CHECK_EQ(motet_queue_get_bytes(NULL, b, MOTET_NOWAIT), -EINVAL);
    CHECK_EQ(motet_queue_get_bytes(q, NULL, MOTET_NOWAIT), -EINVAL);
    CHECK_EQ(motet_queue_take(NULL, &m, MOTET_NOWAIT), -EINVAL);
    CHECK_EQ(motet_queue_take(q, NULL, MOTET_NOWAIT), -EINVAL);
    CHECK_PTR(m, NULL);
    CHECK_PTR(motet_message_ref(NULL), NULL);
    CHECK_PTR(motet_message_unref(NULL), NULL);
    CHECK_PTR(motet_message_data(NULL), NULL);
    CHECK_EQ(motet_message_size(NULL), 0);
    CHECK_EQ(motet_queue_size(q), 1);
    motet_buffer_free(b);
    motet_queue_close(q); /* frees what is in it */
}

TEST(too_large_is_refused_unread)
{
    motet_queue *q = queue_of(0, MOTET_FIFO, 0);
    struct iovec halves[2] = {{.iov_base = q, .iov_len = MOTET_MESSAGE_SIZE_MAX}, {.iov_base = q, .iov_len = 1}};
    CHECK_EQ(motet_queue_put_bytes(q, (motet_bytes){q, MOTET_MESSAGE_SIZE_MAX + 1}, MOTET_NOWAIT), -EMSGSIZE);
    CHECK_EQ(motet_queue_put_bytes(q, (motet_bytes){q, SIZE_MAX}, MOTET_NOWAIT), -EMSGSIZE);
    CHECK_EQ(motet_queue_put_parts(q, halves, 2, MOTET_NOWAIT), -EMSGSIZE);
    halves[0].iov_len = halves[1].iov_len = SIZE_MAX / 2 + 1; /* the sum overflows to 0 */
    CHECK_EQ(motet_queue_put_parts(q, halves, 2, MOTET_NOWAIT), -EMSGSIZE);
    CHECK(motet_queue_empty(q));
    motet_queue_close(q);
}

TEST(parts_are_gathered)
{
    motet_queue *q = queue_of(0, MOTET_FIFO, 0);
    char a[] = "one, ", b[] = "two";
    struct iovec parts[4] = {
        {.iov_base = a, .iov_len = 5}, {.iov_base = NULL}, {.iov_base = b, .iov_len = 3}, {.iov_base = b}};
    CHECK_EQ(motet_queue_put_parts(q, parts, 4, MOTET_NOWAIT), 0);
    CHECK_EQ(motet_queue_put_parts(q, NULL, 0, MOTET_NOWAIT), 0);
    CHECK_EQ(motet_queue_put_bytes(q, (motet_bytes){NULL, 0}, MOTET_NOWAIT), 0);
    a[0] = 'X';
    check_next(q, "one, two");
    check_next(q, "");
    check_next(q, "");
    motet_queue_close(q);
}

TEST(get_replaces_what_the_buffer_holds)
{
    enum { BIG = 1 << 20 };
    char *big = malloc(BIG);
    memset(big, 'b', BIG);
    motet_queue *q = queue_of(0, MOTET_FIFO, 0);
    motet_buffer *b = motet_buffer_new();
    put_text(q, "first");
    CHECK_EQ(motet_queue_put_bytes(q, (motet_bytes){big, BIG}, MOTET_NOWAIT), 0);
    put_text(q, "");
    CHECK_EQ(motet_buffer_append(b, "old", 3), 0);
    CHECK_EQ(motet_queue_get_bytes(q, b, MOTET_NOWAIT), 0);
    CHECK_STR(motet_buffer_data(b), "first");
    CHECK_EQ(motet_queue_get_bytes(q, b, MOTET_NOWAIT), 0);
    CHECK_EQ(motet_buffer_size(b), BIG);
    CHECK_MEM(motet_buffer_data(b), big, BIG);
    CHECK_EQ(motet_queue_get_bytes(q, b, MOTET_NOWAIT), 0);
    CHECK_EQ(motet_buffer_size(b), 0);
    CHECK_EQ(motet_buffer_append(b, "new", 3), 0);
    CHECK_EQ(motet_queue_get_bytes(q, b, MOTET_NOWAIT), -ETIMEDOUT);
    CHECK_STR(motet_buffer_data(b), "new");
    for (int i = 0; i < 3; i++)
        CHECK_EQ(motet_queue_task_done(q), 0);
    CHECK_EQ(motet_queue_task_done(q), -EINVAL);
    motet_buffer_free(b);
    motet_queue_close(q);
    free(big);
}

TEST(a_taken_message_outlives_the_queue)
{
    motet_queue *q = queue_of(0, MOTET_LIFO, 0);
    motet_message *m = NULL;
    put_text(q, "message");
    CHECK_EQ(motet_queue_take(q, &m, MOTET_NOWAIT), 0);
    motet_queue_close(q);
    CHECK_EQ((uintptr_t)motet_message_data(m) % 16, 0);
    CHECK_PTR(motet_message_ref(m), m);
    motet_message_unref(m);
    CHECK_MEM(motet_message_data(m), "message", 7);
    motet_message_unref(m);
}

static int shorter_first(const void *a, const void *b)
{
    const motet_bytes *x = a, *y = b;
    return (x->size > y->size) - (x->size < y->size);
}

TEST(orders)
{
    motet_queue *q = queue_of(0, MOTET_LIFO, 0);
    put_text(q, "1");
    put_text(q, "2");
    check_next(q, "2");
    check_next(q, "1");
    motet_queue_close(q);
    motet_queue_options opt = {.order = MOTET_PRIORITY, .compare = shorter_first};
    CHECK_EQ(motet_queue_open(&q, 0, &opt), 0);
    put_text(q, "ccc");
    put_text(q, "a");
    put_text(q, "bb");
    put_text(q, "z");
    put_text(q, "dddd");
    check_next(q, "a");
    check_next(q, "z"); /* equal, and later */
    check_next(q, "bb");
    check_next(q, "ccc");
    motet_queue_close(q);
}

TEST(capacity_and_shutdown)
{
    motet_queue *q = queue_of(0, MOTET_FIFO, 1);
    motet_message *m = NULL;
    motet_buffer *b = motet_buffer_new();
    put_text(q, "only");
    CHECK_EQ(motet_queue_put_bytes(q, text("more"), MOTET_NOWAIT), -ETIMEDOUT);
    CHECK_EQ(motet_queue_put_bytes(q, text("more"), motet_after(1)), -ETIMEDOUT);
    CHECK_EQ(motet_queue_shutdown(q), 0);
    CHECK_EQ(motet_queue_put_bytes(q, text("more"), MOTET_NOWAIT), -EPIPE);
    CHECK_EQ(motet_queue_put_bytes(q, text("more"), MOTET_FOREVER), -EPIPE);
    check_next(q, "only");
    CHECK_EQ(motet_queue_take(q, &m, MOTET_FOREVER), -EPIPE);
    CHECK_EQ(motet_queue_get_bytes(q, b, MOTET_FOREVER), -EPIPE);
    motet_buffer_free(b);
    motet_queue_close(q);
}

/* ---- threads --------------------------------------------------------------------------------------- */

enum { PRODUCERS = 2, CONSUMERS = 2, EACH = 2000, LONGEST = 3000 };

/* Message k has k % LONGEST bytes more than its number, all of one value. */
static int produce(void *q)
{
    static char bytes[LONGEST];
    for (uint32_t k = 0; k < EACH; k++) {
        struct iovec parts[2] = {{.iov_base = &k, .iov_len = sizeof k},
                                 {.iov_base = bytes, .iov_len = k * 7 % LONGEST}};
        CHECK_EQ(motet_queue_put_parts(q, parts, 2, MOTET_FOREVER), 0);
    }
    return 0;
}

static uint32_t number_in(motet_bytes m)
{
    uint32_t k;
    CHECK_GE(m.size, sizeof k);
    memcpy(&k, m.data, sizeof k);
    CHECK_EQ(m.size, sizeof k + k * 7 % LONGEST);
    return k;
}

static int consume(void *q)
{
    motet_buffer *b = motet_buffer_new();
    uint32_t seed = 12345, sum = 0;
    for (int e = 0;;) {
        motet_message *m = NULL;
        if (dice(&seed) & 1) {
            e = motet_queue_take(q, &m, MOTET_FOREVER);
            if (e == 0)
                sum += number_in((motet_bytes){motet_message_data(m), motet_message_size(m)});
            motet_message_unref(m);
        } else {
            e = motet_queue_get_bytes(q, b, MOTET_FOREVER);
            if (e == 0)
                sum += number_in((motet_bytes){motet_buffer_data(b), motet_buffer_size(b)});
        }
        if (e < 0) {
            CHECK_EQ(e, -EPIPE);
            break;
        }
        if (dice(&seed) % 16 == 0) { /* small again, so that it must be enlarged with others waiting */
            motet_buffer_free(b);
            b = motet_buffer_new();
        }
    }
    motet_buffer_free(b);
    return (int)sum;
}

TEST(every_message_arrives_once_and_whole)
{
    motet_queue *q = queue_of(0, MOTET_FIFO, 5);
    motet_thread *p[PRODUCERS], *c[CONSUMERS];
    for (int i = 0; i < CONSUMERS; i++)
        c[i] = begin(consume, q);
    for (int i = 0; i < PRODUCERS; i++)
        p[i] = begin(produce, q);
    for (int i = 0; i < PRODUCERS; i++)
        CHECK_EQ(result_of(p[i]), 0);
    CHECK_EQ(motet_queue_shutdown(q), 0);
    int sum = 0;
    for (int i = 0; i < CONSUMERS; i++)
        sum += result_of(c[i]);
    CHECK_EQ(sum, PRODUCERS * (EACH - 1) * EACH / 2);
    motet_queue_close(q);
}
