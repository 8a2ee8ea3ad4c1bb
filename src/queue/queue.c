/* SPDX-License-Identifier: MIT */
/* Queues of items: open, put, get, many at once, shutdown, close; and how everything in a queue waits. The
 * rules and why no wake is lost: queue.h. */
#include "queue/queue.h"

#include "base/sys_nap.h"
#include "queue/message.h"
#include "queue/ring.h"

#include <limits.h>

enum { CLOSE_NAP_NS = 10 * 1000 }; /* between the looks of close at calls that watch and have not noticed yet */

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

/* How many of the gate's waiters are to be told now. */
static uint32_t settle(motet_queue *q, gate *g)
{
    if (q->order == MOTET_FIFO)
        return motet__ring_settle(q, g, due);
    return due(q, g, g == &q->getters ? q->count : q->capacity - q->count);
}

static void show(motet_queue *q)
{
    bool untold = q->getters.waiting > q->getters.woken || q->putters.waiting > q->putters.woken;
    uint32_t flags = q->flags & ~(uint32_t)QUEUE_SHOWN;
    /* relaxed: who reads it without the guard does not look at this one */
    atomic_store_relaxed(&q->flags, untold ? flags | QUEUE_SHOWN : flags);
}

void motet__queue_unlock_waking(motet_queue *q)
{
    uint32_t getters = settle(q, &q->getters), putters = settle(q, &q->putters);
    const uint32_t *getters_key = &q->getters_seq, *putters_key = &q->putters_seq;
    if (getters)
        bump(&q->getters_seq);
    if (putters)
        bump(&q->putters_seq);
    show(q);
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
    queue_unlock(q); /* if something came just now, it tells this waiter among others */
    int e = motet__park(seq, seen, deadline, q->order == MOTET_FIFO ? PARK_NO_SPIN : 0);
    queue_lock(q);
    gate_leave(q, g);
    return e;
}

/* Under the guard. A wait whose deadline has passed takes what is there nevertheless. */
static int get_or_wait(motet_queue *q, void *items, size_t n, size_t *room, motet_time deadline)
{
    int e = 0;
    for (;;) {
        int got = e == 0 || e == -ETIMEDOUT ? motet__store_get(q, items, n, room) : 0;
        if (got != 0)
            return got;
        if (queue_is_shut(q) && motet_queue_empty(q))
            return -EPIPE;
        if (e < 0)
            return e;
        e = wait_once(q, &q->getters, &q->getters_seq, deadline);
    }
}

/* Begins a get that has to wait: true, it watched the ring and got one, the only one wanted; or the guard is held. */
static bool watch_or_lock_to_get(motet_queue *q, void *items, size_t n, const size_t *room, motet_time deadline)
{
    if (q->order != MOTET_FIFO || deadline <= 0) {
        queue_lock(q);
        return false;
    }
    atomic_add_relaxed(&q->out.watching, 1); /* relaxed: close adds to it too, so that it sees this */
    bool got = motet__ring_watch(q, false, deadline) && n == 1 && !room && ring_get(q, items, q->copy_size);
    if (!got)
        queue_lock(q);
    atomic_sub_release(&q->out.watching, 1); /* the last access, or under the guard; partner in see_watchers_leave */
    return got;
}

int motet__queue_get(motet_queue *q, void *items, size_t n, size_t *room, motet_time deadline)
{
    if (unlikely(!motet__park_allowed()))
        return -EPERM;
    if (watch_or_lock_to_get(q, items, n, room, deadline))
        return 1;
    int e = get_or_wait(q, items, n, room, deadline);
    if (e > 0)
        queue_unlock_taken(q);
    else
        queue_unlock(q);
    return e;
}

