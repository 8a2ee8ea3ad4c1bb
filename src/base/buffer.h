/* SPDX-License-Identifier: MIT */
/* What the library itself may do with a motet_buffer beyond the public calls: read straight into it, and hand its bytes
 * over without a copy. */
#ifndef MOTET_BASE_BUFFER_H
#define MOTET_BASE_BUFFER_H

#include <motet/base.h>

/* Room for `size` bytes behind those that `b` holds, or NULL when there is no memory. Valid until the buffer is next
 * changed; what is written there counts once it is added. */
void *motet__buffer_room(motet_buffer *b, size_t size);

/* The first `size` bytes of the room, filled by the caller, now belong to the buffer. */
void motet__buffer_added(motet_buffer *b, size_t size);

/* Adds all of `from` to the end of `to` and empties `from`; without a copy when `to` is empty. 0; -ENOMEM, both as they
 * were. */
int motet__buffer_move(motet_buffer *to, motet_buffer *from);

#endif
