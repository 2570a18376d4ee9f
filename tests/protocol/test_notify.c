// SPDX-License-Identifier: BSD-3-Clause
/*
 * Notifications, counted: at most one for a batch of completions, none when none is asked for,
 * never one too few. eventfd adds up what is written, so nothing is lost in the count.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "guest.h"

#define DEPTH 32

static const struct guest_options with_event_idx = {.depth = DEPTH, .ring_size = 128};
static const struct guest_options without_event_idx = {
    .depth = DEPTH,
    .ring_size = 128,
    .features = VUF_F_VERSION_1 | VUF_F_INDIRECT_DESC | VUF_F_PROTOCOL_FEATURES,
};

static unsigned submit(struct guest *guest, unsigned count)
{
    struct vuf_fuse_req *req;
    unsigned n = 0;

    while (n < count && (req = vuf_fuse_get(&guest->fuse, 1))) {
        OK(vuf_fuse_submit(&guest->fuse, req, VUF_OP_STATFS, ROOT_ID, 0, 80));
        n++;
    }
    return n;
}

/* Waits by looking, not by sleeping on the call descriptor. */
static void reap(struct guest *guest, unsigned count)
{
    long long deadline = now_ms() + DAEMON_PATIENCE_MS;
    struct vuf_fuse_req *req;

    while (count) {
        int r = vuf_fuse_reap(&guest->fuse, 1, &req);

        OK(r);
        if (r == 1) {
            CHECK(!req->bad && !req->error);
            vuf_fuse_put(&guest->fuse, req);
            count--;
        } else if (now_ms() > deadline) {
            FAIL("%u requests have no answer", count);
        }
    }
}

static uint64_t calls(struct guest *guest)
{
    struct vuf_ring *ring = &guest->dev.rings[1];
    uint64_t before;

    do {
        before = ring->n_calls;
        sleep_ms(5);
        vuf_ring_drain_calls(ring);
    } while (ring->n_calls != before);
    return ring->n_calls;
}

/* None wanted: none comes. */
static void none_asked(struct daemon *daemon)
{
    struct guest guest;

    guest_start(&guest, daemon, case_data());
    vuf_ring_calls_off(&guest.dev.rings[1]);
    uint64_t before = calls(&guest);
    for (int i = 0; i < 200; i++) {
        unsigned n = submit(&guest, 1 + (unsigned)i % DEPTH);
        vuf_fuse_kick(&guest.fuse, 1);
        reap(&guest, n);
        vuf_ring_calls_off(&guest.dev.rings[1]);
    }
    CHECK_EQ(calls(&guest) - before, 0);
}

/* Asked for one: exactly one comes, for a single request and for a whole batch. */
static void one_asked(struct daemon *daemon)
{
    struct guest guest;

    guest_start(&guest, daemon, case_data());
    struct vuf_ring *ring = &guest.dev.rings[1];
    for (unsigned count = 1; count <= DEPTH; count++) {
        uint64_t before = calls(&guest);

        vuf_ring_calls_on(ring);
        CHECK_EQ(submit(&guest, count), count);
        vuf_fuse_kick(&guest.fuse, 1);
        struct pollfd pfd = {.fd = ring->call_fd, .events = POLLIN};
        if (poll(&pfd, 1, DAEMON_PATIENCE_MS) != 1)
            FAIL("no notification for %u requests", count);
        /* Until the driver has looked, the event index stays: no second one. */
        sleep_ms(10);
        reap(&guest, count);
        uint64_t n = calls(&guest) - before;
        if (ring->event_idx)
            CHECK_EQ(n, 1);
        else if (n > count)
            FAIL("%llu notifications for %u completions", (unsigned long long)n, count);
        vuf_ring_calls_off(ring);
    }
}

