// SPDX-License-Identifier: BSD-3-Clause
/* UNLINK, RMDIR, RENAME, RENAME2. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "host_dir.h"
#include "idtrans.h"
#include "op_lookup.h"
#include "owner.h"
#include "server.h"

#define RENAME_KNOWN (RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT)

/*
 * The guest may hold what loses its last name without having it open here: a process is in the
 * directory, has the file by O_PATH, or open without OPEN. So its inode keeps a descriptor from
 * then on, until the guest forgets it; its file handle would be stale at once. That there is no
 * such file (then inode is NULL), or no descriptor left for it, is no reason not to remove it.
 */
static struct inode_victim find_victim(struct fuse_req *req, struct inode *parent, const char *name)
{
    struct inode_victim victim;
    if (inode_lookup_last(req->thread, parent, name, &victim) < 0)
        victim.inode = NULL;
    return victim;
}

static void drop_victim(struct fuse_req *req, const struct inode_victim *victim, bool is_gone)
{
    struct inode_table *table = req->server->inodes;
    if (!victim->inode)
        return;
    /* Its descriptor may have been evicted meanwhile: then the request's own leads to it. */
    bool is_kept =
        is_gone && (inode_keep(table, victim->inode) ||
                    (victim->fd >= 0 && inode_hold(req->thread, victim->inode, victim->fd) == 0));
    /* Elsewhere closing may take any time, and the janitor is for all. */
    if (is_kept && victim->is_large && inode_closes_silently(table, victim->inode))
        inode_mark_large(victim->inode);
    inode_forget(req->thread, inode_id(table, victim->inode), 1);
}

static int remove_entry(struct fuse_req *req, int (*call)(int dirfd, const char *name))
{
    const char *name;
    int dirfd;
    int error = op_name_in_parent(req, &name, &dirfd);
    if (error)
        return error;
    struct inode_victim victim = find_victim(req, req->inode, name);
    error = call(dirfd, name);
    drop_victim(req, &victim, !error);
    return error;
}

int op_unlink(struct fuse_req *req)
{
    return remove_entry(req, host_unlink);
}

int op_rmdir(struct fuse_req *req)
{
    return remove_entry(req, host_rmdir);
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
    struct inode_victim replaced = {0};
    /* Which removes nothing. */
    bool to_itself = req->inode == to_parent && strcmp(from, to) == 0;
    if (!to_itself && !(flags & (RENAME_EXCHANGE | RENAME_NOREPLACE)))
        replaced = find_victim(req, to_parent, to);
    if (!(flags & RENAME_WHITEOUT) || owner_kept(req->server)) {
        error = host_rename(from_dirfd, from, to_dirfd, to, flags);
        drop_victim(req, &replaced, !error);
        return error;
    }

    /* A whiteout is a new file, and whose it is depends on who asks. */
    struct host_cred *cred = &req->thread->cred;
    struct host_ids ids = {0};
    error = idtrans_owner_to_host(req->server->settings, req->header.uid, req->header.gid, &ids.uid,
                                  &ids.gid);
    if (!error)
        error = host_cred_assume(cred, &ids);
    if (!error) {
        error = host_rename(from_dirfd, from, to_dirfd, to, flags);
        host_cred_own(cred);
    }
    drop_victim(req, &replaced, !error);
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
