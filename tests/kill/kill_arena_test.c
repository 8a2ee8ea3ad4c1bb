/* SPDX-License-Identifier: MIT */
/* The arena under the kill points: a member that dies at whatever instruction of allocating, freeing, refilling, carving,
 * retiring, making and freeing large blocks, handing over and counting; who dies while he buries it; and who came in between.
 * What is left is an arena that its checker finds nothing wrong with, in which nothing is cached or owned by the dead, and at most
 * the one block is lost that the dead one was about to get, or had just let go. And all of it can be had again. */
#include "kill/test_members.h"

#include "family/arena_internal.h"
#include "family/claim.h"

enum {
    SMALL = 2000 /* 32 in a span */,
    OTHER = 1700 /* 36 */,
    FEW = 8000 /* 8 */,
    LARGE = 100000 /* two spans */,
    SPANS = 4,
    RECORDS = 4,
    KNOWN = 3
};

static void *known[KNOWN]; /* PLAIN, of the root; an operation may free the first */
static void *counted;      /* held by the root */
static uint32_t sequence;
static struct {
    void (*operation)(void);
    bool frees;     /* known[0] */
    bool drops;     /* who comes in between drops `counted` */
    unsigned gives; /* blocks that `other` may have been given */
    unsigned long steps_max;
} act;

/* ---- members --------------------------------------------------------------------------------------- */

static void operate(void *arg)
{
    motet__family_tag = child; /* a fork's child is no member */
    act.operation();
}

/* By a child whose own burial may follow, or by the root. */
static void recover(void *arg)
{
    if (!motet__family_tag)
        motet__family_tag = burier;
    else
        motet__member_bury(burier);
    motet__member_bury(child);
}

/* Something whole, and nothing of it is left. */
static void intrude(void *arg)
{
    if (claim_held(&arena_here()->runs))
        return; /* it would wait */
    motet__family_tag = act.drops ? root : other;
    if (act.drops) {
        motet__arena_drop(counted);
    } else {
        void *p = motet__arena_alloc(SMALL, ARENA_PLAIN);
        motet__arena_free(motet__arena_alloc(SMALL, ARENA_OWNED));
        motet__arena_free(p);
    }
    motet__arena_flush();
    motet__family_tag = root;
}

/* ---- the check ------------------------------------------------------------------------------------- */

/* All spans as one block, when nothing is in use. */
static const char *take_all(void)
{
    void *p = motet__arena_alloc((size_t)arena_here()->spans * ARENA_SPAN, ARENA_PLAIN);
    motet__arena_free(p);
    return p ? NULL : "not all of the arena can be had again";
}

static const char *check(void *arg, const kill_moment *when)
{
    const char *why = motet__arena_check();
    bool dropped = act.drops && when->intrusion && motet__arena_hold(counted, sequence) < 0;
    arena_usage u;
    motet__arena_flush();
    if (why)
        return why;
    motet__arena_usage(&u);
    if (u.cached)
        return "something is still cached";
    if (u.blocks[ARENA_OWNED] > act.gives)
        return "a dead one's own block is still there";
    if (u.blocks[ARENA_PLAIN] < KNOWN - act.frees || u.blocks[ARENA_PLAIN] > KNOWN + 1u)
        return "blocks in use are missing, or too many";
    if (u.blocks[ARENA_COUNTED] != (counted && !dropped))
        return dropped ? "a block is left that nobody holds" : "a block that is held is gone";
    motet__member_bury(other);
    for (int i = act.frees; i < KNOWN; i++)
        motet__arena_free(known[i]);
    if (counted && !dropped)
        motet__arena_drop(counted);
    motet__arena_flush();
    motet__arena_usage(&u);
    if (u.blocks[ARENA_PLAIN] + u.blocks[ARENA_OWNED] + u.blocks[ARENA_COUNTED] == 0)
        why = take_all();
    return why ? why : motet__arena_check();
}

/* ---- cases ----------------------------------------------------------------------------------------- */

/* What is truth: heads, and of logs and words as much as is used. */
static const kill_part *parts(void)
{
    static kill_part all[32];
    arena_range *a = arena_here();
    unsigned n = members_parts(all, RECORDS);
    all[n++] = (kill_part){a, sizeof *a};
    all[n++] = (kill_part){a->groups, sizeof *a->groups};
    for (uint32_t s = 0; s < a->spans; s++) {
        /* Committed here, so that they can be copied. */
        uint64_t *words = word_at(a, s, 0);
        CHECK_EQ(sys_shared_commit(motet__family_fd(), (uint64_t)((char *)words - (char *)motet__family), 512), 0);
        all[n++] = (kill_part){words, 64 * sizeof *words};
    }
    return all;
}

static void begin(void)
{
    members_begin();
    CHECK_GE(arena_here()->spans, SPANS);
    for (int i = 0; i < KNOWN; i++)
        known[i] = motet__arena_alloc(SMALL, ARENA_PLAIN);
    motet__arena_flush();
}

static void begin_counted(void)
{
    begin();
    counted = motet__arena_alloc(SMALL, ARENA_COUNTED);
    CHECK(counted != NULL);
    sequence = motet__arena_sequence(counted);
    motet__arena_flush();
}

