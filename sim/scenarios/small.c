/* SPDX-License-Identifier: MIT */
/* Small protocols: who sets against who clears, a signal against a wake, the slots of a ring that is full, who gives up beside
 * others. Most came of mutants that survived. */
#include "help.h"

#include "executor/ring.h"
#include "park/park.h"

static motet_event event;
static uint32_t letter, results[2];
static char key;
static ring r;
static job jobs[RING_SIZE + 2];

static void writes_and_sets(void *arg)
{
    atomic_store_relaxed(&letter, 1);
    motet_event_set(&event);
}

SIM_SCENARIO(event_set_against_clear, .about = "write, set against clear, read: one of the two sees the other")
{
    motet_event_set(&event);
    sim_spawn(writes_and_sets, NULL, "writer");
    motet_event_clear(&event);
    uint32_t seen = atomic_load_relaxed(&letter);
    sim_join_all();
    SIM_CHECK(seen || motet_event_is_set(&event));
}

/* Takes what is its own message and no hint: as many come back with it as were woken. */
static void awaits_or_is_interrupted(void *arg)
{
    wait_node node = {.key = &key};
    park_request q = {.nodes = &node, .nodes_count = 1, .deadline = sim_now() + 1000};
    motet_interruptible(true);
    int e = motet__park_many(&q);
    SIM_CHECK(e == 0 || e == -EINTR || e == -ETIMEDOUT);
    atomic_store_relaxed(&results[(intptr_t)arg], e == 0);
}

SIM_SCENARIO(park_interrupt_wake, .about = "a signal and a wake: the wake is taken, or goes to the other",
             .faults = SIM_INTERRUPT | SIM_SPURIOUS)
{
    spawn_many(2, awaits_or_is_interrupted);
    unsigned woken = motet__unpark(&key, 1);
    sim_join_all();
    SIM_CHECK_EQ(results[0] + results[1], woken);
}

static void takes_the_oldest(void *arg)
{
    for (uint32_t i = 0; i < 2; i++)
        SIM_CHECK(ring_take(&r) == &jobs[i]);
}

SIM_SCENARIO(ring_full, .about = "a full ring: no slot is written again before it was taken")
{
    for (int i = 0; i < RING_SIZE; i++)
        r.slots[i] = &jobs[i];
    r.tail = RING_SIZE;
    sim_spawn(takes_the_oldest, NULL, "thief");
    for (int i = 0; i < 2; i++)
        if (ring_room(&r))
            ring_put(&r, &jobs[RING_SIZE + i]);
    sim_join_all();
}

/* ---- giving up ------------------------------------------------------------------------------------- */

static motet_barrier barrier;
static motet_rwlock rw;
static uint32_t through, late;

static void meets_in_time(void *arg)
{
    int e = motet_barrier_wait(&barrier, sim_now() + 1000);
    atomic_add_relaxed(&through, e >= 0);
    atomic_add_relaxed(&late, e == -ETIMEDOUT);
    SIM_CHECK(e == 0 || e == 1 || e == -ETIMEDOUT || e == -EPIPE);
}

SIM_SCENARIO(barrier_one_too_many,
             .about = "three come to a barrier of two: a pair goes through or none, and it is broken")
{
    motet_barrier_init(&barrier, 2, 0);
    run_many(3, meets_in_time);
    SIM_CHECK(through == 0 || through == 2);
    SIM_CHECK(motet_barrier_broken(&barrier));
    SIM_CHECK(late > 0); /* who broke it says why */
}

static void meets(void *arg)
{
    int e = motet_barrier_wait(&barrier, MOTET_FOREVER);
    atomic_add_relaxed(&through, e >= 0);
    SIM_CHECK(e == 0 || e == 1 || e == -EPIPE);
}

SIM_SCENARIO(barrier_abort, .about = "an abort against two who meet: both go through or none, and it is broken")
{
    motet_barrier_init(&barrier, 2, 0);
    spawn_many(2, meets);
    motet_barrier_abort(&barrier);
    sim_join_all();
    SIM_CHECK(through == 0 || through == 2);
    SIM_CHECK(motet_barrier_broken(&barrier));
}

static void writes_in_time(void *arg)
{
    int e = motet_rwlock_acquire_write(&rw, sim_now() + 1000);
    SIM_CHECK_EQ(e, -ETIMEDOUT);
}

static void reads(void *arg)
{
    SIM_CHECK_EQ(motet_rwlock_acquire_read(&rw, MOTET_FOREVER), 0);
    SIM_CHECK_EQ(motet_rwlock_release(&rw), 0);
}

