/* SPDX-License-Identifier: MIT */
/* Waiting on words in the arena.
 *
 * A thread sleeps in the kernel on three words at once (futex_waitv): the one that it waits for, the count of deaths, and,
 * where cancelling may end the wait, the state of a waiter of park's on its own stack, which the canceller claims and
 * finishes as it does any other (park.h). Nothing is announced in the arena: a sleeper that dies leaves nothing behind.
 *
 * Where the kernel or whoever confines the process has no futex_waitv, and for threads that signals may interrupt (it goes on
 * after a handler that was installed with SA_RESTART, whatever its deadline), the thread sleeps on the one word, and looks
 * at the others every SLICE_NS: there a death or a cancellation is news by so much later.
 *
 * A wake that goes to one alone may go to a process that is stopped. It is not robbed of what it holds, but neither may
 * others sleep beside a lock that nobody holds: who waits for such a wake (FAMILY_ONE_WAKE) looks again every LOOK_NS. */
#include "base/panic.h"
#include "family/family.h"
#include "park/park.h"

enum { SLICE_NS = 50 * 1000 * 1000, LOOK_NS = 500 * 1000 * 1000 };

typedef struct request {
    const uint32_t *word;
    uint32_t expected, deaths;
    motet_time deadline;
    unsigned flags;
} request;

static bool changed(const void *arg)
{
    const request *r = arg;
    /* Acquire: what the changer published. */
    return atomic_load_acquire(r->word) != r->expected || motet__family_deaths() != r->deaths;
}

static bool spin(const request *r)
{
    spin_budget *budget = &motet__park_self()->spin;
    uint32_t ns = motet__spin_pays() ? spin_budget_now(budget) : 0;
    if (!ns)
        return false;
    bool paid = spin_watch(ns, r->deadline, changed, r);
    spin_budget_learn(budget, paid);
    return paid;
}

/* ---- sleeping -------------------------------------------------------------------------------------- */

/* Sleeps on r->word alone, a slice at a time. `state`: of a waiter that may be cancelled, or NULL. */
static int sleep_in_slices(const request *r, const uint32_t *state)
{
    for (;;) {
        motet_time end = sys_now() + SLICE_NS;
        bool last = r->deadline <= end;
        int e = sys_futex_wait_shared(r->word, r->expected, last ? r->deadline : end);
        if (e != -ETIMEDOUT || last)
            return e;
        if (changed(r) || (state && atomic_load_relaxed(state) != WAITER_ASLEEP))
            return 0;
    }
}

static int sleep_on_all(const request *r, const uint32_t *state)
{
    static uint32_t refused; /* 1: there is no futex_waitv */
    if (!atomic_load_relaxed(&refused) && !motet__park_self()->interruptible) {
        sys_futex_word words[] = {
            {.word = r->word, .expected = r->expected},
            {.word = &motet__family->deaths, .expected = r->deaths},
            {.word = state, .expected = WAITER_ASLEEP, .of_process = 1},
        };
        int e = sys_futex_wait_many(words, state ? 3 : 2, r->deadline);
        if (e == 0 || e == -EAGAIN || e == -ETIMEDOUT || e == -EINTR)
            return e;
        if (e == -ENOSYS)
            atomic_store_relaxed(&refused, 1);
        /* else no memory, this time */
    }
    return sleep_in_slices(r, state);
}

/* 0: look again; -ETIMEDOUT; -EINTR. */
static int sleep_once(request r, const uint32_t *state)
{
    motet_time deadline = r.deadline;
#ifndef MOTET_SIM /* there nobody is stopped, and a wait without an end shows a wake that is lost */
    if (r.flags & FAMILY_ONE_WAKE) {
        motet_time look = sys_now() + LOOK_NS;
        if (look < deadline)
            r.deadline = look;
    }
#endif
    int e = sleep_on_all(&r, state);
    if (e == -EAGAIN || (e == -EINTR && !motet__park_self()->interruptible) ||
        (e == -ETIMEDOUT && r.deadline != deadline))
        return 0;
    return e;
}

/* As above, and the thread's canceller sees the wait. */
static int sleep_cancellable(const request *r, park_self *self)
{
    waiter w = {.state = WAITER_ASLEEP, .backend = &motet__park_threads, .sleeper = &w.state, .eventfd = -1};
    /* Under the guard: either the canceller sees this wait, or this wait sees its request. */
    guard_lock(&self->guard);
    self->current = &w;
    bool cancelled = atomic_load_relaxed(&self->cancelled);
    guard_unlock(&self->guard);
    int e = cancelled ? -ECANCELED : sleep_once(*r, &w.state);
    guard_lock(&self->guard);
    self->current = NULL;
    guard_unlock(&self->guard);
    /* The canceller claims and finishes under the guard: it has done both or neither. */
    return atomic_load_acquire(&w.state) == WAITER_DONE ? -ECANCELED : e;
}

/* ---- waiting and waking ---------------------------------------------------------------------------- */

int motet__family_wait(const uint32_t *word, uint32_t expected, uint32_t deaths, motet_time deadline, unsigned flags)
{
    int64_t tag = motet__family_enter();
    if (tag < 0)
        return (int)tag;
    request r = {.word = word, .expected = expected, .deaths = deaths, .deadline = deadline, .flags = flags};
    if (changed(&r))
        return 0;
    if (deadline <= 0 || (deadline != MOTET_FOREVER && deadline <= sys_now()))
        return -ETIMEDOUT;
    park_self *self = motet__park_self();
    bool cancellable = !(flags & FAMILY_NO_CANCEL) && !self->shielded;
    /* Relaxed: a request that comes later is seen before sleeping. */
    if (cancellable && atomic_load_relaxed(&self->cancelled))
        return -ECANCELED;
    if (!(flags & FAMILY_NO_SPIN) && spin(&r))
        return 0;
    return cancellable ? sleep_cancellable(&r, self) : sleep_once(r, NULL);
}

bool motet__family_spin(const uint32_t *word, uint32_t expected, uint32_t deaths, motet_time deadline)
{
    request r = {.word = word, .expected = expected, .deaths = deaths, .deadline = deadline};
    return spin(&r);
}

int motet__family_wake(const uint32_t *word, int n) { return sys_futex_wake_shared(word, n); }
