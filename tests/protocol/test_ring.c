// SPDX-License-Identifier: BSD-3-Clause
/*
 * What a hostile driver writes into its ring. A chain that breaks the rules of the virtqueue
 * costs its own queue: the error descriptor is signalled, NEEDS_RESET shows, the other queues
 * serve on, and the broken one can be set up again.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "guest.h"

#define BAD_RING 2

struct stage {
    struct guest guest;
    struct vuf_ring *ring;  /* the one that is broken */
    uint64_t in, out;       /* guest addresses of a STATFS request and of 4 KiB for its reply */
    struct vuf_desc *table; /* room for an indirect one */
    uint64_t table_gpa;
};

static const struct guest_options ring_options = {.rings = 3, .ring_size = 16, .depth = 4};

static void set_stage(struct stage *stage, struct daemon *daemon)
{
    struct vuf_in_header hdr = {.len = 40, .opcode = VUF_OP_STATFS, .unique = 5, .nodeid = ROOT_ID};

    guest_start(&stage->guest, daemon, &ring_options);
    stage->ring = &stage->guest.dev.rings[BAD_RING];
    memcpy(stage->guest.scratch, &hdr, sizeof(hdr));
    stage->in = vuf_mem_gpa(&stage->guest.dev.mem, stage->guest.scratch);
    stage->out = stage->in + 4096;
    stage->table = (struct vuf_desc *)(void *)(stage->guest.scratch + 8192);
    stage->table_gpa = stage->in + 8192;
}

/* Makes the entry available behind the back of the library's bookkeeping. */
static void offer(struct stage *stage, uint16_t head)
{
    struct vuf_ring *ring = stage->ring;

    ring->avail->ring[ring->avail_idx % ring->size] = head;
    ring->avail_idx++;
    vuf_ring_publish(ring);
    vuf_ring_kick_always(ring);
}

static void expect_serving_again(struct stage *stage)
{
    uint64_t status;
    uint32_t base;

    guest_check_alive(&stage->guest);
    OK(vuf_get_status(&stage->guest.dev.conn, &status));
    CHECK(status & VUF_STATUS_NEEDS_RESET);
    OK(vuf_get_vring_base(&stage->guest.dev.conn, BAD_RING, &base));
    vuf_ring_reset(stage->ring, 0);
    guest_start_ring(&stage->guest, BAD_RING);
    guest_check_ring(&stage->guest, BAD_RING);
}

static void expect_broken(struct stage *stage)
{
    uint64_t n;

    guest_expect_broken(&stage->guest, BAD_RING);
    CHECK_EQ(read(stage->ring->err_fd, &n, 8), 8);
    CHECK_EQ(n, 1);
    expect_serving_again(stage);
}

/* A chain in the table, by its first descriptors. */
struct bad_chain {
    const char *name;
    struct vuf_desc desc[4]; /* addr 0 stands for the request, 1 for the room of the reply */
    uint16_t head;
};

#define IN  0
#define OUT 1

static const struct bad_chain bad_chains[] = {
    {"loop of one", {{IN, 40, VUF_DESC_NEXT, 0}}, 0},
    {"loop of two", {{IN, 40, VUF_DESC_NEXT, 1}, {IN, 40, VUF_DESC_NEXT, 0}}, 0},
    {"loop of empty ones", {{IN, 0, VUF_DESC_NEXT, 1}, {IN, 0, VUF_DESC_NEXT, 0}}, 0},
    {"loop in the writable part",
     {{IN, 40, VUF_DESC_NEXT, 1}, {OUT, 16, VUF_DESC_NEXT | VUF_DESC_WRITE, 1}},
     0},
    {"next is the size", {{IN, 40, VUF_DESC_NEXT, 16}}, 0},
    {"next is 65535", {{IN, 40, VUF_DESC_NEXT, 65535}}, 0},
    {"head is the size", {{IN, 40, 0, 0}}, 16},
    {"head is 65535", {{IN, 40, 0, 0}}, 65535},
    {"writable before readable", {{OUT, 96, VUF_DESC_NEXT | VUF_DESC_WRITE, 1}, {IN, 40, 0, 0}}, 0},
    {"readable after writable",
     {{IN, 40, VUF_DESC_NEXT, 1}, {OUT, 96, VUF_DESC_NEXT | VUF_DESC_WRITE, 2}, {IN, 40, 0, 0}},
     0},
    {"address in no region", {{0x1000, 40, 0, 0}}, 0},
    {"address at the very end", {{~0ull - 20, 40, 0, 0}}, 0},
    {"address wraps", {{~0ull, 2, 0, 0}}, 0},
    {"length of 4 GiB", {{IN, 0xffffffff, 0, 0}}, 0},
    {"writable of 4 GiB", {{IN, 40, VUF_DESC_NEXT, 1}, {OUT, 0xffffffff, VUF_DESC_WRITE, 0}}, 0},
    {"a user address", {{VUF_MEM_UVA, 40, 0, 0}}, 0},
};

