/* SPDX-License-Identifier: MIT */
/* Kill points with somebody in between who does much: while the child stands at one instruction after the other, another
 * member puts and gets for laps, as far as the child's slot lets it. What was put and what came must balance then. */
#include "kill/flawed.h"
#include "kill/test_kill.h"

#include <sys/mman.h>

enum { CAPACITY = 2, LAPS = 3, CHILDS = 100, OTHERS = 200, OTHERS_MAX = LAPS * CAPACITY, IDS_MAX = 256 };

typedef struct bench {
    ring ring;
    ring_self child, other;
    uint32_t done; /* the child's operation has come back with 0 */
    ring_item out;
    uint8_t put[IDS_MAX], came[IDS_MAX]; /* by the other, and what was there before */
    uint64_t last;                       /* the last of the other's own that came */
    const char *why;
} bench;

static bool child_puts;
static int (*others_get)(ring *r, ring_self self, ring_item *ret, uint64_t *ret_position);

static void operate(void *arg)
{
    bench *b = arg;
    ring_item item = ring_item_of(CHILDS);
    int e = child_puts ? ring_put(&b->ring, b->child, &item, NULL) : ring_get(&b->ring, b->child, &b->out, NULL);
    atomic_store_release(&b->done, e == 0);
}

static void recover(void *arg)
{
    bench *b = arg;
    ring_recover(&b->ring, b->child);
}

/* Gets one, and enters it. What get returned. */
static int get_one(bench *b)
{
    ring_item item;
    int e = others_get(&b->ring, b->other, &item, NULL);
    if (e < 0)
        return e;
    uint64_t id = item.words[0];
    if (!ring_item_whole(&item) || id == 0 || id >= IDS_MAX)
        b->why = "an item that nobody put";
    else if (b->came[id]++)
        b->why = "an item came twice";
    else if (id >= OTHERS && id < b->last)
        b->why = "an item came out of order";
    b->last = id >= OTHERS && id < IDS_MAX ? id : b->last;
    return 0;
}

/* As much as there is room for, then as much as comes; so for some laps. */
static void intrude(void *arg)
{
    bench *b = arg;
    for (unsigned i = 0; i < OTHERS_MAX; i++) {
        ring_item item = ring_item_of(OTHERS + i);
        b->put[OTHERS + i] = ring_put(&b->ring, b->other, &item, NULL) == 0;
        if (i % 2)
            while (get_one(b) == 0 && !b->why)
                ;
    }
}

static const char *balance(const bench *b)
{
    unsigned missing = 0, losses = ring_losses(&b->ring);
    uint64_t childs = ring_item_whole(&b->out) ? b->out.words[0] : 0; /* what the child got, if it came so far */
    for (unsigned id = 1; id < IDS_MAX; id++) {
        bool delivered = id == childs && losses == 0;
        if (id == CHILDS)
            continue;
        if (b->came[id] && !b->put[id])
            return "an item came that was not put";
        if (b->put[id] && !b->came[id] && !delivered)
            missing++;
        if (b->done && !child_puts && b->came[id] && id == childs)
            return "an item came to two";
    }
    if (missing != losses)
        return missing > losses ? "an item is lost, and not reported" : "a loss was reported of nothing";
    return child_puts && b->done && !b->came[CHILDS] ? "put was done, and its item never came" : NULL;
}

static const char *check(void *arg, const kill_moment *when)
{
    bench *b = arg;
    int e = 0;
    const char *why = b->why ? b->why : ring_check(&b->ring);
    while (!why && (e = get_one(b)) == 0)
        why = b->why;
    if (!why && e == -EBUSY)
        why = "a survivor would wait for the dead";
    if (!why)
        why = balance(b);
    for (unsigned i = 0; !why && i < CAPACITY; i++) {
        ring_item item = ring_item_of(OTHERS + OTHERS_MAX + i);
        why = ring_put(&b->ring, b->other, &item, NULL) == 0 ? NULL : "it cannot be filled again";
    }
    return why ? why : ring_check(&b->ring);
}

static kill_report run(bool puts, unsigned items)
{
    kill_begin();
    bench *b = mmap(NULL, sizeof *b, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(b != MAP_FAILED);
    child_puts = puts;
    ring_init(&b->ring, CAPACITY);
    CHECK_EQ(ring_join(&b->ring, &b->child), 0);
    CHECK_EQ(ring_join(&b->ring, &b->other), 0);
    for (unsigned id = 1; id <= items; id++) {
        ring_item item = ring_item_of(id);
        CHECK_EQ(ring_put(&b->ring, b->other, &item, NULL), 0);
        b->put[id] = 1;
    }
    kill_case c = {.segment = b, .size = sizeof *b, .operation = operate, .recover = recover, .check = check};
    c.intrude = intrude;
    c.arg = b;
    c.steps_max = 8000;
    kill_report r = kill_try(puts ? "put" : "get", &c);
    munmap(b, sizeof *b);
    return r;
}

TEST(put)
{
    others_get = ring_get;
    for (unsigned items = 0; items <= CAPACITY; items++)
        CHECK_PTR(run(true, items).why, NULL);
}

TEST(get)
{
    others_get = ring_get;
    for (unsigned items = 0; items <= CAPACITY; items++)
        CHECK_PTR(run(false, items).why, NULL);
}

/* The ring had this mistake itself; a storm found it. */
TEST(flaw_blind_for_laps)
{
    others_get = flawed_get_blind_for_laps;
    CHECK(run(false, 1).why != NULL);
}
