// SPDX-License-Identifier: BSD-3-Clause
/*
 * Names, attributes and what is made, as a guest asks for it: the outcome is compared with what
 * the host's own calls say, and nothing may be left open. Needs root, for owners and special files.
 * test_fuse_data.c has what files and directories contain.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <linux/securebits.h>
#include <unistd.h>

#include "fuse_guest.h"
#include "test.h"

#define ROOT FUSE_ROOT_ID

static void lookup_and_getattr(void)
{
    struct guest guest;
    guest_begin(&guest);
    guest_host_file(&guest, "file", "hello");
    CHECK_EQ(chown(guest_path(&guest, "file"), 12, 34), 0);
    uint64_t node = guest_lookup(&guest, "file");
    CHECK(node > ROOT);
    CHECK_EQ(guest.length, sizeof(struct fuse_entry_out));
    CHECK_EQ(BODY(fuse_entry_out)->entry_valid, 1);
    CHECK_EQ(guest_lookup(&guest, "file"), node);

    struct fuse_getattr_in in = {0};
    CHECK_EQ(guest_do(&guest, FUSE_GETATTR, node, in), 0);
    CHECK_EQ(guest.length, sizeof(struct fuse_attr_out));
    const struct fuse_attr *attr = &BODY(fuse_attr_out)->attr;
    struct stat host = guest_host_stat(&guest, "file");
    CHECK_EQ(attr->ino, host.st_ino);
    CHECK_EQ(attr->size, 5);
    CHECK_EQ(attr->mode, host.st_mode);
    CHECK_EQ(attr->uid, 12);
    CHECK_EQ(attr->gid, 34);
    CHECK_EQ(attr->mtime, host.st_mtim.tv_sec);
    CHECK_EQ(attr->mtimensec, host.st_mtim.tv_nsec);
    CHECK_EQ(attr->blocks, host.st_blocks);

    CHECK_EQ(guest_name(&guest, FUSE_LOOKUP, ROOT, "missing"), -ENOENT);
    CHECK_EQ(guest_name(&guest, FUSE_LOOKUP, node, "x"), -ENOTDIR);
    CHECK_EQ(guest_end(&guest), 0);
}

static void hostile_names_and_ids(void)
{
    struct guest guest;
    guest_begin(&guest);
    guest_host_file(&guest, "file", "x");
    CHECK_EQ(guest_name(&guest, FUSE_LOOKUP, ROOT, ""), -EINVAL);
    CHECK_EQ(guest_name(&guest, FUSE_LOOKUP, ROOT, "."), -EINVAL);
    CHECK_EQ(guest_name(&guest, FUSE_LOOKUP, ROOT, ".."), -EINVAL);
    CHECK_EQ(guest_name(&guest, FUSE_LOOKUP, ROOT, "../etc"), -EINVAL);
    CHECK_EQ(guest_name(&guest, FUSE_LOOKUP, ROOT, "/etc"), -EINVAL);
    CHECK_EQ(guest_call(&guest, FUSE_LOOKUP, ROOT, NULL, 0, "file", 4, 4096), -EINVAL);
    CHECK_EQ(guest_call(&guest, FUSE_LOOKUP, ROOT, NULL, 0, NULL, 0, 4096), -EINVAL);
    char name[300];
    memset(name, 'n', sizeof(name));
    name[256] = '\0';
    CHECK_EQ(guest_name(&guest, FUSE_LOOKUP, ROOT, name), -ENAMETOOLONG);

    struct fuse_getattr_in in = {0};
    uint64_t node = guest_lookup(&guest, "file");
    CHECK_EQ(guest_do(&guest, FUSE_GETATTR, 0, in), -ESTALE);
    CHECK_EQ(guest_do(&guest, FUSE_GETATTR, UINT64_MAX, in), -ESTALE);
    CHECK_EQ(guest_do(&guest, FUSE_GETATTR, node ^ (1ull << 32), in), -ESTALE);
    struct fuse_forget_in forget = {.nlookup = 1};
    guest_do(&guest, FUSE_FORGET, node, forget);
    CHECK_EQ(guest_do(&guest, FUSE_GETATTR, node, in), -ESTALE);

    in = (struct fuse_getattr_in){.getattr_flags = FUSE_GETATTR_FH, .fh = 77};
    CHECK_EQ(guest_do(&guest, FUSE_GETATTR, ROOT, in), -EBADF);
    CHECK_EQ(guest_end(&guest), 0);
}

/* A name that is looked up again and again costs one call, for a descriptor; another file has its
 * own. */
