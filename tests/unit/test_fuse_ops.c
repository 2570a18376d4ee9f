// SPDX-License-Identifier: BSD-3-Clause
/*
 * Every operation on files, as a guest asks for it: the outcome is compared with what the host's
 * own calls say, and nothing may be left open. Needs root, for owners and special files.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <linux/falloc.h>
#include <linux/securebits.h>
#include <unistd.h>

#include "fuse_guest.h"
#include "test.h"

#define ROOT       FUSE_ROOT_ID

#define BODY(type) ((struct type *)guest.body)

static void begin(struct guest *guest)
{
    guest_prepare(guest);
    guest_start(guest);
}

static void host_file(const struct guest *guest, const char *name, const char *content)
{
    int fd = open(guest_path(guest, name), O_CREAT | O_TRUNC | O_WRONLY, 0644);
    if (fd < 0 || write(fd, content, strlen(content)) != (ssize_t)strlen(content))
        abort();
    close(fd);
}

static struct stat host_stat(const struct guest *guest, const char *name)
{
    struct stat result = {0};
    lstat(guest_path(guest, name), &result);
    return result;
}

static void lookup_and_getattr(void)
{
    struct guest guest;
    begin(&guest);
    host_file(&guest, "file", "hello");
    chown(guest_path(&guest, "file"), 12, 34);
    uint64_t node = guest_lookup(&guest, "file");
    CHECK(node > ROOT);
    CHECK_EQ(guest.length, sizeof(struct fuse_entry_out));
    CHECK_EQ(BODY(fuse_entry_out)->entry_valid, 1);
    CHECK_EQ(guest_lookup(&guest, "file"), node);

    struct fuse_getattr_in in = {0};
    CHECK_EQ(guest_do(&guest, FUSE_GETATTR, node, in), 0);
    CHECK_EQ(guest.length, sizeof(struct fuse_attr_out));
    const struct fuse_attr *attr = &BODY(fuse_attr_out)->attr;
    struct stat host = host_stat(&guest, "file");
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
    begin(&guest);
    host_file(&guest, "file", "x");
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

static int create(struct guest *guest, const char *name, uint32_t flags, uint32_t mode,
                  uint64_t *ret_node, uint64_t *ret_fh)
{
    struct fuse_create_in in = {.flags = flags, .mode = mode};
    int error = guest_ask(guest, FUSE_CREATE, ROOT, in, name);
    if (error)
        return error;
    *ret_node = ((struct fuse_entry_out *)guest->body)->nodeid;
    *ret_fh = ((struct fuse_open_out *)(guest->body + sizeof(struct fuse_entry_out)))->fh;
    return 0;
}

static void create_semantics(void)
{
    struct guest guest;
    begin(&guest);
    uint64_t node, fh;
    guest.uid = 1000;
    guest.gid = 2000;
    CHECK_EQ(create(&guest, "new", O_RDWR | O_CREAT | O_EXCL, S_IFREG | 0640, &node, &fh), 0);
    struct stat host = host_stat(&guest, "new");
    CHECK_EQ(host.st_uid, 1000);
    CHECK_EQ(host.st_gid, 2000);
    CHECK_EQ(host.st_mode, S_IFREG | 0640);
    CHECK_EQ(create(&guest, "new", O_RDWR | O_CREAT | O_EXCL, S_IFREG, &node, &fh), -EEXIST);

    host_file(&guest, "there", "content");
    CHECK_EQ(create(&guest, "there", O_RDWR | O_CREAT, S_IFREG | 0600, &node, &fh), 0);
    CHECK_EQ(BODY(fuse_entry_out)->attr.size, 7);
    CHECK_EQ(create(&guest, "there", O_RDWR | O_CREAT | O_TRUNC, S_IFREG, &node, &fh), 0);
    CHECK_EQ(BODY(fuse_entry_out)->attr.size, 0);
    CHECK_EQ(host_stat(&guest, "there").st_size, 0);

    /* What somebody put there meanwhile is neither followed nor opened. */
    CHECK_EQ(symlink(guest_path(&guest, "target"), guest_path(&guest, "link")), 0);
    CHECK_EQ(create(&guest, "link", O_RDWR | O_CREAT, S_IFREG, &node, &fh), -ESTALE);
    CHECK_EQ(access(guest_path(&guest, "target"), F_OK), -1);
    CHECK_EQ(mkfifo(guest_path(&guest, "fifo"), 0600), 0);
    CHECK_EQ(create(&guest, "fifo", O_WRONLY | O_CREAT, S_IFREG, &node, &fh), -ESTALE);

    /* An id that means "none" must not become "as the server". */
    guest.uid = UINT32_MAX;
    CHECK_EQ(create(&guest, "nobody", O_RDWR | O_CREAT, S_IFREG, &node, &fh), -EINVAL);
    guest.uid = 0;
    guest.gid = UINT32_MAX;
    CHECK_EQ(create(&guest, "nobody", O_RDWR | O_CREAT, S_IFREG, &node, &fh), -EINVAL);
    CHECK_EQ(access(guest_path(&guest, "nobody"), F_OK), -1);
    CHECK_EQ(geteuid(), 0);
    CHECK_EQ(getegid(), 0);
    CHECK_EQ(guest_end(&guest), 0);
}

