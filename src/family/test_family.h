/* SPDX-License-Identifier: MIT */
/* What the tests of shared things share: members that are forked, killed, reaped and buried by the test itself. */
#ifndef MOTET_FAMILY_TEST_FAMILY_H
#define MOTET_FAMILY_TEST_FAMILY_H

#include "runner.h"

#include "family/arena.h"
#include "family/claim.h"

#include <motet/base.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Waits, awake, until something that another thread or process does has come about. */
#define AWAIT(cond)    \
    while (!(cond)) {  \
        motet_yield(); \
    }

/* Zeroed memory in the arena, which is opened with the first of it. */
static inline void *shared(size_t size)
{
    CHECK_EQ(motet__family_open(), 0);
    void *p = motet__arena_alloc(size, ARENA_PLAIN);
    CHECK(p != NULL);
    return p;
}

typedef struct kin {
    member_tag tag;
    pid_t pid;
} kin;

/* A process that is a member and runs fn(arg); its result is the exit code. It ends with the test. */
static inline kin kin_start(int (*fn)(void *arg), void *arg)
{
    int64_t tag = motet__member_claim();
    CHECK_GT(tag, 0);
    pid_t parent = getpid(), pid = fork();
    CHECK_GE(pid, 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent || motet__member_become((member_tag)tag) != 0)
            _exit(99);
        fflush(stdout);
        _exit(fn(arg) & 127);
    }
    return (kin){.tag = (member_tag)tag, .pid = pid};
}

/* Reaps it, with proof of its end, and buries it. The exit code, or -N: it died by signal N. */
static inline int kin_bury(kin k)
{
    int status;
    CHECK_EQ(waitpid(k.pid, &status, 0), k.pid);
    motet__member_bury(k.tag);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static inline void kin_start_all(kin *k, int n, int (*fn)(void *arg), void *arg)
{
    for (int i = 0; i < n; i++)
        k[i] = kin_start(fn, arg);
}

/* All of them end well. */
static inline void kin_bury_all(const kin *k, int n)
{
    for (int i = 0; i < n; i++)
        CHECK_EQ(kin_bury(k[i]), 0);
}

static inline void kin_kill(kin k)
{
    CHECK_EQ(kill(k.pid, SIGKILL), 0);
    CHECK_EQ(kin_bury(k), -SIGKILL);
}

/* Waits until a process has been stopped (SIGSTOP is no matter of the moment). */
static inline void kin_stop(kin k)
{
    int status;
    CHECK_EQ(kill(k.pid, SIGSTOP), 0);
    CHECK_EQ(waitpid(k.pid, &status, WUNTRACED), k.pid);
    CHECK(WIFSTOPPED(status));
}

/* Whether it sleeps in the kernel now (its first thread). */
static inline bool kin_sleeps(kin k)
{
    char path[64], text[512] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", (int)k.pid);
    FILE *f = fopen(path, "r");
    CHECK(f != NULL);
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = 0;
    const char *p = strrchr(text, ')');
    return p && p[1] && p[2] == 'S';
}

/* Ends it, having waited in vain until it sleeps `times` in a row: it can't be seen from outside that it waits for good. */
static inline void kin_await_sleep(kin k)
{
    for (int times = 0; times < 20; times = kin_sleeps(k) ? times + 1 : 0)
        motet_yield();
}

#endif
