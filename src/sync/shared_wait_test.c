/* SPDX-License-Identifier: MIT */
/* Waits on shared words: their codes; wakes, deaths, cancellation and signals that end them; kernels without futex_waitv. */
#include "family/test_family.h"
#include "sync/test_threads.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/syscall.h>

static uint32_t *word;

static int wait_while_zero(void *arg)
{
    int e = 0;
    while (e == 0 && atomic_load_acquire(word) == 0)
        e = motet__family_wait(word, 0, motet__family_deaths(), MOTET_FOREVER, 0);
    return e;
}

TEST(codes)
{
    word = shared(64);
    uint32_t deaths = motet__family_deaths();
    CHECK_EQ(motet__family_wait(word, 1, deaths, MOTET_FOREVER, 0), 0);
    CHECK_EQ(motet__family_wait(word, 0, deaths - 1, MOTET_FOREVER, 0), 0);
    CHECK_EQ(motet__family_wait(word, 0, deaths, MOTET_NOWAIT, 0), -ETIMEDOUT);
    CHECK_EQ(motet__family_wait(word, 1, deaths, MOTET_NOWAIT, 0), 0);
    static const unsigned flags[] = {0, FAMILY_NO_CANCEL, FAMILY_NO_SPIN, FAMILY_ONE_WAKE | FAMILY_NO_SPIN};
    for (int i = 0; i < 4; i++) {
        motet_time until = motet_after(2 * MOTET_MS);
        int e;
        while ((e = motet__family_wait(word, 0, deaths, until, flags[i])) == 0) {}
        CHECK_EQ(e, -ETIMEDOUT);
        CHECK_GE(motet_now(), until);
    }
    CHECK_EQ(motet__family_wake(word, 1), 0);
    CHECK_EQ(interrupted(wait_while_zero, NULL), -EINTR);
    CHECK_EQ(cancelled(wait_while_zero, NULL), -ECANCELED);
}

/* Waits with cancellation held off in either way. */
static int wait_uncancelled(void *arg)
{
    int e = 0;
    if (!arg)
        motet_shield(true);
    while (e == 0 && atomic_load_acquire(word) == 0)
        e = motet__family_wait(word, 0, motet__family_deaths(), MOTET_FOREVER, arg ? FAMILY_NO_CANCEL : 0);
    return e;
}

TEST(cancelling_can_be_held_off)
{
    word = shared(64);
    motet_thread *a = start(wait_uncancelled, NULL), *b = start(wait_uncancelled, word);
    CHECK_EQ(motet_thread_cancel(a), 0);
    CHECK_EQ(motet_thread_cancel(b), 0);
    atomic_store_release(word, 1);
    motet__family_wake(word, 2);
    CHECK_EQ(finish(a), 0);
    CHECK_EQ(finish(b), 0);
}

TEST(a_sleeper_is_cancelled)
{
    word = shared(64);
    for (int i = 0; i < 200; i++) {
        motet_thread *t = start(wait_while_zero, NULL);
        for (int k = 0; k < i % 8; k++)
            motet_yield();
        CHECK_EQ(motet_thread_cancel(t), 0);
        CHECK_EQ(finish(t), -ECANCELED);
    }
}

/* ---- between processes ------------------------------------------------------------------------------ */

TEST(a_wake_reaches_another_process)
{
    word = shared(64);
    kin a = kin_start(wait_while_zero, NULL), b = kin_start(wait_while_zero, NULL);
    atomic_store_release(word, 1);
    motet__family_wake(word, 2);
    CHECK_EQ(kin_bury(a), 0);
    CHECK_EQ(kin_bury(b), 0);
}

static int wait_for_a_death(void *arg)
{
    uint32_t deaths = motet__family_deaths();
    atomic_add_seq_cst(word + 1, 1);
    int e = 0;
    while (e == 0 && motet__family_deaths() == deaths)
        e = motet__family_wait(word, 0, deaths, MOTET_FOREVER, arg ? FAMILY_NO_SPIN : 0);
    return e;
}

static int sleep_on(void *arg)
{
    while (true)
        pause();
    return 0;
}

