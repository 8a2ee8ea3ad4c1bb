/* SPDX-License-Identifier: MIT */
/* motet/executor.h - tasks, futures and the executors that run them.
 *
 * A task is a named function from a value to a value. It is submitted to an executor, which runs it on one of its workers,
 * and a future stands for its result. After Python's concurrent.futures.
 *
 * In the child of a raw fork what submits, waits, cancels or completes fails with -EPERM; futures that are over can be read. */
#ifndef MOTET_EXECUTOR_H
#define MOTET_EXECUTOR_H

#include <motet/base.h>
#include <motet/thread.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct motet_executor motet_executor;
typedef struct motet_future motet_future;
typedef struct motet_completions motet_completions;

/* ---- tasks ----------------------------------------------------------------------------------------- */

/* A task's description, made by MOTET_TASK or MOTET_TASK_BYTES; lives as long as the program. */
typedef struct motet_task {
    const char *name;
    size_t in_size, out_size; /* bytes; 0, 0 for a task from bytes to bytes */
    int (*call)(const void *in, void *out);
    int (*call_bytes)(motet_bytes in, motet_buffer *out); /* NULL unless it is one from bytes to bytes */
    /* Calls it on `n` items side by side, until a word of `stop` is not 0: on how many. A map's loop, compiled where the task
     * is: across two libraries each call would cost as much again. NULL: a map uses `call`. */
    size_t (*call_many)(const void *in, void *out, int *codes, size_t n, const uint32_t *const stop[2]);
} motet_task;

/* What registers a task by name; MOTET_TASK makes it. */
typedef struct motet_task_entry {
    const motet_task *task;
    struct motet_task_entry *next;
} motet_task_entry;

MOTET_API void motet_task_register(motet_task_entry *entry);

/* motet_task_find: the task of that name in this program, or NULL. Any thread; takes no lock. */
MOTET_API const motet_task *motet_task_find(const char *name);

/* ---- options --------------------------------------------------------------------------------------- */

typedef struct motet_pool_options {
    unsigned workers;      /* 0: one for each CPU (motet_cpu_count) */
    const char *name;      /* its workers are called NAME-1, NAME-2 ...; NULL: "Pool" */
    motet_fn *initializer; /* called with `arg` by each worker before its first task; a negative return is a failure */
    void *arg;             /* of the initializer */
    size_t queue_max;      /* so many tasks may wait for a worker, then submit waits; 0: no bound */
    unsigned retries;      /* how often an idempotent task is run again when its worker died (threads don't) */
    bool caller_helps;     /* a thread outside the pool that waits for a task may run it itself */
    int method;            /* processes only, as are all that follow: not 0 is -ENOTSUP for threads */
    unsigned max_tasks_per_worker;
    int64_t task_timeout_ns;
    size_t memory_max;
    unsigned restart_max;
} motet_pool_options;

typedef struct motet_submit_options {
    motet_time deadline; /* to get into a full queue; 0: for ever */
    int priority;        /* not 0: -ENOTSUP (no executor has priorities yet) */
    int64_t timeout_ns;  /* the task is killed after so long; threads can't: -ENOTSUP */
    unsigned retries;    /* as in the pool's options, for this task */
    bool idempotent;     /* it may be run again */
} motet_submit_options;

typedef struct motet_map_options {
    size_t chunk;        /* items that a worker takes at a time; 0: chosen from n and the workers */
    motet_time deadline; /* for the whole map; 0: for ever */
    int *codes;          /* n codes, one an item: the task's own, or -ECANCELED where it did not run; may be NULL */
    void (*on_done)(size_t done, size_t total, void *arg); /* progress, on the calling thread, while map waits */
    void *arg;                                             /* of on_done */
} motet_map_options;

/* ---- executors ------------------------------------------------------------------------------------- */

/* motet_thread_pool_open: a pool of threads. They are started when tasks come, up to `.workers`, unless there is an
 * initializer: then all start at once, and a failing one's code is returned, with no pool made. A worker that waits for a
 * future is stood in for by another thread meanwhile (or runs what it waits for itself), so tasks may wait for tasks of their
 * own pool. Pools still open at the program's end finish what was submitted.
 * 0; -EINVAL; -ENOTSUP for options of processes; -ENOMEM, -EAGAIN; what the initializer returned. */
MOTET_API int motet_thread_pool_open(motet_executor **ex, const motet_pool_options *opt);

