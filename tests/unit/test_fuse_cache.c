// SPDX-License-Identifier: BSD-3-Clause
/*
 * What the guest is told that it may keep, for how long: by cache mode and by the options that say
 * otherwise. tests/mount has what a real kernel makes of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "fuse_guest.h"
#include "test.h"

#define ROOT     FUSE_ROOT_ID
#define UNCACHED (FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES)

/* Starts a guest that offers all that a recent kernel does. */
static void start(struct guest *guest, uint64_t flags)
{
    guest->init_flags |= flags;
    guest_start(guest);
}

static void cache_modes(void)
{
    static const struct {
        enum cache_mode mode;
        uint64_t seconds;
        uint64_t negative;
        uint32_t file, dir;
    } rows[] = {
        {CACHE_NEVER, 0, 0, UNCACHED, 0},
        {CACHE_METADATA, 86400, 0, UNCACHED, FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR},
        {CACHE_AUTO, 1, 0, 0, 0},
        {CACHE_ALWAYS, 86400, 1, FOPEN_KEEP_CACHE, FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR},
    };
    for (unsigned i = 0; i < 4; i++) {
        struct guest guest;
        guest_prepare(&guest);
        guest.settings.cache = rows[i].mode;
        guest_start(&guest);
        CHECK_EQ(!!(BODY(fuse_init_out)->flags & FUSE_DO_READDIRPLUS), rows[i].mode != CACHE_NEVER);
        guest_host_file(&guest, "f", "x");
        uint64_t node = guest_lookup(&guest, "f"), fh;
        CHECK_EQ(BODY(fuse_entry_out)->attr_valid, rows[i].seconds);
        CHECK_EQ(BODY(fuse_entry_out)->entry_valid, rows[i].seconds);
        CHECK_EQ(guest_name(&guest, FUSE_LOOKUP, ROOT, "missing"), rows[i].negative ? 0 : -ENOENT);
        if (rows[i].negative) {
            CHECK_EQ(BODY(fuse_entry_out)->nodeid, 0);
            CHECK_EQ(BODY(fuse_entry_out)->entry_valid, rows[i].negative);
            CHECK_EQ(BODY(fuse_entry_out)->attr_valid, 0);
        }
        CHECK_EQ(guest_open(&guest, node, O_RDONLY, &fh), 0);
        CHECK_EQ(BODY(fuse_open_out)->open_flags, rows[i].file | FOPEN_NOFLUSH);
        CHECK_EQ(guest_opendir(&guest, ROOT, &fh), 0);
        CHECK_EQ(BODY(fuse_open_out)->open_flags, rows[i].dir);
        CHECK_EQ(guest_end(&guest), 0);
    }
}

/* The options win over every mode, each for itself, to the nanosecond. */
static void options_win(void)
{
    static const enum cache_mode modes[] = {CACHE_NEVER, CACHE_METADATA, CACHE_AUTO, CACHE_ALWAYS};
    for (unsigned i = 0; i < 4; i++) {
        struct guest guest;
        guest_prepare(&guest);
        guest.settings.cache = modes[i];
        guest.settings.attr_timeout = (struct timeout){true, 1500000000};
        guest.settings.entry_timeout = (struct timeout){true, 7};
        guest.settings.negative_timeout = (struct timeout){true, UINT64_C(4294967295000000000)};
        guest_start(&guest);
        guest_host_file(&guest, "f", "x");
        uint64_t node = guest_lookup(&guest, "f");
        CHECK_EQ(BODY(fuse_entry_out)->attr_valid, 1);
        CHECK_EQ(BODY(fuse_entry_out)->attr_valid_nsec, 500000000);
        CHECK_EQ(BODY(fuse_entry_out)->entry_valid, 0);
        CHECK_EQ(BODY(fuse_entry_out)->entry_valid_nsec, 7);
        struct fuse_getattr_in in = {0};
        CHECK_EQ(guest_do(&guest, FUSE_GETATTR, node, in), 0);
        CHECK_EQ(BODY(fuse_attr_out)->attr_valid, 1);
        CHECK_EQ(BODY(fuse_attr_out)->attr_valid_nsec, 500000000);
        CHECK_EQ(guest_name(&guest, FUSE_LOOKUP, ROOT, "missing"), 0);
        CHECK_EQ(BODY(fuse_entry_out)->nodeid, 0);
        CHECK_EQ(BODY(fuse_entry_out)->entry_valid, UINT32_MAX);
        CHECK_EQ(BODY(fuse_entry_out)->entry_valid_nsec, 0);
        /* Only what is missing is remembered so: no other error. */
        CHECK_EQ(guest_name(&guest, FUSE_LOOKUP, node, "x"), -ENOTDIR);
        CHECK_EQ(guest_end(&guest), 0);

        guest_prepare(&guest);
        guest.settings.cache = modes[i];
        guest.settings.negative_timeout = (struct timeout){true, 0};
        guest_start(&guest);
        CHECK_EQ(guest_name(&guest, FUSE_LOOKUP, ROOT, "missing"), -ENOENT);
        CHECK_EQ(guest_end(&guest), 0);
    }
}

