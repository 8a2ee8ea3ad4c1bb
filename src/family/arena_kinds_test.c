/* SPDX-License-Identifier: MIT */
/* Blocks that are owned or counted: they die with their owner, or with the last that holds them. */
#include "family/test_arena.h"

enum { BLOCKS = 16 };

typedef struct board {
    void *blocks[BLOCKS];
    uint32_t ready, go, sequence, out;
} board;

static int idle(board *b)
{
    atomic_store_release(&b->ready, 1);
    for (;;)
        pause();
    return 0;
}

/* The board alone is left. */
static void end_of_board(board *b)
{
    CHECK_EQ(in_use(), 1);
    sound();
    motet_shared_free(b);
}

/* ---- owners ---------------------------------------------------------------------------------------- */

static int owns_some(void *arg)
{
    board *b = arg;
    for (unsigned i = 0; i < BLOCKS; i++)
        b->blocks[i] = motet__arena_alloc(i % 2 ? 100 : 100000, ARENA_OWNED);
    return idle(b);
}

TEST(what_was_owned_dies_with_its_owner)
{
    board *b = shared(sizeof *b);
    kin k = kin_start(owns_some, b);
    AWAIT(atomic_load_acquire(&b->ready));
    CHECK_EQ(in_use(), 1 + BLOCKS);
    CHECK_EQ(motet__arena_owner(b->blocks[3]), k.tag);
    CHECK_EQ(motet__arena_give(b->blocks[3], motet__family_self()), -EPERM);
    motet__arena_free(b->blocks[3]);
    kin_kill(k);
    end_of_board(b);
}

TEST(what_is_given_dies_with_who_got_it)
{
    board *b = shared(sizeof *b);
    kin k = kin_start(owns_some, b), other = kin_start(owns_some, b);
    AWAIT(in_use() == 1 + 2 * BLOCKS);
    void *small = motet__arena_alloc(10, ARENA_OWNED), *large = motet__arena_alloc(200000, ARENA_OWNED);
    CHECK_EQ(motet__arena_give(small, k.tag), 0);
    CHECK_EQ(motet__arena_give(large, k.tag), 0);
    CHECK_EQ(motet__arena_give(large, k.tag), -EPERM);
    kin_kill(other);
    CHECK_EQ(in_use(), 1 + BLOCKS + 2);
    kin_kill(k);
    CHECK_EQ(in_use(), 1);
    void *third = motet__arena_alloc(10, ARENA_OWNED);
    CHECK_EQ(motet__arena_give(third, k.tag), -ESRCH);
    end_of_board(b);
}

/* ---- holders --------------------------------------------------------------------------------------- */

/* A board with n blocks that this process holds, small and large ones. */
static board *with_counted(int n)
{
    board *b = shared(sizeof *b);
    for (int i = 0; i < n; i++)
        b->blocks[i] = motet__arena_alloc(i % 4 == 1 ? 200000 : 50, ARENA_COUNTED);
    b->sequence = motet__arena_sequence(b->blocks[0]);
    for (int i = 1; i < n; i++)
        CHECK_EQ(motet__arena_sequence(b->blocks[i]), b->sequence);
    return b;
}

static void drop_all(const board *b, int n)
{
    for (int i = 0; i < n; i++)
        motet__arena_drop(b->blocks[i]);
}

/* Holds two blocks of another, and makes a third. */
static int holds_three(void *arg)
{
    board *b = arg;
    for (int i = 0; i < 2; i++)
        if (motet__arena_hold(b->blocks[i], b->sequence) != 0)
            return 1;
    b->blocks[2] = motet__arena_alloc(300000, ARENA_COUNTED);
    if (!atomic_load_acquire(&b->out))
        return idle(b);
    drop_all(b, 3); /* in good order */
    return 0;
}

TEST(a_counted_block_survives_a_dead_holder)
{
    board *b = with_counted(2);
    kin k = kin_start(holds_three, b);
    AWAIT(atomic_load_acquire(&b->ready));
    CHECK_EQ(in_use(), 1 + 3);
    kin_kill(k);
    CHECK_EQ(in_use(), 1 + 2);
    sound();
    drop_all(b, 2);
    CHECK_EQ(in_use(), 1);
    CHECK_EQ(motet__arena_hold(b->blocks[0], b->sequence), -ESRCH);
    CHECK_EQ(motet__arena_hold(b->blocks[1], b->sequence), -ESRCH);
    end_of_board(b);
}

TEST(a_counted_block_dies_with_its_last_holder)
{
    for (int in_order = 0; in_order < 2; in_order++) {
        board *b = with_counted(2);
        CHECK_EQ(motet__arena_hold(b->blocks[0], b->sequence), 0);
        atomic_store_release(&b->out, in_order);
        kin k = kin_start(holds_three, b);
        if (in_order)
            CHECK_EQ(kin_bury(k), 0);
        else
            AWAIT(atomic_load_acquire(&b->ready));
        drop_all(b, 2);
        motet__arena_drop(b->blocks[0]);
        CHECK_EQ(in_use(), in_order ? 1 : 1 + 3);
        if (!in_order)
            kin_kill(k);
        end_of_board(b);
    }
}

/* Holds and drops blocks that the parent holds all the while. */
static int holds_and_drops(void *arg)
{
    board *b = arg;
    uint64_t random = (uint64_t)getpid();
    for (int i = 0; i < 5000 || atomic_load_relaxed(&b->go); i++) {
        void *p = b->blocks[next_random(&random) % BLOCKS];
        if (motet__arena_hold(p, b->sequence) != 0)
            return 1;
        if (next_random(&random) % 2) {
            if (motet__arena_hold(p, b->sequence) != 0)
                return 2;
            motet__arena_drop(p);
        }
        motet__arena_drop(p);
    }
    return 0;
}

TEST(holders_come_and_go)
{
    board *b = with_counted(BLOCKS);
    kin k[3];
    atomic_store_relaxed(&b->go, 1); /* until one of them is dead */
    kin_start_all(k, 3, holds_and_drops, b);
    kin_kill(k[0]);
    atomic_store_relaxed(&b->go, 0);
    kin_bury_all(k + 1, 2);
    CHECK_EQ(in_use(), 1 + BLOCKS);
    sound();
    drop_all(b, BLOCKS);
    end_of_board(b);
}
