/* SPDX-License-Identifier: MIT */
/* Shared objects at which processes wait for each other, barrier and condition, under the kill points: nobody waits for ever for
 * who has died, nobody goes on too early for it, and no notify is lost with him. */
#include "kill/test_objects.h"

/* ---- barrier --------------------------------------------------------------------------------------- */

static int meet(void) { return motet_barrier_wait(&b->barrier, MOTET_NOWAIT); }

static int meet_or_be_cancelled(void)
{
    motet__park_self()->cancelled = true;
    return motet_barrier_wait(&b->barrier, MOTET_FOREVER);
}

static int reset(void) { return motet_barrier_reset(&b->barrier); }

static int abort_(void) { return motet_barrier_abort(&b->barrier); }

static int stand_inside(void) { return motet__shared_enrol(&b->barrier, RECORD_BARRIER, 1) ? 0 : -1; }

static void others_party(void)
{
    CHECK_EQ(as(other, stand_inside), 0);
    b->barrier.state_ += (uint64_t)1 << 32;
}

static const char *check_barrier(const kill_moment *when)
{
    bool broken = motet_barrier_broken(&b->barrier);
    uint32_t phase = low(b->barrier.state_), inside = high(b->barrier.state_);
    if (inside != motet__records_sum(&b->barrier, RECORD_BARRIER))
        return "another number than are inside";
    if ((phase & 3) && !inside)
        return "a round that nobody can end";
    if (now->operation == meet && b->result == 1 && (broken || phase != 1))
        return "a round that was complete is broken";
    if (now->operation == meet && cut_off() && !broken && phase != 1 && phase != 0)
        return "neither complete nor broken nor as before";
    if (now->operation == abort_ && !cut_off() && !broken)
        return "it was broken, and is not";
    if (now->operation == meet_or_be_cancelled && b->result == -ECANCELED && !broken && !b->intruded)
        return "one gave up, and it is not broken";
    if (b->result == 0 && now->operation == meet_or_be_cancelled && b->intruders_result != 1)
        return "one was let through alone";
    if (reset() != 0)
        return "it cannot be reset";
    motet__member_bury(other);
    if (motet_barrier_waiting(&b->barrier) != 0 || motet_barrier_broken(&b->barrier))
        return "not whole and empty after a reset";
    if (meet() != -ETIMEDOUT || meet() != -EPIPE || reset() != 0 || meet() != -ETIMEDOUT)
        return "it does not work on";
    return nothing_left(&b->barrier) ? NULL : "a record is left";
}

TEST_OPT(barrier, .timeout_s = 120)
{
    begin();
    const uint32_t *claim = (uint32_t *)&b->barrier.reserved_[0];
    const shared_case cases[] = {
        {"the last to come", others_party, meet, check_barrier},
        {"one that gives up", nothing, meet_or_be_cancelled, check_barrier, meet, claim, .reads_clock = true},
        {"reset", others_party, reset, check_barrier},
        {"abort", others_party, abort_, check_barrier},
    };
    RUN(cases);
}

/* ---- condition ------------------------------------------------------------------------------------- */

static int notify(void) { return motet_condition_notify(&b->condition, 1); }

static int notify_two(void) { return motet_condition_notify(&b->condition, 2); }

static int wait_or_be_cancelled(void)
{
    motet__park_self()->cancelled = true;
    return motet_condition_wait(&b->condition, &b->lock, MOTET_FOREVER);
}

static int stand_in_line(void) { return motet__shared_enrol(&b->condition, RECORD_CONDITION, 0) ? 0 : -1; }

static void others_wait(void)
{
    for (int i = 0; i < 3; i++)
        CHECK_EQ(as(other, stand_in_line), 0);
}

/* It waits as well, and came later. */
static int notify_after_standing_in_line(void)
{
    stand_in_line();
    return notify();
}

static const char *check_condition(const kill_moment *when)
{
    if (motet_condition_notify(&b->condition, 0) != 0)
        return "no notify";
    uint32_t marked = (uint32_t)motet__records_sum(&b->condition, RECORD_CONDITION);
    if (low(b->condition.reserved_) != marked)
        return "another number of notifies than waiters that have them";
    if (now->operation == notify_two && (cut_off() ? marked > 2 : marked != 2))
        return "a waiter too many or too few was chosen";
    int e = lock_();
    if (e < 0)
        return "the lock is not to be had";
    if (now->operation == wait_or_be_cancelled) {
        bool wanted = b->intruded && b->result != 0;
        if (marked > (unsigned)b->intruded)
            return "a notify was given twice";
        if (wanted && !marked && e != MOTET_RECOVERED)
            return "a notify is lost with the dead";
        if (b->result == 0 && marked)
            return "a notify was taken, and given to another";
        if (!cut_off() && e != MOTET_RECOVERED)
            return "the dead one returned without the lock";
    }
    motet__shared_each(&b->condition, RECORD_CONDITION, drop, &b->condition);
    motet__family->deaths++; /* as if they had died */
    if (notify_two() != 0 || low(b->condition.reserved_) != 0)
        return "a notify is kept for nobody";
    if (motet_condition_wait(&b->condition, &b->lock, MOTET_NOWAIT) != -ETIMEDOUT || unlock() != 0)
        return "it does not work on";
    return nothing_left(&b->condition) ? NULL : "a record is left";
}

TEST_OPT(condition, .timeout_s = 120)
{
    begin();
    const uint32_t *claim = &b->condition.word_;
    const shared_case cases[] = {
        {"notify", others_wait, notify_two, check_condition, .burier_dies = true},
        {"a wait", childs_lock, wait_or_be_cancelled, check_condition, notify_after_standing_in_line, claim,
         .reads_clock = true},
    };
    RUN(cases);
}
