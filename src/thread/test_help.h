/* SPDX-License-Identifier: MIT */
/* For tests: a gate, closed until somebody opens it; a counter that can be waited for, no cancellation point
 * either; and short ways to start and join. */
#ifndef MOTET_THREAD_TEST_HELP_H
#define MOTET_THREAD_TEST_HELP_H

#include "runner.h"

#include "park/park.h"

#include <motet/thread.h>

/* Waits until *word is at least `n`. */
static inline void gate_await(uint32_t *word, uint32_t n)
{
    uint32_t now;
    while ((now = atomic_load_acquire(word)) < n)
        motet__park(word, now, MOTET_FOREVER, PARK_NO_CANCEL);
}

/* Adds one, and returns what it is then. */
static inline uint32_t gate_count(uint32_t *word)
{
    uint32_t now = atomic_add_acq_rel(word, 1) + 1;
    motet__unpark(word, UNPARK_ALL);
    return now;
}

static inline void gate_open(uint32_t *word) { gate_count(word); }

/* ---- threads --------------------------------------------------------------------------------------- */

static inline motet_thread *start(motet_fn *fn, void *arg)
{
    motet_thread *t = NULL;
    CHECK_EQ(motet_thread_start(&t, fn, arg, NULL), 0);
    return t;
}

static inline int join(motet_thread *t)
{
    int code = 0;
    CHECK_EQ(motet_thread_join(t, &code, MOTET_FOREVER), 0);
    return code;
}

static inline int join_and_free(motet_thread *t)
{
    int code = join(t);
    motet_thread_free(t);
    return code;
}

static inline int await_gate(void *gate)
{
    gate_await(gate, 1);
    return 7;
}

static inline int join_it(void *t) { return join(t); }

static inline int nothing(void *arg) { return 0; }

#endif
