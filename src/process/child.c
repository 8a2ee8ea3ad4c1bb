/* SPDX-License-Identifier: MIT */
/* Child processes: start, wait, signal, free. States and invariants: child.h. */
#include "process/child.h"

#include "park/park.h"

#include <limits.h>
#include <signal.h> /* seam: the names of signals alone */
#include <string.h>
#include <sys/resource.h> /* seam: the names of limits alone */

enum { LIMITS_MAX = 8 };

/* ---- start ----------------------------------------------------------------------------------------- */

static bool valid_stdio(const motet_child_options *opt)
{
    const int given[3] = {opt->stdin_, opt->stdout_, opt->stderr_};
    for (int i = 0; i < 3; i++) {
        bool known = given[i] >= 0 || given[i] == MOTET_PIPE || given[i] == MOTET_NULL;
        if (!known && !(i == 2 && given[i] == MOTET_STDOUT))
            return false;
    }
    return true;
}

/* `hard` is what can't be passed at all: a second later for CPU time, so that SIGXCPU comes before SIGKILL. */
static size_t list_limits(const motet_child_limits *given, spawn_limit *ret)
{
    const spawn_limit all[] = {
        {RLIMIT_CPU, given->cpu_s, given->cpu_s + (given->cpu_s < UINT64_MAX)},
        {RLIMIT_AS, given->memory_bytes, given->memory_bytes},
        {RLIMIT_DATA, given->data_bytes, given->data_bytes},
        {RLIMIT_STACK, given->stack_bytes, given->stack_bytes},
        {RLIMIT_FSIZE, given->file_size_bytes, given->file_size_bytes},
        {RLIMIT_NOFILE, given->open_files, given->open_files},
        {RLIMIT_NPROC, given->processes, given->processes},
    };
    size_t n = 0;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i].soft)
            ret[n++] = all[i];
    if (given->no_core)
        ret[n++] = (spawn_limit){RLIMIT_CORE, 0, 0};
    return n;
}

/* The value of PATH in the environment that the program gets. */
static const char *search_path(const char *const *env)
{
    for (; env && *env; env++)
        if (strncmp(*env, "PATH=", 5) == 0)
            return *env + 5;
    return "/bin:/usr/bin";
}

/* Opens the pipes that the options ask for and says what the child's side of each descriptor is. Ends already opened are
 * in `c` and `theirs` when it fails. */
static int open_pipes(motet_child *c, const motet_child_options *opt, int stdio[3], int theirs[3])
{
    const int given[3] = {opt->stdin_, opt->stdout_, opt->stderr_};
    for (int i = 0; i < 3; i++) {
        if (given[i] == MOTET_PIPE) {
            int r = i == 0 ? sys_pipe(&theirs[0], &c->pipes[0]) : sys_pipe(&c->pipes[i], &theirs[i]);
            if (r < 0)
                return r;
            stdio[i] = theirs[i];
        } else {
            stdio[i] = given[i] == MOTET_INHERIT  ? SPAWN_KEEP
                       : given[i] == MOTET_NULL   ? SPAWN_NULL
                       : given[i] == MOTET_STDOUT ? SPAWN_STDOUT
                                                  : given[i];
        }
    }
    return 0;
}

static int spawn(motet_child *c, const char *const argv[], const motet_child_options *opt)
{
    spawn_limit limits[LIMITS_MAX];
    int theirs[3] = {-1, -1, -1};
    sys_spawn s = {
        .file = opt->executable ? opt->executable : argv[0],
        .argv = argv,
        .env = opt->env ? opt->env : (const char *const *)environ,
        .cwd = opt->cwd,
        .new_session = opt->new_session,
        .new_group = opt->new_group,
        .keep_fds = opt->keep_fds,
        .die_with_thread = opt->die_with_thread,
        .limits = limits,
        .limits_count = list_limits(&opt->limits, limits),
    };
    s.search_path = search_path(s.env);
    int r = open_pipes(c, opt, s.stdio, theirs);
    if (r == 0)
        r = sys_spawn_start(&s, &c->pidfd);
    for (int i = 0; i < 3; i++)
        if (theirs[i] >= 0)
            sys_close(theirs[i]);
    if (r < 0)
        return r;
    c->pid = r;
    return 0;
}

int motet_child_start(motet_child **ret, const char *const argv[], const motet_child_options *opt)
{
    static const motet_child_options defaults;
    if (!opt)
        opt = &defaults;
    if (!ret || !argv || !argv[0] || !valid_stdio(opt))
        return -EINVAL;
    if (!motet__park_allowed())
        return -EPERM;
    motet__child_sweep();
    motet_child *c = sys_alloc_zero(1, sizeof *c);
    if (!c)
        return -ENOMEM;
    c->pidfd = -1;
    for (int i = 0; i < 3; i++)
        c->pipes[i] = PIPE_NONE;
    int r = spawn(c, argv, opt);
    if (r < 0) {
        motet__child_destroy(c);
        return r;
    }
    *ret = c;
    return 0;
}

