// SPDX-License-Identifier: BSD-3-Clause
/* FORGETs that come often: they gather, and whoever serves the first request queue does some. */
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
    front->settings.thread_pool_size = 8;
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

static void hiprio_request(struct front *front, uint32_t command, uint32_t argument)
{
    uint16_t old = front->queues[0].avail_index;

    front_request(front, 0, FORGET_FIRST + old % FORGETS * 2, command, argument, 64);
    kick_if_wanted(front, 0, old);
}

/* As many FORGETs as somebody else does at a time. */
static void forget(struct front *front, uint32_t argument)
{
    for (unsigned n = 0; n < GATHERED; n++)
        hiprio_request(front, FAKE_FORGET, argument);
}

static void request(struct front *front)
{
    uint16_t old = front->queues[1].avail_index;

    front_request(front, 1, 0, FAKE_ECHO, 0, 64);
    kick_if_wanted(front, 1, old);
    CHECK_EQ(front_used(front, 1, NULL), 56);
}

/* They are given back once, with nothing written, in their turn. */
static void take_forgets(struct front *front)
{
    for (unsigned n = 0; n < GATHERED; n++) {
        uint32_t head = 0;
        unsigned place = front->queues[0].used_seen % FORGETS;

        CHECK_EQ(front_used(front, 0, &head), 0);
        CHECK_EQ(head, FORGET_FIRST + place * 2);
    }
}

static void round_of(struct front *front, uint32_t argument)
{
    forget(front, argument);
    request(front);
    take_forgets(front);
}

/* FORGETs and requests in turn until at least so many FORGETs more were done in passing. */
static void help(struct front *front, unsigned count)
{
    unsigned before = fake_helped;

    for (unsigned i = 0; i < ROUNDS_MAX && fake_helped < before + count; i++)
        round_of(front, 0);
    CHECK(fake_helped >= before + count);
}

/* Whether each was run once; the server counts after a FORGET was given back. */
static bool each_ran_once(const struct front *front)
{
    unsigned wanted = front->queues[0].used_seen + front->queues[1].used_seen;

    for (unsigned n = 0; n < 5000 && fake_runs < wanted; n++)
        usleep(1000);
    return fake_runs == wanted;
}

/* A round whose FORGETs are all done in passing; the driver wants to be told of the last one. */
static bool all_in_passing(struct front *front)
{
    struct front_queue *queue = &front->queues[0];
    unsigned before = fake_helped;

    front_notified(queue->call_fd, 0);
    __atomic_store_n(&queue->avail->ring[FRONT_RING_SIZE],
                     (uint16_t)(queue->avail_index + GATHERED - 1), __ATOMIC_SEQ_CST);
    round_of(front, 0);
    return fake_helped == before + GATHERED;
}

static void done_in_passing(void)
{
    struct front front;
    unsigned round = 0;

    begin(&front);
    help(&front, ENOUGH);
    while (round < ROUNDS_MAX && !all_in_passing(&front))
        round++;
    CHECK(round < ROUNDS_MAX);
    /* The driver is told, though whoever did them was not asked to. */
    CHECK_EQ(front_notified(front.queues[0].call_fd, 5000), 1);
    CHECK(each_ran_once(&front));
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
        hiprio_request(&front, FAKE_ECHO, 0);
        forget(&front, 0);
        request(&front);
        CHECK_EQ(front_used(&front, 0, NULL), 56);
        take_forgets(&front);
        CHECK(each_ran_once(&front));
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
        forget(&front, 0);
        int base = front_stop_ring(&front, 0);
        CHECK_EQ(base, front_used_index(&front, 0));
        request(&front);
        request(&front);
        CHECK_EQ(front_used_index(&front, 0), (uint16_t)base);

        uint16_t offered = front.queues[0].avail_index;
        front.queues[0].avail_index = (uint16_t)base;
        CHECK_EQ(front_start_ring(&front, 0), 0);
        front.queues[0].avail_index = offered;
        front_kick(&front, 0);
        take_forgets(&front);
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
    request(&front);
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

    begin(&front);
    help(&front, ENOUGH);
    for (unsigned round = 0; round < ROUNDS_MAX && fake_inside == 0; round++)
        round_of(&front, FAKE_FORGET_WAITS);
    CHECK(fake_inside > 0);
    CHECK_EQ(front_stop_ring(&front, 0), front.queues[0].avail_index);
    CHECK_EQ(front_start_ring(&front, 0), 0);
    forget(&front, 0);
    front_kick(&front, 0);
    take_forgets(&front);
    request(&front); /* by another thread, as the first is taken for stuck */
    CHECK(fake_inside > 0);
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
