/* SPDX-License-Identifier: MIT */
/* Queues of items: open, put, get, many at once, shutdown, close; and how everything in a queue waits. The
 * rules and why no wake is lost: queue.h. */
#include "queue/queue.h"

#include "queue/message.h"
#include "queue/store.h"

#include <limits.h>

/* ---- the lock -------------------------------------------------------------------------------------- */

/* How many of the gate's waiters are to be told, so that W holds when there are `there` for them. */
static uint32_t due(const motet_queue *q, gate *g, size_t there)
{
    uint32_t wanted = queue_is_shut(q) || there > g->waiting ? g->waiting : (uint32_t)there;
    uint32_t n = wanted > g->woken ? wanted - g->woken : 0;
    g->woken += n;
    return n;
}

static void bump(uint32_t *seq)
{
    atomic_store_relaxed(seq, *seq + 1); /* relaxed: unpark's fence follows, and readers take the guard */
}

void motet__queue_unlock_waking(motet_queue *q)
{
    uint32_t getters = due(q, &q->getters, q->count);
    uint32_t putters = due(q, &q->putters, q->capacity - q->count);
    const uint32_t *getters_key = &q->getters_seq, *putters_key = &q->putters_seq;
    if (getters)
        bump(&q->getters_seq);
    if (putters)
        bump(&q->putters_seq);
    guard_unlock(&q->guard);
    /* The queue may be gone. */
    if (getters)
        motet__unpark(getters_key, getters);
    if (putters)
        motet__unpark(putters_key, putters);
}

void motet__queue_unlock_shrinking(motet_queue *q)
{
    unsigned char *old = motet__store_shrink(q);
    queue_unlock(q);
    sys_free(old);
}

/* Under the guard, which it drops while it waits: waits once for a wake of the gate. What park returned. */
static int wait_once(motet_queue *q, gate *g, const uint32_t *seq, motet_time deadline)
{
    if (deadline <= 0)
        return -ETIMEDOUT;
    uint32_t seen = *seq;
    g->waiting++;
    queue_unlock(q);
    int e = motet__park(seq, seen, deadline, 0);
    queue_lock(q);
    gate_leave(q, g);
    return e;
}

/* The guard is held when it returns 0. A wait whose deadline has passed takes what is there nevertheless. */
static int get_or_wait(motet_queue *q, motet_time deadline)
{
    int e = 0;
    for (;;) {
        if (q->count && (e == 0 || e == -ETIMEDOUT))
            return 0;
        if (queue_is_shut(q) && !q->count)
            e = -EPIPE;
        if (e < 0)
            break;
        e = wait_once(q, &q->getters, &q->getters_seq, deadline);
    }
    queue_unlock(q);
    return e;
}

int motet__queue_lock_to_get(motet_queue *q, motet_time deadline)
{
    if (unlikely(!motet__park_allowed()))
        return -EPERM;
    queue_lock(q);
    return likely(q->count) ? 0 : get_or_wait(q, deadline);
}

int motet__queue_make_room(motet_queue *q, size_t want)
{
    size_t target = q->count + want, mask;
    queue_unlock(q);
    unsigned char *slots = motet__store_alloc(q, target, &mask);
    queue_lock(q);
    if (!slots)
        return -ENOMEM;
    /* Somebody may have been here meanwhile. */
    unsigned char *old = mask > q->mask ? motet__store_grow(q, slots, mask) : slots;
    if (old) {
        queue_unlock(q);
        sys_free(old);
        queue_lock(q);
    }
    return 0;
}

/* Under the guard, below capacity: slots for up to `want`. 1 there are, or for as many as memory allows; 0
 * the guard was dropped, look again; -ENOMEM. */
static int have_slots(motet_queue *q, size_t *want)
{
    size_t room = q->capacity - q->count, fits = *want < room ? *want : room;
    if (likely(q->mask + 1 - q->count >= fits))
        return 1;
    int e = motet__queue_make_room(q, fits);
    if (e == 0 || (*want == 1 && q->count > q->mask))
        return e;
    *want = 1; /* then with as many as there are slots for */
    return 0;
}

