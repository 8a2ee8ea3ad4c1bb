/* SPDX-License-Identifier: MIT */
/* Futures: completing against cancelling, waiting and callbacks. */
#include "help.h"

static motet_future *f, *g;
static uint32_t called, completed, cancelled;
static int value;

static void open_promise(motet_future **ret) { SIM_CHECK_EQ(motet_promise_new(ret, sizeof(int)), 0); }

static void completes(void *arg)
{
    SIM_WRITE(&value, 7);
    int e = motet_promise_set(f, (motet_bytes){&value, sizeof value}, 0);
    atomic_add_relaxed(&completed, e == 0);
}

static void cancels(void *arg) { atomic_add_relaxed(&cancelled, motet_future_cancel(f) == 0); }

static void done(motet_future *of, void *arg)
{
    SIM_CHECK(motet_future_state_of(of) == MOTET_DONE || motet_future_state_of(of) == MOTET_CANCELLED);
    atomic_add_relaxed(&called, 1);
}

static void close_futures(void)
{
    f = motet_future_unref(f);
    g = motet_future_unref(g);
    SIM_CHECK_EQ(sim_allocated(), 0);
}

SIM_SCENARIO(future_wait, .about = "two wait for a promise, and see what came before it was set",
             .faults = SIM_SPURIOUS)
{
    open_promise(&f);
    sim_spawn(completes, NULL, "completer");
    SIM_CHECK_EQ(motet_future_wait(f, MOTET_FOREVER), 0);
    SIM_CHECK_EQ(*(const int *)motet_future_value(f).data, 7);
    SIM_CHECK_EQ(SIM_READ(&value), 7);
    sim_join_all();
    close_futures();
}

static void sets_callback(void *arg) { SIM_CHECK_EQ(motet_future_on_done(f, done, NULL), 0); }

SIM_SCENARIO(future_complete_cancel, .about = "two complete, one cancels, one waits: one of them has its way",
             .cap = 100)
{
    open_promise(&f);
    sim_spawn(completes, NULL, "completer");
    sim_spawn(cancels, NULL, "canceller");
    SIM_CHECK_EQ(motet_future_wait(f, MOTET_FOREVER), 0);
    sim_join_all();
    SIM_CHECK_EQ(completed + cancelled, 1);
    SIM_CHECK_EQ(motet_future_code(f), completed ? 0 : -ECANCELED);
    close_futures();
}

SIM_SCENARIO(future_callbacks, .about = "two callbacks against completing and cancelling: each is called once")
{
    open_promise(&f);
    sim_spawn(sets_callback, NULL, "asker");
    sim_spawn(completes, NULL, "completer");
    sim_spawn(cancels, NULL, "canceller");
    sets_callback(NULL);
    sim_join_all();
    SIM_CHECK_EQ(called, 2);
    SIM_CHECK_EQ(completed + cancelled, 1);
    close_futures();
}

static void gives_up(void *arg)
{
    motet_future *mine = arg;
    int e = motet_future_wait(mine, sim_now() + 1000);
    SIM_CHECK(e == 0 || e == -ETIMEDOUT);
    motet_future_unref(mine);
}

SIM_SCENARIO(future_deadline, .about = "who gives up and lets go leaves nothing behind")
{
    open_promise(&f);
    sim_spawn(gives_up, motet_future_ref(f), "hasty");
    completes(NULL);
    sim_join_all();
    close_futures();
}

static void completes_other(void *arg) { SIM_CHECK_EQ(motet_promise_set(g, (motet_bytes){&value, 0}, -EIO), 0); }

SIM_SCENARIO(future_wait_any, .about = "one waits for either of two")
{
    open_promise(&f);
    open_promise(&g);
    sim_spawn(completes, NULL, "completer 1");
    sim_spawn(completes_other, NULL, "completer 2");
    motet_future *both[2] = {f, g};
    int k = motet_wait_any(both, 2, MOTET_FOREVER);
    SIM_CHECK(k == 0 || k == 1);
    SIM_CHECK(motet_future_state_of(both[k]) == MOTET_DONE);
    sim_join_all();
    close_futures();
}

SIM_SCENARIO(future_completions, .about = "both come, as they get over, each once", .faults = SIM_NO_MEMORY)
{
    if (motet_promise_new(&f, sizeof(int)) < 0 || motet_promise_new(&g, sizeof(int)) < 0) {
        close_futures();
        return;
    }
    motet_future *both[2] = {f, g}, *over[2];
    motet_completions *it;
    sim_spawn(completes, NULL, "completer 1");
    sim_spawn(completes_other, NULL, "completer 2");
    if (motet_completions_open(&it, both, 2) == 0) {
        SIM_CHECK_EQ(motet_completions_next(it, &over[0], MOTET_FOREVER), 0);
        SIM_CHECK_EQ(motet_completions_next(it, &over[1], MOTET_FOREVER), 0);
        SIM_CHECK(over[0] != over[1]);
        SIM_CHECK_EQ(motet_completions_next(it, &over[0], MOTET_FOREVER), -ENOENT);
        motet_completions_close(it);
    }
    sim_join_all();
    close_futures();
}

SIM_SCENARIO(future_completions_close, .about = "closed while the futures still get over")
{
    open_promise(&f);
    motet_completions *it;
    SIM_CHECK_EQ(motet_completions_open(&it, &f, 1), 0);
    sim_spawn(completes, NULL, "completer");
    motet_completions_close(it);
    sim_join_all();
    close_futures();
}
