/* SPDX-License-Identifier: MIT */
/* The heap of moments against the plainest model: an array that is searched for the earliest. */
#include "runner.h"

#include "base/sys.h"
#include "thread/timer_heap.h"

enum { NODES = 300, STEPS = 30000 };

static timer_node nodes[NODES];
static motet_time when[NODES];
static uint64_t added[NODES]; /* 0: not in the heap; else the how many-th to come */
static uint64_t seed;

static uint64_t random_number(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static int earliest(void)
{
    int best = -1;
    for (int i = 0; i < NODES; i++)
        if (added[i] && (best < 0 || when[i] < when[best] || (when[i] == when[best] && added[i] < added[best])))
            best = i;
    return best;
}

TEST(agrees_with_the_model)
{
    timer_heap heap = {0};
    uint64_t count = 0;
    seed = sys_random() | 1;
    LOG("seed %llu", (unsigned long long)seed);
    for (int step = 0; step < STEPS; step++) {
        int i = (int)(random_number() % NODES), first = earliest();
        CHECK_PTR(heap.first, first < 0 ? NULL : &nodes[first]);
        if (random_number() % 4 == 0 && first >= 0)
            i = first;
        if (added[i]) {
            motet__timer_heap_remove(&heap, &nodes[i]);
            added[i] = 0;
            continue;
        }
        /* Few different moments, so that many are equal; the ends of time among them. */
        when[i] = (int64_t)(random_number() % 16);
        when[i] = when[i] == 0 ? INT64_MIN : when[i] == 15 ? MOTET_FOREVER : when[i] * MOTET_S;
        added[i] = ++count;
        motet__timer_heap_add(&heap, &nodes[i], when[i]);
    }
    for (int first; (first = earliest()) >= 0; added[first] = 0) {
        CHECK_PTR(heap.first, &nodes[first]);
        motet__timer_heap_remove(&heap, &nodes[first]);
    }
    CHECK_PTR(heap.first, NULL);
}
