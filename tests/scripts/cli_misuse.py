#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""motet: input that can't be used. A message that names it, exit code 2, nothing run."""
import os
import subprocess
import sys

sys.dont_write_bytecode = True  # leave the source as it is
from cli_help import BOUND_S, MOTET, check, main, run, same  # noqa: E402


MARK = ["touch", "marker"]  # what must not be run


def refused(*args, names, **how):
    code, out, err = run(*args, **how)
    same((code, out), (2, b""), f"{args} is refused")
    check(err.startswith(b"motet run: ") and err.count(b"\n") == 1, f"{args}: one line", err)
    check(names in err, f"{args}: names {names}", err)
    check(not os.path.exists("marker"), f"{args}: nothing was run")


def options():
    refused("--foo", *MARK, ":::", "x", names=b"--foo")
    refused("--foo=3", *MARK, ":::", "x", names=b"--foo")
    refused("-z", *MARK, ":::", "x", names=b"-z")
    refused("-kz", *MARK, ":::", "x", names=b"-z")
    refused("--keep-order=3", *MARK, ":::", "x", names=b"--keep-order")
    refused("--jobs", names=b"--jobs")
    refused("-j", names=b"-j")
    for bad in ("x", "0", "-1", "", "1.5", "3x", "%", "0%", "9999999999999999999", "1e3", " 1", "+2"):
        refused("-j", bad, *MARK, ":::", "x", names=bad.encode())
        refused(f"--jobs={bad}", *MARK, ":::", "x", names=bad.encode())


def commands():
    refused(names=b"command is missing")
    refused("-k", names=b"command is missing")
    refused(":::", "x", names=b"command is missing")
    refused("motet-no-such-program", ":::", "x", names=b"motet-no-such-program")
    refused("./no/such/program", ":::", "x", names=b"./no/such/program")
    refused("/", ":::", "x", names=b"/")
    refused("", ":::", "x", names=b"no such command")
    refused(*MARK, ":::", "x", ":::", "y", names=b":::")
    with open("plain", "w") as f:
        f.write("#!/bin/sh\n")
    refused("./plain", ":::", "x", names=b"./plain")


def files():
    refused("-a", "no-such-file", *MARK, names=b"no-such-file")
    os.mkdir("folder")
    refused("-a", "folder", *MARK, names=b"folder")
    refused("-a", "folder", *MARK, ":::", "x", names=b"folder")
    with open("/proc/self/mem", "rb") as unreadable:
        refused(*MARK, stdin=unreadable, names=b"standard input")


def lines():
    longest = 128 * 1024 - 1
    for size in (longest + 1, longest * 5):
        refused(*MARK, input=b"x" * size + b"\nshort\n", names=b"line 1 is too long")
        refused(*MARK, input=b"x" * size, names=b"line 1 is too long")
    same(run("sh", "-c", "echo ${#1}", "sh", input=b"x" * longest + b"\n")[1], b"131071\n", "the longest line")
    same(run("sh", "-c", "echo ${#1}", "sh", input=b"x" * longest)[1], b"131071\n", "the longest line, without its end")
    refused("touch", "marker", "{}{}", input=b"x" * 70000, names=b"input 1")
    refused(*MARK, input=b"a\0b\n", names=b"line 1")
    # Those before it have run when a bad line comes; none behind it does.
    for bad in (b"x" * 200000, b"a\0b"):
        code, out, err = run("-k", "echo", input=b"1\n2\n3\n" + bad + b"\n5\n")
        same((code, out), (2, b"1\n2\n3\n"), "a bad line among good ones")
        check(b"line 4" in err, "it is named", err)
        code, out, err = run("--dry-run", "echo", input=b"1\n" + bad + b"\n3\n")
        same((code, out), (2, b"echo 1\n"), "a bad line in a dry run")


def motet(*args):
    done = subprocess.run([MOTET, *args], stdin=subprocess.DEVNULL, capture_output=True, timeout=BOUND_S)
    return done.returncode, done.stdout, done.stderr


def the_rest():
    for args in (["--help"], ["-h"], ["help"], ["help", "run"], ["run", "--help"], ["run", "-h"], ["run", "-k", "--help", "x"]):
        code, out, err = motet(*args)
        check(code == 0 and b"motet run" in out and not err, f"{args} helps", out + err)
    code, out, err = motet("--version")
    check(code == 0 and out.startswith(b"motet ") and not err, "--version", out + err)
    for args, names in (([], b"command is missing"), (["walk"], b"walk"), (["--walk"], b"--walk"), (["help", "walk"], b"walk")):
        code, out, err = motet(*args)
        check(code == 2 and not out and names in err, f"{args} is refused", out + err)


main(options, commands, files, lines, the_rest)
