/* SPDX-License-Identifier: MIT */
/* The jobs that run: one slot each, and what poll has to look at. */
#ifndef MOTET_CLI_JOBS_H
#define MOTET_CLI_JOBS_H

#include "output.h"

#include <motet/ipc.h>

#include <poll.h>

enum { FDS_SIGNAL, FDS_INPUT, FDS_SLOTS }; /* places in jobs.fds; from FDS_SLOTS on three a slot: */
enum { FD_ENDED, FD_OUT, FD_ERR, FDS_PER_SLOT };

typedef struct job {
    motet_child *child; /* NULL: the slot is free */
    uint64_t sequence;
    capture out, err;
} job;

typedef struct jobs {
    job *slots;
    int count, running, lowest_free; /* no slot below lowest_free is free */
    struct pollfd *fds;              /* a negative fd is not looked at */
    int null_fd;                     /* what jobs have as standard input */
    void (*done)(job *j,
                 int code); /* a job has ended and its output is in its captures; 0, an exit code, -N for signal N */
} jobs;

/* Room for `count` jobs at once. 0, or -errno. */
int jobs_open(jobs *all, int count);
void jobs_close(jobs *all);

/* The number of the slot that the next job gets, from 1; one must be free. */
int jobs_next_slot(jobs *all);

/* Starts a job in slot number `slot`, which is free. `program` is the file to run, NULL: look for argv[0]. 0, or -errno and nothing runs. */
int jobs_start(jobs *all, int slot, uint64_t sequence, const char *program, const char *const argv[]);

/* What poll found about the jobs, `ready` places in all. */
void jobs_serve(jobs *all);

#endif
