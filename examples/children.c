/* SPDX-License-Identifier: MIT */
/* Child processes: run one, talk to one, stop one. */
#include "must.h"

#include <signal.h>
#include <string.h>

int main(void)
{
    /* One shot: no shell, killed at the deadline. */
    motet_buffer *out = motet_buffer_new(), *err = motet_buffer_new();
    const char *const sort[] = {"sort", "-r", NULL};
    const char fruits[] = "apple\ncherry\nbanana\n";
    int code;
    MUST(motet_child_run(sort, (motet_bytes){fruits, strlen(fruits)}, out, NULL, &code, motet_after(60 * MOTET_S)));
    printf("sort exited with %d:\n%s", code, (char *)motet_buffer_data(out));

    /* Both outputs, an environment and a directory of its own. */
    motet_child *c;
    const char *const script[] = {"/bin/sh", "-c", "pwd; echo \"$WHO\" >&2; exit 3", NULL};
    const char *const env[] = {"WHO=motet", NULL};
    motet_child_options opt = {
        .stdin_ = MOTET_NULL, .stdout_ = MOTET_PIPE, .stderr_ = MOTET_PIPE, .cwd = "/", .env = env};
    MUST(motet_child_start(&c, script, &opt));
    motet_buffer_clear(out);
    MUST(motet_child_communicate(c, (motet_bytes){NULL, 0}, out, err, motet_after(60 * MOTET_S)));
    MUST(motet_child_wait(c, &code, MOTET_FOREVER));
    printf("out: %serr: %sexit code: %d\n", (char *)motet_buffer_data(out), (char *)motet_buffer_data(err), code);
    motet_child_free(c);

    /* One that would run for long. -N: signal N ended it. */
    const char *const sleeper[] = {"sleep", "1000", NULL};
    MUST(motet_child_start(&c, sleeper, NULL));
    printf("still running: %s\n", motet_child_wait(c, NULL, MOTET_NOWAIT) == -ETIMEDOUT ? "yes" : "no");
    MUST(motet_child_terminate(c));
    MUST(motet_child_wait(c, &code, MOTET_FOREVER));
    printf("ended by SIGTERM: %s\n", code == -SIGTERM ? "yes" : "no");
    motet_child_free(c);

    /* One that isn't there. */
    const char *const nothing[] = {"no-such-program", NULL};
    printf("no-such-program: %s\n", motet_child_start(&c, nothing, NULL) == -ENOENT ? "not found" : "?");

    motet_buffer_free(out);
    motet_buffer_free(err);
    return 0;
}
