/* SPDX-License-Identifier: MIT */
/* Queues and select: order, conservation, bounds, shutdown, close, join. */
#include "help.h"

#include "queue/queue.h"

static motet_queue *q, *p;
static int got[4], sum, n_got, refused;
static motet_event event;

static void open_queue(motet_queue **ret, motet_queue_order order, size_t capacity)
{
    motet_queue_options opt = {.order = order, .capacity = capacity};
    SIM_CHECK_EQ(motet_queue_open(ret, sizeof(int), &opt), 0);
}

static void close_all(void)
{
    q = motet_queue_close(q);
    p = motet_queue_close(p);
    SIM_CHECK_EQ(sim_allocated(), 0);
}

static void puts_one(void *arg)
{
    int item = 1 << (int)(intptr_t)arg;
    SIM_CHECK_EQ(motet_queue_put(q, &item, MOTET_FOREVER), 0);
}

static void gets_one(void *arg) { SIM_CHECK_EQ(motet_queue_get(q, &got[(intptr_t)arg], MOTET_FOREVER), 0); }

/* ---- order and conservation ------------------------------------------------------------------------ */

static void puts_three(void *arg)
{
    for (int i = 1; i <= 3; i++)
        SIM_CHECK_EQ(motet_queue_put(q, &i, MOTET_FOREVER), 0);
}

SIM_SCENARIO(queue_fifo_full, .about = "three items through a queue of one, in order", .faults = SIM_SPURIOUS)
{
    open_queue(&q, MOTET_FIFO, 1);
    sim_spawn(puts_three, NULL, "putter");
    for (int i = 1, item = 0; i <= 3; i++) {
        SIM_CHECK_EQ(motet_queue_get(q, &item, MOTET_FOREVER), 0);
        SIM_CHECK_EQ(item, i);
    }
    sim_join_all();
    close_all();
}

SIM_SCENARIO(queue_two_each, .about = "two put, two get: nothing lost, nothing twice", .cap = 100)
{
    open_queue(&q, MOTET_FIFO, 0);
    spawn_many(2, puts_one);
    spawn_many(2, gets_one);
    sim_join_all();
    SIM_CHECK_EQ(got[0] + got[1], 3);
    close_all();
}

SIM_SCENARIO(queue_two_each_full, .about = "the same through a queue of one", .cap = 100)
{
    open_queue(&q, MOTET_FIFO, 1);
    spawn_many(2, puts_one);
    spawn_many(2, gets_one);
    sim_join_all();
    SIM_CHECK_EQ(got[0] + got[1], 3);
    close_all();
}

SIM_SCENARIO(queue_lifo, .about = "last in, first out: two items behind each other")
{
    open_queue(&q, MOTET_LIFO, 1);
    sim_spawn(gets_one, (void *)0, "getter");
    puts_one((void *)0);
    puts_one((void *)1);
    gets_one((void *)1);
    sim_join_all();
    SIM_CHECK_EQ(got[0] + got[1], 3);
    close_all();
}

static int by_value(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }

SIM_SCENARIO(queue_priority, .about = "what one getter sees of a full priority queue is ascending")
{
    motet_queue_options opt = {.order = MOTET_PRIORITY, .compare = by_value};
    SIM_CHECK_EQ(motet_queue_open(&q, sizeof(int), &opt), 0);
    run_many(2, puts_one);
    gets_one((void *)0);
    gets_one((void *)1);
    SIM_CHECK_EQ(got[0], 1);
    SIM_CHECK_EQ(got[1], 2);
    close_all();
}

static void gets_many(void *arg)
{
    int items[2], n = motet_queue_get_many(q, items, 2, MOTET_FOREVER);
    SIM_CHECK(n == 1 || n == 2);
    for (int i = 0; i < n; i++)
        atomic_add_relaxed(&sum, items[i]);
    atomic_add_relaxed(&n_got, n);
}

SIM_SCENARIO(queue_batches, .about = "two in one batch; whoever gets leaves the rest to the others")
{
    static const int items[2] = {1, 2};
    open_queue(&q, MOTET_FIFO, 0);
    spawn_many(1, gets_many);
    SIM_CHECK_EQ(motet_queue_put_many(q, items, 2, MOTET_FOREVER), 2);
    sim_join_all();
    for (int rest = 2 - n_got; rest > 0; rest--)
        gets_one((void *)0), sum += got[0];
    SIM_CHECK_EQ(sum, 3);
    close_all();
}

