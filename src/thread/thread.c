/* SPDX-License-Identifier: MIT */
/* Threads as objects: started, adopted, waited for, cancelled.
 *
 * States of an object, in `state`:
 *
 *     RUNNING --(by the thread itself, once)--> ENDED
 *
 * RUNNING has one reference that belongs to the thread, and a place in the list of living ones; both go with
 * it. A thread ends in a late round of the destructors of its thread-local values (END_ROUND), when nothing
 * of the user's is left to run on it, in this order:
 *   1. nobody can reach it to cancel it (`self` is NULL, under its guard), nor enumerate it: it leaves the
 *      list of the living for that of the ended
 *   2. ENDED is published, with the result and all that the thread did; its joiners are woken
 *   3. its reference is given up. The object may go with it: then the thread hands its OS thread over
 *      (exit.c)
 *   4. the program's end is told (exit.c)
 * The OS thread is joined, once, by whoever takes the object off the list of the ended: a joiner, who frees
 * the last reference, or the program's end. It waits for steps 3 and 4 and the way out of the C library, and
 * for nothing that takes longer.
 *
 * Main is a static object, so that nothing is left of it; it is in the list from the beginning. Other threads
 * that were not started here get an object when they ask who they are.
 *
 * Lock order: an object's guard, then park's; the lists' guard stands alone.
 *
 * Fork rule: the child of a raw fork takes no guard and joins nobody; references still count. */
#include "thread/thread.h"

#include "base/afresh.h"
#include "base/guard.h"
#include "park/park.h"

#include <stdio.h>
#include <string.h>

enum { RUNNING, ENDED };
/* The last round belongs to sanitizers. */
enum { END_ROUND = SYS_KEY_ROUNDS - 1 };

struct motet_thread {
    uint32_t refs;
    uint32_t state; /* waited on */
    int code;       /* the thread's own; published by ENDED */
    bool holds;     /* the program's end waits for it */
    motet_fn *fn;   /* NULL: adopted */
    void *arg;
    uint64_t id;
    list_link link;   /* guarded by lists; on `living` or `ended`, or neither */
    pthread_t handle; /* set by the thread itself; to be joined by whoever takes it off `ended` */

    guard guard;     /* of these two */
    park_self *self; /* NULL: it has not begun, or has ended */
    bool cancelled;  /* asked before it had begun */

    const char *name;
    char name_copy[];
};

static struct motet_thread main_thread; /* its first fields: main_begins */

static guard lists;                           /* of the next three */
static list_link living = {&living, &living}; /* all that are RUNNING */
static uint32_t living_count;
static list_link ended = {&ended, &ended}; /* those whose OS threads are to be joined */

static guard key_guard;
static uint32_t key_ready; /* published by release: `end_key` is good */
static sys_key end_key;    /* the thread's object, until it ends */

static uint64_t ids = 1; /* main's */
static uint32_t names;   /* counted for Thread-N and Dummy-N together */
static size_t stack_size;

static _Thread_local __attribute__((tls_model("initial-exec"))) struct {
    motet_thread *current; /* the thread's own reference; NULL: not adopted yet, or over */
    int round;             /* of destructors */
    bool over;
} tls;

/* ---- the lists ------------------------------------------------------------------------------------- */

static void add_to_living(motet_thread *t)
{
    guard_lock(&lists);
    list_insert_before(&living, &t->link);
    living_count++;
    guard_unlock(&lists);
}

static void leave_living(motet_thread *t, bool to_be_joined)
{
    guard_lock(&lists);
    list_remove(&t->link);
    living_count--;
    if (to_be_joined)
        list_insert_before(&ended, &t->link);
    guard_unlock(&lists);
}

/* Of an ended one: true for the one caller that has to join its OS thread. */
static bool leave_ended(motet_thread *t)
{
    guard_lock(&lists);
    bool mine = list_linked(&t->link);
    if (mine)
        list_remove(&t->link);
    guard_unlock(&lists);
    return mine;
}

void motet__threads_join_ended(void)
{
    guard_lock(&lists);
    while (!list_empty(&ended)) {
        motet_thread *t = container_of(ended.next, motet_thread, link);
        pthread_t handle = t->handle; /* the object may be freed once it is off the list */
        list_remove(&t->link);
        guard_unlock(&lists);
        sys_thread_join(handle);
        guard_lock(&lists);
    }
    guard_unlock(&lists);
}

int motet_thread_enumerate(motet_thread **ret, size_t n)
{
    if (!ret && n)
        return -EINVAL;
    if (!motet__park_allowed())
        return -EPERM;
    size_t i = 0;
    guard_lock(&lists);
    for (list_link *l = living.next; l != &living && i < n; l = l->next)
        ret[i++] = motet_thread_ref(container_of(l, motet_thread, link));
    int count = (int)living_count;
    guard_unlock(&lists);
    return count;
}

/* ---- references ------------------------------------------------------------------------------------ */

