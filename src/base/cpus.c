/* SPDX-License-Identifier: MIT */
/* How many CPUs this process may use: its affinity, and its cgroup's quota (version 2: cpu.max of the process's group and
 * of every group above it; version 1: cpu.cfs_quota_us over cpu.cfs_period_us). */
#include "base/sys.h"

#include <motet/base.h>

#include <stdio.h>
#include <string.h>

enum { PATH_SIZE = 4096 };

/* CPUs that a quota of microseconds in a period allows, rounded up; INT_MAX-like when there is none. */
static long cpus_of(long long quota, long long period)
{
    if (quota <= 0 || period <= 0)
        return INT32_MAX;
    long long cpus = quota / period + (quota % period != 0);
    return cpus > INT32_MAX ? INT32_MAX : (long)cpus;
}

static long quota_v2(const char *folder)
{
    char path[PATH_SIZE + 32];
    long long quota, period;
    snprintf(path, sizeof path, "/sys/fs/cgroup%s/cpu.max", folder);
    FILE *f = fopen(path, "re");
    if (!f)
        return INT32_MAX;
    /* "max 100000" has no quota, and does not scan. */
    long cpus = fscanf(f, "%lld %lld", &quota, &period) == 2 ? cpus_of(quota, period) : INT32_MAX;
    fclose(f);
    return cpus;
}

static long long number_in(const char *folder, const char *name)
{
    char path[PATH_SIZE + 64];
    long long number = -1;
    snprintf(path, sizeof path, "/sys/fs/cgroup/cpu%s/%s", folder, name);
    FILE *f = fopen(path, "re");
    if (!f)
        return -1;
    if (fscanf(f, "%lld", &number) != 1)
        number = -1;
    fclose(f);
    return number;
}

static long quota_v1(const char *folder)
{
    return cpus_of(number_in(folder, "cpu.cfs_quota_us"), number_in(folder, "cpu.cfs_period_us"));
}

/* The least quota of the group and its ancestors. `folder` is cut short on the way. */
static long least_quota(char *folder, long (*quota)(const char *folder))
{
    long least = INT32_MAX;
    for (;;) {
        long cpus = quota(folder);
        if (cpus < least)
            least = cpus;
        char *slash = strrchr(folder, '/');
        if (!slash)
            return least;
        *slash = 0;
    }
}

static long cgroup_cpus(void)
{
    FILE *f = fopen("/proc/self/cgroup", "re");
    if (!f)
        return INT32_MAX;
    long least = INT32_MAX;
    char line[PATH_SIZE];
    while (fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        char *controllers = strchr(line, ':');
        char *folder = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!folder)
            continue;
        *folder++ = 0;
        long cpus = INT32_MAX;
        if (!controllers[1])
            cpus = least_quota(folder, quota_v2);
        else if (strstr(controllers + 1, "cpu") && !strstr(controllers + 1, "cpuset"))
            cpus = least_quota(folder, quota_v1);
        if (cpus < least)
            least = cpus;
    }
    fclose(f);
    return least;
}

int motet_cpu_count(void)
{
    long allowed = sys_cpus_allowed(), quota = cgroup_cpus();
    return (int)(quota < allowed ? quota : allowed);
}
