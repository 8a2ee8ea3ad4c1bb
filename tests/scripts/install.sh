#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs into an empty directory and uses what lies there as a stranger would: the README's first program by pkg-config
# as C and C++, its first command, each header alone, the static library; and looks at what the shared library shows.
# Argument: the build directory.
# shellcheck source=tests/scripts/begin.sh
. "$(dirname "$0")/begin.sh"

installed motet
case $cc in
*clang*) cxx=clang++ ;;
*) cxx=g++ ;;
esac
command -v "$cxx" >/dev/null || { echo "no $cxx: C++ is left out"; cxx=; }

libdir=$root$(PKG_CONFIG_SYSROOT_DIR= pkg-config --variable=libdir motet)
includedir=$root$(PKG_CONFIG_SYSROOT_DIR= pkg-config --variable=includedir motet)
export LD_LIBRARY_PATH="$libdir"

# ---- the README ----------------------------------------------------------------------------------------------------

awk '/^```c$/ { on = 1; next } /^```$/ { on = 0 } on' "$source/README.md" >hello.c
cp hello.c hello.cc
answer='7560 has 64 divisors'
grep -qx "    $answer" "$source/README.md" || fail "the README shows $answer"
flags="-O2 -Wall -Wextra -Werror $san"
# shellcheck disable=SC2046,SC2086
{
    "$cc" $flags hello.c -o hello $(pkg-config --cflags --libs motet) && [ "$(./hello)" = "$answer" ] ||
        fail "the README's program works"
    "$cc" $flags hello.c -o hello-static $(pkg-config --cflags motet) "$libdir/libmotet.a" -pthread &&
        [ "$(LD_LIBRARY_PATH='' ./hello-static)" = "$answer" ] || fail 'with the static library too'
    [ -z "$cxx" ] || { "$cxx" $flags hello.cc -o hello++ $(pkg-config --cflags --libs motet) &&
        [ "$(./hello++)" = "$answer" ]; } || fail 'and as C++'
}
[ "$(pkg-config --modversion motet)" = "$(sed -n "s/^ *version: '\(.*\)',/\1/p" "$source/meson.build" | head -n 1)" ] ||
    fail 'motet.pc has the version'

command=$(awk '/^```sh$/ { on = 1; next } /^```$/ { on = 0 } on' "$source/README.md" | head -n 1)
PATH=$prefix/bin:$PATH sh -c "$command" >said || fail "the README's command works: $command"
printf 'job 1: red\njob 2: green\njob 3: blue\n' | cmp -s - said || fail "it says what the README says: $(cat said)"
while read -r line; do
    grep -qxF "    $line" "$source/README.md" || fail "the README shows: $line"
done <said

# ---- what is installed ---------------------------------------------------------------------------------------------

diff -r "$source/include/motet" "$includedir/motet" || fail 'all headers are installed'
for path in "$includedir"/motet/*.h; do
    name=${path##*/}
    echo "#include <motet/$name>" >one.c
    # shellcheck disable=SC2046
    "$cc" -Wall -Wextra -Werror -fsyntax-only one.c $(pkg-config --cflags motet) || fail "$name stands alone"
    [ "$name" = motet.h ] || [ "$name" = sim.h ] || grep -qx "#include <motet/$name>" "$includedir/motet/motet.h" || fail "motet.h brings $name"
done
for page in "$source"/man/*.[1-9]; do
    name=${page##*/}
    [ -n "$(find "$root" -path "*/man${name##*.}/$name*")" ] || fail "$name is installed"
done

nm -D --defined-only "$libdir/libmotet.so" | awk '{ print $NF }' | sed 's/@.*//' | LC_ALL=C sort -u >shown
grep -v -e '^motet_[a-z]' -e '^MOTET_0$' shown && fail 'only motet_ symbols are shown'
python3 "$source/tests/scripts/manpages.py" --functions | LC_ALL=C sort -u >promised
grep -v '^MOTET_0$' shown | diff promised - || fail 'the functions of the headers are shown, and nothing else'

[ $failures -eq 0 ]
