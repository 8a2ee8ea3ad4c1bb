#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every piece of C in docs/GUIDE.md stands, line by line, in the example that the comment above it names; every example is
shown; every motet function or macro that README and docs name exists; every file that they link to exists."""
import glob
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
failures = []


def fail(what):
    failures.append(what)
    print("not so:", what)


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as file:
        return file.read()


def check_pieces():
    guide = read("docs", "GUIDE.md")
    pieces = re.findall(r"<!-- (\S+) -->\n```c\n(.*?)```", guide, flags=re.S)
    if len(pieces) != guide.count("```c\n") or not pieces:
        fail("each piece of C in the guide names its example")
    for name, piece in pieces:
        if "\n" + piece not in "\n" + read("examples", name):
            fail(f"examples/{name} holds:\n{piece}")
    for path in glob.glob(os.path.join(ROOT, "examples", "*.c")):
        if os.path.basename(path) not in [name for name, _ in pieces]:
            fail(f"the guide shows {os.path.basename(path)}")


def check_names():
    headers = "".join(read(path) for path in glob.glob(os.path.join(ROOT, "include", "motet", "*.h")))
    known = set(re.findall(r"\b(?:motet|MOTET)_\w+", headers))
    for path in ["README.md", "docs/GUIDE.md"]:
        text = read(path)
        for name in set(re.findall(r"\b(?:motet|MOTET)_\w+", text)) - known:
            fail(f"{path}: the headers have {name}")
        folder = os.path.dirname(os.path.join(ROOT, path))
        for link in re.findall(r"\]\(([^)#]+)\)", text):
            if "://" not in link and not os.path.exists(os.path.join(folder, link)):
                fail(f"{path}: {link} exists")


def check_map():
    """The folders of docs/ARCHITECTURE.md's first table are those of src/."""
    text = read("docs", "ARCHITECTURE.md")
    told = set(re.findall(r"(?m)^\| \d+ \| `src/(\w+)/`", text))
    there = {name for name in os.listdir(os.path.join(ROOT, "src")) if os.path.isdir(os.path.join(ROOT, "src", name))}
    if told != there:
        fail(f"docs/ARCHITECTURE.md has the folders of src/, not {told ^ there}")


check_pieces()
check_names()
check_map()
sys.exit(1 if failures else 0)
