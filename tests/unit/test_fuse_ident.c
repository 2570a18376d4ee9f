// SPDX-License-Identifier: BSD-3-Clause
/*
 * Whose files are: the ids and groups that requests bring, and what is made of them on the host.
 * Needs root.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sys/prctl.h>
#include <linux/posix_acl.h>
#include <linux/securebits.h>
#include <unistd.h>

#include "fuse_guest.h"
#include "idtrans.h"
#include "test.h"

#define ROOT FUSE_ROOT_ID

/*
 * A folder of this group of the host whose new files inherit it. Returns its node id. The bit is
 * set by a request, as this thread may have no CAP_FSETID after others.
 */
static uint64_t team_folder(struct guest *guest, gid_t gid)
{
    const char *path = guest_path(guest, "team");
    if (mkdir(path, 0777) < 0 || chown(path, 0, gid) < 0)
        return 0;
    uint64_t node = guest_lookup(guest, "team");
    struct fuse_setattr_in in = {.valid = FATTR_MODE, .mode = 02777};
    return guest_do(guest, FUSE_SETATTR, node, in) == 0 ? node : 0;
}

/* MKNOD of name with an extension of count groups, the first of them group. */
static int mknod_with(struct guest *guest, uint64_t dir, const char *name, uint32_t count,
                      uint32_t group)
{
    struct {
        char name[8];
        uint32_t size, type, count, groups[65];
    } tail = {
        .size = (12 + count * 4 + 7) & ~7u,
        .type = FUSE_ABI_EXT_GROUPS,
        .count = count,
        .groups[0] = group,
    };
    for (uint32_t i = 1; i < count; i++)
        tail.groups[i] = 1000 + i;
    memset(tail.name, 'n', sizeof(tail.name) - 1);
    memcpy(tail.name, name, strlen(name));
    guest->extensions = (uint16_t)(tail.size / 8);
    struct fuse_mknod_in in = {.mode = S_IFREG | 02755};
    int error = guest_call(guest, FUSE_MKNOD, dir, &in, sizeof(in), &tail,
                           sizeof(tail.name) + tail.size, 4096);
    guest->extensions = 0;
    return error;
}

static void groups_of_the_maker(void)
{
    struct guest guest;
    guest_prepare(&guest);
    guest.init_flags |= FUSE_ABI_CREATE_SUPP_GROUP;
    guest_start(&guest);
    uint64_t dir = team_folder(&guest, 50);
    guest.uid = guest.gid = 1000;

    CHECK_EQ(mknod_with(&guest, dir, "member", 1, 50), 0);
    struct stat host = guest_host_stat(&guest, "team/membern");
    CHECK_EQ(host.st_mode & 07777, 02755);
    CHECK_EQ(host.st_uid, 1000);
    CHECK_EQ(host.st_gid, 50);
    CHECK_EQ(getgroups(0, NULL), 0);

    CHECK_EQ(mknod_with(&guest, dir, "other", 1, 51), 0);
    CHECK_EQ(guest_host_stat(&guest, "team/othernn").st_mode & 07777, 0755);
    CHECK_EQ(mknod_with(&guest, dir, "strange", 0, 0), 0);
    CHECK_EQ(guest_host_stat(&guest, "team/strange").st_mode & 07777, 0755);
    CHECK_EQ(mknod_with(&guest, dir, "many", 32, 50), 0);
    CHECK_EQ(guest_host_stat(&guest, "team/manynnn").st_mode & 07777, 02755);
    CHECK_EQ(getgroups(0, NULL), 0);

    /* Wrong ones make nothing. */
    CHECK_EQ(mknod_with(&guest, dir, "a", 33, 50), -EINVAL);
    CHECK_EQ(mknod_with(&guest, dir, "a", 1, UINT32_MAX), -EINVAL);
    guest.uid = UINT32_MAX;
    CHECK_EQ(mknod_with(&guest, dir, "a", 1, 50), -EINVAL);
    CHECK_EQ(guest_host_stat(&guest, "team/annnnnn").st_ino, 0);
    CHECK_EQ(getgroups(0, NULL), 0);
    CHECK_EQ(guest_end(&guest), 0);
}

static void groups_that_nobody_asked_for(void)
{
    struct guest guest;
    guest_begin(&guest);
    uint64_t dir = team_folder(&guest, 50);
    guest.uid = guest.gid = 1000;
    CHECK_EQ(mknod_with(&guest, dir, "a", 1, 50), -EINVAL);
    guest.extensions = 1;
    CHECK_EQ(guest_name(&guest, FUSE_SYMLINK, dir, "short"), -EINVAL);
    guest.extensions = 0;
    CHECK_EQ(guest_end(&guest), 0);
}

static const struct id_range *const NONE = NULL;

