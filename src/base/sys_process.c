/* SPDX-License-Identifier: MIT */
/* Starting programs, and the other system calls about children.
 *
 * A start is a clone that shares this process's memory and stops the calling thread until the child has left for its
 * program (CLONE_VM | CLONE_VFORK, as posix_spawn does it): nothing is copied, so it costs the same in a process of any
 * size. What makes that sound:
 *
 *  - the child has a stack of its own with a guard page below, so it writes nothing of the caller's but struct launch;
 *  - every signal is blocked before, libc's own too, and the kernel resets handlers to their defaults with the clone
 *    (CLONE_CLEAR_SIGHAND): no handler of this process ever runs in the child. The mask of the caller is set just before exec;
 *  - the child's code uses bare system calls and is not instrumented: the sanitizers' state belongs to the parent.
 *
 * The child leaves its error in struct launch, so a start reports it with no pipe. Valgrind makes a fork of such a clone,
 * and then memory isn't shared: there a pipe carries it.
 *
 * Fork rule: the spare stack is a private mapping, and its copy is as good. */
#include "base/sys_process.h"

#include "base/atomic.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

enum {
    STACK_SIZE = 64 * 1024, /* the search for the program needs PATH_MAX bytes of it */
    GUARD_SIZE = 64 * 1024, /* the largest page */
    SIGNALS = 64,           /* the kernel's, 1 to 64 */
    EXIT_FAILED = 127,
};

/* ---- the child's side ------------------------------------------------------------------------------ */

#if defined(__has_attribute)
#if __has_attribute(disable_sanitizer_instrumentation)
#define CHILD_SIDE __attribute__((noinline, disable_sanitizer_instrumentation))
#endif
#endif
#ifndef CHILD_SIDE
#define CHILD_SIDE __attribute__((noinline, no_sanitize("address", "thread", "undefined")))
#endif

/* The kernel's sets of signals and actions; libc's are of another size. */
typedef uint64_t signal_mask;
struct kernel_sigaction {
    void *handler;
    unsigned long flags;
    void *restorer;
    signal_mask mask;
};

struct launch {
    const sys_spawn *spawn;
    signal_mask mask;    /* the caller's */
    pid_t parent;        /* for die_with_thread */
    bool reset_handlers; /* the kernel didn't */
    int report;          /* valgrind: where the error goes; else -1 */
    volatile int error;  /* positive errno; the parent reads it when the child has gone */
};

#define child_call(...)                      \
    ({                                       \
        long result_ = syscall(__VA_ARGS__); \
        result_ < 0 ? -errno : result_;      \
    })

CHILD_SIDE static void child_reset_signals(const struct launch *l)
{
    struct kernel_sigaction dfl = {.handler = SIG_DFL}, now;
    for (int i = 1; l->reset_handlers && i <= SIGNALS; i++) {
        if (child_call(SYS_rt_sigaction, i, NULL, &now, sizeof dfl.mask) == 0 && now.handler != SIG_DFL &&
            now.handler != SIG_IGN)
            child_call(SYS_rt_sigaction, i, &dfl, NULL, sizeof dfl.mask);
    }
    /* What Python's restore_signals does: a program that knows nothing of it ends when nobody reads its output. */
    child_call(SYS_rt_sigaction, SIGPIPE, &dfl, NULL, sizeof dfl.mask);
    child_call(SYS_rt_sigaction, SIGXFSZ, &dfl, NULL, sizeof dfl.mask);
}

/* The source of descriptor `target`: never one of 0, 1, 2 that another target overwrites or names. */
CHILD_SIDE static long child_source(int target, int source)
{
    if (source == SPAWN_NULL) {
        long fd = child_call(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC);
        if (fd < 0 || fd > 2)
            return fd;
        long high = child_call(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 3);
        child_call(SYS_close, fd);
        return high;
    }
    if (source > 2 || source == target)
        return source;
    return child_call(SYS_fcntl, source, F_DUPFD_CLOEXEC, 3);
}

CHILD_SIDE static long child_place_stdio(const sys_spawn *s)
{
    long from[3], r = 0;
    for (int i = 0; i < 3; i++) {
        from[i] = s->stdio[i];
        if (from[i] == SPAWN_KEEP || from[i] == SPAWN_STDOUT)
            continue;
        from[i] = child_source(i, s->stdio[i]);
        if (from[i] < 0)
            return from[i];
    }
    for (int i = 0; i < 3 && r >= 0; i++) {
        if (from[i] == SPAWN_KEEP)
            continue;
        if (from[i] == SPAWN_STDOUT)
            from[i] = 1;
        if (from[i] == i)
            r = child_call(SYS_fcntl, i, F_SETFD, 0);
        else
            r = child_call(SYS_dup3, (int)from[i], i, 0);
    }
    return r < 0 ? r : 0;
}

