// SPDX-License-Identifier: BSD-3-Clause
/*
 * The DAX window: what INIT says, SETUPMAPPING and REMOVEMAPPING with good and bad arguments, and
 * that the window is the file, both ways, on front-ends of both kinds.
 */
#include "dax_guest.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB (1ull << 20)
#define R   WINDOW_RANGE

static void start(struct dax *dax, struct daemon *daemon)
{
    dax_start(dax, daemon, case_data());
}

/* --- with and without --- */

static void init_offers(struct daemon *daemon)
{
    struct dax dax;

    start(&dax, daemon);
    /* With slots QEMU 11.1 dies after some hundred mappings. */
    CHECK(!(dax.guest.dev.protocol_offered & VUF_PF_CONFIGURE_MEM_SLOTS));
    CHECK_EQ(window_counts(&dax.window).seen, 0);
    /* A guest that offers neither gets neither, and mounts. */
    guest_init(&dax.guest);
    CHECK_EQ((dax.guest.fuse.init.flags | (uint64_t)dax.guest.fuse.init.flags2 << 32) &
                 (VUF_INIT_MAP_ALIGNMENT | VUF_INIT_HAS_INODE_DAX),
             0);
    CHECK_EQ(dax.guest.fuse.init.map_alignment, 0);
    guest_check_alive(&dax.guest);
    dax_finish(&dax);
}

/* A front-end without the window: plain virtio-fs. */
static void no_window(struct daemon *daemon)
{
    const struct dax_options *options = case_data();
    struct dax dax;

    dax_realize(&dax, daemon, options);
    dax_start_rings(&dax);
    int fd = host_create(&dax, "file", 4 * R, 1);
    CHECK_EQ(dax_init(&dax), 0);
    CHECK_EQ(dax.guest.fuse.init.map_alignment, 0);
    uint64_t node = guest_lookup(&dax.guest, ROOT_ID, "file");
    CHECK_EQ(dax_getattr(&dax, node).flags & VUF_ATTR_DAX, 0);
    CHECK(dax_map(&dax, node, 0, 0, DAX_READ) < 0);
    CHECK(dax_unmap(&dax, 0, R) < 0);
    uint64_t fh = guest_open(&dax.guest, node, O_RDWR);
    CHECK_EQ(dax_write(&dax, node, fh, 5, "12345", 5), 0);
    CHECK_EQ(dax_set_size(&dax, node, 100), 0);
    CHECK_EQ(dax_release(&dax, node, fh), 0);
    CHECK_EQ(host_size(fd), 100);
    guest_check_alive(&dax.guest);
    if (!options->no_channel) {
        CHECK_EQ(window_counts(&dax.window).seen, 0);
        dax_finish(&dax);
    }
}

/* GET_SHMEM_CONFIG without the feature, or with a payload, is refused; without a window it is not
 * even offered. */
static void no_option(struct daemon *daemon)
{
    struct vuf_shmem_config config;
    struct vuf_conn conn;
    uint64_t features;

    guest_connect(&conn, daemon);
    OK(vuf_get_features(&conn, &features));
    OK(vuf_get_protocol_features(&conn, &features));
    CHECK_EQ(features & (VUF_PF_SHMEM | VUF_PF_SHARED_OBJECT), 0);
    OK(vuf_set_protocol_features(&conn, features));
    CHECK(vuf_get_shmem_config(&conn, &config) < 0);
}

/* --- mapping --- */

static const uint64_t sizes[] = {1, 4095,  4096,     4097,      5 * 4096, 100000,    R - 1,
                                 R, R + 1, R + 4096, 2 * R - 1, 2 * R,    2 * R + 7, 3 * MIB + 512};

/* The window is the file, for files of any size, and mapping does not change them. */
static void map_and_read(struct daemon *daemon)
{
    struct dax dax;

    start(&dax, daemon);
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char name[20];
        snprintf(name, sizeof(name), "file%u", i);
        int fd = host_create(&dax, name, sizes[i], i);
        uint64_t node = guest_lookup(&dax.guest, ROOT_ID, name);

        for (uint64_t at = 0; at < sizes[i]; at += R) {
            CHECK_EQ(dax_map(&dax, node, at, at, i % 2 ? DAX_READ : DAX_WRITE), 0);
            dax_expect_file(&dax, at, fd, at);
        }
        CHECK_EQ(host_size(fd), sizes[i]);
        for (uint64_t at = 0; at < sizes[i]; at += R) {
            dax_expect_file(&dax, at, fd, at);
            CHECK_EQ(dax_unmap(&dax, at, R), 0);
            dax_expect_nothing(&dax, at, R);
        }
        CHECK_EQ(host_size(fd), sizes[i]);
        close(fd);
    }
    CHECK_EQ(window_counts(&dax.window).pieces, 0);
    dax_finish(&dax);
}

