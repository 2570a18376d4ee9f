// SPDX-License-Identifier: BSD-3-Clause
/* The split ring against a driver that breaks every rule. */
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "test.h"
#include "virtq.h"
#include "vu_proto.h"

#define MEMORY    0x100000
#define GUEST     UINT64_C(0x40000000)
#define SIZE      8
#define DATA      0x10000
#define INDIRECT  0x8000
#define EVENT_IDX VU_BIT(VIRTIO_RING_F_EVENT_IDX)
#define WITH_IND  VU_BIT(VIRTIO_RING_F_INDIRECT_DESC)

/* One ring in its memory; every case starts with a new one. */
static struct {
    char *memory;
    struct memmap *map;
    struct virtq vq;
    struct virtq_slot slot;
    struct vring_desc *desc;
    struct vring_avail *avail;
    struct vring_used *used;
    unsigned size;
} ring;

static void setup_size(uint64_t features, uint16_t start, unsigned size)
{
    int fd = memfd_create("guest", MFD_CLOEXEC);
    struct vu_memory_region region = {GUEST, MEMORY, 0, 0};
    struct virtq_layout layout = {
        .size = size, .desc = 0, .avail = size * 16, .used = size * 16 + size * 2 + 8};

    layout.used = (layout.used + 3) & ~UINT64_C(3);
    if (ftruncate(fd, MEMORY) < 0)
        return;
    ring.memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ring.size = size;
    memmap_new_table(NULL, &region, &fd, 1, &ring.map);
    close(fd);
    ring.desc = (struct vring_desc *)ring.memory;
    ring.avail = (struct vring_avail *)(ring.memory + layout.avail);
    ring.used = (struct vring_used *)(ring.memory + layout.used);
    ring.avail->idx = start;
    ring.used->idx = start;
    virtq_init(&ring.vq, &layout, features);
    virtq_attach(&ring.vq, ring.map);
    virtq_begin(&ring.vq, start);
    virtq_slot_init(&ring.slot, size);
}

static void setup(uint64_t features, uint16_t start)
{
    setup_size(features, start, SIZE);
}

static void teardown(void)
{
    virtq_slot_free(&ring.slot);
    memmap_unref(ring.map);
    munmap(ring.memory, MEMORY);
}

static void desc(struct vring_desc *table, unsigned i, uint64_t offset, uint32_t length,
                 uint16_t flags, uint16_t next)
{
    table[i] =
        (struct vring_desc){.addr = GUEST + offset, .len = length, .flags = flags, .next = next};
}

static void offer(uint16_t head)
{
    ring.avail->ring[ring.avail->idx & (ring.size - 1)] = head;
    ring.avail->idx++;
}

#define NEXT  VRING_DESC_F_NEXT
#define WRITE VRING_DESC_F_WRITE
#define IND   VRING_DESC_F_INDIRECT

static void good_chain(void)
{
    setup(0, 0);
    virtq_expect(&ring.vq, &ring.slot);
    CHECK_EQ(virtq_pop(&ring.vq, &ring.slot), 0);
    desc(ring.desc, 3, DATA, 100, NEXT, 1);
    desc(ring.desc, 1, DATA + 0x1000, 0, NEXT, 7); /* empty: counts, but has no entry */
    desc(ring.desc, 7, DATA + 0x2000, 50, WRITE | NEXT, 0);
    desc(ring.desc, 0, DATA + 0x3000, 60, WRITE, 0);
    offer(3);
    CHECK_EQ(virtq_pop(&ring.vq, &ring.slot), 1);
    CHECK_EQ(ring.slot.head, 3);
    CHECK_EQ(ring.slot.chain.readable_count, 1);
    CHECK_EQ(ring.slot.chain.writable_count, 2);
    CHECK_EQ(ring.slot.chain.readable[0].iov_len, 100);
    CHECK_EQ(ring.slot.chain.writable[1].iov_len, 60);
    CHECK_EQ(virtq_pop(&ring.vq, &ring.slot), 0);
    virtq_push(&ring.vq, 3, 42);
    CHECK_EQ(ring.used->idx, 1);
    CHECK_EQ(ring.used->ring[0].id, 3);
    CHECK_EQ(ring.used->ring[0].len, 42);
    teardown();
}

