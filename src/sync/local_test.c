/* SPDX-License-Identifier: MIT */
/* Locals: values of each thread's own, destroyed once, by the thread's end or the local's; slots used again. That no memory
 * is left is the runner's check after each test. */
#include "sync/test_threads.h"

#include "sync/sync.h"

#include <stdlib.h>

static uint32_t destroyed; /* sum of what was destroyed */

static void destroy(void *value) { atomic_add_relaxed(&destroyed, (uint32_t)(uintptr_t)value); }

TEST(codes)
{
    motet_local k = {0};
    int a, b;
    CHECK_EQ(motet_local_init(NULL, NULL), -EINVAL);
    CHECK_EQ(motet_local_set(NULL, &a), -EINVAL);
    CHECK_PTR(motet_local_get(NULL), NULL);
    motet_local_free(NULL);
    /* Zero-initialised: a local without destroy. */
    CHECK_PTR(motet_local_get(&k), NULL);
    CHECK_EQ(motet_local_set(&k, NULL), 0);
    CHECK_EQ(motet_local_set(&k, &a), 0);
    CHECK_PTR(motet_local_get(&k), &a);
    CHECK_EQ(motet_local_set(&k, &b), 0);
    CHECK_PTR(motet_local_get(&k), &b);
    CHECK_EQ(motet_local_set(&k, NULL), 0);
    CHECK_PTR(motet_local_get(&k), NULL);
    motet_local_free(&k);
    CHECK_PTR(motet_local_get(&k), NULL);
    motet_local_free(&k); /* as zero-initialised */
    CHECK_EQ(motet_local_init(&k, destroy), 0);
    CHECK_PTR(motet_local_get(&k), NULL);
    CHECK_EQ(motet_local_set(&k, (void *)5), 0);
    CHECK_EQ(motet_local_set(&k, (void *)6), 0); /* the old one is forgotten */
    CHECK_EQ(destroyed, 0);
    motet_local_free(&k);
    CHECK_EQ(destroyed, 6);
}

TEST(setting_nothing_takes_nothing)
{
    motet_local k = {0};
    CHECK_EQ(motet_local_set(&k, NULL), 0);
    CHECK_EQ(k.id_, 0); /* no slot */
}

/* ---- slots ----------------------------------------------------------------------------------------- */

enum { MANY = 1000 };

static int set_only(void *last)
{
    CHECK_PTR(motet_local_get(last), NULL);
    CHECK_EQ(motet_local_set(last, last), 0);
    CHECK_PTR(motet_local_get(last), last);
    return 0;
}

TEST(a_threads_first_value_may_have_any_slot)
{
    static motet_local k[MANY];
    for (int i = 0; i < MANY; i++) {
        CHECK_EQ(motet_local_init(&k[i], NULL), 0);
        if (i % 100 == 99)
            finish(start(set_only, &k[i]));
    }
    for (int i = 0; i < MANY; i++)
        motet_local_free(&k[i]);
}

/* Many locals, made and freed in changing order: a slot's next local does not see what its last one left. */
TEST(any_number_of_locals)
{
    static motet_local k[MANY];
    uint32_t seed = 9;
    for (int i = 0; i < MANY; i++) {
        CHECK_EQ(motet_local_init(&k[i], NULL), 0);
        CHECK_EQ(motet_local_set(&k[i], &k[i]), 0);
    }
    for (int n = 0; n < 5000; n++) {
        int i = (int)random_below(&seed, MANY);
        CHECK_PTR(motet_local_get(&k[i]), &k[i]);
        motet_local_free(&k[i]);
        CHECK_EQ(motet_local_init(&k[i], NULL), 0);
        CHECK_PTR(motet_local_get(&k[i]), NULL);
        CHECK_EQ(motet_local_set(&k[i], &k[i]), 0);
    }
    for (int i = 0; i < MANY; i++) {
        CHECK_PTR(motet_local_get(&k[i]), &k[i]);
        motet_local_free(&k[i]);
    }
}

/* ---- threads --------------------------------------------------------------------------------------- */

enum { THREADS = 6, KEYS = 20 };

static motet_local keys[KEYS];
static uint32_t next_id, set_all, may_end;

static int keep_values(void *arg)
{
    uintptr_t id = atomic_add_relaxed(&next_id, 1) + 1;
    for (int i = 0; i < KEYS; i++) {
        CHECK_PTR(motet_local_get(&keys[i]), NULL);
        CHECK_EQ(motet_local_set(&keys[i], (void *)(id * 100 + i)), 0);
    }
    atomic_add_acq_rel(&set_all, 1);
    UNTIL(SEEN(&may_end));
    for (int i = 0; arg && i < KEYS; i++)
        CHECK_PTR(motet_local_get(&keys[i]), (void *)(id * 100 + i));
    return 0;
}

