/* SPDX-License-Identifier: MIT */
/* One execution: who goes on at each step, and the switch from one virtual thread to another. */
#include "engine.h"

#include "seam_sys.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>

/* ---- the switch ------------------------------------------------------------------------------------ */

/* Saves what a call has to keep, the stack pointer at *save; goes on at `load` with the thread pointer `pointer`. */
#if defined(__x86_64__)
__asm__(".text\n.globl sim_switch\n.type sim_switch,@function\nsim_switch:\n"
        "push %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\n"
        "mov %rsp, (%rdi)\n"
        "wrfsbase %rdx\n"
        "mov %rsi, %rsp\n"
        "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\nret\n"
        ".size sim_switch,.-sim_switch\n");
enum { FRAME_WORDS = 8, FRAME_RETURN = 6 }; /* one word above the return address keeps the alignment of a call */
#elif defined(__aarch64__)
__asm__(".text\n.globl sim_switch\n.type sim_switch,%function\nsim_switch:\n"
        "sub sp, sp, #176\n"
        "stp x19, x20, [sp]\nstp x21, x22, [sp, #16]\nstp x23, x24, [sp, #32]\nstp x25, x26, [sp, #48]\n"
        "stp x27, x28, [sp, #64]\nstp x29, x30, [sp, #80]\n"
        "stp d8, d9, [sp, #96]\nstp d10, d11, [sp, #112]\nstp d12, d13, [sp, #128]\nstp d14, d15, [sp, #144]\n"
        "mov x9, sp\nstr x9, [x0]\nmsr tpidr_el0, x2\nmov sp, x1\n"
        "ldp x19, x20, [sp]\nldp x21, x22, [sp, #16]\nldp x23, x24, [sp, #32]\nldp x25, x26, [sp, #48]\n"
        "ldp x27, x28, [sp, #64]\nldp x29, x30, [sp, #80]\n"
        "ldp d8, d9, [sp, #96]\nldp d10, d11, [sp, #112]\nldp d12, d13, [sp, #128]\nldp d14, d15, [sp, #144]\n"
        "add sp, sp, #176\nret\n"
        ".size sim_switch,.-sim_switch\n");
enum { FRAME_WORDS = 22, FRAME_RETURN = 11 };
#endif

static void switch_to(thread *t)
{
    thread *from = S->current;
    if (t == from)
        return;
    S->current = t;
    sim_switch(&from->sp, t->sp, t->pointer);
}

_Noreturn void sim_stop(int outcome)
{
    void *lost;
    S->outcome = outcome;
    S->on = false;
    sim_switch(&lost, S->sp, S->pointer);
    abort();
}

_Noreturn void sim_fail(const char *format, ...)
{
    if (!S || !S->on) {
        fprintf(stderr, "motet-sim: %s\n", format);
        abort();
    }
    va_list args;
    va_start(args, format);
    vsnprintf(S->message, sizeof S->message, format, args);
    va_end(args);
    TRACE("", "** %s", S->message);
    sim_stop(RAN_FAILED);
}

/* ---- who may go on --------------------------------------------------------------------------------- */

typedef struct offer {
    unsigned n;
    uint8_t ids[IDS_MAX], cost[IDS_MAX], fault[IDS_MAX];
} offer;

static void add(offer *o, const thread *t, int what, bool preempts, bool faults)
{
    if (o->n == IDS_MAX)
        return;
    o->ids[o->n] = (uint8_t)ID(t->id, what);
    o->cost[o->n] = preempts;
    o->fault[o->n++] = faults;
}

/* A spinner waits for somebody to write. */
static bool spins(const thread *t) { return t->yielded && t->yielded_at == S->writes; }

static bool may_go(const thread *t) { return t->state == T_READY; }

