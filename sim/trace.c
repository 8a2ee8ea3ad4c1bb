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

/* `at` is "dir/file:line|text". */
void sim_trace(const char *at, const char *format, ...)
{
    const thread *t = S->current;
    const char *bar = strchr(at, '|'), *file = at;
    int length = bar ? (int)(bar - at) : (int)strlen(at);
    for (const char *p = at; p < at + length; p++)
        if (*p == '/')
            file = p + 1;
    char what[200], name[64];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    if (!*at) {
        printf("%5u  T%-2d %-10.10s %s\n", S->steps, t->id, t->name, what);
        return;
    }
    printf("%5u  T%-2d %-10.10s %-16.*s %-24s %s", S->steps, t->id, t->name, length - (int)(file - at), file,
           bar ? bar + 1 : "", what);
    if (t->pending.loc && t->pending.at == at)
        printf("   [%s]", sim_name_of(t->pending.loc->addr, name, sizeof name));
    putchar('\n');
}
