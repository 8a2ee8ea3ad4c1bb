/* SPDX-License-Identifier: MIT */
/* One wait over several things, of which exactly one goes through.
 *
 * A selection has a *thing* (park/waitable.h) with a node for each choice that is not a descriptor, and a
 * pollfd for each that is.
 *
 *   1. It looks at all once, without arming anything, from a random place on: whatever can go through does, and that
 *      is all.
 *   2. The same again, arming each that can't.
 *   3. It parks on all nodes and descriptors, then looks again, first at the one that was woken, arming anew; and so on.
 *
 * Only one attempt ever returns 1, and it is the last: that is what `exactly one` rests on. At the end every
 * armed node is retracted, by which a thing whose wake was not used passes it on. */
#include "base/panic.h"
#include "select/kinds.h"

#include <motet/select.h>

enum {
    ON_STACK = 8,      /* choices; more need memory */
    NOTHING = -EAGAIN, /* no choice went through, and none failed */
};

typedef struct part {
    waitable thing; /* ops NULL: a descriptor */
    size_t place;   /* of its node or pollfd */
    union {
        queue_transfer transfer;
        uint32_t event_seen;
    };
} part;

typedef struct selection {
    motet_choice *choices;
    size_t n;
    part *parts;
    wait_node *nodes;
    struct pollfd *fds;
    size_t nodes_count, fds_count;
} selection;

/* ---- misuse ---------------------------------------------------------------------------------------- */

static int check_queue(const motet_choice *c)
{
    if (!c->queue)
        return -EINVAL;
    if (c->queue->item_size)
        return c->item ? 0 : -EINVAL;
    if (c->op == MOTET_GET)
        return c->buffer ? 0 : -EINVAL;
    if (!c->message.data && c->message.size)
        return -EINVAL;
    return c->message.size <= MOTET_MESSAGE_SIZE_MAX ? 0 : -EMSGSIZE;
}

static int check_choice(const motet_choice *c)
{
    switch (c->op) {
    case MOTET_GET:
    case MOTET_PUT: return check_queue(c);
    case MOTET_READABLE:
    case MOTET_WRITABLE: return c->fd >= 0 ? 0 : -EINVAL;
    case MOTET_SET: return !c->event ? -EINVAL : c->event->flags_ & MOTET_SHARED ? -ENOTSUP : 0;
    case MOTET_OVER: return c->future ? 0 : -EINVAL;
    case MOTET_ENDED: return c->process ? -ENOTSUP : -EINVAL;
    case MOTET_MESSAGE: return c->conn ? -ENOTSUP : -EINVAL;
    }
    return -EINVAL;
}

static int check(const motet_choice *choices, size_t n)
{
    if (!choices || n == 0 || n > MOTET_SELECT_MAX)
        return -EINVAL;
    for (size_t i = 0; i < n; i++) {
        int e = check_choice(&choices[i]);
        if (e < 0)
            return e;
    }
    return motet__park_allowed() ? 0 : -EPERM;
}

/* ---- begin and end --------------------------------------------------------------------------------- */

static void add_thing(selection *s, part *p, const waitable_ops *ops, void *object, void *arg)
{
    p->thing = (waitable){.ops = ops, .object = object, .arg = arg};
    p->place = s->nodes_count++;
    s->nodes[p->place] = (wait_node){0};
}

static void add_descriptor(selection *s, part *p, int fd, short events)
{
    p->place = s->fds_count++;
    s->fds[p->place] = (struct pollfd){.fd = fd, .events = events};
}

static int add_queue(selection *s, part *p, const motet_choice *c)
{
    p->transfer = (queue_transfer){.item = c->item, .buffer = c->buffer};
    add_thing(s, p, c->op == MOTET_GET ? &motet__queue_get_waitable : &motet__queue_put_waitable, c->queue,
              &p->transfer);
    if (c->op == MOTET_GET || c->queue->item_size)
        return 0;
    return motet__message_of_bytes(&p->transfer.message, c->message);
}

/* 0; -ENOMEM. */
static int add(selection *s, size_t i)
{
    motet_choice *c = &s->choices[i];
    part *p = &s->parts[i];
    p->thing.ops = NULL;
    switch (c->op) {
    case MOTET_READABLE: add_descriptor(s, p, c->fd, POLLIN); return 0;
    case MOTET_WRITABLE: add_descriptor(s, p, c->fd, POLLOUT); return 0;
    case MOTET_SET: add_thing(s, p, &motet__event_waitable, c->event, &p->event_seen); return 0;
    case MOTET_OVER: add_thing(s, p, &motet__future_waitable, c->future, NULL); return 0;
    default: {
        int e = add_queue(s, p, c);
        return e < 0 ? (c->code = e) : 0;
    }
    }
}

