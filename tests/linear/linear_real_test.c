/* SPDX-License-Identifier: MIT */
/* Histories of real threads on queue, lock and semaphore: many small rounds, each a fresh object, three or four threads
 * that begin together, a few random calls each. A queue's items are all different within a round. What each round must be
 * is linearizable, whatever the machine's load makes of it. */
#include "linear/record.h"
#include "runner.h"

#include <motet/queue.h>
#include <motet/sync.h>
#include <motet/thread.h>

enum { THREADS_MAX = 4, EACH_MAX = 16, ROUNDS = 400, BATCH = 4 };

typedef struct history {
    linear_op ops[THREADS_MAX][EACH_MAX];
    int threads, each;
    uint32_t round; /* released by the main thread: go */
    uint32_t done;  /* threads that are through with the round */
    void *object;
    void (*call)(void *object, linear_op *op, uint32_t *seed);
    const linear_spec *mistaken_for; /* NULL, or what the rounds are held against though they aren't it */
    unsigned wrong;                  /* rounds, of these */
} history;

static uint32_t dice(uint32_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

/* Over, soon or a little later: which one it is changes what happens, never what is right. */
static motet_time some_deadline(uint32_t *seed)
{
    uint32_t which = dice(seed) % 4;
    return which < 2 ? MOTET_NOWAIT : motet_after(which == 2 ? dice(seed) % 5000 : dice(seed) % 100000);
}

/* ---- rounds ---------------------------------------------------------------------------------------- */

typedef struct player {
    history *h;
    int number;
} player;

static int play(void *arg)
{
    player *p = arg;
    history *h = p->h;
    uint32_t seed = (uint32_t)p->number * 2654435761u + 17;
    for (uint32_t round = 1; round <= ROUNDS; round++) {
        while (atomic_load_acquire(&h->round) != round)
            motet_yield();
        for (int i = 0; i < h->each; i++) {
            linear_op *op = &h->ops[p->number][i];
            *op = (linear_op){.thread = p->number};
            for (int v = 0; v < BATCH; v++)
                op->values[v] = (p->number * EACH_MAX + i) * BATCH + v + 1;
            h->call(h->object, op, &seed);
            if (dice(&seed) % 16 == 0)
                motet_yield();
        }
        atomic_add_acq_rel(&h->done, 1);
    }
    return 0;
}

static void judge(history *h, const linear_spec *spec, size_t *overlaps)
{
    static linear_op ops[THREADS_MAX * EACH_MAX];
    size_t n = 0;
    for (int t = 0; t < h->threads; t++, n += (size_t)h->each)
        memcpy(&ops[n], h->ops[t], (size_t)h->each * sizeof *ops);
    linear_verdict verdict = linear_check(h->mistaken_for ? h->mistaken_for : spec, ops, n);
    if (h->mistaken_for) {
        h->wrong += verdict == LINEAR_WRONG;
        return;
    }
    if (verdict != LINEAR_RIGHT)
        linear_explain(spec, ops, n, stderr);
    CHECK_EQ(verdict, LINEAR_RIGHT);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < i; k++)
            *overlaps += ops[i].invoked <= ops[k].returned && ops[k].invoked <= ops[i].returned;
}

/* `make` gives each round its object, `drop` ends it. */
static void rounds(history *h, const linear_spec *spec, void *(*make)(const linear_spec *), void (*drop)(void *))
{
    motet_thread *threads[THREADS_MAX];
    player players[THREADS_MAX];
    size_t overlaps = 0;
    for (int t = 0; t < h->threads; t++) {
        players[t] = (player){h, t};
        CHECK_EQ(motet_thread_start(&threads[t], play, &players[t], NULL), 0);
    }
    for (uint32_t round = 1; round <= ROUNDS; round++) {
        h->object = make(spec);
        atomic_store_relaxed(&h->done, 0);
        atomic_store_release(&h->round, round);
        while (atomic_load_acquire(&h->done) != (uint32_t)h->threads)
            motet_yield();
        judge(h, spec, &overlaps);
        drop(h->object);
    }
    for (int t = 0; t < h->threads; t++) {
        CHECK_EQ(motet_thread_join(threads[t], NULL, MOTET_FOREVER), 0);
        motet_thread_free(threads[t]);
    }
    LOG("%s: %d rounds of %d calls, %zu pairs of which overlapped", spec->name, ROUNDS, h->threads * h->each, overlaps);
}

/* ---- queues ---------------------------------------------------------------------------------------- */

static int compare_upper(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a >> 16, y = *(const int32_t *)b >> 16;
    return (x > y) - (x < y);
}

static void *make_queue(const linear_spec *spec)
{
    motet_queue *q = NULL;
    motet_queue_options opt = {.capacity = (size_t)spec->capacity};
    opt.order = spec->apply == linear_lifo.apply ? MOTET_LIFO : MOTET_FIFO;
    if (spec->apply == linear_priority.apply) {
        opt.order = MOTET_PRIORITY;
        opt.compare = compare_upper;
    }
    CHECK_EQ(motet_queue_open(&q, sizeof(int32_t), &opt), 0);
    return q;
}

static void drop_queue(void *q) { motet_queue_close(q); }

/* motet_queue_size looks without the guard: in a heap or a stack it may see put_many and get_many half done (their items
 * go one by one). Only the ring's is held against the object. */
static bool ask_size;

