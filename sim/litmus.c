/* SPDX-License-Identifier: MIT */
/* Litmus tests: each is explored to the end, and what it can come to is compared with what C11 allows, exactly.
 *
 * A program is a line: threads are parted by |, steps by blanks. x y z w are shared words, zero at first; a to h registers.
 *
 *     x=1.O      store            a=x.O      load             f.O      fence
 *     a=x+1.O    fetch and add    a=x:1.O    exchange         a=x?0:1.O   compare and swap; a: what was seen
 *     a!         the thread ends here unless a is not 0
 *
 * O is the order: r relaxed, q acquire, l release, b acq_rel, s seq_cst. What a test comes to is the string of the values
 * that `observe` names, registers or words at the end. */
#include "litmus.h"

#include "engine.h"

#include <stdlib.h>

enum { THREADS = 4, STEPS = 8, OUTCOMES = 64 };

typedef struct step {
    char kind; /* = store, l load, f fence, + : ? read-modify-write, ! */
    uint8_t reg, word, value, expected;
    uint8_t order;
} step;

typedef struct program {
    const litmus *test;
    int threads;
    int steps[THREADS];
    step step[THREADS][STEPS];
} program;

static uint32_t words[4][32]; /* lines of their own */
static uint8_t registers[8];

/* ---- reading one ----------------------------------------------------------------------------------- */

static int word_of(char c) { return c == 'w' ? 3 : c - 'x'; }

static void parse_step(const char *text, step *s)
{
    static const char order[] = "rqlbs";
    *s = (step){0};
    const char *dot = strchr(text, '.');
    if (dot && strchr(order, dot[1]))
        s->order = (uint8_t)(strchr(order, dot[1]) - order);
    if (text[0] == 'f') {
        s->kind = 'f';
    } else if (text[1] == '!') {
        s->kind = '!';
        s->reg = (uint8_t)(text[0] - 'a');
    } else if (text[0] >= 'w') {
        s->kind = '=';
        s->word = (uint8_t)word_of(text[0]);
        s->value = (uint8_t)(text[2] - '0');
    } else {
        s->kind = text[3] == '.' ? 'l' : text[3];
        s->reg = (uint8_t)(text[0] - 'a');
        s->word = (uint8_t)word_of(text[2]);
        s->value = (uint8_t)(text[4] - '0');
        if (s->kind == '?') {
            s->expected = s->value;
            s->value = (uint8_t)(text[6] - '0');
        }
    }
}

static void parse(const litmus *t, program *p)
{
    char text[256], *save;
    *p = (program){.test = t, .threads = 1};
    snprintf(text, sizeof text, "%s", t->program);
    for (char *token = strtok_r(text, " ", &save); token; token = strtok_r(NULL, " ", &save)) {
        if (*token == '|')
            p->threads++;
        else
            parse_step(token, &p->step[p->threads - 1][p->steps[p->threads - 1]++]);
    }
}

/* ---- running it ------------------------------------------------------------------------------------ */

static bool take(const step *s)
{
    uint32_t *word = words[s->word], expected = s->expected;
    switch (s->kind) {
    case '=': sim_store(word, 4, s->value, s->order, "|"); break;
    case 'l': registers[s->reg] = (uint8_t)sim_load(word, 4, s->order, "|"); break;
    case 'f': sim_fence(s->order, "|"); break;
    case '+': registers[s->reg] = (uint8_t)sim_rmw(word, 4, SIM_ADD, s->value, s->order, "|"); break;
    case ':': registers[s->reg] = (uint8_t)sim_rmw(word, 4, SIM_XCHG, s->value, s->order, "|"); break;
    case '?': {
        int failed = s->order == SIM_AR ? SIM_ACQ : s->order == SIM_REL ? SIM_RLX : s->order;
        sim_cas(word, 4, &expected, s->value, s->order, failed, "|");
        registers[s->reg] = (uint8_t)expected;
        break;
    }
    case '!': return registers[s->reg] != 0;
    default: sim_fail("a step of an unknown kind");
    }
    return true;
}

