/* SPDX-License-Identifier: MIT */
/* Starts that the zygote makes, and ends of what guard and zygote have as children. */
#include "process/watch.h"

#ifndef MOTET_SIM

#include "base/sys_process.h"

#include <stdio.h>

static control *the_control(void) { return motet__process.control; }

/* ---- whose slot a child has ------------------------------------------------------------------------ */

/* By pid, in a table that is twice as large as there can be children; a pid of 0 is free, -1 was one. A child that is to be
 * a process and is none yet stands here alone; others that are not found, of another watcher, are looked for in the arena. */
typedef struct known {
    pid_t pid;
    uint32_t number;
    uint64_t turn;
    member_tag tag;
    bool executes; /* the program anew, which may end before it comes to motet_init */
} known;

enum { KNOWN_SIZE = 2 * MEMBERS_MAX, KNOWN_GONE = -1 };
static known known_children[KNOWN_SIZE];
static uint32_t known_used; /* with those that are gone */

void motet__children_forget(void)
{
    if (known_used)
        for (uint32_t i = 0; i < KNOWN_SIZE; i++)
            known_children[i] = (known){0};
    known_used = 0;
}

/* Pids of late lie side by side: then a copy for each fork is made of few pages. */
static uint32_t place_of(pid_t pid) { return (uint32_t)pid % KNOWN_SIZE; }

static void enter_known(known k)
{
    uint32_t i = place_of(k.pid);
    while (known_children[i].pid > 0)
        i = (i + 1) % KNOWN_SIZE;
    known_used += known_children[i].pid == 0;
    known_children[i] = k;
}

/* Makes free what was one. */
static void tidy_known(void)
{
    static known kept[MEMBERS_MAX]; /* each has a place of its own among the members */
    uint32_t n = 0;
    for (uint32_t i = 0; i < KNOWN_SIZE && n < MEMBERS_MAX; i++)
        if (known_children[i].pid > 0)
            kept[n++] = known_children[i];
    motet__children_forget();
    for (uint32_t i = 0; i < n; i++)
        enter_known(kept[i]);
}

static void know(known k)
{
    if (known_used >= KNOWN_SIZE * 3 / 4)
        tidy_known();
    enter_known(k);
}

static bool take_known(pid_t pid, known *ret)
{
    for (uint32_t i = place_of(pid); known_children[i].pid != 0; i = (i + 1) % KNOWN_SIZE) {
        if (known_children[i].pid != pid)
            continue;
        *ret = known_children[i];
        known_children[i].pid = KNOWN_GONE;
        return true;
    }
    return false;
}

struct search {
    pid_t pid;
    member_tag tag;
};

static bool has_pid(member *m, member_tag tag, void *arg)
{
    struct search *s = arg;
    if (atomic_load_relaxed(&m->pid) != s->pid)
        return true;
    s->tag = tag;
    return false;
}

/* Of a child not yet reaped, so its pid is its own. 0: it is no member. */
static member_tag tag_of_pid(pid_t pid)
{
    struct search s = {.pid = pid};
    motet__members_each(has_pid, &s);
    return s.tag;
}

slot *motet__slot_running(member_tag tag, uint64_t *ret_word)
{
    control *c = the_control();
    uint32_t n = atomic_load_acquire(&c->slots_used);
    for (uint32_t i = 0; i < n; i++) {
        *ret_word = atomic_load_acquire(&c->slots[i].word);
        if (slot_state_of(*ret_word) == SLOT_RUNNING && slot_value_of(*ret_word) == tag)
            return &c->slots[i];
    }
    return NULL;
}

void motet__member_ended(member_tag tag, int code)
{
    uint64_t word;
    slot *s = motet__slot_running(tag, &word);
    if (s)
        motet__slot_end(s, word, tag, code);
    else
        motet__process_bury(tag);
}

/* The process that a dead watcher buried, and came no further. */
static slot *running_with(pid_t pid, uint64_t *ret_word)
{
    control *c = the_control();
    uint32_t n = atomic_load_acquire(&c->slots_used);
    for (uint32_t i = 0; i < n; i++) {
        slot *s = &c->slots[i];
        *ret_word = atomic_load_acquire(&s->word);
        if (slot_state_of(*ret_word) == SLOT_RUNNING && who_pid(atomic_load_relaxed(&s->who)) == pid)
            return s;
    }
    return NULL;
}

