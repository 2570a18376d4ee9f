// SPDX-License-Identifier: BSD-3-Clause
/*
 * The FUSE protocol, 7.27 to 7.45: opcodes, INIT flags and structs, typed in from its description.
 *
 * Names of its own (vuf_, VUF_), so that a test may include <linux/fuse.h> beside it and the
 * daemon's header cannot agree with itself.  Passive data: no owner, no lock.  All fields in the
 * order of the wire, host byte order.
 */
#ifndef VUF_FUSE_ABI_H
#define VUF_FUSE_ABI_H

#include <stdint.h>

#define VUF_FUSE_MAJOR      7
#define VUF_FUSE_MINOR      45
#define VUF_ROOT_ID         1
#define VUF_MIN_READ_BUFFER 8192 /* least size of a read from /dev/fuse */

enum vuf_opcode {
    VUF_OP_LOOKUP = 1,
    VUF_OP_FORGET = 2, /* no reply */
    VUF_OP_GETATTR = 3,
    VUF_OP_SETATTR = 4,
    VUF_OP_READLINK = 5,
    VUF_OP_SYMLINK = 6,
    VUF_OP_MKNOD = 8,
    VUF_OP_MKDIR = 9,
    VUF_OP_UNLINK = 10,
    VUF_OP_RMDIR = 11,
    VUF_OP_RENAME = 12,
    VUF_OP_LINK = 13,
    VUF_OP_OPEN = 14,
    VUF_OP_READ = 15,
    VUF_OP_WRITE = 16,
    VUF_OP_STATFS = 17,
    VUF_OP_RELEASE = 18,
    VUF_OP_FSYNC = 20,
    VUF_OP_SETXATTR = 21,
    VUF_OP_GETXATTR = 22,
    VUF_OP_LISTXATTR = 23,
    VUF_OP_REMOVEXATTR = 24,
    VUF_OP_FLUSH = 25,
    VUF_OP_INIT = 26,
    VUF_OP_OPENDIR = 27,
    VUF_OP_READDIR = 28,
    VUF_OP_RELEASEDIR = 29,
    VUF_OP_FSYNCDIR = 30,
    VUF_OP_GETLK = 31,
    VUF_OP_SETLK = 32,
    VUF_OP_SETLKW = 33,
    VUF_OP_ACCESS = 34,
    VUF_OP_CREATE = 35,
    VUF_OP_INTERRUPT = 36, /* no reply */
    VUF_OP_BMAP = 37,
    VUF_OP_DESTROY = 38,
    VUF_OP_IOCTL = 39,
    VUF_OP_POLL = 40,
    VUF_OP_NOTIFY_REPLY = 41, /* no reply */
    VUF_OP_BATCH_FORGET = 42, /* no reply */
    VUF_OP_FALLOCATE = 43,
    VUF_OP_READDIRPLUS = 44,
    VUF_OP_RENAME2 = 45,
    VUF_OP_LSEEK = 46,
    VUF_OP_COPY_FILE_RANGE = 47,
    VUF_OP_SETUPMAPPING = 48,
    VUF_OP_REMOVEMAPPING = 49,
    VUF_OP_SYNCFS = 50,
    VUF_OP_TMPFILE = 51,
    VUF_OP_STATX = 52,
    VUF_OP_COPY_FILE_RANGE_64 = 53,
};

