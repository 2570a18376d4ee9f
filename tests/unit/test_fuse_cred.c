// SPDX-License-Identifier: BSD-3-Clause
/*
 * The ids of a request linger on its thread (host_cred.h): what is made is the right user's all the
 * same, and what depends on who asks finds the server's own. Needs root, and mounts file systems
 * in a namespace of its own.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuse_guest.h"
#include "test.h"

#define ROOT FUSE_ROOT_ID
#define KIB  1024

static void act_as(struct guest *guest, uint32_t uid, uint32_t gid)
{
    guest->uid = uid;
    guest->gid = gid;
}

/* CREATE in a directory. Returns the error. */
static int create_in(struct guest *guest, uint64_t dir, const char *name, uint64_t *ret_node,
                     uint64_t *ret_fh)
{
    struct fuse_create_in in = {.flags = O_RDWR, .mode = 0600};
    int error = guest_ask(guest, FUSE_CREATE, dir, in, name);
    if (error)
        return error;
    *ret_node = ((struct fuse_entry_out *)guest->body)->nodeid;
    *ret_fh = ((struct fuse_open_out *)(guest->body + sizeof(struct fuse_entry_out)))->fh;
    return 0;
}

static bool ids_are(uid_t uid, gid_t gid)
{
    return geteuid() == uid && getegid() == gid && getgroups(0, NULL) == 0;
}

static bool is_owned(const struct guest *guest, const char *name, uid_t uid, gid_t gid)
{
    struct stat host = guest_host_stat(guest, name);
    return host.st_nlink && host.st_uid == uid && host.st_gid == gid;
}

/* A user's requests, one after the other, of which only the first changes the ids. */
static void linger(void)
{
    struct guest guest;
    uint64_t node, fh;
    struct fuse_getattr_in getattr = {0};
    struct fuse_setattr_in setattr = {.valid = FATTR_MODE, .mode = 0640};
    guest_begin(&guest);
    act_as(&guest, 1000, 1001);
    CHECK_EQ(create_in(&guest, ROOT, "f", &node, &fh), 0);
    CHECK(ids_are(1000, 1001));
    CHECK_EQ(guest_write(&guest, node, fh, 0, "data", 4, O_RDWR, 0), 4);
    CHECK_EQ(guest_do(&guest, FUSE_GETATTR, node, getattr), 0);
    CHECK_EQ(guest_do(&guest, FUSE_SETATTR, node, setattr), 0);
    struct fuse_release_in release = {.fh = fh};
    CHECK_EQ(guest_do(&guest, FUSE_RELEASE, node, release), 0);
    CHECK_EQ(guest_lookup(&guest, "none"), 0);
    CHECK(ids_are(1000, 1001));
    CHECK(is_owned(&guest, "f", 1000, 1001));

    struct fuse_mkdir_in mkdir = {.mode = 0755};
    CHECK_EQ(guest_ask(&guest, FUSE_MKDIR, ROOT, mkdir, "dir"), 0);
    CHECK(is_owned(&guest, "dir", 1000, 1001));
    CHECK_EQ(guest_name(&guest, FUSE_UNLINK, ROOT, "f"), 0);
    CHECK(ids_are(1000, 1001));
    CHECK_EQ(guest_end(&guest), 0);
}

/* Whoever comes next gets what is theirs, whatever the thread's ids are. */
static void others(void)
{
    static const struct {
        uint32_t uid, gid;
    } makers[] = {{1000, 1000}, {0, 0},    {1001, 1000}, {1001, 0}, {0, 1000},
                  {5, 6},       {0, 1000}, {1000, 1000}, {0, 0}};
    struct guest guest;
    struct fuse_mknod_in in = {.mode = S_IFREG | 0600};
    guest_begin(&guest);
    for (unsigned i = 0; i < sizeof(makers) / sizeof(makers[0]); i++) {
        char name[] = "0";
        name[0] += (char)i;
        act_as(&guest, makers[i].uid, makers[i].gid);
        CHECK_EQ(guest_ask(&guest, FUSE_MKNOD, ROOT, in, name), 0);
        CHECK(is_owned(&guest, name, makers[i].uid, makers[i].gid));
    }
    act_as(&guest, UINT32_MAX, 0);
    CHECK_EQ(guest_ask(&guest, FUSE_MKNOD, ROOT, in, "nobody"), -EINVAL);
    CHECK(ids_are(0, 0));
    CHECK_EQ(guest_end(&guest), 0);
}

