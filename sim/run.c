/* SPDX-License-Identifier: MIT */
/* Many executions of one scenario, by a plan. */
#include "engine.h"

#include <stdlib.h>
#include <time.h>

double sim_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void begin(const run_plan *plan)
{
    search *q = &S->search;
    for (uint32_t i = 0; i < S->locs_count; i++)
        *S->loc_order[i] = (loc){0};
    S->locs_count = 0;
    q->weak = plan->weak;
    q->plain = plan->plain;
    q->bound = plan->bound;
    q->depth = plan->depth;
    q->faults_max = plan->faults_max;
    q->fixed = 0;
    q->grew = false;
    q->quiet = plan->quiet;
    q->asked_max = 0;
    sim_seen_clear();
}

static void failed(const sim_scenario *s, const run_plan *plan, run_result *ret)
{
    search *q = &S->search;
    deviation *found = q->found;
    snprintf(ret->message, sizeof ret->message, "%s", S->message);
    ret->failed = true;
    sim_search_taken();
    uint32_t n = q->taken_count < DEVIATIONS_MAX ? q->taken_count : DEVIATIONS_MAX;
    memcpy(found, q->taken, n * sizeof *found);
    if (sim_replay(s, plan->weak, found, n, false) != RAN_FAILED) {
        size_t at = strlen(ret->message);
        snprintf(ret->message + at, sizeof ret->message - at, " (and the replay does not fail)");
        memcpy(ret->deviations, found, n * sizeof *found);
    } else {
        deviation *d = ret->deviations;
        memcpy(d, q->taken, q->taken_count * sizeof *d);
        n = sim_shrink(s, plan->weak, d, q->taken_count);
        sim_replay(s, plan->weak, d, n, false);
        snprintf(ret->message, sizeof ret->message, "%s", S->message);
        memcpy(ret->race_at, S->race_at, sizeof ret->race_at);
    }
    ret->deviations_count = n;
}

static void progress(const sim_scenario *s, uint64_t n, double since)
{
    fprintf(stderr, "\r%s: %llu schedules, %.0f thousand a second \r", s->name, (unsigned long long)n,
            (double)n / since / 1000);
}

/* ---- different ends -------------------------------------------------------------------------------- */

/* True: one that was not there. An open table, never more than half full. */
static bool add_end(ends *e, uint64_t state)
{
    if (e->count * 2 >= e->size) {
        ends more = {.size = e->size ? e->size * 2 : 1024};
        more.states = calloc(more.size, sizeof *more.states);
        for (size_t i = 0; i < e->size; i++)
            if (e->states[i])
                add_end(&more, e->states[i]);
        free(e->states);
        *e = more;
    }
    size_t i = state & (e->size - 1);
    for (; e->states[i] && e->states[i] != state; i = (i + 1) & (e->size - 1))
        ;
    bool new = !e->states[i];
    e->states[i] = state;
    e->count += new;
    return new;
}

static double power(double x, uint64_t n)
{
    double y = 1;
    for (; n; n /= 2, x *= x)
        y *= n % 2 ? x : 1;
    return y;
}

/* After each execution of MODE_PCT: one finds what has this depth with probability 1 / (threads * steps ^ (depth - 1)) at
 * least. Those before one that is longer than they were do not count: they knew too few steps. True: these are enough. */
static bool enough(const run_plan *plan, run_result *ret, uint64_t *counted)
{
    search *q = &S->search;
    bool longer = S->asked > q->asked_max || S->threads_count > ret->threads_max;
    if (S->asked > q->asked_max)
        q->asked_max = S->asked;
    if (S->threads_count > ret->threads_max)
        ret->threads_max = S->threads_count;
    ret->asked_max = q->asked_max;
    *counted = longer ? 0 : *counted + 1;
    if (plan->miss <= 0)
        return false;
    double p = 1 / (ret->threads_max * power(q->asked_max, (unsigned)plan->depth - 1));
    ret->miss = power(1 - p, *counted);
    return ret->miss <= plan->miss;
}

void sim_explore(const sim_scenario *s, const run_plan *plan, run_result *ret)
{
    search *q = &S->search;
    double start = sim_seconds();
    uint64_t counted = 0;
    begin(plan);
    ret->schedules = ret->cut = 0;
    ret->threads_max = 0;
    ret->failed = ret->complete = false;
    for (uint64_t i = 0; i < plan->schedules; i++) {
        q->mode = plan->mode;
        q->random = plan->seed + i * 0x1000;
        sim_search_begin();
        int outcome = sim_execute(s);
        ret->schedules += outcome != RAN_CUT;
        ret->cut += outcome == RAN_CUT;
        if (outcome == RAN_FAILED) {
            failed(s, plan, ret);
            return;
        }
        if (outcome == RAN_OK && plan->each)
            plan->each(plan->arg);
        if (outcome == RAN_OK && plan->ends)
            add_end(plan->ends, sim_state());
        if (plan->mode == MODE_PCT && enough(plan, ret, &counted))
            return;
        if (plan->mode == MODE_DFS && !sim_search_next()) {
            ret->complete = true;
            return;
        }
        if (i % 1024 == 1023 && (plan->seconds > 0 || plan->progress)) {
            double since = sim_seconds() - start;
            if (plan->progress && i % 65536 == 65535)
                progress(s, ret->schedules, since);
            if (plan->seconds > 0 && since > plan->seconds)
                return;
        }
    }
}
