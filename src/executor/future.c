/* SPDX-License-Identifier: MIT */
/* Futures: their making, their steps, what can be asked of one, and promises. The states: future.h. */
#include "executor/future.h"

#include "base/panic.h"
#include "executor/executor.h"
#include "executor/worker.h"
#include "park/park.h"

#include <stdio.h>
#include <string.h>

enum {
    SMALL_ALIGNMENT = 16, /* the least: what malloc gives */
    NEST_MAX = 200,       /* so many tasks may nest on a thread's stack; deeper ones get a thread */
};

/* ---- making ---------------------------------------------------------------------------------------- */

static size_t align_up(size_t n, size_t alignment) { return (n + alignment - 1) & ~(alignment - 1); }

static size_t alignment_for(size_t size)
{
    size_t alignment = value_alignment(size);
    return alignment < SMALL_ALIGNMENT ? SMALL_ALIGNMENT : alignment;
}

/* A future with room for input and output behind it. */
static motet_future *allocate(size_t in_size, size_t out_size, uint32_t references)
{
    size_t alignment = alignment_for(in_size) > alignment_for(out_size) ? alignment_for(in_size)
                                                                        : alignment_for(out_size);
    if (!in_size && !out_size)
        alignment = SMALL_ALIGNMENT;
    size_t in_at = align_up(sizeof(motet_future), in_size ? alignment_for(in_size) : 1);
    size_t out_at, whole;
    if (__builtin_add_overflow(in_at, in_size, &out_at) || out_at > UINT32_MAX - 2 * VALUE_ALIGNMENT)
        return NULL;
    out_at = align_up(out_at, out_size ? alignment_for(out_size) : 1);
    if (__builtin_add_overflow(out_at, out_size, &whole) || whole > PTRDIFF_MAX - VALUE_ALIGNMENT)
        return NULL;
    motet_future *f = alignment > SMALL_ALIGNMENT ? sys_alloc_lines(whole) : sys_alloc(whole);
    if (!f)
        return NULL;
    *f = (motet_future){.references = references,
                        .in_offset = (uint32_t)in_at,
                        .out_offset = (uint32_t)out_at,
                        .in_size = in_size,
                        .out_size = out_size};
    return f;
}

int motet__future_new(motet_future **ret, const motet_task *task, motet_bytes in, uint32_t references)
{
    if (!task->call_bytes && in.size != task->in_size)
        return -EMSGSIZE;
    motet_future *f = allocate(in.size, task->out_size, references);
    if (!f)
        return -ENOMEM;
    f->task = task;
    if (in.size)
        memcpy((char *)f + f->in_offset, in.data, in.size);
    *ret = f;
    return 0;
}

motet_future *motet_future_ref(motet_future *f)
{
    if (f)
        atomic_add_relaxed(&f->references, 1); /* who makes one from one it holds publishes nothing */
    return f;
}

motet_future *motet_future_unref(motet_future *f)
{
    /* Release: what this holder read is read before the end; acquire: the last one comes after all. */
    if (!f || atomic_sub_acq_rel(&f->references, 1) != 1)
        return NULL;
    if (f->callbacks) {
        /* A promise that nobody is left to set: it is over like this, for those that want to be called. */
        atomic_store_relaxed(&f->references, 1);
        motet_future_cancel(f);
        return motet_future_unref(f);
    }
    if (f->for_callers)
        executor_unref(f->executor);
    motet_buffer_free(f->out_bytes);
    sys_free(f->report);
    sys_free(f);
    return NULL;
}

/* ---- steps ----------------------------------------------------------------------------------------- */

/* From PENDING to `to`. The flags stay when it is not over, and are given back. */
static bool step_from_pending(motet_future *f, uint32_t to, uint32_t *ret_flags)
{
    uint32_t state = atomic_load_relaxed(&f->state);
    while ((state & ~(uint32_t)(FUTURE_WAITERS | FUTURE_CALLBACKS)) == FUTURE_PENDING) {
        uint32_t flags = state & (FUTURE_WAITERS | FUTURE_CALLBACKS);
        if (atomic_cas_acq_rel(&f->state, &state, future_over(to) ? to : to | flags)) {
            *ret_flags = flags;
            return true;
        }
    }
    return false;
}

bool motet__future_claim(motet_future *f)
{
    uint32_t flags;
    return step_from_pending(f, FUTURE_RUNNING, &flags);
}

static void call_back(motet_future *f)
{
    guard_lock(&f->guard);
    future_callback *c = f->callbacks;
    f->callbacks = NULL;
    guard_unlock(&f->guard);
    while (c) {
        future_callback *next = c->next;
        c->done(f, c->arg);
        if (c != &f->first_callback)
            sys_free(c);
        c = next;
    }
}