/* shutdown once in 200 calls: it ends most of the round's interest. */
static void call_queue(void *q, linear_op *op, uint32_t *seed)
{
    uint32_t which = dice(seed) % 200;
    motet_time deadline = some_deadline(seed);
    op->arg = 1 + (int32_t)(dice(seed) % BATCH);
    for (int i = 0; i < BATCH; i++)
        op->values[i] |= (int32_t)(dice(seed) % 3) << 16;
    if (which == 0) {
        op->kind = LINEAR_SHUTDOWN;
        LINEAR_TIMED(op, motet_queue_shutdown(q));
    } else if (which < 15 && ask_size) {
        op->kind = LINEAR_SIZE;
        LINEAR_TIMED(op, motet_queue_size(q));
    } else if (which < 80) {
        op->kind = LINEAR_PUT;
        LINEAR_TIMED(op, motet_queue_put(q, op->values, deadline));
    } else if (which < 110) {
        op->kind = LINEAR_PUT_MANY;
        LINEAR_TIMED(op, motet_queue_put_many(q, op->values, (size_t)op->arg, deadline));
    } else if (which < 170) {
        op->kind = LINEAR_GET;
        LINEAR_TIMED(op, motet_queue_get(q, op->values, deadline));
    } else {
        op->kind = LINEAR_GET_MANY;
        LINEAR_TIMED(op, motet_queue_get_many(q, op->values, (size_t)op->arg, deadline));
    }
}

static void queue_rounds(linear_spec spec, int32_t capacity, int threads, int each)
{
    static history h;
    spec.capacity = capacity;
    ask_size = spec.apply == linear_fifo.apply;
    h = (history){.threads = threads, .each = each, .call = call_queue};
    rounds(&h, &spec, make_queue, drop_queue);
}

TEST(fifo) { queue_rounds(linear_fifo, 0, 4, 12); }
TEST(fifo_of_one) { queue_rounds(linear_fifo, 1, 4, 10); }
TEST(fifo_of_three) { queue_rounds(linear_fifo, 3, 3, 16); }
TEST(lifo) { queue_rounds(linear_lifo, 3, 4, 10); }
/* What a stack gives is no queue's, and the other way round. */
TEST(mistaken)
{
    static history h;
    h = (history){.threads = 4, .each = 10, .call = call_queue, .mistaken_for = &linear_fifo};
    rounds(&h, &linear_lifo, make_queue, drop_queue);
    CHECK_GT(h.wrong, 0);
    h = (history){.threads = 4, .each = 10, .call = call_queue, .mistaken_for = &linear_lifo};
    rounds(&h, &linear_fifo, make_queue, drop_queue);
    CHECK_GT(h.wrong, 0);
    LOG("%u of %d rounds are refused", h.wrong, ROUNDS);
}

TEST(priority) { queue_rounds(linear_priority, 4, 4, 10); }

/* ---- lock ------------------------------------------------------------------------------------------ */

static void *make_lock(const linear_spec *spec)
{
    static motet_lock lock;
    CHECK_EQ(motet_lock_init(&lock, 0), 0);
    return &lock;
}

static void drop_nothing(void *object) {}

static void call_lock(void *lock, linear_op *op, uint32_t *seed)
{
    uint32_t which = dice(seed) % 16;
    motet_time deadline = some_deadline(seed);
    if (which < 8) {
        op->kind = LINEAR_ACQUIRE;
        LINEAR_TIMED(op, motet_lock_acquire(lock, deadline));
    } else if (which < 14) { /* whoever holds it */
        op->kind = LINEAR_RELEASE;
        LINEAR_TIMED(op, motet_lock_release(lock));
    } else {
        op->kind = LINEAR_VALUE;
        LINEAR_TIMED(op, motet_lock_locked(lock));
    }
}

TEST(lock)
{
    static history h = {.threads = 4, .each = 14, .call = call_lock};
    rounds(&h, &linear_lock, make_lock, drop_nothing);
}

/* ---- semaphore ------------------------------------------------------------------------------------- */

static void *make_semaphore(const linear_spec *spec)
{
    static motet_semaphore semaphore;
    CHECK_EQ(motet_semaphore_init(&semaphore, (unsigned)spec->initial, spec->limit ? MOTET_BOUNDED : 0), 0);
    return &semaphore;
}

static void call_semaphore(void *semaphore, linear_op *op, uint32_t *seed)
{
    uint32_t which = dice(seed) % 16;
    motet_time deadline = some_deadline(seed);
    op->arg = 1 + (int32_t)(dice(seed) % 2);
    if (which < 9) {
        op->kind = LINEAR_ACQUIRE;
        LINEAR_TIMED(op, motet_semaphore_acquire(semaphore, deadline));
    } else if (which < 14) {
        op->kind = LINEAR_RELEASE;
        LINEAR_TIMED(op, motet_semaphore_release(semaphore, (unsigned)op->arg));
    } else {
        op->kind = LINEAR_VALUE;
        LINEAR_TIMED(op, motet_semaphore_value(semaphore));
    }
}

TEST(semaphore)
{
    static history h = {.threads = 4, .each = 14, .call = call_semaphore};
    linear_spec spec = linear_semaphore;
    rounds(&h, &spec, make_semaphore, drop_nothing);
}

TEST(semaphore_bounded)
{
    static history h = {.threads = 4, .each = 14, .call = call_semaphore};
    linear_spec spec = linear_semaphore;
    spec.initial = spec.limit = 2;
    rounds(&h, &spec, make_semaphore, drop_nothing);
}
