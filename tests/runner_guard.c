/* SPDX-License-Identifier: MIT */
/*
 * The guard of one job: starts it, keeps its time, gives the verdict and the report, ends what outlived it.
 *
 * It is a subreaper: each process that the job's tree leaves behind becomes its child, whatever session it moved
 * to. It handles no signal but waits for them (SIGCHLD; TERM and INT from its runner's end), so it has no handler
 * and no race between a signal and a wait.
 */
#include "runner_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SURVIVORS_MAX = 256, OUTPUT_SHOWN_MAX = 64 * 1024, KILL_WAIT_MS = 5000 };

static const struct job *job;
static const struct run_options *options;
static struct record *record;
static int report = -1;
static sigset_t waited_for;
static bool bad;

/* The reason for a failure: one line of the report. */
__attribute__((format(printf, 1, 2))) static void fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    dprintf(report, "  ");
    vdprintf(report, format, args);
    dprintf(report, "\n");
    va_end(args);
    bad = true;
}

/* Ends the case's session and all that hangs below the guard. Killing a process hands its children to the guard, so
 * this goes on until there are none. */
static void kill_all(pid_t session)
{
    int64_t deadline = runner_now_ms() + KILL_WAIT_MS;
    if (session > 0)
        kill(-session, SIGKILL);
    while (runner_now_ms() < deadline) {
        pid_t child[SURVIVORS_MAX];
        int count = proc_children(getpid(), child, SURVIVORS_MAX);
        for (int i = 0; i < count; i++)
            kill(child[i], SIGKILL);
        pid_t ended;
        while ((ended = waitpid(-1, NULL, WNOHANG | __WALL)) > 0)
            ;
        if (ended < 0 && errno == ECHILD)
            return;
        runner_pause_ms(2);
    }
    fail("processes are left that do not die");
}

/* The runner has gone: nobody will read the report. */
__attribute__((noreturn)) static void abandon(pid_t session)
{
    kill_all(session);
    _exit(FAILED);
}

static int timeout_ms(void)
{
    int seconds = job->test == NULL ? TIMEOUT_S_SCRIPT : job->test->opt.timeout_s;
    if (seconds == 0)
        seconds = TIMEOUT_S_TEST;
    return (int)(seconds * 1000 * options->stretch);
}

static void wait_signal(pid_t session, int64_t ms)
{
    struct timespec limit = {ms / 1000, ms % 1000 * 1000000L};
    int got = sigtimedwait(&waited_for, NULL, &limit);
    if (got == SIGTERM || got == SIGINT || got == SIGHUP)
        abandon(session);
}

static void describe_tree(pid_t pid, int depth)
{
    pid_t child[64];
    proc_describe(report, pid);
    int count = depth < 8 ? proc_children(pid, child, 64) : 0;
    for (int i = 0; i < count; i++)
        describe_tree(child[i], depth + 1);
}

/* Waits for the case; false when its time was over and it had to be killed. The guard's other children are orphans
 * of the case, reaped on the way. */
static bool await_case(pid_t pid, int *status)
{
    int limit_ms = timeout_ms();
    int64_t deadline = runner_now_ms() + limit_ms;
    for (;;) {
        int ended_status;
        pid_t ended;
        while ((ended = waitpid(-1, &ended_status, WNOHANG | __WALL)) > 0) {
            if (ended == pid) {
                *status = ended_status;
                return true;
            }
        }
        int64_t left = deadline - runner_now_ms();
        if (left <= 0)
            break;
        wait_signal(pid, left);
    }
    fail("timed out after %d.%03d s; it was in:", limit_ms / 1000, limit_ms % 1000);
    describe_tree(pid, 0);
    return false;
}

/* What outlives the case is given a moment to end: a process that was told to, or killed by what the case itself left
 * behind for that. Who has ended is reaped and no leak. */
static void await_survivors(pid_t session)
{
    int64_t deadline = runner_now_ms() + options->grace_ms;
    for (;;) {
        pid_t ended;
        while ((ended = waitpid(-1, NULL, WNOHANG | __WALL)) > 0)
            ;
        if (ended < 0)
            return; /* ECHILD */
        int64_t left = deadline - runner_now_ms();
        if (left <= 0)
            break;
        wait_signal(session, left < 50 ? left : 50);
    }
    fail("leaked processes, alive after the end:");
    pid_t child[SURVIVORS_MAX];
    int count = proc_children(getpid(), child, SURVIVORS_MAX);
    for (int i = 0; i < count; i++)
        describe_tree(child[i], 0);
    kill_all(session);
}

