#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs every example and holds what it prints against what it must print. Argument: the build directory.
# shellcheck source=tests/scripts/begin.sh
. "$(dirname "$0")/begin.sh"

# prints NAME: what example NAME prints is the here-document.
prints() {
    cat >"$work/expected"
    "$build/examples/$1" >"$work/output" 2>"$work/errors" </dev/null || fail "$1 exits with 0, not $?"
    cmp -s "$work/expected" "$work/output" || fail "$1 prints:
$(cat "$work/expected")
but:
$(cat "$work/output" "$work/errors")"
}

prints threads <<'END'
adder: the sum is 5050
joined: 5050, alive: no
it would wait for ever
asked to stop: cancelled
END

prints locks <<'END'
opened once
counted 40000, never more than 2 seated: yes
written 400 times
END

prints rounds <<'END'
all are ready
round 1: 4 on the shelf
round 2: 8 on the shelf
round 3: 12 on the shelf
full: 12
END

prints queue <<'END'
sum: 1001000
1 2 3 4 5
END

prints pipeline <<'END'
1: "ONE"
2: "TWO"
3: "THREE"
4: ""
5: "FIVE"
all was read: yes
END

prints futures <<'END'
sum of squares: 204
square of -1: refused
hello, world
promised: not yet
kept: 42
END

prints map <<'END'
map: all done
27 takes 111 steps
up to 10000 the longest is 6171: 261 steps
END

prints children <<'END'
sort exited with 0:
cherry
banana
apple
out: /
err: motet
exit code: 3
still running: yes
ended by SIGTERM: yes
no-such-program: not found
END

prints processes <<'END'
5 children, and the lock is held by "stuck"
killed by SIGKILL: yes
Process-2: 0
Process-3: 0
Process-4: 0
Process-5: 0
4001 deposits, total 40010
END

prints timer <<'END'
tick 1
tick 2
tick 3
too late to cancel the first: yes
END

# ---- wordcount: against a count that has nothing in common with it -------------------------------------------------

tree=$work/tree
wordcount=$build/examples/wordcount
python3 - "$tree" >"$work/expected" <<'END' || exit 1
import collections, os, random, re, sys
root = sys.argv[1]
chance = random.Random(7)
words = ["alpha", "beta_1", "_x", "Zed9", "3d", "0x1Fu", "n", "q" * 300000]
os.makedirs(os.path.join(root, "a", "b c"))
def write(name, text):
    with open(os.path.join(root, name), "w") as file:
        file.write(text)
write("large.h", "".join(chance.choice(words[:7]) + chance.choice(" +\n\0-") for _ in range(700000)))  # cut in pieces
write("long.h", "w" * 2500000 + " " + words[7] + "\n" + "v" * 1200000)  # no edge where one is looked for
for i in range(100):
    write("a/%03d.h" % i, " ".join(chance.choice(words) for _ in range(i % 7)))
write("a/b c/end", "last")
write("a/empty", "")
write("a/digits", "42")
os.symlink("large.h", os.path.join(root, "link.h"))
os.symlink("..", os.path.join(root, "a", "up"))
count, files, size = collections.Counter(), 0, 0
for folder, _, names in os.walk(root):
    for name in names:
        path = os.path.join(folder, name)
        if os.path.islink(path) or os.path.getsize(path) == 0:
            continue
        with open(path, "rb") as file:
            text = file.read()
        files, size = files + 1, size + len(text)
        count.update(w for w in re.findall(rb"[0-9A-Za-z_]+", text) if not w[:1].isdigit())
print("%s: %d files, %.1f MiB, %d identifiers, %d different" % (root, files, size / 2**20, sum(count.values()), len(count)))
for word, n in sorted(count.items(), key=lambda item: (-item[1], item[0]))[:10]:
    print("%12d  %s" % (n, word.decode()))
END
for jobs in 1 2 5; do
    "$wordcount" -j $jobs "$tree" >"$work/output" 2>"$work/errors" || fail "wordcount -j $jobs exits with 0, not $?"
    grep -v -e '^[0-9]* workers: ' -e '^counts equal: ' "$work/output" | cmp -s - "$work/expected" ||
        fail "wordcount -j $jobs counts right: $(cut -c 1-100 "$work/output" "$work/expected")"
    grep -qx 'counts equal: yes' "$work/output" || fail "wordcount -j $jobs: counts equal: yes"
    grep -Eqx "$jobs workers: [0-9.]+ s; serial: [0-9.]+ s; speed-up: [0-9.]+" "$work/output" || fail 'the times'
    grep -qx 'counting: 100%' "$work/errors" || fail 'progress'
done

# refuses ARGUMENT... TEXT: exit code 2, nothing counted, and a message that says TEXT.
refuses() {
    for text; do :; done
    count=$(($# - 1)) n=0
    for argument; do
        shift
        [ $n -lt $count ] && set -- "$@" "$argument"
        n=$((n + 1))
    done
    "$wordcount" "$@" >"$work/output" 2>"$work/errors"
    code=$?
    [ $code -eq 2 ] || fail "wordcount $* exits with 2, not $code"
    [ ! -s "$work/output" ] || fail "wordcount $* prints nothing"
    grep -qF -e "$text" "$work/errors" || fail "wordcount $* says $text, not $(cat "$work/errors")"
}
refuses "$work/none" "$work/none: No such file or directory"
refuses '' 'No such file or directory'
refuses "$work/expected" "$work/expected: Not a directory"
refuses -j 0 'not a number from 1'
refuses -j 1x "$tree" '1x: not a number from 1'
refuses -j 99999999999999999999 'not a number from 1'
refuses --what 'usage:'
refuses "$tree" "$work" 'more than one directory'
mkdir "$work/nothing"
"$wordcount" "$work/nothing" 2>&1 | grep -qx 'counts equal: yes' || fail 'an empty directory is no error'
"$wordcount" "$work/nothing" >/dev/full 2>"$work/errors" && fail 'a full disk is an error'

# ---- the demo, on the same tree ------------------------------------------------------------------------------------

mkdir "$work/tmp"
TMPDIR=$work/tmp "$source/examples/demo.sh" "$build" "$tree" >"$work/output" 2>&1 || fail "the demo exits with 0, not $?"
grep -qx 'counts equal: yes' "$work/output" || fail "the demo counts: $(cat "$work/output")"
grep -qx 'unpacked again and compared: equal' "$work/output" || fail "the demo compresses: $(cat "$work/output")"
grep -Eq '^motet run: [0-9]+ jobs, 0 failed' "$work/output" || fail "the demo has its summary: $(cat "$work/output")"
[ -z "$(ls -A "$work/tmp")" ] || fail 'the demo cleans up'
"$source/examples/demo.sh" "$build" "$work/none" >/dev/null 2>&1
[ $? -eq 2 ] || fail 'the demo refuses a directory that is not there'

[ $failures -eq 0 ]
