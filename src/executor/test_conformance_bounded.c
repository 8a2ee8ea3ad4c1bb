/* SPDX-License-Identifier: MIT */
/* Conformance: back-pressure, a bounded number of tasks that wait for a worker. */
#include "executor/test_conformance.h"

static motet_executor *open_bounded(const conform_backend *b, unsigned workers, size_t queue_max)
{
    return conform_open(b, &(motet_pool_options){.workers = workers, .queue_max = queue_max});
}

static int submit_square(motet_executor *ex, motet_time deadline, motet_future **f)
{
    return motet_submit(ex, &conform_square, (motet_bytes){&(int){3}, sizeof(int)},
                        &(motet_submit_options){.deadline = deadline}, f);
}

void conform_bounded_refuses_at_once(const conform_backend *b)
{
    enum { ROOM = 4 };
    CONFORM_NEEDS(b, holds_worker);
    conform_gate *g = conform_gate_new(b);
    motet_executor *ex = open_bounded(b, 1, ROOM);
    motet_future *held, *f[ROOM], *none = NULL;
    conform_hold_workers(ex, g, 1, &held);
    for (int i = 0; i < ROOM; i++)
        CHECK_EQ(submit_square(ex, MOTET_NOWAIT, &f[i]), 0);
    CHECK_EQ(submit_square(ex, MOTET_NOWAIT, &none), -ETIMEDOUT);
    motet_time deadline = motet_after(5 * MOTET_MS);
    CHECK_EQ(submit_square(ex, deadline, &none), -ETIMEDOUT);
    CHECK_GE(motet_now(), deadline);
    CHECK(none == NULL);
    conform_let_go(g, &held, 1);
    CHECK_EQ(motet_wait_all(f, ROOM, MOTET_FOREVER), 0);
    CHECK_EQ(submit_square(ex, MOTET_NOWAIT, &none), 0); /* there is room again */
    motet_future_unref(none);
    for (int i = 0; i < ROOM; i++)
        motet_future_unref(f[i]);
    CHECK_EQ(motet_executor_shutdown(ex, false, MOTET_FOREVER), 0);
    conform_check_balance(ex, ROOM + 2);
    motet_executor_close(ex);
    b->free(g);
}

/* A task that begins, and ends when it gets a permit. */
typedef struct step {
    motet_semaphore begun, go;
} step;

MOTET_TASK(conform_step, step *, int)
{
    motet_semaphore_release(&(*in)->begun, 1);
    *out = 0;
    return motet_semaphore_acquire(&(*in)->go, MOTET_FOREVER);
}

/* Submits until there is no more room: how many went in. */
static int fill(motet_executor *ex, step *s)
{
    int n = 0, e;
    do
        e = motet_submit(ex, &conform_step, (motet_bytes){&s, sizeof s},
                         &(motet_submit_options){.deadline = MOTET_NOWAIT}, NULL);
    while (e == 0 && ++n);
    CHECK_EQ(e, -ETIMEDOUT);
    return n;
}

void conform_bounded_is_bounded(const conform_backend *b)
{
    enum { ROOM = 64, STEPS = 200 };
    CONFORM_NEEDS(b, holds_worker);
    step *s = conform_alloc(b, sizeof *s);
    CHECK_EQ(motet_semaphore_init(&s->begun, 0, b->sync_flags), 0);
    CHECK_EQ(motet_semaphore_init(&s->go, 0, b->sync_flags), 0);
    motet_executor *ex = open_bounded(b, 1, ROOM);
    CHECK_EQ(conform_step_submit(ex, &s, NULL), 0);
    CHECK_EQ(motet_semaphore_acquire(&s->begun, MOTET_FOREVER), 0);
    CHECK_EQ(fill(ex, s), ROOM);
    for (int i = 0; i < STEPS; i++) { /* for each that begins there is room for one, never for more */
        CHECK_EQ(motet_semaphore_release(&s->go, 1), 0);
        CHECK_EQ(motet_semaphore_acquire(&s->begun, MOTET_FOREVER), 0);
        CHECK_EQ(fill(ex, s), 1);
    }
    CHECK_EQ(motet_semaphore_release(&s->go, ROOM + 1), 0);
    motet_executor_close(ex);
    b->free(s);
}

