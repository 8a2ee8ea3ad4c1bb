/* SPDX-License-Identifier: MIT */
/* The checker is held against histories made by hand, each wrong in a way of its own or right against first sight, and
 * against brute force: on thousands of small random histories it must say what a try of every order says. */
#include "linear/linear.h"
#include "runner.h"

#include <errno.h>
#include <stdlib.h>

/* One operation from `from` to `to` (0: cut off). */
#define PUT(t, from, to, v, r)                                                      \
    {                                                                               \
        .kind = LINEAR_PUT, .thread = t, .values = {v}, .result = r, SPAN(from, to) \
    }
#define GET(t, from, to, v)                                            \
    {                                                                  \
        .kind = LINEAR_GET, .thread = t, .values = {v}, SPAN(from, to) \
    }
#define GET_NOT(t, from, to, r)                                      \
    {                                                                \
        .kind = LINEAR_GET, .thread = t, .result = r, SPAN(from, to) \
    }
#define PUTS(t, from, to, n, r, ...)                                                                         \
    {                                                                                                        \
        .kind = LINEAR_PUT_MANY, .thread = t, .arg = n, .result = r, .values = {__VA_ARGS__}, SPAN(from, to) \
    }
#define GETS(t, from, to, n, r, ...)                                                                         \
    {                                                                                                        \
        .kind = LINEAR_GET_MANY, .thread = t, .arg = n, .result = r, .values = {__VA_ARGS__}, SPAN(from, to) \
    }
#define DO(what, t, from, to, a, r)                                               \
    {                                                                             \
        .kind = LINEAR_##what, .thread = t, .arg = a, .result = r, SPAN(from, to) \
    }
#define ON(what, k, t, from, to, a, r)                                                      \
    {                                                                                       \
        .kind = LINEAR_##what, .key = k, .thread = t, .arg = a, .result = r, SPAN(from, to) \
    }
#define SPAN(from, to) .invoked = from, .returned = to, .cut = (to) == 0

static linear_spec bounded(linear_spec s, int32_t capacity)
{
    s.capacity = capacity;
    return s;
}

static void expect(linear_verdict verdict, linear_spec spec, const linear_op *ops, size_t n, int line)
{
    linear_verdict v = linear_check(&spec, ops, n);
    if (v != verdict)
        test_fail(__FILE__, line, "the verdict on %s is %d, not %d", spec.name, v, verdict);
}

#define RIGHT(spec, ...) VERDICT(LINEAR_RIGHT, spec, __VA_ARGS__)
#define WRONG(spec, ...) VERDICT(LINEAR_WRONG, spec, __VA_ARGS__)
#define VERDICT(verdict, spec, ...)                                        \
    do {                                                                   \
        const linear_op ops_[] = {__VA_ARGS__};                            \
        expect(verdict, spec, ops_, sizeof ops_ / sizeof *ops_, __LINE__); \
    } while (0)

TEST(fifo)
{
    linear_spec q = linear_fifo;
    expect(LINEAR_RIGHT, q, NULL, 0, __LINE__);
    RIGHT(q, PUT(0, 1, 2, 7, 0), GET(1, 3, 4, 7));
    RIGHT(q, GET(1, 1, 4, 7), PUT(0, 2, 3, 7, 0));
    RIGHT(q, PUT(0, 1, 4, 7, 0), PUT(1, 2, 3, 8, 0), GET(0, 5, 6, 8), GET(1, 7, 8, 7));
    RIGHT(q, PUT(0, 1, 2, 7, 0), GET(1, 2, 3, 7)); /* equal moments overlap */
    RIGHT(q, GET(1, 1, 2, 7), PUT(0, 2, 3, 7, 0));
    WRONG(q, GET(1, 1, 2, 7), PUT(0, 3, 4, 7, 0));                                      /* from the future */
    WRONG(q, GET(0, 1, 2, 7));                                                          /* out of thin air */
    WRONG(q, PUT(0, 1, 2, 7, 0), GET(1, 3, 6, 7), GET(0, 4, 5, 7));                     /* twice */
    WRONG(q, PUT(0, 1, 2, 7, 0), PUT(0, 3, 4, 8, 0), GET(1, 5, 6, 8), GET(1, 7, 8, 7)); /* overtaken */
    WRONG(q, PUT(0, 1, 2, 7, 0), GET_NOT(1, 3, 4, -ETIMEDOUT));                         /* lost */
    WRONG(q, PUT(0, 1, 2, 7, 0), GET(1, 3, 4, 8));                                      /* torn */
    WRONG(q, PUT(0, 1, 2, 7, -ETIMEDOUT));                                              /* never full */
    WRONG(q, PUT(0, 1, 6, 7, 0), PUT(1, 2, 3, 8, 0), GET(1, 4, 5, 7), GET_NOT(0, 7, 8, -ETIMEDOUT)); /* 8 is lost */
    /* Seen in both orders: each get alone would do. */
    WRONG(q, PUT(0, 1, 9, 7, 0), PUT(1, 1, 9, 8, 0), GET(2, 10, 11, 7), PUT(2, 12, 13, 7, 0), GET(2, 14, 15, 7),
          GET(2, 16, 17, 8));
}

