/* SPDX-License-Identifier: MIT */
/* Locks, a recursive lock, readers and writers, a semaphore, and something done once; none needs an init or a destroy. */
#include "must.h"

enum { THREADS = 4, ROUNDS = 10000, SEATS = 2 };

static motet_lock lock;
static long counter; /* lock */

static motet_rlock nested;
static motet_rwlock table_lock;
static int table[2]; /* table_lock; both are always the same */

static motet_semaphore seats;
static int seated, most; /* lock */

static motet_once_flag opened;

static int open_shop(void *arg)
{
    puts("opened once");
    return motet_semaphore_init(&seats, SEATS, MOTET_BOUNDED);
}

static void count_to(int n)
{
    motet_rlock_acquire(&nested, MOTET_FOREVER); /* again, by the thread that has it */
    if (n > 0)
        count_to(n - 1);
    motet_rlock_release(&nested);
}

static int visitor(void *arg)
{
    MUST(motet_once(&opened, open_shop, NULL));
    for (int i = 0; i < ROUNDS; i++) {
        motet_lock_acquire(&lock, MOTET_FOREVER);
        counter++;
        motet_lock_release(&lock);
    }
    for (int i = 0; i < ROUNDS / 100; i++) {
        MUST(motet_semaphore_acquire(&seats, MOTET_FOREVER));
        motet_lock_acquire(&lock, MOTET_FOREVER);
        most = ++seated > most ? seated : most;
        motet_lock_release(&lock);
        motet_yield();
        motet_lock_acquire(&lock, MOTET_FOREVER);
        seated--;
        motet_lock_release(&lock);
        MUST(motet_semaphore_release(&seats, 1));

        MUST(motet_rwlock_acquire_write(&table_lock, MOTET_FOREVER));
        table[0]++;
        table[1]++;
        motet_rwlock_release(&table_lock);
        MUST(motet_rwlock_acquire_read(&table_lock, MOTET_FOREVER));
        bool same = table[0] == table[1];
        motet_rwlock_release(&table_lock);
        if (!same)
            return -EIO;
    }
    count_to(10);
    return 0;
}

int main(void)
{
    motet_thread *threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        MUST(motet_thread_start(&threads[i], visitor, NULL, NULL));
    for (int i = 0; i < THREADS; i++) {
        int code;
        MUST(motet_thread_join(threads[i], &code, MOTET_FOREVER));
        MUST(code);
        motet_thread_free(threads[i]);
    }
    printf("counted %ld, never more than %d seated: %s\n", counter, SEATS, most <= SEATS ? "yes" : "no");
    printf("written %d times\n", table[0]);
    return 0;
}
