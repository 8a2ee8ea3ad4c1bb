#!/bin/sh
# SPDX-License-Identifier: MIT
# No file includes what stands on its floor or above, and the tool that says so is able to see it.
cd "$(dirname "$0")/../.." || exit 1
tools/check-layers --self-test && tools/check-layers
