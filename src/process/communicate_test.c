/* SPDX-License-Identifier: MIT */
/* Talking to children: large both ways, ends at any time, deadlines without loss, the one-shot run. */
#include "process/test_help.h"

#include <pthread.h>
#include <signal.h>

static const motet_child_options all_pipes = {.stdin_ = MOTET_PIPE, .stdout_ = MOTET_PIPE, .stderr_ = MOTET_PIPE};
static const motet_bytes nothing;

/* `size` bytes that differ from place to place. */
static char *pattern(size_t size)
{
    char *data = malloc(size);
    CHECK(data);
    for (size_t i = 0; i < size; i++)
        data[i] = (char)(i * 2654435761u >> 13);
    return data;
}

TEST(misuse)
{
    motet_child *c = NULL;
    motet_buffer *b = motet_buffer_new(), *other = motet_buffer_new();
    const motet_bytes text = {"text", 4}, wrong = {NULL, 4};
    CHECK_EQ(motet_child_communicate(NULL, nothing, NULL, NULL, MOTET_FOREVER), -EINVAL);
    CHECK_EQ(motet_child_start(&c, ARGV("true"), NULL), 0);
    CHECK_EQ(motet_child_communicate(c, text, NULL, NULL, MOTET_FOREVER), -EINVAL);
    CHECK_EQ(motet_child_communicate(c, nothing, b, NULL, MOTET_FOREVER), -EINVAL);
    CHECK_EQ(motet_child_communicate(c, nothing, NULL, b, MOTET_FOREVER), -EINVAL);
    CHECK_EQ(motet_child_communicate(c, nothing, NULL, NULL, MOTET_FOREVER), 0);
    motet_child_free(c);
    CHECK_EQ(motet_child_start(&c, ARGV("true"), &all_pipes), 0);
    CHECK_EQ(motet_child_communicate(c, wrong, b, other, MOTET_FOREVER), -EINVAL);
    CHECK_EQ(motet_child_communicate(c, nothing, b, b, MOTET_FOREVER), -EINVAL);
    CHECK_EQ(motet_child_communicate(c, nothing, b, other, MOTET_FOREVER), 0);
    motet_child_free(c);
    CHECK_EQ(motet_child_run(NULL, nothing, b, NULL, NULL, MOTET_FOREVER), -EINVAL);
    CHECK_EQ(motet_child_run((const char *const[]){NULL}, nothing, b, NULL, NULL, MOTET_FOREVER), -EINVAL);
    CHECK_EQ(motet_child_run(ARGV("cat"), wrong, b, NULL, NULL, MOTET_FOREVER), -EINVAL);
    CHECK_EQ(motet_child_run(ARGV("cat"), nothing, b, b, NULL, MOTET_FOREVER), -EINVAL);
    CHECK_EQ(motet_child_run(ARGV("motet-no-such-program"), text, b, NULL, NULL, MOTET_FOREVER), -ENOENT);
    CHECK_EQ(motet_buffer_size(b), 0);
    motet_buffer_free(b);
    motet_buffer_free(other);
}

TEST(large_both_ways)
{
    enum { SIZE = 64 << 20 };
    char *data = pattern(SIZE);
    motet_buffer *out = motet_buffer_new();
    int code = 1000;
    CHECK_EQ(motet_child_run(ARGV("cat"), (motet_bytes){data, SIZE}, out, NULL, &code, MOTET_FOREVER), 0);
    CHECK_EQ(code, 0);
    CHECK_EQ(motet_buffer_size(out), SIZE);
    CHECK_MEM(motet_buffer_data(out), data, SIZE);
    motet_buffer_free(out);
    free(data);
}

/* Three streams at once, and buffers that hold something already. */
TEST(both_outputs_at_once)
{
    enum { SIZE = 4 << 20 };
    char *data = pattern(SIZE);
    motet_buffer *out = motet_buffer_new(), *err = motet_buffer_new();
    motet_child *c = NULL;
    int code = 1000;
    CHECK_EQ(motet_buffer_append(out, "before", 6), 0);
    CHECK_EQ(motet_buffer_append(err, "too", 3), 0);
    CHECK_EQ(motet_child_start(&c, ARGV("tee", "/dev/stderr"), &all_pipes), 0);
    CHECK_EQ(motet_child_communicate(c, (motet_bytes){data, SIZE}, out, err, MOTET_FOREVER), 0);
    CHECK_EQ(motet_buffer_size(out), SIZE + 6);
    CHECK_EQ(motet_buffer_size(err), SIZE + 3);
    CHECK_MEM(motet_buffer_data(out), "before", 6);
    CHECK_MEM((char *)motet_buffer_data(out) + 6, data, SIZE);
    CHECK_MEM((char *)motet_buffer_data(err) + 3, data, SIZE);
    /* Over: it says so again and adds nothing. */
    CHECK_EQ(motet_child_communicate(c, nothing, out, err, MOTET_NOWAIT), 0);
    CHECK_EQ(motet_buffer_size(out), SIZE + 6);
    CHECK_EQ(motet_child_wait(c, &code, MOTET_NOWAIT), 0);
    CHECK_EQ(code, 0);
    CHECK_EQ(motet_child_stdin(c), -EPIPE);
    CHECK_EQ(motet_child_stdout(c), -EPIPE);
    motet_child_free(c);
    motet_buffer_free(out);
    motet_buffer_free(err);
    free(data);
}

