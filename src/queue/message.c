/* SPDX-License-Identifier: MIT */
/* Queues of whole messages. A message is one block of memory, made before the queue is locked and read after
 * it is unlocked; what goes through the queue is its address. */
#include "queue/message.h"

#include "base/panic.h"
#include "queue/ring.h"

#include <string.h>

_Static_assert(offsetof(motet_message, data) == 16, "a message's bytes are aligned as malloc's");

/* ---- messages -------------------------------------------------------------------------------------- */

static int parts_size(const struct iovec *parts, size_t n, size_t *ret)
{
    size_t size = 0;
    for (size_t i = 0; i < n; i++) {
        if (!parts[i].iov_base && parts[i].iov_len)
            return -EINVAL;
        if (parts[i].iov_len > MOTET_MESSAGE_SIZE_MAX - size)
            return -EMSGSIZE;
        size += parts[i].iov_len;
    }
    *ret = size;
    return 0;
}

int motet__message_new(motet_message **ret, const struct iovec *parts, size_t n)
{
    size_t size;
    int e = parts_size(parts, n, &size);
    if (e < 0)
        return e;
    motet_message *m = sys_alloc(sizeof *m + size);
    if (!m)
        return -ENOMEM;
    m->size = size;
    m->refs = 1;
    unsigned char *to = m->data;
    for (size_t i = 0; i < n; i++) {
        if (parts[i].iov_len)
            memcpy(to, parts[i].iov_base, parts[i].iov_len);
        to += parts[i].iov_len;
    }
    *ret = m;
    return 0;
}

const void *motet_message_data(const motet_message *m) { return m ? m->data : NULL; }

size_t motet_message_size(const motet_message *m) { return m ? m->size : 0; }

motet_message *motet_message_ref(motet_message *m)
{
    if (m)
        atomic_add_relaxed(&m->refs, 1); /* relaxed: who holds one reference may make another */
    return m;
}

motet_message *motet_message_unref(motet_message *m)
{
    /* Release: the bytes were read before; acquire: all who read them have. Partners of each other. */
    if (m && atomic_sub_acq_rel(&m->refs, 1) == 1)
        sys_free(m);
    return NULL;
}

int motet__queue_compare(const motet_queue *q, const void *a, const void *b)
{
    if (q->item_size)
        return q->compare(a, b);
    const motet_message *first, *second;
    memcpy(&first, a, sizeof first);
    memcpy(&second, b, sizeof second);
    motet_bytes first_bytes = {first->data, first->size}, second_bytes = {second->data, second->size};
    return q->compare(&first_bytes, &second_bytes);
}

/* ---- putting --------------------------------------------------------------------------------------- */

int motet_queue_put_parts(motet_queue *q, const struct iovec *parts, size_t n, motet_time deadline)
{
    if (!q || q->item_size || (!parts && n))
        return -EINVAL;
    size_t size;
    int e = parts_size(parts, n, &size);
    if (e < 0)
        return e;
    /* A hint that spares the copying: to who will not wait, full at one moment of the call is full. */
    if (deadline <= 0 && motet_queue_full(q) && !(atomic_load_relaxed(&q->flags) & QUEUE_SHUT) && motet__park_allowed())
        return -ETIMEDOUT;
    motet_message *m;
    e = motet__message_new(&m, parts, n);
    if (e < 0)
        return e;
    if (q->order == MOTET_FIFO && motet__park_allowed() && ring_put(q, &m, sizeof m))
        return 0;
    e = motet__queue_put(q, &m, 1, deadline);
    if (e < 0)
        motet_message_unref(m);
    return e < 0 ? e : 0;
}

/* The bytes as one part; they are only read. */
static struct iovec part_of(motet_bytes bytes)
{
    union {
        const void *from;
        void *base;
    } data = {.from = bytes.data};
    return (struct iovec){.iov_base = data.base, .iov_len = bytes.size};
}

int motet_queue_put_bytes(motet_queue *q, motet_bytes message, motet_time deadline)
{
    struct iovec part = part_of(message);
    return motet_queue_put_parts(q, &part, 1, deadline);
}

int motet__message_of_bytes(motet_message **ret, motet_bytes bytes)
{
    struct iovec part = part_of(bytes);
    return motet__message_new(ret, &part, 1);
}

/* ---- getting --------------------------------------------------------------------------------------- */

int motet_queue_take(motet_queue *q, motet_message **m, motet_time deadline)
{
    if (!q || !m || q->item_size)
        return -EINVAL;
    if (q->order == MOTET_FIFO && motet__park_allowed() && ring_get(q, m, sizeof *m))
        return 0;
    int e = motet__queue_get(q, m, 1, NULL, deadline);
    return e < 0 ? e : 0;
}

int motet__message_fits(const void *slot, size_t *room)
{
    const motet_message *m;
    memcpy(&m, slot, sizeof m);
    if (m->size <= *room)
        return 0;
    *room = m->size;
    return -EMSGSIZE;
}

int motet__message_make_room(motet_buffer *buffer, size_t room)
{
    return motet_buffer_reserve(buffer, room - motet_buffer_size(buffer));
}

void motet__message_to_buffer(motet_message *m, motet_buffer *buffer)
{
    motet_buffer_clear(buffer);
    int e = motet_buffer_append(buffer, m->data, m->size);
    MOTET_ASSERT(e == 0);
    motet_message_unref(m);
}

int motet_queue_get_bytes(motet_queue *q, motet_buffer *message, motet_time deadline)
{
    if (!q || !message || q->item_size)
        return -EINVAL;
    size_t room = motet_buffer_size(message);
    motet_message *m;
    for (int e = 0; e != 1;) {
        e = motet__queue_get(q, &m, 1, &room, deadline);
        if (e == -EMSGSIZE)
            e = motet__message_make_room(message, room);
        if (e < 0)
            return e;
    }
    motet__message_to_buffer(m, message);
    return 0;
}
