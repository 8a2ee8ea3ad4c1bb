/* SPDX-License-Identifier: MIT */
/* motet/queue.h - queues: items, or whole messages, between threads.
 *
 * Items are copied by value. Any number of threads may put and get at the same time. A call that waits is a
 * cancellation point; one that need not wait goes through even when its thread was cancelled. After a raw
 * fork() every call on a queue of the parent's fails in the child with -EPERM (motet_queue_close only gives
 * the memory back).
 *
 * Codes that every waiting call may return, beside its own: -ETIMEDOUT the deadline passed (at once for
 * MOTET_NOWAIT); -ECANCELED the thread was cancelled; -EINTR a signal came and the thread is interruptible.
 * Nothing was put or got then. */
#ifndef MOTET_QUEUE_H
#define MOTET_QUEUE_H

#include <motet/base.h>

#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct motet_queue motet_queue;

/* A message that was taken out of a queue: bytes that never change, counted by references. */
typedef struct motet_message motet_message;

typedef enum {
    MOTET_FIFO,     /* first in, first out */
    MOTET_LIFO,     /* last in, first out */
    MOTET_PRIORITY, /* the least first, as .compare says; among equals the one that came first */
} motet_queue_order;

/* Larger messages are refused with -EMSGSIZE (1 TiB), and so are larger items (1 GiB). */
#define MOTET_MESSAGE_SIZE_MAX    ((size_t)1 << 40)
#define MOTET_QUEUE_ITEM_SIZE_MAX ((size_t)1 << 30)

typedef struct {
    motet_queue_order order;
    /* MOTET_PRIORITY only, and required there: negative, 0 or positive as *a goes before, beside or after *b.
     * It gets two items, aligned as malloc would; in a queue of messages two `const motet_bytes`. It runs
     * inside the queue's own lock: it must be quick and may not call motet. */
    int (*compare)(const void *a, const void *b);
    bool shared;     /* between processes: not in this version (-ENOTSUP) */
    size_t capacity; /* how many items or messages it holds at most; 0: as many as there is memory for */
} motet_queue_options;

/* ---- open and close -------------------------------------------------------------------------------- */

/* motet_queue_open: makes a queue of items of `item_size` bytes each; 0: a queue of whole messages, which go
 * through put_bytes, put_parts, get_bytes and take, and through no other call. 0, and *q is the caller's to
 * close; -EINVAL: q is NULL, an unknown order, MOTET_PRIORITY without .compare, or .compare without
 * MOTET_PRIORITY; -EMSGSIZE: item_size is above MOTET_QUEUE_ITEM_SIZE_MAX; -ENOTSUP: .shared; -ENOMEM. Never
 * waits. */
MOTET_API int motet_queue_open(motet_queue **q, size_t item_size, const motet_queue_options *opt);

/* motet_queue_close: gives the queue and what is still in it back. NULL is fine. Returns NULL. Only when
 * nobody will begin another call on it; calls that wait in it are not lost, but end with -EPIPE (an error of
 * the program all the same: close waits until they have left). A call need not have returned, though, for its
 * effect to be known: who got the last item may close the queue, even if the put that brought it is still on
 * its way out, and so may who joined it. */
MOTET_API motet_queue *motet_queue_close(motet_queue *q);

/* motet_queue_shutdown: from now on puts fail with -EPIPE, those that wait included; gets give out what is
 * left and fail with -EPIPE then. join goes on waiting for what was got and is not yet done, as in Python
 * 3.13. 0, the second time too; -EINVAL: NULL. Never waits. */
MOTET_API int motet_queue_shutdown(motet_queue *q);

/* ---- items ----------------------------------------------------------------------------------------- */

/* motet_queue_put: copies the item at `item` into the queue; waits while it is full. 0; -EPIPE: shut down;
 * -ENOMEM, the queue as it was; -EINVAL: NULL, or a queue of messages. */
MOTET_API int motet_queue_put(motet_queue *q, const void *item, motet_time deadline);

/* motet_queue_get: moves the next item to `item`, of the queue's item size; waits while it is empty. 0;
 * -EPIPE: shut down and empty; -EINVAL: NULL, or a queue of messages. */
