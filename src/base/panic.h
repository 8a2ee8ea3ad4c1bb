/* SPDX-License-Identifier: MIT */
/* Asserts that stand in release builds too: a broken invariant of motet's own ends the program with a message. */
#ifndef MOTET_BASE_PANIC_H
#define MOTET_BASE_PANIC_H

/* Writes one line to standard error and aborts. */
_Noreturn void motet__panic(const char *file, int line, const char *what);

/* The same when it is the caller of `function` who has made a mistake that nothing can be returned for, as libc's free
 * does. */
#ifdef MOTET_SIM
#define motet__misuse(function, what) motet__panic((function), 0, (what))
#else
_Noreturn void motet__misuse(const char *function, const char *what);
#endif

#define MOTET_ASSERT(cond) (__builtin_expect(!!(cond), 1) ? (void)0 : motet__panic(__FILE__, __LINE__, #cond))

#endif
