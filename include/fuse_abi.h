// SPDX-License-Identifier: BSD-3-Clause
/*
 * The FUSE wire format: the kernel's own <linux/fuse.h>, and what it has gained since the oldest
 * header we build with (protocol 7.38, Debian 12). Values are the ABI's; see
 * include/uapi/linux/fuse.h of Linux 6.18 (protocol 7.45).
 */
#ifndef VIOFS_FUSE_ABI_H
#define VIOFS_FUSE_ABI_H

#include <stdint.h>
#include <linux/fuse.h>

/* What we speak: the oldest protocol with MAX_PAGES is 7.28; a 7.27 guest gets 32 pages. */
#define FUSE_ABI_MAJOR                7
#define FUSE_ABI_MINOR                45
#define FUSE_ABI_MIN_MINOR            27

/* Since 7.39. */
#define FUSE_ABI_DIRECT_IO_ALLOW_MMAP (1ULL << 36)
/* Since 7.40. */
#define FUSE_ABI_PASSTHROUGH          (1ULL << 37)
#define FUSE_ABI_NO_EXPORT_SUPPORT    (1ULL << 38)
#define FUSE_ABI_HAS_RESEND           (1ULL << 39)
/* Since 7.41. */
#define FUSE_ABI_ALLOW_IDMAP          (1ULL << 40)
/* Since 7.42 and 7.43. */
#define FUSE_ABI_OVER_IO_URING        (1ULL << 41)
#define FUSE_ABI_REQUEST_TIMEOUT      (1ULL << 42)
/* Since 7.38; here because 7.38 headers of some distributions lack it. */
#define FUSE_ABI_CREATE_SUPP_GROUP    (1ULL << 34)

/*
 * A request's extensions since 7.38, of the same form as struct fuse_ext_header: types up to
 * FUSE_MAX_NR_SECCTX are the count of security contexts in it, and this one is a list of groups.
 */
#define FUSE_ABI_EXT_GROUPS           32
struct fuse_abi_supp_groups {
    uint32_t nr_groups;
    uint32_t groups[];
};

/* Opcodes since 7.37. */
#define FUSE_ABI_TMPFILE            51
#define FUSE_ABI_STATX              52
#define FUSE_ABI_COPY_FILE_RANGE_64 53

/* STATX, since 7.39: as statx(2) has it. */
struct fuse_abi_sx_time {
    int64_t tv_sec;
    uint32_t tv_nsec;
    int32_t reserved;
};

struct fuse_abi_statx {
    uint32_t mask;
    uint32_t blksize;
    uint64_t attributes;
    uint32_t nlink;
    uint32_t uid;
    uint32_t gid;
    uint16_t mode;
    uint16_t reserved;
    uint64_t ino;
    uint64_t size;
    uint64_t blocks;
    uint64_t attributes_mask;
    struct fuse_abi_sx_time atime;
    struct fuse_abi_sx_time btime;
    struct fuse_abi_sx_time ctime;
    struct fuse_abi_sx_time mtime;
    uint32_t rdev_major;
    uint32_t rdev_minor;
    uint32_t dev_major;
    uint32_t dev_minor;
    uint64_t reserved2[14];
};
_Static_assert(sizeof(struct fuse_abi_statx) == 256, "the wire's layout");

struct fuse_abi_statx_in {
    uint32_t getattr_flags;
    uint32_t reserved;
    uint64_t fh;
    uint32_t sx_flags;
    uint32_t sx_mask;
};

struct fuse_abi_statx_out {
    uint64_t attr_valid;
    uint32_t attr_valid_nsec;
    uint32_t flags;
    uint64_t reserved[2];
    struct fuse_abi_statx stat;
};

/* The reply of COPY_FILE_RANGE_64, since 7.45. */
struct fuse_abi_copy_file_range_out {
    uint64_t bytes_copied;
};

/* The size of struct fuse_init_in before FUSE_INIT_EXT gave it flags2 (7.36). */
#define FUSE_ABI_INIT_IN_SHORT 16

#endif
