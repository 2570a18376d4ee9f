// SPDX-License-Identifier: BSD-3-Clause
/*
 * --poll-us: when a queue looks for requests before it sleeps. Counted, and as often as it takes:
 * on a busy machine any thread may be away for a while.
 */
#include <linux/virtio_config.h>
#include <time.h>
#include <unistd.h>

#include "device.h"
#include "fake_fuse.h"
#include "queue.h"
#include "test.h"
#include "vu_front.h"

#define BASIC  (VU_BIT(VIRTIO_F_VERSION_1) | VU_BIT(VU_F_PROTOCOL_FEATURES))
#define ALL    (BASIC | VU_BIT(VIRTIO_RING_F_EVENT_IDX) | VU_BIT(VIRTIO_RING_F_INDIRECT_DESC))

#define COUNT  40 /* requests of a round */
#define ROUNDS 50

static void spin_for(int64_t nanoseconds)
{
    struct timespec start;

    clock_gettime(CLOCK_MONOTONIC, &start);
    while (queue_ns_since(&start) < nanoseconds)
        continue;
}

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

static void begin_polled(struct front *front, uint64_t features, unsigned poll_us)
{
    fake_clear();
    front_init(front);
    front->settings.poll_us = poll_us;
    CHECK_EQ(front_start(front), 0);
    CHECK_EQ(front_negotiate(front, features), 0);
    CHECK_EQ(front_set_memory(front), 0);
    CHECK_EQ(front_start_ring(front, 1), 0);
    front_request(front, 1, 0, FAKE_ECHO, 0, 64);
    front_kick(front, 1);
    CHECK_EQ(front_used(front, 1, NULL), 56);
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

/* How many of a round's requests, each offered a little after the last reply, need no kick. */
static void count_unkicked(struct front *front, bool sleeps, unsigned *ret_unkicked)
{
    *ret_unkicked = 0;
    for (unsigned i = 0; i < COUNT; i++) {
        set_driver(front, sleeps);
        front_request(front, 1, 0, FAKE_ECHO, 0, 64);
        bool answered = is_answered(front, 5);
        *ret_unkicked += answered;
        if (!answered)
            front_kick(front, 1);
        CHECK(is_answered(front, 5000));
        CHECK_EQ(front_used(front, 1, NULL), 56);
        spin_for(QUEUE_LOOK_NS / 5);
    }
}

/* Whether in some round most requests need a kick, or need none. */
static void check_kicks(struct front *front, bool sleeps, bool needed)
{
    unsigned unkicked = needed ? COUNT : 0;

    for (unsigned i = 0; i < ROUNDS && (unkicked >= COUNT / 2) == needed; i++)
        count_unkicked(front, sleeps, &unkicked);
    CHECK_EQ(unkicked < COUNT / 2, needed);
}

/* The same memory, in regions that are others. */
static int64_t set_memory_in_halves(struct front *front)
{
    uint64_t half = FRONT_MEMORY_SIZE / 2;
    struct vu_memory_table table = {
        .count = 2,
        .regions = {{FRONT_GUEST_BASE, half, FRONT_USER_BASE, 0},
                    {FRONT_GUEST_BASE + half, half, FRONT_USER_BASE + half, half}},
    };
    int fds[2] = {front->memory_fd, front->memory_fd};

    return front_ask(front, VU_SET_MEM_TABLE, &table, 8 + 64, fds, 2);
}

/* With --poll-us the driver need not kick, and a stop or a memory table does not wait. */
static void polled_ring(void)
{
    for (unsigned round = 0; round < 2; round++) {
        struct front front;
        struct timespec start;

        begin_polled(&front, round ? ALL : BASIC, POLL_US_MAX);
        check_kicks(&front, true, false);
        clock_gettime(CLOCK_MONOTONIC, &start);
        CHECK_EQ(set_memory_in_halves(&front), 0);
        CHECK(front_stop_ring(&front, 1) == front.queues[1].avail_index);
        CHECK(queue_ns_since(&start) < 1000000000);
        CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
    }
}

/* By itself a queue looks as long as its driver does. */
static void polled_by_both(void)
{
    for (unsigned round = 0; round < 2; round++) {
        struct front front;

        begin_polled(&front, round ? ALL : BASIC, POLL_US_AUTO);
        check_kicks(&front, true, true);
        check_kicks(&front, false, false);
        check_kicks(&front, true, true);
        CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
    }
}

/* A driver that is awake, but asks late, is not looked for: the queue sleeps soon after a reply. */
static void polled_in_vain(void)
{
    struct front front;
    unsigned asleep = 0;

    begin_polled(&front, BASIC, POLL_US_AUTO);
    set_driver(&front, false);
    for (unsigned round = 0; round < ROUNDS && asleep < COUNT / 2; round++) {
        asleep = 0;
        for (unsigned i = 0; i < COUNT; i++) {
            front_request(&front, 1, 0, FAKE_ECHO, 0, 64);
            front_kick(&front, 1);
            CHECK(is_answered(&front, 5000));
            CHECK_EQ(front_used(&front, 1, NULL), 56);
            spin_for(QUEUE_LOOK_NS / 3);
            asleep += __atomic_load_n(&front.queues[1].used->flags, __ATOMIC_RELAXED) == 0;
            spin_for(QUEUE_LOOK_NS * 2);
        }
    }
    CHECK(asleep >= COUNT / 2);
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
}

/* Never, when told so. */
static void not_polled(void)
{
    struct front front;

    begin_polled(&front, ALL, 0);
    check_kicks(&front, false, true);
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
}

int main(void)
{
    RUN(polled_ring);
    RUN(polled_by_both);
    RUN(polled_in_vain);
    RUN(not_polled);
    return test_result();
}
