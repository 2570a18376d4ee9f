// SPDX-License-Identifier: BSD-3-Clause
/*
 * The table of vhost-user requests, and the common code that enforces its columns.
 *
 * What is not legal by its row, or what its handler refuses, is answered with a non-zero REPLY_ACK
 * when that was negotiated and asked for; otherwise, and for every request that has a reply of
 * its own, the connection is closed. The same goes for requests that have no row.
 *
 * Control thread only; the table is constant.
 */
#ifndef VIOFS_VU_DISPATCH_H
#define VIOFS_VU_DISPATCH_H

#include <stdint.h>

#include "vu_handlers.h"

/* Any feature column: nothing is required. */
#define VU_NO_FEATURE 0xff

/* When a request is legal. */
enum vu_when {
    VU_ALWAYS,
    VU_AFTER_FEATURES, /* after SET_FEATURES */
};

/* Where the payload names a queue, and what is required of it. */
enum vu_ring {
    VU_RING_NONE,
    VU_RING_STATE,      /* first field, 32 bits; any state */
    VU_RING_STATE_IDLE, /* first field, 32 bits; the ring must not be running */
    VU_RING_U64,        /* bits 0 to 7 */
};

enum vu_quiesce {
    VU_QUIESCE_NONE,
    VU_QUIESCE_RING, /* the queue that the payload names is stopped first */
    VU_QUIESCE_ALL,
};

enum vu_reply {
    VU_ACK,   /* none, or REPLY_ACK when asked for */
    VU_REPLY, /* always, made by the handler */
};

struct vu_row {
    uint32_t request;
    const char *name;
    vu_handler *handler;
    uint16_t size_min; /* payload bytes */
    uint16_t size_max;
    uint8_t fds_min;
    uint8_t fds_max;
    uint8_t protocol_feature; /* bit that must be negotiated; VU_NO_FEATURE */
    uint8_t feature;          /* the same for device features */
    enum vu_when when;
    enum vu_ring ring;
    enum vu_quiesce quiesce;
    enum vu_reply reply;
};

/* The row of a request, or NULL. */
const struct vu_row *vu_find_row(uint32_t request);

/*
 * Handles one message and sends what is to be sent. The descriptors that are left in msg stay
 * the caller's. Returns 0; a negative errno when the connection must be closed: -ETIMEDOUT if
 * a request hangs in a queue, -ECANCELED if the daemon must stop.
 */
int vu_dispatch(struct device *device, int socket_fd, struct vu_msg *msg);

#endif