/* What the file's last page shows behind its end is zeros, as in any mapping. */
static void zeros_behind_the_end(struct daemon *daemon)
{
    struct dax dax;

    start(&dax, daemon);
    host_create(&dax, "file", 4096 + 100, 1);
    uint64_t node = guest_lookup(&dax.guest, ROOT_ID, "file");
    CHECK_EQ(dax_map(&dax, node, 0, 0, DAX_READ), 0);
    dax_expect_pattern(&dax, 0, 4096 + 100, 1, 0);
    dax_expect_zeros(&dax, 4096 + 100, 4096 - 100);
    dax_finish(&dax);
}

/* Whole pages are the file itself: what one side stores the other sees, at once. */
static void whole_pages_are_shared(struct daemon *daemon)
{
    struct dax dax;

    start(&dax, daemon);
    int fd = host_create(&dax, "file", 2 * R + 3 * 4096, 1);
    uint64_t node = guest_lookup(&dax.guest, ROOT_ID, "file");
    for (uint64_t at = 0; at < 3 * R; at += R)
        CHECK_EQ(dax_map(&dax, node, at, 8 * R - at, DAX_WRITE), 0);
    for (uint64_t at = 17; at < 2 * R; at += R / 3 + 1) {
        host_write(fd, at, 10000, 2);
        dax_expect_pattern(&dax, 8 * R - (at & ~(R - 1)) + at % R,
                           R - at % R < 10000 ? R - at % R : 10000, 2, at);
    }
    for (uint64_t at = 4095; at + 9000 < 2 * R; at += R / 5) {
        char found[100], wanted[100];
        if (at % R + 9000 > R)
            continue;
        dax_store(&dax, 8 * R - (at & ~(R - 1)) + at % R, 9000, 3, at);
        pattern(3, at + 8000, wanted, sizeof(wanted));
        CHECK(pread(fd, found, sizeof(found), (off_t)at + 8000) == sizeof(found));
        CHECK(memcmp(found, wanted, sizeof(found)) == 0);
    }
    /* The last range: three pages. */
    dax_store(&dax, 6 * R + 4096, 2 * 4096, 4, 77);
    char found[8192], wanted[8192];
    pattern(4, 77, wanted, sizeof(wanted));
    CHECK(pread(fd, found, sizeof(found), 2 * R + 4096) == sizeof(found));
    CHECK(memcmp(found, wanted, sizeof(found)) == 0);
    for (uint64_t at = 0; at < 3 * R; at += R)
        dax_expect_file(&dax, 8 * R - at, fd, at);
    CHECK_EQ(host_size(fd), 2 * R + 3 * 4096);
    dax_finish(&dax);
}

static int by_fsync(struct dax *dax, uint64_t node, uint64_t fh)
{
    return dax_fsync(dax, node, fh);
}

static int by_flush(struct dax *dax, uint64_t node, uint64_t fh)
{
    return dax_flush(dax, node, fh);
}

static int by_release(struct dax *dax, uint64_t node, uint64_t fh)
{
    int error = dax_release(dax, node, fh);
    return error;
}

static int by_getattr(struct dax *dax, uint64_t node, uint64_t fh)
{
    (void)fh;
    dax_getattr(dax, node);
    return 0;
}

static int by_unmap(struct dax *dax, uint64_t node, uint64_t fh)
{
    (void)fh, (void)node;
    return dax_unmap(dax, R, R);
}

static int by_read(struct dax *dax, uint64_t node, uint64_t fh)
{
    struct vuf_read_in in = {.fh = fh, .offset = R + 100, .size = 500};
    char data[500], wanted[500];
    int error = dax_call(dax, 1, VUF_OP_READ, node, &in, sizeof(in), NULL, 0, data, sizeof(data));

    pattern(9, R + 100, wanted, sizeof(wanted));
    CHECK(error || memcmp(data, wanted, sizeof(data)) == 0);
    return error;
}

