// SPDX-License-Identifier: BSD-3-Clause
/*
 * READ and WRITE: data goes straight between the guest's pages and the file. Nothing is copied,
 * allocated or looked at.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>

#include "host_io.h"
#include "mounts.h"
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

/* *ret_handle: NULL where files are read and written without being opened. */
static int get_file(struct fuse_req *req, uint64_t fh, uint32_t wanted, bool write, int *ret_fd,
                    struct handle **ret_handle)
{
    *ret_handle = NULL;
    if (opens_is_none(req, fh))
        return opens_file(req, req->header.nodeid, fh, write, ret_fd);
    struct handle *handle;
    int error = handle_get(req->thread, HANDLE_FILE, fh, req->header.nodeid, &handle);
    if (error)
        return error;
    *ret_fd = handle->fd;
    *ret_handle = handle;
    return req->server->settings->allow_direct_io ? follow_direct_io(handle, wanted) : 0;
}

static bool range_fits(uint64_t offset, uint32_t size)
{
    return offset <= (uint64_t)INT64_MAX - size;
}

/* tmpfs, for one, always waits, which is never long there: asking it each time is a waste. */
static bool may_ask(const struct fuse_req *req, const struct handle *handle)
{
    if (handle && atomic_load_explicit(&handle->always_waits, memory_order_relaxed))
        return false;
    return !atomic_load_explicit(&req->server->always_waits, memory_order_relaxed) ||
           !mounts_is_share(req->inode->mount);
}

static void ask_no_more(struct fuse_req *req, struct handle *handle)
{
    if (mounts_is_share(req->inode->mount))
        atomic_store_explicit(&req->server->always_waits, true, memory_order_relaxed);
    else if (handle)
        atomic_store_explicit(&handle->always_waits, true, memory_order_relaxed);
}

/*
 * O_DIRECT waits for the disk each time, even with RWF_NOWAIT, and is what programs use that keep
 * many requests under way.
 */
static bool is_direct(const struct handle *handle)
{
    return handle && (__atomic_load_n(&handle->flags, __ATOMIC_RELAXED) & O_DIRECT);
}

/*
 * What is in the host's page cache is read at once. For the rest somebody else takes over the
 * queue first; and as a disk may take its time, nothing of the tables is held meanwhile.
 */
static int read_file(struct fuse_req *req, int fd, struct handle *handle, struct host_read *read)
{
    off_t offset = (off_t)req->args.read.offset;
    bool direct = is_direct(handle);
    if (!direct && !may_ask(req, handle))
        return host_read(fd, offset, 0, read);
    int error = direct ? -EAGAIN : host_read(fd, offset, RWF_NOWAIT, read);
    if (error == -EOPNOTSUPP) {
        ask_no_more(req, handle);
    } else if (error == -EAGAIN) {
        error = req_step_out(req, (int *[]){&fd}, 1);
        if (error)
            return error;
    } else {
        return error;
    }
    return host_read(fd, offset, 0, read);
}

/*
 * A READ behind a WRITE to the same file must not overtake it: Linux would keep what it has read in
 * its cache, where the written data was a moment ago. A queue's WRITEs are run in their order
 * (F_IN_ORDER), but for those that are stuck.
 */
static void wait_for_writes(struct fuse_req *req)
{
    if (!atomic_load_explicit(&req->server->stuck_requests, memory_order_relaxed))
        return;
    while (epoch_is_written(req->server->epochs, req->header.nodeid))
        poll(NULL, 0, 1);
}

int op_read(struct fuse_req *req)
{
    const struct fuse_read_in *in = &req->args.read;
    struct handle *handle;
    int fd;
    int error = get_file(req, in->fh, in->flags, false, &fd, &handle);
    if (error)
        return error;
    if (!range_fits(in->offset, in->size))
        return -EINVAL;

    wait_for_writes(req);
    struct host_read read = {0};
    size_t size = in->size < req->out.room ? in->size : req->out.room;
    error = dax_before(req->thread, req->inode, 0);
    if (error)
        return error;
    error = wire_out_pieces(&req->out, size, &read.pieces, &read.count);
    if (!error)
        error = read_file(req, fd, handle, &read);
    if (error)
        return error;
    wire_out_filled(&req->out, read.length);
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

/*
 * Nothing is ahead of a direct write that must not overtake it, and nothing behind it either: the
 * guest's kernel drops what it has cached of the place before and after. With a window the inode
 * is still wanted afterwards, so the request does not step out.
 */
static int write_file(struct fuse_req *req, int fd, const struct handle *handle,
                      struct iovec *pieces, unsigned count, bool append, size_t *ret_length)
{
    const struct fuse_write_in *in = &req->args.write;
    if (is_direct(handle) && !req->server->dax) {
        int error = req_step_out(req, (int *[]){&fd}, 1);
        if (error)
            return error;
    }
    _Atomic uint64_t *writes = &req->thread->epoch->writes;
    atomic_store_explicit(writes, req->header.nodeid, memory_order_release);
    int error = host_write(fd, pieces, count, (off_t)in->offset, write_how(in, append), ret_length);
    atomic_store_explicit(writes, 0, memory_order_release);
    return error;
}

int op_write(struct fuse_req *req)
{
    const struct fuse_write_in *in = &req->args.write;
    struct handle *handle;
    int fd;
    int error = get_file(req, in->fh, in->flags, true, &fd, &handle);
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
    uint64_t end = append ? INT64_MAX : in->offset + in->size;
    if (!error)
        error = dax_before(req->thread, req->inode, end);
    if (!error)
        error = write_file(req, fd, handle, pieces, count, append, &length);
    if (!error)
        error = dax_after(req->thread, req->inode, end);
    if (error)
        return error;
    struct fuse_write_out out = {.size = (uint32_t)length};
    return req_reply(req, out);
}
