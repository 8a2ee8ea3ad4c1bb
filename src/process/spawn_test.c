/* SPDX-License-Identifier: MIT */
/* What a started program finds: descriptors in every combination, folder, environment, search, limits, session, signals;
 * and what a start that fails leaves. Most tests look at a sleeping child through /proc. */
#include "process/test_help.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* ---- misuse ---------------------------------------------------------------------------------------- */

TEST(start_refuses_misuse)
{
    motet_child *c = (motet_child *)&c, *before = c;
    CHECK_EQ(motet_child_start(NULL, ARGV("true"), NULL), -EINVAL);
    CHECK_EQ(motet_child_start(&c, NULL, NULL), -EINVAL);
    CHECK_EQ(motet_child_start(&c, (const char *const[]){NULL}, NULL), -EINVAL);
    const motet_child_options wrong[] = {
        {.stdin_ = MOTET_STDOUT}, {.stdout_ = MOTET_STDOUT}, {.stdin_ = -4}, {.stdout_ = -4}, {.stderr_ = INT_MIN},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        CHECK_EQ(motet_child_start(&c, ARGV("true"), &wrong[i]), -EINVAL);
    CHECK_EQ(motet_child_start(&c, ARGV("true"), &(motet_child_options){.stdout_ = 999}), -EBADF);
    CHECK_PTR(c, before);
}

/* ---- descriptors ----------------------------------------------------------------------------------- */

enum { HIGH = 40, FILES = 4 }; /* the parent's 0, 1, 2 and HIGH are four files */

static int file_of(int number) { return number < 3 ? number : HIGH; }

/* What a descriptor is, or -1. Both ends of a pipe are one inode. */
static long long identity(const char *path)
{
    struct stat s;
    return stat(path, &s) < 0 ? -1 : (long long)(s.st_ino * 1000003 + s.st_dev);
}

static long long identity_of_own(int fd)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return identity(path);
}

static long long identity_of_child(const motet_child *c, int fd)
{
    char name[16];
    snprintf(name, sizeof name, "fd/%d", fd);
    return identity(proc_path(c, name));
}

/* What descriptor `i` of the child is to be; -1 none, -2 the start must fail. */
static long long expected(const motet_child *c, int i, const int given[3])
{
    const int pipes[3] = {motet_child_stdin(c), motet_child_stdout(c), motet_child_stderr(c)};
    switch (given[i]) {
    case MOTET_INHERIT: return identity_of_own(i);
    case MOTET_NULL: return identity("/dev/null");
    case MOTET_PIPE: return c ? identity_of_own(pipes[i]) : 0;
    case MOTET_STDOUT: return expected(c, 1, given) == -1 ? -2 : expected(c, 1, given);
    default: return identity_of_own(given[i]) == -1 ? -2 : identity_of_own(given[i]);
    }
}

static void try_stdio(const int given[3])
{
    motet_child *c = NULL;
    bool fails = false;
    for (int i = 0; i < 3; i++)
        fails |= expected(NULL, i, given) == -2;
    const motet_child_options opt = {.stdin_ = given[0], .stdout_ = given[1], .stderr_ = given[2]};
    int r = motet_child_start(&c, ARGV("sleep", "1000"), &opt);
    if (r != (fails ? -EBADF : 0))
        LOG("%d %d %d", given[0], given[1], given[2]);
    CHECK_EQ(r, fails ? -EBADF : 0);
    if (fails)
        return;
    CHECK_GT(motet_child_fd(c), 2);
    for (int i = 0; i < 3; i++) {
        long long want = expected(c, i, given);
        if (want == -1) {
            /* There the loader of the program puts its files for a moment. */
            while (identity_of_child(c, i) != -1)
                usleep(100);
            continue;
        }
        if (identity_of_child(c, i) != want)
            LOG("descriptor %d of %d %d %d", i, given[0], given[1], given[2]);
        CHECK_EQ(identity_of_child(c, i), want);
    }
    CHECK(given[0] != MOTET_PIPE || motet_child_stdin(c) > 2);
    CHECK(given[1] != MOTET_PIPE || motet_child_stdout(c) > 2);
    CHECK(given[2] != MOTET_PIPE || motet_child_stderr(c) > 2);
    end_sleeper(c);
}