MOTET_API int motet_queue_get(motet_queue *q, void *item, motet_time deadline);

/* motet_queue_put_many: puts the first of `n` items at `items`, one after the other in memory: as many as
 * there is room for, in one go; waits for room for at least one. Returns how many (at most INT_MAX); 0 when n
 * is 0; codes as for put. */
MOTET_API int motet_queue_put_many(motet_queue *q, const void *items, size_t n, motet_time deadline);

/* motet_queue_get_many: moves up to `n` items to `items`: all that are there, in one go and in the queue's
 * order; waits for at least one. Returns how many (at most INT_MAX); 0 when n is 0; codes as for get. */
MOTET_API int motet_queue_get_many(motet_queue *q, void *items, size_t n, motet_time deadline);

/* ---- whole messages -------------------------------------------------------------------------------- */

/* motet_queue_put_bytes: puts a copy of the message, which may be empty; waits while the queue is full. 0;
 * -EPIPE: shut down; -EMSGSIZE: above MOTET_MESSAGE_SIZE_MAX; -ENOMEM; -EINVAL: a NULL queue, NULL data with
 * a size, or a queue of items. */
MOTET_API int motet_queue_put_bytes(motet_queue *q, motet_bytes message, motet_time deadline);

/* motet_queue_put_parts: as put_bytes, for one message that lies in `n` parts. */
MOTET_API int motet_queue_put_parts(motet_queue *q, const struct iovec *parts, size_t n, motet_time deadline);

/* motet_queue_get_bytes: moves the next message into the buffer, in place of what that holds; waits while the
 * queue is empty. 0; -EPIPE: shut down and empty; -ENOMEM: the buffer can't be made large enough, it and the
 * queue are as they were; -EINVAL: NULL, or a queue of items. */
MOTET_API int motet_queue_get_bytes(motet_queue *q, motet_buffer *message, motet_time deadline);

/* motet_queue_take: moves the next message out without copying its bytes; waits while the queue is empty. The
 * message may outlive the queue; the caller gives it back with motet_message_unref. 0; -EPIPE: shut down and
 * empty; -EINVAL: NULL, or a queue of items. */
MOTET_API int motet_queue_take(motet_queue *q, motet_message **m, motet_time deadline);

/* motet_message_data: the message's bytes, aligned as malloc would; they stay while a reference is held. NULL
 * for NULL. */
MOTET_API const void *motet_message_data(const motet_message *m);

/* motet_message_size: how many bytes the message has. 0 for NULL. */
MOTET_API size_t motet_message_size(const motet_message *m);

/* motet_message_ref: one more reference to the message. Returns m. NULL is fine. Any thread. */
MOTET_API motet_message *motet_message_ref(motet_message *m);

/* motet_message_unref: gives one reference back; the last one frees the message. NULL is fine. Returns NULL.
 * Any thread. */
MOTET_API motet_message *motet_message_unref(motet_message *m);

/* ---- how it stands --------------------------------------------------------------------------------- */

/* motet_queue_size: how many items or messages it holds: a moment's truth, and so are the next two. 0 for
 * NULL. */
MOTET_API size_t motet_queue_size(const motet_queue *q);

/* motet_queue_empty: whether it holds nothing. True for NULL. */
MOTET_API bool motet_queue_empty(const motet_queue *q);

/* motet_queue_full: whether it holds as many as its capacity; never true without one. False for NULL. */
MOTET_API bool motet_queue_full(const motet_queue *q);

/* ---- counting what is done ------------------------------------------------------------------------- */

/* motet_queue_task_done: says that one item that was got is dealt with. 0; -EINVAL: NULL, or called more
 * often than items were got. Never waits. (After Python's queue.Queue.) */
MOTET_API int motet_queue_task_done(motet_queue *q);

/* motet_queue_join: waits until everything that was put was got and said to be done. 0; -EINVAL: NULL;
 * -EPIPE: the queue is being closed. */
MOTET_API int motet_queue_join(motet_queue *q, motet_time deadline);

#ifdef __cplusplus
}
#endif

#endif
