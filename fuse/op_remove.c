// SPDX-License-Identifier: BSD-3-Clause
/* UNLINK, RMDIR, RENAME, RENAME2. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "host_dir.h"
#include "server.h"

#define RENAME_KNOWN (RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT)

static int take_out(struct fuse_req *req, int (*remover)(int dirfd, const char *name))
{
    const char *name;
    int dirfd;
    int error = req_name(req, &name);
    if (!error)
        error = inode_fd(req->thread, req->inode, &dirfd);
    return error ? error : remover(dirfd, name);
}

int op_unlink(struct fuse_req *req)
{
    return take_out(req, host_unlink);
}

int op_rmdir(struct fuse_req *req)
{
    return take_out(req, host_rmdir);
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
    if (!(flags & RENAME_WHITEOUT))
        return host_rename(from_dirfd, from, to_dirfd, to, flags);

    /* A whiteout is a new file, and whose it is depends on who asks. */
    struct host_cred *cred = &req->thread->cred;
    error = host_cred_assume(cred, req->header.uid, req->header.gid);
    if (error)
        return error;
    error = host_rename(from_dirfd, from, to_dirfd, to, flags);
    host_cred_restore(cred, req->header.uid, req->header.gid);
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
