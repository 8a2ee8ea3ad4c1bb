/* SPDX-License-Identifier: MIT */
/* Shared rwlock, bounded semaphore, barrier and condition, whose users may die at any step, and who mends after them too.
 *
 * Every virtual thread is a process. Those that are mortal have a watcher each, who buries them. What each scenario says
 * of its survivors: nobody waits for ever, nobody is told less than he must be, nothing is lost but what the dead had. */
#include "processes.h"

#include "sync/shared_objects.h"

static void any_record(record *r, void *arg) { sim_fail("a record is left"); }

static void check_nothing_left(const void *object)
{
    for (uint32_t what = RECORD_READ; what <= RECORD_WAIT; what++)
        motet__shared_each(object, what, any_record, NULL);
}

/* ---- rwlock ---------------------------------------------------------------------------------------- */

static motet_rwlock *rwlock;
static int half, other_half; /* what the lock guards: the same, but while somebody writes */
static uint32_t told;

static void begin_rwlock(void)
{
    rwlock = arena(sizeof *rwlock);
    SIM_CHECK_EQ(motet_rwlock_init(rwlock, MOTET_SHARED), 0);
}

static void hear(int e)
{
    SIM_CHECK(e == 0 || e == MOTET_RECOVERED);
    if (e == MOTET_RECOVERED)
        atomic_add_relaxed(&told, 1);
}

static void writes(void *arg)
{
    int e = motet_rwlock_acquire_write(rwlock, MOTET_FOREVER);
    hear(e);
    /* A reader may have been told, who mends nothing. */
    SIM_CHECK(SIM_READ(&half) == SIM_READ(&other_half) || e == MOTET_RECOVERED || atomic_load_relaxed(&told));
    SIM_WRITE(&other_half, SIM_READ(&half));
    plain_add(&half, 1);
    atomic_load_relaxed(&rwlock->flags_); /* a step at which it may die */
    plain_add(&other_half, 1);
    SIM_CHECK_EQ(motet_rwlock_release(rwlock), 0);
}

static void reads(void *arg)
{
    hear(motet_rwlock_acquire_read(rwlock, MOTET_FOREVER));
    /* One reader is told of a dead writer, others may read meanwhile: what matters here is that nobody writes. */
    SIM_CHECK(SIM_READ(&half) - SIM_READ(&other_half) <= 1);
    SIM_CHECK_EQ(motet_rwlock_release(rwlock), 0);
}

static void end_rwlock(process *one)
{
    end(one);
    int e = motet_rwlock_acquire_write(rwlock, MOTET_NOWAIT);
    hear(e);
    SIM_CHECK_EQ(motet_rwlock_release(rwlock), 0);
    check_nothing_left(rwlock);
}

SIM_SCENARIO(shared_rwlock_writers, .about = "two write, one of them may die", .faults = SIM_DEATHS)
{
    begin_rwlock();
    process *m = mortal(writes, "mortal");
    survivor(writes, "writer");
    end_rwlock(m);
    SIM_CHECK(told <= died(m));
}

SIM_SCENARIO(shared_rwlock_reader_dies, .about = "a reader may die, a writer waits", .faults = SIM_DEATHS)
{
    begin_rwlock();
    process *m = mortal(reads, "mortal");
    survivor(writes, "writer");
    end_rwlock(m);
    SIM_CHECK_EQ(told, 0);
}

SIM_SCENARIO(shared_rwlock_writer_dies, .about = "a writer may die, holding or waiting; two read", .faults = SIM_DEATHS)
{
    begin_rwlock();
    process *m = mortal(writes, "mortal");
    survivor(reads, "reader");
    survivor(reads, "reader too");
    end_rwlock(m);
    SIM_CHECK(told <= died(m));
}

SIM_SCENARIO(shared_rwlock_three, .about = "a writer may die, one writes, one reads", .faults = SIM_DEATHS, .pct = 4)
{
    begin_rwlock();
    process *m = mortal(writes, "mortal");
    survivor(writes, "writer");
    survivor(reads, "reader");
    end_rwlock(m);
    SIM_CHECK(told <= died(m));
}

/* Who mends after a death may die as well. */
SIM_SCENARIO(shared_rwlock_two_die, .about = "two write and may both die", .faults = SIM_DEATHS)
{
    begin_rwlock();
    watched(writes, "mortal");
    watched(writes, "mortal too");
    end_rwlock(NULL);
}

static uint32_t may_be_free; /* the reader that was told lets go, or has done so */

static void reads_and_is_told(void *arg)
{
    hear(motet_rwlock_acquire_read(rwlock, MOTET_FOREVER));
    atomic_store_relaxed(&may_be_free, 1);
    SIM_CHECK_EQ(motet_rwlock_release(rwlock), 0);
}

