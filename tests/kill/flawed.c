/* SPDX-License-Identifier: MIT */
/* The ring done wrong: see flawed.h. Most would not even do among the living. */
#include "kill/flawed.h"

#include <errno.h>

/* The slot that is next to be put to, at *ret_p; NULL: full. */
static ring_slot *next_free(ring *r, uint64_t *ret_p)
{
    for (uint64_t p = atomic_load_relaxed(&r->tail);; p++) {
        ring_slot *s = &r->slots[p & ((1u << r->shift) - 1)];
        uint32_t lap = (uint32_t)(p >> r->shift);
        *ret_p = p;
        if (word_lap(s->word) == lap && word_state(s->word) == RING_FREE)
            return s;
        if ((int32_t)(word_lap(s->word) - lap) < 0)
            return NULL;
    }
}

/* The claim and the name in two steps: between them the slot is nobody's. */
int flawed_put_owner_late(ring *r, ring_self self, const ring_item *item, uint64_t *ret_position)
{
    uint64_t p;
    ring_slot *s = next_free(r, &p);
    if (!s)
        return -EAGAIN;
    uint64_t w = s->word;
    uint32_t lap = word_lap(w), losses = word_losses(w);
    if (!atomic_cas_acquire(&s->word, &w, word_of(RING_WRITING, ring_nobody, losses, lap)))
        return -EBUSY;
    atomic_store_relaxed(&s->word, word_of(RING_WRITING, self, losses, lap));
    ring_advance(&r->tail, p);
    s->item = *item;
    atomic_store_release(&s->word, word_of(RING_FULL, ring_nobody, losses, lap));
    return 0;
}

/* Published before it is written. */
int flawed_put_full_early(ring *r, ring_self self, const ring_item *item, uint64_t *ret_position)
{
    uint64_t p;
    ring_slot *s = next_free(r, &p);
    if (!s)
        return -EAGAIN;
    uint64_t w = s->word;
    atomic_store_release(&s->word, word_of(RING_FULL, ring_nobody, word_losses(w), word_lap(w)));
    ring_advance(&r->tail, p);
    for (int i = 0; i < RING_ITEM_WORDS; i++)
        atomic_store_relaxed(&s->item.words[i], item->words[i]);
    return 0;
}

/* A ticket from the tail first, as a ring for threads does it: who dies with one leaves a hole that nobody knows of. */
int flawed_put_ticket(ring *r, ring_self self, const ring_item *item, uint64_t *ret_position)
{
    uint64_t p = atomic_add_relaxed(&r->tail, 1);
    ring_slot *s = &r->slots[p & ((1u << r->shift) - 1)];
    uint64_t w = s->word;
    if (word_state(w) != RING_FREE)
        return -EBUSY;
    atomic_store_relaxed(&s->word, word_of(RING_WRITING, self, word_losses(w), word_lap(w)));
    s->item = *item;
    atomic_store_release(&s->word, word_of(RING_FULL, ring_nobody, word_losses(w), word_lap(w)));
    return 0;
}

/* The claim without a compare: two who see the same free slot both have it. Alone it is right. */
int flawed_put_without_compare(ring *r, ring_self self, const ring_item *item, uint64_t *ret_position)
{
    uint64_t p;
    ring_slot *s = next_free(r, &p);
    if (!s)
        return -EAGAIN;
    uint64_t w = s->word;
    atomic_store_seq_cst(&s->word, word_of(RING_WRITING, self, word_losses(w), word_lap(w)));
    ring_advance(&r->tail, p);
    s->item = *item;
    atomic_store_release(&s->word, word_of(RING_FULL, ring_nobody, word_losses(w), word_lap(w)));
    return 0;
}

/* The hint moves before the slot is claimed. */
int flawed_get_hint_first(ring *r, ring_self self, ring_item *ret, uint64_t *ret_position)
{
    uint64_t p = atomic_load_relaxed(&r->head);
    ring_slot *s = &r->slots[p & ((1u << r->shift) - 1)];
    if (word_state(s->word) != RING_FULL)
        return -EAGAIN;
    atomic_store_relaxed(&r->head, p + 1);
    return ring_get(r, self, ret, ret_position) == 0 ? 0 : -EAGAIN;
}

