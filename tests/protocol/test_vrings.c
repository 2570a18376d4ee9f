// SPDX-License-Identifier: BSD-3-Clause
/*
 * Rings as the front-end sets them up: sizes, addresses, bases, descriptors, order of requests,
 * stop and start, reset.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "guest.h"

static void sizes(struct daemon *daemon)
{
    static const uint32_t bad[] = {0, 3, 5, 1000, 32769, 65535, 65536, 0x80000000, 0xffffffff};
    struct guest guest;

    guest_negotiate(&guest, daemon, NULL);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        CHECK_EQ(vuf_set_vring_num(&guest.dev.conn, 1, bad[i]), -EREMOTEIO);
    for (uint32_t size = 1; size <= 32768; size *= 2)
        OK(vuf_set_vring_num(&guest.dev.conn, 1, size));
    guest_check_control(&guest.dev.conn);
}

/* Rings that hold anything from one request to the largest that there is. */
static void works_with_size(struct daemon *daemon)
{
    struct guest_options options = *(const struct guest_options *)case_data();
    struct guest guest;

    guest_start(&guest, daemon, &options);
    for (int i = 0; i < 100; i++)
        guest_check_ring(&guest, 1);
}

static void bases(struct daemon *daemon)
{
    struct guest guest;

    guest_negotiate(&guest, daemon, NULL);
    CHECK_EQ(vuf_set_vring_base(&guest.dev.conn, 1, 0x10000), -EREMOTEIO);
    CHECK_EQ(vuf_set_vring_base(&guest.dev.conn, 1, 0xffffffff), -EREMOTEIO);
    for (uint32_t base = 0; base <= 0xffff; base += 0x3333) {
        uint32_t got;

        OK(vuf_set_vring_base(&guest.dev.conn, 1, base));
        OK(vuf_get_vring_base(&guest.dev.conn, 1, &got));
        CHECK_EQ(got, base);
    }
}

/* Around the place where the 16-bit index wraps. */
static void index_wraps(struct daemon *daemon)
{
    struct guest_options options = {.no_init = true};
    struct guest guest;

    guest_negotiate(&guest, daemon, &options);
    vuf_ring_reset(&guest.dev.rings[0], 65000);
    vuf_ring_reset(&guest.dev.rings[1], 65500);
    OK(vuf_dev_start(&guest.dev));
    guest_init(&guest);
    for (int i = 0; i < 100; i++)
        guest_check_ring(&guest, 1);
    for (int i = 0; i < 1000; i++)
        OK(vuf_fuse_forget(&guest.fuse, 123456789, 1));
}

static void expect_bad_address(struct guest *guest, uint64_t desc, uint64_t avail, uint64_t used)
{
    struct vuf_vring_addr addr = {1, 0, desc, used, avail, 0};
    int r = vuf_set_vring_addr(&guest->dev.conn, &addr);

    if (r == -EREMOTEIO)
        return;
    OK(r);
    /* Not looked at yet: then it must not start. */
    OK(vuf_set_vring_kick(&guest->dev.conn, 1, guest->dev.rings[1].kick_fd));
    r = vuf_set_vring_enable(&guest->dev.conn, 1, true);
    if (r != -EREMOTEIO)
        OK(r);
    vuf_ring_kick_always(&guest->dev.rings[1]);
    sleep_ms(5);
    guest_check_control(&guest->dev.conn);
    uint32_t base;
    OK(vuf_get_vring_base(&guest->dev.conn, 1, &base));
}