static bool is_local(const struct guest *guest)
{
    struct statfs host;
    return statfs(guest->root, &host) == 0 &&
           (host.f_type == TMPFS_MAGIC || host.f_type == EXT4_SUPER_MAGIC ||
            host.f_type == XFS_SUPER_MAGIC || host.f_type == BTRFS_SUPER_MAGIC);
}

/* What the guest has opened and closed stays open for the next time, where that is all the same. */
static void closed_files_wait(void)
{
    static const struct {
        enum cache_mode mode;
        bool flock, dax, direct;
        uint32_t flags;
        bool waits;
    } rows[] = {
        {CACHE_AUTO, false, false, false, O_RDONLY, true},
        {CACHE_ALWAYS, false, false, false, O_RDONLY, true},
        {CACHE_METADATA, false, false, false, O_RDONLY, true},
        {CACHE_NEVER, false, false, false, O_RDONLY, false},
        {CACHE_AUTO, true, false, false, O_RDONLY, false},
        {CACHE_AUTO, false, true, false, O_RDONLY, false},
        {CACHE_AUTO, false, false, true, O_RDONLY, false},
        {CACHE_AUTO, false, false, false, O_RDWR, false},
        {CACHE_AUTO, false, false, false, O_RDONLY | O_TRUNC, false},
    };
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct guest guest;
        guest_prepare(&guest);
        guest.settings.cache = rows[i].mode;
        guest.settings.flock = rows[i].flock;
        guest.settings.allow_direct_io = rows[i].direct;
        guest.settings.dax_window = rows[i].dax ? 16 << 20 : 0;
        start(&guest, FUSE_FLOCK_LOCKS);
        guest_host_file(&guest, "f", "content");
        uint64_t node = guest_lookup(&guest, "f"), fh;
        CHECK_EQ(guest_open(&guest, node, rows[i].flags, &fh), 0);
        unsigned open = guest_open_descriptors();
        bool waits = rows[i].waits && is_local(&guest);
        struct fuse_release_in in = {.fh = fh, .flags = rows[i].flags};
        CHECK_EQ(guest_do(&guest, FUSE_RELEASE, node, in), 0);
        CHECK_EQ(open - guest_open_descriptors(), !waits);
        CHECK_EQ(guest_read(&guest, node, fh, 0, 100), -EBADF);

        /* It is what is opened next, for reading still. */
        CHECK_EQ(guest_open(&guest, node, O_RDONLY, &fh), 0);
        CHECK_EQ(guest_open_descriptors(), open);
        CHECK_EQ(guest_read(&guest, node, fh, 0, 100), rows[i].flags & O_TRUNC ? 0 : 7);
        CHECK_EQ(guest_write(&guest, node, fh, 0, "x", 1, 0, 0), -EBADF);
        CHECK_EQ(guest_end(&guest), 0);
    }
}

