/* SPDX-License-Identifier: MIT */
/* The executor's face: checks what it is given and hands it to the backend. */
#include "executor/executor.h"

#include "executor/worker.h"

#include <string.h>

static bool is_task(const motet_task *task)
{
    return task && (task->call_bytes || (task->call && task->in_size && task->out_size));
}

int motet_submit(motet_executor *ex, const motet_task *task, motet_bytes in, const motet_submit_options *opt,
                 motet_future **f)
{
    static const motet_submit_options none;
    if (!opt)
        opt = &none;
    if (!ex || !is_task(task) || (!in.data && (in.size || task->in_size)))
        return -EINVAL;
    if (opt->timeout_ns < 0)
        return -EINVAL;
    if (opt->priority)
        return -ENOTSUP;
    motet_future *made;
    int e = motet__future_new(&made, task, in, f ? 2 : 1);
    if (e < 0)
        return e;
    made->ops = ex->ops;
    made->executor = ex;
    if (ex->caller_helps) {
        atomic_add_relaxed(&ex->references, 1); /* the caller's own keeps it alive meanwhile */
        made->for_callers = true;
    }
    e = ex->ops->submit(ex, made, opt);
    if (e < 0) {
        if (f)
            motet_future_unref(made);
        motet_future_unref(made);
        return e;
    }
    if (f)
        *f = made;
    return 0;
}

int motet_map(motet_executor *ex, const motet_task *task, const void *in, void *out, size_t n,
              const motet_map_options *opt)
{
    static const motet_map_options none;
    if (!opt)
        opt = &none;
    if (!ex || !is_task(task) || task->call_bytes || (n && (!in || !out)))
        return -EINVAL;
    size_t bytes;
    if (__builtin_mul_overflow(n, task->in_size, &bytes) || __builtin_mul_overflow(n, task->out_size, &bytes))
        return -EINVAL;
    return n ? ex->ops->map(ex, task, in, out, n, opt) : 0;
}

static bool on_own_worker(const motet_executor *ex)
{
    const executor_worker *w = motet__worker_current();
    return w && w->executor == ex;
}

int motet_executor_shutdown(motet_executor *ex, bool cancel_pending, motet_time deadline)
{
    if (!ex)
        return -EINVAL;
    if (on_own_worker(ex))
        return -EDEADLK;
    return ex->ops->shutdown(ex, cancel_pending, deadline);
}

int motet_executor_terminate(motet_executor *ex)
{
    return ex ? ex->ops->terminate(ex) : -EINVAL;
}

int motet_executor_stats(motet_executor *ex, motet_executor_stats_t *ret)
{
    if (!ex || !ret)
        return -EINVAL;
    motet_executor_stats_t stats;
    memset(&stats, 0, sizeof stats);
    ex->ops->stats(ex, &stats);
    *ret = stats;
    return 0;
}

motet_executor *motet_executor_close(motet_executor *ex)
{
    if (!ex || on_own_worker(ex))
        return ex;
    /* No cancellation and no signal ends this wait: what was submitted is finished. */
    bool shielded = motet_shield(true), interruptible = motet_interruptible(false);
    ex->ops->shutdown(ex, false, MOTET_FOREVER);
    ex->ops->close(ex);
    motet_interruptible(interruptible);
    motet_shield(shielded);
    return NULL;
}
