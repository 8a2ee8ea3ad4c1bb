/* SPDX-License-Identifier: MIT */
/*
 * What a test's body left behind in its own process: fds, threads, children.
 *
 * Taken before the body and compared after it. Threads are waited for, since a joined thread is in /proc for a
 * moment after its join has returned; the rest is looked at when they are gone, since the thread that is ending may
 * be the one that closes the fd.
 */
#include "runner_internal.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* How much the directory's exact count of links is above the threads that were read: 2, where /proc is Linux's own. A
 * reading may miss a living thread when another ends meanwhile; then it is more. */
static int links_beyond(const struct belongings *now)
{
    struct stat task;
    return stat("/proc/self/task", &task) < 0 ? 0 : (int)task.st_nlink - now->thread_count;
}

void belongings_take(struct belongings *now)
{
    now->thread_count = proc_numbers("/proc/self/task", now->thread, THREADS_MAX);
    now->links_beyond = links_beyond(now);
    now->fd_count = proc_numbers("/proc/self/fd", now->fd, FDS_MAX);
}

static bool holds(const int *sorted, int count, int number)
{
    for (int i = 0; i < count && sorted[i] <= number; i++) {
        if (sorted[i] == number)
            return true;
    }
    return false;
}

static int extra(const int *before, int before_count, const int *now, int now_count)
{
    int count = 0;
    for (int i = 0; i < now_count; i++)
        count += !holds(before, before_count, now[i]);
    return count;
}

static void await_threads(const struct belongings *before, struct belongings *now, int grace_ms)
{
    int64_t deadline = runner_now_ms() + grace_ms;
    for (int pause_ms = 1;; pause_ms = pause_ms < 32 ? pause_ms * 2 : 32) {
        now->thread_count = proc_numbers("/proc/self/task", now->thread, THREADS_MAX);
        if (extra(before->thread, before->thread_count, now->thread, now->thread_count) == 0 &&
            links_beyond(now) <= before->links_beyond)
            return;
        if (runner_now_ms() >= deadline)
            return;
        runner_pause_ms(pause_ms);
    }
}

static int threads_leaked(const struct belongings *before, const struct belongings *now)
{
    int leaks = 0;
    for (int i = 0; i < now->thread_count; i++) {
        char path[64];
        char name[64] = "?";
        if (holds(before->thread, before->thread_count, now->thread[i]))
            continue;
        snprintf(path, sizeof path, "/proc/self/task/%d/comm", now->thread[i]);
        if (proc_read(path, name, sizeof name) < 0)
            continue;
        note("leaked thread: %d (%s)", now->thread[i], name);
        leaks++;
    }
    return leaks;
}

static void describe_fd(int fd, char *out, size_t size)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(path, out, size - 1);
    out[length < 0 ? 0 : length] = '\0';
}

static int fds_leaked(const struct belongings *before, struct belongings *now)
{
    int leaks = 0;
    now->fd_count = proc_numbers("/proc/self/fd", now->fd, FDS_MAX);
    for (int i = 0; i < now->fd_count; i++) {
        char target[200];
        if (holds(before->fd, before->fd_count, now->fd[i]))
            continue;
        describe_fd(now->fd[i], target, sizeof target);
        note("leaked fd: %d (%s)", now->fd[i], target);
        leaks++;
    }
    for (int i = 0; i < before->fd_count; i++) {
        if (!holds(now->fd, now->fd_count, before->fd[i])) {
            note("closed an fd that was not its own: %d", before->fd[i]);
            leaks++;
        }
    }
    return leaks;
}

static int children_leaked(void)
{
    siginfo_t info = {0};
    if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) < 0)
        return 0; /* ECHILD */
    if (info.si_pid != 0)
        note("leaked child: %d has ended and was not waited for", (int)info.si_pid);
    else
        note("leaked child: a child process still runs");
    return 1;
}

int belongings_leaked(const struct belongings *before, int grace_ms)
{
    static struct belongings now; /* 32 KiB */
    await_threads(before, &now, grace_ms);
    return threads_leaked(before, &now) + fds_leaked(before, &now) + children_leaked();
}
