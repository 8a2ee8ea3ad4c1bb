/* SPDX-License-Identifier: MIT */
/* The family: deaths, and burials whose own doer dies; claims; and what rests on these two alone: shared lock, once, event,
 * latch, unbounded semaphore. What is promised to the survivors: nobody waits for ever, nothing is lost but what the dead had,
 * and of what a dead one may have left half done one of them is told. */
#include "processes.h"

#include "park/park.h"

#include <motet/sync.h>

/* ---- burying --------------------------------------------------------------------------------------- */

static uint32_t *word;
static member_tag victim;

/* A record, a place, a claim: each that there is. */
static void has_everything(void *arg)
{
    record *r = motet__record_take(word, RECORD_WAIT);
    atomic_store_relaxed(&r->state, (uint64_t)motet__family_self() << 32 | 1);
    motet__member_claim();
    claim_acquire(word, MOTET_FOREVER, false);
}

static void begin_burials(void)
{
    word = arena(64);
    member_tag self = motet__family_tag;
    victim = (member_tag)motet__member_claim();
    SIM_CHECK_EQ(motet__member_become(victim), 0);
    has_everything(NULL);
    motet__family_tag = self;
    SIM_CHECK_EQ(motet__records_sum(word, RECORD_WAIT), 1);
}

static void buries(void *arg) { motet__member_bury(victim); }

static void follows(void *arg)
{
    SIM_CHECK_EQ(claim_acquire(word, MOTET_FOREVER, false), MOTET_RECOVERED);
    claim_release(word);
}

static bool count_one(member *m, member_tag tag, void *arg)
{
    ++*(int *)arg;
    return true;
}

/* All that is left is so many living members, who have nothing. */
static void check_buried(int living)
{
    const family *f = motet__family;
    int n = 0;
    motet__members_each(count_one, &n);
    SIM_CHECK_EQ(n, living);
    for (uint32_t i = 1; i < f->places_used; i++) {
        enum member_state state = member_word_state(f->members[i].state);
        SIM_CHECK(state == MEMBER_FREE || state == MEMBER_LIVE);
        for (uint32_t k = 0; k < RECORDS_MAX; k++)
            SIM_CHECK_EQ(f->members[i].records[k].object, 0);
    }
    SIM_CHECK_EQ(f->recovering, 0);
}

SIM_SCENARIO(family_burial, .about = "who buries one that had everything dies at any step; a third buries both",
             .faults = SIM_DEATHS)
{
    begin_burials();
    survivor(follows, "follower");
    process *m = mortal(buries, "mortal");
    see_to(m);
    motet__member_bury(victim);
    sim_join_all();
    check_buried(3 - died(m));
}

SIM_SCENARIO(family_burials, .about = "two bury the same one, one of them dies of it", .faults = SIM_DEATHS)
{
    begin_burials();
    survivor(buries, "other");
    process *m = mortal(buries, "mortal");
    see_to(m);
    follows(NULL);
    sim_join_all();
    check_buried(3 - died(m));
}

SIM_SCENARIO(family_burial_alone,
             .about = "one dies of a burial, and who alone sees to deaths is about to do the same one",
             .faults = SIM_DEATHS)
{
    begin_burials();
    process *m = mortal(buries, "mortal");
    buries(NULL);
    end(m);
    check_buried(2 - died(m));
}

SIM_SCENARIO(family_burial_two, .about = "two bury one each, and none waits for the other")
{
    begin_burials();
    survivor(buries, "other");
    member_tag self = motet__family_tag, second = (member_tag)motet__member_claim();
    SIM_CHECK_EQ(motet__member_become(second), 0);
    motet__family_tag = self;
    motet__member_bury(second);
    sim_join_all();
    check_buried(2);
}

static int64_t claimed[2];

static void claims_place(void *arg) { *(int64_t *)arg = motet__member_claim(); }