static void run_thread(void *arg)
{
    const program *p = S->litmus;
    int k = (int)(intptr_t)arg;
    for (int i = 0; i < p->steps[k]; i++)
        if (!take(&p->step[k][i]))
            return;
}

static void run_program(void)
{
    const program *p = S->litmus;
    const char *observe = p->test->observe;
    for (int i = 0; i < p->threads; i++)
        sim_spawn(run_thread, (void *)(intptr_t)i, "litmus");
    sim_join_all();
    int i = 0;
    for (; observe[i]; i++) {
        unsigned value = observe[i] >= 'w' ? words[word_of(observe[i])][0] : registers[observe[i] - 'a'];
        S->outcome_text[i] = (char)('0' + value);
    }
    S->outcome_text[i] = 0;
}

/* ---- comparing ------------------------------------------------------------------------------------- */

typedef struct outcomes {
    int n;
    char text[OUTCOMES][16];
} outcomes;

static bool has(const outcomes *o, const char *text)
{
    for (int i = 0; i < o->n; i++)
        if (strcmp(o->text[i], text) == 0)
            return true;
    return false;
}

static void add(outcomes *o, const char *text)
{
    if (!has(o, text) && o->n < OUTCOMES)
        snprintf(o->text[o->n++], sizeof o->text[0], "%s", text);
}

static void collect(void *arg) { add(arg, S->outcome_text); }

static void expect(const litmus *t, outcomes *o)
{
    char text[512], *save;
    o->n = 0;
    snprintf(text, sizeof text, "%s", t->allowed);
    for (char *token = strtok_r(text, " ", &save); token; token = strtok_r(NULL, " ", &save))
        add(o, token);
}

/* True: the two are the same; else says what is not. */
static bool compare(const litmus *t, const outcomes *seen, const outcomes *allowed)
{
    bool same = true;
    for (int i = 0; i < seen->n; i++) {
        if (!has(allowed, seen->text[i])) {
            printf("  %s: %s = %s is seen and not allowed\n", t->name, t->observe, seen->text[i]);
            same = false;
        }
    }
    for (int i = 0; i < allowed->n; i++) {
        if (!has(seen, allowed->text[i])) {
            printf("  %s: %s = %s is allowed and not seen\n", t->name, t->observe, allowed->text[i]);
            same = false;
        }
    }
    return same;
}

static bool run_one(const litmus *t, bool verbose, bool plain, uint64_t *schedules)
{
    static const sim_scenario scenario = {.name = "litmus", .run = run_program};
    program p;
    outcomes seen = {0}, allowed;
    run_result result = {.deviations = S->search.found};
    run_plan plan = {.mode = MODE_DFS,
                     .weak = true,
                     .plain = plain,
                     .bound = plain ? 1000 : -1,
                     .schedules = 10000000,
                     .each = collect,
                     .arg = &seen};
    parse(t, &p);
    S->litmus = &p;
    sim_explore(&scenario, &plan, &result);
    *schedules += result.schedules;
    expect(t, &allowed);
    bool good = result.complete && !result.failed && compare(t, &seen, &allowed);
    if (result.failed)
        printf("  %s: %s\n", t->name, result.message);
    if (verbose || !good)
        printf("%-28s %s  %2d outcomes, %llu schedules   %s\n", t->name, good ? "ok  " : "FAIL", seen.n,
               (unsigned long long)result.schedules, t->program);
    return good;
}

int sim_litmus_run(const char *only, bool verbose, bool plain)
{
    uint64_t schedules = 0;
    int tests = 0, failed = 0;
    for (const litmus *t = sim_litmus_tests; t->name; t++) {
        if (only && strcmp(only, t->name) != 0)
            continue;
        tests++;
        failed += !run_one(t, verbose, plain, &schedules);
    }
    printf("litmus: %d tests, %d wrong; %llu schedules\n", tests, failed, (unsigned long long)schedules);
    return failed || !tests;
}

void sim_litmus_list(void)
{
    for (const litmus *t = sim_litmus_tests; t->name; t++)
        printf("litmus %-24s %s\n", t->name, t->program);
}
