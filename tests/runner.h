/* SPDX-License-Identifier: MIT */
/*
 * The test runner's face: how a test is declared and how it checks.
 *
 * All unit tests are linked into one program, motet-test. Each test runs in a process of its own: a new session,
 * stdin from /dev/null, output kept and shown only when the test fails (or with -v), with a time-out. After the
 * body has returned its process is searched for what it left behind: file descriptors, threads, children, memory;
 * after the process has ended, for processes that outlived it.
 *
 *     TEST(adds) { CHECK_EQ(1 + 1, 2); }
 *     TEST_OPT(dies, .signal = SIGABRT) { abort(); }
 *
 * The test's id is the file's name without _test.c, a dot, and the test's name. Every CHECK works from any thread
 * of the test and from any process that it forks; the first that fails ends its process and fails the test.
 */
#ifndef MOTET_TESTS_RUNNER_H
#define MOTET_TESTS_RUNNER_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* For a test that a sanitizer makes impossible; say which and why in its SKIP. */
#if defined(__SANITIZE_THREAD__)
#define TEST_UNDER_TSAN 1
#elif defined(__SANITIZE_ADDRESS__)
#define TEST_UNDER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TEST_UNDER_TSAN 1
#elif __has_feature(address_sanitizer)
#define TEST_UNDER_ASAN 1
#endif
#endif

struct test_options {
    int timeout_s; /* 0: 60 seconds; stretched under sanitizers */
    bool alone;    /* no other test runs beside this one */
    int exit_code; /* the exit code that the test process is expected to end with */
    int signal;    /* the signal that it is expected to die by */
    void (*at_exit)(
        void);     /* run at the very end of exit(), after the program's and the library's own handlers; may CHECK */
    bool may_leak; /* do not look for fds, threads, children and memory after the body */
};

struct test {
    const char *file;
    const char *name;
    void (*body)(void);
    struct test_options opt;
    struct test *next;
};

#define TEST(name)          TEST_DEFINE(#name, testcase_##name, testbody_##name, testadd_##name, .timeout_s = 0)
#define TEST_OPT(name, ...) TEST_DEFINE(#name, testcase_##name, testbody_##name, testadd_##name, __VA_ARGS__)

#define TEST_DEFINE(name_, case_, body_, add_, ...)                                                    \
    static void body_(void);                                                                           \
    static struct test case_ = {.file = __FILE__, .name = name_, .body = body_, .opt = {__VA_ARGS__}}; \
    __attribute__((constructor)) static void add_(void) { test_register(&case_); }                     \
    static void body_(void)

/* fn runs after every test's body and before the search for leaks: there a part of the library may give back what
 * it keeps for the life of the process. */
#define TEST_SETTLE(fn)                                                                          \
    __attribute__((constructor)) static void testsettle_##fn(void) { test_register_settle(fn); } \
    struct test

#define CHECK(cond)                                            \
    do {                                                       \
        if (!(cond))                                           \
            test_fail(__FILE__, __LINE__, "CHECK(%s)", #cond); \
    } while (0)

#define CHECK_EQ(a, b) TEST_COMPARE("EQ", #a, a, ==, #b, b)
#define CHECK_NE(a, b) TEST_COMPARE("NE", #a, a, !=, #b, b)
#define CHECK_LT(a, b) TEST_COMPARE("LT", #a, a, <, #b, b)
#define CHECK_LE(a, b) TEST_COMPARE("LE", #a, a, <=, #b, b)
#define CHECK_GT(a, b) TEST_COMPARE("GT", #a, a, >, #b, b)
#define CHECK_GE(a, b) TEST_COMPARE("GE", #a, a, >=, #b, b)

/* `| 0` lets only integers through: a double or a pointer is an error of the compiler's. */
#define TEST_COMPARE(kind, a_text, a, op, b_text, b)                                                               \
    do {                                                                                                           \
        long long test_a_ = (long long)((a) | 0);                                                                  \
        long long test_b_ = (long long)((b) | 0);                                                                  \
        if (!(test_a_ op test_b_))                                                                                 \
            test_fail(__FILE__, __LINE__, "CHECK_%s(%s, %s): %lld, %lld", kind, a_text, b_text, test_a_, test_b_); \
    } while (0)

#define CHECK_STR(a, b)    test_check_str(__FILE__, __LINE__, #a, a, #b, b)
#define CHECK_PTR(a, b)    test_check_ptr(__FILE__, __LINE__, #a, a, #b, b)
#define CHECK_MEM(a, b, n) test_check_mem(__FILE__, __LINE__, #a, a, #b, b, n)

/* The test ends here and counts as skipped. */
#define SKIP(reason) test_skip(reason)

/* A line for whoever reads the report of a failure, or runs with -v. */
#define LOG(...) test_log(__FILE__, __LINE__, __VA_ARGS__)

void test_register(struct test *test);
void test_register_settle(void (*fn)(void));
__attribute__((noreturn, format(printf, 3, 4))) void test_fail(const char *file, int line, const char *format, ...);
__attribute__((noreturn)) void test_skip(const char *reason);
__attribute__((format(printf, 3, 4))) void test_log(const char *file, int line, const char *format, ...);
void test_check_str(const char *file, int line, const char *a_text, const char *a, const char *b_text, const char *b);
void test_check_ptr(const char *file, int line, const char *a_text, const void *a, const char *b_text, const void *b);
void test_check_mem(const char *file, int line, const char *a_text, const void *a, const char *b_text, const void *b,
                    size_t size);

#endif
