/* SPDX-License-Identifier: MIT */
/* Reads the command line of `motet run`. */
#include "options.h"

#include "cli.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

enum { JOBS_MAX = 65536, OPT_DRY_RUN = 256, OPT_SUMMARY };

static const struct option longs[] = {
    {"jobs", required_argument, NULL, 'j'},
    {"keep-order", no_argument, NULL, 'k'},
    {"null", no_argument, NULL, '0'},
    {"arg-file", required_argument, NULL, 'a'},
    {"dry-run", no_argument, NULL, OPT_DRY_RUN},
    {"summary", no_argument, NULL, OPT_SUMMARY},
    {"quiet", no_argument, NULL, 'q'},
    {"help", no_argument, NULL, 'h'},
    {0},
};

static int refuse(const char *what, const char *why)
{
    complain("%s%s%s (see motet run --help)", what, *what ? ": " : "", why);
    return EXIT_USAGE;
}

/* "8", or "50%" of the CPUs. How many; 0 when it is neither. */
static int parse_jobs(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    bool percent = text[digits] == '%' && !text[digits + 1];
    if (!digits || digits > 6 || (text[digits] && !percent))
        return 0;
    long n = strtol(text, NULL, 10);
    if (percent && n) {
        n = motet_cpu_count() * n / 100;
        n = n < 1 ? 1 : n > JOBS_MAX ? JOBS_MAX : n;
    }
    return n <= JOBS_MAX ? (int)n : 0;
}

/* One option. 0, or the exit code. */
static int take(int option, const char *word, run_options *o)
{
    char letter[3] = {'-', (char)optopt};
    switch (option) {
    case 'j': o->jobs = parse_jobs(optarg); return o->jobs ? 0 : refuse(optarg, "not a number of jobs");
    case 'k': o->keep_order = true; return 0;
    case '0': o->null_separated = true; return 0;
    case 'a': o->arg_file = optarg; return 0;
    case 'q': o->quiet = true; return 0;
    case 'h': o->help = true; return 0;
    case OPT_DRY_RUN: o->dry_run = true; return 0;
    case OPT_SUMMARY: o->summary = true; return 0;
    case ':': return refuse(word[1] == '-' ? word : letter, "a value is missing");
    default:
        /* optopt is an option of ours when it was given a value that it doesn't take. */
        return word[1] == '-' && optopt ? refuse(word, "takes no value")
                                        : refuse(word[1] == '-' ? word : letter, "unknown option");
    }
}

/* Splits what follows the options at ":::". */
static int take_command(char **words, run_options *o)
{
    o->command = words;
    while (words[o->command_count] && strcmp(words[o->command_count], ":::") != 0)
        o->command_count++;
    if (!o->command_count)
        return refuse("", "a command is missing");
    if (!words[o->command_count])
        return 0;
    o->inputs = words + o->command_count + 1;
    for (; o->inputs[o->inputs_count]; o->inputs_count++)
        if (strcmp(o->inputs[o->inputs_count], ":::") == 0)
            return refuse(":::", "given twice");
    if (o->arg_file)
        return refuse(o->arg_file, "inputs from a file and after ::: at once");
    return 0;
}

int options_parse(int argc, char **argv, run_options *ret)
{
    run_options o = {0};
    opterr = 0;
    for (;;) {
        int at = optind;
        int option = getopt_long(argc, argv, "+:j:k0a:qh", longs, NULL);
        if (option == -1)
            break;
        int r = take(option, argv[at], &o);
        if (r)
            return r;
        if (o.help)
            break;
    }
    if (!o.help) {
        int r = take_command(argv + optind, &o);
        if (r)
            return r;
    }
    if (!o.jobs)
        o.jobs = motet_cpu_count();
    *ret = o;
    return 0;
}
