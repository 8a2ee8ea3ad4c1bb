/* SPDX-License-Identifier: MIT */
/* Semaphore, event, condition, barrier, once, latch. */
#include "help.h"

static int counter, inside, woken, data;
static motet_semaphore semaphore;
static motet_event event;
static motet_lock lock;
static motet_condition condition;
static motet_barrier barrier;
static motet_once_flag flag;
static motet_latch latch;
static uint32_t in;

/* ---- semaphore ------------------------------------------------------------------------------------- */

static void with_permit(void *arg)
{
    SIM_CHECK_EQ(motet_semaphore_acquire(&semaphore, MOTET_FOREVER), 0);
    SIM_CHECK(atomic_add_relaxed(&in, 1) < 2);
    atomic_sub_relaxed(&in, 1);
    SIM_CHECK_EQ(motet_semaphore_release(&semaphore, 1), 0);
}

SIM_SCENARIO(semaphore_three, .about = "three share two permits", .faults = SIM_SPURIOUS)
{
    motet_semaphore_init(&semaphore, 2, 0);
    run_many(3, with_permit);
    SIM_CHECK_EQ(motet_semaphore_value(&semaphore), 2);
}

static void takes_in_time(void *arg)
{
    if (motet_semaphore_acquire(&semaphore, sim_now() + 1000) == 0)
        atomic_add_relaxed(&in, 1);
}

SIM_SCENARIO(semaphore_deadline, .about = "two wait with deadlines, two permits come one by one")
{
    motet_semaphore_init(&semaphore, 0, 0);
    spawn_many(2, takes_in_time);
    motet_semaphore_release(&semaphore, 1);
    motet_semaphore_release(&semaphore, 1);
    sim_join_all();
    SIM_CHECK_EQ(in + motet_semaphore_value(&semaphore), 2);
}

SIM_SCENARIO(semaphore_batch, .about = "two wait, two permits come at once")
{
    motet_semaphore_init(&semaphore, 0, 0);
    spawn_many(2, takes_in_time);
    motet_semaphore_release(&semaphore, 2);
    sim_join_all();
    SIM_CHECK_EQ(in + motet_semaphore_value(&semaphore), 2);
}

static void gives(void *arg)
{
    plain_add(&data, 7);
    motet_semaphore_release(&semaphore, 1);
}

SIM_SCENARIO(semaphore_publishes, .about = "who takes a permit sees what came before it was given")
{
    motet_semaphore_init(&semaphore, 0, 0);
    sim_spawn(gives, NULL, "giver");
    SIM_CHECK_EQ(motet_semaphore_acquire(&semaphore, MOTET_FOREVER), 0);
    SIM_CHECK_EQ(SIM_READ(&data), 7);
    sim_join_all();
}

static void takes_now(void *arg) { SIM_CHECK_EQ(motet_semaphore_acquire(&semaphore, MOTET_NOWAIT), 0); }

SIM_SCENARIO(semaphore_nowait, .about = "two permits, two who don't wait: both get one")
{
    motet_semaphore_init(&semaphore, 2, 0);
    run_many(2, takes_now);
}

/* ---- event ----------------------------------------------------------------------------------------- */

static void waits_for_event(void *arg)
{
    SIM_CHECK_EQ(motet_event_wait(&event, MOTET_FOREVER), 0);
    SIM_CHECK_EQ(SIM_READ(&data), 7);
}

SIM_SCENARIO(event_set, .about = "two wait, one sets", .faults = SIM_SPURIOUS)
{
    spawn_many(2, waits_for_event);
    SIM_WRITE(&data, 7);
    motet_event_set(&event);
    sim_join_all();
}

SIM_SCENARIO(event_set_clear, .about = "who waits when it is set is woken, though it is cleared at once")
{
    spawn_many(1, waits_for_event);
    SIM_WRITE(&data, 7);
    motet_event_set(&event);
    motet_event_clear(&event);
    motet_event_set(&event);
    sim_join_all();
}

static void sets(void *arg)
{
    SIM_WRITE(&data, 7);
    motet_event_set(&event);
}

