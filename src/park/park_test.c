/* SPDX-License-Identifier: MIT */
/* Park: who is woken, by what, and that a wake is neither lost nor given twice.
 *
 * The waits here are mostly on nodes without a word, where the wake is the message: those count exactly. Whether a thread
 * stands in a queue is seen through before_sleep, which is called once it does. */
#include "runner.h"

#include "park/park.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

enum { MANY = 8, KEYS = 3 };

/* One thread in one wait. */
struct wait {
    pthread_t thread;
    wait_node node[KEYS];
    struct pollfd fd[2];
    park_request request;
    park_self *self;
    bool interruptible, shielded;
    int result;
    uint32_t queued, over, leave;
};

#define SEEN(p) atomic_load_acquire(p)
#define UNTIL(cond)    \
    while (!(cond)) {  \
        motet_yield(); \
    }

static void tell_queued(void *arg)
{
    struct wait *w = arg;
    atomic_store_release(&w->queued, 1);
}

static void *run_wait(void *arg)
{
    struct wait *w = arg;
    motet_interruptible(w->interruptible);
    motet_shield(w->shielded);
    w->self = motet__park_self();
    w->result = motet__park_many(&w->request);
    atomic_store_release(&w->over, 1);
    UNTIL(SEEN(&w->leave)); /* who cancels or signals it needs it alive */
    return NULL;
}

/* Makes `w` a wait for `keys` messages: on the addresses from `key` on. */
static void for_messages(struct wait *w, const char *key, size_t keys)
{
    *w = (struct wait){.request = {.nodes = w->node, .nodes_count = keys, .deadline = MOTET_FOREVER}};
    w->request.before_sleep = tell_queued;
    w->request.arg = w;
    for (size_t i = 0; i < keys; i++)
        w->node[i].key = key + i;
}

static void begin(struct wait *w)
{
    CHECK_EQ(pthread_create(&w->thread, NULL, run_wait, w), 0);
    UNTIL(SEEN(&w->queued));
}

static int end(struct wait *w)
{
    atomic_store_release(&w->leave, 1);
    CHECK_EQ(pthread_join(w->thread, NULL), 0);
    return w->result;
}

/* ---- words ----------------------------------------------------------------------------------------- */

TEST(a_word_that_differs_is_no_wait)
{
    uint32_t a = 1, b = 2;
    CHECK_EQ(motet__park(&a, 0, MOTET_FOREVER, 0), 0);
    CHECK_EQ(motet__park(&a, 0, MOTET_NOWAIT, 0), 0);
    CHECK_EQ(motet__park(&a, 1, MOTET_NOWAIT, 0), -ETIMEDOUT);
    wait_node n[2] = {{.key = &a, .word = &a, .expected = 1}, {.key = &b, .word = &b, .expected = 3}};
    park_request r = {.nodes = n, .nodes_count = 2, .deadline = MOTET_FOREVER};
    CHECK_EQ(motet__park_many(&r), 1);
    CHECK_EQ(motet__unpark(&a, 1), 0); /* it left no node behind */
    CHECK_EQ(motet__unpark(&b, UNPARK_ALL), 0);
}

struct table {
    uint32_t ball; /* whose turn it is */
    uint32_t unused;
    int hits;
};

static void play(struct table *t, uint32_t me, bool may_time_out)
{
    for (int i = 0; i < 3000; i++) {
        uint32_t now;
        while ((now = SEEN(&t->ball)) != me) {
            int e = motet__park(&t->ball, now, may_time_out && i % 2 ? motet_after(i * 10) : MOTET_FOREVER, 0);
            CHECK(e == 0 || (may_time_out && e == -ETIMEDOUT));
        }
        t->hits++;
        atomic_store_release(&t->ball, !me);
        motet__unpark(&t->ball, 1);
    }
}

static void *play_other(void *t)
{
    play(t, 1, true);
    return NULL;
}

/* Change the word, then unpark; look at the word, then park: the ball is never lost between the two. */
TEST(no_wake_is_lost)
{
    struct table t = {0};
    pthread_t p;
    CHECK_EQ(pthread_create(&p, NULL, play_other, &t), 0);
    play(&t, 0, false);
    pthread_join(p, NULL);
    CHECK_EQ(t.hits, 6000);
}