/* A chain that was left is taken again, with its list as new, though it wraps and was consumed. */
static void chain_left_in_the_ring(void)
{
    setup(EVENT_IDX, UINT16_MAX);
    desc(ring.desc, 3, DATA, 100, 0, 0);
    desc(ring.desc, 4, DATA, 50, WRITE, 0);
    offer(3);
    for (unsigned i = 0; i < 3; i++) {
        CHECK_EQ(virtq_pop(&ring.vq, &ring.slot), 1);
        CHECK_EQ(ring.slot.head, 3);
        CHECK_EQ(ring.slot.chain.readable[0].iov_len, 100);
        ring.slot.chain.readable[0].iov_len = 0;
        CHECK_EQ(ring.vq.last_avail, 0);
        virtq_unpop(&ring.vq);
        CHECK_EQ(ring.vq.last_avail, UINT16_MAX);
        CHECK(virtq_has_more(&ring.vq));
        CHECK(virtq_arm_kicks(&ring.vq));
        virtq_disarm_kicks(&ring.vq);
    }
    offer(4);
    CHECK_EQ(virtq_pop(&ring.vq, &ring.slot), 1);
    CHECK_EQ(ring.slot.head, 3);
    CHECK_EQ(virtq_pop(&ring.vq, &ring.slot), 1);
    CHECK_EQ(ring.slot.head, 4);
    CHECK_EQ(virtq_retake(&ring.vq, &ring.slot, 3), 1);
    CHECK_EQ(ring.slot.head, 3);
    CHECK_EQ(ring.slot.chain.readable[0].iov_len, 100);
    CHECK_EQ(virtq_pop(&ring.vq, &ring.slot), 0);
    CHECK_EQ(ring.used->idx, UINT16_MAX);
    ring.desc[3].addr = 0;
    CHECK_EQ(virtq_retake(&ring.vq, &ring.slot, 3), -EBADMSG);
    teardown();
}

/* What the driver has made available is counted past the wrap, and never for more than there is. */
static void chains_behind(void)
{
    setup(EVENT_IDX, UINT16_MAX);
    desc(ring.desc, 3, DATA, 100, 0, 0);
    offer(3);
    CHECK_EQ(virtq_pop(&ring.vq, &ring.slot), 1);
    CHECK_EQ(virtq_behind(&ring.vq, &ring.slot), 0);
    offer(3);
    offer(3);
    CHECK_EQ(virtq_behind(&ring.vq, &ring.slot), 2);
    CHECK_EQ(virtq_pop(&ring.vq, &ring.slot), 1);
    CHECK_EQ(virtq_behind(&ring.vq, &ring.slot), 1);
    ring.avail->idx -= 100;
    CHECK_EQ(virtq_behind(&ring.vq, &ring.slot), SIZE);
    teardown();
}

/* Pops what the case prepared and wants it refused, once and for all. */
#define CHECK_BROKEN(head)                                   \
    do {                                                     \
        offer(head);                                         \
        uint16_t before_ = ring.vq.last_avail;               \
        CHECK_EQ(virtq_pop(&ring.vq, &ring.slot), -EBADMSG); \
        CHECK(ring.vq.fault != NULL);                        \
        CHECK_EQ(ring.vq.last_avail, before_);               \
        teardown();                                          \
    } while (0)

static void head_outside_table(void)
{
    setup(0, 0);
    CHECK_BROKEN(SIZE);
}

/* What comes behind a chain may be looked at early: nonsense does no harm before its turn. */
static void nonsense_behind_good_chains(void)
{
    static const struct {
        uint16_t head;
        struct vring_desc desc; /* number 1 of the ring */
        struct vring_desc table[5];
    } cases[] = {
        {SIZE, {0}, {{0}}},
        {UINT16_MAX, {0}, {{0}}},
        {1, {GUEST - 8, 80, IND, 0}, {{0}}},
        {1, {GUEST + MEMORY - 16, 80, IND, 0}, {{0}}},
        {1, {GUEST + INDIRECT + 3, 79, IND, 0}, {{0}}},
        {1, {UINT64_MAX - 15, 80, IND, 0}, {{0}}},
        {1, {GUEST + INDIRECT, 16, IND, 0}, {{GUEST + INDIRECT, 16, IND, 0}}},
        {1,
         {GUEST + INDIRECT, 80, IND, 0},
         {{GUEST + MEMORY - 1, 2, NEXT, 1},
          {0, UINT32_MAX, NEXT, 2},
          {UINT64_MAX, UINT32_MAX, NEXT | WRITE, 3},
          {GUEST - 1, 160, NEXT | WRITE, 4},
          {GUEST, 0, NEXT | WRITE | IND, 0}}},
    };

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]) * 3; i++) {
        unsigned good = 1 + i % 3;

        setup(WITH_IND, (uint16_t)(0xfffe + i));
        desc(ring.desc, 0, DATA, 8, 0, 0);
        ring.desc[1] = cases[i / 3].desc;
        memcpy(ring.memory + INDIRECT, cases[i / 3].table, sizeof(cases[0].table));
        for (unsigned j = 0; j < good; j++)
            offer(0);
        offer(cases[i / 3].head);
        for (unsigned j = 0; j < good; j++)
            CHECK_EQ(virtq_pop(&ring.vq, &ring.slot), 1);
        CHECK_EQ(virtq_pop(&ring.vq, &ring.slot), -EBADMSG);
        teardown();
    }
}

