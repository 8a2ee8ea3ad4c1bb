/* SPDX-License-Identifier: MIT */
/* Spans: what is carved into small blocks, what is a run, what is free. States and invariants: arena.h. */
#include "family/arena_internal.h"

#include "family/claim.h"

#include <string.h>

#define NONE UINT32_MAX

static uint64_t offset_of(const void *p) { return (uint64_t)((uintptr_t)p - (uintptr_t)motet__family); }

static bool commit(const void *p, uint64_t size)
{
    return sys_shared_commit(motet__family_fd(), offset_of(p), size) == 0;
}

static bool punch(const void *p, uint64_t size)
{
    return sys_shared_punch(motet__family_fd(), offset_of(p), size) == 0;
}

static bool lock_spans(arena_range *a)
{
    int e = claim_acquire(&a->runs, MOTET_FOREVER, false);
    /* Its last holder has died with it: each word is whole, but he may have come between those of one run. */
    if (e == MOTET_RECOVERED)
        atomic_store_relaxed(&a->lowest_free, 0);
    return e >= 0;
}

static void unlock_spans(arena_range *a) { claim_release(&a->runs); }

/* ---- blocks of one size ---------------------------------------------------------------------------- */

void motet__arena_offer(arena_range *a, uint32_t span)
{
    /* seq_cst all of it: the block's word was written before; who clears the bit looks at the word afterwards. */
    uint32_t w = atomic_load_seq_cst(span_at(a, span));
    if (span_state(w) != SPAN_SMALL)
        return; /* who makes it SMALL will look */
    uint64_t *bits = &a->groups[span / GROUP].has_free[span_what(w)], bit = (uint64_t)1 << span % GROUP;
    if (!(atomic_load_seq_cst(bits) & bit))
        atomic_or_seq_cst(bits, bit);
}

static uint32_t take_from(arena_range *a, uint32_t span, uint32_t class, uint32_t n, uint32_t *ret)
{
    uint32_t small = span_word(SPAN_SMALL, class), got = 0;
    if (atomic_load_acquire(span_at(a, span)) != small)
        return 0;
    for (uint32_t i = 0; i < class_blocks(class); i++) {
        uint64_t *word = word_at(a, span, i);
        uint64_t w = atomic_load_seq_cst(word);
        if (block_state(w) != BLOCK_FREE)
            continue;
        if (got == n) {
            motet__arena_offer(a, span);
            break;
        }
        uint64_t cached = block_word(BLOCK_CACHED, 0, motet__family_self(), block_sequence(w));
        /* Acquire: the block's memory from who freed it, and the span's word from who made it something else. */
        if (!atomic_cas_acq_rel(word, &w, cached))
            continue;
        if (got == 0 && atomic_load_seq_cst(span_at(a, span)) != small) {
            atomic_store_seq_cst(word, w);
            motet__arena_offer(a, span);
            return 0;
        }
        ret[got++] = span * WORDS_OF_SPAN + i;
    }
    return got;
}

/* From spans that are said to have free ones; each process begins elsewhere. */
static uint32_t take_offered(arena_range *a, uint32_t class, uint32_t n, uint32_t *ret)
{
    uint32_t groups = (atomic_load_acquire(&a->top) + GROUP - 1) / GROUP;
    uint32_t begin = groups ? tag_place(motet__family_self()) % groups : 0;
    for (uint32_t i = 0; i < groups; i++) {
        uint32_t g = (begin + i) % groups;
        uint64_t *bits = &a->groups[g].has_free[class], left = atomic_load_relaxed(bits);
        for (; left; left &= left - 1) {
            uint32_t span = g * GROUP + (uint32_t)__builtin_ctzll(left);
            uint64_t bit = left & -left;
            /* Before the words are looked at. Who finds it cleared leaves the span to who cleared it. */
            if (!(atomic_and_seq_cst(bits, ~bit) & bit))
                continue;
            uint32_t got = take_from(a, span, class, n, ret);
            if (got)
                return got;
        }
    }
    return 0;
}

/* ---- free spans: all under the claim --------------------------------------------------------------- */

/* How many spans the word at `span`, which is no BODY, speaks of, and whether they are free. */
static uint32_t piece(arena_range *a, uint32_t span, bool *ret_free)
{
    uint32_t w = atomic_load_relaxed(span_at(a, span));
    *ret_free = span_state(w) == SPAN_FREE;
    if (span_state(w) != SPAN_RUN)
        return 1;
    /* Acquire: what its last owner wrote in the words of the spans behind it. */
    *ret_free = block_state(atomic_load_acquire(word_at(a, span, 0))) == BLOCK_FREE;
    return span_what(w);
}

