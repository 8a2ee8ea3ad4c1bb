/* SPDX-License-Identifier: MIT */
/* Members: their places, their lives and deaths, their logs. States and invariants: family.h.
 *
 * Burying, in steps that can each be done twice:
 *
 *     LIVE --mark--> DEAD(TO TELL) --`deaths` counted, all woken--> DEAD(TOLD) --recover--> FREE
 *
 * The news comes first, since others wait for it; it is told again if the teller died before it was noted. What follows is
 * done by one at a time, who holds `recovering`: blocks, places that the dead one was claiming, its log, its place.
 *
 * Nobody waits for that one: who buries may be the only one who would ever mark it dead, should it die there. He leaves what he
 * has marked to it: before it goes it looks once more whether anything is DEAD. If it dies, that is done by who buries it. */
#include "base/panic.h"
#include "base/sys_member.h"
#include "family/arena.h"
#include "family/claim.h"

#include <limits.h>
#include <pthread.h> /* seam: pthread_atfork has no other home */

/* Places are used in turn among so many, or all that are in use if they are more: who looks through all members looks
 * through no more than that. */
#ifdef MOTET_SIM
enum { PLACES_IN_TURN = 4 };
#else
enum { PLACES_IN_TURN = 128 };
#endif

#define TO_TELL ((member_tag)0) /* `by` of a DEAD place */
#define TOLD    ((member_tag)1)

#ifdef MOTET_SIM
_Thread_local member_tag motet__family_tag;
#else
member_tag motet__family_tag;
#endif
int (*motet__family_joiner)(void);

static member *member_at(uint32_t place) { return &motet__family->members[place]; }

static uint32_t places_used(void) { return atomic_load_acquire(&motet__family->places_used); }

/* ---- places ---------------------------------------------------------------------------------------- */

/* So that whoever looks through all places finds the one about to be claimed. */
static void reach(uint32_t place)
{
    uint32_t used = places_used();
    while (used <= place && !atomic_cas_acq_rel(&motet__family->places_used, &used, place + 1)) {}
}

/* 0, or the tag of the place, now JOINING; -EAGAIN somebody has it; -ENOMEM. */
static int64_t claim_place(uint32_t place)
{
    member *m = member_at(place);
    if (place >= places_used()) {
        /* Its first memory: until now not even its state could be looked at. */
        int e = motet__member_commit(place);
        if (e < 0)
            return e;
        reach(place);
    }
    uint64_t word = atomic_load_acquire(&m->state);
    if (member_word_state(word) != MEMBER_FREE)
        return -EAGAIN;
    uint32_t generation = (member_word_generation(word) + 1) & 0xffff;
    generation += generation == 0;
    member_tag self = motet__family_self();
    uint64_t joining = self ? member_word(MEMBER_JOINING, generation, self)
                            : member_word_of_pid(MEMBER_JOINING, generation, sys_pid());
    /* Acquire: what its last member's burial left. */
    if (!atomic_cas_acq_rel(&m->state, &word, joining))
        return -EAGAIN;
    return tag_of(place, generation);
}

/* Tries the places from `from` to `to`, beginning somewhere in the middle. */
static int64_t claim_among(uint32_t from, uint32_t to, uint32_t begin)
{
    for (uint32_t i = 0; i < to - from; i++) {
        uint32_t place = from + (begin + i) % (to - from);
        int64_t tag = claim_place(place);
        if (tag == -EAGAIN)
            continue;
        if (tag > 0)
            atomic_store_relaxed(&motet__family->place_next, place + 1); /* a hint */
        return tag;
    }
    return -EAGAIN;
}

int64_t motet__member_claim(void)
{
    const family *f = motet__family;
    uint32_t used = places_used();
    uint32_t turn = used > PLACES_IN_TURN ? used : PLACES_IN_TURN;
    if (turn > f->places_max)
        turn = f->places_max;
    uint32_t next = atomic_load_relaxed(&f->place_next);
    int64_t tag = claim_among(1, turn, next > 0 && next < turn ? next - 1 : 0);
    return tag == -EAGAIN && turn < f->places_max ? claim_among(turn, f->places_max, 0) : tag;
}

void motet__member_unclaim(member_tag tag)
{
    member *m = member_at(tag_place(tag));
    uint64_t word = atomic_load_acquire(&m->state);
    if (member_word_state(word) == MEMBER_JOINING && member_word_generation(word) == tag_generation(tag))
        /* If it fails, somebody became the member, or gave the place back. */
        atomic_cas_acq_rel(&m->state, &word, member_word(MEMBER_FREE, tag_generation(tag), 0));
}

