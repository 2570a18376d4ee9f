// SPDX-License-Identifier: BSD-3-Clause
/*
 * What INIT makes of --posix-acl and --security-label, and what the guest's kernel then leaves to
 * us. Labels come from no kernel without SELinux: here is where they are tried. Needs root and a
 * /tmp with ACLs.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/xattr.h>
#include <linux/securebits.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fuse_guest.h"
#include "test.h"
#include "xattr_rules.h"

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

/* A request's labels, as Linux puts them behind the names. */
struct labels {
    uint8_t bytes[1024];
    size_t length;
    unsigned count;
};

static void add_label(struct labels *labels, const char *name, const char *value)
{
    struct fuse_secctx_header header;
    struct fuse_secctx secctx = {.size = (uint32_t)strlen(value)};
    if (labels->length == 0)
        labels->length = sizeof(header);
    memcpy(labels->bytes + labels->length, &secctx, sizeof(secctx));
    labels->length += sizeof(secctx);
    memcpy(labels->bytes + labels->length, name, strlen(name) + 1);
    labels->length += strlen(name) + 1;
    memcpy(labels->bytes + labels->length, value, strlen(value));
    labels->length = (labels->length + strlen(value) + 7) & ~(size_t)7;
    header.size = (uint32_t)labels->length;
    header.nr_secctx = ++labels->count;
    memcpy(labels->bytes, &header, sizeof(header));
}

#define SELINUX XATTR_SECURITY_PREFIX "selinux"
#define VALUE   "system_u:object_r:etc_t:s0"

static int make(struct guest *guest, mode_t type, const char *name, const struct labels *labels)
{
    uint8_t bytes[2048];
    size_t length = 0;
    uint32_t opcode = FUSE_CREATE;
#define PUT(from, size) (memcpy(bytes + length, from, size), length += (size))
    if (S_ISDIR(type)) {
        struct fuse_mkdir_in in = {.mode = 0755};
        opcode = FUSE_MKDIR;
        PUT(&in, sizeof(in));
    } else if (S_ISREG(type)) {
        struct fuse_create_in in = {.flags = O_CREAT | O_RDONLY, .mode = S_IFREG | 0644};
        PUT(&in, sizeof(in));
    } else if (!S_ISLNK(type)) {
        struct fuse_mknod_in in = {.mode = type | 0644};
        opcode = FUSE_MKNOD;
        PUT(&in, sizeof(in));
    }
    PUT(name, strlen(name) + 1);
    if (S_ISLNK(type)) {
        opcode = FUSE_SYMLINK;
        PUT("target", sizeof("target"));
    }
    PUT(labels->bytes, labels->length);
#undef PUT
    return guest_call(guest, opcode, ROOT, bytes, length, NULL, 0, 4096);
}

static void begin_with_labels(struct guest *guest, enum feature_mode mode,
                              struct xattr_rules *rules)
{
    guest_prepare(guest);
    guest->settings.security_label = mode;
    guest->settings.xattr_rules = rules;
    guest->init_flags |= FUSE_SECURITY_CTX | FUSE_INIT_EXT;
    guest_start(guest);
}

static bool is_labelled(const struct guest *guest, const char *file, const char *name,
                        const char *value)
{
    char got[100] = "";
    ssize_t length = lgetxattr(guest_path(guest, file), name, got, sizeof(got));
    return length == (ssize_t)strlen(value) && memcmp(got, value, (size_t)length) == 0;
}

static bool exists(const struct guest *guest, const char *name)
{
    struct stat st;
    return lstat(guest_path(guest, name), &st) == 0;
}

