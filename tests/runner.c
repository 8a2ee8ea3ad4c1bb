/* SPDX-License-Identifier: MIT */
/*
 * The runner: chooses the jobs, keeps up to -j guards running, prints what they report, counts.
 *
 * It has one thread and no child but its guards. Jobs that must be alone run one at a time after the others.
 */
#include "runner_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <getopt.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { JOBS_MAX = 8192, RUNNING_MAX = 256 };

struct running {
    pid_t guard; /* 0: this place is free */
    const struct job *job;
    int report;
    int64_t started_ms;
};

static struct test *tests;
static struct job jobs[JOBS_MAX];
static int job_count;
static struct running running[RUNNING_MAX];
static int running_count;
static int passed, failed, skipped;
static struct run_options options = {.grace_ms = GRACE_MS, .stretch = 1, .build_dir = "."};

void test_register(struct test *test)
{
    test->next = tests;
    tests = test;
}

static struct job *job_new(void)
{
    if (job_count == JOBS_MAX) {
        fprintf(stderr, "more than %d tests\n", JOBS_MAX);
        exit(2);
    }
    return &jobs[job_count++];
}

/* ../src/park/park_test.c and `wakes` make park.wakes. */
static void collect_tests(void)
{
    for (const struct test *test = tests; test != NULL; test = test->next) {
        struct job *job = job_new();
        const char *base = strrchr(test->file, '/');
        base = base != NULL ? base + 1 : test->file;
        const char *end = strstr(base, "_test.c");
        int length = (int)(end != NULL ? (size_t)(end - base) : strcspn(base, "."));
        snprintf(job->id, sizeof job->id, "%.*s.%s", length, base, test->name);
        job->test = test;
        job->alone = test->opt.alone;
    }
}

static void collect_scripts(const char *directory)
{
    DIR *dir = opendir(directory);
    if (dir == NULL) {
        fprintf(stderr, "cannot read %s: %s\n", directory, strerror(errno));
        exit(2);
    }
    const struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        char path[PATH_MAX];
        const char *dot = strrchr(entry->d_name, '.');
        snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        if (dot == NULL || (strcmp(dot, ".sh") != 0 && strcmp(dot, ".py") != 0) || access(path, X_OK) != 0)
            continue;
        struct job *job = job_new();
        snprintf(job->id, sizeof job->id, "scripts.%.*s", (int)(dot - entry->d_name), entry->d_name);
        job->script = realpath(path, NULL);
    }
    closedir(dir);
}

/* Scripts first, for they are the longest; those that run alone last. */
static int compare_jobs(const void *a, const void *b)
{
    const struct job *x = a;
    const struct job *y = b;
    if (x->alone != y->alone)
        return x->alone - y->alone;
    if ((x->test == NULL) != (y->test == NULL))
        return (x->test != NULL) - (y->test != NULL);
    return strcmp(x->id, y->id);
}

static bool selected(const struct job *job, char *const *patterns)
{
    if (*patterns == NULL)
        return true;
    for (; *patterns != NULL; patterns++) {
        bool glob = strpbrk(*patterns, "*?[") != NULL;
        if (glob ? fnmatch(*patterns, job->id, 0) == 0 : strstr(job->id, *patterns) != NULL)
            return true;
    }
    return false;
}

static void select_jobs(char *const *patterns)
{
    int kept = 0;
    qsort(jobs, (size_t)job_count, sizeof *jobs, compare_jobs);
    for (int i = 0; i < job_count; i++) {
        if (selected(&jobs[i], patterns))
            jobs[kept++] = jobs[i];
    }
    job_count = kept;
}

static bool ids_are_unique(void)
{
    for (int i = 1; i < job_count; i++) {
        if (strcmp(jobs[i - 1].id, jobs[i].id) == 0) {
            fprintf(stderr, "two tests are named %s\n", jobs[i].id);
            return false;
        }
    }
    return true;
}

static void start(const struct job *job)
{
    struct running *place = running;
    while (place->guard != 0)
        place++;
    int report = memfd_create("report", MFD_CLOEXEC);
    pid_t self = getpid();
    fflush(NULL);
    pid_t guard = report >= 0 ? fork() : -1;
    if (guard == 0)
        guard_main(job, &options, self, report);
    if (guard < 0) {
        printf("FAIL %s: cannot start: %s\n", job->id, strerror(errno));
        failed++;
        if (report >= 0)
            close(report);
        return;
    }
    *place = (struct running){guard, job, report, runner_now_ms()};
    running_count++;
}

static void print_report(int report)
{
    char block[4096];
    ssize_t got;
    for (off_t at = 0; (got = pread(report, block, sizeof block, at)) > 0; at += got)
        fwrite(block, 1, (size_t)got, stdout);
}