static kill_report try_all(void (*operation)(void), void (*recovery)(void *arg))
{
    act.operation = operation;
    CHECK_PTR(motet__arena_check(), NULL);
    return kill_try("arena", &(kill_case){.parts = parts(),
                                          .operation = operate,
                                          .recover = recovery,
                                          .check = check,
                                          .intrude = intrude,
                                          .real_deaths = 4,
                                          .steps_max = act.steps_max ? act.steps_max : 10000});
}

static void run(void (*operation)(void)) { CHECK_PTR(try_all(operation, recover).why, NULL); }

/* ---- operations ------------------------------------------------------------------------------------ */

static void alloc_small(void) { motet__arena_alloc(SMALL, ARENA_PLAIN); }

static void alloc_other(void) { motet__arena_alloc(OTHER, ARENA_PLAIN); }

static void free_known(void) { motet__arena_free(known[0]); }

static void free_and_flush(void)
{
    motet__arena_free(known[0]);
    motet__arena_flush();
}

static void alloc_large(void) { motet__arena_alloc(LARGE, ARENA_PLAIN); }

static void alloc_and_free_large(void) { motet__arena_free(motet__arena_alloc(LARGE, ARENA_PLAIN)); }

static void own_and_give(void)
{
    void *p = motet__arena_alloc(SMALL, ARENA_OWNED);
    motet__arena_give(p, other);
}

static void own_large(void) { motet__arena_alloc(LARGE, ARENA_OWNED); }

static void reclaim(void) { motet__arena_reclaim(); }

static void count_new(void) { motet__arena_drop(motet__arena_alloc(SMALL, ARENA_COUNTED)); }

static void hold_and_drop(void)
{
    if (motet__arena_hold(counted, sequence) == 0)
        motet__arena_drop(counted);
}

TEST_OPT(refill, .timeout_s = 120)
{
    begin();
    run(alloc_small);
}

TEST_OPT(carve, .timeout_s = 120)
{
    begin();
    run(alloc_other);
}

TEST_OPT(carve_what_was_a_run, .timeout_s = 120)
{
    begin();
    motet__arena_free(motet__arena_alloc(LARGE, ARENA_PLAIN));
    run(alloc_other);
}

TEST_OPT(free_small, .timeout_s = 120)
{
    begin();
    act.frees = true;
    run(free_known);
}

TEST_OPT(give_back, .timeout_s = 120)
{
    begin();
    act.frees = true;
    act.steps_max = 20000;
    run(free_and_flush);
}

TEST_OPT(large, .timeout_s = 120)
{
    begin();
    run(alloc_large);
}

TEST_OPT(large_and_back, .timeout_s = 120)
{
    begin();
    run(alloc_and_free_large);
}

TEST_OPT(free_large, .timeout_s = 120)
{
    begin();
    motet__arena_free(known[0]);
    motet__arena_flush();
    known[0] = motet__arena_alloc(LARGE, ARENA_PLAIN);
    act.frees = true;
    run(free_known);
}

TEST_OPT(own_and_hand_over, .timeout_s = 120)
{
    begin();
    act.gives = 1;
    run(own_and_give);
}

TEST_OPT(own_a_run, .timeout_s = 120)
{
    begin();
    run(own_large);
}

TEST_OPT(retire, .timeout_s = 120)
{
    begin();
    motet__arena_free(motet__arena_alloc(FEW, ARENA_PLAIN));
    motet__arena_free(motet__arena_alloc(LARGE, ARENA_PLAIN));
    motet__arena_flush();
    run(reclaim);
}

TEST_OPT(counted_alone, .timeout_s = 120)
{
    begin();
    run(count_new);
}

TEST_OPT(counted_by_two, .timeout_s = 120)
{
    begin_counted();
    run(hold_and_drop);
}

TEST_OPT(counted_and_dropped_by_the_other, .timeout_s = 120)
{
    begin_counted();
    act.drops = true;
    run(hold_and_drop);
}

/* ---- mistakes: each must be found ------------------------------------------------------------------ */

TEST_OPT(flaw_nobody_buries, .timeout_s = 120)
{
    begin();
    CHECK(try_all(alloc_small, forgets).why != NULL);
}

/* The log first, and only then what it says of blocks. */
static void loses_the_log(void *arg)
{
    for (int i = 0; i < RECORDS; i++)
        motet__record_drop(&motet__family->members[tag_place(child)].records[i]);
    recover(arg);
}

TEST_OPT(flaw_log_is_emptied_first, .timeout_s = 120)
{
    begin();
    CHECK(try_all(count_new, loses_the_log).why != NULL);
}

static void drop_early(void)
{
    void *p = motet__arena_alloc(SMALL, ARENA_COUNTED);
    uint32_t n = motet__arena_sequence(p);
    motet__record_drop(motet__record_find(&motet__family->members[tag_place(child)], p, RECORD_BLOCK, NULL));
    motet__arena_decide(p, n);
}

TEST_OPT(flaw_record_goes_before_the_decision, .timeout_s = 120)
{
    begin();
    CHECK(try_all(drop_early, recover).why != NULL);
}
