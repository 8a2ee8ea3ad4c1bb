#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Proves the runner: each deliberately bad test of runner-victims must be reported, and for the right reason."""
import os
import re
import subprocess
import sys
import tempfile
import time

BUILD = sys.argv[1]
VICTIMS = os.path.join(BUILD, "tests", "runner-victims")
GRACE = ["--grace", "300"]

# What the report of each victim must hold (regular expressions).
REPORTS = {
    "check_false": [r"tests/runner_victims\.c:\d+: CHECK\(1 \+ 1 == 3\)\n"],
    "check_eq": [r"CHECK_EQ\(n, 6 - 2\): 5, 4\n", r"before the check"],
    "check_str": [r'CHECK_STR\("left", "right"\): "left", "right"\n'],
    "check_str_null": [r'CHECK_STR\(NULL, "right"\): NULL, "right"\n'],
    "check_ptr": [r"CHECK_PTR\(.*\): 0x10, (\(nil\)|0)\n"],
    "check_mem": [r"CHECK_MEM\(.*\): byte 2 is 0x63, 0x58\n"],
    "check_in_thread": [r"CHECK_PTR\(arg, &arg\).*\[thread .*\]\n"],
    "check_in_child": [r"in the child"],
    "check_without_stderr": [r"heard all the same"],
    "crash": [r"died by signal 11|exited with code \d+; expected 0"],  # the second: a sanitizer's own handler
    "stops_early": [r"exited before its body had returned"],
    "wrong_exit_code": [r"exited with code 4; expected 0"],
    "expected_code_missing": [r"exited with code 0; expected 3"],
    "expected_signal_missing": [r"exited with code 0; expected to die by signal 6"],
    "other_signal": [r"died by signal 15"],
    "timeout": [r"timed out after \d+\.000 s", r"\(sleeper\): state S, wchan .*, syscall ", r"(?s)process \d+.*process \d+"],
    "leaks_fd": [r"leaked fd: 3 \(/dev/null\)"],
    "closes_foreign_fd": [r"closed an fd that was not its own: 0"],
    "leaks_thread": [r"leaked thread: \d+ \(sleeper\)"],
    "leaks_zombie": [r"leaked child: \d+ has ended and was not waited for"],
    "leaks_child": [r"leaked child: a child process still runs", r"leaked processes, alive after the end:"],
    "leaks_daemon": [r"leaked processes, alive after the end:\n  process \d+"],
    "leaks_malloc": [r"leaked memory: 1 blocks, 48 bytes", r"allocated at 0x"],
    "leaks_each": [r"leaked memory: 7 blocks, "],
    "at_exit_fails": [r"at exit"],
    "at_exit_skipped": [r"its \.at_exit did not run"],
    "fork_returns": [r"a process that the test forked returned from the test's body"],
    "prints": [r"--- its output ---\nwithout a newline\n  ---\n"],
}

failures = []


def expect(condition, what, text=""):
    if not condition:
        failures.append(what)
        print(f"not so: {what}\n{text}", flush=True)


