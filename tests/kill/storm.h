/* SPDX-License-Identifier: MIT */
/* A storm: processes that work on shared memory while they are killed, stopped and let go on, at random.
 *
 * The caller is the watcher: it starts the workers, sends the signals, and is told of a death by waitpid and nothing else.
 * It then publishes the death; what follows from it is up to the survivors, who may die of it themselves. For each worker
 * killed another is started.
 *
 * Moments are chosen by how far the work has got, not by a clock: the next event comes when the workers have together done
 * a random number of things more - or when the watcher has looked a bounded number of times and they have not, as when those
 * that run wait for one that is stopped. So no verdict hangs on how fast the machine is. */
#ifndef MOTET_TESTS_KILL_STORM_H
#define MOTET_TESTS_KILL_STORM_H

#include <stdbool.h>
#include <stdint.h>

enum { STORM_WORKERS_MAX = 8, STORM_SERIALS_MAX = 512 };

/* What the watcher tells the workers, and they it. In shared memory. */
typedef struct storm_board {
    uint32_t over;                    /* the workers are to come to an end */
    uint32_t deaths;                  /* how many of `dead` are valid; release, after them */
    uint32_t dead[STORM_SERIALS_MAX]; /* serials of the killed, in order */
    uint64_t done;                    /* things done by the workers: they add */
} storm_board;

typedef struct storm {
    storm_board *board;
    unsigned workers; /* at a time */
    unsigned kills, stops;
    unsigned pace; /* at most so many things are done between two events */
    uint32_t seed;
    /* In the watcher, before worker `serial` (0, 1, ...) starts. */
    void (*before)(void *arg, unsigned serial);
    /* In the worker; it exits when this returns, which it must soon after board->over. */
    void (*work)(void *arg, unsigned serial);
    /* In the watcher: whether the worker, which stands still, is in the middle of something. Every other kill looks for
     * such a one, a bounded number of times. May be NULL. */
    bool (*worth)(void *arg, unsigned serial);
    void *arg;
} storm;

/* Lets it loose. Returns how many workers there have been: all are reaped, those that were not killed have ended well (it
 * CHECKs that). */
unsigned storm_run(const storm *s);

uint32_t storm_dice(uint32_t *seed, uint32_t n);

#endif
