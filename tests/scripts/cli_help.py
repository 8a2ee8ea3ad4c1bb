# SPDX-License-Identifier: MIT
"""What the tests of the command share. Nothing here depends on how fast the machine is: BOUND_S only ends a hang."""
import ctypes
import os
import subprocess
import sys
import tempfile
import time

BOUND_S = 60
MOTET = os.path.join(os.path.abspath(sys.argv[1]), "src", "cli", "motet")

# Orphans of what this process starts become its children: so it sees whatever the command leaves behind.
PR_SET_CHILD_SUBREAPER = 36
ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

failures = []
checks = 0


def check(condition, what, detail=""):
    global checks
    checks += 1
    if not condition:
        failures.append(what)
        print(f"not so: {what}\n{detail}", flush=True)


def same(got, wanted, what):
    check(got == wanted, what, f"  got    {got!r:.2000}\n  wanted {wanted!r:.2000}")


def nothing_left(what):
    """No process of a command that has ended is there, zombies included."""
    try:
        left = os.waitpid(-1, os.WNOHANG)
        check(False, what + ": leaves nothing", f"  waitpid says {left}")
        while True:
            os.kill(children()[0], 9)
            os.waitpid(-1, 0)
    except (ChildProcessError, IndexError):
        pass


def children():
    """Processes whose parent is this one."""
    found = []
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and int(open(f"/proc/{name}/stat").read().rsplit(")", 1)[1].split()[1]) == os.getpid():
                found.append(int(name))
        except (OSError, IndexError):
            pass
    return found


def run(*args, input=b"", what=None, **how):
    """The command to its end: exit code, standard output, standard error."""
    how.setdefault("stdout", subprocess.PIPE)
    how.setdefault("stderr", subprocess.PIPE)
    if "stdin" not in how:
        how["input"] = input
    done = subprocess.run([MOTET, "run", *args], timeout=BOUND_S, **how)
    nothing_left(what or str(args))
    return done.returncode, done.stdout, done.stderr


def await_true(condition, what):
    end = time.monotonic() + BOUND_S
    while not condition():
        if time.monotonic() > end:
            print(f"waited in vain: {what}", flush=True)
            os._exit(1)
        time.sleep(0.002)


def main(*tests):
    for test in tests:
        with tempfile.TemporaryDirectory(prefix="motet-test-") as folder:
            os.chdir(folder)
            test()
            os.chdir("/")
    print(f"{checks} checks, {len(failures)} failed")
    sys.exit(1 if failures or not checks else 0)
