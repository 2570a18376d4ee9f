// SPDX-License-Identifier: BSD-3-Clause
/*
 * One small function for each request: translates a message that vu_dispatch found legal by its
 * row into a call of the device.
 *
 * Control thread only. A call lives on the stack of the dispatcher.
 */
#ifndef VIOFS_VU_HANDLERS_H
#define VIOFS_VU_HANDLERS_H

#include "device_core.h"
#include "vu_msg.h"

struct vu_call {
    struct device *device;
    struct vu_msg *msg;
    struct queue *queue;          /* the one that the row's index column names, else NULL */
    union vu_reply_payload reply; /* for rows with a reply: filled by the handler */
    uint32_t reply_size;          /* preset to 8 */
};

/* Returns 0, or a negative errno: the request is refused and nothing has changed. */
typedef int vu_handler(struct vu_call *call);

vu_handler vu_get_features;
vu_handler vu_set_features;
vu_handler vu_get_protocol_features;
vu_handler vu_set_protocol_features;
vu_handler vu_set_owner;
vu_handler vu_reset_owner;
vu_handler vu_get_queue_num;
vu_handler vu_set_mem_table;
vu_handler vu_get_max_mem_slots;
vu_handler vu_add_mem_reg;
vu_handler vu_rem_mem_reg;
vu_handler vu_set_vring_num;
vu_handler vu_set_vring_addr;
vu_handler vu_set_vring_base;
vu_handler vu_get_vring_base;
vu_handler vu_set_vring_kick;
vu_handler vu_set_vring_call;
vu_handler vu_set_vring_err;
vu_handler vu_set_vring_enable;
vu_handler vu_set_backend_req_fd;
vu_handler vu_get_config;
vu_handler vu_set_config;
vu_handler vu_reset_device;
vu_handler vu_set_status;
vu_handler vu_get_status;
vu_handler vu_get_shmem_config;

#endif
