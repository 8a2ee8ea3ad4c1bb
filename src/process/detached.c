/* SPDX-License-Identifier: MIT */
/* Children that were freed while they ran. Somebody must reap them, or they stay zombies; a thread for that would be there
 * for a few children, so each start and each free looks at some of them instead (as Python's subprocess does).
 *
 * Bounded: a look at LOOKS children per call, in turn, while a call adds one child at most; so those that have ended
 * are found after at most (children detached) / LOOKS calls. Their descriptors are the pidfds alone.
 *
 * Fork rule: the child of a raw fork never comes here; it has no children. */
#include "base/afresh.h"
#include "process/child.h"

enum { LOOKS = 8 };

static guard list_guard;
static list_link list = {&list, &list}; /* of motet_child.detached, under list_guard */
static uint32_t count;                  /* of them; changed under list_guard, read without it as a hint */

/* They are the parent's children. */
static void forget(void)
{
    list_guard = (guard){0};
    list_init(&list);
    count = 0;
}
AFRESH(forget);

void motet__child_detach(motet_child *c)
{
    guard_lock(&list_guard);
    list_insert_before(&list, &c->detached);
    /* Relaxed: a sweep that misses it leaves it to the next. */
    atomic_add_relaxed(&count, 1);
    guard_unlock(&list_guard);
}

/* The first child, taken off the list; NULL when there is none. */
static motet_child *take_first(void)
{
    motet_child *c = NULL;
    guard_lock(&list_guard);
    if (!list_empty(&list)) {
        c = container_of(list.next, motet_child, detached);
        list_remove(&c->detached);
        atomic_sub_relaxed(&count, 1);
    }
    guard_unlock(&list_guard);
    return c;
}

void motet__child_sweep(void)
{
    uint32_t looks = atomic_load_relaxed(&count);
    if (looks > LOOKS)
        looks = LOOKS;
    for (; looks; looks--) {
        motet_child *c = take_first();
        if (!c)
            return;
        if (motet__child_over(c))
            motet__child_destroy(c);
        else
            motet__child_detach(c);
    }
}
