// SPDX-License-Identifier: BSD-3-Clause
/* FORGETs that come often: they gather, and whoever leads the first request queue does some. */
#include <linux/virtio_config.h>
#include <time.h>
#include <unistd.h>

#include "device.h"
#include "fake_fuse.h"
#include "test.h"
#include "vu_front.h"

#define ALL                                                        \
    (VU_BIT(VIRTIO_F_VERSION_1) | VU_BIT(VU_F_PROTOCOL_FEATURES) | \
     VU_BIT(VIRTIO_RING_F_EVENT_IDX) | VU_BIT(VIRTIO_RING_F_INDIRECT_DESC))

/* Rounds of some FORGETs and a request until enough were done in passing, at the most. */
#define ROUNDS_MAX   5000
#define ENOUGH       20

/* Descriptors and buffers of the hiprio queue start here: buffers are the same for all queues. */
#define FORGET_FIRST 32
#define FORGETS      8

/* So many wait before somebody else does them. */
#define GATHERED     4

static void begin(struct front *front)
{
    fake_clear();
    front_init(front);
    front->settings.thread_pool_size = 1;
    CHECK_EQ(front_start(front), 0);
    CHECK_EQ(front_negotiate(front, ALL), 0);
    CHECK_EQ(front_set_memory(front), 0);
    CHECK_EQ(front_start_ring(front, 0), 0);
    CHECK_EQ(front_start_ring(front, 1), 0);
}

/* As drivers do: only if the device has asked for it. */
static void kick_if_wanted(struct front *front, unsigned q, uint16_t old)
{
    struct front_queue *queue = &front->queues[q];
    const uint16_t *event = (const uint16_t *)&queue->used->ring[FRONT_RING_SIZE];

    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (vring_need_event(__atomic_load_n(event, __ATOMIC_RELAXED), queue->avail_index, old))
        front_kick(front, q);
}

static void hiprio_request(struct front *front, uint32_t command)
{
    uint16_t old = front->queues[0].avail_index;

    front_request(front, 0, FORGET_FIRST + old % FORGETS * 2, command, 0, 64);
    kick_if_wanted(front, 0, old);
}

static void request(struct front *front)
{
    uint16_t old = front->queues[1].avail_index;

    front_request(front, 1, 0, FAKE_ECHO, 0, 64);
    kick_if_wanted(front, 1, old);
    CHECK_EQ(front_used(front, 1, NULL), 56);
}

/* A FORGET is given back once, with nothing written, in its turn. */
static void take_forget(struct front *front)
{
    uint32_t head = 0;
    unsigned place = front->queues[0].used_seen % FORGETS;

    CHECK_EQ(front_used(front, 0, &head), 0);
    CHECK_EQ(head, FORGET_FIRST + place * 2);
}

/* FORGETs and requests in turn until at least so many FORGETs more were done in passing. */
static void help(struct front *front, unsigned count)
{
    unsigned before = fake_helped;

    for (unsigned i = 0; i < ROUNDS_MAX && fake_helped < before + count; i++) {
        for (unsigned n = 0; n < GATHERED; n++)
            hiprio_request(front, FAKE_FORGET);
        request(front);
        for (unsigned n = 0; n < GATHERED; n++)
            take_forget(front);
    }
    CHECK(fake_helped >= before + count);
}

static void done_in_passing(void)
{
    struct front front;

    begin(&front);
    help(&front, ENOUGH);
    CHECK_EQ(fake_runs, front.queues[0].used_seen + front.queues[1].used_seen);
    /* The driver is told of them, though nobody has kicked for them. */
    front_notified(front.queues[0].call_fd, 0);
    front.queues[0].avail->ring[FRONT_RING_SIZE] = front.queues[0].used_seen;
    help(&front, ENOUGH);
    CHECK(front_notified(front.queues[0].call_fd, 5000) >= 1);
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
    CHECK_EQ(fake_bad, 0);
}

/* What else comes by the hiprio queue is left to its thread, in its turn and once. */
static void others_are_left(void)
{
    struct front front;

    begin(&front);
    for (unsigned i = 0; i < 50; i++) {
        help(&front, 1);
        unsigned runs = fake_runs;
        hiprio_request(&front, FAKE_ECHO);
        for (unsigned n = 0; n < GATHERED; n++)
            hiprio_request(&front, FAKE_FORGET);
        request(&front);
        CHECK_EQ(front_used(&front, 0, NULL), 56);
        for (unsigned n = 0; n < GATHERED; n++)
            take_forget(&front);
        CHECK_EQ(fake_runs, runs + GATHERED + 2);
    }
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
    CHECK_EQ(fake_bad, 0);
}

