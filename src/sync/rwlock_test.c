/* SPDX-License-Identifier: MIT */
/* The lock for readers and writers: codes, who excludes whom, nobody forgotten when others give up. */
#include "sync/test_threads.h"

#include "sync/sync.h"

#include <stdlib.h>

#define WRITERS_WAIT ((uint32_t)1 << 30)
#define READERS_WAIT ((uint32_t)1 << 29)
#define READERS_MAX  ((uint32_t)1 << 26)

static int take_read(void *l) { return motet_rwlock_acquire_read(l, MOTET_FOREVER); }

static int take_write(void *l) { return motet_rwlock_acquire_write(l, MOTET_FOREVER); }

static int try_read(void *l) { return motet_rwlock_acquire_read(l, MOTET_NOWAIT); }

static int try_write(void *l) { return motet_rwlock_acquire_write(l, MOTET_NOWAIT); }

static int give(void *l) { return motet_rwlock_release(l); }

static int on_thread(motet_fn *fn, void *l) { return finish(start(fn, l)); }

TEST(codes)
{
    motet_rwlock l = {0};
    CHECK_EQ(motet_rwlock_init(NULL, 0), -EINVAL);
    CHECK_EQ(motet_rwlock_init(&l, MOTET_SHARED), -EFAULT);
    CHECK_EQ(motet_rwlock_init(&l, MOTET_BOUNDED), -EINVAL);
    CHECK_EQ(motet_rwlock_acquire_read(NULL, MOTET_FOREVER), -EINVAL);
    CHECK_EQ(motet_rwlock_acquire_write(NULL, MOTET_FOREVER), -EINVAL);
    CHECK_EQ(motet_rwlock_release(NULL), -EINVAL);
    CHECK_EQ(motet_rwlock_release(&l), -EPERM);

    CHECK_EQ(try_write(&l), 0);
    CHECK_EQ(take_write(&l), -EDEADLK);
    CHECK_EQ(take_read(&l), -EDEADLK);
    CHECK_EQ(on_thread(try_read, &l), -ETIMEDOUT);
    CHECK_EQ(on_thread(try_write, &l), -ETIMEDOUT);
    CHECK_EQ(on_thread(give, &l), -EPERM);
    CHECK_EQ(give(&l), 0);
    CHECK_EQ(give(&l), -EPERM);

    CHECK_EQ(try_read(&l), 0);
    CHECK_EQ(on_thread(try_read, &l), 0);
    CHECK_EQ(on_thread(try_write, &l), -ETIMEDOUT);
    CHECK_EQ(give(&l), 0);
    CHECK_EQ(try_write(&l), -ETIMEDOUT);
    CHECK_EQ(give(&l), 0);
    CHECK_EQ(give(&l), -EPERM);
    CHECK_EQ(try_write(&l), 0);
    CHECK_EQ(motet_rwlock_init(&l, 0), 0);
    CHECK_EQ(try_read(&l), 0);
}

static int wait_a_little(void *l)
{
    motet_time deadline = motet_after(MOTET_MS);
    CHECK_EQ(motet_rwlock_acquire_write(l, deadline), -ETIMEDOUT);
    CHECK_GE(motet_now(), deadline);
    return 0;
}

static int wait_a_little_to_read(void *l)
{
    motet_time deadline = motet_after(MOTET_MS);
    CHECK_EQ(motet_rwlock_acquire_read(l, deadline), -ETIMEDOUT);
    CHECK_GE(motet_now(), deadline);
    return 0;
}

TEST(a_wait_can_be_ended)
{
    motet_rwlock l = {0};
    CHECK_EQ(take_write(&l), 0);
    CHECK_EQ(on_thread(wait_a_little, &l), 0);
    CHECK_EQ(on_thread(wait_a_little_to_read, &l), 0);
    CHECK_EQ(interrupted(take_read, &l), -EINTR);
    CHECK_EQ(interrupted(take_write, &l), -EINTR);
    CHECK_EQ(give(&l), 0);
    CHECK_EQ(l.word_, 0);
    CHECK_EQ(take_read(&l), 0);
    CHECK_EQ(in_forked_child(take_write, &l), -EPERM);
    CHECK_EQ(give(&l), 0);
    CHECK_EQ(l.word_, 0);
}