static void next_outside_table(void)
{
    setup(0, 0);
    desc(ring.desc, 0, DATA, 8, NEXT, SIZE);
    CHECK_BROKEN(0);
}

static void loop_to_itself(void)
{
    setup(0, 0);
    desc(ring.desc, 0, DATA, 8, NEXT, 0);
    CHECK_BROKEN(0);
}

static void loop_of_two_without_bytes(void)
{
    setup(0, 0);
    desc(ring.desc, 0, DATA, 0, NEXT, 1);
    desc(ring.desc, 1, DATA, 0, NEXT, 0);
    CHECK_BROKEN(0);
}

static void readable_behind_writable(void)
{
    setup(0, 0);
    desc(ring.desc, 0, DATA, 8, WRITE | NEXT, 1);
    desc(ring.desc, 1, DATA, 8, 0, 0);
    CHECK_BROKEN(0);
}

static void address_outside_memory(void)
{
    setup(0, 0);
    desc(ring.desc, 0, MEMORY - 4, 8, 0, 0);
    CHECK_BROKEN(0);
    setup(0, 0);
    desc(ring.desc, 0, 0, 8, 0, 0);
    ring.desc[0].addr = UINT64_MAX - 3;
    CHECK_BROKEN(0);
}

/* Buffers in the window, beside it, over its edges; none of them breaks the ring. */
/* A buffer is looked for where the last one was only as long as that is where it is. */
static void memory_changes_between_chains(void)
{
    enum { HALF = MEMORY / 2 };
    struct vu_memory_region halves[] = {
        {GUEST, HALF, 0, 0}, {GUEST + HALF, HALF, HALF, 0}, /* of another file from now on */
    };
    struct memmap *changed;
    int fds[2] = {memfd_create("guest", MFD_CLOEXEC), memfd_create("other", MFD_CLOEXEC)};

    setup(0, 0);
    desc(ring.desc, 0, HALF - 4, 8, NEXT, 1);
    desc(ring.desc, 1, HALF, 4, NEXT, 2);
    desc(ring.desc, 2, DATA, 4, NEXT, 3);
    desc(ring.desc, 3, HALF + 8, 4, 0, 0);
    offer(0);
    CHECK_EQ(virtq_pop(&ring.vq, &ring.slot), 1);
    CHECK_EQ(ring.slot.chain.readable_count, 4);
    CHECK(ring.slot.chain.readable[0].iov_len == 8);

    CHECK_EQ(ftruncate(fds[0], HALF), 0);
    CHECK_EQ(ftruncate(fds[1], HALF), 0);
    char *first = mmap(NULL, HALF, PROT_READ | PROT_WRITE, MAP_SHARED, fds[0], 0);
    memcpy(first, ring.memory, HALF);
    CHECK_EQ(pwrite(fds[1], "new!", 4, 0), 4);
    CHECK_EQ(pwrite(fds[1], "also", 4, 8), 4);
    CHECK_EQ(memmap_new_table(NULL, halves, fds, 2, &changed), 0);
    CHECK_EQ(virtq_attach(&ring.vq, changed), 0);
    memmap_unref(ring.map);
    ring.map = changed;
    virtq_expect(&ring.vq, &ring.slot); /* where nothing is any more */

    struct vring_avail *avail = (void *)(first + ((char *)ring.avail - ring.memory));
    avail->ring[1] = 0;
    avail->idx = 2;
    CHECK_EQ(virtq_pop(&ring.vq, &ring.slot), 1);
    const struct iovec *pieces = ring.slot.chain.readable;
    CHECK_EQ(ring.slot.chain.readable_count, 5); /* the first lies in both */
    CHECK_EQ(pieces[0].iov_len, 4);
    CHECK(memcmp(pieces[1].iov_base, "new!", 4) == 0);
    CHECK(memcmp(pieces[2].iov_base, "new!", 4) == 0);
    first[DATA] = '3';
    CHECK_EQ(*(char *)pieces[3].iov_base, '3');
    CHECK(memcmp(pieces[4].iov_base, "also", 4) == 0);
    munmap(first, HALF);
    close(fds[0]);
    close(fds[1]);
    teardown();
}

