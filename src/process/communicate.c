/* SPDX-License-Identifier: MIT */
/* Talking to a child through its pipes, all at once, and the one-shot run.
 *
 * One thread talks at a time (motet_child.talking). A pass polls the pipes that are open, then moves what can be moved without
 * waiting: up to READ_SIZE bytes from each output, as much input as fits. Output gathers in the child object (got), input that
 * a failed call leaves is copied there (rest): so nothing is lost between calls, and the caller's buffers change
 * only on success.
 *
 * The end that feeds the child is non-blocking from the first call on. The reading ends stay as they were, since a
 * read after a poll gives what is there: they may be shared with another child's input. */
#include "process/child.h"

#include "base/buffer.h"
#include "park/park.h"

#include <signal.h> /* seam: the names of signals alone */
#include <string.h>

enum {
    READ_SIZE = 64 * 1024,    /* what a pipe holds, unless somebody changed it */
    WRITE_SIZE = 1024 * 1024, /* the most that one can be made to hold */
    LATE_PASSES = 16,         /* after the deadline: enough to take what is there, not what an endless writer adds */
};

typedef struct talk {
    motet_child *child;
    const char *input; /* all of it; child->sent bytes are written */
    size_t input_size; /* bytes */
    bool wanted[3];    /* 1 and 2: somebody asks for what comes from there */
    bool raised;       /* a write raised SIGPIPE */
} talk;

/* ---- one pass -------------------------------------------------------------------------------------- */

static void end_input(motet_child *c)
{
    motet__child_close_pipe(c, 0);
    sys_free(c->rest);
    c->rest = NULL;
}

static int feed(talk *t)
{
    motet_child *c = t->child;
    size_t left = t->input_size - c->sent;
    ssize_t n = sys_write(c->pipes[0], t->input + c->sent, left < WRITE_SIZE ? left : WRITE_SIZE);
    if (n == -EAGAIN || n == -EINTR)
        return 0;
    if (n == -EPIPE)
        t->raised = true; /* it wants no more, which is its right */
    else if (n < 0)
        return (int)n;
    else
        c->sent += (size_t)n;
    if (n == -EPIPE || c->sent == t->input_size)
        end_input(c);
    return 0;
}

static int drain(talk *t, int number)
{
    motet_child *c = t->child;
    void *room = motet__buffer_room(c->got[number], READ_SIZE);
    if (!room)
        return -ENOMEM;
    ssize_t n = sys_read(c->pipes[number], room, READ_SIZE);
    if (n == -EAGAIN || n == -EINTR)
        return 0;
    if (n < 0)
        return (int)n;
    if (t->wanted[number])
        motet__buffer_added(c->got[number], (size_t)n);
    if (n == 0)
        motet__child_close_pipe(c, number);
    return 0;
}

/* How many pipes are open. */
static size_t list_pipes(const motet_child *c, struct pollfd fds[3], int numbers[3])
{
    size_t n = 0;
    for (int i = 0; i < 3; i++) {
        if (c->pipes[i] < 0)
            continue;
        fds[n] = (struct pollfd){.fd = c->pipes[i], .events = i == 0 ? POLLOUT : POLLIN};
        numbers[n++] = i;
    }
    return n;
}

/* Moves bytes until every pipe is closed. */
static int move_all(talk *t, motet_time deadline)
{
    struct pollfd fds[3];
    int numbers[3];
    for (int late = 0;;) {
        size_t n = list_pipes(t->child, fds, numbers);
        if (!n)
            return 0;
        park_request request = {.fds = fds, .fds_count = n, .deadline = deadline};
        int r = motet__park_many(&request);
        if (r < 0)
            return r;
        for (size_t i = 0; i < n; i++) {
            r = !fds[i].revents ? 0 : numbers[i] == 0 ? feed(t) : drain(t, numbers[i]);
            if (r < 0)
                return r;
        }
        if (deadline != MOTET_FOREVER && deadline <= sys_now() && ++late > LATE_PASSES)
            return -ETIMEDOUT;
    }
}

/* ---- a call ---------------------------------------------------------------------------------------- */

/* Makes the child ready for the passes. */
static int begin(talk *t)
{
    motet_child *c = t->child;
    for (int i = 1; i < 3; i++) {
        if (c->pipes[i] >= 0 && !c->got[i])
            c->got[i] = motet_buffer_new();
        if (c->pipes[i] >= 0 && !c->got[i])
            return -ENOMEM;
    }
    if (c->rest) {
        t->input = c->rest;
        t->input_size = c->rest_size;
    }
    if (c->pipes[0] >= 0 && t->input_size <= c->sent)
        end_input(c);
    return c->pipes[0] >= 0 ? sys_nonblocking(c->pipes[0]) : 0;
}

