#!/bin/sh
# SPDX-License-Identifier: MIT
# The schedule explorer as a stranger uses it: installed into an empty directory, with a program of one's own. The example's
# lost wakeup is found, and only where it should be; its seed repeats it; stress says nothing. Then what else a scenario
# may be made of: every kind of C11 atomic, fences, plain data that races, malloc, futexes, assert, motet's own objects.
# Skipped in builds with sanitizers, which have no explorer. Argument: the build directory.
# shellcheck source=tests/scripts/begin.sh
. "$(dirname "$0")/begin.sh"
[ -x "$build/sim/motet-sim" ] || { echo 'this build has no explorer'; exit 77; }

# says TEXT FILE: the file has it.
says() {
    grep -qe "$1" "$2" || fail "it says '$1', not: $(cat "$2")"
}

installed motet-sim

"$prefix/bin/motet-sim" list >listed || fail 'motet-sim is installed, and lists'
says '^lock_two ' listed

# ---- the example -----------------------------------------------------------------------------------------------------

example=$source/examples/sim/lost_wakeup.c
# shellcheck disable=SC2046
"$cc" -g -O1 -Wall -Wextra -Werror "$example" -o explore $(pkg-config --cflags --libs motet-sim) || exit 1

./explore run >found && fail 'the example is broken'
says '^mailbox_acq_rel .*FAILED$' found
says 'lost wakeup: nobody can go on; T0 sleeps at lost_wakeup.c:[0-9]*$' found
says '^mailbox_mended .*ok$' found
says '^mailbox_mended_full .*ok$' found
seed=$(sed -n 's/^ *replay: //p' found)
for name in first second; do
    ./explore replay "$seed" >$name
    code=$?
    [ $code -eq 1 ] || fail "a replay of a failure ends with 1, not $code"
done
cmp -s first second || fail 'two replays are the same'
says 'load acquire = 0 (an older value) .*\[waiters\]' first
says 'lost_wakeup.c:[0-9]* .*futex wait: sleeps .*\[bell\]' first
says '^mailbox_acq_rel: lost wakeup' first
"$build/examples/lost_wakeup" 0.2 >stressed || fail 'stress finds nothing'
says '^[0-9]* items, nothing lost$' stressed

# ---- what a scenario may be made of ----------------------------------------------------------------------------------

cat >all.c <<'END'
#include <assert.h>
#include <linux/futex.h>
#include <motet/motet.h>
#include <motet/sim.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static _Atomic uint8_t a8;
static _Atomic int16_t a16;
static atomic_uint a32;
static _Atomic uint64_t a64;
static _Atomic(int *) pointer;
static atomic_flag flag;
static int data, order;

static int other = 3;

MOTET_SIM_SCENARIO(atomics, .about = "each operation in each size does what it is called")
{
    MOTET_SIM_CHECK_EQ(a32++, 0);
    MOTET_SIM_CHECK_EQ(atomic_fetch_add(&a32, 6), 1);
    a32 -= 1;
    MOTET_SIM_CHECK_EQ(a32, 6);
    MOTET_SIM_CHECK_EQ(atomic_fetch_or(&a32, 1), 6);
    MOTET_SIM_CHECK_EQ(atomic_fetch_and(&a32, 5), 7);
    MOTET_SIM_CHECK_EQ(atomic_fetch_xor(&a32, 6), 5);
    MOTET_SIM_CHECK_EQ(atomic_exchange(&a32, 9), 3);
    MOTET_SIM_CHECK_EQ(__atomic_fetch_nand(&other, 6, __ATOMIC_RELAXED), 3);
    MOTET_SIM_CHECK_EQ(other, ~2);
    other = 3;
    a8 = 250;
    MOTET_SIM_CHECK_EQ(atomic_fetch_add(&a8, 10), 250);
    MOTET_SIM_CHECK_EQ(a8, 4);
    a16 = -3;
    MOTET_SIM_CHECK_EQ(atomic_fetch_sub(&a16, 1), -3);
    MOTET_SIM_CHECK_EQ(a16, -4);
    a64 = UINT64_MAX;
    uint64_t e = UINT64_MAX;
    MOTET_SIM_CHECK(atomic_compare_exchange_strong(&a64, &e, (uint64_t)1 << 40));
    MOTET_SIM_CHECK(!atomic_compare_exchange_strong(&a64, &e, 1));
    MOTET_SIM_CHECK_EQ(e, (uint64_t)1 << 40);
    pointer = &data;
    MOTET_SIM_CHECK(atomic_exchange(&pointer, NULL) == &data);
    MOTET_SIM_CHECK(!atomic_flag_test_and_set(&flag));
    MOTET_SIM_CHECK(atomic_flag_test_and_set(&flag));
    atomic_flag_clear(&flag);
    MOTET_SIM_CHECK_EQ(__sync_val_compare_and_swap(&other, 3, 4), 3);
    MOTET_SIM_CHECK_EQ(__sync_fetch_and_add(&other, 1), 4);
}

