/* SPDX-License-Identifier: MIT */
/* The shared form of the barrier (sync/shared_objects.h says what all shared forms rest on).
 *
 * Truth: the phase, as in the private form (barrier.c: FILLING, DRAINING, RESETTING, BROKEN), and a RECORD_BARRIER for each
 * thread inside. Derived: how many are inside. Both stand in one word, so that they change in one store; the low half is
 * what parties sleep on. As in the private form nobody comes in before all have left, so that how a round ended can be read
 * in the phase by all who were in it.
 *
 * A party comes in by its record, then the count; it leaves by dropping the record, then the count and perhaps the phase. So
 * while a round fills, records of the living that are fewer than the count mean that a party died inside.
 *
 * A death
 *  - of a party that waits for others, or is on its way out after an interrupted wait: the barrier is broken by the first
 *    to look, which is at once, for all that wait look.
 *  - on its way in, before it is counted: it never came.
 *  - of the last one, before the store of DRAINING: never came; after it: the round is complete, and its death wakes the
 *    others.
 *  - of one that was let through or sent away and has not left yet: the others leave without it; if it was the last, the
 *    first to look ends the round.
 *  - of who resets or aborts, before the store: nothing happened; after it: it happened.
 *
 * `forsaken`: somebody gave up who could not even have the claim, since who had it stood still. The next to have it breaks the
 * barrier. Anyone sets it, only the claim's owner clears it. */
#include "sync/shared_objects.h"

#include "base/panic.h"

enum { FILLING, DRAINING = 1, RESETTING = 2, BROKEN = 4, LEAVING = DRAINING | RESETTING };

typedef struct shared_barrier {
    uint64_t state; /* low half: phase; high half: how many are inside. Written under the claim, read by anyone */
    uint32_t parties, flags;
    uint32_t claim, at;
    uint32_t forsaken, spare;
} shared_barrier;

_Static_assert(sizeof(shared_barrier) == sizeof(motet_barrier), "another view of it");
_Static_assert(offsetof(shared_barrier, parties) == offsetof(motet_barrier, parties_), "another view of it");
_Static_assert(offsetof(shared_barrier, flags) == offsetof(motet_barrier, flags_), "another view of it");

/* An operation, and the state that it will leave. */
typedef struct barrier_op {
    shared_op op;
    uint32_t phase, inside;
    bool wakes;
} barrier_op;

#define INSIDE ((uint64_t)1 << 32)

static const uint32_t *phase_word(const shared_barrier *b) { return (const uint32_t *)&b->state; }

static void load(const shared_barrier *b, barrier_op *o)
{
    uint64_t state = atomic_load_relaxed(&b->state);
    o->phase = (uint32_t)state;
    o->inside = (uint32_t)(state >> 32);
    o->wakes = false;
}

/* Release: what a party did before, to those that see the phase without the claim: none need it, but it costs nothing. */
static void store(shared_barrier *b, const barrier_op *o)
{
    atomic_store_release(&b->state, o->inside * INSIDE + o->phase);
}

/* All look again when the claim is released. */
static void turn(shared_barrier *b, barrier_op *o, uint32_t phase)
{
    o->phase = phase;
    o->wakes = true;
    store(b, o);
}

/* An error that means that the party gave up, and the others would wait in vain. */
static uint32_t breaks(int e) { return e == -ETIMEDOUT || e == -ECANCELED ? BROKEN : 0; }

/* ---- deriving -------------------------------------------------------------------------------------- */

static __attribute__((noinline, cold)) void derive(shared_barrier *b, barrier_op *o)
{
    uint32_t living = motet__shared_sum(&o->op, b, RECORD_BARRIER, NULL), phase = o->phase;
    if (phase == FILLING && living < o->inside)
        o->phase |= BROKEN;
    if (living == 0)
        o->phase &= ~(uint32_t)LEAVING;
    o->inside = living;
    o->wakes |= o->phase != phase;
    store(b, o);
    b->at = o->op.deaths;
}

static __attribute__((noinline, cold)) void forsake(shared_barrier *b, barrier_op *o)
{
    turn(b, o, o->phase | BROKEN);
    atomic_store_relaxed(&b->forsaken, 0);
}

static int enter(shared_barrier *b, barrier_op *o, motet_time deadline, bool interruptible)
{
    int e = shared_enter(&b->claim, &b->at, &o->op, deadline, interruptible);
    if (unlikely(e < 0))
        return e;
    load(b, o);
    if (unlikely(e > 0))
        derive(b, o);
    if (unlikely(atomic_load_relaxed(&b->forsaken)))
        forsake(b, o);
    return 0;
}

static void leave_claim(shared_barrier *b, barrier_op *o)
{
    const uint32_t *word = phase_word(b);
    bool wakes = o->wakes;
    o->wakes = false;
    shared_release(&b->claim, &o->op);
    if (wakes) /* the barrier may be gone: only its address counts */
        motet__family_wake(word, INT32_MAX);
}