/* ---- messages -------------------------------------------------------------------------------------- */

TEST(wakes_exactly_n_longest_first)
{
    static struct wait w[MANY];
    char key[4] = {0};
    for (int i = 0; i < MANY; i++) {
        for_messages(&w[i], key, 1);
        begin(&w[i]);
    }
    CHECK_EQ(motet__unpark(key + 1, UNPARK_ALL), 0);
    CHECK_EQ(motet__unpark(key, 0), 0);
    CHECK_EQ(motet__unpark(key, 3), 3);
    for (int i = 0; i < 3; i++)
        UNTIL(SEEN(&w[i].over));
    for (int i = 3; i < MANY; i++)
        CHECK(!SEEN(&w[i].over));
    CHECK_EQ(motet__unpark(key, UNPARK_ALL), MANY - 3);
    CHECK_EQ(motet__unpark(key, UNPARK_ALL), 0);
    for (int i = 0; i < MANY; i++)
        CHECK_EQ(end(&w[i]), 0);
}

/* More keys than the table has queues: some share one. */
TEST(keys_are_told_apart)
{
    static const char keys[8192];
    struct wait w;
    for_messages(&w, keys, 1);
    begin(&w);
    for (int i = 1; i < 8192; i++)
        CHECK_EQ(motet__unpark(&keys[i], UNPARK_ALL), 0);
    CHECK_EQ(motet__unpark(keys, UNPARK_ALL), 1);
    CHECK_EQ(end(&w), 0);
}

TEST(many_keys_are_claimed_once)
{
    char key[KEYS] = {0};
    for (int which = 0; which < KEYS; which++) {
        struct wait w;
        for_messages(&w, key, KEYS);
        begin(&w);
        CHECK_EQ(motet__unpark(&key[which], 5), 1);
        for (int i = 0; i < KEYS; i++)
            CHECK_EQ(motet__unpark(&key[i], 5), 0);
        CHECK_EQ(end(&w), which);
    }
}

TEST(one_key_twice)
{
    char key[1] = {0};
    struct wait w;
    for_messages(&w, key, 2);
    w.node[1].key = key;
    begin(&w);
    CHECK_EQ(motet__unpark(key, UNPARK_ALL), 1);
    CHECK_EQ(end(&w), 0);
    CHECK_EQ(motet__unpark(key, UNPARK_ALL), 0);
}

/* Wakers of several keys, waiters that all stand at each of them and give up at random: as many wakes taken as given, by
 * whatever key, and each once. */
struct storm {
    char key[KEYS];
    uint32_t stop, by_key[KEYS], taken[KEYS];
};

static void *stand(void *arg)
{
    struct storm *s = arg;
    for (uint32_t i = (uint32_t)(uintptr_t)&i / 64; !SEEN(&s->stop); i++) {
        wait_node n[KEYS];
        for (int k = 0; k < KEYS; k++)
            n[k] = (wait_node){.key = &s->key[k]};
        park_request r = {.nodes = n, .nodes_count = KEYS};
        r.deadline = i % 4 ? motet_after(i * 7919 % 60000) : MOTET_NOWAIT;
        r.flags = i % 3 ? 0 : PARK_NO_SPIN;
        int e = motet__park_many(&r);
        CHECK(e == -ETIMEDOUT || (e >= 0 && e < KEYS));
        if (e >= 0)
            atomic_add_relaxed(&s->taken[e], 1);
    }
    return NULL;
}

static void *wake(void *arg)
{
    struct storm *s = arg;
    for (uint32_t i = 0; i < 10000; i++) {
        uint32_t k = i * 31 % KEYS;
        atomic_add_relaxed(&s->by_key[k], motet__unpark(&s->key[k], 1 + i % 3));
    }
    return NULL;
}

