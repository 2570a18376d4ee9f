// SPDX-License-Identifier: BSD-3-Clause
/*
 * FUSE_INIT between kernel and back-end, before the threads start.
 *
 * Both sides negotiate with each other, with two corrections: what cannot work here (DAX,
 * pass-through to files of this process, io_uring) is taken out of both messages, and sizes are
 * limited to what a slot holds.
 *
 * Main thread only; keeps nothing.
 */
#ifndef VIOFS_MOUNT_HANDSHAKE_H
#define VIOFS_MOUNT_HANDSHAKE_H

#include <stddef.h>

#include "vuf_fuse.h"

/*
 * Forwards INIT.  FUSE_FD: /dev/fuse, non-blocking.  CANCEL_FD: becomes readable when one shall
 * give up (signals).  DATA: bytes that a slot holds beside headers.  0 when both are ready for
 * work; -ECANCELED; else a negative errno with a message printed.
 */
int handshake(struct vuf_fuse *fuse, int fuse_fd, int cancel_fd, size_t data);

#endif
