/* SPDX-License-Identifier: MIT */
/* process.c - the rows process.start.*: a process that does nothing, started and joined; by a small program and by one that has
 * touched 1 GiB. Beside it the same by a bare fork and wait of this program, as small as it is. */
#include <motet/process.h>

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

#define LARGE ((size_t)1 << 30)

/* A process of MOTET_SPAWN begins here; and the zygote is as small as it can be. */
__attribute__((constructor)) static void begin(void) { motet_init(NULL, NULL); }

static int nothing(void *arg) { return arg ? 1 : 0; }

static double start_and_join(void *method, uint64_t n)
{
    motet_process_options opt = {.method = (motet_start_method)(uintptr_t)method};
    double t = bench_now();
    for (uint64_t i = 0; i < n; i++) {
        motet_process *p;
        int code = -1;
        bench_must(motet_process_start(&p, nothing, NULL, &opt), "motet_process_start");
        bench_must(motet_process_join(p, &code, MOTET_FOREVER), "motet_process_join");
        if (code != 0)
            bench_die("process.start: ended with %d", code);
        motet_process_free(p);
    }
    return bench_now() - t;
}

static double fork_and_wait(void *arg, uint64_t n)
{
    double t = bench_now();
    for (uint64_t i = 0; i < n; i++) {
        int status = -1;
        pid_t pid = fork();
        if (pid == 0)
            _exit(0);
        if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
            bench_die("process.start: fork and wait failed");
    }
    return bench_now() - t;
}

static const struct bench_plan small_plan = {.n_min = 10, .span_ns = 100000000};
static const struct bench_plan large_plan = {.n_min = 3, .span_ns = 300000000, .repeats_max = 5};

static void measure(struct bench *b, motet_start_method method, bool large)
{
    void *memory = NULL;
    if (large) {
        size_t size = bench_quick(b) ? LARGE / 16 : LARGE;
        memory = malloc(size);
        if (!memory) {
            bench_skip(b, "not so much memory here");
            return;
        }
        memset(memory, 1, size);
    }
    bench_measure(b, start_and_join, (void *)(uintptr_t)method, large ? &large_plan : &small_plan);
    free(memory);
}

static void forkserver(struct bench *b) { measure(b, MOTET_FORKSERVER, false); }
static void forkserver_large(struct bench *b) { measure(b, MOTET_FORKSERVER, true); }
static void by_fork(struct bench *b) { measure(b, MOTET_FORK, false); }
static void by_fork_large(struct bench *b) { measure(b, MOTET_FORK, true); }
static void spawn(struct bench *b) { measure(b, MOTET_SPAWN, false); }
static void spawn_large(struct bench *b) { measure(b, MOTET_SPAWN, true); }
static void bare(struct bench *b) { bench_measure(b, fork_and_wait, NULL, &small_plan); }

static const struct bench_row process_rows[] = {
    {"process.start.forkserver", "ns", "unpinned", "a process by the zygote, and its end", forkserver, false},
    {"process.start.forkserver.1g", "ns", "unpinned", "the same, the program has 1 GiB", forkserver_large, false},
    {"process.start.fork", "ns", "unpinned", "a process by fork, and its end", by_fork, false},
    {"process.start.fork.1g", "ns", "unpinned", "the same, the program has 1 GiB", by_fork_large, false},
    {"process.start.spawn", "ns", "unpinned", "a process by running the program anew, and its end", spawn, false},
    {"process.start.spawn.1g", "ns", "unpinned", "the same, the program has 1 GiB", spawn_large, false},
    {"process.start.bare", "ns", "unpinned", "fork, _exit and waitpid, no library", bare, false},
    {NULL, NULL, NULL, NULL, NULL, false},
};
BENCH_ROWS(process_rows);
