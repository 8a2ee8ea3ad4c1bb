#!/bin/sh
# SPDX-License-Identifier: MIT
# Each public header compiles alone, with all warnings, as C and (where there is a compiler for it) as C++; twice in a
# row does no harm, and no name outside MOTET_ and motet_ is defined by it as a macro.
cd "$(dirname "$0")/../.." || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cc=${CC:-cc}
command -v "$cc" >/dev/null || cc=gcc
strict="-Iinclude -Wall -Wextra -Werror -pedantic -fsyntax-only"
bad=0

compile() { # compile COMPILER STANDARD FILE
    # shellcheck disable=SC2086
    "$1" -std="$2" $strict "$3" || { echo "not so: $header compiles as $2"; bad=1; }
}

for path in include/motet/*.h; do
    header=motet/${path##*/}
    printf '#include <%s>\n#include <%s>\nint main(void) { return 0; }\n' "$header" "$header" >"$work/x.c"
    cp "$work/x.c" "$work/x.cc"
    compile "$cc" gnu17 "$work/x.c"
    if command -v g++ >/dev/null; then
        compile g++ gnu++17 "$work/x.cc"
    fi
done
[ -e "$path" ] || { echo "there is no public header"; exit 1; }

# Our own headers' macros: the lines of our files themselves, not of what they include.
foreign=$(grep -nE '^[[:space:]]*#[[:space:]]*define[[:space:]]' include/motet/*.h |
    grep -vE '#[[:space:]]*define[[:space:]]+(MOTET_|motet_)')
if [ -n "$foreign" ]; then
    echo "macros without the prefix:"
    echo "$foreign"
    bad=1
fi
exit $bad
