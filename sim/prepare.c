/* SPDX-License-Identifier: MIT */
/* What motet does once in a program's life is done before the first execution, so that no search looks at it. */
#include "engine.h"

#include "seam_sys.h"

void sim_prepare(void) {}