TEST(bounded_and_shut)
{
    linear_spec q = bounded(linear_fifo, 1);
    RIGHT(q, PUT(0, 1, 2, 7, 0), PUT(0, 3, 4, 8, -ETIMEDOUT));
    RIGHT(q, PUT(0, 1, 2, 7, 0), PUT(0, 3, 8, 8, 0), GET(1, 4, 5, 7), GET(1, 6, 7, 8));
    WRONG(q, PUT(0, 1, 2, 7, 0), PUT(0, 3, 4, 8, 0));
    WRONG(q, PUT(0, 1, 2, 7, 0), GET(1, 3, 4, 7), PUT(0, 5, 6, 8, -ETIMEDOUT));
    RIGHT(q, PUT(0, 1, 2, 7, 0), DO(SHUTDOWN, 0, 3, 4, 0, 0), PUT(0, 5, 6, 8, -EPIPE), GET(1, 5, 6, 7),
          GET_NOT(1, 7, 8, -EPIPE));
    WRONG(q, DO(SHUTDOWN, 0, 3, 4, 0, 0), PUT(0, 5, 6, 8, 0));
    WRONG(q, PUT(0, 5, 6, 8, -EPIPE), DO(SHUTDOWN, 0, 7, 8, 0, 0));
    WRONG(q, PUT(0, 1, 2, 7, 0), DO(SHUTDOWN, 0, 3, 4, 0, 0), GET_NOT(1, 5, 6, -EPIPE));
    WRONG(q, DO(SHUTDOWN, 0, 3, 4, 0, 0), GET_NOT(1, 5, 6, -ETIMEDOUT));
    RIGHT(q, PUT(0, 1, 2, 7, 0), PUT(0, 3, 4, 8, -EINTR), GET_NOT(0, 5, 6, -ECANCELED), DO(SIZE, 0, 7, 8, 0, 1));
    WRONG(q, PUT(0, 1, 2, 7, 0), DO(SIZE, 0, 3, 4, 0, 0));
    q.slack = 1;
    RIGHT(q, PUT(0, 1, 2, 7, -ETIMEDOUT));
}

TEST(many)
{
    linear_spec q = bounded(linear_fifo, 4);
    RIGHT(q, PUTS(0, 1, 2, 3, 3, 1, 2, 3), PUTS(0, 3, 4, 3, 1, 4, 5, 6), GETS(1, 5, 6, 8, 4, 1, 2, 3, 4));
    WRONG(q, PUTS(0, 1, 2, 3, 2, 1, 2, 3));                                                  /* there was room */
    WRONG(q, PUTS(0, 1, 2, 3, 3, 1, 2, 3), GETS(1, 3, 4, 2, 1, 1));                          /* there was more */
    WRONG(q, PUTS(0, 1, 9, 2, 2, 1, 2), PUT(1, 1, 9, 3, 0), GETS(0, 10, 11, 3, 3, 1, 3, 2)); /* not in one go */
    RIGHT(q, PUTS(0, 1, 9, 2, 2, 1, 2), PUT(1, 1, 9, 3, 0), GETS(0, 10, 11, 3, 3, 3, 1, 2));
    WRONG(q, PUTS(0, 1, 2, 2, 2, 1, 2), GETS(1, 3, 6, 2, 1, 1), GETS(2, 3, 6, 2, 1, 2));
    RIGHT(q, GETS(1, 1, 2, 2, -ETIMEDOUT), PUTS(0, 3, 4, 4, 4, 1, 2, 3, 4), PUTS(0, 5, 6, 4, -ETIMEDOUT));
}

