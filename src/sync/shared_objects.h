/* SPDX-License-Identifier: MIT */
/* What the shared forms of rwlock, bounded semaphore, barrier and condition have in common, and what their public
 * functions call.
 *
 * Each has a claim inside, held for a few instructions: a monitor without waiting inside. Under it
 *
 *  - *truth* is what stands in records of members' logs (read shares, permits, parties, waits) and, where one word can say
 *    it, in a word of the object that changes by one store (the writer of a rwlock, the phase of a barrier);
 *  - *derived* is what the object keeps besides: sums over the records of the living. They come with the value of `deaths`
 *    at which they were derived (`at`), and every operation begins by deriving anew if that is past or the claim's last
 *    owner died with it.
 *
 * So each operation changes truth first, then what is derived, and the death of its process at any instruction leaves truth
 * that says all; its claim stays with the dead until that is known, and who takes it over derives before he does anything.
 *
 * Who waits has a record of his own and sleeps on its word (a barrier's on the phase) and on `deaths`, as they were under the
 * claim at the time when he decided to wait: also `at` was that value then. So whatever a death changes, all that wait look
 * again, derived anew; who dies between a change and the wake that belongs to it is made up for by its own death. A wake is a
 * hint: who was woken takes the claim and looks. Nobody leaves with an error without a last look under the claim, and
 * what he could have taken he takes: so no wake is lost with him.
 *
 * Scans (sums, the oldest) cost as much as there are members and records in use; they happen after deaths and when somebody
 * waits, never on the way of who finds a thing free. */
#ifndef MOTET_SYNC_SHARED_OBJECTS_H
#define MOTET_SYNC_SHARED_OBJECTS_H

#include "family/claim.h"
#include "family/family.h"
#include "sync/sync.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "a record's count is the low half of its state"
#endif

/* ---- the public functions' other halves: `o` is shared, not NULL, and other arguments are sound ----------- */

int motet__shared_rwlock_init(motet_rwlock *l);
int motet__shared_rwlock_acquire(motet_rwlock *l, bool write, motet_time deadline);
int motet__shared_rwlock_release(motet_rwlock *l);

int motet__shared_bounded_init(motet_semaphore *s, unsigned value);
int motet__shared_bounded_acquire(motet_semaphore *s, motet_time deadline);
int motet__shared_bounded_release(motet_semaphore *s, unsigned n);
unsigned motet__shared_bounded_value(const motet_semaphore *s);

int motet__shared_barrier_init(motet_barrier *b, unsigned parties);
int motet__shared_barrier_wait(motet_barrier *b, motet_time deadline);
int motet__shared_barrier_reset(motet_barrier *b);
int motet__shared_barrier_abort(motet_barrier *b);
unsigned motet__shared_barrier_waiting(const motet_barrier *b);
bool motet__shared_barrier_broken(const motet_barrier *b);

int motet__shared_condition_init(motet_condition *c);
/* `held` is shared as well, and locked. It is locked in the end, too. */
int motet__shared_condition_wait(motet_condition *c, motet_lock *held, motet_time deadline);
int motet__shared_condition_notify(motet_condition *c, unsigned n);

/* ---- records --------------------------------------------------------------------------------------- */

/* Whether an object there can be shared, by the caller: 0, -EFAULT, -EPERM. If so all records are dropped that an object
 * there had before. */
int motet__shared_begin(const void *object);

static inline member *shared_own(void) { return &motet__family->members[tag_place(motet__family_self())]; }

/* The caller's process's record; NULL: none. */
static inline record *shared_mine(const void *object, uint32_t what)
{
    return motet__record_find(shared_own(), object, what, NULL);
}

static inline uint32_t record_count(const record *r) { return (uint32_t)atomic_load_relaxed(&r->state); }

/* Of a record of the caller's own process. Relaxed: the claim publishes it. */
static inline void record_set(record *r, uint32_t count)
{
    atomic_store_relaxed(&r->state, (uint64_t)motet__family_self() << 32 | count);
}

/* One more in the caller's process's record. -ENOMEM: its log is full. */
static inline int shared_hold(const void *object, uint32_t what)
{
    record *r = shared_mine(object, what);
    if (!r && !(r = motet__record_take(object, what)))
        return -ENOMEM;
    record_set(r, record_count(r) + 1);
    return 0;
}

/* Drops a record of whomever's, unless it was given away meanwhile. */
void motet__shared_drop(record *r, const void *object);

/* A new record of the caller's own, of a wait that begins now; NULL: its log is full. */
record *motet__shared_enrol(const void *object, uint32_t what, uint32_t count);

/* Calls each(r, arg) for every record of the living about it. */
void motet__shared_each(const void *object, uint32_t what, void (*each)(record *r, void *arg), void *arg);

/* Of the records of the living that have this count, the one that waits longest, but longer than `since` and `last` no more
 * (NULL: of all). NULL: none. */
record *motet__shared_oldest(const void *object, uint32_t what, uint32_t count, const record *last, int64_t since);

/* ---- an operation ---------------------------------------------------------------------------------- */

enum { SHARED_WAKES = 16 };

/* Of one operation, while it has the claim; begun by shared_enter. */
typedef struct shared_op {
    uint32_t deaths;      /* at which all is derived */
    unsigned wakes_count; /* sleepers to be woken when the claim is released */
    const uint32_t *wakes[SHARED_WAKES];
} shared_op;

int motet__shared_claim_late(uint32_t *claim, bool interruptible);
void motet__shared_wake_all(shared_op *op);

/* Takes the claim of an object. As claim_acquire; a deadline that has passed gives the one who has it a moment still, so that
 * a try does not fail because somebody else is in the middle of his own. */
static inline int shared_claim(uint32_t *claim, motet_time deadline, bool interruptible)
{
    int e = claim_acquire(claim, deadline, interruptible);
    return unlikely(e == -ETIMEDOUT) ? motet__shared_claim_late(claim, interruptible) : e;
}

/* Begins an operation under the claim: 0; 1: it has to derive anew, for somebody has died; < 0: as shared_claim. */
static inline int shared_enter(uint32_t *claim, const uint32_t *at, shared_op *op, motet_time deadline,
                               bool interruptible)
{
    int e = shared_claim(claim, deadline, interruptible);
    if (unlikely(e < 0))
        return e;
    op->wakes_count = 0;
    op->deaths = motet__family_deaths();
    return unlikely(e == MOTET_RECOVERED) || unlikely(op->deaths != *at);
}

/* For who derives: the sum over the living's records and, unless `waited` is NULL, whether any of them waits (by a RECORD_WAIT);
 * all of it as it was at one count of deaths, op->deaths from now on. */
uint32_t motet__shared_sum(shared_op *op, const void *object, uint32_t what, bool *waited);

static inline void shared_release(uint32_t *claim, shared_op *op)
{
    claim_release(claim);
    if (unlikely(op->wakes_count)) /* the object may be gone; words of records stay */
        motet__shared_wake_all(op);
}

/* Has the waiter look again. */
static inline void shared_wake(shared_op *op, record *r)
{
    atomic_add_release(&r->word, 1);
    if (op->wakes_count == SHARED_WAKES)
        motet__shared_wake_all(op);
    op->wakes[op->wakes_count++] = &r->word;
}

#endif
