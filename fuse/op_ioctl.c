// SPDX-License-Identifier: BSD-3-Clause
/*
 * IOCTL: four calls about a file's flags, those of chattr(1), lsattr(1) and xfs_io(8). Everything
 * else is ENOTTY, as a local file system answers what it does not know: no ioctl goes to the host
 * by its number alone.
 *
 * Only the restricted form is there, where the number says how much goes in and out; Linux has
 * no other for file systems.
 *
 * Which flags a guest may change is a list, here: what concerns the file alone. Flags that change
 * how names or content are read (case folding, encryption, verity), and how a file system lays
 * things out, stay as they are. So does the project id with its inheritance: quotas by project are
 * how the host limits a share, and inside of a user namespace nobody may leave them either
 * (EINVAL). APPEND and IMMUTABLE are in the list; the host asks for CAP_LINUX_IMMUTABLE, which the
 * daemon has with --modcaps=+linux_immutable only, and says EPERM without.
 *
 * Whose file it is has been checked by the guest's kernel since it knows these calls (Linux 5.13).
 * Older ones pass them through as they come: for those it is checked here.
 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "host_ioctl.h"
#include "host_path.h"
#include "server.h"
#include "wire_attr.h"

/* 32-bit programs on 64-bit kernels; the numbers differ, the values do not. */
#ifndef FS_IOC32_GETFLAGS
#define FS_IOC32_GETFLAGS _IOR('f', 1, int)
#define FS_IOC32_SETFLAGS _IOW('f', 2, int)
#endif

/* Since this protocol (Linux 5.14) the guest's kernel surely checks permissions of these calls. */
#define GUEST_CHECKS_MINOR 34

#define FLAGS_ALLOWED                                                                       \
    (FS_SECRM_FL | FS_UNRM_FL | FS_COMPR_FL | FS_SYNC_FL | FS_IMMUTABLE_FL | FS_APPEND_FL | \
     FS_NODUMP_FL | FS_NOATIME_FL | FS_NOCOMP_FL | FS_JOURNAL_DATA_FL | FS_NOTAIL_FL |      \
     FS_DIRSYNC_FL | FS_TOPDIR_FL | FS_NOCOW_FL | FS_DAX_FL)
#define FLAGS_ROOT (FS_IMMUTABLE_FL | FS_APPEND_FL | FS_JOURNAL_DATA_FL)

#define XFLAGS_ALLOWED                                                                    \
    (FS_XFLAG_REALTIME | FS_XFLAG_PREALLOC | FS_XFLAG_IMMUTABLE | FS_XFLAG_APPEND |       \
     FS_XFLAG_SYNC | FS_XFLAG_NOATIME | FS_XFLAG_NODUMP | FS_XFLAG_RTINHERIT |            \
     FS_XFLAG_NOSYMLINKS | FS_XFLAG_EXTSIZE | FS_XFLAG_EXTSZINHERIT | FS_XFLAG_NODEFRAG | \
     FS_XFLAG_FILESTREAM | FS_XFLAG_DAX | FS_XFLAG_COWEXTSIZE)
#define XFLAGS_ROOT (FS_XFLAG_IMMUTABLE | FS_XFLAG_APPEND)

/* What a change of flags may do. */
struct allowance {
    uint32_t may;     /* change as the guest likes */
    uint32_t root;    /* of those: an older guest's root only */
    uint32_t project; /* never change */
};

static const struct allowance flags_allowance = {FLAGS_ALLOWED, FLAGS_ROOT, FS_PROJINHERIT_FL};
static const struct allowance xflags_allowance = {XFLAGS_ALLOWED, XFLAGS_ROOT,
                                                  FS_XFLAG_PROJINHERIT};

/* For guests whose kernel does not: is the requester the file's owner, or root? */
static int check_owner(struct fuse_req *req, int fd, uint32_t changed,
                       const struct allowance *allowance)
{
    if (req->header.uid == 0 || req->server->session.minor >= GUEST_CHECKS_MINOR)
        return 0;
    struct statx attributes;
    int error = host_stat_fd(fd, &attributes);
    if (error)
        return error;
    struct fuse_attr seen = wire_attr(req->server, req->inode, &attributes);
    return seen.uid != req->header.uid || (changed & allowance->root) ? -EPERM : 0;
}

/*
 * What the flags become. A flag that is not for the guest to change keeps its value when the guest
 * leaves it out, as chattr(1) does with flags that it does not know; setting it is refused.
 */
