// SPDX-License-Identifier: BSD-3-Clause
/*
 * The socket as a stream of bytes: messages in pieces and in bunches, headers that lie, silence in
 * the middle, front-ends that leave or do not read.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "guest.h"

static const struct vuf_hdr get_features = {VUF_GET_FEATURES, VUF_VERSION, 0};

static void expect_features(struct vuf_conn *conn)
{
    struct vuf_msg reply;

    OK(vuf_conn_recv(conn, &reply));
    CHECK_EQ(reply.hdr.request, VUF_GET_FEATURES);
    CHECK_EQ(reply.hdr.size, 8);
}

static void send_slowly(struct vuf_conn *conn, const void *bytes, size_t size, size_t fd_at, int fd)
{
    for (size_t i = 0; i < size; i++)
        OK(vuf_conn_send_raw(conn, (const char *)bytes + i, 1, &fd, i == fd_at && fd >= 0));
}

static void byte_by_byte(struct daemon *daemon)
{
    struct vuf_dev dev;
    struct {
        struct vuf_hdr hdr;
        uint32_t payload[2];
    } __attribute__((packed))
    num = {{VUF_SET_VRING_NUM, VUF_VERSION | VUF_FLAG_NEED_REPLY, 8}, {0, 256}};
    struct vuf_msg reply;

    OK(vuf_dev_open(&dev, daemon->socket, NULL));
    for (int i = 0; i < 20; i++) {
        send_slowly(&dev.conn, &get_features, sizeof(get_features), 0, -1);
        expect_features(&dev.conn);
    }
    send_slowly(&dev.conn, &num, sizeof(num), 0, -1);
    OK(vuf_conn_recv(&dev.conn, &reply));
    CHECK_EQ(reply.hdr.request, VUF_SET_VRING_NUM);
    CHECK_EQ(reply.payload[0], 0);
}

/* With its descriptor on any of the bytes. */
static void descriptor_on_any_byte(struct daemon *daemon)
{
    struct {
        struct vuf_hdr hdr;
        uint64_t payload;
    } __attribute__((packed))
    call = {{VUF_SET_VRING_CALL, VUF_VERSION | VUF_FLAG_NEED_REPLY, 8}, 0};
    struct vuf_dev dev;
    struct vuf_msg reply;
    int fd = eventfd(0, 0);

    OK(vuf_dev_open(&dev, daemon->socket, NULL));
    unsigned before = daemon_fd_count(daemon);
    for (size_t at = 0; at < sizeof(call); at++) {
        send_slowly(&dev.conn, &call, sizeof(call), at, fd);
        OK(vuf_conn_recv(&dev.conn, &reply));
        CHECK_EQ(reply.payload[0], 0);
        daemon_expect_fds(daemon, before + 1);
    }
}

static void many_in_one_write(struct daemon *daemon)
{
    struct vuf_hdr bunch[200];
    struct vuf_conn conn;

    guest_connect(&conn, daemon);
    for (int i = 0; i < 200; i++)
        bunch[i] = get_features;
    OK(vuf_conn_send_raw(&conn, bunch, sizeof(bunch), NULL, 0));
    for (int i = 0; i < 200; i++)
        expect_features(&conn);
}

/* Payload lengths that no request has: refused or closed at once, without waiting for the bytes. */
static void lying_sizes(struct daemon *daemon)
{
    static const uint32_t sizes[] = {0x1000,     0x10000,    0x7fffffff, 0x80000000,
                                     0xfffffff0, 0xfffffff4, 0xffffffff};
    static const uint32_t requests[] = {VUF_GET_FEATURES, VUF_SET_MEM_TABLE, VUF_GET_CONFIG, 4711};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (size_t j = 0; j < sizeof(requests) / sizeof(requests[0]); j++) {
            struct vuf_hdr hdr = {requests[j], VUF_VERSION, sizes[i]};
            struct vuf_conn conn;

            guest_connect(&conn, daemon);
            guest_check_control(&conn);
            OK(vuf_conn_send_raw(&conn, &hdr, sizeof(hdr), NULL, 0));
            guest_expect_close(&conn);
            vuf_conn_close(&conn);
        }
    }
}

