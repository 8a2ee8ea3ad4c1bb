/* SPDX-License-Identifier: MIT */
/* A future inside: what an executor makes, runs and completes.
 *
 * The state word:
 *
 *     PENDING --claim_to_run--> RUNNING --complete--> OVER_DONE
 *     PENDING --cancel--> OVER_CANCELLED
 *
 * Who makes a step by compare-and-swap owns what follows: the runner writes code, outcome and value and publishes them
 * with OVER (release; partners are the acquire loads of those who look). Two flags ride along: WAITERS, somebody may be
 * parked on the word; CALLBACKS, the list of callbacks is not empty. Who sets OVER sees them in the same exchange, wakes
 * and calls, once. After OVER the flags no longer change.
 *
 * References: one of the executor from submit until the future is over and off every queue, and those of users. */
#ifndef MOTET_EXECUTOR_FUTURE_H
#define MOTET_EXECUTOR_FUTURE_H

#include "base/guard.h"

#include <motet/executor.h>

enum {
    FUTURE_PENDING = 0,
    FUTURE_RUNNING = 1,
    FUTURE_STEP = 3, /* mask of the two above */
    FUTURE_WAITERS = 4,
    FUTURE_CALLBACKS = 8,
    MOTET__FUTURE_OVER = 0x100, /* a word of at least this is over */
    FUTURE_OVER_DONE = MOTET__FUTURE_OVER,
    FUTURE_OVER_CANCELLED = 2 * MOTET__FUTURE_OVER,
};

/* A piece of work on an executor's queue. */
typedef struct job {
    /* Runs it (`code` 0), or ends it with that code instead; or drops it, if somebody has claimed it. Once for each time
     * that it was put on a queue. */
    void (*run)(struct job *j, int code);
} job;

typedef struct future_callback {
    void (*done)(motet_future *f, void *arg);
    void *arg;
    struct future_callback *next;
} future_callback;

struct motet_future {
    job job;
    uint32_t state;
    uint32_t references;
    const motet_task *task;         /* NULL: a promise */
    const struct executor_ops *ops; /* of its executor; NULL: a promise */
    motet_executor *executor;       /* never followed unless `for_callers`: it may be closed and gone */
    bool for_callers;               /* a caller outside may run it; then it holds a reference of the executor */
    int code;                       /* from here to out_bytes: the completer's until OVER, then read-only */
    motet_outcome outcome;
    uint32_t in_offset, out_offset; /* bytes from the future; its memory holds input and output */
    size_t in_size, out_size;       /* bytes of input (a promise: room for its value), of the value */
    motet_buffer *out_bytes;        /* the value of a task to bytes */
    future_callback *callbacks;     /* guarded by `guard` */
    char *report;                   /* made when asked for; guarded by `guard` */
    future_callback first_callback; /* `done` NULL: not used yet; guarded by `guard` */
    guard guard;
};

enum { VALUE_ALIGNMENT = 64 }; /* of inputs and outputs: the most that a type may ask for */

/* The most that a type of this size can need: its size is a multiple of its alignment. 1 for nothing. */
static inline size_t value_alignment(size_t size)
{
    size_t alignment = size & -size;
    return !alignment ? 1 : alignment < VALUE_ALIGNMENT ? alignment : VALUE_ALIGNMENT;
}

/* A future of `task` with a copy of `in`, PENDING, with `references`. 0; -EMSGSIZE; -ENOMEM. */
int motet__future_new(motet_future **ret, const motet_task *task, motet_bytes in, uint32_t references);

/* PENDING to RUNNING: true for the one who may run it. */
bool motet__future_claim(motet_future *f);

/* Runs the task of a claimed future on the calling thread and completes it. */
void motet__future_run(motet_future *f);

/* Completes a claimed future without running it. */
void motet__future_fail(motet_future *f, int code, motet_outcome outcome);

/* The value's place in the future. */
static inline void *future_out(motet_future *f) { return (char *)f + f->out_offset; }

static inline bool future_over(uint32_t state) { return state >= MOTET__FUTURE_OVER; }

/* motet__future_state_word: the word to park on, announced: from now on who ends the future wakes every waiter of the
 * word's address. It is at least MOTET__FUTURE_OVER once the future is over. */
const uint32_t *motet__future_state_word(motet_future *f);

#endif
