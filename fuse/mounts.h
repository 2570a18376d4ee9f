// SPDX-License-Identifier: BSD-3-Clause
/*
 * mounts: the file systems that the share is made of, by mount id.
 *
 * An entry holds a descriptor on its mount, for open_by_handle_at(), which also keeps the mount id
 * from being reused. It lives as long as an inode of the mount is known to the guest.
 *
 * Owner: the inode table. Any thread; adding and dropping take the table's lock, reading an entry
 * that one of one's own inodes refers to takes none.
 */
#ifndef VIOFS_MOUNTS_H
#define VIOFS_MOUNTS_H

#include <stdbool.h>
#include <stdint.h>

#include "host_fh.h"
#include "settings.h"

#define MOUNTS_MAX 4096

struct mounts;

int mounts_new(enum file_handles_mode mode, struct mounts **ret_mounts);
void mounts_free(struct mounts *mounts);

/*
 * Takes a reference on a mount that is in use already. Returns true and its index, or false when
 * no inode of it is known.
 */
bool mounts_take_known(struct mounts *mounts, uint64_t mount_id, uint32_t *ret_mount);

/*
 * Takes a reference on the mount of a file, known or not: fd is an O_PATH descriptor of it, mode
 * its type. Returns 0, -ENFILE when MOUNTS_MAX are in use, or -EOPNOTSUPP when handles are
 * mandatory and this file system has none that we can use.
 *
 * The first file of a mount decides whether handles can be used there, under the table's lock: it
 * is where host calls are made under a lock, once in a mount's life.
 */
int mounts_take(struct mounts *mounts, uint64_t mount_id, int fd, unsigned mode,
                uint32_t *ret_mount);
void mounts_drop(struct mounts *mounts, uint32_t mount);

/* The id of a mount that one of the caller's inodes refers to. */
uint64_t mounts_id(const struct mounts *mounts, uint32_t mount);

/* The descriptor for open_by_handle_at(); -1: none. */
int mounts_fd(const struct mounts *mounts, uint32_t mount);

/* Whether close(2) has nothing to say about files of the mount. */
bool mounts_close_silently(const struct mounts *mounts, uint32_t mount);

/* Finds a mount by id, without a reference. Returns true and its index, or false. */
bool mounts_find(struct mounts *mounts, uint64_t mount_id, uint32_t *ret_mount);

#endif
