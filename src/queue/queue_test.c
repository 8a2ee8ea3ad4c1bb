/* SPDX-License-Identifier: MIT */
/* Queues of items, call by call: codes, orders, capacity, counting, shutdown, close. Every sequence of
 * operations at random is queue_model_test.c's, threads that race are queue_race_test.c's, messages
 * message_test.c's. */
#include "queue/test_help.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static int by_value(const void *a, const void *b)
{
    int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

static void put(motet_queue *q, int item) { CHECK_EQ(motet_queue_put(q, &item, MOTET_NOWAIT), 0); }

static int got(motet_queue *q)
{
    int item = -1;
    CHECK_EQ(motet_queue_get(q, &item, MOTET_NOWAIT), 0);
    return item;
}

static int get_one(void *q)
{
    int item, e = motet_queue_get(q, &item, MOTET_FOREVER);
    return e < 0 ? e : item;
}

static int put_seven(void *q)
{
    int item = 7;
    return motet_queue_put(q, &item, MOTET_FOREVER);
}

static int join_queue(void *q) { return motet_queue_join(q, MOTET_FOREVER); }

/* ---- misuse ---------------------------------------------------------------------------------------- */

TEST(open_refuses_misuse)
{
    motet_queue *q = (motet_queue *)&q, *before = q;
    CHECK_EQ(motet_queue_open(NULL, 4, NULL), -EINVAL);
    CHECK_EQ(motet_queue_open(&q, 4, &(motet_queue_options){.order = (motet_queue_order)3}), -EINVAL);
    CHECK_EQ(motet_queue_open(&q, 4, &(motet_queue_options){.order = (motet_queue_order)-1}), -EINVAL);
    CHECK_EQ(motet_queue_open(&q, 4, &(motet_queue_options){.order = MOTET_PRIORITY}), -EINVAL);
    CHECK_EQ(motet_queue_open(&q, 0, &(motet_queue_options){.order = MOTET_PRIORITY}), -EINVAL);
    CHECK_EQ(motet_queue_open(&q, 4, &(motet_queue_options){.order = MOTET_LIFO, .compare = by_value}), -EINVAL);
    CHECK_EQ(motet_queue_open(&q, 4, &(motet_queue_options){.shared = true}), -ENOTSUP);
    CHECK_EQ(motet_queue_open(&q, MOTET_QUEUE_ITEM_SIZE_MAX + 1, NULL), -EMSGSIZE);
    CHECK_PTR(q, before);
}

TEST(null_is_misuse)
{
    int item = 5;
    motet_queue *q = queue_of(sizeof item, MOTET_FIFO, 0);
    put(q, 1);
    CHECK_EQ(motet_queue_put(NULL, &item, MOTET_NOWAIT), -EINVAL);
    CHECK_EQ(motet_queue_put(q, NULL, MOTET_NOWAIT), -EINVAL);
    CHECK_EQ(motet_queue_get(NULL, &item, MOTET_NOWAIT), -EINVAL);
    CHECK_EQ(motet_queue_get(q, NULL, MOTET_NOWAIT), -EINVAL);
    CHECK_EQ(motet_queue_put_many(NULL, &item, 1, MOTET_NOWAIT), -EINVAL);
    CHECK_EQ(motet_queue_put_many(q, NULL, 1, MOTET_NOWAIT), -EINVAL);
    CHECK_EQ(motet_queue_get_many(NULL, &item, 1, MOTET_NOWAIT), -EINVAL);
    CHECK_EQ(motet_queue_get_many(q, NULL, 1, MOTET_NOWAIT), -EINVAL);
    CHECK_EQ(motet_queue_task_done(NULL), -EINVAL);
    CHECK_EQ(motet_queue_join(NULL, MOTET_NOWAIT), -EINVAL);
    CHECK_EQ(motet_queue_shutdown(NULL), -EINVAL);
    CHECK_EQ(motet_queue_size(NULL), 0);
    CHECK(motet_queue_empty(NULL));
    CHECK(!motet_queue_full(NULL));
    CHECK_PTR(motet_queue_close(NULL), NULL);
    CHECK_EQ(motet_queue_size(q), 1);
    CHECK_EQ(item, 5);
    CHECK_PTR(motet_queue_close(q), NULL);
}

TEST(message_calls_on_items_are_misuse)
{
    motet_queue *q = queue_of(4, MOTET_FIFO, 0);
    motet_buffer *b = motet_buffer_new();
    motet_message *m = NULL;
    put(q, 1);
    CHECK_EQ(motet_queue_put_bytes(q, (motet_bytes){"x", 1}, MOTET_NOWAIT), -EINVAL);
    CHECK_EQ(motet_queue_put_parts(q, NULL, 0, MOTET_NOWAIT), -EINVAL);
    CHECK_EQ(motet_queue_get_bytes(q, b, MOTET_NOWAIT), -EINVAL);
    CHECK_EQ(motet_queue_take(q, &m, MOTET_NOWAIT), -EINVAL);
    CHECK_EQ(motet_queue_size(q), 1);
    CHECK_PTR(m, NULL);
    motet_buffer_free(b);
    motet_queue_close(q);
}

/* ---- order and capacity ---------------------------------------------------------------------------- */

TEST(orders)
{
    static const int in[] = {3, 1, 2}, lifo[] = {2, 1, 3}, sorted[] = {1, 2, 3};
    const int *expected[] = {in, lifo, sorted};
    for (int order = MOTET_FIFO; order <= MOTET_PRIORITY; order++) {
        motet_queue *q = NULL;
        motet_queue_options opt = {.order = (motet_queue_order)order,
                                   .compare = order == MOTET_PRIORITY ? by_value : NULL};
        CHECK_EQ(motet_queue_open(&q, sizeof(int), &opt), 0);
        for (int i = 0; i < 3; i++)
            put(q, in[i]);
        for (int i = 0; i < 3; i++)
            CHECK_EQ(got(q), expected[order][i]);
        motet_queue_close(q);
    }
}

TEST(a_full_queue_refuses_and_keeps_what_it_has)
{
    int item = 9;
    motet_queue *q = queue_of(sizeof item, MOTET_FIFO, 3); /* no power of two */
    CHECK(motet_queue_empty(q));
    for (int i = 0; i < 3; i++) {
        CHECK(!motet_queue_full(q));
        put(q, i);
    }
    CHECK(motet_queue_full(q) && !motet_queue_empty(q));
    CHECK_EQ(motet_queue_size(q), 3);
    motet_time soon = motet_after(2 * MOTET_MS);
    CHECK_EQ(motet_queue_put(q, &item, MOTET_NOWAIT), -ETIMEDOUT);
    CHECK_EQ(motet_queue_put(q, &item, 0), -ETIMEDOUT);
    CHECK_EQ(motet_queue_put_many(q, &item, 1, MOTET_NOWAIT), -ETIMEDOUT);
    CHECK_EQ(motet_queue_put(q, &item, soon), -ETIMEDOUT);
    CHECK_GE(motet_now(), soon);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(got(q), i);
    soon = motet_after(2 * MOTET_MS);
    CHECK_EQ(motet_queue_get(q, &item, MOTET_NOWAIT), -ETIMEDOUT);
    CHECK_EQ(motet_queue_get_many(q, &item, 1, MOTET_NOWAIT), -ETIMEDOUT);
    CHECK_EQ(motet_queue_get(q, &item, soon), -ETIMEDOUT);
    CHECK_GE(motet_now(), soon);
    CHECK_EQ(item, 9);
    CHECK_EQ(getters_of(q).waiting | getters_of(q).woken | putters_of(q).waiting | putters_of(q).woken, 0);
    motet_queue_close(q);
}

TEST(many_take_what_fits)
{
    int in[10], out[10];
    for (int i = 0; i < 10; i++)
        in[i] = i;
    motet_queue *q = queue_of(sizeof(int), MOTET_FIFO, 6);
    CHECK_EQ(motet_queue_put_many(q, in, 0, MOTET_FOREVER), 0);
    CHECK_EQ(motet_queue_get_many(q, out, 0, MOTET_FOREVER), 0);
    CHECK_EQ(motet_queue_put_many(q, in, 4, MOTET_FOREVER), 4);
    CHECK_EQ(motet_queue_get_many(q, out, 3, MOTET_FOREVER), 3);
    CHECK_MEM(out, in, 3 * sizeof(int));
    CHECK_EQ(motet_queue_put_many(q, in + 4, 6, MOTET_FOREVER), 5); /* round the end of the ring */
    CHECK_EQ(motet_queue_get_many(q, out, 10, MOTET_FOREVER), 6);
    CHECK_MEM(out, in + 3, 6 * sizeof(int));
    motet_queue_close(q);
}

TEST(put_many_falls_back_to_what_there_is_memory_for)
{
    enum { SIZE = 1 << 20, HUGE = 1 << 30 }; /* together more than an address space holds */
    char *item = calloc(2, SIZE);            /* as many as are read */
    motet_queue *q = queue_of(SIZE, MOTET_FIFO, 0);
    /* Room for one at first; for two, four when one more is all there is memory for. */
    for (size_t slots = 1, size = 0; slots <= 4; slots *= 2) {
        CHECK_EQ(motet_queue_put_many(q, item, HUGE, MOTET_NOWAIT), slots - size);
        size = slots;
        CHECK_EQ(motet_queue_size(q), size);
    }
    motet_queue_close(q);
    free(item);
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OWN_ALLOCATOR 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define OWN_ALLOCATOR 1
#endif
#endif

TEST(no_memory_loses_nothing)
{
#ifdef OWN_ALLOCATOR
    SKIP("a sanitizer's allocator does not live under a memory limit");
#else
    enum { SIZE = 256 * 1024 };
    char *item = calloc(1, SIZE);
    motet_queue *q = queue_of(SIZE, MOTET_FIFO, 0);
    struct rlimit all, none;
    CHECK_EQ(getrlimit(RLIMIT_AS, &all), 0);
    none = all;
    none.rlim_cur = 1;
    int n = 0, e;
    memcpy(item, &n, sizeof n);
    CHECK_EQ(motet_queue_put(q, item, MOTET_NOWAIT), 0);
    CHECK_EQ(setrlimit(RLIMIT_AS, &none), 0);
    for (n = 1;; n++) {
        memcpy(item, &n, sizeof n);
        e = motet_queue_put(q, item, MOTET_NOWAIT);
        if (e < 0)
            break;
        CHECK_LT(n, 1000); /* so much was not lying about */
    }
    CHECK_EQ(setrlimit(RLIMIT_AS, &all), 0);
    CHECK_EQ(e, -ENOMEM);
    CHECK_EQ(motet_queue_size(q), n);
    CHECK_EQ(motet_queue_put(q, item, MOTET_NOWAIT), 0);
    for (int i = 0; i <= n; i++) {
        int number;
        CHECK_EQ(motet_queue_get(q, item, MOTET_NOWAIT), 0);
        memcpy(&number, item, sizeof number);
        CHECK_EQ(number, i);
    }
    motet_queue_close(q);
    free(item);
#endif
}

TEST(memory_is_given_back_when_it_has_drained)
{
    enum { N = 100000 };
    motet_queue *q = queue_of(sizeof(int), MOTET_FIFO, 0);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < N; i++)
            put(q, i);
        CHECK_GE(q->mask + 1, N);
        for (int i = 0; i < N; i++)
            CHECK_EQ(got(q), i);
        CHECK_LE((q->mask + 1) * sizeof(int), 64 * 1024);
        CHECK_PTR(q->spare, NULL);
    }
    motet_queue_close(q);
}

