// SPDX-License-Identifier: BSD-3-Clause
#include "vu_handlers.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <string.h>

#include "devconfig.h"
#include "log.h"

int vu_get_features(struct vu_call *call)
{
    call->reply.u64 = device_offered_features(call->device);
    return 0;
}

int vu_set_features(struct vu_call *call)
{
    struct device *device = call->device;
    uint64_t features = call->msg->payload.u64;

    if (features & ~device_offered_features(device))
        return -EINVAL;
    for (unsigned i = 0; i < device->queue_count; i++) {
        if (device->queues[i].running && features != device->features)
            return -EBUSY;
    }
    device->features = features;
    device->features_set = true;
    /* "Ring states": without protocol features there is nobody who could enable a ring. */
    if (!(features & VU_BIT(VU_F_PROTOCOL_FEATURES))) {
        for (unsigned i = 0; i < device->queue_count; i++)
            device->queues[i].enabled = true;
    }
    return 0;
}

int vu_get_protocol_features(struct vu_call *call)
{
    call->reply.u64 = device_offered_protocol_features(call->device);
    return 0;
}

int vu_set_protocol_features(struct vu_call *call)
{
    uint64_t features = call->msg->payload.u64;

    if (features & ~device_offered_protocol_features(call->device))
        return -EINVAL;
    call->device->protocol_features = features;
    return 0;
}

int vu_set_owner(struct vu_call *call)
{
    (void)call; /* The connection is the session. */
    return 0;
}

/* Deprecated; "it is recommended that back-ends either ignore this message, or disable all rings".
 */
int vu_reset_owner(struct vu_call *call)
{
    for (unsigned i = 0; i < call->device->queue_count; i++)
        call->device->queues[i].enabled = false;
    return 0;
}

int vu_get_queue_num(struct vu_call *call)
{
    call->reply.u64 = call->device->queue_count;
    return 0;
}

int vu_set_mem_table(struct vu_call *call)
{
    const struct vu_memory_table *table = &call->msg->payload.memory;
    struct memmap *memory = NULL;

    if (table->count > VU_MEM_TABLE_REGIONS || table->count != call->msg->fd_count ||
        call->msg->header.size <
            offsetof(struct vu_memory_table, regions) + table->count * sizeof(table->regions[0]))
        return -EINVAL;

    /* An aligned copy: the message is packed. */
    struct vu_memory_region regions[VU_MEM_TABLE_REGIONS];
    memcpy(regions, table->regions, sizeof(regions));
    int fds[VU_MEM_TABLE_REGIONS];
    memcpy(fds, call->msg->fds, sizeof(fds));
    /* One that is full may have had no room for more. */
    bool complete = table->count < VU_MEM_TABLE_REGIONS;
    unsigned count = dax_window_filter(&call->device->window, regions, fds, table->count, complete);

    int rc = memmap_new_table(call->device->memory, regions, fds, count, &memory);
    if (rc < 0)
        return rc;
    device_set_memory(call->device, memory);
    return 0;
}

int vu_get_max_mem_slots(struct vu_call *call)
{
    call->reply.u64 = MEMMAP_SLOTS_MAX;
    return 0;
}

int vu_add_mem_reg(struct vu_call *call)
{
    struct vu_memory_region region = call->msg->payload.single.region;
    struct memmap *memory = NULL;

    if (dax_window_filter(&call->device->window, &region, call->msg->fds, 1, false) == 0)
        return 0;
    int rc = memmap_new_added(call->device->memory, &region, call->msg->fds[0], &memory);
    if (rc < 0)
        return rc;
    device_set_memory(call->device, memory);
    return 0;
}

int vu_rem_mem_reg(struct vu_call *call)
{
    struct vu_memory_region region = call->msg->payload.single.region;
    struct memmap *memory = NULL;

    int rc = memmap_new_removed(call->device->memory, &region, &memory);
    /* What was not added need not be there. */
    if (rc == -ENOENT && dax_window_covers(&call->device->window, &region))
        return 0;
    if (rc < 0)
        return rc;
    device_set_memory(call->device, memory);
    return 0;
}

int vu_set_vring_num(struct vu_call *call)
{
    uint32_t num = call->msg->payload.state.num;

    if (num == 0 || num > VIRTQ_SIZE_MAX || (num & (num - 1)))
        return -EINVAL;
    call->queue->layout.size = num;
    call->queue->layout_size_set = true;
    return 0;
}

/* A ring that can be looked at now must be in memory, and aligned. */
static int check_layout(const struct device *device, const struct virtq_layout *layout)
{
    struct virtq probe;

    if (layout->size == 0 || memmap_region_count(device->memory) == 0)
        return 0;
    virtq_init(&probe, layout, device->features);
    return virtq_attach(&probe, device->memory);
}

int vu_set_vring_addr(struct vu_call *call)
{
    const struct vu_vring_addr *addr = &call->msg->payload.addr;
    struct queue *queue = call->queue;
    struct virtq_layout layout = {
        .size = queue->layout.size,
        .desc = addr->descriptor,
        .avail = addr->available,
        .used = addr->used,
    };

    /* The only flag is about logging, which is not offered. */
    if (addr->flags)
        return -EINVAL;
    if (queue->running &&
        (layout.desc != queue->layout.desc || layout.avail != queue->layout.avail ||
         layout.used != queue->layout.used))
        return -EBUSY;
    int rc = check_layout(call->device, &layout);
    if (rc < 0)
        return rc;
    queue->layout = layout;
    queue->layout_addresses_set = true;
    return 0;
}

