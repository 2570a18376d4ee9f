// SPDX-License-Identifier: BSD-3-Clause
/*
 * owner: --owner-xattr. A server without the right to give files away keeps whose they are, what
 * mode they have and what kind they are in an extended attribute of the host's file, which itself
 * stays the server's own. The guest sees what is kept, and never the attribute.
 *
 *     user.containers.override_stat = "UID:GID:MODE:KIND"         MODE in octal, 07777
 *     KIND: file, dir, pipe, socket, char-MAJOR-MINOR, block-MAJOR-MINOR
 *
 * which is what containers/storage (podman), fuse-overlayfs and, without KIND, libkrun write and
 * read. What has no attribute belongs to the guest's root if it is the server's, else to whom it
 * belongs on the host.
 *
 * - The host's file has no set-id and no sticky bit, and the server's own user may always read and
 *   write it (and search it, if it is a directory): the rest of MODE is the host's, too.
 * - Only files and directories can have the attribute. So FIFOs, sockets and devices that the guest
 *   makes are empty regular files on the host. A symbolic link is the guest's root's, whatever
 *   chown() says, which succeeds.
 * - Two requests that change one file's owner and mode at the same moment may leave one of them
 *   undone. A guest's kernel holds a lock meanwhile.
 *
 * No state. Functions that take a thread run inside its epoch, and do nothing unless the option is
 * given. All return 0 or a negative errno.
 */
#ifndef VIOFS_OWNER_H
#define VIOFS_OWNER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "fuse_abi.h"

struct fuse_server;
struct fuse_thread;
struct host_ids;
struct inode;

struct owner {
    uint32_t uid;
    uint32_t gid;
    mode_t mode; /* with its S_IFMT */
    uint32_t rdev_major;
    uint32_t rdev_minor;
};

bool owner_kept(const struct fuse_server *server);

/* Is this attribute the one that the guest must not see? */
bool owner_is_hidden(const struct fuse_server *server, const char *host_name);

/* Whether the share's file system can keep it at all: 0, or -EOPNOTSUPP. */
int owner_probe(int share_fd);

/* Puts what is kept about the inode over the host's attributes. */
int owner_show(struct fuse_thread *thread, struct inode *inode, struct statx *attributes);

/* The same for whatever fd, O_PATH or not, refers to. */
int owner_show_fd(struct fuse_thread *thread, int fd, struct statx *attributes);

/*
 * What a new file in directory is to be: its maker's, or of the directory's group where that has
 * S_ISGID; with the rules of a local file system about that bit. mode has an S_IFMT; root: the
 * maker is the guest's root.
 */
int owner_of_new(struct fuse_thread *thread, struct inode *directory, const struct host_ids *maker,
                 bool root, mode_t mode, uint32_t rdev, struct owner *ret_owner);

/* With which mode, S_IFMT included, the host is to make it. */
mode_t owner_host_mode(mode_t mode);

/* Keeps it with what was just made: of a descriptor, or of a name in a directory. */
int owner_record(int fd, const struct owner *owner);
int owner_record_name(int dirfd, const char *name, const struct owner *owner);

/* Somebody who may not keep them writes to the file: its set-id bits go, where they would locally.
 */
int owner_kill_set_id(struct fuse_thread *thread, struct inode *inode);

/* SETATTR: what it says about owner and mode. fd is the inode's. */
int owner_change(struct fuse_thread *thread, struct inode *inode, int fd,
                 const struct fuse_setattr_in *in);

#endif
