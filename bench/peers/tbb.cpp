// SPDX-License-Identifier: MIT
// tbb.cpp - oneTBB: concurrent_bounded_queue, task_arena (workers alone), task_group (the caller helps), parallel_for.
#include "common.hpp"

#include <future>
#include <tbb/concurrent_queue.h>
#include <tbb/global_control.h>
#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>
#include <tbb/task_group.h>

namespace
{

struct Queue {
    tbb::concurrent_bounded_queue<uint64_t> q;
    Queue() { q.set_capacity(1024); }
    void put(uint64_t v) { q.push(v); }
    uint64_t get()
    {
        uint64_t v;
        q.pop(v);
        return v;
    }
};

// A slot of the arena is for a worker, none for the caller; the limit counts the caller too.
struct Arena {
    tbb::global_control limit;
    tbb::task_arena arena;
    explicit Arena(int workers)
        : limit(tbb::global_control::max_allowed_parallelism, size_t(workers) + 1), arena(workers, 0)
    {
    }
    void post()
    {
        arena.enqueue([] { bench_count_task(); });
    }
    void settle() {}
    void trip()
    {
        std::promise<int> p;
        auto f = p.get_future();
        arena.enqueue([&] {
            bench_count_task();
            p.set_value(1);
        });
        f.get();
    }
};

// wait() makes the caller one of the workers: the row beside it says what share was not its own.
struct Group {
    tbb::global_control limit;
    tbb::task_group group;
    explicit Group(int workers) : limit(tbb::global_control::max_allowed_parallelism, size_t(workers) + 1) {}
    void post()
    {
        group.run([] { bench_count_task(); });
    }
    void settle() { group.wait(); }
};

void map(peer::Mapping &m, size_t n)
{
    tbb::parallel_for(tbb::blocked_range<size_t>(0, n), [&](const tbb::blocked_range<size_t> &r) {
        auto call = peer::task_call;
        for (size_t i = r.begin(); i != r.end(); i++)
            call(&m.in[i], &m.out[i]);
    });
}

const bench_row tbb_rows[] = {
    {"queue.thread.1p1c@tbb", "items/s", "pinned", "concurrent_bounded_queue", peer::flow<Queue, 1>, false},
    {"queue.thread.4p4c@tbb", "items/s", "pinned", "concurrent_bounded_queue", peer::flow<Queue, 4>, false},
    {"queue.thread.pingpong@tbb", "ns", "pinned", "two of these", peer::pingpong<Queue>, false},
    {"pool.thread.submit@tbb", "tasks/s", "unpinned", "task_arena::enqueue", peer::submit<Arena>, false},
    {"pool.thread.submit.share@tbb", "ratio", "unpinned", "run by workers", peer::submit<Arena>, true},
    {"pool.thread.submit@tbb-group", "tasks/s", "unpinned", "task_group::run, the caller helps", peer::submit<Group>,
     false},
    {"pool.thread.submit.share@tbb-group", "ratio", "unpinned", "run by workers", peer::submit<Group>, true},
    {"pool.thread.map@tbb", "items/s", "unpinned", "parallel_for, the caller helps", peer::map<map>, false},
    {"pool.thread.roundtrip@tbb", "ns", "pinned", "task_arena and a promise", peer::roundtrip<Arena>, false},
    {"pool.thread.roundtrip.2w@tbb", "ns", "unpinned", "the same", peer::roundtrip_2w<Arena>, false},
    {"pool.thread.roundtrip.idle@tbb", "ns", "unpinned", "the same", peer::roundtrip_idle<Arena>, false},
    {"pool.thread.roundtrip.asleep@tbb", "ns", "pinned", "the same", peer::roundtrip_asleep<Arena>, false},
    {nullptr, nullptr, nullptr, nullptr, nullptr, false},
};
BENCH_ROWS(tbb_rows);

} // namespace