static void adds(void *arg)
{
    int was = atomic_load(&a32);
    atomic_store(&a32, was + 1);
}

MOTET_SIM_SCENARIO(lost_update, .about = "load, then store", .must_fail = true)
{
    motet_sim_spawn(adds, NULL, "one");
    motet_sim_spawn(adds, NULL, "two");
    motet_sim_join_all();
    MOTET_SIM_CHECK_EQ(a32, 2);
}

static void publishes(void *arg)
{
    data = 7;
    atomic_store_explicit(&a32, 1, arg ? memory_order_release : memory_order_relaxed);
}

static void publish(void *right)
{
    motet_sim_spawn(publishes, right, "publisher");
    if (atomic_load_explicit(&a32, memory_order_acquire))
        MOTET_SIM_CHECK_EQ(data, 7);
    motet_sim_join_all();
}

MOTET_SIM_SCENARIO(published) { publish(&data); }

MOTET_SIM_SCENARIO(race, .about = "published by a relaxed store: plain data is raced for", .must_fail = true)
{
    publish(NULL);
}

static void stores_and_looks(void *arg)
{
    atomic_store_explicit(arg ? &a32 : (atomic_uint *)&a64, 1, memory_order_relaxed);
    if (order)
        atomic_thread_fence(memory_order_seq_cst);
    if (!atomic_load_explicit(arg ? (atomic_uint *)&a64 : &a32, memory_order_relaxed))
        atomic_fetch_add_explicit(&a16, 1, memory_order_relaxed);
}

static void dekker(bool fence)
{
    order = fence;
    motet_sim_spawn(stores_and_looks, NULL, "one");
    motet_sim_spawn(stores_and_looks, &data, "two");
    motet_sim_join_all();
    MOTET_SIM_CHECK(a16 < 2);
}

MOTET_SIM_SCENARIO(dekker_fence) { dekker(true); }

MOTET_SIM_SCENARIO(dekker_bare, .must_fail = true, .weak_only = true) { dekker(false); }

static void frees(void *arg) { free(arg); }

MOTET_SIM_SCENARIO(use_after_free, .must_fail = true)
{
    int *p = calloc(4, sizeof *p);
    p = realloc(p, 8 * sizeof *p);
    MOTET_SIM_CHECK_EQ(p[3], 0);
    MOTET_SIM_CHECK_EQ(motet_sim_allocated(), 1);
    motet_sim_spawn(frees, p, "frees");
    p[0] = 1;
    motet_sim_join_all();
}

MOTET_SIM_SCENARIO(no_memory, .faults = MOTET_SIM_NO_MEMORY, .must_fail = true)
{
    volatile char *p = malloc(3); /* volatile, or the compiler sees that it does without */
    *p = 0;
    free((void *)(uintptr_t)p);
}

static void spins(void *arg)
{
    while (!atomic_flag_test_and_set(&flag))
        sched_yield();
    while (!atomic_load(&a32))
        motet_sim_relax();
}

MOTET_SIM_SCENARIO(spinning, .faults = MOTET_SIM_SPURIOUS)
{
    motet_sim_spawn(spins, NULL, "spins");
    unsigned was = 0;
    while (!atomic_compare_exchange_weak(&a32, &was, 1))
        was = 0;
    motet_sim_join_all();
}

