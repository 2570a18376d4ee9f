// SPDX-License-Identifier: BSD-3-Clause
/* Whole rings through the socket: start, serve, batch, stop, break, restart. */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <time.h>
#include <unistd.h>

#include "device.h"
#include "fake_fuse.h"
#include "queue.h"
#include "test.h"
#include "vu_front.h"

#define BASIC (VU_BIT(VIRTIO_F_VERSION_1) | VU_BIT(VU_F_PROTOCOL_FEATURES))
#define ALL   (BASIC | VU_BIT(VIRTIO_RING_F_EVENT_IDX) | VU_BIT(VIRTIO_RING_F_INDIRECT_DESC))

static int64_t milliseconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

static int begin(struct front *front, uint64_t features)
{
    fake_clear();
    if (front_start(front) < 0 || front_negotiate(front, features) < 0)
        return -1;
    return front_set_memory(front);
}

static void one_request(void)
{
    struct front front;
    uint32_t head = 99;

    front_init(&front);
    CHECK_EQ(begin(&front, ALL), 0);
    CHECK_EQ(front_start_ring(&front, 1), 0);
    front_request(&front, 1, 4, FAKE_ECHO, 0, 4096);
    strcpy((char *)front_buffer(&front, 4) + 8, "hello");

    /* "The back-end must start ring upon receiving a kick." */
    usleep(50000);
    CHECK_EQ(front_used_index(&front, 1), 0);
    front_kick(&front, 1);
    CHECK_EQ(front_used(&front, 1, &head), 56);
    CHECK_EQ(head, 4);
    CHECK(strcmp(front_buffer(&front, 5), "hello") == 0);
    CHECK_EQ(front_notified(front.queues[1].call_fd, 1000), 1);

    CHECK_EQ(front_stop_ring(&front, 1), 1);
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
    CHECK_EQ(fake_resets, 1);
    CHECK_EQ(fake_threads, 0);
}

/* One notification for a whole batch, and used_event respected. */
static void batch_notifies_once(void)
{
    struct front front;

    front_init(&front);
    CHECK_EQ(begin(&front, ALL), 0);
    CHECK_EQ(front_start_ring(&front, 1), 0);
    /* All is available before the kick: one batch of 20. */
    for (unsigned i = 0; i < 20; i++)
        front_request(&front, 1, 2 * i, FAKE_ECHO, 0, 64);
    front_kick(&front, 1);
    for (unsigned i = 0; i < 20; i++)
        CHECK(front_used(&front, 1, NULL) >= 0);
    usleep(20000);
    /* More than one only if the batch took longer than its time limit. */
    uint64_t count = front_notified(front.queues[1].call_fd, 1000);
    CHECK(count >= 1 && count <= 10);

    /* used_event is still 0: nothing that comes now is asked for. */
    front_request(&front, 1, 0, FAKE_ECHO, 0, 64);
    front_kick(&front, 1);
    CHECK(front_used(&front, 1, NULL) >= 0);
    CHECK_EQ(front_notified(front.queues[1].call_fd, 100), 0);

    front.queues[1].avail->ring[FRONT_RING_SIZE] = 21; /* used_event */
    front_request(&front, 1, 0, FAKE_ECHO, 0, 64);
    front_kick(&front, 1);
    CHECK(front_used(&front, 1, NULL) >= 0);
    CHECK_EQ(front_notified(front.queues[1].call_fd, 1000), 1);
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
}

