/* SPDX-License-Identifier: MIT */
/* The n-th call fails: processes of the family, in the root, in guard and zygote, and in new processes. */
#include "scenario.h"

#include "process/process.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_ERRORS -ENOMEM, -EMFILE, -EAGAIN, -EPERM, -EIO, -EPIPE, -ENOSYS
#define USE_ERRORS   -ENOMEM, -EMFILE, -ENOSYS

/* A process of MOTET_SPAWN begins here. */
__attribute__((constructor)) static void serve(void)
{
    if (getenv(SPAWN_VARIABLE))
        motet_init(NULL, NULL);
}

static int add_one(void *number) { return *(const int *)number + 1; }

static int sleep_long(void *arg)
{
    for (;;)
        pause();
    return 0;
}

/* Whatever became of it, and of the family. */
static void finish(motet_process *p)
{
    faults_end();
    if (p) {
        CHECK_EQ(motet_process_kill(p), 0);
        CHECK_EQ(motet_process_join(p, NULL, MOTET_FOREVER), 0);
        motet_process_free(p);
    }
    CHECK_EQ(motet__process_close(), 0);
    if (motet__family_fd() >= 0)
        close(motet__family_fd()); /* the arena stays for the process's life */
}

static void use(motet_start_method method)
{
    const int number = 41;
    motet_process *p = NULL, *listed[2];
    motet_process_options opt = {.method = method, .data = &number, .size = sizeof number};
    int code = 0, listed_count;
    TRY(motet_init(NULL, NULL), START_ERRORS);
    TRY_OPEN(p, motet_process_start(&p, add_one, NULL, &opt), START_ERRORS);
    TRY(motet_process_join(p, &code, MOTET_FOREVER), USE_ERRORS);
    CHECK_EQ(code, 42);
    TRY(motet_process_fd(p), USE_ERRORS);
    p = motet_process_free(p);
    opt = (motet_process_options){.method = method, .name = "long"};
    TRY_OPEN(p, motet_process_start(&p, sleep_long, NULL, &opt), START_ERRORS);
    TRY(motet_process_fd(p), USE_ERRORS);
    TRY(listed_count = motet_active_children(listed, 2), USE_ERRORS);
    CHECK_EQ(listed_count, 1);
    motet_process_free(listed[0]);
    TRY(motet_process_terminate(p), USE_ERRORS);
    TRY(motet_process_join(p, &code, MOTET_FOREVER), USE_ERRORS);
    CHECK_EQ(code, -SIGTERM);
    p = motet_process_free(p);
out:
    finish(p);
}

SCENARIO(process_by_zygote) { use(MOTET_FORKSERVER); }
SCENARIO(process_by_fork) { use(MOTET_FORK); }
SCENARIO(process_by_spawn) { use(MOTET_SPAWN); }
