/* SPDX-License-Identifier: MIT */
/* How processes and their families end in order: the exit rule, stdio, atexit. */
#include "process/test_process.h"

#include <sys/mman.h>

TEST_SETTLE(close_processes);

/* What is left at the very end, when the arena's words can still be read, and nobody but this process is there. */
static board *last_board;

static void nobody_is_left(void)
{
    CHECK(motet__process.control == NULL);
    CHECK_EQ(waitpid(-1, NULL, __WALL), -1);
    CHECK_EQ(errno, ECHILD);
}

static void three_have_counted(void)
{
    nobody_is_left();
    CHECK_EQ(last_board->other, 3);
}

static int open_gate(void *arg)
{
    board *b = arg;
    await_word(&b->count, 1);
    raise_word(&b->gate);
    return 0;
}

static int count_behind_gate(void *arg)
{
    board *b = arg;
    await_word(&b->gate, 1);
    atomic_add_seq_cst(&b->other, 1);
    return 0;
}

static void release_at_exit(void) { raise_word(&last_board->count); }

TEST_OPT(the_end_waits_for_processes, .at_exit = three_have_counted)
{
    board *b = last_board = board_new();
    motet_process_free(start_by(MOTET_FORKSERVER, count_behind_gate, b));
    motet_process_free(start_by(MOTET_FORK, count_behind_gate, b));
    start_by(MOTET_SPAWN, count_behind_gate, b); /* held */
    motet_process_free(start_by(MOTET_FORKSERVER, open_gate, b));
    atexit(release_at_exit); /* before the rule */
    exit(0);
}

TEST_OPT(the_end_terminates_daemons, .at_exit = nobody_is_left)
{
    board *b = last_board = board_new();
    for (int m = 0; m < METHODS; m++)
        start_with(run_for_ever, b, &(motet_process_options){.method = methods[m], .daemon = true});
    await_word(&b->count, METHODS);
    exit(0);
}

static int ignore_sigterm(void *arg)
{
    signal(SIGTERM, SIG_IGN);
    return run_for_ever(arg);
}

TEST_OPT(a_daemon_that_ignores_it_is_killed, .at_exit = nobody_is_left)
{
    board *b = last_board = board_new();
    start_with(ignore_sigterm, b, &(motet_process_options){.daemon = true});
    await_word(&b->count, 1);
    exit(0);
}

static int start_thread_and_children(void *arg)
{
    board *b = arg;
    motet_thread *t;
    CHECK_EQ(motet_thread_start(&t, count_behind_gate, b, NULL), 0);
    start_by(MOTET_FORKSERVER, count_behind_gate, b);
    start_by(MOTET_FORK, count_behind_gate, b);
    start_with(run_for_ever, b, &(motet_process_options){.daemon = true});
    raise_word(&b->count);
    return 4;
}

TEST(a_bodys_end_keeps_the_rule_too)
{
    board *b = board_new();
    for (int m = 0; m < METHODS; m++) {
        *b = (board){0};
        motet_process *p = start_by(methods[m], start_thread_and_children, b);
        await_word(&b->count, 2);
        CHECK(motet_process_alive(p));
        raise_word(&b->gate);
        CHECK_EQ(finish(p), 4);
        CHECK_EQ(b->other, 3);
    }
    motet_shared_free(b);
}

static int call_exit_with_children(void *arg)
{
    start_thread_and_children(arg);
    exit(6);
}

TEST(a_body_that_calls_exit_does_as_well)
{
    board *b = board_new();
    motet_process *p = start_by(MOTET_FORKSERVER, call_exit_with_children, b);
    await_word(&b->count, 2);
    raise_word(&b->gate);
    CHECK_EQ(finish(p), 6);
    CHECK_EQ(b->other, 3);
    motet_shared_free(b);
}

static void count_at_exit(void)
{
    if (last_board)
        raise_word(&last_board->other);
}

