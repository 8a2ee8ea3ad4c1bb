/* SPDX-License-Identifier: MIT */
/* motet/sync.h - locks, semaphores, events, conditions, barriers, once, latches, locals.
 *
 * Every object is a small struct of the caller's: zero-initialised storage is a private, ready object (a barrier alone
 * must be told its parties first), nothing needs a destroy, and no wait allocates. The fields that end in an underscore
 * are the library's. An object may not be copied or moved while in use.
 *
 * Memory: who releases, sets, notifies or counts down touches nothing of the object once another may go on, so that who
 * was let through may free it at once. A waiter does look at the object again: its memory stays until every call that
 * waits on it has returned.
 *
 * Waiting, everywhere below: `deadline` is absolute; one that has passed tries once and gives -ETIMEDOUT. A wait never ends
 * before its deadline for want of luck. -EINTR: a signal came and the thread is interruptible (motet_interruptible); -EPERM
 * also: the calling process is the child of a raw fork. A wait that ended with an error consumed nothing and took nobody's
 * wake. The acquires of lock, rlock and rwlock and motet_once are no cancellation points; all other waits are, and give
 * -ECANCELED.
 *
 * NULL for an object is -EINVAL (false or 0 from a query). The _init functions: 0; -EINVAL for NULL or unknown flags. They set
 * the object to its first state whatever it held, so nobody may be using it. Any thread may call anything here; nothing here
 * is for signal handlers.
 *
 * MOTET_SHARED makes an object in shared memory (motet_shared_alloc) serve every process of the family; a once flag there
 * does so by itself. -EFAULT: it does not lie there; -EPERM, from _init and from every call on it that does something: the
 * process is none of the family's. All else is as between threads, and in addition:
 *  - Any process may die at any instruction. A wait that a dead one was woken for goes to another; nobody waits for one that
 *    is known to be dead. What a death does to what the process held stands at each object.
 *  - Death is what the kernel says. A process that is stopped keeps what it holds, however long.
 *  - Deaths are known when whoever watches the family has been told by the kernel: a moment later.
 *  - Which of those that wait goes first is not settled: who comes along may be before them, again and again (barging).
 *  - A wait of an interruptible thread hears of deaths and of being cancelled 50 ms later, and so does every wait where there
 *    is no futex_waitv (Linux before 5.16, some sandboxes). */
#ifndef MOTET_SYNC_H
#define MOTET_SYNC_H

#include <motet/base.h>
#include <motet/thread.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Flags of the _init functions. */
#define MOTET_SHARED  1 /* serves every process of the family */
#define MOTET_BOUNDED 2 /* a semaphore's: never more permits than at first */

/* ---- lock ------------------------------------------------------------------------------------------ */

/* Mutual exclusion. Not recursive: a second acquire by the same thread waits for a release.
 * Fairness: a thread that comes along may take a free lock before those that wait (barging). A waiter that lost such a race
 * after it had waited 1 ms is handed the lock, oldest first, so that none starves.
 * Shared: nobody is handed anything, so that one that waits can starve while others compete all the time. If the process dies
 * in which the lock was acquired, the next to acquire it gets MOTET_RECOVERED: the lock is theirs, and what it guards may be
 * half done. Should they die before they let go, the next one is told, and so on. */
typedef struct {
    uint32_t word_;
    uint32_t flags_;
    uint64_t owner_; /* for the shared form */
} motet_lock;

MOTET_API int motet_lock_init(motet_lock *l, int flags);

/* motet_lock_acquire: takes the lock, waiting for it until `deadline`. 0; MOTET_RECOVERED; -ETIMEDOUT, -EINTR, -EPERM,
 * -EINVAL. No cancellation point. One compare-and-swap when the lock is free. (The word's first three states: Ulrich Drepper,
 * "Futexes are tricky"; handing over to who waited long: WebKit's WTF::Lock and Go's sync.Mutex.) */
MOTET_API int motet_lock_acquire(motet_lock *l, motet_time deadline);

