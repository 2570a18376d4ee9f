// SPDX-License-Identifier: BSD-3-Clause
/*
 * Requests that are answered later, from another thread, or begun anew when their thread no
 * longer leads: what a ring may go through meanwhile.
 */
#include <linux/virtio_config.h>
#include <time.h>
#include <unistd.h>

#include "device.h"
#include "fake_fuse.h"
#include "test.h"
#include "vu_front.h"

#define BASIC  (VU_BIT(VIRTIO_F_VERSION_1) | VU_BIT(VU_F_PROTOCOL_FEATURES))

/* What fake_finish() answers with. */
#define ANSWER "deferred answer."

static int begin_with_pool(struct front *front, unsigned pool_size)
{
    fake_clear();
    front_init(front);
    front->settings.thread_pool_size = pool_size;
    if (front_start(front) < 0 || front_negotiate(front, BASIC) < 0)
        return -1;
    return front_set_memory(front) < 0 ? -1 : front_start_ring(front, 1);
}

static int begin(struct front *front)
{
    return begin_with_pool(front, 0);
}

static bool is_echoed(struct front *front, unsigned i)
{
    uint32_t head = 99;

    return front_used(front, 1, &head) == 56 && head == i;
}

/* Defers a request on buffers i and i + 1, and sees that the ring goes on behind it. */
static bool defer_one(struct front *front, unsigned i)
{
    memset(front_buffer(front, i + 1), 0, 64);
    front_request(front, 1, i, FAKE_DEFER, 0, 64);
    front_request(front, 1, 40, FAKE_ECHO, 0, 64);
    front_kick(front, 1);
    return is_echoed(front, 40);
}

static bool is_answered(struct front *front, unsigned i)
{
    uint32_t head = 99;

    return front_used(front, 1, &head) == 16 && head == i &&
           memcmp(front_buffer(front, i + 1), ANSWER, 16) == 0;
}

static void answered_later(void)
{
    struct front front;

    CHECK_EQ(begin(&front), 0);
    for (unsigned i = 0; i < 8; i += 2)
        CHECK(defer_one(&front, i));
    (void)front_notified(front.queues[1].call_fd, 100);
    CHECK_EQ(fake_finish(), 4);
    for (unsigned i = 0; i < 8; i += 2)
        CHECK(is_answered(&front, i));
    CHECK(front_notified(front.queues[1].call_fd, 1000) >= 1);
    CHECK_EQ(fake_finish(), 0);
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
}

/* Where the reply's first bytes go may be cut into the smallest pieces. */
static void reply_in_pieces(void)
{
    struct front front;

    CHECK_EQ(begin(&front), 0);
    front_set_desc(&front, 1, 0, front_address(0), 64, VRING_DESC_F_NEXT, 1);
    *(struct fake_request *)front_buffer(&front, 0) = (struct fake_request){FAKE_DEFER, 0};
    for (unsigned i = 1; i <= 17; i++) {
        uint16_t next = i < 17 ? VRING_DESC_F_NEXT : 0;
        front_set_desc(&front, 1, i, front_address(1) + 3 * i, i < 17 ? 1 : 8,
                       (uint16_t)(VRING_DESC_F_WRITE | next), (uint16_t)(i + 1));
    }
    front_offer(&front, 1, 0);
    front_kick(&front, 1);
    while (fake_runs == 0)
        usleep(1000);
    usleep(20000);
    CHECK_EQ(fake_finish(), 1);
    CHECK_EQ(front_used(&front, 1, NULL), 16);
    for (unsigned i = 0; i < 16; i++)
        CHECK_EQ(((char *)front_buffer(&front, 1))[3 * (i + 1)], ANSWER[i]);
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
}

