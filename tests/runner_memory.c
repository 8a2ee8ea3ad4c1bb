/* SPDX-License-Identifier: MIT */
/*
 * Counts the memory that the library and the tests have allocated and not freed.
 *
 * The program is linked with --wrap for each allocation function, so calls from its own objects come here and
 * libc's own do not. Live allocations stand in a table of buckets: an allocation takes the first empty slot of its
 * address's bucket, a free looks through the bucket. No slot is ever a tombstone and no lock is taken, so a raw
 * fork in a program with threads cannot leave a lock held, and all operations are relaxed, so the table orders no
 * thread's work after another's and hides no race from ThreadSanitizer. The allocator itself sees to it that one
 * address has one owner at a time. An allocation that finds its bucket full is not tracked: a leak may be missed in
 * a test with a million live blocks, but none is invented. Memory that libc allocated and the program frees
 * (getline, asprintf) is not in the table and passes through.
 */
#include "runner_internal.h"

#include <link.h>
#include <stdlib.h>

enum { BUCKET_BITS = 14, BUCKET_SLOTS = 64 };

struct slot {
    uintptr_t block; /* 0: empty */
    uintptr_t site;
    size_t size;
};

/* 24 MiB of which a test touches only the pages that its own addresses hash to. */
static struct slot table[1 << BUCKET_BITS][BUCKET_SLOTS];
static bool touched[1 << BUCKET_BITS]; /* buckets that ever held something: the others are not even looked at */
static bool tracking;

extern const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden")));

static size_t bucket_of(uintptr_t block)
{
    return (uint64_t)(block >> 4) * UINT64_C(0x9E3779B97F4A7C15) >> (64 - BUCKET_BITS);
}

static void *remember(void *pointer, size_t size, const void *site)
{
    uintptr_t block = (uintptr_t)pointer;
    if (block == 0 || !__atomic_load_n(&tracking, __ATOMIC_RELAXED))
        return pointer;
    size_t bucket = bucket_of(block);
    struct slot *slot = table[bucket];
    if (!__atomic_load_n(&touched[bucket], __ATOMIC_RELAXED))
        __atomic_store_n(&touched[bucket], true, __ATOMIC_RELAXED);
    for (int i = 0; i < BUCKET_SLOTS; i++, slot++) {
        uintptr_t empty = 0;
        if (__atomic_load_n(&slot->block, __ATOMIC_RELAXED) == 0 &&
            __atomic_compare_exchange_n(&slot->block, &empty, block, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
            __atomic_store_n(&slot->site, (uintptr_t)site, __ATOMIC_RELAXED);
            __atomic_store_n(&slot->size, size, __ATOMIC_RELAXED);
            break;
        }
    }
    return pointer;
}

/* Before the block is given back: afterwards another thread may own the address. */
static struct slot forget(const void *pointer)
{
    uintptr_t block = (uintptr_t)pointer;
    struct slot gone = {0};
    if (block == 0 || !__atomic_load_n(&tracking, __ATOMIC_RELAXED))
        return gone;
    struct slot *slot = table[bucket_of(block)];
    for (int i = 0; i < BUCKET_SLOTS; i++, slot++) {
        if (__atomic_load_n(&slot->block, __ATOMIC_RELAXED) == block) {
            gone = (struct slot){block, __atomic_load_n(&slot->site, __ATOMIC_RELAXED),
                                 __atomic_load_n(&slot->size, __ATOMIC_RELAXED)};
            __atomic_store_n(&slot->block, 0, __ATOMIC_RELAXED);
            break;
        }
    }
    return gone;
}

void memory_track_start(void) { __atomic_store_n(&tracking, true, __ATOMIC_RELAXED); }

/* The call's address as the file has it, for addr2line. */
static uintptr_t site_in_file(uintptr_t site)
{
    uintptr_t base = __ehdr_start.e_type == ET_DYN ? (uintptr_t)&__ehdr_start : 0;
    return site - 1 - base;
}

int memory_leaked(void)
{
    int blocks = 0;
    size_t bytes = 0;
    __atomic_store_n(&tracking, false, __ATOMIC_RELAXED);
    for (size_t i = 0; i < 1 << BUCKET_BITS; i++) {
        /* Atomically: of a thread that nobody joined, only the kernel knows that it has ended. */
        bool used = __atomic_load_n(&touched[i], __ATOMIC_RELAXED);
        for (size_t j = 0; used && j < BUCKET_SLOTS; j++) {
            const struct slot *slot = &table[i][j];
            if (__atomic_load_n(&slot->block, __ATOMIC_RELAXED) == 0)
                continue;
            blocks++;
            bytes += __atomic_load_n(&slot->size, __ATOMIC_RELAXED);
            if (runner_record->sites < SITES_MAX)
                runner_record->site[runner_record->sites++] = site_in_file(
                    __atomic_load_n(&slot->site, __ATOMIC_RELAXED));
        }
    }
    if (blocks > 0)
        note("leaked memory: %d blocks, %zu bytes", blocks, bytes);
    return blocks;
}

/* The linker's names for the real functions, and ours. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *pointer, size_t size);
void *__real_reallocarray(void *pointer, size_t count, size_t size);
void __real_free(void *pointer);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__real_memalign(size_t alignment, size_t size);
int __real_posix_memalign(void **out, size_t alignment, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t size);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *pointer, size_t size);
void *__wrap_reallocarray(void *pointer, size_t count, size_t size);
void __wrap_free(void *pointer);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void *__wrap_memalign(size_t alignment, size_t size);
int __wrap_posix_memalign(void **out, size_t alignment, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t size);

#define CALLER __builtin_return_address(0)

void *__wrap_malloc(size_t size) { return remember(__real_malloc(size), size, CALLER); }
void *__wrap_calloc(size_t count, size_t size) { return remember(__real_calloc(count, size), count * size, CALLER); }
char *__wrap_strdup(const char *text) { return remember(__real_strdup(text), strlen(text) + 1, CALLER); }
char *__wrap_strndup(const char *text, size_t size) { return remember(__real_strndup(text, size), size, CALLER); }

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return remember(__real_aligned_alloc(alignment, size), size, CALLER);
}

void *__wrap_memalign(size_t alignment, size_t size)
{
    return remember(__real_memalign(alignment, size), size, CALLER);
}

int __wrap_posix_memalign(void **out, size_t alignment, size_t size)
{
    int error = __real_posix_memalign(out, alignment, size);
    if (error == 0)
        remember(*out, size, CALLER);
    return error;
}

static void *moved(struct slot old, void *old_pointer, void *pointer, size_t size, const void *site)
{
    if (pointer != NULL)
        return remember(pointer, size, site);
    if (old.block != 0 && size != 0) /* it failed: the old block lives on */
        remember(old_pointer, old.size, (const void *)old.site);
    return NULL;
}

void *__wrap_realloc(void *pointer, size_t size)
{
    struct slot old = forget(pointer);
    return moved(old, pointer, __real_realloc(pointer, size), size, CALLER);
}

void *__wrap_reallocarray(void *pointer, size_t count, size_t size)
{
    struct slot old = forget(pointer);
    return moved(old, pointer, __real_reallocarray(pointer, count, size), count * size, CALLER);
}

void __wrap_free(void *pointer)
{
    forget(pointer);
    __real_free(pointer);
}
