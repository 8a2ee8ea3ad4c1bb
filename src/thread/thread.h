/* SPDX-License-Identifier: MIT */
/* What other floors need of the threads beside the public face, and the line between thread.c and exit.c. */
#ifndef MOTET_THREAD_INTERNAL_H
#define MOTET_THREAD_INTERNAL_H

#include "base/list.h"
#include "base/sys_thread.h"

#include <motet/thread.h>

/* Called once, when the program's end begins (exit, or return from main), before threads are waited for: by
 * the thread that calls exit, the hook added last first. There a pool is told to finish. The hook is on no
 * list any more when it runs, and `run` may free it. It runs shielded, so its waits do not end with
 * -ECANCELED. */
typedef struct exit_hook {
    list_link link; /* guarded by exit.c; zero-initialised */
    void (*run)(struct exit_hook *hook);
} exit_hook;

/* motet__exit_hook_add: `hook` is the library's until it has run or is removed. 0; -ENOMEM; -EPERM in the
 * child of a raw fork. */
int motet__exit_hook_add(exit_hook *hook);

/* motet__exit_hook_remove: it will not run any more; when it is just running on another thread, waits until
 * it has. Fine also when it was never added, or from within `run`. */
void motet__exit_hook_remove(exit_hook *hook);

/* motet__exit_last: `run` is called when the hooks have run and the threads are gone: by the thread that ends the program,
 * shielded. One function for good. */
void motet__exit_last(void (*run)(void));

/* motet__exit_run: keeps the exit rule now, in a process whose body has returned. */
void motet__exit_run(void);

/* ---- thread.c and exit.c --------------------------------------------------------------------------- */

/* From the first time on, the program's end keeps the exit rule. 0; -ENOMEM; -EPERM in the child of a raw
 * fork. */
int motet__exit_prepare(void);

/* One more, one less thread that the program's end waits for. The latter is the last thing a thread does. */
void motet__exit_hold(void);
void motet__exit_release(void);

/* Takes over from the calling thread, which is about to be gone, the duty to join it. */
void motet__exit_hand_over(pthread_t self);

/* Joins the OS threads of those that have ended and were neither joined nor freed. */
void motet__threads_join_ended(void);

/* Ends the calling thread's object: it is in exit(), and never returns. */
void motet__thread_leave(void);

#endif