/* A pause: the answer comes before, during, or after it; the guest gets it once in any case. */
static void answered_over_a_pause(void)
{
    struct front front;
    uint64_t zero = 0;

    CHECK_EQ(begin(&front), 0);
    CHECK(defer_one(&front, 0));
    CHECK(defer_one(&front, 2));
    CHECK_EQ(front_stop_ring(&front, 1), 4);
    CHECK_EQ(front_ask(&front, VU_SET_STATUS, &zero, 8, NULL, 0), 0);
    CHECK_EQ(fake_finish(), 2);
    usleep(20000);
    CHECK_EQ(front_used_index(&front, 1), 2);
    CHECK_EQ(((char *)front_buffer(&front, 1))[0], 0); /* nothing is touched meanwhile */
    CHECK_EQ(front_start_ring(&front, 1), 0);
    uint32_t first = 99, second = 99;
    CHECK_EQ(front_used(&front, 1, &first), 16);
    CHECK_EQ(front_used(&front, 1, &second), 16);
    CHECK_EQ(first + second, 2);

    CHECK(defer_one(&front, 4));
    CHECK_EQ(front_stop_ring(&front, 1), 6);
    CHECK_EQ(front_start_ring(&front, 1), 0);
    CHECK_EQ(fake_finish(), 1);
    CHECK(is_answered(&front, 4));
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
}

/* Not so when the driver begins anew: the head's descriptors are somebody else's by now. */
static void dropped_with_its_ring(void)
{
    struct front front;

    for (unsigned late = 0; late < 2; late++) {
        CHECK_EQ(begin(&front), 0);
        CHECK(defer_one(&front, 0));
        CHECK_EQ(front_stop_ring(&front, 1), 2);
        if (!late)
            CHECK_EQ(fake_finish(), 1);
        front.queues[1].avail_index = 0;
        front.queues[1].avail->idx = 0;
        front.queues[1].used->idx = 0;
        front.queues[1].used_seen = 0;
        CHECK_EQ(front_start_ring(&front, 1), 0);
        if (late)
            CHECK_EQ(fake_finish(), 1);
        front_request(&front, 1, 6, FAKE_ECHO, 0, 64);
        front_kick(&front, 1);
        CHECK_EQ(front_used(&front, 1, NULL), 56);
        usleep(20000);
        CHECK_EQ(front_used_index(&front, 1), 1);
        CHECK_EQ(((char *)front_buffer(&front, 1))[0], 0);
        CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
    }
}

static void dropped_by_a_reset(void)
{
    struct front front;

    CHECK_EQ(begin(&front), 0);
    CHECK(defer_one(&front, 0));
    CHECK_EQ(front_ask(&front, VU_RESET_DEVICE, NULL, 0, NULL, 0), 0);
    CHECK_EQ(fake_resets, 1);
    CHECK_EQ(fake_finish(), 0); /* the reset has */
    CHECK_EQ(front_used_index(&front, 1), 1);
    CHECK_EQ(((char *)front_buffer(&front, 1))[0], 0);
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
}

/* The front-end leaves, with answers that wait for the ring to go on and without. */
static void front_end_leaves(void)
{
    struct front front;

    CHECK_EQ(begin(&front), 0);
    CHECK(defer_one(&front, 0));
    CHECK(defer_one(&front, 2));
    CHECK_EQ(front_stop_ring(&front, 1), 4);
    CHECK_EQ(fake_finish(), 2);
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
    CHECK_EQ(begin(&front), 0);
    CHECK(defer_one(&front, 0));
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
    CHECK_EQ(fake_finish(), 0);
}

/* The same memory in other regions is found again; memory that is gone is not touched. */
static void memory_changes(void)
{
    struct front front;
    uint64_t half = FRONT_MEMORY_SIZE / 2;
    struct vu_memory_table halves = {
        .count = 2,
        .regions = {{FRONT_GUEST_BASE, half, FRONT_USER_BASE, 0},
                    {FRONT_GUEST_BASE + half, half, FRONT_USER_BASE + half, half}},
    };
    struct vu_memory_table first_half = halves;

    for (unsigned stopped = 0; stopped < 2; stopped++) {
        CHECK_EQ(begin(&front), 0);
        int fds[2] = {front.memory_fd, front.memory_fd};
        CHECK(defer_one(&front, 0));
        if (stopped)
            CHECK_EQ(front_stop_ring(&front, 1), 2);
        CHECK_EQ(front_ask(&front, VU_SET_MEM_TABLE, &halves, 8 + 64, fds, 2), 0);
        if (stopped)
            CHECK_EQ(front_start_ring(&front, 1), 0);
        CHECK_EQ(fake_finish(), 1);
        CHECK(is_answered(&front, 0));

        /* Buffers are in the second half. */
        CHECK(defer_one(&front, 2));
        first_half.count = 1;
        CHECK_EQ(front_ask(&front, VU_SET_MEM_TABLE, &first_half, 8 + 32, fds, 1), 0);
        CHECK_EQ(fake_finish(), 1);
        usleep(20000);
        CHECK_EQ(front_used_index(&front, 1), 3);
        CHECK_EQ(((char *)front_buffer(&front, 3))[0], 0);
        CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
    }
}

