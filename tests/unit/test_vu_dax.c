// SPDX-License-Identifier: BSD-3-Clause
/*
 * The DAX window through the socket: which front-ends have one, what they are asked, where in the
 * guest it is found to be, and what happens when rings stop while a mapping is under way.
 */
#include <errno.h>
#include <linux/virtio_config.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "device.h"
#include "fake_fuse.h"
#include "test.h"
#include "vu_front.h"

#define FEATURES    (VU_BIT(VIRTIO_F_VERSION_1) | VU_BIT(VU_F_PROTOCOL_FEATURES))
#define WINDOW      (UINT64_C(4) << 20)
#define WINDOW_BASE UINT64_C(0x7000000000)
#define PAGE        4096
#define PATIENCE_MS 5000
#define ANY_FEATURE UINT64_MAX

static char tag[] = "dax";
static int channel; /* the front-end's end of the back-end channel */
static int file;    /* what is mapped */

static void begin(struct front *front)
{
    fake_clear();
    fake_window = mmap(NULL, WINDOW, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    file = memfd_create("file", MFD_CLOEXEC);
    if (fake_window == MAP_FAILED || ftruncate(file, WINDOW) < 0)
        abort();
    front_init(front);
    front->settings.dax_window = WINDOW;
    front->settings.tag = tag;
}

static void end(void)
{
    munmap(fake_window, WINDOW);
    fake_window = NULL;
    close(file);
    close(channel);
}

/* Negotiates the protocol features that are in mask, too, and memory. Returns 0 or negative. */
static int negotiate(struct front *front, uint64_t mask)
{
    uint64_t features = FEATURES;
    int64_t offered;

    if (front_start(front) < 0 || (offered = front_get(front, VU_GET_PROTOCOL_FEATURES)) < 0)
        return -1;
    uint64_t protocol = (uint64_t)offered & mask;
    if (front_send(front, VU_SET_PROTOCOL_FEATURES, 0, &protocol, 8, NULL, 0) < 0 ||
        front_send(front, VU_SET_FEATURES, 0, &features, 8, NULL, 0) < 0)
        return -1;
    return 0;
}

static int give_channel(struct front *front)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return -1;
    channel = pair[0];
    int rc = front_send(front, VU_SET_BACKEND_REQ_FD, 0, NULL, 0, &pair[1], 1);
    close(pair[1]);
    return rc;
}

static int ask_config(struct front *front)
{
    static struct vu_shmem_config config;

    if (front_send(front, VU_GET_SHMEM_CONFIG, 0, NULL, 0, NULL, 0) < 0 ||
        front_receive(front, VU_GET_SHMEM_CONFIG, &config, sizeof(config)) != sizeof(config))
        return -1;
    return config.count == 1 && config.sizes[0] == WINDOW ? 0 : -1;
}

static int send_memory(struct front *front)
{
    struct vu_memory_table table = {
        .count = 1,
        .regions[0] = {FRONT_GUEST_BASE, FRONT_MEMORY_SIZE, FRONT_USER_BASE, 0},
    };

    return front_send(front, VU_SET_MEM_TABLE, 0, &table, 8 + 32, &front->memory_fd, 1);
}

/* Sets up a ring without acknowledgements. Only a reply tells when all is done. */
static int start_ring_at(struct front *front, unsigned index, uint16_t avail_base)
{
    struct front_queue *queue = &front->queues[index];
    struct vu_vring_state num = {index, FRONT_RING_SIZE}, base = {index, avail_base};
    struct vu_vring_state enable = {index, 1};
    uint64_t area = FRONT_USER_BASE + index * FRONT_RING_STRIDE;
    struct vu_vring_addr addr = {
        .index = index, .descriptor = area, .available = area + 0x1000, .used = area + 0x2000};
    uint64_t u64 = index;

    if (front_send(front, VU_SET_VRING_NUM, 0, &num, sizeof(num), NULL, 0) ||
        front_send(front, VU_SET_VRING_BASE, 0, &base, sizeof(base), NULL, 0) ||
        front_send(front, VU_SET_VRING_ADDR, 0, &addr, sizeof(addr), NULL, 0) ||
        front_send(front, VU_SET_VRING_CALL, 0, &u64, 8, &queue->call_fd, 1) ||
        front_send(front, VU_SET_VRING_KICK, 0, &u64, 8, &queue->kick_fd, 1) ||
        front_send(front, VU_SET_VRING_ENABLE, 0, &enable, sizeof(enable), NULL, 0) ||
        front_get(front, VU_GET_FEATURES) < 0)
        return -1;
    return 0;
}

