/* SPDX-License-Identifier: MIT */
/* run.c - the rows run.jobs*: `motet run`, as many jobs at a time as there are CPUs, output grouped a job. */
#include "jobs.h"

#include <stdlib.h>
#include <unistd.h>

/* The command of the same build; MOTET_COMMAND names another. */
static void run(struct bench *b, enum bench_job job)
{
    const char *named = getenv("MOTET_COMMAND");
    const char *command = named && *named ? named : bench_beside("../src/cli/motet");
    if (access(command, X_OK) < 0)
        bench_skip(b, "the motet command is not there");
    else
        bench_jobs(b, (const char *const[]){command, "run", "-j", "@cpus", "@job", NULL}, job, 5);
}

static void run_nolibc(struct bench *b) { run(b, BENCH_JOB_NOLIBC); }
static void run_true(struct bench *b) { run(b, BENCH_JOB_TRUE); }

static const struct bench_row run_rows[] = {
    {"run.jobs", "jobs/s", "unpinned", "motet run, 1,000 jobs of a program without a C library", run_nolibc, false},
    {"run.jobs.cpu", "ns", "unpinned", "its own CPU time a job", run_nolibc, false},
    {"run.jobs.rss", "bytes", "unpinned", "its peak resident memory", run_nolibc, false},
    {"run.jobs.true", "jobs/s", "unpinned", "motet run, 500 jobs of /bin/true", run_true, false},
    {"run.jobs.true.cpu", "ns", "unpinned", "its own CPU time a job", run_true, false},
    {"run.jobs.true.rss", "bytes", "unpinned", "its peak resident memory", run_true, false},
    {NULL, NULL, NULL, NULL, NULL, false},
};
BENCH_ROWS(run_rows);
