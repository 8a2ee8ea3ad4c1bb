/* SPDX-License-Identifier: MIT */
/* How often each word occurs: a hash table in shards, so that tables can be merged shard by shard in parallel. */
#ifndef WORDCOUNT_TABLE_H
#define WORDCOUNT_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SHARDS = 16,
    WORD_SLACK = 8, /* so many bytes after a word may be read, whatever they hold */
};

struct entry {
    const char *word; /* not zero-terminated; NULL: the entry is free */
    uint32_t size, hash;
    uint64_t count;
};

struct shard {
    struct entry *entries; /* open addressing, a power of two of them, at most half used */
    size_t room, used;
    struct block *blocks; /* the words' bytes */
    size_t left;          /* bytes in the first block */
};

struct table {
    struct shard shards[SHARDS];
};

/* Counts one more `word`, of 1 to UINT32_MAX bytes. 0 or -ENOMEM. */
int table_count(struct table *t, const char *word, size_t size);

/* Adds the counts of `from` to `into`, which goes on using the words of `from`. 0 or -ENOMEM. */
int shard_merge(struct shard *into, const struct shard *from);

size_t table_size(const struct table *t);
bool table_equal(const struct table *a, const struct table *b);

/* Stores the `n` most frequent words, or as many as there are, and returns how many: the most frequent first, and those of
 * one count in the order of their bytes. */
size_t table_top(const struct table *t, struct entry *top, size_t n);

void table_clear(struct table *t);

#endif
