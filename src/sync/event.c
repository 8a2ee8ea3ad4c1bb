/* SPDX-License-Identifier: MIT */
/* The event.
 *
 * The word: bit 0 SET, bit 1 WAITED (somebody may wait), the rest counts the sets that found it clear or waited for, modulo
 * 2^30. A waiter remembers the count that it began with: another one means that the event was set meanwhile, whatever it is
 * now. (A waiter that slept through exactly 2^30 of them, none of which woke it, would be mistaken.)
 *
 * A set is always a read-modify-write, on an event that is set too: "write x; set" against "clear; read x" must not both
 * miss the other, and clear acquires what every set before it published.
 *
 * A shared one is the same word, slept on in the kernel. It is all that there is: a waiter that dies leaves at most WAITED
 * behind, and who dies between the set and the wake is made up for by his death, which wakes all; WAITED was gone with the set,
 * but all look again. */
#include "sync/sync.h"

#include <limits.h>

enum { SET = 1, WAITED = 2, ONE = 4 };

_Static_assert(sizeof(motet_event) == 16, "part of the ABI");

static bool set_since(uint32_t word, uint32_t began)
{
    return (word & SET) || (word & -(uint32_t)ONE) != (began & -(uint32_t)ONE);
}

int motet_event_init(motet_event *e, int flags)
{
    int r = check_flags(e, flags, 0);
    if (r == 0)
        *e = (motet_event){.flags_ = (uint32_t)flags};
    return r;
}

int motet_event_set(motet_event *e)
{
    if (!e)
        return -EINVAL;
    bool shared = e->flags_;
    if (unlikely(shared) && motet__family_enter() < 0)
        return -EPERM;
    uint32_t word = atomic_load_relaxed(&e->word_), now;
    do
        now = word & SET ? word : ((word & ~(uint32_t)WAITED) + ONE) | SET;
    /* Publishes what came before the set. Then the event may be gone: only its address counts. */
    while (!atomic_cas_release(&e->word_, &word, now));
    if (word & SET || !(word & WAITED))
        return 0;
    if (shared)
        motet__family_wake(&e->word_, INT_MAX);
    else
        motet__unpark(e, UNPARK_ALL);
    return 0;
}

int motet_event_clear(motet_event *e)
{
    if (!e)
        return -EINVAL;
    if (unlikely(e->flags_) && motet__family_enter() < 0)
        return -EPERM;
    atomic_and_acq_rel(&e->word_, ~(uint32_t)SET);
    return 0;
}

bool motet_event_is_set(const motet_event *e) { return e && (atomic_load_acquire(&e->word_) & SET); }

bool motet__event_prepare(motet_event *e, wait_node *n)
{
    uint32_t word = atomic_load_acquire(&e->word_);
    while (!(word & SET)) {
        if ((word & WAITED) || atomic_cas_acq_rel(&e->word_, &word, word | WAITED)) {
            *n = (wait_node){.key = e, .word = &e->word_, .expected = word | WAITED};
            return false;
        }
    }
    return true;
}

bool motet__event_was_set(const motet_event *e, const wait_node *n)
{
    return set_since(atomic_load_acquire(&e->word_), n->expected);
}

static __attribute__((noinline)) int wait_shared(motet_event *e, motet_time deadline)
{
    if (motet__family_enter() < 0)
        return -EPERM;
    wait_node n, first;
    if (motet__event_prepare(e, &first))
        return 0;
    for (;;) {
        /* Before the word. */
        uint32_t deaths = motet__family_deaths();
        if (motet__event_prepare(e, &n) || motet__event_was_set(e, &first))
            return 0;
        int r = motet__family_wait(&e->word_, n.expected, deaths, deadline, 0);
        if (motet__event_was_set(e, &first))
            return 0;
        if (r < 0)
            return r;
    }
}

int motet_event_wait(motet_event *e, motet_time deadline)
{
    if (!e)
        return -EINVAL;
    if (unlikely(e->flags_))
        return wait_shared(e, deadline);
    wait_node n;
    if (motet__event_prepare(e, &n))
        return 0;
    uint32_t began = n.expected;
    for (;;) {
        int r = motet__park(&e->word_, n.expected, deadline, 0);
        if (set_since(atomic_load_acquire(&e->word_), began))
            return 0;
        if (r < 0)
            return r;
        /* A stray wake, or a word that another waiter changed. */
        if (motet__event_prepare(e, &n))
            return 0;
    }
}
