/* SPDX-License-Identifier: MIT */
/*
 * What the runner's files share.
 *
 * Three processes take part in every job (a unit test or a script):
 *
 *   runner   runner.c        chooses, starts up to -j guards, prints their reports, counts
 *     guard  runner_guard.c  one for each job: a subreaper, so that all that the job leaves behind comes to it;
 *                            keeps the time, gives the verdict, ends by writing its report
 *       case runner_case.c   the job itself, in a session of its own
 *
 * All three have one thread when they fork. Guard and case share one page, the `record`: what is written there
 * survives however the case dies, and a CHECK in a process that the case forked reaches the guard as well.
 */
#ifndef MOTET_TESTS_RUNNER_INTERNAL_H
#define MOTET_TESTS_RUNNER_INTERNAL_H

#include "runner.h"

#include <stdint.h>
#include <sys/types.h>

enum {
    NOTES_SIZE_MAX = 64 * 1024,
    SITES_MAX = 12,
    FDS_MAX = 4096,
    THREADS_MAX = 4096,
    TIMEOUT_S_TEST = 60,
    TIMEOUT_S_SCRIPT = 120,
    /* How long what a test ended is given to vanish: a joined thread is in /proc a moment longer. It costs time
     * only where there is a leak, so it is long enough for any machine. */
    GRACE_MS = 5000,
};

/* A guard's exit code is its verdict. */
enum verdict { PASSED = 0, FAILED = 1, SKIPPED = 77 };

/* The exit code of a process that a CHECK ended; what counts is record.failed, so a test may use the code itself. */
enum { EXIT_CHECK_FAILED = 98 };

struct job {
    char id[128];
    const struct test *test; /* NULL: a script */
    char *script;            /* path */
    bool alone;
};

struct run_options {
    bool verbose;
    int grace_ms;
    double stretch; /* of every time-out */
    const char *build_dir;
};

struct record {
    bool failed;
    bool skipped;
    bool body_returned;
    bool at_exit_ran;
    unsigned sites;             /* how many of these were taken; may exceed SITES_MAX */
    uintptr_t site[SITES_MAX];  /* where leaked memory was allocated, as addresses in the program's file */
    unsigned notes_size;        /* as sites: may exceed the array */
    char notes[NOTES_SIZE_MAX]; /* a hole is zeros: a note that its writer did not finish */
};

/* runner_guard.c */
__attribute__((noreturn)) void guard_main(const struct job *job, const struct run_options *options, pid_t runner,
                                          int report_fd);

/* runner_case.c: becomes the job */
__attribute__((noreturn)) void case_main(const struct job *job, const struct run_options *options, pid_t guard,
                                         struct record *record, int output_fd);

/* runner_check.c: where CHECK and the leak search write */
extern struct record *runner_record; /* NULL outside a case */
__attribute__((format(printf, 1, 2))) void note(const char *format, ...);

/* runner_leaks.c */
struct belongings {
    int fd_count;
    int fd[FDS_MAX];
    int thread_count;
    pid_t thread[THREADS_MAX];
    int links_beyond; /* of /proc/self/task */
};
void belongings_take(struct belongings *now);
/* Writes a note for each thing that is there now and was not before; returns how many. */
int belongings_leaked(const struct belongings *before, int grace_ms);

/* runner_memory.c */
void memory_track_start(void);
int memory_leaked(void);

/* runner_proc.c: all of it reads /proc with one buffer on the stack and allocates nothing */
int proc_numbers(const char *directory, int *out, int count_max); /* the numeric names in it, sorted; -1 */
ssize_t proc_read(const char *path, char *out, size_t size);      /* terminated, last newline gone; -1 */
pid_t proc_parent(pid_t pid);                                     /* -1: gone */
int proc_children(pid_t parent, pid_t *out, int count_max);
void proc_describe(int fd, pid_t pid); /* name, command line, each thread's name, state and what it waits in */

/* time */
int64_t runner_now_ms(void);
void runner_pause_ms(int ms);

#endif
