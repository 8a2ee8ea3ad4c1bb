# SPDX-License-Identifier: MIT
"""A scratch copy of the repository in which code may be broken on purpose: copied, built, changed, built again.

Used by tools/mutate and tests/museum/run. Only files that differ are copied, so a second run compiles little.
"""
import fcntl
import io
import os
import re
import subprocess
import tarfile
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TEST, SIM, FAULTS = "tests/motet-test", "sim/motet-sim", "tests/faults/motet-faults"

# What mutants need that the seam doesn't have: included before every file of the copy.
MUTANT_HEADER = """
#include <stdbool.h>
#ifdef MOTET_SIM
#define MUTANT_RMW(p, w, v, o) SIM_RMW(p, SIM_##w, v, SIM_##o)
#else
enum { MUTANT_RLX = __ATOMIC_RELAXED, MUTANT_ACQ = __ATOMIC_ACQUIRE, MUTANT_REL = __ATOMIC_RELEASE };
#define MUTANT_XCHG __atomic_exchange_n
#define MUTANT_SUB __atomic_fetch_sub
#define MUTANT_OR __atomic_fetch_or
#define MUTANT_AND __atomic_fetch_and
#define MUTANT_RMW(p, w, v, o) MUTANT_##w((p), (v), MUTANT_##o)
#endif
#define atomic_exchange_relaxed(p, v) MUTANT_RMW(p, XCHG, v, RLX)
#define atomic_sub_acquire(p, v) MUTANT_RMW(p, SUB, v, ACQ)
#define atomic_or_acquire(p, v) MUTANT_RMW(p, OR, v, ACQ)
#define atomic_or_release(p, v) MUTANT_RMW(p, OR, v, REL)
#define atomic_and_acquire(p, v) MUTANT_RMW(p, AND, v, ACQ)
#define atomic_and_release(p, v) MUTANT_RMW(p, AND, v, REL)
#define mutant_cas(p, expected, v)                              \\
    ({                                                          \\
        __typeof__(*(p)) mutant_seen_ = atomic_load_acquire(p); \\
        bool mutant_same_ = mutant_seen_ == *(expected);        \\
        if (mutant_same_)                                       \\
            atomic_store_release(p, v);                         \\
        else                                                    \\
            *(expected) = mutant_seen_;                         \\
        mutant_same_;                                           \\
    })
"""


def source_files():
    """{path: (content, mode)}: what git knows and does not ignore, or without git all but build trees."""
    if os.path.exists(os.path.join(ROOT, ".git")):
        listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                                cwd=ROOT, check=True, stdout=subprocess.PIPE)
        names = [name for name in listed.stdout.decode().split("\0") if name]
    else:
        names = []
        for folder, folders, files in os.walk(ROOT):
            folders[:] = [f for f in folders if not os.path.exists(os.path.join(folder, f, "build.ninja"))]
            names += [os.path.relpath(os.path.join(folder, f), ROOT) for f in files]
    found = {}
    for name in names:
        path = os.path.join(ROOT, name)
        if os.path.isfile(path) and not os.path.islink(path):
            with open(path, "rb") as file:
                found[name] = file.read(), os.stat(path).st_mode & 0o777
    return found


def committed_files():
    """The same of the last commit."""
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, check=True, stdout=subprocess.PIPE)
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        return {m.name: (tar.extractfile(m).read(), m.mode & 0o777) for m in tar.getmembers() if m.isfile()}


class Broken(Exception):
    """The scratch copy could not be configured or built."""


class Scratch:
    """WHERE/src is a copy of the repository (of its last commit, if `head`), WHERE/build its build tree."""

    def __init__(self, where, head=False, nice=10):
        self.where, self.head, self.nice = os.path.abspath(where), head, nice
        self.src, self.build_dir = os.path.join(self.where, "src"), os.path.join(self.where, "build")
        os.makedirs(self.src, exist_ok=True)
        self.changed = {}
        # One at a time; the lock goes with the process.
        self.lock = open(os.path.join(self.where, "lock"), "w", encoding="utf-8")
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        self.header = os.path.join(self.where, "mutants.h")
        if not os.path.exists(self.header):
            with open(self.header, "w", encoding="utf-8") as file:
                file.write(MUTANT_HEADER)

    def sync(self):
        """Makes WHERE/src what the repository is."""
        wanted = committed_files() if self.head else source_files()
        for name, (content, mode) in wanted.items():
            copy = os.path.join(self.src, name)
            if os.path.exists(copy):
                with open(copy, "rb") as file:
                    if file.read() == content:
                        continue
            os.makedirs(os.path.dirname(copy), exist_ok=True)
            with open(copy, "wb") as file:
                file.write(content)
            os.chmod(copy, mode)
        for folder, _, files in os.walk(self.src):
            for file in files:
                path = os.path.join(folder, file)
                if os.path.relpath(path, self.src) not in wanted:
                    os.unlink(path)

    def build(self, *targets):
        """Builds; the compiler's output if that fails, else None."""
        if not os.path.exists(os.path.join(self.build_dir, "build.ninja")):
            setup = subprocess.run(["meson", "setup", self.build_dir, self.src, "-Dbuildtype=debug", "-Doptimization=1",
                                    "-Ddebug=false", "-Dc_args=-include " + self.header],
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
            if setup.returncode != 0:
                raise Broken(setup.stdout.decode(errors="replace"))
        done = subprocess.run(["nice", "-n", str(self.nice), "ninja", "-C", self.build_dir, "--quiet", *targets],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        return None if done.returncode == 0 else done.stdout.decode(errors="replace")

    def read(self, name):
        with open(os.path.join(self.src, name), encoding="utf-8") as file:
            return file.read()

    def write(self, name, text):
        """Changes a file until restore."""
        if name not in self.changed:
            self.changed[name] = self.read(name)
        with open(os.path.join(self.src, name), "w", encoding="utf-8") as file:
            file.write(text)

    def restore(self):
        for name, text in self.changed.items():
            with open(os.path.join(self.src, name), "w", encoding="utf-8") as file:
                file.write(text)
        self.changed = {}

    def run(self, command, seconds, until=None):
        """Runs a program of the build tree in a session of its own: (exit code, or None when it was ended; output; time).
        It is ended when it is out of time, or a line begins with `until`."""
        began = time.monotonic()
        with tempfile.TemporaryFile() as output:
            process = subprocess.Popen(["nice", "-n", str(self.nice), os.path.join(self.build_dir, command[0])] + command[1:],
                                       stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                                       start_new_session=True)
            code = None
            while code is None and time.monotonic() - began < seconds:
                try:
                    code = process.wait(timeout=0.2 if until else seconds)
                except subprocess.TimeoutExpired:
                    if until and ("\n" + until).encode() in b"\n" + os.pread(output.fileno(), 1 << 20, 0):
                        break
            if code is None:
                # The runner's own guards end the tests when it is gone.
                process.terminate()
                try:
                    process.wait(timeout=5)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
            output.seek(0)
            text = output.read().decode(errors="replace")
        return code, text, time.monotonic() - began


def first_failure(text):
    """What a run's output says went wrong first: the runner's line, or the explorer's with the seed that replays it."""
    lines = [line.strip() for line in text.splitlines()]
    for number, line in enumerate(lines):
        if line.startswith("FAIL "):
            return line
        if re.search(r"\b(FAILED|NOT CAUGHT)$", line):
            seeds = [later[len("replay: "):] for later in lines[number:] if later.startswith("replay: ")]
            message = lines[number + 1] if seeds and number + 1 < len(lines) else line
            return message + (f"\n  {seeds[0]}" if seeds else "")
    return lines[-1] if lines else ""