static int start_ring(struct front *front, unsigned index)
{
    return start_ring_at(front, index, front->queues[index].avail_index);
}

/* All that a good front-end does, up to a running ring. */
static int begin_exact(struct front *front)
{
    begin(front);
    if (negotiate(front, ANY_FEATURE) || give_channel(front) || ask_config(front) ||
        send_memory(front))
        return -1;
    return start_ring(front, 1);
}

struct way {
    const char *name;
    enum dax_protocol protocol;
    bool with_tag;
    uint64_t mask; /* protocol features that are not negotiated */
    bool asks;     /* GET_SHMEM_CONFIG */
    bool channel;
    int expected; /* 0: no window; 1: window; 2: exact window */
};

static void one_way(const struct way *way)
{
    struct front front;

    begin(&front);
    front.settings.dax_protocol = way->protocol;
    front.settings.tag = way->with_tag ? tag : NULL;
    CHECK_EQ(negotiate(&front, ~way->mask), 0);
    if (way->channel)
        CHECK_EQ(give_channel(&front), 0);
    if (way->asks)
        CHECK_EQ(ask_config(&front), 0);
    CHECK_EQ(send_memory(&front), 0);
    CHECK_EQ(fake_mappers, 0);
    CHECK_EQ(start_ring(&front, 1), 0);
    CHECK_EQ(start_ring(&front, 2), 0);
    CHECK_EQ(fake_mappers, 1);
    if (fake_mapper.window_size != (way->expected ? WINDOW : 0) ||
        fake_mapper.exact != (way->expected == 2))
        fprintf(stderr, "%s: size %llu, exact %d\n", way->name,
                (unsigned long long)fake_mapper.window_size, fake_mapper.exact);
    CHECK_EQ(fake_mapper.window_size, way->expected ? WINDOW : 0);
    CHECK_EQ(fake_mapper.exact, way->expected == 2);
    /* Once for each connection. */
    CHECK_EQ(front_stop_ring(&front, 1), 0);
    CHECK_EQ(front_stop_ring(&front, 2), 0);
    CHECK_EQ(start_ring(&front, 1), 0);
    CHECK_EQ(fake_mappers, 1);
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
    CHECK_EQ(fake_mapper.window_size, 0);
    CHECK_EQ(fake_bad, 0);
    end();
    channel = -1;
}

