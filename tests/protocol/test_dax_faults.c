// SPDX-License-Identifier: BSD-3-Clause
/*
 * Front-ends that refuse, dawdle, fall silent, talk rubbish or leave, and devices that are stopped,
 * reset and started again with mappings alive: a request fails with an errno at the worst, what
 * was mapped is known or taken back, and the daemon serves on.
 */
#include "dax_guest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define R          WINDOW_RANGE

/* The most that a front-end's silence may cost: the daemon gives up before. */
#define SILENCE_MS 15000

/* Answered at once, also when the front-end has fallen silent. */
#define AT_ONCE_MS 1000

struct file {
    struct dax dax;
    int fd;
    uint64_t node;
    uint64_t fh;
};

static void start(struct file *file, struct daemon *daemon, uint64_t size)
{
    struct dax_options options = *(const struct dax_options *)case_data();

    options.guest.rings = 4;
    dax_start(&file->dax, daemon, &options);
    file->fd = host_create(&file->dax, "file", size, 1);
    file->node = guest_lookup(&file->dax.guest, ROOT_ID, "file");
    file->fh = guest_open(&file->dax.guest, file->node, O_RDWR);
}

/* The guest's ids after a new INIT. */
static void look_again(struct file *file)
{
    file->node = guest_lookup(&file->dax.guest, ROOT_ID, "file");
    file->fh = guest_open(&file->dax.guest, file->node, O_RDWR);
}

static void expect_works(struct file *file, uint64_t window_offset)
{
    CHECK_EQ(dax_map(&file->dax, file->node, 0, window_offset, DAX_WRITE), 0);
    dax_expect_file(&file->dax, window_offset, file->fd, 0);
    CHECK_EQ(dax_unmap(&file->dax, window_offset, R), 0);
    dax_expect_nothing(&file->dax, window_offset, R);
}

static struct vuf_fuse_req *submit_map(struct file *file, unsigned ring, uint64_t window_offset)
{
    struct vuf_setupmapping_in in = {~0ull, 0, R, DAX_WRITE, window_offset};
    struct vuf_fuse_req *req = vuf_fuse_get(&file->dax.guest.fuse, ring);

    CHECK(req);
    memcpy(vuf_fuse_args(req), &in, sizeof(in));
    OK(vuf_fuse_submit(&file->dax.guest.fuse, req, VUF_OP_SETUPMAPPING, file->node, sizeof(in), 0));
    vuf_fuse_kick(&file->dax.guest.fuse, ring);
    return req;
}

static int wait_for(struct file *file, unsigned ring, int timeout_ms)
{
    struct vuf_fuse_req *req;

    OK(vuf_fuse_wait(&file->dax.guest.fuse, ring, timeout_ms, &req));
    if (req->bad)
        FAIL("%s", req->bad);
    int error = req->error;
    vuf_fuse_put(&file->dax.guest.fuse, req);
    return error;
}

/* The control channel and the other rings, while something is waited for. */
static void expect_others_work(struct file *file)
{
    long long begin = now_ms();

    window_lock_socket(&file->dax.window);
    guest_check_control(&file->dax.guest.dev.conn);
    window_unlock_socket(&file->dax.window);
    guest_check_ring(&file->dax.guest, 2);
    if (now_ms() - begin > AT_ONCE_MS)
        FAIL("other requests wait for %lld ms", now_ms() - begin);
}

/* --- refusals --- */

/* The n-th request is refused: the mapping fails whole, and works the next time. */
static void refused_maps(struct daemon *daemon)
{
    struct file file;

    start(&file, daemon, R / 2 + 100);
    for (unsigned n = 1; n <= 4; n++) {
        unsigned long seen = window_counts(&file.dax.window).seen;

        window_fail(&file.dax.window, FAULT_REFUSE, n, false);
        int error = dax_map(&file.dax, file.node, 0, n * R, DAX_WRITE);
        bool met = window_counts(&file.dax.window).seen - seen >= n;
        window_fail(&file.dax.window, FAULT_NONE, 0, false);
        if (error) {
            CHECK(met);
            CHECK_EQ(window_counts(&file.dax.window).pieces, 0);
        } else {
            dax_expect_file(&file.dax, n * R, file.fd, 0);
            CHECK_EQ(dax_unmap(&file.dax, n * R, R), 0);
        }
        CHECK_EQ(window_counts(&file.dax.window).pieces, 0);
        expect_works(&file, n * R);
    }
    CHECK_EQ(host_size(file.fd), R / 2 + 100);
    dax_finish(&file.dax);
}