static void lookups_that_repeat(void)
{
    struct guest guest;
    guest_begin(&guest);
    guest_host_file(&guest, "often", "1");
    uint64_t node = guest_lookup(&guest, "often");
    unsigned before = guest_open_descriptors();
    CHECK_EQ(guest_lookup(&guest, "often"), node);
    CHECK_EQ(guest_open_descriptors(), before);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(guest_lookup(&guest, "often"), node);
        CHECK_EQ(guest_open_descriptors(), before + 1);
    }
    guest_host_file(&guest, "other", "2");
    CHECK_EQ(rename(guest_path(&guest, "other"), guest_path(&guest, "often")), 0);
    uint64_t other = guest_lookup(&guest, "often");
    CHECK(other != 0 && other != node);
    struct fuse_forget_in forget = {.nlookup = 5};
    guest_do(&guest, FUSE_FORGET, node, forget);
    CHECK_EQ(guest_open_descriptors(), before);
    CHECK_EQ(guest_end(&guest), 0);
}

/* A request of this opcode that is a FORGET otherwise. Returns whether it was taken for one. */
static bool forget_in_passing(struct guest *guest, uint32_t opcode, uint64_t node)
{
    struct {
        struct fuse_in_header header;
        struct fuse_forget_in in;
    } request = {
        .header = {.len = sizeof(request), .opcode = opcode, .nodeid = node},
        .in.nlookup = 1,
    };
    struct fuse_out_header reply = {0};
    struct iovec readable = {&request, sizeof(request)};
    struct iovec writable = {&reply, sizeof(reply)};
    struct fuse_chain chain = {
        .readable = &readable, .readable_count = 1, .writable = &writable, .writable_count = 1};
    struct fuse_forget forget;
    if (!fuse_forget_read(&chain, &forget))
        return false;
    fuse_server_forget(guest->thread, &forget, 1);
    fuse_thread_settle(guest->thread, true);
    return reply.len == 0;
}

/* Who looks for FORGETs only does nothing to others. */
static void forgets_only(void)
{
    struct guest guest;
    guest_begin(&guest);
    guest_host_file(&guest, "file", "");
    uint64_t node = guest_lookup(&guest, "file");
    struct fuse_getattr_in in = {0};
    for (uint32_t opcode = 0; opcode < 64; opcode++)
        CHECK(opcode == FUSE_FORGET || !forget_in_passing(&guest, opcode, node));
    CHECK_EQ(guest_do(&guest, FUSE_GETATTR, node, in), 0);
    CHECK(forget_in_passing(&guest, FUSE_FORGET, node));
    CHECK_EQ(guest_do(&guest, FUSE_GETATTR, node, in), -ESTALE);
    CHECK_EQ(guest_end(&guest), 0);
}

static void create_semantics(void)
{
    struct guest guest;
    guest_begin(&guest);
    uint64_t node, fh;
    guest.uid = 1000;
    guest.gid = 2000;
    CHECK_EQ(guest_create(&guest, "new", O_RDWR | O_CREAT | O_EXCL, S_IFREG | 0640, &node, &fh), 0);
    struct stat host = guest_host_stat(&guest, "new");
    CHECK_EQ(host.st_uid, 1000);
    CHECK_EQ(host.st_gid, 2000);
    CHECK_EQ(host.st_mode, S_IFREG | 0640);
    CHECK_EQ(guest_create(&guest, "new", O_RDWR | O_CREAT | O_EXCL, S_IFREG, &node, &fh), -EEXIST);

    guest_host_file(&guest, "there", "content");
    CHECK_EQ(guest_create(&guest, "there", O_RDWR | O_CREAT, S_IFREG | 0600, &node, &fh), 0);
    CHECK_EQ(BODY(fuse_entry_out)->attr.size, 7);
    CHECK_EQ(guest_create(&guest, "there", O_RDWR | O_CREAT | O_TRUNC, S_IFREG, &node, &fh), 0);
    CHECK_EQ(BODY(fuse_entry_out)->attr.size, 0);
    CHECK_EQ(guest_host_stat(&guest, "there").st_size, 0);

    /* What somebody put there meanwhile is neither followed nor opened. */
    CHECK_EQ(symlink(guest_path(&guest, "target"), guest_path(&guest, "link")), 0);
    CHECK_EQ(guest_create(&guest, "link", O_RDWR | O_CREAT, S_IFREG, &node, &fh), -ESTALE);
    CHECK_EQ(access(guest_path(&guest, "target"), F_OK), -1);
    CHECK_EQ(mkfifo(guest_path(&guest, "fifo"), 0600), 0);
    CHECK_EQ(guest_create(&guest, "fifo", O_WRONLY | O_CREAT, S_IFREG, &node, &fh), -ESTALE);

    /* An id that means "none" must not become "as the server". */
    guest.uid = UINT32_MAX;
    CHECK_EQ(guest_create(&guest, "nobody", O_RDWR | O_CREAT, S_IFREG, &node, &fh), -EINVAL);
    guest.uid = 0;
    guest.gid = UINT32_MAX;
    CHECK_EQ(guest_create(&guest, "nobody", O_RDWR | O_CREAT, S_IFREG, &node, &fh), -EINVAL);
    CHECK_EQ(access(guest_path(&guest, "nobody"), F_OK), -1);
    CHECK_EQ(geteuid(), 0);
    CHECK_EQ(getegid(), 0);
    CHECK_EQ(guest_end(&guest), 0);
}

