/* SPDX-License-Identifier: MIT */
/*
 * The runner's promises to a test that does well. What it says of those that do not: runner_victims.c and
 * scripts/runner.py.
 */
#include "runner.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

TEST(checks_that_hold)
{
    int x = 3;
    unsigned long long huge = ~0ULL;
    char nothing[1] = {0};
    CHECK(x == 3);
    CHECK_EQ(x, 3);
    CHECK_NE(x, 4L);
    CHECK_LT(x, (short)4);
    CHECK_LE(x, 3U);
    CHECK_GT(x, -1);
    CHECK_GE(huge, huge);
    CHECK_EQ(x == 3, true);
    CHECK_STR("a", "a");
    CHECK_STR(NULL, NULL);
    CHECK_PTR(&x, &x);
    CHECK_MEM("abc", "abd", 2);
    CHECK_MEM(nothing, NULL, 0);
}

TEST(arguments_are_evaluated_once)
{
    int n = 0;
    CHECK_EQ(n++, 0);
    CHECK_EQ(1, n++);
    CHECK(n++ == 2);
    CHECK_EQ(n, 3);
}

TEST(begins_clean)
{
    char byte;
    sigset_t mask;
    struct sigaction action;
    CHECK_EQ(getsid(0), getpid());
    CHECK_EQ(getpgrp(), getpid());
    CHECK_EQ(read(STDIN_FILENO, &byte, 1), 0);
    CHECK_EQ(sigprocmask(SIG_SETMASK, NULL, &mask), 0);
    for (int i = 1; i < 32; i++)
        CHECK_EQ(sigismember(&mask, i), 0);
    CHECK_EQ(sigaction(SIGPIPE, NULL, &action), 0);
    CHECK(action.sa_handler == SIG_DFL);
    CHECK_EQ(dup(STDIN_FILENO), 3); /* nothing was inherited above the three */
    CHECK_EQ(close(3), 0);
}

static void *nothing(void *arg) { return arg; }

TEST(what_is_given_back_is_no_leak)
{
    pthread_t thread;
    char *line = NULL;
    void *aligned = NULL;
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    CHECK_GE(fd, 0);
    CHECK_EQ(close(fd), 0);
    CHECK_EQ(pthread_create(&thread, NULL, nothing, NULL), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    pid_t child = fork();
    if (child == 0)
        _exit(7);
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(WEXITSTATUS(status), 7);
    char *text = strdup("text");
    text = realloc(text, 100000);
    free(text);
    CHECK_EQ(posix_memalign(&aligned, 64, 64), 0);
    free(aligned);
    CHECK_GT(asprintf(&line, "libc allocates, %s", "we free"), 0);
    free(line);
}

/* A thread that nobody joins may still be on its way out when the body returns. */
TEST(a_detached_thread_may_end_late)
{
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, nothing, NULL), 0);
    CHECK_EQ(pthread_detach(thread), 0);
}

TEST_OPT(expected_exit_code, .exit_code = 3) { exit(3); }
TEST_OPT(expected_signal, .signal = SIGABRT) { abort(); }
TEST_OPT(expected_segv, .signal = SIGSEGV) { raise(SIGSEGV); }

static void *kept;
TEST_OPT(may_leak, .may_leak = true) { kept = malloc(10); }

static int order;
static void in_atexit(void) { CHECK_EQ(order++, 0); }
static void at_the_end(void) { CHECK_EQ(order++, 1); }
TEST_OPT(at_exit_runs_last, .at_exit = at_the_end) { CHECK_EQ(atexit(in_atexit), 0); }
TEST_OPT(at_exit_runs_after_exit, .at_exit = at_the_end)
{
    CHECK_EQ(atexit(in_atexit), 0);
    exit(0);
}

/* An orphan that ends by itself soon after the test is reaped and no leak. */
TEST(an_orphan_that_ends_is_no_leak)
{
    pid_t child = fork();
    if (child == 0)
        _exit(fork() < 0);
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
}
