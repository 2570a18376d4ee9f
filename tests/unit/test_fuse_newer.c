// SPDX-License-Identifier: BSD-3-Clause
/*
 * Operations that only newer guests ask for: TMPFILE, STATX, COPY_FILE_RANGE_64; and
 * IOCTL, and LOOKUP by node id alone. Needs root, for
 * owners.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/securebits.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fuse_guest.h"
#include "test.h"

#define ROOT FUSE_ROOT_ID

static int tmpfile_new(struct guest *guest, uint64_t parent, uint32_t flags, uint32_t mode,
                       uint64_t *ret_node, uint64_t *ret_fh)
{
    struct fuse_create_in in = {.flags = flags | O_TMPFILE, .mode = S_IFREG | mode};
    int error = guest_ask(guest, FUSE_ABI_TMPFILE, parent, in, "/");
    if (error)
        return error;
    *ret_node = ((struct fuse_entry_out *)guest->body)->nodeid;
    *ret_fh = ((struct fuse_open_out *)(guest->body + sizeof(struct fuse_entry_out)))->fh;
    return 0;
}

static int release(struct guest *guest, uint64_t node, uint64_t fh)
{
    struct fuse_release_in in = {.fh = fh};
    return guest_do(guest, FUSE_RELEASE, node, in);
}

static int give_name(struct guest *guest, uint64_t node, const char *name)
{
    struct fuse_link_in in = {.oldnodeid = node};
    return guest_ask(guest, FUSE_LINK, ROOT, in, name);
}

static void forget(struct guest *guest, uint64_t node, uint64_t count)
{
    struct fuse_forget_in in = {.nlookup = count};
    guest_do(guest, FUSE_FORGET, node, in);
}

static void nameless_file_with(enum file_handles_mode mode)
{
    struct guest guest;
    guest_prepare(&guest);
    guest.settings.file_handles = mode;
    guest_start(&guest);
    uint64_t node, fh;
    guest.uid = 1000;
    guest.gid = 2000;
    CHECK_EQ(tmpfile_new(&guest, ROOT, O_RDWR, 0640, &node, &fh), 0);
    guest.uid = guest.gid = 0;
    CHECK_EQ(guest.length, sizeof(struct fuse_entry_out) + sizeof(struct fuse_open_out));
    CHECK_EQ(BODY(fuse_entry_out)->attr.nlink, 0);
    CHECK_EQ(BODY(fuse_entry_out)->attr.mode, S_IFREG | 0640);
    CHECK_EQ(BODY(fuse_entry_out)->attr.uid, 1000);
    CHECK_EQ(BODY(fuse_entry_out)->attr.gid, 2000);
    CHECK_EQ(guest_write(&guest, node, fh, 0, "content", 7, 0, 0), 7);

    /* Closed, and still known: the guest may hold it without having it open. */
    CHECK_EQ(release(&guest, node, fh), 0);
    struct fuse_getattr_in getattr = {0};
    CHECK_EQ(guest_do(&guest, FUSE_GETATTR, node, getattr), 0);
    CHECK_EQ(BODY(fuse_attr_out)->attr.size, 7);
    CHECK_EQ(guest_open(&guest, node, O_RDONLY, &fh), 0);
    CHECK_EQ(guest_read(&guest, node, fh, 0, 100), 7);
    CHECK_EQ(release(&guest, node, fh), 0);

    CHECK_EQ(give_name(&guest, node, "named"), 0);
    CHECK_EQ(BODY(fuse_entry_out)->nodeid, node);
    CHECK_EQ(BODY(fuse_entry_out)->attr.nlink, 1);
    CHECK_EQ(guest_lookup(&guest, "named"), node);
    CHECK_EQ(guest_host_stat(&guest, "named").st_size, 7);
    forget(&guest, node, 3);
    CHECK_EQ(guest_do(&guest, FUSE_GETATTR, node, getattr), -ESTALE);
    CHECK_EQ(guest_end(&guest), 0);
}

static void nameless_file(void)
{
    nameless_file_with(FILE_HANDLES_PREFER);
}

static void nameless_file_without_handles(void)
{
    nameless_file_with(FILE_HANDLES_NEVER);
}