static void setuid_bits_die(void)
{
    struct guest guest;
    guest_begin(&guest);
    guest_host_file(&guest, "suid", "x");
    const char *path = guest_path(&guest, "suid");
    uint64_t node = guest_lookup(&guest, "suid"), fh;
    CHECK_EQ(guest_open(&guest, node, O_RDWR, &fh), 0);
    CHECK_EQ(chmod(path, 06755), 0);
    CHECK_EQ(guest_write(&guest, node, fh, 0, "a", 1, 0, 0), 1);
    CHECK_EQ(guest_host_stat(&guest, "suid").st_mode & 07777, 06755);
    CHECK_EQ(guest_write(&guest, node, fh, 0, "a", 1, 0, FUSE_WRITE_KILL_SUIDGID), 1);
    CHECK_EQ(guest_host_stat(&guest, "suid").st_mode & 07777, 0755);

    CHECK_EQ(chmod(path, 04755), 0);
    struct fuse_setattr_in size = {.valid = FATTR_SIZE | FATTR_KILL_SUIDGID, .size = 10};
    CHECK_EQ(guest_do(&guest, FUSE_SETATTR, node, size), 0);
    CHECK_EQ(guest_host_stat(&guest, "suid").st_mode & 07777, 0755);
    CHECK_EQ(chmod(path, 04755), 0);
    size.valid = FATTR_SIZE;
    CHECK_EQ(guest_do(&guest, FUSE_SETATTR, node, size), 0);
    CHECK_EQ(guest_host_stat(&guest, "suid").st_mode & 07777, 04755);

    struct fuse_open_in in = {.flags = O_WRONLY | O_TRUNC, .open_flags = FUSE_OPEN_KILL_SUIDGID};
    CHECK_EQ(guest_do(&guest, FUSE_OPEN, node, in), 0);
    CHECK_EQ(guest_host_stat(&guest, "suid").st_mode & 07777, 0755);

    /* Without group execution S_ISGID stays, as <linux/fuse.h> wants it. */
    CHECK_EQ(chmod(path, 06644), 0);
    CHECK_EQ(guest_write(&guest, node, fh, 0, "a", 1, 0, FUSE_WRITE_KILL_SUIDGID), 1);
    CHECK_EQ(guest_host_stat(&guest, "suid").st_mode & 07777, 02644);
    CHECK_EQ(chmod(path, 06644), 0);
    size.valid = FATTR_SIZE | FATTR_KILL_SUIDGID;
    CHECK_EQ(guest_do(&guest, FUSE_SETATTR, node, size), 0);
    CHECK_EQ(guest_host_stat(&guest, "suid").st_mode & 07777, 02644);
    CHECK_EQ(guest_do(&guest, FUSE_OPEN, node, in), 0);
    CHECK_EQ(guest_host_stat(&guest, "suid").st_mode & 07777, 02644);

    /* After all that a mode is set exactly as asked, in whatever group the file is. */
    struct fuse_setattr_in mode = {
        .valid = FATTR_MODE | FATTR_UID | FATTR_GID, .mode = 06711, .uid = 5, .gid = 6};
    CHECK_EQ(guest_do(&guest, FUSE_SETATTR, node, mode), 0);
    struct stat host = guest_host_stat(&guest, "suid");
    CHECK_EQ(host.st_mode & 07777, 06711);
    CHECK_EQ(host.st_uid, 5);
    CHECK_EQ(host.st_gid, 6);

    /* setgid directories: the group is inherited; a stranger's setgid file is not setgid. */
    CHECK_EQ(mkdir(guest_path(&guest, "dir"), 0777), 0);
    CHECK_EQ(chown(guest_path(&guest, "dir"), 0, 50), 0);
    CHECK_EQ(chmod(guest_path(&guest, "dir"), 02777), 0);
    uint64_t dir = guest_lookup(&guest, "dir");
    guest.uid = guest.gid = 1000;
    struct fuse_mknod_in mknod_in = {.mode = S_IFREG | 02755};
    CHECK_EQ(guest_ask(&guest, FUSE_MKNOD, dir, mknod_in, "stranger"), 0);
    host = guest_host_stat(&guest, "dir/stranger");
    CHECK_EQ(host.st_gid, 50);
    CHECK_EQ(host.st_uid, 1000);
    CHECK_EQ(host.st_mode & 07777, 0755);
    struct fuse_mkdir_in mkdir_in = {.mode = 0755};
    CHECK_EQ(guest_ask(&guest, FUSE_MKDIR, dir, mkdir_in, "sub"), 0);
    CHECK_EQ(guest_host_stat(&guest, "dir/sub").st_mode & 07777, 02755);
    guest.uid = guest.gid = 0;
    CHECK_EQ(guest_ask(&guest, FUSE_MKNOD, dir, mknod_in, "root"), 0);
    CHECK_EQ(guest_host_stat(&guest, "dir/root").st_mode & 07777, 02755);
    CHECK_EQ(guest_end(&guest), 0);
}

