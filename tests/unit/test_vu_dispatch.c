// SPDX-License-Identifier: BSD-3-Clause
/* The request table over a socket pair: sizes, descriptors, features, states, pieces, floods. */
#include <dirent.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "device.h"
#include "fake_fuse.h"
#include "test.h"
#include "vu_dispatch.h"
#include "vu_front.h"

#define BASIC (VU_BIT(VIRTIO_F_VERSION_1) | VU_BIT(VU_F_PROTOCOL_FEATURES))

static unsigned open_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    unsigned count = 0;

    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

static void table_is_sound(void)
{
    unsigned rows = 0;

    for (uint32_t request = 0; request < 100; request++) {
        const struct vu_row *row = vu_find_row(request);

        if (!row)
            continue;
        rows++;
        CHECK_EQ(row->request, request);
        CHECK(row->handler && row->name);
        CHECK(row->size_min <= row->size_max && row->size_max <= sizeof(union vu_payload));
        CHECK(row->fds_min <= row->fds_max && row->fds_max <= VU_FDS_MAX);
        /* A handler that is given a queue needs the bytes that name it. */
        if (row->ring != VU_RING_NONE)
            CHECK(row->size_min >= 8);
        if (row->quiesce == VU_QUIESCE_RING)
            CHECK(row->ring != VU_RING_NONE);
    }
    CHECK_EQ(rows, 26);
}

static void what_is_offered(void)
{
    struct front front;
    uint64_t value = 0;

    front_init(&front);
    CHECK_EQ(front_start(&front), 0);
    CHECK_EQ(front_get(&front, VU_GET_FEATURES), 0x170000000);
    CHECK_EQ(front_get(&front, VU_GET_PROTOCOL_FEATURES), 0x1a429);
    CHECK_EQ(front_negotiate(&front, BASIC), 0);
    CHECK_EQ(front_get(&front, VU_GET_QUEUE_NUM), FRONT_QUEUES);
    CHECK_EQ(front_get(&front, VU_GET_MAX_MEM_SLOTS), 509);
    CHECK_EQ(front_get(&front, VU_GET_STATUS), 0);
    value = 0xf;
    CHECK_EQ(front_ask(&front, VU_SET_STATUS, &value, 8, NULL, 0), 0);
    CHECK_EQ(front_get(&front, VU_GET_STATUS), 0xf);
    value = 0x100;
    CHECK(front_ask(&front, VU_SET_STATUS, &value, 8, NULL, 0) > 0);
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
}

static void config_with_tag(void)
{
    struct front front;
    struct vu_config config = {.offset = 0, .size = 44};
    char tag[] = "123456789012345678901234567890123456"; /* all 36 bytes */

    front_init(&front);
    front.settings.tag = tag;
    CHECK_EQ(front_start(&front), 0);
    CHECK_EQ(front_get(&front, VU_GET_PROTOCOL_FEATURES), 0x1a629);
    CHECK_EQ(front_negotiate(&front, BASIC), 0);
    CHECK_EQ(front_send(&front, VU_GET_CONFIG, 0, &config, 12 + 44, NULL, 0), 0);
    CHECK_EQ(front_receive(&front, VU_GET_CONFIG, &config, sizeof(config)), 12 + 44);
    CHECK(memcmp(config.space, tag, 36) == 0);
    CHECK(memcmp(config.space + 36, "\3\0\0\0\0\0\0\0", 8) == 0);

    /* Errors: a reply without payload. */
    config.offset = 250;
    config.size = 10;
    CHECK_EQ(front_send(&front, VU_GET_CONFIG, 0, &config, 12 + 10, NULL, 0), 0);
    CHECK_EQ(front_receive(&front, VU_GET_CONFIG, &config, sizeof(config)), 0);
    config.offset = 0;
    config.size = 11;
    CHECK_EQ(front_send(&front, VU_GET_CONFIG, 0, &config, 12 + 10, NULL, 0), 0);
    CHECK_EQ(front_receive(&front, VU_GET_CONFIG, &config, sizeof(config)), 0);
    CHECK(front_ask(&front, VU_SET_CONFIG, &config, 12 + 11, NULL, 0) > 0);
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
}

