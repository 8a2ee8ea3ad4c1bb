/* SPDX-License-Identifier: MIT */
/* Shared sync objects under the kill points: a process that dies at whatever instruction of an operation on one, who dies
 * while he buries it, and who came in between. What is left is an object that serves the next one at once; its numbers are
 * those of the records of the living; nothing is lost but what the dead one had, and nobody is told of a death that spoilt
 * nothing.
 *
 * The test's process plays all but the one that dies: it does things as (the member) `other` or `root`. What `other` waits
 * for is a record in its log, as if a thread of it slept. */
#include "kill/kill.h"

#include "family/arena.h"
#include "runner.h"
#include "sync/shared_objects.h"

#include <errno.h>
#include <stdlib.h>

enum { RECORDS = 6, LIMIT = 3, RUNNING = 1 << 20 };

/* All that an operation may change, but for members and their logs. */
typedef struct bench {
    motet_rwlock rwlock;
    motet_semaphore bounded, unbounded;
    motet_barrier barrier;
    motet_lock lock;
    motet_condition condition;
    int result;
    bool burying, intruded;
    int intruders_result;
} bench;

static bench *b;
static member_tag root, child, burier, other;
static const struct shared_case *now;

typedef struct shared_case {
    const char *name;
    void (*prepare)(void);
    int (*operation)(void);
    const char *(*check)(const kill_moment *when);
    int (*intrude)(void); /* as `other`, while nobody has `claim` */
    const uint32_t *claim;
    bool reads_clock; /* two of them do not leave the same bytes */
    bool burier_dies; /* that takes long, and is the same for all */
} shared_case;

/* ---- members --------------------------------------------------------------------------------------- */

static member_tag new_member(void)
{
    int64_t tag = motet__member_claim();
    CHECK_GT(tag, 0);
    CHECK_EQ(motet__member_become((member_tag)tag), 0);
    motet__family_tag = root;
    return (member_tag)tag;
}

static int as(member_tag who, int (*fn)(void))
{
    motet__family_tag = who;
    int result = fn();
    motet__family_tag = root;
    return result;
}

static void operate(void *arg)
{
    motet__family_tag = child; /* a fork's child is no member */
    atomic_store_release(&b->result, now->operation());
}

/* By a child whose own burial may follow, or by the root. */
static void recover(void *arg)
{
    if (!motet__family_tag) {
        if (!now->burier_dies)
            return;
        motet__family_tag = burier;
        atomic_store_release(&b->burying, true);
    } else if (b->burying) {
        motet__member_bury(burier);
    }
    motet__member_bury(child);
}

static void intrude(void *arg)
{
    if (now->claim && claim_held(now->claim))
        return; /* it would wait */
    b->intruded = true;
    b->intruders_result = as(other, now->intrude);
}

static void count(record *r, void *arg) { ++*(unsigned *)arg; }

static unsigned records_of(const void *object, uint32_t what)
{
    unsigned n = 0;
    motet__shared_each(object, what, count, &n);
    return n;
}

static bool nothing_left(const void *object)
{
    for (uint32_t what = RECORD_READ; what <= RECORD_WAIT; what++)
        if (records_of(object, what))
            return false;
    return true;
}

static uint32_t low(uint64_t word) { return (uint32_t)word; }

static uint32_t high(uint64_t word) { return (uint32_t)(word >> 32); }

/* It never came to its end. */
static bool cut_off(void) { return b->result == RUNNING; }

/* ---- rwlock ---------------------------------------------------------------------------------------- */

static int read_(void) { return motet_rwlock_acquire_read(&b->rwlock, MOTET_NOWAIT); }

static int write_(void) { return motet_rwlock_acquire_write(&b->rwlock, MOTET_NOWAIT); }

static int give(void) { return motet_rwlock_release(&b->rwlock); }

static int write_in_time(void) { return motet_rwlock_acquire_write(&b->rwlock, motet_after(2 * MOTET_MS)); }

/* The counts of RECORD_WAIT at a rwlock. */
static int wait_to_read(void) { return motet__shared_enrol(&b->rwlock, RECORD_WAIT, 1) ? 0 : -1; }

static int wait_to_write(void) { return motet__shared_enrol(&b->rwlock, RECORD_WAIT, 2) ? 0 : -1; }

static void drop(record *r, void *object) { motet__shared_drop(r, object); }

static void nothing(void) {}

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