/* What may happen next, the default first: the one whose turn it is, else those after it in turn. */
static void offer_all(offer *o)
{
    thread *turn = S->turn;
    bool goes_on = may_go(turn) && !spins(turn);
    int spinners = 0;
    o->n = 0;
    if (goes_on)
        add(o, turn, GO, false, false);
    for (int i = 1; i <= S->threads_count; i++) {
        thread *t = &S->threads[(turn->id + i) % S->threads_count];
        if (t == turn && goes_on)
            continue;
        if (may_go(t) && !spins(t))
            add(o, t, GO, goes_on, false);
        spinners += may_go(t) && spins(t);
    }
    thread *first_due = NULL;
    for (int i = 0; i < S->threads_count; i++) {
        thread *t = &S->threads[i];
        if ((t->state != T_ASLEEP && t->state != T_POLLING) || t->deadline == INT64_MAX)
            continue;
        if (!first_due || t->deadline < first_due->deadline)
            first_due = t;
    }
    if (first_due)
        add(o, first_due, TIMEOUT, goes_on, false);
    for (int i = 0; i < S->threads_count; i++) {
        thread *t = &S->threads[i];
        if ((t->state == T_ASLEEP || t->state == T_POLLING) && t->deadline != INT64_MAX && t != first_due)
            add(o, t, TIMEOUT, goes_on, false);
    }
    /* All spin: each may be waiting for time to pass. */
    bool all_spin = o->n == 0;
    for (int i = 1; all_spin && spinners && i <= S->threads_count; i++) {
        thread *t = &S->threads[(turn->id + i) % S->threads_count];
        if (may_go(t))
            add(o, t, GO, false, false);
    }
    unsigned faults = S->scenario->faults;
    for (int i = 0; i < S->threads_count && (faults & (SIM_SPURIOUS | SIM_INTERRUPT | SIM_DEATHS)); i++) {
        thread *t = &S->threads[i];
        if (t->state == T_ASLEEP && (faults & SIM_SPURIOUS))
            add(o, t, SPURIOUS, goes_on, true);
        if ((t->state == T_ASLEEP || t->state == T_POLLING) && (faults & SIM_INTERRUPT))
            add(o, t, INTERRUPT, goes_on, true);
        if (t->mortal && t->state != T_DONE && (faults & SIM_DEATHS))
            add(o, t, DIE, false, true);
    }
}

static void describe_stuck(void)
{
    char text[400] = "", place[48];
    for (int i = 0; i < S->threads_count; i++) {
        const thread *t = &S->threads[i];
        size_t at = strlen(text);
        if (t->state == T_ASLEEP || t->state == T_POLLING || t->state == T_JOINING)
            snprintf(text + at, sizeof text - at, "; T%d %s %s", i,
                     t->state == T_ASLEEP    ? "sleeps at"
                     : t->state == T_POLLING ? "polls at"
                                             : "joins",
                     t->pending.at ? sim_place(t->pending.at, place, sizeof place) : "");
    }
    sim_fail("lost wakeup: nobody can go on%s", text);
}

/* ---- what happens ---------------------------------------------------------------------------------- */

static void take_out(thread *t, int result)
{
    sim_sleeper_remove(t);
    t->result = result;
    t->state = T_READY;
    t->pending = (op){.kind = OP_LOCAL};
}

/* Has it happen. The thread that runs next, or NULL: nobody has been chosen yet. */
static thread *happen(unsigned id)
{
    thread *t = &S->threads[ID_THREAD(id)];
    switch (ID_WHAT(id)) {
    case TIMEOUT:
        TRACE("", "-- T%d's deadline passes", t->id);
        if (S->now < t->deadline)
            S->now = t->deadline;
        take_out(t, t->state == T_POLLING ? 0 : -110); /* ETIMEDOUT */
        break;
    case SPURIOUS:
        TRACE("", "-- T%d is woken by chance", t->id);
        take_out(t, 0);
        break;
    case INTERRUPT:
        TRACE("", "-- T%d gets a signal", t->id);
        take_out(t, -4); /* EINTR */
        break;
    case DIE:
        TRACE("", "-- T%d dies", t->id);
        sim_sleeper_remove(t);
        t->state = T_DONE;
        t->dead = true;
        return NULL;
    default: break;
    }
    t->yielded = false;
    return t;
}

/* Somebody who is about to do something that concerns nobody else goes first: there is nothing to choose. */
static thread *local_one(void)
{
    for (int i = 0; i < S->threads_count; i++) {
        thread *t = &S->threads[i];
        if (t->state == T_JOINING && t->target->state == T_DONE) {
            t->state = T_READY;
            t->pending = (op){.kind = OP_LOCAL};
        }
        if (t->state == T_READY && t->pending.kind == OP_LOCAL) {
            t->fresh = true;
            return t;
        }
    }
    return NULL;
}

static thread *choose_next(void)
{
    for (;;) {
        thread *t = local_one();
        if (t)
            return t;
        offer o;
        offer_all(&o);
        if (o.n == 0 || o.fault[0]) {
            for (int i = 0; i < S->threads_count; i++)
                if (S->threads[i].state != T_DONE)
                    describe_stuck();
            sim_stop(RAN_OK);
        }
        unsigned id = o.ids[sim_choose(C_SCHEDULE, o.n, o.ids, o.cost, o.fault)];
        t = happen(id);
        if (t) {
            if (S->tracing && S->turn != t)
                sim_trace("", "-- T%d goes on", t->id);
            S->turn = t;
            return t;
        }
    }
}

static void count_step(void)
{
    uint32_t max = S->scenario->steps_max ? S->scenario->steps_max : 5000;
    if (++S->steps > max)
        sim_fail("livelock: more than %u steps", max);
}