static void nameless_file_refused(void)
{
    struct guest guest;
    guest_begin(&guest);
    uint64_t node, fh;
    CHECK_EQ(tmpfile_new(&guest, ROOT, O_RDWR | O_EXCL, 0600, &node, &fh), 0);
    CHECK_EQ(give_name(&guest, node, "named"), -ENOENT);
    CHECK_EQ(tmpfile_new(&guest, ROOT, O_RDONLY, 0600, &node, &fh), -EINVAL);
    guest_host_file(&guest, "f", "x");
    CHECK_EQ(tmpfile_new(&guest, guest_lookup(&guest, "f"), O_RDWR, 0600, &node, &fh), -ENOTDIR);
    CHECK_EQ(tmpfile_new(&guest, 77, O_RDWR, 0600, &node, &fh), -ESTALE);
    struct fuse_create_in in = {.flags = O_RDWR, .mode = S_IFREG | 0600};
    CHECK_EQ(guest_do(&guest, FUSE_ABI_TMPFILE, ROOT, in), -EINVAL);
    guest.uid = UINT32_MAX;
    CHECK_EQ(tmpfile_new(&guest, ROOT, O_RDWR, 0600, &node, &fh), -EINVAL);
    CHECK_EQ(guest_end(&guest), 0);
}

/* A file that got a name needs no descriptor of its own any more, however many there are. */
static void named_files_keep_no_descriptor(void)
{
    enum { FILES = 300 };
    struct guest guest;
    struct rlimit before;
    getrlimit(RLIMIT_NOFILE, &before);
    setrlimit(RLIMIT_NOFILE, &(struct rlimit){FILES / 2, before.rlim_max});
    guest_begin(&guest);
    uint64_t nodes[FILES], fh;
    struct fuse_getattr_in getattr = {0};
    for (unsigned i = 0; i < FILES; i++) {
        char name[16];
        snprintf(name, sizeof(name), "n%u", i);
        CHECK_EQ(tmpfile_new(&guest, ROOT, O_RDWR, 0600, &nodes[i], &fh), 0);
        CHECK_EQ(release(&guest, nodes[i], fh), 0);
        CHECK_EQ(give_name(&guest, nodes[i], name), 0);
        CHECK_EQ(guest_do(&guest, FUSE_GETATTR, nodes[i], getattr), 0);
    }
    CHECK_EQ(tmpfile_new(&guest, ROOT, O_RDWR, 0600, &nodes[0], &fh), 0);
    CHECK_EQ(guest_end(&guest), 0);
    setrlimit(RLIMIT_NOFILE, &before);
}

