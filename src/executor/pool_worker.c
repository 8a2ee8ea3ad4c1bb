/* SPDX-License-Identifier: MIT */
/* A worker of the thread pool: finds jobs, runs them, searches, sleeps, is stood in for, leaves. Invariants: pool.h. */
#include "executor/pool.h"

#include "base/panic.h"
#include "park/park.h"

#include <stdio.h>

/* ---- taking ---------------------------------------------------------------------------------------- */

job *motet__pool_take_any(pool *p, bool *ret_stolen)
{
    job *j = motet__jobs_take(&p->queue);
    *ret_stolen = false;
    for (worker *w = p->list; w && !j; w = w->next) {
        if (w->stand_in)
            continue;
        j = ring_take(&w->ring);
        *ret_stolen = j != NULL;
    }
    return j;
}

/* Under the guard: so many were taken off the queue. */
static void make_room(pool *p, unsigned taken, pool_wakes *wakes)
{
    if (taken && p->space_waiters) {
        atomic_store_release(&p->space, p->space + 1);
        wakes->submitters = taken;
    }
}

/* Under the guard: one job to run and, from a long queue, a fair share of the rest for the worker's ring. */
static job *take(worker *w, pool_wakes *wakes)
{
    pool *p = w->pool;
    /* Of a bounded queue no more than it runs: on its ring they would still be waiting, beyond the bound. */
    uint64_t share = p->queue_max == UINT64_MAX ? p->queue.count / (2 * (uint64_t)p->workers) : 1;
    bool stolen;
    job *j = motet__pool_take_any(p, &stolen);
    if (stolen)
        atomic_store_relaxed(&w->stolen, w->stolen + 1);
    unsigned taken = j && !stolen;
    if (taken && !w->stand_in && share > 1) {
        uint32_t room = ring_room(&w->ring);
        uint64_t more = share - 1 < BATCH_MAX - 1 ? share - 1 : BATCH_MAX - 1;
        for (; more && room; more--, room--, taken++)
            ring_put(&w->ring, motet__jobs_take(&p->queue));
    }
    make_room(p, taken, wakes);
    return j;
}

/* ---- searching and sleeping ------------------------------------------------------------------------ */

static bool work_in_sight(const void *arg)
{
    const pool *p = arg;
    return atomic_load_relaxed(&p->queue.count) != 0;
}

static void relax(int times)
{
    for (int i = 0; i < times; i++)
        cpu_relax();
}

/* Without the guard: when jobs are coming one after the other, and few are there, lets some gather. Else a worker that is
 * as fast as the submitter takes them one by one, and the two do little but hand the guard's cache line to and fro. A
 * lone job waits for a moment's look only. */
static void let_gather(const pool *p)
{
    enum { FEW = 8, LOOK = 3, GATHER = 24 };
    uint64_t seen = atomic_load_relaxed(&p->queue.count);
    if (!seen || seen >= FEW)
        return;
    relax(LOOK);
    if (atomic_load_relaxed(&p->queue.count) > seen)
        relax(GATHER);
}

/* Under the guard, and without it meanwhile: the worker, the one that searches, watches the queue for a while. */
static void watch(worker *w)
{
    pool *p = w->pool;
    uint32_t ns = motet__spin_pays() && !p->closing ? spin_budget_now(&w->search) : 0;
    if (!ns)
        return;
    guard_unlock(&p->guard);
    spin_budget_learn(&w->search, spin_watch(ns, INT64_MAX, work_in_sight, p));
    let_gather(p);
    guard_lock(&p->guard);
}

/* Under the guard, and without it meanwhile: sleeps until it has a token, which makes it searching. */
static void sleep_for_token(pool *p)
{
    p->sleepers++;
    do {
        uint32_t seen = p->wakes;
        guard_unlock(&p->guard);
        motet__park(&p->wakes, seen, MOTET_FOREVER, PARK_NO_CANCEL | PARK_NO_SPIN);
        guard_lock(&p->guard);
    } while (!p->tokens);
    p->tokens--;
    /* The wake may have been meant for another: a sleeper that has its token already, and has not come to sleep yet, stands
     * first in the line. While there are tokens, each who takes one sees that the next comes. */
    if (p->tokens) {
        guard_unlock(&p->guard);
        motet__unpark(&p->wakes, 1);
        guard_lock(&p->guard);
    }
}

/* Under the guard: whether those that it stood in for are back at work, so that there are more at work than the pool has
 * workers. */
