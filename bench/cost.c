/* SPDX-License-Identifier: MIT */
/*
 * cost.c - motet-bench-cost COMMAND [ARG...]: runs a command and prints what it cost.
 *
 * One line: elapsed ns, the command's own CPU ns (without its children), its peak resident bytes (or those of its
 * largest child), its exit code (128 + N when signal N ended it). The command's output goes to /dev/null.
 *
 * A program of its own, linked statically: the kernel charges a process with the memory of the one that it was forked
 * from, until it calls exec; so what forks it must be smaller than whatever is to be measured.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double nanoseconds(struct timespec t) { return (double)t.tv_sec * 1e9 + (double)t.tv_nsec; }

int main(int argc, char **argv)
{
    struct timespec start, end, own = {0};
    siginfo_t info;
    struct rusage use;
    clockid_t clock;
    int status, null = open("/dev/null", O_WRONLY | O_CLOEXEC);

    if (argc < 2 || null < 0) {
        fprintf(stderr, "usage: %s COMMAND [ARG...]\n", argv[0]);
        return 2;
    }
    clock_gettime(CLOCK_MONOTONIC, &start);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(null, 1);
        dup2(null, 2);
        execvp(argv[1], argv + 1);
        _exit(127);
    }
    if (pid < 0) {
        fprintf(stderr, "%s: fork: %s\n", argv[0], strerror(errno));
        return 1;
    }
    /* Left a zombie for a moment, so that its own CPU clock can still be read. */
    while (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) < 0 && errno == EINTR)
        ;
    clock_gettime(CLOCK_MONOTONIC, &end);
    if (clock_getcpuclockid(pid, &clock) == 0)
        clock_gettime(clock, &own);
    if (wait4(pid, &status, 0, &use) != pid) {
        fprintf(stderr, "%s: wait: %s\n", argv[0], strerror(errno));
        return 1;
    }
    printf("%.0f %.0f %.0f %d\n", nanoseconds(end) - nanoseconds(start), nanoseconds(own), (double)use.ru_maxrss * 1024,
           WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
    return fflush(stdout) ? 1 : 0;
}