static void buffers_in_the_window(void)
{
    const uint64_t base = UINT64_C(0x8000000000) - GUEST; /* desc() adds GUEST */
    static char host[0x4000];
    struct virtq_window window = {.base = base + GUEST, .size = sizeof(host), .host = host};

    setup(WITH_IND, 0);
    virtq_set_window(&ring.vq, &window);
    desc(ring.desc, 0, DATA, 8, NEXT, 1);
    desc(ring.desc, 1, base + 0x1000, 0x3000, NEXT, 2);
    desc(ring.desc, 2, DATA, 16, WRITE | NEXT, 3);
    desc(ring.desc, 3, base, 1, WRITE, 0);
    offer(0);
    CHECK_EQ(virtq_pop(&ring.vq, &ring.slot), 1);
    CHECK(ring.slot.chain.in_window && !ring.slot.chain.unreachable);
    CHECK_EQ(ring.slot.chain.readable_count, 2);
    CHECK_EQ(ring.slot.chain.writable_count, 2);
    CHECK(ring.slot.chain.readable[1].iov_base == host + 0x1000);
    CHECK_EQ(ring.slot.chain.readable[1].iov_len, 0x3000);
    CHECK(ring.slot.chain.writable[1].iov_base == host);

    /* Each of these is left out. */
    static const struct {
        uint64_t offset;
        uint32_t length;
    } outside[] = {{0x4000, 1},       {0x3fff, 2}, {(uint64_t)-1, 1},
                   {(uint64_t)-1, 2}, {0, 0x4001}, {UINT64_MAX / 2, 100}};
    for (unsigned i = 0; i < sizeof(outside) / sizeof(outside[0]); i++) {
        desc(ring.desc, 1, base + outside[i].offset, outside[i].length, NEXT, 2);
        desc(ring.desc, 3, DATA, 5, WRITE, 0);
        offer(0);
        CHECK_EQ(virtq_pop(&ring.vq, &ring.slot), 1);
        CHECK(!ring.slot.chain.in_window && ring.slot.chain.unreachable);
        CHECK_EQ(ring.slot.chain.readable_count, 1);
        CHECK_EQ(ring.slot.chain.writable_count, 2);
        CHECK_EQ(ring.slot.chain.writable[1].iov_len, 5);
    }
    /* Begins in memory and goes on behind it; around the end of all addresses. */
    desc(ring.desc, 1, MEMORY - 4, 8, NEXT, 2);
    offer(0);
    CHECK_EQ(virtq_pop(&ring.vq, &ring.slot), 1);
    CHECK(ring.slot.chain.unreachable);
    desc(ring.desc, 1, UINT64_MAX - GUEST, 8, NEXT, 2);
    offer(0);
    CHECK_EQ(virtq_pop(&ring.vq, &ring.slot), 1);
    CHECK(ring.slot.chain.unreachable);
    CHECK_EQ(ring.slot.chain.readable_count, 1);

    /* The flags are each chain's own. */
    desc(ring.desc, 4, DATA, 8, 0, 0);
    offer(4);
    CHECK_EQ(virtq_pop(&ring.vq, &ring.slot), 1);
    CHECK(!ring.slot.chain.in_window && !ring.slot.chain.unreachable);

    /* A window that nobody knows the place of. */
    window.base = VIRTQ_WINDOW_NOWHERE;
    desc(ring.desc, 4, base, 8, 0, 0);
    offer(4);
    CHECK_EQ(virtq_pop(&ring.vq, &ring.slot), 1);
    CHECK(!ring.slot.chain.in_window && ring.slot.chain.unreachable);
    CHECK_EQ(ring.slot.chain.readable_count, 0);

    /* A table of descriptors is no buffer. */
    window.base = base + GUEST;
    desc(ring.desc, 4, base, 16, IND, 0);
    CHECK_BROKEN(4);
}

