/* SPDX-License-Identifier: MIT */
/* motet-chaos: kills and stops the members of a working family at random, and sees what is left. See chaos.h. */
#include "chaos/chaos.h"

#include "base/atomic.h"
#include "family/arena.h"
#include "process/process.h"

#include <dirent.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Nothing happened for so long although all could run: a hang. Far above what a busy machine takes. */
#define HANG_NS (60 * MOTET_S)

enum { LOOKS_MAX = 10000 };

typedef struct options {
    unsigned workers, kills, roots;
    uint32_t seed;
    bool quiet;
} options;

typedef struct crew {
    sea *sea;
    motet_process *process[WORKERS_MAX];
    bool stopped[WORKERS_MAX];
    unsigned workers;
    uint32_t seed;
    unsigned killed, stops, zygotes, guards;
    motet_time stall_max; /* the longest time without one operation done, all able to run */
} crew;

_Noreturn static void die(const char *what, int e)
{
    fprintf(stderr, "chaos: %s: %s\n", what, motet_strerror(e));
    exit(2);
}

static uint64_t done_in_all(const sea *s)
{
    uint64_t n = 0;
    for (int i = 0; i < WORKERS_MAX; i++)
        for (int d = 0; d < DEEDS; d++)
            n += atomic_load_relaxed(&s->seats[i].done[d]);
    return n;
}

/* A worker of the method spawn, which finds it by its name. */
MOTET_TASK(chaos_worker, post, int)
{
    *out = 0;
    return worker((void *)in);
}

/* ---- the crew -------------------------------------------------------------------------------------- */

static void start(crew *c, unsigned i)
{
    static const int methods[8] = {MOTET_FORKSERVER, MOTET_FORKSERVER, MOTET_FORKSERVER, MOTET_FORKSERVER,
                                   MOTET_FORKSERVER, MOTET_FORK,       MOTET_FORK,       MOTET_SPAWN};
    post p = {.sea = c->sea, .seat = i, .seed = dice(&c->seed, 1u << 30) | 1};
    motet_process_options opt = {.data = &p, .size = sizeof p, .daemon = true, .method = methods[dice(&c->seed, 8)]};
    opt.task_name = opt.method == MOTET_SPAWN ? "chaos_worker" : NULL;
    motet_time give_up = motet_after(HANG_NS);
    int e;
    /* While the zygote is being replaced a start may be refused; it is never left without an answer. */
    while ((e = motet_process_start(&c->process[i], opt.task_name ? NULL : worker, NULL, &opt)) == -EAGAIN ||
           e == -EPIPE) {
        if (motet_now() > give_up)
            break;
        motet_sleep(motet_after(MOTET_MS));
    }
    if (e != 0)
        die("a worker can't be started", e);
    c->stopped[i] = false;
}

static void send(crew *c, unsigned i, int number) { kill(motet_process_pid(c->process[i]), number); }

static void go_on(crew *c, unsigned i)
{
    if (c->stopped[i])
        send(c, i, SIGCONT);
    c->stopped[i] = false;
}

/* Sees a killed worker dead, and has another in its place. */
static void replace(crew *c, unsigned i)
{
    int code;
    int e = motet_process_join(c->process[i], &code, motet_after(HANG_NS));
    if (e != 0)
        die("a killed worker can't be joined", e);
    if (code != -SIGKILL) {
        fprintf(stderr, "chaos: WRONG: worker %u ended by itself with %d\n", i, code);
        exit(1);
    }
    c->process[i] = motet_process_free(c->process[i]);
    start(c, i);
}

/* ---- events ---------------------------------------------------------------------------------------- */

/* One of the two that watch, when both are there: that is promised for one at a time. */
static void kill_watcher(crew *c)
{
    const control *shared = motet__process.control;
    const watcher_place *zygote = &shared->zygote, *its_guard = &shared->guard;
    if (!atomic_load_acquire(&zygote->tag) || !atomic_load_acquire(&its_guard->tag) || motet__watcher_gone(zygote) ||
        motet__watcher_gone(its_guard))
        return;
    bool which = dice(&c->seed, 2);
    if (kill(which ? zygote->pid : its_guard->pid, SIGKILL) == 0)
        (which ? &c->zygotes : &c->guards)[0]++;
}

