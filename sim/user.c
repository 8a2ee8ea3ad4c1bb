/* SPDX-License-Identifier: MIT */
/* motet/sim.h: the explorer for programs of users, on top of sim.h. */
#include "user.h"

#include "seam_sys.h"

#include <motet/sim.h>

#include <stdarg.h>
#include <stdlib.h>

_Static_assert((int)MOTET_SIM_SPURIOUS == SIM_SPURIOUS && (int)MOTET_SIM_INTERRUPT == SIM_INTERRUPT &&
                   (int)MOTET_SIM_NO_MEMORY == SIM_NO_MEMORY && (int)MOTET_SIM_DEATHS == SIM_DEATHS,
               "the faults are the same");

void motet_sim_register(const motet_sim_scenario *s)
{
    sim_scenario *own = malloc(sizeof *own); /* for the program's life */
    if (!own)
        abort();
    *own = (sim_scenario){.name = s->name,
                          .about = s->about,
                          .run = s->run,
                          .must_fail = s->must_fail,
                          .weak_only = s->weak_only,
                          .faults = s->faults,
                          .bound = s->bound,
                          .cap = s->cap,
                          .pct = s->pct,
                          .steps_max = s->steps_max};
    sim_register(own);
}

int motet_sim_spawn(void (*fn)(void *arg), void *arg, const char *name)
{
    if (S->threads_count == THREADS_MAX)
        sim_fail("more than %d threads", THREADS_MAX - 1);
    return sim_spawn(fn, arg, name ? name : "thread");
}

void motet_sim_join(int id) { sim_join(id); }

void motet_sim_join_all(void) { sim_join_all(); }

void motet_sim_fail(const char *format, ...)
{
    char text[sizeof S->message];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    sim_fail("%s", text);
}

void motet_sim_relax(void) { sim_relax(USER_AT); }

unsigned motet_sim_pick(unsigned n)
{
    if (n < 1 || n > UINT8_MAX)
        sim_fail("motet_sim_pick: of %u", n);
    return sim_pick(n);
}

int64_t motet_sim_now(void) { return sim_now(); }

void motet_sim_pass(int64_t ns) { sim_pass(ns); }

void motet_sim_name(const volatile void *p, size_t size, const char *text)
{
    sim_name((const void *)(uintptr_t)p, size, text);
}

void motet_sim_mortal(bool on) { sim_mortal(on); }

bool motet_sim_dead(int id) { return id >= 0 && id < S->threads_count && sim_dead(id); }

int motet_sim_allocated(void) { return sim_allocated(); }