static int return_here(void *arg)
{
    last_board = arg;
    return 0;
}

static int exit_here(void *arg)
{
    last_board = arg;
    exit(0);
}

/* Registered before the zygote began, so its processes have it too. */
TEST(atexit_runs_when_a_body_calls_exit_and_not_when_it_returns)
{
    atexit(count_at_exit);
    board *b = board_new();
    CHECK_EQ(finish(start_by(MOTET_FORKSERVER, return_here, b)), 0);
    CHECK_EQ(finish(start_by(MOTET_FORK, return_here, b)), 0);
    CHECK_EQ(b->other, 0);
    CHECK_EQ(finish(start_by(MOTET_FORKSERVER, exit_here, b)), 0);
    CHECK_EQ(b->other, 1);
    CHECK_EQ(finish(start_by(MOTET_FORK, exit_here, b)), 0);
    CHECK_EQ(b->other, 2);
    last_board = NULL;
    motet_shared_free(b);
}

/* ---- stdio ----------------------------------------------------------------------------------------- */

static FILE *file;

static int print_in_child(void *text)
{
    fprintf(file, "%s;", (const char *)text);
    return 0;
}

static int print_to_descriptor(void *fd)
{
    FILE *f = fdopen((int)(intptr_t)fd, "w");
    fprintf(f, "spawned;");
    return 0; /* not flushed: that is what is to happen */
}

TEST(what_stdio_holds_is_written_once)
{
    char text[200] = "";
    int fd = memfd_create("out", 0), other = dup(fd);
    file = fdopen(fd, "w");
    setvbuf(file, NULL, _IOFBF, 4096);
    fprintf(file, "before;");
    CHECK_EQ(motet_init(NULL, NULL), 0);
    fprintf(file, "main;");
    CHECK_EQ(finish(start_by(MOTET_FORKSERVER, print_in_child, (void *)(uintptr_t) "forkserver")), 0);
    fprintf(file, "more;");
    CHECK_EQ(finish(start_by(MOTET_FORK, print_in_child, (void *)(uintptr_t) "fork")), 0);
    CHECK_EQ(finish(start_by(MOTET_SPAWN, print_to_descriptor, (void *)(intptr_t)other)), 0);
    fclose(file);
    CHECK_GT(pread(other, text, sizeof text - 1, 0), 0);
    LOG("%s", text);
    /* Written out before a fork is only what was there at motet_init; main's own text comes when main's stdio is flushed. */
    CHECK_MEM(text, "before;", 7);
    const char *const once[] = {"before;", "main;", "forkserver;", "more;", "fork;", "spawned;"};
    for (size_t i = 0; i < sizeof once / sizeof *once; i++) {
        const char *at = strstr(text, once[i]);
        CHECK(at != NULL);
        CHECK(strstr(at + 1, once[i]) == NULL);
    }
    close(other);
}

/* A thread that reads holds its stream's lock for as long as it waits. */
static int ends[2];
static int read_line(void *arg)
{
    FILE *f = arg;
    CHECK_EQ(fgetc(f), 'x');
    return 0;
}

static bool is_locked(FILE *f)
{
    if (ftrylockfile(f) != 0)
        return true;
    funlockfile(f);
    return false;
}

TEST(a_reader_in_another_thread_holds_nobody_up)
{
    motet_thread *t;
    CHECK_EQ(motet_init(NULL, NULL), 0);
    CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
    FILE *f = fdopen(ends[0], "r");
    CHECK_EQ(motet_thread_start(&t, read_line, f, NULL), 0);
    while (!is_locked(f))
        motet_yield();
    for (int m = 0; m < METHODS; m++)
        CHECK_EQ(finish(start_by(methods[m], return_value, (void *)1)), 1);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    CHECK_EQ(motet_thread_join(t, NULL, MOTET_FOREVER), 0);
    motet_thread_free(t);
    fclose(f);
    close(ends[1]);
}
