/* SPDX-License-Identifier: MIT */
/* The arena and the limits of a process and of the machine; what it takes of memory, and leaves in a core. */
#include "family/test_arena.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

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
