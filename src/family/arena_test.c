/* SPDX-License-Identifier: MIT */
/* The arena: what every block promises, small arenas filled to the brim, threads and processes that free each other's
 * blocks beside a map of who has what, owners and holders that are killed, limits. */
#include "family/test_family.h"

#include <motet/ipc.h>

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

enum { LINE = 64 };

static void small_arena(const char *size)
{
    CHECK_EQ(setenv("MOTET_ARENA_SIZE", size, 1), 0);
    CHECK_EQ(motet__family_open(), 0);
}

static void sound(void)
{
    const char *why = motet__arena_check();
    if (why)
        LOG("%s", why);
    CHECK_PTR(why, NULL);
}

static uint64_t in_use(void)
{
    arena_usage u;
    motet__arena_usage(&u);
    return u.blocks[0] + u.blocks[1] + u.blocks[2];
}

static bool is_zero(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i])
            return false;
    return true;
}

static uint64_t committed(void)
{
    struct stat st;
    CHECK_EQ(fstat(motet__family_fd(), &st), 0);
    return (uint64_t)st.st_blocks * 512;
}

static void works(void)
{
    char *p = motet_shared_alloc(1000), *q = motet_shared_alloc(500000);
    CHECK(p && q && is_zero(q, 500000));
    memset(q, 1, 500000);
    motet_shared_free(p);
    motet_shared_free(q);
    sound();
}

/* ---- one block ------------------------------------------------------------------------------------- */

TEST(every_size_is_zeroed_aligned_and_its_own)
{
    static char *blocks[40000];
    unsigned n = 0;
    for (int round = 0; round < 3; round++) {
        n = 0;
        for (size_t size = 1; size < 300000; size += size < 1100 ? 1 : size / 61) {
            char *p = motet_shared_alloc(size);
            CHECK(p != NULL && (uintptr_t)p % LINE == 0 && motet_shared_contains(p) &&
                  motet_shared_contains(p + size - 1));
            CHECK(is_zero(p, size));
            memset(p, 1 + (int)(n % 200), size);
            blocks[n++] = p;
        }
        CHECK_EQ(in_use(), n);
        sound();
        unsigned i = 0;
        for (size_t size = 1; size < 300000; size += size < 1100 ? 1 : size / 61, i++) {
            CHECK(blocks[i][0] == (char)(1 + i % 200) && blocks[i][size - 1] == (char)(1 + i % 200));
            CHECK_MEM(blocks[i], blocks[i] + 1, size - 1);
            motet_shared_free(blocks[i]);
        }
        CHECK_EQ(in_use(), 0);
    }
    sound();
}

TEST(nothing_is_freed_and_nothing_given_for_nothing)
{
    CHECK(!motet_shared_contains(&errno));
    CHECK(!motet_shared_contains(NULL));
    CHECK_PTR(motet_shared_alloc(0), NULL);
    CHECK(motet__family == NULL);
    motet_shared_free(NULL);
    void *p = motet_shared_alloc(1);
    CHECK(p != NULL);
    CHECK_PTR(motet_shared_alloc(0), NULL);
    CHECK_PTR(motet_shared_alloc(SIZE_MAX), NULL);
    CHECK_PTR(motet_shared_alloc(PTRDIFF_MAX), NULL);
    CHECK_PTR(motet_shared_alloc(motet__family->size), NULL);
    CHECK(!motet_shared_contains((char *)motet__family - 1));
    CHECK(motet_shared_contains(motet__family));
    CHECK(!motet_shared_contains((char *)motet__family + motet__family->size));
    motet_shared_free(p);
}

TEST(a_span_is_used_up_before_another_is_begun)
{
    enum { N = 4000, SIZE = 64 };
    static void *blocks[N];
    arena_usage u;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < N; i++)
            CHECK((blocks[i] = motet_shared_alloc(SIZE)) != NULL);
        motet__arena_usage(&u);
        CHECK_LE(u.spans_small, (N + 64) * SIZE / 65536 + 1);
        for (int i = 0; i < N; i++)
            motet_shared_free(blocks[(i * 7) % N]);
    }
}

