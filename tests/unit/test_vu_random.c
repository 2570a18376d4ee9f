// SPDX-License-Identifier: BSD-3-Clause
/*
 * A front-end and a driver that send anything: random requests, sizes, values and descriptors, in
 * any order, over a ring memory of noise; half of them are offered a DAX window, and answer what
 * they are asked for it, or something else, or not at all. Whatever they do, the device must go on
 * or close the connection, and leave no descriptor and no thread behind.
 *
 * The seed is printed; give it as the only argument to see the same run again.
 */
#include <dirent.h>
#include <linux/virtio_config.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "device.h"
#include "fake_fuse.h"
#include "log.h"
#include "test.h"
#include "virtq.h"
#include "vu_dispatch.h"
#include "vu_front.h"

#define SECONDS     4
#define WINDOW      DAX_RANGE_SIZE
#define WINDOW_BASE UINT64_C(0x7000000000)

static uint64_t random_state;
static char tag[] = "any";
static char window_memory[WINDOW];

static uint32_t any(uint32_t below)
{
    /* splitmix64: the sequence must be the same everywhere. */
    uint64_t z = (random_state += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)((z ^ (z >> 31)) % below);
}

static unsigned open_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    unsigned count = 0;

    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

static bool time_is_left(const struct timespec *start)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec - start->tv_sec < SECONDS;
}

/* A value that has a chance to be legal. */
static uint64_t any_value(void)
{
    static const uint64_t likely[] = {
        0,
        1,
        2,
        3,
        0x40,
        0x100,
        0x101,
        0xf,
        0x170000000,
        0x1a429,
        0x452629,
        WINDOW_BASE,
        WINDOW_BASE + 4096,
        UINT64_MAX,
        0x10000,
        FRONT_GUEST_BASE,
        FRONT_USER_BASE,
        FRONT_USER_BASE + 0x1000,
        FRONT_USER_BASE + 0x2000,
        FRONT_MEMORY_SIZE,
        FRONT_MEMORY_SIZE - 4096,
    };

    return likely[any(sizeof(likely) / sizeof(likely[0]))];
}

static void any_payload(uint8_t *bytes, uint32_t size)
{
    for (uint32_t i = 0; i + 4 <= size;) {
        uint64_t value = any_value();
        unsigned width = any(2) ? 8 : 4;

        if (i + width > size)
            width = 4;
        memcpy(bytes + i, &value, width);
        i += width;
    }
}

static int send_something(struct front *front)
{
    uint8_t bytes[sizeof(union vu_payload) + 16] = {0};
    uint32_t request = 1 + any(45);
    const struct vu_row *row = vu_find_row(request);
    uint32_t size = any(sizeof(bytes));
    int fds[VU_FDS_MAX + 1];
    unsigned fd_count = any(8) ? 0 : any(VU_FDS_MAX + 2);

    if (row && any(50)) {
        size = row->size_min + (row->size_max > row->size_min ? 32 * any(3) : 0);
        fd_count = row->fds_min + (row->fds_max > row->fds_min ? any(2) : 0);
    }
    for (unsigned i = 0; i < fd_count; i++) {
        struct front_queue *queue = &front->queues[any(FRONT_QUEUES)];
        int choice[] = {front->memory_fd, queue->kick_fd, queue->call_fd, front->memory_fd};
        fds[i] = choice[any(4)];
    }
    any_payload(bytes, size);
    /* Mostly with need_reply, so that a refusal does not close the connection. */
    uint32_t flags = any(40) ? VU_FLAG_NEED_REPLY : 0;
    return front_send(front, request, flags, bytes, size, fds, fd_count);
}

/* Noise in the rings, and kicks. */
static void disturb_rings(struct front *front)
{
    volatile uint16_t *words = (volatile uint16_t *)front->memory;

    for (unsigned i = 0; i < 64; i++) {
        unsigned place = any(FRONT_QUEUES * FRONT_RING_STRIDE / 2);
        __atomic_store_n((uint16_t *)&words[place], (uint16_t)any_value(), __ATOMIC_RELAXED);
    }
    for (unsigned q = 0; q < FRONT_QUEUES; q++)
        front_kick(front, q);
}

