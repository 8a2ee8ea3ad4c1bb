/* SPDX-License-Identifier: MIT */
/*
 * The process that is the test: made clean, runs the body, searches for leaks, ends by exit().
 *
 * It begins with nothing inherited but an empty stdin and its output: a runner that was started with odd fds, signals
 * blocked or ignored, by a shell, by make or by a service, gives every test the same beginning.
 */
#include "runner_internal.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SETTLE_MAX = 16 };

static void (*settle[SETTLE_MAX])(void);
static int settle_count;

static const struct test *current; /* the test whose case this process is; NULL elsewhere */
static pid_t current_pid;

void test_register_settle(void (*fn)(void))
{
    if (settle_count == SETTLE_MAX)
        abort();
    settle[settle_count++] = fn;
}

/* The first constructor priority, so the last destructor of the program. A process that the test forked and that
 * left by exit() comes here too and is none of ours. */
__attribute__((destructor(101))) static void run_at_exit(void)
{
    if (current == NULL || current->opt.at_exit == NULL || getpid() != current_pid)
        return;
    current->opt.at_exit();
    runner_record->at_exit_ran = true;
}

/* LeakSanitizer looks at exit, after the body's own search; this is its documented switch. */
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void) { return current == NULL || current->opt.may_leak; }

static void reset_signals(void)
{
    sigset_t none;
    for (int signal_number = 1; signal_number < NSIG; signal_number++) {
        struct sigaction action;
        /* Only what was ignored: a sanitizer's handlers stay. */
        if (sigaction(signal_number, NULL, &action) == 0 && action.sa_handler == SIG_IGN) {
            action = (struct sigaction){.sa_handler = SIG_DFL};
            sigaction(signal_number, &action, NULL);
        }
    }
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void become_clean(pid_t guard, int output_fd)
{
    setsid();
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* the guard has one thread, so its thread is its process */
    if (getppid() != guard)
        _exit(1);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    dup2(null, STDIN_FILENO);
    dup2(output_fd, STDOUT_FILENO);
    dup2(output_fd, STDERR_FILENO);
    syscall(SYS_close_range, 3U, ~0U, 0U);
    struct rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    reset_signals();
}

__attribute__((noreturn)) static void run_script(const struct job *job, const struct run_options *options)
{
    char *argv[] = {job->script, (char *)options->build_dir, NULL};
    execv(job->script, argv);
    fprintf(stderr, "cannot run %s: %m\n", job->script);
    _exit(127);
}

#ifdef TEST_UNDER_TSAN
static void *no_body(void *arg) { return arg; }
#endif

/* ThreadSanitizer starts a thread of its own with a process's first: it is to be there before the threads are
 * counted. */
static void start_sanitizer_thread(void)
{
#ifdef TEST_UNDER_TSAN
    pthread_t thread;
    if (pthread_create(&thread, NULL, no_body, NULL) == 0)
        pthread_join(thread, NULL);
#endif
}

static void search_for_leaks(const struct test *test, const struct belongings *before, int grace_ms)
{
    for (int i = 0; i < settle_count; i++)
        settle[i]();
    if (test->opt.may_leak)
        return;
    int leaks = belongings_leaked(before, grace_ms); /* first: a thread that is ending may free */
    leaks += memory_leaked();
    if (leaks > 0) {
        runner_record->failed = true;
        _exit(EXIT_CHECK_FAILED);
    }
}

void case_main(const struct job *job, const struct run_options *options, pid_t guard, struct record *record,
               int output_fd)
{
    static struct belongings before;
    become_clean(guard, output_fd);
    if (job->test == NULL)
        run_script(job, options);
    runner_record = record;
    current = job->test;
    current_pid = getpid();
    setvbuf(stdout, NULL, _IONBF, 0); /* _exit must not swallow what a test printed */
    if (current->opt.signal != 0)
        signal(current->opt.signal, SIG_DFL); /* a sanitizer would turn it into an exit code */
    start_sanitizer_thread();
    belongings_take(&before);
    memory_track_start();
    current->body();
    if (getpid() != current_pid) {
        note("a process that the test forked returned from the test's body");
        record->failed = true;
        _exit(EXIT_CHECK_FAILED);
    }
    record->body_returned = true;
    search_for_leaks(current, &before, options->grace_ms);
    exit(0);
}
