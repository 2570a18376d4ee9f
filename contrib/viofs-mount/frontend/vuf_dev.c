// SPDX-License-Identifier: BSD-3-Clause
#include "vuf_dev.h"

#include <errno.h>
#include <stdlib.h>

static int negotiate(struct vuf_dev *dev, uint64_t wanted, uint64_t protocol_wanted)
{
    struct vuf_conn *conn = &dev->conn;
    int r;

    r = vuf_get_features(conn, &dev->offered);
    if (r < 0)
        return r;
    if (!(dev->offered & VUF_F_VERSION_1))
        return -ENOTSUP;
    dev->n_queues_max = 2;
    if (dev->offered & wanted & VUF_F_PROTOCOL_FEATURES) {
        r = vuf_get_protocol_features(conn, &dev->protocol_offered);
        if (r < 0)
            return r;
        r = vuf_set_protocol_features(conn, dev->protocol_offered & protocol_wanted);
        if (r < 0)
            return r;
        if (conn->protocol_features & VUF_PF_MQ) {
            r = vuf_get_queue_num(conn, &dev->n_queues_max);
            if (r < 0)
                return r;
        }
    }
    r = vuf_set_owner(conn);
    if (r < 0)
        return r;
    return vuf_set_features(conn, dev->offered & wanted);
}

int vuf_dev_open_fd(struct vuf_dev *ret_dev, int fd, const struct vuf_dev_options *options)
{
    static const struct vuf_dev_options defaults;
    struct vuf_dev dev = {.mem.fd = -1};
    int r;

    if (!options)
        options = &defaults;
    vuf_conn_take(&dev.conn, fd,
                  options->timeout_ms ? options->timeout_ms : VUF_DEFAULT_TIMEOUT_MS);
    r = negotiate(&dev, options->features ? options->features : VUF_DEV_FEATURES,
                  options->protocol_features ? options->protocol_features
                                             : VUF_DEV_PROTOCOL_FEATURES);
    if (r < 0) {
        vuf_conn_close(&dev.conn);
        return r;
    }
    dev.by_slots = options->by_slots && (dev.conn.protocol_features & VUF_PF_CONFIGURE_MEM_SLOTS);
    *ret_dev = dev;
    return 0;
}

int vuf_dev_open(struct vuf_dev *ret_dev, const char *path, const struct vuf_dev_options *options)
{
    int timeout_ms = options && options->timeout_ms ? options->timeout_ms : VUF_DEFAULT_TIMEOUT_MS;
    struct vuf_conn conn;
    int r = vuf_conn_connect(&conn, path, timeout_ms);

    return r < 0 ? r : vuf_dev_open_fd(ret_dev, conn.fd, options);
}

int vuf_dev_create_rings(struct vuf_dev *dev, const struct vuf_dev_layout *layout)
{
    bool indirect = dev->conn.features & VUF_F_INDIRECT_DESC;
    unsigned int indirect_max = indirect ? layout->indirect_max : 0;
    struct vuf_mem_options mem = {
        .size = layout->extra +
                layout->n_rings * (vuf_ring_mem_size(layout->ring_size, indirect_max) + 8192),
        .sealed = layout->sealed,
    };
    int r;

    if (!layout->n_rings || layout->n_rings > VUF_QUEUES_MAX || dev->rings)
        return -EINVAL;
    r = vuf_mem_create(&dev->mem, &mem);
    if (r < 0)
        return r;
    dev->rings = calloc(layout->n_rings, sizeof(*dev->rings));
    if (!dev->rings)
        return -ENOMEM;
    for (dev->n_rings = 0; dev->n_rings < layout->n_rings; dev->n_rings++) {
        struct vuf_ring_options ring = {
            .index = dev->n_rings,
            .size = layout->ring_size,
            .indirect_max = indirect_max,
            .event_idx = dev->conn.features & VUF_F_EVENT_IDX,
        };

        r = vuf_ring_create(&dev->rings[dev->n_rings], &dev->mem, &ring);
        if (r < 0)
            return r;
    }
    return 0;
}

