/* SPDX-License-Identifier: MIT */
/* The options of `motet run`. */
#ifndef MOTET_CLI_OPTIONS_H
#define MOTET_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct run_options {
    int jobs; /* at once */
    bool keep_order, null_separated, dry_run, summary, quiet, help;
    const char *arg_file; /* NULL: standard input, unless `inputs` */
    char **command;       /* argv of the template */
    size_t command_count;
    char **inputs; /* those after ":::"; NULL: none were given there */
    size_t inputs_count;
} run_options;

/* Reads the command line; argv[0] is "run". 0, or the exit code after complaining. `ret` points into argv. */
int options_parse(int argc, char **argv, run_options *ret);

#endif