/* A driver that offers a chain a second time, before it has it back. */
static void offered_twice(void)
{
    struct front front;

    CHECK_EQ(begin(&front), 0);
    CHECK(defer_one(&front, 0));
    front_offer(&front, 1, 0);
    front_kick(&front, 1);
    while (fake_runs < 3)
        usleep(1000);
    usleep(20000);
    CHECK_EQ(fake_finish(), 2);
    CHECK(is_answered(&front, 0));
    CHECK(is_answered(&front, 0));
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
}

/* Begins with a request that was interrupted when another one had been taken behind it. */
static void begin_interrupted(struct front *front)
{
    CHECK_EQ(begin_with_pool(front, 1), 0);
    front_request(front, 1, 0, FAKE_RESTART, 1, 64);
    front_request(front, 1, 2, FAKE_ECHO, 0, 64);
    front_kick(front, 1);
    CHECK(is_echoed(front, 2));
    while (fake_restarts == 0)
        usleep(100);
}

static void wait_for_restarts(unsigned more)
{
    unsigned end = fake_restarts + more;

    while (fake_restarts < end)
        usleep(100);
}

/* Whether the request that was interrupted calls the may_block hook when it is run again. */
static void set_blocking(struct front *front, bool blocking)
{
    ((struct fake_request *)front_buffer(front, 0))->argument = blocking;
}

static void check_begun_anew(struct front *front)
{
    uint32_t head = 99;

    set_blocking(front, true);
    fake_release();
    CHECK_EQ(front_used(front, 1, &head), 8);
    CHECK_EQ(head, 0);
    CHECK_EQ(front_end(front), DEVICE_END_CLEAN);
}

/* The ring goes on: the request is run again and again, but not all the time. */
static void begun_anew(void)
{
    struct front front;
    struct timespec start, end;

    begin_interrupted(&front);
    clock_gettime(CLOCK_MONOTONIC, &start);
    wait_for_restarts(20);
    clock_gettime(CLOCK_MONOTONIC, &end);
    CHECK((end.tv_sec - start.tv_sec) * 1000 + (end.tv_nsec - start.tv_nsec) / 1000000 >= 9);
    check_begun_anew(&front);
}

/* What comes meanwhile need not wait for it, and is kicked for as before. */
static void ring_goes_on_meanwhile(void)
{
    struct front front;

    begin_interrupted(&front);
    for (unsigned i = 0; i < 200; i++) {
        set_blocking(&front, i % 2);
        front_request(&front, 1, 40, FAKE_ECHO, 0, 64);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        if (__atomic_load_n(&front.queues[1].used->flags, __ATOMIC_RELAXED) == 0)
            front_kick(&front, 1);
        CHECK(is_echoed(&front, 40));
    }
    wait_for_restarts(3);
    check_begun_anew(&front);
}

/* By the first thread of the ring's next run, without a kick. */
static void begun_anew_after_a_pause(void)
{
    struct front front;

    begin_interrupted(&front);
    for (unsigned pause = 0; pause < 4; pause++) {
        CHECK_EQ(front_stop_ring(&front, 1), 2);
        unsigned before = fake_restarts;
        usleep(5000);
        CHECK_EQ(fake_restarts, before);
        set_blocking(&front, pause % 2);
        CHECK_EQ(front_start_ring(&front, 1), 0);
        wait_for_restarts(3);
    }
    check_begun_anew(&front);
}

