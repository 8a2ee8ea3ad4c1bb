/* SPDX-License-Identifier: MIT */
/* The n-th call fails: children. The calls that the child makes before its program runs are failed as well. */
#include "scenario.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_ERRORS -ENOMEM, -EMFILE, -EACCES, -EPERM, -EIO
#define WAIT_ERRORS  -ENOMEM, -EMFILE
#define TALK_ERRORS  -ENOMEM, -EMFILE, -EIO, -EPERM

static const char *const cat[] = {"cat", NULL};
static const char *const hello[] = {"sh", "-c", "echo hello; echo world >&2; exit 3", NULL};

/* Whatever became of it. */
static void finish(motet_child *c)
{
    if (!c)
        return;
    faults_end();
    CHECK_EQ(motet_child_kill(c), 0);
    CHECK_EQ(motet_child_wait(c, NULL, MOTET_FOREVER), 0);
    motet_child_free(c);
}

static void start_and_wait(const motet_child_options *opt)
{
    motet_child *c = NULL;
    int code = 77;
    TRY_OPEN(c, motet_child_start(&c, hello, opt), START_ERRORS);
    TRY(motet_child_wait(c, &code, MOTET_FOREVER), WAIT_ERRORS);
    CHECK_EQ(code, 3);
    c = motet_child_free(c);
out:
    finish(c);
}

SCENARIO(child) { start_and_wait(NULL); }

SCENARIO(child_with_options)
{
    start_and_wait(&(motet_child_options){.stdin_ = MOTET_NULL,
                                          .stdout_ = MOTET_NULL,
                                          .stderr_ = MOTET_STDOUT,
                                          .cwd = "/",
                                          .new_session = true,
                                          .die_with_thread = true,
                                          .limits = {.open_files = 20, .no_core = true}});
}

SCENARIO(child_in_a_group)
{
    start_and_wait(&(motet_child_options){.stdout_ = 2, .stderr_ = 2, .new_group = true, .keep_fds = true});
}

/* The child that found no program is reaped. */
SCENARIO(child_without_a_program)
{
    static const char *const argv[] = {"/nonexistent", NULL};
    motet_child *c = faults_untouched;
    int e = motet_child_start(&c, argv, NULL);
    CHECK_PTR(c, faults_untouched);
    if (e != -ENOENT)
        REFUSED(e, START_ERRORS);
out:
    return;
}

/* Without descriptors 0 to 2 those of the pipes have to be moved. */
SCENARIO(child_without_stdio)
{
    motet_child *c = NULL;
    int code, saved[3];
    for (int i = 0; i < 3; i++) {
        saved[i] = fcntl(i, F_DUPFD_CLOEXEC, 10);
        close(i);
    }
    TRY_OPEN(c, motet_child_start(&c, cat, &(motet_child_options){.stdin_ = MOTET_PIPE, .stdout_ = MOTET_NULL}),
             START_ERRORS);
    CHECK_GT(motet_child_stdin(c), 2);
    TRY(motet_child_communicate(c, (motet_bytes){"text", 4}, NULL, NULL, MOTET_FOREVER), TALK_ERRORS);
    TRY(motet_child_wait(c, &code, MOTET_FOREVER), WAIT_ERRORS);
    c = motet_child_free(c);
out:
    finish(c);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(dup2(saved[i], i), i);
        close(saved[i]);
    }
}

/* ---- talking --------------------------------------------------------------------------------------- */

static char input[200 * 1000]; /* more than a pipe holds */

/* Called again it goes on where it was; the input of the first call is what is sent, but for -ENOMEM. */
static int talk(motet_child *c, motet_bytes in, motet_buffer *out, motet_buffer *err)
{
    size_t size = motet_buffer_size(out);
    int e = motet_child_communicate(c, in, out, err, MOTET_FOREVER);
    if (e < 0)
        CHECK_EQ(motet_buffer_size(out), size);
    return e;
}

SCENARIO(communicate)
{
    motet_child *c = NULL;
    motet_buffer *b = NULL;
    motet_child_options opt = {.stdin_ = MOTET_PIPE, .stdout_ = MOTET_PIPE};
    TRY_NEW(b, motet_buffer_new());
    TRY_OPEN(c, motet_child_start(&c, cat, &opt), START_ERRORS);
    for (size_t i = 0; i < sizeof input; i++)
        input[i] = (char)(i % 251);
    TRY(talk(c, (motet_bytes){input, sizeof input}, b, NULL), TALK_ERRORS);
    CHECK_EQ(motet_buffer_size(b), sizeof input);
    CHECK_MEM(motet_buffer_data(b), input, sizeof input);
    TRY(motet_child_wait(c, NULL, MOTET_FOREVER), WAIT_ERRORS);
    c = motet_child_free(c);
out:
    finish(c);
    motet_buffer_free(b);
}

