/* SPDX-License-Identifier: MIT */
/* Select, choice by choice: codes, each op at once and after a wait, fairness, and that the others stay as
 * they were. Threads that race are select_race_test.c's. */
#include "family/test_family.h"
#include "queue/test_help.h"
#include "select/kinds.h"

#include <motet/executor.h>
#include <motet/select.h>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

static motet_queue *ints(size_t capacity) { return queue_of(sizeof(int), MOTET_FIFO, capacity); }

static void put(motet_queue *q, int item) { CHECK_EQ(motet_queue_put(q, &item, MOTET_NOWAIT), 0); }

/* Nobody is registered any more. */
static void check_left(motet_queue *q)
{
    gate g = getters_of(q), p = putters_of(q);
    CHECK_EQ(g.waiting | g.woken | p.waiting | p.woken, 0);
}

static void close_left(motet_queue *q)
{
    check_left(q);
    motet_queue_close(q);
}

/* ---- misuse ---------------------------------------------------------------------------------------- */

TEST(misuse_touches_nothing)
{
    int item = 0;
    motet_queue *q = ints(0), *messages = queue_of(0, MOTET_FIFO, 0);
    motet_buffer *b = motet_buffer_new();
    put(q, 1);
    motet_choice good = {.op = MOTET_GET, .queue = q, .item = &item};
    motet_choice bad[] = {
        {.op = (motet_choice_op)0},
        {.op = (motet_choice_op)99},
        {.op = MOTET_GET, .item = &item},
        {.op = MOTET_GET, .queue = q},
        {.op = MOTET_GET, .queue = q, .buffer = b},
        {.op = MOTET_PUT, .item = &item},
        {.op = MOTET_PUT, .queue = q},
        {.op = MOTET_GET, .queue = messages, .item = &item},
        {.op = MOTET_PUT, .queue = messages, .message = {NULL, 1}},
        {.op = MOTET_READABLE, .fd = -1},
        {.op = MOTET_WRITABLE, .fd = -5},
        {.op = MOTET_SET},
        {.op = MOTET_OVER},
        {.op = MOTET_ENDED},
        {.op = MOTET_MESSAGE},
    };
    CHECK_EQ(motet_select(NULL, 1, MOTET_NOWAIT), -EINVAL);
    CHECK_EQ(motet_select(&good, 0, MOTET_NOWAIT), -EINVAL);
    CHECK_EQ(motet_select(&good, MOTET_SELECT_MAX + 1, MOTET_NOWAIT), -EINVAL);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        motet_choice both[2] = {good, bad[i]};
        both[0].code = both[1].code = 7;
        CHECK_EQ(motet_select(both, 2, MOTET_FOREVER), -EINVAL);
        CHECK_EQ(both[0].code, 7);
        CHECK_EQ(both[1].code, 7);
    }
    motet_choice large[2] = {good, {.op = MOTET_PUT, .queue = messages, .message = {q, MOTET_MESSAGE_SIZE_MAX + 1}}};
    CHECK_EQ(motet_select(large, 2, MOTET_FOREVER), -EMSGSIZE);
    motet_choice later[2] = {good, {.op = MOTET_ENDED, .process = (struct motet_process *)(void *)q}};
    CHECK_EQ(motet_select(later, 2, MOTET_FOREVER), -ENOTSUP);
    later[1] = (motet_choice){.op = MOTET_MESSAGE, .conn = (struct motet_conn *)(void *)q};
    CHECK_EQ(motet_select(later, 2, MOTET_FOREVER), -ENOTSUP);
    CHECK_EQ(motet_queue_size(q), 1);
    CHECK_EQ(item, 0);
    motet_buffer_free(b);
    close_left(q);
    close_left(messages);
}

TEST(a_descriptor_that_is_not_open)
{
    int item = 0, ends[2];
    CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
    close(ends[0]);
    close(ends[1]);
    motet_queue *q = ints(0);
    put(q, 1);
    motet_choice c[2] = {{.op = MOTET_GET, .queue = q, .item = &item}, {.op = MOTET_READABLE, .fd = ends[0]}};
    for (int i = 0; i < 20; i++) { /* wherever it begins */
        CHECK_EQ(motet_select(c, 2, MOTET_FOREVER), -EBADF);
        CHECK_EQ(c[0].code, 0);
        CHECK_EQ(c[1].code, -EBADF);
    }
    CHECK_EQ(motet_queue_size(q), 1);
    close_left(q);
}

