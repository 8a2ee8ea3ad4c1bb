/* SPDX-License-Identifier: MIT */
/* Rounds at a barrier, of threads or of processes: nobody goes on before all have come, and each is given another number. */
#ifndef MOTET_SYNC_TEST_MEETING_H
#define MOTET_SYNC_TEST_MEETING_H

#include "sync/test_threads.h"

#include <motet/sync.h>

enum { PARTIES = 4, ROUNDS = 500 };

typedef struct meeting {
    motet_barrier b;
    uint32_t came[ROUNDS], numbers[ROUNDS];
    int last_word[ROUNDS]; /* written before the barrier by one, read after it by all */
    uint32_t id;
} meeting;

/* What each of the parties does. */
static inline int attend(void *arg)
{
    meeting *m = arg;
    int id = (int)atomic_add_relaxed(&m->id, 1);
    for (int i = 0; i < ROUNDS; i++) {
        if (i % PARTIES == id)
            m->last_word[i] = i + 1;
        atomic_add_relaxed(&m->came[i], 1);
        int number = motet_barrier_wait(&m->b, MOTET_FOREVER);
        CHECK_GE(number, 0);
        CHECK_LT(number, PARTIES);
        CHECK_EQ(atomic_load_relaxed(&m->came[i]), PARTIES);
        CHECK_EQ(m->last_word[i], i + 1);
        atomic_or_acq_rel(&m->numbers[i], 1u << number);
    }
    return 0;
}

/* After all have returned 0. */
static inline void check_numbers(const meeting *m)
{
    for (int i = 0; i < ROUNDS; i++)
        CHECK_EQ(m->numbers[i], (1u << PARTIES) - 1);
}

#endif
