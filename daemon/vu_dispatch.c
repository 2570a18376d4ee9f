// SPDX-License-Identifier: BSD-3-Clause
#include "vu_dispatch.h"

#include <errno.h>
#include <string.h>

#include "log.h"
#include "scope.h"

#define STATE            sizeof(struct vu_vring_state), sizeof(struct vu_vring_state)
#define U64              sizeof(uint64_t), sizeof(uint64_t)
#define ADDR             sizeof(struct vu_vring_addr), sizeof(struct vu_vring_addr)
#define TABLE            offsetof(struct vu_memory_table, regions), sizeof(struct vu_memory_table)
#define REGION           sizeof(struct vu_single_region), sizeof(struct vu_single_region)
#define CONFIG           VU_CONFIG_HEADER_SIZE, sizeof(struct vu_config)
#define NOTHING          0, 0

#define NO_FDS           0, 0
#define FDS(a, b)        a, b

#define PROTOCOL(bit)    VU_PROTOCOL_F_##bit, VU_NO_FEATURE
#define FEATURE(bit)     VU_NO_FEATURE, bit
#define ANY              VU_NO_FEATURE, VU_NO_FEATURE

#define ROW(id, handler) VU_##id, #id, handler

/* clang-format off */
static const struct vu_row rows[] = {
    /* number, name, handler; payload; descriptors; feature; when; ring; quiesce; reply */
    {ROW(GET_FEATURES, vu_get_features), NOTHING, NO_FDS, ANY,
     VU_ALWAYS, VU_RING_NONE, VU_QUIESCE_NONE, VU_REPLY},
    {ROW(SET_FEATURES, vu_set_features), U64, NO_FDS, ANY,
     VU_ALWAYS, VU_RING_NONE, VU_QUIESCE_NONE, VU_ACK},
    {ROW(SET_OWNER, vu_set_owner), NOTHING, NO_FDS, ANY,
     VU_ALWAYS, VU_RING_NONE, VU_QUIESCE_NONE, VU_ACK},
    {ROW(RESET_OWNER, vu_reset_owner), NOTHING, NO_FDS, ANY,
     VU_ALWAYS, VU_RING_NONE, VU_QUIESCE_NONE, VU_ACK},
    {ROW(SET_MEM_TABLE, vu_set_mem_table), TABLE, FDS(0, VU_MEM_TABLE_REGIONS), ANY,
     VU_ALWAYS, VU_RING_NONE, VU_QUIESCE_NONE, VU_ACK},
    {ROW(SET_VRING_NUM, vu_set_vring_num), STATE, NO_FDS, ANY,
     VU_AFTER_FEATURES, VU_RING_STATE_IDLE, VU_QUIESCE_NONE, VU_ACK},
    {ROW(SET_VRING_ADDR, vu_set_vring_addr), ADDR, NO_FDS, ANY,
     VU_AFTER_FEATURES, VU_RING_STATE, VU_QUIESCE_NONE, VU_ACK},
    {ROW(SET_VRING_BASE, vu_set_vring_base), STATE, NO_FDS, ANY,
     VU_AFTER_FEATURES, VU_RING_STATE_IDLE, VU_QUIESCE_NONE, VU_ACK},
    {ROW(GET_VRING_BASE, vu_get_vring_base), STATE, NO_FDS, ANY,
     VU_ALWAYS, VU_RING_STATE, VU_QUIESCE_RING, VU_REPLY},
    /* QEMU sets call and error descriptors before the features. */
    {ROW(SET_VRING_KICK, vu_set_vring_kick), U64, FDS(0, 1), ANY,
     VU_ALWAYS, VU_RING_U64, VU_QUIESCE_RING, VU_ACK},
    {ROW(SET_VRING_CALL, vu_set_vring_call), U64, FDS(0, 1), ANY,
     VU_ALWAYS, VU_RING_U64, VU_QUIESCE_NONE, VU_ACK},
    {ROW(SET_VRING_ERR, vu_set_vring_err), U64, FDS(0, 1), ANY,
     VU_ALWAYS, VU_RING_U64, VU_QUIESCE_NONE, VU_ACK},
    {ROW(GET_PROTOCOL_FEATURES, vu_get_protocol_features), NOTHING, NO_FDS, ANY,
     VU_ALWAYS, VU_RING_NONE, VU_QUIESCE_NONE, VU_REPLY},
    {ROW(SET_PROTOCOL_FEATURES, vu_set_protocol_features), U64, NO_FDS, ANY,
     VU_ALWAYS, VU_RING_NONE, VU_QUIESCE_NONE, VU_ACK},
    {ROW(GET_QUEUE_NUM, vu_get_queue_num), NOTHING, NO_FDS, PROTOCOL(MQ),
     VU_ALWAYS, VU_RING_NONE, VU_QUIESCE_NONE, VU_REPLY},
    {ROW(SET_VRING_ENABLE, vu_set_vring_enable), STATE, NO_FDS, FEATURE(VU_F_PROTOCOL_FEATURES),
     VU_AFTER_FEATURES, VU_RING_STATE, VU_QUIESCE_NONE, VU_ACK},
    {ROW(SET_BACKEND_REQ_FD, vu_set_backend_req_fd), NOTHING, FDS(1, 1), PROTOCOL(BACKEND_REQ),
     VU_ALWAYS, VU_RING_NONE, VU_QUIESCE_NONE, VU_ACK},
    {ROW(GET_CONFIG, vu_get_config), CONFIG, NO_FDS, PROTOCOL(CONFIG),
     VU_ALWAYS, VU_RING_NONE, VU_QUIESCE_NONE, VU_REPLY},
    {ROW(SET_CONFIG, vu_set_config), CONFIG, NO_FDS, PROTOCOL(CONFIG),
     VU_ALWAYS, VU_RING_NONE, VU_QUIESCE_NONE, VU_ACK},
    {ROW(RESET_DEVICE, vu_reset_device), NOTHING, NO_FDS, PROTOCOL(RESET_DEVICE),
     VU_ALWAYS, VU_RING_NONE, VU_QUIESCE_ALL, VU_ACK},
    {ROW(GET_MAX_MEM_SLOTS, vu_get_max_mem_slots), NOTHING, NO_FDS, PROTOCOL(CONFIGURE_MEM_SLOTS),
     VU_ALWAYS, VU_RING_NONE, VU_QUIESCE_NONE, VU_REPLY},
    {ROW(ADD_MEM_REG, vu_add_mem_reg), REGION, FDS(1, 1), PROTOCOL(CONFIGURE_MEM_SLOTS),
     VU_ALWAYS, VU_RING_NONE, VU_QUIESCE_NONE, VU_ACK},
    /* "the back-end MAY accept messages with one file descriptor": it is closed unused. */
    {ROW(REM_MEM_REG, vu_rem_mem_reg), REGION, FDS(0, 1), PROTOCOL(CONFIGURE_MEM_SLOTS),
     VU_ALWAYS, VU_RING_NONE, VU_QUIESCE_NONE, VU_ACK},
    {ROW(SET_STATUS, vu_set_status), U64, NO_FDS, PROTOCOL(STATUS),
     VU_ALWAYS, VU_RING_NONE, VU_QUIESCE_NONE, VU_ACK},
    {ROW(GET_STATUS, vu_get_status), NOTHING, NO_FDS, PROTOCOL(STATUS),
     VU_ALWAYS, VU_RING_NONE, VU_QUIESCE_NONE, VU_REPLY},
    {ROW(GET_SHMEM_CONFIG, vu_get_shmem_config), NOTHING, NO_FDS, PROTOCOL(SHMEM),
     VU_ALWAYS, VU_RING_NONE, VU_QUIESCE_NONE, VU_REPLY},
};
/* clang-format on */

