/* SPDX-License-Identifier: MIT */
/* The schedule explorer inside.
 *
 * One execution runs a scenario's virtual threads on one OS thread. Each step of the seam (atomic.h, sys.h) comes here: the
 * engine first decides who goes on (sched.c, asking search.c), then carries the step out on the memory model (memory.c).
 * Every question that has more than one answer is a *choice*; an execution is the list of its choices, and the same list
 * gives the same execution. So nothing is stored between executions but that list (stateless search), and each begins in the
 * same world: the program's writable data, its thread-local data and the heap are put back (world.c).
 *
 * Therefore no variable of the explorer's own may be static: all its state is in `struct engine`, which lies outside that
 * data, at S. And all addresses are the same from run to run (the program is not position-independent; heap and stacks lie
 * at fixed places), since motet hashes some.
 *
 * The explorer's functions run on the virtual threads' stacks, and not the same ones each time: an answer that is given takes
 * fewer than one that is chosen. So what lies in a frame that is left must decide nothing.
 *
 * Virtual threads have their own thread-local data: at the start as many real threads are made, which never run; a virtual
 * thread runs with the thread pointer of one of them. */
#ifndef MOTET_SIM_ENGINE_H
#define MOTET_SIM_ENGINE_H

#include "sim.h"

#include <stdio.h>
#include <string.h>

enum {
    THREADS_MAX = 12,
    HISTORY_MAX = 16,      /* stores of a location that may still be read; older ones are forgotten */
    LOCS_MAX = 4096,       /* locations of one scenario; a power of two */
    CHOICES_MAX = 1 << 16, /* of one execution */
    IDS_MAX = 24,          /* alternatives of one choice */
    KEYS_MAX = 16,
    FUTEXES_MAX = 4, /* that one waits for at once */
    EVENTFDS_MAX = 32,
    NAMES_MAX = 64,
    LOOKED_MAX = 8,
    TOUCHES_MAX = 6,
    CELLS_MAX = 1 << 14, /* of plain data, of one execution; a power of two */
    DEVIATIONS_MAX = 4096,
    STACK_SIZE = 128 * 1024,
    ARENA_SIZE = 1 << 20, /* of each thread's heap */
};

/* ---- memory.c -------------------------------------------------------------------------------------- */

typedef struct vclock {
    uint16_t c[16]; /* THREADS_MAX are in use; 16 make whole vector registers */
} vclock;

static inline void vclock_join(vclock *restrict a, const vclock *restrict b)
{
    for (int i = 0; i < 16; i++)
        a->c[i] = a->c[i] > b->c[i] ? a->c[i] : b->c[i];
}

/* What a release gives to the acquire that reads it. `hb`: what happened before. `seen` is hb and what fences add to it: it
 * bounds which stores may still be read, and orders no plain data. `fence`: the last seq_cst fence before it, as a number of
 * the engine's; seq_cst accesses up to there are not to be overlooked. */
typedef struct message {
    vclock hb, seen;
    uint32_t fence;
} message;

typedef struct store {
    uint64_t value;
    message message;
    bool has_message;
    bool from_previous; /* a read-modify-write: nothing may come between it and the store before it */
} store;

/* From `when` on (a thread's clock, or a step) the access at mo position `pos` is the furthest. Ascending in both. */
typedef struct mark {
    uint32_t when;
    uint16_t pos;
} mark;

typedef struct marks {
    uint16_t n;
    mark m[HISTORY_MAX + 1];
} marks;

/* Who did what to something so far, as a hash of the happened-before graph, and when last (seen.c). */
typedef struct trail {
    uint64_t wrote, read; /* the last writer's history; those of its readers since */
    uint32_t wrote_at, read_at;
} trail;

