/* SPDX-License-Identifier: MIT */
/* Guard, lock, rlock, rwlock: exclusion, no lost wakeup, deadlines that leave nothing behind. */
#include "help.h"

#include "base/guard.h"

static int counter, writers, timed_out;
static guard g;
static motet_lock lock;
static motet_rlock rlock;
static motet_rwlock rw;

/* ---- guard ----------------------------------------------------------------------------------------- */

static void with_guard(void *arg)
{
    guard_lock(&g);
    plain_add(&counter, 1);
    guard_unlock(&g);
}

SIM_SCENARIO(guard_two, .about = "two take a guard", .faults = SIM_SPURIOUS, .bound = 3)
{
    run_many(2, with_guard);
    SIM_CHECK_EQ(counter, 2);
    SIM_CHECK(guard_try_lock(&g));
}

SIM_SCENARIO(guard_three, .about = "three take a guard", .faults = SIM_SPURIOUS)
{
    run_many(3, with_guard);
    SIM_CHECK_EQ(counter, 3);
}

/* ---- lock ------------------------------------------------------------------------------------------ */

static void with_lock(void *arg)
{
    SIM_CHECK_EQ(motet_lock_acquire(&lock, MOTET_FOREVER), 0);
    plain_add(&counter, 1);
    SIM_CHECK_EQ(motet_lock_release(&lock), 0);
}

SIM_SCENARIO(lock_two, .about = "two take a lock", .faults = SIM_SPURIOUS | SIM_INTERRUPT)
{
    run_many(2, with_lock);
    SIM_CHECK_EQ(counter, 2);
    SIM_CHECK(!motet_lock_locked(&lock));
}

SIM_SCENARIO(lock_three, .about = "three take a lock")
{
    run_many(3, with_lock);
    SIM_CHECK_EQ(counter, 3);
    SIM_CHECK(!motet_lock_locked(&lock));
}

static void with_lock_in_time(void *arg)
{
    int e = motet_lock_acquire(&lock, sim_now() + 1000);
    if (e == -ETIMEDOUT)
        return;
    SIM_CHECK_EQ(e, 0);
    plain_add(&counter, 1);
    SIM_CHECK_EQ(motet_lock_release(&lock), 0);
}

SIM_SCENARIO(lock_deadline, .about = "two take a lock for good, one gives up at its deadline or not")
{
    sim_spawn(with_lock_in_time, NULL, "hasty");
    spawn_many(2, with_lock);
    sim_join_all();
    SIM_CHECK(counter == 2 || counter == 3);
    SIM_CHECK_EQ(motet_lock_acquire(&lock, MOTET_NOWAIT), 0);
}

static void with_lock_for_long(void *arg)
{
    for (int i = 0; i < 2; i++) {
        SIM_CHECK_EQ(motet_lock_acquire(&lock, MOTET_FOREVER), 0);
        sim_pass(2 * MOTET_MS);
        plain_add(&counter, 1);
        SIM_CHECK_EQ(motet_lock_release(&lock), 0);
    }
}

SIM_SCENARIO(lock_handover, .about = "who was overtaken for long is handed the lock")
{
    sim_spawn(with_lock_for_long, NULL, "greedy");
    spawn_many(2, with_lock);
    sim_join_all();
    SIM_CHECK_EQ(counter, 4);
    SIM_CHECK(!motet_lock_locked(&lock));
}

/* ---- rlock ----------------------------------------------------------------------------------------- */

static void with_rlock(void *arg)
{
    SIM_CHECK_EQ(motet_rlock_acquire(&rlock, MOTET_FOREVER), 0);
    SIM_CHECK_EQ(motet_rlock_acquire(&rlock, MOTET_FOREVER), 0);
    plain_add(&counter, 1);
    SIM_CHECK_EQ(motet_rlock_release(&rlock), 0);
    plain_add(&counter, 1);
    SIM_CHECK_EQ(motet_rlock_release(&rlock), 0);
    SIM_CHECK_EQ(motet_rlock_release(&rlock), -EPERM);
}

SIM_SCENARIO(rlock_two, .about = "two take a recursive lock twice each")
{
    run_many(2, with_rlock);
    SIM_CHECK_EQ(counter, 4);
}

/* ---- rwlock ---------------------------------------------------------------------------------------- */

static void reads(void *arg)
{
    SIM_CHECK_EQ(motet_rwlock_acquire_read(&rw, MOTET_FOREVER), 0);
    SIM_CHECK_EQ(SIM_READ(&counter), SIM_READ(&writers));
    SIM_CHECK_EQ(motet_rwlock_release(&rw), 0);
}

static void writes(void *arg)
{
    SIM_CHECK_EQ(motet_rwlock_acquire_write(&rw, MOTET_FOREVER), 0);
    plain_add(&counter, 1);
    plain_add(&writers, 1);
    SIM_CHECK_EQ(motet_rwlock_release(&rw), 0);
}

SIM_SCENARIO(rwlock_two_writers, .about = "two write", .faults = SIM_SPURIOUS)
{
    run_many(2, writes);
    SIM_CHECK_EQ(counter, 2);
    SIM_CHECK_EQ(motet_rwlock_acquire_write(&rw, MOTET_NOWAIT), 0);
}

SIM_SCENARIO(rwlock_mixed, .about = "two read, one writes")
{
    sim_spawn(writes, NULL, "writer");
    spawn_many(2, reads);
    sim_join_all();
    SIM_CHECK_EQ(motet_rwlock_acquire_write(&rw, MOTET_NOWAIT), 0);
}

SIM_SCENARIO(rwlock_two_each, .about = "two read, two write", .cap = 40)
{
    spawn_many(2, reads);
    spawn_many(2, writes);
    sim_join_all();
    SIM_CHECK_EQ(counter, 2);
    SIM_CHECK_EQ(motet_rwlock_acquire_write(&rw, MOTET_NOWAIT), 0);
}

static void writes_in_time(void *arg)
{
    int e = motet_rwlock_acquire_write(&rw, sim_now() + 1000);
    timed_out = e == -ETIMEDOUT;
    if (!timed_out)
        SIM_CHECK_EQ(motet_rwlock_release(&rw), 0);
}

SIM_SCENARIO(rwlock_deadline, .about = "a writer gives up before a reader and a writer that wait for it")
{
    sim_spawn(reads, NULL, "reader");
    sim_spawn(writes_in_time, NULL, "hasty");
    sim_spawn(reads, NULL, "reader");
    sim_spawn(writes, NULL, "writer");
    sim_join_all();
    SIM_CHECK_EQ(motet_rwlock_acquire_write(&rw, MOTET_NOWAIT), 0);
}

static void writes_or_gives_up(void *arg)
{
    int e = motet_rwlock_acquire_write(&rw, sim_now() + 1000);
    if (e == -ETIMEDOUT)
        return;
    SIM_CHECK_EQ(e, 0);
    plain_add(&counter, 1);
    plain_add(&writers, 1);
    SIM_CHECK_EQ(motet_rwlock_release(&rw), 0);
}

SIM_SCENARIO(rwlock_gives_up, .about = "a writer gives up just as the other lets go; a reader comes then")
{
    sim_spawn(writes, NULL, "writer");
    sim_spawn(writes_or_gives_up, NULL, "hasty");
    sim_spawn(reads, NULL, "reader");
    sim_join_all();
    SIM_CHECK_EQ(motet_rwlock_acquire_write(&rw, MOTET_NOWAIT), 0);
}
