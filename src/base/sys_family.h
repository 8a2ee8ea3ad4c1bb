/* SPDX-License-Identifier: MIT */
/* The seam for processes of the same program: making them, watching over them, what they inherit. As in sys.h all return 0
 * or a positive answer, or a negative errno. Descriptors are close-on-exec and above 2. */
#ifndef MOTET_BASE_SYS_FAMILY_H
#define MOTET_BASE_SYS_FAMILY_H

#include "base/sys.h"
#include "base/sys_member.h"

#include <signal.h> /* seam: the names of signals alone */
#include <stdbool.h>
#include <sys/types.h>

#ifndef MOTET_SIM

/* ---- copies of this process ------------------------------------------------------------------------ */

/* A copy with one thread. In the child 0, in the parent its pid. The first is libc's: handlers of pthread_atfork run, and
 * its locks are free in the child. Of the second the parent gets no signal, and wait() doesn't see it: for a process with
 * one thread. */
pid_t sys_fork(void);
pid_t sys_fork_hidden(void);

/* Runs this program anew in this process. Returns only an error. */
int sys_exec_self(char *const argv[], char *const env[]);

__attribute__((noreturn)) void sys_exit_now(int code);

pid_t sys_parent(void);

/* Whether this process has no other thread, but for some on their way out. */
bool sys_alone(void);

/* ---- children -------------------------------------------------------------------------------------- */

/* A child, or orphan that came to this process, that has ended: 1, *ret_pid and *ret_code set, -N for signal N; it stays. 0:
 * none; -ECHILD: there are no children. Never waits. */
int sys_ended_child(pid_t *ret_pid, int *ret_code);

/* Reaps the child `pid`: 1 and *ret_code set; 0 it runs still (not with `wait`); -ECHILD it is no child. */
int sys_reap(pid_t pid, int *ret_code, bool wait);

/* As sys_pidfd_reap, hidden children too. */
int sys_pidfd_reap_any(int pidfd, int *ret_code);

bool sys_has_child(pid_t pid);

/* Up to n pids of children of the process `of`, orphans among them: how many; -errno without /proc. */
int sys_children(pid_t of, pid_t *ret, int n);

/* Orphans below this process come to it. */
void sys_adopt_orphans(void);

int sys_pidfd_open(pid_t pid);

/* 0; -ESRCH it was reaped; -EPERM. */
int sys_pidfd_kill(int pidfd, int number);

/* SIGKILL to a child that is not yet reaped; SIGSTOP to one of whom the caller knows as much. */
void sys_kill(pid_t child);
void sys_stop(pid_t child);

/* How the process ended that a pidfd stood for, when it was another's child: 1 and *ret_code set; 0: the kernel can't tell. */
int sys_pidfd_code(int pidfd, int *ret_code);

/* Whether it has ended. Never waits. */
bool sys_pidfd_ended(int pidfd);

/* When the process began, in ticks of the kernel's: with the pid it names a process for ever. 0: there is none, or no /proc. */
uint64_t sys_pid_started(pid_t pid);

/* ---- signals --------------------------------------------------------------------------------------- */

/* What a process has of signals that one which blocks all of them changes. */
typedef struct sys_signals {
    sigset_t mask;
    struct sigaction child; /* of SIGCHLD */
} sys_signals;

/* Blocks all signals. */
void sys_signals_block(sys_signals *was);
/* Has children stay until they are reaped, whatever the program wanted. */
void sys_signals_keep_children(void);
void sys_signals_restore(const sys_signals *was);

/* A descriptor that is readable when a child has ended; sys_signalfd_drain makes it not so. For a process that blocks all. */
int sys_signalfd_child(void);
void sys_signalfd_drain(int fd);

/* ---- waiting for many descriptors ------------------------------------------------------------------ */

typedef struct sys_event {
    uint64_t data;
} sys_event;

int sys_epoll(void);
/* `data` comes back with its events; `edge`: once for each time that it becomes readable. */
int sys_epoll_add(int epoll, int fd, uint64_t data, bool edge);
void sys_epoll_remove(int epoll, int fd);
/* Up to n, as sys_poll for the rest. */
int sys_epoll_wait(int epoll, sys_event *ret, int n, int64_t deadline);

/* Reads until `size` bytes are there or the end is: how many; writes all of them. */
ssize_t sys_read_all(int fd, void *ret, size_t size);
int sys_write_all(int fd, const void *data, size_t size);

/* An eventfd as sys_eventfd gives, but above 2; readable from the beginning if asked for. */
int sys_bell(bool rung);

/* ---- what stdio holds ------------------------------------------------------------------------------ */

/* Writes it out. Passes over streams that another thread has locked, so it never waits for a reader. */
void sys_stdio_flush(void);

/* In the child of a fork: drops what the parent holds too, and will write. */
void sys_stdio_forget(void);

/* ---- addresses and names --------------------------------------------------------------------------- */

/* Whether anything is at that address. */
bool sys_is_mapped(uintptr_t at);

/* The parts of the program and its libraries. each(): 0 goes on. `writable` ones include what only the loader writes to
 * but read-only data after. */
typedef struct sys_segment {
    const char *object; /* its name; "" is the program */
    uintptr_t base;     /* where the object is loaded */
    uintptr_t begin, end;
    bool code, writable;
} sys_segment;
int sys_segments(int (*each)(const sys_segment *s, void *arg), void *arg);

/* The name that the kernel shows for this process: 15 bytes and a zero. */
void sys_comm(char ret[16]);
void sys_set_comm(const char *name);

/* The environment without the variable `name`, and with `with` if not NULL, in memory of sys_alloc's; NULL: no memory. */
char **sys_environment(const char *name, const char *with);
const char *sys_getenv(const char *name);
void sys_unsetenv(const char *name);

/* Whether descriptors stay open in a program that is executed. */
void sys_keep_on_exec(int fd, bool keep);

#endif /* MOTET_SIM */

#endif
