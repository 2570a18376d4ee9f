// SPDX-License-Identifier: BSD-3-Clause
/* SETUPMAPPING, REMOVEMAPPING: pages of files in the guest's DAX window. */
#include <errno.h>

#include "server.h"

/* What Linux sends at the most: a page full of them. */
#define REMOVALS_MAX (4096 / sizeof(struct fuse_removemapping_one))

/* Whole ranges inside the window, as INIT told the guest with map_alignment. */
static bool is_window_part(const struct fuse_server *server, uint64_t offset, uint64_t length)
{
    uint64_t size = server->settings->dax_window;
    return (offset | length) % DAX_RANGE_SIZE == 0 && length && length <= size &&
           offset <= size - length;
}

static bool in_session(const struct fuse_server *server)
{
    return server->dax && session_has(&server->session, FUSE_MAP_ALIGNMENT);
}

int op_setupmapping(struct fuse_req *req)
{
    const struct fuse_setupmapping_in *in = &req->args.setupmapping;
    if (!in_session(req->server))
        return -ENOSYS;
    if (!is_window_part(req->server, in->moffset, in->len) || in->foffset % DAX_RANGE_SIZE ||
        in->foffset > (uint64_t)INT64_MAX - in->len ||
        (in->flags & ~(FUSE_SETUPMAPPING_FLAG_READ | FUSE_SETUPMAPPING_FLAG_WRITE)))
        return -EINVAL;
    if (!S_ISREG(req->inode->type))
        return S_ISDIR(req->inode->type) ? -EISDIR : -ENODEV;
    bool stores = in->flags & FUSE_SETUPMAPPING_FLAG_WRITE;
    if (stores && req->server->settings->readonly)
        return -EROFS;
    return dax_map(req->thread, req->inode, in->foffset, in->moffset, in->len, stores);
}

int op_removemapping(struct fuse_req *req)
{
    uint32_t count = req->args.removemapping.count;
    if (!in_session(req->server))
        return -ENOSYS;
    if (count > REMOVALS_MAX)
        return -EINVAL;
    int result = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct fuse_removemapping_one one;
        int error = wire_in_copy(&req->in, &one, sizeof(one));
        if (!error && !is_window_part(req->server, one.moffset, one.len))
            error = -EINVAL;
        if (error)
            return error;
        error = dax_unmap(req->thread, one.moffset, one.len);
        if (error == -REQ_STOPPED)
            return error;
        if (error)
            result = error;
    }
    return result;
}
