/* SPDX-License-Identifier: MIT */
/* The condition.
 *
 * It has no state: its waiters stand in park's queue under the object's address plus one, and a wake there is itself the
 * notify, given to exactly one waiter that takes it. A waiter is in the queue before it lets go of the lock, so a notify
 * made under the lock, or after a change made under it, can't come too early. */
#include "sync/sync.h"

#include "base/panic.h"

_Static_assert(sizeof(motet_condition) == 16, "part of the ABI");

static const void *key_of(const motet_condition *c) { return message_key(c, 1); }

/* Waits with `let_go(held)` called once the waiter stands in the queue. */
static int wait_letting_go(motet_condition *c, void (*let_go)(void *), void *held, motet_time deadline)
{
    wait_node node = {.key = key_of(c)};
    park_request r = {.nodes = &node, .nodes_count = 1, .deadline = deadline, .before_sleep = let_go, .arg = held};
    return motet__park_many(&r);
}

/* ---- waiting --------------------------------------------------------------------------------------- */

static void let_lock_go(void *lock) { lock_release(lock); }

int motet_condition_init(motet_condition *c, int flags)
{
    int e = check_flags(c, flags, 0);
    if (e == 0)
        *c = (motet_condition){0};
    return e;
}

static int wait(motet_condition *c, motet_lock *held, motet_time deadline)
{
    if (!lock_locked(held) || !motet__park_allowed())
        return -EPERM;
    int e = wait_letting_go(c, let_lock_go, held, deadline);
    MOTET_ASSERT(motet__lock_reacquire(held) == 0);
    return e;
}

int motet_condition_wait(motet_condition *c, motet_lock *held, motet_time deadline)
{
    return c && held ? wait(c, held, deadline) : -EINVAL;
}

int motet_condition_wait_r(motet_condition *c, motet_rlock *held, motet_time deadline)
{
    if (!c || !held)
        return -EINVAL;
    uint64_t self = sync_self();
    /* Relaxed: only its own number matters to a thread, and that it wrote itself. */
    if (atomic_load_relaxed(&held->owner_) != self || !motet__park_allowed())
        return -EPERM;
    uint32_t depth = held->depth_;
    held->depth_ = 0;
    atomic_store_relaxed(&held->owner_, 0);
    int e = wait_letting_go(c, let_lock_go, &held->lock_, deadline);
    MOTET_ASSERT(motet__lock_reacquire(&held->lock_) == 0);
    held->depth_ = depth;
    atomic_store_relaxed(&held->owner_, self);
    return e;
}

int motet_condition_wait_for(motet_condition *c, motet_lock *held, bool (*holds)(void *), void *arg,
                             motet_time deadline)
{
    if (!c || !held || !holds)
        return -EINVAL;
    if (!lock_locked(held))
        return -EPERM;
    while (!holds(arg)) {
        int e = wait(c, held, deadline);
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
    motet__unpark(key_of(c), n);
    return 0;
}

int motet_condition_notify(motet_condition *c, unsigned n) { return notify(c, n); }

int motet_condition_notify_all(motet_condition *c) { return notify(c, UNPARK_ALL); }
