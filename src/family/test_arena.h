/* SPDX-License-Identifier: MIT */
/* What the tests of the arena share: arenas of any size, and what must be true of them all. */
#ifndef MOTET_FAMILY_TEST_ARENA_H
#define MOTET_FAMILY_TEST_ARENA_H

#include "family/test_family.h"

#include <motet/ipc.h>

#include <stdlib.h>

static inline void small_arena(const char *size)
{
    CHECK_EQ(setenv("MOTET_ARENA_SIZE", size, 1), 0);
    CHECK_EQ(motet__family_open(), 0);
}

static inline void sound(void)
{
    const char *why = motet__arena_check();
    if (why)
        LOG("%s", why);
    CHECK_PTR(why, NULL);
}

/* Blocks of all kinds. */
static inline uint64_t in_use(void)
{
    arena_usage u;
    motet__arena_usage(&u);
    return u.blocks[0] + u.blocks[1] + u.blocks[2];
}

static inline bool is_zero(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i])
            return false;
    return true;
}

static inline uint64_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

#endif
