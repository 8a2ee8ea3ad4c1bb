/* SPDX-License-Identifier: MIT */
/* Finding, cutting and reading files; see files.h.
 *
 * A word is a run of letters, digits and underscores, and one that does not begin with a digit is an identifier. */
#include "files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PIECE_SIZE = 1 << 20, /* a file above twice that is cut */
    BUFFER_SIZE = 1 << 18,
    WORD_MAX = 1 << 30,
};

static const bool in_word[256] = {
    ['0' ... '9'] = true,
    ['A' ... 'Z'] = true,
    ['a' ... 'z'] = true,
    ['_'] = true,
};

/* The array `old` of `n` elements, moved if need be to where one more has room; NULL: no memory, all as it was. */
static void *grow(void *old, size_t n, size_t *room, size_t size)
{
    if (n < *room)
        return old;
    size_t more = *room ? 2 * *room : 64;
    void *moved = reallocarray(old, more, size);
    if (moved)
        *room = more;
    return moved;
}

/* ---- finding --------------------------------------------------------------------------------------- */

/* Directories still to be listed. */
struct stack {
    char **paths;
    size_t n, room;
};

/* Takes over `path`. */
static int push(struct stack *s, char *path)
{
    char **paths = grow(s->paths, s->n, &s->room, sizeof *paths);
    if (!paths) {
        free(path);
        return -ENOMEM;
    }
    s->paths = paths;
    s->paths[s->n++] = path;
    return 0;
}

static int add_file(struct files *f, char *path, off_t size)
{
    struct file *list = grow(f->list, f->n, &f->room, sizeof *list);
    if (!list) {
        free(path);
        return -ENOMEM;
    }
    f->list = list;
    f->list[f->n++] = (struct file){.path = path, .size = size};
    f->bytes += size;
    return 0;
}

static int add_entry(struct files *f, struct stack *dirs, DIR *dir, const char *parent, const char *name)
{
    struct stat st;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return 0;
    if (fstatat(dirfd(dir), name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return 0; /* it has just gone */
    if (!S_ISDIR(st.st_mode) && (!S_ISREG(st.st_mode) || st.st_size == 0))
        return 0;
    char *path;
    const char *slash = parent[strlen(parent) - 1] == '/' ? "" : "/";
    if (asprintf(&path, "%s%s%s", parent, slash, name) < 0)
        return -ENOMEM;
    return S_ISDIR(st.st_mode) ? push(dirs, path) : add_file(f, path, st.st_size);
}

/* -ENOMEM is for the whole, any other error for this directory alone. */
static int list_directory(struct files *f, struct stack *dirs, const char *path)
{
    DIR *dir = opendir(path);
    if (!dir)
        return -errno;
    int code = 0;
    while (!code) {
        errno = 0;
        struct dirent *entry = readdir(dir);
        if (!entry) {
            code = -errno;
            break;
        }
        code = add_entry(f, dirs, dir, path, entry->d_name);
    }
    closedir(dir);
    return code;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct file *)a)->path, ((const struct file *)b)->path);
}

int files_find(struct files *f, const char *root)
{
    struct stack dirs = {0};
    int code = list_directory(f, &dirs, root);
    while (!code && dirs.n > 0) {
        char *path = dirs.paths[--dirs.n];
        code = list_directory(f, &dirs, path);
        if (code && code != -ENOMEM) {
            fprintf(stderr, "wordcount: %s: %s\n", path, strerror(-code));
            f->unread++;
            code = 0;
        }
        free(path);
    }
    while (dirs.n > 0)
        free(dirs.paths[--dirs.n]);
    free(dirs.paths);
    if (f->n > 0)
        qsort(f->list, f->n, sizeof *f->list, by_path);
    return code;
}

void files_free(struct files *f)
{
    for (size_t i = 0; i < f->n; i++)
        free(f->list[i].path);
    free(f->list);
    free(f->pieces);
    *f = (struct files){0};
}

/* ---- cutting --------------------------------------------------------------------------------------- */

/* The first place from `at` on where no word is cut in two: the byte before it belongs to none. `end` if there is none, or
 * if it can't be told: whoever reads that piece will say why. */
