// SPDX-License-Identifier: MIT
// libuv.cpp - libuv: its worker pool, fed and waited for by a loop on the calling thread, and its child processes.
#include "common.hpp"

#include <string>
#include <uv.h>

namespace
{

// libuv has one pool a process, whose size is fixed when it is first used: one row a process (bench/run does so).
struct Pool {
    static inline int size = 0;
    static constexpr size_t requests_max = 1000000;
    uv_loop_t loop;
    uv_work_t *requests = static_cast<uv_work_t *>(calloc(requests_max, sizeof(uv_work_t)));
    size_t used = 0;

    explicit Pool(int workers)
    {
        if (size && size != workers)
            bench_die("libuv's pool has %d workers for the life of this process: ask for one row at a time", size);
        size = workers;
        setenv("UV_THREADPOOL_SIZE", std::to_string(workers).c_str(), 1);
        bench_must(requests ? 0 : -ENOMEM, "libuv's requests");
        bench_must(uv_loop_init(&loop), "uv_loop_init");
    }
    ~Pool()
    {
        settle();
        uv_loop_close(&loop);
        free(requests);
    }
    static void run(uv_work_t *) { bench_count_task(); }
    static void after(uv_work_t *, int) {}
    void post() { bench_must(uv_queue_work(&loop, &requests[used++], run, after), "uv_queue_work"); }
    void settle()
    {
        uv_run(&loop, UV_RUN_DEFAULT);
        used = 0;
    }
    void trip()
    {
        post();
        settle();
    }
};

int spawn(const char *program)
{
    static uv_loop_t *loop = uv_default_loop();
    struct Child : uv_process_t {
        int64_t code = -1;
    } child;
    char *argv[] = {const_cast<char *>(program), nullptr};
    uv_process_options_t opt = {};
    opt.file = program;
    opt.args = argv;
    opt.exit_cb = [](uv_process_t *p, int64_t code, int signal) {
        static_cast<Child *>(p)->code = signal ? -signal : code;
        uv_close(reinterpret_cast<uv_handle_t *>(p), nullptr);
    };
    if (uv_spawn(loop, &child, &opt) != 0)
        return -1;
    uv_run(loop, UV_RUN_DEFAULT);
    return int(child.code);
}

const bench_row libuv_rows[] = {
    {"pool.thread.submit@libuv", "tasks/s", "unpinned", "uv_queue_work", peer::submit<Pool>, false},
    {"pool.thread.submit.share@libuv", "ratio", "unpinned", "run by workers", peer::submit<Pool>, true},
    {"pool.thread.roundtrip@libuv", "ns", "pinned", "uv_queue_work and uv_run", peer::roundtrip<Pool>, false},
    {"pool.thread.roundtrip.2w@libuv", "ns", "unpinned", "the same", peer::roundtrip_2w<Pool>, false},
    {"pool.thread.roundtrip.idle@libuv", "ns", "unpinned", "the same", peer::roundtrip_idle<Pool>, false},
    {"pool.thread.roundtrip.asleep@libuv", "ns", "pinned", "the same", peer::roundtrip_asleep<Pool>, false},
    {"child.spawn@libuv", "ns", "unpinned", "uv_spawn and uv_run", peer::spawn_true<spawn>, false},
    {"child.spawn.nolibc@libuv", "ns", "unpinned", "uv_spawn and uv_run", peer::spawn_nolibc<spawn>, false},
    {nullptr, nullptr, nullptr, nullptr, nullptr, false},
};
BENCH_ROWS(libuv_rows);

} // namespace
