/* SPDX-License-Identifier: MIT */
/*
 * What a failing CHECK does: it leaves its message in the record that the guard reads, and ends the process.
 *
 * The message goes to the record and not to stderr, since the test may have closed or redirected that, and with one
 * atomic addition and a copy, so that any thread can do it in any state, between fork and exec too.
 */
#include "runner_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

struct record *runner_record;

static void note_text(const char *text, size_t size)
{
    if (runner_record == NULL) {
        (void)!write(STDERR_FILENO, text, size);
        return;
    }
    unsigned at = __atomic_fetch_add(&runner_record->notes_size, (unsigned)size, __ATOMIC_RELAXED);
    if (at < NOTES_SIZE_MAX && size <= NOTES_SIZE_MAX - at)
        memcpy(runner_record->notes + at, text, size);
}

static int clip(int length, size_t size)
{
    if (length < 0)
        return 0;
    return (size_t)length < size ? length : (int)size - 1;
}

void note(const char *format, ...)
{
    char line[1024];
    va_list args;
    va_start(args, format);
    int length = clip(vsnprintf(line, sizeof line - 1, format, args), sizeof line - 1);
    va_end(args);
    line[length++] = '\n';
    note_text(line, (size_t)length);
}

/* Meson names the sources from the build directory. */
static const char *short_path(const char *file)
{
    while (strncmp(file, "../", 3) == 0)
        file += 3;
    return file;
}

void test_fail(const char *file, int line, const char *format, ...)
{
    char message[900];
    va_list args;
    va_start(args, format);
    int length = clip(vsnprintf(message, sizeof message, format, args), sizeof message);
    va_end(args);
    if (syscall(SYS_gettid) != getpid()) {
        char name[17] = "";
        prctl(PR_GET_NAME, name);
        snprintf(message + length, sizeof message - (size_t)length, " [thread %s]", name);
    }
    note("%s:%d: %s", short_path(file), line, message);
    if (runner_record != NULL)
        __atomic_store_n(&runner_record->failed, true, __ATOMIC_RELEASE);
    _exit(EXIT_CHECK_FAILED);
}

void test_skip(const char *reason)
{
    note("%s", reason);
    if (runner_record != NULL)
        __atomic_store_n(&runner_record->skipped, true, __ATOMIC_RELEASE);
    _exit(0);
}

void test_log(const char *file, int line, const char *format, ...)
{
    char message[1024];
    int length = clip(snprintf(message, sizeof message, "%s:%d: ", short_path(file), line), sizeof message);
    va_list args;
    va_start(args, format);
    length += clip(vsnprintf(message + length, sizeof message - (size_t)length - 1, format, args),
                   sizeof message - (size_t)length - 1);
    va_end(args);
    message[length++] = '\n';
    (void)!write(STDERR_FILENO, message, (size_t)length);
}

void test_check_str(const char *file, int line, const char *a_text, const char *a, const char *b_text, const char *b)
{
    if (a == b || (a != NULL && b != NULL && strcmp(a, b) == 0))
        return;
    test_fail(file, line, "CHECK_STR(%s, %s): %s%.300s%s, %s%.300s%s", a_text, b_text, a ? "\"" : "", a ? a : "NULL",
              a ? "\"" : "", b ? "\"" : "", b ? b : "NULL", b ? "\"" : "");
}

void test_check_ptr(const char *file, int line, const char *a_text, const void *a, const char *b_text, const void *b)
{
    if (a != b)
        test_fail(file, line, "CHECK_PTR(%s, %s): %p, %p", a_text, b_text, a, b);
}

void test_check_mem(const char *file, int line, const char *a_text, const void *a, const char *b_text, const void *b,
                    size_t size)
{
    if (size == 0)
        return;
    if (a == NULL || b == NULL)
        test_fail(file, line, "CHECK_MEM(%s, %s, %zu): %p, %p", a_text, b_text, size, a, b);
    const unsigned char *x = a;
    const unsigned char *y = b;
    for (size_t i = 0; i < size; i++) {
        if (x[i] != y[i])
            test_fail(file, line, "CHECK_MEM(%s, %s, %zu): byte %zu is 0x%02x, 0x%02x", a_text, b_text, size, i, x[i],
                      y[i]);
    }
}
