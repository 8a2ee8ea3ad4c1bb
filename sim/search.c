/* SPDX-License-Identifier: MIT */
/* Which answer each question gets: the searches.
 *
 * Depth first, bounded by preemptions (Musuvathi and Qadeer, "Iterative context bounding", PLDI 2007): every schedule in
 * which a thread that could go on is interrupted at most so often (and in which, under the weak model, at most one more
 * load returns an older value or store goes before another: else a loop could read old values for ever).
 *
 * Of those that differ only in the order of independent steps one is run, the first. What leaves one out always names an
 * equivalent one that comes before it in the order of the search and has no more preemptions; so the first is left, under a
 * bound too (where sleep sets as they are in the literature would lose some). There are three ways:
 *
 *   - Steps on a location that only one thread uses, or that nobody writes, are not asked for. Which these are is learned: when
 *     an execution shows a location to be of another kind, the search begins anew.
 *   - Who was preempted before a step does not take it up again before somebody has done what it depends on: it might as well
 *     have taken it at once, for one preemption less (`slept`; without a bound, also who was tried before another).
 *   - What was done from the same state before, after no more preemptions, is not done again (seen.c).
 *
 * PCT (Burckhardt and others, "A randomized scheduler with probabilistic guarantees of finding bugs", ASPLOS 2010): threads
 * have random priorities, and at depth - 1 random steps the one that runs becomes the last. */
#include "engine.h"

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

/* Nobody has written it since, nor, if `reads` matter, read it. */
static bool untouched(const loc *l, uint32_t since, bool reads)
{
    if (l->word.wrote_at > since || (reads && l->word.read_at > since))
        return false;
    return !l->other || (l->other->word.wrote_at <= since && !(reads && l->other->word.read_at > since));
}

/* What `t` is about to do it might have done before it was preempted: nothing since does what that depends on. */
static bool slept(const thread *t)
{
    const op *o = &t->pending;
    uint32_t since = t->drowsy_at;
    if (!t->drowsy || S->world_at > since || o->many)
        return false;
    bool fails = o->compares && !S->search.weak && sim_memory_latest(o->loc->addr, o->size) != o->expected;
    switch (o->kind) {
    case OP_LOAD: return untouched(o->loc, since, S->search.weak && o->seq_cst);
    case OP_WRITE: return untouched(o->loc, since, !fails);
    case OP_WAIT: return untouched(o->loc, since, false) && o->loc->queue.wrote_at <= since;
    case OP_WAKE: return o->loc->queue.wrote_at <= since;
    case OP_FENCE: return !o->seq_cst || S->fences_trail.read_at <= since;
    default: return false;
    }
}

/* The step that alternative k is, from the state in which it was asked. */
static uint64_t step_of(const choice *c, unsigned k)
{
    uint64_t with = c->ids[k] | (uint64_t)c->faults << 8 | (uint64_t)c->olds << 16;
    if (ID_WHAT(c->ids[k]) == DIE) /* whose turn it is does not change */
        with |= (uint64_t)c->turn << 32 | 1ull << 40;
    return sim_mix(c->state, with);
}

static unsigned preemptions_with(const choice *c, unsigned k) { return c->preemptions + (c->costs >> k & 1); }

static bool eligible(const choice *c, unsigned k)
{
    const search *s = &S->search;
    if (c->kind == C_ALLOC)
        return k == 0 || c->faults < s->faults_max;
    if (c->kind == C_READ || c->kind == C_PLACE)
        return k == 0 || s->bound < 0 || c->olds <= s->bound;
    if (c->kind != C_SCHEDULE)
        return true;
    if ((s->bound >= 0 && preemptions_with(c, k) > (unsigned)s->bound) ||
        (c->faulty >> k & 1 && c->faults >= s->faults_max))
        return false;
    return s->plain || !(c->asleep >> k & 1 || sim_seen(step_of(c, k), s->bound < 0 ? 0 : preemptions_with(c, k)));
}