typedef struct loc {
    const volatile void *addr;
    /* of all executions of the search: who ever touched it, and whether accesses to it can conflict */
    uint32_t touched; /* one bit a thread */
    bool written, conflicts;
    bool wide;         /* accessed as eight bytes */
    struct loc *other; /* where the upper half of those, or they, are accessed too */
    /* of this execution, if `epoch` is its number */
    uint32_t epoch;
    uint8_t size;
    uint16_t n;      /* stores, in modification order; the last one's value is what memory holds */
    uint64_t latest; /* what was stored there last, whichever part by whichever access: spinners wait for that */
    store *stores;
    marks *seq_cst;    /* by steps */
    marks *by_thread;  /* by each thread's clock */
    trail word, queue; /* queue: of those that sleep on it */
} loc;

/* ---- steps ----------------------------------------------------------------------------------------- */

enum { OP_LOCAL, OP_LOAD, OP_WRITE, OP_FENCE, OP_WAIT, OP_WAKE, OP_RELAX, OP_JOIN, OP_POLL };

typedef struct op {
    uint8_t kind;
    bool seq_cst;
    bool many;     /* concerns other locations too */
    bool compares; /* a compare-and-swap: writes only if it finds `expected` */
    uint8_t size;
    uint64_t expected;
    loc *loc;
    const char *at;
} op;

/* ---- threads --------------------------------------------------------------------------------------- */

enum { T_NONE, T_READY, T_ASLEEP, T_POLLING, T_JOINING, T_DONE };

typedef struct thread {
    int id, state;
    void *sp;          /* of the one that does not run */
    uintptr_t pointer; /* the thread pointer: of thread-local data */
    void *tls;         /* where the program's own part of that lies */
    char *stack;
    const char *name;
    void *(*run)(void *);
    void *arg;
    op pending;     /* what it does when it goes on */
    const char *at; /* where its last step stands */
    int result;     /* of what it waits for */
    int64_t deadline;
    const volatile void *futexes[FUTEXES_MAX]; /* asleep on */
    unsigned futexes_count;
    struct thread *next_sleeper;
    struct thread *target; /* joined */
    bool mortal, dead;
    bool fresh; /* started or woken: its next step is asked for, so that all searches count alike */
    /* Spinning. What it looked at last since it was told to relax: it yields until one of these has another value. With
     * none, until `writes` of the engine differs. */
    bool yielded;
    uint32_t yielded_at;
    unsigned looked_count, looked_next;
    struct {
        loc *loc;
        uint64_t value;
        const char *at;
        uint8_t size;
    } looked[LOOKED_MAX];
    bool alone;       /* nothing else can happen: its patience has to end */
    bool straight;    /* takes its next step without being asked: it was chosen for that when it went on */
    bool persisted;   /* has spun to the end of its patience, and has done nothing but look since */
    unsigned persist; /* so many more rounds of spinning without yielding */
    int64_t spent;    /* by spinning: its clock is that much ahead */
    uint32_t polls[4], polls_count; /* eventfds that it polls */
    const void *values[KEYS_MAX];
    /* clocks */
    vclock hb, seen;
    uint32_t fence;
    message released;        /* at its last release fence */
    message pending_acquire; /* of relaxed loads, for an acquire fence to come */
    bool has_released;
    /* heap */
    char *arena;
    uint32_t arena_used;
    /* search */
    int priority;
    uint64_t history; /* a hash of all that happened before, its own steps and others' */
    trail life;       /* written by its end, read by those who ask for that */
    bool drowsy;      /* another goes first, and going on at once was tried: see slept() in search.c */
    uint32_t drowsy_at;
} thread;

/* ---- choices --------------------------------------------------------------------------------------- */

/* What one alternative of a schedule choice is: a thread and what happens to it. */
enum { GO, TIMEOUT, SPURIOUS, INTERRUPT, DIE, WHATS };
#define ID(thread, what) ((thread)*8 + (what))
#define ID_THREAD(id)    ((id) / 8)
#define ID_WHAT(id)      ((id) % 8)

enum { C_SCHEDULE, C_READ, C_PLACE, C_WAITER, C_ALLOC, C_SPIN, C_PICK };

/* What may happen next. Bit k of costs: alternative k costs a preemption; of faulty: it is a fault. */
typedef struct offer {
    unsigned n;
    uint32_t costs, faulty;
    uint8_t ids[IDS_MAX];
} offer;