/* Answers what has come on the back-end channel, more or less. */
static void answer_channel(int channel)
{
    uint8_t bytes[4096];
    struct vu_header header;
    /* The descriptors that come along are dropped. */
    ssize_t got = recv(channel, bytes, sizeof(bytes), MSG_DONTWAIT);

    for (ssize_t at = 0; at + (ssize_t)sizeof(header) <= got;) {
        struct {
            struct vu_header header;
            uint64_t value;
        } __attribute__((packed)) reply = {{0, VU_VERSION | VU_FLAG_REPLY, 8}, any(4) == 0};

        memcpy(&header, bytes + at, sizeof(header));
        at += (ssize_t)(sizeof(header) + header.size);
        reply.header.request = header.request;
        if (any(40) == 0)
            any_payload((uint8_t *)&reply, sizeof(reply));
        if (any(40))
            (void)!write(channel, &reply, any(100) ? sizeof(reply) : any(sizeof(reply)));
    }
}

/* What a front-end with a window does before rings run, and a mapping of its own memory. */
static int begin_window(struct front *front, int channel)
{
    static struct vu_shmem_config config;
    struct dax_mapping mapping = {.fd = front->memory_fd,
                                  .writable = any(2),
                                  .fd_offset = any(2) * UINT64_C(4096),
                                  .window_offset = any(2) * UINT64_C(4096),
                                  .length = any(2) ? 4096 : FRONT_MEMORY_SIZE};

    fake_set_mapping(&mapping);
    if (front_ask(front, VU_SET_BACKEND_REQ_FD, NULL, 0, &channel, 1) != 0)
        return -1;
    if (front->settings.dax_protocol == DAX_PROTOCOL_FS_MAP)
        return 0;
    if (front_send(front, VU_GET_SHMEM_CONFIG, 0, NULL, 0, NULL, 0) < 0 ||
        front_receive(front, VU_GET_SHMEM_CONFIG, &config, sizeof(config)) != sizeof(config))
        return -1;
    return 0;
}

static void one_front_end(void)
{
    struct front front;

    front_init(&front);
    front.settings.thread_pool_size = any(4);
    int channel[2];
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel), 0);
    bool window = any(2);
    if (window) {
        front.settings.dax_window = WINDOW;
        front.settings.dax_protocol = (enum dax_protocol)any(3);
        front.settings.tag = tag;
    }
    CHECK_EQ(front_start(&front), 0);
    bool polite = any(4);
    unsigned q = any(FRONT_QUEUES);
    if (polite &&
        (front_negotiate(&front, UINT64_C(0x170000000)) < 0 || front_set_memory(&front) < 0))
        CHECK(!"a polite start failed");
    if (polite && window)
        CHECK_EQ(begin_window(&front, channel[1]), 0);
    if (polite && front_start_ring(&front, q) < 0)
        CHECK(!"a polite start failed");
    for (unsigned i = 0; i < 200 && send_something(&front) == 0; i++) {
        uint8_t replies[4096];

        /* A good request now and then, as long as the ring lives; then noise. */
        for (unsigned j = any(8); j > 0 && i < 100; j--) {
            front_request(&front, q, 2 * j, 1 + any(7), any(50), 64);
            front_kick(&front, q);
        }
        if (i >= 100 && any(4) == 0)
            disturb_rings(&front);
        answer_channel(channel[0]);
        while (recv(front.socket_fd, replies, sizeof(replies), MSG_DONTWAIT) > 0)
            ;
    }
    shutdown(front.socket_fd, SHUT_RDWR);
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
    close(channel[0]);
    close(channel[1]);
    CHECK_EQ(fake_bad, 0);
    CHECK_EQ(fake_threads, 0);
}

static void random_messages(void)
{
    unsigned before = open_descriptors();
    struct timespec start;
    unsigned rounds = 0;

    clock_gettime(CLOCK_MONOTONIC, &start);
    fake_clear();
    fake_window = window_memory;
    fake_release();
    for (; time_is_left(&start) && !test_failed; rounds++)
        one_front_end();
    CHECK_EQ(open_descriptors(), before);
    printf("     %u front-ends, %u requests\n", rounds, (unsigned)fake_runs);
    CHECK(rounds > 10);
}

int main(int argc, char **argv)
{
    random_state = argc > 1 ? strtoull(argv[1], NULL, 0) : (uint64_t)time(NULL);
    printf("seed %" PRIu64 "\n", random_state);
    log_threshold = LOG_LEVEL_OFF;
    RUN(random_messages);
    return test_result();
}
