/* SPDX-License-Identifier: MIT */
/* The memory model: which value a load may return, and where in modification order a store may go.
 *
 * It is C11's, operationally, as repaired by C++20 (Lahav and others, "Repairing sequential consistency in C/C++11", PLDI
 * 2017): an execution's steps are taken in an order that agrees with happens-before, reads-from and the order of seq_cst
 * operations. Each location has its stores in modification order. A thread's *floor* at a location is the latest store that
 * it can't overlook; a load returns any store from the floor on, a store goes anywhere after the floor, a read-modify-write
 * directly behind what it read, and nothing ever comes between those two. The floor is the latest of:
 *
 *   - stores that happened before, and stores that a load that happened before has read (coherence)
 *   - what came before any seq_cst fence that came before our own last one (`seen`)
 *   - for a seq_cst access: seq_cst accesses before it, and all that came before any seq_cst fence so far; for any access
 *     after a seq_cst fence of its past: seq_cst accesses before that fence
 *
 * Release sequences are those of C++20: the release store and read-modify-writes behind it (C11 adds later stores of the same
 * thread; what is right without them is right with them).
 *
 * Not modelled: loads that return a later store (load buffering, out of thin air), consume, writes of mixed size to one
 * location, seq_cst orders that contradict happens-before (C++20 allows some, C11 none), more than HISTORY_MAX stores back.
 *
 * Without `weak` every load returns the last store; clocks are kept all the same, for races of plain data.
 *
 * Memory itself always holds the last store of modification order, so that plain accesses, which do not come here, see it.
 * When memory holds something else, it was written plainly: then history begins anew with that. */
#include "engine.h"

/* ---- locations ------------------------------------------------------------------------------------- */

static uint64_t get(const volatile void *p, unsigned size)
{
    switch (size) {
    case 1: return *(const volatile uint8_t *)p;
    case 2: return *(const volatile uint16_t *)p;
    case 4: return *(const volatile uint32_t *)p;
    default: return *(const volatile uint64_t *)p;
    }
}

static void put(const volatile void *p, unsigned size, uint64_t value)
{
    void *to = (void *)(uintptr_t)p;
    switch (size) {
    case 1: *(volatile uint8_t *)to = (uint8_t)value; break;
    case 2: *(volatile uint16_t *)to = (uint16_t)value; break;
    case 4: *(volatile uint32_t *)to = (uint32_t)value; break;
    default: *(volatile uint64_t *)to = value;
    }
}

static uint64_t cut(uint64_t value, unsigned size) { return size == 8 ? value : value & ((1ull << size * 8) - 1); }

static void forget(loc *l)
{
    l->n = 1;
    l->stores[0] = (store){.value = get(l->addr, l->size)};
    l->latest = get(l->addr, l->wide ? 8 : l->size);
    l->seq_cst->n = 0;
    for (int i = 0; i < THREADS_MAX; i++)
        l->by_thread[i].n = 0;
}

static uint32_t place_of(const volatile void *p)
{
    uint32_t h = (uint32_t)(((uintptr_t)p * 0x9E3779B97F4A7C15u) >> 52) % LOCS_MAX;
    while (S->locs[h].addr && S->locs[h].addr != p)
        h = (h + 1) % LOCS_MAX;
    return h;
}

/* Eight bytes of which the upper four are accessed by themselves, too: an access of one is one of the other. */
static void find_other(loc *l)
{
    const volatile char *p = l->addr;
    l->wide |= l->size == 8;
    bool upper = (uintptr_t)p % 8 == 4;
    loc *other = &S->locs[place_of(upper ? p - 4 : p + 4)];
    if (other->addr && !l->other && (upper ? other->wide : l->wide)) {
        l->other = other;
        other->other = l;
        S->search.grew = true;
    }
}

