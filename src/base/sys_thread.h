/* SPDX-License-Identifier: MIT */
/* The seam for threads: making them, joining them, what happens when they end, and when the program does.
 *
 * All return 0 or a positive answer, or a negative errno. */
#ifndef MOTET_BASE_SYS_THREAD_H
#define MOTET_BASE_SYS_THREAD_H

#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#ifdef MOTET_SIM
#include <seam_thread.h> /* of sim/ */
#else

/* Starts a joinable thread with a stack of `stack_size` bytes. -EAGAIN: no more can be had; -EINVAL: too
 * small for the program's thread-local variables; -ENOMEM. */
int sys_thread_create(size_t stack_size, void *(*run)(void *), void *arg);

static inline pthread_t sys_thread_self(void) { return pthread_self(); }

/* Waits until the thread is gone, and gives its stack back: exactly once for each thread. Nothing for the
 * caller itself. */
void sys_thread_join(pthread_t thread);

/* Whether the caller is the thread that began in main. */
bool sys_thread_is_main(void);

/* The name that the kernel shows for the calling thread: at most 15 bytes of it. */
void sys_thread_set_name(const char *name);

/* The stack size in bytes that threads have by default, and the least that they may have: multiples of the
 * page. */
size_t sys_stack_default(void);
size_t sys_stack_min(void);

/* Up to whole pages; the largest such size for what has none. */
size_t sys_stack_round(size_t size);

/* A value of each thread's own. `destroy` gets it on the thread when that ends, in rounds: what it sets anew
 * is destroyed in the next one, up to SYS_KEY_ROUNDS of them; in the last, a sanitizer takes its leave. */
typedef pthread_key_t sys_key;
#define SYS_KEY_ROUNDS PTHREAD_DESTRUCTOR_ITERATIONS
int sys_key_create(sys_key *key, void (*destroy)(void *));
int sys_key_set(sys_key key, void *value);

/* Has `run` called by exit(), before what was registered earlier. */
int sys_at_exit(void (*run)(void));

#endif /* MOTET_SIM */

#endif
