/* SPDX-License-Identifier: MIT */
/* What the tests of processes share. A file that includes it says also TEST_SETTLE(close_processes). */
#ifndef MOTET_PROCESS_TEST_PROCESS_H
#define MOTET_PROCESS_TEST_PROCESS_H

#include "runner.h"

#include "process/process.h"

#include <motet/motet.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

/* A test that used processes gives back guard and zygote; its own processes must have ended by then. */
static inline void close_processes(void) { CHECK_EQ(motet__process_close(), 0); }

static inline int return_value(void *value) { return (int)(intptr_t)value; }

static const motet_start_method methods[] = {MOTET_FORKSERVER, MOTET_FORK, MOTET_SPAWN};
enum { METHODS = 3 };

static inline motet_process *start_with(motet_fn *fn, void *arg, const motet_process_options *opt)
{
    motet_process *p = NULL;
    CHECK_EQ(motet_process_start(&p, fn, arg, opt), 0);
    CHECK(p != NULL);
    return p;
}

static inline motet_process *start_by(motet_start_method method, motet_fn *fn, void *arg)
{
    return start_with(fn, arg, &(motet_process_options){.method = method});
}

/* Joins and frees: the result. */
static inline int finish(motet_process *p)
{
    int code = -1000, again = -1000;
    CHECK_EQ(motet_process_join(p, &code, MOTET_FOREVER), 0);
    CHECK(!motet_process_alive(p));
    CHECK_EQ(motet_process_exit_code(p, &again), 0);
    CHECK(again == code || again == (code & 0xff)); /* what the body returned, and its low 8 bits */
    motet_process_free(p);
    return code;
}

/* Words in the arena that processes wait on and raise. */
typedef struct board {
    uint32_t gate, count, other;
    int values[64];
} board;

static inline board *board_new(void)
{
    CHECK_EQ(motet_init(NULL, NULL), 0);
    board *b = motet_shared_alloc(sizeof *b);
    CHECK(b != NULL);
    return b;
}

static inline void raise_word(uint32_t *word)
{
    atomic_add_seq_cst(word, 1);
    motet__family_wake(word, 1000);
}

static inline void await_word(uint32_t *word, uint32_t at_least)
{
    for (;;) {
        uint32_t deaths = motet__family_deaths(), now = atomic_load_seq_cst(word);
        if (now >= at_least)
            return;
        CHECK_GE(motet__family_wait(word, now, deaths, MOTET_FOREVER, 0), 0);
    }
}

/* A body that says that it runs, and waits for ever. */
static inline int run_for_ever(void *arg)
{
    board *b = arg;
    raise_word(&b->count);
    for (;;)
        motet_sleep(MOTET_FOREVER);
    return 0;
}

/* One that waits for the gate. */
static inline int wait_at_gate(void *arg)
{
    board *b = arg;
    raise_word(&b->count);
    await_word(&b->gate, 1);
    return 5;
}

/* Waits until no process has that number any more, or a later one has it. */
static inline void await_gone(pid_t pid, uint64_t started)
{
    while (sys_pid_started(pid) == started && started) {
        int fd = sys_pidfd_open(pid);
        if (fd < 0)
            return;
        bool ended = sys_pidfd_ended(fd);
        close(fd);
        if (ended)
            return;
        motet_yield();
    }
}

#endif