static void addresses(struct daemon *daemon)
{
    struct guest guest;

    guest_negotiate(&guest, daemon, NULL);
    struct vuf_region ram = vuf_mem_region(&guest.dev.mem);
    uint64_t good = ram.uva + 0x1000, end = ram.uva + ram.size;

    OK(vuf_set_vring_num(&guest.dev.conn, 1, 256));
    for (int with_memory = 0; with_memory < 2; with_memory++) {
        if (with_memory)
            OK(vuf_set_mem_table(&guest.dev.conn, &ram, &guest.dev.mem.fd, 1));
        const uint64_t bad[] = {0,        ~0ull,      ~0ull - 4096, ram.uva - 8, ram.gpa,       end,
                                end - 16, end - 2048, good + 1,     1ull << 63,  ram.uva - 4096};
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
            bool only_misaligned_by_one = bad[i] == good + 1;

            expect_bad_address(&guest, bad[i], good + 0x2000, good + 0x3000);
            /* 256 entries of the available ring fit into the last 2 KiB. */
            if (bad[i] != end - 2048)
                expect_bad_address(&guest, good, bad[i], good + 0x3000);
            expect_bad_address(&guest, good, good + 0x2000,
                               only_misaligned_by_one ? good + 2 : bad[i]);
        }
    }
    guest_check_control(&guest.dev.conn);
}

/* A ring in two regions that are neighbours for the guest only. */
static void straddles_regions(struct daemon *daemon)
{
    struct guest guest;

    guest_negotiate(&guest, daemon, NULL);
    struct vuf_region a = vuf_mem_region(&guest.dev.mem), b = a;
    a.size = 0x2000;
    b.gpa += 0x2000, b.uva += 0x2000, b.mmap_offset += 0x2000, b.size -= 0x2000;
    struct vuf_region regions[2] = {a, b};
    int fds[2] = {guest.dev.mem.fd, guest.dev.mem.fd};
    OK(vuf_set_mem_table(&guest.dev.conn, regions, fds, 2));
    OK(vuf_set_vring_num(&guest.dev.conn, 1, 256));
    expect_bad_address(&guest, a.uva + 0x1800, a.uva + 0x4000, a.uva + 0x5000);
    expect_bad_address(&guest, a.uva + 0x4000, a.uva + 0x1ff0, a.uva + 0x5000);
    expect_bad_address(&guest, a.uva + 0x4000, a.uva + 0x3000, a.uva + 0x1ff0);
}

/* Changes that a ring does not stand while it runs. */
static void while_running(struct daemon *daemon)
{
    struct guest guest;

    guest_start(&guest, daemon, NULL);
    struct vuf_conn *conn = &guest.dev.conn;
    struct vuf_vring_addr addr = {
        1, 0, guest.dev.mem.uva, guest.dev.mem.uva + 0x3000, guest.dev.mem.uva + 0x2000, 0};
    CHECK_EQ(vuf_set_vring_num(conn, 1, 128), -EREMOTEIO);
    CHECK_EQ(vuf_set_vring_base(conn, 1, 7), -EREMOTEIO);
    CHECK_EQ(vuf_set_vring_addr(conn, &addr), -EREMOTEIO);
    uint64_t features = conn->features;
    CHECK_EQ(vuf_set_features(conn, features & ~VUF_F_EVENT_IDX), -EREMOTEIO);
    conn->features = features;
    guest_check_alive(&guest);
    /* These may change. */
    for (int i = 0; i < 50; i++) {
        OK(vuf_set_vring_call(conn, 1, i % 2 ? guest.dev.rings[1].call_fd : -1));
        OK(vuf_set_vring_err(conn, 1, i % 3 ? guest.dev.rings[1].err_fd : -1));
        OK(vuf_set_vring_call(conn, 1, guest.dev.rings[1].call_fd));
        OK(vuf_set_vring_kick(conn, 1, guest.dev.rings[1].kick_fd));
        guest_check_ring(&guest, 1);
    }
}

