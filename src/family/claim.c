/* SPDX-License-Identifier: MIT */
/* The slow paths of a claim. States and invariants: claim.h. */
#include "family/claim.h"

#include "base/spin.h"

enum { LOOKS = 16, PAUSES_MAX = 8 }; /* pauses between looks: 1, 2, 4 and so on */

/* Whether nobody living holds it. */
static bool to_be_had(uint32_t word) { return !(word & TAG_MASK) || !motet__member_alive(word & TAG_MASK); }

/* Takes what is to be had. 0 or MOTET_RECOVERED; -EAGAIN: *word is another now. */
static int take(uint32_t *at, uint32_t *word, uint32_t taken)
{
    bool died = *word & (TAG_MASK | CLAIM_DIED);
    /* Acquire: what it guards. Release: see claim_acquire. */
    if (!atomic_cas_acq_rel(at, word, taken | (*word & CLAIM_WAITED)))
        return -EAGAIN;
    return died ? MOTET_RECOVERED : 0;
}

/* Watches the word for a moment, while nobody waits: whoever holds it may be about to let go. 1: not to be had. */
static int spin(uint32_t *at, member_tag self)
{
    unsigned pauses = 1;
    for (int i = 0; i < LOOKS; i++) {
        uint32_t word = atomic_load_relaxed(at);
        if (word == 0 && take(at, &word, self) == 0)
            return 0;
        if (word & (CLAIM_WAITED | CLAIM_DIED))
            return 1;
        spin_pause(pauses);
        pauses = 2 * pauses < PAUSES_MAX ? 2 * pauses : PAUSES_MAX;
    }
    return 1;
}

/* Waits, and takes it. */
static int acquire(uint32_t *at, member_tag self, motet_time deadline, unsigned flags, bool interruptible)
{
    uint32_t taken = self;
    int over = deadline <= 0 ? -ETIMEDOUT : 0;
    for (;;) {
        /* Before the word and its owner: a death from here on ends the wait. */
        uint32_t deaths = motet__family_deaths();
        /* Acquire: that its owner is alive (claim_acquire). */
        uint32_t word = atomic_load_acquire(at);
        while (to_be_had(word)) {
            int r = take(at, &word, taken);
            if (r >= 0)
                return r;
        }
        /* Who leaves may have been woken: it says anew that others may sleep. It must not rely on what it has read, which may
         * be from before the wake. */
        if ((over || !(word & CLAIM_WAITED)) && !atomic_cas_relaxed(at, &word, word | CLAIM_WAITED))
            continue;
        if (over)
            return over;
        int e = motet__family_wait(at, word | CLAIM_WAITED, deaths, deadline, flags);
        taken = self | CLAIM_WAITED;
        over = e < 0 && (e != -EINTR || interruptible) ? e : 0;
    }
}

int motet__claim_acquire_slow(uint32_t *word, motet_time deadline, bool interruptible)
{
    int64_t self = motet__family_enter();
    if (self < 0)
        return (int)self;
    if (deadline > 0 && spin(word, (member_tag)self) == 0)
        return 0;
    return acquire(word, (member_tag)self, deadline, FAMILY_NO_CANCEL | FAMILY_ONE_WAKE, interruptible);
}

bool motet__claim_release_slow(uint32_t *at)
{
    uint32_t word = atomic_load_acquire(at), now;
    do {
        if (!(word & TAG_MASK))
            return false;
        /* Who takes it next is to hear of the death; the tag itself would be forgotten. */
        now = motet__member_alive(word & TAG_MASK) ? 0 : CLAIM_DIED;
        /* Publishes what it guards; from here on it may be gone, only its address counts. */
    } while (!atomic_cas_acq_rel(at, &word, now));
    if (word & CLAIM_WAITED)
        motet__family_wake(at, 1);
    return true;
}