TEST(a_size_is_rounded_by_no_more_than_half_of_it)
{
    for (size_t size = 64; size <= 32768; size++) {
        arena_usage u;
        void *p = motet_shared_alloc(size);
        if (size % 64 == 1 || size % 64 == 0) {
            motet__arena_usage(&u);
            CHECK_LE(u.bytes[ARENA_PLAIN], size == 64 ? 64 : size <= 512 ? size + 63 : size + size / 2 + 64);
        }
        motet_shared_free(p);
    }
}

TEST_OPT(freed_twice, .signal = SIGABRT, .may_leak = true)
{
    char *p = motet_shared_alloc(100);
    motet_shared_free(p);
    motet_shared_free(p);
}

TEST_OPT(large_freed_twice, .signal = SIGABRT, .may_leak = true)
{
    char *p = motet_shared_alloc(1000000);
    motet_shared_free(p);
    motet_shared_free(p);
}

TEST_OPT(freed_in_the_middle, .signal = SIGABRT, .may_leak = true)
{
    char *p = motet_shared_alloc(1000);
    motet_shared_free(p + 64);
}

TEST_OPT(large_freed_in_the_middle, .signal = SIGABRT, .may_leak = true)
{
    char *p = motet_shared_alloc(1000000);
    motet_shared_free(p + 65536);
}

TEST_OPT(not_of_the_arena, .signal = SIGABRT, .may_leak = true)
{
    motet_shared_alloc(1000);
    char here[100];
    motet_shared_free(here);
}

TEST_OPT(not_of_any_arena, .signal = SIGABRT, .may_leak = true)
{
    char here[100];
    motet_shared_free(here);
}

TEST_OPT(of_another_kind, .signal = SIGABRT, .may_leak = true)
{
    CHECK_EQ(motet__family_open(), 0);
    motet_shared_free(motet__arena_alloc(100, ARENA_OWNED));
}

TEST_OPT(of_bookkeeping, .signal = SIGABRT, .may_leak = true)
{
    motet_shared_alloc(1000);
    motet_shared_free(motet__family->members);
}

/* ---- the brim -------------------------------------------------------------------------------------- */

/* Allocates blocks until there is no more; each is written full. How many. */
static unsigned fill(size_t size, char **blocks, unsigned most)
{
    unsigned n = 0;
    char *p;
    while (n < most && (p = motet_shared_alloc(size)) != NULL) {
        CHECK(is_zero(p, size));
        memset(p, 0xee, size);
        blocks[n++] = p;
    }
    CHECK_LT(n, most);
    return n;
}

static void empty(char **blocks, unsigned n, unsigned stride)
{
    for (unsigned from = 0; from < stride; from++)
        for (unsigned i = from; i < n; i += stride)
            motet_shared_free(blocks[i]);
}

TEST(an_arena_is_full_and_empty_again_in_every_size)
{
    static char *blocks[200000];
    static const size_t sizes[] = {64, 100, 1000, 5000, 32768, 40000, 65536, 70000, 300000, 1000000};
    unsigned first[10];
    small_arena("8M");
    for (int round = 0; round < 3; round++)
        for (unsigned i = 0; i < 10; i++) {
            unsigned n = fill(sizes[i], blocks, 200000);
            /* Large ones take whole spans of room (not of memory). */
            size_t room = sizes[i] > 32768 ? (sizes[i] + 65535) / 65536 * 65536 : sizes[i];
            if (round == 0)
                CHECK_GE(n * room, 4800000);
            else
                CHECK_EQ(n, first[i]);
            first[i] = n;
            CHECK_EQ(in_use(), n);
            sound();
            empty(blocks, n, i % 2 ? 3 : 7);
            CHECK_EQ(in_use(), 0);
            sound();
        }
}

