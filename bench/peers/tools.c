/* SPDX-License-Identifier: MIT */
/* tools.c - commands that run jobs side by side: xargs, whose jobs share one output; GNU parallel, which groups it. */
#include "../jobs.h"

#include <stdlib.h>

static const char *const xargs[] = {"xargs", "-P", "@cpus", "-n", "1", "@job", NULL};
static const char *const parallel[] = {"parallel", "--will-cite", "-j", "@cpus", "@job", NULL};

static void xargs_nolibc(struct bench *b) { bench_jobs(b, xargs, BENCH_JOB_NOLIBC, 5); }
static void xargs_true(struct bench *b) { bench_jobs(b, xargs, BENCH_JOB_TRUE, 5); }

/* Perl: one repeat is three seconds. */
static void parallel_jobs(struct bench *b, enum bench_job job)
{
    const char *const probe[] = {"parallel", "--minversion", "2", NULL};
    if (bench_run_tool(probe, "").status != 0)
        bench_skip(b, "GNU parallel is not installed");
    else
        bench_jobs(b, parallel, job, 1);
}

static void parallel_nolibc(struct bench *b) { parallel_jobs(b, BENCH_JOB_NOLIBC); }
static void parallel_true(struct bench *b) { parallel_jobs(b, BENCH_JOB_TRUE); }

#define ROWS(tool, run, run_true)                                                                        \
    {"run.jobs@" tool, "jobs/s", "unpinned", "1,000 jobs of a program without a C library", run, false}, \
        {"run.jobs.cpu@" tool, "ns", "unpinned", "its own CPU time a job", run, false},                  \
        {"run.jobs.rss@" tool, "bytes", "unpinned", "its peak resident memory", run, false},             \
        {"run.jobs.true@" tool, "jobs/s", "unpinned", "500 jobs of /bin/true", run_true, false},         \
        {"run.jobs.true.cpu@" tool, "ns", "unpinned", "its own CPU time a job", run_true, false},        \
    {                                                                                                    \
        "run.jobs.true.rss@" tool, "bytes", "unpinned", "its peak resident memory", run_true, false      \
    }

static const struct bench_row tool_rows[] = {
    ROWS("xargs", xargs_nolibc, xargs_true),
    ROWS("GNU-parallel", parallel_nolibc, parallel_true),
    {NULL, NULL, NULL, NULL, NULL, false},
};
BENCH_ROWS(tool_rows);
