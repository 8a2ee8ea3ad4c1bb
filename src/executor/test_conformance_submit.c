/* SPDX-License-Identifier: MIT */
/* Conformance: submitting a task and getting its result. */
#include "executor/test_conformance.h"

#include <string.h>

static motet_bytes text(const char *s) { return (motet_bytes){s, strlen(s)}; }

void conform_typed_results(const conform_backend *b)
{
    motet_executor *ex = conform_open_workers(b, 2);
    for (int i = -50; i < 50; i++) {
        motet_future *f = NULL;
        long out = -1;
        CHECK_EQ(conform_square_submit(ex, &i, &f), 0);
        CHECK_EQ(conform_square_result(f, &out, MOTET_FOREVER), 0);
        CHECK_EQ(out, (long)i * i);
        out = -1;
        CHECK_EQ(conform_square_result(f, &out, MOTET_NOWAIT), 0); /* any number of times */
        CHECK_EQ(out, (long)i * i);
        motet_bytes value = motet_future_value(f);
        CHECK_EQ(value.size, sizeof out);
        CHECK_MEM(value.data, &out, sizeof out);
        CHECK(motet_future_unref(f) == NULL);
    }
    CHECK(motet_executor_close(ex) == NULL);
}

void conform_bytes_results(const conform_backend *b)
{
    motet_executor *ex = conform_open_workers(b, 2);
    motet_future *f;
    motet_buffer *out = motet_buffer_new();
    CHECK_EQ(conform_shout_submit(ex, text("hello"), &f), 0);
    CHECK_EQ(motet_buffer_append(out, "<", 1), 0);
    CHECK_EQ(conform_shout_result(f, out, MOTET_FOREVER), 0); /* appends */
    CHECK_EQ(conform_shout_result(f, out, MOTET_FOREVER), 0);
    CHECK_STR(motet_buffer_data(out), "<HELLOHELLO");
    motet_bytes value = motet_future_value(f);
    CHECK_EQ(value.size, 5);
    CHECK_MEM(value.data, "HELLO", 5);
    motet_future_unref(f);
    motet_buffer_free(out);
    motet_executor_close(ex);
}

void conform_bytes_of_any_size(const conform_backend *b)
{
    static const size_t sizes[] = {0, 1, 15, 16, 17, 63, 64, 65, 4095, 4096, 100000, 1 << 20};
    motet_executor *ex = conform_open_workers(b, 2);
    motet_buffer *in = motet_buffer_new(), *out = motet_buffer_new();
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        motet_buffer_clear(in);
        motet_buffer_clear(out);
        for (size_t k = 0; k < sizes[i]; k++)
            CHECK_EQ(motet_buffer_append(in, &(char){(char)('A' + k % 26)}, 1), 0);
        motet_bytes bytes = {sizes[i] ? motet_buffer_data(in) : NULL, sizes[i]};
        motet_future *f;
        CHECK_EQ(conform_shout_submit(ex, bytes, &f), 0);
        CHECK_EQ(conform_shout_result(f, out, MOTET_FOREVER), 0);
        CHECK_EQ(motet_buffer_size(out), sizes[i]);
        CHECK_MEM(motet_buffer_data(out), motet_buffer_data(in), sizes[i]);
        motet_future_unref(f);
    }
    motet_buffer_free(in);
    motet_buffer_free(out);
    motet_executor_close(ex);
}

void conform_inputs_are_copied(const conform_backend *b)
{
    CONFORM_NEEDS(b, holds_worker);
    conform_gate *g = conform_gate_new(b);
    motet_executor *ex = conform_open_workers(b, 1);
    motet_future *held, *typed, *bytes;
    conform_hold_workers(ex, g, 1, &held);
    int in = 7;
    char word[] = "word";
    CHECK_EQ(conform_square_submit(ex, &in, &typed), 0);
    CHECK_EQ(conform_shout_submit(ex, text(word), &bytes), 0);
    in = 1000; /* nobody has begun to read it */
    memset(word, 'x', sizeof word - 1);
    conform_let_go(g, &held, 1);
    long out;
    CHECK_EQ(conform_square_result(typed, &out, MOTET_FOREVER), 0);
    CHECK_EQ(out, 49);
    CHECK_EQ(motet_future_wait(bytes, MOTET_FOREVER), 0);
    CHECK_MEM(motet_future_value(bytes).data, "WORD", 4);
    motet_future_unref(typed);
    motet_future_unref(bytes);
    motet_executor_close(ex);
    b->free(g);
}

