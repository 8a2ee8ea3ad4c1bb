/* SPDX-License-Identifier: MIT */
/* wordcount - counts every C identifier in all files under a directory, on all CPUs.
 *
 * The files, large ones in pieces, are mapped over a thread pool. Each worker counts in a table of its own (a motet_local),
 * so that counting takes no lock; a second map merges the tables, shard by shard. Then one thread does the same work alone,
 * file by file, and both results must agree.
 *
 * All files are read once before either clock starts, so that none of the two has to wait for the disk. */
#include <motet/motet.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "files.h"

enum {
    TOP = 10,
    CHUNK = 8, /* pieces that a worker takes at a time */
    WORKERS_MAX = 1024,
    BAR_WIDTH = 40,
};

/* ---- the tasks ------------------------------------------------------------------------------------- */

/* One for each worker. */
struct counter {
    struct table table;
    struct reader reader;
    struct counter *next;
};

static motet_local mine;
static motet_lock lock; /* of `counters` */
static struct counter *counters;
static struct table total;

static struct counter *my_counter(void)
{
    struct counter *c = motet_local_get(&mine);
    if (c)
        return c;
    c = calloc(1, sizeof *c);
    if (!c || motet_local_set(&mine, c) < 0) {
        free(c);
        return NULL;
    }
    motet_lock_acquire(&lock, MOTET_FOREVER);
    c->next = counters;
    counters = c;
    motet_lock_release(&lock);
    return c;
}

static long use_counter(const struct piece *p, bool count)
{
    struct counter *c = my_counter();
    if (!c)
        return -ENOMEM;
    c->reader.table = count ? &c->table : NULL;
    return reader_count(&c->reader, p);
}

MOTET_TASK(read_piece, struct piece, long)
{
    *out = use_counter(in, false);
    return *out < 0 ? (int)*out : 0;
}

MOTET_TASK(count_piece, struct piece, long)
{
    *out = use_counter(in, true);
    return *out < 0 ? (int)*out : 0;
}

MOTET_TASK(merge_shard, int, size_t)
{
    /* The first counter's shard becomes the whole one. */
    struct shard *into = &total.shards[*in];
    *out = 0;
    if (!counters)
        return 0; /* there was nothing to count */
    *into = counters->table.shards[*in];
    counters->table.shards[*in] = (struct shard){0};
    for (struct counter *c = counters->next; c; c = c->next) {
        int code = shard_merge(into, &c->table.shards[*in]);
        if (code)
            return code;
    }
    *out = into->used;
    return 0;
}

/* ---- progress -------------------------------------------------------------------------------------- */

struct progress {
    const char *what;
    bool tty;
    unsigned shown; /* per cent, plus one */
};

/* On a terminal a bar that is drawn again and again, otherwise a line for each quarter. */
static void show_progress(size_t done, size_t all, void *arg)
{
    struct progress *p = arg;
    unsigned percent = (unsigned)(done * 100 / all);
    if (!p->tty)
        percent -= percent % 25;
    if (percent + 1 == p->shown || (!p->tty && percent == 0))
        return;
    p->shown = percent + 1;
    if (!p->tty) {
        fprintf(stderr, "%s: %u%%\n", p->what, percent);
        return;
    }
    int filled = (int)(percent * BAR_WIDTH / 100);
    fprintf(stderr, "\r%-8s [%-*.*s] %3u%%%s", p->what, BAR_WIDTH, filled, "########################################",
            percent, done == all ? "\n" : "");
}

/* ---- the two ways ---------------------------------------------------------------------------------- */

struct result {
    struct table *table;
    motet_time took;
    uint64_t words;
    size_t unread;
};

static void complain(const char *path, int code) { fprintf(stderr, "wordcount: %s: %s\n", path, strerror(-code)); }

/* Runs `task` over all pieces. A file that can't be read is no reason to stop: its codes say so. Anything else is. */
static int map_pieces(motet_executor *pool, const motet_task *task, const struct files *f, const char *what,
                      long *words, int *codes)
{
    struct progress progress = {.what = what, .tty = isatty(STDERR_FILENO)};
    motet_map_options opt = {.chunk = CHUNK, .codes = codes, .on_done = show_progress, .arg = &progress};
    memset(codes, 0, f->pieces_n * sizeof *codes);
    int code = motet_map(pool, task, f->pieces, words, f->pieces_n, &opt);
    bool from_a_piece = false;
    for (size_t i = 0; i < f->pieces_n; i++) {
        if (codes[i] == -ENOMEM)
            return -ENOMEM;
        from_a_piece |= codes[i] == code;
    }
    return from_a_piece ? 0 : code;
}