loc *sim_loc(const volatile void *p, unsigned size)
{
    uint32_t h = place_of(p);
    loc *l = &S->locs[h];
    if (!l->addr) {
        if (S->locs_count == LOCS_MAX / 2)
            sim_fail("the scenario has more than %d locations", LOCS_MAX / 2);
        *l = (loc){.addr = p,
                   .stores = S->store_pool + (size_t)h * HISTORY_MAX,
                   .seq_cst = S->marks_pool + (size_t)h * 16,
                   .by_thread = S->marks_pool + (size_t)h * 16 + 1};
        S->loc_order[S->locs_count++] = l;
    }
    /* A smaller access looks at the lower part (all machines here are little-endian); a write has to be as large. */
    if (l->epoch != S->epoch || l->size < size) {
        if (l->epoch != S->epoch)
            l->word = l->queue = (trail){0};
        bool changed = l->size != size;
        l->epoch = S->epoch;
        l->size = (uint8_t)size;
        forget(l);
        if (changed)
            find_other(l);
    }
    return l;
}

loc *sim_loc_to_write(const volatile void *p, unsigned size)
{
    loc *l = sim_loc(p, size);
    if (l->size != size) {
        l->size = (uint8_t)size;
        forget(l);
    }
    return l;
}

void sim_memory_reset(void) { memset(&S->fences, 0, sizeof S->fences); }

uint64_t sim_memory_latest(const volatile void *p, unsigned size) { return get(p, size); }

uint64_t sim_memory_stored(const loc *l, unsigned size) { return cut(l->latest, size); }

/* The last store of modification order. */
static void put_latest(loc *l, uint64_t value)
{
    put(l->addr, l->size, value);
    l->latest = (l->latest & ~cut(UINT64_MAX, l->size)) | value;
    loc *other = l->other;
    if (!other)
        return;
    if ((uintptr_t)l->addr % 8 == 4)
        other->latest = cut(other->latest, 4) | value << 32;
    else if (l->size == 8)
        other->latest = value >> 32;
}

static void look(thread *t, loc *l, uint64_t value)
{
    unsigned i = 0;
    while (i < t->looked_count && t->looked[i].loc != l)
        i++;
    if (i == LOOKED_MAX)
        i = t->looked_next++ % LOOKED_MAX;
    else if (i == t->looked_count)
        t->looked_count++;
    t->looked[i].loc = l;
    t->looked[i].size = l->size;
    t->looked[i].at = t->at;
    t->looked[i].value = value;
}

static void wrote(thread *t, loc *l)
{
    sim_loc_write(t, l, S->time);
    S->writes++;
    t->persisted = false;
    t->persist = 0;
    t->looked_count = t->looked_next = 0; /* a loop that spins does not get here */
}

/* The last store is what memory holds. */
static void refresh(loc *l)
{
    if (l->stores[l->n - 1].value != get(l->addr, l->size))
        forget(l);
}

/* ---- positions ------------------------------------------------------------------------------------- */

static unsigned last_mark(const marks *m, uint32_t until)
{
    for (int i = m->n - 1; i >= 0; i--)
        if (m->m[i].when <= until)
            return m->m[i].pos;
    return 0;
}

static unsigned later(unsigned a, unsigned b) { return a > b ? a : b; }

static unsigned floor_of(const thread *t, const loc *l, bool seq_cst)
{
    unsigned pos = last_mark(l->seq_cst, seq_cst ? UINT32_MAX : t->fence);
    for (int u = 0; u < S->threads_count; u++) {
        uint32_t until = t->seen.c[u];
        if (seq_cst && S->fences.c[u] > until)
            until = S->fences.c[u];
        pos = later(pos, last_mark(&l->by_thread[u], until));
    }
    return pos;
}

static void note(marks *m, uint32_t when, unsigned pos)
{
    if (m->n == 0 || pos > m->m[m->n - 1].pos)
        m->m[m->n++] = (mark){.when = when, .pos = (uint16_t)pos};
}

