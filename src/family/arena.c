/* SPDX-License-Identifier: MIT */
/* The arena's allocator, in its first form: it never gives back. */
#include "family/arena.h"

#include "base/sys_shared.h"

typedef struct arena {
    uint64_t next;
} arena;

int motet__arena_create(family *f, size_t head)
{
    int e = sys_shared_commit(motet__family_fd(), head, sizeof(arena));
    if (e < 0)
        return e;
    arena *a = (arena *)(void *)((char *)f + head);
    a->next = (head + sizeof *a + CACHE_LINE - 1) & ~(uint64_t)(CACHE_LINE - 1);
    f->arena = a;
    return 0;
}

void *motet__arena_alloc(size_t size, enum arena_kind kind)
{
    arena *a = motet__family->arena;
    size = (size + CACHE_LINE - 1) & ~(size_t)(CACHE_LINE - 1);
    uint64_t at = atomic_add_relaxed(&a->next, size);
    if (!size || at + size > motet__family->size || sys_shared_commit(motet__family_fd(), at, size) < 0)
        return NULL;
    return (char *)motet__family + at;
}

void motet__arena_free(void *p) {}
int motet__arena_give(void *p, member_tag to) { return 0; }
member_tag motet__arena_owner(const void *p) { return 0; }
int motet__arena_hold(void *p) { return 0; }
void motet__arena_drop(void *p) {}
void motet__arena_bury(member_tag dead) {}
