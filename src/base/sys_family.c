/* SPDX-License-Identifier: MIT */
/* The seam for processes of the same program. */
#include "base/sys_family.h"

#include "base/atomic.h"

#include <dirent.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>

#ifndef MOTET_SIM

/* ---- copies of this process ------------------------------------------------------------------------ */

pid_t sys_fork(void)
{
    pid_t pid = fork();
    return pid < 0 ? -errno : pid;
}

pid_t sys_fork_hidden(void)
{
    long pid = syscall(SYS_clone, 0L, 0L, 0L, 0L, 0L);
    return pid < 0 ? -errno : (pid_t)pid;
}

int sys_exec_self(char *const argv[], char *const env[])
{
    execve("/proc/self/exe", argv, env);
    return -errno;
}

void sys_exit_now(int code) { _exit(code); }

pid_t sys_parent(void) { return getppid(); }

ssize_t sys_read_all(int fd, void *ret, size_t size)
{
    size_t done = 0;
    while (done < size) {
        ssize_t n = read(fd, (char *)ret + done, size - done);
        if (n == 0)
            break;
        if (n < 0 && errno != EINTR)
            return -errno;
        done += n > 0 ? (size_t)n : 0;
    }
    return (ssize_t)done;
}

int sys_write_all(int fd, const void *data, size_t size)
{
    size_t done = 0;
    while (done < size) {
        ssize_t n = write(fd, (const char *)data + done, size - done);
        if (n < 0 && errno != EINTR)
            return -errno;
        done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

/* A small file of /proc, with a zero behind it. Its size, or -errno. */
static ssize_t read_proc(const char *path, char *ret, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t n = sys_read_all(fd, ret, size - 1);
    close(fd);
    if (n >= 0)
        ret[n] = '\0';
    return n;
}

/* The n-th word of a stat file, from 1; the second, the name, may hold anything. NULL: there is none. */
static const char *stat_word(const char *stat, int n)
{
    const char *at = strrchr(stat, ')');
    for (int i = 2; at && i < n; i++) {
        at = strchr(at, ' ');
        if (at)
            at++;
    }
    return at;
}

/* The kernel's flag of a task that has begun to end (PF_EXITING). */
enum { TASK_EXITING = 4 };

static bool task_is_leaving(const char *tid)
{
    char path[300], stat[512];
    snprintf(path, sizeof path, "/proc/self/task/%s/stat", tid);
    if (read_proc(path, stat, sizeof stat) < 0)
        return true;
    const char *flags = stat_word(stat, 9);
    return flags && strtoul(flags, NULL, 10) & TASK_EXITING;
}

bool sys_alone(void)
{
#ifdef MOTET_TSAN
    int most = 3; /* the sanitizer has one or two of its own */
#else
    int most = 1;
#endif
    struct stat task;
    if (stat("/proc/self/task", &task) == 0 && task.st_nlink == 3)
        return true;
    DIR *dir = opendir("/proc/self/task");
    if (!dir)
        return true; /* no way to tell: the caller knows what it does */
    int count = 0;
    for (struct dirent *e; (e = readdir(dir)) != NULL;)
        count += e->d_name[0] != '.' && !task_is_leaving(e->d_name);
    closedir(dir);
    return count <= most;
}

/* ---- children -------------------------------------------------------------------------------------- */

static int code_of(const siginfo_t *info) { return info->si_code == CLD_EXITED ? info->si_status : -info->si_status; }

int sys_ended_child(pid_t *ret_pid, int *ret_code)
{
    siginfo_t info = {0};
    if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) < 0)
        return -errno;
    if (!info.si_pid)
        return 0;
    *ret_pid = info.si_pid;
    *ret_code = code_of(&info);
    return 1;
}

static int reap(idtype_t type, id_t id, int *ret_code, int options)
{
    siginfo_t info = {0};
    int r;
    do
        r = waitid(type, id, &info, WEXITED | __WALL | options);
    while (r < 0 && errno == EINTR);
    if (r < 0)
        return -errno;
    if (!info.si_pid)
        return 0;
    *ret_code = code_of(&info);
    return 1;
}

int sys_reap(pid_t pid, int *ret_code, bool wait) { return reap(P_PID, (id_t)pid, ret_code, wait ? 0 : WNOHANG); }

int sys_pidfd_reap_any(int pidfd, int *ret_code) { return reap((idtype_t)P_PIDFD, (id_t)pidfd, ret_code, WNOHANG); }

bool sys_has_child(pid_t pid)
{
    int code;
    return reap(P_PID, (id_t)pid, &code, WNOHANG | WNOWAIT) >= 0;
}

