/* SPDX-License-Identifier: MIT */
/* Tasks, futures, as-completed, a callback, and a promise. */
#include "must.h"

MOTET_TASK(square, int, long)
{
    *out = (long)*in * *in;
    return *in < 0 ? -EDOM : 0;
}

MOTET_TASK_BYTES(greet)
{
    int code = motet_buffer_append(out, "hello, ", 7);
    return code ? code : motet_buffer_append(out, in.data, in.size);
}

static void count_one(motet_future *f, void *arg) { motet_semaphore_release(arg, 1); }

int main(void)
{
    enum { N = 8 };
    motet_executor *pool;
    MUST(motet_thread_pool_open(&pool, NULL));

    /* Submit, and take the results as they come. */
    motet_future *f[N], *next;
    motet_semaphore done = {0};
    for (int i = 0; i < N; i++) {
        int in = i + 1;
        MUST(square_submit(pool, &in, &f[i]));
        MUST(motet_future_on_done(f[i], count_one, &done));
    }
    motet_completions *it;
    MUST(motet_completions_open(&it, f, N));
    long sum = 0, value;
    while (motet_completions_next(it, &next, MOTET_FOREVER) == 0) {
        MUST(square_result(next, &value, MOTET_NOWAIT)); /* it is over: no wait */
        sum += value;
    }
    motet_completions_close(it);
    for (int i = 0; i < N; i++) {
        MUST(motet_semaphore_acquire(&done, MOTET_FOREVER)); /* each callback was called, once */
        motet_future_unref(f[i]);
    }
    printf("sum of squares: %ld\n", sum);

    /* A task that fails fails alone, with its own code. */
    int negative = -1;
    MUST(square_submit(pool, &negative, &f[0]));
    printf("square of -1: %s\n", square_result(f[0], &value, MOTET_FOREVER) == -EDOM ? "refused" : "?");
    motet_future_unref(f[0]);

    /* From bytes to bytes. */
    motet_buffer *text = motet_buffer_new();
    MUST(greet_submit(pool, (motet_bytes){"world", 5}, &f[0]));
    MUST(greet_result(f[0], text, MOTET_FOREVER));
    puts(motet_buffer_data(text));
    motet_future_unref(f[0]);
    motet_buffer_free(text);

    /* A promise is a future that you complete yourself. */
    int answer = 42, got;
    MUST(motet_promise_new(&f[0], sizeof answer));
    printf("promised: %s\n", motet_future_wait(f[0], MOTET_NOWAIT) == -ETIMEDOUT ? "not yet" : "?");
    MUST(motet_promise_set(f[0], (motet_bytes){&answer, sizeof answer}, 0));
    MUST(motet_future_take(f[0], NULL, &got, sizeof got, MOTET_FOREVER));
    printf("kept: %d\n", got);
    motet_future_unref(f[0]);

    motet_executor_close(pool); /* finishes what was submitted */
    return 0;
}
