/* SPDX-License-Identifier: MIT */
/* Claims, burials and shared semaphores with one mistake each. The whole ones are twins of family/claim.c, of the burial in
 * family/member.c and of sync/semaphore.c, and are explored beside them. */
#include "processes.h"

#include "park/park.h"

#include <limits.h>

enum {
    DEAF = 1,              /* sleeps on the word alone */
    LATE_DEATHS = 2,       /* reads the count of deaths after it has looked whether the owner lives */
    WOKEN_FORGETS = 4,     /* takes the claim without the mark that others may sleep */
    LEAVER_FORGETS = 8,    /* who gives up believes what it has read, and that may be from before it was woken */
    LEAVER_SWALLOWS = 512, /* who gives up does not look at all */
    NAMELESS = 16,         /* the claim does not say whose it is */
    NEWS_TOO_EARLY = 32,   /* counts the death before the place says that it is one */
    UNPUBLISHED = 64,      /* who reads the name in a claim may not see yet that its member lives */
    NOT_PASSED_ON = 128,   /* who was woken for one permit of two tells nobody of the other */
    NOT_WANTED = 256,      /* who was woken takes the last permit, and what says that others sleep stays away */
};

static unsigned mistakes;

/* ---- a claim --------------------------------------------------------------------------------------- */

static uint32_t *word;
static int half, other_half;

static bool to_be_had(uint32_t w)
{
    return !(w & TAG_MASK) || (!(mistakes & NAMELESS) && !motet__member_alive(w & TAG_MASK));
}

static int acquire(motet_time deadline)
{
    uint32_t self = mistakes & NAMELESS ? 1 : motet__family_self(), taken = self;
    for (int e = 0;;) {
        uint32_t deaths = motet__family_deaths(), w = atomic_load_acquire(word);
        if (to_be_had(w)) {
            uint32_t claimed = taken | (w & CLAIM_WAITED);
            if (mistakes & UNPUBLISHED ? atomic_cas_acquire(word, &w, claimed) : atomic_cas_acq_rel(word, &w, claimed))
                return w & TAG_MASK ? MOTET_RECOVERED : 0;
            continue;
        }
        if ((e < 0 || !(w & CLAIM_WAITED)) && !atomic_cas_relaxed(word, &w, w | CLAIM_WAITED))
            continue;
        if (e < 0)
            return e;
        if (mistakes & LATE_DEATHS)
            deaths = motet__family_deaths();
        if (mistakes & DEAF)
            e = sys_futex_wait_shared(word, w | CLAIM_WAITED, deadline);
        else
            e = motet__family_wait(word, w | CLAIM_WAITED, deaths, deadline, FAMILY_NO_CANCEL | FAMILY_NO_SPIN);
        e = e == -ETIMEDOUT ? e : 0;
        if (!(mistakes & WOKEN_FORGETS))
            taken = self | CLAIM_WAITED;
    }
}

static void release(void)
{
    if (atomic_exchange_release(word, 0) & CLAIM_WAITED)
        motet__family_wake(word, 1);
}

static void change_both(int e)
{
    if (e == MOTET_RECOVERED)
        SIM_WRITE(&other_half, SIM_READ(&half));
    SIM_CHECK_EQ(SIM_READ(&half), SIM_READ(&other_half));
    plain_add(&half, 1);
    plain_add(&other_half, 1);
    release();
}

static void claims(void *arg) { change_both(acquire(MOTET_FOREVER)); }

static void claims_in_time(void *arg)
{
    int e = acquire(sim_now() + 1000);
    if (e >= 0)
        change_both(e);
}

static void bury(process *p)
{
    sim_join(p->thread);
    if (!died(p))
        return;
    if (!(mistakes & NEWS_TOO_EARLY)) {
        motet__member_bury(p->tag);
        return;
    }
    atomic_add_seq_cst(&motet__family->deaths, 1);
    sys_futex_wake_shared(&motet__family->deaths, INT_MAX);
    uint64_t dead = member_word(MEMBER_DEAD, tag_generation(p->tag), 1);
    atomic_store_seq_cst(&motet__family->members[tag_place(p->tag)].state, dead);
}

static void claim(unsigned with_mistakes)
{
    mistakes = with_mistakes;
    word = arena(64);
    process *m = mortal(claims, "mortal");
    survivor(claims, "other");
    survivor(claims, "another");
    bury(m);
    sim_join_all();
}

static void claim_given_up(void)
{
    word = arena(64);
    SIM_CHECK_EQ(acquire(MOTET_NOWAIT), 0);
    survivor(claims_in_time, "in time");
    survivor(claims_in_time, "in time too");
    survivor(claims, "other");
    release();
    sim_join_all();
}

SIM_SCENARIO(twin_claim, .about = "a claim like motet's", .faults = SIM_DEATHS) { claim(0); }
SIM_SCENARIO(twin_claim_given_up, .about = "and who gives up") { claim_given_up(); }

