/* SPDX-License-Identifier: MIT */
/* The arena's allocator inside: its words and where they lie. States and invariants: arena.h. */
#ifndef MOTET_FAMILY_ARENA_INTERNAL_H
#define MOTET_FAMILY_ARENA_INTERNAL_H

#include "family/arena.h"

#include "base/panic.h"
#include "base/sys_shared.h"

/* ---- words ----------------------------------------------------------------------------------------- */

enum block_state { BLOCK_FREE, BLOCK_CACHED, BLOCK_USED, BLOCK_DYING };

/* state : 2, kind : 2, tag : 26, 0 : 2, sequence : 32. FREE has neither kind nor tag. */
static inline uint64_t block_word(enum block_state s, enum arena_kind kind, member_tag tag, uint32_t sequence)
{
    return (uint64_t)s | (uint64_t)kind << 2 | (uint64_t)tag << 4 | (uint64_t)sequence << 32;
}
static inline enum block_state block_state(uint64_t w) { return (enum block_state)(w & 3); }
static inline enum arena_kind block_kind(uint64_t w) { return (enum arena_kind)(w >> 2 & 3); }
static inline member_tag block_tag(uint64_t w) { return (member_tag)(w >> 4) & TAG_MASK; }
static inline uint32_t block_sequence(uint64_t w) { return (uint32_t)(w >> 32); }

enum span_state { SPAN_FREE, SPAN_SMALL, SPAN_RUN, SPAN_BODY };

/* state : 2, then of FREE and BODY: dirty : 1, words : 1 (the first page of block words is committed); of SMALL: class; of RUN: spans */
static inline uint32_t span_word(enum span_state s, uint32_t what) { return (uint32_t)s | what << 2; }
static inline enum span_state span_state(uint32_t w) { return (enum span_state)(w & 3); }
static inline uint32_t span_what(uint32_t w) { return w >> 2; }
enum { SPAN_DIRTY = 1, SPAN_WORDS = 2 };

/* ---- layout ---------------------------------------------------------------------------------------- */

#ifdef MOTET_SIM
enum {
    CLASSES = 3,
    WORDS_OF_SPAN = 8,
    CACHE_BYTES = 256,
    CACHE_MOST = 2,
    SHARDS = 1,
    GROUPS_STEP = 1,
    RETURN_LEAST = 2
};
#else
enum {
    CLASSES = 30,
    WORDS_OF_SPAN = ARENA_SPAN / CACHE_LINE,
    CACHE_BYTES = 16384, /* so much of a class is taken at once, */
    CACHE_MOST = 64,     /* or so many blocks; a cache has room for twice as many */
    SHARDS = 16,         /* of the cache of one process */
    GROUPS_STEP = 128,   /* groups committed at once: 64 KiB of them */
    RETURN_LEAST = 16,   /* runs of so many spans and more go back to the kernel */
};
#endif
enum { GROUP = 64 /* spans */, ARENA_PAGE_LEAST = 4096 };

/* As many as the identifier of a block (arena.c) can name. */
#define SPANS_MOST ((uint32_t)1 << 22)

/* GROUP spans, and for each class which of them may have free blocks. */
typedef struct group {
    uint32_t span[GROUP];
    uint64_t has_free[(CLASSES + 7) & ~7];
} group;

typedef struct arena_range {
    group *groups;
    uint64_t *words; /* WORDS_OF_SPAN for each span */
    char *data;
    uint32_t spans;              /* there are */
    CACHE_ALIGNED uint32_t top;  /* from here on all spans are FREE and never were anything else; only grows */
    uint32_t groups_ready;       /* committed. Under `runs` */
    uint32_t lowest_free;        /* a hint: below it no span is free. Lowered without the claim */
    CACHE_ALIGNED uint32_t runs; /* claim: of the words of spans */
    uint32_t reclaim_at;         /* when `top` comes here, spans without used blocks are looked for. Under `runs` */
} arena_range;

static inline arena_range *arena_here(void) { return motet__family->arena; }

static inline uint32_t *span_at(arena_range *a, uint32_t s) { return &a->groups[s / GROUP].span[s % GROUP]; }
static inline uint64_t *word_at(arena_range *a, uint32_t s, uint32_t i)
{
    return &a->words[(size_t)s * WORDS_OF_SPAN + i];
}
static inline char *span_memory(arena_range *a, uint32_t s) { return a->data + (size_t)s * ARENA_SPAN; }
static inline uint32_t spans_of(size_t size) { return (uint32_t)((size + ARENA_SPAN - 1) / ARENA_SPAN); }

extern const uint16_t motet__arena_sizes[CLASSES]; /* ascending */
static inline uint32_t class_size(uint32_t c) { return motet__arena_sizes[c]; }
static inline uint32_t class_blocks(uint32_t c) { return ARENA_SPAN / motet__arena_sizes[c]; }

/* A block: its word, its memory, and how many spans it has (0: it is small). */
typedef struct block {
    uint64_t *word;
    char *memory;
    uint32_t span, index, class, spans;
} block;

/* The block that begins at p, in use or not; false: none does. */
bool motet__arena_find(const void *p, block *ret);

/* ---- arena_span.c ---------------------------------------------------------------------------------- */

/* Up to `n` free blocks of the class, CACHED by the caller; their indices (span * WORDS_OF_SPAN + index). How many; 0: there is
 * no room, or no memory. */
uint32_t motet__arena_gather(uint32_t class, uint32_t n, uint32_t *ret);

/* Says that the span, which has got a free block, has one. After the word. */
void motet__arena_offer(arena_range *a, uint32_t span);

/* A large block, CACHED by the caller, with memory for `size` bytes, zeroed. False: no room, no memory. */
bool motet__arena_run_make(size_t size, block *ret);

/* Gives back a large block that is CACHED by the caller. */
void motet__arena_run_end(const block *b, uint64_t word);

/* Makes FREE what is SMALL with no block in use, and gives memory of free spans back to the kernel. False: not possible. */
bool motet__arena_reclaim(void);

/* ---- arena_count.c --------------------------------------------------------------------------------- */

/* Enters the first hold of a block that is about to be COUNTED, `sequence`. NULL: no free record. */
record *motet__arena_first_hold(const void *p, uint32_t sequence);

/* Frees the COUNTED block at p if it is (still) the one of that sequence, and no living member holds it. */
void motet__arena_decide(const void *p, uint32_t sequence);

/* In a forked child. */
void motet__arena_count_forked(void);

/* Frees a block whose word the caller has set to CACHED(caller). */
void motet__arena_let_go(const block *b, uint64_t word);

#endif
