/* SPDX-License-Identifier: MIT */
/* The barrier, after Python's threading.Barrier.
 *
 * The state is one 64-bit word: the phase in the low half, which is what park looks at, and in the high half how many are
 * inside: those that came and have not left. Phases, of which BROKEN joins the others:
 *
 *     FILLING (0)   parties come and wait for the last one, who begins DRAINING, or leaves it FILLING when it is alone
 *     DRAINING      they were let through, and leave one by one with 0
 *     RESETTING     they were sent away by a reset, and leave with -EPIPE
 *     BROKEN        (with FILLING) they leave with -EPIPE; (with the others) it will be broken when all have left
 *
 * The last one to leave ends DRAINING and RESETTING. Nobody comes in before that, so that how a round ended can be read in
 * the phase by all who were in it. The number that a party returns is its place among those that leave. */
#include "sync/shared_objects.h"

enum { FILLING, DRAINING = 1, RESETTING = 2, BROKEN = 4, LEAVING = DRAINING | RESETTING };
enum { PARTIES_MAX = INT32_MAX };

_Static_assert(sizeof(motet_barrier) == 32, "part of the ABI");
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "park must look at the half that holds the phase"
#endif

#define INSIDE ((uint64_t)1 << 32)

static uint32_t phase_of(uint64_t state) { return (uint32_t)state; }

static uint32_t inside(uint64_t state) { return (uint32_t)(state >> 32); }

static int wait_in(motet_barrier *b, uint32_t phase, motet_time deadline)
{
    return motet__park((const uint32_t *)&b->state_, phase, deadline, 0);
}

/* An error that means that the party gave up, and the others would wait in vain. */
static uint32_t breaks(int e) { return e == -ETIMEDOUT || e == -ECANCELED ? BROKEN : 0; }

/* ---- a party's way --------------------------------------------------------------------------------- */

/* The round is over for the caller, who is inside: its number, or -EPIPE. */
static int leave(motet_barrier *b)
{
    uint64_t state = atomic_load_acquire(&b->state_), now;
    do {
        now = state - INSIDE;
        if (!inside(now))
            now &= ~(uint64_t)LEAVING;
    } while (!atomic_cas_acq_rel(&b->state_, &state, now));
    if (phase_of(now) != phase_of(state))
        motet__unpark(b, UNPARK_ALL); /* those that wait to come in */
    return phase_of(state) & DRAINING ? (int)inside(now) : -EPIPE;
}

/* The caller is inside and its wait failed with `e`. */
static int give_up(motet_barrier *b, int e)
{
    uint64_t state = atomic_load_acquire(&b->state_), now;
    do {
        if (phase_of(state) != FILLING)
            return leave(b);
        now = (state - INSIDE) | breaks(e);
    } while (!atomic_cas_acq_rel(&b->state_, &state, now));
    if (breaks(e))
        motet__unpark(b, UNPARK_ALL);
    return e;
}

static int await_others(motet_barrier *b, motet_time deadline)
{
    for (;;) {
        int e = wait_in(b, FILLING, deadline);
        if (phase_of(atomic_load_acquire(&b->state_)) != FILLING)
            return leave(b);
        if (e < 0)
            return give_up(b, e);
    }
}

/* The caller is outside and a former round is not over. 0: look again. */
static int await_round(motet_barrier *b, uint64_t state, motet_time deadline)
{
    int e = wait_in(b, phase_of(state), deadline);
    if (e >= 0 || !breaks(e))
        return e < 0 ? e : 0;
    state = atomic_load_relaxed(&b->state_);
    do {
        if (!(phase_of(state) & LEAVING))
            return 0; /* it may go in: what remains of its time is decided there */
    } while (!atomic_cas_acq_rel(&b->state_, &state, state | BROKEN));
    motet__unpark(b, UNPARK_ALL);
    return e;
}

int motet_barrier_wait(motet_barrier *b, motet_time deadline)
{
    if (!b || !b->parties_)
        return -EINVAL;
    if (unlikely(b->flags_ & MOTET_SHARED))
        return motet__shared_barrier_wait(b, deadline);
    uint64_t state = atomic_load_acquire(&b->state_);
    for (;;) {
        if (phase_of(state) & BROKEN)
            return -EPIPE;
        if (phase_of(state) & LEAVING) {
            int e = await_round(b, state, deadline);
            if (e < 0)
                return e;
            state = atomic_load_acquire(&b->state_);
        } else if (inside(state) + 1 < b->parties_) {
            /* Release: what the party did before, to all that are let through. */
            if (atomic_cas_acq_rel(&b->state_, &state, state + INSIDE))
                return await_others(b, deadline);
        } else {
            int last = (int)inside(state);
            /* The barrier may be gone after this: only its address counts. */
            if (atomic_cas_acq_rel(&b->state_, &state, last ? state | DRAINING : state)) {
                if (last)
                    motet__unpark(b, UNPARK_ALL);
                return last;
            }
        }
    }
}

/* ---- the others ------------------------------------------------------------------------------------ */

int motet_barrier_init(motet_barrier *b, unsigned parties, int flags)
{
    if (parties < 1 || parties > PARTIES_MAX)
        return -EINVAL;
    if (b && flags == MOTET_SHARED)
        return motet__shared_barrier_init(b, parties);
    int e = check_flags(b, flags, 0);
    if (e == 0)
        *b = (motet_barrier){.parties_ = parties};
    return e;
}

int motet_barrier_reset(motet_barrier *b)
{
    if (!b || !b->parties_)
        return -EINVAL;
    if (unlikely(b->flags_ & MOTET_SHARED))
        return motet__shared_barrier_reset(b);
    uint64_t state = atomic_load_relaxed(&b->state_), now;
    do {
        now = state & ~(uint64_t)BROKEN;
        if (inside(state) && !(phase_of(state) & LEAVING))
            now |= RESETTING;
    } while (!atomic_cas_acq_rel(&b->state_, &state, now));
    motet__unpark(b, UNPARK_ALL);
    return 0;
}

int motet_barrier_abort(motet_barrier *b)
{
    if (!b || !b->parties_)
        return -EINVAL;
    if (unlikely(b->flags_ & MOTET_SHARED))
        return motet__shared_barrier_abort(b);
    uint64_t state = atomic_load_relaxed(&b->state_);
    while (!atomic_cas_acq_rel(&b->state_, &state, state | BROKEN)) {}
    motet__unpark(b, UNPARK_ALL);
    return 0;
}

unsigned motet_barrier_parties(const motet_barrier *b) { return b ? b->parties_ : 0; }

unsigned motet_barrier_waiting(const motet_barrier *b)
{
    if (b && unlikely(b->flags_ & MOTET_SHARED))
        return motet__shared_barrier_waiting(b);
    uint64_t state = b ? atomic_load_relaxed(&b->state_) : 0;
    return phase_of(state) == FILLING ? inside(state) : 0;
}

bool motet_barrier_broken(const motet_barrier *b)
{
    if (b && unlikely(b->flags_ & MOTET_SHARED))
        return motet__shared_barrier_broken(b);
    return b && (phase_of(atomic_load_relaxed(&b->state_)) & BROKEN);
}
