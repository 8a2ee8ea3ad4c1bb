/* SPDX-License-Identifier: MIT */
/* Deliberately broken: the mistakes that motet's code is made not to make. The explorer has to find each. */
#include "help.h"

#include "base/atomic.h"
#include "base/sys.h"

static uint32_t word, sleepers, done;
static int counter, data;

/* ---- locks ----------------------------------------------------------------------------------------- */

enum { NO_RECHECK = 1, NO_MARK = 2, RELAXED = 4, NO_WAKE = 8 };

static void lock_with(unsigned mistakes)
{
    uint32_t was = 0;
    if (atomic_cas_acquire(&word, &was, 1))
        return;
    if (mistakes & NO_MARK) {
        /* Takes it as "nobody waits", though others may. */
        for (;;) {
            was = 0;
            if (atomic_cas_acquire(&word, &was, 1))
                return;
            was = 1;
            if (atomic_cas_relaxed(&word, &was, 2) || was == 2)
                sys_futex_wait(&word, 2, INT64_MAX);
        }
    }
    while (atomic_exchange_acquire(&word, 2) != 0) {
        sys_futex_wait(&word, 2, INT64_MAX);
        if (mistakes & NO_RECHECK)
            return;
    }
}

static void unlock_with(unsigned mistakes)
{
    uint32_t was;
    if (mistakes & RELAXED) {
        was = atomic_load_relaxed(&word);
        atomic_store_relaxed(&word, 0);
    } else {
        was = atomic_exchange_release(&word, 0);
    }
    if (was == 2 && !(mistakes & NO_WAKE))
        sys_futex_wake(&word, 1);
}

static void take(unsigned mistakes)
{
    lock_with(mistakes);
    plain_add(&counter, 1);
    unlock_with(mistakes);
}

static void take_right(void *arg) { take(0); }

static void take_no_recheck(void *arg) { take(NO_RECHECK); }

static void take_no_mark(void *arg) { take(NO_MARK); }

static void take_relaxed(void *arg) { take(RELAXED); }

static void take_no_wake(void *arg) { take(NO_WAKE); }

SIM_SCENARIO(futex_lock, .about = "the same lock without a mistake", .faults = SIM_SPURIOUS)
{
    run_many(3, take_right);
    SIM_CHECK_EQ(counter, 3);
}

SIM_SCENARIO(broken_lock_no_recheck, .about = "a wake is taken for the lock", .faults = SIM_SPURIOUS, .must_fail = true)
{
    run_many(3, take_no_recheck);
    SIM_CHECK_EQ(counter, 3);
}

SIM_SCENARIO(broken_lock_no_mark, .about = "who was woken forgets that others may wait", .must_fail = true)
{
    run_many(3, take_no_mark);
}

SIM_SCENARIO(broken_lock_relaxed, .about = "a release without release order", .must_fail = true)
{
    run_many(2, take_relaxed);
}

SIM_SCENARIO(broken_lock_no_wake, .about = "a release that does not wake", .must_fail = true)
{
    run_many(2, take_no_wake);
}

/* ---- publishing ------------------------------------------------------------------------------------ */

static void reads_relaxed(void *arg)
{
    if (atomic_load_relaxed(&word))
        SIM_CHECK_EQ(SIM_READ(&data), 7);
}

SIM_SCENARIO(broken_publish_relaxed, .about = "reads what was published without acquire", .must_fail = true)
{
    sim_spawn(reads_relaxed, NULL, "reader");
    SIM_WRITE(&data, 7);
    atomic_store_release(&word, 1);
    sim_join_all();
}

static void reads_atomics(void *arg)
{
    if (atomic_load_acquire(&word))
        SIM_CHECK_EQ(atomic_load_relaxed(&sleepers), 1);
}

SIM_SCENARIO(broken_publish_weak, .about = "published by a relaxed store: stale only under the weak model",
             .must_fail = true, .weak_only = true)
{
    sim_spawn(reads_atomics, NULL, "reader");
    atomic_store_relaxed(&sleepers, 1);
    atomic_store_relaxed(&word, 1);
    sim_join_all();
}

/* ---- waiting --------------------------------------------------------------------------------------- */

static void waits_in_wrong_order(void *arg)
{
    if (atomic_load_seq_cst(&word) == 0) {
        atomic_add_seq_cst(&sleepers, 1);
        uint32_t seen = atomic_load_relaxed(&done);
        sys_futex_wait(&done, seen, INT64_MAX);
    }
}

SIM_SCENARIO(broken_event, .about = "looks before it announces itself", .must_fail = true)
{
    sim_spawn(waits_in_wrong_order, NULL, "waiter");
    atomic_store_seq_cst(&word, 1);
    if (atomic_load_seq_cst(&sleepers)) {
        atomic_add_release(&done, 1);
        sys_futex_wake(&done, 1);
    }
    sim_join_all();
}

/* One wake for two permits. */
static void takes_permit(void *arg)
{
    for (;;) {
        uint32_t n = atomic_load_relaxed(&word);
        if (n && atomic_cas_acquire(&word, &n, n - 1))
            return;
        if (!n)
            sys_futex_wait(&word, 0, INT64_MAX);
    }
}

SIM_SCENARIO(broken_semaphore_one_wake, .about = "two permits, one wake", .must_fail = true)
{
    spawn_many(2, takes_permit);
    atomic_add_release(&word, 2);
    sys_futex_wake(&word, 1);
    sim_join_all();
}

/* ---- completing ------------------------------------------------------------------------------------ */

static void completes(void *arg)
{
    if (atomic_load_acquire(&word) == 0) {
        atomic_store_release(&word, 1);
        atomic_add_relaxed(&done, 1);
    }
}

SIM_SCENARIO(broken_complete_twice, .about = "looks, then stores: completed twice", .must_fail = true)
{
    run_many(2, completes);
    SIM_CHECK_EQ(done, 1);
}

static uint32_t *block;

static void uses_block(void *arg)
{
    uint32_t *b = block;
    if (atomic_sub_relaxed(&b[0], 1) == 1)
        sys_free(b);
    else
        atomic_add_relaxed(&b[1], 1); /* it may be gone */
}

SIM_SCENARIO(broken_use_after_free, .about = "touches an object after its reference is given up", .must_fail = true)
{
    block = sys_alloc_zero(2, sizeof *block);
    block[0] = 2;
    run_many(2, uses_block);
}

static void spins_for_ever(void *arg)
{
    while (atomic_load_acquire(&word) == 0)
        cpu_relax();
}

SIM_SCENARIO(broken_livelock, .about = "spins for a word that nobody sets", .must_fail = true)
{
    run_many(1, spins_for_ever);
}
