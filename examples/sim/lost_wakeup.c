/* SPDX-License-Identifier: MIT */
/* A mailbox that loses a wakeup, which the schedule explorer finds at once and a night of stress does not.
 *
 *     cc -O2 lost_wakeup.c -o stress $(pkg-config --cflags --libs motet)
 *     ./stress 60                                     passes, on x86 for ever
 *
 *     cc -g -O1 lost_wakeup.c -o explore $(pkg-config --cflags --libs motet-sim)
 *     ./explore run                                   fails, and prints a seed
 *     ./explore replay SEED                           shows what happened
 *
 * The mailbox has room for one item. Who finds it empty (or full) announces that it waits, looks again, and sleeps until the
 * bell has rung; who has changed it rings, and only if somebody has announced himself makes the system call. It is the usual
 * event count, carefully made but for one thing: the ringer's step and its look are acquire and release operations.
 * These do not keep a store before a later load of another word. So the ringer may look for waiters before anybody can see
 * that it has rung: it sees none, the waiter sees no ring, and sleeps for ever.
 *
 * On x86 the step is a locked instruction, which is a full fence whatever the order asked for: there is nothing for stress
 * to find. It comes to light on a processor where acquire and release are no more than that: one that
 * nobody had under the desk. Both operations sequentially consistent (`mended`) put it right. */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- the mailbox ----------------------------------------------------------------------------------- */

typedef struct mailbox {
    atomic_int slot;     /* the item, or 0 */
    atomic_uint bell;    /* how often it has rung; who waits sleeps on it */
    atomic_uint waiters; /* how many have announced themselves */
    bool mended;
} mailbox;

static void ring(mailbox *m)
{
    unsigned waiters;
    if (m->mended) {
        atomic_fetch_add_explicit(&m->bell, 1, memory_order_seq_cst);
        waiters = atomic_load_explicit(&m->waiters, memory_order_seq_cst);
    } else {
        atomic_fetch_add_explicit(&m->bell, 1, memory_order_acq_rel);
        waiters = atomic_load_explicit(&m->waiters, memory_order_acquire);
    }
    if (waiters)
        syscall(SYS_futex, &m->bell, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

/* Sleeps while the slot is as the caller can't use it, unless the bell rings. It may come back early. */
static void await(mailbox *m, bool while_empty)
{
    atomic_fetch_add_explicit(&m->waiters, 1, memory_order_seq_cst);
    unsigned rung = atomic_load_explicit(&m->bell, memory_order_acquire);
    bool empty = atomic_load_explicit(&m->slot, memory_order_relaxed) == 0;
    if (empty == while_empty)
        syscall(SYS_futex, &m->bell, FUTEX_WAIT_PRIVATE, rung, NULL, NULL, 0);
    atomic_fetch_sub_explicit(&m->waiters, 1, memory_order_relaxed);
}

static void put(mailbox *m, int item)
{
    for (int empty = 0;
         !atomic_compare_exchange_strong_explicit(&m->slot, &empty, item, memory_order_release, memory_order_relaxed);
         empty = 0)
        await(m, false);
    ring(m);
}

static int take(mailbox *m)
{
    int item;
    while (!(item = atomic_exchange_explicit(&m->slot, 0, memory_order_acquire)))
        await(m, true);
    ring(m);
    return item;
}

#ifdef MOTET_SIM

/* ---- explored -------------------------------------------------------------------------------------- */

#include <motet/sim.h>

static mailbox box; /* as new in each execution */

static void puts_one(void *arg)
{
    (void)arg;
    put(&box, 7);
}

static void one_item(bool mended)
{
    box.mended = mended;
    motet_sim_name(&box.slot, sizeof box.slot, "slot");
    motet_sim_name(&box.bell, sizeof box.bell, "bell");
    motet_sim_name(&box.waiters, sizeof box.waiters, "waiters");
    motet_sim_spawn(puts_one, NULL, "putter");
    MOTET_SIM_CHECK_EQ(take(&box), 7);
    motet_sim_join_all();
}

MOTET_SIM_SCENARIO(mailbox_acq_rel, .about = "one puts, one takes; the bell is rung with acquire and release")
{
    one_item(false);
}

MOTET_SIM_SCENARIO(mailbox_mended, .about = "the same with sequentially consistent operations",
                   .faults = MOTET_SIM_SPURIOUS | MOTET_SIM_INTERRUPT)
{
    one_item(true);
}

static int sum;

static void puts_two(void *arg)
{
    (void)arg;
    put(&box, 1);
    put(&box, 2);
}

MOTET_SIM_SCENARIO(mailbox_mended_full, .about = "two items one after the other: the putter may have to wait, too")
{
    box.mended = true;
    motet_sim_spawn(puts_two, NULL, "putter");
    sum = take(&box);
    sum += take(&box);
    MOTET_SIM_CHECK_EQ(sum, 3);
    motet_sim_join_all();
}

#else

/* ---- under stress ---------------------------------------------------------------------------------- */

#include <motet/motet.h>

#include <stdio.h>
#include <stdlib.h>

enum { PAIRS = 2, STOP = -1 };

static mailbox box;
static atomic_long taken;

static int putter(void *arg)
{
    const motet_time *end = arg;
    do
        for (int i = 1; i <= 1000; i++)
            put(&box, i);
    while (motet_now() < *end);
    put(&box, STOP);
    return 0;
}

static int taker(void *arg)
{
    (void)arg;
    while (take(&box) != STOP)
        atomic_fetch_add_explicit(&taken, 1, memory_order_relaxed);
    return 0;
}

int main(int argc, char **argv)
{
    double seconds = argc == 2 ? strtod(argv[1], NULL) : 0;
    if (!(seconds > 0)) {
        fprintf(stderr, "usage: %s SECONDS\n", argv[0]);
        return 2;
    }
    motet_time end = motet_after((int64_t)(seconds * MOTET_S));
    motet_thread *threads[2 * PAIRS];
    for (int i = 0; i < 2 * PAIRS; i++)
        if (motet_thread_start(&threads[i], i % 2 ? taker : putter, &end, NULL) < 0)
            return 1;
    for (int i = 0; i < 2 * PAIRS; i++) {
        if (motet_thread_join(threads[i], NULL, end + 10 * MOTET_S) < 0) {
            printf("hangs after %ld items: a wakeup was lost\n", atomic_load(&taken));
            _exit(1);
        }
        motet_thread_free(threads[i]);
    }
    printf("%ld items, nothing lost\n", atomic_load(&taken));
    return 0;
}

#endif