/* Whether the guest has to say when it closes a file. */
static void flush_where_it_matters(void)
{
    struct guest guest;
    guest_begin(&guest);
    uint32_t written = is_local(&guest) ? FOPEN_NOFLUSH : 0;
    guest_host_file(&guest, "f", "x");
    uint64_t node = guest_lookup(&guest, "f"), fh;
    CHECK_EQ(guest_open(&guest, node, O_RDONLY, &fh), 0);
    CHECK_EQ(BODY(fuse_open_out)->open_flags, FOPEN_NOFLUSH);
    CHECK_EQ(guest_open(&guest, node, O_WRONLY, &fh), 0);
    CHECK_EQ(BODY(fuse_open_out)->open_flags, written);
    CHECK_EQ(guest_create(&guest, "new", O_RDWR | O_CREAT, S_IFREG | 0600, &node, &fh), 0);
    CHECK_EQ(((struct fuse_open_out *)(BODY(fuse_entry_out) + 1))->open_flags, written);
    CHECK_EQ(guest_end(&guest), 0);

    guest_prepare(&guest);
    guest.settings.writeback = true;
    start(&guest, FUSE_WRITEBACK_CACHE);
    guest_host_file(&guest, "f", "x");
    node = guest_lookup(&guest, "f");
    CHECK_EQ(guest_open(&guest, node, O_RDONLY, &fh), 0);
    CHECK_EQ(BODY(fuse_open_out)->open_flags, 0);
    CHECK_EQ(guest_end(&guest), 0);

    /* FLUSH is when a process's record locks go. */
    guest_prepare(&guest);
    guest.settings.posix_lock = true;
    start(&guest, FUSE_POSIX_LOCKS);
    guest_host_file(&guest, "f", "x");
    node = guest_lookup(&guest, "f");
    CHECK_EQ(guest_open(&guest, node, O_RDONLY, &fh), 0);
    CHECK_EQ(BODY(fuse_open_out)->open_flags, 0);
    CHECK_EQ(guest_end(&guest), 0);

    /* What was stored through a window is written by FLUSH. */
    guest_prepare(&guest);
    guest.settings.dax_window = 16 << 20;
    guest_start(&guest);
    guest_host_file(&guest, "f", "x");
    node = guest_lookup(&guest, "f");
    CHECK_EQ(guest_open(&guest, node, O_RDONLY, &fh), 0);
    CHECK_EQ(BODY(fuse_open_out)->open_flags, 0);
    CHECK_EQ(guest_end(&guest), 0);
}

/* The bits of INIT: what is offered, wanted, and not good in a mode. */
static void negotiated_flags(void)
{
    static const struct {
        enum cache_mode mode;
        uint64_t without;
    } rows[] = {
        {CACHE_NEVER,
         FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO | FUSE_WRITEBACK_CACHE | FUSE_CACHE_SYMLINKS},
        {CACHE_METADATA, FUSE_WRITEBACK_CACHE},
        {CACHE_AUTO, 0},
        {CACHE_ALWAYS, 0},
    };
    const uint64_t all = FUSE_AUTO_INVAL_DATA | FUSE_EXPLICIT_INVAL_DATA | FUSE_CACHE_SYMLINKS |
                         FUSE_WRITEBACK_CACHE | FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO;
    for (unsigned i = 0; i < 4; i++)
        for (unsigned minor = 38; minor <= 45; minor++) {
            struct guest guest;
            guest_prepare(&guest);
            guest.settings.cache = rows[i].mode;
            guest.settings.writeback = true;
            guest.minor = minor;
            start(&guest, all);
            uint64_t expected = all & ~rows[i].without & ~FUSE_EXPLICIT_INVAL_DATA;
            if (minor < 42) /* there a link of a file system that has no sizes would be cut */
                expected &= ~FUSE_CACHE_SYMLINKS;
            CHECK_EQ(BODY(fuse_init_out)->flags & all, expected);
            CHECK_EQ(guest_end(&guest), 0);
        }
}

int main(void)
{
    if (geteuid() != 0) {
        printf("skipped: needs root\n");
        return 77;
    }
    RUN(cache_modes);
    RUN(options_win);
    RUN(closed_files_wait);
    RUN(flush_where_it_matters);
    RUN(negotiated_flags);
    return test_result();
}