TEST(in_the_child_of_a_raw_fork)
{
    int item = 0;
    motet_queue *q = ints(0);
    put(q, 1);
    pid_t child = fork();
    if (child == 0) {
        motet_choice c = {.op = MOTET_GET, .queue = q, .item = &item};
        CHECK_EQ(motet_select(&c, 1, MOTET_FOREVER), -EPERM);
        _exit(0);
    }
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    close_left(q);
}

/* ---- queues ---------------------------------------------------------------------------------------- */

TEST(one_of_several_goes_through_and_each_has_its_turn)
{
    enum { N = 3, ROUNDS = 600 };
    motet_queue *q[N], *full = ints(1);
    int item, times[N] = {0};
    motet_choice c[N + 1];
    put(full, 0);
    for (int i = 0; i < N; i++) {
        q[i] = ints(0);
        c[i] = (motet_choice){.op = MOTET_GET, .queue = q[i], .item = &item, .code = 5};
        for (int k = 0; k < ROUNDS; k++)
            put(q[i], 100 * i);
    }
    c[N] = (motet_choice){.op = MOTET_PUT, .queue = full, .item = &item};
    for (int k = 0; k < ROUNDS; k++) {
        item = -1;
        int i = motet_select(c, N + 1, MOTET_FOREVER);
        CHECK(i >= 0 && i < N);
        CHECK_EQ(item, 100 * i);
        CHECK_EQ(c[i].code, 0);
        times[i]++;
    }
    for (int i = 0; i < N; i++) {
        CHECK_GT(times[i], ROUNDS / 20); /* a third, by chance never so few */
        CHECK_EQ(motet_queue_size(q[i]), ROUNDS - times[i]);
        for (int k = 0; k < times[i]; k++)
            CHECK_EQ(motet_queue_task_done(q[i]), 0); /* it counts as got */
        CHECK_EQ(motet_queue_task_done(q[i]), -EINVAL);
        close_left(q[i]);
    }
    CHECK_EQ(motet_queue_size(full), 1);
    close_left(full);
}

TEST(nothing_in_time)
{
    int a = 1, b = 2;
    motet_queue *empty = ints(0), *full = ints(1);
    put(full, 0);
    motet_choice c[2] = {{.op = MOTET_GET, .queue = empty, .item = &a, .code = 3},
                         {.op = MOTET_PUT, .queue = full, .item = &b}};
    motet_time soon = motet_after(2 * MOTET_MS);
    CHECK_EQ(motet_select(c, 2, MOTET_NOWAIT), -ETIMEDOUT);
    CHECK_EQ(motet_select(c, 2, 0), -ETIMEDOUT);
    CHECK_EQ(motet_select(c, 2, soon), -ETIMEDOUT);
    CHECK_GE(motet_now(), soon);
    CHECK_EQ(c[0].code, 0);
    CHECK_EQ(a, 1);
    CHECK_EQ(motet_queue_size(full), 1);
    close_left(empty);
    close_left(full);
}

TEST(a_queue_that_is_shut_down)
{
    int item = 0;
    motet_queue *shut = ints(0), *live = ints(0);
    put(shut, 1);
    put(live, 2);
    CHECK_EQ(motet_queue_shutdown(shut), 0);
    motet_choice c[3] = {{.op = MOTET_GET, .queue = shut, .item = &item},
                         {.op = MOTET_GET, .queue = live, .item = &item},
                         {.op = MOTET_PUT, .queue = shut, .item = &item}};
    /* Whatever can still be done comes first. */
    for (int i = 0; i < 2; i++)
        CHECK_GE(motet_select(c, 3, MOTET_FOREVER), 0);
    CHECK_EQ(motet_queue_size(shut) + motet_queue_size(live), 0);
    CHECK_EQ(motet_select(c, 3, MOTET_FOREVER), -EPIPE);
    CHECK_EQ(c[0].code, -EPIPE);
    CHECK_EQ(c[1].code, 0);
    CHECK_EQ(c[2].code, -EPIPE);
    put(live, 3);
    CHECK_EQ(motet_select(c, 3, MOTET_NOWAIT), 1);
    CHECK_EQ(item, 3);
    CHECK_EQ(c[0].code | c[1].code | c[2].code, 0);
    close_left(shut);
    close_left(live);
}

