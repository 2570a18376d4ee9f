// SPDX-License-Identifier: BSD-3-Clause
/*
 * Theory of operation.
 *
 * Three areas: the descriptor table and the available ring belong to the driver, the used ring to
 * us. The driver fills descriptors and ring entries, then publishes them by its index: we read
 * that index with acquire order and never look past it. We fill used entries and then publish
 * our index with release order. Indices run freely from 0 to 65535 and wrap; the entry of index i
 * is i modulo the size of the queue, which is a power of two.
 *
 * Sleeping and notifying are both a pair of "write mine, full fence, read yours", on both sides, so
 * that at least one side sees the other's write:
 *  - before sleep we ask for kicks (avail_event = last_avail, or flags without NO_NOTIFY), fence,
 *    and read the driver's index once more;
 *  - after publishing used entries we fence and read what the driver asked for (used_event or
 *    NO_INTERRUPT), while the driver writes that, fences and looks at our index once more.
 * With EVENT_IDX an index is an event when it lies between the old and the new position;
 * vring_need_event() does that arithmetic modulo 65536. While awake we leave avail_event where
 * the last sleep put it: the driver has passed it already and stays silent.
 */
#include "virtq_split.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <stdatomic.h>
#include <string.h>

#include "vu_proto.h"

/* Of so many buffers of a chain the start is fetched ahead: requests and replies without data. */
#define AHEAD_MAX   5u
#define AHEAD_BYTES 160u

/* Ring fields are shared with the guest: each is read or written by one atomic access. */
static inline uint16_t load16(const __virtio16 *field)
{
    return le16toh(__atomic_load_n(field, __ATOMIC_RELAXED));
}

static inline void store16(__virtio16 *field, uint16_t value)
{
    __atomic_store_n(field, htole16(value), __ATOMIC_RELAXED);
}

/* Section 2.7.7.1: the two event fields lie behind the rings. */
static inline __virtio16 *used_event(const struct virtq *vq)
{
    return &vq->avail->ring[vq->layout.size];
}

static inline __virtio16 *avail_event(const struct virtq *vq)
{
    return (__virtio16 *)&vq->used->ring[vq->layout.size];
}

static int split_attach(struct virtq *vq, const struct memmap *memory)
{
    const struct virtq_layout *layout = &vq->layout;
    uint64_t event_size = vq->event_idx ? sizeof(__virtio16) : 0;
    uint64_t avail_size = sizeof(struct vring_avail) + layout->size * sizeof(__virtio16);
    uint64_t used_size = sizeof(struct vring_used) + layout->size * sizeof(struct vring_used_elem);

    char *desc = memmap_user_address(memory, layout->desc, layout->size * sizeof(*vq->desc));
    char *avail = memmap_user_address(memory, layout->avail, avail_size + event_size);
    char *used = memmap_user_address(memory, layout->used, used_size + event_size);

    if (!desc || !avail || !used)
        return -EFAULT;
    if ((uintptr_t)desc % VRING_DESC_ALIGN_SIZE || (uintptr_t)avail % VRING_AVAIL_ALIGN_SIZE ||
        (uintptr_t)used % VRING_USED_ALIGN_SIZE)
        return -EINVAL;

    vq->memory = memory;
    vq->near = (struct memmap_span){0};
    vq->desc = (struct vring_desc *)desc;
    vq->avail = (struct vring_avail *)avail;
    vq->used = (struct vring_used *)used;
    return 0;
}

static void split_begin(struct virtq *vq, uint16_t avail_base)
{
    vq->last_avail = avail_base;
    vq->avail_seen = avail_base;
    vq->kicks_armed = true;
    vq->used_index = load16(&vq->used->idx);
    vq->announced = vq->used_index;
    store16(&vq->used->flags, 0);
}

static int broken(struct virtq *vq, const char *fault)
{
    vq->fault = fault;
    return -EBADMSG;
}

