/* SPDX-License-Identifier: MIT */
/* Placeholders, with the meanings that they have in GNU parallel: an input replaces them inside the words of the command, and
 * nothing is split or read by a shell afterwards.
 *
 * A word is compiled to a run of parts; a word of one literal part is used as it stands. The other words of a job are written
 * one behind the other into one piece of memory that every job uses again. */
#include "template.h"

#include "cli.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum { LITERAL, WHOLE, NO_EXTENSION, BASE, FOLDER, BASE_NO_EXTENSION, SEQUENCE, SLOT } part_kind;

static const struct {
    const char *text;
    part_kind kind;
} placeholders[] = {
    {"{}", WHOLE},     {"{.}", NO_EXTENSION}, {"{/}", BASE}, {"{//}", FOLDER}, {"{/.}", BASE_NO_EXTENSION},
    {"{#}", SEQUENCE}, {"{%}", SLOT},
};

typedef struct part {
    part_kind kind;
    const char *text; /* LITERAL: so much of the word */
    size_t size;
} part;

typedef struct word {
    part *parts;
    size_t count;
} word;

struct template
{
    word *words;
    part *parts; /* of all words */
    size_t count;
    const char **argv; /* of the last job; fixed words stand there from the start */
    char *memory;      /* its other words */
    size_t used, capacity;
};

/* ---- compiling ------------------------------------------------------------------------------------- */

/* The size of the placeholder at `at`, or 0. */
static size_t placeholder_at(const char *at, part_kind *ret)
{
    for (size_t i = 0; *at == '{' && i < sizeof placeholders / sizeof *placeholders; i++) {
        size_t size = strlen(placeholders[i].text);
        if (strncmp(at, placeholders[i].text, size) == 0) {
            *ret = placeholders[i].kind;
            return size;
        }
    }
    return 0;
}

/* Splits a word; how many parts, of which an array with room for strlen(text) + 1 gets the list. */
static size_t split(const char *text, part *parts)
{
    size_t n = 0, literal = 0;
    part_kind kind;
    for (const char *at = text; *at;) {
        size_t size = placeholder_at(at, &kind);
        if (!size) {
            literal++;
            at++;
            continue;
        }
        if (literal)
            parts[n++] = (part){LITERAL, at - literal, literal};
        parts[n++] = (part){.kind = kind};
        literal = 0;
        at += size;
    }
    if (literal || !n)
        parts[n++] = (part){LITERAL, text + strlen(text) - literal, literal};
    return n;
}

static bool is_fixed(const word *w) { return w->count == 1 && w->parts->kind == LITERAL; }

template *template_new(char **words, size_t count)
{
    size_t parts_max = 1;
    for (size_t i = 0; i < count; i++)
        parts_max += strlen(words[i]) + 1;
    template *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    t->words = calloc(count + 1, sizeof *t->words);
    t->argv = calloc(count + 2, sizeof *t->argv);
    t->parts = calloc(parts_max, sizeof *t->parts);
    if (!t->words || !t->argv || !t->parts) {
        template_free(t);
        return NULL;
    }
    part *next = t->parts;
    bool any = false;
    for (; t->count < count; t->count++) {
        word *w = &t->words[t->count];
        *w = (word){next, split(words[t->count], next)};
        next += w->count;
        if (is_fixed(w))
            t->argv[t->count] = words[t->count];
        else
            any = true;
    }
    if (!any) {
        *next = (part){.kind = WHOLE};
        t->words[t->count++] = (word){next, 1};
    }
    return t;
}

void template_free(template *t)
{
    if (!t)
        return;
    free(t->words);
    free(t->parts);
    free(t->argv);
    free(t->memory);
    free(t);
}

bool template_program_fixed(const template *t) { return is_fixed(&t->words[0]); }

/* ---- expanding ------------------------------------------------------------------------------------- */

typedef struct span {
    const char *text;
    size_t size;
} span;