/* ---- a party's way --------------------------------------------------------------------------------- */

static int await(shared_barrier *b, barrier_op *o, motet_time deadline)
{
    uint32_t phase = o->phase, deaths = o->op.deaths;
    leave_claim(b, o);
    int e = motet__family_wait(phase_word(b), phase, deaths, deadline, 0);
    MOTET_ASSERT(enter(b, o, MOTET_FOREVER, false) == 0);
    return e;
}

/* The caller, inside by `self`, goes out. Its number, or -EPIPE, if the round is over; otherwise `e`, which ended its wait. */
static int go_out(shared_barrier *b, barrier_op *o, record *self, int e)
{
    uint32_t phase = o->phase;
    motet__record_drop(self);
    o->inside--;
    if (phase == FILLING)
        o->phase |= breaks(e);
    else if (!o->inside)
        o->phase &= ~(uint32_t)LEAVING;
    o->wakes |= o->phase != phase;
    store(b, o);
    if (phase == FILLING)
        return e;
    return phase & DRAINING ? (int)o->inside : -EPIPE;
}

static int come_in(shared_barrier *b, barrier_op *o, motet_time deadline)
{
    record *self = motet__shared_enrol(b, RECORD_BARRIER, 1);
    if (!self)
        return -ENOMEM;
    o->inside++;
    store(b, o);
    int e = 0;
    while (o->phase == FILLING && e == 0)
        e = await(b, o, deadline);
    return go_out(b, o, self, e);
}

static int complete(shared_barrier *b, barrier_op *o)
{
    int last = (int)o->inside;
    if (last)
        turn(b, o, DRAINING);
    return last;
}

/* The caller is outside and a former round is not over. 0: look again. */
static int await_round(shared_barrier *b, barrier_op *o, motet_time deadline)
{
    int e = await(b, o, deadline);
    if (!breaks(e))
        return e;
    if (!(o->phase & LEAVING))
        return 0; /* it may go in: what remains of its time is decided there */
    turn(b, o, o->phase | BROKEN);
    return e;
}

static int meet(shared_barrier *b, barrier_op *o, motet_time deadline)
{
    while ((o->phase & LEAVING) && !(o->phase & BROKEN)) {
        int e = await_round(b, o, deadline);
        if (e < 0)
            return e;
    }
    if (o->phase & BROKEN)
        return -EPIPE;
    return o->inside + 1 < b->parties ? come_in(b, o, deadline) : complete(b, o);
}

int motet__shared_barrier_wait(motet_barrier *barrier, motet_time deadline)
{
    shared_barrier *b = (shared_barrier *)barrier;
    barrier_op o;
    int e = enter(b, &o, deadline, true);
    if (e == -ETIMEDOUT) {
        atomic_store_relaxed(&b->forsaken, 1);
        motet__family_wake(phase_word(b), INT32_MAX);
    }
    if (e < 0)
        return e;
    e = meet(b, &o, deadline);
    leave_claim(b, &o);
    return e;
}

/* ---- the others ------------------------------------------------------------------------------------ */

int motet__shared_barrier_reset(motet_barrier *barrier)
{
    shared_barrier *b = (shared_barrier *)barrier;
    barrier_op o;
    int e = enter(b, &o, MOTET_FOREVER, false);
    if (e < 0)
        return e;
    o.phase &= ~(uint32_t)BROKEN;
    turn(b, &o, o.inside && !(o.phase & LEAVING) ? o.phase | RESETTING : o.phase);
    leave_claim(b, &o);
    return 0;
}

int motet__shared_barrier_abort(motet_barrier *barrier)
{
    shared_barrier *b = (shared_barrier *)barrier;
    barrier_op o;
    int e = enter(b, &o, MOTET_FOREVER, false);
    if (e < 0)
        return e;
    turn(b, &o, o.phase | BROKEN);
    leave_claim(b, &o);
    return 0;
}

/* As it is; or, where somebody stands still in the middle of something, as it was. */
static barrier_op look(const motet_barrier *barrier)
{
    shared_barrier *b = (shared_barrier *)(uintptr_t)barrier;
    barrier_op o;
    if (enter(b, &o, MOTET_NOWAIT, false) == 0)
        leave_claim(b, &o);
    else
        load(b, &o);
    return o;
}

unsigned motet__shared_barrier_waiting(const motet_barrier *b)
{
    barrier_op o = look(b);
    return o.phase == FILLING ? o.inside : 0;
}

bool motet__shared_barrier_broken(const motet_barrier *b) { return look(b).phase & BROKEN; }

int motet__shared_barrier_init(motet_barrier *barrier, unsigned parties)
{
    int e = motet__shared_begin(barrier);
    if (e == 0)
        *(shared_barrier *)barrier = (shared_barrier){
            .parties = parties, .flags = MOTET_SHARED, .at = motet__family_deaths()};
    return e;
}
