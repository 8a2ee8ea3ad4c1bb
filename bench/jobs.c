/* SPDX-License-Identifier: MIT */
/* jobs.c - how the rows run.jobs* are measured, for motet run and its peers alike. */
#include "jobs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define JOBS       1000
#define JOBS_TRUE  500
#define JOBS_QUICK 10
#define ARGS_MAX   32

/* The lines "1" to "n". */
static char *numbered_lines(int n)
{
    char *text = malloc((size_t)n * 12 + 1), *end = text;
    if (!text)
        bench_die("no memory");
    *end = 0;
    for (int i = 1; i <= n; i++)
        end += sprintf(end, "%d\n", i);
    return text;
}

void bench_jobs(struct bench *b, const char *const argv[], enum bench_job job, int repeats_max)
{
    const char *args[ARGS_MAX + 1];
    char cpus[16];
    int n = bench_quick(b) ? JOBS_QUICK : job == BENCH_JOB_TRUE ? JOBS_TRUE : JOBS;
    int repeats = bench_repeats(b), count = 0;
    if (repeats_max && repeats > repeats_max)
        repeats = repeats_max;
    snprintf(cpus, sizeof cpus, "%d", bench_cpus());
    for (; argv[count] && count < ARGS_MAX; count++) {
        args[count] = argv[count];
        if (strcmp(argv[count], "@cpus") == 0)
            args[count] = cpus;
        else if (strcmp(argv[count], "@job") == 0)
            args[count] = job == BENCH_JOB_TRUE ? "/bin/true" : bench_beside("motet-bench-nolibc");
    }
    args[count] = NULL;
    char *input = numbered_lines(n);
    for (int i = repeats == 1 ? 1 : 0; i <= repeats; i++) { /* a single, slow repeat has no warm-up */
        struct bench_cost c = bench_run_tool(args, input);
        if (c.status != 0)
            bench_die("%s %s ended with %d", args[0], args[1], c.status);
        if (i == 0)
            continue;
        bench_sample(b, 0, n * 1e9 / c.elapsed_ns);
        bench_sample(b, 1, c.own_cpu_ns / n);
        bench_sample(b, 2, c.peak_bytes);
    }
    free(input);
}