static void fill(choice *c, int kind, unsigned n, const offer *o)
{
    c->kind = (uint8_t)kind;
    c->n = (uint8_t)n;
    c->preemptions = (uint8_t)S->preemptions;
    c->faults = (uint8_t)S->faults;
    c->olds = (uint8_t)S->olds;
    c->turn = (uint8_t)S->turn->id;
    if (kind != C_SCHEDULE)
        return;
    c->state = sim_state();
    c->costs = o->costs;
    c->faulty = o->faulty;
    c->asleep = 0;
    for (unsigned k = 0; k < n; k++) {
        c->ids[k] = o->ids[k];
        if (ID_WHAT(o->ids[k]) == GO && slept(&S->threads[ID_THREAD(o->ids[k])]))
            c->asleep |= 1u << k;
    }
}

/* The alternative is about to be taken: those before it were. */
static void taking(const choice *c)
{
    unsigned n = S->search.bound < 0 ? c->taken : c->taken > 0 && c->ids[0] == ID(c->turn, GO);
    for (unsigned k = 0; k < n; k++) {
        thread *t = &S->threads[ID_THREAD(c->ids[k])];
        if (ID_WHAT(c->ids[k]) != GO)
            continue;
        t->drowsy = true;
        t->drowsy_at = S->time;
    }
}

static void see(const choice *c)
{
    if (!S->search.plain && c->kind == C_SCHEDULE && c->n > 1)
        sim_seen_add(step_of(c, c->taken), S->search.bound < 0 ? 0 : preemptions_with(c, c->taken));
}

static void charge(const choice *c)
{
    unsigned k = c->taken;
    if (c->kind == C_SCHEDULE) {
        S->preemptions += c->costs >> k & 1;
        S->faults += c->faulty >> k & 1;
    } else if (c->kind == C_ALLOC) {
        S->faults += (int)k;
    } else if (c->kind == C_READ || c->kind == C_PLACE) {
        S->olds += k > 0;
    }
}

void sim_no_choice(void)
{
    if (S->point < CHOICES_MAX)
        S->search.choices[S->point].n = 0;
    S->point++;
}

int sim_given(void)
{
    const search *s = &S->search;
    if (s->mode != MODE_DFS || S->point >= s->fixed)
        return -1;
    const choice *c = &s->choices[S->point];
    if (c->kind != C_SCHEDULE || !c->n || (S->point + 1 == s->fixed && c->state != sim_state()))
        sim_fail("the scenario does not do the same thing twice: at choice %u", S->point);
    S->point++;
    taking(c);
    charge(c);
    return c->ids[c->taken];
}

static unsigned choose_depth_first(int kind, unsigned n, const offer *o, uint32_t point)
{
    search *s = &S->search;
    if (point >= CHOICES_MAX)
        sim_fail("an execution has more than %d choices", CHOICES_MAX);
    choice *c = &s->choices[point];
    if (point < s->fixed) {
        if (c->kind != kind || c->n != n)
            sim_fail("the scenario does not do the same thing twice: at choice %u", point);
    } else {
        fill(c, kind, n, o);
        c->taken = 0;
        while (c->taken < n && (n > 1 || s->plain) && !eligible(c, c->taken))
            c->taken++;
        if (c->taken == n)
            sim_stop(RAN_CUT);
        see(c);
    }
    if (kind == C_SCHEDULE)
        taking(c);
    charge(c);
    return c->taken;
}

bool sim_search_next(void)
{
    search *s = &S->search;
    if (s->grew) {
        s->grew = false;
        s->fixed = 0;
        sim_seen_clear();
        return true;
    }
    for (uint32_t point = S->point; point-- > 0;) {
        choice *c = &s->choices[point];
        for (unsigned k = c->taken + 1u; k < c->n; k++) {
            if (eligible(c, k)) {
                c->taken = (uint8_t)k;
                s->fixed = point + 1;
                see(c);
                return true;
            }
        }
    }
    return false;
}

void sim_search_begin(void)
{
    search *s = &S->search;
    s->taken_count = 0;
    s->script_next = 0;
    if (s->mode == MODE_PCT) {
        s->lowest = 0;
        for (int i = 0; i + 1 < s->depth; i++)
            s->changes[i] = below(s->asked_max ? s->asked_max : 50);
    }
}

/* ---- at random ------------------------------------------------------------------------------------- */

