/* SPDX-License-Identifier: MIT */
/* Processes: start, join, signal, what is asked of one. States and invariants: process.h. */
#include "process/process.h"

#ifndef MOTET_SIM

#include "family/arena.h"
#include "park/park.h"

#include <motet/executor.h>

#include <limits.h>
#include <stdio.h>
#include <string.h>

process_self motet__process = {.bell = -1, .guard_bell = -1};

/* How long a wait relies on guard and zygote before it looks whether they live. */
#define LOOK_NS MOTET_S

bool motet__process_allowed(void) { return motet__park_allowed(); }

/* What a start was asked for, checked. */
typedef struct request {
    const motet_process_options *opt;
    motet_fn *fn;
    void *arg;
    const motet_task *task;
    portable portable_fn, portable_arg;
} request;

/* ---- what is asked for ----------------------------------------------------------------------------- */

static int check_options(const request *r)
{
    const motet_process_options *opt = r->opt;
    if (opt->method != MOTET_FORKSERVER && opt->method != MOTET_FORK && opt->method != MOTET_SPAWN)
        return -EINVAL;
    if (!r->fn && !opt->task_name)
        return -EINVAL;
    if ((opt->size && !opt->data) || (opt->data && r->arg) || opt->size > PTRDIFF_MAX)
        return -EINVAL;
    if (opt->give && *opt->give)
        return -ENOTSUP;
    return 0;
}

static int check_task(request *r)
{
    r->task = motet_task_find(r->opt->task_name);
    if (!r->task)
        return -ENOENT;
    /* Of a fixed size, or any bytes. */
    return !r->task->call_bytes && r->task->in_size != r->opt->size ? -EINVAL : 0;
}

/* That code and argument mean something in the new process. */
static int check_places(request *r)
{
    const control *c = motet__process.control;
    if (r->opt->method == MOTET_FORK)
        return 0;
    int e = r->task ? 0 : motet__portable_code(c, r->fn, &r->portable_fn);
    return e < 0 ? e : motet__portable_arg(c, r->arg, &r->portable_arg);
}

static int check_state(const request *r)
{
    const process_self *self = &motet__process;
    if (self->current && self->current->daemon)
        return -EPERM;
    int e = motet__process_prepare();
    if (e < 0)
        return e;
    if (r->opt->method == MOTET_SPAWN && !atomic_load_relaxed(&self->control->spawns))
        return -EPERM;
    return atomic_load_relaxed(&self->control->ending) ? -EPIPE : 0;
}

/* ---- the object ------------------------------------------------------------------------------------ */

static motet_process *new_child(const motet_process_options *opt)
{
    process_self *self = &motet__process;
    const char *parent = self->current ? self->current->identity : "";
    unsigned number = atomic_add_relaxed(&self->names, 1) + 1;
    char identity[256]; /* of a hundred generations; what is longer is cut off */
    /* "Process-" is in front of it for the name only. */
    snprintf(identity, sizeof identity, "Process-%s%s%u", parent, *parent ? ":" : "", number);
    const char *name = opt->name && *opt->name ? opt->name : identity;
    motet_process *p = motet__process_new(name, identity + strlen("Process-"),
                                          atomic_add_relaxed(&self->control->ids, 1) + 1);
    if (!p)
        return NULL;
    p->daemon = opt->daemon;
    p->method = opt->method;
    return p;
}

static slot *claim_slot(uint64_t *ret_turn)
{
    slot *s = motet__slot_claim(ret_turn);
    for (int i = 0; !s && i < SLOTS; i += 16) {
        motet__process_sweep(); /* a few of those that nobody asked after */
        s = motet__slot_claim(ret_turn);
    }
    return s;
}

/* ---- by the zygote --------------------------------------------------------------------------------- */

static char *put(char *at, const void *bytes, size_t size)
{
    if (size)
        memcpy(at, bytes, size);
    return at + size;
}

