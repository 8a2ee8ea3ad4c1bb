/* SPDX-License-Identifier: MIT */
/* What the workers of chaos do, and the audit of it. */
#include "chaos/chaos.h"

#include "base/atomic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const deed_names[DEEDS] = {"idle",  "transfer", "permit",  "read", "write",
                                       "block", "produce",  "consume", "meet"};

/* No wait of a worker lasts longer: then it does something else. What it waits for may be held by one that is stopped. */
#define PATIENCE motet_after(20 * MOTET_MS)
/* Nor at a condition, where all may come to wait for what none of them does. */
#define NEWS motet_after(MOTET_MS)

/* (xorshift32, George Marsaglia.) */
uint32_t dice(uint32_t *seed, uint32_t n)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed % n;
}

static void wrong(sea *s, const char *what, long long a, long long b)
{
    atomic_store_relaxed(&s->wrong, 1);
    fprintf(stderr, "chaos: WRONG: %s (%lld, %lld)\n", what, a, b);
}

/* An answer that is neither success nor the end of patience. */
static bool had(sea *s, seat *me, int e, const char *what)
{
    if (e == MOTET_RECOVERED)
        me->recovered++;
    if (e < 0 && e != -ETIMEDOUT)
        wrong(s, what, e, 0);
    return e >= 0;
}

/* In the middle of an operation, holding something: mostly for a moment, now and then for so long that a killer sees it. */
static void half_done(seat *me, uint32_t *seed)
{
    atomic_store_seq_cst(&me->holding, 1);
    for (volatile uint32_t i = dice(seed, dice(seed, 8) ? 40 : 10000); i; i--) {}
    if (dice(seed, 64) == 0)
        motet_yield();
    atomic_store_seq_cst(&me->holding, 0);
}

/* ---- deeds ----------------------------------------------------------------------------------------- */

static void mend_purses(sea *s)
{
    if (!s->journal.open)
        return;
    s->purses[s->journal.from] = s->journal.from_was;
    s->purses[s->journal.to] = s->journal.to_was;
    atomic_store_release(&s->journal.open, 0);
}

static void transfer(sea *s, seat *me, uint32_t *seed)
{
    int e = motet_lock_acquire(&s->lock, PATIENCE);
    if (!had(s, me, e, "lock_acquire"))
        return;
    if (e == MOTET_RECOVERED)
        mend_purses(s);
    else if (s->journal.open)
        wrong(s, "the purses are half done and nobody said so", s->journal.from, s->journal.to);
    uint32_t from = dice(seed, PURSES), to = (from + 1 + dice(seed, PURSES - 1)) % PURSES;
    int64_t sum = 0;
    for (int i = 0; i < PURSES; i++)
        sum += s->purses[i];
    if (sum != PURSES * PURSE_AT_FIRST)
        wrong(s, "money came or went", sum, PURSES * PURSE_AT_FIRST);
    s->journal.from = from, s->journal.to = to;
    s->journal.from_was = s->purses[from], s->journal.to_was = s->purses[to];
    atomic_store_release(&s->journal.open, 1);
    int64_t amount = dice(seed, 10);
    s->purses[from] -= amount;
    half_done(me, seed);
    s->purses[to] += amount;
    atomic_store_release(&s->journal.open, 0);
    motet_lock_release(&s->lock);
}

static void permit(sea *s, seat *me, uint32_t *seed)
{
    if (!had(s, me, motet_semaphore_acquire(&s->permits, PATIENCE), "semaphore_acquire"))
        return;
    half_done(me, seed);
    int e = motet_semaphore_release(&s->permits, 1);
    if (e != 0)
        wrong(s, "semaphore_release", e, 0);
}

static void read_page(sea *s, seat *me, uint32_t *seed)
{
    int e = motet_rwlock_acquire_read(&s->rwlock, PATIENCE);
    if (!had(s, me, e, "rwlock_acquire_read"))
        return;
    uint64_t first = s->page[0];
    half_done(me, seed);
    for (int i = 1; i < 16 && e == 0; i++)
        if (s->page[i] != first && atomic_load_relaxed(&s->page[i]) != first)
            break; /* a writer died: whoever writes next mends it */
    motet_rwlock_release(&s->rwlock);
}