static void enable_disable(struct daemon *daemon)
{
    struct guest guest;

    guest_start(&guest, daemon, NULL);
    guest_check_alive(&guest);
    unsigned threads = daemon_thread_count(daemon), fds = daemon_fd_count(daemon);
    for (int i = 0; i < 50; i++) {
        OK(vuf_set_vring_enable(&guest.dev.conn, 1, false));
        OK(vuf_set_vring_enable(&guest.dev.conn, 1, true));
        guest_check_ring(&guest, 1);
    }
    daemon_expect_threads(daemon, threads);
    daemon_expect_fds(daemon, fds);
    /* What comes while the ring is off is done when it is on again. */
    OK(vuf_set_vring_enable(&guest.dev.conn, 1, false));
    struct vuf_fuse_req *req = vuf_fuse_get(&guest.fuse, 1), *done;
    OK(vuf_fuse_submit(&guest.fuse, req, VUF_OP_STATFS, ROOT_ID, 0, 80));
    vuf_ring_publish(&guest.dev.rings[1]);
    vuf_ring_kick_always(&guest.dev.rings[1]);
    sleep_ms(50);
    CHECK_EQ(vuf_fuse_reap(&guest.fuse, 1, &done), 0);
    OK(vuf_set_vring_enable(&guest.dev.conn, 1, true));
    OK(vuf_fuse_wait(&guest.fuse, 1, DAEMON_PATIENCE_MS, &done));
    CHECK(done == req && !req->bad && !req->error);
    CHECK_EQ(vuf_command(&guest.dev.conn, VUF_SET_VRING_ENABLE, (uint32_t[]){1, 2}, 8, NULL, 0),
             -EREMOTEIO);
}

/* "in the ring state ... the ring starts when the kick descriptor is signalled". */
static void starts_with_kick(struct daemon *daemon)
{
    struct guest_options options = {.no_init = true};
    struct guest guest;

    guest_start(&guest, daemon, &options);
    struct vuf_fuse_req *req = vuf_fuse_get(&guest.fuse, 1), *done;
    struct vuf_init_in in = {.major = 7, .minor = 38};
    memcpy(vuf_fuse_args(req), &in, 16);
    OK(vuf_fuse_submit(&guest.fuse, req, VUF_OP_INIT, 0, 16, 64));
    vuf_ring_publish(&guest.dev.rings[1]);
    sleep_ms(50);
    CHECK_EQ(vuf_fuse_reap(&guest.fuse, 1, &done), 0);
    vuf_ring_kick_always(&guest.dev.rings[1]);
    OK(vuf_fuse_wait(&guest.fuse, 1, DAEMON_PATIENCE_MS, &done));
    CHECK(done == req && !req->bad && !req->error);
}

/* Stop, and go on where it stopped, session and open files included. */
static void stop_and_go(struct daemon *daemon)
{
    struct guest_options options = {.rings = 3, .depth = 8};
    struct guest guest;

    guest_start(&guest, daemon, &options);
    uint64_t node = guest_lookup(&guest, ROOT_ID, "hello"), fh = guest_open(&guest, node, 0);
    for (int i = 0; i < 30; i++) {
        struct vuf_read_in in = {.fh = fh, .size = 4096};
        char data[4096];
        uint32_t base;

        for (unsigned ring = 0; ring < 3; ring++) {
            OK(vuf_get_vring_base(&guest.dev.conn, ring, &base));
            CHECK_EQ(base, guest.dev.rings[ring].used_idx);
        }
        /* Nobody listens now. */
        vuf_ring_kick_always(&guest.dev.rings[1]);
        for (unsigned ring = 0; ring < 3; ring++)
            guest_start_ring(&guest, ring);
        CHECK_EQ(
            guest_call(&guest, VUF_OP_READ, node, &in, sizeof(in), NULL, data, sizeof(data), NULL),
            0);
        guest_check_alive(&guest);
    }
}

