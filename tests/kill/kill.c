/* SPDX-License-Identifier: MIT */
/* Kill points: see kill.h. */
#include "kill/kill.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* More in one operation is a loop that has no end. */
enum { STEPS_MAX = 200000 };

/* With somebody in between, recoverers are killed in every so many rounds only: there are many rounds. */
enum { NESTED_EVERY = 16 };

typedef struct rounds {
    const kill_case *c;
    kill_report *r;
    void *before;   /* the segment as it was given */
    void *at_death; /* the operation's, while the recovery is tried */
    void *at_recoverers_death;
    void *last; /* the last one that was tried */
    bool last_known;
    unsigned long intrusions; /* rounds with one so far */
} rounds;

/* What is copied, piece by piece. */
static kill_part part(const kill_case *c, unsigned i)
{
    if (c->parts)
        return c->parts[i];
    return i ? (kill_part){0} : (kill_part){c->segment, c->size};
}

static void *new_copy(const kill_case *c)
{
    size_t size = 0;
    for (unsigned i = 0; part(c, i).size; i++)
        size += part(c, i).size;
    void *p = malloc(size ? size : 1);
    if (!p)
        abort();
    return p;
}

static void save(const rounds *k, void *copy)
{
    char *to = copy;
    for (unsigned i = 0; part(k->c, i).size; to += part(k->c, i).size, i++)
        memcpy(to, part(k->c, i).at, part(k->c, i).size);
}

static void put_back(const rounds *k, const void *copy)
{
    const char *from = copy;
    for (unsigned i = 0; part(k->c, i).size; from += part(k->c, i).size, i++)
        memcpy(part(k->c, i).at, from, part(k->c, i).size);
}

static bool same(const rounds *k, const void *copy)
{
    const char *other = copy;
    for (unsigned i = 0; part(k->c, i).size; other += part(k->c, i).size, i++)
        if (memcmp(part(k->c, i).at, other, part(k->c, i).size) != 0)
            return false;
    return true;
}

static bool refuse(rounds *k, const kill_moment *when, const char *why)
{
    k->r->why = why;
    k->r->at = *when;
    return false;
}

/* Recovers from the segment as it stands and checks; the segment is as before then. */
static bool recover_and_check(rounds *k, const kill_moment *when, void *copy)
{
    save(k, copy);
    k->c->recover(k->c->arg);
    const char *why = k->c->check(k->c->arg, when);
    put_back(k, copy);
    k->r->recovered++;
    return why ? refuse(k, when, why) : true;
}

static bool step(rounds *k, stepper *s, const kill_moment *when, int *ret)
{
    *ret = stepper_step(s);
    k->r->stepped += *ret == 0;
    if (*ret < 0)
        return refuse(k, when, "it died by itself");
    return s->steps <= STEPS_MAX ? true : refuse(k, when, "it comes to no end");
}

/* ---- the recoverer dies too ------------------------------------------------------------------------ */

static bool kill_recoverer(rounds *k, kill_moment when)
{
    stepper s;
    int e = stepper_start(&s, k->c->recover, k->c->arg);
    if (e < 0)
        return refuse(k, &when, "no second child");
    void *last = new_copy(k->c);
    save(k, last);
    bool fine = true;
    while (fine && (fine = step(k, &s, &when, &e)) && e != STEPPER_DONE) {
        when.recovery = s.steps;
        k->r->deaths++;
        if (same(k, last))
            continue;
        save(k, last);
        fine = recover_and_check(k, &when, k->at_recoverers_death);
    }
    stepper_end(&s);
    free(last);
    return fine;
}

/* The operation has come to `when`: what if it died here? */
static bool death(rounds *k, const kill_moment *when)
{
    k->r->deaths++;
    if (k->last_known && same(k, k->last))
        return true;
    save(k, k->last);
    k->last_known = true;
    if (!recover_and_check(k, when, k->at_death))
        return false;
    if (when->intrusion && (k->intrusions - 1) % NESTED_EVERY)
        return true;
    bool fine = kill_recoverer(k, *when);
    put_back(k, k->last);
    return fine;
}

