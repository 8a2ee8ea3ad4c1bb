/* SPDX-License-Identifier: MIT */
/*
 * Tests that must fail, each in its own way: scripts/runner.py runs them with the runner and holds its reports
 * against what each deserves. Not part of motet-test.
 */
#include "runner.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

TEST(passes) { LOG("a quiet line"); }

TEST(check_false) { CHECK(1 + 1 == 3); }
TEST(check_eq)
{
    int n = 5;
    LOG("before the check");
    CHECK_EQ(n, 6 - 2);
}
TEST(check_str) { CHECK_STR("left", "right"); }
TEST(check_str_null) { CHECK_STR(NULL, "right"); }
TEST(check_ptr) { CHECK_PTR((void *)0x10, NULL); }
TEST(check_mem) { CHECK_MEM("abcd", "abXd", 4); }

static void *fail_in_thread(void *arg)
{
    CHECK_PTR(arg, &arg);
    return NULL;
}

TEST(check_in_thread)
{
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, fail_in_thread, NULL), 0);
    for (;;)
        pause();
}

/* Its parent does not look at how it ended; the guard does. */
TEST(check_in_child)
{
    pid_t child = fork();
    if (child == 0)
        CHECK(!"in the child");
    waitpid(child, NULL, 0);
}

TEST(check_without_stderr)
{
    close(STDERR_FILENO);
    close(STDOUT_FILENO);
    CHECK(!"heard all the same");
}

TEST(crash) { raise(SIGSEGV); }
TEST(stops_early) { exit(0); }
TEST(wrong_exit_code) { exit(4); }
TEST_OPT(expected_code_missing, .exit_code = 3) {}
TEST_OPT(expected_signal_missing, .signal = SIGABRT) {}
TEST_OPT(other_signal, .signal = SIGABRT) { raise(SIGTERM); }

static void *sleep_forever(void *arg)
{
    pthread_setname_np(pthread_self(), "sleeper");
    for (;;)
        pause();
    return arg;
}

TEST_OPT(timeout, .timeout_s = 2)
{
    pthread_t thread;
    pthread_create(&thread, NULL, sleep_forever, NULL);
    if (fork() == 0) {
        setsid(); /* out of the test's session: it must be found all the same */
        for (;;)
            pause();
    }
    pthread_join(thread, NULL);
}

TEST(leaks_fd)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    CHECK_EQ(fd, 3);
}
TEST(closes_foreign_fd) { CHECK_EQ(close(STDIN_FILENO), 0); }
TEST(leaks_thread)
{
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, sleep_forever, NULL), 0);
}
TEST(leaks_zombie)
{
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    siginfo_t info;
    CHECK_EQ(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
}
TEST(leaks_child)
{
    if (fork() == 0) {
        for (;;)
            pause();
    }
}

/* Neither a child any more nor in the session. */
TEST(leaks_daemon)
{
    pid_t child = fork();
    if (child == 0) {
        setsid();
        if (fork() == 0) {
            for (;;)
                pause();
        }
        _exit(0);
    }
    CHECK_EQ(waitpid(child, NULL, 0), child);
}

static void *volatile lost;
TEST(leaks_malloc)
{
    lost = malloc(48);
    lost = NULL;
}
TEST(leaks_each)
{
    void *block;
    lost = calloc(1, 10);
    lost = realloc(NULL, 10);
    lost = reallocarray(NULL, 1, 10);
    lost = aligned_alloc(64, 64);
    lost = strdup("123456789");
    lost = strndup("123456789", 4);
    CHECK_EQ(posix_memalign(&block, 64, 64), 0);
    lost = NULL;
}

static void fail_at_exit(void) { CHECK(!"at exit"); }
static void nothing(void) {}
TEST_OPT(at_exit_fails, .at_exit = fail_at_exit) {}
TEST_OPT(at_exit_skipped, .at_exit = nothing) { _exit(0); }

TEST(fork_returns)
{
    pid_t child = fork();
    if (child != 0)
        waitpid(child, NULL, 0);
}

TEST(skipped) { SKIP("no such thing here"); }
TEST(prints)
{
    printf("without a newline");
    CHECK(0);
}
