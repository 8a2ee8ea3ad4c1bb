/* SPDX-License-Identifier: MIT */
/* The system under the threads: futexes, clock, eventfds, random numbers, threads and their keys. */
#include "engine.h"

#include "seam_sys.h"

#include <errno.h>

/* ---- atomics: each is a step ----------------------------------------------------------------------- */

static const char *const orders[] = {"relaxed", "acquire", "release", "acq_rel", "seq_cst"};

static void point(int kind, const volatile void *p, unsigned size, int order, const char *at)
{
    sim_check_alive(p, at);
    sim_point((op){.kind = (uint8_t)kind, .seq_cst = order == SIM_SC, .loc = sim_loc(p, size), .at = at});
    sim_check_alive(p, at);
}

static uint64_t real_load(const volatile void *p, unsigned size)
{
    switch (size) {
    case 1: return __atomic_load_n((const volatile uint8_t *)p, __ATOMIC_SEQ_CST);
    case 2: return __atomic_load_n((const volatile uint16_t *)p, __ATOMIC_SEQ_CST);
    case 4: return __atomic_load_n((const volatile uint32_t *)p, __ATOMIC_SEQ_CST);
    default: return __atomic_load_n((const volatile uint64_t *)p, __ATOMIC_SEQ_CST);
    }
}

/* Outside an execution there is one thread only. */
static void real_store(volatile void *p, unsigned size, uint64_t value) { memcpy((void *)(uintptr_t)p, &value, size); }

static uint64_t combine(int what, uint64_t was, uint64_t value)
{
    switch (what) {
    case SIM_ADD: return was + value;
    case SIM_SUB: return was - value;
    case SIM_OR: return was | value;
    case SIM_AND: return was & value;
    default: return value;
    }
}

uint64_t sim_load(const volatile void *p, unsigned size, int order, const char *at)
{
    if (!S || !S->on)
        return real_load(p, size);
    point(OP_LOAD, p, size, order, at);
    bool old;
    uint64_t value = sim_memory_read(sim_loc(p, size), order, &old);
    TRACE(at, "load %s = %#llx%s", orders[order], (unsigned long long)value, old ? " (an older value)" : "");
    return value;
}

void sim_store(volatile void *p, unsigned size, uint64_t value, int order, const char *at)
{
    if (!S || !S->on) {
        real_store(p, size, value);
        return;
    }
    point(OP_WRITE, p, size, order, at);
    TRACE(at, "store %s %#llx", orders[order], (unsigned long long)value);
    sim_memory_write(sim_loc(p, size), value, order);
}

struct rmw {
    int what;
    uint64_t value;
};

static bool change_rmw(uint64_t was, uint64_t *value, const void *arg)
{
    const struct rmw *m = arg;
    *value = combine(m->what, was, m->value);
    return true;
}

uint64_t sim_rmw(volatile void *p, unsigned size, int what, uint64_t value, int order, const char *at)
{
    static const char *const names[] = {"exchange", "add", "sub", "or", "and"};
    if (!S || !S->on) {
        uint64_t was = real_load(p, size);
        real_store(p, size, combine(what, was, value));
        return was;
    }
    point(OP_WRITE, p, size, order, at);
    bool changed;
    struct rmw m = {what, value};
    uint64_t was = sim_memory_update(sim_loc(p, size), change_rmw, &m, order, order, &changed);
    TRACE(at, "%s %s %#llx: was %#llx", names[what], orders[order], (unsigned long long)value, (unsigned long long)was);
    return was;
}

struct cas {
    uint64_t expected, value;
};

static bool change_cas(uint64_t was, uint64_t *value, const void *arg)
{
    const struct cas *m = arg;
    *value = m->value;
    return was == m->expected;
}

bool sim_cas(volatile void *p, unsigned size, void *expected, uint64_t value, int order, int failed, const char *at)
{
    struct cas m = {0, value};
    memcpy(&m.expected, expected, size);
    if (!S || !S->on) {
        uint64_t was = real_load(p, size);
        if (was == m.expected)
            real_store(p, size, value);
        else
            memcpy(expected, &was, size);
        return was == m.expected;
    }
    point(OP_WRITE, p, size, order, at);
    bool changed;
    uint64_t was = sim_memory_update(sim_loc(p, size), change_cas, &m, order, failed, &changed);
    if (!changed)
        memcpy(expected, &was, size);
    TRACE(at, "cas %s %#llx -> %#llx: %s %#llx", orders[order], (unsigned long long)m.expected,
          (unsigned long long)value, changed ? "done, was" : "failed, is", (unsigned long long)was);
    return changed;
}

