/* SPDX-License-Identifier: MIT */
/* Threads: start, join, what a body returns, names, a value of its own for each thread, and how to stop one. */
#include "must.h"

#include <stdlib.h>

static motet_local scratch; /* each thread's own buffer, freed when it ends */

static int sum_up_to(void *arg)
{
    int n = *(int *)arg, sum = 0;
    MUST(motet_local_set(&scratch, malloc(64)));
    for (int i = 1; i <= n; i++)
        sum += i;
    motet_thread *self = motet_thread_current();
    char *line = motet_local_get(&scratch);
    if (line) {
        snprintf(line, 64, "%s: the sum is %d\n", motet_thread_name(self), sum);
        fputs(line, stdout);
    }
    motet_thread_free(self);
    return sum;
}

/* Works until somebody cancels it; then the next call that waits returns -ECANCELED, this one included. */
static int patient(void *arg)
{
    int code = motet_sleep(MOTET_FOREVER);
    bool was = motet_shield(true); /* cleaning up may wait again */
    motet_event_set(arg);
    motet_shield(was);
    return code;
}

int main(void)
{
    MUST(motet_local_init(&scratch, free));

    int n = 100, sum;
    motet_thread *t;
    MUST(motet_thread_start(&t, sum_up_to, &n, &(motet_thread_options){.name = "adder"}));
    MUST(motet_thread_join(t, &sum, MOTET_FOREVER));
    printf("joined: %d, alive: %s\n", sum, motet_thread_alive(t) ? "yes" : "no");
    motet_thread_free(t);

    motet_event stopped = {0};
    int code;
    MUST(motet_thread_start(&t, patient, &stopped, NULL));
    if (motet_thread_join(t, &code, motet_after(10 * MOTET_MS)) == -ETIMEDOUT)
        puts("it would wait for ever");
    MUST(motet_thread_cancel(t));
    MUST(motet_event_wait(&stopped, MOTET_FOREVER));
    MUST(motet_thread_join(t, &code, MOTET_FOREVER));
    printf("asked to stop: %s\n", code == -ECANCELED ? "cancelled" : "?");
    motet_thread_free(t);

    motet_local_free(&scratch);
    return 0;
}
