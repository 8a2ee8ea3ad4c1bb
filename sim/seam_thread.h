/* SPDX-License-Identifier: MIT */
/* The seam for threads in a build that explores schedules. Included by base/sys_thread.h under MOTET_SIM. */
#ifndef MOTET_SIM_SEAM_THREAD_H
#define MOTET_SIM_SEAM_THREAD_H

#include <seam_sys.h>

#define sys_thread_create(size, run, arg) sim_thread_create((run), (arg))
#define sys_thread_self()                 sim_thread_self()
#define sys_thread_join(t)                sim_thread_join(t)
#define sys_thread_is_main()              (sim_thread_self() == 1)
#define sys_thread_set_name(name)         sim_thread_set_name(name)
#define sys_stack_default()               ((size_t)65536)
#define sys_stack_min()                   ((size_t)32768)
#define sys_stack_round(size)             ((size_t)(size))

typedef unsigned sys_key;
#define SYS_KEY_ROUNDS       4
#define sys_key_create(k, f) sim_key_create((k), (f))
#define sys_key_set(k, v)    sim_key_set((k), (v))
#define sys_at_exit(run)     ((void)(run), 0)

#endif
