// SPDX-License-Identifier: BSD-3-Clause
/*
 * Inodes by node id alone: for guests that make file handles of them (name_to_handle_at(2), an NFS
 * server in the guest). Such a handle is node id and generation, and comes back as a LOOKUP of "."
 * or
 * ".." in that node, also after the guest's cache has dropped the inode and sent FORGET.
 *
 * So forgotten inodes linger: they keep their slot, and with it their id, until
 * INODES_LINGERING_MAX others were forgotten after them. A lingering inode holds no descriptor and
 * no file alive; a file handle of the host is all that is left, so inodes without one do not
 * linger, nor do those of mounts below the share, which would be busy.
 *
 *   lingers   set while the id is in the ring, under the ring's lock (a leaf). The inode may be in
 *             use again: then it is left alone when its turn comes, and enters anew when forgotten.
 *
 * Ids are made up anew by each daemon. The generation that the guest sees with an id is a random
 * number of the session, so that a handle from an earlier one is stale and not another file.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/sysmacros.h>

#include "host_path.h"
#include "inode.h"
#include "inode_table.h"
#include "scope.h"
#include "server.h"

/* Each step from a directory up to the share's root costs two system calls. */
#define DEPTH_MAX 4096

static bool may_linger(struct inode_table *table, const struct inode *inode)
{
    const struct session *session = &table->server->session;
    if (!atomic_load(&session->ready) || !session_has(session, FUSE_EXPORT_SUPPORT))
        return false;
    if (!S_ISREG(inode->type) && !S_ISDIR(inode->type) && !S_ISLNK(inode->type))
        return false;
    /* One that keeps its descriptor has lost its last name, or never had any. */
    bool pinned = atomic_load(&inode->fd) >= 0 && inode->cache_slot == INODE_CACHE_NO_SLOT;
    return inode->handle_length && !pinned && inode->mount == table->slab[INODE_ROOT].mount;
}

bool inode_linger(struct inode_table *table, struct inode *inode, uint64_t *ret_oldest)
{
    struct inode_ring *ring = &table->ring;
    *ret_oldest = 0;
    if (!may_linger(table, inode))
        return false;
    pthread_mutex_lock(&ring->lock);
    if (!inode->lingers) {
        inode->lingers = true;
        uint64_t *place = &ring->ids[ring->next];
        *ret_oldest = *place;
        *place = inode_id(table, inode);
        ring->next = (ring->next + 1) % INODES_LINGERING_MAX;
        struct inode *oldest;
        if (*ret_oldest && inode_get(table, *ret_oldest, &oldest) == 0)
            oldest->lingers = false;
    }
    pthread_mutex_unlock(&ring->lock);
    inode_cache_drop(table, inode);
    return true;
}

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
    int fd;
    int error = inode_fd(thread, inode, &fd);
    if (error)
        return error;
    if (inode == &table->slab[INODE_ROOT])
        return host_stat_fd(fd, ret_attributes);
    struct inode *again;
    error = inode_of_file(thread, fd, &again, ret_attributes);
    if (error || again == inode)
        return error;
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
