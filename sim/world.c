/* SPDX-License-Identifier: MIT */
/* The world that every execution begins in: writable data, thread-local data, heap, stacks; and the heap. */
#include "engine.h"

#include "seam_sys.h"

#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

engine *S;

extern char __data_start[], _end[]; /* the program's writable data, from the linker */

enum { GRANULE = 16, NEVER = 0, GIVEN = 1, FREED = 2 };

static void *const HEAP_AT = (void *)0x100000000000, *const STACKS_AT = (void *)0x110000000000;

static void *map(void *at, size_t size)
{
    int fixed = at ? MAP_FIXED_NOREPLACE : 0;
    void *p = mmap(at, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | fixed, -1, 0);
    if (p == MAP_FAILED || (at && p != at)) {
        perror("motet-sim: mmap");
        exit(2);
    }
    return p;
}

/* ---- thread-local data ----------------------------------------------------------------------------- */

static uintptr_t own_pointer(void)
{
    uintptr_t p;
#if defined(__x86_64__)
    __asm__ volatile("mov %%fs:0, %0" : "=r"(p));
#elif defined(__aarch64__)
    __asm__ volatile("mrs %0, tpidr_el0" : "=r"(p));
#else
#error "motet-sim knows x86-64 and aarch64"
#endif
    return p;
}

static int find_tls(struct dl_phdr_info *info, size_t size, void *arg)
{
    thread *t = arg;
    t->tls = info->dlpi_tls_data;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_TLS)
            S->tls_size = info->dlpi_phdr[i].p_memsz;
    return 1; /* the first is the program */
}

/* Lends its thread-local data, and never runs again. */
_Noreturn static void *lend(void *arg)
{
    thread *t = arg;
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    dl_iterate_phdr(find_tls, t);
    __atomic_store_n(&t->pointer, own_pointer(), __ATOMIC_RELEASE);
    for (;;)
        pause();
}

static void borrow(thread *t)
{
    pthread_t donor;
    if (t->id == 0) {
        dl_iterate_phdr(find_tls, t);
        t->pointer = own_pointer();
        return;
    }
    if (pthread_create(&donor, NULL, lend, t) != 0) {
        perror("motet-sim: pthread_create");
        exit(2);
    }
    pthread_detach(donor);
    while (!__atomic_load_n(&t->pointer, __ATOMIC_ACQUIRE))
        usleep(50);
}

/* ---- begin ----------------------------------------------------------------------------------------- */

void sim_world_open(void)
{
#if defined(__x86_64__)
    if (!(getauxval(AT_HWCAP2) & 2)) {
        fprintf(stderr, "motet-sim: this CPU or kernel has no FSGSBASE\n");
        exit(77);
    }
#endif
    engine *s = map(NULL, sizeof *s);
    S = s;
    s->heap = map(HEAP_AT, (size_t)ARENA_SIZE * THREADS_MAX);
    s->heap_map = map(NULL, (size_t)ARENA_SIZE * THREADS_MAX / GRANULE);
    s->store_pool = map(NULL, (size_t)LOCS_MAX * HISTORY_MAX * sizeof(store));
    s->marks_pool = map(NULL, (size_t)LOCS_MAX * 16 * sizeof(marks));
    s->cells = map(NULL, CELLS_MAX * sizeof(cell));
    s->cells_pc = map(NULL, CELLS_MAX * sizeof *s->cells_pc);
    s->search.choices = map(NULL, CHOICES_MAX * sizeof(choice));
    s->search.script = map(NULL, DEVIATIONS_MAX * sizeof(deviation));
    s->search.scratch = map(NULL, DEVIATIONS_MAX * sizeof(deviation));
    s->search.found = map(NULL, DEVIATIONS_MAX * sizeof(deviation));
    s->search.taken = map(NULL, DEVIATIONS_MAX * sizeof(deviation));
    char *stacks = map(STACKS_AT, (size_t)STACK_SIZE * THREADS_MAX * 2);
    for (int i = 0; i < THREADS_MAX; i++) {
        thread *t = &s->threads[i];
        t->id = i;
        t->stack = stacks + (size_t)STACK_SIZE * (2 * i + 1);
        mprotect(t->stack - STACK_SIZE, STACK_SIZE, PROT_NONE); /* an overflow ends in it */
        t->arena = s->heap + (size_t)ARENA_SIZE * i;
        borrow(t);
    }
    s->cpus = 1;
    sim_prepare();
    size_t data = (size_t)(_end - __data_start);
    s->snapshot = map(NULL, data);
    s->tls_snapshot = map(NULL, s->tls_size + 1);
    memcpy(s->snapshot, __data_start, data);
    memcpy(s->tls_snapshot, s->threads[0].tls, s->tls_size);
}

