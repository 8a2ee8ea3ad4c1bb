/* SPDX-License-Identifier: MIT */
/* Claims: a lock of one word in the arena that outlives its owner. It is the shared form of motet_lock, and guards the inside
 * of every other shared object for a few instructions.
 *
 *     word = tag of the owner : 26 (0: free), CLAIM_DIED, CLAIM_WAITED
 *
 *     0 --acquire--> tag --release--> 0
 *     tag of a dead member --acquire (takes it over)--> tag | nothing, and answers MOTET_RECOVERED
 *     tag of a dead member --release by anyone--> CLAIM_DIED --acquire--> tag, and answers MOTET_RECOVERED
 *
 * CLAIM_WAITED: somebody may sleep on the word. A waiter sets it by a compare-and-swap on the value that it then sleeps on.
 * A release takes it off with the tag, in one compare-and-swap (it may touch nothing afterwards: who has the claim next may
 * free its memory), and wakes one.
 *
 * Invariant: while somebody sleeps, the bit is set, or a waiter that was woken is on its way: it takes the claim with the bit,
 * since it does not know who else waits, or sets it anew, also when it gives up; or a process died that was to wake somebody
 * or was woken, and its death wakes all; or it was stopped there, and the others look again by themselves after a while
 * (FAMILY_ONE_WAKE). If the owner dies, its death wakes all, and the first to look takes the claim over.
 *
 * No order is kept: who comes along may take a free claim before those that were woken for it. */
#ifndef MOTET_FAMILY_CLAIM_H
#define MOTET_FAMILY_CLAIM_H

#include "family/family.h"

#define CLAIM_WAITED ((uint32_t)1 << 31)
#define CLAIM_DIED   ((uint32_t)1 << 30)

int motet__claim_acquire_slow(uint32_t *word, motet_time deadline, bool interruptible);
bool motet__claim_release_slow(uint32_t *word);

/* Takes the claim. 0; MOTET_RECOVERED: it is the caller's, and who had it before died with it: what it guards must be mended.
 * -ETIMEDOUT; -EINTR if `interruptible` (and the thread is); -EPERM: no member. Waits; no cancellation point. */
static inline int claim_acquire(uint32_t *word, motet_time deadline, bool interruptible)
{
    uint32_t none = 0;
    member_tag self = motet__family_self();
    /* Acquire: partner of the release below. Release: that this process is a member and alive, to whoever reads its tag: else
     * it might be taken for one that died long ago. */
    if (likely(self) && likely(atomic_cas_acq_rel(word, &none, self)))
        return 0;
    return motet__claim_acquire_slow(word, deadline, interruptible);
}

/* Lets it go; the caller need not be its owner. Publishes what it guards. False: nobody held it. */
static inline bool claim_release(uint32_t *word)
{
    uint32_t self = motet__family_self();
    return likely(self && atomic_cas_release(word, &self, 0)) || motet__claim_release_slow(word);
}

/* Whether anybody holds it, dead or alive: a moment's truth. */
static inline bool claim_held(const uint32_t *word) { return atomic_load_relaxed(word) & TAG_MASK; }

#endif
