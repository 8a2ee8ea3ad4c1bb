/* SPDX-License-Identifier: MIT */
/* Processes of the family: who makes them, who watches over them, and what each death leaves.
 *
 *     root --hidden fork--> guard --fork--> zygote --fork--> members
 *
 * Guard and zygote are copies of the program as it was at motet_init: one thread, nothing of the user's running. Both are
 * members of the family, both run the loop in zygote.c, both are subreapers, so that what members leave behind comes to them.
 * They and all who start processes meet in `struct control` in the arena. Whoever wants something writes it there and rings a
 * bell (an eventfd that all of them hold); the bell is a hint, what stands in the arena is the truth. So who comes after
 * a watcher that died finds all that it had not done.
 *
 * The zygote makes members, reaps them, and buries them. The guard does as much for what is no child of the zygote's: for
 * the zygote itself, for members that came to it when a zygote died, and, by pidfds, for those that are a child of
 * neither (MOTET_FORK, those that joined after a raw fork). Deaths of watchers:
 *
 *     zygote dies     its children come to the guard, which sees its end as their parent, buries it, puts back what it had
 *                     begun (see slots), and forks the next zygote, from a memory that is still pristine.
 *     guard dies      the zygote sees it by a pidfd, becomes the guard, watches what is no child of its own by pidfds, and
 *                     forks the next zygote. What the old guard had adopted goes to a process outside: it is still watched and
 *                     buried; its exit code is what the kernel keeps with a pidfd (6.15 and later), what the body
 *                     returned, or else -SIGKILL.
 *     both at once    nobody can make processes any more. Those who wait look every SECOND whether that is so, and say so
 *                     (control.lost): starts fail with -EPIPE, joins find out by themselves.
 *     root dies       whoever watches sets control.ending, kills all members and all that it has adopted, and ends.
 *
 * A start is a slot of control's. Its word says all, and changes by compare-and-swap alone:
 *
 *     word = state, who or code, turn
 *
 *     FREE(turn) --by the starter--> CLAIMED(starter, turn+1) --> ASKED(starter) --by the zygote--> TAKEN(zygote)
 *     TAKEN(zygote) --by the new process, when it has all that it needs--> RUNNING(its tag) --by who reaps it--> ENDED(code)
 *     TAKEN(zygote) --it could not be made--> FAILED(code);  it was killed before it ran--> ENDED(code)
 *     TAKEN(dead zygote) --by the guard--> ASKED(starter)
 *     ASKED --by the starter, when all watchers are lost--> FREE
 *     CLAIMED, ENDED, FAILED --by the starter, who has seen it; or of a dead starter, by who buried it--> FREE(turn)
 *     ASKED(dead starter) --by zygote or guard--> FREE
 *
 * So a body begins at most once: the step to RUNNING is the new process's own, and who comes too late for it ends. A process of
 * MOTET_FORK keeps its slot CLAIMED: only its parent can reap it; the slot holds the gate behind which it waits until its
 * parent has its pidfd.
 *
 * A death in between: a starter's leaves a slot that the next sweep frees, and an OWNED parcel that its burial frees. The new process
 * copies the parcel and then makes sure that the starter lives: so it never runs on what was freed meanwhile. The zygote's or guard's
 * is above. A member's is its burial, then ENDED.
 *
 * Fork rule: in the child of a raw fork everything fails until motet_after_fork_child. */
#ifndef MOTET_PROCESS_PROCESS_H
#define MOTET_PROCESS_PROCESS_H

#include "base/guard.h"
#include "base/list.h"
#include "base/sys_family.h"
#include "family/family.h"

#include <inttypes.h>
#include <motet/executor.h>
#include <motet/process.h>

#ifndef MOTET_SIM

/* ---- in the arena ---------------------------------------------------------------------------------- */

enum slot_state { SLOT_FREE, SLOT_CLAIMED, SLOT_ASKED, SLOT_TAKEN, SLOT_RUNNING, SLOT_ENDED, SLOT_FAILED };

/* state : 3, value : 26, turn : 35. The value is a tag, or an exit or error code. */
enum { SLOT_STATE_BITS = 3, SLOT_TURN_SHIFT = SLOT_STATE_BITS + TAG_BITS };
#define SLOT_TURN_MASK (((uint64_t)1 << (64 - SLOT_TURN_SHIFT)) - 1)

static inline uint64_t slot_word(enum slot_state s, uint32_t value, uint64_t turn)
{
    return (uint64_t)s | (uint64_t)(value & TAG_MASK) << SLOT_STATE_BITS | turn << SLOT_TURN_SHIFT;
}
static inline enum slot_state slot_state_of(uint64_t w) { return (enum slot_state)(w & 7); }
static inline uint32_t slot_value_of(uint64_t w) { return (uint32_t)(w >> SLOT_STATE_BITS) & TAG_MASK; }
static inline uint64_t slot_turn_of(uint64_t w) { return w >> SLOT_TURN_SHIFT; }