static int settle_flags(struct fuse_req *req, int fd, uint32_t old, uint32_t wanted,
                        const struct allowance *allowance, uint32_t *ret_flags)
{
    if ((wanted ^ old) & allowance->project)
        return -EINVAL;
    if (wanted & ~old & ~allowance->may)
        return -EOPNOTSUPP;
    uint32_t flags = (wanted & allowance->may) | (old & ~allowance->may);
    int error = check_owner(req, fd, flags ^ old, allowance);
    if (!error)
        *ret_flags = flags;
    return error;
}

static int reply(struct fuse_req *req, const void *data, size_t length)
{
    struct fuse_ioctl_out out = {.result = 0};
    if (req->args.ioctl.out_size < length)
        return -EINVAL;
    int error = req_reply(req, out);
    return error ? error : wire_out_put(&req->out, data, length);
}

static int reply_done(struct fuse_req *req)
{
    struct fuse_ioctl_out out = {.result = 0};
    return req_reply(req, out);
}

/* The value that came with the request: in_size bytes, of which length are of interest. */
static int take_value(struct fuse_req *req, void *value, size_t length)
{
    const void *bytes;
    if (req->args.ioctl.in_size < length)
        return -EINVAL;
    int error = req_bytes(req, req->args.ioctl.in_size, &bytes);
    if (!error)
        memcpy(value, bytes, length);
    return error;
}

/* Four bytes go out and in, though the numbers say eight: programs have an int there. */
static int get_flags(struct fuse_req *req, int fd)
{
    uint32_t flags;
    int error = host_flags_get(fd, &flags);
    return error ? error : reply(req, &flags, sizeof(flags));
}

static int set_flags(struct fuse_req *req, int fd)
{
    uint32_t old, wanted, flags;
    int error = take_value(req, &wanted, sizeof(wanted));
    if (!error)
        error = host_flags_get(fd, &old);
    if (!error)
        error = settle_flags(req, fd, old, wanted, &flags_allowance, &flags);
    if (!error)
        error = host_flags_set(fd, flags);
    return error ? error : reply_done(req);
}

static int get_fsxattr(struct fuse_req *req, int fd)
{
    struct fsxattr value;
    int error = host_fsxattr_get(fd, &value);
    return error ? error : reply(req, &value, sizeof(value));
}

static int set_fsxattr(struct fuse_req *req, int fd)
{
    struct fsxattr old, wanted;
    int error = take_value(req, &wanted, sizeof(wanted));
    if (!error)
        error = host_fsxattr_get(fd, &old);
    if (!error && wanted.fsx_projid != old.fsx_projid)
        error = -EINVAL;
    if (!error)
        error = settle_flags(req, fd, old.fsx_xflags, wanted.fsx_xflags, &xflags_allowance,
                             &wanted.fsx_xflags);
    if (!error)
        error = host_fsxattr_set(fd, &wanted);
    return error ? error : reply_done(req);
}

/* The calls, by number. */
static const struct call {
    uint32_t number;
    bool changes;
    int (*function)(struct fuse_req *req, int fd);
} calls[] = {
    {FS_IOC_GETFLAGS, false, get_flags},     {FS_IOC_SETFLAGS, true, set_flags},
    {FS_IOC32_GETFLAGS, false, get_flags},   {FS_IOC32_SETFLAGS, true, set_flags},
    {FS_IOC_FSGETXATTR, false, get_fsxattr}, {FS_IOC_FSSETXATTR, true, set_fsxattr},
};

static const struct call *call_of(const struct fuse_ioctl_in *in)
{
    if (in->flags & FUSE_IOCTL_UNRESTRICTED)
        return NULL;
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        if (calls[i].number == in->cmd)
            return &calls[i];
    }
    return NULL;
}

int op_ioctl(struct fuse_req *req)
{
    const struct fuse_ioctl_in *in = &req->args.ioctl;
    enum handle_kind kind = in->flags & FUSE_IOCTL_DIR ? HANDLE_DIR : HANDLE_FILE;
    int fd;
    int error = opens_fd(req, kind, in->fh, &fd);
    if (error)
        return error;
    const struct call *call = call_of(in);
    if (!call)
        return -ENOTTY;
    if (call->changes && req->server->settings->readonly)
        return -EROFS;
    return call->function(req, fd);
}
