/* SPDX-License-Identifier: MIT */
/* Timers: functions that run once, later, on a few threads that exist while a timer is pending or runs.
 *
 * States of a timer, under the guard:
 *
 *     PENDING --> BEGUN          a worker took it out of the heap, and runs it or has run it
 *             --> CANCELLED      it will never run
 *
 * The heap has a reference of its own to each timer in it; it becomes that of the worker that takes the timer
 * out. A timer at MOTET_FOREVER is in no heap: it only waits to be cancelled or freed.
 *
 * Workers are leader and followers (Schmidt and others, 2000). The leader sleeps until the first timer is
 * due, takes it out, gives up the lead and runs it. Then it leads again, unless another does; then it stays
 * as the one spare, or ends. All of them end when the heap is empty. The invariant, whenever the guard is
 * free:
 *
 *     a timer is in the heap  =>  somebody leads, or is coming (started or called, and not yet at the guard),
 *                                 or every worker runs a function and one more can't be had
 *
 * Workers are ordinary threads that are not daemons, so that the exit rule waits for them, and so for pending
 * timers. They are started with the guard held, which is longer than a guard is held elsewhere, and rare: so
 * nobody relies on a worker that then can't be had.
 *
 * Lock order: the guard here, then those of thread.c and park. Fork rule: the child of a raw fork does not
 * take it. */
#include "thread/thread.h"

#include "base/afresh.h"
#include "base/guard.h"
#include "base/panic.h"
#include "park/park.h"
#include "thread/timer_heap.h"

enum { WORKERS_MAX = 1024 };
enum { PENDING, BEGUN, CANCELLED };

struct motet_timer {
    timer_node node; /* in the heap: PENDING, and not at MOTET_FOREVER */
    uint32_t refs;
    int state;
    motet_fn *fn;
    void *arg;
};

static guard timers; /* of everything below, and of a timer's node and state */
static timer_heap heap;
static unsigned workers;     /* threads, whatever they do */
static unsigned coming;      /* of them, on their way to the guard */
static bool leads;           /* one of them sleeps until the first timer is due */
static bool spare;           /* one of them sleeps until it is called */
static uint32_t leader_word; /* changed to have the leader look again */
static uint32_t spare_word;  /* changed to call the spare */

/* The timers are the parent's: here none is pending. */
static void forget(void)
{
    timers = (guard){0};
    heap = (timer_heap){0};
    workers = coming = 0;
    leads = spare = false;
}
AFRESH(forget);

static void unref(motet_timer *t)
{
    if (atomic_sub_acq_rel(&t->refs, 1) == 1)
        sys_free(t);
}

/* ---- calling workers (all with the guard held) ----------------------------------------------------- */

static void call_leader(void)
{
    atomic_store_release(&leader_word, leader_word + 1);
    motet__unpark(&leader_word, 1);
}

static void call_spare(void)
{
    spare = false;
    coming++;
    atomic_store_release(&spare_word, spare_word + 1);
    motet__unpark(&spare_word, 1);
}

static int work(void *arg);

/* The heap has a timer, and nobody may be leading: sees to it that somebody comes. 0, also when as many as
 * may be are running functions; -EAGAIN, -ENOMEM: a thread can't be had. */
static int call_worker(void)
{
    static const motet_thread_options options = {.name = "Timer"};
    if (leads || coming)
        return 0;
    if (spare) {
        call_spare();
        return 0;
    }
    if (workers == WORKERS_MAX)
        return 0;
    motet_thread *thread = NULL;
    int e = motet_thread_start(&thread, work, NULL, &options);
    if (e < 0)
        return e;
    motet_thread_free(thread);
    workers++;
    coming++;
    return 0;
}

/* The heap has become empty: those who wait for it end. */
static void dismiss(void)
{
    if (leads)
        call_leader();
    if (spare)
        call_spare();
}

/* ---- workers --------------------------------------------------------------------------------------- */