static void more_than_4_gib(void)
{
    setup(0, 0);
    for (unsigned i = 0; i < 2; i++)
        desc(ring.desc, i, 0, UINT32_MAX, i ? 0 : NEXT, 1);
    CHECK_BROKEN(0);
}

static void available_index_jumps(void)
{
    setup(0, 0xfffe);
    desc(ring.desc, 0, DATA, 8, 0, 0);
    ring.avail->idx += SIZE; /* and one more is offered */
    CHECK_BROKEN(0);
    setup(0, 5);
    ring.avail->idx = 3; /* backwards; one more: 4 */
    CHECK_BROKEN(0);
}

static void indirect_not_negotiated(void)
{
    setup(0, 0);
    desc(ring.desc, 0, INDIRECT, 16, IND, 0);
    desc((void *)(ring.memory + INDIRECT), 0, DATA, 8, 0, 0);
    CHECK_BROKEN(0);
}

static void indirect_chain(void)
{
    setup(WITH_IND, 0);
    /* A table at an odd address, behind a direct descriptor, not in its own order. */
    struct vring_desc table[SIZE] = {0};
    desc(table, 0, DATA, 10, NEXT, 2);
    desc(table, 2, DATA + 0x1000, 20, NEXT, 1);
    desc(table, 1, DATA + 0x2000, 30, WRITE, 0);
    memcpy(ring.memory + INDIRECT + 3, table, sizeof(table));
    desc(ring.desc, 5, DATA + 0x4000, 5, NEXT, 6);
    desc(ring.desc, 6, INDIRECT + 3, 3 * 16, IND, 0);
    offer(5);
    CHECK_EQ(virtq_pop(&ring.vq, &ring.slot), 1);
    CHECK_EQ(ring.slot.head, 5);
    CHECK_EQ(ring.slot.chain.readable_count, 3);
    CHECK_EQ(ring.slot.chain.writable_count, 1);
    CHECK_EQ(ring.slot.chain.readable[2].iov_len, 20);
    CHECK_EQ(ring.slot.chain.writable[0].iov_len, 30);
    virtq_expect(&ring.vq, &ring.slot);
    CHECK_EQ(virtq_pop(&ring.vq, &ring.slot), 0);
    teardown();
}

/* One bad indirect table after the other. */
static void bad_indirect_tables(void)
{
    static const struct {
        uint32_t length; /* of the table */
        uint16_t outer_flags;
        struct vring_desc inner[2];
    } cases[] = {
        {0, IND, {{0}}},
        {17, IND, {{0}}},
        {15, IND, {{0}}},
        {16 * (SIZE + 1), IND, {{0}}},
        {UINT32_MAX, IND, {{0}}},
        {16, IND | NEXT, {{GUEST + DATA, 8, 0, 0}}},
        {16, IND, {{GUEST + INDIRECT, 16, IND, 0}}},
        {32, IND, {{GUEST + DATA, 8, NEXT, 2}}},
        {32, IND, {{GUEST + DATA, 8, NEXT, 1}, {GUEST + DATA, 8, NEXT, 0}}},
        {32, IND, {{GUEST + DATA, 8, NEXT | WRITE, 1}, {GUEST + DATA, 8, 0, 0}}},
        {16, IND, {{1, 8, 0, 0}}},
    };

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        setup(WITH_IND, 0);
        desc(ring.desc, 0, INDIRECT, cases[i].length, cases[i].outer_flags, 1);
        desc(ring.desc, 1, DATA, 8, 0, 0);
        memcpy(ring.memory + INDIRECT, cases[i].inner, sizeof(cases[i].inner));
        CHECK_BROKEN(0);
    }
    setup(WITH_IND, 0);
    desc(ring.desc, 0, MEMORY - 16, 32, IND, 0); /* its end lies outside */
    CHECK_BROKEN(0);
}