static void who_has_a_window(void)
{
    const uint64_t shmem = VU_BIT(VU_PROTOCOL_F_SHMEM);
    const uint64_t object = VU_BIT(VU_PROTOCOL_F_SHARED_OBJECT);
    const uint64_t ack = VU_BIT(VU_PROTOCOL_F_REPLY_ACK);
    const uint64_t request = VU_BIT(VU_PROTOCOL_F_BACKEND_REQ);
    const uint64_t send_fd = VU_BIT(VU_PROTOCOL_F_BACKEND_SEND_FD);
    const enum dax_protocol any = DAX_PROTOCOL_AUTO;
    const struct way ways[] = {
        {"shmem", any, true, 0, true, true, 2},
        {"shmem without shared objects", any, true, object, true, true, 1},
        {"shmem that is asked for", DAX_PROTOCOL_SHMEM, true, 0, true, true, 2},
        {"shmem, window not asked for", any, true, 0, false, true, 0},
        {"shmem, no channel", any, true, 0, true, false, 0},
        {"shmem, channel not negotiated", any, true, request, true, false, 0},
        {"shmem, no acknowledgements", any, true, ack, true, true, 0},
        {"shared objects only", any, true, shmem, false, true, 0},
        {"old", any, true, shmem | object, false, true, 1},
        {"old, no tag", any, false, 0, false, true, 1},
        {"old that is asked for", DAX_PROTOCOL_FS_MAP, true, 0, false, true, 1},
        {"old, no channel", any, false, 0, false, false, 0},
        {"old, no acknowledgements", any, false, ack, false, true, 0},
        {"old, no descriptors", any, false, send_fd, false, true, 0},
        {"shmem that cannot be", DAX_PROTOCOL_SHMEM, false, 0, false, true, 0},
        {"shmem that is not taken", DAX_PROTOCOL_SHMEM, true, shmem | object, false, true, 0},
    };

    for (unsigned i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
        one_way(&ways[i]);
}

/* Without --dax-window nothing of all this. */
static void no_window_no_mapper(void)
{
    struct front front;

    begin(&front);
    front.settings.dax_window = 0;
    CHECK_EQ(negotiate(&front, ANY_FEATURE), 0);
    CHECK_EQ(give_channel(&front), 0);
    CHECK_EQ(send_memory(&front), 0);
    CHECK_EQ(start_ring(&front, 1), 0);
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
    CHECK_EQ(fake_mappers, 0);
    end();
}

/* Reads a request of the device. Returns the payload's size, or negative; ret_fd -1 for none. */
static int take(uint32_t number, void *payload, size_t size, int *ret_fd)
{
    struct vu_header header;
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec iov = {&header, sizeof(header)};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = sizeof(control.bytes)};
    struct pollfd wait = {.fd = channel, .events = POLLIN};

    if (poll(&wait, 1, PATIENCE_MS) <= 0)
        return -ETIMEDOUT;
    /* The descriptor comes with the first byte, which may come alone. */
    ssize_t got = recvmsg(channel, &msg, MSG_CMSG_CLOEXEC);
    if (got <= 0 || recv(channel, (char *)&header + got, sizeof(header) - (size_t)got,
                         MSG_WAITALL) != (ssize_t)sizeof(header) - got)
        return -EPROTO;
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
    *ret_fd = -1;
    if (cmsg)
        memcpy(ret_fd, CMSG_DATA(cmsg), sizeof(int));
    if (header.request != number || header.flags != (VU_VERSION | VU_FLAG_NEED_REPLY) ||
        header.size > size || recv(channel, payload, header.size, MSG_WAITALL) != header.size)
        return -EPROTO;
    return (int)header.size;
}

static void answer(uint32_t request, uint64_t value)
{
    struct {
        struct vu_header header;
        uint64_t value;
    } __attribute__((packed)) reply = {{request, VU_VERSION | VU_FLAG_REPLY, 8}, value};

    if (send(channel, &reply, sizeof(reply), MSG_NOSIGNAL) != sizeof(reply))
        abort();
}

/* A request whose reply's second word is what the mapper returned, negated. */
static void ask_device(struct front *front, enum fake_command command, uint64_t fd_offset,
                       uint64_t window_offset, uint64_t length)
{
    struct dax_mapping mapping = {.fd = file,
                                  .writable = true,
                                  .fd_offset = fd_offset,
                                  .window_offset = window_offset,
                                  .length = length};

    fake_set_mapping(&mapping);
    front_request(front, 1, 0, command, 0, 64);
    front_kick(front, 1);
}

/* Returns what the mapper returned, negated, or -1. */
static int64_t result(struct front *front)
{
    if (front_used(front, 1, NULL) != 8)
        return -1;
    return ((uint32_t *)front_buffer(front, 1))[1];
}

/* Reads SHMEM_MAP and the barrier behind it. Returns 0 or negative. */
static int take_map(uint64_t fd_offset, uint64_t window_offset, uint64_t length)
{
    struct vu_shmem_map map;
    char uuid[16];
    int fd, none;

    if (take(VU_BACKEND_SHMEM_MAP, &map, sizeof(map), &fd) != 40 || fd < 0)
        return -1;
    close(fd);
    if (take(VU_BACKEND_SHARED_OBJECT_LOOKUP, uuid, sizeof(uuid), &none) != 16 || none >= 0)
        return -2;
    if (map.shmid != 0 || map.fd_offset != fd_offset || map.shm_offset != window_offset ||
        map.length != length || map.flags != 1)
        return -3;
    return 0;
}

