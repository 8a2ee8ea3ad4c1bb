/* SPDX-License-Identifier: MIT */
/*
 * The n-th call fails: what stands between the library and libc in the program motet-faults.
 *
 * The library is compiled once more for it, with each failing function of the seam's renamed on the command line
 * (malloc is fault_malloc there, and so on: meson.build), and at -O0, so that each call in the source is one call in
 * the program. No source file knows of it. Each function here counts its calls, fails those that the plan names, and
 * remembers where they came from; tools/faults-report holds these places against all there are.
 *
 * The plan stands in memory that a test shares with the processes that it forks, one for each n.
 */
#ifndef MOTET_TESTS_FAULTS_INJECT_H
#define MOTET_TESTS_FAULTS_INJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What kind of call fails; each is counted by itself. */
enum fault_class {
    FAULT_MEMORY, /* no memory */
    FAULT_CALL,   /* a system call with an error of its own */
    FAULT_SIGNAL, /* one that may wait: EINTR */
    FAULT_SHORT,  /* a read or write moves one byte */
    FAULT_CLASSES,
};

enum { FAULT_FRAMES = 4, FAULT_HITS_MAX = 4096 };

struct fault_hit {
    uintptr_t at[FAULT_FRAMES]; /* return addresses in the program's file, the innermost first */
};

struct fault_plan {
    enum fault_class class;
    unsigned first, last; /* those from the first-th to the last-th call fail, from 1 */
    unsigned seed;        /* not 0: of these, every second at random */
    unsigned armed;
    unsigned calls;  /* of the class, so far */
    unsigned struck; /* of them, failed */
    unsigned polls;  /* how often a thread has begun to wait for descriptors, failed or not */
    unsigned sleeps; /* the same on a word */
    unsigned hits;   /* places taken; over all plans of the test */
    struct fault_hit hit[FAULT_HITS_MAX];
};

/* NULL: nothing fails. */
extern struct fault_plan *fault_plan;

#endif
