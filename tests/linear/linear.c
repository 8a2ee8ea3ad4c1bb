/* SPDX-License-Identifier: MIT */
/* The search: Wing and Gong's ("Testing and verifying concurrent objects", 1993) with Lowe's memory of configurations
 * ("Testing for linearizability", 2017), as a loop.
 *
 * All beginnings and returns stand in one list, by their moment. The operations that may be next are those whose beginning
 * stands before the first return. The search takes one, does it on the state, and takes both its events out of the list;
 * at a return that it meets nothing was left to try, so it undoes the last one it took and tries the next. Nothing is left
 * to do when no return stands in the list: who was cut off has none, and need not have happened.
 *
 * A configuration is the set of operations done and the state that they led to. One that has been seen is not entered
 * again: it failed then (or, when all ends are asked for, it has given its ends). That makes the search exponential only in
 * how many operations overlap. Configurations are compared whole, never by their hash alone, so that no verdict hangs on
 * luck; how many are kept is bounded.
 *
 * Fork rule: none; pure computation. */
#include "linear/linear.h"

#include <stdlib.h>
#include <string.h>

enum { END = -1, HEAD = 2 * LINEAR_OPS_MAX, SET_WORDS = LINEAR_OPS_MAX / 64 };

/* Event 2i is the beginning of operation i, event 2i + 1 its return. */
typedef struct place {
    int next, prev;
} place;

typedef struct taken {
    int op;
    uint32_t state_at; /* where the state before it lies in `undo` */
    uint32_t state_size;
} taken;

typedef struct bytes {
    unsigned char *data;
    size_t size, room;
} bytes;

typedef struct search {
    const linear_spec *spec;
    const linear_op *ops;
    size_t n;
    place list[2 * LINEAR_OPS_MAX + 1];
    size_t returns_left;
    uint64_t done[SET_WORDS];
    size_t set_words;
    linear_state state, next;
    taken stack[LINEAR_OPS_MAX];
    size_t depth;
    bytes undo; /* states, one after the other */
    /* seen configurations: a table of offsets into `keys`, plus one */
    bytes keys;
    size_t *table;
    size_t table_size, seen;
    bool gave_up;
} search;

static size_t state_size(const linear_state *s)
{
    return offsetof(linear_state, values) + s->count * sizeof *s->values;
}

static void *grow(bytes *b, size_t more)
{
    if (b->size + more > b->room) {
        b->room = 2 * b->room + more + 4096;
        b->data = realloc(b->data, b->room);
        if (!b->data)
            abort();
    }
    b->size += more;
    return b->data + b->size - more;
}

/* ---- what has been seen ---------------------------------------------------------------------------- */

typedef struct key_head {
    uint64_t hash;
    size_t state_size;
} key_head;

/* FNV-1a, then mixed so that the low bits depend on all. */
static uint64_t hash_bytes(uint64_t h, const void *data, size_t size)
{
    const unsigned char *p = data;
    for (size_t i = 0; i < size; i++)
        h = (h ^ p[i]) * UINT64_C(0x100000001b3);
    return h;
}

static bool key_is(const search *s, size_t at, const key_head *head, const linear_state *state)
{
    key_head other;
    const unsigned char *p = s->keys.data + at;
    memcpy(&other, p, sizeof other);
    return other.hash == head->hash && other.state_size == head->state_size &&
           memcmp(p + sizeof other, s->done, s->set_words * 8) == 0 &&
           memcmp(p + sizeof other + s->set_words * 8, state, head->state_size) == 0;
}

static void table_grow(search *s)
{
    size_t size = s->table_size ? 2 * s->table_size : 1024;
    size_t *table = calloc(size, sizeof *table);
    if (!table)
        abort();
    for (size_t i = 0; i < s->table_size; i++) {
        if (!s->table[i])
            continue;
        uint64_t hash;
        memcpy(&hash, s->keys.data + s->table[i] - 1, sizeof hash);
        size_t at = hash & (size - 1);
        while (table[at])
            at = (at + 1) & (size - 1);
        table[at] = s->table[i];
    }
    free(s->table);
    s->table = table;
    s->table_size = size;
}