void conform_sizes_are_checked(const conform_backend *b)
{
    motet_executor *ex = conform_open_workers(b, 1);
    char in[64] = {0};
    motet_future *const untouched = (motet_future *)(void *)in;
    motet_future *f = untouched;
    for (size_t size = 0; size < sizeof in; size++) {
        if (size == sizeof(int))
            continue;
        CHECK_EQ(motet_submit(ex, &conform_square, (motet_bytes){in, size}, NULL, &f), -EMSGSIZE);
        CHECK(f == untouched);
    }
    int number = 3;
    CHECK_EQ(motet_submit(ex, &conform_square, (motet_bytes){&number, sizeof number}, NULL, &f), 0);
    char out[64];
    memset(out, 'u', sizeof out);
    for (size_t size = 1; size < sizeof out; size++)
        if (size != sizeof(long))
            CHECK_EQ(motet_future_take(f, &conform_square, out, size, MOTET_FOREVER), -EMSGSIZE);
    for (size_t i = 0; i < sizeof out; i++)
        CHECK_EQ(out[i], 'u');
    long nine;
    CHECK_EQ(motet_future_take(f, NULL, &nine, sizeof nine, MOTET_FOREVER), 0);
    CHECK_EQ(nine, 9);
    CHECK_EQ(motet_future_take(f, NULL, NULL, 0, MOTET_FOREVER), 0); /* only the code */
    motet_future_unref(f);
    motet_executor_close(ex);
}

void conform_codes_are_the_tasks_own(const conform_backend *b)
{
    static const int codes[] = {0, 1, 17, INT32_MAX, -1, -ENOENT, -ECANCELED, -EAGAIN, -EOWNERDEAD, -4711};
    motet_executor *ex = conform_open_workers(b, 2);
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        motet_future *f;
        int out = 12345;
        CHECK_EQ(conform_code_submit(ex, &codes[i], &f), 0);
        CHECK_EQ(conform_code_result(f, &out, MOTET_FOREVER), codes[i]);
        CHECK_EQ(out, codes[i] < 0 ? 12345 : codes[i]); /* a failure leaves the output as it was */
        CHECK_EQ(motet_future_code(f), codes[i]);
        CHECK_EQ(motet_future_outcome(f), MOTET_RETURNED);
        CHECK_EQ(motet_future_state_of(f), MOTET_DONE);
        motet_future_unref(f);
    }
    motet_executor_close(ex);
}

/* ---- shapes of values ------------------------------------------------------------------------------ */

