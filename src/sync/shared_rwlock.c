/* SPDX-License-Identifier: MIT */
/* The shared form of the rwlock (sync/shared_objects.h says what all shared forms rest on).
 *
 * Truth: `owner`, and records: RECORD_READ, one for each process that reads, counts its shares; RECORD_WAIT, one for each
 * thread that waits, counts READ or WRITE. Derived: `readers` (the sum of shares), `waited` (there may be waits).
 *
 *     owner   0                      nobody writes
 *             tag and thread         that thread writes; if its process is dead: DIED
 *             DIED                   the last writer died, and nobody was told yet
 *             TOLD and tag           a reader of that process was told, and some of that process reads still; if it is
 *                                    dead: DIED
 *
 * Fairness as in the private form: `turn` is when the lock was last let go by a writer (or found to be a dead one's).
 * Readers that have waited since then or longer go before any writer; others wait while a writer does, and writers go in the
 * order in which they came. Who may go is decided by looking at the waits there are, so one that ended, however that
 * came, stands in nobody's way. Whoever lets go, or leaves the queue without the lock, wakes those that may go now. Should
 * one of these not come (its process is stopped), those behind it go on after a while: they look now and then.
 *
 * A death
 *  - of a reader: its record counts no more, all that wait look again.
 *  - of a writer: the first to look makes it DIED; whoever acquires next, for reading or writing, is told, and no other:
 *    if it is a writer by the store that makes the lock its own, if a reader by TOLD. If who was told dies in its turn
 *    while it holds the lock, the next is told.
 *  - in acquire_read, between record and `readers` or before TOLD: as if it had never come; the claim's next owner derives.
 *  - in release, before the store to `owner` (or the record's count): it held the lock; after it: it was free, and waits are
 *    woken by the death.
 *  - of one that waits, or was woken and is on its way: its record counts no more, all look again. */
#include "sync/shared_objects.h"

#include "base/panic.h"

enum { READ = 1, WRITE = 2 };
enum { READERS_MAX = 1 << 26 };
enum { THREAD_BITS = 36 };
enum { OVERDUE_NS = 400 * 1000 * 1000 }; /* who may go and does not for so long is stopped, or as good as that */

#define DIED ((uint64_t)1 << 63)
#define TOLD ((uint64_t)1 << 62)

typedef struct shared_rwlock {
    uint32_t claim, flags;
    uint64_t owner;
    uint32_t readers, at;
    uint64_t turn : 63; /* a motet_time */
    uint64_t waited : 1;
} shared_rwlock;

_Static_assert(sizeof(shared_rwlock) == sizeof(motet_rwlock), "another view of it");

static uint64_t writer_self(void)
{
    return (sync_self() & (((uint64_t)1 << THREAD_BITS) - 1)) << TAG_BITS | motet__family_self();
}

/* Of a derived one: alive. */
static bool has_writer(const shared_rwlock *l) { return l->owner && !(l->owner & (DIED | TOLD)); }

/* ---- deriving -------------------------------------------------------------------------------------- */

static __attribute__((noinline, cold)) int derive(shared_rwlock *l, shared_op *op)
{
    bool waited;
    l->readers = motet__shared_sum(op, l, RECORD_READ, &waited);
    l->waited = waited;
    member_tag owner = (member_tag)l->owner & TAG_MASK;
    if (owner && !motet__member_alive(owner)) {
        l->turn = (uint64_t)sys_now();
        l->owner = DIED;
    }
    l->at = op->deaths;
    return 0;
}

static inline int enter(shared_rwlock *l, shared_op *op, motet_time deadline, bool interruptible)
{
    int e = shared_enter(&l->claim, &l->at, op, deadline, interruptible);
    return unlikely(e > 0) ? derive(l, op) : e;
}

/* ---- whose turn it is ------------------------------------------------------------------------------ */

typedef struct waiting {
    const shared_rwlock *lock;
    bool any, writers, readers_first; /* readers whose turn is before writers' */
    const record *self;
    int64_t self_since;
    bool older_writer; /* than self */
} waiting;

static void look_at_wait(record *r, void *arg)
{
    waiting *w = arg;
    int64_t since = atomic_load_relaxed(&r->since);
    w->any = true;
    if (record_count(r) == READ) {
        w->readers_first |= (uint64_t)since <= w->lock->turn;
    } else {
        w->writers = true;
        w->older_writer |= r != w->self &&
                           (!w->self || since < w->self_since || (since == w->self_since && r < w->self));
    }
}

static waiting look_at_waits(const shared_rwlock *l, const record *self)
{
    waiting w = {.lock = l, .self = self, .self_since = self ? self->since : 0};
    motet__shared_each(l, RECORD_WAIT, look_at_wait, &w);
    return w;
}

static bool is_free(const shared_rwlock *l, bool write) { return !has_writer(l) && !(write && l->readers); }

/* Whether the caller, who waits by `self` or has just come (NULL), may have the lock now. */
static bool may_go(shared_rwlock *l, bool write, const record *self)
{
    if (!is_free(l, write))
        return false;
    if (likely(!l->waited) || (!write && self && (uint64_t)self->since <= l->turn))
        return true;
    waiting w = look_at_waits(l, self);
    return write ? !w.readers_first && !w.older_writer : !w.writers;
}

