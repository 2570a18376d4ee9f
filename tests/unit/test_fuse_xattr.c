// SPDX-License-Identifier: BSD-3-Clause
/*
 * What INIT makes of --posix-acl, and what the guest's kernel then leaves to us. Needs root and a
 * /tmp with ACLs.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/xattr.h>
#include <stdlib.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fuse_guest.h"
#include "test.h"

#define ROOT      FUSE_ROOT_ID
#define ACL_FLAGS (FUSE_POSIX_ACL | FUSE_DONT_MASK | FUSE_SETXATTR_EXT)

/* u::rwx g::rx o::rx, and u::rwx u:1234:rwx g::rx m::rwx o::-, as Linux stores them. */
static const uint8_t acl_minimal[] = {2,    0,    0, 0, 1,    0,    7,    0,    0xff, 0xff,
                                      0xff, 0xff, 4, 0, 5,    0,    0xff, 0xff, 0xff, 0xff,
                                      0x20, 0,    5, 0, 0xff, 0xff, 0xff, 0xff};
static const uint8_t acl_named[] = {
    2, 0,    0,    0,    1,    0,    7,    0, 0xff, 0xff, 0xff, 0xff, 2,    0,    7,
    0, 0xd2, 4,    0,    0,    4,    0,    5, 0,    0xff, 0xff, 0xff, 0xff, 0x10, 0,
    7, 0,    0xff, 0xff, 0xff, 0xff, 0x20, 0, 0,    0,    0xff, 0xff, 0xff, 0xff};

static uint64_t init_reply(struct guest *guest, uint64_t offered, int *ret_error)
{
    struct fuse_init_in in = {
        .major = FUSE_ABI_MAJOR,
        .minor = FUSE_ABI_MINOR,
        .flags = (uint32_t)offered | FUSE_INIT_EXT,
        .flags2 = (uint32_t)(offered >> 32),
    };
    *ret_error = guest_do(guest, FUSE_INIT, 0, in);
    if (*ret_error)
        return 0;
    const struct fuse_init_out *out = (const struct fuse_init_out *)guest->body;
    return (uint64_t)out->flags2 << 32 | out->flags;
}

static void acl_is_all_or_nothing(void)
{
    static const struct {
        enum feature_mode mode;
        uint64_t offered;
        uint64_t taken;
        int error;
    } rows[] = {
        {FEATURE_NEVER, ACL_FLAGS, 0, 0},
        {FEATURE_AUTO, ACL_FLAGS, ACL_FLAGS, 0},
        {FEATURE_AUTO, ACL_FLAGS & ~FUSE_SETXATTR_EXT, 0, 0},
        {FEATURE_AUTO, ACL_FLAGS & ~FUSE_DONT_MASK, 0, 0},
        {FEATURE_AUTO, 0, 0, 0},
        {FEATURE_ALWAYS, ACL_FLAGS, ACL_FLAGS, 0},
        {FEATURE_ALWAYS, ACL_FLAGS & ~FUSE_SETXATTR_EXT, 0, -EPROTO},
        {FEATURE_ALWAYS, 0, 0, -EPROTO},
    };
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct guest guest;
        int error;
        guest_prepare(&guest);
        guest.settings.posix_acl = rows[i].mode;
        guest.init_flags |= ACL_FLAGS;
        guest_start(&guest);
        CHECK_EQ(init_reply(&guest, rows[i].offered, &error) & ACL_FLAGS, rows[i].taken);
        CHECK_EQ(error, rows[i].error);
        /* A guest that was refused is not served. */
        struct fuse_getattr_in in = {0};
        CHECK_EQ(guest_do(&guest, FUSE_GETATTR, ROOT, in), error ? -EIO : 0);
        CHECK_EQ(guest_end(&guest), 0);
    }
}

static void begin_with_acl(struct guest *guest)
{
    guest_prepare(guest);
    guest->settings.posix_acl = FEATURE_ALWAYS;
    guest->init_flags |= ACL_FLAGS;
    guest_start(guest);
}