TEST(holes_become_room)
{
    static char *blocks[2000];
    small_arena("8M");
    unsigned n = fill(65536, blocks, 2000);
    for (unsigned i = 0; i < n; i += 2)
        motet_shared_free(blocks[i]);
    CHECK_PTR(motet_shared_alloc(65537), NULL);
    for (unsigned i = 1; i < n; i += 2)
        motet_shared_free(blocks[i]);
    CHECK_EQ(in_use(), 0);
    char *all = motet_shared_alloc((size_t)n * 65536);
    CHECK(all && is_zero(all, (size_t)n * 65536));
    CHECK_PTR(motet_shared_alloc(1), NULL);
    motet_shared_free(all);
    sound();
}

TEST(large_blocks_go_back_to_the_kernel)
{
    char *p = motet_shared_alloc(64 << 20);
    memset(p, 1, 64 << 20);
    unsigned char present[16];
    motet_shared_free(p);
    CHECK_EQ(mincore(p, sizeof present * 4096, present), 0);
    for (unsigned i = 0; i < sizeof present; i++)
        CHECK_EQ(present[i] & 1, 0);
    char *q = motet_shared_alloc(64 << 20);
    CHECK_PTR(q, p);
    CHECK(is_zero(q, 64 << 20));
    motet_shared_free(q);
}

/* ---- a map beside it ------------------------------------------------------------------------------- */

enum { SLOTS = 512 };

static uint64_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

static size_t some_size(uint64_t *random)
{
    uint64_t r = next_random(random);
    return r % 16 == 0 ? 1 + next_random(random) % 400000 : r % 4 == 0 ? 1 + next_random(random) % 30000 : 1 + r % 700;
}

/* What a slot of the map says of a block: the map lies in the arena too, and processes take blocks from each other there. */
typedef struct slot {
    uint64_t block;
} slot;

/* The first bytes of each block say how large it is; the last one is written too. */
static void write_block(char *p, size_t size)
{
    CHECK(is_zero(p, size));
    p[size - 1] = 0x55;
    if (size >= sizeof size)
        memcpy(p, &size, sizeof size);
}

/* Puts new blocks in slots and frees what it finds there. */
static void churn(slot *map, uint64_t random, int steps)
{
    for (int i = 0; i < steps; i++) {
        slot *s = &map[next_random(&random) % SLOTS];
        size_t size = some_size(&random);
        char *p = next_random(&random) % 2 ? motet_shared_alloc(size) : NULL;
        if (p)
            write_block(p, size);
        char *was = (char *)(uintptr_t)atomic_exchange_acq_rel(&s->block, (uint64_t)(uintptr_t)p);
        motet_shared_free(was);
    }
}

static void clear_map(slot *map)
{
    for (int i = 0; i < SLOTS; i++) {
        motet_shared_free((void *)(uintptr_t)map[i].block);
        map[i].block = 0;
    }
}

/* No two blocks of the map overlap: each is filled with its own number, and then still is. */
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

