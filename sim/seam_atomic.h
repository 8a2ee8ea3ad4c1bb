/* SPDX-License-Identifier: MIT */
/* The seam's atomics in a build that explores schedules: each is a step of the engine. Included by base/atomic.h under
 * MOTET_SIM, and by scenarios through sim.h; the text of the call travels along for the trace. */
#ifndef MOTET_SIM_SEAM_ATOMIC_H
#define MOTET_SIM_SEAM_ATOMIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SIM_RLX, SIM_ACQ, SIM_REL, SIM_AR, SIM_SC };
enum { SIM_XCHG, SIM_ADD, SIM_SUB, SIM_OR, SIM_AND };

/* A constant of any kind of integer or pointer, as the engine keeps it. `at` is "file:line|text". */
uint64_t sim_load(const volatile void *p, unsigned size, int order, const char *at);
void sim_store(volatile void *p, unsigned size, uint64_t value, int order, const char *at);
uint64_t sim_rmw(volatile void *p, unsigned size, int what, uint64_t value, int order, const char *at);
bool sim_cas(volatile void *p, unsigned size, void *expected, uint64_t value, int order, int failed, const char *at);
void sim_fence(int order, const char *at);
void sim_relax(const char *at);

#define SIM_STRING_(x) #x
#define SIM_STRING(x)  SIM_STRING_(x)
#define SIM_AT(text)   __FILE__ ":" SIM_STRING(__LINE__) "|" text

#define SIM_LOAD(p, o)         ((__typeof__(*(p)))sim_load((p), sizeof *(p), o, SIM_AT(#p)))
#define SIM_STORE(p, v, o)     sim_store((p), sizeof *(p), (uint64_t)(__typeof__(*(p)))(v), o, SIM_AT(#p))
#define SIM_RMW(p, w, v, o)    ((__typeof__(*(p)))sim_rmw((p), sizeof *(p), w, (uint64_t)(v), o, SIM_AT(#p)))
#define SIM_CAS(p, e, v, o, f) sim_cas((p), sizeof *(p), (e), (uint64_t)(__typeof__(*(p)))(v), o, f, SIM_AT(#p))

#define atomic_load_relaxed(p) SIM_LOAD(p, SIM_RLX)
#define atomic_load_acquire(p) SIM_LOAD(p, SIM_ACQ)
#define atomic_load_seq_cst(p) SIM_LOAD(p, SIM_SC)

#define atomic_store_relaxed(p, v) SIM_STORE(p, v, SIM_RLX)
#define atomic_store_release(p, v) SIM_STORE(p, v, SIM_REL)
#define atomic_store_seq_cst(p, v) SIM_STORE(p, v, SIM_SC)

#define atomic_exchange_acquire(p, v) SIM_RMW(p, SIM_XCHG, v, SIM_ACQ)
#define atomic_exchange_release(p, v) SIM_RMW(p, SIM_XCHG, v, SIM_REL)
#define atomic_exchange_acq_rel(p, v) SIM_RMW(p, SIM_XCHG, v, SIM_AR)
#define atomic_exchange_seq_cst(p, v) SIM_RMW(p, SIM_XCHG, v, SIM_SC)

#define atomic_add_relaxed(p, v) SIM_RMW(p, SIM_ADD, v, SIM_RLX)
#define atomic_add_acquire(p, v) SIM_RMW(p, SIM_ADD, v, SIM_ACQ)
#define atomic_add_release(p, v) SIM_RMW(p, SIM_ADD, v, SIM_REL)
#define atomic_add_acq_rel(p, v) SIM_RMW(p, SIM_ADD, v, SIM_AR)
#define atomic_add_seq_cst(p, v) SIM_RMW(p, SIM_ADD, v, SIM_SC)
#define atomic_sub_relaxed(p, v) SIM_RMW(p, SIM_SUB, v, SIM_RLX)
#define atomic_sub_release(p, v) SIM_RMW(p, SIM_SUB, v, SIM_REL)
#define atomic_sub_acq_rel(p, v) SIM_RMW(p, SIM_SUB, v, SIM_AR)
#define atomic_sub_seq_cst(p, v) SIM_RMW(p, SIM_SUB, v, SIM_SC)
#define atomic_or_acq_rel(p, v)  SIM_RMW(p, SIM_OR, v, SIM_AR)
#define atomic_or_seq_cst(p, v)  SIM_RMW(p, SIM_OR, v, SIM_SC)
#define atomic_and_acq_rel(p, v) SIM_RMW(p, SIM_AND, v, SIM_AR)
#define atomic_and_seq_cst(p, v) SIM_RMW(p, SIM_AND, v, SIM_SC)

#define atomic_cas_relaxed(p, e, v) SIM_CAS(p, e, v, SIM_RLX, SIM_RLX)
#define atomic_cas_acquire(p, e, v) SIM_CAS(p, e, v, SIM_ACQ, SIM_RLX)
#define atomic_cas_release(p, e, v) SIM_CAS(p, e, v, SIM_REL, SIM_RLX)
#define atomic_cas_acq_rel(p, e, v) SIM_CAS(p, e, v, SIM_AR, SIM_ACQ)
#define atomic_cas_seq_cst(p, e, v) SIM_CAS(p, e, v, SIM_SC, SIM_SC)

#define atomic_fence_seq_cst() sim_fence(SIM_SC, SIM_AT(""))
#define cpu_relax()            sim_relax(SIM_AT(""))

#endif
