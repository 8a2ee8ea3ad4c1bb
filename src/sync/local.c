/* SPDX-License-Identifier: MIT */
/* Locals: variables of which every thread has its own value.
 *
 * A local has a slot, an index that is used again, and an id, which is not. A thread has a table of values by slot; a value
 * counts only under the id of the local that it was set for, so that what an earlier local left in a slot is nobody's.
 *
 * Guards: the registry's lock guards the slots, the list of tables, the shape of every table and the ids in it. A thread
 * reads its own table without the lock, since only it changes the shape; and the entry of a local, since others touch that
 * only in the local's free, when nobody uses it. Values belong to whoever takes them out under the lock: the ending thread
 * or free, so that each is destroyed once. `destroy` is called without the lock.
 *
 * A thread's table is found through own_table alone; fibers will bring a table each. It goes when the thread ends (the
 * destructor of one pthread key), and, for the calling thread, when its last local is freed. */
#include "base/afresh.h"
#include "base/list.h"
#include "base/sys_thread.h"
#include "sync/sync.h"

enum { DESTROY_ROUNDS = 4, SLOTS_MIN = 8, SLOTS_MAX = 1 << 30 };

_Static_assert(sizeof(motet_local) == 32, "part of the ABI");

typedef struct entry {
    uint64_t id; /* 0: none */
    void *value;
} entry;

typedef struct table {
    list_link link; /* on the registry's list */
    uint32_t size;  /* of entries */
    uint32_t used;  /* entries with an id */
    bool ending;    /* its thread is: the destructor gives it back */
    entry *entries;
} table;

typedef struct slot {
    uint64_t id; /* 0: free */
    void (*destroy)(void *);
    uint32_t next_free;
} slot;

#define NONE UINT32_MAX

static struct {
    motet_lock lock;
    sys_key key;
    bool has_key;
    uint64_t last_id;
    slot *slots; /* the first `size` of them; NULL while no local lives */
    uint32_t size, live, first_free;
    list_link tables;
} registry = {.tables = {&registry.tables, &registry.tables}};

static _Thread_local __attribute__((tls_model("initial-exec"))) table *mine;

/* The other threads and their values are the parent's. */
static void forget(void)
{
    registry.lock = (motet_lock){0};
    list_init(&registry.tables);
    if (mine)
        list_insert_before(&registry.tables, &mine->link);
}
AFRESH(forget);

static table *own_table(void) { return mine; }

static int enter(void) { return motet__lock_reacquire(&registry.lock); }

static void leave(void) { lock_release(&registry.lock); }

/* ---- slots (under the lock) ------------------------------------------------------------------------ */

static int grow_slots(void)
{
    uint32_t size = registry.size ? registry.size * 2 : SLOTS_MIN;
    slot *slots = size <= SLOTS_MAX ? sys_realloc(registry.slots, size * sizeof *slots) : NULL;
    if (!slots)
        return -ENOMEM;
    for (uint32_t i = registry.size; i < size; i++)
        slots[i] = (slot){.next_free = i + 1 < size ? i + 1 : NONE};
    registry.first_free = registry.size;
    registry.slots = slots;
    registry.size = size;
    return 0;
}

static int take_slot(motet_local *k)
{
    if (registry.live == registry.size) {
        int e = grow_slots();
        if (e < 0)
            return e;
    }
    uint32_t i = registry.first_free;
    slot *s = &registry.slots[i];
    registry.first_free = s->next_free;
    registry.live++;
    *s = (slot){.id = ++registry.last_id, .destroy = k->destroy_};
    k->slot_ = i;
    /* Publishes the slot; partner of the load in get. */
    atomic_store_release(&k->id_, s->id);
    return 0;
}

static void give_slot_back(uint32_t i)
{
    registry.slots[i] = (slot){.next_free = registry.first_free};
    registry.first_free = i;
    if (--registry.live > 0)
        return;
    sys_free(registry.slots);
    registry.slots = NULL;
    registry.size = 0;
}

/* ---- tables (under the lock) ----------------------------------------------------------------------- */

static void free_table(table *t)
{
    list_remove(&t->link);
    sys_free(t->entries);
    sys_free(t);
}

/* A value that is to be destroyed, and how. */
typedef struct orphan {
    void *value;
    void (*destroy)(void *);
} orphan;

/* Takes the first value at or after slot *i that has a destroy out of an ending thread's table, and goes on to the next
 * slot: a value that the destroy sets anew is for the next round. */
static bool take_value(table *t, uint32_t *i, orphan *ret)
{
    for (; *i < t->size && *i < registry.size; ++*i) {
        entry *e = &t->entries[*i];
        const slot *s = &registry.slots[*i];
        /* The ids differ when the local was freed while this thread set it: misuse, and its value is nobody's. */
        if (!e->id || e->id != s->id || !e->value || !s->destroy)
            continue;
        *ret = (orphan){e->value, s->destroy};
        e->value = NULL;
        ++*i;
        return true;
    }
    return false;
}

