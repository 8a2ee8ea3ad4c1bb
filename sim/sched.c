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

static void add(offer *o, const thread *t, int what, bool preempts, bool faults)
{
    if (o->n == IDS_MAX)
        return;
    o->ids[o->n] = (uint8_t)ID(t->id, what);
    o->costs |= (uint32_t)preempts << o->n;
    o->faulty |= (uint32_t)faults << o->n++;
}

/* A spinner waits for somebody to store something else where it looked. What memory holds there does not tell: its first round
 * has looks from before the loop too, and one of them may be at a word of a frame that is left, where by now lies what was
 * called since, the explorer itself among it. Then whether it spins, and so what there is to choose, would not be the same in the
 * next execution (scenario spin_frame_left). */
static bool spins(const thread *t)
{
    if (!t->yielded)
        return false;
    if (!t->looked_count)
        return t->yielded_at == S->writes;
    for (unsigned i = 0; i < t->looked_count; i++)
        if (sim_memory_stored(t->looked[i].loc, t->looked[i].size) != t->looked[i].value)
            return false;
    return true;
}

static bool may_go(const thread *t) { return t->state == T_READY; }

/* What may happen next, the default first: the one whose turn it is, else those after it in turn. */
static void offer_all(offer *o)
{
    thread *turn = S->turn;
    bool goes_on = may_go(turn) && !spins(turn);
    int spinners = 0;
    *o = (offer){.n = 0};
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

static void leave_sleep(thread *t)
{
    S->time++;
    if (t->state == T_ASLEEP)
        sim_queues_write(t);
    else if (t->state == T_POLLING)
        sim_world_write(t, &S->fds);
    sim_sleeper_remove(t);
}

static void take_out(thread *t, int result)
{
    leave_sleep(t);
    t->history = sim_mix(t->history, (uint64_t)result);
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
        sim_world_write(t, &S->clock);
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
        leave_sleep(t);
        t->state = T_DONE;
        t->dead = true;
        sim_world_write(t, &t->life);
        return NULL;
    default: break;
    }
    t->straight = t->yielded;
    t->alone = t->yielded && spins(t);
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
        int id = sim_given();
        if (id < 0) {
            offer o;
            offer_all(&o);
            if (o.n == 0 || o.faulty & 1) {
                for (int i = 0; i < S->threads_count; i++)
                    if (S->threads[i].state != T_DONE)
                        describe_stuck();
                sim_stop(RAN_OK);
            }
            id = o.ids[sim_choose(C_SCHEDULE, o.n, &o)];
        }
        t = happen((unsigned)id);
        if (t) {
            if (S->tracing && S->turn != t)
                sim_trace("", "-- T%d goes on", t->id);
            S->turn = t;
            t->drowsy = false;
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
           !o->loc->conflicts;
}

/* It may die before a step that concerns nobody, since plain data behind the last one may matter to those who clean up. */
static void live_or_die(thread *t)
{
    offer o = {.n = 2, .faulty = 2, .ids = {(uint8_t)ID(t->id, GO), (uint8_t)ID(t->id, DIE)}};
    if (sim_choose(C_SCHEDULE, o.n, &o) == 0)
        return;
    happen(ID(t->id, DIE));
    switch_to(choose_next());
}

static bool may_die(const thread *t)
{
    return t->mortal && (S->scenario->faults & SIM_DEATHS) && S->faults < S->search.faults_max;
}

/* What `o` is to those who compare histories. What an access turns out to be, the memory says, and a futex wait itself what
 * it does beyond looking. */
static void keep_history(thread *t, const op *o)
{
    S->time++;
    t->history = sim_mix(t->history, o->kind);
    if (S->search.weak && o->seq_cst) {
        if (o->kind == OP_FENCE)
            sim_world_write(t, &S->fences_trail);
        else
            sim_trail_read(t, &S->fences_trail, S->time);
    }
    switch (o->kind) {
    case OP_WAKE:
        if (o->loc)
            sim_trail_write(t, &o->loc->queue, S->time);
        break;
    case OP_POLL: sim_world_write(t, &S->fds); break;
    default: break;
    }
}

/* It was told to spin on, and looks where it looked in the round before. What else it does is no part of that loop. */
static bool still_spins(thread *t, const op *o)
{
    if (!t->persist)
        return false;
    for (unsigned i = 0; o->kind == OP_LOAD && i < t->looked_count; i++)
        if (t->looked[i].at == o->at)
            return true;
    t->persist = 0;
    return false;
}

void sim_touches(loc *l, int kind)
{
    bool conflicted = l->conflicts;
    if (kind == OP_WAKE) /* looks at no word */
        return;
    l->touched |= 1u << S->current->id;
    l->written |= kind == OP_WRITE;
    l->conflicts = (l->written && (l->touched & (l->touched - 1))) || l->other;
    S->search.grew |= l->conflicts && !conflicted;
}

void sim_point(op o)
{
    thread *t = S->current;
    count_step();
    if (o.loc)
        sim_touches(o.loc, o.kind);
    bool straight = t->straight && !t->fresh;
    t->straight = false;
    t->at = o.at;
    if (straight || (!t->fresh && (concerns_nobody(&o) || still_spins(t, &o)))) {
        if (!straight && S->search.mode == MODE_DFS && may_die(t))
            live_or_die(t);
        else
            sim_no_choice();
    } else {
        t->fresh = false;
        t->pending = o;
        switch_to(choose_next());
    }
    keep_history(t, &o);
}

void sim_block(void) { switch_to(choose_next()); }

/* ---- spinning -------------------------------------------------------------------------------------- */

/* Spins to the end of its patience, asked no more; loops of time see it pass quickly. Whether it came to that by choice or
 * because nobody else can go on is the same to all that follows. */
static void spin_on(thread *t, const char *at)
{
    TRACE(at, "spins on");
    if (!t->persisted)
        t->history = sim_mix(t->history, 2);
    t->persist = 150;
    t->persisted = true;
}

/* A thread that spins goes on until the loop's patience is at its end, or lets others go first, until one of them has
 * written what it looks at. A loop without an end comes here again, and may then only let others go. */
void sim_relax(const char *at)
{
    if (!S || !S->on)
        return;
    thread *t = S->current;
    t->spent += t->persist ? 20000 : 1000;
    count_step();
    if (t->persist) {
        t->persist--;
        return;
    }
    if (sim_choose(C_SPIN, t->persisted ? 1 : 2, NULL)) {
        spin_on(t, at);
        return;
    }
    TRACE(at, "spins");
    t->yielded = true;
    t->yielded_at = S->writes;
    t->priority = --S->search.lowest;
    t->pending = (op){.kind = OP_RELAX, .at = at};
    switch_to(choose_next());
    S->time++;
    for (unsigned i = 0; i < t->looked_count; i++) /* that it goes on depends on these */
        sim_loc_read(t, t->looked[i].loc, S->time);
    t->looked_count = t->looked_next = 0;
    if (t->alone)
        spin_on(t, at);
    else
        t->persisted = false;
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
    sim_world_write(t, &t->life);
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
    if (S->on) {
        sim_world_write(S->current, &S->births);
        t->history = S->current->history + (uint64_t)t->id;
    }
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
    S->point = S->steps = S->writes = S->asked = 0;
    S->now = 1000000;
    S->random = 1;
    S->preemptions = S->faults = S->olds = 0;
    S->time = S->world_at = 0;
    S->clock = S->fds = S->births = S->fences_trail = (trail){0};
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
