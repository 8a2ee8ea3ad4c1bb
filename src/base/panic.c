/* SPDX-License-Identifier: MIT */
/* The end of a program whose invariants are broken. */
#include "base/panic.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void motet__panic(const char *file, int line, const char *what)
{
    fprintf(stderr, "motet: broken invariant at %s:%d: %s\n", file, line, what);
    abort();
}

#ifndef MOTET_SIM
_Noreturn void motet__misuse(const char *function, const char *what)
{
    fprintf(stderr, "motet: %s: %s\n", function, what);
    abort();
}
#endif
