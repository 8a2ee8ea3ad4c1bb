/* SPDX-License-Identifier: MIT */
/* The children of raw forks: before and after motet_after_fork_child. */
#include "process/test_process.h"

TEST_SETTLE(close_processes);

static int in_fork(int (*body)(void *), void *arg)
{
    int status;
    pid_t pid = fork();
    CHECK_GE(pid, 0);
    if (pid == 0)
        _exit(body(arg));
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

typedef struct inherited {
    board *b;
    motet_process *p;
    motet_lock lock;
} inherited;

static int all_fails(void *arg)
{
    inherited *from = arg;
    motet_process *p = NULL;
    int code = 77;
    for (int m = 0; m < METHODS; m++)
        CHECK_EQ(motet_process_start(&p, return_value, NULL, &(motet_process_options){.method = methods[m]}), -EPERM);
    CHECK_EQ(motet_process_join(from->p, &code, MOTET_FOREVER), -EPERM);
    CHECK_EQ(motet_process_exit_code(from->p, &code), -EPERM);
    CHECK_EQ(motet_process_kill(from->p), -EPERM);
    CHECK_EQ(motet_process_terminate(from->p), -EPERM);
    CHECK_EQ(motet_process_fd(from->p), -EPERM);
    CHECK(!motet_process_alive(from->p));
    CHECK(motet_process_current() == NULL);
    CHECK_EQ(motet_active_children(NULL, 0), -EPERM);
    CHECK_EQ(motet_init(NULL, NULL), -EPERM);
    CHECK_STR(motet_process_name(from->p), "Process-1");
    motet_process_free(from->p);
    CHECK(p == NULL);
    return 0;
}

TEST(before_it_everything_fails)
{
    inherited from = {.b = board_new()};
    from.p = start_by(MOTET_FORKSERVER, wait_at_gate, from.b);
    CHECK_EQ(in_fork(all_fails, &from), 0);
    CHECK(motet_process_alive(from.p));
    raise_word(&from.b->gate);
    CHECK_EQ(finish(from.p), 5);
    motet_shared_free(from.b);
}

static int add_one(void *word)
{
    atomic_add_seq_cst((uint32_t *)word, 1);
    return 0;
}

static int start_afresh(void *arg)
{
    inherited *from = arg;
    motet_thread *t, *listed[4];
    CHECK_EQ(motet_after_fork_child(), 0);
    CHECK_EQ(motet_after_fork_child(), -EINVAL);
    CHECK_EQ(motet_process_join(from->p, NULL, MOTET_NOWAIT), -EPERM);
    CHECK_EQ(motet_active_children(NULL, 0), 0);
    motet_process *me = motet_process_current();
    CHECK_STR(motet_process_name(me), "MainProcess");
    CHECK_EQ(motet_process_pid(me), getpid());
    motet_process_free(me);
    /* Threads and waits. */
    uint32_t word = 0;
    CHECK_EQ(motet_thread_enumerate(listed, 4), 1);
    motet_thread_free(listed[0]);
    CHECK_EQ(motet_thread_start(&t, add_one, &word, NULL), 0);
    CHECK_EQ(motet_thread_join(t, NULL, MOTET_FOREVER), 0);
    motet_thread_free(t);
    CHECK_EQ(word, 1);
    /* Shared memory and processes: it joins by itself. */
    CHECK_EQ(motet__family_self(), 0);
    for (int m = 0; m < METHODS; m++)
        CHECK_EQ(finish(start_by(methods[m], add_one, &from->b->other)), 0);
    CHECK_NE(motet__family_self(), 0);
    return 9;
}

TEST(after_it_there_are_threads_and_processes_again)
{
    inherited from = {.b = board_new()};
    from.p = start_by(MOTET_FORKSERVER, wait_at_gate, from.b);
    CHECK_EQ(in_fork(start_afresh, &from), 9);
    CHECK_EQ(from.b->other, METHODS);
    raise_word(&from.b->gate);
    CHECK_EQ(finish(from.p), 5);
    motet_shared_free(from.b);
}

static int leave_by_exit(void *arg)
{
    board *b = arg;
    CHECK_EQ(motet_after_fork_child(), 0);
    start_by(MOTET_FORKSERVER, wait_at_gate, b);
    motet_process_free(start_with(run_for_ever, b, &(motet_process_options){.daemon = true}));
    await_word(&b->count, 2);
    raise_word(&b->gate);
    exit(8); /* waits for the one, ends the other */
}

TEST(its_exit_keeps_the_rule_for_its_own)
{
    board *b = board_new();
    CHECK_EQ(in_fork(leave_by_exit, b), 8);
    CHECK_EQ(finish(start_with(return_value, (void *)1, NULL)), 1); /* guard and zygote are the parent's */
    motet_shared_free(b);
}

static int use_lock(void *arg)
{
    motet_lock *l = arg;
    CHECK_EQ(motet_lock_acquire(l, MOTET_FOREVER), 0);
    return 0; /* dies with it */
}

TEST(shared_objects_work_without_it)
{
    CHECK_EQ(motet_init(NULL, NULL), 0);
    motet_lock *l = motet_shared_alloc(sizeof *l);
    CHECK_EQ(motet_lock_init(l, MOTET_SHARED), 0);
    CHECK_EQ(in_fork(use_lock, l), 0);
    CHECK_EQ(motet_lock_acquire(l, MOTET_FOREVER), MOTET_RECOVERED); /* the guard has seen its end */
    CHECK_EQ(motet_lock_release(l), 0);
    motet_shared_free(l);
}

static int claim_and_die(void *arg)
{
    CHECK_GT(motet__member_claim(), 0);
    raise(SIGKILL);
    return 0;
}

static unsigned joining_places(void)
{
    const family *f = motet__family;
    unsigned n = 0;
    for (uint32_t i = 1; i < atomic_load_acquire(&f->places_used); i++)
        n += member_word_state(atomic_load_seq_cst(&f->members[i].state)) == MEMBER_JOINING;
    return n;
}

/* Killed on its way: when the next one comes the place is given back. */
TEST(who_dies_while_it_joins_keeps_no_place)
{
    CHECK_EQ(motet_init(NULL, NULL), 0);
    motet_lock *l = motet_shared_alloc(sizeof *l);
    CHECK_EQ(motet_lock_init(l, MOTET_SHARED), 0);
    CHECK_EQ(in_fork(claim_and_die, NULL), -SIGKILL);
    CHECK_EQ(joining_places(), 1);
    CHECK_EQ(in_fork(use_lock, l), 0);
    while (joining_places())
        motet_yield();
    motet_shared_free(l);
}

static uint32_t enough;

/* Comes no further than to look whether there is a zygote. */
static int ask_for_nothing(void *arg)
{
    motet_process *p;
    while (!atomic_load_relaxed(&enough))
        CHECK_EQ(motet_process_start(&p, (motet_fn *)(uintptr_t)arg, NULL, NULL), -EFAULT);
    return 0;
}

static int use_lock_and_go(void *arg)
{
    motet_lock *l = arg;
    CHECK_EQ(motet_lock_acquire(l, MOTET_FOREVER), 0);
    CHECK_EQ(motet_lock_release(l), 0);
    return 0;
}

TEST(nor_are_they_held_up_by_threads_that_are_not_there)
{
    motet_thread *t;
    CHECK_EQ(motet_init(NULL, NULL), 0);
    motet_lock *l = motet_shared_alloc(sizeof *l);
    CHECK_EQ(motet_lock_init(l, MOTET_SHARED), 0);
    CHECK_EQ(motet_thread_start(&t, ask_for_nothing, l, NULL), 0);
    for (int i = 0; i < 100; i++)
        CHECK_EQ(in_fork(use_lock_and_go, l), 0);
    atomic_store_relaxed(&enough, 1);
    CHECK_EQ(motet_thread_join(t, NULL, MOTET_FOREVER), 0);
    motet_thread_free(t);
    motet_shared_free(l);
}

static int own_family(void *arg)
{
    CHECK_EQ(motet_after_fork_child(), 0);
    CHECK(!motet_shared_contains(arg));
    CHECK_EQ(finish(start_with(return_value, (void *)4, NULL)), 4);
    void *p = motet_shared_alloc(100);
    CHECK(p != NULL && p != arg);
    motet_shared_free(p);
    exit(3);
}

TEST(where_there_is_no_zygote_it_has_its_own_family)
{
    void *p = motet_shared_alloc(64);
    CHECK_EQ(in_fork(own_family, p), 3);
    motet_shared_free(p);
}

/* ---- forks beside threads and held locks ------------------------------------------------------------ */

static int wait_for_word(void *arg)
{
    board *b = arg;
    await_word(&b->gate, 1);
    return 0;
}

static int see_only_itself(void *arg)
{
    motet_thread *listed[4], *me = motet_thread_current();
    CHECK_EQ(motet_thread_enumerate(listed, 4), 1);
    CHECK_PTR(listed[0], me);
    motet_thread *other = *(motet_thread **)arg;
    CHECK(!motet_thread_alive(other));
    int code;
    CHECK_EQ(motet_thread_join(other, &code, MOTET_FOREVER), 0);
    CHECK_EQ(code, -ECANCELED);
    return 2;
}

static int fork_from_thread(void *arg)
{
    CHECK_EQ(finish(start_by(MOTET_FORK, see_only_itself, arg)), 2);
    return 0;
}

TEST(a_fork_has_one_thread)
{
    board *b = board_new();
    motet_thread *t, *u;
    CHECK_EQ(motet_thread_start(&t, wait_for_word, b, NULL), 0);
    CHECK_EQ(finish(start_by(MOTET_FORK, see_only_itself, &t)), 2);
    CHECK_EQ(motet_thread_start(&u, fork_from_thread, &t, NULL), 0);
    CHECK_EQ(motet_thread_join(u, NULL, MOTET_FOREVER), 0);
    motet_thread_free(u);
    raise_word(&b->gate);
    CHECK_EQ(motet_thread_join(t, NULL, MOTET_FOREVER), 0);
    motet_thread_free(t);
    motet_shared_free(b);
}

/* Forks while other threads start, join and end: none of the library's locks is held for ever in the copy. */
static uint32_t stop;

static int churn(void *arg)
{
    while (!atomic_load_relaxed(&stop)) {
        motet_thread *t;
        motet_timer *timer;
        CHECK_EQ(motet_thread_start(&t, return_value, NULL, NULL), 0);
        CHECK_EQ(motet_timer_start(&timer, motet_after(MOTET_S * 1000), return_value, NULL), 0);
        CHECK_EQ(motet_timer_cancel(timer), 0);
        motet_timer_free(timer);
        CHECK_EQ(motet_thread_join(t, NULL, MOTET_FOREVER), 0);
        motet_thread_free(t);
        motet_shared_free(motet_shared_alloc(100));
        CHECK_EQ(finish(start_with(return_value, NULL, NULL)), 0);
    }
    return 0;
}

static int do_the_same(void *arg)
{
    motet_thread *t;
    motet_timer *timer;
    static uint32_t word; /* the timer may come to it when this has returned */
    CHECK_EQ(motet_thread_start(&t, add_one, &word, NULL), 0);
    CHECK_EQ(motet_thread_join(t, NULL, MOTET_FOREVER), 0);
    motet_thread_free(t);
    CHECK_EQ(motet_timer_start(&timer, motet_now(), add_one, &word), 0);
    motet_timer_free(timer);
    motet_shared_free(motet_shared_alloc(100));
    CHECK_EQ(finish(start_with(return_value, (void *)7, NULL)), 7);
    return 1;
}

TEST(forks_beside_busy_threads)
{
    motet_thread *t[2];
#ifdef TEST_UNDER_TSAN
    SKIP("ThreadSanitizer lets no process that was forked beside threads have any");
#endif
#ifdef TEST_UNDER_ASAN
    SKIP("AddressSanitizer's allocator is forked with the locks that other threads hold");
#endif
    CHECK_EQ(motet_init(NULL, NULL), 0);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(motet_thread_start(&t[i], churn, NULL, NULL), 0);
    for (int i = 0; i < 30; i++)
        CHECK_EQ(finish(start_by(MOTET_FORK, do_the_same, NULL)), 1);
    atomic_store_relaxed(&stop, 1);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(motet_thread_join(t[i], NULL, MOTET_FOREVER), 0);
        motet_thread_free(t[i]);
    }
}