static int put_or_wait(motet_queue *q, size_t want, motet_time deadline)
{
    int e = 0;
    for (;;) {
        if (queue_is_shut(q)) {
            e = -EPIPE;
        } else if (q->count < q->capacity && (e == 0 || e == -ETIMEDOUT)) {
            e = have_slots(q, &want);
            if (e == 1)
                return 0;
            if (e == 0)
                continue;
        }
        if (e < 0)
            break;
        e = wait_once(q, &q->putters, &q->putters_seq, deadline);
    }
    queue_unlock(q);
    return e;
}

int motet__queue_lock_to_put(motet_queue *q, size_t want, motet_time deadline)
{
    if (unlikely(!motet__park_allowed()))
        return -EPERM;
    queue_lock(q);
    if (likely(q->count <= q->mask && q->count < q->capacity && !queue_is_shut(q) && want == 1))
        return 0;
    return put_or_wait(q, want, deadline);
}

/* ---- items ----------------------------------------------------------------------------------------- */

int motet_queue_put(motet_queue *q, const void *item, motet_time deadline)
{
    if (!q || !item || !q->item_size)
        return -EINVAL;
    int e = motet__queue_lock_to_put(q, 1, deadline);
    if (unlikely(e < 0))
        return e;
    store_push(q, item, q->item_size);
    queue_unlock(q);
    return 0;
}

int motet_queue_get(motet_queue *q, void *item, motet_time deadline)
{
    if (!q || !item || !q->item_size)
        return -EINVAL;
    int e = motet__queue_lock_to_get(q, deadline);
    if (unlikely(e < 0))
        return e;
    store_pop(q, item, q->item_size);
    q->in_hand++;
    queue_unlock_taken(q);
    return 0;
}

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

int motet_queue_put_many(motet_queue *q, const void *items, size_t n, motet_time deadline)
{
    if (!q || !items || !q->item_size)
        return -EINVAL;
    if (n == 0)
        return 0;
    n = least(n, INT_MAX);
    int e = motet__queue_lock_to_put(q, n, deadline);
    if (e < 0)
        return e;
    n = least(n, least(q->capacity, q->mask + 1) - q->count);
    motet__store_push_many(q, items, n);
    queue_unlock(q);
    return (int)n;
}

int motet_queue_get_many(motet_queue *q, void *items, size_t n, motet_time deadline)
{
    if (!q || !items || !q->item_size)
        return -EINVAL;
    if (n == 0)
        return 0;
    int e = motet__queue_lock_to_get(q, deadline);
    if (e < 0)
        return e;
    n = least(least(n, INT_MAX), q->count);
    motet__store_pop_many(q, items, n);
    q->in_hand += n;
    queue_unlock_taken(q);
    return (int)n;
}

/* ---- how it stands --------------------------------------------------------------------------------- */

size_t motet_queue_size(const motet_queue *q) { return q ? atomic_load_relaxed(&q->count) : 0; }

bool motet_queue_empty(const motet_queue *q) { return motet_queue_size(q) == 0; }

bool motet_queue_full(const motet_queue *q) { return q && motet_queue_size(q) >= q->capacity; }

/* ---- counting what is done ------------------------------------------------------------------------- */

int motet_queue_task_done(motet_queue *q)
{
    if (!q)
        return -EINVAL;
    if (!motet__park_allowed())
        return -EPERM;
    queue_lock(q);
    bool counted = q->in_hand > 0;
    q->in_hand -= counted;
    const uint32_t *key = &q->joiners_seq;
    bool over = counted && q->in_hand == 0 && q->count == 0 && q->joiners;
    if (over)
        bump(&q->joiners_seq);
    queue_unlock(q);
    if (over)
        motet__unpark(key, UNPARK_ALL);
    return counted ? 0 : -EINVAL;
}

/* Under the guard, which it drops while it waits. */
static int join_wait_once(motet_queue *q, motet_time deadline)
{
    uint32_t seen = q->joiners_seq;
    q->joiners++;
    queue_unlock(q);
    int e = motet__park(&q->joiners_seq, seen, deadline, 0);
    queue_lock(q);
    q->joiners--;
    if (q->flags & QUEUE_CLOSING) {
        bump(&q->left_seq);
        motet__unpark(&q->left_seq, 1);
    }
    return e;
}