int vu_set_vring_base(struct vu_call *call)
{
    uint32_t num = call->msg->payload.state.num;

    if (num > UINT16_MAX)
        return -EINVAL;
    call->queue->avail_base = (uint16_t)num;
    /*
     * A ring that is not new may hold chains whose kick a back-end has consumed already (we before
     * a pause, or another one before a migration), or that were begun and left for later: it does
     * not wait for the first kick.
     */
    call->queue->kicked = num != 0 || call->queue->left_over;
    return 0;
}

int vu_get_vring_base(struct vu_call *call)
{
    device_end_ring(call->queue);
    call->reply.state.index = call->queue->index;
    call->reply.state.num = call->queue->avail_base;
    return 0;
}

/* Takes the descriptor of a SET_VRING_{KICK,CALL,ERR}: -1 for none. Returns 0 or -EINVAL. */
static int take_event_fd(struct vu_msg *msg, int *ret_fd)
{
    bool no_fd = msg->payload.u64 & VU_VRING_NOFD;

    if ((msg->payload.u64 & ~(VU_VRING_INDEX_MASK | VU_VRING_NOFD)) ||
        msg->fd_count != (no_fd ? 0 : 1))
        return -EINVAL;
    *ret_fd = vu_msg_take_fd(msg, 0);
    return 0;
}

int vu_set_vring_kick(struct vu_call *call)
{
    int fd;
    int rc = take_event_fd(call->msg, &fd);

    if (rc < 0)
        return rc;
    if (fd < 0) {
        log_limited(LOG_LEVEL_WARN,
                    "queue %u: the front-end asks for a ring without kicks, which is not supported",
                    call->queue->index);
        return -EOPNOTSUPP;
    }
    return queue_set_kick(call->queue, fd);
}

int vu_set_vring_call(struct vu_call *call)
{
    int fd;
    int rc = take_event_fd(call->msg, &fd);

    return rc < 0 ? rc : queue_set_call(call->queue, fd);
}

int vu_set_vring_err(struct vu_call *call)
{
    int fd;
    int rc = take_event_fd(call->msg, &fd);

    return rc < 0 ? rc : queue_set_err(call->queue, fd);
}

int vu_set_vring_enable(struct vu_call *call)
{
    uint32_t num = call->msg->payload.state.num;

    if (num > 1)
        return -EINVAL;
    call->queue->enabled = num;
    return 0;
}

int vu_set_backend_req_fd(struct vu_call *call)
{
    return backchan_open(&call->device->backchan, vu_msg_take_fd(call->msg, 0));
}

/* "back-end uses zero length of payload to indicate an error". */
int vu_get_config(struct vu_call *call)
{
    const struct vu_config *asked = &call->msg->payload.config;

    if (asked->size != call->msg->header.size - VU_CONFIG_HEADER_SIZE ||
        devconfig_read(call->device->settings, asked->offset, asked->size,
                       call->reply.config.space) < 0) {
        call->reply_size = 0;
        return 0;
    }
    call->reply.config.offset = asked->offset;
    call->reply.config.size = asked->size;
    call->reply.config.flags = asked->flags;
    call->reply_size = VU_CONFIG_HEADER_SIZE + asked->size;
    return 0;
}

/* "MUST NOT accept SET_CONFIG for read-only configuration space fields": all are. */
int vu_set_config(struct vu_call *call)
{
    (void)call;
    return -EPERM;
}

int vu_reset_device(struct vu_call *call)
{
    device_reset(call->device);
    return 0;
}

/*
 * Status 0 stops the rings and clears NEEDS_RESET, and that is all: QEMU sends it whenever it stops
 * the device, also when a guest is only paused or migrated, and the guest's file system session
 * must be there when it goes on, and so must the DAX window. A guest that really starts anew says
 * so by RESET_DEVICE or by INIT.
 */
int vu_set_status(struct vu_call *call)
{
    struct device *device = call->device;
    uint64_t status = call->msg->payload.u64;

    if (status > UINT8_MAX)
        return -EINVAL;
    if (status == 0) {
        int rc = device_stop_all(device, DEVICE_DRAIN_TIMEOUT_MS);
        if (rc < 0)
            return rc;
        for (unsigned i = 0; i < device->queue_count; i++)
            device_end_ring(&device->queues[i]);
        atomic_store(&device->needs_reset, false);
    }
    device->status = (uint8_t)status & ~VIRTIO_CONFIG_S_NEEDS_RESET;
    return 0;
}

int vu_get_status(struct vu_call *call)
{
    call->reply.u64 = call->device->status;
    if (atomic_load(&call->device->needs_reset))
        call->reply.u64 |= VIRTIO_CONFIG_S_NEEDS_RESET;
    return 0;
}

int vu_get_shmem_config(struct vu_call *call)
{
    struct vu_shmem_config *config = &call->reply.shmem;

    config->sizes[DAX_SHMID] = call->device->settings->dax_window;
    config->count = config->sizes[DAX_SHMID] ? 1 : 0;
    call->reply_size = sizeof(*config);
    call->device->window.config_asked = true;
    return 0;
}
