// SPDX-License-Identifier: BSD-3-Clause
/*
 * How many bytes the reply to a FUSE request may have.  Pure function of the request.
 */
#ifndef VIOFS_MOUNT_REPLY_ROOM_H
#define VIOFS_MOUNT_REPLY_ROOM_H

#include <stddef.h>

#include "vuf_fuse_abi.h"

/* Bytes to offer for the reply, header included, at most LIMIT.  ARGS: what follows the header,
 * args_len bytes; may lie in shared memory, is read once.  Not for requests without a reply. */
size_t reply_room(const struct vuf_in_header *hdr, const void *args, size_t args_len, size_t limit);

#endif
