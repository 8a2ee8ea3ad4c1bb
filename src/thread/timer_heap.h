/* SPDX-License-Identifier: MIT */
/* Moments in order: the earliest is found at once, any one is taken out cheaply, and nothing allocates.
 *
 * A pairing heap (Fredman, Sedgewick, Sleator, Tarjan, 1986): adding costs a comparison, removing O(log n)
 * amortised. Of equal moments the one added first comes first. One thread at a time. */
#ifndef MOTET_THREAD_TIMER_HEAP_H
#define MOTET_THREAD_TIMER_HEAP_H

#include <motet/base.h>

/* Lives in what is timed. */
typedef struct timer_node {
    motet_time when;
    uint64_t sequence;
    struct timer_node *child, *next; /* the first child; the next sibling */
    struct timer_node *prev;         /* the sibling before, the parent of a first child, NULL for the root */
} timer_node;

/* Zero-initialise. Invariant: no node comes before its parent. */
typedef struct timer_heap {
    timer_node *first; /* the root; NULL: empty */
    uint64_t sequence; /* of the next node */
} timer_heap;

/* Adds `n`, which is in no heap, at `when`. */
void motet__timer_heap_add(timer_heap *h, timer_node *n, motet_time when);

/* Takes out `n`, which is in the heap. */
void motet__timer_heap_remove(timer_heap *h, timer_node *n);

#endif