static int count_parallel(motet_executor *pool, const struct files *f, struct result *r)
{
    int shards[SHARDS], code;
    size_t used[SHARDS];
    long *words = calloc(f->pieces_n + 1, sizeof *words);
    int *codes = calloc(f->pieces_n + 1, sizeof *codes);
    if (!words || !codes) {
        code = -ENOMEM;
        goto out;
    }
    code = map_pieces(pool, &read_piece, f, "reading", words, codes);
    if (code < 0)
        goto out;
    motet_time start = motet_now();
    code = map_pieces(pool, &count_piece, f, "counting", words, codes);
    for (int i = 0; i < SHARDS; i++)
        shards[i] = i;
    if (code == 0)
        code = merge_shard_map(pool, shards, used, SHARDS, NULL);
    r->took = motet_now() - start;
    for (size_t i = 0; i < f->pieces_n; i++) {
        if (codes[i] == 0) {
            r->words += (uint64_t)words[i];
        } else {
            complain(f->pieces[i].path, codes[i]);
            r->unread++;
        }
    }
out:
    free(words);
    free(codes);
    return code;
}

static int count_serial(const struct files *f, struct result *r)
{
    struct reader reader = {.table = r->table};
    motet_time start = motet_now();
    long n = 0;
    for (size_t i = 0; i < f->n && n != -ENOMEM; i++) {
        struct piece whole = {f->list[i].path, 0, f->list[i].size};
        n = reader_count(&reader, &whole);
        if (n < 0)
            r->unread++; /* which one, the other way has said */
        else
            r->words += (uint64_t)n;
    }
    r->took = motet_now() - start;
    reader_free(&reader);
    return n == -ENOMEM ? -ENOMEM : 0;
}

/* ---- the report ------------------------------------------------------------------------------------ */

static void report(const struct files *f, const char *root, unsigned workers, const struct result *parallel,
                   const struct result *serial)
{
    struct entry top[TOP];
    size_t n = table_top(parallel->table, top, TOP);
    double bytes = (double)f->bytes, seconds = (double)parallel->took / MOTET_S, alone = (double)serial->took / MOTET_S;
    printf("%s: %zu files, %.1f MiB, %" PRIu64 " identifiers, %zu different\n", root, f->n, bytes / (1 << 20),
           parallel->words, table_size(parallel->table));
    for (size_t i = 0; i < n; i++)
        printf("%12" PRIu64 "  %.*s\n", top[i].count, (int)top[i].size, top[i].word);
    printf("%u workers: %.3f s; serial: %.3f s; speed-up: %.2f\n", workers, seconds, alone,
           seconds > 0 ? alone / seconds : 1.0);
}

static int count_all(const struct files *f, const char *root, unsigned workers)
{
    struct table alone = {0};
    struct result parallel = {.table = &total}, serial = {.table = &alone};
    motet_pool_options opt = {.workers = workers, .name = "count"};
    motet_executor *pool;
    int status = 1, code = motet_thread_pool_open(&pool, &opt);
    if (code == 0) {
        code = count_parallel(pool, f, &parallel);
        motet_executor_close(pool);
    }
    if (code == 0)
        code = count_serial(f, &serial);
    if (code < 0) {
        fprintf(stderr, "wordcount: %s\n", motet_strerror(code));
    } else {
        report(f, root, workers, &parallel, &serial);
        bool equal = parallel.words == serial.words && table_equal(&total, &alone);
        printf("counts equal: %s\n", equal ? "yes" : "no");
        status = equal && parallel.unread + f->unread == 0 ? 0 : 1;
    }
    table_clear(&total);
    table_clear(&alone);
    for (struct counter *c = counters, *next; c; c = next) {
        next = c->next;
        table_clear(&c->table);
        reader_free(&c->reader);
        free(c);
    }
    return status;
}

static const char usage[] =
    "usage: wordcount [-j WORKERS] [DIRECTORY]\n"
    "Counts every C identifier in all files under DIRECTORY (/usr/include) in parallel and serially.\n"
    "Exit: 0; 1 when the two counts differ or a file could not be read; 2 for a wrong argument.\n";

int main(int argc, char **argv)
{
    unsigned long workers = (unsigned long)motet_cpu_count();
    char *end;
    for (int option; (option = getopt(argc, argv, "hj:")) != -1;) {
        switch (option) {
        case 'h': fputs(usage, stdout); return 0;
        case 'j':
            workers = strtoul(optarg, &end, 10);
            if (optarg[strspn(optarg, "0123456789")] || *end || workers < 1 || workers > WORKERS_MAX) {
                fprintf(stderr, "wordcount: -j %s: not a number from 1 to %d\n", optarg, WORKERS_MAX);
                return 2;
            }
            break;
        default: fputs(usage, stderr); return 2;
        }
    }
    if (argc - optind > 1) {
        fprintf(stderr, "wordcount: %s: more than one directory\n%s", argv[optind + 1], usage);
        return 2;
    }
    const char *root = argc > optind ? argv[optind] : "/usr/include";
    struct files files = {0};
    int code = *root ? files_find(&files, root) : -ENOENT, status = 2;
    if (code == 0)
        code = files_cut(&files);
    if (code < 0)
        complain(root, code);
    else
        status = count_all(&files, root, (unsigned)workers);
    files_free(&files);
    if (fflush(stdout) || ferror(stdout)) {
        perror("wordcount: output");
        return 1;
    }
    return status;
}