typedef struct submitting {
    motet_executor *ex;
    uint32_t *counter;
    motet_semaphore there;
    int each;
} submitting;

static int submit_each(void *arg)
{
    submitting *s = arg;
    motet_semaphore_release(&s->there, 1);
    for (int i = 0; i < s->each; i++) {
        int e = conform_count_submit(s->ex, &(conform_counted){s->counter, 0}, NULL);
        if (e < 0)
            return e;
    }
    return 0;
}

void conform_bounded_submitters_get_through(const conform_backend *b)
{
    enum { SUBMITTERS = 6, EACH = 200 };
    for (unsigned workers = 1; workers <= 2; workers++) {
        uint32_t *counter = conform_alloc(b, sizeof *counter);
        motet_executor *ex = open_bounded(b, workers, 2);
        conform_threads(SUBMITTERS, submit_each, &(submitting){.ex = ex, .counter = counter, .each = EACH});
        CHECK_EQ(motet_executor_shutdown(ex, false, MOTET_FOREVER), 0);
        CHECK_EQ(atomic_load_relaxed(counter), SUBMITTERS * EACH);
        conform_check_balance(ex, SUBMITTERS * EACH);
        motet_executor_close(ex);
        b->free(counter);
    }
}

/* Threads that submit to a full queue. */
static void start_submitters(submitting *s, motet_thread **threads, int n)
{
    for (int i = 0; i < n; i++)
        CHECK_EQ(motet_thread_start(&threads[i], submit_each, s, NULL), 0);
    for (int i = 0; i < n; i++)
        CHECK_EQ(motet_semaphore_acquire(&s->there, MOTET_FOREVER), 0);
}

static int join(motet_thread *t)
{
    int code = 1;
    CHECK_EQ(motet_thread_join(t, &code, MOTET_FOREVER), 0);
    motet_thread_free(t);
    return code;
}

void conform_bounded_cancelled_submitter(const conform_backend *b)
{
    enum { MANY = 4 };
    CONFORM_NEEDS(b, holds_worker);
    conform_gate *g = conform_gate_new(b);
    uint32_t *counter = conform_alloc(b, sizeof *counter);
    motet_executor *ex = open_bounded(b, 1, 1);
    motet_future *held;
    motet_thread *threads[MANY];
    conform_hold_workers(ex, g, 1, &held);
    CHECK_EQ(submit_square(ex, MOTET_NOWAIT, NULL), 0);
    submitting s = {.ex = ex, .counter = counter, .each = 1};
    start_submitters(&s, threads, MANY);
    CHECK_EQ(motet_thread_cancel(threads[0]), 0);
    CHECK_EQ(join(threads[0]), -ECANCELED);
    CHECK_EQ(motet_thread_cancel(threads[1]), 0); /* this one as the room comes: either is right */
    conform_let_go(g, &held, 1);
    int second = join(threads[1]);
    CHECK(second == 0 || second == -ECANCELED);
    for (int i = 2; i < MANY; i++)
        CHECK_EQ(join(threads[i]), 0); /* nobody has swallowed their room */
    CHECK_EQ(motet_executor_shutdown(ex, false, MOTET_FOREVER), 0);
    CHECK_EQ(atomic_load_relaxed(counter), MANY - 2 + (second == 0));
    motet_executor_close(ex);
    b->free(counter);
    b->free(g);
}

void conform_bounded_ended_by_shutdown(const conform_backend *b)
{
    enum { MANY = 3 };
    CONFORM_NEEDS(b, holds_worker);
    conform_gate *g = conform_gate_new(b);
    uint32_t *counter = conform_alloc(b, sizeof *counter);
    motet_executor *ex = open_bounded(b, 1, 1);
    motet_future *held;
    motet_thread *threads[MANY];
    conform_hold_workers(ex, g, 1, &held);
    CHECK_EQ(submit_square(ex, MOTET_NOWAIT, NULL), 0);
    submitting s = {.ex = ex, .counter = counter, .each = 1};
    start_submitters(&s, threads, MANY);
    CHECK_EQ(motet_executor_shutdown(ex, false, MOTET_NOWAIT), -ETIMEDOUT);
    for (int i = 0; i < MANY; i++)
        CHECK_EQ(join(threads[i]), -EPIPE);
    conform_let_go(g, &held, 1);
    CHECK_EQ(motet_executor_shutdown(ex, false, MOTET_FOREVER), 0);
    CHECK_EQ(atomic_load_relaxed(counter), 0);
    conform_check_balance(ex, 2);
    motet_executor_close(ex);
    b->free(counter);
    b->free(g);
}