static void waits_in_time_for_event(void *arg)
{
    int e = motet_event_wait(&event, sim_now() + 1000);
    SIM_CHECK(e == 0 || e == -ETIMEDOUT);
    if (e == 0)
        SIM_CHECK_EQ(SIM_READ(&data), 7);
}

SIM_SCENARIO(event_deadline, .about = "a set at the very deadline: who says that it came sees what was before it")
{
    sim_spawn(sets, NULL, "setter");
    waits_in_time_for_event(NULL);
    sim_join_all();
}

SIM_SCENARIO(select_event_deadline, .about = "the same for a select")
{
    sim_spawn(sets, NULL, "setter");
    motet_choice c = {.op = MOTET_SET, .event = &event};
    int e = motet_select(&c, 1, sim_now() + 1000);
    SIM_CHECK(e == 0 || e == -ETIMEDOUT);
    if (e == 0)
        SIM_CHECK_EQ(SIM_READ(&data), 7);
    sim_join_all();
}

SIM_SCENARIO(event_late_wake, .about = "the wake of a set comes after a clear: who waits for the next set sleeps on")
{
    int first = sim_spawn(waits_for_event, NULL, "first");
    int setter = sim_spawn(sets, NULL, "setter");
    sim_join(first);
    motet_event_clear(&event);
    SIM_CHECK_EQ(motet_event_wait(&event, sim_now() + 1000), -ETIMEDOUT);
    sim_join(setter);
}

/* ---- condition ------------------------------------------------------------------------------------- */

static void waits_for_data(void *arg)
{
    motet_lock_acquire(&lock, MOTET_FOREVER);
    while (SIM_READ(&data) == 0)
        SIM_CHECK_EQ(motet_condition_wait(&condition, &lock, MOTET_FOREVER), 0);
    plain_add(&data, -1);
    motet_lock_release(&lock);
}

static void adds_data(void *arg)
{
    motet_lock_acquire(&lock, MOTET_FOREVER);
    plain_add(&data, 1);
    motet_condition_notify(&condition, 1);
    motet_lock_release(&lock);
}

SIM_SCENARIO(condition_notify, .about = "one waits, one notifies", .faults = SIM_SPURIOUS)
{
    sim_spawn(waits_for_data, NULL, "waiter");
    sim_spawn(adds_data, NULL, "notifier");
    sim_join_all();
}

SIM_SCENARIO(condition_two_each, .about = "two wait, two notify")
{
    spawn_many(2, waits_for_data);
    spawn_many(2, adds_data);
    sim_join_all();
    SIM_CHECK_EQ(data, 0);
}

static void waits_in_time(void *arg)
{
    motet_lock_acquire(&lock, MOTET_FOREVER);
    plain_add(&inside, 1);
    int e = motet_condition_wait(&condition, &lock, sim_now() + 1000);
    SIM_CHECK(e == 0 || e == -ETIMEDOUT);
    plain_add(&woken, e == 0);
    motet_lock_release(&lock);
}

static void notifies_when_both_wait(void *arg)
{
    motet_lock_acquire(&lock, MOTET_FOREVER);
    int waiting = SIM_READ(&inside);
    SIM_WRITE(&counter, motet_condition_notify(&condition, 1));
    motet_lock_release(&lock);
    SIM_CHECK(waiting <= 2);
}

SIM_SCENARIO(condition_deadline, .about = "a notify wakes one, whatever the deadlines do")
{
    spawn_many(2, waits_in_time);
    sim_spawn(notifies_when_both_wait, NULL, "notifier");
    sim_join_all();
    SIM_CHECK(woken <= 1);
}

/* ---- barrier --------------------------------------------------------------------------------------- */

static void meets(void *arg)
{
    for (int i = 0; i < 2; i++) {
        int e = motet_barrier_wait(&barrier, MOTET_FOREVER);
        SIM_CHECK(e == 0 || e == 1);
        atomic_add_relaxed(&in, (uint32_t)e + 1);
    }
}

SIM_SCENARIO(barrier_two, .about = "two meet twice", .faults = SIM_SPURIOUS)
{
    motet_barrier_init(&barrier, 2, 0);
    run_many(2, meets);
    SIM_CHECK_EQ(in, 2 * (1 + 2));
}