typedef struct choice {
    uint64_t state;                    /* that it was asked in; of C_SCHEDULE */
    uint8_t kind, n, taken;            /* n = 0: nothing was asked at this point */
    uint8_t preemptions, faults, olds; /* before it */
    uint8_t turn;
    uint32_t costs, faulty; /* as of an offer */
    uint32_t asleep;        /* bit k: of threads that slept (search.c) */
    uint8_t ids[IDS_MAX];
} choice;

typedef struct deviation {
    uint32_t point;
    uint32_t value; /* C_SCHEDULE: an id; else an index */
} deviation;

enum { MODE_DFS, MODE_RANDOM, MODE_PCT, MODE_REPLAY };

typedef struct search {
    int mode;
    bool weak;
    bool plain; /* nothing is left out: to prove that what is left out is no loss */
    bool quiet; /* MODE_PCT: no faults, and no deadline passes while anybody can go on */
    int bound;  /* preemptions; -1: any */
    int faults_max;
    uint64_t random;
    /* MODE_DFS: the current execution's choices, by their points; the first `fixed` are given */
    choice *choices;
    uint32_t fixed;
    bool grew;      /* a location turned out to conflict: begin anew */
    uint64_t *seen; /* edges taken (seen.c) */
    uint32_t seen_bits, seen_count;
    /* MODE_PCT */
    int depth, lowest;
    uint32_t changes[16], asked_max;
    /* MODE_REPLAY, and what a failure was */
    deviation *script;
    uint32_t script_count, script_next;
    deviation *taken; /* the deviations of this execution from the default */
    uint32_t taken_count;
    deviation *scratch, *found;
} search;

enum { RAN_OK, RAN_FAILED, RAN_CUT };

/* An access to plain data, in one word: by whom, at which of its clocks, to which bytes of the cell. */
typedef uint64_t touch;

/* Eight bytes of memory, and who touched them last: a line of the cache. */
typedef struct cell {
    uintptr_t addr;
    uint32_t epoch;
    uint8_t count, last, next; /* touches; the last one; the one to be replaced */
    touch touches[TOUCHES_MAX];
} cell;

typedef struct engine {
    bool on; /* an execution runs */
    const sim_scenario *scenario;
    thread threads[THREADS_MAX];
    int threads_count;
    thread *current; /* who runs */
    thread *turn;    /* who was last chosen */
    void *sp;        /* of the engine's own context */
    uintptr_t pointer;
    uint32_t epoch, point, steps, writes;
    uint32_t asked; /* schedules, of this execution */
    int64_t now;
    uint64_t random; /* of sys_random */
    int preemptions, faults;
    int olds;          /* older values read, stores put before others */
    uint32_t time;     /* transitions so far */
    uint32_t world_at; /* when one of these was written last: */
    trail clock, fds, births, fences_trail;
    bool tracing;
    uint64_t traced; /* a hash of the last line */
    uint32_t traced_again;
    int outcome;
    char message[512];
    const void *litmus;    /* the test that runs */
    char outcome_text[16]; /* what its execution came to */

    loc locs[LOCS_MAX];
    loc *loc_order[LOCS_MAX];
    uint32_t locs_count;
    vclock fences; /* `seen` of every seq_cst fence so far */
    cell *cells;
    const void *(*cells_pc)[TOUCHES_MAX]; /* where each touch stands in the program */
    const void *race_at[2];               /* where the two accesses of a race stand in the program */

    thread *sleepers;                /* on futexes, those that sleep longest first */
    uint32_t eventfds[EVENTFDS_MAX]; /* 0 closed, 1 open, 2 and more: signalled */
    void (*destroy[KEYS_MAX])(void *);
    int keys;
    int allocated; /* blocks alive */
    struct {
        const char *base, *name;
        size_t size;
    } names[NAMES_MAX];
    int names_count;
    int cpus;

    search search;

    /* world.c */
    char *snapshot, *tls_snapshot;
    size_t tls_size;
    uint8_t *heap_map; /* one byte for 16 bytes of heap: 0 never given, 1 given, 2 freed */
    char *heap;
    store *store_pool;
    marks *marks_pool;
} engine;

