/* SPDX-License-Identifier: MIT */
/* The command `motet`: which of its commands is meant. */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "usage: motet COMMAND ...\n"
    "\n"
    "  motet run [options] COMMAND [ARG...] ::: INPUT...   run a command for each input, several at once\n"
    "  motet help [run]                                    what a command does\n"
    "  motet --version\n";

void complain(const char *format, ...)
{
    char line[1024] = "motet run: ";
    size_t n = strlen(line);
    va_list args;
    va_start(args, format);
    int more = vsnprintf(line + n, sizeof line - n - 1, format, args);
    va_end(args);
    n += more < 0 ? 0 : (size_t)more;
    if (n > sizeof line - 2)
        n = sizeof line - 2;
    line[n++] = '\n';
    /* One write, so that the line stays whole among those of jobs. Nobody can be told when it fails. */
    ssize_t written = write(STDERR_FILENO, line, n);
    (void)written;
}

int print_text(const char *text)
{
    size_t left = strlen(text);
    while (left) {
        ssize_t n = write(STDOUT_FILENO, text, left);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            dprintf(STDERR_FILENO, "motet: can't write to standard output: %s\n", strerror(errno));
            return EXIT_TROUBLE;
        }
        text += n;
        left -= (size_t)n;
    }
    return 0;
}

/* A descriptor below 3 that this process lacks would be taken by the next file that it opens. What stands there then is
 * closed for the use that it has: reading standard input and writing standard output fail as they should. */
static void fill_stdio(void)
{
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == STDOUT_FILENO ? O_RDONLY : O_WRONLY) != fd)
            _exit(EXIT_TROUBLE);
}

static int refuse(const char *what, const char *why)
{
    dprintf(STDERR_FILENO, "motet: %s%s%sTry 'motet --help'.\n", what ? what : "", what ? ": " : "", why);
    return EXIT_USAGE;
}

static int help(int argc, char **argv)
{
    if (argc < 2)
        return print_text(usage);
    if (strcmp(argv[1], "run") == 0)
        return run_help();
    return refuse(argv[1], "no such command\n");
}

int main(int argc, char **argv)
{
    fill_stdio();
    const char *command = argc > 1 ? argv[1] : NULL;
    if (!command)
        return refuse(NULL, "a command is missing\n");
    if (strcmp(command, "run") == 0)
        return run_main(argc - 1, argv + 1);
    if (strcmp(command, "help") == 0)
        return help(argc - 1, argv + 1);
    if (strcmp(command, "--help") == 0 || strcmp(command, "-h") == 0)
        return print_text(usage);
    if (strcmp(command, "--version") == 0) {
        char text[64];
        snprintf(text, sizeof text, "motet %s\n", motet_version());
        return print_text(text);
    }
    return refuse(command, command[0] == '-' ? "unknown option\n" : "no such command\n");
}
