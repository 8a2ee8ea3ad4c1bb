/* SPDX-License-Identifier: MIT */
/* A child's life: waiting for its end in every way, signals, freeing it early, what others take away. */
#include "process/child.h"

#include "process/test_help.h"

#include <motet/thread.h>

#include <linux/sched.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* A child that ends, with code 5, when its input does. */
static motet_child *reader(void)
{
    motet_child *c = NULL;
    CHECK_EQ(motet_child_start(&c, SHELL("cat; exit 5"), &(motet_child_options){.stdin_ = MOTET_PIPE}), 0);
    return c;
}

TEST(misuse)
{
    CHECK_EQ(motet_child_wait(NULL, NULL, MOTET_NOWAIT), -EINVAL);
    CHECK_EQ(motet_child_pid(NULL), -EINVAL);
    CHECK_EQ(motet_child_fd(NULL), -EINVAL);
    CHECK_EQ(motet_child_stdin(NULL), -EINVAL);
    CHECK_EQ(motet_child_stdout(NULL), -EINVAL);
    CHECK_EQ(motet_child_stderr(NULL), -EINVAL);
    CHECK_EQ(motet_child_close_pipe(NULL, 0), -EINVAL);
    CHECK_EQ(motet_child_signal(NULL, SIGTERM), -EINVAL);
    CHECK_EQ(motet_child_terminate(NULL), -EINVAL);
    CHECK_EQ(motet_child_kill(NULL), -EINVAL);
    CHECK(!motet_child_free(NULL));
    motet_child *c = reader();
    CHECK_EQ(motet_child_signal(c, -1), -EINVAL);
    CHECK_EQ(motet_child_signal(c, 65), -EINVAL);
    CHECK_EQ(motet_child_stdout(c), -EINVAL);
    CHECK_EQ(motet_child_stderr(c), -EINVAL);
    CHECK_EQ(motet_child_close_pipe(c, 1), -EINVAL);
    CHECK_EQ(motet_child_close_pipe(c, -1), -EINVAL);
    CHECK_EQ(motet_child_close_pipe(c, 3), -EINVAL);
    CHECK_GT(motet_child_stdin(c), 2);
    CHECK_EQ(motet_child_close_pipe(c, 0), 0);
    CHECK_EQ(motet_child_close_pipe(c, 0), 0);
    CHECK_EQ(motet_child_stdin(c), -EPIPE);
    CHECK_EQ(motet_child_wait(c, NULL, MOTET_FOREVER), 0);
    motet_child_free(c);
}

TEST(exit_codes)
{
    CHECK_EQ(code_of(SHELL("exit 0"), NULL), 0);
    CHECK_EQ(code_of(SHELL("exit 7"), NULL), 7);
    CHECK_EQ(code_of(SHELL("exit 255"), NULL), 255);
    CHECK_EQ(code_of(SHELL("kill -9 $$"), NULL), -9);
    CHECK_EQ(code_of(SHELL("kill -15 $$"), NULL), -15);
}

TEST(waits)
{
    motet_child *c = reader();
    int code = 1000;
    CHECK_EQ(motet_child_wait(c, &code, MOTET_NOWAIT), -ETIMEDOUT);
    motet_time until = motet_after(5 * MOTET_MS);
    CHECK_EQ(motet_child_wait(c, &code, until), -ETIMEDOUT);
    CHECK_GE(motet_now(), until);
    CHECK_EQ(code, 1000);
    CHECK_EQ(motet_child_close_pipe(c, 0), 0);
    CHECK_EQ(motet_child_wait(c, NULL, MOTET_FOREVER), 0);
    for (int i = 0; i < 3; i++) {
        code = 1000;
        CHECK_EQ(motet_child_wait(c, &code, i ? MOTET_NOWAIT : MOTET_FOREVER), 0);
        CHECK_EQ(code, 5);
    }
    motet_child_free(c);
}

/* A stopped child has not ended. */
TEST(stopped_is_not_over)
{
    motet_child *c = sleeper(NULL);
    siginfo_t info;
    CHECK_EQ(motet_child_signal(c, SIGSTOP), 0);
    CHECK_EQ(waitid(P_PID, (id_t)motet_child_pid(c), &info, WSTOPPED | WNOWAIT), 0);
    CHECK_EQ(motet_child_wait(c, NULL, MOTET_NOWAIT), -ETIMEDOUT);
    end_sleeper(c);
}

static void *wait_for_it(void *c)
{
    int code = 1000;
    CHECK_EQ(motet_child_wait(c, &code, MOTET_FOREVER), 0);
    CHECK_EQ(code, 5);
    return NULL;
}

