/* SPDX-License-Identifier: MIT */
/* Beginnings: of guard and zygote, of a program that was executed for a process, of the child of a raw fork. And the end. */
#include "process/process.h"

#ifndef MOTET_SIM

#include "base/afresh.h"
#include "base/sys_process.h"
#include "base/sys_shared.h"
#include "family/arena.h"
#include "park/park.h"

#include <stdio.h>
#include <string.h>

static guard starting;  /* of guard and zygote */
static pid_t joining;   /* of which process a thread joins; in the child of a raw fork it may be the parent */
static pid_t known_pid; /* of this process, as far as it knows */

__attribute__((constructor(101))) static void begins(void) { known_pid = sys_pid(); }

/* ---- guard and zygote ------------------------------------------------------------------------------ */

static int join_lazily(void);

/* What was opened for a beginning that failed, or has ended. */
static void drop_control(void)
{
    process_self *self = &motet__process;
    motet__arena_free(self->control);
    self->control = NULL;
    if (self->bell >= 0)
        sys_close(self->bell);
    if (self->guard_bell >= 0)
        sys_close(self->guard_bell);
    self->bell = self->guard_bell = -1;
    self->is_root = false;
}

static int open_control(void)
{
    process_self *self = &motet__process;
    int n = motet__segments_list();
    control *c = motet__arena_alloc(sizeof *c + (size_t)n * sizeof(segment), ARENA_PLAIN);
    if (!c)
        return -ENOMEM;
    self->control = c;
    c->root = motet__family_self();
    c->ids = 1;
    motet__segments_write(c);
    self->bell = sys_bell(false);
    self->guard_bell = self->bell < 0 ? self->bell : sys_bell(false);
    return self->guard_bell < 0 ? self->guard_bell : 0;
}

/* What the first zygote says; -EAGAIN: guard or zygote have died. */
static int await_report(int fd)
{
    int code = 0;
    ssize_t n = sys_read_all(fd, &code, sizeof code);
    return n == (ssize_t)sizeof code ? code : -EAGAIN;
}

static void tell_end(void)
{
    const process_self *self = &motet__process;
    atomic_store_seq_cst(&self->control->ending, ENDING_IN_ORDER);
    sys_eventfd_signal(self->guard_bell);
    sys_eventfd_signal(self->bell);
}

/* With all signals blocked. */
static int fork_guard(int root, int report[2])
{
    process_self *self = &motet__process;
    int64_t tag = motet__member_claim();
    if (tag < 0)
        return (int)tag;
    self->is_root = false; /* what copies are not */
    pid_t pid = sys_fork_hidden();
    if (pid == 0) {
        sys_close(report[0]);
        motet__guard_main((member_tag)tag, root, report[1]);
    }
    self->is_root = true;
    sys_close(report[1]);
    report[1] = -1;
    if (pid < 0) {
        motet__member_unclaim((member_tag)tag);
        return pid;
    }
    self->guard_child = pid;
    int e = await_report(report[0]), code;
    if (e < 0) {
        tell_end(); /* if it has not come to its own */
        sys_reap(pid, &code, true);
        self->guard_child = 0;
        motet__process_bury((member_tag)tag);
        motet__process_bury(self->control->zygote.tag);
    }
    return e;
}

static int start_watchers(void)
{
    process_self *self = &motet__process;
    if (!sys_alone())
        return -EPERM;
    int e = motet__family_open();
    if (e == 0)
        e = motet__process_exit_prepare();
    if (e < 0)
        return e;
    int root = -1, report[2] = {-1, -1};
    e = open_control();
    if (e == 0)
        e = root = sys_pidfd_open(sys_pid());
    if (e >= 0)
        e = sys_pipe(&report[0], &report[1]);
    if (e == 0) {
        sys_stdio_flush();
        sys_comm(self->comm);
        sys_signals_block(&self->signals);
        e = fork_guard(root, report);
        sys_signals_restore(&self->signals);
    }
    known_pid = sys_pid();
    const int opened[] = {root, report[0], report[1]};
    for (int i = 0; i < 3; i++)
        if (opened[i] >= 0)
            sys_close(opened[i]);
    if (e < 0)
        drop_control();
    else
        motet__family_joiner = join_lazily;
    return e;
}