/* By what is done, how old the first of that is, and what is left to do. */
static void batch_gathers_what_time_allows(void)
{
    /* Quick requests: what is left is done before the driver is awake. */
    CHECK(queue_batch_is_full(QUEUE_BATCH_MIN, QUEUE_BATCH_MIN * 500, 20));
    CHECK(!queue_batch_is_full(QUEUE_BATCH_MIN - 1, 1, 0));
    /* Many of them, for which it would have to be woken once more, and just not. */
    CHECK(!queue_batch_is_full(11, 10000, QUEUE_WAKE_NS / 2 / 1000 + 1));
    CHECK(queue_batch_is_full(11, 10000, QUEUE_WAKE_NS / 2 / 1000));
    CHECK(queue_batch_is_full(11, 20000, QUEUE_WAKE_LEFT));
    CHECK(!queue_batch_is_full(11, 20000, QUEUE_WAKE_LEFT + 1));
    /* Slow ones, with enough left for the time until then, and just not. */
    CHECK(!queue_batch_is_full(11, 50000, QUEUE_WAKE_NS / 5000 + 1));
    CHECK(queue_batch_is_full(11, 50000, QUEUE_WAKE_NS / 5000));
    CHECK(queue_batch_is_full(11, 50000, 0));
    /* Nobody waits longer than that, however much is left. */
    CHECK(!queue_batch_is_full(2, QUEUE_BATCH_NS - 1, 0));
    CHECK(queue_batch_is_full(2, QUEUE_BATCH_NS, VIRTQ_SIZE_MAX));
    CHECK(!queue_batch_is_full(VIRTQ_SIZE_MAX / 2, QUEUE_BATCH_NS - 1, VIRTQ_SIZE_MAX));
    CHECK(queue_batch_is_full(2, INT64_MAX, VIRTQ_SIZE_MAX));
}

/* Without EVENT_IDX the driver says so by a flag. */
static void flag_stops_notifications(void)
{
    struct front front;

    front_init(&front);
    CHECK_EQ(begin(&front, BASIC), 0);
    CHECK_EQ(front_start_ring(&front, 1), 0);
    front.queues[1].avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
    front_request(&front, 1, 0, FAKE_ECHO, 0, 64);
    front_kick(&front, 1);
    CHECK(front_used(&front, 1, NULL) >= 0);
    CHECK_EQ(front_notified(front.queues[1].call_fd, 100), 0);

    __atomic_store_n(&front.queues[1].avail->flags, 0, __ATOMIC_SEQ_CST);
    front_request(&front, 1, 0, FAKE_ECHO, 0, 64);
    front_kick(&front, 1);
    CHECK(front_used(&front, 1, NULL) >= 0);
    CHECK_EQ(front_notified(front.queues[1].call_fd, 1000), 1);
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
}

/* Many requests, kicked only when the device asked for it: a lost wake-up would hang. */
static void many_requests(unsigned pool, unsigned rounds)
{
    struct front front;
    /* With the pool: some that sleep, and some that hand the queue on and return at once. */
    static const uint32_t commands[] = {FAKE_ECHO, FAKE_ECHO, FAKE_BLOCK, FAKE_SLEEP};

    front_init(&front);
    front.settings.thread_pool_size = pool;
    CHECK_EQ(begin(&front, ALL), 0);
    fake_release();
    CHECK_EQ(front_start_ring(&front, 1), 0);
    CHECK_EQ(fake_threads, 1);
    struct front_queue *queue = &front.queues[1];
    __virtio16 *avail_event = (__virtio16 *)&queue->used->ring[FRONT_RING_SIZE];

    for (unsigned i = 0; i < rounds; i++) {
        uint16_t old = queue->avail_index;
        unsigned burst = 1 + i % 16;
        uint32_t heads = 0;

        for (unsigned j = 0; j < burst; j++)
            front_request(&front, 1, 2 * j, commands[pool ? (i + j) % 4 : 0], j % 3, 64);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        if (vring_need_event(__atomic_load_n(avail_event, __ATOMIC_RELAXED), queue->avail_index,
                             old))
            front_kick(&front, 1);
        /* In any order, but each exactly once. */
        for (unsigned j = 0; j < burst; j++) {
            uint32_t head = 0;
            int64_t length = front_used(&front, 1, &head);
            CHECK(length == 56 || length == 8);
            heads |= UINT32_C(1) << head / 2;
        }
        CHECK_EQ(heads, (1u << burst) - 1);
    }
    CHECK_EQ(front_stop_ring(&front, 1), queue->avail_index);
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
    CHECK_EQ(fake_threads, 0);
}