static off_t edge(int fd, off_t at, off_t end)
{
    char bytes[256];
    for (at--; at < end;) {
        ssize_t n = pread(fd, bytes, sizeof bytes, at);
        if (n <= 0)
            return end;
        for (ssize_t i = 0; i < n; i++)
            if (!in_word[(unsigned char)bytes[i]])
                return at + i + 1 < end ? at + i + 1 : end;
        at += n;
    }
    return end;
}

static int add_piece(struct files *f, struct piece piece)
{
    struct piece *pieces = grow(f->pieces, f->pieces_n, &f->pieces_room, sizeof *pieces);
    if (!pieces)
        return -ENOMEM;
    f->pieces = pieces;
    f->pieces[f->pieces_n++] = piece;
    return 0;
}

int files_cut(struct files *f)
{
    int code = 0;
    for (size_t i = 0; i < f->n && !code; i++) {
        off_t begin = 0, size = f->list[i].size;
        int fd = size > 2 * PIECE_SIZE ? open(f->list[i].path, O_RDONLY | O_CLOEXEC | O_NOCTTY) : -1;
        while (fd >= 0 && size - begin > 2 * PIECE_SIZE && !code) {
            off_t end = edge(fd, begin + PIECE_SIZE, size);
            code = add_piece(f, (struct piece){f->list[i].path, begin, end});
            begin = end;
        }
        if (!code && begin < size)
            code = add_piece(f, (struct piece){f->list[i].path, begin, size});
        if (fd >= 0)
            close(fd);
    }
    return code;
}

/* ---- reading and counting -------------------------------------------------------------------------- */

/* Counts the words of the `size` bytes in the buffer. One that touches the end may go on in the next bytes unless these are
 * the last: it is left out, and *rest says where it begins (`size` if there is none). */
static long count_buffer(struct reader *r, size_t size, bool last, size_t *rest)
{
    const char *p = r->buffer, *end = p + size;
    long n = 0;
    r->buffer[size] = 0; /* ends the last word */
    for (;;) {
        while (p < end && !in_word[(unsigned char)*p])
            p++;
        const char *word = p;
        while (in_word[(unsigned char)*p])
            p++;
        if (p == end && (word == end || !last)) {
            *rest = (size_t)(word - r->buffer);
            return n;
        }
        if (*word > '9') { /* digits come before all letters */
            int code = table_count(r->table, word, (size_t)(p - word));
            if (code)
                return code;
            n++;
        }
    }
}

static int make_room(struct reader *r, size_t held)
{
    if (held < r->room)
        return 0;
    size_t room = r->room ? 2 * r->room : BUFFER_SIZE;
    if (room > WORD_MAX)
        return -EFBIG;
    char *moved = realloc(r->buffer, room + WORD_SLACK);
    if (!moved)
        return -ENOMEM;
    r->buffer = moved;
    r->room = room;
    return 0;
}

static long count_fd(struct reader *r, int fd, off_t begin, off_t end)
{
    size_t held = 0; /* bytes of a word whose end has not been read yet; they stand first in the buffer */
    long words = 0;
    for (bool last = false; !last;) {
        int code = make_room(r, held);
        if (code)
            return code;
        size_t room = r->room - held;
        ssize_t n = pread(fd, r->buffer + held, end - begin < (off_t)room ? (size_t)(end - begin) : room, begin);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n < 0)
            continue;
        begin += n;
        last = n == 0 || begin == end; /* 0: the file has become shorter */
        if (!r->table)
            continue;
        size_t rest = 0, size = held + (size_t)n;
        long found = count_buffer(r, size, last, &rest);
        if (found < 0)
            return found;
        words += found;
        held = last ? 0 : size - rest;
        memmove(r->buffer, r->buffer + rest, held);
    }
    return words;
}

long reader_count(struct reader *r, const struct piece *p)
{
    int fd = open(p->path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return -errno;
    long words = count_fd(r, fd, p->begin, p->end);
    close(fd);
    return words;
}

void reader_free(struct reader *r)
{
    free(r->buffer);
    *r = (struct reader){0};
}
