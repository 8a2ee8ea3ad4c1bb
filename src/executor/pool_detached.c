/* SPDX-License-Identifier: MIT */
/* Tasks that nobody asks after, submitted without a future: what the thread pool keeps of them.
 *
 * Such a task is a *record*: a job, the task and its input, with room for the output; no state, no references, since the
 * queue alone knows it. Records are cut off a *slab*, one after the other, and given back in numbers: so that the thread
 * that submits and the workers, which free what it allocated, do not meet in malloc for each task.
 *
 * A slab is the pool's *current* one, then *full*, then spare or gone. `left` counts the records that are still needed. It
 * starts at SLAB_OPEN; workers subtract what they have run, and who makes the slab full (under the pool's guard) subtracts
 * what was never cut off. Whoever brings it to 0 is the last to touch the slab, and retires it.
 * (acq_rel: the last one comes after all who used a record.)
 *
 * A worker counts what it has run of one slab and subtracts it when it comes to another one, or has emptied its ring: a
 * batch of jobs is mostly of one slab. So it owes nothing when it sleeps or leaves, and a pool that has ended has no slab
 * but the current and the spare ones.
 *
 * A record too large for a slab has one of its own, which is full from the beginning, and is filled without the guard. */
#include "executor/pool.h"

#include <string.h>

typedef struct record {
    job job;
    slab *slab;
    const motet_task *task;
    size_t in_size;
} record;

enum {
#ifdef MOTET_SIM
    SLAB_BYTES = 2 * (sizeof(record) + 2 * sizeof(int)), /* so that two small tasks fill one */
    RECORD_MAX = SLAB_BYTES / 2,
#else
    SLAB_BYTES = 16 * 1024,
    RECORD_MAX = 1024, /* of those that share a slab */
#endif
    BYTES_ALIGNMENT = 16, /* of inputs of tasks to bytes */
    SLABS_SPARE_MAX = 16,
};

#define SLAB_OPEN       (1U << 31)
#define VALUE_BYTES_MAX ((size_t)PTRDIFF_MAX / 4)

struct slab {
    pool *pool;
    slab *next;       /* among the spare ones; guarded by the pool's guard */
    size_t used;      /* bytes; guarded by the pool's guard */
    uint32_t records; /* cut off; guarded by the pool's guard */
    bool alone;       /* made for one record */
    CACHE_ALIGNED uint32_t left;
    CACHE_ALIGNED char bytes[];
};

/* ---- records --------------------------------------------------------------------------------------- */

/* Where input and output lie in a record, and its whole size; it begins at a multiple of `alignment`. */
typedef struct layout {
    size_t in, out, whole, alignment;
} layout;

static layout layout_of(const motet_task *task, size_t in_size)
{
    layout l = {.alignment = _Alignof(record)};
    size_t in = value_alignment(in_size), out = value_alignment(task->out_size);
    if (task->call_bytes && in < BYTES_ALIGNMENT)
        in = BYTES_ALIGNMENT;
    if (l.alignment < in)
        l.alignment = in;
    if (l.alignment < out)
        l.alignment = out;
    l.in = (sizeof(record) + in - 1) & ~(in - 1);
    l.out = (l.in + in_size + out - 1) & ~(out - 1);
    l.whole = l.out + task->out_size;
    return l;
}

static int call(const motet_task *task, record *r)
{
    layout l = layout_of(task, r->in_size);
    char *in = (char *)r + l.in;
    if (task->call)
        return task->call(in, (char *)r + l.out);
    motet_buffer *out = motet_buffer_new();
    int code = out ? task->call_bytes((motet_bytes){r->in_size ? in : NULL, r->in_size}, out) : -ENOMEM;
    motet_buffer_free(out);
    return code;
}

static void give_back(slab *s, uint32_t n);

static void run_record(job *j, int code)
{
    record *r = container_of(j, record, job);
    slab *s = r->slab;
    pool *p = s->pool; /* alive: it does not end before its queue is empty, nor while one of its workers is at work */
    if (code) {
        atomic_add_relaxed(&p->cancelled, 1);
        give_back(s, 1);
        return;
    }
    task_frame frame;
    motet__task_enter(&frame, NULL, &p->base);
    call(r->task, r);
    motet__task_leave(&frame);
    executor_worker *base = motet__worker_current();
    worker *w = container_of(base, worker, base);
    worker_count(base, 1);
    if (s->alone) {
        give_back(s, 1);
        return;
    }
    if (w->slab != s) {
        motet__pool_settle(w);
        w->slab = s;
    }
    w->slab_ran++;
}

