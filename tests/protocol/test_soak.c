// SPDX-License-Identifier: BSD-3-Clause
/*
 * Thousands of front-ends that do anything, legal or not, in any order, from a fixed seed. Between
 * them polite ones are served, and at the end nothing has added up in the daemon.
 *
 * VIOFSD_SOAK_SECONDS: how long (20); VIOFSD_SOAK_SEED: another sequence (1).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "guest.h"

#define RINGS     4
#define RING_SIZE 16

struct chaos {
    struct vuf_dev dev; /* connection, memory, rings; nothing of it need be known to the daemon */
    unsigned char *scratch;
    uint64_t random;
    bool closed;
};

static uint32_t any(struct chaos *chaos, uint32_t limit)
{
    /* xorshift64: the same numbers on every machine. */
    chaos->random ^= chaos->random << 13;
    chaos->random ^= chaos->random >> 7;
    chaos->random ^= chaos->random << 17;
    return (uint32_t)(chaos->random >> 20) % limit;
}

static uint64_t any_address(struct chaos *chaos)
{
    static const uint64_t edges[] = {0, 1, ~0ull, ~0ull - 4095, 1ull << 63, 0x1000};

    if (any(chaos, 4) == 0)
        return edges[any(chaos, 6)];
    uint64_t base = any(chaos, 3) ? chaos->dev.mem.uva : chaos->dev.mem.gpa;
    return base + (uint64_t)any(chaos, (uint32_t)chaos->dev.mem.size + 4096) / 16 * 16;
}

/* What any call may say; anything else is a fault of the daemon. */
static void judge(struct chaos *chaos, int r)
{
    if (r == -ECONNRESET)
        chaos->closed = true;
    else if (r < 0 && r != -EREMOTEIO)
        FAIL("%s", strerrorname_np(-r));
}

static void do_negotiate(struct chaos *chaos)
{
    struct vuf_conn *conn = &chaos->dev.conn;
    uint64_t offered = VUF_DEV_FEATURES;

    judge(chaos, vuf_set_protocol_features(conn, (EVERY_PROTOCOL_FEATURE & ~VUF_PF_CONFIG) |
                                                     (any(chaos, 8) ? 0 : 1ull << any(chaos, 64))));
    if (any(chaos, 4) == 0)
        offered ^= 1ull << any(chaos, 40);
    if (!chaos->closed)
        judge(chaos, vuf_set_features(conn, offered));
}

static void do_memory(struct chaos *chaos)
{
    struct vuf_conn *conn = &chaos->dev.conn;
    struct vuf_region region = vuf_mem_region(&chaos->dev.mem);

    if (any(chaos, 4) == 0)
        region.size = any(chaos, 2) ? any_address(chaos) : region.size / 2;
    if (any(chaos, 8) == 0)
        region.gpa = any_address(chaos);
    switch (any(chaos, 5)) {
    case 0:
    case 1:
        judge(chaos, vuf_set_mem_table(conn, &region, &chaos->dev.mem.fd, 1));
        break;
    case 2:
        judge(chaos, vuf_set_mem_table(conn, NULL, NULL, 0));
        break;
    case 3:
        judge(chaos, vuf_add_mem_reg(conn, &region, chaos->dev.mem.fd));
        break;
    default:
        judge(chaos, vuf_rem_mem_reg(conn, &region));
    }
}

static void do_ring(struct chaos *chaos)
{
    struct vuf_conn *conn = &chaos->dev.conn;
    uint32_t i = any(chaos, 16) ? any(chaos, RINGS) : any(chaos, 300);
    const struct vuf_ring *ring = &chaos->dev.rings[i % RINGS];
    struct vuf_vring_addr addr = {
        .index = i,
        .desc = vuf_mem_uva(&chaos->dev.mem, ring->desc),
        .used = vuf_mem_uva(&chaos->dev.mem, ring->used),
        .avail = vuf_mem_uva(&chaos->dev.mem, ring->avail),
    };
    uint32_t base;

    switch (any(chaos, 10)) {
    case 0:
        judge(chaos, vuf_set_vring_num(conn, i, any(chaos, 4) ? RING_SIZE : any(chaos, 70000)));
        break;
    case 1:
        judge(chaos, vuf_set_vring_base(conn, i, any(chaos, 2) ? 0 : any(chaos, 70000)));
        break;
    case 2:
        if (any(chaos, 6) == 0)
            addr.desc = any_address(chaos), addr.used = any_address(chaos);
        judge(chaos, vuf_set_vring_addr(conn, &addr));
        break;
    case 3:
        judge(chaos, vuf_set_vring_kick(conn, i, any(chaos, 8) ? ring->kick_fd : -1));
        break;
    case 4:
        judge(chaos, vuf_set_vring_call(conn, i, any(chaos, 8) ? ring->call_fd : -1));
        break;
    case 5:
        judge(chaos, vuf_set_vring_err(conn, i, any(chaos, 8) ? ring->err_fd : -1));
        break;
    case 6:
        judge(chaos, vuf_get_vring_base(conn, i, &base));
        break;
    default:
        judge(chaos, vuf_set_vring_enable(conn, i, any(chaos, 4) != 0));
    }
}