/* With requests in the ring: each is either answered before the stop or served after it. */
static void stop_with_requests(struct daemon *daemon)
{
    struct guest_options options = {.depth = 32, .ring_size = 128};
    struct guest guest;

    guest_start(&guest, daemon, &options);
    for (int round = 0; round < 50; round++) {
        struct vuf_fuse_req *req;
        unsigned count = 0;
        uint32_t base;

        while ((req = vuf_fuse_get(&guest.fuse, 1))) {
            OK(vuf_fuse_submit(&guest.fuse, req, VUF_OP_STATFS, ROOT_ID, 0, 80));
            count++;
        }
        vuf_fuse_kick(&guest.fuse, 1);
        OK(vuf_get_vring_base(&guest.dev.conn, 1, &base));
        uint16_t used = guest.dev.rings[1].used->idx;
        CHECK_EQ(base, used); /* everything taken is answered */
        OK(vuf_set_vring_base(&guest.dev.conn, 1, base));
        OK(vuf_set_vring_kick(&guest.dev.conn, 1, guest.dev.rings[1].kick_fd));
        while (count--) {
            OK(vuf_fuse_wait(&guest.fuse, 1, DAEMON_PATIENCE_MS, &req));
            CHECK(!req->bad && !req->error);
            vuf_fuse_put(&guest.fuse, req);
        }
    }
}

static void reset_device(struct daemon *daemon)
{
    struct guest guest;
    unsigned fds = 0;

    guest_start(&guest, daemon, NULL);
    for (int i = 0; i < 20; i++) {
        uint64_t node = guest_lookup(&guest, ROOT_ID, "hello"), fh = guest_open(&guest, node, 0);
        uint64_t features = guest.dev.conn.features, status;
        struct vuf_attr_out attr;
        struct vuf_read_in in = {.fh = fh, .size = 100};
        char data[100];

        if (!fds)
            fds = daemon_fd_count(daemon);
        OK(vuf_reset_device(&guest.dev.conn));
        OK(vuf_get_status(&guest.dev.conn, &status));
        CHECK_EQ(status, 0);
        OK(vuf_set_features(&guest.dev.conn, features));
        for (unsigned ring = 0; ring < 2; ring++) {
            vuf_ring_reset(&guest.dev.rings[ring], 0);
            guest_start_ring(&guest, ring);
        }
        /* The session is a new one: before INIT there is nothing, after it the old ids are wrong.
         */
        CHECK(guest_call(&guest, VUF_OP_GETATTR, ROOT_ID, (char[16]){0}, 16, NULL, &attr,
                         sizeof(attr), NULL) < 0);
        guest_init(&guest);
        CHECK(guest_call(&guest, VUF_OP_GETATTR, node, (char[16]){0}, 16, NULL, &attr, sizeof(attr),
                         NULL) < 0);
        CHECK(guest_call(&guest, VUF_OP_READ, node, &in, sizeof(in), NULL, data, sizeof(data),
                         NULL) < 0);
        guest_check_alive(&guest);
    }
    CHECK(daemon_fd_count(daemon) <= fds + 2);
}

static void status_zero(struct daemon *daemon)
{
    struct guest guest;
    uint64_t status;

    guest_start(&guest, daemon, NULL);
    for (int i = 0; i < 20; i++) {
        OK(vuf_dev_stop(&guest.dev));
        OK(vuf_get_status(&guest.dev.conn, &status));
        CHECK_EQ(status, 0);
        OK(vuf_dev_start(&guest.dev));
        OK(vuf_get_status(&guest.dev.conn, &status));
        CHECK_EQ(status & VUF_STATUS_DRIVER_OK, VUF_STATUS_DRIVER_OK);
        guest_check_alive(&guest);
    }
    CHECK_EQ(vuf_set_status(&guest.dev.conn, 0x100), -EREMOTEIO);
}

/* QEMU's way, RESET_OWNER included, over and over. */
static void reset_owner(struct daemon *daemon)
{
    struct guest guest;

    guest_start(&guest, daemon, NULL);
    for (int i = 0; i < 5; i++) {
        OK(vuf_reset_owner(&guest.dev.conn));
        guest_check_control(&guest.dev.conn);
        OK(vuf_set_owner(&guest.dev.conn));
        for (unsigned ring = 0; ring < 2; ring++)
            OK(vuf_set_vring_enable(&guest.dev.conn, ring, true));
        guest_check_alive(&guest);
    }
}

