// SPDX-License-Identifier: BSD-3-Clause
/*
 * What files and directories contain, as a guest asks for it: data, space, listings, extended
 * attributes. The outcome is compared with what the host's own calls say, and nothing may be left
 * open. Needs root, for trusted attributes.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fuse_guest.h"
#include "test.h"

#define ROOT FUSE_ROOT_ID

static void read_and_write(void)
{
    static uint8_t data[900000];
    struct guest guest;
    guest_begin(&guest);
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 2654435761u >> 13);
    uint64_t node, fh;
    CHECK_EQ(guest_create(&guest, "f", O_RDWR | O_CREAT, S_IFREG | 0600, &node, &fh), 0);
    /* More pieces than one system call takes. */
    CHECK_EQ(guest_write(&guest, node, fh, 0, data, sizeof(data), O_RDWR, 0), sizeof(data));
    CHECK_EQ(guest_read(&guest, node, fh, 0, sizeof(data)), sizeof(data));
    CHECK(memcmp(guest.body, data, sizeof(data)) == 0);
    CHECK_EQ(guest_read(&guest, node, fh, 12345, GUEST_BODY_MAX), sizeof(data) - 12345);
    CHECK(memcmp(guest.body, data + 12345, sizeof(data) - 12345) == 0);
    CHECK_EQ(guest_read(&guest, node, fh, sizeof(data), 4096), 0);
    CHECK_EQ(guest_read(&guest, node, fh, 0, 0), 0);
    CHECK_EQ(truncate(guest_path(&guest, "f"), 4096), 0);
    CHECK_EQ(guest_read(&guest, node, fh, 0, 65536), 4096);

    CHECK_EQ(guest_read(&guest, node, fh, INT64_MAX, 1), -EINVAL);
    CHECK_EQ(guest_read(&guest, node, fh, UINT64_MAX - 10, 4096), -EINVAL);
    CHECK_EQ(guest_write(&guest, node, fh, UINT64_MAX, data, 10, 0, 0), -EINVAL);
    CHECK_EQ(guest_write(&guest, node, fh, 0, data, 0, 0, 0), 0);
    struct fuse_write_in lie = {.fh = fh, .size = 100};
    CHECK_EQ(guest_call(&guest, FUSE_WRITE, node, &lie, sizeof(lie), data, 99, 64), -EINVAL);
    CHECK_EQ(guest_read(&guest, ROOT, fh, 0, 10), -EBADF);
    CHECK_EQ(guest_read(&guest, node, fh ^ 1ull << 40, 0, 10), -EBADF);
    uint64_t dir;
    CHECK_EQ(guest_opendir(&guest, ROOT, &dir), 0);
    CHECK_EQ(guest_read(&guest, ROOT, dir, 0, 10), -EBADF);

    struct fuse_release_in release = {.fh = fh};
    CHECK_EQ(guest_do(&guest, FUSE_RELEASEDIR, node, release), -EBADF);
    CHECK_EQ(guest_do(&guest, FUSE_RELEASE, node, release), 0);
    CHECK_EQ(guest_do(&guest, FUSE_RELEASE, node, release), -EBADF);
    CHECK_EQ(guest_read(&guest, node, fh, 0, 10), -EBADF);
    CHECK_EQ(guest_end(&guest), 0);
}

static void appending(void)
{
    struct guest guest;
    guest_begin(&guest);
    guest_host_file(&guest, "log", "one ");
    uint64_t node = guest_lookup(&guest, "log"), fh;
    CHECK_EQ(guest_open(&guest, node, O_WRONLY | O_APPEND, &fh), 0);
    /* The host made it longer than the guest knows. */
    guest_host_file(&guest, "log", "one two ");
    CHECK_EQ(guest_write(&guest, node, fh, 4, "three", 5, O_WRONLY | O_APPEND, 0), 5);
    CHECK_EQ(guest_host_stat(&guest, "log").st_size, 13);
    /* fcntl() took O_APPEND away; a page of a cache has its place anyway. */
    CHECK_EQ(guest_write(&guest, node, fh, 0, "ONE", 3, O_WRONLY, 0), 3);
    CHECK_EQ(guest_write(&guest, node, fh, 4, "TWO", 3, O_WRONLY | O_APPEND, FUSE_WRITE_CACHE), 3);
    char content[32] = "";
    int fd = open(guest_path(&guest, "log"), O_RDONLY);
    CHECK_EQ(read(fd, content, sizeof(content)), 13);
    close(fd);
    CHECK(strcmp(content, "ONE TWO three") == 0);
    CHECK_EQ(guest_end(&guest), 0);
}

