// SPDX-License-Identifier: BSD-3-Clause
/* STATFS, ACCESS, SYNCFS. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "host_attr.h"
#include "host_io.h"
#include "host_path.h"
#include "idtrans.h"
#include "owner.h"
#include "scope.h"
#include "server.h"

int op_statfs(struct fuse_req *req)
{
    int fd;
    struct statfs host;
    int error = inode_fd(req->thread, req->inode, &fd);
    if (!error)
        error = host_statfs(fd, &host);
    if (error)
        return error;
    struct fuse_statfs_out out = {
        .st.blocks = host.f_blocks,
        .st.bfree = host.f_bfree,
        .st.bavail = host.f_bavail,
        .st.files = host.f_files,
        .st.ffree = host.f_ffree,
        .st.bsize = (uint32_t)host.f_bsize,
        .st.namelen = (uint32_t)host.f_namelen,
        .st.frsize = (uint32_t)(host.f_frsize ? host.f_frsize : host.f_bsize),
    };
    return req_reply(req, out);
}

/* The class of permission bits, shifted to the lowest three, that apply to the requester. */
static unsigned granted(const struct fuse_in_header *who, const struct statx *attributes)
{
    unsigned mode = attributes->stx_mode;
    if (who->uid == 0) {
        /* Root may do all, but execute only what somebody may execute. */
        bool executable = S_ISDIR(mode) || (mode & (S_IXUSR | S_IXGRP | S_IXOTH));
        return R_OK | W_OK | (executable ? X_OK : 0);
    }
    if (who->uid == attributes->stx_uid)
        return mode >> 6 & 7;
    if (who->gid == attributes->stx_gid)
        return mode >> 3 & 7;
    return mode & 7;
}

/*
 * Asked only by guests whose kernel does not check permissions itself. Decided from the mode, as
 * the host's access(2) would answer for the server, not for the guest's user.
 */
int op_access(struct fuse_req *req)
{
    uint32_t wanted = req->args.access.mask;
    if (wanted & ~(uint32_t)(R_OK | W_OK | X_OK))
        return -EINVAL;
    if ((wanted & W_OK) && req->server->settings->readonly)
        return -EROFS;
    int fd;
    struct statx attributes;
    int error = inode_fd(req->thread, req->inode, &fd);
    if (!error)
        error = host_stat_fd(fd, &attributes);
    if (!error)
        error = owner_show_fd(req->thread, fd, &attributes);
    if (error)
        return error;
    const struct settings *settings = req->server->settings;
    attributes.stx_uid = idtrans_to_guest(&settings->translate_uid, attributes.stx_uid);
    attributes.stx_gid = idtrans_to_guest(&settings->translate_gid, attributes.stx_gid);
    return wanted & ~granted(&req->header, &attributes) ? -EACCES : 0;
}

/*
 * The guest names the root directory of a superblock of its own. Linux has one for each submount
 * that was announced, and sends one request for each. The share's own stands for everything below,
 * too: for what is mounted there without being announced, and for what the guest has written to a
 * submount that it has let go of since. syncfs(2) takes no O_PATH descriptor.
 */
int op_syncfs(struct fuse_req *req)
{
    autoclose int fd = -1;
    bool all = req->header.nodeid == FUSE_ROOT_ID;
    struct inode_table *inodes = req->server->inodes;
    int error = inode_open(req->thread, req->inode, O_RDONLY | O_NONBLOCK, &fd);
    if (!error)
        error = dax_flush_all(req->thread);
    if (!error)
        error = req_step_out(req, NULL, 0);
    if (error)
        return error;
    return all ? inode_sync_mounts(inodes, fd) : host_sync_fs(fd);
}
