/* SPDX-License-Identifier: MIT */
/* What the user's program calls of libc and is the explorer's to answer: the linker sends these calls here (--wrap, from
 * motet-sim.pc). Outside an execution, where the explorer itself calls them, they are what they are called.
 *
 * Not here, so not to be used in a scenario: pthread's mutexes, condition variables and threads, descriptors, sleeping. */
#include "user.h"

#include "seam_sys.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static bool runs(void) { return S && S->on; }

_Noreturn static void fail(const char *at, const char *what)
{
    char place[48];
    sim_fail("%s: %s", sim_place(at, place, sizeof place), what);
}

/* ---- memory ---------------------------------------------------------------------------------------- */

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void __real_free(void *p);
void *__real_aligned_alloc(size_t align, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
void __wrap_free(void *p);
void *__wrap_aligned_alloc(size_t align, size_t size);

static bool is_ours(const void *p)
{
    return S && (const char *)p >= S->heap && (const char *)p < S->heap + (size_t)ARENA_SIZE * THREADS_MAX;
}

static void *or_errno(void *p)
{
    if (!p)
        errno = ENOMEM;
    return p;
}

void *__wrap_malloc(size_t size) { return runs() ? or_errno(sim_alloc(size, 16, 0xA5, USER_AT)) : __real_malloc(size); }

void *__wrap_calloc(size_t n, size_t size)
{
    size_t whole;
    if (!runs())
        return __real_calloc(n, size);
    return or_errno(__builtin_mul_overflow(n, size, &whole) ? NULL : sim_alloc(whole, 16, 0, USER_AT));
}

void *__wrap_realloc(void *p, size_t size)
{
    return is_ours(p) || (!p && runs()) ? or_errno(sim_realloc(p, size, USER_AT)) : __real_realloc(p, size);
}

void *__wrap_aligned_alloc(size_t align, size_t size)
{
    if (!runs())
        return __real_aligned_alloc(align, size);
    return or_errno(sim_alloc(size, align < 16 ? 16 : align, 0xA5, USER_AT));
}

void __wrap_free(void *p)
{
    if (is_ours(p))
        sim_free_block(p, USER_AT);
    else
        __real_free(p);
}

/* ---- the end --------------------------------------------------------------------------------------- */

_Noreturn void __real_abort(void);
_Noreturn void __wrap_abort(void);
_Noreturn void __real___assert_fail(const char *what, const char *file, unsigned line, const char *function);
_Noreturn void __wrap___assert_fail(const char *what, const char *file, unsigned line, const char *function);

void __wrap_abort(void)
{
    if (runs())
        fail(USER_AT, "abort");
    __real_abort();
}

void __wrap___assert_fail(const char *what, const char *file, unsigned line, const char *function)
{
    if (runs())
        sim_fail("%s:%u: %s does not hold", file, line, what);
    __real___assert_fail(what, file, line, function);
}

/* ---- clock, yield ---------------------------------------------------------------------------------- */

int __real_sched_yield(void);
int __wrap_sched_yield(void);
int __real_clock_gettime(clockid_t clock, struct timespec *t);
int __wrap_clock_gettime(clockid_t clock, struct timespec *t);

int __wrap_sched_yield(void)
{
    if (!runs())
        return __real_sched_yield();
    sim_relax(USER_AT);
    return 0;
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *t)
{
    if (!runs())
        return __real_clock_gettime(clock, t);
    *t = (struct timespec){.tv_sec = S->now / 1000000000, .tv_nsec = S->now % 1000000000};
    return 0;
}

/* ---- futexes --------------------------------------------------------------------------------------- */

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);

static int64_t nanoseconds(const struct timespec *t) { return (int64_t)t->tv_sec * 1000000000 + t->tv_nsec; }

static long futex(const volatile uint32_t *word, int what, uint32_t value, const struct timespec *t, const char *at)
{
    switch (what & FUTEX_CMD_MASK) {
    case FUTEX_WAIT: return sim_futex_wait(word, value, t ? S->now + nanoseconds(t) : INT64_MAX, at);
    case FUTEX_WAIT_BITSET: return sim_futex_wait(word, value, t ? nanoseconds(t) : INT64_MAX, at);
    case FUTEX_WAKE:
    case FUTEX_WAKE_BITSET: return sim_futex_wake(word, value > INT32_MAX ? INT32_MAX : (int)value, at);
    default: fail(at, "a futex operation that the explorer does not know");
    }
}

long __wrap_syscall(long number, ...)
{
    long a[6];
    va_list args;
    va_start(args, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(args, long);
    va_end(args);
    if (number != SYS_futex || !runs())
        return __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    long result = futex((const volatile uint32_t *)a[0], (int)a[1], (uint32_t)a[2], (const struct timespec *)a[3],
                        USER_AT);
    if (result >= 0)
        return result;
    errno = (int)-result;
    return -1;
}
