// SPDX-License-Identifier: BSD-3-Clause
/*
 * op_open: how the guest's open flags become ours, for OPEN and CREATE.
 *
 * No state. Called by the thread that runs the request.
 */
#ifndef VIOFS_OP_OPEN_H
#define VIOFS_OP_OPEN_H

#include "request.h"

/*
 * The flags to open a regular file with: an allow list, adapted to what was negotiated. O_CREAT
 * and O_EXCL are never among them. What the guest's kernel does by itself is left out.
 */
int op_open_flags(const struct fuse_server *server, uint32_t wanted);

/*
 * Opens the inode's regular file as a handle of the guest. open_flags: FUSE_OPEN_*. Returns 0, or
 * -EISDIR, -ENFILE at the limit, or the errno of the host.
 */
int op_open_handle(struct fuse_req *req, struct inode *inode, uint32_t wanted, uint32_t open_flags,
                   uint64_t *ret_fh);

/* FOPEN_* for the inode's file, opened with the flags that the guest wanted. */
uint32_t op_fopen_flags(struct fuse_req *req, struct inode *inode, uint32_t wanted);

#endif
