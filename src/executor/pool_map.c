/* SPDX-License-Identifier: MIT */
/* Map on the thread pool.
 *
 * One map_run stands for the whole. `next` is the first item that nobody has claimed: whoever adds a chunk to it owns those
 * items (so n is reached exactly), and whoever swaps n into it owns all the rest, to drop them. `done` counts items run or
 * dropped; who brings it to n ends the map. The pool's queue holds up to one part a worker, each of which works until
 * nothing is left to claim; a part that comes late finds nothing and goes.
 *
 * The caller may leave before the end (deadline, cancellation). Then it closes the gate: a worker touches the caller's
 * memory only inside it, to copy a few items in or out; tasks run on copies. Each part has its own door in the gate, so that
 * workers don't meet there. (seq_cst on both sides: either the worker sees the gate closed, or the caller sees the worker
 * inside and waits for its copy.) Nor does it begin another item then, or when the pool drops what is pending. The few items in a copy that ended before the caller left are lost with it; a
 * copy is of one item when they are slow.
 *
 * The map_run belongs to the caller and the parts together; the last one frees it. The caller holds a reference of the pool
 * meanwhile, so that a close in another thread takes no memory from it. */
#include "executor/pool.h"

#include "park/park.h"

#include <string.h>

enum {
    COPY_BYTES = 1024,    /* items are copied in runs of about this size */
    CHUNK_MAX = 1 << 14,  /* of the chunks chosen here */
    SHARES = 16,          /* chunks a worker, at least, when there are enough items */
    BATCH_NS = 10 * 1000, /* items that take longer together are copied in shorter runs */
};

typedef struct map_run map_run;

typedef struct map_part {
    CACHE_ALIGNED job job;
    map_run *map;
    uint32_t inside; /* its door: written by who runs the part alone */
} map_part;

struct map_run {
    pool *pool;
    const motet_task *task;
    const char *in;
    char *out;
    int *codes;
    size_t n, chunk, batch; /* items: of all, of a chunk, of a copy */
    bool progress;          /* the caller wants to hear of each chunk */
    uint32_t closed;        /* the gate */
    guard guard;            /* of the two below */
    size_t bad_index;
    int bad_code;
    CACHE_ALIGNED size_t next;
    CACHE_ALIGNED size_t done;
    uint32_t references, parts_count;
    uint32_t ticks; /* word: chunks done, when there is progress; else 1 at the end */
    map_part parts[];
};

static void map_unref(map_run *m, uint32_t n)
{
    if (atomic_sub_acq_rel(&m->references, n) == n)
        sys_free(m);
}

/* ---- the gate -------------------------------------------------------------------------------------- */

/* `door` NULL: it is the caller itself. */
static void gate_leave(uint32_t *door)
{
    if (door)
        atomic_store_release(door, 0); /* partner: the acquire in gate_close */
}

static bool gate_enter(const map_run *m, uint32_t *door)
{
    if (!door)
        return true;
    atomic_store_seq_cst(door, 1);
    if (!atomic_load_seq_cst(&m->closed))
        return true;
    gate_leave(door);
    return false;
}

/* Copies are short, so the wait is a few looks. */
static void gate_close(map_run *m)
{
    atomic_store_seq_cst(&m->closed, 1);
    for (uint32_t i = 0; i < m->parts_count; i++)
        while (atomic_load_seq_cst(&m->parts[i].inside))
            sys_yield();
}

/* ---- items ----------------------------------------------------------------------------------------- */

static void note_failure(map_run *m, size_t index, int code)
{
    guard_lock(&m->guard);
    if (!m->bad_code || index < m->bad_index) {
        m->bad_code = code;
        m->bad_index = index;
    }
    guard_unlock(&m->guard);
}

/* `n` items are over. */
static void count_done(map_run *m, size_t n)
{
    bool last = atomic_add_acq_rel(&m->done, n) + n == m->n;
    if (!last && !m->progress)
        return;
    atomic_add_release(&m->ticks, 1);
    motet__unpark(&m->ticks, UNPARK_ALL);
}

/* Claims what is left, so that nobody begins it; `code` is why. */
static void drop_rest(map_run *m, int code)
{
    size_t from = atomic_exchange_acq_rel(&m->next, m->n);
    if (from >= m->n)
        return;
    atomic_add_relaxed(&m->pool->cancelled, m->n - from);
    note_failure(m, from, code);
    count_done(m, m->n - from);
}

typedef struct scratch {
    char *in, *out;
    int *codes;
    uint32_t *door; /* of the part */
    void *memory;   /* all of it */
} scratch;

