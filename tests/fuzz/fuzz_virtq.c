// SPDX-License-Identifier: BSD-3-Clause
/*
 * Any bytes as guest memory: the split ring is attached to them and popped until it is empty or
 * broken. What a popped chain points to must lie in guest memory, every byte of it.
 *
 * Input: {u8 log2 of the queue's size, u8 features, u16 available base}, then memory from the ring
 * on. Two regions with a hole between them.
 */
#include <err.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "guestfault.h"
#include "memmap.h"
#include "virtq.h"
#include "vu_proto.h"

#define REGION_SIZE 0x8000u
#define USER        0x10000u
#define POPS_MAX    256

static char *memory; /* our own view of both regions */
static int memory_fd;

static const struct vu_memory_region regions[2] = {
    {.guest_address = 0, .size = REGION_SIZE, .user_address = USER},
    {.guest_address = REGION_SIZE,
     .size = REGION_SIZE / 2,
     .user_address = USER + 4 * REGION_SIZE,
     .mmap_offset = REGION_SIZE},
};

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    memory_fd = memfd_create("guest", MFD_CLOEXEC);
    if (memory_fd < 0 || ftruncate(memory_fd, 2 * REGION_SIZE) < 0)
        err(1, "memfd");
    memory = mmap(NULL, 2 * REGION_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd, 0);
    if (memory == MAP_FAILED || guestfault_install() < 0)
        err(1, "mmap");
    return 0;
}

/* Reads and writes all that the chain names: the sanitizer or the hardware objects if it may not.
 */
static uint64_t touch(const struct iovec *iov, unsigned count)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < count; i++) {
        volatile char *bytes = iov[i].iov_base;

        if (iov[i].iov_len == 0 || iov[i].iov_len > REGION_SIZE)
            __builtin_trap();
        sum += iov[i].iov_len;
        bytes[0] = bytes[0];
        bytes[iov[i].iov_len - 1] = bytes[iov[i].iov_len - 1];
    }
    return sum;
}

static void pop_all(struct virtq *vq, struct virtq_slot *slot)
{
    for (int i = 0; i < POPS_MAX; i++) {
        int rc = virtq_pop(vq, slot);

        if (rc < 0 && !vq->fault)
            __builtin_trap();
        if (rc < 0)
            return;
        if (rc == 0) {
            if (!virtq_arm_kicks(vq))
                return;
            continue;
        }
        uint64_t sum = touch(slot->chain.readable, slot->chain.readable_count) +
                       touch(slot->chain.writable, slot->chain.writable_count);
        if (sum > UINT32_MAX || slot->head >= vq->layout.size)
            __builtin_trap();
        virtq_disarm_kicks(vq);
        virtq_push(vq, slot->head, (uint32_t)i);
        virtq_wants_notification(vq);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    struct {
        uint8_t log_size, features;
        uint16_t base;
    } head;
    int fds[2] = {memory_fd, memory_fd};
    struct memmap *map;
    struct virtq_slot slot;
    struct virtq vq;

    fuzz_take(&input, &head, sizeof(head));
    memset(memory, 0, 2 * REGION_SIZE);
    memcpy(memory, input.data, input.left < 2 * REGION_SIZE ? input.left : 2 * REGION_SIZE);
    unsigned queue_size = 1u << (head.log_size % 8);
    /* Available ring and indices first, where a short input reaches them. */
    struct virtq_layout layout = {
        .size = queue_size,
        .avail = USER,
        .desc = USER + ((6 + 2 * queue_size + 15) & ~15u),
        .used = USER + 0x4000,
    };
    uint64_t features = (uint64_t)(head.features & 3) << 28;

    if (memmap_new_table(NULL, regions, fds, 2, &map) < 0 || virtq_slot_init(&slot, queue_size) < 0)
        err(1, "set-up");
    virtq_init(&vq, &layout, features);
    if (virtq_attach(&vq, map) < 0)
        __builtin_trap();
    virtq_begin(&vq, head.base);
    pop_all(&vq, &slot);
    virtq_slot_free(&slot);
    memmap_unref(map);
    return 0;
}
