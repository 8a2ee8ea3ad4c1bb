/* SPDX-License-Identifier: MIT */
/* Conformance: maps that run to their end. */
#include "executor/test_conformance.h"

#include <stdlib.h>
#include <string.h>

/* Maps squares over n items and checks them all. */
static void check_map(motet_executor *ex, size_t n, const motet_map_options *opt)
{
    int *in = calloc(n + 1, sizeof *in);
    long *out = calloc(n + 1, sizeof *out);
    CHECK(in && out);
    for (size_t i = 0; i < n; i++) {
        in[i] = (int)i - 5;
        out[i] = -1;
    }
    CHECK_EQ(conform_square_map(ex, in, out, n, opt), 0);
    for (size_t i = 0; i < n; i++) {
        CHECK_EQ(in[i], (int)i - 5);
        CHECK_EQ(out[i], ((long)i - 5) * ((long)i - 5));
    }
    free(in);
    free(out);
}

void conform_map_in_order(const conform_backend *b)
{
    for (unsigned workers = 1; workers <= 4; workers++) {
        motet_executor *ex = conform_open_workers(b, workers);
        for (size_t n = 0; n < 70; n++)
            check_map(ex, n, NULL);
        check_map(ex, 20000, NULL);
        CHECK_EQ(motet_executor_shutdown(ex, false, MOTET_FOREVER), 0);
        conform_check_balance(ex, 69 * 70 / 2 + 20000);
        motet_executor_close(ex);
    }
}

void conform_map_chunks(const conform_backend *b)
{
    static const size_t sizes[] = {1, 2, 7, 99, 100, 101, 1000, SIZE_MAX};
    motet_executor *ex = conform_open_workers(b, 3);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        check_map(ex, 100, &(motet_map_options){.chunk = sizes[i]});
    motet_executor_close(ex);
}

void conform_map_of_nothing(const conform_backend *b)
{
    motet_executor *ex = conform_open_workers(b, 2);
    CHECK_EQ(conform_square_map(ex, NULL, NULL, 0, NULL), 0);
    CHECK_EQ(conform_square_map(ex, NULL, NULL, 0, &(motet_map_options){.deadline = MOTET_NOWAIT}), 0);
    CHECK_EQ(motet_executor_shutdown(ex, false, MOTET_FOREVER), 0);
    conform_check_balance(ex, 0);
    motet_executor_close(ex);
}

void conform_map_of_one(const conform_backend *b)
{
    motet_executor *ex = conform_open_workers(b, 2);
    for (int i = 0; i < 500; i++) {
        long out = -1;
        CHECK_EQ(conform_square_map(ex, &i, &out, 1, NULL), 0);
        CHECK_EQ(out, (long)i * i);
    }
    motet_executor_close(ex);
}

typedef struct large_item {
    int number;
    char rest[9001];
} large_item;

MOTET_TASK(conform_large_item, large_item, large_item)
{
    *out = *in;
    out->number = -in->number;
    out->rest[9000]++;
    return 0;
}

void conform_map_large_items(const conform_backend *b)
{
    enum { MANY = 60 };
    static large_item in[MANY], out[MANY];
    motet_executor *ex = conform_open_workers(b, 2);
    for (int i = 0; i < MANY; i++) {
        in[i].number = i;
        memset(in[i].rest, i, sizeof in[i].rest);
    }
    CHECK_EQ(conform_large_item_map(ex, in, out, MANY, &(motet_map_options){.chunk = 7}), 0);
    for (int i = 0; i < MANY; i++) {
        CHECK_EQ(out[i].number, -i);
        CHECK_MEM(out[i].rest, in[i].rest, 9000);
        CHECK_EQ(out[i].rest[9000], (char)(i + 1));
    }
    motet_executor_close(ex);
}

void conform_map_failures(const conform_backend *b)
{
    enum { MANY = 300 };
    motet_executor *ex = conform_open_workers(b, 3);
    for (size_t chunk = 0; chunk < 50; chunk += 7) {
        int in[MANY], out[MANY], codes[MANY];
        for (int i = 0; i < MANY; i++) {
            in[i] = i % 17 == 16 ? -i : i;
            out[i] = codes[i] = INT32_MIN;
        }
        motet_map_options options = {.chunk = chunk, .codes = codes};
        CHECK_EQ(conform_code_map(ex, in, out, MANY, &options), -16); /* the first by index, whichever came first */
        for (int i = 0; i < MANY; i++) {
            CHECK_EQ(codes[i], in[i]);
            if (in[i] >= 0)
                CHECK_EQ(out[i], in[i]); /* the others ran all the same */
        }
        options.codes = NULL;
        CHECK_EQ(conform_code_map(ex, in, out, MANY, &options), -16);
        CHECK_EQ(conform_code_map(ex, in, out, 16, &options), 0); /* none of these fails; positive codes don't */
    }
    motet_executor_close(ex);
}

typedef struct failing {
    motet_event *go; /* waits for it, when not NULL */
    int code;
} failing;

