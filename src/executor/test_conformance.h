/* SPDX-License-Identifier: MIT */
/* The conformance suite: what every executor has to do, whatever runs its tasks.
 *
 * A check gets a backend and knows of it only what stands here. A test file of the backend makes a test of each check:
 *
 *     static const conform_backend threads = {.name = "threads", .open = motet_thread_pool_open, ...};
 *     #define CONFORM(check) TEST(check) { conform_##check(&threads); }
 *     CONFORM_CHECKS(CONFORM)
 *
 * What a check and its tasks share lies in memory of the backend's `alloc`, and reaches the task as a pointer in its input:
 * tasks here use no globals, so that a backend whose workers are processes can pass. Order comes from gates (below), never
 * from time. */
#ifndef MOTET_EXECUTOR_CONFORMANCE_H
#define MOTET_EXECUTOR_CONFORMANCE_H

#include "base/atomic.h"
#include "runner.h"

#include <motet/executor.h>
#include <motet/sync.h>

typedef struct conform_backend {
    const char *name;
    int (*open)(motet_executor **ex, const motet_pool_options *opt);
    /* Zeroed memory at the same address for tasks and checks. NULL: there is none; checks that need it are skipped. */
    void *(*alloc)(size_t size);
    void (*free)(void *memory);
    int sync_flags;       /* of sync objects in that memory */
    bool holds_worker;    /* a task that waits for an event keeps its worker from other tasks */
    bool tasks_submit;    /* tasks may use the executor that they run on: then `ex` in an input is good there */
    bool callbacks_share; /* initializers and callbacks see this process's memory */
} conform_backend;

#define CONFORM_CHECKS(X)      \
    CONFORM_CHECKS_SUBMIT(X)   \
    CONFORM_CHECKS_FUTURE(X)   \
    CONFORM_CHECKS_CALLBACK(X) \
    CONFORM_CHECKS_SEVERAL(X)  \
    CONFORM_CHECKS_MAP(X)      \
    CONFORM_CHECKS_MAP_STOP(X) \
    CONFORM_CHECKS_IMAP(X)     \
    CONFORM_CHECKS_BOUNDED(X)  \
    CONFORM_CHECKS_LIFE(X)     \
    CONFORM_CHECKS_END(X)      \
    CONFORM_CHECKS_NESTED(X)

#define CONFORM_CHECKS_SUBMIT(X) \
    X(typed_results)             \
    X(bytes_results)             \
    X(bytes_of_any_size)         \
    X(inputs_are_copied)         \
    X(sizes_are_checked)         \
    X(codes_are_the_tasks_own)   \
    X(values_are_aligned)        \
    X(large_values)              \
    X(many_tasks)                \
    X(many_submitters)           \
    X(nobody_holds_the_future)   \
    X(submit_options)            \
    X(submit_misuse)             \
    X(wrong_task_taken)

#define CONFORM_CHECKS_FUTURE(X)   \
    X(stages_of_a_future)          \
    X(stages_of_a_cancelled_one)   \
    X(stages_of_a_failed_one)      \
    X(cancel_pending_running_over) \
    X(cancel_races_with_start)     \
    X(kill_a_future)               \
    X(wait_ends_at_its_deadline)   \
    X(many_wait_for_one)           \
    X(a_cancelled_waiter)

#define CONFORM_CHECKS_CALLBACK(X) \
    X(callbacks_once)              \
    X(callbacks_race_with_the_end) \
    X(callback_on_cancel)          \
    X(callback_submits)            \
    X(callback_drops_the_last_hold)

#define CONFORM_CHECKS_SEVERAL(X)  \
    X(wait_all)                    \
    X(wait_any)                    \
    X(wait_any_of_many)            \
    X(completions_in_order_of_end) \
    X(completions_of_one_twice)    \
    X(completions_closed_early)    \
    X(completions_of_cancelled)    \
    X(several_from_a_task)

#define CONFORM_CHECKS_MAP(X)     \
    X(map_in_order)               \
    X(map_chunks)                 \
    X(map_of_nothing)             \
    X(map_of_one)                 \
    X(map_large_items)            \
    X(map_failures)               \
    X(map_progress)               \
    X(map_first_failure_by_index) \
    X(map_from_a_task)            \
    X(maps_at_once)               \
    X(map_misuse)

#define CONFORM_CHECKS_MAP_STOP(X)     \
    X(map_deadline)                    \
    X(map_deadline_keeps_what_is_done) \
    X(map_cancelled)                   \
    X(map_after_shutdown)              \
    X(map_cut_by_cancel_pending)       \
    X(map_left_in_a_batch)             \
    X(map_left_during_copies)          \
    X(map_cut_by_terminate)