void sim_fence(int order, const char *at)
{
    if (!S || !S->on)
        return;
    if (S->search.weak)
        sim_point((op){.kind = OP_FENCE, .seq_cst = order == SIM_SC, .at = at});
    sim_memory_fence(order);
    TRACE(at, "fence %s", orders[order]);
}

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

/* The kernel looks at the word under a lock of its own, which the waker takes too: so at the latest value. */
int sim_futex_wait(const volatile uint32_t *word, uint32_t expected, int64_t deadline, const char *at)
{
    thread *t = S->current;
    t->persist = 0;
    sim_check_alive(word, at);
    sim_point((op){.kind = OP_WAIT, .loc = sim_loc(word, 4), .at = at});
    sim_memory_looked(sim_loc(word, 4));
    if (*word != expected) {
        TRACE(at, "futex wait: the word is %#x, not %#x", *word, expected);
        return -EAGAIN;
    }
    if (deadline <= S->now)
        return -ETIMEDOUT;
    TRACE(at, "futex wait: sleeps");
    t->futex = word;
    t->deadline = deadline;
    t->state = T_ASLEEP;
    t->pending = (op){.kind = OP_WAIT, .loc = sim_loc(word, 4), .at = at};
    t->next_sleeper = NULL;
    thread **end = &S->sleepers;
    while (*end)
        end = &(*end)->next_sleeper;
    *end = t;
    sim_block();
    TRACE(at, "futex wait: %d", t->result);
    return t->result;
}

static thread *pick_sleeper(const volatile uint32_t *word)
{
    thread *all[THREADS_MAX];
    unsigned n = 0;
    for (thread *t = S->sleepers; t; t = t->next_sleeper)
        if (t->futex == word)
            all[n++] = t;
    return n ? all[sim_choose(C_WAITER, n, NULL, NULL, NULL)] : NULL;
}

void sim_futex_wake(const volatile uint32_t *word, int n, const char *at)
{
    if (!S || !S->on)
        return;
    sim_point((op){.kind = OP_WAKE, .loc = sim_loc(word, 4), .at = at});
    for (thread *t; n > 0 && (t = pick_sleeper(word)); n--) {
        TRACE(at, "futex wake: T%d", t->id);
        sim_sleeper_remove(t);
        t->result = 0;
        t->state = T_READY;
        t->pending = (op){.kind = OP_LOCAL};
    }
    TRACE(at, "futex wake: done");
}

/* ---- clock, numbers -------------------------------------------------------------------------------- */

int64_t sim_clock(void) { return S ? S->now : 1; }

int64_t sim_now(void) { return S->now; }

void sim_pass(int64_t ns) { S->now += ns; }

/* A thread always gets the same: otherwise steps of different threads would not commute. */
uint64_t sim_random_number(void) { return 0x9E3779B97F4A7C15u * (uint64_t)(S ? S->current->id + 1 : 1); }

int sim_cpus_allowed(void) { return S ? S->cpus : 1; }

void sim_cpus(int n) { S->cpus = n; }

unsigned sim_pick(unsigned n) { return sim_choose(C_PICK, n, NULL, NULL, NULL); }

/* ---- eventfds -------------------------------------------------------------------------------------- */

enum { FD_FIRST = 10000 };

static uint32_t *eventfd_of(int fd)
{
    int i = fd - FD_FIRST;
    return i >= 0 && i < EVENTFDS_MAX && S->eventfds[i] ? &S->eventfds[i] : NULL;
}

int sim_eventfd(const char *at)
{
    if ((S->scenario->faults & SIM_NO_MEMORY) && sim_choose(C_ALLOC, 2, NULL, NULL, NULL)) {
        TRACE(at, "eventfd: too many");
        return -EMFILE;
    }
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
    if (count || deadline <= S->now)
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
                t->pending = (op){.kind = OP_LOCAL};
            }
        }
    }
}

/* ---- threads --------------------------------------------------------------------------------------- */

int sim_thread_create(void *(*run)(void *), void *arg)
{
    if ((S->scenario->faults & SIM_NO_MEMORY) && sim_choose(C_ALLOC, 2, NULL, NULL, NULL))
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
    sim_memory_joined(t, other); /* what a dead one did is seen too: the kernel told of its death afterwards */
}

void sim_join_all(void)
{
    for (int i = 0; i < S->threads_count; i++)
        if (&S->threads[i] != S->current)
            sim_join(i);
}

void sim_mortal(bool on) { S->current->mortal = on; }

bool sim_dead(int id) { return S->threads[id].dead; }