static void note_access(thread *t, loc *l, unsigned pos, bool seq_cst)
{
    if (!S->search.weak)
        return;
    note(&l->by_thread[t->id], t->hb.c[t->id], pos);
    if (seq_cst)
        note(l->seq_cst, S->steps, pos);
}

static void forget_oldest(marks *m)
{
    uint16_t n = 0;
    for (int i = 0; i < m->n; i++)
        if (m->m[i].pos > 0)
            m->m[n++] = (mark){.when = m->m[i].when, .pos = (uint16_t)(m->m[i].pos - 1)};
    m->n = n;
}

static void make_way(marks *m, unsigned pos)
{
    for (int i = 0; i < m->n; i++)
        m->m[i].pos += m->m[i].pos >= pos;
}

/* Puts a store at `pos` and returns where it is. */
static unsigned insert(loc *l, unsigned pos, const store *s)
{
    if (!S->search.weak) {
        l->stores[0] = *s;
        put_latest(l, s->value);
        return 0;
    }
    if (l->n == HISTORY_MAX) {
        memmove(l->stores, l->stores + 1, (HISTORY_MAX - 1) * sizeof *s);
        l->n--;
        pos--;
        forget_oldest(l->seq_cst);
        for (int i = 0; i < THREADS_MAX; i++)
            forget_oldest(&l->by_thread[i]);
    }
    if (pos < l->n) {
        memmove(l->stores + pos + 1, l->stores + pos, (l->n - pos) * sizeof *s);
        make_way(l->seq_cst, pos);
        for (int i = 0; i < THREADS_MAX; i++)
            make_way(&l->by_thread[i], pos);
    }
    l->stores[pos] = *s;
    if (pos == l->n++)
        put_latest(l, s->value);
    return pos;
}

/* ---- what is passed on ----------------------------------------------------------------------------- */

static void message_join(message *a, const message *b)
{
    vclock_join(&a->hb, &b->hb);
    vclock_join(&a->seen, &b->seen);
    if (a->fence < b->fence)
        a->fence = b->fence;
}

static void take(thread *t, const store *s, int order)
{
    if (!s->has_message)
        return;
    if (order == SIM_RLX || order == SIM_REL) {
        message_join(&t->pending_acquire, &s->message);
        return;
    }
    vclock_join(&t->hb, &s->message.hb);
    vclock_join(&t->seen, &s->message.seen);
    if (t->fence < s->message.fence)
        t->fence = s->message.fence;
}

static void give(const thread *t, store *s, int order)
{
    if (order == SIM_REL || order == SIM_AR || order == SIM_SC) {
        message m = {.hb = t->hb, .seen = t->seen, .fence = t->fence};
        if (s->has_message)
            message_join(&m, &s->message);
        s->message = m;
        s->has_message = true;
    } else if (t->has_released) {
        message m = t->released;
        if (s->has_message)
            message_join(&m, &s->message);
        s->message = m;
        s->has_message = true;
    }
}

static void tick(thread *t)
{
    if (t->hb.c[t->id] == UINT16_MAX)
        sim_fail("a thread takes too many steps");
    t->hb.c[t->id]++;
    t->seen.c[t->id] = t->hb.c[t->id];
}

/* ---- accesses -------------------------------------------------------------------------------------- */

uint64_t sim_memory_read(loc *l, int order, bool *old)
{
    thread *t = S->current;
    refresh(l);
    tick(t);
    sim_race_atomic(l->addr, l->size, false);
    unsigned first = S->search.weak ? floor_of(t, l, order == SIM_SC) : l->n - 1u;
    unsigned pos = l->n - 1 - sim_choose(C_READ, l->n - first, NULL);
    store *s = &l->stores[pos];
    note_access(t, l, pos, order == SIM_SC);
    take(t, s, order);
    *old = pos + 1u < l->n;
    look(t, l, s->value);
    if (order == SIM_SC && S->search.weak)
        sim_loc_write(t, l, S->time);
    else
        sim_loc_read(t, l, S->time);
    return s->value;
}

