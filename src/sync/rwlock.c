/* SPDX-License-Identifier: MIT */
/* The lock for many readers or one writer.
 *
 * The word: WRITER: held for writing (or for a moment by a release that hands over); the low bits count the readers that
 * hold it; WRITERS_WAIT, READERS_WAIT: some may wait. LENT is a hold of many readers that a release takes for itself.
 *
 * Invariants: the lock is free only when the word is 0: a release that finds waiters never frees it, it hands it over.
 * Readers take no share while WRITERS_WAIT is set.
 *
 * Handing over (hand_over, which holds the lock as WRITER): it first takes the bit of the waiters away, then gives them a
 * *message* (on the address plus 1 to readers, plus 2 to writers): you hold it. A waiter that sets the bit, announces itself
 * for the message and then finds the word unchanged was announced before the bit was taken away, so the message finds it;
 * otherwise it sees another word and looks again. (Hence each waiter has two nodes: one that only looks at the word, and
 * the message.) What a writer is given is the lock as it stands. Readers are given a share each: how many take it is not
 * known beforehand, so the release first turns the lock into LENT shares, wakes them all, and gives back those that
 * nobody took. That last step, or the message to the writer, is where it lets go: it touches nothing afterwards.
 *
 * Order: after a writer the readers that wait, after readers the writer that waits longest: neither side starves.
 *
 * A writer that gives up takes WRITERS_WAIT away, lest readers wait for nobody, and has every waiter look again by a hint on
 * the lock's own address: other writers set the bit anew. */
#include "sync/shared_objects.h"

#define WRITER       ((uint32_t)1 << 31)
#define WRITERS_WAIT ((uint32_t)1 << 30)
#define READERS_WAIT ((uint32_t)1 << 29)
#define LENT         ((uint32_t)1 << 28)
#define READERS      (READERS_WAIT - 1)
#define READERS_MAX  ((uint32_t)1 << 26)

_Static_assert(sizeof(motet_rwlock) == 32, "part of the ABI");

static const void *readers_key(motet_rwlock *l) { return message_key(l, 1); }

static const void *writers_key(motet_rwlock *l) { return message_key(l, 2); }

/* ---- handing over ---------------------------------------------------------------------------------- */

/* From WRITER to shares for the readers that wait. False when the lock is WRITER again, for somebody else waits. */
static bool lend(motet_rwlock *l)
{
    uint32_t n = motet__unpark(readers_key(l), UNPARK_ALL);
    uint32_t word = atomic_load_relaxed(&l->word_), now;
    do {
        now = word - (LENT - n);
        if (!(now & READERS) && now)
            now |= WRITER;
        /* Release: what the writer before did, to who comes; acquire: in case it is a writer's turn again. */
    } while (!atomic_cas_acq_rel(&l->word_, &word, now));
    return !(now & WRITER);
}

static __attribute__((noinline, cold)) void hand_over(motet_rwlock *l, bool readers_first)
{
    uint32_t word = atomic_load_relaxed(&l->word_);
    for (;;) {
        if ((word & READERS_WAIT) && (readers_first || !(word & WRITERS_WAIT))) {
            if (!atomic_cas_acq_rel(&l->word_, &word, (word & ~(WRITER | READERS_WAIT)) + LENT))
                continue;
            if (lend(l))
                return;
            readers_first = false;
            word = atomic_load_relaxed(&l->word_);
        } else if (word & WRITERS_WAIT) {
            if (!atomic_cas_acq_rel(&l->word_, &word, word & ~WRITERS_WAIT))
                continue;
            if (motet__unpark(writers_key(l), 1))
                return;
            readers_first = true;
            word = atomic_load_relaxed(&l->word_);
        } else if (atomic_cas_release(&l->word_, &word, 0)) {
            return;
        }
    }
}

int motet_rwlock_release(motet_rwlock *l)
{
    if (!l)
        return -EINVAL;
    if (unlikely(l->flags_ & MOTET_SHARED))
        return motet__shared_rwlock_release(l);
    uint32_t word = atomic_load_relaxed(&l->word_);
    if (word & WRITER) {
        if (atomic_load_relaxed(&l->owner_) != sync_self())
            return -EPERM;
        atomic_store_relaxed(&l->owner_, 0);
        word = WRITER;
        /* Publishes what was written; partner: the acquires' compare-and-swap. */
        if (unlikely(!atomic_cas_release(&l->word_, &word, 0)))
            hand_over(l, true);
        return 0;
    }
    uint32_t now;
    do {
        if (!(word & READERS) || (word & WRITER))
            return -EPERM;
        now = word - 1;
        if (!(now & READERS) && now)
            now |= WRITER; /* to hand it over */
        /* Release: the reads are done; acquire: other readers' too, for the writer that may be next. */
    } while (!atomic_cas_acq_rel(&l->word_, &word, now));
    if (unlikely(now & WRITER))
        hand_over(l, false);
    return 0;
}

