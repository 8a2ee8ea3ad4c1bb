/* SPDX-License-Identifier: MIT */
/* Floor 0: time, errors, CPUs, buffers, the guard. */
#include "runner.h"

#include "base/buffer.h"
#include "base/guard.h"
#include "base/sys_thread.h"

#include <motet/base.h>

/* ---- time ------------------------------------------------------------------------------------------ */

TEST(after_saturates)
{
    motet_time before = motet_now(), soon = motet_after(5), then = motet_now();
    CHECK_GT(before, 0);
    CHECK_GE(soon, before + 5);
    CHECK_LE(soon, then + 5);
    CHECK_EQ(motet_after(INT64_MAX), MOTET_FOREVER);
    CHECK_EQ(motet_after(INT64_MAX - 1), MOTET_FOREVER);
    CHECK_LT(motet_after(100LL * 365 * 86400 * MOTET_S), MOTET_FOREVER);
    /* A moment of the past, and never before 0. */
    CHECK_EQ(motet_after(INT64_MIN), 0);
    CHECK_EQ(motet_after(-motet_now() - MOTET_S), 0);
    motet_time past = motet_after(-1);
    CHECK(past >= before - 1 && past < motet_now());
    CHECK_LT(MOTET_NOWAIT, motet_after(0));
}

TEST(now_never_goes_back)
{
    motet_time last = 0;
    for (int i = 0; i < 100000; i++) {
        motet_time now = motet_now();
        CHECK_GE(now, last);
        last = now;
    }
}

/* ---- codes and versions ---------------------------------------------------------------------------- */

TEST(strerror_knows_every_code_of_the_contract)
{
    static const int codes[] = {ETIMEDOUT, ECANCELED, EPIPE,  EOWNERDEAD, ETIME,  EFAULT, EDEADLK,   EPERM,  EINVAL,
                                EMSGSIZE,  EACCES,    ENOENT, EINTR,      EAGAIN, ENOMEM, EOVERFLOW, ENOTSUP};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        const char *text = motet_strerror(-codes[i]);
        CHECK(text[0] != 0);
        CHECK(strcmp(text, "unknown code") != 0);
        for (size_t j = 0; j < i; j++)
            CHECK(strcmp(text, motet_strerror(-codes[j])) != 0);
    }
    CHECK_STR(motet_strerror(0), "success");
    CHECK(strcmp(motet_strerror(MOTET_RECOVERED), motet_strerror(-EPERM)) != 0);
    CHECK(strstr(motet_strerror(MOTET_RECOVERED), "recovered") != NULL);
    CHECK_STR(motet_strerror(-99999), "unknown code");
    CHECK_STR(motet_strerror(99999), "unknown code");
    CHECK_STR(motet_strerror(INT32_MIN), "unknown code");
    CHECK_STR(motet_version(), MOTET_VERSION);
}

/* ---- CPUs ------------------------------------------------------------------------------------------ */

TEST(cpu_count_follows_affinity)
{
    cpu_set_t all, one;
    int before = motet_cpu_count();
    CHECK_GE(before, 1);
    CHECK_EQ(sched_getaffinity(0, sizeof all, &all), 0);
    CHECK_EQ(sys_cpus_allowed(), CPU_COUNT(&all));
    CHECK_LE(before, CPU_COUNT(&all));
    CPU_ZERO(&one);
    for (int cpu = 0; CPU_COUNT(&one) == 0; cpu++)
        if (CPU_ISSET(cpu, &all))
            CPU_SET(cpu, &one);
    CHECK_EQ(sched_setaffinity(0, sizeof one, &one), 0);
    CHECK_EQ(motet_cpu_count(), 1);
    CHECK_EQ(sys_cpus_allowed(), 1);
    CHECK_EQ(sched_setaffinity(0, sizeof all, &all), 0);
    CHECK_EQ(motet_cpu_count(), before);
}

/* ---- buffers --------------------------------------------------------------------------------------- */

