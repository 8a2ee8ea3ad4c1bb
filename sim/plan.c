/* SPDX-License-Identifier: MIT */
/* What `motet-sim run` does with each scenario, and with all of them: in several processes if asked to. */
#include "engine.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    SOME = 10000, /* schedules at random, of scale 1 */
    JOBS_MAX = 64,
};

/* Scenarios that may be too large for their bounds: in a full run these stop at OPEN_MAX schedules, those counted that were left when it
 * was seen that they had been. Each has smaller relatives whose bounds are exhausted. All others have to be. */
static const char *const open_ended[] = {
    "condition_two_each",
    "linear_fifo_full",
    "pool_detached_two",
    "pool_map",
    "pool_queue_full",
    "pool_three_tasks",
    "pool_two_submitters",
    "queue_two_each*",
    "shared_bounded_two_die",
    "shared_condition_one_notify",
    "shared_condition_waiter_dies",
};
enum { OPEN_MAX = 200000, FULL_MAX = 3000000 };

/* What all processes share. */
typedef struct totals {
    uint64_t schedules;
    int bounds, exhausted;
    int next; /* scenario to be taken */
    int done, wrong;
    double seconds[JOBS_MAX]; /* of each process */
} totals;

/* Into `out`: what one plan came to, at the end of the scenario's line. */
static void say(FILE *out, const run_plan *p, const run_result *r)
{
    static const char *const modes[] = {"bound", "random", "pct", "replay"};
    fprintf(out, "  %s", modes[p->mode]);
    if (p->mode == MODE_DFS)
        fprintf(out, " %d", p->bound);
    if (p->mode == MODE_PCT)
        fprintf(out, " %d", p->depth);
    fprintf(out, "%s%s: %llu", p->weak ? " weak" : "",
            p->faults_max > 1 ? " faults"
            : p->faults_max   ? " fault"
                              : "",
            (unsigned long long)r->schedules);
    if (p->mode == MODE_DFS && !r->failed)
        fputs(r->complete ? " (all)" : " (limit)", out);
    if (p->miss > 0 && !r->failed)
        fprintf(out, " (%d threads, %u steps: misses %.0e)", r->threads_max, r->asked_max, r->miss);
    if (p->ends)
        fprintf(out, " %zu ends", p->ends->count);
}

/* True: it failed. */
static bool run_plan_of(FILE *out, const sim_scenario *s, const run_plan *p, run_result *r)
{
    sim_explore(s, p, r);
    r->total += r->schedules;
    say(out, p, r);
    fflush(out);
    r->weak = p->weak;
    return r->failed;
}

bool sim_matches(const char *name, const char *wanted)
{
    size_t n = strlen(wanted);
    return n && wanted[n - 1] == '*' ? strncmp(name, wanted, n - 1) == 0 : strcmp(name, wanted) == 0;
}

static bool is_open_ended(const sim_scenario *s)
{
    for (size_t i = 0; i < sizeof open_ended / sizeof *open_ended; i++)
        if (sim_matches(s->name, open_ended[i]))
            return true;
    return false;
}

/* The same with a bound, which a full run has to exhaust. */
static bool run_bounded(FILE *out, const sim_scenario *s, run_plan p, const run_options *o, run_result *r, totals *all)
{
    bool open = is_open_ended(s);
    p.mode = MODE_DFS;
    if (o->full && !p.weak) {
        p.schedules = open ? OPEN_MAX : FULL_MAX; /* counts, not seconds: the verdict is the same on any machine */
        p.seconds = 0;
    }
    bool failed = run_plan_of(out, s, &p, r);
    if (!p.weak && !failed) {
        __atomic_fetch_add(&all->bounds, 1, __ATOMIC_RELAXED);
        __atomic_fetch_add(&all->exhausted, r->complete, __ATOMIC_RELAXED);
    }
    if (o->full && !p.weak && !failed && !r->complete && !open) {
        fputs(" NOT EXHAUSTED", out);
        r->unfinished = true;
    }
    return failed;
}