TEST(a_death_wakes_all)
{
    word = shared(64);
    kin k = kin_start(sleep_on, NULL), a = kin_start(wait_for_a_death, NULL), b = kin_start(wait_for_a_death, word);
    AWAIT(SEEN(word + 1) == 2 && motet__member_alive(k.tag));
    kin_await_sleep(a);
    kin_await_sleep(b);
    kin_kill(k);
    /* Each would be woken by the burial of the other, too: so none is buried before both have ended. */
    int status;
    CHECK_EQ(waitpid(a.pid, &status, 0), a.pid);
    CHECK_EQ(status, 0);
    CHECK_EQ(waitpid(b.pid, &status, 0), b.pid);
    CHECK_EQ(status, 0);
    motet__member_bury(a.tag);
    motet__member_bury(b.tag);
}

static int ping(void *arg)
{
    for (uint32_t i = 0; i < 20000; i++) {
        uint32_t now;
        while ((now = atomic_load_acquire(word)) != 2 * i + 1)
            motet__family_wait(word, now, motet__family_deaths(), MOTET_FOREVER, FAMILY_NO_SPIN);
        atomic_store_release(word, 2 * i + 2);
        motet__family_wake(word, 1);
    }
    return 0;
}

TEST(no_wake_is_lost)
{
    word = shared(64);
    kin k = kin_start(ping, NULL);
    for (uint32_t i = 0; i < 20000; i++) {
        atomic_store_release(word, 2 * i + 1);
        motet__family_wake(word, 1);
        uint32_t now;
        while ((now = atomic_load_acquire(word)) != 2 * i + 2)
            motet__family_wait(word, now, motet__family_deaths(), MOTET_FOREVER, i % 2 ? FAMILY_NO_SPIN : 0);
    }
    CHECK_EQ(kin_bury(k), 0);
}

/* A wake for one alone goes to a process that is stopped: the other looks by itself. */
static int take_one(void *arg)
{
    for (;;) {
        uint32_t now = atomic_load_acquire(word);
        while (now > 0)
            if (atomic_cas_acquire(word, &now, now - 1))
                return 0;
        motet__family_wait(word, 0, motet__family_deaths(), MOTET_FOREVER, FAMILY_ONE_WAKE | FAMILY_NO_SPIN);
    }
}

TEST(one_that_is_stopped_keeps_no_wake_for_itself)
{
    word = shared(64);
    kin a = kin_start(take_one, NULL), b = kin_start(take_one, NULL);
    kin_await_sleep(a);
    kin_stop(a);
    atomic_store_release(word, 1);
    motet__family_wake(word, 1);
    CHECK_EQ(kin_bury(b), 0);
    atomic_store_release(word, 1);
    CHECK_EQ(kill(a.pid, SIGCONT), 0);
    CHECK_EQ(kin_bury(a), 0);
}

/* ---- without futex_waitv ---------------------------------------------------------------------------- */

static void forbid_futex_waitv(unsigned code)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_futex_waitv, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | code),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof filter / sizeof *filter, .filter = filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        _exit(77);
}

static int wait_confined(void *arg)
{
    forbid_futex_waitv(*(const int *)arg);
    /* Its deadline, a wake, a cancellation, and a death. */
    motet_time until = motet_after(MOTET_MS);
    int e;
    while ((e = motet__family_wait(word + 2, 0, motet__family_deaths(), until, FAMILY_NO_SPIN)) == 0) {}
    if (e != -ETIMEDOUT || motet_now() < until)
        return 2;
    atomic_store_release(word + 3, 1);
    if (wait_while_zero(NULL) != 0)
        return 3;
    return wait_for_a_death(word) == 0 ? 0 : 4;
}

TEST(without_futex_waitv)
{
    word = shared(64);
    int codes[] = {ENOSYS, EPERM};
    for (int i = 0; i < 2; i++) {
        memset(word, 0, 64);
        kin victim = kin_start(sleep_on, NULL), k = kin_start(wait_confined, &codes[i]);
        int status;
        while (!SEEN(word + 3))
            if (waitpid(k.pid, &status, WNOHANG) == k.pid && WEXITSTATUS(status) == 77) {
                kin_kill(victim);
                SKIP("no seccomp here");
            }
        atomic_store_release(word, 1);
        motet__family_wake(word, 1);
        AWAIT(SEEN(word + 1) == 1 && motet__member_alive(victim.tag));
        atomic_store_release(word, 0);
        kin_kill(victim);
        CHECK_EQ(kin_bury(k), 0);
    }
}
