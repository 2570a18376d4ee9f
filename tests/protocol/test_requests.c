// SPDX-License-Identifier: BSD-3-Clause
/*
 * Every vhost-user request by itself: legal, with the wrong size, with the wrong number of
 * descriptors, before its feature was negotiated, for a queue that does not exist; and the requests
 * that this back-end does not offer.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "guest.h"

#define QUEUES     64
#define MAX_FDS    100
#define NO_FEATURE 0

/* What a well-made request looks like. */
struct row {
    const char *name;
    uint32_t request;
    uint32_t size;    /* payload */
    unsigned fds;     /* descriptors */
    uint64_t feature; /* protocol feature that it needs */
    bool has_index;   /* the payload begins with the number of a queue */
    bool index_byte;  /* of which only the low byte counts */
    bool size_varies; /* any payload up to its maximum may be right */
};

static const struct row rows[] = {
    {"GET_FEATURES", VUF_GET_FEATURES, 0, 0, NO_FEATURE, .has_index = false},
    {"SET_FEATURES", VUF_SET_FEATURES, 8, 0, NO_FEATURE, .has_index = false},
    {"SET_OWNER", VUF_SET_OWNER, 0, 0, NO_FEATURE, .has_index = false},
    {"RESET_OWNER", VUF_RESET_OWNER, 0, 0, NO_FEATURE, .has_index = false},
    {"SET_MEM_TABLE", VUF_SET_MEM_TABLE, 40, 1, NO_FEATURE, .size_varies = true},
    {"SET_VRING_NUM", VUF_SET_VRING_NUM, 8, 0, NO_FEATURE, .has_index = true},
    {"SET_VRING_ADDR", VUF_SET_VRING_ADDR, 40, 0, NO_FEATURE, .has_index = true},
    {"SET_VRING_BASE", VUF_SET_VRING_BASE, 8, 0, NO_FEATURE, .has_index = true},
    {"GET_VRING_BASE", VUF_GET_VRING_BASE, 8, 0, NO_FEATURE, .has_index = true},
    {"SET_VRING_KICK", VUF_SET_VRING_KICK, 8, 1, NO_FEATURE, true, true, false},
    {"SET_VRING_CALL", VUF_SET_VRING_CALL, 8, 1, NO_FEATURE, true, true, false},
    {"SET_VRING_ERR", VUF_SET_VRING_ERR, 8, 1, NO_FEATURE, true, true, false},
    {"GET_PROTOCOL_FEATURES", VUF_GET_PROTOCOL_FEATURES, 0, 0, NO_FEATURE, .has_index = false},
    {"SET_PROTOCOL_FEATURES", VUF_SET_PROTOCOL_FEATURES, 8, 0, NO_FEATURE, .has_index = false},
    {"GET_QUEUE_NUM", VUF_GET_QUEUE_NUM, 0, 0, VUF_PF_MQ, .has_index = false},
    {"SET_VRING_ENABLE", VUF_SET_VRING_ENABLE, 8, 0, NO_FEATURE, .has_index = true},
    {"SET_BACKEND_REQ_FD", VUF_SET_BACKEND_REQ_FD, 0, 1, VUF_PF_BACKEND_REQ, .has_index = false},
    {"GET_CONFIG", VUF_GET_CONFIG, 56, 0, VUF_PF_CONFIG, .size_varies = true},
    {"RESET_DEVICE", VUF_RESET_DEVICE, 0, 0, VUF_PF_RESET_DEVICE, .has_index = false},
    {"GET_MAX_MEM_SLOTS", VUF_GET_MAX_MEM_SLOTS, 0, 0, VUF_PF_CONFIGURE_MEM_SLOTS,
     .has_index = false},
    {"ADD_MEM_REG", VUF_ADD_MEM_REG, 40, 1, VUF_PF_CONFIGURE_MEM_SLOTS, .has_index = false},
    {"REM_MEM_REG", VUF_REM_MEM_REG, 40, 0, VUF_PF_CONFIGURE_MEM_SLOTS, .has_index = false},
    {"SET_STATUS", VUF_SET_STATUS, 8, 0, VUF_PF_STATUS, .has_index = false},
    {"GET_STATUS", VUF_GET_STATUS, 0, 0, VUF_PF_STATUS, .has_index = false},
};