/* Without the kernel's list: all processes, by their parents. */
static int children_by_parent(pid_t of, pid_t *ret, int n)
{
    DIR *dir = opendir("/proc");
    if (!dir)
        return -errno;
    int count = 0;
    for (struct dirent *e; count < n && (e = readdir(dir)) != NULL;) {
        char path[300], stat[512];
        if (e->d_name[0] < '1' || e->d_name[0] > '9')
            continue;
        snprintf(path, sizeof path, "/proc/%s/stat", e->d_name);
        const char *parent = read_proc(path, stat, sizeof stat) < 0 ? NULL : stat_word(stat, 4);
        if (parent && atoi(parent) == of)
            ret[count++] = atoi(e->d_name);
    }
    closedir(dir);
    return count;
}

/* Those that one of its threads has started. */
static int children_of_task(const char *path, pid_t *ret, int n)
{
    char list[4096];
    if (read_proc(path, list, sizeof list) < 0)
        return -ENOENT;
    int count = 0;
    char *at = list, *end;
    for (; count < n; at = end) {
        long pid = strtol(at, &end, 10);
        if (end == at || *end != ' ') /* a number that was cut off */
            break;
        ret[count++] = (pid_t)pid;
    }
    return count;
}

int sys_children(pid_t of, pid_t *ret, int n)
{
    char path[300];
    snprintf(path, sizeof path, "/proc/%d/task", (int)of);
    DIR *dir = opendir(path);
    int count = 0;
    bool listed = dir != NULL;
    for (struct dirent *e; listed && count < n && (e = readdir(dir)) != NULL;) {
        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "/proc/%d/task/%.20s/children", (int)of, e->d_name);
        int more = children_of_task(path, ret + count, n - count);
        listed = more >= 0;
        count += more > 0 ? more : 0;
    }
    if (dir)
        closedir(dir);
    return listed ? count : children_by_parent(of, ret, n);
}

void sys_adopt_orphans(void) { prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); }

/* `fd`, or a copy above 2 in its place. */
static int above_stdio(int fd)
{
    if (fd < 0)
        return -errno;
    if (fd > 2)
        return fd;
    int high = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    int error = errno;
    close(fd);
    return high < 0 ? -error : high;
}

int sys_pidfd_open(pid_t pid) { return above_stdio((int)syscall(SYS_pidfd_open, pid, 0)); }

int sys_pidfd_kill(int pidfd, int number)
{
    return syscall(SYS_pidfd_send_signal, pidfd, number, NULL, 0) < 0 ? -errno : 0;
}

void sys_kill(pid_t child) { kill(child, SIGKILL); }

void sys_stop(pid_t child) { kill(child, SIGSTOP); }

/* linux/pidfd.h of 6.15 and later. */
struct pidfd_exit {
    uint64_t mask, cgroup;
    uint32_t ids[11];
    int32_t exit_code;
};
#define PIDFD_ASK      _IOWR(0xff, 11, struct pidfd_exit)
#define PIDFD_ASK_EXIT ((uint64_t)1 << 3)

int sys_pidfd_code(int pidfd, int *ret_code)
{
    struct pidfd_exit info = {.mask = PIDFD_ASK_EXIT};
    if (ioctl(pidfd, PIDFD_ASK, &info) < 0 || !(info.mask & PIDFD_ASK_EXIT))
        return 0;
    *ret_code = WIFSIGNALED(info.exit_code) ? -WTERMSIG(info.exit_code) : WEXITSTATUS(info.exit_code);
    return 1;
}

bool sys_pidfd_ended(int pidfd)
{
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    return poll(&p, 1, 0) > 0;
}

uint64_t sys_pid_started(pid_t pid)
{
    char path[64], stat[512];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    const char *started = read_proc(path, stat, sizeof stat) < 0 ? NULL : stat_word(stat, 22);
    return started ? strtoull(started, NULL, 10) : 0;
}

/* ---- signals --------------------------------------------------------------------------------------- */

void sys_signals_block(sys_signals *was)
{
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &was->mask);
    sigaction(SIGCHLD, NULL, &was->child);
}

void sys_signals_keep_children(void)
{
    struct sigaction dfl = {.sa_handler = SIG_DFL};
    sigaction(SIGCHLD, &dfl, NULL);
}

void sys_signals_restore(const sys_signals *was)
{
    if (was->child.sa_handler != SIG_DFL || was->child.sa_flags) /* else it is so */
        sigaction(SIGCHLD, &was->child, NULL);
    sigprocmask(SIG_SETMASK, &was->mask, NULL);
}

int sys_signalfd_child(void)
{
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    return above_stdio(signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK));
}

void sys_signalfd_drain(int fd)
{
    struct signalfd_siginfo info;
    /* One of a kind is pending at most. */
    ssize_t n = read(fd, &info, sizeof info);
    (void)n;
}

/* ---- waiting for many descriptors ------------------------------------------------------------------ */

int sys_epoll(void) { return above_stdio(epoll_create1(EPOLL_CLOEXEC)); }

int sys_epoll_add(int epoll, int fd, uint64_t data, bool edge)
{
    struct epoll_event e = {.events = EPOLLIN | (edge ? (unsigned)EPOLLET : 0), .data.u64 = data};
    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

void sys_epoll_remove(int epoll, int fd) { epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL); }