/* Every other time one that holds something, if one is seen to do so. */
static unsigned choose_victim(crew *c)
{
    bool hunt = dice(&c->seed, 2);
    for (int looks = 0; hunt && looks < LOOKS_MAX; looks++)
        for (unsigned i = 0; i < c->workers; i++)
            if (atomic_load_relaxed(&c->sea->seats[i].holding))
                return i;
    return dice(&c->seed, c->workers);
}

static void kill_worker(crew *c)
{
    unsigned i = choose_victim(c);
    /* Sometimes two at once, and sometimes one that has only just been started. */
    unsigned j = dice(&c->seed, 8) ? i : dice(&c->seed, c->workers);
    send(c, i, SIGKILL);
    if (j != i)
        send(c, j, SIGKILL);
    c->killed += 1 + (j != i);
    if (dice(&c->seed, 50) == 0)
        kill_watcher(c); /* the death is not yet known: whoever buries it dies too */
    c->stopped[i] = c->stopped[j] = false;
    replace(c, i);
    if (j != i)
        replace(c, j);
}

static void stop_worker(crew *c)
{
    unsigned i = dice(&c->seed, c->workers);
    send(c, i, SIGSTOP);
    c->stopped[i] = true;
    c->stops++;
}

/* Lets the workers do a random number of things; when they do nothing, because one that is stopped has what the others
 * need, all go on. */
static void await_progress(crew *c)
{
    uint64_t until = done_in_all(c->sea) + dice(&c->seed, 400);
    motet_time began = motet_now(), let_go = began + 20 * MOTET_MS;
    bool all_run = false;
    while (done_in_all(c->sea) < until) {
        motet_time now = motet_now();
        if (now > let_go && !all_run) {
            for (unsigned i = 0; i < c->workers; i++)
                go_on(c, i);
            all_run = true;
            began = now;
        }
        if (now - began > HANG_NS) {
            fprintf(stderr, "chaos: WRONG: nothing has been done for %d s\n", (int)(HANG_NS / MOTET_S));
            for (unsigned i = 0; i < c->workers; i++)
                fprintf(stderr, "chaos:   worker %u, pid %d: %s\n", i, (int)motet_process_pid(c->process[i]),
                        deed_names[atomic_load_relaxed(&c->sea->seats[i].deed)]);
            exit(1);
        }
        motet_sleep(motet_after(20 * MOTET_US));
    }
    motet_time took = motet_now() - began;
    if (took > c->stall_max)
        c->stall_max = took;
}

static void say(const crew *c, const options *o, bool last)
{
    static motet_time said;
    bool live = isatty(STDERR_FILENO);
    if (o->quiet || (!last && motet_now() - said < (live ? 100 : 5000) * MOTET_MS))
        return;
    said = motet_now();
    char doing[128] = "";
    for (unsigned i = 0; i < c->workers && !last; i++)
        snprintf(doing + strlen(doing), sizeof doing - strlen(doing), " %s%s", deed_names[c->sea->seats[i].deed],
                 c->stopped[i] ? "(stopped)" : "");
    fprintf(stderr, "%schaos: %u killed, %u zygotes, %u guards, %u stopped; %llu operations;%s%s",
            live ? "\r\033[K" : "", c->killed, c->zygotes, c->guards, c->stops, (unsigned long long)done_in_all(c->sea),
            doing, live && !last ? "" : "\n");
}

/* ---- the whole ------------------------------------------------------------------------------------- */

static int descriptors(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (d && readdir(d))
        n++;
    if (d)
        closedir(d);
    return n;
}

/* All go on and end; they must. */
static void end_all(crew *c)
{
    for (unsigned i = 0; i < c->workers; i++)
        go_on(c, i);
    await_progress(c);
    atomic_store_release(&c->sea->over, 1);
    for (unsigned i = 0; i < c->workers; i++) {
        int code;
        int e = motet_process_join(c->process[i], &code, motet_after(HANG_NS));
        if (e != 0)
            die("a worker does not come to its end", e);
        if (code != 0) {
            fprintf(stderr, "chaos: WRONG: worker %u ended with %d\n", i, code);
            c->sea->wrong = 1;
        }
        motet_process_free(c->process[i]);
    }
}