/* The page that the end of the file cuts: stores are in the file after any of these. */
static void last_page_reaches_the_file(struct daemon *daemon)
{
    static int (*const ways[])(struct dax *, uint64_t, uint64_t) = {
        by_fsync, by_flush, by_getattr, by_read, by_release, by_unmap,
    };
    struct dax dax;

    start(&dax, daemon);
    for (unsigned i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        int fd = host_create(&dax, "file", R + 777, 1);
        uint64_t node = guest_lookup(&dax.guest, ROOT_ID, "file");
        uint64_t fh = guest_open(&dax.guest, node, O_RDWR);
        char found[677], wanted[677];

        CHECK_EQ(dax_map(&dax, node, R, R, DAX_WRITE), 0);
        /* So long that the file's times no longer say that it may be changing. */
        sleep_ms(250);
        dax_store(&dax, R + 100, 677, 9, R + 100);
        CHECK_EQ(ways[i](&dax, node, fh), 0);
        CHECK_EQ(host_size(fd), R + 777);
        CHECK(pread(fd, found, sizeof(found), R + 100) == sizeof(found));
        pattern(9, R + 100, wanted, sizeof(wanted));
        if (memcmp(found, wanted, sizeof(found)) != 0)
            FAIL("way %u: what was stored is not in the file", i);
        if (ways[i] != by_unmap) {
            dax_expect_file(&dax, R, fd, R);
            CHECK_EQ(dax_unmap(&dax, R, R), 0);
        }
        close(fd);
    }
    dax_finish(&dax);
}

/* Without any request it takes a moment, in both directions. */
static void last_page_by_itself(struct daemon *daemon)
{
    struct dax dax;

    start(&dax, daemon);
    int fd = host_create(&dax, "file", 8192 + 777, 1);
    uint64_t node = guest_lookup(&dax.guest, ROOT_ID, "file");
    CHECK_EQ(dax_map(&dax, node, 0, 0, DAX_WRITE), 0);
    for (unsigned i = 0; i < 5; i++) {
        dax_store(&dax, 8192 + 10 * i, 300, 20 + i, 0);
        dax_expect_file_soon(&dax, 0, fd, 0);
        char found[300], wanted[300];
        pattern(20 + i, 0, wanted, sizeof(wanted));
        CHECK(pread(fd, found, sizeof(found), 8192 + 10 * i) == sizeof(found));
        CHECK(memcmp(found, wanted, sizeof(found)) == 0);
        host_write(fd, 8192 + 5 * i, 100, 30 + i);
        dax_expect_file_soon(&dax, 0, fd, 0);
        sleep_ms(10); /* file systems' clocks tick slowly, and times are how a change is seen */
    }
    CHECK_EQ(host_size(fd), 8192 + 777);
    dax_finish(&dax);
}

/* The host writes into the page that the end cuts: seen after GETATTR. */
static void last_page_from_the_host(struct daemon *daemon)
{
    struct dax dax;

    start(&dax, daemon);
    int fd = host_create(&dax, "file", 8192 + 777, 1);
    uint64_t node = guest_lookup(&dax.guest, ROOT_ID, "file");
    CHECK_EQ(dax_map(&dax, node, 0, 0, DAX_READ), 0);
    for (unsigned i = 0; i < 20; i++) {
        host_write(fd, 8192 + 30 * i, 200, 30 + i);
        dax_getattr(&dax, node);
        dax_expect_file(&dax, 0, fd, 0);
        sleep_ms(10); /* as above */
    }
    dax_finish(&dax);
}

/* Stores behind the end of the file are nobody's: the file stays as it is. */
static void stores_behind_the_end(struct daemon *daemon)
{
    struct dax dax;

    start(&dax, daemon);
    int fd = host_create(&dax, "file", 4096 + 100, 1);
    uint64_t node = guest_lookup(&dax.guest, ROOT_ID, "file");
    uint64_t fh = guest_open(&dax.guest, node, O_RDWR);
    CHECK_EQ(dax_map(&dax, node, 0, 0, DAX_WRITE), 0);
    dax_store(&dax, 4096 + 100, 3996, 5, 0);
    CHECK_EQ(dax_fsync(&dax, node, fh), 0);
    CHECK_EQ(host_size(fd), 4096 + 100);
    CHECK_EQ(dax_getattr(&dax, node).size, 4096 + 100);
    dax_expect_pattern(&dax, 0, 4096 + 100, 1, 0);
    sleep_ms(200);
    CHECK_EQ(host_size(fd), 4096 + 100);
    CHECK_EQ(dax_unmap(&dax, 0, R), 0);
    CHECK_EQ(host_size(fd), 4096 + 100);
    dax_finish(&dax);
}

