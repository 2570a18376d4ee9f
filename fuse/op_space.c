// SPDX-License-Identifier: BSD-3-Clause
/* FALLOCATE, LSEEK, COPY_FILE_RANGE: where a file has data, and where it gets it from. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <unistd.h>

#include "host_io.h"
#include "server.h"
#include "setid.h"

/* The reply counts in 32 bits; whole pages, so that the next request starts on a page again. */
#define COPY_MAX ((size_t)INT_MAX & ~(size_t)4095)

static bool is_known_mode(uint32_t mode)
{
    switch (mode) {
    case 0:
    case FALLOC_FL_KEEP_SIZE:
    case FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE:
    case FALLOC_FL_ZERO_RANGE:
    case FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE:
        return true;
    default:
        return false;
    }
}

/* After a call outside the epoch: the window shows what it has done to the file. */
static int show_change(struct fuse_req *req, uint64_t nodeid, uint64_t end)
{
    struct inode *inode;
    if (!req->server->dax)
        return 0;
    epoch_enter(req->server->epochs, req->thread->epoch);
    if (inode_get(req->server->inodes, nodeid, &inode) < 0)
        return 0; /* forgotten meanwhile: nobody is looking */
    return dax_after(req->thread, inode, end);
}

int op_fallocate(struct fuse_req *req)
{
    const struct fuse_fallocate_in *in = &req->args.fallocate;
    int fd;
    int error = opens_file(req, req->header.nodeid, in->fh, true, &fd);
    if (error)
        return error;
    if (!is_known_mode(in->mode))
        return -EOPNOTSUPP;
    if (in->offset > INT64_MAX || in->length > INT64_MAX)
        return -EINVAL;
    uint64_t end = in->mode & FALLOC_FL_KEEP_SIZE ? 0 : in->offset + in->length;
    error = setid_prepare_untold(req, req->inode, fd);
    if (!error)
        error = dax_before(req->thread, req->inode, end);
    if (!error)
        error = req_step_out(req, (int *[]){&fd}, 1);
    if (error)
        return error;
    error = host_allocate(fd, (int)in->mode, (off_t)in->offset, (off_t)in->length);
    int mapped = show_change(req, req->header.nodeid, end);
    return error ? error : mapped;
}

/*
 * The descriptor's position is nobody's: reads and writes carry their offset. The guest's kernel
 * asks for SEEK_DATA and SEEK_HOLE; it knows the other answers, but they are right here, too.
 */
int op_lseek(struct fuse_req *req)
{
    const struct fuse_lseek_in *in = &req->args.lseek;
    int fd;
    int error = opens_file(req, req->header.nodeid, in->fh, false, &fd);
    if (error)
        return error;
    switch (in->whence) {
    case SEEK_SET:
    case SEEK_CUR:
    case SEEK_END:
    case SEEK_DATA:
    case SEEK_HOLE:
        break;
    default:
        return -EINVAL;
    }
    off_t offset;
    error = dax_before(req->thread, req->inode, 0);
    if (error)
        return error;
    error = host_seek(fd, (off_t)in->offset, (int)in->whence, &offset);
    if (error)
        return error;
    struct fuse_lseek_out out = {.offset = (uint64_t)offset};
    return req_reply(req, out);
}

/* Copies at most max bytes. */
static int copy(struct fuse_req *req, size_t max, size_t *ret_length)
{
    const struct fuse_copy_file_range_in *in = &req->args.copy_file_range;
    int from;
    int to;
    int error = opens_file(req, req->header.nodeid, in->fh_in, false, &from);
    if (!error)
        error = opens_file(req, in->nodeid_out, in->fh_out, true, &to);
    if (error)
        return error;
    if (in->flags || in->off_in > INT64_MAX || in->off_out > INT64_MAX)
        return -EINVAL;
    /* Of the whole length, as the host would see it. */
    if (in->off_in + in->len < in->off_in || in->off_out + in->len < in->off_out)
        return -EOVERFLOW;
    size_t length = in->len < max ? (size_t)in->len : max;
    struct inode *target;
    error = inode_get(req->server->inodes, in->nodeid_out, &target);
    if (!error)
        error = setid_prepare_untold(req, target, to);
    if (!error)
        error = dax_before(req->thread, req->inode, 0);
    if (!error)
        error = dax_before(req->thread, target, in->off_out + length);
    if (!error)
        error = req_step_out(req, (int *[]){&from, &to}, 2);
    if (error)
        return error;

    error = host_copy_range(from, (off_t)in->off_in, to, (off_t)in->off_out, length, ret_length);
    return error ? error : show_change(req, in->nodeid_out, in->off_out + length);
}

int op_copy_file_range(struct fuse_req *req)
{
    size_t length;
    int error = copy(req, COPY_MAX, &length);
    if (error)
        return error;
    struct fuse_write_out out = {.size = (uint32_t)length};
    return req_reply(req, out);
}

/* Some host file systems copy more than 2 GiB in one call; the window takes no more at a time. */
int op_copy_file_range_64(struct fuse_req *req)
{
    size_t length;
    int error = copy(req, req->server->dax ? COPY_MAX : SSIZE_MAX, &length);
    if (error)
        return error;
    struct fuse_abi_copy_file_range_out out = {.bytes_copied = length};
    return req_reply(req, out);
}