TEST(many_threads_wait)
{
    enum { N = 8 };
    motet_child *c = reader();
    pthread_t t[N];
    for (int i = 0; i < N; i++)
        CHECK_EQ(pthread_create(&t[i], NULL, wait_for_it, c), 0);
    CHECK_EQ(motet_child_close_pipe(c, 0), 0);
    for (int i = 0; i < N; i++)
        CHECK_EQ(pthread_join(t[i], NULL), 0);
    motet_child_free(c);
}

static int wait_cancelled(void *c) { return motet_child_wait(c, NULL, MOTET_FOREVER); }

TEST(cancelled_wait)
{
    motet_child *c = reader();
    motet_thread *t = NULL;
    int code = 0;
    CHECK_EQ(motet_thread_start(&t, wait_cancelled, c, NULL), 0);
    CHECK_EQ(motet_thread_cancel(t), 0);
    CHECK_EQ(motet_thread_join(t, &code, MOTET_FOREVER), 0);
    CHECK_EQ(code, -ECANCELED);
    motet_thread_free(t);
    CHECK_EQ(motet_child_close_pipe(c, 0), 0);
    CHECK_EQ(motet_child_wait(c, &code, MOTET_FOREVER), 0);
    CHECK_EQ(code, 5);
    motet_child_free(c);
}

static uint32_t interrupted;

static void *wait_interrupted(void *c)
{
    motet_interruptible(true);
    CHECK_EQ(motet_child_wait(c, NULL, MOTET_FOREVER), -EINTR);
    __atomic_store_n(&interrupted, 1, __ATOMIC_RELEASE);
    return NULL;
}

static void on_signal(int number) { (void)number; }

TEST(interrupted_wait)
{
    motet_child *c = reader();
    pthread_t t;
    signal(SIGUSR1, on_signal);
    CHECK_EQ(pthread_create(&t, NULL, wait_interrupted, c), 0);
    while (!__atomic_load_n(&interrupted, __ATOMIC_ACQUIRE)) {
        CHECK_EQ(pthread_kill(t, SIGUSR1), 0);
        usleep(100); /* it takes as many as it takes */
    }
    CHECK_EQ(pthread_join(t, NULL), 0);
    CHECK_EQ(motet_child_close_pipe(c, 0), 0);
    CHECK_EQ(motet_child_wait(c, NULL, MOTET_FOREVER), 0);
    motet_child_free(c);
}

TEST(signals)
{
    int code = 0;
    motet_child *c = sleeper(NULL);
    CHECK_EQ(motet_child_signal(c, 0), 0);
    CHECK_EQ(motet_child_terminate(c), 0);
    await_end(motet_child_fd(c));
    CHECK_EQ(motet_child_kill(c), 0); /* ended and not yet reaped */
    CHECK_EQ(motet_child_wait(c, &code, MOTET_FOREVER), 0);
    CHECK_EQ(code, -SIGTERM);
    CHECK_EQ(motet_child_kill(c), 0);
    CHECK_EQ(motet_child_terminate(c), 0);
    CHECK_EQ(motet_child_signal(c, 0), 0);
    motet_child_free(c);
}

/* A process that waits for a signal and has the number `pid`; -1 and errno. */
static pid_t process_with_number(pid_t pid)
{
    struct clone_args args = {.exit_signal = SIGCHLD, .set_tid = (uintptr_t)&pid, .set_tid_size = 1};
    pid_t made = (pid_t)syscall(SYS_clone3, &args, sizeof args);
    if (made == 0)
        for (;;)
            pause();
    return made;
}

TEST(a_signal_never_meets_another_with_the_same_number)
{
    enum { TRIES = 20 }; /* others start processes too */
    pid_t other = -1;
    for (int i = 0; i < TRIES && other < 0; i++) {
        motet_child *c = NULL;
        CHECK_EQ(motet_child_start(&c, ARGV("true"), NULL), 0);
        CHECK_EQ(motet_child_wait(c, NULL, MOTET_FOREVER), 0);
        other = process_with_number(motet_child_pid(c));
        if (other < 0 && errno != EEXIST)
            i = TRIES; /* not allowed to */
        if (other >= 0) {
            CHECK_EQ(other, motet_child_pid(c));
            CHECK_EQ(motet_child_kill(c), 0);
            CHECK_EQ(kill(other, SIGUSR1), 0); /* it would end by the other, which is always first */
        }
        motet_child_free(c);
    }
    if (other < 0)
        SKIP("no process can be given a number");
    int status = 0;
    CHECK_EQ(waitpid(other, &status, 0), other);
    CHECK_EQ(status, SIGUSR1);
}

/* ---- what is freed early --------------------------------------------------------------------------- */