static bool destroy_values(table *t)
{
    bool any = false;
    orphan o;
    for (uint32_t i = 0;; any = true) {
        if (enter() < 0)
            return false;
        bool found = take_value(t, &i, &o);
        leave();
        if (!found)
            return any;
        o.destroy(o.value);
    }
}

/* The thread ends. */
static void end_table(void *arg)
{
    table *t = arg;
    t->ending = true;
    for (int round = 0; round < DESTROY_ROUNDS && destroy_values(t); round++) {}
    mine = NULL;
    if (enter() < 0)
        return; /* the child of a raw fork: left to its end */
    free_table(t);
    leave();
}

static int make_table(void)
{
    if (!registry.has_key) {
        int e = sys_key_create(&registry.key, end_table);
        if (e < 0)
            return e == -EAGAIN ? -ENOMEM : e;
        registry.has_key = true;
    }
    table *t = sys_alloc_zero(1, sizeof *t);
    if (!t || sys_key_set(registry.key, t) < 0) {
        sys_free(t);
        return -ENOMEM;
    }
    list_insert_before(&registry.tables, &t->link);
    mine = t;
    return 0;
}

static int grow_table(table *t, uint32_t size_min)
{
    uint32_t size = t->size ? t->size : SLOTS_MIN;
    while (size < size_min)
        size *= 2;
    entry *entries = sys_realloc(t->entries, size * sizeof *entries);
    if (!entries)
        return -ENOMEM;
    for (uint32_t i = t->size; i < size; i++)
        entries[i] = (entry){0};
    t->entries = entries;
    t->size = size;
    return 0;
}

/* ---- the calling thread's values ------------------------------------------------------------------- */

static entry *find(const motet_local *k)
{
    /* Acquire: the slot that belongs to the id. */
    uint64_t id = atomic_load_acquire(&k->id_);
    table *t = own_table();
    if (!id || !t || k->slot_ >= t->size || t->entries[k->slot_].id != id)
        return NULL;
    return &t->entries[k->slot_];
}

/* Gives the calling thread an entry for `k`: under the lock. */
static int add_entry(motet_local *k, void *value)
{
    int e = atomic_load_relaxed(&k->id_) ? 0 : take_slot(k);
    if (e == 0 && !own_table())
        e = make_table();
    if (e < 0)
        return e;
    table *t = own_table();
    if (k->slot_ >= t->size)
        e = grow_table(t, k->slot_ + 1);
    if (e < 0)
        return e;
    t->entries[k->slot_] = (entry){.id = k->id_, .value = value};
    t->used++;
    return 0;
}

void *motet_local_get(motet_local *k)
{
    entry *e = k ? find(k) : NULL;
    return e ? e->value : NULL;
}

int motet_local_set(motet_local *k, void *value)
{
    if (!k)
        return -EINVAL;
    entry *found = find(k);
    if (found) {
        found->value = value;
        return 0;
    }
    if (!value)
        return 0; /* it is that already */
    int e = enter();
    if (e < 0)
        return e;
    e = add_entry(k, value);
    leave();
    return e;
}

/* ---- a local's life -------------------------------------------------------------------------------- */

int motet_local_init(motet_local *k, void (*destroy)(void *))
{
    if (!k)
        return -EINVAL;
    motet_local made = {.destroy_ = destroy};
    int e = enter();
    if (e < 0)
        return e;
    e = take_slot(&made);
    leave();
    if (e == 0)
        *k = made;
    return e;
}

/* Takes the local out of all tables, up to the first value that must be destroyed: that one is *ret. */
static bool take_from_tables(const motet_local *k, orphan *ret)
{
    for (list_link *l = registry.tables.next; l != &registry.tables; l = l->next) {
        table *t = container_of(l, table, link);
        entry *e = k->slot_ < t->size ? &t->entries[k->slot_] : NULL;
        if (!e || e->id != k->id_)
            continue;
        *ret = (orphan){e->value, k->destroy_};
        *e = (entry){0};
        t->used--;
        if (ret->value && ret->destroy)
            return true;
    }
    return false;
}

/* The calling thread's table, when there is nothing in it any more. */
static void drop_own_table(void)
{
    table *t = own_table();
    if (!t || t->used || t->ending)
        return;
    sys_key_set(registry.key, NULL);
    mine = NULL;
    free_table(t);
}

void motet_local_free(motet_local *k)
{
    if (!k)
        return;
    bool more = k->id_ != 0;
    while (more && enter() == 0) {
        orphan o;
        more = take_from_tables(k, &o);
        if (!more) {
            give_slot_back(k->slot_);
            drop_own_table();
        }
        leave();
        if (more)
            o.destroy(o.value);
    }
    *k = (motet_local){0};
}