/* Under the guard, which it drops and takes again: tries to have so many slots. 0: look again; -ENOMEM. */
static int make_room(motet_queue *q, size_t slots_count)
{
    size_t mask;
    queue_unlock(q);
    unsigned char *slots = motet__store_alloc(q, slots_count, &mask);
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

int motet__queue_put_now(motet_queue *q, const void *items, size_t n)
{
    size_t want = n, slots;
    while (!queue_is_shut(q)) {
        int put = motet__store_put(q, items, n, want, &slots);
        if (put != -ENOBUFS)
            return put;
        int e = make_room(q, slots);
        if (e < 0 && want == 1)
            return e;
        if (e < 0)
            want = 1; /* then as many as there are slots for */
    }
    return -EPIPE;
}

static int put_or_wait(motet_queue *q, const void *items, size_t n, motet_time deadline)
{
    int e = 0;
    for (;;) {
        int put = e == 0 || e == -ETIMEDOUT ? motet__queue_put_now(q, items, n) : 0;
        if (put != 0)
            return put;
        if (e < 0)
            return queue_is_shut(q) ? -EPIPE : e;
        e = wait_once(q, &q->putters, &q->putters_seq, deadline);
    }
}

/* As watch_or_lock_to_get. */
static bool watch_or_lock_to_put(motet_queue *q, const void *items, size_t n, motet_time deadline)
{
    if (q->order != MOTET_FIFO || deadline <= 0) {
        queue_lock(q);
        return false;
    }
    atomic_add_relaxed(&q->in.watching, 1);
    bool put = motet__ring_watch(q, true, deadline) && n == 1 && ring_put(q, items, q->copy_size);
    if (!put)
        queue_lock(q);
    atomic_sub_release(&q->in.watching, 1);
    return put;
}

int motet__queue_put(motet_queue *q, const void *items, size_t n, motet_time deadline)
{
    if (unlikely(!motet__park_allowed()))
        return -EPERM;
    if (watch_or_lock_to_put(q, items, n, deadline))
        return 1;
    int e = put_or_wait(q, items, n, deadline);
    queue_unlock(q);
    return e;
}

/* ---- items ----------------------------------------------------------------------------------------- */

static bool is_ring(const motet_queue *q) { return likely(q->order == MOTET_FIFO) && likely(motet__park_allowed()); }

/* One that need not wait; else refuses. */
static bool put_quickly(motet_queue *q, const void *item)
{
    if (unlikely(!motet__park_allowed()))
        return false;
    if (likely(q->order == MOTET_FIFO))
        return ring_put(q, item, q->item_size);
    queue_lock(q);
    bool fits = q->count < q->limit && !queue_is_shut(q);
    if (fits)
        pile_push(q, item, q->item_size);
    queue_unlock(q);
    return fits;
}

static bool get_quickly(motet_queue *q, void *item)
{
    if (unlikely(!motet__park_allowed()))
        return false;
    if (likely(q->order == MOTET_FIFO))
        return ring_get(q, item, q->item_size);
    queue_lock(q);
    bool there = q->count;
    if (there)
        pile_pop(q, item, q->item_size);
    queue_unlock_taken(q);
    return there;
}

int motet_queue_put(motet_queue *q, const void *item, motet_time deadline)
{
    if (!q || !item || !q->item_size)
        return -EINVAL;
    if (likely(put_quickly(q, item)))
        return 0;
    int e = motet__queue_put(q, item, 1, deadline);
    return e < 0 ? e : 0;
}

int motet_queue_get(motet_queue *q, void *item, motet_time deadline)
{
    if (!q || !item || !q->item_size)
        return -EINVAL;
    if (likely(get_quickly(q, item)))
        return 0;
    int e = motet__queue_get(q, item, 1, NULL, deadline);
    return e < 0 ? e : 0;
}

int motet_queue_put_many(motet_queue *q, const void *items, size_t n, motet_time deadline)
{
    if (!q || !items || !q->item_size)
        return -EINVAL;
    if (n == 0)
        return 0;
    n = store_least(n, INT_MAX);
    if (is_ring(q) && motet__ring_put_all(q, items, n))
        return (int)n;
    return motet__queue_put(q, items, n, deadline);
}

int motet_queue_get_many(motet_queue *q, void *items, size_t n, motet_time deadline)
{
    if (!q || !items || !q->item_size)
        return -EINVAL;
    if (n == 0)
        return 0;
    n = store_least(n, INT_MAX);
    if (is_ring(q) && motet__ring_get_all(q, items, n))
        return (int)n;
    return motet__queue_get(q, items, n, NULL, deadline);
}

/* ---- how it stands --------------------------------------------------------------------------------- */

size_t motet_queue_size(const motet_queue *q)
{
    if (!q)
        return 0;
    return q->order == MOTET_FIFO ? ring_count(q) : atomic_load_relaxed(&q->count);
}

bool motet_queue_empty(const motet_queue *q) { return motet_queue_size(q) == 0; }

bool motet_queue_full(const motet_queue *q) { return q && motet_queue_size(q) >= q->capacity; }

/* ---- counting what is done ------------------------------------------------------------------------- */

/* Under the guard: how many were got, ever. */
static uint64_t got(const motet_queue *q)
{
    /* acquire: as all who look at an end; whoever got what is done knows that it was got */
    return q->order == MOTET_FIFO ? ring_position(atomic_load_acquire(&q->out.word)) : q->got;
}

/* Under the guard: whether something that was put is not yet done. */
static bool unfinished(const motet_queue *q)
{
    if (q->order == MOTET_FIFO)
        return ring_position(atomic_load_acquire(&q->in.word)) != q->done;
    return q->got + q->count != q->done;
}

int motet_queue_task_done(motet_queue *q)
{
    if (!q)
        return -EINVAL;
    if (!motet__park_allowed())
        return -EPERM;
    queue_lock(q);
    bool counted = got(q) > q->done;
    q->done += counted;
    const uint32_t *key = &q->joiners_seq;
    bool over = counted && q->joiners && !unfinished(q);
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
    while (e >= 0 && unfinished(q))
        e = q->flags & QUEUE_CLOSING ? -EPIPE : join_wait_once(q, deadline);
    /* What a late look finds done is done. */
    if (e == -ETIMEDOUT && !unfinished(q))
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
    size_t mask;
    unsigned char *slots = motet__store_alloc(q, motet__store_first_slots(q), &mask);
    if (!slots) {
        sys_free(q);
        return -ENOMEM;
    }
    motet__store_use(q, slots, mask);
    *ret = q;
    return 0;
}

/* Under the guard. Puts that go without it see the ring's flag. */
static void shut(motet_queue *q, uint32_t flags)
{
    atomic_store_relaxed(&q->flags, q->flags | flags); /* relaxed: without the guard a hint */
    if (q->order == MOTET_FIFO)
        motet__ring_shut(q);
}

int motet_queue_shutdown(motet_queue *q)
{
    if (!q)
        return -EINVAL;
    if (!motet__park_allowed())
        return -EPERM;
    queue_lock(q);
    shut(q, QUEUE_SHUT);
    queue_unlock(q); /* tells all who wait */
    return 0;
}

/* Those who watch have seen, or will at once, that the queue is shut; and leave, or take the guard first. The first look
 * writes, so that it sees every one that has begun. (acquire: partner of the release by which one leaves.) */
static void see_watchers_leave(ring_end *end)
{
    for (uint32_t n = atomic_add_acquire(&end->watching, 0); n; n = atomic_load_acquire(&end->watching))
        sys_nap(CLOSE_NAP_NS);
}

/* Ends every call that waits, and sees them leave. */
static void drive_out(motet_queue *q)
{
    queue_lock(q);
    shut(q, QUEUE_SHUT | QUEUE_CLOSING);
    bump(&q->joiners_seq);
    while (q->getters.waiting || q->putters.waiting || q->joiners) {
        uint32_t seen = q->left_seq;
        queue_unlock(q);
        motet__unpark(&q->joiners_seq, UNPARK_ALL);
        motet__park(&q->left_seq, seen, MOTET_FOREVER, PARK_NO_CANCEL);
        queue_lock(q);
    }
    queue_unlock(q);
    see_watchers_leave(&q->in);
    see_watchers_leave(&q->out);
    queue_lock(q);
    queue_unlock(q);
}

/* Nobody else is at the queue, or after a raw fork nobody else exists; an end may be held for ever then. */
static void drop_messages(motet_queue *q)
{
    uint64_t begin = 0, end = q->count;
    if (q->order == MOTET_FIFO) {
        begin = ring_position(atomic_load_relaxed(&q->out.word));
        end = ring_position(atomic_load_relaxed(&q->in.word));
    }
    for (motet_message *m; begin != end; begin++) {
        memcpy(&m, store_slot(q, begin), sizeof m);
        motet_message_unref(m);
    }
}

motet_queue *motet_queue_close(motet_queue *q)
{
    if (!q)
        return NULL;
    if (motet__park_allowed()) /* else nobody is left to wait for, and the guard may be held for ever */
        drive_out(q);
    if (!q->item_size)
        drop_messages(q);
    sys_free(q->spare);
    sys_free(q->slots);
    sys_free(q);
    return NULL;
}