/* motet_lock_release: lets the lock go; any thread may, as in Python, in any process, also for one that is dead (the next to
 * acquire it is told all the same). 0; -EPERM when it is not held; -EINVAL. Never waits. */
MOTET_API int motet_lock_release(motet_lock *l);

/* motet_lock_locked: whether somebody holds it: a moment's truth. */
MOTET_API bool motet_lock_locked(const motet_lock *l);

/* ---- rlock ----------------------------------------------------------------------------------------- */

/* A lock that its owner may acquire again: it is free after as many releases. Fair as motet_lock; shared, it is recovered
 * as that: MOTET_RECOVERED comes from the first acquire of the new owner, however often the dead one had acquired it. */
typedef struct {
    motet_lock lock_;
    uint64_t owner_; /* the owner's id; 0: none */
    uint32_t depth_; /* how many acquires; the owner's */
    uint32_t reserved_;
} motet_rlock;

MOTET_API int motet_rlock_init(motet_rlock *l, int flags);

/* motet_rlock_acquire: takes the lock once more. Codes as motet_lock_acquire, and -EOVERFLOW: held 2^32 - 1 times. No
 * cancellation point. */
MOTET_API int motet_rlock_acquire(motet_rlock *l, motet_time deadline);

/* motet_rlock_release: undoes one acquire. 0; -EPERM unless the calling thread owns it; -EINVAL. Never waits. */
MOTET_API int motet_rlock_release(motet_rlock *l);

/* motet_rlock_locked: whether any thread holds it: a moment's truth. */
MOTET_API bool motet_rlock_locked(const motet_rlock *l);

/* ---- rwlock ---------------------------------------------------------------------------------------- */

/* Many readers or one writer. Fairness: readers that come while a writer waits wait behind it; a writer's release lets in
 * all readers that wait by then, the last of those hands over to the writer that waits longest. Neither side starves.
 * Hence a thread that reads must not acquire_read again: with a writer in between it would wait for itself, which is not
 * detected. Nor can a reader become a writer: it must release first.
 *
 * Shared: the same between processes. A reader's process that dies has left, and nobody is told. After a writer's process
 * that died the next acquire, for reading or writing, is MOTET_RECOVERED, and no other; should its process die too before
 * it lets go, the next one is. (A reader that is told lets go and acquires for writing, to mend; others may read meanwhile.)
 * A waiter that may go and doesn't for half a second, since its process is stopped, is passed over. */
typedef struct {
    uint32_t word_;
    uint32_t flags_;
    uint64_t owner_;       /* the writer's id; 0: none */
    uint64_t reserved_[2]; /* for the shared form */
} motet_rwlock;

MOTET_API int motet_rwlock_init(motet_rwlock *l, int flags);

/* motet_rwlock_acquire_read: shares the lock with other readers. 0; -EDEADLK: the caller holds it for writing; -EOVERFLOW:
 * 2^26 readers hold it; -ETIMEDOUT (with MOTET_NOWAIT also when a writer waits), -EINTR, -EPERM, -EINVAL. Shared:
 * also MOTET_RECOVERED; -ENOMEM: 2,048 threads of the process hold or wait for shared objects. No cancellation point. */
MOTET_API int motet_rwlock_acquire_read(motet_rwlock *l, motet_time deadline);

/* motet_rwlock_acquire_write: has the lock alone. 0; -EDEADLK: the caller has it so already; -ETIMEDOUT, -EINTR, -EPERM,
 * -EINVAL. Shared: also MOTET_RECOVERED, -ENOMEM as above. No cancellation point. */
MOTET_API int motet_rwlock_acquire_write(motet_rwlock *l, motet_time deadline);

/* motet_rwlock_release: ends one acquire of either kind. 0; -EPERM: nobody holds it, or another thread does for writing;
 * -EINVAL. (Who the readers are is not known: a stray release ends some reader's hold. Shared: one of the caller's
 * process, which must have one.) Never waits. */
MOTET_API int motet_rwlock_release(motet_rwlock *l);

/* ---- semaphore ------------------------------------------------------------------------------------- */

#define MOTET_SEMAPHORE_MAX UINT32_MAX