static void attributes_change(void)
{
    struct guest guest;
    guest_begin(&guest);
    guest_host_file(&guest, "f", "0123456789");
    uint64_t node = guest_lookup(&guest, "f"), fh;
    struct fuse_setattr_in in = {
        .valid = FATTR_SIZE | FATTR_ATIME | FATTR_MTIME,
        .size = 3,
        .atime = (uint64_t)-5,
        .atimensec = 7,
        .mtime = 1234567890,
        .mtimensec = 999999999,
    };
    CHECK_EQ(guest_do(&guest, FUSE_SETATTR, node, in), 0);
    struct stat host = guest_host_stat(&guest, "f");
    CHECK_EQ(host.st_size, 3);
    CHECK_EQ(host.st_atim.tv_sec, -5);
    CHECK_EQ(host.st_mtim.tv_sec, 1234567890);
    CHECK_EQ(host.st_mtim.tv_nsec, 999999999);
    CHECK_EQ(BODY(fuse_attr_out)->attr.size, 3);
    in = (struct fuse_setattr_in){.valid = FATTR_MTIME | FATTR_MTIME_NOW, .mtimensec = 4000000000u};
    CHECK_EQ(guest_do(&guest, FUSE_SETATTR, node, in), 0);
    CHECK(guest_host_stat(&guest, "f").st_mtim.tv_sec > 1234567890);

    /* By handle, also when the name is gone; a handle open for reading does not hinder. */
    CHECK_EQ(guest_open(&guest, node, O_RDONLY, &fh), 0);
    in = (struct fuse_setattr_in){.valid = FATTR_SIZE | FATTR_FH, .fh = fh, .size = 1};
    CHECK_EQ(guest_do(&guest, FUSE_SETATTR, node, in), 0);
    CHECK_EQ(guest_host_stat(&guest, "f").st_size, 1);
    CHECK_EQ(guest_open(&guest, node, O_RDWR, &fh), 0);
    CHECK_EQ(guest_name(&guest, FUSE_UNLINK, ROOT, "f"), 0);
    in = (struct fuse_setattr_in){
        .valid = FATTR_SIZE | FATTR_MODE | FATTR_FH, .fh = fh, .size = 9, .mode = 0400};
    CHECK_EQ(guest_do(&guest, FUSE_SETATTR, node, in), 0);
    CHECK_EQ(BODY(fuse_attr_out)->attr.size, 9);
    CHECK_EQ(BODY(fuse_attr_out)->attr.nlink, 0);

    guest_host_file(&guest, "g", "x");
    node = guest_lookup(&guest, "g");
    in = (struct fuse_setattr_in){.valid = 1u << 30};
    CHECK_EQ(guest_do(&guest, FUSE_SETATTR, node, in), -EINVAL);
    in = (struct fuse_setattr_in){.valid = FATTR_ATIME, .atimensec = UTIME_NOW};
    CHECK_EQ(guest_do(&guest, FUSE_SETATTR, node, in), -EINVAL);
    in = (struct fuse_setattr_in){.valid = FATTR_SIZE, .size = UINT64_MAX};
    CHECK_EQ(guest_do(&guest, FUSE_SETATTR, node, in), -EINVAL);
    in = (struct fuse_setattr_in){.valid = FATTR_UID, .uid = UINT32_MAX};
    CHECK_EQ(guest_do(&guest, FUSE_SETATTR, node, in), -EINVAL);
    in = (struct fuse_setattr_in){.valid = FATTR_SIZE};
    CHECK_EQ(guest_do(&guest, FUSE_SETATTR, ROOT, in), -EISDIR);

    /* A symbolic link's own owner and times; never its target's. */
    CHECK_EQ(symlink("g", guest_path(&guest, "link")), 0);
    node = guest_lookup(&guest, "link");
    in = (struct fuse_setattr_in){.valid = FATTR_UID | FATTR_MTIME, .uid = 77, .mtime = 88};
    CHECK_EQ(guest_do(&guest, FUSE_SETATTR, node, in), 0);
    CHECK_EQ(guest_host_stat(&guest, "link").st_uid, 77);
    CHECK_EQ(guest_host_stat(&guest, "link").st_mtim.tv_sec, 88);
    CHECK_EQ(guest_host_stat(&guest, "g").st_uid, 0);
    in = (struct fuse_setattr_in){.valid = FATTR_MODE, .mode = 0777};
    CHECK_EQ(guest_do(&guest, FUSE_SETATTR, node, in), -EOPNOTSUPP);
    in = (struct fuse_setattr_in){.valid = FATTR_SIZE};
    CHECK_EQ(guest_do(&guest, FUSE_SETATTR, node, in), -EINVAL);
    CHECK_EQ(guest_end(&guest), 0);
}