static int write_at(struct guest *guest, uint64_t node, uint64_t fh, uint64_t offset,
                    const void *data, size_t length, uint32_t flags, uint32_t write_flags)
{
    struct fuse_write_in in = {
        .fh = fh,
        .offset = offset,
        .size = (uint32_t)length,
        .flags = flags,
        .write_flags = write_flags,
    };
    int error = guest_call(guest, FUSE_WRITE, node, &in, sizeof(in), data, length, 4096);
    return error ? error : (int)((struct fuse_write_out *)guest->body)->size;
}

static int read_at(struct guest *guest, uint64_t node, uint64_t fh, uint64_t offset, uint32_t size)
{
    struct fuse_read_in in = {.fh = fh, .offset = offset, .size = size};
    int error = guest_call(guest, FUSE_READ, node, &in, sizeof(in), NULL, 0,
                           size < GUEST_BODY_MAX ? size : GUEST_BODY_MAX);
    return error ? error : (int)guest->length;
}

static void read_and_write(void)
{
    static uint8_t data[900000];
    struct guest guest;
    begin(&guest);
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 2654435761u >> 13);
    uint64_t node, fh;
    CHECK_EQ(create(&guest, "f", O_RDWR | O_CREAT, S_IFREG | 0600, &node, &fh), 0);
    /* More pieces than one system call takes. */
    CHECK_EQ(write_at(&guest, node, fh, 0, data, sizeof(data), O_RDWR, 0), sizeof(data));
    CHECK_EQ(read_at(&guest, node, fh, 0, sizeof(data)), sizeof(data));
    CHECK(memcmp(guest.body, data, sizeof(data)) == 0);
    CHECK_EQ(read_at(&guest, node, fh, 12345, GUEST_BODY_MAX), sizeof(data) - 12345);
    CHECK(memcmp(guest.body, data + 12345, sizeof(data) - 12345) == 0);
    CHECK_EQ(read_at(&guest, node, fh, sizeof(data), 4096), 0);
    CHECK_EQ(read_at(&guest, node, fh, 0, 0), 0);
    CHECK_EQ(truncate(guest_path(&guest, "f"), 4096), 0);
    CHECK_EQ(read_at(&guest, node, fh, 0, 65536), 4096);

    CHECK_EQ(read_at(&guest, node, fh, INT64_MAX, 1), -EINVAL);
    CHECK_EQ(read_at(&guest, node, fh, UINT64_MAX - 10, 4096), -EINVAL);
    CHECK_EQ(write_at(&guest, node, fh, UINT64_MAX, data, 10, 0, 0), -EINVAL);
    CHECK_EQ(write_at(&guest, node, fh, 0, data, 0, 0, 0), 0);
    struct fuse_write_in lie = {.fh = fh, .size = 100};
    CHECK_EQ(guest_call(&guest, FUSE_WRITE, node, &lie, sizeof(lie), data, 99, 64), -EINVAL);
    CHECK_EQ(read_at(&guest, ROOT, fh, 0, 10), -EBADF);
    CHECK_EQ(read_at(&guest, node, fh ^ 1ull << 40, 0, 10), -EBADF);
    uint64_t dir;
    CHECK_EQ(guest_opendir(&guest, ROOT, &dir), 0);
    CHECK_EQ(read_at(&guest, ROOT, dir, 0, 10), -EBADF);

    struct fuse_release_in release = {.fh = fh};
    CHECK_EQ(guest_do(&guest, FUSE_RELEASEDIR, node, release), -EBADF);
    CHECK_EQ(guest_do(&guest, FUSE_RELEASE, node, release), 0);
    CHECK_EQ(guest_do(&guest, FUSE_RELEASE, node, release), -EBADF);
    CHECK_EQ(read_at(&guest, node, fh, 0, 10), -EBADF);
    CHECK_EQ(guest_end(&guest), 0);
}

static void appending(void)
{
    struct guest guest;
    begin(&guest);
    host_file(&guest, "log", "one ");
    uint64_t node = guest_lookup(&guest, "log"), fh;
    CHECK_EQ(guest_open(&guest, node, O_WRONLY | O_APPEND, &fh), 0);
    /* The host made it longer than the guest knows. */
    host_file(&guest, "log", "one two ");
    CHECK_EQ(write_at(&guest, node, fh, 4, "three", 5, O_WRONLY | O_APPEND, 0), 5);
    CHECK_EQ(host_stat(&guest, "log").st_size, 13);
    /* fcntl() took O_APPEND away; a page of a cache has its place anyway. */
    CHECK_EQ(write_at(&guest, node, fh, 0, "ONE", 3, O_WRONLY, 0), 3);
    CHECK_EQ(write_at(&guest, node, fh, 4, "TWO", 3, O_WRONLY | O_APPEND, FUSE_WRITE_CACHE), 3);
    char content[32] = "";
    int fd = open(guest_path(&guest, "log"), O_RDONLY);
    CHECK_EQ(read(fd, content, sizeof(content)), 13);
    close(fd);
    CHECK(strcmp(content, "ONE TWO three") == 0);
    CHECK_EQ(guest_end(&guest), 0);
}

