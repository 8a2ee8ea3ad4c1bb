/* SPDX-License-Identifier: MIT */
/* What the files of guard and zygote share. */
#ifndef MOTET_PROCESS_WATCH_H
#define MOTET_PROCESS_WATCH_H

#include "base/afresh.h"
#include "process/process.h"

#ifndef MOTET_SIM

/* What an event stands for; anything larger is the tag of a stranger. */
enum { EVENT_BELL, EVENT_CHILD, EVENT_GUARD_BELL, EVENT_GUARD, EVENT_ROOT, EVENTS };

/* A member that is no child of a watcher's, and its pidfd. */
typedef struct stranger {
    member_tag tag;
    int fd;
} stranger;

typedef struct watcher {
    bool is_guard;
    member_tag self;
    int epoll, signals, root; /* root: its pidfd */
    int guard_fd;             /* zygote: the guard's pidfd; else -1 */
    pid_t spare;              /* zygote: a child that stands ready; 0: none */
    int spare_pipe;           /* where it is told what it is to be; -1 */
    int report;               /* where the first guard or zygote says how it went; -1 */
    /* The guard's. */
    pid_t zygote; /* 0: there is none */
    member_tag zygote_tag;
    bool has_had_zygote;
    unsigned zygotes_lost; /* in a row, before they began */
    motet_time retry;      /* when to try again what could not be done; MOTET_FOREVER */
    uint32_t strangers;
    stranger stranger[MEMBERS_MAX];
} watcher;

watcher *motet__watcher(void);

/* ---- zygote_serve.c: starts and ends of children ---------------------------------------------------- */

/* Zygote: makes the processes that were asked for; the second also those whose hint is lost. */
void motet__zygote_serve(void);
void motet__zygote_serve_all(void);

/* Guard: nobody can make processes now; `code` says why. */
void motet__zygote_refuse_all(int code);

/* Guard: what a dead zygote had taken is asked for again. */
void motet__slots_take_back(void);

/* A child has ended, and will be reaped when this returns. */
void motet__child_ended(pid_t pid, int code);

/* A member has ended, whoever's child it is. */
void motet__member_ended(member_tag tag, int code);

/* The slot that is RUNNING as `tag`, and its word; NULL: none. */
slot *motet__slot_running(member_tag tag, uint64_t *ret_word);

/* The spare has ended, or is another's. */
void motet__zygote_forget_spare(void);

/* A copy's children are others. */
void motet__children_forget(void);

/* ---- zygote_strange.c: members that are nobody's child, and the end of all -------------------------- */

/* Guard: begins to watch those that have said so; or all that are no child of its own, when it has new children or is new. */
void motet__strangers_take_in(void);
void motet__strangers_find(void);

/* Guard: the pidfd of one is readable. */
void motet__stranger_ended(member_tag tag);

/* The end of the family: GOING_ON and so on. */
__attribute__((noreturn)) void motet__family_end(uint32_t how);

#endif /* MOTET_SIM */

#endif
