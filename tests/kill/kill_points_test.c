/* SPDX-License-Identifier: MIT */
/* The ring under the kill points: whoever dies at whatever instruction of put or get, and whoever dies while he recovers
 * from that, and whoever came in between - what is left is a ring that holds its invariants, from which exactly the items
 * come that must, in order, and which works on. Then the same with mistakes put in: each must be found. */
#include "kill/flawed.h"
#include "kill/test_kill.h"

#include <sys/mman.h>

enum { CAPACITY = 4, CHILDS = 100, INTRUDERS = 200, RUNNING = 1 };

/* The segment: the ring, and what the participants have to show. */
typedef struct bench {
    ring ring;
    ring_self child, other;
    unsigned first; /* items first .. CAPACITY were put before, first = CAPACITY + 1: none */
    int result, intruders_result;
    ring_item out, intruders_out;
} bench;

/* What the case is: the same in every process. */
typedef int put_fn(ring *r, ring_self self, const ring_item *item, uint64_t *ret_position);
typedef int get_fn(ring *r, ring_self self, ring_item *ret, uint64_t *ret_position);
static struct {
    put_fn *put; /* the child's; or */
    get_fn *get;
    void (*recover)(ring *r, ring_self dead);
    bool intruder_puts;
    int expected; /* the operation's result when nobody comes in between */
} act;

static void operate(void *arg)
{
    bench *b = arg;
    ring_item item = ring_item_of(CHILDS);
    int e = act.put ? act.put(&b->ring, b->child, &item, NULL) : act.get(&b->ring, b->child, &b->out, NULL);
    atomic_store_release(&b->result, e);
}

static void recover(void *arg)
{
    bench *b = arg;
    act.recover(&b->ring, b->child);
}

static void intrude(void *arg)
{
    bench *b = arg;
    ring_item item = ring_item_of(INTRUDERS);
    b->intruders_result = act.intruder_puts ? ring_put(&b->ring, b->other, &item, NULL)
                                            : ring_get(&b->ring, b->other, &b->intruders_out, NULL);
}

/* ---- the check ------------------------------------------------------------------------------------- */

/* Who has item n, of those that were there before. */
typedef struct whereabouts {
    bool drained[CAPACITY + 1], childs, intruders; /* the last two: items of theirs that were drained */
    unsigned last;                                 /* of the drained ones that were there before */
} whereabouts;

static const char *drain(bench *b, whereabouts *w)
{
    for (unsigned n = 0; n <= CAPACITY; n++) {
        ring_item item;
        int e = ring_get(&b->ring, b->other, &item, NULL);
        if (e == -EAGAIN)
            return NULL;
        if (e < 0)
            return "a survivor would wait for the dead";
        uint64_t id = item.words[0];
        if (!ring_item_whole(&item))
            return "a torn item";
        if (id >= 1 && id <= CAPACITY) {
            if (w->last >= id || w->childs || w->intruders)
                return "out of order, or twice";
            w->last = (unsigned)id;
            w->drained[id] = true;
        } else {
            bool *had = id == CHILDS ? &w->childs : id == INTRUDERS ? &w->intruders : NULL;
            if (!had || *had)
                return "an item that nobody put, or twice";
            *had = true;
        }
    }
    return "more items than there is room for";
}

static bool intruder_got(const bench *b, unsigned id)
{
    return !act.intruder_puts && b->intruders_result == 0 && b->intruders_out.words[0] == id;
}

/* An item that is gone, and that the intruder hasn't got: the child must have it, or be known to have lost it. */
static const char *account_for(const bench *b, uint64_t id, unsigned losses, unsigned *lost)
{
    bool delivered = ring_item_whole(&b->out) && b->out.words[0] == id;
    ++*lost;
    if (act.put)
        return "a put has cost an item";
    if (losses == 0 && !delivered)
        return "an item is lost, and not reported";
    return b->result == 0 && !delivered ? "get said that it was done, and gave another item" : NULL;
}

static const char *account(const bench *b, const whereabouts *w, unsigned losses)
{
    unsigned lost = 0;
    const char *why = NULL;
    for (unsigned id = CAPACITY; id >= b->first && !why; id--) {
        if (w->drained[id])
            why = intruder_got(b, id) ? "an item that was got is still there" : NULL;
        else if (w->last && id > w->last)
            why = "a later item is gone";
        else if (!intruder_got(b, id))
            why = account_for(b, id, losses, &lost);
    }
    if (!why && act.get && act.intruder_puts && b->intruders_result == 0 && !w->intruders)
        why = w->last ? "a later item is gone" : account_for(b, INTRUDERS, losses, &lost);
    if (!why && lost > 1)
        why = "more is lost than the dead one had";
    if (!why && losses > lost)
        why = "a loss was reported of nothing";
    if (!why && act.get && b->result == 0 && (lost != 1 || losses))
        why = "get was done, and its item is still there or counts as lost";
    return why;
}