TEST(no_cancellation_point)
{
    motet_rwlock l = {0};
    CHECK_EQ(take_write(&l), 0);
    motet_thread *t[2] = {start(take_read, &l), start(take_read, &l)};
    for (int i = 0; i < 2; i++)
        CHECK_EQ(motet_thread_cancel(t[i]), 0);
    UNTIL(SEEN(&l.word_) & READERS_WAIT);
    CHECK_EQ(give(&l), 0);
    CHECK_EQ(finish_all(t, 2, 0), 2);
    t[0] = start(take_write, &l);
    CHECK_EQ(motet_thread_cancel(t[0]), 0);
    UNTIL(SEEN(&l.word_) & WRITERS_WAIT);
    CHECK_EQ(give(&l), 0);
    CHECK_EQ(give(&l), 0);
    CHECK_EQ(finish(t[0]), 0);
}

TEST(readers_are_bounded)
{
    motet_rwlock l = {.word_ = READERS_MAX - 1};
    CHECK_EQ(try_read(&l), 0);
    CHECK_EQ(try_read(&l), -EOVERFLOW);
    CHECK_EQ(l.word_, READERS_MAX);
    CHECK_EQ(give(&l), 0);
    CHECK_EQ(try_read(&l), 0);
}

/* ---- order ----------------------------------------------------------------------------------------- */

TEST(readers_wait_behind_a_writer)
{
    motet_rwlock l = {0};
    CHECK_EQ(take_read(&l), 0);
    motet_thread *w = start(take_write, &l);
    UNTIL(SEEN(&l.word_) & WRITERS_WAIT);
    CHECK_EQ(on_thread(try_read, &l), -ETIMEDOUT);
    motet_thread *r = start(take_read, &l);
    UNTIL(SEEN(&l.word_) & READERS_WAIT);
    CHECK_EQ(give(&l), 0);
    /* The writer has it now, and ended with it: nobody else ever will. */
    CHECK_EQ(finish(w), 0);
    CHECK_EQ(try_read(&l), -ETIMEDOUT);
    CHECK_EQ(give(&l), -EPERM);
    l.owner_ = sync_self();
    CHECK_EQ(give(&l), 0);
    CHECK_EQ(finish(r), 0);
    CHECK_EQ(give(&l), 0);
    CHECK_EQ(l.word_, 0);
}

/* A writer that gives up lets those in that waited behind it. */
TEST(a_writer_that_gives_up_blocks_nobody)
{
    motet_rwlock l = {0};
    CHECK_EQ(take_read(&l), 0);
    for (int i = 0; i < 20; i++) {
        motet_thread *w = start(wait_a_little, &l), *r = start(take_read, &l);
        CHECK_EQ(finish(w), 0);
        CHECK_EQ(finish(r), 0);
        CHECK_EQ(try_read(&l), 0);
        CHECK_EQ(give(&l), 0);
        CHECK_EQ(give(&l), 0);
    }
    CHECK_EQ(give(&l), 0);
    CHECK_EQ(l.word_, 0);
}

/* ---- exclusion ------------------------------------------------------------------------------------- */

enum { READERS = 4, WRITERS = 3, ROUNDS = 2000 };

struct guarded {
    motet_rwlock lock;
    long a, b; /* equal, but for a moment of a writer's */
    uint32_t seed, readers;
};

static int read_often(void *arg)
{
    struct guarded *g = arg;
    uint32_t seed = atomic_add_relaxed(&g->seed, 1) * 31 + 3;
    bool patient = seed & 1;
    for (int i = 0; i < ROUNDS; i++) {
        int e = motet_rwlock_acquire_read(&g->lock, patient ? MOTET_FOREVER : random_deadline(&seed));
        if (e == 0) {
            atomic_add_relaxed(&g->readers, 1);
            CHECK_EQ(g->a, g->b);
            if (i % 16 == 0)
                motet_yield();
            CHECK_EQ(g->a, g->b);
            atomic_sub_relaxed(&g->readers, 1);
            CHECK_EQ(motet_rwlock_release(&g->lock), 0);
        } else {
            CHECK(!patient);
            CHECK_EQ(e, -ETIMEDOUT);
        }
    }
    return 0;
}