void sim_memory_write(loc *l, uint64_t value, int order)
{
    thread *t = S->current;
    refresh(l);
    tick(t);
    sim_race_atomic(l->addr, l->size, true);
    unsigned pos = l->n;
    if (S->search.weak) {
        unsigned first = floor_of(t, l, order == SIM_SC) + 1, n = 0;
        uint8_t places[HISTORY_MAX + 1];
        for (unsigned p = l->n + 1u; p-- > first;)
            if (p == l->n || !l->stores[p].from_previous)
                places[n++] = (uint8_t)p;
        pos = places[sim_choose(C_PLACE, n, NULL)];
    }
    store s = {.value = cut(value, l->size)};
    give(t, &s, order);
    pos = insert(l, pos, &s);
    note_access(t, l, pos, order == SIM_SC);
    wrote(t, l);
    look(t, l, s.value);
}

uint64_t sim_memory_update(loc *l, sim_change *change, const void *arg, int order, int failed, bool *changed)
{
    thread *t = S->current;
    uint64_t values[HISTORY_MAX];
    uint8_t places[HISTORY_MAX];
    bool changes[HISTORY_MAX];
    unsigned n = 0;
    refresh(l);
    tick(t);
    sim_race_atomic(l->addr, l->size, true);
    unsigned first = S->search.weak ? floor_of(t, l, order == SIM_SC) : l->n - 1u;
    for (unsigned p = l->n; p-- > first;) {
        changes[n] = change(l->stores[p].value, &values[n], arg);
        places[n] = (uint8_t)p;
        /* Another one has changed it already: this one can't have been the value. */
        if (!changes[n] || p + 1u == l->n || !l->stores[p + 1].from_previous)
            n++;
    }
    unsigned k = sim_choose(C_READ, n, NULL), pos = places[k];
    *changed = changes[k];
    if (!*changed)
        order = failed;
    uint64_t was = l->stores[pos].value, now = was;
    take(t, &l->stores[pos], order);
    if (*changed) {
        store s = l->stores[pos]; /* its release sequence goes on */
        s.value = cut(values[k], l->size);
        s.from_previous = true;
        give(t, &s, order);
        pos = insert(l, pos + 1, &s);
        now = s.value;
    }
    if (*changed || (order == SIM_SC && S->search.weak))
        wrote(t, l);
    else
        sim_loc_read(t, l, S->time);
    look(t, l, now);
    note_access(t, l, pos, order == SIM_SC);
    return was;
}

void sim_memory_looked(loc *l)
{
    refresh(l);
    tick(S->current);
    note_access(S->current, l, l->n - 1u, false);
}

void sim_memory_fence(int order)
{
    thread *t = S->current;
    tick(t);
    if (order != SIM_REL) {
        message m = {.hb = t->hb, .seen = t->seen, .fence = t->fence};
        message_join(&m, &t->pending_acquire);
        t->hb = m.hb;
        t->seen = m.seen;
        t->fence = m.fence;
    }
    if (order == SIM_SC) {
        vclock_join(&t->seen, &S->fences);
        S->fences = t->seen;
        t->fence = S->steps;
    }
    if (order != SIM_ACQ) {
        t->released = (message){.hb = t->hb, .seen = t->seen, .fence = t->fence};
        t->has_released = true;
    }
}

/* ---- threads --------------------------------------------------------------------------------------- */

void sim_memory_started(thread *parent, thread *child)
{
    if (!parent)
        return;
    tick(parent);
    child->hb = parent->hb;
    child->seen = parent->seen;
    child->fence = parent->fence;
}

void sim_memory_joined(thread *t, thread *ended)
{
    tick(ended); /* what it did since its last step, too */
    vclock_join(&t->hb, &ended->hb);
    vclock_join(&t->seen, &ended->seen);
    if (t->fence < ended->fence)
        t->fence = ended->fence;
    tick(t);
}
