// SPDX-License-Identifier: BSD-3-Clause
/*
 * wire_out: a bounded cursor over the writable part of a request. The reply's body is written
 * first, the header last, when length and error are known.
 *
 * Owner: the request, on its thread's stack. The bytes lie in guest memory: they are only ever
 * written.
 */
#ifndef VIOFS_WIRE_OUT_H
#define VIOFS_WIRE_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "fuse_abi.h"

struct wire_out {
    struct iovec *pieces; /* room for the body, consumed from the front */
    unsigned count;
    size_t room;   /* bytes of the body that may still be written */
    size_t length; /* bytes of the body written so far */

    /* Where the header goes: it may lie in as many pieces as it has bytes. */
    struct iovec header[sizeof(struct fuse_out_header)];
    unsigned header_count; /* 0: no room for a header, nothing can be answered */
};

/* Starts a cursor over count pieces, which the cursor consumes (modifies). */
void wire_out_start(struct wire_out *out, struct iovec *pieces, unsigned count);

/* Appends length bytes to the body. Returns 0, or -EIO with nothing written when they do not
 * fit: the guest left too little room for the reply that it asked for. */
int wire_out_put(struct wire_out *out, const void *bytes, size_t length);

/*
 * Hands out the next length bytes of room as *ret_count pieces, for a host call to fill; the
 * caller reports with wire_out_filled() how many it did fill, and puts nothing afterwards.
 * Returns 0, or -EIO when there is less room.
 */
int wire_out_pieces(struct wire_out *out, size_t length, struct iovec **ret_pieces,
                    unsigned *ret_count);
void wire_out_filled(struct wire_out *out, size_t length);

/*
 * Ends the reply: with error 0 the body stands, with a negative errno there is none. Returns the
 * used length: header and body.
 */
size_t wire_out_finish(struct wire_out *out, uint64_t unique, int error);

#endif
