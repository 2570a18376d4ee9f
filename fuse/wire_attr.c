// SPDX-License-Identifier: BSD-3-Clause
#include "wire_attr.h"

#include <sys/sysmacros.h>

#include "cachepol.h"
#include "idtrans.h"
#include "server.h"

struct fuse_attr wire_attr(const struct fuse_server *server, struct inode *inode,
                           const struct statx *attributes)
{
    return (struct fuse_attr){
        .ino = attributes->stx_ino,
        .size = attributes->stx_size,
        .blocks = attributes->stx_blocks,
        .atime = (uint64_t)attributes->stx_atime.tv_sec,
        .mtime = (uint64_t)attributes->stx_mtime.tv_sec,
        .ctime = (uint64_t)attributes->stx_ctime.tv_sec,
        .atimensec = attributes->stx_atime.tv_nsec,
        .mtimensec = attributes->stx_mtime.tv_nsec,
        .ctimensec = attributes->stx_ctime.tv_nsec,
        .mode = attributes->stx_mode,
        .nlink = attributes->stx_nlink,
        .uid = idtrans_to_guest(&server->settings->translate_uid, attributes->stx_uid),
        .gid = idtrans_to_guest(&server->settings->translate_gid, attributes->stx_gid),
        /* The wire has the 12:20 bit form, which is the low half of the C library's. */
        .rdev = (uint32_t)makedev(attributes->stx_rdev_major, attributes->stx_rdev_minor),
        .blksize = attributes->stx_blksize,
        .flags = dax_attr_flags(server, inode, attributes),
    };
}

static struct fuse_abi_sx_time wire_time(uint64_t seconds, uint32_t nanoseconds)
{
    return (struct fuse_abi_sx_time){.tv_sec = (int64_t)seconds, .tv_nsec = nanoseconds};
}

/* What is true of a file wherever it is seen; how it is mounted or mapped is the guest's affair. */
#define ATTRIBUTES_TOLD                                                                     \
    (STATX_ATTR_COMPRESSED | STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND | STATX_ATTR_NODUMP | \
     STATX_ATTR_ENCRYPTED | STATX_ATTR_VERITY)

struct fuse_abi_statx wire_statx(const struct fuse_server *server, struct inode *inode,
                                 const struct statx *attributes)
{
    /* By way of GETATTR's form, so that both say the same, whatever is translated there. */
    struct fuse_attr attr = wire_attr(server, inode, attributes);
    return (struct fuse_abi_statx){
        .mask = attributes->stx_mask & (STATX_BASIC_STATS | STATX_BTIME),
        .blksize = attr.blksize,
        .attributes = attributes->stx_attributes & ATTRIBUTES_TOLD,
        .attributes_mask = attributes->stx_attributes_mask & ATTRIBUTES_TOLD,
        .nlink = attr.nlink,
        .uid = attr.uid,
        .gid = attr.gid,
        .mode = (uint16_t)attr.mode,
        .ino = attr.ino,
        .size = attr.size,
        .blocks = attr.blocks,
        .atime = wire_time(attr.atime, attr.atimensec),
        .btime = wire_time((uint64_t)attributes->stx_btime.tv_sec, attributes->stx_btime.tv_nsec),
        .ctime = wire_time(attr.ctime, attr.ctimensec),
        .mtime = wire_time(attr.mtime, attr.mtimensec),
        .rdev_major = attributes->stx_rdev_major,
        .rdev_minor = attributes->stx_rdev_minor,
    };
}

/* With the id it makes a file handle of the guest's; the root's is 0 by definition. */
static uint64_t generation_of(const struct fuse_server *server, const struct inode *inode)
{
    return inode_id(server->inodes, inode) == FUSE_ROOT_ID ? 0 : server->session.salt;
}

struct fuse_entry_out wire_entry(const struct fuse_server *server, struct inode *inode,
                                 const struct statx *attributes, bool submount)
{
    struct cache_time name = cachepol_entry(server->settings);
    struct cache_time valid = cachepol_attributes(server->settings);
    struct fuse_entry_out entry = {
        .nodeid = inode_id(server->inodes, inode), /* has its generation inside: never used twice */
        .generation = generation_of(server, inode),
        .entry_valid = name.seconds,
        .entry_valid_nsec = name.nanoseconds,
        .attr_valid = valid.seconds,
        .attr_valid_nsec = valid.nanoseconds,
        .attr = wire_attr(server, inode, attributes),
    };
    if (submount && session_has(&server->session, FUSE_SUBMOUNTS))
        entry.attr.flags |= FUSE_ATTR_SUBMOUNT;
    return entry;
}