/* The same place again and again: same file, other part, other file; Linux reuses ranges without a
 * REMOVEMAPPING in between. */
static void place_is_reused(struct daemon *daemon)
{
    struct dax dax;

    start(&dax, daemon);
    int a = host_create(&dax, "a", 3 * R + 500, 1), b = host_create(&dax, "b", 2 * R + 4096, 2);
    uint64_t a_node = guest_lookup(&dax.guest, ROOT_ID, "a");
    uint64_t b_node = guest_lookup(&dax.guest, ROOT_ID, "b");
    for (unsigned i = 0; i < 40; i++) {
        int fd = i % 3 ? a : b;
        uint64_t node = fd == a ? a_node : b_node, at = (i * 7 % (fd == a ? 4 : 3)) * R;

        CHECK_EQ(dax_map(&dax, node, at, 5 * R, i % 4 ? DAX_WRITE : DAX_READ), 0);
        dax_expect_file(&dax, 5 * R, fd, at);
        /* The very same once more changes nothing. */
        unsigned long unmaps = window_counts(&dax.window).unmaps;
        CHECK_EQ(dax_map(&dax, node, at, 5 * R, i % 4 ? DAX_WRITE : DAX_READ), 0);
        dax_expect_file(&dax, 5 * R, fd, at);
        if (dax_is_exact(&dax))
            CHECK_EQ(window_counts(&dax.window).unmaps, unmaps);
    }
    CHECK(window_counts(&dax.window).pieces <= 2);
    /* The one that lost the place does not come back. */
    CHECK_EQ(dax_map(&dax, b_node, 0, 5 * R, DAX_WRITE), 0);
    dax_set_size(&dax, a_node, 100);
    dax_set_size(&dax, a_node, 2 * R);
    dax_expect_file(&dax, 5 * R, b, 0);
    CHECK_EQ(dax_unmap(&dax, 5 * R, R), 0);
    dax_expect_nothing(&dax, 0, DAX_WINDOW);
    dax_finish(&dax);
}

/* The same part of a file in two places. */
static void two_places(struct daemon *daemon)
{
    struct dax dax;

    start(&dax, daemon);
    int fd = host_create(&dax, "file", 4096 + 50, 1);
    uint64_t node = guest_lookup(&dax.guest, ROOT_ID, "file");
    uint64_t fh = guest_open(&dax.guest, node, O_RDWR);
    CHECK_EQ(dax_map(&dax, node, 0, 0, DAX_WRITE), 0);
    CHECK_EQ(dax_map(&dax, node, 0, 3 * R, DAX_WRITE), 0);
    dax_store(&dax, 3 * R + 10, 4096, 7, 0);
    CHECK_EQ(dax_fsync(&dax, node, fh), 0);
    dax_getattr(&dax, node);
    dax_expect_pattern(&dax, 10, 4096, 7, 0);
    dax_expect_file(&dax, 0, fd, 0);
    dax_expect_file(&dax, 3 * R, fd, 0);
    CHECK_EQ(dax_unmap(&dax, 0, R), 0);
    dax_expect_file(&dax, 3 * R, fd, 0);
    dax_finish(&dax);
}

/* Read first, written later: Linux asks again for the same place, and looks at it meanwhile. */
static void upgrade(struct daemon *daemon)
{
    struct dax dax;

    start(&dax, daemon);
    int fd = host_create(&dax, "file", 3 * 4096 + 9, 1);
    uint64_t node = guest_lookup(&dax.guest, ROOT_ID, "file");
    CHECK_EQ(dax_map(&dax, node, 0, R, DAX_READ), 0);
    dax_expect_file(&dax, R, fd, 0);
    unsigned long unmaps = window_counts(&dax.window).unmaps;
    CHECK_EQ(dax_map(&dax, node, 0, R, DAX_WRITE), 0);
    CHECK_EQ(window_counts(&dax.window).unmaps, unmaps);
    dax_store(&dax, R + 4090, 4096, 2, 0);
    dax_store(&dax, R + 3 * 4096, 9, 2, 0);
    dax_getattr(&dax, node);
    dax_expect_file(&dax, R, fd, 0);
    char found[9], wanted[9];
    pattern(2, 0, wanted, 9);
    CHECK(pread(fd, found, 9, 3 * 4096) == 9 && memcmp(found, wanted, 9) == 0);
    dax_finish(&dax);
}

