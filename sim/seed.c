/* SPDX-License-Identifier: MIT */
/* Seeds: a schedule as text, its replay, and making it shorter.
 *
 *     SCENARIO:s:POINT.CHOICE,POINT.CHOICE...        s: sequentially consistent; w: weak memory
 *
 * An execution asks numbered questions; where none is named the default is taken. POINT is counted from the one before. A
 * CHOICE of a schedule is 8 * thread + what happens to it, of other things an index. A seed belongs to the very program
 * that printed it. */
#include "engine.h"

#include <stdlib.h>

void sim_seed_print(FILE *out, const sim_scenario *s, bool weak, const deviation *d, uint32_t n)
{
    uint32_t at = 0;
    fprintf(out, "%s:%c:", s->name, weak ? 'w' : 's');
    for (uint32_t i = 0; i < n; i++) {
        fprintf(out, "%s%u.%u", i ? "," : "", d[i].point - at, d[i].value);
        at = d[i].point;
    }
    fputc('\n', out);
}

bool sim_seed_parse(const char *text, char *scenario, size_t size, bool *weak, deviation *d, uint32_t *n)
{
    const char *colon = strchr(text, ':');
    if (!colon || (size_t)(colon - text) >= size || (colon[1] != 's' && colon[1] != 'w') || colon[2] != ':')
        return false;
    memcpy(scenario, text, (size_t)(colon - text));
    scenario[colon - text] = 0;
    *weak = colon[1] == 'w';
    *n = 0;
    uint32_t at = 0;
    for (const char *p = colon + 3; *p && *n < DEVIATIONS_MAX;) {
        char *end;
        at += (uint32_t)strtoul(p, &end, 10);
        if (end == p || *end != '.')
            return false;
        p = end + 1;
        d[*n].point = at;
        d[(*n)++].value = (uint32_t)strtoul(p, &end, 10);
        if (end == p || (*end && *end != ','))
            return false;
        p = *end ? end + 1 : end;
    }
    return true;
}

int sim_replay(const sim_scenario *s, bool weak, const deviation *d, uint32_t n, bool trace)
{
    search *q = &S->search;
    q->mode = MODE_REPLAY;
    q->weak = weak;
    memmove(q->script, d, n * sizeof *d);
    q->script_count = n;
    sim_search_begin();
    S->tracing = trace;
    int outcome = sim_execute(s);
    S->tracing = false;
    return outcome;
}

/* Without d[from .. from + size). What the scenario then did is the new list, if it still fails and is no longer. */
static bool try_without(const sim_scenario *s, bool weak, deviation *d, uint32_t *n, uint32_t from, uint32_t size)
{
    deviation *less = S->search.scratch;
    memcpy(less, d, from * sizeof *d);
    memcpy(less + from, d + from + size, (*n - from - size) * sizeof *d);
    if (sim_replay(s, weak, less, *n - size, false) != RAN_FAILED || S->search.taken_count >= *n)
        return false;
    *n = S->search.taken_count;
    memcpy(d, S->search.taken, *n * sizeof *d);
    return true;
}

uint32_t sim_shrink(const sim_scenario *s, bool weak, deviation *d, uint32_t n)
{
    enum { TRIES_MAX = 5000 };
    int tries = 0;
    for (uint32_t size = n; size; size /= 2) {
        for (uint32_t from = 0; from + size <= n && tries < TRIES_MAX; tries++)
            from += try_without(s, weak, d, &n, from, size) ? 0 : size;
        if (size > n)
            size = n + 1;
    }
    for (bool again = true; again && tries < TRIES_MAX;) {
        again = false;
        for (uint32_t from = 0; from < n && tries < TRIES_MAX; tries++) {
            bool shorter = try_without(s, weak, d, &n, from, 1);
            again |= shorter;
            from += !shorter;
        }
    }
    return n;
}
