/* SPDX-License-Identifier: MIT */
/* motet/select.h - one wait over queues, events, futures and descriptors. */
#ifndef MOTET_SELECT_H
#define MOTET_SELECT_H

#include <motet/base.h>
#include <motet/queue.h>
#include <motet/sync.h>

#ifdef __cplusplus
extern "C" {
#endif

struct motet_future;
struct motet_process;
struct motet_conn;

/* What a choice waits for, and the fields that it needs. */
typedef enum {
    MOTET_GET = 1,  /* an item from .queue to .item; or a message to .buffer, in place of what that holds */
    MOTET_PUT,      /* the item at .item into .queue; or a copy of .message */
    MOTET_READABLE, /* .fd: a read would not wait (end of file and errors count) */
    MOTET_WRITABLE, /* .fd: a write would not wait (errors count) */
    MOTET_SET,      /* .event is set, or was set while select waited */
    MOTET_OVER,     /* .future is over, however it went */
    MOTET_ENDED,    /* .process: not in this version (-ENOTSUP) */
    MOTET_MESSAGE,  /* .conn: not in this version (-ENOTSUP) */
} motet_choice_op;

/* How many choices one select may have. */
#define MOTET_SELECT_MAX 512

typedef struct {
    motet_choice_op op;
    motet_queue *queue;
    void *item;           /* where the item goes to, or comes from */
    motet_bytes message;  /* MOTET_PUT on a queue of messages */
    motet_buffer *buffer; /* MOTET_GET on a queue of messages */
    int fd;
    motet_event *event;
    struct motet_future *future;
    struct motet_process *process;
    struct motet_conn *conn;
    int code; /* written by select: 0, or why this choice ended it */
} motet_choice;

/* motet_select: waits until one of `n` choices can go through, does it, and returns its index; nothing has
 * happened to the others' objects. When several can, it takes one from a random place on, so that none
 * starves. The objects stay the caller's and must live until it returns; one queue, event or descriptor may
 * occur in several choices.
 *
 * A negative code: nothing went through.
 *  -ETIMEDOUT, -ECANCELED, -EINTR: as for every wait. A choice that can go through at once does so even when the
 *   thread was cancelled.
 *  -EPIPE: none can go through at once, and a queue among them never will: it is shut down (and, for MOTET_GET,
 *   empty). That choice's .code is -EPIPE; leave it out next time.
 *  -ENOMEM: no memory for the wait itself, or for what one choice would put or get (its .code says so).
 *  -EINVAL: choices is NULL, n is 0 or above MOTET_SELECT_MAX, an unknown op, an object or item that the op needs is
 *   NULL, or a negative descriptor. -EMSGSIZE: a message above MOTET_MESSAGE_SIZE_MAX. -ENOTSUP: an op that is not
 *   in this version, or an event that is shared between processes. -EPERM: in the child of a raw fork. After these nothing was touched, no .code either.
 *  -EBADF: a descriptor that is not open (its .code says so); none of the others was tried.
 *  -EMFILE, -ENFILE: no descriptor left for a wait that has descriptors.
 * Every .code is 0 afterwards, except as said. (After Go's select and Concurrent ML's choose.) */
MOTET_API int motet_select(motet_choice *choices, size_t n, motet_time deadline);

#ifdef __cplusplus
}
#endif

#endif
