/* SPDX-License-Identifier: MIT */
/*
 * What /proc knows of a process.
 *
 * The readers run inside test processes too, while fds and memory are being counted: they allocate nothing and leave
 * no fd open.
 */
#include "runner_internal.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int64_t runner_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void runner_pause_ms(int ms)
{
    struct timespec pause = {ms / 1000, ms % 1000 * 1000000L};
    nanosleep(&pause, NULL);
}

static int compare_ints(const void *a, const void *b)
{
    int x = *(const int *)a;
    int y = *(const int *)b;
    return (x > y) - (x < y);
}

/* The kernel's own record; libc's readdir would allocate. */
struct entry {
    uint64_t inode;
    int64_t offset;
    uint16_t size;
    uint8_t type;
    char name[];
};

int proc_numbers(const char *directory, int *out, int count_max)
{
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    bool own_fds = strcmp(directory, "/proc/self/fd") == 0;
    int count = 0;
    _Alignas(struct entry) char buffer[8192];
    long size;
    while ((size = syscall(SYS_getdents64, fd, buffer, sizeof buffer)) > 0) {
        for (long at = 0; at < size;) {
            const struct entry *entry = (const struct entry *)(const void *)(buffer + at);
            at += entry->size;
            if (!isdigit((unsigned char)entry->name[0]) || count == count_max)
                continue;
            int number = atoi(entry->name);
            if (!(own_fds && number == fd))
                out[count++] = number;
        }
    }
    close(fd);
    qsort(out, (size_t)count, sizeof *out, compare_ints);
    return count;
}

ssize_t proc_read(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t got = read(fd, out, size - 1);
    close(fd);
    if (got < 0)
        return -1;
    while (got > 0 && (out[got - 1] == '\n' || out[got - 1] == '\0'))
        got--;
    out[got] = '\0';
    for (ssize_t i = 0; i < got; i++) { /* cmdline is separated by zeros */
        if (out[i] == '\0')
            out[i] = ' ';
    }
    return got;
}

pid_t proc_parent(pid_t pid)
{
    char path[64];
    char stat[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    if (proc_read(path, stat, sizeof stat) < 0)
        return -1;
    const char *end = strrchr(stat, ')'); /* the name may hold anything */
    char state;
    int parent;
    if (end == NULL || sscanf(end + 1, " %c %d", &state, &parent) != 2)
        return -1;
    return parent;
}

int proc_children(pid_t parent, pid_t *out, int count_max)
{
    static int all[1 << 16]; /* only the guard comes here, and it has one thread */
    int count = 0;
    int total = proc_numbers("/proc", all, 1 << 16);
    for (int i = 0; i < total && count < count_max; i++) {
        if (proc_parent(all[i]) == parent)
            out[count++] = all[i];
    }
    return count;
}

static void describe_thread(int fd, pid_t pid, int thread)
{
    char path[80];
    char name[64] = "?";
    char waits_in[128] = "";
    char call[256] = "";
    char stat[1024] = "";
    snprintf(path, sizeof path, "/proc/%d/task/%d/comm", (int)pid, thread);
    if (proc_read(path, name, sizeof name) < 0)
        return; /* it has ended meanwhile */
    snprintf(path, sizeof path, "/proc/%d/task/%d/wchan", (int)pid, thread);
    proc_read(path, waits_in, sizeof waits_in);
    snprintf(path, sizeof path, "/proc/%d/task/%d/syscall", (int)pid, thread);
    proc_read(path, call, sizeof call);
    snprintf(path, sizeof path, "/proc/%d/task/%d/stat", (int)pid, thread);
    proc_read(path, stat, sizeof stat);
    const char *end = strrchr(stat, ')');
    dprintf(fd, "    thread %d (%s): state %c, wchan %s, syscall %s\n", thread, name,
            end != NULL && end[1] == ' ' ? end[2] : '?', waits_in, call);
}

void proc_describe(int fd, pid_t pid)
{
    char path[64];
    char command[200] = "";
    int thread[256];
    snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pid);
    proc_read(path, command, sizeof command);
    dprintf(fd, "  process %d: %s\n", (int)pid, command);
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    int count = proc_numbers(path, thread, 256);
    for (int i = 0; i < count; i++)
        describe_thread(fd, pid, thread[i]);
}