motet_thread *motet_thread_ref(motet_thread *t)
{
    if (t)
        atomic_add_relaxed(&t->refs, 1); /* the caller has one, so the object stays */
    return t;
}

static void unref(motet_thread *t, bool is_self)
{
    /* All uses of the object before its end. */
    if (atomic_sub_acq_rel(&t->refs, 1) != 1 || t == &main_thread)
        return;
    if (motet__park_allowed() && leave_ended(t)) {
        if (is_self)
            motet__exit_hand_over(t->handle);
        else
            sys_thread_join(t->handle);
    }
    sys_free(t);
}

motet_thread *motet_thread_free(motet_thread *t)
{
    if (t)
        unref(t, false);
    return NULL;
}

/* ---- how an object begins and ends ----------------------------------------------------------------- */

static motet_thread *object_new(const char *name, const char *prefix)
{
    char numbered[32];
    if (!name || !*name) {
        snprintf(numbered, sizeof numbered, "%s-%u", prefix, (unsigned)atomic_add_relaxed(&names, 1) + 1);
        name = numbered;
    }
    size_t size = strlen(name) + 1;
    motet_thread *t = sys_alloc_zero(1, sizeof *t + size);
    if (!t)
        return NULL;
    memcpy(t->name_copy, name, size);
    t->name = t->name_copy;
    t->refs = 2; /* the thread's, and the one that the caller hands out */
    t->id = atomic_add_relaxed(&ids, 1) + 1;
    return t;
}

/* Makes `t` the calling thread's object. From here on it can be cancelled. */
static void begin(motet_thread *t)
{
    tls.current = t;
    guard_lock(&t->guard);
    t->self = motet__park_self();
    bool cancelled = t->cancelled;
    guard_unlock(&t->guard);
    if (cancelled)
        motet__park_cancel(motet__park_self());
}

/* Steps 1 and 2. */
static void publish_end(motet_thread *t, bool to_be_joined)
{
    guard_lock(&t->guard);
    t->self = NULL;
    guard_unlock(&t->guard);
    leave_living(t, to_be_joined);
    /* Partner of the loads in join and alive. */
    atomic_store_release(&t->state, ENDED);
    motet__unpark(&t->state, UNPARK_ALL);
}

static void end(motet_thread *t)
{
    bool holds = t->holds;
    tls.current = NULL;
    tls.over = true;
    /* Ended already: it is the one that called exit. */
    if (!motet__park_allowed() || atomic_load_relaxed(&t->state) == ENDED)
        return;
    publish_end(t, t->fn != NULL);
    unref(t, true);
    if (holds)
        motet__exit_release();
}

/* The key's destructor. */
static void end_in_time(void *t)
{
    if (++tls.round >= END_ROUND || sys_key_set(end_key, t) < 0)
        end(t);
}

void motet__thread_leave(void)
{
    motet_thread *t = tls.current;
    if (!t && sys_thread_is_main() && !tls.over)
        t = tls.current = &main_thread;
    if (!t || atomic_load_relaxed(&t->state) == ENDED)
        return;
    /* It is in exit(), so nobody can join its OS thread; and it goes on knowing who it is, so its reference
     * stays. */
    publish_end(t, false);
    if (t->holds)
        motet__exit_release();
}

/* ---- main, foreign threads, the calling thread ----------------------------------------------------- */

/* Runs before main, on its thread, and before a C++ program's own constructors. (If the library is loaded
 * later by another thread, main is reached when it first asks who it is, or starts a thread.) */
__attribute__((constructor(101))) static void main_begins(void)
{
    main_thread.refs = 1;
    main_thread.id = 1;
    main_thread.name = "MainThread";
    if (sys_thread_is_main())
        main_thread.self = motet__park_self();
    add_to_living(&main_thread);
}

static int prepare_key(void)
{
    if (atomic_load_acquire(&key_ready))
        return 0;
    int e = 0;
    guard_lock(&key_guard);
    if (!key_ready) {
        e = sys_key_create(&end_key, end_in_time);
        if (!e)
            atomic_store_release(&key_ready, 1);
    }
    guard_unlock(&key_guard);
    return e;
}

/* The calling thread has no object yet: NULL when it can't have one. */
static motet_thread *adopt(void)
{
    if (tls.over || !motet__park_allowed() || prepare_key() < 0)
        return NULL;
    bool is_main = sys_thread_is_main();
    motet_thread *t = is_main ? motet_thread_ref(&main_thread) : object_new(NULL, "Dummy");
    if (!t)
        return NULL;
    if (sys_key_set(end_key, t) < 0) {
        t->refs--; /* nobody else has seen it */
        if (!is_main)
            sys_free(t);
        return NULL;
    }
    if (!is_main)
        add_to_living(t);
    begin(t);
    return t;
}

motet_thread *motet_thread_current(void) { return tls.current ? motet_thread_ref(tls.current) : adopt(); }

/* ---- in the child of a fork ------------------------------------------------------------------------ */