static void wrong_flags(struct daemon *daemon)
{
    static const uint32_t flags[] = {
        0, 2, 3, VUF_VERSION | VUF_FLAG_REPLY, VUF_FLAG_NEED_REPLY, 0xfffffffe};

    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        struct vuf_hdr hdr = {VUF_GET_FEATURES, flags[i], 0};
        struct vuf_conn conn;

        guest_connect(&conn, daemon);
        guest_check_control(&conn);
        OK(vuf_conn_send_raw(&conn, &hdr, sizeof(hdr), NULL, 0));
        guest_expect_close(&conn);
        vuf_conn_close(&conn);
    }
}

/* The case ends with SIGTERM (or by leaving) while half of something is on its way. */
static void half_a_header(struct daemon *daemon)
{
    struct vuf_conn conn;

    guest_connect(&conn, daemon);
    guest_check_control(&conn);
    OK(vuf_conn_send_raw(&conn, &get_features, 5, NULL, 0));
    sleep_ms(20);
}

static void half_a_payload(struct daemon *daemon)
{
    struct vuf_hdr hdr = {VUF_SET_MEM_TABLE, VUF_VERSION, 40};
    struct guest guest;

    guest_start(&guest, daemon, NULL);
    OK(vuf_conn_send_raw(&guest.dev.conn, &hdr, sizeof(hdr), &guest.dev.mem.fd, 1));
    OK(vuf_conn_send_raw(&guest.dev.conn, &hdr, 7, NULL, 0));
    sleep_ms(20);
    /* The queues do not wait for the control channel. */
    guest_check_ring(&guest, 1);
}

static void silence(struct daemon *daemon)
{
    struct vuf_conn conn;

    guest_connect(&conn, daemon);
    sleep_ms(50);
}

static void nobody_comes(struct daemon *daemon)
{
    (void)daemon;
}

/* Fills the socket with queries and never reads a reply. */
static void stuff_socket(struct vuf_conn *conn)
{
    struct vuf_hdr bunch[64];

    for (int i = 0; i < 64; i++)
        bunch[i] = get_features;
    conn->timeout_ms = 300;
    for (int i = 0; i < 10000; i++) {
        int r = vuf_conn_send_raw(conn, bunch, sizeof(bunch), NULL, 0);
        if (r == -ETIMEDOUT)
            return;
        OK(r);
    }
    FAIL("the daemon swallows any number of requests without anybody reading its replies");
}

static void never_reads(struct daemon *daemon)
{
    struct guest guest;

    guest_start(&guest, daemon, NULL);
    stuff_socket(&guest.dev.conn);
    guest.dev.conn.timeout_ms = DAEMON_PATIENCE_MS;
    guest_check_ring(&guest, 1);
}

/* A queue full of requests that take their time, and nobody to hear the answers. */
static void submit_many(struct guest *guest)
{
    uint64_t fh, node = guest_create(guest, ROOT_ID, "big", &fh);

    for (unsigned ring = 1; ring < guest->dev.n_rings; ring++) {
        struct vuf_fuse_req *req;

        for (unsigned i = 0; (req = vuf_fuse_get(&guest->fuse, ring)); i++) {
            struct vuf_write_in in = {.fh = fh, .offset = i * 65536, .size = 65536};
            struct vuf_fsync_in fsync = {.fh = fh};

            if (i % 4 == 3) {
                memcpy(vuf_fuse_args(req), &fsync, sizeof(fsync));
                OK(vuf_fuse_submit(&guest->fuse, req, VUF_OP_FSYNC, node, sizeof(fsync), 0));
            } else {
                memcpy(vuf_fuse_args(req), &in, sizeof(in));
                OK(vuf_fuse_submit(&guest->fuse, req, VUF_OP_WRITE, node, sizeof(in) + 65536,
                                   sizeof(struct vuf_write_out)));
            }
        }
        vuf_fuse_kick(&guest->fuse, ring);
    }
}

static const struct guest_options busy_options = {.rings = 5, .depth = 32, .ring_size = 256};

static void leaves_mid_request(struct daemon *daemon)
{
    struct guest guest;

    guest_start(&guest, daemon, &busy_options);
    submit_many(&guest);
}

