/* SPDX-License-Identifier: MIT */
/* The parking lot: waiters, wakers, and who decides. States and invariants: park.h. */
#include "park/park.h"

#include "base/afresh.h"
#include "base/panic.h"

enum { BUCKET_BITS = 8, BUCKETS = 1 << BUCKET_BITS };

typedef struct bucket {
    CACHE_ALIGNED guard guard;
    uint32_t count; /* nodes queued; changed under the guard, read by wakers without it */
    wait_node *first, *last;
} bucket;

static bucket buckets[BUCKETS];

static uint32_t used; /* 1: somebody has waited */

/* Those who waited are gone. Only what was in use is touched: a new process needs no memory for the rest. */
static void forget(void)
{
    for (int i = 0; i < BUCKETS && used; i++)
        if (buckets[i].count || buckets[i].guard.word)
            buckets[i] = (bucket){0};
}
AFRESH(forget);

static bucket *bucket_of(const void *key)
{
    /* Fibonacci hashing: the top bits of a product with 2^64 over the golden ratio. */
    return &buckets[((uint64_t)(uintptr_t)key * 0x9E3779B97F4A7C15u) >> (64 - BUCKET_BITS)];
}

/* ---- queueing -------------------------------------------------------------------------------------- */

static void announce(waiter *w, wait_node *n)
{
    bucket *b = bucket_of(n->key);
    n->owner = w;
#ifndef MOTET_SIM /* where one execution is to know nothing of the one before */
    if (unlikely(!atomic_load_relaxed(&used)))
        atomic_store_relaxed(&used, 1); /* relaxed: of interest to later copies of the process */
#endif
    guard_lock(&b->guard);
    /* seq_cst: before the look at the word; partner of the fence in unpark. */
    atomic_add_seq_cst(&b->count, 1);
    n->next = NULL;
    n->prev = b->last;
    *(b->last ? &b->last->next : &b->first) = n;
    b->last = n;
    n->queued = true;
    guard_unlock(&b->guard);
}

/* Under the bucket's guard. */
static void unlink_node(bucket *b, wait_node *n)
{
    *(n->prev ? &n->prev->next : &b->first) = n->next;
    *(n->next ? &n->next->prev : &b->last) = n->prev;
    n->queued = false;
    /* Relaxed: a waker that still counts it finds nobody. */
    atomic_sub_relaxed(&b->count, 1);
}

static void withdraw(wait_node *n)
{
    bucket *b = bucket_of(n->key);
    guard_lock(&b->guard);
    if (n->queued)
        unlink_node(b, n);
    guard_unlock(&b->guard);
}

/* ---- deciding -------------------------------------------------------------------------------------- */

/* True for the one party that may say how the wait ends. *asleep: it will have to be woken. */
static bool claim(waiter *w, bool *asleep)
{
    uint32_t state = atomic_load_relaxed(&w->state);
    while (state == WAITER_OPEN || state == WAITER_ASLEEP) {
        if (atomic_cas_acq_rel(&w->state, &state, WAITER_CLAIMED)) {
            *asleep = state == WAITER_ASLEEP;
            return true;
        }
    }
    return false;
}

/* Ends a wait that the caller claimed. The waiter may be gone when this returns. */
static void finish(waiter *w, int result, bool asleep)
{
    const park_backend *backend = w->backend;
    void *sleeper = w->sleeper;
    bool polls = w->eventfd >= 0;
    w->result = result;
    if (asleep && polls)
        sys_eventfd_signal(w->eventfd); /* before DONE: the waiter closes it soon after */
    /* Publishes the result. */
    uint32_t was = atomic_exchange_acq_rel(&w->state, WAITER_DONE);
    if ((asleep && !polls) || was == WAITER_CLAIMED_ASLEEP)
        backend->wake(sleeper);
}

static unsigned finish_all(wait_node *woken)
{
    unsigned n = 0;
    while (woken) {
        wait_node *next = woken->next;
        waiter *w = woken->owner;
        finish(w, (int)(woken - w->request->nodes), woken->asleep);
        woken = next;
        n++;
    }
    return n;
}

unsigned motet__unpark(const void *key, unsigned n)
{
    bucket *b = bucket_of(key);
    /* Between the caller's change of the word and the look at the count; partner of the add in announce. */
    atomic_fence_seq_cst();
    if (!atomic_load_relaxed(&b->count) || !motet__park_allowed())
        return 0;
    wait_node *woken = NULL, **tail = &woken;
    guard_lock(&b->guard);
    for (wait_node *next, *node = b->first; node && n; node = next) {
        next = node->next;
        if (node->key != key || !claim(node->owner, &node->asleep))
            continue;
        unlink_node(b, node);
        node->next = NULL;
        *tail = node;
        tail = &node->next;
        n--;
    }
    guard_unlock(&b->guard);
    return finish_all(woken);
}

/* ---- waiting --------------------------------------------------------------------------------------- */