/* All of them: each fails at once, nothing adds up. */
static void refuses_everything(struct daemon *daemon)
{
    struct file file;

    start(&file, daemon, 3 * R + 100);
    expect_works(&file, 0);
    expect_others_work(&file); /* looks at a file that costs a descriptor from then on */
    unsigned fds = daemon_fd_count(daemon);
    window_fail(&file.dax.window, FAULT_REFUSE, 1, true);
    for (unsigned i = 0; i < 300; i++)
        CHECK(dax_map(&file.dax, file.node, i % 4 * R, i % 16 * R, DAX_WRITE) < 0);
    expect_others_work(&file);
    CHECK_EQ(dax_write(&file.dax, file.node, file.fh, 3 * R + 100, "more", 4), 0);
    window_fail(&file.dax.window, FAULT_NONE, 0, false);
    CHECK_EQ(window_counts(&file.dax.window).pieces, 0);
    daemon_expect_fds(daemon, fds);
    for (uint64_t at = 0; at < 4 * R; at += R) {
        CHECK_EQ(dax_map(&file.dax, file.node, at, at, DAX_WRITE), 0);
        dax_expect_file(&file.dax, at, file.fd, at);
    }
    dax_finish(&file.dax);
}

/* An UNMAP is refused: the place can be used all the same, sooner or later. */
static void refused_unmaps(struct daemon *daemon)
{
    struct file file;

    start(&file, daemon, R / 2 + 100);
    int other = host_create(&file.dax, "other", R + 7, 2);
    uint64_t other_node = guest_lookup(&file.dax.guest, ROOT_ID, "other");
    for (unsigned n = 1; n <= 3; n++) {
        CHECK_EQ(dax_map(&file.dax, file.node, 0, R, DAX_WRITE), 0);
        window_fail(&file.dax.window, FAULT_REFUSE, n, false);
        dax_unmap(&file.dax, R, R);
        window_fail(&file.dax.window, FAULT_NONE, 0, false);
        CHECK_EQ(dax_map(&file.dax, other_node, 0, R, DAX_WRITE), 0);
        dax_expect_file(&file.dax, R, other, 0);
        CHECK_EQ(dax_unmap(&file.dax, R, R), 0);
        CHECK_EQ(window_counts(&file.dax.window).pieces, 0);
    }
    dax_finish(&file.dax);
}

/* Growth into a range that has no room for it: the request fails, on an exact front-end before the
 * file is changed; no reply tells of bytes that the window cannot show. */
static void refused_growth(struct daemon *daemon)
{
    struct vuf_getattr_in in = {0};
    struct vuf_attr_out out;
    struct file file;

    start(&file, daemon, 0);
    CHECK_EQ(dax_map(&file.dax, file.node, 0, 0, DAX_WRITE), 0);
    window_fail(&file.dax.window, FAULT_REFUSE, 1, true);
    int error = dax_write(&file.dax, file.node, file.fh, 0, "12345", 5);
    if (error && dax_is_exact(&file.dax))
        CHECK_EQ(host_size(file.fd), 0);
    else if (!error)
        dax_expect_file(&file.dax, 0, file.fd, 0);
    error = dax_allocate(&file.dax, file.node, file.fh, 0, 10000);
    if (error && dax_is_exact(&file.dax))
        CHECK_EQ(host_size(file.fd), 0);
    else if (!error)
        dax_expect_file(&file.dax, 0, file.fd, 0);
    uint64_t size = host_size(file.fd);
    host_write(file.fd, size, 5000, 7);
    error = dax_call(&file.dax, 1, VUF_OP_GETATTR, file.node, &in, sizeof(in), NULL, 0, &out,
                     sizeof(out));
    if (!error && out.attr.size > size)
        dax_expect_file(&file.dax, 0, file.fd, 0);
    window_fail(&file.dax.window, FAULT_NONE, 0, false);
    CHECK_EQ(dax_getattr(&file.dax, file.node).size, size + 5000);
    dax_expect_file(&file.dax, 0, file.fd, 0);
    CHECK_EQ(dax_write(&file.dax, file.node, file.fh, R - 1, "12345", 5), 0);
    dax_expect_file(&file.dax, 0, file.fd, 0);
    dax_finish(&file.dax);
}