static void sleeps(void *arg)
{
    struct timespec t, second = {.tv_sec = 1};
    clock_gettime(CLOCK_MONOTONIC, &t);
    MOTET_SIM_CHECK_EQ(t.tv_sec * MOTET_S + t.tv_nsec, motet_sim_now());
    long result = syscall(SYS_futex, &a32, FUTEX_WAIT_PRIVATE, 0, arg ? &second : NULL, NULL, 0);
    if (result < 0 && errno == ETIMEDOUT)
        MOTET_SIM_CHECK(motet_now() >= MOTET_S);
    else
        MOTET_SIM_CHECK(result == 0 || errno == EAGAIN);
}

MOTET_SIM_SCENARIO(futexes)
{
    motet_sim_spawn(sleeps, NULL, "one");
    motet_sim_spawn(sleeps, &data, "two");
    a32 = 1;
    MOTET_SIM_CHECK(syscall(SYS_futex, &a32, FUTEX_WAKE_PRIVATE, 2, NULL, NULL, 0) <= 2);
    motet_sim_join_all();
}

MOTET_SIM_SCENARIO(asserts, .must_fail = true) { assert(motet_sim_pick(3) != 2); }

MOTET_SIM_SCENARIO(aborts, .must_fail = true)
{
    if (motet_sim_pick(255) == 254)
        abort();
}

static int dies(void *arg)
{
    motet_sim_mortal(true);
    a32++;
    a32++;
    motet_sim_mortal(false);
    return 0;
}

static void mortal(void *arg) { dies(arg); }

MOTET_SIM_SCENARIO(deaths, .faults = MOTET_SIM_DEATHS)
{
    int id = motet_sim_spawn(mortal, NULL, "mortal");
    motet_sim_join(id);
    MOTET_SIM_CHECK(motet_sim_dead(id) ? a32 <= 2 : a32 == 2);
}

static motet_lock lock;
static __thread int mine;

static int locks(void *arg)
{
    MOTET_SIM_CHECK_EQ(mine++, 0);
    if (!arg)
        motet_lock_acquire(&lock, MOTET_FOREVER);
    data++;
    if (!arg)
        motet_lock_release(&lock);
    return 0;
}

static void locked(void *arg)
{
    motet_thread *t[2];
    for (int i = 0; i < 2; i++)
        MOTET_SIM_CHECK_EQ(motet_thread_start(&t[i], locks, arg, NULL), 0);
    for (int i = 0; i < 2; i++) {
        MOTET_SIM_CHECK_EQ(motet_thread_join(t[i], NULL, MOTET_FOREVER), 0);
        motet_thread_free(t[i]);
    }
    MOTET_SIM_CHECK_EQ(data, 2);
    MOTET_SIM_CHECK_EQ(motet_sim_allocated(), 0);
}

MOTET_SIM_SCENARIO(motet_objects) { locked(NULL); }

MOTET_SIM_SCENARIO(motet_unlocked, .must_fail = true) { locked(&data); }
END
# shellcheck disable=SC2046
"$cc" -g -O1 -Wall -Wextra -Werror -Wno-unused-parameter all.c -o all $(pkg-config --cflags --libs motet-sim) || exit 1
./all run --scale 0.05 >ran || fail "each scenario is as it should be: $(cat ran)"
[ "$(./all list | wc -l)" -eq "$(grep -c '^MOTET_SIM_SCENARIO' all.c)" ] || fail 'each is listed'

# A name that only the explorer has inside is free for others.
printf '%s\n' '#include <motet/sim.h>' 'int sim_load(void);' 'int sim_load(void) { return 1; }' \
    'MOTET_SIM_SCENARIO(own) { MOTET_SIM_CHECK_EQ(sim_load(), 1); }' >own.c
# shellcheck disable=SC2046
"$cc" own.c -o own $(pkg-config --cflags --libs motet-sim) && ./own run --scale 0.01 >/dev/null ||
    fail "the library shows motet's names alone"

[ $failures -eq 0 ]