/* Direct and indirect descriptors together must not exceed the queue. */
static void longest_chain(void)
{
    for (unsigned extra = 0; extra < 2; extra++) {
        struct vring_desc table[SIZE];

        setup(WITH_IND, 0);
        for (unsigned i = 0; i < SIZE; i++)
            desc(table, i, DATA, 8, i + 1 < SIZE ? NEXT : 0, (uint16_t)(i + 1));
        memcpy(ring.memory + INDIRECT, table, sizeof(table));
        desc(ring.desc, 0, DATA, 8, NEXT, 1);
        desc(ring.desc, 1, INDIRECT, sizeof(table), IND, 0);
        if (extra) {
            CHECK_BROKEN(0);
        } else {
            offer(1);
            CHECK_EQ(virtq_pop(&ring.vq, &ring.slot), 1);
            CHECK_EQ(ring.slot.chain.readable_count, SIZE);
            teardown();
        }
    }
}

/* Around the end of the index, many times around the ring. */
static void indices_wrap(void)
{
    setup(0, 0xfff0);
    desc(ring.desc, 2, DATA, 8, 0, 0);
    for (unsigned i = 0; i < 100; i++) {
        offer(2);
        CHECK_EQ(virtq_pop(&ring.vq, &ring.slot), 1);
        virtq_push(&ring.vq, 2, i);
        CHECK_EQ(ring.used->idx, (uint16_t)(0xfff0 + i + 1));
        CHECK_EQ(ring.used->ring[(0xfff0 + i) & (SIZE - 1)].len, i);
    }
    CHECK_EQ(ring.vq.last_avail, (uint16_t)(0xfff0 + 100));
    /* A full ring is legal. */
    for (unsigned i = 0; i < SIZE; i++)
        offer(2);
    for (unsigned i = 0; i < SIZE; i++)
        CHECK_EQ(virtq_pop(&ring.vq, &ring.slot), 1);
    CHECK_EQ(virtq_pop(&ring.vq, &ring.slot), 0);
    teardown();
}

/* The used index comes from the ring, the available one from the front-end. */
static void begins_where_the_ring_was(void)
{
    setup(0, 7);
    ring.used->idx = 5;
    virtq_begin(&ring.vq, 7);
    virtq_push(&ring.vq, 1, 9);
    CHECK_EQ(ring.used->idx, 6);
    CHECK_EQ(ring.used->ring[5].len, 9);
    teardown();
}

static void event_idx_notifications(void)
{
    setup(EVENT_IDX, 0xfffe);
    __virtio16 *used_event = &ring.avail->ring[SIZE];

    *used_event = 0xfffe; /* tell me about the next one */
    CHECK(!virtq_wants_notification(&ring.vq));
    virtq_push(&ring.vq, 0, 0); /* ffff */
    CHECK(virtq_wants_notification(&ring.vq));
    CHECK(!virtq_wants_notification(&ring.vq));
    virtq_push(&ring.vq, 0, 0); /* 0 */
    CHECK(!virtq_wants_notification(&ring.vq));
    *used_event = 2;
    virtq_push(&ring.vq, 0, 0); /* 1 */
    virtq_push(&ring.vq, 0, 0); /* 2 */
    CHECK(!virtq_wants_notification(&ring.vq));
    virtq_push(&ring.vq, 0, 0); /* 3: a batch of three that passes the event */
    virtq_push(&ring.vq, 0, 0);
    virtq_push(&ring.vq, 0, 0);
    CHECK(virtq_wants_notification(&ring.vq));
    CHECK(!virtq_wants_notification(&ring.vq));
    teardown();
}

static void event_idx_kicks(void)
{
    setup(EVENT_IDX, 0xffff);
    __virtio16 *avail_event = (__virtio16 *)&ring.used->ring[SIZE];

    desc(ring.desc, 0, DATA, 8, 0, 0);
    CHECK(!virtq_arm_kicks(&ring.vq));
    CHECK_EQ(*avail_event, 0xffff);
    CHECK(vring_need_event(*avail_event, 0, 0xffff));
    offer(0);
    CHECK_EQ(virtq_pop(&ring.vq, &ring.slot), 1);
    virtq_disarm_kicks(&ring.vq);
    /* While awake the driver's next ones stay silent. */
    CHECK(!vring_need_event(*avail_event, 1, 0));
    offer(0);
    CHECK(virtq_has_more(&ring.vq));
    CHECK(virtq_arm_kicks(&ring.vq));
    CHECK_EQ(virtq_pop(&ring.vq, &ring.slot), 1);
    CHECK(!virtq_arm_kicks(&ring.vq));
    CHECK_EQ(*avail_event, 1);
    CHECK_EQ(ring.used->flags, 0);
    teardown();
}

