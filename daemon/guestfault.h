// SPDX-License-Identifier: BSD-3-Clause
/*
 * Survives a front-end that truncates guest memory behind our back.
 *
 * Touching a page of a file mapping that the file no longer has raises SIGBUS. The handler puts an
 * anonymous zero page in its place, marks the mapping as damaged, and lets the thread go on; the
 * thread finds out with guestfault_taken() and then stops its queue. A SIGBUS at any other
 * address ends the process as usual.
 *
 * Owner: the process. The registry is a fixed array that the handler reads without a lock; any
 * thread may register, forget and fault.
 */
#ifndef VIOFS_GUESTFAULT_H
#define VIOFS_GUESTFAULT_H

#include <stdbool.h>
#include <stddef.h>

/* Mappings known at the same time: two full memory tables, an old and a new one. */
#define GUESTFAULT_MAPPINGS_MAX 1024

/* Installs the handler; may be called more than once. Returns 0 or a negative errno. */
int guestfault_install(void);

/*
 * Makes the mapping [address, address + size) known. page_size is that of its file (a huge page
 * for hugetlbfs); address and size are multiples of it.
 * Returns a slot number from 0 on, or -ENOSPC.
 */
int guestfault_register(void *address, size_t size, size_t page_size);

/* Forgets a slot: before munmap(), never after. */
void guestfault_forget(int slot);

/* True when a page of this mapping was replaced since it was registered. */
bool guestfault_damaged(int slot);

/* True when the calling thread was hit since its last call of this function. */
bool guestfault_taken(void);

#endif
