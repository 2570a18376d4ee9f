// SPDX-License-Identifier: BSD-3-Clause
/* GETATTR, SETATTR, READLINK. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>

#include "cachepol.h"
#include "host_attr.h"
#include "host_io.h"
#include "host_path.h"
#include "idtrans.h"
#include "owner.h"
#include "scope.h"
#include "server.h"
#include "setid.h"
#include "wire_attr.h"

#define FATTR_KNOWN                                                                           \
    (FATTR_MODE | FATTR_UID | FATTR_GID | FATTR_SIZE | FATTR_ATIME | FATTR_MTIME | FATTR_FH | \
     FATTR_ATIME_NOW | FATTR_MTIME_NOW | FATTR_LOCKOWNER | FATTR_CTIME | FATTR_KILL_SUIDGID)
/* The time of change is the host's own. */
#define FATTR_SETS   (FATTR_MODE | FATTR_UID | FATTR_GID | FATTR_SIZE | FATTR_ATIME | FATTR_MTIME)

#define NSEC_PER_SEC 1000000000u

/* From the host's attributes of the inode to those that the guest is told. */
static int tell_attributes(struct fuse_req *req, struct statx *attributes)
{
    int error = dax_tell(req->thread, req->inode, attributes);
    return error ? error : owner_show(req->thread, req->inode, attributes);
}

static int reply_attributes(struct fuse_req *req, int fd)
{
    struct statx attributes;
    int error = host_stat_basic(fd, &attributes);
    if (!error)
        error = tell_attributes(req, &attributes);
    if (error)
        return error;
    struct cache_time valid = cachepol_attributes(req->server->settings);
    struct fuse_attr_out out = {
        .attr_valid = valid.seconds,
        .attr_valid_nsec = valid.nanoseconds,
        .attr = wire_attr(req->server, req->inode, &attributes),
    };
    return req_reply(req, out);
}

/* By the open file that the guest names, or by inode. */
static int attributes_fd(struct fuse_req *req, uint32_t getattr_flags, uint64_t fh, int *ret_fd)
{
    if (!(getattr_flags & FUSE_GETATTR_FH) || opens_is_none(req, fh))
        return inode_fd(req->thread, req->inode, ret_fd);
    struct handle *handle;
    int error = handle_get(req->thread, HANDLE_FILE, fh, req->header.nodeid, &handle);
    if (!error)
        *ret_fd = handle->fd;
    return error;
}

int op_getattr(struct fuse_req *req)
{
    const struct fuse_getattr_in *in = &req->args.getattr;
    int fd;
    int error = attributes_fd(req, in->getattr_flags, in->fh, &fd);
    return error ? error : reply_attributes(req, fd);
}

/*
 * What is asked for is a hint, as in statx(2): all that GETATTR tells comes always, because the
 * guest's kernel has room for it anyway, and birth wherever the host has it.
 */
int op_statx(struct fuse_req *req)
{
    const struct fuse_abi_statx_in *in = &req->args.statx;
    if (in->sx_flags & ~(uint32_t)AT_STATX_SYNC_TYPE)
        return -EINVAL;
    int fd;
    struct statx attributes;
    int error = attributes_fd(req, in->getattr_flags, in->fh, &fd);
    if (!error)
        error = host_stat_synced(fd, (int)in->sx_flags, &attributes);
    if (!error)
        error = tell_attributes(req, &attributes);
    if (error)
        return error;
    struct cache_time valid = cachepol_attributes(req->server->settings);
    struct fuse_abi_statx_out out = {
        .attr_valid = valid.seconds,
        .attr_valid_nsec = valid.nanoseconds,
        .stat = wire_statx(req->server, req->inode, &attributes),
    };
    return req_reply(req, out);
}

/* A request that sets nothing is a chown(-1, -1) of the guest's: the time of change moves. */
static int set_owner(struct fuse_req *req, const struct fuse_setattr_in *in, int fd)
{
    if ((in->valid & FATTR_SETS) && !(in->valid & (FATTR_UID | FATTR_GID)))
        return 0;
    uid_t uid = in->valid & FATTR_UID ? in->uid : (uid_t)-1;
    gid_t gid = in->valid & FATTR_GID ? in->gid : (gid_t)-1;
    /* "No id" cannot be asked for: the host would take it as "leave it alone". */
    if (((in->valid & FATTR_UID) && uid == (uid_t)-1) ||
        ((in->valid & FATTR_GID) && gid == (gid_t)-1))
        return -EINVAL;
    int error = idtrans_owner_to_host(req->server->settings, uid, gid, &uid, &gid);
    /* The bits go for everybody; S_ISGID without group execution stays for root. */
    if (!error)
        error = host_cred_fsetid(&req->thread->cred, true);
    if (!error && !S_ISDIR(req->inode->type))
        error = setid_drop_capability(req, fd);
    return error ? error : host_chown(fd, uid, gid);
}

static int set_mode(struct fuse_req *req, const struct fuse_setattr_in *in, int fd)
{
    if (!(in->valid & FATTR_MODE))
        return 0;
    if (S_ISLNK(req->inode->type))
        return -EOPNOTSUPP;
    /* The guest's kernel has decided about S_ISGID; without CAP_FSETID the host would again. */
    int error = host_cred_fsetid(&req->thread->cred, true);
    return error ? error : host_chmod(fd, in->mode & 07777);
}