/* OWNED, so that it goes with this process if it dies. NULL: no memory in the arena. */
static parcel *pack(const request *r, const motet_process *p)
{
    const motet_process_options *opt = r->opt;
    parcel head = {
        .id = p->id,
        .fn = r->portable_fn,
        .arg = r->portable_arg,
        .daemon = p->daemon,
        .has_data = opt->data != NULL,
        .method = (uint8_t)p->method,
        .name_size = (uint32_t)strlen(p->name) + 1,
        .task_size = r->task ? (uint32_t)strlen(opt->task_name) + 1 : 0,
        .identity_size = (uint32_t)strlen(p->identity) + 1,
        .data_size = opt->data ? opt->size : 0,
    };
    size_t size = sizeof head + head.name_size + head.task_size + head.identity_size;
    if (__builtin_add_overflow(size, head.data_size, &size))
        return NULL;
    parcel *to = motet__arena_alloc(size, ARENA_OWNED);
    if (!to)
        return NULL;
    *to = head;
    char *at = put(to->text, p->name, head.name_size);
    at = put(at, opt->task_name, head.task_size);
    at = put(at, p->identity, head.identity_size);
    put(at, opt->data, head.data_size);
    return to;
}

/* The slot's word is ASKED: tells the zygote. */
static void ring(const slot *s)
{
    control *c = motet__process.control;
    size_t i = (size_t)(s - c->slots);
    /* Release: the slot's word, before the hint that leads to it. */
    atomic_or_acq_rel(&c->asked[i / 64], (uint64_t)1 << i % 64);
    sys_eventfd_signal(motet__process.bell);
}

/* Waits until the slot is RUNNING, ENDED or FAILED; that word, or 0: there is nobody to make the process, and the slot
 * is free. */
static uint64_t await_start(slot *s, uint64_t asked)
{
    for (motet_time look = motet_after(LOOK_NS);;) {
        uint32_t deaths = motet__family_deaths(), changed = atomic_load_seq_cst(&s->changed);
        uint64_t word = atomic_load_seq_cst(&s->word);
        if (slot_state_of(word) != SLOT_ASKED && slot_state_of(word) != SLOT_TAKEN)
            return word;
        if (atomic_load_relaxed(&motet__process.control->lost)) {
            /* What a dead zygote had taken is as good as asked for: the new process can't go on without this word. */
            if (motet__slot_step(s, word, slot_word(SLOT_FREE, 0, slot_turn_of(asked)), false))
                return 0;
            continue;
        }
        int e = motet__family_wait(&s->changed, changed, deaths, look, FAMILY_NO_CANCEL);
        if (e == -ETIMEDOUT) {
            motet__watchers_lost();
            look = motet_after(LOOK_NS);
        }
    }
}

static int ask_zygote(const request *r, motet_process *p)
{
    slot *s = p->slot;
    s->parcel = pack(r, p);
    if (!s->parcel) {
        motet__slot_free(s, p->turn);
        return -ENOMEM;
    }
    parcel *sent = s->parcel;
    uint64_t asked = slot_word(SLOT_ASKED, motet__family_self(), p->turn);
    motet__slot_step(s, slot_word(SLOT_CLAIMED, motet__family_self(), p->turn), asked, false);
    ring(s);
    uint64_t word = await_start(s, asked);
    motet__arena_free(sent);
    if (!word)
        return -EPIPE;
    if (slot_state_of(word) == SLOT_FAILED) {
        motet__slot_free(s, p->turn);
        return code_of_value(slot_value_of(word));
    }
    uint64_t who = atomic_load_relaxed(&s->who);
    p->pid = who_pid(who);
    p->tag = who_tag(who);
    return 0;
}

enum { SPAWN_TRIES = 8 };

static int start_by_zygote(const request *r, motet_process *p)
{
    int e = ask_zygote(r, p);
    /* By chance the program has something else where the arena is to be: the next time it lies elsewhere. */
    for (int i = 1; e == -EEXIST && i < SPAWN_TRIES; i++) {
        p->slot = claim_slot(&p->turn);
        e = p->slot ? ask_zygote(r, p) : -EAGAIN;
    }
    return e;
}

/* ---- by a fork of this process --------------------------------------------------------------------- */

/* Waits until the parent has this process's pidfd. */
static void pass_gate(slot *s, uint32_t closed, member_tag parent)
{
    while (atomic_load_seq_cst(&s->changed) == closed) {
        uint32_t deaths = motet__family_deaths();
        if (!motet__member_alive(parent))
            sys_exit_now(GIVEN_UP);
        motet__family_wait(&s->changed, closed, deaths, MOTET_FOREVER, FAMILY_NO_CANCEL);
    }
}