#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

/* A negotiated connection without any ring, with all protocol features but WITHOUT. */
static void negotiate(struct vuf_dev *dev, const struct daemon *daemon, uint64_t without)
{
    struct vuf_dev_options options = {
        .protocol_features = EVERY_PROTOCOL_FEATURE & ~without,
        .timeout_ms = DAEMON_PATIENCE_MS,
    };

    OK(vuf_dev_open(dev, daemon->socket, &options));
    CHECK(dev->conn.ack);
}

/* The payload of a well-made request, as far as this can be told without a context. */
static void make_payload(const struct row *row, const struct vuf_dev *dev, unsigned char *payload)
{
    struct vuf_mem_table table = {
        .n_regions = 1,
        .region = {{.gpa = 0x100000, .size = 0x10000, .uva = 0x7000000}},
    };
    struct vuf_single_region single = {.region = table.region[0]};
    struct vuf_vring_addr addr = {0, 0, 0x7000000, 0x7002000, 0x7001000, 0};
    struct vuf_vring_state state = {.num = row->request == VUF_SET_VRING_NUM ? 16 : 0};
    struct vuf_config_hdr config = {.size = 44};
    uint64_t value = 0;

    memset(payload, 0, VUF_PAYLOAD_MAX);
    switch (row->request) {
    case VUF_SET_FEATURES:
        value = dev->conn.features;
        break;
    case VUF_SET_PROTOCOL_FEATURES:
        value = dev->conn.protocol_features;
        break;
    case VUF_SET_MEM_TABLE:
        memcpy(payload, &table, 40);
        return;
    case VUF_SET_VRING_ADDR:
        memcpy(payload, &addr, sizeof(addr));
        return;
    case VUF_GET_CONFIG:
        memcpy(payload, &config, sizeof(config));
        return;
    case VUF_ADD_MEM_REG:
    case VUF_REM_MEM_REG:
        memcpy(payload, &single, sizeof(single));
        return;
    default:
        if (row->has_index && !row->index_byte) {
            memcpy(payload, &state, sizeof(state));
            return;
        }
    }
    memcpy(payload, &value, sizeof(value));
}

/* Descriptors of the kind that the request wants. */
static void make_fds(const struct row *row, int *fds, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (row->request == VUF_SET_MEM_TABLE || row->request == VUF_ADD_MEM_REG) {
            struct vuf_mem_options options = {.size = 0x10000};
            struct vuf_mem mem;
            OK(vuf_mem_create(&mem, &options));
            fds[i] = dup(mem.fd);
            vuf_mem_destroy(&mem);
        } else if (row->request == VUF_SET_BACKEND_REQ_FD) {
            int pair[2];
            CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
            fds[i] = pair[0];
            close(pair[1]);
        } else {
            fds[i] = eventfd(0, EFD_NONBLOCK);
        }
        CHECK(fds[i] >= 0);
    }
}

static void close_fds(const int *fds, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        close(fds[i]);
}

/* Sends a variation that must be refused; goes on with a new connection when it was closed. */
static void expect_refused(struct vuf_dev *dev, struct daemon *daemon, const struct row *row,
                           const unsigned char *payload, uint32_t size, unsigned fd_count,
                           uint64_t without)
{
    int fds[VUF_FDS_MAX] = {0};

    make_fds(row, fds, fd_count);
    bool goes_on = guest_expect_refusal(&dev->conn, row->request, payload, size, fds, fd_count);
    close_fds(fds, fd_count);
    if (!goes_on) {
        vuf_dev_close(dev);
        negotiate(dev, daemon, without);
    }
}

static const struct row *row_of(uint32_t request)
{
    for (size_t i = 0; i < N_ROWS; i++)
        if (rows[i].request == request)
            return &rows[i];
    FAIL("no row for %u", request);
}

