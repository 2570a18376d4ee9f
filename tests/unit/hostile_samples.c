// SPDX-License-Identifier: BSD-3-Clause
#include "hostile_samples.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void put_string(struct request *request, const char *string)
{
    size_t length = strlen(string) + 1;
    memcpy(request->tail + request->tail_length, string, length);
    request->tail_length += length;
}

#define FILL(name)   static void name(const struct known *known, struct request *request)
#define ARGS(type)   struct type *in = (struct type *)request->args
#define UNUSED_KNOWN (void)known

FILL(on_file)
{
    request->nodeid = known->file;
}

FILL(on_dir)
{
    request->nodeid = known->dir;
}

FILL(on_nothing)
{
    UNUSED_KNOWN;
    (void)request;
}

FILL(fill_lookup)
{
    UNUSED_KNOWN;
    put_string(request, "file");
}

FILL(fill_forget)
{
    ARGS(fuse_forget_in);
    on_file(known, request);
    in->nlookup = 1;
}

FILL(fill_setattr)
{
    ARGS(fuse_setattr_in);
    on_file(known, request);
    in->valid = FATTR_MODE | FATTR_SIZE | FATTR_FH;
    in->fh = known->fh;
    in->mode = 0640;
    in->size = 100;
}

FILL(fill_getattr)
{
    ARGS(fuse_getattr_in);
    on_file(known, request);
    in->getattr_flags = FUSE_GETATTR_FH;
    in->fh = known->fh;
}

FILL(fill_readlink)
{
    request->nodeid = known->link;
}

FILL(fill_symlink)
{
    UNUSED_KNOWN;
    put_string(request, "new");
    put_string(request, "target");
}

FILL(fill_mknod)
{
    ARGS(fuse_mknod_in);
    UNUSED_KNOWN;
    in->mode = S_IFIFO | 0600;
    put_string(request, "new");
}

FILL(fill_mkdir)
{
    ARGS(fuse_mkdir_in);
    UNUSED_KNOWN;
    in->mode = 0700;
    put_string(request, "new");
}

FILL(fill_unlink)
{
    UNUSED_KNOWN;
    put_string(request, "victim");
}

FILL(fill_rmdir)
{
    UNUSED_KNOWN;
    put_string(request, "empty");
}

FILL(fill_rename)
{
    ARGS(fuse_rename_in);
    in->newdir = known->dir;
    put_string(request, "victim");
    put_string(request, "new");
}

FILL(fill_rename2)
{
    ARGS(fuse_rename2_in);
    in->newdir = known->dir;
    put_string(request, "victim");
    put_string(request, "new");
}

FILL(fill_link)
{
    ARGS(fuse_link_in);
    in->oldnodeid = known->file;
    put_string(request, "new");
}

FILL(fill_open)
{
    ARGS(fuse_open_in);
    on_file(known, request);
    in->flags = O_RDWR;
}

FILL(fill_read)
{
    ARGS(fuse_read_in);
    on_file(known, request);
    in->fh = known->fh;
    in->size = 100;
}

FILL(fill_readdir)
{
    ARGS(fuse_read_in);
    on_dir(known, request);
    in->fh = known->dir_fh;
    in->size = 4096;
}

FILL(fill_write)
{
    ARGS(fuse_write_in);
    on_file(known, request);
    in->fh = known->fh;
    in->size = 8;
    memcpy(request->tail, "contents", 8);
    request->tail_length = 8;
}

FILL(fill_release)
{
    ARGS(fuse_release_in);
    on_file(known, request);
    in->fh = known->fh;
}

FILL(fill_releasedir)
{
    ARGS(fuse_release_in);
    on_dir(known, request);
    in->fh = known->dir_fh;
}

FILL(fill_fsync)
{
    ARGS(fuse_fsync_in);
    on_file(known, request);
    in->fh = known->fh;
}

FILL(fill_fsyncdir)
{
    ARGS(fuse_fsync_in);
    on_dir(known, request);
    in->fh = known->dir_fh;
}

FILL(fill_setxattr)
{
    ARGS(fuse_setxattr_in);
    on_file(known, request);
    in->size = 5;
    put_string(request, "trusted.x");
    put_string(request, "value");
}

