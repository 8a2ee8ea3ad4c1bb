/* SPDX-License-Identifier: MIT */
/* A child that runs one instruction at a time.
 *
 * Where the operation begins and ends is told by a word in shared memory that the child sets around the call: so nothing
 * here knows a register or a breakpoint of some CPU. The few instructions between the word and the call belong to it.
 *
 * On aarch64 a single step clears the exclusive monitor: a loop of load-exclusive and store-exclusive never gets through.
 * There the atomics must be those of ARMv8.1; the step limit tells. */
#include "base/atomic.h"
#include "base/sys.h"
#include "kill/kill.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BEFORE, INSIDE, AFTER };

struct stepper_gate {
    uint32_t phase;
};

/* The way from the stop to the operation and what libc does on it. */
enum { APPROACH_MAX = 100000 };

__attribute__((noreturn)) static void be_stepped(struct stepper_gate *gate, pid_t parent, void (*run)(void *),
                                                 void *arg)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
        _exit(1);
    raise(SIGSTOP);
    atomic_store_seq_cst(&gate->phase, INSIDE);
    run(arg);
    atomic_store_seq_cst(&gate->phase, AFTER);
    for (;;)
        pause();
}

/* Its next stop. 0, or -ESRCH: it is dead, and reaped. */
static int await_stop(stepper *s)
{
    int status;
    while (waitpid(s->pid, &status, 0) < 0)
        if (errno != EINTR)
            return -ESRCH;
    if (!WIFSTOPPED(status)) {
        s->pid = 0;
        return -ESRCH;
    }
    s->signal = WSTOPSIG(status) == SIGTRAP || WSTOPSIG(status) == SIGSTOP ? 0 : WSTOPSIG(status);
    return 0;
}

static int single_step(stepper *s)
{
    if (ptrace(PTRACE_SINGLESTEP, s->pid, NULL, (void *)(intptr_t)s->signal) < 0)
        return -errno;
    return await_stop(s);
}

static int approach(stepper *s)
{
    if (await_stop(s) < 0)
        return -EPERM; /* it could not ask to be traced */
    if (ptrace(PTRACE_SETOPTIONS, s->pid, NULL, (void *)PTRACE_O_EXITKILL) < 0)
        return -errno;
    for (int i = 0; i < APPROACH_MAX; i++) {
        if (atomic_load_seq_cst(&s->gate->phase) == INSIDE)
            return 0;
        int e = single_step(s);
        if (e < 0)
            return e;
    }
    return -ELOOP;
}

int stepper_start(stepper *s, void (*run)(void *), void *arg)
{
    *s = (stepper){.gate = mmap(NULL, sizeof *s->gate, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)};
    if (s->gate == MAP_FAILED)
        return -errno;
    pid_t parent = getpid();
    s->pid = fork();
    if (s->pid == 0)
        be_stepped(s->gate, parent, run, arg);
    int e = s->pid < 0 ? -errno : approach(s);
    if (e < 0)
        stepper_end(s);
    return e;
}

int stepper_step(stepper *s)
{
    if (atomic_load_seq_cst(&s->gate->phase) == AFTER)
        return STEPPER_DONE;
    int e = single_step(s);
    s->steps += e == 0;
    return e;
}

void stepper_end(stepper *s)
{
    if (s->pid > 0) {
        kill(s->pid, SIGKILL);
        while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    munmap(s->gate, sizeof *s->gate);
    *s = (stepper){0};
}
