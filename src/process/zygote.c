/* SPDX-License-Identifier: MIT */
/* Guard and zygote: one loop, two roles. What each is there for, and what their deaths leave: process.h.
 *
 * Both are one thread that blocks all signals and sleeps in epoll. Nothing of the user's runs in them, but handlers of
 * pthread_atfork. What a watcher knows by itself (which slot a child is for, pidfds) can be had again from the arena. */
#include "process/watch.h"

#ifndef MOTET_SIM

#include <limits.h>

static watcher w;

watcher *motet__watcher(void) { return &w; }

static control *the_control(void) { return motet__process.control; }

/* ---- beginnings ------------------------------------------------------------------------------------ */

static void close_one(int *fd)
{
    if (*fd >= 0)
        sys_close(*fd);
    *fd = -1;
}

/* What a copy of a watcher has no use for. */
static void forget_descriptors(void)
{
    close_one(&w.epoll);
    close_one(&w.signals);
    close_one(&w.guard_fd);
    for (uint32_t i = 0; i < w.strangers; i++)
        close_one(&w.stranger[i].fd);
    w.strangers = 0;
}

static int open_descriptors(void)
{
    control *c = the_control();
    w.epoll = sys_epoll();
    if (w.epoll < 0)
        return w.epoll;
    w.signals = sys_signalfd_child();
    if (w.signals < 0)
        return w.signals;
    int e = sys_epoll_add(w.epoll, w.signals, EVENT_CHILD, false);
    if (e == 0)
        e = sys_epoll_add(w.epoll, w.root, EVENT_ROOT, false);
    if (e == 0)
        e = w.is_guard ? sys_epoll_add(w.epoll, motet__process.guard_bell, EVENT_GUARD_BELL, true)
                       : sys_epoll_add(w.epoll, motet__process.bell, EVENT_BELL, true);
    if (e < 0 || w.is_guard)
        return e;
    w.guard_fd = sys_pidfd_open(c->guard.pid);
    /* Still the parent, so it was the guard that this was opened for. */
    if (w.guard_fd == -ESRCH || sys_parent() != c->guard.pid)
        return -ESRCH;
    return w.guard_fd < 0 ? w.guard_fd : sys_epoll_add(w.epoll, w.guard_fd, EVENT_GUARD, false);
}

/* Everybody may know who it is. */
static void announce(watcher_place *place)
{
    control *c = the_control();
    atomic_store_relaxed(&place->pid, sys_pid());
    atomic_store_relaxed(&place->started, motet__family->members[tag_place(w.self)].started);
    /* Publishes the above. */
    atomic_store_release(&place->tag, w.self);
    atomic_add_seq_cst(&c->changed, 1);
    motet__family_wake(&c->changed, INT_MAX);
}

static void report(int code)
{
    if (w.report < 0)
        return;
    sys_write_all(w.report, &code, sizeof code);
    close_one(&w.report);
}

__attribute__((noreturn)) static void fail(int code)
{
    report(code);
    sys_exit_now(1);
}

__attribute__((noreturn)) static void watch_for_ever(void);

__attribute__((noreturn)) static void zygote_main(member_tag tag)
{
    forget_descriptors();
    motet__afresh();
    w.is_guard = false;
    w.zygote = 0;
    w.spare_pipe = -1;
    motet__children_forget();
    sys_adopt_orphans(); /* which a copy doesn't by itself */
    int e = motet__member_become(tag);
    if (e < 0)
        fail(e);
    w.self = tag;
    sys_set_comm("motet-zygote");
    e = open_descriptors();
    if (e < 0)
        fail(e);
    announce(&the_control()->zygote);
    report(0);
    motet__zygote_serve_all(); /* what was asked for when there was none */
    watch_for_ever();
}

/* Guard: forks the next zygote. */
static int start_zygote(void)
{
    int64_t tag = motet__member_claim();
    if (tag < 0)
        return (int)tag;
    pid_t pid = sys_fork();
    if (pid == 0)
        zygote_main((member_tag)tag);
    if (pid < 0) {
        motet__member_unclaim((member_tag)tag);
        return pid;
    }
    w.zygote = pid;
    w.zygote_tag = (member_tag)tag;
    return 0;
}