/* 65536 and more: the indices wrap. */
static void many_requests_on_one_thread(void)
{
    many_requests(0, 9000);
}

static void many_requests_on_four_threads(void)
{
    many_requests(3, 2000);
}

/* A ring that stops and starts again goes on where it was, also without a new kick. */
static void stop_and_restart(void)
{
    struct front front;

    front_init(&front);
    CHECK_EQ(begin(&front, ALL), 0);
    CHECK_EQ(front_start_ring(&front, 1), 0);
    front_request(&front, 1, 0, FAKE_ECHO, 0, 64);
    front_kick(&front, 1);
    CHECK_EQ(front_used(&front, 1, NULL), 56);
    CHECK_EQ(front_stop_ring(&front, 1), 1);

    /* As on pause: status 0 and all the settings once more; the session stays. */
    uint64_t zero = 0;
    CHECK_EQ(front_ask(&front, VU_SET_STATUS, &zero, 8, NULL, 0), 0);
    CHECK_EQ(fake_resets, 0);
    struct vu_vring_state base = {1, 1};
    CHECK_EQ(front_start_ring(&front, 1), 0);
    CHECK_EQ(front_stop_ring(&front, 1), 1);
    front_request(&front, 1, 2, FAKE_ECHO, 0, 64);
    uint64_t u64 = 1;
    CHECK_EQ(front_ask(&front, VU_SET_VRING_BASE, &base, sizeof(base), NULL, 0), 0);
    CHECK_EQ(front_ask(&front, VU_SET_VRING_KICK, &u64, 8, &front.queues[1].kick_fd, 1), 0);
    CHECK_EQ(front_used(&front, 1, NULL), 56);
    CHECK_EQ(front_used_index(&front, 1), 2);
    CHECK_EQ(front_stop_ring(&front, 1), 2);
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
}

/*
 * A request that cannot go on now stays in the ring: taken again and again, but not all the time;
 * found there by whoever runs the ring next, without a kick. What was done before it is announced.
 */
static void interrupted_request_stays_in_the_ring(void)
{
    struct front front;

    front_init(&front);
    CHECK_EQ(begin(&front, BASIC), 0);
    CHECK_EQ(front_start_ring(&front, 1), 0);
    for (unsigned round = 0; round < 3; round++) {
        uint16_t base = front.queues[1].avail_index;
        int64_t start = milliseconds();

        fake_clear();
        front_request(&front, 1, 0, FAKE_ECHO, 0, 64);
        front_request(&front, 1, 2, FAKE_RESTART, 0, 64);
        front_request(&front, 1, 4, FAKE_ECHO, 0, 64);
        front_kick(&front, 1);
        CHECK(front_used(&front, 1, NULL) >= 0);
        CHECK_EQ(front_notified(front.queues[1].call_fd, 1000), 1);
        while (fake_restarts < 20)
            usleep(1000);
        CHECK(fake_restarts <= milliseconds() - start + 1);
        CHECK_EQ(front_used_index(&front, 1), base + 1);

        /* It holds no memory: another table need not wait for it. */
        start = milliseconds();
        CHECK_EQ(round % 2 ? front_set_memory(&front) : front_set_memory_in_halves(&front), 0);
        CHECK(milliseconds() - start < 250);

        CHECK_EQ(front_stop_ring(&front, 1), (uint16_t)(base + 1));
        fake_release();
        front.queues[1].avail_index = (uint16_t)(base + 1);
        CHECK_EQ(front_start_ring(&front, 1), 0);
        front.queues[1].avail_index = (uint16_t)(base + 3);
        for (uint32_t expected = 2; expected <= 4; expected += 2) {
            uint32_t head = 99;
            CHECK(front_used(&front, 1, &head) >= 0);
            CHECK_EQ(head, expected);
        }
        /* What is left of this round's notifications. */
        CHECK_EQ(front_stop_ring(&front, 1), (uint16_t)(base + 3));
        CHECK(front_notified(front.queues[1].call_fd, 1000) > 0);
        CHECK_EQ(front_start_ring(&front, 1), 0);
    }
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
}