/* Permits to be taken and given back by anyone. Zero-initialised: no permits, unbounded. Waiters are woken in the order in
 * which they came; a thread that comes along may take a permit before the woken one does.
 *
 * Shared and bounded: which process has taken how many is known, and what one had that died is there again, for those that
 * wait too. Nobody is told of it (no MOTET_RECOVERED): which permit it is that one gets can't be said. A process that
 * releases more than it has taken releases permits of others. Shared and unbounded, permits belong to nobody, and a death
 * changes nothing; there is room for one fewer. */
typedef struct {
    uint64_t state_; /* low half: permits; high half: threads in a wait */
    uint32_t limit_; /* of a bounded one */
    uint32_t flags_;
    uint64_t reserved_[2]; /* for the shared form */
} motet_semaphore;

/* motet_semaphore_init: `value` permits. With MOTET_BOUNDED there will never be more than that. Shared and unbounded,
 * MOTET_SEMAPHORE_MAX is -EINVAL. */
MOTET_API int motet_semaphore_init(motet_semaphore *s, unsigned value, int flags);

/* motet_semaphore_acquire: takes a permit, waiting for one until `deadline`. 0; -ETIMEDOUT, -ECANCELED, -EINTR, -EPERM,
 * -EINVAL; shared and bounded, -ENOMEM: 2,048 threads of the process hold or wait for shared objects. One compare-and-swap
 * when there is a permit (not where it is shared and bounded). */
MOTET_API int motet_semaphore_acquire(motet_semaphore *s, motet_time deadline);

/* motet_semaphore_release: gives `n` permits, all or none; 0 permits is fine. 0; -EOVERFLOW: that would be more than
 * MOTET_SEMAPHORE_MAX (shared, one less), or than a bounded semaphore had at first; -EINVAL; shared, -EPERM. Never waits. */
MOTET_API int motet_semaphore_release(motet_semaphore *s, unsigned n);

/* motet_semaphore_value: how many permits there are: a moment's truth. */
MOTET_API unsigned motet_semaphore_value(const motet_semaphore *s);

/* ---- event ----------------------------------------------------------------------------------------- */

/* A flag to wait for. Zero-initialised: not set. Shared: nobody holds anything of it, and a death changes nothing. A
 * motet_select cannot wait for a shared one. */
typedef struct {
    uint32_t word_; /* set, waiters, and how many sets there were */
    uint32_t flags_;
    uint64_t reserved_;
} motet_event;

MOTET_API int motet_event_init(motet_event *e, int flags);

/* motet_event_set: sets the flag and lets everyone through who waits. 0; -EINVAL; shared, -EPERM. Never waits. */
MOTET_API int motet_event_set(motet_event *e);

/* motet_event_clear: takes the flag back. Who waited when it was set goes on nevertheless. 0; -EINVAL; shared, -EPERM. Never
 * waits. */
MOTET_API int motet_event_clear(motet_event *e);

/* motet_event_is_set: whether the flag is set: a moment's truth. */
MOTET_API bool motet_event_is_set(const motet_event *e);

/* motet_event_wait: waits until the flag is set. 0 when it is, or was set since the wait began; -ETIMEDOUT, -ECANCELED,
 * -EINTR, -EPERM, -EINVAL. */
MOTET_API int motet_event_wait(motet_event *e, motet_time deadline);

/* ---- condition ------------------------------------------------------------------------------------- */

/* A place to wait, under a lock, for news. Waiters of one condition may use different locks, of both kinds.
 *
 * Shared: its locks are shared as well (-EINVAL otherwise, or when only the lock is shared). A notify whose waiter dies before it
 * has the lock again goes to the next one that waits, if any does. */
typedef struct {
    uint32_t word_; /* for the shared form */
    uint32_t flags_;
    uint64_t reserved_; /* likewise */
} motet_condition;

MOTET_API int motet_condition_init(motet_condition *c, int flags);

