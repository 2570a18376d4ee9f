// SPDX-License-Identifier: BSD-3-Clause
/*
 * host_fh: the kernel's file handles, open_by_handle_at(2). A handle names an inode for as long as
 * it exists, generation included, and needs no descriptor.
 */
#ifndef VIOFS_HOST_FH_H
#define VIOFS_HOST_FH_H

#include <stdint.h>

#define HOST_FH_MAX 128 /* MAX_HANDLE_SZ of the kernel */

struct host_fh {
    int type;
    unsigned length; /* bytes used */
    uint8_t bytes[HOST_FH_MAX];
};

/*
 * The handle of name in dirfd (of the link itself if it is one), or with an empty name of what
 * dirfd (O_PATH will do) refers to. ret_mount_id is the mount that it was found on, as in statx(2).
 * -EOPNOTSUPP: this file system has none.
 */
int host_fh_get(int dirfd, const char *name, struct host_fh *ret_fh, int *ret_mount_id);

/*
 * Opens by handle. mount_fd: any descriptor, not O_PATH, of a file on that mount. flags: open(2)'s;
 * close-on-exec is added. -ESTALE: the file is gone. -EPERM: needs CAP_DAC_READ_SEARCH in the
 * file system's user namespace. The caller owns *ret_fd.
 */
int host_fh_open(int mount_fd, int type, const uint8_t *bytes, unsigned length, int flags,
                 int *ret_fd);

#endif
