/* SPDX-License-Identifier: MIT */
/* What scenarios share. */
#ifndef MOTET_SIM_SCENARIOS_HELP_H
#define MOTET_SIM_SCENARIOS_HELP_H

#include "sim.h"

#include <motet/motet.h>

/* Starts `n` threads that run fn(number). */
static inline void spawn_many(int n, void (*fn)(void *))
{
    static const char *const names[] = {"one", "two", "three", "four", "five"};
    for (int i = 0; i < n; i++)
        sim_spawn(fn, (void *)(intptr_t)i, names[i]);
}

/* Starts them, and waits for them. */
static inline void run_many(int n, void (*fn)(void *))
{
    spawn_many(n, fn);
    sim_join_all();
}

/* What a critical section does: a plain read and write, so that two in it at once are a data race, and a lost update. */
static inline void plain_add(int *p, int n) { SIM_WRITE(p, SIM_READ(p) + n); }

#endif