/* The same for ranges that are all file. */
static void upgrade_whole(struct daemon *daemon)
{
    struct dax dax;

    start(&dax, daemon);
    int fd = host_create(&dax, "file", 2 * R, 1);
    uint64_t node = guest_lookup(&dax.guest, ROOT_ID, "file");
    CHECK_EQ(dax_map(&dax, node, 0, R, DAX_READ), 0);
    CHECK_EQ(dax_map(&dax, node, R, 3 * R, DAX_READ), 0);
    dax_expect_file(&dax, R, fd, 0);
    for (uint64_t at = 0; at < 2 * R; at += R) {
        CHECK_EQ(dax_map(&dax, node, at, R + 2 * at, DAX_WRITE), 0);
        dax_store(&dax, R + 2 * at + 4090, 5000, 2, 0);
        dax_expect_file(&dax, R + 2 * at, fd, at);
    }
    dax_finish(&dax);
}

/* Several removals in one request; ranges in which nothing is. */
static void removals(struct daemon *daemon)
{
    struct vuf_removemapping_one many[256];
    struct vuf_removemapping_in in = {.count = 3};
    struct dax dax;

    start(&dax, daemon);
    host_create(&dax, "file", 16 * R, 1);
    uint64_t node = guest_lookup(&dax.guest, ROOT_ID, "file");
    for (uint64_t at = 0; at < 16 * R; at += R)
        CHECK_EQ(dax_map(&dax, node, at, at, DAX_READ), 0);
    many[0] = (struct vuf_removemapping_one){3 * R, R};
    many[1] = (struct vuf_removemapping_one){5 * R, 2 * R};
    many[2] = (struct vuf_removemapping_one){15 * R, R};
    CHECK_EQ(dax_call(&dax, 1, VUF_OP_REMOVEMAPPING, node, &in, sizeof(in), many, 3 * 16, NULL, 0),
             0);
    for (uint64_t i = 0; i < 16; i++) {
        if (i == 3 || i == 5 || i == 6 || i == 15)
            dax_expect_nothing(&dax, i * R, R);
        else
            dax_expect_pattern(&dax, i * R, R, 1, i * R);
    }
    CHECK_EQ(dax_unmap(&dax, 3 * R, R), 0);
    CHECK_EQ(dax_unmap(&dax, 0, DAX_WINDOW), 0);
    dax_expect_nothing(&dax, 0, DAX_WINDOW);
    /* As many as Linux puts into one. */
    for (unsigned i = 0; i < 256; i++)
        many[i] = (struct vuf_removemapping_one){i % 16 * R, R};
    CHECK_EQ(dax_map(&dax, node, 0, 9 * R, DAX_READ), 0);
    in.count = 256;
    CHECK_EQ(
        dax_call(&dax, 1, VUF_OP_REMOVEMAPPING, node, &in, sizeof(in), many, sizeof(many), NULL, 0),
        0);
    CHECK_EQ(window_counts(&dax.window).pieces, 0);
    dax_finish(&dax);
}