static void all_queues(struct daemon *daemon)
{
    struct guest_options options = {.rings = 64, .depth = 2, .ring_size = 32, .data = 8192};
    struct guest guest;

    guest_start(&guest, daemon, &options);
    for (int i = 0; i < 3; i++)
        for (unsigned ring = 1; ring < 64; ring++)
            guest_check_ring(&guest, ring);
    CHECK(daemon_thread_count(daemon) >= 65);
    OK(vuf_fuse_forget(&guest.fuse, 424242, 1));
}

/* Without VHOST_USER_F_PROTOCOL_FEATURES rings are enabled from the start. */
static void no_protocol_features(struct daemon *daemon)
{
    struct guest_options options = {.features = VUF_F_VERSION_1 | VUF_F_INDIRECT_DESC};
    struct guest guest;

    guest_start(&guest, daemon, &options);
    guest_check_alive(&guest);
}

/* Call descriptors that cannot take a notification: nobody waits for them. */
static void stuffed_call_fd(struct daemon *daemon)
{
    struct guest guest;
    int pipe_fds[2], pair[2], pipe_waits[2];
    uint64_t most = ~1ull;

    guest_start(&guest, daemon, NULL);
    CHECK(pipe2(pipe_fds, O_NONBLOCK) == 0 && pipe(pipe_waits) == 0);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
    char junk[4096] = "";
    while (write(pipe_fds[1], junk, sizeof(junk)) > 0)
        ;
    while (write(pair[0], junk, sizeof(junk)) > 0)
        ;
    fcntl(pipe_waits[1], F_SETFL, O_NONBLOCK);
    while (write(pipe_waits[1], junk, sizeof(junk)) > 0)
        ;
    fcntl(pipe_waits[1], F_SETFL, 0);
    int event_full = eventfd(0, EFD_NONBLOCK), event_waits = eventfd(0, 0);
    CHECK(write(event_full, &most, 8) == 8 && write(event_waits, &most, 8) == 8);
    int fds[] = {pipe_fds[1], pair[0], event_full, event_waits, pipe_waits[1]};
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        /* Refused, or taken and never waited for. */
        int r = vuf_set_vring_call(&guest.dev.conn, 1, fds[i]);
        if (r != -EREMOTEIO)
            OK(r);
        for (int n = 0; n < 20; n++) {
            struct vuf_fuse_req *req = vuf_fuse_get(&guest.fuse, 1), *done;
            long long deadline = now_ms() + DAEMON_PATIENCE_MS;

            OK(vuf_fuse_submit(&guest.fuse, req, VUF_OP_STATFS, ROOT_ID, 0, 80));
            vuf_ring_calls_on(&guest.dev.rings[1]);
            vuf_fuse_kick(&guest.fuse, 1);
            while (vuf_fuse_reap(&guest.fuse, 1, &done) == 0) {
                if (now_ms() > deadline)
                    FAIL("stuck behind call descriptor %zu", i);
                sleep_ms(1);
            }
            vuf_fuse_put(&guest.fuse, done);
        }
        guest_check_control(&guest.dev.conn);
    }
    OK(vuf_set_vring_call(&guest.dev.conn, 1, guest.dev.rings[1].call_fd));
    guest_check_alive(&guest);
}

