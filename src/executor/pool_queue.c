/* SPDX-License-Identifier: MIT */
/* The pool's queue of jobs: a chain of segments, filled at the last and emptied at the first. */
#include "executor/pool.h"

#include "base/panic.h"

static segment *new_segment(job_queue *q)
{
    segment *s = q->spare ? q->spare : sys_alloc(sizeof *s);
    q->spare = NULL;
    if (s)
        s->next = NULL;
    return s;
}

static void drop_segment(job_queue *q, segment *s)
{
    if (q->spare)
        sys_free(s);
    else
        q->spare = s;
}

bool motet__jobs_reserve(job_queue *q)
{
    if (q->last && q->last_index < SEGMENT_JOBS)
        return true;
    segment *s = new_segment(q);
    if (!s)
        return false;
    if (q->last)
        q->last->next = s;
    else
        q->first = s;
    q->last = s;
    q->last_index = 0;
    return true;
}

void motet__jobs_put(job_queue *q, job *j)
{
    q->last->jobs[q->last_index++] = j;
    atomic_store_relaxed(&q->count, q->count + 1); /* the searcher looks again under the guard */
}

job *motet__jobs_take(job_queue *q)
{
    if (!q->count)
        return NULL;
    /* The first segment is used up only when there is a next one, since something is there. */
    if (q->first_index == SEGMENT_JOBS) {
        segment *used = q->first;
        q->first = used->next;
        q->first_index = 0;
        drop_segment(q, used);
    }
    job *j = q->first->jobs[q->first_index++];
    atomic_store_relaxed(&q->count, q->count - 1);
    if (!q->count) {
        /* Empty: start over in the segment that is warm. */
        MOTET_ASSERT(q->first == q->last);
        q->first_index = q->last_index = 0;
    }
    return j;
}

void motet__jobs_free(job_queue *q)
{
    MOTET_ASSERT(!q->count);
    while (q->first) {
        segment *s = q->first;
        q->first = s->next;
        sys_free(s);
    }
    sys_free(q->spare);
    *q = (job_queue){0};
}