/* Returns how often it had the lock. */
static int write_often(void *arg)
{
    struct guarded *g = arg;
    uint32_t seed = atomic_add_relaxed(&g->seed, 1) * 31 + 3;
    bool patient = seed & 1;
    int had = 0;
    for (int i = 0; i < ROUNDS; i++) {
        int e = motet_rwlock_acquire_write(&g->lock, patient ? MOTET_FOREVER : random_deadline(&seed));
        if (e == 0) {
            CHECK_EQ(atomic_load_relaxed(&g->readers), 0);
            g->a++;
            if (i % 16 == 0)
                motet_yield();
            g->b++;
            had++;
            CHECK_EQ(motet_rwlock_release(&g->lock), 0);
        } else {
            CHECK(!patient);
            CHECK_EQ(e, -ETIMEDOUT);
        }
    }
    return had;
}

TEST(excludes)
{
    struct guarded g = {0};
    motet_thread *r[READERS], *w[WRITERS];
    long had = 0;
    for (int i = 0; i < READERS; i++) {
        r[i] = start(read_often, &g);
        if (i < WRITERS)
            w[i] = start(write_often, &g);
    }
    CHECK_EQ(finish_all(r, READERS, 0), READERS);
    for (int i = 0; i < WRITERS; i++)
        had += finish(w[i]);
    CHECK_EQ(g.a, had);
    CHECK_EQ(g.b, had);
    CHECK_EQ(g.lock.word_, 0);
}

/* Readers that always overlap do not keep a writer out. */
struct relay {
    motet_rwlock lock;
    uint32_t turns, written;
};

static int write_once(void *arg)
{
    struct relay *r = arg;
    CHECK_EQ(take_write(&r->lock), 0);
    atomic_store_release(&r->written, 1);
    return give(&r->lock);
}

/* Lets go only once another reader has come after it, or none can for the writer. */
static int read_in_turn(void *arg)
{
    struct relay *r = arg;
    while (!SEEN(&r->written)) {
        CHECK_EQ(take_read(&r->lock), 0);
        uint32_t turn = atomic_add_acq_rel(&r->turns, 1);
        UNTIL(SEEN(&r->turns) != turn + 1 || (SEEN(&r->lock.word_) & WRITERS_WAIT) || SEEN(&r->written));
        CHECK_EQ(give(&r->lock), 0);
    }
    return 0;
}

TEST(readers_do_not_starve_a_writer)
{
    struct relay r = {0};
    motet_thread *t[3];
    start_all(t, 3, read_in_turn, &r);
    UNTIL(SEEN(&r.turns) > 10);
    motet_thread *w = start(write_once, &r);
    CHECK_EQ(finish(w), 0);
    CHECK_EQ(finish_all(t, 3, 0), 3);
    CHECK_EQ(r.lock.word_, 0);
}

/* ---- memory ---------------------------------------------------------------------------------------- */

struct shared {
    motet_rwlock lock;
    int users;
    uint32_t turn;
};

static int use_and_drop(void *arg)
{
    struct shared *s = arg;
    if (atomic_add_relaxed(&s->turn, 1) % 2) {
        CHECK_EQ(take_read(&s->lock), 0);
        CHECK_GT(s->users, 0);
        CHECK_EQ(give(&s->lock), 0);
    }
    CHECK_EQ(take_write(&s->lock), 0);
    bool last = --s->users == 0;
    CHECK_EQ(give(&s->lock), 0);
    if (last)
        free(s);
    return 0;
}

TEST(may_be_freed_by_the_next_holder)
{
    for (int i = 0; i < 100; i++) {
        struct shared *s = calloc(1, sizeof *s);
        motet_thread *t[3];
        s->users = 4;
        CHECK_EQ(take_write(&s->lock), 0);
        start_all(t, 3, use_and_drop, s);
        CHECK_EQ(give(&s->lock), 0);
        use_and_drop(s);
        CHECK_EQ(finish_all(t, 3, 0), 3);
    }
}