/* ---- waiting --------------------------------------------------------------------------------------- */

TEST(a_put_lets_exactly_one_getter_go)
{
    enum { N = 4 };
    motet_queue *q = queue_of(sizeof(int), MOTET_FIFO, 0);
    motet_thread *t[N];
    for (int i = 0; i < N; i++)
        t[i] = begin(get_one, q);
    await_getters(q, N);
    for (int i = 1; i <= N; i++) {
        uint32_t seq = q->getters_seq;
        put(q, i);
        CHECK_EQ(q->getters_seq - seq, 1);
        await_getters(q, (uint32_t)(N - i));
        CHECK_EQ(getters_of(q).woken, 0);
    }
    int sum = 0;
    for (int i = 0; i < N; i++)
        sum += result_of(t[i]);
    CHECK_EQ(sum, 1 + 2 + 3 + 4);
    motet_queue_close(q);
}

TEST(a_batch_lets_as_many_go_as_it_has)
{
    enum { N = 4 };
    static const int items[] = {10, 20, 30};
    motet_queue *q = queue_of(sizeof(int), MOTET_FIFO, 0);
    motet_thread *t[N];
    for (int i = 0; i < N; i++)
        t[i] = begin(get_one, q);
    await_getters(q, N);
    CHECK_EQ(motet_queue_put_many(q, items, 3, MOTET_NOWAIT), 3);
    await_getters(q, 1);
    put(q, 40);
    int sum = 0;
    for (int i = 0; i < N; i++)
        sum += result_of(t[i]);
    CHECK_EQ(sum, 100);
    motet_queue_close(q);
}

