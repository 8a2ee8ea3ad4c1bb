/* SPDX-License-Identifier: MIT */
/* The seam's second half: memory, clock, random numbers, futexes and the system calls that every floor may need.
 *
 * All return 0 or a positive answer, or a negative errno; none touches errno as an interface. What one area alone needs
 * stands beside this file: sys_thread.h (threads), sys_process.h (children). A release build compiles each to the bare
 * call. */
#ifndef MOTET_BASE_SYS_H
#define MOTET_BASE_SYS_H

#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define CACHE_LINE    64
#define CACHE_ALIGNED __attribute__((aligned(CACHE_LINE)))
#define likely(x)     __builtin_expect(!!(x), 1)
#define unlikely(x)   __builtin_expect(!!(x), 0)

/* The object that holds `member`, from a pointer to that member. */
/* clang-format off */
#define container_of(p, type, member) ((type *)(void *)((char *)(p) - offsetof(type, member)))
/* clang-format on */

static inline struct timespec sys_timespec(int64_t ns)
{
    return (struct timespec){.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
}

/* One of the words of sys_futex_wait_many. */
typedef struct sys_futex_word {
    const uint32_t *word;
    uint32_t expected;
    uint32_t of_process; /* 1: only this process sleeps on it */
} sys_futex_word;

#ifdef MOTET_SIM
#include <seam_sys.h> /* of sim/ */
#else

/* ---- memory ---------------------------------------------------------------------------------------- */

/* `size` bytes, or NULL. What comes from here goes back through sys_free. */
static inline void *sys_alloc(size_t size) { return malloc(size); }

/* `n` zeroed objects of `size` bytes each, or NULL; the product may not overflow. */
static inline void *sys_alloc_zero(size_t n, size_t size) { return calloc(n, size); }

/* As sys_alloc_zero for one object that starts on a cache line of its own. */
static inline void *sys_alloc_lines(size_t size)
{
    size_t whole = (size + CACHE_LINE - 1) & ~(size_t)(CACHE_LINE - 1);
    void *p = aligned_alloc(CACHE_LINE, whole);
    if (p)
        __builtin_memset(p, 0, whole);
    return p;
}

static inline void *sys_realloc(void *p, size_t size) { return realloc(p, size); }

static inline void sys_free(void *p) { free(p); }

/* ---- clock, random, scheduling --------------------------------------------------------------------- */

/* CLOCK_MONOTONIC in nanoseconds. */
static inline int64_t sys_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* A number nobody can foresee, from the kernel. */
uint64_t sys_random(void);

static inline void sys_yield(void) { sched_yield(); }

/* How many CPUs the calling process may be scheduled on; at least 1. */
int sys_cpus_allowed(void);

/* ---- futex (private to the process) ---------------------------------------------------------------- */

/* Sleeps while *word is `expected`, until woken or `deadline` (INT64_MAX: for ever). 0 woken or by chance; -EAGAIN the
 * word differs; -ETIMEDOUT; -EINTR. */
static inline int sys_futex_wait(const uint32_t *word, uint32_t expected, int64_t deadline)
{
    struct timespec t = sys_timespec(deadline < 0 ? 0 : deadline);
    long r = syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, expected, deadline == INT64_MAX ? NULL : &t, NULL,
                     FUTEX_BITSET_MATCH_ANY);
    return r < 0 ? -errno : 0;
}

/* Wakes up to `n` sleepers of `word`. The word's memory may be gone already: then it wakes nobody, or somebody who looks
 * again. */
static inline void sys_futex_wake(const uint32_t *word, int n)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
}

/* ---- futex (of memory that processes share) -------------------------------------------------------- */

/* As sys_futex_wait and sys_futex_wake, for sleepers in every process that maps the word. The wake says how many there were. */
static inline int sys_futex_wait_shared(const uint32_t *word, uint32_t expected, int64_t deadline)
{
    struct timespec t = sys_timespec(deadline < 0 ? 0 : deadline);
    long r = syscall(SYS_futex, word, FUTEX_WAIT_BITSET, expected, deadline == INT64_MAX ? NULL : &t, NULL,
                     FUTEX_BITSET_MATCH_ANY);
    return r < 0 ? -errno : 0;
}

static inline int sys_futex_wake_shared(const uint32_t *word, int n)
{
    long r = syscall(SYS_futex, word, FUTEX_WAKE, n, NULL, NULL, 0);
    return r < 0 ? 0 : (int)r; /* -EFAULT: the memory was unmapped, and nobody sleeps there */
}

/* Sleeps while each of `n` words is what is expected of it, at most 8. 0 woken or by chance; -EAGAIN a word differs;
 * -ETIMEDOUT; -EINTR; -ENOSYS: this kernel (before 5.16) or whoever confines the process has none of it. A handler with
 * SA_RESTART does not end it, whatever the deadline. */
int sys_futex_wait_many(const sys_futex_word *words, unsigned n, int64_t deadline);

/* ---- descriptors ----------------------------------------------------------------------------------- */

/* Waits for descriptors until `deadline`. How many are ready; 0 at the deadline; -EINTR, -EINVAL, -ENOMEM. */
int sys_poll(struct pollfd *fds, size_t n, int64_t deadline);

static inline int sys_eventfd(void)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

/* Makes the eventfd readable. */
void sys_eventfd_signal(int fd);

static inline void sys_close(int fd) { close(fd); }

#endif /* MOTET_SIM */

#endif