const struct vu_row *vu_find_row(uint32_t request)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (rows[i].request == request)
            return &rows[i];
    }
    return NULL;
}

static bool has_bit(uint64_t features, uint8_t bit)
{
    return bit == VU_NO_FEATURE || (features & VU_BIT(bit));
}

/* Why the message is not legal by its row; NULL if it is. */
static const char *find_fault(const struct device *device, const struct vu_row *row,
                              const struct vu_msg *msg)
{
    if (msg->header.size < row->size_min || msg->header.size > row->size_max)
        return "its payload has a wrong size";
    if (msg->fd_count < row->fds_min || msg->fd_count > row->fds_max)
        return "it has a wrong number of descriptors";
    if (!has_bit(device->protocol_features, row->protocol_feature) ||
        !has_bit(device->features, row->feature))
        return "its feature was not negotiated";
    if (row->when == VU_AFTER_FEATURES && !device->features_set)
        return "it comes before SET_FEATURES";
    return NULL;
}

/* The queue that the payload names, by the row's column. Returns 0 or a negative errno. */
static int find_queue(struct device *device, const struct vu_row *row, const struct vu_msg *msg,
                      struct queue **ret_queue)
{
    uint64_t index = row->ring == VU_RING_U64 ? msg->payload.u64 & VU_VRING_INDEX_MASK
                                              : msg->payload.state.index;

