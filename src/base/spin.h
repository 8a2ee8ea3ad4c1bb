/* SPDX-License-Identifier: MIT */
/* How long a thread watches a word before it sleeps: as long as watching has paid of late.
 *
 * A miss halves the time; below its minimum the thread sleeps at once. Now and then one wait probes whether times have
 * changed, and longer than a wake across cores takes, since whom it waits for may have to be woken first: two that have
 * come to put each other to sleep would else never find out that both could be awake. A success gives the whole time
 * back. Kept per thread or worker; nobody else touches it. */
#ifndef MOTET_BASE_SPIN_H
#define MOTET_BASE_SPIN_H

#include "base/atomic.h"
#include "base/sys.h"

enum {
    SPIN_NS_MAX = 50 * 1000,    /* longer than a wake across cores takes (some 35 us), or two would never meet awake */
    SPIN_NS_MIN = 1000,         /* below this spinning has failed often enough */
    SPIN_NS_PROBE = 100 * 1000, /* longer than there and back (some 70 us) */
    SPIN_NS_POLITE = 1000,      /* from here on the spinner offers its CPU: whom it waits for may need it */
    SPIN_PROBE = 16,            /* of so many waits that would sleep at once, one probes */
};

typedef struct spin_budget {
    uint32_t ns;
    uint32_t tries;
} spin_budget;

/* clang-format off */
#define SPIN_BUDGET_FULL {.ns = SPIN_NS_MAX}
/* clang-format on */

/* How long to watch this time; 0: not at all. */
static inline uint32_t spin_budget_now(spin_budget *b)
{
    b->tries++;
    if (b->ns >= SPIN_NS_MIN)
        return b->ns;
    return b->tries % SPIN_PROBE == 0 ? SPIN_NS_PROBE : 0;
}

static inline void spin_budget_learn(spin_budget *b, bool paid) { b->ns = paid ? SPIN_NS_MAX : b->ns / 2; }

/* So many pauses, of a loop that looks seldom. */
static inline void spin_pause(unsigned times)
{
#ifdef MOTET_SIM
    times = 1; /* the explorer chooses how long; more would be more of the same */
#endif
    for (; times; times--)
        cpu_relax();
}

/* Watches until `changed(arg)` or for `ns` nanoseconds or to the deadline. True: changed. */
static inline __attribute__((always_inline)) bool spin_watch(uint32_t ns, int64_t deadline,
                                                             bool (*changed)(const void *arg), const void *arg)
{
    int64_t begin = sys_now(), end = begin + ns;
    if (end > deadline)
        end = deadline;
    for (int64_t now = begin; now < end; now = sys_now()) {
        for (int i = 0; i < 16; i++) {
            if (changed(arg))
                return true;
            cpu_relax();
        }
        if (now - begin > SPIN_NS_POLITE)
            sys_yield();
    }
    return changed(arg);
}

/* Whether the machine has more than one CPU: with one, watching only keeps others from working. Not what this thread may
 * run on: one that is pinned waits for threads elsewhere. Asked once. */
bool motet__spin_pays(void);

#endif