/*
 * Two requests at once: the second one's thread is made when the first one is found stuck. Returns
 * when both are answered and both threads are free.
 */
static void make_two_threads(struct front *front)
{
    uint32_t head = 99;
    unsigned before = fake_threads;

    fake_clear();
    front_request(front, 1, 0, FAKE_HANG, 0, 64);
    front_request(front, 1, 2, FAKE_ECHO, 0, 64);
    front_kick(front, 1);
    CHECK_EQ(front_used(front, 1, &head), 56);
    CHECK_EQ(head, 2);
    CHECK_EQ(fake_threads, before + 1);
    fake_release();
    CHECK_EQ(front_used(front, 1, &head), 8);
    CHECK_EQ(head, 0);
    usleep(10000);
}

/* The server hears that the stuck request has ended while its thread is still there. */
static void ring_breaks_behind_a_stuck_request(void)
{
    struct front front;
    uint32_t head = 99;

    front_init(&front);
    front.settings.thread_pool_size = 1;
    CHECK_EQ(begin(&front, BASIC), 0);
    CHECK_EQ(front_start_ring(&front, 1), 0);
    front_request(&front, 1, 0, FAKE_HANG, 0, 64);
    front_request(&front, 1, 2, FAKE_ECHO, 0, 64);
    front_kick(&front, 1);
    CHECK_EQ(front_used(&front, 1, &head), 56);
    CHECK_EQ(head, 2);
    CHECK_EQ(fake_stuck, 1);
    front_set_desc(&front, 1, 4, 0x10, 64, 0, 0); /* outside memory */
    front_offer(&front, 1, 4);
    front_kick(&front, 1);
    CHECK_EQ(front_notified(front.queues[1].err_fd, 2000), 1);
    fake_release();
    front_stop_ring(&front, 1);
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
    CHECK_EQ(fake_stuck, 0);
    CHECK_EQ(fake_bad, 0);
}

static void disabled_ring_waits(void)
{
    struct front front;
    struct vu_vring_state state = {1, 0};

    front_init(&front);
    CHECK_EQ(begin(&front, ALL), 0);
    CHECK_EQ(front_start_ring(&front, 1), 0);
    CHECK_EQ(front_ask(&front, VU_SET_VRING_ENABLE, &state, sizeof(state), NULL, 0), 0);
    front_request(&front, 1, 0, FAKE_ECHO, 0, 64);
    front_kick(&front, 1);
    usleep(50000);
    CHECK_EQ(front_used_index(&front, 1), 0);
    state.num = 1;
    CHECK_EQ(front_ask(&front, VU_SET_VRING_ENABLE, &state, sizeof(state), NULL, 0), 0);
    CHECK_EQ(front_used(&front, 1, NULL), 56);
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
}