static void bad_chain_breaks_its_ring(struct daemon *daemon)
{
    const struct bad_chain *chain = case_data();
    struct stage stage;

    set_stage(&stage, daemon);
    for (int i = 0; i < 4; i++) {
        struct vuf_desc desc = chain->desc[i];

        if (desc.addr == IN)
            desc.addr = stage.in;
        else if (desc.addr == OUT)
            desc.addr = stage.out;
        stage.ring->desc[i] = desc;
    }
    offer(&stage, chain->head);
    expect_broken(&stage);
}

/* An indirect descriptor {addr, len, flags}, and what its table begins with. */
struct bad_table {
    const char *name;
    uint32_t len;
    uint16_t flags;
    uint64_t addr; /* 0: the table */
    struct vuf_desc desc[3];
};

static const struct bad_table bad_tables[] = {
    {"nested", 32, VUF_DESC_INDIRECT, 0, {{IN, 32, VUF_DESC_INDIRECT, 0}}},
    {"empty", 0, VUF_DESC_INDIRECT, 0, {{IN, 40, 0, 0}}},
    {"odd length", 17, VUF_DESC_INDIRECT, 0, {{IN, 40, 0, 0}}},
    {"shorter than one", 15, VUF_DESC_INDIRECT, 0, {{IN, 40, 0, 0}}},
    {"huge", 0xfffffff0, VUF_DESC_INDIRECT, 0, {{IN, 40, 0, 0}}},
    {"outside memory", 32, VUF_DESC_INDIRECT, 0x1000, {{IN, 40, 0, 0}}},
    {"wraps", 32, VUF_DESC_INDIRECT, ~0ull - 7, {{IN, 40, 0, 0}}},
    {"with a next one", 32, VUF_DESC_INDIRECT | VUF_DESC_NEXT, 0, {{IN, 40, 0, 0}}},
    {"loop", 32, VUF_DESC_INDIRECT, 0, {{IN, 40, VUF_DESC_NEXT, 0}}},
    {"next outside", 32, VUF_DESC_INDIRECT, 0, {{IN, 40, VUF_DESC_NEXT, 2}}},
    {"next far outside", 32, VUF_DESC_INDIRECT, 0, {{IN, 40, VUF_DESC_NEXT, 65535}}},
    {"writable first",
     48,
     VUF_DESC_INDIRECT,
     0,
     {{OUT, 96, VUF_DESC_NEXT | VUF_DESC_WRITE, 1}, {IN, 40, 0, 0}}},
    {"buffer outside", 16, VUF_DESC_INDIRECT, 0, {{0x1000, 40, 0, 0}}},
};

static void bad_table_breaks_its_ring(struct daemon *daemon)
{
    const struct bad_table *bad = case_data();
    struct stage stage;

    set_stage(&stage, daemon);
    for (int i = 0; i < 3; i++) {
        stage.table[i] = bad->desc[i];
        if (bad->desc[i].addr == IN)
            stage.table[i].addr = stage.in;
        else if (bad->desc[i].addr == OUT)
            stage.table[i].addr = stage.out;
    }
    stage.ring->desc[0] =
        (struct vuf_desc){bad->addr ? bad->addr : stage.table_gpa, bad->len, bad->flags, 1};
    stage.ring->desc[1] = (struct vuf_desc){stage.out, 96, VUF_DESC_WRITE, 0};
    offer(&stage, 0);
    expect_broken(&stage);
}

