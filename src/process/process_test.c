/* SPDX-License-Identifier: MIT */
/* Processes: their life as users see it, for each of the three ways to make one. */
#include "process/test_process.h"

#include "park/park.h"

TEST_SETTLE(close_processes);

MOTET_TASK(process_test_add, int, int)
{
    *out = *in + 1;
    return *in == 41 ? 17 : 18;
}

MOTET_TASK_BYTES(process_test_measure)
{
    CHECK_EQ(motet_buffer_append(out, in.data, in.size), 0);
    return (int)in.size;
}

/* A process of MOTET_SPAWN begins here: the runner's main is no place for it. */
__attribute__((constructor)) static void serve(void)
{
    if (getenv(SPAWN_VARIABLE))
        motet_init(NULL, NULL);
}

/* ---- results --------------------------------------------------------------------------------------- */

static const struct {
    int returned, code;
} results[] = {{0, 0}, {7, 7}, {255, 255}, {256, 0}, {-1, 255}, {-EINVAL, 256 - EINVAL}, {1000, 232}, {-9, 247}};

TEST(what_the_body_returns_is_the_result_and_the_low_8_bits_are_the_code)
{
    CHECK_EQ(motet_init(NULL, NULL), 0);
    for (int m = 0; m < METHODS; m++)
        for (size_t i = 0; i < sizeof results / sizeof *results; i++) {
            motet_process *p = start_by(methods[m], return_value, (void *)(intptr_t)results[i].returned);
            int code, result;
            CHECK_EQ(motet_process_join(p, &result, MOTET_FOREVER), 0);
            CHECK_EQ(result, results[i].returned);
            CHECK_EQ(motet_process_exit_code(p, &code), 0);
            CHECK_EQ(code, results[i].code);
            motet_process_free(p);
        }
}

static int leave_by_exit(void *code) { exit((int)(intptr_t)code); }
static int leave_by_now(void *code) { _exit((int)(intptr_t)code); }
static int leave_by_signal(void *number)
{
    raise((int)(intptr_t)number);
    return 0;
}

TEST(other_ways_to_end)
{
    CHECK_EQ(motet_init(NULL, NULL), 0);
    for (int m = 0; m < METHODS; m++) {
        CHECK_EQ(finish(start_by(methods[m], leave_by_exit, (void *)3)), 3);
        CHECK_EQ(finish(start_by(methods[m], leave_by_now, (void *)4)), 4);
        CHECK_EQ(finish(start_by(methods[m], leave_by_signal, (void *)SIGKILL)), -SIGKILL);
        CHECK_EQ(finish(start_by(methods[m], leave_by_signal, (void *)SIGUSR1)), -SIGUSR1);
    }
}

TEST(without_motet_init_the_first_start_makes_the_zygote)
{
    CHECK_EQ(finish(start_with(return_value, (void *)9, NULL)), 9);
    motet_process *p = NULL;
    CHECK_EQ(motet_process_start(&p, return_value, NULL, &(motet_process_options){.method = MOTET_SPAWN}), -EPERM);
    CHECK(p == NULL);
    CHECK_EQ(motet_init(NULL, NULL), 0);
    CHECK_EQ(finish(start_by(MOTET_SPAWN, return_value, (void *)8)), 8);
}

/* ---- join, alive, signals, descriptors ------------------------------------------------------------- */

static int join_it(void *p)
{
    int code = -1000;
    CHECK_EQ(motet_process_join(p, &code, MOTET_FOREVER), 0);
    CHECK_EQ(code, 5);
    return 0;
}