/* Every combination of sources, while those of 0, 1, 2 whose bit is not in `open_bits` are closed here. */
static void try_all_stdio(unsigned open_bits)
{
    static const int sources[] = {MOTET_INHERIT, MOTET_PIPE, MOTET_NULL, 1, 2, HIGH, MOTET_STDOUT};
    int saved[3], given[3];
    for (int i = 0; i < 3; i++)
        saved[i] = fcntl(i, F_DUPFD_CLOEXEC, 100);
    for (int i = 0; i < FILES; i++) {
        int fd = memfd_create("file", MFD_CLOEXEC);
        int high = fcntl(fd, F_DUPFD_CLOEXEC, 60);
        close(fd);
        CHECK_EQ(dup2(high, file_of(i)), file_of(i)); /* without close-on-exec, as a shell would */
        close(high);
    }
    CHECK_EQ(fcntl(2, F_SETFD, FD_CLOEXEC), 0); /* one with: it must reach a child that is given it */
    for (int i = 0; i < 3; i++)
        if (!(open_bits & 1u << i))
            close(i);
    for (int i = 0; i < 6 * 6 * 7; i++) {
        given[0] = sources[i % 6];
        given[1] = sources[i / 6 % 6];
        given[2] = sources[i / 36];
        /* Descriptor 2 is close-on-exec here, so it isn't inherited. */
        if (given[2] != MOTET_INHERIT)
            try_stdio(given);
    }
    for (int i = 0; i < 3; i++) {
        dup2(saved[i], i);
        close(saved[i]);
    }
    close(HIGH);
}

TEST(stdio_in_every_combination) { try_all_stdio(7); }
TEST(stdio_with_0_closed_here) { try_all_stdio(6); }
TEST(stdio_with_1_closed_here) { try_all_stdio(5); }
TEST(stdio_with_2_closed_here) { try_all_stdio(3); }
TEST(stdio_with_0_and_2_closed_here) { try_all_stdio(2); }
TEST(stdio_with_all_closed_here) { try_all_stdio(0); }

TEST(other_descriptors_stay_here_unless_asked)
{
    CHECK_EQ(dup2(0, HIGH), HIGH);
    int hidden = fcntl(0, F_DUPFD_CLOEXEC, HIGH + 1);
    const char *const argv[] = {"sh", "-c", "test ! -e /proc/$$/fd/40 && test ! -e /proc/$$/fd/41", NULL};
    CHECK_EQ(code_of(argv, NULL), 0);
    const char *const kept[] = {"sh", "-c", "test -e /proc/$$/fd/40 && test ! -e /proc/$$/fd/41", NULL};
    CHECK_EQ(code_of(kept, &(motet_child_options){.keep_fds = true}), 0);
    close(HIGH);
    close(hidden);
}

TEST(output_goes_where_it_is_sent)
{
    motet_buffer *out = motet_buffer_new(), *err = motet_buffer_new();
    CHECK_EQ(motet_child_run(SHELL("echo one; echo two >&2"), (motet_bytes){0}, out, err, NULL, MOTET_FOREVER), 0);
    CHECK_STR(motet_buffer_data(out), "one\n");
    CHECK_STR(motet_buffer_data(err), "two\n");
    motet_buffer_clear(out);
    motet_child *c;
    const motet_child_options opt = {.stdout_ = MOTET_PIPE, .stderr_ = MOTET_STDOUT};
    CHECK_EQ(motet_child_start(&c, SHELL("echo one; echo two >&2"), &opt), 0);
    CHECK_EQ(motet_child_communicate(c, (motet_bytes){0}, out, NULL, MOTET_FOREVER), 0);
    CHECK_STR(motet_buffer_data(out), "one\ntwo\n");
    motet_child_free(c);
    motet_buffer_free(out);
    motet_buffer_free(err);
}

/* ---- folder, environment, search ------------------------------------------------------------------- */

TEST(folder_and_environment)
{
    char target[PATH_MAX] = "", wanted[PATH_MAX];
    motet_child *c = sleeper(&(motet_child_options){.cwd = folder()});
    CHECK_GT(readlink(proc_path(c, "cwd"), target, sizeof target - 1), 0);
    CHECK(realpath(folder(), wanted));
    CHECK_STR(target, wanted);
    end_sleeper(c);
    motet_buffer *out = motet_buffer_new();
    setenv("MOTET_TEST_HERE", "yes", 1);
    const motet_child_options own = {.stdout_ = MOTET_PIPE, .env = ARGV("A=1", "B=two words")};
    CHECK_EQ(motet_child_start(&c, ARGV("/usr/bin/env"), &own), 0);
    CHECK_EQ(motet_child_communicate(c, (motet_bytes){0}, out, NULL, MOTET_FOREVER), 0);
    CHECK_STR(motet_buffer_data(out), "A=1\nB=two words\n");
    motet_child_free(c);
    CHECK_EQ(code_of(SHELL("test \"$MOTET_TEST_HERE\" = yes"), NULL), 0);
    CHECK_EQ(code_of(ARGV("/bin/sh", "-c", "test -z \"$MOTET_TEST_HERE\""),
                     &(motet_child_options){.env = (const char *const[]){NULL}}),
             0);
    motet_buffer_free(out);
    folder_remove();
}