/* Indirect without having negotiated it. */
static void indirect_not_negotiated(struct daemon *daemon)
{
    struct guest_options options = ring_options;
    struct guest guest;

    options.features = VUF_F_VERSION_1 | VUF_F_EVENT_IDX | VUF_F_PROTOCOL_FEATURES;
    guest_start(&guest, daemon, &options);
    guest.dev.rings[BAD_RING].desc[0] =
        (struct vuf_desc){vuf_mem_gpa(&guest.dev.mem, guest.scratch), 16, VUF_DESC_INDIRECT, 0};
    guest.dev.rings[BAD_RING].avail->ring[0] = 0;
    guest.dev.rings[BAD_RING].avail_idx++;
    vuf_ring_publish(&guest.dev.rings[BAD_RING]);
    vuf_ring_kick_always(&guest.dev.rings[BAD_RING]);
    guest_expect_broken(&guest, BAD_RING);
    guest_check_alive(&guest);
}

/* The index jumps by more than the ring holds. */
static void index_jumps(struct daemon *daemon)
{
    struct stage stage;

    set_stage(&stage, daemon);
    stage.ring->avail_idx = (uint16_t)(stage.ring->avail_idx + 17);
    vuf_ring_publish(stage.ring);
    vuf_ring_kick_always(stage.ring);
    expect_broken(&stage);
    stage.ring->avail_idx = (uint16_t)(stage.ring->avail_idx - 1);
    vuf_ring_publish(stage.ring);
    vuf_ring_kick_always(stage.ring);
    expect_broken(&stage);
}

/* The whole ring offers the same chain: each is answered, and nothing else happens. */
static void same_chain_many_times(struct daemon *daemon)
{
    struct stage stage;

    set_stage(&stage, daemon);
    stage.ring->desc[0] = (struct vuf_desc){stage.in, 40, VUF_DESC_NEXT, 1};
    stage.ring->desc[1] = (struct vuf_desc){stage.out, 96, VUF_DESC_WRITE, 0};
    for (int i = 0; i < 16; i++)
        stage.ring->avail->ring[i] = 0;
    for (int round = 0; round < 100; round++) {
        long long deadline = now_ms() + DAEMON_PATIENCE_MS;

        stage.ring->avail_idx = (uint16_t)(stage.ring->avail_idx + 16);
        vuf_ring_publish(stage.ring);
        vuf_ring_kick_always(stage.ring);
        while (__atomic_load_n(&stage.ring->used->idx, __ATOMIC_ACQUIRE) != stage.ring->avail_idx)
            if (now_ms() > deadline)
                FAIL("no answer");
    }
    guest_check_alive(&stage.guest);
}

/* Descriptors of length 0 between the others are allowed, and mean nothing. */
static void empty_descriptors(struct daemon *daemon)
{
    struct stage stage;
    struct vuf_out_header out;

    set_stage(&stage, daemon);
    stage.ring->desc[0] = (struct vuf_desc){stage.in, 0, VUF_DESC_NEXT, 1};
    stage.ring->desc[1] = (struct vuf_desc){stage.in, 40, VUF_DESC_NEXT, 2};
    stage.ring->desc[2] = (struct vuf_desc){stage.out, 0, VUF_DESC_NEXT | VUF_DESC_WRITE, 3};
    stage.ring->desc[3] = (struct vuf_desc){stage.out, 96, VUF_DESC_NEXT | VUF_DESC_WRITE, 4};
    stage.ring->desc[4] = (struct vuf_desc){stage.out, 0, VUF_DESC_WRITE, 0};
    offer(&stage, 0);
    OK(vuf_ring_wait(stage.ring, DAEMON_PATIENCE_MS));
    CHECK_EQ(stage.ring->used->ring[0].id, 0);
    CHECK_EQ(stage.ring->used->ring[0].len, 96);
    memcpy(&out, stage.guest.scratch + 4096, sizeof(out));
    CHECK_EQ(out.len, 96);
    CHECK_EQ(out.error, 0);
    guest_check_alive(&stage.guest);
}

/* Chains that the ring allows and FUSE does not: an errno, or no reply for lack of room. */
struct poor_chain {
    const char *name;
    struct vuf_desc desc[3];
    uint32_t used; /* the length in the used ring */
    int error;     /* in the reply, when there is one; 1: any */
};