def run(*args, **how):
    done = subprocess.run([VICTIMS, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=100, **how)
    return done.returncode, done.stdout.decode(errors="replace")


def last_line(text):
    return text.rstrip("\n").rsplit("\n", 1)[-1]


def reports_all():
    """One run of everything; each job's report is what follows its line."""
    code, text = run(*GRACE, "-j", "4")
    expect(code == 1, "a run with failures exits 1", text)
    parts = re.split(r"(?m)^(FAIL|skip|ok  ) runner_victims\.(\w+) \(\d+\.\d+ s\)\n", text)
    found = {parts[i + 1]: (parts[i], parts[i + 2]) for i in range(1, len(parts), 3)}
    for name, patterns in REPORTS.items():
        word, report = found.get(name, ("nothing", ""))
        expect(word == "FAIL", f"{name} is reported as failed, not {word}", report)
        for pattern in patterns:
            expect(re.search(pattern, report), f"the report of {name} holds {pattern}", report)
    expect("passes" not in found, "a test that passes is silent", text)
    expect(found.get("skipped", ("", ""))[0] == "skip", "a skipped test is named so", text)
    expect("no such thing here" in found.get("skipped", ("", ""))[1], "a skip says why", text)
    expect(set(found) == set(REPORTS) | {"skipped"}, "every victim is expected: " + str(set(found) ^ set(REPORTS)))
    expect(last_line(text) == f"1 passed, {len(REPORTS)} failed, 1 skipped", "the last line counts", last_line(text))


def selects():
    code, text = run("victims.passes")
    expect((code, text) == (0, "1 passed, 0 failed\n"), "one that passes: exit 0", text)
    code, text = run("-v", "*.pass*")
    expect(code == 0 and "a quiet line" in text and "ok   runner_victims.passes" in text, "-v shows the log", text)
    code, text = run("-r", "3", "passes")
    expect((code, last_line(text)) == (0, "3 passed, 0 failed"), "-r repeats", text)
    code, text = run("no-such-test")
    expect((code, last_line(text)) == (1, "0 passed, 0 failed"), "nothing run is no success", text)
    code, text = run("victims.skipped")
    expect((code, last_line(text)) == (1, "0 passed, 0 failed, 1 skipped"), "only skipped is no success", text)
    code, text = run("-l", "check_eq")
    expect((code, text) == (0, "runner_victims.check_eq\n"), "-l lists", text)
    for bad in (["-j", "x"], ["-j", "0"], ["--no-such"], ["-r", ""], ["--scripts", "/no/such"], ["--build", "/no/such"]):
        code, text = run(*bad)
        expect(code == 2, f"{bad} is refused", text)


def scripts():
    with tempfile.TemporaryDirectory() as folder:
        def script(name, body, mode=0o755):
            path = os.path.join(folder, name)
            with open(path, "w") as out:
                out.write(body)
            os.chmod(path, mode)
        script("good.sh", '#!/bin/sh\ntest "$1" = "' + os.path.realpath(BUILD) + '"\n')
        script("bad.sh", "#!/bin/sh\necho the reason\nexit 3\n")
        script("skips.py", "#!/usr/bin/env python3\nprint('not here')\nraise SystemExit(77)\n")
        script("helper.sh", "exit 1\n", 0o644)
        script("leaks.sh", "#!/bin/sh\nsleep 1000 >/dev/null 2>&1 &\nexit 0\n")
        code, text = run(*GRACE, "--scripts", folder, "--build", BUILD, "scripts.")
        expect(last_line(text) == "1 passed, 2 failed, 1 skipped", "scripts are counted", text)
        expect("exited with code 3" in text and "the reason" in text, "a failing script is shown", text)
        expect("not here" in text, "a skipping script says why", text)
        expect(re.search(r"scripts\.leaks(.*\n)+.*leaked processes", text), "a script's survivors are found", text)


def hostile_surroundings():
    """Closed fds, an empty environment, ignored and blocked signals, odd inherited fds."""
    alive = ("victims.passes",)
    code, text = run(*alive, env={})
    expect(code == 0, "an empty environment does", text)
    for closed in ("<&-", "2>&-", "<&- 2>&-"):
        code = subprocess.run(["sh", "-c", f'exec "$0" victims.passes {closed}', VICTIMS],
                              stdout=subprocess.DEVNULL).returncode
        expect(code == 0, f"runs with {closed}")
    code = subprocess.run(["sh", "-c", 'trap "" PIPE CHLD INT TERM; exec "$0" victims.passes 7</dev/null', VICTIMS],
                          stdout=subprocess.DEVNULL).returncode
    expect(code == 0, "runs with signals ignored and fds inherited")


def nothing_survives_the_runner():
    """A killed runner's tests end with it."""
    process = subprocess.Popen([VICTIMS, "-t", "20", "victims.timeout"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               start_new_session=True)
    mine = []
    while not mine and process.poll() is None:  # until the guard has started the test
        time.sleep(0.01)
        guards = children(process.pid)
        mine = [pid for guard in guards for pid in children(guard)]
    process.kill()
    process.wait()
    for pid in mine:
        while os.path.exists(f"/proc/{pid}") and state(pid) not in "ZX":
            time.sleep(0.01)


def stat(pid):
    try:
        with open(f"/proc/{pid}/stat") as text:
            return text.read().rsplit(")", 1)[1].split()
    except OSError:
        return ["X", "0"]


def state(pid):
    return stat(pid)[0]


def children(parent):
    return [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and stat(pid)[1] == str(parent)]


reports_all()
selects()
scripts()
hostile_surroundings()
nothing_survives_the_runner()
print(f"{len(failures)} failures")
sys.exit(1 if failures else 0)