TEST(arguments_arrive_as_they_are)
{
    motet_buffer *out = motet_buffer_new();
    CHECK_EQ(motet_child_run(ARGV("printf", "<%s>", "", "a b", "'\"$x\n*", "\xff"), (motet_bytes){0}, out, NULL, NULL,
                             MOTET_FOREVER),
             0);
    CHECK_STR(motet_buffer_data(out), "<><a b><'\"$x\n*><\xff>");
    motet_buffer_free(out);
}

/* PATH as an environment of its own. */
static const char *path_variable(const char *value)
{
    static char text[4 * PATH_MAX];
    snprintf(text, sizeof text, "PATH=%s", value);
    return text;
}

static int start_with_path(const char *name, const char *path, const char *cwd)
{
    motet_child *c = NULL;
    int code = 1000;
    int r = motet_child_start(&c, ARGV(name), &(motet_child_options){.env = ARGV(path_variable(path)), .cwd = cwd});
    if (r < 0)
        return r;
    CHECK_EQ(motet_child_wait(c, &code, MOTET_FOREVER), 0);
    motet_child_free(c);
    return code;
}

TEST(search_as_execvp)
{
    char both[2 * PATH_MAX], crowded[3 * PATH_MAX];
    CHECK_EQ(mkdir(in_folder("a"), 0700), 0);
    CHECK_EQ(mkdir(in_folder("b"), 0700), 0);
    write_file(in_folder("a/tool"), "#!/bin/sh\nexit 7\n", 0600);
    write_file(in_folder("b/tool"), "#!/bin/sh\nexit 8\n", 0700);
    write_file(in_folder("b/raw"), "exit 9\n", 0700);
    CHECK_EQ(start_with_path("tool", in_folder("b"), NULL), 8);
    CHECK_EQ(start_with_path("tool", in_folder("a"), NULL), -EACCES);
    snprintf(both, sizeof both, "%s:%s", in_folder("a"), in_folder("b"));
    CHECK_EQ(start_with_path("tool", both, NULL), 8);
    CHECK_EQ(start_with_path("nowhere", both, NULL), -ENOENT);
    CHECK_EQ(start_with_path("raw", both, NULL), -ENOEXEC);
    /* An entry that is no folder, one that isn't there, one that is too long, and the empty one: the child's folder. */
    snprintf(both, sizeof both, "/dev/null:/nonexistent::");
    CHECK_EQ(start_with_path("tool", both, in_folder("b")), 8);
    memset(crowded, 'x', PATH_MAX + 10);
    snprintf(crowded + PATH_MAX + 10, sizeof crowded - PATH_MAX - 10, ":%s", in_folder("b"));
    CHECK_EQ(start_with_path("tool", crowded, NULL), 8);
    CHECK_EQ(start_with_path("./tool", "/nonexistent", in_folder("b")), 8);
    CHECK_EQ(start_with_path("", in_folder("b"), NULL), -ENOENT);
    motet_child *c = NULL;
    CHECK_EQ(motet_child_start(&c, ARGV("tool"), NULL), -ENOENT);
    /* Without PATH there is a default. */
    CHECK_EQ(code_of(ARGV("true"), &(motet_child_options){.env = ARGV("A=1")}), 0);
    CHECK_EQ(code_of(ARGV("whatever", "-c", "test \"$0\" = whatever"), &(motet_child_options){.executable = "sh"}), 0);
    folder_remove();
}