TEST(messages)
{
    motet_queue *q = queue_of(0, MOTET_FIFO, 1);
    motet_buffer *b = motet_buffer_new();
    motet_choice c[2] = {{.op = MOTET_PUT, .queue = q, .message = {"hello", 5}},
                         {.op = MOTET_GET, .queue = q, .buffer = b}};
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(motet_select(c, 2, MOTET_FOREVER), 0);
        motet_buffer_clear(b);
        CHECK_EQ(motet_select(c, 2, MOTET_FOREVER), 1);
        CHECK_STR(motet_buffer_data(b), "hello");
    }
    CHECK_EQ(motet_select(c + 1, 1, MOTET_NOWAIT), -ETIMEDOUT);
    CHECK_STR(motet_buffer_data(b), "hello");
    CHECK_EQ(motet_select(c, 1, MOTET_NOWAIT), 0);
    CHECK_EQ(motet_select(c, 1, motet_after(1)), -ETIMEDOUT); /* its copy is given back */
    motet_buffer_free(b);
    close_left(q);
}

TEST(as_many_choices_as_there_may_be)
{
    static motet_choice c[MOTET_SELECT_MAX];
    static motet_queue *q[MOTET_SELECT_MAX];
    int item = 0;
    for (int i = 0; i < MOTET_SELECT_MAX; i++) {
        q[i] = ints(0);
        c[i] = (motet_choice){.op = MOTET_GET, .queue = q[i], .item = &item};
    }
    CHECK_EQ(motet_select(c, MOTET_SELECT_MAX, motet_after(1)), -ETIMEDOUT);
    put(q[300], 300);
    CHECK_EQ(motet_select(c, MOTET_SELECT_MAX, MOTET_FOREVER), 300);
    CHECK_EQ(item, 300);
    for (int i = 0; i < MOTET_SELECT_MAX; i++)
        close_left(q[i]);
}

/* ---- waiting --------------------------------------------------------------------------------------- */

struct waiting {
    motet_choice c[5];
    int n, item;
    motet_time deadline;
};

static int select_them(void *arg)
{
    struct waiting *w = arg;
    return motet_select(w->c, (size_t)w->n, w->deadline);
}

/* Three that can't, on which a test can see that the select waits. */
static struct waiting wait_with(motet_choice more)
{
    return (struct waiting){.c = {{.op = MOTET_GET, .queue = ints(0)}, {.op = MOTET_PUT, .queue = ints(1)}, more},
                            .n = 3,
                            .deadline = MOTET_FOREVER};
}

static motet_thread *begin_waiting(struct waiting *w)
{
    put(w->c[1].queue, 0);
    w->c[0].item = w->c[1].item = &w->item;
    motet_thread *t = begin(select_them, w);
    await_getters(w->c[0].queue, 1);
    await_putters(w->c[1].queue, 1);
    return t;
}

static void end_waiting(struct waiting *w)
{
    close_left(w->c[0].queue);
    close_left(w->c[1].queue);
}

static motet_event event;

TEST(an_event_of_several_processes_is_refused)
{
    motet_event *e = shared(sizeof *e);
    CHECK_EQ(motet_event_init(e, MOTET_SHARED), 0);
    CHECK_EQ(motet_select(&(motet_choice){.op = MOTET_SET, .event = e}, 1, MOTET_NOWAIT), -ENOTSUP);
}

TEST(a_put_ends_the_wait)
{
    struct waiting w = wait_with((motet_choice){.op = MOTET_SET, .event = &event});
    motet_thread *t = begin_waiting(&w);
    put(w.c[0].queue, 42);
    CHECK_EQ(result_of(t), 0);
    CHECK_EQ(w.item, 42);
    CHECK_EQ(motet_queue_size(w.c[1].queue), 1);
    end_waiting(&w);
}

