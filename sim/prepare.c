/* SPDX-License-Identifier: MIT */
/* What motet does once in a program's life is done before the first execution, so that no search looks at it. */
#include "engine.h"

#include "base/spin.h"
#include "park/park.h"

void sim_prepare(void) { motet__park_allowed(); }

bool motet__spin_pays(void) { return S && S->cpus > 1; }
