/* SPDX-License-Identifier: MIT */
/* What the sync objects share among themselves, and what floors above need of them beyond motet/sync.h.
 *
 * Fork rule of all of them: what needs no wait goes on working in the child of a raw fork; a wait is -EPERM there. Of shared
 * ones: everything is -EPERM for who is no member, and the child of a raw fork may become one (motet__family_enter). */
#ifndef MOTET_SYNC_SYNC_H
#define MOTET_SYNC_SYNC_H

#include "base/atomic.h"
#include "base/sys.h"
#include "family/claim.h"
#include "park/park.h"

#include <motet/sync.h>

/* Keys of park's for wakes that are messages: addresses inside the object that nobody else wakes. The object's own
 * address is the key of hints. */
static inline const void *message_key(const void *object, int which) { return (const char *)object + which; }

/* Whether `deadline` lies behind us. The clock is read only when it must be. */
static inline bool has_passed(motet_time deadline)
{
    return deadline <= 0 || (deadline != MOTET_FOREVER && deadline <= sys_now());
}

/* Whether an object there can be shared, by the caller: 0, -EFAULT, -EPERM. */
static inline int check_shared(const void *object)
{
    if (!motet__family_contains(object))
        return -EFAULT;
    return motet__family_enter() < 0 ? -EPERM : 0;
}

/* The check of an _init's flags: 0, -EINVAL; for MOTET_SHARED also -EFAULT, -EPERM. */
static inline int check_flags(const void *object, int flags, int known)
{
    if (!object || (flags & ~(MOTET_SHARED | known)))
        return -EINVAL;
    return flags & MOTET_SHARED ? check_shared(object) : 0;
}

/* ---- who the caller is ----------------------------------------------------------------------------- */

extern _Thread_local uint64_t motet__self_id __attribute__((tls_model("initial-exec")));
uint64_t motet__self_id_new(void);

/* A number that no other thread has, had or will have; never 0. (A fiber will have its own.) */
static inline uint64_t sync_self(void) { return likely(motet__self_id) ? motet__self_id : motet__self_id_new(); }

/* Of one that may be shared with other processes: those have threads of the same number, so the process's tag goes with it.
 * 0: the caller is no member. */
static inline uint64_t sync_self_shared(void)
{
    int64_t tag = motet__family_enter();
    return tag < 0 ? 0 : (uint64_t)tag << (64 - TAG_BITS) | (sync_self() & (UINT64_MAX >> TAG_BITS));
}

/* ---- lock ------------------------------------------------------------------------------------------ */

/* The word of a shared lock, for good: so it fails the compare-and-swaps of a private one, and the slow paths tell them apart.
 * What happens to it is in its claim. */
#define LOCK_SHARED UINT32_MAX

static inline uint32_t *lock_claim(const motet_lock *l) { return (uint32_t *)(uintptr_t)&l->owner_; }

int motet__lock_acquire_slow(motet_lock *l, motet_time deadline);
int motet__lock_release_slow(motet_lock *l);

/* motet_lock_acquire and _release, for use within the library: `l` may not be NULL. One that is shared may give
 * MOTET_RECOVERED. */
static inline int lock_acquire(motet_lock *l, motet_time deadline)
{
    uint32_t word = 0;
    return likely(atomic_cas_acquire(&l->word_, &word, 1)) ? 0 : motet__lock_acquire_slow(l, deadline);
}

static inline int lock_release(motet_lock *l)
{
    uint32_t word = 1;
    /* Publishes what the lock protects to the next acquire. */
    return likely(atomic_cas_release(&l->word_, &word, 0)) ? 0 : motet__lock_release_slow(l);
}

static inline bool lock_locked(const motet_lock *l)
{
    uint32_t word = atomic_load_relaxed(&l->word_);
    return unlikely(word == LOCK_SHARED) ? claim_held(lock_claim(l)) : word != 0;
}

/* Takes the lock for good: no deadline, no cancellation, no signal. 0, MOTET_RECOVERED; -EPERM in the child of a raw fork. */
int motet__lock_reacquire(motet_lock *l);

/* ---- event ----------------------------------------------------------------------------------------- */

/* For one wait over many things: true when the event is set; otherwise makes `n` a node that waits for it. When such a
 * wait ends, motet__event_was_set says whether the event has been set since: also when it was cleared again. */
bool motet__event_prepare(motet_event *e, wait_node *n);
bool motet__event_was_set(const motet_event *e, const wait_node *n);

#endif
