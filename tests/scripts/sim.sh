#!/bin/sh
# SPDX-License-Identifier: MIT
# The schedule explorer: its memory model against C11, with all schedules and with equivalent ones left out; then every
# scenario by its own plan at a twentieth of its counts. The same schedules each time, whatever the machine. Skipped in
# builds with sanitizers, which don't have it.
sim=$1/sim/motet-sim
[ -x "$sim" ] || exit 77
"$sim" litmus && "$sim" litmus --plain && "$sim" run --scale 0.05 || exit 1

# A failure's seed repeats it, and says who did what; a word that is no seed is refused.
seed=$("$sim" run broken_lock_no_wake --verbose | sed -n 's/^ *replay: //p')
"$sim" replay "$seed" >"${TMPDIR:-/tmp}/motet-sim.$$" && code=0 || code=$?
grep -q 'lost wakeup' "${TMPDIR:-/tmp}/motet-sim.$$" && grep -q 'futex wait: sleeps' "${TMPDIR:-/tmp}/motet-sim.$$"
found=$?
rm -f "${TMPDIR:-/tmp}/motet-sim.$$"
[ $code -eq 1 ] && [ $found -eq 0 ] || exit 1
"$sim" replay nonsense 2>/dev/null && exit 1
exit 0