/* Where to begin to search: what is noted may have become the inside of a run since. */
static uint32_t lowest_free(arena_range *a)
{
    uint32_t s = atomic_load_relaxed(&a->lowest_free);
    while (s > 0 && s < a->top && span_state(atomic_load_relaxed(span_at(a, s))) == SPAN_BODY)
        s--;
    return s;
}

/* The first n free spans in a row at or after `from`, where a piece begins. `*ret_first`: the first free one that was seen. */
static uint32_t search(arena_range *a, uint32_t from, uint32_t n, uint32_t *ret_first)
{
    uint32_t begin = from, s = from;
    *ret_first = NONE;
    while (s < a->top && s - begin < n) {
        bool free;
        uint32_t spans = piece(a, s, &free);
        if (free && *ret_first == NONE)
            *ret_first = s;
        s += spans;
        if (!free)
            begin = s;
    }
    if (*ret_first == NONE)
        *ret_first = begin;
    return begin <= a->spans && a->spans - begin >= n ? begin : NONE;
}

/* The spans up to `top` may be written to. */
static bool grow(arena_range *a, uint32_t top)
{
    uint32_t groups = (top + GROUP - 1) / GROUP, most = (a->spans + GROUP - 1) / GROUP;
    if (top <= a->top)
        return true;
    if (groups > a->groups_ready) {
        groups = (groups + GROUPS_STEP - 1) / GROUPS_STEP * GROUPS_STEP;
        groups = groups > most ? most : groups;
        if (!commit(a->groups, groups * sizeof(group)))
            return false;
        a->groups_ready = groups;
    }
    /* Release: partner of those who look at all spans; before any word there is written. */
    atomic_store_release(&a->top, top);
    return true;
}

/* What is in use now belongs in a core dump: as far as this process knows it. */
static void show(arena_range *a)
{
    enum { STEP = 16 };
    static uint32_t shown; /* spans; a copy of the mapping in a forked child is as far as this */
    uint32_t before = atomic_load_relaxed(&shown), top = atomic_load_acquire(&a->top);
    if (top <= before)
        return;
    top = top + STEP < a->spans ? top + STEP : a->spans;
    atomic_store_relaxed(&shown, top);
    sys_shared_dump(a->groups, (top + GROUP - 1) / GROUP * sizeof(group));
    sys_shared_dump(a->words, (size_t)top * WORDS_OF_SPAN * sizeof(uint64_t));
    sys_shared_dump(a->data, (size_t)top * ARENA_SPAN);
}

/* A run that is free becomes free spans: the first one's word last, so that until then it is one. */
static void split_run(arena_range *a, uint32_t begin, uint32_t n)
{
    for (uint32_t s = begin + 1; s < begin + n; s++)
        atomic_store_relaxed(span_at(a, s), span_word(SPAN_FREE, span_what(atomic_load_relaxed(span_at(a, s)))));
    atomic_store_release(span_at(a, begin), span_word(SPAN_FREE, SPAN_DIRTY | SPAN_WORDS));
}

/* The same for whatever lies in [begin, begin + n), all of it free. */
static void split(arena_range *a, uint32_t begin, uint32_t n)
{
    for (uint32_t s = begin; s < begin + n; s++) {
        uint32_t w = atomic_load_relaxed(span_at(a, s));
        if (span_state(w) == SPAN_RUN)
            split_run(a, s, span_what(w));
    }
}

static uint32_t free_spans(arena_range *a, uint32_t from, uint32_t n)
{
    uint32_t first, begin = search(a, from, n, &first);
    if (begin == NONE || !grow(a, begin + n))
        return NONE;
    split(a, begin, n);
    if (from <= atomic_load_relaxed(&a->lowest_free))
        atomic_store_relaxed(&a->lowest_free, first == begin ? begin + n : first);
    return begin;
}

static bool committed_words(arena_range *a, uint32_t span, uint32_t n)
{
    enum { SURELY = ARENA_PAGE_LEAST / sizeof(uint64_t) };
    uint32_t w = atomic_load_relaxed(span_at(a, span));
    if ((span_what(w) & SPAN_WORDS) && n <= SURELY)
        return true;
    return commit(word_at(a, span, 0), n * sizeof(uint64_t));
}

/* Takes over words that a dead one has left in a span that is free; nobody buries him for them. */
static void clean_words(arena_range *a, uint32_t span, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        uint64_t w = atomic_load_acquire(word_at(a, span, i));
        if (block_state(w) == BLOCK_CACHED && !motet__member_alive(block_tag(w)))
            atomic_cas_acq_rel(word_at(a, span, i), &w, block_word(BLOCK_FREE, 0, 0, block_sequence(w)));
    }
}

/* ---- carving and retiring -------------------------------------------------------------------------- */