static void times_of_birth(void)
{
    struct guest guest;
    guest_begin(&guest);
    uint64_t node, fh;
    CHECK_EQ(guest_create(&guest, "f", O_RDWR | O_CREAT, S_IFREG | 0640, &node, &fh), 0);
    CHECK_EQ(guest_write(&guest, node, fh, 0, "12345", 5, 0, 0), 5);
    struct statx host;
    CHECK_EQ(statx(AT_FDCWD, guest_path(&guest, "f"), 0, STATX_BASIC_STATS | STATX_BTIME, &host),
             0);
    struct fuse_abi_statx_in in = {.sx_mask = STATX_BASIC_STATS | STATX_BTIME};
    for (unsigned by_handle = 0; by_handle < 2; by_handle++) {
        in.getattr_flags = by_handle ? FUSE_GETATTR_FH : 0;
        in.fh = by_handle ? fh : 0;
        CHECK_EQ(guest_do(&guest, FUSE_ABI_STATX, node, in), 0);
        CHECK_EQ(guest.length, sizeof(struct fuse_abi_statx_out));
        CHECK_EQ(BODY(fuse_abi_statx_out)->attr_valid, 1);
        const struct fuse_abi_statx *stat = &BODY(fuse_abi_statx_out)->stat;
        CHECK_EQ(stat->mask, host.stx_mask & (STATX_BASIC_STATS | STATX_BTIME));
        CHECK_EQ(stat->btime.tv_sec, host.stx_btime.tv_sec);
        CHECK_EQ(stat->btime.tv_nsec, host.stx_btime.tv_nsec);
        CHECK_EQ(stat->mtime.tv_nsec, host.stx_mtime.tv_nsec);
        CHECK_EQ(stat->size, 5);
        CHECK_EQ(stat->mode, S_IFREG | 0640);
        CHECK_EQ(stat->ino, host.stx_ino);
        CHECK_EQ(stat->attributes & ~stat->attributes_mask, 0);
    }
    in.fh ^= 1;
    CHECK_EQ(guest_do(&guest, FUSE_ABI_STATX, node, in), -EBADF);
    in = (struct fuse_abi_statx_in){.sx_flags = AT_STATX_DONT_SYNC};
    CHECK_EQ(guest_do(&guest, FUSE_ABI_STATX, node, in), 0);
    in.sx_flags = AT_STATX_DONT_SYNC | AT_STATX_FORCE_SYNC;
    CHECK_EQ(guest_do(&guest, FUSE_ABI_STATX, node, in), -EINVAL);
    in.sx_flags = AT_SYMLINK_NOFOLLOW;
    CHECK_EQ(guest_do(&guest, FUSE_ABI_STATX, node, in), -EINVAL);

    /* Devices by their numbers, in the form of statx(2). */
    CHECK_EQ(mknod(guest_path(&guest, "dev"), S_IFCHR | 0600, 0x12345), 0);
    in.sx_flags = 0;
    CHECK_EQ(guest_do(&guest, FUSE_ABI_STATX, guest_lookup(&guest, "dev"), in), 0);
    CHECK_EQ(BODY(fuse_abi_statx_out)->stat.rdev_major, 0x123);
    CHECK_EQ(BODY(fuse_abi_statx_out)->stat.rdev_minor, 0x45);
    CHECK_EQ(guest_end(&guest), 0);
}

static void copies_in_64_bits(void)
{
    struct guest guest;
    guest_begin(&guest);
    uint64_t node, fh, other, other_fh;
    CHECK_EQ(guest_create(&guest, "a", O_RDWR | O_CREAT, S_IFREG | 0600, &node, &fh), 0);
    CHECK_EQ(guest_create(&guest, "b", O_RDWR | O_CREAT, S_IFREG | 0600, &other, &other_fh), 0);
    CHECK_EQ(guest_write(&guest, node, fh, 0, "0123456789", 10, 0, 0), 10);
    struct fuse_copy_file_range_in in = {
        .fh_in = fh, .nodeid_out = other, .fh_out = other_fh, .off_out = 5, .len = 1ull << 40};
    CHECK_EQ(guest_do(&guest, FUSE_ABI_COPY_FILE_RANGE_64, node, in), 0);
    CHECK_EQ(guest.length, sizeof(struct fuse_abi_copy_file_range_out));
    CHECK_EQ(BODY(fuse_abi_copy_file_range_out)->bytes_copied, 10);
    CHECK_EQ(guest_host_stat(&guest, "b").st_size, 15);
    in.len = UINT64_MAX;
    CHECK_EQ(guest_do(&guest, FUSE_ABI_COPY_FILE_RANGE_64, node, in), -EOVERFLOW);
    in.len = 4;
    in.flags = 1;
    CHECK_EQ(guest_do(&guest, FUSE_ABI_COPY_FILE_RANGE_64, node, in), -EINVAL);

    /* Within one file: not where it overlaps. */
    in = (struct fuse_copy_file_range_in){
        .fh_in = fh, .nodeid_out = node, .fh_out = fh, .off_out = 4, .len = 6};
    CHECK_EQ(guest_do(&guest, FUSE_ABI_COPY_FILE_RANGE_64, node, in), -EINVAL);
    in.len = 4;
    CHECK_EQ(guest_do(&guest, FUSE_ABI_COPY_FILE_RANGE_64, node, in), 0);
    CHECK_EQ(guest_read(&guest, node, fh, 0, 10), 10);
    CHECK(memcmp(guest.body, "0123012389", 10) == 0);
    CHECK_EQ(guest_end(&guest), 0);
}

