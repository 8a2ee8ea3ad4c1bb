/* SPDX-License-Identifier: MIT */
/* Stops everything.
 *
 * Signals only leave a note and make a pipe readable. A write that began just before the note would miss it, so the
 * handler also sets an alarm, whose signal interrupts that write, every second until it is over.
 *
 * The command is a subreaper: a process whose job has ended becomes its child, whatever session it went to, so the
 * processes that are left are always its own children or theirs. Killing its children until it has none reaches all of them.
 * Their numbers can't be reused meanwhile, since only this code reaps them then. */
#include "stop.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STOP_GRACE_S = 2, STOP_GIVE_UP_S = 10, STOP_TICK_MS = 20 };

static volatile sig_atomic_t first_signal, signals;
static int wake_pipe[2] = {-1, -1};

/* ---- signals --------------------------------------------------------------------------------------- */

static void note(int number)
{
    int error = errno;
    if (number != SIGALRM) {
        if (!first_signal)
            first_signal = number;
        signals++;
        ssize_t n = write(wake_pipe[1], "", 1); /* full is as good */
        (void)n;
    }
    alarm(1);
    errno = error;
}

int stop_listen(void)
{
    static const int numbers[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};
    if (pipe2(wake_pipe, O_CLOEXEC | O_NONBLOCK) < 0)
        return -errno;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    struct sigaction action = {.sa_handler = note}, was;
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (sigaction(numbers[i], NULL, &was) == 0 && was.sa_handler != SIG_IGN) /* nohup, or a shell's background */
            sigaction(numbers[i], &action, NULL);
    sigaction(SIGALRM, &action, NULL);
    signal(SIGPIPE, SIG_IGN); /* writes say so */
    signal(SIGCHLD, SIG_DFL); /* ignored, it would take the exit codes */
    return 0;
}

int stop_signal(void) { return first_signal; }

int stop_fd(void) { return wake_pipe[0]; }

/* ---- orphans --------------------------------------------------------------------------------------- */

static int slot_of(const jobs *all, pid_t pid)
{
    for (int i = 0; i < all->count; i++)
        if (all->slots[i].child && motet_child_pid(all->slots[i].child) == pid)
            return i;
    return -1;
}

void stop_reap_orphans(const jobs *all)
{
    for (;;) {
        siginfo_t info = {0};
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || !info.si_pid || slot_of(all, info.si_pid) >= 0)
            return; /* none; or a job's turn comes first */
        waitid(P_PID, (id_t)info.si_pid, &info, WEXITED | WNOHANG);
    }
}

/* The parent of a process, or 0. */
static pid_t parent_of(const char *pid)
{
    char path[64], text[512];
    if (snprintf(path, sizeof path, "/proc/%s/stat", pid) >= (int)sizeof path)
        return 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n > 0 ? n : 0] = 0;
    /* "pid (name) state parent ...": the name may hold anything. */
    const char *after = strrchr(text, ')');
    int parent = 0;
    return after && sscanf(after + 1, " %*c %d", &parent) == 1 ? parent : 0;
}

/* To each child of this process. */
static void signal_children(int number)
{
    DIR *all = opendir("/proc");
    if (!all)
        return;
    pid_t self = getpid();
    for (struct dirent *entry; (entry = readdir(all));)
        if (isdigit((unsigned char)entry->d_name[0]) && parent_of(entry->d_name) == self)
            kill((pid_t)atol(entry->d_name), number);
    closedir(all);
}

/* ---- the end --------------------------------------------------------------------------------------- */

/* To the group of each job that isn't reaped yet, so that the group's number is its own, and to the orphans. */
static void signal_everything(const jobs *all, const bool *reaped, int number)
{
    for (int i = 0; i < all->count; i++) {
        if (!all->slots[i].child || reaped[i])
            continue;
        kill(-motet_child_pid(all->slots[i].child), number);
        if (number == SIGTERM)
            kill(-motet_child_pid(all->slots[i].child), SIGCONT); /* a stopped one couldn't take it */
    }
    signal_children(number);
}

/* False when no child is left. */
static bool reap_everything(const jobs *all, bool *reaped)
{
    for (;;) {
        pid_t pid = waitpid(-1, NULL, WNOHANG);
        if (pid == 0 || (pid < 0 && errno != ECHILD))
            return true;
        if (pid < 0)
            return false;
        int slot = slot_of(all, pid);
        if (slot >= 0) {
            reaped[slot] = true;
            all->fds[FDS_SLOTS + slot * FDS_PER_SLOT + FD_ENDED].fd = -1;
        }
    }
}

/* Waits for something to happen, a short while at most: the end of an orphan makes nothing readable. */
static void wait_a_tick(const jobs *all)
{
    char dropped[64 * 1024];
    if (poll(all->fds, (nfds_t)(FDS_SLOTS + all->count * FDS_PER_SLOT), STOP_TICK_MS) <= 0)
        return;
    for (int i = 0; i < FDS_SLOTS + all->count * FDS_PER_SLOT; i++) {
        struct pollfd *p = &all->fds[i];
        bool is_end = i >= FDS_SLOTS && (i - FDS_SLOTS) % FDS_PER_SLOT == FD_ENDED;
        if (p->fd < 0 || !p->revents || is_end)
            continue;
        if (!(p->revents & POLLIN) || read(p->fd, dropped, sizeof dropped) == 0)
            p->fd = -1;
    }
}

void stop_everything(jobs *all)
{
    bool *reaped = calloc((size_t)all->count, sizeof *reaped);
    if (!reaped)
        return;
    int heard = signals;
    motet_time kill_at = motet_after(STOP_GRACE_S * MOTET_S), give_up_at = MOTET_FOREVER;
    all->fds[FDS_INPUT].fd = -1;
    all->fds[FDS_SIGNAL].fd = -1;
    signal_everything(all, reaped, SIGTERM);
    while (reap_everything(all, reaped)) {
        motet_time now = motet_now();
        if (now >= give_up_at) /* stuck in the kernel: it ends when it comes out */
            break;
        if (signals != heard || now >= kill_at) {
            if (give_up_at == MOTET_FOREVER)
                give_up_at = motet_after(STOP_GIVE_UP_S * MOTET_S);
            signal_everything(all, reaped, SIGKILL);
        }
        wait_a_tick(all);
    }
    alarm(0);
    free(reaped);
}
