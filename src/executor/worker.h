/* SPDX-License-Identifier: MIT */
/* What a waiting call needs of the worker that it may run on: any executor whose workers wait in C stacks provides it. */
#ifndef MOTET_EXECUTOR_WORKER_H
#define MOTET_EXECUTOR_WORKER_H

#include "base/atomic.h"

#include <motet/executor.h>

typedef struct executor_worker executor_worker;

typedef struct worker_ops {
    /* The worker is about to wait: its executor sees to it that others do its work meanwhile. False: it can't, and the
     * waiter itself must call `help` while it waits. */
    bool (*block)(executor_worker *w);
    void (*unblock)(executor_worker *w);
    /* Runs work of the executor until *word is at least `at_least`. */
    int (*help)(executor_worker *w, const uint32_t *word, uint32_t at_least, motet_time deadline);
} worker_ops;

struct executor_worker {
    const worker_ops *ops;
    motet_executor *executor;
    uint64_t ran; /* tasks and items; written by the worker alone */
};

static inline void worker_count(executor_worker *w, uint64_t n)
{
    atomic_store_relaxed(&w->ran, w->ran + n); /* a count for statistics */
}

/* The worker whose thread this is, or NULL; set by the executor. */
executor_worker *motet__worker_current(void);
void motet__worker_set_current(executor_worker *w);

/* A task that runs on this thread, tasks that it runs while waiting included. */
typedef struct task_frame {
    const struct motet_future *future; /* NULL: items of a map */
    const motet_executor *executor;    /* whose task it is, also when a thread outside runs it */
    struct task_frame *outer;
} task_frame;

void motet__task_enter(task_frame *frame, const motet_future *f, const motet_executor *ex);
void motet__task_leave(task_frame *frame);
/* True when `f` is being run on this very thread, so that waiting for it would never end. */
bool motet__task_runs_here(const motet_future *f);
/* True on a worker of the executor's, and on any other thread that runs a task of it: `ex` can't end before it returns. */
bool motet__executor_runs_here(const motet_executor *ex);
/* How many tasks are nested on this thread's stack. */
unsigned motet__task_depth(void);

/* Waits until *word is at least `at_least` with whoever else may run the executor's work doing so. The word's changer wakes
 * all waiters of its address. 0; -ETIMEDOUT; -ECANCELED; -EINTR; -EPERM in the child of a raw fork. */
int motet__worker_wait(const uint32_t *word, uint32_t at_least, motet_time deadline);

#endif
