/* SPDX-License-Identifier: MIT */
/* Moments in order. */
#include "thread/timer_heap.h"

static bool before(const timer_node *a, const timer_node *b)
{
    return a->when != b->when ? a->when < b->when : a->sequence < b->sequence;
}

/* Two roots become one; either may be NULL. */
static timer_node *meld(timer_node *a, timer_node *b)
{
    if (!a || !b)
        return a ? a : b;
    if (before(b, a)) {
        timer_node *t = a;
        a = b;
        b = t;
    }
    b->prev = a;
    b->next = a->child;
    if (b->next)
        b->next->prev = b;
    a->child = b;
    a->next = a->prev = NULL;
    return a;
}

/* One root of all siblings from `n` on: pairs from left to right, then the pairs from right to left, which is
 * where the amortised bound comes from. */
static timer_node *meld_siblings(timer_node *n)
{
    timer_node *pairs = NULL, *root = NULL;
    while (n) {
        timer_node *a = n, *b = n->next;
        n = b ? b->next : NULL;
        a->next = a->prev = NULL;
        if (b)
            b->next = b->prev = NULL;
        a = meld(a, b);
        a->next = pairs;
        pairs = a;
    }
    while (pairs) {
        timer_node *next = pairs->next;
        pairs->next = NULL;
        root = meld(root, pairs);
        pairs = next;
    }
    return root;
}

void motet__timer_heap_add(timer_heap *h, timer_node *n, motet_time when)
{
    *n = (timer_node){.when = when, .sequence = h->sequence++};
    h->first = meld(h->first, n);
}

void motet__timer_heap_remove(timer_heap *h, timer_node *n)
{
    timer_node *below = meld_siblings(n->child);
    if (n == h->first) {
        h->first = below;
    } else {
        *(n->prev->child == n ? &n->prev->child : &n->prev->next) = n->next;
        if (n->next)
            n->next->prev = n->prev;
        h->first = meld(h->first, below);
    }
    n->child = n->next = n->prev = NULL;
}
