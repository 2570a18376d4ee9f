// SPDX-License-Identifier: BSD-3-Clause
/*
 * Inodes by node id alone: for guests that make file handles of them (name_to_handle_at(2), an NFS
 * server in the guest). Such a handle is node id and generation, and comes back as a LOOKUP of "."
 * or ".." in that node, also after the guest's cache has dropped the inode and sent FORGET: then it
 * is found if it lingers (inode_linger.c).
 *
 * Ids are made up anew by each daemon. The generation that the guest sees with an id is a random
 * number of the session, so that a handle from an earlier one is stale and not another file.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/sysmacros.h>

#include "host_path.h"
#include "inode.h"
#include "inode_table.h"
#include "scope.h"
#include "server.h"

/* Each step from a directory up to the share's root costs two system calls. */
#define DEPTH_MAX 4096

static bool is_root(const struct inode_table *table, const struct statx *attributes)
{
    const struct inode *root = &table->slab[INODE_ROOT];
    return attributes->stx_ino == root->ino &&
           makedev(attributes->stx_dev_major, attributes->stx_dev_minor) == root->dev &&
           attributes->stx_mnt_id == mounts_id(table->mounts, root->mount);
}

int inode_again(struct fuse_thread *thread, struct inode *inode, struct statx *ret_attributes)
{
    struct inode_table *table = thread->server->inodes;
    /* The descriptor that it may still have is no reason to find what the host has deleted. */
    bool may_be_gone = atomic_load(&inode->lookups) == 0 && inode_closes_silently(table, inode);
    int fd;
    int error = inode_fd(thread, inode, &fd);
    if (error)
        return error;
    if (inode == &table->slab[INODE_ROOT])
        return host_stat_fd(fd, ret_attributes);
    struct inode *again;
    error = inode_of_file(thread, fd, &again, ret_attributes);
    if (error)
        return error;
    if (may_be_gone && ret_attributes->stx_nlink == 0) {
        inode_forget_gone(table, again);
        return -ESTALE;
    }
    if (again == inode)
        return 0;
    /* It was given up in this very moment, and came back under another id. */
    inode_forget(thread, inode_id(table, again), 1);
    return -ESTALE;
}

/* Whether fd lies in the share: whoever goes up from it comes to the root. -ESTALE: it does not. */
static int climb(const struct inode_table *table, int fd)
{
    autoclose int at = -1;
    struct statx here, above;
    int error = host_stat_fd(fd, &here);
    for (unsigned depth = 0; !error && depth < DEPTH_MAX; depth++) {
        if (is_root(table, &here))
            return 0;
        autoclose int parent = -1;
        error = host_open_path(at < 0 ? fd : at, "..", &parent);
        if (!error)
            error = host_stat_fd(parent, &above);
        if (error)
            break;
        if (above.stx_ino == here.stx_ino && above.stx_mnt_id == here.stx_mnt_id)
            return -ESTALE; /* the top of what the daemon sees */
        scope_close(&at);
        at = steal_fd(&parent);
        here = above;
    }
    return -ESTALE;
}

int inode_parent(struct fuse_thread *thread, struct inode *inode, struct inode **ret_inode,
                 struct statx *ret_attributes)
{
    struct inode_table *table = thread->server->inodes;
    struct inode *root = &table->slab[INODE_ROOT];
    autoclose int parent = -1;
    int fd;
    if (!S_ISDIR(inode->type))
        return -ENOTDIR;
    int error = inode_fd(thread, inode, &fd);
    if (!error && inode != root) {
        error = host_open_path(fd, "..", &parent);
        if (error == -ENOENT)
            error = -ESTALE; /* moved out of a share that is a mount of its own */
        fd = parent;
    }
    if (!error)
        error = climb(table, fd);
    if (!error)
        error = host_stat_fd(fd, ret_attributes);
    if (error)
        return error;
    if (!is_root(table, ret_attributes))
        return inode_of_file(thread, fd, ret_inode, ret_attributes);
    *ret_inode = root;
    return 0;
}
