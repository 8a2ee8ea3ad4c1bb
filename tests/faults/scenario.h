/* SPDX-License-Identifier: MIT */
/*
 * A scenario opens objects, uses them and closes them, each call through TRY. It is run again and again, each time in a
 * process of its own with another plan of which calls of the library fail, until a plan finds no call left to fail:
 *
 *   keep    one call fails. TRY checks that the error is one of those that the header names and that the output is
 *           as it was, and makes the same call again: it must succeed, and the scenario goes on to its end.
 *   mend    all calls fail from the n-th on. TRY does the same, after the machine has recovered.
 *   close   as mend, but the first error ends the scenario at `out:`, and all is closed while calls still fail.
 *   signal  calls that wait are interrupted, five in a row, then every second one at random: nothing may fail.
 *   short   every read and write moves one byte: nothing may fail.
 *
 * Afterwards the process is searched for descriptors, threads, children and memory.
 */
#ifndef MOTET_TESTS_FAULTS_SCENARIO_H
#define MOTET_TESTS_FAULTS_SCENARIO_H

#include "runner.h"

#include <motet/motet.h>

#define SCENARIO(name)                                                       \
    static void scenario_##name(void);                                       \
    TEST_OPT(name, .timeout_s = 120) { faults_run(#name, scenario_##name); } \
    static void scenario_##name(void)

/* The errors that a call may give follow it. */
#define TRY(call, ...)                                                                          \
    do {                                                                                        \
        int try_ = (call);                                                                      \
        if (try_ < 0) {                                                                         \
            if (!faults_accept(__FILE__, __LINE__, #call, try_, (const int[]){__VA_ARGS__, 0})) \
                goto out;                                                                       \
            CHECK_GE((call), 0);                                                                \
        }                                                                                       \
    } while (0)

/* The same for a call that sets the pointer `out_`, NULL before: a failed one leaves it alone. */
#define TRY_OPEN(out_, call, ...)                                                                \
    do {                                                                                         \
        (out_) = faults_untouched;                                                               \
        int open_ = (call);                                                                      \
        if (open_ < 0) {                                                                         \
            CHECK_PTR(out_, faults_untouched);                                                   \
            (out_) = NULL;                                                                       \
            if (!faults_accept(__FILE__, __LINE__, #call, open_, (const int[]){__VA_ARGS__, 0})) \
                goto out;                                                                        \
            CHECK_GE((call), 0);                                                                 \
        }                                                                                        \
    } while (0)

/* An error that came in another way. It can't be tried again. */
#define REFUSED(code, ...)                                                                    \
    do {                                                                                      \
        if (!faults_accept(__FILE__, __LINE__, #code, (code), (const int[]){__VA_ARGS__, 0})) \
            goto out;                                                                         \
    } while (0)

/* The same for one that returns a new object, or NULL: no memory. */
#define TRY_NEW(out_, call) TRY(((out_) = (call)) ? 0 : -ENOMEM, -ENOMEM)

extern char faults_untouched_object;
#define faults_untouched ((void *)&faults_untouched_object)

void faults_run(const char *name, void (*scenario)(void));

/* Checks an error; true: the call is to be made again. */
bool faults_accept(const char *file, int line, const char *call, int code, const int *codes);

/* Whether a thread of the library has come to wait for descriptors, or on a word. */
bool faults_polled(void);
bool faults_slept(void);

/* From now on nothing fails: for the part of a clean-up that is no part of the promise. */
void faults_end(void);

#endif