/* As the options leave a table: in order. */
static void fill(struct id_table *table, const struct id_range *ranges, unsigned count)
{
    table->count = count;
    if (count)
        memcpy(table->ranges, ranges, count * sizeof(*ranges));
}

static uint32_t to_host(const struct id_translation *translation, uint32_t id)
{
    uint32_t result = 0xbad;
    int error = idtrans_to_host(translation, id, &result);
    return error == -EPERM && result == 0xbad ? 0xdead : result;
}

static void ids_and_their_ranges(void)
{
    static struct id_translation translation;
    fill(&translation.to_host, NONE, 0);
    CHECK_EQ(to_host(&translation, 0), 0);
    CHECK_EQ(to_host(&translation, 4294967294), 4294967294);

    static const struct id_range ranges[] = {
        {0, 0, 1000, ID_SHIFT},           {1, 9, 0, ID_FORBID},
        {100, 199, 100000, ID_SHIFT},     {200, 299, 7, ID_SQUASH},
        {1000, 4294967295, 8, ID_SQUASH},
    };
    fill(&translation.to_host, ranges, 5);
    fill(&translation.to_guest, &ranges[2], 3);
    CHECK_EQ(to_host(&translation, 0), 1000);
    CHECK_EQ(to_host(&translation, 1), 0xdead);
    CHECK_EQ(to_host(&translation, 9), 0xdead);
    CHECK_EQ(to_host(&translation, 10), 10);
    CHECK_EQ(to_host(&translation, 99), 99);
    CHECK_EQ(to_host(&translation, 100), 100000);
    CHECK_EQ(to_host(&translation, 199), 100099);
    CHECK_EQ(to_host(&translation, 200), 7);
    CHECK_EQ(to_host(&translation, 299), 7);
    CHECK_EQ(to_host(&translation, 300), 300);
    CHECK_EQ(to_host(&translation, 4294967294), 8);
    CHECK_EQ(to_host(&translation, 4294967295), 4294967295); /* no id */
    CHECK_EQ(idtrans_to_guest(&translation, 0), 0);
    CHECK_EQ(idtrans_to_guest(&translation, 150), 100050);
    CHECK_EQ(idtrans_to_guest(&translation, 250), 7);
    CHECK_EQ(idtrans_to_guest(&translation, 4294967295), 4294967295);
}

/* A guest whose root is 1000 on the host, whose 5 to 9 are forbidden; host 0 is shown as 65534. */
static void begin_translated(struct guest *guest)
{
    static const struct id_range to_host[] = {{0, 0, 1000, ID_SHIFT}, {5, 9, 0, ID_FORBID}};
    static const struct id_range to_guest[] = {{0, 0, 65534, ID_SQUASH}, {1000, 1000, 0, ID_SHIFT}};
    guest_prepare(guest);
    guest->init_flags |= FUSE_ABI_CREATE_SUPP_GROUP;
    struct id_translation *kinds[] = {&guest->settings.translate_uid,
                                      &guest->settings.translate_gid};
    for (unsigned i = 0; i < 2; i++) {
        fill(&kinds[i]->to_host, to_host, 2);
        fill(&kinds[i]->to_guest, to_guest, 2);
    }
    guest_start(guest);
}

static void translated_owners(void)
{
    struct guest guest;
    begin_translated(&guest);
    uint64_t node, fh;
    CHECK_EQ(guest_create(&guest, "new", O_RDWR | O_CREAT, S_IFREG | 0644, &node, &fh), 0);
    CHECK_EQ(BODY(fuse_entry_out)->attr.uid, 0);
    CHECK_EQ(BODY(fuse_entry_out)->attr.gid, 0);
    CHECK_EQ(guest_host_stat(&guest, "new").st_uid, 1000);
    CHECK_EQ(guest_host_stat(&guest, "new").st_gid, 1000);

    struct fuse_setattr_in in = {.valid = FATTR_UID | FATTR_GID, .uid = 20, .gid = 0};
    CHECK_EQ(guest_do(&guest, FUSE_SETATTR, node, in), 0);
    CHECK_EQ(BODY(fuse_attr_out)->attr.uid, 20);
    CHECK_EQ(BODY(fuse_attr_out)->attr.gid, 0);
    CHECK_EQ(guest_host_stat(&guest, "new").st_uid, 20);
    CHECK_EQ(guest_host_stat(&guest, "new").st_gid, 1000);
    in.gid = 5;
    CHECK_EQ(guest_do(&guest, FUSE_SETATTR, node, in), -EPERM);
    in = (struct fuse_setattr_in){.valid = FATTR_UID, .uid = 9, .gid = 5};
    CHECK_EQ(guest_do(&guest, FUSE_SETATTR, node, in), -EPERM);
    in.uid = 21; /* a gid that is not asked for does not matter */
    CHECK_EQ(guest_do(&guest, FUSE_SETATTR, node, in), 0);
    CHECK_EQ(guest_host_stat(&guest, "new").st_uid, 21);

    guest.uid = 7;
    CHECK_EQ(guest_create(&guest, "forbidden", O_RDWR | O_CREAT, S_IFREG, &node, &fh), -EPERM);
    guest.uid = 1;
    guest.gid = 5;
    struct fuse_mkdir_in mkdir_in = {.mode = 0755};
    CHECK_EQ(guest_ask(&guest, FUSE_MKDIR, ROOT, mkdir_in, "forbidden"), -EPERM);
    CHECK_EQ(guest_host_stat(&guest, "forbidden").st_ino, 0);

    /* What only reads asks nobody who it is. */
    node = guest_lookup(&guest, "new");
    CHECK(node != 0);
    guest_host_file(&guest, "roots", "x");
    CHECK_EQ(chown(guest_path(&guest, "roots"), 0, 0), 0);
    CHECK(guest_lookup(&guest, "roots") != 0);
    CHECK_EQ(BODY(fuse_entry_out)->attr.uid, 65534);
    struct fuse_abi_statx_in statx_in = {.sx_mask = STATX_BASIC_STATS};
    CHECK_EQ(guest_do(&guest, FUSE_ABI_STATX, guest_lookup(&guest, "roots"), statx_in), 0);
    CHECK_EQ(BODY(fuse_abi_statx_out)->stat.uid, 65534);
    CHECK_EQ(guest_end(&guest), 0);
}