static void judge_end(int status)
{
    const struct test_options none = {0};
    const struct test_options *expected = job->test != NULL ? &job->test->opt : &none;
    if (WIFSIGNALED(status) && WTERMSIG(status) != expected->signal) {
        fail("died by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    } else if (WIFEXITED(status) && expected->signal != 0) {
        fail("exited with code %d; expected to die by signal %d", WEXITSTATUS(status), expected->signal);
    } else if (WIFEXITED(status) && WEXITSTATUS(status) != expected->exit_code) {
        fail("exited with code %d; expected %d", WEXITSTATUS(status), expected->exit_code);
    } else if (WIFEXITED(status) && job->test != NULL) {
        /* Not a word of this for an expected code: that a test left early is then its point. */
        if (!record->body_returned && expected->exit_code == 0 && expected->at_exit == NULL)
            fail("exited before its body had returned");
        if (expected->at_exit != NULL && !record->at_exit_ran)
            fail("its .at_exit did not run");
    }
}

static void print_notes(void)
{
    unsigned size = record->notes_size < NOTES_SIZE_MAX ? record->notes_size : NOTES_SIZE_MAX;
    bool at_start = true;
    for (unsigned i = 0; i < size; i++) {
        if (record->notes[i] == '\0')
            continue;
        dprintf(report, "%s%c", at_start ? "  " : "", record->notes[i]);
        at_start = record->notes[i] == '\n';
    }
}

/* The places that allocated what was leaked, named by addr2line where there is one. */
static void print_sites(void)
{
    char program[512];
    char command[2048];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    if (record->sites == 0 || length < 0)
        return;
    program[length] = '\0';
    int at = snprintf(command, sizeof command, "addr2line -pfse '%s'", program);
    for (unsigned i = 0; i < record->sites && i < SITES_MAX; i++) {
        dprintf(report, "    allocated at 0x%lx\n", (unsigned long)record->site[i]);
        at += snprintf(command + at, sizeof command - (size_t)at, " 0x%lx", (unsigned long)record->site[i]);
    }
    snprintf(command + at, sizeof command - (size_t)at, " 2>/dev/null");
    FILE *names = popen(command, "r");
    char line[300];
    while (names != NULL && fgets(line, sizeof line, names) != NULL)
        dprintf(report, "    = %s", line);
    if (names != NULL)
        pclose(names);
}

static void print_output(int output)
{
    char block[4096];
    off_t size = lseek(output, 0, SEEK_END);
    off_t at = size > OUTPUT_SHOWN_MAX ? size - OUTPUT_SHOWN_MAX : 0;
    if (size <= 0)
        return;
    dprintf(report, "  --- its output%s ---\n", at > 0 ? " (the end of it)" : "");
    ssize_t got = 0;
    char last = '\n';
    while ((got = pread(output, block, sizeof block, at)) > 0) {
        at += got;
        last = block[got - 1];
        (void)!write(report, block, (size_t)got);
    }
    dprintf(report, "%s  ---\n", last == '\n' ? "" : "\n");
}

static enum verdict judge(bool ended, int status)
{
    if (!ended || record->failed) {
        bad = true;
        return FAILED; /* an exit code would only say the same again */
    }
    if (record->skipped || (job->test == NULL && WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED))
        return bad ? FAILED : SKIPPED;
    judge_end(status);
    return bad ? FAILED : PASSED;
}

static void prepare(pid_t runner)
{
    sigemptyset(&waited_for);
    sigaddset(&waited_for, SIGCHLD);
    sigaddset(&waited_for, SIGTERM);
    sigaddset(&waited_for, SIGINT);
    sigaddset(&waited_for, SIGHUP);
    sigprocmask(SIG_SETMASK, &waited_for, NULL);
    signal(SIGCHLD, SIG_DFL); /* ignored, it would reap behind our back */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != runner)
        _exit(FAILED);
    record = mmap(NULL, sizeof *record, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

void guard_main(const struct job *its_job, const struct run_options *its_options, pid_t runner, int report_fd)
{
    job = its_job;
    options = its_options;
    report = report_fd;
    prepare(runner);
    int output = memfd_create("output", MFD_CLOEXEC);
    pid_t guard = getpid();
    pid_t pid = record != MAP_FAILED && output >= 0 ? fork() : -1;
    if (pid == 0)
        case_main(job, options, guard, record, output);
    if (pid < 0) {
        fail("cannot start: %s", strerror(errno));
        _exit(FAILED);
    }
    int status = 0;
    bool ended = await_case(pid, &status);
    if (ended)
        await_survivors(pid);
    else
        kill_all(pid);
    enum verdict verdict = judge(ended, status);
    if (verdict != PASSED) {
        print_notes();
        print_sites();
    }
    if (verdict == FAILED || options->verbose || (verdict == SKIPPED && job->test == NULL))
        print_output(output);
    _exit(verdict);
}
