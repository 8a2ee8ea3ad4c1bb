/* SPDX-License-Identifier: MIT */
/* The condition.
 *
 * It has no state: its waiters stand in park's queue under the object's address plus one, and a wake there is itself the
 * notify, given to exactly one waiter that takes it. A waiter is in the queue before it lets go of the lock, so a notify
 * made under the lock, or after a change made under it, can't come too early.
 *
 * A shared one has waiters in the members' logs: sync/shared_condition.c. Its locks are shared as well, so that a notify from
 * any process is ordered with what its waiters look at. */
#include "sync/shared_objects.h"

#include "base/panic.h"

_Static_assert(sizeof(motet_condition) == 16, "part of the ABI");

static const void *key_of(const motet_condition *c) { return message_key(c, 1); }

/* ---- waiting --------------------------------------------------------------------------------------- */

int motet_condition_init(motet_condition *c, int flags)
{
    if (c && flags == MOTET_SHARED)
        return motet__shared_condition_init(c);
    int e = check_flags(c, flags, 0);
    if (e == 0)
        *c = (motet_condition){0};
    return e;
}

static bool belong_together(const motet_condition *c, const motet_lock *held)
{
    return !(c->flags_ & MOTET_SHARED) == !(held->flags_ & MOTET_SHARED);
}

/* Whether the caller may wait at all. The shared form asks for itself: the child of a raw fork can join the family. */
static bool may_wait(const motet_condition *c) { return (c->flags_ & MOTET_SHARED) || motet__park_allowed(); }

static void let_lock_go(void *lock) { lock_release(lock); }

/* Lets the lock go once the waiter stands in the queue, and has it again in the end. */
static int wait_without(motet_condition *c, motet_lock *held, motet_time deadline)
{
    if (unlikely(c->flags_ & MOTET_SHARED))
        return motet__shared_condition_wait(c, held, deadline);
    wait_node node = {.key = key_of(c)};
    park_request r = {.nodes = &node, .nodes_count = 1, .deadline = deadline, .before_sleep = let_lock_go, .arg = held};
    int e = motet__park_many(&r);
    MOTET_ASSERT(motet__lock_reacquire(held) == 0);
    return e;
}

static int wait(motet_condition *c, motet_lock *held, motet_time deadline)
{
    if (!belong_together(c, held))
        return -EINVAL;
    return lock_locked(held) && may_wait(c) ? wait_without(c, held, deadline) : -EPERM;
}

int motet_condition_wait(motet_condition *c, motet_lock *held, motet_time deadline)
{
    return c && held ? wait(c, held, deadline) : -EINVAL;
}

int motet_condition_wait_r(motet_condition *c, motet_rlock *held, motet_time deadline)
{
    if (!c || !held || !belong_together(c, &held->lock_))
        return -EINVAL;
    uint64_t self = unlikely(c->flags_ & MOTET_SHARED) ? sync_self_shared() : sync_self();
    /* Relaxed: only its own number matters to a thread, and that it wrote itself. */
    if (!self || atomic_load_relaxed(&held->owner_) != self || !may_wait(c))
        return -EPERM;
    uint32_t depth = held->depth_;
    held->depth_ = 0;
    atomic_store_relaxed(&held->owner_, 0);
    int e = wait_without(c, &held->lock_, deadline);
    held->depth_ = depth;
    atomic_store_relaxed(&held->owner_, self);
    return e;
}

int motet_condition_wait_for(motet_condition *c, motet_lock *held, bool (*holds)(void *), void *arg,
                             motet_time deadline)
{
    if (!c || !held || !holds || !belong_together(c, held))
        return -EINVAL;
    if (!lock_locked(held))
        return -EPERM;
    while (!holds(arg)) {
        int e = wait(c, held, deadline);
        if (e == MOTET_RECOVERED)
            return e; /* what `holds` would look at has to be mended first */
        if (e < 0)
            return e == -ETIMEDOUT && holds(arg) ? 0 : e;
    }
    return 0;
}

/* ---- notifying ------------------------------------------------------------------------------------- */

static int notify(motet_condition *c, unsigned n)
{
    if (!c)
        return -EINVAL;
    if (unlikely(c->flags_ & MOTET_SHARED))
        return motet__shared_condition_notify(c, n);
    motet__unpark(key_of(c), n);
    return 0;
}

int motet_condition_notify(motet_condition *c, unsigned n) { return notify(c, n); }

int motet_condition_notify_all(motet_condition *c) { return notify(c, UNPARK_ALL); }