static bool one_too_many(const worker *w)
{
    const pool *p = w->pool;
    return w->stand_in && p->alive - p->blocked - p->sleepers > p->workers;
}

/* Under the guard: whether a worker that found nothing is to leave. */
static bool may_leave(const worker *w)
{
    const pool *p = w->pool;
    return p->closing || (w->stand_in && p->alive - p->blocked > p->workers);
}

/* The next job, or NULL when the worker is to leave (then the guard is held). */
static job *next_job(worker *w)
{
    pool *p = w->pool;
    job *j = w->stand_in ? NULL : ring_take(&w->ring);
    if (j)
        return j;
    pool_wakes wakes = {0};
    bool searching = false, watched = false;
    motet__pool_settle(w);
    let_gather(p);
    guard_lock(&p->guard);
    while (one_too_many(w) || !(j = take(w, &wakes))) {
        if (may_leave(w)) {
            p->searching -= searching;
            return NULL;
        }
        if (!searching && !p->searching) {
            searching = true;
            p->searching++;
        }
        if (searching && !watched) {
            watched = true;
            watch(w);
            continue;
        }
        p->searching -= searching;
        sleep_for_token(p);
        searching = true;
        watched = false;
    }
    p->searching -= searching;
    motet__pool_more_to_do(p, &wakes);
    guard_unlock(&p->guard);
    motet__pool_wake(p, &wakes);
    return j;
}

/* ---- standing in ----------------------------------------------------------------------------------- */

static bool block(executor_worker *base)
{
    worker *w = container_of(base, worker, base);
    pool *p = w->pool;
    pool_wakes wakes = {0};
    guard_lock(&p->guard);
    p->blocked++;
    motet__pool_more_to_do(p, &wakes);
    bool covered = p->alive > p->blocked || p->alive < p->workers + STAND_INS_MAX;
    guard_unlock(&p->guard);
    if (motet__pool_wake(p, &wakes) < 0)
        covered = false;
    if (!covered) {
        guard_lock(&p->guard);
        p->blocked--;
        guard_unlock(&p->guard);
    }
    return covered;
}

static void unblock(executor_worker *base)
{
    pool *p = container_of(base, worker, base)->pool;
    guard_lock(&p->guard);
    p->blocked--;
    guard_unlock(&p->guard);
}

/* Under the guard, and without it meanwhile: sleeps as a sleeper of the pool until the word changes too. */
static int sleep_for_either(pool *p, const uint32_t *word, uint32_t value, motet_time deadline, pool_wakes *wakes)
{
    p->sleepers++;
    wait_node nodes[2] = {{.key = word, .word = word, .expected = value},
                          {.key = &p->wakes, .word = &p->wakes, .expected = p->wakes}};
    park_request r = {.nodes = nodes, .nodes_count = 2, .deadline = deadline};
    guard_unlock(&p->guard);
    int e = motet__park_many(&r);
    guard_lock(&p->guard);
    /* A token must be taken by a sleeper; if it was meant for another, that one sleeps on in this one's stead. */
    if (p->tokens) {
        p->tokens--;
        p->searching--;
        wakes->sleepers += p->tokens > 0; /* as in sleep_for_token */
    } else {
        p->sleepers--;
    }
    return e;
}

static int help(executor_worker *base, const uint32_t *word, uint32_t at_least, motet_time deadline)
{
    worker *w = container_of(base, worker, base);
    pool *p = w->pool;
    int e = 0;
    for (uint32_t value; e >= 0 && (value = atomic_load_acquire(word)) < at_least;) {
        pool_wakes wakes = {0};
        bool stolen;
        guard_lock(&p->guard);
        job *j = motet__pool_take_any(p, &stolen);
        make_room(p, j && !stolen, &wakes);
        if (!j)
            e = sleep_for_either(p, word, value, deadline, &wakes);
        motet__pool_more_to_do(p, &wakes);
        guard_unlock(&p->guard);
        motet__pool_wake(p, &wakes);
        if (j)
            j->run(j, 0);
    }
    return atomic_load_acquire(word) >= at_least ? 0 : e;
}

static const worker_ops ops = {.block = block, .unblock = unblock, .help = help};

/* ---- a worker's life ------------------------------------------------------------------------------- */