typedef struct waking {
    shared_op *op;
    uint64_t until;
} waking;

static void wake_reader(record *r, void *arg)
{
    const waking *w = arg;
    if (record_count(r) == READ && (uint64_t)atomic_load_relaxed(&r->since) <= w->until)
        shared_wake(w->op, r);
}

/* Wakes those that may go. */
static void wake_next(shared_rwlock *l, shared_op *op)
{
    if (likely(!l->waited) || has_writer(l))
        return;
    waiting w = look_at_waits(l, NULL);
    l->waited = w.any;
    if (w.readers_first || !w.writers) {
        waking readers = {op, w.writers ? l->turn : UINT64_MAX};
        motet__shared_each(l, RECORD_WAIT, wake_reader, &readers);
    } else if (!l->readers) {
        record *r = motet__shared_oldest(l, RECORD_WAIT, WRITE, NULL, 0);
        if (r)
            shared_wake(op, r);
    }
}

/* ---- acquiring ------------------------------------------------------------------------------------- */

/* The lock becomes the caller's too. 0, MOTET_RECOVERED, -EOVERFLOW, -ENOMEM. */
static int take_share(shared_rwlock *l)
{
    if (l->readers == READERS_MAX)
        return -EOVERFLOW;
    int e = shared_hold(l, RECORD_READ);
    if (unlikely(e < 0))
        return e;
    l->readers++;
    if (likely(l->owner != DIED))
        return 0;
    l->owner = TOLD | motet__family_self();
    return MOTET_RECOVERED;
}

static int take(shared_rwlock *l, bool write)
{
    if (!write)
        return take_share(l);
    bool died = l->owner == DIED;
    l->owner = writer_self();
    return died ? MOTET_RECOVERED : 0;
}

/* Whether the lock has been free for the caller, and only others' turn, since *since (0: not yet) and for long. */
static bool is_overdue(const shared_rwlock *l, bool write, motet_time *since)
{
    motet_time now = is_free(l, write) ? sys_now() : 0;
    if (!now || !*since)
        *since = now;
    return now - *since > OVERDUE_NS;
}

/* Waits once; under the claim before and after. */
static int await(shared_rwlock *l, shared_op *op, const record *self, motet_time deadline)
{
    uint32_t word = atomic_load_relaxed(&self->word), deaths = op->deaths;
    shared_release(&l->claim, op);
    int e = motet__family_wait(&self->word, word, deaths, deadline, FAMILY_NO_CANCEL | FAMILY_ONE_WAKE);
    MOTET_ASSERT(enter(l, op, MOTET_FOREVER, false) == 0);
    return e;
}

int motet__shared_rwlock_acquire(motet_rwlock *lock, bool write, motet_time deadline)
{
    shared_rwlock *l = (shared_rwlock *)lock;
    shared_op op;
    int e = enter(l, &op, deadline, true);
    if (e < 0)
        return e;
    record *self = NULL;
    motet_time free_since = 0;
    if (unlikely(has_writer(l)) && l->owner == writer_self())
        e = -EDEADLK;
    while (e == 0) {
        if (may_go(l, write, self) || (self && is_overdue(l, write, &free_since))) {
            e = take(l, write);
            break;
        }
        if (!self) {
            if (has_passed(deadline))
                e = -ETIMEDOUT;
            else if (!(self = motet__shared_enrol(l, RECORD_WAIT, write ? WRITE : READ)))
                e = -ENOMEM;
            else
                l->waited = true;
            continue;
        }
        e = await(l, &op, self, deadline);
        if (e < 0 && may_go(l, write, self))
            e = 0;
    }
    if (self) {
        motet__record_drop(self);
        if (e < 0)
            wake_next(l, &op);
    }
    shared_release(&l->claim, &op);
    return e;
}

/* ---- releasing ------------------------------------------------------------------------------------- */

static int release_share(shared_rwlock *l, shared_op *op)
{
    record *r = shared_mine(l, RECORD_READ);
    if (!r)
        return -EPERM;
    uint32_t left = record_count(r) - 1;
    record_set(r, left);
    if (left == 0) {
        motet__record_drop(r);
        if (l->owner == (TOLD | motet__family_self()))
            l->owner = 0;
    }
    if (--l->readers == 0)
        wake_next(l, op);
    return 0;
}

int motet__shared_rwlock_release(motet_rwlock *lock)
{
    shared_rwlock *l = (shared_rwlock *)lock;
    shared_op op;
    int e = enter(l, &op, MOTET_FOREVER, false);
    if (e < 0)
        return e;
    if (!has_writer(l)) {
        e = release_share(l, &op);
    } else if (l->owner != writer_self()) {
        e = -EPERM;
    } else {
        if (unlikely(l->waited))
            l->turn = (uint64_t)sys_now();
        l->owner = 0;
        wake_next(l, &op);
    }
    shared_release(&l->claim, &op);
    return e;
}

int motet__shared_rwlock_init(motet_rwlock *lock)
{
    int e = motet__shared_begin(lock);
    if (e == 0)
        *(shared_rwlock *)lock = (shared_rwlock){.flags = MOTET_SHARED, .at = motet__family_deaths()};
    return e;
}
