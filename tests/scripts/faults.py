#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Has the n-th call of the library fail, for every n, in every scenario of tests/faults; and holds the places that were
failed against all that there are.

A place is a call of a function of the seam (src/base/sys*) that can fail, in the rest of the library; and a call of libc in
the seam itself. They are read from the program's machine code, which is compiled so that each call in the source is one call
there. A place that no scenario fails is an error, unless it is listed below with the reason."""
import collections
import os
import re
import subprocess
import sys
import tempfile

# Function, what stands on the line: why it is never failed.
NEVER = [
    ("", "SYS_rt_sig", "handlers and masks of right signals can be set"),
    ("", "SYS_(close,|prctl|getppid|exit_group)", "has no error, or none that matters"),
    ("", "F_SETFD", "the flag of an open descriptor can be set"),
    ("", "F_GETFL", "the flags of an open descriptor can be read"),
    ("child_main", "SYS_write", "on valgrind only: the way round shared memory"),
    ("sys_pidfd_reap", "waitid", "does not wait, so no EINTR; ECHILD, that another reaped the child, has tests of its own"),
    ("motet__child_over", "sys_pidfd_reap", "the same"),
    ("", "sys_futex_wake_shared|FUTEX_WAKE", "finds somebody or nobody"),
    ("sys_ended_child", "waitid", "does not wait; that there are no children has tests of its own"),
] + [(function, "", "comes after a death of guard, zygote or root, or at their end: zygote_test.c; what fails there is done again")
     for function in ("motet__family_end", "reap_all", "end_zygote", "kill_member", "kill_below", "kill_children",
                      "reap", "watch_if_strange", "is_gone", "end_buried", "code_of_stranger", "ended_unwatched",
                      "kill_watcher", "reap_guard", "await_watchers", "child_ended", "handle", "watch_for_ever",
                      "motet__watcher_gone", "tell_end", "refuse_from_elsewhere", "motet__family_attach")
] + [
    ("fork_guard", "sys_reap", "a wait that is begun again"),
    ("start_by_fork", "sys_reap", "a wait that is begun again"),
    ("has_ended", "sys_pidfd_reap_any", "does not wait; that another reaped the child has tests of its own"),
    ("start_watchers", "sys_alone", "what can't be read is taken for one thread"),
    ("sleep_in_slices", "", "only where there is no futex_waitv: wait_test.c"),
    ("sys_futex_wait_shared", "SYS_futex", "the same"),
    ("drop_own_table", "sys_key_set", "taking a value away needs no memory"),
]

CALL = re.compile(r"^\s*([0-9a-f]+):\s+(?:call|callq|bl)\s+[0-9a-f]+ <([\w.]+)>")
LINE = re.compile(r"^\s*([0-9a-f]+):")
FUNCTION = re.compile(r"^([0-9a-f]+) <([\w.]+)>:")


def calls_of(program):
    """Each direct call: function it stands in, function called, the address behind it."""
    text = subprocess.run(["objdump", "-d", "--no-show-raw-insn", program], check=True, stdout=subprocess.PIPE,
                          text=True).stdout
    function, pending, calls = "", None, []
    for line in text.splitlines():
        begin = FUNCTION.match(line)
        if begin:
            function, pending = begin[2], None
            continue
        at = LINE.match(line)
        if at and pending:
            calls.append((*pending, int(at[1], 16)))
            pending = None
        call = CALL.match(line)
        if call:
            pending = (function, call[2])
    return calls


def lines_of(program, addresses):
    """The source line of the call before each address."""
    asked = "".join(f"{address - 1:#x}\n" for address in addresses)
    text = subprocess.run(["addr2line", "-e", program], input=asked, check=True, stdout=subprocess.PIPE, text=True).stdout
    found = {}
    for address, line in zip(addresses, text.splitlines()):
        path, _, number = line.split(" ")[0].rpartition(":")
        found[address] = (os.path.realpath(path), int(number) if number.isdigit() else 0)
    return found


def places_of(program, root):
    """Address behind the call -> (function, path, line), of every place."""
    calls = calls_of(program)
    lines = lines_of(program, [c[2] for c in calls])
    library = os.path.join(root, "src") + os.sep
    # A wake finds somebody or nobody: it doesn't fail.
    calls = [c for c in calls if lines[c[2]][0].startswith(library) and c[0] != "sys_futex_wake"]
    # By name too: for an inline function of a header addr2line may name the file that includes it.
    in_seam = {c[2]: c[0].startswith("sys_") or re.fullmatch(r"base/sys\w*\.[ch]", lines[c[2]][0][len(library):])
               for c in calls}
    can_fail = {c[1] for c in calls if c[1].startswith("fault_")}
    while True:
        more = {c[0] for c in calls if in_seam[c[2]] and c[1] in can_fail} - can_fail
        if not more:
            break
        can_fail |= more
    return {c[2]: (c[0], *lines[c[2]]) for c in calls
            if c[1] in can_fail and (c[1].startswith("fault_") or not in_seam[c[2]])}


def reason(function, text):
    for name, pattern, why in NEVER:
        if (not name or name == function) and re.search(pattern, text):
            return why
    return None


ROUNDS = 5  # threads come to their calls in another order each time


def failed_places(program, arguments):
    """What one run of all scenarios failed, as addresses."""
    with tempfile.TemporaryDirectory() as folder:
        log = os.path.join(folder, "log")
        code = subprocess.run([program] + arguments, env={**os.environ, "MOTET_FAULTS_LOG": log}).returncode
        if code:
            sys.exit(code)
        with open(log, encoding="ascii") as text:
            return {int(frame, 16) for line in text for frame in line.split()[1:]}


def text_of(path, line):
    with open(path, encoding="utf-8") as source:
        return (source.read().splitlines() + [""] * line)[line - 1].strip()


def main():
    build = sys.argv[1]
    root = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
    program = os.path.join(build, "tests", "faults", "motet-faults")
    by_line = collections.defaultdict(list)
    for address, (function, path, line) in places_of(program, root).items():
        by_line[path, line].append((address, function))
    never = {place for place, members in by_line.items() if reason(members[0][1], text_of(*place))}
    left = set(by_line) - never
    hit = set()
    for _ in range(ROUNDS):
        hit |= failed_places(program, sys.argv[2:])
        left = {place for place in left if not all(address in hit for address, _ in by_line[place])}
        if not left:
            break
    for path, line in sorted(left):
        print(f"never failed: {os.path.relpath(path, root)}:{line}: {text_of(path, line)}")
    print(f"{len(by_line) - len(never) - len(left)} of {len(by_line)} places failed, {len(never)} can't fail, "
          f"{len(left)} missed")
    return 1 if left or len(by_line) < 50 else 0


sys.exit(main())