/* INIT flags as one 64-bit word: flags | (uint64_t)flags2 << 32. */
#define VUF_INIT_ASYNC_READ              (1ull << 0)
#define VUF_INIT_POSIX_LOCKS             (1ull << 1)
#define VUF_INIT_FILE_OPS                (1ull << 2)
#define VUF_INIT_ATOMIC_O_TRUNC          (1ull << 3)
#define VUF_INIT_EXPORT_SUPPORT          (1ull << 4)
#define VUF_INIT_BIG_WRITES              (1ull << 5)
#define VUF_INIT_DONT_MASK               (1ull << 6)
#define VUF_INIT_SPLICE_WRITE            (1ull << 7)
#define VUF_INIT_SPLICE_MOVE             (1ull << 8)
#define VUF_INIT_SPLICE_READ             (1ull << 9)
#define VUF_INIT_FLOCK_LOCKS             (1ull << 10)
#define VUF_INIT_HAS_IOCTL_DIR           (1ull << 11)
#define VUF_INIT_AUTO_INVAL_DATA         (1ull << 12)
#define VUF_INIT_DO_READDIRPLUS          (1ull << 13)
#define VUF_INIT_READDIRPLUS_AUTO        (1ull << 14)
#define VUF_INIT_ASYNC_DIO               (1ull << 15)
#define VUF_INIT_WRITEBACK_CACHE         (1ull << 16)
#define VUF_INIT_NO_OPEN_SUPPORT         (1ull << 17)
#define VUF_INIT_PARALLEL_DIROPS         (1ull << 18)
#define VUF_INIT_HANDLE_KILLPRIV         (1ull << 19)
#define VUF_INIT_POSIX_ACL               (1ull << 20)
#define VUF_INIT_ABORT_ERROR             (1ull << 21)
#define VUF_INIT_MAX_PAGES               (1ull << 22)
#define VUF_INIT_CACHE_SYMLINKS          (1ull << 23)
#define VUF_INIT_NO_OPENDIR_SUPPORT      (1ull << 24)
#define VUF_INIT_EXPLICIT_INVAL_DATA     (1ull << 25)
#define VUF_INIT_MAP_ALIGNMENT           (1ull << 26)
#define VUF_INIT_SUBMOUNTS               (1ull << 27)
#define VUF_INIT_HANDLE_KILLPRIV_V2      (1ull << 28)
#define VUF_INIT_SETXATTR_EXT            (1ull << 29)
#define VUF_INIT_INIT_EXT                (1ull << 30)
#define VUF_INIT_RESERVED                (1ull << 31)
#define VUF_INIT_SECURITY_CTX            (1ull << 32)
#define VUF_INIT_HAS_INODE_DAX           (1ull << 33)
#define VUF_INIT_CREATE_SUPP_GROUP       (1ull << 34)
#define VUF_INIT_HAS_EXPIRE_ONLY         (1ull << 35)
#define VUF_INIT_DIRECT_IO_ALLOW_MMAP    (1ull << 36)
#define VUF_INIT_PASSTHROUGH             (1ull << 37)
#define VUF_INIT_NO_EXPORT_SUPPORT       (1ull << 38)
#define VUF_INIT_HAS_RESEND              (1ull << 39)
#define VUF_INIT_ALLOW_IDMAP             (1ull << 40)
#define VUF_INIT_OVER_IO_URING           (1ull << 41)
#define VUF_INIT_REQUEST_TIMEOUT         (1ull << 42)

/* Which fields SETATTR changes. */
#define VUF_SETATTR_MODE                 (1u << 0)
#define VUF_SETATTR_UID                  (1u << 1)
#define VUF_SETATTR_GID                  (1u << 2)
#define VUF_SETATTR_SIZE                 (1u << 3)
#define VUF_SETATTR_ATIME                (1u << 4)
#define VUF_SETATTR_MTIME                (1u << 5)
#define VUF_SETATTR_FH                   (1u << 6)
#define VUF_SETATTR_ATIME_NOW            (1u << 7)
#define VUF_SETATTR_MTIME_NOW            (1u << 8)
#define VUF_SETATTR_LOCKOWNER            (1u << 9)
#define VUF_SETATTR_CTIME                (1u << 10)
#define VUF_SETATTR_KILL_SUIDGID         (1u << 11)

/* Flags in the reply of OPEN, OPENDIR and CREATE. */
#define VUF_FOPEN_DIRECT_IO              (1u << 0)
#define VUF_FOPEN_KEEP_CACHE             (1u << 1)
#define VUF_FOPEN_NONSEEKABLE            (1u << 2)
#define VUF_FOPEN_CACHE_DIR              (1u << 3)
#define VUF_FOPEN_STREAM                 (1u << 4)
#define VUF_FOPEN_NOFLUSH                (1u << 5)
#define VUF_FOPEN_PARALLEL_DIRECT_WRITES (1u << 6)
#define VUF_FOPEN_PASSTHROUGH            (1u << 7)

