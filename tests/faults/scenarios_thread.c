/* SPDX-License-Identifier: MIT */
/* The n-th call fails: buffers, threads, timers, locals, sync objects. */
#include "scenario.h"

#include "base/guard.h"

#include <pthread.h>

/* All or nothing. */
static int append(motet_buffer *b, size_t n)
{
    static const char text[3000];
    size_t size = motet_buffer_size(b);
    int e = motet_buffer_append(b, text, n);
    CHECK_EQ(motet_buffer_size(b), size + (e < 0 ? 0 : n));
    return e;
}

SCENARIO(buffer)
{
    motet_buffer *b = NULL;
    TRY_NEW(b, motet_buffer_new());
    for (size_t i = 1; i <= 20; i++)
        TRY(append(b, i * 100), -ENOMEM);
out:
    motet_buffer_free(b);
}

SCENARIO(buffer_reserve)
{
    motet_buffer *b = NULL;
    TRY_NEW(b, motet_buffer_new());
    TRY(motet_buffer_reserve(b, 100), -ENOMEM);
    TRY(motet_buffer_append(b, "abc", 3), -ENOMEM);
    TRY(motet_buffer_reserve(b, 1 << 20), -ENOMEM);
    CHECK_STR(motet_buffer_data(b), "abc");
out:
    motet_buffer_free(b);
}

SCENARIO(cpus) { CHECK_GE(motet_cpu_count(), 1); }

SCENARIO(sleep)
{
    motet_time until = motet_after(3 * MOTET_MS);
    TRY(motet_sleep(until), -EINVAL);
    CHECK_GE(motet_now(), until);
out:
    return;
}

/* The lock under everything, when another has it. */
static void *take_guard(void *g)
{
    guard_lock(g);
    guard_unlock(g);
    return NULL;
}