SIM_SCENARIO(family_places, .about = "two claim places while one that claimed some is buried")
{
    begin_burials();
    process_start(false, claims_place, &claimed[0], "one");
    process_start(false, claims_place, &claimed[1], "two");
    buries(NULL);
    sim_join_all();
    SIM_CHECK(claimed[0] > 0 && claimed[1] > 0 && claimed[0] != claimed[1]);
    for (int i = 0; i < 2; i++)
        motet__member_unclaim((member_tag)claimed[i]);
    check_buried(3);
}

SIM_SCENARIO(family_death, .about = "one dies at any step of taking everything", .faults = SIM_DEATHS)
{
    word = arena(64);
    process *m = mortal(has_everything, "mortal");
    see_to(m);
    if (!died(m))
        motet__member_bury(m->tag);
    check_buried(1);
    int e = claim_acquire(word, MOTET_NOWAIT, false);
    SIM_CHECK(e == 0 || e == MOTET_RECOVERED);
}

/* ---- a wait and its wake --------------------------------------------------------------------------- */

static void sleeps(void *arg)
{
    for (;;) {
        uint32_t deaths = motet__family_deaths(), now = atomic_load_acquire(word);
        if (now || !motet__member_alive(victim))
            return;
        SIM_CHECK_EQ(motet__family_wait(word, 0, deaths, MOTET_FOREVER, 0), 0);
    }
}

static void wakes(void *arg)
{
    atomic_store_release(word, 1);
    motet__family_wake(word, 1);
}

SIM_SCENARIO(family_wait, .about = "one waits for a word or the end of who writes it",
             .faults = SIM_DEATHS | SIM_SPURIOUS)
{
    word = arena(64);
    process *m = mortal(wakes, "mortal");
    victim = m->tag;
    survivor(sleeps, "sleeper");
    end(m);
}

/* ---- claim and lock -------------------------------------------------------------------------------- */

static motet_lock *lock;
static int half, other_half; /* what it guards: the same, but for a moment */
static uint32_t told;

static void begin_lock(void)
{
    lock = arena(sizeof *lock);
    SIM_CHECK_EQ(motet_lock_init(lock, MOTET_SHARED), 0);
}

static void changes_both(int e)
{
    if (e == MOTET_RECOVERED) {
        atomic_add_relaxed(&told, 1);
        SIM_WRITE(&other_half, SIM_READ(&half));
    }
    SIM_CHECK_EQ(SIM_READ(&half), SIM_READ(&other_half));
    plain_add(&half, 1);
    atomic_load_relaxed(&told); /* a step at which it may die */
    plain_add(&other_half, 1);
}

static void locks(void *arg)
{
    int e = motet_lock_acquire(lock, MOTET_FOREVER);
    SIM_CHECK(e == 0 || e == MOTET_RECOVERED);
    changes_both(e);
    SIM_CHECK_EQ(motet_lock_release(lock), 0);
}

static void locks_in_time(void *arg)
{
    int e = motet_lock_acquire(lock, sim_now() + 1000);
    SIM_CHECK(e == 0 || e == MOTET_RECOVERED || e == -ETIMEDOUT);
    if (e < 0)
        return;
    changes_both(e);
    SIM_CHECK_EQ(motet_lock_release(lock), 0);
}

static void end_lock(uint32_t deaths)
{
    sim_join_all();
    locks(NULL);
    SIM_CHECK(told <= deaths);
    SIM_CHECK(!motet_lock_locked(lock));
}

SIM_SCENARIO(shared_lock_two, .about = "two take a lock, one may die", .faults = SIM_DEATHS | SIM_SPURIOUS)
{
    begin_lock();
    process *m = mortal(locks, "mortal");
    survivor(locks, "other");
    see_to(m);
    end_lock(died(m));
}

SIM_SCENARIO(shared_lock_three, .about = "three take a lock, one may die: waiting, woken, or holding it",
             .faults = SIM_DEATHS, .pct = 4)
{
    begin_lock();
    process *m = mortal(locks, "mortal");
    survivor(locks, "other");
    survivor(locks, "another");
    see_to(m);
    end_lock(died(m));
}