MOTET_TASK(conform_failing, failing, int)
{
    *out = 0;
    if (in->go && motet_event_wait(in->go, MOTET_FOREVER) < 0)
        return -EIO;
    return in->code;
}

static void let_first_go(size_t done, size_t total, void *arg) { CHECK_EQ(motet_event_set(arg), 0); }

void conform_map_first_failure_by_index(const conform_backend *b)
{
    motet_event *go = conform_alloc(b, sizeof *go);
    CHECK_EQ(motet_event_init(go, b->sync_flags), 0);
    motet_executor *ex = conform_open_workers(b, 2);
    failing in[2] = {{go, -ENOSPC}, {NULL, -EXDEV}}; /* the second has failed long before the first does */
    int out[2];
    motet_map_options options = {.chunk = 1, .on_done = let_first_go, .arg = go};
    CHECK_EQ(conform_failing_map(ex, in, out, 2, &options), -ENOSPC);
    motet_executor_close(ex);
    b->free(go);
}

static _Thread_local bool is_caller;

typedef struct progress {
    size_t done, calls;
    size_t total;
} progress;

static void on_done(size_t done, size_t total, void *arg)
{
    progress *p = arg;
    CHECK(is_caller);
    CHECK_GT(done, p->done);
    CHECK_LE(done, total);
    CHECK_EQ(total, p->total);
    p->done = done;
    p->calls++;
}

void conform_map_progress(const conform_backend *b)
{
    static const size_t sizes[] = {0, 1, 3, 1000};
    motet_executor *ex = conform_open_workers(b, 2);
    is_caller = true;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (size_t n = 1; n <= 1000; n *= 10) {
            progress p = {.total = n};
            check_map(ex, n, &(motet_map_options){.chunk = sizes[i], .on_done = on_done, .arg = &p});
            CHECK_EQ(p.done, n); /* the last call says that all is done */
            CHECK_GE(p.calls, 1);
        }
    }
    motet_executor_close(ex);
}

/* ---- beside each other, inside each other ---------------------------------------------------------- */

typedef struct map_level {
    motet_executor *ex;
    int depth;
} map_level;

MOTET_TASK(conform_map_level, map_level, long)
{
    enum { WIDTH = 6 };
    long sums[WIDTH];
    map_level levels[WIDTH];
    *out = 1;
    if (!in->depth)
        return 0;
    for (int i = 0; i < WIDTH; i++)
        levels[i] = (map_level){in->ex, in->depth - 1};
    int e = motet_map(in->ex, &conform_map_level, levels, sums, WIDTH, &(motet_map_options){.chunk = 1});
    for (int i = 0; i < WIDTH; i++)
        *out += sums[i];
    return e;
}

void conform_map_from_a_task(const conform_backend *b)
{
    CONFORM_NEEDS(b, tasks_submit);
    for (unsigned workers = 1; workers <= 3; workers++) {
        motet_executor *ex = conform_open_workers(b, workers);
        motet_future *f;
        long tasks = 0;
        CHECK_EQ(conform_map_level_submit(ex, &(map_level){ex, 4}, &f), 0);
        CHECK_EQ(conform_map_level_result(f, &tasks, MOTET_FOREVER), 0);
        CHECK_EQ(tasks, 1 + 6 + 36 + 216 + 1296);
        motet_future_unref(f);
        CHECK_EQ(motet_executor_shutdown(ex, false, MOTET_FOREVER), 0);
        conform_check_balance(ex, 1 + 6 + 36 + 216 + 1296);
        motet_executor_close(ex);
    }
}

static int map_some(void *arg)
{
    for (size_t n = 1; n < 3000; n = n * 3 + 1)
        check_map(arg, n, NULL);
    return 0;
}

void conform_maps_at_once(const conform_backend *b)
{
    motet_executor *ex = conform_open_workers(b, 2);
    conform_threads(5, map_some, ex);
    motet_executor_close(ex);
}

void conform_map_misuse(const conform_backend *b)
{
    static const motet_task nothing = {.name = "nothing"};
    motet_executor *ex = conform_open_workers(b, 1);
    int in = 1;
    long out = 5;
    CHECK_EQ(motet_map(NULL, &conform_square, &in, &out, 1, NULL), -EINVAL);
    CHECK_EQ(motet_map(ex, NULL, &in, &out, 1, NULL), -EINVAL);
    CHECK_EQ(motet_map(ex, &nothing, &in, &out, 1, NULL), -EINVAL);
    CHECK_EQ(motet_map(ex, &conform_shout, &in, &out, 1, NULL), -EINVAL);
    CHECK_EQ(motet_map(ex, &conform_square, NULL, &out, 1, NULL), -EINVAL);
    CHECK_EQ(motet_map(ex, &conform_square, &in, NULL, 1, NULL), -EINVAL);
    CHECK_EQ(motet_map(ex, &conform_square, &in, &out, SIZE_MAX / 4, NULL), -EINVAL);
    CHECK_EQ(out, 5);
    motet_executor_close(ex);
}
