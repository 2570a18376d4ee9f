// SPDX-License-Identifier: BSD-3-Clause
/*
 * host_ioctl: the flags that file systems keep with a file (chattr, project ids). Descriptors are
 * open for I/O (not O_PATH), of regular files and directories, and stay the caller's.
 *
 * No state. Any thread. Every function returns 0 or a negative errno: -ENOTTY where the file system
 * has no such flags.
 */
#ifndef VIOFS_HOST_IOCTL_H
#define VIOFS_HOST_IOCTL_H

#include <stdint.h>
#include <linux/fs.h>

/* FS_*_FL. */
int host_flags_get(int fd, uint32_t *ret_flags);
int host_flags_set(int fd, uint32_t flags);

/* FS_XFLAG_* and what goes with them. */
int host_fsxattr_get(int fd, struct fsxattr *ret_fsxattr);
int host_fsxattr_set(int fd, const struct fsxattr *fsxattr);

#endif