/* True when (s->done, state) is new; it is then remembered. */
static bool see(search *s, const linear_state *state)
{
    key_head head = {.state_size = state_size(state)};
    head.hash = hash_bytes(UINT64_C(0xcbf29ce484222325), s->done, s->set_words * 8);
    head.hash = hash_bytes(head.hash, state, head.state_size);
    head.hash ^= head.hash >> 29;
    if (2 * (s->seen + 1) > s->table_size)
        table_grow(s);
    size_t at = head.hash & (s->table_size - 1);
    for (; s->table[at]; at = (at + 1) & (s->table_size - 1))
        if (key_is(s, s->table[at] - 1, &head, state))
            return false;
    size_t set_size = s->set_words * 8;
    unsigned char *p = grow(&s->keys, sizeof head + set_size + head.state_size);
    memcpy(p, &head, sizeof head);
    memcpy(p + sizeof head, s->done, set_size);
    memcpy(p + sizeof head + set_size, state, head.state_size);
    s->table[at] = (size_t)(p - s->keys.data) + 1;
    s->seen++;
    s->gave_up |= s->seen > LINEAR_SEEN_MAX;
    return true;
}

/* ---- the list of events ---------------------------------------------------------------------------- */

typedef struct event {
    int64_t moment;
    int id;
} event;

/* At one moment beginnings come before returns: then they overlap. */
static int compare_events(const void *a, const void *b)
{
    const event *x = a, *y = b;
    if (x->moment != y->moment)
        return x->moment < y->moment ? -1 : 1;
    return (x->id & 1) != (y->id & 1) ? (x->id & 1) - (y->id & 1) : x->id - y->id;
}

static void lay_out(search *s)
{
    static const place none = {END, END};
    event *events = calloc(2 * s->n + 1, sizeof *events);
    if (!events)
        abort();
    size_t count = 0;
    for (size_t i = 0; i < s->n; i++) {
        events[count++] = (event){s->ops[i].invoked, (int)(2 * i)};
        if (!s->ops[i].cut)
            events[count++] = (event){s->ops[i].returned, (int)(2 * i + 1)};
        s->returns_left += !s->ops[i].cut;
    }
    qsort(events, count, sizeof *events, compare_events);
    int last = HEAD;
    s->list[HEAD] = none;
    for (size_t i = 0; i < count; i++) {
        s->list[last].next = events[i].id;
        s->list[events[i].id] = (place){END, last};
        last = events[i].id;
    }
    free(events);
}

static void unlink_event(search *s, int id)
{
    place *l = &s->list[id];
    s->list[l->prev].next = l->next;
    if (l->next != END)
        s->list[l->next].prev = l->prev;
}

static void relink_event(search *s, int id)
{
    place *l = &s->list[id];
    s->list[l->prev].next = id;
    if (l->next != END)
        s->list[l->next].prev = id;
}

/* ---- the search ------------------------------------------------------------------------------------ */

/* Takes the operation as the next one, if it fits and leads to somewhere new. */
static bool take(search *s, int op)
{
    size_t size = state_size(&s->state);
    memcpy(&s->next, &s->state, size);
    if (!s->spec->apply(s->spec, &s->next, &s->ops[op]))
        return false;
    s->done[op / 64] |= UINT64_C(1) << op % 64;
    if (!see(s, &s->next)) {
        s->done[op / 64] &= ~(UINT64_C(1) << op % 64);
        return false;
    }
    s->stack[s->depth++] = (taken){op, (uint32_t)s->undo.size, (uint32_t)size};
    memcpy(grow(&s->undo, size), &s->state, size);
    memcpy(&s->state, &s->next, state_size(&s->next));
    unlink_event(s, 2 * op);
    if (!s->ops[op].cut) {
        unlink_event(s, 2 * op + 1);
        s->returns_left--;
    }
    return true;
}