/* motet_submit: has `task` run with a copy of `in`. `in.size` is the task's in_size, or anything for a task from bytes.
 * `f`, if not NULL, gets a future that the caller unrefs. Waits only while a bounded queue is full. Any thread, tasks and
 * callbacks included (a callback should give a deadline of MOTET_NOWAIT if the queue is bounded).
 * 0; -EINVAL; -EMSGSIZE for an input of the wrong size; -EPIPE after shutdown; -ETIMEDOUT the queue stayed full; -ECANCELED,
 * -EINTR; -ENOTSUP; -ENOMEM, -EAGAIN; the initializer's code if one failed in a later worker. */
MOTET_API int motet_submit(motet_executor *ex, const motet_task *task, motet_bytes in, const motet_submit_options *opt,
                           motet_future **f);

/* motet_map: runs `task` (of fixed sizes) over `n` inputs side by side at `in`, results in the same order at `out`. Waits until
 * all are done. The first failing item's code, by index, is returned (others run all the same, and their results stand;
 * what a failed item leaves in `out` is its own matter); on -ETIMEDOUT, -ECANCELED and -EINTR items that have not begun
 * never do, and what still runs no longer touches `in`, `out` and `codes` (of quick items, the last few microseconds' results
 * may be lost with it; with a chunk of 1 none is). So it is for items that shutdown with `cancel_pending`, or terminate, cancels:
 * the others' results stand. A worker of the pool that maps helps; another
 * thread helps if the pool was opened so.
 * 0; a task's code; -EINVAL; -EPIPE after shutdown; -ETIMEDOUT; -ECANCELED; -EINTR; -ENOMEM; -EAGAIN. */
MOTET_API int motet_map(motet_executor *ex, const motet_task *task, const void *in, void *out, size_t n,
                        const motet_map_options *opt);

/* Gives motet_imap its next input: appends it to `in`, which is empty. 1: there is one; 0: there are no more; negative: stop
 * with this code. */
typedef int motet_imap_next(void *arg, motet_buffer *in);

typedef struct motet_imap_options {
    bool unordered;      /* results as they come instead of in the order of the inputs */
    size_t ahead;        /* so many inputs are under way at most; 0: four times the CPUs, at least 16 */
    motet_time deadline; /* for the whole; 0: for ever */
    /* Takes a result: the input's index, the task's code, its value (valid during the call). Not 0: stop with this code. */
    int (*result)(void *arg, size_t index, int code, motet_bytes value);
} motet_imap_options;

/* motet_imap: runs `task` over inputs that `next` makes one by one, and hands the results to `opt->result`; both are called on the
 * calling thread with `arg`. At most `.ahead` inputs are under way, so memory stays flat however many there are. When it
 * stops early, tasks that have not begun are cancelled.
 * 0; what `next` or `result` stopped with; without `result` the first failing task's code; codes of motet_submit and
 * motet_future_wait. */
MOTET_API int motet_imap(motet_executor *ex, const motet_task *task, motet_imap_next *next, void *arg,
                         const motet_imap_options *opt);

/* motet_executor_shutdown: refuses new tasks from now on, and waits until those submitted are over. With `cancel_pending` those
 * that have not begun are cancelled first. May be called again. 0; -ETIMEDOUT (it goes on shutting down); -ECANCELED, -EINTR
 * likewise; -EDEADLK from inside one of its tasks, with nothing done; -EINVAL. */
MOTET_API int motet_executor_shutdown(motet_executor *ex, bool cancel_pending, motet_time deadline);

/* motet_executor_terminate: refuses new tasks, cancels those that have not begun and asks those that run to stop: a
 * thread's waits return -ECANCELED from now on (motet_cancelled tells). Does not wait. 0; -EINVAL. */
MOTET_API int motet_executor_terminate(motet_executor *ex);

typedef struct motet_executor_stats_t {
    unsigned workers;    /* as opened */
    unsigned alive;      /* workers that exist, stand-ins included */
    unsigned idle;       /* of these, asleep */
    unsigned waiting;    /* of these, inside a task that waits for a future */
    uint64_t submitted;  /* tasks, and items of maps */
    uint64_t finished;   /* those that ran */
    uint64_t cancelled;  /* those that never will: cancelled, or failed for want of a worker */
    uint64_t pending;    /* queued now; the cancelled are counted until a worker comes across them */
    uint64_t by_callers; /* of the finished, run by threads outside that waited */
    uint64_t stolen;     /* tasks that one worker took from another's batch */
} motet_executor_stats_t;