static bool scratch_open(const map_run *m, scratch *s)
{
    size_t in = (m->batch * m->task->in_size + CACHE_LINE - 1) & ~(size_t)(CACHE_LINE - 1);
    size_t out = (m->batch * m->task->out_size + CACHE_LINE - 1) & ~(size_t)(CACHE_LINE - 1);
    s->memory = sys_alloc_lines(in + out + m->batch * sizeof *s->codes);
    if (!s->memory)
        return false;
    s->in = s->memory;
    s->out = s->in + in;
    s->codes = (int *)(void *)(s->out + out);
    return true;
}

/* Runs the task on up to `n` items of the copy: how many; fewer when no item is to begin any more. */
static size_t call_items(const map_run *m, const scratch *s, size_t n)
{
    const motet_task *task = m->task;
    const uint32_t *const stop[2] = {&m->closed, &m->pool->dropping};
    if (task->call_many)
        return task->call_many(s->in, s->out, s->codes, n, stop);
    size_t i = 0;
    /* Relaxed: who misses it begins one more, as if it had been a moment earlier. */
    for (; i < n && !atomic_load_relaxed(stop[0]) && !atomic_load_relaxed(stop[1]); i++)
        s->codes[i] = task->call(s->in + i * task->in_size, s->out + i * task->out_size);
    return i;
}

static void note_first_failure(map_run *m, const int *codes, size_t from, size_t n)
{
    int any = 0;
    for (size_t i = 0; i < n; i++)
        any |= codes[i];
    for (size_t i = 0; any < 0 && i < n; i++) {
        if (codes[i] < 0) {
            note_failure(m, from + i, codes[i]);
            break;
        }
    }
}

/* memcpy; the explorer sees byte by byte who else touches the caller's memory. */
static void copy(void *to, const void *from, size_t n)
{
#ifdef MOTET_SIM
    for (size_t i = 0; i < n; i++)
        ((volatile char *)to)[i] = ((const volatile char *)from)[i]; /* or the compiler makes it a memcpy again */
#else
    memcpy(to, from, n);
#endif
}

/* Runs up to a batch of items: how many; fewer than `n` when it was stopped. */
static size_t run_batch(map_run *m, const scratch *s, size_t from, size_t n)
{
    const motet_task *task = m->task;
    if (!gate_enter(m, s->door))
        return 0;
    copy(s->in, m->in + from * task->in_size, n * task->in_size);
    gate_leave(s->door);
    size_t ran = call_items(m, s, n);
    note_first_failure(m, s->codes, from, ran);
    if (ran && gate_enter(m, s->door)) {
        copy(m->out + from * task->out_size, s->out, ran * task->out_size);
        if (m->codes)
            copy(m->codes + from, s->codes, ran * sizeof *m->codes);
        gate_leave(s->door);
    }
    return ran;
}

/* Runs a claimed chunk: how many items of it; fewer when it was stopped. */
static size_t run_chunk(map_run *m, const scratch *s, size_t from, size_t chunk, size_t *batch)
{
    size_t at = 0;
    int64_t begin = sys_now(), end;
    while (at < chunk) {
        size_t n = chunk - at < *batch ? chunk - at : *batch, ran = run_batch(m, s, from + at, n);
        at += ran;
        if (ran < n)
            break;
        end = sys_now();
        if (end - begin > BATCH_NS)
            *batch = *batch / 2 + *batch % 2;
        else if (*batch < m->batch)
            *batch = 2 * *batch < m->batch ? 2 * *batch : m->batch;
        begin = end;
    }
    return at;
}

/* Claims chunks and runs them until none is left; the caller itself has no door. How many items it ran. */
static size_t work(map_run *m, uint32_t *door)
{
    scratch s = {.door = door};
    task_frame frame;
    size_t sum = 0, from, batch = 1;
    if (!scratch_open(m, &s)) {
        drop_rest(m, -ENOMEM);
        return 0;
    }
    motet__task_enter(&frame, NULL, &m->pool->base);
    while ((from = atomic_add_acq_rel(&m->next, m->chunk)) < m->n) {
        size_t chunk = m->n - from < m->chunk ? m->n - from : m->chunk, ran = run_chunk(m, &s, from, chunk, &batch);
        sum += ran;
        if (ran < chunk) {
            atomic_add_relaxed(&m->pool->cancelled, chunk - ran);
            note_failure(m, from + ran, -ECANCELED);
            drop_rest(m, -ECANCELED);
        }
        count_done(m, chunk);
    }
    motet__task_leave(&frame);
    sys_free(s.memory);
    return sum;
}

