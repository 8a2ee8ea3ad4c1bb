/* SPDX-License-Identifier: MIT */
/* motet/base.h - time, errors, buffers: what every other header needs. */
#ifndef MOTET_BASE_H
#define MOTET_BASE_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A function of the library. Everything else in it is hidden. */
#define MOTET_API __attribute__((visibility("default")))

/* A positive code, so a success: what was got is yours, and who held it before had died. */
#define MOTET_RECOVERED 1

/* ---- time ------------------------------------------------------------------------------------------ */

/* A moment on CLOCK_MONOTONIC in nanoseconds. Deadlines are such moments: absolute, and the last argument of
 * every call that waits. */
typedef int64_t motet_time;

/* A deadline that has passed always: try once, never wait. (So has any other moment of the past.) */
#define MOTET_NOWAIT ((motet_time)-1)
/* A deadline that never comes. */
#define MOTET_FOREVER INT64_MAX

/* Spans of time in nanoseconds, to be multiplied: motet_after(250 * MOTET_MS). */
#define MOTET_US 1000LL
#define MOTET_MS 1000000LL
#define MOTET_S  1000000000LL

/* motet_now: the present moment. Any context, a signal handler included; never waits, never fails. */
MOTET_API motet_time motet_now(void);

/* motet_after: the moment `ns` nanoseconds from now. It saturates: a span that would pass the end of time gives
 * MOTET_FOREVER, and a negative one a moment of the past (never before 0). Any context. */
MOTET_API motet_time motet_after(int64_t ns);

/* motet_sleep: waits until `deadline`. 0 when it is reached (at once if it has passed); -ECANCELED when the calling
 * thread was cancelled; -EINTR when a signal came and the thread is interruptible. MOTET_FOREVER sleeps until cancelled. */
MOTET_API int motet_sleep(motet_time deadline);

/* motet_yield: lets another runnable thread go first. Never fails. */
MOTET_API void motet_yield(void);

/* motet_interruptible: says how the calling thread's waits take signals. True: a signal whose handler ran ends the
 * wait with -EINTR, nothing consumed. False, the default: the wait goes on. Returns what held before. */
MOTET_API bool motet_interruptible(bool on);

/* ---- cancellation ---------------------------------------------------------------------------------- */

/* motet_cancelled: whether the calling thread has been asked to stop (motet_thread_cancel). The request stays. */
MOTET_API bool motet_cancelled(void);

/* motet_shield: holds cancellation off (true) while the calling thread cleans up: its waits then wait as if it had not
 * been cancelled. Returns what held before, so that shields nest: bool was = motet_shield(true); ... motet_shield(was). */
MOTET_API bool motet_shield(bool on);

/* ---- errors ---------------------------------------------------------------------------------------- */

/* motet_strerror: what a code that a motet function returned means, in words. `code` may be negative, 0, or positive
 * (MOTET_RECOVERED). The text is static. Any thread. */
MOTET_API const char *motet_strerror(int code);

/* motet_version: the library's version, as "0.1.0". */
MOTET_API const char *motet_version(void);

/* ---- machine --------------------------------------------------------------------------------------- */

/* motet_cpu_count: how many CPUs this process may use: those of its affinity mask, and no more than its cgroup's CPU
 * quota rounded up. At least 1. Reads files on each call; keep the answer. */
MOTET_API int motet_cpu_count(void);

/* ---- bytes ----------------------------------------------------------------------------------------- */

/* Some bytes that somebody else owns. `data` may be NULL when `size` is 0. */
typedef struct {
    const void *data;
    size_t size;
} motet_bytes;

/* A growable run of bytes. One thread at a time. */
typedef struct motet_buffer motet_buffer;

/* motet_buffer_new: an empty buffer, or NULL when there is no memory. The caller frees it. */
MOTET_API motet_buffer *motet_buffer_new(void);

/* motet_buffer_free: gives the buffer and its bytes back. NULL is fine. Returns NULL. */
MOTET_API motet_buffer *motet_buffer_free(motet_buffer *b);

/* motet_buffer_append: adds `size` bytes at the end; they are copied, and may come from the buffer itself. `data` may be
 * NULL when `size` is 0. 0; -ENOMEM, the buffer as it was; -EINVAL for a NULL buffer, or NULL data with a size. */
MOTET_API int motet_buffer_append(motet_buffer *b, const void *data, size_t size);

/* motet_buffer_reserve: room for `size` more bytes, so that appending them can't fail. 0; -ENOMEM; -EINVAL. */
MOTET_API int motet_buffer_reserve(motet_buffer *b, size_t size);

/* motet_buffer_data: the bytes, followed by a zero byte that does not count, so that text is a C string. Valid until the
 * buffer is next changed. Never NULL for a buffer; NULL for NULL. */
MOTET_API void *motet_buffer_data(motet_buffer *b);

/* motet_buffer_size: how many bytes it holds; 0 for NULL. */
MOTET_API size_t motet_buffer_size(const motet_buffer *b);

/* motet_buffer_clear: forgets the bytes and keeps the memory for the next ones. NULL is fine. */
MOTET_API void motet_buffer_clear(motet_buffer *b);

#ifdef __cplusplus
}
#endif

#endif
