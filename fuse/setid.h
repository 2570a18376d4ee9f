// SPDX-License-Identifier: BSD-3-Clause
/*
 * setid: what of a file's privileges outlives a request that changes it.
 *
 * The set-user-id and set-group-id bits do so, on a local file system, for who has CAP_FSETID; here
 * the host decides by the capability that the thread has. With KILLPRIV_V2 the guest leaves it to
 * us, and says with most requests whether the bits have to go. Without it, it has cleared them
 * itself before, but not in all cases: Linux forgets it at O_TRUNC, and for data that bypasses its
 * cache. There the request says who it comes from, and we look at that; from Linux 6.12 on it says
 * so only of what is newly made (ALLOW_IDMAP).
 *
 * File capabilities go with any change, whoever makes it. The host sees to that, unless --xattrmap
 * has them under another name, which means nothing to it.
 *
 * State: capability_name of the server, which never changes. All but setid_init() run inside a
 * request, before the host call that makes the change; inode, fd: the file, O_PATH will do.
 */
#ifndef VIOFS_SETID_H
#define VIOFS_SETID_H

#include "server.h"

void setid_init(struct fuse_server *server);

/*
 * kill: the request says that the bits go, which means something with KILLPRIV_V2 only. S_ISGID
 * then stays on a file without group execution, as <linux/fuse.h> wants it
 * (FUSE_HANDLE_KILLPRIV_V2). By itself the host would take it from whoever is not in the file's
 * group, which the server is not: ids that linger (host_cred.h) are given up first.
 */
int setid_prepare(struct fuse_req *req, struct inode *inode, int fd, bool kill);

/* The same for requests that cannot say it: with nobody to ask, they go. */
int setid_prepare_untold(struct fuse_req *req, struct inode *inode, int fd);

/* The same for WRITE. Pages of the guest's cache come from whoever had time to write them. */
int setid_prepare_write(struct fuse_req *req, struct inode *inode, int fd, uint32_t write_flags);

/* Takes the capabilities alone away, where the host would not. */
int setid_drop_capability(const struct fuse_req *req, int fd);

#endif