static void write_page(sea *s, seat *me, uint32_t *seed)
{
    int e = motet_rwlock_acquire_write(&s->rwlock, PATIENCE);
    if (!had(s, me, e, "rwlock_acquire_write"))
        return;
    uint64_t next = s->page[0] + 1;
    for (int i = 0; i < 16; i++) {
        s->page[i] = next;
        if (i == 7)
            half_done(me, seed);
    }
    for (int i = 0; i < 16; i++)
        if (s->page[i] != next)
            wrong(s, "somebody wrote beside a writer", i, (long long)next);
    motet_rwlock_release(&s->rwlock);
}

/* A block has its size in the first word and the same byte everywhere else. */
static void block(sea *s, seat *me, uint32_t *seed)
{
    uint64_t size = dice(seed, 50) ? 16 + dice(seed, 600) : 16 + dice(seed, 200000);
    unsigned char *p = motet_shared_alloc(size);
    if (!p) {
        wrong(s, "no memory", (long long)size, 0);
        return;
    }
    atomic_add_relaxed(&me->blocks, 1);
    for (uint64_t i = 0; i < size; i++)
        if (p[i])
            return wrong(s, "a new block is not zeroed", (long long)i, p[i]);
    memset(p, 0x5a, size);
    memcpy(p, &size, sizeof size);
    uint64_t old = atomic_exchange_acq_rel(&s->stalls[dice(seed, STALLS)], (uint64_t)(uintptr_t)p);
    if (!old)
        return;
    unsigned char *q = (unsigned char *)(uintptr_t)old;
    uint64_t had_size;
    memcpy(&had_size, q, sizeof had_size);
    for (uint64_t i = sizeof had_size; i < had_size; i++)
        if (q[i] != 0x5a)
            return wrong(s, "a block was written by another", (long long)i, q[i]);
    motet_shared_free(q);
    atomic_sub_relaxed(&me->blocks, 1);
}

static void produce(sea *s, seat *me)
{
    int e = motet_rlock_acquire(&s->buffer_lock, PATIENCE);
    if (!had(s, me, e, "rlock_acquire"))
        return;
    motet_time deadline = NEWS;
    while (e >= 0 && s->produced - s->consumed == BUFFER)
        e = motet_condition_wait_r(&s->not_full, &s->buffer_lock, deadline);
    if (s->produced - s->consumed < BUFFER) {
        s->buffer[s->produced % BUFFER] = s->produced;
        atomic_store_release(&s->produced, s->produced + 1);
        motet_condition_notify(&s->not_empty, 1);
    }
    motet_rlock_release(&s->buffer_lock);
}

static void consume(sea *s, seat *me)
{
    int e = motet_rlock_acquire(&s->buffer_lock, PATIENCE);
    if (!had(s, me, e, "rlock_acquire"))
        return;
    motet_time deadline = NEWS;
    while (e >= 0 && s->produced == s->consumed)
        e = motet_condition_wait_r(&s->not_empty, &s->buffer_lock, deadline);
    if (s->produced != s->consumed) {
        if (s->buffer[s->consumed % BUFFER] != s->consumed)
            wrong(s, "another item than was put", (long long)s->buffer[s->consumed % BUFFER], (long long)s->consumed);
        atomic_store_release(&s->consumed, s->consumed + 1);
        motet_condition_notify(&s->not_full, 1);
    }
    motet_rlock_release(&s->buffer_lock);
}

static void meet(sea *s, seat *me)
{
    int e = motet_barrier_wait(&s->barrier, motet_after(2 * MOTET_MS));
    if (e == -EPIPE || e == -ETIMEDOUT)
        motet_barrier_reset(&s->barrier);
    else if (e != 0 && e != 1)
        wrong(s, "barrier_wait", e, 0);
    (void)me;
}

static void act(sea *s, seat *me, enum deed deed, uint32_t *seed)
{
    switch (deed) {
    case TRANSFER: return transfer(s, me, seed);
    case PERMIT: return permit(s, me, seed);
    case READ: return read_page(s, me, seed);
    case WRITE: return write_page(s, me, seed);
    case BLOCK: return block(s, me, seed);
    case PRODUCE: return produce(s, me);
    case CONSUME: return consume(s, me);
    case MEET: return meet(s, me);
    case IDLE:
    case DEEDS: return;
    }
}

