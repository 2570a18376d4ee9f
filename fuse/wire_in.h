// SPDX-License-Identifier: BSD-3-Clause
/*
 * wire_in: a bounded cursor over the readable part of a request.
 *
 * Owner: the request, on its thread's stack. The bytes lie in guest memory and may change at any
 * moment: what is decided upon is copied out first, and no byte is copied twice. Only file data
 * is handed on where it lies.
 */
#ifndef VIOFS_WIRE_IN_H
#define VIOFS_WIRE_IN_H

#include <stddef.h>
#include <sys/uio.h>

struct wire_in {
    struct iovec *pieces; /* consumed from the front */
    unsigned count;
    size_t left; /* bytes not yet taken */
};

/* Starts a cursor over count pieces, which the cursor consumes (modifies). */
void wire_in_start(struct wire_in *in, struct iovec *pieces, unsigned count);

/* Copies the next length bytes to destination. Returns 0, or -EINVAL with nothing taken when
 * fewer are left. */
int wire_in_copy(struct wire_in *in, void *destination, size_t length);

/*
 * Hands out the next length bytes where they lie, as *ret_count pieces that stay valid as long as
 * the chain. Returns 0, or -EINVAL when fewer are left. The cursor is spent afterwards.
 */
int wire_in_pieces(struct wire_in *in, size_t length, struct iovec **ret_pieces,
                   unsigned *ret_count);

/* Cuts a list of pieces to its first length bytes. Returns the pieces that remain in use. */
unsigned pieces_trim(struct iovec *pieces, unsigned count, size_t length);

#endif