SIM_SCENARIO(rwlock_two_give_up, .about = "two writers give up, one told by the other: the reader behind them gets in",
             .cap = 100)
{
    SIM_CHECK_EQ(motet_rwlock_acquire_read(&rw, MOTET_FOREVER), 0);
    spawn_many(2, writes_in_time);
    sim_spawn(reads, NULL, "reader");
    sim_join_all();
    SIM_CHECK_EQ(motet_rwlock_release(&rw), 0);
    SIM_CHECK_EQ(motet_rwlock_acquire_write(&rw, MOTET_NOWAIT), 0);
}

/* ---- locals ---------------------------------------------------------------------------------------- */

static motet_local local, locals[9];
static int mine;

static void sets_local(void *arg)
{
    SIM_CHECK_EQ(motet_local_set(&local, &mine), 0);
    SIM_CHECK(motet_local_get(&local) == &mine);
}

SIM_SCENARIO(local_two, .about = "a local without an init: one sets it while another looks")
{
    SIM_CHECK_EQ(motet_local_set(&locals[0], &mine), 0);
    sim_spawn(sets_local, NULL, "setter");
    SIM_CHECK(!motet_local_get(&local));
    sim_join_all();
    motet_local_free(&local);
    motet_local_free(&locals[0]);
}

static void looks_beyond(void *arg)
{
    SIM_CHECK_EQ(motet_local_set(&locals[0], &mine), 0);
    SIM_CHECK(!motet_local_get(&locals[8])); /* its table has room for eight */
    atomic_store_release(&letter, 1);
    while (atomic_load_acquire(&letter) != 2)
        cpu_relax();
}

SIM_SCENARIO(local_beyond, .about = "a local whose slot lies behind the end of a thread's table, read and freed",
             .cap = 1)
{
    for (int i = 0; i < 9; i++)
        SIM_CHECK_EQ(motet_local_init(&locals[i], NULL), 0);
    sim_spawn(looks_beyond, NULL, "other");
    while (!atomic_load_acquire(&letter))
        cpu_relax();
    motet_local_free(&locals[8]);
    atomic_store_release(&letter, 2);
    sim_join_all();
    for (int i = 0; i < 8; i++)
        motet_local_free(&locals[i]);
    SIM_CHECK_EQ(sim_allocated(), 0);
}

/* ---- futures --------------------------------------------------------------------------------------- */

static motet_future *promise;
static int value;

static void keeps_promise(void *arg)
{
    SIM_WRITE(&value, 7);
    SIM_CHECK_EQ(motet_promise_set(promise, (motet_bytes){&value, sizeof value}, 5), 0);
}

static bool is_kept(unsigned way)
{
    switch (way) {
    case 0: return motet_future_code(promise) == 5;
    case 1: return motet_future_value(promise).data;
    default: return motet_future_state_of(promise) == MOTET_DONE;
    }
}

SIM_SCENARIO(future_polled, .about = "who finds a future over without a wait sees what came before its end")
{
    SIM_CHECK_EQ(motet_promise_new(&promise, sizeof value), 0);
    unsigned way = sim_pick(3);
    sim_spawn(keeps_promise, NULL, "keeper");
    while (!is_kept(way))
        cpu_relax();
    SIM_CHECK_EQ(SIM_READ(&value), 7);
    SIM_CHECK_EQ(*(const int *)motet_future_value(promise).data, 7);
    sim_join_all();
    motet_future_unref(promise);
    SIM_CHECK_EQ(sim_allocated(), 0);
}

static void reads_value(motet_future *of, void *arg)
{
    SIM_CHECK_EQ(SIM_READ(&value), 7);
    SIM_CHECK_EQ(*(const int *)motet_future_value(of).data, 7);
}

SIM_SCENARIO(future_called_back, .about = "a callback sees what came before the end, whoever calls it")
{
    SIM_CHECK_EQ(motet_promise_new(&promise, sizeof value), 0);
    sim_spawn(keeps_promise, NULL, "keeper");
    SIM_CHECK_EQ(motet_future_on_done(promise, reads_value, NULL), 0);
    sim_join_all();
    motet_future_unref(promise);
    SIM_CHECK_EQ(sim_allocated(), 0);
}

/* Looks at a word of a frame that is left then: those called next have it, the explorer's own functions among them. */
static __attribute__((noinline)) void looks_deep_down(unsigned depth)
{
    uint32_t *word = __builtin_alloca((depth + 1) * sizeof(void *));
    *word = 0;
    SIM_CHECK_EQ(atomic_load_relaxed(word), 0);
}

static void waits_for_the_letter(void *arg)
{
    looks_deep_down(*(unsigned *)arg);
    while (!atomic_load_relaxed(&letter))
        cpu_relax();
}

SIM_SCENARIO(spin_frame_left,
             .about = "who spins waits for what was stored, not for what comes to lie in a frame it has left")
{
    static unsigned depth;
    depth = sim_pick(64);
    sim_spawn(waits_for_the_letter, &depth, "waiter");
    atomic_store_relaxed(&results[0], 1);
    atomic_store_relaxed(&letter, 1);
    sim_join_all();
}
