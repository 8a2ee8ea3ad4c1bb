/* SPDX-License-Identifier: MIT */
/* Deaths: of members, of zygote and guard, of the root; at any moment, which is left to chance and to the machine. */
#include "process/test_process.h"

#include <sys/mman.h>
#include <sys/prctl.h>

TEST_SETTLE(close_processes);

static control *the_control(void) { return motet__process.control; }

/* Kills the one that is there now; false: there is none just now. */
static bool kill_place(const watcher_place *place)
{
    pid_t pid = place->pid;
    uint64_t started = place->started;
    return atomic_load_acquire(&place->tag) && sys_pid_started(pid) == started && kill(pid, SIGKILL) == 0;
}

static void kill_zygote(void)
{
    while (!kill_place(&the_control()->zygote))
        motet_yield();
}

static void kill_guard(void)
{
    while (!kill_place(&the_control()->guard))
        motet_yield();
}

/* Waits until both are others than those. */
static void await_new(member_tag old_zygote, member_tag old_guard)
{
    control *c = the_control();
    for (;;) {
        uint32_t deaths = motet__family_deaths(), changed = atomic_load_seq_cst(&c->changed);
        member_tag z = atomic_load_acquire(&c->zygote.tag), g = atomic_load_acquire(&c->guard.tag);
        if (z && z != old_zygote && g && g != old_guard)
            return;
        motet__family_wait(&c->changed, changed, deaths, MOTET_FOREVER, 0);
    }
}

/* Who lives through what is done to zygote and guard: one that runs for ever, and one by each of the first n methods that
 * waits at the gate. */
typedef struct residents {
    board *b;
    int n;
    motet_process *running, *waiting[METHODS];
} residents;

static residents residents_start(int n)
{
    residents r = {.b = board_new(), .n = n};
    r.running = start_by(MOTET_FORKSERVER, run_for_ever, r.b);
    for (int i = 0; i < n; i++)
        r.waiting[i] = start_by(methods[i], wait_at_gate, r.b);
    await_word(&r.b->count, (uint32_t)n + 1);
    return r;
}

/* They are killed, waited for and joined as ever. */
static void residents_end(const residents *r)
{
    CHECK_EQ(motet_process_kill(r->running), 0);
    CHECK_EQ(finish(r->running), -SIGKILL);
    CHECK_EQ(motet_process_join(r->waiting[0], NULL, MOTET_NOWAIT), -ETIMEDOUT);
    raise_word(&r->b->gate);
    for (int i = 0; i < r->n; i++)
        CHECK_EQ(finish(r->waiting[i]), 5);
    motet_shared_free(r->b);
}

static void one_more_works(void) { CHECK_EQ(finish(start_with(return_value, (void *)3, NULL)), 3); }

TEST(the_zygote_is_replaced)
{
    residents r = residents_start(METHODS);
    for (int i = 0; i < 3; i++) {
        member_tag was = the_control()->zygote.tag;
        kill_zygote();
        one_more_works();
        CHECK_NE(the_control()->zygote.tag, was);
        CHECK(motet_process_alive(r.waiting[0]));
    }
    residents_end(&r);
}

TEST(the_guard_is_replaced)
{
    residents r = residents_start(2);
    for (int i = 0; i < 3; i++) {
        member_tag g = the_control()->guard.tag, z = the_control()->zygote.tag;
        kill_guard();
        await_new(z, g);
        CHECK_EQ(the_control()->guard.tag, z);
        one_more_works();
        CHECK(motet_process_alive(r.waiting[0]));
    }
    residents_end(&r);
}

/* What was adopted by a guard that dies then goes outside; its code is known all the same. */
TEST(one_after_the_other)
{
    residents r = residents_start(2);
    for (int i = 0; i < 6; i++) {
        member_tag g = the_control()->guard.tag, z = the_control()->zygote.tag;
        if (i % 2) {
            kill_guard();
            await_new(z, g);
        } else {
            kill_zygote();
            await_new(z, 0);
        }
    }
    residents_end(&r);
    one_more_works();
}

