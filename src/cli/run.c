/* SPDX-License-Identifier: MIT */
/* `motet run`: a command for each input, several at once. One thread and one poll: it starts a job whenever a slot and an
 * input are there, keeps what jobs write, and writes it out job by job. */
#include "cli.h"
#include "inputs.h"
#include "jobs.h"
#include "options.h"
#include "stop.h"
#include "template.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FDS_PER_JOB = 5, FDS_OTHER = 16, ORPHANS_EVERY = 64 };

static const char help_text[] =
    "usage: motet run [options] COMMAND [ARG...] ::: INPUT...\n"
    "       motet run [options] COMMAND [ARG...] < LINES\n"
    "\n"
    "Runs COMMAND once for each input, several at once, without a shell. In the words of the\n"
    "command an input replaces\n"
    "  {}    the input              {.}   without extension\n"
    "  {/}   its last part          {/.}  its last part without extension\n"
    "  {//}  its folder             {#}   the job's number      {%}  its slot, 1 to N\n"
    "and is added as the last word when there is none of these. Jobs have no input of their own;\n"
    "what one writes comes out whole, when it has ended.\n"
    "\n"
    "  -j, --jobs N        so many at once, or N% of the CPUs (default: 100%)\n"
    "  -k, --keep-order    outputs in the order of the inputs\n"
    "  -a, --arg-file F    inputs are the lines of F (-: standard input)\n"
    "  -0, --null          inputs end with a zero byte, not with a line's end\n"
    "      --dry-run       only print the commands, as a shell would have to be given them\n"
    "      --summary       one line about all jobs at the end (the default on a terminal)\n"
    "  -q, --quiet         no such line\n"
    "  -h, --help          this\n"
    "\n"
    "Exit code: 0 all jobs succeeded; 1 to 100 so many failed; 101 more did; 2 the command line or an\n"
    "input can't be used; 255 other trouble; 128 + N ended by signal N.\n";

typedef struct run {
    run_options options;
    inputs inputs;
    template *template;
    char *program; /* the file to run, when it is the same for all; else NULL */
    jobs jobs;
    uint64_t started; /* sequence of the last job whose command was made */
    uint64_t failed, done;
    const char *const *waiting; /* the command of job `started`, while it isn't started yet */
    int waiting_slot;           /* the slot that it names, which stays free for it */
    motet_time begin;
} run;

static run *self; /* for job_done */

int run_help(void) { return print_text(help_text); }

/* ---- the program ----------------------------------------------------------------------------------- */

static bool runnable(const char *path)
{
    struct stat s;
    return stat(path, &s) == 0 && S_ISREG(s.st_mode) && eaccess(path, X_OK) == 0;
}

/* The path of a program, as a start would find it, so that it is looked for once. Owned by the caller. NULL: complained. */
static char *find_program(const char *name)
{
    if (strchr(name, '/')) {
        if (runnable(name))
            return strdup(name);
        struct stat s;
        complain("%s: %s", name, strerror(stat(name, &s) < 0 ? errno : EACCES));
        return NULL;
    }
    const char *path = getenv("PATH");
    path = path ? path : "/bin:/usr/bin";
    for (const char *at = path; *name; at++) {
        char *found;
        int size = (int)strcspn(at, ":");
        if (asprintf(&found, "%.*s%s%s", size, at, size ? "/" : "", name) < 0)
            break;
        if (runnable(found))
            return found;
        free(found);
        at += size;
        if (!*at)
            break;
    }
    complain("%s: no such command", name);
    return NULL;
}

/* ---- jobs ------------------------------------------------------------------------------------------ */

static void count_done(run *r, bool failed)
{
    r->done++;
    r->failed += failed;
    if (r->done % ORPHANS_EVERY == 0)
        stop_reap_orphans(&r->jobs);
}

static void job_done(job *j, int code)
{
    if (self->options.keep_order) {
        order_add(j->sequence, &j->out, &j->err);
    } else {
        capture_write(&j->out, STDOUT_FILENO);
        capture_write(&j->err, STDERR_FILENO);
    }
    count_done(self, code != 0);
}

/* Makes the command of the next job. INPUT_GOT: it is r->waiting. */
static input_state next_command(run *r, int slot)
{
    const char *text;
    size_t size;
    input_state state = inputs_next(&r->inputs, &text, &size);
    if (state != INPUT_GOT)
        return state;
    int e = template_expand(r->template, text, size, r->started + 1, slot, &r->waiting);
    if (e < 0) {
        complain("input %llu: %s", (unsigned long long)r->inputs.number,
                 e == -E2BIG ? "makes an argument that is too long" : strerror(-e));
        r->inputs.bad = true;
        r->waiting = NULL;
        return INPUT_NONE;
    }
    r->started++;
    r->waiting_slot = slot;
    return INPUT_GOT;
}

static bool is_passing(int error)
{
    return error == -EAGAIN || error == -ENOMEM || error == -EMFILE || error == -ENFILE;
}

/* Starts r->waiting. False: there is no room for it now. */
static bool start_waiting(run *r)
{
    int e = jobs_start(&r->jobs, r->waiting_slot, r->started, r->program, r->waiting);
    if (is_passing(e) && r->jobs.running)
        return false; /* when a job has ended there is more room */
    if (e < 0) {
        complain("job %llu: %s: %s", (unsigned long long)r->started, r->waiting[0], strerror(-e));
        if (r->options.keep_order)
            order_add(r->started, &(capture){0}, &(capture){0});
        count_done(r, true);
    }
    r->waiting = NULL;
    return true;
}