/* The event index names the last of a batch: the earlier ones stay silent. */
static void at_the_last(struct daemon *daemon)
{
    struct guest guest;

    guest_start(&guest, daemon, &with_event_idx);
    struct vuf_ring *ring = &guest.dev.rings[1];
    for (unsigned count = 2; count <= DEPTH; count += 3) {
        uint64_t before = calls(&guest);
        uint16_t *event = &ring->avail->ring[ring->size];

        __atomic_store_n(event, (uint16_t)(ring->used_idx + count - 1), __ATOMIC_SEQ_CST);
        CHECK_EQ(submit(&guest, count - 1), count - 1);
        vuf_fuse_kick(&guest.fuse, 1);
        reap(&guest, count - 1);
        CHECK_EQ(calls(&guest) - before, 0);
        __atomic_store_n(event, (uint16_t)ring->used_idx, __ATOMIC_SEQ_CST);
        CHECK_EQ(submit(&guest, 1), 1);
        vuf_fuse_kick(&guest.fuse, 1);
        reap(&guest, 1);
        CHECK_EQ(calls(&guest) - before, 1);
    }
}

/* Batches cost less than one notification per completion, without asking for it. */
static void batches_share(struct daemon *daemon)
{
    struct guest guest;
    unsigned done = 0;

    guest_start(&guest, daemon, &without_event_idx);
    vuf_ring_calls_on(&guest.dev.rings[1]);
    uint64_t before = calls(&guest);
    for (int i = 0; i < 100; i++) {
        unsigned n = submit(&guest, DEPTH);
        vuf_fuse_kick(&guest.fuse, 1);
        reap(&guest, n);
        done += n;
    }
    uint64_t n = calls(&guest) - before;
    CHECK(n > 0);
    if (n * 2 > done)
        FAIL("%llu notifications for %u completions in batches of %u", (unsigned long long)n, done,
             DEPTH);
}

/* Nobody sleeps for ever: many times, every way of being late. */
static void none_is_lost(struct daemon *daemon)
{
    struct guest guest;

    guest_start(&guest, daemon, case_data());
    for (int i = 0; i < 20000; i++) {
        struct vuf_fuse_req *req = vuf_fuse_get(&guest.fuse, 1);

        OK(vuf_fuse_submit(&guest.fuse, req, VUF_OP_STATFS, ROOT_ID, 0, 80));
        vuf_fuse_kick(&guest.fuse, 1);
        for (volatile int spin = i % 3000; spin > 0; spin--)
            ;
        OK(vuf_fuse_wait(&guest.fuse, 1, DAEMON_PATIENCE_MS, &req));
        CHECK(!req->bad);
        vuf_fuse_put(&guest.fuse, req);
    }
}

/* A kick without anything new, thousands of them: nothing happens, nothing is announced. */
static void empty_kicks(struct daemon *daemon)
{
    struct guest guest;

    guest_start(&guest, daemon, &without_event_idx);
    vuf_ring_calls_on(&guest.dev.rings[1]);
    uint64_t before = calls(&guest);
    for (int i = 0; i < 5000; i++)
        vuf_ring_kick_always(&guest.dev.rings[1]);
    guest_check_control(&guest.dev.conn);
    CHECK_EQ(calls(&guest) - before, 0);
    guest_check_alive(&guest);
}

/* A front-end without a call descriptor looks for itself. */
static void no_call_descriptor(struct daemon *daemon)
{
    struct guest guest;

    guest_start(&guest, daemon, case_data());
    OK(vuf_set_vring_call(&guest.dev.conn, 1, -1));
    vuf_ring_calls_on(&guest.dev.rings[1]);
    uint64_t before = calls(&guest);
    for (int i = 0; i < 50; i++) {
        unsigned n = submit(&guest, DEPTH);
        vuf_fuse_kick(&guest.fuse, 1);
        reap(&guest, n);
    }
    CHECK_EQ(calls(&guest) - before, 0);
}

#define BOTH(id, function)                                               \
    {.name = id "-event-idx", .run = function, .data = &with_event_idx}, \
    {                                                                    \
        .name = id "-flags", .run = function, .data = &without_event_idx \
    }

static const struct test_case cases[] = {
    BOTH("none-asked", none_asked),
    BOTH("one-asked", one_asked),
    {.name = "at-the-last", .run = at_the_last},
    {.name = "batches-share", .run = batches_share},
    BOTH("none-is-lost", none_is_lost),
    {.name = "none-is-lost-pool",
     .run = none_is_lost,
     .words = "--thread-pool-size=4",
     .data = &with_event_idx},
    {.name = "empty-kicks", .run = empty_kicks},
    BOTH("no-call-descriptor", no_call_descriptor),
};

int main(int argc, char **argv)
{
    return case_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
