/* SPDX-License-Identifier: MIT */
/* The tasks of this program, by name. Constructors register them; nothing ever leaves the list (a library that defines
 * tasks must stay loaded). */
#include "base/atomic.h"

#include <motet/executor.h>

#include <string.h>

static motet_task_entry *tasks;

void motet_task_register(motet_task_entry *entry)
{
    entry->next = atomic_load_relaxed(&tasks);
    /* Release: publishes the entry to those who walk the list. */
    while (!atomic_cas_acq_rel(&tasks, &entry->next, entry)) {}
}

const motet_task *motet_task_find(const char *name)
{
    if (!name)
        return NULL;
    for (motet_task_entry *e = atomic_load_acquire(&tasks); e; e = e->next)
        if (!strcmp(e->task->name, name))
            return e->task;
    return NULL;
}