/* IOCTL with in_size bytes of value; the reply's data is left in guest->body, behind the header. */
static int call_ioctl(struct guest *guest, uint64_t node, struct fuse_ioctl_in in,
                      const void *value)
{
    return guest_call(guest, FUSE_IOCTL, node, &in, sizeof(in), value, in.in_size, 4096);
}

static int get_flags(struct guest *guest, uint64_t node, uint64_t fh, uint32_t *ret_flags)
{
    struct fuse_ioctl_in in = {.fh = fh, .cmd = FS_IOC_GETFLAGS, .out_size = 4};
    int error = call_ioctl(guest, node, in, NULL);
    if (!error && guest->length != sizeof(struct fuse_ioctl_out) + 4)
        return -EPROTO;
    if (!error)
        memcpy(ret_flags, guest->body + sizeof(struct fuse_ioctl_out), 4);
    return error;
}

static int set_flags(struct guest *guest, uint64_t node, uint64_t fh, uint32_t flags)
{
    struct fuse_ioctl_in in = {.fh = fh, .cmd = FS_IOC_SETFLAGS, .in_size = 4};
    return call_ioctl(guest, node, in, &flags);
}

static void flags_of_files(void)
{
    struct guest guest;
    guest_begin(&guest);
    uint64_t node, fh, dir_fh;
    uint32_t before, flags;
    CHECK_EQ(guest_create(&guest, "f", O_RDWR | O_CREAT, S_IFREG | 0600, &node, &fh), 0);
    CHECK_EQ(guest_opendir(&guest, ROOT, &dir_fh), 0);
    CHECK_EQ(get_flags(&guest, node, fh, &before), 0);
    CHECK_EQ(set_flags(&guest, node, fh, before | FS_NODUMP_FL), 0);
    CHECK_EQ(guest.length, sizeof(struct fuse_ioctl_out));
    CHECK_EQ(get_flags(&guest, node, fh, &flags), 0);
    CHECK_EQ(flags, before | FS_NODUMP_FL);
    /* What is not the guest's to change: leaving it out changes nothing, putting it in is refused.
     */
    CHECK_EQ(set_flags(&guest, node, fh, 0), 0);
    CHECK_EQ(get_flags(&guest, node, fh, &flags), 0);
    CHECK_EQ(flags, before);
    CHECK_EQ(set_flags(&guest, node, fh, before | FS_CASEFOLD_FL), -EOPNOTSUPP);
    CHECK_EQ(set_flags(&guest, node, fh, before | FS_VERITY_FL), -EOPNOTSUPP);
    CHECK_EQ(set_flags(&guest, node, fh, UINT32_MAX & ~FS_PROJINHERIT_FL), -EOPNOTSUPP);
    CHECK_EQ(set_flags(&guest, node, fh, before | FS_PROJINHERIT_FL), -EINVAL);

    struct fsxattr value;
    struct fuse_ioctl_in in = {.fh = fh, .cmd = FS_IOC_FSGETXATTR, .out_size = sizeof(value)};
    CHECK_EQ(call_ioctl(&guest, node, in, NULL), 0);
    CHECK_EQ(guest.length, sizeof(struct fuse_ioctl_out) + sizeof(value));
    memcpy(&value, guest.body + sizeof(struct fuse_ioctl_out), sizeof(value));
    in = (struct fuse_ioctl_in){.fh = fh, .cmd = FS_IOC_FSSETXATTR, .in_size = sizeof(value)};
    CHECK_EQ(call_ioctl(&guest, node, in, &value), 0);
    value.fsx_projid++;
    CHECK_EQ(call_ioctl(&guest, node, in, &value), -EINVAL);
    value.fsx_projid--;
    value.fsx_xflags |= FS_XFLAG_HASATTR;
    CHECK_EQ(call_ioctl(&guest, node, in, &value), -EOPNOTSUPP);

    /* Directories have handles of their own, and the numbers of 32-bit programs say the same. */
    in = (struct fuse_ioctl_in){
        .fh = dir_fh, .cmd = _IOR('f', 1, int), .flags = FUSE_IOCTL_DIR, .out_size = 4};
    CHECK_EQ(call_ioctl(&guest, ROOT, in, NULL), 0);
    in.flags |= FUSE_IOCTL_COMPAT | FUSE_IOCTL_32BIT;
    CHECK_EQ(call_ioctl(&guest, ROOT, in, NULL), 0);
    in.flags = 0;
    CHECK_EQ(call_ioctl(&guest, ROOT, in, NULL), -EBADF);
    CHECK_EQ(guest_end(&guest), 0);
}