#define VUF_OPEN_KILL_SUIDGID            (1u << 0)
#define VUF_GETATTR_FH                   (1u << 0)
#define VUF_RELEASE_FLUSH                (1u << 0)
#define VUF_RELEASE_FLOCK_UNLOCK         (1u << 1)
#define VUF_WRITE_CACHE                  (1u << 0)
#define VUF_WRITE_LOCKOWNER              (1u << 1)
#define VUF_WRITE_KILL_SUIDGID           (1u << 2)
#define VUF_READ_LOCKOWNER               (1u << 1)
#define VUF_FSYNC_FDATASYNC              (1u << 0)
#define VUF_LK_FLOCK                     (1u << 0)
#define VUF_ATTR_SUBMOUNT                (1u << 0)
#define VUF_ATTR_DAX                     (1u << 1)
#define VUF_SETXATTR_ACL_KILL_SGID       (1u << 0)
#define VUF_MAP_WRITE                    (1ull << 0)
#define VUF_MAP_READ                     (1ull << 1)

struct vuf_in_header {
    uint32_t len;
    uint32_t opcode;
    uint64_t unique;
    uint64_t nodeid;
    uint32_t uid;
    uint32_t gid;
    uint32_t pid;
    uint16_t total_extlen; /* of the extensions at the end, in units of 8 bytes */
    uint16_t padding;
};

struct vuf_out_header {
    uint32_t len;
    int32_t error; /* 0 or a negative errno */
    uint64_t unique;
};

struct vuf_attr {
    uint64_t ino;
    uint64_t size;
    uint64_t blocks;
    uint64_t atime;
    uint64_t mtime;
    uint64_t ctime;
    uint32_t atimensec;
    uint32_t mtimensec;
    uint32_t ctimensec;
    uint32_t mode;
    uint32_t nlink;
    uint32_t uid;
    uint32_t gid;
    uint32_t rdev;
    uint32_t blksize;
    uint32_t flags;
};

struct vuf_entry_out {
    uint64_t nodeid;
    uint64_t generation;
    uint64_t entry_valid;
    uint64_t attr_valid;
    uint32_t entry_valid_nsec;
    uint32_t attr_valid_nsec;
    struct vuf_attr attr;
};

struct vuf_attr_out {
    uint64_t attr_valid;
    uint32_t attr_valid_nsec;
    uint32_t dummy;
    struct vuf_attr attr;
};

struct vuf_forget_in {
    uint64_t nlookup;
};

struct vuf_forget_one {
    uint64_t nodeid;
    uint64_t nlookup;
};

struct vuf_batch_forget_in {
    uint32_t count;
    uint32_t dummy;
    /* then count times struct vuf_forget_one */
};

struct vuf_getattr_in {
    uint32_t flags;
    uint32_t dummy;
    uint64_t fh;
};

struct vuf_setattr_in {
    uint32_t valid;
    uint32_t padding;
    uint64_t fh;
    uint64_t size;
    uint64_t lock_owner;
    uint64_t atime;
    uint64_t mtime;
    uint64_t ctime;
    uint32_t atimensec;
    uint32_t mtimensec;
    uint32_t ctimensec;
    uint32_t mode;
    uint32_t unused4;
    uint32_t uid;
    uint32_t gid;
    uint32_t unused5;
};

struct vuf_mknod_in {
    uint32_t mode;
    uint32_t rdev;
    uint32_t umask;
    uint32_t padding;
    /* then the name */
};

struct vuf_mkdir_in {
    uint32_t mode;
    uint32_t umask;
    /* then the name */
};

struct vuf_rename_in {
    uint64_t newdir;
    /* then old name, new name */
};

struct vuf_rename2_in {
    uint64_t newdir;
    uint32_t flags;
    uint32_t padding;
    /* then old name, new name */
};

struct vuf_link_in {
    uint64_t oldnodeid;
    /* then the new name */
};

struct vuf_open_in {
    uint32_t flags;
    uint32_t open_flags;
};

struct vuf_create_in {
    uint32_t flags;
    uint32_t mode;
    uint32_t umask;
    uint32_t open_flags;
    /* then the name */
};

struct vuf_open_out {
    uint64_t fh;
    uint32_t open_flags;
    int32_t backing_id;
};

/* Reply of CREATE and TMPFILE. */
struct vuf_create_out {
    struct vuf_entry_out entry;
    struct vuf_open_out open;
};