/* ---- at any moment ---------------------------------------------------------------------------------- */

/*
 * A thread that kills while processes are started: up to KILLS of zygotes (every third time the guard) for each start, each
 * after another while, and then it waits for the next start. However slow the machine is, a start so has to outlive only
 * these, and ends.
 */
enum { KILLS = 4 };

typedef struct killer {
    board *b; /* .count: starts begun; .gate: no more of them */
    bool guards;
    motet_thread *thread;
} killer;

static int kill_at_each_start(void *arg)
{
    killer *k = arg;
    control *c = the_control();
    for (unsigned n = 0;; n++) {
        await_word(&k->b->count, n / KILLS + 1);
        if (atomic_load_seq_cst(&k->b->gate))
            return 0;
        for (unsigned i = n * 37 % 400; i; i--)
            motet_yield();
        member_tag z = c->zygote.tag, g = c->guard.tag;
        bool kills_guard = k->guards && n % 3 == 2;
        if (z && kill_place(kills_guard ? &c->guard : &c->zygote) && k->guards)
            await_new(z, kills_guard ? g : 0);
    }
}

static void killer_start(killer *k, bool guards)
{
    *k = (killer){.b = board_new(), .guards = guards};
    CHECK_EQ(motet_thread_start(&k->thread, kill_at_each_start, k, NULL), 0);
}

static void killer_stop(killer *k)
{
    atomic_store_seq_cst(&k->b->gate, 1);
    atomic_store_seq_cst(&k->b->count, UINT32_MAX / 2);
    raise_word(&k->b->count);
    CHECK_EQ(motet_thread_join(k->thread, NULL, MOTET_FOREVER), 0);
    motet_thread_free(k->thread);
    CHECK_EQ(motet_active_children(NULL, 0), 0);
    motet_shared_free(k->b);
}

static void start_while_killing(bool guards)
{
    enum { STARTS = 60 };
    killer k;
    killer_start(&k, guards);
    for (int i = 0; i < STARTS; i++) {
        motet_start_method m = methods[i % 10 == 3 ? 1 : i % 10 == 7 ? 2 : 0];
        raise_word(&k.b->count);
        CHECK_EQ(finish(start_by(m, return_value, (void *)(intptr_t)i)), i);
    }
    killer_stop(&k);
}

TEST(starts_while_zygotes_die) { start_while_killing(false); }

TEST(starts_while_zygotes_and_guards_die) { start_while_killing(true); }

static int count_and_die(void *arg)
{
    atomic_add_seq_cst((uint32_t *)arg, 1);
    raise(SIGKILL);
    return 0;
}

/* A body begins once, however often its start was begun. */
TEST(a_body_begins_once)
{
    enum { STARTS = 60 };
    killer k;
    killer_start(&k, false);
    for (uint32_t i = 1; i <= STARTS; i++) {
        raise_word(&k.b->count);
        CHECK_EQ(finish(start_with(count_and_die, &k.b->other, NULL)), -SIGKILL);
        CHECK_EQ(k.b->other, i);
    }
    killer_stop(&k);
}

/* ---- both at once ----------------------------------------------------------------------------------- */

TEST(without_guard_and_zygote_nothing_hangs)
{
    residents r = residents_start(2);
    motet_process *none = NULL;
    control *c = the_control();
    /* Stopped first, so that neither can replace the other. */
    CHECK_EQ(kill(c->guard.pid, SIGSTOP), 0);
    CHECK_EQ(kill(c->zygote.pid, SIGSTOP), 0);
    CHECK_EQ(kill(c->guard.pid, SIGKILL), 0);
    CHECK_EQ(kill(c->zygote.pid, SIGKILL), 0);
    CHECK_EQ(motet_process_start(&none, return_value, NULL, NULL), -EPIPE);
    CHECK_EQ(motet_process_start(&none, return_value, NULL, &(motet_process_options){.method = MOTET_FORK}), -EPIPE);
    CHECK(none == NULL);
    residents_end(&r);
}

