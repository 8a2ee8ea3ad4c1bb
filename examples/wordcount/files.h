/* SPDX-License-Identifier: MIT */
/* The files under a directory, and the pieces that they are counted in. */
#ifndef WORDCOUNT_FILES_H
#define WORDCOUNT_FILES_H

#include <stddef.h>
#include <sys/types.h>

#include "table.h"

struct file {
    char *path;
    off_t size; /* bytes */
};

/* Bytes begin to end - 1 of a file. No word reaches over an edge. */
struct piece {
    const char *path; /* the file's */
    off_t begin, end;
};

struct files {
    struct file *list; /* regular files that are not empty, sorted by path */
    size_t n, room;
    struct piece *pieces;
    size_t pieces_n, pieces_room;
    off_t bytes;
    size_t unread; /* directories that could not be entered; each was named on stderr */
};

/* Lists all files under `root` (symbolic links are not followed). 0; -ENOMEM; -errno when `root` itself can't be
 * listed. What was found so far is there to be freed in any case. */
int files_find(struct files *f, const char *root);

/* Cuts the files into pieces. 0 or -ENOMEM. */
int files_cut(struct files *f);

void files_free(struct files *f);

/* What reads files: a buffer, and the table that its words are counted in. */
struct reader {
    char *buffer;
    size_t room; /* bytes, WORD_SLACK more are there */
    struct table *table;
};

/* Reads a piece and, if there is a table, counts its identifiers. Returns how many there were, or a negative errno. */
long reader_count(struct reader *r, const struct piece *p);

void reader_free(struct reader *r);

#endif
