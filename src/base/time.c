/* SPDX-License-Identifier: MIT */
/* Moments. */
#include "base/sys.h"

#include <motet/base.h>

motet_time motet_now(void) { return sys_now(); }

motet_time motet_after(int64_t ns)
{
    int64_t moment;
    if (__builtin_add_overflow(sys_now(), ns, &moment))
        return MOTET_FOREVER;
    return moment < 0 ? 0 : moment;
}

void motet_yield(void) { sys_yield(); }
