/* SPDX-License-Identifier: MIT */
/* The seam for memory that processes share. */
#include "base/sys_shared.h"

#include "base/atomic.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#ifdef MOTET_SIM /* sim/seam_shared.h has its own, on this */

char sim_shared[SIM_SHARED_SIZE] CACHE_ALIGNED;

#else

/* Where the arena is to lie: far from where the kernel puts programs, heaps, libraries and stacks on any CPU, and from the
 * shadows of AddressSanitizer. Somewhere in there, so that it can't be foreseen. ThreadSanitizer knows no such places. */
#define PLACE_FIRST ((uintptr_t)0x200000000000) /* 32 TiB */
#define PLACE_COUNT 8192u
#define PLACE_STEP  ((uintptr_t)1 << 30)

enum { PLACE_TRIES = 8 };

int sys_shared_create(size_t size)
{
    /* Asked first, since the kernel refuses with SIGXFSZ. */
    if (size > sys_shared_size_max())
        return -EFBIG;
    int low = memfd_create("motet-arena", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (low < 0)
        return -errno;
    /* A program that has closed its standard streams will want these numbers. */
    int fd = fcntl(low, F_DUPFD_CLOEXEC, 3), e = fd < 0 ? -errno : 0;
    close(low);
    if (e == 0 &&
        (ftruncate(fd, (off_t)size) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)) {
        e = -errno;
        close(fd);
    }
    return e < 0 ? e : fd;
}

static int map_at(int fd, size_t size, uintptr_t at, void **ret)
{
    void *want = (void *)at;
    void *p = mmap(want, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE | (at ? MAP_FIXED_NOREPLACE : 0), fd,
                   0);
    if (p == MAP_FAILED)
        return -errno;
    if (at && p != want) { /* a kernel or an emulator that takes the flag for a hint */
        munmap(p, size);
        return -EEXIST;
    }
    madvise(p, size, MADV_DONTDUMP);
    *ret = p;
    return 0;
}

int sys_shared_map(int fd, size_t size, void *at, void **ret)
{
    if (at)
        return map_at(fd, size, (uintptr_t)at, ret);
#ifndef MOTET_TSAN
    for (int i = 0; i < PLACE_TRIES; i++)
        if (map_at(fd, size, PLACE_FIRST + sys_random() % PLACE_COUNT * PLACE_STEP, ret) == 0)
            return 0;
#endif
    return map_at(fd, size, 0, ret);
}

void sys_shared_unmap(void *at, size_t size) { munmap(at, size); }

static int allocate(int fd, int mode, uint64_t offset, uint64_t size)
{
    for (;;) {
        if (fallocate(fd, mode, (off_t)offset, (off_t)size) == 0)
            return 0;
        if (errno != EINTR)
            return -errno;
    }
}

/* How many bytes of memory and swap can be had without taking any from others, and how many there are; false: unknown. */
static bool memory_left(uint64_t *ret_left, uint64_t *ret_all)
{
    char line[128];
    unsigned long long kib, left = 0, all = 0;
    FILE *f = fopen("/proc/meminfo", "re");
    if (!f)
        return false;
    while (fgets(line, sizeof line, f)) {
        if (sscanf(line, "MemTotal: %llu", &kib) == 1)
            all = kib;
        else if (sscanf(line, "MemAvailable: %llu", &kib) == 1 || sscanf(line, "SwapFree: %llu", &kib) == 1)
            left += kib;
    }
    fclose(f);
    *ret_left = (uint64_t)left << 10;
    *ret_all = (uint64_t)all << 10;
    return all > 0;
}

/* Whether there is so much memory. Without that look the kernel would make room for it, at last by killing processes. Looked
 * once in a while, not for every span. */
static bool can_be_had(uint64_t size)
{
    enum { LOOK_BYTES = 16 << 20, LEFT_SHARE = 64 };
    static uint64_t since; /* the last look, bytes */
    uint64_t left, all;
    if (atomic_add_relaxed(&since, size) + size < LOOK_BYTES)
        return true;
    if (memory_left(&left, &all) && (left < size || left - size < all / LEFT_SHARE)) {
        atomic_store_relaxed(&since, LOOK_BYTES); /* look again next time */
        return false;
    }
    atomic_store_relaxed(&since, 0);
    return true;
}

int sys_shared_commit(int fd, uint64_t offset, uint64_t size)
{
    if (!can_be_had(size))
        return -ENOMEM;
    int e = allocate(fd, 0, offset, size);
    return e == -ENOSPC ? -ENOMEM : e;
}

int sys_shared_punch(int fd, uint64_t offset, uint64_t size)
{
    return allocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, size);
}

void sys_shared_dump(void *at, size_t size)
{
    uintptr_t from = (uintptr_t)at / SYS_PAGE_MAX * SYS_PAGE_MAX, to = (uintptr_t)at + size;
    madvise((void *)from, to - from, MADV_DODUMP); /* without it there is less to look at after a crash */
}

int64_t sys_shared_size(int fd)
{
    struct stat st;
    return fstat(fd, &st) < 0 ? -errno : (int64_t)st.st_size;
}

uint64_t sys_shared_size_max(void)
{
    struct rlimit r;
    return getrlimit(RLIMIT_FSIZE, &r) < 0 || r.rlim_cur == RLIM_INFINITY ? INT64_MAX : r.rlim_cur;
}

uint64_t sys_shared_size_asked(void)
{
    const char *text = secure_getenv("MOTET_ARENA_SIZE");
    if (!text || *text < '0' || *text > '9')
        return 0;
    char *end;
    unsigned long long n = strtoull(text, &end, 10);
    unsigned shift = *end == 'K' ? 10 : *end == 'M' ? 20 : *end == 'G' ? 30 : 0;
    end += shift != 0;
    return *end || n > (uint64_t)INT64_MAX >> shift ? 0 : (uint64_t)n << shift;
}

#endif
