// SPDX-License-Identifier: BSD-3-Clause
#include "ops.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "tree.h"

#define NAME_SIZE 256

/* Asks the rules; when they say so, the call fails here and is over. */
#define HOLD(op, ino, name)                                  \
    do {                                                     \
        int hold_ = rules_hold(OP_##op, (ino), (name), req); \
        if (hold_) {                                         \
            fuse_reply_err(req, -hold_);                     \
            return;                                          \
        }                                                    \
    } while (0)

/* Nothing is cached: the next call comes here again. */
static void reply_entry(fuse_req_t req, int rc, const struct stat *st)
{
    struct fuse_entry_param entry = {0};

    if (rc < 0) {
        fuse_reply_err(req, -rc);
        return;
    }
    entry.ino = st->st_ino;
    entry.generation = 1;
    entry.attr = *st;
    fuse_reply_entry(req, &entry);
}

static void reply_attr(fuse_req_t req, fuse_ino_t ino, int rc)
{
    struct stat st;

    if (rc == 0)
        rc = tree_stat(ino, &st);
    if (rc < 0)
        fuse_reply_err(req, -rc);
    else
        fuse_reply_attr(req, &st, 0);
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
    (void)userdata;
    conn->want |= conn->capable & FUSE_CAP_EXPORT_SUPPORT;
    /* The kernel sends no more than these at once of reads and releases; it counts others not. */
    conn->max_background = 1000;
    conn->congestion_threshold = 1000;
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct stat st;

    HOLD(lookup, parent, name);
    reply_entry(req, tree_lookup(parent, name, &st), &st);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)fi;
    HOLD(getattr, ino, NULL);
    reply_attr(req, ino, 0);
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
                       struct fuse_file_info *fi)
{
    static const struct {
        int asked;
        unsigned member;
    } pairs[] = {
        {FUSE_SET_ATTR_MODE, TREE_MODE},   {FUSE_SET_ATTR_UID, TREE_UID},
        {FUSE_SET_ATTR_GID, TREE_GID},     {FUSE_SET_ATTR_SIZE, TREE_SIZE},
        {FUSE_SET_ATTR_ATIME, TREE_ATIME}, {FUSE_SET_ATTR_MTIME, TREE_MTIME},
    };
    unsigned members = 0;

    (void)fi;
    HOLD(setattr, ino, NULL);
    if (to_set & FUSE_SET_ATTR_ATIME_NOW)
        clock_gettime(CLOCK_REALTIME, &attr->st_atim);
    if (to_set & FUSE_SET_ATTR_MTIME_NOW)
        clock_gettime(CLOCK_REALTIME, &attr->st_mtim);
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
        if (to_set & pairs[i].asked)
            members |= pairs[i].member;
    reply_attr(req, ino, tree_set(ino, attr, members));
}

static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
    char target[4096];

    HOLD(readlink, ino, NULL);
    ssize_t length = tree_read(ino, target, sizeof(target) - 1, 0);
    if (length < 0) {
        fuse_reply_err(req, (int)-length);
        return;
    }
    target[length] = '\0';
    fuse_reply_readlink(req, target);
}

static void make(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev,
                 const char *target)
{
    const struct fuse_ctx *context = fuse_req_ctx(req);
    struct tree_make what = {
        .mode = mode, .uid = context->uid, .gid = context->gid, .rdev = rdev, .target = target};
    struct stat st;

    reply_entry(req, tree_make(parent, name, &what, &st), &st);
}

static void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
    HOLD(mknod, parent, name);
    make(req, parent, name, mode, rdev, NULL);
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    HOLD(mkdir, parent, name);
    make(req, parent, name, S_IFDIR | mode, 0, NULL);
}

static void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
    HOLD(symlink, parent, name);
    make(req, parent, name, S_IFLNK | 0777, 0, target);
}

static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    HOLD(unlink, parent, name);
    fuse_reply_err(req, -tree_remove(parent, name, 0));
}

static void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    HOLD(rmdir, parent, name);
    fuse_reply_err(req, -tree_remove(parent, name, 1));
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
                      const char *new_name, unsigned int flags)
{
    HOLD(rename, parent, name);
    fuse_reply_err(req, -tree_rename(parent, name, new_parent, new_name, flags));
}

static void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
    struct stat st;

    HOLD(link, ino, NULL);
    reply_entry(req, tree_link(ino, parent, name, &st), &st);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    HOLD(open, ino, NULL);
    fi->direct_io = 1;
    fuse_reply_open(req, fi);
}

static void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                      struct fuse_file_info *fi)
{
    const struct fuse_ctx *context = fuse_req_ctx(req);
    struct tree_make what = {
        .mode = S_IFREG | (mode & 07777), .uid = context->uid, .gid = context->gid};
    struct fuse_entry_param entry = {0};

    HOLD(create, parent, name);
    int rc = tree_make(parent, name, &what, &entry.attr);
    if (rc < 0) {
        fuse_reply_err(req, -rc);
        return;
    }
    entry.ino = entry.attr.st_ino;
    entry.generation = 1;
    fi->direct_io = 1;
    fuse_reply_create(req, &entry, fi);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                    struct fuse_file_info *fi)
{
    (void)fi;
    HOLD(read, ino, NULL);
    char *data = malloc(size);
    ssize_t length = data ? tree_read(ino, data, size, (uint64_t)offset) : -ENOMEM;
    if (length < 0)
        fuse_reply_err(req, (int)-length);
    else
        fuse_reply_buf(req, data, (size_t)length);
    free(data);
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
                     struct fuse_file_info *fi)
{
    (void)fi;
    HOLD(write, ino, NULL);
    ssize_t length = tree_write(ino, data, size, (uint64_t)offset);
    if (length < 0)
        fuse_reply_err(req, (int)-length);
    else
        fuse_reply_write(req, (size_t)length);
}

