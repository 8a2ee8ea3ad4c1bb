/* SPDX-License-Identifier: MIT */
/* Where the inputs of `motet run` come from: the command line, or the lines of a file, read as they are needed. */
#ifndef MOTET_CLI_INPUTS_H
#define MOTET_CLI_INPUTS_H

#include "options.h"

#include <stdint.h>

typedef struct inputs {
    char **list; /* or NULL */
    size_t left; /* of the list */
    int fd;      /* the file's, or -1 */
    const char *name;
    char separator;
    bool ended, bad; /* no more can be read; since it can't be used (complained already) */
    char *buffer;    /* bytes begin..end are read and not yet given; begin..scanned hold no separator */
    size_t begin, scanned, end;
    uint64_t number; /* of the input given last, from 1 */
} inputs;

typedef enum {
    INPUT_GOT,
    INPUT_WAIT, /* inputs_read once inputs.fd is readable, then ask again */
    INPUT_NONE, /* all were given, or it is bad */
} input_state;

/* 0, or the exit code after complaining. */
int inputs_open(inputs *in, const run_options *options);
void inputs_close(inputs *in);

/* The next input: *ret with a zero behind, until the next call of either function. */
input_state inputs_next(inputs *in, const char **ret, size_t *ret_size);

/* Reads once; may wait when the descriptor isn't readable. */
void inputs_read(inputs *in);

#endif