TEST(any_number_join_any_number_of_times)
{
    board *b = board_new();
    for (int m = 0; m < METHODS; m++) {
        motet_thread *t[4];
        *b = (board){0};
        motet_process *p = start_by(methods[m], wait_at_gate, b);
        int code = 77;
        CHECK(motet_process_alive(p));
        CHECK_EQ(motet_process_exit_code(p, &code), -EAGAIN);
        CHECK_EQ(motet_process_join(p, &code, MOTET_NOWAIT), -ETIMEDOUT);
        CHECK_EQ(motet_process_join(p, &code, motet_after(MOTET_MS)), -ETIMEDOUT);
        CHECK_EQ(code, 77);
        for (int i = 0; i < 4; i++)
            CHECK_EQ(motet_thread_start(&t[i], join_it, p, NULL), 0);
        raise_word(&b->gate);
        CHECK_EQ(motet_process_join(p, NULL, MOTET_FOREVER), 0);
        for (int i = 0; i < 4; i++) {
            CHECK_EQ(motet_thread_join(t[i], NULL, MOTET_FOREVER), 0);
            motet_thread_free(t[i]);
        }
        CHECK_EQ(motet_process_join(p, &code, MOTET_NOWAIT), 0);
        CHECK_EQ(finish(p), 5);
    }
    motet_shared_free(b);
}

static int join_cancelled(void *p)
{
    CHECK_EQ(motet_process_join(p, NULL, MOTET_FOREVER), -ECANCELED);
    return 0;
}

TEST(a_join_can_be_cancelled)
{
    board *b = board_new();
    for (int m = 0; m < METHODS; m++) {
        motet_thread *t;
        *b = (board){0};
        motet_process *p = start_by(methods[m], wait_at_gate, b);
        CHECK_EQ(motet_thread_start(&t, join_cancelled, p, NULL), 0);
        CHECK_EQ(motet_thread_cancel(t), 0);
        CHECK_EQ(motet_thread_join(t, NULL, MOTET_FOREVER), 0);
        motet_thread_free(t);
        raise_word(&b->gate);
        CHECK_EQ(finish(p), 5);
    }
    motet_shared_free(b);
}

TEST(signals_end_it)
{
    board *b = board_new();
    for (int m = 0; m < METHODS; m++) {
        motet_process *p = start_by(methods[m], run_for_ever, b);
        CHECK_EQ(motet_process_terminate(p), 0);
        CHECK_EQ(motet_process_join(p, NULL, MOTET_FOREVER), 0);
        CHECK_EQ(motet_process_terminate(p), 0);
        CHECK_EQ(motet_process_kill(p), 0);
        CHECK_EQ(finish(p), -SIGTERM);
        p = start_by(methods[m], run_for_ever, b);
        CHECK_EQ(motet_process_kill(p), 0);
        CHECK_EQ(finish(p), -SIGKILL);
    }
    motet_shared_free(b);
}

TEST(the_descriptor_is_readable_when_it_has_ended)
{
    board *b = board_new();
    for (int m = 0; m < METHODS; m++) {
        *b = (board){0};
        motet_process *p = start_by(methods[m], wait_at_gate, b);
        int fd = motet_process_fd(p);
        CHECK_GT(fd, 2);
        CHECK_EQ(motet_process_fd(p), fd);
        CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
        struct pollfd ended = {.fd = fd, .events = POLLIN};
        CHECK_EQ(poll(&ended, 1, 0), 0);
        raise_word(&b->gate);
        CHECK_EQ(poll(&ended, 1, -1), 1);
        CHECK_EQ(finish(p), 5);
        /* Asked for when it is too late for a pidfd. */
        p = start_by(methods[m], return_value, NULL);
        CHECK_EQ(motet_process_join(p, NULL, MOTET_FOREVER), 0);
        ended.fd = motet_process_fd(p);
        CHECK_GT(ended.fd, 2);
        CHECK_EQ(poll(&ended, 1, 0), 1);
        motet_process_free(p);
    }
    motet_shared_free(b);
}

TEST(one_that_is_freed_early_goes_on)
{
    board *b = board_new();
    for (int m = 0; m < METHODS; m++) {
        *b = (board){0};
        motet_process *p = start_by(methods[m], wait_at_gate, b), *q;
        motet_process_free(p);
        CHECK_EQ(motet_active_children(&q, 1), 1);
        CHECK_PTR(q, p);
        raise_word(&b->gate);
        CHECK_EQ(finish(q), 5);
        CHECK_EQ(motet_active_children(NULL, 0), 0);
    }
    motet_shared_free(b);
}

