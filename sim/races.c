/* SPDX-License-Identifier: MIT */
/* Data races of plain accesses, in motet and in scenarios.
 *
 * Both are compiled with the compiler's own instrumentation for ThreadSanitizer, which calls a function before each plain
 * access; these functions are here, and ThreadSanitizer's library is not linked. A race is an access that conflicts with
 * an earlier one of another thread that did not happen before it, by the clocks of the memory model: so an order that is
 * too weak is found also where the schedule happens to be harmless. As in ThreadSanitizer a cell of eight bytes remembers a
 * few accesses; now and then one is forgotten. Copies by memcpy and the like are not seen.
 *
 * A plain access is taken to be made at the clock of the thread's next step, so that what the last one gave away does not
 * cover it. */
#include "engine.h"

#include "seam_sys.h"

/* A touch: bits 0-7 bytes, 8 writes, 9 atomic, 16-23 thread, 32-47 clock. */
enum { WRITES = 1 << 8, ATOMIC = 1 << 9 };

static inline unsigned thread_of(touch t) { return t >> 16 & 255; }
static inline unsigned clock_of(touch t) { return (unsigned)(t >> 32); }

static cell *cell_of(uintptr_t addr)
{
    uint32_t h = (uint32_t)((addr >> 3) + (addr >> 15) * 0x9E3779B1u) % CELLS_MAX;
    for (int i = 0; i < 64; i++, h = (h + 1) % CELLS_MAX) {
        cell *c = &S->cells[h];
        if (c->addr == addr && c->epoch == S->epoch)
            return c;
        if (c->epoch != S->epoch) {
            c->addr = addr;
            c->epoch = S->epoch;
            c->next = c->count = 0;
            return c;
        }
    }
    return NULL; /* full: not looked at */
}

static void report(uintptr_t addr, touch a, const void *pc, touch was, const void *was_pc)
{
    char name[80];
    S->race_at[0] = pc;
    S->race_at[1] = was_pc;
    sim_fail("data race at %s: T%u's %s%s, T%u's %s%s before it", sim_name_of((void *)addr, name, sizeof name),
             thread_of(a), a & ATOMIC ? "atomic " : "", a & WRITES ? "write" : "read", thread_of(was),
             was & ATOMIC ? "atomic " : "", was & WRITES ? "write" : "read");
}

/* Who was there before, if that is a race; else where the touch is to be kept. */
static unsigned place_among(const cell *c, uintptr_t addr, touch a, const void *pc)
{
    const thread *t = S->current;
    unsigned place = c->count, id = thread_of(a);
    for (unsigned i = 0; i < c->count; i++) {
        touch b = c->touches[i];
        if (thread_of(b) == id) {
            /* The later one of the same kind says more. */
            if (!(b & 255 & ~a) && (a & WRITES || !(b & WRITES)) && (!(a & ATOMIC) || b & ATOMIC))
                place = i;
        } else if (a & b & 255 && (a | b) & WRITES && !(a & b & ATOMIC) && clock_of(b) > t->hb.c[thread_of(b)]) {
            report(addr, a, pc, b, S->cells_pc[c - S->cells][i]);
        }
    }
    return place;
}

static void check_cell(uintptr_t addr, touch a, const void *pc)
{
    cell *c = cell_of(addr);
    if (!c || (c->count && c->touches[c->last] == a))
        return;
    unsigned place = place_among(c, addr, a, pc);
    if (place == TOUCHES_MAX)
        place = c->next++ % TOUCHES_MAX;
    else if (place == c->count)
        c->count++;
    c->touches[place] = a;
    c->last = (uint8_t)place;
    S->cells_pc[c - S->cells][place] = pc;
}

static void look(const volatile void *p, size_t size, bool writes, bool atomic, const void *pc)
{
    const thread *t = S->current;
    uintptr_t addr = (uintptr_t)p, end = addr + size;
    touch a = (uint64_t)(uint16_t)(t->hb.c[t->id] + !atomic) << 32 | (uint64_t)t->id << 16 | (writes ? WRITES : 0) |
              (atomic ? ATOMIC : 0);
    while (addr < end) {
        uintptr_t base = addr & ~(uintptr_t)7, stop = end < base + 8 ? end : base + 8;
        check_cell(base, a | (uint64_t)(((1u << (stop - addr)) - 1) << (addr - base)), pc);
        addr = stop;
    }
}

void sim_race_atomic(const volatile void *p, unsigned size, bool writes)
{
    look(p, size, writes, true, __builtin_return_address(0));
}

/* Freeing is a write of all of it. Of a large block only the begin is looked at. */
void sim_race_freed(const void *p, size_t size, const void *pc) { look(p, size < 256 ? size : 256, true, false, pc); }

static inline void plain(const void *p, size_t size, bool writes, const void *pc)
{
    if (!S || !S->on)
        return;
    sim_check_alive(p, "a plain access|");
    look(p, size, writes, false, pc);
}

void sim_plain(const void *p, bool writes, const char *at)
{
    if (!S || !S->on)
        return;
    look(p, 1, writes, false, __builtin_return_address(0));
    TRACE(at, "plain %s", writes ? "write" : "read");
}

uint32_t sim_peep(const uint32_t *p) { return *p; }

/* ---- what the compiler calls ----------------------------------------------------------------------- */

#define PC __builtin_return_address(0)
#define HOOK(name, ...)     \
    void name(__VA_ARGS__); \
    void name(__VA_ARGS__)
#define HOOKS(n)                                                        \
    HOOK(__tsan_read##n, void *p) { plain(p, n, false, PC); }           \
    HOOK(__tsan_write##n, void *p) { plain(p, n, true, PC); }           \
    HOOK(__tsan_volatile_read##n, void *p) { plain(p, n, false, PC); }  \
    HOOK(__tsan_volatile_write##n, void *p) { plain(p, n, true, PC); }  \
    HOOK(__tsan_unaligned_read##n, void *p) { plain(p, n, false, PC); } \
    HOOK(__tsan_unaligned_write##n, void *p) { plain(p, n, true, PC); } \
    HOOK(__tsan_read_write##n, void *p) { plain(p, n, true, PC); }      \
    HOOK(__tsan_unaligned_read_write##n, void *p) { plain(p, n, true, PC); }

HOOKS(1)
HOOKS(2)
HOOKS(4)
HOOKS(8)
HOOKS(16)
HOOK(__tsan_read_range, void *p, size_t n) { plain(p, n, false, PC); }
HOOK(__tsan_write_range, void *p, size_t n) { plain(p, n, true, PC); }
HOOK(__tsan_init, void) {}
HOOK(__tsan_func_entry, void *pc) {}
HOOK(__tsan_func_exit, void) {}
void *__tsan_memcpy(void *to, const void *from, size_t n);
void *__tsan_memcpy(void *to, const void *from, size_t n)
{
    plain(from, n, false, PC);
    plain(to, n, true, PC);
    return memcpy(to, from, n);
}
void *__tsan_memmove(void *to, const void *from, size_t n);
void *__tsan_memmove(void *to, const void *from, size_t n)
{
    plain(from, n, false, PC);
    plain(to, n, true, PC);
    return memmove(to, from, n);
}
void *__tsan_memset(void *to, int value, size_t n);
void *__tsan_memset(void *to, int value, size_t n)
{
    plain(to, n, true, PC);
    return memset(to, value, n);
}
