/* SPDX-License-Identifier: MIT */
/* What a process finds and what it leaves alone: signals, descriptors, limits, the program's own children. */
#include "process/test_process.h"

#include <signal.h>
#include <sys/resource.h>

TEST_SETTLE(close_processes);

static void handler(int number) {}

/* Bits of what a process finds: USR1 blocked, USR2 blocked, a handler for HUP, QUIT ignored, CHLD ignored, anything pending. */
static int look_at_signals(void *arg)
{
    sigset_t mask, pending;
    struct sigaction hup, quit, child;
    int seen = 0;
    sigprocmask(SIG_SETMASK, NULL, &mask);
    sigpending(&pending);
    sigaction(SIGHUP, NULL, &hup);
    sigaction(SIGQUIT, NULL, &quit);
    sigaction(SIGCHLD, NULL, &child);
    seen |= sigismember(&mask, SIGUSR1) ? 1 : 0;
    seen |= sigismember(&mask, SIGUSR2) ? 2 : 0;
    seen |= hup.sa_handler == handler ? 4 : 0;
    seen |= quit.sa_handler == SIG_IGN ? 8 : 0;
    seen |= child.sa_handler == SIG_IGN ? 16 : 0;
    for (int i = 1; i < NSIG; i++)
        seen |= sigismember(&pending, i) > 0 ? 32 : 0;
    for (int i = 1; i < NSIG; i++)
        if (i != SIGUSR1 && i != SIGUSR2 && sigismember(&mask, i) > 0)
            seen |= 64;
    return seen;
}

static void block(int number, bool on)
{
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, number);
    sigprocmask(on ? SIG_BLOCK : SIG_UNBLOCK, &one, NULL);
}

TEST(signals_are_as_they_were_at_motet_init)
{
    block(SIGUSR1, true);
    signal(SIGHUP, handler);
    signal(SIGQUIT, SIG_IGN);
    CHECK_EQ(motet_init(NULL, NULL), 0);
    /* Later changes are the program's own. */
    block(SIGUSR1, false);
    block(SIGUSR2, true);
    raise(SIGUSR2);
    signal(SIGHUP, SIG_DFL);
    signal(SIGQUIT, SIG_DFL);
    CHECK_EQ(finish(start_by(MOTET_FORKSERVER, look_at_signals, NULL)), 1 | 4 | 8);
    CHECK_EQ(finish(start_by(MOTET_SPAWN, look_at_signals, NULL)), 1 | 8);
    CHECK_EQ(finish(start_by(MOTET_FORK, look_at_signals, NULL)), 2);
    signal(SIGUSR2, SIG_IGN);
    block(SIGUSR2, false);
}

TEST(a_program_that_ignores_SIGCHLD)
{
    signal(SIGCHLD, SIG_IGN);
    CHECK_EQ(motet_init(NULL, NULL), 0);
    CHECK_EQ(finish(start_by(MOTET_FORKSERVER, look_at_signals, NULL)), 16);
    CHECK_EQ(finish(start_by(MOTET_SPAWN, look_at_signals, NULL)), 16);
    CHECK_EQ(finish(start_by(MOTET_FORKSERVER, return_value, (void *)9)), 9);
    /* Its body said so, though the kernel reaped it. */
    CHECK_EQ(finish(start_by(MOTET_FORK, return_value, (void *)9)), 9);
}

static volatile sig_atomic_t child_signals;
static void count_child(int number) { child_signals++; }

TEST(the_program_gets_no_SIGCHLD_and_wait_sees_nobody)
{
    board *b = board_new();
    signal(SIGCHLD, count_child);
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(finish(start_by(MOTET_FORKSERVER, return_value, NULL)), 0);
        CHECK_EQ(finish(start_by(MOTET_SPAWN, return_value, NULL)), 0);
    }
    motet_process *p = start_by(MOTET_FORKSERVER, wait_at_gate, b);
    CHECK_EQ(wait(NULL), -1);
    CHECK_EQ(errno, ECHILD);
    CHECK_EQ(child_signals, 0);
    raise_word(&b->gate);
    CHECK_EQ(finish(p), 5);
    CHECK_EQ(child_signals, 0);
    motet_shared_free(b);
}

TEST(a_wait_of_the_programs_may_take_a_forks_end)
{
    CHECK_EQ(motet_init(NULL, NULL), 0);
    motet_process *p = start_by(MOTET_FORK, return_value, (void *)6);
    int status;
    CHECK_EQ(wait(&status), motet_process_pid(p));
    CHECK_EQ(WEXITSTATUS(status), 6);
    CHECK_EQ(finish(p), 6);
}