int motet_queue_join(motet_queue *q, motet_time deadline)
{
    if (!q)
        return -EINVAL;
    if (!motet__park_allowed())
        return -EPERM;
    int e = 0;
    queue_lock(q);
    while (e >= 0 && (q->count || q->in_hand))
        e = q->flags & QUEUE_CLOSING ? -EPIPE : join_wait_once(q, deadline);
    /* What a late look finds done is done. */
    if (e == -ETIMEDOUT && !q->count && !q->in_hand)
        e = 0;
    queue_unlock(q);
    return e;
}

/* ---- open, shutdown, close ------------------------------------------------------------------------- */

static const motet_queue_options defaults;

static int check_options(size_t item_size, const motet_queue_options *opt)
{
    if ((unsigned)opt->order > MOTET_PRIORITY || (opt->order == MOTET_PRIORITY) != (opt->compare != NULL))
        return -EINVAL;
    if (item_size > MOTET_QUEUE_ITEM_SIZE_MAX)
        return -EMSGSIZE;
    return opt->shared ? -ENOTSUP : 0;
}

/* From slot to slot. In a heap the item is followed by its number, and stays aligned as its own
 * size demands. */
static size_t stride_of(size_t copy_size, motet_queue_order order)
{
    if (order != MOTET_PRIORITY)
        return copy_size;
    size_t align = copy_size % 16 == 0 ? 16 : 8;
    return (copy_size + sizeof(uint64_t) + align - 1) & ~(align - 1);
}

int motet_queue_open(motet_queue **ret, size_t item_size, const motet_queue_options *opt)
{
    opt = opt ? opt : &defaults;
    int e = ret ? check_options(item_size, opt) : -EINVAL;
    if (e < 0)
        return e;
    if (!motet__park_allowed())
        return -EPERM;
    motet_queue *q = sys_alloc_lines(sizeof *q);
    if (!q)
        return -ENOMEM;
    q->item_size = item_size;
    q->copy_size = item_size ? item_size : sizeof(motet_message *);
    q->stride = stride_of(q->copy_size, opt->order);
    q->capacity = opt->capacity ? opt->capacity : SIZE_MAX;
    q->order = opt->order;
    q->compare = opt->compare;
    q->slots = motet__store_alloc(q, motet__store_first_slots(q), &q->mask);
    if (!q->slots) {
        sys_free(q);
        return -ENOMEM;
    }
    *ret = q;
    return 0;
}

int motet_queue_shutdown(motet_queue *q)
{
    if (!q)
        return -EINVAL;
    if (!motet__park_allowed())
        return -EPERM;
    queue_lock(q);
    atomic_store_relaxed(&q->flags, q->flags | QUEUE_SHUT);
    queue_unlock(q); /* tells all who wait */
    return 0;
}

/* Ends every call that waits, and sees them leave. */
static void drive_out(motet_queue *q)
{
    queue_lock(q);
    atomic_store_relaxed(&q->flags, q->flags | QUEUE_SHUT | QUEUE_CLOSING);
    bump(&q->joiners_seq);
    while (q->getters.waiting || q->putters.waiting || q->joiners) {
        uint32_t seen = q->left_seq;
        queue_unlock(q);
        motet__unpark(&q->joiners_seq, UNPARK_ALL);
        motet__park(&q->left_seq, seen, MOTET_FOREVER, PARK_NO_CANCEL);
        queue_lock(q);
    }
    queue_unlock(q);
}

motet_queue *motet_queue_close(motet_queue *q)
{
    if (!q)
        return NULL;
    if (motet__park_allowed()) /* else nobody is left to wait for, and the guard may be held for ever */
        drive_out(q);
    motet_message *m;
    while (!q->item_size && q->count) {
        store_pop(q, &m, sizeof m);
        motet_message_unref(m);
    }
    sys_free(q->spare);
    sys_free(q->slots);
    sys_free(q);
    return NULL;
}
