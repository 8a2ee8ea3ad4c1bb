/* SPDX-License-Identifier: MIT */
/* The arena's front: its layout, allocating and freeing, and the caches of this process. States and invariants: arena.h. */
#include "family/arena_internal.h"

#include "base/guard.h"

#include <string.h>

#ifdef MOTET_SIM
const uint16_t motet__arena_sizes[CLASSES] = {128, 256, 512};
#else
/* Steps of a cache line, then as many as so many blocks divide the span by: at most a quarter is wasted, of the two largest a
 * third. */
const uint16_t motet__arena_sizes[CLASSES] = {
    64,   128,  192,  256,  320,  384,  448,  512,  640,  768,  896,   1024,  1280,  1536,  1792,
    2048, 2496, 3072, 3584, 4096, 4992, 5952, 7232, 8192, 9344, 10880, 13056, 16384, 21824, 32768,
};
#endif

/* ---- layout ---------------------------------------------------------------------------------------- */

/* So that the words of a span begin a page, or lie in one with all that they need. */
#ifdef MOTET_SIM
enum { WORDS_AT = CACHE_LINE };
#else
enum { WORDS_AT = ARENA_PAGE_LEAST };
#endif

static uint64_t up(uint64_t n, uint64_t to) { return (n + to - 1) / to * to; }

/* How many spans fit behind `head` bytes, with all that belongs to them, and where these things begin. */
static uint32_t lay_out(uint64_t size, uint64_t head, uint64_t at[4])
{
    uint64_t spans = (size - head) / (ARENA_SPAN + WORDS_OF_SPAN * sizeof(uint64_t));
    for (spans = spans > SPANS_MOST ? SPANS_MOST : spans; spans > 0; spans--) {
        at[0] = up(head, CACHE_LINE);
        at[1] = up(at[0] + sizeof(arena_range), CACHE_LINE);
        at[2] = up(at[1] + up(spans, GROUP) / GROUP * sizeof(group), WORDS_AT);
        at[3] = up(at[2] + spans * WORDS_OF_SPAN * sizeof(uint64_t), ARENA_SPAN);
        if (at[3] + spans * ARENA_SPAN <= size)
            break;
    }
    return (uint32_t)spans;
}

int motet__arena_create(family *f, size_t head)
{
    uint64_t at[4] = {0};
    uint32_t spans = f->size > head ? lay_out(f->size, head, at) : 0;
    if (spans == 0)
        return -ENOMEM;
    int e = sys_shared_commit(motet__family_fd(), at[0], sizeof(arena_range));
    if (e < 0)
        return e;
    char *base = (char *)f;
    arena_range *a = (arena_range *)(void *)(base + at[0]);
    a->groups = (group *)(void *)(base + at[1]);
    a->words = (uint64_t *)(void *)(base + at[2]);
    a->data = base + at[3];
    a->spans = spans;
    a->reclaim_at = 1024;
    f->arena = a;
    return 0;
}

bool motet__arena_find(const void *p, block *ret)
{
    arena_range *a = arena_here();
    size_t offset = (size_t)((uintptr_t)p - (uintptr_t)a->data);
    if (offset >= (size_t)atomic_load_acquire(&a->top) * ARENA_SPAN)
        return false;
    block b = {.memory = a->data + offset, .span = (uint32_t)(offset / ARENA_SPAN)};
    uint32_t word = atomic_load_acquire(span_at(a, b.span)), inside = (uint32_t)(offset % ARENA_SPAN);
    if (span_state(word) == SPAN_SMALL) {
        b.class = span_what(word);
        b.index = inside / class_size(b.class);
        if (inside % class_size(b.class) || b.index >= class_blocks(b.class))
            return false;
    } else if (span_state(word) == SPAN_RUN && inside == 0) {
        b.spans = span_what(word);
    } else {
        return false;
    }
    b.word = word_at(a, b.span, b.index);
    *ret = b;
    return true;
}

/* ---- the caches of this process -------------------------------------------------------------------- */

/* Blocks that are CACHED by `tag`, as the process was called when it filled it. */
typedef struct shard {
    CACHE_ALIGNED guard guard;
    member_tag tag;
    uint32_t count[CLASSES];
    uint32_t blocks[CLASSES][2 * CACHE_MOST];
} shard;

#ifdef MOTET_SIM
static _Thread_local shard shards[SHARDS]; /* each virtual thread is a process */
#else
static shard shards[SHARDS];
#endif

