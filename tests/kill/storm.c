/* SPDX-License-Identifier: MIT */
/* The watcher of a storm: see storm.h. */
#include "kill/storm.h"

#include "base/atomic.h"
#include "runner.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* How often the watcher looks, at most, before the next event comes anyway. */
enum { LOOKS_MAX = 2000 };

/* How many workers it stops, at most, to find one that it would rather kill. */
enum { HUNT_MAX = 40 };

typedef struct seat {
    pid_t pid;
    unsigned serial;
    bool stopped;
} seat;

typedef struct watch {
    const storm *s;
    seat seats[STORM_WORKERS_MAX];
    unsigned serials;
    uint32_t seed;
} watch;

/* (xorshift32, George Marsaglia.) */
uint32_t storm_dice(uint32_t *seed, uint32_t n)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed % n;
}

static void start(watch *w, seat *its)
{
    const storm *s = w->s;
    its->serial = w->serials++;
    its->stopped = false;
    CHECK_LT(its->serial, STORM_SERIALS_MAX);
    s->before(s->arg, its->serial);
    pid_t watcher = getpid();
    its->pid = fork();
    CHECK_GE(its->pid, 0);
    if (its->pid > 0)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == watcher)
        s->work(s->arg, its->serial);
    _exit(0);
}

/* The kernel's word that it is dead. */
static int reap(const seat *its)
{
    int status;
    pid_t pid;
    do
        pid = waitpid(its->pid, &status, 0);
    while (pid < 0 && errno == EINTR);
    CHECK_EQ(pid, its->pid);
    return status;
}

static void go_on(seat *its)
{
    if (its->stopped)
        CHECK_EQ(kill(its->pid, SIGCONT), 0);
    its->stopped = false;
}

/* Stops one after the other until one is caught in the act; that one stays stopped. */
static seat *hunt(watch *w)
{
    seat *its = &w->seats[storm_dice(&w->seed, w->s->workers)];
    for (int i = 0; w->s->worth && i < HUNT_MAX; i++) {
        int status;
        its->stopped = true; /* it may be, and a signal more does no harm */
        go_on(its);
        CHECK_EQ(kill(its->pid, SIGSTOP), 0);
        CHECK_EQ(waitpid(its->pid, &status, WUNTRACED), its->pid);
        CHECK(WIFSTOPPED(status)); /* else it has failed a check of its own */
        its->stopped = true;
        if (w->s->worth(w->s->arg, its->serial))
            break;
        go_on(its);
        its = &w->seats[storm_dice(&w->seed, w->s->workers)];
    }
    return its;
}

static void kill_one(watch *w)
{
    storm_board *board = w->s->board;
    seat *victim = storm_dice(&w->seed, 2) ? hunt(w) : &w->seats[storm_dice(&w->seed, w->s->workers)];
    CHECK_EQ(kill(victim->pid, SIGKILL), 0);
    int status = reap(victim);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL); /* else it has failed a check of its own */
    board->dead[board->deaths] = victim->serial;
    atomic_add_release(&board->deaths, 1); /* partner: the workers' look at it */
    start(w, victim);
}

static void stop_one(watch *w)
{
    seat *victim = &w->seats[storm_dice(&w->seed, w->s->workers)];
    CHECK_EQ(kill(victim->pid, SIGSTOP), 0);
    victim->stopped = true;
}

static void await_progress(watch *w)
{
    uint64_t until = atomic_load_relaxed(&w->s->board->done) + storm_dice(&w->seed, w->s->pace);
    for (int looks = 0; looks < LOOKS_MAX && atomic_load_relaxed(&w->s->board->done) < until; looks++)
        sched_yield();
}

unsigned storm_run(const storm *s)
{
    watch w = {.s = s, .seed = s->seed};
    CHECK_GE(s->workers, 1);
    CHECK_LE(s->workers, STORM_WORKERS_MAX);
    for (unsigned i = 0; i < s->workers; i++)
        start(&w, &w.seats[i]);
    unsigned kills = s->kills, stops = s->stops;
    while (kills + stops > 0) {
        await_progress(&w);
        if (storm_dice(&w.seed, kills + stops) < kills) {
            kill_one(&w);
            kills--;
        } else {
            stop_one(&w);
            stops--;
        }
        go_on(&w.seats[storm_dice(&w.seed, s->workers)]);
    }
    for (unsigned i = 0; i < s->workers; i++)
        go_on(&w.seats[i]);
    await_progress(&w);
    atomic_store_release(&s->board->over, 1);
    for (unsigned i = 0; i < s->workers; i++) {
        int status = reap(&w.seats[i]);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    return w.serials;
}