__attribute__((noreturn)) static void be_fork(const request *r, motet_process *p, member_tag parent, member_tag tag,
                                              uint32_t closed, void *data)
{
    process_self *self = &motet__process;
    motet__process_afresh();
    sys_stdio_forget();
    p->era = self->era;
    p->is_self = true;
    p->pid = sys_pid();
    self->current = p;
    if (motet__process_join_strange(tag) < 0)
        sys_exit_now(GIVEN_UP);
    pass_gate(p->slot, closed, parent);
    void *arg = data && !r->task ? data : r->arg;
    int code;
    if (r->task) {
        motet_bytes in = {data, r->opt->size};
        code = motet__process_run_task(r->task, in);
    } else {
        code = r->fn(arg);
    }
    motet__process_finish(p->slot, p->turn, code);
}

static int start_by_fork(const request *r, motet_process *p)
{
    slot *s = p->slot;
    int64_t tag = motet__member_claim();
    void *data = r->opt->data && tag > 0 ? sys_alloc_lines(r->opt->size ? r->opt->size : 1) : NULL;
    int e = tag < 0 ? (int)tag : r->opt->data && !data ? -ENOMEM : 0;
    if (data)
        memcpy(data, r->opt->data, r->opt->size);
    uint32_t closed = atomic_load_relaxed(&s->changed);
    member_tag self = motet__family_self();
    sys_stdio_flush();
    pid_t pid = e < 0 ? e : sys_fork();
    if (pid == 0)
        be_fork(r, p, self, (member_tag)tag, closed, data);
    sys_free(data);
    p->pidfd = e = pid < 0 ? pid : sys_pidfd_open(pid);
    if (e < 0) {
        int code;
        if (pid > 0) { /* it waits at the gate */
            sys_kill(pid);
            sys_reap(pid, &code, true);
        }
        if (tag > 0)
            motet__process_bury((member_tag)tag);
        motet__slot_free(s, p->turn);
        return e;
    }
    p->pid = pid;
    p->tag = (member_tag)tag;
    atomic_add_seq_cst(&s->changed, 1);
    motet__family_wake(&s->changed, INT_MAX);
    return 0;
}

/* ---- start ----------------------------------------------------------------------------------------- */

int motet_process_start(motet_process **ret, motet_fn *fn, void *arg, const motet_process_options *opt)
{
    static const motet_process_options defaults;
    request r = {.opt = opt ? opt : &defaults, .fn = fn, .arg = arg};
    int e = ret ? check_options(&r) : -EINVAL;
    if (e == 0 && !motet__process_allowed())
        e = -EPERM;
    if (e == 0 && r.opt->task_name)
        e = check_task(&r);
    if (e == 0)
        e = check_state(&r);
    if (e == 0)
        e = check_places(&r);
    if (e < 0)
        return e;
    motet__process_sweep();
    motet_process *p = new_child(r.opt);
    if (!p)
        return -ENOMEM;
    p->slot = claim_slot(&p->turn);
    e = !p->slot ? -EAGAIN : p->method == MOTET_FORK ? start_by_fork(&r, p) : start_by_zygote(&r, p);
    if (e < 0) {
        motet__process_unref(p);
        return e;
    }
    motet__process_add(p);
    *ret = p;
    return 0;
}

/* ---- the end --------------------------------------------------------------------------------------- */

/* 0: p may be asked. */
static int check(const motet_process *p)
{
    if (!p)
        return -EINVAL;
    return motet__process_allowed() && p->era == motet__process.era ? 0 : -EPERM;
}

static int wait_once(motet_process *p, uint32_t changed, uint32_t deaths, motet_time deadline)
{
    if (p->method == MOTET_FORK) {
        struct pollfd ended = {.fd = p->pidfd, .events = POLLIN};
        park_request wait = {.fds = &ended, .fds_count = 1, .deadline = deadline};
        return motet__park_many(&wait);
    }
    /* When nobody watches, it is this process that finds the end. */
    motet_time look = motet_after(atomic_load_relaxed(&motet__process.control->lost) ? 20 * MOTET_MS : LOOK_NS);
    int e = motet__family_wait(&p->slot->changed, changed, deaths, look < deadline ? look : deadline, 0);
    if (e == -ETIMEDOUT && look < deadline) {
        motet__watchers_lost();
        e = 0;
    }
    return e;
}

