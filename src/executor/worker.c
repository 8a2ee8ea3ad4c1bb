/* SPDX-License-Identifier: MIT */
/* What a thread knows of the worker that it is and of the tasks that it runs; and how a worker waits. */
#include "executor/worker.h"

#include "base/afresh.h"
#include "base/sys.h"
#include "park/park.h"

#define FAST_TLS _Thread_local __attribute__((tls_model("initial-exec")))

static FAST_TLS executor_worker *current;
static FAST_TLS task_frame *innermost;
static FAST_TLS unsigned depth;

/* In the child of a fork there are no workers. */
static void forget(void)
{
    current = NULL;
    innermost = NULL;
    depth = 0;
}
AFRESH(forget);

executor_worker *motet__worker_current(void) { return current; }

void motet__worker_set_current(executor_worker *w) { current = w; }

void motet__task_enter(task_frame *frame, const motet_future *f, const motet_executor *ex)
{
    frame->future = f;
    frame->executor = ex;
    frame->outer = innermost;
    innermost = frame;
    depth++;
}

void motet__task_leave(task_frame *frame)
{
    innermost = frame->outer;
    depth--;
}

bool motet__task_runs_here(const motet_future *f)
{
    for (const task_frame *frame = innermost; frame; frame = frame->outer)
        if (frame->future == f)
            return true;
    return false;
}

bool motet__executor_runs_here(const motet_executor *ex)
{
    if (current && current->executor == ex)
        return true;
    for (const task_frame *frame = innermost; frame; frame = frame->outer)
        if (frame->executor == ex)
            return true;
    return false;
}

unsigned motet__task_depth(void) { return depth; }

static int park_until(const uint32_t *word, uint32_t at_least, motet_time deadline)
{
    for (;;) {
        uint32_t value = atomic_load_acquire(word);
        if (value >= at_least)
            return 0;
        int e = motet__park(word, value, deadline, 0);
        if (e < 0)
            return e;
    }
}

/* Watches the word for a moment: what is nearly done costs no stand-in. */
static bool soon(const uint32_t *word, uint32_t at_least, motet_time deadline)
{
    enum { WATCH_NS = 10 * 1000 };
    int64_t now = sys_now(), end = now + WATCH_NS;
    for (; now < end && now < deadline; now = sys_now()) {
        for (int i = 0; i < 16; i++) {
            if (atomic_load_acquire(word) >= at_least)
                return true;
            cpu_relax();
        }
    }
    return false;
}

int motet__worker_wait(const uint32_t *word, uint32_t at_least, motet_time deadline)
{
    executor_worker *w = current;
    if (!w || !motet__park_allowed()) /* there park says no */
        return park_until(word, at_least, deadline);
    if (soon(word, at_least, deadline))
        return 0;
    if (!w->ops->block(w))
        return w->ops->help(w, word, at_least, deadline);
    int e = park_until(word, at_least, deadline);
    w->ops->unblock(w);
    return e;
}
