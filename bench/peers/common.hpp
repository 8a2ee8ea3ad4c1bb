// SPDX-License-Identifier: MIT
// common.hpp - the same work as in bench/lock.c, queue.c, pool.c and child.c, over whatever lock, queue or pool a peer
// has.
//
// Each template takes a type of the peer's: what it must have stands above it. Repeats, warm-up, pinning and the checks
// that nothing was lost are those of Motet's own rows.
#ifndef MOTET_BENCH_PEERS_COMMON_HPP
#define MOTET_BENCH_PEERS_COMMON_HPP

#include "../harness.h"

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

namespace peer
{

constexpr bench_plan plan(uint64_t n_min, uint64_t n_max = 0, int64_t span_ns = 0)
{
    return {n_min, n_max, span_ns, 0};
}

// ---- locks: acquire(), release() -------------------------------------------------------------------

template <class Lock> double uncontended_once(void *arg, uint64_t n)
{
    Lock *l = static_cast<Lock *>(arg);
    double t = bench_now();
    for (uint64_t i = 0; i < n; i++) {
        l->acquire();
        l->release();
    }
    return bench_now() - t;
}

template <class Lock> void uncontended(bench *b)
{
    alignas(64) Lock l;
    bench_pin(0);
    bench_idler *other = bench_idler_start();
    bench_measure(b, uncontended_once<Lock>, &l, nullptr);
    bench_idler_stop(other);
}

template <class Lock> struct Contest {
    alignas(64) Lock lock;
    alignas(64) uint64_t counter = 0;
    alignas(64) std::atomic<bool> stop{false};
    uint64_t n = 0;
    uint64_t done[2] = {0, 0};
};

template <class Lock> void contender(void *arg, int i)
{
    auto *c = static_cast<Contest<Lock> *>(arg);
    uint64_t done = 0;
    while (!c->stop.load(std::memory_order_relaxed) && done < c->n) {
        c->lock.acquire();
        c->counter++;
        c->lock.release();
        done++;
    }
    c->stop.store(true, std::memory_order_relaxed);
    c->done[i] = done;
}

template <class Lock> double contended_once(void *arg, uint64_t n)
{
    auto *c = static_cast<Contest<Lock> *>(arg);
    const int pin[] = {0, 1};
    c->n = n;
    c->counter = 0;
    c->stop = false;
    double ns = bench_team(2, pin, contender<Lock>, c);
    uint64_t total = c->done[0] + c->done[1];
    if (c->counter != total)
        bench_die("the lock let two threads in");
    return ns * double(n) / double(total);
}

template <class Lock> void contended(bench *b)
{
    Contest<Lock> c;
    bench_measure(b, contended_once<Lock>, &c, nullptr);
}

// ---- memory: zeroed(size) (null: none), free(p) ----------------------------------------------------

constexpr unsigned memory_held = 256;

template <class Memory> struct Holder {
    Memory *memory = nullptr;
    void *held[memory_held] = {};
    uint64_t random = 0, n = 0;
    void churn(uint64_t count)
    {
        for (uint64_t i = 0; i < count; i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            size_t size = 16 + (random >> 33) % 1009;
            if (held[i % memory_held])
                memory->free(held[i % memory_held]);
            char *p = static_cast<char *>(memory->zeroed(size));
            if (!p || p[0] || p[size - 1])
                bench_die("no block, or one that is not zeroed");
            p[0] = p[size - 1] = 1;
            held[i % memory_held] = p;
        }
    }
    void release()
    {
        for (void *&p : held)
            if (p) {
                memory->free(p);
                p = nullptr;
            }
    }
};

template <class Memory> double memory_once(void *arg, uint64_t n)
{
    double t = bench_now();
    static_cast<Holder<Memory> *>(arg)->churn(n);
    return bench_now() - t;
}

template <class Memory> void memory_one(bench *b)
{
    Memory memory;
    Holder<Memory> h;
    h.memory = &memory;
    bench_pin(0);
    bench_idler *other = bench_idler_start();
    bench_measure(b, memory_once<Memory>, &h, nullptr);
    bench_idler_stop(other);
    h.release();
}

template <class Memory> void memory_half(void *arg, int i)
{
    auto *h = static_cast<Holder<Memory> *>(arg);
    h[i].churn(h[i].n);
}

template <class Memory> double memory_two_once(void *arg, uint64_t n)
{
    auto *h = static_cast<Holder<Memory> *>(arg);
    const int pin[] = {0, 1};
    h[0].n = h[1].n = n / 2;
    return bench_team(2, pin, memory_half<Memory>, h);
}

template <class Memory> void memory_two(bench *b)
{
    Memory memory;
    auto h = std::make_unique<Holder<Memory>[]>(2);
    h[0].memory = h[1].memory = &memory;
    bench_measure(b, memory_two_once<Memory>, h.get(), nullptr);
    h[0].release();
    h[1].release();
}

// ---- queues: put(uint64_t), uint64_t get() ---------------------------------------------------------

template <class Queue> struct Flow {
    Queue q;
    int side = 1;
    uint64_t each = 0;
    uint64_t sum[8] = {};
};

template <class Queue> void flow_thread(void *arg, int i)
{
    auto *f = static_cast<Flow<Queue> *>(arg);
    uint64_t sum = 0;
    for (uint64_t k = 0; k < f->each; k++) {
        if (i < f->side) {
            uint64_t item = uint64_t(i) * f->each + k + 1; // never 0: some queues carry pointers
            f->q.put(item);
            sum += item;
        } else {
            sum += f->q.get();
        }
    }
    f->sum[i] = sum;
}

template <class Queue> double flow_once(void *arg, uint64_t n)
{
    auto *f = static_cast<Flow<Queue> *>(arg);
    uint64_t in = 0, out = 0;
    int pin[8];
    f->each = n / uint64_t(f->side) + 1;
    for (int i = 0; i < f->side; i++) {
        pin[i] = i;
        pin[f->side + i] = i + 1;
    }
    double ns = bench_team(2 * f->side, pin, flow_thread<Queue>, f);
    for (int i = 0; i < f->side; i++) {
        in += f->sum[i];
        out += f->sum[f->side + i];
    }
    if (in != out)
        bench_die("what came out of the queue is not what went in");
    return ns * double(n) / double(f->each * uint64_t(f->side));
}

template <class Queue, int side> void flow(bench *b)
{
    auto f = std::make_unique<Flow<Queue>>();
    f->side = side;
    bench_measure(b, flow_once<Queue>, f.get(), nullptr);
}

template <class Queue> struct Table {
    Queue there, back;
    uint64_t n = 0;
};

template <class Queue> void pingpong_thread(void *arg, int i)
{
    auto *t = static_cast<Table<Queue> *>(arg);
    for (uint64_t k = 1; k <= t->n; k++) {
        if (i == 0)
            t->there.put(k);
        uint64_t ball = (i == 0 ? t->back : t->there).get();
        if (ball != k)
            bench_die("another item came back");
        if (i == 1)
            t->back.put(k);
    }
}

template <class Queue> double pingpong_once(void *arg, uint64_t n)
{
    const int pin[] = {0, 1};
    static_cast<Table<Queue> *>(arg)->n = n;
    return bench_team(2, pin, pingpong_thread<Queue>, arg);
}

template <class Queue> void pingpong(bench *b)
{
    auto t = std::make_unique<Table<Queue>>();
    const bench_plan p = plan(200);
    bench_measure(b, pingpong_once<Queue>, t.get(), &p);
}

// ---- pools: Pool(workers), post() of a task that calls bench_count_task, trip() there and back -----

template <class Pool> double submit_once(void *arg, uint64_t n)
{
    auto *p = static_cast<Pool *>(arg);
    bench_tasks_reset();
    double t = bench_now();
    for (uint64_t i = 0; i < n; i++)
        p->post();
    p->settle();
    bench_tasks_wait(n);
    return bench_now() - t;
}

// Slot 1: the share of the tasks that the submitter did not run itself.
template <class Pool> void submit(bench *b)
{
    Pool pool(bench_cpus());
    const bench_plan p = plan(100000, 1000000, 400000000);
    int n = bench_measure(b, submit_once<Pool>, &pool, &p);
    uint64_t by_others, all = bench_tasks(&by_others);
    for (int i = 0; i < n; i++)
        bench_sample(b, 1, double(by_others) / double(all));
}

template <class Pool> double trips_once(void *arg, uint64_t n)
{
    auto *p = static_cast<Pool *>(arg);
    double t = bench_now();
    for (uint64_t i = 0; i < n; i++)
        p->trip();
    return bench_now() - t;
}

template <class Pool> void hot_trips(bench *b, Pool &pool)
{
    const bench_plan p = plan(200);
    bench_measure(b, trips_once<Pool>, &pool, &p);
}

template <class Pool> void idle_trips(bench *b, Pool &pool)
{
    std::vector<double> v(bench_quick(b) ? 3 : 30);
    for (int r = 0; r <= bench_repeats(b); r++) {
        for (double &ns : v) {
            bench_sleep_ns(2000000);
            double t = bench_now();
            pool.trip();
            ns = bench_now() - t;
        }
        if (r > 0)
            bench_sample(b, 0, bench_median(v.data(), int(v.size())));
    }
}

// The worker starts while the caller is on CPU 1, and stays there.
template <class Pool> void settle_pinned(Pool &pool)
{
    pool.trip();
    bench_pin(0);
}

template <class Pool> void roundtrip(bench *b)
{
    bench_pin(1);
    Pool pool(1);
    settle_pinned(pool);
    hot_trips(b, pool);
}

template <class Pool> void roundtrip_2w(bench *b)
{
    Pool pool(2);
    hot_trips(b, pool);
}

template <class Pool> void roundtrip_idle(bench *b)
{
    Pool pool(1);
    idle_trips(b, pool);
}

template <class Pool> void roundtrip_asleep(bench *b)
{
    bench_pin(1);
    Pool pool(1);
    settle_pinned(pool);
    idle_trips(b, pool);
}

// ---- maps: body(begin, end) over a million ints ----------------------------------------------------

constexpr size_t map_items = 1000000;

struct Mapping {
    std::vector<int> in;
    std::vector<long> out;
    Mapping() : in(map_items), out(map_items)
    {
        for (size_t i = 0; i < map_items; i++)
            in[i] = int(i);
    }
};

// As a task of Motet's: reached through a pointer, an item at a time, so that no compiler folds the loop away.
inline int square(const void *in, void *out)
{
    long v = *static_cast<const int *>(in);
    *static_cast<long *>(out) = v * v;
    return 0;
}
inline int (*volatile task_call)(const void *, void *) = square;

template <void (*fn)(Mapping &, size_t)> double map_once(void *arg, uint64_t n)
{
    auto *m = static_cast<Mapping *>(arg);
    double ns = 0;
    while (n > 0) {
        size_t part = n < map_items ? size_t(n) : map_items;
        double t = bench_now();
        fn(*m, part);
        ns += bench_now() - t;
        for (size_t i = 0; i < part; i++)
            if (m->out[i] != long(m->in[i]) * m->in[i])
                bench_die("a square is wrong");
        n -= part;
    }
    return ns;
}

template <void (*fn)(Mapping &, size_t)> void map(bench *b)
{
    Mapping m;
    const bench_plan p = plan(map_items, 64 * map_items, 100000000);
    bench_measure(b, map_once<fn>, &m, &p);
}

// ---- children: spawn(program) starts it, waits for it and returns its exit code --------------------

template <int (*spawn)(const char *)> double spawn_once(void *arg, uint64_t n)
{
    double t = bench_now();
    for (uint64_t i = 0; i < n; i++)
        if (spawn(static_cast<const char *>(arg)) != 0)
            bench_die("%s failed", static_cast<const char *>(arg));
    return bench_now() - t;
}

template <int (*spawn)(const char *)> void spawn_program(bench *b, const char *program)
{
    const bench_plan p = plan(10, 0, 100000000);
    bench_measure(b, spawn_once<spawn>, const_cast<char *>(program), &p);
}

template <int (*spawn)(const char *)> void spawn_true(bench *b) { spawn_program<spawn>(b, "/bin/true"); }

template <int (*spawn)(const char *)> void spawn_nolibc(bench *b)
{
    spawn_program<spawn>(b, bench_beside("motet-bench-nolibc"));
}

// ---- in shared memory, between two processes: init(), and acquire(), release() or take(), give() ----------

template <class Lock, class Semaphore> struct Pair {
    alignas(64) Lock lock;
    alignas(64) uint64_t counter; // guarded by the lock
    alignas(64) Semaphore there;
    alignas(64) Semaphore back;
    alignas(64) std::atomic<bool> stop;
    alignas(64) std::atomic<int> ready;
    uint64_t n;
    uint64_t done[2];
    double begin, end[2];
};

inline void *shared_memory(size_t size)
{
    void *p = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        bench_die("no shared memory");
    return p;
}

template <class P> void run_one(P *p, void (*body)(P *, int), int i)
{
    bench_pin(i);
    if (p->ready.fetch_add(1) == 1)
        p->begin = bench_now();
    while (p->ready != 2) {}
    body(p, i);
    p->end[i] = bench_now();
}

template <class P> double run_both(P *p, void (*body)(P *, int))
{
    p->ready = 0;
    pid_t other = fork();
    if (other < 0)
        bench_die("no process");
    if (other == 0) {
        run_one(p, body, 1);
        _exit(0);
    }
    run_one(p, body, 0);
    int status;
    if (waitpid(other, &status, 0) != other || status != 0)
        bench_die("a process of the benchmark did not end as it should");
    return (p->end[0] > p->end[1] ? p->end[0] : p->end[1]) - p->begin;
}

struct Nothing {
    void init() {}
};

template <class Lock> void shared_uncontended(bench *b)
{
    auto *l = static_cast<Lock *>(shared_memory(sizeof(Lock)));
    l->init();
    bench_pin(0);
    bench_measure(b, uncontended_once<Lock>, l, nullptr);
    munmap(l, sizeof(Lock));
}

template <class P> void contend_shared(P *p, int i)
{
    uint64_t done = 0;
    while (!p->stop.load(std::memory_order_relaxed) && done < p->n) {
        p->lock.acquire();
        p->counter++;
        p->lock.release();
        done++;
    }
    p->stop.store(true, std::memory_order_relaxed);
    p->done[i] = done;
}

template <class P> double shared_contended_once(void *arg, uint64_t n)
{
    auto *p = static_cast<P *>(arg);
    p->n = n;
    p->counter = 0;
    p->stop = false;
    double ns = run_both(p, contend_shared<P>);
    uint64_t total = p->done[0] + p->done[1];
    if (p->counter != total)
        bench_die("the lock let two processes in");
    return ns * double(n) / double(total);
}

template <class Lock> void shared_contended(bench *b)
{
    using P = Pair<Lock, Nothing>;
    auto *p = static_cast<P *>(shared_memory(sizeof(P)));
    p->lock.init();
    const bench_plan many = plan(1000);
    bench_measure(b, shared_contended_once<P>, p, &many);
    munmap(p, sizeof(P));
}

template <class P> void pingpong_shared(P *p, int i)
{
    for (uint64_t k = 0; k < p->n; k++) {
        if (i == 0) {
            p->there.give();
            p->back.take();
        } else {
            p->there.take();
            p->back.give();
        }
    }
}

template <class P> double shared_pingpong_once(void *arg, uint64_t n)
{
    auto *p = static_cast<P *>(arg);
    p->n = n;
    return run_both(p, pingpong_shared<P>);
}

template <class Semaphore> void shared_pingpong(bench *b)
{
    using P = Pair<Nothing, Semaphore>;
    auto *p = static_cast<P *>(shared_memory(sizeof(P)));
    p->there.init();
    p->back.init();
    const bench_plan many = plan(1000);
    bench_measure(b, shared_pingpong_once<P>, p, &many);
    munmap(p, sizeof(P));
}

} // namespace peer

#endif
