/* SPDX-License-Identifier: MIT */
/* The arena: processes that allocate, free, carve, retire, hand over and count, one of which dies at any step, as may who
 * buries it. What is promised: no block has two users, what the dead one had for itself comes back, at most the one block
 * that it was about to return or had just been given back is lost, and in the end all of the arena is there again. */
#include "processes.h"

#include "family/arena_internal.h"

enum { SMALL = 100 /* eight in a span */, HALF = 500 /* two */, TWO_SPANS = 2000, SLOTS = 8 };

static void *got[SLOTS]; /* by whoever finished an allocation */
static unsigned deaths;  /* of those that allocate */

static void begin(void) { SIM_CHECK_EQ(motet__family_open(), 0); }

/* Puts its mark on a block of its own: nobody else's may be there, and nobody else may write. */
static void *take(size_t size)
{
    int *p = motet__arena_alloc(size, ARENA_PLAIN);
    SIM_CHECK(p != NULL);
    SIM_CHECK_EQ(SIM_READ(p), 0);
    SIM_WRITE(p, 1);
    return p;
}

static void give(void *p)
{
    SIM_CHECK_EQ(SIM_READ((int *)p), 1);
    motet__arena_free(p);
}

static void buries(void *arg) { motet__member_bury(((process *)arg)->tag); }

/* Ends a process that has come to its end, or died: then who buries it may die as well. */
static void settle(process *p)
{
    sim_join(p->thread);
    if (died(p)) {
        deaths++;
        process *r = process_start(true, buries, p, "burier");
        sim_join(r->thread);
        motet__member_bury(r->tag);
    }
    motet__member_bury(p->tag);
}

/* What is left when everybody is gone and everything known is freed: all. */
static void check_whole(void)
{
    arena_usage u;
    for (int i = 0; i < SLOTS; i++)
        if (got[i])
            give(got[i]);
    motet__arena_flush();
    const char *why = motet__arena_check();
    if (why)
        sim_fail("%s", why);
    motet__arena_usage(&u);
    SIM_CHECK_EQ(u.cached, 0);
    SIM_CHECK_EQ(u.blocks[ARENA_OWNED] + u.blocks[ARENA_COUNTED], 0);
    SIM_CHECK(u.blocks[ARENA_PLAIN] <= deaths);
    if (u.blocks[ARENA_PLAIN] == 0)
        SIM_CHECK(motet__arena_alloc((size_t)arena_here()->spans * ARENA_SPAN, ARENA_PLAIN) != NULL);
}

static void both(void (*one)(void *), void (*other)(void *))
{
    process *m = mortal(one, "mortal");
    process *s = survivor(other, "other");
    sim_join(m->thread);
    if (!died(m)) {
        sim_join(s->thread);
        /* Nothing is left for who buries to mend. */
        const char *why = motet__arena_check();
        if (why)
            sim_fail("%s", why);
    }
    settle(m);
    settle(s);
    check_whole();
}

/* ---- small blocks ---------------------------------------------------------------------------------- */

static void small_one(void *arg) { got[0] = take(SMALL); }
static void small_two(void *arg) { got[1] = take(SMALL); }

static void small_and_back(void *arg)
{
    void *p = take(SMALL);
    give(p);
    got[0] = take(SMALL);
}

SIM_SCENARIO(arena_carve, .about = "two need a first span", .faults = SIM_DEATHS)
{
    begin();
    both(small_one, small_two);
}

SIM_SCENARIO(arena_refill, .about = "two take from one span", .faults = SIM_DEATHS)
{
    begin();
    give(take(SMALL));
    motet__arena_flush();
    both(small_and_back, small_two);
}

static void *passed;

static void frees_passed(void *arg)
{
    give(passed);
    motet__arena_flush();
}

SIM_SCENARIO(arena_free_others, .about = "one frees what another has allocated, into a span that others take from",
             .faults = SIM_DEATHS)
{
    begin();
    passed = take(HALF);
    void *neighbour = take(HALF);
    motet__arena_flush();
    got[2] = neighbour;
    both(frees_passed, small_two);
}

static void half_two(void *arg) { got[1] = take(HALF); }

SIM_SCENARIO(arena_hint, .about = "a span gets a free block while another finds that it has none", .faults = SIM_DEATHS)
{
    begin();
    passed = take(HALF);
    got[2] = take(HALF);
    motet__arena_flush();
    both(frees_passed, half_two);
    SIM_CHECK(atomic_load_relaxed(&arena_here()->top) >= 1);
}

/* ---- spans ----------------------------------------------------------------------------------------- */

static void reclaims(void *arg) { motet__arena_reclaim(); }

SIM_SCENARIO(arena_retire, .about = "a span is retired while another takes from it", .faults = SIM_DEATHS)
{
    begin();
    give(take(HALF));
    motet__arena_flush();
    both(reclaims, half_two);
}

SIM_SCENARIO(arena_retire_carve, .about = "a span is retired, and wanted for other blocks", .faults = SIM_DEATHS)
{
    begin();
    give(take(HALF));
    motet__arena_flush();
    both(reclaims, small_two);
}

static void large_and_back(void *arg)
{
    give(take(TWO_SPANS));
    got[0] = take(TWO_SPANS);
}

static void large_two(void *arg) { got[1] = take(TWO_SPANS + ARENA_SPAN); }

SIM_SCENARIO(arena_large, .about = "two make runs", .faults = SIM_DEATHS)
{
    begin();
    both(large_and_back, large_two);
}

SIM_SCENARIO(arena_large_split, .about = "a run that was freed becomes other runs", .faults = SIM_DEATHS)
{
    begin();
    void *p = take(TWO_SPANS), *q = take(TWO_SPANS);
    give(p);
    give(q);
    both(large_two, small_and_back);
}