static int start_ring(struct vuf_dev *dev, struct vuf_ring *ring)
{
    struct vuf_conn *conn = &dev->conn;
    struct vuf_vring_addr addr = {
        .index = ring->index,
        .desc = vuf_mem_uva(&dev->mem, ring->desc),
        .used = vuf_mem_uva(&dev->mem, ring->used),
        .avail = vuf_mem_uva(&dev->mem, ring->avail),
    };
    int r;

    r = vuf_set_vring_num(conn, ring->index, ring->size);
    if (r == 0)
        r = vuf_set_vring_base(conn, ring->index, ring->used_idx);
    if (r == 0)
        r = vuf_set_vring_addr(conn, &addr);
    if (r == 0)
        r = vuf_set_vring_err(conn, ring->index, ring->err_fd);
    if (r == 0)
        r = vuf_set_vring_kick(conn, ring->index, ring->kick_fd);
    if (r == 0)
        r = vuf_set_vring_call(conn, ring->index, ring->call_fd);
    return r;
}

static int send_memory(struct vuf_dev *dev)
{
    struct vuf_region region = vuf_mem_region(&dev->mem);

    if (dev->by_slots)
        return vuf_add_mem_reg(&dev->conn, &region, dev->mem.fd);
    return vuf_set_mem_table(&dev->conn, &region, &dev->mem.fd, 1);
}

static int enable_rings(struct vuf_dev *dev, bool enable)
{
    if (!(dev->conn.features & VUF_F_PROTOCOL_FEATURES))
        return 0; /* rings start enabled then, and the request does not exist */
    for (unsigned int i = 0; i < dev->n_rings; i++) {
        int r = vuf_set_vring_enable(&dev->conn, i, enable);

        if (r < 0)
            return r;
    }
    return 0;
}

int vuf_dev_start(struct vuf_dev *dev)
{
    bool has_status = dev->conn.protocol_features & VUF_PF_STATUS;
    uint64_t status = VUF_STATUS_ACKNOWLEDGE | VUF_STATUS_DRIVER | VUF_STATUS_FEATURES_OK;
    int r;

    r = has_status ? vuf_set_status(&dev->conn, status) : 0;
    if (r == 0)
        r = send_memory(dev);
    for (unsigned int i = 0; r == 0 && i < dev->n_rings; i++)
        r = start_ring(dev, &dev->rings[i]);
    if (r == 0)
        r = enable_rings(dev, true);
    if (r == 0 && has_status)
        r = vuf_set_status(&dev->conn, status | VUF_STATUS_DRIVER_OK);
    if (r == 0)
        dev->started = true;
    return r;
}

int vuf_dev_stop(struct vuf_dev *dev)
{
    int first = 0;
    int r = enable_rings(dev, false);

    dev->started = false;
    for (unsigned int i = 0; r != -ECONNRESET && r != -ETIMEDOUT && i < dev->n_rings; i++) {
        uint32_t base;

        if (r < 0 && !first)
            first = r;
        r = vuf_get_vring_base(&dev->conn, i, &base);
    }
    if (r == 0 && (dev->conn.protocol_features & VUF_PF_STATUS))
        r = vuf_set_status(&dev->conn, 0);
    if (r == 0 && dev->by_slots) {
        struct vuf_region region = vuf_mem_region(&dev->mem);

        r = vuf_rem_mem_reg(&dev->conn, &region);
    }
    return first ? first : r;
}

void vuf_dev_close(struct vuf_dev *dev)
{
    if (dev->conn.fd > 0)
        vuf_conn_close(&dev->conn);
    for (unsigned int i = 0; i < dev->n_rings; i++)
        vuf_ring_destroy(&dev->rings[i]);
    free(dev->rings);
    vuf_mem_destroy(&dev->mem);
    *dev = (struct vuf_dev){.conn.fd = -1, .mem.fd = -1};
}
