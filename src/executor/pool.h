/* SPDX-License-Identifier: MIT */
/* The thread pool inside.
 *
 * Jobs (futures, and parts of maps) wait in one queue, in segments of pointers, oldest first. A worker that needs work takes
 * a batch: one job to run, the rest onto its ring, where other workers may steal. All counts below change only under the
 * pool's guard, which is held for a few instructions; a batch makes it cheap.
 *
 * Workers: `alive` = running + searching + sleepers + blocked.
 *  - at most one *searching* worker watches the queue awake for some microseconds before it sleeps;
 *  - *sleepers* are parked; who puts work while none searches gives one sleeper a *token* and counts it as searching; a
 *    woken one takes a token or goes on sleeping;
 *  - *blocked* ones wait for a future inside a task. They don't count as workers meanwhile: when there is work, another is
 *    started in their place (up to STAND_INS_MAX more threads). It leaves after its task when more are at work (alive -
 *    blocked - sleepers) than the pool has workers, and no sleeper is woken while as many are.
 *
 * Nothing is forgotten: a worker announces its sleep under the guard after it saw the queue and every ring empty; who puts
 * work does so under the guard and looks for sleepers there. Jobs on a ring whose owner is busy are seen by the searcher,
 * and who leaves some behind wakes one (more_to_do), as does a searcher that finds work and leaves more.
 *
 * End: `closing` refuses new jobs; a worker that finds nothing to do then ends. When none is alive and nothing is queued
 * `ended` becomes 1 for good. `broken` holds the code of an initializer that failed: all jobs fail with it.
 *
 * Lock order: the guard is innermost; no callback and no unpark happens under it. Fork rule: after a raw fork waits fail. */
#ifndef MOTET_EXECUTOR_POOL_H
#define MOTET_EXECUTOR_POOL_H

#include "base/spin.h"
#include "executor/executor.h"
#include "executor/ring.h"
#include "executor/worker.h"
#include "thread/thread.h"

enum {
    STAND_INS_MAX = 1024, /* threads beyond `.workers`, for workers that wait */
    WORKERS_MAX = 4096,   /* of `.workers` */
    SEGMENT_JOBS = 510,   /* so that a segment is 4 KiB */
    BATCH_MAX = 64,       /* jobs that a worker takes at a time */
};

typedef struct segment {
    struct segment *next;
    job *jobs[SEGMENT_JOBS];
} segment;

typedef struct job_queue { /* guarded by the pool's guard */
    segment *first, *last;
    uint32_t first_index, last_index; /* of the next job out, of the next free place */
    segment *spare;                   /* one is kept */
    uint64_t count;                   /* written under the guard, watched by the searcher without it */
} job_queue;

/* Room for one more job. False: no memory. */
bool motet__jobs_reserve(job_queue *q);
void motet__jobs_put(job_queue *q, job *j); /* after a reserve */
job *motet__jobs_take(job_queue *q);        /* NULL: empty */
void motet__jobs_free(job_queue *q);

typedef struct pool pool;
typedef struct slab slab;

typedef struct worker {
    executor_worker base;
    pool *pool;
    motet_thread *thread;
    bool stand_in;       /* one beyond the pool's own: it has no ring, and leaves when it is one too many */
    spin_budget search;  /* how long it searches awake */
    uint64_t stolen;     /* written by the worker alone */
    slab *slab;          /* of the records that it ran last; its own, as the next */
    uint32_t slab_ran;   /* so many, not given back yet */
    struct worker *next; /* on the pool's lists, guarded by it */
    ring ring;           /* last: a stand-in's memory ends before it */
} worker;

struct pool {
    motet_executor base;
    /* set at open */
    unsigned workers;
    uint64_t queue_max; /* UINT64_MAX: none */
    motet_fn *initializer;
    void *arg;
    char *name;
    exit_hook exit_hook;
    uint32_t dropping; /* 1: what has not begun never will; set once, read without the guard */

