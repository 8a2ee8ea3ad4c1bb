/* SPDX-License-Identifier: MIT */
/* Conformance: maps over inputs that are made one by one. */
#include "executor/test_conformance.h"

/* A run of motet_imap: its inputs are 0 to n - 1. */
typedef struct lazy {
    uint32_t *counter;  /* of tasks, when not NULL */
    conform_gate *gate; /* the first input waits there, when not NULL */
    size_t n, made, given, most;
    size_t open_at; /* the gate opens when so many inputs are made */
    size_t stop_at; /* next, or result, stops at this index with `code` */
    bool stop_next, stop_result, ordered;
    int code;
    bool seen[2000];
} lazy;

typedef struct lazy_item {
    conform_gate *gate;
    uint32_t *counter;
    size_t index;
} lazy_item;

MOTET_TASK(conform_lazy, lazy_item, size_t)
{
    *out = in->index * 3;
    if (in->counter)
        atomic_add_relaxed(in->counter, 1);
    return in->gate ? conform_gate_pass(in->gate) : (int)(in->index % 5);
}

static int next(void *arg, motet_buffer *in)
{
    lazy *l = arg;
    CHECK_EQ(motet_buffer_size(in), 0);
    if (l->stop_next && l->made == l->stop_at)
        return l->code;
    if (l->made == l->n)
        return 0;
    lazy_item item = {.gate = l->made ? NULL : l->gate, .counter = l->counter, .index = l->made++};
    if (l->made - l->given > l->most)
        l->most = l->made - l->given;
    if (l->gate && l->made == l->open_at)
        CHECK_EQ(motet_event_set(&l->gate->open), 0);
    CHECK_EQ(motet_buffer_append(in, &item, sizeof item), 0);
    return 1;
}

static int result(void *arg, size_t index, int code, motet_bytes value)
{
    lazy *l = arg;
    CHECK_LT(index, l->made);
    CHECK(!l->seen[index]);
    l->seen[index] = true;
    if (l->ordered)
        CHECK_EQ(index, l->given);
    CHECK_EQ(code, l->gate && !index ? 0 : index % 5);
    CHECK_EQ(value.size, sizeof(size_t));
    CHECK_EQ(*(const size_t *)value.data, index * 3);
    l->given++;
    return l->stop_result && index == l->stop_at ? l->code : 0;
}

static void check_all_given(const lazy *l)
{
    CHECK_EQ(l->made, l->n);
    CHECK_EQ(l->given, l->n);
    for (size_t i = 0; i < l->n; i++)
        CHECK(l->seen[i]);
}

void conform_imap_ordered(const conform_backend *b)
{
    static const size_t aheads[] = {0, 1, 2, 3, 64, 5000};
    motet_executor *ex = conform_open_workers(b, 3);
    for (size_t i = 0; i < sizeof aheads / sizeof *aheads; i++) {
        for (size_t n = 0; n < 2000; n = n * 4 + 1) {
            lazy l = {.n = n, .ordered = true};
            motet_imap_options options = {.ahead = aheads[i], .result = result};
            CHECK_EQ(motet_imap(ex, &conform_lazy, next, &l, &options), 0);
            check_all_given(&l);
        }
    }
    motet_executor_close(ex);
}

void conform_imap_unordered(const conform_backend *b)
{
    CONFORM_NEEDS(b, holds_worker);
    motet_executor *ex = conform_open_workers(b, 2);
    for (size_t ahead = 1; ahead <= 64; ahead *= 4) {
        lazy l = {.n = 500};
        CHECK_EQ(motet_imap(ex, &conform_lazy, next, &l, &(motet_imap_options){true, ahead, 0, result}), 0);
        check_all_given(&l);
        CHECK_LE(l.most, ahead);
    }
    /* The first is held until the 100th is made, so others must be given before it. */
    lazy l = {.n = 500, .gate = conform_gate_new(b), .open_at = 100};
    CHECK_EQ(motet_imap(ex, &conform_lazy, next, &l, &(motet_imap_options){true, 10, 0, result}), 0);
    check_all_given(&l);
    CHECK_EQ(l.most, 10);
    motet_executor_close(ex);
    b->free(l.gate);
}