/* The same, over and over, with a daemon that listens again. */
static void leaves_mid_request_often(struct daemon *daemon)
{
    unsigned fds = 0;

    for (int i = 0; i < 20; i++) {
        struct guest guest;

        guest_start(&guest, daemon, &busy_options);
        if (i == 0)
            fds = daemon_fd_count(daemon);
        daemon_expect_fds(daemon, fds);
        submit_many(&guest);
        vuf_fuse_close(&guest.fuse);
        vuf_dev_close(&guest.dev);
    }
}

/* SIGTERM: "everything taken is answered". */
static void term_mid_request(struct daemon *daemon)
{
    struct guest guest;

    guest_start(&guest, daemon, &busy_options);
    submit_many(&guest);
    daemon_terminate(daemon);
    for (unsigned ring = 1; ring < guest.dev.n_rings; ring++) {
        struct vuf_fuse_req *req;
        int r;

        while ((r = vuf_fuse_reap(&guest.fuse, ring, &req)) == 1) {
            if (req->bad)
                FAIL("ring %u: %s", ring, req->bad);
            CHECK_EQ(req->error, 0);
        }
        CHECK_EQ(r, 0);
    }
}

static void half_closed(struct daemon *daemon)
{
    struct guest guest;

    guest_start(&guest, daemon, NULL);
    CHECK(shutdown(guest.dev.conn.fd, SHUT_WR) == 0);
    daemon_expect_exit(daemon);
}

static void deaf(struct daemon *daemon)
{
    struct guest guest;
    uint64_t features;

    guest_start(&guest, daemon, NULL);
    CHECK(shutdown(guest.dev.conn.fd, SHUT_RD) == 0);
    vuf_get_features(&guest.dev.conn, &features);
    daemon_expect_exit(daemon);
}

/* Any bytes at all, with and without descriptors. */
static void garbage(struct daemon *daemon)
{
    unsigned char bytes[2048];
    int fds[20];

    srand(20240229);
    for (size_t i = 0; i < 20; i++)
        fds[i] = eventfd(0, 0);
    unsigned start = 0;
    for (int round = 0; round < 300; round++) {
        struct vuf_conn conn;
        size_t size = 1 + (size_t)rand() % sizeof(bytes);

        guest_connect(&conn, daemon);
        guest_check_control(&conn);
        if (!start)
            start = daemon_fd_count(daemon);
        for (size_t i = 0; i < size; i++)
            bytes[i] = (unsigned char)rand();
        if (round % 2) {
            /* A header that is nearly right, so that more of the code is reached. */
            struct vuf_hdr hdr = {(uint32_t)rand() % 48, VUF_VERSION | (rand() % 2 ? 8u : 0u),
                                  (uint32_t)rand() % 300};
            memcpy(bytes, &hdr, sizeof(hdr) < size ? sizeof(hdr) : size);
        }
        int r = vuf_conn_send_raw(&conn, bytes, size, fds, (size_t)rand() % 20);
        if (r < 0 && r != -ECONNRESET)
            OK(r);
        vuf_conn_close(&conn);
    }
    struct vuf_conn conn;
    guest_connect(&conn, daemon);
    guest_check_control(&conn);
    daemon_expect_fds(daemon, start);
}

