/* SPDX-License-Identifier: MIT */
/* Waiting for several futures: all, any, and one by one as they get over. */
#include "executor/future.h"
#include "executor/worker.h"

#include "park/park.h"

enum { NODES_ON_STACK = 32 };

static bool all_there(motet_future *const *f, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!f[i])
            return false;
    return true;
}

int motet_wait_all(motet_future *const *f, size_t n, motet_time deadline)
{
    if ((!f && n) || !all_there(f, n))
        return -EINVAL;
    for (size_t i = 0; i < n; i++) {
        int e = motet_future_wait(f[i], deadline);
        if (e < 0)
            return e;
    }
    return 0;
}

/* ---- any ------------------------------------------------------------------------------------------- */

static int first_over(motet_future *const *f, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (future_over(atomic_load_acquire(&f[i]->state)))
            return (int)i;
    return -1;
}

/* Parks on all the words at once until one of the futures is over. */
static int park_any(motet_future *const *f, size_t n, wait_node *nodes, motet_time deadline)
{
    for (;;) {
        for (size_t i = 0; i < n; i++) {
            const uint32_t *word = motet__future_state_word(f[i]);
            uint32_t value = atomic_load_acquire(word);
            if (future_over(value))
                return (int)i;
            nodes[i] = (wait_node){.key = word, .word = word, .expected = value};
        }
        park_request r = {.nodes = nodes, .nodes_count = n, .deadline = deadline};
        int e = motet__park_many(&r);
        if (e < 0)
            return e;
    }
}

/* A worker that nobody can stand in for runs others while it waits for the first to arrive. */
static int help_until_any(motet_future *const *f, size_t n, motet_time deadline)
{
    motet_completions *it;
    motet_future *first;
    int e = motet_completions_open(&it, f, n);
    if (e < 0)
        return e;
    e = motet_completions_next(it, &first, deadline);
    motet_completions_close(it);
    return e < 0 ? e : first_over(f, n);
}

int motet_wait_any(motet_future *const *f, size_t n, motet_time deadline)
{
    if (!f || !n || n > INT32_MAX || !all_there(f, n))
        return -EINVAL;
    int i = first_over(f, n);
    if (i >= 0)
        return i;
    if (!motet__park_allowed())
        return -EPERM;
    if (n == 1)
        return motet_future_wait(f[0], deadline);
    executor_worker *w = motet__worker_current();
    if (w && !w->ops->block(w))
        return help_until_any(f, n, deadline);
    wait_node few[NODES_ON_STACK];
    wait_node *nodes = n <= NODES_ON_STACK ? few : sys_alloc(n * sizeof *nodes);
    int e = nodes ? park_any(f, n, nodes, deadline) : -ENOMEM;
    if (nodes != few)
        sys_free(nodes);
    if (w)
        w->ops->unblock(w);
    return e;
}

/* ---- as completed ---------------------------------------------------------------------------------- */

/* Each future's callback appends its entry to the list; next takes the first. The callbacks that have not run share the
 * memory with the opener. */
typedef struct completion {
    motet_completions *of;
    motet_future *future;
    struct completion *next;
} completion;

struct motet_completions {
    guard guard; /* of the list */
    completion *first, **end;
    uint32_t arrived; /* word: how many were appended */
    uint32_t references;
    size_t given, n;
    completion entries[];
};

static void completions_unref(motet_completions *it, uint32_t n)
{
    if (atomic_sub_acq_rel(&it->references, n) == n)
        sys_free(it);
}

static void on_done(motet_future *f, void *arg)
{
    completion *c = arg;
    motet_completions *it = c->of;
    guard_lock(&it->guard);
    c->next = NULL;
    *it->end = c;
    it->end = &c->next;
    guard_unlock(&it->guard);
    atomic_add_release(&it->arrived, 1);
    motet__unpark(&it->arrived, UNPARK_ALL);
    completions_unref(it, 1);
}

int motet_completions_open(motet_completions **it, motet_future *const *f, size_t n)
{
    if (!it || (!f && n) || n >= INT32_MAX || !all_there(f, n))
        return -EINVAL;
    motet_completions *made = sys_alloc_zero(1, sizeof *made + n * sizeof *made->entries);
    if (!made)
        return -ENOMEM;
    made->end = &made->first;
    made->references = (uint32_t)n + 1;
    made->n = n;
    for (size_t i = 0; i < n; i++) {
        made->entries[i] = (completion){.of = made, .future = motet_future_ref(f[i])};
        int e = motet_future_on_done(f[i], on_done, &made->entries[i]);
        if (e < 0) {
            /* Those registered find their memory alive; the others never will call. */
            for (size_t k = i + 1; k < n; k++)
                made->entries[k].future = NULL;
            completions_unref(made, (uint32_t)(n - i));
            motet_completions_close(made);
            return e;
        }
    }
    *it = made;
    return 0;
}

int motet_completions_next(motet_completions *it, motet_future **f, motet_time deadline)
{
    if (!it || !f)
        return -EINVAL;
    if (it->given == it->n)
        return -ENOENT;
    int e = motet__worker_wait(&it->arrived, (uint32_t)it->given + 1, deadline);
    if (e < 0)
        return e;
    guard_lock(&it->guard);
    completion *c = it->first;
    it->first = c->next;
    if (!it->first)
        it->end = &it->first;
    guard_unlock(&it->guard);
    it->given++;
    *f = c->future;
    return 0;
}

motet_completions *motet_completions_close(motet_completions *it)
{
    if (!it)
        return NULL;
    for (size_t i = 0; i < it->n; i++)
        motet_future_unref(it->entries[i].future);
    completions_unref(it, 1);
    return NULL;
}
