/* SPDX-License-Identifier: MIT */
/* Virtual threads as the processes of a family, which may die at any step, and those who see to their deaths. */
#ifndef MOTET_SIM_SCENARIOS_PROCESSES_H
#define MOTET_SIM_SCENARIOS_PROCESSES_H

#include "help.h"

#include "family/arena.h"
#include "family/claim.h"

enum { PROCESSES_MAX = 8 };

typedef struct process {
    void (*fn)(void *arg);
    void *arg;
    member_tag tag;
    int thread;
} process;

/* Zeroed memory in the arena. The main thread opens it, with itself as the first member. */
static inline void *arena(size_t size)
{
    SIM_CHECK_EQ(motet__family_open(), 0);
    void *p = motet__arena_alloc(size, ARENA_PLAIN);
    SIM_CHECK(p != NULL);
    return p;
}

static inline void process_lives(void *arg)
{
    process *p = arg;
    motet__family_tag = p->tag;
    p->fn(p->arg);
    sim_mortal(false);
}

static inline void process_lives_and_dies(void *arg)
{
    sim_mortal(true);
    process_lives(arg);
}

/* The member is made before the thread is, so that this is no part of what is explored. */
static inline process *process_start(bool mortal, void (*fn)(void *), void *arg, const char *name)
{
    static process all[PROCESSES_MAX];
    static int count;
    SIM_CHECK(count < PROCESSES_MAX);
    process *p = &all[count++];
    member_tag self = motet__family_tag;
    int64_t tag = motet__member_claim();
    SIM_CHECK(tag > 0);
    SIM_CHECK_EQ(motet__member_become((member_tag)tag), 0);
    motet__family_tag = self;
    *p = (process){.fn = fn, .arg = arg, .tag = (member_tag)tag};
    p->thread = sim_spawn(mortal ? process_lives_and_dies : process_lives, p, name);
    return p;
}

static inline process *survivor(void (*fn)(void *), const char *name) { return process_start(false, fn, NULL, name); }
static inline process *mortal(void (*fn)(void *), const char *name) { return process_start(true, fn, NULL, name); }

static inline bool died(const process *p) { return sim_dead(p->thread); }

/* Waits for the end of a process, and buries it if it died of it. */
static inline void see_to(void *arg)
{
    process *p = arg;
    sim_join(p->thread);
    if (died(p))
        motet__member_bury(p->tag);
}

/* Waits for all; `one`, unless it is NULL, first, and buries it if it died. */
static inline void end(process *one)
{
    if (one)
        see_to(one);
    sim_join_all();
}

/* One that has a process of its own to see to its end. */
static inline process *watched(void (*fn)(void *), const char *name)
{
    process *p = mortal(fn, name);
    process_start(false, see_to, p, "watcher");
    return p;
}

#endif