/* Descriptors of the wrong kind, where a descriptor is right. */
static void strange_descriptors(struct daemon *daemon)
{
    static const uint32_t requests[] = {VUF_SET_VRING_KICK, VUF_SET_VRING_CALL, VUF_SET_VRING_ERR,
                                        VUF_SET_BACKEND_REQ_FD, VUF_ADD_MEM_REG};
    struct vuf_single_region region = {.region = {0x100000, 0x1000, 0x700000, 0}};
    int pipe_fds[2], pair[2];

    CHECK(pipe(pipe_fds) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    for (int kind = 0; kind < 8; kind++) {
        for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
            struct vuf_dev_options options = {.protocol_features = EVERY_PROTOCOL_FEATURE};
            struct vuf_dev dev;

            OK(vuf_dev_open(&dev, daemon->socket, &options));
            int fds[] = {open("/dev/null", O_RDWR),
                         open("/", O_RDONLY),
                         open("/etc/passwd", O_PATH),
                         open("/etc/passwd", O_RDONLY),
                         pipe_fds[0],
                         pipe_fds[1],
                         pair[0],
                         epoll_create1(0)};
            struct vuf_hdr hdr = {requests[i], VUF_VERSION | VUF_FLAG_NEED_REPLY, 8};
            struct vuf_msg reply;
            uint64_t zero = 0;
            int r;

            if (requests[i] == VUF_SET_BACKEND_REQ_FD)
                hdr.size = 0;
            if (requests[i] == VUF_ADD_MEM_REG) {
                hdr.size = sizeof(region);
                r = vuf_conn_send(&dev.conn, &hdr, &region, sizeof(region), &fds[kind], 1);
            } else {
                r = vuf_conn_send(&dev.conn, &hdr, &zero, hdr.size, &fds[kind], 1);
            }
            OK(r);
            r = vuf_conn_recv(&dev.conn, &reply); /* either answer will do */
            if (r == 0)
                guest_check_control(&dev.conn);
            else
                CHECK_EQ(r, -ECONNRESET);
            for (int j = 0; j < 8; j++)
                if (j < 4 || j == 7)
                    close(fds[j]);
            vuf_dev_close(&dev);
        }
    }
}

/* The connection's own other end: as long as the daemon holds it, it cannot see us leave. */
static void own_socket(struct daemon *daemon)
{
    struct vuf_dev_options options = {.protocol_features = EVERY_PROTOCOL_FEATURE};
    struct vuf_dev dev;

    OK(vuf_dev_open(&dev, daemon->socket, &options));
    for (uint32_t ring = 0; ring < 2; ring++) {
        int r = vuf_set_vring_kick(&dev.conn, ring, dev.conn.fd);
        if (r != -EREMOTEIO)
            OK(r);
        r = vuf_set_vring_call(&dev.conn, ring, dev.conn.fd);
        if (r != -EREMOTEIO)
            OK(r);
    }
    int r = vuf_set_backend_req_fd(&dev.conn, dev.conn.fd);
    if (r != -EREMOTEIO)
        OK(r);
    guest_check_control(&dev.conn);
    vuf_dev_close(&dev);
    sleep_ms(20);
}

static const struct test_case cases[] = {
    {.name = "own-socket", .run = own_socket, .end = END_TERM},
    {.name = "byte-by-byte", .run = byte_by_byte},
    {.name = "descriptor-on-any-byte", .run = descriptor_on_any_byte},
    {.name = "many-in-one-write", .run = many_in_one_write},
    {.name = "lying-sizes", .run = lying_sizes, .words = "--persistent", .end = END_TERM},
    {.name = "wrong-flags", .run = wrong_flags, .words = "--persistent", .end = END_TERM},
    {.name = "half-a-header-term", .run = half_a_header, .end = END_TERM},
    {.name = "half-a-header-leave", .run = half_a_header},
    {.name = "half-a-payload-term", .run = half_a_payload, .end = END_TERM},
    {.name = "half-a-payload-leave", .run = half_a_payload},
    {.name = "silence-term", .run = silence, .end = END_TERM},
    {.name = "silence-leave", .run = silence},
    {.name = "nobody-comes-term", .run = nobody_comes, .end = END_TERM},
    {.name = "never-reads-term", .run = never_reads, .end = END_TERM},
    {.name = "never-reads-leave", .run = never_reads},
    {.name = "leaves-mid-request", .run = leaves_mid_request},
    {.name = "leaves-mid-request-often",
     .run = leaves_mid_request_often,
     .words = "--persistent",
     .end = END_TERM},
    {.name = "term-mid-request", .run = term_mid_request, .end = END_SELF},
    {.name = "half-closed", .run = half_closed, .end = END_SELF},
    {.name = "deaf", .run = deaf, .end = END_SELF},
    {.name = "garbage", .run = garbage, .words = "--persistent --log-level=off", .end = END_TERM},
    {.name = "strange-descriptors",
     .run = strange_descriptors,
     .words = "--persistent",
     .end = END_TERM},
};

int main(int argc, char **argv)
{
    return case_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