    CACHE_ALIGNED guard guard;
    job_queue queue;
    unsigned alive, searching, sleepers, tokens, blocked, callers; /* callers: threads outside that run or end jobs */
    unsigned own;                                                  /* workers with a ring, ever made */
    unsigned named;                                                /* workers ever started, for their names */
    unsigned initializing; /* at open: workers whose initializer has not returned */
    bool closing;
    int broken;
    worker *list;             /* workers at work */
    worker *left;             /* workers that have left, to be joined */
    slab *slab, *spare_slabs; /* for tasks without a future: the current one, and others */
    unsigned slabs_spare;
    uint64_t submitted, finished_before, cancelled, by_callers, stolen_before; /* `before`: by workers that left */
    uint32_t space_waiters;

    uint32_t wakes; /* word: sleepers wait for it to change */
    uint32_t space; /* word: submitters to a full queue wait for it to change */
    uint32_t ready; /* word: 1 when every initializer has returned */
    uint32_t ended; /* word: 1 when the last worker has ended after closing */
};

static inline pool *pool_of(motet_executor *ex) { return container_of(ex, pool, base); }

/* What to do after the guard is released; gathered under it. */
typedef struct pool_wakes {
    unsigned sleepers;   /* to unpark */
    unsigned submitters; /* waiters for space to unpark */
    bool start;          /* a worker is to be started (counted in `alive` already) */
    bool ended;          /* tell who waits for the end */
} pool_wakes;

/* ---- pool.c ---------------------------------------------------------------------------------------- */

/* Under the guard: when there is work that nobody is looking for, sees that somebody comes. */
void motet__pool_more_to_do(pool *p, pool_wakes *w);

/* Under the guard: sets `ended` when the pool is closing and nobody and nothing is left. */
void motet__pool_check_end(pool *p, pool_wakes *w);

/* Without the guard: carries out what was gathered. 0; or the code with which the thread could not be started: then its
 * count has been taken back. */
int motet__pool_wake(pool *p, const pool_wakes *w);

/* An initializer failed with `code`: every job fails with it, now and from now on. */
void motet__pool_break(pool *p, int code);

/* Puts a job on the queue, and waits while that is full. 0, or a code of motet_submit and the job not taken. `items` counts
 * in the statistics. */
int motet__pool_put(pool *p, job *j, motet_time deadline, uint64_t items);

/* The same in two steps, for who makes the job in between. Enter: room for one more job, waiting for it: 0 under the guard,
 * or a code without it. Then either leave_with puts the job, or give_up does not and returns `code`; both let go of the
 * guard. */
int motet__pool_enter(pool *p, motet_time deadline);
void motet__pool_leave_with(pool *p, job *j, uint64_t items);
int motet__pool_give_up(pool *p, int code);

/* A thread outside is about to run jobs: true, and the pool does not end before it leaves; or the pool has ended. It has run
 * `ran` tasks when it leaves. */
bool motet__pool_caller_enters(pool *p);
void motet__pool_caller_leaves(pool *p, uint64_t ran);

/* ---- pool_worker.c --------------------------------------------------------------------------------- */

/* Starts the thread of a worker that has been counted in `alive`. 0; -ENOMEM, -EAGAIN. */
int motet__pool_start_worker(pool *p);

/* Under the guard: a job of the queue or, failing that, of somebody's ring; NULL: there is none. Only one is taken. */
job *motet__pool_take_any(pool *p, bool *ret_stolen);

/* Joins and frees the workers that have left. */
void motet__pool_reap(pool *p);

/* ---- pool_detached.c ------------------------------------------------------------------------------- */

int motet__pool_submit_detached(motet_executor *ex, const motet_task *task, motet_bytes in,
                                const motet_submit_options *opt);

/* By the worker, without the guard: gives back the memory of the tasks without a future that it has run. */
void motet__pool_settle(worker *w);

/* At the pool's very end. */
void motet__pool_slabs_free(pool *p);

/* ---- pool_map.c ------------------------------------------------------------------------------------ */

int motet__pool_map(motet_executor *ex, const motet_task *task, const void *in, void *out, size_t n,
                    const motet_map_options *opt);

#endif