/* motet_executor_stats: a moment's truth. 0; -EINVAL. */
MOTET_API int motet_executor_stats(motet_executor *ex, motet_executor_stats_t *ret);

/* motet_executor_close: shuts down, waits for what was submitted, joins the workers and frees the executor. Futures outlive it. NULL is
 * fine. Returns NULL; from inside one of its tasks it can't: then nothing is done and `ex` is returned. In the child of a raw
 * fork, where its workers are not, it is left as it stands. */
MOTET_API motet_executor *motet_executor_close(motet_executor *ex);

/* ---- futures --------------------------------------------------------------------------------------- */

typedef enum { MOTET_PENDING, MOTET_RUNNING, MOTET_CANCELLED, MOTET_DONE } motet_future_state;

typedef enum {
    MOTET_RETURNED,      /* the task returned; its code is its own */
    MOTET_WAS_CANCELLED, /* before it began */
    MOTET_WORKER_DIED,   /* under it; or no worker could be had */
    MOTET_TIME_LIMIT,
    MOTET_MEMORY_LIMIT,
    MOTET_POISON, /* given up: too many workers died of it */
} motet_outcome;

/* motet_future_state_of: where it stands now. NULL counts as cancelled. */
MOTET_API motet_future_state motet_future_state_of(motet_future *f);

/* motet_future_wait: 0 once it is over, however it went. -ETIMEDOUT; -ECANCELED, -EINTR of this wait; -EDEADLK from inside the
 * very task; -EINVAL. */
MOTET_API int motet_future_wait(motet_future *f, motet_time deadline);

/* motet_future_code: how it went: the task's own code; -ECANCELED; -EOWNERDEAD; -ETIME. -EAGAIN while it is not over; -EINVAL for
 * NULL. Never waits. */
MOTET_API int motet_future_code(motet_future *f);

/* motet_future_outcome: tells how it ended, so that a task's own -ECANCELED can be told from its cancellation. MOTET_RETURNED while
 * it is not over. */
MOTET_API motet_outcome motet_future_outcome(motet_future *f);

/* motet_future_value: the bytes of the result, the future's own, valid while a reference is held. {NULL, 0} while it is not over,
 * and when it did not return. */
MOTET_API motet_bytes motet_future_value(motet_future *f);

/* motet_future_report: how it went in words, one line or more; "" while it is not over. Valid while a reference is held. */
MOTET_API const char *motet_future_report(motet_future *f);

/* motet_future_cancel: 0 it will never run (also when it was cancelled before); -EAGAIN it runs, or ran, already; -EINVAL.
 * Its callbacks run on the caller. */
MOTET_API int motet_future_cancel(motet_future *f);

/* motet_future_kill: as cancel; a running task is ended where tasks can be (processes); -ENOTSUP for a running one on a thread;
 * -EAGAIN when it is over. */
MOTET_API int motet_future_kill(motet_future *f);

/* motet_promise_new: a future that somebody completes with motet_promise_set. `size` is the most bytes its value may have.
 * 0; -EINVAL; -ENOMEM. */
MOTET_API int motet_promise_new(motet_future **f, size_t size);

/* motet_promise_set: completes a promise with a copy of `value` and a code (0, or negative: a failure). 0; -EMSGSIZE more bytes than
 * the promise has room for; -ECANCELED it was cancelled; -EAGAIN it was set before; -EINVAL, also for a task's future. */
MOTET_API int motet_promise_set(motet_future *f, motet_bytes value, int code);

/* motet_future_on_done: has done(f, arg) called exactly once, when it is over: on the thread that ends it, outside every
 * lock; at once, on the caller, if it is over. The callback may submit, must not wait, and borrows the future. A waiter may
 * see the future over before its callback ran. 0; -EINVAL; -ENOMEM. */
MOTET_API int motet_future_on_done(motet_future *f, void (*done)(motet_future *f, void *arg), void *arg);

/* motet_future_ref: another reference; returns `f`. motet_future_unref: gives one back; NULL is fine; returns NULL. A task whose
 * future nobody holds runs all the same. A promise that nobody holds, and so nobody can set, is cancelled. */
MOTET_API motet_future *motet_future_ref(motet_future *f);
MOTET_API motet_future *motet_future_unref(motet_future *f);