int motet__process_prepare(void)
{
    process_self *self = &motet__process;
    int e = 0;
    guard_lock(&starting);
    if (!self->control)
        e = start_watchers();
    guard_unlock(&starting);
    if (e == 0 && motet__family_enter() < 0)
        e = -EPERM;
    return e == 0 && atomic_load_relaxed(&self->control->lost) ? -EPIPE : e;
}

/* ---- whether they live ----------------------------------------------------------------------------- */

bool motet__watcher_gone(const watcher_place *w)
{
    if (!atomic_load_acquire(&w->tag))
        return true;
    pid_t pid = atomic_load_relaxed(&w->pid);
    uint64_t started = atomic_load_relaxed(&w->started);
    int fd = sys_pidfd_open(pid);
    if (fd < 0)
        return fd == -ESRCH;
    bool gone = sys_pidfd_ended(fd) || (started && sys_pid_started(pid) != started);
    sys_close(fd);
    return gone;
}

bool motet__watchers_lost(void)
{
    control *c = motet__process.control;
    uint32_t changed = atomic_load_seq_cst(&c->changed);
    member_tag zygote = atomic_load_acquire(&c->zygote.tag), the_guard = atomic_load_acquire(&c->guard.tag);
    /* In this order: a zygote becomes the guard first, and ceases to be the zygote then. */
    if (!motet__watcher_gone(&c->zygote) || !motet__watcher_gone(&c->guard) || !motet__watcher_gone(&c->zygote))
        return false;
    /* Nobody has come since: else they were not all gone at one time. */
    if (atomic_load_seq_cst(&c->changed) != changed)
        return false;
    atomic_store_seq_cst(&c->lost, 1);
    motet__process_bury(zygote);    /* not whoever may stand there now */
    motet__process_bury(the_guard); /* a death wakes all */
    return true;
}

/* ---- the end --------------------------------------------------------------------------------------- */

#define PATIENCE_NS (5 * MOTET_S)

static void kill_watcher(const watcher_place *place)
{
    int fd = sys_pidfd_open(place->pid);
    if (fd < 0)
        return;
    if (!motet__watcher_gone(place))
        sys_pidfd_kill(fd, SIGKILL);
    sys_close(fd);
}

/* Reaps the guard that is a child, if it has ended. */
static void reap_guard(void)
{
    process_self *self = &motet__process;
    int code;
    if (self->guard_child && sys_reap(self->guard_child, &code, false) != 0)
        self->guard_child = 0;
}

/* Both are on their way out, or will be. */
static void await_watchers(void)
{
    process_self *self = &motet__process;
    control *c = self->control;
    motet_time patience = motet_after(PATIENCE_NS);
    int code;
    /* The common case: the guard is a child, and ends when all others have. */
    int fd = self->guard_child ? sys_pidfd_open(self->guard_child) : -1;
    if (fd >= 0) {
        struct pollfd ended = {.fd = fd, .events = POLLIN};
        while (!sys_pidfd_ended(fd) && sys_now() < patience)
            sys_poll(&ended, 1, patience);
        sys_close(fd);
    }
    while (reap_guard(), !motet__watcher_gone(&c->zygote) || !motet__watcher_gone(&c->guard)) {
        if (sys_now() >= patience) { /* they are stopped */
            kill_watcher(&c->zygote);
            kill_watcher(&c->guard);
        }
        sys_poll(NULL, 0, motet_after(MOTET_MS));
    }
    if (self->guard_child)
        sys_reap(self->guard_child, &code, true);
    self->guard_child = 0;
}

int motet__process_close(void)
{
    process_self *self = &motet__process;
    control *c = self->control;
    if (!c || !self->is_root)
        return 0;
    int running = motet_active_children(NULL, 0);
    tell_end();
    await_watchers();
    motet_active_children(NULL, 0); /* finds the ends of those that were killed */
    motet__process_bury(c->zygote.tag);
    motet__process_bury(c->guard.tag);
    drop_control();
    return running;
}

/* ---- a program that was executed ------------------------------------------------------------------- */

enum { NOT_ATTACHED = 126 };

