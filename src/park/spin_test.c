/* SPDX-License-Identifier: MIT */
/* How long to watch before sleeping: the budget, and that watching looks as often as it should. Counts, never times. */
#include "base/spin.h"

#include "runner.h"

TEST(full_at_first_and_halved_by_each_miss)
{
    spin_budget b = SPIN_BUDGET_FULL;
    for (uint32_t ns = SPIN_NS_MAX; ns >= SPIN_NS_MIN; ns /= 2) {
        CHECK_EQ(spin_budget_now(&b), ns);
        spin_budget_learn(&b, false);
    }
    spin_budget_learn(&b, true);
    CHECK_EQ(spin_budget_now(&b), SPIN_NS_MAX);
}

TEST(the_least_budget_is_still_one)
{
    spin_budget b = {.ns = SPIN_NS_MIN};
    CHECK_EQ(spin_budget_now(&b), SPIN_NS_MIN);
    b = (spin_budget){.ns = SPIN_NS_MIN - 1};
    CHECK_EQ(spin_budget_now(&b), 0);
}

TEST(one_of_so_many_probes)
{
    spin_budget b = {0};
    int probes = 0;
    for (int i = 0; i < 10 * SPIN_PROBE; i++) {
        uint32_t ns = spin_budget_now(&b);
        CHECK(ns == 0 || ns == SPIN_NS_PROBE);
        probes += ns != 0;
        spin_budget_learn(&b, false);
    }
    CHECK_EQ(probes, 10);
}

/* True from its `from`-th call on. */
static int calls, from;

static bool changed(const void *arg)
{
    CHECK_PTR(arg, &calls);
    return ++calls >= from;
}

TEST(looks_until_it_has_changed)
{
    for (from = 1; from < 40; from++) {
        calls = 0;
        CHECK(spin_watch(UINT32_MAX, INT64_MAX, changed, &calls));
        CHECK_EQ(calls, from);
    }
}

TEST(looks_once_more_when_time_is_up)
{
    from = 1;
    calls = 0;
    CHECK(spin_watch(0, INT64_MAX, changed, &calls));
    CHECK_EQ(calls, 1);
    calls = 0;
    CHECK(spin_watch(UINT32_MAX, 0, changed, &calls)); /* the deadline is nearer */
    CHECK_EQ(calls, 1);
    from = INT32_MAX;
    CHECK(!spin_watch(0, 0, changed, &calls));
    CHECK(!spin_watch(1, INT64_MAX, changed, &calls));
}
