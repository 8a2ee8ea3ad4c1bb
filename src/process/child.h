/* SPDX-License-Identifier: MIT */
/* A child process, as its own folder sees it.
 *
 * States: RUNS --(its pidfd is readable, somebody reaps)--> OVER. Reaping is under the guard; OVER is stored after the code
 * (release), so that whoever reads it (acquire) may read the code without the guard. Nothing leads back.
 *
 * The pidfd lives as long as the object, so that a signal and a wait never meet another process with the same number. The
 * waits are polls of the pidfd, which any number of threads may do at once; the first to come reaps. */
#ifndef MOTET_PROCESS_CHILD_H
#define MOTET_PROCESS_CHILD_H

#include "base/guard.h"
#include "base/list.h"
#include "base/sys_process.h"

#include <motet/ipc.h>

enum { CHILD_RUNS, CHILD_OVER };
enum { PIPE_NONE = -1, PIPE_CLOSED = -2 }; /* in place of a descriptor */

struct motet_child {
    guard guard;    /* of reaping */
    uint32_t state; /* CHILD_RUNS, CHILD_OVER */
    int code;       /* OVER: its exit code */
    bool lost;      /* OVER: somebody else reaped it, and has the code */
    pid_t pid;
    int pidfd;
    int pipes[3]; /* this side's end of each, or a PIPE_ constant; who talks changes them, others read them relaxed */
    uint32_t talking; /* 1: a thread communicates */
    /* What communicate keeps from a call that failed to the next; owned by who talks. */
    motet_buffer *got[3]; /* 1 and 2: read and not yet given */
    char *rest;           /* the input that is left, copied when a call fails; NULL before */
    size_t rest_size;     /* of it, in bytes */
    size_t sent;          /* bytes of the input, or of the rest, that were written */
    list_link detached;   /* on the list of detached.c, under its guard */
};

/* Whether the child has ended; reaps it then. Any thread, never waits. */
bool motet__child_over(motet_child *c);

/* As motet_child_wait, for a child whose arguments were checked. `flags` are park's. */
int motet__child_wait(motet_child *c, int *ret_code, motet_time deadline, unsigned flags);

/* As motet_child_signal, but -ESRCH when the child was reaped. */
int motet__child_signal(motet_child *c, int number);

/* Whether there was ever one. Any thread. */
static inline bool child_has_pipe(const motet_child *c, int number)
{
    /* Relaxed: it never becomes PIPE_NONE, nor anything else after PIPE_NONE. */
    return atomic_load_relaxed(&c->pipes[number]) != PIPE_NONE;
}

void motet__child_close_pipe(motet_child *c, int number);

/* Frees a child that is over, or belongs to the parent of a raw fork. */
void motet__child_destroy(motet_child *c);

/* Takes over a child that nobody wants any more and that still runs. */
void motet__child_detach(motet_child *c);

/* Reaps detached children that have ended: a bounded number of looks, so that each start and free pays a little. */
void motet__child_sweep(void);

#endif