static const struct {
    const char *name;
    mode_t type;
} kinds[] = {
    {"file", S_IFREG}, {"dir", S_IFDIR}, {"link", S_IFLNK}, {"fifo", S_IFIFO}, {"device", S_IFCHR},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

/* Several labels on one file, for every kind of it; who makes it again is told that it is there. */
static void labels_are_set(void)
{
    struct guest guest;
    struct labels labels = {.length = 0};
    add_label(&labels, SELINUX, VALUE);
    add_label(&labels, XATTR_SECURITY_PREFIX "SMACK64", "_");
    begin_with_labels(&guest, FEATURE_ALWAYS, NULL);
    guest.uid = 1000;
    guest.gid = 2000;
    for (unsigned i = 0; i < KINDS; i++) {
        CHECK_EQ(make(&guest, kinds[i].type, kinds[i].name, &labels), 0);
        CHECK(is_labelled(&guest, kinds[i].name, SELINUX, VALUE));
        CHECK(is_labelled(&guest, kinds[i].name, XATTR_SECURITY_PREFIX "SMACK64", "_"));
        CHECK_EQ(guest_host_stat(&guest, kinds[i].name).st_nlink, S_ISDIR(kinds[i].type) ? 2 : 1);
        if (!S_ISLNK(kinds[i].type))
            CHECK_EQ(guest_host_stat(&guest, kinds[i].name).st_uid, 1000);
        CHECK_EQ(make(&guest, kinds[i].type, kinds[i].name, &labels),
                 S_ISREG(kinds[i].type) ? 0 : -EEXIST);
    }
    /* What CREATE opened is open for what was asked for. */
    uint64_t node = guest_lookup(&guest, "file"), fh;
    CHECK_EQ(unlink(guest_path(&guest, "file")), 0);
    CHECK_EQ(make(&guest, S_IFREG, "file", &labels), 0);
    fh = ((struct fuse_open_out *)(guest.body + sizeof(struct fuse_entry_out)))->fh;
    node = BODY(fuse_entry_out)->nodeid;
    CHECK_EQ(guest_write(&guest, node, fh, 0, "x", 1, 0, 0), -EBADF);
    CHECK_EQ(guest_end(&guest), 0);
}

static struct xattr_rules user_rules(enum xattr_rule_type type)
{
    struct xattr_rules rules = {.count = 1};
    rules.rules[0] = (struct xattr_rule){.type = type,
                                         .client = true,
                                         .server = true,
                                         .key = "",
                                         .host = "user.virtiofs.",
                                         .prepend = "user.virtiofs."};
    return rules;
}

/* As user.* attributes: links and special files have no place for them, and are made all the same.
 */
static void labels_take_other_names(void)
{
    struct guest guest;
    struct xattr_rules rules = user_rules(XATTR_RULE_PREFIX);
    struct labels labels = {.length = 0};
    add_label(&labels, SELINUX, VALUE);
    begin_with_labels(&guest, FEATURE_ALWAYS, &rules);
    for (unsigned i = 0; i < KINDS; i++) {
        bool keeps = S_ISREG(kinds[i].type) || S_ISDIR(kinds[i].type);
        CHECK_EQ(make(&guest, kinds[i].type, kinds[i].name, &labels), 0);
        CHECK(exists(&guest, kinds[i].name));
        CHECK_EQ(is_labelled(&guest, kinds[i].name, "user.virtiofs." SELINUX, VALUE), keeps);
        CHECK(!is_labelled(&guest, kinds[i].name, SELINUX, VALUE));
    }
    CHECK_EQ(guest_end(&guest), 0);
}

/* What cannot be labelled is not made with always, and made without with auto. */
static void refused_labels(void)
{
    static const struct {
        enum feature_mode mode;
        enum xattr_rule_type rule;
        const char *name;
        int error;
    } rows[] = {
        {FEATURE_ALWAYS, XATTR_RULE_BAD, SELINUX, -EPERM},
        {FEATURE_AUTO, XATTR_RULE_BAD, SELINUX, -EPERM},
        {FEATURE_ALWAYS, XATTR_RULE_UNSUPPORTED, SELINUX, -EOPNOTSUPP},
        {FEATURE_AUTO, XATTR_RULE_UNSUPPORTED, SELINUX, 0},
        {FEATURE_AUTO, XATTR_RULE_PREFIX, "user.x", -EINVAL},
        {FEATURE_AUTO, XATTR_RULE_PREFIX, XATTR_NAME_POSIX_ACL_ACCESS, -EINVAL},
        {FEATURE_AUTO, XATTR_RULE_PREFIX, XATTR_NAME_CAPS, -EINVAL},
    };
    for (unsigned row = 0; row < sizeof(rows) / sizeof(rows[0]); row++) {
        struct guest guest;
        struct xattr_rules rules = user_rules(rows[row].rule);
        struct labels labels = {.length = 0};
        add_label(&labels, rows[row].name, VALUE);
        begin_with_labels(&guest, rows[row].mode, &rules);
        for (unsigned i = 0; i < KINDS; i++) {
            CHECK_EQ(make(&guest, kinds[i].type, kinds[i].name, &labels), rows[row].error);
            CHECK_EQ(exists(&guest, kinds[i].name), rows[row].error == 0);
        }
        CHECK_EQ(guest_end(&guest), 0);
    }
}

/* The host says no only when the file is there: nothing of it may be left. */
static void undone_when_the_host_refuses(void)
{
    for (enum feature_mode mode = FEATURE_AUTO; mode <= FEATURE_ALWAYS; mode++) {
        struct guest guest;
        struct xattr_rules rules = user_rules(XATTR_RULE_PREFIX);
        /* A name space that no file system has. */
        rules.rules[0].prepend = rules.rules[0].host = "nowhere.";
        struct labels labels = {.length = 0};
        add_label(&labels, SELINUX, VALUE);
        begin_with_labels(&guest, mode, &rules);
        for (unsigned i = 0; i < KINDS; i++) {
            bool made = mode == FEATURE_AUTO;
            CHECK_EQ(make(&guest, kinds[i].type, kinds[i].name, &labels), made ? 0 : -EOPNOTSUPP);
            CHECK_EQ(exists(&guest, kinds[i].name), made);
        }
        CHECK_EQ(guest_end(&guest), 0);
    }
}

static void labels_are_negotiated(void)
{
    static const struct {
        enum feature_mode mode;
        bool offered;
        bool taken;
        int error;
    } rows[] = {
        {FEATURE_NEVER, true, false, 0},         {FEATURE_AUTO, true, true, 0},
        {FEATURE_AUTO, false, false, 0},         {FEATURE_ALWAYS, true, true, 0},
        {FEATURE_ALWAYS, false, false, -EPROTO},
    };
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct guest guest;
        int error;
        begin_with_labels(&guest, rows[i].mode, NULL);
        uint64_t flags = init_reply(&guest, rows[i].offered ? FUSE_SECURITY_CTX : 0, &error);
        CHECK_EQ((flags & FUSE_SECURITY_CTX) != 0, rows[i].taken);
        CHECK_EQ(error, rows[i].error);
        CHECK_EQ(guest_end(&guest), 0);
    }
}