static uint32_t carve(arena_range *a, uint32_t class)
{
    uint32_t span = free_spans(a, lowest_free(a), 1), n = class_blocks(class);
    if (span == NONE)
        span = free_spans(a, 0, 1);
    if (span == NONE)
        return NONE;
    bool used = span_what(atomic_load_relaxed(span_at(a, span))) & SPAN_WORDS;
    if (!committed_words(a, span, n) || !commit(span_memory(a, span), ARENA_SPAN)) {
        if (atomic_load_relaxed(&a->lowest_free) > span)
            atomic_store_relaxed(&a->lowest_free, span);
        return NONE;
    }
    if (used)
        clean_words(a, span, n);
    /* seq_cst: before the words are looked at; see motet__arena_offer. */
    atomic_store_seq_cst(span_at(a, span), span_word(SPAN_SMALL, class));
    return span;
}

/* The first n words of the span, which are CACHED by the caller, become FREE. */
static void free_words(arena_range *a, uint32_t span, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        uint64_t w = atomic_load_relaxed(word_at(a, span, i));
        atomic_store_seq_cst(word_at(a, span, i), block_word(BLOCK_FREE, 0, 0, block_sequence(w)));
    }
}

/* Takes all blocks of the span, which is SMALL(class), for the caller; or none. */
static bool take_all(arena_range *a, uint32_t span, uint32_t class)
{
    uint32_t i, n = class_blocks(class);
    for (i = 0; i < n; i++)
        if (block_state(atomic_load_relaxed(word_at(a, span, i))) != BLOCK_FREE)
            return false;
    for (i = 0; i < n; i++) {
        uint64_t w = atomic_load_relaxed(word_at(a, span, i));
        uint64_t cached = block_word(BLOCK_CACHED, 0, motet__family_self(), block_sequence(w));
        if (block_state(w) != BLOCK_FREE || !atomic_cas_acq_rel(word_at(a, span, i), &w, cached))
            break;
    }
    if (i == n)
        return true;
    free_words(a, span, i);
    motet__arena_offer(a, span);
    return false;
}

static bool retire(arena_range *a, uint32_t span, uint32_t class)
{
    if (!take_all(a, span, class))
        return false;
    /* Release: who takes one of the words after this finds the span's changed. */
    atomic_store_seq_cst(span_at(a, span), span_word(SPAN_FREE, SPAN_DIRTY | SPAN_WORDS));
    free_words(a, span, class_blocks(class));
    return true;
}

/* Gives the memory of [from, to), free spans, back. */
static void clear_spans(arena_range *a, uint32_t from, uint32_t to)
{
    if (from >= to || !punch(span_memory(a, from), (uint64_t)(to - from) * ARENA_SPAN))
        return;
    for (uint32_t s = from; s < to; s++) {
        uint32_t words = span_what(atomic_load_relaxed(span_at(a, s))) & SPAN_WORDS;
        atomic_store_release(span_at(a, s), span_word(SPAN_FREE, words));
    }
}

/* Retires what can be, and makes one kind of free spans of all. Under the claim. */
static void reclaim(arena_range *a)
{
    for (uint32_t s = 0, spans; s < a->top; s += spans) {
        bool free;
        spans = piece(a, s, &free);
        uint32_t w = atomic_load_relaxed(span_at(a, s));
        if (span_state(w) == SPAN_SMALL)
            retire(a, s, span_what(w));
        else if (span_state(w) == SPAN_RUN && free)
            split_run(a, s, spans);
    }
    atomic_store_relaxed(&a->lowest_free, 0);
}

/* Gives the memory of free spans back. Under the claim. */
static void give_memory_back(arena_range *a)
{
    uint32_t from = 0, s = 0; /* all from there up to s are free and dirty */
    while (s < a->top) {
        bool free;
        uint32_t spans = piece(a, s, &free), w = atomic_load_relaxed(span_at(a, s));
        if (span_state(w) != SPAN_FREE || !(span_what(w) & SPAN_DIRTY)) {
            clear_spans(a, from, s);
            from = s + spans;
        }
        s += spans;
    }
    clear_spans(a, from, s);
}

bool motet__arena_reclaim(void)
{
    arena_range *a = arena_here();
    if (!lock_spans(a))
        return false;
    reclaim(a);
    give_memory_back(a);
    unlock_spans(a);
    return true;
}

/* Once in a while, before more is used than ever. */
static void reclaim_in_time(arena_range *a)
{
    if (likely(a->top < a->reclaim_at))
        return;
    reclaim(a);
    a->reclaim_at = 2 * a->top;
}