TEST(active_children_are_those_that_live_in_order)
{
    board *b = board_new();
    motet_process *p[6], *got[6];
    for (int i = 0; i < 6; i++)
        p[i] = start_by(methods[i % METHODS], wait_at_gate, b);
    CHECK_EQ(motet_active_children(NULL, 0), 6);
    CHECK_EQ(motet_process_kill(p[1]), 0);
    CHECK_EQ(motet_process_kill(p[2]), 0);
    CHECK_EQ(motet_process_join(p[1], NULL, MOTET_FOREVER), 0);
    CHECK_EQ(motet_process_join(p[2], NULL, MOTET_FOREVER), 0);
    CHECK_EQ(motet_active_children(got, 3), 4);
    CHECK_PTR(got[0], p[0]);
    CHECK_PTR(got[1], p[3]);
    CHECK_PTR(got[2], p[4]);
    for (int i = 0; i < 3; i++)
        motet_process_free(got[i]);
    raise_word(&b->gate);
    for (int i = 0; i < 6; i++)
        CHECK_EQ(finish(p[i]), i == 1 || i == 2 ? -SIGKILL : 5);
    CHECK_EQ(motet_active_children(got, 6), 0);
    motet_shared_free(b);
}

/* ---- names, numbers, who it is --------------------------------------------------------------------- */

static int say_who(void *arg)
{
    board *b = arg;
    motet_process *me = motet_process_current(), *again = motet_process_current();
    CHECK_PTR(me, again);
    CHECK_EQ(motet_process_pid(me), getpid());
    CHECK(motet_process_alive(me));
    CHECK_EQ(motet_process_join(me, NULL, MOTET_FOREVER), -EDEADLK);
    CHECK_EQ(motet_process_exit_code(me, &b->values[1]), -EAGAIN);
    b->values[0] = (int)motet_process_id(me);
    snprintf((char *)&b->values[2], 200, "%s", motet_process_name(me));
    motet_process_free(me);
    motet_process_free(again);
    return 0;
}

TEST(a_process_knows_who_it_is)
{
    board *b = board_new();
    char expected[32];
    motet_process *me = motet_process_current();
    CHECK_STR(motet_process_name(me), "MainProcess");
    CHECK_EQ(motet_process_id(me), 1);
    CHECK_EQ(motet_process_pid(me), getpid());
    CHECK_EQ(motet_process_join(me, NULL, MOTET_FOREVER), -EDEADLK);
    CHECK(motet_process_alive(me));
    motet_process_free(me);
    for (int m = 0; m < METHODS; m++) {
        motet_process *p = start_by(methods[m], say_who, b);
        uint64_t id = motet_process_id(p);
        snprintf(expected, sizeof expected, "Process-%d", 2 * m + 1);
        CHECK_STR(motet_process_name(p), expected);
        CHECK_GT(motet_process_pid(p), 0);
        CHECK_EQ(finish(p), 0);
        CHECK_EQ(b->values[0], id);
        CHECK_GT(id, 1);
        CHECK_STR((char *)&b->values[2], expected);
        char name[] = "worker";
        p = start_with(say_who, b, &(motet_process_options){.method = methods[m], .name = name});
        name[0] = 'W'; /* copied */
        CHECK_STR(motet_process_name(p), "worker");
        CHECK_EQ(finish(p), 0);
        CHECK_STR((char *)&b->values[2], "worker");
    }
    motet_shared_free(b);
}

/* ---- what goes in ---------------------------------------------------------------------------------- */

static const int constant = 11;
static int variable = 12;
static int variable_zero;

static int read_int(void *at) { return *(const int *)at; }

static int compare_text(void *at) { return strcmp(at, "a string") == 0 ? 1 : 2; }

TEST(arguments_that_another_process_can_have)
{
    board *b = board_new();
    b->values[0] = 13;
    for (int m = 0; m < METHODS; m++) {
        CHECK_EQ(finish(start_by(methods[m], read_int, (void *)(uintptr_t)&constant)), 11);
        CHECK_EQ(finish(start_by(methods[m], read_int, &b->values[0])), 13);
        CHECK_EQ(finish(start_by(methods[m], compare_text, (void *)(uintptr_t) "a string")), 1);
        CHECK_EQ(finish(start_by(methods[m], return_value, (void *)(intptr_t)-2)), -2);
        CHECK_EQ(finish(start_by(methods[m], return_value, (void *)(intptr_t)0x7000000000000003)), 3);
    }
    motet_shared_free(b);
}

