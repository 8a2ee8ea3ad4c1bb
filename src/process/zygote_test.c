/* SPDX-License-Identifier: MIT */
/* Deaths: of members, of zygote and guard, of the root; at any moment, which is left to chance and to the machine. */
#include "process/test_process.h"

#include <sys/mman.h>
#include <sys/prctl.h>

TEST_SETTLE(close_processes);

static control *the_control(void) { return motet__process.control; }

/* Kills the one that is there now; false: there is none just now. */
static bool kill_place(const watcher_place *place, pid_t *ret_pid, uint64_t *ret_started)
{
    pid_t pid = place->pid;
    uint64_t started = place->started;
    if (!atomic_load_acquire(&place->tag) || sys_pid_started(pid) != started)
        return false;
    if (kill(pid, SIGKILL) < 0)
        return false;
    if (ret_pid) {
        *ret_pid = pid;
        *ret_started = started;
    }
    return true;
}

static void kill_zygote(void)
{
    while (!kill_place(&the_control()->zygote, NULL, NULL))
        motet_yield();
}

static void kill_guard(void)
{
    while (!kill_place(&the_control()->guard, NULL, NULL))
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

TEST(the_zygote_is_replaced)
{
    board *b = board_new();
    motet_process *p = start_by(MOTET_FORKSERVER, wait_at_gate, b), *q = start_by(MOTET_FORKSERVER, run_for_ever, b);
    motet_process *f = start_by(MOTET_FORK, wait_at_gate, b), *s = start_by(MOTET_SPAWN, wait_at_gate, b);
    await_word(&b->count, 4);
    for (int i = 0; i < 3; i++) {
        member_tag was = the_control()->zygote.tag;
        kill_zygote();
        CHECK_EQ(finish(start_with(return_value, (void *)3, NULL)), 3);
        CHECK_NE(the_control()->zygote.tag, was);
        CHECK(motet_process_alive(p));
    }
    CHECK_EQ(motet_process_kill(q), 0);
    CHECK_EQ(finish(q), -SIGKILL);
    raise_word(&b->gate);
    CHECK_EQ(finish(p), 5);
    CHECK_EQ(finish(f), 5);
    CHECK_EQ(finish(s), 5);
    motet_shared_free(b);
}

TEST(the_guard_is_replaced)
{
    board *b = board_new();
    motet_process *p = start_by(MOTET_FORKSERVER, wait_at_gate, b), *q = start_by(MOTET_FORKSERVER, run_for_ever, b);
    motet_process *f = start_by(MOTET_FORK, wait_at_gate, b);
    await_word(&b->count, 3);
    for (int i = 0; i < 3; i++) {
        member_tag g = the_control()->guard.tag, z = the_control()->zygote.tag;
        kill_guard();
        await_new(z, g);
        CHECK_EQ(the_control()->guard.tag, z);
        CHECK_EQ(finish(start_with(return_value, (void *)3, NULL)), 3);
        CHECK(motet_process_alive(p));
    }
    CHECK_EQ(motet_process_kill(q), 0);
    CHECK_EQ(finish(q), -SIGKILL);
    raise_word(&b->gate);
    CHECK_EQ(finish(p), 5);
    CHECK_EQ(finish(f), 5);
    motet_shared_free(b);
}

/* What was adopted by a guard that dies then goes outside; its code is known all the same. */
TEST(one_after_the_other)
{
    board *b = board_new();
    motet_process *p = start_by(MOTET_FORKSERVER, wait_at_gate, b), *q = start_by(MOTET_FORKSERVER, run_for_ever, b);
    motet_process *f = start_by(MOTET_FORK, wait_at_gate, b);
    await_word(&b->count, 3);
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
    CHECK_EQ(motet_process_kill(q), 0);
    CHECK_EQ(finish(q), -SIGKILL);
    raise_word(&b->gate);
    CHECK_EQ(finish(p), 5);
    CHECK_EQ(finish(f), 5);
    CHECK_EQ(finish(start_with(return_value, (void *)3, NULL)), 3);
    motet_shared_free(b);
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
        if (z && kill_place(kills_guard ? &c->guard : &c->zygote, NULL, NULL) && k->guards)
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
    board *b = board_new();
    motet_process *p = start_by(MOTET_FORKSERVER, wait_at_gate, b), *q = start_by(MOTET_FORKSERVER, run_for_ever, b);
    motet_process *f = start_by(MOTET_FORK, wait_at_gate, b), *none = NULL;
    await_word(&b->count, 3);
    control *c = the_control();
    /* Stopped first, so that neither can replace the other. */
    CHECK_EQ(kill(c->guard.pid, SIGSTOP), 0);
    CHECK_EQ(kill(c->zygote.pid, SIGSTOP), 0);
    CHECK_EQ(kill(c->guard.pid, SIGKILL), 0);
    CHECK_EQ(kill(c->zygote.pid, SIGKILL), 0);
    CHECK_EQ(motet_process_start(&none, return_value, NULL, NULL), -EPIPE);
    CHECK_EQ(motet_process_start(&none, return_value, NULL, &(motet_process_options){.method = MOTET_FORK}), -EPIPE);
    CHECK(none == NULL);
    CHECK_EQ(motet_process_kill(q), 0);
    CHECK_EQ(finish(q), -SIGKILL);
    CHECK_EQ(motet_process_join(p, NULL, MOTET_NOWAIT), -ETIMEDOUT);
    raise_word(&b->gate);
    CHECK_EQ(finish(p), 5);
    CHECK_EQ(finish(f), 5);
    motet_shared_free(b);
}

/* ---- the root --------------------------------------------------------------------------------------- */

/* Numbers that a family leaves for the one who kills it, in memory that both see. */
typedef struct trace {
    uint32_t ready, count;
    pid_t pids[64];
    uint64_t started[64];
} trace;

static trace *seen;

static void note_pid(void)
{
    uint32_t i = atomic_add_seq_cst(&seen->count, 1);
    seen->pids[i] = getpid();
    seen->started[i] = sys_pid_started(getpid());
    atomic_add_seq_cst(&seen->ready, 1);
}

static int stay(void *arg)
{
    note_pid();
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
    note_pid();
    for (;;)
        pause();
}

/* A family of its own, in a child of the test's; when it stands, `harm` is done to it. */
static void end_of_a_family(void (*harm)(pid_t root))
{
    seen = mmap(NULL, sizeof *seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(seen != MAP_FAILED);
    pid_t root = fork();
    if (root == 0)
        be_root();
    /* The root, two with children; of each a child, a fork, and a child of its own: 9. */
    while (atomic_load_seq_cst(&seen->ready) < 9)
        motet_yield();
    harm(root);
    CHECK_EQ(waitpid(root, NULL, 0), root);
    for (int i = 0; i < 9; i++)
        await_gone(seen->pids[i], seen->started[i]);
    munmap(seen, sizeof *seen);
}

static void kill_it(pid_t root) { CHECK_EQ(kill(root, SIGKILL), 0); }

static int note_and_go(void *arg)
{
    uint32_t i = atomic_add_seq_cst(&seen->count, 1) % 64;
    seen->pids[i] = getpid();
    seen->started[i] = sys_pid_started(getpid());
    return stay(NULL);
}

static void be_root_for_ever(void)
{
    motet_init(NULL, NULL);
    control *c = the_control();
    seen->pids[62] = c->guard.pid;
    seen->started[62] = c->guard.started;
    seen->pids[63] = c->zygote.pid;
    seen->started[63] = c->zygote.started;
    atomic_add_seq_cst(&seen->ready, 1);
    for (int i = 0;; i++) {
        motet_process *p = NULL;
        CHECK_EQ(motet_process_start(&p, note_and_go, NULL, &(motet_process_options){.method = methods[i % 5 == 4]}),
                 0);
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
        seen = mmap(NULL, sizeof *seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        CHECK(seen != MAP_FAILED);
        pid_t root = fork();
        if (root == 0)
            be_root_for_ever();
        while (!atomic_load_seq_cst(&seen->ready))
            motet_yield();
        for (int i = 0; i < round * 40; i++)
            motet_yield();
        if (round % 3 == 1)
            kill(seen->pids[63], SIGKILL);
        if (round % 3 == 2)
            kill(seen->pids[62], SIGKILL);
        CHECK_EQ(kill(root, SIGKILL), 0);
        CHECK_EQ(waitpid(root, NULL, 0), root);
        for (int i = 0; i < 64; i++)
            await_gone(seen->pids[i], seen->started[i]);
        munmap(seen, sizeof *seen);
    }
}

TEST(a_family_ends_with_its_root) { end_of_a_family(kill_it); }