static void setuid_bits_die(void)
{
    struct guest guest;
    begin(&guest);
    host_file(&guest, "suid", "x");
    const char *path = guest_path(&guest, "suid");
    uint64_t node = guest_lookup(&guest, "suid"), fh;
    CHECK_EQ(guest_open(&guest, node, O_RDWR, &fh), 0);
    CHECK_EQ(chmod(path, 06755), 0);
    CHECK_EQ(write_at(&guest, node, fh, 0, "a", 1, 0, 0), 1);
    CHECK_EQ(host_stat(&guest, "suid").st_mode & 07777, 06755);
    CHECK_EQ(write_at(&guest, node, fh, 0, "a", 1, 0, FUSE_WRITE_KILL_SUIDGID), 1);
    CHECK_EQ(host_stat(&guest, "suid").st_mode & 07777, 0755);

    CHECK_EQ(chmod(path, 04755), 0);
    struct fuse_setattr_in size = {.valid = FATTR_SIZE | FATTR_KILL_SUIDGID, .size = 10};
    CHECK_EQ(guest_do(&guest, FUSE_SETATTR, node, size), 0);
    CHECK_EQ(host_stat(&guest, "suid").st_mode & 07777, 0755);
    CHECK_EQ(chmod(path, 04755), 0);
    size.valid = FATTR_SIZE;
    CHECK_EQ(guest_do(&guest, FUSE_SETATTR, node, size), 0);
    CHECK_EQ(host_stat(&guest, "suid").st_mode & 07777, 04755);

    struct fuse_open_in in = {.flags = O_WRONLY | O_TRUNC, .open_flags = FUSE_OPEN_KILL_SUIDGID};
    CHECK_EQ(guest_do(&guest, FUSE_OPEN, node, in), 0);
    CHECK_EQ(host_stat(&guest, "suid").st_mode & 07777, 0755);

    /* After all that a mode is set exactly as asked, in whatever group the file is. */
    struct fuse_setattr_in mode = {
        .valid = FATTR_MODE | FATTR_UID | FATTR_GID, .mode = 06711, .uid = 5, .gid = 6};
    CHECK_EQ(guest_do(&guest, FUSE_SETATTR, node, mode), 0);
    struct stat host = host_stat(&guest, "suid");
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
    host = host_stat(&guest, "dir/stranger");
    CHECK_EQ(host.st_gid, 50);
    CHECK_EQ(host.st_uid, 1000);
    CHECK_EQ(host.st_mode & 07777, 0755);
    struct fuse_mkdir_in mkdir_in = {.mode = 0755};
    CHECK_EQ(guest_ask(&guest, FUSE_MKDIR, dir, mkdir_in, "sub"), 0);
    CHECK_EQ(host_stat(&guest, "dir/sub").st_mode & 07777, 02755);
    guest.uid = guest.gid = 0;
    CHECK_EQ(guest_ask(&guest, FUSE_MKNOD, dir, mknod_in, "root"), 0);
    CHECK_EQ(host_stat(&guest, "dir/root").st_mode & 07777, 02755);
    CHECK_EQ(guest_end(&guest), 0);
}

static void attributes_change(void)
{
    struct guest guest;
    begin(&guest);
    host_file(&guest, "f", "0123456789");
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
    struct stat host = host_stat(&guest, "f");
    CHECK_EQ(host.st_size, 3);
    CHECK_EQ(host.st_atim.tv_sec, -5);
    CHECK_EQ(host.st_mtim.tv_sec, 1234567890);
    CHECK_EQ(host.st_mtim.tv_nsec, 999999999);
    CHECK_EQ(BODY(fuse_attr_out)->attr.size, 3);
    in = (struct fuse_setattr_in){.valid = FATTR_MTIME | FATTR_MTIME_NOW, .mtimensec = 4000000000u};
    CHECK_EQ(guest_do(&guest, FUSE_SETATTR, node, in), 0);
    CHECK(host_stat(&guest, "f").st_mtim.tv_sec > 1234567890);

    /* By handle, also when the name is gone; a handle open for reading does not hinder. */
    CHECK_EQ(guest_open(&guest, node, O_RDONLY, &fh), 0);
    in = (struct fuse_setattr_in){.valid = FATTR_SIZE | FATTR_FH, .fh = fh, .size = 1};
    CHECK_EQ(guest_do(&guest, FUSE_SETATTR, node, in), 0);
    CHECK_EQ(host_stat(&guest, "f").st_size, 1);
    CHECK_EQ(guest_open(&guest, node, O_RDWR, &fh), 0);
    CHECK_EQ(guest_name(&guest, FUSE_UNLINK, ROOT, "f"), 0);
    in = (struct fuse_setattr_in){
        .valid = FATTR_SIZE | FATTR_MODE | FATTR_FH, .fh = fh, .size = 9, .mode = 0400};
    CHECK_EQ(guest_do(&guest, FUSE_SETATTR, node, in), 0);
    CHECK_EQ(BODY(fuse_attr_out)->attr.size, 9);
    CHECK_EQ(BODY(fuse_attr_out)->attr.nlink, 0);

    host_file(&guest, "g", "x");
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
    CHECK_EQ(host_stat(&guest, "link").st_uid, 77);
    CHECK_EQ(host_stat(&guest, "link").st_mtim.tv_sec, 88);
    CHECK_EQ(host_stat(&guest, "g").st_uid, 0);
    in = (struct fuse_setattr_in){.valid = FATTR_MODE, .mode = 0777};
    CHECK_EQ(guest_do(&guest, FUSE_SETATTR, node, in), -EOPNOTSUPP);
    in = (struct fuse_setattr_in){.valid = FATTR_SIZE};
    CHECK_EQ(guest_do(&guest, FUSE_SETATTR, node, in), -EINVAL);
    CHECK_EQ(guest_end(&guest), 0);
}