/* Protocol features by protocol and tag; MEM_SLOTS and SHMEM never both. */
static void what_a_window_adds(void)
{
    static const struct {
        enum dax_protocol protocol;
        const char *tag;
        int64_t offered;
    } cases[] = {
        {DAX_PROTOCOL_AUTO, "x", 0x452629},  {DAX_PROTOCOL_SHMEM, "x", 0x452629},
        {DAX_PROTOCOL_FS_MAP, "x", 0x1a629}, {DAX_PROTOCOL_AUTO, NULL, 0x1a429},
        {DAX_PROTOCOL_SHMEM, NULL, 0x1a429}, {DAX_PROTOCOL_FS_MAP, NULL, 0x1a429},
    };

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct front front;

        front_init(&front);
        front.settings.tag = (char *)(uintptr_t)cases[i].tag;
        front.settings.dax_window = DAX_RANGE_SIZE;
        front.settings.dax_protocol = cases[i].protocol;
        CHECK_EQ(front_start(&front), 0);
        CHECK_EQ(front_get(&front, VU_GET_PROTOCOL_FEATURES), cases[i].offered);
        CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
    }
}

static void shmem_config(void)
{
    static struct vu_shmem_config config;
    struct front front;
    char tag[] = "x";

    front_init(&front);
    front.settings.tag = tag;
    front.settings.dax_window = UINT64_C(8) << 30;
    CHECK_EQ(front_start(&front), 0);
    CHECK_EQ(front_negotiate(&front, BASIC), 0);
    CHECK_EQ(front_send(&front, VU_GET_SHMEM_CONFIG, 0, NULL, 0, NULL, 0), 0);
    CHECK_EQ(front_receive(&front, VU_GET_SHMEM_CONFIG, &config, sizeof(config)), 2056);
    CHECK_EQ(config.count, 1);
    CHECK_EQ(config.sizes[0], INT64_C(8) << 30);
    for (unsigned i = 1; i < 256; i++)
        CHECK_EQ(config.sizes[i], 0);
    /* With it there are no single regions. */
    CHECK(front_ask(&front, VU_GET_MAX_MEM_SLOTS, NULL, 0, NULL, 0) < 0);
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
}

/* Every row with a wrong size and with a descriptor too many: refused, and nothing leaks. */
static void rows_are_enforced(void)
{
    unsigned before = open_descriptors();
    struct front front;
    uint8_t bytes[sizeof(union vu_payload)] = {0};

    front_init(&front);
    CHECK_EQ(front_start(&front), 0);
    CHECK_EQ(front_negotiate(&front, BASIC), 0);
    for (uint32_t request = 1; request < 50; request++) {
        const struct vu_row *row = vu_find_row(request);
        int fds[VU_FDS_MAX];

        for (unsigned i = 0; i < VU_FDS_MAX; i++)
            fds[i] = front.memory_fd;
        if (row && row->reply == VU_REPLY)
            continue; /* next case */
        uint32_t wrong = row ? row->size_max + 1u : 8;
        if (wrong <= sizeof(bytes))
            CHECK(front_ask(&front, request, bytes, wrong, NULL, 0) > 0);
        if (row && row->size_min)
            CHECK(front_ask(&front, request, bytes, row->size_min - 1u, NULL, 0) > 0);
        unsigned many = row ? row->fds_max + 1u : VU_FDS_MAX;
        if (many <= VU_FDS_MAX)
            CHECK(front_ask(&front, request, bytes, row ? row->size_min : 0, fds, many) > 0);
        if (row && row->fds_min)
            CHECK(front_ask(&front, request, bytes, row->size_min, NULL, 0) > 0);
    }
    CHECK_EQ(front_get(&front, VU_GET_QUEUE_NUM), FRONT_QUEUES);
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
    CHECK_EQ(open_descriptors(), before);
}

