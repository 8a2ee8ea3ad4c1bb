/* SPDX-License-Identifier: MIT */
/* The seam for threads. */
#include "base/sys_thread.h"

#include "base/panic.h"
#include "base/sys.h"

#include <sys/prctl.h>

#ifndef MOTET_SIM /* sim/ has its own */

/* Python's minimum too: below it, a call of printf may overflow. */
enum { STACK_SIZE_MIN = 32 * 1024 };

int sys_thread_create(size_t stack_size, void *(*run)(void *), void *arg)
{
    pthread_attr_t attr;
    pthread_t thread;
    int e = pthread_attr_init(&attr);
    if (e)
        return -e;
    e = pthread_attr_setstacksize(&attr, stack_size);
    if (!e)
        e = pthread_create(&thread, &attr, run, arg);
    pthread_attr_destroy(&attr);
    return -e;
}

void sys_thread_join(pthread_t thread)
{
    /* The process's last thread calls exit by itself, when all its own is over: then it may be told to join
     * itself. */
    if (pthread_equal(thread, pthread_self()))
        return;
    int e = pthread_join(thread, NULL);
    MOTET_ASSERT(e == 0);
}

bool sys_thread_is_main(void) { return gettid() == getpid(); }

void sys_thread_set_name(const char *name)
{
    /* The kernel cuts it. */
    prctl(PR_SET_NAME, name);
}

size_t sys_stack_round(size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t largest = (size_t)PTRDIFF_MAX / page * page;
    return size >= largest ? largest : (size + page - 1) / page * page;
}

size_t sys_stack_default(void)
{
    pthread_attr_t attr;
    size_t size = 0;
    /* glibc gives a new attribute the process's default. */
    if (pthread_attr_init(&attr) == 0) {
        pthread_attr_getstacksize(&attr, &size);
        pthread_attr_destroy(&attr);
    }
    size_t least = sys_stack_min();
    return size < least ? least : sys_stack_round(size);
}

size_t sys_stack_min(void)
{
    /* What the kernel needs to save the registers is known at run time only. */
    long needed = sysconf(_SC_THREAD_STACK_MIN);
    return sys_stack_round(needed > STACK_SIZE_MIN ? (size_t)needed : STACK_SIZE_MIN);
}

int sys_key_create(sys_key *key, void (*destroy)(void *)) { return -pthread_key_create(key, destroy); }

int sys_key_set(sys_key key, void *value) { return -pthread_setspecific(key, value); }

int sys_at_exit(void (*run)(void)) { return atexit(run) == 0 ? 0 : -ENOMEM; }

#endif
