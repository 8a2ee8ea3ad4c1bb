/* SPDX-License-Identifier: MIT */
/* The seam's other half in a build that explores schedules: memory, clock, futexes, descriptors, threads. Included by
 * base/sys.h and base/sys_thread.h under MOTET_SIM in the place of their inline functions. */
#ifndef MOTET_SIM_SEAM_SYS_H
#define MOTET_SIM_SEAM_SYS_H

#include <seam_atomic.h>

#include <poll.h>

void *sim_alloc(size_t size, size_t align, int fill, const char *at);
void *sim_realloc(void *p, size_t size, const char *at);
void sim_free_block(void *p, const char *at);
int64_t sim_clock(void);
uint64_t sim_random_number(void);
int sim_cpus_allowed(void);
int sim_futex_wait(const volatile uint32_t *word, uint32_t expected, int64_t deadline, const char *at);
struct sys_futex_word; /* of base/sys.h */
int sim_futex_wait_many(const struct sys_futex_word *words, unsigned n, int64_t deadline, const char *at);
int sim_futex_wake(const volatile uint32_t *word, int n, const char *at);
int sim_poll(struct pollfd *fds, size_t n, int64_t deadline, const char *at);
int sim_eventfd(const char *at);
void sim_eventfd_signal(int fd, const char *at);
void sim_close(int fd, const char *at);

int sim_thread_create(void *(*run)(void *), void *arg);
unsigned long sim_thread_self(void);
void sim_thread_join(unsigned long handle);
void sim_thread_set_name(const char *name);
int sim_key_create(unsigned *key, void (*destroy)(void *));
int sim_key_set(unsigned key, void *value);

/* What the world's first snapshot has behind it: one-time steps of motet's that are not worth exploring. */
void sim_prepare(void);

void sim_check_alive(const volatile void *p, const char *at);

#define sys_alloc(size)                sim_alloc((size), 16, 0xA5, SIM_AT(#size))
#define sys_alloc_zero(n, size)        sim_alloc((size_t)(n) * (size), 16, 0, SIM_AT(#size))
#define sys_alloc_lines(size)          sim_alloc((size), 64, 0, SIM_AT(#size))
#define sys_realloc(p, size)           sim_realloc((p), (size), SIM_AT(#size))
#define sys_free(p)                    sim_free_block((p), SIM_AT(#p))
#define sys_now()                      sim_clock()
#define sys_random()                   sim_random_number()
#define sys_yield()                    sim_relax(SIM_AT(""))
#define sys_cpus_allowed()             sim_cpus_allowed()
#define sys_futex_wait(w, e, d)        sim_futex_wait((w), (e), (d), SIM_AT(#w))
#define sys_futex_wake(w, n)           ((void)sim_futex_wake((w), (n), SIM_AT(#w)))
#define sys_futex_wait_shared(w, e, d) sim_futex_wait((w), (e), (d), SIM_AT(#w))
#define sys_futex_wake_shared(w, n)    sim_futex_wake((w), (n), SIM_AT(#w))
#define sys_futex_wait_many(w, n, d)   sim_futex_wait_many((w), (n), (d), SIM_AT(#w))
#define sys_poll(fds, n, deadline)     sim_poll((fds), (n), (deadline), SIM_AT(#fds))
#define sys_eventfd()                  sim_eventfd(SIM_AT(""))
#define sys_eventfd_signal(fd)         sim_eventfd_signal((fd), SIM_AT(#fd))
#define sys_close(fd)                  sim_close((fd), SIM_AT(#fd))

#endif
