/* SPDX-License-Identifier: MIT */
/* Processes that share a counter and its lock; one of them is killed while it holds the lock. */
#include "must.h"

#include <signal.h>

enum { WORKERS = 4, ROUNDS = 1000 };

/* In shared memory, at the same address in every process. */
typedef struct account {
    motet_lock lock;
    motet_semaphore held;
    long deposits, total; /* total is always 10 a deposit, between two releases of the lock */
} account;

/* Takes the lock. If who held it before has died in the middle, what it left half done is put right first. */
static void enter(account *a)
{
    if (MUST(motet_lock_acquire(&a->lock, MOTET_FOREVER)) == MOTET_RECOVERED)
        a->total = a->deposits * 10;
}

static int work(void *arg)
{
    account *a = arg;
    for (int i = 0; i < ROUNDS; i++) {
        enter(a);
        a->deposits++;
        a->total += 10;
        MUST(motet_lock_release(&a->lock));
    }
    return 0;
}

/* Says that it holds the lock, with a deposit counted and not yet added, and never goes on. */
static int get_stuck(void *arg)
{
    account *a = arg;
    enter(a);
    a->deposits++;
    MUST(motet_semaphore_release(&a->held, 1));
    return motet_sleep(MOTET_FOREVER);
}

int main(int argc, char **argv)
{
    MUST(motet_init(&argc, &argv));
    account *a = motet_shared_alloc(sizeof *a);
    MUST(a ? 0 : -ENOMEM);
    MUST(motet_lock_init(&a->lock, MOTET_SHARED));
    MUST(motet_semaphore_init(&a->held, 0, MOTET_SHARED));

    motet_process *stuck, *worker[WORKERS];
    MUST(motet_process_start(&stuck, get_stuck, a, &(motet_process_options){.name = "stuck"}));
    MUST(motet_semaphore_acquire(&a->held, MOTET_FOREVER));
    for (int i = 0; i < WORKERS; i++)
        MUST(motet_process_start(&worker[i], work, a, NULL));
    printf("%d children, and the lock is held by \"%s\"\n", MUST(motet_active_children(NULL, 0)),
           motet_process_name(stuck));

    int code;
    MUST(motet_process_kill(stuck));
    MUST(motet_process_join(stuck, &code, MOTET_FOREVER));
    printf("killed by SIGKILL: %s\n", code == -SIGKILL ? "yes" : "no");
    motet_process_free(stuck);

    for (int i = 0; i < WORKERS; i++) {
        MUST(motet_process_join(worker[i], &code, MOTET_FOREVER));
        printf("%s: %d\n", motet_process_name(worker[i]), code);
        motet_process_free(worker[i]);
    }
    printf("%ld deposits, total %ld\n", a->deposits, a->total);
    motet_shared_free(a);
    return 0;
}