/* A guest whose pages are in a write-back cache reads through what it opened for writing. */
static void write_back(void)
{
    struct guest guest;
    guest_prepare(&guest);
    guest.settings.writeback = true;
    guest_start(&guest);
    guest_host_file(&guest, "f", "abc");
    uint64_t node = guest_lookup(&guest, "f"), fh;
    CHECK_EQ(guest_open(&guest, node, O_WRONLY | O_APPEND, &fh), 0);
    CHECK_EQ(guest_read(&guest, node, fh, 0, 10), 3);
    CHECK_EQ(guest_write(&guest, node, fh, 1, "B", 1, O_APPEND, 0), 1);
    CHECK_EQ(guest_host_stat(&guest, "f").st_size, 3);
    CHECK_EQ(guest_end(&guest), 0);
}

/*
 * A guest that opened with O_DIRECT and takes it back with fcntl() caches pages, whose pieces are
 * not aligned as the host's O_DIRECT wants them.
 */
static void direct_io_comes_and_goes(void)
{
    struct guest guest;
    guest_prepare(&guest);
    guest.settings.allow_direct_io = true;
    guest_start(&guest);
    guest_host_file(&guest, "f", "abc");
    uint64_t node = guest_lookup(&guest, "f"), fh;
    int error = guest_open(&guest, node, O_RDWR | O_DIRECT, &fh);
    if (error == -EINVAL)
        printf("     the file system of %s has no O_DIRECT: not tried\n", guest.root);
    else
        CHECK_EQ(guest_read(&guest, node, fh, 1, 10), 2);
    guest.settings.allow_direct_io = false;
    CHECK_EQ(guest_open(&guest, node, O_RDWR | O_DIRECT, &fh), 0);
    CHECK_EQ(guest_write(&guest, node, fh, 3, "d", 1, O_DIRECT, 0), 1);
    CHECK_EQ(guest_read(&guest, node, fh, 0, 10), 4);
    CHECK_EQ(guest_end(&guest), 0);
}

/*
 * Pieces that no O_DIRECT takes, as buffers are that do not begin with a page, or are longer than a
 * request: the host reads and writes them all the same.
 */
