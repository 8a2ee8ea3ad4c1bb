/* SPDX-License-Identifier: MIT */
/* motet/process.h - processes that run a function of this program.
 *
 *     int main(int argc, char **argv)
 *     {
 *         motet_init(&argc, &argv);
 *         motet_process *p;
 *         motet_process_start(&p, work, motet_shared_alloc(sizeof(struct job)), NULL);
 *         motet_process_join(p, &code, MOTET_FOREVER);
 *         motet_process_free(p);
 *     }
 *
 * The meanings are those of Python's multiprocessing.Process. All processes that come from one program are a family: they
 * share what motet_shared_alloc gives (motet/ipc.h), and the family ends with the program that began it, its root, however
 * that ends. (For other programs as children see motet_child_start.) */
#ifndef MOTET_PROCESS_H
#define MOTET_PROCESS_H

#include <motet/base.h>
#include <motet/thread.h>

#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A process that this one has started, or this one itself. Counted: each pointer that a function here gives you is a
 * reference of your own, to be freed. Any thread may use it, several at once. It is this process's alone: others can do
 * nothing with the pointer. No function here may be called from a signal handler. In the child of a raw fork they fail with
 * -EPERM until motet_after_fork_child; so does every use of a process that another process has started. */
typedef struct motet_process motet_process;

/* An end of a connection between processes (motet/ipc.h, in a later version). */
typedef struct motet_conn motet_conn;

/* How a process is made. */
typedef enum {
    MOTET_FORKSERVER =
        0,           /* a copy of the program as it was at motet_init, made by the zygote: fast, and without threads */
    MOTET_FORK = 1,  /* a copy of the calling process as it is now */
    MOTET_SPAWN = 2, /* the program begun anew, as far as its motet_init */
} motet_start_method;

/* Zero fields mean the default. */
typedef struct motet_process_options {
    const char *name; /* copied; unless given "Process-1", "Process-2" ..., and in Process-1 "Process-1:1" ... */
    bool daemon;      /* terminated at this process's end, and may start no processes. Not inherited */
    motet_start_method method;
    const char *task_name; /* the process runs the task of that name (motet/executor.h) with .data as what goes in; `fn`
                              is not looked at. What comes out is dropped, the task's code is the process's result */
    const void *data; /* bytes that are copied for it, on a cache line of their own; its `arg` points to the copy */
    size_t size;      /* of them */
    motet_conn *const *give; /* connections that it is to hold before start returns, up to NULL. Not in this version */
} motet_process_options;

/* motet_init: the first thing in main: starts the zygote while the program has one thread, and is where a process of
 * MOTET_SPAWN begins: in such a one it runs what is to be run and never returns. `argc` and `argv` are those of main and stay
 * as they are (both may be NULL; then a spawned process gets no arguments). Without it the first process that is started
 * starts the zygote, if the program has still one thread; there is no MOTET_SPAWN then.
 *
 * The zygote is a copy of this program that does nothing but make copies of itself, one a process; the guard, another one,
 * takes care of it and of the family. They need next to no memory, block all signals, and keep the descriptors that are open
 * now, which the processes to come shall have. A process of the zygote finds the program as it is at this moment: its
 * globals, environment, directory, signal handlers and mask. The program gets no SIGCHLD for the zygote or for what it has
 * made, and wait() doesn't see them. Standard input and output are flushed first.
 *
 * 0; -EINVAL: it was called before, or one of the two is NULL; -EPERM: the program has more than one thread, or this is the child
 * of a raw fork, or a process that motet has started; -ENOMEM, -EAGAIN, -EMFILE, -ENFILE: the machine has too little of
 * something. Waits for the zygote to be ready. */
MOTET_API int motet_init(int *argc, char ***argv);

/* motet_process_start: has a new process run `fn(arg)`; its exit code is the low 8 bits of what that returns. *p is set.
 *
 * Code and arguments. `fn` must be code that the new process has: of the program, or of a library that was loaded at
 * motet_init. `arg` may be NULL, an integer, a pointer into shared memory (motet_shared_alloc), or one to the program's
 * read-only data (string literals, const objects). A pointer to heap, stack, or data that can be written is -EFAULT: the other
 * process has none such there. (So is an integer that is by chance such an address.) With MOTET_FORK all is copied and nothing
 * is checked. Or else .data is copied, and `arg` is NULL here.
 *
 * Signals. With MOTET_FORKSERVER it has the mask and the handlers that the program had at motet_init; with MOTET_SPAWN that mask,
 * and what was handled is at its default; with MOTET_FORK the mask of the calling thread, and the handlers as they are.
 * Nothing is pending. It is of the program's process group and session, so Ctrl-C reaches it.
 *
 * Its end. When the body returns, the process waits for its threads and processes that are no daemons, terminates its
 * daemons, flushes what stdio holds, and is gone; functions registered with atexit do not run (as with Python's os._exit).
 * A body may call exit: then they do. The family ends with its root: when that is killed, or ends by _exit, all processes
 * of the family, and what they have left behind, are killed. When it ends by exit or by returning from main, it first waits
 * for processes that are no daemons, terminates the daemons (SIGTERM, and 2 seconds later SIGKILL) and waits for those too.
 *
 * Waits for the new process to exist (MOTET_SPAWN: to have come to motet_init). Any thread; no cancellation point.
 * (If somebody stops the zygote by SIGSTOP, starts and joins wait until it goes on, or is killed and replaced.)
 * MOTET_FORKSERVER costs the same whatever this process's size. With MOTET_FORK the program's SIGCHLD handler is called at its end,
 * and a wait() of the program may take its exit code away (then it is what the process meant to exit with, or -SIGKILL); what
 * another thread held of the C library's locks is free in it, other locks are not.
 *
 * 0; -EINVAL: p is NULL, `fn` and .task_name are, an unknown method, .data without .size or the reverse, .data with an `arg`;
 * -EFAULT: `fn` or `arg`, as above; -ENOENT: no task of that name; -EPERM: this process is a daemon, or there is no zygote
 * and the program has more than one thread, or MOTET_SPAWN without motet_init in main, or the child of a raw fork; -ENOTSUP: .give;
 * -EAGAIN: no more processes can be had (1020 a family at a time); -EMFILE, -ENFILE, -ENOMEM; -EPIPE: guard and zygote were killed at once, and
 * the family can have no more processes; MOTET_SPAWN also what kept the program from being run, and -EEXIST: its arena can't be
 * where this one is. On failure there is no process. Start methods and meanings are those of Python's multiprocessing. */