TEST(a_timed_out_waiter_swallows_no_wake)
{
    struct storm s = {0};
    pthread_t standing[4], waking[2];
    for (int i = 0; i < 4; i++)
        CHECK_EQ(pthread_create(&standing[i], NULL, stand, &s), 0);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(pthread_create(&waking[i], NULL, wake, &s), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(waking[i], NULL);
    while (!SEEN(&s.by_key[0])) /* at least one was given */
        atomic_add_relaxed(&s.by_key[0], motet__unpark(&s.key[0], 1));
    atomic_store_release(&s.stop, 1);
    for (int i = 0; i < 4; i++)
        pthread_join(standing[i], NULL);
    for (int k = 0; k < KEYS; k++)
        CHECK_EQ(s.taken[k], s.by_key[k]);
}

/* ---- deadlines ------------------------------------------------------------------------------------- */

static uint32_t calls;

static void count_call(void *arg)
{
    CHECK_PTR(arg, &calls);
    calls++;
}

TEST(a_deadline_is_not_early)
{
    char key[1] = {0};
    for (int i = 0; i < 40; i++) {
        wait_node n = {.key = key};
        park_request r = {.nodes = &n, .nodes_count = 1, .deadline = motet_after(i * 77 * MOTET_US)};
        r.before_sleep = count_call;
        r.arg = &calls;
        r.flags = i % 2 ? PARK_NO_SPIN : 0;
        CHECK_EQ(motet__park_many(&r), -ETIMEDOUT);
        CHECK_GE(motet_now(), r.deadline);
        CHECK_EQ(calls, i + 1);
        CHECK_EQ(motet__unpark(key, 1), 0);
    }
}

/* ---- descriptors ----------------------------------------------------------------------------------- */

static void open_pipe(int end[2]) { CHECK_EQ(pipe2(end, O_CLOEXEC), 0); }

static void close_pipe(int end[2])
{
    close(end[0]);
    close(end[1]);
}

TEST(descriptors)
{
    char key[1] = {0};
    int a[2], b[2];
    open_pipe(a);
    open_pipe(b);
    wait_node n = {.key = key};
    struct pollfd fd[3] = {{.fd = a[0], .events = POLLIN}, {.fd = b[0], .events = POLLIN}, {.fd = -1}};
    park_request r = {.nodes = &n, .nodes_count = 1, .fds = fd, .fds_count = 2, .deadline = MOTET_NOWAIT};
    CHECK_EQ(motet__park_many(&r), -ETIMEDOUT);
    r.deadline = motet_after(2 * MOTET_MS);
    CHECK_EQ(motet__park_many(&r), -ETIMEDOUT);
    CHECK_GE(motet_now(), r.deadline);
    CHECK_EQ(write(b[1], "x", 1), 1);
    r.deadline = MOTET_NOWAIT; /* tried once */
    CHECK_EQ(motet__park_many(&r), 2);
    CHECK_EQ(fd[1].revents, POLLIN);
    r.deadline = MOTET_FOREVER;
    CHECK_EQ(motet__park_many(&r), 2);
    CHECK_EQ(write(a[1], "x", 1), 1);
    CHECK_EQ(motet__park_many(&r), 1);
    r.nodes_count = 0;
    CHECK_EQ(motet__park_many(&r), 0); /* descriptors alone */
    fd[0].fd = 1 << 20;                /* none that is open */
    CHECK_EQ(motet__park_many(&r), 0);
    CHECK_EQ(fd[0].revents, POLLNVAL);
    close_pipe(a);
    close_pipe(b);
}

/* What ends a wait for keys and descriptors. */
static int end_by(struct wait *w, const char *key, int how)
{
    int pipe[2];
    open_pipe(pipe);
    for_messages(w, key, 2);
    w->fd[0] = (struct pollfd){.fd = pipe[0], .events = POLLIN};
    w->request.fds = w->fd;
    w->request.fds_count = 1;
    begin(w);
    if (how == 0)
        CHECK_EQ(motet__unpark(key + 1, 1), 1);
    else if (how == 1)
        CHECK_EQ(write(pipe[1], "x", 1), 1);
    else
        motet__park_cancel(w->self);
    UNTIL(SEEN(&w->over));
    CHECK_EQ(motet__unpark(key, UNPARK_ALL), 0);
    int result = end(w);
    close_pipe(pipe);
    return result;
}

TEST(keys_and_descriptors_together)
{
    char key[2] = {0};
    struct wait w;
    for (int i = 0; i < 30; i++) {
        CHECK_EQ(end_by(&w, key, 0), 1);
        CHECK_EQ(end_by(&w, key, 1), 2);
        CHECK_EQ(w.fd[0].revents, POLLIN);
        CHECK_EQ(end_by(&w, key, 2), -ECANCELED);
    }
}

/* The waiter's own descriptor, by which it is woken, may have any number. */
TEST(descriptors_with_0_closed_here)
{
    char key[2] = {0};
    struct wait w;
    int pipe[2], kept = fcntl(0, F_DUPFD_CLOEXEC, 3);
    CHECK_GE(kept, 3);
    open_pipe(pipe);
    close(0);
    for (int i = 0; i < 30; i++) {
        for_messages(&w, key, 1);
        w.fd[0] = (struct pollfd){.fd = pipe[0], .events = POLLIN};
        w.request.fds = w.fd;
        w.request.fds_count = 1;
        begin(&w);
        for (int n = 0; n < i * 20; n++)
            motet_yield(); /* it sleeps by then, most of the times */
        CHECK_EQ(motet__unpark(key, 1), 1);
        CHECK_EQ(end(&w), 0);
        CHECK_EQ(fcntl(0, F_GETFD), -1);
    }
    CHECK_EQ(dup2(kept, 0), 0);
    close(kept);
    close_pipe(pipe);
}

TEST(no_descriptor_left_for_the_wait)
{
    char key[1] = {0};
    struct wait w;
    struct rlimit was;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &was), 0);
    for_messages(&w, key, 1);
    w.fd[0] = (struct pollfd){.fd = 0, .events = POLLIN};
    w.request.fds = w.fd;
    w.request.fds_count = 1;
    w.request.deadline = MOTET_NOWAIT;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &(struct rlimit){.rlim_cur = 0, .rlim_max = was.rlim_max}), 0);
    int e = motet__park_many(&w.request);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &was), 0);
    CHECK_EQ(e, -EMFILE);
    CHECK_EQ(w.queued, 0);
    CHECK_EQ(motet__unpark(key, 1), 0);
}

