/* SPDX-License-Identifier: MIT */
/* Why a history is not linearizable: the shortest beginning of it that is wrong, and of that the part after the last
 * quiet moment, with what the object may have held there. A longer history is wrong too when a beginning of it is, so
 * that the shortest is found by halving. */
#include "linear/linear.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int compare_beginnings(const void *a, const void *b)
{
    const linear_op *x = a, *y = b;
    if (x->invoked != y->invoked)
        return x->invoked < y->invoked ? -1 : 1;
    return x->thread - y->thread;
}

static int compare_moments(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* What had happened by `moment`: who had not returned is cut off. */
static size_t beginning(const linear_op *ops, size_t n, int64_t moment, linear_op *ret)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        if (ops[i].invoked > moment)
            continue;
        ret[count] = ops[i];
        ret[count].cut |= ops[i].returned > moment;
        count++;
    }
    return count;
}

/* The last moment at which nothing was under way, given operations by their beginning: how many are over by then. */
static size_t over_before_quiet(const linear_op *ops, size_t n, int64_t culprit)
{
    size_t over = 0;
    int64_t latest = INT64_MIN;
    for (size_t i = 0; i < n && ops[i].invoked <= culprit; i++) {
        if (i && latest < ops[i].invoked)
            over = i;
        latest = ops[i].cut ? INT64_MAX : ops[i].returned > latest ? ops[i].returned : latest;
    }
    return over;
}

/* The parts of a history with several, one of which is wrong: that one. */
static size_t only_wrong_part(const linear_spec *spec, const linear_op *ops, size_t n, linear_op *ret)
{
    for (size_t i = 0; i < n; i++) {
        size_t count = 0;
        for (size_t k = 0; k < n; k++)
            if (!spec->part || spec->part(&ops[k]) == spec->part(&ops[i]))
                ret[count++] = ops[k];
        if (linear_search(spec, ret, count, NULL, 0, NULL) == LINEAR_WRONG)
            return count;
        if (!spec->part)
            break;
    }
    return 0;
}

static void fill(const linear_spec *spec, const linear_op *ops, size_t n, int64_t end, linear_op *some,
                 linear_window *w)
{
    size_t count = beginning(ops, n, end, some);
    size_t over = over_before_quiet(some, count, end);
    w->count = count - over;
    memcpy(w->ops, some + over, w->count * sizeof *w->ops);
    for (size_t i = 0; i < w->count; i++)
        if (!w->ops[i].cut && w->ops[i].returned == end)
            w->culprit = i;
    linear_search(spec, some, over, w->states, sizeof w->states / sizeof *w->states, &w->states_count);
}

static void shortest(const linear_spec *spec, linear_op *ops, size_t n, linear_op *some, linear_window *w)
{
    int64_t ends[LINEAR_OPS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        if (!ops[i].cut)
            ends[count++] = ops[i].returned;
    qsort(ends, count, sizeof *ends, compare_moments);
    qsort(ops, n, sizeof *ops, compare_beginnings);
    size_t low = 0, high = count - 1; /* ends[high] is wrong, all before ends[low] are right */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (linear_search(spec, some, beginning(ops, n, ends[middle], some), NULL, 0, NULL) == LINEAR_WRONG)
            high = middle;
        else
            low = middle + 1;
    }
    fill(spec, ops, n, ends[high], some, w);
}

bool linear_find_window(const linear_spec *spec, const linear_op *ops, size_t n, linear_window *ret)
{
    linear_op *wrong = calloc(n + 1, sizeof *wrong), *some = calloc(n + 1, sizeof *some);
    if (!wrong || !some)
        abort();
    memset(ret, 0, sizeof *ret);
    size_t count = n <= LINEAR_OPS_MAX ? only_wrong_part(spec, ops, n, wrong) : 0;
    if (count)
        shortest(spec, wrong, count, some, ret);
    free(wrong);
    free(some);
    return count > 0;
}

/* ---- printing -------------------------------------------------------------------------------------- */

static const char *const names[LINEAR_KINDS] = {"put",     "get",     "put_many", "get_many", "shutdown", "size",
                                                "acquire", "release", "value",    "add",      "read"};

static void print_values(const int32_t *values, int32_t n, FILE *out)
{
    fputc('[', out);
    for (int32_t i = 0; i < n; i++)
        fprintf(out, "%s%d", i ? " " : "", values[i]);
    fputc(']', out);
}

static void print_code(int32_t result, FILE *out)
{
    static const struct {
        int code;
        const char *name;
    } codes[] = {{-ETIMEDOUT, "-ETIMEDOUT"}, {-EPIPE, "-EPIPE"}, {-EBUSY, "-EBUSY"},         {-ECANCELED, "-ECANCELED"},
                 {-EINTR, "-EINTR"},         {-EPERM, "-EPERM"}, {-EOVERFLOW, "-EOVERFLOW"}, {-ENOMEM, "-ENOMEM"}};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (codes[i].code == result) {
            fputs(codes[i].name, out);
            return;
        }
    fprintf(out, "%d", result);
}

static void print_op(const linear_op *op, int64_t from, FILE *out)
{
    bool counters = op->kind == LINEAR_ADD || op->kind == LINEAR_READ;
    fprintf(out, "  thread %-3d %8lld ", op->thread, (long long)(op->invoked - from));
    if (op->cut)
        fprintf(out, "%8s  ", "...");
    else
        fprintf(out, "%8lld  ", (long long)(op->returned - from));
    fputs((unsigned)op->kind < LINEAR_KINDS ? names[op->kind] : "?", out);
    if (counters)
        fprintf(out, " #%d", op->key);
    if (op->kind == LINEAR_PUT || op->kind == LINEAR_PUT_MANY) {
        fputc(' ', out);
        print_values(op->values, op->kind == LINEAR_PUT ? 1 : op->arg, out);
    } else if (op->kind == LINEAR_GET_MANY || op->kind == LINEAR_RELEASE || op->kind == LINEAR_ADD) {
        fprintf(out, " %d", op->arg);
    }
    if (op->cut) {
        fputs(" -> not yet, or never", out);
        return;
    }
    fputs(" -> ", out);
    if (op->result >= 0 && (op->kind == LINEAR_GET || op->kind == LINEAR_GET_MANY))
        print_values(op->values, op->kind == LINEAR_GET ? 1 : op->result, out);
    else
        print_code(op->result, out);
}

void linear_explain(const linear_spec *spec, const linear_op *ops, size_t n, FILE *out)
{
    linear_window *w = calloc(1, sizeof *w);
    if (!w)
        abort();
    if (!linear_find_window(spec, ops, n, w)) {
        fprintf(out, "%s: the history of %zu operations is not known to be wrong\n", spec->name, n);
        free(w);
        return;
    }
    fprintf(out, "not linearizable: %s", spec->name);
    if (spec->capacity)
        fprintf(out, ", capacity %d", spec->capacity);
    fprintf(out, "; %zu of %zu operations, since nothing was under way. The object held", w->count, n);
    for (size_t i = 0; i < w->states_count && i < sizeof w->states / sizeof *w->states; i++) {
        fputs(i ? " or " : " ", out);
        print_values(w->states[i].values, (int32_t)w->states[i].count, out);
        if (w->states[i].flags)
            fputs(" and was shut down", out);
    }
    fputs(w->states_count > sizeof w->states / sizeof *w->states ? " ...\n" : "\n", out);
    for (size_t i = 0; i < w->count; i++) {
        print_op(&w->ops[i], w->ops[0].invoked, out);
        fputs(i == w->culprit ? "   <- its result fits in no order\n" : "\n", out);
    }
    free(w);
}