/* What is not known to be the same for everybody is the server's. */
static void end_of_it(void)
{
    struct guest guest;
    uint64_t node, fh;
    struct fuse_link_in link = {0};
    struct fuse_open_in open = {.flags = O_WRONLY | O_TRUNC};
    guest_begin(&guest);
    act_as(&guest, 1000, 1000);
    CHECK_EQ(create_in(&guest, ROOT, "f", &node, &fh), 0);
    link.oldnodeid = node;
    CHECK(ids_are(1000, 1000));
    CHECK_EQ(guest_ask(&guest, FUSE_LINK, ROOT, link, "g"), 0);
    CHECK(ids_are(0, 0));

    CHECK_EQ(create_in(&guest, ROOT, "h", &node, &fh), 0);
    CHECK(ids_are(1000, 1000));
    CHECK_EQ(guest_do(&guest, FUSE_OPEN, node, open), 0);
    CHECK(ids_are(0, 0));

    /* CREATE that finds a file opens it for the server. */
    CHECK_EQ(create_in(&guest, ROOT, "h", &node, &fh), 0);
    CHECK(ids_are(0, 0));
    CHECK_EQ(guest_end(&guest), 0);
}

/* A mount that only root may look at, or rather, find that nobody answers for it. */
static void behind_the_mount(void)
{
    struct guest guest;
    uint64_t node, fh;
    char options[80];
    guest_begin(&guest);
    int device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    CHECK(device >= 0);
    snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", device);
    CHECK_EQ(mkdir(guest_path(&guest, "m"), 0755), 0);
    CHECK_EQ(mount("nobody", guest_path(&guest, "m"), "fuse", 0, options), 0);
    close(device);
    CHECK_EQ(guest_name(&guest, FUSE_LOOKUP, ROOT, "m"), -ENOTCONN);
    act_as(&guest, 1000, 1000);
    CHECK_EQ(create_in(&guest, ROOT, "f", &node, &fh), 0);
    CHECK(ids_are(1000, 1000));
    CHECK_EQ(guest_name(&guest, FUSE_LOOKUP, ROOT, "m"), -ENOTCONN);
    CHECK_EQ(umount2(guest_path(&guest, "m"), MNT_DETACH), 0);
    CHECK_EQ(guest_end(&guest), 0);
}

/* Everything that user 1000 can have of the file system, in a file. */
static void fill(const char *path)
{
    static const char block[4 * KIB] = "full";
    pid_t child = fork();
    if (child == 0) {
        int fd = -1;
        if (prctl(PR_SET_SECUREBITS, 0) == 0 && setresgid(1000, 1000, 1000) == 0 &&
            setresuid(1000, 1000, 1000) == 0)
            fd = open(path, O_WRONLY | O_CREAT, 0600);
        while (fd >= 0 && write(fd, block, sizeof(block)) > 0)
            ;
        if (fd < 0 || errno != ENOSPC)
            err(1, "%s", path);
        _exit(0);
    }
    int status;
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
        errx(1, "%s: cannot be filled", path);
}

/* The last blocks of ext4 are root's: a guest's user has always had them. */
static void last_blocks(void)
{
    struct guest guest;
    uint64_t node, fh;
    static const char data[64 * KIB];
    CHECK_EQ(system("cd /tmp && truncate -s 16M image && mkfs.ext4 -q -m 10 image && "
                    "mount -o loop image /tmp && chmod 1777 /tmp"),
             0);
    guest_begin(&guest);
    act_as(&guest, 1000, 1000);
    CHECK_EQ(create_in(&guest, ROOT, "f", &node, &fh), 0);
    CHECK(ids_are(1000, 1000));
    fill("/tmp/full");
    CHECK_EQ(guest_write(&guest, node, fh, 0, data, sizeof(data), O_RDWR, 0), sizeof(data));
    CHECK(ids_are(0, 0));
    CHECK(is_owned(&guest, "f", 1000, 1000));
    CHECK_EQ(guest_end(&guest), 0);
    CHECK_EQ(umount2("/tmp", MNT_DETACH), 0);
}

