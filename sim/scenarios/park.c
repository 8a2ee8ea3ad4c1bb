/* SPDX-License-Identifier: MIT */
/* Park: announce and sleep against publish and wake; several keys; deadlines and cancelling against wakes. */
#include "sim.h"

#include "park/park.h"

#include <motet/base.h>

static uint32_t word, other;
static park_self *waiter_self;
static int results[4], data;

static int await(uint32_t *w, motet_time deadline)
{
    while (atomic_load_acquire(w) == 0) {
        int e = motet__park(w, 0, deadline, 0);
        if (e < 0)
            return e;
    }
    return 0;
}

static void waits(void *arg)
{
    SIM_CHECK_EQ(await(&word, MOTET_FOREVER), 0);
    SIM_CHECK_EQ(SIM_READ(&data), 7);
}

static void publish(void *arg)
{
    SIM_WRITE(&data, 7);
    atomic_store_release(&word, 1);
    motet__unpark(&word, UNPARK_ALL);
}

SIM_SCENARIO(park_wake, .about = "one waits for a word, one changes it and wakes")
{
    sim_spawn(waits, NULL, "waiter");
    publish(NULL);
    sim_join_all();
}

SIM_SCENARIO(park_wake_two, .about = "two wait, one wakes all", .faults = SIM_SPURIOUS | SIM_INTERRUPT)
{
    sim_spawn(waits, NULL, "waiter 1");
    sim_spawn(waits, NULL, "waiter 2");
    publish(NULL);
    sim_join_all();
}

static void waits_behind(void *arg) { motet__park(&word, (uint32_t)(uintptr_t)arg, MOTET_FOREVER, PARK_NO_SPIN); }

SIM_SCENARIO(park_wake_each, .about = "a change wakes one: not who comes late and has seen an earlier change already")
{
    word = 1;
    sim_spawn(waits_behind, (void *)0, "late");
    sim_spawn(waits_behind, (void *)1, "waiter");
    atomic_store_release(&word, 2);
    motet__unpark(&word, 1);
    sim_join_all();
}

static void waits_awake(void *arg)
{
    sim_cpus(2);
    waits(arg);
}

SIM_SCENARIO(park_wake_spinning, .about = "the waiter watches the word before it sleeps", .cap = 20)
{
    sim_cpus(2);
    sim_spawn(waits_awake, NULL, "waiter");
    publish(NULL);
    sim_join_all();
}

/* ---- a wake as a message --------------------------------------------------------------------------- */

static char key;

static int await_message(motet_time deadline)
{
    wait_node node = {.key = &key};
    park_request r = {.nodes = &node, .nodes_count = 1, .deadline = deadline};
    return motet__park_many(&r);
}

static void takes_message(void *arg) { results[(intptr_t)arg] = await_message(sim_now() + 1000); }

SIM_SCENARIO(park_message_deadline, .about = "as many take a message as were woken, whatever the deadlines do",
             .faults = SIM_SPURIOUS)
{
    sim_spawn(takes_message, (void *)0, "waiter 1");
    sim_spawn(takes_message, (void *)1, "waiter 2");
    int woken = (int)motet__unpark(&key, 1);
    sim_join_all();
    int taken = (results[0] == 0) + (results[1] == 0);
    SIM_CHECK_EQ(taken, woken);
    SIM_CHECK_EQ((results[0] == -ETIMEDOUT) + (results[1] == -ETIMEDOUT), 2 - woken);
}

/* ---- cancelling ------------------------------------------------------------------------------------ */

/* Whom somebody cancels lives as long as that takes. */
static uint32_t has_cancelled;

static void await_canceller(void)
{
    while (!atomic_load_acquire(&has_cancelled))
        cpu_relax();
}

static void cancellable(void *arg)
{
    atomic_store_release(&waiter_self, motet__park_self());
    results[0] = await_message(MOTET_FOREVER);
    await_canceller();
}

static void cancels(void *arg)
{
    park_self *self;
    while (!(self = atomic_load_acquire(&waiter_self)))
        cpu_relax();
    motet__park_cancel(self);
    atomic_store_release(&has_cancelled, 1);
}

SIM_SCENARIO(park_cancel_wake, .about = "a wake and a cancel: the wake is taken or goes to nobody")
{
    int w = sim_spawn(cancellable, NULL, "waiter");
    int c = sim_spawn(cancels, NULL, "canceller");
    int woken = (int)motet__unpark(&key, 1);
    sim_join(w);
    sim_join(c);
    SIM_CHECK_EQ(results[0], woken ? 0 : -ECANCELED);
}

/* ---- several keys ---------------------------------------------------------------------------------- */

static void waits_for_two(void *arg)
{
    uint32_t a, b;
    while ((a = atomic_load_acquire(&word)) + (b = atomic_load_acquire(&other)) < 2) {
        wait_node nodes[2] = {{.key = &word, .word = &word, .expected = a},
                              {.key = &other, .word = &other, .expected = b}};
        park_request r = {.nodes = nodes, .nodes_count = 2, .deadline = MOTET_FOREVER};
        SIM_CHECK(motet__park_many(&r) >= 0);
    }
}

static void sets(void *w)
{
    atomic_store_release((uint32_t *)w, 1);
    motet__unpark(w, 1);
}

SIM_SCENARIO(park_two_keys, .about = "one waits for either of two words, each changed by another thread", .cap = 100)
{
    sim_spawn(waits_for_two, NULL, "waiter");
    sim_spawn(sets, &word, "setter 1");
    sets(&other);
    sim_join_all();
}

/* ---- broken: what the explorer must find ------------------------------------------------------------ */

/* Announces by a count of its own, as park does, and sleeps on the word. */
static uint32_t sleepers;

static void announce_and_sleep(void *arg)
{
    while (atomic_load_acquire(&word) == 0) {
        atomic_add_seq_cst(&sleepers, 1);
        sim_name(&sleepers, sizeof sleepers, "sleepers");
        if (atomic_load_seq_cst(&word) == 0) {
            wait_node node = {.key = &key};
            park_request r = {.nodes = &node, .nodes_count = 1, .deadline = MOTET_FOREVER};
            motet__park_many(&r);
        }
    }
}

SIM_SCENARIO(broken_park_late_look, .about = "looks at the word, then announces itself", .must_fail = true)
{
    sim_spawn(announce_and_sleep, NULL, "waiter");
    atomic_store_release(&word, 1);
    if (atomic_load_seq_cst(&sleepers))
        motet__unpark(&key, 1);
    sim_join_all();
}

static void dekker_wait(void *arg)
{
    atomic_add_seq_cst(&sleepers, 1);
    while (atomic_load_seq_cst(&word) == 0)
        sys_futex_wait(&word, 0, INT64_MAX);
}

static void dekker_wake(bool fence)
{
    atomic_store_relaxed(&word, 1);
    if (fence)
        atomic_fence_seq_cst();
    if (atomic_load_relaxed(&sleepers))
        sys_futex_wake(&word, 1);
}

SIM_SCENARIO(dekker_fence, .about = "store, fence, look for sleepers: the order that park's wakers rest on")
{
    sim_spawn(dekker_wait, NULL, "waiter");
    dekker_wake(true);
    sim_join_all();
}

SIM_SCENARIO(broken_dekker_no_fence, .about = "without the fence the waker may overlook the sleeper", .must_fail = true,
             .weak_only = true)
{
    sim_spawn(dekker_wait, NULL, "waiter");
    dekker_wake(false);
    sim_join_all();
}
