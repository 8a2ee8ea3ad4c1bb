#!/bin/sh
# SPDX-License-Identifier: MIT
# The patches of the bug museum apply to the code as it stands. (That each is found: tests/museum/run.)
exec "$(dirname "$0")/../museum/run" --check
