/* SPDX-License-Identifier: MIT */
/* The contract of an executor: what a thread pool, and later a fiber pool, a process pool and a cluster, each provide.
 *
 * The calls of motet/executor.h check their arguments and go through this table. Every backend has to pass the one
 * conformance suite (test_conformance.h). */
#ifndef MOTET_EXECUTOR_EXECUTOR_H
#define MOTET_EXECUTOR_EXECUTOR_H

#include "executor/future.h"

typedef struct executor_ops {
    /* Has `f`, PENDING, run: takes over one of its references, and completes it in every case in which it returns 0. On a
     * failure the reference stays the caller's. Waits only while the queue is full. */
    int (*submit)(motet_executor *ex, motet_future *f, const motet_submit_options *opt);
    /* The same for a task that nobody asks after, of which no future is made. NULL: it is always made. */
    int (*submit_detached)(motet_executor *ex, const motet_task *task, motet_bytes in, const motet_submit_options *opt);
    /* As motet_map; arguments are checked, opt is not NULL, n > 0. */
    int (*map)(motet_executor *ex, const motet_task *task, const void *in, void *out, size_t n,
               const motet_map_options *opt);
    /* A thread outside that waits for `f` may run it: true when it did. Only for futures that say so. */
    bool (*run_for_caller)(motet_executor *ex, motet_future *f);
    /* Ends a RUNNING future; -ENOTSUP where that can't be. */
    int (*kill)(motet_future *f);
    int (*shutdown)(motet_executor *ex, bool cancel_pending, motet_time deadline);
    int (*terminate)(motet_executor *ex);
    void (*stats)(motet_executor *ex, motet_executor_stats_t *ret);
    /* Joins what still runs, after a shutdown that was waited for; then gives the opener's reference back. */
    void (*close)(motet_executor *ex);
} executor_ops;

struct motet_executor {
    const executor_ops *ops;
    bool caller_helps;
    uint32_t references; /* the opener's, and those of futures that callers may run; the last one frees */
    void (*free)(motet_executor *ex);
};

/* Whether it is a task's description. */
static inline bool is_task(const motet_task *task)
{
    return task && (task->call_bytes || (task->call && task->in_size && task->out_size));
}

static inline void executor_unref(motet_executor *ex)
{
    if (atomic_sub_acq_rel(&ex->references, 1) == 1)
        ex->free(ex);
}

#endif