/* ---- waiting --------------------------------------------------------------------------------------- */

/* Waits while the word is `word`. 1: the lock was handed over; 0: look again. */
static int await(motet_rwlock *l, uint32_t word, const void *message, motet_time deadline)
{
    wait_node node[2] = {{.key = l, .word = &l->word_, .expected = word}, {.key = message}};
    park_request r = {.nodes = node, .nodes_count = 2, .deadline = deadline, .flags = PARK_NO_CANCEL};
    return motet__park_many(&r);
}

static bool is_writer(motet_rwlock *l)
{
    /* Relaxed: a thread finds its own number only if it wrote it. */
    return atomic_load_relaxed(&l->owner_) == sync_self();
}

/* Around LENT, more or less those that came or went since, it is not full. */
static bool is_full(uint32_t word) { return (word & READERS) >= READERS_MAX && (word & READERS) <= LENT - READERS_MAX; }

static __attribute__((noinline, cold)) int acquire_read_slow(motet_rwlock *l, motet_time deadline)
{
    if (is_writer(l))
        return -EDEADLK;
    uint32_t word = atomic_load_relaxed(&l->word_);
    for (;;) {
        if (!(word & (WRITER | WRITERS_WAIT))) {
            if (is_full(word))
                return -EOVERFLOW;
            if (atomic_cas_acquire(&l->word_, &word, word + 1))
                return 0;
            continue;
        }
        if (has_passed(deadline))
            return -ETIMEDOUT;
        /* Relaxed: it publishes nothing; park looks at the word again. */
        if (!(word & READERS_WAIT) && !atomic_cas_relaxed(&l->word_, &word, word | READERS_WAIT))
            continue;
        int e = await(l, word | READERS_WAIT, readers_key(l), deadline);
        if (e != 0)
            return e == 1 ? 0 : e;
        word = atomic_load_relaxed(&l->word_);
    }
}

/* A writer gave up. */
static void stop_waiting(motet_rwlock *l)
{
    atomic_and_acq_rel(&l->word_, ~WRITERS_WAIT);
    motet__unpark(l, UNPARK_ALL);
}

/* The lock is the caller's for writing. */
static int own(motet_rwlock *l)
{
    atomic_store_relaxed(&l->owner_, sync_self());
    return 0;
}

static __attribute__((noinline, cold)) int acquire_write_slow(motet_rwlock *l, motet_time deadline)
{
    if (is_writer(l))
        return -EDEADLK;
    bool waited = false;
    uint32_t word = atomic_load_relaxed(&l->word_);
    for (;;) {
        if (word == 0) {
            if (atomic_cas_acquire(&l->word_, &word, WRITER))
                return own(l);
            continue;
        }
        if (has_passed(deadline)) {
            if (waited)
                stop_waiting(l);
            return -ETIMEDOUT;
        }
        if (!(word & WRITERS_WAIT) && !atomic_cas_relaxed(&l->word_, &word, word | WRITERS_WAIT))
            continue;
        int e = await(l, word | WRITERS_WAIT, writers_key(l), deadline);
        if (e == 1) {
            /* The bit was taken away for this writer, but there may be others. */
            atomic_or_acq_rel(&l->word_, WRITERS_WAIT);
            return own(l);
        }
        if (e < 0) {
            stop_waiting(l);
            return e;
        }
        waited = true;
        word = atomic_load_relaxed(&l->word_);
    }
}

/* ---- public ---------------------------------------------------------------------------------------- */

int motet_rwlock_init(motet_rwlock *l, int flags)
{
    if (l && flags == MOTET_SHARED)
        return motet__shared_rwlock_init(l);
    int e = check_flags(l, flags, 0);
    if (e == 0)
        *l = (motet_rwlock){0};
    return e;
}

int motet_rwlock_acquire_read(motet_rwlock *l, motet_time deadline)
{
    if (!l)
        return -EINVAL;
    if (unlikely(l->flags_ & MOTET_SHARED))
        return motet__shared_rwlock_acquire(l, false, deadline);
    uint32_t word = atomic_load_relaxed(&l->word_);
    /* Acquire: what the last writer wrote. */
    if (likely(word < READERS_MAX) && likely(atomic_cas_acquire(&l->word_, &word, word + 1)))
        return 0;
    return acquire_read_slow(l, deadline);
}

int motet_rwlock_acquire_write(motet_rwlock *l, motet_time deadline)
{
    if (!l)
        return -EINVAL;
    if (unlikely(l->flags_ & MOTET_SHARED))
        return motet__shared_rwlock_acquire(l, true, deadline);
    uint32_t word = 0;
    if (likely(atomic_cas_acquire(&l->word_, &word, WRITER)))
        return own(l);
    return acquire_write_slow(l, deadline);
}