static void wrong_sizes(struct daemon *daemon)
{
    unsigned char payload[VUF_PAYLOAD_MAX];
    struct vuf_dev dev;

    negotiate(&dev, daemon, 0);
    unsigned before = daemon_fd_count(daemon);
    for (size_t i = 0; i < N_ROWS; i++) {
        const struct row *row = &rows[i];
        uint32_t sizes[] = {
            0, 1, row->size - 1, row->size + 1, row->size + 8, 300, VUF_PAYLOAD_MAX};

        make_payload(row, &dev, payload);
        for (size_t j = 0; j < sizeof(sizes) / sizeof(sizes[0]); j++) {
            bool is_right = sizes[j] == row->size || sizes[j] > VUF_PAYLOAD_MAX;
            /* A table has room for regions that its count does not name. */
            bool may_pass = row->size_varies && sizes[j] > row->size && sizes[j] <= 300;

            if (!is_right && !may_pass)
                expect_refused(&dev, daemon, row, payload, sizes[j], row->fds, 0);
        }
    }
    daemon_expect_fds(daemon, before);
}

static void wrong_fd_counts(struct daemon *daemon)
{
    static const unsigned counts[] = {0, 1, 2, 8, 9, 100, 253};
    unsigned char payload[VUF_PAYLOAD_MAX];
    struct vuf_dev dev;

    negotiate(&dev, daemon, 0);
    unsigned before = daemon_fd_count(daemon);
    for (size_t i = 0; i < N_ROWS; i++) {
        const struct row *row = &rows[i];

        make_payload(row, &dev, payload);
        for (size_t j = 0; j < sizeof(counts) / sizeof(counts[0]); j++) {
            /* "The back-end MAY accept messages with one file descriptor." */
            if (counts[j] == row->fds || (row->request == VUF_REM_MEM_REG && counts[j] == 1))
                continue;
            expect_refused(&dev, daemon, row, payload, row->size, counts[j], 0);
        }
    }
    daemon_expect_fds(daemon, before);
}

/* A query must not be answered either when its descriptors are wrong and no answer is asked for. */
static void fds_without_need_reply(struct daemon *daemon)
{
    struct vuf_conn conn;
    struct vuf_hdr hdr = {VUF_SET_OWNER, VUF_VERSION, 0};
    int fds[MAX_FDS];

    guest_connect(&conn, daemon);
    guest_check_control(&conn);
    unsigned before = daemon_fd_count(daemon);
    for (int i = 0; i < MAX_FDS; i++)
        fds[i] = eventfd(0, 0);
    for (int n = 1; n <= MAX_FDS; n += 33) {
        uint64_t features;

        OK(vuf_conn_send(&conn, &hdr, NULL, 0, fds, (size_t)n));
        int r = vuf_get_features(&conn, &features);
        if (r == -ECONNRESET) {
            vuf_conn_close(&conn);
            guest_connect(&conn, daemon);
            guest_check_control(&conn);
        } else {
            OK(r);
        }
    }
    daemon_expect_fds(daemon, before);
}

static void before_its_feature(struct daemon *daemon)
{
    unsigned char payload[VUF_PAYLOAD_MAX];
    struct vuf_dev dev;

    for (size_t i = 0; i < N_ROWS; i++) {
        const struct row *row = &rows[i];

        if (!row->feature)
            continue;
        negotiate(&dev, daemon, row->feature);
        make_payload(row, &dev, payload);
        expect_refused(&dev, daemon, row, payload, row->size, row->fds, row->feature);
        vuf_dev_close(&dev);
    }
}

static void no_such_queue(struct daemon *daemon)
{
    static const uint32_t indices[] = {QUEUES, QUEUES + 1, 128,        255,
                                       256,    65536,      0x80000000, 0xffffffff};
    unsigned char payload[VUF_PAYLOAD_MAX];
    struct vuf_dev dev;

    negotiate(&dev, daemon, 0);
    unsigned before = daemon_fd_count(daemon);
    for (size_t i = 0; i < N_ROWS; i++) {
        for (size_t j = 0; rows[i].has_index && j < sizeof(indices) / sizeof(indices[0]); j++) {
            if (rows[i].index_byte && indices[j] > 255)
                continue;
            make_payload(&rows[i], &dev, payload);
            memcpy(payload, &indices[j], sizeof(indices[j]));
            expect_refused(&dev, daemon, &rows[i], payload, rows[i].size, rows[i].fds, 0);
        }
    }
    daemon_expect_fds(daemon, before);
}