static void is_told_unless_another_was(void *arg)
{
    int e = motet_rwlock_acquire_write(rwlock, MOTET_FOREVER);
    hear(e);
    SIM_CHECK(e == MOTET_RECOVERED || atomic_load_relaxed(&may_be_free));
    SIM_CHECK_EQ(motet_rwlock_release(rwlock), 0);
}

SIM_SCENARIO(shared_rwlock_told_dies, .about = "a writer has died; a reader is told, and may die of it; another writes",
             .faults = SIM_DEATHS)
{
    begin_rwlock();
    member_tag self = motet__family_tag, dead = (member_tag)motet__member_claim();
    SIM_CHECK_EQ(motet__member_become(dead), 0);
    SIM_CHECK_EQ(motet_rwlock_acquire_write(rwlock, MOTET_NOWAIT), 0);
    motet__family_tag = self;
    motet__member_bury(dead);
    process *m = mortal(reads_and_is_told, "mortal");
    survivor(is_told_unless_another_was, "writer");
    end_rwlock(m);
    SIM_CHECK(told == 1 || died(m));
}

static void tries(void *arg)
{
    int e = motet_rwlock_acquire_write(rwlock, sim_now() + 1000);
    SIM_CHECK(e >= 0 || e == -ETIMEDOUT);
    if (e >= 0)
        SIM_CHECK_EQ(motet_rwlock_release(rwlock), 0);
}

SIM_SCENARIO(shared_rwlock_gives_up, .about = "a writer gives up, and may die of it; a reader waits behind it",
             .faults = SIM_DEATHS)
{
    begin_rwlock();
    SIM_CHECK_EQ(motet_rwlock_acquire_read(rwlock, MOTET_NOWAIT), 0);
    process *m = mortal(tries, "mortal");
    survivor(reads, "reader");
    end(m);
    SIM_CHECK_EQ(motet_rwlock_release(rwlock), 0);
    end_rwlock(NULL);
}

/* ---- bounded semaphore ----------------------------------------------------------------------------- */

static motet_semaphore *semaphore;
static uint32_t in;

static void begin_semaphore(unsigned permits)
{
    semaphore = arena(sizeof *semaphore);
    SIM_CHECK_EQ(motet_semaphore_init(semaphore, permits, MOTET_SHARED | MOTET_BOUNDED), 0);
}

static void end_semaphore(process *one, unsigned permits)
{
    end(one);
    SIM_CHECK_EQ(motet_semaphore_value(semaphore), permits);
    check_nothing_left(semaphore);
}

static void takes_and_gives(void *arg)
{
    SIM_CHECK_EQ(motet_semaphore_acquire(semaphore, MOTET_FOREVER), 0);
    SIM_CHECK_EQ(motet_semaphore_release(semaphore, 1), 0);
}

static void takes_and_counts(void *arg)
{
    SIM_CHECK_EQ(motet_semaphore_acquire(semaphore, MOTET_FOREVER), 0);
    SIM_CHECK_EQ(atomic_add_relaxed(&in, 1), 0);
    atomic_sub_relaxed(&in, 1);
    SIM_CHECK_EQ(motet_semaphore_release(semaphore, 1), 0);
}

SIM_SCENARIO(shared_bounded_one, .about = "one permit, two take it, one of them may die", .faults = SIM_DEATHS)
{
    begin_semaphore(1);
    process *m = mortal(takes_and_gives, "mortal");
    survivor(takes_and_counts, "other");
    end_semaphore(m, 1);
}

SIM_SCENARIO(shared_bounded_three, .about = "one permit, three take it, one of them may die", .faults = SIM_DEATHS)
{
    begin_semaphore(1);
    process *m = mortal(takes_and_gives, "mortal");
    survivor(takes_and_counts, "other");
    survivor(takes_and_counts, "another");
    end_semaphore(m, 1);
}

SIM_SCENARIO(shared_bounded_two_die, .about = "one permit, three take it, two of them may die", .faults = SIM_DEATHS)
{
    begin_semaphore(1);
    watched(takes_and_gives, "mortal");
    watched(takes_and_gives, "mortal too");
    survivor(takes_and_counts, "other");
    end_semaphore(NULL, 1);
}

static void gives_what_others_took(void *arg)
{
    int e = motet_semaphore_release(semaphore, 1);
    SIM_CHECK(e == 0 || e == -EOVERFLOW);
}

static void takes(void *arg) { SIM_CHECK_EQ(motet_semaphore_acquire(semaphore, MOTET_FOREVER), 0); }

SIM_SCENARIO(shared_bounded_of_others,
             .about = "one gives a permit of another's back, who may die; then a new one comes", .faults = SIM_DEATHS)
{
    begin_semaphore(2);
    process *m = mortal(takes, "mortal");
    survivor(gives_what_others_took, "giver");
    end(m);
    unsigned value = motet_semaphore_value(semaphore);
    SIM_CHECK(value == 2 || (value == 1 && !died(m)));
    check_nothing_left(value == 2 ? semaphore : NULL);
}