static void hostile_ioctls(void)
{
    struct guest guest;
    guest_begin(&guest);
    uint64_t node, fh;
    static const char value[8192];
    CHECK_EQ(guest_create(&guest, "f", O_RDWR | O_CREAT, S_IFREG | 0600, &node, &fh), 0);
    struct fuse_ioctl_in in = {.fh = fh, .out_size = 4096};
    for (unsigned i = 0; i < 64; i++) {
        in.cmd = i < 32 ? 1u << i : 0x5400 + i;
        CHECK_EQ(call_ioctl(&guest, node, in, NULL), -ENOTTY);
    }
    in = (struct fuse_ioctl_in){
        .fh = fh, .cmd = FS_IOC_GETFLAGS, .flags = FUSE_IOCTL_UNRESTRICTED, .out_size = 8};
    CHECK_EQ(call_ioctl(&guest, node, in, NULL), -ENOTTY);
    in = (struct fuse_ioctl_in){.fh = fh, .cmd = FS_IOC_GETFLAGS, .out_size = 3};
    CHECK_EQ(call_ioctl(&guest, node, in, NULL), -EINVAL);
    in = (struct fuse_ioctl_in){.fh = fh, .cmd = FS_IOC_FSGETXATTR, .out_size = 27};
    CHECK_EQ(call_ioctl(&guest, node, in, NULL), -EINVAL);
    in = (struct fuse_ioctl_in){.fh = fh, .cmd = FS_IOC_SETFLAGS, .in_size = 3};
    CHECK_EQ(call_ioctl(&guest, node, in, value), -EINVAL);
    in.in_size = UINT32_MAX;
    CHECK_EQ(guest_call(&guest, FUSE_IOCTL, node, &in, sizeof(in), value, 100, 64), -EINVAL);
    in.in_size = sizeof(value);
    CHECK_EQ(call_ioctl(&guest, node, in, value), 0);
    in.fh++;
    CHECK_EQ(call_ioctl(&guest, node, in, value), -EBADF);
    CHECK_EQ(guest_end(&guest), 0);
}

/* Kernels before 5.13 pass the calls through as they come. */
static void flags_for_older_guests(void)
{
    struct guest guest;
    guest_begin(&guest);
    uint64_t node, fh;
    uint32_t flags;
    guest_host_file(&guest, "f", "x");
    CHECK_EQ(chown(guest_path(&guest, "f"), 1000, 1000), 0);
    struct fuse_init_in init = {.major = FUSE_ABI_MAJOR, .minor = 33};
    CHECK_EQ(guest_do(&guest, FUSE_INIT, 0, init), 0);
    node = guest_lookup(&guest, "f");
    CHECK_EQ(guest_open(&guest, node, O_RDONLY, &fh), 0);
    CHECK_EQ(get_flags(&guest, node, fh, &flags), 0);
    guest.uid = 1001;
    CHECK_EQ(set_flags(&guest, node, fh, flags | FS_NODUMP_FL), -EPERM);
    guest.uid = 1000;
    CHECK_EQ(set_flags(&guest, node, fh, flags | FS_NODUMP_FL), 0);
    CHECK_EQ(set_flags(&guest, node, fh, flags | FS_IMMUTABLE_FL), -EPERM);
    CHECK_EQ(get_flags(&guest, node, fh, &flags), 0);
    CHECK_EQ(flags & (FS_NODUMP_FL | FS_IMMUTABLE_FL), FS_NODUMP_FL);
    CHECK_EQ(guest_end(&guest), 0);
}

