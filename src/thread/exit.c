/* SPDX-License-Identifier: MIT */
/* The exit rule: the program's end runs the hooks, then waits for the threads that are not daemons.
 *
 * Threads are waited for by a count, `holding`, that each raises before it exists and lowers as its very last
 * act; so those that another thread starts meanwhile are waited for too.
 *
 * An OS thread must be joined once, to give its stack back. Whoever joins or frees its object does that
 * (thread.c), or else the program's end. One whose object is gone when it ends hands itself over here:
 * `leftover` keeps one such thread, and the next that comes takes its place and joins it, which takes
 * microseconds, since a thread hands itself over when it has nothing left to do. So at most one is left at
 * any time, without any memory, and the program's end joins that one. Nobody waits in a circle: each joins
 * only one that came before it.
 *
 * Fork rule: in the child of a raw fork nothing here does anything, since all whom it would wait for are
 * gone. */
#include "thread/thread.h"

#include "base/afresh.h"
#include "base/guard.h"
#include "park/park.h"

static guard exit_guard; /* of all but `holding` */
static uint32_t prepared;
static list_link hooks = {&hooks, &hooks}; /* the last added first */
static exit_hook *running_hook;            /* NULL: none runs */
static uint32_t hooks_run;                 /* how many have; waited on */
static pthread_t leftover;
static bool has_leftover;

static uint32_t holding;   /* waited on for 0 */
static void (*last)(void); /* runs when the threads are gone; or NULL */

static _Thread_local bool in_exit;

/* ---- at the end ------------------------------------------------------------------------------------ */

static void run_hooks(void)
{
    guard_lock(&exit_guard);
    while (!list_empty(&hooks)) {
        exit_hook *hook = container_of(hooks.next, exit_hook, link);
        list_remove(&hook->link);
        running_hook = hook;
        guard_unlock(&exit_guard);
        hook->run(hook);
        guard_lock(&exit_guard);
        running_hook = NULL;
        /* The hook's memory may be freed by who sees this: partner of the load in remove. */
        atomic_store_release(&hooks_run, hooks_run + 1);
        motet__unpark(&hooks_run, UNPARK_ALL);
    }
    guard_unlock(&exit_guard);
}

static void wait_for_threads(void)
{
    uint32_t n;
    /* Acquire: partner of the release of each thread. */
    while ((n = atomic_load_acquire(&holding)) != 0)
        motet__park(&holding, n, MOTET_FOREVER, PARK_NO_CANCEL);
    guard_lock(&exit_guard);
    bool join = has_leftover;
    pthread_t thread = leftover;
    has_leftover = false;
    guard_unlock(&exit_guard);
    if (join)
        sys_thread_join(thread);
    motet__threads_join_ended();
}

void motet__exit_run(void)
{
    if (!motet__park_allowed())
        return;
    in_exit = true;
    bool shielded = motet_shield(true), interruptible = motet_interruptible(false);
    motet__thread_leave();
    run_hooks();
    wait_for_threads();
    if (last)
        last();
    motet_interruptible(interruptible);
    motet_shield(shielded);
    in_exit = false;
}

int motet__exit_prepare(void)
{
    if (!motet__park_allowed())
        return -EPERM;
    if (atomic_load_acquire(&prepared))
        return 0;
    int e = 0;
    guard_lock(&exit_guard);
    if (!prepared) {
        e = sys_at_exit(motet__exit_run);
        if (!e)
            atomic_store_release(&prepared, 1);
    }
    guard_unlock(&exit_guard);
    return e;
}

void motet__exit_last(void (*run)(void)) { last = run; }

/* The parent's threads are not this process's, and the pools of its hooks are gone. */
static void forget(void)
{
    exit_guard = (guard){0};
    list_init(&hooks);
    running_hook = NULL;
    has_leftover = false;
    holding = 0;
    in_exit = false;
}
AFRESH(forget);

/* ---- hooks ----------------------------------------------------------------------------------------- */

int motet__exit_hook_add(exit_hook *hook)
{
    int e = motet__exit_prepare();
    if (e < 0)
        return e;
    guard_lock(&exit_guard);
    list_insert_before(hooks.next, &hook->link);
    guard_unlock(&exit_guard);
    return 0;
}

void motet__exit_hook_remove(exit_hook *hook)
{
    if (!motet__park_allowed())
        return;
    guard_lock(&exit_guard);
    if (list_linked(&hook->link))
        list_remove(&hook->link);
    while (running_hook == hook && !in_exit) {
        uint32_t n = atomic_load_relaxed(&hooks_run); /* under the guard */
        guard_unlock(&exit_guard);
        motet__park(&hooks_run, n, MOTET_FOREVER, PARK_NO_CANCEL);
        guard_lock(&exit_guard);
    }
    guard_unlock(&exit_guard);
}

/* ---- threads --------------------------------------------------------------------------------------- */

void motet__exit_hold(void)
{
    /* Relaxed: who holds keeps `holding` from 0, or else the end may just as well have come before. */
    atomic_add_relaxed(&holding, 1);
}

void motet__exit_release(void)
{
    /* All that the thread did, before the program's end goes on. */
    if (atomic_sub_acq_rel(&holding, 1) == 1)
        motet__unpark(&holding, UNPARK_ALL);
}

void motet__exit_hand_over(pthread_t self)
{
    guard_lock(&exit_guard);
    bool join = has_leftover;
    pthread_t earlier = leftover;
    leftover = self;
    has_leftover = true;
    guard_unlock(&exit_guard);
    if (join)
        sys_thread_join(earlier);
}
