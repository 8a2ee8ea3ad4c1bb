/* SPDX-License-Identifier: MIT */
/* Keeps and writes what jobs write. Bounds: a stream has MEMORY_MAX bytes in memory; jobs that have finished out of order
 * are at most ORDER_JOBS, hold at most ORDER_BYTES in memory and ORDER_SPILLS files (and what runs already may add). */
#include "output.h"

#include "cli.h"
#include "stop.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    MEMORY_MIN = 8 * 1024,
    MEMORY_MAX = 64 * 1024,
    PIPE_READS = 16, /* of MEMORY_MAX bytes at most: 1 MiB is the most that a pipe can be made to hold */
    ORDER_JOBS = 1024,
    ORDER_BYTES = 16 * 1024 * 1024,
    ORDER_SPILLS = 64,
};

int output_trouble;

static void fail(const char *what, int error)
{
    if (!output_trouble)
        complain("%s: %s", what, strerror(error));
    output_trouble = EXIT_TROUBLE;
}

/* ---- writing --------------------------------------------------------------------------------------- */

/* One write that waits while the other side isn't ready. Bytes, or -errno; -EINTR when a signal asks to stop. */
static ssize_t write_some(int fd, const char *data, size_t size)
{
    while (!stop_signal()) {
        ssize_t n = write(fd, data, size);
        if (n >= 0)
            return n;
        if (errno == EAGAIN)
            poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, -1);
        else if (errno != EINTR)
            return -errno;
    }
    return -EINTR;
}

void output_write(int fd, const char *data, size_t size)
{
    while (size && !output_trouble) {
        ssize_t n = write_some(fd, data, size);
        if (n == -EINTR)
            return;
        if (n == -EPIPE) {
            output_trouble = EXIT_SIGNAL +
                             SIGPIPE; /* nobody reads any more: the usual end of a pipeline, no complaint */
            return;
        }
        if (n < 0) {
            fail(fd == STDOUT_FILENO ? "can't write to standard output" : "can't write to standard error", (int)-n);
            return;
        }
        data += n;
        size -= (size_t)n;
    }
}

/* ---- captures -------------------------------------------------------------------------------------- */

static int open_spill(void)
{
    const char *folder = getenv("TMPDIR");
    if (!folder || !*folder)
        folder = "/tmp";
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT))
        return fd;
    /* The file system has no files without a name. */
    char path[4096];
    if (snprintf(path, sizeof path, "%s/motet-run-XXXXXX", folder) >= (int)sizeof path)
        return errno = ENAMETOOLONG, -1;
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        unlink(path);
    return fd;
}

/* Moves what is in memory behind what is in the file. */
static void spill(capture *c)
{
    if (!c->spilled) {
        c->spill = open_spill();
        if (c->spill < 0) {
            fail("can't keep the output of a job in a temporary file", errno);
            return;
        }
    }
    for (size_t done = 0; done < c->size;) {
        ssize_t n = write(c->spill, c->data + done, c->size - done);
        if (n < 0 && errno != EINTR) {
            fail("can't keep the output of a job in a temporary file", errno);
            break;
        }
        done += n < 0 ? 0 : (size_t)n;
        c->spilled += n < 0 ? 0 : (uint64_t)n;
    }
    if (!c->spilled)
        close(c->spill);
    c->size = 0;
}

/* Makes room for some bytes. False when there is none; then the output has been lost and complained of. */
static bool make_room(capture *c)
{
    if (c->size == MEMORY_MAX)
        spill(c);
    if (c->size < c->capacity)
        return true;
    size_t capacity = c->capacity ? c->capacity * 2 : MEMORY_MIN;
    char *data = realloc(c->data, capacity);
    if (!data) {
        fail("can't keep the output of a job", ENOMEM);
        c->size = 0;
        return c->capacity;
    }
    c->data = data;
    c->capacity = capacity;
    return true;
}

bool capture_read(capture *c, int fd)
{
    if (output_trouble)
        c->size = 0; /* nobody will see it, but the job may go on until it is ended */
    if (!make_room(c))
        return false;
    ssize_t n = read(fd, c->data + c->size, c->capacity - c->size);
    if (n > 0)
        c->size += (size_t)n;
    return n > 0 || (n < 0 && (errno == EINTR || errno == EAGAIN));
}

void capture_drain(capture *c, int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    for (uint64_t limit = c->spilled + c->size + (uint64_t)PIPE_READS * MEMORY_MAX; c->spilled + c->size < limit;)
        if (poll(&p, 1, 0) <= 0 || !(p.revents & POLLIN) || !capture_read(c, fd) || output_trouble)
            return;
}

/* The file's bytes, through the memory that follows them: so that goes first to the file. */
static void write_spilled(capture *c, int fd)
{
    spill(c);
    uint64_t at = 0;
    while (at < c->spilled && !output_trouble && !stop_signal()) {
        ssize_t n = pread(c->spill, c->data, c->capacity, (off_t)at);
        if (n <= 0) {
            fail("can't read back the output of a job", n < 0 ? errno : EIO);
            return;
        }
        output_write(fd, c->data, (size_t)n);
        at += (uint64_t)n;
    }
}

void capture_write(capture *c, int fd)
{
    if (c->spilled) {
        write_spilled(c, fd);
        close(c->spill);
        c->spilled = 0;
    } else {
        output_write(fd, c->data, c->size);
    }
    c->size = 0;
}

void capture_free(capture *c)
{
    if (c->spilled)
        close(c->spill);
    free(c->data);
    *c = (capture){0};
}

/* ---- order ----------------------------------------------------------------------------------------- */

typedef struct finished {
    bool ready;
    capture out, err;
} finished;

static finished order[ORDER_JOBS]; /* by sequence modulo ORDER_JOBS */
static uint64_t order_next = 1;    /* the sequence that is written next; those before are written */
static size_t order_bytes;         /* of memory that finished jobs hold */
static unsigned order_spills;      /* files that they hold */

bool order_admits(uint64_t sequence)
{
    return sequence - order_next < ORDER_JOBS && order_bytes < ORDER_BYTES && order_spills < ORDER_SPILLS;
}

static void count(const finished *f, int sign)
{
    order_bytes += (size_t)sign * (f->out.capacity + f->err.capacity);
    order_spills += (unsigned)(sign * ((f->out.spilled != 0) + (f->err.spilled != 0)));
}

void order_add(uint64_t sequence, capture *out, capture *err)
{
    if (sequence == order_next) {
        /* The usual case when jobs take about as long: nothing changes hands. */
        order_next++;
        capture_write(out, STDOUT_FILENO);
        capture_write(err, STDERR_FILENO);
    } else {
        finished *f = &order[sequence % ORDER_JOBS];
        if (!out->size && !out->spilled)
            capture_free(out);
        if (!err->size && !err->spilled)
            capture_free(err);
        *f = (finished){.ready = true, .out = *out, .err = *err};
        *out = *err = (capture){0};
        count(f, 1);
    }
    for (finished *f; (f = &order[order_next % ORDER_JOBS])->ready; order_next++) {
        f->ready = false;
        count(f, -1);
        capture_write(&f->out, STDOUT_FILENO);
        capture_write(&f->err, STDERR_FILENO);
        capture_free(&f->out);
        capture_free(&f->err);
    }
}

void order_free(void)
{
    for (size_t i = 0; i < ORDER_JOBS; i++) {
        if (!order[i].ready)
            continue;
        capture_free(&order[i].out);
        capture_free(&order[i].err);
    }
}