static void bad_arguments(struct daemon *daemon)
{
    static const struct vuf_setupmapping_in maps[] = {
        {~0ull, 4096, R, DAX_READ, 0},
        {~0ull, 1, R, DAX_READ, 0},
        {~0ull, 0, R, DAX_READ, 4096},
        {~0ull, 0, R, DAX_READ, R + 1},
        {~0ull, 0, 4096, DAX_READ, 0},
        {~0ull, 0, R - 1, DAX_READ, 0},
        {~0ull, 0, 0, DAX_READ, 0},
        {~0ull, 0, R, DAX_READ, DAX_WINDOW},
        {~0ull, 0, 2 * DAX_WINDOW, DAX_READ, 0},
        {~0ull, 0, 2 * R, DAX_READ, DAX_WINDOW - R},
        {~0ull, 0, ~0ull, DAX_READ, 0},
        {~0ull, 0, ~0ull - R + 1, DAX_READ, R},
        {~0ull, 0, R, DAX_READ, ~0ull - R + 1},
        {~0ull, 1ull << 63, R, DAX_READ, 0},
        {~0ull, ~0ull - R + 1, R, DAX_READ, 0},
        {~0ull, (1ull << 63) - R, 2 * R, DAX_READ, 0},
    };
    static const struct vuf_removemapping_one removals_[] = {
        {4096, R},
        {0, 4096},
        {0, 0},
        {DAX_WINDOW, R},
        {0, ~0ull},
        {R, DAX_WINDOW},
        {~0ull - R + 1, R},
        {~0ull - R + 1, 2 * R},
        {1ull << 63, R},
    };
    static const uint32_t counts[] = {2, 256, 257, 0x10000000, 0x10000001, ~0u};
    struct dax dax;

    start(&dax, daemon);
    host_create(&dax, "file", 16 * R, 1);
    uint64_t node = guest_lookup(&dax.guest, ROOT_ID, "file");
    for (unsigned i = 0; i < sizeof(maps) / sizeof(maps[0]); i++)
        if (dax_call(&dax, 1, VUF_OP_SETUPMAPPING, node, &maps[i], sizeof(maps[i]), NULL, 0, NULL,
                     0) != -EINVAL)
            FAIL("SETUPMAPPING %u is not refused with EINVAL", i);
    for (unsigned i = 0; i < sizeof(removals_) / sizeof(removals_[0]); i++)
        if (dax_unmap(&dax, removals_[i].moffset, removals_[i].len) != -EINVAL)
            FAIL("REMOVEMAPPING %u is not refused with EINVAL", i);
    for (unsigned i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        struct vuf_removemapping_in in = {.count = counts[i]};
        if (dax_call(&dax, 1, VUF_OP_REMOVEMAPPING, node, &in, sizeof(in), &removals_[3], 16, NULL,
                     0) >= 0)
            FAIL("REMOVEMAPPING of %u and one entry is accepted", counts[i]);
    }
    /* A short request, too. */
    CHECK(dax_call(&dax, 1, VUF_OP_SETUPMAPPING, node, &maps[0], 39, NULL, 0, NULL, 0) < 0);
    CHECK(dax_call(&dax, 1, VUF_OP_REMOVEMAPPING, node, counts, 2, NULL, 0, NULL, 0) < 0);
    CHECK_EQ(window_counts(&dax.window).seen, 0);
    guest_check_alive(&dax.guest);
    dax_finish(&dax);
}

/* Several ranges in one request, should a guest ask so. */
static void two_ranges_at_once(struct daemon *daemon)
{
    struct vuf_setupmapping_in in = {~0ull, R, 3 * R, DAX_WRITE, 4 * R};
    struct dax dax;

    start(&dax, daemon);
    int fd = host_create(&dax, "file", 3 * R + 100, 1);
    uint64_t node = guest_lookup(&dax.guest, ROOT_ID, "file");
    CHECK_EQ(dax_call(&dax, 1, VUF_OP_SETUPMAPPING, node, &in, sizeof(in), NULL, 0, NULL, 0), 0);
    for (uint64_t i = 0; i < 3; i++)
        dax_expect_file(&dax, (4 + i) * R, fd, (1 + i) * R);
    CHECK_EQ(dax_unmap(&dax, 4 * R, 3 * R), 0);
    CHECK_EQ(window_counts(&dax.window).pieces, 0);
    dax_finish(&dax);
}

static void not_a_file(struct daemon *daemon)
{
    static const char *const names[] = {"dir", "link", "fifo"};
    struct dax dax;

    start(&dax, daemon);
    CHECK(dax_map(&dax, ROOT_ID, 0, 0, DAX_READ) < 0);
    CHECK(dax_map(&dax, 0, 0, 0, DAX_READ) < 0);
    CHECK(dax_map(&dax, 4711, 0, 0, DAX_READ) < 0);
    CHECK(dax_map(&dax, ~0ull, 0, 0, DAX_READ) < 0);
    for (unsigned i = 0; i < 3; i++)
        CHECK(dax_map(&dax, guest_lookup(&dax.guest, ROOT_ID, names[i]), 0, 0, DAX_WRITE) < 0);
    CHECK_EQ(window_counts(&dax.window).seen, 0);
    guest_check_alive(&dax.guest);
    dax_finish(&dax);
}

