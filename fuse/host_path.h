// SPDX-License-Identifier: BSD-3-Clause
/*
 * host_path: finding files by name and by descriptor. No function here follows a symbolic link.
 */
#ifndef VIOFS_HOST_PATH_H
#define VIOFS_HOST_PATH_H

#include <stddef.h>
#include <sys/stat.h>

/* Attributes of name in dirfd, of the link itself if it is one. Returns 0 or a negative errno. */
int host_stat_name(int dirfd, const char *name, struct statx *ret_attributes);

/* Attributes of what fd (O_PATH will do) refers to. Returns 0 or a negative errno. */
int host_stat_fd(int fd, struct statx *ret_attributes);

/* The same; sync is 0 or one of AT_STATX_FORCE_SYNC and AT_STATX_DONT_SYNC. */
int host_stat_synced(int fd, int sync, struct statx *ret_attributes);

/* What GETATTR needs of it, by the cheapest system call: no mount, device, birth, or flags. */
int host_stat_basic(int fd, struct statx *ret_attributes);

/* An O_PATH descriptor of name in dirfd, of the link itself if it is one. Caller owns *ret_fd. */
int host_open_path(int dirfd, const char *name, int *ret_fd);

/*
 * Opens again, for I/O, what fd refers to: a regular file or directory, as the caller has made
 * sure. flags: open(2)'s without O_NOFOLLOW; close-on-exec is added. Caller owns *ret_fd.
 */
int host_reopen(int fd, int flags, int *ret_fd);

/* The path of what fd refers to, not terminated; of size bytes the first. */
int host_path_of(int fd, char *buffer, size_t size, size_t *ret_length);

/* "17" for descriptor 17: relative to the working directory, which is /proc/self/fd. */
struct fd_name {
    char text[12];
};
struct fd_name fd_name(int fd);

#endif