void conform_imap_looks_ahead_so_far(const conform_backend *b)
{
    motet_executor *ex = conform_open_workers(b, 2);
    for (size_t ahead = 1; ahead <= 40; ahead += 13) {
        /* The first is held until the look-ahead is used up: then no less than that, and never more, was under way. */
        lazy l = {.n = 300, .ordered = true, .gate = conform_gate_new(b), .open_at = ahead};
        CHECK_EQ(motet_imap(ex, &conform_lazy, next, &l, &(motet_imap_options){.ahead = ahead, .result = result}), 0);
        check_all_given(&l);
        CHECK_EQ(l.most, ahead);
        b->free(l.gate);
    }
    motet_executor_close(ex);
}

/* ---- stopping -------------------------------------------------------------------------------------- */

void conform_imap_stopped_by_next(const conform_backend *b)
{
    for (int unordered = 0; unordered < 2; unordered++) {
        uint32_t *counter = conform_alloc(b, sizeof *counter);
        motet_executor *ex = conform_open_workers(b, 2);
        lazy l = {.n = 1000, .counter = counter, .stop_next = true, .stop_at = 50, .code = -ESTALE};
        motet_imap_options options = {.unordered = unordered, .ahead = 8, .result = result};
        CHECK_EQ(motet_imap(ex, &conform_lazy, next, &l, &options), -ESTALE);
        CHECK_EQ(l.made, 50);
        CHECK_EQ(motet_executor_shutdown(ex, false, MOTET_FOREVER), 0);
        CHECK_LE(atomic_load_relaxed(counter), 50);
        conform_check_balance(ex, 50);
        motet_executor_close(ex);
        b->free(counter);
    }
}

void conform_imap_stopped_by_result(const conform_backend *b)
{
    static const int codes[] = {-ESTALE, 1, 77};
    for (int i = 0; i < 6; i++) {
        uint32_t *counter = conform_alloc(b, sizeof *counter);
        motet_executor *ex = conform_open_workers(b, 2);
        lazy l = {.n = 1000,
                  .counter = counter,
                  .stop_result = true,
                  .stop_at = 20,
                  .code = codes[i / 2],
                  .ordered = i % 2 == 0};
        motet_imap_options options = {.unordered = i % 2, .ahead = 8, .result = result};
        CHECK_EQ(motet_imap(ex, &conform_lazy, next, &l, &options), codes[i / 2]);
        CHECK(l.seen[20]);
        if (l.ordered)
            CHECK_EQ(l.given, 21); /* it was the last */
        CHECK_LE(l.made, l.given + 8);
        CHECK_EQ(motet_executor_shutdown(ex, false, MOTET_FOREVER), 0);
        CHECK_LE(atomic_load_relaxed(counter), l.made);
        conform_check_balance(ex, l.made);
        motet_executor_close(ex);
        b->free(counter);
    }
}

static int next_code(void *arg, motet_buffer *in)
{
    int *index = arg;
    if (*index == 100)
        return 0;
    int code = *index % 30 == 29 ? -*index : *index;
    ++*index;
    CHECK_EQ(motet_buffer_append(in, &code, sizeof code), 0);
    return 1;
}

static int next_of_wrong_size(void *arg, motet_buffer *in)
{
    ++*(int *)arg;
    CHECK_EQ(motet_buffer_append(in, "ab", 2), 0);
    return 1;
}

