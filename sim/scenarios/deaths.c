/* SPDX-License-Identifier: MIT */
/* Deaths of participants: a small shared ring whose users, and whose recoverer, may die at any step.
 *
 * A slot's word says what it is: FREE; WRITING or READING, with who does it in the same word; FULL. The item lies beside
 * it, in two halves. Whoever claims a slot is named by the very claim, so that between two steps nothing is owned by
 * nobody. Recovery of a dead one looks at every slot: what it was WRITING was never put, what it was READING was never
 * got. Each mend is one compare-and-swap, so a recoverer may die as well, and the next begins anew.
 *
 * Promised: nothing torn, nothing twice; what was put is got, but for the one operation that the dead one was in. */
#include "help.h"

#include "base/atomic.h"

enum { FREE, FULL, WRITING, READING };
enum { SLOTS = 2, ITEMS = 4 };
#define CLAIM(what, owner) ((uint32_t)(what) | (uint32_t)(owner) << 8)

typedef struct slot {
    uint32_t word;
    int half, other_half;
} slot;

enum { NO_NAME = 1, EARLY_FULL = 2, EARLY_FREE = 4, BLIND_MEND = 8 };

static slot slots[SLOTS];
static unsigned mistakes;
static uint32_t put_count[ITEMS], got_count[ITEMS]; /* of operations that came to their end */
static int first;                                   /* thread */

static uint32_t claim_of(int what, int owner) { return CLAIM(what, mistakes & NO_NAME ? 0 : owner); }

static bool try_put(int owner, int item)
{
    for (int i = 0; i < SLOTS; i++) {
        uint32_t was = FREE;
        if (!atomic_cas_acquire(&slots[i].word, &was, claim_of(WRITING, owner)))
            continue;
        if (mistakes & EARLY_FULL)
            atomic_store_release(&slots[i].word, FULL);
        slots[i].half = item;
        atomic_load_relaxed(&slots[i].word); /* a step at which it may die */
        slots[i].other_half = item;
        if (!(mistakes & EARLY_FULL))
            atomic_store_release(&slots[i].word, FULL);
        return true;
    }
    return false;
}

static int try_get(int owner)
{
    for (int i = 0; i < SLOTS; i++) {
        uint32_t was = FULL;
        if (!atomic_cas_acquire(&slots[i].word, &was, claim_of(READING, owner)))
            continue;
        if (mistakes & EARLY_FREE)
            atomic_store_release(&slots[i].word, FREE);
        int half = slots[i].half;
        atomic_load_relaxed(&slots[i].word);
        int other = slots[i].other_half;
        if (!(mistakes & EARLY_FREE))
            atomic_store_release(&slots[i].word, FREE);
        SIM_CHECK_EQ(half, other);
        return half;
    }
    return 0;
}

static void mend(int dead)
{
    for (int i = 0; i < SLOTS; i++) {
        uint32_t word = atomic_load_acquire(&slots[i].word);
        if (mistakes & BLIND_MEND) {
            if (word == claim_of(WRITING, dead) || word == claim_of(READING, dead))
                atomic_store_release(&slots[i].word, FREE);
        } else if (word == claim_of(WRITING, dead)) {
            atomic_cas_acq_rel(&slots[i].word, &word, FREE);
        } else if (word == claim_of(READING, dead)) {
            atomic_cas_acq_rel(&slots[i].word, &word, FULL);
        }
    }
}

static void put(int owner, int item)
{
    if (try_put(owner, item))
        atomic_add_relaxed(&put_count[item], 1);
}

static void get(int owner)
{
    int item = try_get(owner);
    if (item)
        atomic_add_relaxed(&got_count[item], 1);
}

static void user(void *arg)
{
    int id = (int)(intptr_t)arg;
    sim_mortal(id == first);
    put(id, id);
    get(id);
    sim_mortal(false);
}

static void recoverer(void *arg)
{
    sim_mortal(true);
    mend(first);
    sim_mortal(false);
}

/* How many slots the dead one was reading: their items are not lost. */
static int reads_of_dead(void)
{
    int n = 0;
    for (int i = 0; i < SLOTS; i++)
        n += sim_peep(&slots[i].word) == claim_of(READING, first);
    return n;
}

/* Some use the ring, the first may die; then its recoverer may die. */
static void die_and_recover(int users, unsigned with_mistakes)
{
    int lost = 0, may_be_lost = 0;
    mistakes = with_mistakes;
    first = 1;
    for (int i = 1; i <= users; i++)
        sim_spawn(user, (void *)(intptr_t)i, i == first ? "mortal" : "other");
    sim_join(first);
    if (sim_dead(first)) {
        may_be_lost = 1 - reads_of_dead();
        int r = sim_spawn(recoverer, NULL, "recoverer");
        sim_join(r);
        if (sim_dead(r))
            mend(first);
    }
    sim_join_all();
    for (int i = 0; i < SLOTS; i++)
        get(0);
    for (int i = 0; i < SLOTS; i++)
        SIM_CHECK_EQ(slots[i].word, FREE);
    for (int i = 1; i < ITEMS; i++) {
        SIM_CHECK(got_count[i] <= 1);
        lost += put_count[i] > got_count[i];
    }
    SIM_CHECK(lost <= may_be_lost);
}

SIM_SCENARIO(ring_deaths, .about = "a user dies at any step, then its recoverer", .faults = SIM_DEATHS)
{
    die_and_recover(2, 0);
}

SIM_SCENARIO(ring_deaths_three, .about = "the same with two more users", .faults = SIM_DEATHS)
{
    die_and_recover(3, 0);
}

SIM_SCENARIO(broken_ring_no_name, .about = "a claim that does not say whose it is", .faults = SIM_DEATHS,
             .must_fail = true)
{
    die_and_recover(3, NO_NAME);
}

SIM_SCENARIO(broken_ring_early_full, .about = "a slot is full before the item is whole", .faults = SIM_DEATHS,
             .must_fail = true)
{
    die_and_recover(2, EARLY_FULL);
}

SIM_SCENARIO(broken_ring_early_free, .about = "a slot is free before the item is read", .faults = SIM_DEATHS,
             .must_fail = true)
{
    die_and_recover(2, EARLY_FREE);
}

SIM_SCENARIO(broken_ring_blind_mend, .about = "recovery throws away what was only being read", .faults = SIM_DEATHS,
             .must_fail = true)
{
    die_and_recover(2, BLIND_MEND);
}