SIM_SCENARIO(shared_lock_two_die, .about = "three take a lock, two may die, who bury is among those that wait for it",
             .faults = SIM_DEATHS)
{
    begin_lock();
    process *a = watched(locks, "mortal");
    process *b = watched(locks, "mortal too");
    survivor(locks, "other");
    sim_join_all();
    end_lock(died(a) + died(b));
}

SIM_SCENARIO(shared_lock_gives_up, .about = "one waits until a deadline and may die of it, one for ever",
             .faults = SIM_DEATHS, .pct = 4)
{
    begin_lock();
    process *m = mortal(locks_in_time, "in time");
    survivor(locks, "other");
    survivor(locks, "another");
    see_to(m);
    end_lock(died(m));
}

SIM_SCENARIO(shared_lock_leaver, .about = "one that was woken gives up while another waits", .pct = 4)
{
    begin_lock();
    SIM_CHECK_EQ(motet_lock_acquire(lock, MOTET_NOWAIT), 0);
    survivor(locks_in_time, "in time");
    survivor(locks_in_time, "in time too");
    survivor(locks, "other");
    SIM_CHECK_EQ(motet_lock_release(lock), 0);
    end_lock(0);
}

static void lets_go(void *arg)
{
    int e = motet_lock_release(lock);
    SIM_CHECK(e == 0 || e == -EPERM);
}

static void holds(void *arg) { motet_lock_acquire(lock, MOTET_FOREVER); }

SIM_SCENARIO(shared_lock_of_another, .about = "one lets go of another's, who may have died, while that is buried",
             .faults = SIM_DEATHS)
{
    begin_lock();
    process *m = mortal(holds, "mortal");
    sim_join(m->thread);
    bool held = motet_lock_locked(lock);
    survivor(lets_go, "other");
    end(m);
    SIM_CHECK(!motet_lock_locked(lock));
    locks(NULL);
    SIM_CHECK(told <= (held && died(m)));
}

static motet_rlock *rlock;

static void locks_again(void *arg)
{
    int e = motet_rlock_acquire(rlock, MOTET_FOREVER);
    SIM_CHECK(e == 0 || e == MOTET_RECOVERED);
    SIM_CHECK_EQ(motet_rlock_acquire(rlock, MOTET_FOREVER), 0);
    changes_both(e);
    SIM_CHECK_EQ(motet_rlock_release(rlock), 0);
    SIM_CHECK_EQ(motet_rlock_release(rlock), 0);
    SIM_CHECK_EQ(motet_rlock_release(rlock), -EPERM);
}

SIM_SCENARIO(shared_rlock_two, .about = "two take a lock twice, one may die", .faults = SIM_DEATHS)
{
    rlock = arena(sizeof *rlock);
    SIM_CHECK_EQ(motet_rlock_init(rlock, MOTET_SHARED), 0);
    process *m = mortal(locks_again, "mortal");
    survivor(locks_again, "other");
    end(m);
    locks_again(NULL);
    SIM_CHECK(told <= died(m));
}

/* ---- once ------------------------------------------------------------------------------------------ */

static motet_once_flag *flag;
static int done, runs_over;

static int does(void *arg)
{
    plain_add(&done, 1);
    atomic_load_relaxed(&told); /* a step at which it may die */
    plain_add(&runs_over, 1);
    return 7;
}

static int fails(void *arg)
{
    atomic_load_relaxed(&told);
    return -EIO;
}

static void does_once(void *arg)
{
    SIM_CHECK_EQ(motet_once(flag, does, NULL), 7);
    SIM_CHECK(SIM_READ(&runs_over) >= 1);
}

static void fails_once(void *arg)
{
    int e = motet_once(flag, fails, NULL);
    SIM_CHECK(e == -EIO || e == 7);
}

static void once(void (*first)(void *))
{
    flag = arena(sizeof *flag);
    process *m = mortal(first, "mortal");
    survivor(does_once, "other");
    survivor(does_once, "another");
    end(m);
    does_once(NULL);
    SIM_CHECK(done <= 1 + died(m));
}

