// SPDX-License-Identifier: BSD-3-Clause
#include "vu_msg.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "log.h"

int vu_msg_wait(int socket_fd, int stop_fd, short events)
{
    struct pollfd fds[2] = {
        {.fd = socket_fd, .events = events},
        {.fd = stop_fd, .events = POLLIN},
    };

    for (;;) {
        if (poll(fds, 2, -1) < 0) {
            if (errno == EINTR)
                continue;
            return -errno;
        }
        if (fds[1].revents)
            return -ECANCELED;
        if (fds[0].revents)
            return 0;
    }
}

/* Adopts the descriptors of one control message. Returns -EPROTO if there are too many. */
static int adopt_fds(struct vu_msg *msg, struct cmsghdr *cmsg)
{
    size_t count = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    int rc = 0;

    for (size_t i = 0; i < count; i++) {
        int fd;

        memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(int), sizeof(int));
        if (msg->fd_count < VU_FDS_MAX) {
            msg->fds[msg->fd_count++] = fd;
        } else {
            close(fd);
            rc = -EPROTO;
        }
    }
    return rc;
}

ssize_t vu_msg_receive_piece(int socket_fd, struct vu_msg *msg, void *data, size_t size)
{
    union {
        char bytes[CMSG_SPACE(VU_FDS_MAX * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec iov = {.iov_base = data, .iov_len = size};
    struct msghdr header = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof(control.bytes),
    };
    int rc = 0;

    ssize_t got = recvmsg(socket_fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0)
        return -errno;

    for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(&header); cmsg; cmsg = CMSG_NXTHDR(&header, cmsg)) {
        if (cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_RIGHTS &&
            adopt_fds(msg, cmsg) < 0)
            rc = -EPROTO;
    }
    /* What did not fit was closed by the kernel. */
    if (header.msg_flags & MSG_CTRUNC)
        rc = -EPROTO;
    if (rc < 0) {
        log_limited(LOG_LEVEL_WARN, "vhost-user: more than %d descriptors with one message",
                    VU_FDS_MAX);
        return rc;
    }
    return got;
}

/* Fills data. Returns 0, or as vu_msg_receive(); -ENODATA: the peer left before the first byte. */
static int receive_all(int socket_fd, int stop_fd, struct vu_msg *msg, void *data, size_t size)
{
    size_t done = 0;

    while (done < size) {
        int rc = vu_msg_wait(socket_fd, stop_fd, POLLIN);
        if (rc < 0)
            return rc;

        ssize_t got = vu_msg_receive_piece(socket_fd, msg, (char *)data + done, size - done);
        if (got == -EAGAIN || got == -EINTR)
            continue;
        if (got < 0)
            return (int)got;
        if (got == 0)
            return done ? -ECONNRESET : -ENODATA;
        done += (size_t)got;
    }
    return 0;
}

int vu_msg_receive(int socket_fd, int stop_fd, struct vu_msg *msg)
{
    memset(&msg->payload, 0, sizeof(msg->payload));
    msg->fd_count = 0;

    int rc = receive_all(socket_fd, stop_fd, msg, &msg->header, sizeof(msg->header));
    if (rc == -ENODATA)
        return 0;
    if (rc < 0)
        return rc;

    if ((msg->header.flags & VU_VERSION_MASK) != VU_VERSION ||
        (msg->header.flags & VU_FLAG_REPLY)) {
        log_limited(LOG_LEVEL_WARN, "vhost-user: request %u has flags 0x%x", msg->header.request,
                    msg->header.flags);
        return -EPROTO;
    }
    if (msg->header.size > sizeof(msg->payload)) {
        log_limited(LOG_LEVEL_WARN, "vhost-user: request %u has a payload of %u bytes",
                    msg->header.request, msg->header.size);
        return -EPROTO;
    }

    rc = receive_all(socket_fd, stop_fd, msg, &msg->payload, msg->header.size);
    if (rc == -ENODATA)
        return -ECONNRESET;
    return rc < 0 ? rc : 1;
}

int vu_msg_reply(int socket_fd, int stop_fd, uint32_t request,
                 const union vu_reply_payload *payload, uint32_t size)
{
    struct {
        struct vu_header header;
        union vu_reply_payload payload;
    } __attribute__((packed)) reply;
    size_t total = sizeof(reply.header) + size;
    size_t done = 0;

    reply.header = (struct vu_header){request, VU_VERSION | VU_FLAG_REPLY, size};
    memcpy(&reply.payload, payload, size);
    while (done < total) {
        int rc = vu_msg_wait(socket_fd, stop_fd, POLLOUT);
        if (rc < 0)
            return rc;

        /* Not send(): sendto is in the seccomp filter for syslog only. */
        struct iovec rest = {(char *)&reply + done, total - done};
        struct msghdr message = {.msg_iov = &rest, .msg_iovlen = 1};
        ssize_t sent = sendmsg(socket_fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno == EAGAIN || errno == EINTR)
                continue;
            return -errno;
        }
        done += (size_t)sent;
    }
    return 0;
}

int vu_msg_take_fd(struct vu_msg *msg, unsigned i)
{
    if (i >= msg->fd_count)
        return -1;

    int fd = msg->fds[i];
    msg->fds[i] = -1;
    return fd;
}

void vu_msg_clear(struct vu_msg *msg)
{
    for (unsigned i = 0; i < msg->fd_count; i++) {
        if (msg->fds[i] >= 0)
            close(msg->fds[i]);
    }
    msg->fd_count = 0;
}
