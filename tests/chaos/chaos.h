/* SPDX-License-Identifier: MIT */
/* Chaos: a family of processes works on everything that can be shared while its members, its zygote and its guard are
 * killed and stopped at random; at the end the books must balance.
 *
 * What the workers do (work.c) is such that each kind of operation can be audited after any death: a death costs at most
 * the one operation that the dead one was in. Who is killed, and when, is decided in chaos.c; roots.c kills whole families
 * by their root. */
#ifndef MOTET_TESTS_CHAOS_CHAOS_H
#define MOTET_TESTS_CHAOS_CHAOS_H

#include <motet/motet.h>

#include <stdint.h>

enum {
    WORKERS_MAX = 8,
    PURSES = 16, /* of the transfers */
    PURSE_AT_FIRST = 100,
    PERMITS = 2,
    STALLS = 8, /* of the exchange of blocks */
    BUFFER = 4, /* of the condition's buffer */
};

/* What a worker does at the moment; at its death it stays. */
enum deed { IDLE, TRANSFER, PERMIT, READ, WRITE, BLOCK, PRODUCE, CONSUME, MEET, DEEDS };
extern const char *const deed_names[DEEDS];

/* One worker's own page of the books. A replacement takes over the seat and finds it as the dead one left it. */
typedef struct seat {
    _Alignas(64) uint32_t deed;
    uint32_t holding;     /* it is between an acquire and its release */
    uint64_t done[DEEDS]; /* operations that came to their end */
    uint64_t recovered;   /* MOTET_RECOVERED that it was told */
    uint64_t blocks;      /* allocated by whoever sat here, less those freed here */
} seat;

typedef struct sea {
    uint32_t over;  /* the workers are to come to an end */
    uint32_t wrong; /* a worker has found something wrong, and said it */
    seat seats[WORKERS_MAX];

    motet_lock lock; /* of the transfers */
    int64_t purses[PURSES];
    struct {
        uint32_t open, from, to;
        int64_t from_was, to_was;
    } journal; /* undone by whoever is told MOTET_RECOVERED */

    motet_semaphore permits; /* bounded */

    motet_rwlock rwlock;
    uint64_t page[16]; /* all the same, unless a writer died */

    uint64_t stalls[STALLS]; /* addresses of blocks, or 0 */

    motet_rlock buffer_lock;
    motet_condition not_empty, not_full;
    uint64_t buffer[BUFFER], produced, consumed; /* numbers; slot = number % BUFFER */

    motet_barrier barrier;
} sea;

typedef struct post {
    sea *sea;
    uint32_t seat, seed;
} post;

/* The body of a worker: arg is a copy of a post. */
int worker(void *arg);

void sea_init(sea *s);

/* After all have ended: what is wrong with the books, each said on stderr; how many wrongs. `kills`: how many workers died. */
int sea_audit(sea *s, unsigned kills);

/* The root of a family that works until it is killed. */
_Noreturn void family_root(uint32_t seed);

/* Kills `rounds` families by their root at random moments, and sees all their processes gone. 0, or how many went wrong. */
int kill_roots(unsigned rounds, uint32_t seed, int show);

uint32_t dice(uint32_t *seed, uint32_t n);

#endif
