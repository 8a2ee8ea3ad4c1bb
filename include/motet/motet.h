/* SPDX-License-Identifier: MIT */
/* motet/motet.h - everything that motet offers, in one include. */
#ifndef MOTET_MOTET_H
#define MOTET_MOTET_H

#include <motet/base.h>
#include <motet/executor.h>
#include <motet/ipc.h>
#include <motet/process.h>
#include <motet/queue.h>
#include <motet/select.h>
#include <motet/sync.h>
#include <motet/thread.h>

#endif
