/* SPDX-License-Identifier: MIT */
/* The thread pool as an executor: open, submit, shutdown, terminate, close. States and invariants: pool.h. */
#include "executor/pool.h"

#include "base/panic.h"
#include "park/park.h"

#include <string.h>

/* ---- wakes ----------------------------------------------------------------------------------------- */

static bool rings_empty(pool *p)
{
    for (worker *w = p->list; w; w = w->next)
        if (!w->stand_in && !ring_empty(&w->ring))
            return false;
    return true;
}

void motet__pool_more_to_do(pool *p, pool_wakes *w)
{
    if (p->searching || (!p->queue.count && rings_empty(p)))
        return;
    if (p->sleepers && p->alive - p->blocked - p->sleepers < p->workers) {
        p->sleepers--;
        p->searching++;
        p->tokens++;
        atomic_store_release(&p->wakes, p->wakes + 1);
        w->sleepers++;
    } else if (p->alive - p->blocked < p->workers && p->alive < p->workers + STAND_INS_MAX) {
        p->alive++;
        w->start = true;
    }
}

void motet__pool_check_end(pool *p, pool_wakes *w)
{
    if (p->closing && !p->alive && !p->callers && !p->queue.count) {
        atomic_store_release(&p->ended, 1);
        w->ended = true;
    }
}

int motet__pool_wake(pool *p, const pool_wakes *w)
{
    if (w->sleepers)
        motet__unpark(&p->wakes, w->sleepers);
    if (w->submitters)
        motet__unpark(&p->space, w->submitters);
    int e = w->start ? motet__pool_start_worker(p) : 0;
    if (w->ended)
        motet__unpark(&p->ended, UNPARK_ALL); /* by address: the pool may be gone by now */
    return e;
}

static void end_pending(pool *p, int code);

/* ---- submit ---------------------------------------------------------------------------------------- */

/* Under the guard: waits, without it, for room in the queue. 1: look again. */
static int wait_for_space(pool *p, motet_time deadline)
{
    uint32_t seen = p->space;
    p->space_waiters++;
    guard_unlock(&p->guard);
    /* A worker that waits for room gives its place to another, which makes room. */
    executor_worker *w = deadline > 0 ? motet__worker_current() : NULL;
    bool blocked = w && w->ops->block(w);
    int e = w && !blocked ? w->ops->help(w, &p->space, seen + 1, deadline) : motet__park(&p->space, seen, deadline, 0);
    if (blocked)
        w->ops->unblock(w);
    guard_lock(&p->guard);
    p->space_waiters--;
    return e < 0 ? e : 1;
}

/* Passes on the room that it may have been woken for. */
int motet__pool_give_up(pool *p, int code)
{
    pool_wakes wakes = {0};
    if (p->space_waiters && p->queue.count < p->queue_max) {
        atomic_store_release(&p->space, p->space + 1);
        wakes.submitters = 1;
    }
    guard_unlock(&p->guard);
    motet__pool_wake(p, &wakes);
    return code;
}

/* No worker could be started, for `code`, while others may have counted on it: when nobody is left to run them, the jobs
 * that wait fail. */
static void check_stranded(pool *p, int code)
{
    guard_lock(&p->guard);
    bool stranded = p->queue.count && p->alive <= p->blocked;
    guard_unlock(&p->guard);
    if (stranded)
        end_pending(p, code);
}

/* Under the guard: sees to it that somebody will run what is about to be put: 1 it had to let go of the guard, 0, or the
 * code with which no thread could be had. */
static int ensure_worker(pool *p)
{
    if (likely(p->alive > p->blocked))
        return 0;
    if (p->alive >= p->workers + STAND_INS_MAX)
        return 0; /* those blocked help themselves */
    p->alive++;
    guard_unlock(&p->guard);
    int e = motet__pool_start_worker(p);
    if (e < 0)
        check_stranded(p, e);
    guard_lock(&p->guard);
    return e < 0 ? e : 1;
}

int motet__pool_enter(pool *p, motet_time deadline)
{
    guard_lock(&p->guard);
    for (int e;;) {
        if (p->closing)
            e = p->broken ? p->broken : -EPIPE;
        else if (p->queue.count >= p->queue_max)
            e = wait_for_space(p, deadline);
        else if ((e = ensure_worker(p)) == 0 && motet__jobs_reserve(&p->queue))
            return 0;
        else if (e == 0)
            e = -ENOMEM;
        if (e < 0)
            return motet__pool_give_up(p, e);
    }
}

void motet__pool_leave_with(pool *p, job *j, uint64_t items)
{
    pool_wakes wakes = {0};
    motet__jobs_put(&p->queue, j);
    p->submitted += items;
    if (!p->searching)
        motet__pool_more_to_do(p, &wakes);
    guard_unlock(&p->guard);
    /* A thread more that can't be started is none the worse: somebody is alive, or else the job fails. */
    int e = motet__pool_wake(p, &wakes);
    if (e < 0)
        check_stranded(p, e);
}