/* The table with RAM and one mapping, as QEMU sends it. Returns the acknowledgement. */
static int64_t table_with(struct front *front, uint64_t guest_address, uint64_t fd_offset,
                          uint64_t length)
{
    struct vu_memory_table table = {
        .count = 2,
        .regions = {{guest_address, length, UINT64_C(0x100000), fd_offset},
                    {FRONT_GUEST_BASE, FRONT_MEMORY_SIZE, FRONT_USER_BASE, 0}},
    };
    int fds[2] = {file, front->memory_fd};

    return front_ask(front, VU_SET_MEM_TABLE, &table, 8 + 64, fds, 2);
}

/* One with as many regions as there may be, none of them in the window. */
static int64_t full_table(struct front *front)
{
    struct vu_memory_table table = {
        .count = VU_MEM_TABLE_REGIONS,
        .regions = {{FRONT_GUEST_BASE, FRONT_MEMORY_SIZE, FRONT_USER_BASE, 0}},
    };
    int fds[VU_MEM_TABLE_REGIONS] = {front->memory_fd};

    for (unsigned i = 1; i < VU_MEM_TABLE_REGIONS; i++) {
        table.regions[i] = (struct vu_memory_region){2 * i * PAGE, PAGE, 2 * i * PAGE, i * PAGE};
        fds[i] = file;
    }
    return front_ask(front, VU_SET_MEM_TABLE, &table, sizeof(table), fds, VU_MEM_TABLE_REGIONS);
}

static int64_t map_at(struct front *front, uint64_t base, uint64_t fd_offset,
                      uint64_t window_offset, uint64_t length)
{
    ask_device(front, FAKE_MAP, fd_offset, window_offset, length);
    if (take_map(fd_offset, window_offset, length) < 0)
        return -2;
    answer(VU_BACKEND_SHMEM_MAP, 0);
    if (table_with(front, base + window_offset, fd_offset, length) != 0)
        return -3;
    answer(VU_BACKEND_SHARED_OBJECT_LOOKUP, 1);
    return result(front);
}

/* Echoes 56 bytes to a guest address. Returns the used length. */
static int64_t echo_to(struct front *front, uint64_t address)
{
    front_request(front, 1, 0, FAKE_ECHO, 0, 64);
    front_set_desc(front, 1, 1, address, 64, VRING_DESC_F_WRITE, 0);
    strcpy((char *)front_buffer(front, 0) + 8, "into the window");
    front_kick(front, 1);
    return front_used(front, 1, NULL);
}

static int64_t milliseconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

static void mapping_teaches_the_place(void)
{
    struct front front;

    CHECK_EQ(begin_exact(&front), 0);
    /* Not known yet: the request alone fails. */
    CHECK_EQ(echo_to(&front, WINDOW_BASE + 100), 0);
    CHECK_EQ(fake_unreachable, 1);

    int64_t start = milliseconds();
    CHECK_EQ(map_at(&front, WINDOW_BASE, 3 * PAGE, PAGE, 2 * PAGE), 0);
    CHECK(milliseconds() - start < 200);
    CHECK_EQ(echo_to(&front, WINDOW_BASE + 100), 56);
    CHECK_EQ(fake_in_window, 1);
    CHECK_EQ(fake_unreachable, 1);
    CHECK(strcmp(fake_window + 100, "into the window") == 0);
    CHECK_EQ(echo_to(&front, WINDOW_BASE + WINDOW - 64), 56);
    CHECK_EQ(echo_to(&front, WINDOW_BASE + WINDOW - 63), 0);
    CHECK_EQ(echo_to(&front, WINDOW_BASE - 1), 0);
    CHECK_EQ(fake_unreachable, 3);

    /* Further on, whatever is in the window is left out, matching or not. */
    CHECK_EQ(table_with(&front, WINDOW_BASE + 8 * PAGE, 0, PAGE), 0);
    CHECK_EQ(echo_to(&front, WINDOW_BASE + 8 * PAGE), 56);
    CHECK_EQ(fake_in_window, 3);
    /* What is not all in it is memory like any other. */
    CHECK_EQ(table_with(&front, WINDOW_BASE + WINDOW - PAGE, 0, 2 * PAGE), 0);
    CHECK_EQ(echo_to(&front, WINDOW_BASE + WINDOW), 56);
    CHECK_EQ(fake_in_window, 3);
    char text[20] = "";
    CHECK_EQ(pread(file, text, 16, PAGE), 16);
    CHECK(strcmp(text, "into the window") == 0);
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
    end();
}

