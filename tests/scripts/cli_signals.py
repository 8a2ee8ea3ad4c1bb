#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""motet run: however it is ended, it leaves nothing. Orphans become children of this script, which would see them."""
import glob
import os
import signal
import subprocess
import sys

sys.dont_write_bytecode = True  # leave the source as it is
from cli_help import BOUND_S, MOTET, await_true, check, main, nothing_left, same  # noqa: E402



def start(script, *inputs, options=("-j4",), **how):
    """Starts jobs of a shell script, which say that they are ready by a file of the input's name."""
    for name in glob.glob("ready-*"):
        os.unlink(name)
    words = [MOTET, "run", *options, "sh", "-c", script, "sh", "{}", ":::", *inputs]
    how.setdefault("stdout", subprocess.PIPE)
    return subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, **how)


def await_ready(n):
    await_true(lambda: len(glob.glob("ready-*")) >= n, f"{n} jobs")


def ends(p, code, what):
    out, err = p.communicate(timeout=BOUND_S)
    same(p.returncode, code, f"{what}: exit code")
    nothing_left(what)
    return out, err


JOBS = {
    "plain jobs": ": >ready-$1; exec sleep 1000",
    "jobs with children": "sleep 1000 & sleep 1000 & : >ready-$1; wait",
    "jobs that ignore TERM": "trap '' TERM HUP INT QUIT; sleep 1000 & : >ready-$1; while :; do sleep 1000; done",
    "jobs in sessions of their own": "setsid sh -c 'trap \"\" TERM; : >ready-'$1'; sleep 1000' & wait",
    "daemons that outlive their jobs": "setsid sh -c ': >ready-'$1'; exec sleep 1000' >/dev/null 2>&1 & [ $1 = a ] || exec sleep 1000",
    "stopped jobs": ": >ready-$1; kill -STOP $$; sleep 1000",
    "jobs that write without end": ": >ready-$1; exec yes",
}


def every_signal():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        p = start(JOBS["plain jobs"], *"abcdefgh")
        await_ready(4)
        p.send_signal(number)
        out, err = ends(p, 128 + number, f"signal {number}")
        same((out, err), (b"", b""), f"signal {number}: silent")
        same(len(glob.glob("ready-*")), 4, f"signal {number}: no job was started afterwards")


def every_job():
    for name, script in JOBS.items():
        p = start(script, *"abc")
        await_ready(3)
        p.terminate()
        ends(p, 143, name)


def twice():
    """The second signal doesn't wait for the grace to be over; whether or not it came in time, all is gone."""
    p = start(JOBS["jobs that ignore TERM"], *"abcd")
    await_ready(4)
    p.send_signal(signal.SIGINT)
    p.send_signal(signal.SIGINT)
    ends(p, 130, "two signals")


def jobs_clean_up():
    p = start("trap 'echo bye >cleaned-'$1'; exit' TERM; : >ready-$1; while :; do sleep 0.01; done", *"ab")
    await_ready(2)
    p.terminate()
    ends(p, 143, "jobs that clean up")
    same(sorted(glob.glob("cleaned-*")), ["cleaned-a", "cleaned-b"], "they were given the time for it")


def finished_output_stays():
    p = start('if [ $1 = a ]; then echo done; else : >ready-$1; exec sleep 1000; fi', *"ab")
    same(p.stdout.readline(), b"done\n", "a finished job's output is out at once")
    await_ready(1)
    p.terminate()
    ends(p, 143, "after one has finished")


def ignored_signals():
    """As under nohup, or in the background of a shell without job control."""
    def ignore():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    p = start(": >ready-$1; while [ ! -e go ]; do sleep 0.01; done; echo end", "a", preexec_fn=ignore)
    await_ready(1)
    p.send_signal(signal.SIGINT)
    p.send_signal(signal.SIGHUP)
    open("go", "w").close()
    same(ends(p, 0, "ignored signals")[0], b"end\n", "it went on")


def waiting_for_input():
    p = subprocess.Popen([MOTET, "run", "echo"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    p.stdin.write(b"one\n")
    p.stdin.flush()
    same(p.stdout.readline(), b"one\n", "a line is used")
    p.terminate()
    same(p.wait(BOUND_S), 143, "it waits for input")
    for f in (p.stdin, p.stdout, p.stderr):
        f.close()
    nothing_left("it waits for input")


def blocked_output():
    """Its own output is full when the signal comes: nobody reads the pipe."""
    reader, writer = os.pipe()
    p = start("head -c 1000000 /dev/zero; : >ready-$1", *"abcdef", options=["-j2"], stdout=writer)
    os.close(writer)
    await_ready(1)
    p.terminate()
    same(p.wait(BOUND_S), 143, "blocked output")
    p.stderr.close()
    nothing_left("blocked output")
    os.close(reader)


def reader_goes():
    p = start("[ $1 = 1 ] || while [ ! -e gone ]; do sleep 0.01; done; echo $1; : >ready-$1", *map(str, range(1, 2000)))
    same(p.stdout.readline(), b"1\n", "the first line")
    p.stdout.close()
    open("gone", "w").close()
    same(p.wait(BOUND_S), 141, "the reader is gone: exit code")
    same(p.stderr.read(), b"", "the reader is gone: silent")
    p.stderr.close()
    nothing_left("the reader is gone")
    check(len(glob.glob("ready-*")) < 1999, "it did not go on")


def killed():
    """What nobody can catch: the jobs go with it."""
    p = start(JOBS["plain jobs"], *"abc")
    await_ready(3)
    p.kill()
    same(p.wait(BOUND_S), -9, "killed")
    for _ in range(3):
        same(os.waitpid(-1, 0)[1], signal.SIGKILL, "a job of a killed command is killed")
    p.stdout.close()
    p.stderr.close()
    nothing_left("killed")


main(every_signal, every_job, twice, jobs_clean_up, finished_output_stays, ignored_signals, waiting_for_input, blocked_output,
     reader_goes, killed)
