// SPDX-License-Identifier: BSD-3-Clause
/*
 * host_mounts: the mounts of our namespace, from /proc/self/mountinfo, which was opened before the
 * rest of /proc went out of reach. The file shows the namespace and root directory that this
 * process has for good. Any thread.
 */
#ifndef VIOFS_HOST_MOUNTS_H
#define VIOFS_HOST_MOUNTS_H

#include <stdbool.h>
#include <stdint.h>

struct host_mount {
    uint64_t id;
    const char *path; /* of the mount point, from our root directory on */
    const char *type; /* of the file system */
};

/* Returns false to see no more. What mount points to is good until it returns. */
typedef bool host_mount_visit(void *argument, const struct host_mount *mount);

/*
 * Shows all mounts in the order in which they were made. Lines that are longer than 64 KiB are left
 * out. Returns 0 or a negative errno (-ENOTSUP when mountinfo is -1: there is no list).
 */
int host_mounts_each(int mountinfo, host_mount_visit *visit, void *argument);

/*
 * An O_PATH descriptor of what is on top at the mount point of that id: the caller finds out
 * whether this is the mount that is meant. Caller owns *ret_fd. Returns 0, -ENOENT, or the errno of
 * the host.
 */
int host_mounts_open(int mountinfo, uint64_t id, int *ret_fd);

/*
 * The id of a mount that is given once only, as long as the kernel runs; 0 where the host's kernel
 * has none (before 6.8). The usual id is given again at once when a mount is gone.
 */
uint64_t host_mounts_unique(int fd);

#endif