/* The same length of another file, or of another place, teaches nothing. */
static void other_regions_teach_nothing(void)
{
    struct front front;
    struct vu_memory_table table = {
        .count = 3,
        .regions = {{FRONT_GUEST_BASE, FRONT_MEMORY_SIZE, FRONT_USER_BASE, 0},
                    {WINDOW_BASE, PAGE, 0x100000, 0},
                    {WINDOW_BASE + PAGE, PAGE, 0x200000, 3 * PAGE}},
    };

    CHECK_EQ(begin_exact(&front), 0);
    ask_device(&front, FAKE_MAP, 3 * PAGE, PAGE, PAGE);
    CHECK_EQ(take_map(3 * PAGE, PAGE, PAGE), 0);
    int other = memfd_create("other", MFD_CLOEXEC);
    CHECK_EQ(ftruncate(other, WINDOW), 0);
    int fds[3] = {front.memory_fd, file, other};
    CHECK_EQ(front_ask(&front, VU_SET_MEM_TABLE, &table, 8 + 96, fds, 3), 0);
    answer(VU_BACKEND_SHMEM_MAP, 0);
    answer(VU_BACKEND_SHARED_OBJECT_LOOKUP, 1);
    CHECK_EQ(result(&front), 0);
    CHECK_EQ(echo_to(&front, WINDOW_BASE + 2 * PAGE - 64), 56);
    CHECK_EQ(fake_in_window, 0);
    CHECK_EQ(echo_to(&front, WINDOW_BASE + 2 * PAGE), 0);
    CHECK_EQ(fake_unreachable, 1);
    /* An address below the start of the guest's memory is none. */
    table.count = 2;
    table.regions[1] = (struct vu_memory_region){0, PAGE, 0x100000, 3 * PAGE};
    CHECK_EQ(front_ask(&front, VU_SET_MEM_TABLE, &table, 8 + 64, fds, 2), 0);
    CHECK_EQ(echo_to(&front, WINDOW_BASE), 0);
    CHECK_EQ(fake_in_window, 0);
    close(other);
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
    end();
}

/* The ring as it is after a reset of the device and its driver. */
static int reset_and_start(struct front *front)
{
    struct front_queue *queue = &front->queues[1];
    uint64_t features = FEATURES;

    if (front_ask(front, VU_RESET_DEVICE, NULL, 0, NULL, 0) != 0 ||
        front_ask(front, VU_SET_FEATURES, &features, 8, NULL, 0) != 0)
        return -1;
    queue->avail->idx = queue->avail_index = 0;
    queue->used->idx = queue->used_seen = 0;
    return start_ring(front, 1);
}