/* The claimer is about to say how it ends: see it done. */
static int await_result(waiter *w)
{
    for (int i = 0;; i++) {
        uint32_t state = atomic_load_acquire(&w->state);
        if (state == WAITER_DONE)
            return w->result;
        if (i < 100) {
            cpu_relax();
        } else if (state == WAITER_CLAIMED_ASLEEP || atomic_cas_acq_rel(&w->state, &state, WAITER_CLAIMED_ASLEEP)) {
            w->backend->sleep(w, WAITER_CLAIMED_ASLEEP);
        }
    }
}

/* The waiter itself ends its wait with `result`, unless somebody was first. */
static int decide(waiter *w, int result)
{
    bool asleep;
    return claim(w, &asleep) ? result : await_result(w);
}

/* The first node whose word differs, or -1. */
static int differing(const park_request *r)
{
    for (size_t i = 0; i < r->nodes_count; i++)
        /* seq_cst: after the announcement. Acquire for what the changer published. */
        if (r->nodes[i].word && atomic_load_seq_cst(r->nodes[i].word) != r->nodes[i].expected)
            return (int)i;
    return -1;
}

static int sleep_until_decided(waiter *w)
{
    const park_self *self = motet__park_self();
    for (;;) {
        uint32_t state = WAITER_OPEN;
        if (!atomic_cas_acq_rel(&w->state, &state, WAITER_ASLEEP) && state != WAITER_ASLEEP)
            return await_result(w);
        int e = w->backend->sleep(w, WAITER_ASLEEP);
        if (e == -EINTR && !self->interruptible)
            continue;
        if (e != 0)
            return decide(w, e > 0 ? e - 1 : e);
    }
}

/* As above, and the thread's canceller sees the wait. */
static int sleep_cancellable(waiter *w, park_self *self)
{
    /* Under the guard: either the canceller sees this wait, or this wait sees its request. */
    guard_lock(&self->guard);
    self->current = w;
    bool cancelled = atomic_load_relaxed(&self->cancelled);
    guard_unlock(&self->guard);
    int result = cancelled ? decide(w, -ECANCELED) : sleep_until_decided(w);
    guard_lock(&self->guard);
    self->current = NULL;
    guard_unlock(&self->guard);
    return result;
}

/* The same of one that has seen a word differ. A waker that counts on others may have claimed it all the same: that wake is not
 * what it goes on by, and goes to the next who waits. */
static int decide_awake(waiter *w, int result)
{
    bool asleep;
    if (claim(w, &asleep))
        return result;
    int woken = await_result(w);
    if (woken == result)
        motet__unpark(w->request->nodes[result].key, 1);
    return woken;
}

static int wait_for_decision(waiter *w)
{
    const park_request *r = w->request;
    int i = differing(r);
    if (i >= 0)
        return decide_awake(w, i);
    if (r->deadline <= 0 || (r->deadline != MOTET_FOREVER && r->deadline <= sys_now()))
        return r->fds_count ? sleep_until_decided(w) : decide(w, -ETIMEDOUT);
    park_self *self = motet__park_self();
    bool cancellable = !(r->flags & PARK_NO_CANCEL) && !self->shielded;
    /* Relaxed: a request that comes later is seen before sleeping. */
    if (cancellable && atomic_load_relaxed(&self->cancelled))
        return decide(w, -ECANCELED);
    if (!(r->flags & PARK_NO_SPIN) && !r->fds_count && w->backend->spin(w))
        return await_result(w);
    return cancellable ? sleep_cancellable(w, self) : sleep_until_decided(w);
}

int motet__park_many(const park_request *r)
{
    if (!motet__park_allowed())
        return -EPERM;
    waiter w = {.backend = &motet__park_threads, .request = r, .eventfd = -1};
    w.sleeper = &w.state;
    if (r->fds_count) {
        w.eventfd = sys_eventfd();
        if (w.eventfd < 0)
            return w.eventfd;
    }
    for (size_t i = 0; i < r->nodes_count; i++)
        announce(&w, &r->nodes[i]);
    if (r->before_sleep)
        r->before_sleep(r->arg);
    int result = wait_for_decision(&w);
    for (size_t i = 0; i < r->nodes_count; i++)
        /* Only a waker that claimed this waiter unlinks its node, and that was before DONE: no guard to look. */
        if (r->nodes[i].queued)
            withdraw(&r->nodes[i]);
    if (w.eventfd >= 0)
        sys_close(w.eventfd);
    return result;
}

int motet__park(const uint32_t *word, uint32_t expected, motet_time deadline, unsigned flags)
{
    wait_node node = {.key = word, .word = word, .expected = expected};
    park_request r = {.nodes = &node, .nodes_count = 1, .deadline = deadline, .flags = flags};
    int result = motet__park_many(&r);
    return result < 0 ? result : 0;
}

void motet__park_cancel(park_self *self)
{
    guard_lock(&self->guard);
    atomic_store_relaxed(&self->cancelled, 1);
    bool asleep;
    waiter *w = self->current;
    if (w && claim(w, &asleep))
        finish(w, -ECANCELED, asleep);
    guard_unlock(&self->guard);
}
