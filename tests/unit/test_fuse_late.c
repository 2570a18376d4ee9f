// SPDX-License-Identifier: BSD-3-Clause
/*
 * New files, as a guest makes and closes them: the descriptor that CREATE opened stays for a moment
 * (handle.h), for who removes the file. No more than that, and the guest sees no difference.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "fuse_guest.h"
#include "test.h"

#define ROOT FUSE_ROOT_ID

/* A descriptor of the share's file of that number, which is an O_PATH one or is none; -1. */
static int descriptor_of(const struct guest *guest, uint64_t ino, bool by_path)
{
    struct stat root, st;
    if (stat(guest->root, &root) < 0)
        return -1;
    for (int fd = 3; fd < 512; fd++) {
        if (fstat(fd, &st) == 0 && st.st_ino == ino && st.st_dev == root.st_dev &&
            !!(fcntl(fd, F_GETFL) & O_PATH) == by_path)
            return fd;
    }
    return -1;
}

/* CREATE, WRITE and RELEASE. */
static void write_new(struct guest *guest, const char *name, uint64_t *ret_node, uint64_t *ret_ino)
{
    uint64_t fh;
    CHECK_EQ(guest_create(guest, name, O_WRONLY | O_CREAT | O_EXCL, S_IFREG | 0600, ret_node, &fh),
             0);
    CHECK_EQ(guest_write(guest, *ret_node, fh, 0, "new", 3, O_WRONLY, 0), 3);
    struct fuse_release_in in = {.fh = fh};
    CHECK_EQ(guest_do(guest, FUSE_RELEASE, *ret_node, in), 0);
    *ret_ino = guest_host_stat(guest, name).st_ino;
}

/* Any request, and what the thread does when it has nothing else to do. */
static void rest(struct guest *guest)
{
    struct fuse_getattr_in getattr = {0};
    guest->busy = false;
    CHECK_EQ(guest_do(guest, FUSE_GETATTR, ROOT, getattr), 0);
    guest->busy = true;
}

/* What the guest holds of a file without a name: its attributes, and what opening it gives. */
static void check_removed(struct guest *guest, uint64_t node, uint64_t ino)
{
    uint64_t fh;
    struct fuse_getattr_in getattr = {0};
    CHECK_EQ(guest_do(guest, FUSE_GETATTR, node, getattr), 0);
    const struct fuse_attr *attr = &((struct fuse_attr_out *)guest->body)->attr;
    CHECK_EQ(attr->ino, ino);
    CHECK_EQ(attr->size, 3);
    CHECK_EQ(attr->nlink, 0);
    /* It was open for writing only; what is opened now is not. */
    CHECK_EQ(guest_open(guest, node, O_RDONLY, &fh), 0);
    CHECK_EQ(guest_read(guest, node, fh, 0, 8), 3);
    struct fuse_release_in release = {.fh = fh};
    CHECK_EQ(guest_do(guest, FUSE_RELEASE, node, release), 0);
}

/*
 * What CREATE opened is closed late. UNLINK keeps the file by that descriptor if it comes before,
 * and otherwise by another one; the guest sees no difference.
 */
static void new_and_removed(void)
{
    struct guest guest;
    uint64_t node, ino;
    guest_begin(&guest);
    guest.busy = true;
    unsigned descriptors = guest_open_descriptors();
    for (unsigned i = 0; i < 100; i++) {
        bool late = i % 10 != 9;
        write_new(&guest, "t", &node, &ino);
        CHECK(descriptor_of(&guest, ino, false) >= 0);
        if (!late)
            rest(&guest);
        CHECK_EQ(descriptor_of(&guest, ino, false) >= 0, late);
        CHECK_EQ(guest_name(&guest, FUSE_UNLINK, ROOT, "t"), 0);
        /* The first one of each kind is not expected, and found by O_PATH. */
        CHECK_EQ(descriptor_of(&guest, ino, true) >= 0, !late || i % 10 == 0);
        check_removed(&guest, node, ino);
        rest(&guest);
        check_removed(&guest, node, ino);
        struct fuse_forget_in forget = {.nlookup = 1};
        guest_do(&guest, FUSE_FORGET, node, forget);
        CHECK_EQ(guest_open_descriptors(), descriptors);
    }
    CHECK_EQ(guest_end(&guest), 0);
}

