/* SPDX-License-Identifier: MIT */
/* Walks through the records about one shared object, and what else its forms share. */
#include "sync/shared_objects.h"

/* How long who has no time left waits for somebody else to come out of an operation of a few instructions: longer than it
 * takes to get a CPU again. It may stand still for good (SIGSTOP). */
enum { CLAIM_LATE_NS = 10 * 1000 * 1000 };

int motet__shared_claim_late(uint32_t *claim, bool interruptible)
{
    return claim_acquire(claim, sys_now() + CLAIM_LATE_NS, interruptible);
}

__attribute__((cold)) void motet__shared_wake_all(shared_op *op)
{
    for (unsigned i = 0; i < op->wakes_count; i++)
        motet__family_wake(op->wakes[i], 1);
    op->wakes_count = 0;
}

/* ---- records --------------------------------------------------------------------------------------- */

typedef struct walk {
    const void *object;
    uint32_t what;
    void (*each)(record *r, void *arg);
    void *arg;
} walk;

static bool walk_member(member *m, member_tag tag, void *arg)
{
    const walk *w = arg;
    record *r = motet__record_find(m, w->object, w->what, NULL);
    for (; r; r = motet__record_find(m, w->object, w->what, r + 1))
        w->each(r, w->arg);
    return true;
}

void motet__shared_each(const void *object, uint32_t what, void (*each)(record *r, void *arg), void *arg)
{
    walk w = {object, what, each, arg};
    motet__members_each(walk_member, &w);
}

typedef struct pick {
    uint32_t count;
    const record *last;
    int64_t since;
    record *best;
    int64_t best_since;
} pick;

/* Whoever came at the same moment stands in the order of addresses. */
static bool is_older(int64_t a_since, const record *a, int64_t b_since, const record *b)
{
    return a_since < b_since || (a_since == b_since && a < b);
}

static void pick_oldest(record *r, void *arg)
{
    pick *p = arg;
    int64_t since = atomic_load_relaxed(&r->since);
    if (record_count(r) != p->count || (p->last && !is_older(p->since, p->last, since, r)))
        return;
    if (!p->best || is_older(since, r, p->best_since, p->best)) {
        p->best = r;
        p->best_since = since;
    }
}

record *motet__shared_oldest(const void *object, uint32_t what, uint32_t count, const record *last, int64_t since)
{
    pick p = {.count = count, .last = last, .since = since};
    motet__shared_each(object, what, pick_oldest, &p);
    return p.best;
}

record *motet__shared_enrol(const void *object, uint32_t what, uint32_t count)
{
    record *r = motet__record_take(object, what);
    if (r) {
        atomic_store_relaxed(&r->since, sys_now());
        record_set(r, count);
    }
    return r;
}

void motet__shared_drop(record *r, const void *object)
{
    uint64_t was = (uint64_t)(uintptr_t)object;
    atomic_cas_relaxed(&r->object, &was, 0);
}

uint32_t motet__shared_sum(shared_op *op, const void *object, uint32_t what, bool *waited)
{
    uint64_t sum;
    do {
        op->deaths = motet__family_deaths();
        sum = motet__records_sum(object, what);
        if (waited)
            *waited = motet__records_sum(object, RECORD_WAIT) != 0;
    } while (op->deaths != motet__family_deaths());
    return (uint32_t)sum;
}

static void drop_old(record *r, void *object) { motet__shared_drop(r, object); }

int motet__shared_begin(const void *object)
{
    static const uint32_t kinds[] = {RECORD_READ, RECORD_PERMIT, RECORD_BARRIER, RECORD_CONDITION, RECORD_WAIT};
    int e = check_shared(object);
    if (e < 0)
        return e;
    for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++)
        motet__shared_each(object, kinds[i], drop_old, (void *)(uintptr_t)object);
    return 0;
}