static void making_and_linking(void)
{
    struct guest guest;
    guest_begin(&guest);
    guest.uid = guest.gid = 1234;
    struct fuse_mknod_in mknod_in = {.mode = S_IFIFO | 0611};
    CHECK_EQ(guest_ask(&guest, FUSE_MKNOD, ROOT, mknod_in, "fifo"), 0);
    CHECK_EQ(guest_host_stat(&guest, "fifo").st_mode, S_IFIFO | 0611);
    mknod_in = (struct fuse_mknod_in){.mode = S_IFCHR | 0600, .rdev = 0x12305};
    CHECK_EQ(guest_ask(&guest, FUSE_MKNOD, ROOT, mknod_in, "dev"), 0);
    CHECK_EQ(major(guest_host_stat(&guest, "dev").st_rdev), 0x123);
    CHECK_EQ(minor(guest_host_stat(&guest, "dev").st_rdev), 5);
    CHECK_EQ(BODY(fuse_entry_out)->attr.rdev, 0x12305);
    mknod_in.mode = S_IFDIR | 0700;
    CHECK_EQ(guest_ask(&guest, FUSE_MKNOD, ROOT, mknod_in, "odd"), -EPERM);

    CHECK_EQ(guest_call(&guest, FUSE_SYMLINK, ROOT, NULL, 0, "link\0no/where", 14, 4096), 0);
    uint64_t link_node = BODY(fuse_entry_out)->nodeid;
    CHECK_EQ(guest_host_stat(&guest, "link").st_uid, 1234);
    CHECK_EQ(guest_call(&guest, FUSE_READLINK, link_node, NULL, 0, NULL, 0, 4096), 0);
    CHECK_EQ(guest.length, 8);
    CHECK(memcmp(guest.body, "no/where", 8) == 0);
    CHECK_EQ(guest_call(&guest, FUSE_READLINK, link_node, NULL, 0, NULL, 0, 7), -EIO);
    CHECK_EQ(guest_call(&guest, FUSE_READLINK, ROOT, NULL, 0, NULL, 0, 4096), -EINVAL);
    CHECK_EQ(guest_call(&guest, FUSE_SYMLINK, ROOT, NULL, 0, "link2", 6, 4096), -EINVAL);

    struct fuse_link_in link_in = {.oldnodeid = link_node};
    CHECK_EQ(guest_ask(&guest, FUSE_LINK, ROOT, link_in, "second"), 0);
    CHECK_EQ(BODY(fuse_entry_out)->nodeid, link_node);
    CHECK_EQ(guest_host_stat(&guest, "second").st_ino, guest_host_stat(&guest, "link").st_ino);
    link_in.oldnodeid = ROOT;
    CHECK_EQ(guest_ask(&guest, FUSE_LINK, ROOT, link_in, "dir"), -EPERM);
    link_in.oldnodeid = 999;
    CHECK_EQ(guest_ask(&guest, FUSE_LINK, ROOT, link_in, "none"), -ESTALE);

    struct fuse_mkdir_in mkdir_in = {.mode = 01750};
    CHECK_EQ(guest_ask(&guest, FUSE_MKDIR, ROOT, mkdir_in, "sub"), 0);
    CHECK_EQ(guest_host_stat(&guest, "sub").st_mode, S_IFDIR | 01750);
    CHECK_EQ(guest_host_stat(&guest, "sub").st_gid, 1234);
    CHECK_EQ(guest_ask(&guest, FUSE_MKDIR, ROOT, mkdir_in, "sub"), -EEXIST);
    CHECK_EQ(guest_end(&guest), 0);
}

static int rename2_call(struct guest *guest, uint32_t flags, const char *names, size_t length)
{
    struct fuse_rename2_in in = {.newdir = ROOT, .flags = flags};
    return guest_call(guest, FUSE_RENAME2, ROOT, &in, sizeof(in), names, length, 64);
}

static void removing_and_renaming(void)
{
    struct guest guest;
    guest_begin(&guest);
    guest_host_file(&guest, "a", "a");
    guest_host_file(&guest, "b", "bb");
    CHECK_EQ(rename2_call(&guest, RENAME_NOREPLACE, "a\0b", 4), -EEXIST);
    CHECK_EQ(rename2_call(&guest, RENAME_EXCHANGE, "a\0b", 4), 0);
    CHECK_EQ(guest_host_stat(&guest, "a").st_size, 2);
    CHECK_EQ(rename2_call(&guest, 8, "a\0b", 4), -EINVAL);
    CHECK_EQ(rename2_call(&guest, 0, "a\0../b", 7), -EINVAL);
    CHECK_EQ(rename2_call(&guest, 0, "a\0b", 3), -EINVAL);
    CHECK_EQ(rename2_call(&guest, 0, "a", 2), -EINVAL);
    guest.uid = 42;
    CHECK_EQ(rename2_call(&guest, RENAME_WHITEOUT, "a\0c", 4), 0);
    CHECK_EQ(guest_host_stat(&guest, "a").st_mode & S_IFMT, S_IFCHR);
    CHECK_EQ(guest_host_stat(&guest, "a").st_uid, 42);
    struct fuse_rename_in in = {.newdir = ROOT};
    CHECK_EQ(guest_call(&guest, FUSE_RENAME, ROOT, &in, sizeof(in), "c\0b", 4, 64), 0);
    in.newdir = 4711;
    CHECK_EQ(guest_call(&guest, FUSE_RENAME, ROOT, &in, sizeof(in), "b\0c", 4, 64), -ESTALE);

    CHECK_EQ(mkdir(guest_path(&guest, "d"), 0755), 0);
    CHECK_EQ(guest_name(&guest, FUSE_UNLINK, ROOT, "d"), -EISDIR);
    CHECK_EQ(guest_name(&guest, FUSE_RMDIR, ROOT, "b"), -ENOTDIR);
    CHECK_EQ(guest_name(&guest, FUSE_RMDIR, ROOT, "d"), 0);
    CHECK_EQ(guest_name(&guest, FUSE_UNLINK, ROOT, "b"), 0);
    CHECK_EQ(guest_name(&guest, FUSE_UNLINK, ROOT, "b"), -ENOENT);
    CHECK_EQ(guest_name(&guest, FUSE_RMDIR, ROOT, ".."), -EINVAL);
    CHECK_EQ(guest_end(&guest), 0);
}

