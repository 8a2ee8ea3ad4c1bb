/* SPDX-License-Identifier: MIT */
/* queue.c - the rows queue.thread.*: 64-bit items through a queue of capacity 1,024, one at a time. */
#include <motet/queue.h>

#include "harness.h"

#define CAPACITY 1024
#define SIDE_MAX 4

static motet_queue *open_queue(void)
{
    motet_queue *q;
    const motet_queue_options opt = {.capacity = CAPACITY};
    bench_must(motet_queue_open(&q, sizeof(uint64_t), &opt), "motet_queue_open");
    return q;
}

/* ---- throughput ------------------------------------------------------------------------------------ */

struct flow {
    motet_queue *q;
    int side;                   /* so many producers, and as many consumers */
    uint64_t each;              /* items a thread */
    uint64_t sum[2 * SIDE_MAX]; /* of what each thread put or got */
};

/* Threads 0 .. side-1 put, the others get. */
static void flow_thread(void *arg, int i)
{
    struct flow *f = arg;
    uint64_t sum = 0, item;
    if (i < f->side) {
        for (uint64_t k = 0; k < f->each; k++) {
            item = (uint64_t)i * f->each + k;
            bench_must(motet_queue_put(f->q, &item, MOTET_FOREVER), "motet_queue_put");
            sum += item;
        }
    } else {
        for (uint64_t k = 0; k < f->each; k++) {
            bench_must(motet_queue_get(f->q, &item, MOTET_FOREVER), "motet_queue_get");
            sum += item;
        }
    }
    f->sum[i] = sum;
}

static double flow_once(void *arg, uint64_t n)
{
    struct flow *f = arg;
    uint64_t in = 0, out = 0;
    int pin[2 * SIDE_MAX];
    f->each = n / (uint64_t)f->side + 1;
    for (int i = 0; i < f->side; i++) {
        pin[i] = i;
        pin[f->side + i] = i + 1; /* 1p1c: a CPU each; 4p4c: two of either kind on each of two */
    }
    double ns = bench_team(2 * f->side, pin, flow_thread, f);
    for (int i = 0; i < f->side; i++) {
        in += f->sum[i];
        out += f->sum[f->side + i];
    }
    if (in != out || !motet_queue_empty(f->q))
        bench_die("queue.thread: what came out is not what went in");
    return ns * (double)n / (double)(f->each * (uint64_t)f->side);
}

static void flow(struct bench *b, int side)
{
    struct flow f = {.q = open_queue(), .side = side};
    bench_measure(b, flow_once, &f, NULL);
    motet_queue_close(f.q);
}

static void flow_1p1c(struct bench *b) { flow(b, 1); }
static void flow_4p4c(struct bench *b) { flow(b, 4); }

/* ---- there and back -------------------------------------------------------------------------------- */

struct table {
    motet_queue *there, *back;
    uint64_t n;
};

static void pingpong_thread(void *arg, int i)
{
    struct table *t = arg;
    for (uint64_t k = 0; k < t->n; k++) {
        uint64_t ball = k;
        if (i == 0)
            bench_must(motet_queue_put(t->there, &ball, MOTET_FOREVER), "motet_queue_put");
        bench_must(motet_queue_get(i == 0 ? t->back : t->there, &ball, MOTET_FOREVER), "motet_queue_get");
        if (ball != k)
            bench_die("queue.thread.pingpong: another item came back");
        if (i == 1)
            bench_must(motet_queue_put(t->back, &ball, MOTET_FOREVER), "motet_queue_put");
    }
}

static double pingpong_once(void *arg, uint64_t n)
{
    ((struct table *)arg)->n = n;
    return bench_team(2, (const int[]){0, 1}, pingpong_thread, arg);
}

static void pingpong(struct bench *b)
{
    struct table t = {.there = open_queue(), .back = open_queue()};
    bench_measure(b, pingpong_once, &t, &(struct bench_plan){.n_min = 200});
    motet_queue_close(t.there);
    motet_queue_close(t.back);
}

static const struct bench_row queue_rows[] = {
    {"queue.thread.1p1c", "items/s", "pinned", "one producer and one consumer, a CPU each", flow_1p1c, false},
    {"queue.thread.4p4c", "items/s", "pinned", "four producers and four consumers, half of each on a CPU", flow_4p4c,
     false},
    {"queue.thread.pingpong", "ns", "pinned", "an item to a thread on another CPU and back by a second queue", pingpong,
     false},
    {NULL, NULL, NULL, NULL, NULL, false},
};
BENCH_ROWS(queue_rows);