/* The future is over; the caller still holds a reference. */
static void tell(motet_future *f, uint32_t flags)
{
    if (flags & FUTURE_WAITERS)
        motet__unpark(&f->state, UNPARK_ALL);
    if (flags & FUTURE_CALLBACKS)
        call_back(f);
}

static void complete(motet_future *f, uint32_t over)
{
    /* Publishes code, outcome and value. */
    tell(f, atomic_exchange_acq_rel(&f->state, over));
}

void motet__future_fail(motet_future *f, int code, motet_outcome outcome)
{
    f->code = code;
    f->outcome = outcome;
    complete(f, FUTURE_OVER_DONE);
}

void motet__future_run(motet_future *f)
{
    const motet_task *task = f->task;
    const void *in = (char *)f + f->in_offset;
    task_frame frame;
    motet__task_enter(&frame, f, f->executor);
    if (task->call) {
        f->code = task->call(in, future_out(f));
    } else {
        f->out_bytes = motet_buffer_new();
        motet_bytes bytes = {f->in_size ? in : NULL, f->in_size};
        f->code = f->out_bytes ? task->call_bytes(bytes, f->out_bytes) : -ENOMEM;
    }
    motet__task_leave(&frame);
    complete(f, FUTURE_OVER_DONE);
}

int motet_future_cancel(motet_future *f)
{
    if (!f)
        return -EINVAL;
    if (!motet__park_allowed())
        return -EPERM;
    uint32_t flags;
    motet_future_ref(f); /* a waiter that sees it over may give its own back while the callbacks run */
    int e = 0;
    if (step_from_pending(f, FUTURE_OVER_CANCELLED, &flags))
        tell(f, flags);
    else if (atomic_load_acquire(&f->state) != FUTURE_OVER_CANCELLED)
        e = -EAGAIN;
    motet_future_unref(f);
    return e;
}

int motet_future_kill(motet_future *f)
{
    int e = motet_future_cancel(f);
    if (e != -EAGAIN || future_over(atomic_load_acquire(&f->state)) || !f->ops)
        return e;
    return f->ops->kill(f);
}

/* ---- asking ---------------------------------------------------------------------------------------- */

motet_future_state motet_future_state_of(motet_future *f)
{
    if (!f)
        return MOTET_CANCELLED;
    uint32_t state = atomic_load_acquire(&f->state);
    if (future_over(state))
        return state == FUTURE_OVER_CANCELLED ? MOTET_CANCELLED : MOTET_DONE;
    return (state & FUTURE_STEP) == FUTURE_PENDING ? MOTET_PENDING : MOTET_RUNNING;
}

int motet_future_code(motet_future *f)
{
    if (!f)
        return -EINVAL;
    uint32_t state = atomic_load_acquire(&f->state);
    if (!future_over(state))
        return -EAGAIN;
    return state == FUTURE_OVER_CANCELLED ? -ECANCELED : f->code;
}

motet_outcome motet_future_outcome(motet_future *f)
{
    uint32_t state = f ? atomic_load_acquire(&f->state) : 0;
    if (!future_over(state))
        return MOTET_RETURNED;
    return state == FUTURE_OVER_CANCELLED ? MOTET_WAS_CANCELLED : f->outcome;
}

motet_bytes motet_future_value(motet_future *f)
{
    if (!f || atomic_load_acquire(&f->state) != FUTURE_OVER_DONE || f->outcome != MOTET_RETURNED)
        return (motet_bytes){NULL, 0};
    if (f->task && f->task->call_bytes)
        return (motet_bytes){motet_buffer_data(f->out_bytes), motet_buffer_size(f->out_bytes)};
    return (motet_bytes){future_out(f), f->out_size};
}

static void describe(motet_future *f, char *text, size_t size)
{
    const char *what = f->task ? "task " : "promise", *name = f->task ? f->task->name : "";
    if (atomic_load_acquire(&f->state) == FUTURE_OVER_CANCELLED)
        snprintf(text, size, "%s%s was cancelled before it began", what, name);
    else if (f->outcome == MOTET_WORKER_DIED)
        snprintf(text, size, "%s%s did not run, since no worker could be had: %s (%d)", what, name,
                 motet_strerror(f->code), f->code);
    else if (f->code < 0)
        snprintf(text, size, "%s%s failed: %s (%d)", what, name, motet_strerror(f->code), f->code);
    else
        snprintf(text, size, "%s%s returned %d", what, name, f->code);
}

const char *motet_future_report(motet_future *f)
{
    if (!f || !future_over(atomic_load_acquire(&f->state)) || !motet__park_allowed())
        return "";
    guard_lock(&f->guard);
    if (!f->report) {
        char text[256];
        describe(f, text, sizeof text);
        size_t size = strlen(text) + 1;
        f->report = sys_alloc(size);
        if (f->report)
            memcpy(f->report, text, size);
    }
    const char *report = f->report ? f->report : "no memory for the report";
    guard_unlock(&f->guard);
    return report;
}

