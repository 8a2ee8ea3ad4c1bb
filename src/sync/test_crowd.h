/* SPDX-License-Identifier: MIT */
/* A crowd: processes that use one object turn by turn; one after the other is killed at any moment, buried, and replaced. */
#ifndef MOTET_SYNC_TEST_CROWD_H
#define MOTET_SYNC_TEST_CROWD_H

#include "sync/test_shared.h"

enum { CROWD = 4 };

/* One turn of a process with the object. 0, or what is wrong: its exit code. */
typedef struct crowd crowd;
typedef int crowd_turn(crowd *c, uint32_t id, uint32_t *random);

/* Lies in the arena. */
struct crowd {
    void *object;
    crowd_turn *turn;
    uint32_t seed, steps, over; /* steps: turns that came to something, counted by the turn */
    uint32_t has[CROWD];        /* what each has, as the turn says; of a dead one it is cleared before it is buried */
    struct crowd_place {
        crowd *crowd;
        uint32_t id;
        kin kin;
    } places[CROWD];
};

static inline int crowd_live(void *arg)
{
    const struct crowd_place *p = arg;
    crowd *c = p->crowd;
    uint32_t random = atomic_add_relaxed(&c->seed, 7919) | 1;
    int wrong = 0;
    while (!wrong && !SEEN(&c->over))
        wrong = c->turn(c, p->id, &random);
    return wrong;
}

static inline void crowd_start(crowd *c, uint32_t id)
{
    struct crowd_place *p = &c->places[id];
    p->crowd = c;
    p->id = id;
    p->kin = kin_start(crowd_live, p);
}

/* Buries it if it has ended; whether it had, and was not buried before. */
static inline bool crowd_bury_ended(crowd *c, uint32_t id)
{
    kin k = c->places[id].kin;
    int status;
    if (waitpid(k.pid, &status, WNOHANG) != k.pid)
        return false;
    if (!WIFSIGNALED(status))
        CHECK_EQ(WEXITSTATUS(status), 0);
    atomic_store_seq_cst(&c->has[id], 0);
    motet__member_bury(k.tag);
    return true;
}

/* Starts a crowd, kills many of it, and lets the rest end. */
static inline void crowd_that_dies(crowd_turn *turn, void *object)
{
    enum { KILLS = 40 };
    crowd *c = shared(sizeof *c);
    uint32_t random = 5;
    c->object = object;
    c->turn = turn;
    for (uint32_t id = 0; id < CROWD; id++)
        crowd_start(c, id);
    for (int kills = 0; kills < KILLS; kills++) {
        uint32_t until = SEEN(&c->steps) + 1 + random_below(&random, 100);
        for (uint32_t id = 0; SEEN(&c->steps) < until; id = (id + 1) % CROWD) {
            if (crowd_bury_ended(c, id))
                crowd_start(c, id);
            motet_yield();
        }
        kill(c->places[random_below(&random, CROWD)].kin.pid, SIGKILL);
    }
    atomic_store_release(&c->over, 1);
    /* In the order in which they end: who lives may wait for one that is dead and not buried. */
    for (int left = CROWD, id = 0; left; id = (id + 1) % CROWD) {
        left -= crowd_bury_ended(c, (uint32_t)id);
        motet_yield();
    }
}

#endif