/* Of another watcher, that has died; or one that is no member. */
static void unknown_ended(pid_t pid, int code)
{
    uint64_t word;
    slot *s = running_with(pid, &word);
    member_tag tag = s ? slot_value_of(word) : tag_of_pid(pid);
    if (s)
        motet__slot_end(s, word, tag, code);
    else
        motet__process_bury(tag);
}

/* It ended by itself before it began: the machine had too little of something. */
static void gave_up(slot *s, uint64_t word, member_tag tag)
{
    motet__process_bury(tag);
    motet__slot_fail(s, word, -EAGAIN);
}

void motet__child_ended(pid_t pid, int code)
{
    known k;
    if (!take_known(pid, &k)) {
        unknown_ended(pid, code);
        return;
    }
    slot *s = &the_control()->slots[k.number];
    uint64_t word = atomic_load_acquire(&s->word);
    if (slot_turn_of(word) == k.turn && (slot_state_of(word) == SLOT_RUNNING || slot_state_of(word) == SLOT_TAKEN)) {
        if (slot_state_of(word) == SLOT_TAKEN)
            atomic_store_seq_cst(&s->who, slot_who(pid, 0));
        if (slot_state_of(word) == SLOT_TAKEN && (code == GIVEN_UP || (code >= 0 && !k.executes)))
            gave_up(s, word, k.tag);
        else
            motet__slot_end(s, word, k.tag, code);
    } else {
        motet__process_bury(k.tag);
    }
}

/* ---- starts ---------------------------------------------------------------------------------------- */

static void close_watcher(void)
{
    watcher *w = motet__watcher();
    const int fds[] = {w->epoll, w->signals, w->root, w->guard_fd, w->report, w->spare_pipe};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        if (fds[i] >= 0)
            sys_close(fds[i]);
}

/* What motet_init of the executed program reads. */
static int exec_program(slot *s, uint64_t taken, member_tag tag)
{
    static char *const no_argv[] = {(char *)(uintptr_t) "motet", NULL};
    const process_self *self = &motet__process;
    char text[256];
    int fds[] = {motet__family_fd(), self->bell, self->guard_bell};
    for (int i = 0; i < 3; i++)
        sys_keep_on_exec(fds[i], true);
    snprintf(text, sizeof text, SPAWN_VARIABLE "=" SPAWN_FORMAT, fds[0], fds[1], fds[2], (uintptr_t)motet__family,
             motet__family->size, (uintptr_t)self->control, (uintptr_t)s, taken, tag);
    char **env = sys_environment(SPAWN_VARIABLE, text);
    if (!env)
        return -ENOMEM;
    sys_signals_restore(&self->signals);
    return sys_exec_self(self->argv ? self->argv : no_argv, env);
}

/* What a new process is to be. */
typedef struct order {
    slot *s;
    uint64_t taken;
    member_tag tag;
    bool executes;
} order;

static void become_child(void)
{
    close_watcher();
    motet__process_afresh();
    sys_set_comm(motet__process.comm);
}

__attribute__((noreturn)) static void be_child(order o)
{
    if (o.executes) {
        motet__slot_fail(o.s, o.taken, exec_program(o.s, o.taken, o.tag));
        sys_exit_now(1);
    }
    motet__process_main(o.s, o.taken, o.tag, false);
}

/* Touches what a beginning needs, so that its pages are there then: the allocator, stdio, control, the family. */
static void warm_up(void)
{
    control *c = the_control();
    motet_buffer *b = motet_buffer_new();
    motet_buffer_append(b, c->segments, sizeof c->segments[0]);
    motet_buffer_free(b);
    sys_stdio_flush();
    motet__member_alive(motet__family_deaths() ? c->root : c->guard.tag);
    atomic_load_relaxed(&c->slots[0].word);
}

/* A process that stands ready, so that who starts one need not wait for the fork. It has done all that doesn't depend on
 * what it will be, and waits for that. When the zygote dies, so does it. */
__attribute__((noreturn)) static void be_spare(int pipe)
{
    order o;
    become_child();
    warm_up();
    ssize_t n = sys_read_all(pipe, &o, sizeof o);
    sys_close(pipe);
    if (n != (ssize_t)sizeof o)
        sys_exit_now(GIVEN_UP);
    be_child(o);
}

