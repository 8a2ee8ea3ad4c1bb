/* SPDX-License-Identifier: MIT */
/* Which states were seen: so that no search does the same thing twice.
 *
 * Two executions that differ only in the order of independent steps come to the same state, and go on alike. A state is
 * known by its past, not by its bytes: each step's history is a hash of the thread's own history and of the steps that
 * came before it at the same word (for a read the last write, for a write the reads since too), so of the graph of what
 * happened before; the histories of all threads together name the state (Musuvathi and Qadeer, "Partial-order reduction for
 * context-bounded state exploration", MSR-TR-2007-12). Dependent are, besides accesses of one word of which one writes: sleeping
 * and waking on one word; polls; passing and reading of time; a thread's end and who asks for it; starts of threads; under
 * the weak model seq_cst loads of one word, and seq_cst fences with all that is seq_cst. A compare-and-swap that fails is a
 * read. Who spins without looking at an atomic word depends on every write.
 *
 * What is remembered are steps: from which state, by whom, after how many preemptions at least. A schedule that comes to a
 * step that was taken already with no more of them is left out. Why that loses nothing under a bound: of all schedules within the
 * bound that are equivalent, the first in the order of the search is never left out, since whatever leaves one out names an
 * equivalent one within the bound that comes before it.
 *
 * The memory is a table of hashes, of bounded size; when it is full old ones are forgotten, which costs time only. Two different
 * steps with one hash of 60 bits would lose one: with 10 million steps, one chance in 20,000 for all of them together. */
#include "engine.h"

#include <sys/mman.h>

enum { BITS_MIN = 12, BITS_MAX = 24, LINE = 8 /* slots in a line of the cache, where a hash may lie */ };

void sim_world_read(trail *x)
{
    if (S && S->on)
        sim_trail_read(S->current, x, S->time);
}

void sim_world_write(thread *t, trail *x)
{
    if (!S || !S->on)
        return;
    sim_trail_write(t, x, S->time);
    S->world_at = S->time;
}

uint64_t sim_state(void)
{
    uint64_t sum = 0;
    for (int i = 0; i < S->threads_count; i++) {
        const thread *t = &S->threads[i];
        uint64_t spins = t->yielded && !t->looked_count ? 1 + (t->yielded_at == S->writes) : 0;
        sum += sim_mix(t->history + spins, (uint64_t)i + 1);
    }
    return sum;
}

/* ---- the table ------------------------------------------------------------------------------------- */

static size_t bytes(uint32_t bits) { return sizeof(uint64_t) << bits; }

static uint64_t *table(uint32_t bits)
{
    void *p = mmap(NULL, bytes(bits), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        sim_fail("no memory for what was seen");
    return p;
}

void sim_seen_clear(void)
{
    search *s = &S->search;
    if (s->seen)
        munmap(s->seen, bytes(s->seen_bits));
    s->seen_bits = BITS_MIN;
    s->seen_count = 0;
    s->seen = table(BITS_MIN);
}

static uint64_t *line_of(uint64_t *seen, uint32_t bits, uint64_t step)
{
    return seen + ((step >> (64 - bits)) & ~(uint64_t)(LINE - 1));
}

/* An entry is the hash, and in its last four bits the preemptions + 1. */
static bool put(uint64_t *seen, uint32_t bits, uint64_t entry)
{
    uint64_t *line = line_of(seen, bits, entry);
    for (int i = 0; i < LINE; i++) {
        if (!line[i] || (line[i] ^ entry) < 16) {
            bool new = !line[i];
            if (new || (entry & 15) < (line[i] & 15))
                line[i] = entry;
            return new;
        }
    }
    line[entry >> 4 & (LINE - 1)] = entry;
    return false;
}

static void grow(void)
{
    search *s = &S->search;
    uint32_t bits = s->seen_bits + 2;
    uint64_t *more = table(bits);
    s->seen_count = 0;
    for (size_t i = 0; i < (size_t)1 << s->seen_bits; i++)
        if (s->seen[i])
            s->seen_count += put(more, bits, s->seen[i]);
    munmap(s->seen, bytes(s->seen_bits));
    s->seen = more;
    s->seen_bits = bits;
}

bool sim_seen(uint64_t step, unsigned preemptions)
{
    const search *s = &S->search;
    const uint64_t *line = line_of(s->seen, s->seen_bits, step);
    for (int i = 0; i < LINE; i++)
        if ((line[i] ^ step) < 16 && line[i])
            return (line[i] & 15) <= preemptions + 1;
    return false;
}

void sim_seen_add(uint64_t step, unsigned preemptions)
{
    search *s = &S->search;
    s->seen_count += put(s->seen, s->seen_bits, (step & ~15ull) | (preemptions + 1 < 15 ? preemptions + 1 : 15));
    if (s->seen_count > (1u << s->seen_bits) / 2 && s->seen_bits < BITS_MAX)
        grow();
}