int worker(void *arg)
{
    const post *p = arg;
    sea *s = p->sea;
    seat *me = &s->seats[p->seat];
    uint32_t seed = p->seed;
    atomic_store_seq_cst(&me->holding, 0); /* whoever sat here may have died so */
    while (!atomic_load_acquire(&s->over)) {
        enum deed deed = dice(&seed, 100) ? (enum deed)(1 + dice(&seed, DEEDS - 2)) : MEET;
        atomic_store_relaxed(&me->deed, deed);
        act(s, me, deed, &seed);
        atomic_store_relaxed(&me->deed, IDLE);
        atomic_add_relaxed(&me->done[deed], 1);
    }
    return 0;
}

/* ---- the books ------------------------------------------------------------------------------------- */

void sea_init(sea *s)
{
    for (int i = 0; i < PURSES; i++)
        s->purses[i] = PURSE_AT_FIRST;
    int e = motet_lock_init(&s->lock, MOTET_SHARED);
    e = e ? e : motet_semaphore_init(&s->permits, PERMITS, MOTET_SHARED | MOTET_BOUNDED);
    e = e ? e : motet_rwlock_init(&s->rwlock, MOTET_SHARED);
    e = e ? e : motet_rlock_init(&s->buffer_lock, MOTET_SHARED);
    e = e ? e : motet_condition_init(&s->not_empty, MOTET_SHARED);
    e = e ? e : motet_condition_init(&s->not_full, MOTET_SHARED);
    e = e ? e : motet_barrier_init(&s->barrier, 2, MOTET_SHARED);
    if (e != 0) {
        fprintf(stderr, "chaos: an object cannot be had: %s\n", motet_strerror(e));
        exit(2);
    }
}

static int wrongs;

static void expect(bool holds, const char *what, long long is, long long should_be)
{
    if (holds)
        return;
    fprintf(stderr, "chaos: WRONG at the end: %s: %lld, expected %lld\n", what, is, should_be);
    wrongs++;
}

int sea_audit(sea *s, unsigned kills)
{
    /* Everything can still be had, at once: nothing is held by the dead. */
    int e = motet_lock_acquire(&s->lock, MOTET_NOWAIT);
    expect(e >= 0, "the lock can be had", e, 0);
    if (e == MOTET_RECOVERED)
        mend_purses(s);
    int64_t sum = 0;
    for (int i = 0; i < PURSES; i++)
        sum += s->purses[i];
    expect(sum == PURSES * PURSE_AT_FIRST, "money", sum, PURSES * PURSE_AT_FIRST);
    for (int i = 0; i < PERMITS; i++) {
        e = motet_semaphore_acquire(&s->permits, MOTET_NOWAIT);
        expect(e >= 0, "a permit can be had", e, 0);
    }
    e = motet_semaphore_acquire(&s->permits, MOTET_NOWAIT);
    expect(e == -ETIMEDOUT, "one permit too many", e, -ETIMEDOUT);
    e = motet_rwlock_acquire_write(&s->rwlock, MOTET_NOWAIT);
    expect(e >= 0, "the rwlock can be had", e, 0);
    e = motet_rlock_acquire(&s->buffer_lock, MOTET_NOWAIT);
    expect(e >= 0, "the rlock can be had", e, 0);
    expect(s->produced - s->consumed <= BUFFER, "items in the buffer", (long long)(s->produced - s->consumed), BUFFER);

    /* Blocks: those in the stalls, and at most one in the hand of each that was killed. */
    int64_t blocks = 0;
    for (int i = 0; i < STALLS; i++)
        blocks += s->stalls[i] != 0;
    int64_t booked = 0;
    for (int i = 0; i < WORKERS_MAX; i++)
        booked += (int64_t)s->seats[i].blocks;
    expect(booked - blocks <= (int64_t)kills && blocks - booked <= (int64_t)kills, "blocks that the dead had in hand",
           booked - blocks, kills);
    for (int i = 0; i < STALLS; i++)
        motet_shared_free((void *)(uintptr_t)s->stalls[i]);
    expect(!s->wrong, "workers found something wrong", s->wrong, 0);
    return wrongs;
}
