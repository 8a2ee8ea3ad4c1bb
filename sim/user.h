/* SPDX-License-Identifier: MIT */
/* What the installed library has beside the engine: sim/user*.c. None of it is in the program motet-sim. */
#ifndef MOTET_SIM_USER_H
#define MOTET_SIM_USER_H

#include "engine.h"

/* An `at` of the engine's for a place in the user's program: "file:line|function". `pc` is a return address. */
const char *sim_user_at(const void *pc);

#define USER_AT sim_user_at(__builtin_return_address(0))

#endif