static const struct poor_chain poor_chains[] = {
    {"no writable part", {{IN, 40, 0, 0}}, 0, 0},
    {"no readable part", {{OUT, 96, VUF_DESC_WRITE, 0}}, 16, 1},
    {"half a header", {{IN, 20, VUF_DESC_NEXT, 1}, {OUT, 96, VUF_DESC_WRITE, 0}}, 16, 1},
    {"no room for a header", {{IN, 40, VUF_DESC_NEXT, 1}, {OUT, 15, VUF_DESC_WRITE, 0}}, 0, 0},
    {"room for a header only", {{IN, 40, VUF_DESC_NEXT, 1}, {OUT, 16, VUF_DESC_WRITE, 0}}, 16, 1},
    {"a byte too little", {{IN, 40, VUF_DESC_NEXT, 1}, {OUT, 95, VUF_DESC_WRITE, 0}}, 16, 1},
    {"only empty ones", {{IN, 0, VUF_DESC_NEXT, 1}, {OUT, 0, VUF_DESC_WRITE, 0}}, 0, 0},
    {"nothing at all", {{IN, 0, 0, 0}}, 0, 0},
};

static void poor_chain_is_answered(struct daemon *daemon)
{
    const struct poor_chain *chain = case_data();
    struct stage stage;
    struct vuf_out_header out;

    set_stage(&stage, daemon);
    memset(stage.guest.scratch + 4096, 0xee, 4096);
    for (int i = 0; i < 3; i++) {
        stage.ring->desc[i] = chain->desc[i];
        stage.ring->desc[i].addr = chain->desc[i].addr == IN ? stage.in : stage.out;
    }
    offer(&stage, 0);
    OK(vuf_ring_wait(stage.ring, DAEMON_PATIENCE_MS));
    CHECK_EQ(stage.ring->used->ring[0].len, chain->used);
    memcpy(&out, stage.guest.scratch + 4096, sizeof(out));
    if (chain->used) {
        CHECK_EQ(out.len, chain->used);
        CHECK(chain->error == 1 ? out.error < 0 && out.error > -4096 : out.error == chain->error);
    }
    for (uint32_t i = chain->used; i < 4096; i++)
        if (stage.guest.scratch[4096 + i] != 0xee && chain->used == 0)
            FAIL("byte %u was written, and is not in the used length", i);
    guest_check_alive(&stage.guest);
}

/* The driver scribbles over the used ring: that is the driver's loss. */
static void used_ring_scribbled(struct daemon *daemon)
{
    struct guest guest;

    guest_start(&guest, daemon, &ring_options);
    for (int i = 0; i < 20; i++) {
        struct vuf_ring *ring = &guest.dev.rings[BAD_RING];
        struct vuf_fuse_req *req = vuf_fuse_get(&guest.fuse, BAD_RING);

        if (!req)
            break;
        OK(vuf_fuse_submit(&guest.fuse, req, VUF_OP_STATFS, ROOT_ID, 0, 80));
        memset(ring->used, 0xff, 6 + 16 * 8);
        vuf_ring_publish(ring);
        vuf_ring_kick_always(ring);
        sleep_ms(2);
        guest_check_alive(&guest);
    }
}

/* The ring's three parts on top of each other, on top of the buffers. */
static void parts_overlap(struct daemon *daemon)
{
    struct guest guest;

    guest_start(&guest, daemon, &ring_options);
    struct vuf_conn *conn = &guest.dev.conn;
    uint64_t place = vuf_mem_uva(&guest.dev.mem, guest.scratch);
    struct vuf_vring_addr addr = {BAD_RING, 0, place, place, place, 0};
    uint32_t base;

    for (int i = 0; i < 20; i++) {
        OK(vuf_get_vring_base(conn, BAD_RING, &base));
        memset(guest.scratch, i * 13, 4096);
        OK(vuf_set_vring_num(conn, BAD_RING, 16));
        OK(vuf_set_vring_base(conn, BAD_RING, 0));
        int r = vuf_set_vring_addr(conn, &addr);
        if (r == -EREMOTEIO)
            return;
        OK(r);
        OK(vuf_set_vring_kick(conn, BAD_RING, guest.dev.rings[BAD_RING].kick_fd));
        for (int n = 0; n < 10; n++) {
            vuf_ring_kick_always(&guest.dev.rings[BAD_RING]);
            guest.scratch[n]++;
        }
        sleep_ms(2);
        guest_check_alive(&guest);
    }
}

