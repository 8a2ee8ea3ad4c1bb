/* SPDX-License-Identifier: MIT */
/* The seam's system calls that are more than one line. */
#include "base/sys.h"

#include "base/atomic.h"
#include "base/panic.h"
#include "base/spin.h"

#include <sys/random.h>

#ifdef MOTET_TSAN
uint32_t motet__tsan_fence;
#endif

#ifndef MOTET_SIM /* sim/ has its own */

uint64_t sys_random(void)
{
    uint64_t number = 0;
    /* Up to 256 bytes are never cut short once the pool is ready; before that the call waits, or is interrupted. */
    while (getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number)
        MOTET_ASSERT(errno == EINTR);
    return number;
}

int sys_cpus_allowed(void)
{
    /* The kernel refuses a set smaller than its own; grow until it fits. */
    for (int cpus = 1024; cpus <= 1 << 20; cpus *= 2) {
        cpu_set_t *set = CPU_ALLOC(cpus);
        if (!set)
            break;
        size_t size = CPU_ALLOC_SIZE(cpus);
        int n = sched_getaffinity(0, size, set) == 0 ? CPU_COUNT_S(size, set) : -1;
        CPU_FREE(set);
        if (n > 0)
            return n;
    }
    return 1;
}

int sys_futex_wait_many(const sys_futex_word *words, unsigned n, int64_t deadline)
{
    enum { MOST = 8 };
    struct futex_waitv wait[MOST];
    MOTET_ASSERT(n <= MOST);
    for (unsigned i = 0; i < n; i++)
        wait[i] = (struct futex_waitv){.val = words[i].expected,
                                       .uaddr = (uintptr_t)words[i].word,
                                       .flags = FUTEX_32 | (words[i].of_process ? FUTEX_PRIVATE_FLAG : 0)};
    struct timespec t = sys_timespec(deadline < 0 ? 0 : deadline);
    long r = syscall(SYS_futex_waitv, wait, n, 0, deadline == INT64_MAX ? NULL : &t, CLOCK_MONOTONIC);
    if (r >= 0)
        return 0;
    return errno == EPERM ? -ENOSYS : -errno;
}

int sys_poll(struct pollfd *fds, size_t n, int64_t deadline)
{
    int64_t left = 0;
    if (deadline != INT64_MAX) {
        int64_t now = sys_now();
        left = deadline > now ? deadline - now : 0;
    }
    struct timespec t = sys_timespec(left);
    int r = ppoll(fds, n, deadline == INT64_MAX ? NULL : &t, NULL);
    return r < 0 ? -errno : r;
}

void sys_eventfd_signal(int fd)
{
    uint64_t one = 1;
    /* Full (2^64 - 1 signals) is readable too, and nothing else can fail. */
    while (write(fd, &one, sizeof one) < 0 && errno == EINTR) {}
}

bool motet__spin_pays(void)
{
    static uint32_t cpus; /* written with the same number by whoever comes first */
    uint32_t n = atomic_load_relaxed(&cpus);
    if (!n) {
        long online = sysconf(_SC_NPROCESSORS_ONLN);
        atomic_store_relaxed(&cpus, n = online > 1 ? (uint32_t)online : 1);
    }
    return n > 1;
}

#endif