/* motet_future_take: waits, then copies the value of a future of `task` (or, `task` NULL, of any) to `out`, `size` bytes: what
 * the typed helpers do. The task's code when negative, `out` untouched; else that code (0 or positive); -EINVAL when the
 * future is another task's, -EMSGSIZE when its value has another size; codes of motet_future_wait. */
MOTET_API int motet_future_take(motet_future *f, const motet_task *task, void *out, size_t size, motet_time deadline);

/* ---- several futures ------------------------------------------------------------------------------- */

/* motet_wait_any: the index of one that is over. -EINVAL also for n = 0; -ETIMEDOUT, -ECANCELED, -EINTR, -ENOMEM. */
MOTET_API int motet_wait_any(motet_future *const *f, size_t n, motet_time deadline);

/* motet_wait_all: 0 once all are over, however they went. Codes of motet_future_wait. */
MOTET_API int motet_wait_all(motet_future *const *f, size_t n, motet_time deadline);

/* motet_completions_open: will give the futures one by one as they get over. It holds references of its own. 0; -EINVAL;
 * -ENOMEM. */
MOTET_API int motet_completions_open(motet_completions **it, motet_future *const *f, size_t n);

/* motet_completions_next: the next that is over, in the order in which they were; borrowed, good while the caller's own reference
 * or `it` stands. 0; -ENOENT all were given; -ETIMEDOUT, -ECANCELED, -EINTR; -EINVAL. One thread at a time. */
MOTET_API int motet_completions_next(motet_completions *it, motet_future **f, motet_time deadline);

/* motet_completions_close: frees it; futures not given yet go on. NULL is fine. Returns NULL. */
MOTET_API motet_completions *motet_completions_close(motet_completions *it);

#ifdef __cplusplus
}
#endif

/* ---- defining tasks -------------------------------------------------------------------------------- */

#ifdef __cplusplus
#define MOTET__C extern "C"
#define MOTET__STRICT
#else
#define MOTET__C      extern
/* A pointer to another type is an error here, as in compilers since GCC 14, and not a mere warning. */
#define MOTET__STRICT _Pragma("GCC diagnostic error \"-Wincompatible-pointer-types\"")
#endif
#define MOTET__UNUSED __attribute__((unused))
/* So that a type may be written as in a cast: a pointer, an array. */
#define MOTET__IN(type)  const __typeof__(type)
#define MOTET__OUT(type) __typeof__(type)

/* Relaxed: who misses it begins one item more, as if it had been a moment earlier. One branch. */
#define MOTET__STOPPED(stop) \
    (__atomic_load_n((stop)[0], __ATOMIC_RELAXED) | __atomic_load_n((stop)[1], __ATOMIC_RELAXED))

#define MOTET__REGISTER(name)                                            \
    __attribute__((constructor)) static void motet_register_##name(void) \
    {                                                                    \
        static motet_task_entry entry = {&name, NULL};                   \
        motet_task_register(&entry);                                     \
    }

/* MOTET_TASK_DECLARE(name, in type, out type): for headers: the descriptor `name`, defined elsewhere by MOTET_TASK, and its typed
 * helpers; a file may have it any number of times, and beside MOTET_TASK:
 *   int name_submit(motet_executor *ex, const in_type *in, motet_future **f);          as motet_submit
 *   int name_result(motet_future *f, out_type *out, motet_time deadline);              as motet_future_take
 *   int name_map(motet_executor *ex, const in_type *in, out_type *out, size_t n, const motet_map_options *opt); */
#define MOTET_TASK_DECLARE(name, in_type, out_type)                                                            \
    MOTET__STRICT                                                                                              \
    MOTET__C const motet_task name;                                                                            \
    MOTET__C int name##_submit(motet_executor *ex, MOTET__IN(in_type) * in, motet_future * *f);                \
    MOTET__C int name##_result(motet_future *f, MOTET__OUT(out_type) * out, motet_time deadline);              \
    MOTET__C int name##_map(motet_executor *ex, MOTET__IN(in_type) * in, MOTET__OUT(out_type) * out, size_t n, \
                            const motet_map_options *opt);

/* MOTET_TASK(name, in type, out type) { body }: a task from one plain value to another, both copied. The body sees
 * `const in_type *in` and `out_type *out`, and returns 0 or a negative code. Types may be aligned to 64 bytes at most.
 * The task and its helpers are for the whole program: one name twice in it does not link. */
