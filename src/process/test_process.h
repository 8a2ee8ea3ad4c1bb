/* SPDX-License-Identifier: MIT */
/* What the tests of processes share. */
#ifndef MOTET_PROCESS_TEST_PROCESS_H
#define MOTET_PROCESS_TEST_PROCESS_H

#include "runner.h"

#include "process/process.h"

#include <motet/motet.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

/* A test that used processes gives back guard and zygote; its own processes must have ended by then. */
static inline void close_processes(void) { CHECK_EQ(motet__process_close(), 0); }

static inline int return_value(void *value) { return (int)(intptr_t)value; }

static inline motet_process *start(motet_fn *fn, void *arg, const motet_process_options *opt)
{
    motet_process *p = NULL;
    CHECK_EQ(motet_process_start(&p, fn, arg, opt), 0);
    CHECK(p != NULL);
    return p;
}

/* Joins and frees: the exit code. */
static inline int finish(motet_process *p)
{
    int code = -1000;
    CHECK_EQ(motet_process_join(p, &code, MOTET_FOREVER), 0);
    CHECK(!motet_process_alive(p));
    motet_process_free(p);
    return code;
}

#endif