CHILD_SIDE static void child_close_others(void)
{
    if (child_call(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC) == 0)
        return;
    /* Forbidden, or an emulated kernel. */
    struct rlimit most = {0};
    child_call(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, &most);
    int end = most.rlim_cur < 65536 ? (int)most.rlim_cur : 65536;
    for (int fd = 3; fd < end; fd++)
        child_call(SYS_fcntl, fd, F_SETFD, FD_CLOEXEC);
}

CHILD_SIDE static long child_limit(const spawn_limit *limit)
{
    struct rlimit now, next;
    long r = child_call(SYS_prlimit64, 0, limit->resource, NULL, &now);
    if (r < 0)
        return r;
    next.rlim_cur = limit->soft < now.rlim_cur ? limit->soft : now.rlim_cur;
    next.rlim_max = limit->hard < now.rlim_max ? limit->hard : now.rlim_max;
    return child_call(SYS_prlimit64, 0, limit->resource, &next, NULL);
}

CHILD_SIDE static long child_exec(const sys_spawn *s, const char *path)
{
    return child_call(SYS_execve, path, s->argv, s->env);
}

/* As execvp: a directory that doesn't have it, or can't be looked into, is passed over; a file that may not be run is
 * remembered. Returns only errors. */
CHILD_SIDE static long child_search(const sys_spawn *s)
{
    char path[PATH_MAX];
    size_t name_size = 0; /* with its zero */
    while (s->file[name_size++]) {}
    long result = -ENOENT;
    for (const char *at = s->search_path;; at++) {
        size_t n = 0;
        for (; *at && *at != ':'; at++, n++)
            if (n < sizeof path)
                path[n] = *at;
        if (n && n < sizeof path)
            path[n++] = '/';
        if (n + name_size <= sizeof path) {
            for (size_t i = 0; i < name_size; i++)
                path[n + i] = s->file[i];
            long r = child_exec(s, path);
            if (r == -EACCES)
                result = r;
            else if (r != -ENOENT && r != -ENOTDIR && r != -ESTALE && r != -ENODEV && r != -ETIMEDOUT &&
                     r != -ENAMETOOLONG)
                return r;
        }
        if (!*at)
            return result;
    }
}