int motet__pool_put(pool *p, job *j, motet_time deadline, uint64_t items)
{
    int e = motet__pool_enter(p, deadline);
    if (e == 0)
        motet__pool_leave_with(p, j, items);
    return e;
}

static void run_future(job *j, int code)
{
    motet_future *f = container_of(j, motet_future, job);
    pool *p = pool_of(f->executor); /* alive: it is not closed before its queue is empty */
    if (code == -ECANCELED) {
        motet_future_cancel(f);
    } else if (motet__future_claim(f)) {
        if (code) {
            atomic_add_relaxed(&p->cancelled, 1);
            motet__future_fail(f, code, MOTET_WORKER_DIED);
        } else {
            motet__future_run(f);
            worker_count(motet__worker_current(), 1);
        }
    }
    if (motet_future_state_of(f) == MOTET_CANCELLED)
        atomic_add_relaxed(&p->cancelled, 1);
    motet_future_unref(f);
}

static int thread_submit(motet_executor *ex, motet_future *f, const motet_submit_options *opt)
{
    if (opt->timeout_ns)
        return -ENOTSUP; /* a thread can't be killed */
    f->job.run = run_future;
    return motet__pool_put(pool_of(ex), &f->job, opt->deadline ? opt->deadline : MOTET_FOREVER, 1);
}

/* ---- callers that help ----------------------------------------------------------------------------- */

bool motet__pool_caller_enters(pool *p)
{
    guard_lock(&p->guard);
    bool open = !p->ended;
    if (open)
        p->callers++;
    guard_unlock(&p->guard);
    return open;
}

void motet__pool_caller_leaves(pool *p, uint64_t ran)
{
    pool_wakes wakes = {0};
    guard_lock(&p->guard);
    p->callers--;
    p->by_callers += ran;
    motet__pool_check_end(p, &wakes);
    guard_unlock(&p->guard);
    motet__pool_wake(p, &wakes);
}

static bool run_for_caller(motet_executor *ex, motet_future *f)
{
    pool *p = pool_of(ex);
    if (!motet__pool_caller_enters(p))
        return false;
    bool ran = motet__future_claim(f);
    if (ran)
        motet__future_run(f);
    motet__pool_caller_leaves(p, ran);
    return ran;
}

static int thread_kill(motet_future *f) { return -ENOTSUP; }

/* ---- the end --------------------------------------------------------------------------------------- */

/* Ends with `code` every job that has not begun. Counted as a caller: the pool doesn't end under it. */
static void end_pending(pool *p, int code)
{
    bool stolen;
    guard_lock(&p->guard);
    p->callers++;
    if (p->closing)
        atomic_store_relaxed(&p->dropping, 1); /* the rest of maps that have begun */
    for (job *j; (j = motet__pool_take_any(p, &stolen));) {
        guard_unlock(&p->guard);
        j->run(j, code);
        guard_lock(&p->guard);
    }
    guard_unlock(&p->guard);
    motet__pool_caller_leaves(p, 0);
}

/* Refuses new jobs; every sleeper gets up to see that it can leave, every submitter that it came too late. */
static void begin_closing(pool *p, int broken)
{
    pool_wakes wakes = {0};
    guard_lock(&p->guard);
    p->closing = true;
    if (broken && !p->broken)
        p->broken = broken;
    wakes.sleepers = p->sleepers;
    p->searching += p->sleepers;
    p->tokens += p->sleepers;
    p->sleepers = 0;
    atomic_store_release(&p->wakes, p->wakes + 1);
    wakes.submitters = p->space_waiters ? UNPARK_ALL : 0;
    atomic_store_release(&p->space, p->space + 1);
    motet__pool_check_end(p, &wakes);
    guard_unlock(&p->guard);
    motet__pool_wake(p, &wakes);
}

void motet__pool_break(pool *p, int code)
{
    begin_closing(p, code);
    end_pending(p, code);
}

static int thread_shutdown(motet_executor *ex, bool cancel_pending, motet_time deadline)
{
    pool *p = pool_of(ex);
    begin_closing(p, 0);
    if (cancel_pending)
        end_pending(p, -ECANCELED);
    return motet__worker_wait(&p->ended, 1, deadline);
}

static int thread_terminate(motet_executor *ex)
{
    pool *p = pool_of(ex);
    begin_closing(p, 0);
    end_pending(p, -ECANCELED);
    guard_lock(&p->guard);
    for (worker *w = p->list; w; w = w->next)
        if (w->thread)
            motet_thread_cancel(w->thread); /* takes the thread's own guard alone */
    guard_unlock(&p->guard);
    return 0;
}

