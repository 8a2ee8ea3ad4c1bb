/* SPDX-License-Identifier: MIT */
/*
 * The inputs of `motet run` as a file: a byte of flags (1: they end with a zero byte; 2: what follows comes again, up to
 * 300 times), then the bytes. What inputs_next gives is held against the bytes themselves.
 */
#include "fuzz.h"

#include "../src/cli/cli.h"
#include "../src/cli/inputs.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Writes the file; its bytes. */
static char *fill(int fd, const uint8_t *data, size_t size, size_t times)
{
    char *all = malloc(size * times + 1);
    for (size_t i = 0; i < times; i++)
        memcpy(all + i * size, data, size);
    for (size_t at = 0; at < size * times;) {
        ssize_t n = write(fd, all + at, size * times - at);
        HOLDS(n > 0);
        at += (size_t)n;
    }
    return all;
}

/* Each input in turn until they end or are bad; how many bytes they and their separators took. */
static size_t check_all(inputs *in, const char *all, size_t size, char separator)
{
    size_t at = 0;
    for (uint64_t number = 1;; number++) {
        const char *text;
        size_t length;
        input_state state = inputs_next(in, &text, &length);
        for (; state == INPUT_WAIT; state = inputs_next(in, &text, &length))
            inputs_read(in);
        if (state == INPUT_NONE)
            return at;
        HOLDS(in->number == number && length <= ARGUMENT_MAX && !text[length] && strlen(text) == length);
        HOLDS(length <= size - at && memcmp(text, all + at, length) == 0);
        at += length;
        HOLDS(at == size || all[at] == separator);
        at += at < size;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    run_options options = {.null_separated = data[0] & 1};
    size_t times = data[0] & 2 ? 1 + (data[0] >> 2) * 4u + data[1] % 4 : 1;
    size_t room = ARGUMENT_MAX + 10 * 1000;
    data++;
    size--;
    if (times > 1 + room / size)
        times = 1 + room / size;
    int fd = memfd_create("inputs", MFD_CLOEXEC);
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    char *all = fill(fd, data, size, times);
    options.arg_file = path;
    inputs in;
    HOLDS(inputs_open(&in, &options) == 0);
    size *= times;
    char separator = options.null_separated ? 0 : '\n';
    size_t at = check_all(&in, all, size, separator);
    if (in.bad) {
        /* The next is too long, or has a zero byte. */
        const char *end = memchr(all + at, separator, size - at);
        size_t length = end ? (size_t)(end - all) - at : size - at;
        HOLDS(length > ARGUMENT_MAX || memchr(all + at, 0, length));
    } else {
        HOLDS(at == size);
    }
    inputs_close(&in);
    close(fd);
    free(all);
    return 0;
}
