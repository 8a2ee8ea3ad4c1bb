#!/bin/sh
# SPDX-License-Identifier: MIT
# The schedule explorer: its memory model against C11, and every scenario at small, fixed counts. Skipped in builds with
# sanitizers, which don't have it.
sim=$1/sim/motet-sim
[ -x "$sim" ] || exit 77
"$sim" litmus || exit 1
