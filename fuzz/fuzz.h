/* SPDX-License-Identifier: MIT */
/* What the harnesses share. Each is a libFuzzer program: fuzz/run builds and runs them. */
#ifndef MOTET_FUZZ_FUZZ_H
#define MOTET_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A property that holds whatever the input. */
#define HOLDS(cond)                                                                   \
    do {                                                                              \
        if (!(cond)) {                                                                \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #cond); \
            abort();                                                                  \
        }                                                                             \
    } while (0)

/* The bytes as words that end with a zero each; `max` at most, NULL behind them. The words lie in *ret_memory, to be freed. */
size_t fuzz_words(const uint8_t *data, size_t size, char **words, size_t max, char **ret_memory);

#endif