static void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)fi;
    HOLD(flush, ino, NULL);
    fuse_reply_err(req, 0);
}

static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)fi;
    HOLD(release, ino, NULL);
    fuse_reply_err(req, 0);
}

static void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    (void)fi, (void)datasync;
    HOLD(fsync, ino, NULL);
    fuse_reply_err(req, 0);
}

static void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    HOLD(opendir, ino, NULL);
    fuse_reply_open(req, fi);
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                       struct fuse_file_info *fi)
{
    uint64_t cookie = (uint64_t)offset;
    char name[NAME_SIZE];
    struct stat st;
    size_t used = 0;
    int rc;

    (void)fi;
    HOLD(readdir, ino, NULL);
    char *list = malloc(size);
    if (!list) {
        fuse_reply_err(req, ENOMEM);
        return;
    }
    while ((rc = tree_next(ino, &cookie, name, &st)) > 0) {
        size_t need = fuse_add_direntry(req, list + used, size - used, name, &st, (off_t)cookie);
        if (need > size - used)
            break;
        used += need;
    }
    if (rc < 0)
        fuse_reply_err(req, -rc);
    else
        fuse_reply_buf(req, list, used);
    free(list);
}

static void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)fi;
    HOLD(releasedir, ino, NULL);
    fuse_reply_err(req, 0);
}

static void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    (void)fi, (void)datasync;
    HOLD(fsyncdir, ino, NULL);
    fuse_reply_err(req, 0);
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
    struct statvfs st = {.f_bsize = 4096,
                         .f_frsize = 4096,
                         .f_blocks = 1000000,
                         .f_bfree = 900000,
                         .f_bavail = 800000,
                         .f_files = 1000,
                         .f_ffree = 900,
                         .f_namemax = NAME_SIZE - 1};

    HOLD(statfs, ino, NULL);
    fuse_reply_statfs(req, &st);
}

static void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value,
                        size_t size, int flags)
{
    HOLD(setxattr, ino, NULL);
    fuse_reply_err(req, -tree_xattr_set(ino, name, value, size, flags));
}

/* SIZE 0 asks for the size. */
static void reply_xattr(fuse_req_t req, ssize_t length, const char *data, size_t size)
{
    if (length < 0)
        fuse_reply_err(req, (int)-length);
    else if (size)
        fuse_reply_buf(req, data, (size_t)length);
    else
        fuse_reply_xattr(req, (size_t)length);
}

static void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
    HOLD(getxattr, ino, NULL);
    char *data = calloc(1, size + 1);
    reply_xattr(req, data ? tree_xattr_get(ino, name, data, size) : -ENOMEM, data, size);
    free(data);
}

static void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
    HOLD(listxattr, ino, NULL);
    char *data = calloc(1, size + 1);
    reply_xattr(req, data ? tree_xattr_list(ino, data, size) : -ENOMEM, data, size);
    free(data);
}

static void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
    HOLD(removexattr, ino, NULL);
    fuse_reply_err(req, -tree_xattr_remove(ino, name));
}

static void op_access(fuse_req_t req, fuse_ino_t ino, int mask)
{
    (void)mask;
    HOLD(access, ino, NULL);
    fuse_reply_err(req, 0);
}

static void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
                         struct fuse_file_info *fi)
{
    (void)fi;
    HOLD(fallocate, ino, NULL);
    fuse_reply_err(req,
                   mode ? EOPNOTSUPP : (int)-tree_write(ino, NULL, 0, (uint64_t)(offset + length)));
}

static void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence,
                     struct fuse_file_info *fi)
{
    struct stat st;

    (void)fi;
    HOLD(lseek, ino, NULL);
    int rc = tree_stat(ino, &st);
    if (rc == 0 && offset >= st.st_size)
        rc = -ENXIO;
    if (rc < 0)
        fuse_reply_err(req, -rc);
    else
        fuse_reply_lseek(req, whence == SEEK_HOLE ? st.st_size : offset);
}

const struct fuse_lowlevel_ops slow_ops = {
    .init = op_init,
    .lookup = op_lookup,
    .getattr = op_getattr,
    .setattr = op_setattr,
    .readlink = op_readlink,
    .mknod = op_mknod,
    .mkdir = op_mkdir,
    .unlink = op_unlink,
    .rmdir = op_rmdir,
    .symlink = op_symlink,
    .rename = op_rename,
    .link = op_link,
    .open = op_open,
    .read = op_read,
    .write = op_write,
    .flush = op_flush,
    .release = op_release,
    .fsync = op_fsync,
    .opendir = op_opendir,
    .readdir = op_readdir,
    .releasedir = op_releasedir,
    .fsyncdir = op_fsyncdir,
    .statfs = op_statfs,
    .setxattr = op_setxattr,
    .getxattr = op_getxattr,
    .listxattr = op_listxattr,
    .removexattr = op_removexattr,
    .access = op_access,
    .create = op_create,
    .fallocate = op_fallocate,
    .lseek = op_lseek,
};