static void thread_stats(motet_executor *ex, motet_executor_stats_t *ret)
{
    pool *p = pool_of(ex);
    guard_lock(&p->guard);
    ret->workers = p->workers;
    ret->alive = p->alive;
    ret->idle = p->sleepers + p->tokens;
    ret->waiting = p->blocked;
    ret->submitted = p->submitted;
    ret->cancelled = atomic_load_relaxed(&p->cancelled);
    ret->by_callers = p->by_callers;
    ret->finished = p->finished_before + p->by_callers;
    ret->stolen = p->stolen_before;
    ret->pending = p->queue.count;
    for (worker *w = p->list; w; w = w->next) {
        ret->finished += atomic_load_relaxed(&w->base.ran);
        ret->stolen += atomic_load_relaxed(&w->stolen);
        if (!w->stand_in)
            ret->pending += atomic_load_relaxed(&w->ring.tail) - atomic_load_relaxed(&w->ring.head);
    }
    guard_unlock(&p->guard);
}

static void thread_close(motet_executor *ex)
{
    pool *p = pool_of(ex);
    motet__exit_hook_remove(&p->exit_hook);
    motet__pool_reap(p);
    executor_unref(ex);
}

static void thread_free(motet_executor *ex)
{
    pool *p = pool_of(ex);
    motet__jobs_free(&p->queue);
    motet__pool_slabs_free(p);
    sys_free(p->name);
    sys_free(p);
}

static const executor_ops thread_pool_ops = {
    .submit = thread_submit,
    .submit_detached = motet__pool_submit_detached,
    .map = motet__pool_map,
    .run_for_caller = run_for_caller,
    .kill = thread_kill,
    .shutdown = thread_shutdown,
    .terminate = thread_terminate,
    .stats = thread_stats,
    .close = thread_close,
};

/* ---- open ------------------------------------------------------------------------------------------ */

/* The program ends: what was submitted is finished; its threads are then joined as every other. */
static void at_exit(exit_hook *hook)
{
    pool *p = container_of(hook, pool, exit_hook);
    executor_worker *w = motet__worker_current();
    if (motet__executor_runs_here(&p->base)) {
        /* A task called exit: it can't wait for itself. Others do the rest, and are waited for as every thread is. */
        begin_closing(p, 0);
        if (w && w->executor == &p->base)
            w->ops->block(w);
    } else {
        thread_shutdown(&p->base, false, MOTET_FOREVER); /* not cut short: who runs exit hooks is shielded */
    }
}

/* With an initializer every worker starts at once, and each has to come through. All are counted before the first one
 * starts: should that fail and leave at once, it must not take itself for the last. */
static int start_initialized(pool *p)
{
    int e = 0;
    unsigned started = 0; /* or tried: one that can't be had takes itself off the count */
    p->initializing = p->alive = p->workers;
    while (started < p->workers && e == 0) {
        e = motet__pool_start_worker(p);
        started++;
    }
    if (started < p->workers) {
        pool_wakes wakes = {0};
        guard_lock(&p->guard);
        p->alive -= p->workers - started;
        motet__pool_check_end(p, &wakes);
        guard_unlock(&p->guard);
        motet__pool_wake(p, &wakes);
    }
    if (e == 0) {
        bool shielded = motet_shield(true), interruptible = motet_interruptible(false);
        motet__worker_wait(&p->ready, 1, MOTET_FOREVER);
        motet_interruptible(interruptible);
        motet_shield(shielded);
        guard_lock(&p->guard);
        e = p->broken;
        guard_unlock(&p->guard);
    }
    return e;
}

static int check_options(const motet_pool_options *opt)
{
    if (opt->workers > WORKERS_MAX || opt->queue_max > UINT32_MAX)
        return -EINVAL;
    if (opt->method || opt->max_tasks_per_worker || opt->task_timeout_ns || opt->memory_max || opt->restart_max)
        return -ENOTSUP;
    return 0;
}

static pool *new_pool(const motet_pool_options *opt)
{
    pool *p = sys_alloc_lines(sizeof *p);
    const char *name = opt->name ? opt->name : "Pool";
    size_t size = strlen(name) + 1;
    char *copy = sys_alloc(size);
    if (!p || !copy) {
        sys_free(p);
        sys_free(copy);
        return NULL;
    }
    memcpy(copy, name, size);
    p->base = (motet_executor){
        .ops = &thread_pool_ops, .caller_helps = opt->caller_helps, .references = 1, .free = thread_free};
    p->name = copy;
    p->workers = opt->workers ? opt->workers : (unsigned)motet_cpu_count();
    p->queue_max = opt->queue_max ? opt->queue_max : UINT64_MAX;
    p->initializer = opt->initializer;
    p->arg = opt->arg;
    p->exit_hook.run = at_exit;
    return p;
}

int motet_thread_pool_open(motet_executor **ex, const motet_pool_options *opt)
{
    static const motet_pool_options none;
    if (!opt)
        opt = &none;
    if (!ex)
        return -EINVAL;
    int e = check_options(opt);
    if (e < 0)
        return e;
    pool *p = new_pool(opt);
    if (!p)
        return -ENOMEM;
    e = motet__exit_hook_add(&p->exit_hook);
    if (e < 0) {
        thread_free(&p->base);
        return e;
    }
    if (p->initializer && (e = start_initialized(p)) < 0) {
        motet_executor_close(&p->base);
        return e;
    }
    *ex = &p->base;
    return 0;
}
