#!/bin/sh
# SPDX-License-Identifier: MIT
# The schedule explorer: its memory model against C11, with all schedules and with equivalent ones left out; scenarios that must
# come to as many different ends with equivalent schedules left out as with all; then every scenario by its own plan at a
# small part of its counts. The same schedules each time, whatever the machine. Skipped in
# builds with sanitizers, which don't have it.
sim=$1/sim/motet-sim
[ -x "$sim" ] || exit 77
"$sim" litmus && "$sim" litmus --plain || exit 1

# same BOUND [OPTION...] SCENARIO...: the same ends, whether schedules are left out or not.
same() {
    "$sim" run --ends --bound "$@" | sed -n 's/^\([a-z_]*\) .* \([0-9]* ends\).*/\1 \2/p' >"$ends.less" || return 1
    "$sim" run --ends --plain --bound "$@" | sed -n 's/^\([a-z_]*\) .* \([0-9]* ends\).*/\1 \2/p' >"$ends.all" || return 1
    [ -s "$ends.all" ] && diff "$ends.all" "$ends.less"
}
ends=${TMPDIR:-/tmp}/motet-sim-ends.$$
trap 'rm -f "$ends.less" "$ends.all"' EXIT
locks='guard_two guard_three lock_two lock_three latch_two event_set futex_lock once_three rlock_two barrier_two'
waits='park_wake park_wake_two park_wake_spinning park_two_keys timer_cancel future_deadline future_complete_cancel condition_notify'
others='thread_join ring_steal semaphore_deadline rwlock_two_writers queue_lifo queue_fifo_full select_put_or_event ring_deaths'
same 2 $locks $waits $others && same 1 --weak $locks park_wake park_wake_two ring_steal &&
    same 1 --faults 1 $locks $waits $others && same 0 --faults 2 ring_deaths ring_deaths_three barrier_two ||
    { echo 'schedules that differ are taken for equivalent'; exit 1; }
echo 'as many ends as without reduction'

"$sim" run --scale 0.005 --jobs 2 || exit 1

# A failure's seed repeats it, and says who did what; a word that is no seed is refused.
seed=$("$sim" run broken_lock_no_wake --verbose | sed -n 's/^ *replay: //p')
"$sim" replay "$seed" >"${TMPDIR:-/tmp}/motet-sim.$$" && code=0 || code=$?
grep -q 'lost wakeup' "${TMPDIR:-/tmp}/motet-sim.$$" && grep -q 'futex wait: sleeps' "${TMPDIR:-/tmp}/motet-sim.$$"
found=$?
rm -f "${TMPDIR:-/tmp}/motet-sim.$$"
[ $code -eq 1 ] && [ $found -eq 0 ] || exit 1
"$sim" replay nonsense 2>/dev/null && exit 1
exit 0
