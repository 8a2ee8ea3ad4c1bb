/* SPDX-License-Identifier: MIT */
/* A doubly linked list whose links live in its members. Zero-initialise links; a list head is initialised to itself. */
#ifndef MOTET_BASE_LIST_H
#define MOTET_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

typedef struct list_link {
    struct list_link *next, *prev; /* NULL, NULL: on no list */
} list_link;

static inline void list_init(list_link *head) { head->next = head->prev = head; }

static inline bool list_empty(const list_link *head) { return head->next == head; }

static inline bool list_linked(const list_link *l) { return l->next != NULL; }

/* Before `at`; before the head is the list's end. */
static inline void list_insert_before(list_link *at, list_link *l)
{
    l->next = at;
    l->prev = at->prev;
    at->prev->next = l;
    at->prev = l;
}

static inline void list_remove(list_link *l)
{
    l->prev->next = l->next;
    l->next->prev = l->prev;
    l->next = l->prev = NULL;
}

#endif