void conform_imap_failures(const conform_backend *b)
{
    motet_executor *ex = conform_open_workers(b, 2);
    int index = 0;
    CHECK_EQ(motet_imap(ex, &conform_code, next_code, &index, NULL), -29); /* nobody takes results: the first failure */
    CHECK_EQ(index, 100);                                                  /* all were run */
    index = 0;
    CHECK_EQ(motet_imap(ex, &conform_code, next_of_wrong_size, &index, NULL), -EMSGSIZE);
    CHECK_EQ(index, 1);
    CHECK_EQ(motet_executor_shutdown(ex, false, MOTET_FOREVER), 0);
    index = 0;
    CHECK_EQ(motet_imap(ex, &conform_code, next_code, &index, NULL), -EPIPE);
    CHECK_EQ(index, 1);
    motet_executor_close(ex);
}

void conform_imap_deadline(const conform_backend *b)
{
    CONFORM_NEEDS(b, holds_worker);
    for (int unordered = 0; unordered < 2; unordered++) {
        motet_executor *ex = conform_open_workers(b, 1);
        uint32_t *counter = conform_alloc(b, sizeof *counter);
        conform_gate *g = conform_gate_new(b);
        motet_future *held;
        conform_hold_workers(ex, g, 1, &held); /* so that none of imap's tasks begins, however slow all is */
        lazy l = {.n = 100, .counter = counter};
        motet_imap_options options = {unordered, 10, motet_after(5 * MOTET_MS), result};
        CHECK_EQ(motet_imap(ex, &conform_lazy, next, &l, &options), -ETIMEDOUT);
        CHECK_GE(motet_now(), options.deadline);
        CHECK_EQ(l.given, 0);
        conform_let_go(g, &held, 1);
        CHECK_EQ(motet_executor_shutdown(ex, false, MOTET_FOREVER), 0);
        CHECK_EQ(atomic_load_relaxed(counter), 0); /* they were cancelled */
        conform_check_balance(ex, l.made + 1);
        motet_executor_close(ex);
        b->free(counter);
        b->free(g);
    }
}

typedef struct imap_in_task {
    motet_executor *ex;
    bool unordered;
} imap_in_task;

MOTET_TASK(conform_imap_in_task, imap_in_task, size_t)
{
    lazy l = {.n = 60, .ordered = !in->unordered};
    int e = motet_imap(in->ex, &conform_lazy, next, &l, &(motet_imap_options){in->unordered, 7, 0, result});
    *out = l.given;
    return e;
}

void conform_imap_from_a_task(const conform_backend *b)
{
    enum { MANY = 8 };
    CONFORM_NEEDS(b, tasks_submit);
    motet_executor *ex = conform_open_workers(b, 1);
    motet_future *f[MANY];
    for (int i = 0; i < MANY; i++)
        CHECK_EQ(conform_imap_in_task_submit(ex, &(imap_in_task){ex, i % 2}, &f[i]), 0);
    for (int i = 0; i < MANY; i++) {
        size_t given = 0;
        CHECK_EQ(conform_imap_in_task_result(f[i], &given, MOTET_FOREVER), 0);
        CHECK_EQ(given, 60);
        motet_future_unref(f[i]);
    }
    motet_executor_close(ex);
}

void conform_imap_misuse(const conform_backend *b)
{
    static const motet_task nothing = {.name = "nothing"};
    motet_executor *ex = conform_open_workers(b, 1);
    lazy l = {.n = 3};
    CHECK_EQ(motet_imap(NULL, &conform_lazy, next, &l, NULL), -EINVAL);
    CHECK_EQ(motet_imap(ex, NULL, next, &l, NULL), -EINVAL);
    CHECK_EQ(motet_imap(ex, &nothing, next, &l, NULL), -EINVAL);
    CHECK_EQ(motet_imap(ex, &conform_lazy, NULL, &l, NULL), -EINVAL);
    CHECK_EQ(motet_imap(ex, &conform_lazy, next, &l, &(motet_imap_options){.ahead = SIZE_MAX}), -EINVAL);
    CHECK_EQ(l.made, 0);
    motet_executor_close(ex);
}