FILL(fill_getxattr)
{
    ARGS(fuse_getxattr_in);
    on_file(known, request);
    in->size = 100;
    put_string(request, "trusted.kept");
}

FILL(fill_listxattr)
{
    ARGS(fuse_getxattr_in);
    on_file(known, request);
    in->size = 1000;
}

FILL(fill_removexattr)
{
    on_file(known, request);
    put_string(request, "trusted.kept");
}

FILL(fill_flush)
{
    ARGS(fuse_flush_in);
    on_file(known, request);
    in->fh = known->fh;
    in->lock_owner = 77;
}

FILL(fill_init)
{
    ARGS(fuse_init_in);
    UNUSED_KNOWN;
    in->major = FUSE_ABI_MAJOR;
    in->minor = FUSE_ABI_MINOR;
    in->flags = FUSE_MAX_PAGES;
}

FILL(fill_interrupt)
{
    ARGS(fuse_interrupt_in);
    UNUSED_KNOWN;
    in->unique = 1;
}

FILL(fill_batch_forget)
{
    ARGS(fuse_batch_forget_in);
    struct fuse_forget_one ones[2] = {{known->file, 1}, {known->dir, 1}};
    in->count = 2;
    memcpy(request->tail, ones, sizeof(ones));
    request->tail_length = sizeof(ones);
}

FILL(fill_lock)
{
    ARGS(fuse_lk_in);
    on_file(known, request);
    in->fh = known->fh;
    in->owner = 77;
    in->lk.end = INT64_MAX;
    in->lk.type = F_WRLCK;
}

FILL(fill_access)
{
    ARGS(fuse_access_in);
    on_file(known, request);
    in->mask = R_OK;
}

FILL(fill_create)
{
    ARGS(fuse_create_in);
    UNUSED_KNOWN;
    in->flags = O_RDWR | O_CREAT;
    in->mode = S_IFREG | 0600;
    put_string(request, "new");
}

FILL(fill_ioctl)
{
    ARGS(fuse_ioctl_in);
    on_file(known, request);
    in->fh = known->fh;
    in->cmd = FS_IOC_SETFLAGS;
    in->in_size = 4;
    in->out_size = 4;
    request->tail_length = 4;
}

FILL(fill_fallocate)
{
    ARGS(fuse_fallocate_in);
    on_file(known, request);
    in->fh = known->fh;
    in->length = 4096;
    in->mode = FALLOC_FL_KEEP_SIZE;
}

FILL(fill_lseek)
{
    ARGS(fuse_lseek_in);
    on_file(known, request);
    in->fh = known->fh;
    in->whence = SEEK_DATA;
}

FILL(fill_copy)
{
    ARGS(fuse_copy_file_range_in);
    on_file(known, request);
    in->fh_in = in->fh_out = known->fh;
    in->nodeid_out = known->file;
    in->off_out = 4096;
    in->len = 4;
}

FILL(fill_setupmapping)
{
    ARGS(fuse_setupmapping_in);
    on_file(known, request);
    in->fh = known->fh;
    in->len = 2 << 20;
}

FILL(fill_removemapping)
{
    ARGS(fuse_removemapping_in);
    struct fuse_removemapping_one one = {.len = 2 << 20};
    on_file(known, request);
    in->count = 1;
    memcpy(request->tail, &one, sizeof(one));
    request->tail_length = sizeof(one);
}

FILL(fill_tmpfile)
{
    ARGS(fuse_create_in);
    UNUSED_KNOWN;
    in->flags = O_RDWR;
    in->mode = S_IFREG | 0600;
    put_string(request, "/");
}

FILL(fill_statx)
{
    ARGS(fuse_abi_statx_in);
    on_file(known, request);
    in->getattr_flags = FUSE_GETATTR_FH;
    in->fh = known->fh;
    in->sx_mask = STATX_BASIC_STATS | STATX_BTIME;
}

