/* SPDX-License-Identifier: MIT */
/* Timers: a function later, one that is taken back, and one that starts itself again. */
#include "must.h"

enum { TICKS = 3 };

static motet_event finished;
static motet_time started;

static int tick(void *arg)
{
    int *count = arg;
    motet_timer *again;
    bool early = motet_now() < started + (*count + 1) * 10 * MOTET_MS;
    printf("tick %d%s\n", ++*count, early ? ", too early" : "");
    if (*count == TICKS)
        return motet_event_set(&finished);
    /* The next moment counts from the first one, so that delays do not add up. */
    MUST(motet_timer_start(&again, started + (*count + 1) * 10 * MOTET_MS, tick, count));
    motet_timer_free(again); /* gives the handle back; the timer runs all the same */
    return 0;
}

static int never(void *arg)
{
    puts("not to be seen");
    return 0;
}

int main(void)
{
    motet_timer *t, *late;
    int count = 0;
    started = motet_now();
    MUST(motet_timer_start(&t, started + 10 * MOTET_MS, tick, &count));
    MUST(motet_timer_start(&late, motet_after(3600 * MOTET_S), never, NULL));
    MUST(motet_event_wait(&finished, MOTET_FOREVER));
    MUST(motet_timer_cancel(late)); /* or the program's end would wait for it */
    printf("too late to cancel the first: %s\n", motet_timer_cancel(t) == -EAGAIN ? "yes" : "no");
    motet_timer_free(t);
    motet_timer_free(late);
    return 0;
}
