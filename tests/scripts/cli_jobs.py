#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""motet run: outputs whole and in order, exit codes, many inputs, any surroundings."""
import os
import re
import resource
import subprocess
import sys

sys.dont_write_bytecode = True  # leave the source as it is
from cli_help import MOTET, check, main, run, same  # noqa: E402



def grouped():
    """Every job writes to both streams in turn; both go to one pipe. Its lines stay together."""
    script = "for i in 1 2 3 4 5; do echo $1 out $i; echo $1 err $i >&2; done"
    names = [str(n) for n in range(60)]
    _, out, _ = run("-j8", "sh", "-c", script, "sh", "{}", ":::", *names, stderr=subprocess.STDOUT)
    lines = out.decode().splitlines()
    same(len(lines), 600, "all lines are there")
    for at in range(0, len(lines), 10):
        name = lines[at].split()[0]
        wanted = [f"{name} {s} {i}" for s in ("out", "err") for i in range(1, 6)]
        same(lines[at:at + 10], wanted, f"the lines of job {name} stay together")
    same(sorted({line.split()[0] for line in lines}, key=int), names, "each job once")


def ordered():
    """The first job ends after all others have: with -k its output still comes first."""
    script = 'if [ $1 = 1 ]; then while [ ! -e go ]; do sleep 0.01; done; fi; echo $1; [ $1 != 8 ] || touch go'
    inputs = [str(n) for n in range(1, 9)]
    _, out, _ = run("-k", "-j2", "sh", "-c", script, "sh", "{}", ":::", *inputs)
    same(out.decode().split(), inputs, "-k keeps the order")
    os.unlink("go")
    _, out, _ = run("-j2", "sh", "-c", script, "sh", "{}", ":::", *inputs)
    same(out.decode().split()[:6], inputs[1:7], "without it they come as they end")
    os.unlink("go")
    # More jobs than may wait for the first: it must end by itself then.
    numbers = [str(n) for n in range(1, 1501)]
    script = "[ $1 != 1 ] || sleep 0.2; echo $1"
    _, out, _ = run("--keep-order", "-j3", "sh", "-c", script, "sh", "{}", input="\n".join(numbers).encode())
    same(out.decode().split(), numbers, "-k of many")


def large():
    """More than is kept in memory, in order and not, on both streams, text that differs by place."""
    script = "seq -f '%09.0f '$1 60000; seq -f '%09.0f err'$1 30000 >&2"
    wanted_out = {n: "".join(f"{i:09d} {n}\n" for i in range(1, 60001)) for n in "abcd"}
    wanted_err = {n: "".join(f"{i:09d} err{n}\n" for i in range(1, 30001)) for n in "abcd"}
    code, out, err = run("-k", "-j4", "sh", "-c", script, "sh", "{}", ":::", *"abcd")
    same(code, 0, "large outputs")
    check(out.decode() == "".join(wanted_out[n] for n in "abcd"), "large outputs in order are whole")
    check(err.decode() == "".join(wanted_err[n] for n in "abcd"), "large errors in order are whole")
    code, out, err = run("-j4", "sh", "-c", script, "sh", "{}", ":::", *"abcd")
    text = out.decode()
    for n in "abcd":
        check(wanted_out[n] in text, f"the large output of {n} is whole")
    same(len(text), sum(map(len, wanted_out.values())), "and nothing else is there")
    code, _, err = run("sh", "-c", script, "sh", "{}", ":::", "a", env=dict(os.environ, TMPDIR="/nonexistent"))
    same(code, 255, "no place for a large output")
    check(b"temporary file" in err, "it says so", err[-300:])