/* The mapping of what shall be cut cannot be taken back: then it must not be cut. */
static void refused_cut(struct daemon *daemon)
{
    struct file file;

    start(&file, daemon, 2 * R + 100);
    for (unsigned n = 1; n <= 5; n++) {
        CHECK_EQ(dax_set_size(&file.dax, file.node, 2 * R + 100), 0);
        for (uint64_t at = 0; at < 3 * R; at += R)
            CHECK_EQ(dax_map(&file.dax, file.node, at, at, DAX_WRITE), 0);
        window_fail(&file.dax.window, FAULT_REFUSE, n, false);
        int error = dax_set_size(&file.dax, file.node, 5000);
        window_fail(&file.dax.window, FAULT_NONE, 0, false);
        if (error && host_size(file.fd) != 5000)
            CHECK_EQ(host_size(file.fd), 2 * R + 100);
        if (dax_is_exact(&file.dax))
            window_check_backed(&file.dax.window);
        /* What could not be had then is there after a request that works. */
        CHECK_EQ(dax_set_size(&file.dax, file.node, 4096 + n), 0);
        dax_expect_file(&file.dax, 0, file.fd, 0);
        CHECK_EQ(dax_unmap(&file.dax, 0, 3 * R), 0);
    }
    dax_finish(&file.dax);
}

/* --- slow, silent, gone --- */

static void late(struct daemon *daemon)
{
    struct file file;

    start(&file, daemon, R / 2 + 100);
    window_fail(&file.dax.window, FAULT_LATE, 1, false);
    submit_map(&file, 1, R);
    window_expect_seen(&file.dax.window, 1);
    for (unsigned i = 0; i < 20; i++) {
        expect_others_work(&file);
        sleep_ms(10);
    }
    window_release(&file.dax.window);
    CHECK_EQ(wait_for(&file, 1, DAEMON_PATIENCE_MS), 0);
    dax_expect_file(&file.dax, R, file.fd, 0);
    dax_finish(&file.dax);
}

/* Never answered: in the end an errno, and plain requests all the time. */
static void never(struct daemon *daemon)
{
    struct file file;

    start(&file, daemon, R / 2 + 100);
    CHECK_EQ(dax_map(&file.dax, file.node, 0, R, DAX_READ), 0);
    unsigned long seen = window_counts(&file.dax.window).seen;
    window_fail(&file.dax.window, FAULT_NEVER, 1, true);
    submit_map(&file, 1, 2 * R);
    window_expect_seen(&file.dax.window, seen + 1);
    expect_others_work(&file);
    CHECK(wait_for(&file, 1, SILENCE_MS) < 0);
    /* From then on at once. */
    long long begin = now_ms();
    CHECK(dax_map(&file.dax, file.node, 0, 3 * R, DAX_WRITE) < 0);
    CHECK(now_ms() - begin < AT_ONCE_MS);
    expect_others_work(&file);
    dax_expect_file(&file.dax, R, file.fd, 0);
    /* A new channel is a new beginning. */
    window_lock_socket(&file.dax.window);
    window_reopen(&file.dax.window);
    window_unlock_socket(&file.dax.window);
    expect_works(&file, 5 * R);
    dax_finish(&file.dax);
}