/* A file that is gone but not yet forgotten, mapped before and after. */
static void unlinked(struct daemon *daemon)
{
    struct dax dax;

    start(&dax, daemon);
    int fd = host_create(&dax, "file", R + 5000, 1);
    uint64_t node = guest_lookup(&dax.guest, ROOT_ID, "file");
    uint64_t fh = guest_open(&dax.guest, node, O_RDWR);
    CHECK_EQ(dax_map(&dax, node, 0, 0, DAX_WRITE), 0);
    CHECK_EQ(dax_call(&dax, 1, VUF_OP_UNLINK, ROOT_ID, NULL, 0, "file", 5, NULL, 0), 0);
    dax_expect_file(&dax, 0, fd, 0);
    CHECK_EQ(dax_map(&dax, node, R, R, DAX_WRITE), 0);
    dax_store(&dax, R + 4000, 500, 2, 0);
    CHECK_EQ(dax_fsync(&dax, node, fh), 0);
    dax_expect_file(&dax, R, fd, R);
    CHECK_EQ(dax_release(&dax, node, fh), 0);
    CHECK_EQ(dax_unmap(&dax, 0, 2 * R), 0);
    dax_finish(&dax);
}

/* An inode that is forgotten with mappings alive: nothing breaks, the place can be used. */
static void forgotten(struct daemon *daemon)
{
    struct dax dax;

    start(&dax, daemon);
    int fd = host_create(&dax, "file", R + 5000, 1), other = host_create(&dax, "other", 9000, 2);
    for (unsigned i = 0; i < 10; i++) {
        uint64_t node = guest_lookup(&dax.guest, ROOT_ID, "file");
        CHECK_EQ(dax_map(&dax, node, 0, 0, DAX_WRITE), 0);
        CHECK_EQ(dax_map(&dax, node, R, R, DAX_WRITE), 0);
        dax_store(&dax, R + 4990, 10, 10 + i, 0);
        OK(vuf_fuse_forget(&dax.guest.fuse, node, 1));
        sleep_ms(60);
        if (i % 2)
            CHECK_EQ(dax_unmap(&dax, 0, 2 * R), 0);
        uint64_t other_node = guest_lookup(&dax.guest, ROOT_ID, "other");
        CHECK_EQ(dax_map(&dax, other_node, 0, R, DAX_WRITE), 0);
        dax_expect_file(&dax, R, other, 0);
        OK(vuf_fuse_forget(&dax.guest.fuse, other_node, 1));
        CHECK_EQ(host_size(fd), R + 5000);
    }
    dax_finish(&dax);
}

/* --- what may not be written --- */

static void read_only_share(struct daemon *daemon)
{
    struct dax dax;

    start(&dax, daemon);
    int fd = host_create(&dax, "file", R + 5000, 1);
    uint64_t node = guest_lookup(&dax.guest, ROOT_ID, "file");
    CHECK_EQ(dax_map(&dax, node, 0, 0, DAX_READ), 0);
    CHECK_EQ(dax_map(&dax, node, R, R, DAX_READ), 0);
    dax_expect_file(&dax, 0, fd, 0);
    dax_expect_file(&dax, R, fd, R);
    CHECK(dax_map(&dax, node, 0, 0, DAX_WRITE) < 0);
    CHECK(dax_map(&dax, node, 0, 3 * R, DAX_WRITE) < 0);
    dax_expect_file(&dax, 0, fd, 0);
    CHECK_EQ(window_store(&dax.window, 100, "evil", 4), -EFAULT);
    /* What is not the file itself may be scribbled on, the file not. */
    window_store(&dax.window, R + 4096 + 10, "evil", 4);
    dax_getattr(&dax, node);
    sleep_ms(200);
    char found[5000], wanted[5000];
    pattern(1, R, wanted, sizeof(wanted));
    CHECK(pread(fd, found, sizeof(found), R) == sizeof(found));
    CHECK(memcmp(found, wanted, sizeof(found)) == 0);
    /* The host's changes are seen all the same. */
    host_write(fd, R - 50, 100, 2);
    host_write(fd, R + 4500, 100, 3);
    dax_getattr(&dax, node);
    dax_expect_file(&dax, 0, fd, 0);
    dax_expect_file(&dax, R, fd, R);
    dax_finish(&dax);
}

