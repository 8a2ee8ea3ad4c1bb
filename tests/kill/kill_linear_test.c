/* SPDX-License-Identifier: MIT */
/* Histories of real processes on the ring, one of which is killed on the way: what all of them saw must be linearizable,
 * with the operation that was cut off done whole, or never, and not twice.
 *
 * Who is to die is single-stepped, so that it dies at any instruction and stands in everybody's way for long; the others
 * run freely, half of their operations beside it and half after its death, beside the recovery or after it. Where stepping
 * isn't possible it runs freely too, and mostly dies between two operations. */
#include "kill/kill.h"
#include "kill/ring.h"
#include "kill/storm.h"
#include "linear/record.h"
#include "runner.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

enum { WORKERS = 3, OPS = 10, ROUNDS = 80, CAPACITY = 2, STEPS_MAX = 1200 };

typedef struct table {
    ring ring;
    ring_self selves[WORKERS];
    uint32_t waiting[3], gate; /* how many have come to each gate; the last one that is open */
    uint32_t begun[WORKERS];   /* operations */
    linear_op ops[WORKERS][OPS];
} table;

/* The ring's codes, as the specification calls them. */
static int spoken(int e) { return e == -EAGAIN ? -ETIMEDOUT : e; }

static void put(table *t, int me, linear_op *op, int32_t value)
{
    ring_item item = ring_item_of((uint64_t)value);
    op->kind = LINEAR_PUT;
    op->values[0] = value;
    atomic_add_release(&t->begun[me], 1); /* from here on it counts, cut off until it is over */
    LINEAR_TIMED(op, spoken(ring_put(&t->ring, t->selves[me], &item, NULL)));
}

static void get(table *t, int me, linear_op *op)
{
    ring_item item = {{0}};
    op->kind = LINEAR_GET;
    atomic_add_release(&t->begun[me], 1);
    LINEAR_TIMED(op, spoken(ring_get(&t->ring, t->selves[me], &item, NULL)));
    op->values[0] = (int32_t)item.words[0];
    CHECK(op->result != 0 || ring_item_whole(&item));
}

static void some_ops(table *t, int me, int from, int to, uint32_t *seed)
{
    for (int i = from; i < to; i++) {
        if (storm_dice(seed, 2))
            put(t, me, &t->ops[me][i], me * OPS + i + 1);
        else
            get(t, me, &t->ops[me][i]);
        if (storm_dice(seed, 4) == 0)
            sys_yield();
    }
}

static void await_gate(table *t, uint32_t gate)
{
    atomic_add_release(&t->waiting[gate], 1);
    while (atomic_load_acquire(&t->gate) < gate)
        sys_yield();
}

static void survive(table *t, int me, uint32_t seed)
{
    await_gate(t, 1);
    some_ops(t, me, 0, OPS / 2, &seed);
    await_gate(t, 2);
    some_ops(t, me, OPS / 2, OPS, &seed);
}

/* ---- who dies: worker 0 ---------------------------------------------------------------------------- */

static uint32_t victims_seed;

static void run_victim(void *arg)
{
    uint32_t seed = victims_seed;
    some_ops(arg, 0, 0, OPS, &seed);
}

/* Up to n instructions; what happens when it is past its last one or can't be stepped is that nothing happens. */
static void some_steps(stepper *victim, uint32_t n)
{
    for (uint32_t i = 0; i < n && stepper_step(victim) == 0; i++)
        ;
}

/* True when it can be stepped. */
static bool start_victim(table *t, stepper *victim)
{
#if !defined(TEST_UNDER_TSAN) && !defined(TEST_UNDER_ASAN)
    if (stepper_start(victim, run_victim, t) == 0)
        return true;
#endif
    pid_t parent = getpid();
    *victim = (stepper){.pid = fork()};
    CHECK_GE(victim->pid, 0);
    if (victim->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() == parent)
            run_victim(t);
        _exit(0);
    }
    return false;
}

static void kill_victim(stepper *victim, bool stepped)
{
    if (stepped) {
        stepper_end(victim);
        return;
    }
    int status;
    CHECK_EQ(kill(victim->pid, SIGKILL), 0);
    CHECK_EQ(waitpid(victim->pid, &status, 0), victim->pid);
    CHECK(WIFSIGNALED(status) || (WIFEXITED(status) && WEXITSTATUS(status) == 0));
}

