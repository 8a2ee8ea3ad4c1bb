/* SPDX-License-Identifier: MIT */
/* The n-th call fails: the arena of shared memory. */
#include "scenario.h"

#include "family/family.h"

#include <motet/ipc.h>

#include <unistd.h>

/* Each kind of way to memory: the arena itself, spans of small blocks (the smallest ones need more words), large blocks that
 * stay with the process when they are freed, and some that go back to the kernel and are wanted again. */
SCENARIO(shared_memory)
{
    static const size_t sizes[] = {1, 1000, 30000, 100000, 100000, 3000000, 3000000, 20000000};
    enum { N = sizeof sizes / sizeof *sizes };
    char *blocks[N] = {0};
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < N; i++) {
            TRY_NEW(blocks[i], motet_shared_alloc(sizes[i]));
            for (size_t at = 0; at < sizes[i]; at += 4096) {
                CHECK_EQ(blocks[i][at], 0);
                blocks[i][at] = 1;
            }
        }
        for (int i = 0; i < N; i++) {
            motet_shared_free(blocks[i]);
            blocks[i] = NULL;
        }
    }
out:
    for (int i = 0; i < N; i++)
        motet_shared_free(blocks[i]);
    if (motet__family_fd() >= 0)
        close(motet__family_fd()); /* the arena stays for the process's life */
}

/* Waits on shared words: on several at once, and in slices, where that is not to be had and where a signal is to end them. */
SCENARIO(shared_waits)
{
    motet_semaphore *s = NULL;
    TRY_NEW(s, motet_shared_alloc(sizeof *s));
    TRY(motet_semaphore_init(s, 0, MOTET_SHARED), -EINVAL);
    for (int i = 0; i < 2; i++) {
        int e;
        motet_interruptible(i == 1);
        do
            e = motet_semaphore_acquire(s, motet_after(MOTET_MS));
        while (e == -EINTR);
        CHECK_EQ(e, -ETIMEDOUT);
    }
out:
    motet_interruptible(false);
    motet_shared_free(s);
    if (motet__family_fd() >= 0)
        close(motet__family_fd());
}
