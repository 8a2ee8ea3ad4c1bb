#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Python's threading, queue, concurrent.futures and subprocess, whose meaning Motet takes, measured as bench/ measures.

    stdlib.py [--quick] [--repeats N] [NAME...] | --list
"""
import multiprocessing
import os
import queue
import statistics
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import rows
from rows import CPUS, timed

CAPACITY = 1024
HERE = os.environ.get("MOTET_BENCH_BIN", os.path.dirname(os.path.abspath(__file__)))


def pin(i):
    os.sched_setaffinity(0, {CPUS[i % len(CPUS)]})


def measure(once, n_min, n_max, span_ms=60):
    """bench_measure: once(n) does n operations and gives how many ns they took. Samples of ns an operation."""
    span = 2e6 if rows.quick else span_ms * 1e6
    n = min(n_min, 20) if rows.quick else n_min
    while True:
        ns = once(n)
        if n >= n_max or ns >= 0.7 * span:
            break
        n = min(int(n * max(1.1, min(10, span / ns))) + 1, n_max)
    once(n)
    return [once(n) / n for _ in range(rows.repeats)]


def team(bodies):
    """Each body in a thread of its own, on the CPU beside it; ns from start to end."""
    barrier = threading.Barrier(len(bodies) + 1)

    def member(cpu, body):
        pin(cpu)
        barrier.wait()
        body()

    threads = [threading.Thread(target=member, args=b) for b in bodies]
    for t in threads:
        t.start()
    barrier.wait()
    return timed(lambda: [t.join() for t in threads])


def uncontended(new_lock):
    def row():
        pin(0)
        lock = new_lock()

        def once(n):
            acquire, release = lock.acquire, lock.release
            t = time.monotonic_ns()
            for _ in range(n):
                acquire()
                release()
            return time.monotonic_ns() - t

        return measure(once, 1000, 10**9)

    return row


FORK = multiprocessing.get_context("fork")


def two_processes(bodies):
    """Each body in a process of its own, on the CPU beside it; ns from when both are there to the last one's end."""
    barrier = FORK.Barrier(2)
    ends = FORK.Array("q", 4)

    def run(i):
        pin(i)
        barrier.wait()
        ends[i] = time.monotonic_ns()
        bodies[i]()
        ends[2 + i] = time.monotonic_ns()

    other = FORK.Process(target=run, args=(1,))
    other.start()
    run(0)
    other.join()
    assert other.exitcode == 0
    return max(ends[2:]) - max(ends[:2])


def shared_contended():
    lock, counter, stop = FORK.Lock(), FORK.RawValue("Q"), FORK.RawValue("b")

    def once(n):
        counter.value, stop.value = 0, 0

        def body():
            done = 0
            while done < n and not stop.value:
                lock.acquire()
                counter.value += 1
                lock.release()
                done += 1
            stop.value = 1

        ns = two_processes([body, body])
        return ns * n / counter.value

    return measure(once, 200, 10**9)


def shared_pingpong():
    there, back = FORK.Semaphore(0), FORK.Semaphore(0)

    def once(n):
        def ping():
            for _ in range(n):
                there.release()
                back.acquire()

        def pong():
            for _ in range(n):
                there.acquire()
                back.release()

        return two_processes([ping, pong])

    return measure(once, 200, 10**9)


def flow(side):
    q = queue.Queue(CAPACITY)

    def once(n):
        each = n // side + 1
        got = []

        def put(start):
            for k in range(start, start + each):
                q.put(k)

        def get():
            got.append(sum(q.get() for _ in range(each)))

        bodies = [(i, lambda i=i: put(i * each)) for i in range(side)] + [(i + 1, get) for i in range(side)]
        ns = team(bodies)
        assert sum(got) == sum(range(each * side))
        return ns * n / (each * side)

    return measure(once, 1000, 10**9)


def pingpong():
    there, back = queue.Queue(CAPACITY), queue.Queue(CAPACITY)

    def once(n):
        def ping():
            for k in range(n):
                there.put(k)
                assert back.get() == k

        def pong():
            for _ in range(n):
                back.put(there.get())

        return team([(0, ping), (1, pong)])

    return measure(once, 200, 10**9)