SCENARIO(communicate_both)
{
    motet_child *c = NULL;
    motet_buffer *out = NULL, *err = NULL;
    motet_child_options opt = {.stdout_ = MOTET_PIPE, .stderr_ = MOTET_PIPE};
    TRY_NEW(out, motet_buffer_new());
    TRY_NEW(err, motet_buffer_new());
    TRY(motet_buffer_append(out, "o:", 2), -ENOMEM);
    TRY(motet_buffer_append(err, "e:", 2), -ENOMEM);
    TRY_OPEN(c, motet_child_start(&c, hello, &opt), START_ERRORS);
    TRY(talk(c, (motet_bytes){0}, out, err), TALK_ERRORS);
    CHECK_STR(motet_buffer_data(out), "o:hello\n");
    CHECK_STR(motet_buffer_data(err), "e:world\n");
    c = motet_child_free(c);
out:
    finish(c);
    motet_buffer_free(out);
    motet_buffer_free(err);
}

/* One that wants no input. */
SCENARIO(communicate_with_the_deaf)
{
    static const char *const argv[] = {"sh", "-c", "exec <&-; echo deaf", NULL};
    motet_child *c = NULL;
    motet_buffer *b = NULL;
    motet_child_options opt = {.stdin_ = MOTET_PIPE, .stdout_ = MOTET_PIPE};
    TRY_NEW(b, motet_buffer_new());
    TRY_OPEN(c, motet_child_start(&c, argv, &opt), START_ERRORS);
    TRY(talk(c, (motet_bytes){input, sizeof input}, b, NULL), TALK_ERRORS);
    CHECK_STR(motet_buffer_data(b), "deaf\n");
    c = motet_child_free(c);
out:
    finish(c);
    motet_buffer_free(b);
}

/* One shot: nothing is left of it when it fails, and it may be made again. */
static int run(const char *const argv[], motet_bytes in, motet_buffer *out, int *code, motet_time deadline)
{
    size_t size = motet_buffer_size(out);
    int was = *code;
    int e = motet_child_run(argv, in, out, NULL, code, deadline);
    if (e < 0) {
        CHECK_EQ(motet_buffer_size(out), size);
        CHECK_EQ(*code, was);
    }
    return e;
}

SCENARIO(run)
{
    motet_buffer *b = NULL;
    int code = 77;
    TRY_NEW(b, motet_buffer_new());
    TRY(run(cat, (motet_bytes){input, 1000}, b, &code, MOTET_FOREVER), START_ERRORS);
    CHECK_EQ(code, 0);
    CHECK_EQ(motet_buffer_size(b), 1000);
out:
    motet_buffer_free(b);
}

/* Killed at its deadline, with calls failing. */
SCENARIO(run_late)
{
    static const char *const argv[] = {"sleep", "1000", NULL};
    motet_buffer *b = NULL;
    int code = 77;
    TRY_NEW(b, motet_buffer_new());
    int e = run(argv, (motet_bytes){0}, b, &code, motet_after(5 * MOTET_MS));
    if (e != -ETIMEDOUT)
        REFUSED(e, START_ERRORS);
out:
    motet_buffer_free(b);
}

/* Freed while it runs: a later call reaps it. */
SCENARIO(child_freed_early)
{
    motet_child *c = NULL;
    int ends[2];
    char byte;
    CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
    TRY_OPEN(c, motet_child_start(&c, cat, &(motet_child_options){.stdin_ = MOTET_PIPE, .stdout_ = ends[1]}),
             START_ERRORS);
    c = motet_child_free(c);
    close(ends[1]);
    ends[1] = -1;
    CHECK_EQ(read(ends[0], &byte, 1), 0); /* its pipe went with the handle, so it ends */
out:
    faults_end();
    close(ends[0]);
    if (ends[1] >= 0)
        close(ends[1]);
    for (siginfo_t info = {0};;) {
        if (waitid(P_ALL, 0, &info, WEXITED | WNOWAIT) < 0)
            break; /* none is left */
        start_and_wait(NULL);
    }
}

/* ---- the clone itself is an instruction and no call: the kernel is told to refuse it --------------- */

static void refuse(int number, int error)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {sizeof code / sizeof *code, code};
    CHECK_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) < 0)
        SKIP("no seccomp here");
}

/* What is refused, and what becomes of a start. In a process that ends at once: LeakSanitizer clones too. */
__attribute__((noreturn)) static void be_refused(int error, int expected, bool both)
{
    motet_child *c = faults_untouched;
    refuse(SYS_clone3, error);
    if (both)
        refuse(SYS_clone, error);
    int e = motet_child_start(&c, cat, &(motet_child_options){.stdin_ = MOTET_PIPE, .stdout_ = MOTET_PIPE});
    CHECK_EQ(e, expected);
    if (e < 0) {
        CHECK_PTR(c, faults_untouched);
        _exit(0);
    }
    motet_buffer *b = motet_buffer_new();
    CHECK_EQ(motet_child_communicate(c, (motet_bytes){"text", 4}, b, NULL, MOTET_FOREVER), 0);
    CHECK_STR(motet_buffer_data(b), "text");
    _exit(0);
}

static void start_refused(int error, int expected, bool both)
{
    int status;
    pid_t pid = fork();
    if (pid == 0)
        be_refused(error, expected, both);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
}

TEST(clone_without_processes) { start_refused(EAGAIN, -EAGAIN, true); }
TEST(clone_without_memory) { start_refused(ENOMEM, -ENOMEM, true); }
TEST(clone3_unknown) { start_refused(ENOSYS, 0, false); }
TEST(clone3_forbidden) { start_refused(EPERM, 0, false); }
TEST(clone_forbidden) { start_refused(EPERM, -EPERM, true); }
