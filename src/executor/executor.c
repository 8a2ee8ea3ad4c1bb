/* SPDX-License-Identifier: MIT */
/* The executor's face: checks what it is given and hands it to the backend. */
#include "executor/executor.h"

#include "executor/worker.h"
#include "park/park.h"

#include <string.h>

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
    if (!motet__park_allowed())
        return -EPERM;
    if (opt->priority)
        return -ENOTSUP;
    if (!f && ex->ops->submit_detached) {
        bool fits = task->call_bytes || in.size == task->in_size;
        return fits ? ex->ops->submit_detached(ex, task, in, opt) : -EMSGSIZE;
    }
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
    if (!motet__park_allowed())
        return -EPERM;
    return n ? ex->ops->map(ex, task, in, out, n, opt) : 0;
}

int motet_executor_shutdown(motet_executor *ex, bool cancel_pending, motet_time deadline)
{
    if (!ex)
        return -EINVAL;
    if (!motet__park_allowed())
        return -EPERM;
    if (motet__executor_runs_here(ex))
        return -EDEADLK;
    return ex->ops->shutdown(ex, cancel_pending, deadline);
}

int motet_executor_terminate(motet_executor *ex)
{
    if (!ex)
        return -EINVAL;
    return motet__park_allowed() ? ex->ops->terminate(ex) : -EPERM;
}

int motet_executor_stats(motet_executor *ex, motet_executor_stats_t *ret)
{
    if (!ex || !ret)
        return -EINVAL;
    if (!motet__park_allowed())
        return -EPERM;
    motet_executor_stats_t stats;
    memset(&stats, 0, sizeof stats);
    ex->ops->stats(ex, &stats);
    *ret = stats;
    return 0;
}

motet_executor *motet_executor_close(motet_executor *ex)
{
    if (!ex || !motet__park_allowed())
        return NULL; /* after a raw fork its workers are gone: it is left as it stands */
    if (motet__executor_runs_here(ex))
        return ex;
    /* No cancellation and no signal ends this wait: what was submitted is finished. */
    bool shielded = motet_shield(true), interruptible = motet_interruptible(false);
    ex->ops->shutdown(ex, false, MOTET_FOREVER);
    ex->ops->close(ex);
    motet_interruptible(interruptible);
    motet_shield(shielded);
    return NULL;
}
