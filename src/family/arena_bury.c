/* SPDX-License-Identifier: MIT */
/* The arena after a death; looking at all of it. States and invariants: arena.h. */
#include "family/arena_internal.h"

/* ---- burying --------------------------------------------------------------------------------------- */

/* Whether the block is one that has to be given back. Also what belongs to others who are dead: who handed a block over may
 * have died before he saw that the heir was buried already. */
static bool left_behind(uint64_t w, member_tag dead)
{
    if (block_state(w) == BLOCK_FREE || (block_state(w) == BLOCK_USED && block_kind(w) != ARENA_OWNED))
        return false;
    return block_tag(w) == dead || !motet__member_alive(block_tag(w));
}

/* A small block whose word, which names a dead one, is `w`. */
static void bury_small(arena_range *a, uint32_t span, uint32_t index, uint32_t class, uint64_t w)
{
    uint64_t *word = word_at(a, span, index);
    uint32_t used = block_state(w) == BLOCK_USED;
    if (block_state(w) != BLOCK_DYING)
        /* If it fails, another has done it. */
        atomic_cas_seq_cst(word, &w, block_word(BLOCK_FREE, 0, 0, block_sequence(w) + used));
    else
        motet__arena_decide(span_memory(a, span) + (size_t)index * class_size(class), block_sequence(w));
}

static void bury_small_span(arena_range *a, uint32_t span, uint32_t class, member_tag dead)
{
    bool any_free = false;
    for (uint32_t i = 0; i < class_blocks(class); i++) {
        uint64_t w = atomic_load_seq_cst(word_at(a, span, i));
        if (left_behind(w, dead)) {
            bury_small(a, span, i, class, w);
            w = atomic_load_relaxed(word_at(a, span, i));
        }
        any_free |= block_state(w) == BLOCK_FREE;
    }
    /* Also for the one who had cleared the hint and was at it. */
    if (any_free)
        motet__arena_offer(a, span);
}

static void bury_run(arena_range *a, uint32_t span, uint32_t spans, member_tag dead)
{
    block b = {.word = word_at(a, span, 0), .memory = span_memory(a, span), .span = span, .spans = spans};
    uint64_t w = atomic_load_seq_cst(b.word);
    uint32_t used = block_state(w) == BLOCK_USED;
    if (!left_behind(w, dead))
        return;
    if (block_state(w) == BLOCK_DYING) {
        motet__arena_decide(b.memory, block_sequence(w));
        return;
    }
    /* First it becomes the caller's: should he die too, it is found as his. */
    uint64_t mine = block_word(BLOCK_CACHED, 0, motet__family_self(), block_sequence(w) + used);
    if (atomic_cas_acq_rel(b.word, &w, mine))
        motet__arena_run_end(&b, mine);
}

void motet__arena_bury(member_tag dead)
{
    arena_range *a = arena_here();
    /* The dead one changes nothing any more. What is done to spans meanwhile by others concerns blocks that are not his. */
    uint32_t top = atomic_load_acquire(&a->top);
    for (uint32_t s = 0; s < top; s++) {
        uint32_t w = atomic_load_acquire(span_at(a, s));
        if (span_state(w) == SPAN_SMALL)
            bury_small_span(a, s, span_what(w), dead);
        else if (span_state(w) == SPAN_RUN)
            bury_run(a, s, span_what(w), dead);
    }
    member *m = &motet__family->members[tag_place(dead)];
    uint32_t records = atomic_load_acquire(&m->records_used);
    for (uint32_t i = 0; i < records; i++) {
        const record *r = &m->records[i];
        if (atomic_load_acquire(&r->object) && atomic_load_relaxed(&r->what) == RECORD_BLOCK)
            motet__arena_decide((const void *)(uintptr_t)atomic_load_relaxed(&r->object),
                                (uint32_t)atomic_load_relaxed(&r->since));
    }
}

/* ---- checking -------------------------------------------------------------------------------------- */

struct hold_of {
    const void *p;
    uint32_t sequence;
    uint64_t count;
};

static bool add_hold(member *m, member_tag tag, void *arg)
{
    struct hold_of *h = arg;
    for (record *r = NULL; (r = motet__record_find(m, h->p, RECORD_BLOCK, r)) != NULL; r++)
        h->count += (uint32_t)atomic_load_relaxed(&r->since) == h->sequence ? r->count : 0;
    return true;
}

static const char *check_block(uint64_t w, const void *memory)
{
    member_tag tag = block_tag(w);
    if (w >> 30 & 3)
        return "a block's word has bits that mean nothing";
    switch (block_state(w)) {
    case BLOCK_FREE: return (uint32_t)w == 0 ? NULL : "a free block names somebody";
    case BLOCK_CACHED:
        if (block_kind(w))
            return "a cached block has a kind";
        return motet__member_alive(tag) ? NULL : "a block is cached by one who is dead";
    case BLOCK_DYING:
        if (block_kind(w) != ARENA_COUNTED)
            return "a block that is not counted is decided about";
        return motet__member_alive(tag) ? NULL : "a block is decided about by one who is dead";
    default: break;
    }
    struct hold_of h = {.p = memory, .sequence = block_sequence(w)};
    switch (block_kind(w)) {
    case ARENA_PLAIN: return tag ? NULL : "a block was allocated by nobody";
    case ARENA_OWNED: return motet__member_alive(tag) ? NULL : "a block is owned by one who is dead";
    case ARENA_COUNTED: motet__members_each(add_hold, &h); return h.count ? NULL : "a counted block is held by nobody";
    default: return "a block is of no kind";
    }
}