static void takes_in_time(void *arg)
{
    int e = motet_semaphore_acquire(semaphore, sim_now() + 1000);
    SIM_CHECK(e == 0 || e == -ETIMEDOUT);
    if (e == 0)
        SIM_CHECK_EQ(motet_semaphore_release(semaphore, 1), 0);
}

SIM_SCENARIO(shared_bounded_deadline, .about = "one permit; one gives up, one may die, one waits", .faults = SIM_DEATHS)
{
    begin_semaphore(1);
    process *m = mortal(takes_and_gives, "mortal");
    survivor(takes_in_time, "in time");
    survivor(takes_and_counts, "other");
    end_semaphore(m, 1);
}

/* ---- barrier --------------------------------------------------------------------------------------- */

static motet_barrier *barrier;
static uint32_t numbers, broken;

static void begin_barrier(unsigned parties)
{
    barrier = arena(sizeof *barrier);
    SIM_CHECK_EQ(motet_barrier_init(barrier, parties, MOTET_SHARED), 0);
}

static void meets(void *arg)
{
    int e = motet_barrier_wait(barrier, MOTET_FOREVER);
    SIM_CHECK(e >= 0 || e == -EPIPE);
    if (e >= 0)
        SIM_CHECK(!(atomic_add_relaxed(&numbers, 1u << 8 * e) & 0xffu << 8 * e)); /* each number once */
    else
        atomic_add_relaxed(&broken, 1);
}

/* Buries the dead one. If it died in the middle of coming in it may never have come: then others are not to wait for it. But
 * if it stood inside they need no help. */
static bool bury_party(process *m)
{
    sim_join(m->thread);
    if (!died(m))
        return false;
    member *place = &motet__family->members[tag_place(m->tag)];
    bool helped = !motet__record_find(place, barrier, RECORD_BARRIER, NULL) ||
                  sim_peep((uint32_t *)&barrier->reserved_[0]);
    motet__member_bury(m->tag);
    if (helped)
        motet_barrier_abort(barrier);
    return helped;
}

/* A round is complete for all or for none, whoever died. */
static void end_barrier(bool helped)
{
    sim_join_all();
    SIM_CHECK(numbers == 0 || broken == 0);
    bool is_broken = motet_barrier_broken(barrier); /* and it looks after who died */
    SIM_CHECK_EQ(sim_peep((uint32_t *)&barrier->state_) & 3, 0);
    SIM_CHECK(helped || is_broken == !numbers);
    check_nothing_left(barrier);
}

SIM_SCENARIO(shared_barrier_two, .about = "two meet, one of them may die", .faults = SIM_DEATHS)
{
    begin_barrier(2);
    process *m = mortal(meets, "mortal");
    survivor(meets, "other");
    bool helped = bury_party(m);
    end_barrier(helped);
    SIM_CHECK(died(m) || numbers == 0x101);
}

SIM_SCENARIO(shared_barrier_three, .about = "three meet, one of them may die", .faults = SIM_DEATHS, .pct = 4)
{
    begin_barrier(3);
    process *m = mortal(meets, "mortal");
    survivor(meets, "other");
    survivor(meets, "another");
    bool helped = bury_party(m);
    end_barrier(helped);
    SIM_CHECK(died(m) || numbers == 0x10101);
}

static void two_rounds(void *arg)
{
    for (int i = 0; i < 2; i++)
        SIM_CHECK(motet_barrier_wait(barrier, MOTET_FOREVER) >= 0);
}

SIM_SCENARIO(shared_barrier_rounds, .about = "two meet twice")
{
    begin_barrier(2);
    survivor(two_rounds, "one");
    survivor(two_rounds, "two");
    sim_join_all();
    check_nothing_left(barrier);
}

static void gives_up(void *arg)
{
    int e = motet_barrier_wait(barrier, sim_now() + 1000);
    SIM_CHECK(e >= 0 || e == -EPIPE || e == -ETIMEDOUT);
    atomic_add_relaxed(&in, e >= 0);
}

SIM_SCENARIO(shared_barrier_deadline, .about = "two meet, both with deadlines, one may die", .faults = SIM_DEATHS)
{
    begin_barrier(2);
    process *m = mortal(gives_up, "mortal");
    survivor(gives_up, "other");
    end(m);
    SIM_CHECK(died(m) || in == 0 || in == 2);
    check_nothing_left(barrier);
}

/* ---- condition ------------------------------------------------------------------------------------- */

static motet_lock *lock;
static motet_condition *condition;
static int items, got; /* guarded by the lock */

