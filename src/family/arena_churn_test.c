/* SPDX-License-Identifier: MIT */
/* The arena in use: blocks of all sizes that come and go beside a map of who has what; threads and processes that free each
 * other's blocks, and are killed. */
#include "family/test_arena.h"

enum { SLOTS = 512 };

static size_t some_size(uint64_t *random)
{
    uint64_t r = next_random(random);
    return r % 16 == 0 ? 1 + next_random(random) % 400000 : r % 4 == 0 ? 1 + next_random(random) % 30000 : 1 + r % 700;
}

/* The first bytes of each block say how large it is; the last one is written too. */
static void write_block(char *p, size_t size)
{
    CHECK(is_zero(p, size));
    p[size - 1] = 0x55;
    if (size >= sizeof size)
        memcpy(p, &size, sizeof size);
}

/* No two blocks overlap: each is filled with its own number, and then still is. */
TEST(blocks_never_overlap)
{
    static char *blocks[SLOTS];
    static size_t sizes[SLOTS];
    uint64_t random = 7;
    for (int i = 0; i < 30000; i++) {
        unsigned s = (unsigned)(next_random(&random) % SLOTS);
        if (blocks[s]) {
            CHECK(blocks[s][0] == (char)s && blocks[s][sizes[s] - 1] == (char)s);
            CHECK_MEM(blocks[s], blocks[s] + 1, sizes[s] - 1);
            motet_shared_free(blocks[s]);
            blocks[s] = NULL;
            continue;
        }
        sizes[s] = some_size(&random);
        blocks[s] = motet_shared_alloc(sizes[s]);
        CHECK(blocks[s] && is_zero(blocks[s], sizes[s]));
        memset(blocks[s], (int)s, sizes[s]);
    }
    sound();
    for (unsigned s = 0; s < SLOTS; s++)
        motet_shared_free(blocks[s]);
    CHECK_EQ(in_use(), 0);
    sound();
}

/* ---- a map in the arena, from which all take each other's blocks ------------------------------------- */

static void **new_map(void) { return motet_shared_alloc(SLOTS * sizeof(void *)); }

/* Puts new blocks in slots and frees what it finds there. */
static void churn(void **map, uint64_t random, int steps)
{
    for (int i = 0; i < steps; i++) {
        void **slot = &map[next_random(&random) % SLOTS];
        size_t size = some_size(&random);
        char *p = next_random(&random) % 2 ? motet_shared_alloc(size) : NULL;
        if (p)
            write_block(p, size);
        motet_shared_free(atomic_exchange_acq_rel(slot, p));
    }
}

static void clear_map(void **map)
{
    for (int i = 0; i < SLOTS; i++) {
        motet_shared_free(map[i]);
        map[i] = NULL;
    }
}

/* Only the map is left when it has been cleared. */
static void end_of_map(void **map)
{
    sound();
    clear_map(map);
    CHECK_EQ(in_use(), 1);
    motet_shared_free(map);
    sound();
}

struct churner {
    void **map;
    uint64_t random;
};

static void *churn_thread(void *arg)
{
    struct churner *c = arg;
    churn(c->map, c->random, 20000);
    return NULL;
}

TEST(threads_free_each_others_blocks)
{
    void **map = new_map();
    pthread_t threads[4];
    struct churner c[4];
    for (unsigned i = 0; i < 4; i++) {
        c[i] = (struct churner){map, 100 + i};
        CHECK_EQ(pthread_create(&threads[i], NULL, churn_thread, &c[i]), 0);
    }
    for (unsigned i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    end_of_map(map);
}

static int churn_process(void *arg)
{
    struct churner *c = arg;
    churn(c->map, c->random + (uint64_t)getpid(), 20000);
    return 0;
}

static void churn_with_processes(void)
{
    enum { N = 3 };
    struct churner c = {new_map(), 1};
    kin k[N];
    kin_start_all(k, N, churn_process, &c);
    churn(c.map, 5, 20000);
    kin_bury_all(k, N);
    end_of_map(c.map);
}

TEST(processes_free_each_others_blocks)
{
    churn_with_processes();
    motet__arena_flush();
    arena_usage u;
    motet__arena_usage(&u);
    CHECK_EQ(u.cached, 0);
    sound();
}

/* So that spans become runs and small ones again all the time. */
TEST(processes_crowd_a_small_arena)
{
    small_arena("4M");
    churn_with_processes();
}

static int churn_for_ever(void *arg)
{
    struct churner *c = arg;
    for (uint64_t i = 0; i < UINT64_MAX; i++)
        churn(c->map, c->random + i, 100);
    return 0;
}

/* Killed at any instruction: at most the block that it was about to put or had just taken is lost. */
TEST(killed_while_it_allocates)
{
    enum { KILLS = 60 };
    small_arena("8M");
    void **map = new_map();
    for (int i = 0; i < KILLS; i++) {
        struct churner c = {map, (uint64_t)i * 1000};
        kin k[2];
        kin_start_all(k, 2, churn_for_ever, &c);
        churn(map, (uint64_t)i + 50000, 300);
        kin_kill(k[0]);
        kin_kill(k[1]);
        sound();
    }
    unsigned left = 0;
    for (int i = 0; i < SLOTS; i++)
        left += map[i] != NULL;
    CHECK_LE(in_use() - 1 - left, 2 * 2 * KILLS); /* in each: one on its way there, one on its way back */
    clear_map(map);
    CHECK_LE(in_use() - 1, 2 * 2 * KILLS);
    sound();
    motet_shared_free(map);
}
