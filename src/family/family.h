/* SPDX-License-Identifier: MIT */
/* The family: the processes that share one arena, and what makes the death of any of them cost no more than it held.
 *
 * Any member may be killed at any instruction. Everything here and on it rests on four ideas.
 *
 * 1. *The claim names the owner.* Who takes something shared for himself alone does it by one compare-and-swap that writes
 *    his tag (place in the table of members, and that place's generation). Between two instructions nothing is owned by
 *    nobody. (claim.h)
 *
 * 2. *What one word can't name stands in the log.* Every member has a log of records in the arena: {object, what, how many}.
 *    Read shares of a rwlock, permits of a bounded semaphore, waits at a condition or barrier, holds of a counted block are
 *    records; they are the truth. Numbers in the object itself are derived from the records of *living* members, under the
 *    object's claim. So a dead member's records count no more from the moment that it is marked dead, without anybody
 *    having to touch the object: an object may be gone, and nothing that recovers follows an address to it.
 *
 * 3. *A death is news for everybody.* `deaths` counts them. Every sleep on a shared word also sleeps on `deaths`
 *    (futex_waitv), so a death ends all waits, and each waiter looks again: at the word, at whether the owner named there
 *    lives, at the numbers derived before. It mends what it finds. Hence a wake that a dying process took with it is never
 *    missed: the death is a wake for all. An object that keeps derived numbers keeps the value of `deaths` beside them: if
 *    that has changed, they are derived anew.
 *
 *    The order of looking: read `deaths` FIRST, then the words and the liveness of owners, then sleep on both values.
 *
 * 4. *Death is what the kernel says.* Only the watcher (process/, with a pidfd or as the parent) marks a member dead, and a
 *    test that has reaped it. A stopped process is not robbed.
 *
 * States of a member's place (`state`, one 64-bit word; `by` is the tag of who claimed it):
 *
 *     FREE(g) --claimed by a living member, g+1--> JOINING(g+1, by) --by the new process itself--> LIVE(g+1)
 *                                                       | its claimer died, or gave up                | proof of death
 *                                                       v                                             v
 *                                                    FREE(g+1) <------ all of it is recovered ----- DEAD(g+1)
 *
 * A process that joins by itself is no member when it claims its place: JOINING then has its pid instead of a tag, so that the
 * watcher can give the place back, should it be dead.
 *
 * A tag is alive while its place is LIVE with the tag's generation. Recovery of a dead member, bury(): mark DEAD; count the
 * death and wake everybody; give back the blocks that it owned, its cache, places it was claiming (JOINING by it); empty the
 * log; FREE. Each step can be done twice, and nothing but the state says how far it came, so a recoverer may die too and
 * the next begins again with every place that is DEAD. Behind the news recoverers exclude each other by a claim
 * (`recovering`), which nobody waits for: who has it looks again before it goes.
 *
 * A member that ends in good order is buried likewise: what it still held is as if it had died.
 *
 * Limits: 1023 members at a time; 65,535 generations of one place until they begin again (128 places or more are used in
 * turn, so that takes 8 million processes; a lock held by a dead one and not touched by anybody meanwhile could then be
 * mistaken); RECORDS_MAX records a member.
 *
 * Fork rule: a forked child inherits the mapping, not the membership: its self tag is 0 (motet__family_self). */
#ifndef MOTET_FAMILY_FAMILY_H
#define MOTET_FAMILY_FAMILY_H

#include "base/atomic.h"
#include "base/sys.h"

#include <motet/base.h>

/* ---- tags ------------------------------------------------------------------------------------------ */

/* Who: place : 10, generation : 16. 0 is nobody: generations begin with 1. The 6 bits above are free for whoever keeps a tag
 * in a word of his. */
typedef uint32_t member_tag;

enum { TAG_PLACE_BITS = 10, TAG_GENERATION_BITS = 16, TAG_BITS = TAG_PLACE_BITS + TAG_GENERATION_BITS };
#define TAG_MASK ((uint32_t)(1u << TAG_BITS) - 1)

#ifdef MOTET_SIM
enum { MEMBERS_MAX = 8, RECORDS_MAX = 16 };
#else
enum { MEMBERS_MAX = 1 << TAG_PLACE_BITS, RECORDS_MAX = 2048 };
#endif

static inline uint32_t tag_place(member_tag t) { return t & ((1u << TAG_PLACE_BITS) - 1); }
static inline uint32_t tag_generation(member_tag t) { return (t & TAG_MASK) >> TAG_PLACE_BITS; }
static inline member_tag tag_of(uint32_t place, uint32_t generation) { return place | generation << TAG_PLACE_BITS; }

/* ---- what lies in the arena ------------------------------------------------------------------------ */