/* True when avail_seen (looked at again if need be) is ahead of last_avail. */
static bool split_has_more(struct virtq *vq)
{
    if (vq->avail_seen == vq->last_avail)
        vq->avail_seen = le16toh(__atomic_load_n(&vq->avail->idx, __ATOMIC_ACQUIRE));
    return vq->avail_seen != vq->last_avail;
}

static unsigned split_waiting(struct virtq *vq)
{
    vq->avail_seen = le16toh(__atomic_load_n(&vq->avail->idx, __ATOMIC_ACQUIRE));
    return (uint16_t)(vq->avail_seen - vq->last_avail);
}

/* What is known of a chain while it is walked. */
struct walk {
    unsigned descriptors;
    unsigned readable;
    unsigned writable;
    uint64_t bytes;
    bool in_window;
    bool unreachable;
};

/*
 * A buffer that is not in guest memory may be in the DAX window, where the front-end has put pages
 * of files for the driver's use. One that is not, or not all of it, costs its request only: what is
 * where changes all the time, and not by the will of who offered the buffer. Returns how many
 * entries were filled, or -EBADMSG.
 */
static int add_beyond(struct virtq *vq, struct virtq_slot *slot, unsigned filled, struct walk *walk,
                      const struct vring_desc *desc)
{
    if (!vq->window)
        return broken(vq, "a descriptor outside guest memory");

    char *host = virtq_window_find(vq->window, desc->addr, desc->len);
    if (!host) {
        walk->unreachable = true;
        return 0;
    }
    if (filled == slot->iov_max)
        return broken(vq, "a chain over too many memory regions");
    walk->in_window = true;
    slot->iov[filled] = (struct iovec){.iov_base = host, .iov_len = desc->len};
    return 1;
}

/* As memmap_translate() says, and at once when the buffer is where the last one was. */
static inline int translate(struct virtq *vq, const struct vring_desc *desc, struct iovec *iov,
                            unsigned iov_max)
{
    char *host;

    if (!memmap_span_find(&vq->near, desc->addr, desc->len, &host) || iov_max == 0) {
        vq->near = memmap_span_around(vq->memory, desc->addr);
        return memmap_translate(vq->memory, desc->addr, desc->len, iov, iov_max);
    }
    *iov = (struct iovec){.iov_base = host, .iov_len = desc->len};
    return 1;
}

/* Adds one buffer to the slot's lists. Returns 0 or -EBADMSG. */
static inline int add_buffer(struct virtq *vq, struct virtq_slot *slot, struct walk *walk,
                             const struct vring_desc *desc)
{
    unsigned filled = walk->readable + walk->writable;
    bool writable = desc->flags & VRING_DESC_F_WRITE;

    if (!writable && walk->writable)
        return broken(vq, "a readable descriptor behind a writable one");
    int count = translate(vq, desc, slot->iov + filled, slot->iov_max - filled);
    if (count == -E2BIG)
        return broken(vq, "a chain over too many memory regions");
    if (count < 0)
        count = add_beyond(vq, slot, filled, walk, desc);
    if (count < 0)
        return count;
    walk->bytes += desc->len;
    if (writable)
        walk->writable += (unsigned)count;
    else
        walk->readable += (unsigned)count;
    return 0;
}

/* Copies the descriptor out of the ring's table, in host order. */
static struct vring_desc read_ring_desc(const struct virtq *vq, unsigned index)
{
    const struct vring_desc *from = &vq->desc[index];

    return (struct vring_desc){
        .addr = le64toh(__atomic_load_n(&from->addr, __ATOMIC_RELAXED)),
        .len = le32toh(__atomic_load_n(&from->len, __ATOMIC_RELAXED)),
        .flags = load16(&from->flags),
        .next = load16(&from->next),
    };
}

static struct vring_desc read_copied_desc(const struct virtq_slot *slot, unsigned index)
{
    const struct vring_desc *from = &slot->table[index];

    return (struct vring_desc){
        .addr = le64toh(from->addr),
        .len = le32toh(from->len),
        .flags = le16toh(from->flags),
        .next = le16toh(from->next),
    };
}

