// SPDX-License-Identifier: BSD-3-Clause
/* UNLINK, RMDIR, RENAME, RENAME2. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "host_dir.h"
#include "host_path.h"
#include "op_lookup.h"
#include "server.h"

#define RENAME_KNOWN (RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT)

int op_unlink(struct fuse_req *req)
{
    const char *name;
    int dirfd;
    int error = op_name_in_parent(req, &name, &dirfd);
    return error ? error : host_unlink(dirfd, name);
}

/*
 * A process of the guest may still be in the directory, which no open file shows to the host: so
 * its inode keeps a descriptor from here on, or it would be stale at once. (A regular file that is
 * in use is open; FIFOs and the like always have a descriptor.)
 */
int op_rmdir(struct fuse_req *req)
{
    const char *name;
    int dirfd;
    struct inode *victim;
    struct statx attributes;
    bool submount;
    int victim_fd;
    int error = op_name_in_parent(req, &name, &dirfd);
    if (!error)
        error = inode_lookup(req->thread, req->inode, name, &victim, &attributes, &submount);
    if (error)
        return error;
    error = inode_fd(req->thread, victim, &victim_fd);
    if (!error)
        error = host_rmdir(dirfd, name);
    if (!error)
        inode_keep(req->server->inodes, victim);
    inode_forget(req->thread, inode_id(req->server->inodes, victim), 1);
    return error;
}

/*
 * The directory that a rename is going to replace, with one lookup counted and a descriptor, or
 * NULL: a process of the guest may be in it, as with RMDIR.
 */
static struct inode *find_replaced(struct fuse_req *req, struct inode *parent, int dirfd,
                                   const char *name)
{
    struct statx attributes;
    struct inode *victim;
    bool submount;
    int fd;
    if (host_stat_name(dirfd, name, &attributes) < 0 || !S_ISDIR(attributes.stx_mode) ||
        inode_lookup(req->thread, parent, name, &victim, &attributes, &submount) < 0)
        return NULL;
    inode_fd(req->thread, victim, &fd);
    return victim;
}

static void drop_replaced(struct fuse_req *req, struct inode *victim, bool is_gone)
{
    if (victim && is_gone)
        inode_keep(req->server->inodes, victim);
    if (victim)
        inode_forget(req->thread, inode_id(req->server->inodes, victim), 1);
}

static int rename_entry(struct fuse_req *req, uint64_t new_parent, uint32_t flags)
{
    if (flags & ~(uint32_t)RENAME_KNOWN)
        return -EINVAL;
    const char *from;
    const char *to;
    struct inode *to_parent;
    int from_dirfd;
    int to_dirfd;
    int error = req_name(req, &from);
    if (!error)
        error = req_name(req, &to);
    if (!error)
        error = inode_get(req->server->inodes, new_parent, &to_parent);
    if (!error)
        error = inode_fd(req->thread, req->inode, &from_dirfd);
    if (!error)
        error = inode_fd(req->thread, to_parent, &to_dirfd);
    if (error)
        return error;
    struct inode *replaced = NULL;
    if (!(flags & (RENAME_EXCHANGE | RENAME_NOREPLACE)))
        replaced = find_replaced(req, to_parent, to_dirfd, to);
    if (!(flags & RENAME_WHITEOUT)) {
        error = host_rename(from_dirfd, from, to_dirfd, to, flags);
        drop_replaced(req, replaced, !error);
        return error;
    }

    /* A whiteout is a new file, and whose it is depends on who asks. */
    struct host_cred *cred = &req->thread->cred;
    error = host_cred_assume(cred, req->header.uid, req->header.gid);
    if (!error) {
        error = host_rename(from_dirfd, from, to_dirfd, to, flags);
        host_cred_restore(cred, req->header.uid, req->header.gid);
    }
    drop_replaced(req, replaced, !error);
    return error;
}

int op_rename(struct fuse_req *req)
{
    return rename_entry(req, req->args.rename.newdir, 0);
}

int op_rename2(struct fuse_req *req)
{
    return rename_entry(req, req->args.rename2.newdir, req->args.rename2.flags);
}
