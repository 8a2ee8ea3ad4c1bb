/* SPDX-License-Identifier: MIT */
/* The shared form of the condition (sync/shared_objects.h says what all shared forms rest on).
 *
 * Truth: a RECORD_CONDITION for each thread that waits; its count says WAITING or, once a notify has chosen it, NOTIFIED. Who
 * notifies writes that into the waiter's log by compare-and-swap: the waiter's process may have died and its log been given
 * away. Derived, and nearly so: `granted`, how many notifies were given to waiters that have not returned yet.
 *
 * Invariant: granted is at least the number of NOTIFIED records. It is raised before a record is marked and lowered after one
 * that was marked is dropped. So when it is more than the NOTIFIED records of the living, that many notifies went to waiters
 * that died before they returned, or were about to be given by one who died: who derives gives them to the next
 * oldest that wait. If nobody waits they are gone, as any notify is.
 *
 * A waiter is enrolled before it lets go of the lock, so a notify made under the lock, or after a change made under it, can't
 * come too early. What ended its sleep is decided under the claim: NOTIFIED then is 0. A record that was not chosen is
 * dropped then; one that was stays until its waiter has the lock again. (Order: the lock, then the claim.)
 *
 * A death
 *  - of one that waits: its record counts no more. If it was notified, see above.
 *  - of who notifies, after `granted` and before the mark: the notify is given by who derives; after the mark: its death
 *    wakes whom it chose. Of a notify of several those that it did not come to are not given. */
#include "sync/shared_objects.h"

#include "base/panic.h"

enum { WAITING, NOTIFIED };

typedef struct shared_condition {
    uint32_t claim, flags;
    uint32_t granted, at;
} shared_condition;

_Static_assert(sizeof(shared_condition) == sizeof(motet_condition), "another view of it");

/* ---- giving notifies ------------------------------------------------------------------------------- */

/* Gives one that is counted in `granted` to who waits longest. False: nobody waits. */
static bool give(shared_condition *c, shared_op *op)
{
    for (;;) {
        record *r = motet__shared_oldest(c, RECORD_CONDITION, WAITING, NULL, 0);
        if (!r)
            return false;
        uint64_t state = atomic_load_relaxed(&r->state);
        if ((uint32_t)state == WAITING && atomic_cas_relaxed(&r->state, &state, state + (NOTIFIED - WAITING))) {
            shared_wake(op, r);
            return true;
        }
        /* Its process has died since. */
    }
}

static __attribute__((noinline, cold)) int derive(shared_condition *c, shared_op *op)
{
    uint32_t marked = motet__shared_sum(op, c, RECORD_CONDITION, NULL);
    while (marked < c->granted && give(c, op))
        marked++;
    c->granted = marked;
    c->at = op->deaths;
    return 0;
}

static inline int enter(shared_condition *c, shared_op *op, motet_time deadline, bool interruptible)
{
    int e = shared_enter(&c->claim, &c->at, op, deadline, interruptible);
    return unlikely(e > 0) ? derive(c, op) : e;
}

int motet__shared_condition_notify(motet_condition *condition, unsigned n)
{
    shared_condition *c = (shared_condition *)condition;
    shared_op op;
    int e = enter(c, &op, MOTET_FOREVER, false);
    if (e < 0)
        return e;
    for (; n; n--) {
        c->granted++;
        if (!give(c, &op)) {
            c->granted--;
            break;
        }
    }
    shared_release(&c->claim, &op);
    return 0;
}

/* ---- waiting --------------------------------------------------------------------------------------- */

/* Sleeps, without the lock, until a notify has chosen `self` (0) or the wait ends; then it can't be chosen any more. */
static int await_notify(shared_condition *c, shared_op *op, record *self, motet_lock *held, motet_time deadline)
{
    int e;
    bool gone = false;
    do {
        uint32_t word = atomic_load_relaxed(&self->word), deaths = op->deaths;
        shared_release(&c->claim, op);
        if (!gone)
            lock_release(held); /* if that fails somebody else has let it go, as anyone may */
        gone = true;
        e = motet__family_wait(&self->word, word, deaths, deadline, 0);
        MOTET_ASSERT(enter(c, op, MOTET_FOREVER, false) == 0);
    } while (e == 0 && record_count(self) == WAITING);
    bool notified = record_count(self) == NOTIFIED;
    if (!notified)
        motet__record_drop(self);
    shared_release(&c->claim, op);
    return notified ? 0 : e;
}

int motet__shared_condition_wait(motet_condition *condition, motet_lock *held, motet_time deadline)
{
    shared_condition *c = (shared_condition *)condition;
    shared_op op;
    int e = enter(c, &op, deadline, true);
    if (e < 0)
        return e;
    record *self = motet__shared_enrol(c, RECORD_CONDITION, WAITING);
    if (!self) {
        shared_release(&c->claim, &op);
        return -ENOMEM;
    }
    e = await_notify(c, &op, self, held, deadline);
    int again = motet__lock_reacquire(held);
    MOTET_ASSERT(again >= 0);
    if (e == 0) {
        /* Only now: until it had the lock the notify would have gone to another, had this one died. */
        MOTET_ASSERT(enter(c, &op, MOTET_FOREVER, false) == 0);
        motet__record_drop(self);
        c->granted--;
        shared_release(&c->claim, &op);
    }
    return again == MOTET_RECOVERED ? again : e;
}

int motet__shared_condition_init(motet_condition *condition)
{
    int e = motet__shared_begin(condition);
    if (e == 0)
        *(shared_condition *)condition = (shared_condition){.flags = MOTET_SHARED, .at = motet__family_deaths()};
    return e;
}
