/* SPDX-License-Identifier: MIT */
/* The inputs of `motet run`. What is read stands in a buffer of fixed size, so memory doesn't grow with the input; a
 * line can be as long as an argument may be. */
#include "inputs.h"

#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { READ_SIZE = 64 * 1024, BUFFER_SIZE = ARGUMENT_MAX + 1 + READ_SIZE };

static int open_list(inputs *in, const run_options *options)
{
    in->list = options->inputs;
    in->left = options->inputs_count;
    for (size_t i = 0; i < in->left; i++) {
        if (strlen(in->list[i]) > ARGUMENT_MAX) {
            complain("input %zu is too long (over %d bytes)", i + 1, ARGUMENT_MAX);
            return EXIT_USAGE;
        }
    }
    return 0;
}

int inputs_open(inputs *in, const run_options *options)
{
    *in = (inputs){.fd = -1, .separator = options->null_separated ? 0 : '\n'};
    if (options->inputs)
        return open_list(in, options);
    bool file = options->arg_file && strcmp(options->arg_file, "-") != 0;
    in->name = file ? options->arg_file : "standard input";
    in->fd = file ? open(options->arg_file, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
    if (in->fd < 0) {
        complain("%s: %s", in->name, strerror(errno));
        return EXIT_USAGE;
    }
    in->buffer = malloc(BUFFER_SIZE);
    if (!in->buffer) {
        inputs_close(in);
        complain("%s", strerror(ENOMEM));
        return EXIT_TROUBLE;
    }
    return 0;
}

void inputs_close(inputs *in)
{
    if (in->fd > STDIN_FILENO)
        close(in->fd);
    in->fd = -1;
    free(in->buffer);
    in->buffer = NULL;
}

static input_state spoil(inputs *in)
{
    in->ended = in->bad = true;
    in->begin = in->end;
    return INPUT_NONE;
}

static input_state next_of_list(inputs *in, const char **ret, size_t *ret_size)
{
    if (!in->left)
        return INPUT_NONE;
    in->left--;
    in->number++;
    *ret = *in->list++;
    *ret_size = strlen(*ret);
    return INPUT_GOT;
}

/* The bytes begin..stop, which a separator or the end follows. */
static input_state give(inputs *in, size_t stop, const char **ret, size_t *ret_size)
{
    char *text = in->buffer + in->begin;
    size_t size = stop - in->begin;
    unsigned long long number = ++in->number;
    if (size > ARGUMENT_MAX) {
        complain("%s: line %llu is too long (over %d bytes)", in->name, number, ARGUMENT_MAX);
        return spoil(in);
    }
    if (memchr(text, 0, size)) {
        complain("%s: line %llu has a zero byte (-0 reads inputs that end with one)", in->name, number);
        return spoil(in);
    }
    text[size] = 0; /* over the separator, or behind the last byte: there is room for one */
    in->begin = in->scanned = stop < in->end ? stop + 1 : stop;
    *ret = text;
    *ret_size = size;
    return INPUT_GOT;
}

input_state inputs_next(inputs *in, const char **ret, size_t *ret_size)
{
    if (in->list)
        return next_of_list(in, ret, ret_size);
    const char *stop = memchr(in->buffer + in->scanned, in->separator, in->end - in->scanned);
    if (stop)
        return give(in, (size_t)(stop - in->buffer), ret, ret_size);
    in->scanned = in->end;
    if (in->end - in->begin > ARGUMENT_MAX || (in->ended && in->begin < in->end))
        return give(in, in->end, ret, ret_size);
    return in->ended ? INPUT_NONE : INPUT_WAIT;
}

void inputs_read(inputs *in)
{
    /* At most a whole argument is left here: READ_SIZE bytes more fit, and the zero that `give` sets. */
    if (in->begin == in->end || BUFFER_SIZE - in->end < READ_SIZE) {
        memmove(in->buffer, in->buffer + in->begin, in->end - in->begin);
        in->end -= in->begin;
        in->scanned -= in->begin;
        in->begin = 0;
    }
    ssize_t n = read(in->fd, in->buffer + in->end, READ_SIZE - 1);
    if (n > 0) {
        in->end += (size_t)n;
    } else if (n == 0) {
        in->ended = true;
    } else if (errno != EINTR && errno != EAGAIN) {
        complain("%s: %s", in->name, strerror(errno));
        spoil(in);
    }
}