static int create(struct guest *guest, const char *name, uint32_t mode, uint32_t umask)
{
    struct fuse_create_in in = {
        .flags = O_CREAT | O_EXCL | O_WRONLY, .mode = S_IFREG | mode, .umask = umask};
    return guest_ask(guest, FUSE_CREATE, ROOT, in, name);
}

/* The umask that comes with a request holds for it alone, and only without a default list. */
static void umask_follows_the_request(void)
{
    struct guest guest;
    begin_with_acl(&guest);
    CHECK_EQ(create(&guest, "a", 0666, 022), 0);
    CHECK_EQ(guest_host_stat(&guest, "a").st_mode & 07777, 0644);
    CHECK_EQ(create(&guest, "b", 0666, 0), 0);
    CHECK_EQ(guest_host_stat(&guest, "b").st_mode & 07777, 0666);
    CHECK_EQ(create(&guest, "c", 06777, 0xffffffff), 0);
    CHECK_EQ(guest_host_stat(&guest, "c").st_mode & 07777, 06000);
    struct fuse_mkdir_in mkdir_in = {.mode = 0777, .umask = 027};
    CHECK_EQ(guest_ask(&guest, FUSE_MKDIR, ROOT, mkdir_in, "d"), 0);
    CHECK_EQ(guest_host_stat(&guest, "d").st_mode & 07777, 0750);
    CHECK_EQ(setxattr(guest.root, XATTR_NAME_POSIX_ACL_DEFAULT, acl_named, sizeof(acl_named), 0),
             0);
    CHECK_EQ(create(&guest, "e", 0666, 077), 0);
    CHECK_EQ(guest_host_stat(&guest, "e").st_mode & 07777, 0660);
    CHECK(getxattr(guest_path(&guest, "e"), XATTR_NAME_POSIX_ACL_ACCESS, NULL, 0) > 0);

    /* A guest without ACLs has applied its umask itself. */
    CHECK_EQ(guest_end(&guest), 0);
    guest_begin(&guest);
    CHECK_EQ(create(&guest, "f", 0666, 077), 0);
    CHECK_EQ(guest_host_stat(&guest, "f").st_mode & 07777, 0666);
    CHECK_EQ(guest_end(&guest), 0);
}

static int set_acl(struct guest *guest, uint64_t node, const void *acl, size_t size,
                   uint32_t set_flags)
{
    struct {
        struct fuse_setxattr_in in;
        char rest[256];
    } args = {.in = {.size = (uint32_t)size, .setxattr_flags = set_flags}};
    size_t name = sizeof(XATTR_NAME_POSIX_ACL_ACCESS);
    memcpy(args.rest, XATTR_NAME_POSIX_ACL_ACCESS, name);
    memcpy(args.rest + name, acl, size);
    return guest_call(guest, FUSE_SETXATTR, node, &args, sizeof(args.in) + name + size, NULL, 0, 0);
}

/* S_ISGID goes when the guest's kernel says so, whatever the file's group, and only then. */
static void setgid_goes_when_asked(void)
{
    struct guest guest;
    begin_with_acl(&guest);
    /* Our own group last: without CAP_FSETID we cannot set the bit for another. */
    for (unsigned i = 0; i < 2; i++) {
        gid_t group = i ? 0 : 5000;
        guest_host_file(&guest, "f", "x");
        const char *path = guest_path(&guest, "f");
        CHECK_EQ(chown(path, 1000, group), 0);
        CHECK_EQ(chmod(path, 02755), 0);
        uint64_t node = guest_lookup(&guest, "f");
        CHECK_EQ(set_acl(&guest, node, acl_minimal, sizeof(acl_minimal), 0), 0);
        CHECK_EQ(guest_host_stat(&guest, "f").st_mode & 07777, 02755);
        CHECK_EQ(set_acl(&guest, node, acl_named, sizeof(acl_named), FUSE_SETXATTR_ACL_KILL_SGID),
                 0);
        CHECK_EQ(guest_host_stat(&guest, "f").st_mode & 07777, 0770);
    }
    CHECK_EQ(guest_end(&guest), 0);
}

int main(void)
{
    umask(0);
    RUN(acl_is_all_or_nothing);
    RUN(umask_follows_the_request);
    RUN(setgid_goes_when_asked);
    return test_result();
}
