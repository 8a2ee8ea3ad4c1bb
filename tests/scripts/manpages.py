#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Holds the manual against the headers. Argument: the build directory (not needed).

Every function of the headers stands in the NAME and in the SYNOPSIS of exactly one page, with the header's own prototype;
what a page refers to (functions, types, constants, option fields, other pages) exists. Where mandoc is installed it has
nothing to complain of.

--functions  print the names of all public functions of libmotet
--aliases    print "function page" for each function that is not called like its page; man/meson.build makes links of them
"""
import glob
import os
import re
import shlex
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
OTHER_PAGES = {("motet", "1"), ("motet-run", "1"), ("motet-sim", "1")}  # beside those of section 3 and 7
failures = []


def fail(what):
    failures.append(what)
    print("not so:", what)


def squeeze(text):
    """One space between words, none before or after a star's word or a bracket."""
    text = " ".join(text.split())
    return re.sub(r"\*\s+(?=\w)", "*", re.sub(r"\(\s+", "(", re.sub(r"\s+\)", ")", text)))


def without_comments(text):
    return re.sub(r"//[^\n]*", "", re.sub(r"/\*.*?\*/", " ", text, flags=re.S))


def split_arguments(text):
    """Splits at the commas that stand in no bracket."""
    parts, depth, current = [], 0, ""
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            parts.append(current)
            current = ""
        else:
            current += letter
    return [squeeze(part) for part in parts + [current]]


def functions_of_headers(folder, mark="MOTET_(?:SIM_)?API"):
    """{name: (return type, [arguments])}; those marked MOTET_SIM_API are the explorer's library."""
    found = {}
    for path in sorted(glob.glob(os.path.join(folder, "*.h"))):
        with open(path) as file:
            text = without_comments(file.read())
        text = re.sub(r"(?m)^\s*#.*(\\\n.*)*$", "", text)
        text = re.sub(r"__attribute__\(\(.*?\)\)+(?=;)", "", text)
        for declaration in re.findall(r"\b%s\b(.*?);" % mark, text, flags=re.S):
            parts = re.fullmatch(r"\s*(.*?)(\w+)\((.*)\)\s*", declaration, flags=re.S)
            found[parts[2]] = (squeeze(parts[1]), split_arguments(parts[3]))
    return found


def read_page(path):
    """The page's sections as {heading: [lines]}."""
    sections, current = {}, []
    with open(path) as file:
        for line in file.read().split("\n"):
            if line.startswith(".Sh "):
                current = sections.setdefault(line[4:].strip(), [])
            else:
                current.append(line)
    return sections


def words(line):
    """The arguments of a macro line."""
    return shlex.split(line)[1:]


def names(sections):
    return [words(line)[0] for line in sections.get("NAME", []) if line.startswith(".Nm ")]


def synopsis(sections):
    """{name: (return type, [arguments])}"""
    found, result, name, arguments = {}, None, None, []
    for line in sections.get("SYNOPSIS", []):
        if line.startswith(".Ft "):
            result = squeeze(line[4:])
        elif line.startswith(".Fn "):
            name, *arguments = words(line)
            found[name] = (result, [squeeze(a) for a in arguments])
        elif line.startswith(".Fo "):
            name, arguments = words(line)[0], []
        elif line.startswith(".Fa "):
            arguments.append(squeeze(words(line)[0]))
        elif line.startswith(".Fc"):
            found[name] = (result, arguments)
    return found


def pages():
    return {os.path.basename(path): read_page(path) for path in sorted(glob.glob(os.path.join(ROOT, "man", "*.[37]")))}


def aliases():
    for page, sections in pages().items():
        for name in names(sections):
            if page.endswith(".3") and name + ".3" != page:
                print(name, page)


def macros(sections, name):
    """The first argument of each use of a macro, wherever it stands in a line."""
    for lines in sections.values():
        for line in lines:
            if line.startswith("."):
                for argument in re.findall(r"(?:^\.|\s)%s ((?:[(\[] )?)(\"[^\"]*\"|\S+)" % name, line):
                    yield argument[1].strip('"').replace("\\&", "").replace("\\-", "-")


def check_references(page, sections, functions, headers, all_pages):
    for name in macros(sections, "Fn"):
        if name.startswith("motet_") and name not in functions:
            fail(f"{page}: {name}() is a function of the headers")
    for name in list(macros(sections, "Dv")) + list(macros(sections, "Vt")):
        for word in re.findall(r"\b(?:MOTET|motet)_\w+", name):
            if not re.search(r"\b%s\b" % word, headers):
                fail(f"{page}: the headers know {word}")
    for name in macros(sections, "Va"):
        if name.startswith(".") and not re.search(r"\b%s\b" % name[1:], headers):
            fail(f"{page}: the headers have a field {name}")
    for lines in sections.values():
        for line in lines:
            reference = re.match(r"\.(?:It )?Xr (motet\S*) (\d)", line)
            if reference and f"{reference[1]}.{reference[2]}" not in all_pages and reference.groups() not in OTHER_PAGES:
                fail(f"{page}: there is a page {reference[1]}({reference[2]})")


def check_layout(paths):
    if shutil.which("mandoc"):
        done = subprocess.run(["mandoc", "-Tlint", "-Wwarning", *paths], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.stdout:
            fail("mandoc finds nothing:\n" + done.stdout.decode())
    else:
        print("no mandoc: the pages' layout is not looked at")


def main():
    folder = os.path.join(ROOT, "include", "motet")
    functions = functions_of_headers(folder)
    if sys.argv[1:] == ["--functions"]:
        print("\n".join(functions_of_headers(folder, "MOTET_API")))
        return 0
    if sys.argv[1:] == ["--aliases"]:
        aliases()
        return 0
    headers = ""
    for path in glob.glob(os.path.join(folder, "*.h")):
        with open(path) as file:
            headers += without_comments(file.read())
    described, all_pages = {}, pages()
    for page, sections in all_pages.items():
        prototypes = synopsis(sections)
        if page.endswith(".3") and sorted(names(sections)) != sorted(prototypes):
            fail(f"{page}: NAME and SYNOPSIS agree: {set(names(sections)) ^ set(prototypes)}")
        for name, prototype in prototypes.items():
            if name in described:
                fail(f"{name} stands in one page, not in {described[name]} and {page}")
            described[name] = page
            if name in functions and functions[name] != prototype:
                fail(f"{page}: the prototype of {name} is {functions[name]}, not {prototype}")
            text = "\n".join(sum((v for k, v in sections.items() if k not in ("NAME", "SYNOPSIS")), []))
            if not re.search(r"Fn (\( )?%s\b" % name, text):
                fail(f"{page}: the text speaks of {name}()")
        check_references(page, sections, functions, headers, all_pages)
    for name in set(functions) - set(described):
        fail(f"{name} has a page")
    if len(functions) < 100:
        fail(f"the headers were read: {len(functions)} functions")
    check_layout(sorted(glob.glob(os.path.join(ROOT, "man", "*.[137]"))))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