struct vuf_release_in {
    uint64_t fh;
    uint32_t flags;
    uint32_t release_flags;
    uint64_t lock_owner;
};

struct vuf_flush_in {
    uint64_t fh;
    uint32_t unused;
    uint32_t padding;
    uint64_t lock_owner;
};

/* READ, READDIR, READDIRPLUS. */
struct vuf_read_in {
    uint64_t fh;
    uint64_t offset;
    uint32_t size;
    uint32_t read_flags;
    uint64_t lock_owner;
    uint32_t flags;
    uint32_t padding;
};

struct vuf_write_in {
    uint64_t fh;
    uint64_t offset;
    uint32_t size;
    uint32_t write_flags;
    uint64_t lock_owner;
    uint32_t flags;
    uint32_t padding;
    /* then size bytes */
};

struct vuf_write_out {
    uint32_t size;
    uint32_t padding;
};

struct vuf_statfs_out {
    uint64_t blocks;
    uint64_t bfree;
    uint64_t bavail;
    uint64_t files;
    uint64_t ffree;
    uint32_t bsize;
    uint32_t namelen;
    uint32_t frsize;
    uint32_t padding;
    uint32_t spare[6];
};

/* FSYNC, FSYNCDIR. */
struct vuf_fsync_in {
    uint64_t fh;
    uint32_t fsync_flags;
    uint32_t padding;
};

/* Without SETXATTR_EXT only the first 8 bytes are sent. */
struct vuf_setxattr_in {
    uint32_t size;
    uint32_t flags;
    uint32_t setxattr_flags;
    uint32_t padding;
    /* then the name, then size bytes */
};

/* GETXATTR, LISTXATTR; size 0 asks for the size. */
struct vuf_getxattr_in {
    uint32_t size;
    uint32_t padding;
    /* then the name, for GETXATTR */
};

struct vuf_getxattr_out {
    uint32_t size;
    uint32_t padding;
};

struct vuf_file_lock {
    uint64_t start;
    uint64_t end;
    uint32_t type;
    uint32_t pid;
};

struct vuf_lk_in {
    uint64_t fh;
    uint64_t owner;
    struct vuf_file_lock lk;
    uint32_t lk_flags;
    uint32_t padding;
};

struct vuf_lk_out {
    struct vuf_file_lock lk;
};

struct vuf_access_in {
    uint32_t mask;
    uint32_t padding;
};

/* Before INIT_EXT (7.36) only the first 16 bytes are sent. */
struct vuf_init_in {
    uint32_t major;
    uint32_t minor;
    uint32_t max_readahead;
    uint32_t flags;
    uint32_t flags2;
    uint32_t unused[11];
};

struct vuf_init_out {
    uint32_t major;
    uint32_t minor;
    uint32_t max_readahead;
    uint32_t flags;
    uint16_t max_background;
    uint16_t congestion_threshold;
    uint32_t max_write;
    uint32_t time_gran;
    uint16_t max_pages;
    uint16_t map_alignment;
    uint32_t flags2;
    uint32_t max_stack_depth;
    uint16_t request_timeout;
    uint16_t unused[11];
};

struct vuf_interrupt_in {
    uint64_t unique;
};

struct vuf_ioctl_in {
    uint64_t fh;
    uint32_t flags;
    uint32_t cmd;
    uint64_t arg;
    uint32_t in_size;
    uint32_t out_size;
};

struct vuf_ioctl_out {
    int32_t result;
    uint32_t flags;
    uint32_t in_iovs;
    uint32_t out_iovs;
};

struct vuf_poll_in {
    uint64_t fh;
    uint64_t kh;
    uint32_t flags;
    uint32_t events;
};

struct vuf_poll_out {
    uint32_t revents;
    uint32_t padding;
};

struct vuf_fallocate_in {
    uint64_t fh;
    uint64_t offset;
    uint64_t length;
    uint32_t mode;
    uint32_t padding;
};

struct vuf_lseek_in {
    uint64_t fh;
    uint64_t offset;
    uint32_t whence;
    uint32_t padding;
};

struct vuf_lseek_out {
    uint64_t offset;
};