/* ---- cancellation and signals ---------------------------------------------------------------------- */

TEST(cancel_ends_the_wait_and_stays)
{
    char key[1] = {0};
    for (int i = 0; i < 50; i++) {
        struct wait w;
        for_messages(&w, key, 1);
        begin(&w);
        motet__park_cancel(w.self);
        CHECK_EQ(end(&w), -ECANCELED);
        CHECK_EQ(motet__unpark(key, 1), 0);
    }
    uint32_t word = 0;
    CHECK(!motet__park_cancelled());
    motet__park_cancel(motet__park_self());
    CHECK(motet__park_cancelled());
    CHECK(motet_cancelled());
    CHECK_EQ(motet__park(&word, 0, MOTET_FOREVER, 0), -ECANCELED);
    CHECK_EQ(motet__park(&word, 0, MOTET_FOREVER, PARK_NO_SPIN), -ECANCELED);
    CHECK_EQ(motet__park(&word, 1, MOTET_FOREVER, 0), 0); /* nothing to wait for */
    CHECK_EQ(motet__park(&word, 0, motet_after(MOTET_MS), PARK_NO_CANCEL), -ETIMEDOUT);
    CHECK(!motet_shield(true));
    CHECK(!motet__park_cancelled());
    CHECK(motet_cancelled());
    CHECK_EQ(motet__park(&word, 0, motet_after(MOTET_MS), 0), -ETIMEDOUT);
    CHECK(motet_shield(false));
    CHECK_EQ(motet__park(&word, 0, MOTET_FOREVER, 0), -ECANCELED);
}

TEST(a_deadline_that_has_passed_comes_before_a_cancellation)
{
    uint32_t word = 0;
    motet__park_cancel(motet__park_self());
    CHECK_EQ(motet__park(&word, 0, MOTET_FOREVER, 0), -ECANCELED);
    CHECK_EQ(motet__park(&word, 0, MOTET_NOWAIT, 0), -ETIMEDOUT);
    CHECK_EQ(motet__park(&word, 0, 1, 0), -ETIMEDOUT);
    CHECK_EQ(motet__park(&word, 1, 1, 0), 0);
}

