/* SPDX-License-Identifier: MIT */
/*
 * The functions that the library under test calls in place of libc's. A child of clone, on the memory of its parent,
 * calls them as well, so they are as little instrumented as that side of src/base/sys_process.c.
 */
#include "inject.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__clang__)
#define RAW __attribute__((noinline, disable_sanitizer_instrumentation))
#else
#define RAW __attribute__((noinline, no_sanitize("address", "thread", "undefined")))
#endif

struct fault_plan *fault_plan;

extern const char __ehdr_start __attribute__((visibility("hidden")));

/* `frame` is that of the function called by the library; all above have a frame pointer. */
RAW static void remember(struct fault_plan *plan, void *const *frame)
{
    unsigned place = __atomic_fetch_add(&plan->hits, 1, __ATOMIC_RELAXED);
    if (place >= FAULT_HITS_MAX)
        return;
    struct fault_hit *hit = &plan->hit[place];
    for (int i = 0; i < FAULT_FRAMES; i++) {
        hit->at[i] = (uintptr_t)frame[1] - (uintptr_t)&__ehdr_start;
        void *const *next = (void *const *)frame[0];
        /* Where a thread begins the chain may end in anything. */
        if (next <= frame || (uintptr_t)next - (uintptr_t)frame > 64 * 1024 || ((uintptr_t)next & 7))
            break;
        frame = next;
    }
}

/* Whether this call fails. */
RAW static bool strikes(enum fault_class class, void *const *frame)
{
    struct fault_plan *plan = fault_plan;
    if (!plan || plan->class != class || !__atomic_load_n(&plan->armed, __ATOMIC_RELAXED))
        return false;
    unsigned n = __atomic_add_fetch(&plan->calls, 1, __ATOMIC_RELAXED);
    if (n < plan->first || n > plan->last)
        return false;
    if (plan->seed && (n + plan->seed * 0x10001u) * 0x9E3779B1u >> 31)
        return false;
    remember(plan, frame);
    __atomic_fetch_add(&plan->struck, 1, __ATOMIC_RELAXED);
    return true;
}

#define STRIKES(class) strikes(class, __builtin_frame_address(0))
#define FAIL_IF(class, error, result) \
    do {                              \
        if (STRIKES(class)) {         \
            errno = (error);          \
            return (result);          \
        }                             \
    } while (0)

/* ---- memory ---------------------------------------------------------------------------------------- */

void *fault_malloc(size_t size);
void *fault_calloc(size_t n, size_t size);
void *fault_realloc(void *p, size_t size);
void *fault_aligned_alloc(size_t alignment, size_t size);
cpu_set_t *fault_cpualloc(size_t count);

RAW void *fault_malloc(size_t size)
{
    FAIL_IF(FAULT_MEMORY, ENOMEM, NULL);
    return malloc(size);
}

RAW void *fault_calloc(size_t n, size_t size)
{
    FAIL_IF(FAULT_MEMORY, ENOMEM, NULL);
    return calloc(n, size);
}

RAW void *fault_realloc(void *p, size_t size)
{
    FAIL_IF(FAULT_MEMORY, ENOMEM, NULL);
    return realloc(p, size);
}

RAW void *fault_aligned_alloc(size_t alignment, size_t size)
{
    FAIL_IF(FAULT_MEMORY, ENOMEM, NULL);
    return aligned_alloc(alignment, size);
}

RAW cpu_set_t *fault_cpualloc(size_t count)
{
    FAIL_IF(FAULT_MEMORY, ENOMEM, NULL);
    return CPU_ALLOC(count);
}

/* ---- threads --------------------------------------------------------------------------------------- */

int fault_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg);
int fault_pthread_key_create(pthread_key_t *key, void (*destroy)(void *));
int fault_pthread_setspecific(pthread_key_t key, const void *value);
int fault_atexit(void (*run)(void));

RAW int fault_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg)
{
    return STRIKES(FAULT_CALL) ? EAGAIN : pthread_create(thread, attr, run, arg);
}

RAW int fault_pthread_key_create(pthread_key_t *key, void (*destroy)(void *))
{
    return STRIKES(FAULT_CALL) ? EAGAIN : pthread_key_create(key, destroy);
}

/* Taking a value away needs no memory. */
RAW int fault_pthread_setspecific(pthread_key_t key, const void *value)
{
    return value && STRIKES(FAULT_CALL) ? ENOMEM : pthread_setspecific(key, value);
}

RAW int fault_atexit(void (*run)(void)) { return STRIKES(FAULT_CALL) ? -1 : atexit(run); }

/* ---- descriptors ----------------------------------------------------------------------------------- */

int fault_eventfd(unsigned value, int flags);
int fault_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask);
int fault_pipe2(int ends[2], int flags);
int fault_fcntl(int fd, int command, ...);
ssize_t fault_read(int fd, void *data, size_t size);
ssize_t fault_write(int fd, const void *data, size_t size);
FILE *fault_fopen(const char *path, const char *mode);

RAW int fault_eventfd(unsigned value, int flags)
{
    FAIL_IF(FAULT_CALL, EMFILE, -1);
    return eventfd(value, flags);
}

RAW int fault_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask)
{
    if (fault_plan)
        __atomic_fetch_add(&fault_plan->polls, 1, __ATOMIC_RELAXED);
    FAIL_IF(FAULT_SIGNAL, EINTR, -1);
    FAIL_IF(FAULT_CALL, ENOMEM, -1);
    return ppoll(fds, n, timeout, mask);
}

RAW int fault_pipe2(int ends[2], int flags)
{
    FAIL_IF(FAULT_CALL, EMFILE, -1);
    return pipe2(ends, flags);
}

