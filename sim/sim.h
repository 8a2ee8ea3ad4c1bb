/* SPDX-License-Identifier: MIT */
/* What a scenario of the schedule explorer is written with.
 *
 * A scenario is a small program on shared words and on motet's objects: its body runs on virtual thread 0, starts others,
 * joins them and checks. It is run again and again, each time from the program's initial data (its static variables
 * too), under another schedule. It must do the same thing under the same schedule: no real clock, no real random numbers,
 * no addresses of the outside. */
#ifndef MOTET_SIM_SIM_H
#define MOTET_SIM_SIM_H

#include <seam_atomic.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SIM_SPURIOUS = 1,  /* a futex wait may end by chance */
    SIM_INTERRUPT = 2, /* or with -EINTR */
    SIM_NO_MEMORY = 4, /* an allocation may fail */
    SIM_DEATHS = 8,    /* a thread marked with sim_mortal may end at any step */
};

typedef struct sim_scenario {
    const char *name, *about;
    void (*run)(void);
    bool must_fail;     /* deliberately broken: the explorer has to find it */
    bool weak_only;     /* the defect (must_fail) shows only under the weak memory model */
    unsigned faults;    /* which may happen */
    int bound;          /* what `motet-sim run` exhausts: preemptions (0 = 2, -1 none) */
    unsigned cap;       /* and at most so many thousand schedules of it (0: 60) */
    int pct;            /* depth of its search by priorities (0: 3); more than 3: ten times as many */
    unsigned steps_max; /* more is a livelock (0: 5000) */
    struct sim_scenario *next;
} sim_scenario;

void sim_register(sim_scenario *s);

#define SIM_SCENARIO(id, ...)                                                                      \
    static void run_##id(void);                                                                    \
    static sim_scenario scenario_##id = {.name = #id, .run = run_##id, __VA_ARGS__};               \
    __attribute__((constructor)) static void register_##id(void) { sim_register(&scenario_##id); } \
    static void run_##id(void)

/* A thread that runs fn(arg); its number. */
int sim_spawn(void (*fn)(void *), void *arg, const char *name);
void sim_join(int id);
void sim_join_all(void);
int sim_self(void);

/* Ends the execution as a failure. */
_Noreturn void sim_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
#define SIM_CHECK(cond) ((cond) ? (void)0 : sim_fail("%s:%d: %s does not hold", __FILE__, __LINE__, #cond))
#define SIM_CHECK_EQ(a, b)                                                                            \
    do {                                                                                              \
        long long sim_a_ = (long long)(a), sim_b_ = (long long)(b);                                   \
        if (sim_a_ != sim_b_)                                                                         \
            sim_fail("%s:%d: %s is %lld, not %s = %lld", __FILE__, __LINE__, #a, sim_a_, #b, sim_b_); \
    } while (0)

/* How memory is called in traces. `text` stays. */
void sim_name(const void *p, size_t size, const char *text);

/* Plain data: an access that conflicts with one that did not happen before it fails. Scenarios and motet are compiled so that
 * every plain access comes here (races.c); in a trace only those that are named by these are shown. */
void sim_plain(const void *p, bool writes, const char *at);
#define SIM_READ(p)     (sim_plain((p), false, SIM_AT(#p)), *(p))
#define SIM_WRITE(p, v) (sim_plain((p), true, SIM_AT(#p)), (void)(*(p) = (v)))

/* What stands there, without a step and without a look at races: for scenarios that peep into an object. */
uint32_t sim_peep(const uint32_t *p);

/* From here on the calling thread may be ended at any step (SIM_DEATHS); false: not any more. */
void sim_mortal(bool on);
bool sim_dead(int id);

/* How many allocated blocks there are. */
int sim_allocated(void);

/* The virtual clock, in nanoseconds. */
int64_t sim_now(void);

/* Lets time pass. */
void sim_pass(int64_t ns);

/* What sys_cpus_allowed says; 1 unless set: then nobody spins in park. */
void sim_cpus(int n);

/* A number below n, as a choice of the search. */
unsigned sim_pick(unsigned n);

#endif