/* ---- a round --------------------------------------------------------------------------------------- */

static linear_verdict judge(const table *t, unsigned *cut)
{
    linear_op ops[WORKERS * OPS];
    size_t n = 0;
    for (int w = 0; w < WORKERS; w++)
        for (uint32_t i = 0; i < t->begun[w]; i++) {
            ops[n] = t->ops[w][i];
            /* What a get gave is written down after its end; one who died in between gave it to nobody. */
            ops[n].cut |= w == 0 && ops[n].kind == LINEAR_GET && ops[n].result == 0 && ops[n].values[0] == 0;
            ops[n].invoked = ops[n].invoked ? ops[n].invoked : INT64_MAX; /* died before it read the clock: last */
            *cut += ops[n].cut;
            n++;
        }
    linear_spec spec = linear_fifo;
    spec.capacity = CAPACITY;
    spec.slack = 1; /* a put that was cut off may leave its mark in a slot */
    linear_verdict verdict = linear_check(&spec, ops, n);
    if (verdict != LINEAR_RIGHT)
        linear_explain(&spec, ops, n, stderr);
    return verdict;
}

static void start_survivors(table *t, pid_t *pids, uint32_t *seed)
{
    pid_t parent = getpid();
    for (int w = 1; w < WORKERS; w++) {
        uint32_t its = storm_dice(seed, UINT32_MAX) + 1;
        pids[w] = fork();
        CHECK_GE(pids[w], 0);
        if (pids[w] == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (getppid() == parent)
                survive(t, w, its);
            _exit(0);
        }
    }
    while (atomic_load_acquire(&t->waiting[1]) != WORKERS - 1)
        sys_yield();
}

static void prepare(table *t)
{
    memset(t, 0, sizeof *t);
    ring_init(&t->ring, CAPACITY);
    for (int w = 0; w < WORKERS; w++) {
        CHECK_EQ(ring_join(&t->ring, &t->selves[w]), 0);
        for (int i = 0; i < OPS; i++)
            t->ops[w][i] = (linear_op){.thread = w, .cut = true};
    }
}

static bool one_round(table *t, uint32_t *seed, unsigned *cut)
{
    pid_t pids[WORKERS];
    stepper victim;
    prepare(t);
    start_survivors(t, pids, seed);
    victims_seed = storm_dice(seed, UINT32_MAX) + 1;
    bool stepped = start_victim(t, &victim);
    if (stepped)
        some_steps(&victim, storm_dice(seed, STEPS_MAX));
    atomic_store_release(&t->gate, 1);
    if (stepped)
        some_steps(&victim, storm_dice(seed, STEPS_MAX / 4));
    if (storm_dice(seed, 2)) /* they stand before the second gate, or are still at it */
        while (atomic_load_acquire(&t->waiting[2]) != WORKERS - 1)
            sys_yield();
    kill_victim(&victim, stepped);
    bool beside = storm_dice(seed, 2);
    if (beside)
        atomic_store_release(&t->gate, 2);
    ring_recover(&t->ring, t->selves[0]);
    atomic_store_release(&t->gate, 2);
    for (int w = 1; w < WORKERS; w++) {
        int status = 0;
        CHECK(waitpid(pids[w], &status, 0) == pids[w] && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    CHECK_PTR(ring_check(&t->ring), NULL);
    CHECK_EQ(judge(t, cut), LINEAR_RIGHT);
    return stepped;
}

TEST(ring_with_deaths)
{
    table *t = mmap(NULL, sizeof *t, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(t != MAP_FAILED);
    uint32_t seed = 4711;
    unsigned stepped = 0, cut = 0;
    for (int round = 0; round < ROUNDS; round++)
        stepped += one_round(t, &seed, &cut);
    LOG("%d rounds, %u of them stepped: %u operations cut off", ROUNDS, stepped, cut);
    if (stepped == ROUNDS)
        CHECK_GE(cut, ROUNDS / 10);
    munmap(t, sizeof *t);
}