static int set_owner_and_mode(struct fuse_req *req, const struct fuse_setattr_in *in, int fd)
{
    int error = 0;
    if (owner_kept(req->server) && (in->valid & FATTR_SETS)) {
        if ((in->valid & (FATTR_UID | FATTR_GID)) && !S_ISDIR(req->inode->type))
            error = setid_drop_capability(req, fd);
        return error ? error : owner_change(req->thread, req->inode, fd, in);
    }
    error = set_owner(req, in, fd);
    return error ? error : set_mode(req, in, fd);
}

/*
 * Without OPEN, cutting a file to nothing may be an open() with O_TRUNC, and with FATTR_FH it is
 * ftruncate(): both set the times even if the file had that size before; truncate(2) does not.
 */
static int set_size_unopened(struct fuse_req *req, const struct fuse_setattr_in *in, int fd)
{
    if (!opens_is_none(req, 0) || (in->size > 0 && !(in->valid & FATTR_FH)))
        return host_truncate_path(fd, (off_t)in->size);
    int file;
    int error = opens_file(req, req->header.nodeid, 0, true, &file);
    return error ? error : host_truncate(file, (off_t)in->size);
}

/* file: the open file that the guest names, NULL: none. */
static int set_size(struct fuse_req *req, const struct fuse_setattr_in *in,
                    const struct handle *file, int fd)
{
    if (!(in->valid & FATTR_SIZE))
        return 0;
    if (in->size > INT64_MAX)
        return -EINVAL;
    if (S_ISDIR(req->inode->type))
        return -EISDIR;
    if (!S_ISREG(req->inode->type))
        return -EINVAL;

    int error = setid_prepare(req, req->inode, fd, in->valid & FATTR_KILL_SUIDGID);
    if (!error)
        error = dax_before_resize(req->thread, req->inode, in->size);
    if (!error && file && (__atomic_load_n(&file->flags, __ATOMIC_RELAXED) & O_ACCMODE) != O_RDONLY)
        error = host_truncate(file->fd, (off_t)in->size);
    else if (!error)
        error = set_size_unopened(req, in, fd);
    int mapped = dax_after(req->thread, req->inode, error ? INT64_MAX : in->size);
    return error ? error : mapped;
}

static int set_times(const struct fuse_setattr_in *in, int fd)
{
    if (!(in->valid & (FATTR_ATIME | FATTR_MTIME)))
        return 0;
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_OMIT}};
    /* utimensat() gives meanings to numbers that are no nanoseconds: they are not the guest's. */
    if (in->valid & FATTR_ATIME) {
        if (in->valid & FATTR_ATIME_NOW)
            times[0].tv_nsec = UTIME_NOW;
        else if (in->atimensec < NSEC_PER_SEC)
            times[0] = (struct timespec){(time_t)in->atime, in->atimensec};
        else
            return -EINVAL;
    }
    if (in->valid & FATTR_MTIME) {
        if (in->valid & FATTR_MTIME_NOW)
            times[1].tv_nsec = UTIME_NOW;
        else if (in->mtimensec < NSEC_PER_SEC)
            times[1] = (struct timespec){(time_t)in->mtime, in->mtimensec};
        else
            return -EINVAL;
    }
    return host_set_times(fd, times);
}

/*
 * In one request a local kernel sets everything at once. As several calls, owner comes before mode
 * because a change of owner takes setuid and setgid bits away, which a mode given with it then
 * sets as asked; size comes before the times because it changes them.
 */
int op_setattr(struct fuse_req *req)
{
    const struct fuse_setattr_in *in = &req->args.setattr;
    if (in->valid & ~FATTR_KNOWN)
        return -EINVAL;

    struct handle *file = NULL;
    int fd;
    /* What was stored in the window came before this, and must not change times that are set now.
     */
    int error = dax_before(req->thread, req->inode, 0);
    if (error)
        return error;
    if ((in->valid & FATTR_FH) && !opens_is_none(req, in->fh)) {
        error = handle_get(req->thread, HANDLE_FILE, in->fh, req->header.nodeid, &file);
        if (!error)
            fd = file->fd;
    } else {
        error = inode_fd(req->thread, req->inode, &fd);
    }
    if (!error)
        error = set_owner_and_mode(req, in, fd);
    if (!error)
        error = set_size(req, in, file, fd);
    if (!error)
        error = set_times(in, fd);
    return error ? error : reply_attributes(req, fd);
}

int op_readlink(struct fuse_req *req)
{
    if (!S_ISLNK(req->inode->type))
        return -EINVAL;
    int fd;
    int error = inode_fd(req->thread, req->inode, &fd);
    if (error)
        return error;
    size_t length;
    error = host_readlink(fd, req->thread->buffer, PATH_MAX, &length);
    if (error)
        return error;
    if (length == PATH_MAX)
        return -ENAMETOOLONG; /* it may have been cut */
    return wire_out_put(&req->out, req->thread->buffer, length);
}
