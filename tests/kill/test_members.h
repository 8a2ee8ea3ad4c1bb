/* SPDX-License-Identifier: MIT */
/* A family under the kill points. The test's process plays all its members but the one that dies: it does things as whoever it
 * says that it is. */
#ifndef MOTET_TESTS_KILL_TEST_MEMBERS_H
#define MOTET_TESTS_KILL_TEST_MEMBERS_H

#include "kill/test_kill.h"

#include "family/arena.h"
#include "family/family.h"

#include <stdlib.h>

static member_tag root, child, burier, other;

static inline member_tag new_member(void)
{
    int64_t tag = motet__member_claim();
    CHECK_GT(tag, 0);
    CHECK_EQ(motet__member_become((member_tag)tag), 0);
    motet__family_tag = root;
    return (member_tag)tag;
}

/* In a small arena, without a place to spare. */
static inline void members_begin(void)
{
    kill_begin();
    CHECK_EQ(setenv("MOTET_ARENA_SIZE", "768K", 1), 0);
    motet__family_places_most = 5;
    CHECK_EQ(motet__family_open(), 0);
    root = motet__family_tag;
    child = new_member();
    burier = new_member();
    other = new_member();
}

/* The family's head and its members, with so many records of each log. How many parts. */
static inline unsigned members_parts(kill_part *parts, unsigned records)
{
    family *f = motet__family;
    unsigned n = 0;
    parts[n++] = (kill_part){f, sizeof *f};
    for (uint32_t i = 1; i < f->places_used; i++)
        parts[n++] = (kill_part){&f->members[i], offsetof(member, records) + records * sizeof(record)};
    return n;
}

/* A mistake: nobody buries the dead. */
static inline void forgets(void *arg) {}

#endif
