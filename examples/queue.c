/* SPDX-License-Identifier: MIT */
/* Producers and consumers over one bounded queue; then a queue that gives the most urgent item first. */
#include "must.h"

enum { PRODUCERS = 2, CONSUMERS = 3, ITEMS = 1000 };

static motet_queue *numbers;
static motet_lock lock;
static long sum; /* lock */

static int produce(void *arg)
{
    for (int i = 1; i <= ITEMS; i++)
        MUST(motet_queue_put(numbers, &i, MOTET_FOREVER)); /* waits while the queue is full */
    return 0;
}

static int consume(void *arg)
{
    int number, code;
    while ((code = motet_queue_get(numbers, &number, MOTET_FOREVER)) == 0) {
        motet_lock_acquire(&lock, MOTET_FOREVER);
        sum += number;
        motet_lock_release(&lock);
        MUST(motet_queue_task_done(numbers));
    }
    return code == -EPIPE ? 0 : code; /* shut down and empty */
}

static int by_value(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }

int main(void)
{
    motet_thread *producers[PRODUCERS], *consumers[CONSUMERS];
    MUST(motet_queue_open(&numbers, sizeof(int), &(motet_queue_options){.capacity = 16}));
    for (int i = 0; i < CONSUMERS; i++)
        MUST(motet_thread_start(&consumers[i], consume, NULL, NULL));
    for (int i = 0; i < PRODUCERS; i++)
        MUST(motet_thread_start(&producers[i], produce, NULL, NULL));
    for (int i = 0; i < PRODUCERS; i++) {
        MUST(motet_thread_join(producers[i], NULL, MOTET_FOREVER));
        motet_thread_free(producers[i]);
    }
    MUST(motet_queue_join(numbers, MOTET_FOREVER)); /* all that was put is dealt with */
    MUST(motet_queue_shutdown(numbers));            /* the consumers' gets end with -EPIPE */
    for (int i = 0; i < CONSUMERS; i++) {
        int code;
        MUST(motet_thread_join(consumers[i], &code, MOTET_FOREVER));
        MUST(code);
        motet_thread_free(consumers[i]);
    }
    printf("sum: %ld\n", sum);
    motet_queue_close(numbers);

    motet_queue *urgent;
    motet_queue_options opt = {.order = MOTET_PRIORITY, .compare = by_value};
    const int mixed[] = {5, 1, 4, 2, 3};
    int ordered[5];
    MUST(motet_queue_open(&urgent, sizeof(int), &opt));
    MUST(motet_queue_put_many(urgent, mixed, 5, MOTET_FOREVER));
    int n = MUST(motet_queue_get_many(urgent, ordered, 5, MOTET_NOWAIT));
    for (int i = 0; i < n; i++)
        printf("%d%c", ordered[i], i < n - 1 ? ' ' : '\n');
    motet_queue_close(urgent);
    return 0;
}
