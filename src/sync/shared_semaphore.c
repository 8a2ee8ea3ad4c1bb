/* SPDX-License-Identifier: MIT */
/* The shared form of the bounded semaphore (sync/shared_objects.h says what all shared forms rest on).
 *
 * Truth: records: RECORD_PERMIT, one for each process that took permits, counts them; RECORD_WAIT, one for each thread that
 * waits. Derived: `taken`, the sum of permits; `waited`: there may be waits. There are limit - taken permits.
 *
 * Anyone may give a permit back: who has taken none, or fewer, gives back those of others, whichever are found first. That
 * is written into their logs (by compare-and-swap: their process may have died and its log been given away).
 *
 * Invariant: a release wakes as many, those that wait longest first, as there are permits then: so while there are permits,
 * that many have been woken and not looked yet, or all have. As in the private form, who comes along may take one first.
 * (Who was woken may be stopped: the others look by themselves now and then, FAMILY_ONE_WAKE.)
 *
 * A death
 *  - of one that took permits: its record counts no more, the permits are there again, all that wait look again. Nobody is
 *    told (no MOTET_RECOVERED): which permit it is that one gets can't be said.
 *  - in acquire, between record and `taken`: it had taken the permit, which is there again.
 *  - in release of its own permits: likewise. In a release of others' permits: those that it came to are given back, others
 *    not.
 *  - of one that waits, or was woken: all look again. */
#include "sync/shared_objects.h"

#include "base/panic.h"

typedef struct shared_bounded {
    uint64_t unused;
    uint32_t limit, flags;
    uint32_t claim, at;
    uint32_t taken, waited;
} shared_bounded;

_Static_assert(sizeof(shared_bounded) == sizeof(motet_semaphore), "another view of it");
_Static_assert(offsetof(shared_bounded, limit) == offsetof(motet_semaphore, limit_), "another view of it");
_Static_assert(offsetof(shared_bounded, flags) == offsetof(motet_semaphore, flags_), "another view of it");

enum { WAITS = 1 }; /* the count of a wait */

/* A death that is not counted yet may have been seen, and more be gone than `taken` says: never below 0. */
static void give(shared_bounded *s, uint32_t n) { s->taken -= n < s->taken ? n : s->taken; }

static __attribute__((noinline, cold)) int derive(shared_bounded *s, shared_op *op)
{
    bool waited;
    s->taken = motet__shared_sum(op, s, RECORD_PERMIT, &waited);
    s->waited = waited;
    s->at = op->deaths;
    return 0;
}

static inline int enter(shared_bounded *s, shared_op *op, motet_time deadline, bool interruptible)
{
    int e = shared_enter(&s->claim, &s->at, op, deadline, interruptible);
    return unlikely(e > 0) ? derive(s, op) : e;
}

/* Wakes as many as there are permits. */
static void wake_next(shared_bounded *s, shared_op *op)
{
    if (likely(!s->waited))
        return;
    record *r = NULL;
    int64_t since = 0;
    for (uint32_t n = s->limit - s->taken; n; n--) {
        record *next = motet__shared_oldest(s, RECORD_WAIT, WAITS, r, since);
        if (!next) {
            s->waited = r != NULL;
            break;
        }
        r = next;
        since = atomic_load_relaxed(&r->since);
        shared_wake(op, r);
    }
}

/* ---- acquiring ------------------------------------------------------------------------------------- */

static int take(shared_bounded *s)
{
    int e = shared_hold(s, RECORD_PERMIT);
    if (likely(e == 0))
        s->taken++;
    return e;
}

static int await(shared_bounded *s, shared_op *op, const record *self, motet_time deadline)
{
    uint32_t word = atomic_load_relaxed(&self->word), deaths = op->deaths;
    shared_release(&s->claim, op);
    int e = motet__family_wait(&self->word, word, deaths, deadline, FAMILY_ONE_WAKE);
    MOTET_ASSERT(enter(s, op, MOTET_FOREVER, false) == 0);
    return e;
}

int motet__shared_bounded_acquire(motet_semaphore *semaphore, motet_time deadline)
{
    shared_bounded *s = (shared_bounded *)semaphore;
    shared_op op;
    int e = enter(s, &op, deadline, true);
    if (e < 0)
        return e;
    record *self = NULL;
    while (s->taken >= s->limit && e == 0) {
        if (self)
            e = await(s, &op, self, deadline);
        else if (has_passed(deadline))
            e = -ETIMEDOUT;
        else if (!(self = motet__shared_enrol(s, RECORD_WAIT, WAITS)))
            e = -ENOMEM;
        else
            s->waited = true;
    }
    if (s->taken < s->limit)
        e = take(s);
    if (self) {
        motet__record_drop(self);
        if (e < 0)
            wake_next(s, &op);
    }
    shared_release(&s->claim, &op);
    return e;
}

/* ---- releasing ------------------------------------------------------------------------------------- */

typedef struct taking {
    shared_bounded *semaphore;
    uint32_t left; /* still to be taken */
} taking;

/* Takes permits off somebody else's record. */
static void take_off(record *r, void *arg)
{
    taking *t = arg;
    uint64_t state = atomic_load_relaxed(&r->state);
    while ((uint32_t)state && t->left) {
        uint32_t n = (uint32_t)state < t->left ? (uint32_t)state : t->left;
        if (!atomic_cas_relaxed(&r->state, &state, state - n))
            continue;
        t->left -= n;
        give(t->semaphore, n);
        if (n == (uint32_t)state)
            motet__shared_drop(r, t->semaphore);
        return;
    }
}

int motet__shared_bounded_release(motet_semaphore *semaphore, unsigned n)
{
    shared_bounded *s = (shared_bounded *)semaphore;
    shared_op op;
    int e = enter(s, &op, MOTET_FOREVER, false);
    if (e < 0)
        return e;
    if (n > s->taken) {
        e = -EOVERFLOW;
    } else if (n) {
        record *r = shared_mine(s, RECORD_PERMIT);
        uint32_t own = r ? record_count(r) : 0;
        if (n < own) {
            record_set(r, own - n);
            give(s, n);
        } else {
            if (r)
                motet__record_drop(r);
            give(s, own);
            /* If a death was faster there are fewer than were counted: then this came before that death. */
            taking others = {s, n - own};
            if (others.left)
                motet__shared_each(s, RECORD_PERMIT, take_off, &others);
        }
        wake_next(s, &op);
    }
    shared_release(&s->claim, &op);
    return e;
}

/* ---- the others ------------------------------------------------------------------------------------ */

unsigned motet__shared_bounded_value(const motet_semaphore *semaphore)
{
    shared_bounded *s = (shared_bounded *)(uintptr_t)semaphore;
    shared_op op;
    if (enter(s, &op, MOTET_NOWAIT, false) == 0) {
        unsigned value = s->limit - s->taken;
        shared_release(&s->claim, &op);
        return value;
    }
    /* Somebody stands still in the middle of something: nearly right must do. */
    uint64_t taken = motet__family ? motet__records_sum(s, RECORD_PERMIT) : 0;
    return taken < s->limit ? s->limit - (uint32_t)taken : 0;
}

int motet__shared_bounded_init(motet_semaphore *semaphore, unsigned value)
{
    int e = motet__shared_begin(semaphore);
    if (e == 0)
        *(shared_bounded *)semaphore = (shared_bounded){
            .limit = value, .flags = MOTET_SHARED | MOTET_BOUNDED, .at = motet__family_deaths()};
    return e;
}
