/* SPDX-License-Identifier: MIT */
/* motet/thread.h - operating system threads and timers. */
#ifndef MOTET_THREAD_H
#define MOTET_THREAD_H

#include <motet/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The body of a thread, process or fiber, and of a timer: what is done. What it returns is its result. */
typedef int motet_fn(void *arg);

/* ---- threads --------------------------------------------------------------------------------------- */

/* A thread. Counted: each pointer that a function here gives you is a reference of your own, to be freed. No
 * function here may be called from a signal handler. In the child of a raw fork they fail with -EPERM
 * (motet_thread_current: NULL, where it would need a new object). */
typedef struct motet_thread motet_thread;

/* Zero fields mean the default. */
typedef struct motet_thread_options {
    const char *name;  /* copied; "Thread-1", "Thread-2" ... unless given. The kernel shows its first 15 bytes */
    bool daemon;       /* true: the program's end does not wait for it. Not inherited from the starting thread */
    size_t stack_size; /* bytes, rounded up to pages; the default is motet_stack_size's. 32 KiB or more */
} motet_thread_options;

/* motet_thread_start: runs `fn(arg)` on a new thread. The thread exists when the call returns, and *t is set
 * before its body begins. It inherits the signal mask of the thread that starts it, as with pthread_create,
 * and nothing of its cancel state, shield or interruptibility. The body ends by returning; one that leaves by
 * pthread_exit has the result -ECANCELED. Never waits. Any thread.
 *
 * The program's end (exit, or return from main; never _exit, quick_exit or a signal) waits for every thread
 * started here that is not a daemon, freed or not, those started meanwhile too; daemons go on until the
 * process is gone, and are cut off. The thread that calls exit counts as ended from then on, and so does main
 * when it returns: a join of it succeeds. When another thread calls exit, main is not waited for. The wait is
 * an atexit handler, registered at the first start: handlers registered later run before it, while threads
 * still run; those registered earlier run after it.
 *
 * 0; -EINVAL: `t` or `fn` is NULL, or the stack size is too small; -ENOMEM; -EAGAIN: no more threads can be
 * had; -EPERM in the child of a raw fork. Names, daemons and the exit rule are those of Python's threading. */
MOTET_API int motet_thread_start(motet_thread **t, motet_fn *fn, void *arg, const motet_thread_options *opt);

/* motet_thread_join: waits until the thread has ended, and stores its result (ret_code may be NULL). Any
 * number of times, by any number of threads at once; what the thread did is visible to all of them. A thread
 * has ended when its body has returned and its thread-local values are destroyed (C++ thread_local, pthread
 * keys of one or two rounds): nothing of the user's runs on it any more, and its stack goes back to the
 * system. An adopted thread is waited for as well and has the result 0: a foreign one ends when its function
 * does, main when it returns, or calls exit or pthread_exit. 0; -EDEADLK: it is the calling thread;
 * -ETIMEDOUT; -ECANCELED; -EINTR (an interruptible thread); -EINVAL: NULL; -EPERM in the child of a raw fork. */
MOTET_API int motet_thread_join(motet_thread *t, int *ret_code, motet_time deadline);

/* motet_thread_alive: false once the thread has ended: then a join succeeds at once. False for NULL. Never
 * waits. */
MOTET_API bool motet_thread_alive(const motet_thread *t);

/* motet_thread_name: its name, valid while you hold a reference. Main is "MainThread", foreign threads are
 * "Dummy-1" ... (one count for them and the "Thread-N"). NULL for NULL. Never waits. */
MOTET_API const char *motet_thread_name(const motet_thread *t);

/* motet_thread_id: a number that no other thread of this process has or will have; 1 is main. 0 for NULL.
 * Never waits. */
MOTET_API uint64_t motet_thread_id(const motet_thread *t);

/* motet_thread_current: the calling thread, as a reference to be freed. Main, and threads that others have
 * started, are adopted: they are ordinary objects from then on, until they end; the program's end does not
 * wait for them. NULL when there is no memory for that, or when a foreign thread is in the last of its own
 * destructors. */
MOTET_API motet_thread *motet_thread_current(void);

/* motet_thread_ref: one more reference. NULL for NULL. Never waits. */
MOTET_API motet_thread *motet_thread_ref(motet_thread *t);

/* motet_thread_free: gives a reference back. A thread that still runs goes on, and its object lives until it
 * has ended (the program's end still waits for it, unless it is a daemon). NULL is fine. Returns NULL. */
MOTET_API motet_thread *motet_thread_free(motet_thread *t);

/* motet_thread_cancel: asks the thread to stop. The request stays: from now on its waits in motet calls
 * return -ECANCELED, the one it is in included (not lock acquires, and nothing while it holds a
 * motet_shield), and motet_cancelled() is true on it. Nothing is forced: the body returns when it sees fit.
 * Asking again, or asking one that has ended, changes nothing. 0; -EINVAL: NULL; -EPERM in the child of a raw
 * fork. Never waits. */
MOTET_API int motet_thread_cancel(motet_thread *t);

/* motet_thread_enumerate: how many threads are alive: main, those started here, those adopted. Stores
 * references to up to `n` of them, in the order in which they came; each is to be freed. `ret` may be NULL
 * when `n` is 0. -EINVAL: it is NULL otherwise; -EPERM in the child of a raw fork. Never waits. */
MOTET_API int motet_thread_enumerate(motet_thread **ret, size_t n);

/* motet_stack_size: sets the stack size in bytes of threads started later without one of their own, timers'
 * included, and returns what held before; 0 only asks. At first it is the system's (ulimit -s). It is rounded
 * up to pages, and a value below the minimum (32 KiB, or what the CPU's registers need) becomes the minimum.
 * Any thread; never fails. */
MOTET_API size_t motet_stack_size(size_t bytes);

/* ---- timers ---------------------------------------------------------------------------------------- */

/* A timer: a function that runs once, later. */
typedef struct motet_timer motet_timer;

/* motet_timer_start: runs `fn(arg)` once when `when` has come (at once when it has passed), never earlier, on
 * a thread of motet's own; the result is not kept. *t is set before the function begins; it is yours, and
 * freed with motet_timer_free. Timers of one moment are taken up in the order in which they were started, and
 * may run side by side. A function that blocks delays no other timer while fewer than 1024 run at a time and
 * threads can be had. It may start, cancel and free timers, its own included. The threads, named "Timer",
 * exist while a timer is pending or runs, take their signal mask from a thread that started a timer, and are
 * not daemons: the program's end waits for pending timers, as with Python's threading.Timer; cancel what you
 * no longer want. One at MOTET_FOREVER never runs and is not waited for. 0; -EINVAL: `t` or `fn` is NULL;
 * -ENOMEM; -EAGAIN: no thread can be had; -EPERM in the child of a raw fork. On failure there is no timer.
 * Never waits. */
MOTET_API int motet_timer_start(motet_timer **t, motet_time when, motet_fn *fn, void *arg);

/* motet_timer_cancel: 0: it will never run (also when it was cancelled before); -EAGAIN: it has begun, or is
 * over; -EINVAL: NULL; -EPERM in the child of a raw fork. Never waits for the function. */
MOTET_API int motet_timer_cancel(motet_timer *t);

/* motet_timer_free: gives the timer back. A pending one is not cancelled: it runs at its time all the same.
 * NULL is fine. Returns NULL. Never waits. */
MOTET_API motet_timer *motet_timer_free(motet_timer *t);

#ifdef __cplusplus
}
#endif

#endif