static bool is_reaped(int pidfd)
{
    siginfo_t info = {0};
    return waitid((idtype_t)P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG | WNOWAIT) < 0 && errno == ECHILD;
}

TEST(freed_while_it_runs_and_reaped_later)
{
    enum { N = 30 };
    int pidfds[N];
    for (int i = 0; i < N; i++) {
        motet_child *c = reader();
        pidfds[i] = dup(motet_child_fd(c));
        CHECK_GE(pidfds[i], 0);
        CHECK(!motet_child_free(c)); /* its input ends with that */
    }
    for (int i = 0; i < N; i++)
        await_end(pidfds[i]);
    /* Every start looks at some; so after as many starts as there are children all are reaped. */
    for (int i = 0; i < N; i++)
        CHECK_EQ(code_of(ARGV("true"), NULL), 0);
    for (int i = 0; i < N; i++) {
        CHECK(is_reaped(pidfds[i]));
        close(pidfds[i]);
    }
}

TEST(freed_after_its_end_without_a_wait)
{
    motet_child *c = NULL;
    CHECK_EQ(motet_child_start(&c, ARGV("true"), NULL), 0);
    await_end(motet_child_fd(c));
    CHECK(!motet_child_free(c));
    CHECK_EQ(waitpid(-1, NULL, WNOHANG), -1);
    CHECK_EQ(errno, ECHILD);
}

/* ---- what others take away ------------------------------------------------------------------------- */

TEST(sigchld_ignored)
{
    motet_child *c = NULL;
    int code = 1000;
    motet_buffer *out = motet_buffer_new();
    signal(SIGCHLD, SIG_IGN);
    CHECK_EQ(motet_child_start(&c, ARGV("motet-no-such-program"), NULL), -ENOENT);
    CHECK_EQ(motet_child_start(&c, ARGV("echo", "text"), &(motet_child_options){.stdout_ = MOTET_PIPE}), 0);
    CHECK_EQ(motet_child_communicate(c, (motet_bytes){0}, out, NULL, MOTET_FOREVER), -ECHILD);
    CHECK_STR(motet_buffer_data(out), "text\n");
    CHECK_EQ(motet_child_wait(c, &code, MOTET_FOREVER), -ECHILD);
    CHECK_EQ(motet_child_wait(c, &code, MOTET_NOWAIT), -ECHILD);
    CHECK_EQ(motet_child_kill(c), 0);
    motet_child_free(c);
    motet_buffer_clear(out);
    CHECK_EQ(motet_child_run(ARGV("echo", "text"), (motet_bytes){0}, out, NULL, &code, MOTET_FOREVER), -ECHILD);
    CHECK_STR(motet_buffer_data(out), "text\n");
    CHECK_EQ(code, 1000);
    motet_buffer_free(out);
}

TEST(reaped_by_somebody_else)
{
    motet_child *c = NULL;
    int code = 1000;
    CHECK_EQ(motet_child_start(&c, ARGV("true"), NULL), 0);
    CHECK_EQ(waitpid(-1, NULL, 0), motet_child_pid(c));
    CHECK_EQ(motet_child_wait(c, &code, MOTET_FOREVER), -ECHILD);
    CHECK_EQ(motet_child_terminate(c), 0);
    CHECK_EQ(code, 1000);
    motet_child_free(c);
}

TEST(raw_fork)
{
    motet_child *c = reader(), *other = NULL;
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        CHECK_EQ(motet_child_start(&other, ARGV("true"), NULL), -EPERM);
        CHECK_EQ(motet_child_run(ARGV("true"), (motet_bytes){0}, NULL, NULL, NULL, MOTET_FOREVER), -EPERM);
        CHECK_EQ(motet_child_wait(c, NULL, MOTET_FOREVER), -EPERM);
        CHECK_EQ(motet_child_communicate(c, (motet_bytes){0}, NULL, NULL, MOTET_FOREVER), -EPERM);
        CHECK_EQ(motet_child_signal(c, SIGKILL), -EPERM);
        CHECK_EQ(motet_child_terminate(c), -EPERM);
        CHECK_EQ(motet_child_kill(c), -EPERM);
        CHECK_EQ(motet_child_close_pipe(c, 0), -EPERM);
        CHECK_GT(motet_child_pid(c), 0);
        CHECK(!motet_child_free(c));
        _exit(0);
    }
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
    CHECK_EQ(motet_child_wait(c, NULL, MOTET_NOWAIT), -ETIMEDOUT); /* the copy harmed nothing */
    CHECK_EQ(motet_child_close_pipe(c, 0), 0);
    CHECK_EQ(motet_child_wait(c, &status, MOTET_FOREVER), 0);
    CHECK_EQ(status, 5);
    motet_child_free(c);
}
