/* SPDX-License-Identifier: MIT */
/* Members: places and their generations, burials done once, twice and half, logs. */
#include "family/test_family.h"

#include <stdlib.h>

static enum member_state state_of(member_tag tag)
{
    uint64_t word = atomic_load_acquire(&motet__family->members[tag_place(tag)].state);
    return member_word_generation(word) == tag_generation(tag) ? member_word_state(word) : MEMBER_FREE;
}

static int nothing(void *arg) { return 7; }

static int sleep_on(void *arg)
{
    while (true)
        pause();
    return 0;
}

TEST(the_first_member)
{
    CHECK_EQ(motet__family_self(), 0);
    CHECK_EQ(motet__family_enter(), -EPERM);
    CHECK_EQ(motet__family_open(), 0);
    CHECK_EQ(motet__family_open(), 0);
    member_tag self = motet__family_self();
    CHECK_EQ(self, motet__family->root);
    CHECK_EQ(motet__family_enter(), self);
    CHECK(motet__member_alive(self));
    const member *m = &motet__family->members[tag_place(self)];
    CHECK_EQ(m->pid, getpid());
    CHECK_GT(m->started, 0);
    CHECK(!motet__member_alive(0));
    CHECK(!motet__member_alive(TAG_MASK));
    CHECK(!motet__member_alive(tag_of(tag_place(self), tag_generation(self) + 1)));
}

TEST(a_life)
{
    CHECK_EQ(motet__family_open(), 0);
    uint32_t deaths = motet__family_deaths();
    kin k = kin_start(sleep_on, NULL);
    AWAIT(motet__member_alive(k.tag));
    const member *m = &motet__family->members[tag_place(k.tag)];
    CHECK_EQ(m->pid, k.pid);
    CHECK_EQ(m->parent, motet__family_self());
    kin_kill(k);
    CHECK(!motet__member_alive(k.tag));
    CHECK_EQ(state_of(k.tag), MEMBER_FREE);
    CHECK_EQ(motet__family_deaths(), deaths + 1);
    motet__member_bury(k.tag);
    CHECK_EQ(motet__family_deaths(), deaths + 1);
    k = kin_start(nothing, NULL);
    CHECK_EQ(kin_bury(k), 7);
    CHECK_EQ(motet__family_deaths(), deaths + 2);
}

TEST(a_place_that_nobody_became)
{
    CHECK_EQ(motet__family_open(), 0);
    int64_t a = motet__member_claim(), b = motet__member_claim();
    CHECK_GT(a, 0);
    CHECK_GT(b, 0);
    CHECK_NE(a, b);
    CHECK(!motet__member_alive((member_tag)a));
    CHECK_EQ(state_of((member_tag)a), MEMBER_JOINING);
    motet__member_unclaim((member_tag)a);
    CHECK_EQ(state_of((member_tag)a), MEMBER_FREE);
    CHECK_EQ(motet__member_become((member_tag)a), -ESRCH);
    motet__member_bury((member_tag)b); /* it died before it was one */
    CHECK_EQ(state_of((member_tag)b), MEMBER_FREE);
    motet__member_unclaim(motet__family_self()); /* lives, and stays */
    CHECK(motet__member_alive(motet__family_self()));
}

TEST(places_come_to_an_end_and_back)
{
    setenv("MOTET_ARENA_SIZE", "2M", 1);
    CHECK_EQ(motet__family_open(), 0);
    int64_t tag[MEMBERS_MAX], again;
    unsigned n = 0;
    while ((tag[n] = motet__member_claim()) > 0)
        n++;
    CHECK_EQ(tag[n], -EAGAIN);
    CHECK_EQ(n, motet__family->places_max - 2); /* place 0 is nobody's, one is the root's */
    for (unsigned i = 0; i < n; i++)
        for (unsigned k = 0; k < i; k++)
            CHECK_NE(tag_place((member_tag)tag[i]), tag_place((member_tag)tag[k]));
    motet__member_unclaim((member_tag)tag[n / 2]);
    again = motet__member_claim();
    CHECK_EQ(tag_place((member_tag)again), tag_place((member_tag)tag[n / 2]));
    CHECK_EQ(tag_generation((member_tag)again), tag_generation((member_tag)tag[n / 2]) + 1);
}