/* One that stayed behind with the parent. Its object lives on if somebody here has a reference. */
static void lose(motet_thread *t)
{
    t->guard = (guard){0};
    t->self = NULL;
    t->code = -ECANCELED;
    t->holds = false;
    atomic_store_relaxed(&t->state, ENDED);
    if (t != &main_thread && --t->refs == 0)
        sys_free(t);
}

/* The calling thread is the only one, and main from now on. It keeps its object if it has one. */
static void forget(void)
{
    motet_thread *self = tls.current;
    lists = key_guard = (guard){0};
    for (list_link *l = living.next, *next; l != &living; l = next) {
        motet_thread *t = container_of(l, motet_thread, link);
        next = l->next;
        *l = (list_link){0};
        if (t != self)
            lose(t);
    }
    list_init(&living);
    /* Of these nobody can be joined. */
    for (list_link *l = ended.next, *next; l != &ended; l = next) {
        next = l->next;
        *l = (list_link){0};
    }
    list_init(&ended);
    if (!self) {
        self = &main_thread;
        main_thread.refs += main_thread.refs == 0;
        main_thread.code = 0;
    }
    self->guard = (guard){0};
    self->cancelled = self->holds = false;
    self->self = motet__park_self();
    atomic_store_relaxed(&self->state, RUNNING);
    list_insert_before(&living, &self->link);
    living_count = 1;
}
AFRESH(forget);

/* ---- start ----------------------------------------------------------------------------------------- */

static void *run(void *arg)
{
    motet_thread *t = arg;
    t->handle = sys_thread_self();
    t->code = -ECANCELED; /* unless the body returns */
    sys_thread_set_name(t->name);
    begin(t);
    bool timely = sys_key_set(end_key, t) == 0;
    t->code = t->fn(t->arg);
    if (!timely)
        end(t); /* no memory for the key: before the destructors, then */
    return NULL;
}

/* The object of a thread that could not be made: somebody may have enumerated it. */
static void never_began(motet_thread *t, int code)
{
    t->code = code;
    publish_end(t, false);
    if (t->holds)
        motet__exit_release();
    unref(t, false);
    unref(t, false);
}

int motet_thread_start(motet_thread **ret, motet_fn *fn, void *arg, const motet_thread_options *opt)
{
    static const motet_thread_options defaults;
    if (!opt)
        opt = &defaults;
    if (!ret || !fn || (opt->stack_size && opt->stack_size < sys_stack_min()))
        return -EINVAL;
    int e = motet__exit_prepare();
    if (e < 0)
        return e;
    e = prepare_key();
    if (e < 0)
        return e;
    if (!tls.current && sys_thread_is_main())
        motet_thread_free(adopt()); /* so that a pthread_exit of main's is noticed */
    motet_thread *t = object_new(opt->name, "Thread");
    if (!t)
        return -ENOMEM;
    t->fn = fn;
    t->arg = arg;
    t->holds = !opt->daemon;
    if (t->holds)
        motet__exit_hold();
    add_to_living(t);
    motet_thread *was = *ret;
    *ret = t; /* the body may look */
    e = sys_thread_create(opt->stack_size ? sys_stack_round(opt->stack_size) : motet_stack_size(0), run, t);
    if (e < 0) {
        *ret = was;
        never_began(t, e);
    }
    return e;
}

size_t motet_stack_size(size_t bytes)
{
    size_t was = atomic_load_relaxed(&stack_size), least = sys_stack_min();
    if (!was)
        was = sys_stack_default();
    if (bytes)
        /* Relaxed: a number alone. */
        atomic_store_relaxed(&stack_size, sys_stack_round(bytes < least ? least : bytes));
    return was;
}

/* ---- what is asked of one -------------------------------------------------------------------------- */

int motet_thread_join(motet_thread *t, int *ret_code, motet_time deadline)
{
    if (!t)
        return -EINVAL;
    if (!motet__park_allowed())
        return -EPERM;
    if (t == tls.current)
        return -EDEADLK;
    /* Acquire: partner of the release in publish_end. */
    while (atomic_load_acquire(&t->state) == RUNNING) {
        int e = motet__park(&t->state, RUNNING, deadline, 0);
        if (e < 0)
            return e;
    }
    if (leave_ended(t))
        sys_thread_join(t->handle);
    if (ret_code)
        *ret_code = t->code;
    return 0;
}

bool motet_thread_alive(const motet_thread *t) { return t && atomic_load_acquire(&t->state) == RUNNING; }

const char *motet_thread_name(const motet_thread *t) { return t ? t->name : NULL; }

uint64_t motet_thread_id(const motet_thread *t) { return t ? t->id : 0; }

int motet_thread_cancel(motet_thread *t)
{
    if (!t)
        return -EINVAL;
    if (!motet__park_allowed())
        return -EPERM;
    guard_lock(&t->guard);
    t->cancelled = true;
    if (t->self)
        motet__park_cancel(t->self);
    guard_unlock(&t->guard);
    return 0;
}
