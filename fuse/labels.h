// SPDX-License-Identifier: BSD-3-Clause
/*
 * labels: the security labels that come with a request that makes a file (SECURITY_CTX), kept as
 * extended attributes security.*, by the names that --xattrmap gives them.
 *
 * No state. Runs inside a request.
 */
#ifndef VIOFS_LABELS_H
#define VIOFS_LABELS_H

#include <sys/types.h>

#include "request.h"

/*
 * Whether these labels may be set at all, to be asked before the file is made. Returns 0; -EINVAL:
 * a name that is no label's; or what the rules say: -EPERM, -EOPNOTSUPP, -ERANGE.
 */
int labels_check(const struct fuse_req *req, const struct wire_ext *ext);

/*
 * Labels the new file of fd (O_PATH will do), of type S_IF*. -EOPNOTSUPP: the host has no place for
 * a label of this name on this file. That is no error with --security-label=auto, nor for what is
 * neither file nor directory when its label is a user.* attribute, which Linux keeps on those two
 * only: it is made without a label then, as on a local file system that has none.
 */
int labels_set(const struct fuse_req *req, int fd, mode_t type, const struct wire_ext *ext);

/*
 * The same for what was just made under that name in dirfd; when it fails the name is removed
 * again. The guest's kernel lets nobody see the name before our reply.
 */
int labels_set_name(const struct fuse_req *req, int dirfd, const char *name, mode_t type,
                    const struct wire_ext *ext);

/* What an errno of the host for a name of the guest's means: no right to set labels is no place. */
int labels_errno(const char *name, int error);

#endif
