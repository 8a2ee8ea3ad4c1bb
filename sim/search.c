/* SPDX-License-Identifier: MIT */
/* Which answer each question gets: the searches.
 *
 * Depth first, bounded by preemptions (Musuvathi and Qadeer, "Iterative context bounding", PLDI 2007): every schedule in
 * which a thread that could go on is interrupted at most so often (and in which, under the weak model, at most one more
 * load returns an older value or store goes before another: else a loop could read old values for ever). Without a bound every schedule, but of those that differ
 * only in the order of independent steps one only, by sleep sets (Godefroid, 1996). Sleep sets and bounds do not go
 * together, since the schedule that is left out may be the one with few preemptions.
 *
 * In both, steps on a location that only one thread uses, or that nobody writes, are not asked for. Which these are is learned:
 * when an execution shows a location to be of another kind, the search begins anew.
 *
 * PCT (Burckhardt and others, "A randomized scheduler with probabilistic guarantees of finding bugs", ASPLOS 2010): threads
 * have random priorities, and at depth - 1 random steps the one that runs becomes the last. */
#include "engine.h"

#define BIT(id) ((unsigned __int128)1 << (id))

uint64_t sim_random(uint64_t *state)
{
    /* splitmix64, Sebastiano Vigna */
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

static unsigned below(unsigned n) { return (unsigned)((sim_random(&S->search.random) >> 32) * n >> 32); }

/* ---- depth first ----------------------------------------------------------------------------------- */

static bool dependent(const op *a, const op *b)
{
    if (a->kind == OP_RELAX || b->kind == OP_RELAX || a->many || b->many)
        return true;
    if (a->kind == OP_POLL && b->kind == OP_POLL)
        return true;
    if (a->kind == OP_FENCE || b->kind == OP_FENCE)
        return a->seq_cst && b->seq_cst;
    if (!a->loc || a->loc != b->loc)
        return false;
    return a->kind != OP_LOAD || b->kind != OP_LOAD || (a->seq_cst && b->seq_cst);
}

/* What is asleep stays so while only independent steps are taken. */
static void wake_dependent(unsigned id)
{
    unsigned __int128 all = S->asleep;
    if (!all)
        return;
    if (ID_WHAT(id) != GO) {
        S->asleep = 0;
        return;
    }
    for (unsigned other = 0; other < ID(THREADS_MAX, 0); other++) {
        if (!(all & BIT(other)))
            continue;
        if (ID_WHAT(other) != GO ||
            dependent(&S->threads[ID_THREAD(other)].pending, &S->threads[ID_THREAD(id)].pending))
            S->asleep &= ~BIT(other);
    }
}

static bool eligible(const choice *c, unsigned k)
{
    const search *s = &S->search;
    if (c->kind == C_ALLOC)
        return k == 0 || c->faults < s->faults_max;
    if (c->kind == C_READ || c->kind == C_PLACE)
        return k == 0 || s->bound < 0 || s->plain || c->olds <= s->bound;
    if (c->kind != C_SCHEDULE)
        return true;
    if (c->asleep & BIT(c->ids[k]))
        return false;
    return (s->bound < 0 || c->preemptions + c->cost[k] <= s->bound) && (!c->fault[k] || c->faults < s->faults_max);
}

static void fill(choice *c, int kind, unsigned n, const uint8_t *ids, const uint8_t *cost, const uint8_t *fault,
                 uint32_t point)
{
    c->point = point;
    c->kind = (uint8_t)kind;
    c->n = (uint8_t)n;
    c->preemptions = (uint8_t)S->preemptions;
    c->faults = (uint8_t)S->faults;
    c->olds = (uint8_t)S->olds;
    c->asleep = S->asleep;
    if (kind == C_SCHEDULE) {
        memcpy(c->ids, ids, n);
        memcpy(c->cost, cost, n);
        memcpy(c->fault, fault, n);
    }
}

/* Takes the first alternative that may be taken. How many there are. */
static unsigned take_first(choice *c)
{
    unsigned many = 0;
    for (unsigned i = c->n; i-- > 0;) {
        if (eligible(c, i)) {
            c->taken = (uint8_t)i;
            many++;
        }
    }
    return many;
}

/* What has only one answer that may be taken is not kept: it comes to the same each time. */
static unsigned choose_depth_first(int kind, unsigned n, const uint8_t *ids, const uint8_t *cost, const uint8_t *fault,
                                   uint32_t point)
{
    search *s = &S->search;
    if (s->count + 1 >= CHOICES_MAX)
        sim_fail("an execution has more than %d choices", CHOICES_MAX);
    choice *c = &s->choices[s->count];
    if (s->count < s->fixed && c->point == point) {
        if (c->kind != kind || c->n != n)
            sim_fail("the scenario does not do the same thing twice: choice %u", s->count);
        s->count++;
    } else {
        c = s->count < s->fixed ? &s->choices[CHOICES_MAX - 1] : c;
        fill(c, kind, n, ids, cost, fault, point);
        unsigned many = take_first(c);
        if (!many)
            sim_stop(RAN_CUT);
        if (many > 1 && s->count < s->fixed)
            sim_fail("the scenario does not do the same thing twice: choice %u", s->count);
        s->count += many > 1;
    }
    if (kind == C_SCHEDULE && s->bound < 0) {
        for (unsigned i = 0; i < c->taken; i++)
            if (eligible(c, i))
                S->asleep |= BIT(c->ids[i]);
        wake_dependent(ids[c->taken]);
    }
    return c->taken;
}

bool sim_search_next(void)
{
    search *s = &S->search;
    if (s->grew) {
        s->grew = false;
        s->count = s->fixed = 0;
        return true;
    }
    for (; s->count; s->count--) {
        choice *c = &s->choices[s->count - 1];
        for (unsigned k = c->taken + 1u; k < c->n; k++) {
            if (eligible(c, k)) {
                c->taken = (uint8_t)k;
                s->fixed = s->count;
                return true;
            }
        }
    }
    return false;
}

void sim_search_begin(void)
{
    search *s = &S->search;
    s->count = s->mode == MODE_DFS ? 0 : s->count;
    s->taken_count = 0;
    s->script_next = 0;
    if (s->mode == MODE_PCT) {
        s->lowest = 0;
        for (int i = 0; i + 1 < s->depth; i++)
            s->changes[i] = below(s->steps_seen ? s->steps_seen : 50);
    }
}

/* ---- at random ------------------------------------------------------------------------------------- */

/* One that is no fault (or, now and then, one that is), of those that are a thread's going on or not. */
static int pick(unsigned n, const uint8_t *ids, const uint8_t *fault, bool go, bool faults)
{
    unsigned many = 0;
    int k = -1;
    for (unsigned i = 0; i < n; i++)
        if ((ID_WHAT(ids[i]) == GO) == go && (bool)fault[i] == faults && below(++many) == 0)
            k = (int)i;
    return k;
}

static unsigned schedule_rarely(unsigned n, const uint8_t *ids, const uint8_t *fault)
{
    int k = -1;
    if (S->faults < S->search.faults_max && below(24) == 0)
        k = pick(n, ids, fault, false, true);
    if (k < 0 && below(12) == 0)
        k = pick(n, ids, fault, false, false);
    return k < 0 ? n : (unsigned)k;
}

static unsigned schedule_by_priority(unsigned n, const uint8_t *ids)
{
    search *s = &S->search;
    for (int i = 0; i + 1 < s->depth; i++)
        if (s->changes[i] == S->steps)
            S->turn->priority = --s->lowest;
    int best = -1;
    for (unsigned i = 0; i < n; i++)
        if (ID_WHAT(ids[i]) == GO &&
            (best < 0 || S->threads[ID_THREAD(ids[i])].priority > S->threads[ID_THREAD(ids[best])].priority))
            best = (int)i;
    return best < 0 ? n : (unsigned)best;
}

static unsigned choose_randomly(int kind, unsigned n, const uint8_t *ids, const uint8_t *fault)
{
    search *s = &S->search;
    unsigned k = n;
    switch (kind) {
    case C_SCHEDULE:
        k = schedule_rarely(n, ids, fault);
        if (k == n && s->mode == MODE_PCT)
            k = schedule_by_priority(n, ids);
        if (k == n) {
            int any = pick(n, ids, fault, true, false);
            if (any < 0)
                any = pick(n, ids, fault, false, false);
            k = any < 0 ? 0 : (unsigned)any;
        }
        return k;
    case C_READ: return below(2) ? 0 : below(n);
    case C_PLACE: return below(8) ? 0 : below(n);
    case C_SPIN: return below(4) == 0;
    case C_ALLOC: return S->faults < s->faults_max && below(8) == 0;
    default: return below(n);
    }
}

/* ---- a given list ---------------------------------------------------------------------------------- */

static unsigned choose_given(int kind, unsigned n, const uint8_t *ids, uint32_t point)
{
    search *s = &S->search;
    while (s->script_next < s->script_count && s->script[s->script_next].point < point)
        s->script_next++;
    if (s->script_next == s->script_count || s->script[s->script_next].point != point)
        return 0;
    uint32_t value = s->script[s->script_next++].value;
    for (unsigned i = 0; kind == C_SCHEDULE && i < n; i++)
        if (ids[i] == value)
            return i;
    return kind != C_SCHEDULE && value < n ? value : 0;
}

unsigned sim_choose(int kind, unsigned n, const uint8_t *ids, const uint8_t *cost, const uint8_t *fault)
{
    search *s = &S->search;
    if (kind != C_SCHEDULE && n == 1)
        return 0;
    uint32_t point = S->point++;
    unsigned k;
    if (s->mode == MODE_DFS)
        k = choose_depth_first(kind, n, ids, cost, fault, point);
    else if (s->mode == MODE_REPLAY)
        k = choose_given(kind, n, ids, point);
    else
        k = choose_randomly(kind, n, ids, fault);
    if (k > 0) {
        if (s->taken_count == DEVIATIONS_MAX)
            sim_stop(RAN_CUT);
        s->taken[s->taken_count++] = (deviation){point, kind == C_SCHEDULE ? ids[k] : k};
    }
    if (kind == C_SCHEDULE) {
        S->preemptions += cost[k];
        S->faults += fault[k];
    } else if (kind == C_ALLOC) {
        S->faults += (int)k;
    } else if (kind == C_READ || kind == C_PLACE) {
        S->olds += k > 0;
    }
    return k;
}
