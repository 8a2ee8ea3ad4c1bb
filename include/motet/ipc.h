/* SPDX-License-Identifier: MIT */
/* motet/ipc.h - between processes: shared memory, and child processes that run other programs.
 *
 *     const char *const argv[] = {"sort", "-u", NULL};
 *     motet_buffer *sorted = motet_buffer_new();
 *     int code, r = motet_child_run(argv, text, sorted, NULL, &code, motet_after(10 * MOTET_S));
 *
 * The meanings are those of Python's subprocess. No shell is ever involved, no descriptor leaks into a child, and a child
 * is known by its pidfd: a signal can't reach a stranger that got its number. */
#ifndef MOTET_IPC_H
#define MOTET_IPC_H

#include <motet/base.h>

#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- shared memory --------------------------------------------------------------------------------- */

/* motet_shared_alloc: `size` bytes of memory that all processes of the family see, at the same address in each, so that they
 * may hold plain pointers to each other's blocks. Zeroed; begins on a multiple of 64 and shares no cache line.
 * It lives until somebody frees it or the family ends, whoever allocated it has died; nothing of it is ever left in the file
 * system. The processes' arena is made by the first call: a range of addresses (64 GiB, or as much as can be had, or what the
 * environment's MOTET_ARENA_SIZE says, as "512M") and one descriptor; memory is taken as it is used.
 *
 * NULL: size is 0; the arena is full; there is no memory, no address space or no descriptor; in the child of a raw fork that can't join
 * the family. Any thread; does not wait for others but for moments. */
MOTET_API void *motet_shared_alloc(size_t size);

/* motet_shared_free: gives a block back, from whatever process of the family. NULL is fine. What is no block from
 * motet_shared_alloc, or was freed already, ends the program with a message. In the child of a raw fork that can't join the
 * family it does nothing. Any thread. */
MOTET_API void motet_shared_free(void *p);

/* motet_shared_contains: whether p points into the family's arena, to a block in use or not: whether another process of it can
 * have that pointer. False while there is no arena. Any context. */
MOTET_API bool motet_shared_contains(const void *p);

/* ---- child processes ------------------------------------------------------------------------------- */

/* A program that this process started. Any thread may use it, several at once, and must be done with it before it is
 * freed. In the child of a raw fork every call but _pid, _fd, _stdin, _stdout, _stderr and _free fails with -EPERM. */
typedef struct motet_child motet_child;

/* What the child's standard input, output and error are: one of these, or a descriptor above 0 that it gets a copy of. */
enum {
    MOTET_INHERIT = 0, /* what this process has there */
    MOTET_PIPE = -1,   /* a new pipe, whose other end is the child object's */
    MOTET_STDOUT = -2, /* for .stderr_ alone: where its standard output goes */
    MOTET_NULL = -3,   /* nothing: the null device */
};

/* What the child may use at most. 0: as much as this process may. More than this process may is as much as it may. */
typedef struct motet_child_limits {
    uint64_t cpu_s;           /* CPU seconds; then SIGXCPU, a second later SIGKILL */
    uint64_t memory_bytes;    /* address space */
    uint64_t data_bytes;      /* heap and private mappings */
    uint64_t stack_bytes;     /* the main thread's stack */
    uint64_t file_size_bytes; /* of a file that it writes; then SIGXFSZ */
    uint64_t open_files;      /* descriptors */
    uint64_t processes;       /* processes and threads of the user */
    bool no_core;             /* no core dump */
} motet_child_limits;

typedef struct motet_child_options {
    int stdin_, stdout_, stderr_;
    const char *cwd;        /* where it starts; NULL: here. A relative program or PATH entry is looked up from there */
    const char *const *env; /* "NAME=value" strings up to NULL: its whole environment. NULL: this process's */
    const char *executable; /* the program to run, when argv[0] is only what it is to be called */
    bool new_session;       /* it leads a session of its own, without a controlling terminal */
    bool new_group;         /* it leads a process group of its own, whose id is its pid */
    bool keep_fds;          /* it keeps descriptors above 2 that aren't close-on-exec. Default: it has none of them */
    bool die_with_thread;   /* it gets SIGKILL when the thread that started it ends; its own children don't */
    motet_child_limits limits;
} motet_child_options;

/* motet_child_start: starts the program argv[0] with the arguments `argv`, which ends with NULL, and gives a handle to be
 * freed. A name without a slash is looked for in the directories of PATH, as execvp does: the PATH of .env when that is
 * given (as in Python), else this process's; without any, "/bin:/usr/bin". A file that isn't a program is no script
 * for a shell: -ENOEXEC.
 *
 * The child starts with the caller's signal mask; signals that this process handles, SIGPIPE and SIGXFSZ are at their
 * default, others that it ignores stay ignored. When the call returns the program runs: it doesn't wait for more than that.
 * Strings and arrays are not kept. The calling thread alone stands still for the start (the way of vfork), so its cost does
 * not grow with this process's memory.
 *
 * 0, *c set; -EINVAL: c, argv or argv[0] NULL, a constant that doesn't fit, a negative descriptor; -EBADF: a descriptor that
 * isn't open; -ENOENT, -EACCES, -ENOTDIR, -ENOEXEC, -E2BIG and so on: what kept the program from being run, or .cwd from
 * being entered; -EAGAIN, -ENOMEM, -EMFILE, -ENFILE: too many processes, too little memory, too many descriptors; -EPERM in
 * the child of a raw fork. Nothing is left behind then. */