static void direct_io_in_any_pieces(void)
{
    static uint8_t data[40000];
    struct guest guest;
    guest_prepare(&guest);
    guest.settings.allow_direct_io = true;
    guest_start(&guest);
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 2654435761u >> 13);
    guest_host_file(&guest, "f", "abc");
    uint64_t node = guest_lookup(&guest, "f"), fh;
    int error = guest_open(&guest, node, O_RDWR | O_DIRECT, &fh);
    if (error == -EINVAL) {
        printf("     the file system of %s has no O_DIRECT: not tried\n", guest.root);
    } else {
        CHECK_EQ(error, 0);
        CHECK_EQ(guest_write(&guest, node, fh, 0, data, sizeof(data), O_RDWR | O_DIRECT, 0),
                 sizeof(data));
        struct fuse_read_in in = {.fh = fh, .size = sizeof(data), .flags = O_RDWR | O_DIRECT};
        CHECK_EQ(guest_call(&guest, FUSE_READ, node, &in, sizeof(in), NULL, 0, sizeof(data)), 0);
        CHECK_EQ(guest.length, sizeof(data));
        CHECK(memcmp(guest.body, data, sizeof(data)) == 0);
        CHECK_EQ(guest_host_stat(&guest, "f").st_size, sizeof(data));
    }
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
    guest_begin(&guest);
    for (int i = 0; i < ENTRIES; i++) {
        char name[256];
        snprintf(name, sizeof(name), "%.*s-%d", i % 240,
                 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                 "xxxxxx"
                 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                 "xxxxxx"
                 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
                 i);
        guest_host_file(&guest, name, "");
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

/*
 * Linux takes a node's first attributes in a reply and ignores later ones, so that a file renamed
 * while it is listed would be as long as it was under its first name.
 */
static void two_names_in_a_listing(void)
{
    struct guest guest;
    guest_begin(&guest);
    guest_host_file(&guest, "-0", "");
    CHECK_EQ(link(guest_path(&guest, "-0"), guest_path(&guest, "-1")), 0);
    uint64_t fh;
    CHECK_EQ(guest_opendir(&guest, ROOT, &fh), 0);
    struct fuse_read_in in = {.fh = fh, .size = 4096};
    CHECK_EQ(guest_do(&guest, FUSE_READDIRPLUS, ROOT, in), 0);
    unsigned names = 0;
    uint64_t node = 0;
    for (size_t at = 0; at < guest.length;) {
        const struct fuse_direntplus *entry = (const void *)(guest.body + at);
        if (entry->dirent.name[0] == '-') {
            names++;
            CHECK(node == 0 || entry->entry_out.nodeid == 0);
            node |= entry->entry_out.nodeid;
        }
        at += FUSE_DIRENTPLUS_SIZE(entry);
    }
    CHECK_EQ(names, 2);
    CHECK(node != 0);
    /* The second one has counted no lookup. */
    struct fuse_forget_in forget = {.nlookup = 1};
    guest_do(&guest, FUSE_FORGET, node, forget);
    struct fuse_getattr_in get = {0};
    CHECK_EQ(guest_do(&guest, FUSE_GETATTR, node, get), -ESTALE);
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
        guest_host_file(&guest, name, "");
    }
    guest_host_file(&guest, "f", "x");
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
    CHECK_EQ(guest_create(&guest, "more", O_RDWR | O_CREAT, S_IFREG, &unused, &unused), -ENFILE);
    CHECK_EQ(access(guest_path(&guest, "more"), F_OK), -1);

    struct fuse_release_in release = {.fh = fh};
    CHECK_EQ(guest_do(&guest, FUSE_RELEASE, node, release), 0);
    if (mode == FILE_HANDLES_NEVER) {
        /* The last descriptor is for the file, there is none for its inode: both come back. */
        CHECK_EQ(guest_create(&guest, "more", O_RDWR | O_CREAT, S_IFREG, &unused, &unused),
                 -ENFILE);
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
    guest_begin(&guest);
    guest_host_file(&guest, "f", "x");
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
    guest_begin(&guest);
    uint64_t node, fh, other, other_fh;
    CHECK_EQ(guest_create(&guest, "a", O_RDWR | O_CREAT, S_IFREG | 0600, &node, &fh), 0);
    CHECK_EQ(guest_create(&guest, "b", O_RDWR | O_CREAT, S_IFREG | 0600, &other, &other_fh), 0);
    CHECK_EQ(allocate(&guest, node, fh, 0, 0, 1 << 20), 0);
    CHECK_EQ(guest_host_stat(&guest, "a").st_size, 1 << 20);
    CHECK_EQ(allocate(&guest, node, fh, FALLOC_FL_KEEP_SIZE, 0, 2 << 20), 0);
    CHECK_EQ(allocate(&guest, node, fh, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 65536), 0);
    CHECK_EQ(allocate(&guest, node, fh, FALLOC_FL_PUNCH_HOLE, 0, 65536), -EOPNOTSUPP);
    CHECK_EQ(allocate(&guest, node, fh, FALLOC_FL_COLLAPSE_RANGE, 0, 4096), -EOPNOTSUPP);
    CHECK_EQ(allocate(&guest, node, fh, 0xffffffff, 0, 4096), -EOPNOTSUPP);
    CHECK_EQ(allocate(&guest, node, fh, 0, UINT64_MAX, 4096), -EINVAL);
    CHECK_EQ(allocate(&guest, node, fh, 0, 0, 0), -EINVAL);

    CHECK_EQ(guest_write(&guest, node, fh, 200000, "data", 4, 0, 0), 4);
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
    CHECK_EQ(guest_host_stat(&guest, "b").st_size, 6);
    CHECK_EQ(copy_range(&guest, node, fh, other, other_fh, 0, INT64_MAX, 0), 1 << 20);
    CHECK_EQ(copy_range(&guest, node, fh, other, other_fh, 0, UINT64_MAX, 0), -EOVERFLOW);
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

static unsigned count_descriptors(void)
{
    unsigned count = 0;
    for (int fd = 0; fd < 1000; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

/* What another thread of the server does while one is inside fsync(2). */
static struct {
    struct fuse_thread *thread;
    uint64_t node;
    uint64_t fh;
    int error;
    unsigned closed;
} elsewhere;

/* The C library's, seen from here: lets another thread close a file meanwhile. */
int fsync(int fd)
{
    struct {
        struct fuse_in_header header;
        struct fuse_release_in in;
    } request = {
        .header = {.len = sizeof(request), .opcode = FUSE_RELEASE, .nodeid = elsewhere.node},
        .in.fh = elsewhere.fh,
    };
    struct fuse_out_header reply = {.error = -1};
    struct iovec readable = {&request, sizeof(request)};
    struct iovec writable = {&reply, sizeof(reply)};
    struct fuse_chain chain = {
        .readable = &readable, .readable_count = 1, .writable = &writable, .writable_count = 1};
    if (elsewhere.thread) {
        unsigned before = count_descriptors();
        fuse_server_run(elsewhere.thread, &chain);
        fuse_thread_settle(elsewhere.thread, true);
        elsewhere.error = reply.error;
        elsewhere.closed = before - count_descriptors();
    }
    return (int)syscall(SYS_fsync, fd);
}

/* A request that takes long does not keep the descriptors that others give up. */
static void long_calls_hold_nothing_back(void)
{
    struct guest guest;
    uint64_t node, fh, other, other_fh;
    guest_begin(&guest);
    CHECK_EQ(guest_create(&guest, "a", O_RDWR | O_CREAT, S_IFREG | 0600, &node, &fh), 0);
    CHECK_EQ(guest_create(&guest, "b", O_RDWR | O_CREAT, S_IFREG | 0600, &other, &other_fh), 0);
    elsewhere.node = other;
    elsewhere.fh = other_fh;
    CHECK_EQ(fuse_thread_new(guest.server, NULL, &elsewhere.thread), 0);
    struct fuse_fsync_in sync = {.fh = fh};
    CHECK_EQ(guest_do(&guest, FUSE_FSYNC, node, sync), 0);
    CHECK_EQ(elsewhere.error, 0);
    CHECK_EQ(elsewhere.closed, 1);

    /* Its own file neither: the request has another descriptor of it. */
    elsewhere.node = node;
    elsewhere.fh = fh;
    CHECK_EQ(guest_do(&guest, FUSE_FSYNC, node, sync), 0);
    CHECK_EQ(elsewhere.error, 0);
    CHECK_EQ(elsewhere.closed, 1);
    fuse_thread_free(elsewhere.thread);
    elsewhere.thread = NULL;
    CHECK_EQ(guest_end(&guest), 0);
}

int main(void)
{
    if (geteuid() != 0) {
        printf("skipped: needs root\n");
        return 77;
    }
    umask(0);
    RUN(read_and_write);
    RUN(appending);
    RUN(write_back);
    RUN(direct_io_comes_and_goes);
    RUN(direct_io_in_any_pieces);
    RUN(directories);
    RUN(two_names_in_a_listing);
    RUN(limit_with_file_handles);
    RUN(limit_without_file_handles);
    RUN(extended_attributes);
    RUN(space);
    RUN(long_calls_hold_nothing_back);
    return test_result();
}
