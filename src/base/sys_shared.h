/* SPDX-License-Identifier: MIT */
/* The seam for memory that processes share: one unnamed file in memory, mapped as a whole. As in sys.h all return 0 or a
 * positive answer, or a negative errno.
 *
 * The file has its full size from the beginning and can't be given another (it is sealed), but no memory. What is used is
 * committed first: only then is touching it sure not to end in SIGBUS. */
#ifndef MOTET_BASE_SYS_SHARED_H
#define MOTET_BASE_SYS_SHARED_H

#include "base/sys.h"

#include <stdbool.h>

#ifdef MOTET_SIM
#include <seam_shared.h> /* of sim/ */
#else

enum { SYS_PAGE_MAX = 65536 }; /* no Linux has larger ones: what is a multiple of it is one of the page */

/* A new file of `size` bytes: its descriptor, close-on-exec and above 2. -EFBIG: larger than the process's files may be
 * (no signal is raised); -ENOMEM; -EMFILE, -ENFILE; -ENOSYS, -EPERM: not on this system. */
int sys_shared_create(size_t size);

/* Maps the whole file. `at`: there or not at all (-EEXIST: something else is there; -ENOMEM: no such place, or not for
 * so much); NULL: at a place that a process which executes the same program anew can most likely have too. */
int sys_shared_map(int fd, size_t size, void *at, void **ret);

void sys_shared_unmap(void *at, size_t size);

/* Makes the pages of [offset, offset + size) be there, zeroed where they were not. -ENOMEM: no memory. What was committed
 * before the failure may stay. */
int sys_shared_commit(int fd, uint64_t offset, uint64_t size);

/* Gives them back: they read as zeroes, and must be committed again. An error (then they are as they were) is not passed
 * over: the caller wipes them. */
int sys_shared_punch(int fd, uint64_t offset, uint64_t size);

/* Says that this part of the mapping belongs in a core dump of the process. Nothing of it does at first: the kernel would
 * commit all that it writes there. */
void sys_shared_dump(void *at, size_t size);

/* The size of that file in bytes; -errno. */
int64_t sys_shared_size(int fd);

/* How large the process's files may be. */
uint64_t sys_shared_size_max(void);

/* The value of MOTET_ARENA_SIZE in the environment: a number of bytes, or of KiB, MiB, GiB with K, M, G behind it; 0:
 * there is none, or it is none of these. */
uint64_t sys_shared_size_asked(void);

#endif /* MOTET_SIM */

#endif
