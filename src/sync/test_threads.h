/* SPDX-License-Identifier: MIT */
/* What the tests of park and sync share: threads, waiting for a condition, signals, small random numbers. */
#ifndef MOTET_SYNC_TEST_THREADS_H
#define MOTET_SYNC_TEST_THREADS_H

#include "runner.h"

#include "park/park.h"

#include <motet/thread.h>

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* Waits, awake, until something that another thread does has come about. */
#define UNTIL(cond)    \
    while (!(cond)) {  \
        motet_yield(); \
    }

#define SEEN(p) atomic_load_acquire(p)

static inline motet_thread *start(motet_fn *fn, void *arg)
{
    motet_thread *t = NULL;
    CHECK_EQ(motet_thread_start(&t, fn, arg, NULL), 0);
    return t;
}

/* The thread's result. */
static inline int finish(motet_thread *t)
{
    int code = 0;
    CHECK_EQ(motet_thread_join(t, &code, MOTET_FOREVER), 0);
    motet_thread_free(t);
    return code;
}

static inline void start_all(motet_thread **t, int n, motet_fn *fn, void *arg)
{
    for (int i = 0; i < n; i++)
        t[i] = start(fn, arg);
}

/* How many of the threads ended with `code`. */
static inline int finish_all(motet_thread **t, int n, int code)
{
    int same = 0;
    for (int i = 0; i < n; i++)
        same += finish(t[i]) == code;
    return same;
}

static inline uint32_t random_below(uint32_t *state, uint32_t n)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state % n;
}

/* A deadline that is near: one in four has passed, the rest lie up to 100 microseconds ahead. */
static inline motet_time random_deadline(uint32_t *state)
{
    uint32_t r = random_below(state, 400);
    return r < 100 ? MOTET_NOWAIT : motet_after((r - 100) * MOTET_US / 3);
}

/* ---- signals --------------------------------------------------------------------------------------- */

static inline void take_signal(int number) {}

/* A wait on a thread of its own that is sent signals until it ends. */
struct signalled {
    int (*wait)(void *arg);
    void *arg;
    pthread_t thread;
    uint32_t begun, over, leave;
};

static inline int run_signalled(void *arg)
{
    struct signalled *s = arg;
    s->thread = pthread_self();
    motet_interruptible(true);
    atomic_store_release(&s->begun, 1);
    int code = s->wait(s->arg);
    atomic_store_release(&s->over, 1);
    UNTIL(SEEN(&s->leave)); /* a signal needs a thread to go to */
    return code;
}

/* What wait(arg) returns on an interruptible thread that gets signals. */
static inline int interrupted(int (*wait)(void *arg), void *arg)
{
    struct sigaction act = {.sa_handler = take_signal}, old;
    struct signalled s = {.wait = wait, .arg = arg};
    sigaction(SIGUSR1, &act, &old);
    motet_thread *t = start(run_signalled, &s);
    UNTIL(SEEN(&s.begun));
    while (!SEEN(&s.over)) {
        pthread_kill(s.thread, SIGUSR1);
        motet_yield();
    }
    atomic_store_release(&s.leave, 1);
    int code = finish(t);
    sigaction(SIGUSR1, &old, NULL);
    return code;
}

/* What wait(arg) returns in the child of a raw fork: at most 255 below 0. */
static inline int in_forked_child(int (*wait)(void *arg), void *arg)
{
    motet__park_allowed(); /* from the first wait on the runtime is in use */
    pid_t child = fork();
    CHECK_GE(child, 0);
    if (child == 0)
        _exit(-wait(arg) & 255);
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status));
    return -WEXITSTATUS(status);
}

/* What wait(arg) returns on a thread that is cancelled before or while it waits. */
static inline int cancelled(motet_fn *wait, void *arg)
{
    motet_thread *t = start(wait, arg);
    CHECK_EQ(motet_thread_cancel(t), 0);
    return finish(t);
}

#endif