static void frees_large(void *arg) { give(passed); }

SIM_SCENARIO(arena_large_free, .about = "a run is freed by another, and wanted", .faults = SIM_DEATHS)
{
    begin();
    passed = take(TWO_SPANS);
    both(frees_large, large_two);
}

/* ---- owned ----------------------------------------------------------------------------------------- */

static process *heir;
static void *owned;

static void bequeaths(void *arg)
{
    owned = motet__arena_alloc(SMALL, ARENA_OWNED);
    motet__arena_alloc(TWO_SPANS, ARENA_OWNED);
    motet__arena_give(owned, heir->tag);
}

static void dies(void *arg) {}

SIM_SCENARIO(arena_owned, .about = "who owns blocks and hands one over dies, or who is to get it", .faults = SIM_DEATHS)
{
    begin();
    heir = mortal(dies, "heir");
    process *m = mortal(bequeaths, "mortal");
    settle(heir);
    settle(m);
    check_whole();
}

/* ---- counted --------------------------------------------------------------------------------------- */

static void *counted;
static uint32_t sequence;

static void begin_counted(void)
{
    begin();
    counted = motet__arena_alloc(SMALL, ARENA_COUNTED);
    sequence = motet__arena_sequence(counted);
}

static uint64_t counted_blocks(void)
{
    arena_usage u;
    motet__arena_usage(&u);
    return u.blocks[ARENA_COUNTED];
}

static void holds(void *arg)
{
    int e = motet__arena_hold(counted, sequence);
    SIM_CHECK(e == 0 || e == -ESRCH);
    if (e == 0) {
        SIM_CHECK_EQ(motet__arena_sequence(counted), sequence);
        motet__arena_drop(counted);
    }
}

/* The main thread's hold goes while others come and go. */
static void drop_among(process *m, process *s)
{
    motet__arena_drop(counted);
    settle(m);
    settle(s);
    SIM_CHECK_EQ(counted_blocks(), 0);
    check_whole();
}

SIM_SCENARIO(arena_counted, .about = "holds come and go, and one holder dies", .faults = SIM_DEATHS)
{
    begin_counted();
    process *m = mortal(holds, "mortal"), *s = survivor(holds, "other");
    drop_among(m, s);
}

static void holds_on(void *arg)
{
    SIM_CHECK_EQ(motet__arena_hold(counted, sequence), 0);
    SIM_CHECK_EQ(motet__arena_hold(counted, sequence), 0);
    motet__arena_drop(counted);
    motet__arena_drop(counted);
}

SIM_SCENARIO(arena_counted_safe, .about = "a block that is held all the time stays", .faults = SIM_DEATHS)
{
    begin_counted();
    process *m = mortal(holds_on, "mortal"), *s = survivor(holds_on, "other");
    settle(m);
    settle(s);
    SIM_CHECK_EQ(counted_blocks(), 1);
    motet__arena_drop(counted);
    SIM_CHECK_EQ(counted_blocks(), 0);
    check_whole();
}

static void first_holder(void *arg)
{
    counted = motet__arena_alloc(SMALL, ARENA_COUNTED);
    if (counted)
        motet__arena_drop(counted);
}

SIM_SCENARIO(arena_counted_alone, .about = "who allocates a counted block dies", .faults = SIM_DEATHS)
{
    begin();
    both(first_holder, small_two);
    SIM_CHECK_EQ(counted_blocks(), 0);
}

/* ---- mistakes -------------------------------------------------------------------------------------- */

SIM_SCENARIO(broken_arena_unburied, .about = "nobody sees to the dead one's cache", .faults = SIM_DEATHS,
             .must_fail = true)
{
    begin();
    process *m = mortal(small_and_back, "mortal");
    sim_join(m->thread);
    if (!died(m))
        motet__member_bury(m->tag);
    check_whole();
}

static process *living;

static void buries_living(void *arg)
{
    motet__arena_bury(living->tag);
    got[1] = take(SMALL);
}

SIM_SCENARIO(broken_arena_robbed, .about = "recovery of one who lives", .must_fail = true)
{
    begin();
    living = survivor(small_and_back, "robbed");
    process *s = survivor(buries_living, "robber");
    settle(living);
    settle(s);
    check_whole();
}

/* Without the look at the block's word after the record. */
static void holds_blindly(void *arg)
{
    if (motet__arena_sequence(counted) != sequence || !motet__arena_first_hold(counted, sequence))
        return;
    SIM_CHECK_EQ(motet__arena_sequence(counted), sequence);
    motet__arena_drop(counted);
}

SIM_SCENARIO(broken_arena_blind_hold, .about = "a hold that does not look whether it came in time", .must_fail = true)
{
    begin_counted();
    process *m = survivor(holds_blindly, "blind"), *s = survivor(holds, "other");
    drop_among(m, s);
}

/* Without its record when it decides: nobody finds the block after its death. */
static void drops_early(void *arg)
{
    void *p = motet__arena_alloc(SMALL, ARENA_COUNTED);
    member *m = &motet__family->members[tag_place(motet__family_self())];
    uint32_t n = motet__arena_sequence(p);
    motet__record_drop(motet__record_find(m, p, RECORD_BLOCK, NULL));
    motet__arena_decide(p, n);
}

SIM_SCENARIO(broken_arena_early_drop, .about = "the record of a hold goes before the decision", .faults = SIM_DEATHS,
             .must_fail = true)
{
    begin();
    settle(mortal(drops_early, "mortal"));
    check_whole();
}