/* A broken chain costs its own queue only. */
static void broken_chain_costs_one_queue(void)
{
    struct front front;

    front_init(&front);
    CHECK_EQ(begin(&front, ALL), 0);
    CHECK_EQ(front_start_ring(&front, 1), 0);
    CHECK_EQ(front_start_ring(&front, 2), 0);
    CHECK_EQ(front_get(&front, VU_GET_STATUS), 0);

    front_set_desc(&front, 1, 0, 0x10, 64, 0, 0); /* outside memory */
    front_offer(&front, 1, 0);
    front_kick(&front, 1);
    CHECK_EQ(front_notified(front.queues[1].err_fd, 2000), 1);
    CHECK_EQ(front_get(&front, VU_GET_STATUS), VIRTIO_CONFIG_S_NEEDS_RESET);

    front_request(&front, 2, 0, FAKE_ECHO, 0, 64);
    front_kick(&front, 2);
    CHECK_EQ(front_used(&front, 2, NULL), 56);

    /* After the front-end took notice the ring can start anew. */
    CHECK_EQ(front_stop_ring(&front, 1), 0);
    front.queues[1].avail_index = 0;
    __atomic_store_n(&front.queues[1].avail->idx, 0, __ATOMIC_RELEASE);
    CHECK_EQ(front_start_ring(&front, 1), 0);
    front_request(&front, 1, 0, FAKE_ECHO, 0, 64);
    front_kick(&front, 1);
    CHECK_EQ(front_used(&front, 1, NULL), 56);
    CHECK_EQ(front_ask(&front, VU_RESET_DEVICE, NULL, 0, NULL, 0), 0);
    CHECK_EQ(fake_resets, 1);
    CHECK_EQ(front_get(&front, VU_GET_STATUS), 0);
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
}

/* Memory that the front-end truncates: the queue breaks, the daemon goes on. */
static void truncated_memory_is_survived(void)
{
    struct front front;

    front_init(&front);
    CHECK_EQ(begin(&front, ALL), 0);
    CHECK_EQ(front_start_ring(&front, 1), 0);
    front_request(&front, 1, 0, FAKE_ECHO, 0, 64);
    CHECK_EQ(ftruncate(front.memory_fd, FRONT_BUFFERS), 0);
    front_kick(&front, 1);
    CHECK_EQ(front_notified(front.queues[1].err_fd, 2000), 1);
    CHECK_EQ(front_used_index(&front, 1), 0);

    /* The ring itself. */
    CHECK_EQ(ftruncate(front.memory_fd, FRONT_MEMORY_SIZE), 0);
    CHECK_EQ(front_start_ring(&front, 2), 0);
    CHECK_EQ(ftruncate(front.memory_fd, 0), 0);
    front_kick(&front, 2);
    CHECK_EQ(front_notified(front.queues[2].err_fd, 2000), 1);
    CHECK_EQ(front_get(&front, VU_GET_STATUS), VIRTIO_CONFIG_S_NEEDS_RESET);
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
}

/* While a request blocks, another thread goes on; threads are made when they are missed. */
static void pool_thread_takes_over(void)
{
    struct front front;

    front_init(&front);
    /* No more than it needs: a thread that a busy machine keeps waiting is taken for a stuck one.
     */
    front.settings.thread_pool_size = 1;
    CHECK_EQ(begin(&front, ALL), 0);
    CHECK_EQ(front_start_ring(&front, 1), 0);
    CHECK_EQ(front_start_ring(&front, 0), 0);
    CHECK_EQ(fake_threads, 2);
    front_request(&front, 1, 0, FAKE_BLOCK, 0, 64);
    front_kick(&front, 1);
    while (fake_inside == 0)
        usleep(1000);

    uint32_t head = 99;
    front_request(&front, 1, 2, FAKE_ECHO, 0, 64);
    front_kick(&front, 1);
    CHECK_EQ(front_used(&front, 1, &head), 56);
    CHECK_EQ(head, 2);
    /* hiprio never waits behind the others. */
    front_request(&front, 0, 0, FAKE_FORGET, 0, 64);
    front_kick(&front, 0);
    CHECK_EQ(front_used(&front, 0, NULL), 0);

    fake_release();
    CHECK_EQ(front_used(&front, 1, &head), 8);
    CHECK_EQ(head, 0);
    CHECK_EQ(fake_threads, 3);
    CHECK_EQ(front_stop_ring(&front, 1), 2);
    CHECK_EQ(fake_threads, 1);
    CHECK_EQ(front_start_ring(&front, 1), 0);
    CHECK_EQ(fake_threads, 2);
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
    CHECK_EQ(fake_threads, 0);
    CHECK_EQ(fake_bad, 0);
}