int motet_future_on_done(motet_future *f, void (*done)(motet_future *f, void *arg), void *arg)
{
    if (!f || !done)
        return -EINVAL;
    if (!motet__park_allowed())
        return -EPERM;
    guard_lock(&f->guard);
    future_callback *c = f->first_callback.done ? NULL : &f->first_callback;
    if (!c && !(c = sys_alloc(sizeof *c))) {
        guard_unlock(&f->guard);
        return -ENOMEM;
    }
    *c = (future_callback){.done = done, .arg = arg};
    /* On the list before the flag: who ends the future takes the list under the guard, so after this. */
    uint32_t state = atomic_load_relaxed(&f->state);
    bool over;
    while (!(over = future_over(state)) && !atomic_cas_acq_rel(&f->state, &state, state | FUTURE_CALLBACKS)) {}
    if (!over) {
        future_callback **end = &f->callbacks;
        while (*end)
            end = &(*end)->next;
        *end = c;
    }
    guard_unlock(&f->guard);
    if (over) {
        if (c != &f->first_callback)
            sys_free(c);
        (void)atomic_load_acquire(&f->state); /* with what the completer published */
        done(f, arg);
    }
    return 0;
}

/* ---- waiting --------------------------------------------------------------------------------------- */

const uint32_t *motet__future_state_word(motet_future *f)
{
    uint32_t state = atomic_load_relaxed(&f->state);
    while (!future_over(state) && !(state & FUTURE_WAITERS) &&
           !atomic_cas_acq_rel(&f->state, &state, state | FUTURE_WAITERS)) {}
    return &f->state;
}

/* Runs the future here and now, if who waits may: its deadline can't pass meanwhile, and the stack has room. */
static bool run_here(motet_future *f, motet_time deadline)
{
    if (!f->ops || deadline != MOTET_FOREVER || motet__task_depth() >= NEST_MAX)
        return false;
    executor_worker *w = motet__worker_current();
    if (w && w->executor == f->executor) {
        /* Its own worker's wait: the queue drops the claimed one when it comes across it. */
        if (!motet__future_claim(f))
            return false;
        motet__future_run(f);
        worker_count(w, 1);
        return true;
    }
    return f->for_callers && f->ops->run_for_caller(f->executor, f);
}

int motet_future_wait(motet_future *f, motet_time deadline)
{
    enum { LOOKS = 20 };
    if (!f)
        return -EINVAL;
    if (future_over(atomic_load_acquire(&f->state)))
        return 0;
    if (!motet__park_allowed())
        return -EPERM;
    if (motet__task_runs_here(f))
        return -EDEADLK;
    if (run_here(f, deadline))
        return 0;
    /* A hot one is over in a moment: look before announcing. */
    for (int i = 0; i < LOOKS; i++) {
        if (future_over(atomic_load_acquire(&f->state)))
            return 0;
        cpu_relax();
    }
    return motet__worker_wait(motet__future_state_word(f), MOTET__FUTURE_OVER, deadline);
}

int motet_future_take(motet_future *f, const motet_task *task, void *out, size_t size, motet_time deadline)
{
    if (!f || (!out && size) || (task && f->task && f->task != task))
        return -EINVAL;
    int e = motet_future_wait(f, deadline);
    if (e < 0)
        return e;
    int code = motet_future_code(f);
    if (code < 0 || !size)
        return code;
    motet_bytes value = motet_future_value(f);
    if (value.size != size)
        return -EMSGSIZE;
    memcpy(out, value.data, size);
    return code;
}

/* ---- promises -------------------------------------------------------------------------------------- */

int motet_promise_new(motet_future **f, size_t size)
{
    if (!f)
        return -EINVAL;
    if (!motet__park_allowed())
        return -EPERM;
    motet_future *promise = allocate(0, size, 1);
    if (!promise)
        return -ENOMEM;
    promise->in_size = size; /* its room; out_size is that of the value */
    promise->out_size = 0;
    *f = promise;
    return 0;
}

int motet_promise_set(motet_future *f, motet_bytes value, int code)
{
    if (!f || f->task || (!value.data && value.size))
        return -EINVAL;
    if (!motet__park_allowed())
        return -EPERM;
    if (atomic_load_acquire(&f->state) == FUTURE_OVER_CANCELLED)
        return -ECANCELED;
    if (value.size > f->in_size)
        return -EMSGSIZE;
    motet_future_ref(f);
    int e = 0;
    if (motet__future_claim(f)) {
        if (value.size)
            memcpy(future_out(f), value.data, value.size);
        f->out_size = value.size;
        f->code = code;
        complete(f, FUTURE_OVER_DONE);
    } else {
        e = atomic_load_acquire(&f->state) == FUTURE_OVER_CANCELLED ? -ECANCELED : -EAGAIN;
    }
    motet_future_unref(f);
    return e;
}
