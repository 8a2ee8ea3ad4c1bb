/* SPDX-License-Identifier: MIT */
/* COUNTED blocks: holds, and who finds out that there is none left. States and invariants: arena.h. */
#include "family/arena_internal.h"

#include "base/guard.h"

/* One thread of the process at a time: a hold is counted in one record of the process, and it decides about one block at
 * a time, so that DYING by it is that decision. */
#ifdef MOTET_SIM
static _Thread_local guard counting;
#else
static guard counting;
#endif

void motet__arena_count_forked(void) { counting = (guard){0}; }

/* ---- records --------------------------------------------------------------------------------------- */

static bool is_hold(record *r, member_tag owner, uint32_t sequence, uint32_t *ret_count)
{
    uint64_t state = atomic_load_seq_cst(&r->state);
    *ret_count = (uint32_t)state;
    return (uint32_t)(state >> 32) == owner && atomic_load_relaxed(&r->since) == (int64_t)sequence;
}

static record *own_hold(const void *p, uint32_t sequence)
{
    member_tag self = motet__family_self();
    member *m = &motet__family->members[tag_place(self)];
    uint32_t count;
    for (record *r = NULL; (r = motet__record_find(m, p, RECORD_BLOCK, r)) != NULL; r++)
        if (is_hold(r, self, sequence, &count))
            return r;
    return NULL;
}

record *motet__arena_first_hold(const void *p, uint32_t sequence)
{
    record *r = motet__record_take(p, RECORD_BLOCK);
    if (!r)
        return NULL;
    atomic_store_relaxed(&r->since, (int64_t)sequence);
    /* From here on it counts. seq_cst, and the fence: before the look at the block's word. */
    atomic_store_seq_cst(&r->state, (uint64_t)motet__family_self() << 32 | 1);
    atomic_fence_seq_cst();
    return r;
}

static void end_hold(record *r)
{
    atomic_store_seq_cst(&r->state, (uint64_t)motet__family_self() << 32);
    atomic_fence_seq_cst();
}

struct holders {
    const void *p;
    uint32_t sequence;
    bool any;
};

static bool look_for_hold(member *m, member_tag tag, void *arg)
{
    struct holders *h = arg;
    uint32_t count;
    for (record *r = NULL; (r = motet__record_find(m, h->p, RECORD_BLOCK, r)) != NULL; r++)
        if (is_hold(r, tag, h->sequence, &count) && count > 0 && motet__member_alive(tag))
            h->any = true;
    return !h->any;
}

/* ---- deciding -------------------------------------------------------------------------------------- */

static bool is_this(uint64_t w, uint32_t sequence)
{
    return block_sequence(w) == sequence && (block_state(w) == BLOCK_USED || block_state(w) == BLOCK_DYING) &&
           block_kind(w) == ARENA_COUNTED;
}

static void decide(const void *p, uint32_t sequence)
{
    block b;
    member_tag self = motet__family_self();
    uint64_t dying = block_word(BLOCK_DYING, ARENA_COUNTED, self, sequence);
    if (!motet__arena_find(p, &b))
        return;
    uint64_t w = atomic_load_seq_cst(b.word);
    do {
        if (!is_this(w, sequence))
            return;
    } while (!atomic_cas_seq_cst(b.word, &w, dying));
    /* Whoever takes a hold from here on finds the word so. Partner of the fence in motet__arena_first_hold. */
    atomic_fence_seq_cst();
    struct holders h = {.p = p, .sequence = sequence};
    motet__members_each(look_for_hold, &h);
    /* Where a swap fails, somebody holds the block, or decides anew, later than this. */
    if (h.any) {
        atomic_cas_seq_cst(b.word, &dying, block_word(BLOCK_USED, ARENA_COUNTED, self, sequence));
        return;
    }
    uint64_t freed = block_word(BLOCK_CACHED, 0, self, sequence + 1);
    if (atomic_cas_seq_cst(b.word, &dying, freed))
        motet__arena_let_go(&b, freed);
}

void motet__arena_decide(const void *p, uint32_t sequence)
{
    guard_lock(&counting);
    decide(p, sequence);
    guard_unlock(&counting);
}

/* ---- holds ----------------------------------------------------------------------------------------- */

/* The hold is in the log. Whether it came in time. */
static bool held_in_time(const block *b, uint32_t sequence)
{
    uint64_t w = atomic_load_seq_cst(b->word);
    while (is_this(w, sequence)) {
        if (block_state(w) == BLOCK_USED)
            return true;
        /* Somebody may have looked before the hold was there. If this comes before his last step, that fails. */
        uint64_t used = block_word(BLOCK_USED, ARENA_COUNTED, motet__family_self(), sequence);
        if (atomic_cas_seq_cst(b->word, &w, used))
            return true;
    }
    return false;
}

static int hold(void *p, uint32_t sequence)
{
    block b;
    record *r = own_hold(p, sequence);
    if (r) {
        atomic_add_seq_cst(&r->state, 1);
        return 0;
    }
    r = motet__arena_first_hold(p, sequence);
    if (!r)
        return -ENOMEM;
    if (motet__arena_find(p, &b) && held_in_time(&b, sequence))
        return 0;
    end_hold(r);
    motet__record_drop(r);
    return -ESRCH;
}

int motet__arena_hold(void *p, uint32_t sequence)
{
    int64_t e = motet__family_enter();
    if (e < 0)
        return (int)e;
    guard_lock(&counting);
    int r = hold(p, sequence);
    guard_unlock(&counting);
    return r;
}

uint32_t motet__arena_sequence(const void *p)
{
    block b;
    return motet__arena_find(p, &b) ? block_sequence(atomic_load_acquire(b.word)) : 0;
}

static void drop(void *p, record *r, uint32_t sequence)
{
    uint32_t count;
    is_hold(r, motet__family_self(), sequence, &count);
    if (count > 1) {
        atomic_sub_release(&r->state, 1);
        return;
    }
    /* The record goes last: as long as it is there, who buries this process decides about the block. */
    end_hold(r);
    decide(p, sequence);
    motet__record_drop(r);
}

void motet__arena_drop(void *p)
{
    if (motet__family_enter() < 0)
        return;
    guard_lock(&counting);
    uint32_t sequence = motet__arena_sequence(p);
    record *r = own_hold(p, sequence);
    MOTET_ASSERT(r != NULL);
    drop(p, r, sequence);
    guard_unlock(&counting);
}
