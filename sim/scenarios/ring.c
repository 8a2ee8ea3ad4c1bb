/* SPDX-License-Identifier: MIT */
/* A worker's ring of jobs alone: what is put is taken once, by the owner or by thieves. */
#include "help.h"

#include "executor/ring.h"

enum { JOBS = 4 };

static ring r;
static job jobs[RING_SIZE + JOBS];
static uint32_t taken[JOBS];
static int before[JOBS]; /* what the owner did before it put the job */

static void note(job *j)
{
    if (!j)
        return;
    intptr_t i = j - jobs;
    SIM_CHECK(i >= 0 && i < JOBS);
    SIM_CHECK_EQ(SIM_READ(&before[i]), 7);
    SIM_CHECK_EQ(atomic_add_relaxed(&taken[i], 1), 0);
}

static void puts(int i)
{
    SIM_WRITE(&before[i], 7);
    ring_put(&r, &jobs[i]);
}

static void steals(void *arg)
{
    for (int i = 0; i < 2; i++)
        note(ring_take(&r));
}

SIM_SCENARIO(ring_take_two, .about = "an owner that puts and takes, and a thief: each job is taken once")
{
    sim_spawn(steals, NULL, "thief");
    for (int i = 0; i < JOBS; i++)
        puts(i);
    for (job *j; (j = ring_take(&r));)
        note(j);
    sim_join_all();
    SIM_CHECK(ring_empty(&r));
    for (int i = 0; i < JOBS; i++)
        SIM_CHECK_EQ(taken[i], 1);
}

SIM_SCENARIO(ring_thieves, .about = "two thieves, and an owner that only puts")
{
    sim_spawn(steals, NULL, "thief 1");
    sim_spawn(steals, NULL, "thief 2");
    puts(0);
    puts(1);
    sim_join_all();
    steals(NULL);
    SIM_CHECK_EQ(taken[0] + taken[1], 2);
}

SIM_SCENARIO(ring_full, .about = "a full ring: no slot is written again before it was taken")
{
    r.tail = RING_SIZE;
    for (int i = 0; i < JOBS; i++) {
        r.slots[i] = &jobs[i];
        before[i] = 7;
    }
    for (int i = JOBS; i < RING_SIZE; i++)
        r.slots[i] = &jobs[i];
    sim_spawn(steals, NULL, "thief");
    for (int i = 0; i < 2; i++)
        if (ring_room(&r))
            ring_put(&r, &jobs[RING_SIZE + i]);
    sim_join_all();
    SIM_CHECK_EQ(taken[0] + taken[1], 2);
}
