# SPDX-License-Identifier: MIT
# How a script begins whose argument is the build directory, and which counts what is not so: it sources this and ends with
# [ $failures -eq 0 ]. It has $build, $source and $work, a directory that goes when it ends.
# shellcheck shell=sh disable=SC2034
set -u
build=$(cd "$1" && pwd) || exit 1
source=$(cd "$(dirname "$0")/../.." && pwd) || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
failures=0

fail() {
    echo "not so: $*"
    failures=$((failures + 1))
}

# installed NAME: the tree is installed below $root, at $prefix, and NAME.pc there is what pkg-config finds. $cc compiled it,
# with the sanitizers $san: a program has to be linked with the same. From here on in $work.
installed() {
    python3 - "$build" >"$work/tree" <<'END' || exit 1
import json, os, shlex, sys
info = os.path.join(sys.argv[1], "meson-info", "intro-buildoptions.json")
with open(info) as file:
    options = {option["name"]: option["value"] for option in json.load(file)}
with open(os.path.join(sys.argv[1], "compile_commands.json")) as file:
    words = shlex.split(json.load(file)[0]["command"])
compiler = words[1] if os.path.basename(words[0]) == "ccache" else words[0]
print("cc=" + shlex.quote(compiler))
sanitize = options.get("b_sanitize", "none")
print("san=" + ("" if sanitize == "none" else "-fsanitize=" + sanitize))
END
    . "$work/tree"
    root=$work/root
    DESTDIR=$root meson install -C "$build" --no-rebuild --quiet >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
    pc=$(find "$root" -name "$1.pc")
    [ -n "$pc" ] || { echo "not so: $1.pc is installed"; exit 1; }
    export PKG_CONFIG_PATH="${pc%/*}" PKG_CONFIG_SYSROOT_DIR="$root"
    prefix=$root$(PKG_CONFIG_SYSROOT_DIR='' pkg-config --variable=prefix "$1")
    cd "$work" || exit 1
}
