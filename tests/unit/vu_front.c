// SPDX-License-Identifier: BSD-3-Clause
#include "vu_front.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "device.h"

#define PATIENCE_MS 5000

static void *serve(void *argument)
{
    struct front *front = argument;

    front->result = device_serve(&front->settings, NULL, front->back_fd, front->stop_fd);
    return NULL;
}

void front_init(struct front *front)
{
    memset(front, 0, sizeof(*front));
    front->settings.request_queues = FRONT_QUEUES - 1;
    front->memory_fd = memfd_create("guest", MFD_CLOEXEC);
    if (ftruncate(front->memory_fd, FRONT_MEMORY_SIZE) < 0)
        abort();
    front->memory =
        mmap(NULL, FRONT_MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, front->memory_fd, 0);
    front->stop_fd = eventfd(0, EFD_CLOEXEC);
    for (unsigned q = 0; q < FRONT_QUEUES; q++) {
        struct front_queue *queue = &front->queues[q];
        char *area = front->memory + q * FRONT_RING_STRIDE;

        queue->desc = (struct vring_desc *)area;
        queue->avail = (struct vring_avail *)(area + 0x1000);
        queue->used = (struct vring_used *)(area + 0x2000);
        queue->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        queue->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        queue->err_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    }
}

int front_start(struct front *front)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    front->socket_fd = pair[0];
    front->back_fd = pair[1];
    return -pthread_create(&front->thread, NULL, serve, front);
}

int front_end(struct front *front)
{
    close(front->socket_fd);
    front->socket_fd = -1;
    return front_join(front);
}

int front_join(struct front *front)
{
    pthread_join(front->thread, NULL);
    if (front->socket_fd >= 0)
        close(front->socket_fd);
    munmap(front->memory, FRONT_MEMORY_SIZE);
    close(front->memory_fd);
    close(front->stop_fd);
    for (unsigned q = 0; q < FRONT_QUEUES; q++) {
        close(front->queues[q].kick_fd);
        close(front->queues[q].call_fd);
        close(front->queues[q].err_fd);
    }
    return front->result;
}

