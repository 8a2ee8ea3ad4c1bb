/* SPDX-License-Identifier: MIT */
/* The checker against brute force: on small random histories of every kind of object it says what a try of every order
 * of every subset of the operations says (subset, for who was cut off may never have happened). Half of the histories are
 * right by construction, and the checker is held to that too; the others have one result bent. */
#include "linear/linear.h"
#include "runner.h"

#include <errno.h>

enum { OPS_MAX = 6, EACH = 4000 };

static uint32_t seed;

/* (xorshift32, George Marsaglia.) */
static uint32_t dice(uint32_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    return seed % n;
}

/* ---- brute force ----------------------------------------------------------------------------------- */

/* Whether `op` may be the next: no other that is still to be done returned before it was invoked. */
static bool may_be_next(const linear_op *ops, size_t n, unsigned done, size_t op)
{
    for (size_t i = 0; i < n; i++)
        if (!(done >> i & 1) && !ops[i].cut && ops[i].returned < ops[op].invoked)
            return false;
    return true;
}

static bool some_order(const linear_spec *spec, const linear_op *ops, size_t n, unsigned done,
                       const linear_state *state)
{
    bool over = true;
    for (size_t i = 0; i < n; i++)
        over &= (done >> i & 1) || ops[i].cut;
    if (over)
        return true;
    for (size_t i = 0; i < n; i++) {
        if (done >> i & 1 || !may_be_next(ops, n, done, i))
            continue;
        linear_state next = *state;
        if (spec->apply(spec, &next, &ops[i]) && some_order(spec, ops, n, done | 1u << i, &next))
            return true;
    }
    return false;
}

/* ---- random histories ------------------------------------------------------------------------------ */

typedef struct kinds {
    linear_spec spec;
    const linear_kind *kinds;
    unsigned count;
} kinds;

static linear_op some_op(const kinds *k)
{
    linear_op op = {.kind = k->kinds[dice(k->count)], .key = (int)dice(2), .arg = 1 + (int)dice(2)};
    for (int i = 0; i < 2; i++)
        op.values[i] = (int32_t)(dice(2) << 16 | dice(2));
    return op;
}

/* All results that an operation may have; the right one among them is found by trying. */
static const int32_t results[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, -ETIMEDOUT, -EPIPE, -EPERM, -EOVERFLOW};
enum { RESULTS = sizeof results / sizeof *results };

/* Gives the operation the result that it has in this state, and does it. */
static bool perform(const linear_spec *spec, linear_state *state, linear_op *op)
{
    bool gets = op->kind == LINEAR_GET || op->kind == LINEAR_GET_MANY;
    linear_state next = *state;
    if (gets && state->count) { /* what one gets, one by one */
        for (int i = 0; i < (op->kind == LINEAR_GET ? 1 : op->arg) && next.count; i++) {
            linear_op one = {.kind = LINEAR_GET};
            for (one.values[0] = 0;; one.values[0] = one.values[0] == 1 ? 1 << 16 : one.values[0] + 1) {
                linear_state after = next;
                if (spec->apply(spec, &after, &one)) {
                    op->values[i] = one.values[0];
                    next = after;
                    break;
                }
            }
        }
    }
    for (int i = 0; i < RESULTS; i++) {
        next = *state;
        op->result = results[i];
        if (spec->apply(spec, &next, op)) {
            *state = next;
            return true;
        }
    }
    return false;
}

/* Operations in the order in which they happened, each with a span around its instant. */
static size_t random_history(const kinds *k, linear_op *ops)
{
    size_t n = 2 + dice(OPS_MAX - 1);
    linear_state state;
    memset(&state, 0, sizeof state);
    k->spec.init(&k->spec, &state);
    for (size_t i = 0; i < n; i++) {
        do
            ops[i] = some_op(k);
        while (!perform(&k->spec, &state, &ops[i]));
        int64_t instant = 10 * (int64_t)(i + 1);
        ops[i].thread = (int)i;
        ops[i].invoked = instant - dice(25);
        ops[i].returned = instant + dice(25);
        ops[i].cut = dice(6) == 0;
    }
    return n;
}

static void bend(linear_op *ops, size_t n)
{
    linear_op *op = &ops[dice((uint32_t)n)];
    switch (dice(3)) {
    case 0: op->result = results[dice(RESULTS)]; break;
    case 1: op->values[0] = (int32_t)(dice(2) << 16 | dice(2)); break;
    default: op->invoked += 30, op->returned += 30;
    }
}

static void compare(const kinds *k)
{
    int wrong = 0;
    for (int round = 0; round < EACH; round++) {
        linear_op ops[OPS_MAX];
        size_t n = random_history(k, ops);
        bool bent = round % 2;
        if (bent)
            bend(ops, n);
        linear_state state;
        memset(&state, 0, sizeof state);
        k->spec.init(&k->spec, &state);
        bool right = some_order(&k->spec, ops, n, 0, &state);
        linear_verdict verdict = linear_check(&k->spec, ops, n);
        if (verdict != (right ? LINEAR_RIGHT : LINEAR_WRONG)) {
            linear_explain(&k->spec, ops, n, stderr);
            test_fail(__FILE__, __LINE__, "%s, round %d: brute force says %s", k->spec.name, round,
                      right ? "right" : "wrong");
        }
        CHECK(bent || right);
        wrong += !right;
    }
    LOG("%s: %d of %d histories are wrong", k->spec.name, wrong, EACH);
    CHECK_GE(wrong, EACH / 20);
}

#define COUNT(array) (sizeof array / sizeof *(array))

static const linear_kind of_queue[] = {LINEAR_PUT,      LINEAR_PUT,      LINEAR_GET,  LINEAR_GET,
                                       LINEAR_PUT_MANY, LINEAR_GET_MANY, LINEAR_SIZE, LINEAR_SHUTDOWN};
static const linear_kind of_lock[] = {LINEAR_ACQUIRE, LINEAR_RELEASE, LINEAR_VALUE};
static const linear_kind of_counters[] = {LINEAR_ADD, LINEAR_ADD, LINEAR_READ};

static void compare_spec(linear_spec spec, const linear_kind *of, size_t n, int32_t capacity, uint32_t first)
{
    seed = first;
    spec.capacity = capacity;
    compare(&(kinds){spec, of, (unsigned)n});
}

TEST(fifo) { compare_spec(linear_fifo, of_queue, COUNT(of_queue), 0, 1); }
TEST(fifo_bounded) { compare_spec(linear_fifo, of_queue, COUNT(of_queue), 2, 2); }
TEST(lifo) { compare_spec(linear_lifo, of_queue, COUNT(of_queue), 2, 3); }
TEST(priority) { compare_spec(linear_priority, of_queue, COUNT(of_queue), 3, 4); }
TEST(lock) { compare_spec(linear_lock, of_lock, COUNT(of_lock), 0, 5); }
TEST(counters) { compare_spec(linear_counters, of_counters, COUNT(of_counters), 0, 6); }

TEST(semaphore)
{
    linear_spec s = linear_semaphore;
    s.initial = 1;
    s.limit = 2;
    compare_spec(s, of_lock, COUNT(of_lock), 0, 7);
}
