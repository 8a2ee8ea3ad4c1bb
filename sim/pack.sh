#!/bin/sh
# SPDX-License-Identifier: MIT
# pack.sh OUTPUT LIBRARY... -- COMPILER...
#
# Makes one static library of several, of a single object in which only the names are left that a user's program may see:
# motet's own, main, and what compiler and linker call.
set -eu
output=$1 libraries=
shift
while [ "$1" != -- ]; do
    libraries="$libraries $1"
    shift
done
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# shellcheck disable=SC2086
"$@" -r -nostdlib -Wl,--wrap=motet__panic -o "$work/motet-sim.o" -Wl,--whole-archive $libraries -Wl,--no-whole-archive
"$("$@" -print-prog-name=objcopy)" -w -G 'motet_*' -G main -G '__tsan_*' -G '__wrap_*' "$work/motet-sim.o"
rm -f "$output"
"$("$@" -print-prog-name=ar)" rcs "$output" "$work/motet-sim.o"
