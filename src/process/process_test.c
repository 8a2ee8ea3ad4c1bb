/* SPDX-License-Identifier: MIT */
/* Processes: their life as users see it. */
#include "process/test_process.h"

TEST(a_body_runs_and_its_code_comes_back)
{
    motet_process *p = start(return_value, (void *)(intptr_t)7, NULL);
    int code = -1;
    CHECK_EQ(motet_process_join(p, &code, MOTET_FOREVER), 0);
    CHECK_EQ(code, 7);
    motet_process_free(p);
}
TEST_SETTLE(close_processes);
