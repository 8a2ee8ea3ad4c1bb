#!/bin/sh
# SPDX-License-Identifier: MIT
# Shows motet at work on real files. usage: examples/demo.sh BUILD [DIRECTORY]   (/usr/include)
set -eu

usage() {
    echo 'usage: demo.sh BUILD [DIRECTORY]' >&2
    exit 2
}

[ $# -ge 1 ] && [ $# -le 2 ] || usage
build=$1
directory=${2:-/usr/include}
wordcount=$build/examples/wordcount
motet=$build/src/cli/motet
for program in "$wordcount" "$motet"; do
    [ -x "$program" ] || { echo "demo: $program is not there: build first (make build)" >&2; exit 2; }
done
[ -d "$directory" ] || { echo "demo: $directory: not a directory" >&2; exit 2; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

cat <<END
1. Count every C identifier in all files under $directory: first read all of them, then count on all CPUs, then
   count again on one, and compare.
     $wordcount $directory

END
"$wordcount" "$directory"

cat <<END

2. Compress the same files, one gzip process each, as many at once as there are CPUs, the results in the order of
   the names and each of them whole.
     find $directory -type f -print0 | sort -z > names
     $motet run -0 -k --summary -a names gzip -1 -c {} > all.gz

END
find "$directory" -type f -print0 | LC_ALL=C sort -z >"$work/names"
"$motet" run -0 -k --summary -a "$work/names" gzip -1 -c {} >"$work/all.gz"
before=$(xargs -0 -r cat -- <"$work/names" | wc -c)
after=$(wc -c <"$work/all.gz")
echo "$before bytes in, $after bytes out"

[ "$(xargs -0 -r cat -- <"$work/names" | cksum)" = "$(gzip -dc <"$work/all.gz" | cksum)" ] || {
    echo 'demo: the unpacked bytes differ from the files' >&2
    exit 1
}
echo 'unpacked again and compared: equal'