CHILD_SIDE static long child_prepare(const struct launch *l)
{
    const sys_spawn *s = l->spawn;
    long r = 0;
    child_reset_signals(l);
    if (s->die_with_thread) {
        child_call(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        if (child_call(SYS_getppid) != l->parent) /* it ended before */
            child_call(SYS_exit_group, EXIT_FAILED);
    }
    if (s->new_session)
        r = child_call(SYS_setsid);
    else if (s->new_group)
        r = child_call(SYS_setpgid, 0, 0);
    if (r >= 0 && s->cwd)
        r = child_call(SYS_chdir, s->cwd);
    if (r >= 0)
        r = child_place_stdio(s);
    for (size_t i = 0; r >= 0 && i < s->limits_count; i++)
        r = child_limit(&s->limits[i]);
    if (r >= 0 && !s->keep_fds)
        child_close_others();
    return r < 0 ? r : 0;
}

CHILD_SIDE static bool child_has_slash(const char *file)
{
    while (*file && *file != '/')
        file++;
    return *file;
}

CHILD_SIDE __attribute__((noreturn)) static void child_main(void *arg)
{
    struct launch *l = arg;
    long r = child_prepare(l);
    if (r == 0) {
        child_call(SYS_rt_sigprocmask, SIG_SETMASK, &l->mask, NULL, sizeof l->mask);
        r = !l->spawn->file[0]                ? -ENOENT
            : child_has_slash(l->spawn->file) ? child_exec(l->spawn, l->spawn->file)
                                              : child_search(l->spawn);
    }
    int error = (int)-r;
    l->error = error;
    if (l->report >= 0)
        child_call(SYS_write, l->report, &error, sizeof error);
    for (;;)
        child_call(SYS_exit_group, EXIT_FAILED);
}

/* ---- the clone ------------------------------------------------------------------------------------- */

/* A clone call whose child goes on in entry(arg) on the stack that the arguments name, and never comes back. */
CHILD_SIDE static long clone_into(long number, uintptr_t a, uintptr_t b, uintptr_t c, void (*entry)(void *), void *arg)
{
#if defined(__x86_64__)
    long result;
    register void (*go)(void *) __asm__("r12") = entry;
    register void *with __asm__("r13") = arg;
    __asm__ volatile("syscall\n\t"
                     "testq %%rax, %%rax\n\t"
                     "jnz 1f\n\t"
                     "xorl %%ebp, %%ebp\n\t" /* backtraces end here */
                     "movq %%r13, %%rdi\n\t"
                     "callq *%%r12\n\t"
                     "hlt\n"
                     "1:"
                     : "=a"(result)
                     : "0"(number), "D"(a), "S"(b), "d"(c), "r"(go), "r"(with)
                     : "rcx", "r11", "memory", "cc");
    return result;
#elif defined(__aarch64__)
    register uintptr_t x0 __asm__("x0") = a;
    register uintptr_t x1 __asm__("x1") = b;
    register uintptr_t x2 __asm__("x2") = c;
    register long x8 __asm__("x8") = number;
    register void (*go)(void *) __asm__("x9") = entry;
    register void *with __asm__("x10") = arg;
    __asm__ volatile("svc #0\n\t"
                     "cbnz x0, 1f\n\t"
                     "mov x29, xzr\n\t"
                     "mov x30, xzr\n\t"
                     "mov x0, x10\n\t"
                     "blr x9\n\t"
                     "brk #0\n"
                     "1:"
                     : "+r"(x0)
                     : "r"(x1), "r"(x2), "r"(x8), "r"(go), "r"(with)
                     : "memory", "cc");
    return (long)x0;
#else
#error "motet runs on x86-64 and aarch64"
#endif
}

static uint32_t no_clone3; /* 1: this kernel, or what stands before it, has only clone */

/* The pid, or -errno. *pidfd is set by the kernel. */
CHILD_SIDE static long clone_child(struct launch *l, char *stack, int *pidfd)
{
    const uint64_t flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD;
    /* Relaxed: who sees it late asks the kernel again. */
    if (!atomic_load_relaxed(&no_clone3)) {
        struct clone_args args = {
            .flags = flags | CLONE_CLEAR_SIGHAND,
            .pidfd = (uintptr_t)pidfd,
            .exit_signal = SIGCHLD,
            .stack = (uintptr_t)stack,
            .stack_size = STACK_SIZE,
        };
        long r = clone_into(SYS_clone3, (uintptr_t)&args, sizeof args, 0, child_main, l);
        if (r != -ENOSYS && r != -EPERM)
            return r;
        atomic_store_relaxed(&no_clone3, 1);
    }
    l->reset_handlers = true;
    return clone_into(SYS_clone, flags | SIGCHLD, (uintptr_t)stack + STACK_SIZE, (uintptr_t)pidfd, child_main, l);
}

/* One stack is kept, since mapping, touching and unmapping one costs a tenth of a start. */
static char *spare_stack;

static char *stack_get(void)
{
    /* Acquire: partner of the exchange in stack_put; the child before wrote to it. */
    char *stack = atomic_exchange_acquire(&spare_stack, NULL);
    if (stack)
        return stack;
    char *base = mmap(NULL, GUARD_SIZE + STACK_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (base == MAP_FAILED)
        return NULL;
    if (mprotect(base + GUARD_SIZE, STACK_SIZE, PROT_READ | PROT_WRITE) < 0) {
        munmap(base, GUARD_SIZE + STACK_SIZE);
        return NULL;
    }
    return base + GUARD_SIZE;
}

static void stack_put(char *stack)
{
    stack = atomic_exchange_acq_rel(&spare_stack, stack);
    if (stack)
        munmap(stack - GUARD_SIZE, GUARD_SIZE + STACK_SIZE);
}

static bool on_valgrind(void)
{
    /* Its own way to be asked: a sequence of instructions that does nothing elsewhere, with a request and its default. */
    unsigned long request[6] = {0x1001}, answer = 0;
#if defined(__x86_64__)
    __asm__ volatile("rolq $3, %%rdi; rolq $13, %%rdi; rolq $61, %%rdi; rolq $51, %%rdi; xchgq %%rbx, %%rbx"
                     : "+d"(answer)
                     : "a"(request)
                     : "cc", "memory");
#elif defined(__aarch64__)
    __asm__ volatile("mov x3, %0\n\tmov x4, %1\n\t"
                     "ror x12, x12, #3\n\tror x12, x12, #13\n\tror x12, x12, #51\n\tror x12, x12, #61\n\t"
                     "orr x10, x10, x10\n\tmov %0, x3"
                     : "+r"(answer)
                     : "r"(request)
                     : "x3", "x4", "cc", "memory");
#endif
    return answer;
}

/* The error that a child in copied memory sent, or 0 once the pipe has ended with its exec. */
static int reported(int fd)
{
    int error = 0;
    ssize_t n;
    do
        n = sys_read(fd, &error, sizeof error);
    while (n == -EINTR);
    return n == (ssize_t)sizeof error ? error : 0;
}

/* Clones with all signals blocked, and brings the child's error back. The pid, or -errno. */
static long launch(struct launch *l, char *stack, int report, int *pidfd)
{
    const signal_mask all = ~(signal_mask)0;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &l->mask, sizeof all);
    long r = clone_child(l, stack, pidfd);
    if (r > 0) {
        if (l->report >= 0) {
            sys_close(l->report); /* the child's copy is the last */
            l->report = -1;
            l->error = reported(report);
        }
        if (l->error) {
            while (waitid((idtype_t)P_PIDFD, (id_t)*pidfd, &(siginfo_t){0}, WEXITED) < 0 && errno == EINTR) {}
            sys_close(*pidfd);
            r = -l->error;
        }
    }
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &l->mask, NULL, sizeof all);
    return r;
}