static uint32_t threads; /* that have used one so far: shards above that number were never touched */

static shard *shard_lock(void)
{
    static _Thread_local uint32_t mine; /* 0: none yet */
    if (unlikely(!mine))
        mine = 1 + atomic_add_relaxed(&threads, 1) % SHARDS;
    shard *s = &shards[mine - 1];
    guard_lock(&s->guard);
    if (unlikely(atomic_load_relaxed(&s->tag) != motet__family_self())) {
        memset(s->count, 0, sizeof s->count);
        atomic_store_relaxed(&s->tag, motet__family_self());
    }
    return s;
}

void motet__arena_forked(void)
{
    uint32_t n = atomic_load_relaxed(&threads);
    for (uint32_t i = 0; i < n && i < SHARDS; i++) /* of the others a new process needs no memory */
        shards[i].guard = (guard){0};
    motet__arena_count_forked();
}

static uint32_t batch(uint32_t class)
{
    uint32_t n = CACHE_BYTES / class_size(class);
    return n > CACHE_MOST ? CACHE_MOST : n ? n : 1;
}

/* From CACHED by the caller to FREE. */
static void give_back(const uint32_t *ids, uint32_t n)
{
    arena_range *a = arena_here();
    for (uint32_t i = 0; i < n; i++) {
        uint64_t *word = &a->words[ids[i]];
        uint64_t w = atomic_load_relaxed(word); /* nobody else changes it */
        /* Releases the block's memory to who takes it next; seq_cst: before the hint is looked at. */
        atomic_store_seq_cst(word, block_word(BLOCK_FREE, 0, 0, block_sequence(w)));
        motet__arena_offer(a, ids[i] / WORDS_OF_SPAN);
    }
}

/* Into the cache, as many as there is room for; older ones leave it then. */
static void keep(uint32_t class, const uint32_t *ids, uint32_t n)
{
    uint32_t leaving[2 * CACHE_MOST], left = 0;
    shard *s = shard_lock();
    uint32_t *count = &s->count[class], *blocks = s->blocks[class], room = 2 * batch(class);
    if (*count + n > room) {
        left = *count + n - room;
        left = left < batch(class) ? batch(class) : left;
        left = left > *count ? *count : left;
        memcpy(leaving, blocks, left * sizeof *blocks);
        memmove(blocks, blocks + left, (*count - left) * sizeof *blocks);
        *count -= left;
    }
    memcpy(blocks + *count, ids, n * sizeof *ids);
    *count += n;
    guard_unlock(&s->guard);
    give_back(leaving, left);
}

static bool from_cache(uint32_t class, uint32_t *ret)
{
    shard *s = shard_lock();
    bool any = s->count[class] > 0;
    if (any)
        *ret = s->blocks[class][--s->count[class]];
    guard_unlock(&s->guard);
    return any;
}

void motet__arena_flush(void)
{
    for (int i = 0; i < SHARDS; i++) {
        for (uint32_t class = 0; class < CLASSES; class += 1) {
            if (atomic_load_relaxed(&shards[i].tag) != motet__family_self())
                break; /* nobody has come by here yet */
            uint32_t leaving[2 * CACHE_MOST], n = 0;
            guard_lock(&shards[i].guard);
            n = shards[i].count[class];
            memcpy(leaving, shards[i].blocks[class], n * sizeof *leaving);
            shards[i].count[class] = 0;
            guard_unlock(&shards[i].guard);
            give_back(leaving, n);
        }
    }
}

/* ---- allocating ------------------------------------------------------------------------------------ */