/* The arena can't be where it has to be: says so in the slot, by way of another mapping. */
__attribute__((noreturn)) static void refuse_from_elsewhere(int memory, uint64_t size, uintptr_t offset, uint64_t taken,
                                                            int code)
{
    void *at;
    if (sys_shared_map(memory, size, NULL, &at) == 0) {
        slot *s = (slot *)(void *)((char *)at + offset);
        motet__slot_step(s, taken, slot_word(SLOT_FAILED, code_to_value(code), slot_turn_of(taken)), true);
    }
    sys_exit_now(NOT_ATTACHED);
}

/* Never comes back if this process is one of MOTET_SPAWN. */
static void serve_spawn(void)
{
    process_self *self = &motet__process;
    const char *text = sys_getenv(SPAWN_VARIABLE);
    int memory;
    uintptr_t at, control_at, slot_at;
    uint64_t size, taken;
    member_tag tag;
    if (!text)
        return;
    if (sscanf(text, SPAWN_SCAN, &memory, &self->bell, &self->guard_bell, &at, &size, &control_at, &slot_at, &taken,
               &tag) != 9)
        sys_exit_now(NOT_ATTACHED);
    sys_unsetenv(SPAWN_VARIABLE);
    sys_keep_on_exec(memory, false);
    sys_keep_on_exec(self->bell, false);
    sys_keep_on_exec(self->guard_bell, false);
    sys_signals_block(&self->signals); /* as they are restored when it begins */
    int e = motet__family_attach(memory, (void *)at, size);
    if (e < 0)
        refuse_from_elsewhere(memory, size, slot_at - at, taken, e);
    self->control = (control *)control_at;
    motet__family_joiner = join_lazily;
    motet__segments_list();
    motet__process_exit_prepare();
    motet__process_main((slot *)slot_at, taken, tag, true);
}

int motet_init(int *argc, char ***argv)
{
    process_self *self = &motet__process;
    if (!argc != !argv)
        return -EINVAL;
    serve_spawn();
    if (!motet__process_allowed() || self->current)
        return -EPERM;
    if (self->explicitly)
        return -EINVAL;
    if (!self->control)
        self->argv = argv ? *argv : NULL;
    int e = motet__process_prepare();
    if (e < 0)
        return e;
    self->explicitly = true;
    /* Relaxed: who starts processes does it after this. */
    atomic_store_relaxed(&self->control->spawns, 1);
    return 0;
}

/* ---- after a fork ---------------------------------------------------------------------------------- */

void motet__process_afresh(void)
{
    process_self *self = &motet__process;
    motet__afresh();
    motet__process_forget();
    starting = (guard){0};
    known_pid = sys_pid();
    self->era++;
    self->is_root = false;
    self->guard_child = 0;
    self->current = NULL;
    self->names = 0;
}

int motet__process_join_strange(member_tag tag)
{
    const process_self *self = &motet__process;
    member_tag *strange = &self->control->strange[tag_place(tag)], none = 0;
    /* Should this process die as a member before it has rung, the next bell finds it. (Not over what stands there: if the
     * place was given back it is another's.) */
    atomic_cas_acq_rel(strange, &none, tag);
    int e = motet__member_become(tag);
    if (e < 0)
        return e;
    atomic_store_release(strange, tag);
    sys_eventfd_signal(self->guard_bell);
    /* seq_cst: either who ends the family sees this member, or this member that it has ended. */
    if (atomic_load_seq_cst(&self->control->ending))
        return -EPIPE;
    return 0;
}

/* For one thread of this process at a time. */
static void begin_joining(void)
{
    pid_t self = sys_pid(), was = 0;
    while (!atomic_cas_acquire(&joining, &was, self)) {
        if (was == self) {
            sys_yield();
            was = 0;
        }
    }
}

static int join_lazily(void)
{
    control *c = motet__process.control;
    int64_t tag = -EPERM;
    begin_joining();
    if (!motet__family_self() && c && !atomic_load_relaxed(&c->lost) && !atomic_load_relaxed(&c->ending)) {
        tag = motet__member_claim();
        if (tag > 0)
            tag = motet__process_join_strange((member_tag)tag);
    }
    int e = motet__family_self() ? 0 : (int)tag;
    atomic_store_release(&joining, 0);
    return e;
}

int motet_after_fork_child(void)
{
    process_self *self = &motet__process;
    if (motet__process_allowed() && known_pid == sys_pid())
        return -EINVAL;
    motet__process_afresh();
    self->explicitly = false;
    if (!self->control)
        motet__family_forget();
    return 0;
}

#endif