TEST(a_get_ends_the_wait)
{
    int item;
    struct waiting w = wait_with((motet_choice){.op = MOTET_SET, .event = &event});
    motet_thread *t = begin_waiting(&w);
    w.item = 43;
    CHECK_EQ(motet_queue_get(w.c[1].queue, &item, MOTET_NOWAIT), 0);
    CHECK_EQ(result_of(t), 1);
    CHECK_EQ(motet_queue_get(w.c[1].queue, &item, MOTET_NOWAIT), 0);
    CHECK_EQ(item, 43);
    end_waiting(&w);
}

TEST(shutdown_ends_the_wait)
{
    struct waiting w = wait_with((motet_choice){.op = MOTET_SET, .event = &event});
    motet_thread *t = begin_waiting(&w);
    CHECK_EQ(motet_queue_shutdown(w.c[1].queue), 0);
    CHECK_EQ(result_of(t), -EPIPE);
    CHECK_EQ(w.c[0].code, 0);
    CHECK_EQ(w.c[1].code, -EPIPE);
    CHECK_EQ(w.c[2].code, 0);
    end_waiting(&w);
}

TEST(close_sees_a_select_leave)
{
    struct waiting w = wait_with((motet_choice){.op = MOTET_SET, .event = &event});
    motet_thread *t = begin_waiting(&w);
    motet_queue_close(w.c[1].queue);
    CHECK_EQ(result_of(t), -EPIPE);
    close_left(w.c[0].queue);
}

TEST(an_event_ends_the_wait_and_a_pulse_does_too)
{
    CHECK_EQ(motet_select(&(motet_choice){.op = MOTET_SET, .event = &event}, 1, MOTET_NOWAIT), -ETIMEDOUT);
    struct waiting w = wait_with((motet_choice){.op = MOTET_SET, .event = &event});
    motet_thread *t = begin_waiting(&w);
    CHECK_EQ(motet_event_set(&event), 0);
    CHECK_EQ(result_of(t), 2);
    CHECK_EQ(motet_select(w.c, 3, MOTET_NOWAIT), 2);
    CHECK(motet_event_is_set(&event));
    CHECK_EQ(motet_event_clear(&event), 0);
    end_waiting(&w);
    /* Set and cleared at once: a select that was armed before sees it, whenever it looks. */
    w = wait_with((motet_choice){.op = MOTET_SET, .event = &event});
    t = begin_waiting(&w);
    while (motet_thread_alive(t)) {
        motet_event_set(&event);
        motet_event_clear(&event);
        motet_yield();
    }
    CHECK_EQ(result_of(t), 2);
    end_waiting(&w);
}

/* Set and cleared between two looks, the first of which is remembered elsewhere than in the node, which park
 * may write to. */
TEST(a_pulse_between_two_looks_counts)
{
    uint32_t began = 0;
    waitable w = {.ops = &motet__event_waitable, .object = &event, .arg = &began};
    wait_node node = {0};
    CHECK_EQ(waitable_attempt(&w, NULL), 0);
    CHECK_EQ(waitable_attempt(&w, &node), 0);
    node.expected = 1;
    CHECK_EQ(waitable_attempt(&w, &node), 0); /* only armed anew */
    CHECK_EQ(motet_event_set(&event), 0);
    CHECK_EQ(motet_event_clear(&event), 0);
    node.expected = 1;
    CHECK_EQ(waitable_attempt(&w, &node), 1);
    waitable_retract(&w, &node);
}

TEST(a_future_ends_the_wait)
{
    motet_future *f = NULL;
    CHECK_EQ(motet_promise_new(&f, 0), 0);
    struct waiting w = wait_with((motet_choice){.op = MOTET_OVER, .future = f});
    CHECK_EQ(motet_select(w.c + 2, 1, MOTET_NOWAIT), -ETIMEDOUT);
    motet_thread *t = begin_waiting(&w);
    CHECK_EQ(motet_promise_set(f, (motet_bytes){NULL, 0}, -EIO), 0); /* however it went */
    CHECK_EQ(result_of(t), 2);
    CHECK_EQ(motet_select(w.c, 3, MOTET_NOWAIT), 2);
    CHECK_EQ(w.c[2].code, 0);
    motet_future_unref(f);
    end_waiting(&w);
}

