/* SPDX-License-Identifier: MIT */
/* The lock.
 *
 * States of the word:
 *
 *     FREE     nobody holds it
 *     HELD     somebody holds it, nobody waits
 *     WAITED   held, and somebody may wait
 *     STARVED  held, and somebody may wait who has waited long and been overtaken
 *
 * Whoever holds the lock, or anyone on the holder's behalf, lowers the word; waiters only raise it.
 *
 * Invariant: while the word is FREE or HELD, either nobody waits or some waiter has been woken and is on its way; a woken
 * waiter takes the lock as WAITED, since it does not know who else waits, or raises the word again and waits on. So the
 * next release wakes the next one, and a waiter that leaves for its deadline or a signal leaves at most a needless wake-up
 * call behind. A wake of the lock's address is a hint only.
 *
 * Spinning: who comes, and who was woken, watches the word for some microseconds while it is HELD. It looks seldom, and
 * ever more so: each look takes the word's cache line from the holder, who would else take and release the lock for tens of
 * times as long as the line's way here and back. While a woken waiter watches, the releases of others wake nobody. Where
 * somebody waits (WAITED) a newcomer does not watch: it would only overtake.
 *
 * Handing over: a waiter that was overtaken after HANDOVER_NS waits in addition for a *message* (on the address plus one):
 * it holds the lock now. Who releases a STARVED lock first lowers it to WAITED, then wakes one such waiter: exactly one takes
 * the message, and the lock was never free. If there is none (it gave up, or has not announced itself yet) the lock
 * becomes FREE as ever: a waiter that announces itself too late for the message still waits for the hint, under the
 * invariant above.
 *
 * A shared lock is a claim (family/claim.h), in `owner_`; nothing else of it changes. */
#include "sync/sync.h"

enum { FREE, HELD, WAITED, STARVED };
enum { HANDOVER_NS = 1000 * 1000 };
enum { LOOKS = 12, PAUSES_MIN = 4, PAUSES_MAX = 16 }; /* pauses between looks: 4, 8, 16, 16 and so on */

_Static_assert(sizeof(motet_lock) == 16, "part of the ABI");

/* ---- slow paths ------------------------------------------------------------------------------------ */

/* Watches the word while the lock is HELD: its holder may be about to let go. True: the lock was taken, as `taken`. */
static bool spin(motet_lock *l, uint32_t taken)
{
    unsigned pauses = PAUSES_MIN;
    for (int i = 0; i < LOOKS; i++) {
        uint32_t word = atomic_load_relaxed(&l->word_);
        /* Acquire: partner of release's exchange or compare-and-swap. */
        if (word == FREE && atomic_cas_acquire(&l->word_, &word, taken))
            return true;
        if (word > HELD)
            return false;
        spin_pause(pauses);
        pauses = 2 * pauses < PAUSES_MAX ? 2 * pauses : PAUSES_MAX;
    }
    return false;
}

/* Waits, as one of the STARVED or not, until there is something to look at. 1: the lock was handed over. */
static int await(motet_lock *l, uint32_t word, motet_time deadline, bool starved)
{
    wait_node node[2] = {
        {.key = l, .word = &l->word_, .expected = word},
        {.key = message_key(l, 1)},
    };
    park_request r = {.nodes = node, .nodes_count = starved ? 2 : 1, .deadline = deadline, .flags = PARK_NO_CANCEL};
    return motet__park_many(&r);
}

static int acquire_parking(motet_lock *l, motet_time deadline, bool may_end)
{
    motet_time begin = 0; /* of the first wait */
    bool starved = false;
    uint32_t word = atomic_load_relaxed(&l->word_);
    for (;;) {
        if (word == FREE) {
            /* Acquire: partner of release's exchange. */
            if (atomic_cas_acquire(&l->word_, &word, WAITED))
                return 0;
            continue;
        }
        uint32_t raised = starved ? STARVED : WAITED;
        if (word < raised) {
            /* Relaxed: it publishes nothing; park looks at the word again. */
            if (!atomic_cas_relaxed(&l->word_, &word, raised))
                continue;
            word = raised;
        }
        if (!begin)
            begin = sys_now();
        int e = await(l, word, deadline, starved);
        if (e == 1)
            return 0;
        if (e < 0 && (may_end || e != -EINTR))
            return e;
        starved = starved || sys_now() - begin > HANDOVER_NS;
        if (!starved && spin(l, WAITED))
            return 0;
        word = atomic_load_relaxed(&l->word_);
    }
}

static int release_shared(motet_lock *l)
{
    return motet__family_enter() >= 0 && claim_release(lock_claim(l)) ? 0 : -EPERM;
}

__attribute__((cold)) int motet__lock_acquire_slow(motet_lock *l, motet_time deadline)
{
    if (l->flags_)
        return claim_acquire(lock_claim(l), deadline, true);
    if (deadline <= 0)
        return -ETIMEDOUT;
    return spin(l, HELD) ? 0 : acquire_parking(l, deadline, true);
}

__attribute__((cold)) int motet__lock_release_slow(motet_lock *l)
{
    uint32_t word = atomic_load_relaxed(&l->word_);
    if (word == LOCK_SHARED)
        return release_shared(l);
    if (word == FREE)
        return -EPERM;
    if (word == STARVED && atomic_cas_release(&l->word_, &word, WAITED) && motet__unpark(message_key(l, 1), 1))
        return 0; /* it is the other's */
    /* Publishes what the lock protects; from here on it may be gone, only its address counts. */
    word = atomic_exchange_release(&l->word_, FREE);
    if (word > HELD)
        motet__unpark(l, 1);
    return word == FREE ? -EPERM : 0;
}

int motet__lock_reacquire(motet_lock *l)
{
    uint32_t word = FREE;
    if (atomic_cas_acquire(&l->word_, &word, HELD))
        return 0;
    if (word == LOCK_SHARED)
        return claim_acquire(lock_claim(l), MOTET_FOREVER, false);
    if (spin(l, HELD))
        return 0;
    return acquire_parking(l, MOTET_FOREVER, false);
}

/* ---- public ---------------------------------------------------------------------------------------- */

int motet_lock_init(motet_lock *l, int flags)
{
    int e = check_flags(l, flags, 0);
    if (e == 0)
        *l = (motet_lock){.word_ = flags & MOTET_SHARED ? LOCK_SHARED : FREE, .flags_ = (uint32_t)flags};
    return e;
}

int motet_lock_acquire(motet_lock *l, motet_time deadline)
{
    if (unlikely(!l))
        return -EINVAL;
    if (unlikely(l->flags_))
        return claim_acquire(lock_claim(l), deadline, true);
    return lock_acquire(l, deadline);
}

int motet_lock_release(motet_lock *l)
{
    if (unlikely(!l))
        return -EINVAL;
    return unlikely(l->flags_) ? release_shared(l) : lock_release(l);
}

bool motet_lock_locked(const motet_lock *l) { return l && lock_locked(l); }
