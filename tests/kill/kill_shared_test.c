/* SPDX-License-Identifier: MIT */
/* Shared sync objects of which processes hold something, under the kill points: a process that dies at whatever instruction of
 * an operation on one, who dies while he buries it, and who came in between. What is left is an object that serves the next
 * one at once; its numbers are those of the records of the living; nothing is lost but what the dead one had, and nobody is
 * told of a death that spoilt nothing. */
#include "kill/test_objects.h"

/* ---- rwlock ---------------------------------------------------------------------------------------- */

static int read_(void) { return motet_rwlock_acquire_read(&b->rwlock, MOTET_NOWAIT); }

static int write_(void) { return motet_rwlock_acquire_write(&b->rwlock, MOTET_NOWAIT); }

static int give(void) { return motet_rwlock_release(&b->rwlock); }

static int write_in_time(void) { return motet_rwlock_acquire_write(&b->rwlock, motet_after(2 * MOTET_MS)); }

/* The counts of RECORD_WAIT at a rwlock. */
static int wait_to_read(void) { return motet__shared_enrol(&b->rwlock, RECORD_WAIT, 1) ? 0 : -1; }

static int wait_to_write(void) { return motet__shared_enrol(&b->rwlock, RECORD_WAIT, 2) ? 0 : -1; }

static void childs_read(void) { CHECK_EQ(as(child, read_), 0); }

static void both_read(void)
{
    CHECK_EQ(as(child, read_), 0);
    CHECK_EQ(as(other, read_), 0);
}

static void childs_write(void) { CHECK_EQ(as(child, write_), 0); }

/* The waiters' bit is where the derived numbers are: it is set by who derives. */
static void derive_anew(void) { motet__family->deaths++; }

static void childs_write_waited_for(void)
{
    childs_write();
    CHECK_EQ(as(other, wait_to_read), 0);
    CHECK_EQ(as(other, wait_to_write), 0);
    derive_anew();
}

static void childs_read_waited_for(void)
{
    childs_read();
    CHECK_EQ(as(other, wait_to_write), 0);
    derive_anew();
}

static void others_read(void) { CHECK_EQ(as(other, read_), 0); }

static const char *check_told(int e, const kill_moment *when)
{
    bool acquires = now->operation == write_ || now->operation == write_in_time;
    bool releases = now->prepare == childs_write || now->prepare == childs_write_waited_for;
    if (e == MOTET_RECOVERED && !acquires && !releases)
        return "told of a death that spoilt nothing";
    if (acquires && !cut_off() && (e == MOTET_RECOVERED) != (b->result >= 0))
        return "acquired: told wrongly";
    if (releases && !cut_off() && e == MOTET_RECOVERED)
        return "it was released, but somebody is told";
    if (releases && when->step == 0 && e != MOTET_RECOVERED)
        return "nobody is told";
    return NULL;
}

static const char *check_rwlock(const kill_moment *when)
{
    bool waited = records_of(&b->rwlock, RECORD_WAIT) > 0;
    motet__shared_each(&b->rwlock, RECORD_WAIT, drop, &b->rwlock); /* they give up */
    bool others = (now->prepare == both_read || now->prepare == others_read) && !(b->intruded && now->intrude == give);
    int e = write_();
    if (others) {
        if (e != -ETIMEDOUT)
            return "another reads, but it can be had";
        if (as(other, give) != 0)
            return "another's share is gone";
        e = write_();
    }
    if (e < 0)
        return waited ? "not to be had once nobody waits" : "not to be had";
    const char *why = check_told(e, when);
    if (why)
        return why;
    if (high(b->rwlock.reserved_[0]) != motet__family_deaths())
        return "not derived anew";
    if (give() != 0 || give() != -EPERM || read_() != 0 || as(other, read_) != 0)
        return "it does not work on";
    if ((low(b->rwlock.reserved_[0])) != 2 || motet__records_sum(&b->rwlock, RECORD_READ) != 2)
        return "another number of readers than read";
    if (give() != 0 || as(other, write_) != -ETIMEDOUT || as(other, give) != 0 || as(other, write_) != 0 ||
        as(other, give) != 0)
        return "it does not work on";
    return nothing_left(&b->rwlock) ? NULL : "a record is left";
}

TEST_OPT(rwlock, .timeout_s = 120)
{
    begin();
    const uint32_t *claim = &b->rwlock.word_;
    const shared_case cases[] = {
        {"read", nothing, read_, check_rwlock},
        {"read beside another", others_read, read_, check_rwlock},
        {"write", nothing, write_, check_rwlock, .burier_dies = true},
        {"release of a share", childs_read, give, check_rwlock},
        {"release beside another", both_read, give, check_rwlock, give, claim},
        {"release of a share that is waited for", childs_read_waited_for, give, check_rwlock},
        {"release of a writer's", childs_write, give, check_rwlock},
        {"release of a writer's that is waited for", childs_write_waited_for, give, check_rwlock, .reads_clock = true},
        {"a try in vain", others_read, write_, check_rwlock, give, claim},
        {"a wait", others_read, write_in_time, check_rwlock, give, claim, .reads_clock = true},
    };
    RUN(cases);
}

/* ---- bounded semaphore ----------------------------------------------------------------------------- */

static int take(void) { return motet_semaphore_acquire(&b->bounded, MOTET_NOWAIT); }

static int take_or_be_cancelled(void)
{
    motet__park_self()->cancelled = true;
    return motet_semaphore_acquire(&b->bounded, MOTET_FOREVER);
}

static int put(void) { return motet_semaphore_release(&b->bounded, 1); }

