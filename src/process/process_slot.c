/* SPDX-License-Identifier: MIT */
/* Slots: what a start goes through. Their states stand in process.h. */
#include "process/process.h"

#ifndef MOTET_SIM

#include <limits.h>

static control *the_control(void) { return motet__process.control; }

bool motet__slot_step(slot *s, uint64_t from, uint64_t to, bool wake)
{
    if (!atomic_cas_seq_cst(&s->word, &from, to))
        return false;
    /* Who sleeps on the old count looks again, also if this process dies before it wakes anybody: a death wakes all. */
    atomic_add_seq_cst(&s->changed, 1);
    if (wake)
        motet__family_wake(&s->changed, INT_MAX);
    return true;
}

static bool try_claim(slot *s, member_tag self, uint64_t *ret_turn)
{
    uint64_t word = atomic_load_relaxed(&s->word);
    if (slot_state_of(word) != SLOT_FREE)
        return false;
    uint64_t turn = (slot_turn_of(word) + 1) & SLOT_TURN_MASK;
    if (!atomic_cas_acq_rel(&s->word, &word, slot_word(SLOT_CLAIMED, self, turn)))
        return false;
    atomic_store_relaxed(&s->starter, self);
    atomic_store_relaxed(&s->who, 0);
    atomic_store_relaxed(&s->returned, slot_returned(0, turn));
    atomic_store_relaxed(&s->said, slot_word(SLOT_CLAIMED, 0, turn));
    *ret_turn = turn;
    return true;
}

slot *motet__slot_claim(uint64_t *ret_turn)
{
    control *c = the_control();
    member_tag self = motet__family_self(), was = atomic_load_acquire(&c->starts[tag_place(self)]);
    if (was != self) {
        motet__slots_sweep(was); /* of who was here before, if nobody came to it */
        /* Before the first claim, so that a sweep after this process's death looks for it. */
        atomic_store_release(&c->starts[tag_place(self)], self);
    }
    for (uint32_t i = 0; i < SLOTS; i++) {
        uint32_t used = atomic_load_acquire(&c->slots_used);
        while (used <= i && !atomic_cas_acq_rel(&c->slots_used, &used, i + 1)) {}
        if (try_claim(&c->slots[i], self, ret_turn))
            return &c->slots[i];
    }
    return NULL;
}

void motet__slot_free(slot *s, uint64_t turn)
{
    uint64_t word = atomic_load_acquire(&s->word);
    while (slot_turn_of(word) == turn && slot_state_of(word) != SLOT_FREE)
        if (atomic_cas_acq_rel(&s->word, &word, slot_word(SLOT_FREE, 0, turn)))
            return;
}

/* Of a slot that no watcher works at, or will. */
static bool is_left_behind(const slot *s, uint64_t word)
{
    switch (slot_state_of(word)) {
    case SLOT_CLAIMED:
    case SLOT_ASKED: return !motet__member_alive(slot_value_of(word));
    case SLOT_ENDED:
    case SLOT_FAILED: return !motet__member_alive(atomic_load_relaxed(&s->starter));
    default: return false;
    }
}

void motet__slots_sweep(member_tag dead)
{
    control *c = the_control();
    uint32_t place = tag_place(dead);
    uint32_t claimer = dead;
    if (!dead || atomic_load_acquire(&c->starts[place]) != dead)
        return;
    uint32_t n = atomic_load_acquire(&c->slots_used);
    for (uint32_t i = 0; i < n; i++) {
        slot *s = &c->slots[i];
        uint64_t word = atomic_load_seq_cst(&s->word);
        if (is_left_behind(s, word))
            /* The word as it was seen: if it has changed, whoever did that looks after it. */
            atomic_cas_acq_rel(&s->word, &word, slot_word(SLOT_FREE, 0, slot_turn_of(word)));
    }
    /* Last, so that who finishes a sweep that was cut off does it all. */
    atomic_cas_acq_rel(&c->starts[place], &claimer, 0);
}

/* FREE, or another's by now: it is buried. */
static bool is_buried(member_tag tag)
{
    uint64_t word = atomic_load_acquire(&motet__family->members[tag_place(tag)].state);
    return member_word_generation(word) != tag_generation(tag) || member_word_state(word) == MEMBER_FREE;
}

void motet__process_bury(member_tag dead)
{
    if (!dead)
        return;
    if (!is_buried(dead))
        motet__member_bury(dead);
    if (the_control()) /* also when that was done: who did it may have died of it */
        motet__slots_sweep(dead);
}

/* To a word that only the starter steps on from. */
static void last_step(slot *s, uint64_t word, uint64_t to)
{
    if (!motet__slot_step(s, word, to, true))
        return;
    /* seq_cst against who buries the starter and then sweeps: one of the two sees the other. */
    if (!motet__member_alive(atomic_load_relaxed(&s->starter)))
        atomic_cas_acq_rel(&s->word, &to, slot_word(SLOT_FREE, 0, slot_turn_of(to)));
}

void motet__slot_fail(slot *s, uint64_t word, int code)
{
    last_step(s, word, slot_word(SLOT_FAILED, code_to_value(code), slot_turn_of(word)));
}

void motet__slot_end(slot *s, uint64_t word, member_tag tag, int code)
{
    /* First, so that who joins the process finds it done and doesn't come in the way. */
    motet__process_bury(tag);
    last_step(s, word, slot_word(SLOT_ENDED, code_to_value(code), slot_turn_of(word)));
}

#endif