/* A ring that has stopped is let alone, and one that moves to other memory is found there. */
static void stops_and_moves(void)
{
    struct front front;

    begin(&front);
    for (unsigned i = 0; i < 20; i++) {
        help(&front, 1);
        for (unsigned n = 0; n < GATHERED; n++)
            hiprio_request(&front, FAKE_FORGET);
        int base = front_stop_ring(&front, 0);
        CHECK_EQ(base, front_used_index(&front, 0));
        unsigned helped = fake_helped;
        request(&front);
        request(&front);
        CHECK_EQ(fake_helped, helped);
        CHECK_EQ(front_used_index(&front, 0), (uint16_t)base);

        uint16_t offered = front.queues[0].avail_index;
        front.queues[0].avail_index = (uint16_t)base;
        CHECK_EQ(front_start_ring(&front, 0), 0);
        front.queues[0].avail_index = offered;
        front_kick(&front, 0);
        for (unsigned n = 0; n < GATHERED; n++)
            take_forget(&front);
        help(&front, 1);
        CHECK_EQ(i % 2 ? front_set_memory(&front) : front_set_memory_in_halves(&front), 0);
    }
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
    CHECK_EQ(fake_bad, 0);
}

/* A ring that is found broken in passing is left to its own thread: the other goes on. */
static void broken_in_passing(void)
{
    struct front front;

    begin(&front);
    help(&front, ENOUGH);
    for (unsigned i = 0; i < GATHERED; i++)
        front_offer(&front, 0, FRONT_RING_SIZE);
    for (unsigned i = 0; i < 20; i++)
        request(&front);
    front_kick(&front, 0);
    CHECK_EQ(front_notified(front.queues[0].err_fd, 5000), 1);
    unsigned helped = fake_helped;
    request(&front);
    CHECK_EQ(fake_helped, helped);
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
    CHECK_EQ(fake_bad, 0);
}

/* So is one whose FORGETs lie in memory that was taken away. */
static void memory_gone_in_passing(void)
{
    struct front front;

    begin(&front);
    help(&front, FORGETS + ENOUGH);
    CHECK_EQ(ftruncate(front.memory_fd, FRONT_BUFFERS + FORGET_FIRST * FRONT_BUFFER_SIZE), 0);
    for (unsigned i = 0; i < GATHERED; i++)
        front_offer(&front, 0, FORGET_FIRST + i * 2);
    for (unsigned i = 0; i < 20; i++)
        request(&front);
    front_kick(&front, 0);
    CHECK_EQ(front_notified(front.queues[0].err_fd, 5000), 1);
    request(&front);
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
    CHECK_EQ(fake_bad, 0);
}

/* Whoever is kept by a FORGET holds no lock: the hiprio queue goes on, and stops. */
static void kept_in_passing(void)
{
    struct front front;
    uint16_t old;

    begin(&front);
    help(&front, ENOUGH);
    for (unsigned round = 0; round < ROUNDS_MAX && fake_inside == 0; round++) {
        for (unsigned n = 0; n < GATHERED; n++) {
            old = front.queues[0].avail_index;
            front_request(&front, 0, FORGET_FIRST + old % FORGETS * 2, FAKE_FORGET,
                          FAKE_FORGET_WAITS, 64);
            kick_if_wanted(&front, 0, old);
        }
        request(&front);
        for (unsigned n = 0; n < GATHERED; n++)
            take_forget(&front);
    }
    CHECK_EQ(fake_inside, 1);
    unsigned helped = fake_helped;
    CHECK_EQ(front_stop_ring(&front, 0), front.queues[0].avail_index);
    CHECK_EQ(front_start_ring(&front, 0), 0);
    old = front.queues[0].avail_index;
    front_request(&front, 0, FORGET_FIRST + old % FORGETS * 2, FAKE_FORGET, 0, 64);
    front_kick(&front, 0);
    take_forget(&front);
    request(&front); /* by another thread, as the first is taken for stuck */
    CHECK_EQ(fake_helped, helped);
    fake_release();
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
    CHECK_EQ(fake_bad, 0);
}

int main(void)
{
    RUN(done_in_passing);
    RUN(others_are_left);
    RUN(stops_and_moves);
    RUN(broken_in_passing);
    RUN(memory_gone_in_passing);
    RUN(kept_in_passing);
    return test_result();
}
