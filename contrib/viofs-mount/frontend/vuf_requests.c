// SPDX-License-Identifier: BSD-3-Clause
#include "vuf_requests.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int send_request(struct vuf_conn *conn, uint32_t request, uint32_t flags,
                        const void *payload, size_t len, const int *fds, size_t n_fds)
{
    struct vuf_hdr hdr = {
        .request = request,
        .flags = VUF_VERSION | flags,
        .size = (uint32_t)len,
    };

    return vuf_conn_send(conn, &hdr, payload, len, fds, n_fds);
}

/* Receives the reply to REQUEST.  Its descriptors, if any, are in ret_reply and the caller's. */
static int recv_reply(struct vuf_conn *conn, uint32_t request, struct vuf_msg *ret_reply)
{
    int r = vuf_conn_recv(conn, ret_reply);

    if (r < 0)
        return r;
    if (ret_reply->hdr.request != request || !(ret_reply->hdr.flags & VUF_FLAG_REPLY) ||
        (ret_reply->hdr.flags & VUF_VERSION_MASK) != VUF_VERSION) {
        vuf_msg_close_fds(ret_reply);
        return -EPROTO;
    }
    return 0;
}

int vuf_command(struct vuf_conn *conn, uint32_t request, const void *payload, size_t len,
                const int *fds, size_t n_fds)
{
    struct vuf_msg reply;
    int r;

    r = send_request(conn, request, conn->ack ? VUF_FLAG_NEED_REPLY : 0, payload, len, fds, n_fds);
    if (r < 0 || !conn->ack)
        return r;
    r = recv_reply(conn, request, &reply);
    if (r < 0)
        return r;
    vuf_msg_close_fds(&reply);
    if (reply.hdr.size != sizeof(conn->last_ack))
        return -EPROTO;
    memcpy(&conn->last_ack, reply.payload, sizeof(conn->last_ack));
    return conn->last_ack ? -EREMOTEIO : 0;
}

int vuf_query(struct vuf_conn *conn, uint32_t request, const void *payload, size_t len,
              const int *fds, size_t n_fds, struct vuf_msg *ret_reply)
{
    int r = send_request(conn, request, 0, payload, len, fds, n_fds);

    return r < 0 ? r : recv_reply(conn, request, ret_reply);
}

/* A query whose reply has exactly SIZE bytes and no descriptors. */
static int query_fixed(struct vuf_conn *conn, uint32_t request, const void *payload, size_t len,
                       void *ret_bytes, size_t size)
{
    struct vuf_msg reply;
    int r = vuf_query(conn, request, payload, len, NULL, 0, &reply);

    if (r < 0)
        return r;
    size_t n_fds = reply.n_fds;

    vuf_msg_close_fds(&reply);
    if (n_fds || reply.hdr.size != size)
        return -EPROTO;
    memcpy(ret_bytes, reply.payload, size);
    return 0;
}

int vuf_query_u64(struct vuf_conn *conn, uint32_t request, uint64_t *ret_value)
{
    return query_fixed(conn, request, NULL, 0, ret_value, sizeof(*ret_value));
}

static int command_u64(struct vuf_conn *conn, uint32_t request, uint64_t value)
{
    return vuf_command(conn, request, &value, sizeof(value), NULL, 0);
}

int vuf_get_features(struct vuf_conn *conn, uint64_t *ret_features)
{
    return vuf_query_u64(conn, VUF_GET_FEATURES, ret_features);
}

int vuf_set_features(struct vuf_conn *conn, uint64_t features)
{
    conn->features = features;
    return command_u64(conn, VUF_SET_FEATURES, features);
}

int vuf_get_protocol_features(struct vuf_conn *conn, uint64_t *ret_features)
{
    return vuf_query_u64(conn, VUF_GET_PROTOCOL_FEATURES, ret_features);
}

int vuf_set_protocol_features(struct vuf_conn *conn, uint64_t features)
{
    int r;

    /* Acknowledgements exist only once this very request has been processed. */
    conn->ack = false;
    r = command_u64(conn, VUF_SET_PROTOCOL_FEATURES, features);
    if (r < 0)
        return r;
    conn->protocol_features = features;
    conn->ack = features & VUF_PF_REPLY_ACK;
    return 0;
}

int vuf_set_owner(struct vuf_conn *conn)
{
    return vuf_command(conn, VUF_SET_OWNER, NULL, 0, NULL, 0);
}

int vuf_reset_owner(struct vuf_conn *conn)
{
    return vuf_command(conn, VUF_RESET_OWNER, NULL, 0, NULL, 0);
}

int vuf_reset_device(struct vuf_conn *conn)
{
    return vuf_command(conn, VUF_RESET_DEVICE, NULL, 0, NULL, 0);
}

int vuf_get_queue_num(struct vuf_conn *conn, uint64_t *ret_num)
{
    return vuf_query_u64(conn, VUF_GET_QUEUE_NUM, ret_num);
}

