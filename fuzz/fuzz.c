/* SPDX-License-Identifier: MIT */
/* What the harnesses share. */
#include "fuzz.h"

#include "../src/cli/cli.h"

#include <string.h>

/* What the command would say is not wanted here. */
void complain(const char *format, ...) { (void)format; }

size_t fuzz_words(const uint8_t *data, size_t size, char **words, size_t max, char **ret_memory)
{
    char *at = malloc(size + 1), *end = at + size;
    size_t n = 0;
    if (size)
        memcpy(at, data, size);
    *end = 0;
    *ret_memory = at;
    for (; at < end && n < max; at += strlen(at) + 1)
        words[n++] = at;
    words[n] = NULL;
    return n;
}