/* Sleeps until `when`, or until it is called. The guard is let go meanwhile. */
static void lead(motet_time when)
{
    uint32_t word = leader_word;
    leads = true;
    guard_unlock(&timers);
    motet__park(&leader_word, word, when, PARK_NO_CANCEL | PARK_NO_SPIN);
    guard_lock(&timers);
    leads = false;
}

static void be_spare(void)
{
    uint32_t word = spare_word;
    spare = true;
    guard_unlock(&timers);
    while (atomic_load_acquire(&spare_word) == word)
        motet__park(&spare_word, word, MOTET_FOREVER, PARK_NO_CANCEL | PARK_NO_SPIN);
    guard_lock(&timers);
    coming--;
}

/* Runs the first timer. The guard is let go meanwhile. */
static void fire(void)
{
    motet_timer *t = container_of(heap.first, motet_timer, node);
    motet__timer_heap_remove(&heap, &t->node);
    t->state = BEGUN;
    if (heap.first)
        call_worker(); /* if none can be had, the others wait for this function to return */
    else
        dismiss();
    guard_unlock(&timers);
    t->fn(t->arg);
    unref(t);
    /* What the function set for its thread is not for the next. */
    motet_shield(false);
    motet_interruptible(false);
    guard_lock(&timers);
}

/* Whether the calling worker may end, having been cancelled by a function that it ran: the next shall not be. */
static bool may_retire(void)
{
    if (!heap.first)
        return true;
    workers--;
    int e = call_worker();
    workers++;
    return e == 0;
}

static int work(void *arg)
{
    guard_lock(&timers);
    coming--;
    while (heap.first && !(leads && spare)) {
        if (motet_cancelled() && may_retire())
            break;
        if (leads)
            be_spare();
        else if (heap.first->when > sys_now())
            lead(heap.first->when);
        else
            fire();
    }
    workers--;
    guard_unlock(&timers);
    return 0;
}

/* ---- the public calls ------------------------------------------------------------------------------ */

/* With the guard held: puts the timer in the heap, unless nobody can serve it. */
static int add(motet_timer *t, motet_time when)
{
    int e = call_worker();
    if (e < 0)
        return e;
    motet__timer_heap_add(&heap, &t->node, when);
    if (leads && heap.first == &t->node)
        call_leader();
    return 0;
}

int motet_timer_start(motet_timer **ret, motet_time when, motet_fn *fn, void *arg)
{
    if (!ret || !fn)
        return -EINVAL;
    if (!motet__park_allowed())
        return -EPERM;
    motet_timer *t = sys_alloc_zero(1, sizeof *t);
    if (!t)
        return -ENOMEM;
    t->fn = fn;
    t->arg = arg;
    t->state = PENDING;
    t->node.when = when;
    t->refs = when == MOTET_FOREVER ? 1 : 2;
    motet_timer *was = *ret;
    *ret = t; /* the function may look */
    if (when == MOTET_FOREVER)
        return 0;
    guard_lock(&timers);
    int e = add(t, when);
    guard_unlock(&timers);
    if (e < 0) {
        *ret = was;
        sys_free(t);
    }
    return e;
}

int motet_timer_cancel(motet_timer *t)
{
    if (!t)
        return -EINVAL;
    if (!motet__park_allowed())
        return -EPERM;
    bool taken_out = false;
    guard_lock(&timers);
    if (t->state == PENDING) {
        t->state = CANCELLED;
        taken_out = t->node.when != MOTET_FOREVER;
    }
    if (taken_out) {
        motet__timer_heap_remove(&heap, &t->node);
        if (!heap.first)
            dismiss();
    }
    int e = t->state == CANCELLED ? 0 : -EAGAIN;
    guard_unlock(&timers);
    if (taken_out)
        unref(t);
    return e;
}

motet_timer *motet_timer_free(motet_timer *t)
{
    if (t)
        unref(t);
    return NULL;
}
