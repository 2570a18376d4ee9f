// SPDX-License-Identifier: BSD-3-Clause
/* --poll-us: when a queue looks for requests before it sleeps. */
#include <linux/virtio_config.h>
#include <time.h>
#include <unistd.h>

#include "device.h"
#include "fake_fuse.h"
#include "queue.h"
#include "test.h"
#include "vu_front.h"

#define BASIC (VU_BIT(VIRTIO_F_VERSION_1) | VU_BIT(VU_F_PROTOCOL_FEATURES))

static bool is_answered(struct front *front, int64_t within_ms)
{
    struct timespec start;

    clock_gettime(CLOCK_MONOTONIC, &start);
    while (front_used_index(front, 1) != front->queues[1].avail_index) {
        if (queue_ns_since(&start) > within_ms * 1000000)
            return false;
    }
    return true;
}

/* How many of so many requests, each offered a little after the last one's reply, need no kick. */
static void count_unkicked(struct front *front, unsigned count, unsigned *ret_unkicked)
{
    *ret_unkicked = 0;
    for (unsigned i = 0; i < count; i++) {
        front_request(front, 1, 0, FAKE_ECHO, 0, 64);
        bool answered = is_answered(front, 5);
        *ret_unkicked += answered;
        if (!answered)
            front_kick(front, 1);
        CHECK(is_answered(front, 5000));
        CHECK_EQ(front_used(front, 1, NULL), 56);
        struct timespec replied;
        clock_gettime(CLOCK_MONOTONIC, &replied);
        while (queue_ns_since(&replied) < QUEUE_LOOK_NS / 5)
            continue;
    }
}

static void begin_polled(struct front *front, unsigned poll_us)
{
    front_init(front);
    front->settings.poll_us = poll_us;
    CHECK_EQ(front_start(front), 0);
    CHECK_EQ(front_negotiate(front, BASIC), 0);
    CHECK_EQ(front_set_memory(front), 0);
    CHECK_EQ(front_start_ring(front, 1), 0);
    front_request(front, 1, 0, FAKE_ECHO, 0, 64);
    front_kick(front, 1);
    CHECK_EQ(front_used(front, 1, NULL), 56);
}

/* With --poll-us the driver need not kick, and a stop or a memory table does not wait. */
static void polled_ring(void)
{
    struct front front;
    unsigned unkicked;

    begin_polled(&front, POLL_US_MAX);
    count_unkicked(&front, 200, &unkicked);
    CHECK(unkicked >= 100);
    CHECK_EQ(front_set_memory(&front), 0);
    CHECK(front_stop_ring(&front, 1) == front.queues[1].avail_index);
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
}

/* By itself a queue looks as long as its driver does; not on a busy machine, in each round. */
static void polled_by_both(void)
{
    struct front front;
    unsigned unkicked;

    begin_polled(&front, POLL_US_AUTO);
    count_unkicked(&front, 40, &unkicked);
    CHECK(unkicked < 20);
    front.queues[1].avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
    for (unsigned round = 0; round < 50 && unkicked < 20; round++)
        count_unkicked(&front, 40, &unkicked);
    CHECK(unkicked >= 20);
    usleep(10000);
    CHECK_EQ(front.queues[1].used->flags, 0); /* asleep */
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
}

int main(void)
{
    RUN(polled_ring);
    RUN(polled_by_both);
    return test_result();
}
