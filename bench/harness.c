/* SPDX-License-Identifier: MIT */
/*
 * harness.c - the command line of a benchmark program, its repeats and its medians.
 *
 *   PROGRAM [-v] [--quick] [--repeats N] [NAME...]      prints "name value unit", a line a row
 *   PROGRAM --list [-v]
 *
 * A NAME is a row; or, with * ? or [, a pattern; or the first words of a row's name (`queue` is every row that begins
 * with "queue."). A row's exact name means that row alone and its companions. No NAME means all rows.
 */
#include "harness.h"

#include <errno.h>
#include <fnmatch.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TABLES_MAX  32
#define ROWS_MAX    128
#define SLOTS_MAX   8
#define SAMPLES_MAX 1000

#define REPEATS       9
#define REPEATS_QUICK 2
#define SPAN_NS       60000000
#define SPAN_QUICK_NS 2000000

struct series {
    double value[SAMPLES_MAX];
    int n;
};

struct bench {
    const struct bench_row *rows; /* slot 0 */
    int slots;
    unsigned wanted; /* a bit a slot */
    bool skipped;
    struct series series[SLOTS_MAX];
};

static const struct bench_row *tables[TABLES_MAX];
static int tables_n;
static struct bench runs[ROWS_MAX];
static int runs_n;

static struct {
    bool verbose, quick, list;
    int repeats;
} options;

/* ---- rows ------------------------------------------------------------------------------------------ */

void bench_register(const struct bench_row *rows)
{
    if (tables_n == TABLES_MAX)
        bench_die("too many tables of rows");
    tables[tables_n++] = rows;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct bench *)a)->rows->name, ((const struct bench *)b)->rows->name);
}

/* Cuts the tables into runs: neighbouring rows of one function. */
static void find_runs(void)
{
    for (int t = 0; t < tables_n; t++) {
        const struct bench_row *row = tables[t];
        while (row->name) {
            if (runs_n == ROWS_MAX)
                bench_die("too many rows");
            struct bench *b = &runs[runs_n++];
            b->rows = row;
            while (row->name && row->run == b->rows->run && b->slots < SLOTS_MAX) {
                b->slots++;
                row++;
            }
        }
    }
    qsort(runs, (size_t)runs_n, sizeof runs[0], by_name);
}

/* The length of a row's name without the peer behind it. */
static size_t bare_length(const char *name) { return strcspn(name, "@"); }

static bool is_exactly(const char *name, const char *asked)
{
    size_t n = bare_length(name);
    return strcmp(name, asked) == 0 || (strlen(asked) == n && strncmp(name, asked, n) == 0);
}

static bool matches(const char *name, const char *asked)
{
    if (strpbrk(asked, "*?["))
        return fnmatch(asked, name, 0) == 0;
    size_t n = strlen(asked);
    while (n > 0 && asked[n - 1] == '.')
        n--;
    return n > 0 && strncmp(name, asked, n) == 0 && name[n] == '.';
}

/* Marks what `asked` means; false: no row. */
static bool want(const char *asked)
{
    bool found = false;
    for (int i = 0; i < runs_n; i++)
        for (int s = 0; s < runs[i].slots; s++)
            if (is_exactly(runs[i].rows[s].name, asked)) {
                found = true;
                runs[i].wanted |= 1u << s;
                for (int c = 1; s == 0 && c < runs[i].slots; c++)
                    if (runs[i].rows[c].companion)
                        runs[i].wanted |= 1u << c;
            }
    if (found)
        return true;
    for (int i = 0; i < runs_n; i++)
        for (int s = 0; s < runs[i].slots; s++)
            if (matches(runs[i].rows[s].name, asked)) {
                found = true;
                runs[i].wanted |= 1u << s;
            }
    return found;
}

static void print_list(void)
{
    for (int i = 0; i < runs_n; i++)
        for (int s = 0; s < runs[i].slots; s++) {
            const struct bench_row *row = &runs[i].rows[s];
            if (options.verbose)
                printf("%-32s %-8s %-9s %s\n", row->name, row->unit, row->where, row->what);
            else
                printf("%s\n", row->name);
        }
}

/* ---- samples --------------------------------------------------------------------------------------- */

int bench_repeats(const struct bench *b)
{
    (void)b;
    return options.repeats;
}

bool bench_quick(const struct bench *b)
{
    (void)b;
    return options.quick;
}

bool bench_wanted(const struct bench *b, int slot) { return b->wanted >> slot & 1; }

void bench_sample(struct bench *b, int slot, double value)
{
    if (slot < 0 || slot >= b->slots)
        bench_die("%s: no slot %d", b->rows->name, slot);
    struct series *s = &b->series[slot];
    if (s->n < SAMPLES_MAX)
        s->value[s->n++] = value;
}

void bench_skip(struct bench *b, const char *why)
{
    b->skipped = true;
    fprintf(stderr, "%s: left out: %s\n", b->rows->name, why);
}