/* As many as the pool has, over all queues; the next stuck request waits for one of them. */
static void pool_has_a_limit(void)
{
    struct front front;
    uint32_t head = 99;

    front_init(&front);
    front.settings.thread_pool_size = 3;
    CHECK_EQ(begin(&front, ALL), 0);
    CHECK_EQ(front_start_ring(&front, 1), 0);
    CHECK_EQ(front_start_ring(&front, 2), 0);
    for (unsigned i = 0; i < 3; i++) {
        front_request(&front, 1, 2 * i, FAKE_HANG, 0, 64);
        front_request(&front, 2, 2 * i, FAKE_HANG, 0, 64);
    }
    front_kick(&front, 1);
    front_kick(&front, 2);
    while (fake_inside < 5)
        usleep(1000);
    usleep(50000);
    CHECK_EQ(fake_inside, 5);
    CHECK_EQ(fake_threads, 5);
    CHECK_EQ(fake_stuck, 5);
    fake_release();
    for (unsigned i = 0; i < 3; i++) {
        CHECK_EQ(front_used(&front, 1, &head), 8);
        CHECK_EQ(front_used(&front, 2, &head), 8);
    }
    /* Whoever has nothing to do goes; a leader stays with each ring. */
    usleep((QUEUE_FOLLOWER_SECONDS + 1) * 1000000);
    CHECK_EQ(fake_stuck, 0);
    CHECK_EQ(fake_threads, 2);
    make_two_threads(&front);
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
    CHECK_EQ(fake_threads, 0);
    CHECK_EQ(fake_bad, 0);
}

/* A memory table that comes while a request runs: its old memory stays, the answer comes soon. */
static void memory_changes_under_a_request(void)
{
    struct front front;

    front_init(&front);
    front.settings.thread_pool_size = 1;
    CHECK_EQ(begin(&front, ALL), 0);
    CHECK_EQ(front_start_ring(&front, 1), 0);
    front_request(&front, 1, 0, FAKE_BLOCK, 0, 64);
    front_kick(&front, 1);
    while (fake_inside == 0)
        usleep(1000);

    /* The same memory by another file descriptor and offset 0 is shared, by two halves is not. */
    CHECK_EQ(front_set_memory(&front), 0);
    CHECK_EQ(front_set_memory_in_halves(&front), 0);

    front_request(&front, 1, 2, FAKE_ECHO, 0, 64);
    front_kick(&front, 1);
    CHECK_EQ(front_used(&front, 1, NULL), 56);
    fake_release();
    CHECK_EQ(front_used(&front, 1, NULL), 8);
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
}

/* Memory without the ring breaks the queue, also an empty table. */
static void ring_without_memory_breaks(void)
{
    struct front front;
    struct vu_memory_table table = {.count = 0};

    front_init(&front);
    CHECK_EQ(begin(&front, ALL), 0);
    CHECK_EQ(front_start_ring(&front, 1), 0);
    CHECK_EQ(front_ask(&front, VU_SET_MEM_TABLE, &table, 8, NULL, 0), 0);
    CHECK_EQ(front_notified(front.queues[1].err_fd, 2000), 1);
    CHECK_EQ(front_stop_ring(&front, 1), 0);
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
}

/* Stop: what was taken is answered, in good time. */
static void stop_answers_what_runs(void)
{
    struct front front;
    uint64_t one = 1;

    front_init(&front);
    CHECK_EQ(begin(&front, ALL), 0);
    CHECK_EQ(front_start_ring(&front, 1), 0);
    front_request(&front, 1, 0, FAKE_SLEEP, 200000, 64);
    front_kick(&front, 1);
    while (fake_inside == 0)
        usleep(1000);
    CHECK_EQ(write(front.stop_fd, &one, 8), 8);
    int64_t start = milliseconds();
    CHECK_EQ(front_used(&front, 1, NULL), 8);
    CHECK_EQ(front_notified(front.queues[1].call_fd, 1000), 1);
    CHECK_EQ(front_join(&front), DEVICE_END_CLEAN);
    CHECK(milliseconds() - start < 700);
}

