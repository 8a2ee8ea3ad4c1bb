/* SPDX-License-Identifier: MIT */
/* Families that lose their root. */
#include "chaos/chaos.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* A process that is gone has closed its end of the pipe. */
enum { GONE_MS_MAX = 60000 };

/* A child of a worker: has nothing to do with its parent's end but by the family. */
static int grandchild(void *arg)
{
    post *p = arg;
    return worker(p);
}

static int with_child(void *arg)
{
    post p = *(post *)arg;
    motet_process *child;
    motet_process_options opt = {.data = &p, .size = sizeof p};
    p.seat++;
    if (motet_process_start(&child, grandchild, NULL, &opt) != 0)
        return 1;
    p.seat--;
    worker(&p);
    return motet_process_join(child, NULL, MOTET_FOREVER);
}

_Noreturn void family_root(uint32_t seed)
{
    sea *s = motet_shared_alloc(sizeof *s);
    if (!s)
        _exit(3);
    sea_init(s);
    motet_process *p[4];
    for (uint32_t i = 0; i < 4; i++) {
        post its = {.sea = s, .seat = 2 * i, .seed = seed + i};
        motet_process_options opt = {
            .data = &its, .size = sizeof its, .daemon = false, .method = i == 3 ? MOTET_FORK : MOTET_FORKSERVER};
        if (motet_process_start(&p[i], i % 2 ? worker : with_child, NULL, &opt) != 0)
            _exit(4);
    }
    for (;;)
        pause();
}

/* True once nobody holds the other end any more. */
static bool all_gone(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, GONE_MS_MAX) == 1 && (p.revents & POLLHUP);
}

static int kill_one(uint32_t *seed, int round)
{
    int ends[2];
    if (pipe(ends) != 0 || fcntl(ends[0], F_SETFD, FD_CLOEXEC) != 0)
        return 1; /* the other stays open through exec: whatever the family starts holds it */
    pid_t root = fork();
    if (root == 0) {
        char text[16];
        snprintf(text, sizeof text, "%u", *seed);
        execl("/proc/self/exe", "motet-chaos", "--family", text, (char *)NULL);
        _exit(5);
    }
    close(ends[1]);
    /* From before it has its zygote to well into its work. */
    motet_sleep(motet_after((dice(seed, dice(seed, 2) ? 3000 : 30000)) * MOTET_US));
    int status;
    kill(root, SIGKILL);
    waitpid(root, &status, 0);
    bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, gone = all_gone(ends[0]);
    close(ends[0]);
    if (!killed)
        fprintf(stderr, "chaos: WRONG: root %d ended by itself: status %x\n", round, (unsigned)status);
    if (!gone)
        fprintf(stderr, "chaos: WRONG: processes outlive root %d\n", round);
    return !killed + !gone;
}

int kill_roots(unsigned rounds, uint32_t seed, int show)
{
    int wrongs = 0;
    for (unsigned i = 0; i < rounds; i++)
        wrongs += kill_one(&seed, (int)i);
    if (rounds && show)
        printf("families killed by their root: %u; %s\n", rounds,
               wrongs ? "some left processes behind" : "no process was left of any");
    return wrongs;
}
