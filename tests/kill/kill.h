/* SPDX-License-Identifier: MIT */
/* Kill points: what if the process had died at this instruction?
 *
 * An operation on shared memory runs in a child, one instruction at a time (PTRACE_SINGLESTEP). While the child stands
 * still, the segment is copied away, the recovery runs on it as if the child had died there, the result is checked, and the
 * copy is put back: to the child nothing has happened, and the segment is at its own address all the while, so that
 * pointers into it hold.
 *
 * Two more rounds of the same:
 *  - the recoverer dies: the recovery itself is stepped in a second child, at each of its instructions recovered from once
 *    more, by a third party;
 *  - somebody else is in between: at one instruction after the other the child stands still while another participant
 *    does something whole, then goes on and may die anywhere. (Recoverers die in every sixteenth of these rounds.)
 *
 * Recovery sees the segment and nothing else. So an instruction that did not change it is the same moment to it as the
 * one before, and is not tried again; the numbers in the report say both. That a death really is what it is taken for is
 * proven by `real_deaths`: a fresh child is stepped to the same instruction, killed, reaped, and must have left the very
 * same bytes.
 *
 * The calling process must have one thread. Not for sanitizers: their own code would be stepped too. */
#ifndef MOTET_TESTS_KILL_KILL_H
#define MOTET_TESTS_KILL_KILL_H

#include <stdbool.h>
#include <stddef.h>

/* Where a death was tried. Steps count from 1; 0: not so. */
typedef struct kill_moment {
    unsigned step;      /* instructions that the operation had done */
    unsigned intrusion; /* and after how many of these somebody else came in between */
    unsigned recovery;  /* instructions that the first recoverer had done when it died too */
    bool really;        /* it was killed in earnest */
} kill_moment;

typedef struct kill_part {
    void *at;
    size_t size;
} kill_part;

typedef struct kill_case {
    void *segment; /* MAP_SHARED, at least of this size; as it is before the operation */
    size_t size;
    const kill_part
        *parts; /* or these pieces of it, up to one of size 0, if the rest doesn't matter. NULL: all of it */
    void (*operation)(void *arg);                             /* in the child. Changes only shared memory */
    void (*recover)(void *arg);                               /* by a survivor, and again */
    const char *(*check)(void *arg, const kill_moment *when); /* after it. NULL, or what is wrong; may destroy */
    void (*intrude)(void *arg);                               /* another participant; may be NULL */
    void *arg;
    unsigned real_deaths;    /* how many, evenly spread */
    unsigned long steps_max; /* intrusions are tried at every n-th instruction, so that all takes about so many steps */
} kill_case;

typedef struct kill_report {
    unsigned steps;          /* instructions of the operation */
    unsigned long deaths;    /* moments at which it may have died, in all rounds */
    unsigned long recovered; /* of them with a segment unlike the one before: recovered from and checked */
    unsigned long stepped;   /* single steps taken in all */
    const char *why;         /* NULL, or what is wrong */
    kill_moment at;          /* and where */
} kill_report;

/* 0, and the report says whether all went well; -ENOTSUP single-stepping isn't possible here, and why in report->why. The
 * segment is left as it was. */
int kill_points(const kill_case *c, kill_report *report);

/* ---- for kill.c: a child that is stepped ----------------------------------------------------------- */

typedef struct stepper {
    int pid;
    unsigned steps;
    int signal; /* that it is to get with the next step */
    struct stepper_gate *gate;
} stepper;

enum { STEPPER_DONE = 1 };

/* Starts `run` in a child that stands before its first instruction. 0 or -errno: not possible. */
int stepper_start(stepper *s, void (*run)(void *), void *arg);

/* One instruction. 0; STEPPER_DONE: it was past the last; -ESRCH: the child has died of its own. */
int stepper_step(stepper *s);

/* Kills and reaps it. */
void stepper_end(stepper *s);

#endif
