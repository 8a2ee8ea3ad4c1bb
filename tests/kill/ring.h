/* SPDX-License-Identifier: MIT */
/* A small ring in shared memory that outlives its users: the first patient of the kill points.
 *
 * Any member (a process, by its slot in the member table and that slot's generation) puts and gets items without ever
 * waiting for another. When one is dead - and only the kernel says who is: waitpid, a pidfd - any other marks what it had
 * and goes on. The ring lies anywhere: it holds no pointers.
 *
 * Positions number the puts: 0, 1, 2 ... Position p lives in slot p % capacity, on lap p / capacity. All truth about a slot
 * is in its word, and whoever claims it names himself in the same compare-and-swap:
 *
 *     word = state : 3, member : 5, generation : 16, losses : 8, lap : 32
 *
 *     FREE     nobody's; waits for position lap * capacity + slot
 *     WRITING  claimed for that position by the member named, who copies the item in
 *     FULL     nobody's; the item is there
 *     READING  claimed by the member named, who copies the item out
 *     DEAD     nobody's; who wrote it died. No item; passed over in its turn
 *
 *     FREE(lap) --put--> WRITING --its writer--> FULL --get--> READING --its reader--> FREE(lap + 1)
 *                           |                                     |
 *                       recovery                              recovery (losses + 1)
 *                           v                                     v
 *                         DEAD --whoever comes to it--------> FREE(lap + 1)
 *
 * `losses` counts the items of this slot that died with their reader. It changes in the same compare-and-swap that frees
 * the slot, so that no death, the recoverer's neither, makes the sum wrong. It stops at 255.
 *
 * Let T be the number of positions that were claimed for writing, H that were claimed for reading or passed over. Neither
 * is stored; the words say it. The invariants, at every instruction of everybody:
 *
 *     I1  positions are claimed in order: the words are those of exactly the positions before T
 *     I2  positions are taken in order: likewise H;  H <= T <= H + capacity
 *     I3  head <= H, tail <= T: hints of where to begin looking, never beyond
 *     I4  a FULL slot's item is whole
 *     I5  WRITING and READING name a member that is there, of its present generation; no other state names anyone
 *
 * and after a recovery: I6  no slot names the dead member, and its place in the table is free for another generation.
 *
 * Why a put keeps I1: it goes forward from the hint over claimed positions only, and the compare-and-swap on the word
 * (which holds the lap) fails if the position it wants was claimed meanwhile. Why it may say "full": position T is the
 * first unclaimed one, and its slot still holds the item of position T - capacity, so H = T - capacity at that moment.
 *
 * Order costs this: when the oldest item is only half written, or the slot that is needed half read, the answer is -EBUSY,
 * and stays that until its owner goes on or is dead. A stopped process is not robbed.
 *
 * Limits: a process that sleeps in the middle of a call for 2^32 laps may mistake the lap. 65535 generations of one place
 * in the table, then they begin again; by then nothing names the old ones (I6). Fork rule: a fork is a new process and
 * needs a membership of its own. */
#ifndef MOTET_TESTS_KILL_RING_H
#define MOTET_TESTS_KILL_RING_H

#include "base/atomic.h"
#include "base/sys.h"

#include <stdbool.h>
#include <stdint.h>

enum { RING_SLOTS_MAX = 64, RING_MEMBERS_MAX = 16, RING_ITEM_WORDS = 4 };

/* words[0] is the caller's; the others follow from it, so that a torn item shows. */
typedef struct ring_item {
    uint64_t words[RING_ITEM_WORDS];
} ring_item;

typedef struct ring_slot {
    uint64_t word;
    ring_item item; /* guarded by the word: the owner's in WRITING and READING, constant in FULL */
} CACHE_ALIGNED ring_slot;

typedef struct ring {
    uint32_t shift;                                   /* capacity is 1 << shift; constant */
    CACHE_ALIGNED uint64_t head;                      /* hint */
    CACHE_ALIGNED uint64_t tail;                      /* hint */
    CACHE_ALIGNED uint32_t members[RING_MEMBERS_MAX]; /* state : 2, generation : 16 */
    ring_slot slots[RING_SLOTS_MAX];
} ring;

/* Who one is: a place in the member table, of a generation (never 0). */
typedef struct ring_self {
    uint32_t member, generation;
} ring_self;

enum ring_state { RING_FREE, RING_WRITING, RING_FULL, RING_READING, RING_DEAD };
enum ring_member_state { MEMBER_FREE, MEMBER_LIVE, MEMBER_DEAD };

/* capacity: a power of two, at most RING_SLOTS_MAX. Nobody may be using it. */
void ring_init(ring *r, unsigned capacity);

/* Takes a free place in the table. 0; -EAGAIN: none is free. */
int ring_join(ring *r, ring_self *ret);

/* Gives it back: the caller is in no other call. */
void ring_leave(ring *r, ring_self self);

/* Puts the item at the end, at *ret_position (may be NULL). 0; -EAGAIN full; -EBUSY somebody is still at the slot that is
 * needed. Never waits. */
int ring_put(ring *r, ring_self self, const ring_item *item, uint64_t *ret_position);

/* Gets the oldest item. 0; -EAGAIN empty; -EBUSY somebody is still writing it. Never waits. */
int ring_get(ring *r, ring_self self, ring_item *ret, uint64_t *ret_position);

/* Marks what a dead member had, and frees its place. Any member or the watcher; more than one at a time; again after a
 * recoverer's own death; for a member that was recovered already it does nothing. */
void ring_recover(ring *r, ring_self dead);

/* How many items have died with their readers. */
unsigned ring_losses(const ring *r);

/* NULL when I1 to I5 hold, or what is wrong. Nobody may be running (they may stand anywhere). */
const char *ring_check(const ring *r);

/* How many positions are claimed and not taken: T - H. As ring_check. */
unsigned ring_count(const ring *r);

ring_item ring_item_of(uint64_t number);
bool ring_item_whole(const ring_item *item);

/* Called, if set, wherever something is half done: a slot claimed, a dead one's things half marked. A storm has it last. */
extern void (*ring_linger)(void);

/* ---- the word, for ring.c and for those who do it wrong ------------------------------------------------ */

static const ring_self ring_nobody = {0, 0};

static inline enum ring_state word_state(uint64_t w) { return (enum ring_state)(w & 7); }
static inline uint32_t word_lap(uint64_t w) { return (uint32_t)(w >> 32); }
static inline uint32_t word_losses(uint64_t w) { return (uint32_t)(w >> 24) & 0xff; }
static inline ring_self word_owner(uint64_t w)
{
    return (ring_self){(uint32_t)(w >> 3) & 0x1f, (uint32_t)(w >> 8) & 0xffff};
}
static inline uint64_t word_of(enum ring_state state, ring_self owner, uint32_t losses, uint32_t lap)
{
    return (uint64_t)state | (uint64_t)owner.member << 3 | (uint64_t)owner.generation << 8 | (uint64_t)losses << 24 |
           (uint64_t)lap << 32;
}

static inline uint32_t member_of(enum ring_member_state state, uint32_t generation)
{
    return (uint32_t)state | generation << 2;
}

/* Moves a hint from p to p + 1; if it isn't at p somebody else has moved it, or will. Relaxed: a hint orders nothing. */
static inline void ring_advance(uint64_t *hint, uint64_t p) { (void)atomic_cas_relaxed(hint, &p, p + 1); }

#endif