/* The same by RENAME. But over itself nothing is removed. */
static void new_and_replaced(void)
{
    struct guest guest;
    uint64_t node, ino;
    struct fuse_rename_in in = {.newdir = ROOT};
    guest_begin(&guest);
    guest.busy = true;
    for (unsigned i = 0; i < 20; i++) {
        guest_host_file(&guest, "other", "");
        write_new(&guest, "t", &node, &ino);
        CHECK_EQ(guest_call(&guest, FUSE_RENAME, ROOT, &in, sizeof(in), "other\0t", 8, 4096), 0);
        CHECK_EQ(descriptor_of(&guest, ino, true) >= 0, i == 0);
        check_removed(&guest, node, ino);
        CHECK_EQ(unlink(guest_path(&guest, "t")), 0);
    }
    for (unsigned i = 0; i < 3; i++) {
        write_new(&guest, "u", &node, &ino);
        CHECK_EQ(guest_call(&guest, FUSE_RENAME, ROOT, &in, sizeof(in), "u\0u", 4, 4096), 0);
        rest(&guest);
        CHECK_EQ(descriptor_of(&guest, ino, false), -1);
        CHECK_EQ(guest_name(&guest, FUSE_UNLINK, ROOT, "u"), 0);
    }
    CHECK_EQ(guest_end(&guest), 0);
}

/* However busy its thread is: after so many requests, or before it waits for the host. */
static void late_has_an_end(void)
{
    struct guest guest;
    uint64_t node, ino, other;
    struct fuse_getattr_in getattr = {0};
    char name[16];
    guest_begin(&guest);
    guest.busy = true;
    write_new(&guest, "requests", &node, &ino);
    for (unsigned i = 0; i < 127; i++)
        CHECK_EQ(guest_do(&guest, FUSE_GETATTR, ROOT, getattr), 0);
    CHECK(descriptor_of(&guest, ino, false) >= 0);
    CHECK_EQ(guest_do(&guest, FUSE_GETATTR, ROOT, getattr), 0);
    CHECK_EQ(descriptor_of(&guest, ino, false), -1);

    write_new(&guest, "files", &node, &ino);
    for (unsigned i = 0; i < 50; i++) {
        snprintf(name, sizeof(name), "f%u", i);
        write_new(&guest, name, &node, &other);
    }
    CHECK_EQ(descriptor_of(&guest, ino, false), -1);
    CHECK(descriptor_of(&guest, other, false) >= 0);
    struct fuse_fsync_in sync = {0};
    uint64_t fh;
    CHECK_EQ(guest_opendir(&guest, ROOT, &fh), 0);
    sync.fh = fh;
    CHECK_EQ(guest_do(&guest, FUSE_FSYNCDIR, ROOT, sync), 0);
    CHECK_EQ(descriptor_of(&guest, other, false), -1);

    /* None that OPEN opened is late, nor is one that UNLINK has found before. */
    CHECK_EQ(guest_open(&guest, node, O_WRONLY, &fh), 0);
    struct fuse_release_in release = {.fh = fh};
    CHECK_EQ(guest_do(&guest, FUSE_RELEASE, node, release), 0);
    CHECK_EQ(descriptor_of(&guest, other, false), -1);
    CHECK_EQ(guest_create(&guest, "n", O_WRONLY | O_CREAT, S_IFREG | 0600, &node, &fh), 0);
    ino = guest_host_stat(&guest, "n").st_ino;
    CHECK_EQ(guest_name(&guest, FUSE_UNLINK, ROOT, "n"), 0);
    release.fh = fh;
    CHECK_EQ(guest_do(&guest, FUSE_RELEASE, node, release), 0);
    CHECK_EQ(descriptor_of(&guest, ino, false), -1);
    CHECK(descriptor_of(&guest, ino, true) >= 0);
    CHECK_EQ(guest_end(&guest), 0);
}

/* Nothing is open on the host that the guest has closed, where that was asked for or may matter. */
static void new_and_closed_at_once(void)
{
    for (unsigned how = 0; how < 3; how++) {
        struct guest guest;
        uint64_t node, ino;
        guest_prepare(&guest);
        if (how == 0)
            guest.settings.cache = CACHE_NEVER;
        if (how == 1)
            guest.settings.allow_direct_io = true;
        if (how == 2) {
            guest.settings.flock = true;
            guest.init_flags |= FUSE_FLOCK_LOCKS;
        }
        guest_start(&guest);
        guest.busy = true;
        write_new(&guest, "t", &node, &ino);
        CHECK_EQ(descriptor_of(&guest, ino, false), -1);
        CHECK_EQ(guest_end(&guest), 0);
    }
}

int main(void)
{
    RUN(new_and_removed);
    RUN(new_and_replaced);
    RUN(late_has_an_end);
    RUN(new_and_closed_at_once);
    return test_result();
}