static void place_is_forgotten_and_changes(void)
{
    struct front front;
    uint64_t zero = 0;

    CHECK_EQ(begin_exact(&front), 0);
    CHECK_EQ(map_at(&front, WINDOW_BASE, 0, 0, PAGE), 0);
    CHECK_EQ(echo_to(&front, WINDOW_BASE), 56);
    CHECK_EQ(front_ask(&front, VU_SET_STATUS, &zero, 8, NULL, 0), 0);
    /* A pause does not move it, whether the table that comes then has room for it or not. */
    CHECK_EQ(start_ring(&front, 1), 0);
    CHECK_EQ(echo_to(&front, WINDOW_BASE), 56);
    CHECK_EQ(table_with(&front, WINDOW_BASE, 0, PAGE), 0);
    CHECK_EQ(echo_to(&front, WINDOW_BASE), 56);
    CHECK_EQ(full_table(&front), 0);
    CHECK_EQ(echo_to(&front, WINDOW_BASE), 56);
    /* One that has room and nothing in the window says that nothing is. */
    CHECK_EQ(send_memory(&front), 0);
    CHECK_EQ(front_get(&front, VU_GET_FEATURES) > 0, 1);
    CHECK_EQ(echo_to(&front, WINDOW_BASE), 0);
    CHECK_EQ(fake_unreachable, 1);
    CHECK_EQ(table_with(&front, WINDOW_BASE, 0, PAGE), 0);
    CHECK_EQ(echo_to(&front, WINDOW_BASE), 56);
    /* The guest moved it. */
    CHECK_EQ(map_at(&front, 2 * WINDOW_BASE, PAGE, PAGE, PAGE), 0);
    CHECK_EQ(echo_to(&front, 2 * WINDOW_BASE), 56);
    CHECK_EQ(echo_to(&front, WINDOW_BASE), 0);
    CHECK_EQ(fake_in_window, 6);
    CHECK_EQ(reset_and_start(&front), 0);
    CHECK_EQ(echo_to(&front, 2 * WINDOW_BASE), 0);
    CHECK_EQ(fake_unreachable, 3);
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
    CHECK_EQ(fake_bad, 0);
    end();
}

static void refusals_and_unmap(void)
{
    struct front front;
    struct vu_shmem_map map;
    int none;

    CHECK_EQ(begin_exact(&front), 0);
    ask_device(&front, FAKE_MAP, 0, 0, PAGE);
    CHECK_EQ(take_map(0, 0, PAGE), 0);
    answer(VU_BACKEND_SHMEM_MAP, 1);
    answer(VU_BACKEND_SHARED_OBJECT_LOOKUP, 1);
    CHECK_EQ(result(&front), EAGAIN);

    ask_device(&front, FAKE_UNMAP, 0, PAGE, 3 * PAGE);
    CHECK_EQ(take(VU_BACKEND_SHMEM_UNMAP, &map, sizeof(map), &none), 40);
    CHECK_EQ(none, -1);
    CHECK(map.shmid == 0 && map.shm_offset == PAGE && map.length == 3 * PAGE);
    answer(VU_BACKEND_SHMEM_UNMAP, 0);
    CHECK_EQ(result(&front), 0);

    /* The channel ends, the rest goes on. */
    shutdown(channel, SHUT_RDWR);
    ask_device(&front, FAKE_MAP, 0, 0, PAGE);
    CHECK_EQ(result(&front), EIO);
    CHECK_EQ(echo_to(&front, front_address(1)), 56);
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
    end();
}

static void the_old_messages(void)
{
    struct front front;
    struct vu_fs_map map;
    int fd, none;

    begin(&front);
    front.settings.dax_protocol = DAX_PROTOCOL_FS_MAP;
    CHECK_EQ(negotiate(&front, ANY_FEATURE), 0);
    CHECK_EQ(give_channel(&front), 0);
    CHECK_EQ(send_memory(&front), 0);
    CHECK_EQ(start_ring(&front, 1), 0);
    ask_device(&front, FAKE_MAP, 3 * PAGE, 5 * PAGE, 7 * PAGE);
    CHECK_EQ(take(VU_BACKEND_FS_MAP, &map, sizeof(map), &fd), 256);
    CHECK(fd >= 0);
    close(fd);
    CHECK_EQ(map.fd_offset[0], 3 * PAGE);
    CHECK_EQ(map.cache_offset[0], 5 * PAGE);
    CHECK_EQ(map.length[0], 7 * PAGE);
    CHECK_EQ(map.flags[0], 3);
    CHECK_EQ(map.length[1], 0);
    answer(VU_BACKEND_FS_MAP, 0);
    CHECK_EQ(result(&front), 0);
    ask_device(&front, FAKE_UNMAP, 3 * PAGE, 5 * PAGE, 7 * PAGE);
    CHECK_EQ(take(VU_BACKEND_FS_UNMAP, &map, sizeof(map), &none), 256);
    CHECK_EQ(map.cache_offset[0], 5 * PAGE);
    CHECK_EQ(map.length[0], 7 * PAGE);
    answer(VU_BACKEND_FS_UNMAP, 0);
    CHECK_EQ(result(&front), 0);

    /* Such a front-end may add regions one by one. */
    struct vu_single_region region = {.region = {WINDOW_BASE, 7 * PAGE, 0x100000, 3 * PAGE}};
    CHECK_EQ(front_ask(&front, VU_ADD_MEM_REG, &region, sizeof(region), &file, 1), 0);
    CHECK_EQ(echo_to(&front, WINDOW_BASE), 56);
    CHECK_EQ(fake_in_window, 1);
    CHECK(strcmp(fake_window + 5 * PAGE, "into the window") == 0);
    CHECK_EQ(front_ask(&front, VU_REM_MEM_REG, &region, sizeof(region), NULL, 0), 0);
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
    end();
}

