// SPDX-License-Identifier: BSD-3-Clause
/*
 * A virtqueue as the device sees it (virtio 1.3 section 2.6): take descriptor chains, give them
 * back, decide about notifications. The layout of the ring is behind a table of functions;
 * virtq_split has the split one.
 *
 * Owner: a struct queue, for as long as the ring runs. The pop side (take, kicks) and the push
 * side (give back, notifications) are independent: each is guarded by a lock of the queue, and
 * virtq_attach() needs both. Everything in the ring is written by a hostile guest at any time:
 * it is copied once, checked, and then used.
 */
#ifndef VIOFS_VIRTQ_H
#define VIOFS_VIRTQ_H

#include <linux/virtio_ring.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "fuse_server.h"
#include "memmap.h"

/* Section 2.7: "Queue Size ... maximum 32768", a power of two. */
#define VIRTQ_SIZE_MAX       32768

/* A chain has at most "queue size" descriptors; some may straddle regions and need a second entry.
 */
#define VIRTQ_IOV_SLACK      64

#define VIRTQ_CACHE_LINE     64

/*
 * The DAX window, where buffers may lie that are in no memory region. base is found and forgotten
 * while queues run; the rest stays.
 */
#define VIRTQ_WINDOW_NOWHERE UINT64_MAX

struct virtq_window {
    _Atomic uint64_t base; /* guest address; VIRTQ_WINDOW_NOWHERE: not known */
    uint64_t size;         /* bytes; 0: there is none */
    char *host;            /* fuse_server_window() */
};

/* Where [address, address + size) of guest memory is, if it lies in the window; else NULL. */
static inline char *virtq_window_find(const struct virtq_window *window, uint64_t address,
                                      uint64_t size)
{
    uint64_t base = atomic_load_explicit(&window->base, memory_order_relaxed);
    uint64_t offset = address - base;

    if (base == VIRTQ_WINDOW_NOWHERE || offset >= window->size || size > window->size - offset)
        return NULL;
    return window->host + offset;
}

/* Where the ring is; user addresses of the front-end. */
struct virtq_layout {
    unsigned size; /* power of two, 1 to VIRTQ_SIZE_MAX */
    uint64_t desc;
    uint64_t avail;
    uint64_t used;
};

/*
 * One taken chain, and the room to take it: belongs to one thread, which reuses it for chain
 * after chain.
 */
struct virtq_slot {
    uint16_t head;           /* names the chain when it is given back */
    uint16_t next_avail;     /* entry of the available ring that follows it */
    struct fuse_chain chain; /* points into iov */
    struct iovec *iov;
    unsigned iov_max;
    struct vring_desc *table; /* private copy of an indirect table */
    unsigned table_max;       /* in descriptors */
    const char *table_was;    /* where the last chain had it: a hint; NULL: not easily told */
    unsigned table_count;     /* descriptors of it then */
};

/* Room for any chain of a queue of this size. Returns 0 or -ENOMEM. */
int virtq_slot_init(struct virtq_slot *slot, unsigned queue_size);
void virtq_slot_free(struct virtq_slot *slot);

struct virtq;

struct virtq_ops {
    int (*attach)(struct virtq *vq, const struct memmap *memory);
    void (*begin)(struct virtq *vq, uint16_t avail_base);
    int (*pop)(struct virtq *vq, struct virtq_slot *slot);
    void (*unpop)(struct virtq *vq);
    int (*retake)(struct virtq *vq, struct virtq_slot *slot, uint16_t head);
    void (*expect)(const struct virtq *vq, const struct virtq_slot *slot);
    bool (*has_more)(struct virtq *vq);
    unsigned (*waiting)(struct virtq *vq);
    unsigned (*behind)(const struct virtq *vq, const struct virtq_slot *slot);
    bool (*arm_kicks)(struct virtq *vq);
    void (*disarm_kicks)(struct virtq *vq);
    void (*push)(struct virtq *vq, uint16_t head, uint32_t length);
    bool (*wants_notification)(struct virtq *vq);
};

struct virtq {
    /* Fixed while the ring runs. */
    const struct virtq_ops *ops;
    struct virtq_layout layout;
    bool event_idx;                    /* VIRTIO_F_EVENT_IDX was negotiated */
    bool indirect;                     /* VIRTIO_F_INDIRECT_DESC was negotiated */
    const struct virtq_window *window; /* NULL: no memory but the regions */

