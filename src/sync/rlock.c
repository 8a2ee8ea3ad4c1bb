/* SPDX-License-Identifier: MIT */
/* The recursive lock: a lock, who owns it, and how often.
 *
 * Invariant: owner_ is the number of the thread that holds lock_, or 0 for a moment around its acquire and release. Only
 * the owner writes it, and a thread finds its own number there only if it wrote it: relaxed accesses suffice. depth_ is
 * the owner's alone.
 *
 * A shared one is the same on a shared lock; the numbers tell threads of all processes apart. An owner that dies leaves
 * whatever it had in both fields: they are of no one who lives, and who gets the lock (MOTET_RECOVERED) writes them anew. */
#include "sync/sync.h"

_Static_assert(sizeof(motet_rlock) == 32, "part of the ABI");

int motet_rlock_init(motet_rlock *l, int flags)
{
    int e = check_flags(l, flags, 0);
    if (e == 0)
        *l = (motet_rlock){.lock_ = {.word_ = flags & MOTET_SHARED ? LOCK_SHARED : 0, .flags_ = (uint32_t)flags}};
    return e;
}

/* 0: it is shared, and the caller no member. */
static uint64_t self_of(const motet_rlock *l) { return unlikely(l->lock_.flags_) ? sync_self_shared() : sync_self(); }

int motet_rlock_acquire(motet_rlock *l, motet_time deadline)
{
    if (!l)
        return -EINVAL;
    uint64_t self = self_of(l);
    if (unlikely(!self))
        return -EPERM;
    if (atomic_load_relaxed(&l->owner_) == self) {
        if (l->depth_ == UINT32_MAX)
            return -EOVERFLOW;
        l->depth_++;
        return 0;
    }
    int e = lock_acquire(&l->lock_, deadline);
    if (unlikely(e < 0))
        return e;
    atomic_store_relaxed(&l->owner_, self);
    l->depth_ = 1;
    return e;
}

int motet_rlock_release(motet_rlock *l)
{
    if (!l)
        return -EINVAL;
    uint64_t self = self_of(l);
    if (unlikely(!self) || atomic_load_relaxed(&l->owner_) != self)
        return -EPERM;
    if (--l->depth_ > 0)
        return 0;
    atomic_store_relaxed(&l->owner_, 0);
    return lock_release(&l->lock_);
}

bool motet_rlock_locked(const motet_rlock *l) { return l && lock_locked(&l->lock_); }
