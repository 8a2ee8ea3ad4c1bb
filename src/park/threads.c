/* SPDX-License-Identifier: MIT */
/* Threads as waiters: how one spins, sleeps (futex, or poll when it waits for descriptors too) and is woken; and what
 * park keeps for each thread. */
#include "park/park.h"

#include "base/afresh.h"
#include "base/panic.h"

#include <pthread.h> /* seam: pthread_atfork has no other home */

enum { POLLED_ON_STACK = 16 };

static _Thread_local __attribute__((tls_model("initial-exec"))) park_self self = {.spin = SPIN_BUDGET_FULL};

park_self *motet__park_self(void) { return &self; }

/* ---- spin, sleep, wake ----------------------------------------------------------------------------- */

static bool decided(const void *state) { return atomic_load_relaxed((const uint32_t *)state) != WAITER_OPEN; }

static bool thread_spin(waiter *w)
{
    uint32_t ns = motet__spin_pays() ? spin_budget_now(&self.spin) : 0;
    if (!ns)
        return false;
    bool paid = spin_watch(ns, w->request->deadline, decided, &w->state);
    spin_budget_learn(&self.spin, paid);
    return paid;
}

/* Polls the request's descriptors and the waiter's own eventfd, which comes last. */
static int poll_descriptors(waiter *w, struct pollfd *all)
{
    const park_request *r = w->request;
    for (size_t i = 0; i < r->fds_count; i++)
        all[i] = (struct pollfd){.fd = r->fds[i].fd, .events = r->fds[i].events};
    all[r->fds_count] = (struct pollfd){.fd = w->eventfd, .events = POLLIN};
    int n = sys_poll(all, r->fds_count + 1, r->deadline);
    if (n < 0)
        return n;
    if (n == 0)
        return -ETIMEDOUT;
    int ready = -1;
    for (size_t i = 0; i < r->fds_count; i++) {
        r->fds[i].revents = all[i].revents;
        if (ready < 0 && all[i].revents)
            ready = (int)i;
    }
    return ready < 0 ? 0 : 1 + (int)r->nodes_count + ready;
}

static int sleep_polling(waiter *w)
{
    size_t n = w->request->fds_count + 1;
    struct pollfd few[POLLED_ON_STACK];
    struct pollfd *all = n <= POLLED_ON_STACK ? few : sys_alloc(n * sizeof *all);
    if (!all)
        return -ENOMEM;
    int e = poll_descriptors(w, all);
    if (all != few)
        sys_free(all);
    return e;
}

static int thread_sleep(waiter *w, uint32_t state)
{
    if (state == WAITER_ASLEEP && w->eventfd >= 0)
        return sleep_polling(w);
    motet_time deadline = state == WAITER_ASLEEP ? w->request->deadline : MOTET_FOREVER;
    /* The kernel restarts a wait without an end after a handler that has SA_RESTART, and never one with an end. */
    if (state == WAITER_ASLEEP && deadline == MOTET_FOREVER && self.interruptible)
        deadline--;
    int e = sys_futex_wait(&w->state, state, deadline);
    return e == -EAGAIN ? 0 : e;
}

static void thread_wake(void *sleeper) { sys_futex_wake(sleeper, 1); }

const park_backend motet__park_threads = {.spin = thread_spin, .sleep = thread_sleep, .wake = thread_wake};

/* ---- fork ------------------------------------------------------------------------------------------ */

static uint32_t forked;     /* 1 in the child of a raw fork */
static uint32_t registered; /* 0 not yet, 1 the handler stands; guarded by registering */
static guard registering;

static void in_child(void)
{
    atomic_store_relaxed(&forked, 1);
    /* A canceller may have had it, and is not here. */
    self.guard = (guard){0};
    self.current = NULL;
}

/* The handler is registered at the first wait: a program that forks before it uses the runtime has nothing to lose. */
static void register_handler(void)
{
    guard_lock(&registering);
    if (!registered) {
        MOTET_ASSERT(pthread_atfork(NULL, NULL, in_child) == 0); /* seam: no system call */
        atomic_store_release(&registered, 1);
    }
    guard_unlock(&registering);
}

bool motet__park_allowed(void)
{
    if (unlikely(!atomic_load_acquire(&registered)))
        register_handler();
    return !atomic_load_relaxed(&forked);
}

/* The calling thread is the child's only one, and in no wait. */
static void forget(void)
{
    self = (park_self){.spin = SPIN_BUDGET_FULL};
    registering = (guard){0};
    atomic_store_relaxed(&forked, 0);
}
AFRESH(forget);

/* ---- the calling thread's settings ----------------------------------------------------------------- */

bool motet__park_cancelled(void) { return atomic_load_relaxed(&self.cancelled) && !self.shielded; }

bool motet_cancelled(void) { return atomic_load_relaxed(&self.cancelled); }

bool motet_shield(bool on)
{
    bool was = self.shielded;
    self.shielded = on;
    return was;
}

bool motet_interruptible(bool on)
{
    bool was = self.interruptible;
    self.interruptible = on;
    return was;
}

int motet_sleep(motet_time deadline)
{
    uint32_t never = 0; /* no one wakes it */
    if (deadline <= sys_now())
        return 0;
    int e;
    do
        e = motet__park(&never, 0, deadline, PARK_NO_SPIN);
    while (e == 0);
    return e == -ETIMEDOUT ? 0 : e;
}