#define ALIGNED(n)                                                                   \
    typedef struct aligned_##n {                                                     \
        _Alignas(n) unsigned char bytes[n];                                          \
    } aligned_##n;                                                                   \
    MOTET_TASK(conform_aligned_##n, aligned_##n, aligned_##n)                        \
    {                                                                                \
        if ((uintptr_t)in % n || (uintptr_t)out % n)                                 \
            return -EFAULT;                                                          \
        *out = *in;                                                                  \
        return 0;                                                                    \
    }                                                                                \
    static void check_aligned_##n(motet_executor *ex)                                \
    {                                                                                \
        enum { MANY = 9 };                                                           \
        aligned_##n in[MANY], out[MANY] = {0};                                       \
        memset(in, n, sizeof in);                                                    \
        motet_future *f[MANY]; /* several at once: one may be aligned by luck */     \
        for (int i = 0; i < MANY; i++)                                               \
            CHECK_EQ(conform_aligned_##n##_submit(ex, &in[i], &f[i]), 0);            \
        for (int i = 0; i < MANY; i++) {                                             \
            CHECK_EQ(conform_aligned_##n##_result(f[i], &out[i], MOTET_FOREVER), 0); \
            CHECK_EQ((uintptr_t)motet_future_value(f[i]).data % n, 0);               \
            motet_future_unref(f[i]);                                                \
        }                                                                            \
        CHECK_MEM(in, out, sizeof in);                                               \
        memset(out, 0, sizeof out);                                                  \
        CHECK_EQ(conform_aligned_##n##_map(ex, in, out, MANY, NULL), 0);             \
        CHECK_MEM(in, out, sizeof in);                                               \
    }

ALIGNED(1)
ALIGNED(2)
ALIGNED(8)
ALIGNED(16)
ALIGNED(32)
ALIGNED(64)

void conform_values_are_aligned(const conform_backend *b)
{
    motet_executor *ex = conform_open_workers(b, 2);
    check_aligned_1(ex);
    check_aligned_2(ex);
    check_aligned_8(ex);
    check_aligned_16(ex);
    check_aligned_32(ex);
    check_aligned_64(ex);
    motet_executor_close(ex);
}

typedef struct large {
    unsigned char bytes[200001];
} large;

MOTET_TASK(conform_large, large, large)
{
    for (size_t i = 0; i < sizeof in->bytes; i++)
        out->bytes[i] = (unsigned char)(in->bytes[i] ^ 0xff);
    return 0;
}

void conform_large_values(const conform_backend *b)
{
    static large in, out;
    motet_executor *ex = conform_open_workers(b, 2);
    for (size_t i = 0; i < sizeof in.bytes; i++)
        in.bytes[i] = (unsigned char)(i * 7);
    motet_future *f;
    CHECK_EQ(conform_large_submit(ex, &in, &f), 0);
    CHECK_EQ(conform_large_result(f, &out, MOTET_FOREVER), 0);
    for (size_t i = 0; i < sizeof in.bytes; i++)
        CHECK_EQ(out.bytes[i], in.bytes[i] ^ 0xff);
    motet_future_unref(f);
    motet_executor_close(ex);
}

/* ---- many ------------------------------------------------------------------------------------------ */

void conform_many_tasks(const conform_backend *b)
{
    enum { MANY = 5000 };
    static motet_future *f[MANY];
    uint32_t *counter = conform_alloc(b, sizeof *counter);
    motet_executor *ex = conform_open_workers(b, 3);
    for (int i = 0; i < MANY; i++)
        CHECK_EQ(conform_count_submit(ex, &(conform_counted){counter, i}, &f[i]), 0);
    for (int i = MANY - 1; i >= 0; i--) {
        int out = -1;
        CHECK_EQ(conform_count_result(f[i], &out, MOTET_FOREVER), i);
        CHECK_EQ(out, i);
        motet_future_unref(f[i]);
    }
    CHECK_EQ(atomic_load_relaxed(counter), MANY); /* each ran once */
    CHECK_EQ(motet_executor_shutdown(ex, false, MOTET_FOREVER), 0);
    conform_check_balance(ex, MANY);
    motet_executor_close(ex);
    b->free(counter);
}

typedef struct submitters {
    motet_executor *ex;
    uint32_t *counter;
} submitters;

enum { SUBMITTERS = 4, EACH = 1000 };

static int submit_and_wait(void *arg)
{
    const submitters *s = arg;
    for (int i = 0; i < EACH; i++) {
        motet_future *f;
        CHECK_EQ(conform_count_submit(s->ex, &(conform_counted){s->counter, 0}, i % 3 ? NULL : &f), 0);
        if (i % 3)
            continue;
        CHECK_EQ(motet_future_wait(f, MOTET_FOREVER), 0);
        motet_future_unref(f);
    }
    return 0;
}

void conform_many_submitters(const conform_backend *b)
{
    uint32_t *counter = conform_alloc(b, sizeof *counter);
    motet_executor *ex = conform_open_workers(b, 2);
    conform_threads(SUBMITTERS, submit_and_wait, &(submitters){ex, counter});
    CHECK_EQ(motet_executor_shutdown(ex, false, MOTET_FOREVER), 0);
    CHECK_EQ(atomic_load_relaxed(counter), SUBMITTERS * EACH);
    conform_check_balance(ex, SUBMITTERS * EACH);
    motet_executor_close(ex);
    b->free(counter);
}

void conform_nobody_holds_the_future(const conform_backend *b)
{
    enum { MANY = 300 };
    uint32_t *counter = conform_alloc(b, sizeof *counter);
    motet_executor *ex = conform_open_workers(b, 2);
    for (int i = 0; i < MANY; i++) {
        motet_future *f;
        CHECK_EQ(conform_count_submit(ex, &(conform_counted){counter, -EIO}, i % 2 ? &f : NULL), 0);
        if (i % 2)
            motet_future_unref(f); /* at once: it runs all the same */
    }
    motet_executor_close(ex);
    CHECK_EQ(atomic_load_relaxed(counter), MANY);
    b->free(counter);
}

/* ---- misuse ---------------------------------------------------------------------------------------- */

void conform_submit_options(const conform_backend *b)
{
    motet_executor *ex = conform_open_workers(b, 1);
    int in = 2;
    motet_bytes bytes = {&in, sizeof in};
    motet_future *f = NULL;
    CHECK_EQ(motet_submit(ex, &conform_square, bytes, &(motet_submit_options){.priority = 1}, &f), -ENOTSUP);
    CHECK_EQ(motet_submit(ex, &conform_square, bytes, &(motet_submit_options){.timeout_ns = -1}, &f), -EINVAL);
    CHECK(f == NULL);
    /* There is room, so no deadline matters; that it may run again costs nothing. */
    motet_submit_options options = {.deadline = MOTET_NOWAIT, .idempotent = true, .retries = 3};
    CHECK_EQ(motet_submit(ex, &conform_square, bytes, &options, &f), 0);
    CHECK_EQ(motet_future_wait(f, MOTET_FOREVER), 0);
    motet_future_unref(f);
    CHECK_EQ(motet_executor_shutdown(ex, false, MOTET_FOREVER), 0);
    conform_check_balance(ex, 1); /* what was refused does not count */
    motet_executor_close(ex);
}

void conform_submit_misuse(const conform_backend *b)
{
    static const motet_task nothing = {.name = "nothing"};
    motet_executor *ex = conform_open_workers(b, 1);
    int in = 2;
    motet_bytes bytes = {&in, sizeof in};
    motet_future *f = NULL;
    CHECK_EQ(motet_submit(NULL, &conform_square, bytes, NULL, &f), -EINVAL);
    CHECK_EQ(motet_submit(ex, NULL, bytes, NULL, &f), -EINVAL);
    CHECK_EQ(motet_submit(ex, &nothing, bytes, NULL, &f), -EINVAL);
    CHECK_EQ(motet_submit(ex, &conform_square, (motet_bytes){NULL, sizeof in}, NULL, &f), -EINVAL);
    CHECK_EQ(motet_submit(ex, &conform_shout, (motet_bytes){NULL, 1}, NULL, &f), -EINVAL);
    CHECK_EQ(conform_square_submit(ex, NULL, &f), -EINVAL);
    CHECK(f == NULL);
    motet_executor_close(ex);
}

void conform_wrong_task_taken(const conform_backend *b)
{
    motet_executor *ex = conform_open_workers(b, 1);
    int in = 2, out = 77;
    motet_future *f;
    CHECK_EQ(conform_square_submit(ex, &in, &f), 0);
    CHECK_EQ(conform_code_result(f, &out, MOTET_FOREVER), -EINVAL);
    CHECK_EQ(conform_square_result(f, NULL, MOTET_FOREVER), -EINVAL);
    CHECK_EQ(conform_square_result(NULL, &(long){0}, MOTET_FOREVER), -EINVAL);
    CHECK_EQ(motet_future_take(NULL, NULL, NULL, 0, MOTET_FOREVER), -EINVAL);
    CHECK_EQ(out, 77);
    motet_buffer *buffer = motet_buffer_new();
    CHECK_EQ(conform_shout_result(f, buffer, MOTET_FOREVER), -EINVAL);
    CHECK_EQ(motet_buffer_size(buffer), 0);
    motet_buffer_free(buffer);
    motet_future_unref(f);
    CHECK_EQ(conform_shout_submit(ex, (motet_bytes){"a", 1}, &f), 0);
    CHECK_EQ(conform_shout_result(f, NULL, MOTET_FOREVER), -EINVAL);
    motet_future_unref(f);
    motet_executor_close(ex);
}