/* ---- unbounded semaphore, lock --------------------------------------------------------------------- */

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

static int lock_(void) { return motet_lock_acquire(&b->lock, MOTET_NOWAIT); }

static int unlock(void) { return motet_lock_release(&b->lock); }

static void childs_lock(void) { CHECK_EQ(as(child, lock_), 0); }

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

/* ---- all of it ------------------------------------------------------------------------------------- */

static const char *check(void *arg, const kill_moment *when) { return now->check(when); }

static const kill_part *parts(void)
{
    static kill_part all[8];
    family *f = motet__family;
    unsigned n = 0;
    all[n++] = (kill_part){f, sizeof *f};
    for (uint32_t i = 1; i < f->places_used; i++)
        all[n++] = (kill_part){&f->members[i], offsetof(member, records) + RECORDS * sizeof(record)};
    all[n++] = (kill_part){b, sizeof *b};
    return all;
}

static void begin(void)
{
#if defined(TEST_UNDER_TSAN) || defined(TEST_UNDER_ASAN)
    SKIP("a sanitizer's own code would be stepped too");
#endif
    CHECK_EQ(setenv("MOTET_ARENA_SIZE", "768K", 1), 0);
    motet__family_places_most = 5;
    CHECK_EQ(motet__family_open(), 0);
    root = motet__family_tag;
    child = new_member();
    burier = new_member();
    other = new_member();
    b = motet__arena_alloc(sizeof *b, ARENA_PLAIN);
    CHECK(b != NULL);
}

static void make_objects(void)
{
    *b = (bench){.result = RUNNING};
    CHECK_EQ(motet_rwlock_init(&b->rwlock, MOTET_SHARED), 0);
    CHECK_EQ(motet_semaphore_init(&b->bounded, LIMIT, MOTET_SHARED | MOTET_BOUNDED), 0);
    CHECK_EQ(motet_semaphore_init(&b->unbounded, 1, MOTET_SHARED), 0);
    CHECK_EQ(motet_barrier_init(&b->barrier, 2, MOTET_SHARED), 0);
    CHECK_EQ(motet_lock_init(&b->lock, MOTET_SHARED), 0);
    CHECK_EQ(motet_condition_init(&b->condition, MOTET_SHARED), 0);
}

static kill_report try_all(const shared_case *c, void (*recovery)(void *arg))
{
    make_objects();
    now = c;
    c->prepare();
    kill_case k = {.parts = parts(),
                   .operation = operate,
                   .recover = recovery,
                   .check = check,
                   .intrude = c->intrude ? intrude : NULL,
                   .real_deaths = c->reads_clock ? 0 : 4,
                   .steps_max = 20000};
    kill_report r;
    if (kill_points(&k, &r) == -ENOTSUP)
        SKIP(r.why);
    LOG("%s: %u instructions, %lu moments of death, %lu recoveries checked: %s (instruction %u, another's after %u, "
        "burier's %u)",
        c->name, r.steps, r.deaths, r.recovered, r.why ? r.why : "all fine", r.at.step, r.at.intrusion, r.at.recovery);
    return r;
}

static void run(const shared_case *cases, unsigned n)
{
    unsigned long deaths = 0;
    for (unsigned i = 0; i < n; i++) {
        kill_report r = try_all(&cases[i], recover);
        CHECK_PTR(r.why, NULL);
        deaths += r.deaths;
    }
    LOG("%lu moments of death", deaths);
    CHECK_GE(deaths, 50 * n);
}
#define RUN(cases) run((cases), sizeof(cases) / sizeof *(cases))

#define RWLOCK(title, made, op, comes)                                                            \
    {                                                                                             \
        .name = title, .prepare = made, .operation = op, .check = check_rwlock, .intrude = comes, \
        .claim = &b->rwlock.word_                                                                 \
    }

TEST_OPT(rwlock, .timeout_s = 120)
{
    begin();
    const shared_case cases[] = {
        RWLOCK("read", nothing, read_, NULL),
        RWLOCK("read beside another", others_read, read_, NULL),
        {.name = "write", .prepare = nothing, .operation = write_, .check = check_rwlock, .burier_dies = true},
        RWLOCK("release of a share", childs_read, give, NULL),
        RWLOCK("release beside another", both_read, give, give),
        RWLOCK("release of a share that is waited for", childs_read_waited_for, give, NULL),
        RWLOCK("release of a writer's", childs_write, give, NULL),
        {.name = "release of a writer's that is waited for",
         .prepare = childs_write_waited_for,
         .operation = give,
         .check = check_rwlock,
         .reads_clock = true},
        RWLOCK("a try in vain", others_read, write_, give),
        {.name = "a wait",
         .prepare = others_read,
         .operation = write_in_time,
         .check = check_rwlock,
         .intrude = give,
         .claim = &b->rwlock.word_,
         .reads_clock = true},
    };
    RUN(cases);
}