TEST(a_get_lets_a_putter_go)
{
    motet_queue *q = queue_of(sizeof(int), MOTET_FIFO, 1);
    put(q, 1);
    motet_thread *a = begin(put_seven, q), *b = begin(put_seven, q);
    await_putters(q, 2);
    CHECK_EQ(got(q), 1);
    await_putters(q, 1);
    CHECK_EQ(got(q), 7);
    CHECK_EQ(result_of(a), 0);
    CHECK_EQ(result_of(b), 0);
    CHECK_EQ(got(q), 7);
    motet_queue_close(q);
}

static int get_when_cancelled(void *q)
{
    int item, e = motet_queue_get(q, &item, MOTET_FOREVER);
    CHECK_EQ(e, -ECANCELED);
    CHECK_EQ(motet_queue_get(q, &item, MOTET_FOREVER), -ECANCELED);
    CHECK_EQ(motet_queue_get(q, &item, MOTET_NOWAIT), -ETIMEDOUT);
    put(q, 3);
    CHECK_EQ(motet_queue_join(q, MOTET_FOREVER), -ECANCELED);
    return got(q); /* no wait, no cancellation */
}

TEST(cancellation_ends_waits_only)
{
    motet_queue *q = queue_of(sizeof(int), MOTET_FIFO, 0);
    motet_thread *t = begin(get_when_cancelled, q);
    await_getters(q, 1);
    CHECK_EQ(motet_thread_cancel(t), 0);
    CHECK_EQ(result_of(t), 3);
    CHECK_EQ(getters_of(q).waiting | getters_of(q).woken, 0);
    motet_queue_close(q);
}