def exit_codes():
    same(run("true", ":::", "1", "2")[0], 0, "all succeed")
    same(run("sh", "-c", "exit $1", "sh", ":::", "0", "1", "0", "255")[0], 2, "two fail")
    same(run("sh", "-c", "kill -$1 $$", "sh", ":::", "9", "15", "0")[0], 2, "a signal is a failure")
    same(run("false", input=b"\n" * 100)[0], 100, "a hundred fail")
    same(run("false", input=b"\n" * 101)[0], 101, "more fail")
    same(run("false", input=b"\n" * 300)[0], 101, "many fail")
    with open("raw", "w") as f:
        f.write("exit 0\n")
    os.chmod("raw", 0o700)
    code, _, err = run("./raw", ":::", "x")
    same(code, 1, "what is no program fails as a job")
    check(b"./raw" in err, "it is named", err)


def many():
    numbers = [str(n) for n in range(10000)]
    code, out, err = run("--summary", "-j4", "echo", input="\n".join(numbers).encode())
    same(code, 0, "ten thousand")
    same(sorted(out.decode().split(), key=int), numbers, "each once")
    check(re.fullmatch(rb"motet run: 10000 jobs, 0 failed, [\d.]+ s, \d+ jobs/s\n", err), "the summary", err)
    same(run("--summary", "-q", "true", ":::", "x")[2], b"", "-q: no summary")
    same(run("true", ":::", "x")[2], b"", "no summary without a terminal")
    check(b"motet run: 1 job, 1 failed" in run("--summary", "false", ":::", "x")[2], "a summary of one")
    same(run("-j", "500", "echo", input=b"x\n" * 600)[:2], (0, b"x\n" * 600), "many at once")
    code, out, _ = run("-j", "500", "echo", input=b"x\n" * 600,
                       preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40)))
    same((code, out), (0, b"x\n" * 600), "more at once than there are descriptors for")


def surroundings():
    same(run("cat", ":::", "/dev/null", stdin=None)[0], 0, "standard input as it is")
    same(run("sh", "-c", "wc -c; echo $1", "sh", input=b"a\nb\n", what="stdin of jobs")[1].split().count(b"0"), 2,
         "jobs don't read the lines")
    same(run("echo", ":::", "x", env={})[1], b"x\n", "an empty environment")
    # Inputs that come slowly: a job runs before the next is there.
    p = subprocess.Popen([MOTET, "run", "echo"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    for word in (b"one\n", b"two\n"):
        p.stdin.write(word)
        same(p.stdout.readline(), word, "a line is used when it is there")
    p.stdin.close()
    same(p.wait(), 0, "inputs that come slowly")
    p.stdout.close()
    for fds in ([0], [1], [2], [0, 1, 2]):
        code, out, err = run("true", ":::", "x", stdin=None, preexec_fn=lambda: [os.close(fd) for fd in fds])
        same(code, 0, f"{fds} closed")
    code, out, err = run("echo", ":::", "x", stdin=None, preexec_fn=lambda: os.close(0))
    same((code, out), (0, b"x\n"), "standard input closed")
    code, out, err = run("echo", stdin=None, preexec_fn=lambda: os.close(0))
    same((code, out), (2, b""), "lines from a closed standard input")
    check(b"standard input" in err, "it is named", err)
    code, out, err = run("echo", ":::", "x", preexec_fn=lambda: os.close(1))
    same(code, 255, "standard output closed")
    check(b"standard output" in err, "it is named", err)
    with open("/dev/full", "wb") as full:
        code, _, err = run("echo", ":::", "x", stdout=full)
        same(code, 255, "a full disk")
        check(b"standard output" in err and b"No space" in err, "it says so", err)
        code, _, err = run("--help", stdout=full)
        same(code, 255, "help to a full disk")
    # A process that a job leaves behind holds its pipes open; the job is over all the same. It is this script's child then.
    done = subprocess.run([MOTET, "run", "sh", "-c", "sleep 1000 & echo $!", ":::", "x"], stdout=subprocess.PIPE, timeout=60)
    same(done.returncode, 0, "a job that leaves a process behind")
    os.kill(int(done.stdout), 9)
    os.waitpid(int(done.stdout), 0)


main(grouped, ordered, large, exit_codes, many, surroundings)
