#!/bin/sh
# SPDX-License-Identifier: MIT
# The schedule explorer: its memory model against C11, then every scenario by its own plan at a tenth of its counts. The
# same schedules each time, whatever the machine. Skipped in builds with sanitizers, which don't have it.
sim=$1/sim/motet-sim
[ -x "$sim" ] || exit 77
"$sim" litmus && exec "$sim" run --scale 0.1