TEST(descriptors_end_the_wait)
{
    int ends[2];
    char byte = 0;
    CHECK_EQ(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    motet_choice readable = {.op = MOTET_READABLE, .fd = ends[0]}, writable = {.op = MOTET_WRITABLE, .fd = ends[1]};
    CHECK_EQ(motet_select(&readable, 1, MOTET_NOWAIT), -ETIMEDOUT);
    CHECK_EQ(motet_select(&readable, 1, motet_after(MOTET_MS)), -ETIMEDOUT);
    CHECK_EQ(motet_select(&writable, 1, MOTET_NOWAIT), 0);
    struct waiting w = wait_with(readable);
    motet_thread *t = begin_waiting(&w);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    CHECK_EQ(result_of(t), 2);
    CHECK_EQ(read(ends[0], &byte, 1), 1); /* not read by select */
    end_waiting(&w);

    while (write(ends[1], "x", 1) == 1) {}
    CHECK_EQ(motet_select(&writable, 1, MOTET_NOWAIT), -ETIMEDOUT);
    w = wait_with(writable);
    t = begin_waiting(&w);
    close(ends[0]); /* the end of the other side counts */
    CHECK_EQ(result_of(t), 2);
    close(ends[1]);
    end_waiting(&w);
}

TEST(a_queue_ends_a_wait_that_has_descriptors)
{
    int ends[2];
    CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
    struct waiting w = wait_with((motet_choice){.op = MOTET_READABLE, .fd = ends[0]});
    motet_thread *t = begin_waiting(&w);
    put(w.c[0].queue, 8);
    CHECK_EQ(result_of(t), 0);
    CHECK_EQ(w.item, 8);
    w.deadline = motet_after(MOTET_MS);
    CHECK_EQ(motet_select(w.c, 3, w.deadline), -ETIMEDOUT);
    CHECK_GE(motet_now(), w.deadline);
    close(ends[0]);
    close(ends[1]);
    end_waiting(&w);
}

static int select_when_cancelled(void *arg)
{
    struct waiting *w = arg;
    CHECK_EQ(motet_select(w->c, 3, MOTET_FOREVER), -ECANCELED);
    CHECK_EQ(motet_select(w->c, 3, MOTET_FOREVER), -ECANCELED);
    CHECK_EQ(motet_select(w->c, 3, MOTET_NOWAIT), -ETIMEDOUT);
    put(w->c[0].queue, 6);
    return motet_select(w->c, 3, MOTET_FOREVER);
}

TEST(cancellation_ends_waits_only)
{
    struct waiting w = wait_with((motet_choice){.op = MOTET_SET, .event = &event});
    w.c[0].item = w.c[1].item = &w.item;
    put(w.c[1].queue, 0);
    motet_thread *t = begin(select_when_cancelled, &w);
    await_getters(w.c[0].queue, 1);
    CHECK_EQ(motet_thread_cancel(t), 0);
    CHECK_EQ(result_of(t), 0);
    CHECK_EQ(w.item, 6);
    end_waiting(&w);
}

TEST(one_queue_in_several_choices)
{
    int a = 0, b = 0;
    motet_queue *q = ints(1);
    struct waiting w = {.c = {{.op = MOTET_GET, .queue = q, .item = &a}, {.op = MOTET_GET, .queue = q, .item = &b}},
                        .n = 2,
                        .deadline = MOTET_FOREVER};
    motet_thread *t = begin(select_them, &w);
    await_getters(q, 2);
    put(q, 1);
    CHECK_GE(result_of(t), 0);
    CHECK_EQ(a + b, 1);
    check_left(q);
    /* Both ways: one or the other can always be done. */
    motet_choice ways[2] = {{.op = MOTET_GET, .queue = q, .item = &a}, {.op = MOTET_PUT, .queue = q, .item = &b}};
    for (int i = 0; i < 10; i++)
        CHECK_EQ(motet_select(ways, 2, MOTET_FOREVER), i % 2 ? 0 : 1);
    close_left(q);
}