/* Section 2.7.5.3: the whole table is copied before it is looked at. */
static bool copy_table(struct virtq *vq, struct virtq_slot *slot, const struct vring_desc *pointer)
{
    char *host;

    if (!memmap_span_find(&vq->near, pointer->addr, pointer->len, &host)) {
        slot->table_was = NULL;
        return memmap_copy_in(vq->memory, pointer->addr, slot->table, pointer->len) == 0;
    }
    slot->table_was = host;
    slot->table_count = pointer->len / sizeof(*pointer);
    memcpy(slot->table, host, pointer->len);
    /* From here on the private copy counts: the compiler must not read the source again. */
    __asm__ volatile("" ::: "memory");
    return true;
}

static int walk_indirect(struct virtq *vq, struct virtq_slot *slot, struct walk *walk,
                         const struct vring_desc *pointer)
{
    unsigned count = pointer->len / sizeof(struct vring_desc);
    unsigned index = 0;

    if (!vq->indirect)
        return broken(vq, "an indirect descriptor, which was not negotiated");
    if (pointer->flags & VRING_DESC_F_NEXT)
        return broken(vq, "an indirect descriptor that has a next one");
    if (count == 0 || pointer->len % sizeof(struct vring_desc))
        return broken(vq, "an indirect table of an odd size");
    if (count > slot->table_max)
        return broken(vq, "an indirect table longer than the queue");
    if (!copy_table(vq, slot, pointer))
        return broken(vq, "an indirect table outside guest memory");

    for (;;) {
        struct vring_desc desc = read_copied_desc(slot, index);

        if (++walk->descriptors > vq->layout.size)
            return broken(vq, "a chain longer than the queue");
        if (desc.flags & VRING_DESC_F_INDIRECT)
            return broken(vq, "an indirect descriptor in an indirect table");
        int rc = add_buffer(vq, slot, walk, &desc);
        if (rc < 0 || !(desc.flags & VRING_DESC_F_NEXT))
            return rc;
        if (desc.next >= count)
            return broken(vq, "a next descriptor outside its indirect table");
        index = desc.next;
    }
}

static int walk_chain(struct virtq *vq, struct virtq_slot *slot, struct walk *walk, unsigned index)
{
    for (;;) {
        struct vring_desc desc = read_ring_desc(vq, index);

        if (desc.flags & VRING_DESC_F_INDIRECT)
            return walk_indirect(vq, slot, walk, &desc);
        if (++walk->descriptors > vq->layout.size)
            return broken(vq, "a chain longer than the queue");
        int rc = add_buffer(vq, slot, walk, &desc);
        if (rc < 0 || !(desc.flags & VRING_DESC_F_NEXT))
            return rc;
        if (desc.next >= vq->layout.size)
            return broken(vq, "a next descriptor outside the table");
        index = desc.next;
    }
}

/* Reads the chain into slot. Returns 1 or -EBADMSG. */
static inline int read_chain(struct virtq *vq, struct virtq_slot *slot, uint16_t head)
{
    struct walk walk = {0};

    int rc = walk_chain(vq, slot, &walk, head);
    if (rc < 0)
        return rc;
    if (walk.bytes > UINT32_MAX)
        return broken(vq, "a chain of 4 GiB or more");

    slot->head = head;
    slot->chain = (struct fuse_chain){
        .readable = slot->iov,
        .readable_count = walk.readable,
        .writable = slot->iov + walk.readable,
        .writable_count = walk.writable,
        .in_window = walk.in_window,
        .unreachable = walk.unreachable,
    };
    return 1;
}

/* The head of the chain so many places behind the next one; NULL for nonsense. */
static inline const struct vring_desc *head_ahead(const struct virtq *vq, unsigned places)
{
    unsigned mask = vq->layout.size - 1;
    uint16_t head = load16(&vq->avail->ring[(vq->last_avail + places) & mask]);

    return head < vq->layout.size ? &vq->desc[head] : NULL;
}