/* Nobody else's step is in conflict with it, as far as any execution has shown. */
static bool concerns_nobody(const op *o)
{
    return S->search.mode == MODE_DFS && !S->search.plain && (o->kind == OP_LOAD || o->kind == OP_WRITE) && o->loc &&
           !o->loc->conflicts && !(S->scenario->faults & SIM_DEATHS);
}

void sim_touches(loc *l, int kind)
{
    bool conflicted = l->conflicts;
    l->touched |= 1u << S->current->id;
    l->written |= kind != OP_LOAD;
    l->conflicts = l->written && (l->touched & (l->touched - 1));
    S->search.grew |= l->conflicts && !conflicted;
}

void sim_point(op o)
{
    thread *t = S->current;
    count_step();
    if (o.loc)
        sim_touches(o.loc, o.kind);
    if (!t->fresh && (concerns_nobody(&o) || (t->persist && o.kind == OP_LOAD))) {
        S->point++;
        return;
    }
    t->fresh = false;
    t->pending = o;
    switch_to(choose_next());
}

void sim_block(void) { switch_to(choose_next()); }

/* ---- spinning -------------------------------------------------------------------------------------- */

void sim_relax(const char *at)
{
    if (!S || !S->on)
        return;
    thread *t = S->current;
    S->now += 1000;
    count_step();
    if (t->persist) {
        t->persist--;
        return;
    }
    bool others = false;
    for (int i = 0; i < S->threads_count; i++)
        others |= &S->threads[i] != t && (may_go(&S->threads[i]) || S->threads[i].state == T_ASLEEP);
    if (!others)
        return;
    /* Go on spinning until the loop's patience is at its end, or let others go first; those who have no end come here
     * again, and may not go on before somebody has written. */
    if (sim_choose(C_SPIN, t->persisted && t->persisted_at == S->writes ? 1 : 2, NULL, NULL, NULL)) {
        TRACE(at, "spins on");
        t->persist = 150;
        t->persisted = true;
        t->persisted_at = S->writes;
        return;
    }
    TRACE(at, "spins");
    t->yielded = true;
    t->yielded_at = S->writes;
    t->priority = --S->search.lowest;
    t->pending = (op){.kind = OP_RELAX, .at = at};
    switch_to(choose_next());
}

/* ---- threads --------------------------------------------------------------------------------------- */

static void destroy_values(thread *t)
{
    for (int round = 0; round < 4; round++) {
        for (int k = 0; k < S->keys; k++) {
            void *value = (void *)(uintptr_t)t->values[k];
            t->values[k] = NULL;
            if (value && S->destroy[k])
                S->destroy[k](value);
        }
    }
}

static void thread_main(void)
{
    thread *t = S->current;
    t->run(t->arg);
    destroy_values(t);
    TRACE("", "ends");
    t->state = T_DONE;
    sim_block();
    abort();
}

thread *sim_thread_new(void *(*run)(void *), void *arg, const char *name)
{
    if (S->threads_count == THREADS_MAX)
        return NULL;
    thread *t = &S->threads[S->threads_count++];
    *t = (thread){.id = t->id,
                  .pointer = t->pointer,
                  .tls = t->tls,
                  .stack = t->stack,
                  .arena = t->arena,
                  .run = run,
                  .arg = arg,
                  .name = name,
                  .state = T_READY,
                  .priority = (int)(sim_random(&S->search.random) >> 36)};
    void **frame = (void **)(void *)(t->stack + STACK_SIZE - 64) - FRAME_WORDS;
    memset(frame, 0, FRAME_WORDS * sizeof *frame);
    frame[FRAME_RETURN] = (void *)thread_main;
    t->sp = frame;
    memcpy(t->tls, S->tls_snapshot, S->tls_size);
    sim_memory_started(S->on ? S->current : NULL, t);
    return t;
}

static void *run_scenario(void *arg)
{
    S->scenario->run();
    return NULL;
}

/* Runs the scenario once; the search says how. */
int sim_execute(const sim_scenario *s)
{
    sim_world_reset();
    S->scenario = s;
    S->threads_count = 0;
    S->point = S->steps = S->writes = 0;
    S->now = 1000000;
    S->random = 1;
    S->preemptions = S->faults = S->olds = 0;
    S->asleep = 0;
    S->sleepers = NULL;
    S->message[0] = 0;
    S->race_at[0] = S->race_at[1] = NULL;
    S->outcome = RAN_OK;
    S->turn = S->current = sim_thread_new(run_scenario, NULL, "main");
    S->on = true;
    S->pointer = S->threads[0].pointer; /* both are those of the real thread */
    sim_switch(&S->sp, S->current->sp, S->current->pointer);
    return S->outcome;
}
