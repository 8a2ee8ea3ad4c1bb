/* SPDX-License-Identifier: MIT */
/* For the short examples: MUST(call) is what the call returned; an error ends the program and says where. */
#ifndef EXAMPLES_MUST_H
#define EXAMPLES_MUST_H

#include <motet/motet.h>

#include <stdio.h>
#include <unistd.h>

#define MUST(call) must(call, #call, __FILE__, __LINE__)

static inline int must(int code, const char *call, const char *file, int line)
{
    if (code < 0) {
        fprintf(stderr, "%s:%d: %s: %s\n", file, line, call, motet_strerror(code));
        _exit(1); /* and not exit, which would wait for the other threads */
    }
    return code;
}

#endif