def square(x):
    return x * x


def pool_rows(run):
    def row():
        with ThreadPoolExecutor(len(CPUS)) as ex:
            return run(ex)

    return row


def submit(ex):
    def once(n):
        def body():
            for f in [ex.submit(square, 1) for _ in range(n)]:
                f.result()

        return timed(body)

    return measure(once, 1000, 100000, 200)


def window(ex):
    def once(n):
        def body():
            held = []
            for i in range(n):
                held.append(ex.submit(square, i))
                if i >= 4096:
                    held[i - 4096].result()
                    held[i - 4096] = None
            for f in held[-4096:]:
                f and f.result()

        return timed(body)

    return measure(once, 1000, 100000, 200)


def mapping(ex):
    return measure(lambda n: timed(lambda: list(ex.map(square, range(n)))), 1000, 100000, 100)


def one_worker(pinned, idle):
    def row():
        if pinned:
            pin(1)
        with ThreadPoolExecutor(1) as ex:
            def trip():
                ex.submit(square, 1).result()

            trip()
            if pinned:
                pin(0)
            if not idle:
                return measure(lambda n: timed(lambda: [trip() for _ in range(n)]), 200, 10**9)
            samples = []
            for r in range(rows.repeats + 1):
                v = []
                for _ in range(3 if rows.quick else 30):
                    time.sleep(0.002)
                    v.append(timed(trip))
                samples.append(statistics.median(v))
            return samples[1:]

    return row


def two_workers():
    with ThreadPoolExecutor(2) as ex:
        return measure(lambda n: timed(lambda: [ex.submit(square, 1).result() for _ in range(n)]), 200, 10**9)


def spawn(program):
    def once(n):
        return timed(lambda: [subprocess.run([program], check=True) for _ in range(n)])

    return lambda: measure(once, 10, 10**9, 100)


def jobs(program, count):
    """Output kept a job, as motet run and GNU parallel keep it."""
    def once(n):
        with ThreadPoolExecutor(len(CPUS)) as ex:
            def body():
                run = [ex.submit(subprocess.run, [program, str(i)], capture_output=True, check=True) for i in range(n)]
                for f in run:
                    f.result()

            return timed(body)

    def row():
        n = 10 if rows.quick else count
        return [once(n) / n for _ in range(min(rows.repeats, 2))]

    return row


NOLIBC = os.path.join(HERE, "motet-bench-nolibc")
ROWS = {
    "child.spawn.nolibc@python": ("ns", spawn(NOLIBC)),
    "child.spawn@python": ("ns", spawn("/bin/true")),
    "lock.shared.contended@python": ("pairs/s", shared_contended),
    "lock.shared.uncontended@python": ("ns", uncontended(FORK.Lock)),
    "lock.uncontended@python": ("ns", uncontended(threading.Lock)),
    "pool.thread.map@python": ("items/s", pool_rows(mapping)),
    "pool.thread.roundtrip.2w@python": ("ns", two_workers),
    "pool.thread.roundtrip.asleep@python": ("ns", one_worker(True, True)),
    "pool.thread.roundtrip.idle@python": ("ns", one_worker(False, True)),
    "pool.thread.roundtrip@python": ("ns", one_worker(True, False)),
    "pool.thread.submit.window@python": ("tasks/s", pool_rows(window)),
    "pool.thread.submit@python": ("tasks/s", pool_rows(submit)),
    "queue.thread.1p1c@python": ("items/s", lambda: flow(1)),
    "queue.thread.4p4c@python": ("items/s", lambda: flow(4)),
    "queue.thread.pingpong@python": ("ns", pingpong),
    "run.jobs.true@python": ("jobs/s", jobs("/bin/true", 500)),
    "run.jobs@python": ("jobs/s", jobs(NOLIBC, 1000)),
    "semaphore.shared.pingpong@python": ("ns", shared_pingpong),
}

if __name__ == "__main__":
    sys.exit(rows.main(ROWS))