/* ---- deadlines ------------------------------------------------------------------------------------- */

static void gets_in_time(void *arg)
{
    int item, e = motet_queue_get(q, &item, sim_now() + 1000);
    SIM_CHECK(e == 0 || e == -ETIMEDOUT);
    if (e == 0)
        atomic_add_relaxed(&n_got, 1);
}

SIM_SCENARIO(queue_deadline, .about = "a getter that gives up swallows no item that another could have had", .cap = 100)
{
    open_queue(&q, MOTET_FIFO, 0);
    sim_spawn(gets_in_time, NULL, "hasty");
    sim_spawn(gets_one, (void *)0, "patient");
    puts_one((void *)0);
    if (sim_pick(2))
        puts_one((void *)1);
    else
        sim_spawn(puts_one, (void *)1, "putter");
    sim_join_all();
    SIM_CHECK_EQ((size_t)n_got + 1 + motet_queue_size(q), 2);
    close_all();
}

/* ---- shutdown, close, join ------------------------------------------------------------------------- */

static void puts_or_is_refused(void *arg)
{
    int item = 1, e = motet_queue_put(q, &item, MOTET_FOREVER);
    SIM_CHECK(e == 0 || e == -EPIPE);
    atomic_add_relaxed(&refused, e == -EPIPE);
}

static void drains(void *arg)
{
    int item, e;
    while ((e = motet_queue_get(q, &item, MOTET_FOREVER)) == 0)
        atomic_add_relaxed(&n_got, 1);
    SIM_CHECK_EQ(e, -EPIPE);
}

SIM_SCENARIO(queue_shutdown, .about = "shutdown against two puts and a drain: what was put is got, all come back",
             .cap = 100)
{
    open_queue(&q, MOTET_FIFO, 1);
    sim_spawn(puts_or_is_refused, NULL, "putter 1");
    sim_spawn(puts_or_is_refused, NULL, "putter 2");
    sim_spawn(drains, NULL, "getter");
    SIM_CHECK_EQ(motet_queue_shutdown(q), 0);
    sim_join_all();
    SIM_CHECK_EQ(n_got + refused, 2);
    close_all();
}

static void waits_in_close(void *arg)
{
    int item;
    SIM_CHECK_EQ(motet_queue_get(q, &item, MOTET_FOREVER), -EPIPE);
}

SIM_SCENARIO(queue_close_waits, .about = "close drives a getter out, and frees nothing under it")
{
    open_queue(&q, MOTET_FIFO, 0);
    sim_spawn(waits_in_close, NULL, "getter");
    while (!sim_peep(&q->getters.waiting)) /* who comes later comes to a queue that is gone */
        cpu_relax();
    motet_queue_close(q);
    q = NULL;
    sim_join_all();
    close_all();
}

SIM_SCENARIO(queue_close_watched, .about = "close drives out a getter that still watches, and frees nothing under it")
{
    sim_cpus(2);
    open_queue(&q, MOTET_FIFO, 0);
    sim_spawn(waits_in_close, NULL, "getter");
    while (!sim_peep(&q->out.watching) && !sim_peep(&q->getters.waiting))
        cpu_relax();
    q = motet_queue_close(q);
    sim_join_all();
    close_all();
}

SIM_SCENARIO(queue_watch, .about = "one who watches beside one who sleeps: two items through a queue of one",
             .cap = 100)
{
    sim_cpus(2);
    open_queue(&q, MOTET_FIFO, 1);
    spawn_many(2, gets_one);
    puts_one((void *)0);
    puts_one((void *)1);
    sim_join_all();
    SIM_CHECK_EQ(got[0] + got[1], 3);
    close_all();
}

static void works_off(void *arg)
{
    int item;
    SIM_CHECK_EQ(motet_queue_get(q, &item, MOTET_FOREVER), 0);
    plain_add(&sum, 1);
    SIM_CHECK_EQ(motet_queue_task_done(q), 0);
}

SIM_SCENARIO(queue_join, .about = "join comes back when both items are done, and sees what was done")
{
    open_queue(&q, MOTET_FIFO, 0);
    puts_one((void *)0);
    sim_spawn(works_off, NULL, "worker");
    SIM_CHECK_EQ(motet_queue_join(q, MOTET_FOREVER), 0);
    SIM_CHECK_EQ(SIM_READ(&sum), 1);
    sim_join_all();
    close_all();
}

/* ---- the ring's two ends --------------------------------------------------------------------------- */