/* Codes, negative ones too, as a value. */
enum { CODE_BIAS = 1 << 20 };
static inline uint32_t code_to_value(int code) { return (uint32_t)(code + CODE_BIAS); }
static inline int code_of_value(uint32_t value) { return (int)value - CODE_BIAS; }

/* Where something is, in a way that means the same in a process that has the program elsewhere. */
typedef struct portable {
    uint32_t segment; /* of control's, plus one; 0: the value is what it is */
    uint64_t value;   /* or the offset from the object's base */
} portable;

/* All that a new process is to know; its strings and bytes follow: name, task, identity, each with its zero, then data. */
typedef struct parcel {
    uint64_t id;
    portable fn, arg;
    bool daemon, has_data;
    uint8_t method;
    uint32_t name_size, task_size, identity_size; /* with their zeroes; task 0: none */
    uint64_t data_size;
    char text[];
} parcel;

typedef struct slot {
    CACHE_ALIGNED uint64_t word;
    uint32_t changed; /* counts changes of the word, after them; slept on. MOTET_FORK: the gate */
    /* Written by the starter before ASKED, and good while the turn is the same. */
    member_tag starter;
    parcel *parcel;
    /* Who runs here, pid and tag: written by the new process before RUNNING, by compare-and-swap, so that one that a dead
     * zygote had made for the same start, and is late, doesn't write over it. By the zygote of one that didn't come so far: no
     * tag. */
    uint64_t who;
    /* Written by a body that has returned, which may belong to a start of long ago (MOTET_FORK, whose starter died): so each
     * has the turn in it, and is changed by compare-and-swap from what stands there at the beginning. */
    uint64_t returned; /* all that it returned : 32, low half of the turn : 32; at first 0. Before `said` */
    uint64_t said;     /* turn, and code_to_value of the exit code that follows from it; at first CLAIMED, 0 */
} slot;

static inline uint64_t slot_who(pid_t pid, member_tag tag) { return (uint64_t)(uint32_t)pid << 32 | tag; }
static inline pid_t who_pid(uint64_t who) { return (pid_t)(who >> 32); }
static inline member_tag who_tag(uint64_t who) { return (member_tag)who; }
static inline uint64_t slot_returned(int value, uint64_t turn) { return (uint32_t)value | turn << 32; }

/* A part of the program, as the zygote has it. */
typedef struct segment {
    uint64_t object; /* hash of its name */
    uintptr_t base, begin, end;
    bool code, writable;
} segment;

typedef struct watcher_place {
    member_tag tag; /* 0: there is none just now */
    pid_t pid;
    uint64_t started;
} watcher_place;

/* The exit code of a process that ends before it began: its starter doesn't see it. */
enum { GIVEN_UP = 125 };

enum { SLOTS = 1536, SEGMENTS_MAX = 1024 };
enum { GOING_ON, ENDING_IN_ORDER, ENDING_BY_DEATH };

typedef struct control {
    uint32_t ending;  /* GOING_ON and so on; only grows */
    uint32_t lost;    /* 1: guard and zygote are both dead */
    uint32_t spawns;  /* 1: motet_init is in main */
    uint32_t changed; /* counts changes of watchers; slept on */
    member_tag root;
    watcher_place guard, zygote;   /* each written by itself */
    pid_t spare;                   /* the zygote's child that stands ready; 0: none */
    uint64_t ids;                  /* the last process's */
    uint32_t slots_used;           /* no slot at or above was ever claimed; only grows */
    uint64_t asked[SLOTS / 64];    /* hints: slots that are ASKED */
    uint32_t starts[MEMBERS_MAX];  /* tags of members that have claimed slots */
    uint32_t strange[MEMBERS_MAX]; /* tags of members that the guard is to watch and doesn't yet */
    slot slots[SLOTS];
    uint32_t segments_count;
    segment segments[];
} control;

/* ---- what this process has ------------------------------------------------------------------------- */

/* How a process object stands. ALIVE --(its end is seen)--> ENDING, the code is known --(it is buried)--> OVER. */
enum { PROCESS_ALIVE, PROCESS_ENDING, PROCESS_OVER };

struct motet_process {
    uint32_t refs;
    uint32_t state;
    uint64_t era; /* of the process that it belongs to */
    guard guard;  /* of the end, and of opening pidfd */
    int code;     /* from ENDING on */
    int result;   /* likewise: what the body returned, or else the code */
    bool is_self; /* the calling process */
    bool daemon;
    motet_start_method method;
    pid_t pid;
    member_tag tag; /* 0: it ended before it became a member */
    int pidfd;      /* -1: not opened */
    slot *slot;     /* until OVER */
    uint64_t turn;
    uint64_t id;
    list_link link; /* on `children`, which has a reference, until OVER; under its guard */
    const char *name, *identity;
    char text[];
};

