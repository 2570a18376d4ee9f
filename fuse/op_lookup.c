// SPDX-License-Identifier: BSD-3-Clause
#include "op_lookup.h"

#include <errno.h>

#include "cachepol.h"
#include "server.h"
#include "wire_attr.h"

int op_name_in_parent(struct fuse_req *req, const char **ret_name, int *ret_dirfd)
{
    int error = req_name(req, ret_name);
    return error ? error : inode_fd(req->thread, req->inode, ret_dirfd);
}

int op_reply_entry(struct fuse_req *req, const char *name)
{
    struct inode *inode;
    struct statx attributes;
    bool submount;
    int error = inode_lookup(req->thread, req->inode, name, &inode, &attributes, &submount);
    if (error)
        return error;

    uint64_t nodeid = inode_id(req->server->inodes, inode);
    error = dax_tell(req->thread, inode, &attributes);
    if (!error) {
        struct fuse_entry_out entry = wire_entry(req->server, inode, &attributes, submount);
        error = req_reply(req, entry);
    }
    if (error)
        inode_forget(req->thread, nodeid, 1);
    return error;
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
    int error = req_name(req, &name);
    if (!error)
        error = op_reply_entry(req, name);
    return error == -ENOENT ? reply_missing(req) : error;
}