struct interrupted {
    motet_queue *q;
    pthread_t id;
    uint32_t state; /* 1: id is set; 2: the call is over */
};

static void nothing(int signal) { (void)signal; }

static int get_interruptibly(void *arg)
{
    struct interrupted *i = arg;
    int item = 0;
    motet_interruptible(true);
    i->id = pthread_self();
    atomic_store_release(&i->state, 1);
    int e = motet_queue_get(i->q, &item, MOTET_FOREVER);
    atomic_store_release(&i->state, 2);
    while (atomic_load_acquire(&i->state) != 3)
        motet_yield(); /* the id must live on */
    return e;
}

TEST(a_signal_ends_the_wait_of_an_interruptible_thread)
{
    struct sigaction act = {.sa_handler = nothing, .sa_flags = SA_RESTART};
    CHECK_EQ(sigaction(SIGUSR1, &act, NULL), 0);
    struct interrupted i = {.q = queue_of(sizeof(int), MOTET_FIFO, 0)};
    motet_thread *t = begin(get_interruptibly, &i);
    while (atomic_load_acquire(&i.state) == 0)
        motet_yield();
    while (atomic_load_acquire(&i.state) == 1) { /* one that comes before the wait does not end it */
        pthread_kill(i.id, SIGUSR1);
        motet_yield();
    }
    atomic_store_release(&i.state, 3);
    CHECK_EQ(result_of(t), -EINTR);
    motet_queue_close(i.q);
}

/* ---- counting what is done ------------------------------------------------------------------------- */

TEST(task_done_counts_what_was_got)
{
    int items[3] = {1, 2, 3};
    motet_queue *q = queue_of(sizeof(int), MOTET_FIFO, 0);
    CHECK_EQ(motet_queue_task_done(q), -EINVAL);
    CHECK_EQ(motet_queue_join(q, MOTET_NOWAIT), 0);
    CHECK_EQ(motet_queue_put_many(q, items, 3, MOTET_NOWAIT), 3);
    CHECK_EQ(motet_queue_task_done(q), -EINVAL); /* nothing was got */
    CHECK_EQ(motet_queue_get_many(q, items, 3, MOTET_NOWAIT), 3);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(motet_queue_join(q, MOTET_NOWAIT), -ETIMEDOUT);
        CHECK_EQ(motet_queue_join(q, motet_after(1)), -ETIMEDOUT);
        CHECK_EQ(motet_queue_task_done(q), 0);
    }
    CHECK_EQ(motet_queue_join(q, MOTET_FOREVER), 0);
    CHECK_EQ(motet_queue_task_done(q), -EINVAL);
    motet_queue_close(q);
}

