/* SPDX-License-Identifier: MIT */
/* Starting afresh in the child of a fork. */
#include "base/afresh.h"

#include <stddef.h>

static afresh_entry *entries; /* complete before main, or when a library is loaded */

void motet__afresh_register(afresh_entry *entry)
{
    entry->next = entries;
    entries = entry;
}

void motet__afresh(void)
{
    for (afresh_entry *e = entries; e; e = e->next)
        e->forget();
}
