/* SPDX-License-Identifier: MIT */
/* Moments that zygote_test.c leaves to chance, held: deaths while a process that stands ready, a starter, a watcher is
 * stopped. */
#include "process/test_process.h"

#include "family/claim.h"

#include <sys/mman.h>
#include <sys/resource.h>

TEST_SETTLE(close_processes);

static control *the_control(void) { return motet__process.control; }

/* ---- one at a time --------------------------------------------------------------------------------- */

typedef struct other {
    pid_t pid;
    uint64_t started;
} other;

static other other_of(pid_t pid) { return (other){pid, sys_pid_started(pid)}; }

/* The n-th word of its stat file behind the name, from 0; as text. */
static void stat_word_of(pid_t pid, int n, char ret[32])
{
    char path[64], text[1024] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "r");
    size_t size = f ? fread(text, 1, sizeof text - 1, f) : 0;
    if (f)
        fclose(f);
    text[size] = 0;
    const char *at = strrchr(text, ')');
    for (int i = 0; at && i <= n; i++)
        at = strchr(at + 1, ' ');
    snprintf(ret, 32, "%.31s", at ? at + 1 : "");
}

static void stop(pid_t pid)
{
    char state[32];
    CHECK_EQ(kill(pid, SIGSTOP), 0);
    do
        stat_word_of(pid, 0, state);
    while (state[0] != 'T');
}

static pid_t parent_of(pid_t pid)
{
    char parent[32];
    stat_word_of(pid, 1, parent);
    return atoi(parent);
}

static void kill_one(other o)
{
    CHECK_EQ(kill(o.pid, SIGKILL), 0);
    await_gone(o.pid, o.started);
}

/* The process that stands ready, stopped. */
static other stopped_spare(void)
{
    pid_t pid;
    CHECK_EQ(finish(start_with(return_value, (void *)1, NULL)), 1); /* after one it makes another */
    while (!(pid = atomic_load_seq_cst(&the_control()->spare)))
        motet_yield();
    stop(pid);
    return other_of(pid);
}

/* The first slot in that state; NULL: none. */
static slot *slot_in(enum slot_state state)
{
    control *c = the_control();
    for (uint32_t i = 0; i < atomic_load_acquire(&c->slots_used); i++)
        if (slot_state_of(atomic_load_seq_cst(&c->slots[i].word)) == state)
            return &c->slots[i];
    return NULL;
}

static slot *await_slot(enum slot_state state)
{
    slot *s;
    while (!(s = slot_in(state)))
        motet_yield();
    return s;
}

/* Kills zygote or guard, and waits until there are both again. */
static void replace(bool the_guard)
{
    control *c = the_control();
    member_tag z = atomic_load_acquire(&c->zygote.tag), g = atomic_load_acquire(&c->guard.tag);
    CHECK_EQ(kill(the_guard ? c->guard.pid : c->zygote.pid, SIGKILL), 0);
    for (;;) {
        uint32_t deaths = motet__family_deaths(), changed = atomic_load_seq_cst(&c->changed);
        member_tag now = atomic_load_acquire(&c->zygote.tag);
        if (now && now != z && (atomic_load_acquire(&c->guard.tag) == g) != the_guard)
            return;
        motet__family_wait(&c->changed, changed, deaths, MOTET_FOREVER, 0);
    }
}

/* ---- starts ---------------------------------------------------------------------------------------- */

static int start_one(void *arg) { return finish(start_with(return_value, arg, NULL)); }

typedef struct stuck {
    other spare;
    motet_thread *starter;
} stuck;

/* A start that is given to a spare which stands still. */
static stuck begin_stuck(void)
{
    CHECK_EQ(motet_init(NULL, NULL), 0);
    stuck s = {.spare = stopped_spare()};
    CHECK_EQ(motet_thread_start(&s.starter, start_one, (void *)3, NULL), 0);
    await_slot(SLOT_TAKEN);
    return s;
}

/* The spare is killed: what becomes of the start. */
static int end_stuck(stuck s)
{
    int code = 0;
    kill_one(s.spare);
    CHECK_EQ(motet_thread_join(s.starter, &code, MOTET_FOREVER), 0);
    motet_thread_free(s.starter);
    return code;
}

/* Who becomes the guard had begun a start as the zygote, and dies. */
TEST(a_start_outlives_two_guards)
{
    stuck s = begin_stuck();
    replace(true);
    replace(true);
    CHECK_EQ(end_stuck(s), 3);
}

