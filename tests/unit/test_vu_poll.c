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

#define BASIC     (VU_BIT(VIRTIO_F_VERSION_1) | VU_BIT(VU_F_PROTOCOL_FEATURES))
#define ALL       (BASIC | VU_BIT(VIRTIO_RING_F_EVENT_IDX) | VU_BIT(VIRTIO_RING_F_INDIRECT_DESC))

/* So that a test that is kept from its processor for a while does not come too late. */
#define LONG_US   2000000
#define SETTLE_US 50000

static bool event_idx; /* was negotiated */

static void begin_polled(struct front *front, uint64_t features, unsigned poll_us, bool always)
{
    fake_clear();
    event_idx = features & VU_BIT(VIRTIO_RING_F_EVENT_IDX);
    front_init(front);
    front->settings.poll_us = poll_us;
    front->settings.poll_always = always;
    CHECK_EQ(front_start(front), 0);
    CHECK_EQ(front_negotiate(front, features), 0);
    CHECK_EQ(front_set_memory(front), 0);
    CHECK_EQ(front_start_ring(front, 1), 0);
}

/* Whether the driver wants to be told of what is done, in both ways to say so. */
static void set_driver(struct front *front, bool sleeps)
{
    struct front_queue *queue = &front->queues[1];
    uint16_t event = (uint16_t)(queue->avail_index + (sleeps ? 0 : 0x8000));

    __atomic_store_n(&queue->avail->flags, sleeps ? 0 : VRING_AVAIL_F_NO_INTERRUPT,
                     __ATOMIC_SEQ_CST);
    __atomic_store_n(&queue->avail->ring[FRONT_RING_SIZE], event, __ATOMIC_SEQ_CST);
}

static void kicked_request(struct front *front, bool sleeps)
{
    set_driver(front, sleeps);
    front_request(front, 1, 0, FAKE_ECHO, 0, 64);
    front_kick(front, 1);
    CHECK_EQ(front_used(front, 1, NULL), 56);
}

static bool wants_kicks(struct front *front)
{
    struct vring_used *used = front->queues[1].used;
    const uint16_t *event = (const uint16_t *)&used->ring[FRONT_RING_SIZE];

    if (event_idx)
        return __atomic_load_n(event, __ATOMIC_SEQ_CST) == front->queues[1].avail_index;
    return __atomic_load_n(&used->flags, __ATOMIC_SEQ_CST) == 0;
}

/* A request behind others, without a kick: whether it is taken nevertheless. */
static void unkicked_request(struct front *front, bool sleeps, bool is_taken)
{
    for (unsigned i = 0; i < 5000 && !is_taken && !wants_kicks(front); i++)
        usleep(1000);
    usleep(SETTLE_US);
    set_driver(front, sleeps);
    front_request(front, 1, 0, FAKE_ECHO, 0, 64);
    for (unsigned i = 0; i < 100 && front_used_index(front, 1) != front->queues[1].avail_index; i++)
        usleep(is_taken ? 10000 : 1000);
    CHECK_EQ(front_used_index(front, 1) == front->queues[1].avail_index, is_taken);
    front_kick(front, 1);
    CHECK_EQ(front_used(front, 1, NULL), 56);
}

/* A memory table or a stop does not wait until a look is over. */
static void end_polled(struct front *front)
{
    struct timespec start;

    clock_gettime(CLOCK_MONOTONIC, &start);
    CHECK_EQ(front_set_memory_in_halves(front), 0);
    CHECK(front_stop_ring(front, 1) == front->queues[1].avail_index);
    CHECK(queue_ns_since(&start) < LONG_US * INT64_C(1000) / 2);
    CHECK_EQ(front_end(front), DEVICE_END_CLEAN);
}

/* With --poll-us=N the driver need not kick, whatever it does itself. */
static void always(void)
{
    for (unsigned round = 0; round < 4; round++) {
        struct front front;
        bool sleeps = round % 2;

        begin_polled(&front, round / 2 ? ALL : BASIC, LONG_US, true);
        kicked_request(&front, sleeps);
        unkicked_request(&front, sleeps, true);
        end_polled(&front);
    }
}

/* By itself a queue looks as long as its driver does. */
static void while_the_driver_is_awake(void)
{
    for (unsigned round = 0; round < 2; round++) {
        struct front front;

        begin_polled(&front, round ? ALL : BASIC, LONG_US, false);
        kicked_request(&front, true);
        unkicked_request(&front, true, false);
        kicked_request(&front, false);
        unkicked_request(&front, false, true);
        unkicked_request(&front, true, true); /* it looked before it saw that the driver sleeps */
        unkicked_request(&front, true, false);
        kicked_request(&front, false);
        end_polled(&front);
    }
}

/* One that was told of the first half of a batch is not awake for not asking to be told again. */
static void told_of_a_part(void)
{
    struct front front;

    begin_polled(&front, ALL, LONG_US, false);
    front_request(&front, 1, 0, FAKE_ECHO, 0, 64);
    set_driver(&front, true);
    front.queues[1].avail->ring[FRONT_RING_SIZE] = 0;
    front_request(&front, 1, 2, FAKE_SLEEP, 500000, 64); /* meanwhile it is told of the first */
    front_kick(&front, 1);
    CHECK_EQ(front_used(&front, 1, NULL), 56);
    CHECK_EQ(front_notified(front.queues[1].call_fd, 1000), 1);
    CHECK_EQ(front_used_index(&front, 1), 1);
    CHECK_EQ(front_used(&front, 1, NULL), 8);
    unkicked_request(&front, true, false);
    end_polled(&front);
}

/* A driver that is awake but asks late: as often as not, at least, the queue sleeps at once. */
static void not_where_it_is_in_vain(void)
{
    struct front front;
    unsigned asleep = 0;

    begin_polled(&front, BASIC, 20000, false);
    for (unsigned i = 0; i < 40; i++) {
        kicked_request(&front, false);
        usleep(10000);
        asleep += wants_kicks(&front);
        usleep(100000);
    }
    CHECK(asleep >= 20);
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
}

static void never(void)
{
    struct front front;

    begin_polled(&front, ALL, 0, true);
    kicked_request(&front, false);
    unkicked_request(&front, false, false);
    end_polled(&front);
}

int main(void)
{
    RUN(always);
    RUN(while_the_driver_is_awake);
    RUN(told_of_a_part);
    RUN(not_where_it_is_in_vain);
    RUN(never);
    return test_result();
}
