/* SPDX-License-Identifier: MIT */
/* The processes that this one has started: how their ends are seen, and the exit rule for them. */
#include "process/process.h"

#ifndef MOTET_SIM

#include "park/park.h"
#include "thread/thread.h"

static guard list_guard;
static list_link children = {&children, &children}; /* all that are not OVER, in the order of their starts */
static uint32_t children_count;
static uint32_t polls_turn; /* which of those that must be polled are looked at next */

/* How long a daemon has for its own end, once it was asked. */
#define TERMINATE_NS (2 * MOTET_S)

/* ---- the list -------------------------------------------------------------------------------------- */

void motet__process_forget(void)
{
    list_guard = (guard){0};
    list_init(&children);
    children_count = 0;
}

void motet__process_add(motet_process *p)
{
    p->refs++;
    guard_lock(&list_guard);
    list_insert_before(&children, &p->link);
    children_count++;
    guard_unlock(&list_guard);
}

static void leave(motet_process *p)
{
    guard_lock(&list_guard);
    bool listed = list_linked(&p->link);
    if (listed) {
        list_remove(&p->link);
        children_count--;
    }
    guard_unlock(&list_guard);
    if (listed)
        motet__process_unref(p);
}

void motet__process_unref(motet_process *p)
{
    /* All uses of the object before its end. */
    if (atomic_sub_acq_rel(&p->refs, 1) != 1)
        return;
    if (p->pidfd >= 0)
        sys_close(p->pidfd);
    sys_free(p);
}

/* ---- one that ends --------------------------------------------------------------------------------- */

/* Whether its body has returned: with what exit code. */
static bool has_said(const motet_process *p, int *ret_code)
{
    uint64_t said = atomic_load_acquire(&p->slot->said);
    if (slot_state_of(said) != SLOT_ENDED || slot_turn_of(said) != p->turn)
        return false;
    *ret_code = code_of_value(slot_value_of(said));
    return true;
}

static int said_or_killed(const motet_process *p)
{
    int code = -SIGKILL;
    has_said(p, &code);
    return code;
}

/* Of one that ended with `code`: what its body returned, if it came to that and to nothing else after it. */
static int result_of(const motet_process *p, int code)
{
    int said;
    return has_said(p, &said) && said == code ? (int)(uint32_t)atomic_load_relaxed(&p->slot->returned) : code;
}

/* No watcher is left to say so. */
static bool ended_unwatched(const motet_process *p, int *ret_code)
{
    bool ended = true;
    int fd = sys_pidfd_open(p->pid);
    if (fd == -ESRCH) {
        *ret_code = said_or_killed(p);
        return true;
    }
    const member *m = &motet__family->members[tag_place(p->tag)];
    if (fd < 0 || !m->started || sys_pid_started(p->pid) == m->started)
        ended = fd >= 0 && sys_pidfd_ended(fd);
    if (ended && (fd < 0 || !sys_pidfd_code(fd, ret_code)))
        *ret_code = said_or_killed(p);
    if (fd >= 0)
        sys_close(fd);
    return ended;
}

/* Under p->guard, ALIVE. */
static bool has_ended(motet_process *p, int *ret_code)
{
    if (p->method == MOTET_FORK) {
        int r = sys_pidfd_reap_any(p->pidfd, ret_code);
        if (r != -ECHILD)
            return r == 1;
        /* Somebody else has reaped it, or the program has its children reaped by the kernel. */
        if (!sys_pidfd_ended(p->pidfd))
            return false;
        if (!sys_pidfd_code(p->pidfd, ret_code))
            *ret_code = said_or_killed(p);
        return true;
    }
    uint64_t word = atomic_load_acquire(&p->slot->word);
    if (slot_turn_of(word) == p->turn && slot_state_of(word) == SLOT_ENDED) {
        *ret_code = code_of_value(slot_value_of(word));
        return true;
    }
    return atomic_load_relaxed(&motet__process.control->lost) && p->tag && ended_unwatched(p, ret_code);
}

bool motet__process_over(motet_process *p)
{
    /* Acquire: partner of the releases below; the code may be read then. */
    uint32_t state = atomic_load_acquire(&p->state);
    if (state == PROCESS_OVER)
        return true;
    guard_lock(&p->guard);
    if (p->state == PROCESS_ALIVE && has_ended(p, &p->code)) {
        p->result = result_of(p, p->code);
        atomic_store_release(&p->state, PROCESS_ENDING);
    }
    state = p->state;
    guard_unlock(&p->guard);
    if (state == PROCESS_ALIVE)
        return false;
    /* Whoever comes here helps, so that it is done, or another is at it, when anybody sees OVER. */
    motet__process_bury(p->tag);
    guard_lock(&p->guard);
    if (p->state == PROCESS_ENDING) {
        motet__slot_free(p->slot, p->turn);
        atomic_store_release(&p->state, PROCESS_OVER);
    }
    guard_unlock(&p->guard);
    leave(p);
    return true;
}

