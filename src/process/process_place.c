/* SPDX-License-Identifier: MIT */
/* Code and data that a process may be told of: what lies where in the program, here and in the zygote.
 *
 * The list is made once, when the zygote starts (in an executed process: when it begins), and is inherited by copies. What
 * was loaded later is not in it, and unknown to the zygote. A process that was executed has the same objects at other
 * addresses; an object is known by its name and its segments' sizes. */
#include "process/process.h"

#ifndef MOTET_SIM

#include <string.h>

static segment own[SEGMENTS_MAX];
static uint32_t own_count;

/* FNV-1a, of 64 bits. */
static uint64_t hash_of(const char *text)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * 0x100000001b3u;
    return h;
}

static int add(const sys_segment *s, void *arg)
{
    if (own_count == SEGMENTS_MAX)
        return 1;
    own[own_count++] = (segment){.object = hash_of(s->object),
                                 .base = s->base,
                                 .begin = s->begin,
                                 .end = s->end,
                                 .code = s->code,
                                 .writable = s->writable};
    return 0;
}

int motet__segments_list(void)
{
    own_count = 0;
    sys_segments(add, NULL);
    return (int)own_count;
}

void motet__segments_write(control *c)
{
    memcpy(c->segments, own, own_count * sizeof *own);
    c->segments_count = own_count;
}

static const segment *segment_at(uintptr_t at)
{
    for (uint32_t i = 0; i < own_count; i++)
        if (own[i].begin <= at && at < own[i].end)
            return &own[i];
    return NULL;
}

static bool is_same(const segment *a, const segment *b)
{
    return a->object == b->object && a->begin - a->base == b->begin - b->base && a->end - a->base == b->end - b->base &&
           a->code == b->code && a->writable == b->writable;
}

static int portable_in(const control *c, const segment *s, uintptr_t at, portable *ret)
{
    for (uint32_t i = 0; i < c->segments_count; i++) {
        if (!is_same(s, &c->segments[i]))
            continue;
        *ret = (portable){.segment = i + 1, .value = at - s->base};
        return 0;
    }
    return -EFAULT;
}

int motet__portable_code(const control *c, motet_fn *fn, portable *ret)
{
    const segment *s = segment_at((uintptr_t)fn);
    return s && s->code ? portable_in(c, s, (uintptr_t)fn, ret) : -EFAULT;
}

int motet__portable_arg(const control *c, void *arg, portable *ret)
{
    const segment *s = segment_at((uintptr_t)arg);
    if (s)
        return s->writable ? -EFAULT : portable_in(c, s, (uintptr_t)arg, ret);
    if (arg && !motet__family_contains(arg) && sys_is_mapped((uintptr_t)arg))
        return -EFAULT;
    *ret = (portable){.value = (uintptr_t)arg};
    return 0;
}

int motet__portable_resolve(const control *c, portable p, bool as_zygote, uintptr_t *ret)
{
    if (!p.segment) {
        *ret = (uintptr_t)p.value;
        return 0;
    }
    if (p.segment > c->segments_count)
        return -EFAULT;
    const segment *there = &c->segments[p.segment - 1];
    if (as_zygote) {
        *ret = there->base + (uintptr_t)p.value;
        return 0;
    }
    for (uint32_t i = 0; i < own_count; i++) {
        if (is_same(there, &own[i])) {
            *ret = own[i].base + (uintptr_t)p.value;
            return 0;
        }
    }
    return -EFAULT;
}

#endif
