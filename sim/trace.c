/* SPDX-License-Identifier: MIT */
/* What a replay says of each step. */
#include "engine.h"

#include <stdarg.h>

void sim_name(const void *p, size_t size, const char *text)
{
    if (S->names_count == NAMES_MAX)
        return;
    S->names[S->names_count].base = p;
    S->names[S->names_count].size = size;
    S->names[S->names_count++].name = text;
}

const char *sim_name_of(const volatile void *p, char *buffer, size_t size)
{
    for (int i = 0; i < S->names_count; i++) {
        ptrdiff_t offset = (const volatile char *)p - S->names[i].base;
        if (offset < 0 || (size_t)offset >= S->names[i].size)
            continue;
        if (!offset)
            return S->names[i].name;
        snprintf(buffer, size, "%s+%td", S->names[i].name, offset);
        return buffer;
    }
    snprintf(buffer, size, "%p", (void *)(uintptr_t)p);
    return buffer;
}

const char *sim_place(const char *at, char *buffer, size_t size)
{
    const char *bar = strchr(at, '|'), *file = at;
    for (const char *p = at; *p && p != bar; p++)
        if (*p == '/')
            file = p + 1;
    snprintf(buffer, size, "%.*s", bar ? (int)(bar - file) : 40, file);
    return buffer;
}

/* Loops that spin say the same again and again. */
static bool repeats(const thread *t, const char *line)
{
    uint64_t hash = 14695981039346656037u + (uint64_t)t->id;
    for (const char *p = line; *p; p++)
        hash = (hash ^ (uint8_t)*p) * 1099511628211u; /* FNV-1a */
    if (hash == S->traced) {
        S->traced_again++;
        return true;
    }
    if (S->traced_again)
        printf("                      ... %u times more\n", S->traced_again);
    S->traced = hash;
    S->traced_again = 0;
    return false;
}

/* `at` is "dir/file:line|text". */
void sim_trace(const char *at, const char *format, ...)
{
    const thread *t = S->current;
    const char *bar = strchr(at, '|');
    char what[600], line[800], place[48], name[64];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    if (!*at)
        snprintf(line, sizeof line, "%s", what);
    else
        snprintf(line, sizeof line, "%-16s %-24s %s", sim_place(at, place, sizeof place), bar ? bar + 1 : "", what);
    if (repeats(t, line))
        return;
    printf("%5u  T%-2d %-10.10s %s", S->steps, t->id, t->name, line);
    if (*at && t->pending.loc && t->pending.at == at)
        printf("   [%s]", sim_name_of(t->pending.loc->addr, name, sizeof name));
    putchar('\n');
}