/* Retracts what is armed and frees what was not put. */
static void finish(selection *s, size_t added)
{
    for (size_t i = 0; i < added; i++) {
        part *p = &s->parts[i];
        if (!p->thing.ops)
            continue;
        waitable_retract(&p->thing, &s->nodes[p->place]);
        if (p->thing.ops == &motet__queue_put_waitable)
            motet_message_unref(p->transfer.message);
    }
}

/* ---- looking --------------------------------------------------------------------------------------- */

/* What the last poll said of a descriptor: as an attempt. */
static int attempt_descriptor(const struct pollfd *fd) { return fd->revents & POLLNVAL ? -EBADF : fd->revents != 0; }

static int attempt(selection *s, size_t i, bool arm)
{
    part *p = &s->parts[i];
    if (!p->thing.ops)
        return attempt_descriptor(&s->fds[p->place]);
    return waitable_attempt(&p->thing, arm ? &s->nodes[p->place] : NULL);
}

/* Attempts all, from `first` on, until one goes through: its index; the first failure, if none can; NOTHING,
 * and then all are armed if asked. */
static int look(selection *s, size_t first, bool arm)
{
    int result = NOTHING;
    for (size_t k = 0; k < s->n; k++) {
        size_t i = (first + k) % s->n;
        int e = attempt(s, i, arm);
        if (e > 0) {
            for (size_t j = 0; j < s->n; j++)
                s->choices[j].code = 0;
            return (int)i;
        }
        if (e < 0)
            s->choices[i].code = e;
        if (result == NOTHING && e < 0)
            result = e;
    }
    return result;
}

static int poll_now(selection *s)
{
    int e = 0;
    if (s->fds_count) {
        do
            e = sys_poll(s->fds, s->fds_count, MOTET_NOWAIT);
        while (e == -EINTR);
    }
    if (e <= 0)
        return e;
    for (size_t i = 0; i < s->n; i++) {
        if (!s->parts[i].thing.ops && attempt_descriptor(&s->fds[s->parts[i].place]) < 0)
            e = s->choices[i].code = -EBADF;
    }
    return e < 0 ? e : 0;
}

/* A place to begin at; good enough to be fair. (xorshift64*, Sebastiano Vigna.) */
static size_t random_below(size_t n)
{
    static _Thread_local __attribute__((tls_model("initial-exec"))) uint64_t state;
    if (!state)
        state = sys_random() | 1;
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (state * 0x2545F4914F6CDD1Du >> 33) % n;
}

/* ---- waiting --------------------------------------------------------------------------------------- */

/* Whose node or descriptor park has named. */
static size_t choice_at(const selection *s, size_t named)
{
    bool is_fd = named >= s->nodes_count;
    size_t place = is_fd ? named - s->nodes_count : named;
    for (size_t i = 0; i < s->n; i++) {
        if (!s->parts[i].thing.ops == is_fd && s->parts[i].place == place)
            return i;
    }
    MOTET_ASSERT(!"a place is some choice's");
    return 0;
}

static int wait_and_look(selection *s, motet_time deadline)
{
    int result = look(s, random_below(s->n), true);
    while (result == NOTHING) {
        park_request r = {.nodes = s->nodes,
                          .nodes_count = s->nodes_count,
                          .fds = s->fds,
                          .fds_count = s->fds_count,
                          .deadline = deadline};
        int woken = motet__park_many(&r);
        if (woken < 0 && woken != -ETIMEDOUT)
            return woken;
        result = look(s, woken < 0 ? random_below(s->n) : choice_at(s, (size_t)woken), true);
        if (result == NOTHING && woken < 0)
            return woken;
    }
    return result;
}

static int choose(selection *s, motet_time deadline)
{
    int result = poll_now(s);
    if (result < 0)
        return result;
    result = look(s, random_below(s->n), false);
    if (result != NOTHING)
        return result;
    return deadline <= 0 ? -ETIMEDOUT : wait_and_look(s, deadline);
}

static int run(selection *s, motet_time deadline)
{
    size_t added = 0;
    int e = 0;
    while (e == 0 && added < s->n)
        e = add(s, added++);
    if (e == 0)
        e = choose(s, deadline);
    finish(s, added);
    return e;
}

int motet_select(motet_choice *choices, size_t n, motet_time deadline)
{
    int e = check(choices, n);
    if (e < 0)
        return e;
    for (size_t i = 0; i < n; i++)
        choices[i].code = 0;
    part parts[ON_STACK];
    wait_node nodes[ON_STACK];
    struct pollfd fds[ON_STACK];
    selection s = {.choices = choices, .n = n, .parts = parts, .nodes = nodes, .fds = fds};
    void *memory = NULL;
    if (n > ON_STACK) {
        memory = sys_alloc(n * (sizeof *s.parts + sizeof *s.nodes + sizeof *s.fds));
        if (!memory)
            return -ENOMEM;
        s.parts = memory;
        s.nodes = (wait_node *)(void *)(s.parts + n);
        s.fds = (struct pollfd *)(void *)(s.nodes + n);
    }
    e = run(&s, deadline);
    sys_free(memory);
    return e;
}
