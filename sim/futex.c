/* SPDX-License-Identifier: MIT */
/* The system under the threads: futexes, clock, eventfds, random numbers, threads and their keys. */
#include "engine.h"

#include "base/sys.h"
#include "seam_sys.h"

#include <errno.h>

/* ---- futexes --------------------------------------------------------------------------------------- */

void sim_sleeper_remove(thread *t)
{
    for (thread **p = &S->sleepers; *p; p = &(*p)->next_sleeper) {
        if (*p == t) {
            *p = t->next_sleeper;
            return;
        }
    }
}

void sim_queues_write(thread *t)
{
    for (unsigned i = 0; i < t->futexes_count; i++)
        sim_trail_write(t, &sim_loc(t->futexes[i], 4)->queue, S->time);
}

static void enqueue(thread *t)
{
    t->next_sleeper = NULL;
    thread **end = &S->sleepers;
    while (*end)
        end = &(*end)->next_sleeper;
    *end = t;
}

/* The kernel looks at a word under a lock of its own, which the waker takes too: so at the latest value. Of several it looks
 * at one after the other, each queued by then; what that could come to it can also come to by one look at all. */
int sim_futex_wait_many(const sys_futex_word *words, unsigned n, int64_t deadline, const char *at)
{
    thread *t = S->current;
    op o = {.kind = OP_WAIT, .many = n > 1, .loc = sim_loc(words[0].word, 4), .at = at};
    t->persist = 0;
    t->persisted = false;
    for (unsigned i = 0; i < n; i++) {
        sim_check_alive(words[i].word, at);
        sim_touches(sim_loc(words[i].word, 4), OP_WAIT);
    }
    sim_point(o);
    for (unsigned i = 0; i < n; i++) {
        const volatile uint32_t *word = words[i].word;
        sim_memory_looked(sim_loc(word, 4));
        sim_loc_read(t, sim_loc(word, 4), S->time);
        if (*word != words[i].expected) {
            TRACE(at, "futex wait: word %u is %#x, not %#x", i, *word, words[i].expected);
            return -EAGAIN;
        }
        t->futexes[i] = word;
    }
    if (deadline != INT64_MAX)
        sim_world_read(&S->clock);
    if (deadline <= S->now + t->spent)
        return -ETIMEDOUT;
    TRACE(at, "futex wait: sleeps");
    t->futexes_count = n;
    sim_queues_write(t);
    t->deadline = deadline;
    t->state = T_ASLEEP;
    t->pending = o;
    enqueue(t);
    sim_block();
    TRACE(at, "futex wait: %d", t->result);
    return t->result;
}

int sim_futex_wait(const volatile uint32_t *word, uint32_t expected, int64_t deadline, const char *at)
{
    sys_futex_word one = {.word = (const uint32_t *)word, .expected = expected};
    return sim_futex_wait_many(&one, 1, deadline, at);
}

static bool sleeps_on(const thread *t, const volatile uint32_t *word)
{
    for (unsigned i = 0; i < t->futexes_count; i++)
        if (t->futexes[i] == word)
            return true;
    return false;
}

static thread *pick_sleeper(const volatile uint32_t *word)
{
    thread *all[THREADS_MAX];
    unsigned n = 0;
    for (thread *t = S->sleepers; t; t = t->next_sleeper)
        if (sleeps_on(t, word))
            all[n++] = t;
    return n ? all[sim_choose(C_WAITER, n, NULL)] : NULL;
}

int sim_futex_wake(const volatile uint32_t *word, int n, const char *at)
{
    if (!S || !S->on)
        return 0;
    int woken = 0;
    sim_point((op){.kind = OP_WAKE, .loc = sim_loc(word, 4), .at = at});
    for (thread *t; woken < n && (t = pick_sleeper(word)); woken++) {
        TRACE(at, "futex wake: T%d", t->id);
        sim_sleeper_remove(t);
        t->history = sim_mix(t->history, S->current->history);
        t->result = 0;
        t->state = T_READY;
        t->pending = (op){.kind = OP_LOCAL};
    }
    TRACE(at, "futex wake: done");
    return woken;
}

/* ---- clock, numbers -------------------------------------------------------------------------------- */

int64_t sim_clock(void)
{
    if (!S)
        return 1;
    sim_world_read(&S->clock);
    return S->now + (S->current ? S->current->spent : 0);
}

int64_t sim_now(void) { return sim_clock(); }

void sim_pass(int64_t ns)
{
    S->now += ns;
    sim_world_write(S->current, &S->clock);
}

/* A thread always gets the same: otherwise steps of different threads would not commute. */
uint64_t sim_random_number(void) { return 0x9E3779B97F4A7C15u * (uint64_t)(S ? S->current->id + 1 : 1); }

int sim_cpus_allowed(void) { return S ? S->cpus : 1; }

void sim_cpus(int n) { S->cpus = n; }

unsigned sim_pick(unsigned n) { return sim_choose(C_PICK, n, NULL); }

/* ---- eventfds -------------------------------------------------------------------------------------- */

enum { FD_FIRST = 10000 };

static uint32_t *eventfd_of(int fd)
{
    int i = fd - FD_FIRST;
    return i >= 0 && i < EVENTFDS_MAX && S->eventfds[i] ? &S->eventfds[i] : NULL;
}