TEST(places_are_used_in_turn)
{
    CHECK_EQ(motet__family_open(), 0);
    int64_t first = motet__member_claim();
    motet__member_unclaim((member_tag)first);
    unsigned others = 0;
    for (;;) {
        int64_t tag = motet__member_claim();
        CHECK_GT(tag, 0);
        motet__member_unclaim((member_tag)tag);
        if (tag_place((member_tag)tag) == tag_place((member_tag)first))
            break;
        others++;
    }
    CHECK_GT(others, 100);
}

TEST(generations_begin_again_with_one)
{
    CHECK_EQ(motet__family_open(), 0);
    int64_t tag = motet__member_claim();
    member *m = &motet__family->members[tag_place((member_tag)tag)];
    atomic_store_release(&m->state, member_word(MEMBER_FREE, 0xffff, 0));
    for (;;) {
        int64_t next = motet__member_claim();
        CHECK_GT(tag_generation((member_tag)next), 0);
        if (tag_place((member_tag)next) == tag_place((member_tag)tag)) {
            CHECK_EQ(tag_generation((member_tag)next), 1);
            break;
        }
        motet__member_unclaim((member_tag)next);
    }
}

/* ---- what a dead one leaves ------------------------------------------------------------------------ */

struct estate {
    uint32_t object, claim, ready;
    int64_t place;
};

static int has_everything(void *arg)
{
    struct estate *e = arg;
    for (int i = 0; i < 3; i++) {
        record *r = motet__record_take(&e->object, RECORD_PERMIT);
        atomic_store_relaxed(&r->state, (uint64_t)motet__family_self() << 32 | (uint32_t)(i + 1));
    }
    e->place = motet__member_claim();
    CHECK_EQ(claim_acquire(&e->claim, MOTET_NOWAIT, false), 0);
    atomic_store_release(&e->ready, 1);
    return sleep_on(NULL);
}

static kin rich_one(struct estate *e)
{
    kin k = kin_start(has_everything, e);
    AWAIT(atomic_load_acquire(&e->ready));
    CHECK_EQ(motet__records_sum(&e->object, RECORD_PERMIT), 6);
    CHECK_EQ(motet__records_sum(&e->object, RECORD_READ), 0);
    CHECK_EQ(state_of((member_tag)e->place), MEMBER_JOINING);
    CHECK_EQ(motet__member_become((member_tag)e->place + 1024), -ESRCH);
    return k;
}

static void check_inherited(struct estate *e, kin k)
{
    CHECK_EQ(state_of(k.tag), MEMBER_FREE);
    CHECK_EQ(state_of((member_tag)e->place), MEMBER_FREE);
    CHECK_EQ(motet__records_sum(&e->object, RECORD_PERMIT), 0);
    CHECK_PTR(motet__record_find(&motet__family->members[tag_place(k.tag)], &e->object, RECORD_PERMIT, NULL), NULL);
    CHECK_EQ(motet__family->recovering, 0);
    CHECK_EQ(claim_acquire(&e->claim, MOTET_NOWAIT, false), MOTET_RECOVERED);
}

TEST(all_is_inherited)
{
    struct estate *e = shared(sizeof *e);
    kin k = rich_one(e);
    kin_kill(k);
    check_inherited(e, k);
}

/* How far a burial came when who did it died. */
static int marks_only(void *arg)
{
    const kin *k = arg;
    member *m = &motet__family->members[tag_place(k->tag)];
    atomic_store_release(&m->state, member_word(MEMBER_DEAD, tag_generation(k->tag), 0));
    CHECK_EQ(claim_acquire(&motet__family->recovering, MOTET_NOWAIT, false), 0);
    return 0;
}

