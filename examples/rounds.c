/* SPDX-License-Identifier: MIT */
/* A condition guards a shelf; a barrier makes threads go round by round; a latch tells when all are ready; an event starts
 * them. */
#include "must.h"

enum { THREADS = 4, ROUNDS = 3 };

static motet_latch ready;
static motet_event start; /* zero-initialised: not set */
static motet_barrier barrier;

static motet_lock lock;
static motet_condition news;
static int shelf; /* lock */

static bool shelf_is_full(void *arg) { return shelf == THREADS * ROUNDS; }

static int runner(void *arg)
{
    MUST(motet_latch_count_down(&ready, 1));
    MUST(motet_event_wait(&start, MOTET_FOREVER));
    for (int round = 1; round <= ROUNDS; round++) {
        motet_lock_acquire(&lock, MOTET_FOREVER);
        shelf++;
        motet_condition_notify_all(&news);
        motet_lock_release(&lock);
        if (MUST(motet_barrier_wait(&barrier, MOTET_FOREVER)) == 0)
            printf("round %d: %d on the shelf\n", round, shelf); /* one of them says it ... */
        MUST(motet_barrier_wait(&barrier, MOTET_FOREVER));       /* ... before any goes on */
    }
    return 0;
}

int main(void)
{
    motet_thread *threads[THREADS];
    MUST(motet_latch_init(&ready, THREADS, 0));
    MUST(motet_barrier_init(&barrier, THREADS, 0));
    for (int i = 0; i < THREADS; i++)
        MUST(motet_thread_start(&threads[i], runner, NULL, NULL));
    MUST(motet_latch_wait(&ready, MOTET_FOREVER));
    puts("all are ready");
    MUST(motet_event_set(&start));

    motet_lock_acquire(&lock, MOTET_FOREVER);
    int code = motet_condition_wait_for(&news, &lock, shelf_is_full, NULL, motet_after(60 * MOTET_S));
    motet_lock_release(&lock);
    MUST(code);

    for (int i = 0; i < THREADS; i++) {
        MUST(motet_thread_join(threads[i], NULL, MOTET_FOREVER));
        motet_thread_free(threads[i]);
    }
    printf("full: %d\n", shelf);
    return 0;
}