/* Half a message, then silence: stop comes through all the same. */
static void stop_in_the_middle_of_a_message(void)
{
    struct front front;
    uint64_t one = 1;

    front_init(&front);
    CHECK_EQ(begin(&front, ALL), 0);
    CHECK_EQ(write(front.socket_fd, "\1\0\0\0\1", 5), 5);
    usleep(20000);
    CHECK_EQ(write(front.stop_fd, &one, 8), 8);
    int64_t start = milliseconds();
    CHECK_EQ(front_join(&front), DEVICE_END_CLEAN);
    CHECK(milliseconds() - start < 500);
}

/* The front-end leaves while requests run. */
static void front_end_leaves_inside_a_request(void)
{
    struct front front;

    front_init(&front);
    CHECK_EQ(begin(&front, ALL), 0);
    CHECK_EQ(front_start_ring(&front, 1), 0);
    front_request(&front, 1, 0, FAKE_SLEEP, 100000, 64);
    front_kick(&front, 1);
    while (fake_inside == 0)
        usleep(1000);
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
    CHECK_EQ(fake_bad, 0);
    CHECK_EQ(fake_resets, 1);
}

/* Kick and call descriptors that are no eventfds, and full or dead ones. */
static void strange_event_descriptors(void)
{
    struct front front;
    uint64_t u64 = 1;
    int kick[2], call[2];

    front_init(&front);
    CHECK_EQ(begin(&front, ALL), 0);
    CHECK_EQ(front_start_ring(&front, 1), 0);
    CHECK(front_ask(&front, VU_SET_VRING_KICK, &u64, 8, &front.memory_fd, 1) > 0);
    CHECK(front_ask(&front, VU_SET_VRING_CALL, &u64, 8, &front.memory_fd, 1) > 0);

    /* Blocking pipes; nobody reads the call pipe. */
    CHECK_EQ(pipe(kick), 0);
    CHECK_EQ(pipe(call), 0);
    CHECK_EQ(front_ask(&front, VU_SET_VRING_KICK, &u64, 8, kick, 1), 0);
    CHECK_EQ(front_ask(&front, VU_SET_VRING_CALL, &u64, 8, &call[1], 1), 0);
    for (unsigned i = 0; i < 9000; i++) {
        front.queues[1].avail->ring[FRONT_RING_SIZE] = (uint16_t)i; /* used_event */
        front_request(&front, 1, 0, FAKE_ECHO, 0, 64);
        CHECK_EQ(write(kick[1], &u64, 8), 8);
        CHECK_EQ(front_used(&front, 1, NULL), 56);
    }
    /* Both ends closed: end of file for the leader, EPIPE for the caller. */
    close(call[0]);
    front_request(&front, 1, 0, FAKE_ECHO, 0, 64);
    CHECK_EQ(write(kick[1], &u64, 8), 8);
    CHECK_EQ(front_used(&front, 1, NULL), 56);
    close(kick[1]);
    close(kick[0]);
    close(call[1]);
    usleep(20000);
    CHECK_EQ(front_stop_ring(&front, 1), 9001);
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
}

/* A request that hangs does not keep the completions before it from being told. */
static void hanging_request_holds_no_notification(void)
{
    struct front front;

    front_init(&front);
    CHECK_EQ(begin(&front, ALL), 0);
    CHECK_EQ(front_start_ring(&front, 1), 0);
    for (unsigned round = 1; round <= 2; round++) {
        front_request(&front, 1, 0, FAKE_ECHO, 0, 64);
        front_request(&front, 1, 2, FAKE_HANG, 0, 64);
        front_kick(&front, 1);
        CHECK_EQ(front_used(&front, 1, NULL), 56);
        CHECK_EQ(front_notified(front.queues[1].call_fd, 1000), 1);
        while (fake_inside == 0)
            usleep(1000);
        front.queues[1].avail->ring[FRONT_RING_SIZE] = front_used_index(&front, 1); /* used_event */
        fake_release();
        CHECK_EQ(front_used(&front, 1, NULL), 8);
        CHECK_EQ(front_notified(front.queues[1].call_fd, 1000), 1);
        front.queues[1].avail->ring[FRONT_RING_SIZE] = front_used_index(&front, 1);
        /* Long enough for the control thread to go to sleep again. */
        usleep(300000);
        fake_clear();
    }
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
}

