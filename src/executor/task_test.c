/* SPDX-License-Identifier: MIT */
/* Tasks by name. */
#include "runner.h"

#include <motet/executor.h>

typedef struct point {
    double x, y;
} point;

MOTET_TASK_DECLARE(task_test_mirror, point, point) /* as a header would; and once more */
MOTET_TASK_DECLARE(task_test_mirror, point, point)
MOTET_TASK_BYTES_DECLARE(task_test_echo)

MOTET_TASK(task_test_mirror, point, point)
{
    *out = (point){in->y, in->x};
    return 0;
}

MOTET_TASK_DECLARE(task_test_mirror, point, point)

MOTET_TASK_BYTES(task_test_echo) { return motet_buffer_append(out, in.data, in.size); }

/* Types as in a cast. */
MOTET_TASK(task_test_length, const char *, size_t)
{
    *out = strlen(*in);
    return 0;
}

MOTET_TASK(task_test_sum, int[4], long)
{
    *out = (long)(*in)[0] + (*in)[1] + (*in)[2] + (*in)[3];
    return 0;
}

TEST(found_by_name)
{
    CHECK_PTR(motet_task_find("task_test_mirror"), &task_test_mirror);
    CHECK_PTR(motet_task_find("task_test_echo"), &task_test_echo);
    CHECK(motet_task_find("task_test_mirro") == NULL);
    CHECK(motet_task_find("task_test_mirror2") == NULL);
    CHECK(motet_task_find("") == NULL);
    CHECK(motet_task_find(NULL) == NULL);
}

TEST(described)
{
    CHECK_STR(task_test_mirror.name, "task_test_mirror");
    CHECK_EQ(task_test_mirror.in_size, sizeof(point));
    CHECK_EQ(task_test_mirror.out_size, sizeof(point));
    CHECK(task_test_mirror.call && !task_test_mirror.call_bytes);
    point out = {0, 0};
    CHECK_EQ(task_test_mirror.call(&(point){1, 2}, &out), 0);
    CHECK(out.x == 2 && out.y == 1);
    CHECK_STR(task_test_echo.name, "task_test_echo");
    CHECK_EQ(task_test_echo.in_size + task_test_echo.out_size, 0);
    CHECK(!task_test_echo.call && task_test_echo.call_bytes);
}

static int task_made_later(const void *in, void *out)
{
    *(char *)out = *(const char *)in;
    return 0;
}

TEST(registered_by_hand)
{
    static const motet_task task = {.name = "task made later", .in_size = 1, .out_size = 1, .call = task_made_later};
    static motet_task_entry entry = {.task = &task};
    CHECK(motet_task_find("task made later") == NULL);
    motet_task_register(&entry);
    CHECK_PTR(motet_task_find("task made later"), &task);
    CHECK_PTR(motet_task_find("task_test_echo"), &task_test_echo); /* the others are still there */
    motet_executor *ex;
    char in = 'c', out = 0;
    CHECK_EQ(motet_thread_pool_open(&ex, &(motet_pool_options){.workers = 1}), 0);
    CHECK_EQ(motet_map(ex, &task, &in, &out, 1, NULL), 0);
    CHECK_EQ(out, 'c');
    motet_executor_close(ex);
}

TEST(types_as_in_a_cast)
{
    motet_executor *ex;
    CHECK_EQ(motet_thread_pool_open(&ex, &(motet_pool_options){.workers = 1}), 0);
    const char *words[] = {"", "one", "twelve"};
    size_t lengths[3];
    CHECK_EQ(task_test_length_map(ex, words, lengths, 3, NULL), 0);
    CHECK_EQ(lengths[0] * 100 + lengths[1] * 10 + lengths[2], 36);
    int four[4] = {1, 20, 300, 4000};
    long sum = 0;
    motet_future *f;
    CHECK_EQ(task_test_sum_submit(ex, &four, &f), 0);
    CHECK_EQ(task_test_sum_result(f, &sum, MOTET_FOREVER), 0);
    CHECK_EQ(sum, 4321);
    motet_future_unref(f);
    motet_executor_close(ex);
}
