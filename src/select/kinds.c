/* SPDX-License-Identifier: MIT */
/* An event and a future as things to wait for. Both wake all their waiters, so that nothing is passed on. */
#include "select/kinds.h"

#include "executor/future.h"
#include "sync/sync.h"

/* ---- event ----------------------------------------------------------------------------------------- */

/* Set now, or at any time since the node was first armed. */
static int attempt_event(void *object, void *arg, wait_node *node)
{
    motet_event *e = object;
    uint32_t *began = arg;
    if (motet_event_is_set(e))
        return 1;
    if (!node)
        return 0;
    bool armed = node->key != NULL;
    /* What the node expected may be gone: it is park's after a wake. */
    wait_node first = {.expected = *began};
    if (armed && motet__event_was_set(e, &first))
        return 1;
    if (motet__event_prepare(e, node))
        return 1;
    if (!armed)
        *began = node->expected;
    return 0;
}

const waitable_ops motet__event_waitable = {.attempt = attempt_event};

/* ---- future ---------------------------------------------------------------------------------------- */

static int attempt_future(void *object, void *arg, wait_node *node)
{
    motet_future *f = object;
    if (future_over(atomic_load_acquire(&f->state)))
        return 1;
    if (!node)
        return 0;
    const uint32_t *word = motet__future_state_word(f);
    uint32_t state = atomic_load_acquire(word);
    if (future_over(state))
        return 1;
    node->key = node->word = word;
    node->expected = state;
    return 0;
}

const waitable_ops motet__future_waitable = {.attempt = attempt_future};