int sim_eventfd(const char *at)
{
    if ((S->scenario->faults & SIM_NO_MEMORY) && sim_choose(C_ALLOC, 2, NULL)) {
        TRACE(at, "eventfd: too many");
        return -EMFILE;
    }
    sim_world_write(S->current, &S->fds);
    for (int i = 0; i < EVENTFDS_MAX; i++) {
        if (!S->eventfds[i]) {
            S->eventfds[i] = 1;
            return FD_FIRST + i;
        }
    }
    return -EMFILE;
}

void sim_close(int fd, const char *at)
{
    uint32_t *e = eventfd_of(fd);
    if (!e)
        sim_fail("%s: closes what is not open", at);
    sim_world_write(S->current, &S->fds);
    *e = 0;
}

static int ready(struct pollfd *fds, size_t n)
{
    int count = 0;
    for (size_t i = 0; i < n; i++) {
        const uint32_t *e = eventfd_of(fds[i].fd);
        fds[i].revents = !e ? POLLNVAL : *e > 1 ? fds[i].events & POLLIN : 0;
        count += fds[i].revents != 0;
    }
    return count;
}

int sim_poll(struct pollfd *fds, size_t n, int64_t deadline, const char *at)
{
    thread *t = S->current;
    sim_point((op){.kind = OP_POLL, .at = at});
    int count = ready(fds, n);
    if (deadline != INT64_MAX)
        sim_world_read(&S->clock);
    if (count || deadline <= S->now + t->spent)
        return count;
    TRACE(at, "poll: sleeps");
    t->deadline = deadline;
    t->state = T_POLLING;
    t->pending = (op){.kind = OP_POLL, .at = at};
    t->polls_count = 0;
    for (size_t i = 0; i < n && t->polls_count < 4; i++)
        t->polls[t->polls_count++] = (uint32_t)fds[i].fd;
    t->result = 1;
    sim_block();
    return t->result <= 0 ? t->result : ready(fds, n);
}

void sim_eventfd_signal(int fd, const char *at)
{
    sim_point((op){.kind = OP_POLL, .at = at});
    uint32_t *e = eventfd_of(fd);
    if (!e)
        sim_fail("%s: signals what is not open", at);
    *e += 1;
    TRACE(at, "signals eventfd %d", fd);
    for (int i = 0; i < S->threads_count; i++) {
        thread *t = &S->threads[i];
        for (uint32_t k = 0; t->state == T_POLLING && k < t->polls_count; k++) {
            if (t->polls[k] == (uint32_t)fd) {
                t->state = T_READY;
                t->result = 1;
                t->history = sim_mix(t->history, S->current->history);
                t->pending = (op){.kind = OP_LOCAL};
            }
        }
    }
}

/* ---- threads --------------------------------------------------------------------------------------- */

int sim_thread_create(void *(*run)(void *), void *arg)
{
    if ((S->scenario->faults & SIM_NO_MEMORY) && sim_choose(C_ALLOC, 2, NULL))
        return -EAGAIN;
    thread *t = sim_thread_new(run, arg, "thread");
    if (!t)
        return -EAGAIN;
    TRACE("", "starts T%d", t->id);
    return 0;
}

unsigned long sim_thread_self(void) { return S && S->on ? (unsigned long)S->current->id + 1 : 1; }

void sim_thread_join(unsigned long handle) { sim_join((int)handle - 1); }

void sim_thread_set_name(const char *name) { S->current->name = name; }

int sim_key_create(unsigned *key, void (*destroy)(void *))
{
    if (!S || S->keys == KEYS_MAX)
        return -EAGAIN;
    sim_plain(key, true, "sys_thread.h|key"); /* written here, for the caller */
    *key = (unsigned)S->keys;
    S->destroy[S->keys++] = destroy;
    return 0;
}

int sim_key_set(unsigned key, void *value)
{
    S->current->values[key] = value;
    return 0;
}

struct body {
    void (*fn)(void *);
    void *arg;
};

static void *run_body(void *arg)
{
    struct body b = *(struct body *)arg;
    b.fn(b.arg);
    return NULL;
}

int sim_spawn(void (*fn)(void *), void *arg, const char *name)
{
    struct body *b = (struct body *)(void *)S->threads[S->threads_count].stack; /* far from its top */
    if (S->threads_count == THREADS_MAX)
        sim_fail("too many threads");
    *b = (struct body){fn, arg};
    return sim_thread_new(run_body, b, name)->id;
}

void sim_join(int id)
{
    thread *t = S->current, *other = &S->threads[id];
    if (id < 0 || id >= S->threads_count || other == t)
        sim_fail("joins nobody");
    if (other->state != T_DONE) {
        t->target = other;
        t->state = T_JOINING;
        t->pending = (op){.kind = OP_JOIN, .at = other->name};
        sim_block();
    }
    sim_world_read(&other->life);
    sim_memory_joined(t, other); /* what a dead one did is seen too: the kernel told of its death afterwards */
}

void sim_join_all(void)
{
    for (int i = 0; i < S->threads_count; i++)
        if (&S->threads[i] != S->current)
            sim_join(i);
}

int sim_self(void) { return S->current->id; }

void sim_mortal(bool on) { S->current->mortal = on; }

bool sim_dead(int id)
{
    sim_world_read(&S->threads[id].life);
    return S->threads[id].dead;
}