static span without_folder(span s)
{
    const char *slash = memrchr(s.text, '/', s.size);
    return slash ? (span){slash + 1, (size_t)(s.text + s.size - slash - 1)} : s;
}

/* The last dot behind the last slash, and what follows, is the extension. */
static span without_extension(span s)
{
    span base = without_folder(s);
    const char *dot = memrchr(base.text, '.', base.size);
    return dot ? (span){s.text, (size_t)(dot - s.text)} : s;
}

static size_t trim_slashes(span s)
{
    while (s.size && s.text[s.size - 1] == '/')
        s.size--;
    return s.size;
}

/* As dirname: slashes at the end don't count; "." for a name alone, "/" for what is in the root. */
static span folder_of(span s)
{
    size_t all = s.size;
    s.size = trim_slashes(s);
    if (!s.size)
        return all ? (span){"/", 1} : (span){".", 1};
    const char *slash = memrchr(s.text, '/', s.size);
    if (!slash)
        return (span){".", 1};
    s.size = trim_slashes((span){s.text, (size_t)(slash - s.text)});
    return s.size ? s : (span){"/", 1};
}

/* What replaces a part; numbers are written to `digits`. */
static span value_of(const part *p, span input, uint64_t sequence, int slot, char digits[24])
{
    switch (p->kind) {
    case LITERAL: return (span){p->text, p->size};
    case WHOLE: return input;
    case NO_EXTENSION: return without_extension(input);
    case BASE: return without_folder(input);
    case FOLDER: return folder_of(input);
    case BASE_NO_EXTENSION: return without_extension(without_folder(input));
    default:
        return (span){digits,
                      (size_t)snprintf(digits, 24, "%llu",
                                       p->kind == SEQUENCE ? (unsigned long long)sequence : (unsigned long long)slot)};
    }
}

static int append(template *t, const char *text, size_t size)
{
    if (!size)
        return 0;
    if (t->capacity - t->used < size) {
        size_t capacity = t->capacity + t->capacity / 2 + size + 256;
        char *memory = realloc(t->memory, capacity);
        if (!memory)
            return -ENOMEM;
        t->memory = memory;
        t->capacity = capacity;
    }
    memcpy(t->memory + t->used, text, size);
    t->used += size;
    return 0;
}

static int expand_word(template *t, const word *w, span input, uint64_t sequence, int slot)
{
    char digits[24];
    size_t begin = t->used;
    for (size_t i = 0; i < w->count; i++) {
        span value = value_of(&w->parts[i], input, sequence, slot, digits);
        if (t->used - begin + value.size > ARGUMENT_MAX)
            return -E2BIG;
        int r = append(t, value.text, value.size);
        if (r < 0)
            return r;
    }
    return append(t, "", 1);
}

int template_expand(template *t, const char *input, size_t size, uint64_t sequence, int slot,
                    const char *const **ret_argv)
{
    t->used = 0;
    for (size_t i = 0; i < t->count; i++) {
        int r = is_fixed(&t->words[i]) ? 0 : expand_word(t, &t->words[i], (span){input, size}, sequence, slot);
        if (r < 0)
            return r;
    }
    /* Only now does the memory stand still. */
    const char *at = t->memory;
    for (size_t i = 0; i < t->count; i++) {
        if (is_fixed(&t->words[i]))
            continue;
        t->argv[i] = at;
        at += strlen(at) + 1;
    }
    *ret_argv = t->argv;
    return 0;
}

/* ---- showing --------------------------------------------------------------------------------------- */

size_t shell_quote(char *to, const char *text)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-";
    size_t size = strlen(text);
    if (size && strspn(text, plain) == size) {
        memcpy(to, text, size + 1);
        return size;
    }
    char *at = to;
    *at++ = '\'';
    for (; *text; text++) {
        if (*text == '\'') {
            memcpy(at, "'\\''", 4);
            at += 4;
        } else {
            *at++ = *text;
        }
    }
    *at++ = '\'';
    *at = 0;
    return (size_t)(at - to);
}