struct vuf_copy_file_range_in {
    uint64_t fh_in;
    uint64_t off_in;
    uint64_t nodeid_out;
    uint64_t fh_out;
    uint64_t off_out;
    uint64_t len;
    uint64_t flags;
};

/* Reply of COPY_FILE_RANGE_64; the older request answers with struct vuf_write_out. */
struct vuf_copy_file_range_out {
    uint64_t bytes_copied;
};

struct vuf_setupmapping_in {
    uint64_t fh;
    uint64_t foffset;
    uint64_t len;
    uint64_t flags;
    uint64_t moffset;
};

struct vuf_removemapping_in {
    uint32_t count;
    /* then count times struct vuf_removemapping_one, not aligned */
};

struct vuf_removemapping_one {
    uint64_t moffset;
    uint64_t len;
};

struct vuf_syncfs_in {
    uint64_t padding;
};

struct vuf_sx_time {
    int64_t tv_sec;
    uint32_t tv_nsec;
    int32_t reserved;
};

struct vuf_statx {
    uint32_t mask;
    uint32_t blksize;
    uint64_t attributes;
    uint32_t nlink;
    uint32_t uid;
    uint32_t gid;
    uint16_t mode;
    uint16_t spare0;
    uint64_t ino;
    uint64_t size;
    uint64_t blocks;
    uint64_t attributes_mask;
    struct vuf_sx_time atime;
    struct vuf_sx_time btime;
    struct vuf_sx_time ctime;
    struct vuf_sx_time mtime;
    uint32_t rdev_major;
    uint32_t rdev_minor;
    uint32_t dev_major;
    uint32_t dev_minor;
    uint64_t spare2[14];
};

struct vuf_statx_in {
    uint32_t getattr_flags;
    uint32_t reserved;
    uint64_t fh;
    uint32_t sx_flags;
    uint32_t sx_mask;
};

struct vuf_statx_out {
    uint64_t attr_valid;
    uint32_t attr_valid_nsec;
    uint32_t flags;
    uint64_t spare[2];
    struct vuf_statx stat;
};

/* One entry of READDIR; the next starts at a multiple of 8. */
struct vuf_dirent {
    uint64_t ino;
    uint64_t off;
    uint32_t namelen;
    uint32_t type;
    char name[];
};

/* One entry of READDIRPLUS. */
struct vuf_direntplus {
    struct vuf_entry_out entry;
    struct vuf_dirent dirent;
};

#define VUF_DIRENT_SIZE(namelen)     ((24 + (uint64_t)(namelen) + 7) & ~7ull)
#define VUF_DIRENTPLUS_SIZE(namelen) ((152 + (uint64_t)(namelen) + 7) & ~7ull)

/* Extensions behind the arguments of creating requests. */
struct vuf_ext_header {
    uint32_t size; /* with this header, a multiple of 8 */
    uint32_t type;
};

#define VUF_EXT_MAX_NR_SECCTX 31 /* types up to this one: that many security contexts */
#define VUF_EXT_GROUPS        32

struct vuf_secctx_header {
    uint32_t size;
    uint32_t nr_secctx;
};

struct vuf_secctx {
    uint32_t size;
    uint32_t padding;
    /* then the name with its NUL, then size bytes */
};

struct vuf_supp_groups {
    uint32_t nr_groups;
    uint32_t groups[];
};

_Static_assert(sizeof(struct vuf_in_header) == 40, "in header");
_Static_assert(sizeof(struct vuf_out_header) == 16, "out header");
_Static_assert(sizeof(struct vuf_attr) == 88, "attr");
_Static_assert(sizeof(struct vuf_entry_out) == 128, "entry");
_Static_assert(sizeof(struct vuf_attr_out) == 104, "attr reply");
_Static_assert(sizeof(struct vuf_setattr_in) == 88, "SETATTR");
_Static_assert(sizeof(struct vuf_init_in) == 64, "INIT");
_Static_assert(sizeof(struct vuf_init_out) == 64, "INIT reply");
_Static_assert(sizeof(struct vuf_write_in) == 40, "WRITE");
_Static_assert(sizeof(struct vuf_statfs_out) == 80, "STATFS reply");
_Static_assert(sizeof(struct vuf_statx) == 256, "statx");
_Static_assert(sizeof(struct vuf_statx_out) == 288, "STATX reply");

#endif
