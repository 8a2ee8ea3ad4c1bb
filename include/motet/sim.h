/* SPDX-License-Identifier: MIT */
/* motet/sim.h - scenarios for motet's schedule explorer: small programs that it runs under every schedule it can think of.
 *
 * A scenario is made of the reader's own code: atomics as C11 (or the compiler's builtins) has them, futex calls, malloc, and
 * all of motet's objects, compiled with the flags of the pkg-config module `motet-sim` and linked with its library, which
 * brings main() along:
 *
 *     cc -g -O1 my_scenario.c -o my_scenario $(pkg-config --cflags --libs motet-sim)
 *     ./my_scenario run                 every scenario; a failure prints a seed
 *     ./my_scenario replay SEED         the same again, step by step
 *
 * A scenario's body runs on virtual thread 0, starts others, waits for them and checks. It is run again and again, each time
 * from the program's initial data (static variables, thread-local ones, heap), and must do the same thing under the same
 * schedule: no input, no clock but the virtual one, nothing that depends on another process. docs/EXPLORING.md says more.
 *
 * These functions may be called from scenarios only, on virtual threads. motet.h does not bring this header. */
#ifndef MOTET_SIM_H
#define MOTET_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A function of the explorer's library, libmotet-sim.a. */
#define MOTET_SIM_API __attribute__((visibility("default")))

/* What may go wrong by itself, where a scenario allows it and the search has a fault to spend. */
enum {
    MOTET_SIM_SPURIOUS = 1,  /* a futex wait ends by chance; a weak compare-and-swap fails by chance */
    MOTET_SIM_INTERRUPT = 2, /* a futex wait ends with EINTR */
    MOTET_SIM_NO_MEMORY = 4, /* an allocation fails */
    MOTET_SIM_DEATHS = 8     /* a thread that is mortal (motet_sim_mortal) ends at any step */
};

/* A scenario, as MOTET_SIM_SCENARIO makes it. The fields behind `run` may be left out: 0 is the default. */
typedef struct motet_sim_scenario {
    const char *name;
    void (*run)(void);
    const char *about;  /* one line for `list` */
    bool must_fail;     /* deliberately broken: `run` fails when the explorer does not find it */
    bool weak_only;     /* the defect (must_fail) shows only under the weak memory model */
    unsigned faults;    /* which of MOTET_SIM_SPURIOUS and so on may happen */
    int bound;          /* preemptions that are tried in every way; 0 means 2, -1 as many as there are */
    unsigned cap;       /* but at most so many thousand schedules; 0 means 60 */
    int pct;            /* depth of the search by priorities; 0 means 3 */
    unsigned steps_max; /* an execution of more steps is a livelock; 0 means 5000 */
} motet_sim_scenario;

/* motet_sim_register: makes a scenario known to main(). Called by what MOTET_SIM_SCENARIO leaves behind, before main();
 * `s` must stay. */
MOTET_SIM_API void motet_sim_register(const motet_sim_scenario *s);

/* A scenario and its body: MOTET_SIM_SCENARIO(name, .about = "...", .faults = ...) { ... } */
#define MOTET_SIM_SCENARIO(id, ...)                                                                       \
    static void motet_sim_run_##id(void);                                                                 \
    __attribute__((constructor)) static void motet_sim_register_##id(void)                                \
    {                                                                                                     \
        static const motet_sim_scenario scenario = {.name = #id, .run = motet_sim_run_##id, __VA_ARGS__}; \
        motet_sim_register(&scenario);                                                                    \
    }                                                                                                     \
    static void motet_sim_run_##id(void)

/* motet_sim_spawn: starts a virtual thread that runs fn(arg), and returns its number: 1, 2, ... `name`, which must stay, is
 * how a trace calls it. At most 11 may be started; one more ends the execution as a failure. Threads may be
 * started by motet_thread_start as well. */
MOTET_SIM_API int motet_sim_spawn(void (*fn)(void *arg), void *arg, const char *name);

/* motet_sim_join: waits until thread `id` has ended. */
MOTET_SIM_API void motet_sim_join(int id);

/* motet_sim_join_all: waits until all other threads have ended. */
MOTET_SIM_API void motet_sim_join_all(void);

/* motet_sim_fail: ends the execution as a failure, with a message as of printf. */
MOTET_SIM_API void motet_sim_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* A condition that must hold; and two integers that must be equal. (assert and abort are failures, too.) */
#define MOTET_SIM_CHECK(cond) ((cond) ? (void)0 : motet_sim_fail("%s:%d: %s does not hold", __FILE__, __LINE__, #cond))
#define MOTET_SIM_CHECK_EQ(a, b)                                                                                      \
    do {                                                                                                              \
        long long motet_sim_a = (long long)(a), motet_sim_b = (long long)(b);                                         \
        if (motet_sim_a != motet_sim_b)                                                                               \
            motet_sim_fail("%s:%d: %s is %lld, not %s = %lld", __FILE__, __LINE__, #a, motet_sim_a, #b, motet_sim_b); \
    } while (0)

/* motet_sim_relax: stands in every loop that spins until another thread has done something: others go first. Without it (or
 * sched_yield) such a loop runs until it is taken for a livelock. */
MOTET_SIM_API void motet_sim_relax(void);

/* motet_sim_pick: a number from 0 to n - 1, which the search chooses; n from 1 to 255. */
MOTET_SIM_API unsigned motet_sim_pick(unsigned n);

/* motet_sim_now: the virtual clock, in nanoseconds; motet_now and clock_gettime tell the same. It stands still but for deadlines
 * that pass (each may, at any time), spinning, and motet_sim_pass. */
MOTET_SIM_API int64_t motet_sim_now(void);

/* motet_sim_pass: lets `ns` nanoseconds pass. */
MOTET_SIM_API void motet_sim_pass(int64_t ns);

/* motet_sim_name: how a trace calls the `size` bytes at `p`. `text` must stay. */
MOTET_SIM_API void motet_sim_name(const volatile void *p, size_t size, const char *text);

/* motet_sim_mortal: from here on the calling thread may die at any step (true; with MOTET_SIM_DEATHS), or no more (false). */
MOTET_SIM_API void motet_sim_mortal(bool on);

/* motet_sim_dead: whether thread `id` has died. A dead one can be joined. */
MOTET_SIM_API bool motet_sim_dead(int id);

/* motet_sim_allocated: how many allocated blocks there are, the scenario's and motet's. */
MOTET_SIM_API int motet_sim_allocated(void);

#ifdef __cplusplus
}
#endif

#endif