/* Last: a hanging request is left behind, within the time that stop allows. */
static void stop_with_a_hanging_request(void)
{
    static struct front front; /* its thread outlives the case */
    uint64_t one = 1;

    front_init(&front);
    CHECK_EQ(begin(&front, ALL), 0);
    CHECK_EQ(front_start_ring(&front, 1), 0);
    front_request(&front, 1, 0, FAKE_HANG, 0, 64);
    front_kick(&front, 1);
    while (fake_inside == 0)
        usleep(1000);
    int64_t start = milliseconds();
    CHECK_EQ(write(front.stop_fd, &one, 8), 8);
    pthread_join(front.thread, NULL);
    CHECK_EQ(front.result, DEVICE_END_BUSY);
    int64_t took = milliseconds() - start;
    CHECK(took >= DEVICE_STOP_TIMEOUT_MS - 100 && took < 1000);
    CHECK_EQ(fake_resets, 0);
    fake_release();
    CHECK_EQ(front_used(&front, 1, NULL), 8);
}

/*
 * A front-end that fills the call descriptor and makes it block: the queue's thread hangs with its
 * locks held, and the control thread behind it. Stop comes through all the same.
 */
static void stop_with_a_blocked_notification(void)
{
    static struct front front; /* its threads outlive the case */
    uint64_t full = UINT64_MAX - 1;
    uint64_t one = 1;

    front_init(&front);
    CHECK_EQ(begin(&front, ALL), 0);
    CHECK_EQ(front_start_ring(&front, 1), 0);
    int call_fd = front.queues[1].call_fd;
    CHECK_EQ(fcntl(call_fd, F_SETFL, 0), 0);
    CHECK_EQ(write(call_fd, &full, 8), 8);
    front_request(&front, 1, 0, FAKE_ECHO, 0, 64);
    front_kick(&front, 1);
    CHECK_EQ(front_used(&front, 1, NULL), 56);
    usleep(50000);
    int64_t start = milliseconds();
    CHECK_EQ(write(front.stop_fd, &one, 8), 8);
    pthread_join(front.thread, NULL);
    CHECK_EQ(front.result, DEVICE_END_BUSY);
    CHECK(milliseconds() - start < 1000);
    CHECK_EQ(front_notified(call_fd, 1000), full);
}

int main(void)
{
    RUN(one_request);
    RUN(batch_notifies_once);
    RUN(batch_gathers_what_time_allows);
    RUN(flag_stops_notifications);
    RUN(many_requests_on_one_thread);
    RUN(many_requests_on_four_threads);
    RUN(stop_and_restart);
    RUN(interrupted_request_stays_in_the_ring);
    RUN(ring_breaks_behind_a_stuck_request);
    RUN(disabled_ring_waits);
    RUN(broken_chain_costs_one_queue);
    RUN(truncated_memory_is_survived);
    RUN(pool_thread_takes_over);
    RUN(pool_has_a_limit);
    RUN(memory_changes_under_a_request);
    RUN(ring_without_memory_breaks);
    RUN(stop_answers_what_runs);
    RUN(stop_in_the_middle_of_a_message);
    RUN(front_end_leaves_inside_a_request);
    RUN(strange_event_descriptors);
    RUN(hanging_request_holds_no_notification);
    RUN(stop_with_a_hanging_request);
    RUN(stop_with_a_blocked_notification);
    return test_result();
}
