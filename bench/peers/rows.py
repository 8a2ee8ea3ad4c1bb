# SPDX-License-Identifier: MIT
"""What the peers in Python have in common: a command line, and rows that are measured and printed as those of bench/ are."""
import os
import statistics
import sys
import time

CPUS = sorted(os.sched_getaffinity(0))
quick, repeats = False, 9


def timed(fn):
    t = time.monotonic_ns()
    fn()
    return time.monotonic_ns() - t


def main(rows):
    """rows: {name: (unit, row)}; row() gives samples of ns an operation."""
    global quick, repeats
    args, wanted = sys.argv[1:], []
    while args:
        a = args.pop(0)
        if a == "--list":
            print("\n".join(rows))
            return 0
        elif a == "--quick":
            quick, repeats = True, 2
        elif a == "--repeats" and args and args[0].isdigit():
            repeats = int(args.pop(0))
        elif a in rows:
            wanted.append(a)
        else:
            print("%s: no row or option is called '%s'" % (os.path.basename(sys.argv[0]), a), file=sys.stderr)
            return 2
    for name in wanted or rows:
        unit, row = rows[name]
        os.sched_setaffinity(0, set(CPUS))
        ns = statistics.median(row())
        print("%s %.4f %s" % (name, ns if unit == "ns" else 1e9 / ns, unit), flush=True)
    return 0