static void flags_without_event_idx(void)
{
    setup(0, 0);
    desc(ring.desc, 0, DATA, 8, 0, 0);
    offer(0);
    CHECK_EQ(virtq_pop(&ring.vq, &ring.slot), 1);
    virtq_disarm_kicks(&ring.vq);
    CHECK_EQ(ring.used->flags, VRING_USED_F_NO_NOTIFY);
    CHECK(!virtq_arm_kicks(&ring.vq));
    CHECK_EQ(ring.used->flags, 0);
    virtq_push(&ring.vq, 0, 0);
    ring.avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
    CHECK(!virtq_wants_notification(&ring.vq));
    virtq_push(&ring.vq, 0, 0);
    ring.avail->flags = 0;
    CHECK(virtq_wants_notification(&ring.vq));
    teardown();
}

static void largest_and_smallest_queue(void)
{
    setup_size(EVENT_IDX, 0, 1);
    desc(ring.desc, 0, DATA, 8, 0, 0);
    offer(0);
    CHECK_EQ(virtq_pop(&ring.vq, &ring.slot), 1);
    virtq_push(&ring.vq, 0, 1);
    offer(0);
    CHECK_EQ(virtq_pop(&ring.vq, &ring.slot), 1);
    teardown();

    setup_size(EVENT_IDX, 0, VIRTQ_SIZE_MAX);
    for (unsigned i = 0; i < VIRTQ_SIZE_MAX; i++)
        desc(ring.desc, i, 0, 1, i + 1 < VIRTQ_SIZE_MAX ? NEXT : 0, (uint16_t)(i + 1));
    offer(0);
    CHECK_EQ(virtq_pop(&ring.vq, &ring.slot), 1);
    CHECK_EQ(ring.slot.chain.readable_count, VIRTQ_SIZE_MAX);
    teardown();
}

static void rings_outside_memory_or_unaligned(void)
{
    setup(EVENT_IDX, 0);
    struct virtq probe;
    struct virtq_layout layout = {.size = SIZE, .desc = 0, .avail = 0x1000, .used = 0x2000};

    virtq_init(&probe, &layout, EVENT_IDX);
    CHECK_EQ(virtq_attach(&probe, ring.map), 0);
    layout.desc = 8;
    virtq_init(&probe, &layout, EVENT_IDX);
    CHECK_EQ(virtq_attach(&probe, ring.map), -EINVAL);
    layout.desc = 0;
    layout.avail = 0x1001;
    virtq_init(&probe, &layout, EVENT_IDX);
    CHECK_EQ(virtq_attach(&probe, ring.map), -EINVAL);
    layout.avail = 0x1000;
    layout.used = 0x2002;
    virtq_init(&probe, &layout, EVENT_IDX);
    CHECK_EQ(virtq_attach(&probe, ring.map), -EINVAL);
    /* Without EVENT_IDX it just fits, with it the event field lies outside. */
    layout.used = MEMORY - (4 + SIZE * 8);
    virtq_init(&probe, &layout, 0);
    CHECK_EQ(virtq_attach(&probe, ring.map), 0);
    virtq_init(&probe, &layout, EVENT_IDX);
    CHECK_EQ(virtq_attach(&probe, ring.map), -EFAULT);
    teardown();
}

int main(void)
{
    RUN(good_chain);
    RUN(chain_left_in_the_ring);
    RUN(chains_behind);
    RUN(head_outside_table);
    RUN(nonsense_behind_good_chains);
    RUN(next_outside_table);
    RUN(loop_to_itself);
    RUN(loop_of_two_without_bytes);
    RUN(readable_behind_writable);
    RUN(address_outside_memory);
    RUN(memory_changes_between_chains);
    RUN(buffers_in_the_window);
    RUN(more_than_4_gib);
    RUN(available_index_jumps);
    RUN(indirect_not_negotiated);
    RUN(indirect_chain);
    RUN(bad_indirect_tables);
    RUN(longest_chain);
    RUN(indices_wrap);
    RUN(begins_where_the_ring_was);
    RUN(event_idx_notifications);
    RUN(event_idx_kicks);
    RUN(flags_without_event_idx);
    RUN(largest_and_smallest_queue);
    RUN(rings_outside_memory_or_unaligned);
    return test_result();
}
