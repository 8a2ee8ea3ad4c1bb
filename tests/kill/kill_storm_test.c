/* SPDX-License-Identifier: MIT */
/* The ring in a storm: workers put and get, are killed and stopped at random, and recover what the dead left, all at the
 * same time. At the end the books are balanced: nothing came twice, nothing came that was not put, each producer's items
 * came in order, and an item that never came was in the hand of one who died in a get, one for each such death. */
#include "kill/ring.h"
#include "kill/storm.h"
#include "runner.h"

#include <sys/mman.h>

enum { PUTS_MAX = 2000 }; /* by one worker; then it only gets */

/* What a worker says of itself; when it is dead it stays as it was at its death. */
typedef struct account {
    ring_self self;
    uint32_t begun, done; /* puts: number `done` is under way when begun > done */
    uint32_t getting;     /* from before a get until what it gave is in the books */
    uint32_t recovering;
} account;

typedef struct sea {
    storm_board board;
    ring ring;
    account accounts[STORM_SERIALS_MAX];
    uint8_t came[STORM_SERIALS_MAX][PUTS_MAX]; /* how often each item was got */
} sea;

/* A consumer's own: what it has seen last. */
typedef struct order {
    uint64_t position;                /* plus one */
    uint32_t last[STORM_SERIALS_MAX]; /* number plus one, by producer */
} order;

static void enter(sea *s, const ring_item *item, uint64_t position, order *seen)
{
    uint32_t producer = (uint32_t)(item->words[0] >> 32), number = (uint32_t)item->words[0];
    CHECK(ring_item_whole(item));
    CHECK_LT(producer, STORM_SERIALS_MAX);
    CHECK_LT(number, atomic_load_acquire(&s->accounts[producer].begun));
    CHECK_GE(number, seen->last[producer]);
    CHECK_GE(position, seen->position);
    seen->last[producer] = number + 1;
    seen->position = position + 1;
    CHECK_EQ(atomic_add_relaxed(&s->came[producer][number], 1), 0);
}

static void put_one(sea *s, account *a, unsigned serial)
{
    uint32_t number = a->done;
    ring_item item = ring_item_of((uint64_t)serial << 32 | number);
    atomic_store_seq_cst(&a->begun, number + 1);
    if (ring_put(&s->ring, a->self, &item, NULL) == 0)
        atomic_store_seq_cst(&a->done, number + 1);
    else
        atomic_store_seq_cst(&a->begun, number);
}

static void get_one(sea *s, account *a, order *seen)
{
    ring_item item;
    uint64_t position;
    atomic_store_seq_cst(&a->getting, 1);
    if (ring_get(&s->ring, a->self, &item, &position) == 0)
        enter(s, &item, position, seen);
    atomic_store_seq_cst(&a->getting, 0);
}

/* Every survivor sees to every death, so that many do so at once. */
static void see_to_deaths(sea *s, account *a, uint32_t *seen_to)
{
    uint32_t deaths = atomic_load_acquire(&s->board.deaths);
    if (*seen_to == deaths)
        return;
    atomic_store_relaxed(&a->recovering, 1);
    for (; *seen_to < deaths; ++*seen_to)
        ring_recover(&s->ring, s->accounts[s->board.dead[*seen_to]].self);
    atomic_store_relaxed(&a->recovering, 0);
}

/* Now and then what is half done stays so for a while, so that signals find it so. */
static void dawdle(void)
{
    static uint32_t calls;
    for (int i = 0; calls % 16 == 0 && i < 3; i++)
        sys_yield();
    calls++;
}

static void work(void *arg, unsigned serial)
{
    sea *s = arg;
    account *a = &s->accounts[serial];
    static order seen;
    uint32_t seed = serial * 2654435761u + 99, seen_to = 0;
    ring_linger = dawdle;
    while (!atomic_load_acquire(&s->board.over)) {
        see_to_deaths(s, a, &seen_to);
        if (storm_dice(&seed, 2) && a->done < PUTS_MAX)
            put_one(s, a, serial);
        else
            get_one(s, a, &seen);
        atomic_add_relaxed(&s->board.done, 1);
        if (storm_dice(&seed, 8) == 0)
            sys_yield();
    }
}