    /* Written by attach only, with both locks. */
    const struct memmap *memory; /* borrowed from the queue */
    struct vring_desc *desc;
    struct vring_avail *avail;
    struct vring_used *used;

    /* The pop side. */
    alignas(VIRTQ_CACHE_LINE) uint16_t last_avail; /* next entry to take */
    uint16_t avail_seen;                           /* the driver's index when last looked at */
    bool kicks_armed;                              /* the driver was asked for kicks */
    struct memmap_span near;                       /* where the last buffer was, in memory */
    const char *fault;                             /* why pop called the ring broken */

    /* The push side. */
    alignas(VIRTQ_CACHE_LINE) uint16_t used_index; /* next entry to write */
    uint16_t announced;                            /* used_index at the last decision */
};

/* Describes the ring; nothing is touched before virtq_attach(). features: the negotiated bits. */
void virtq_init(struct virtq *vq, const struct virtq_layout *layout, uint64_t features);

/*
 * From now on a buffer in no region does not break the ring: see struct fuse_chain. Before
 * virtq_begin(). window is borrowed; NULL is fine.
 */
void virtq_set_window(struct virtq *vq, const struct virtq_window *window);

/*
 * Finds the ring in a memory snapshot, which must live until the next attach. May be called again
 * while the ring runs. Returns 0; -EFAULT when a part of the ring lies in no region, -EINVAL when
 * it is not aligned as section 2.7 wants it; on failure nothing has changed.
 */
static inline int virtq_attach(struct virtq *vq, const struct memmap *memory)
{
    return vq->ops->attach(vq, memory);
}

/* Starts at available index avail_base, and at the used index that the ring itself holds. */
static inline void virtq_begin(struct virtq *vq, uint16_t avail_base)
{
    vq->ops->begin(vq, avail_base);
}

/*
 * Takes the next chain. Returns 1 with the chain in slot; 0 when none is available; -EBADMSG for
 * a ring or a chain that breaks the rules: vq->fault says which, and the ring must not be
 * used any more.
 */
static inline int virtq_pop(struct virtq *vq, struct virtq_slot *slot)
{
    return vq->ops->pop(vq, slot);
}

/*
 * Leaves the chain that was taken last to the next virtq_pop(), as if it had not been taken. Once
 * after each pop, and only if no other chain was popped since. The slot is free for another one.
 */
static inline void virtq_unpop(struct virtq *vq)
{
    vq->ops->unpop(vq);
}

/*
 * Takes a chain again that was taken before, by its head, and not given back, whatever was taken
 * since. Returns 1 or -EBADMSG, as virtq_pop().
 */
static inline int virtq_retake(struct virtq *vq, struct virtq_slot *slot, uint16_t head)
{
    return vq->ops->retake(vq, slot, head);
}

/*
 * Before the first virtq_pop() after a sleep: the driver has most likely put the next chain where
 * the one was that this slot had last, so all of it is fetched from its processor's cache at once.
 * A hint; the slot may be new.
 */
static inline void virtq_expect(const struct virtq *vq, const struct virtq_slot *slot)
{
    vq->ops->expect(vq, slot);
}

/* True when another chain can be taken (or the ring is found broken) at once. */
static inline bool virtq_has_more(struct virtq *vq)
{
    return vq->ops->has_more(vq);
}

/* How many chains can be taken now; more than the size of the queue if the ring is broken. */
static inline unsigned virtq_waiting(struct virtq *vq)
{
    return vq->ops->waiting(vq);
}

/*
 * How many chains the driver has made available behind the one in slot, taken or not; at most the
 * size of the queue. No lock: a hint, as it changes all the time.
 */
static inline unsigned virtq_behind(const struct virtq *vq, const struct virtq_slot *slot)
{
    return vq->ops->behind(vq, slot);
}

/* Asks the driver for kicks. Returns true when chains came meanwhile: do not sleep. */
static inline bool virtq_arm_kicks(struct virtq *vq)
{
    return vq->ops->arm_kicks(vq);
}

/* Tells the driver that kicks are not needed. */
static inline void virtq_disarm_kicks(struct virtq *vq)
{
    vq->ops->disarm_kicks(vq);
}

/* Gives a chain back with so many bytes written, and shows it to the driver. */
static inline void virtq_push(struct virtq *vq, uint16_t head, uint32_t length)
{
    vq->ops->push(vq, head, length);
}

/* True when the driver wants to be notified of what was given back since the last call. */
static inline bool virtq_wants_notification(struct virtq *vq)
{
    return vq->ops->wants_notification(vq);
}

#endif