/* The smallest class that holds `size`. */
static uint32_t class_of(size_t size)
{
#ifndef MOTET_SIM
    if (size <= 512)
        return (uint32_t)(size - 1) / CACHE_LINE;
#endif
    uint32_t low = 0, high = CLASSES - 1;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (class_size(middle) < size)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool small_take(uint32_t class, uint32_t *ret)
{
    uint32_t ids[CACHE_MOST];
    if (likely(from_cache(class, ret)))
        return true;
    uint32_t n = motet__arena_gather(class, batch(class), ids);
    if (n == 0)
        return false;
    *ret = ids[--n]; /* the last: later ones come from the cache in the order of their addresses */
    if (n)
        keep(class, ids, n);
    return true;
}

/* A block that is CACHED by the caller, its memory zeroed. */
static bool take(size_t size, block *ret)
{
    if (size > class_size(CLASSES - 1))
        return motet__arena_run_make(size, ret);
    uint32_t class = class_of(size), id;
    if (!small_take(class, &id))
        return false;
    arena_range *a = arena_here();
    block b = {.word = &a->words[id], .span = id / WORDS_OF_SPAN, .index = id % WORDS_OF_SPAN, .class = class};
    b.memory = span_memory(a, b.span) + (size_t)b.index * class_size(class);
    memset(b.memory, 0, class_size(class));
    *ret = b;
    return true;
}

static inline bool is_member(void)
{
    return likely(motet__family_self()) || (motet__family && motet__family_enter() > 0);
}

void *motet__arena_alloc(size_t size, enum arena_kind kind)
{
    if (!is_member() || size == 0 || size > motet__family->size)
        return NULL;
    block b;
    if (unlikely(!take(size, &b))) {
        /* What this process keeps for later, and what nobody uses, may be room enough. */
        motet__arena_flush();
        if (!motet__arena_reclaim() || !take(size, &b))
            return NULL;
    }
    uint32_t sequence = block_sequence(atomic_load_relaxed(b.word));
    if (kind == ARENA_COUNTED && !motet__arena_first_hold(b.memory, sequence)) {
        motet__arena_let_go(&b, atomic_load_relaxed(b.word));
        return NULL;
    }
    /* From here on it is in use: nobody else changes what is CACHED by a living member. Publishes the first hold. */
    atomic_store_release(b.word, block_word(BLOCK_USED, kind, motet__family_self(), sequence));
    return b.memory;
}

/* ---- freeing --------------------------------------------------------------------------------------- */

void motet__arena_let_go(const block *b, uint64_t word)
{
    if (b->spans) {
        motet__arena_run_end(b, word);
        return;
    }
    uint32_t id = b->span * WORDS_OF_SPAN + b->index;
    keep(b->class, &id, 1);
}

/* What is wrong with a pointer that can't be freed. */
static const char *misuse(const void *p)
{
    block b;
    if (!motet__family_contains(p) || !motet__arena_find(p, &b))
        return "no block begins there";
    uint64_t w = atomic_load_acquire(b.word);
    return block_state(w) == BLOCK_FREE || block_state(w) == BLOCK_CACHED ? "it was freed already"
                                                                          : "it is not to be freed";
}

void motet__arena_free_of(void *p, unsigned kinds, const char *function)
{
    block b;
    if (!p || !is_member())
        return;
    if (unlikely(!motet__arena_find(p, &b)))
        motet__misuse(function, misuse(p));
    uint64_t w = atomic_load_relaxed(b.word);
    uint64_t freed = block_word(BLOCK_CACHED, 0, motet__family_self(), block_sequence(w) + 1);
    /* Releases what was done with the block to who is given it next. */
    if (unlikely(block_state(w) != BLOCK_USED || !(kinds >> block_kind(w) & 1) ||
                 !atomic_cas_acq_rel(b.word, &w, freed)))
        motet__misuse(function, misuse(p));
    motet__arena_let_go(&b, freed);
}

void motet__arena_free(void *p) { motet__arena_free_of(p, 1u << ARENA_PLAIN | 1u << ARENA_OWNED, "motet__arena_free"); }

/* ---- owners ---------------------------------------------------------------------------------------- */

int motet__arena_give(void *p, member_tag to)
{
    block b;
    MOTET_ASSERT(motet__arena_find(p, &b));
    uint64_t w = atomic_load_acquire(b.word);
    uint32_t sequence = block_sequence(w);
    if (w != block_word(BLOCK_USED, ARENA_OWNED, motet__family_self(), sequence))
        return -EPERM;
    uint64_t given = block_word(BLOCK_USED, ARENA_OWNED, to, sequence);
    MOTET_ASSERT(atomic_cas_seq_cst(b.word, &w, given));
    /* seq_cst: behind the word. Either it is still alive, and who buries it will find the block; or it is known dead here. */
    if (motet__member_alive(to))
        return 0;
    uint64_t freed = block_word(BLOCK_CACHED, 0, motet__family_self(), sequence + 1);
    if (atomic_cas_acq_rel(b.word, &given, freed))
        motet__arena_let_go(&b, freed);
    return -ESRCH;
}

member_tag motet__arena_owner(const void *p)
{
    block b;
    if (!motet__arena_find(p, &b))
        return 0;
    uint64_t w = atomic_load_acquire(b.word);
    return block_state(w) == BLOCK_USED ? block_tag(w) : 0;
}