/* ---- the end --------------------------------------------------------------------------------------- */

bool motet__child_over(motet_child *c)
{
    /* Acquire: partner of the release below; the code may be read then. */
    if (atomic_load_acquire(&c->state) == CHILD_OVER)
        return true;
    guard_lock(&c->guard);
    if (c->state == CHILD_RUNS) {
        int r = sys_pidfd_reap(c->pidfd, &c->code);
        c->lost = r < 0;
        if (r != 0)
            /* Publishes code and lost. */
            atomic_store_release(&c->state, CHILD_OVER);
    }
    bool over = c->state == CHILD_OVER;
    guard_unlock(&c->guard);
    return over;
}

int motet__child_wait(motet_child *c, int *ret_code, motet_time deadline, unsigned flags)
{
    int r = 0;
    while (!motet__child_over(c)) {
        if (r < 0)
            return r;
        struct pollfd ended = {.fd = c->pidfd, .events = POLLIN};
        park_request request = {.fds = &ended, .fds_count = 1, .deadline = deadline, .flags = flags};
        r = motet__park_many(&request);
    }
    if (c->lost)
        return -ECHILD;
    if (ret_code)
        *ret_code = c->code;
    return 0;
}

int motet_child_wait(motet_child *c, int *ret_code, motet_time deadline)
{
    if (!c)
        return -EINVAL;
    return motet__park_allowed() ? motet__child_wait(c, ret_code, deadline, 0) : -EPERM;
}

void motet__child_close_pipe(motet_child *c, int number)
{
    if (c->pipes[number] < 0)
        return;
    int fd = c->pipes[number];
    /* Relaxed: who reads it meanwhile gets either, as if a moment earlier or later. */
    atomic_store_relaxed(&c->pipes[number], PIPE_CLOSED);
    sys_close(fd);
}

/* All but the pidfd. */
static void drop_contents(motet_child *c)
{
    for (int i = 0; i < 3; i++) {
        motet__child_close_pipe(c, i);
        c->got[i] = motet_buffer_free(c->got[i]);
    }
    sys_free(c->rest);
    c->rest = NULL;
}

void motet__child_destroy(motet_child *c)
{
    drop_contents(c);
    if (c->pidfd >= 0)
        sys_close(c->pidfd);
    sys_free(c);
}

motet_child *motet_child_free(motet_child *c)
{
    if (!c)
        return NULL;
    bool ours = motet__park_allowed();
    if (!ours || motet__child_over(c)) {
        motet__child_destroy(c);
    } else {
        drop_contents(c);
        motet__child_detach(c);
    }
    if (ours)
        motet__child_sweep();
    return NULL;
}

/* ---- what it is, and signals ----------------------------------------------------------------------- */

pid_t motet_child_pid(const motet_child *c) { return c ? c->pid : -EINVAL; }

int motet_child_fd(const motet_child *c) { return c ? c->pidfd : -EINVAL; }

static int pipe_of(const motet_child *c, int number)
{
    if (!c || !child_has_pipe(c, number))
        return -EINVAL;
    int fd = atomic_load_relaxed(&c->pipes[number]); /* relaxed: a moment's truth */
    return fd == PIPE_CLOSED ? -EPIPE : fd;
}

int motet_child_stdin(const motet_child *c) { return pipe_of(c, 0); }

int motet_child_stdout(const motet_child *c) { return pipe_of(c, 1); }

int motet_child_stderr(const motet_child *c) { return pipe_of(c, 2); }

int motet_child_close_pipe(motet_child *c, int number)
{
    if (!c || number < 0 || number > 2 || !child_has_pipe(c, number))
        return -EINVAL;
    if (!motet__park_allowed())
        return -EPERM;
    /* Acquire and release: what communicate knows of the pipes goes from one who talks to the next. */
    uint32_t free = 0;
    if (!atomic_cas_acquire(&c->talking, &free, 1))
        return -EBUSY;
    motet__child_close_pipe(c, number);
    atomic_store_release(&c->talking, 0);
    return 0;
}

int motet__child_signal(motet_child *c, int number)
{
    int r = sys_pidfd_signal(c->pidfd, number);
    if (r != -ENOSYS)
        return r;
    /* While the guard is held nobody here reaps it, so the number is its own. */
    guard_lock(&c->guard);
    r = c->state == CHILD_RUNS ? sys_pid_signal(c->pid, number) : -ESRCH;
    guard_unlock(&c->guard);
    return r;
}

int motet_child_signal(motet_child *c, int number)
{
    if (!c || number < 0 || number >= _NSIG)
        return -EINVAL;
    if (!motet__park_allowed())
        return -EPERM;
    int r = motet__child_signal(c, number);
    return r == -ESRCH ? 0 : r;
}

int motet_child_terminate(motet_child *c) { return motet_child_signal(c, SIGTERM); }

int motet_child_kill(motet_child *c) { return motet_child_signal(c, SIGKILL); }
