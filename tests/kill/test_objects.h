/* SPDX-License-Identifier: MIT */
/* Shared sync objects under the kill points: a bench with one of each, and what every case does with it. What `other` waits for
 * is a record in its log, as if a thread of it slept. */
#ifndef MOTET_TESTS_KILL_TEST_OBJECTS_H
#define MOTET_TESTS_KILL_TEST_OBJECTS_H

#include "kill/test_members.h"

#include "sync/shared_objects.h"

enum { RECORDS = 6, LIMIT = 3, RUNNING = 1 << 20 };

/* All that an operation may change, but for members and their logs. */
typedef struct bench {
    motet_rwlock rwlock;
    motet_semaphore bounded, unbounded;
    motet_barrier barrier;
    motet_lock lock;
    motet_condition condition;
    int result;
    bool burying, intruded;
    int intruders_result;
} bench;

static bench *b;
static const struct shared_case *now;

typedef struct shared_case {
    const char *name;
    void (*prepare)(void);
    int (*operation)(void);
    const char *(*check)(const kill_moment *when);
    int (*intrude)(void); /* as `other`, while nobody has `claim`; or NULL */
    const uint32_t *claim;
    bool reads_clock; /* two of them do not leave the same bytes */
    bool burier_dies; /* that takes long, and is the same for all */
} shared_case;

static inline int as(member_tag who, int (*fn)(void))
{
    motet__family_tag = who;
    int result = fn();
    motet__family_tag = root;
    return result;
}

static inline void operate(void *arg)
{
    motet__family_tag = child; /* a fork's child is no member */
    atomic_store_release(&b->result, now->operation());
}

/* By a child whose own burial may follow, or by the root. */
static inline void recover(void *arg)
{
    if (!motet__family_tag) {
        if (!now->burier_dies)
            return;
        motet__family_tag = burier;
        atomic_store_release(&b->burying, true);
    } else if (b->burying) {
        motet__member_bury(burier);
    }
    motet__member_bury(child);
}

static inline void intrude(void *arg)
{
    if (now->claim && claim_held(now->claim))
        return; /* it would wait */
    b->intruded = true;
    b->intruders_result = as(other, now->intrude);
}

static inline void count(record *r, void *arg) { ++*(unsigned *)arg; }

static inline unsigned records_of(const void *object, uint32_t what)
{
    unsigned n = 0;
    motet__shared_each(object, what, count, &n);
    return n;
}

static inline bool nothing_left(const void *object)
{
    for (uint32_t what = RECORD_READ; what <= RECORD_WAIT; what++)
        if (records_of(object, what))
            return false;
    return true;
}

static inline uint32_t low(uint64_t word) { return (uint32_t)word; }

static inline uint32_t high(uint64_t word) { return (uint32_t)(word >> 32); }

/* It never came to its end. */
static inline bool cut_off(void) { return b->result == RUNNING; }

static inline void drop(record *r, void *object) { motet__shared_drop(r, object); }

static inline void nothing(void) {}

/* The lock, which goes with the condition too. */
static inline int lock_(void) { return motet_lock_acquire(&b->lock, MOTET_NOWAIT); }

static inline int unlock(void) { return motet_lock_release(&b->lock); }

static inline void childs_lock(void) { CHECK_EQ(as(child, lock_), 0); }

/* ---- cases ----------------------------------------------------------------------------------------- */

static inline const char *check(void *arg, const kill_moment *when) { return now->check(when); }

static inline const kill_part *parts(void)
{
    static kill_part all[8];
    all[members_parts(all, RECORDS)] = (kill_part){b, sizeof *b};
    return all;
}

static inline void begin(void)
{
    members_begin();
    b = motet__arena_alloc(sizeof *b, ARENA_PLAIN);
    CHECK(b != NULL);
}

static inline void make_objects(void)
{
    *b = (bench){.result = RUNNING};
    CHECK_EQ(motet_rwlock_init(&b->rwlock, MOTET_SHARED), 0);
    CHECK_EQ(motet_semaphore_init(&b->bounded, LIMIT, MOTET_SHARED | MOTET_BOUNDED), 0);
    CHECK_EQ(motet_semaphore_init(&b->unbounded, 1, MOTET_SHARED), 0);
    CHECK_EQ(motet_barrier_init(&b->barrier, 2, MOTET_SHARED), 0);
    CHECK_EQ(motet_lock_init(&b->lock, MOTET_SHARED), 0);
    CHECK_EQ(motet_condition_init(&b->condition, MOTET_SHARED), 0);
}

static inline kill_report try_all(const shared_case *c, void (*recovery)(void *arg))
{
    make_objects();
    now = c;
    c->prepare();
    return kill_try(c->name, &(kill_case){.parts = parts(),
                                          .operation = operate,
                                          .recover = recovery,
                                          .check = check,
                                          .intrude = c->intrude ? intrude : NULL,
                                          .real_deaths = c->reads_clock ? 0 : 4,
                                          .steps_max = 20000});
}

static inline void run(const shared_case *cases, unsigned n)
{
    unsigned long deaths = 0;
    for (unsigned i = 0; i < n; i++) {
        kill_report r = try_all(&cases[i], recover);
        CHECK_PTR(r.why, NULL);
        deaths += r.deaths;
    }
    LOG("%lu moments of death", deaths);
    CHECK_GE(deaths, 50 * n);
}
#define RUN(cases) run((cases), sizeof(cases) / sizeof *(cases))

#endif
