/* SPDX-License-Identifier: MIT */
/* motet-sim: the schedule explorer's command. */
#include "engine.h"

#include "seam_sys.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static sim_scenario *scenarios; /* the last registered first */

void sim_register(sim_scenario *s)
{
    sim_scenario **end = &scenarios;
    while (*end && strcmp((*end)->name, s->name) < 0)
        end = &(*end)->next;
    s->next = *end;
    *end = s;
}

static const char help[] =
    "usage: motet-sim list\n"
    "       motet-sim run [SCENARIO...] [OPTION...]\n"
    "       motet-sim litmus [NAME] [--verbose]\n"
    "       motet-sim replay SEED\n"
    "\n"
    "  --bound N       every schedule with at most N preemptions; -1: every schedule\n"
    "  --pct D         by random priorities with D - 1 changes\n"
    "  --random        at random\n"
    "  --weak          under the weak memory model (else sequentially consistent)\n"
    "  --faults N      at most N faults an execution (of those that the scenario allows)\n"
    "  --schedules N   at most so many\n"
    "  --seconds S     at most so long\n"
    "  --seed N        where random numbers begin\n"
    "  --plain         leaves out no schedule, equivalent or not (with --bound, litmus)\n"
    "  --ends          counts ends that differ in more than the order of independent steps\n"
    "  --progress      says how far it is\n"
    "\n"
    "Without a search each scenario is run by its own plan: --bound 2 and, with a fault, --bound 1, to the end or a "
    "limit;\n"
    "--bound 1 --weak; --pct 3 without and with --weak; --random --weak. --scale N makes its counts N times as large.\n"
    "SCENARIO may end with *.\n";

_Noreturn static void usage(const char *what, const char *arg)
{
    fprintf(stderr, "motet-sim: %s%s\n\n%s", what, arg, help);
    exit(2);
}

/* ---- crashes --------------------------------------------------------------------------------------- */

_Noreturn void __wrap_motet__panic(const char *file, int line, const char *what);
_Noreturn void __wrap_motet__panic(const char *file, int line, const char *what)
{
    sim_fail("broken invariant at %s:%d: %s", file, line, what);
}

static void crashed(int signal, siginfo_t *info, void *context)
{
    if (S->on)
        sim_fail("the scenario crashed: signal %d at %p", signal, info->si_addr);
    _exit(128 + signal);
}