#define CONFORM_CHECKS_IMAP(X) \
    X(imap_ordered)            \
    X(imap_unordered)          \
    X(imap_looks_ahead_so_far) \
    X(imap_stopped_by_next)    \
    X(imap_stopped_by_result)  \
    X(imap_failures)           \
    X(imap_deadline)           \
    X(imap_from_a_task)        \
    X(imap_misuse)

#define CONFORM_CHECKS_BOUNDED(X)     \
    X(bounded_refuses_at_once)        \
    X(bounded_is_bounded)             \
    X(bounded_submitters_get_through) \
    X(bounded_cancelled_submitter)    \
    X(bounded_ended_by_shutdown)      \
    X(bounded_submit_from_tasks)      \
    X(bounded_map)

#define CONFORM_CHECKS_LIFE(X)  \
    X(open_and_close)           \
    X(open_misuse)              \
    X(initializer_comes_first)  \
    X(initializer_fails)        \
    X(workers_at_once)          \
    X(no_more_than_its_workers) \
    X(stats_add_up)

#define CONFORM_CHECKS_END(X)        \
    X(shutdown_refuses_and_finishes) \
    X(shutdown_cancels_pending)      \
    X(shutdown_deadline_and_again)   \
    X(shutdown_from_a_worker)        \
    X(shutdown_by_many)              \
    X(terminate_cancels_and_asks)    \
    X(close_with_work_pending)       \
    X(close_from_a_worker)           \
    X(futures_outlive_it)            \
    X(executor_misuse)

#define CONFORM_CHECKS_NESTED(X)   \
    X(nested_deep)                 \
    X(nested_wide)                 \
    X(nested_with_deadlines)       \
    X(tasks_wait_for_later_ones)   \
    X(tasks_wait_for_a_promise)    \
    X(two_executors_wait_mutually) \
    X(a_task_waits_for_itself)

#define CONFORM_DECLARE(check) void conform_##check(const conform_backend *b);
CONFORM_CHECKS(CONFORM_DECLARE)

/* ---- what the checks have in common (test_conformance.c) ------------------------------------------------ */

/* Opens one, or fails the test. */
motet_executor *conform_open(const conform_backend *b, const motet_pool_options *opt);
motet_executor *conform_open_workers(const conform_backend *b, unsigned workers);

/* Memory shared with tasks, or the test is skipped. */
void *conform_alloc(const conform_backend *b, size_t size);

/* Skips the test unless the backend can. */
#define CONFORM_NEEDS(b, capability)                        \
    do {                                                    \
        if (!(b)->capability)                               \
            SKIP("the backend is not one of " #capability); \
    } while (0)

/* Where tasks are held: each that comes in gives a permit of `begun` and waits for `open`. In shared memory. */
typedef struct conform_gate {
    motet_semaphore begun;
    motet_event open;
    uint32_t ran;    /* tasks that came in */
    uint32_t inside; /* at this moment */
    uint32_t most;   /* that were inside at one moment */
} conform_gate;

conform_gate *conform_gate_new(const conform_backend *b);
/* Waits until `n` more tasks have come in. */
void conform_gate_await(conform_gate *g, unsigned n);
/* For code that runs in tasks: comes in, waits for the gate to open, leaves. The code of the wait. */
int conform_gate_pass(conform_gate *g);

/* Submits a task that waits in the gate and returns `tag`; the future, or NULL when `hold` is false. */
motet_future *conform_hold(motet_executor *ex, conform_gate *g, int tag);
/* Holds `n` workers: so many tasks have begun when it returns. */
void conform_hold_workers(motet_executor *ex, conform_gate *g, unsigned n, motet_future **ret);
/* Opens the gate, waits for all of them, checks that they returned 0 to n - 1, and drops them. */
void conform_let_go(conform_gate *g, motet_future **f, unsigned n);

typedef struct conform_held {
    conform_gate *gate;
    int tag;
} conform_held;

typedef struct conform_counted {
    uint32_t *counter; /* shared: one is added */
    int code;          /* to return */
} conform_counted;

MOTET_TASK_DECLARE(conform_square, int, long)            /* its input squared */
MOTET_TASK_DECLARE(conform_held_task, conform_held, int) /* waits in the gate; the tag */
MOTET_TASK_DECLARE(conform_count, conform_counted, int)  /* counts, returns the code; the code */
MOTET_TASK_DECLARE(conform_code, int, int)               /* returns its input, which is also the value */
MOTET_TASK_BYTES_DECLARE(conform_shout)                  /* ASCII letters in capitals */

/* Whether all is accounted for: after the end what was submitted has finished or is cancelled, and nothing is left. */
void conform_check_balance(motet_executor *ex, uint64_t submitted);

/* Runs fn(arg) on `n` threads beside each other, and checks that each returned 0. */
void conform_threads(unsigned n, motet_fn *fn, void *arg);

#endif