int vuf_set_mem_table(struct vuf_conn *conn, const struct vuf_region *regions, const int *fds,
                      size_t n)
{
    struct vuf_mem_table table = {.n_regions = (uint32_t)n};

    if (n > VUF_TABLE_REGIONS)
        return -EINVAL;
    if (n)
        memcpy(table.region, regions, n * sizeof(*regions));
    return vuf_command(conn, VUF_SET_MEM_TABLE, &table,
                       offsetof(struct vuf_mem_table, region) + n * sizeof(*regions), fds, n);
}

int vuf_get_max_mem_slots(struct vuf_conn *conn, uint64_t *ret_slots)
{
    return vuf_query_u64(conn, VUF_GET_MAX_MEM_SLOTS, ret_slots);
}

int vuf_add_mem_reg(struct vuf_conn *conn, const struct vuf_region *region, int fd)
{
    struct vuf_single_region single = {.region = *region};

    return vuf_command(conn, VUF_ADD_MEM_REG, &single, sizeof(single), &fd, 1);
}

int vuf_rem_mem_reg(struct vuf_conn *conn, const struct vuf_region *region)
{
    struct vuf_single_region single = {.region = *region};

    return vuf_command(conn, VUF_REM_MEM_REG, &single, sizeof(single), NULL, 0);
}

static int command_vring(struct vuf_conn *conn, uint32_t request, uint32_t index, uint32_t num)
{
    struct vuf_vring_state state = {.index = index, .num = num};

    return vuf_command(conn, request, &state, sizeof(state), NULL, 0);
}

int vuf_set_vring_num(struct vuf_conn *conn, uint32_t index, uint32_t num)
{
    return command_vring(conn, VUF_SET_VRING_NUM, index, num);
}

int vuf_set_vring_base(struct vuf_conn *conn, uint32_t index, uint32_t base)
{
    return command_vring(conn, VUF_SET_VRING_BASE, index, base);
}

int vuf_get_vring_base(struct vuf_conn *conn, uint32_t index, uint32_t *ret_base)
{
    struct vuf_vring_state state = {.index = index};
    int r;

    r = query_fixed(conn, VUF_GET_VRING_BASE, &state, sizeof(state), &state, sizeof(state));
    if (r < 0)
        return r;
    if (state.index != index)
        return -EPROTO;
    *ret_base = state.num;
    return 0;
}

int vuf_set_vring_addr(struct vuf_conn *conn, const struct vuf_vring_addr *addr)
{
    return vuf_command(conn, VUF_SET_VRING_ADDR, addr, sizeof(*addr), NULL, 0);
}

int vuf_set_vring_enable(struct vuf_conn *conn, uint32_t index, bool enable)
{
    return command_vring(conn, VUF_SET_VRING_ENABLE, index, enable);
}

static int command_vring_fd(struct vuf_conn *conn, uint32_t request, uint32_t index, int fd)
{
    uint64_t value = index;

    if (fd < 0)
        return command_u64(conn, request, value | VUF_VRING_NOFD);
    return vuf_command(conn, request, &value, sizeof(value), &fd, 1);
}

int vuf_set_vring_kick(struct vuf_conn *conn, uint32_t index, int fd)
{
    return command_vring_fd(conn, VUF_SET_VRING_KICK, index, fd);
}

int vuf_set_vring_call(struct vuf_conn *conn, uint32_t index, int fd)
{
    return command_vring_fd(conn, VUF_SET_VRING_CALL, index, fd);
}

int vuf_set_vring_err(struct vuf_conn *conn, uint32_t index, int fd)
{
    return command_vring_fd(conn, VUF_SET_VRING_ERR, index, fd);
}

int vuf_set_vring_endian(struct vuf_conn *conn, uint32_t index, uint32_t big_endian)
{
    return command_vring(conn, VUF_SET_VRING_ENDIAN, index, big_endian);
}

int vuf_vring_kick(struct vuf_conn *conn, uint32_t index)
{
    return command_vring(conn, VUF_VRING_KICK, index, 0);
}

int vuf_get_config(struct vuf_conn *conn, uint32_t offset, void *ret_bytes, uint32_t len)
{
    struct {
        struct vuf_config_hdr hdr;
        unsigned char bytes[VUF_CONFIG_MAX];
    } payload = {.hdr = {.offset = offset, .size = len}};
    struct vuf_msg reply;
    int r;

    if (len > VUF_CONFIG_MAX)
        return -EINVAL;
    r = vuf_query(conn, VUF_GET_CONFIG, &payload, sizeof(payload.hdr) + len, NULL, 0, &reply);
    if (r < 0)
        return r;
    vuf_msg_close_fds(&reply);
    if (reply.hdr.size == 0)
        return -EREMOTEIO;
    if (reply.hdr.size != sizeof(payload.hdr) + len)
        return -EPROTO;
    memcpy(&payload.hdr, reply.payload, sizeof(payload.hdr));
    if (payload.hdr.size == 0)
        return -EREMOTEIO;
    if (payload.hdr.size != len || payload.hdr.offset != offset)
        return -EPROTO;
    memcpy(ret_bytes, reply.payload + sizeof(payload.hdr), len);
    return 0;
}