static void catch_crashes(void)
{
    stack_t stack = {.ss_sp = malloc(65536), .ss_size = 65536};
    struct sigaction a = {.sa_sigaction = crashed, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    sigaltstack(&stack, NULL);
    sigaction(SIGSEGV, &a, NULL);
    sigaction(SIGBUS, &a, NULL);
    sigaction(SIGFPE, &a, NULL);
    sigaction(SIGILL, &a, NULL);
    sigaction(SIGABRT, &a, NULL);
}

/* ---- commands -------------------------------------------------------------------------------------- */

typedef struct options {
    run_plan plan;
    bool planned; /* a search was named */
    const char *names[64];
    int names_count;
    bool verbose, ends;
    double scale; /* of the plan's counts */
} options;

static bool matches(const char *name, const char *wanted)
{
    size_t n = strlen(wanted);
    return n && wanted[n - 1] == '*' ? strncmp(name, wanted, n - 1) == 0 : strcmp(name, wanted) == 0;
}

static bool is_wanted(const sim_scenario *s, const options *o)
{
    for (int i = 0; i < o->names_count; i++)
        if (matches(s->name, o->names[i]))
            return true;
    return o->names_count == 0;
}

static int list(void)
{
    for (const sim_scenario *s = scenarios; s; s = s->next)
        printf("%-28s %s%s\n", s->name, s->must_fail ? "(broken) " : "", s->about ? s->about : "");
    return 0;
}

/* One line of what a plan came to, at the end of the scenario's line. */
static void say(const run_plan *p, const run_result *r)
{
    static const char *const modes[] = {"bound", "random", "pct", "replay"};
    printf("  %s", modes[p->mode]);
    if (p->mode == MODE_DFS)
        printf(" %d", p->bound);
    if (p->mode == MODE_PCT)
        printf(" %d", p->depth);
    printf("%s%s: %llu%s", p->weak ? " weak" : "", p->faults_max ? " faults" : "", (unsigned long long)r->schedules,
           p->mode != MODE_DFS || r->failed ? ""
           : r->complete                    ? " (all)"
                                            : " (limit)");
}

/* True: it failed. */
static bool run_plan_of(const sim_scenario *s, const run_plan *p, run_result *r)
{
    sim_explore(s, p, r);
    r->total += r->schedules;
    say(p, r);
    if (p->ends)
        printf(" %zu ends", p->ends->count);
    fflush(stdout);
    return r->failed;
}

static bool run_by_own_plan(const sim_scenario *s, const options *o, run_result *r)
{
    uint64_t cap = (uint64_t)((s->cap ? s->cap : 60) * 1000 * o->scale), some = (uint64_t)(10000 * o->scale);
    const run_plan plans[] = {
        {.mode = MODE_DFS, .bound = s->bound ? s->bound : 2, .schedules = cap},
        {.mode = MODE_DFS, .bound = 1, .faults_max = s->faults & SIM_DEATHS ? 2 : 1, .schedules = cap},
        {.mode = MODE_DFS, .bound = 1, .weak = true, .schedules = cap / 4},
        {.mode = MODE_PCT,
         .depth = s->pct ? s->pct : 3,
         .faults_max = s->faults ? 2 : 0,
         .schedules = some * (s->pct > 3 ? 10 : 1),
         .seed = s->pct > 3 ? 5 : 1},
        {.mode = MODE_RANDOM, .weak = true, .faults_max = s->faults ? 1 : 0, .schedules = some, .seed = 2},
        {.mode = MODE_PCT, .depth = 3, .weak = true, .schedules = some, .seed = 3},
    };
    for (size_t i = 0; i < sizeof plans / sizeof *plans; i++) {
        if ((i == 1 && !s->faults) || (s->weak_only && !plans[i].weak))
            continue;
        if (run_plan_of(s, &plans[i], r)) {
            r->weak = plans[i].weak;
            return true;
        }
    }
    return false;
}

/* In the words of addr2line, if there is one. */
static void say_where(const void *const at[2])
{
    char command[200], line[300];
    for (int i = 0; i < 2 && at[i]; i++) {
        snprintf(command, sizeof command, "addr2line -s -f -p -e /proc/%d/exe %p 2>/dev/null", (int)getpid(),
                 (const void *)((const char *)at[i] - 1));
        FILE *f = popen(command, "r");
        if (f && fgets(line, sizeof line, f))
            printf("    %s at %s", i ? "before it" : "the race", line);
        if (f)
            pclose(f);
    }
}

static bool run_scenario(const sim_scenario *s, const options *o, uint64_t *total)
{
    run_result r = {.deviations = malloc(DEVIATIONS_MAX * sizeof(deviation))};
    printf("%-28s", s->name);
    fflush(stdout);
    bool failed;
    if (o->planned) {
        ends e = {0};
        run_plan plan = o->plan;
        plan.ends = o->ends ? &e : NULL;
        failed = run_plan_of(s, &plan, &r);
        r.weak = o->plan.weak;
        free(e.states);
    } else {
        failed = run_by_own_plan(s, o, &r);
    }
    printf("  %s\n", failed == s->must_fail ? failed ? "caught" : "ok" : failed ? "FAILED" : "NOT CAUGHT");
    if (failed && (!s->must_fail || o->verbose)) {
        printf("    %s\n", r.message);
        say_where(r.race_at);
        printf("    replay: ");
        sim_seed_print(stdout, s, r.weak, r.deviations, r.deviations_count);
    }
    free(r.deviations);
    *total += r.total;
    return failed == s->must_fail;
}

static int run(const options *o)
{
    int n = 0, wrong = 0;
    uint64_t total = 0;
    double begin = sim_seconds();
    for (const sim_scenario *s = scenarios; s; s = s->next) {
        if (!is_wanted(s, o))
            continue;
        n++;
        wrong += !run_scenario(s, o, &total);
    }
    if (!n)
        usage("no such scenario: ", o->names[0]);
    printf("%d scenarios, %d wrong; %llu schedules, %.0f thousand a second\n", n, wrong, (unsigned long long)total,
           (double)total / (sim_seconds() - begin) / 1000);
    return wrong > 0;
}

static int replay(const char *seed)
{
    char name[64];
    bool weak;
    uint32_t n;
    deviation *d = malloc(DEVIATIONS_MAX * sizeof *d);
    if (!sim_seed_parse(seed, name, sizeof name, &weak, d, &n))
        usage("not a seed: ", seed);
    for (const sim_scenario *s = scenarios; s; s = s->next) {
        if (strcmp(s->name, name) != 0)
            continue;
        int outcome = sim_replay(s, weak, d, n, true);
        printf("%s: %s\n", s->name, outcome == RAN_FAILED ? S->message : "does not fail");
        say_where(S->race_at);
        return outcome == RAN_FAILED ? 1 : 0;
    }
    usage("no such scenario: ", name);
}

static double number(const char *option, const char *value, double least)
{
    char *end;
    double n = value ? strtod(value, &end) : 0;
    if (!value || end == value || *end || n < least)
        usage("not a number for ", option);
    return n;
}

/* True: it took the value. */
static bool parse_valued(options *o, const char *a, const char *value)
{
    run_plan *p = &o->plan;
    if (strcmp(a, "--bound") == 0)
        p->mode = MODE_DFS, o->planned = true, p->bound = (int)number(a, value, -1);
    else if (strcmp(a, "--pct") == 0)
        p->mode = MODE_PCT, o->planned = true, p->depth = (int)number(a, value, 1);
    else if (strcmp(a, "--schedules") == 0)
        p->schedules = (uint64_t)number(a, value, 1);
    else if (strcmp(a, "--seconds") == 0)
        p->seconds = number(a, value, 0);
    else if (strcmp(a, "--seed") == 0)
        p->seed = (uint64_t)number(a, value, 0);
    else if (strcmp(a, "--faults") == 0)
        p->faults_max = (int)number(a, value, 0);
    else if (strcmp(a, "--scale") == 0)
        o->scale = number(a, value, 0);
    else
        return false;
    return true;
}

static void parse(int argc, char **argv, options *o)
{
    *o = (options){.plan = {.schedules = UINT64_MAX, .bound = 2, .depth = 3, .seed = 1}, .scale = 1};
    for (int i = 0; i < argc; i++) {
        const char *a = argv[i];
        if (parse_valued(o, a, argv[i + 1]))
            i++;
        else if (strcmp(a, "--random") == 0)
            o->plan.mode = MODE_RANDOM, o->planned = true;
        else if (strcmp(a, "--weak") == 0)
            o->plan.weak = true;
        else if (strcmp(a, "--plain") == 0)
            o->plan.plain = true;
        else if (strcmp(a, "--progress") == 0)
            o->plan.progress = true;
        else if (strcmp(a, "--ends") == 0)
            o->ends = true;
        else if (strcmp(a, "--verbose") == 0)
            o->verbose = true;
        else if (*a == '-' || o->names_count == 64)
            usage("unknown option: ", a);
        else
            o->names[o->names_count++] = a;
    }
    if (o->plan.depth > 16)
        usage("a depth is 1 to 16", "");
}

int main(int argc, char **argv)
{
    options o;
    if (argc < 2 || strcmp(argv[1], "--help") == 0) {
        fputs(help, argc < 2 ? stderr : stdout);
        return argc < 2 ? 2 : 0;
    }
    const char *command = argv[1];
    parse(argc - 2, argv + 2, &o);
    catch_crashes();
    sim_world_open();
    if (strcmp(command, "list") == 0)
        return list();
    if (strcmp(command, "run") == 0)
        return run(&o);
    if (strcmp(command, "litmus") == 0)
        return sim_litmus_run(o.names_count ? o.names[0] : NULL, o.verbose, o.plan.plain);
    if (strcmp(command, "replay") == 0 && o.names_count == 1)
        return replay(o.names[0]);
    usage("unknown command: ", command);
}