TEST(arguments_that_it_cannot_have)
{
    CHECK_EQ(motet_init(NULL, NULL), 0);
    int on_stack = 1;
    int *on_heap = malloc(1 << 20);
    void *bad[] = {&on_stack, on_heap, (char *)on_heap + 4095, &variable, &variable_zero, stdout, (void *)environ};
    motet_process *p = NULL;
    for (int m = 0; m < METHODS; m++) {
        motet_process_options opt = {.method = methods[m]};
        for (size_t i = 0; i < sizeof bad / sizeof *bad && methods[m] != MOTET_FORK; i++)
            CHECK_EQ(motet_process_start(&p, return_value, bad[i], &opt), -EFAULT);
        /* Code that is none. */
        if (methods[m] != MOTET_FORK) {
            CHECK_EQ(motet_process_start(&p, (motet_fn *)(uintptr_t)&constant, NULL, &opt), -EFAULT);
            CHECK_EQ(motet_process_start(&p, (motet_fn *)(uintptr_t)on_heap, NULL, &opt), -EFAULT);
            CHECK_EQ(motet_process_start(&p, (motet_fn *)12345, NULL, &opt), -EFAULT);
        }
    }
    CHECK(p == NULL);
    *on_heap = variable = 21;
    CHECK_EQ(finish(start_by(MOTET_FORK, read_int, on_heap)), 21);
    CHECK_EQ(finish(start_by(MOTET_FORK, read_int, &variable)), 21);
    CHECK_EQ(finish(start_by(MOTET_FORK, read_int, &on_stack)), 1);
    free(on_heap);
}

enum { LARGE = 3 << 20 };

static int sum_data(void *at)
{
    const unsigned char *bytes = at;
    unsigned sum = 0;
    CHECK_EQ((uintptr_t)at % 64, 0);
    for (size_t i = 0; i < LARGE; i++)
        sum += bytes[i];
    return (int)(sum % 251);
}

TEST(data_is_copied)
{
    CHECK_EQ(motet_init(NULL, NULL), 0);
    unsigned char *bytes = malloc(LARGE);
    unsigned sum = 0;
    for (size_t i = 0; i < LARGE; i++)
        sum += bytes[i] = (unsigned char)(i * 7);
    for (int m = 0; m < METHODS; m++) {
        motet_process_options opt = {.method = methods[m], .data = bytes, .size = LARGE};
        motet_process *p = start_with(sum_data, NULL, &opt);
        CHECK_EQ(finish(p), sum % 251);
        opt.size = 0; /* none, but a pointer */
        CHECK_EQ(finish(start_with(return_value, NULL, &opt)) % 64, 0);
    }
    free(bytes);
}

TEST(tasks_by_name)
{
    CHECK_EQ(motet_init(NULL, NULL), 0);
    int in = 41;
    for (int m = 0; m < METHODS; m++) {
        motet_process_options opt = {
            .method = methods[m], .task_name = "process_test_add", .data = &in, .size = sizeof in};
        CHECK_EQ(finish(start_with(NULL, NULL, &opt)), 17);
        opt.size = 3;
        motet_process *p = NULL;
        CHECK_EQ(motet_process_start(&p, NULL, NULL, &opt), -EINVAL);
        opt.task_name = "process_test_measure";
        CHECK_EQ(finish(start_with(NULL, NULL, &opt)), 3);
        opt.data = NULL;
        opt.size = 0;
        CHECK_EQ(finish(start_with(NULL, NULL, &opt)), 0);
        opt.task_name = "process_test_nothing";
        CHECK_EQ(motet_process_start(&p, NULL, NULL, &opt), -ENOENT);
        CHECK(p == NULL);
    }
}

/* ---- misuse ---------------------------------------------------------------------------------------- */

