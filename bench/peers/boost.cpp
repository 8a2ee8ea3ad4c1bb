// SPDX-License-Identifier: MIT
// boost.cpp - Boost's headers: asio::thread_pool; interprocess::managed_shared_memory; and lockfree::spsc_queue, which
// never sleeps: it spins for ever.
#include "common.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/interprocess/managed_shared_memory.hpp>
#include <boost/lockfree/spsc_queue.hpp>
#include <cstring>
#include <future>

namespace
{

void pause_cpu()
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    std::atomic_signal_fence(std::memory_order_seq_cst);
#endif
}

struct Spin {
    boost::lockfree::spsc_queue<uint64_t, boost::lockfree::capacity<1024>> q;
    void put(uint64_t v)
    {
        while (!q.push(v))
            pause_cpu();
    }
    uint64_t get()
    {
        uint64_t v = 0;
        while (!q.pop(v))
            pause_cpu();
        return v;
    }
};

// Its memory has a name, which stays until somebody removes it.
struct Shared {
    static constexpr const char *name = "motet-bench-boost";
    struct Removed {
        Removed() { boost::interprocess::shared_memory_object::remove(name); }
        ~Removed() { boost::interprocess::shared_memory_object::remove(name); }
    } removed;
    boost::interprocess::managed_shared_memory memory{boost::interprocess::create_only, name, 16 << 20};
    void *zeroed(size_t size)
    {
        void *p = memory.allocate_aligned(size, 64, std::nothrow);
        return p ? std::memset(p, 0, size) : p;
    }
    void free(void *p) { memory.deallocate(p); }
};

struct Pool {
    boost::asio::thread_pool p;
    explicit Pool(int workers) : p(size_t(workers)) {}
    ~Pool() { p.join(); }
    void post()
    {
        boost::asio::post(p, [] { bench_count_task(); });
    }
    void settle() {}
    std::future<uint64_t> ask(uint64_t i)
    {
        std::packaged_task<uint64_t()> task([i] {
            bench_count_task();
            return i;
        });
        auto f = task.get_future();
        boost::asio::post(p, std::move(task));
        return f;
    }
    void trip() { ask(1).get(); }
};

double window_once(void *arg, uint64_t n)
{
    constexpr uint64_t window = 4096;
    auto *p = static_cast<Pool *>(arg);
    std::vector<std::future<uint64_t>> held(window);
    uint64_t wrong = 0;
    double t = bench_now();
    for (uint64_t i = 0; i < n + window; i++) {
        auto &f = held[i % window];
        if (f.valid())
            wrong += f.get() != i - window;
        if (i < n)
            f = p->ask(i);
    }
    if (wrong)
        bench_die("results are wrong");
    return bench_now() - t;
}

void window(bench *b)
{
    Pool pool(bench_cpus());
    const bench_plan p = peer::plan(20000, 1000000, 200000000);
    bench_measure(b, window_once, &pool, &p);
}

const bench_row boost_rows[] = {
    {"queue.thread.1p1c@boost-spin", "items/s", "pinned", "lockfree::spsc_queue, no sleeping: a limit, not a peer",
     peer::flow<Spin, 1>, false},
    {"queue.thread.pingpong@boost-spin", "ns", "pinned", "two of these", peer::pingpong<Spin>, false},
    {"shared.alloc@boost", "ns", "pinned", "managed_shared_memory::allocate_aligned, cleared", peer::memory_one<Shared>,
     false},
    {"shared.alloc.2t@boost", "ns", "pinned", "the same", peer::memory_two<Shared>, false},
    {"pool.thread.submit@asio", "tasks/s", "unpinned", "asio::thread_pool, post", peer::submit<Pool>, false},
    {"pool.thread.submit.share@asio", "ratio", "unpinned", "run by workers", peer::submit<Pool>, true},
    {"pool.thread.submit.window@asio", "tasks/s", "unpinned", "post of packaged tasks", window, false},
    {"pool.thread.roundtrip@asio", "ns", "pinned", "post of a packaged task, future::get", peer::roundtrip<Pool>,
     false},
    {"pool.thread.roundtrip.2w@asio", "ns", "unpinned", "the same", peer::roundtrip_2w<Pool>, false},
    {"pool.thread.roundtrip.idle@asio", "ns", "unpinned", "the same", peer::roundtrip_idle<Pool>, false},
    {"pool.thread.roundtrip.asleep@asio", "ns", "pinned", "the same", peer::roundtrip_asleep<Pool>, false},
    {nullptr, nullptr, nullptr, nullptr, nullptr, false},
};
BENCH_ROWS(boost_rows);

} // namespace