/* Who could not have been let through first: a result of `many` says how much there was when it went through. */
static int many;

static void puts_two_at_once(void *arg)
{
    static const int items[2] = {4, 8};
    many = motet_queue_put_many(q, items, 2, MOTET_NOWAIT);
}

SIM_SCENARIO(queue_put_many_at_once, .about = "put_many found all the room there was at one moment")
{
    int item = 0;
    open_queue(&q, MOTET_FIFO, 2);
    puts_one((void *)0);
    sim_spawn(puts_two_at_once, NULL, "putter");
    SIM_CHECK_EQ(motet_queue_get(q, &item, MOTET_NOWAIT), 0);
    SIM_CHECK_EQ(item, 1);
    size_t size = motet_queue_size(q);
    int e = motet_queue_get(q, &item, MOTET_NOWAIT);
    sim_join_all();
    SIM_CHECK(many == 1 || many == 2);
    SIM_CHECK(many == 2 || (size == 1 && e == 0 && item == 4)); /* one: it came before all of these */
    SIM_CHECK_EQ(motet_queue_size(q), (size_t)(many - (e == 0)));
    close_all();
}

static void gets_three_at_once(void *arg)
{
    int items[3];
    many = motet_queue_get_many(q, items, 3, MOTET_NOWAIT);
    for (int i = 0; i < many; i++)
        SIM_CHECK_EQ(items[i], 1 << i);
}

SIM_SCENARIO(queue_get_many_at_once, .about = "get_many found all the items there were at one moment")
{
    int item = 4;
    open_queue(&q, MOTET_FIFO, 3);
    puts_one((void *)0);
    puts_one((void *)1);
    sim_spawn(gets_three_at_once, NULL, "getter");
    SIM_CHECK_EQ(motet_queue_put(q, &item, MOTET_NOWAIT), 0);
    size_t size = motet_queue_size(q);
    int e = motet_queue_put(q, &item, MOTET_NOWAIT);
    sim_join_all();
    SIM_CHECK(many == 2 || many == 3);
    SIM_CHECK(many == 3 || (size == 1 && e == 0)); /* two: it came before all of these */
    SIM_CHECK_EQ(motet_queue_size(q), (size_t)(3 + (e == 0) - many));
    close_all();
}

static void puts_and_gets(void *arg)
{
    int item = 1;
    for (int i = 0; i < 2; i++) {
        SIM_CHECK_EQ(motet_queue_put(q, &item, MOTET_NOWAIT), 0);
        SIM_CHECK_EQ(motet_queue_get(q, &item, MOTET_NOWAIT), 0);
    }
}

SIM_SCENARIO(queue_size_at_a_moment, .about = "a size that was true at one moment: never more than there can be")
{
    open_queue(&q, MOTET_FIFO, 1);
    sim_spawn(puts_and_gets, NULL, "other");
    for (int i = 0; i < 2; i++)
        SIM_CHECK(motet_queue_size(q) <= 1);
    sim_join_all();
    SIM_CHECK_EQ(motet_queue_size(q), 0);
    close_all();
}

SIM_SCENARIO(queue_last_getter_closes,
             .about = "who got the last item closes, with the put that brought it on its way out")
{
    open_queue(&q, MOTET_FIFO, 1);
    sim_spawn(puts_one, (void *)0, "putter");
    gets_one((void *)0);
    q = motet_queue_close(q);
    sim_join_all();
    SIM_CHECK_EQ(got[0], 1);
    close_all();
}

SIM_SCENARIO(queue_putter_closes, .about = "who put when there was room again gets that back and closes")
{
    open_queue(&q, MOTET_FIFO, 1);
    puts_one((void *)0);
    sim_spawn(gets_one, (void *)0, "getter");
    puts_one((void *)1);
    gets_one((void *)1);
    q = motet_queue_close(q);
    sim_join_all();
    SIM_CHECK_EQ(got[0], 1);
    SIM_CHECK_EQ(got[1], 2);
    close_all();
}

/* Two slots to begin with, then four and a spare array, then two again. */
enum { LARGE = 32 * 1024 };

static void puts_large(void *arg)
{
    static int item[LARGE / sizeof(int)];
    for (int i = 1; i <= 3; i++) {
        item[0] = item[LARGE / sizeof(int) - 1] = i;
        SIM_CHECK_EQ(motet_queue_put(q, item, MOTET_NOWAIT), 0);
    }
}

