/* SPDX-License-Identifier: MIT */
/* Asserts that stand in release builds too: a broken invariant of motet's own ends the program with a message. */
#ifndef MOTET_BASE_PANIC_H
#define MOTET_BASE_PANIC_H

/* Writes one line to standard error and aborts. */
_Noreturn void motet__panic(const char *file, int line, const char *what);

#define MOTET_ASSERT(cond) (__builtin_expect(!!(cond), 1) ? (void)0 : motet__panic(__FILE__, __LINE__, #cond))

#endif
