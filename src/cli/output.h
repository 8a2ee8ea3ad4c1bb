/* SPDX-License-Identifier: MIT */
/* What jobs write: kept per job and per stream, and written out whole. */
#ifndef MOTET_CLI_OUTPUT_H
#define MOTET_CLI_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One stream of one job: up to MEMORY_MAX bytes in memory; what is more goes before them into a file without a name. */
typedef struct capture {
    char *data;
    size_t size, capacity;
    int spill;        /* the file, when spilled is not 0 */
    uint64_t spilled; /* bytes there */
} capture;

/* What keeps the command from going on; 0 while nothing does. An exit code, set and complained of once. */
extern int output_trouble;

/* Reads once from a pipe that is readable. False when it has ended. */
bool capture_read(capture *c, int fd);

/* Reads what a pipe holds now, without waiting, up to what a pipe can hold at all. */
void capture_drain(capture *c, int fd);

/* Writes it all to `fd` and empties it; the memory is kept. */
void capture_write(capture *c, int fd);

/* Empties it and gives the memory back. */
void capture_free(capture *c);

/* Writes `size` bytes to `fd`, standard output or error. Nothing once there was trouble; given up when a signal asks to stop. */
void output_write(int fd, const char *data, size_t size);

/* Finished jobs wait here for those before them, when order is kept. `sequence` is 1 for the first. */
void order_add(uint64_t sequence, capture *out, capture *err); /* takes what the captures hold */
bool order_admits(uint64_t sequence);                          /* this one may be started: memory is bounded */
void order_free(void);

#endif