TEST(failed_starts_say_why_and_leave_nothing)
{
    motet_child *c = (motet_child *)&c, *before = c;
    const motet_child_options pipes = {.stdin_ = MOTET_PIPE, .stdout_ = MOTET_PIPE, .stderr_ = MOTET_PIPE};
    write_file(in_folder("text"), "text", 0600);
    char *huge = malloc(4 << 20);
    CHECK(huge);
    memset(huge, 'x', (4 << 20) - 1);
    huge[(4 << 20) - 1] = 0;
    CHECK_EQ(motet_child_start(&c, ARGV("motet-no-such-program"), &pipes), -ENOENT);
    CHECK_EQ(motet_child_start(&c, ARGV("/nonexistent/program"), &pipes), -ENOENT);
    CHECK_EQ(motet_child_start(&c, ARGV(in_folder("text")), &pipes), -EACCES);
    CHECK_EQ(motet_child_start(&c, ARGV(folder()), &pipes), -EACCES);
    CHECK_EQ(motet_child_start(&c, ARGV("/dev/null/x"), &pipes), -ENOTDIR);
    CHECK_EQ(motet_child_start(&c, ARGV("true", huge), &pipes), -E2BIG);
    CHECK_EQ(motet_child_start(&c, ARGV("true"), &(motet_child_options){.cwd = "/nonexistent"}), -ENOENT);
    CHECK_EQ(motet_child_start(&c, ARGV("true"), &(motet_child_options){.cwd = in_folder("text")}), -ENOTDIR);
    CHECK_PTR(c, before);
    CHECK_EQ(waitpid(-1, NULL, WNOHANG), -1);
    CHECK_EQ(errno, ECHILD);
    free(huge);
    folder_remove();
}

TEST(no_descriptors_left)
{
    struct rlimit was, few;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &was), 0);
    motet_child *c = NULL;
    const motet_child_options pipes = {.stdin_ = MOTET_PIPE, .stdout_ = MOTET_PIPE, .stderr_ = MOTET_PIPE};
    int next = dup(0), r = 0;
    close(next);
    bool refused = false;
    /* With every number of free descriptors it works or says so; the runner looks for what is left. */
    for (int more = 0; more <= 12; more++) {
        few = (struct rlimit){(rlim_t)(next + more), was.rlim_max};
        CHECK_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
        r = motet_child_start(&c, ARGV("true"), &pipes);
        CHECK(r == 0 || r == -EMFILE);
        refused |= r == -EMFILE;
        CHECK_EQ(setrlimit(RLIMIT_NOFILE, &was), 0);
        if (r == 0) {
            CHECK_EQ(motet_child_wait(c, NULL, MOTET_FOREVER), 0);
            motet_child_free(c);
        }
    }
    CHECK(refused);
    CHECK_EQ(r, 0);
}

/* ---- limits, session, signals ---------------------------------------------------------------------- */

static void check_limit(const motet_child *c, int resource, rlim_t soft, rlim_t hard)
{
    struct rlimit got;
    CHECK_EQ(prlimit(motet_child_pid(c), resource, NULL, &got), 0);
    CHECK_EQ(got.rlim_cur, soft);
    CHECK_EQ(got.rlim_max, hard);
}

TEST(limits)
{
    motet_child_options opt = {.limits = {.cpu_s = 100,
                                          .memory_bytes = 3ull << 30,
                                          .data_bytes = 1 << 30,
                                          .stack_bytes = 1 << 20,
                                          .file_size_bytes = 12345,
                                          .open_files = 17,
                                          .processes = 5000,
                                          .no_core = true}};
    motet_child *c = sleeper(&opt);
    check_limit(c, RLIMIT_CPU, 100, 101);
    check_limit(c, RLIMIT_AS, 3ull << 30, 3ull << 30);
    check_limit(c, RLIMIT_DATA, 1 << 30, 1 << 30);
    check_limit(c, RLIMIT_STACK, 1 << 20, 1 << 20);
    check_limit(c, RLIMIT_FSIZE, 12345, 12345);
    check_limit(c, RLIMIT_NOFILE, 17, 17);
    check_limit(c, RLIMIT_NPROC, 5000, 5000);
    check_limit(c, RLIMIT_CORE, 0, 0);
    end_sleeper(c);
    /* More than there is to give is what there is, and this process keeps its own. */
    struct rlimit own;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &own), 0);
    c = sleeper(&(motet_child_options){.limits.open_files = UINT64_MAX});
    check_limit(c, RLIMIT_NOFILE, own.rlim_cur, own.rlim_max);
    end_sleeper(c);
    c = sleeper(NULL);
    check_limit(c, RLIMIT_NOFILE, own.rlim_cur, own.rlim_max);
    end_sleeper(c);
    CHECK_EQ(code_of(SHELL("ulimit -c 0; while :; do :; done"), &(motet_child_options){.limits.cpu_s = 1}), -SIGXCPU);
}