/* Starts all that can be. What to wait for then: INPUT_WAIT an input; INPUT_NONE no more will come; INPUT_GOT a job's end. */
static input_state start_jobs(run *r)
{
    while (r->jobs.running < r->jobs.count && !stop_signal() && !output_trouble) {
        if (!r->waiting) {
            if (r->inputs.bad)
                return INPUT_NONE;
            if (r->options.keep_order && !order_admits(r->started + 1))
                return INPUT_GOT;
            input_state state = next_command(r, jobs_next_slot(&r->jobs));
            if (state != INPUT_GOT)
                return state;
        }
        if (!start_waiting(r))
            return INPUT_GOT;
    }
    return INPUT_GOT;
}

static void loop(run *r)
{
    struct pollfd *fds = r->jobs.fds;
    fds[FDS_SIGNAL].fd = stop_fd();
    for (;;) {
        input_state next = start_jobs(r);
        if (stop_signal() || output_trouble || (next == INPUT_NONE && !r->jobs.running))
            return;
        fds[FDS_INPUT].fd = next == INPUT_WAIT ? r->inputs.fd : -1;
        if (poll(fds, (nfds_t)(FDS_SLOTS + r->jobs.count * FDS_PER_SLOT), -1) < 0)
            continue; /* EINTR: its note is seen above; ENOMEM: passes */
        jobs_serve(&r->jobs);
        if (next == INPUT_WAIT && fds[FDS_INPUT].revents)
            inputs_read(&r->inputs);
    }
}

/* ---- the whole ------------------------------------------------------------------------------------- */

static int dry_run(run *r)
{
    char *line = NULL;
    size_t capacity = 0;
    for (;;) {
        input_state state = next_command(r, (int)(r->started % (uint64_t)r->options.jobs) + 1);
        if (state == INPUT_WAIT)
            inputs_read(&r->inputs);
        if (state == INPUT_NONE || output_trouble || stop_signal())
            break;
        if (state != INPUT_GOT)
            continue;
        size_t need = 0, n = 0;
        for (const char *const *word = r->waiting; *word; word++)
            need += 4 * strlen(*word) + 4;
        if (need > capacity) {
            free(line);
            line = malloc(capacity = need * 2);
        }
        if (!line) {
            complain("%s", strerror(ENOMEM));
            return EXIT_TROUBLE;
        }
        for (const char *const *word = r->waiting; *word; word++) {
            n += shell_quote(line + n, *word);
            line[n++] = word[1] ? ' ' : '\n';
        }
        output_write(STDOUT_FILENO, line, n);
    }
    free(line);
    return 0;
}

static void summarise(const run *r)
{
    double seconds = (double)(motet_now() - r->begin) / 1e9;
    char line[160];
    int n = snprintf(line, sizeof line, "motet run: %llu job%s, %llu failed, %.2f s, %.0f jobs/s\n",
                     (unsigned long long)r->done, r->done == 1 ? "" : "s", (unsigned long long)r->failed, seconds,
                     seconds > 0 ? (double)r->done / seconds : 0);
    ssize_t written = write(STDERR_FILENO, line, (size_t)n);
    (void)written;
}

static int exit_code(const run *r)
{
    if (stop_signal())
        return EXIT_SIGNAL + stop_signal();
    if (output_trouble)
        return output_trouble;
    if (r->inputs.bad)
        return EXIT_USAGE;
    return r->failed > EXIT_FAILED_MAX ? EXIT_MANY : (int)r->failed;
}

/* How many of `count` jobs there are descriptors for. The limit is raised only when it must be, since jobs inherit it. */
static int jobs_possible(int count)
{
    struct rlimit limit;
    rlim_t need = (rlim_t)count * FDS_PER_JOB + FDS_OTHER;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= need)
        return count;
    limit.rlim_cur = need < limit.rlim_max ? need : limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur == need)
        return count;
    getrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur < FDS_OTHER + FDS_PER_JOB ? 1 : (int)((limit.rlim_cur - FDS_OTHER) / FDS_PER_JOB);
}

static int run_jobs(run *r)
{
    if (template_program_fixed(r->template)) {
        r->program = find_program(r->options.command[0]);
        if (!r->program)
            return EXIT_USAGE;
    }
    int e = jobs_open(&r->jobs, jobs_possible(r->options.jobs));
    if (e < 0) {
        complain("%s", strerror(-e));
        return EXIT_TROUBLE;
    }
    r->jobs.done = job_done;
    loop(r);
    if (stop_signal() || output_trouble)
        stop_everything(&r->jobs);
    jobs_close(&r->jobs);
    order_free();
    if (!r->options.quiet && (r->options.summary || isatty(STDERR_FILENO)))
        summarise(r);
    return exit_code(r);
}

int run_main(int argc, char **argv)
{
    run r = {.begin = motet_now()};
    self = &r;
    int code = options_parse(argc, argv, &r.options);
    if (code)
        return code;
    if (r.options.help)
        return run_help();
    code = inputs_open(&r.inputs, &r.options);
    if (code)
        return code;
    r.template = template_new(r.options.command, r.options.command_count);
    int e = r.template ? stop_listen() : -ENOMEM;
    if (e < 0) {
        complain("%s", strerror(-e));
        code = EXIT_TROUBLE;
    } else if (r.options.dry_run) {
        code = dry_run(&r);
        code = code ? code : exit_code(&r);
    } else {
        code = run_jobs(&r);
    }
    template_free(r.template);
    inputs_close(&r.inputs);
    free(r.program);
    return code;
}