void sim_world_reset(void)
{
    memcpy(__data_start, S->snapshot, (size_t)(_end - __data_start));
    S->epoch++;
    for (int i = 0; i < S->threads_count; i++) {
        thread *t = &S->threads[i];
        memcpy(t->tls, S->tls_snapshot, S->tls_size);
        memset(S->heap_map + (size_t)ARENA_SIZE * i / GRANULE, NEVER, t->arena_used / GRANULE);
        t->arena_used = 0;
    }
    S->allocated = 0;
    S->cpus = 1;
    memset(S->eventfds, 0, sizeof S->eventfds);
    S->keys = 0;
    S->names_count = 0;
    sim_memory_reset();
}

/* ---- the heap -------------------------------------------------------------------------------------- */

/* Every thread has its own part, so that a block's address does not depend on others; nothing is given twice. A block
 * begins with its size. */

static bool in_heap(const volatile void *p)
{
    return (const volatile char *)p >= S->heap && (const volatile char *)p < S->heap + (size_t)ARENA_SIZE * THREADS_MAX;
}

static uint8_t *map_of(const volatile void *p) { return S->heap_map + ((const volatile char *)p - S->heap) / GRANULE; }

/* On the stack, or in the thread-local data, of a thread that has come to its end (one that was killed was a process of its own:
 * nobody has its memory). */
static bool of_the_ended(const volatile void *p)
{
    const volatile char *at = p;
    const char *stacks = STACKS_AT;
    if (at < stacks)
        return false;
    for (int i = 0; i < S->threads_count; i++) {
        const thread *t = &S->threads[i];
        if (t->state != T_DONE || t->dead)
            continue;
        if ((at >= t->stack && at < t->stack + STACK_SIZE) ||
            (at >= (const char *)t->tls && at < (const char *)t->tls + S->tls_size))
            return true;
    }
    return false;
}

void sim_check_alive(const volatile void *p, const char *at)
{
    char place[48];
    if (in_heap(p) ? *map_of(p) != GIVEN : of_the_ended(p))
        sim_fail("%s: an access to memory that was freed", sim_place(at, place, sizeof place));
}

void *sim_alloc(size_t size, size_t align, int fill, const char *at)
{
    if (!S || !S->on)
        return align > GRANULE ? aligned_alloc(align, (size + align - 1) & ~(align - 1)) : malloc(size);
    thread *t = S->current;
    if ((S->scenario->faults & SIM_NO_MEMORY) && sim_choose(C_ALLOC, 2, NULL)) {
        TRACE(at, "alloc %zu: no memory", size);
        return NULL;
    }
    size_t from = (t->arena_used + GRANULE + align - 1) & ~(align - 1),
           whole = (size + GRANULE - 1) & ~(size_t)(GRANULE - 1);
    whole += whole == 0 ? GRANULE : 0;
    if (whole > ARENA_SIZE - from || from > ARENA_SIZE)
        return NULL;
    char *p = t->arena + from;
    t->arena_used = (uint32_t)(from + whole);
    *(size_t *)(void *)(p - GRANULE) = size;
    memset(map_of(p), GIVEN, whole / GRANULE);
    memset(p, fill, size);
    S->allocated++;
    TRACE(at, "alloc %zu = %p", size, (void *)p);
    return p;
}

void sim_free_block(void *p, const char *at)
{
    if (!S || !in_heap(p)) {
        free(p);
        return;
    }
    if (!S->on)
        return;
    if (*map_of(p) != GIVEN)
        sim_fail("%s: freed twice", at);
    size_t size = *(size_t *)(void *)((char *)p - GRANULE), whole = (size + GRANULE - 1) & ~(size_t)(GRANULE - 1);
    sim_race_freed(p, size, __builtin_return_address(0));
    memset(p, 0xDD, size);
    memset(map_of(p), FREED, (whole + (whole == 0 ? GRANULE : 0)) / GRANULE);
    S->allocated--;
    TRACE(at, "free %p", p);
}

void *sim_realloc(void *p, size_t size, const char *at)
{
    if (!S || !S->on)
        return realloc(p, size);
    void *to = sim_alloc(size, GRANULE, 0xA5, at);
    if (to && p) {
        size_t was = *(size_t *)(void *)((char *)p - GRANULE);
        memcpy(to, p, was < size ? was : size);
        sim_free_block(p, at);
    }
    return to;
}

int sim_allocated(void) { return S->allocated; }