TEST(lifo_and_priority)
{
    RIGHT(linear_lifo, PUT(0, 1, 2, 7, 0), PUT(0, 3, 4, 8, 0), GET(1, 5, 6, 8), GET(1, 7, 8, 7));
    WRONG(linear_lifo, PUT(0, 1, 2, 7, 0), PUT(0, 3, 4, 8, 0), GET(1, 5, 6, 7));
    enum { A = 1 << 16, B = 2 << 16 };
    RIGHT(linear_priority, PUT(0, 1, 2, B, 0), PUT(0, 3, 4, A, 0), PUT(0, 5, 6, A + 1, 0), GET(1, 7, 8, A),
          GET(1, 9, 10, A + 1), GET(1, 11, 12, B));
    WRONG(linear_priority, PUT(0, 1, 2, B, 0), PUT(0, 3, 4, A, 0), GET(1, 5, 6, B));
    WRONG(linear_priority, PUT(0, 1, 2, A + 1, 0), PUT(0, 3, 4, A, 0), GET(1, 5, 6, A)); /* equals: the older */
}

TEST(locks)
{
    linear_spec l = linear_lock;
    RIGHT(l, DO(ACQUIRE, 0, 1, 2, 0, 0), DO(ACQUIRE, 1, 3, 6, 0, 0), DO(RELEASE, 0, 4, 5, 1, 0));
    RIGHT(l, DO(ACQUIRE, 0, 1, 2, 0, 0), DO(ACQUIRE, 1, 3, 4, 0, -ETIMEDOUT), DO(VALUE, 1, 5, 6, 0, 1));
    WRONG(l, DO(ACQUIRE, 0, 1, 9, 0, 0), DO(ACQUIRE, 1, 1, 9, 0, 0)); /* both */
    WRONG(l, DO(ACQUIRE, 0, 1, 2, 0, -ETIMEDOUT));                    /* nobody held it */
    WRONG(l, DO(RELEASE, 0, 1, 2, 1, 0));
    WRONG(l, DO(ACQUIRE, 0, 1, 2, 0, 0), DO(RELEASE, 1, 3, 4, 1, -EPERM));
    WRONG(l, DO(ACQUIRE, 0, 1, 2, 0, 0), DO(VALUE, 1, 3, 4, 0, 0));
    WRONG(l, DO(ACQUIRE, 0, 1, 2, 0, 0), DO(RELEASE, 0, 3, 8, 1, 0), DO(ACQUIRE, 1, 4, 5, 0, 0),
          DO(ACQUIRE, 2, 6, 7, 0, 0)); /* one release lets one in */

    linear_spec s = linear_semaphore;
    s.initial = 1;
    RIGHT(s, DO(ACQUIRE, 0, 1, 2, 0, 0), DO(RELEASE, 0, 3, 4, 2, 0), DO(VALUE, 0, 5, 6, 0, 2));
    WRONG(s, DO(ACQUIRE, 0, 1, 2, 0, 0), DO(ACQUIRE, 0, 3, 4, 0, 0));
    WRONG(s, DO(ACQUIRE, 0, 1, 2, 0, 0), DO(RELEASE, 0, 3, 8, 2, 0), DO(VALUE, 1, 4, 5, 0, 1)); /* all or none */
    s.limit = 2;
    RIGHT(s, DO(RELEASE, 0, 1, 2, 2, -EOVERFLOW), DO(RELEASE, 0, 3, 4, 1, 0));
    WRONG(s, DO(RELEASE, 0, 1, 2, 2, 0));
    WRONG(s, DO(RELEASE, 0, 1, 2, 1, -EOVERFLOW));
}

TEST(counters)
{
    RIGHT(linear_counters, ON(ADD, 1, 0, 1, 4, 5, 0), ON(ADD, 1, 1, 1, 4, 2, 5), ON(READ, 1, 0, 5, 6, 0, 7),
          ON(READ, 3, 0, 5, 6, 0, 0));
    WRONG(linear_counters, ON(ADD, 1, 0, 1, 4, 5, 0), ON(ADD, 1, 1, 1, 4, 2, 0)); /* a lost update */
    /* Each part is right, and so is the whole: what the one says of time binds the other no further. */
    RIGHT(linear_counters, ON(ADD, 0, 0, 1, 8, 1, 0), ON(ADD, 1, 1, 1, 8, 1, 0), ON(READ, 0, 2, 2, 3, 0, 1),
          ON(READ, 1, 2, 4, 5, 0, 0));
    WRONG(linear_counters, ON(ADD, 0, 0, 1, 8, 1, 0), ON(READ, 0, 2, 2, 3, 0, 1), ON(READ, 0, 2, 4, 5, 0, 0));
}

