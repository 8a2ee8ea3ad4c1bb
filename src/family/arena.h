/* SPDX-License-Identifier: MIT */
/* The arena's allocator. (Its first form: nothing is given back yet.) */
#ifndef MOTET_FAMILY_ARENA_H
#define MOTET_FAMILY_ARENA_H

#include "family/family.h"

#ifdef MOTET_SIM
enum { ARENA_SPAN = 1024 };
#else
enum { ARENA_SPAN = 65536 };
#endif

/* What a block is to those who die. */
enum arena_kind {
    ARENA_PLAIN,   /* the family's: it lives until it is freed, whoever allocated it died */
    ARENA_OWNED,   /* dies with its owner, the member that allocated it or was given it */
    ARENA_COUNTED, /* dies with the last living member that holds it; the allocating one holds it once */
};

/* Lays the allocator out in the range of `f`, whose first `head` bytes are taken. 0; -ENOMEM. */
int motet__arena_create(family *f, size_t head);

/* `size` zeroed bytes that begin on a cache line, and are as far as `size` goes shared with nothing. NULL: size is 0, or
 * there is no room, or no memory, or the caller is no member. */
void *motet__arena_alloc(size_t size, enum arena_kind kind);

/* Gives a PLAIN or OWNED block back, from whatever member. NULL is fine. Anything else but a block in use ends the program. */
void motet__arena_free(void *p);

/* An OWNED block goes over to the living member `to` (OWNED by it from now on): by its owner. 0; -ESRCH `to` is not alive. */
int motet__arena_give(void *p, member_tag to);

/* Who it belongs to (OWNED), or who allocated it. */
member_tag motet__arena_owner(const void *p);

/* One more hold of a COUNTED block by the calling process, which must know that somebody holds it while it calls. 0; -ENOMEM. */
int motet__arena_hold(void *p);
/* One hold of the calling process less; with the last one of all living members it is freed. */
void motet__arena_drop(void *p);

/* Gives back what belonged to a dead member: its cache, its OWNED blocks, runs it was making, its holds. Can be done again. */
void motet__arena_bury(member_tag dead);

#endif