TEST(outputs_nobody_wants)
{
    motet_child *c = NULL;
    motet_buffer *err = motet_buffer_new();
    CHECK_EQ(motet_child_start(&c, SHELL("head -c 1000000 /dev/zero; echo text >&2"), &all_pipes), 0);
    CHECK_EQ(motet_child_communicate(c, nothing, NULL, err, MOTET_FOREVER), 0);
    CHECK_STR(motet_buffer_data(err), "text\n");
    motet_child_free(c);
    motet_buffer_free(err);
}

/* ---- a child that doesn't read --------------------------------------------------------------------- */

static volatile sig_atomic_t pipe_signals;

static void on_pipe(int number)
{
    (void)number;
    pipe_signals++;
}

static void feed_one_that_does_not_read(void)
{
    enum { SIZE = 1 << 20 };
    char *data = pattern(SIZE);
    int code = 1000;
    CHECK_EQ(motet_child_run(SHELL("exec <&-; exit 3"), (motet_bytes){data, SIZE}, NULL, NULL, &code, MOTET_FOREVER),
             0);
    CHECK_EQ(code, 3);
    free(data);
}

static bool sigpipe_waits(void)
{
    sigset_t set;
    CHECK_EQ(sigpending(&set), 0);
    return sigismember(&set, SIGPIPE);
}

TEST(early_end_of_reading_is_no_error)
{
    sigset_t pipe_only, now;
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    feed_one_that_does_not_read(); /* at its default SIGPIPE would have ended this test */
    signal(SIGPIPE, on_pipe);
    feed_one_that_does_not_read();
    CHECK_EQ(pipe_signals, 0);
    CHECK_EQ(pthread_sigmask(SIG_BLOCK, NULL, &now), 0);
    CHECK(!sigismember(&now, SIGPIPE));
    /* Blocked by the caller: none is left over. One that waits already stays. */
    CHECK_EQ(pthread_sigmask(SIG_BLOCK, &pipe_only, NULL), 0);
    feed_one_that_does_not_read();
    CHECK(!sigpipe_waits());
    CHECK_EQ(raise(SIGPIPE), 0);
    feed_one_that_does_not_read();
    CHECK(sigpipe_waits());
    CHECK_EQ(pthread_sigmask(SIG_UNBLOCK, &pipe_only, NULL), 0);
    CHECK_EQ(pipe_signals, 1);
    signal(SIGPIPE, SIG_IGN);
    feed_one_that_does_not_read();
}

/* ---- deadlines ------------------------------------------------------------------------------------- */

static void open_gate(const char *path)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC); /* waits for the child to open it */
    CHECK_GE(fd, 0);
    close(fd);
}

/* The child counts its input, then waits for a gate; calls end at their deadlines before, between and after. */
TEST(nothing_is_lost_at_a_deadline)
{
    enum { SIZE = 3000000 };
    char *data = pattern(SIZE);
    motet_buffer *out = motet_buffer_new(), *err = motet_buffer_new();
    motet_child *c = NULL;
    CHECK_EQ(mkfifo(in_folder("first"), 0600), 0);
    CHECK_EQ(mkfifo(in_folder("last"), 0600), 0);
    const char *const argv[] = {"sh", "-c", "echo begin; cat first; wc -c; echo more >&2; cat last; echo end", NULL};
    motet_child_options opt = all_pipes;
    opt.cwd = folder();
    CHECK_EQ(motet_child_start(&c, argv, &opt), 0);
    CHECK_EQ(motet_child_communicate(c, (motet_bytes){data, SIZE}, out, err, MOTET_NOWAIT), -ETIMEDOUT);
    free(data); /* it has its own copy of the rest */
    for (int i = 0; i < 3; i++)
        CHECK_EQ(motet_child_communicate(c, nothing, out, err, motet_after(MOTET_MS)), -ETIMEDOUT);
    open_gate(in_folder("first"));
    for (int i = 0; i < 300; i++)
        CHECK_EQ(motet_child_communicate(c, nothing, out, err, MOTET_NOWAIT), -ETIMEDOUT);
    CHECK_EQ(motet_child_communicate(c, (motet_bytes){"ignored", 7}, out, err, motet_after(MOTET_MS)), -ETIMEDOUT);
    CHECK_EQ(motet_buffer_size(out), 0);
    CHECK_EQ(motet_buffer_size(err), 0);
    motet_child *helper = NULL;
    CHECK_EQ(motet_child_start(&helper, SHELL("echo go >last"), &(motet_child_options){.cwd = folder()}), 0);
    CHECK_EQ(motet_child_communicate(c, nothing, out, err, MOTET_FOREVER), 0);
    CHECK_EQ(motet_child_communicate(helper, nothing, NULL, NULL, MOTET_FOREVER), 0);
    CHECK_STR(motet_buffer_data(out), "begin\n3000000\ngo\nend\n");
    CHECK_STR(motet_buffer_data(err), "more\n");
    motet_child_free(c);
    motet_child_free(helper);
    motet_buffer_free(out);
    motet_buffer_free(err);
    folder_remove();
}

