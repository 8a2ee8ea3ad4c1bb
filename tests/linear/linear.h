/* SPDX-License-Identifier: MIT */
/* A linearizability checker: was what the threads saw something that one thread could have seen?
 *
 * A history is a set of operations, each with the moment before it began and the moment after it ended. It is
 * linearizable when every operation can be given one instant between its two moments so that, done one after the other in
 * that order, each gives the result that it gave. An operation that was cut off (its caller was killed, or has not come
 * back yet) has no end and no result: it may have happened at any instant after it began, or never; never twice.
 *
 * The sequential object is a linear_spec. This file and the specs know nothing of threads, clocks or the library: a
 * history may come from real threads, from processes through shared memory, or from the schedule explorer, whose step
 * number is as good a moment as any.
 *
 *     linear_spec queue = linear_fifo;
 *     queue.capacity = 2;
 *     if (linear_check(&queue, ops, n) != LINEAR_RIGHT)
 *         linear_explain(&queue, ops, n, stderr);
 */
#ifndef MOTET_TESTS_LINEAR_H
#define MOTET_TESTS_LINEAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum {
    LINEAR_VALUES_MAX = 8,  /* in one operation */
    LINEAR_STATE_MAX = 512, /* values that an object may hold */
    LINEAR_OPS_MAX = 1024,  /* in one history */
};

typedef enum linear_kind {
    /* queues */
    LINEAR_PUT,      /* values[0] -> 0, -EPIPE, -ETIMEDOUT (full) */
    LINEAR_GET,      /* -> 0 and values[0], -EPIPE (shut down and empty), -ETIMEDOUT (empty) */
    LINEAR_PUT_MANY, /* the first `arg` of values -> how many; codes as put */
    LINEAR_GET_MANY, /* at most `arg` -> how many, and the values; codes as get */
    LINEAR_SHUTDOWN, /* -> 0 */
    LINEAR_SIZE,     /* -> how many there are */
    /* lock, semaphore */
    LINEAR_ACQUIRE, /* -> 0, -ETIMEDOUT (held; no permits) */
    LINEAR_RELEASE, /* `arg` permits -> 0, -EPERM (not held), -EOVERFLOW (bounded) */
    LINEAR_VALUE,   /* -> whether it is held; how many permits */
    /* counters: number `key` */
    LINEAR_ADD,  /* `arg` -> what it was before */
    LINEAR_READ, /* -> what it is */
    LINEAR_KINDS,
} linear_kind;

/* Any result of -EBUSY, -ECANCELED, -EINTR or -ENOMEM stands for "nothing happened", whatever the object's state. */
typedef struct linear_op {
    linear_kind kind;
    int thread;
    int key;
    int32_t arg;
    int32_t values[LINEAR_VALUES_MAX];
    int32_t result;
    bool cut;                  /* cut off: `returned`, `result` and what a get got mean nothing */
    int64_t invoked, returned; /* moments. One operation is before another when it returned before the other was
                                  invoked; equal moments overlap. */
} linear_op;

/* What an object holds, in a form that is the same for equal objects. */
typedef struct linear_state {
    uint32_t flags, count;
    int32_t values[LINEAR_STATE_MAX];
} linear_state;

typedef struct linear_spec linear_spec;
struct linear_spec {
    const char *name;
    /* queues: 0 is no bound. A put may also be refused as full when `slack` less are in: for a queue in which what the
     * dead have begun takes up room. */
    int32_t capacity, slack;
    /* semaphore: permits at first, and the most that there may be (0: no bound) */
    int32_t initial, limit;

    void (*init)(const linear_spec *s, linear_state *ret);
    /* Does the operation. True when its result is the one that it gives in this state. One that was cut off: does it
     * whole; false when it would wait, or changes nothing. After false the state is worth nothing. */
    bool (*apply)(const linear_spec *s, linear_state *state, const linear_op *op);
    /* P-compositionality (Horn and Kroening): operations of different parts do not know of each other, so that each part
     * is checked by itself. NULL: all is one part. */
    int (*part)(const linear_op *op);
};

extern const linear_spec linear_fifo, linear_lifo;
extern const linear_spec linear_priority; /* values >> 16 is what is compared; the least first, then the oldest */
extern const linear_spec linear_lock, linear_semaphore;
extern const linear_spec linear_counters; /* from 0 on; each key is a part */

typedef enum linear_verdict {
    LINEAR_RIGHT,
    LINEAR_WRONG,
    LINEAR_UNDECIDED, /* too large, or more configurations than LINEAR_SEEN_MAX */
} linear_verdict;

enum { LINEAR_SEEN_MAX = 1 << 20 };

/* Decides. The same history always has the same verdict. */
linear_verdict linear_check(const linear_spec *spec, const linear_op *ops, size_t n);

/* Why a history is wrong: the operations of the shortest wrong beginning, cut off where that ends, and of these only
 * those after the last moment at which nothing was under way. */
typedef struct linear_window {
    linear_op ops[LINEAR_OPS_MAX]; /* by the moment of their beginning */
    size_t count;
    size_t culprit;         /* the one whose return made it wrong */
    linear_state states[4]; /* what the object may have held when the window begins */
    size_t states_count;    /* may be larger than what is shown */
} linear_window;

/* False when the history is not wrong. The window is large: not for the stack of a thread. */
bool linear_find_window(const linear_spec *spec, const linear_op *ops, size_t n, linear_window *ret);

/* Prints the window, readably. */
void linear_explain(const linear_spec *spec, const linear_op *ops, size_t n, FILE *out);

/* ---- for linear.c and its kin ---------------------------------------------------------------------- */

/* Searches from `from` (NULL: the initial state), one part. On LINEAR_RIGHT, and with `ret` not NULL, goes on for every
 * state that the history can end in: the first `most` of them, and how many there are in *ret_count. */
linear_verdict linear_search(const linear_spec *spec, const linear_op *ops, size_t n, linear_state *ret, size_t most,
                             size_t *ret_count);

#endif