/* Everything of the process layer that is this process's own. */
typedef struct process_self {
    control *control;       /* NULL: no zygote is known */
    int bell, guard_bell;   /* of zygote and guard; -1 */
    uint64_t era;           /* another in each process */
    bool is_root;           /* it has made the guard */
    pid_t guard_child;      /* root: the guard as a child not yet reaped; 0 */
    bool explicitly;        /* motet_init was called */
    char *const *argv;      /* main's, or NULL */
    motet_process *current; /* NULL: the root, or after a raw fork */
    uint32_t names;         /* of processes started so far */
    sys_signals signals;    /* as they were at motet_init */
    char comm[16];
} process_self;
extern process_self motet__process;

/* False in the child of a raw fork. */
bool motet__process_allowed(void);

/* ---- init.c ---------------------------------------------------------------------------------------- */

/* Starts guard and zygote if there are none. 0; codes of motet_process_start. */
int motet__process_prepare(void);

/* Whether the watcher has ended, as far as the kernel says. */
bool motet__watcher_gone(const watcher_place *w);

/* Finds out whether guard and zygote are both dead, and says so. */
bool motet__watchers_lost(void);

/* Root: ends guard and zygote; nothing is left of them. How many of its processes still run (then they are killed). */
int motet__process_close(void);

/* This process becomes another one's: after a fork, in the child. */
void motet__process_afresh(void);

/* Becomes a member that is a child of neither watcher, and has the guard watch it. */
int motet__process_join_strange(member_tag tag);

/* How an executed process gets to know what it is: descriptors of the arena and the bells; where the arena begins and its
 * size, control, slot; the slot's word, and the tag. */
#define SPAWN_VARIABLE "MOTET_SPAWN"
#define SPAWN_FORMAT   "%d,%d,%d,%" PRIxPTR ",%" PRIx64 ",%" PRIxPTR ",%" PRIxPTR ",%" PRIx64 ",%" PRIx32

#define SPAWN_SCAN "%d,%d,%d,%" SCNxPTR ",%" SCNx64 ",%" SCNxPTR ",%" SCNxPTR ",%" SCNx64 ",%" SCNx32

/* ---- process_slot.c -------------------------------------------------------------------------------- */

/* A free slot, CLAIMED by the caller, whose turn is stored; NULL: all are taken. */
slot *motet__slot_claim(uint64_t *ret_turn);

/* From any state to FREE, by its owner. */
void motet__slot_free(slot *s, uint64_t turn);

/* A step by compare-and-swap, counted and with all who wait told. */
bool motet__slot_step(slot *s, uint64_t from, uint64_t to, bool wake);

/* The start fails, with -errno; frees the slot of a dead starter. `word`: ASKED or TAKEN. */
void motet__slot_fail(slot *s, uint64_t word, int code);

/* The process of a slot has ended: buries it, says how it ended, and frees the slot of a dead starter. `word`: RUNNING or TAKEN. */
void motet__slot_end(slot *s, uint64_t word, member_tag tag, int code);

/* Frees what a dead member had claimed. */
void motet__slots_sweep(member_tag dead);

/* Buries a member, with proof of its end, and sweeps its slots. Nothing where that was done. */
void motet__process_bury(member_tag dead);

/* ---- process_place.c ------------------------------------------------------------------------------- */

/* Lists the program's segments, once in a process's life (and in that of its copies). How many; -ENOMEM. */
int motet__segments_list(void);
void motet__segments_write(control *c);

/* In which way `fn`, `arg` can be told to another process. 0; -EFAULT. */
int motet__portable_code(const control *c, motet_fn *fn, portable *ret);
int motet__portable_arg(const control *c, void *arg, portable *ret);

/* What it is in this process. `as_zygote`: it has the program where the zygote has it. -EFAULT. */
int motet__portable_resolve(const control *c, portable p, bool as_zygote, uintptr_t *ret);

/* ---- process_body.c -------------------------------------------------------------------------------- */

/* The new process that the zygote has forked for slot s, whose word it made `taken`, or that was executed for it. */
__attribute__((noreturn)) void motet__process_main(slot *s, uint64_t taken, member_tag tag, bool executed);

/* A body has ended: the exit rule, and the end. */
__attribute__((noreturn)) void motet__process_finish(slot *s, uint64_t turn, int code);

/* Runs it here, and drops what comes out. Its code, or -ENOMEM. */
int motet__process_run_task(const motet_task *task, motet_bytes in);

/* A process object. Strings are copied. NULL: no memory. */
motet_process *motet__process_new(const char *name, const char *identity, uint64_t id);

/* ---- process_exit.c -------------------------------------------------------------------------------- */

/* Whether it has ended: if so, it is reaped, buried and OVER when this returns. */
bool motet__process_over(motet_process *p);

void motet__process_add(motet_process *p);
void motet__process_sweep(void);
void motet__process_unref(motet_process *p);

/* The exit rule is kept from now on. 0; -ENOMEM. */
int motet__process_exit_prepare(void);

/* Forgets the children, after a fork. */
void motet__process_forget(void);

/* ---- zygote.c -------------------------------------------------------------------------------------- */

/* The guard's life. `report`: where it or the zygote says how the beginning went, an int; `root`: pidfd of the root. */
__attribute__((noreturn)) void motet__guard_main(member_tag tag, int root, int report);

#endif /* MOTET_SIM */

#endif
