/* SPDX-License-Identifier: MIT */
/* jobs.h - the rows run.jobs*: many small jobs through a command that runs them side by side. */
#ifndef MOTET_BENCH_JOBS_H
#define MOTET_BENCH_JOBS_H

#include "harness.h"

/* The tables of these rows have the slots: jobs/s, the command's own CPU ns a job, its peak bytes. */

enum bench_job {
    BENCH_JOB_NOLIBC, /* ends at once: what is measured is the command */
    BENCH_JOB_TRUE,   /* /bin/true */
};

/* Runs a tool that reads a job's argument a line from its standard input. In argv "@cpus" stands for the number of
 * CPUs, "@job" for the job's program. At most `repeats_max` repeats (0: no bound). */
void bench_jobs(struct bench *b, const char *const argv[], enum bench_job job, int repeats_max);

#endif