struct churner {
    slot *map;
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
    slot *map = motet_shared_alloc(SLOTS * sizeof *map);
    pthread_t threads[4];
    struct churner c[4];
    for (unsigned i = 0; i < 4; i++) {
        c[i] = (struct churner){map, 100 + i};
        CHECK_EQ(pthread_create(&threads[i], NULL, churn_thread, &c[i]), 0);
    }
    for (unsigned i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    sound();
    clear_map(map);
    CHECK_EQ(in_use(), 1);
    motet_shared_free(map);
    sound();
}

static int churn_process(void *arg)
{
    struct churner *c = arg;
    churn(c->map, c->random + (uint64_t)getpid(), 20000);
    return 0;
}

TEST(processes_free_each_others_blocks)
{
    slot *map = motet_shared_alloc(SLOTS * sizeof *map);
    struct churner c = {map, 1};
    kin k[3];
    for (unsigned i = 0; i < 3; i++)
        k[i] = kin_start(churn_process, &c);
    churn(map, 5, 20000);
    for (unsigned i = 0; i < 3; i++)
        CHECK_EQ(kin_bury(k[i]), 0);
    sound();
    clear_map(map);
    CHECK_EQ(in_use(), 1);
    motet_shared_free(map);
    motet__arena_flush();
    arena_usage u;
    motet__arena_usage(&u);
    CHECK_EQ(u.cached, 0);
    sound();
}

/* In a small arena, so that spans become runs and small ones again all the time. */
TEST(processes_crowd_a_small_arena)
{
    small_arena("4M");
    slot *map = motet_shared_alloc(SLOTS * sizeof *map);
    struct churner c = {map, 1};
    kin k[3];
    for (unsigned i = 0; i < 3; i++)
        k[i] = kin_start(churn_process, &c);
    churn(map, 5, 20000);
    for (unsigned i = 0; i < 3; i++)
        CHECK_EQ(kin_bury(k[i]), 0);
    sound();
    clear_map(map);
    CHECK_EQ(in_use(), 1);
    sound();
    motet_shared_free(map);
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
    small_arena("8M");
    slot *map = motet_shared_alloc(SLOTS * sizeof *map);
    uint32_t *steps = motet_shared_alloc(sizeof *steps);
    enum { KILLS = 60 };
    for (int i = 0; i < KILLS; i++) {
        struct churner c = {map, (uint64_t)i * 1000};
        kin k[2] = {kin_start(churn_for_ever, &c), kin_start(churn_for_ever, &c)};
        churn(map, (uint64_t)i + 50000, 300);
        kin_kill(k[0]);
        kin_kill(k[1]);
        sound();
    }
    unsigned left = 0;
    for (int i = 0; i < SLOTS; i++)
        left += map[i].block != 0;
    CHECK_LE(in_use() - 2 - left, 2 * 2 * KILLS); /* in each: one on its way there, one on its way back */
    clear_map(map);
    CHECK_LE(in_use() - 2, 2 * 2 * KILLS);
    sound();
    motet_shared_free(steps);
    motet_shared_free(map);
}

/* ---- owners ---------------------------------------------------------------------------------------- */

typedef struct board {
    uint64_t blocks[16];
    uint32_t ready, go, sequence, out;
} board;

static void idle(board *b)
{
    atomic_store_release(&b->ready, 1);
    for (;;)
        pause();
}

static int owns_some(void *arg)
{
    board *b = arg;
    for (unsigned i = 0; i < 16; i++)
        b->blocks[i] = (uint64_t)(uintptr_t)motet__arena_alloc(i % 2 ? 100 : 100000, ARENA_OWNED);
    idle(b);
    return 0;
}

TEST(what_was_owned_dies_with_its_owner)
{
    board *b = shared(sizeof *b);
    kin k = kin_start(owns_some, b);
    AWAIT(atomic_load_acquire(&b->ready));
    CHECK_EQ(in_use(), 17);
    CHECK_EQ(motet__arena_owner((void *)(uintptr_t)b->blocks[3]), k.tag);
    CHECK_EQ(motet__arena_give((void *)(uintptr_t)b->blocks[3], motet__family_self()), -EPERM);
    motet__arena_free((void *)(uintptr_t)b->blocks[3]);
    kin_kill(k);
    CHECK_EQ(in_use(), 1);
    sound();
    motet_shared_free(b);
}

TEST(what_is_given_dies_with_who_got_it)
{
    board *b = shared(sizeof *b);
    kin k = kin_start(owns_some, b), other = kin_start(owns_some, b);
    AWAIT(in_use() == 33);
    void *small = motet__arena_alloc(10, ARENA_OWNED), *large = motet__arena_alloc(200000, ARENA_OWNED);
    CHECK_EQ(motet__arena_give(small, k.tag), 0);
    CHECK_EQ(motet__arena_give(large, k.tag), 0);
    CHECK_EQ(motet__arena_give(large, k.tag), -EPERM);
    kin_kill(other);
    CHECK_EQ(in_use(), 19);
    kin_kill(k);
    CHECK_EQ(in_use(), 1);
    void *third = motet__arena_alloc(10, ARENA_OWNED);
    CHECK_EQ(motet__arena_give(third, k.tag), -ESRCH);
    CHECK_EQ(in_use(), 1);
    sound();
    motet_shared_free(b);
}

/* ---- holders --------------------------------------------------------------------------------------- */

static int holds_two(void *arg)
{
    board *b = arg;
    for (int i = 0; i < 2; i++)
        if (motet__arena_hold((void *)(uintptr_t)b->blocks[i], b->sequence) != 0)
            return 1;
    b->blocks[2] = (uint64_t)(uintptr_t)motet__arena_alloc(300000, ARENA_COUNTED);
    if (atomic_load_acquire(&b->out)) { /* in good order */
        motet__arena_drop((void *)(uintptr_t)b->blocks[0]);
        motet__arena_drop((void *)(uintptr_t)b->blocks[1]);
        motet__arena_drop((void *)(uintptr_t)b->blocks[2]);
        return 0;
    }
    idle(b);
    return 0;
}

static board *two_counted(void)
{
    board *b = shared(sizeof *b);
    for (int i = 0; i < 2; i++)
        b->blocks[i] = (uint64_t)(uintptr_t)motet__arena_alloc(i ? 200000 : 50, ARENA_COUNTED);
    b->sequence = motet__arena_sequence((void *)(uintptr_t)b->blocks[0]);
    CHECK_EQ(b->sequence, motet__arena_sequence((void *)(uintptr_t)b->blocks[1]));
    return b;
}

static void drop_two(board *b)
{
    for (int i = 0; i < 2; i++)
        motet__arena_drop((void *)(uintptr_t)b->blocks[i]);
}

TEST(a_counted_block_survives_a_dead_holder)
{
    board *b = two_counted();
    kin k = kin_start(holds_two, b);
    AWAIT(atomic_load_acquire(&b->ready));
    CHECK_EQ(in_use(), 4);
    kin_kill(k);
    CHECK_EQ(in_use(), 3);
    sound();
    drop_two(b);
    CHECK_EQ(in_use(), 1);
    CHECK_EQ(motet__arena_hold((void *)(uintptr_t)b->blocks[0], b->sequence), -ESRCH);
    CHECK_EQ(motet__arena_hold((void *)(uintptr_t)b->blocks[1], b->sequence), -ESRCH);
    sound();
    motet_shared_free(b);
}

TEST(a_counted_block_dies_with_its_last_holder)
{
    for (int in_order = 0; in_order < 2; in_order++) {
        board *b = two_counted();
        CHECK_EQ(motet__arena_hold((void *)(uintptr_t)b->blocks[0], b->sequence), 0);
        atomic_store_release(&b->out, in_order);
        kin k = kin_start(holds_two, b);
        if (!in_order)
            AWAIT(atomic_load_acquire(&b->ready));
        if (in_order)
            CHECK_EQ(kin_bury(k), 0);
        drop_two(b);
        motet__arena_drop((void *)(uintptr_t)b->blocks[0]);
        CHECK_EQ(in_use(), in_order ? 1 : 4);
        if (!in_order)
            kin_kill(k);
        CHECK_EQ(in_use(), 1);
        sound();
        motet_shared_free(b);
    }
}

/* Each takes blocks out of the slots by a hold, and drops them: the slot's own hold is the parent's. */
static int holds_and_drops(void *arg)
{
    board *b = arg;
    uint64_t random = (uint64_t)getpid();
    for (int i = 0; i < 5000 || atomic_load_relaxed(&b->go); i++) {
        void *p = (void *)(uintptr_t)b->blocks[next_random(&random) % 16];
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
    board *b = shared(sizeof *b);
    for (int i = 0; i < 16; i++)
        b->blocks[i] = (uint64_t)(uintptr_t)motet__arena_alloc(i % 4 ? 50 : 70000, ARENA_COUNTED);
    b->sequence = motet__arena_sequence((void *)(uintptr_t)b->blocks[0]);
    kin k[3];
    atomic_store_relaxed(&b->go, 1); /* until one of them is dead */
    for (int i = 0; i < 3; i++)
        k[i] = kin_start(holds_and_drops, b);
    kin_kill(k[0]);
    atomic_store_relaxed(&b->go, 0);
    CHECK_EQ(kin_bury(k[1]), 0);
    CHECK_EQ(kin_bury(k[2]), 0);
    CHECK_EQ(in_use(), 17);
    sound();
    for (int i = 0; i < 16; i++)
        motet__arena_drop((void *)(uintptr_t)b->blocks[i]);
    CHECK_EQ(in_use(), 1);
    sound();
    motet_shared_free(b);
}

/* More than the machine has is refused, and nobody is killed for it. */
TEST(more_than_there_is)
{
    enum { BLOCKS = 8 };
    uint64_t all = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    void *p = motet_shared_alloc(1000);
    CHECK(p != NULL);
    if (all > motet__family->size / 8 * 7)
        SKIP("the machine has more memory than the arena");
    CHECK_PTR(motet_shared_alloc(all), NULL);
    CHECK_EQ(in_use(), 1);
    /* What a refused block took is given back. */
    for (int i = 0; i < BLOCKS; i++)
        CHECK_PTR(motet_shared_alloc(all), NULL);
    CHECK_LT(committed(), 64 << 20);
    motet_shared_free(p);
    works();
}

/* ---- limits ---------------------------------------------------------------------------------------- */

static void limit(int what, rlim_t n)
{
    struct rlimit r = {n, n};
    CHECK_EQ(setrlimit(what, &r), 0);
}

TEST(with_few_descriptors)
{
    limit(RLIMIT_NOFILE, 64);
    works();
    CHECK(fcntl(motet__family_fd(), F_GETFD) & FD_CLOEXEC);
}

TEST(with_no_descriptor)
{
    struct rlimit before, none = {.rlim_cur = 3};
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    none.rlim_max = before.rlim_max;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    CHECK_EQ(motet__family_open(), -EMFILE);
    CHECK_PTR(motet_shared_alloc(1), NULL);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
    works();
}

TEST(with_little_address_space)
{
#if defined(TEST_UNDER_TSAN) || defined(TEST_UNDER_ASAN)
    SKIP("sanitizers need more of it than any limit");
#endif
    limit(RLIMIT_AS, 400 << 20);
    works();
    CHECK_LT(motet__family->size, 400 << 20);
    CHECK_GE(motet__family->size, 100 << 20);
    CHECK_PTR(motet_shared_alloc(500 << 20), NULL);
}

TEST(with_small_files)
{
    limit(RLIMIT_FSIZE, 100 << 20);
    works();
    CHECK_LE(motet__family->size, 100 << 20);
}

TEST(with_tiny_files)
{
    limit(RLIMIT_FSIZE, 1000);
    CHECK_EQ(motet__family_open(), -ENOMEM);
    CHECK_PTR(motet_shared_alloc(1), NULL);
}

TEST(a_size_that_is_none)
{
    static const char *const bad[] = {"", "x", "-1", "0", "1T", "99999999999999999999", "12M3", " 1M"};
    CHECK_EQ(setenv("MOTET_ARENA_SIZE", bad[getpid() % 8], 1), 0);
    works();
}

/* ---- crashes --------------------------------------------------------------------------------------- */

/* The kernel commits what it dumps, so it must not be all that there might be. Whether a core is written is another's matter:
 * looked at is what the mapping says of itself. */
TEST(a_core_dump_has_what_is_used)
{
    char *p = motet_shared_alloc(100), line[512];
    unsigned long from = 0, to = 0, dumped = 0, not_dumped = 0;
    bool inside = false, has_block = false;
    CHECK(p != NULL);
    FILE *f = fopen("/proc/self/smaps", "re");
    CHECK(f != NULL);
    while (fgets(line, sizeof line, f)) {
        unsigned long first, end;
        if (sscanf(line, "%lx-%lx", &first, &end) == 2) {
            from = first;
            to = end;
            inside = motet_shared_contains((void *)from);
        }
        if (!inside || strncmp(line, "VmFlags:", 8) != 0)
            continue;
        bool dump = strstr(line, " dd") == NULL;
        *(dump ? &dumped : &not_dumped) += to - from;
        has_block |= dump && (uintptr_t)p >= from && (uintptr_t)p < to;
    }
    fclose(f);
    CHECK(has_block);
    CHECK_LT(dumped, 16 << 20);
    CHECK_EQ(dumped + not_dumped, motet__family->size);
    CHECK_LT(committed(), 16 << 20);
    motet_shared_free(p);
}