TEST(sessions_and_groups)
{
    motet_child *c = sleeper(NULL);
    CHECK_EQ(getpgid(motet_child_pid(c)), getpgid(0));
    CHECK_EQ(getsid(motet_child_pid(c)), getsid(0));
    end_sleeper(c);
    c = sleeper(&(motet_child_options){.new_group = true});
    CHECK_EQ(getpgid(motet_child_pid(c)), motet_child_pid(c));
    CHECK_EQ(getsid(motet_child_pid(c)), getsid(0));
    end_sleeper(c);
    c = sleeper(&(motet_child_options){.new_session = true, .new_group = true});
    CHECK_EQ(getpgid(motet_child_pid(c)), motet_child_pid(c));
    CHECK_EQ(getsid(motet_child_pid(c)), motet_child_pid(c));
    end_sleeper(c);
}

static void on_signal(int number) { (void)number; }

static unsigned long long signals_of(const motet_child *c, const char *field)
{
    char line[256];
    unsigned long long set = ~0ull;
    FILE *f = fopen(proc_path(c, "status"), "re");
    CHECK(f);
    while (fgets(line, sizeof line, f))
        if (strncmp(line, field, strlen(field)) == 0)
            CHECK_EQ(sscanf(line + strlen(field), ": %llx", &set), 1);
    fclose(f);
    return set;
}

TEST(signals_of_the_program)
{
    sigset_t blocked, was;
    const unsigned long long one = 1;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR2);
    signal(SIGUSR1, on_signal);
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    CHECK_EQ(pthread_sigmask(SIG_SETMASK, &blocked, &was), 0);
    motet_child *c = sleeper(NULL);
    CHECK_EQ(signals_of(c, "SigBlk"), one << (SIGUSR2 - 1));
    CHECK_EQ(signals_of(c, "SigIgn") & one << (SIGHUP - 1), one << (SIGHUP - 1));
    CHECK_EQ(signals_of(c, "SigIgn") & (one << (SIGPIPE - 1) | one << (SIGXFSZ - 1)), 0);
    CHECK_EQ(signals_of(c, "SigCgt"), 0);
    end_sleeper(c);
    /* The caller's mask is as it was. */
    CHECK_EQ(pthread_sigmask(SIG_SETMASK, &was, &blocked), 0);
    CHECK(sigismember(&blocked, SIGUSR2) && !sigismember(&blocked, SIGUSR1) && !sigismember(&blocked, SIGTERM));
}

static void *start_dying(void *c)
{
    CHECK_EQ(motet_child_start(c, ARGV("sleep", "1000"), &(motet_child_options){.die_with_thread = true}), 0);
    return NULL;
}

TEST(dies_with_its_thread)
{
    motet_child *c = NULL;
    pthread_t t;
    int code = 0;
    CHECK_EQ(pthread_create(&t, NULL, start_dying, &c), 0);
    CHECK_EQ(pthread_join(t, NULL), 0);
    CHECK_EQ(motet_child_wait(c, &code, MOTET_FOREVER), 0);
    CHECK_EQ(code, -SIGKILL);
    motet_child_free(c);
}

/* ---- many ------------------------------------------------------------------------------------------ */

TEST(two_hundred_at_once)
{
    enum { N = 200 };
    motet_child *all[N];
    for (int i = 0; i < N; i++)
        CHECK_EQ(motet_child_start(&all[i], SHELL("exit $1"), NULL), 0);
    for (int i = N - 1; i >= 0; i--) {
        int code = 1000;
        CHECK_EQ(motet_child_wait(all[i], &code, MOTET_FOREVER), 0);
        CHECK_EQ(code, 0);
        motet_child_free(all[i]);
    }
}

static void *start_some(void *number)
{
    char want[8], script[32];
    snprintf(script, sizeof script, "exit %d", *(int *)number);
    snprintf(want, sizeof want, "%d", *(int *)number);
    for (int i = 0; i < 25; i++) {
        CHECK_EQ(code_of(SHELL(script), NULL), *(int *)number);
        motet_child *c = NULL;
        CHECK_EQ(motet_child_start(&c, ARGV("motet-no-such-program", want), NULL), -ENOENT);
        CHECK(!c);
    }
    return NULL;
}

TEST(threads_start_children_at_once)
{
    enum { N = 8 };
    pthread_t t[N];
    int numbers[N];
    for (int i = 0; i < N; i++) {
        numbers[i] = i + 1;
        CHECK_EQ(pthread_create(&t[i], NULL, start_some, &numbers[i]), 0);
    }
    for (int i = 0; i < N; i++)
        CHECK_EQ(pthread_join(t[i], NULL), 0);
}
