#!/bin/sh
# SPDX-License-Identifier: MIT
# Members of a family are killed at random, its zygote and guard too, and whole families by their root: the books balance.
chaos=$1/tests/chaos/motet-chaos
"$chaos" --kills 60 --roots 10 --quiet && "$chaos" --kills 30 --workers 8 --roots 0 --seed 7 --quiet || exit 1
"$chaos" --workers 99 2>/dev/null
[ $? -eq 2 ]