/* Kicks by something else than an eventfd, and a kick descriptor whose other end goes away. */
static void kick_by_pipe(struct daemon *daemon)
{
    struct guest guest;
    int pipe_fds[2];
    uint32_t base;

    guest_start(&guest, daemon, NULL);
    CHECK(pipe(pipe_fds) == 0);
    OK(vuf_get_vring_base(&guest.dev.conn, 1, &base));
    int event = guest.dev.rings[1].kick_fd;
    guest.dev.rings[1].kick_fd = pipe_fds[0];
    guest_start_ring(&guest, 1);
    guest.dev.rings[1].kick_fd = pipe_fds[1]; /* the library writes eight bytes into it */
    for (int i = 0; i < 20; i++)
        guest_check_ring(&guest, 1);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    sleep_ms(20);
    guest_check_control(&guest.dev.conn);
    OK(vuf_get_vring_base(&guest.dev.conn, 1, &base));
    guest.dev.rings[1].kick_fd = event;
    guest_start_ring(&guest, 1);
    guest_check_alive(&guest);
}

/* Requests before SET_FEATURES, in no order that a VMM would use. */
static void out_of_order(struct daemon *daemon)
{
    struct vuf_conn conn;
    uint32_t base;
    int fd = eventfd(0, 0);

    guest_connect(&conn, daemon);
    OK(vuf_set_protocol_features(&conn, VUF_PF_REPLY_ACK | VUF_PF_STATUS | VUF_PF_RESET_DEVICE));
    CHECK_EQ(vuf_set_vring_enable(&conn, 1, true), -EREMOTEIO);
    CHECK_EQ(vuf_set_vring_num(&conn, 1, 128), -EREMOTEIO);
    OK(vuf_set_vring_kick(&conn, 1, fd));
    OK(vuf_set_vring_call(&conn, 1, fd));
    OK(vuf_get_vring_base(&conn, 1, &base));
    CHECK_EQ(base, 0);
    OK(vuf_reset_device(&conn));
    OK(vuf_set_status(&conn, 0xff));
    OK(vuf_set_features(&conn, VUF_F_VERSION_1 | VUF_F_PROTOCOL_FEATURES));
    OK(vuf_set_vring_enable(&conn, 1, true)); /* a ring without anything: stays silent */
    OK(vuf_set_vring_kick(&conn, 1, fd));
    OK(vuf_set_vring_num(&conn, 1, 128));
    sleep_ms(5);
    guest_check_control(&conn);
}

static const struct guest_options tiny = {.ring_size = 8, .depth = 1};
static const struct guest_options four = {.ring_size = 4, .indirect_max = 4, .depth = 4};
static const struct guest_options one = {.ring_size = 8, .indirect_max = 8, .depth = 8};
static const struct guest_options largest = {.ring_size = 32768, .depth = 64};

static const struct test_case cases[] = {
    {.name = "sizes", .run = sizes},
    {.name = "size-8", .run = works_with_size, .data = &tiny},
    {.name = "size-4-indirect", .run = works_with_size, .data = &four},
    {.name = "size-8-indirect", .run = works_with_size, .data = &one},
    {.name = "size-32768", .run = works_with_size, .data = &largest},
    {.name = "bases", .run = bases},
    {.name = "index-wraps", .run = index_wraps},
    {.name = "addresses", .run = addresses},
    {.name = "straddles-regions", .run = straddles_regions},
    {.name = "while-running", .run = while_running},
    {.name = "enable-disable", .run = enable_disable},
    {.name = "starts-with-kick", .run = starts_with_kick},
    {.name = "stop-and-go", .run = stop_and_go},
    {.name = "stop-with-requests", .run = stop_with_requests},
    {.name = "reset-device", .run = reset_device},
    {.name = "status-zero", .run = status_zero},
    {.name = "reset-owner", .run = reset_owner},
    {.name = "all-queues-leave", .run = all_queues},
    {.name = "all-queues-term", .run = all_queues, .end = END_TERM},
    {.name = "no-protocol-features", .run = no_protocol_features},
    {.name = "stuffed-call-fd", .run = stuffed_call_fd},
    {.name = "kick-by-pipe", .run = kick_by_pipe},
    {.name = "out-of-order", .run = out_of_order},
};

int main(int argc, char **argv)
{
    return case_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
