/* SPDX-License-Identifier: MIT */
/* A map over inputs that are made one by one, on the public calls alone: a window of futures, oldest first, moves over the
 * inputs. */
#include "base/sys.h"
#include "executor/executor.h"

enum { AHEAD_LEAST = 16, AHEAD_PER_CPU = 4, AHEAD_MAX = 1 << 20 };

typedef struct window {
    motet_executor *ex;
    const motet_task *task;
    void *arg;
    const motet_imap_options *opt;
    motet_time deadline;
    motet_buffer *in;
    motet_future **futures;     /* `count` of them under way */
    size_t *indexes;            /* which input each is of */
    size_t first, count, ahead; /* ordered: a ring that begins at `first`; unordered: the places from 0 */
    size_t inputs;
    int code; /* of the first failed task, when nobody takes results */
} window;

/* Submits the next input. 1; 0 there are no more; a code. */
static int feed(window *w, motet_imap_next *next)
{
    motet_buffer_clear(w->in);
    int e = next(w->arg, w->in);
    if (e <= 0)
        return e;
    motet_bytes in = {motet_buffer_data(w->in), motet_buffer_size(w->in)};
    motet_submit_options options = {.deadline = w->deadline};
    size_t at = w->opt->unordered ? w->count : (w->first + w->count) % w->ahead;
    e = motet_submit(w->ex, w->task, in, &options, &w->futures[at]);
    if (e < 0)
        return e;
    w->indexes[at] = w->inputs++;
    w->count++;
    return 1;
}

/* Hands on the result at place `at`, and drops the future. */
static int give(window *w, size_t at)
{
    motet_future *f = w->futures[at];
    int code = motet_future_code(f), e = 0;
    if (w->opt->result)
        e = w->opt->result(w->arg, w->indexes[at], code, motet_future_value(f));
    else if (code < 0 && !w->code)
        w->code = code;
    motet_future_unref(f);
    w->count--;
    if (w->opt->unordered) {
        w->futures[at] = w->futures[w->count];
        w->indexes[at] = w->indexes[w->count];
    } else {
        w->first = (w->first + 1) % w->ahead;
    }
    return e;
}

/* Waits for the next result, and hands it on. */
static int take(window *w)
{
    int e = w->opt->unordered ? motet_wait_any(w->futures, w->count, w->deadline)
                              : motet_future_wait(w->futures[w->first], w->deadline);
    if (e < 0)
        return e;
    return give(w, w->opt->unordered ? (size_t)e : w->first);
}

static int run(window *w, motet_imap_next *next)
{
    bool more = true;
    while (more || w->count) {
        int e;
        if (more && w->count < w->ahead) {
            e = feed(w, next);
            more = e > 0;
            if (e < 0)
                return e;
        } else {
            e = take(w);
            if (e != 0)
                return e;
        }
    }
    return w->code;
}

static void cancel_rest(window *w)
{
    for (size_t i = 0; i < w->count; i++) {
        size_t at = w->opt->unordered ? i : (w->first + i) % w->ahead;
        motet_future_cancel(w->futures[at]);
        motet_future_unref(w->futures[at]);
    }
}

int motet_imap(motet_executor *ex, const motet_task *task, motet_imap_next *next, void *arg,
               const motet_imap_options *opt)
{
    static const motet_imap_options none;
    if (!opt)
        opt = &none;
    if (!ex || !is_task(task) || !next || opt->ahead > AHEAD_MAX)
        return -EINVAL;
    window w = {.ex = ex, .task = task, .arg = arg, .opt = opt, .ahead = opt->ahead};
    w.deadline = opt->deadline ? opt->deadline : MOTET_FOREVER;
    if (!w.ahead) {
        w.ahead = AHEAD_PER_CPU * (size_t)motet_cpu_count();
        w.ahead = w.ahead < AHEAD_LEAST ? AHEAD_LEAST : w.ahead;
    }
    w.in = motet_buffer_new();
    w.futures = sys_alloc_zero(w.ahead, sizeof(motet_future *));
    w.indexes = sys_alloc_zero(w.ahead, sizeof *w.indexes);
    int e = w.in && w.futures && w.indexes ? run(&w, next) : -ENOMEM;
    cancel_rest(&w);
    sys_free(w.indexes);
    sys_free(w.futures);
    motet_buffer_free(w.in);
    return e;
}