/* What may only be appended to can be opened for that (chattr +a). */
static void append_only(void)
{
    struct guest guest;
    guest_begin(&guest);
    uint64_t node, fh;
    guest_host_file(&guest, "f", "one");
    node = guest_lookup(&guest, "f");
    CHECK_EQ(guest_open(&guest, node, O_RDONLY, &fh), 0);
    CHECK_EQ(set_flags(&guest, node, fh, FS_APPEND_FL), 0); /* no sandbox: root's capabilities */
    uint64_t writer;
    int plain = guest_open(&guest, node, O_WRONLY, &writer);
    int cut = guest_open(&guest, node, O_WRONLY | O_APPEND | O_TRUNC, &writer);
    int error = guest_open(&guest, node, O_WRONLY | O_APPEND, &writer);
    int written = guest_write(&guest, node, writer, 0, ", two", 5, O_WRONLY | O_APPEND, 0);
    CHECK_EQ(set_flags(&guest, node, fh, 0), 0);
    CHECK_EQ(plain, -EPERM);
    CHECK_EQ(cut, -EPERM);
    CHECK_EQ(error, 0);
    CHECK_EQ(written, 5);
    CHECK_EQ(guest_host_stat(&guest, "f").st_size, 8);
    CHECK_EQ(guest_end(&guest), 0);
}

static uint64_t look_up(struct guest *guest, uint64_t parent, const char *name)
{
    if (guest_name(guest, FUSE_LOOKUP, parent, name) != 0)
        return 0;
    return ((struct fuse_entry_out *)guest->body)->nodeid;
}

static void begin_with_export(struct guest *guest)
{
    guest_prepare(guest);
    guest->init_flags |= FUSE_EXPORT_SUPPORT;
    guest_start(guest);
}

/* A file handle of the guest's is node id and generation; it comes back as a lookup of dots. */
static void found_by_id_alone(void)
{
    struct guest guest;
    begin_with_export(&guest);
    CHECK_EQ(mkdir(guest_path(&guest, "d"), 0755), 0);
    CHECK_EQ(mkdir(guest_path(&guest, "d/sub"), 0755), 0);
    guest_host_file(&guest, "d/sub/f", "content");
    uint64_t d = look_up(&guest, ROOT, "d"), sub = look_up(&guest, d, "sub");
    uint64_t f = look_up(&guest, sub, "f"), fh;
    uint64_t generation = BODY(fuse_entry_out)->generation;
    CHECK(f && sub && d);
    CHECK_EQ(look_up(&guest, f, "."), f);
    CHECK_EQ(BODY(fuse_entry_out)->generation, generation);
    CHECK_EQ(BODY(fuse_entry_out)->attr.size, 7);
    CHECK_EQ(look_up(&guest, ROOT, "."), ROOT);
    CHECK_EQ(BODY(fuse_entry_out)->generation, 0);

    /* Forgotten altogether. */
    forget(&guest, f, 2);
    forget(&guest, sub, 1);
    forget(&guest, d, 1);
    CHECK_EQ(look_up(&guest, f, "."), f);
    CHECK_EQ(BODY(fuse_entry_out)->generation, generation);
    CHECK_EQ(guest_open(&guest, f, O_RDONLY, &fh), 0);
    CHECK_EQ(guest_read(&guest, f, fh, 0, 100), 7);
    CHECK_EQ(look_up(&guest, sub, "."), sub);
    CHECK_EQ(look_up(&guest, sub, ".."), d);
    CHECK_EQ(look_up(&guest, d, ".."), ROOT);
    CHECK_EQ(look_up(&guest, ROOT, ".."), ROOT);
    CHECK_EQ(guest_name(&guest, FUSE_LOOKUP, f, ".."), -ENOTDIR);
    CHECK_EQ(guest_name(&guest, FUSE_LOOKUP, f + 1, "."), -ESTALE);
    CHECK_EQ(guest_name(&guest, FUSE_LOOKUP, d, "..."), -ENOENT);
    CHECK_EQ(guest_name(&guest, FUSE_GETXATTR, f, "."), -EINVAL);
    CHECK_EQ(guest_name(&guest, FUSE_RMDIR, d, "."), -EINVAL);
    CHECK_EQ(guest_name(&guest, FUSE_UNLINK, d, ".."), -EINVAL);

    /* By name it is the same inode again. */
    CHECK_EQ(look_up(&guest, ROOT, "d"), d);
    CHECK_EQ(guest_end(&guest), 0);
}