int bench_measure(struct bench *b, bench_once *once, void *arg, const struct bench_plan *plan)
{
    static const struct bench_plan plain;
    const struct bench_plan p = *(plan ? plan : &plain);
    uint64_t n = p.n_min ? p.n_min : 1000, n_max = p.n_max ? p.n_max : 1000000000;
    double span = p.span_ns ? (double)p.span_ns : SPAN_NS;
    int repeats = options.repeats;
    if (options.quick) {
        span = SPAN_QUICK_NS;
        n = n > 100 ? 100 : n;
    }
    if (p.repeats_max && repeats > p.repeats_max)
        repeats = p.repeats_max;

    /* Grow by at most ten a step: the first, cold run tells little of the rate to come. */
    for (;;) {
        double ns = once(arg, n);
        if (n >= n_max || ns >= span * 0.7)
            break;
        double more = ns > 0 ? span / ns : 10;
        n = (uint64_t)((double)n * (more > 10 ? 10 : more < 1.1 ? 1.1 : more)) + 1;
        if (n > n_max)
            n = n_max;
    }
    once(arg, n);
    bool time = strcmp(b->rows->unit, "ns") == 0;
    for (int i = 0; i < repeats; i++) {
        double ns = once(arg, n);
        if (ns < 1)
            ns = 1;
        bench_sample(b, 0, time ? ns / (double)n : (double)n * 1e9 / ns);
    }
    return repeats;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_median(double *v, int n)
{
    if (n < 1)
        return 0;
    qsort(v, (size_t)n, sizeof *v, by_value);
    return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

/* At least four digits that mean something, never an exponent. */
static const char *number(double v, char *text, size_t size)
{
    double a = fabs(v);
    snprintf(text, size, "%.*f", a >= 1000 ? 0 : a >= 100 ? 1 : a >= 10 ? 2 : 3, v);
    return text;
}

static void print_run(struct bench *b)
{
    char text[3][64];
    for (int s = 0; s < b->slots; s++) {
        struct series *series = &b->series[s];
        if (!bench_wanted(b, s) || series->n == 0)
            continue;
        double median = bench_median(series->value, series->n); /* sorts */
        printf("%s %s %s", b->rows[s].name, number(median, text[0], sizeof text[0]), b->rows[s].unit);
        if (options.verbose)
            printf("  min %s max %s repeats %d %s", number(series->value[0], text[1], sizeof text[1]),
                   number(series->value[series->n - 1], text[2], sizeof text[2]), series->n, b->rows[s].where);
        printf("\n");
    }
    if (fflush(stdout) || ferror(stdout))
        bench_die("standard output: %s", strerror(errno));
}

/* ---- failing --------------------------------------------------------------------------------------- */

void bench_die(const char *format, ...)
{
    va_list args;
    fputs("bench: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

int bench_must(int code, const char *what)
{
    if (code < 0)
        bench_die("%s: %s", what, strerror(-code));
    return code;
}

/* ---- the command line ------------------------------------------------------------------------------ */

static void usage(FILE *to, const char *program)
{
    fprintf(to,
            "usage: %s [-v] [--quick] [--repeats N] [NAME...]\n"
            "       %s --list [-v]\n"
            "Prints \"name value unit\" for each row: the median of its repeats. NAME: a row, the first words\n"
            "of rows' names (`queue`), or a pattern (`pool.*`); none: all rows.\n"
            "  -v, --verbose  also the least and the greatest, the repeats, pinned or unpinned\n"
            "      --repeats  how often each row is repeated after its warm-up (%d)\n"
            "      --quick    very short: shows that the rows work, not how fast they are\n"
            "      --list     the rows' names; with -v what they are\n",
            program, program, REPEATS);
}

static __attribute__((noreturn, format(printf, 1, 2))) void bad_usage(const char *format, ...)
{
    va_list args;
    fputs("bench: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputs(" (--help says more)\n", stderr);
    exit(2);
}

/* The N of --repeats N. */
static int repeats_of(const char *text)
{
    char *end;
    errno = 0;
    long n = text ? strtol(text, &end, 10) : 0;
    if (!text || errno || end == text || *end || n < 1 || n > SAMPLES_MAX)
        bad_usage("--repeats wants a number from 1 to %d, not '%s'", SAMPLES_MAX, text ? text : "");
    return (int)n;
}

/* Reads the options and marks the rows that are wanted; nothing runs before all of it is understood. */
static void read_arguments(int argc, char **argv)
{
    bool names = false, only_names = false;
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i];
        if (only_names || a[0] != '-') {
            names = true;
            if (!want(a))
                bad_usage("no row is called '%s'; --list names them", a);
        } else if (strcmp(a, "--") == 0) {
            only_names = true;
        } else if (strcmp(a, "-v") == 0 || strcmp(a, "--verbose") == 0) {
            options.verbose = true;
        } else if (strcmp(a, "--quick") == 0) {
            options.quick = true;
        } else if (strcmp(a, "--list") == 0) {
            options.list = true;
        } else if (strcmp(a, "--repeats") == 0) {
            options.repeats = repeats_of(argv[++i]);
        } else if (strncmp(a, "--repeats=", 10) == 0) {
            options.repeats = repeats_of(a + 10);
        } else if (strcmp(a, "-h") == 0 || strcmp(a, "--help") == 0) {
            usage(stdout, argv[0]);
            exit(0);
        } else {
            bad_usage("unknown option '%s'", a);
        }
    }
    if (options.repeats == 0)
        options.repeats = options.quick ? REPEATS_QUICK : REPEATS;
    for (int i = 0; !names && i < runs_n; i++)
        runs[i].wanted = (1u << runs[i].slots) - 1;
}

int main(int argc, char **argv)
{
    bool skipped = false;
    find_runs();
    read_arguments(argc, argv);
    if (options.list) {
        print_list();
        return fflush(stdout) ? 1 : 0;
    }
    for (int i = 0; i < runs_n; i++) {
        if (!runs[i].wanted)
            continue;
        bench_unpin();
        runs[i].rows->run(&runs[i]);
        print_run(&runs[i]);
        skipped |= runs[i].skipped;
    }
    return skipped && !options.quick ? 1 : 0;
}
