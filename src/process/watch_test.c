/* SPDX-License-Identifier: MIT */
/* Moments that zygote_test.c leaves to chance, held: deaths while a process that stands ready, a starter, a watcher is
 * stopped. */
#include "process/test_process.h"

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

/* Who becomes the guard had begun a start as the zygote, and dies. */
TEST(a_start_outlives_two_guards)
{
    motet_thread *t;
    int code = 0;
    CHECK_EQ(motet_init(NULL, NULL), 0);
    other spare = stopped_spare();
    CHECK_EQ(motet_thread_start(&t, start_one, (void *)3, NULL), 0);
    await_slot(SLOT_TAKEN);
    replace(true);
    replace(true);
    kill_one(spare);
    CHECK_EQ(motet_thread_join(t, &code, MOTET_FOREVER), 0);
    CHECK_EQ(code, 3);
    motet_thread_free(t);
}

/* However many are started meanwhile. */
TEST(one_that_dies_before_it_runs_is_not_forgotten)
{
    enum { STARTS = 1600 };
    motet_thread *t;
    int code = 0;
    CHECK_EQ(motet_init(NULL, NULL), 0);
    other spare = stopped_spare();
    CHECK_EQ(motet_thread_start(&t, start_one, (void *)3, NULL), 0);
    await_slot(SLOT_TAKEN);
    for (int i = 0; i < STARTS; i++)
        CHECK_EQ(finish(start_with(return_value, (void *)1, NULL)), 1);
    kill_one(spare);
    CHECK_EQ(motet_thread_join(t, &code, MOTET_FOREVER), 0);
    CHECK_EQ(code, -SIGKILL);
    motet_thread_free(t);
}
