/* SPDX-License-Identifier: MIT */
/* Opening the family: the range, what stands at its beginning, and its first member. */
#include "family/family.h"

#include "base/guard.h"
#include "base/sys_shared.h"
#include "family/arena.h"
#include "park/park.h"

family *motet__family;
uint32_t motet__family_places_most = MEMBERS_MAX;

#ifdef MOTET_SIM
enum { SIZE_DEFAULT = SIM_SHARED_SIZE, SIZE_LEAST = SIM_SHARED_SIZE };
#else
#define SIZE_DEFAULT ((uint64_t)64 << 30)
#define SIZE_LEAST   ((uint64_t)512 << 10)
#endif

#define MAGIC 0x316574656d6f744dull

static int descriptor = -1;

int motet__family_fd(void) { return descriptor; }

static size_t lines(size_t n) { return (n + CACHE_LINE - 1) & ~(size_t)(CACHE_LINE - 1); }

/* How many places a range of that size has room for, place 0 included: an eighth of it is theirs, or half if it is so small
 * that there were next to none. */
static uint32_t places_of(uint64_t size)
{
    enum { FEW = 8 };
    uint64_t n = size / 8 / sizeof(member), most = size / 2 / sizeof(member);
    if (n < FEW)
        n = most < FEW ? most : FEW;
    return n > motet__family_places_most ? motet__family_places_most : (uint32_t)n;
}

/* Reserves the largest range that is to be had: the size that was asked for or the default, halved as often as it is refused. */
static int reserve(uint64_t *ret_size, void **ret)
{
    uint64_t asked = sys_shared_size_asked(), most = sys_shared_size_max();
    uint64_t size = asked ? asked : SIZE_DEFAULT;
    int e = -ENOMEM;
    for (size = size > most ? most : size; size >= SIZE_LEAST; size /= 2) {
        size = size / ARENA_SPAN * ARENA_SPAN;
        int fd = e = sys_shared_create(size);
        if (fd >= 0) {
            e = sys_shared_map(fd, size, NULL, ret);
            if (e == 0) {
                descriptor = fd;
                *ret_size = size;
                return 0;
            }
            sys_close(fd);
        }
        if (e == -EMFILE || e == -ENFILE)
            return e;
    }
    return e == -EMFILE || e == -ENFILE ? e : -ENOMEM;
}

/* The first member's place is taken by hand: nobody is there to claim it. */
static int begin(family *f)
{
    atomic_store_release(&f->members[1].state, member_word(MEMBER_JOINING, 1, 0));
    atomic_store_release(&f->places_used, 2);
    f->place_next = 2;
    f->root = tag_of(1, 1);
    atomic_store_release(&motet__family, f);
    int e = motet__member_become(f->root);
    if (e < 0)
        atomic_store_release(&motet__family, NULL);
    return e;
}

static int open_family(void)
{
    uint64_t size = 0;
    void *at;
    int e = reserve(&size, &at);
    if (e < 0)
        return e;
    size_t members = lines(sizeof(family)), head = members + places_of(size) * sizeof(member);
    e = sys_shared_commit(descriptor, 0, members + 2 * sizeof(member));
    if (e == 0) {
        family *f = at;
        sys_shared_dump(f, sizeof *f);
        f->magic = MAGIC;
        f->size = size;
        f->places_max = places_of(size);
        f->members = (member *)(void *)((char *)at + members);
        e = motet__arena_create(f, head);
        if (e == 0)
            e = begin(f);
    }
    if (e < 0) {
        sys_shared_unmap(at, size);
        sys_close(descriptor);
        descriptor = -1;
    }
    return e;
}

int motet__family_open(void)
{
    static guard once;
    if (atomic_load_acquire(&motet__family))
        return motet__family_self() ? 0 : -EPERM;
    if (!motet__park_allowed())
        return -EPERM;
    guard_lock(&once);
    int e = motet__family ? 0 : open_family();
    guard_unlock(&once);
    return e;
}

int motet__family_attach(int fd, void *at, uint64_t size)
{
    void *there;
    if (sys_shared_size(fd) != (int64_t)size)
        return -EINVAL;
    int e = sys_shared_map(fd, size, at, &there);
    if (e < 0)
        return e;
    family *f = there;
    if (f->magic != MAGIC || f->size != size) {
        sys_shared_unmap(there, size);
        return -EINVAL;
    }
    descriptor = fd;
    atomic_store_release(&motet__family, f);
    return 0;
}

void motet__family_forget(void)
{
    if (!motet__family)
        return;
    /* The mapping stays: somebody may look at what he had there. */
    atomic_store_release(&motet__family, NULL);
    atomic_store_relaxed(&motet__family_tag, 0);
    sys_close(descriptor);
    descriptor = -1;
}

int motet__member_commit(uint32_t place)
{
    family *f = motet__family;
    uint64_t at = (uint64_t)((char *)&f->members[place] - (char *)f);
    return sys_shared_commit(descriptor, at, sizeof(member));
}