/* motet_condition_wait: lets go of `held` and waits for a notify, in one step; acquires `held` again before it returns,
 * whatever it returns and however long that takes. There are no spurious wakes: 0 means that a notify chose this waiter.
 * 0; -ETIMEDOUT, -ECANCELED, -EINTR; -EPERM: `held` is not locked, nothing happened; -EINVAL. Shared: MOTET_RECOVERED, when
 * who had the lock meanwhile died with it, whatever ended the wait; -ENOMEM: 2,048 threads of the process hold or wait for
 * shared objects, nothing happened. */
MOTET_API int motet_condition_wait(motet_condition *c, motet_lock *held, motet_time deadline);

/* motet_condition_wait_r: the same for an rlock: lets go of all its levels and takes them again. -EPERM unless the caller
 * owns it. */
MOTET_API int motet_condition_wait_r(motet_condition *c, motet_rlock *held, motet_time deadline);

/* motet_condition_wait_for: waits until holds(arg) is true; it is called under the lock, first at once. 0: it is true. At
 * the deadline its last value decides: 0 or -ETIMEDOUT. Other codes as motet_condition_wait; MOTET_RECOVERED at once, for
 * what `holds` looks at has to be mended first; -EINVAL also for NULL `holds`. */
MOTET_API int motet_condition_wait_for(motet_condition *c, motet_lock *held, bool (*holds)(void *), void *arg,
                                       motet_time deadline);

/* motet_condition_notify: wakes `n` of those that wait, or all when they are fewer, those that wait longest first. Unlike
 * in Python the caller need not hold the lock; but what the waiters look at must have changed under it, or they may miss
 * it. 0; -EINVAL; shared, -EPERM. Never waits. */
MOTET_API int motet_condition_notify(motet_condition *c, unsigned n);

/* motet_condition_notify_all: wakes all that wait. 0; -EINVAL; shared, -EPERM. Never waits. */
MOTET_API int motet_condition_notify_all(motet_condition *c);

/* ---- barrier --------------------------------------------------------------------------------------- */

/* A meeting point for a fixed number of parties, again and again. It is broken when a party gives up (deadline or
 * cancellation) or by abort: then nobody waits there until reset.
 *
 * Shared: the same between processes. It is also broken when a party dies that waits for the others; a death once all have
 * come changes nothing for them. */
typedef struct {
    uint64_t state_;   /* low half: phase; high half: who is inside */
    uint32_t parties_; /* 0: not initialised */
    uint32_t flags_;
    uint64_t reserved_[2]; /* for the shared form */
} motet_barrier;

/* motet_barrier_init: for `parties` of them, at least 1 and at most 2^31 - 1; otherwise -EINVAL. Every other call on a
 * barrier that was never initialised is -EINVAL. */
MOTET_API int motet_barrier_init(motet_barrier *b, unsigned parties, int flags);

/* motet_barrier_wait: waits until all parties have come, and returns a number from 0 to parties - 1, another for each of
 * them; parties - 1 for the last to come. -ETIMEDOUT, -ECANCELED: the caller gave up, and the barrier is broken; -EPIPE: it
 * is broken, or was reset meanwhile; -EINTR, -EPERM: the caller is no longer counted, the others wait on; -EINVAL; shared,
 * -ENOMEM: 2,048 threads of the process hold or wait for shared objects. */
MOTET_API int motet_barrier_wait(motet_barrier *b, motet_time deadline);

/* motet_barrier_reset: makes the barrier whole and empty. Those that wait get -EPIPE. 0; -EINVAL; shared, -EPERM. Never
 * waits. */
MOTET_API int motet_barrier_reset(motet_barrier *b);

/* motet_barrier_abort: breaks the barrier: those that wait, and all that come until it is reset, get -EPIPE. Who was let
 * through before is not concerned. 0; -EINVAL; shared, -EPERM. Never waits. */
MOTET_API int motet_barrier_abort(motet_barrier *b);

/* motet_barrier_parties: how many must come; 0 before init. motet_barrier_waiting: how many wait now for the others.
 * motet_barrier_broken: whether it is broken. Moments' truths. */
MOTET_API unsigned motet_barrier_parties(const motet_barrier *b);
MOTET_API unsigned motet_barrier_waiting(const motet_barrier *b);
MOTET_API bool motet_barrier_broken(const motet_barrier *b);

