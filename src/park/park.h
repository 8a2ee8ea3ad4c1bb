/* SPDX-License-Identifier: MIT */
/* Park: the one waiting primitive of motet. Everything that blocks goes through here.
 *
 * A waiter waits on *keys* (addresses) and descriptors; a waker wakes up to n waiters of a key. Keys live in a hashed
 * table of wait queues (a parking lot, after WebKit's WTF::ParkingLot); the nodes live on the waiter's own stack, so that
 * nothing allocates. A waiter may wait on several keys at once, one node each.
 *
 * States of a waiter:
 *
 *     OPEN, ASLEEP  --(one compare-and-swap)-->  CLAIMED [, CLAIMED_ASLEEP]  -->  DONE
 *
 * Exactly one party claims: a waker (under the bucket's guard), the waiter itself (deadline, signal, descriptor), or who
 * cancels it. So a wake is given to a waiter that takes it, or to the next one: a waiter that timed out or was cancelled
 * never swallows one. Between CLAIMED and DONE only the claimer touches the waiter, and the waiter's stack frame stays: it
 * leaves after DONE. (DONE publishes the result, partner of the waiter's acquire loads.)
 *
 * No wakeup is lost: the waiter announces itself in the bucket (seq_cst) and then looks at its word; the waker changes the
 * word, then looks for announced waiters (after a full fence). One of the two sees the other.
 *
 * Two kinds of node:
 *  - with a `word`: the wait does not begin unless *word is still `expected`; the caller looks again after every return of
 *    0 or more, which is a hint and no promise. A waker that is late (the object may be gone, and its memory another
 *    object's) does no harm then.
 *  - without: the wake is itself the message (a condition's notify). Its key must be one that nobody else wakes: the
 *    object's address plus one.
 *
 * Lock order: a thread's own guard (park_self) is never held together with a bucket's.
 *
 * Threads are one kind of waiter. Fibers will be another: what differs is how to sleep and how to be woken, the
 * functions of park_backend (and how to spin).
 *
 * Fork rule: see motet__park_allowed. */
#ifndef MOTET_PARK_PARK_H
#define MOTET_PARK_PARK_H

#include "base/guard.h"
#include "base/spin.h"

#include <motet/base.h>

#include <poll.h>

typedef struct waiter waiter;

typedef struct wait_node {
    const void *key;
    const uint32_t *word; /* NULL: the wake is the message */
    uint32_t expected;
    /* the rest is park's own */
    struct wait_node *next, *prev; /* guarded by the bucket; after a claim `next` links what the claimer will wake */
    waiter *owner;
    bool queued; /* guarded by the bucket */
    bool asleep; /* the claimer's: the waiter has to be woken */
} wait_node;

enum {
    PARK_NO_CANCEL = 1, /* cancelling the thread does not end this wait */
    PARK_NO_SPIN = 2,   /* likely long: sleep at once */
};

typedef struct park_request {
    wait_node *nodes; /* key, word and expected set by the caller; zero otherwise */
    size_t nodes_count;
    struct pollfd *fds; /* fd and events set by the caller; revents are set when a descriptor ended the wait */
    size_t fds_count;
    motet_time deadline;
    unsigned flags;
    void (*before_sleep)(void *arg); /* called once, when every node is announced; may be NULL */
    void *arg;
} park_request;

/* motet__park_many: waits. Returns the index of the node that was woken, or whose word differs; nodes_count plus the index
 * of a descriptor that is ready; -ETIMEDOUT (also at once, when the deadline has passed and no word differs); -ECANCELED;
 * -EINTR (an interruptible thread); -EPERM in the child of a raw fork; with descriptors also -EMFILE, -ENFILE, -ENOMEM.
 * before_sleep is called in every case but -EPERM and the errors of descriptors; there nothing has happened. */
int motet__park_many(const park_request *request);

/* motet__park: waits while *word is `expected`, with the word's address as key. 0: look again. Codes as above. */
int motet__park(const uint32_t *word, uint32_t expected, motet_time deadline, unsigned flags);

/* motet__unpark: wakes up to `n` waiters of `key`, those that wait longest first, and returns how many took the wake. (One that
 * is awake by then, since it saw its word differ, passes it on.) The key is never followed: the memory may be gone. */
unsigned motet__unpark(const void *key, unsigned n);
#define UNPARK_ALL UINT32_MAX

/* ---- a thread's part ------------------------------------------------------------------------------- */

/* What park keeps for each thread. */
typedef struct park_self {
    guard guard;                  /* of `current` */
    waiter *current;              /* the wait that a canceller may end */
    uint32_t cancelled;           /* sticky; set by any thread */
    bool shielded, interruptible; /* the thread's own */
    spin_budget spin;             /* the thread's own */
} park_self;

/* The calling thread's. Its address is good while the thread lives. */
park_self *motet__park_self(void);

/* Sets the thread's sticky cancel request and ends the cancellable wait that it is in. `self` must be a living thread's. */
void motet__park_cancel(park_self *self);

/* True when the calling thread was cancelled and is not shielded. */
bool motet__park_cancelled(void);

/* False in the child of a raw fork: there every wait fails with -EPERM, since the threads that would end it are gone. */
bool motet__park_allowed(void);

/* ---- the contract for other kinds of waiter -------------------------------------------------------- */

enum { WAITER_OPEN, WAITER_ASLEEP, WAITER_CLAIMED, WAITER_CLAIMED_ASLEEP, WAITER_DONE };

typedef struct park_backend {
    /* Waits a moment, awake, for the state to leave OPEN: true when it did. May give up at once. */
    bool (*spin)(waiter *w);
    /* Sleeps until the state is no longer `state`. When that is ASLEEP it ends also at the request's deadline, at a signal,
     * and when a descriptor of the request is ready. 0: look again; -ETIMEDOUT; -EINTR; 1 + nodes_count + the
     * descriptor's index. May return 0 by chance. */
    int (*sleep)(waiter *w, uint32_t state);
    /* Makes a sleeper look again, when the waiter itself may be gone: it gets what the waiter had as `sleeper`. */
    void (*wake)(void *sleeper);
} park_backend;

struct waiter {
    uint32_t state;
    int result; /* written by the claimer, published by DONE */
    const park_backend *backend;
    void *sleeper; /* what the backend's wake needs */
    const park_request *request;
    int eventfd; /* of a wait that has descriptors: readable wakes it; else -1 */
};

extern const park_backend motet__park_threads;

#endif