enum { EVENTS_MAX = 32 };

int sys_epoll_wait(int epoll, sys_event *ret, int n, int64_t deadline)
{
    struct epoll_event events[EVENTS_MAX];
    int timeout = -1;
    if (deadline != INT64_MAX) {
        int64_t left = deadline - sys_now();
        timeout = left <= 0 ? 0 : left / 1000000 >= 1000000 ? 1000000000 : (int)(left / 1000000) + 1;
    }
    int count = epoll_wait(epoll, events, n < EVENTS_MAX ? n : EVENTS_MAX, timeout);
    if (count < 0)
        return -errno;
    for (int i = 0; i < count; i++)
        ret[i].data = events[i].data.u64;
    return count;
}

int sys_bell(bool rung) { return above_stdio(eventfd(rung, EFD_CLOEXEC | EFD_NONBLOCK)); }

/* ---- what stdio holds ------------------------------------------------------------------------------ */

#ifdef __GLIBC__
/* glibc's list of all streams, which it exports and has no header for. Walked where no thread but this one opens or
 * closes streams, or at the end, as glibc itself does. */
extern FILE *_IO_list_all;

void sys_stdio_flush(void)
{
    for (FILE *f = _IO_list_all; f; f = f->_chain) {
        if (ftrylockfile(f) != 0)
            continue;
        if (__fpending(f))
            fflush_unlocked(f);
        funlockfile(f);
    }
}

void sys_stdio_forget(void)
{
    for (FILE *f = _IO_list_all; f; f = f->_chain)
        if (__fpending(f))
            __fpurge(f);
}
#else
void sys_stdio_flush(void) { fflush(NULL); }
void sys_stdio_forget(void) {}
#endif

/* ---- addresses and names --------------------------------------------------------------------------- */

bool sys_is_mapped(uintptr_t at)
{
    unsigned char there;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    return mincore((void *)(at & ~(page - 1)), 1, &there) == 0 || (errno != ENOMEM && errno != EINVAL);
}

struct listing {
    int (*each)(const sys_segment *s, void *arg);
    void *arg;
};

/* What the loader makes read-only when it has written to it. */
static bool is_sealed(const struct dl_phdr_info *info, uintptr_t *begin, uintptr_t *end)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type != PT_GNU_RELRO)
            continue;
        *begin = (info->dlpi_addr + p->p_vaddr) & ~(page - 1);
        *end = (info->dlpi_addr + p->p_vaddr + p->p_memsz) & ~(page - 1);
        return *begin < *end;
    }
    return false;
}

static int list_object(struct dl_phdr_info *info, size_t size, void *arg)
{
    const struct listing *l = arg;
    uintptr_t sealed = 0, sealed_end = 0;
    bool has_sealed = is_sealed(info, &sealed, &sealed_end);
    int r = 0;
    for (int i = 0; i < info->dlpi_phnum && r == 0; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type != PT_LOAD || !p->p_memsz)
            continue;
        sys_segment s = {.object = info->dlpi_name ? info->dlpi_name : "",
                         .base = info->dlpi_addr,
                         .begin = info->dlpi_addr + p->p_vaddr,
                         .end = info->dlpi_addr + p->p_vaddr + p->p_memsz,
                         .code = p->p_flags & PF_X,
                         .writable = p->p_flags & PF_W};
        if (s.writable && has_sealed && sealed <= s.begin && s.begin < sealed_end) {
            sys_segment first = s;
            first.writable = false;
            first.end = sealed_end < s.end ? sealed_end : s.end;
            r = l->each(&first, l->arg);
            s.begin = first.end;
        }
        if (r == 0 && s.begin < s.end)
            r = l->each(&s, l->arg);
    }
    return r;
}

int sys_segments(int (*each)(const sys_segment *s, void *arg), void *arg)
{
    struct listing l = {each, arg};
    return dl_iterate_phdr(list_object, &l);
}

void sys_comm(char ret[16])
{
    memset(ret, 0, 16);
    prctl(PR_GET_NAME, ret);
}

void sys_set_comm(const char *name) { prctl(PR_SET_NAME, name); }

char **sys_environment(const char *name, const char *with)
{
    size_t n = 0, size = strlen(name);
    while (environ && environ[n])
        n++;
    char **env = sys_alloc((n + 2) * sizeof *env);
    if (!env)
        return NULL;
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (strncmp(environ[i], name, size) != 0 || environ[i][size] != '=')
            env[kept++] = environ[i];
    if (with)
        env[kept++] = (char *)(uintptr_t)with;
    env[kept] = NULL;
    return env;
}

const char *sys_getenv(const char *name) { return getenv(name); }

void sys_unsetenv(const char *name) { unsetenv(name); }

void sys_keep_on_exec(int fd, bool keep) { fcntl(fd, F_SETFD, keep ? 0 : FD_CLOEXEC); }

#endif
