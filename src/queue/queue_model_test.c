/* SPDX-License-Identifier: MIT */
/* Random operations on one thread, each compared with a model too simple to be wrong: a list of items in the
 * order in which they were put, searched for the next one. Seeded; a failure names the seed. */
#include "queue/test_help.h"

#include <stdlib.h>

enum { MANY = 40, MOST = 1000, BYTES_MAX = 5000, KINDS = 8 };

typedef struct model {
    motet_queue_order order;
    size_t capacity; /* 0: none */
    size_t size;
    uint32_t items[MOST + MANY];
    uint64_t in_hand;
    bool shut;
} model;

typedef struct run {
    model m;
    motet_queue *q;
    size_t item_size;
    uint32_t seed, next;
    unsigned char bytes[MANY * BYTES_MAX];
} run;

/* The number decides the priority, with many ties. */
static uint32_t rank(uint32_t number) { return number * 7 % KINDS; }

static int by_rank(const void *a, const void *b)
{
    uint32_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (rank(x) > rank(y)) - (rank(x) < rank(y));
}

static uint32_t model_next(model *m)
{
    size_t at = m->order == MOTET_LIFO ? m->size - 1 : 0;
    for (size_t i = 1; m->order == MOTET_PRIORITY && i < m->size; i++)
        at = rank(m->items[i]) < rank(m->items[at]) ? i : at;
    uint32_t item = m->items[at];
    m->size--;
    m->in_hand++;
    memmove(m->items + at, m->items + at + 1, (m->size - at) * sizeof *m->items);
    return item;
}

/* Every byte of an item follows from its number. */
static void fill(unsigned char *item, size_t size, uint32_t number)
{
    memset(item, (int)(number % 251), size);
    memcpy(item, &number, sizeof number);
}

static void check_item(const unsigned char *item, size_t size, uint32_t number)
{
    unsigned char expected[BYTES_MAX];
    fill(expected, size, number);
    CHECK_MEM(item, expected, size);
}

static int code_of_put(const model *m)
{
    return m->shut ? -EPIPE : m->capacity && m->size == m->capacity ? -ETIMEDOUT : 0;
}

static int code_of_get(const model *m) { return m->size ? 0 : m->shut ? -EPIPE : -ETIMEDOUT; }

static void put_some(run *r, size_t n, bool many)
{
    for (size_t i = 0; i < n; i++)
        fill(r->bytes + i * r->item_size, r->item_size, r->next + (uint32_t)i);
    size_t room = r->m.capacity ? r->m.capacity - r->m.size : n;
    size_t fits = n < room ? n : room;
    int e = code_of_put(&r->m);
    if (many)
        CHECK_EQ(motet_queue_put_many(r->q, r->bytes, n, MOTET_NOWAIT), e < 0 ? e : (int)fits);
    else
        CHECK_EQ(motet_queue_put(r->q, r->bytes, MOTET_NOWAIT), e);
    for (size_t i = 0; e == 0 && i < fits; i++)
        r->m.items[r->m.size++] = r->next++;
}

static void get_some(run *r, size_t n, bool many)
{
    int e = code_of_get(&r->m);
    size_t there = n < r->m.size ? n : r->m.size;
    if (many)
        CHECK_EQ(motet_queue_get_many(r->q, r->bytes, n, MOTET_NOWAIT), e < 0 ? e : (int)there);
    else
        CHECK_EQ(motet_queue_get(r->q, r->bytes, MOTET_NOWAIT), e);
    for (size_t i = 0; e == 0 && i < there; i++)
        check_item(r->bytes + i * r->item_size, r->item_size, model_next(&r->m));
}

static void count(run *r)
{
    bool unfinished = r->m.size || r->m.in_hand;
    CHECK_EQ(motet_queue_join(r->q, MOTET_NOWAIT), unfinished ? -ETIMEDOUT : 0);
    CHECK_EQ(motet_queue_task_done(r->q), r->m.in_hand ? 0 : -EINVAL);
    r->m.in_hand -= r->m.in_hand > 0;
}

/* `rising`: of 8, how many operations put. */
static void step(run *r, uint32_t rising)
{
    uint32_t d = dice(&r->seed), what = d >> 8 & 7;
    size_t n = d >> 16 & 1 ? 1 : 1 + (d >> 17) % MANY;
    if (what < rising && r->m.size < MOST)
        put_some(r, n, n > 1);
    else
        get_some(r, n, n > 1);
    if ((d & 7) == 0)
        count(r);
    CHECK_EQ(motet_queue_size(r->q), r->m.size);
    CHECK_EQ(motet_queue_empty(r->q), r->m.size == 0);
    CHECK_EQ(motet_queue_full(r->q), r->m.capacity && r->m.size == r->m.capacity);
}

static void follow(motet_queue_order order, size_t capacity, size_t item_size, uint32_t seed)
{
    run *r = calloc(1, sizeof *r);
    motet_queue_options opt = {
        .order = order, .capacity = capacity, .compare = order == MOTET_PRIORITY ? by_rank : NULL};
    *r = (run){.m = {.order = order, .capacity = capacity}, .item_size = item_size, .seed = seed};
    LOG("order %d, capacity %zu, item size %zu, seed %u", (int)order, capacity, item_size, seed);
    CHECK_EQ(motet_queue_open(&r->q, item_size, &opt), 0);
    for (int phase = 0; phase < 6; phase++) { /* it fills and runs dry by turns */
        for (int i = 0; i < 150; i++)
            step(r, phase % 2 ? 2 : 6);
    }
    CHECK_EQ(motet_queue_shutdown(r->q), 0);
    r->m.shut = true;
    while (r->m.size)
        step(r, 1);
    put_some(r, 1, false);
    get_some(r, 1, false);
    motet_queue_close(r->q);
    free(r);
}

static void follow_all(motet_queue_order order)
{
    static const size_t capacities[] = {0, 1, 2, 7, 64, 300}, sizes[] = {4, 8, 13, 16, 40, 48, BYTES_MAX};
    uint32_t seed = 2463534242u;
    for (size_t c = 0; c < sizeof capacities / sizeof *capacities; c++) {
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            follow(order, capacities[c], sizes[s], dice(&seed));
            follow(order, capacities[c], sizes[s], dice(&seed));
        }
    }
}

TEST(fifo) { follow_all(MOTET_FIFO); }

TEST(lifo) { follow_all(MOTET_LIFO); }

TEST(priority) { follow_all(MOTET_PRIORITY); }
