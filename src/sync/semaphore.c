/* SPDX-License-Identifier: MIT */
/* The semaphore.
 *
 * The state is one 64-bit word: permits in the low half, the number of threads in a wait in the high half (as in glibc's
 * new_sem). Park looks at the low half alone.
 *
 * Invariant: a release that finds waiters wakes as many as it gave permits. A woken waiter looks again: it takes a permit,
 * or finds that a thread that came along took it, and waits on. A waiter that leaves with an error was not woken. So
 * there are never permits that no one takes while all waiters sleep. A waiter counts itself before it looks at the permits
 * and a release gives them in the same word that holds the count: neither can miss the other.
 *
 * A shared one without a bound is the low half alone, slept on in the kernel: permits, or WANTED: none, and somebody may sleep.
 * There is no count of waiters that a dead one could leave too high. Who releases takes WANTED off with the step that gives
 * the permits (it may touch nothing afterwards), and wakes as many.
 *
 * Invariant: while somebody sleeps, the word is WANTED, or one that was woken is on its way: if it takes the last permit, or
 * finds none, it leaves WANTED, also when it gives up; if it takes one and there are more, it wakes another. Or a process died
 * that was to wake somebody or was woken: its death wakes all. Or it was stopped there: the others look again by themselves
 * after a while (FAMILY_ONE_WAKE).
 *
 * (Shared and bounded: sync/shared_semaphore.c.) */
#include "sync/shared_objects.h"

#include <limits.h>

_Static_assert(sizeof(motet_semaphore) == 32, "part of the ABI");
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "park must look at the half that holds the permits"
#endif

#define WAITER     ((uint64_t)1 << 32)
#define WANTED     UINT32_MAX
#define SHARED_MAX (WANTED - 1)

static uint32_t permits(uint64_t state) { return (uint32_t)state; }

/* ---- shared, without a bound ----------------------------------------------------------------------- */

static uint32_t *shared_word(const motet_semaphore *s) { return (uint32_t *)(uintptr_t)&s->state_; }

static uint32_t shared_permits(uint32_t word) { return word == WANTED ? 0 : word; }

/* Takes a permit if there is one; *ret_word: the word otherwise. `slept`: others may sleep. */
static bool take_shared(uint32_t *at, bool slept, uint32_t *ret_word)
{
    uint32_t word = atomic_load_relaxed(at);
    while (shared_permits(word)) {
        bool last = word == 1;
        /* Acquire: what came before the release of the permit. */
        if (atomic_cas_acquire(at, &word, slept && last ? WANTED : word - 1)) {
            if (slept && !last)
                motet__family_wake(at, 1);
            return true;
        }
    }
    *ret_word = word;
    return false;
}

static __attribute__((noinline)) int acquire_shared_slow(uint32_t *at, motet_time deadline)
{
    int over = deadline <= 0 ? -ETIMEDOUT : 0;
    for (bool slept = false;;) {
        /* Before the word. */
        uint32_t deaths = motet__family_deaths(), word;
        if (take_shared(at, slept, &word))
            return 0;
        if (over && !slept)
            return over;
        if (word == 0 && !slept && motet__family_spin(at, word, deaths, deadline))
            continue;
        /* Who leaves may have been woken, and must not rely on what it has read, which may be from before the wake. */
        if ((over || word == 0) && !atomic_cas_relaxed(at, &word, WANTED))
            continue;
        if (over)
            return over;
        int e = motet__family_wait(at, WANTED, deaths, deadline, FAMILY_ONE_WAKE | FAMILY_NO_SPIN);
        slept = true;
        over = e < 0 ? e : 0;
    }
}

static int acquire_shared(motet_semaphore *s, motet_time deadline)
{
    if (s->flags_ & MOTET_BOUNDED)
        return motet__shared_bounded_acquire(s, deadline);
    if (motet__family_enter() < 0)
        return -EPERM;
    uint32_t word;
    return take_shared(shared_word(s), false, &word) ? 0 : acquire_shared_slow(shared_word(s), deadline);
}

static int release_shared(motet_semaphore *s, unsigned n)
{
    if (s->flags_ & MOTET_BOUNDED)
        return motet__shared_bounded_release(s, n);
    if (motet__family_enter() < 0)
        return -EPERM;
    uint32_t *at = shared_word(s), word = atomic_load_relaxed(at);
    do {
        if (n > SHARED_MAX - shared_permits(word))
            return -EOVERFLOW;
        if (n == 0)
            return 0;
        /* Publishes what came before to who takes a permit. Then the semaphore may be gone: only its address counts. */
    } while (!atomic_cas_release(at, &word, shared_permits(word) + n));
    if (word == WANTED)
        motet__family_wake(at, n < INT_MAX ? (int)n : INT_MAX);
    return 0;
}

static int init_shared(motet_semaphore *s, unsigned value)
{
    int e = value > SHARED_MAX ? -EINVAL : check_shared(s);
    if (e == 0)
        *s = (motet_semaphore){.state_ = value, .flags_ = MOTET_SHARED};
    return e;
}

/* ---- private --------------------------------------------------------------------------------------- */

int motet_semaphore_init(motet_semaphore *s, unsigned value, int flags)
{
    if (s && flags == (MOTET_SHARED | MOTET_BOUNDED))
        return motet__shared_bounded_init(s, value);
    if (s && flags == MOTET_SHARED)
        return init_shared(s, value);
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
    if (unlikely(s->flags_ & MOTET_SHARED))
        return acquire_shared(s, deadline);
    return likely(take(s, 0)) ? 0 : acquire_slow(s, deadline);
}

int motet_semaphore_release(motet_semaphore *s, unsigned n)
{
    if (!s)
        return -EINVAL;
    if (unlikely(s->flags_ & MOTET_SHARED))
        return release_shared(s, n);
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
    if (!s)
        return 0;
    if (unlikely(s->flags_ & MOTET_SHARED))
        return s->flags_ & MOTET_BOUNDED ? motet__shared_bounded_value(s)
                                         : shared_permits(atomic_load_relaxed(shared_word(s)));
    return permits(atomic_load_relaxed(&s->state_));
}
