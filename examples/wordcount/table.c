/* SPDX-License-Identifier: MIT */
/* The table of words; see table.h. */
#include "table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    ROOM_MIN = 1 << 8,
    BLOCK_SIZE = 1 << 15,
    PAGE_BYTES = 1 << 12,
};

struct block {
    struct block *next;
    size_t size;
    char bytes[];
};

/* Eight bytes at a time, each mixed in by a multiplication; the last ones masked. (The constant is 2^64 / phi, as in
 * Knuth's multiplicative hashing.) The top bits choose the shard, the low ones of `hash` the place in it. */
static uint64_t hash_word(const char *word, size_t size)
{
    const uint64_t k = 0x9e3779b97f4a7c15;
    uint64_t h = size * k, part;
    for (; size > 8; size -= 8, word += 8) {
        memcpy(&part, word, 8);
        h = (h ^ part) * k;
        h ^= h >> 29;
    }
    memcpy(&part, word, 8);
    part &= UINT64_MAX >> (64 - 8 * size);
    h = (h ^ part) * k;
    h ^= h >> 32;
    return h * k;
}

/* The entry of the word, or the free one where it belongs. The shard has room. */
static struct entry *find(const struct shard *s, const char *word, size_t size, uint32_t hash)
{
    for (size_t i = hash & (s->room - 1);; i = (i + 1) & (s->room - 1)) {
        struct entry *e = &s->entries[i];
        if (!e->word || (e->hash == hash && e->size == size && memcmp(e->word, word, size) == 0))
            return e;
    }
}

/* Writes to every page of fresh memory. One that is read first is the kernel's page of zeros; when that gives way to a page of
 * its own, at the first write, every other CPU that runs this program is interrupted. */
static void touch(void *memory, size_t size)
{
    volatile char *bytes = memory;
    for (size_t i = 0; i < size; i += PAGE_BYTES)
        bytes[i] = 0;
}

/* Room for one more. */
static int make_room(struct shard *s)
{
    if (2 * (s->used + 1) <= s->room)
        return 0;
    struct shard larger = {.room = s->room ? 2 * s->room : ROOM_MIN};
    larger.entries = calloc(larger.room, sizeof *larger.entries);
    if (!larger.entries)
        return -ENOMEM;
    touch(larger.entries, larger.room * sizeof *larger.entries);
    for (size_t i = 0; i < s->room; i++) {
        const struct entry *e = &s->entries[i];
        if (e->word)
            *find(&larger, e->word, e->size, e->hash) = *e;
    }
    free(s->entries);
    s->entries = larger.entries;
    s->room = larger.room;
    return 0;
}

/* A copy of the word that lives as long as the shard, or NULL. */
static const char *keep(struct shard *s, const char *word, size_t size)
{
    if (s->left < size) {
        size_t bytes = size > BLOCK_SIZE ? size : BLOCK_SIZE;
        struct block *b = malloc(sizeof *b + bytes);
        if (!b)
            return NULL;
        b->next = s->blocks;
        b->size = s->left = bytes;
        s->blocks = b;
    }
    char *copy = s->blocks->bytes + s->blocks->size - s->left;
    s->left -= size;
    return memcpy(copy, word, size);
}

int table_count(struct table *t, const char *word, size_t size)
{
    uint64_t hash = hash_word(word, size);
    struct shard *s = &t->shards[hash >> 60];
    int code = make_room(s);
    if (code)
        return code;
    struct entry *e = find(s, word, size, (uint32_t)(hash >> 16));
    if (!e->word) {
        const char *kept = keep(s, word, size);
        if (!kept)
            return -ENOMEM;
        *e = (struct entry){.word = kept, .size = (uint32_t)size, .hash = (uint32_t)(hash >> 16)};
        s->used++;
    }
    e->count++;
    return 0;
}

int shard_merge(struct shard *into, const struct shard *from)
{
    for (size_t i = 0; i < from->room; i++) {
        const struct entry *e = &from->entries[i];
        if (!e->word)
            continue;
        int code = make_room(into);
        if (code)
            return code;
        struct entry *mine = find(into, e->word, e->size, e->hash);
        if (mine->word) {
            mine->count += e->count;
        } else {
            *mine = *e;
            into->used++;
        }
    }
    return 0;
}

size_t table_size(const struct table *t)
{
    size_t n = 0;
    for (int i = 0; i < SHARDS; i++)
        n += t->shards[i].used;
    return n;
}

bool table_equal(const struct table *a, const struct table *b)
{
    for (int k = 0; k < SHARDS; k++) {
        const struct shard *s = &a->shards[k], *other = &b->shards[k];
        if (s->used != other->used)
            return false;
        for (size_t i = 0; i < s->room; i++) {
            const struct entry *e = &s->entries[i];
            if (e->word && find(other, e->word, e->size, e->hash)->count != e->count)
                return false;
        }
    }
    return true;
}

static bool before(const struct entry *a, const struct entry *b)
{
    if (a->count != b->count)
        return a->count > b->count;
    int order = memcmp(a->word, b->word, a->size < b->size ? a->size : b->size);
    return order ? order < 0 : a->size < b->size;
}

size_t table_top(const struct table *t, struct entry *top, size_t n)
{
    size_t found = 0;
    for (int k = 0; k < SHARDS; k++) {
        for (size_t i = 0; i < t->shards[k].room; i++) {
            const struct entry *e = &t->shards[k].entries[i];
            if (!e->word || (found == n && !before(e, &top[n - 1])))
                continue;
            size_t at = found < n ? found++ : n - 1;
            for (; at > 0 && before(e, &top[at - 1]); at--)
                top[at] = top[at - 1];
            top[at] = *e;
        }
    }
    return found;
}

void table_clear(struct table *t)
{
    for (int k = 0; k < SHARDS; k++) {
        struct shard *s = &t->shards[k];
        for (struct block *b = s->blocks, *next; b; b = next) {
            next = b->next;
            free(b);
        }
        free(s->entries);
        *s = (struct shard){0};
    }
}