/* A ring descriptor request with NOFD brings none; with bits that mean nothing it is wrong. */
static void ring_descriptor_bits(struct daemon *daemon)
{
    static const uint32_t requests[] = {VUF_SET_VRING_KICK, VUF_SET_VRING_CALL, VUF_SET_VRING_ERR};
    struct vuf_dev dev;

    negotiate(&dev, daemon, 0);
    unsigned before = daemon_fd_count(daemon);
    for (size_t i = 0; i < 3; i++) {
        unsigned char payload[VUF_PAYLOAD_MAX] = {0};
        uint64_t value = 1 | VUF_VRING_NOFD;

        memcpy(payload, &value, sizeof(value));
        /* A ring without kicks would have to be polled: refused. */
        if (requests[i] == VUF_SET_VRING_KICK)
            expect_refused(&dev, daemon, row_of(requests[i]), payload, 8, 0, 0);
        else
            guest_expect_ack(&dev.conn, requests[i], payload, 8, NULL, 0);
        expect_refused(&dev, daemon, row_of(requests[i]), payload, 8, 1, 0);
        expect_refused(&dev, daemon, row_of(requests[i]), payload, 8, 100, 0);
    }
    daemon_expect_fds(daemon, before);
}

/* Requests of other devices, of features that are not offered, and of no document at all. */
static void not_offered(struct daemon *daemon)
{
    static const uint32_t requests[] = {
        0,
        VUF_SET_LOG_FD,
        VUF_SEND_RARP,
        VUF_NET_SET_MTU,
        VUF_IOTLB_MSG,
        VUF_SET_VRING_ENDIAN,
        VUF_CREATE_CRYPTO_SESSION,
        VUF_CLOSE_CRYPTO_SESSION,
        VUF_POSTCOPY_ADVISE,
        VUF_POSTCOPY_LISTEN,
        VUF_POSTCOPY_END,
        VUF_GPU_SET_SOCKET,
        VUF_VRING_KICK,
        VUF_GET_SHARED_OBJECT,
        45,
        46,
        100,
        255,
        256,
        65536,
        0x7fffffff,
        0x80000000,
        0xffffffff,
    };
    static const unsigned char payload[64];
    struct vuf_dev dev;

    negotiate(&dev, daemon, 0);
    unsigned before = daemon_fd_count(daemon);
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        struct row row = {.request = requests[i]};

        expect_refused(&dev, daemon, &row, payload, 0, 0, 0);
        expect_refused(&dev, daemon, &row, payload, 8, 0, 0);
        expect_refused(&dev, daemon, &row, payload, 40, 1, 0);
        expect_refused(&dev, daemon, &row, payload, 64, 8, 0);
    }
    daemon_expect_fds(daemon, before);
}

/* The same without asking for an acknowledgement: ignored or closed, but never answered. */
static void not_offered_silently(struct daemon *daemon)
{
    static const uint32_t requests[] = {0, 19, 20, 26, 28, 45, 4096, 0xffffffff};
    struct vuf_dev dev;

    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        struct vuf_hdr hdr = {requests[i], VUF_VERSION, 8};
        uint64_t payload = 0, features;

        negotiate(&dev, daemon, 0);
        OK(vuf_conn_send(&dev.conn, &hdr, &payload, 8, NULL, 0));
        int r = vuf_get_features(&dev.conn, &features);
        if (r != -ECONNRESET)
            OK(r); /* -EPROTO: an answer to the other request came */
        vuf_dev_close(&dev);
    }
}