SIM_SCENARIO(broken_claim_deaf, .about = "a waiter that no death wakes", .faults = SIM_DEATHS, .must_fail = true)
{
    claim(DEAF);
}

SIM_SCENARIO(broken_claim_late_deaths, .about = "deaths are read after the look at the owner", .faults = SIM_DEATHS,
             .must_fail = true)
{
    claim(LATE_DEATHS);
}

SIM_SCENARIO(broken_claim_woken_forgets, .about = "one was woken, and the others are forgotten", .must_fail = true)
{
    claim(WOKEN_FORGETS);
}

SIM_SCENARIO(broken_claim_nameless, .about = "a claim that does not say whose it is", .faults = SIM_DEATHS,
             .must_fail = true)
{
    claim(NAMELESS);
}

SIM_SCENARIO(broken_claim_unpublished, .about = "a living owner is taken for a dead one", .must_fail = true,
             .weak_only = true)
{
    claim(UNPUBLISHED);
}

SIM_SCENARIO(broken_claim_early_news, .about = "the news of a death come before it can be seen", .faults = SIM_DEATHS,
             .must_fail = true)
{
    claim(NEWS_TOO_EARLY);
}

/* ---- a semaphore ----------------------------------------------------------------------------------- */

#define WANTED UINT32_MAX

static int take_or_leave(void)
{
    int e = 0;
    for (bool slept = false;;) {
        uint32_t deaths = motet__family_deaths(), w = atomic_load_relaxed(word);
        if (w && w != WANTED) {
            bool last = w == 1;
            if (!atomic_cas_acquire(word, &w, slept && last && !(mistakes & NOT_WANTED) ? WANTED : w - 1))
                continue;
            if (slept && !last && !(mistakes & NOT_PASSED_ON))
                motet__family_wake(word, 1);
            return 0;
        }
        if ((w == 0 || (e < 0 && !(mistakes & LEAVER_FORGETS))) && !atomic_cas_relaxed(word, &w, WANTED))
            continue;
        if (e < 0)
            return e;
        e = motet__family_wait(word, WANTED, deaths, MOTET_FOREVER, FAMILY_NO_SPIN);
        slept = true;
        if (e < 0 && (mistakes & LEAVER_SWALLOWS))
            return e;
    }
}

static void take(void *arg) { SIM_CHECK_EQ(take_or_leave(), 0); }

static void give(uint32_t n)
{
    uint32_t w = atomic_load_relaxed(word);
    while (!atomic_cas_release(word, &w, (w == WANTED ? 0 : w) + n)) {}
    if (w == WANTED)
        motet__family_wake(word, (int)n);
}

static void semaphore(unsigned with_mistakes)
{
    mistakes = with_mistakes;
    word = arena(64);
    survivor(take, "one");
    survivor(take, "two");
    survivor(take, "three");
    give(1);
    give(1);
    give(1);
    sim_join_all();
}

static void give_one(void *arg) { give(1); }

static park_self *cancelled;
static uint32_t has_cancelled; /* who is cancelled lives as long as that takes */

static void take_cancelled(void *arg)
{
    atomic_store_release(&cancelled, motet__park_self());
    if (take_or_leave() == 0)
        give(1);
    while (!atomic_load_acquire(&has_cancelled))
        cpu_relax();
}

static void semaphore_cancelled(unsigned with_mistakes)
{
    mistakes = with_mistakes;
    word = arena(64);
    survivor(take_cancelled, "cancelled");
    while (!atomic_load_acquire(&cancelled))
        cpu_relax();
    survivor(take, "other");
    survivor(give_one, "giver");
    motet__park_cancel(atomic_load_relaxed(&cancelled));
    atomic_store_release(&has_cancelled, 1);
    sim_join_all();
}

SIM_SCENARIO(twin_semaphore_cancelled, .about = "one of two waiters is cancelled") { semaphore_cancelled(0); }

SIM_SCENARIO(broken_semaphore_old_look, .about = "the same, and it looks, but sees what was before", .must_fail = true,
             .weak_only = true)
{
    semaphore_cancelled(LEAVER_FORGETS);
}

SIM_SCENARIO(broken_semaphore_swallowed,
             .about = "one of two waiters is woken and cancelled, and the permit lies there", .must_fail = true)
{
    semaphore_cancelled(LEAVER_SWALLOWS);
}

SIM_SCENARIO(twin_semaphore, .about = "a semaphore like motet's shared one") { semaphore(0); }

SIM_SCENARIO(broken_semaphore_not_passed_on, .about = "of two permits one goes unnoticed", .must_fail = true)
{
    semaphore(NOT_PASSED_ON);
}

SIM_SCENARIO(broken_semaphore_not_wanted, .about = "the last permit is taken, and who else sleeps is forgotten",
             .must_fail = true)
{
    semaphore(NOT_WANTED);
}