static int put_two(void) { return motet_semaphore_release(&b->bounded, 2); }

static int wait_for_permit(void) { return motet__shared_enrol(&b->bounded, RECORD_WAIT, 1) ? 0 : -1; }

static void others_take(void) { CHECK_EQ(as(other, take), 0); }

static void others_take_two(void)
{
    others_take();
    others_take();
}

static void all_are_taken(void)
{
    others_take_two();
    others_take();
}

static void childs_and_waited_for(void)
{
    others_take_two();
    CHECK_EQ(as(child, take), 0);
    CHECK_EQ(as(other, wait_for_permit), 0);
    derive_anew();
}

static const char *check_bounded(const kill_moment *when)
{
    motet__shared_each(&b->bounded, RECORD_WAIT, drop, &b->bounded);
    bool two = now->prepare == others_take_two || now->prepare == childs_and_waited_for;
    unsigned others = now->prepare == all_are_taken ? 3 : two ? 2 : 0;
    if (b->intruded && now->intrude == take && b->intruders_result == 0)
        others++;
    if (b->intruded && now->intrude == put)
        others--;
    unsigned value = motet_semaphore_value(&b->bounded), least = LIMIT - others, most = least;
    if (now->operation == put_two) {
        most += 2;
        least = cut_off() || b->result < 0 ? least : most;
    }
    if (value < least || value > most)
        return value < least ? "permits are lost" : "permits are made";
    if (low(b->bounded.reserved_[1]) != motet__records_sum(&b->bounded, RECORD_PERMIT))
        return "another number than the living have";
    for (unsigned i = 0; i < value; i++)
        if (take() != 0)
            return "a permit is not to be had";
    if (take() != -ETIMEDOUT || motet_semaphore_release(&b->bounded, LIMIT + 1) != -EOVERFLOW)
        return "more than there are";
    if (motet_semaphore_release(&b->bounded, LIMIT) != 0 || motet_semaphore_value(&b->bounded) != LIMIT)
        return "they do not come back";
    return nothing_left(&b->bounded) ? NULL : "a record is left";
}

/* ---- unbounded semaphore --------------------------------------------------------------------------- */

static int take_unbounded(void) { return motet_semaphore_acquire(&b->unbounded, MOTET_NOWAIT); }

static int put_unbounded(void) { return motet_semaphore_release(&b->unbounded, 1); }

static const char *check_unbounded(const kill_moment *when)
{
    unsigned value = motet_semaphore_value(&b->unbounded) - (b->intruded ? 1 : 0), before = 1;
    unsigned after = now->operation == put_unbounded ? before + 1 : before - 1;
    if (value != after && (value != before || !cut_off()))
        return "another number of permits";
    for (value += b->intruded; value; value--)
        if (take_unbounded() != 0)
            return "a permit is not to be had";
    return take_unbounded() == -ETIMEDOUT ? NULL : "more than there are";
}

TEST_OPT(semaphore, .timeout_s = 120)
{
    begin();
    const uint32_t *claim = (uint32_t *)&b->bounded.reserved_[0];
    const shared_case cases[] = {
        {"take", nothing, take, check_bounded, take, claim},
        {"take beside others", others_take_two, take, check_bounded, .burier_dies = true},
        {"a try in vain", all_are_taken, take, check_bounded, put, claim},
        {"put of one's own that is waited for", childs_and_waited_for, put, check_bounded},
        {"put of others'", all_are_taken, put_two, check_bounded},
        {"a wait", all_are_taken, take_or_be_cancelled, check_bounded, put, claim, .reads_clock = true},
        {"unbounded: take", nothing, take_unbounded, check_unbounded},
        {"unbounded: put", nothing, put_unbounded, check_unbounded, put_unbounded},
    };
    RUN(cases);
}

/* ---- lock ------------------------------------------------------------------------------------------ */

static void childs_lock_waited_for(void)
{
    childs_lock();
    *(uint32_t *)&b->lock.owner_ |= CLAIM_WAITED;
}

static const char *check_lock(const kill_moment *when)
{
    int e = lock_();
    bool acquires = now->operation == lock_;
    if (e < 0)
        return "not to be had";
    if (when->intrusion == 0 && (when->step == 0 || !cut_off()) &&
        (e == MOTET_RECOVERED) != (when->step == 0 ? !acquires : acquires))
        return "told wrongly";
    if (unlock() != 0 || unlock() != -EPERM || as(other, lock_) != 0 || lock_() != -ETIMEDOUT || unlock() != 0)
        return "it does not work on";
    return NULL;
}

TEST_OPT(lock, .timeout_s = 120)
{
    begin();
    const shared_case cases[] = {
        {"acquire", nothing, lock_, check_lock},
        {"release", childs_lock, unlock, check_lock},
        {"release with waiters", childs_lock_waited_for, unlock, check_lock},
    };
    RUN(cases);
}

/* ---- mistakes: each must be found ------------------------------------------------------------------ */

/* Dead, but nobody has told. */
static void tells_nobody(void *arg)
{
    member *m = &motet__family->members[tag_place(child)];
    m->state = member_word(MEMBER_FREE, tag_generation(child), 0);
}

TEST_OPT(flaw_nobody_buries, .timeout_s = 120)
{
    begin();
    const shared_case c = {"write", nothing, write_, check_rwlock};
    CHECK(try_all(&c, forgets).why != NULL);
}

TEST_OPT(flaw_nobody_is_told, .timeout_s = 120)
{
    begin();
    const shared_case c = {"take", nothing, take, check_bounded};
    CHECK(try_all(&c, tells_nobody).why != NULL);
}