static void account(const crew *c)
{
    uint64_t deeds[DEEDS] = {0}, recovered = 0;
    for (int i = 0; i < WORKERS_MAX; i++) {
        recovered += c->sea->seats[i].recovered;
        for (int d = 0; d < DEEDS; d++)
            deeds[d] += c->sea->seats[i].done[d];
    }
    printf("workers killed %u, stopped %u; zygotes killed %u, guards %u\n", c->killed, c->stops, c->zygotes, c->guards);
    printf("operations:");
    for (int d = 1; d < DEEDS; d++)
        printf(" %s %llu%s", deed_names[d], (unsigned long long)deeds[d], d + 1 < DEEDS ? "," : "\n");
    printf("told that the one before had died: %llu times\n", (unsigned long long)recovered);
    printf("longest time in which nothing was done: %.1f ms\n", (double)c->stall_max / 1e6);
}

static int storm(const options *o)
{
    motet_shared_free(motet_shared_alloc(1)); /* whatever is made at the first use is there now */
    arena_usage before;
    motet__arena_usage(&before);
    int fds = descriptors();
    crew c = {.workers = o->workers, .seed = o->seed};
    c.sea = motet_shared_alloc(sizeof *c.sea);
    if (!c.sea)
        die("shared memory", -ENOMEM);
    sea_init(c.sea);
    for (unsigned i = 0; i < c.workers; i++)
        start(&c, i);
    while (c.killed < o->kills && !atomic_load_relaxed(&c.sea->wrong)) {
        await_progress(&c);
        if (dice(&c.seed, 4))
            kill_worker(&c);
        else
            stop_worker(&c);
        go_on(&c, dice(&c.seed, c.workers));
        say(&c, o, false);
    }
    end_all(&c);
    say(&c, o, true);
    account(&c);
    int wrongs = sea_audit(c.sea, c.killed);
    motet_shared_free(c.sea);
    const char *why = motet__arena_check();
    if (why)
        wrongs++, fprintf(stderr, "chaos: WRONG: the arena: %s\n", why);
    if (descriptors() != fds)
        wrongs++, fprintf(stderr, "chaos: WRONG: %d descriptors, %d before\n", descriptors(), fds);
    printf("%s\n", wrongs ? "the books do not balance" : "the books balance: nothing lost, nothing left");
    return wrongs;
}

static int usage(void)
{
    fprintf(stderr,
            "usage: motet-chaos [--kills N] [--workers N] [--roots N] [--seed N] [--quiet]\n"
            "Kills N workers of a family (default 1000, of 5), now and then its zygote and its guard; then N families\n"
            "by their root (default 50). Exit code 0: the books balance.\n");
    return 2;
}

int main(int argc, char **argv)
{
    static const struct option known[] = {{"kills", 1, NULL, 'k'}, {"workers", 1, NULL, 'w'}, {"roots", 1, NULL, 'r'},
                                          {"seed", 1, NULL, 's'},  {"quiet", 0, NULL, 'q'},   {NULL, 0, NULL, 0}};
    options o = {.workers = 5, .kills = 1000, .roots = 50, .seed = 1};
    int e = motet_init(&argc, &argv);
    if (e != 0)
        die("motet_init", e);
    if (argc == 3 && strcmp(argv[1], "--family") == 0)
        family_root((uint32_t)strtoul(argv[2], NULL, 10));
    for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        unsigned long n = optarg ? strtoul(optarg, NULL, 10) : 0;
        if (option == 'k')
            o.kills = (unsigned)n;
        else if (option == 'w' && n >= 2 && n <= WORKERS_MAX)
            o.workers = (unsigned)n;
        else if (option == 'r')
            o.roots = (unsigned)n;
        else if (option == 's' && n)
            o.seed = (uint32_t)n;
        else if (option == 'q')
            o.quiet = true;
        else
            return usage();
    }
    int wrongs = kill_roots(o.roots, o.seed, !o.quiet);
    if (o.kills)
        wrongs += storm(&o);
    return wrongs ? 1 : 0;
}