/* ---- by tasks -------------------------------------------------------------------------------------- */

typedef struct tree {
    motet_executor *ex;
    uint32_t *counter;
    motet_semaphore *leaves; /* a permit for each task without children */
    int depth;
} tree;

enum { CHILDREN = 3, DEPTH = 4, TREE = 1 + 3 + 9 + 27 + 81, LEAVES = 81 };

MOTET_TASK(conform_tree, tree, int)
{
    *out = 0;
    atomic_add_relaxed(in->counter, 1);
    if (!in->depth)
        return motet_semaphore_release(in->leaves, 1);
    tree child = *in;
    child.depth--;
    for (int i = 0; i < CHILDREN; i++) {
        int e = motet_submit(in->ex, &conform_tree, (motet_bytes){&child, sizeof child}, NULL, NULL);
        if (e < 0)
            return e;
    }
    return 0;
}

void conform_bounded_submit_from_tasks(const conform_backend *b)
{
    CONFORM_NEEDS(b, tasks_submit);
    uint32_t *counter = conform_alloc(b, sizeof *counter);
    motet_semaphore *leaves = conform_alloc(b, sizeof *leaves);
    CHECK_EQ(motet_semaphore_init(leaves, 0, b->sync_flags), 0);
    motet_executor *ex = open_bounded(b, 1, 1);
    CHECK_EQ(conform_tree_submit(ex, &(tree){ex, counter, leaves, DEPTH}, NULL), 0);
    for (int i = 0; i < LEAVES; i++)
        CHECK_EQ(motet_semaphore_acquire(leaves, MOTET_FOREVER), 0);
    CHECK_EQ(motet_executor_shutdown(ex, false, MOTET_FOREVER), 0);
    CHECK_EQ(atomic_load_relaxed(counter), TREE);
    conform_check_balance(ex, TREE);
    motet_executor_close(ex);
    b->free(counter);
    b->free(leaves);
}

static int map_squares(void *arg)
{
    enum { ITEMS = 500 };
    int in[ITEMS];
    long out[ITEMS];
    for (int i = 0; i < ITEMS; i++)
        in[i] = i;
    int e = conform_square_map(arg, in, out, ITEMS, &(motet_map_options){.chunk = 3});
    for (int i = 0; i < ITEMS && e == 0; i++)
        CHECK_EQ(out[i], (long)i * i);
    return e;
}

void conform_bounded_map(const conform_backend *b)
{
    CONFORM_NEEDS(b, holds_worker);
    conform_gate *g = conform_gate_new(b);
    motet_executor *ex = open_bounded(b, 2, 1);
    conform_threads(4, map_squares, ex);
    motet_future *held[2];
    conform_hold_workers(ex, g, 1, held);
    conform_hold_workers(ex, g, 1, held + 1);
    CHECK_EQ(submit_square(ex, MOTET_NOWAIT, NULL), 0);
    motet_time deadline = motet_after(3 * MOTET_MS); /* the queue is full: the map does not get in */
    int in = 1, code = 7;
    long out = 7;
    CHECK_EQ(conform_square_map(ex, &in, &out, 1, &(motet_map_options){.deadline = deadline, .codes = &code}),
             -ETIMEDOUT);
    CHECK_GE(motet_now(), deadline);
    CHECK_EQ(out, 7);
    CHECK_EQ(code, -ECANCELED);
    CHECK_EQ(motet_event_set(&g->open), 0);
    motet_future_unref(held[0]);
    motet_future_unref(held[1]);
    motet_executor_close(ex);
    b->free(g);
}