TEST(misuse)
{
    motet_process *p = NULL;
    int code = 77;
    motet_conn *conns[] = {(motet_conn *)&code, NULL}, *none[] = {NULL};
    int argc = 0;
    char **argv = NULL;
    CHECK_EQ(motet_init(&argc, NULL), -EINVAL);
    CHECK_EQ(motet_init(NULL, &argv), -EINVAL);
    CHECK_EQ(motet_init(&argc, &argv), 0);
    CHECK_EQ(motet_init(&argc, &argv), -EINVAL);
    CHECK_EQ(motet_init(NULL, NULL), -EINVAL);
    CHECK_EQ(motet_process_start(NULL, return_value, NULL, NULL), -EINVAL);
    CHECK_EQ(motet_process_start(&p, NULL, NULL, NULL), -EINVAL);
    CHECK_EQ(motet_process_start(&p, return_value, NULL, &(motet_process_options){.method = (motet_start_method)3}),
             -EINVAL);
    CHECK_EQ(motet_process_start(&p, return_value, NULL, &(motet_process_options){.size = 1}), -EINVAL);
    CHECK_EQ(motet_process_start(&p, return_value, (void *)1, &(motet_process_options){.data = "x", .size = 1}),
             -EINVAL);
    CHECK_EQ(motet_process_start(&p, return_value, NULL, &(motet_process_options){.give = conns}), -ENOTSUP);
    CHECK(p == NULL);
    CHECK_EQ(finish(start_with(return_value, NULL, &(motet_process_options){.give = none})), 0);
    CHECK_EQ(motet_process_join(NULL, &code, MOTET_NOWAIT), -EINVAL);
    CHECK_EQ(motet_process_exit_code(NULL, &code), -EINVAL);
    CHECK_EQ(motet_process_terminate(NULL), -EINVAL);
    CHECK_EQ(motet_process_kill(NULL), -EINVAL);
    CHECK_EQ(motet_process_pid(NULL), -EINVAL);
    CHECK_EQ(motet_process_fd(NULL), -EINVAL);
    CHECK_EQ(motet_process_id(NULL), 0);
    CHECK(!motet_process_alive(NULL));
    CHECK(motet_process_name(NULL) == NULL);
    CHECK(motet_process_ref(NULL) == NULL);
    CHECK(motet_process_free(NULL) == NULL);
    CHECK_EQ(motet_active_children(NULL, 1), -EINVAL);
    CHECK_EQ(motet_after_fork_child(), -EINVAL); /* nothing of motet's was there before it was forked by the runner */
    p = start_with(return_value, NULL, NULL);
    CHECK_EQ(motet_process_exit_code(p, NULL), -EINVAL);
    CHECK_EQ(finish(p), 0);
    CHECK_EQ(code, 77);
}

static int wait_for_word(void *word)
{
    while (!atomic_load_acquire((uint32_t *)word))
        motet__park(word, 0, MOTET_FOREVER, 0);
    return 0;
}

TEST(with_threads_and_without_motet_init_there_are_no_processes)
{
    static uint32_t word;
    motet_thread *t;
    motet_process *p = NULL;
    CHECK_EQ(motet_thread_start(&t, wait_for_word, &word, NULL), 0);
    for (int m = 0; m < METHODS; m++)
        CHECK_EQ(motet_process_start(&p, return_value, NULL, &(motet_process_options){.method = methods[m]}), -EPERM);
    CHECK_EQ(motet_init(NULL, NULL), -EPERM);
    CHECK(p == NULL);
    CHECK_EQ(motet_active_children(NULL, 0), 0);
    atomic_store_release(&word, 1);
    motet__unpark(&word, 1);
    CHECK_EQ(motet_thread_join(t, NULL, MOTET_FOREVER), 0);
    motet_thread_free(t);
    /* A thread that was joined may be on its way out still. */
    CHECK_EQ(motet_init(NULL, NULL), 0);
    CHECK_EQ(finish(start_by(MOTET_SPAWN, return_value, (void *)1)), 1);
}

/* ---- daemons, nested ------------------------------------------------------------------------------- */

