/* SPDX-License-Identifier: MIT */
/* Threads as waiters: how one spins, sleeps (futex, or poll when it waits for descriptors too) and is woken; and what
 * park keeps for each thread. */
#include "park/park.h"

#include "base/panic.h"

#include <pthread.h> /* seam: pthread_atfork has no other home */

enum {
    SPIN_NS_MAX = 20 * 1000,   /* about a wake across cores (13 us of the waker's time, 68 for the round trip) */
    SPIN_NS_MIN = 1000,        /* below this, spinning has failed often enough: sleep at once */
    SPIN_NS_POLITE = 4 * 1000, /* from here on the spinner offers its CPU: the waker may need it */
    SPIN_PROBE = 16,           /* of so many waits that would not spin, one does, to see whether times have changed */
    POLLED_ON_STACK = 16,
};

static _Thread_local __attribute__((tls_model("initial-exec"))) park_self self = {.spin_ns = SPIN_NS_MAX};

park_self *motet__park_self(void)
{
    return &self;
}

/* ---- spin, sleep, wake ----------------------------------------------------------------------------- */

/* Spins until the state leaves OPEN or `end`. */
static bool spin_until(const uint32_t *state, int64_t begin, int64_t end)
{
    for (int64_t now = begin; now < end; now = sys_now()) {
        for (int i = 0; i < 16; i++) {
            if (atomic_load_relaxed(state) != WAITER_OPEN)
                return true;
            cpu_relax();
        }
        if (now - begin > SPIN_NS_POLITE)
            sys_yield();
    }
    return atomic_load_relaxed(state) != WAITER_OPEN;
}

/* Spins as long as spinning has paid of late: a success doubles the time up to its maximum, a miss halves it. */
static bool thread_spin(waiter *w)
{
    static uint32_t cpus; /* set once to the same number by whoever comes first */
    uint32_t n = atomic_load_relaxed(&cpus);
    if (!n)
        atomic_store_relaxed(&cpus, n = (uint32_t)sys_cpus_allowed());
    bool probe = ++self.waits % SPIN_PROBE == 0;
    if (n < 2 || (self.spin_ns < SPIN_NS_MIN && !probe))
        return false;
    int64_t now = sys_now(), end = now + (probe ? SPIN_NS_MAX : self.spin_ns);
    if (end > w->request->deadline)
        end = w->request->deadline;
    if (!spin_until(&w->state, now, end)) {
        self.spin_ns /= 2;
        return false;
    }
    self.spin_ns = self.spin_ns < SPIN_NS_MIN ? SPIN_NS_MIN * 2 : self.spin_ns * 2;
    if (self.spin_ns > SPIN_NS_MAX)
        self.spin_ns = SPIN_NS_MAX;
    return true;
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
    return ready < 0 ? 0 : (int)r->nodes_count + ready;
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
    int e = sys_futex_wait(&w->state, state, state == WAITER_ASLEEP ? w->request->deadline : MOTET_FOREVER);
    return e == -EAGAIN ? 0 : e;
}

static void thread_wake(void *sleeper)
{
    sys_futex_wake(sleeper, 1);
}

const park_backend motet__park_threads = {.spin = thread_spin, .sleep = thread_sleep, .wake = thread_wake};

/* ---- fork ------------------------------------------------------------------------------------------ */

static uint32_t forked;     /* 1 in the child of a raw fork */
static uint32_t registered; /* 0 not yet, 1 the handler stands; guarded by registering */
static guard registering;

static void in_child(void)
{
    atomic_store_relaxed(&forked, 1);
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

/* ---- the calling thread's settings ----------------------------------------------------------------- */

bool motet__park_cancelled(void)
{
    return atomic_load_relaxed(&self.cancelled) && !self.shielded;
}

bool motet_cancelled(void)
{
    return atomic_load_relaxed(&self.cancelled);
}

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
