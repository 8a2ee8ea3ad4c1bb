/* SPDX-License-Identifier: MIT */
/* A pipeline of three threads and two queues of messages; main collects the end of it with one select over a queue, an event
 * and a deadline. */
#include "must.h"

#include <ctype.h>
#include <string.h>

static motet_queue *lines, *loud; /* item size 0: messages of any size */
static motet_event all_read;

static int reader(void *arg)
{
    static const char *const text[] = {"one", "two", "three", "", "five"};
    for (size_t i = 0; i < sizeof text / sizeof *text; i++)
        MUST(motet_queue_put_bytes(lines, (motet_bytes){text[i], strlen(text[i])}, MOTET_FOREVER));
    MUST(motet_event_set(&all_read));
    return motet_queue_shutdown(lines);
}

static int shouter(void *arg)
{
    motet_buffer *line = motet_buffer_new();
    if (!line)
        return -ENOMEM;
    while (motet_queue_get_bytes(lines, line, MOTET_FOREVER) == 0) {
        char *text = motet_buffer_data(line);
        for (size_t i = 0; i < motet_buffer_size(line); i++)
            text[i] = (char)toupper((unsigned char)text[i]);
        MUST(motet_queue_put_bytes(loud, (motet_bytes){text, motet_buffer_size(line)}, MOTET_FOREVER));
    }
    motet_buffer_free(line);
    return motet_queue_shutdown(loud);
}

int main(void)
{
    motet_thread *threads[2];
    MUST(motet_queue_open(&lines, 0, &(motet_queue_options){.capacity = 2}));
    MUST(motet_queue_open(&loud, 0, &(motet_queue_options){.capacity = 2}));
    MUST(motet_thread_start(&threads[0], reader, NULL, NULL));
    MUST(motet_thread_start(&threads[1], shouter, NULL, NULL));

    motet_buffer *line = motet_buffer_new();
    bool read = false;
    int got = 0;
    for (;;) {
        motet_choice choices[] = {
            {.op = MOTET_GET, .queue = loud, .buffer = line},
            {.op = MOTET_SET, .event = &all_read},
        };
        int which = motet_select(choices, read ? 1 : 2, motet_after(60 * MOTET_S));
        if (which == -EPIPE)
            break; /* the queue is shut down and empty */
        if (MUST(which) == 0)
            printf("%d: \"%s\"\n", ++got, (char *)motet_buffer_data(line));
        else
            read = true; /* it stays set: leave it out from now on */
    }
    printf("all was read: %s\n", motet_event_is_set(&all_read) ? "yes" : "no");

    motet_buffer_free(line);
    for (int i = 0; i < 2; i++) {
        MUST(motet_thread_join(threads[i], NULL, MOTET_FOREVER));
        motet_thread_free(threads[i]);
    }
    motet_queue_close(lines);
    motet_queue_close(loud);
    return 0;
}