static const struct sample samples[] = {
    {FUSE_LOOKUP, GIFT_ENTRY, 0, fill_lookup},
    {FUSE_FORGET, GIFT_NOTHING, 0, fill_forget},
    {FUSE_GETATTR, GIFT_NOTHING, 0, fill_getattr},
    {FUSE_SETATTR, GIFT_NOTHING, 0, fill_setattr},
    {FUSE_READLINK, GIFT_NOTHING, 0, fill_readlink},
    {FUSE_SYMLINK, GIFT_ENTRY, 0, fill_symlink},
    {FUSE_MKNOD, GIFT_ENTRY, 0, fill_mknod},
    {FUSE_MKDIR, GIFT_ENTRY, 0, fill_mkdir},
    {FUSE_UNLINK, GIFT_NOTHING, 0, fill_unlink},
    {FUSE_RMDIR, GIFT_NOTHING, 0, fill_rmdir},
    {FUSE_RENAME, GIFT_NOTHING, 0, fill_rename},
    {FUSE_LINK, GIFT_ENTRY, 0, fill_link},
    {FUSE_OPEN, GIFT_FILE, 0, fill_open},
    {FUSE_READ, GIFT_NOTHING, 0, fill_read},
    {FUSE_WRITE, GIFT_NOTHING, 0, fill_write},
    {FUSE_STATFS, GIFT_NOTHING, 0, on_nothing},
    {FUSE_RELEASE, GIFT_NOTHING, 0, fill_release},
    {FUSE_FSYNC, GIFT_NOTHING, 0, fill_fsync},
    {FUSE_SETXATTR, GIFT_NOTHING, 0, fill_setxattr},
    {FUSE_GETXATTR, GIFT_NOTHING, 0, fill_getxattr},
    {FUSE_LISTXATTR, GIFT_NOTHING, 0, fill_listxattr},
    {FUSE_REMOVEXATTR, GIFT_NOTHING, 0, fill_removexattr},
    {FUSE_FLUSH, GIFT_NOTHING, 0, fill_flush},
    {FUSE_INIT, GIFT_NOTHING, 0, fill_init},
    {FUSE_OPENDIR, GIFT_DIR, 0, on_dir},
    {FUSE_READDIR, GIFT_NOTHING, 0, fill_readdir},
    {FUSE_RELEASEDIR, GIFT_NOTHING, 0, fill_releasedir},
    {FUSE_FSYNCDIR, GIFT_NOTHING, 0, fill_fsyncdir},
    {FUSE_GETLK, GIFT_NOTHING, 0, fill_lock},
    {FUSE_SETLK, GIFT_NOTHING, 0, fill_lock},
    {FUSE_SETLKW, GIFT_NOTHING, 0, fill_lock},
    {FUSE_ACCESS, GIFT_NOTHING, 0, fill_access},
    {FUSE_CREATE, GIFT_CREATED, 0, fill_create},
    {FUSE_INTERRUPT, GIFT_NOTHING, 0, fill_interrupt},
    {FUSE_DESTROY, GIFT_NOTHING, 0, on_nothing},
    {FUSE_IOCTL, GIFT_NOTHING, 0, fill_ioctl},
    {FUSE_BATCH_FORGET, GIFT_NOTHING, 0, fill_batch_forget},
    {FUSE_FALLOCATE, GIFT_NOTHING, 0, fill_fallocate},
    {FUSE_READDIRPLUS, GIFT_LISTING, 0, fill_readdir},
    {FUSE_RENAME2, GIFT_NOTHING, 0, fill_rename2},
    {FUSE_LSEEK, GIFT_NOTHING, 0, fill_lseek},
    {FUSE_COPY_FILE_RANGE, GIFT_NOTHING, 0, fill_copy},
    {FUSE_SETUPMAPPING, GIFT_NOTHING, -ENOSYS, fill_setupmapping}, /* without a window */
    {FUSE_REMOVEMAPPING, GIFT_NOTHING, -ENOSYS, fill_removemapping},
    {FUSE_SYNCFS, GIFT_NOTHING, 0, on_nothing},
    {FUSE_ABI_TMPFILE, GIFT_CREATED, 0, fill_tmpfile},
    {FUSE_ABI_STATX, GIFT_NOTHING, 0, fill_statx},
    {FUSE_ABI_COPY_FILE_RANGE_64, GIFT_NOTHING, 0, fill_copy},
};

const struct sample *sample_of(uint32_t opcode)
{
    for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++)
        if (samples[i].opcode == opcode)
            return &samples[i];
    return NULL;
}