/* The child's put: there when it said so, not when it failed, never twice. */
static const char *account_for_put(const bench *b, const whereabouts *w)
{
    bool there = w->childs, got = intruder_got(b, CHILDS);
    if (there && got)
        return "an item that was got is still there";
    if (b->result == 0 && !there && !got)
        return "put was done, and its item is not there";
    if (b->result < 0 && (there || got))
        return "put has failed, and its item is there";
    return act.intruder_puts && (b->intruders_result == 0) != w->intruders ? "the other's put did not do what it said"
                                                                           : NULL;
}

static const char *works_on(bench *b)
{
    ring_item item;
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < CAPACITY; i++) {
            item = ring_item_of(1000 + i);
            if (ring_put(&b->ring, b->other, &item, NULL) != 0)
                return "it cannot be filled again";
        }
        if (ring_put(&b->ring, b->other, &item, NULL) != -EAGAIN)
            return "it takes more than its capacity";
        for (unsigned i = 0; i < CAPACITY; i++)
            if (ring_get(&b->ring, b->other, &item, NULL) != 0 || item.words[0] != 1000 + i)
                return "it gives other items than were put";
    }
    return ring_check(&b->ring);
}

static const char *check(void *arg, const kill_moment *when)
{
    bench *b = arg;
    whereabouts w = {0};
    const char *why = ring_check(&b->ring);
    unsigned losses = ring_losses(&b->ring);
    if (!why && b->ring.members[b->child.member] != member_of(MEMBER_FREE, b->child.generation))
        why = "I6: the dead one's place is not free";
    if (!why)
        why = drain(b, &w);
    if (!why)
        why = account(b, &w, losses);
    if (!why && act.put)
        why = account_for_put(b, &w);
    if (!why && !when->intrusion && b->result != RUNNING && b->result != act.expected)
        why = "the operation had another result";
    return why ? why : works_on(b);
}

/* ---- cases ----------------------------------------------------------------------------------------- */

static bench *b;
static unsigned long deaths, recovered, stepped;

/* A dead member's put that came as far as the claim. */
static void put_dead(ring *r)
{
    ring_self dead;
    CHECK_EQ(ring_join(r, &dead), 0);
    uint64_t p = r->tail;
    uint64_t *word = &r->slots[p % CAPACITY].word;
    CHECK_EQ(word_state(*word), RING_FREE);
    *word = word_of(RING_WRITING, dead, 0, word_lap(*word));
    ring_recover(r, dead);
}

/* A ring that has gone `skew` positions, then has `dead` marks of the dead and `items` items. */
static void prepare(unsigned skew, unsigned dead, unsigned items)
{
    ring_item item;
    *b = (bench){.result = RUNNING, .intruders_result = RUNNING, .first = CAPACITY + 1 - items};
    ring_init(&b->ring, CAPACITY);
    CHECK_EQ(ring_join(&b->ring, &b->other), 0);
    CHECK_EQ(ring_join(&b->ring, &b->child), 0);
    for (unsigned i = 0; i < skew; i++) {
        item = ring_item_of(0);
        CHECK_EQ(ring_put(&b->ring, b->other, &item, NULL), 0);
        CHECK_EQ(ring_get(&b->ring, b->other, &item, NULL), 0);
    }
    for (unsigned i = 0; i < dead; i++) {
        put_dead(&b->ring);
        ring_advance(&b->ring.tail, b->ring.tail);
    }
    for (unsigned i = b->first; i <= CAPACITY; i++) {
        item = ring_item_of(i);
        CHECK_EQ(ring_put(&b->ring, b->other, &item, NULL), 0);
    }
    CHECK_PTR(ring_check(&b->ring), NULL);
}

static kill_report run(bool with_intruder)
{
    kill_case c = {.segment = b, .size = sizeof *b, .operation = operate, .recover = recover, .check = check, .arg = b};
    c.intrude = with_intruder ? intrude : NULL;
    c.real_deaths = with_intruder ? 0 : 4;
    c.steps_max = 5000;
    kill_report report = kill_try(with_intruder ? "with another in between" : "alone", &c);
    deaths += report.deaths;
    recovered += report.recovered;
    stepped += report.stepped;
    return report;
}

