/* SPDX-License-Identifier: MIT */
/* Members that are nobody's child here, which the guard watches by pidfds; and the end of the family. */
#include "process/watch.h"

#ifndef MOTET_SIM

static control *the_control(void) { return motet__process.control; }

/* When to look again at what could not be watched. */
#define LOOK_NS (100 * MOTET_MS)

/* ---- strangers ------------------------------------------------------------------------------------- */

/* Its pid's owner, as a pidfd; -ESRCH: it has ended; other errors: it can't be said now. */
static int open_member(const member *m)
{
    pid_t pid = atomic_load_relaxed(&m->pid);
    int fd = sys_pidfd_open(pid);
    /* A process that began at another moment has got the number since. (0: nobody knows.) */
    uint64_t started = atomic_load_relaxed(&m->started);
    if (fd < 0 || !started || sys_pid_started(pid) == started)
        return fd;
    sys_close(fd);
    return -ESRCH;
}

enum { CODE_TRIES = 20 };

/* How it ended, as far as can be known. */
static int code_of_stranger(member_tag tag, int fd)
{
    uint64_t word;
    const slot *s = motet__slot_running(tag, &word);
    int code = -SIGKILL;
    if (!s)
        return code; /* nobody asks */
    /* The kernel tells when whoever is its parent now has reaped it. */
    for (int i = 0; fd >= 0 && i < CODE_TRIES; i++) {
        if (sys_pidfd_code(fd, &code))
            return code;
        sys_poll(NULL, 0, motet_after(MOTET_MS));
    }
    uint64_t said = atomic_load_acquire(&s->said);
    return slot_turn_of(said) == slot_turn_of(word) && slot_state_of(said) == SLOT_ENDED
               ? code_of_value(slot_value_of(said))
               : code;
}

static stranger *find(member_tag tag)
{
    watcher *w = motet__watcher();
    for (uint32_t i = 0; i < w->strangers; i++)
        if (w->stranger[i].tag == tag)
            return &w->stranger[i];
    return NULL;
}

static void watch(member_tag tag)
{
    watcher *w = motet__watcher();
    if (!motet__member_alive(tag) || find(tag))
        return;
    int fd = open_member(&motet__family->members[tag_place(tag)]);
    if (fd == -ESRCH) {
        motet__member_ended(tag, code_of_stranger(tag, -1));
        return;
    }
    /* Many that have ended may not have been seen yet. */
    int e = fd < 0 ? fd : w->strangers == MEMBERS_MAX ? -EAGAIN : sys_epoll_add(w->epoll, fd, tag, false);
    if (e == 0) {
        w->stranger[w->strangers++] = (stranger){tag, fd};
        return;
    }
    if (fd >= 0)
        sys_close(fd);
    /* No descriptor or no room left: it is looked at again and again, until it can be watched or has ended. */
    atomic_store_release(&the_control()->strange[tag_place(tag)], tag);
    w->retry = motet_after(LOOK_NS);
}

static bool is_gone(int pid)
{
    int fd = sys_pidfd_open(pid);
    bool gone = fd < 0 ? fd == -ESRCH : sys_pidfd_ended(fd);
    if (fd >= 0)
        sys_close(fd);
    return gone;
}

static bool is_joining(member_tag tag)
{
    uint64_t word = atomic_load_acquire(&motet__family->members[tag_place(tag)].state);
    return member_word_state(word) == MEMBER_JOINING && member_word_generation(word) == tag_generation(tag);
}

void motet__strangers_take_in(void)
{
    control *c = the_control();
    motet__member_unclaim_gone(is_gone);
    uint32_t n = atomic_load_acquire(&motet__family->places_used);
    for (uint32_t i = 1; i < n; i++) {
        member_tag said = atomic_load_relaxed(&c->strange[i]);
        if (!said || is_joining(said)) /* it will ring when it is a member */
            continue;
        /* Acquire: what the member wrote about itself. If this process dies now, the next one finds it. */
        member_tag tag = atomic_exchange_acq_rel(&c->strange[i], 0);
        if (tag)
            watch(tag);
    }
}

static bool watch_if_strange(member *m, member_tag tag, void *arg)
{
    const watcher *w = motet__watcher();
    if (tag == w->self || tag == the_control()->root)
        return true;
    if (!sys_has_child(m->pid))
        watch(tag);
    else if (!m->started) /* while it is a child, and not reaped, the number is its own */
        atomic_store_relaxed(&m->started, sys_pid_started(m->pid));
    return true;
}

/* Those that the dead guard had buried, and come no further. */
static void end_buried(void)
{
    control *c = the_control();
    uint32_t n = atomic_load_acquire(&c->slots_used);
    for (uint32_t i = 0; i < n; i++) {
        uint64_t word = atomic_load_acquire(&c->slots[i].word);
        member_tag tag = slot_value_of(word);
        if (slot_state_of(word) == SLOT_RUNNING && !motet__member_alive(tag) &&
            !sys_has_child(who_pid(c->slots[i].who)))
            motet__slot_end(&c->slots[i], word, tag, code_of_stranger(tag, -1));
    }
    for (uint32_t i = 0; i < MEMBERS_MAX; i++) {
        member_tag starter = atomic_load_acquire(&c->starts[i]);
        if (starter && !motet__member_alive(starter))
            motet__slots_sweep(starter);
    }
}

