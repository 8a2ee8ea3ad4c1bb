/* SPDX-License-Identifier: MIT */
/*
 * harness.h - what every benchmark program is made of: rows, repeats, and a command line.
 *
 * A program is this harness and tables of rows. Motet's own rows and those of its peers run under the same harness,
 * so that both are warmed up, repeated and counted alike. A peer writes its name after the row's: lock.contended@glib.
 *
 * Rows that come from one measurement stand next to each other in a table with the same function; the first of them is
 * slot 0, the next slot 1, and so on. The function runs once, whichever of them are asked for, and gives each slot as
 * many samples as it is repeated. What is printed is the median.
 *
 * The harness starts threads by pthread_create: nothing of the library is measured but what the row names. Every row
 * counts or sums what it moved and dies when that does not add up: a benchmark that loses items is not fast.
 */
#ifndef MOTET_BENCH_HARNESS_H
#define MOTET_BENCH_HARNESS_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- rows ------------------------------------------------------------------------------------------ */

struct bench; /* one run of one function of a table */
typedef void bench_fn(struct bench *b);

struct bench_row {
    const char *name;  /* NULL ends a table */
    const char *unit;  /* "ns" an operation; "items/s", "tasks/s", "jobs/s", "pairs/s"; "bytes"; "ratio" */
    const char *where; /* where the threads run: "pinned", "unpinned" */
    const char *what;  /* one line for --list -v */
    bench_fn *run;
    bool companion; /* printed too whenever slot 0 is asked for by its own name */
};

/* Makes a table known, before main. */
void bench_register(const struct bench_row *rows);
#define BENCH_ROWS(table)                                                                      \
    __attribute__((constructor)) static void table##_register(void) { bench_register(table); } \
    struct bench_row

/* ---- samples --------------------------------------------------------------------------------------- */

/* Does `n` operations and returns how many nanoseconds they took. */
typedef double bench_once(void *arg, uint64_t n);

/* How one row is measured; a zero field means what stands behind it. */
struct bench_plan {
    uint64_t n_min;  /* the fewest operations a repeat is made of (1,000) */
    uint64_t n_max;  /* the most (a billion) */
    int64_t span_ns; /* how long a repeat should last (60 ms); --quick: 2 ms, and n_min may be undercut */
    int repeats_max; /* no more repeats than these, for what is slow (no bound) */
};

/* Measures and gives slot 0 its samples, in its unit: n grows until a repeat lasts its span (which warms up as well),
 * then one more run is thrown away, then come the repeats. Returns how many were made. */
int bench_measure(struct bench *b, bench_once *once, void *arg, const struct bench_plan *plan);

/* For rows that keep their own time: how often to repeat, and one sample. */
int bench_repeats(const struct bench *b);
bool bench_quick(const struct bench *b);
void bench_sample(struct bench *b, int slot, double value);

/* Whether the slot-th row of this run was asked for: what nobody wants need not be measured. */
bool bench_wanted(const struct bench *b, int slot);

/* The row can't be measured here; it is left out, with a line on stderr that says why, and the program ends with 1
 * (--quick: with 0). */
void bench_skip(struct bench *b, const char *why);

/* The median of n values, which are sorted by it. */
double bench_median(double *v, int n);

/* ---- failing --------------------------------------------------------------------------------------- */

/* Ends the program with 1 and a line on stderr. */
__attribute__((noreturn, format(printf, 1, 2))) void bench_die(const char *format, ...);
/* Dies unless code >= 0 (a code of the kind that motet returns); gives it back. */
int bench_must(int code, const char *what);

/* ---- the machine ----------------------------------------------------------------------------------- */

double bench_now(void); /* ns, CLOCK_MONOTONIC */
void bench_sleep_ns(int64_t ns);

int bench_cpus(void);   /* how many CPUs the program was started on */
void bench_pin(int i);  /* the calling thread, and threads that it starts from now on, to the i-th of them (modulo) */
void bench_unpin(void); /* to all of them again */

/* Runs fn(arg, i) in `threads` threads, thread i pinned to CPU pin[i] (-1, or pin NULL: anywhere). All are released
 * at once; returns the nanoseconds from the first one's start to the last one's end. */
double bench_team(int threads, const int *pin, void (*fn)(void *arg, int i), void *arg);

/* A thread that does nothing, for as long as the row runs: with one thread alone glibc leaves atomics out. */
struct bench_idler;
struct bench_idler *bench_idler_start(void);
void bench_idler_stop(struct bench_idler *t);

/* A path beside the running program: NAME in its own folder (which may be in another: "../src/cli/motet"). Static. */
const char *bench_beside(const char *name);

/* ---- counting tasks -------------------------------------------------------------------------------- */

/* Called by an empty task: counts it for the thread that runs it, on a cache line that no other thread writes. */
void bench_count_task(void);
/* How many tasks were counted since the last reset, and how many of those not by the calling thread. No task may be
 * running while it is reset. */
uint64_t bench_tasks(uint64_t *by_others);
void bench_tasks_reset(void);
/* Sleeps (it does not spin: the workers need the CPU) until `n` tasks were counted. */
void bench_tasks_wait(uint64_t n);

/* ---- running a tool -------------------------------------------------------------------------------- */

/* What a command cost. */
struct bench_cost {
    double elapsed_ns;
    double own_cpu_ns; /* the command's own threads, not the jobs that it started */
    double peak_bytes; /* its largest resident size, or that of its largest job if that is larger */
    int status;        /* 0, its exit code, or 128 + the signal it died by */
};

/* Runs argv (found by PATH) with `input` on its standard input and the other two at /dev/null, from a small process of
 * its own so that this program's memory is not charged to it. */
struct bench_cost bench_run_tool(const char *const argv[], const char *input);

#ifdef __cplusplus
}
#endif

#endif
