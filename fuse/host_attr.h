// SPDX-License-Identifier: BSD-3-Clause
/*
 * host_attr: attributes of a file that a descriptor stands for. Every function takes O_PATH
 * descriptors too, acts on the inode itself also when it is a symbolic link, and returns 0 or a
 * negative errno.
 *
 * No state. Any thread. Owns nothing. The working directory is /proc/self/fd.
 */
#ifndef VIOFS_HOST_ATTR_H
#define VIOFS_HOST_ATTR_H

#include <stddef.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <time.h>

/* mode: permission bits, 07777. */
int host_chmod(int fd, mode_t mode);

/* (uid_t)-1 and (gid_t)-1 leave that id alone. */
int host_chown(int fd, uid_t uid, gid_t gid);

/* Access and modification time; UTIME_NOW and UTIME_OMIT as in utimensat(2). */
int host_set_times(int fd, const struct timespec times[2]);

/* The target of a symbolic link, not terminated, cut at size bytes. */
int host_readlink(int fd, char *buffer, size_t size, size_t *ret_length);

int host_statfs(int fd, struct statfs *ret_statfs);

#endif
