/* SPDX-License-Identifier: MIT */
/* Tasks without a future on the thread pool: inputs of every size and alignment arrive whole, each task runs once, what is
 * refused or dropped is given back (the runner counts the memory). */
#include "base/atomic.h"
#include "executor/test_conformance.h"
#include "runner.h"

#include <stdint.h>
#include <string.h>

enum { MANY = 2000 };

static uint32_t ran, wrong;

static motet_executor *open_pool(unsigned workers, size_t queue_max)
{
    motet_executor *ex;
    CHECK_EQ(motet_thread_pool_open(&ex, &(motet_pool_options){.workers = workers, .queue_max = queue_max}), 0);
    return ex;
}

static void finish(motet_executor *ex, uint32_t expected)
{
    CHECK(motet_executor_close(ex) == NULL);
    CHECK_EQ(atomic_load_relaxed(&ran), expected);
    CHECK_EQ(atomic_load_relaxed(&wrong), 0);
}

static void check_filled(const void *in, size_t size, size_t alignment)
{
    const unsigned char *bytes = in;
    bool ok = (bytes || !size) && (uintptr_t)in % alignment == 0;
    for (size_t i = 0; i < size; i++)
        ok = ok && bytes[i] == bytes[0];
    atomic_add_relaxed(&ran, 1);
    atomic_add_relaxed(&wrong, !ok);
}

/* ---- values ---------------------------------------------------------------------------------------- */

