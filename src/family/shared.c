/* SPDX-License-Identifier: MIT */
/* Memory that the processes of a family share: the arena's public face. */
#include "base/panic.h"
#include "family/arena.h"

#include <motet/ipc.h>

void *motet_shared_alloc(size_t size)
{
    if (unlikely(!atomic_load_acquire(&motet__family)) && (size == 0 || motet__family_open() < 0))
        return NULL;
    return motet__arena_alloc(size, ARENA_PLAIN);
}

void motet_shared_free(void *p)
{
    if (!p)
        return;
    const char *why = motet__arena_misuse(p, ARENA_PLAIN);
    if (unlikely(why != NULL))
        motet__misuse("motet_shared_free", why);
    motet__arena_free(p);
}

bool motet_shared_contains(const void *p) { return motet__family_contains(p); }
