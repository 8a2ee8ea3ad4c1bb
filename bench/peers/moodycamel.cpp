// SPDX-License-Identifier: MIT
// moodycamel.cpp - moodycamel::BlockingConcurrentQueue, which has no bound.
#include "common.hpp"

#include <concurrentqueue/blockingconcurrentqueue.h>

namespace
{

struct Queue {
    moodycamel::BlockingConcurrentQueue<uint64_t> q{1024};
    void put(uint64_t v) { q.enqueue(v); }
    uint64_t get()
    {
        uint64_t v;
        q.wait_dequeue(v);
        return v;
    }
};

const bench_row moodycamel_rows[] = {
    {"queue.thread.1p1c@moodycamel", "items/s", "pinned", "BlockingConcurrentQueue, unbounded", peer::flow<Queue, 1>,
     false},
    {"queue.thread.4p4c@moodycamel", "items/s", "pinned", "BlockingConcurrentQueue, unbounded", peer::flow<Queue, 4>,
     false},
    {"queue.thread.pingpong@moodycamel", "ns", "pinned", "two of these", peer::pingpong<Queue>, false},
    {nullptr, nullptr, nullptr, nullptr, nullptr, false},
};
BENCH_ROWS(moodycamel_rows);

} // namespace