void motet__strangers_find(void)
{
    motet__members_each(watch_if_strange, NULL);
    end_buried();
}

void motet__stranger_ended(member_tag tag)
{
    watcher *w = motet__watcher();
    stranger *s = find(tag);
    if (!s)
        return;
    int fd = s->fd;
    motet__member_ended(tag, code_of_stranger(tag, fd));
    *s = w->stranger[--w->strangers];
    sys_close(fd);
}

/* ---- the end --------------------------------------------------------------------------------------- */

struct killing {
    uint32_t alive;
    bool in_order;
};

enum { CHILDREN_AT_ONCE = 64, GENERATIONS = 8 };

/* What a process that is stopped has started by itself, and what that has: they would have nobody here to come to. */
static void kill_below(pid_t pid, int generations)
{
    pid_t pids[CHILDREN_AT_ONCE];
    int n = generations ? sys_children(pid, pids, CHILDREN_AT_ONCE) : 0;
    for (int i = 0; i < n; i++) {
        sys_stop(pids[i]);
        kill_below(pids[i], generations - 1);
        sys_kill(pids[i]);
    }
}

static bool kill_member(member *m, member_tag tag, void *arg)
{
    struct killing *k = arg;
    control *c = the_control();
    if (tag == motet__watcher()->self || tag == c->root || tag == c->guard.tag)
        return true;
    /* One that was reaped: its number may be another's by now. */
    if (!atomic_load_relaxed(&m->started) && !sys_has_child(m->pid) && !find(tag))
        return true;
    int fd = open_member(m);
    if (fd < 0) {
        /* A child is not reaped, so the number is its own; of others nothing is known for sure. */
        if (fd != -ESRCH && sys_has_child(m->pid))
            sys_kill(m->pid);
        k->alive += fd != -ESRCH;
        return true;
    }
    if (!k->in_order && !sys_has_child(m->pid) && sys_pidfd_kill(fd, SIGSTOP) == 0)
        kill_below(m->pid, GENERATIONS);
    sys_pidfd_kill(fd, SIGKILL);
    k->alive += !sys_pidfd_ended(fd);
    sys_close(fd);
    return true;
}

/* Members, and all else that has come here: what members have started and left behind. */
static void kill_children(void)
{
    pid_t pids[CHILDREN_AT_ONCE];
    int n = sys_children(sys_pid(), pids, CHILDREN_AT_ONCE);
    for (int i = 0; i < n; i++)
        sys_kill(pids[i]);
}

/* Whether there are children still. */
static bool reap_all(void)
{
    pid_t pid;
    int code, r;
    while ((r = sys_ended_child(&pid, &code)) == 1)
        sys_reap(pid, &code, true);
    return r == 0;
}

static void end_zygote(void)
{
    watcher *w = motet__watcher();
    int code;
    if (!w->is_guard || !w->zygote)
        return;
    sys_kill(w->zygote);
    sys_reap(w->zygote, &code, true); /* its children come here */
    w->zygote = 0;
    pid_t spare = atomic_load_relaxed(&the_control()->spare);
    if (spare && sys_has_child(spare)) {
        sys_kill(spare);
        sys_reap(spare, &code, true);
    }
}

void motet__family_end(uint32_t how)
{
    watcher *w = motet__watcher();
    control *c = the_control();
    uint32_t going_on = GOING_ON;
    /* seq_cst: who becomes a member after this sees it, and who became one before is found below. */
    atomic_cas_seq_cst(&c->ending, &going_on, how);
    if (!w->is_guard && atomic_load_relaxed(&c->ending) == ENDING_IN_ORDER) { /* that is the guard's */
        struct pollfd ended[] = {{.fd = w->guard_fd, .events = POLLIN}, {.fd = w->root, .events = POLLIN}};
        while (sys_poll(ended, 2, MOTET_FOREVER) < 0) {}
    }
    bool in_order = atomic_load_relaxed(&c->ending) == ENDING_IN_ORDER && !sys_pidfd_ended(w->root);
    if (!w->is_guard && !in_order)
        sys_pidfd_kill(w->guard_fd, SIGCONT); /* should it be stopped: nobody else is left to let it go on */
    end_zygote();
    for (;;) {
        struct killing k = {.in_order = in_order};
        motet__members_each(kill_member, &k);
        if (!in_order)
            kill_children();
        bool children = reap_all();
        if (!k.alive && (in_order || !children))
            break;
        struct pollfd child = {.fd = w->signals, .events = POLLIN};
        sys_poll(&child, 1, motet_after(5 * MOTET_MS));
        sys_signalfd_drain(w->signals);
    }
    sys_exit_now(0);
}

#endif
