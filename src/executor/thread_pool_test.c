/* SPDX-License-Identifier: MIT */
/* The thread pool: every check of the conformance suite, and what only threads have: callers that help, stand-ins, the
 * program's end, a raw fork. */
#include "executor/test_conformance.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void *alloc(size_t size) { return calloc(1, size); }

static const conform_backend threads = {
    .name = "threads",
    .open = motet_thread_pool_open,
    .alloc = alloc,
    .free = free,
    .holds_worker = true,
    .tasks_submit = true,
    .callbacks_share = true,
};

#define CONFORM(check) \
    TEST(check) { conform_##check(&threads); }
CONFORM_CHECKS(CONFORM)

static motet_executor *open_workers(unsigned workers) { return conform_open_workers(&threads, workers); }

static motet_executor_stats_t stats_of(motet_executor *ex)
{
    motet_executor_stats_t stats;
    CHECK_EQ(motet_executor_stats(ex, &stats), 0);
    return stats;
}

TEST(options_of_processes)
{
    static const motet_pool_options refused[] = {{.method = 1},
                                                 {.max_tasks_per_worker = 1},
                                                 {.task_timeout_ns = 1},
                                                 {.memory_max = 1 << 20},
                                                 {.restart_max = 1}};
    motet_executor *ex = NULL;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        CHECK_EQ(motet_thread_pool_open(&ex, &refused[i]), -ENOTSUP);
    CHECK(ex == NULL);
    CHECK_EQ(motet_thread_pool_open(&ex, &(motet_pool_options){.workers = 1, .retries = 3}), 0);
    motet_future *f = NULL;
    motet_bytes in = {&(int){1}, sizeof(int)};
    CHECK_EQ(motet_submit(ex, &conform_square, in, &(motet_submit_options){.timeout_ns = 1}, &f), -ENOTSUP);
    CHECK(f == NULL);
    motet_executor_close(ex);
}

typedef struct text {
    char text[32];
} text;

MOTET_TASK(pool_test_name, int, text)
{
    motet_thread *self = motet_thread_current();
    snprintf(out->text, sizeof out->text, "%s", motet_thread_name(self));
    motet_thread_free(self);
    return 0;
}

TEST(workers_have_names)
{
    static const char *const names[] = {NULL, "cook"}, *const expected[] = {"Pool-1", "cook-1"};
    for (int i = 0; i < 2; i++) {
        motet_executor *ex = conform_open(&threads, &(motet_pool_options){.workers = 1, .name = names[i]});
        text out;
        CHECK_EQ(pool_test_name_map(ex, &(int){0}, &out, 1, NULL), 0);
        CHECK_STR(out.text, expected[i]);
        motet_executor_close(ex);
    }
}

/* ---- callers that help ----------------------------------------------------------------------------- */

static _Thread_local bool is_caller;

typedef struct asked {
    motet_executor *ex;
    int shutdown;
    bool caller, closed;
} asked;

MOTET_TASK(pool_test_ask, motet_executor *, asked)
{
    out->caller = is_caller;
    out->shutdown = motet_executor_shutdown(*in, false, MOTET_FOREVER);
    out->closed = motet_executor_close(*in) == NULL;
    return 0;
}

TEST(callers_help)
{
    enum { ITEMS = 100 };
    conform_gate *g = conform_gate_new(&threads);
    motet_executor *ex = conform_open(&threads, &(motet_pool_options){.workers = 2, .caller_helps = true});
    motet_future *held[2], *f;
    conform_hold_workers(ex, g, 2, held); /* from now on nobody but the caller can run anything */
    is_caller = true;
    asked out;
    CHECK_EQ(pool_test_ask_submit(ex, &ex, &f), 0);
    CHECK_EQ(motet_future_wait(f, motet_after(MOTET_MS)), -ETIMEDOUT); /* running it could take longer */
    CHECK_EQ(pool_test_ask_result(f, &out, MOTET_FOREVER), 0);
    CHECK(out.caller);
    CHECK_EQ(out.shutdown, -EDEADLK); /* it would wait for the very task */
    CHECK(!out.closed);
    motet_future_unref(f);
    motet_executor *in[ITEMS];
    asked results[ITEMS];
    for (int i = 0; i < ITEMS; i++)
        in[i] = ex;
    CHECK_EQ(pool_test_ask_map(ex, in, results, ITEMS, NULL), 0);
    for (int i = 0; i < ITEMS; i++)
        CHECK(results[i].caller && !results[i].closed && results[i].shutdown == -EDEADLK);
    CHECK_EQ(stats_of(ex).by_callers, ITEMS + 1);
    conform_let_go(g, held, 2);
    CHECK_EQ(conform_square_submit(ex, &(int){8}, &f), 0);
    motet_executor_close(ex);
    long square; /* it outlives the pool also with what it keeps for callers */
    CHECK_EQ(conform_square_result(f, &square, MOTET_FOREVER), 0);
    CHECK_EQ(square, 64);
    motet_future_unref(f);
    free(g);
}

TEST(callers_help_only_if_asked)
{
    enum { MANY = 2000 };
    for (int helps = 0; helps < 2; helps++) {
        motet_executor *ex = conform_open(&threads, &(motet_pool_options){.workers = 2, .caller_helps = helps});
        is_caller = true;
        for (int i = 0; i < MANY; i++) {
            motet_future *f;
            long out = 0;
            CHECK_EQ(conform_square_submit(ex, &i, &f), 0);
            CHECK_EQ(conform_square_result(f, &out, MOTET_FOREVER), 0);
            CHECK_EQ(out, (long)i * i);
            motet_future_unref(f);
        }
        CHECK_EQ(motet_executor_shutdown(ex, false, MOTET_FOREVER), 0);
        conform_check_balance(ex, MANY);
        motet_executor_stats_t s = stats_of(ex);
        LOG("by callers: %llu", (unsigned long long)s.by_callers);
        CHECK(helps || s.by_callers == 0);
        motet_executor_close(ex);
    }
}

static int take_held(void *arg)
{
    int tag = -1, e = conform_held_task_result(arg, &tag, MOTET_FOREVER);
    return e < 0 ? e : tag;
}

TEST(a_caller_holds_the_end_up)
{
    conform_gate *g = conform_gate_new(&threads), *callers = conform_gate_new(&threads);
    motet_executor *ex = conform_open(&threads, &(motet_pool_options){.workers = 1, .caller_helps = true});
    motet_future *held;
    conform_hold_workers(ex, g, 1, &held);
    motet_future *f;
    CHECK_EQ(conform_held_task_submit(ex, &(conform_held){callers, 7}, &f), 0);
    int code = 0;
    motet_thread *t;
    CHECK_EQ(motet_thread_start(&t, take_held, f, NULL), 0);
    conform_gate_await(callers, 1); /* the thread is inside the task */
    conform_let_go(g, &held, 1);
    CHECK_EQ(motet_executor_shutdown(ex, false, motet_after(2 * MOTET_MS)), -ETIMEDOUT);
    CHECK_EQ(motet_event_set(&callers->open), 0);
    CHECK_EQ(motet_executor_shutdown(ex, false, MOTET_FOREVER), 0);
    conform_check_balance(ex, 2);
    motet_executor_close(ex);
    CHECK_EQ(motet_thread_join(t, &code, MOTET_FOREVER), 0);
    CHECK_EQ(code, 7);
    motet_thread_free(t);
    motet_future_unref(f);
    free(g);
    free(callers);
}

/* ---- the program's end ----------------------------------------------------------------------------- */

enum { AT_EXIT = 500 };
static uint32_t ran_at_exit;

static void check_ran(void) { CHECK_EQ(atomic_load_relaxed(&ran_at_exit), AT_EXIT); }

TEST_OPT(exit_finishes_what_was_submitted, .at_exit = check_ran, .may_leak = true)
{
    motet_executor *ex = open_workers(2);
    for (int i = 0; i < AT_EXIT; i++)
        CHECK_EQ(conform_count_submit(ex, &(conform_counted){&ran_at_exit, 0}, NULL), 0);
}

MOTET_TASK(pool_test_exit, conform_gate *, int)
{
    conform_gate_pass(*in);
    exit(7);
}

TEST_OPT(exit_in_a_task, .exit_code = 7, .at_exit = check_ran, .may_leak = true)
{
    conform_gate *g = conform_gate_new(&threads);
    motet_executor *ex = open_workers(1);
    CHECK_EQ(pool_test_exit_submit(ex, &g, NULL), 0);
    conform_gate_await(g, 1);
    for (int i = 0; i < AT_EXIT; i++)
        CHECK_EQ(conform_count_submit(ex, &(conform_counted){&ran_at_exit, 0}, NULL), 0);
    CHECK_EQ(motet_event_set(&g->open), 0);
    motet_sleep(MOTET_FOREVER); /* the task ends the program */
}

/* ---- a raw fork ------------------------------------------------------------------------------------ */

static void check_in_child(motet_executor *ex, motet_future *pending, motet_future *over, motet_future *promise)
{
    int in = 1;
    long out = 5;
    motet_future *f = NULL;
    motet_completions *it = NULL;
    motet_executor *another = NULL;
    motet_executor_stats_t stats;
    CHECK_EQ(conform_square_submit(ex, &in, &f), -EPERM);
    CHECK_EQ(conform_square_map(ex, &in, &out, 1, NULL), -EPERM);
    CHECK_EQ(motet_executor_shutdown(ex, true, MOTET_FOREVER), -EPERM);
    CHECK_EQ(motet_executor_terminate(ex), -EPERM);
    CHECK_EQ(motet_executor_stats(ex, &stats), -EPERM);
    CHECK_EQ(motet_thread_pool_open(&another, NULL), -EPERM);
    CHECK_EQ(motet_future_wait(pending, MOTET_FOREVER), -EPERM);
    CHECK_EQ(conform_square_result(pending, &out, MOTET_FOREVER), -EPERM);
    CHECK_EQ(motet_wait_all(&pending, 1, MOTET_FOREVER), -EPERM);
    CHECK_EQ(motet_wait_any((motet_future *[]){pending, promise}, 2, MOTET_FOREVER), -EPERM);
    CHECK_EQ(motet_completions_open(&it, &pending, 1), -EPERM);
    CHECK_EQ(motet_future_cancel(pending), -EPERM);
    CHECK_EQ(motet_future_on_done(pending, (void (*)(motet_future *, void *))(void (*)(void))abort, NULL), -EPERM);
    CHECK_EQ(motet_promise_set(promise, (motet_bytes){NULL, 0}, 0), -EPERM);
    CHECK_EQ(motet_promise_new(&f, 1), -EPERM);
    CHECK_EQ(conform_square_result(over, &out, MOTET_FOREVER), 0); /* what is over can be read */
    CHECK_EQ(out, 49);
    CHECK(f == NULL && it == NULL && another == NULL);
    CHECK(motet_executor_close(ex) == NULL);
}

TEST(raw_fork)
{
    conform_gate *g = conform_gate_new(&threads);
    motet_executor *ex = open_workers(1);
    motet_future *held, *pending, *over, *promise;
    CHECK_EQ(motet_promise_new(&promise, 0), 0);
    CHECK_EQ(conform_square_submit(ex, &(int){7}, &over), 0);
    CHECK_EQ(motet_future_wait(over, MOTET_FOREVER), 0);
    conform_hold_workers(ex, g, 1, &held);
    CHECK_EQ(conform_square_submit(ex, &(int){1}, &pending), 0);
    pid_t child = fork();
    CHECK_GE(child, 0);
    if (!child) {
        check_in_child(ex, pending, over, promise);
        _exit(0);
    }
    int status = -1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    conform_let_go(g, &held, 1); /* the parent noticed nothing */
    CHECK_EQ(motet_future_wait(pending, MOTET_FOREVER), 0);
    motet_future_unref(pending);
    motet_future_unref(over);
    motet_future_unref(promise);
    motet_executor_close(ex);
    free(g);
}