void motet__member_unclaim_gone(bool (*gone)(int pid))
{
    uint32_t n = places_used();
    for (uint32_t place = 1; place < n; place++) {
        uint64_t word = atomic_load_acquire(&member_at(place)->state);
        if (member_word_state(word) == MEMBER_JOINING && member_word_pid(word) && gone(member_word_pid(word)))
            motet__member_unclaim(tag_of(place, member_word_generation(word)));
    }
}

#ifndef MOTET_SIM
static void in_child(void)
{
    atomic_store_relaxed(&motet__family_tag, 0);
    motet__arena_forked();
}

/* The handler is in place from the first time on that this process is a member, and in all that are forked from it. */
static void keep_from_children(void)
{
    static uint32_t registered;
    if (!atomic_exchange_acq_rel(&registered, 1))
        MOTET_ASSERT(pthread_atfork(NULL, NULL, in_child) == 0); /* seam: no system call */
}
#else
static void keep_from_children(void) {}
#endif

static int become(member_tag tag, uint64_t started)
{
    member *m = member_at(tag_place(tag));
    uint64_t word = atomic_load_acquire(&m->state);
    if (member_word_state(word) != MEMBER_JOINING || member_word_generation(word) != tag_generation(tag))
        return -ESRCH;
    keep_from_children();
    /* Nobody else writes these: the place is claimed for this process. */
    atomic_store_relaxed(&m->pid, sys_pid());
    atomic_store_relaxed(&m->started, started);
    atomic_store_relaxed(&m->parent, member_word_by(word));
    /* Publishes them. */
    if (!atomic_cas_acq_rel(&m->state, &word, member_word(MEMBER_LIVE, tag_generation(tag), 0)))
        return -ESRCH;
    atomic_store_relaxed(&motet__family_tag, tag);
    return 0;
}

int motet__member_become(member_tag tag) { return become(tag, sys_started()); }

int motet__member_become_child(member_tag tag) { return become(tag, 0); }

int64_t motet__family_enter(void)
{
    member_tag self = motet__family_self();
    if (likely(self))
        return self;
    if (!motet__family || !motet__family_joiner || motet__family_joiner() < 0)
        return -EPERM;
    self = motet__family_self();
    return self ? self : -EPERM;
}

static bool lives(const member *m, uint32_t generation)
{
    uint64_t word = atomic_load_seq_cst(&m->state);
    return member_word_state(word) == MEMBER_LIVE && member_word_generation(word) == generation;
}

bool motet__member_alive(member_tag tag)
{
    uint32_t place = tag_place(tag);
    return place > 0 && place < places_used() && lives(member_at(place), tag_generation(tag));
}

void motet__members_each(bool (*each)(member *m, member_tag tag, void *arg), void *arg)
{
    uint32_t n = places_used();
    for (uint32_t place = 1; place < n; place++) {
        member *m = member_at(place);
        uint64_t word = atomic_load_seq_cst(&m->state);
        if (member_word_state(word) == MEMBER_LIVE && !each(m, tag_of(place, member_word_generation(word)), arg))
            return;
    }
}

/* ---- deaths ---------------------------------------------------------------------------------------- */

/* Whose state is DEAD, and not yet told: counts the death, and wakes everybody that sleeps on anything shared. */
static void tell(member *m, uint64_t word)
{
    /* seq_cst: behind the state, which whoever sees the new count must see. */
    atomic_add_seq_cst(&motet__family->deaths, 1);
    sys_futex_wake_shared(&motet__family->deaths, INT_MAX);
    /* If it fails another has told it too. */
    atomic_cas_acq_rel(&m->state, &word, member_word(MEMBER_DEAD, member_word_generation(word), TOLD));
}

static void wipe(record *r)
{
    atomic_store_relaxed(&r->state, 0);
    atomic_store_relaxed(&r->word, 0);
    atomic_store_relaxed(&r->since, 0);
    atomic_store_relaxed(&r->what, 0);
    /* Publishes the above to who takes the record next. */
    atomic_store_release(&r->object, 0);
}

static void empty_log(member *m)
{
    uint32_t n = atomic_load_acquire(&m->records_used);
    for (uint32_t i = 0; i < n; i++)
        wipe(&m->records[i]);
    atomic_store_relaxed(&m->records_used, 0);
}

/* Gives back the places that `tag` claimed and nobody became. */
static void give_places_back(member_tag tag)
{
    uint32_t n = places_used();
    for (uint32_t place = 1; place < n; place++) {
        uint64_t word = atomic_load_acquire(&member_at(place)->state);
        if (member_word_state(word) == MEMBER_JOINING && member_word_by(word) == tag)
            motet__member_unclaim(tag_of(place, member_word_generation(word)));
    }
}

