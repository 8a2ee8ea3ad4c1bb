/* SPDX-License-Identifier: MIT */
/* The ring: see ring.h for the states and the invariants. */
#include "kill/ring.h"

#include <errno.h>
#include <string.h>

/* ---- items ----------------------------------------------------------------------------------------- */

ring_item ring_item_of(uint64_t number)
{
    ring_item item = {{number}};
    for (int i = 1; i < RING_ITEM_WORDS; i++)
        item.words[i] = (item.words[i - 1] + 1) * UINT64_C(0x9E3779B97F4A7C15);
    return item;
}

bool ring_item_whole(const ring_item *item)
{
    ring_item whole = ring_item_of(item->words[0]);
    return memcmp(&whole, item, sizeof whole) == 0;
}

/* ---- members --------------------------------------------------------------------------------------- */

void ring_init(ring *r, unsigned capacity)
{
    memset(r, 0, sizeof *r);
    while (1u << r->shift < capacity)
        r->shift++;
}

int ring_join(ring *r, ring_self *ret)
{
    for (uint32_t i = 0; i < RING_MEMBERS_MAX; i++) {
        uint32_t was = atomic_load_relaxed(&r->members[i]);
        uint32_t generation = (was >> 2) % 0xffff + 1;
        /* Acquire: of what the recovery of the generation before has done. */
        if ((was & 3) == MEMBER_FREE && atomic_cas_acquire(&r->members[i], &was, member_of(MEMBER_LIVE, generation))) {
            *ret = (ring_self){i, generation};
            return 0;
        }
    }
    return -EAGAIN;
}

void ring_leave(ring *r, ring_self self)
{
    atomic_store_release(&r->members[self.member], member_of(MEMBER_FREE, self.generation)); /* partner: join */
}

void (*ring_linger)(void);

static void linger(void)
{
    if (ring_linger)
        ring_linger();
}

/* ---- put and get ----------------------------------------------------------------------------------- */

static uint64_t later(uint64_t p, const uint64_t *hint)
{
    uint64_t h = atomic_load_relaxed(hint);
    return h > p ? h : p + 1;
}

/* Passes over what a dead writer left. Whoever comes to it in its turn may. Release: nothing to publish but the word. */
static void pass(ring_slot *s, uint64_t w)
{
    (void)atomic_cas_release(&s->word, &w, word_of(RING_FREE, ring_nobody, word_losses(w), word_lap(w) + 1));
}

/* What stands where position p wants to go, a lap behind it: 0 when it was only a dead one's mark and is gone. */
static int blocked(ring_slot *s, uint64_t w)
{
    if (word_state(w) == RING_DEAD) {
        pass(s, w);
        return 0;
    }
    return word_state(w) == RING_FULL ? -EAGAIN : -EBUSY;
}

int ring_put(ring *r, ring_self self, const ring_item *item, uint64_t *ret_position)
{
    uint64_t p = atomic_load_relaxed(&r->tail);
    for (;;) {
        ring_slot *s = &r->slots[p & ((1u << r->shift) - 1)];
        uint32_t lap = (uint32_t)(p >> r->shift);
        uint64_t w = atomic_load_relaxed(&s->word); /* relaxed: the claim acquires */
        int32_t ahead = (int32_t)(word_lap(w) - lap);
        if (ahead < 0) {
            int e = blocked(s, w);
            if (e < 0)
                return e;
        } else if (ahead > 0 || word_state(w) != RING_FREE) {
            ring_advance(&r->tail, p);
            p = later(p, &r->tail);
        } else if (atomic_cas_acquire(&s->word, &w, word_of(RING_WRITING, self, word_losses(w), lap))) {
            /* Acquired: whoever read the item of the lap before is done with it (partner: get's release). */
            ring_advance(&r->tail, p);
            linger();
            s->item = *item;
            /* Partner: get's claim; it publishes the item. */
            atomic_store_release(&s->word, word_of(RING_FULL, ring_nobody, word_losses(w), lap));
            if (ret_position)
                *ret_position = p;
            return 0;
        }
    }
}

int ring_get(ring *r, ring_self self, ring_item *ret, uint64_t *ret_position)
{
    uint64_t p = atomic_load_relaxed(&r->head);
    for (;;) {
        ring_slot *s = &r->slots[p & ((1u << r->shift) - 1)];
        uint32_t lap = (uint32_t)(p >> r->shift);
        uint64_t w = atomic_load_relaxed(&s->word); /* relaxed: the claim acquires */
        enum ring_state state = word_state(w);
        int32_t ahead = (int32_t)(word_lap(w) - lap);
        if (ahead < 0) {
            return -EAGAIN; /* all before p are taken, and p can't be claimed: somebody still reads the lap before */
        } else if (ahead > 0 || state == RING_READING) {
            ring_advance(&r->head, p);
            p = later(p, &r->head);
        } else if (state == RING_DEAD) {
            pass(s, w);
        } else if (state != RING_FULL) {
            return state == RING_FREE ? -EAGAIN : -EBUSY;
        } else if (atomic_cas_acquire(&s->word, &w, word_of(RING_READING, self, word_losses(w), lap))) {
            ring_advance(&r->head, p);
            linger();
            *ret = s->item;
            if (ret_position)
                *ret_position = p;
            /* Partner: put's claim; the item may be written over. */
            atomic_store_release(&s->word, word_of(RING_FREE, ring_nobody, word_losses(w), lap + 1));
            return 0;
        }
    }
}