static void broken_channel(struct file *file, enum window_fault fault)
{
    CHECK_EQ(dax_map(&file->dax, file->node, 0, R, DAX_WRITE), 0);
    window_fail(&file->dax.window, fault, 1, false);
    CHECK(dax_map(&file->dax, file->node, 0, 2 * R, DAX_WRITE) < 0);
    for (unsigned i = 0; i < 3; i++) {
        CHECK(dax_map(&file->dax, file->node, 0, 3 * R, DAX_WRITE) < 0);
        expect_others_work(file);
    }
    /* The mapping that there is stays good. */
    dax_store(&file->dax, R + 100, 200, 9, 0);
    CHECK_EQ(dax_fsync(&file->dax, file->node, file->fh), 0);
    dax_expect_file(&file->dax, R, file->fd, 0);
    window_lock_socket(&file->dax.window);
    window_reopen(&file->dax.window);
    window_unlock_socket(&file->dax.window);
    expect_works(file, 6 * R);
    dax_expect_file(&file->dax, R, file->fd, 0);
    guest_check_alive(&file->dax.guest);
}

static void closed(struct daemon *daemon)
{
    struct file file;

    start(&file, daemon, R / 2 + 100);
    broken_channel(&file, FAULT_CLOSE);
    dax_finish(&file.dax);
}

static void garbage(struct daemon *daemon)
{
    struct file file;

    start(&file, daemon, R / 2 + 100);
    broken_channel(&file, FAULT_GARBAGE);
    dax_finish(&file.dax);
}

/* --- the device is stopped --- */

/* While a MAP is unanswered: the ring stops within a second, as the front-end can do nothing else
 * meanwhile. Its driver starts over. */
static void reset_while_asking(struct daemon *daemon, enum window_fault fault, int pause_ms)
{
    struct file file;

    start(&file, daemon, R / 2 + 100);
    CHECK_EQ(dax_map(&file.dax, file.node, 0, 4 * R, DAX_WRITE), 0);
    unsigned long seen = window_counts(&file.dax.window).seen;
    window_fail(&file.dax.window, fault, 1, false);
    submit_map(&file, 1, R);
    window_expect_seen(&file.dax.window, seen + 1);
    dax_stop_rings_slowly(&file.dax, pause_ms);
    window_release(&file.dax.window);
    window_drop(&file.dax.window);
    window_fail(&file.dax.window, FAULT_NONE, 0, false);
    if (fault == FAULT_NEVER)
        window_reopen(&file.dax.window);
    for (unsigned i = 0; i < file.dax.guest.dev.n_rings; i++)
        vuf_ring_reset(&file.dax.guest.dev.rings[i], 0);
    dax_start_rings(&file.dax);
    dax_init(&file.dax);
    look_again(&file);
    expect_works(&file, R);
    expect_works(&file, 4 * R);
    expect_works(&file, 5 * R);
    dax_finish(&file.dax);
}

static void reset_while_late(struct daemon *daemon)
{
    reset_while_asking(daemon, FAULT_LATE, 0);
}

/* Between the stops of two rings the request is done once more, and interrupted once more. */
static void reset_slowly_while_late(struct daemon *daemon)
{
    reset_while_asking(daemon, FAULT_LATE, 20);
}

static void reset_while_silent(struct daemon *daemon)
{
    reset_while_asking(daemon, FAULT_NEVER, 0);
}

/* The VM is paused in the middle and goes on: the request is given up before the ring stops, or
 * done once more afterwards; what the front-end carries out meanwhile is no obstacle. */
