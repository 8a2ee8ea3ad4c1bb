// SPDX-License-Identifier: MIT
// posix.cpp - what the C library offers: the pthread mutex, a ring behind mutex and conditions, posix_spawn.
#include "common.hpp"

#include <pthread.h>
#include <semaphore.h>
#include <spawn.h>
#include <sys/wait.h>

extern char **environ;

namespace
{

struct Mutex {
    pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
    void acquire() { pthread_mutex_lock(&m); }
    void release() { pthread_mutex_unlock(&m); }
};

struct SharedMutex {
    pthread_mutex_t m;
    void init(int robust = PTHREAD_MUTEX_STALLED)
    {
        pthread_mutexattr_t a;
        pthread_mutexattr_init(&a);
        pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
        pthread_mutexattr_setrobust(&a, robust);
        pthread_mutex_init(&m, &a);
    }
    void acquire() { pthread_mutex_lock(&m); }
    void release() { pthread_mutex_unlock(&m); }
};

// What is there to outlive its holder, as a shared lock of motet's does.
struct RobustMutex : SharedMutex {
    void init() { SharedMutex::init(PTHREAD_MUTEX_ROBUST); }
};

struct SharedSemaphore {
    sem_t s;
    void init() { sem_init(&s, 1, 0); }
    void take()
    {
        while (sem_wait(&s) != 0) {}
    }
    void give() { sem_post(&s); }
};

// The bounded buffer of the textbooks.
struct Ring {
    static constexpr unsigned capacity = 1024;
    pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t not_empty = PTHREAD_COND_INITIALIZER, not_full = PTHREAD_COND_INITIALIZER;
    unsigned head = 0, tail = 0;
    uint64_t item[capacity];

    void put(uint64_t v)
    {
        pthread_mutex_lock(&m);
        while (tail - head == capacity)
            pthread_cond_wait(&not_full, &m);
        item[tail++ % capacity] = v;
        pthread_mutex_unlock(&m);
        pthread_cond_signal(&not_empty);
    }
    uint64_t get()
    {
        pthread_mutex_lock(&m);
        while (tail == head)
            pthread_cond_wait(&not_empty, &m);
        uint64_t v = item[head++ % capacity];
        pthread_mutex_unlock(&m);
        pthread_cond_signal(&not_full);
        return v;
    }
};

// Not shared, and not on a cache line of its own: what a process has for itself.
struct Heap {
    void *zeroed(size_t size) { return std::calloc(1, size); }
    void free(void *p) { std::free(p); }
};

int spawn(const char *program)
{
    char *argv[] = {const_cast<char *>(program), nullptr};
    pid_t pid;
    int status;
    if (posix_spawn(&pid, program, nullptr, nullptr, argv, environ) != 0 || waitpid(pid, &status, 0) != pid)
        return -1;
    return status;
}

const bench_row posix_rows[] = {
    {"lock.uncontended@pthread", "ns", "pinned", "pthread_mutex_t", peer::uncontended<Mutex>, false},
    {"lock.contended@pthread", "pairs/s", "pinned", "pthread_mutex_t", peer::contended<Mutex>, false},
    {"lock.shared.uncontended@pthread", "ns", "pinned", "pthread_mutex_t, shared",
     peer::shared_uncontended<SharedMutex>, false},
    {"lock.shared.uncontended@pthread-robust", "ns", "pinned", "the same, robust",
     peer::shared_uncontended<RobustMutex>, false},
    {"lock.shared.contended@pthread", "pairs/s", "pinned", "pthread_mutex_t, shared",
     peer::shared_contended<SharedMutex>, false},
    {"lock.shared.contended@pthread-robust", "pairs/s", "pinned", "the same, robust",
     peer::shared_contended<RobustMutex>, false},
    {"semaphore.shared.pingpong@sem_t", "ns", "pinned", "two sem_t, shared", peer::shared_pingpong<SharedSemaphore>,
     false},
    {"shared.alloc@calloc", "ns", "pinned", "calloc, which is not shared", peer::memory_one<Heap>, false},
    {"shared.alloc.2t@calloc", "ns", "pinned", "the same", peer::memory_two<Heap>, false},
    {"queue.thread.1p1c@pthread-ring", "items/s", "pinned", "a ring, one mutex, two conditions", peer::flow<Ring, 1>,
     false},
    {"queue.thread.4p4c@pthread-ring", "items/s", "pinned", "a ring, one mutex, two conditions", peer::flow<Ring, 4>,
     false},
    {"queue.thread.pingpong@pthread-ring", "ns", "pinned", "two such rings", peer::pingpong<Ring>, false},
    {"child.spawn@posix_spawn", "ns", "unpinned", "posix_spawn and waitpid", peer::spawn_true<spawn>, false},
    {"child.spawn.nolibc@posix_spawn", "ns", "unpinned", "posix_spawn and waitpid", peer::spawn_nolibc<spawn>, false},
    {nullptr, nullptr, nullptr, nullptr, nullptr, false},
};
BENCH_ROWS(posix_rows);

} // namespace