/* All that a ring needs, at once: most sequences would never get that far. */
static void do_start(struct chaos *chaos)
{
    struct vuf_dev *dev = &chaos->dev;

    for (unsigned i = 0; i < RINGS; i++)
        vuf_ring_reset(&dev->rings[i], 0);
    dev->by_slots = false;
    judge(chaos, vuf_dev_start(dev));
}

/* Chains that are sound, half sound, or noise; bodies as well. */
static void do_requests(struct chaos *chaos)
{
    struct vuf_ring *ring = &chaos->dev.rings[any(chaos, RINGS)];

    for (uint32_t n = any(chaos, 8); n > 0; n--) {
        uint32_t at = any(chaos, 64) * 1024;
        struct vuf_in_header hdr = {
            .len = any(chaos, 4) ? 40 + any(chaos, 100) : any(chaos, 100000),
            .opcode = any(chaos, 3) ? any(chaos, 56) : VUF_OP_INIT,
            .unique = n,
            .nodeid = any(chaos, 4) ? ROOT_ID : any(chaos, 20),
        };
        uint16_t head = (uint16_t)any(chaos, any(chaos, 20) ? RING_SIZE - 2 : 65536);

        memcpy(chaos->scratch + at, &hdr, sizeof(hdr));
        for (unsigned i = 40; i < 160; i += 4)
            *(uint32_t *)(void *)(chaos->scratch + at + i) = any(chaos, 3) ? any(chaos, 64) : ~0u;
        if (hdr.opcode == VUF_OP_INIT)
            memcpy(chaos->scratch + at + 40, (uint32_t[]){7, 38, 0, 0}, 16);
        if (head < RING_SIZE - 1) {
            ring->desc[head] =
                (struct vuf_desc){any(chaos, 12) ? vuf_mem_gpa(&chaos->dev.mem, chaos->scratch + at)
                                                 : any_address(chaos),
                                  any(chaos, 8) ? 160 : any(chaos, 100000),
                                  (uint16_t)(any(chaos, 10) ? VUF_DESC_NEXT : any(chaos, 8)),
                                  (uint16_t)(any(chaos, 20) ? head + 1 : (int)any(chaos, 65536))};
            ring->desc[head + 1] =
                (struct vuf_desc){vuf_mem_gpa(&chaos->dev.mem, chaos->scratch + 65536 + at),
                                  any(chaos, 8) ? 4096 : any(chaos, 1 << 20),
                                  (uint16_t)(any(chaos, 12) ? VUF_DESC_WRITE : any(chaos, 8)), 0};
        }
        ring->avail->ring[ring->avail_idx % RING_SIZE] = head;
        ring->avail_idx = (uint16_t)(ring->avail_idx + (any(chaos, 40) ? 1 : any(chaos, 40)));
    }
    vuf_ring_publish(ring);
    vuf_ring_kick_always(ring);
}

static void do_raw(struct chaos *chaos)
{
    struct vuf_hdr hdr = {any(chaos, 48), VUF_VERSION | (any(chaos, 8) ? 0 : any(chaos, 16)),
                          any(chaos, 4) ? 8 * any(chaos, 6) : any(chaos, 300)};
    unsigned char payload[300];
    int fds[8];
    unsigned n = any(chaos, 3) ? 0 : any(chaos, 9);

    for (unsigned i = 0; i < sizeof(payload); i++)
        payload[i] = (unsigned char)(any(chaos, 3) ? 0 : any(chaos, 256));
    for (unsigned i = 0; i < n; i++)
        fds[i] = chaos->dev.rings[i % RINGS].kick_fd;
    judge(chaos, vuf_conn_send(&chaos->dev.conn, &hdr, payload, hdr.size, fds, n));
    /* It may have been a query, and may have had an answer: this connection has had its day. */
    chaos->closed = true;
}