static void pause_while_late(struct daemon *daemon)
{
    struct file file;

    start(&file, daemon, R / 2 + 100);
    CHECK_EQ(dax_map(&file.dax, file.node, 0, 4 * R, DAX_WRITE), 0);
    unsigned long seen = window_counts(&file.dax.window).seen;
    window_fail(&file.dax.window, FAULT_LATE, 1, false);
    submit_map(&file, 1, R);
    window_expect_seen(&file.dax.window, seen + 1);
    dax_stop_rings(&file.dax);
    window_set_running(&file.dax.window, true); /* QEMU carries out what was asked before */
    window_release(&file.dax.window);
    window_counts(&file.dax.window);
    struct vuf_fuse_req *req;
    int answered = vuf_fuse_reap(&file.dax.guest.fuse, 1, &req);
    if (answered) {
        CHECK(answered == 1 && !req->bad && req->error < 0);
        vuf_fuse_put(&file.dax.guest.fuse, req);
    }
    dax_start_rings(&file.dax);
    window_send_table(&file.dax.window);
    if (!answered)
        CHECK_EQ(wait_for(&file, 1, DAEMON_PATIENCE_MS), 0);
    dax_expect_file(&file.dax, 4 * R, file.fd, 0);
    for (unsigned i = 0; i < 3; i++)
        expect_works(&file, R);
    expect_works(&file, 8 * R);
    CHECK_EQ(dax_unmap(&file.dax, 4 * R, R), 0);
    CHECK_EQ(window_counts(&file.dax.window).pieces, 0);
    dax_finish(&file.dax);
}

/* The VM is paused and goes on, with mappings that both sides remember. */
static void paused(struct daemon *daemon)
{
    struct file file;

    start(&file, daemon, R + 5000);
    CHECK_EQ(dax_map(&file.dax, file.node, 0, 0, DAX_WRITE), 0);
    CHECK_EQ(dax_map(&file.dax, file.node, R, R, DAX_WRITE), 0);
    for (unsigned i = 0; i < 5; i++) {
        uint64_t size = host_size(file.fd);

        dax_store(&file.dax, size - 100, 100, i, 0);
        dax_stop_rings(&file.dax);
        dax_start_rings(&file.dax);
        window_send_table(&file.dax.window);
        CHECK_EQ(dax_fsync(&file.dax, file.node, file.fh), 0);
        dax_expect_file(&file.dax, R, file.fd, R);
        dax_expect_pattern(&file.dax, size - 100, 100, i, 0);
        CHECK_EQ(dax_write(&file.dax, file.node, file.fh, size, "grows", 5), 0);
        dax_expect_file(&file.dax, R, file.fd, R);
        CHECK_EQ(dax_map(&file.dax, file.node, 0, 3 * R, DAX_WRITE), 0);
        CHECK_EQ(dax_unmap(&file.dax, 3 * R, R), 0);
    }
    CHECK_EQ(dax_set_size(&file.dax, file.node, 100), 0);
    dax_expect_file(&file.dax, 0, file.fd, 0);
    if (dax_is_exact(&file.dax))
        window_check_backed(&file.dax.window);
    CHECK_EQ(dax_unmap(&file.dax, 0, 2 * R), 0);
    CHECK_EQ(window_counts(&file.dax.window).pieces, 0);
    dax_finish(&file.dax);
}

/* What was stored in the page that the end of the file cuts. */
static void expect_stored(struct file *file, uint64_t offset, unsigned seed)
{
    char found[10], wanted[10];

    pattern(seed, 0, wanted, 10);
    CHECK(pread(file->fd, found, 10, (off_t)offset) == 10);
    CHECK(memcmp(found, wanted, 10) == 0);
}

/* The guest reboots: the front-end has dropped everything by itself. */
static void reset(struct daemon *daemon)
{
    struct file file;

    start(&file, daemon, R + 5000);
    for (unsigned round = 0; round < 4; round++) {
        for (uint64_t at = 0; at < 2 * R; at += R)
            CHECK_EQ(dax_map(&file.dax, file.node, at, 6 * R + at, DAX_WRITE), 0);
        dax_store(&file.dax, 7 * R + 4990, 10, 50 + round, 0);
        if (round % 2 == 0) {
            dax_stop_rings(&file.dax);
        } else {
            window_lock_socket(&file.dax.window);
            OK(vuf_reset_device(&file.dax.guest.dev.conn));
            window_set_running(&file.dax.window, false);
            window_unlock_socket(&file.dax.window);
            OK(vuf_set_features(&file.dax.guest.dev.conn, file.dax.guest.dev.conn.features));
        }
        window_drop(&file.dax.window);
        for (unsigned i = 0; i < file.dax.guest.dev.n_rings; i++)
            vuf_ring_reset(&file.dax.guest.dev.rings[i], 0);
        dax_start_rings(&file.dax);
        CHECK_EQ(dax_init(&file.dax), VUF_INIT_MAP_ALIGNMENT | VUF_INIT_HAS_INODE_DAX);
        look_again(&file);
        CHECK_EQ(window_counts(&file.dax.window).pieces, 0);
        /* What was stored before the end is not lost, as it would not be in a page cache. */
        expect_stored(&file, R + 4990, 50 + round);
    }
    expect_works(&file, 6 * R);
    expect_works(&file, 0);
    dax_finish(&file.dax);
}

