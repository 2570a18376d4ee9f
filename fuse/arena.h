// SPDX-License-Identifier: BSD-3-Clause
/*
 * arena: one sealed memfd that holds everything a guest can name, in tables indexed by number.
 * No pointers are in it, so another process can map it and go on, and saving it is a walk.
 *
 * Owner: the server. The mapping is as long as the tables' limits and sparse: memory is taken as
 * entries are first used.
 */
#ifndef VIOFS_ARENA_H
#define VIOFS_ARENA_H

#include <stddef.h>

struct arena;

/* Creates an arena with room for size bytes. Returns 0 or a negative errno. */
int arena_new(size_t size, struct arena **ret_arena);
void arena_free(struct arena *arena);

/* Takes the next size bytes, zeroed and page-aligned, for a table. Returns NULL when full. */
void *arena_take(struct arena *arena, size_t size);

/* Gives memory of whole pages back to the host: it reads as zeros from then on. */
void arena_give_back(void *start, size_t size);

#endif
