/* SPDX-License-Identifier: MIT */
/* The ring's operations with one mistake each, of the kind that only a death shows: the kill points must find every one. */
#ifndef MOTET_TESTS_KILL_FLAWED_H
#define MOTET_TESTS_KILL_FLAWED_H

#include "kill/ring.h"

int flawed_put_owner_late(ring *r, ring_self self, const ring_item *item, uint64_t *ret_position);
int flawed_put_full_early(ring *r, ring_self self, const ring_item *item, uint64_t *ret_position);
int flawed_put_ticket(ring *r, ring_self self, const ring_item *item, uint64_t *ret_position);
int flawed_put_without_compare(ring *r, ring_self self, const ring_item *item, uint64_t *ret_position);
int flawed_get_hint_first(ring *r, ring_self self, ring_item *ret, uint64_t *ret_position);
int flawed_get_frees_first(ring *r, ring_self self, ring_item *ret, uint64_t *ret_position);
int flawed_get_blind_for_laps(ring *r, ring_self self, ring_item *ret, uint64_t *ret_position);
void flawed_recover_counts_later(ring *r, ring_self dead);
void flawed_recover_place_first(ring *r, ring_self dead);
void flawed_recover_forgets_readers(ring *r, ring_self dead);
void flawed_recover_delivers(ring *r, ring_self dead);

#endif