MOTET_API int motet_process_start(motet_process **p, motet_fn *fn, void *arg, const motet_process_options *opt);

/* motet_process_join: waits until the process has ended, and stores its result (ret_code may be NULL): what the body
 * returned; if it did not come to that, the exit code, as motet_process_exit_code. Any number of times, by any number of
 * threads at once. What it held of shared objects is given back by then; its memory and its place too, or another process is
 * just about it. 0; -EDEADLK: it is the calling process; -ETIMEDOUT; -ECANCELED; -EINTR (an
 * interruptible thread); -EINVAL: NULL; -EPERM in the child of a raw fork, and where another process has started it; -EMFILE,
 * -ENFILE, -ENOMEM: no means to wait (MOTET_FORK). */
MOTET_API int motet_process_join(motet_process *p, int *ret_code, motet_time deadline);

/* motet_process_alive: false once it has ended: then a join succeeds at once. False for NULL, and where another process has
 * started it. Never waits. */
MOTET_API bool motet_process_alive(const motet_process *p);

/* motet_process_name: its name, valid while you hold a reference. The root is "MainProcess". NULL for NULL. */
MOTET_API const char *motet_process_name(const motet_process *p);

/* motet_process_id: a number that no other process of the family has or will have; 1 is the root. 0 for NULL. */
MOTET_API uint64_t motet_process_id(const motet_process *p);

/* motet_process_current: the calling process, as a reference to be freed. NULL: no memory, or the child of a raw fork. */
MOTET_API motet_process *motet_process_current(void);

/* motet_process_ref: one more reference. NULL for NULL. Never waits. */
MOTET_API motet_process *motet_process_ref(motet_process *p);

/* motet_process_free: gives a reference back. A process that still runs goes on; the end of this one still waits for it, or
 * terminates it if it is a daemon. NULL is fine. Returns NULL. */
MOTET_API motet_process *motet_process_free(motet_process *p);

/* motet_process_terminate: SIGTERM to the process. 0, also when it has ended: the signal never reaches another that got its
 * id. -EINVAL: NULL; -EPERM: in the child of a raw fork, or another process has started it, or it became another user's;
 * -EMFILE, -ENFILE, -ENOMEM. Never waits. */
MOTET_API int motet_process_terminate(motet_process *p);

/* motet_process_kill: SIGKILL, as motet_process_terminate. What it held is given back, and who waits for that is told. */
MOTET_API int motet_process_kill(motet_process *p);

/* motet_process_pid: its process id; -EINVAL for NULL. Once it has ended the number may be another's. */
MOTET_API pid_t motet_process_pid(const motet_process *p);

/* motet_process_exit_code: stores what the kernel says: the low 8 bits of what the body returned or gave to exit; -N: signal
 * N ended it. 0; -EAGAIN while it is alive, ret_code untouched; -EINVAL: p or
 * ret_code is NULL; -EPERM as motet_process_join. Never waits. */
MOTET_API int motet_process_exit_code(const motet_process *p, int *ret_code);

/* motet_process_fd: a descriptor to poll, readable once the process has ended (and what it held may be given back a moment
 * later: join tells). It is its pidfd (of one that had ended before the first call here, an eventfd), opened by the first
 * call, close-on-exec, and the object's: never to be closed. -EINVAL: NULL; -EPERM as motet_process_join; -EMFILE,
 * -ENFILE, -ENOMEM. */
MOTET_API int motet_process_fd(const motet_process *p);

/* motet_active_children: how many processes that this one has started are alive; reaps the others. Stores references to
 * up to `n` of them, in the order in which they were started; each is to be freed. `ret` may be NULL when `n` is 0.
 * -EINVAL: it is NULL otherwise; -EPERM in the child of a raw fork. Never waits. */
MOTET_API int motet_active_children(motet_process **ret, size_t n);

/* motet_after_fork_child: in the child of a raw fork (fork, not vfork), makes motet usable: the calling thread is the only
 * one and its main thread, there are no processes and timers, and exit waits for nothing of the parent's. The parent's objects
 * stay unusable, those in shared memory excepted: at their first use the process joins the family, if that has a zygote, and
 * then it may start processes of its own. If it has none, the shared memory stays the parent's, and the child may begin a family
 * of its own. 0; -EINVAL: this is not the child of a raw fork, or it was called before. */
MOTET_API int motet_after_fork_child(void);

#ifdef __cplusplus
}
#endif

#endif
