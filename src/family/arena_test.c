/* SPDX-License-Identifier: MIT */
/* The arena: what every block promises, and arenas that are filled to the brim. */
#include "family/test_arena.h"

#include <sys/mman.h>

enum { LINE = 64 };

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