/* ---- rounds ---------------------------------------------------------------------------------------- */

/* Steps the operation to its end, with a death at every step, from the intrusion on (0: there is none). */
static bool one_round(rounds *k, unsigned intrusion)
{
    stepper s;
    kill_moment when = {.intrusion = intrusion};
    put_back(k, k->before);
    int e = stepper_start(&s, k->c->operation, k->c->arg);
    if (e < 0)
        return refuse(k, &when, "no child");
    k->last_known = false;
    bool fine = true;
    for (;;) {
        when.step = s.steps;
        if (intrusion && s.steps == intrusion)
            k->c->intrude(k->c->arg);
        if (s.steps >= intrusion && !(fine = death(k, &when)))
            break;
        if (!(fine = step(k, &s, &when, &e)) || e == STEPPER_DONE)
            break;
    }
    if (!intrusion)
        k->r->steps = s.steps;
    stepper_end(&s);
    return fine;
}

static unsigned real_step(const rounds *k, unsigned i)
{
    return (unsigned)((unsigned long)k->r->steps * (i + 1) / (k->c->real_deaths + 1));
}

/* The same once more, and dead in earnest: two children are stepped as far. What the first leaves while it stands is what
 * the second must have left when it is reaped. */
static bool real_death(rounds *k, unsigned steps)
{
    kill_moment when = {.step = steps, .really = true};
    bool fine = true;
    for (int twin = 0; twin < 2 && fine; twin++) {
        stepper s;
        int e = 0;
        put_back(k, k->before);
        if (stepper_start(&s, k->c->operation, k->c->arg) < 0)
            return refuse(k, &when, "no child");
        while (fine && s.steps < steps && (fine = step(k, &s, &when, &e)) && e != STEPPER_DONE)
            ;
        if (twin == 0)
            save(k, k->last); /* while it stands there */
        stepper_end(&s);
    }
    k->r->deaths++;
    if (fine && !same(k, k->last))
        return refuse(k, &when, "who was killed left another segment than who stood there");
    return fine && recover_and_check(k, &when, k->at_death);
}

static void all_rounds(rounds *k)
{
    if (!one_round(k, 0))
        return;
    for (unsigned i = 0; i < k->c->real_deaths; i++)
        if (!real_death(k, real_step(k, i)))
            return;
    if (!k->c->intrude)
        return;
    unsigned long each = k->r->steps + k->r->stepped / (1 + 2ul * k->c->real_deaths) / NESTED_EVERY;
    unsigned stride = (unsigned)(each * k->r->steps / (k->c->steps_max + 1)) + 1;
    for (unsigned i = 1; i <= k->r->steps; i += stride) {
        k->intrusions++;
        if (!one_round(k, i))
            return;
    }
}

/* ---- whether it can be done here ------------------------------------------------------------------- */

static void nothing(void *arg) {}

static const char *impossible(void)
{
    stepper s;
    int e = stepper_start(&s, nothing, NULL);
    if (e < 0)
        return e == -ELOOP ? "a child that is stepped gets nowhere (exclusive loads without ARMv8.1's atomics?)"
                           : "ptrace is not permitted here, or does not single-step (container, emulator)";
    while ((e = stepper_step(&s)) == 0 && s.steps < 10000)
        ;
    stepper_end(&s);
    return e == STEPPER_DONE ? NULL : "single steps do not end here";
}

int kill_points(const kill_case *c, kill_report *report)
{
    *report = (kill_report){0};
    report->why = impossible();
    if (report->why)
        return -ENOTSUP;
    rounds k = {.c = c, .r = report};
    k.before = new_copy(c);
    k.at_death = new_copy(c);
    k.at_recoverers_death = new_copy(c);
    k.last = new_copy(c);
    save(&k, k.before);
    all_rounds(&k);
    put_back(&k, k.before);
    free(k.before);
    free(k.at_death);
    free(k.at_recoverers_death);
    free(k.last);
    return 0;
}
