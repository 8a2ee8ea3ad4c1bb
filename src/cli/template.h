/* SPDX-License-Identifier: MIT */
/* The command line of each job: a template, and what an input makes of it. */
#ifndef MOTET_CLI_TEMPLATE_H
#define MOTET_CLI_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct template template;

/* Compiles `count` words; {} is added as the last when none of them has a placeholder. The words are kept. NULL: no memory. */
template *template_new(char **words, size_t count);
void template_free(template *t);

/* True when the first word, the program, is the same for every input. */
bool template_program_fixed(const template *t);

/* The argv for an input of `size` bytes with a zero behind. It belongs to the template and stands until the next call; what has no
 * placeholder is not copied. 0; -E2BIG a word would be longer than an argument may be; -ENOMEM. */
int template_expand(template *t, const char *input, size_t size, uint64_t sequence, int slot,
                    const char *const **ret_argv);

/* A word as a shell would have to be given it: at most 4 * strlen(word) + 3 bytes to `to`, zero included. Their number without it. */
size_t shell_quote(char *to, const char *word);

#endif