/* One illegal message that cannot be acknowledged: the connection is closed. */
static void closes_on(uint32_t request, uint32_t flags, const void *payload, uint32_t size,
                      bool negotiate)
{
    unsigned before = open_descriptors();
    struct front front;

    front_init(&front);
    CHECK_EQ(front_start(&front), 0);
    if (negotiate)
        CHECK_EQ(front_negotiate(&front, BASIC), 0);
    CHECK_EQ(front_send(&front, request, flags, payload, size, NULL, 0), 0);
    CHECK(front_is_closed(&front));
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
    CHECK_EQ(open_descriptors(), before);
}

static void illegal_without_ack_closes(void)
{
    struct vu_vring_state state = {FRONT_QUEUES, 0};
    uint64_t value = UINT64_MAX;
    uint8_t large[4096] = {0};

    closes_on(VU_SET_FEATURES, 0, &value, 8, true);
    closes_on(VU_SET_PROTOCOL_FEATURES, 0, &value, 8, true);
    closes_on(VU_GET_VRING_BASE, VU_FLAG_NEED_REPLY, &state, 8, true);
    closes_on(VU_GET_FEATURES, VU_FLAG_NEED_REPLY, &value, 8, true);
    closes_on(99, 0, NULL, 0, true);
    closes_on(0, 0, NULL, 0, true);
    closes_on(VU_GET_QUEUE_NUM, 0, NULL, 0, false);
    closes_on(VU_GET_SHMEM_CONFIG, 0, NULL, 0, true); /* not negotiated: no window */
    /* need_reply counts only after REPLY_ACK was negotiated. */
    closes_on(VU_SET_FEATURES, VU_FLAG_NEED_REPLY, &value, 8, false);
    closes_on(VU_SET_OWNER, VU_FLAG_REPLY, NULL, 0, true);
    closes_on(VU_SET_OWNER, 2, NULL, 0, true); /* version 3 */
    closes_on(VU_SET_OWNER, VU_FLAG_NEED_REPLY, large, sizeof(large), true);
}

static void features_gate_requests(void)
{
    struct front front;
    struct vu_vring_state state = {1, 1};
    uint64_t reply_ack = VU_BIT(VU_PROTOCOL_F_REPLY_ACK);
    struct vu_single_region region = {.region = {FRONT_GUEST_BASE, 4096, FRONT_USER_BASE, 0}};

    front_init(&front);
    CHECK_EQ(front_start(&front), 0);
    CHECK_EQ(front_send(&front, VU_SET_PROTOCOL_FEATURES, 0, &reply_ack, 8, NULL, 0), 0);
    CHECK(front_ask(&front, VU_SET_VRING_NUM, &state, 8, NULL, 0) > 0); /* no features yet */
    CHECK(front_ask(&front, VU_SET_VRING_ENABLE, &state, 8, NULL, 0) > 0);
    CHECK(front_ask(&front, VU_ADD_MEM_REG, &region, sizeof(region), &front.memory_fd, 1) > 0);
    CHECK(front_ask(&front, VU_RESET_DEVICE, NULL, 0, NULL, 0) > 0);
    CHECK(front_ask(&front, VU_SET_BACKEND_REQ_FD, NULL, 0, &front.memory_fd, 1) > 0);
    CHECK_EQ(front_negotiate(&front, BASIC), 0);
    CHECK_EQ(front_ask(&front, VU_ADD_MEM_REG, &region, sizeof(region), &front.memory_fd, 1), 0);
    CHECK(front_ask(&front, VU_ADD_MEM_REG, &region, sizeof(region), &front.memory_fd, 1) > 0);
    CHECK_EQ(front_ask(&front, VU_REM_MEM_REG, &region, sizeof(region), &front.memory_fd, 1), 0);
    CHECK(front_ask(&front, VU_REM_MEM_REG, &region, sizeof(region), NULL, 0) > 0);
    /* No socket, then one, then another. */
    CHECK(front_ask(&front, VU_SET_BACKEND_REQ_FD, NULL, 0, &front.memory_fd, 1) > 0);
    CHECK_EQ(front_ask(&front, VU_SET_BACKEND_REQ_FD, NULL, 0, &front.socket_fd, 1), 0);
    CHECK_EQ(front_ask(&front, VU_SET_BACKEND_REQ_FD, NULL, 0, &front.socket_fd, 1), 0);
    /* That copy of our own end keeps the connection open: leave by shutdown. */
    CHECK_EQ(shutdown(front.socket_fd, SHUT_RDWR), 0);
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
}

