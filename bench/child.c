/* SPDX-License-Identifier: MIT */
/* child.c - the rows child.spawn*: starting a program and waiting for its end. */
#include <motet/ipc.h>

#include "harness.h"

static double spawn_once(void *arg, uint64_t n)
{
    const char *const argv[] = {arg, NULL};
    double t = bench_now();
    for (uint64_t i = 0; i < n; i++) {
        motet_child *c;
        int code = -1;
        bench_must(motet_child_start(&c, argv, NULL), "motet_child_start");
        bench_must(motet_child_wait(c, &code, MOTET_FOREVER), "motet_child_wait");
        if (code != 0)
            bench_die("child.spawn: %s ended with %d", argv[0], code);
        motet_child_free(c);
    }
    return bench_now() - t;
}

static void spawn(struct bench *b, const char *program)
{
    bench_measure(b, spawn_once, (void *)(uintptr_t)program, &(struct bench_plan){.n_min = 10, .span_ns = 100000000});
}

static void spawn_true(struct bench *b) { spawn(b, "/bin/true"); }
static void spawn_nolibc(struct bench *b) { spawn(b, bench_beside("motet-bench-nolibc")); }

static const struct bench_row child_rows[] = {
    {"child.spawn", "ns", "unpinned", "start /bin/true and wait for its end", spawn_true, false},
    {"child.spawn.nolibc", "ns", "unpinned", "the same of a program without a C library", spawn_nolibc, false},
    {NULL, NULL, NULL, NULL, NULL, false},
};
BENCH_ROWS(child_rows);