TEST(buffer_misuse)
{
    motet_buffer *b = motet_buffer_new();
    CHECK(b != NULL);
    CHECK_EQ(motet_buffer_append(NULL, "x", 1), -EINVAL);
    CHECK_EQ(motet_buffer_append(NULL, NULL, 0), -EINVAL);
    CHECK_EQ(motet_buffer_append(b, NULL, 1), -EINVAL);
    CHECK_EQ(motet_buffer_append(b, NULL, 0), 0);
    CHECK_EQ(motet_buffer_reserve(NULL, 1), -EINVAL);
    CHECK_PTR(motet_buffer_data(NULL), NULL);
    CHECK_EQ(motet_buffer_size(NULL), 0);
    motet_buffer_clear(NULL);
    CHECK_PTR(motet_buffer_free(NULL), NULL);
    CHECK_EQ(motet_buffer_size(b), 0);
    CHECK_PTR(motet_buffer_free(b), NULL);
}

TEST(an_empty_buffer_is_an_empty_string)
{
    motet_buffer *b = motet_buffer_new();
    CHECK_STR(motet_buffer_data(b), "");
    motet_buffer_clear(b);
    CHECK_EQ(motet_buffer_append(b, "", 0), 0);
    CHECK_STR(motet_buffer_data(b), "");
    CHECK_EQ(motet_buffer_reserve(b, 1000), 0);
    CHECK_STR(motet_buffer_data(b), "");
    CHECK_EQ(motet_buffer_append(b, "text", 4), 0);
    CHECK_STR(motet_buffer_data(b), "text");
    motet_buffer_clear(b);
    CHECK_STR(motet_buffer_data(b), "");
    CHECK_EQ(motet_buffer_size(b), 0);
    motet_buffer_free(b);
}

TEST(buffer_holds_what_was_appended)
{
    enum { N = 100000 };
    static unsigned char model[N + 200];
    motet_buffer *b = motet_buffer_new();
    size_t size = 0;
    for (unsigned step = 0; size < N; step++) {
        unsigned char piece[200];
        size_t n = step * 7919 % sizeof piece;
        for (size_t i = 0; i < n; i++)
            model[size + i] = piece[i] = (unsigned char)(step * 31 + i);
        CHECK_EQ(motet_buffer_append(b, piece, n), 0);
        size += n;
        CHECK_EQ(motet_buffer_size(b), size);
        CHECK_EQ(((char *)motet_buffer_data(b))[size], 0);
    }
    CHECK_MEM(motet_buffer_data(b), model, size);
    motet_buffer_free(b);
}

TEST(buffer_may_append_its_own_bytes)
{
    /* Every part of the buffer at every size about where it grows, so that it moves or stays. */
    for (size_t size = 1; size < 140; size++) {
        for (size_t from = 0; from < size; from += 1 + size / 7) {
            char model[300];
            motet_buffer *b = motet_buffer_new();
            for (size_t i = 0; i < size; i++)
                model[i] = (char)(i + 1);
            memcpy(model + size, model + from, size - from);
            CHECK_EQ(motet_buffer_append(b, model, size), 0);
            CHECK_EQ(motet_buffer_append(b, (char *)motet_buffer_data(b) + from, size - from), 0);
            CHECK_EQ(motet_buffer_size(b), 2 * size - from);
            CHECK_MEM(motet_buffer_data(b), model, 2 * size - from);
            CHECK_EQ(((char *)motet_buffer_data(b))[2 * size - from], 0);
            motet_buffer_free(b);
        }
    }
}

TEST(a_reserved_buffer_does_not_move)
{
    motet_buffer *b = motet_buffer_new();
    CHECK_EQ(motet_buffer_append(b, "abc", 3), 0);
    CHECK_EQ(motet_buffer_reserve(b, 5000), 0);
    const char *data = motet_buffer_data(b);
    CHECK_STR(data, "abc");
    for (int i = 0; i < 5000; i++)
        CHECK_EQ(motet_buffer_append(b, "x", 1), 0);
    CHECK_PTR(motet_buffer_data(b), data);
    motet_buffer_clear(b);
    CHECK_PTR(motet_buffer_data(b), data); /* it kept the memory */
    motet_buffer_free(b);
}