/* A group of the guest's root is another on the host, in requests as in folders. */
static void translated_groups(void)
{
    struct guest guest;
    begin_translated(&guest);
    uint64_t dir = team_folder(&guest, 1000);
    guest.uid = guest.gid = 50;
    CHECK_EQ(mknod_with(&guest, dir, "member", 1, 0), 0);
    CHECK_EQ(guest_host_stat(&guest, "team/membern").st_mode & 07777, 02755);
    CHECK_EQ(guest_host_stat(&guest, "team/membern").st_gid, 1000);
    CHECK_EQ(mknod_with(&guest, dir, "other", 1, 1000), 0);
    CHECK_EQ(guest_host_stat(&guest, "team/othernn").st_mode & 07777, 02755);
    CHECK_EQ(mknod_with(&guest, dir, "forbid", 1, 5), 0);
    CHECK_EQ(guest_host_stat(&guest, "team/forbidn").st_mode & 07777, 0755);
    CHECK_EQ(guest_end(&guest), 0);
}

struct acl {
    uint32_t version;
    struct {
        uint16_t tag, perm;
        uint32_t id;
    } entries[6];
};

static void translated_acls(void)
{
    struct guest guest;
    begin_translated(&guest);
    struct acl acl = {2,
                      {{ACL_USER_OBJ, 6, UINT32_MAX},
                       {ACL_USER, 6, 0},
                       {ACL_GROUP_OBJ, 4, UINT32_MAX},
                       {ACL_GROUP, 4, 30},
                       {ACL_MASK, 7, UINT32_MAX},
                       {ACL_OTHER, 0, UINT32_MAX}}};
    struct acl before = acl;
    CHECK_EQ(idtrans_acl_to_host(&guest.settings, &acl, sizeof(acl)), 0);
    CHECK_EQ(acl.entries[1].id, 1000);
    CHECK_EQ(acl.entries[3].id, 30);
    CHECK_EQ(acl.entries[0].id, UINT32_MAX);
    idtrans_acl_to_guest(&guest.settings, &acl, sizeof(acl));
    CHECK_EQ(memcmp(&acl, &before, sizeof(acl)), 0);
    acl.entries[3].id = 9;
    CHECK_EQ(idtrans_acl_to_host(&guest.settings, &acl, sizeof(acl)), -EPERM);

    /* Of no known form: untouched. */
    for (size_t size = 0; size < sizeof(acl); size++) {
        if (size % 8 == 4)
            continue;
        acl = before;
        CHECK_EQ(idtrans_acl_to_host(&guest.settings, &acl, size), 0);
        CHECK_EQ(memcmp(&acl, &before, sizeof(acl)), 0);
    }
    acl.version = 3;
    CHECK_EQ(idtrans_acl_to_host(&guest.settings, &acl, sizeof(acl)), 0);
    CHECK_EQ(acl.entries[1].id, 0);
    CHECK_EQ(guest_end(&guest), 0);
}

int main(void)
{
    if (geteuid() != 0) {
        printf("skipped: needs root\n");
        return 77;
    }
    umask(0);
    /* As the sandbox leaves the daemon. */
    if (setgroups(0, NULL) < 0 || prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP) < 0)
        return 1;
    RUN(groups_of_the_maker);
    RUN(groups_that_nobody_asked_for);
    RUN(ids_and_their_ranges);
    RUN(translated_owners);
    RUN(translated_groups);
    RUN(translated_acls);
    return test_result();
}