/*
 * A ring stops while its thread waits for a front-end that does nothing else: neither waits, and
 * the driver is told nothing. When the ring goes on, so does the request, without a kick.
 */
static void stop_postpones_a_mapping(void)
{
    struct front front;
    struct vu_vring_state disable = {1, 0}, enable = {1, 1};
    uint64_t zero = 0;

    CHECK_EQ(begin_exact(&front), 0);
    for (unsigned how = 0; how < 6; how++) {
        uint16_t base = front.queues[1].avail_index;

        ask_device(&front, FAKE_MAP, 0, 0, PAGE);
        CHECK_EQ(take_map(0, 0, PAGE), 0);
        int64_t start = milliseconds();
        if (how % 3 == 1)
            CHECK_EQ(front_ask(&front, VU_SET_STATUS, &zero, 8, NULL, 0), 0);
        if (how % 3 == 2)
            CHECK_EQ(front_ask(&front, VU_SET_VRING_ENABLE, &disable, sizeof(disable), NULL, 0), 0);
        else
            CHECK_EQ(front_stop_ring(&front, 1), base);
        CHECK(milliseconds() - start < 1000);
        CHECK_EQ(fake_restarts, how + 1);
        CHECK_EQ(front_used_index(&front, 1), base);

        /* The answers come when the front-end is free again, and are to nothing. */
        if (how % 3 == 2)
            CHECK_EQ(front_ask(&front, VU_SET_VRING_ENABLE, &enable, sizeof(enable), NULL, 0), 0);
        else
            CHECK_EQ(start_ring_at(&front, 1, base), 0);
        answer(VU_BACKEND_SHMEM_MAP, 1);
        answer(VU_BACKEND_SHARED_OBJECT_LOOKUP, 1);
        CHECK_EQ(take_map(0, 0, PAGE), 0);
        answer(VU_BACKEND_SHMEM_MAP, 0);
        answer(VU_BACKEND_SHARED_OBJECT_LOOKUP, 1);
        CHECK_EQ(result(&front), 0);
    }
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
    end();
}

/* Nobody takes what is behind it, however long the front-end takes: so it can stay in the ring. */
static void stop_of_many_threads_postpones_a_mapping(void)
{
    struct front front;

    begin(&front);
    front.settings.thread_pool_size = 2;
    CHECK_EQ(negotiate(&front, ANY_FEATURE), 0);
    CHECK_EQ(give_channel(&front), 0);
    CHECK_EQ(ask_config(&front), 0);
    CHECK_EQ(send_memory(&front), 0);
    CHECK_EQ(start_ring(&front, 1), 0);
    ask_device(&front, FAKE_MAP, 0, 0, PAGE);
    CHECK_EQ(take_map(0, 0, PAGE), 0);
    usleep(30000);
    CHECK_EQ(fake_threads, 1);
    CHECK_EQ(front_stop_ring(&front, 1), 0);
    CHECK_EQ(fake_restarts, 1);
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
    end();
}