#define SIZED(size_, alignment)                                           \
    typedef struct __attribute__((aligned(alignment))) sized_##size_ {    \
        unsigned char bytes[size_];                                       \
    } sized_##size_;                                                      \
    MOTET_TASK(detached_##size_, sized_##size_, sized_##size_)            \
    {                                                                     \
        check_filled(in, sizeof *in, alignment);                          \
        memset(out, 0xff, sizeof *out); /* touches nobody else's input */ \
        return (uintptr_t)out % (alignment) ? -EFAULT : 0;                \
    }                                                                     \
    static void submit_##size_(motet_executor *ex, int i)                 \
    {                                                                     \
        sized_##size_ in;                                                 \
        memset(&in, i, sizeof in);                                        \
        CHECK_EQ(detached_##size_##_submit(ex, &in, NULL), 0);            \
    }

SIZED(1, 1)
SIZED(2, 2)
SIZED(3, 1)
SIZED(12, 4)
SIZED(24, 8)
SIZED(48, 16)
SIZED(32, 32)
SIZED(192, 64)
SIZED(500, 4)
SIZED(2048, 64)
SIZED(5000, 8)

TEST(values_of_every_size)
{
    static void (*const submit[])(motet_executor *, int) = {
        submit_1,  submit_2,   submit_3,   submit_12,   submit_24,   submit_48,
        submit_32, submit_192, submit_500, submit_2048, submit_5000,
    };
    enum { KINDS = sizeof submit / sizeof *submit };
    motet_executor *ex = open_pool(2, 0);
    for (int i = 0; i < MANY; i++)
        submit[i % KINDS](ex, i);
    finish(ex, MANY);
}

MOTET_TASK_BYTES(detached_bytes)
{
    check_filled(in.data, in.size, in.data ? 16 : 1);
    return motet_buffer_append(out, in.data, in.size);
}

TEST(bytes_of_every_size)
{
    static char bytes[3000];
    motet_executor *ex = open_pool(2, 0);
    memset(bytes, 'x', sizeof bytes);
    for (size_t i = 0; i < MANY; i++)
        CHECK_EQ(detached_bytes_submit(ex, (motet_bytes){i ? bytes : NULL, i * 3 / 2}, NULL), 0);
    finish(ex, MANY);
}

/* ---- many ------------------------------------------------------------------------------------------ */

typedef struct branch {
    motet_executor *ex;
    int depth;
} branch;

MOTET_TASK(detached_tree, branch, int)
{
    atomic_add_relaxed(&ran, 1);
    branch below = {in->ex, in->depth - 1};
    for (int i = 0; i < 2 && in->depth > 0; i++)
        CHECK_EQ(detached_tree_submit(in->ex, &below, NULL), 0);
    *out = 0;
    return 0;
}

static void grow(unsigned workers, size_t queue_max)
{
    enum { DEPTH = 11, NODES = (1 << (DEPTH + 1)) - 1 };
    motet_executor *ex = open_pool(workers, queue_max);
    CHECK_EQ(detached_tree_submit(ex, &(branch){ex, DEPTH}, NULL), 0);
    motet_executor_stats_t stats;
    do
        CHECK_EQ(motet_executor_stats(ex, &stats), 0);
    while (stats.finished < NODES);
    CHECK_EQ(stats.submitted, NODES);
    finish(ex, NODES);
}

TEST(tasks_submit_tasks) { grow(3, 0); }
TEST(tasks_submit_tasks_to_a_full_queue) { grow(2, 3); }

TEST(waves)
{
    enum { WAVES = 20 };
    motet_executor *ex = open_pool(2, 0);
    for (int wave = 0; wave < WAVES; wave++) {
        motet_future *f;
        int last;
        for (int i = 0; i < MANY; i++)
            submit_24(ex, i);
        CHECK_EQ(conform_count_submit(ex, &(conform_counted){&ran, 0}, &f), 0);
        CHECK_EQ(conform_count_result(f, &last, MOTET_FOREVER), 0);
        motet_future_unref(f);
    }
    finish(ex, WAVES * (MANY + 1));
}

/* ---- refused and dropped --------------------------------------------------------------------------- */

TEST(codes)
{
    motet_executor *ex = open_pool(1, 0);
    sized_24 in = {{0}};
    motet_bytes whole = {&in, sizeof in}, part = {&in, 1};
    CHECK_EQ(motet_submit(ex, &detached_24, part, NULL, NULL), -EMSGSIZE);
    CHECK_EQ(motet_submit(ex, &detached_24, (motet_bytes){NULL, 0}, NULL, NULL), -EINVAL);
    CHECK_EQ(motet_submit(ex, &detached_24, whole, &(motet_submit_options){.timeout_ns = 1}, NULL), -ENOTSUP);
    CHECK_EQ(motet_submit(ex, &detached_bytes, (motet_bytes){&in, SIZE_MAX}, NULL, NULL), -ENOMEM);
    CHECK_EQ(motet_executor_shutdown(ex, false, MOTET_FOREVER), 0);
    static sized_5000 large;
    CHECK_EQ(motet_submit(ex, &detached_24, whole, NULL, NULL), -EPIPE);
    CHECK_EQ(detached_5000_submit(ex, &large, NULL), -EPIPE);
    finish(ex, 0);
}

MOTET_TASK(detached_waits, motet_event *, int)
{
    *out = 0;
    return motet_event_wait(*in, MOTET_FOREVER);
}

TEST(dropped_ones_are_counted)
{
    motet_executor *ex = open_pool(1, 0);
    motet_event go = {0}, *at = &go;
    motet_future *f;
    CHECK_EQ(detached_waits_submit(ex, &at, &f), 0);
    while (motet_future_state_of(f) != MOTET_RUNNING)
        motet_sleep(motet_after(MOTET_US));
    for (int i = 0; i < MANY; i++)
        (i % 2 ? submit_24 : submit_5000)(ex, i);
    CHECK_EQ(motet_executor_shutdown(ex, true, MOTET_NOWAIT), -ETIMEDOUT);
    motet_event_set(&go);
    CHECK_EQ(motet_executor_shutdown(ex, true, MOTET_FOREVER), 0);
    motet_executor_stats_t stats;
    CHECK_EQ(motet_executor_stats(ex, &stats), 0);
    CHECK_EQ(stats.cancelled, MANY);
    CHECK_EQ(stats.finished, 1);
    motet_future_unref(f);
    finish(ex, 0);
}