int vuf_set_config(struct vuf_conn *conn, uint32_t offset, uint32_t flags, const void *bytes,
                   uint32_t len)
{
    struct {
        struct vuf_config_hdr hdr;
        unsigned char bytes[VUF_CONFIG_MAX];
    } payload = {.hdr = {.offset = offset, .size = len, .flags = flags}};

    if (len > VUF_CONFIG_MAX)
        return -EINVAL;
    memcpy(payload.bytes, bytes, len);
    return vuf_command(conn, VUF_SET_CONFIG, &payload, sizeof(payload.hdr) + len, NULL, 0);
}

int vuf_get_status(struct vuf_conn *conn, uint64_t *ret_status)
{
    return vuf_query_u64(conn, VUF_GET_STATUS, ret_status);
}

int vuf_set_status(struct vuf_conn *conn, uint64_t status)
{
    return command_u64(conn, VUF_SET_STATUS, status);
}

int vuf_set_log_base(struct vuf_conn *conn, uint64_t size, uint64_t offset, int fd)
{
    struct vuf_log log = {.size = size, .offset = offset};
    struct vuf_msg reply;
    int r;

    if (!(conn->protocol_features & VUF_PF_LOG_SHMFD))
        return vuf_command(conn, VUF_SET_LOG_BASE, &log, sizeof(log), &fd, fd >= 0);
    r = vuf_query(conn, VUF_SET_LOG_BASE, &log, sizeof(log), &fd, fd >= 0, &reply);
    if (r == 0)
        vuf_msg_close_fds(&reply);
    return r;
}

int vuf_set_log_fd(struct vuf_conn *conn, int fd)
{
    return vuf_command(conn, VUF_SET_LOG_FD, NULL, 0, &fd, 1);
}

int vuf_set_backend_req_fd(struct vuf_conn *conn, int fd)
{
    return vuf_command(conn, VUF_SET_BACKEND_REQ_FD, NULL, 0, &fd, 1);
}

int vuf_open_backend_channel(struct vuf_conn *conn, struct vuf_conn *ret_channel)
{
    int pair[2];
    int r;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    r = vuf_set_backend_req_fd(conn, pair[1]);
    close(pair[1]);
    if (r < 0) {
        close(pair[0]);
        return r;
    }
    vuf_conn_take(ret_channel, pair[0], conn->timeout_ms);
    return 0;
}

int vuf_get_inflight_fd(struct vuf_conn *conn, const struct vuf_inflight *ask,
                        struct vuf_inflight *ret_area, int *ret_fd)
{
    struct vuf_msg reply;
    int r = vuf_query(conn, VUF_GET_INFLIGHT_FD, ask, sizeof(*ask), NULL, 0, &reply);

    if (r < 0)
        return r;
    if (reply.hdr.size != sizeof(*ret_area) || reply.n_fds != 1) {
        vuf_msg_close_fds(&reply);
        return -EPROTO;
    }
    memcpy(ret_area, reply.payload, sizeof(*ret_area));
    *ret_fd = reply.fds[0];
    return 0;
}

int vuf_set_inflight_fd(struct vuf_conn *conn, const struct vuf_inflight *area, int fd)
{
    return vuf_command(conn, VUF_SET_INFLIGHT_FD, area, sizeof(*area), &fd, 1);
}

int vuf_set_device_state_fd(struct vuf_conn *conn, uint32_t direction, uint32_t phase, int fd,
                            int *ret_fd)
{
    struct vuf_device_state state = {.direction = direction, .phase = phase};
    struct vuf_msg reply;
    uint64_t value;
    int r;

    r = vuf_query(conn, VUF_SET_DEVICE_STATE_FD, &state, sizeof(state), &fd, 1, &reply);
    if (r < 0)
        return r;
    memcpy(&value, reply.payload, sizeof(value));
    /* Low byte: 0 is success; bit 8: no descriptor comes back. */
    bool own_fd = !(value & VUF_VRING_NOFD);

    if (reply.hdr.size != sizeof(value) || (value & 0xff) != 0 || reply.n_fds != (size_t)own_fd) {
        bool refused = reply.hdr.size == sizeof(value) && (value & 0xff) != 0;

        vuf_msg_close_fds(&reply);
        return refused ? -EREMOTEIO : -EPROTO;
    }
    *ret_fd = own_fd ? reply.fds[0] : -1;
    return 0;
}

int vuf_check_device_state(struct vuf_conn *conn)
{
    uint64_t value;
    int r = vuf_query_u64(conn, VUF_CHECK_DEVICE_STATE, &value);

    if (r < 0)
        return r;
    return value ? -EREMOTEIO : 0;
}

int vuf_get_shmem_config(struct vuf_conn *conn, struct vuf_shmem_config *ret_config)
{
    return query_fixed(conn, VUF_GET_SHMEM_CONFIG, NULL, 0, ret_config, sizeof(*ret_config));
}
