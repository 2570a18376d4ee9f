// SPDX-License-Identifier: BSD-3-Clause
/*
 * A guest that uses files and directories without OPEN and OPENDIR: when it may, what its requests
 * with handle 0 find, and what stays open for it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/falloc.h>
#include <linux/magic.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "fuse_guest.h"
#include "test.h"

#define ROOT    FUSE_ROOT_ID
#define OFFERED (FUSE_NO_OPEN_SUPPORT | FUSE_NO_OPENDIR_SUPPORT | FUSE_ATOMIC_O_TRUNC)

static void prepare(struct guest *guest)
{
    guest_prepare(guest);
    guest->settings.cache = CACHE_ALWAYS;
    guest->settings.no_open = true;
    guest->init_flags |= OFFERED;
}

static void begin(struct guest *guest)
{
    prepare(guest);
    guest_start(guest);
}

/* Whether the offsets of the test's directory are known to last. */
static bool offsets_last(const struct guest *guest)
{
    struct statfs host;
    return statfs(guest->root, &host) == 0 &&
           (host.f_type == EXT4_SUPER_MAGIC || host.f_type == XFS_SUPER_MAGIC ||
            host.f_type == BTRFS_SUPER_MAGIC);
}

static unsigned descriptors(void)
{
    unsigned count = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

static uint64_t negotiated(struct guest *guest)
{
    guest_start(guest);
    uint64_t flags = ((struct fuse_init_out *)guest->body)->flags & OFFERED;
    return guest_end(guest) ? 0 : flags;
}

static void where_it_is_offered(void)
{
    static const uint64_t usual = FUSE_ATOMIC_O_TRUNC;
    struct guest guest;
    prepare(&guest);
    uint64_t dirs = offsets_last(&guest) ? FUSE_NO_OPENDIR_SUPPORT : 0;
    CHECK_EQ(negotiated(&guest), FUSE_NO_OPEN_SUPPORT | dirs);
    for (enum cache_mode mode = CACHE_NEVER; mode < CACHE_ALWAYS; mode++) {
        prepare(&guest);
        guest.settings.cache = mode;
        CHECK_EQ(negotiated(&guest), usual);
    }
    prepare(&guest);
    guest.settings.no_open = false;
    CHECK_EQ(negotiated(&guest), usual);
    /* Where open() has something to say or to do. */
    prepare(&guest);
    guest.settings.readonly = true;
    CHECK_EQ(negotiated(&guest), usual | dirs);
    prepare(&guest);
    guest.settings.allow_direct_io = true;
    CHECK_EQ(negotiated(&guest), usual | dirs);
    prepare(&guest);
    guest.settings.preserve_noatime = true;
    CHECK_EQ(negotiated(&guest), usual | dirs);
    prepare(&guest);
    guest.settings.modcaps_add = UINT64_C(1) << CAP_LINUX_IMMUTABLE;
    CHECK_EQ(negotiated(&guest), usual | dirs);
    prepare(&guest);
    guest.settings.dax_window = 16 << 20;
    CHECK_EQ(negotiated(&guest), usual | dirs);
    /* Locks are those of open files. */
    prepare(&guest);
    guest.settings.posix_lock = true;
    guest.init_flags |= FUSE_POSIX_LOCKS;
    CHECK_EQ(negotiated(&guest), usual | dirs);
    prepare(&guest);
    guest.settings.flock = true;
    guest.init_flags |= FUSE_FLOCK_LOCKS;
    CHECK_EQ(negotiated(&guest), usual | dirs);
    /* A guest that does not know of it. */
    prepare(&guest);
    guest.init_flags &= ~(FUSE_NO_OPEN_SUPPORT | FUSE_NO_OPENDIR_SUPPORT);
    CHECK_EQ(negotiated(&guest), usual);
}

static void files_by_inode(void)
{
    struct guest guest;
    begin(&guest);
    guest_host_file(&guest, "f", "content");
    uint64_t node = guest_lookup(&guest, "f"), fh = 1;
    CHECK_EQ(guest_open(&guest, node, O_RDWR, &fh), -ENOSYS);
    CHECK_EQ(guest_read(&guest, node, 0, 0, 100), 7);
    CHECK(memcmp(guest.body, "content", 7) == 0);
    CHECK_EQ(guest_write(&guest, node, 0, 3, "XYZ", 3, O_RDWR, 0), 3);
    CHECK_EQ(guest_write(&guest, node, 0, 0, "+", 1, O_WRONLY | O_APPEND, 0), 1);
    CHECK_EQ(guest_write(&guest, node, 0, 0, "C", 1, O_WRONLY | O_DSYNC, 0), 1);
    CHECK_EQ(guest_read(&guest, node, 0, 0, 100), 8);
    CHECK(memcmp(guest.body, "ConXYZt+", 8) == 0);

    struct fuse_getattr_in getattr = {.getattr_flags = FUSE_GETATTR_FH};
    CHECK_EQ(guest_do(&guest, FUSE_GETATTR, node, getattr), 0);
    CHECK_EQ(BODY(fuse_attr_out)->attr.size, 8);
    struct fuse_setattr_in setattr = {.valid = FATTR_FH | FATTR_SIZE, .size = 4};
    CHECK_EQ(guest_do(&guest, FUSE_SETATTR, node, setattr), 0);
    CHECK_EQ(guest_host_stat(&guest, "f").st_size, 4);
    struct fuse_fallocate_in fallocate = {.length = 4096};
    CHECK_EQ(guest_do(&guest, FUSE_FALLOCATE, node, fallocate), 0);
    CHECK_EQ(guest_host_stat(&guest, "f").st_size, 4096);
    struct fuse_lseek_in lseek = {.whence = SEEK_DATA};
    CHECK_EQ(guest_do(&guest, FUSE_LSEEK, node, lseek), 0);
    struct fuse_fsync_in fsync = {0};
    CHECK_EQ(guest_do(&guest, FUSE_FSYNC, node, fsync), 0);
    guest_host_file(&guest, "to", "");
    uint64_t to = guest_lookup(&guest, "to");
    struct fuse_copy_file_range_in copy = {.nodeid_out = to, .len = 4};
    CHECK_EQ(guest_do(&guest, FUSE_COPY_FILE_RANGE, node, copy), 0);
    CHECK_EQ(guest_host_stat(&guest, "to").st_size, 4);
    struct fuse_flush_in flush = {0};
    CHECK_EQ(guest_do(&guest, FUSE_FLUSH, node, flush), -ENOSYS);
    struct fuse_release_in release = {0};
    CHECK_EQ(guest_do(&guest, FUSE_RELEASE, node, release), 0);
    CHECK_EQ(guest_end(&guest), 0);
}

/* Cutting to nothing, which open() with O_TRUNC asks for, sets the times of an empty file, too. */
static void truncate_sets_times(void)
{
    struct guest guest;
    begin(&guest);
    guest_host_file(&guest, "f", "");
    struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    CHECK_EQ(utimensat(AT_FDCWD, guest_path(&guest, "f"), old, 0), 0);
    struct fuse_setattr_in setattr = {.valid = FATTR_SIZE};
    CHECK_EQ(guest_do(&guest, FUSE_SETATTR, guest_lookup(&guest, "f"), setattr), 0);
    CHECK(guest_host_stat(&guest, "f").st_mtim.tv_sec > 1000);
    CHECK_EQ(guest_end(&guest), 0);
}

static void created_files_have_no_handle(void)
{
    struct guest guest;
    begin(&guest);
    unsigned before = descriptors();
    uint64_t node, fh = 1;
    CHECK_EQ(guest_create(&guest, "new", O_RDWR | O_CREAT, S_IFREG | 0, &node, &fh), 0);
    CHECK_EQ(fh, 0);
    CHECK_EQ(guest_write(&guest, node, 0, 0, "data", 4, O_RDWR, 0), 4);
    CHECK_EQ(guest_create(&guest, "new", O_RDWR | O_CREAT | O_TRUNC, S_IFREG, &node, &fh), 0);
    CHECK_EQ(fh, 0);
    CHECK_EQ(guest_host_stat(&guest, "new").st_size, 0);
    CHECK_EQ(guest_host_stat(&guest, "new").st_mode, S_IFREG);
    /* At most the cached O_PATH descriptors of the file and of the root. */
    CHECK(descriptors() <= before + 2);
    /* Nobody has the file open for writing: a read lease is given, and it could be executed. */
    guest_write(&guest, node, 0, 0, "data", 4, O_RDWR, 0);
    int fd = open(guest_path(&guest, "new"), O_RDONLY);
    CHECK_EQ(fcntl(fd, F_SETLEASE, F_RDLCK), 0);
    close(fd);
    CHECK_EQ(guest_end(&guest), 0);
}

static void what_is_no_open_file(void)
{
    struct guest guest;
    begin(&guest);
    CHECK_EQ(mkfifo(guest_path(&guest, "fifo"), 0600), 0);
    CHECK_EQ(symlink("fifo", guest_path(&guest, "link")), 0);
    CHECK_EQ(mkdir(guest_path(&guest, "dir"), 0700), 0);
    static const char *const names[] = {"fifo", "link", "dir"};
    for (unsigned i = 0; i < 3; i++) {
        uint64_t node = guest_lookup(&guest, names[i]);
        CHECK_EQ(guest_read(&guest, node, 0, 0, 100), -EBADF);
        CHECK_EQ(guest_write(&guest, node, 0, 0, "x", 1, 0, 0), -EBADF);
    }
    guest_host_file(&guest, "f", "content");
    uint64_t node = guest_lookup(&guest, "f");
    struct fuse_read_in in = {.size = 4096};
    CHECK_EQ(guest_do(&guest, FUSE_READDIR, node, in), -EBADF);
    CHECK_EQ(guest_read(&guest, node, 1, 0, 100), -EBADF);
    CHECK_EQ(guest_read(&guest, node ^ (1ull << 32), 0, 0, 100), -ESTALE);
    CHECK_EQ(guest_end(&guest), 0);

    /* In a session with OPEN handle 0 is none. */
    guest_begin(&guest);
    guest_host_file(&guest, "f", "content");
    node = guest_lookup(&guest, "f");
    CHECK_EQ(guest_read(&guest, node, 0, 0, 100), -EBADF);
    CHECK_EQ(guest_write(&guest, node, 0, 0, "x", 1, 0, 0), -EBADF);
    CHECK_EQ(guest_do(&guest, FUSE_READDIR, ROOT, in), -EBADF);
    struct fuse_getattr_in getattr = {.getattr_flags = FUSE_GETATTR_FH};
    CHECK_EQ(guest_do(&guest, FUSE_GETATTR, node, getattr), -EBADF);
    CHECK_EQ(guest_end(&guest), 0);
}

/* Reads the root in small pieces, and removes what it finds. Returns how many there were. */
static unsigned list_and_remove(struct guest *guest)
{
    struct fuse_read_in in = {.size = 200};
    unsigned count = 0;
    while (guest_call(guest, FUSE_READDIR, ROOT, &in, sizeof(in), NULL, 0, in.size) == 0 &&
           guest->length) {
        static uint8_t block[4096];
        size_t length = guest->length;
        memcpy(block, guest->body, length);
        for (size_t at = 0; at < length;) {
            struct fuse_dirent *entry = (void *)(block + at);
            char name[256] = {0};
            memcpy(name, entry->name, entry->namelen);
            in.offset = entry->off;
            at += FUSE_DIRENT_SIZE(entry);
            if (name[0] == '.')
                continue;
            count += unlink(guest_path(guest, name)) == 0;
        }
    }
    return count;
}

static void directories_by_inode(void)
{
    struct guest guest;
    begin(&guest);
    if (!offsets_last(&guest)) {
        uint64_t fh;
        CHECK_EQ(guest_opendir(&guest, ROOT, &fh), 0);
        CHECK_EQ(guest_end(&guest), 0);
        return;
    }
    uint64_t fh;
    CHECK_EQ(guest_opendir(&guest, ROOT, &fh), -ENOSYS);
    /* Now there is a descriptor, and it must not show the directory of its own time. */
    struct fuse_fsync_in fsync = {0};
    CHECK_EQ(guest_do(&guest, FUSE_FSYNCDIR, ROOT, fsync), 0);
    for (unsigned i = 0; i < 300; i++) {
        char name[32];
        snprintf(name, sizeof(name), "file-%u", i);
        guest_host_file(&guest, name, "");
    }
    CHECK_EQ(list_and_remove(&guest), 300);
    CHECK_EQ(guest_end(&guest), 0);
}

/* The guest may have the file open: it reads and writes on, as long as it has not forgotten it. */
static void unlinked_files_live_on(void)
{
    struct guest guest;
    begin(&guest);
    enum { UNLINKED, REPLACED, CREATED, WAYS };
    for (unsigned i = 0; i < WAYS; i++) {
        unsigned before = descriptors();
        uint64_t node, fh;
        if (i == CREATED) {
            CHECK_EQ(guest_create(&guest, "f", O_RDWR | O_CREAT, S_IFREG | 0600, &node, &fh), 0);
            CHECK_EQ(guest_write(&guest, node, 0, 0, "content", 7, O_RDWR, 0), 7);
        } else {
            guest_host_file(&guest, "f", "content");
            node = guest_lookup(&guest, "f");
        }
        if (i == REPLACED) {
            guest_host_file(&guest, "over", "other");
            struct fuse_rename_in rename = {.newdir = ROOT};
            CHECK_EQ(
                guest_call(&guest, FUSE_RENAME, ROOT, &rename, sizeof(rename), "over\0f", 7, 4096),
                0);
        } else {
            CHECK_EQ(guest_name(&guest, FUSE_UNLINK, ROOT, "f"), 0);
        }
        CHECK_EQ(guest_read(&guest, node, 0, 0, 100), 7);
        CHECK(memcmp(guest.body, "content", 7) == 0);
        CHECK_EQ(guest_write(&guest, node, 0, 7, "more", 4, O_RDWR, 0), 4);
        struct fuse_getattr_in getattr = {.getattr_flags = FUSE_GETATTR_FH};
        CHECK_EQ(guest_do(&guest, FUSE_GETATTR, node, getattr), 0);
        CHECK_EQ(BODY(fuse_attr_out)->attr.size, 11);
        CHECK_EQ(BODY(fuse_attr_out)->attr.nlink, 0);
        struct fuse_forget_in forget = {.nlookup = 1};
        guest_do(&guest, FUSE_FORGET, node, forget);
        CHECK_EQ(guest_read(&guest, node, 0, 0, 100), -ESTALE);
        if (i == REPLACED)
            CHECK_EQ(unlink(guest_path(&guest, "f")), 0);
        CHECK(descriptors() <= before + 2);
    }
    CHECK_EQ(guest_end(&guest), 0);
}

#define FILES   1500
#define READERS 4

static uint64_t nodes[FILES];

static void read_some(struct guest *guest, uint64_t random)
{
    for (unsigned i = 0; i < 4000; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        unsigned n = (unsigned)(random >> 40) % FILES;
        unsigned found = FILES;
        if ((random >> 33) % 8 == 0)
            CHECK_EQ(guest_write(guest, nodes[n], 0, 0, &n, sizeof(n), 0, 0), sizeof(n));
        CHECK_EQ(guest_read(guest, nodes[n], 0, 0, sizeof(n)), sizeof(n));
        memcpy(&found, guest->body, sizeof(found));
        CHECK_EQ(found, n);
    }
}

static void *read_at_random(void *argument)
{
    struct guest guest = *(struct guest *)argument;
    guest.body = malloc(GUEST_BODY_MAX);
    if (fuse_thread_new(guest.server, NULL, &guest.thread) < 0)
        abort();
    read_some(&guest, (uintptr_t)&guest);
    fuse_thread_free(guest.thread);
    free(guest.body);
    return NULL;
}

/* Many more files than may be cached, by several threads: the right file, within the budget. */
static void many_files_few_descriptors(void)
{
    struct rlimit before;
    struct guest guest;
    prepare(&guest);
    getrlimit(RLIMIT_NOFILE, &before);
    setrlimit(RLIMIT_NOFILE, &(struct rlimit){1400, before.rlim_max});
    guest_start(&guest);
    unsigned at_start = descriptors();
    for (unsigned i = 0; i < FILES; i++) {
        char name[32];
        snprintf(name, sizeof(name), "file-%u", i);
        guest_host_file(&guest, name, "");
        nodes[i] = guest_lookup(&guest, name);
        CHECK_EQ(guest_write(&guest, nodes[i], 0, 0, &i, sizeof(i), 0, 0), sizeof(i));
    }
    pthread_t threads[READERS];
    for (unsigned i = 0; i < READERS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, read_at_random, &guest), 0);
    for (unsigned i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
    CHECK(descriptors() < at_start + 1100);
    /* Forgetting them gives all of it back. */
    for (unsigned i = 0; i < FILES; i++) {
        struct fuse_forget_in forget = {.nlookup = 1};
        guest_do(&guest, FUSE_FORGET, nodes[i], forget);
    }
    CHECK_EQ(guest_read(&guest, nodes[0], 0, 0, 4), -ESTALE);
    setrlimit(RLIMIT_NOFILE, &before);
    CHECK_EQ(guest_end(&guest), 0);
}

int main(void)
{
    if (geteuid() != 0) {
        printf("skipped: needs root\n");
        return 77;
    }
    umask(0);
    RUN(where_it_is_offered);
    RUN(files_by_inode);
    RUN(truncate_sets_times);
    RUN(created_files_have_no_handle);
    RUN(what_is_no_open_file);
    RUN(directories_by_inode);
    RUN(unlinked_files_live_on);
    RUN(many_files_few_descriptors);
    return test_result();
}