/* Keeps the input that a failed call leaves. */
static int keep_rest(talk *t)
{
    motet_child *c = t->child;
    if (c->pipes[0] < 0 || c->rest)
        return 0;
    size_t left = t->input_size - c->sent;
    c->rest = sys_alloc(left);
    if (!c->rest)
        return -ENOMEM;
    memcpy(c->rest, t->input + c->sent, left);
    c->rest_size = left;
    c->sent = 0;
    return 0;
}

static int give(motet_child *c, int number, motet_buffer *to)
{
    int r = to && c->got[number] ? motet__buffer_move(to, c->got[number]) : 0;
    if (r == 0)
        c->got[number] = motet_buffer_free(c->got[number]);
    return r;
}

/* Gives what was read, both or none. */
static int give_all(motet_child *c, motet_buffer *out, motet_buffer *err)
{
    if (err && motet_buffer_size(err)) {
        int r = motet_buffer_reserve(err, motet_buffer_size(c->got[2]));
        if (r < 0)
            return r;
    }
    int r = give(c, 1, out);
    return r < 0 ? r : give(c, 2, err);
}

static int talk_to(motet_child *c, motet_bytes input, motet_buffer *out, motet_buffer *err, motet_time deadline)
{
    talk t = {.child = c, .input = input.data, .input_size = input.size, .wanted = {false, out != NULL, err != NULL}};
    int r = begin(&t);
    if (r < 0)
        return r;
    bool feeds = c->pipes[0] >= 0;
    sigpipe_state before = {0};
    if (feeds)
        before = sys_sigpipe_hold();
    r = move_all(&t, deadline);
    if (feeds)
        sys_sigpipe_release(before, t.raised);
    int lost = 0;
    if (r == 0) {
        r = motet__child_wait(c, NULL, deadline, 0);
        lost = r == -ECHILD ? r : 0;
    }
    if (r < 0 && !lost) {
        int kept = keep_rest(&t);
        return kept < 0 ? kept : r;
    }
    r = give_all(c, out, err);
    return r < 0 ? r : lost;
}

int motet_child_communicate(motet_child *c, motet_bytes input, motet_buffer *out, motet_buffer *err,
                            motet_time deadline)
{
    if (!c || (!input.data && input.size) || (out && out == err))
        return -EINVAL;
    if ((input.size && !child_has_pipe(c, 0)) || (out && !child_has_pipe(c, 1)) || (err && !child_has_pipe(c, 2)))
        return -EINVAL;
    if (!motet__park_allowed())
        return -EPERM;
    /* Acquire and release: what the object keeps goes from one who talks to the next. */
    uint32_t free = 0;
    if (!atomic_cas_acquire(&c->talking, &free, 1))
        return -EBUSY;
    int r = talk_to(c, input, out, err, deadline);
    atomic_store_release(&c->talking, 0);
    return r;
}

/* ---- one shot -------------------------------------------------------------------------------------- */

/* Ends the child and its group for good. */
static void end(motet_child *c)
{
    /* The group's number is its own as long as nobody has reaped the leader. */
    if (motet__child_signal(c, 0) == 0)
        sys_group_kill(c->pid);
    motet__child_signal(c, SIGKILL);
    /* No descriptor may be left for a wait by park; this one is short, and must not fail. */
    while (!motet__child_over(c)) {
        struct pollfd ended = {.fd = c->pidfd, .events = POLLIN};
        sys_poll(&ended, 1, MOTET_FOREVER);
    }
}

int motet_child_run(const char *const argv[], motet_bytes input, motet_buffer *out, motet_buffer *err, int *ret_code,
                    motet_time deadline)
{
    if ((!input.data && input.size) || (out && out == err))
        return -EINVAL;
    motet_child_options opt = {
        .stdin_ = input.size ? MOTET_PIPE : MOTET_NULL,
        .stdout_ = out ? MOTET_PIPE : MOTET_INHERIT,
        .stderr_ = err ? MOTET_PIPE : MOTET_INHERIT,
        .new_session = true,
        .die_with_thread = true,
    };
    motet_child *c;
    int r = motet_child_start(&c, argv, &opt);
    if (r < 0)
        return r;
    r = motet_child_communicate(c, input, out, err, deadline);
    if (r == 0)
        r = motet__child_wait(c, ret_code, MOTET_FOREVER, 0);
    if (r < 0)
        end(c);
    motet_child_free(c);
    return r;
}