uint32_t motet__arena_gather(uint32_t class, uint32_t n, uint32_t *ret)
{
    arena_range *a = arena_here();
    uint32_t got = take_offered(a, class, n, ret);
    while (!got) {
        if (!lock_spans(a))
            return 0;
        reclaim_in_time(a);
        uint32_t span = carve(a, class);
        unlock_spans(a);
        show(a);
        if (span == NONE)
            return take_offered(a, class, n, ret); /* somebody may have freed some meanwhile */
        got = take_from(a, span, class, n, ret);
    }
    return got;
}

/* ---- runs ------------------------------------------------------------------------------------------ */

/* Takes the first word of a free span for the caller. */
static bool take_first_word(arena_range *a, uint32_t span)
{
    uint64_t *word = word_at(a, span, 0), w = atomic_load_acquire(word);
    if (block_state(w) == BLOCK_CACHED && motet__member_alive(block_tag(w)))
        return false; /* of somebody who is about to give it back */
    return atomic_cas_acq_rel(word, &w, block_word(BLOCK_CACHED, 0, motet__family_self(), block_sequence(w)));
}

/* The n spans from `begin` on, all FREE, become a run whose word is CACHED by the caller. False: not this time. Under the
 * claim. */
static bool run_begin(arena_range *a, uint32_t begin, uint32_t n)
{
    if (!committed_words(a, begin, 1) || !take_first_word(a, begin))
        return false;
    /* The run begins to be here. */
    atomic_store_release(span_at(a, begin), span_word(SPAN_RUN, n));
    for (uint32_t s = begin + 1; s < begin + n; s++)
        atomic_store_relaxed(span_at(a, s), span_word(SPAN_BODY, span_what(atomic_load_relaxed(span_at(a, s)))));
    return true;
}

/* Makes one somewhere. NONE: no room. `*ret_dirty`: whether its first span is. */
static uint32_t run_take(arena_range *a, uint32_t n, bool *ret_dirty)
{
    for (int all = 0; all < 2; all++) {
        uint32_t begin = all ? 0 : lowest_free(a);
        while ((begin = free_spans(a, begin, n)) != NONE) {
            *ret_dirty = span_what(atomic_load_relaxed(span_at(a, begin))) & SPAN_DIRTY;
            if (run_begin(a, begin, n))
                return begin;
            begin++; /* FREE is one span */
        }
    }
    return NONE;
}

/* What the spans behind the first one will be when the run is free again. By its owner. */
static void mark_rest(arena_range *a, const block *b, bool dirty)
{
    for (uint32_t s = b->span + 1; s < b->span + b->spans; s++) {
        uint32_t words = span_what(atomic_load_relaxed(span_at(a, s))) & SPAN_WORDS;
        atomic_store_relaxed(span_at(a, s), span_word(SPAN_BODY, words | (dirty ? SPAN_DIRTY : 0)));
    }
}

static void wipe(arena_range *a, const block *b, size_t size, bool first_dirty)
{
    for (uint32_t i = 0; i < b->spans; i++) {
        size_t at = (size_t)i * ARENA_SPAN, left = size - at;
        bool dirty = i ? span_what(atomic_load_relaxed(span_at(a, b->span + i))) & SPAN_DIRTY : first_dirty;
        if (dirty)
            memset(b->memory + at, 0, left < ARENA_SPAN ? left : ARENA_SPAN);
    }
}

bool motet__arena_run_make(size_t size, block *ret)
{
    arena_range *a = arena_here();
    uint32_t n = spans_of(size);
    bool dirty = false;
    if (n > a->spans || !lock_spans(a))
        return false;
    reclaim_in_time(a);
    uint32_t begin = run_take(a, n, &dirty);
    unlock_spans(a);
    show(a);
    if (begin == NONE)
        return false;
    block b = {.word = word_at(a, begin, 0), .memory = span_memory(a, begin), .span = begin, .spans = n};
    if (!commit(b.memory, size)) {
        punch(b.memory, size); /* what there was of it */
        motet__arena_run_end(&b, atomic_load_relaxed(b.word));
        return false;
    }
    wipe(a, &b, size, dirty);
    *ret = b;
    return true;
}

void motet__arena_run_end(const block *b, uint64_t word)
{
    arena_range *a = arena_here();
    bool back = b->spans >= RETURN_LEAST && punch(b->memory, (uint64_t)b->spans * ARENA_SPAN);
    mark_rest(a, b, !back);
    /* The run ends to be here. Publishes the words of its other spans. */
    atomic_store_seq_cst(b->word, block_word(BLOCK_FREE, 0, 0, block_sequence(word)));
    uint32_t lowest = atomic_load_relaxed(&a->lowest_free);
    while (b->span < lowest && !atomic_cas_relaxed(&a->lowest_free, &lowest, b->span)) {}
}
