// SPDX-License-Identifier: BSD-3-Clause
#include "setid.h"

#include <errno.h>
#include <linux/xattr.h>
#include <string.h>

#include "host_attr.h"
#include "host_path.h"
#include "host_xattr.h"
#include "owner.h"
#include "xattrmap.h"

void setid_init(struct fuse_server *server)
{
    char room[XATTRMAP_NAME_MAX];
    const char *host;
    int error = xattrmap_to_host(server->settings->xattr_rules, XATTR_NAME_CAPS, room, &host);
    if (!error && strcmp(host, XATTR_NAME_CAPS) != 0)
        strcpy(server->capability_name, host);
}

static bool left_to_us(const struct fuse_req *req)
{
    return session_has(&req->server->session, FUSE_HANDLE_KILLPRIV_V2);
}

int setid_drop_capability(const struct fuse_req *req, int fd)
{
    if (!req->server->capability_name[0])
        return 0;
    int error = host_xattr_remove(fd, req->server->capability_name);
    /* There is none, or none can be on such a file. */
    return error == -ENODATA || error == -EOPNOTSUPP || error == -EPERM ? 0 : error;
}

/* Where S_ISGID has to stay, nothing goes by itself: what has to, goes here. */
static int spare_group_bit(struct fuse_req *req, int fd)
{
    struct statx attributes;
    int error = host_stat_fd(fd, &attributes);
    if (error || (attributes.stx_mode & (S_ISGID | S_IXGRP)) != S_ISGID)
        return error;
    error = host_cred_fsetid(&req->thread->cred, true);
    if (!error && (attributes.stx_mode & S_ISUID))
        error = host_chmod(fd, attributes.stx_mode & 07777 & ~S_ISUID);
    return error;
}

int setid_prepare(struct fuse_req *req, struct inode *inode, int fd, bool kill)
{
    uint32_t uid = req->header.uid;
    bool stay = left_to_us(req) ? !kill : uid == 0 || uid == UINT32_MAX;
    /* Without CAP_FSETID the host asks whether this thread is of the file's group. */
    if (!stay)
        host_cred_own(&req->thread->cred);
    int error = host_cred_fsetid(&req->thread->cred, stay);
    /* The bits that --owner-xattr keeps are not the host's: what says that they go is the request.
     */
    if (!error && (kill || !stay))
        error = owner_kill_set_id(req->thread, inode);
    if (!error && kill && left_to_us(req))
        error = spare_group_bit(req, fd);
    return error ? error : setid_drop_capability(req, fd);
}

int setid_prepare_untold(struct fuse_req *req, struct inode *inode, int fd)
{
    return setid_prepare(req, inode, fd, left_to_us(req) && req->header.uid != 0);
}

int setid_prepare_write(struct fuse_req *req, struct inode *inode, int fd, uint32_t write_flags)
{
    if (left_to_us(req) || !(write_flags & FUSE_WRITE_CACHE))
        return setid_prepare(req, inode, fd, write_flags & FUSE_WRITE_KILL_SUIDGID);
    return host_cred_fsetid(&req->thread->cred, true);
}