extern engine *S;

/* ---- world.c --------------------------------------------------------------------------------------- */
void sim_world_open(void);
void sim_world_reset(void);

/* ---- memory.c -------------------------------------------------------------------------------------- */
loc *sim_loc(const volatile void *p, unsigned size); /* for a look at it: of this size or a larger one */
loc *sim_loc_to_write(const volatile void *p, unsigned size);
void sim_memory_reset(void);
uint64_t sim_memory_read(loc *l, int order, bool *old);
void sim_memory_write(loc *l, uint64_t value, int order);
/* Reads and, if `change` says so, writes at once. Returns what was read. */
typedef bool sim_change(uint64_t was, uint64_t *value, const void *arg);
uint64_t sim_memory_update(loc *l, sim_change *change, const void *arg, int order, int failed, bool *changed);
/* The kernel has looked at the latest value on the current thread's behalf. */
void sim_memory_looked(loc *l);
void sim_memory_fence(int order);
/* What memory holds, which is what the last store in modification order has written. */
uint64_t sim_memory_latest(const volatile void *p, unsigned size);
/* What was stored there last, wherever it lay: `l` may be of a frame that is left, and memory what came to lie there. */
uint64_t sim_memory_stored(const loc *l, unsigned size);
void sim_memory_started(thread *parent, thread *child);
void sim_memory_joined(thread *t, thread *ended);

/* ---- races.c --------------------------------------------------------------------------------------- */
void sim_race_atomic(const volatile void *p, unsigned size, bool writes);
void sim_race_freed(const void *p, size_t size, const void *pc);

/* ---- sched.c --------------------------------------------------------------------------------------- */
int sim_execute(const sim_scenario *s);
/* The current thread is about to do something of that kind there: what is known of who touches it. */
void sim_touches(loc *l, int kind);
/* The current thread is about to do `o`: others may come first. */
void sim_point(op o);
/* The current thread can't go on: others do, until its state is T_READY again. */
void sim_block(void);
thread *sim_thread_new(void *(*run)(void *), void *arg, const char *name);
_Noreturn void sim_stop(int outcome);
void sim_switch(void **save, void *load, uintptr_t pointer);

/* ---- futex.c --------------------------------------------------------------------------------------- */
void sim_sleeper_remove(thread *t);
/* It comes to, or leaves, the queues of the words that it sleeps on. */
void sim_queues_write(thread *t);

/* ---- seen.c ---------------------------------------------------------------------------------------- */
static inline uint64_t sim_mix(uint64_t a, uint64_t b)
{
    unsigned __int128 m = (unsigned __int128)(a ^ 0x2D358DCCAA6C78A5u) * (b ^ 0x8BB84B93962EACC9u);
    return (uint64_t)m ^ (uint64_t)(m >> 64);
}
/* The thread has read or written it: what it does from here on is behind what others wrote (and read) there. */
static inline void sim_trail_read(thread *t, trail *x, uint32_t time)
{
    t->history = sim_mix(t->history, x->wrote);
    x->read += t->history;
    x->read_at = time;
}
static inline void sim_trail_write(thread *t, trail *x, uint32_t time)
{
    t->history = sim_mix(t->history, sim_mix(x->wrote, x->read));
    x->wrote = t->history;
    x->read = 0;
    x->wrote_at = time;
}
static inline void sim_loc_read(thread *t, loc *l, uint32_t time)
{
    sim_trail_read(t, &l->word, time);
    if (l->other)
        sim_trail_read(t, &l->other->word, time);
}
static inline void sim_loc_write(thread *t, loc *l, uint32_t time)
{
    sim_trail_write(t, &l->word, time);
    if (l->other)
        sim_trail_write(t, &l->other->word, time);
}
void sim_world_read(trail *x);
void sim_world_write(thread *t, trail *x);
/* The state now: equal numbers, equal states. */
uint64_t sim_state(void);
void sim_seen_clear(void);
/* Was this step taken from this state with no more preemptions? */
bool sim_seen(uint64_t step, unsigned preemptions);
void sim_seen_add(uint64_t step, unsigned preemptions);