enum member_state { MEMBER_FREE, MEMBER_JOINING, MEMBER_LIVE, MEMBER_DEAD };

/* state : 2, generation : 16, by : 26; or, of who was no member when he claimed it, 0 : 10, pid : 36 */
static inline uint64_t member_word(enum member_state s, uint32_t generation, member_tag by)
{
    return (uint64_t)s | (uint64_t)generation << 2 | (uint64_t)by << 18;
}
static inline enum member_state member_word_state(uint64_t w) { return (enum member_state)(w & 3); }
static inline uint32_t member_word_generation(uint64_t w) { return (uint32_t)(w >> 2) & 0xffff; }
static inline member_tag member_word_by(uint64_t w)
{
    member_tag by = (member_tag)(w >> 18) & TAG_MASK;
    return tag_place(by) ? by : 0;
}
static inline uint64_t member_word_of_pid(enum member_state s, uint32_t generation, int pid)
{
    return member_word(s, generation, 0) | (uint64_t)(uint32_t)pid << (18 + TAG_PLACE_BITS);
}
static inline int member_word_pid(uint64_t w) { return member_word_by(w) ? 0 : (int)(w >> (18 + TAG_PLACE_BITS)); }

/* One entry of a member's log. A free one (object 0) is taken by compare-and-swap, by a thread of that member; from then on
 * it is guarded by the claim of the object that it names, whoever holds that: others may write it too (a permit taken in one
 * process and given back in another, a notify). `word` alone is also written and slept on without it.
 *
 * Who writes in the log of another member does it by a compare-and-swap of `state`, so that a record that was given away
 * meanwhile (its member died, was buried, its place and it were taken anew) is not hit: the owner differs. Who looks through
 * the logs of others reads with atomic loads, and once more if `deaths` has changed meanwhile: burying empties logs without
 * anybody's claim. A stray change of `word` is a needless look, no more. */
typedef struct record {
    uint64_t object; /* address; 0: free */
    uint32_t what;   /* RECORD_...: which kind of truth about the object */
    uint32_t word;   /* what a wait sleeps on */
    union {
        struct {
            uint32_t count; /* of shares, permits ...; or the state of a wait */
            uint32_t owner; /* tag of the member whose log this is; written by motet__record_take, with count 0 */
        };
        uint64_t state; /* both */
    };
    int64_t since; /* when a wait began: oldest first */
} record;

/* RECORD_WAIT: a thread waits for the object, whatever that is. */
enum { RECORD_READ = 1, RECORD_PERMIT, RECORD_BARRIER, RECORD_CONDITION, RECORD_BLOCK, RECORD_WAIT };

typedef struct member {
    CACHE_ALIGNED uint64_t state; /* member_word */
    int32_t pid;                  /* written by the member itself before LIVE */
    uint32_t records_used;        /* no record at or above this index was ever taken in this generation; only grows */
    uint64_t started;             /* the kernel's start time of pid, in clock ticks: tells it from a later process */
    member_tag parent;            /* who asked for it */
    CACHE_ALIGNED record records[RECORDS_MAX];
} member;

/* The beginning of the arena. What the allocator keeps for itself follows in its own struct (arena.h). */
typedef struct family {
    uint64_t magic;
    uint64_t size;                     /* of the whole range, bytes */
    CACHE_ALIGNED uint32_t deaths;     /* how many members were buried or marked so far; slept on by everybody */
    CACHE_ALIGNED uint32_t recovering; /* claim: who recovers */
    uint32_t places_used;              /* no place at or above this index was ever claimed; only grows */
    uint32_t place_next;               /* hint: where to look for a free place next, so that they are used in turn */
    uint32_t places_max;               /* so many places `members` has: MEMBERS_MAX, or fewer in a small arena */
    member_tag root;                   /* who opened the arena */
    member *members;                   /* places_max of them; place 0 is never used */
    void *arena;                       /* the allocator's */
} family;

/* NULL in a process that has none yet. The same address in every member. */
extern family *motet__family;

/* ---- opening, members (family.c, member.c) --------------------------------------------------------- */

/* Opens the arena if the process has none, with the caller as root and first member. Any thread; once. 0; -ENOMEM: no
 * address space or memory for it; -EMFILE, -ENFILE; -EPERM in the child of a raw fork. */
int motet__family_open(void);

/* So many places at most, and place 0, does an arena have that is opened from now on: tests want it small. */
extern uint32_t motet__family_places_most;

/* The arena's descriptor in this process, close-on-exec; -1: there is none. */
int motet__family_fd(void);

/* Gives the place memory, all of it, before anything of it is touched: else that could end in SIGBUS. 0; -ENOMEM. */
int motet__member_commit(uint32_t place);

