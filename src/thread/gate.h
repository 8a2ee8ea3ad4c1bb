/* SPDX-License-Identifier: MIT */
/* For tests: a gate, closed until somebody opens it; a counter that can be waited for. No cancellation points. */
#ifndef MOTET_THREAD_GATE_H
#define MOTET_THREAD_GATE_H

#include "park/park.h"

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

static inline void gate_open(uint32_t *word)
{
    gate_count(word);
}

#endif