/* Undoes the last one taken, and returns the event to try after it. */
static int untake(search *s)
{
    taken t = s->stack[--s->depth];
    memcpy(&s->state, s->undo.data + t.state_at, t.state_size);
    s->undo.size = t.state_at;
    s->done[t.op / 64] &= ~(UINT64_C(1) << t.op % 64);
    if (!s->ops[t.op].cut) {
        relink_event(s, 2 * t.op + 1);
        s->returns_left++;
    }
    relink_event(s, 2 * t.op);
    return s->list[2 * t.op].next;
}

static void keep_end(const search *s, linear_state *ret, size_t most, size_t *count)
{
    size_t size = state_size(&s->state);
    for (size_t i = 0; i < *count && i < most; i++)
        if (memcmp(&ret[i], &s->state, size) == 0)
            return;
    if (*count < most)
        memcpy(&ret[*count], &s->state, size);
    ++*count;
}

static linear_verdict run(search *s, linear_state *ret, size_t most, size_t *ret_count)
{
    size_t ends = 0;
    bool right = false;
    int e = s->list[HEAD].next;
    while (!s->gave_up) {
        if (s->returns_left == 0 && !right)
            right = true;
        if (s->returns_left == 0 && !ret)
            return LINEAR_RIGHT;
        if (s->returns_left == 0 && e == s->list[HEAD].next)
            keep_end(s, ret, most, &ends);
        if (e != END && !(e & 1)) {
            e = take(s, e / 2) ? s->list[HEAD].next : s->list[e].next;
            continue;
        }
        if (s->depth == 0)
            break;
        e = untake(s);
    }
    if (ret_count)
        *ret_count = ends;
    return s->gave_up ? LINEAR_UNDECIDED : right ? LINEAR_RIGHT : LINEAR_WRONG;
}

/* Whether all that is ever put fits into a state. */
static bool fits(const linear_op *ops, size_t n)
{
    size_t values = 0;
    for (size_t i = 0; i < n; i++) {
        if (ops[i].kind == LINEAR_PUT_MANY || ops[i].kind == LINEAR_GET_MANY)
            if (ops[i].arg < 0 || ops[i].arg > LINEAR_VALUES_MAX)
                return false;
        values += ops[i].kind == LINEAR_PUT ? 1 : ops[i].kind == LINEAR_PUT_MANY ? (size_t)ops[i].arg : 0;
    }
    return n <= LINEAR_OPS_MAX && values <= LINEAR_STATE_MAX;
}

linear_verdict linear_search(const linear_spec *spec, const linear_op *ops, size_t n, linear_state *ret, size_t most,
                             size_t *ret_count)
{
    if (!fits(ops, n))
        return LINEAR_UNDECIDED;
    search *s = calloc(1, sizeof *s);
    if (!s)
        abort();
    s->spec = spec;
    s->ops = ops;
    s->n = n;
    s->set_words = (n + 63) / 64;
    spec->init(spec, &s->state);
    lay_out(s);
    linear_verdict verdict = run(s, ret, most, ret_count);
    free(s->undo.data);
    free(s->keys.data);
    free(s->table);
    free(s);
    return verdict;
}

/* ---- one part after the other ---------------------------------------------------------------------- */

static linear_verdict check_part(const linear_spec *spec, const linear_op *ops, size_t n, int part, linear_op *scratch)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        if (spec->part(&ops[i]) == part)
            scratch[count++] = ops[i];
    return linear_search(spec, scratch, count, NULL, 0, NULL);
}

static bool part_is_new(const linear_spec *spec, const linear_op *ops, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (spec->part(&ops[k]) == spec->part(&ops[i]))
            return false;
    return true;
}

linear_verdict linear_check(const linear_spec *spec, const linear_op *ops, size_t n)
{
    if (!spec->part)
        return linear_search(spec, ops, n, NULL, 0, NULL);
    linear_op *scratch = calloc(n + 1, sizeof *scratch);
    if (!scratch)
        abort();
    linear_verdict verdict = LINEAR_RIGHT;
    for (size_t i = 0; i < n && verdict != LINEAR_WRONG; i++) {
        if (!part_is_new(spec, ops, i))
            continue;
        linear_verdict v = check_part(spec, ops, n, spec->part(&ops[i]), scratch);
        verdict = v == LINEAR_RIGHT ? verdict : v;
    }
    free(scratch);
    return verdict;
}
