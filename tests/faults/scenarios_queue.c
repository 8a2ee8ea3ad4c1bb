/* SPDX-License-Identifier: MIT */
/* The n-th call fails: queues in every order, of items and of messages; select. */
#include "scenario.h"

#include <fcntl.h>
#include <unistd.h>

enum { ITEMS = 200 };

static int compare_ints(const void *a, const void *b)
{
    int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

/* All or nothing. */
static int put(motet_queue *q, int item)
{
    size_t size = motet_queue_size(q);
    int e = motet_queue_put(q, &item, MOTET_NOWAIT);
    CHECK_EQ(motet_queue_size(q), size + (e == 0));
    return e;
}

static void fill_and_empty(const motet_queue_options *opt)
{
    motet_queue *q = NULL;
    int put_sum = 0, got_sum = 0, many[ITEMS], item;
    TRY_OPEN(q, motet_queue_open(&q, sizeof(int), opt), -ENOMEM);
    for (int i = 0; i < ITEMS; i++) {
        TRY(put(q, i), -ENOMEM);
        put_sum += i;
        many[i] = i;
    }
    /* As many as there is memory for at a time. */
    for (int n = 0; n < ITEMS; n = (int)motet_queue_size(q) - ITEMS)
        TRY(motet_queue_put_many(q, many + n, (size_t)(ITEMS - n), MOTET_NOWAIT), -ENOMEM);
    put_sum *= 2;
    for (int i = 0; i < ITEMS; i++) {
        CHECK_EQ(motet_queue_get(q, &item, MOTET_NOWAIT), 0);
        got_sum += item;
    }
    CHECK_EQ(motet_queue_get_many(q, many, ITEMS, MOTET_NOWAIT), ITEMS);
    for (int i = 0; i < ITEMS; i++)
        got_sum += many[i];
    CHECK_EQ(got_sum, put_sum);
    CHECK(motet_queue_empty(q));
out:
    motet_queue_close(q);
}

SCENARIO(fifo) { fill_and_empty(NULL); }
SCENARIO(lifo) { fill_and_empty(&(motet_queue_options){.order = MOTET_LIFO}); }
SCENARIO(priority) { fill_and_empty(&(motet_queue_options){.order = MOTET_PRIORITY, .compare = compare_ints}); }
SCENARIO(bounded) { fill_and_empty(&(motet_queue_options){.capacity = 2 * ITEMS}); }

/* ---- messages -------------------------------------------------------------------------------------- */

static int compare_messages(const void *a, const void *b)
{
    const motet_bytes *x = a, *y = b;
    return (x->size > y->size) - (x->size < y->size);
}

static const char text[ITEMS + 1];

static int put_message(motet_queue *q, size_t bytes, bool in_parts)
{
    size_t size = motet_queue_size(q);
    struct iovec parts[2] = {{(void *)text, bytes / 2}, {(void *)text, bytes - bytes / 2}};
    int e = in_parts ? motet_queue_put_parts(q, parts, 2, MOTET_NOWAIT)
                     : motet_queue_put_bytes(q, (motet_bytes){text, bytes}, MOTET_NOWAIT);
    CHECK_EQ(motet_queue_size(q), size + (e == 0));
    return e;
}

/* A message that can't be given stays, and so does what the buffer holds. */
static int get_message(motet_queue *q, motet_buffer *into)
{
    size_t left = motet_queue_size(q), size = motet_buffer_size(into);
    int e = motet_queue_get_bytes(q, into, MOTET_NOWAIT);
    CHECK_EQ(motet_queue_size(q), left - (e == 0));
    if (e < 0)
        CHECK_EQ(motet_buffer_size(into), size);
    return e;
}

static void fill_with_messages(const motet_queue_options *opt)
{
    motet_queue *q = NULL;
    motet_buffer *b = NULL;
    motet_message *m;
    size_t put_bytes = 0, got_bytes = 0;
    TRY_NEW(b, motet_buffer_new());
    TRY_OPEN(q, motet_queue_open(&q, 0, opt), -ENOMEM);
    for (size_t i = 0; i < ITEMS / 2; i++) {
        TRY(put_message(q, 2 * i, i % 2), -ENOMEM);
        put_bytes += 2 * i;
    }
    for (int i = 0; i < ITEMS / 4; i++) {
        TRY(get_message(q, b), -ENOMEM);
        got_bytes += motet_buffer_size(b);
        TRY_OPEN(m, motet_queue_take(q, &m, MOTET_NOWAIT), -EINVAL);
        got_bytes += motet_message_size(m);
        motet_message_unref(m);
    }
    CHECK_EQ(got_bytes, put_bytes);
out:
    motet_queue_close(q);
    motet_buffer_free(b);
}

SCENARIO(messages) { fill_with_messages(NULL); }
SCENARIO(messages_lifo) { fill_with_messages(&(motet_queue_options){.order = MOTET_LIFO}); }
SCENARIO(messages_by_priority)
{
    fill_with_messages(&(motet_queue_options){.order = MOTET_PRIORITY, .compare = compare_messages});
}

/* ---- between threads ------------------------------------------------------------------------------- */

static int produce(void *queue)
{
    for (int i = 1; i <= 20; i++) {
        int e = motet_queue_put(queue, &i, MOTET_FOREVER);
        if (e < 0)
            return e;
    }
    return motet_queue_shutdown(queue);
}

SCENARIO(between_threads)
{
    motet_queue *q = NULL;
    motet_thread *t = NULL;
    int item, sum = 0;
    TRY_OPEN(q, motet_queue_open(&q, sizeof(int), &(motet_queue_options){.capacity = 2}), -ENOMEM);
    TRY_OPEN(t, motet_thread_start(&t, produce, q, NULL), -ENOMEM, -EAGAIN);
    while (motet_queue_get(q, &item, MOTET_FOREVER) == 0) {
        sum += item;
        CHECK_EQ(motet_queue_task_done(q), 0);
    }
    CHECK_EQ(sum, 210);
    CHECK_EQ(motet_queue_join(q, MOTET_FOREVER), 0);
out:
    if (t)
        CHECK_EQ(motet_thread_join(t, NULL, MOTET_FOREVER), 0);
    motet_thread_free(t);
    motet_queue_close(q);
}

/* ---- select ---------------------------------------------------------------------------------------- */

enum { CHOICES = 40 };

/* `n` choices of which one goes through at once. */
static int choose_one(motet_queue *q, motet_event *never, int fd, size_t n, int *item)
{
    motet_choice choices[CHOICES] = {{.op = MOTET_GET, .queue = q, .item = item}};
    for (size_t i = 1; i < n; i++)
        choices[i] = i == 1 && fd >= 0 ? (motet_choice){.op = MOTET_READABLE, .fd = fd}
                                       : (motet_choice){.op = MOTET_SET, .event = never};
    return motet_select(choices, n, MOTET_FOREVER);
}

SCENARIO(select_at_once)
{
    motet_queue *q = NULL;
    motet_event never = {0};
    int item, ends[2];
    CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
    TRY_OPEN(q, motet_queue_open(&q, sizeof(int), NULL), -ENOMEM);
    for (int i = 0; i < 3; i++)
        TRY(put(q, i), -ENOMEM);
    TRY(choose_one(q, &never, -1, 2, &item), -EINVAL);
    CHECK_EQ(item, 0);
    TRY(choose_one(q, &never, ends[0], 3, &item), -ENOMEM);
    CHECK_EQ(item, 1);
    TRY(choose_one(q, &never, ends[0], CHOICES, &item), -ENOMEM);
    CHECK_EQ(item, 2);
out:
    motet_queue_close(q);
    close(ends[0]);
    close(ends[1]);
}

struct late {
    motet_event go; /* do not wait for that any longer */
    motet_queue *queue;
    int fd;
};

/* Once the other thread waits: an item, then a byte. */
static int bring(void *arg)
{
    struct late *l = arg;
    int item = 5;
    while (!faults_polled() && !motet_event_is_set(&l->go))
        motet_yield();
    if (l->queue)
        CHECK_EQ(motet_queue_put(l->queue, &item, MOTET_FOREVER), 0);
    CHECK_EQ(write(l->fd, "x", 1), 1);
    return 0;
}

/* A wait for descriptors needs one of its own; for many of them memory too. */
static int wait_for_fds(int fd, size_t n)
{
    motet_choice choices[CHOICES];
    for (size_t i = 0; i < n; i++)
        choices[i] = (motet_choice){.op = MOTET_READABLE, .fd = fd};
    return motet_select(choices, n, MOTET_FOREVER);
}

static void select_fds(size_t n)
{
    struct late l = {.fd = -1};
    motet_thread *t = NULL;
    int ends[2];
    CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
    l.fd = ends[1];
    TRY_OPEN(t, motet_thread_start(&t, bring, &l, NULL), -ENOMEM, -EAGAIN);
    TRY(wait_for_fds(ends[0], n), -ENOMEM, -EMFILE);
out:
    motet_event_set(&l.go);
    if (t)
        CHECK_EQ(motet_thread_join(t, NULL, MOTET_FOREVER), 0);
    motet_thread_free(t);
    close(ends[0]);
    close(ends[1]);
}

SCENARIO(select_fd) { select_fds(1); }
SCENARIO(select_many_fds) { select_fds(CHOICES); }

/* A wait that nothing ends but its deadline: it always gets as far as polling. */
SCENARIO(select_late)
{
    int ends[2];
    CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
    for (int i = 0; i < 2; i++) {
        motet_choice choices[CHOICES];
        for (int k = 0; k < CHOICES; k++)
            choices[k] = (motet_choice){.op = MOTET_READABLE, .fd = ends[0]};
        int e = motet_select(choices, i ? CHOICES : 2, motet_after(2 * MOTET_MS));
        if (e != -ETIMEDOUT)
            REFUSED(e, -ENOMEM, -EMFILE);
    }
out:
    close(ends[0]);
    close(ends[1]);
}

/* An item that comes while the thread polls: the waker signals its eventfd. */
SCENARIO(select_woken)
{
    struct late l = {0};
    motet_thread *t = NULL;
    int ends[2], item = 0;
    CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
    l.fd = ends[1];
    TRY_OPEN(l.queue, motet_queue_open(&l.queue, sizeof(int), NULL), -ENOMEM);
    TRY_OPEN(t, motet_thread_start(&t, bring, &l, NULL), -ENOMEM, -EAGAIN);
    motet_choice choices[2] = {{.op = MOTET_GET, .queue = l.queue, .item = &item},
                               {.op = MOTET_READABLE, .fd = ends[0]}};
    TRY(motet_select(choices, 2, MOTET_FOREVER), -ENOMEM, -EMFILE);
out:
    motet_event_set(&l.go);
    if (t)
        CHECK_EQ(motet_thread_join(t, NULL, MOTET_FOREVER), 0);
    motet_thread_free(t);
    motet_queue_close(l.queue);
    close(ends[0]);
    close(ends[1]);
}

/* A message that can't be put or got for want of memory is said by its choice's code. */
SCENARIO(select_messages)
{
    motet_queue *q = NULL;
    motet_buffer *b = NULL;
    static const char large[5000];
    TRY_NEW(b, motet_buffer_new());
    TRY_OPEN(q, motet_queue_open(&q, 0, NULL), -ENOMEM);
    motet_choice give = {.op = MOTET_PUT, .queue = q, .message = {large, sizeof large}};
    motet_choice take = {.op = MOTET_GET, .queue = q, .buffer = b};
    TRY(motet_select(&give, 1, MOTET_FOREVER), -ENOMEM);
    TRY(motet_select(&take, 1, MOTET_FOREVER), -ENOMEM);
    CHECK_EQ(motet_buffer_size(b), sizeof large);
    CHECK(motet_queue_empty(q));
out:
    motet_queue_close(q);
    motet_buffer_free(b);
}