/* ---- descriptors ----------------------------------------------------------------------------------- */

static int count_descriptors(void *arg)
{
    int count = 0;
    for (int i = 0; i < 1000; i++)
        count += fcntl(i, F_GETFD) >= 0;
    return count;
}

TEST(a_process_has_what_was_open_at_motet_init)
{
    int before = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int own = count_descriptors(NULL);
    CHECK_EQ(motet_init(NULL, NULL), 0);
    int after = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int all = count_descriptors(NULL);
    CHECK_LE(all - own, 4); /* that one, the arena, two bells */
    CHECK_EQ(finish(start_by(MOTET_FORKSERVER, count_descriptors, NULL)), all - 1);
    CHECK_EQ(finish(start_by(MOTET_FORK, count_descriptors, NULL)), all);
    CHECK_EQ(finish(start_by(MOTET_SPAWN, count_descriptors, NULL)), all - 2);
    close(before);
    close(after);
}

static int use_a_few(void *arg)
{
    for (int m = 0; m < METHODS; m++)
        CHECK_EQ(finish(start_by(methods[m], return_value, (void *)3)), 3);
    return 1;
}

TEST(few_descriptors_are_enough)
{
    struct rlimit few = {64, 64};
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
    board *b = board_new();
    motet_process *p[80];
    for (int i = 0; i < 80; i++)
        p[i] = start_by(MOTET_FORKSERVER, wait_at_gate, b);
    for (int m = 0; m < METHODS; m++)
        CHECK_EQ(finish(start_by(methods[m], use_a_few, NULL)), 1);
    raise_word(&b->gate);
    for (int i = 0; i < 80; i++)
        CHECK_EQ(finish(p[i]), 5);
    motet_shared_free(b);
}

/* More processes of MOTET_FORK than the guard has descriptors for: their ends are found all the same. */
TEST(more_strangers_than_descriptors)
{
    enum { MANY = 30 };
    struct rlimit few = {MANY + 20, MANY + 20}, fewer = {MANY / 2, MANY + 20};
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &fewer), 0);
    board *b = board_new();
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
    motet_process *p[MANY];
    for (int i = 0; i < MANY; i++)
        p[i] = start_by(MOTET_FORK, wait_at_gate, b);
    await_word(&b->count, MANY);
    raise_word(&b->gate);
    for (int i = 0; i < MANY; i++)
        CHECK_EQ(finish(p[i]), 5);
    motet_shared_free(b);
}

TEST(without_standard_descriptors)
{
    int saved[3];
    for (int i = 0; i < 3; i++) {
        saved[i] = fcntl(i, F_DUPFD_CLOEXEC, 10);
        close(i);
    }
    CHECK_EQ(motet_init(NULL, NULL), 0);
    for (int m = 0; m < METHODS; m++)
        CHECK_EQ(finish(start_by(methods[m], count_descriptors, NULL)), methods[m] == MOTET_SPAWN ? 3 : 6);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(fcntl(i, F_GETFD), -1);
    CHECK_EQ(motet__process_close(), 0);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(dup2(saved[i], i), i);
        close(saved[i]);
    }
}

/* ---- too little ------------------------------------------------------------------------------------ */

TEST(no_more_processes)
{
    if (getuid() == 0)
        SKIP("root has no such limit");
    struct rlimit none = {0, 0};
    CHECK_EQ(setrlimit(RLIMIT_NPROC, &none), 0);
    motet_process *p = NULL;
    CHECK_EQ(motet_process_start(&p, return_value, NULL, NULL), -EAGAIN);
    CHECK(p == NULL);
}

TEST(no_descriptors_at_all)
{
    motet_process *p = NULL;
    for (rlim_t n = 3; n < 12; n++) {
        struct rlimit few = {n, 1000};
        CHECK_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
        int e = motet_process_start(&p, return_value, (void *)2, NULL);
        if (e == 0)
            CHECK_EQ(finish(p), 2);
        else
            CHECK(e == -EMFILE || e == -EAGAIN);
        CHECK_EQ(motet__process_close(), 0);
        p = NULL;
    }
    struct rlimit more = {1000, 1000};
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &more), 0);
    CHECK_EQ(finish(start_with(return_value, (void *)2, NULL)), 2);
}
