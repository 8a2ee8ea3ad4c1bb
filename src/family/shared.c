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
    if (p && unlikely(!atomic_load_acquire(&motet__family)))
        motet__misuse("motet_shared_free", "there is no shared memory yet");
    motet__arena_free_of(p, 1u << ARENA_PLAIN, "motet_shared_free");
}

bool motet_shared_contains(const void *p) { return motet__family_contains(p); }
