/* SPDX-License-Identifier: MIT */
/* The arena's allocator: blocks that every member of the family may use, and that nobody's death takes from the others.
 *
 * A block is a word and its memory. The word is the truth, and lies apart from the memory, so that nothing written past a
 * block's end reaches it:
 *
 *     {state, kind, tag, sequence}
 *
 *                   refill                      alloc
 *     FREE ------------------------> CACHED(me) ------> USED(kind, who allocated it or owns it)
 *      ^                              |    ^             |                                 |
 *      |        cache full            |    |    free     |                                 | last hold gone (COUNTED)
 *      +------------------------------+    +-------------+                                 v
 *      +----------------------------------------------------------------------------- DYING(who decides)
 *
 * Each arrow is one atomic step on the word, and none leaves a state in which a block is taken and nobody named. The sequence
 * grows when a block ends to be used: what was meant for one that lay here before is told from this one.
 *
 * What a death leaves, and what bury() makes of it, each by one compare-and-swap on exactly what it saw:
 *     CACHED(dead)          a block in its cache, on the way there, or not yet given out     -> FREE
 *     USED(PLAIN, dead)     the family's: somebody else may hold the pointer                 -> stays
 *     USED(OWNED, dead)     nobody's any more                                                -> FREE
 *     USED(COUNTED), a hold in the dead one's log   -> FREE unless a living member holds it too
 *     DYING(dead)           it was about to find out whether somebody holds it               -> whoever buries finds out
 *
 * Memory is cut in spans of 64 KiB. A span's word says what it is; span words change only under the claim `runs` (but that
 * a run's owner notes in those of its BODYs whether they are dirty):
 *
 *     FREE                  nothing; `dirty`: it may hold memory with something in it
 *     SMALL(class)          blocks of one size, as many as fit, each with a word
 *     RUN(n)                the first of n spans that are one large block, whose word is the span's first. While that is
 *                           FREE these are n free spans.
 *     BODY                  behind a RUN
 *
 *     FREE --carve--> SMALL --retire--> FREE      all of its blocks are taken by the retirer first, so that none is in use
 *     FREE --take the first word, then write RUN, then BODY--> RUN --write FREE behind it, then RUN's word--> FREE
 *
 * Who goes through the spans under the claim goes by what their words say, and over what lies behind a RUN whatever is
 * written there.
 *
 * So a large block is made and given back by its block word as a small one is, and a death in between leaves what is in
 * the table above; of a run it is CACHED(dead): the run is wiped and then FREE. Who has died while he held the claim has
 * left whole words, each of which says what is so by itself. A retirer that dies may leave CACHED(dead) words in a span
 * that is no longer SMALL: they stand for nothing; who makes the span something else takes them over.
 *
 * Who caches a word looks at the span's word afterwards: if it is still SMALL(class), it can't change any more while the word
 * is cached, since a retirer would need it; if not, the word is given back, and was never taken for a block.
 *
 * Which spans of a class have free blocks is said by a bitmap of hints. Who frees sets the bit after the word, who takes
 * clears it before it looks at the words and sets it again unless it found no more: so a free block has its bit, or somebody
 * is at it; a death in between is mended by bury(), which sets the bits anew.
 *
 * COUNTED: the holds are RECORD_BLOCK records in the logs of members: `count` of them, `since` the block's sequence. The
 * first is there before the block is USED. Who has dropped his last hold sets the word DYING(me), then looks through the
 * logs; whoever does so later takes the word over. Who takes a hold writes his record first and looks at the word then:
 * where it is DYING he sets it back to USED, and the decider's last step fails; or he comes too late and is told so. Who
 * drops keeps his record until he has decided: should he die, who buries him finds the block by it.
 *
 * Memory is committed (sys_shared.h) before it is touched: whole spans for small blocks, pages for large ones. Large blocks
 * go back to the kernel when they are freed, other free spans when memory is short.
 *
 * Each process caches blocks in some private shards, so that its threads seldom meet. Fork rule: what a shard holds is CACHED by
 * the tag that filled it; in a process of another tag it is void. */
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
    ARENA_COUNTED, /* dies with the last living member that holds it; the one that allocates it holds it once */
};

/* Lays the allocator out in the range of `f`, whose first `head` bytes are taken. 0; -ENOMEM. */
int motet__arena_create(family *f, size_t head);

/* `size` zeroed bytes that begin on a cache line and share none. NULL: size is 0; there is no room, or no memory; for
 * ARENA_COUNTED also no free record; the caller is no member and can't become one. */
void *motet__arena_alloc(size_t size, enum arena_kind kind);

/* Gives a PLAIN or OWNED block back, from whatever member. NULL is fine. Anything else but a block in use ends the program. */
void motet__arena_free(void *p);

/* The same for blocks of one of the kinds (a bit each); a message about misuse names `function`. */
void motet__arena_free_of(void *p, unsigned kinds, const char *function);

/* Hands an OWNED block of the caller's over to the member `to`. 0; -ESRCH: `to` is not alive, and the block is gone as if it
 * had died with it. */
int motet__arena_give(void *p, member_tag to);

/* Who an OWNED block belongs to, or who allocated it; 0: it is no block in use. */
member_tag motet__arena_owner(const void *p);

/* One more hold of a COUNTED block by the calling process, which knows that somebody holds it. 0; -ENOMEM no free record;
 * -ESRCH: whoever held it has died, and it is gone (or is another: `sequence` as motet__arena_sequence said). */
int motet__arena_hold(void *p, uint32_t sequence);
uint32_t motet__arena_sequence(const void *p);

/* One hold of the calling process less; with the last one of all living members it is freed. */
void motet__arena_drop(void *p);

/* Gives back what belonged to a member that is marked dead, but for its log, which is needed until this returns. Never waits
 * for another member. Can be done again; not by two at a time for the same member. */
void motet__arena_bury(member_tag dead);

/* Looks at everything. NULL, or what is wrong. While others allocate it may see what is none. */
const char *motet__arena_check(void);

typedef struct arena_usage {
    uint64_t spans, spans_free, spans_small; /* up to the highest that was ever used; the rest belongs to runs */
    uint64_t blocks[3], bytes[3];            /* in use, by kind; bytes as they were rounded up */
    uint64_t cached, cached_bytes;           /* taken by some member for its cache, or on their way */
} arena_usage;
void motet__arena_usage(arena_usage *ret);

/* Gives back what the calling process has cached. */
void motet__arena_flush(void);

/* In a forked child, while it has one thread: no guard of the parent's threads is held here. */
void motet__arena_forked(void);

#endif
