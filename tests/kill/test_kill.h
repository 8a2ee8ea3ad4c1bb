/* SPDX-License-Identifier: MIT */
/* What the tests by kill points share. */
#ifndef MOTET_TESTS_KILL_TEST_KILL_H
#define MOTET_TESTS_KILL_TEST_KILL_H

#include "kill/kill.h"
#include "runner.h"

#include <errno.h>

static inline void kill_begin(void)
{
#if defined(TEST_UNDER_TSAN) || defined(TEST_UNDER_ASAN)
    SKIP("a sanitizer's own code would be stepped too");
#endif
}

/* The report, which is logged. */
static inline kill_report kill_try(const char *name, const kill_case *c)
{
    kill_report r;
    if (kill_points(c, &r) == -ENOTSUP)
        SKIP(r.why);
    LOG("%s: %u instructions, %lu moments of death, %lu recoveries checked: %s (instruction %u, another's after %u, "
        "burier's %u)",
        name, r.steps, r.deaths, r.recovered, r.why ? r.why : "all fine", r.at.step, r.at.intrusion, r.at.recovery);
    return r;
}

#endif