static const char *check_small(arena_range *a, uint32_t span, uint32_t class)
{
    bool any_free = false;
    if (class >= CLASSES)
        return "a span is of no class";
    for (uint32_t i = 0; i < class_blocks(class); i++) {
        uint64_t w = atomic_load_relaxed(word_at(a, span, i));
        const char *why = check_block(w, span_memory(a, span) + (size_t)i * class_size(class));
        if (why)
            return why;
        any_free |= block_state(w) == BLOCK_FREE;
    }
    uint64_t hint = atomic_load_relaxed(&a->groups[span / GROUP].has_free[class]);
    return any_free && !(hint >> span % GROUP & 1) ? "a span has free blocks, and nothing says so" : NULL;
}

static const char *check_run(arena_range *a, uint32_t span, uint32_t spans)
{
    if (spans == 0 || spans > a->top - span)
        return "a run is longer than what there is";
    for (uint32_t s = span + 1; s < span + spans; s++)
        if (span_state(atomic_load_relaxed(span_at(a, s))) != SPAN_BODY &&
            block_state(atomic_load_relaxed(word_at(a, span, 0))) == BLOCK_USED)
            return "a run has spans of others inside";
    return check_block(atomic_load_relaxed(word_at(a, span, 0)), span_memory(a, span));
}

/* What living members hold is there. */
static bool check_holds(member *m, member_tag tag, void *arg)
{
    const char **why = arg;
    uint32_t n = atomic_load_acquire(&m->records_used);
    for (uint32_t i = 0; i < n && !*why; i++) {
        const record *r = &m->records[i];
        block b;
        if (!r->object || r->what != RECORD_BLOCK || !r->count)
            continue;
        if (r->owner != tag)
            *why = "a record is in a log that is not its owner's";
        else if (!motet__arena_find((const void *)(uintptr_t)r->object, &b) ||
                 block_state(atomic_load_relaxed(b.word)) < BLOCK_USED ||
                 block_sequence(atomic_load_relaxed(b.word)) != (uint32_t)r->since)
            *why = "a block that is held is gone";
    }
    return *why == NULL;
}

const char *motet__arena_check(void)
{
    arena_range *a = arena_here();
    uint32_t top = atomic_load_acquire(&a->top), spans = 1;
    const char *why = NULL;
    if (top > a->spans)
        return "more spans are used than there are";
    for (uint32_t s = 0; s < top && !why; s += spans) {
        uint32_t w = atomic_load_acquire(span_at(a, s));
        spans = span_state(w) == SPAN_RUN ? span_what(w) : 1;
        if (span_state(w) == SPAN_SMALL)
            why = check_small(a, s, span_what(w));
        else if (span_state(w) == SPAN_RUN)
            why = check_run(a, s, spans);
        else if (span_state(w) == SPAN_BODY)
            why = "a span is inside of no run";
        else if (span_what(w) > (SPAN_DIRTY | SPAN_WORDS))
            why = "a free span's word has bits that mean nothing";
    }
    if (!why)
        motet__members_each(check_holds, &why);
    return why;
}

/* ---- counting -------------------------------------------------------------------------------------- */

static void count_block(arena_usage *u, uint64_t w, uint64_t bytes)
{
    if (block_state(w) == BLOCK_CACHED) {
        u->cached++;
        u->cached_bytes += bytes;
    } else if (block_state(w) != BLOCK_FREE) {
        u->blocks[block_kind(w) % 3]++;
        u->bytes[block_kind(w) % 3] += bytes;
    }
}

void motet__arena_usage(arena_usage *ret)
{
    arena_range *a = arena_here();
    arena_usage u = {.spans = atomic_load_acquire(&a->top)};
    for (uint32_t s = 0, spans; s < u.spans; s += spans) {
        uint32_t w = atomic_load_acquire(span_at(a, s)), what = span_what(w);
        spans = span_state(w) == SPAN_RUN && what ? what : 1;
        if (span_state(w) == SPAN_SMALL) {
            u.spans_small++;
            for (uint32_t i = 0; i < class_blocks(what); i++)
                count_block(&u, atomic_load_relaxed(word_at(a, s, i)), class_size(what));
        } else if (span_state(w) == SPAN_RUN) {
            uint64_t word = atomic_load_relaxed(word_at(a, s, 0));
            count_block(&u, word, (uint64_t)spans * ARENA_SPAN);
            u.spans_free += block_state(word) == BLOCK_FREE ? spans : 0;
        } else {
            u.spans_free++;
        }
    }
    *ret = u;
}
