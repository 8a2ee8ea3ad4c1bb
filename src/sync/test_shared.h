/* SPDX-License-Identifier: MIT */
/* What the tests of shared objects share: processes that do what the test tells them, one call at a time. */
#ifndef MOTET_SYNC_TEST_SHARED_H
#define MOTET_SYNC_TEST_SHARED_H

#include "family/test_family.h"
#include "sync/shared_objects.h"
#include "sync/test_threads.h"

/* A call on an object. */
typedef int peer_fn(void *object, motet_time deadline);

/* A member of its own, which makes the calls that it is asked for. Lies in the arena. */
typedef struct peer {
    CACHE_ALIGNED uint32_t asked, answered;
    peer_fn *fn;
    void *object;
    motet_time deadline;
    int result;
    kin kin;
} peer;

static inline int peer_serve(void *arg)
{
    peer *p = arg;
    for (;;) {
        uint32_t asked, deaths = motet__family_deaths();
        while ((asked = atomic_load_acquire(&p->asked)) == p->answered) {
            motet__family_wait(&p->asked, asked, deaths, MOTET_FOREVER, 0);
            deaths = motet__family_deaths();
        }
        if (!p->fn)
            return 0;
        p->result = p->fn(p->object, p->deadline);
        atomic_store_release(&p->answered, asked);
    }
}

static inline peer *peer_start(void)
{
    peer *p = shared(sizeof *p);
    p->kin = kin_start(peer_serve, p);
    return p;
}

static inline void peer_ask(peer *p, peer_fn *fn, void *object, motet_time deadline)
{
    p->fn = fn;
    p->object = object;
    p->deadline = deadline;
    atomic_add_release(&p->asked, 1);
    motet__family_wake(&p->asked, 1);
}

static inline bool peer_is_busy(const peer *p) { return atomic_load_acquire(&p->answered) != p->asked; }

static inline int peer_answer(peer *p)
{
    AWAIT(!peer_is_busy(p));
    return p->result;
}

static inline int peer_do(peer *p, peer_fn *fn, void *object, motet_time deadline)
{
    peer_ask(p, fn, object, deadline);
    return peer_answer(p);
}

static inline void peer_kill(peer *p) { kin_kill(p->kin); }

static inline void peer_end(peer *p)
{
    peer_ask(p, NULL, NULL, 0);
    CHECK_EQ(kin_bury(p->kin), 0);
}

static inline void peer_end_all(peer **p, int n)
{
    for (int i = 0; i < n; i++)
        peer_end(p[i]);
}

static inline void peer_continue(const peer *p) { CHECK_EQ(kill(p->kin.pid, SIGCONT), 0); }

/* Stops it, but not while it has the object's claim (its first word) or the lock (or NULL): a stopped process is not robbed,
 * so all others would wait for it. */
static inline void peer_stop(const peer *p, const void *object, const motet_lock *lock)
{
    const uint32_t *claims[] = {object, lock ? lock_claim(lock) : NULL};
    for (;;) {
        kin_stop(p->kin);
        bool has = false;
        for (int i = 0; i < 2; i++)
            has |= claims[i] && (atomic_load_acquire(claims[i]) & TAG_MASK) == p->kin.tag;
        if (!has)
            return;
        peer_continue(p);
        motet_yield();
    }
}

/* Asks for a call that has to wait, and returns when it sleeps. */
static inline void peer_ask_and_sleep(peer *p, peer_fn *fn, void *object)
{
    peer_ask(p, fn, object, MOTET_FOREVER);
    kin_await_sleep(p->kin);
}

/* The call waits in vain: not at all, and not less than it should. */
static inline void times_out(peer_fn *fn, void *object)
{
    CHECK_EQ(fn(object, MOTET_NOWAIT), -ETIMEDOUT);
    motet_time until = motet_after(MOTET_MS);
    CHECK_EQ(fn(object, until), -ETIMEDOUT);
    CHECK_GE(motet_now(), until);
}

/* ---- looking into the logs ------------------------------------------------------------------------- */

static inline void count_record(record *r, void *arg) { ++*(unsigned *)arg; }

/* How many records there are about an object. */
static inline unsigned records_of(const void *object, uint32_t what)
{
    unsigned n = 0;
    motet__shared_each(object, what, count_record, &n);
    return n;
}

/* Asks for a call that has to wait, and returns when it does: when there is one record more. */
static inline void peer_ask_and_wait(peer *p, peer_fn *fn, void *object, uint32_t what)
{
    unsigned before = records_of(object, what);
    peer_ask(p, fn, object, MOTET_FOREVER);
    AWAIT(records_of(object, what) > before);
}

/* Starts n peers that wait, the first of them longest. */
static inline void peer_start_waiting(peer **p, int n, peer_fn *fn, void *object, uint32_t what)
{
    for (int i = 0; i < n; i++)
        peer_ask_and_wait(p[i] = peer_start(), fn, object, what);
}

/* All members but this process are gone, and it holds nothing of the object's. */
static inline unsigned records_left(const void *object)
{
    unsigned n = 0;
    for (uint32_t what = RECORD_READ; what <= RECORD_WAIT; what++)
        n += records_of(object, what);
    return n;
}

#endif