/* Who truncates at OPEN, and who clears bits, goes together. */
static void killpriv_is_negotiated(void)
{
    static const uint64_t v2 = FUSE_HANDLE_KILLPRIV_V2, trunc = FUSE_ATOMIC_O_TRUNC;
    static const struct {
        enum feature_mode mode;
        uint64_t offered;
        uint64_t taken;
    } rows[] = {
        {FEATURE_NEVER, v2 | trunc, 0},
        {FEATURE_NEVER, v2 | trunc | FUSE_ABI_ALLOW_IDMAP, 0},
        {FEATURE_ALWAYS, v2 | trunc, v2 | trunc},
        {FEATURE_ALWAYS, trunc, 0},
        {FEATURE_AUTO, v2 | trunc, 0},
        {FEATURE_AUTO, v2 | trunc | FUSE_ABI_ALLOW_IDMAP, v2 | trunc},
    };
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct guest guest;
        int error;
        guest_prepare(&guest);
        guest.settings.killpriv_v2 = rows[i].mode;
        guest_start(&guest);
        CHECK_EQ(init_reply(&guest, rows[i].offered, &error) & (v2 | trunc), rows[i].taken);
        CHECK_EQ(error, 0);
        CHECK_EQ(guest_end(&guest), 0);
    }
}