static void expect_sound(bool with_intruder)
{
    kill_report r = run(with_intruder);
    if (r.why)
        test_fail(__FILE__, __LINE__, "%s (instruction %u of %u, another's after %u, recovery's %u%s)", r.why,
                  r.at.step, r.steps, r.at.intrusion, r.at.recovery, r.at.really ? ", really killed" : "");
    CHECK_GT(r.steps, 20);
    CHECK_GE(r.deaths, r.steps);
    CHECK_GE(r.recovered, 2);
}

static void begin(put_fn *put, get_fn *get)
{
    kill_begin();
    act.put = put;
    act.get = get;
    act.recover = ring_recover;
    b = mmap(NULL, sizeof *b, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(b != MAP_FAILED);
}

static void end(void)
{
    LOG("%lu moments of death, %lu recoveries checked, %lu single steps", deaths, recovered, stepped);
    munmap(b, sizeof *b);
}

static void sound_everywhere(put_fn *put, get_fn *get, bool with_intruder)
{
    begin(put, get);
    for (unsigned skew = with_intruder ? 3 : 0; skew < 4; skew += 3)
        for (unsigned dead = 0; dead <= (skew ? 2 : 0); dead += with_intruder ? 2 : 1)
            for (unsigned items = 0; items + dead <= CAPACITY; items += with_intruder ? 2 : 1) {
                prepare(skew, dead, items);
                act.expected = put ? items + dead < CAPACITY ? 0 : -EAGAIN : items ? 0 : -EAGAIN;
                if (put && dead && items + dead == CAPACITY)
                    act.expected = 0; /* it passes over the oldest, a dead one */
                expect_sound(with_intruder);
            }
    end();
}

TEST(put) { sound_everywhere(ring_put, NULL, false); }
TEST(get) { sound_everywhere(NULL, ring_get, false); }
TEST(put_beside_get) { sound_everywhere(ring_put, NULL, true); }
TEST(get_beside_get) { sound_everywhere(NULL, ring_get, true); }

TEST(put_beside_put)
{
    act.intruder_puts = true;
    sound_everywhere(ring_put, NULL, true);
}

TEST(get_beside_put)
{
    act.intruder_puts = true;
    sound_everywhere(NULL, ring_get, true);
}

/* ---- mistakes -------------------------------------------------------------------------------------- */

static void expect_flaw(bool with_intruder, const char *text)
{
    prepare(3, 0, 2);
    act.expected = 0;
    kill_report r = run(with_intruder);
    LOG("%s (instruction %u of %u, recovery's %u)", r.why ? r.why : "nothing found", r.at.step, r.steps, r.at.recovery);
    CHECK(r.why != NULL);
    CHECK_STR(r.why, text);
    end();
}

static void expect_put_flaw(put_fn *put, const char *text)
{
    begin(put, NULL);
    expect_flaw(false, text);
}

static void expect_get_flaw(get_fn *get, const char *text)
{
    begin(NULL, get);
    expect_flaw(false, text);
}

static void expect_recovery_flaw(bool of_put, void (*wrong)(ring *r, ring_self dead), const char *text)
{
    begin(of_put ? ring_put : NULL, of_put ? NULL : ring_get);
    act.recover = wrong;
    expect_flaw(false, text);
}

TEST(flaw_without_compare)
{
    act.intruder_puts = true;
    begin(flawed_put_without_compare, NULL);
    prepare(3, 0, 2);
    kill_report alone = run(false);
    CHECK_PTR(alone.why, NULL);
    expect_flaw(true, "the other's put did not do what it said");
}

TEST(flaw_owner_late) { expect_put_flaw(flawed_put_owner_late, "I5: a slot is claimed, and by nobody"); }
TEST(flaw_full_early) { expect_put_flaw(flawed_put_full_early, "an item that nobody put, or twice"); }
TEST(flaw_ticket) { expect_put_flaw(flawed_put_ticket, "I3: tail is beyond what is claimed"); }
TEST(flaw_hint_first) { expect_get_flaw(flawed_get_hint_first, "I3: head is beyond what is taken"); }
TEST(flaw_frees_first) { expect_get_flaw(flawed_get_frees_first, "an item is lost, and not reported"); }
TEST(flaw_counts_later)
{
    expect_recovery_flaw(false, flawed_recover_counts_later, "an item is lost, and not reported");
}
TEST(flaw_place_first)
{
    expect_recovery_flaw(true, flawed_recover_place_first, "I5: a slot is claimed by one who is gone");
}
TEST(flaw_delivers) { expect_recovery_flaw(true, flawed_recover_delivers, "an item that nobody put, or twice"); }

TEST(flaw_forgets_readers)
{
    expect_recovery_flaw(false, flawed_recover_forgets_readers, "I5: a slot is claimed by one who is gone");
}
