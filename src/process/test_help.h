/* SPDX-License-Identifier: MIT */
/* What the tests of child processes share. */
#ifndef MOTET_PROCESS_TEST_HELP_H
#define MOTET_PROCESS_TEST_HELP_H

#include "runner.h"

#include <motet/ipc.h>

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define ARGV(...)     ((const char *const[]){__VA_ARGS__, NULL})
#define SHELL(script) ARGV("sh", "-c", script)

/* A child that runs until it is ended. */
static inline motet_child *sleeper(const motet_child_options *opt)
{
    motet_child *c = NULL;
    CHECK_EQ(motet_child_start(&c, ARGV("sleep", "1000"), opt), 0);
    return c;
}

static inline void end_sleeper(motet_child *c)
{
    int code = 0;
    CHECK_EQ(motet_child_kill(c), 0);
    CHECK_EQ(motet_child_wait(c, &code, MOTET_FOREVER), 0);
    CHECK_EQ(code, -SIGKILL);
    CHECK(!motet_child_free(c));
}

/* The exit code of a program that is run to its end with standard descriptors inherited. */
static inline int code_of(const char *const argv[], const motet_child_options *opt)
{
    motet_child *c = NULL;
    int code = 1000;
    CHECK_EQ(motet_child_start(&c, argv, opt), 0);
    CHECK_EQ(motet_child_wait(c, &code, MOTET_FOREVER), 0);
    motet_child_free(c);
    return code;
}

/* An empty folder, removed with what is in it when the test ends well; one per process. */
static inline const char *folder(void)
{
    static char path[64];
    if (!*path) {
        strcpy(path, "/tmp/motet-test-XXXXXX");
        CHECK(mkdtemp(path));
    }
    return path;
}

static inline void folder_remove(void) { CHECK_EQ(code_of(ARGV("rm", "-r", folder()), NULL), 0); }

/* folder()/name, in one of a few buffers. */
static inline const char *in_folder(const char *name)
{
    static char paths[8][PATH_MAX];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, PATH_MAX, "%s/%s", folder(), name);
    return path;
}

static inline void write_file(const char *path, const char *text, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK_GE(fd, 0);
    CHECK_EQ(write(fd, text, strlen(text)), strlen(text));
    CHECK_EQ(fchmod(fd, mode), 0);
    close(fd);
}

/* What /proc says of a child: /proc/PID/name. */
static inline const char *proc_path(const motet_child *c, const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)motet_child_pid(c), name);
    return path;
}

static inline void await_end(int pidfd)
{
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    CHECK_EQ(poll(&p, 1, -1), 1);
}

#endif