/* However many are started meanwhile. */
TEST(one_that_dies_before_it_runs_is_not_forgotten)
{
    enum { STARTS = 1600 };
    stuck s = begin_stuck();
    for (int i = 0; i < STARTS; i++)
        CHECK_EQ(finish(start_with(return_value, (void *)1, NULL)), 1);
    CHECK_EQ(end_stuck(s), -SIGKILL);
}

static int note_itself(void *arg)
{
    board *b = arg;
    b->values[1] = getpid();
    return wait_at_gate(b);
}

static int start_and_compare(void *arg)
{
    board *b = arg;
    motet_process *p = start_with(note_itself, b, NULL);
    await_word(&b->count, 1);
    b->values[0] = motet_process_pid(p);
    raise_word(&b->gate);
    return finish(p);
}

/* Of two that were made for one start the first writes last, what it is. */
TEST(one_that_comes_too_late_leaves_nothing_in_the_slot)
{
    board *b = board_new();
    family *f = motet__family;
    other spare = stopped_spare();
    motet_process *starter = start_by(MOTET_FORK, start_and_compare, b);
    slot *s = await_slot(SLOT_TAKEN);
    stop(motet_process_pid(starter));
    /* As if who recovers had been stopped: so the place that was claimed for the first one is not given back. */
    while (claim_acquire(&f->recovering, MOTET_NOWAIT, false) < 0)
        motet_yield();
    replace(false);
    while (slot_state_of(atomic_load_seq_cst(&s->word)) != SLOT_RUNNING)
        motet_yield();
    CHECK_EQ(kill(spare.pid, SIGCONT), 0);
    await_gone(spare.pid, spare.started);
    claim_release(&f->recovering);
    CHECK_EQ(kill(motet_process_pid(starter), SIGCONT), 0);
    CHECK_EQ(finish(starter), 5);
    CHECK_EQ(b->values[0], b->values[1]);
    motet_shared_free(b);
}

/* ---- what is left ---------------------------------------------------------------------------------- */

static int start_fork_and_stay(void *arg)
{
    board *b = arg;
    start_by(MOTET_FORK, wait_at_gate, b);
    await_word(&b->count, 1);
    return run_for_ever(b);
}

static int wait_for_other(void *arg)
{
    board *b = arg;
    await_word(&b->other, 1);
    return 0;
}

/* Its starter's slots are others' by then. */
TEST(a_fork_that_outlives_its_starter_says_nothing_in_its_slot)
{
    board *b = board_new();
    motet_process *starter = start_with(start_fork_and_stay, b, NULL);
    await_word(&b->count, 2);
    slot *forked = await_slot(SLOT_CLAIMED);
    CHECK_EQ(motet_process_kill(starter), 0);
    CHECK_EQ(finish(starter), -SIGKILL);
    motet_process *filler = start_with(wait_for_other, b, NULL), *p = start_with(return_value, (void *)1000, NULL);
    CHECK_PTR(p->slot, forked);
    while (slot_state_of(atomic_load_seq_cst(&forked->word)) != SLOT_ENDED)
        motet_yield();
    uint32_t deaths = motet__family_deaths();
    raise_word(&b->gate);
    while (motet__family_deaths() == deaths)
        motet_yield();
    CHECK_EQ(finish(p), 1000);
    raise_word(&b->other);
    CHECK_EQ(finish(filler), 0);
    motet_shared_free(b);
}

static int start_some_and_stay(void *arg)
{
    board *b = arg;
    for (int i = 0; i < 3; i++)
        start_with(return_value, NULL, NULL);
    return run_for_ever(b);
}

static unsigned slots_in_use(void)
{
    control *c = the_control();
    unsigned n = 0;
    for (uint32_t i = 0; i < atomic_load_acquire(&c->slots_used); i++)
        n += slot_state_of(atomic_load_seq_cst(&c->slots[i].word)) != SLOT_FREE;
    return n;
}

static int start_and_stay(void *arg)
{
    start_with(return_value, NULL, NULL);
    return run_for_ever(arg);
}

/* Who asked dies while it is being made. */
TEST(a_start_of_the_dead_leaves_no_slot)
{
    board *b = board_new();
    other spare = stopped_spare();
    motet_process *starter = start_by(MOTET_FORK, start_and_stay, b);
    await_slot(SLOT_TAKEN);
    CHECK_EQ(motet_process_kill(starter), 0);
    CHECK_EQ(finish(starter), -SIGKILL);
    CHECK_EQ(kill(spare.pid, SIGCONT), 0);
    while (slots_in_use())
        motet_sleep(motet_after(MOTET_MS));
    motet_shared_free(b);
}

