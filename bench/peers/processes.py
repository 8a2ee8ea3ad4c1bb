#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Python's multiprocessing.Process, started and joined, by its three start methods; the program small, and with 1 GiB.

    processes.py [--quick] [--repeats N] [NAME...] | --list
"""
import multiprocessing
import sys

import rows


def nothing():
    pass


def row(method, size):
    def measure():
        memory = bytearray(size // 16 if rows.quick else size)
        memory[::4096] = b"x" * len(memory[::4096])
        context = multiprocessing.get_context(method)

        def once():
            p = context.Process(target=nothing)
            p.start()
            p.join()
            assert p.exitcode == 0

        def many(n):
            return rows.timed(lambda: [once() for _ in range(n)]) / n

        n = 2 if rows.quick else 5
        many(n)  # the fork server starts with the first
        return [many(n) for _ in range(min(rows.repeats, 3))]

    return measure


ROWS = {}
for method in ("forkserver", "fork", "spawn"):
    ROWS["process.start.%s@python" % method] = ("ns", row(method, 0))
    ROWS["process.start.%s.1g@python" % method] = ("ns", row(method, 1 << 30))


if __name__ == "__main__":
    sys.exit(rows.main(ROWS))