/* A program that is running cannot be opened for writing, by anybody. */
static void running_program(struct daemon *daemon)
{
    char copy[PATH_MAX + 64];
    struct dax dax;

    start(&dax, daemon);
    const char *path = host_path(&dax, "program");
    snprintf(copy, sizeof(copy), "cp /bin/sleep %s", path);
    CHECK_EQ(system(copy), 0);
    pid_t pid = fork();
    if (pid == 0) {
        execl(path, path, "60", (char *)NULL);
        _exit(1);
    }
    int fd = open(path, O_RDONLY);
    for (int probe; (probe = open(path, O_WRONLY)) >= 0; sleep_ms(2))
        close(probe);
    uint64_t node = guest_lookup(&dax.guest, ROOT_ID, "program");
    CHECK_EQ(dax_map(&dax, node, 0, 0, DAX_READ), 0);
    dax_expect_file(&dax, 0, fd, 0);
    CHECK(dax_map(&dax, node, 0, R, DAX_WRITE) < 0);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    dax_expect_file(&dax, 0, fd, 0);
    dax_finish(&dax);
}

static const struct dax_options without_feature = {.window = {.style = WINDOW_EXACT},
                                                   .not_features = VUF_PF_SHMEM};
static const struct dax_options without_config = {.window = {.style = WINDOW_EXACT},
                                                  .no_config = true};
static const struct dax_options without_channel = {.window = {.style = WINDOW_EXACT},
                                                   .no_channel = true};

#define BOTH(a_name, function)                                                                 \
    {.name = a_name "-exact", .run = function, .words = DAX_WINDOW_WORD, .data = &dax_exact},  \
    {                                                                                          \
        .name = a_name "-loose", .run = function, .words = DAX_WINDOW_WORD, .data = &dax_loose \
    }

#define STRICT(a_name, function)                                                                 \
    {                                                                                            \
        .name = a_name "-strict", .run = function, .words = DAX_WINDOW_WORD, .data = &dax_strict \
    }

static const struct test_case cases[] = {
    BOTH("init-offers", init_offers),
    {.name = "no-feature", .run = no_window, .words = DAX_WINDOW_WORD, .data = &without_feature},
    {.name = "no-config", .run = no_window, .words = DAX_WINDOW_WORD, .data = &without_config},
    {.name = "no-channel", .run = no_window, .words = DAX_WINDOW_WORD, .data = &without_channel},
    {.name = "no-option", .run = no_option},
    BOTH("map-and-read", map_and_read),
    STRICT("map-and-read", map_and_read),
    BOTH("zeros-behind-the-end", zeros_behind_the_end),
    BOTH("whole-pages-are-shared", whole_pages_are_shared),
    STRICT("whole-pages-are-shared", whole_pages_are_shared),
    BOTH("last-page-reaches-the-file", last_page_reaches_the_file),
    STRICT("last-page-reaches-the-file", last_page_reaches_the_file),
    BOTH("last-page-by-itself", last_page_by_itself),
    BOTH("last-page-from-the-host", last_page_from_the_host),
    BOTH("stores-behind-the-end", stores_behind_the_end),
    BOTH("place-is-reused", place_is_reused),
    STRICT("place-is-reused", place_is_reused),
    BOTH("two-places", two_places),
    BOTH("upgrade", upgrade),
    STRICT("upgrade", upgrade),
    BOTH("upgrade-whole", upgrade_whole),
    BOTH("removals", removals),
    STRICT("removals", removals),
    BOTH("bad-arguments", bad_arguments),
    BOTH("two-ranges-at-once", two_ranges_at_once),
    BOTH("not-a-file", not_a_file),
    BOTH("unlinked", unlinked),
    STRICT("unlinked", unlinked),
    BOTH("forgotten", forgotten),
    {.name = "read-only-share-exact",
     .run = read_only_share,
     .words = DAX_WINDOW_WORD " --readonly",
     .data = &dax_exact},
    {.name = "read-only-share-loose",
     .run = read_only_share,
     .words = DAX_WINDOW_WORD " --readonly",
     .data = &dax_loose},
    BOTH("running-program", running_program),
};

int main(int argc, char **argv)
{
    return case_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
