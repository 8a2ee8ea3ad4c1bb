/* SPDX-License-Identifier: MIT */
/* Runs a scenario under every plan, and keeps the list of the places that were failed. */
#include "scenario.h"

#include "inject.h"
#include "runner_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    N_MAX = 2000,         /* no scenario has so many calls */
    INTERRUPTED_MAX = 40, /* how often a thread sleeps depends on the machine: there is no last one */
    BURST = 5,
    IDLE = 3, /* runs in a row that came to their end with no call failed: how many there are depends on the machine */
    PLACES_MAX = 1024,
};

enum mode { KEEP, MEND, CLOSE, SIGNAL, RANDOM, SHORT };

static const struct {
    const char *name;
    enum fault_class class;
    enum mode mode;
    unsigned length; /* so many calls in a row */
    unsigned n_max;
} modes[] = {
    {"memory, keep", FAULT_MEMORY, KEEP, 1, N_MAX},
    {"memory, mend", FAULT_MEMORY, MEND, N_MAX * 1000, N_MAX},
    {"memory, close", FAULT_MEMORY, CLOSE, N_MAX * 1000, N_MAX},
    {"call, keep", FAULT_CALL, KEEP, 1, N_MAX},
    {"call, mend", FAULT_CALL, MEND, N_MAX * 1000, N_MAX},
    {"call, close", FAULT_CALL, CLOSE, N_MAX * 1000, N_MAX},
    {"signal", FAULT_SIGNAL, SIGNAL, BURST, INTERRUPTED_MAX},
    {"random signals", FAULT_SIGNAL, RANDOM, N_MAX * 1000, 20},
    {"short", FAULT_SHORT, SHORT, N_MAX * 1000, 1},
};

char faults_untouched_object;

static enum mode current;
static unsigned accepted; /* of the calls that were failed; in the process of one run */

static struct fault_hit places[PLACES_MAX];
static unsigned place_count;

bool faults_accept(const char *file, int line, const char *call, int code, const int *codes)
{
    unsigned struck = __atomic_load_n(&fault_plan->struck, __ATOMIC_RELAXED);
    if (struck == accepted)
        test_fail(file, line, "%s: %d, and no call was failed", call, code);
    if (current == SIGNAL || current == RANDOM || current == SHORT)
        test_fail(file, line, "%s: %d: nothing may fail here", call, code);
    while (*codes && *codes != code)
        codes++;
    if (!*codes)
        test_fail(file, line, "%s: %d is not among the errors of this call", call, code);
    accepted = struck;
    if (current == CLOSE)
        return false;
    if (current == MEND)
        faults_end();
    return true;
}

bool faults_polled(void) { return __atomic_load_n(&fault_plan->polls, __ATOMIC_RELAXED) > 0; }

bool faults_slept(void) { return __atomic_load_n(&fault_plan->sleeps, __ATOMIC_RELAXED) > 0; }

void faults_end(void) { __atomic_store_n(&fault_plan->armed, 0, __ATOMIC_RELAXED); }

__attribute__((noreturn)) static void be_run(const char *mode, unsigned n, void (*scenario)(void))
{
    static struct belongings before;
    char name[16];
    snprintf(name, sizeof name, "%u %s", n, mode);
    prctl(PR_SET_NAME, name); /* who waits too long is shown with it */
    belongings_take(&before);
    __atomic_store_n(&fault_plan->armed, 1, __ATOMIC_RELAXED);
    scenario();
    faults_end();
    if (belongings_leaked(&before, GRACE_MS) + memory_leaked() > 0)
        test_fail(__FILE__, __LINE__, "the scenario left something behind");
#ifdef TEST_UNDER_ASAN
    _exit(0); /* LeakSanitizer takes longer than the run */
#else
    exit(0);
#endif
}

static void keep_places(void)
{
    unsigned hits = fault_plan->hits < FAULT_HITS_MAX ? fault_plan->hits : FAULT_HITS_MAX;
    for (unsigned i = 0; i < hits; i++) {
        unsigned k = 0;
        while (k < place_count && memcmp(&places[k], &fault_plan->hit[i], sizeof *places) != 0)
            k++;
        if (k == place_count && k < PLACES_MAX)
            places[place_count++] = fault_plan->hit[i];
    }
    memset(fault_plan->hit, 0, hits * sizeof *places);
    fault_plan->hits = 0;
}

/* How many calls were failed. */
static unsigned run(int m, unsigned n, void (*scenario)(void))
{
    struct fault_plan *plan = fault_plan;
    plan->class = modes[m].class;
    plan->first = modes[m].mode == RANDOM ? 1 : n;
    plan->seed = modes[m].mode == RANDOM ? n : 0;
    plan->last = plan->first + modes[m].length - 1;
    plan->armed = plan->calls = plan->struck = plan->polls = plan->sleeps = 0;
    current = modes[m].mode;
    pid_t pid = fork();
    if (pid == 0)
        be_run(modes[m].name, n, scenario);
    int status = -1;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
    if (status != 0)
        test_fail(__FILE__, __LINE__, "%s, n = %u: ended with status %#x", modes[m].name, n, status);
    keep_places();
    return plan->struck;
}

/* For tools/faults-report: a line for each place. */
static void report(const char *name)
{
    const char *path = getenv("MOTET_FAULTS_LOG");
    int fd = path ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;
    for (unsigned i = 0; i < place_count && fd >= 0; i++) {
        char line[256];
        int length = snprintf(line, sizeof line, "%s", name);
        for (int k = 0; k < FAULT_FRAMES; k++)
            length += snprintf(line + length, sizeof line - (size_t)length, " %zx", (size_t)places[i].at[k]);
        line[length++] = '\n';
        CHECK_EQ(write(fd, line, (size_t)length), length);
    }
    if (fd >= 0)
        close(fd);
}

void faults_run(const char *name, void (*scenario)(void))
{
    unsigned runs = 0;
    fault_plan = mmap(NULL, sizeof *fault_plan, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(fault_plan != MAP_FAILED);
    for (int m = 0; m < (int)(sizeof modes / sizeof *modes); m++) {
        unsigned n = 1;
        for (unsigned idle = 0; idle < IDLE && n <= modes[m].n_max; n++)
            idle = run(m, n, scenario) > 0 ? 0 : idle + 1;
        CHECK_LE(n, N_MAX);
        runs += n - 1;
    }
    LOG("%u runs, %u places", runs, place_count);
    report(name);
}
