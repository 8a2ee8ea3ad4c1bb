/* SPDX-License-Identifier: MIT */
/* Messages: counted bytes that never change once they are in a queue. */
#ifndef MOTET_QUEUE_MESSAGE_H
#define MOTET_QUEUE_MESSAGE_H

#include "queue/queue.h"

struct motet_message {
    size_t size;
    uint32_t refs; /* who lets the last one go frees it */
    uint32_t unused;
    unsigned char data[]; /* 16 bytes into a block of malloc's: aligned as that is */
};

/* A message with a copy of the parts and one reference; 0, -EINVAL, -EMSGSIZE, -ENOMEM. */
int motet__message_new(motet_message **ret, const struct iovec *parts, size_t n);
int motet__message_of_bytes(motet_message **ret, motet_bytes bytes);

/* Which of two items of the queue goes first, as its compare says: `a` and `b` are what lies in slots. */
int motet__queue_compare(const motet_queue *q, const void *a, const void *b);

/* 0: the message in the slot is no larger than *room; -EMSGSIZE: it is, and *room is its size now. */
int motet__message_fits(const void *slot, size_t *room);

/* Enlarges the buffer, which keeps what it holds, for a message of `room` bytes, more than it holds now. 0; -ENOMEM. */
int motet__message_make_room(motet_buffer *buffer, size_t room);

/* Replaces what the buffer holds; it is large enough. */
void motet__message_to_buffer(motet_message *m, motet_buffer *buffer);

#endif