/* The slot is free before its item has been copied: lost, and nobody says so. */
int flawed_get_frees_first(ring *r, ring_self self, ring_item *ret, uint64_t *ret_position)
{
    uint64_t p = atomic_load_relaxed(&r->head);
    ring_slot *s = &r->slots[p & ((1u << r->shift) - 1)];
    uint64_t w = s->word;
    if (word_state(w) != RING_FULL)
        return -EAGAIN;
    atomic_store_release(&s->word, word_of(RING_FREE, ring_nobody, word_losses(w), word_lap(w) + 1));
    for (int i = 0; i < RING_ITEM_WORDS; i++)
        ret->words[i] = atomic_load_relaxed(&s->item.words[i]);
    ring_advance(&r->head, p);
    return 0;
}

/* Takes a word of the lap before for one of a later lap: that the slot ahead is still being read looks like an item that
 * was taken. */
int flawed_get_blind_for_laps(ring *r, ring_self self, ring_item *ret, uint64_t *ret_position)
{
    uint64_t p = atomic_load_relaxed(&r->head);
    for (;; ring_advance(&r->head, p), p++) {
        ring_slot *s = &r->slots[p & ((1u << r->shift) - 1)];
        uint64_t w = s->word;
        if (word_lap(w) != (uint32_t)(p >> r->shift) || word_state(w) == RING_READING)
            continue;
        if (word_state(w) == RING_DEAD || word_state(w) == RING_FULL)
            break;
        return word_state(w) == RING_FREE ? -EAGAIN : -EBUSY;
    }
    return ring_get(r, self, ret, ret_position);
}

/* ---- recoveries ------------------------------------------------------------------------------------ */

static bool is_of(uint64_t w, ring_self who)
{
    return word_owner(w).member == who.member && word_owner(w).generation == who.generation;
}

static void free_place(ring *r, ring_self dead)
{
    atomic_store_seq_cst(&r->members[dead.member], member_of(MEMBER_FREE, dead.generation));
}

/* Frees the reader's slot, and then counts the loss: it dies in between, and the loss was never counted. */
void flawed_recover_counts_later(ring *r, ring_self dead)
{
    for (unsigned i = 0; i < 1u << r->shift; i++) {
        uint64_t *word = &r->slots[i].word, w = *word;
        if (!is_of(w, dead) || word_state(w) != RING_READING)
            continue;
        atomic_store_seq_cst(word, word_of(RING_FREE, ring_nobody, word_losses(w), word_lap(w) + 1));
        atomic_store_seq_cst(word, word_of(RING_FREE, ring_nobody, word_losses(w) + 1, word_lap(w) + 1));
    }
    ring_recover(r, dead);
}

/* Frees the place first: it dies in between, and to whoever comes next all has been done. */
void flawed_recover_place_first(ring *r, ring_self dead)
{
    if (r->members[dead.member] != member_of(MEMBER_LIVE, dead.generation))
        return;
    free_place(r, dead);
    for (unsigned i = 0; i < 1u << r->shift; i++) {
        uint64_t *word = &r->slots[i].word, w = *word;
        if (!is_of(w, dead))
            continue;
        if (word_state(w) == RING_WRITING)
            atomic_store_seq_cst(word, word_of(RING_DEAD, ring_nobody, word_losses(w), word_lap(w)));
        else
            atomic_store_seq_cst(word, word_of(RING_FREE, ring_nobody, word_losses(w) + 1, word_lap(w) + 1));
    }
}

/* Sees to writers only. */
void flawed_recover_forgets_readers(ring *r, ring_self dead)
{
    for (unsigned i = 0; i < 1u << r->shift; i++) {
        uint64_t *word = &r->slots[i].word, w = *word;
        if (is_of(w, dead) && word_state(w) == RING_WRITING)
            atomic_store_seq_cst(word, word_of(RING_DEAD, ring_nobody, word_losses(w), word_lap(w)));
    }
    free_place(r, dead);
}

/* Takes what a dead writer began for finished. */
void flawed_recover_delivers(ring *r, ring_self dead)
{
    for (unsigned i = 0; i < 1u << r->shift; i++) {
        uint64_t *word = &r->slots[i].word, w = *word;
        if (is_of(w, dead) && word_state(w) == RING_WRITING)
            atomic_store_seq_cst(word, word_of(RING_FULL, ring_nobody, word_losses(w), word_lap(w)));
    }
    ring_recover(r, dead);
}
