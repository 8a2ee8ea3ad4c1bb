/* SPDX-License-Identifier: MIT */
/* Claims among real processes: counters that only mutual exclusion keeps right, holders and waiters that are killed. */
#include "family/test_family.h"

#include "base/panic.h"

enum { KIN = 3, ROUNDS = 3000 };

typedef struct table {
    CACHE_ALIGNED uint32_t claim;
    uint32_t inside, total; /* guarded by claim; plain */
    CACHE_ALIGNED uint32_t ready, go;
} table;

static int add_many(void *arg)
{
    table *t = arg;
    for (int i = 0; i < ROUNDS; i++) {
        if (claim_acquire(&t->claim, MOTET_FOREVER, false) != 0)
            return 1;
        if (t->inside++ != 0)
            return 2;
        t->total++;
        if (t->total % 64 == 0)
            motet_yield();
        t->inside--;
        claim_release(&t->claim);
    }
    return 0;
}

TEST(one_at_a_time)
{
    table *t = shared(sizeof *t);
    kin k[KIN];
    kin_start_all(k, KIN, add_many, t);
    CHECK_EQ(add_many(t), 0);
    kin_bury_all(k, KIN);
    CHECK_EQ(t->total, (KIN + 1) * ROUNDS);
    CHECK_EQ(t->claim, 0);
}

static int hold(void *arg)
{
    table *t = arg;
    MOTET_ASSERT(claim_acquire(&t->claim, MOTET_FOREVER, false) >= 0);
    atomic_store_release(&t->ready, 1);
    for (;;)
        pause();
}

static kin holder(table *t)
{
    kin k = kin_start(hold, t);
    AWAIT(atomic_load_acquire(&t->ready));
    atomic_store_release(&t->ready, 0);
    return k;
}

TEST(a_dead_holder_is_followed)
{
    table *t = shared(sizeof *t);
    kin k = holder(t);
    CHECK(claim_held(&t->claim));
    CHECK_EQ(claim_acquire(&t->claim, MOTET_NOWAIT, false), -ETIMEDOUT);
    CHECK_EQ(claim_acquire(&t->claim, motet_after(5 * MOTET_MS), false), -ETIMEDOUT);
    kin_kill(k);
    CHECK(claim_held(&t->claim));
    CHECK_EQ(claim_acquire(&t->claim, MOTET_NOWAIT, false), MOTET_RECOVERED);
    CHECK(claim_release(&t->claim));
    CHECK_EQ(claim_acquire(&t->claim, MOTET_NOWAIT, false), 0);
    CHECK(claim_release(&t->claim));
    CHECK(!claim_release(&t->claim));
}

static int wait_for_it(void *arg)
{
    table *t = arg;
    atomic_add_seq_cst(&t->ready, 1);
    int e = claim_acquire(&t->claim, MOTET_FOREVER, false);
    claim_release(&t->claim);
    return e;
}

TEST(a_death_wakes_who_waits_and_one_of_them_hears_of_it)
{
    table *t = shared(sizeof *t);
    kin h = holder(t), k[KIN];
    kin_start_all(k, KIN, wait_for_it, t);
    for (int i = 0; i < KIN; i++)
        kin_await_sleep(k[i]);
    kin_kill(h);
    int heard = 0;
    for (int i = 0; i < KIN; i++) {
        int e = kin_bury(k[i]);
        CHECK(e == 0 || e == MOTET_RECOVERED);
        heard += e == MOTET_RECOVERED;
    }
    CHECK_EQ(heard, 1);
}

/* The arena's descriptor is there for the life of the process. */
static void close_arena(void)
{
    if (motet__family_fd() >= 0)
        close(motet__family_fd());
}

TEST_SETTLE(close_arena);