static void ring_values_are_checked(void)
{
    static const uint32_t bad_sizes[] = {0, 3, 65536, 32769, UINT32_MAX};
    struct front front;
    struct vu_vring_addr addr = {
        1, 0, FRONT_USER_BASE, FRONT_USER_BASE + 0x2000, FRONT_USER_BASE + 0x1000, 0};
    uint64_t u64 = 1;

    front_init(&front);
    CHECK_EQ(front_start(&front), 0);
    CHECK_EQ(front_negotiate(&front, BASIC), 0);
    CHECK_EQ(front_set_memory(&front), 0);
    for (unsigned i = 0; i < sizeof(bad_sizes) / sizeof(bad_sizes[0]); i++) {
        struct vu_vring_state state = {1, bad_sizes[i]};
        CHECK(front_ask(&front, VU_SET_VRING_NUM, &state, 8, NULL, 0) > 0);
    }
    struct vu_vring_state state = {1, 64};
    CHECK_EQ(front_ask(&front, VU_SET_VRING_NUM, &state, 8, NULL, 0), 0);
    state.num = 65536;
    CHECK(front_ask(&front, VU_SET_VRING_BASE, &state, 8, NULL, 0) > 0);
    state.num = 2;
    CHECK(front_ask(&front, VU_SET_VRING_ENABLE, &state, 8, NULL, 0) > 0);
    state.index = FRONT_QUEUES;
    CHECK(front_ask(&front, VU_SET_VRING_ENABLE, &state, 8, NULL, 0) > 0);

    CHECK_EQ(front_ask(&front, VU_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0), 0);
    addr.flags = 1;
    CHECK(front_ask(&front, VU_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0) > 0);
    addr.flags = 0;
    addr.used = FRONT_USER_BASE + FRONT_MEMORY_SIZE - 8;
    CHECK(front_ask(&front, VU_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0) > 0);
    addr.used = 0;
    CHECK(front_ask(&front, VU_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0) > 0);
    addr.used = FRONT_USER_BASE + 0x2002;
    CHECK(front_ask(&front, VU_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0) > 0);

    /* Descriptors that do and do not come. */
    int kick = front.queues[1].kick_fd;
    CHECK(front_ask(&front, VU_SET_VRING_CALL, &u64, 8, NULL, 0) > 0);
    u64 = 1 | VU_VRING_NOFD;
    CHECK(front_ask(&front, VU_SET_VRING_CALL, &u64, 8, &kick, 1) > 0);
    CHECK_EQ(front_ask(&front, VU_SET_VRING_CALL, &u64, 8, NULL, 0), 0);
    CHECK_EQ(front_ask(&front, VU_SET_VRING_ERR, &u64, 8, NULL, 0), 0);
    CHECK(front_ask(&front, VU_SET_VRING_KICK, &u64, 8, NULL, 0) > 0);
    u64 = 1 | 0x200;
    CHECK(front_ask(&front, VU_SET_VRING_KICK, &u64, 8, &kick, 1) > 0);
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
}

