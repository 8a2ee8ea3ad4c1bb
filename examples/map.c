/* SPDX-License-Identifier: MIT */
/* Map over an array, with progress; then over inputs that are made one by one and never all there at once. */
#include "must.h"

MOTET_TASK(collatz, unsigned, unsigned)
{
    unsigned long n = *in;
    for (*out = 0; n != 1; ++*out)
        n = n % 2 ? 3 * n + 1 : n / 2;
    return 0;
}

static void progress(size_t done, size_t all, void *arg)
{
    if (done == all)
        puts("map: all done");
}

struct stream {
    unsigned next, last;
    unsigned best, best_steps;
};

static int next_input(void *arg, motet_buffer *in)
{
    struct stream *s = arg;
    if (s->next > s->last)
        return 0; /* no more */
    int code = motet_buffer_append(in, &s->next, sizeof s->next);
    s->next++;
    return code < 0 ? code : 1;
}

static int take_result(void *arg, size_t index, int code, motet_bytes value)
{
    struct stream *s = arg;
    if (code == 0 && *(const unsigned *)value.data > s->best_steps) {
        s->best = (unsigned)index + 1;
        s->best_steps = *(const unsigned *)value.data;
    }
    return code;
}

int main(void)
{
    enum { N = 1000 };
    static unsigned in[N], steps[N];
    motet_executor *pool;
    MUST(motet_thread_pool_open(&pool, &(motet_pool_options){.workers = 2, .name = "Mapper"}));

    for (unsigned i = 0; i < N; i++)
        in[i] = i + 1;
    MUST(collatz_map(pool, in, steps, N, &(motet_map_options){.on_done = progress}));
    printf("27 takes %u steps\n", steps[26]);

    struct stream s = {.next = 1, .last = 10000};
    MUST(motet_imap(pool, &collatz, next_input, &s, &(motet_imap_options){.result = take_result}));
    printf("up to %u the longest is %u: %u steps\n", s.last, s.best, s.best_steps);

    motet_executor_close(pool);
    return 0;
}