static void making_and_linking(void)
{
    struct guest guest;
    begin(&guest);
    guest.uid = guest.gid = 1234;
    struct fuse_mknod_in mknod_in = {.mode = S_IFIFO | 0611};
    CHECK_EQ(guest_ask(&guest, FUSE_MKNOD, ROOT, mknod_in, "fifo"), 0);
    CHECK_EQ(host_stat(&guest, "fifo").st_mode, S_IFIFO | 0611);
    mknod_in = (struct fuse_mknod_in){.mode = S_IFCHR | 0600, .rdev = 0x12305};
    CHECK_EQ(guest_ask(&guest, FUSE_MKNOD, ROOT, mknod_in, "dev"), 0);
    CHECK_EQ(major(host_stat(&guest, "dev").st_rdev), 0x123);
    CHECK_EQ(minor(host_stat(&guest, "dev").st_rdev), 5);
    CHECK_EQ(BODY(fuse_entry_out)->attr.rdev, 0x12305);
    mknod_in.mode = S_IFDIR | 0700;
    CHECK_EQ(guest_ask(&guest, FUSE_MKNOD, ROOT, mknod_in, "odd"), -EPERM);

    CHECK_EQ(guest_call(&guest, FUSE_SYMLINK, ROOT, NULL, 0, "link\0no/where", 14, 4096), 0);
    uint64_t link_node = BODY(fuse_entry_out)->nodeid;
    CHECK_EQ(host_stat(&guest, "link").st_uid, 1234);
    CHECK_EQ(guest_call(&guest, FUSE_READLINK, link_node, NULL, 0, NULL, 0, 4096), 0);
    CHECK_EQ(guest.length, 8);
    CHECK(memcmp(guest.body, "no/where", 8) == 0);
    CHECK_EQ(guest_call(&guest, FUSE_READLINK, link_node, NULL, 0, NULL, 0, 7), -EIO);
    CHECK_EQ(guest_call(&guest, FUSE_READLINK, ROOT, NULL, 0, NULL, 0, 4096), -EINVAL);
    CHECK_EQ(guest_call(&guest, FUSE_SYMLINK, ROOT, NULL, 0, "link2", 6, 4096), -EINVAL);

    struct fuse_link_in link_in = {.oldnodeid = link_node};
    CHECK_EQ(guest_ask(&guest, FUSE_LINK, ROOT, link_in, "second"), 0);
    CHECK_EQ(BODY(fuse_entry_out)->nodeid, link_node);
    CHECK_EQ(host_stat(&guest, "second").st_ino, host_stat(&guest, "link").st_ino);
    link_in.oldnodeid = ROOT;
    CHECK_EQ(guest_ask(&guest, FUSE_LINK, ROOT, link_in, "dir"), -EPERM);
    link_in.oldnodeid = 999;
    CHECK_EQ(guest_ask(&guest, FUSE_LINK, ROOT, link_in, "none"), -ESTALE);

    struct fuse_mkdir_in mkdir_in = {.mode = 01750};
    CHECK_EQ(guest_ask(&guest, FUSE_MKDIR, ROOT, mkdir_in, "sub"), 0);
    CHECK_EQ(host_stat(&guest, "sub").st_mode, S_IFDIR | 01750);
    CHECK_EQ(host_stat(&guest, "sub").st_gid, 1234);
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
    begin(&guest);
    host_file(&guest, "a", "a");
    host_file(&guest, "b", "bb");
    CHECK_EQ(rename2_call(&guest, RENAME_NOREPLACE, "a\0b", 4), -EEXIST);
    CHECK_EQ(rename2_call(&guest, RENAME_EXCHANGE, "a\0b", 4), 0);
    CHECK_EQ(host_stat(&guest, "a").st_size, 2);
    CHECK_EQ(rename2_call(&guest, 8, "a\0b", 4), -EINVAL);
    CHECK_EQ(rename2_call(&guest, 0, "a\0../b", 7), -EINVAL);
    CHECK_EQ(rename2_call(&guest, 0, "a\0b", 3), -EINVAL);
    CHECK_EQ(rename2_call(&guest, 0, "a", 2), -EINVAL);
    guest.uid = 42;
    CHECK_EQ(rename2_call(&guest, RENAME_WHITEOUT, "a\0c", 4), 0);
    CHECK_EQ(host_stat(&guest, "a").st_mode & S_IFMT, S_IFCHR);
    CHECK_EQ(host_stat(&guest, "a").st_uid, 42);
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

/* No special file is ever opened, and no link followed; nothing waits for a FIFO's other end. */
static void special_files_stay_closed(void)
{
    struct guest guest;
    begin(&guest);
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

#define ENTRIES 700

static int entry_number(const char *name, unsigned length)
{
    char text[300];
    memcpy(text, name, length);
    text[length] = '\0';
    return atoi(text + strspn(text, "x-"));
}

static bool list_degraded; /* entries without a node id are all right */

/* Reads the whole directory in replies of size bytes; each entry must come once. */
static int list_all(struct guest *guest, uint64_t dir, uint64_t fh, bool plus, uint32_t size,
                    uint8_t *seen)
{
    struct fuse_read_in in = {.fh = fh, .size = size};
    int dots = 0;
    for (;;) {
        int error = guest_call(guest, plus ? FUSE_READDIRPLUS : FUSE_READDIR, dir, &in, sizeof(in),
                               NULL, 0, size);
        if (error)
            return error;
        if (guest->length == 0)
            return dots;
        const uint8_t *at = guest->body;
        const uint8_t *end = at + guest->length;
        while (at < end) {
            const struct fuse_entry_out *node = (const void *)at;
            const struct fuse_dirent *entry = (const void *)(at + (plus ? sizeof(*node) : 0));
            size_t whole = FUSE_DIRENT_ALIGN((const uint8_t *)entry->name + entry->namelen - at);
            if (at + whole > end)
                return -EBADMSG;
            if (entry->name[0] == '.') {
                dots++;
                if (plus && node->nodeid)
                    return -EBADMSG;
            } else {
                seen[entry_number(entry->name, entry->namelen)]++;
                if (plus && ((node->nodeid == 0 && !list_degraded) || node->attr.ino != entry->ino))
                    return -EBADMSG;
                if (entry->type != DT_REG)
                    return -EBADMSG;
            }
            in.offset = entry->off;
            at += whole;
        }
    }
}

static void directories(void)
{
    struct guest guest;
    begin(&guest);
    for (int i = 0; i < ENTRIES; i++) {
        char name[256];
        snprintf(name, sizeof(name), "%.*s-%d", i % 240,
                 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                 "xxxxxx"
                 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                 "xxxxxx"
                 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
                 i);
        host_file(&guest, name, "");
    }
    uint64_t fh;
    CHECK_EQ(guest_opendir(&guest, ROOT, &fh), 0);
    static const uint32_t sizes[] = {416, 500, 1024, 4096, 8192, 65536, GUEST_BODY_MAX};
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (int plus = 0; plus < 2; plus++) {
            uint8_t seen[ENTRIES] = {0};
            CHECK_EQ(list_all(&guest, ROOT, fh, plus, sizes[i], seen), 2);
            for (int n = 0; n < ENTRIES; n++)
                CHECK_EQ(seen[n], 1);
        }
    }
    struct fuse_read_in in = {.fh = fh, .size = 4096, .offset = UINT64_MAX};
    CHECK_EQ(guest_do(&guest, FUSE_READDIR, ROOT, in), -EINVAL);
    in = (struct fuse_read_in){.fh = fh, .size = 8};
    CHECK_EQ(guest_do(&guest, FUSE_READDIR, ROOT, in), -EINVAL);
    in = (struct fuse_read_in){.fh = fh, .size = 0};
    CHECK_EQ(guest_do(&guest, FUSE_READDIRPLUS, ROOT, in), -EINVAL);
    in = (struct fuse_read_in){.fh = fh + 1, .size = 4096};
    CHECK_EQ(guest_do(&guest, FUSE_READDIR, ROOT, in), -EBADF);
    struct fuse_fsync_in sync = {.fh = fh};
    CHECK_EQ(guest_do(&guest, FUSE_FSYNCDIR, ROOT, sync), 0);
    CHECK_EQ(guest_end(&guest), 0);
}

static int set_xattr(struct guest *guest, uint64_t node, const char *name, const void *value,
                     uint32_t size, uint32_t flags)
{
    static char tail[70000];
    size_t length = strlen(name) + 1;
    struct fuse_setxattr_in in = {.size = size, .flags = flags};
    memcpy(tail, name, length);
    memcpy(tail + length, value, size < 66000 ? size : 66000);
    return guest_call(guest, FUSE_SETXATTR, node, &in, FUSE_COMPAT_SETXATTR_IN_SIZE, tail,
                      length + (size < 66000 ? size : 66000), 64);
}

static int get_xattr(struct guest *guest, uint64_t node, const char *name, uint32_t size)
{
    struct fuse_getxattr_in in = {.size = size};
    return guest_call(guest, FUSE_GETXATTR, node, &in, sizeof(in), name, strlen(name) + 1, 70000);
}

/*
 * With every descriptor of the budget spent: no operation finds itself without one for its own
 * use, nothing is lost from a listing, and the guest is told ENFILE.
 */
static void limit_of_descriptors(enum file_handles_mode mode)
{
    struct guest guest;
    struct rlimit before;
    getrlimit(RLIMIT_NOFILE, &before);
    setrlimit(RLIMIT_NOFILE, &(struct rlimit){200, before.rlim_max});
    guest_prepare(&guest);
    guest.settings.file_handles = mode;
    guest_start(&guest);
    CHECK_EQ(mkdir(guest_path(&guest, "d"), 0755), 0);
    for (int i = 0; i < ENTRIES; i++) {
        char name[16];
        snprintf(name, sizeof(name), "d/-%d", i);
        host_file(&guest, name, "");
    }
    host_file(&guest, "f", "x");
    CHECK_EQ(mkfifo(guest_path(&guest, "fifo"), 0600), 0);
    uint64_t dir, fh, unused;
    uint64_t dir_node = guest_lookup(&guest, "d");
    uint64_t node = guest_lookup(&guest, "f");
    uint64_t fifo = guest_lookup(&guest, "fifo");

    /* What fails costs nothing. */
    for (int i = 0; i < 300; i++)
        CHECK_EQ(guest_open(&guest, fifo, O_RDONLY, &fh), -ENXIO);
    int opened = 0;
    int error;
    while ((error = guest_open(&guest, node, O_RDONLY, &fh)) == 0 && opened < 1000)
        opened++;
    CHECK_EQ(error, -ENFILE);
    CHECK(opened > 50);
    CHECK_EQ(create(&guest, "more", O_RDWR | O_CREAT, S_IFREG, &unused, &unused), -ENFILE);
    CHECK_EQ(access(guest_path(&guest, "more"), F_OK), -1);

    struct fuse_release_in release = {.fh = fh};
    CHECK_EQ(guest_do(&guest, FUSE_RELEASE, node, release), 0);
    if (mode == FILE_HANDLES_NEVER) {
        /* The last descriptor is for the file, there is none for its inode: both come back. */
        CHECK_EQ(create(&guest, "more", O_RDWR | O_CREAT, S_IFREG, &unused, &unused), -ENFILE);
    }
    CHECK_EQ(guest_opendir(&guest, dir_node, &dir), 0);
    uint8_t seen[ENTRIES] = {0};
    CHECK_EQ(list_all(&guest, dir_node, dir, false, 4096, seen), 2);
    list_degraded = mode == FILE_HANDLES_NEVER;
    CHECK_EQ(list_all(&guest, dir_node, dir, true, 65536, seen), 2);
    list_degraded = false;
    for (int n = 0; n < ENTRIES; n++)
        CHECK_EQ(seen[n], 2);

    release.fh = dir;
    CHECK_EQ(guest_do(&guest, FUSE_RELEASEDIR, dir_node, release), 0);
    CHECK_EQ(guest_open(&guest, node, O_RDONLY, &fh), 0);
    CHECK_EQ(guest_end(&guest), 0);
    setrlimit(RLIMIT_NOFILE, &before);
}

static void limit_with_file_handles(void)
{
    limit_of_descriptors(FILE_HANDLES_PREFER);
}

static void limit_without_file_handles(void)
{
    limit_of_descriptors(FILE_HANDLES_NEVER);
}

static void extended_attributes(void)
{
    static char big[66000];
    struct guest guest;
    begin(&guest);
    host_file(&guest, "f", "x");
    CHECK_EQ(symlink("f", guest_path(&guest, "link")), 0);
    CHECK_EQ(mkfifo(guest_path(&guest, "fifo"), 0600), 0);
    uint64_t node = guest_lookup(&guest, "f");
    CHECK_EQ(set_xattr(&guest, node, "user.one", "value", 5, 0), 0);
    CHECK_EQ(set_xattr(&guest, node, "user.one", "v", 1, XATTR_CREATE), -EEXIST);
    CHECK_EQ(set_xattr(&guest, node, "user.two", "v", 1, XATTR_REPLACE), -ENODATA);
    CHECK_EQ(set_xattr(&guest, node, "user.two", "v", 1, 4), -EINVAL);
    CHECK_EQ(set_xattr(&guest, node, "user.big", big, 65537, 0), -E2BIG);
    CHECK_EQ(set_xattr(&guest, node, "", "v", 1, 0), -ERANGE);
    CHECK_EQ(get_xattr(&guest, node, "user.one", 0), 0);
    CHECK_EQ(guest.length, sizeof(struct fuse_getxattr_out));
    CHECK_EQ(BODY(fuse_getxattr_out)->size, 5);
    CHECK_EQ(get_xattr(&guest, node, "user.one", 4), -ERANGE);
    CHECK_EQ(get_xattr(&guest, node, "user.one", UINT32_MAX), 0);
    CHECK_EQ(guest.length, 5);
    CHECK(memcmp(guest.body, "value", 5) == 0);
    CHECK_EQ(get_xattr(&guest, node, "user.none", 10), -ENODATA);
    struct fuse_setxattr_in lie = {.size = 1000};
    CHECK_EQ(guest_call(&guest, FUSE_SETXATTR, node, &lie, 8, "user.a", 7, 64), -EINVAL);

    /* On the link itself, and on what is never opened. */
    uint64_t link_node = guest_lookup(&guest, "link");
    CHECK_EQ(set_xattr(&guest, link_node, "trusted.mark", "L", 1, 0), 0);
    CHECK_EQ(lgetxattr(guest_path(&guest, "link"), "trusted.mark", big, 10), 1);
    CHECK_EQ(getxattr(guest_path(&guest, "f"), "trusted.mark", big, 10), -1);
    CHECK_EQ(set_xattr(&guest, guest_lookup(&guest, "fifo"), "trusted.mark", "F", 1, 0), 0);
    CHECK_EQ(lgetxattr(guest_path(&guest, "fifo"), "trusted.mark", big, 10), 1);

    /* Access lists do not exist for a guest that did not negotiate them. */
    static const char acl[] = {2, 0, 0,  0,  1,  0,  6,  0, -1, -1, -1, -1, 2,  0,  4,
                               0, 1, 0,  0,  0,  4,  0,  4, 0,  -1, -1, -1, -1, 16, 0,
                               4, 0, -1, -1, -1, -1, 32, 0, 4,  0,  -1, -1, -1, -1};
    CHECK_EQ(setxattr(guest_path(&guest, "f"), "system.posix_acl_access", acl, sizeof(acl), 0), 0);
    CHECK_EQ(get_xattr(&guest, node, "system.posix_acl_access", 100), -EOPNOTSUPP);
    CHECK_EQ(set_xattr(&guest, node, "system.posix_acl_access", acl, sizeof(acl), 0), -EOPNOTSUPP);
    struct fuse_getxattr_in list = {.size = 1000};
    CHECK_EQ(guest_do(&guest, FUSE_LISTXATTR, node, list), 0);
    CHECK_EQ(guest.length, 9);
    CHECK(memcmp(guest.body, "user.one", 9) == 0);
    list.size = 8;
    CHECK_EQ(guest_do(&guest, FUSE_LISTXATTR, node, list), -ERANGE);
    list.size = 0;
    CHECK_EQ(guest_do(&guest, FUSE_LISTXATTR, node, list), 0);
    CHECK_EQ(BODY(fuse_getxattr_out)->size, 9);
    CHECK_EQ(guest_name(&guest, FUSE_REMOVEXATTR, node, "system.posix_acl_access"), -EOPNOTSUPP);
    CHECK_EQ(guest_name(&guest, FUSE_REMOVEXATTR, node, "user.one"), 0);
    CHECK_EQ(guest_name(&guest, FUSE_REMOVEXATTR, node, "user.one"), -ENODATA);
    guest.settings.xattr = false;
    CHECK_EQ(get_xattr(&guest, node, "user.one", 10), -ENOSYS);
    CHECK_EQ(set_xattr(&guest, node, "user.one", "v", 1, 0), -ENOSYS);
    CHECK_EQ(guest_end(&guest), 0);
}

static int copy_range(struct guest *guest, uint64_t from, uint64_t fh_in, uint64_t to,
                      uint64_t fh_out, uint64_t offset, uint64_t length, uint64_t flags)
{
    struct fuse_copy_file_range_in in = {.fh_in = fh_in,
                                         .off_in = offset,
                                         .nodeid_out = to,
                                         .fh_out = fh_out,
                                         .off_out = 2,
                                         .len = length,
                                         .flags = flags};
    int error = guest_do(guest, FUSE_COPY_FILE_RANGE, from, in);
    return error ? error : (int)((struct fuse_write_out *)guest->body)->size;
}

static int allocate(struct guest *guest, uint64_t node, uint64_t fh, uint32_t mode, uint64_t offset,
                    uint64_t length)
{
    struct fuse_fallocate_in in = {.fh = fh, .mode = mode, .offset = offset, .length = length};
    return guest_do(guest, FUSE_FALLOCATE, node, in);
}

static void space(void)
{
    struct guest guest;
    begin(&guest);
    uint64_t node, fh, other, other_fh;
    CHECK_EQ(create(&guest, "a", O_RDWR | O_CREAT, S_IFREG | 0600, &node, &fh), 0);
    CHECK_EQ(create(&guest, "b", O_RDWR | O_CREAT, S_IFREG | 0600, &other, &other_fh), 0);
    CHECK_EQ(allocate(&guest, node, fh, 0, 0, 1 << 20), 0);
    CHECK_EQ(host_stat(&guest, "a").st_size, 1 << 20);
    CHECK_EQ(allocate(&guest, node, fh, FALLOC_FL_KEEP_SIZE, 0, 2 << 20), 0);
    CHECK_EQ(allocate(&guest, node, fh, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 65536), 0);
    CHECK_EQ(allocate(&guest, node, fh, FALLOC_FL_PUNCH_HOLE, 0, 65536), -EOPNOTSUPP);
    CHECK_EQ(allocate(&guest, node, fh, FALLOC_FL_COLLAPSE_RANGE, 0, 4096), -EOPNOTSUPP);
    CHECK_EQ(allocate(&guest, node, fh, 0xffffffff, 0, 4096), -EOPNOTSUPP);
    CHECK_EQ(allocate(&guest, node, fh, 0, UINT64_MAX, 4096), -EINVAL);
    CHECK_EQ(allocate(&guest, node, fh, 0, 0, 0), -EINVAL);

    CHECK_EQ(write_at(&guest, node, fh, 200000, "data", 4, 0, 0), 4);
    struct fuse_lseek_in seek = {.fh = fh, .offset = 0, .whence = SEEK_END};
    CHECK_EQ(guest_do(&guest, FUSE_LSEEK, node, seek), 0);
    CHECK_EQ(BODY(fuse_lseek_out)->offset, 1 << 20);
    seek = (struct fuse_lseek_in){.fh = fh, .offset = 1 << 21, .whence = SEEK_DATA};
    CHECK_EQ(guest_do(&guest, FUSE_LSEEK, node, seek), -ENXIO);
    seek = (struct fuse_lseek_in){.fh = fh, .offset = 0, .whence = SEEK_HOLE};
    CHECK_EQ(guest_do(&guest, FUSE_LSEEK, node, seek), 0);
    seek.whence = 99;
    CHECK_EQ(guest_do(&guest, FUSE_LSEEK, node, seek), -EINVAL);

    CHECK_EQ(copy_range(&guest, node, fh, other, other_fh, 200000, 4, 0), 4);
    CHECK_EQ(host_stat(&guest, "b").st_size, 6);
    CHECK_EQ(copy_range(&guest, node, fh, other, other_fh, 0, UINT64_MAX, 0), 1 << 20);
    CHECK_EQ(copy_range(&guest, node, fh, other, other_fh, 0, 4, 1), -EINVAL);
    CHECK_EQ(copy_range(&guest, node, fh, other, other_fh, UINT64_MAX, 4, 0), -EINVAL);
    CHECK_EQ(copy_range(&guest, node, fh, node, other_fh, 0, 4, 0), -EBADF);

    struct fuse_fsync_in sync = {.fh = fh, .fsync_flags = FUSE_FSYNC_FDATASYNC};
    CHECK_EQ(guest_do(&guest, FUSE_FSYNC, node, sync), 0);
    struct fuse_flush_in flush = {.fh = fh};
    CHECK_EQ(guest_do(&guest, FUSE_FLUSH, node, flush), 0);
    struct fuse_syncfs_in syncfs_in = {0};
    CHECK_EQ(guest_do(&guest, FUSE_SYNCFS, ROOT, syncfs_in), 0);
    CHECK_EQ(guest_end(&guest), 0);
}

static void file_system_and_access(void)
{
    struct guest guest;
    begin(&guest);
    struct statfs host;
    CHECK_EQ(statfs(guest.root, &host), 0);
    CHECK_EQ(guest_call(&guest, FUSE_STATFS, ROOT, NULL, 0, NULL, 0, 4096), 0);
    CHECK_EQ(guest.length, sizeof(struct fuse_statfs_out));
    CHECK_EQ(BODY(fuse_statfs_out)->st.blocks, host.f_blocks);
    CHECK_EQ(BODY(fuse_statfs_out)->st.namelen, host.f_namelen);
    CHECK_EQ(BODY(fuse_statfs_out)->st.bsize, host.f_bsize);

    host_file(&guest, "f", "x");
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
    host_file(&guest, "f", "x");
    uint64_t node = guest_lookup(&guest, "f"), fh;
    CHECK_EQ(guest_open(&guest, node, O_RDWR, &fh), -EROFS);
    CHECK_EQ(guest_open(&guest, node, O_WRONLY, &fh), -EROFS);
    CHECK_EQ(guest_open(&guest, node, O_RDONLY | O_TRUNC, &fh), -EROFS);
    CHECK_EQ(guest_open(&guest, node, O_RDONLY, &fh), 0);
    CHECK_EQ(read_at(&guest, node, fh, 0, 10), 1);
    CHECK_EQ(write_at(&guest, node, fh, 0, "y", 1, 0, 0), -EROFS);
    CHECK_EQ(guest_name(&guest, FUSE_UNLINK, ROOT, "f"), -EROFS);
    struct fuse_access_in in = {.mask = W_OK};
    CHECK_EQ(guest_do(&guest, FUSE_ACCESS, node, in), -EROFS);
    CHECK_EQ(guest_end(&guest), 0);
}

static void cache_modes(void)
{
    static const struct {
        enum cache_mode mode;
        uint64_t seconds;
        uint32_t file, dir;
    } rows[] = {
        {CACHE_NEVER, 0, FOPEN_DIRECT_IO, 0},
        {CACHE_METADATA, 86400, FOPEN_DIRECT_IO, FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR},
        {CACHE_AUTO, 1, 0, 0},
        {CACHE_ALWAYS, 86400, FOPEN_KEEP_CACHE, FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR},
    };
    for (unsigned i = 0; i < 4; i++) {
        struct guest guest;
        guest_prepare(&guest);
        guest.settings.cache = rows[i].mode;
        guest_start(&guest);
        CHECK_EQ(!!(BODY(fuse_init_out)->flags & FUSE_DO_READDIRPLUS), rows[i].mode != CACHE_NEVER);
        host_file(&guest, "f", "x");
        uint64_t node = guest_lookup(&guest, "f"), fh;
        CHECK_EQ(BODY(fuse_entry_out)->attr_valid, rows[i].seconds);
        CHECK_EQ(BODY(fuse_entry_out)->entry_valid, rows[i].seconds);
        CHECK_EQ(guest_open(&guest, node, O_RDONLY, &fh), 0);
        CHECK_EQ(BODY(fuse_open_out)->open_flags, rows[i].file);
        CHECK_EQ(guest_opendir(&guest, ROOT, &fh), 0);
        CHECK_EQ(BODY(fuse_open_out)->open_flags, rows[i].dir);
        CHECK_EQ(guest_end(&guest), 0);
    }
}

/* A guest whose pages are in a write-back cache reads through what it opened for writing. */
static void write_back(void)
{
    struct guest guest;
    guest_prepare(&guest);
    guest.settings.writeback = true;
    guest_start(&guest);
    host_file(&guest, "f", "abc");
    uint64_t node = guest_lookup(&guest, "f"), fh;
    CHECK_EQ(guest_open(&guest, node, O_WRONLY | O_APPEND, &fh), 0);
    CHECK_EQ(read_at(&guest, node, fh, 0, 10), 3);
    CHECK_EQ(write_at(&guest, node, fh, 1, "B", 1, O_APPEND, 0), 1);
    CHECK_EQ(host_stat(&guest, "f").st_size, 3);
    CHECK_EQ(guest_end(&guest), 0);
}

/* The reply has no room: nothing stays behind that the guest cannot name. */
static void no_room(void)
{
    struct guest guest;
    begin(&guest);
    host_file(&guest, "f", "x");
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
    begin(&guest);
    srandom(1);
    host_file(&guest, "f", "x");
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
            host_file(&guest, "f", "x");
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
    RUN(create_semantics);
    RUN(read_and_write);
    RUN(appending);
    RUN(setuid_bits_die);
    RUN(attributes_change);
    RUN(making_and_linking);
    RUN(removing_and_renaming);
    RUN(special_files_stay_closed);
    RUN(directories);
    RUN(limit_with_file_handles);
    RUN(limit_without_file_handles);
    RUN(extended_attributes);
    RUN(space);
    RUN(file_system_and_access);
    RUN(read_only_share);
    RUN(cache_modes);
    RUN(write_back);
    RUN(no_room);
    RUN(any_bytes);
    return test_result();
}