/* Holding `recovering`. */
static void recover(uint32_t place)
{
    member *m = member_at(place);
    uint64_t word = atomic_load_acquire(&m->state);
    if (member_word_state(word) != MEMBER_DEAD)
        return;
    if (member_word_by(word) == TO_TELL)
        tell(m, word);
    uint32_t generation = member_word_generation(word);
    motet__arena_bury(tag_of(place, generation));
    give_places_back(tag_of(place, generation));
    empty_log(m);
    /* Publishes the empty log to who claims the place. Nobody else changes what is DEAD and told, but who holds the claim:
     * and another teller, from TO_TELL, who finds it told. */
    atomic_store_release(&m->state, member_word(MEMBER_FREE, generation, 0));
}

/* False: it was no living member's tag. */
static bool mark(member_tag dead)
{
    member *m = member_at(tag_place(dead));
    uint64_t word = atomic_load_acquire(&m->state);
    while (member_word_generation(word) == tag_generation(dead) && member_word_state(word) == MEMBER_LIVE) {
        uint64_t marked = member_word(MEMBER_DEAD, tag_generation(dead), TO_TELL);
        if (atomic_cas_seq_cst(&m->state, &word, marked)) {
            tell(m, marked);
            return true;
        }
    }
    return false;
}

static bool any_dead(void)
{
    uint32_t n = places_used();
    for (uint32_t place = 1; place < n; place++)
        if (member_word_state(atomic_load_seq_cst(&member_at(place)->state)) == MEMBER_DEAD)
            return true;
    return false;
}

void motet__member_bury(member_tag dead)
{
    family *f = motet__family;
    MOTET_ASSERT(dead != motet__family_self());
    if (tag_place(dead) == 0 || tag_place(dead) >= places_used())
        return;
    mark(dead);
    motet__member_unclaim(dead); /* it died before it became one */
    do {
        /* Of this and the one below, which lies between release and look: either this one sees that nobody recovers, or who
         * does so sees what was marked. */
        atomic_fence_seq_cst();
        int e = claim_acquire(&f->recovering, MOTET_NOWAIT, false);
        if (e == -ETIMEDOUT)
            return;
        MOTET_ASSERT(e >= 0);
        uint32_t n = places_used();
        for (uint32_t place = 1; place < n; place++)
            recover(place);
        claim_release(&f->recovering);
        atomic_fence_seq_cst();
    } while (any_dead());
}

/* ---- records --------------------------------------------------------------------------------------- */

record *motet__record_take(const void *object, uint32_t what)
{
    member_tag self = motet__family_self();
    member *m = member_at(tag_place(self));
    for (uint32_t i = 0; i < RECORDS_MAX; i++) {
        record *r = &m->records[i];
        uint32_t used = atomic_load_acquire(&m->records_used);
        /* Before the record is taken: who buries this member must find it. */
        while (used <= i && !atomic_cas_acq_rel(&m->records_used, &used, i + 1)) {}
        uint64_t none = 0;
        /* Acquire: the zeroes of who dropped it. */
        if (atomic_load_relaxed(&r->object) || !atomic_cas_acq_rel(&r->object, &none, (uint64_t)(uintptr_t)object))
            continue;
        /* Relaxed: the object's claim publishes them. */
        atomic_store_relaxed(&r->state, (uint64_t)self << 32);
        atomic_store_relaxed(&r->what, what);
        return r;
    }
    return NULL;
}

void motet__record_drop(record *r) { wipe(r); }

record *motet__record_find(member *m, const void *object, uint32_t what, record *from)
{
    record *end = m->records + atomic_load_acquire(&m->records_used);
    for (record *r = from ? from : m->records; r < end; r++)
        /* Acquire: an emptied log is seen as such before what was written there later. */
        if (atomic_load_acquire(&r->object) == (uint64_t)(uintptr_t)object && atomic_load_relaxed(&r->what) == what)
            return r;
    return NULL;
}

struct sum {
    const void *object;
    uint32_t what;
    uint64_t all;
};

static bool add_records(member *m, member_tag tag, void *arg)
{
    struct sum *s = arg;
    uint64_t n = 0;
    for (record *r = NULL; (r = motet__record_find(m, s->object, s->what, r)) != NULL; r++) {
        uint64_t state = atomic_load_relaxed(&r->state);
        n += (uint32_t)(state >> 32) == tag ? (uint32_t)state : 0;
    }
    /* Still alive: then nobody has emptied the log meanwhile. */
    if (lives(m, tag_generation(tag)))
        s->all += n;
    return true;
}

uint64_t motet__records_sum(const void *object, uint32_t what)
{
    struct sum s = {.object = object, .what = what};
    motet__members_each(add_records, &s);
    return s.all;
}