static uint32_t sum_of_values(void)
{
    uint32_t sum = 0;
    for (uint32_t id = 1; id <= THREADS; id++)
        for (uint32_t i = 0; i < KEYS; i++)
            sum += id * 100 + i;
    return sum;
}

static void start_keepers(motet_thread **t, void *arg)
{
    for (int i = 0; i < KEYS; i++)
        CHECK_EQ(motet_local_init(&keys[i], destroy), 0);
    start_all(t, THREADS, keep_values, arg);
    UNTIL(SEEN(&set_all) == THREADS);
    CHECK_PTR(motet_local_get(&keys[0]), NULL);
}

static void free_keys(void)
{
    for (int i = 0; i < KEYS; i++)
        motet_local_free(&keys[i]);
}

TEST(a_threads_end_destroys_its_values)
{
    motet_thread *t[THREADS];
    start_keepers(t, keys);
    CHECK_EQ(destroyed, 0);
    atomic_store_release(&may_end, 1);
    CHECK_EQ(finish_all(t, THREADS, 0), THREADS);
    CHECK_EQ(destroyed, sum_of_values());
    free_keys();
    CHECK_EQ(destroyed, sum_of_values());
}

TEST(free_destroys_the_values_of_all_threads)
{
    motet_thread *t[THREADS];
    start_keepers(t, NULL);
    free_keys();
    CHECK_EQ(destroyed, sum_of_values());
    atomic_store_release(&may_end, 1);
    CHECK_EQ(finish_all(t, THREADS, 0), THREADS);
    CHECK_EQ(destroyed, sum_of_values());
}

/* Threads end while the local is freed: each value is destroyed once, by one of the two. */
TEST(free_against_ending_threads)
{
    motet_thread *t[THREADS];
    start_keepers(t, NULL);
    atomic_store_release(&may_end, 1);
    free_keys();
    CHECK_EQ(finish_all(t, THREADS, 0), THREADS);
    CHECK_EQ(destroyed, sum_of_values());
}

static void *keep_on_foreign(void *arg)
{
    keep_values(arg);
    return NULL;
}

TEST(foreign_threads_too)
{
    pthread_t p;
    CHECK_EQ(motet_local_init(&keys[0], destroy), 0);
    for (int i = 1; i < KEYS; i++)
        CHECK_EQ(motet_local_init(&keys[i], NULL), 0);
    atomic_store_release(&may_end, 1);
    CHECK_EQ(pthread_create(&p, NULL, keep_on_foreign, keys), 0);
    CHECK_EQ(pthread_join(p, NULL), 0);
    CHECK_EQ(destroyed, 100); /* the others have no destroy */
    free_keys();
}

/* ---- destroy that uses locals ---------------------------------------------------------------------- */

static motet_local chain;
static uint32_t links;

/* Sets a new value each time: it is destroyed again, but not for ever. */
static void set_again(void *value)
{
    CHECK_PTR(motet_local_get(&chain), NULL);
    atomic_add_relaxed(&links, 1);
    CHECK_EQ(motet_local_set(&chain, value), 0);
}

static int begin_chain(void *arg) { return motet_local_set(&chain, &links); }

TEST(destroy_may_set_values)
{
    CHECK_EQ(motet_local_init(&chain, set_again), 0);
    CHECK_EQ(finish(start(begin_chain, NULL)), 0);
    CHECK_EQ(links, 4);
    motet_local_free(&chain);
}

/* One local's destroy sets and frees others, on the ending thread. */
static void free_another(void *value)
{
    CHECK_EQ(motet_local_set(&keys[0], (void *)1000), 0);
    CHECK_EQ(motet_local_set(&keys[1], (void *)2000), 0);
    motet_local_free(&keys[1]);
}

TEST(destroy_may_free_locals)
{
    CHECK_EQ(motet_local_init(&chain, free_another), 0);
    CHECK_EQ(motet_local_init(&keys[0], destroy), 0);
    CHECK_EQ(motet_local_init(&keys[1], destroy), 0);
    CHECK_EQ(finish(start(begin_chain, NULL)), 0);
    CHECK_EQ(destroyed, 3000);
    motet_local_free(&chain);
    motet_local_free(&keys[0]);
}

static int use_in_child(void *arg)
{
    if (motet_local_get(&chain) != &links)
        return -1;
    return motet_local_set(&chain, &chain);
}

TEST(works_in_a_forked_child)
{
    CHECK_EQ(begin_chain(NULL), 0);
    CHECK_EQ(in_forked_child(use_in_child, NULL), 0);
    CHECK_PTR(motet_local_get(&chain), &links);
    motet_local_free(&chain);
}
