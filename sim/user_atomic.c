/* SPDX-License-Identifier: MIT */
/* The user's atomics: <stdatomic.h>, the compiler's __atomic and __sync builtins, std::atomic.
 *
 * Compiled with ThreadSanitizer's instrumentation each of them is a call of a function below, the memory order as an argument;
 * so whatever is written in C11 is explored as it stands. What they do is what motet's own atomics do (steps.c). Sizes of 1,
 * 2, 4 and 8 bytes: wider ones are calls of libatomic, and not seen. */
#include "user.h"

#define PC __builtin_return_address(0)

/* C11's numbers of the orders; consume is acquire. */
static int order_of(int c11)
{
    static const unsigned char orders[] = {SIM_RLX, SIM_ACQ, SIM_ACQ, SIM_REL, SIM_AR, SIM_SC};
    c11 &= 0xff; /* above are hints of some machines */
    return c11 < (int)sizeof orders ? orders[c11] : SIM_SC;
}

/* What the engine has no read-modify-write for: by compare-and-swap, which here can't fail but by another's doing. */
typedef uint64_t combine(uint64_t was, uint64_t value);

static uint64_t by_cas(volatile void *p, unsigned size, combine *f, uint64_t value, int order, const char *at)
{
    uint64_t was = sim_load(p, size, SIM_RLX, at);
    for (;;) {
        uint64_t seen = was;
        if (sim_cas(p, size, &seen, f(was, value), order, SIM_RLX, at))
            return was;
        was = 0;
        memcpy(&was, &seen, size);
    }
}

static uint64_t xor_of(uint64_t was, uint64_t value) { return was ^ value; }

static uint64_t nand_of(uint64_t was, uint64_t value) { return ~(was & value); }

/* One that may fail by chance does so as a fault of the search. */
static bool fails_by_chance(const char *at)
{
    if (!S || !S->on || !(S->scenario->faults & SIM_SPURIOUS) || !sim_choose(C_ALLOC, 2, NULL))
        return false;
    TRACE(at, "weak cas: fails by chance");
    return true;
}

#define DEFINE(result, name, ...) \
    result name(__VA_ARGS__);     \
    result name(__VA_ARGS__)

#define RMW(bits, name, what)                                                                           \
    DEFINE(uint##bits##_t, __tsan_atomic##bits##_##name, volatile void *p, uint##bits##_t v, int order) \
    {                                                                                                   \
        return (uint##bits##_t)sim_rmw(p, bits / 8, what, v, order_of(order), sim_user_at(PC));         \
    }

#define BY_CAS(bits, name, f)                                                                           \
    DEFINE(uint##bits##_t, __tsan_atomic##bits##_##name, volatile void *p, uint##bits##_t v, int order) \
    {                                                                                                   \
        return (uint##bits##_t)by_cas(p, bits / 8, f, v, order_of(order), sim_user_at(PC));             \
    }

#define ATOMICS(bits)                                                                                              \
    DEFINE(uint##bits##_t, __tsan_atomic##bits##_load, const volatile void *p, int order)                          \
    {                                                                                                              \
        return (uint##bits##_t)sim_load(p, bits / 8, order_of(order), sim_user_at(PC));                            \
    }                                                                                                              \
    DEFINE(void, __tsan_atomic##bits##_store, volatile void *p, uint##bits##_t v, int order)                       \
    {                                                                                                              \
        sim_store(p, bits / 8, v, order_of(order), sim_user_at(PC));                                               \
    }                                                                                                              \
    RMW(bits, exchange, SIM_XCHG)                                                                                  \
    RMW(bits, fetch_add, SIM_ADD)                                                                                  \
    RMW(bits, fetch_sub, SIM_SUB)                                                                                  \
    RMW(bits, fetch_and, SIM_AND)                                                                                  \
    RMW(bits, fetch_or, SIM_OR)                                                                                    \
    BY_CAS(bits, fetch_xor, xor_of)                                                                                \
    BY_CAS(bits, fetch_nand, nand_of)                                                                              \
    DEFINE(int, __tsan_atomic##bits##_compare_exchange_strong, volatile void *p, void *expected, uint##bits##_t v, \
           int order, int failed)                                                                                  \
    {                                                                                                              \
        return sim_cas(p, bits / 8, expected, v, order_of(order), order_of(failed), sim_user_at(PC));              \
    }                                                                                                              \
    DEFINE(int, __tsan_atomic##bits##_compare_exchange_weak, volatile void *p, void *expected, uint##bits##_t v,   \
           int order, int failed)                                                                                  \
    {                                                                                                              \
        const char *at = sim_user_at(PC);                                                                          \
        return !fails_by_chance(at) && sim_cas(p, bits / 8, expected, v, order_of(order), order_of(failed), at);   \
    }                                                                                                              \
    DEFINE(uint##bits##_t, __tsan_atomic##bits##_compare_exchange_val, volatile void *p, uint##bits##_t expected,  \
           uint##bits##_t v, int order, int failed)                                                                \
    {                                                                                                              \
        sim_cas(p, bits / 8, &expected, v, order_of(order), order_of(failed), sim_user_at(PC));                    \
        return expected; /* what was seen: if the same, it was exchanged */                                        \
    }

ATOMICS(8)
ATOMICS(16)
ATOMICS(32)
ATOMICS(64)

DEFINE(void, __tsan_atomic_thread_fence, int order)
{
    if (order_of(order) != SIM_RLX)
        sim_fence(order_of(order), sim_user_at(PC));
}

DEFINE(void, __tsan_atomic_signal_fence, int order) {}