#define BOUNDED(title, made, op, comes)                                                            \
    {                                                                                              \
        .name = title, .prepare = made, .operation = op, .check = check_bounded, .intrude = comes, \
        .claim = (uint32_t *)&b->bounded.reserved_[0]                                              \
    }

TEST_OPT(semaphore, .timeout_s = 120)
{
    begin();
    const shared_case cases[] = {
        BOUNDED("take", nothing, take, take),
        {.name = "take beside others",
         .prepare = others_take_two,
         .operation = take,
         .check = check_bounded,
         .burier_dies = true},
        BOUNDED("a try in vain", all_are_taken, take, put),
        BOUNDED("put of one's own that is waited for", childs_and_waited_for, put, NULL),
        BOUNDED("put of others'", all_are_taken, put_two, NULL),
        {.name = "a wait",
         .prepare = all_are_taken,
         .operation = take_or_be_cancelled,
         .check = check_bounded,
         .intrude = put,
         .claim = (uint32_t *)&b->bounded.reserved_[0],
         .reads_clock = true},
        {.name = "unbounded: take", .prepare = nothing, .operation = take_unbounded, .check = check_unbounded},
        {.name = "unbounded: put",
         .prepare = nothing,
         .operation = put_unbounded,
         .check = check_unbounded,
         .intrude = put_unbounded},
    };
    RUN(cases);
}

TEST_OPT(barrier, .timeout_s = 120)
{
    begin();
    const uint32_t *claim = (uint32_t *)&b->barrier.reserved_[0];
    const shared_case cases[] = {
        {.name = "the last to come", .prepare = others_party, .operation = meet, .check = check_barrier},
        {.name = "one that gives up",
         .prepare = nothing,
         .operation = meet_or_be_cancelled,
         .check = check_barrier,
         .intrude = meet,
         .claim = claim,
         .reads_clock = true},
        {.name = "reset", .prepare = others_party, .operation = reset, .check = check_barrier},
        {.name = "abort", .prepare = others_party, .operation = abort_, .check = check_barrier},
    };
    RUN(cases);
}

TEST_OPT(condition, .timeout_s = 120)
{
    begin();
    const shared_case cases[] = {
        {.name = "notify",
         .prepare = others_wait,
         .operation = notify_two,
         .check = check_condition,
         .burier_dies = true},
        {.name = "a wait",
         .prepare = childs_lock,
         .operation = wait_or_be_cancelled,
         .check = check_condition,
         .intrude = notify_after_standing_in_line,
         .claim = &b->condition.word_,
         .reads_clock = true},
    };
    RUN(cases);
}

TEST_OPT(lock, .timeout_s = 120)
{
    begin();
    const shared_case cases[] = {
        {.name = "acquire", .prepare = nothing, .operation = lock_, .check = check_lock},
        {.name = "release", .prepare = childs_lock, .operation = unlock, .check = check_lock},
        {.name = "release with waiters", .prepare = childs_lock_waited_for, .operation = unlock, .check = check_lock},
    };
    RUN(cases);
}

/* ---- mistakes: each must be found ------------------------------------------------------------------ */

static void forgets(void *arg) {}

/* Dead, but nobody has told. */
static void tells_nobody(void *arg)
{
    member *m = &motet__family->members[tag_place(child)];
    m->state = member_word(MEMBER_FREE, tag_generation(child), 0);
}

TEST_OPT(flaw_nobody_buries, .timeout_s = 120)
{
    begin();
    const shared_case c = RWLOCK("write", nothing, write_, NULL);
    CHECK(try_all(&c, forgets).why != NULL);
}

TEST_OPT(flaw_nobody_is_told, .timeout_s = 120)
{
    begin();
    const shared_case c = BOUNDED("take", nothing, take, NULL);
    CHECK(try_all(&c, tells_nobody).why != NULL);
}