static void running_rings_are_protected(void)
{
    struct front front;
    struct vu_vring_state state = {1, 32};
    struct vu_vring_addr addr = {
        1, 0, FRONT_USER_BASE + 0x4000, FRONT_USER_BASE + 0x6000, FRONT_USER_BASE + 0x5000, 0};
    uint64_t features = VU_BIT(VU_F_PROTOCOL_FEATURES);

    front_init(&front);
    CHECK_EQ(front_start(&front), 0);
    CHECK_EQ(front_negotiate(&front, BASIC), 0);
    CHECK_EQ(front_set_memory(&front), 0);
    CHECK_EQ(front_start_ring(&front, 1), 0);
    CHECK(front_ask(&front, VU_SET_VRING_NUM, &state, 8, NULL, 0) > 0);
    CHECK(front_ask(&front, VU_SET_VRING_BASE, &state, 8, NULL, 0) > 0);
    CHECK(front_ask(&front, VU_SET_FEATURES, &features, 8, NULL, 0) > 0);
    CHECK_EQ(front_ask(&front, VU_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0), 0);
    addr.available += 0x100;
    CHECK(front_ask(&front, VU_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0) > 0);
    features = BASIC;
    CHECK_EQ(front_ask(&front, VU_SET_FEATURES, &features, 8, NULL, 0), 0);
    CHECK_EQ(front_stop_ring(&front, 1), 0);
    CHECK_EQ(front_ask(&front, VU_SET_VRING_NUM, &state, 8, NULL, 0), 0);
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
}

/* Without VHOST_USER_F_PROTOCOL_FEATURES a ring is enabled from the start. */
static void old_front_end(void)
{
    struct front front;
    uint64_t features = VU_BIT(VIRTIO_F_VERSION_1);
    struct vu_vring_state state = {1, FRONT_RING_SIZE};
    struct vu_vring_addr addr = {
        1, 0, FRONT_USER_BASE + 0x4000, FRONT_USER_BASE + 0x6000, FRONT_USER_BASE + 0x5000, 0};
    struct vu_memory_table table = {
        .count = 1, .regions[0] = {FRONT_GUEST_BASE, FRONT_MEMORY_SIZE, FRONT_USER_BASE, 0}};
    uint64_t u64 = 1;

    front_init(&front);
    CHECK_EQ(front_start(&front), 0);
    CHECK_EQ(front_send(&front, VU_SET_OWNER, 0, NULL, 0, NULL, 0), 0);
    CHECK_EQ(front_send(&front, VU_SET_FEATURES, 0, &features, 8, NULL, 0), 0);
    CHECK_EQ(front_send(&front, VU_SET_MEM_TABLE, 0, &table, 40, &front.memory_fd, 1), 0);
    CHECK_EQ(front_send(&front, VU_SET_VRING_NUM, 0, &state, 8, NULL, 0), 0);
    CHECK_EQ(front_send(&front, VU_SET_VRING_ADDR, 0, &addr, sizeof(addr), NULL, 0), 0);
    CHECK_EQ(front_send(&front, VU_SET_VRING_KICK, 0, &u64, 8, &front.queues[1].kick_fd, 1), 0);
    front_request(&front, 1, 0, FAKE_ECHO, 0, 64);
    front_kick(&front, 1);
    CHECK_EQ(front_used(&front, 1, NULL), 56);
    CHECK_EQ(front_stop_ring(&front, 1), 1);
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
}

/* Byte by byte, and two at once. */
static void messages_in_pieces(void)
{
    struct front front;
    struct vu_header header = {VU_SET_STATUS, VU_VERSION | VU_FLAG_NEED_REPLY, 8};
    uint8_t bytes[2 * (12 + 8)];
    uint64_t status = 3, ack = 9;

    front_init(&front);
    CHECK_EQ(front_start(&front), 0);
    CHECK_EQ(front_negotiate(&front, BASIC), 0);
    memcpy(bytes, &header, 12);
    memcpy(bytes + 12, &status, 8);
    for (unsigned i = 0; i < 20; i++) {
        CHECK_EQ(write(front.socket_fd, bytes + i, 1), 1);
        usleep(500);
    }
    CHECK_EQ(front_receive(&front, VU_SET_STATUS, &ack, 8), 8);
    CHECK_EQ(ack, 0);
    memcpy(bytes + 20, bytes, 20);
    CHECK_EQ(write(front.socket_fd, bytes, 40), 40);
    CHECK_EQ(front_receive(&front, VU_SET_STATUS, &ack, 8), 8);
    CHECK_EQ(front_receive(&front, VU_SET_STATUS, &ack, 8), 8);
    CHECK_EQ(front_get(&front, VU_GET_STATUS), 3);
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
}

