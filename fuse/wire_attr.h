// SPDX-License-Identifier: BSD-3-Clause
/*
 * wire_attr: a file's attributes as the wire has them.
 *
 * No state. Any thread.
 */
#ifndef VIOFS_WIRE_ATTR_H
#define VIOFS_WIRE_ATTR_H

#include <stdbool.h>
#include <sys/stat.h>

#include "fuse_abi.h"
#include "fuse_server.h"

struct inode;

/* From statx(2) with STATX_BASIC_STATS. */
struct fuse_attr wire_attr(const struct fuse_server *server, struct inode *inode,
                           const struct statx *attributes);

/* The same for STATX, with the time of birth; its mask says what there is. */
struct fuse_abi_statx wire_statx(const struct fuse_server *server, struct inode *inode,
                                 const struct statx *attributes);

/*
 * The answer to a lookup. submount: another file system is mounted there, which the guest is to
 * mount as well; told only to a guest that negotiated FUSE_SUBMOUNTS.
 */
struct fuse_entry_out wire_entry(const struct fuse_server *server, struct inode *inode,
                                 const struct statx *attributes, bool submount);

#endif