SIM_SCENARIO(shared_once, .about = "three do it once, one may die of it", .faults = SIM_DEATHS) { once(does_once); }

SIM_SCENARIO(shared_once_failed, .about = "one fails, or dies of it, two do it once", .faults = SIM_DEATHS)
{
    once(fails_once);
}

/* ---- event and latch ------------------------------------------------------------------------------- */

static motet_event *event;
static motet_latch *latch;
static int news;

static void sets(void *arg)
{
    SIM_WRITE(&news, 1);
    SIM_CHECK_EQ(motet_event_set(event), 0);
}

static void sets_and_clears(void *arg)
{
    sets(NULL);
    SIM_CHECK_EQ(motet_event_clear(event), 0);
}

static void waits(void *arg)
{
    SIM_CHECK_EQ(motet_event_wait(event, MOTET_FOREVER), 0);
    SIM_CHECK_EQ(SIM_READ(&news), 1);
}

static void waits_for_any(void *arg) { SIM_CHECK_EQ(motet_event_wait(event, MOTET_FOREVER), 0); }

static void waits_in_time(void *arg)
{
    int e = motet_event_wait(event, sim_now() + 1000);
    SIM_CHECK(e == 0 || e == -ETIMEDOUT);
}

static void begin_event(void)
{
    event = arena(sizeof *event);
    SIM_CHECK_EQ(motet_event_init(event, MOTET_SHARED), 0);
}

SIM_SCENARIO(shared_event, .about = "two wait; who sets it may die, and then another does",
             .faults = SIM_DEATHS | SIM_SPURIOUS)
{
    begin_event();
    process *m = mortal(sets, "mortal");
    survivor(waits, "waiter");
    survivor(waits_in_time, "in time");
    see_to(m);
    if (died(m) && !motet_event_is_set(event))
        sets(NULL);
    sim_join_all();
}

SIM_SCENARIO(shared_event_waiter, .about = "two wait, one may die of it", .faults = SIM_DEATHS)
{
    begin_event();
    process *m = mortal(waits, "mortal");
    survivor(waits, "waiter");
    survivor(sets, "setter");
    end(m);
}

SIM_SCENARIO(shared_event_pulse, .about = "one waits from before on; who sets and clears may die", .faults = SIM_DEATHS)
{
    begin_event();
    process *m = mortal(sets_and_clears, "mortal");
    survivor(waits_for_any, "waiter");
    see_to(m);
    SIM_CHECK_EQ(motet_event_set(event), 0);
    sim_join_all();
}

static void counts_down(void *arg)
{
    atomic_add_release(&told, 1);
    SIM_CHECK_EQ(motet_latch_count_down(latch, 1), 0);
}

static void passes(void *arg)
{
    SIM_CHECK_EQ(motet_latch_wait(latch, MOTET_FOREVER), 0);
    SIM_CHECK(atomic_load_relaxed(&told) >= 2);
}

SIM_SCENARIO(shared_latch, .about = "two wait, one may die; who counts down may die, and another makes up for it",
             .faults = SIM_DEATHS)
{
    latch = arena(sizeof *latch);
    SIM_CHECK_EQ(motet_latch_init(latch, 2, MOTET_SHARED), 0);
    process *m = mortal(counts_down, "mortal");
    survivor(passes, "waiter");
    survivor(passes, "waiter too");
    survivor(counts_down, "other");
    see_to(m);
    if (died(m) && atomic_load_relaxed(&told) == 2) {
        while (motet_latch_count(latch) == 2) /* the other has not come to it */
            cpu_relax();
        motet_latch_count_down(latch, motet_latch_count(latch));
    } else if (died(m)) {
        counts_down(NULL);
    }
    sim_join_all();
}

/* ---- semaphore ------------------------------------------------------------------------------------- */

static motet_semaphore *semaphore;
static uint32_t taken;

static void begin_semaphore(unsigned permits)
{
    semaphore = arena(sizeof *semaphore);
    SIM_CHECK_EQ(motet_semaphore_init(semaphore, permits, MOTET_SHARED), 0);
}

