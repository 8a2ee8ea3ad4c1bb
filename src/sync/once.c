/* SPDX-License-Identifier: MIT */
/* Once.
 *
 * States of the word: FRESH -> RUNNING [-> WAITED: and somebody waits for its end] -> DONE, or back to FRESH when the
 * function failed. owner_ is the number of the thread that runs it, or stale; only that thread may find its own there while
 * the word is RUNNING or WAITED.
 *
 * A flag that lies in the arena serves the family. Its word says who runs the function: FRESH -> tag [-> and SHARED_WAITED]
 * -> DONE, or FRESH again; the tag of a dead member is as FRESH, but that SHARED_WAITED stays. Each arrow is one step, and all
 * that wait are woken behind the last: if who ran it dies before that, its death wakes them. owner_ tells threads of a member
 * apart and may be stale: only who runs the function finds himself there, or he ran one to its end and it is 0. */
#include "sync/sync.h"

#include <limits.h>

#define SHARED_WAITED ((uint32_t)1 << 31) /* tags are larger than DONE: generations begin with 1 */

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

/* The same for one that is shared, of whom the word is `running` or that and SHARED_WAITED. */
static int run_shared(motet_once_flag *o, motet_fn *fn, void *arg)
{
    atomic_store_relaxed(&o->owner_, sync_self_shared());
    int result = fn(arg);
    atomic_store_relaxed(&o->owner_, 0);
    if (result >= 0)
        o->result_ = result;
    if (atomic_exchange_release(&o->word_, result >= 0 ? DONE : FRESH) & SHARED_WAITED)
        motet__family_wake(&o->word_, INT_MAX);
    return result;
}

static int once_shared(motet_once_flag *o, motet_fn *fn, void *arg)
{
    int64_t self = motet__family_enter();
    int e = self < 0 ? (int)self : 0;
    for (;;) {
        /* Before the word and who is named there. */
        uint32_t deaths = e < 0 ? 0 : motet__family_deaths();
        uint32_t word = atomic_load_acquire(&o->word_);
        if (word == DONE)
            return o->result_;
        if (e < 0)
            return e;
        uint32_t waited = word & SHARED_WAITED;
        if (!(word & TAG_MASK) || !motet__member_alive(word & TAG_MASK)) {
            /* Acquire: what a failed run left. */
            if (atomic_cas_acq_rel(&o->word_, &word, (member_tag)self | waited))
                return run_shared(o, fn, arg);
            continue;
        }
        if (atomic_load_relaxed(&o->owner_) == sync_self_shared())
            return -EDEADLK;
        if (!waited && !atomic_cas_acq_rel(&o->word_, &word, word | SHARED_WAITED))
            continue;
        e = motet__family_wait(&o->word_, word | SHARED_WAITED, deaths, MOTET_FOREVER, FAMILY_NO_CANCEL);
    }
}

static __attribute__((noinline)) int once_slow(motet_once_flag *o, motet_fn *fn, void *arg)
{
    if (motet__family_contains(o))
        return once_shared(o, fn, arg);
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
