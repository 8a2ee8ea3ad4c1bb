/* SPDX-License-Identifier: MIT */
/* machine.c - the harness's hold on the machine: clock, CPUs, teams of threads, task counters, tools. */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

double bench_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

void bench_sleep_ns(int64_t ns)
{
    struct timespec t = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
    while (nanosleep(&t, &t) < 0 && errno == EINTR)
        ;
}

/* ---- CPUs ------------------------------------------------------------------------------------------ */

static cpu_set_t cpus_at_start;
static int cpu_numbers[CPU_SETSIZE];
static int cpus_n;

__attribute__((constructor)) static void find_cpus(void)
{
    if (sched_getaffinity(0, sizeof cpus_at_start, &cpus_at_start) < 0)
        CPU_SET(0, &cpus_at_start);
    for (int i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &cpus_at_start))
            cpu_numbers[cpus_n++] = i;
}

int bench_cpus(void) { return cpus_n; }

void bench_pin(int i)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu_numbers[i % cpus_n], &one);
    if (sched_setaffinity(0, sizeof one, &one) < 0)
        bench_die("pinning to CPU %d: %s", cpu_numbers[i % cpus_n], strerror(errno));
}

void bench_unpin(void) { sched_setaffinity(0, sizeof cpus_at_start, &cpus_at_start); }

/* ---- teams ----------------------------------------------------------------------------------------- */

struct team {
    void (*fn)(void *arg, int i);
    void *arg;
    atomic_int arrived;
    atomic_bool go;
};

struct member {
    struct team *team;
    pthread_t thread;
    int index, pin;
    double start, end;
};

static void *member_main(void *arg)
{
    struct member *m = arg;
    struct team *team = m->team;
    if (m->pin >= 0)
        bench_pin(m->pin);
    atomic_fetch_add(&team->arrived, 1);
    while (!atomic_load_explicit(&team->go, memory_order_acquire))
        sched_yield();
    m->start = bench_now();
    team->fn(team->arg, m->index);
    m->end = bench_now();
    return NULL;
}

static pthread_t start_thread(void *(*fn)(void *), void *arg)
{
    pthread_t t;
    int e = pthread_create(&t, NULL, fn, arg);
    if (e)
        bench_die("starting a thread: %s", strerror(e));
    return t;
}

double bench_team(int threads, const int *pin, void (*fn)(void *arg, int i), void *arg)
{
    struct team team = {.fn = fn, .arg = arg};
    struct member *m = calloc((size_t)threads, sizeof *m);
    if (!m)
        bench_die("no memory for %d threads", threads);
    for (int i = 0; i < threads; i++) {
        m[i] = (struct member){.team = &team, .index = i, .pin = pin ? pin[i] : -1};
        m[i].thread = start_thread(member_main, &m[i]);
    }
    while (atomic_load(&team.arrived) < threads)
        sched_yield();
    atomic_store_explicit(&team.go, true, memory_order_release); /* with the acquire in member_main */
    double start = 0, end = 0;
    for (int i = 0; i < threads; i++) {
        pthread_join(m[i].thread, NULL);
        if (i == 0 || m[i].start < start)
            start = m[i].start;
        if (i == 0 || m[i].end > end)
            end = m[i].end;
    }
    free(m);
    return end - start;
}

struct bench_idler {
    pthread_t thread;
    int pipe[2];
};

static void *idler_main(void *arg)
{
    struct bench_idler *t = arg;
    char c;
    while (read(t->pipe[0], &c, 1) < 0 && errno == EINTR)
        ;
    return NULL;
}

struct bench_idler *bench_idler_start(void)
{
    struct bench_idler *t = malloc(sizeof *t);
    if (!t || pipe2(t->pipe, O_CLOEXEC) < 0)
        bench_die("starting an idle thread: %s", strerror(errno));
    t->thread = start_thread(idler_main, t);
    return t;
}

void bench_idler_stop(struct bench_idler *t)
{
    close(t->pipe[1]); /* end of file is what the thread waits for */
    pthread_join(t->thread, NULL);
    close(t->pipe[0]);
    free(t);
}

/* ---- counting tasks -------------------------------------------------------------------------------- */

#define CELLS_MAX 1024

struct cell {
    _Alignas(128) atomic_uint_fast64_t n; /* written by its thread alone */
};

static struct cell cells[CELLS_MAX];
static atomic_int cells_n;
static _Thread_local struct cell *my_cell;

static struct cell *cell_of_thread(void)
{
    if (!my_cell) {
        int i = atomic_fetch_add(&cells_n, 1);
        if (i >= CELLS_MAX)
            bench_die("more than %d threads ran tasks", CELLS_MAX);
        my_cell = &cells[i];
    }
    return my_cell;
}