/* All rings break at once, hiprio too; the control channel is what is left. */
static void everything_breaks(struct daemon *daemon)
{
    struct guest_options options = {.rings = 64, .ring_size = 16, .depth = 1, .data = 4096};
    struct guest guest;

    guest_start(&guest, daemon, &options);
    for (unsigned i = 0; i < 64; i++) {
        struct vuf_ring *ring = &guest.dev.rings[i];

        ring->avail->ring[ring->avail_idx % 16] = 999;
        ring->avail_idx++;
        vuf_ring_publish(ring);
        vuf_ring_kick_always(ring);
    }
    for (unsigned i = 0; i < 64; i++)
        guest_expect_broken(&guest, i);
    guest_check_control(&guest.dev.conn);
    uint64_t features = guest.dev.conn.features;
    OK(vuf_reset_device(&guest.dev.conn));
    OK(vuf_set_features(&guest.dev.conn, features));
    for (unsigned i = 0; i < 64; i++) {
        vuf_ring_reset(&guest.dev.rings[i], 0);
        guest_start_ring(&guest, i);
    }
    guest_init(&guest);
    for (unsigned i = 1; i < 64; i++)
        guest_check_ring(&guest, i);
}

/* A chain changes while it is looked at: descriptors flip between right and wrong. */
static void changes_under_the_daemon(struct daemon *daemon)
{
    struct stage stage;
    uint64_t n;

    set_stage(&stage, daemon);
    for (int round = 0; round < 20; round++) {
        long long end = now_ms() + 20;
        struct pollfd pfd = {.fd = stage.ring->err_fd, .events = POLLIN};

        stage.ring->desc[0] = (struct vuf_desc){stage.in, 40, VUF_DESC_NEXT, 1};
        stage.ring->desc[1] = (struct vuf_desc){stage.out, 96, VUF_DESC_WRITE, 0};
        while (now_ms() < end && poll(&pfd, 1, 0) == 0) {
            volatile struct vuf_desc *desc = &stage.ring->desc[1];

            offer(&stage, 0);
            for (unsigned i = 0; i < 200; i++) {
                desc->len = i % 2 ? 96 : 0x7fffffff;
                desc->addr = i % 3 ? stage.out : ~0ull;
                desc->flags = i % 5 ? VUF_DESC_WRITE : VUF_DESC_NEXT;
                desc->next = (uint16_t)(i * 7);
            }
        }
        if (poll(&pfd, 1, 0) == 1)
            CHECK_EQ(read(stage.ring->err_fd, &n, 8), 8);
        uint32_t base;
        OK(vuf_get_vring_base(&stage.guest.dev.conn, BAD_RING, &base));
        vuf_ring_reset(stage.ring, 0);
        guest_start_ring(&stage.guest, BAD_RING);
        guest_check_alive(&stage.guest);
    }
}

/* One case for each row of a table. */
#define N_CHAINS (sizeof(bad_chains) / sizeof(bad_chains[0]))
#define N_TABLES (sizeof(bad_tables) / sizeof(bad_tables[0]))
#define N_POOR   (sizeof(poor_chains) / sizeof(poor_chains[0]))

static const struct test_case fixed_cases[] = {
    {.name = "indirect-not-negotiated", .run = indirect_not_negotiated},
    {.name = "index-jumps", .run = index_jumps},
    {.name = "same-chain-many-times", .run = same_chain_many_times},
    {.name = "empty-descriptors", .run = empty_descriptors},
    {.name = "used-ring-scribbled", .run = used_ring_scribbled},
    {.name = "parts-overlap", .run = parts_overlap},
    {.name = "everything-breaks", .run = everything_breaks},
    {.name = "changes-under-the-daemon", .run = changes_under_the_daemon},
};

#define N_FIXED (sizeof(fixed_cases) / sizeof(fixed_cases[0]))

int main(int argc, char **argv)
{
    static struct test_case cases[N_FIXED + N_CHAINS + N_TABLES + N_POOR];
    size_t n = 0;

    for (size_t i = 0; i < N_FIXED; i++)
        cases[n++] = fixed_cases[i];
    for (size_t i = 0; i < N_CHAINS; i++)
        cases[n++] = (struct test_case){
            .name = bad_chains[i].name, .run = bad_chain_breaks_its_ring, .data = &bad_chains[i]};
    for (size_t i = 0; i < N_TABLES; i++)
        cases[n++] = (struct test_case){
            .name = bad_tables[i].name, .run = bad_table_breaks_its_ring, .data = &bad_tables[i]};
    for (size_t i = 0; i < N_POOR; i++)
        cases[n++] = (struct test_case){
            .name = poor_chains[i].name, .run = poor_chain_is_answered, .data = &poor_chains[i]};
    return case_main(argc, argv, cases, n);
}