/* True: it failed. */
static bool run_by_own_plan(FILE *out, const sim_scenario *s, const run_options *o, run_result *r, totals *all)
{
    double scale = s->must_fail && o->scale < 1 ? 1 : o->scale; /* it ends when it is caught */
    uint64_t cap = (uint64_t)((s->cap ? s->cap : 60) * 1000 * scale), some = (uint64_t)(SOME * scale);
    if (!s->weak_only) {
        if (run_bounded(out, s, (run_plan){.bound = s->bound ? s->bound : 2, .schedules = cap}, o, r, all))
            return true;
        run_plan faults = {.bound = 1, .faults_max = 1, .schedules = cap};
        if (s->faults && run_bounded(out, s, faults, o, r, all))
            return true;
        faults.faults_max = 2; /* the death of who cleans up */
        faults.mode = MODE_DFS;
        if (s->faults & SIM_DEATHS && run_plan_of(out, s, &faults, r))
            return true;
        run_plan pct = {
            .mode = MODE_PCT, .depth = 2, .quiet = true, .miss = 1e-3, .schedules = o->full ? UINT64_MAX : some};
        if (run_plan_of(out, s, &pct, r))
            return true;
        pct.depth = 3;
        pct.miss = 1e-2;
        if (r->asked_max < 100 && run_plan_of(out, s, &pct, r))
            return true;
    }
    const run_plan weak = {.weak = true, .bound = 1, .schedules = cap / 4};
    if (run_bounded(out, s, weak, o, r, all))
        return true;
    const run_plan plans[] = {
        {.mode = MODE_PCT,
         .depth = s->pct ? s->pct : 3,
         .faults_max = s->faults ? 2 : 0,
         .schedules = some * (s->pct > 3 ? 10 : 1),
         .seed = s->pct > 3 ? 5 : 1},
        {.mode = MODE_RANDOM, .weak = true, .faults_max = s->faults ? 1 : 0, .schedules = some, .seed = 2},
        {.mode = MODE_PCT, .depth = 3, .weak = true, .schedules = some, .seed = 3},
    };
    for (size_t i = 0; i < sizeof plans / sizeof *plans; i++)
        if ((plans[i].weak || !s->weak_only) && run_plan_of(out, s, &plans[i], r))
            return true;
    return false;
}

/* In the words of addr2line, if there is one. */
static void where(FILE *out, const void *const at[2])
{
    char command[200], line[300];
    for (int i = 0; i < 2 && at[i]; i++) {
        snprintf(command, sizeof command, "addr2line -s -f -p -e /proc/%d/exe %p 2>/dev/null", (int)getpid(),
                 (const void *)((const char *)at[i] - 1));
        FILE *f = popen(command, "r");
        if (f && fgets(line, sizeof line, f))
            fprintf(out, "    %s at %s", i ? "before it" : "the race", line);
        if (f)
            pclose(f);
    }
}

void sim_say_where(const void *const at[2]) { where(stdout, at); }

/* True: it came to what it should. */
static bool run_scenario(FILE *out, const sim_scenario *s, const run_options *o, totals *all)
{
    run_result r = {.deviations = malloc(DEVIATIONS_MAX * sizeof(deviation))};
    fprintf(out, "%-28s", s->name);
    fflush(out);
    bool failed;
    double begin = sim_seconds();
    if (o->planned) {
        ends e = {0};
        run_plan plan = o->plan;
        plan.ends = o->ends ? &e : NULL;
        failed = run_plan_of(out, s, &plan, &r);
        free(e.states);
    } else {
        failed = run_by_own_plan(out, s, o, &r, all);
    }
    bool right = failed == s->must_fail && !r.unfinished;
    if (o->full)
        fprintf(out, "  %.1f s", sim_seconds() - begin);
    fprintf(out, "  %s\n",
            right          ? failed ? "caught" : "ok"
            : failed       ? "FAILED"
            : s->must_fail ? "NOT CAUGHT"
                           : "NOT DONE");
    if (failed && (!s->must_fail || o->verbose)) {
        fprintf(out, "    %s\n", r.message);
        where(out, r.race_at);
        fputs("    replay: ", out);
        sim_seed_print(out, s, r.weak, r.deviations, r.deviations_count);
    }
    free(r.deviations);
    __atomic_fetch_add(&all->schedules, r.total, __ATOMIC_RELAXED);
    return right;
}

