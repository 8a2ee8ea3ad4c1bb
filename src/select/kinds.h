/* SPDX-License-Identifier: MIT */
/* Every kind of thing that select can wait for. Queues bring their own (queue/waitable.h). */
#ifndef MOTET_SELECT_KINDS_H
#define MOTET_SELECT_KINDS_H

#include "park/waitable.h"
#include "queue/waitable.h"

/* The object is a motet_event; arg: a uint32_t of the caller's in which the wait's begin is kept. */
extern const waitable_ops motet__event_waitable;

/* The object is a motet_future; no arg. */
extern const waitable_ops motet__future_waitable;

#endif