/* Where a buffer is if it is in the region of the last one; else NULL. */
static inline const char *near_buffer(const struct virtq *vq, const struct vring_desc *desc,
                                      uint32_t length)
{
    uint64_t address = le64toh(__atomic_load_n(&desc->addr, __ATOMIC_RELAXED));
    char *host;

    return memmap_span_find(&vq->near, address, length, &host) ? host : NULL;
}

/* The indirect table of a chain and how much there is of it; NULL if it has none. */
static inline const struct vring_desc *table_ahead(const struct virtq *vq, unsigned places,
                                                   unsigned *ret_count)
{
    const struct vring_desc *head = head_ahead(vq, places);

    if (!head || !(load16(&head->flags) & VRING_DESC_F_INDIRECT))
        return NULL;
    uint32_t length = le32toh(__atomic_load_n(&head->len, __ATOMIC_RELAXED));
    const char *table = near_buffer(vq, head, length);
    *ret_count = length / sizeof(*head);
    return (uintptr_t)table % alignof(struct vring_desc) ? NULL : (const void *)table;
}

/*
 * A line that is about to be written. The compiler takes a processor for granted on which there is
 * no such instruction, and has the line read, which leaves it to the first store to take it away
 * from the other processor; all of today have it, and older ones do nothing.
 */
static inline void prefetch_to_write(const char *line)
{
#ifdef __x86_64__
    __asm__ volatile("prefetchw %0" : : "m"(*line));
#else
    __builtin_prefetch(line, 1);
#endif
}

/* Of the start of a buffer the lines that a request or its reply without data takes. */
static inline void prefetch_buffer(const char *start, uint32_t length, bool to_write)
{
    const char *last = start + length - 1;

    if (to_write) {
        prefetch_to_write(start);
        prefetch_to_write(last);
        if (length > VIRTQ_CACHE_LINE)
            prefetch_to_write(start + VIRTQ_CACHE_LINE);
    } else {
        __builtin_prefetch(start);
        __builtin_prefetch(last);
    }
}

/* The buffers of a chain by its table, in the order that it is written in; count: what there is. */
static inline void prefetch_buffers(const struct virtq *vq, const struct vring_desc *table,
                                    unsigned count)
{
    for (unsigned i = 0; i < count && i < AHEAD_MAX; i++) {
        uint32_t length = le32toh(__atomic_load_n(&table[i].len, __ATOMIC_RELAXED));
        uint16_t flags = load16(&table[i].flags);

        if (length > AHEAD_BYTES)
            length = AHEAD_BYTES;
        const char *start = near_buffer(vq, &table[i], length);
        if (start)
            prefetch_buffer(start, length, flags & VRING_DESC_F_WRITE);
        if (!(flags & VRING_DESC_F_NEXT))
            break;
    }
}

static void prefetch_table(const struct vring_desc *table)
{
    __builtin_prefetch(table);
    __builtin_prefetch(&table[AHEAD_MAX - 1]);
}

/*
 * All that a driver writes is in its processor's cache, and a chain is one line of that after the
 * other, each found by the one before it. So while a request runs, the lines of the next ones are
 * fetched: the buffers of the first, the table of the second, the head of the third. Hints and
 * nothing else: what is read here is read again, and checked, when its turn comes.
 */
static void look_ahead(const struct virtq *vq)
{
    unsigned more = (uint16_t)(vq->avail_seen - vq->last_avail);

    if (more == 0)
        return;
    unsigned count;
    const struct vring_desc *table = table_ahead(vq, 0, &count);
    if (table)
        prefetch_buffers(vq, table, count);
    if (more > 1 && (table = table_ahead(vq, 1, &count)))
        prefetch_table(table);
    if (more > 2)
        __builtin_prefetch(head_ahead(vq, 2));
}