static void meets_or_breaks(void *arg)
{
    int e = motet_barrier_wait(&barrier, sim_now() + 1000);
    atomic_add_relaxed(&in, e >= 0);
    SIM_CHECK(e >= 0 || e == -ETIMEDOUT || e == -EPIPE);
}

SIM_SCENARIO(barrier_deadline, .about = "all come through, or it breaks for all")
{
    motet_barrier_init(&barrier, 2, 0);
    run_many(2, meets_or_breaks);
    SIM_CHECK(in == 0 || in == 2);
    SIM_CHECK_EQ(motet_barrier_broken(&barrier), in == 0);
}

static int each[2];

static void writes_and_meets(void *arg)
{
    int i = (int)(intptr_t)arg;
    SIM_WRITE(&each[i], 7);
    SIM_CHECK(motet_barrier_wait(&barrier, MOTET_FOREVER) >= 0);
    SIM_CHECK_EQ(SIM_READ(&each[!i]), 7);
}

SIM_SCENARIO(barrier_publishes, .about = "after it each sees what the other did before")
{
    motet_barrier_init(&barrier, 2, 0);
    run_many(2, writes_and_meets);
}

SIM_SCENARIO(barrier_reset, .about = "a reset mends a broken one, whoever is on the way out")
{
    motet_barrier_init(&barrier, 3, 0);
    sim_spawn(meets_or_breaks, NULL, "one");
    while (!motet_barrier_waiting(&barrier) && !motet_barrier_broken(&barrier))
        cpu_relax();
    int e = motet_barrier_wait(&barrier, sim_now() + 1000);
    SIM_CHECK(e == -ETIMEDOUT || e == -EPIPE);
    motet_barrier_reset(&barrier);
    sim_join_all();
    SIM_CHECK(!motet_barrier_broken(&barrier));
}

/* ---- once, latch ----------------------------------------------------------------------------------- */

static int fills(void *arg)
{
    plain_add(&data, 1);
    return 0;
}

static void calls_once(void *arg)
{
    SIM_CHECK_EQ(motet_once(&flag, fills, NULL), 0);
    SIM_CHECK_EQ(SIM_READ(&data), 1);
}

SIM_SCENARIO(once_three, .about = "three call, it runs once, and all see what it did", .faults = SIM_SPURIOUS)
{
    run_many(3, calls_once);
}

static uint32_t calls;

/* The first call fails. */
static int fills_at_second(void *arg)
{
    if (atomic_add_relaxed(&calls, 1) == 0)
        return -EAGAIN;
    return fills(arg);
}

static void calls_twice(void *arg)
{
    int e = motet_once(&flag, fills_at_second, NULL);
    if (e == -EAGAIN)
        e = motet_once(&flag, fills_at_second, NULL);
    SIM_CHECK_EQ(e, 0);
    SIM_CHECK_EQ(SIM_READ(&data), 1);
}

SIM_SCENARIO(once_fails, .about = "a call that failed is made again, by whoever is first") { run_many(2, calls_twice); }

static void calls_interruptible(void *arg)
{
    motet_interruptible(true);
    int e = motet_once(&flag, fills, NULL);
    SIM_CHECK(e == 0 || e == -EINTR || e == -ETIMEDOUT); /* a wait that a signal may end has an end */
    if (e == 0)
        SIM_CHECK_EQ(SIM_READ(&data), 1);
}

SIM_SCENARIO(once_interrupt, .about = "a signal against the end of the call", .faults = SIM_INTERRUPT)
{
    run_many(2, calls_interruptible);
}

static void counts_down(void *arg)
{
    plain_add((int *)arg, 1);
    SIM_CHECK_EQ(motet_latch_count_down(&latch, 1), 0);
}

SIM_SCENARIO(latch_two, .about = "two count down, one waits and sees what they did", .faults = SIM_SPURIOUS)
{
    motet_latch_init(&latch, 2, 0);
    sim_spawn(counts_down, &data, "one");
    sim_spawn(counts_down, &counter, "two");
    SIM_CHECK_EQ(motet_latch_wait(&latch, MOTET_FOREVER), 0);
    SIM_CHECK_EQ(SIM_READ(&data) + SIM_READ(&counter), 2);
    sim_join_all();
}
