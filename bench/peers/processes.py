#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Python's multiprocessing.Process, started and joined, by its three start methods; the program small, and with 1 GiB.

    processes.py [--quick] [--repeats N] [NAME...] | --list
"""
import multiprocessing
import statistics
import sys
import time

quick, repeats = False, 9


def nothing():
    pass


def row(method, size):
    def measure():
        memory = bytearray(size // 16 if quick else size)
        memory[::4096] = b"x" * len(memory[::4096])
        context = multiprocessing.get_context(method)

        def once(n):
            t = time.monotonic_ns()
            for _ in range(n):
                p = context.Process(target=nothing)
                p.start()
                p.join()
                assert p.exitcode == 0
            return (time.monotonic_ns() - t) / n

        n = 2 if quick else 5
        once(n)  # the fork server starts with the first
        return [once(n) for _ in range(min(repeats, 3))]

    return measure


ROWS = {}
for method in ("forkserver", "fork", "spawn"):
    ROWS["process.start.%s@python" % method] = row(method, 0)
    ROWS["process.start.%s.1g@python" % method] = row(method, 1 << 30)


def main(args):
    global quick, repeats
    wanted = []
    while args:
        a = args.pop(0)
        if a == "--list":
            print("\n".join(ROWS))
            return 0
        elif a == "--quick":
            quick, repeats = True, 2
        elif a == "--repeats" and args and args[0].isdigit():
            repeats = int(args.pop(0))
        elif a in ROWS:
            wanted.append(a)
        else:
            print("processes.py: what is '%s'?" % a, file=sys.stderr)
            return 2
    for name in wanted or ROWS:
        samples = ROWS[name]()
        print("%s %.4f ns" % (name, statistics.median(samples)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