/* For a program that was executed anew: its family is that whose arena is `fd`, which lies at `at` in every process of it.
 * The caller is no member yet. 0; -EEXIST: something else lies there; -ENOMEM; -EINVAL: it is no arena. */
int motet__family_attach(int fd, void *at, uint64_t size);

/* In the child of a fork: it has nothing to do with the family any more, and may open its own. */
void motet__family_forget(void);

/* The calling process's tag; 0: it is no member. In the sim every virtual thread is a process of its own. */
static inline member_tag motet__family_self(void);

/* As above for whoever is about to use a shared object: a forked child that is no member yet joins by itself, if a watcher
 * can be had (motet__family_joiner, set by process/). The tag, or -EPERM. */
int64_t motet__family_enter(void);
extern int (*motet__family_joiner)(void);

/* Claims a place: JOINING by the caller, who need not be a member. The tag that the new member will have; -EAGAIN: all places
 * are taken; -ENOMEM. */
int64_t motet__member_claim(void);

/* Makes the calling process the member that `tag` was claimed for: writes pid and start time, LIVE. -ESRCH: who claimed it has
 * died meanwhile and the place was given back; the caller must end. */
int motet__member_become(member_tag tag);

/* The same for a child of guard or zygote, which don't need the start time to know it, and write it when another may. */
int motet__member_become_child(member_tag tag);

/* Gives a claimed place back that nobody became. */
void motet__member_unclaim(member_tag tag);

/* The same for all that were claimed by processes which were no members, and of which gone() says that they are dead. */
void motet__member_unclaim_gone(bool (*gone)(int pid));

bool motet__member_alive(member_tag tag);

/* Marks the member dead and recovers all that it had; the caller has proof from the kernel that it is. Also finishes what
 * other recoverers have begun. Any member; more than one at a time; for one that was buried already it does nothing. Waits for
 * nobody: while another recovers, that one does the rest, and may be at it still when this returns. */
void motet__member_bury(member_tag dead);

/* Calls each(m, tag, arg) for every living member, in the order of places, until it returns false. */
void motet__members_each(bool (*each)(member *m, member_tag tag, void *arg), void *arg);

/* ---- records (member.c) ---------------------------------------------------------------------------- */

/* Takes a free record of the caller's own log for (object, what), count 0. The caller holds the object's claim. NULL: all are
 * taken. */
record *motet__record_take(const void *object, uint32_t what);

/* Frees it. Under the object's claim. */
void motet__record_drop(record *r);

/* The first record of (object, what) in the log of `m`, at or after `from` (NULL: the first of all); NULL: none. Under the
 * object's claim. To go on: from = r + 1. */
record *motet__record_find(member *m, const void *object, uint32_t what, record *from);

/* The sum of `count` over living members. Under the object's claim. */
uint64_t motet__records_sum(const void *object, uint32_t what);

/* ---- waiting (wait.c) ------------------------------------------------------------------------------ */

static inline uint32_t motet__family_deaths(void) { return atomic_load_seq_cst(&motet__family->deaths); }

enum {
    FAMILY_NO_CANCEL = 1,
    FAMILY_NO_SPIN = 2,
    FAMILY_ONE_WAKE = 4, /* a wake goes to one waiter alone: look again now and then, should that one be stopped */
};

/* Waits while *word is `expected` and no member has died since `deaths` was read. The word lies in the arena. 0: look again
 * (a hint); -ETIMEDOUT; -ECANCELED (not with FAMILY_NO_CANCEL); -EINTR, an interruptible thread; -EPERM, no member. Spins
 * first as park does. */
int motet__family_wait(const uint32_t *word, uint32_t expected, uint32_t deaths, motet_time deadline, unsigned flags);

/* Watches the word for a moment, as such a wait does at first: before the caller announces that it is going to sleep. True:
 * the word or `deaths` has changed. */
bool motet__family_spin(const uint32_t *word, uint32_t expected, uint32_t deaths, motet_time deadline);

/* Wakes up to n that sleep on the word, in every process, those that sleep longest first; how many. */
int motet__family_wake(const uint32_t *word, int n);

/* ---- addresses ------------------------------------------------------------------------------------- */

static inline bool motet__family_contains(const void *p)
{
    return motet__family && (uintptr_t)p - (uintptr_t)motet__family < motet__family->size;
}

/* The process's own, not shared: 0 again in a forked child. */
#ifdef MOTET_SIM
extern _Thread_local member_tag motet__family_tag;
#else
extern member_tag motet__family_tag;
#endif

static inline member_tag motet__family_self(void) { return atomic_load_relaxed(&motet__family_tag); }

#endif