static void legal(struct daemon *daemon)
{
    unsigned char payload[VUF_PAYLOAD_MAX];
    struct vuf_conn channel;
    struct vuf_dev dev;
    uint64_t value;
    uint32_t base;
    int fd = -1;

    negotiate(&dev, daemon, 0);
    CHECK_EQ(dev.protocol_offered & EVERY_PROTOCOL_FEATURE, EVERY_PROTOCOL_FEATURE);
    CHECK_EQ(dev.offered & VUF_DEV_FEATURES, VUF_DEV_FEATURES);
    OK(vuf_get_queue_num(&dev.conn, &value));
    CHECK_EQ(value, QUEUES);
    OK(vuf_get_max_mem_slots(&dev.conn, &value));
    CHECK_EQ(value, 509);
    OK(vuf_get_status(&dev.conn, &value));
    CHECK_EQ(value, 0);
    OK(vuf_set_status(&dev.conn, VUF_STATUS_ACKNOWLEDGE | VUF_STATUS_DRIVER));
    OK(vuf_get_status(&dev.conn, &value));
    CHECK_EQ(value, VUF_STATUS_ACKNOWLEDGE | VUF_STATUS_DRIVER);
    OK(vuf_open_backend_channel(&dev.conn, &channel));
    for (size_t i = 0; i < N_ROWS; i++) {
        const struct row *row = &rows[i];
        bool is_query = row->request == VUF_GET_VRING_BASE || row->size == 0;

        if (is_query || row->request == VUF_GET_CONFIG || row->request == VUF_REM_MEM_REG)
            continue;
        /* The table replaces what was added; a slot is added to an empty table. */
        if (row->request == VUF_ADD_MEM_REG)
            OK(vuf_set_mem_table(&dev.conn, NULL, NULL, 0));
        make_payload(row, &dev, payload);
        make_fds(row, &fd, row->fds);
        guest_expect_ack(&dev.conn, row->request, payload, row->size, &fd, row->fds);
        close_fds(&fd, row->fds);
    }
    make_payload(row_of(VUF_REM_MEM_REG), &dev, payload);
    guest_expect_ack(&dev.conn, VUF_REM_MEM_REG, payload, 40, NULL, 0);
    OK(vuf_get_vring_base(&dev.conn, 0, &base));
    CHECK_EQ(base, 0);
    OK(vuf_reset_device(&dev.conn));
    OK(vuf_reset_owner(&dev.conn));
    OK(vuf_set_owner(&dev.conn));
    guest_check_control(&dev.conn);
}

static void feature_bits_not_offered(struct daemon *daemon)
{
    struct vuf_dev dev;

    negotiate(&dev, daemon, 0);
    for (unsigned bit = 0; bit < 64; bit++) {
        uint64_t features = dev.conn.features | 1ULL << bit;
        uint64_t protocol = dev.conn.protocol_features | 1ULL << bit;

        if (!(dev.offered & 1ULL << bit))
            expect_refused(&dev, daemon, row_of(VUF_SET_FEATURES), (unsigned char *)&features, 8, 0,
                           0);
        if (!(dev.protocol_offered & 1ULL << bit))
            expect_refused(&dev, daemon, row_of(VUF_SET_PROTOCOL_FEATURES),
                           (unsigned char *)&protocol, 8, 0, 0);
    }
}

/* What a back-end offers is what it serves. */
static void offers_nothing_else(struct daemon *daemon)
{
    struct vuf_dev dev;

    negotiate(&dev, daemon, 0);
    CHECK_EQ(dev.protocol_offered & ~EVERY_PROTOCOL_FEATURE, 0);
    CHECK_EQ(dev.offered & ~VUF_DEV_FEATURES, 0);
}

static const struct test_case cases[] = {
    {.name = "legal", .run = legal, .words = "--tag=share --request-queues=63"},
    {.name = "wrong-sizes", .run = wrong_sizes, .words = "--persistent", .end = END_TERM},
    {.name = "wrong-fd-counts", .run = wrong_fd_counts, .words = "--persistent", .end = END_TERM},
    {.name = "fds-without-need-reply",
     .run = fds_without_need_reply,
     .words = "--persistent",
     .end = END_TERM},
    {.name = "before-its-feature",
     .run = before_its_feature,
     .words = "--persistent --tag=share",
     .end = END_TERM},
    {.name = "no-such-queue",
     .run = no_such_queue,
     .words = "--persistent --request-queues=63",
     .end = END_TERM},
    {.name = "ring-descriptor-bits",
     .run = ring_descriptor_bits,
     .words = "--persistent",
     .end = END_TERM},
    {.name = "not-offered", .run = not_offered, .words = "--persistent", .end = END_TERM},
    {.name = "not-offered-silently",
     .run = not_offered_silently,
     .words = "--persistent",
     .end = END_TERM},
    {.name = "feature-bits-not-offered",
     .run = feature_bits_not_offered,
     .words = "--persistent",
     .end = END_TERM},
    {.name = "offers-nothing-else",
     .run = offers_nothing_else,
     .words = "--tag=share --request-queues=63"},
};

int main(int argc, char **argv)
{
    return case_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