/* `fd`, or a copy above 2 in its place: a low one would be taken for a standard descriptor that this process lacks. */
static int above_stdio(int fd)
{
    if (likely(fd > 2))
        return fd;
    int high = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    int error = high < 0 ? -errno : 0;
    if (error)
        return error;
    sys_close(fd);
    return high;
}

int sys_spawn_start(const sys_spawn *s, int *ret_pidfd)
{
    struct launch l = {.spawn = s, .parent = getpid(), .report = -1};
    int pidfd = -1, report = -1;
    if (on_valgrind()) {
        int r = sys_pipe(&report, &l.report);
        if (r < 0)
            return r;
    }
    char *stack = stack_get();
    long r = stack ? launch(&l, stack, report, &pidfd) : -ENOMEM;
    if (stack)
        stack_put(stack);
    if (l.report >= 0)
        sys_close(l.report);
    if (report >= 0)
        sys_close(report);
    if (r < 0)
        return (int)r;
    int high = above_stdio(pidfd);
    *ret_pidfd = high < 0 ? pidfd : high; /* no descriptor left for a copy: the low one serves */
    return (int)r;
}

/* ---- ends, signals, pipes -------------------------------------------------------------------------- */

int sys_pidfd_reap(int pidfd, int *ret_code)
{
    siginfo_t info = {0};
    if (waitid((idtype_t)P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG) < 0)
        return -errno;
    if (!info.si_pid)
        return 0;
    *ret_code = info.si_code == CLD_EXITED ? info.si_status : -info.si_status;
    return 1;
}

int sys_pidfd_signal(int pidfd, int number)
{
    return syscall(SYS_pidfd_send_signal, pidfd, number, NULL, 0) < 0 ? -errno : 0;
}

int sys_pid_signal(pid_t pid, int number) { return kill(pid, number) < 0 ? -errno : 0; }

void sys_group_kill(pid_t group) { kill(-group, SIGKILL); }

int sys_pipe(int *ret_read, int *ret_write)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    int reader = above_stdio(ends[0]), writer = above_stdio(ends[1]);
    if (reader < 0 || writer < 0) {
        sys_close(reader < 0 ? ends[0] : reader);
        sys_close(writer < 0 ? ends[1] : writer);
        return reader < 0 ? reader : writer;
    }
    *ret_read = reader;
    *ret_write = writer;
    return 0;
}

ssize_t sys_read(int fd, void *data, size_t size)
{
    ssize_t n = read(fd, data, size);
    return n < 0 ? -errno : n;
}

ssize_t sys_write(int fd, const void *data, size_t size)
{
    ssize_t n = write(fd, data, size);
    return n < 0 ? -errno : n;
}

int sys_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
}

sigpipe_state sys_sigpipe_hold(void)
{
    sigset_t pipe_only, was, waiting;
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    sigpending(&waiting);
    pthread_sigmask(SIG_BLOCK, &pipe_only, &was);
    return (sigpipe_state){.blocked = sigismember(&was, SIGPIPE), .pending = sigismember(&waiting, SIGPIPE)};
}

void sys_sigpipe_release(sigpipe_state before, bool raised)
{
    sigset_t pipe_only;
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    /* Nothing is taken when it is ignored: then it was never raised. */
    if (raised && !before.pending)
        while (sigtimedwait(&pipe_only, NULL, &(struct timespec){0}) < 0 && errno == EINTR) {}
    if (!before.blocked)
        pthread_sigmask(SIG_UNBLOCK, &pipe_only, NULL);
}