RAW int fault_fcntl(int fd, int command, ...)
{
    va_list args;
    va_start(args, command);
    long value = va_arg(args, long);
    va_end(args);
    if (command == F_DUPFD_CLOEXEC)
        FAIL_IF(FAULT_CALL, EMFILE, -1);
    if (command == F_SETFL || command == F_ADD_SEALS)
        FAIL_IF(FAULT_CALL, EPERM, -1);
    return fcntl(fd, command, value);
}

RAW ssize_t fault_read(int fd, void *data, size_t size)
{
    FAIL_IF(FAULT_SIGNAL, EINTR, -1);
    FAIL_IF(FAULT_CALL, EIO, -1);
    return read(fd, data, size > 1 && STRIKES(FAULT_SHORT) ? 1 : size);
}

/* An eventfd takes eight bytes or none, and fails for no reason but a signal. */
RAW ssize_t fault_write(int fd, const void *data, size_t size)
{
    FAIL_IF(FAULT_SIGNAL, EINTR, -1);
    if (size != sizeof(uint64_t))
        FAIL_IF(FAULT_CALL, EIO, -1);
    return write(fd, data, size > sizeof(uint64_t) && STRIKES(FAULT_SHORT) ? 1 : size);
}

RAW FILE *fault_fopen(const char *path, const char *mode)
{
    FAIL_IF(FAULT_CALL, EMFILE, NULL);
    return fopen(path, mode);
}

/* ---- the rest -------------------------------------------------------------------------------------- */

void *fault_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset);
int fault_memfd_create(const char *name, unsigned flags);
int fault_ftruncate(int fd, off_t size);
int fault_fallocate(int fd, int mode, off_t offset, off_t size);
int fault_mprotect(void *at, size_t size, int protection);
ssize_t fault_getrandom(void *data, size_t size, unsigned flags);
int fault_sched_getaffinity(pid_t pid, size_t size, cpu_set_t *set);
int fault_waitid(idtype_t type, id_t id, siginfo_t *info, int options);
int fault_sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *timeout);
long fault_syscall(long number, ...);

RAW void *fault_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    FAIL_IF(FAULT_CALL, ENOMEM, MAP_FAILED);
    return mmap(at, size, protection, flags, fd, offset);
}

RAW int fault_memfd_create(const char *name, unsigned flags)
{
    FAIL_IF(FAULT_CALL, EMFILE, -1);
    return memfd_create(name, flags);
}

RAW int fault_ftruncate(int fd, off_t size)
{
    FAIL_IF(FAULT_CALL, EINVAL, -1);
    return ftruncate(fd, size);
}

RAW int fault_fallocate(int fd, int mode, off_t offset, off_t size)
{
    FAIL_IF(FAULT_SIGNAL, EINTR, -1);
    FAIL_IF(FAULT_CALL, ENOSPC, -1);
    return fallocate(fd, mode, offset, size);
}

RAW int fault_mprotect(void *at, size_t size, int protection)
{
    FAIL_IF(FAULT_CALL, ENOMEM, -1);
    return mprotect(at, size, protection);
}

RAW ssize_t fault_getrandom(void *data, size_t size, unsigned flags)
{
    FAIL_IF(FAULT_SIGNAL, EINTR, -1);
    return getrandom(data, size, flags);
}

RAW int fault_sched_getaffinity(pid_t pid, size_t size, cpu_set_t *set)
{
    FAIL_IF(FAULT_CALL, EINVAL, -1);
    return sched_getaffinity(pid, size, set);
}

/* One that doesn't wait is not interrupted. */
RAW int fault_waitid(idtype_t type, id_t id, siginfo_t *info, int options)
{
    if (!(options & WNOHANG))
        FAIL_IF(FAULT_SIGNAL, EINTR, -1);
    return waitid(type, id, info, options);
}

RAW int fault_sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *timeout)
{
    FAIL_IF(FAULT_SIGNAL, EINTR, -1);
    return sigtimedwait(set, info, timeout);
}

pid_t fault_fork(void);

RAW pid_t fault_fork(void)
{
    FAIL_IF(FAULT_CALL, EAGAIN, -1);
    return fork();
}

/* How a call by number fails, or 0: it doesn't, for a reason of its own. */
RAW static int error_of(long number, long second)
{
    switch (number) {
    case SYS_execve: return ENOMEM;
    case SYS_openat:
    case SYS_dup3: return EMFILE;
    case SYS_fcntl: return second == F_DUPFD_CLOEXEC ? EMFILE : 0; /* a flag of an open descriptor can be set */
    case SYS_chdir: return EACCES;
    case SYS_setsid:
    case SYS_setpgid:
    case SYS_prlimit64: return EPERM;
    case SYS_clone: return EAGAIN;
    case SYS_pidfd_open: return EMFILE;
    case SYS_futex_waitv:
    case SYS_close_range:
    case SYS_pidfd_send_signal: return ENOSYS; /* old or emulated kernels: there is another way */
    default: return 0;
    }
}

RAW long fault_syscall(long number, ...)
{
    long a[6];
    va_list args;
    va_start(args, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(args, long);
    va_end(args);
    int error = error_of(number, a[1]);
    if (error)
        FAIL_IF(FAULT_CALL, error, -1);
    if (number == SYS_futex && ((int)a[1] & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET) {
        if (fault_plan)
            __atomic_fetch_add(&fault_plan->sleeps, 1, __ATOMIC_RELAXED);
        FAIL_IF(FAULT_SIGNAL, EINTR, -1);
    }
    if (number == SYS_futex_waitv)
        FAIL_IF(FAULT_SIGNAL, EINTR, -1);
    return syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
