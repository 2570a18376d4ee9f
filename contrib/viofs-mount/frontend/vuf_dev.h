// SPDX-License-Identifier: BSD-3-Clause
/*
 * A whole vhost-user device: connection, guest memory and rings, brought up the way QEMU does it.
 *
 * Owner: the one who called vuf_dev_open; ends with vuf_dev_close.  Threads: control calls (open,
 * start, stop, close) by one thread; between start and stop each ring may have a thread of its own.
 *
 * Order: vuf_dev_open (connect, negotiate; n_queues_max is then known), vuf_dev_create_rings
 * (memory, rings; the back-end hears nothing), vuf_dev_start (memory table, rings, enable),
 * vuf_dev_stop, vuf_dev_close.  Start and stop may be repeated.  A test that needs another order
 * calls vuf_requests.h itself on dev->conn.
 */
#ifndef VUF_DEV_H
#define VUF_DEV_H

#include "vuf_conn.h"
#include "vuf_mem.h"
#include "vuf_requests.h"
#include "vuf_ring.h"

#define VUF_QUEUES_MAX 256

#define VUF_DEV_FEATURES \
    (VUF_F_VERSION_1 | VUF_F_INDIRECT_DESC | VUF_F_EVENT_IDX | VUF_F_PROTOCOL_FEATURES)
#define VUF_DEV_PROTOCOL_FEATURES \
    (VUF_PF_MQ | VUF_PF_REPLY_ACK | VUF_PF_CONFIG | VUF_PF_RESET_DEVICE | VUF_PF_STATUS)

struct vuf_dev {
    struct vuf_conn conn;
    uint64_t offered;          /* virtio features of the back-end */
    uint64_t protocol_offered; /* its protocol features */
    uint64_t n_queues_max;     /* GET_QUEUE_NUM, hiprio included; 2 without MQ */
    struct vuf_mem mem;
    struct vuf_ring *rings; /* n_rings */
    unsigned int n_rings;
    bool by_slots; /* memory goes by ADD_MEM_REG instead of SET_MEM_TABLE */
    bool started;
};

struct vuf_dev_options {
    uint64_t features;          /* wanted of what is offered; 0: VUF_DEV_FEATURES */
    uint64_t protocol_features; /* wanted of what is offered; 0: VUF_DEV_PROTOCOL_FEATURES */
    int timeout_ms;             /* per message; 0: VUF_DEFAULT_TIMEOUT_MS */
    bool by_slots;              /* use ADD_MEM_REG if CONFIGURE_MEM_SLOTS is negotiated */
};

struct vuf_dev_layout {
    unsigned int n_rings;   /* hiprio and request queues, 1 to VUF_QUEUES_MAX */
    unsigned int ring_size; /* entries of every ring */
    unsigned int
        indirect_max; /* longest indirect chain; ignored if INDIRECT_DESC is not negotiated */
    size_t extra;     /* bytes of guest memory beside the rings */
    bool sealed;      /* see vuf_mem_options */
};

/* Connects to PATH and negotiates: features, protocol features, queue number, owner.  OPTIONS may
 * be NULL. -ENOTSUP: the back-end offers no VERSION_1.  Other errors as in vuf_conn.h. */
int vuf_dev_open(struct vuf_dev *ret_dev, const char *path, const struct vuf_dev_options *options);

/* The same on a connected socket, which the device takes over in any case. */
int vuf_dev_open_fd(struct vuf_dev *ret_dev, int fd, const struct vuf_dev_options *options);

int vuf_dev_create_rings(struct vuf_dev *dev, const struct vuf_dev_layout *layout);

/* Makes the rings live: memory, SET_VRING_*, enable, DRIVER_OK where STATUS is negotiated. */
int vuf_dev_start(struct vuf_dev *dev);

/* Stops each ring by GET_VRING_BASE and clears the status.  The first error is returned, the rest
 * is still tried, unless the connection is gone. */
int vuf_dev_stop(struct vuf_dev *dev);

/* Frees everything without a word to the back-end.  Accepts a zeroed struct and a half-built one.
 */
void vuf_dev_close(struct vuf_dev *dev);

#endif