TEST(join_waits_for_the_last_one_and_for_shutdown_not_at_all)
{
    motet_queue *q = queue_of(sizeof(int), MOTET_FIFO, 0);
    put(q, 1);
    put(q, 2);
    motet_thread *a = begin(join_queue, q), *b = begin(join_queue, q);
    await_joiners(q, 2);
    got(q);
    got(q);
    CHECK_EQ(motet_queue_task_done(q), 0);
    CHECK_EQ(motet_queue_shutdown(q), 0);
    CHECK_EQ(joiners_of(q), 2);
    CHECK_EQ(motet_queue_task_done(q), 0);
    CHECK_EQ(result_of(a), 0);
    CHECK_EQ(result_of(b), 0);
    motet_queue_close(q);
}

/* ---- the end --------------------------------------------------------------------------------------- */

TEST(shutdown_drains)
{
    int item = 4;
    motet_queue *q = queue_of(sizeof item, MOTET_FIFO, 2);
    put(q, 1);
    put(q, 2);
    CHECK_EQ(motet_queue_shutdown(q), 0);
    CHECK_EQ(motet_queue_shutdown(q), 0);
    CHECK_EQ(motet_queue_put(q, &item, MOTET_FOREVER), -EPIPE);
    CHECK_EQ(motet_queue_put_many(q, &item, 1, MOTET_NOWAIT), -EPIPE);
    CHECK_EQ(got(q), 1);
    CHECK_EQ(motet_queue_put(q, &item, MOTET_NOWAIT), -EPIPE); /* room does not help */
    CHECK_EQ(got(q), 2);
    CHECK_EQ(motet_queue_get(q, &item, MOTET_FOREVER), -EPIPE);
    CHECK_EQ(motet_queue_get(q, &item, MOTET_NOWAIT), -EPIPE);
    CHECK_EQ(motet_queue_get_many(q, &item, 1, MOTET_FOREVER), -EPIPE);
    CHECK_EQ(item, 4);
    motet_queue_close(q);
}

TEST(shutdown_ends_those_who_wait)
{
    motet_queue *empty = queue_of(sizeof(int), MOTET_FIFO, 1), *full = queue_of(sizeof(int), MOTET_FIFO, 1);
    motet_thread *getters[3], *putters[3];
    put(full, 1);
    for (int i = 0; i < 3; i++) {
        getters[i] = begin(get_one, empty);
        putters[i] = begin(put_seven, full);
    }
    await_getters(empty, 3);
    await_putters(full, 3);
    CHECK_EQ(motet_queue_shutdown(empty), 0);
    CHECK_EQ(motet_queue_shutdown(full), 0);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(result_of(getters[i]), -EPIPE);
        CHECK_EQ(result_of(putters[i]), -EPIPE);
    }
    CHECK_EQ(motet_queue_size(full), 1);
    motet_queue_close(empty);
    motet_queue_close(full);
}

TEST(close_sees_those_who_wait_leave)
{
    motet_queue *empty = queue_of(sizeof(int), MOTET_FIFO, 1), *full = queue_of(sizeof(int), MOTET_FIFO, 1);
    put(full, 1);
    motet_thread *getter = begin(get_one, empty), *putter = begin(put_seven, full), *joiner = begin(join_queue, full);
    await_getters(empty, 1);
    await_putters(full, 1);
    await_joiners(full, 1);
    motet_queue_close(empty);
    motet_queue_close(full);
    CHECK_EQ(result_of(getter), -EPIPE);
    CHECK_EQ(result_of(putter), -EPIPE);
    CHECK_EQ(result_of(joiner), -EPIPE);
}

TEST(in_the_child_of_a_raw_fork_every_call_fails)
{
    motet_queue *q = queue_of(sizeof(int), MOTET_FIFO, 0), *other = NULL;
    put(q, 1);
    pid_t child = fork();
    if (child == 0) {
        int item = 0;
        CHECK_EQ(motet_queue_open(&other, 4, NULL), -EPERM);
        CHECK_EQ(motet_queue_put(q, &item, MOTET_NOWAIT), -EPERM);
        CHECK_EQ(motet_queue_get(q, &item, MOTET_FOREVER), -EPERM);
        CHECK_EQ(motet_queue_put_many(q, &item, 1, MOTET_NOWAIT), -EPERM);
        CHECK_EQ(motet_queue_get_many(q, &item, 1, MOTET_NOWAIT), -EPERM);
        CHECK_EQ(motet_queue_task_done(q), -EPERM);
        CHECK_EQ(motet_queue_join(q, MOTET_FOREVER), -EPERM);
        CHECK_EQ(motet_queue_shutdown(q), -EPERM);
        CHECK_PTR(motet_queue_close(q), NULL);
        _exit(0);
    }
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    CHECK_EQ(got(q), 1);
    motet_queue_close(q);
}
