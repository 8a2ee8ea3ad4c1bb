/* SPDX-License-Identifier: MIT */
/* Starts jobs, reads what they write, notices their end.
 *
 * A job is over when its process is: what its pipes hold then is read, and a process that it left behind writes to nobody. Each job
 * leads a process group of its own, and is killed should this command die of SIGKILL. */
#include "jobs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

int jobs_open(jobs *all, int count)
{
    all->slots = calloc((size_t)count, sizeof *all->slots);
    all->fds = calloc((size_t)count * FDS_PER_SLOT + FDS_SLOTS, sizeof *all->fds);
    if (!all->slots || !all->fds) {
        free(all->slots);
        free(all->fds);
        return -ENOMEM;
    }
    all->count = count;
    for (int i = 0; i < FDS_SLOTS + count * FDS_PER_SLOT; i++)
        all->fds[i] = (struct pollfd){.fd = -1, .events = POLLIN};
    all->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    return 0;
}

void jobs_close(jobs *all)
{
    for (int i = 0; i < all->count; i++) {
        motet_child_free(all->slots[i].child);
        capture_free(&all->slots[i].out);
        capture_free(&all->slots[i].err);
    }
    if (all->null_fd >= 0)
        close(all->null_fd);
    free(all->slots);
    free(all->fds);
}

int jobs_next_slot(jobs *all)
{
    while (all->slots[all->lowest_free].child)
        all->lowest_free++;
    return all->lowest_free + 1;
}

int jobs_start(jobs *all, int slot, uint64_t sequence, const char *program, const char *const argv[])
{
    const motet_child_options options = {
        .stdin_ = all->null_fd > 0 ? all->null_fd : MOTET_NULL,
        .stdout_ = MOTET_PIPE,
        .stderr_ = MOTET_PIPE,
        .executable = program,
        .new_group = true,
        .die_with_thread = true,
    };
    job *j = &all->slots[slot - 1];
    int r = motet_child_start(&j->child, argv, &options);
    if (r < 0)
        return r;
    j->sequence = sequence;
    all->running++;
    struct pollfd *fds = &all->fds[FDS_SLOTS + (slot - 1) * FDS_PER_SLOT];
    fds[FD_ENDED].fd = motet_child_fd(j->child);
    fds[FD_OUT].fd = motet_child_stdout(j->child);
    fds[FD_ERR].fd = motet_child_stderr(j->child);
    return 0;
}

/* Takes what a pipe has; no more looking once it has ended. */
static void serve_pipe(struct pollfd *p, capture *c)
{
    if (p->fd < 0 || !p->revents)
        return;
    bool more = true;
    if (p->revents & POLLIN)
        do
            more = capture_read(c, p->fd);
        while (more && (p->revents & POLLHUP)); /* nobody writes any more: a read can't wait */
    else
        more = false;
    if (!more)
        p->fd = -1;
}

static void finish(jobs *all, int slot)
{
    job *j = &all->slots[slot];
    struct pollfd *fds = &all->fds[FDS_SLOTS + slot * FDS_PER_SLOT];
    int code = 0, r = motet_child_wait(j->child, &code, MOTET_NOWAIT);
    if (r == -ETIMEDOUT)
        return;
    if (fds[FD_OUT].fd >= 0)
        capture_drain(&j->out, fds[FD_OUT].fd);
    if (fds[FD_ERR].fd >= 0)
        capture_drain(&j->err, fds[FD_ERR].fd);
    for (int i = 0; i < FDS_PER_SLOT; i++)
        fds[i].fd = -1;
    j->child = motet_child_free(j->child);
    all->running--;
    if (slot < all->lowest_free)
        all->lowest_free = slot;
    all->done(j, r < 0 ? r : code);
}

void jobs_serve(jobs *all)
{
    int left = all->running;
    for (int slot = 0; slot < all->count && left; slot++) {
        job *j = &all->slots[slot];
        if (!j->child)
            continue;
        left--;
        struct pollfd *fds = &all->fds[FDS_SLOTS + slot * FDS_PER_SLOT];
        serve_pipe(&fds[FD_OUT], &j->out);
        serve_pipe(&fds[FD_ERR], &j->err);
        if (fds[FD_ENDED].revents)
            finish(all, slot);
    }
}