static void deleted_is_stale(void)
{
    struct guest guest;
    begin_with_export(&guest);
    guest_host_file(&guest, "f", "one");
    uint64_t f = look_up(&guest, ROOT, "f");
    forget(&guest, f, 1);
    CHECK_EQ(unlink(guest_path(&guest, "f")), 0);
    guest_host_file(&guest, "f", "another");
    CHECK_EQ(guest_name(&guest, FUSE_LOOKUP, f, "."), -ESTALE);
    CHECK(look_up(&guest, ROOT, "f") != f);
    CHECK_EQ(BODY(fuse_entry_out)->attr.size, 7);

    /* Another session: no id of the one before means anything. */
    uint64_t generation = BODY(fuse_entry_out)->generation;
    struct fuse_init_in init = {.major = FUSE_ABI_MAJOR, .minor = 38, .flags = FUSE_EXPORT_SUPPORT};
    f = BODY(fuse_entry_out)->nodeid;
    CHECK_EQ(guest_do(&guest, FUSE_INIT, 0, init), 0);
    CHECK_EQ(guest_name(&guest, FUSE_LOOKUP, f, "."), -ESTALE);
    CHECK(look_up(&guest, ROOT, "f") != 0);
    CHECK(BODY(fuse_entry_out)->generation != generation);
    CHECK_EQ(guest_end(&guest), 0);
}

/* A directory that the host has moved elsewhere is no way out of the share. */
static void no_way_out(void)
{
    struct guest guest;
    char outside[] = "/tmp/fuse-out-XXXXXX", moved[64];
    begin_with_export(&guest);
    CHECK(mkdtemp(outside));
    snprintf(moved, sizeof(moved), "%s/d", outside);
    CHECK_EQ(mkdir(guest_path(&guest, "d"), 0755), 0);
    CHECK_EQ(mkdir(guest_path(&guest, "d/sub"), 0755), 0);
    uint64_t d = look_up(&guest, ROOT, "d"), sub = look_up(&guest, d, "sub");
    CHECK_EQ(rename(guest_path(&guest, "d"), moved), 0);
    int of_d = guest_name(&guest, FUSE_LOOKUP, d, "..");
    int of_sub = guest_name(&guest, FUSE_LOOKUP, sub, "..");
    CHECK_EQ(rename(moved, guest_path(&guest, "d")), 0);
    CHECK_EQ(rmdir(outside), 0);
    CHECK_EQ(of_d, -ESTALE);
    CHECK_EQ(of_sub, -ESTALE);
    CHECK_EQ(look_up(&guest, sub, ".."), d);
    CHECK_EQ(look_up(&guest, d, ".."), ROOT);
    CHECK_EQ(guest_end(&guest), 0);
}

/* What has no answer here is ENOSYS, upon which Linux stops asking. */
static void never_asked_again(void)
{
    struct guest guest;
    guest_begin(&guest);
    struct fuse_poll_in poll_in = {0};
    struct fuse_bmap_in bmap_in = {0};
    CHECK_EQ(guest_do(&guest, FUSE_POLL, ROOT, poll_in), -ENOSYS);
    CHECK_EQ(guest_do(&guest, FUSE_BMAP, ROOT, bmap_in), -ENOSYS);
    CHECK_EQ(guest_end(&guest), 0);
}

int main(void)
{
    if (geteuid() != 0) {
        printf("skipped: needs root\n");
        return 77;
    }
    umask(0);
    /* What the sandbox does before it makes threads. */
    if (prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP) < 0) {
        printf("skipped: needs CAP_SETPCAP\n");
        return 77;
    }
    RUN(nameless_file);
    RUN(nameless_file_without_handles);
    RUN(nameless_file_refused);
    RUN(named_files_keep_no_descriptor);
    RUN(times_of_birth);
    RUN(copies_in_64_bits);
    RUN(flags_of_files);
    RUN(hostile_ioctls);
    RUN(flags_for_older_guests);
    RUN(append_only);
    RUN(found_by_id_alone);
    RUN(deleted_is_stale);
    RUN(no_way_out);
    RUN(never_asked_again);
    return test_result();
}