static void do_truncate(struct chaos *chaos)
{
    off_t size = (off_t)chaos->dev.mem.size;

    /* Down and up again: what was there is gone, and this side can still write. */
    if (ftruncate(chaos->dev.mem.fd, (off_t)any(chaos, (uint32_t)size)) < 0 ||
        ftruncate(chaos->dev.mem.fd, size) < 0)
        FAIL("ftruncate: %m");
}

static void act(struct chaos *chaos)
{
    uint32_t choice = any(chaos, 100);
    uint64_t value;

    if (choice < 8)
        do_negotiate(chaos);
    else if (choice < 20)
        do_memory(chaos);
    else if (choice < 50)
        do_ring(chaos);
    else if (choice < 62)
        do_start(chaos);
    else if (choice < 90)
        do_requests(chaos);
    else if (choice < 92)
        do_raw(chaos);
    else if (choice < 94)
        do_truncate(chaos);
    else if (choice < 95)
        judge(chaos, vuf_reset_device(&chaos->dev.conn));
    else if (choice < 97)
        judge(chaos, vuf_set_status(&chaos->dev.conn, any(chaos, 300)));
    else if (choice < 98)
        judge(chaos, vuf_reset_owner(&chaos->dev.conn));
    else
        judge(chaos, vuf_get_features(&chaos->dev.conn, &value));
}

static void one_front_end(struct daemon *daemon, struct chaos *chaos)
{
    struct vuf_dev_options options = {
        .protocol_features = EVERY_PROTOCOL_FEATURE,
        .timeout_ms = DAEMON_PATIENCE_MS,
    };
    struct vuf_dev_layout layout = {.n_rings = RINGS, .ring_size = RING_SIZE, .extra = 1 << 18};

    OK(vuf_dev_open(&chaos->dev, daemon->socket, &options));
    OK(vuf_dev_create_rings(&chaos->dev, &layout));
    chaos->scratch = vuf_mem_alloc(&chaos->dev.mem, 1 << 17, 4096);
    CHECK(chaos->scratch);
    chaos->closed = false;
    for (uint32_t n = 3 + any(chaos, 40); n > 0 && !chaos->closed; n--)
        act(chaos);
    vuf_dev_close(&chaos->dev);
}

static unsigned polite(struct daemon *daemon)
{
    struct guest guest;

    guest_start(&guest, daemon, NULL);
    CHECK_EQ(guest_call(&guest, VUF_OP_STATFS, ROOT_ID, NULL, 0, NULL, (char[80]){0}, 80, NULL), 0);
    unsigned fds = daemon_fd_count(daemon);
    vuf_fuse_close(&guest.fuse);
    vuf_dev_close(&guest.dev);
    return fds;
}

static void soak(struct daemon *daemon)
{
    const char *seconds = getenv("VIOFSD_SOAK_SECONDS"), *seed = getenv("VIOFSD_SOAK_SEED");
    long long end = now_ms() + (seconds ? atoi(seconds) : 20) * 1000LL;
    struct chaos chaos = {.random = 0x9e3779b97f4a7c15ull * (seed ? strtoull(seed, NULL, 0) : 1)};
    unsigned fds = polite(daemon), count = 0;

    while (now_ms() < end && count < 20000) {
        one_front_end(daemon, &chaos);
        if (++count % 100 == 0)
            polite(daemon);
        if (!daemon_is_alive(daemon))
            FAIL("the daemon died after %u front-ends", count);
    }
    printf("# %u front-ends\n", count);
    fflush(stdout);
    CHECK_EQ(polite(daemon), fds);
}

static const struct test_case cases[] = {
    {.name = "soak", .run = soak, .words = "--persistent --log-level=off", .end = END_TERM},
    {.name = "soak-pool",
     .run = soak,
     .words = "--persistent --log-level=off --thread-pool-size=8 --inode-file-handles=never",
     .end = END_TERM},
};

int main(int argc, char **argv)
{
    return case_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