/* The guest unmounts: nothing stays mapped for it. */
static void session_ends(struct daemon *daemon)
{
    struct file file;

    start(&file, daemon, R + 5000);
    for (unsigned round = 0; round < 6; round++) {
        for (uint64_t at = 0; at < 2 * R; at += R)
            CHECK_EQ(dax_map(&file.dax, file.node, at, 6 * R + at, DAX_WRITE), 0);
        dax_store(&file.dax, 7 * R + 4990, 10, 50 + round, 0);
        if (round % 2) {
            /* Paused and gone on in between. */
            dax_stop_rings(&file.dax);
            dax_start_rings(&file.dax);
            window_send_table(&file.dax.window);
        }
        CHECK_EQ(vuf_fuse_destroy(&file.dax.guest.fuse), 0);
        CHECK_EQ(window_counts(&file.dax.window).pieces, 0);
        expect_stored(&file, R + 4990, 50 + round);
        CHECK_EQ(dax_init(&file.dax), VUF_INIT_MAP_ALIGNMENT | VUF_INIT_HAS_INODE_DAX);
        look_again(&file);
    }
    expect_works(&file, 6 * R);
    dax_finish(&file.dax);
}

/* INIT without DESTROY: whether the front-end has dropped the old mappings is not known. */
static void session_starts_over(struct daemon *daemon)
{
    struct file file;

    start(&file, daemon, R + 5000);
    for (unsigned round = 0; round < 6; round++) {
        for (uint64_t at = 0; at < 2 * R; at += R)
            CHECK_EQ(dax_map(&file.dax, file.node, at, 6 * R + at, DAX_WRITE), 0);
        dax_store(&file.dax, 7 * R + 4990, 10, 50 + round, 0);
        if (round % 2)
            window_drop(&file.dax.window);
        CHECK_EQ(dax_init(&file.dax), VUF_INIT_MAP_ALIGNMENT | VUF_INIT_HAS_INODE_DAX);
        expect_stored(&file, R + 4990, 50 + round);
        look_again(&file);
        /* Another shape in the same place. */
        CHECK_EQ(dax_set_size(&file.dax, file.node, R + 9000), 0);
        expect_works(&file, 7 * R);
        CHECK_EQ(dax_set_size(&file.dax, file.node, R + 5000), 0);
    }
    expect_works(&file, 6 * R);
    dax_finish(&file.dax);
}

/* DESTROY on one ring while others map. */
static void session_ends_in_a_crowd(struct daemon *daemon)
{
    struct file file;

    start(&file, daemon, R + 5000);
    for (unsigned round = 0; round < 30; round++) {
        for (unsigned ring = 2; ring < 4; ring++)
            for (uint64_t i = 0; i < 4; i++)
                submit_map(&file, ring, (ring * 4 + i) % 16 * R);
        CHECK_EQ(vuf_fuse_destroy(&file.dax.guest.fuse), 0);
        for (unsigned ring = 2; ring < 4; ring++)
            for (unsigned i = 0; i < 4; i++)
                wait_for(&file, ring, DAEMON_PATIENCE_MS);
        dax_init(&file.dax);
        look_again(&file);
    }
    for (uint64_t at = 0; at < DAX_WINDOW; at += R)
        expect_works(&file, at);
    CHECK_EQ(window_counts(&file.dax.window).pieces, 0);
    dax_finish(&file.dax);
}

