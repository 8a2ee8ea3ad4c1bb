/* SPDX-License-Identifier: MIT */
/* The latch. The word: the count in the low bits, and WAITED: somebody may wait. It goes to 0, WAITED included, once. */
#include "sync/sync.h"

#define WAITED    ((uint32_t)1 << 31)
#define COUNT_MAX (WAITED - 1)

_Static_assert(sizeof(motet_latch) == 16, "part of the ABI");

int motet_latch_init(motet_latch *l, unsigned count, int flags)
{
    int e = check_flags(l, flags, 0);
    if (e == 0 && count > COUNT_MAX)
        e = -EINVAL;
    if (e == 0)
        *l = (motet_latch){.word_ = count};
    return e;
}

int motet_latch_count_down(motet_latch *l, unsigned n)
{
    if (!l)
        return -EINVAL;
    uint32_t word = atomic_load_relaxed(&l->word_), now;
    do {
        if (n > (word & COUNT_MAX))
            return -EINVAL;
        now = n < (word & COUNT_MAX) ? word - n : 0;
        /* Publishes what came before to those that it lets through. Then the latch may be gone: only its address counts. */
    } while (!atomic_cas_release(&l->word_, &word, now));
    if (!now && (word & WAITED))
        motet__unpark(l, UNPARK_ALL);
    return 0;
}

int motet_latch_wait(motet_latch *l, motet_time deadline)
{
    if (!l)
        return -EINVAL;
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