/* Its membership is the watcher's doing, so that a worker that dies at once is known too. */
static void before(void *arg, unsigned serial)
{
    sea *s = arg;
    uint32_t none = 0;
    static account watchers;
    if (ring_join(&s->ring, &s->accounts[serial].self) == 0)
        return;
    see_to_deaths(s, &watchers, &none); /* all places are dead ones: nobody has come to it yet */
    CHECK_EQ(ring_join(&s->ring, &s->accounts[serial].self), 0);
}

/* Holds a slot, or recovers. */
static bool in_the_middle(void *arg, unsigned serial)
{
    const sea *s = arg;
    const account *a = &s->accounts[serial];
    if (atomic_load_acquire(&a->recovering))
        return true;
    for (unsigned i = 0; i < 1u << s->ring.shift; i++) {
        ring_self owner = word_owner(atomic_load_acquire(&s->ring.slots[i].word));
        if (owner.member == a->self.member && owner.generation == a->self.generation)
            return true;
    }
    return false;
}

/* ---- the books ------------------------------------------------------------------------------------- */

typedef struct totals {
    unsigned put, missing, began; /* began: puts cut off */
    unsigned died_getting, died_recovering;
} totals;

static void add_producer(const sea *s, unsigned serial, totals *t)
{
    const account *a = &s->accounts[serial];
    CHECK(a->begun == a->done || a->begun == a->done + 1);
    for (uint32_t i = 0; i < PUTS_MAX; i++) {
        CHECK_LE(s->came[serial][i], 1);
        if (i < a->done)
            t->missing += !s->came[serial][i];
        else if (i >= a->begun)
            CHECK_EQ(s->came[serial][i], 0);
    }
    t->put += a->done;
    t->began += a->begun - a->done;
}

static void balance(sea *s, unsigned serials)
{
    totals t = {0};
    static order seen;
    account *last = &s->accounts[STORM_SERIALS_MAX - 1];
    uint32_t none = 0;
    see_to_deaths(s, last, &none);
    CHECK_EQ(ring_join(&s->ring, &last->self), 0);
    ring_item item;
    uint64_t position;
    while (ring_get(&s->ring, last->self, &item, &position) == 0)
        enter(s, &item, position, &seen);
    const char *why = ring_check(&s->ring);
    LOG("the ring: %s", why ? why : "all holds");
    CHECK_PTR(why, NULL);
    CHECK_EQ(ring_count(&s->ring), 0);
    for (unsigned i = 0; i < serials; i++)
        add_producer(s, i, &t);
    for (uint32_t i = 0; i < s->board.deaths; i++) {
        t.died_getting += s->accounts[s->board.dead[i]].getting;
        t.died_recovering += s->accounts[s->board.dead[i]].recovering;
    }
    LOG("%u items put, %u puts cut off; %u workers killed, %u of them in a get and %u in a recovery; %u items never "
        "came, "
        "%u died in the ring",
        t.put, t.began, s->board.deaths, t.died_getting, t.died_recovering, t.missing, ring_losses(&s->ring));
    CHECK_LE(t.missing, t.died_getting);
    CHECK_LE(ring_losses(&s->ring), t.died_getting);
    CHECK_LE(ring_losses(&s->ring), t.missing + t.began);
}

static void let_loose(unsigned workers, unsigned capacity, unsigned pace)
{
    sea *s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(s != MAP_FAILED);
    ring_init(&s->ring, capacity);
    storm weather = {
        .board = &s->board, .workers = workers, .kills = 300, .stops = 200, .pace = pace, .before = before};
    weather.seed = workers * 77 + capacity;
    weather.work = work;
    weather.worth = in_the_middle;
    weather.arg = s;
    balance(s, storm_run(&weather));
    munmap(s, sizeof *s);
}

TEST(three_on_two_slots) { let_loose(3, 2, 200); }
TEST(five_on_four_slots) { let_loose(5, 4, 400); }
TEST(eight_on_sixteen_slots) { let_loose(8, 16, 400); }
