/* SPDX-License-Identifier: MIT */
/* Starting afresh in the child of a fork: each file that keeps something for the whole process says how it forgets it. */
#ifndef MOTET_BASE_AFRESH_H
#define MOTET_BASE_AFRESH_H

/* `forget` is called in a process that is a copy of another and is to be one of its own, by its only thread: what other
 * threads held is held by nobody now, and whatever stands in the file's variables is the parent's. */
typedef struct afresh_entry {
    void (*forget)(void);
    struct afresh_entry *next;
} afresh_entry;

void motet__afresh_register(afresh_entry *entry);

#define AFRESH(forget_)                                                     \
    __attribute__((constructor(101))) static void forget_##_registers(void) \
    {                                                                       \
        static afresh_entry afresh_own = {.forget = forget_};               \
        motet__afresh_register(&afresh_own);                                \
    }                                                                       \
    struct afresh_entry

/* Calls them all. */
void motet__afresh(void);

#endif