void motet__guard_main(member_tag tag, int root, int report_to)
{
    w = (watcher){.is_guard = true,
                  .epoll = -1,
                  .signals = -1,
                  .guard_fd = -1,
                  .spare_pipe = -1,
                  .root = root,
                  .report = report_to};
    motet__afresh();
    sys_signals_keep_children();
    sys_adopt_orphans();
    sys_set_comm("motet-guard");
    int e = motet__member_become(tag);
    if (e < 0)
        fail(e);
    w.self = tag;
    announce(&the_control()->guard);
    e = open_descriptors();
    if (e == 0)
        e = start_zygote();
    if (e < 0)
        fail(e);
    close_one(&w.report); /* the zygote has it, and nobody else */
    watch_for_ever();
}

/* ---- ends of the other ----------------------------------------------------------------------------- */

/* No zygote can be had now: who waits for one is told, and it is tried again a little later. */
#define RETRY_NS (100 * MOTET_MS)
enum { ZYGOTES_LOST_MAX = 3 };

static void next_zygote(void)
{
    int e = start_zygote();
    w.retry = e < 0 ? motet_after(RETRY_NS) : MOTET_FOREVER;
    if (e < 0)
        motet__zygote_refuse_all(e);
}

/* Guard: its zygote has ended, and its children have come here. */
static void zygote_ended(void)
{
    control *c = the_control();
    bool began = atomic_load_relaxed(&c->zygote.tag) == w.zygote_tag;
    if (began)
        atomic_store_release(&c->zygote.tag, 0);
    motet__process_bury(w.zygote_tag);
    w.zygote = 0;
    w.has_had_zygote |= began;
    w.zygotes_lost = began ? 0 : w.zygotes_lost + 1;
    if (!began && !w.has_had_zygote)
        sys_exit_now(1); /* the first one said why */
    motet__slots_take_back();
    motet__strangers_find();
    if (w.zygotes_lost < ZYGOTES_LOST_MAX) {
        next_zygote();
    } else { /* it can't begin: the machine has too little of something */
        motet__zygote_refuse_all(-EAGAIN);
        w.retry = motet_after(RETRY_NS);
    }
}

/* Zygote: the guard has ended. */
static void become_guard(void)
{
    control *c = the_control();
    member_tag was = c->guard.tag;
    sys_epoll_remove(w.epoll, motet__process.bell);
    close_one(&w.guard_fd);
    motet__zygote_forget_spare(); /* which ends it */
    w.is_guard = true;
    w.has_had_zygote = true;
    sys_set_comm("motet-guard");
    announce(&c->guard);
    atomic_store_release(&c->zygote.tag, 0);
    motet__process_bury(was);
    motet__slots_take_back(); /* it had been the zygote before */
    /* What it had watched, or adopted. */
    motet__strangers_find();
    sys_epoll_add(w.epoll, motet__process.guard_bell, EVENT_GUARD_BELL, true);
    next_zygote();
}

/* ---- the loop -------------------------------------------------------------------------------------- */

/* One that has ended and isn't reaped yet: to be called again if this process dies before it is. */
static void child_ended(pid_t pid, int code)
{
    if (w.is_guard && pid == w.zygote) {
        sys_reap(pid, &code, true); /* first: the next one may get its pid */
        zygote_ended();
        return;
    }
    if (pid == w.spare)
        motet__zygote_forget_spare();
    motet__child_ended(pid, code);
    sys_reap(pid, &code, true);
}

static void reap(void)
{
    pid_t pid;
    int code;
    while (sys_ended_child(&pid, &code) == 1)
        child_ended(pid, code);
}

static void handle(uint64_t event)
{
    switch (event) {
    case EVENT_BELL:
        if (!w.is_guard) /* since an event before this one: the next zygote hears it too */
            motet__zygote_serve();
        break;
    case EVENT_CHILD:
        sys_signalfd_drain(w.signals);
        reap();
        break;
    case EVENT_GUARD_BELL: motet__strangers_take_in(); break;
    case EVENT_GUARD:
        if (!w.is_guard)
            become_guard();
        break;
    case EVENT_ROOT: motet__family_end(ENDING_BY_DEATH);
    default: /* a stranger's place */ motet__stranger_ended((member_tag)event);
    }
}

static void watch_for_ever(void)
{
    sys_event events[16];
    w.has_had_zygote |= !w.is_guard;
    w.retry = MOTET_FOREVER;
    if (w.is_guard)
        reap();
    for (;;) {
        int n = sys_epoll_wait(w.epoll, events, 16, w.retry);
        if (atomic_load_acquire(&the_control()->ending))
            motet__family_end(the_control()->ending);
        for (int i = 0; i < n; i++)
            handle(events[i].data);
        if (w.is_guard && w.retry <= sys_now()) {
            w.retry = MOTET_FOREVER;
            if (!w.zygote)
                next_zygote();
            motet__strangers_take_in();
        }
    }
}

#endif