#define MOTET_TASK(name, in_type, out_type)                                                                         \
    MOTET_TASK_DECLARE(name, in_type, out_type)                                                                     \
    int name##_submit(motet_executor *ex_, MOTET__IN(in_type) * in_, motet_future * *f_)                            \
    {                                                                                                               \
        motet_bytes bytes_ = {in_, sizeof(in_type)};                                                                \
        return motet_submit(ex_, &name, bytes_, NULL, f_);                                                          \
    }                                                                                                               \
    int name##_result(motet_future *f_, MOTET__OUT(out_type) * out_, motet_time deadline_)                          \
    {                                                                                                               \
        return motet_future_take(f_, &name, out_, sizeof(out_type), deadline_);                                     \
    }                                                                                                               \
    int name##_map(motet_executor *ex_, MOTET__IN(in_type) * in_, MOTET__OUT(out_type) * out_, size_t n_,           \
                   const motet_map_options *opt_)                                                                   \
    {                                                                                                               \
        return motet_map(ex_, &name, in_, out_, n_, opt_);                                                          \
    }                                                                                                               \
    static int motet_body_##name(MOTET__IN(in_type) * in, MOTET__OUT(out_type) * out);                              \
    static int motet_call_##name(const void *in_, void *out_)                                                       \
    {                                                                                                               \
        return motet_body_##name((MOTET__IN(in_type) *)in_, (MOTET__OUT(out_type) *)out_);                          \
    }                                                                                                               \
    static size_t motet_many_##name(const void *in_, void *out_, int *codes_, size_t n_,                            \
                                    const uint32_t *const stop_[2])                                                 \
    {                                                                                                               \
        size_t i_ = 0;                                                                                              \
        for (; i_ < n_ && !MOTET__STOPPED(stop_); i_++)                                                             \
            codes_[i_] = motet_body_##name((MOTET__IN(in_type) *)in_ + i_, (MOTET__OUT(out_type) *)out_ + i_);      \
        return i_;                                                                                                  \
    }                                                                                                               \
    const motet_task name = {#name, sizeof(in_type), sizeof(out_type), motet_call_##name, NULL, motet_many_##name}; \
    MOTET__REGISTER(name)                                                                                           \
    static int motet_body_##name(MOTET__UNUSED MOTET__IN(in_type) * in, MOTET__UNUSED MOTET__OUT(out_type) * out)

/* MOTET_TASK_BYTES_DECLARE(name): for headers, with the typed helpers
 *   int name_submit(motet_executor *ex, motet_bytes in, motet_future **f);
 *   int name_result(motet_future *f, motet_buffer *out, motet_time deadline);          appends the result to `out` */
#define MOTET_TASK_BYTES_DECLARE(name)                                                \
    MOTET__STRICT                                                                     \
    MOTET__C const motet_task name;                                                   \
    MOTET__C int name##_submit(motet_executor *ex, motet_bytes in, motet_future **f); \
    MOTET__C int name##_result(motet_future *f, motet_buffer *out, motet_time deadline);

/* MOTET_TASK_BYTES(name) { body }: a task from bytes to bytes. The body sees `motet_bytes in` and appends to `motet_buffer *out`. */
#define MOTET_TASK_BYTES(name)                                                    \
    MOTET_TASK_BYTES_DECLARE(name)                                                \
    int name##_submit(motet_executor *ex_, motet_bytes in_, motet_future **f_)    \
    {                                                                             \
        return motet_submit(ex_, &name, in_, NULL, f_);                           \
    }                                                                             \
    int name##_result(motet_future *f_, motet_buffer *out_, motet_time deadline_) \
    {                                                                             \
        int code_ = motet_future_take(f_, &name, NULL, 0, deadline_);             \
        if (code_ < 0)                                                            \
            return code_;                                                         \
        motet_bytes value_ = motet_future_value(f_);                              \
        int e_ = motet_buffer_append(out_, value_.data, value_.size);             \
        return e_ < 0 ? e_ : code_;                                               \
    }                                                                             \
    static int motet_body_##name(motet_bytes in, motet_buffer *out);              \
    const motet_task name = {#name, 0, 0, NULL, motet_body_##name, NULL};         \
    MOTET__REGISTER(name)                                                         \
    static int motet_body_##name(MOTET__UNUSED motet_bytes in, MOTET__UNUSED motet_buffer *out)

#endif
