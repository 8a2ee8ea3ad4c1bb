/* SPDX-License-Identifier: MIT */
/* Where in the user's program a step is made. motet's own steps carry file and line as text, since they are macros; a user's
 * are functions that the compiler calls, and know a return address. addr2line, once started, says for each new one what it
 * stands for; without it (binutils) or without -g the address itself is shown. What was asked stays in memory that no
 * execution puts back. */
#include "user.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PLACES_MAX = 4096, PART_MAX = 64, TEXT_MAX = 2 * PART_MAX /* file:line, a bar, function, its end */ };

typedef struct place {
    const void *pc;
    char text[TEXT_MAX];
} place;

typedef struct places {
    bool asked; /* addr2line was started, or could not be */
    int fd;     /* to talk to it, or -1 */
    place all[PLACES_MAX];
} places;

static places *known;

__attribute__((constructor)) static void places_open(void)
{
    void *p = mmap(NULL, sizeof *known, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    known = p == MAP_FAILED ? NULL : p;
}

static void start_addr2line(void)
{
    int pair[2];
    char exe[40];
    pid_t pid;
    known->asked = true;
    known->fd = -1;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return;
    snprintf(exe, sizeof exe, "/proc/%d/exe", (int)getpid());
    char *argv[] = {"addr2line", "-f", "-s", "-e", exe, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, pair[1], 0);
    posix_spawn_file_actions_adddup2(&actions, pair[1], 1);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    if (posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ) == 0)
        known->fd = pair[0]; /* it ends when this program does */
    else
        close(pair[0]);
    posix_spawn_file_actions_destroy(&actions);
    close(pair[1]);
}

/* A line of its answer, without its end; false: there is none. */
static bool read_line(char *line, size_t size)
{
    size_t n = 0;
    for (char c; read(known->fd, &c, 1) == 1;) {
        if (c == '\n') {
            line[n] = 0;
            return true;
        }
        if (n + 1 < size)
            line[n++] = c;
    }
    return false;
}

static void ask(place *p)
{
    char function[PART_MAX], where[PART_MAX], question[32];
    snprintf(p->text, sizeof p->text, "%p|", p->pc);
    if (!known->asked)
        start_addr2line();
    if (known->fd < 0)
        return;
    /* Of the call, which ends before its return address. */
    int n = snprintf(question, sizeof question, "%p\n", (const void *)((const char *)p->pc - 1));
    if (send(known->fd, question, (size_t)n, MSG_NOSIGNAL) != n || !read_line(function, sizeof function) ||
        !read_line(where, sizeof where)) {
        known->fd = -1;
        return;
    }
    where[strcspn(where, " ")] = 0; /* "(discriminator 2)" */
    if (where[0] != '?')
        snprintf(p->text, sizeof p->text, "%s|%s", where, function);
    else if (function[0] != '?')
        snprintf(p->text, sizeof p->text, "%s|", function);
}

const char *sim_user_at(const void *pc)
{
    if (!known)
        return "?|";
    uint32_t h = (uint32_t)(((uintptr_t)pc * 0x9E3779B97F4A7C15u) >> 40) % PLACES_MAX;
    for (int i = 0; i < 64; i++, h = (h + 1) % PLACES_MAX) {
        place *p = &known->all[h];
        if (p->pc == pc)
            return p->text;
        if (p->pc)
            continue;
        p->pc = pc;
        ask(p);
        return p->text;
    }
    return "?|";
}