static void leaves_inside_a_message(void)
{
    struct front front;

    front_init(&front);
    CHECK_EQ(front_start(&front), 0);
    CHECK_EQ(write(front.socket_fd, "\1\0\0\0\1\0\0\0\10\0\0\0zz", 14), 14);
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
}

static void flood_of_descriptors(void)
{
    unsigned before = open_descriptors();
    struct front front;
    int fds[100];
    uint64_t status = 0;

    front_init(&front);
    for (unsigned i = 0; i < 100; i++)
        fds[i] = front.memory_fd;
    CHECK_EQ(front_start(&front), 0);
    CHECK_EQ(front_negotiate(&front, BASIC), 0);
    CHECK_EQ(front_send(&front, VU_SET_STATUS, VU_FLAG_NEED_REPLY, &status, 8, fds, 100), 0);
    CHECK(front_is_closed(&front));
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
    CHECK_EQ(open_descriptors(), before);
}

/* Descriptors with each of two pieces add up. */
static void flood_in_pieces(void)
{
    unsigned before = open_descriptors();
    struct front front;
    struct vu_header header = {VU_SET_STATUS, VU_VERSION, 40};
    int fds[8];

    front_init(&front);
    for (unsigned i = 0; i < 8; i++)
        fds[i] = front.memory_fd;
    CHECK_EQ(front_start(&front), 0);
    CHECK_EQ(front_negotiate(&front, BASIC), 0);
    CHECK_EQ(write(front.socket_fd, &header, sizeof(header)), sizeof(header));
    for (unsigned i = 0; i < 2; i++)
        (void)front_send(&front, 0, 0, NULL, 0, fds, 8);
    CHECK(front_is_closed(&front));
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
    CHECK_EQ(open_descriptors(), before);
}

static void bad_memory_tables(void)
{
    struct front front;
    struct vu_memory_table table = {
        .count = 2,
        .regions = {{0, 4096, 0, 0}, {4096, 4096, 4096, 4096}},
    };
    int fds[8];

    front_init(&front);
    for (unsigned i = 0; i < 8; i++)
        fds[i] = front.memory_fd;
    CHECK_EQ(front_start(&front), 0);
    CHECK_EQ(front_negotiate(&front, BASIC), 0);
    CHECK_EQ(front_ask(&front, VU_SET_MEM_TABLE, &table, 8 + 64, fds, 2), 0);
    CHECK(front_ask(&front, VU_SET_MEM_TABLE, &table, 8 + 64, fds, 1) > 0);
    CHECK(front_ask(&front, VU_SET_MEM_TABLE, &table, 8 + 64, fds, 3) > 0);
    CHECK(front_ask(&front, VU_SET_MEM_TABLE, &table, 8 + 63, fds, 2) > 0);
    table.count = 9;
    CHECK(front_ask(&front, VU_SET_MEM_TABLE, &table, sizeof(table), fds, 8) > 0);
    table.count = 2;
    table.regions[1].guest_address = 4095;
    CHECK(front_ask(&front, VU_SET_MEM_TABLE, &table, 8 + 64, fds, 2) > 0);
    /* Not a file that can be mapped. */
    table.regions[1].guest_address = 4096;
    fds[1] = front.stop_fd;
    CHECK(front_ask(&front, VU_SET_MEM_TABLE, &table, 8 + 64, fds, 2) > 0);
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
}

int main(void)
{
    RUN(table_is_sound);
    RUN(what_is_offered);
    RUN(config_with_tag);
    RUN(what_a_window_adds);
    RUN(shmem_config);
    RUN(rows_are_enforced);
    RUN(illegal_without_ack_closes);
    RUN(features_gate_requests);
    RUN(ring_values_are_checked);
    RUN(running_rings_are_protected);
    RUN(old_front_end);
    RUN(messages_in_pieces);
    RUN(leaves_inside_a_message);
    RUN(flood_of_descriptors);
    RUN(flood_in_pieces);
    RUN(bad_memory_tables);
    return test_result();
}