TEST(sizes_that_cannot_be_are_refused)
{
    motet_buffer *b = motet_buffer_new();
    size_t impossible[] = {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - 3, SIZE_MAX / 2 + 1, PTRDIFF_MAX};
    for (int filled = 0; filled < 2; filled++) {
        for (size_t i = 0; i < sizeof impossible / sizeof impossible[0]; i++) {
            CHECK_EQ(motet_buffer_reserve(b, impossible[i]), -ENOMEM);
            CHECK_EQ(motet_buffer_append(b, "abcd", impossible[i]), -ENOMEM);
            CHECK_PTR(motet__buffer_room(b, impossible[i]), NULL);
            CHECK_STR(motet_buffer_data(b), filled ? "abcd" : "");
            CHECK_EQ(motet_buffer_size(b), filled ? 4 : 0);
        }
        CHECK_EQ(motet_buffer_append(b, "abcd", filled ? 0 : 4), 0);
    }
    motet_buffer_free(b);
}

TEST(room_and_move)
{
    motet_buffer *a = motet_buffer_new(), *b = motet_buffer_new();
    char *room = motet__buffer_room(a, 3);
    CHECK(room != NULL);
    room[0] = 'a';
    room[1] = 'b';
    motet__buffer_added(a, 2);
    CHECK_STR(motet_buffer_data(a), "ab");
    const char *data = motet_buffer_data(a);
    /* Into an empty one: the bytes themselves change hands. */
    CHECK_EQ(motet__buffer_move(b, a), 0);
    CHECK_PTR(motet_buffer_data(b), data);
    CHECK_STR(motet_buffer_data(a), "");
    CHECK_EQ(motet_buffer_size(a), 0);
    /* Into one that holds some: behind them. */
    CHECK_EQ(motet_buffer_append(a, "cd", 2), 0);
    CHECK_EQ(motet__buffer_move(b, a), 0);
    CHECK_STR(motet_buffer_data(b), "abcd");
    CHECK_EQ(motet_buffer_size(a), 0);
    /* An empty one adds nothing. */
    CHECK_EQ(motet__buffer_move(b, a), 0);
    CHECK_STR(motet_buffer_data(b), "abcd");
    motet_buffer_free(a);
    motet_buffer_free(b);
}

/* ---- guard ----------------------------------------------------------------------------------------- */

enum { LOCKERS = 4, ROUNDS = 20000 };

static guard contended;
static long sum;        /* guarded by `contended`, and plain */
static uint32_t inside; /* how many are between lock and unlock */

static void *lock_often(void *arg)
{
    long mine = 0;
    for (int i = 0; i < ROUNDS; i++) {
        if (i % 8)
            guard_lock(&contended);
        else if (!guard_try_lock(&contended))
            continue;
        CHECK_EQ(atomic_add_relaxed(&inside, 1), 0);
        sum++;
        mine++;
        if (i % 256 == 255)
            sys_yield(); /* so that others come to sleep */
        atomic_sub_relaxed(&inside, 1);
        guard_unlock(&contended);
    }
    *(long *)arg = mine;
    return NULL;
}

TEST(guard_lets_one_in_at_a_time)
{
    pthread_t threads[LOCKERS];
    long counts[LOCKERS], total = 0;
    for (int i = 0; i < LOCKERS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, lock_often, &counts[i]), 0);
    for (int i = 0; i < LOCKERS; i++) {
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
        CHECK_GE(counts[i], ROUNDS / 8 * 7);
        total += counts[i];
    }
    CHECK_EQ(sum, total);
    CHECK_EQ(contended.word, 0);
}

TEST(guard_try_lock_fails_when_held)
{
    guard g = {0};
    CHECK(guard_try_lock(&g));
    CHECK(!guard_try_lock(&g));
    guard_unlock(&g);
    CHECK(guard_try_lock(&g));
    guard_unlock(&g);
}