/* A record at `place`, in `s`. */
static job *fill(slab *s, void *place, const layout *l, const motet_task *task, motet_bytes in)
{
    record *r = place;
    *r = (record){.job = {.run = run_record}, .slab = s, .task = task, .in_size = in.size};
    if (in.size)
        memcpy((char *)place + l->in, in.data, in.size);
    return &r->job;
}

/* ---- slabs ----------------------------------------------------------------------------------------- */

static void open_slab(slab *s)
{
    s->used = 0;
    s->records = 0;
    atomic_store_relaxed(&s->left, SLAB_OPEN); /* nobody else knows it */
}

static void give_back(slab *s, uint32_t n)
{
    pool *p = s->pool;
    if (atomic_sub_acq_rel(&s->left, n) != n)
        return;
    bool spare = false;
    if (!s->alone) {
        guard_lock(&p->guard);
        spare = p->slabs_spare < SLABS_SPARE_MAX;
        if (spare) {
            s->next = p->spare_slabs;
            p->spare_slabs = s;
            p->slabs_spare++;
        }
        guard_unlock(&p->guard);
    }
    if (!spare)
        sys_free(s);
}

void motet__pool_settle(worker *w)
{
    if (!w->slab)
        return;
    give_back(w->slab, w->slab_ran);
    w->slab = NULL;
    w->slab_ran = 0;
}

/* Under the guard: makes another slab the current one. False: no memory. */
static bool next_slab(pool *p)
{
    slab *s = p->slab;
    if (s) {
        uint32_t rest = SLAB_OPEN - s->records;
        p->slab = NULL;
        if (atomic_sub_acq_rel(&s->left, rest) != rest)
            s = NULL; /* the last of its workers will retire it */
    }
    if (!s && p->spare_slabs) {
        s = p->spare_slabs;
        p->spare_slabs = s->next;
        p->slabs_spare--;
    }
    if (!s) {
        s = sys_alloc_lines(sizeof *s + SLAB_BYTES);
        if (!s)
            return false;
        s->pool = p;
    }
    open_slab(s);
    p->slab = s;
    return true;
}

/* Under the guard: room for a record in the pool's current slab; NULL: no memory. */
static void *cut_off(pool *p, const layout *l)
{
    size_t at = p->slab ? (p->slab->used + l->alignment - 1) & ~(l->alignment - 1) : 0;
    if (!p->slab || at + l->whole > SLAB_BYTES) {
        if (!next_slab(p))
            return NULL;
        at = 0;
    }
    p->slab->used = at + l->whole;
    p->slab->records++;
    return p->slab->bytes + at;
}

void motet__pool_slabs_free(pool *p)
{
    sys_free(p->slab);
    while (p->spare_slabs) {
        slab *s = p->spare_slabs;
        p->spare_slabs = s->next;
        sys_free(s);
    }
}

/* ---- submit ---------------------------------------------------------------------------------------- */

static int submit_large(pool *p, const layout *l, const motet_task *task, motet_bytes in, motet_time deadline)
{
    slab *s = sys_alloc_lines(sizeof *s + l->whole);
    if (!s)
        return -ENOMEM;
    s->pool = p;
    s->alone = true;
    s->left = 1;
    int e = motet__pool_put(p, fill(s, s->bytes, l, task, in), deadline, 1);
    if (e < 0)
        sys_free(s);
    return e;
}

int motet__pool_submit_detached(motet_executor *ex, const motet_task *task, motet_bytes in,
                                const motet_submit_options *opt)
{
    pool *p = pool_of(ex);
    motet_time deadline = opt->deadline ? opt->deadline : MOTET_FOREVER;
    if (in.size > VALUE_BYTES_MAX || task->out_size > VALUE_BYTES_MAX)
        return -ENOMEM;
    if (opt->timeout_ns)
        return -ENOTSUP; /* a thread can't be killed */
    layout l = layout_of(task, in.size);
    if (l.whole > RECORD_MAX)
        return submit_large(p, &l, task, in, deadline);
    int e = motet__pool_enter(p, deadline);
    if (e < 0)
        return e;
    void *place = cut_off(p, &l);
    if (!place)
        return motet__pool_give_up(p, -ENOMEM);
    motet__pool_leave_with(p, fill(p->slab, place, &l, task, in), 1);
    return 0;
}