/* ---- once ------------------------------------------------------------------------------------------ */

/* Remembers whether something was done. Zero-initialised: not yet. One that lies in shared memory (motet_shared_alloc) serves
 * every process of the family. If the process dies that does it there, the next caller, or one of those that wait, does it
 * again from the beginning. */
typedef struct {
    uint32_t word_;
    int32_t result_; /* what the function returned */
    uint64_t owner_; /* the id of who runs it */
} motet_once_flag;

/* motet_once: runs fn(arg) unless it was run for this flag, and returns what it returned: the same to every caller, when
 * that is 0 or positive. Others that come meanwhile wait until it has finished. A negative result goes to the caller that
 * ran it, the flag stays as it was, and the next caller, or one of those that wait, runs its own fn (C++'s call_once does
 * so on an exception). -EDEADLK: called by fn itself; -EINTR, -EPERM, of those that wait; -EINVAL for NULL. No
 * cancellation point. What fn wrote is visible to all that it was done for. */
MOTET_API int motet_once(motet_once_flag *o, motet_fn *fn, void *arg);

/* ---- latch ----------------------------------------------------------------------------------------- */

/* A count that goes down to 0 once. Zero-initialised: open. Shared: what a process counted before it died is counted, what it
 * did not is for somebody else to count. */
typedef struct {
    uint32_t word_; /* the count, and whether anybody waits */
    uint32_t flags_;
    uint64_t reserved_;
} motet_latch;

/* motet_latch_init: opens after `count`, at most 2^31 - 1 (-EINVAL); 0: it is open. */
MOTET_API int motet_latch_init(motet_latch *l, unsigned count, int flags);

/* motet_latch_count_down: takes `n` off the count; at 0 everyone goes through. 0; -EINVAL: `n` is more than is left, the
 * count stays; shared, -EPERM. Never waits. */
MOTET_API int motet_latch_count_down(motet_latch *l, unsigned n);

/* motet_latch_wait: waits until the count is 0. 0; -ETIMEDOUT, -ECANCELED, -EINTR, -EPERM, -EINVAL. */
MOTET_API int motet_latch_wait(motet_latch *l, motet_time deadline);

/* motet_latch_count: what is left: a moment's truth. */
MOTET_API unsigned motet_latch_count(const motet_latch *l);

/* ---- local ----------------------------------------------------------------------------------------- */

/* A variable of which every thread has its own value, at first NULL. There may be any number of them. Zero-initialised: a
 * local without destroy. */
typedef struct {
    uint64_t id_; /* 0: not known to the threads yet */
    void (*destroy_)(void *);
    uint32_t slot_;
    uint32_t flags_;
    uint64_t reserved_;
} motet_local;

/* motet_local_init: `destroy` (may be NULL) is called on each value that is not NULL when its thread ends, on that thread,
 * in no particular order; it may use locals, and values that it sets are destroyed too, in up to 4 rounds. It is not called
 * for the main thread at the end of the program. -EINVAL for NULL; -EPERM, -ENOMEM: nothing was done. */
MOTET_API int motet_local_init(motet_local *k, void (*destroy)(void *));

/* motet_local_free: ends the local. The values of all threads are destroyed, on the calling thread, as a Python local's are
 * with it; one whose thread is ending may still be in its destroy there. Nobody may be using it, `destroy` included.
 * Afterwards it is as zero-initialised. NULL is fine. */
MOTET_API void motet_local_free(motet_local *k);

/* motet_local_get: the calling thread's value; NULL when it set none, or for NULL. Never waits, never fails. */
MOTET_API void *motet_local_get(motet_local *k);

/* motet_local_set: sets the calling thread's value; the old one is forgotten, not destroyed. The first set of a thread may
 * allocate. 0; -ENOMEM, the value as it was; -EPERM, in the child of a raw fork; -EINVAL. */
MOTET_API int motet_local_set(motet_local *k, void *value);

#ifdef __cplusplus
}
#endif

#endif