TEST(deadline_of_an_endless_writer)
{
    motet_child *c = NULL;
    motet_buffer *out = motet_buffer_new();
    int code = 0;
    CHECK_EQ(motet_child_start(&c, ARGV("yes"), &all_pipes), 0);
    motet_time until = motet_after(20 * MOTET_MS);
    CHECK_EQ(motet_child_communicate(c, nothing, out, NULL, until), -ETIMEDOUT);
    CHECK_GE(motet_now(), until);
    CHECK_EQ(motet_buffer_size(out), 0);
    CHECK_EQ(motet_child_kill(c), 0);
    CHECK_EQ(motet_child_communicate(c, nothing, out, NULL, MOTET_FOREVER), 0);
    CHECK_EQ(motet_child_wait(c, &code, MOTET_NOWAIT), 0);
    CHECK_EQ(code, -SIGKILL);
    motet_child_free(c);
    motet_buffer_free(out);
}

/* What has ended is had without waiting. */
TEST(no_wait_takes_what_is_there)
{
    motet_child *c = NULL;
    motet_buffer *out = motet_buffer_new();
    CHECK_EQ(motet_child_start(&c, SHELL("head -c 60000 /dev/zero"), &all_pipes), 0);
    await_end(motet_child_fd(c));
    CHECK_EQ(motet_child_communicate(c, nothing, out, NULL, MOTET_NOWAIT), 0);
    CHECK_EQ(motet_buffer_size(out), 60000);
    motet_child_free(c);
    motet_buffer_free(out);
}

static void *talk(void *c)
{
    int r;
    while ((r = motet_child_communicate(c, nothing, NULL, NULL, MOTET_FOREVER)) == -EBUSY)
        sched_yield();
    CHECK_EQ(r, 0);
    return NULL;
}

TEST(one_talks_at_a_time)
{
    motet_child *c = sleeper(&(motet_child_options){.stdout_ = MOTET_PIPE});
    pthread_t t;
    int r;
    CHECK_EQ(pthread_create(&t, NULL, talk, c), 0);
    while ((r = motet_child_communicate(c, nothing, NULL, NULL, MOTET_NOWAIT)) == -ETIMEDOUT)
        sched_yield();
    CHECK_EQ(r, -EBUSY);
    CHECK_EQ(motet_child_close_pipe(c, 1), -EBUSY);
    CHECK_EQ(motet_child_kill(c), 0);
    CHECK_EQ(pthread_join(t, NULL), 0);
    CHECK_EQ(motet_child_wait(c, NULL, MOTET_NOWAIT), 0);
    motet_child_free(c);
}

/* ---- one shot -------------------------------------------------------------------------------------- */

TEST(run)
{
    motet_buffer *out = motet_buffer_new(), *err = motet_buffer_new();
    int code = 1000;
    const motet_bytes text = {"text", 4};
    CHECK_EQ(motet_child_run(SHELL("cat; echo oops >&2; exit 4"), text, out, err, &code, MOTET_FOREVER), 0);
    CHECK_EQ(code, 4);
    CHECK_STR(motet_buffer_data(out), "text");
    CHECK_STR(motet_buffer_data(err), "oops\n");
    /* Without input it reads none. */
    CHECK_EQ(motet_child_run(SHELL("cat; kill -9 $$"), nothing, NULL, NULL, &code, MOTET_FOREVER), 0);
    CHECK_EQ(code, -9);
    motet_buffer_free(out);
    motet_buffer_free(err);
}

/* The whole group is killed: a process of it that held the fifo open would keep its end from coming. */
TEST(run_is_killed_at_its_deadline)
{
    motet_buffer *out = motet_buffer_new();
    int code = 1000;
    char script[PATH_MAX + 200], byte;
    CHECK_EQ(mkfifo(in_folder("held"), 0600), 0);
    int fd = open(in_folder("held"), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    snprintf(script, sizeof script, "sleep 1000 >'%s' & echo text; wait", in_folder("held"));
    CHECK_EQ(motet_child_run(SHELL(script), nothing, out, NULL, &code, motet_after(300 * MOTET_MS)), -ETIMEDOUT);
    CHECK_EQ(code, 1000);
    CHECK_EQ(motet_buffer_size(out), 0);
    CHECK_EQ(fcntl(fd, F_SETFL, 0), 0);
    CHECK_EQ(read(fd, &byte, 1), 0);
    close(fd);
    CHECK_EQ(motet_child_run(ARGV("sleep", "1000"), nothing, NULL, NULL, &code, MOTET_NOWAIT), -ETIMEDOUT);
    motet_buffer_free(out);
    folder_remove();
}