/* Several at once, each by whatever thread comes to it. */
static void several_begun_anew(void)
{
    struct front front;
    unsigned answered = 0;

    CHECK_EQ(begin_with_pool(&front, 3), 0);
    for (unsigned i = 0; i < 6; i += 2)
        front_request(&front, 1, i, FAKE_RESTART, 1, 64);
    front_request(&front, 1, 40, FAKE_ECHO, 0, 64);
    front_kick(&front, 1);
    CHECK(is_echoed(&front, 40));
    for (unsigned pause = 0; pause < 3; pause++) {
        CHECK_EQ(front_stop_ring(&front, 1), 4);
        CHECK_EQ(front_start_ring(&front, 1), 0);
        wait_for_restarts(6);
    }
    fake_release();
    for (unsigned i = 0; i < 3; i++) {
        uint32_t head = 99;
        CHECK_EQ(front_used(&front, 1, &head), 8);
        answered |= 1U << head;
    }
    CHECK_EQ(answered, 1U << 0 | 1U << 2 | 1U << 4);
    front_request(&front, 1, 40, FAKE_ECHO, 0, 64);
    front_kick(&front, 1);
    CHECK(is_echoed(&front, 40));
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
}

/* What is begun anew shows that the ring is started: at index 0, too, nobody waits for a kick. */
static void started_at_zero(void)
{
    struct front front;

    fake_clear();
    front_init(&front);
    front.settings.thread_pool_size = 1;
    CHECK_EQ(front_start(&front), 0);
    CHECK_EQ(front_negotiate(&front, BASIC), 0);
    CHECK_EQ(front_set_memory(&front), 0);
    front.queues[1].avail_index = UINT16_MAX - 1;
    front.queues[1].avail->idx = UINT16_MAX - 1;
    CHECK_EQ(front_start_ring(&front, 1), 0);
    front_request(&front, 1, 0, FAKE_RESTART, 1, 64);
    front_request(&front, 1, 2, FAKE_ECHO, 0, 64);
    front_kick(&front, 1);
    CHECK(is_echoed(&front, 2));
    while (fake_restarts == 0)
        usleep(100);
    CHECK_EQ(front_stop_ring(&front, 1), 0);
    front_request(&front, 1, 4, FAKE_ECHO, 0, 64);
    front.queues[1].avail_index = 0;
    CHECK_EQ(front_start_ring(&front, 1), 0);
    front.queues[1].avail_index = 1;
    CHECK(is_echoed(&front, 4));
    check_begun_anew(&front);
}

/* By nobody when the ring starts elsewhere. */
static void not_begun_anew_elsewhere(void)
{
    struct front front;

    begin_interrupted(&front);
    CHECK_EQ(front_stop_ring(&front, 1), 2);
    unsigned before = fake_restarts;
    front.queues[1].avail_index = 1;
    CHECK_EQ(front_start_ring(&front, 1), 0);
    front.queues[1].avail_index = 2;
    CHECK(is_echoed(&front, 2));
    front_request(&front, 1, 4, FAKE_ECHO, 0, 64);
    front_kick(&front, 1);
    CHECK(is_echoed(&front, 4));
    CHECK_EQ(fake_restarts, before);
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
}

/* Nor after a reset, at whatever index. */
static void not_begun_anew_after_a_reset(void)
{
    struct front front;

    begin_interrupted(&front);
    CHECK_EQ(front_ask(&front, VU_RESET_DEVICE, NULL, 0, NULL, 0), 0);
    unsigned before = fake_restarts;
    CHECK_EQ(front_negotiate(&front, BASIC), 0);
    CHECK_EQ(front_start_ring(&front, 1), 0);
    front_request(&front, 1, 4, FAKE_ECHO, 0, 64);
    front_kick(&front, 1);
    CHECK(is_echoed(&front, 4));
    CHECK_EQ(fake_restarts, before);
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
}

int main(void)
{
    RUN(answered_later);
    RUN(reply_in_pieces);
    RUN(answered_over_a_pause);
    RUN(dropped_with_its_ring);
    RUN(dropped_by_a_reset);
    RUN(front_end_leaves);
    RUN(memory_changes);
    RUN(offered_twice);
    RUN(begun_anew);
    RUN(ring_goes_on_meanwhile);
    RUN(begun_anew_after_a_pause);
    RUN(several_begun_anew);
    RUN(started_at_zero);
    RUN(not_begun_anew_elsewhere);
    RUN(not_begun_anew_after_a_reset);
    return test_result();
}