/* A watcher dies between the burial of a starter and the sweep of its slots. */
TEST(slots_of_the_buried_are_freed)
{
    board *b = board_new();
    motet_process *starter = start_with(start_some_and_stay, b, NULL);
    await_word(&b->count, 1);
    other o = other_of(motet_process_pid(starter));
    member_tag tag = starter->tag;
    stop(the_control()->zygote.pid);
    kill_one(o);
    motet__member_bury(tag); /* as the zygote would */
    replace(false);
    CHECK_EQ(finish(starter), -SIGKILL);
    while (slots_in_use())
        motet_sleep(motet_after(MOTET_MS));
    motet_shared_free(b);
}

/* ---- watchers -------------------------------------------------------------------------------------- */

/* What a dead zygote leaves comes to the guard, also to one that was a zygote. */
TEST(a_new_guard_adopts_as_well)
{
    board *b = board_new();
    replace(true);
    motet_process *p = start_by(MOTET_FORKSERVER, wait_at_gate, b);
    await_word(&b->count, 1);
    CHECK_EQ(parent_of(motet_process_pid(p)), the_control()->zygote.pid);
    replace(false);
    CHECK_EQ(parent_of(motet_process_pid(p)), the_control()->guard.pid);
    raise_word(&b->gate);
    CHECK_EQ(finish(p), 5);
    motet_shared_free(b);
}

/* One that can't begin, after others that have: the guard goes on. */
TEST(a_guard_outlives_a_zygote_that_never_began)
{
    CHECK_EQ(motet_init(NULL, NULL), 0);
    control *c = the_control();
    struct rlimit was, none;
    CHECK_EQ(prlimit(c->guard.pid, RLIMIT_NOFILE, NULL, &was), 0);
    none = (struct rlimit){0, was.rlim_max};
    CHECK_EQ(prlimit(c->guard.pid, RLIMIT_NOFILE, &none, NULL), 0);
    uint32_t deaths = motet__family_deaths();
    kill_one(other_of(c->zygote.pid));
    while (motet__family_deaths() - deaths < 2)
        motet_yield();
    CHECK_EQ(prlimit(c->guard.pid, RLIMIT_NOFILE, &was, NULL), 0);
    motet_process *p = NULL;
    int e;
    while ((e = motet_process_start(&p, return_value, (void *)3, NULL)) == -EAGAIN) {}
    CHECK_EQ(e, 0);
    CHECK_EQ(finish(p), 3);
}

typedef struct trace {
    uint32_t ready;
    other root, guard, zygote, member;
} trace;

static trace *seen;

static int stay(void *arg)
{
    seen->member = other_of(getpid());
    atomic_store_seq_cst(&seen->ready, 1);
    for (;;)
        pause();
    return 0;
}

static void be_root(bool exits)
{
    motet_process *p;
    CHECK_EQ(motet_init(NULL, NULL), 0);
    control *c = the_control();
    seen->guard = other_of(c->guard.pid);
    seen->zygote = other_of(c->zygote.pid);
    CHECK_EQ(motet_process_start(&p, stay, NULL, &(motet_process_options){.daemon = true}), 0);
    if (exits) {
        while (atomic_load_seq_cst(&seen->ready) != 1)
            motet_yield();
        stop(seen->guard.pid);
        atomic_store_seq_cst(&seen->ready, 2);
        exit(0);
    }
    for (;;)
        pause();
}

static void end_with_a_stopped_guard(bool exits)
{
    seen = mmap(NULL, sizeof *seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(seen != MAP_FAILED);
    pid_t root = fork();
    if (root == 0)
        be_root(exits);
    while (atomic_load_seq_cst(&seen->ready) < (exits ? 2 : 1))
        motet_yield();
    if (exits) {
        await_gone(seen->member.pid, seen->member.started);
        motet_sleep(motet_after(20 * MOTET_MS)); /* by then it waits for its watchers */
    } else {
        stop(seen->guard.pid);
    }
    CHECK_EQ(kill(root, SIGKILL), 0);
    CHECK_EQ(waitpid(root, NULL, 0), root);
    await_gone(seen->member.pid, seen->member.started);
    await_gone(seen->zygote.pid, seen->zygote.started);
    await_gone(seen->guard.pid, seen->guard.started);
    munmap(seen, sizeof *seen);
}

TEST(a_stopped_guard_does_not_outlive_its_root) { end_with_a_stopped_guard(false); }

TEST(nor_one_whose_root_is_killed_on_its_way_out) { end_with_a_stopped_guard(true); }
