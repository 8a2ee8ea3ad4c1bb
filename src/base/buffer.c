/* SPDX-License-Identifier: MIT */
/* Growable bytes. Invariant: data has room for capacity + 1 bytes and data[size] is 0; before the first growth it is the
 * one static zero byte, which nobody writes. */
#include "base/buffer.h"

#include "base/sys.h"

#include <string.h>

struct motet_buffer {
    char *data;
    size_t size, capacity; /* bytes; capacity 0: `data` is `nothing` */
};

static char nothing[1];

motet_buffer *motet_buffer_new(void)
{
    motet_buffer *b = sys_alloc_zero(1, sizeof *b);
    if (b)
        b->data = nothing;
    return b;
}

motet_buffer *motet_buffer_free(motet_buffer *b)
{
    if (b && b->capacity)
        sys_free(b->data);
    sys_free(b);
    return NULL;
}

int motet_buffer_reserve(motet_buffer *b, size_t size)
{
    if (!b)
        return -EINVAL;
    if (size <= b->capacity - b->size)
        return 0;
    size_t need;
    if (__builtin_add_overflow(b->size, size, &need) || need >= (size_t)PTRDIFF_MAX)
        return -ENOMEM;
    size_t grown = b->capacity + b->capacity / 2;
    size_t capacity = need > grown ? need : grown;
    if (capacity < 63)
        capacity = 63;
    char *data = sys_realloc(b->capacity ? b->data : NULL, capacity + 1);
    if (!data)
        return -ENOMEM;
    if (!b->capacity)
        data[0] = 0;
    b->data = data;
    b->capacity = capacity;
    return 0;
}

int motet_buffer_append(motet_buffer *b, const void *data, size_t size)
{
    if (!b || (!data && size))
        return -EINVAL;
    if (!size)
        return 0;
    /* Bytes of the buffer itself move with it when it grows. */
    uintptr_t from = (uintptr_t)data, own = (uintptr_t)b->data;
    bool inside = from >= own && from < own + b->size;
    size_t offset = from - own;
    int r = motet_buffer_reserve(b, size);
    if (r < 0)
        return r;
    memmove(b->data + b->size, inside ? b->data + offset : data, size);
    b->size += size;
    b->data[b->size] = 0;
    return 0;
}

void *motet_buffer_data(motet_buffer *b) { return b ? b->data : NULL; }

size_t motet_buffer_size(const motet_buffer *b) { return b ? b->size : 0; }

void motet_buffer_clear(motet_buffer *b)
{
    if (!b)
        return;
    b->size = 0;
    if (b->capacity)
        b->data[0] = 0;
}

void *motet__buffer_room(motet_buffer *b, size_t size)
{
    return motet_buffer_reserve(b, size) < 0 ? NULL : b->data + b->size;
}

void motet__buffer_added(motet_buffer *b, size_t size)
{
    if (!size)
        return;
    b->size += size;
    b->data[b->size] = 0;
}

int motet__buffer_move(motet_buffer *to, motet_buffer *from)
{
    if (to->size) {
        int r = motet_buffer_append(to, from->data, from->size);
        if (r == 0)
            motet_buffer_clear(from);
        return r;
    }
    motet_buffer was = *to;
    *to = *from;
    *from = was;
    return 0;
}