void motet__zygote_forget_spare(void)
{
    watcher *w = motet__watcher();
    if (w->spare_pipe >= 0)
        sys_close(w->spare_pipe);
    w->spare_pipe = -1;
    w->spare = 0;
    atomic_store_relaxed(&the_control()->spare, 0);
}

/* It is better to have one, and no matter if not. */
static void prepare_spare(void)
{
    watcher *w = motet__watcher();
    int reader;
    if (w->spare || w->is_guard || sys_pipe(&reader, &w->spare_pipe) < 0)
        return;
    pid_t pid = sys_fork();
    if (pid == 0)
        be_spare(reader);
    sys_close(reader);
    if (pid < 0) {
        motet__zygote_forget_spare();
        return;
    }
    w->spare = pid;
    atomic_store_relaxed(&the_control()->spare, pid); /* for the guard, if this process dies */
}

/* The child that becomes what is ordered: the spare, or a new one. Its pid, or -errno. */
static pid_t make_child(order o)
{
    watcher *w = motet__watcher();
    pid_t pid = w->spare;
    if (pid) {
        int e = sys_write_all(w->spare_pipe, &o, sizeof o);
        motet__zygote_forget_spare();
        if (e == 0)
            return pid;
        /* It was killed, and is reaped like any other. */
    }
    pid = sys_fork();
    if (pid == 0) {
        become_child();
        be_child(o);
    }
    return pid;
}

static void serve(uint32_t i)
{
    control *c = the_control();
    slot *s = &c->slots[i];
    uint64_t asked = atomic_load_seq_cst(&s->word);
    if (slot_state_of(asked) != SLOT_ASKED)
        return;
    if (!motet__member_alive(slot_value_of(asked))) {
        atomic_cas_acq_rel(&s->word, &asked, slot_word(SLOT_FREE, 0, slot_turn_of(asked)));
        return;
    }
    int64_t tag = motet__member_claim();
    if (tag < 0) {
        motet__slot_fail(s, asked, (int)tag);
        return;
    }
    uint64_t taken = slot_word(SLOT_TAKEN, motet__watcher()->self, slot_turn_of(asked));
    /* Nobody waits for this change. */
    if (!atomic_cas_acq_rel(&s->word, &asked, taken)) {
        motet__member_unclaim((member_tag)tag);
        return;
    }
    bool executes = s->parcel->method == MOTET_SPAWN;
    /* Alive after that was read: so the parcel had not been freed. A program that nobody asked for must not run. */
    pid_t pid = motet__member_alive(s->starter) ? make_child((order){s, taken, (member_tag)tag, executes}) : -ESRCH;
    if (pid < 0) {
        motet__member_unclaim((member_tag)tag);
        motet__slot_fail(s, taken, pid);
        return;
    }
    know((known){pid, i, slot_turn_of(taken), (member_tag)tag, executes});
}

void motet__zygote_serve(void)
{
    control *c = the_control();
    for (uint32_t i = 0; i < SLOTS / 64; i++) {
        if (!atomic_load_relaxed(&c->asked[i]))
            continue;
        /* Acquire: the slots' words. */
        uint64_t bits = atomic_exchange_acq_rel(&c->asked[i], 0);
        for (; bits; bits &= bits - 1)
            serve(i * 64 + (uint32_t)__builtin_ctzll(bits));
    }
    prepare_spare();
}

void motet__zygote_serve_all(void)
{
    uint32_t n = atomic_load_acquire(&the_control()->slots_used);
    for (uint32_t i = 0; i < n; i++)
        serve(i);
}

void motet__zygote_refuse_all(int code)
{
    control *c = the_control();
    uint32_t n = atomic_load_acquire(&c->slots_used);
    for (uint32_t i = 0; i < n; i++) {
        uint64_t word = atomic_load_acquire(&c->slots[i].word);
        if (slot_state_of(word) == SLOT_ASKED)
            motet__slot_fail(&c->slots[i], word, code);
    }
}

void motet__slots_take_back(void)
{
    control *c = the_control();
    uint32_t n = atomic_load_acquire(&c->slots_used);
    for (uint32_t i = 0; i < n; i++) {
        slot *s = &c->slots[i];
        uint64_t word = atomic_load_seq_cst(&s->word);
        if (slot_state_of(word) == SLOT_TAKEN && !motet__member_alive(slot_value_of(word)))
            motet__slot_step(s, word, slot_word(SLOT_ASKED, atomic_load_relaxed(&s->starter), slot_turn_of(word)),
                             false);
    }
}

#endif
