/* SPDX-License-Identifier: MIT */
/* A new process from the inside: it takes what its starter left for it, begins, runs, and ends. */
#include "process/process.h"

#ifndef MOTET_SIM

#include "family/arena.h"
#include "thread/thread.h"

#include <motet/executor.h>

#include <string.h>

/* What the process runs; its own copy of all. */
typedef struct work {
    const motet_task *task; /* or fn */
    motet_fn *fn;
    void *arg, *data;
    parcel head;
} work;

motet_process *motet__process_new(const char *name, const char *identity, uint64_t id)
{
    size_t name_size = strlen(name) + 1, identity_size = strlen(identity) + 1;
    motet_process *p = sys_alloc_zero(1, sizeof *p + name_size + identity_size);
    if (!p)
        return NULL;
    memcpy(p->text, name, name_size);
    memcpy(p->text + name_size, identity, identity_size);
    p->name = p->text;
    p->identity = p->text + name_size;
    p->refs = 1;
    p->id = id;
    p->pidfd = -1;
    p->era = motet__process.era;
    return p;
}

/* ---- taking the parcel ----------------------------------------------------------------------------- */

/* `size` bytes at `at`, as far as they lie in the arena. It may have been freed: then they are anything, and it shows later. */
static bool take(void *to, const char *at, size_t size)
{
    if (!size)
        return true;
    if (!motet__family_contains(at) || !motet__family_contains(at + size - 1))
        return false;
    memcpy(to, at, size);
    return true;
}

/* A string of the parcel's: an own copy; NULL: no memory, or nonsense. */
static char *take_text(const char *at, size_t size)
{
    char *text = size > 0 && size < motet__family->size ? sys_alloc(size) : NULL;
    if (!text || !take(text, at, size)) {
        sys_free(text);
        return NULL;
    }
    text[size - 1] = '\0';
    return text;
}

/* Makes the process's own object out of the parcel. */
static int take_self(const work *w, const char *text)
{
    process_self *self = &motet__process;
    char *name = take_text(text, w->head.name_size);
    char *identity = take_text(text + w->head.name_size + w->head.task_size, w->head.identity_size);
    motet_process *p = name && identity ? motet__process_new(name, identity, w->head.id) : NULL;
    sys_free(name);
    sys_free(identity);
    if (!p)
        return -ENOMEM;
    p->is_self = true;
    p->daemon = w->head.daemon;
    p->method = w->head.method;
    p->pid = sys_pid();
    self->current = p;
    return 0;
}

static int take_task(work *w, const char *text)
{
    char *name = take_text(text, w->head.task_size);
    if (!name)
        return -ENOMEM;
    w->task = motet_task_find(name);
    sys_free(name);
    return w->task ? 0 : -ENOENT;
}

static int take_data(work *w, const char *data)
{
    size_t size = w->head.data_size;
    if (!w->head.has_data)
        return 0;
    if (size >= motet__family->size)
        return -ENOMEM;
    w->data = sys_alloc_lines(size ? size : 1);
    if (!w->data)
        return -ENOMEM;
    return take(w->data, data, size) ? 0 : -ENOMEM;
}

static int take_function(work *w, bool executed)
{
    const control *c = motet__process.control;
    uintptr_t at;
    int e = motet__portable_resolve(c, w->head.fn, !executed, &at);
    if (e < 0)
        return e;
    w->fn = (motet_fn *)at;
    e = motet__portable_resolve(c, w->head.arg, !executed, &at);
    w->arg = (void *)at;
    return e;
}

static int take_all(work *w, const slot *s, bool executed)
{
    const parcel *from = s->parcel;
    if (!take(&w->head, (const char *)from, sizeof w->head))
        return -ENOMEM;
    const char *text = from->text;
    int e = take_self(w, text);
    if (e == 0)
        e = w->head.task_size ? take_task(w, text + w->head.name_size) : take_function(w, executed);
    if (e == 0)
        e = take_data(w, text + w->head.name_size + w->head.task_size + w->head.identity_size);
    if (w->data && !w->task)
        w->arg = w->data;
    return e;
}

/* ---- begin, run, end ------------------------------------------------------------------------------- */

int motet__process_run_task(const motet_task *task, motet_bytes in)
{
    motet_buffer *out = motet_buffer_new();
    int code = out ? motet_buffer_reserve(out, task->out_size) : -ENOMEM;
    if (code == 0)
        code = task->call_bytes ? task->call_bytes(in, out) : task->call(in.data, motet_buffer_data(out));
    motet_buffer_free(out);
    return code;
}

void motet__process_finish(slot *s, uint64_t turn, int code)
{
    uint64_t none = slot_returned(0, turn);
    atomic_cas_relaxed(&s->returned, &none, slot_returned(code, turn));
    none = slot_word(SLOT_CLAIMED, 0, turn);
    /* What the kernel will say too, as long as anybody is there to ask it. Publishes the above. */
    atomic_cas_release(&s->said, &none, slot_word(SLOT_ENDED, code_to_value(code & 0xff), turn));
    motet__exit_run();
    sys_stdio_flush();
    sys_exit_now(code & 0xff);
}

/* Writes into the slot who runs here. False: the start is another's by now. */
static bool sign(slot *s, uint64_t taken, member_tag tag)
{
    uint64_t was = atomic_load_seq_cst(&s->who);
    do { /* in this order: whoever comes for the start after this look changes what was read before it */
        if (atomic_load_seq_cst(&s->word) != taken)
            return false;
    } while (!atomic_cas_seq_cst(&s->who, &was, slot_who(sys_pid(), tag)));
    return true;
}

void motet__process_main(slot *s, uint64_t taken, member_tag tag, bool executed)
{
    uint64_t turn = slot_turn_of(taken);
    work w = {0};
    if (motet__member_become_child(tag) < 0)
        sys_exit_now(GIVEN_UP); /* the zygote has died, and another one makes this process */
    if (!sign(s, taken, tag))
        sys_exit_now(GIVEN_UP);
    int e = take_all(&w, s, executed);
    /* Alive after all was copied: so it was not freed before. */
    if (!motet__member_alive(s->starter))
        sys_exit_now(GIVEN_UP);
    if (e < 0) {
        motet__slot_fail(s, taken, e);
        sys_exit_now(GIVEN_UP);
    }
    if (!motet__slot_step(s, taken, slot_word(SLOT_RUNNING, tag, turn), true))
        sys_exit_now(GIVEN_UP);
    /* The family may have ended before this process could be found. */
    if (atomic_load_seq_cst(&motet__process.control->ending))
        sys_exit_now(GIVEN_UP);
    sys_signals_restore(&motet__process.signals);
    motet_bytes in = {w.data, w.data ? w.head.data_size : 0};
    int code = w.task ? motet__process_run_task(w.task, in) : w.fn(w.arg);
    motet__process_finish(s, turn, code);
}

#endif
