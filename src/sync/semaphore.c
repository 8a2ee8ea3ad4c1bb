/* SPDX-License-Identifier: MIT */
/* The semaphore.
 *
 * The state is one 64-bit word: permits in the low half, the number of threads in a wait in the high half (as in glibc's
 * new_sem). Park looks at the low half alone.
 *
 * Invariant: a release that finds waiters wakes as many as it gave permits. A woken waiter looks again: it takes a permit,
 * or finds that a thread that came along took it, and waits on. A waiter that leaves with an error was not woken. So
 * there are never permits that no one takes while all waiters sleep. A waiter counts itself before it looks at the permits
 * and a release gives them in the same word that holds the count: neither can miss the other. */
#include "sync/shared_objects.h"

_Static_assert(sizeof(motet_semaphore) == 32, "part of the ABI");
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "park must look at the half that holds the permits"
#endif

#define WAITER ((uint64_t)1 << 32)

static bool is_shared_bounded(uint32_t flags)
{
    return (flags & (MOTET_SHARED | MOTET_BOUNDED)) == (MOTET_SHARED | MOTET_BOUNDED);
}

static uint32_t permits(uint64_t state) { return (uint32_t)state; }

int motet_semaphore_init(motet_semaphore *s, unsigned value, int flags)
{
    if (s && flags == (MOTET_SHARED | MOTET_BOUNDED))
        return motet__shared_bounded_init(s, value);
    int e = check_flags(s, flags, MOTET_BOUNDED);
    if (e == 0)
        *s = (motet_semaphore){.state_ = value, .limit_ = value, .flags_ = (uint32_t)flags};
    return e;
}

/* Takes a permit if there is one, and `also` off the state with it. */
static bool take(motet_semaphore *s, uint64_t also)
{
    uint64_t state = atomic_load_relaxed(&s->state_);
    while (permits(state))
        /* Acquire: what came before the release of the permit. */
        if (atomic_cas_acquire(&s->state_, &state, state - 1 - also))
            return true;
    return false;
}

static __attribute__((noinline)) int acquire_slow(motet_semaphore *s, motet_time deadline)
{
    if (deadline <= 0)
        return -ETIMEDOUT;
    /* Relaxed: park looks at the permits after a stronger operation. */
    atomic_add_relaxed(&s->state_, WAITER);
    while (!take(s, WAITER)) {
        int e = motet__park((const uint32_t *)&s->state_, 0, deadline, 0);
        if (e < 0) {
            atomic_sub_relaxed(&s->state_, WAITER);
            return e;
        }
    }
    return 0;
}

int motet_semaphore_acquire(motet_semaphore *s, motet_time deadline)
{
    if (!s)
        return -EINVAL;
    if (unlikely(is_shared_bounded(s->flags_)))
        return motet__shared_bounded_acquire(s, deadline);
    return likely(take(s, 0)) ? 0 : acquire_slow(s, deadline);
}

int motet_semaphore_release(motet_semaphore *s, unsigned n)
{
    if (!s)
        return -EINVAL;
    if (unlikely(is_shared_bounded(s->flags_)))
        return motet__shared_bounded_release(s, n);
    uint32_t limit = s->flags_ & MOTET_BOUNDED ? s->limit_ : MOTET_SEMAPHORE_MAX;
    uint64_t state = atomic_load_relaxed(&s->state_);
    do {
        /* Permits never exceed the limit. */
        if (n > limit - permits(state))
            return -EOVERFLOW;
        /* Publishes what came before to who takes a permit. Then the semaphore may be gone: only its address counts. */
    } while (!atomic_cas_release(&s->state_, &state, state + n));
    if (n && state >= WAITER)
        motet__unpark(s, n);
    return 0;
}

unsigned motet_semaphore_value(const motet_semaphore *s)
{
    if (s && unlikely(is_shared_bounded(s->flags_)))
        return motet__shared_bounded_value(s);
    return s ? permits(atomic_load_relaxed(&s->state_)) : 0;
}