/* ---- recovery -------------------------------------------------------------------------------------- */

static bool is_of(uint64_t w, ring_self who)
{
    ring_self owner = word_owner(w);
    return owner.member == who.member && owner.generation == who.generation;
}

/* What the word of a dead owner becomes. */
static uint64_t after_death(uint64_t w)
{
    uint32_t losses = word_losses(w);
    if (word_state(w) == RING_WRITING)
        return word_of(RING_DEAD, ring_nobody, losses, word_lap(w));
    return word_of(RING_FREE, ring_nobody, losses + (losses < 0xff), word_lap(w) + 1);
}

void ring_recover(ring *r, ring_self dead)
{
    uint32_t *member = &r->members[dead.member];
    uint32_t was = member_of(MEMBER_LIVE, dead.generation);
    if (!atomic_cas_acquire(member, &was, member_of(MEMBER_DEAD, dead.generation)) &&
        was != member_of(MEMBER_DEAD, dead.generation))
        return; /* over: its place is free, or another's */
    /* The dead claims nothing any more, so one sweep finds all. A second recoverer may be at it: then the swap fails. */
    for (unsigned i = 0; i < 1u << r->shift; i++) {
        uint64_t w = atomic_load_relaxed(&r->slots[i].word);
        if (!is_of(w, dead))
            continue;
        linger();
        (void)atomic_cas_acq_rel(&r->slots[i].word, &w, after_death(w)); /* partner: put's claim */
    }
    linger();
    /* The last step: only now has the name no meaning any more. Partner: join. */
    was = member_of(MEMBER_DEAD, dead.generation);
    (void)atomic_cas_acq_rel(member, &was, member_of(MEMBER_FREE, dead.generation));
}

unsigned ring_losses(const ring *r)
{
    unsigned losses = 0;
    for (unsigned i = 0; i < 1u << r->shift; i++)
        losses += word_losses(atomic_load_relaxed(&r->slots[i].word));
    return losses;
}

/* ---- the invariants -------------------------------------------------------------------------------- */

/* The position that slot i will be claimed for next, and the one that will be taken from it next. */
static uint64_t next_claim(const ring *r, uint32_t i)
{
    uint64_t w = r->slots[i].word;
    return (((uint64_t)word_lap(w) + (word_state(w) != RING_FREE)) << r->shift) + i;
}

static uint64_t next_take(const ring *r, uint32_t i)
{
    uint64_t w = r->slots[i].word;
    return (((uint64_t)word_lap(w) + (word_state(w) == RING_READING)) << r->shift) + i;
}

/* The least of them is where it goes on; false unless the others follow it without a gap. */
static bool in_order(const ring *r, uint64_t (*next)(const ring *, uint32_t), uint64_t *ret)
{
    uint32_t capacity = 1u << r->shift;
    *ret = UINT64_MAX;
    for (uint32_t i = 0; i < capacity; i++)
        *ret = next(r, i) < *ret ? next(r, i) : *ret;
    for (uint32_t i = 0; i < capacity; i++)
        if (next(r, i) >= *ret + capacity)
            return false;
    return true;
}

static const char *check_slot(const ring *r, const ring_slot *s)
{
    enum ring_state state = word_state(s->word);
    ring_self owner = word_owner(s->word);
    if (state > RING_DEAD)
        return "a slot is in no state";
    if (state == RING_FULL && !ring_item_whole(&s->item))
        return "I4: an item is torn";
    if (state != RING_WRITING && state != RING_READING)
        return is_of(s->word, ring_nobody) ? NULL : "I5: a slot that is nobody's names somebody";
    if (owner.generation == 0 || owner.member >= RING_MEMBERS_MAX)
        return "I5: a slot is claimed, and by nobody";
    uint32_t m = r->members[owner.member];
    return m >> 2 == owner.generation && (m & 3) != MEMBER_FREE ? NULL : "I5: a slot is claimed by one who is gone";
}

const char *ring_check(const ring *r)
{
    uint64_t claimed, taken;
    for (uint32_t i = 0; i < 1u << r->shift; i++) {
        const char *why = check_slot(r, &r->slots[i]);
        if (why)
            return why;
    }
    if (!in_order(r, next_claim, &claimed))
        return "I1: positions are not claimed in order";
    if (!in_order(r, next_take, &taken))
        return "I2: positions are not taken in order";
    if (taken > claimed || claimed - taken > 1u << r->shift)
        return "I2: more are taken than are there";
    if (r->head > taken)
        return "I3: head is beyond what is taken";
    return r->tail > claimed ? "I3: tail is beyond what is claimed" : NULL;
}

unsigned ring_count(const ring *r)
{
    uint64_t claimed, taken;
    in_order(r, next_claim, &claimed);
    in_order(r, next_take, &taken);
    return (unsigned)(claimed - taken);
}