static void finish(struct running *done, int status)
{
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    const char *word = code == PASSED ? "ok  " : code == SKIPPED ? "skip" : "FAIL";
    int64_t ms = runner_now_ms() - done->started_ms;
    passed += code == PASSED;
    skipped += code == SKIPPED;
    failed += code != PASSED && code != SKIPPED;
    if (code != PASSED || options.verbose) {
        printf("%s %s (%d.%03d s)\n", word, done->job->id, (int)(ms / 1000), (int)(ms % 1000));
        if (!WIFEXITED(status))
            printf("  its guard died by signal %d\n", WTERMSIG(status));
        print_report(done->report);
        fflush(stdout);
    }
    close(done->report);
    done->guard = 0;
    running_count--;
}

/* An orphan may come here when a guard was killed: it is nobody's. */
static void finish_one(void)
{
    int status;
    pid_t pid = waitpid(-1, &status, 0);
    if (pid < 0 && errno == EINTR)
        return;
    if (pid < 0) {
        perror("waitpid");
        exit(2);
    }
    for (int i = 0; i < RUNNING_MAX; i++) {
        if (running[i].guard == pid) {
            finish(&running[i], status);
            return;
        }
    }
}

static void run_all(int parallel)
{
    for (int i = 0; i < job_count; i++) {
        while (running_count >= (jobs[i].alone ? 1 : parallel))
            finish_one();
        start(&jobs[i]);
    }
    while (running_count > 0)
        finish_one();
}

static int cpu_count(void)
{
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return count > 0 ? count : 1;
}

__attribute__((noreturn)) static void usage(FILE *out, int code)
{
    fputs("usage: motet-test [options] [pattern...]\n"
          "Runs the tests whose id contains a pattern (or matches it, if it has * ? or [); all without one.\n"
          "  -v            name every test, show its output\n"
          "  -l            list the tests\n"
          "  -j N          run N at a time (default: the number of CPUs)\n"
          "  -r N          run all N times\n"
          "  -t FACTOR     stretch every time-out\n"
          "  --scripts DIR the executable *.sh and *.py in DIR are tests too\n"
          "  --build DIR   the build directory, their argument\n"
          "  --grace MS    how long leaked threads and processes are waited for\n"
          "The last line is `N passed, N failed`. Exit 0: none failed and at least one passed.\n",
          out);
    exit(code);
}

static long number(const char *text, const char *what, long max)
{
    char *end;
    long value = strtol(text, &end, 10);
    if (*text == '\0' || *end != '\0' || value < 1 || value > max) {
        fprintf(stderr, "motet-test: bad number for %s: %s\n", what, text);
        exit(2);
    }
    return value;
}

static double factor(const char *text)
{
    char *end;
    double value = strtod(text, &end);
    if (*text == '\0' || *end != '\0' || !(value > 0 && value <= 100)) {
        fprintf(stderr, "motet-test: bad number for -t: %s\n", text);
        exit(2);
    }
    return value;
}

/* So that no memfd becomes somebody's stdin when ours was closed. */
static void open_standard_fds(void)
{
    int fd;
    do {
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd > STDERR_FILENO)
        close(fd);
}

/* Sanitizers make everything slower, and most of all what waits for many threads. */
static double own_stretch(void)
{
#if defined(TEST_UNDER_TSAN) || defined(TEST_UNDER_ASAN)
    return 4;
#else
    return 1;
#endif
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {{"scripts", required_argument, NULL, 's'},
                                          {"build", required_argument, NULL, 'b'},
                                          {"grace", required_argument, NULL, 'g'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    bool list = false;
    int parallel = cpu_count();
    int repeat = 1;
    int letter;
    open_standard_fds();
    signal(SIGCHLD, SIG_DFL);
    options.stretch = own_stretch();
    while ((letter = getopt_long(argc, argv, "vlj:r:t:h", longs, NULL)) != -1) {
        switch (letter) {
        case 'v': options.verbose = true; break;
        case 'l': list = true; break;
        case 'j': parallel = (int)number(optarg, "-j", RUNNING_MAX); break;
        case 'r': repeat = (int)number(optarg, "-r", 1000000); break;
        case 't': options.stretch *= factor(optarg); break;
        case 's': collect_scripts(optarg); break;
        case 'b': options.build_dir = realpath(optarg, NULL); break;
        case 'g': options.grace_ms = (int)number(optarg, "--grace", 600000); break;
        case 'h': usage(stdout, 0);
        default: usage(stderr, 2);
        }
    }
    if (options.build_dir == NULL) {
        fprintf(stderr, "motet-test: no such build directory\n");
        return 2;
    }
    collect_tests();
    select_jobs(argv + optind);
    if (!ids_are_unique())
        return 2;
    for (int i = 0; list && i < job_count; i++)
        puts(jobs[i].id);
    for (int i = 0; !list && i < repeat; i++)
        run_all(parallel);
    if (list)
        return 0;
    printf("%d passed, %d failed", passed, failed);
    if (skipped > 0)
        printf(", %d skipped", skipped);
    printf("\n");
    return failed == 0 && passed > 0 ? 0 : 1;
}
