// SPDX-License-Identifier: BSD-3-Clause
/*
 * op_lookup: the answer to LOOKUP and to every operation that ends in one.
 *
 * No state. Called by the thread that runs the request.
 */
#ifndef VIOFS_OP_LOOKUP_H
#define VIOFS_OP_LOOKUP_H

#include "request.h"

/*
 * Looks name up in the request's inode and puts the entry as the reply. One lookup is counted if
 * and only if it returns 0. Returns 0, or the errno of the lookup, or -EIO without room.
 */
int op_reply_entry(struct fuse_req *req, const char *name);

/* The same, the short way for a FIFO, socket or device. */
int op_reply_special(struct fuse_req *req, const char *name);

/*
 * Takes the next name of the request, and a descriptor of the directory that the header names, good
 * until the request ends. Returns 0 or a negative errno.
 */
int op_name_in_parent(struct fuse_req *req, const char **ret_name, int *ret_dirfd);

#endif
