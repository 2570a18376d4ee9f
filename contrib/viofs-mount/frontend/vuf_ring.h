// SPDX-License-Identifier: BSD-3-Clause
/*
 * Driver's side of a split virtqueue (virtio 1.3, 2.7), with indirect descriptors and EVENT_IDX.
 *
 * Owner: the one who called vuf_ring_create; the ring memory lies in the given guest memory and
 * must not outlive it.  Threads: one at a time per ring; different rings are independent.
 *
 * Bookkeeping that decides anything is private to this process (free list, chain lengths, indices):
 * a device that scribbles over the ring can lose requests but not confuse the driver.  Hostile
 * drivers write to desc, avail and used directly, and may skip the functions below altogether.
 *
 * Notification, both ways, is exact: vuf_ring_kick kicks only when the device asked for it; calls
 * are off after creation and after vuf_ring_calls_off, and a sleeper turns them on by
 * vuf_ring_calls_on or vuf_ring_wait.
 */
#ifndef VUF_RING_H
#define VUF_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vuf_mem.h"

/* A stretch of guest memory. */
struct vuf_piece {
    uint64_t gpa;
    uint32_t len;
};

struct vuf_ring_options {
    unsigned int index; /* of the ring in the device */
    unsigned int size;  /* entries, 1 to VUF_RING_SIZE_MAX; a power of two unless one is testing */
    unsigned int indirect_max; /* longest indirect chain; 0: indirect descriptors are not used */
    bool event_idx;            /* VIRTIO_F_EVENT_IDX was negotiated */
};

struct vuf_ring {
    struct vuf_mem *mem; /* borrowed */
    unsigned int index;
    unsigned int size;
    unsigned int indirect_max;
    bool event_idx;

    /* In guest memory, the device writes here too. */
    struct vuf_desc *desc;
    struct vuf_avail *avail;
    struct vuf_used *used;
    struct vuf_desc *tables; /* size * indirect_max, or NULL */

    /* Private. */
    uint16_t *next;      /* free list, and the chain of each request in flight */
    void **token;        /* by head; NULL: not in flight */
    uint16_t free_head;  /* valid when n_free */
    unsigned int n_free; /* descriptors */
    uint16_t avail_idx;  /* next entry that vuf_ring_add fills */
    uint16_t kicked_idx; /* avail_idx at the last decision about a kick */
    uint16_t used_idx;   /* next entry that vuf_ring_pop reads */

    int kick_fd; /* eventfds, owned, non-blocking */
    int call_fd;
    int err_fd;

    uint64_t n_kicks; /* notifications written to kick_fd */
    uint64_t
        n_calls; /* notifications read from call_fd by vuf_ring_wait and vuf_ring_drain_calls */
};

/* A finished request: its token and the used length exactly as the device gave it. */
struct vuf_done {
    void *token;
    uint32_t len;
};

/* -ENOMEM when guest memory is full, -EINVAL for a size out of range. */
int vuf_ring_create(struct vuf_ring *ret_ring, struct vuf_mem *mem,
                    const struct vuf_ring_options *options);

/* Bytes of guest memory that vuf_ring_create takes, upper bound. */
size_t vuf_ring_mem_size(unsigned int size, unsigned int indirect_max);

/* Accepts a zeroed struct. */
void vuf_ring_destroy(struct vuf_ring *ring);

/* Forgets everything in flight and starts over at index BASE on both sides; the device must be
 * stopped. */
void vuf_ring_reset(struct vuf_ring *ring, uint16_t base);

/*
 * Queues one request: n_read pieces for the device to read, then n_write for it to write.  Not
 * visible to the device before vuf_ring_kick or vuf_ring_publish.  TOKEN is not NULL. -ENOSPC: no
 * room until something completes.  -EINVAL: no piece, or more than the ring can ever hold.
 */
int vuf_ring_add(struct vuf_ring *ring, const struct vuf_piece *pieces, unsigned int n_read,
                 unsigned int n_write, void *token);

/* Shows the device what was added. */
void vuf_ring_publish(struct vuf_ring *ring);

/* Publishes, and notifies if the device asked for it.  1: notified, 0: not wanted. */
int vuf_ring_kick(struct vuf_ring *ring);

/* Notifies whether wanted or not. */
void vuf_ring_kick_always(struct vuf_ring *ring);

/* Next finished request.  1: *ret_done filled, 0: none, -EPROTO: the device returned what it never
 * got. */
int vuf_ring_pop(struct vuf_ring *ring, struct vuf_done *ret_done);

/* Is there a finished request for vuf_ring_pop?  Costs a look at memory. */
bool vuf_ring_has_done(const struct vuf_ring *ring);

/* Asks for no calls.  One may still come. */
void vuf_ring_calls_off(struct vuf_ring *ring);

/* Asks for a call at the next completion.  true: there is one already, and a call may never come.
 */
bool vuf_ring_calls_on(struct vuf_ring *ring);

/* Takes what is in call_fd without waiting. */
void vuf_ring_drain_calls(struct vuf_ring *ring);

/* Sleeps until a completion is there: calls on, wait, calls off.  0, -ETIMEDOUT (a completion
 * without its call is reported as -ETIMEDOUT, too: *that* is the bug one is after), negative errno.
 */
int vuf_ring_wait(struct vuf_ring *ring, int timeout_ms);

#endif
