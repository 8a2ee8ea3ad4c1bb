#!/bin/sh
# SPDX-License-Identifier: MIT
# The benchmarks can be listed and run; how fast they are is not this test's affair. Argument: the build directory.
exec "$(dirname "$0")/../../bench/smoke-test" "$1"