static void run_part(job *j, int code)
{
    map_part *part = container_of(j, map_part, job);
    map_run *m = part->map;
    if (code)
        drop_rest(m, code);
    else
        worker_count(motet__worker_current(), work(m, &part->inside));
    map_unref(m, 1);
}

/* ---- the caller ------------------------------------------------------------------------------------ */

static size_t choose_chunk(const pool *p, size_t n, size_t wanted)
{
    if (wanted)
        return wanted < n ? wanted : n;
    size_t chunk = n / ((size_t)p->workers * SHARES);
    return chunk < 1 ? 1 : chunk > CHUNK_MAX ? CHUNK_MAX : chunk;
}

static map_run *new_map(pool *p, const motet_task *task, const void *in, void *out, size_t n,
                        const motet_map_options *opt)
{
    size_t chunk = choose_chunk(p, n, opt->chunk), chunks = (n - 1) / chunk + 1;
    size_t parts = chunks < p->workers ? chunks : p->workers;
    map_run *m = sys_alloc_lines(sizeof *m + parts * sizeof *m->parts);
    if (!m)
        return NULL;
    size_t item = task->in_size > task->out_size ? task->in_size : task->out_size;
    size_t batch = item < COPY_BYTES ? COPY_BYTES / item : 1;
    *m = (map_run){.pool = p,
                   .task = task,
                   .in = in,
                   .out = out,
                   .codes = opt->codes,
                   .n = n,
                   .chunk = chunk,
                   .batch = batch < chunk ? batch : chunk,
                   .progress = opt->on_done != NULL,
                   .references = (uint32_t)parts + 1,
                   .parts_count = (uint32_t)parts};
    for (size_t i = 0; i < parts; i++)
        m->parts[i] = (map_part){.job = {.run = run_part}, .map = m};
    for (size_t i = 0; m->codes && i < n; i++)
        m->codes[i] = -ECANCELED; /* what an item that never runs keeps */
    return m;
}

/* Has the parts queued. 0 if at least one was, else the code why not. */
static int put_parts(map_run *m, motet_time deadline)
{
    uint32_t parts = m->parts_count;
    size_t items = m->n; /* counted once, with the first part */
    for (uint32_t i = 0; i < parts; i++) {
        /* Later parts only speed things up: they don't wait for room. */
        int e = motet__pool_put(m->pool, &m->parts[i].job, i ? MOTET_NOWAIT : deadline, items);
        if (e < 0) {
            map_unref(m, parts - i);
            return i ? 0 : e;
        }
        items = 0;
    }
    return 0;
}

static bool caller_may_work(const pool *p)
{
    const executor_worker *w = motet__worker_current();
    return p->base.caller_helps || (w && w->executor == &p->base);
}

static void caller_works(pool *p, map_run *m)
{
    executor_worker *w = motet__worker_current();
    if (w && w->executor == &p->base) {
        worker_count(w, work(m, NULL));
    } else if (motet__pool_caller_enters(p)) {
        motet__pool_caller_leaves(p, work(m, NULL));
    }
}

/* Waits for the end, and reports progress. */
static int await(map_run *m, const motet_map_options *opt, motet_time deadline)
{
    for (size_t told = 0;;) {
        uint32_t ticks = atomic_load_acquire(&m->ticks);
        size_t done = atomic_load_acquire(&m->done);
        if (opt->on_done && done != told)
            opt->on_done(told = done, m->n, opt->arg);
        if (done == m->n)
            return 0;
        int e = motet__worker_wait(&m->ticks, ticks + 1, deadline);
        if (e < 0)
            return e;
    }
}

int motet__pool_map(motet_executor *ex, const motet_task *task, const void *in, void *out, size_t n,
                    const motet_map_options *opt)
{
    pool *p = pool_of(ex);
    motet_time deadline = opt->deadline ? opt->deadline : MOTET_FOREVER;
    map_run *m = new_map(p, task, in, out, n, opt);
    if (!m)
        return -ENOMEM;
    atomic_add_relaxed(&ex->references, 1); /* the opener's own keeps it alive meanwhile */
    int e = put_parts(m, deadline);
    if (e == 0) {
        if (deadline == MOTET_FOREVER && caller_may_work(p))
            caller_works(p, m);
        e = await(m, opt, deadline);
        if (e < 0)
            drop_rest(m, -ECANCELED);
        gate_close(m);
    }
    if (e == 0) {
        guard_lock(&m->guard);
        e = m->bad_code;
        guard_unlock(&m->guard);
    }
    map_unref(m, 1);
    executor_unref(ex);
    return e;
}
