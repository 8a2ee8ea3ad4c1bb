/* SPDX-License-Identifier: MIT */
/* What a process tells others about itself. */
#include "base/sys_member.h"

#ifndef MOTET_SIM

#include <fcntl.h>
#include <string.h>

enum { FIELD_STARTED = 22 }; /* of proc(5)'s stat, where the program's name is 2 */

uint64_t sys_started(void)
{
    char text[1024];
    int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0)
        return 0;
    text[n] = 0;
    /* The name may hold anything, but no field after it a parenthesis. */
    const char *p = strrchr(text, ')');
    for (int field = 2; p && field < FIELD_STARTED; field++)
        p = strchr(p + 1, ' ');
    return p ? strtoull(p, NULL, 10) : 0;
}

#endif