    if (row->ring == VU_RING_NONE)
        return 0;
    if (index >= device->queue_count)
        return -ENOENT;
    if (row->ring == VU_RING_STATE_IDLE && device->queues[index].running)
        return -EBUSY;
    *ret_queue = &device->queues[index];
    return 0;
}

static int quiesce(struct device *device, const struct vu_row *row, struct queue *queue)
{
    switch (row->quiesce) {
    case VU_QUIESCE_RING:
        return device_stop_queue(device, queue, DEVICE_DRAIN_TIMEOUT_MS);
    case VU_QUIESCE_ALL:
        return device_stop_all(device, DEVICE_DRAIN_TIMEOUT_MS);
    case VU_QUIESCE_NONE:
        break;
    }
    return 0;
}

/* Answers, if the message is to be answered. rc: of its handler. Returns 0 or a negative errno. */
static int reply(const struct vu_row *row, struct vu_call *call, int socket_fd, int rc)
{
    bool ack = (call->msg->header.flags & VU_FLAG_NEED_REPLY) &&
               (call->device->protocol_features & VU_BIT(VU_PROTOCOL_F_REPLY_ACK));

    if (row && row->reply == VU_REPLY) {
        if (rc < 0)
            return rc;
    } else if (ack) {
        call->reply.u64 = rc < 0;
    } else {
        return rc;
    }
    return vu_msg_reply(socket_fd, call->device->stop_fd, call->msg->header.request, &call->reply,
                        call->reply_size);
}

/* Enforces the row and runs the handler. Returns 0, or a negative errno: refused. */
static int handle(const struct vu_row *row, struct vu_call *call)
{
    const char *fault = find_fault(call->device, row, call->msg);

    if (fault) {
        log_limited(LOG_LEVEL_WARN, "vhost-user: %s refused: %s", row->name, fault);
        return -EINVAL;
    }
    int rc = find_queue(call->device, row, call->msg, &call->queue);
    if (rc == 0)
        rc = quiesce(call->device, row, call->queue);
    if (rc == 0)
        rc = row->handler(call);
    if (rc < 0)
        log_limited(LOG_LEVEL_WARN, "vhost-user: %s refused: %s", row->name, strerror(-rc));
    return rc;
}

int vu_dispatch(struct device *device, int socket_fd, struct vu_msg *msg)
{
    const struct vu_row *row = vu_find_row(msg->header.request);
    struct vu_call call = {.device = device, .msg = msg, .reply_size = sizeof(uint64_t)};
    int rc = -EOPNOTSUPP;

    if (row) {
        log_trace("vhost-user: %s", row->name);
        rc = handle(row, &call);
    } else {
        log_limited(LOG_LEVEL_WARN, "vhost-user: request %u is unknown", msg->header.request);
    }

    /* Also after a refusal: quiescing may have stopped a queue that goes on now. */
    int settled = device_settle(device);
    if (settled < 0 || rc == -ETIMEDOUT)
        return -ETIMEDOUT;
    rc = reply(row, &call, socket_fd, rc);
    device_resume_requests(device);
    return rc;
}