/* ---- all of them ----------------------------------------------------------------------------------- */

enum { SWEPT = 16, POLLED = 2 };

static bool looks_ended(const motet_process *p, uint32_t number, uint32_t *polled)
{
    if (p->method != MOTET_FORK)
        return slot_state_of(atomic_load_relaxed(&p->slot->word)) == SLOT_ENDED;
    /* These cost a system call each: a few at a time, in turn. */
    if (*polled == POLLED || number < polls_turn)
        return false;
    ++*polled;
    polls_turn = number + 1;
    return sys_pidfd_ended(p->pidfd);
}

void motet__process_sweep(void)
{
    motet_process *ended[SWEPT];
    uint32_t n = 0, number = 0, polled = 0;
    guard_lock(&list_guard);
    for (list_link *l = children.next; l != &children && n < SWEPT; l = l->next, number++) {
        motet_process *p = container_of(l, motet_process, link);
        if (looks_ended(p, number, &polled))
            ended[n++] = motet_process_ref(p);
    }
    if (polled < POLLED)
        polls_turn = 0;
    guard_unlock(&list_guard);
    for (uint32_t i = 0; i < n; i++) {
        motet__process_over(ended[i]);
        motet__process_unref(ended[i]);
    }
}

/* References to all, in order; NULL: no memory, or there are none. */
static motet_process **list_all(uint32_t *ret_n)
{
    for (;;) {
        uint32_t room = atomic_load_relaxed(&children_count), n = 0; /* relaxed: looked at again */
        motet_process **all = room ? sys_alloc(room * sizeof *all) : NULL;
        *ret_n = room;
        if (!all)
            return NULL;
        guard_lock(&list_guard);
        bool fits = children_count <= room;
        for (list_link *l = children.next; fits && l != &children; l = l->next)
            all[n++] = motet_process_ref(container_of(l, motet_process, link));
        guard_unlock(&list_guard);
        *ret_n = n;
        if (fits)
            return all;
        sys_free(all);
    }
}

int motet_active_children(motet_process **ret, size_t n)
{
    if (!ret && n)
        return -EINVAL;
    if (!motet__process_allowed())
        return -EPERM;
    uint32_t count, alive = 0;
    motet_process **all = list_all(&count);
    if (!all)
        return count ? -ENOMEM : 0;
    for (uint32_t i = 0; i < count; i++) {
        bool over = motet__process_over(all[i]);
        if (!over && alive < n)
            ret[alive] = all[i];
        else
            motet__process_unref(all[i]);
        alive += !over;
    }
    sys_free(all);
    return (int)alive;
}

/* ---- the exit rule --------------------------------------------------------------------------------- */

static motet_process *first_child(void)
{
    guard_lock(&list_guard);
    motet_process *p = list_empty(&children) ? NULL
                                             : motet_process_ref(container_of(children.next, motet_process, link));
    guard_unlock(&list_guard);
    return p;
}

static void terminate_daemons(void)
{
    guard_lock(&list_guard); /* which sending a signal doesn't need */
    for (list_link *l = children.next; l != &children; l = l->next) {
        motet_process *p = container_of(l, motet_process, link);
        if (p->daemon)
            motet_process_terminate(p);
    }
    guard_unlock(&list_guard);
}

/* Daemons first, as in Python; then all are waited for, those too that are started meanwhile. */
static void end_children(void)
{
    motet_time patience = motet_after(TERMINATE_NS);
    terminate_daemons();
    for (motet_process *p; (p = first_child()) != NULL; motet__process_unref(p)) {
        if (p->daemon && motet_process_join(p, NULL, patience) == -ETIMEDOUT)
            motet_process_kill(p);
        while (motet_process_join(p, NULL, MOTET_FOREVER) < 0)
            motet_sleep(motet_after(MOTET_MS)); /* no means to wait just now */
    }
}

static void at_exit(void)
{
    end_children();
    motet__process_close();
}

int motet__process_exit_prepare(void)
{
    motet__exit_last(at_exit);
    return motet__exit_prepare();
}

#endif