int front_send(struct front *front, uint32_t request, uint32_t flags, const void *payload,
               uint32_t size, const int *fds, unsigned fd_count)
{
    struct vu_header header = {.request = request, .flags = VU_VERSION | flags, .size = size};
    struct iovec iov[2] = {
        {.iov_base = &header, .iov_len = sizeof(header)},
        {.iov_base = (void *)(uintptr_t)payload, .iov_len = size},
    };
    union {
        char bytes[CMSG_SPACE(128 * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};

    if (fd_count) {
        memset(&control, 0, sizeof(control));
        msg.msg_control = control.bytes;
        msg.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
        memcpy(CMSG_DATA(cmsg), fds, fd_count * sizeof(int));
    }
    ssize_t sent = sendmsg(front->socket_fd, &msg, MSG_NOSIGNAL);
    return sent == (ssize_t)(sizeof(header) + size) ? 0 : -EPIPE;
}

static int receive_bytes(int fd, void *data, size_t size)
{
    for (size_t done = 0; done < size;) {
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

        if (poll(&poll_fd, 1, PATIENCE_MS) <= 0)
            return -ETIMEDOUT;
        ssize_t got = recv(fd, (char *)data + done, size - done, 0);
        if (got <= 0)
            return -EPIPE;
        done += (size_t)got;
    }
    return 0;
}

int front_receive(struct front *front, uint32_t request, void *payload, size_t max)
{
    struct vu_header header;
    int rc = receive_bytes(front->socket_fd, &header, sizeof(header));

    if (rc < 0)
        return rc;
    if (header.request != request || header.flags != (VU_VERSION | VU_FLAG_REPLY) ||
        header.size > max)
        return -EPROTO;
    rc = receive_bytes(front->socket_fd, payload, header.size);
    return rc < 0 ? rc : (int)header.size;
}

int64_t front_ask(struct front *front, uint32_t request, const void *payload, uint32_t size,
                  const int *fds, unsigned fd_count)
{
    uint64_t value = 0;
    int rc = front_send(front, request, VU_FLAG_NEED_REPLY, payload, size, fds, fd_count);

    if (rc == 0)
        rc = front_receive(front, request, &value, sizeof(value));
    if (rc < 0)
        return rc;
    return rc == sizeof(value) ? (int64_t)value : -EPROTO;
}

int64_t front_get(struct front *front, uint32_t request)
{
    return front_ask(front, request, NULL, 0, NULL, 0);
}

bool front_is_closed(struct front *front)
{
    struct pollfd poll_fd = {.fd = front->socket_fd, .events = POLLIN};
    char byte;

    if (poll(&poll_fd, 1, PATIENCE_MS) <= 0)
        return false;
    /* Closed with our bytes unread reads as a reset. */
    ssize_t got = recv(front->socket_fd, &byte, 1, 0);
    return got == 0 || (got < 0 && errno == ECONNRESET);
}

int front_negotiate(struct front *front, uint64_t features)
{
    int64_t protocol = front_get(front, VU_GET_PROTOCOL_FEATURES);

    if (protocol < 0 || front_get(front, VU_GET_FEATURES) < 0 ||
        front_send(front, VU_SET_PROTOCOL_FEATURES, 0, &protocol, 8, NULL, 0) < 0 ||
        front_ask(front, VU_SET_OWNER, NULL, 0, NULL, 0) != 0)
        return -EPROTO;
    return front_ask(front, VU_SET_FEATURES, &features, 8, NULL, 0) == 0 ? 0 : -EPROTO;
}

int front_set_memory(struct front *front)
{
    struct vu_memory_table table = {
        .count = 1,
        .regions[0] = {FRONT_GUEST_BASE, FRONT_MEMORY_SIZE, FRONT_USER_BASE, 0},
    };

    return (int)front_ask(front, VU_SET_MEM_TABLE, &table, 8 + 32, &front->memory_fd, 1);
}

int front_set_memory_in_halves(struct front *front)
{
    uint64_t half = FRONT_MEMORY_SIZE / 2;
    struct vu_memory_table table = {
        .count = 2,
        .regions = {{FRONT_GUEST_BASE, half, FRONT_USER_BASE, 0},
                    {FRONT_GUEST_BASE + half, half, FRONT_USER_BASE + half, half}},
    };
    int fds[2] = {front->memory_fd, front->memory_fd};

    return (int)front_ask(front, VU_SET_MEM_TABLE, &table, 8 + 64, fds, 2);
}

int front_start_ring(struct front *front, unsigned index)
{
    struct front_queue *queue = &front->queues[index];
    struct vu_vring_state num = {index, FRONT_RING_SIZE};
    struct vu_vring_state base = {index, queue->avail_index};
    struct vu_vring_state enable = {index, 1};
    uint64_t area = FRONT_USER_BASE + index * FRONT_RING_STRIDE;
    struct vu_vring_addr addr = {
        .index = index, .descriptor = area, .available = area + 0x1000, .used = area + 0x2000};
    uint64_t u64 = index;

    if (front_ask(front, VU_SET_VRING_NUM, &num, sizeof(num), NULL, 0) ||
        front_ask(front, VU_SET_VRING_BASE, &base, sizeof(base), NULL, 0) ||
        front_ask(front, VU_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0) ||
        front_ask(front, VU_SET_VRING_CALL, &u64, 8, &queue->call_fd, 1) ||
        front_ask(front, VU_SET_VRING_ERR, &u64, 8, &queue->err_fd, 1) ||
        front_ask(front, VU_SET_VRING_KICK, &u64, 8, &queue->kick_fd, 1) ||
        front_ask(front, VU_SET_VRING_ENABLE, &enable, sizeof(enable), NULL, 0))
        return -EPROTO;
    return 0;
}

int front_stop_ring(struct front *front, unsigned index)
{
    struct vu_vring_state state = {index, 0};

    if (front_send(front, VU_GET_VRING_BASE, 0, &state, sizeof(state), NULL, 0) < 0 ||
        front_receive(front, VU_GET_VRING_BASE, &state, sizeof(state)) != sizeof(state) ||
        state.index != index)
        return -EPROTO;
    return (int)state.num;
}

void *front_buffer(struct front *front, unsigned b)
{
    return front->memory + FRONT_BUFFERS + b * FRONT_BUFFER_SIZE;
}

uint64_t front_address(unsigned b)
{
    return FRONT_GUEST_BASE + FRONT_BUFFERS + b * FRONT_BUFFER_SIZE;
}

void front_set_desc(struct front *front, unsigned q, unsigned i, uint64_t address, uint32_t length,
                    uint16_t flags, uint16_t next)
{
    struct vring_desc *desc = &front->queues[q].desc[i];

    __atomic_store_n(&desc->addr, address, __ATOMIC_RELAXED);
    __atomic_store_n(&desc->len, length, __ATOMIC_RELAXED);
    __atomic_store_n(&desc->flags, flags, __ATOMIC_RELAXED);
    __atomic_store_n(&desc->next, next, __ATOMIC_RELAXED);
}

void front_request(struct front *front, unsigned q, unsigned i, uint32_t command, uint32_t argument,
                   uint32_t writable)
{
    uint32_t header[2] = {command, argument};

    memcpy(front_buffer(front, i), header, sizeof(header));
    front_set_desc(front, q, i, front_address(i), 64, VRING_DESC_F_NEXT, (uint16_t)(i + 1));
    front_set_desc(front, q, i + 1, front_address(i + 1), writable, VRING_DESC_F_WRITE, 0);
    front_offer(front, q, (uint16_t)i);
}

void front_offer(struct front *front, unsigned q, uint16_t head)
{
    struct front_queue *queue = &front->queues[q];

    __atomic_store_n(&queue->avail->ring[queue->avail_index % FRONT_RING_SIZE], head,
                     __ATOMIC_RELAXED);
    __atomic_store_n(&queue->avail->idx, ++queue->avail_index, __ATOMIC_RELEASE);
}

void front_kick(struct front *front, unsigned q)
{
    uint64_t one = 1;

    if (write(front->queues[q].kick_fd, &one, sizeof(one)) != sizeof(one))
        abort();
}

uint16_t front_used_index(struct front *front, unsigned q)
{
    return __atomic_load_n(&front->queues[q].used->idx, __ATOMIC_ACQUIRE);
}

int64_t front_used(struct front *front, unsigned q, uint32_t *ret_head)
{
    struct front_queue *queue = &front->queues[q];

    for (int waited = 0; front_used_index(front, q) == queue->used_seen; waited++) {
        if (waited > PATIENCE_MS * 10)
            return -1;
        usleep(100);
    }
    struct vring_used_elem *elem = &queue->used->ring[queue->used_seen++ % FRONT_RING_SIZE];
    if (ret_head)
        *ret_head = __atomic_load_n(&elem->id, __ATOMIC_RELAXED);
    return __atomic_load_n(&elem->len, __ATOMIC_RELAXED);
}

uint64_t front_notified(int event_fd, int wait_ms)
{
    struct pollfd poll_fd = {.fd = event_fd, .events = POLLIN};
    uint64_t count = 0;

    if (poll(&poll_fd, 1, wait_ms) <= 0 || read(event_fd, &count, sizeof(count)) != sizeof(count))
        return 0;
    return count;
}
