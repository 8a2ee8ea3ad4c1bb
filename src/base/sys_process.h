/* SPDX-License-Identifier: MIT */
/* The seam for child processes: starting a program, its end, its signals, its pipes. As in sys.h all return 0 or a positive
 * answer, or a negative errno. */
#ifndef MOTET_BASE_SYS_PROCESS_H
#define MOTET_BASE_SYS_PROCESS_H

#include "base/sys.h"

#include <stdbool.h>
#include <sys/types.h>

/* What stands for a descriptor in sys_spawn.stdio. */
enum { SPAWN_KEEP = -1, SPAWN_NULL = -2, SPAWN_STDOUT = -3 };

typedef struct spawn_limit {
    int resource; /* RLIMIT_... */
    uint64_t soft, hard;
} spawn_limit;

typedef struct sys_spawn {
    const char *file, *search_path; /* a file without a slash is searched for */
    const char *const *argv, *const *env;
    const char *cwd; /* or NULL */
    int stdio[3];    /* a descriptor of the caller's for each of the child's, or a SPAWN_ constant */
    bool new_session, new_group, keep_fds, die_with_thread;
    const spawn_limit *limits; /* lowered where the caller's own are lower */
    size_t limits_count;
} sys_spawn;

/* Runs a program in a new child. The child's pid, and *ret_pidfd set, close-on-exec and above 2; or what kept it from
 * running, and no child is left. The calling thread stands still until the program runs. */
int sys_spawn_start(const sys_spawn *s, int *ret_pidfd);

/* How the child ended, which reaps it: 1 and *ret_code set, -N for signal N; 0 it runs still; -ECHILD somebody else has
 * reaped it. Never waits. */
int sys_pidfd_reap(int pidfd, int *ret_code);

/* 0; -ESRCH it was reaped; -EINVAL; -EPERM; -ENOSYS on valgrind. */
int sys_pidfd_signal(int pidfd, int number);

/* The same by number, for a child that the caller knows not to be reaped. */
int sys_pid_signal(pid_t pid, int number);

/* SIGKILL to the process group `group`, which the caller knows to exist: its leader isn't reaped yet. */
void sys_group_kill(pid_t group);

/* Two ends of a pipe, close-on-exec and above 2. */
int sys_pipe(int *ret_read, int *ret_write);

ssize_t sys_read(int fd, void *data, size_t size);
ssize_t sys_write(int fd, const void *data, size_t size);
int sys_nonblocking(int fd);

/* Holds the thread's SIGPIPE back around writes that may raise it: sys_sigpipe_hold ... writes ... sys_sigpipe_release, which
 * takes away the one that `raised` says those writes raised and leaves any other as it was. */
typedef struct sigpipe_state {
    bool blocked, pending; /* before */
} sigpipe_state;
sigpipe_state sys_sigpipe_hold(void);
void sys_sigpipe_release(sigpipe_state before, bool raised);

#endif