/* ---- search.c -------------------------------------------------------------------------------------- */
/* The answer to a question of the schedule, if the search has one already; else -1. */
int sim_given(void);
/* A question that is not asked, so that all searches number alike. */
void sim_no_choice(void);
/* The choices of the last execution that differ from the default, into search.taken. */
void sim_search_taken(void);
/* One of n answers, by index; the default is 0. `o` is what a schedule offers. */
unsigned sim_choose(int kind, unsigned n, const offer *o);
/* Before the first execution. */
void sim_search_begin(void);
/* The next execution of a depth-first search: false when all were run. */
bool sim_search_next(void);
uint64_t sim_random(uint64_t *state);

/* ---- trace.c, seed.c ------------------------------------------------------------------------------- */
void sim_trace(const char *at, const char *format, ...) __attribute__((format(printf, 2, 3)));
const char *sim_name_of(const volatile void *p, char *buffer, size_t size);
/* "file:line" of an `at`. */
const char *sim_place(const char *at, char *buffer, size_t size);
#define TRACE(...) (__builtin_expect(S->tracing, 0) ? sim_trace(__VA_ARGS__) : (void)0)
void sim_seed_print(FILE *out, const sim_scenario *s, bool weak, const deviation *d, uint32_t n);
bool sim_seed_parse(const char *text, char *scenario, size_t size, bool *weak, deviation *d, uint32_t *n);
/* Makes d shorter as long as the scenario still fails. */
uint32_t sim_shrink(const sim_scenario *s, bool weak, deviation *d, uint32_t n);
int sim_replay(const sim_scenario *s, bool weak, const deviation *d, uint32_t n, bool trace);

/* ---- run.c ----------------------------------------------------------------------------------------- */
typedef struct run_result {
    uint64_t schedules, cut, total; /* cut: left before their end, since what would follow was seen */
    uint32_t asked_max;             /* most steps of one that somebody else might have taken */
    int threads_max;
    double miss; /* probability to have missed what has this depth, of MODE_PCT */
    bool failed, complete, weak;
    bool unfinished; /* of a full run: some bound was not exhausted */
    deviation *deviations;
    uint32_t deviations_count;
    char message[600];
    const void *race_at[2];
} run_result;
/* In how many ways executions ended that differ in more than the order of independent steps. */
typedef struct ends {
    uint64_t *states;
    size_t count, size;
} ends;
typedef struct run_plan {
    int mode;
    bool weak, plain, quiet;
    int bound, depth, faults_max;
    uint64_t schedules;
    double miss;    /* MODE_PCT: until what has this depth is missed with at most this probability; 0: not asked */
    double seconds; /* 0: any */
    uint64_t seed;
    bool progress;
    ends *ends;              /* kept, if not NULL */
    void (*each)(void *arg); /* after each execution that was not cut */
    void *arg;
} run_plan;
/* Of this process's CPU: other programs of a busy machine do not count. */
double sim_seconds(void);
void sim_explore(const sim_scenario *s, const run_plan *plan, run_result *ret);

/* ---- plan.c ---------------------------------------------------------------------------------------- */
enum { SCENARIOS_MAX = 512 };
typedef struct run_options {
    run_plan plan;
    bool planned; /* a search was named: `plan`; else each scenario's own */
    bool full;    /* its own is run to the end, or it is a failure */
    bool verbose, ends;
    double scale; /* of its counts */
    int jobs;
    uint64_t least; /* schedules in all, or it is a failure */
} run_options;
/* True: every scenario came to what it should. */
bool sim_run_all(const sim_scenario **wanted, int n, const run_options *o);
/* `wanted` may end with *. */
bool sim_matches(const char *name, const char *wanted);
void sim_say_where(const void *const at[2]);

/* ---- litmus.c -------------------------------------------------------------------------------------- */
int sim_litmus_run(const char *only, bool verbose, bool plain);
void sim_litmus_list(void);

#endif
