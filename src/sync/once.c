/* SPDX-License-Identifier: MIT */
/* Once.
 *
 * States of the word: FRESH -> RUNNING [-> WAITED: and somebody waits for its end] -> DONE, or back to FRESH when the
 * function failed. owner_ is the number of the thread that runs it, or stale; only that thread may find its own there while
 * the word is RUNNING or WAITED. */
#include "sync/sync.h"

enum { FRESH, RUNNING, WAITED, DONE };

_Static_assert(sizeof(motet_once_flag) == 16, "part of the ABI");

static int run(motet_once_flag *o, motet_fn *fn, void *arg)
{
    atomic_store_relaxed(&o->owner_, sync_self());
    int result = fn(arg);
    atomic_store_relaxed(&o->owner_, 0);
    if (result >= 0)
        o->result_ = result;
    /* Publishes the result and all that fn did. Then the flag may be gone: only its address counts. */
    if (atomic_exchange_release(&o->word_, result >= 0 ? DONE : FRESH) == WAITED)
        motet__unpark(o, UNPARK_ALL);
    return result;
}

static __attribute__((noinline)) int once_slow(motet_once_flag *o, motet_fn *fn, void *arg)
{
    uint32_t word = atomic_load_acquire(&o->word_);
    for (;;) {
        if (word == DONE)
            return o->result_;
        if (word == FRESH) {
            /* Acquire: what a failed run left. */
            if (atomic_cas_acq_rel(&o->word_, &word, RUNNING))
                return run(o, fn, arg);
            continue;
        }
        if (atomic_load_relaxed(&o->owner_) == sync_self())
            return -EDEADLK;
        if (word == RUNNING && !atomic_cas_acq_rel(&o->word_, &word, WAITED))
            continue;
        int e = motet__park(&o->word_, WAITED, MOTET_FOREVER, PARK_NO_CANCEL);
        word = atomic_load_acquire(&o->word_);
        if (e < 0 && word != DONE)
            return e;
    }
}

int motet_once(motet_once_flag *o, motet_fn *fn, void *arg)
{
    if (!o || !fn)
        return -EINVAL;
    /* Acquire: partner of run's exchange. */
    return likely(atomic_load_acquire(&o->word_) == DONE) ? o->result_ : once_slow(o, fn, arg);
}