/*
 * What the guest knows stays what it is when its last name is gone, until it forgets it; in
 * whatever order files come that have a descriptor (FIFOs), that have none, that have another name,
 * and that it does not know.
 */
static void known_after_removal(void)
{
    struct guest guest;
    guest_begin(&guest);
    struct fuse_getattr_in getattr = {0};
    for (unsigned i = 0; i < 64; i++) {
        enum { FIFO, PLAIN, LINKED, UNKNOWN } kind = (i ^ i >> 2 ^ i >> 4) % 4;
        if (kind == FIFO)
            CHECK_EQ(mkfifo(guest_path(&guest, "f"), 0600), 0);
        else
            guest_host_file(&guest, "f", "content");
        if (kind == LINKED)
            CHECK_EQ(link(guest_path(&guest, "f"), guest_path(&guest, "other")), 0);
        uint64_t node = kind == UNKNOWN ? 0 : guest_lookup(&guest, "f");
        uint64_t ino = guest_host_stat(&guest, "f").st_ino;
        CHECK_EQ(guest_name(&guest, FUSE_UNLINK, ROOT, "f"), 0);
        CHECK_EQ(guest_name(&guest, FUSE_UNLINK, ROOT, "f"), -ENOENT);
        if (kind == UNKNOWN)
            continue;
        /* Another file, which may have the number that was given back. */
        guest_host_file(&guest, "new", "");
        CHECK_EQ(guest_do(&guest, FUSE_GETATTR, node, getattr), 0);
        CHECK_EQ(BODY(fuse_attr_out)->attr.ino, ino);
        CHECK_EQ(BODY(fuse_attr_out)->attr.size, kind == FIFO ? 0 : 7);
        CHECK_EQ(BODY(fuse_attr_out)->attr.nlink, kind == LINKED ? 1 : 0);
        if (kind == LINKED)
            CHECK_EQ(guest_name(&guest, FUSE_UNLINK, ROOT, "other"), 0);
        CHECK_EQ(unlink(guest_path(&guest, "new")), 0);
        struct fuse_forget_in forget = {.nlookup = 1};
        guest_do(&guest, FUSE_FORGET, node, forget);
        CHECK_EQ(guest_do(&guest, FUSE_GETATTR, node, getattr), -ESTALE);
    }
    CHECK_EQ(guest_end(&guest), 0);
}