int motet_process_join(motet_process *p, int *ret_code, motet_time deadline)
{
    int e = check(p);
    if (e < 0)
        return e;
    if (p->is_self)
        return -EDEADLK;
    for (;;) {
        /* In this order: news that comes after the look ends the wait. */
        uint32_t deaths = motet__family_deaths(), changed = atomic_load_seq_cst(&p->slot->changed);
        if (motet__process_over(p))
            break;
        if (e < 0)
            return e;
        e = wait_once(p, changed, deaths, deadline);
    }
    if (ret_code)
        *ret_code = p->result;
    return 0;
}

/* The functions that only ask take a const object; that it is found to have ended is no change that a caller sees. */
static motet_process *changeable(const motet_process *p) { return (motet_process *)(uintptr_t)p; }

bool motet_process_alive(const motet_process *p)
{
    return check(p) == 0 && (p->is_self || !motet__process_over(changeable(p)));
}

int motet_process_exit_code(const motet_process *p, int *ret_code)
{
    int e = check(p);
    if (e < 0)
        return e;
    if (!ret_code)
        return -EINVAL;
    if (p->is_self || !motet__process_over(changeable(p)))
        return -EAGAIN;
    *ret_code = p->code;
    return 0;
}

/* ---- signals and descriptors ----------------------------------------------------------------------- */

/* Whether what p's pid stands for is p: it is not reaped before this turns false. */
static bool has_its_pid(const motet_process *p)
{
    if (p->is_self)
        return true;
    if (atomic_load_acquire(&p->state) != PROCESS_ALIVE)
        return false;
    uint64_t word = atomic_load_acquire(&p->slot->word);
    return slot_state_of(word) != SLOT_ENDED;
}

/* A pidfd of the caller's; -ESRCH: it has ended. */
static int open_pidfd(const motet_process *p)
{
    if (!has_its_pid(p))
        return -ESRCH;
    int fd = sys_pidfd_open(p->pid);
    /* Alive after it was opened: so it is that of the process, and of none that came later. */
    if (fd >= 0 && !has_its_pid(p)) {
        sys_close(fd);
        return -ESRCH;
    }
    return fd;
}

static int send_signal(motet_process *p, int number)
{
    int e = check(p);
    if (e < 0)
        return e;
    bool own = p->method == MOTET_FORK && !p->is_self;
    int fd = own ? p->pidfd : open_pidfd(p);
    if (fd < 0)
        return fd == -ESRCH ? 0 : fd;
    e = sys_pidfd_kill(fd, number);
    if (!own)
        sys_close(fd);
    return e == -ESRCH ? 0 : e;
}

int motet_process_terminate(motet_process *p) { return send_signal(p, SIGTERM); }

int motet_process_kill(motet_process *p) { return send_signal(p, SIGKILL); }

int motet_process_fd(const motet_process *asked)
{
    motet_process *p = changeable(asked);
    int e = check(p);
    if (e < 0)
        return e;
    guard_lock(&p->guard);
    if (p->pidfd < 0) {
        int fd = open_pidfd(p);
        p->pidfd = fd == -ESRCH ? sys_bell(true) : fd;
    }
    int fd = p->pidfd;
    if (fd < 0)
        p->pidfd = -1;
    guard_unlock(&p->guard);
    return fd;
}

/* ---- what it is ------------------------------------------------------------------------------------ */

/* That of the root, and of who starts afresh after a fork. */
static motet_process main_process = {
    .refs = 1, .is_self = true, .pidfd = -1, .id = 1, .name = "MainProcess", .identity = ""};

motet_process *motet_process_current(void)
{
    if (!motet__process_allowed())
        return NULL;
    motet_process *p = motet__process.current;
    if (!p) {
        p = &main_process;
        /* Relaxed: every thread writes the same. */
        atomic_store_relaxed(&p->era, motet__process.era);
        atomic_store_relaxed(&p->pid, sys_pid());
    }
    return motet_process_ref(p);
}

motet_process *motet_process_ref(motet_process *p)
{
    if (p)
        atomic_add_relaxed(&p->refs, 1); /* the caller has one, so the object stays */
    return p;
}

motet_process *motet_process_free(motet_process *p)
{
    if (!p)
        return NULL;
    motet__process_unref(p);
    if (motet__process_allowed() && motet__process.control)
        motet__process_sweep();
    return NULL;
}

const char *motet_process_name(const motet_process *p) { return p ? p->name : NULL; }

uint64_t motet_process_id(const motet_process *p) { return p ? p->id : 0; }

pid_t motet_process_pid(const motet_process *p) { return p ? p->pid : -EINVAL; }

#endif
