#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""motet run: what an input makes of a command; inputs of every kind arrive as they are."""
import os
import subprocess
import sys

sys.dont_write_bytecode = True  # leave the source as it is
from cli_help import check, main, run, same  # noqa: E402

SHOW = ["printf", "[%s]"]  # its arguments, each in brackets


def shown(words, *inputs, options=()):
    code, out, err = run("-k", *options, *SHOW, *words, ":::", *inputs)
    check(code == 0 and not err, f"{words} {inputs} succeeds", err)
    return out.decode()


def placeholders():
    cases = {  # input: {} {.} {/} {//} {/.}
        "dir/sub/file.tar.gz": ["dir/sub/file.tar.gz", "dir/sub/file.tar", "file.tar.gz", "dir/sub", "file.tar"],
        "file.c": ["file.c", "file", "file.c", ".", "file"],
        "plain": ["plain", "plain", "plain", ".", "plain"],
        "sub.dir/plain": ["sub.dir/plain", "sub.dir/plain", "plain", "sub.dir", "plain"],
        "/root.c": ["/root.c", "/root", "root.c", "/", "root"],
        "dir/": ["dir/", "dir/", "", ".", ""],
        "a//b": ["a//b", "a//b", "b", "a", "b"],
        "/": ["/", "/", "", "/", ""],
        "dir/.hidden": ["dir/.hidden", "dir/", ".hidden", "dir", ""],
        "dot.": ["dot.", "dot", "dot.", ".", "dot"],
        "": ["", "", "", ".", ""],
    }
    for text, wanted in cases.items():
        same(shown(["{}", "{.}", "{/}", "{//}", "{/.}"], text), "".join(f"[{w}]" for w in wanted), f"input {text!r}")
    same(shown(["{#}"], "x", "y", "z"), "[1][2][3]", "{#}")
    same(shown(["{%}"], "x", "y", "z", options=["-j1"]), "[1][1][1]", "{%} with one slot")
    slots = set(shown(["{%} "], *"abcdefghijklmnop", options=["-j3"]).replace("[", "").replace("]", "").split())
    check(slots <= {"1", "2", "3"}, "{%} is a slot's number", str(slots))
    same(shown(["a{}b{}c", "{", "}", "{x}", "{{}}"], "1"), "[a1b1c][{][}][{x}][{1}]", "inside words")
    same(shown(["{#}"], "x"), "[1]", "{#} alone is a placeholder: nothing is added")
    same(shown([], "x"), "[x]", "added at the end")
    same(shown(["fixed"], "x"), "[fixed][x]", "added at the end")
    same(shown(["{}"], "{.} {} {/}"), "[{.} {} {/}]", "what an input holds is no placeholder")


def program_from_input():
    same(run("-k", "{}", ":::", "pwd", "echo")[0], 0, "the input as the command")
    code, _, err = run("{}", ":::", "motet-no-such-program", "true")
    same(code, 1, "one of two programs is missing")
    check(b"motet-no-such-program" in err and b"job 1" in err, "it is named", err)


NASTY = ["two words", "'", '"', "$HOME `id` $(id)", "a\nb", "*", "\\", ";", "-n", "--", "tab\there", "ä€", " ", ""]


def nasty_inputs():
    same(shown(["{}"], *NASTY), "".join(f"[{n}]" for n in NASTY), "nasty inputs after :::")
    data = b"".join(n.encode() + b"\0" for n in NASTY) + b"\xff\xfe\0last"
    wanted = b"".join(b"[" + n.encode() + b"]" for n in NASTY) + b"[\xff\xfe][last]"
    for option in ("-0", "--null"):
        same(run("-k", option, *SHOW, input=data)[1], wanted, f"inputs with {option}")
    lines = [n for n in NASTY if "\n" not in n]
    same(run("-k", *SHOW, input="".join(n + "\n" for n in lines).encode())[1].decode(), "".join(f"[{n}]" for n in lines), "lines")
    same(run("-k", *SHOW, input=b"a\n\nb\n")[1], b"[a][][b]", "an empty line is an input")
    same(run("-k", *SHOW, input=b"a\r\nb")[1], b"[a\r][b]", "a carriage return stays")
    same(run("-k", *SHOW, input=b"")[1], b"", "no line at all")
    with open("list", "w") as f:
        f.write("x\ny z\n")
    for option in (["-a", "list"], ["-alist"], ["--arg-file", "list"], ["--arg-file=list"]):
        same(run("-k", *option, *SHOW)[1], b"[x][y z]", f"{option}")
    same(run("-k", "-a", "-", *SHOW, input=b"x\n")[1], b"[x]", "-a -")


def dry_run():
    code, out, err = run("--dry-run", "touch", "made {#}", ":::", *NASTY)
    same((code, err), (0, b""), "dry run succeeds")
    script = b"set -e\ntouch() { printf '[%s]' \"$@\"; }\n" + out
    read = subprocess.run(["sh"], input=script, stdout=subprocess.PIPE).stdout.decode()
    same(read, "".join(f"[made {i + 1}]" for i in range(len(NASTY))), "a shell reads what dry run prints")
    out = run("--dry-run", "echo", "{}", ":::", *NASTY)[1]
    script = b"echo() { printf '[%s]' \"$@\"; }\n" + out
    read = subprocess.run(["sh"], input=script, stdout=subprocess.PIPE).stdout.decode()
    same(read, "".join(f"[{n}]" for n in NASTY), "a shell reads the inputs back")
    same(os.listdir("."), [], "dry run runs nothing")


def options_end():
    same(run("echo", "-k", "--help", ":::", "x")[1], b"-k --help x\n", "options behind the command are its own")
    same(run("--", "echo", ":::", "x")[1], b"x\n", "--")
    same(run("-kj2", "echo", ":::", "x")[1], b"x\n", "joined options")
    for jobs in (["-j", "2"], ["-j2"], ["--jobs=2"], ["--jobs", "2"], ["-j", "50%"], ["-j", "200%"], ["-j", "1%"]):
        same(run(*jobs, "echo", ":::", "x")[:2], (0, b"x\n"), f"{jobs}")
    same(run("echo", ":::")[:2], (0, b""), "no inputs, no jobs")


main(placeholders, program_from_input, nasty_inputs, dry_run, options_end)
