/* SPDX-License-Identifier: MIT */
/*
 * Templates of commands: a byte (how many words the template has), then words, then inputs, each ended by a zero byte. What
 * a template makes of an input is held against a slow and simple other way to the same, and the shell's quoting
 * against a reading of it.
 */
#include "fuzz.h"

#include "../src/cli/cli.h"
#include "../src/cli/template.h"

#include <errno.h>
#include <string.h>

enum { WORDS_MAX = 16 };

/* ---- the other way --------------------------------------------------------------------------------- */

static char *copy(const char *text) { return strcpy(malloc(strlen(text) + 3), text); }

/* Up to the last dot that no slash follows. */
static char *no_extension(const char *text)
{
    char *s = copy(text), *dot = strrchr(s, '.');
    if (dot && !strchr(dot, '/'))
        *dot = 0;
    return s;
}

static char *base(const char *text)
{
    const char *slash = strrchr(text, '/');
    return copy(slash ? slash + 1 : text);
}

static void drop_slashes(char *s)
{
    for (size_t n = strlen(s); n && s[n - 1] == '/'; n--)
        s[n - 1] = 0;
}

static char *folder(const char *text)
{
    char *s = copy(text), *slash;
    drop_slashes(s);
    if (!*s)
        return strcpy(s, *text ? "/" : ".");
    slash = strrchr(s, '/');
    if (!slash)
        return strcpy(s, ".");
    *slash = 0;
    drop_slashes(s);
    return *s ? s : strcpy(s, "/");
}

static char *replacement(const char *name, size_t size, const char *input, uint64_t sequence, int slot)
{
    char number[32], *b, *r;
    if (size == 2)
        return copy(input);
    if (strncmp(name, "{.}", 3) == 0)
        return no_extension(input);
    if (strncmp(name, "{/}", 3) == 0)
        return base(input);
    if (strncmp(name, "{//}", 4) == 0)
        return folder(input);
    if (strncmp(name, "{/.}", 4) == 0) {
        b = base(input);
        r = no_extension(b);
        free(b);
        return r;
    }
    snprintf(number, sizeof number, "%llu",
             strncmp(name, "{#}", 3) == 0 ? (unsigned long long)sequence : (unsigned)slot);
    return copy(number);
}

static size_t placeholder(const char *at)
{
    static const char *const all[] = {"{}", "{.}", "{/}", "{//}", "{/.}", "{#}", "{%}"};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strncmp(at, all[i], strlen(all[i])) == 0)
            return strlen(all[i]);
    return 0;
}

/* The word that `word` becomes. */
static char *expand(const char *word, const char *input, uint64_t sequence, int slot, bool *ret_any)
{
    enum { NUMBER = 24 };
    size_t most = 1, longest = strlen(input) > NUMBER ? strlen(input) : NUMBER;
    for (const char *at = word; *at; at++)
        most += placeholder(at) ? longest + 1 : 1;
    char *made = malloc(most), *at = made;
    while (*word) {
        size_t size = placeholder(word);
        if (!size) {
            *at++ = *word++;
            continue;
        }
        *ret_any = true;
        char *value = replacement(word, size, input, sequence, slot);
        at = stpcpy(at, value);
        free(value);
        word += size;
    }
    *at = 0;
    return made;
}

/* ---- quoting --------------------------------------------------------------------------------------- */

/* What a shell reads: only quotes that shell_quote may use. */
static void check_quoting(const char *word)
{
    size_t size = strlen(word);
    char *quoted = malloc(4 * size + 3), *read = malloc(4 * size + 4), *to = read;
    size_t length = shell_quote(quoted, word);
    HOLDS(length == strlen(quoted) && length + 1 <= 4 * size + 3);
    for (const char *at = quoted; *at;) {
        if (*at == '\'') {
            for (at++; *at != '\''; *to++ = *at++)
                HOLDS(*at);
            at++;
        } else if (*at == '\\') {
            HOLDS(at[1] && at[1] != '\n');
            *to++ = at[1];
            at += 2;
        } else {
            HOLDS(!strchr(" \t\n|&;<>()$`\\\"'*?[]#~!{}", *at));
            *to++ = *at++;
        }
    }
    *to = 0;
    HOLDS(strcmp(read, word) == 0 && *quoted);
    free(quoted);
    free(read);
}

/* ---- one input ------------------------------------------------------------------------------------- */

static void check_expansion(template *t, char **words, size_t count, const char *input, uint64_t sequence, int slot)
{
    const char *const *argv = NULL;
    bool any = false, too_long = false;
    char *expected[WORDS_MAX + 2];
    for (size_t i = 0; i < count; i++)
        expected[i] = expand(words[i], input, sequence, slot, &any);
    size_t n = count;
    if (!any)
        expected[n++] = copy(input);
    int r = template_expand(t, input, strlen(input), sequence, slot, &argv);
    for (size_t i = 0; i < n; i++)
        too_long |= strlen(expected[i]) > ARGUMENT_MAX;
    HOLDS(r == (too_long ? -E2BIG : 0));
    for (size_t i = 0; i < n; i++) {
        HOLDS(r < 0 || strcmp(argv[i], expected[i]) == 0);
        free(expected[i]);
    }
    HOLDS(r < 0 || !argv[n]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *words[WORDS_MAX + 1], *memory;
    if (!size)
        return 0;
    size_t all = fuzz_words(data + 1, size - 1, words, WORDS_MAX, &memory), count = 1 + data[0] % 8;
    if (all > count) {
        char *inputs_begin = words[count];
        words[count] = NULL; /* as in an argv */
        template *t = template_new(words, count);
        HOLDS(t);
        words[count] = inputs_begin;
        bool any = false;
        free(expand(words[0], "", 1, 1, &any));
        HOLDS(template_program_fixed(t) == !any);
        for (size_t i = count; i < all; i++)
            check_expansion(t, words, count, words[i], i * UINT64_C(0x123456789) + 1, (int)i);
        template_free(t);
    }
    for (size_t i = 0; i < all; i++)
        check_quoting(words[i]);
    free(memory);
    return 0;
}
