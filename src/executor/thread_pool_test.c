/* SPDX-License-Identifier: MIT */
/* The thread pool: every check of the conformance suite, and what only threads have. */
#include "executor/conformance.h"

#include <stdlib.h>

static void *alloc(size_t size) { return calloc(1, size); }

static const conform_backend threads = {
    .name = "threads",
    .open = motet_thread_pool_open,
    .alloc = alloc,
    .free = free,
    .holds_worker = true,
    .tasks_submit = true,
    .callbacks_share = true,
};

#define CONFORM(check) \
    TEST(check) { conform_##check(&threads); }
CONFORM_CHECKS(CONFORM)