/* One that is no fault (or, now and then, one that is), of those that are a thread's going on or not. */
static int pick(const offer *o, bool go, bool faults)
{
    unsigned many = 0;
    int k = -1;
    for (unsigned i = 0; i < o->n; i++)
        if ((ID_WHAT(o->ids[i]) == GO) == go && (o->faulty >> i & 1) == faults && below(++many) == 0)
            k = (int)i;
    return k;
}

static unsigned schedule_rarely(const offer *o)
{
    int k = -1;
    if (S->faults < S->search.faults_max && below(24) == 0)
        k = pick(o, false, true);
    if (k < 0 && below(12) == 0)
        k = pick(o, false, false);
    return k < 0 ? o->n : (unsigned)k;
}

static unsigned schedule_by_priority(const offer *o)
{
    int best = -1;
    for (unsigned i = 0; i < o->n; i++)
        if (ID_WHAT(o->ids[i]) == GO &&
            (best < 0 || S->threads[ID_THREAD(o->ids[i])].priority > S->threads[ID_THREAD(o->ids[best])].priority))
            best = (int)i;
    return best < 0 ? o->n : (unsigned)best;
}

static unsigned choose_randomly(int kind, unsigned n, const offer *o)
{
    search *s = &S->search;
    unsigned k = n;
    switch (kind) {
    case C_SCHEDULE:
        for (int i = 0; s->mode == MODE_PCT && i + 1 < s->depth; i++)
            if (s->changes[i] == S->asked)
                S->turn->priority = --s->lowest;
        k = s->quiet ? n : schedule_rarely(o);
        if (k == n && s->mode == MODE_PCT)
            k = schedule_by_priority(o);
        if (k == n) {
            int any = pick(o, true, false);
            if (any < 0)
                any = pick(o, false, false);
            k = any < 0 ? 0 : (unsigned)any;
        }
        return k;
    case C_READ: return below(2) ? 0 : below(n);
    case C_PLACE: return below(8) ? 0 : below(n);
    case C_SPIN: return below(4) == 0;
    case C_ALLOC: return !s->quiet && S->faults < s->faults_max && below(8) == 0;
    default: return below(n);
    }
}

/* ---- a given list ---------------------------------------------------------------------------------- */

static unsigned choose_given(int kind, unsigned n, const offer *o, uint32_t point)
{
    search *s = &S->search;
    while (s->script_next < s->script_count && s->script[s->script_next].point < point)
        s->script_next++;
    if (s->script_next == s->script_count || s->script[s->script_next].point != point)
        return 0;
    uint32_t value = s->script[s->script_next++].value;
    for (unsigned i = 0; kind == C_SCHEDULE && i < n; i++)
        if (o->ids[i] == value)
            return i;
    return kind != C_SCHEDULE && value < n ? value : 0;
}

static void deviate(uint32_t point, uint32_t value)
{
    search *s = &S->search;
    if (s->taken_count < DEVIATIONS_MAX)
        s->taken[s->taken_count] = (deviation){point, value};
    s->taken_count++;
}

void sim_search_taken(void)
{
    search *s = &S->search;
    if (s->mode != MODE_DFS)
        return;
    s->taken_count = 0;
    for (uint32_t point = 0; point < S->point; point++) {
        const choice *c = &s->choices[point];
        if (c->n && c->taken)
            deviate(point, c->kind == C_SCHEDULE ? c->ids[c->taken] : c->taken);
    }
}

unsigned sim_choose(int kind, unsigned n, const offer *o)
{
    search *s = &S->search;
    if (kind != C_SCHEDULE && n == 1)
        return 0;
    uint32_t point = S->point++;
    unsigned k;
    if (s->mode == MODE_DFS) {
        k = choose_depth_first(kind, n, o, point);
    } else {
        k = s->mode == MODE_REPLAY ? choose_given(kind, n, o, point) : choose_randomly(kind, n, o);
        S->asked += kind == C_SCHEDULE;
        if (k > 0)
            deviate(point, kind == C_SCHEDULE ? o->ids[k] : k);
        choice c = {.kind = (uint8_t)kind, .taken = (uint8_t)k};
        if (kind == C_SCHEDULE)
            c.costs = o->costs, c.faulty = o->faulty;
        charge(&c);
    }
    if (kind != C_SCHEDULE && kind != C_SPIN)
        S->current->history = sim_mix(S->current->history, k + 1);
    return k;
}