/* What is mounted below the share is another file system, and the server's to use. */
static void below(void)
{
    struct guest guest;
    uint64_t node, fh;
    struct fuse_getattr_in getattr = {0};
    struct fuse_release_in release = {0};
    guest_begin(&guest);
    CHECK_EQ(mkdir(guest_path(&guest, "m"), 0755), 0);
    CHECK_EQ(mount("below", guest_path(&guest, "m"), "tmpfs", 0, "mode=1777"), 0);
    uint64_t dir = guest_lookup(&guest, "m");
    act_as(&guest, 1000, 1000);
    CHECK_EQ(create_in(&guest, dir, "f", &node, &release.fh), 0);
    CHECK(ids_are(0, 0));
    CHECK(is_owned(&guest, "m/f", 1000, 1000));
    uint64_t any;
    CHECK_EQ(create_in(&guest, ROOT, "a", &any, &fh), 0);
    CHECK(ids_are(1000, 1000));
    CHECK_EQ(guest_do(&guest, FUSE_GETATTR, node, getattr), 0);
    CHECK(ids_are(0, 0));
    CHECK_EQ(create_in(&guest, ROOT, "b", &any, &fh), 0);
    CHECK_EQ(guest_do(&guest, FUSE_RELEASE, node, release), 0);
    CHECK(ids_are(0, 0));

    /* One that nobody knows yet. */
    CHECK_EQ(mkdir(guest_path(&guest, "n"), 0755), 0);
    CHECK_EQ(mount("below", guest_path(&guest, "n"), "tmpfs", 0, "mode=1777"), 0);
    CHECK_EQ(create_in(&guest, ROOT, "c", &any, &fh), 0);
    CHECK(ids_are(1000, 1000));
    CHECK(guest_lookup(&guest, "n") != 0);
    CHECK(ids_are(0, 0));
    CHECK_EQ(umount2(guest_path(&guest, "m"), MNT_DETACH), 0);
    CHECK_EQ(umount2(guest_path(&guest, "n"), MNT_DETACH), 0);
    CHECK_EQ(guest_end(&guest), 0);
}

/* A write by a user takes set-group-id away, also where the thread is still of the file's group. */
static void group_bit(void)
{
    struct guest guest;
    uint64_t node, fh;
    guest_prepare(&guest);
    guest.init_flags &= ~(uint64_t)FUSE_HANDLE_KILLPRIV_V2;
    guest_start(&guest);
    act_as(&guest, 1000, 1000);
    CHECK_EQ(create_in(&guest, ROOT, "f", &node, &fh), 0);
    CHECK(ids_are(1000, 1000));
    CHECK_EQ(chmod(guest_path(&guest, "f"), 02644), 0);
    CHECK(guest_host_stat(&guest, "f").st_mode & S_ISGID);
    CHECK_EQ(guest_write(&guest, node, fh, 0, "data", 4, O_RDWR, 0), 4);
    CHECK(!(guest_host_stat(&guest, "f").st_mode & S_ISGID));
    CHECK(ids_are(0, 0));
    CHECK_EQ(guest_end(&guest), 0);
}

/* A capability that the sandbox does not leave: whoever has it gets every block. */
static int drop_resource(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    if (syscall(SYS_capget, &header, data) < 0)
        return -1;
    data[CAP_TO_INDEX(CAP_SYS_RESOURCE)].effective &= ~CAP_TO_MASK(CAP_SYS_RESOURCE);
    return (int)syscall(SYS_capset, &header, data);
}

int main(void)
{
    if (geteuid() != 0) {
        printf("skipped: needs root\n");
        return 77;
    }
    umask(0);
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("cred", "/tmp", "tmpfs", 0, "mode=1777") < 0)
        err(1, "no file system of our own");
    /* As the sandbox leaves the daemon. */
    if (setgroups(0, NULL) < 0 || prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP) < 0 ||
        drop_resource() < 0)
        return 1;
    RUN(linger);
    RUN(others);
    RUN(end_of_it);
    RUN(behind_the_mount);
    RUN(below);
    RUN(group_bit);
    RUN(last_blocks);
    return test_result();
}