/* Killed in the middle: it happened, at any later time, or it did not; never twice. */
TEST(cut_off)
{
    linear_spec q = linear_fifo;
    RIGHT(q, PUT(0, 1, 0, 7, 0), GET_NOT(1, 2, 3, -ETIMEDOUT));
    RIGHT(q, PUT(0, 1, 0, 7, 0), GET(1, 2, 3, 7));
    RIGHT(q, PUT(0, 1, 0, 7, 0), GET_NOT(1, 2, 3, -ETIMEDOUT), GET(1, 100, 101, 7));
    WRONG(q, PUT(0, 1, 0, 7, 0), GET(1, 2, 3, 7), GET(1, 4, 5, 7));
    WRONG(q, PUT(0, 4, 0, 7, 0), GET(1, 2, 3, 7));
    RIGHT(q, PUT(0, 1, 2, 7, 0), GET(2, 3, 0, 0), GET_NOT(1, 4, 5, -ETIMEDOUT)); /* lost with its holder */
    RIGHT(q, PUT(0, 1, 2, 7, 0), GET(2, 3, 0, 0), GET(1, 4, 5, 7));
    WRONG(q, PUT(0, 1, 2, 7, 0), PUT(0, 1, 2, 8, 0), GET(2, 3, 0, 0), GET_NOT(1, 4, 5, -ETIMEDOUT)); /* two are lost */
    WRONG(q, PUT(0, 1, 2, 7, 0), PUT(0, 3, 4, 8, 0), PUT(0, 5, 6, 9, 0), GET(2, 7, 0, 0), GET(1, 8, 9, 7),
          GET(1, 10, 11, 9), GET(1, 12, 13, 8));
    RIGHT(linear_lock, DO(ACQUIRE, 0, 1, 0, 0, 0), DO(ACQUIRE, 1, 3, 4, 0, -ETIMEDOUT));
    RIGHT(linear_lock, DO(ACQUIRE, 0, 1, 0, 0, 0), DO(ACQUIRE, 1, 3, 4, 0, 0));
    WRONG(linear_lock, DO(ACQUIRE, 0, 1, 0, 0, 0), DO(ACQUIRE, 1, 3, 4, 0, -ETIMEDOUT), DO(ACQUIRE, 1, 5, 6, 0, 0));
}

TEST(too_large_is_undecided)
{
    static linear_op ops[LINEAR_OPS_MAX + 1];
    for (size_t i = 0; i <= LINEAR_OPS_MAX; i++)
        ops[i] = (linear_op){.kind = LINEAR_VALUE, .invoked = (int64_t)(2 * i), .returned = (int64_t)(2 * i + 1)};
    expect(LINEAR_UNDECIDED, linear_lock, ops, LINEAR_OPS_MAX + 1, __LINE__);
    expect(LINEAR_RIGHT, linear_lock, ops, LINEAR_OPS_MAX, __LINE__);
    const linear_op large = {.kind = LINEAR_GET_MANY, .arg = LINEAR_VALUES_MAX + 1, .returned = 1};
    expect(LINEAR_UNDECIDED, linear_fifo, &large, 1, __LINE__);
}

/* ---- the window ------------------------------------------------------------------------------------ */

TEST(window)
{
    const linear_op ops[] = {
        PUT(0, 1, 2, 1, 0), PUT(0, 3, 6, 2, 0),  PUT(1, 4, 5, 3, 0), /* then quiet: [1 2 3] or [1 3 2] */
        GET(0, 7, 10, 1),   PUT(1, 8, 12, 9, 0), GET(2, 11, 13, 9),  /* <- the culprit */
        GET(0, 14, 15, 2),  GET(0, 16, 17, 3),   PUT(1, 9, 0, 4, 0),
    };
    static linear_window w;
    CHECK(linear_find_window(&linear_fifo, ops, sizeof ops / sizeof *ops, &w));
    CHECK_EQ(w.states_count, 2);
    CHECK_EQ(w.states[0].count, 3);
    CHECK_EQ(w.count, 4);
    CHECK_EQ(w.ops[w.culprit].invoked, 11);
    CHECK_EQ(w.ops[0].invoked, 7);
    CHECK(!linear_find_window(&linear_fifo, ops, 3, &w));

    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    CHECK(out != NULL);
    linear_explain(&linear_fifo, ops, sizeof ops / sizeof *ops, out);
    fclose(out);
    LOG("%s", text);
    CHECK(strstr(text, "The object held [1 2 3] or [1 3 2]\n") || strstr(text, "The object held [1 3 2] or [1 2 3]\n"));
    CHECK(strstr(text, "get -> [9]   <- its result fits in no order\n") != NULL);
    CHECK(strstr(text, "put [4] -> not yet, or never\n") != NULL);
    free(text);
}
