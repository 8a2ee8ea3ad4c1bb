/* SPDX-License-Identifier: MIT */
/* The latch. The word: the count in the low bits, and WAITED: somebody may wait. It goes to 0, WAITED included, once.
 *
 * A shared one is the same word, slept on in the kernel; who dies is made up for as with the event. */
#include "sync/sync.h"

#include <limits.h>

#define WAITED    ((uint32_t)1 << 31)
#define COUNT_MAX (WAITED - 1)

_Static_assert(sizeof(motet_latch) == 16, "part of the ABI");

int motet_latch_init(motet_latch *l, unsigned count, int flags)
{
    int e = check_flags(l, flags, 0);
    if (e == 0 && count > COUNT_MAX)
        e = -EINVAL;
    if (e == 0)
        *l = (motet_latch){.word_ = count, .flags_ = (uint32_t)flags};
    return e;
}

int motet_latch_count_down(motet_latch *l, unsigned n)
{
    if (!l)
        return -EINVAL;
    bool shared = l->flags_;
    if (unlikely(shared) && motet__family_enter() < 0)
        return -EPERM;
    uint32_t word = atomic_load_relaxed(&l->word_), now;
    do {
        if (n > (word & COUNT_MAX))
            return -EINVAL;
        now = n < (word & COUNT_MAX) ? word - n : 0;
        /* Publishes what came before to those that it lets through. Then the latch may be gone: only its address counts. */
    } while (!atomic_cas_release(&l->word_, &word, now));
    if (now || !(word & WAITED))
        return 0;
    if (shared)
        motet__family_wake(&l->word_, INT_MAX);
    else
        motet__unpark(l, UNPARK_ALL);
    return 0;
}

static __attribute__((noinline)) int wait_shared(motet_latch *l, motet_time deadline)
{
    int e = motet__family_enter() < 0 ? -EPERM : 0;
    for (;;) {
        /* Before the word. */
        uint32_t deaths = e < 0 ? 0 : motet__family_deaths();
        /* Acquire: what came before every count_down. */
        uint32_t word = atomic_load_acquire(&l->word_);
        if (e == -EPERM || !(word & COUNT_MAX))
            return e == -EPERM ? e : 0;
        if (e < 0)
            return e;
        if ((word & WAITED) || atomic_cas_relaxed(&l->word_, &word, word | WAITED))
            e = motet__family_wait(&l->word_, word | WAITED, deaths, deadline, 0);
    }
}

int motet_latch_wait(motet_latch *l, motet_time deadline)
{
    if (!l)
        return -EINVAL;
    if (unlikely(l->flags_))
        return wait_shared(l, deadline);
    /* Acquire: what came before every count_down. */
    uint32_t word = atomic_load_acquire(&l->word_);
    while (word & COUNT_MAX) {
        if (!(word & WAITED) && !atomic_cas_acq_rel(&l->word_, &word, word | WAITED))
            continue;
        int e = motet__park(&l->word_, word | WAITED, deadline, 0);
        word = atomic_load_acquire(&l->word_);
        if (e < 0 && (word & COUNT_MAX))
            return e;
    }
    return 0;
}

unsigned motet_latch_count(const motet_latch *l) { return l ? atomic_load_relaxed(&l->word_) & COUNT_MAX : 0; }
