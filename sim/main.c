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
    "  --seconds S     at most so long, of CPU\n"
    "  --seed N        where random numbers begin\n"
    "  --plain         leaves out no schedule, equivalent or not (with --bound, litmus)\n"
    "  --ends          counts ends that differ in more than the order of independent steps\n"
    "  --progress      says how far it is\n"
    "\n"
    "Without a search each scenario is run by its own plan: --bound 2 and, with a fault, --bound 1, to the end or a "
    "limit;\n"
    "--pct 2 until it misses one in 1000 at most (and --pct 3, one in 100, if it is short); --bound 1 --weak; --pct 3 "
    "without\n"
    "and with --weak; --random --weak.\n"
    "\n"
    "  --scale N       makes the plan's counts N times as large\n"
    "  --full          to the end, whatever the limit, else it has failed (but for a few that are too large)\n"
    "  --least N       then goes on at random until there are so many schedules in all\n"
    "  --jobs N        in N processes\n"
    "\n"
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
    run_options how;
    const char *names[64];
    int names_count;
} options;

static bool is_wanted(const sim_scenario *s, const options *o)
{
    for (int i = 0; i < o->names_count; i++)
        if (sim_matches(s->name, o->names[i]))
            return true;
    return o->names_count == 0;
}

static int list(void)
{
    for (const sim_scenario *s = scenarios; s; s = s->next)
        printf("%-28s %s%s\n", s->name, s->must_fail ? "(broken) " : "", s->about ? s->about : "");
    return 0;
}

static int run(const options *o)
{
    const sim_scenario *wanted[SCENARIOS_MAX];
    int n = 0;
    for (const sim_scenario *s = scenarios; s && n < SCENARIOS_MAX; s = s->next)
        if (is_wanted(s, o))
            wanted[n++] = s;
    if (!n)
        usage("no such scenario: ", o->names[0]);
    return sim_run_all(wanted, n, &o->how) ? 0 : 1;
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
        sim_say_where(S->race_at);
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
    run_plan *p = &o->how.plan;
    if (strcmp(a, "--bound") == 0)
        p->mode = MODE_DFS, o->how.planned = true, p->bound = (int)number(a, value, -1);
    else if (strcmp(a, "--pct") == 0)
        p->mode = MODE_PCT, o->how.planned = true, p->depth = (int)number(a, value, 1);
    else if (strcmp(a, "--schedules") == 0)
        p->schedules = (uint64_t)number(a, value, 1);
    else if (strcmp(a, "--seconds") == 0)
        p->seconds = number(a, value, 0);
    else if (strcmp(a, "--seed") == 0)
        p->seed = (uint64_t)number(a, value, 0);
    else if (strcmp(a, "--faults") == 0)
        p->faults_max = (int)number(a, value, 0);
    else if (strcmp(a, "--scale") == 0)
        o->how.scale = number(a, value, 0);
    else if (strcmp(a, "--jobs") == 0)
        o->how.jobs = (int)number(a, value, 1);
    else if (strcmp(a, "--least") == 0)
        o->how.least = (uint64_t)number(a, value, 0);
    else
        return false;
    return true;
}

static void parse(int argc, char **argv, options *o)
{
    *o = (options){
        .how = {.plan = {.schedules = UINT64_MAX, .bound = 2, .depth = 3, .seed = 1}, .scale = 1, .jobs = 1}};
    for (int i = 0; i < argc; i++) {
        const char *a = argv[i];
        if (parse_valued(o, a, argv[i + 1]))
            i++;
        else if (strcmp(a, "--random") == 0)
            o->how.plan.mode = MODE_RANDOM, o->how.planned = true;
        else if (strcmp(a, "--weak") == 0)
            o->how.plan.weak = true;
        else if (strcmp(a, "--plain") == 0)
            o->how.plan.plain = true;
        else if (strcmp(a, "--progress") == 0)
            o->how.plan.progress = true;
        else if (strcmp(a, "--full") == 0)
            o->how.full = true;
        else if (strcmp(a, "--ends") == 0)
            o->how.ends = true;
        else if (strcmp(a, "--verbose") == 0)
            o->how.verbose = true;
        else if (*a == '-' || o->names_count == 64)
            usage("unknown option: ", a);
        else
            o->names[o->names_count++] = a;
    }
    if (o->how.plan.depth > 16)
        usage("a depth is 1 to 16", "");
    if (o->how.jobs > 64)
        usage("at most 64 jobs", "");
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
        return sim_litmus_run(o.names_count ? o.names[0] : NULL, o.how.verbose, o.how.plan.plain);
    if (strcmp(command, "replay") == 0 && o.names_count == 1)
        return replay(o.names[0]);
    usage("unknown command: ", command);
}