SIM_SCENARIO(queue_grows, .about = "the array grows and shrinks under gets: all come out in order")
{
    static int item[LARGE / sizeof(int)];
    SIM_CHECK_EQ(motet_queue_open(&q, LARGE, NULL), 0);
    sim_spawn(puts_large, NULL, "putter");
    for (int i = 1; i <= 3; i++) {
        SIM_CHECK_EQ(motet_queue_get(q, item, MOTET_FOREVER), 0);
        SIM_CHECK_EQ(item[0], i);
        SIM_CHECK_EQ(item[LARGE / sizeof(int) - 1], i);
    }
    sim_join_all();
    SIM_CHECK(!q->spare || q->mask == 3);
    close_all();
}

static void shuts(void *arg) { SIM_CHECK_EQ(motet_queue_shutdown(q), 0); }

SIM_SCENARIO(queue_shutdown_is_final, .about = "who finds a queue shut and empty finds nothing put later")
{
    int item = 1, more = 2;
    open_queue(&q, MOTET_FIFO, 2);
    sim_spawn(shuts, NULL, "shutter");
    sim_spawn(drains, NULL, "drain");
    int first = motet_queue_put(q, &item, MOTET_FOREVER), second = motet_queue_put(q, &more, MOTET_FOREVER);
    SIM_CHECK(first == 0 || (first == -EPIPE && second == -EPIPE));
    SIM_CHECK(second == 0 || second == -EPIPE);
    sim_join_all();
    SIM_CHECK_EQ(n_got, (first == 0) + (second == 0));
    SIM_CHECK_EQ(motet_queue_size(q), 0);
    close_all();
}

/* ---- select ---------------------------------------------------------------------------------------- */

static void puts_other(void *arg)
{
    int item = 2;
    SIM_CHECK_EQ(motet_queue_put(p, &item, MOTET_FOREVER), 0);
}

static int selects(motet_time deadline, int *item)
{
    motet_choice c[2] = {{.op = MOTET_GET, .queue = q, .item = item}, {.op = MOTET_GET, .queue = p, .item = item}};
    return motet_select(c, 2, deadline);
}

SIM_SCENARIO(select_two_queues, .about = "a get from either of two queues: the other item stays", .cap = 100)
{
    open_queue(&q, MOTET_FIFO, 0);
    open_queue(&p, MOTET_FIFO, 0);
    sim_spawn(puts_one, (void *)0, "putter 1");
    sim_spawn(puts_other, NULL, "putter 2");
    int item = 0, k = selects(MOTET_FOREVER, &item);
    SIM_CHECK(k == 0 || k == 1);
    SIM_CHECK_EQ(item, k + 1);
    sim_join_all();
    SIM_CHECK_EQ(motet_queue_size(q) + motet_queue_size(p), 1);
    close_all();
}

static void selects_one(void *arg)
{
    int item = 0;
    SIM_CHECK_EQ(selects(MOTET_FOREVER, &item), 0);
    SIM_CHECK(item == 1 || item == 2);
    atomic_add_relaxed(&sum, item);
}

SIM_SCENARIO(select_against_get, .about = "a select that did not use its wake passes it on to the getter", .cap = 100)
{
    open_queue(&q, MOTET_FIFO, 0);
    open_queue(&p, MOTET_FIFO, 0);
    sim_spawn(selects_one, NULL, "selector");
    sim_spawn(gets_one, (void *)0, "getter");
    puts_one((void *)0);
    puts_one((void *)1);
    sim_join_all();
    SIM_CHECK_EQ(sum + got[0], 3);
    close_all();
}

static void puts_by_select(void *arg)
{
    int item = 1;
    motet_choice c[2] = {{.op = MOTET_PUT, .queue = q, .item = &item}, {.op = MOTET_SET, .event = &event}};
    int k = motet_select(c, 2, MOTET_FOREVER);
    SIM_CHECK(k == 0 || k == 1);
    atomic_add_relaxed(&n_got, k == 0);
}

SIM_SCENARIO(select_put_or_event, .about = "a put into a full queue or an event, whichever comes first", .cap = 100)
{
    open_queue(&q, MOTET_FIFO, 1);
    puts_one((void *)1);
    sim_spawn(puts_by_select, NULL, "selector");
    sim_spawn(gets_one, (void *)0, "getter");
    motet_event_set(&event);
    sim_join_all();
    SIM_CHECK_EQ(got[0], 2);
    SIM_CHECK_EQ(motet_queue_size(q), n_got);
    close_all();
}
