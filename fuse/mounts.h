// SPDX-License-Identifier: BSD-3-Clause
/*
 * mounts: the file systems that the share is made of, by mount id.
 *
 * An entry lives as long as an inode of the mount is known to the guest. Where file handles can be
 * used it has a descriptor on its mount, for open_by_handle_at(). While that is open the host
 * cannot unmount (EBUSY, as its mounts propagate to our namespace), so it is closed when nobody has
 * asked for it for a while, and opened again by the mount's path when somebody does. A mount id may
 * then be given to another mount: an entry without descriptor is found by no lookup until the mount
 * was seen to be the same, by its unique id, or, on kernels that have none, its device. Where there
 * are no handles each inode has a descriptor, which keeps its mount.
 *
 * Owner: the inode table. Any thread; adding and dropping take the table's lock, except for the
 * share's own entry, which is never dropped and therefore not counted; reading an entry that one of
 * one's own inodes refers to takes none.
 */
#ifndef VIOFS_MOUNTS_H
#define VIOFS_MOUNTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "arena.h"
#include "epoch.h"
#include "host_fh.h"
#include "settings.h"

#define MOUNTS_SHARE 0u /* the index of the share's own mount: the first taken */
#define MOUNTS_MAX   4096

struct mounts;

/* What the table takes of the arena. */
size_t mounts_arena_size(void);

/*
 * mountinfo: of host_mounts.h, stays the caller's. The first mount taken, while there is one thread
 * only, is the share's and never released.
 */
int mounts_new(struct arena *arena, enum file_handles_mode mode, int mountinfo,
               struct epochs *epochs, struct mounts **ret_mounts);
void mounts_free(struct mounts *mounts);

/*
 * Takes a reference on a mount that is in use and has a descriptor. Returns true and its index, or
 * false: mounts_take() may know it.
 */
bool mounts_take_known(struct mounts *mounts, uint64_t mount_id, uint32_t *ret_mount);

/*
 * Takes a reference on the mount of a file, known or not: fd is an O_PATH descriptor of it, and
 * attributes are its own. Returns 0, -ENFILE when MOUNTS_MAX are in use, or -EOPNOTSUPP when
 * handles are mandatory and this file system has none that we can use.
 *
 * The first file of a mount decides whether handles can be used there, under the table's lock: it
 * is where host calls are made under a lock, once in a mount's life and after each rest.
 */
int mounts_take(struct mounts *mounts, int fd, const struct statx *attributes, uint32_t *ret_mount);
void mounts_drop(struct mounts *mounts, uint32_t mount);

/* The id of a mount that one of the caller's inodes refers to. */
uint64_t mounts_id(const struct mounts *mounts, uint32_t mount);

/* Whether file handles are the references of this mount's inodes. */
bool mounts_has_handles(const struct mounts *mounts, uint32_t mount);

/*
 * The descriptor for open_by_handle_at(), good until the request ends. Returns 0, -EOPNOTSUPP
 * without handles, or -ESTALE when the mount is no longer where it was: the host unmounted it.
 */
int mounts_fd(struct mounts *mounts, uint32_t mount, int *ret_fd);

/* Whether close(2) has nothing to say about files of the mount. */
bool mounts_close_silently(const struct mounts *mounts, uint32_t mount);

/*
 * Whether a call is the same to the mount whoever makes it, given the capabilities of a local root:
 * true for the share's own, if it is a local file system that is known, but for calls that take
 * blocks, where there are some for root alone. What is mounted below may have to be found again,
 * by a path through mounts that do care.
 */
bool mounts_ignores_ids(const struct mounts *mounts, uint32_t mount, bool takes_blocks);

/* Whether directory offsets of the mount outlive the open directory. */
bool mounts_offsets_last(const struct mounts *mounts, uint32_t mount);

/* Finds a mount by id, without a reference. Returns true and its index, or false. */
bool mounts_find(struct mounts *mounts, uint64_t mount_id, uint32_t *ret_mount);

/* Whether it is the share itself, or something mounted below it. */
bool mounts_is_share(uint32_t mount);

/*
 * Closes the descriptors of mounts below the share that nobody asked for since the last call.
 * Returns how many are left open.
 */
unsigned mounts_rest(struct mounts *mounts);

/*
 * syncfs(2) for every file system that is mounted at or below share_fd, or known. share_fd stays
 * the caller's. May take long; not inside an epoch. Returns 0 or the first error.
 */
int mounts_sync(struct mounts *mounts, int share_fd);

#endif