MOTET_API int motet_child_start(motet_child **c, const char *const argv[], const motet_child_options *opt);

/* motet_child_wait: waits until the child has ended, which any number of threads may do, any number of times. *ret_code
 * (may be NULL) is its exit code, or -N when signal N ended it. MOTET_NOWAIT asks whether it has ended. A child that
 * writes to a pipe that nobody reads never ends: see motet_child_communicate.
 *
 * 0; -ETIMEDOUT it runs still; -ECHILD it has ended and how is lost, since this process ignores SIGCHLD, or waited
 * for any child (wait, waitpid(-1)) elsewhere; -EINVAL c NULL; -ECANCELED, -EINTR as every wait; -EMFILE, -ENFILE, -ENOMEM: no
 * means to wait; -EPERM in the child of a raw fork. */
MOTET_API int motet_child_wait(motet_child *c, int *ret_code, motet_time deadline);

/* motet_child_communicate: writes `input` to the child's standard input and closes it, reads its standard output and error
 * to their ends, all at once so that neither side ever waits for the other, and waits for its end. What was read is added
 * to `out` and `err`; where one is NULL, what comes from that pipe is dropped. A child that stops reading early is no error,
 * and SIGPIPE reaches nobody.
 *
 * On failure the buffers are as they were and nothing is lost: called again it goes on where it was, and gives all that
 * was read since the first call. The input of the first call is what is sent; that of later calls is ignored, save
 * after -ENOMEM: give the same again. Between the calls leave the pipes alone. Once it has returned 0, it does so again and adds nothing.
 *
 * 0; -ETIMEDOUT; -EINVAL: c NULL, input or a buffer without a MOTET_PIPE for it, NULL data with a size, one buffer for both;
 * -EBUSY another thread communicates with it; -ECHILD as motet_child_wait, all output given; -ENOMEM; -EIO and so on: a pipe that failed;
 * -ECANCELED, -EINTR, -EMFILE, -ENFILE, -EPERM as motet_child_wait. */
MOTET_API int motet_child_communicate(motet_child *c, motet_bytes input, motet_buffer *out, motet_buffer *err,
                                      motet_time deadline);

/* motet_child_run: starts argv in a session of its own, communicates, waits, and frees. An empty input is the null device;
 * out or err NULL: it writes where this process does. *ret_code (may be NULL) as motet_child_wait. When the wait fails,
 * at its deadline for one, the child and its process group are killed and the child is gone when the call returns; so it is
 * when the calling thread ends.
 *
 * 0; -ETIMEDOUT killed at the deadline; -ECANCELED, -EINTR killed since the calling thread was cancelled or interrupted;
 * -EINVAL: argv or argv[0] NULL, NULL data with a size, one buffer for both; other codes of motet_child_start and motet_child_communicate. On
 * failure ret_code, out and err are as they were, save after -ECHILD. */
MOTET_API int motet_child_run(const char *const argv[], motet_bytes input, motet_buffer *out, motet_buffer *err,
                              int *ret_code, motet_time deadline);

/* motet_child_pid: its process id; -EINVAL for NULL. After it has ended and was waited for the number may be another's. */
MOTET_API pid_t motet_child_pid(const motet_child *c);

/* motet_child_fd: its pidfd, readable once it has ended; the object's, never to be closed. -EINVAL for NULL. */
MOTET_API int motet_child_fd(const motet_child *c);

/* motet_child_stdin: where to write what the child is to read; motet_child_stdout, motet_child_stderr: where to read what it
 * writes. Blocking, close-on-exec, the object's: close one by motet_child_close_pipe. -EINVAL: c NULL, or no MOTET_PIPE was asked for
 * there; -EPIPE: closed already. (Writing to a child that has closed its end raises SIGPIPE, as every write does.) */
MOTET_API int motet_child_stdin(const motet_child *c);
MOTET_API int motet_child_stdout(const motet_child *c);
MOTET_API int motet_child_stderr(const motet_child *c);

/* motet_child_close_pipe: closes this side of the pipe to the child's descriptor `number`: 0 ends its input, 1 and 2 end
 * the reading of its output. 0, also when it is closed already; -EINVAL: c NULL, or no pipe was asked for there; -EBUSY
 * another thread communicates with it; -EPERM in the child of a raw fork. */
MOTET_API int motet_child_close_pipe(motet_child *c, int number);

/* motet_child_signal: sends signal number `number` to the child (0: only asks whether that is possible). 0, also when it has
 * ended: the signal never reaches another process that got its id. -EINVAL: c NULL, no such signal; -EPERM: it became another
 * user's, or in the child of a raw fork. */
MOTET_API int motet_child_signal(motet_child *c, int number);

/* motet_child_terminate: SIGTERM, as motet_child_signal. */
MOTET_API int motet_child_terminate(motet_child *c);

/* motet_child_kill: SIGKILL, as motet_child_signal. */
MOTET_API int motet_child_kill(motet_child *c);

/* motet_child_free: closes its descriptors and gives the handle back. A child that still runs is left alone and forgotten;
 * once it has ended, a later motet_child_start or motet_child_free reaps it (as in Python). NULL is fine. Returns NULL. */
MOTET_API motet_child *motet_child_free(motet_child *c);

#ifdef __cplusplus
}
#endif

#endif
