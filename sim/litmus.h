/* SPDX-License-Identifier: MIT */
/* The table of litmus tests: litmus_tests.c; its language: litmus.c. */
#ifndef MOTET_SIM_LITMUS_H
#define MOTET_SIM_LITMUS_H

typedef struct litmus {
    const char *name, *observe, *program, *allowed;
} litmus;

extern const litmus sim_litmus_tests[]; /* ends with a name that is NULL */

#endif