/* Another ring stops: this one's request is asked anew, and later ones as if nothing had been. */
static void stop_of_one_ring_goes_by(void)
{
    struct front front;
    struct vu_vring_state disable = {2, 0};

    CHECK_EQ(begin_exact(&front), 0);
    for (unsigned how = 0; how < 4; how++) {
        unsigned restarts = fake_restarts;

        CHECK_EQ(start_ring(&front, 2), 0);
        ask_device(&front, FAKE_MAP, 0, 0, PAGE);
        CHECK_EQ(take_map(0, 0, PAGE), 0);
        if (how % 2)
            CHECK_EQ(front_stop_ring(&front, 2), 0);
        else
            CHECK_EQ(front_ask(&front, VU_SET_VRING_ENABLE, &disable, sizeof(disable), NULL, 0), 0);
        /* An answer that is there before the thread has looked would be taken. */
        while (fake_restarts == restarts)
            usleep(1000);
        answer(VU_BACKEND_SHMEM_MAP, 1);
        answer(VU_BACKEND_SHARED_OBJECT_LOOKUP, 1);
        CHECK_EQ(take_map(0, 0, PAGE), 0);
        answer(VU_BACKEND_SHMEM_MAP, 0);
        answer(VU_BACKEND_SHARED_OBJECT_LOOKUP, 1);
        CHECK_EQ(result(&front), 0);
        CHECK_EQ(map_at(&front, WINDOW_BASE, 0, PAGE, PAGE), 0);
    }
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
    end();
}

/* The same when another ring breaks, and its memory goes: but only for a moment. */
static void stop_of_another_ring(void)
{
    struct front front;

    CHECK_EQ(begin_exact(&front), 0);
    CHECK_EQ(start_ring(&front, 2), 0);
    front_offer(&front, 2, FRONT_RING_SIZE); /* breaks it */
    front_kick(&front, 2);
    usleep(50000);
    CHECK_EQ(front_get(&front, VU_GET_STATUS), VIRTIO_CONFIG_S_NEEDS_RESET);
    CHECK_EQ(map_at(&front, WINDOW_BASE, 0, 0, PAGE), 0);
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
    end();
}

static void front_end_leaves_inside_a_mapping(void)
{
    struct front front;

    CHECK_EQ(begin_exact(&front), 0);
    ask_device(&front, FAKE_MAP, 0, 0, PAGE);
    CHECK_EQ(take_map(0, 0, PAGE), 0);
    int64_t start = milliseconds();
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
    CHECK(milliseconds() - start < 1000);
    CHECK_EQ(fake_bad, 0);
    CHECK_EQ(fake_resets, 1);
    CHECK_EQ(fake_mapper.window_size, 0);
    CHECK_EQ(fake_bad_leaves, 0);
    end();
}

static void daemon_stops_inside_a_mapping(void)
{
    struct front front;
    uint64_t one = 1;

    CHECK_EQ(begin_exact(&front), 0);
    ask_device(&front, FAKE_MAP, 0, 0, PAGE);
    CHECK_EQ(take_map(0, 0, PAGE), 0);
    int64_t start = milliseconds();
    CHECK_EQ(write(front.stop_fd, &one, 8), 8);
    CHECK(front_is_closed(&front));
    CHECK_EQ(front_used_index(&front, 1), 0);
    CHECK_EQ(front_join(&front), DEVICE_END_CLEAN);
    CHECK(milliseconds() - start < 500);
    end();
}

int main(void)
{
    RUN(who_has_a_window);
    RUN(no_window_no_mapper);
    RUN(mapping_teaches_the_place);
    RUN(other_regions_teach_nothing);
    RUN(place_is_forgotten_and_changes);
    RUN(refusals_and_unmap);
    RUN(the_old_messages);
    RUN(stop_postpones_a_mapping);
    RUN(stop_of_many_threads_postpones_a_mapping);
    RUN(stop_of_one_ring_goes_by);
    RUN(stop_of_another_ring);
    RUN(front_end_leaves_inside_a_mapping);
    RUN(daemon_stops_inside_a_mapping);
    return test_result();
}
