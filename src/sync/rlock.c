/* SPDX-License-Identifier: MIT */
/* The recursive lock: a lock, who owns it, and how often.
 *
 * Invariant: owner_ is the number of the thread that holds lock_, or 0 for a moment around its acquire and release. Only
 * the owner writes it, and a thread finds its own number there only if it wrote it: relaxed accesses suffice. depth_ is
 * the owner's alone. */
#include "sync/sync.h"

_Static_assert(sizeof(motet_rlock) == 32, "part of the ABI");

int motet_rlock_init(motet_rlock *l, int flags)
{
    int e = check_flags(l, flags, 0);
    if (e == 0)
        *l = (motet_rlock){0};
    return e;
}

int motet_rlock_acquire(motet_rlock *l, motet_time deadline)
{
    if (!l)
        return -EINVAL;
    uint64_t self = sync_self();
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
    return 0;
}

int motet_rlock_release(motet_rlock *l)
{
    if (!l)
        return -EINVAL;
    if (atomic_load_relaxed(&l->owner_) != sync_self())
        return -EPERM;
    if (--l->depth_ > 0)
        return 0;
    atomic_store_relaxed(&l->owner_, 0);
    return lock_release(&l->lock_);
}

bool motet_rlock_locked(const motet_rlock *l) { return l && lock_locked(&l->lock_); }