/* ---- the root --------------------------------------------------------------------------------------- */

enum { SEEN_MOST = 64, SEEN_GUARD = SEEN_MOST - 2, SEEN_ZYGOTE };

/* Numbers that a family leaves for the one who kills it, in memory that both see. */
typedef struct trace {
    uint32_t ready, count;
    pid_t pids[SEEN_MOST];
    uint64_t started[SEEN_MOST];
} trace;

static trace *seen;

static void note(uint32_t at, pid_t pid, uint64_t started)
{
    seen->pids[at] = pid;
    seen->started[at] = started;
}

static void note_self(void)
{
    note(atomic_add_seq_cst(&seen->count, 1) % SEEN_MOST, getpid(), sys_pid_started(getpid()));
    atomic_add_seq_cst(&seen->ready, 1);
}

static int stay(void *arg)
{
    note_self();
    signal(SIGTERM, SIG_IGN);
    for (;;)
        pause();
    return 0;
}

static int stay_with_children(void *arg)
{
    motet_process *p;
    CHECK_EQ(motet_process_start(&p, stay, NULL, NULL), 0);
    CHECK_EQ(motet_process_start(&p, stay, NULL, &(motet_process_options){.method = MOTET_FORK}), 0);
    if (fork() == 0) /* a child that motet knows nothing of */
        stay(NULL);
    return stay(NULL);
}

static void be_root(void)
{
    motet_process *p;
    CHECK_EQ(motet_init(NULL, NULL), 0);
    CHECK_EQ(motet_process_start(&p, stay_with_children, NULL, NULL), 0);
    CHECK_EQ(motet_process_start(&p, stay_with_children, NULL, &(motet_process_options){.method = MOTET_FORK}), 0);
    note_self();
    for (;;)
        pause();
}

/* The root of a family of its own, a child of the test's: when so many have noted themselves. */
static pid_t family_start(void (*be)(void), uint32_t ready)
{
    seen = mmap(NULL, sizeof *seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(seen != MAP_FAILED);
    pid_t root = fork();
    if (root == 0)
        be();
    while (atomic_load_seq_cst(&seen->ready) < ready)
        motet_yield();
    return root;
}

/* Nothing that was noted outlives it. */
static void family_kill(pid_t root)
{
    CHECK_EQ(kill(root, SIGKILL), 0);
    CHECK_EQ(waitpid(root, NULL, 0), root);
    for (int i = 0; i < SEEN_MOST; i++)
        await_gone(seen->pids[i], seen->started[i]);
    munmap(seen, sizeof *seen);
}

/* The root, two with children; of each a child, a fork, and a child of its own: 9. */
TEST(a_family_ends_with_its_root) { family_kill(family_start(be_root, 9)); }

static void be_root_for_ever(void)
{
    motet_init(NULL, NULL);
    const control *c = the_control();
    note(SEEN_GUARD, c->guard.pid, c->guard.started);
    note(SEEN_ZYGOTE, c->zygote.pid, c->zygote.started);
    atomic_add_seq_cst(&seen->ready, 1);
    for (int i = 0;; i++) {
        motet_process *p = NULL;
        CHECK_EQ(motet_process_start(&p, stay, NULL, &(motet_process_options){.method = methods[i % 5 == 4]}), 0);
        if (i >= 8) {
            CHECK_EQ(motet_process_kill(p), 0);
            CHECK_EQ(motet_process_join(p, NULL, MOTET_FOREVER), 0);
        }
        motet_process_free(p);
    }
}

/* Killed in the middle of starts and joins; the runner too looks for what outlives the test. */
TEST(a_root_may_die_at_any_moment)
{
    for (int round = 0; round < 15; round++) {
        pid_t root = family_start(be_root_for_ever, 1);
        for (int i = 0; i < round * 40; i++)
            motet_yield();
        if (round % 3)
            kill(seen->pids[round % 3 == 1 ? SEEN_ZYGOTE : SEEN_GUARD], SIGKILL);
        family_kill(root);
    }
}
