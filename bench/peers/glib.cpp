// SPDX-License-Identifier: MIT
// glib.cpp - GLib: GMutex, GAsyncQueue (which has no bound), GThreadPool.
#include "common.hpp"

#include <glib.h>

namespace
{

struct Mutex {
    GMutex m;
    Mutex() { g_mutex_init(&m); }
    ~Mutex() { g_mutex_clear(&m); }
    void acquire() { g_mutex_lock(&m); }
    void release() { g_mutex_unlock(&m); }
};

struct Queue {
    GAsyncQueue *q = g_async_queue_new();
    ~Queue() { g_async_queue_unref(q); }
    void put(uint64_t v) { g_async_queue_push(q, GSIZE_TO_POINTER(v)); }
    uint64_t get() { return GPOINTER_TO_SIZE(g_async_queue_pop(q)); }
};

struct Pool {
    GThreadPool *p;
    GMutex m;
    GCond over;
    bool is_over = false;

    explicit Pool(int workers)
    {
        g_mutex_init(&m);
        g_cond_init(&over);
        p = g_thread_pool_new(run, this, workers, TRUE, nullptr);
    }
    ~Pool()
    {
        g_thread_pool_free(p, FALSE, TRUE);
        g_cond_clear(&over);
        g_mutex_clear(&m);
    }
    // The task's datum says whether somebody waits for it.
    static void run(gpointer data, gpointer user)
    {
        bench_count_task();
        if (GPOINTER_TO_INT(data) == 1)
            return;
        Pool *pool = static_cast<Pool *>(user);
        g_mutex_lock(&pool->m);
        pool->is_over = true;
        g_cond_signal(&pool->over);
        g_mutex_unlock(&pool->m);
    }
    void post() { g_thread_pool_push(p, GINT_TO_POINTER(1), nullptr); }
    void settle() {}
    void trip()
    {
        is_over = false;
        g_thread_pool_push(p, GINT_TO_POINTER(2), nullptr);
        g_mutex_lock(&m);
        while (!is_over)
            g_cond_wait(&over, &m);
        g_mutex_unlock(&m);
    }
};

const bench_row glib_rows[] = {
    {"lock.uncontended@glib", "ns", "pinned", "GMutex", peer::uncontended<Mutex>, false},
    {"lock.contended@glib", "pairs/s", "pinned", "GMutex", peer::contended<Mutex>, false},
    {"queue.thread.1p1c@glib", "items/s", "pinned", "GAsyncQueue, unbounded", peer::flow<Queue, 1>, false},
    {"queue.thread.4p4c@glib", "items/s", "pinned", "GAsyncQueue, unbounded", peer::flow<Queue, 4>, false},
    {"queue.thread.pingpong@glib", "ns", "pinned", "two GAsyncQueues", peer::pingpong<Queue>, false},
    {"pool.thread.submit@glib", "tasks/s", "unpinned", "GThreadPool, exclusive", peer::submit<Pool>, false},
    {"pool.thread.submit.share@glib", "ratio", "unpinned", "run by workers", peer::submit<Pool>, true},
    {"pool.thread.roundtrip@glib", "ns", "pinned", "GThreadPool; a GCond tells the end", peer::roundtrip<Pool>, false},
    {"pool.thread.roundtrip.2w@glib", "ns", "unpinned", "the same", peer::roundtrip_2w<Pool>, false},
    {"pool.thread.roundtrip.idle@glib", "ns", "unpinned", "the same", peer::roundtrip_idle<Pool>, false},
    {"pool.thread.roundtrip.asleep@glib", "ns", "pinned", "the same", peer::roundtrip_asleep<Pool>, false},
    {nullptr, nullptr, nullptr, nullptr, nullptr, false},
};
BENCH_ROWS(glib_rows);

} // namespace