TEST(some_waits_are_not_cancelled)
{
    char key[1] = {0};
    for (int i = 0; i < 2; i++) {
        struct wait w;
        for_messages(&w, key, 1);
        w.request.flags = i ? PARK_NO_CANCEL : 0;
        w.shielded = !i;
        begin(&w);
        motet__park_cancel(w.self);
        CHECK_EQ(motet__unpark(key, 1), 1);
        CHECK_EQ(end(&w), 0);
    }
}

static void *cancel_wait(void *arg)
{
    motet__park_cancel(((struct wait *)arg)->self);
    return NULL;
}

/* A wake and a cancel at one time: the waiter has one of them, and a wake that was taken is not lost. */
TEST(cancel_against_a_wake)
{
    char key[1] = {0};
    for (int i = 0; i < 200; i++) {
        struct wait w;
        for_messages(&w, key, 1);
        w.request.flags = i % 2 ? PARK_NO_SPIN : 0;
        pthread_t p;
        begin(&w);
        CHECK_EQ(pthread_create(&p, NULL, cancel_wait, &w), 0);
        unsigned taken = motet__unpark(key, 1);
        pthread_join(p, NULL);
        CHECK_EQ(end(&w), taken ? 0 : -ECANCELED);
    }
}

static void take_signal(int number) {}

static int signal_until_over(struct wait *w, int signals_max)
{
    struct sigaction act = {.sa_handler = take_signal, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &act, NULL);
    begin(w);
    for (int i = 0; i != signals_max && !SEEN(&w->over); i++) {
        pthread_kill(w->thread, SIGUSR1);
        motet_yield();
    }
    if (!SEEN(&w->over))
        CHECK_EQ(motet__unpark(w->node[0].key, 1), 1);
    return end(w);
}

TEST(signals)
{
    char key[1] = {0};
    struct wait w;
    int pipe[2];
    open_pipe(pipe);
    for (int polls = 0; polls < 2; polls++) {
        for (int timed = 0; timed < 2; timed++) {
            for_messages(&w, key, 1);
            w.fd[0] = (struct pollfd){.fd = pipe[0], .events = POLLIN};
            w.request.fds = w.fd;
            w.request.fds_count = (size_t)polls;
            if (timed)
                w.request.deadline = MOTET_FOREVER - 1;
            struct wait like = w;
            w.interruptible = true;
            CHECK_EQ(signal_until_over(&w, -1), -EINTR);
            CHECK_EQ(motet__unpark(key, 1), 0);
            w = like; /* not interruptible: the wait goes on, and the wake finds it */
            CHECK_EQ(signal_until_over(&w, 20), 0);
        }
    }
    close_pipe(pipe);
}

/* ---- fork ------------------------------------------------------------------------------------------ */

TEST(a_canceller_that_stays_behind_holds_nothing)
{
    motet__park_allowed(); /* from here on the runtime is in use */
    guard *g = &motet__park_self()->guard;
    guard_lock(g);
    pid_t child = fork();
    CHECK_GE(child, 0);
    if (child == 0)
        _exit(guard_try_lock(g) ? 0 : 1);
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    CHECK(!guard_try_lock(g));
    guard_unlock(g);
}

TEST(fails_in_a_forked_child)
{
    uint32_t word = 0;
    CHECK(motet__park_allowed());
    CHECK_EQ(motet__park(&word, 0, motet_after(MOTET_MS), 0), -ETIMEDOUT);
    pid_t child = fork();
    CHECK_GE(child, 0);
    if (child == 0) {
        int bad = motet__park(&word, 0, MOTET_FOREVER, 0) != -EPERM;
        bad |= motet__park(&word, 1, MOTET_FOREVER, 0) != -EPERM;
        bad |= motet__unpark(&word, 1) != 0;
        bad |= motet_sleep(motet_after(MOTET_S)) != -EPERM;
        _exit(bad);
    }
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    CHECK_EQ(motet__park(&word, 0, motet_after(MOTET_MS), 0), -ETIMEDOUT);
}