/* ---- all of them ----------------------------------------------------------------------------------- */

/* More at random, until there are enough in all. */
static void fill_up(const sim_scenario **wanted, int n, const run_options *o, totals *all, int job)
{
    for (uint64_t i = (uint64_t)job; all->schedules < o->least && !all->wrong; i += (uint64_t)o->jobs) {
        const sim_scenario *s = wanted[i % (uint64_t)n];
        const run_plan random = {.mode = MODE_RANDOM, .weak = true, .schedules = SOME, .seed = i * 1000003},
                       pct = {.mode = MODE_PCT, .depth = 3, .weak = true, .schedules = SOME, .seed = i * 1000003};
        run_options more = *o;
        if (s->must_fail)
            continue;
        more.planned = true;
        more.plan = i / (uint64_t)n % 2 ? pct : random;
        char *text = NULL;
        size_t size = 0;
        FILE *out = open_memstream(&text, &size);
        bool right = run_scenario(out, s, &more, all);
        fclose(out);
        if (!right)
            fwrite(text, 1, size, stdout);
        free(text);
        __atomic_fetch_add(&all->wrong, !right, __ATOMIC_RELAXED);
    }
}

/* Takes one scenario after the other until there are none. A line is written at once, since others write too. */
static void work(const sim_scenario **wanted, int n, const run_options *o, totals *all, int job)
{
    double begin = sim_seconds();
    for (int i; (i = __atomic_fetch_add(&all->next, 1, __ATOMIC_RELAXED)) < n;) {
        char *text = NULL;
        size_t size = 0;
        FILE *out = o->jobs > 1 ? open_memstream(&text, &size) : stdout;
        bool right = run_scenario(out, wanted[i], o, all);
        if (o->jobs > 1) {
            fclose(out);
            fwrite(text, 1, size, stdout);
            fflush(stdout);
            free(text);
        }
        __atomic_fetch_add(&all->wrong, !right, __ATOMIC_RELAXED);
        __atomic_fetch_add(&all->done, 1, __ATOMIC_RELAXED);
    }
    fill_up(wanted, n, o, all, job);
    all->seconds[job] = sim_seconds() - begin;
}

/* Those that take long, by what their plan allows, begin first. */
static int by_length(const void *a, const void *b)
{
    const sim_scenario *s = *(const sim_scenario *const *)a, *t = *(const sim_scenario *const *)b;
    if (s->cap != t->cap)
        return s->cap < t->cap ? 1 : -1;
    return strcmp(s->name, t->name);
}

static void work_in_processes(const sim_scenario **wanted, int n, const run_options *o, totals *all)
{
    qsort(wanted, (size_t)n, sizeof *wanted, by_length);
    fflush(stdout);
    for (int i = 0; i < o->jobs; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            work(wanted, n, o, all, i);
            _exit(0);
        }
        if (pid < 0) {
            perror("motet-sim: fork");
            exit(2);
        }
    }
    for (int status; wait(&status) > 0;)
        ;
}

bool sim_run_all(const sim_scenario **wanted, int n, const run_options *o)
{
    totals *all = mmap(NULL, sizeof *all, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED) {
        perror("motet-sim: mmap");
        exit(2);
    }
    if (o->jobs > 1)
        work_in_processes(wanted, n, o, all);
    else
        work(wanted, n, o, all, 0);
    int wrong = all->wrong + n - all->done; /* not done: its process died of it */
    double seconds = 0;
    for (int i = 0; i < o->jobs; i++)
        seconds += all->seconds[i];
    if (all->bounds)
        printf("%d of %d bounds exhausted (sequentially consistent)\n", all->exhausted, all->bounds);
    printf("%d scenarios, %d wrong; %llu schedules in %.1f s of CPU, %.0f thousand a second\n", n, wrong,
           (unsigned long long)all->schedules, seconds, (double)all->schedules / seconds / 1000);
    if (all->schedules < o->least)
        printf("fewer than %llu schedules\n", (unsigned long long)o->least);
    return wrong == 0 && all->schedules >= o->least;
}