static int split_pop(struct virtq *vq, struct virtq_slot *slot)
{
    if (!split_has_more(vq))
        return 0;
    if ((uint16_t)(vq->avail_seen - vq->last_avail) > vq->layout.size)
        return broken(vq, "an available index more than the queue's size ahead");

    uint16_t head = load16(&vq->avail->ring[vq->last_avail & (vq->layout.size - 1)]);
    if (head >= vq->layout.size)
        return broken(vq, "a chain's head outside the table");
    int rc = read_chain(vq, slot, head);
    if (rc > 0) {
        slot->next_avail = ++vq->last_avail;
        look_ahead(vq);
    }
    return rc;
}

/* Of a chain that comes alone its place in the used ring is known as well. */
static void split_expect(const struct virtq *vq, const struct virtq_slot *slot)
{
    unsigned place = vq->last_avail & (vq->layout.size - 1);

    __builtin_prefetch(&vq->avail->ring[place]);
    __builtin_prefetch(used_event(vq));
    __builtin_prefetch(&vq->desc[slot->head]);
    if (slot->table_was) {
        prefetch_table((const void *)slot->table_was);
        prefetch_buffers(vq, slot->table, slot->table_count);
    }
    prefetch_to_write((const char *)&vq->used->ring[place]);
    prefetch_to_write((const char *)&vq->used->idx);
    prefetch_to_write((const char *)avail_event(vq));
}

static int split_retake(struct virtq *vq, struct virtq_slot *slot, uint16_t head)
{
    slot->next_avail = vq->last_avail;
    return read_chain(vq, slot, head);
}

/* The driver overwrites an entry of its ring only after the chain in it was given back. */
static void split_unpop(struct virtq *vq)
{
    vq->last_avail--;
}

static unsigned split_behind(const struct virtq *vq, const struct virtq_slot *slot)
{
    unsigned behind = (uint16_t)(load16(&vq->avail->idx) - slot->next_avail);

    return behind <= vq->layout.size ? behind : vq->layout.size;
}

static bool split_arm_kicks(struct virtq *vq)
{
    vq->kicks_armed = true;
    if (vq->event_idx)
        store16(avail_event(vq), vq->last_avail);
    else
        store16(&vq->used->flags, 0);
    atomic_thread_fence(memory_order_seq_cst);
    vq->avail_seen = le16toh(__atomic_load_n(&vq->avail->idx, __ATOMIC_ACQUIRE));
    return vq->avail_seen != vq->last_avail;
}

static void split_disarm_kicks(struct virtq *vq)
{
    if (!vq->event_idx && vq->kicks_armed)
        store16(&vq->used->flags, VRING_USED_F_NO_NOTIFY);
    vq->kicks_armed = false;
}

static void split_push(struct virtq *vq, uint16_t head, uint32_t length)
{
    struct vring_used_elem *elem = &vq->used->ring[vq->used_index & (vq->layout.size - 1)];

    __atomic_store_n(&elem->id, htole32(head), __ATOMIC_RELAXED);
    __atomic_store_n(&elem->len, htole32(length), __ATOMIC_RELAXED);
    vq->used_index++;
    __atomic_store_n(&vq->used->idx, htole16(vq->used_index), __ATOMIC_RELEASE);
}

static bool split_wants_notification(struct virtq *vq)
{
    uint16_t old = vq->announced;

    if (old == vq->used_index)
        return false;
    vq->announced = vq->used_index;
    atomic_thread_fence(memory_order_seq_cst);
    if (!vq->event_idx)
        return !(load16(&vq->avail->flags) & VRING_AVAIL_F_NO_INTERRUPT);
    return vring_need_event(load16(used_event(vq)), vq->used_index, old);
}

const struct virtq_ops virtq_split_ops = {
    .attach = split_attach,
    .begin = split_begin,
    .pop = split_pop,
    .expect = split_expect,
    .unpop = split_unpop,
    .retake = split_retake,
    .has_more = split_has_more,
    .waiting = split_waiting,
    .behind = split_behind,
    .arm_kicks = split_arm_kicks,
    .disarm_kicks = split_disarm_kicks,
    .push = split_push,
    .wants_notification = split_wants_notification,
};
