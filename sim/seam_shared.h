/* SPDX-License-Identifier: MIT */
/* The seam for shared memory in a build that explores schedules: a static array, all of which is there. Included by
 * base/sys_shared.h under MOTET_SIM. */
#ifndef MOTET_SIM_SEAM_SHARED_H
#define MOTET_SIM_SEAM_SHARED_H

#include <seam_sys.h>

#define SIM_SHARED_SIZE 32768 /* put back before each execution */

extern char sim_shared[SIM_SHARED_SIZE];

#define sys_shared_create(size)             ((void)(size), 100)
#define sys_shared_map(fd, size, at, ret)   (*(ret) = sim_shared, 0)
#define sys_shared_unmap(at, size)          ((void)(at))
#define sys_shared_commit(fd, offset, size) ((void)(fd), (void)(offset), 0)
#define sys_shared_punch(fd, offset, size)  (__builtin_memset(sim_shared + (offset), 0, (size)), 0)
#define sys_shared_dump(at, size)           ((void)(at))
#define sys_shared_size(fd)                 ((int64_t)SIM_SHARED_SIZE)
#define sys_shared_size_max()               ((uint64_t)INT64_MAX)
#define sys_shared_size_asked()             ((uint64_t)0)

#endif