static void gives_one(void *arg) { SIM_CHECK_EQ(motet_semaphore_release(semaphore, 1), 0); }
static void gives_two(void *arg) { SIM_CHECK_EQ(motet_semaphore_release(semaphore, 2), 0); }

static void takes(void *arg)
{
    SIM_CHECK_EQ(motet_semaphore_acquire(semaphore, MOTET_FOREVER), 0);
    atomic_add_relaxed(&taken, 1);
}

static void takes_in_time(void *arg)
{
    int e = motet_semaphore_acquire(semaphore, sim_now() + 1000);
    SIM_CHECK(e == 0 || e == -ETIMEDOUT);
    if (e == 0)
        atomic_add_relaxed(&taken, 1);
}

/* What was given and not taken is there: but for one permit that a dead one may have taken. */
static void end_semaphore(uint32_t all, bool one_died)
{
    sim_join_all();
    uint32_t left = motet_semaphore_value(semaphore);
    SIM_CHECK(left + taken == all || (one_died && left + taken + 1 == all));
}

SIM_SCENARIO(shared_semaphore_waiter, .about = "two permits for three, of whom one may die, waiting or woken",
             .faults = SIM_DEATHS, .pct = 4)
{
    begin_semaphore(0);
    process *m = mortal(takes, "mortal");
    survivor(takes, "one");
    survivor(gives_one, "giver");
    survivor(gives_one, "giver too");
    see_to(m);
    end_semaphore(2, died(m));
}

SIM_SCENARIO(shared_semaphore_giver, .about = "who gives two may die before it wakes", .faults = SIM_DEATHS)
{
    begin_semaphore(0);
    process *m = mortal(gives_two, "mortal");
    survivor(takes, "one");
    survivor(takes, "two");
    see_to(m);
    bool given_none = died(m) && atomic_load_relaxed(&taken) == 0 && motet_semaphore_value(semaphore) == 0;
    uint32_t more = 0;
    if (given_none) {
        gives_two(NULL);
        more = 2;
    }
    sim_join_all();
    SIM_CHECK_EQ(taken, 2);
    SIM_CHECK(motet_semaphore_value(semaphore) <= more);
}

static park_self *cancelled;
static uint32_t has_cancelled; /* who is cancelled lives as long as that takes */

static void takes_cancelled(void *arg)
{
    atomic_store_release(&cancelled, motet__park_self());
    int e = motet_semaphore_acquire(semaphore, MOTET_FOREVER);
    SIM_CHECK(e == 0 || e == -ECANCELED);
    if (e == 0)
        gives_one(NULL);
    while (!atomic_load_acquire(&has_cancelled))
        cpu_relax();
}

SIM_SCENARIO(shared_semaphore_cancelled, .about = "one of two waiters is cancelled; a permit for the other", .pct = 4)
{
    begin_semaphore(0);
    survivor(takes_cancelled, "cancelled");
    survivor(takes, "other");
    survivor(gives_one, "giver");
    park_self *self;
    while (!(self = atomic_load_acquire(&cancelled)))
        cpu_relax();
    motet__park_cancel(self);
    atomic_store_release(&has_cancelled, 1);
    sim_join_all();
}

SIM_SCENARIO(shared_semaphore_many, .about = "three permits in two steps for three", .pct = 4)
{
    begin_semaphore(0);
    survivor(takes, "one");
    survivor(takes, "two");
    survivor(takes, "three");
    gives_two(NULL);
    gives_one(NULL);
    end_semaphore(3, false);
}

SIM_SCENARIO(shared_semaphore_gives_up,
             .about = "one gives up and may die of it, one waits; there is a permit for each", .faults = SIM_DEATHS,
             .pct = 4)
{
    begin_semaphore(0);
    process *m = mortal(takes_in_time, "in time");
    survivor(takes, "one");
    survivor(takes_in_time, "in time too");
    survivor(gives_two, "giver");
    see_to(m);
    gives_one(NULL);
    end_semaphore(3, died(m));
}