static int try_to_start(void *method)
{
    motet_process *p;
    motet_process_options opt = {.method = (motet_start_method)(intptr_t)method};
    int e = motet_process_start(&p, return_value, NULL, &opt);
    return e == 0 ? finish(p) : -e;
}

TEST(daemons_have_no_children)
{
    CHECK_EQ(motet_init(NULL, NULL), 0);
    for (int m = 0; m < METHODS; m++) {
        for (int n = 0; n < METHODS; n++) {
            motet_process_options opt = {.method = methods[m], .daemon = true};
            void *arg = (void *)(intptr_t)methods[n];
            CHECK_EQ(finish(start_with(try_to_start, arg, &opt)), EPERM);
            opt.daemon = false;
            CHECK_EQ(finish(start_with(try_to_start, arg, &opt)), 0);
        }
    }
}

static int start_below(void *arg)
{
    board *b = arg;
    motet_process *p[METHODS];
    CHECK_EQ(motet_active_children(NULL, 0), 0);
    CHECK_EQ(motet_init(NULL, NULL), -EPERM);
    for (int m = 0; m < METHODS; m++)
        p[m] = start_by(methods[m], wait_at_gate, b);
    motet_process *me = motet_process_current();
    char name[64];
    snprintf(name, sizeof name, "%s:2", motet_process_name(me));
    CHECK_STR(motet_process_name(p[1]), name);
    motet_process_free(me);
    await_word(&b->count, METHODS);
    CHECK_EQ(motet_active_children(NULL, 0), METHODS);
    raise_word(&b->gate);
    for (int m = 0; m < METHODS; m++)
        CHECK_EQ(finish(p[m]), 5);
    return 3;
}

TEST(processes_start_processes)
{
    board *b = board_new();
    for (int m = 0; m < METHODS; m++) {
        *b = (board){0};
        CHECK_EQ(finish(start_by(methods[m], start_below, b)), 3);
    }
    motet_shared_free(b);
}

static int use_anothers(void *arg)
{
    motet_process *p = *(motet_process **)arg;
    int code;
    CHECK_EQ(motet_process_join(p, &code, MOTET_FOREVER), -EPERM);
    CHECK_EQ(motet_process_exit_code(p, &code), -EPERM);
    CHECK_EQ(motet_process_kill(p), -EPERM);
    CHECK_EQ(motet_process_fd(p), -EPERM);
    CHECK(!motet_process_alive(p));
    motet_process_free(p);
    return 1;
}

TEST(a_copy_of_an_object_is_of_no_use)
{
    board *b = board_new();
    motet_process *p = start_by(MOTET_FORKSERVER, wait_at_gate, b);
    motet_process_ref(p);
    CHECK_EQ(finish(start_by(MOTET_FORK, use_anothers, &p)), 1);
    raise_word(&b->gate);
    motet_process_free(p);
    CHECK_EQ(finish(p), 5);
    motet_shared_free(b);
}

TEST(many_at_once)
{
    enum { MANY = 40 };
    board *b = board_new();
    motet_process *p[MANY];
    for (int i = 0; i < MANY; i++)
        p[i] = start_by(methods[i % 5 == 4 ? 1 : 0], wait_at_gate, b);
    await_word(&b->count, MANY);
    CHECK_EQ(motet_active_children(NULL, 0), MANY);
    raise_word(&b->gate);
    for (int i = 0; i < MANY; i++)
        CHECK_EQ(finish(p[i]), 5);
    motet_shared_free(b);
}

static int start_many(void *arg)
{
    for (int i = 0; i < 25; i++)
        CHECK_EQ(finish(start_by(i % 5 ? MOTET_FORKSERVER : MOTET_FORK, return_value, arg)), 6);
    return 0;
}

TEST(threads_start_them_side_by_side)
{
    CHECK_EQ(motet_init(NULL, NULL), 0);
    motet_thread *t[4];
    for (int i = 0; i < 4; i++)
        CHECK_EQ(motet_thread_start(&t[i], start_many, (void *)6, NULL), 0);
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(motet_thread_join(t[i], NULL, MOTET_FOREVER), 0);
        motet_thread_free(t[i]);
    }
    CHECK_EQ(motet_active_children(NULL, 0), 0);
}
