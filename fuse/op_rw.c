// SPDX-License-Identifier: BSD-3-Clause
/*
 * READ and WRITE: data goes straight between the guest's pages and the file. Nothing is copied,
 * allocated or looked at.
 */
#include <errno.h>
#include <fcntl.h>

#include "host_io.h"
#include "server.h"
#include "setid.h"

/*
 * The guest may switch O_DIRECT of an open file with fcntl(); its pages are then cached, and no
 * longer aligned as the host's O_DIRECT would have them. Two threads that disagree for a moment
 * do no harm: the last one wins, and the next request asks again.
 */
static int follow_direct_io(struct handle *handle, uint32_t wanted)
{
    uint32_t flags = __atomic_load_n(&handle->flags, __ATOMIC_RELAXED);
    if (!((flags ^ wanted) & O_DIRECT))
        return 0;
    int error = host_direct_io(handle->fd, wanted & O_DIRECT);
    if (!error)
        __atomic_store_n(&handle->flags, flags ^ O_DIRECT, __ATOMIC_RELAXED);
    return error;
}

static int get_file(struct fuse_req *req, uint64_t fh, uint32_t wanted, bool write, int *ret_fd)
{
    if (opens_is_none(req, fh))
        return opens_file(req, req->header.nodeid, fh, write, ret_fd);
    struct handle *handle;
    int error = handle_get(req->server->handles, HANDLE_FILE, fh, req->header.nodeid, &handle);
    if (error)
        return error;
    *ret_fd = handle->fd;
    return req->server->settings->allow_direct_io ? follow_direct_io(handle, wanted) : 0;
}

static bool range_fits(uint64_t offset, uint32_t size)
{
    return offset <= (uint64_t)INT64_MAX - size;
}

int op_read(struct fuse_req *req)
{
    const struct fuse_read_in *in = &req->args.read;
    int fd;
    int error = get_file(req, in->fh, in->flags, false, &fd);
    if (error)
        return error;
    if (!range_fits(in->offset, in->size))
        return -EINVAL;

    struct iovec *pieces;
    unsigned count;
    size_t size = in->size < req->out.room ? in->size : req->out.room;
    error = dax_before(req->thread, req->inode, 0);
    if (error)
        return error;
    error = wire_out_pieces(&req->out, size, &pieces, &count);
    size_t length;
    if (!error)
        error = host_read(fd, pieces, count, (off_t)in->offset, &length);
    if (error)
        return error;
    wire_out_filled(&req->out, length);
    return 0;
}

/* Pages that a write-back cache writes have their place; other writes follow the file's flags. */
static bool appends(const struct fuse_req *req, const struct fuse_write_in *in)
{
    return (in->flags & O_APPEND) && !(in->write_flags & FUSE_WRITE_CACHE) &&
           !session_has(&req->server->session, FUSE_WRITEBACK_CACHE);
}

/*
 * For one write: where it goes, and that it be on the disk when it ends, which a file may have been
 * opened for, with or without our knowing (RWF_DSYNC, opens.h).
 */
static int write_how(const struct fuse_write_in *in, bool append)
{
    int how = append ? RWF_APPEND : 0;
    if ((in->flags & O_SYNC) == O_SYNC)
        how |= RWF_SYNC;
    else if (in->flags & O_DSYNC)
        how |= RWF_DSYNC;
    return how;
}

int op_write(struct fuse_req *req)
{
    const struct fuse_write_in *in = &req->args.write;
    int fd;
    int error = get_file(req, in->fh, in->flags, true, &fd);
    if (error)
        return error;
    if (!range_fits(in->offset, in->size))
        return -EINVAL;
    error = setid_prepare_write(req, req->inode, fd, in->write_flags);
    if (error)
        return error;

    struct iovec *pieces;
    unsigned count;
    error = wire_in_pieces(&req->in, in->size, &pieces, &count);
    size_t length;
    bool append = appends(req, in);
    if (!error)
        error = dax_before(req->thread, req->inode, append ? INT64_MAX : in->offset + in->size);
    if (!error)
        error = host_write(fd, pieces, count, (off_t)in->offset, write_how(in, append), &length);
    if (error)
        return error;
    error = dax_after(req->thread, req->inode);
    if (error)
        return error;
    struct fuse_write_out out = {.size = (uint32_t)length};
    return req_reply(req, out);
}