/* True when it may run jobs. */
static bool initialize(worker *w)
{
    pool *p = w->pool;
    int e = p->initializer ? p->initializer(p->arg) : 0;
    if (e < 0)
        motet__pool_break(p, e);
    guard_lock(&p->guard);
    bool last = p->initializing && --p->initializing == 0;
    guard_unlock(&p->guard);
    if (last) {
        atomic_store_release(&p->ready, 1);
        motet__unpark(&p->ready, UNPARK_ALL);
    }
    return e >= 0;
}

/* Under the guard: from the list of those at work, where it is. */
static void off_list(worker *w)
{
    worker **at = &w->pool->list;
    for (; *at != w; at = &(*at)->next)
        MOTET_ASSERT(*at != NULL);
    *at = w->next;
}

/* Under the guard, which it lets go of: from the list of those at work to that of those to be joined. */
static void leave(worker *w)
{
    pool *p = w->pool;
    pool_wakes wakes = {0};
    off_list(w);
    w->next = p->left;
    p->left = w;
    p->finished_before += w->base.ran;
    p->stolen_before += w->stolen;
    p->alive--;
    motet__pool_more_to_do(p, &wakes);
    motet__pool_check_end(p, &wakes);
    guard_unlock(&p->guard);
    motet__pool_wake(p, &wakes);
}

static int worker_main(void *arg)
{
    worker *w = arg;
    pool *p = w->pool;
    motet__worker_set_current(&w->base);
    motet_thread *self = motet_thread_current();
    guard_lock(&p->guard);
    w->thread = self;
    guard_unlock(&p->guard);
    if (initialize(w)) {
        for (job *j; (j = next_job(w));)
            j->run(j, 0);
    } else {
        guard_lock(&p->guard);
    }
    motet__worker_set_current(NULL);
    leave(w);
    return 0;
}

/* A worker's memory; with a ring while the pool has not as many as it was opened for. */
static worker *new_worker(pool *p, char *name, size_t name_size)
{
    guard_lock(&p->guard);
    bool stand_in = p->own >= p->workers;
    p->own += !stand_in;
    unsigned number = ++p->named;
    guard_unlock(&p->guard);
    snprintf(name, name_size, "%s-%u", p->name, number);
    worker *w = sys_alloc_lines(stand_in ? offsetof(worker, ring) : sizeof *w);
    if (w) {
        w->base = (executor_worker){.ops = &ops, .executor = &p->base};
        w->pool = p;
        w->stand_in = stand_in;
        w->search = (spin_budget)SPIN_BUDGET_FULL;
    } else if (!stand_in) {
        guard_lock(&p->guard);
        p->own--;
        guard_unlock(&p->guard);
    }
    return w;
}

static void forget_worker(worker *w)
{
    pool *p = w->pool;
    guard_lock(&p->guard);
    off_list(w);
    p->own -= !w->stand_in;
    guard_unlock(&p->guard);
    sys_free(w);
}

int motet__pool_start_worker(pool *p)
{
    enum { NAME_SIZE = 64 };
    char name[NAME_SIZE];
    motet__pool_reap(p);
    worker *w = new_worker(p, name, sizeof name);
    int e = -ENOMEM;
    if (w) {
        guard_lock(&p->guard);
        w->next = p->list;
        p->list = w;
        guard_unlock(&p->guard);
        motet_thread *thread;
        motet_thread_options options = {.name = name};
        e = motet_thread_start(&thread, worker_main, w, &options);
        if (e == 0)
            motet_thread_free(thread); /* the worker holds a reference to itself, for who joins it */
        else
            forget_worker(w);
    }
    if (e < 0) {
        pool_wakes wakes = {0};
        guard_lock(&p->guard);
        p->alive--;
        if (p->sleepers)
            motet__pool_more_to_do(p, &wakes); /* which left it to this one */
        motet__pool_check_end(p, &wakes);
        guard_unlock(&p->guard);
        motet__pool_wake(p, &wakes);
    }
    return e;
}

void motet__pool_reap(pool *p)
{
    for (;;) {
        guard_lock(&p->guard);
        worker *w = p->left;
        if (w)
            p->left = w->next;
        guard_unlock(&p->guard);
        if (!w)
            return;
        /* It has left, and is gone in a moment; nothing cuts that short. */
        bool shielded = motet_shield(true), interruptible = motet_interruptible(false);
        MOTET_ASSERT(motet_thread_join(w->thread, NULL, MOTET_FOREVER) == 0);
        motet_interruptible(interruptible);
        motet_shield(shielded);
        motet_thread_free(w->thread);
        sys_free(w);
    }
}