static void begin_condition(void)
{
    lock = arena(sizeof *lock);
    condition = arena(sizeof *condition);
    SIM_CHECK_EQ(motet_lock_init(lock, MOTET_SHARED), 0);
    SIM_CHECK_EQ(motet_condition_init(condition, MOTET_SHARED), 0);
}

static void takes_item(void *arg)
{
    SIM_CHECK(motet_lock_acquire(lock, MOTET_FOREVER) >= 0);
    while (SIM_READ(&items) == 0)
        SIM_CHECK(motet_condition_wait(condition, lock, MOTET_FOREVER) >= 0);
    plain_add(&items, -1);
    motet_lock_release(lock);
}

static void puts_item(void *arg)
{
    SIM_CHECK(motet_lock_acquire(lock, MOTET_FOREVER) >= 0);
    plain_add(&items, 1);
    motet_condition_notify(condition, 1);
    motet_lock_release(lock);
}

/* Who died with the lock in its hands may have done with its notify and its item what it liked: that is for who is told. */
static void mend_condition(void)
{
    int e = motet_lock_acquire(lock, MOTET_FOREVER);
    SIM_CHECK(e >= 0);
    if (e == MOTET_RECOVERED) {
        plain_add(&items, 1);
        motet_condition_notify_all(condition);
    }
    motet_lock_release(lock);
}

static void puts_two(void *arg)
{
    puts_item(arg);
    puts_item(arg);
}

SIM_SCENARIO(shared_condition_waiter_dies, .about = "two wait, one of them may die; two notifies", .faults = SIM_DEATHS,
             .pct = 4)
{
    begin_condition();
    process *m = mortal(takes_item, "mortal");
    survivor(takes_item, "waiter");
    survivor(puts_two, "notifier");
    see_to(m);
    mend_condition();
    sim_join_all();
    check_nothing_left(condition);
}

SIM_SCENARIO(shared_condition_two_die, .about = "one waits, one notifies, both may die", .faults = SIM_DEATHS)
{
    begin_condition();
    watched(takes_item, "mortal");
    process *m = mortal(puts_item, "mortal notifier");
    see_to(m);
    mend_condition();
    puts_item(NULL);
    sim_join_all();
    check_nothing_left(condition);
}

/* Who dies in a notify may leave it half done. */
SIM_SCENARIO(shared_condition_notifier_dies, .about = "one waits, who puts and notifies may die", .faults = SIM_DEATHS)
{
    begin_condition();
    process *m = mortal(puts_two, "mortal");
    survivor(takes_item, "waiter");
    see_to(m);
    if (died(m)) {
        mend_condition();
        puts_item(NULL);
    }
    sim_join_all();
    check_nothing_left(condition);
}

static void takes_item_in_time(void *arg)
{
    SIM_CHECK(motet_lock_acquire(lock, MOTET_FOREVER) >= 0);
    if (SIM_READ(&items) == 0)
        motet_condition_wait(condition, lock, sim_now() + 1000);
    if (SIM_READ(&items) > 0) {
        plain_add(&items, -1);
        plain_add(&got, 1);
    }
    motet_lock_release(lock);
}

/* There is one notify: if it went to the one that dies, without the lock, the other has it without anybody's help. */
SIM_SCENARIO(shared_condition_one_notify, .about = "two wait, one of them may die; one notify", .faults = SIM_DEATHS)
{
    begin_condition();
    process *m = mortal(takes_item_in_time, "mortal");
    survivor(takes_item, "waiter");
    survivor(puts_item, "notifier");
    see_to(m);
    mend_condition();
    SIM_CHECK(motet_lock_acquire(lock, MOTET_FOREVER) >= 0);
    bool taken = SIM_READ(&got);
    motet_lock_release(lock);
    if (taken)
        puts_item(NULL);
    sim_join_all();
    check_nothing_left(condition);
}

static void waits_in_time(void *arg)
{
    SIM_CHECK(motet_lock_acquire(lock, MOTET_FOREVER) >= 0);
    int e = motet_condition_wait(condition, lock, sim_now() + 1000);
    SIM_CHECK(e == 0 || e == -ETIMEDOUT || e == MOTET_RECOVERED);
    plain_add(&got, e == 0);
    motet_lock_release(lock);
}

static void notifies_one(void *arg) { SIM_CHECK_EQ(motet_condition_notify(condition, 1), 0); }

SIM_SCENARIO(shared_condition_deadline, .about = "two wait with deadlines, one may die: a notify wakes one",
             .faults = SIM_DEATHS)
{
    begin_condition();
    process *m = mortal(waits_in_time, "mortal");
    survivor(waits_in_time, "waiter");
    survivor(notifies_one, "notifier");
    end(m);
    SIM_CHECK(got <= 1 + died(m));
    check_nothing_left(condition);
}
