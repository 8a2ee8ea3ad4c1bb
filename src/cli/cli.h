/* SPDX-License-Identifier: MIT */
/* What the files of the command share. Floor 11: public headers of motet only. */
#ifndef MOTET_CLI_CLI_H
#define MOTET_CLI_CLI_H

#include <motet/base.h>

enum {
    EXIT_USAGE = 2, /* nothing was run; or input that can't be used came up later */
    EXIT_FAILED_MAX = 100,
    EXIT_MANY = 101,               /* more jobs than that failed */
    EXIT_TROUBLE = 255,            /* the command itself could not go on */
    EXIT_SIGNAL = 128,             /* plus the signal's number */
    ARGUMENT_MAX = 128 * 1024 - 1, /* bytes of one argument; the kernel's MAX_ARG_STRLEN counts its zero too */
};

/* `motet run`: its exit code. argv[0] is "run". */
int run_main(int argc, char **argv);

/* Prints the manual in brief. 0 or EXIT_TROUBLE. */
int run_help(void);

/* One line to standard error, "motet run: ..." */
__attribute__((format(printf, 1, 2))) void complain(const char *format, ...);

/* Writes a text to standard output. 0, or the exit code after complaining. */
int print_text(const char *text);

#endif