/* No special file is ever opened, and no link followed; nothing waits for a FIFO's other end. */
static void special_files_stay_closed(void)
{
    struct guest guest;
    guest_begin(&guest);
    uint64_t fh;
    CHECK_EQ(mkfifo(guest_path(&guest, "fifo"), 0600), 0);
    CHECK_EQ(mknod(guest_path(&guest, "null"), S_IFCHR | 0666, makedev(1, 3)), 0);
    CHECK_EQ(symlink("/etc/passwd", guest_path(&guest, "link")), 0);
    CHECK_EQ(symlink("/etc", guest_path(&guest, "dirlink")), 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", guest_path(&guest, "sock"));
    int sock = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_EQ(bind(sock, (struct sockaddr *)&address, sizeof(address)), 0);
    close(sock);

    CHECK_EQ(guest_open(&guest, guest_lookup(&guest, "fifo"), O_RDONLY, &fh), -ENXIO);
    CHECK_EQ(guest_open(&guest, guest_lookup(&guest, "null"), O_RDWR, &fh), -ENXIO);
    CHECK_EQ(guest_open(&guest, guest_lookup(&guest, "sock"), O_RDWR, &fh), -ENXIO);
    CHECK_EQ(guest_open(&guest, guest_lookup(&guest, "link"), O_RDONLY, &fh), -ELOOP);
    CHECK_EQ(guest_open(&guest, ROOT, O_RDONLY, &fh), -EISDIR);
    CHECK_EQ(guest_opendir(&guest, guest_lookup(&guest, "dirlink"), &fh), -ENOTDIR);
    CHECK_EQ(guest_name(&guest, FUSE_LOOKUP, guest_lookup(&guest, "dirlink"), "passwd"), -ENOTDIR);
    struct fuse_syncfs_in sync = {0};
    CHECK_EQ(guest_do(&guest, FUSE_SYNCFS, guest_lookup(&guest, "fifo"), sync), -ENXIO);
    CHECK_EQ(guest_end(&guest), 0);
}

static void file_system_and_access(void)
{
    struct guest guest;
    guest_begin(&guest);
    struct statfs host;
    CHECK_EQ(statfs(guest.root, &host), 0);
    CHECK_EQ(guest_call(&guest, FUSE_STATFS, ROOT, NULL, 0, NULL, 0, 4096), 0);
    CHECK_EQ(guest.length, sizeof(struct fuse_statfs_out));
    CHECK_EQ(BODY(fuse_statfs_out)->st.blocks, host.f_blocks);
    CHECK_EQ(BODY(fuse_statfs_out)->st.namelen, host.f_namelen);
    CHECK_EQ(BODY(fuse_statfs_out)->st.bsize, host.f_bsize);

    guest_host_file(&guest, "f", "x");
    CHECK_EQ(chown(guest_path(&guest, "f"), 10, 20), 0);
    CHECK_EQ(chmod(guest_path(&guest, "f"), 0640), 0);
    uint64_t node = guest_lookup(&guest, "f");
    struct fuse_access_in in = {.mask = R_OK | W_OK};
    CHECK_EQ(guest_do(&guest, FUSE_ACCESS, node, in), 0);
    in.mask = X_OK;
    CHECK_EQ(guest_do(&guest, FUSE_ACCESS, node, in), -EACCES);
    in.mask = R_OK | W_OK;
    guest.uid = 10;
    CHECK_EQ(guest_do(&guest, FUSE_ACCESS, node, in), 0);
    guest.uid = 11;
    guest.gid = 20;
    CHECK_EQ(guest_do(&guest, FUSE_ACCESS, node, in), -EACCES);
    in.mask = R_OK;
    CHECK_EQ(guest_do(&guest, FUSE_ACCESS, node, in), 0);
    guest.gid = 21;
    CHECK_EQ(guest_do(&guest, FUSE_ACCESS, node, in), -EACCES);
    in.mask = F_OK;
    CHECK_EQ(guest_do(&guest, FUSE_ACCESS, node, in), 0);
    in.mask = 8;
    CHECK_EQ(guest_do(&guest, FUSE_ACCESS, node, in), -EINVAL);
    CHECK_EQ(guest_end(&guest), 0);
}

static void read_only_share(void)
{
    struct guest guest;
    guest_prepare(&guest);
    guest.settings.readonly = true;
    guest_start(&guest);
    guest_host_file(&guest, "f", "x");
    uint64_t node = guest_lookup(&guest, "f"), fh;
    CHECK_EQ(guest_open(&guest, node, O_RDWR, &fh), -EROFS);
    CHECK_EQ(guest_open(&guest, node, O_WRONLY, &fh), -EROFS);
    CHECK_EQ(guest_open(&guest, node, O_RDONLY | O_TRUNC, &fh), -EROFS);
    CHECK_EQ(guest_open(&guest, node, O_RDONLY, &fh), 0);
    CHECK_EQ(guest_read(&guest, node, fh, 0, 10), 1);
    CHECK_EQ(guest_write(&guest, node, fh, 0, "y", 1, 0, 0), -EROFS);
    CHECK_EQ(guest_name(&guest, FUSE_UNLINK, ROOT, "f"), -EROFS);
    struct fuse_access_in in = {.mask = W_OK};
    CHECK_EQ(guest_do(&guest, FUSE_ACCESS, node, in), -EROFS);
    CHECK_EQ(guest_end(&guest), 0);
}

/* What an ordinary user without a namespace can serve; in a process of its own. */
static int serve_as_ordinary_user(void)
{
    struct guest guest;
    guest_prepare(&guest);
    /* As root leaves its capabilities when nothing keeps them. */
    if (chown(guest.root, 1000, 1000) < 0 || prctl(PR_SET_SECUREBITS, 0) < 0 ||
        setgroups(0, NULL) < 0 || setresgid(1000, 1000, 1000) < 0 ||
        setresuid(1000, 1000, 1000) < 0)
        return 1;
    guest_start(&guest);
    uint64_t node, fh;
    int wrong = 0;
    wrong |= guest_create(&guest, "root", O_RDWR | O_CREAT, S_IFREG | 0600, &node, &fh) != 0;
    wrong |= guest_host_stat(&guest, "root").st_uid != 1000;
    guest.uid = guest.gid = 1000;
    wrong |= guest_create(&guest, "own", O_RDWR | O_CREAT, S_IFREG | 0600, &node, &fh) != 0;
    wrong |= guest_write(&guest, node, fh, 0, "x", 1, 0, FUSE_WRITE_KILL_SUIDGID) != 1;
    guest.gid = 1001;
    wrong |= guest_create(&guest, "other", O_RDWR | O_CREAT, S_IFREG | 0600, &node, &fh) != -EPERM;
    guest.gid = 1000;
    guest.uid = 1001;
    wrong |= guest_create(&guest, "other", O_RDWR | O_CREAT, S_IFREG | 0600, &node, &fh) != -EPERM;
    wrong |= access(guest_path(&guest, "other"), F_OK) == 0;
    struct fuse_setattr_in in = {.valid = FATTR_UID, .uid = 0};
    wrong |= guest_do(&guest, FUSE_SETATTR, guest_lookup(&guest, "own"), in) != -EPERM;
    wrong |= guest_end(&guest) != 0;
    return wrong;
}

static void ordinary_user(void)
{
    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        _exit(serve_as_ordinary_user());
    int status = -1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
}

/* The reply has no room: nothing stays behind that the guest cannot name. */
static void no_room(void)
{
    struct guest guest;
    guest_begin(&guest);
    guest_host_file(&guest, "f", "x");
    struct fuse_open_in open_in = {.flags = O_RDONLY};
    struct fuse_create_in create_in = {.flags = O_RDWR | O_CREAT, .mode = S_IFREG};
    for (unsigned i = 0; i < 100; i++) {
        CHECK_EQ(guest_call(&guest, FUSE_LOOKUP, ROOT, NULL, 0, "f", 2, 8), -EIO);
        CHECK_EQ(guest_call(&guest, FUSE_OPENDIR, ROOT, &open_in, sizeof(open_in), NULL, 0, 8),
                 -EIO);
        CHECK_EQ(guest_call(&guest, FUSE_CREATE, ROOT, &create_in, sizeof(create_in), "n", 2, 130),
                 -EIO);
    }
    /* All lookups were taken back, so this one is the first and its forgetting the last. */
    uint64_t node = guest_lookup(&guest, "f");
    struct fuse_forget_in forget = {.nlookup = 1};
    guest_do(&guest, FUSE_FORGET, node, forget);
    struct fuse_getattr_in in = {0};
    CHECK_EQ(guest_do(&guest, FUSE_GETATTR, node, in), -ESTALE);
    CHECK_EQ(guest_end(&guest), 0);
}

/* Arguments and tails of chance, on ids that exist: it must only not break anything. */
static void any_bytes(void)
{
    static const uint32_t opcodes[] = {1,  3,  4,  5,  6,  8,  9,  10, 11, 12, 13, 14,
                                       15, 16, 17, 18, 20, 21, 22, 23, 24, 25, 27, 28,
                                       29, 30, 34, 35, 42, 43, 44, 45, 46, 47, 2,  36};
    struct guest guest;
    guest_begin(&guest);
    srandom(1);
    guest_host_file(&guest, "f", "x");
    uint64_t ids[6] = {ROOT, guest_lookup(&guest, "f"), 0, 0, 7};
    CHECK_EQ(guest_open(&guest, ids[1], O_RDWR, &ids[2]), 0);
    CHECK_EQ(guest_opendir(&guest, ROOT, &ids[3]), 0);
    for (unsigned round = 0; round < 60000; round++) {
        uint64_t bytes[24];
        for (unsigned i = 0; i < 24; i++) {
            uint64_t r = (uint64_t)random() << 33 ^ (uint64_t)random();
            bytes[i] = r % 3 == 0 ? ids[r / 3 % 6] : r % 3 == 1 ? r / 3 % 4096 : r;
        }
        if (round % 2)
            bytes[0] = ids[2 + random() % 2]; /* where most structures have the handle */
        bytes[20] = 0x66;                     /* the name "f" */
        size_t args = (size_t)random() % sizeof(bytes);
        guest.uid = (uint32_t)random() % 3;
        guest.gid = (uint32_t)random() % 3;
        uint32_t opcode = opcodes[(size_t)random() % (sizeof(opcodes) / sizeof(opcodes[0]))];
        uint64_t node = ids[(size_t)random() % 2];
        guest_call(&guest, opcode, node, bytes, args, "f\0g", (size_t)random() % 5,
                   (size_t)random() % 5000);
        if (round % 500 == 0) {
            guest_host_file(&guest, "f", "x");
            ids[1] = guest_lookup(&guest, "f");
            guest_open(&guest, ids[1], O_RDWR, &ids[2]);
            guest_opendir(&guest, ROOT, &ids[3]);
        }
    }
    CHECK_EQ(geteuid(), 0);
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
    RUN(lookup_and_getattr);
    RUN(hostile_names_and_ids);
    RUN(lookups_that_repeat);
    RUN(forgets_only);
    RUN(create_semantics);
    RUN(setuid_bits_die);
    RUN(attributes_change);
    RUN(making_and_linking);
    RUN(removing_and_renaming);
    RUN(known_after_removal);
    RUN(special_files_stay_closed);
    RUN(file_system_and_access);
    RUN(read_only_share);
    RUN(ordinary_user);
    RUN(no_room);
    RUN(any_bytes);
    return test_result();
}