SCENARIO(contended_guard)
{
    static guard g;
    pthread_t thread;
    guard_lock(&g);
    CHECK_EQ(pthread_create(&thread, NULL, take_guard, &g), 0);
    while (!faults_slept())
        motet_yield();
    guard_unlock(&g);
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

/* ---- threads --------------------------------------------------------------------------------------- */

static int wait_for(void *event)
{
    int e = motet_event_wait(event, MOTET_FOREVER);
    return e < 0 ? e : 7;
}

SCENARIO(thread)
{
    motet_thread *t[3] = {NULL}, *all[8];
    motet_thread_options options = {.name = "a name that is longer than the kernel's", .stack_size = 256 * 1024};
    motet_event go = {0};
    for (int i = 0; i < 3; i++)
        TRY_OPEN(t[i], motet_thread_start(&t[i], wait_for, &go, i == 1 ? &options : NULL), -ENOMEM, -EAGAIN);
    int n = motet_thread_enumerate(all, 8);
    CHECK_EQ(n, 4);
    for (int i = 0; i < n; i++)
        motet_thread_free(all[i]);
    CHECK_EQ(motet_thread_cancel(t[2]), 0);
out:
    motet_event_set(&go);
    for (int i = 0; i < 3; i++) {
        int code = 0;
        if (t[i])
            CHECK_EQ(motet_thread_join(t[i], &code, MOTET_FOREVER), 0);
        if (t[i])
            CHECK(code == 7 || (i == 2 && code == -ECANCELED));
        motet_thread_free(t[i]);
    }
}

/* A body that is over before its starter looks, and an object that goes before its thread. */
static int nothing(void *arg) { return 0; }

SCENARIO(thread_free)
{
    for (int i = 0; i < 4; i++) {
        motet_thread *t = NULL;
        TRY_OPEN(t, motet_thread_start(&t, nothing, NULL, NULL), -ENOMEM, -EAGAIN);
        motet_thread_free(t);
    }
out:
    return;
}

static void *ask_who(void *ret)
{
    for (int i = 0; i < 3; i++) {
        motet_thread *self = motet_thread_current();
        *(int *)ret += self != NULL;
        motet_thread_free(self);
    }
    return NULL;
}

/* A thread that the library did not start. */
SCENARIO(adopted)
{
    pthread_t thread;
    int known = 0;
    CHECK_EQ(pthread_create(&thread, NULL, ask_who, &known), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    if (known < 3)
        REFUSED(-ENOMEM, -ENOMEM);
out:
    return;
}

/* ---- timers ---------------------------------------------------------------------------------------- */

static int count_down(void *latch) { return motet_latch_count_down(latch, 1); }

SCENARIO(timer)
{
    motet_timer *t[4] = {NULL};
    static motet_latch fired;
    unsigned started = 0;
    CHECK_EQ(motet_latch_init(&fired, 3, 0), 0);
    for (int i = 0; i < 3; i++, started++)
        TRY_OPEN(t[i], motet_timer_start(&t[i], motet_after(i * MOTET_MS), count_down, &fired), -ENOMEM, -EAGAIN);
    TRY_OPEN(t[3], motet_timer_start(&t[3], motet_after(1000 * MOTET_S), count_down, &fired), -ENOMEM, -EAGAIN);
out:
    if (t[3])
        CHECK_EQ(motet_timer_cancel(t[3]), 0);
    for (unsigned i = started; i < 3; i++)
        CHECK_EQ(motet_latch_count_down(&fired, 1), 0);
    CHECK_EQ(motet_latch_wait(&fired, MOTET_FOREVER), 0);
    for (int i = 0; i < 4; i++)
        motet_timer_free(t[i]);
}

/* Each needs a thread of its own as long as the one before it runs. */
static int block(void *arg)
{
    motet_event *gate = arg;
    return motet_event_wait(gate, MOTET_FOREVER);
}

SCENARIO(timers_that_block)
{
    motet_timer *t[4] = {NULL};
    motet_event gate = {0};
    static motet_latch fired;
    CHECK_EQ(motet_latch_init(&fired, 1, 0), 0);
    for (int i = 0; i < 3; i++)
        TRY_OPEN(t[i], motet_timer_start(&t[i], MOTET_NOWAIT, block, &gate), -ENOMEM, -EAGAIN);
    TRY_OPEN(t[3], motet_timer_start(&t[3], MOTET_NOWAIT, count_down, &fired), -ENOMEM, -EAGAIN);
out:
    motet_event_set(&gate);
    if (t[3])
        CHECK_EQ(motet_latch_wait(&fired, MOTET_FOREVER), 0);
    for (int i = 0; i < 4; i++) {
        if (t[i] && motet_timer_cancel(t[i]) != 0)
            CHECK_EQ(motet_timer_cancel(t[i]), -EAGAIN);
        motet_timer_free(t[i]);
    }
    /* One that runs still looks at the gate. */
    motet_thread *all[16];
    for (int n = 2; n > 1;) {
        n = motet_thread_enumerate(all, 16);
        for (int i = 0; i < n && i < 16; i++) {
            if (motet_thread_id(all[i]) != 1)
                CHECK_EQ(motet_thread_join(all[i], NULL, MOTET_FOREVER), 0);
            motet_thread_free(all[i]);
        }
    }
}

/* ---- locals ---------------------------------------------------------------------------------------- */

enum { LOCALS = 12 };

static motet_local locals[LOCALS];

static int set_all(void *ret)
{
    int e = 0;
    for (int i = 0; i < LOCALS && e == 0; i++) {
        void *was = motet_local_get(&locals[i]);
        e = motet_local_set(&locals[i], ret);
        CHECK_PTR(motet_local_get(&locals[i]), e ? was : ret);
    }
    return e;
}

static void nop(void *value) {}

SCENARIO(local)
{
    motet_thread *t = NULL;
    int x = 0, code = 0;
    for (int i = 0; i < LOCALS; i++)
        TRY(motet_local_init(&locals[i], i % 2 ? nop : NULL), -ENOMEM);
    TRY(set_all(&x), -ENOMEM);
    TRY_OPEN(t, motet_thread_start(&t, set_all, &x, NULL), -ENOMEM, -EAGAIN);
    CHECK_EQ(motet_thread_join(t, &code, MOTET_FOREVER), 0);
    if (code < 0)
        REFUSED(code, -ENOMEM);
out:
    motet_thread_free(t);
    for (int i = 0; i < LOCALS; i++)
        motet_local_free(&locals[i]);
}

/* ---- sync ------------------------------------------------------------------------------------------ */

enum { ROUNDS = 3 };

static struct {
    motet_lock lock;
    motet_rwlock rwlock;
    motet_semaphore ping, pong;
    motet_barrier barrier;
    motet_condition changed;
    motet_once_flag once;
    int turns;
} both;

static bool second_turn(void *arg) { return both.turns >= 2; }

static int count_once(void *arg)
{
    ++*(int *)arg;
    return 0;
}

static int meet(void *arg)
{
    static int ran;
    for (int i = 0; i < ROUNDS; i++) {
        CHECK_EQ(motet_semaphore_acquire(&both.ping, MOTET_FOREVER), 0);
        CHECK_EQ(motet_rwlock_acquire_write(&both.rwlock, MOTET_FOREVER), 0);
        CHECK_EQ(motet_rwlock_release(&both.rwlock), 0);
        CHECK_EQ(motet_semaphore_release(&both.pong, 1), 0);
        CHECK_GE(motet_barrier_wait(&both.barrier, MOTET_FOREVER), 0);
        CHECK_EQ(motet_once(&both.once, count_once, &ran), 0);
        CHECK_EQ(ran, 1);
    }
    CHECK_EQ(motet_lock_acquire(&both.lock, MOTET_FOREVER), 0);
    both.turns++;
    CHECK_EQ(motet_condition_notify_all(&both.changed), 0);
    CHECK_EQ(motet_condition_wait_for(&both.changed, &both.lock, second_turn, NULL, MOTET_FOREVER), 0);
    CHECK_EQ(motet_lock_release(&both.lock), 0);
    return 0;
}

SCENARIO(sync)
{
    motet_thread *t = NULL;
    CHECK_EQ(motet_barrier_init(&both.barrier, 2, 0), 0);
    TRY_OPEN(t, motet_thread_start(&t, meet, NULL, NULL), -ENOMEM, -EAGAIN);
    for (int i = 0; i < ROUNDS; i++) {
        CHECK_EQ(motet_rwlock_acquire_read(&both.rwlock, MOTET_FOREVER), 0);
        CHECK_EQ(motet_semaphore_release(&both.ping, 1), 0);
        CHECK_EQ(motet_rwlock_release(&both.rwlock), 0);
        CHECK_EQ(motet_semaphore_acquire(&both.pong, MOTET_FOREVER), 0);
        CHECK_GE(motet_barrier_wait(&both.barrier, MOTET_FOREVER), 0);
    }
    CHECK_EQ(motet_lock_acquire(&both.lock, MOTET_FOREVER), 0);
    both.turns++;
    CHECK_EQ(motet_condition_notify_all(&both.changed), 0);
    CHECK_EQ(motet_condition_wait_for(&both.changed, &both.lock, second_turn, NULL, MOTET_FOREVER), 0);
    CHECK_EQ(motet_lock_release(&both.lock), 0);
    CHECK_EQ(motet_thread_join(t, NULL, MOTET_FOREVER), 0);
    CHECK_EQ(motet_semaphore_acquire(&both.ping, motet_after(MOTET_MS)), -ETIMEDOUT);
out:
    motet_thread_free(t);
}