/* Without KILLPRIV_V2 whoever is known not to be root loses the bits, the cache's own writes
 * nothing. */
static void bits_go_by_who_asks(void)
{
    static const struct {
        uint32_t uid;
        uint32_t write_flags;
        mode_t left;
    } rows[] = {
        {0, 0, 06777},
        {1000, 0, 0777},
        {1000, FUSE_WRITE_CACHE, 06777},
        {UINT32_MAX, 0, 06777},
        {0, FUSE_WRITE_KILL_SUIDGID, 06777},
    };
    struct guest guest;
    guest_prepare(&guest);
    guest.settings.killpriv_v2 = FEATURE_NEVER;
    guest_start(&guest);
    guest_host_file(&guest, "f", "x");
    uint64_t node = guest_lookup(&guest, "f"), fh;
    CHECK_EQ(guest_open(&guest, node, O_RDWR, &fh), 0);
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        CHECK_EQ(chmod(guest_path(&guest, "f"), 06777), 0);
        guest.uid = rows[i].uid;
        CHECK_EQ(guest_write(&guest, node, fh, 0, "y", 1, 0, rows[i].write_flags), 1);
        CHECK_EQ(guest_host_stat(&guest, "f").st_mode & 07777, rows[i].left);
    }
    CHECK_EQ(guest_end(&guest), 0);
}

/* A capability under another name means nothing to the host: it is ours to take away. */
static void renamed_capabilities_go(void)
{
    struct guest guest;
    struct xattr_rules rules = user_rules(XATTR_RULE_PREFIX);
    static const char name[] = "user.virtiofs." XATTR_NAME_CAPS;
    guest_prepare(&guest);
    guest.settings.xattr_rules = &rules;
    guest_start(&guest);
    guest_host_file(&guest, "f", "x");
    const char *path = guest_path(&guest, "f");
    uint64_t node = guest_lookup(&guest, "f"), fh;
    CHECK_EQ(guest_open(&guest, node, O_RDWR, &fh), 0);
    for (unsigned way = 0; way < 5; way++) {
        struct fuse_setattr_in cut = {.valid = FATTR_SIZE, .size = 1};
        struct fuse_setattr_in give = {.valid = FATTR_GID, .gid = 5};
        struct fuse_setattr_in mode = {.valid = FATTR_MODE, .mode = 0700};
        struct fuse_fallocate_in space = {.fh = fh, .length = 100};
        CHECK_EQ(setxattr(path, name, "v", 1, 0), 0);
        CHECK_EQ(guest_do(&guest, FUSE_SETATTR, node, mode), 0);
        CHECK_EQ(getxattr(path, name, NULL, 0), 1);
        if (way == 0)
            CHECK_EQ(guest_write(&guest, node, fh, 0, "y", 1, 0, 0), 1);
        if (way == 1)
            CHECK_EQ(guest_do(&guest, FUSE_SETATTR, node, cut), 0);
        if (way == 2)
            CHECK_EQ(guest_do(&guest, FUSE_SETATTR, node, give), 0);
        if (way == 3)
            CHECK_EQ(guest_do(&guest, FUSE_FALLOCATE, node, space), 0);
        uint64_t other;
        if (way == 4)
            CHECK_EQ(guest_open(&guest, node, O_WRONLY | O_TRUNC, &other), 0);
        CHECK_EQ(getxattr(path, name, NULL, 0), -1);
    }
    CHECK_EQ(guest_end(&guest), 0);
}

int main(void)
{
    umask(0);
    /* As the sandbox does it: changing the user keeps the capabilities. */
    if (prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP) < 0)
        return 1;
    RUN(acl_is_all_or_nothing);
    RUN(umask_follows_the_request);
    RUN(setgid_goes_when_asked);
    RUN(killpriv_is_negotiated);
    RUN(bits_go_by_who_asks);
    RUN(renamed_capabilities_go);
    RUN(labels_are_negotiated);
    RUN(labels_are_set);
    RUN(labels_take_other_names);
    RUN(refused_labels);
    RUN(undone_when_the_host_refuses);
    return test_result();
}
