// SPDX-License-Identifier: BSD-3-Clause
#include "op_lookup.h"

#include <errno.h>
#include <string.h>

#include "cachepol.h"
#include "owner.h"
#include "server.h"
#include "wire_attr.h"

int op_name_in_parent(struct fuse_req *req, const char **ret_name, int *ret_dirfd)
{
    int error = req_name(req, ret_name);
    return error ? error : inode_fd(req->thread, req->inode, ret_dirfd);
}

/* Replies with an inode on which a lookup was counted. */
static int reply_found(struct fuse_req *req, struct inode *inode, struct statx *attributes,
                       bool submount)
{
    uint64_t nodeid = inode_id(req->server->inodes, inode);
    int error = dax_tell(req->thread, inode, attributes);
    if (!error)
        error = owner_show(req->thread, inode, attributes);
    if (!error) {
        struct fuse_entry_out entry = wire_entry(req->server, inode, attributes, submount);
        error = req_reply(req, entry);
    }
    if (error)
        inode_forget(req->thread, nodeid, 1);
    return error;
}

typedef int lookup_way(struct fuse_thread *thread, struct inode *parent, const char *name,
                       struct inode **ret_inode, struct statx *ret_attributes, bool *ret_submount);

static int reply_looked_up(struct fuse_req *req, const char *name, lookup_way *look_up)
{
    struct inode *inode;
    struct statx attributes;
    bool submount;
    int error = look_up(req->thread, req->inode, name, &inode, &attributes, &submount);
    return error ? error : reply_found(req, inode, &attributes, submount);
}

int op_reply_entry(struct fuse_req *req, const char *name)
{
    return reply_looked_up(req, name, inode_lookup);
}

int op_reply_special(struct fuse_req *req, const char *name)
{
    return reply_looked_up(req, name, inode_lookup_special);
}

/* 1 for ".", 2 for "..", 0 for any other name. */
static unsigned count_dots(const struct fuse_req *req)
{
    if (req->tail_left == sizeof(".") && memcmp(req->tail, ".", sizeof(".")) == 0)
        return 1;
    return req->tail_left == sizeof("..") && memcmp(req->tail, "..", sizeof("..")) == 0 ? 2 : 0;
}

/* "." and "..": what a guest asks that has a file handle and nothing else. */
static int lookup_dots(struct fuse_req *req, unsigned dots)
{
    struct inode *inode = req->inode;
    struct statx attributes;
    int error = dots == 1 ? inode_again(req->thread, inode, &attributes)
                          : inode_parent(req->thread, inode, &inode, &attributes);
    return error ? error : reply_found(req, inode, &attributes, false);
}

/* There is no such name; where the policy says so, the guest may remember that. */
static int reply_missing(struct fuse_req *req)
{
    struct cache_time valid = cachepol_negative(req->server->settings);
    if (cache_time_is_none(valid))
        return -ENOENT;
    struct fuse_entry_out entry = {
        .nodeid = 0,
        .entry_valid = valid.seconds,
        .entry_valid_nsec = valid.nanoseconds,
    };
    return req_reply(req, entry);
}

int op_lookup(struct fuse_req *req)
{
    const char *name;
    unsigned dots = count_dots(req);
    if (dots && session_has(&req->server->session, FUSE_EXPORT_SUPPORT)) {
        host_cred_own(&req->thread->cred); /* the way up may lead through other mounts */
        return lookup_dots(req, dots);
    }
    int error = req_name(req, &name);
    if (error)
        return error;
    error = op_reply_entry(req, name);
    /* What is mounted at the name may be for the eyes of those who mounted it only. */
    if (error && error != -ENOENT && host_cred_own(&req->thread->cred))
        error = op_reply_entry(req, name);
    return error == -ENOENT ? reply_missing(req) : error;
}