/* The front-end leaves with mappings alive; the next one starts with nothing. */
static void next_front_end(struct daemon *daemon)
{
    unsigned fds = 0;

    for (unsigned round = 0; round < 4; round++) {
        struct file file;

        start(&file, daemon, R + 5000);
        CHECK_EQ(window_counts(&file.dax.window).seen, 0);
        for (uint64_t at = 0; at < 2 * R; at += R) {
            CHECK_EQ(dax_map(&file.dax, file.node, at, 6 * R + at, DAX_WRITE), 0);
            dax_expect_file(&file.dax, 6 * R + at, file.fd, at);
        }
        CHECK_EQ(window_counts(&file.dax.window).unmaps, 0);
        dax_store(&file.dax, 7 * R + 4990, 10, 50 + round, 0);
        if (round == 1)
            fds = daemon_fd_count(daemon);
        else if (round > 1)
            daemon_expect_fds(daemon, fds);
        dax_finish(&file.dax);
        vuf_fuse_close(&file.dax.guest.fuse);
        vuf_dev_close(&file.dax.guest.dev);
        vuf_conn_close(&file.dax.window.channel);
        /* The daemon may notice a little later. */
        char found[10] = "", wanted[10];
        pattern(50 + round, 0, wanted, 10);
        for (long long end = now_ms() + 3000; now_ms() < end; sleep_ms(5)) {
            CHECK(pread(file.fd, found, 10, R + 4990) == 10);
            if (memcmp(found, wanted, 10) == 0)
                break;
        }
        CHECK(memcmp(found, wanted, 10) == 0);
        close(file.fd);
    }
}

static const struct dax_options may_probe = {.window = {.style = WINDOW_EXACT, .may_probe = true}};

#define EXACT(a_name, function, options)                                                     \
    {                                                                                        \
        .name = a_name "-exact", .run = function, .words = DAX_WINDOW_WORD, .data = &options \
    }
#define LOOSE(a_name, function)                                                                \
    {                                                                                          \
        .name = a_name "-loose", .run = function, .words = DAX_WINDOW_WORD, .data = &dax_loose \
    }
#define BOTH(a_name, function) EXACT(a_name, function, dax_exact), LOOSE(a_name, function)

static const struct test_case cases[] = {
    BOTH("refused-maps", refused_maps),
    BOTH("refuses-everything", refuses_everything),
    EXACT("refused-unmaps", refused_unmaps, may_probe),
    LOOSE("refused-unmaps", refused_unmaps),
    BOTH("refused-growth", refused_growth),
    EXACT("refused-cut", refused_cut, may_probe),
    LOOSE("refused-cut", refused_cut),
    BOTH("late", late),
    BOTH("never", never),
    BOTH("closed", closed),
    BOTH("garbage", garbage),
    EXACT("reset-while-late", reset_while_late, dax_exact),
    LOOSE("reset-while-late", reset_while_late),
    BOTH("reset-slowly-while-late", reset_slowly_while_late),
    BOTH("reset-while-silent", reset_while_silent),
    EXACT("pause-while-late", pause_while_late, may_probe),
    LOOSE("pause-while-late", pause_while_late),
    BOTH("paused", paused),
    BOTH("reset", reset),
    BOTH("session-ends", session_ends),
    EXACT("session-starts-over", session_starts_over, may_probe),
    LOOSE("session-starts-over", session_starts_over),
    EXACT("session-ends-in-a-crowd", session_ends_in_a_crowd, may_probe),
    LOOSE("session-ends-in-a-crowd", session_ends_in_a_crowd),
    {.name = "next-front-end-exact",
     .run = next_front_end,
     .words = DAX_WINDOW_WORD " --persistent",
     .end = END_TERM,
     .data = &dax_exact},
    {.name = "next-front-end-loose",
     .run = next_front_end,
     .words = DAX_WINDOW_WORD " --persistent",
     .end = END_TERM,
     .data = &dax_loose},
};

int main(int argc, char **argv)
{
    return case_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
