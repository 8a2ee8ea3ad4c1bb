#!/bin/sh
# SPDX-License-Identifier: MIT
# The typed helpers of tasks: a pointer to another type is an error of the compiler's, in C and in C++, and a C++ program
# that defines tasks of its own links and runs. Argument: the build directory.
set -u
build=$1
root=$(cd "$(dirname "$0")/../.." && pwd)
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
failed=0

complain()
{
    echo "$1"
    sed 's/^/    /' "$dir/out"
    failed=1
}

# compiles NAME COMPILER FILE: the file is compiled without a word.
compiles()
{
    if ! $2 -Wall -Wextra -I"$root/include" -c "$3" -o "$dir/object" >"$dir/out" 2>&1; then
        complain "$1: $2 refuses what is right"
    elif [ -s "$dir/out" ]; then
        complain "$1: $2 warns of what is right"
    fi
}

# refuses NAME COMPILER FILE: with -DWRONG it is an error, which shows the call.
refuses()
{
    if $2 -DWRONG -I"$root/include" -c "$3" -o "$dir/object" >"$dir/out" 2>&1; then
        complain "$1: $2 takes a wrong type"
    elif ! grep -q 'error.*' "$dir/out" || ! grep -q '    return \(square\|echo\)_' "$dir/out"; then
        complain "$1: $2 says nothing readable"
    fi
}

# snippet NAME RIGHT WRONG: one statement in two forms.
snippet()
{
    for language in c cpp; do
        cat >"$dir/snippet.$language" <<END
#include <motet/executor.h>
MOTET_TASK_DECLARE(square, int, long)
MOTET_TASK(square, int, long)
{
    *out = (long)*in * *in;
    return 0;
}
MOTET_TASK_BYTES(echo)
{
    return motet_buffer_append(out, in.data, in.size);
}
int use(motet_executor *ex, motet_future *f);
int use(motet_executor *ex, motet_future *f)
{
    int i[2] = {1, 2};
    long l[2] = {0, 0};
    motet_buffer *b = NULL;
    motet_bytes bytes = {i, sizeof i};
    (void)ex, (void)f, (void)l, (void)b, (void)bytes;
#ifndef WRONG
    return $2;
#else
    return $3;
#endif
}
END
    done
    for c in cc clang; do
        command -v $c >/dev/null || continue
        for standard in c11 gnu17; do
            compiles "$1" "$c -std=$standard" "$dir/snippet.c"
            refuses "$1" "$c -std=$standard" "$dir/snippet.c"
        done
    done
    for c in c++ clang++; do
        command -v $c >/dev/null || continue
        for standard in c++11 c++17; do
            compiles "$1" "$c -std=$standard" "$dir/snippet.cpp"
            refuses "$1" "$c -std=$standard" "$dir/snippet.cpp"
        done
    done
}

snippet submit 'square_submit(ex, i, &f)' 'square_submit(ex, l, &f)'
snippet result 'square_result(f, l, MOTET_NOWAIT)' 'square_result(f, i, MOTET_NOWAIT)'
snippet map-in 'square_map(ex, i, l, 2, NULL)' 'square_map(ex, l, l, 2, NULL)'
snippet map-out 'square_map(ex, i, l, 2, NULL)' 'square_map(ex, i, i, 2, NULL)'
snippet bytes 'echo_submit(ex, bytes, &f)' 'echo_submit(ex, i, &f)'
snippet bytes-result 'echo_result(f, b, MOTET_NOWAIT)' 'echo_result(f, l, MOTET_NOWAIT)'

# ---- a C++ program ----------------------------------------------------------------------------------

cat >"$dir/program.cpp" <<'END'
#include <motet/motet.h>
#include <cstdio>
#include <cstring>
#include <string>

namespace {
struct pair {
    int a, b;
};
} // namespace

MOTET_TASK(sum, pair, long)
{
    *out = long(in->a) + in->b;
    return in->a < 0 ? -ERANGE : 0;
}

MOTET_TASK(length, const char *, size_t)
{
    *out = std::strlen(*in);
    return 0;
}

MOTET_TASK_BYTES(twice)
{
    std::string text(static_cast<const char *>(in.data), in.size);
    text += text;
    return motet_buffer_append(out, text.data(), text.size());
}

static int check(bool right, const char *what)
{
    if (!right)
        std::printf("wrong: %s\n", what);
    return right ? 0 : 1;
}

int main()
{
    int wrong = 0;
    motet_executor *ex = nullptr;
    motet_pool_options options = {};
    options.workers = 2;
    wrong += check(motet_thread_pool_open(&ex, &options) == 0, "open");
    pair in[3] = {{1, 2}, {30, 40}, {-1, 0}};
    long out[3] = {0, 0, 0};
    motet_future *f = nullptr;
    wrong += check(sum_submit(ex, in, &f) == 0, "submit");
    wrong += check(sum_result(f, out, MOTET_FOREVER) == 0 && out[0] == 3, "result");
    f = motet_future_unref(f);
    wrong += check(sum_map(ex, in, out, 3, nullptr) == -ERANGE && out[1] == 70, "map");
    const char *word = "seven..";
    size_t size = 0;
    wrong += check(length_map(ex, &word, &size, 1, nullptr) == 0 && size == 7, "pointers");
    motet_buffer *text = motet_buffer_new();
    wrong += check(twice_submit(ex, motet_bytes{"ab", 2}, &f) == 0, "submit bytes");
    wrong += check(twice_result(f, text, MOTET_FOREVER) == 0, "result bytes");
    wrong += check(std::string(static_cast<char *>(motet_buffer_data(text))) == "abab", "bytes");
    motet_future_unref(f);
    motet_buffer_free(text);
    wrong += check(motet_task_find("sum") == &sum && motet_task_find("twice") == &twice, "by name");
    motet_executor_close(ex);
    std::puts(wrong ? "wrong" : "all right");
    return wrong != 0;
}
END

# A sanitized library needs its own compiler's run time: there the plain build has to do.
if grep -q -e -fsanitize= "$build/build.ninja"; then
    exit $failed
fi

# builds HOW COMMAND...: the program is built without a word, and runs.
builds()
{
    how=$1
    shift
    if ! "$@" -pthread -o "$dir/program" >"$dir/out" 2>&1; then
        complain "$how: the C++ program can't be built"
    elif [ -s "$dir/out" ]; then
        complain "$how: warnings of the C++ program"
    elif ! "$dir/program" >"$dir/out" 2>&1; then
        complain "$how: the C++ program fails"
    fi
}

for c in c++ clang++; do
    command -v $c >/dev/null || continue
    builds "$c, static" $c -std=c++11 -Wall -Wextra -I"$root/include" "$dir/program.cpp" "$build/libmotet.a"
    builds "$c, shared" $c -std=c++17 -O2 -Wall -Wextra -I"$root/include" "$dir/program.cpp" "$build/libmotet.so" \
        -Wl,-rpath,"$build"
done

exit $failed
