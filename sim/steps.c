/* SPDX-License-Identifier: MIT */
/* The seam's atomics: each is a step of the engine, then an access to the memory model. Before the first execution, when
 * constructors run, they are what they are called. */
#include "engine.h"

#include "seam_sys.h"

static const char *const orders[] = {"relaxed", "acquire", "release", "acq_rel", "seq_cst"};

static void point(int kind, const volatile void *p, unsigned size, int order, const char *at)
{
    sim_check_alive(p, at);
    loc *l = kind == OP_LOAD ? sim_loc(p, size) : sim_loc_to_write(p, size);
    sim_point((op){.kind = (uint8_t)kind, .seq_cst = order == SIM_SC, .loc = l, .at = at});
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
    sim_memory_write(sim_loc_to_write(p, size), value, order);
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
    uint64_t was = sim_memory_update(sim_loc_to_write(p, size), change_rmw, &m, order, order, &changed);
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
    sim_check_alive(p, at);
    sim_point((op){.kind = OP_WRITE,
                   .seq_cst = order == SIM_SC,
                   .compares = true,
                   .size = (uint8_t)size,
                   .expected = m.expected,
                   .loc = sim_loc_to_write(p, size),
                   .at = at});
    sim_check_alive(p, at);
    bool changed;
    uint64_t was = sim_memory_update(sim_loc_to_write(p, size), change_cas, &m, order, failed, &changed);
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