TEST(who_buries_may_die_and_is_buried_with_it)
{
    struct estate *e = shared(sizeof *e);
    kin k = rich_one(e), undertaker;
    CHECK_EQ(kill(k.pid, SIGKILL), 0);
    int status;
    CHECK_EQ(waitpid(k.pid, &status, 0), k.pid);
    uint32_t deaths = motet__family_deaths();
    undertaker = kin_start(marks_only, &k);
    CHECK_EQ(kin_bury(undertaker), 0);
    check_inherited(e, k);
    CHECK_EQ(motet__family_deaths(), deaths + 2);
}

/* ---- logs ------------------------------------------------------------------------------------------ */

TEST(records)
{
    uint32_t *object = shared(64), *other = shared(64);
    member *self = &motet__family->members[tag_place(motet__family_self())];
    record *a = motet__record_take(object, RECORD_READ);
    record *b = motet__record_take(object, RECORD_WAIT);
    record *c = motet__record_take(other, RECORD_READ);
    record *d = motet__record_take(object, RECORD_READ);
    CHECK(a && b && c && d);
    CHECK_EQ(a->owner, motet__family_self());
    CHECK_EQ(a->count, 0);
    CHECK_PTR(motet__record_find(self, object, RECORD_READ, NULL), a);
    CHECK_PTR(motet__record_find(self, object, RECORD_READ, a + 1), d);
    CHECK_PTR(motet__record_find(self, object, RECORD_READ, d + 1), NULL);
    CHECK_PTR(motet__record_find(self, object, RECORD_WAIT, NULL), b);
    a->count = 3;
    d->count = 4;
    CHECK_EQ(motet__records_sum(object, RECORD_READ), 7);
    motet__record_drop(a);
    CHECK_EQ(motet__records_sum(object, RECORD_READ), 4);
    CHECK_PTR(motet__record_take(other, RECORD_WAIT), a);
    CHECK_EQ(a->count, 0);
    motet__record_drop(a);
    motet__record_drop(b);
    motet__record_drop(c);
    motet__record_drop(d);
    CHECK_EQ(motet__records_sum(object, RECORD_READ), 0);
}

TEST(a_log_is_full)
{
    uint32_t *object = shared(64);
    unsigned n = 0;
    while (motet__record_take(object, RECORD_READ))
        n++;
    CHECK_LE(n, RECORDS_MAX);
    CHECK_GT(n, RECORDS_MAX - 16);
    member *self = &motet__family->members[tag_place(motet__family_self())];
    record *last = motet__record_find(self, object, RECORD_READ, self->records + RECORDS_MAX - 1);
    CHECK(last != NULL);
    motet__record_drop(last);
    CHECK_PTR(motet__record_take(object, RECORD_READ), last);
    CHECK_PTR(motet__record_take(object, RECORD_READ), NULL);
}

/* ---- the child of a raw fork ------------------------------------------------------------------------ */

TEST(a_forked_child_is_no_member)
{
    uint32_t *claim = shared(64);
    CHECK_EQ(claim_acquire(claim, MOTET_NOWAIT, false), 0);
    pid_t child = fork();
    CHECK_GE(child, 0);
    if (child == 0) {
        CHECK_EQ(motet__family_self(), 0);
        CHECK_EQ(motet__family_enter(), -EPERM);
        CHECK_EQ(claim_acquire(claim, MOTET_FOREVER, false), -EPERM);
        CHECK_EQ(motet__family_wait(claim + 1, 0, 0, MOTET_FOREVER, 0), -EPERM);
        CHECK_EQ(motet__family_open(), -EPERM);
        _exit(0);
    }
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    CHECK(claim_held(claim));
    CHECK(claim_release(claim));
}

static member_tag prepared;

static int join_as_prepared(void) { return motet__member_become(prepared); }

TEST(a_forked_child_joins_by_itself)
{
    uint32_t *claim = shared(64);
    prepared = (member_tag)motet__member_claim();
    motet__family_joiner = join_as_prepared;
    pid_t child = fork();
    CHECK_GE(child, 0);
    if (child == 0)
        _exit(claim_acquire(claim, MOTET_NOWAIT, false) == 0 && motet__family_self() == prepared ? 0 : 1);
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    motet__member_bury(prepared);
    CHECK_EQ(claim_acquire(claim, MOTET_NOWAIT, false), MOTET_RECOVERED);
}