void bench_count_task(void)
{
    struct cell *c = cell_of_thread();
    /* Release: who sees the count sees the task's effects (bench_tasks). A plain add: one writer. */
    atomic_store_explicit(&c->n, atomic_load_explicit(&c->n, memory_order_relaxed) + 1, memory_order_release);
}

uint64_t bench_tasks(uint64_t *by_others)
{
    uint64_t sum = 0, mine = my_cell ? atomic_load_explicit(&my_cell->n, memory_order_relaxed) : 0;
    int n = atomic_load(&cells_n);
    for (int i = 0; i < n; i++)
        sum += atomic_load_explicit(&cells[i].n, memory_order_acquire);
    if (by_others)
        *by_others = sum - mine;
    return sum;
}

void bench_tasks_reset(void)
{
    int n = atomic_load(&cells_n);
    for (int i = 0; i < n; i++)
        atomic_store(&cells[i].n, 0);
}

void bench_tasks_wait(uint64_t n)
{
    while (bench_tasks(NULL) < n)
        bench_sleep_ns(100000);
}

/* ---- running a tool -------------------------------------------------------------------------------- */

const char *bench_beside(const char *name)
{
    enum { NAMES_MAX = 8 };
    static struct {
        const char *name;
        char path[PATH_MAX];
    } known[NAMES_MAX];
    int i = 0;
    while (i < NAMES_MAX && known[i].name && strcmp(known[i].name, name) != 0)
        i++;
    if (i == NAMES_MAX)
        bench_die("too many programs beside this one");
    if (known[i].name)
        return known[i].path;
    known[i].name = name;
    char *path = known[i].path;
    ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - 1);
    if (n < 0)
        bench_die("/proc/self/exe: %s", strerror(errno));
    path[n] = 0;
    char *slash = strrchr(path, '/');
    size_t room = PATH_MAX - (size_t)(slash + 1 - path);
    if (snprintf(slash + 1, room, "%s", name) >= (int)room)
        bench_die("too long a path: %s", name);
    return path;
}

/* A file without a name that holds `text`, at its beginning. */
static int file_of(const char *text)
{
    size_t n = strlen(text), done = 0;
    int fd = memfd_create("bench-input", MFD_CLOEXEC);
    while (fd >= 0 && done < n) {
        ssize_t r = write(fd, text + done, n - done);
        if (r < 0)
            bench_die("writing the tool's input: %s", strerror(errno));
        done += (size_t)r;
    }
    if (fd < 0 || lseek(fd, 0, SEEK_SET) < 0)
        bench_die("a file for the tool's input: %s", strerror(errno));
    return fd;
}

/* motet-bench-cost says on its standard output what the command cost; the command's own goes to /dev/null. */
static pid_t start_cost(const char *const argv[], int input, int report)
{
    const char *args[64];
    int n = 0;
    pid_t pid;
    args[n++] = bench_beside("motet-bench-cost");
    for (int i = 0; argv[i]; i++) {
        if (n + 1 >= 64)
            bench_die("too many arguments for %s", argv[0]);
        args[n++] = argv[i];
    }
    args[n] = NULL;
    posix_spawn_file_actions_t a;
    posix_spawn_file_actions_init(&a);
    posix_spawn_file_actions_adddup2(&a, input, 0);
    posix_spawn_file_actions_adddup2(&a, report, 1);
    int e = posix_spawn(&pid, args[0], &a, NULL, (char **)(uintptr_t)args, environ);
    posix_spawn_file_actions_destroy(&a);
    if (e)
        bench_die("%s: %s", args[0], strerror(e));
    return pid;
}

struct bench_cost bench_run_tool(const char *const argv[], const char *input)
{
    struct bench_cost c;
    char text[256];
    int report[2], status;
    size_t n = 0;
    if (pipe2(report, O_CLOEXEC) < 0)
        bench_die("pipe: %s", strerror(errno));
    int fd = file_of(input);
    pid_t pid = start_cost(argv, fd, report[1]);
    close(fd);
    close(report[1]);
    for (ssize_t r; n < sizeof text - 1 && (r = read(report[0], text + n, sizeof text - 1 - n)) != 0;) {
        if (r < 0 && errno != EINTR)
            bench_die("reading what %s cost: %s", argv[0], strerror(errno));
        n += r > 0 ? (size_t)r : 0;
    }
    text[n] = 0;
    close(report[0]);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (sscanf(text, "%lf %lf %lf %d", &c.elapsed_ns, &c.own_cpu_ns, &c.peak_bytes, &c.status) != 4)
        bench_die("%s could not be run", argv[0]);
    return c;
}
