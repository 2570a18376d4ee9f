// SPDX-License-Identifier: BSD-3-Clause
#include "vuf_conn.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static int64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Waits for EVENTS until DEADLINE (now_ms scale).  0 or negative errno; HUP and ERR count as ready,
 * the next system call then tells what happened. */
static int wait_ready(int fd, short events, int64_t deadline)
{
    for (;;) {
        struct pollfd pfd = {.fd = fd, .events = events};
        int64_t left = deadline - now_ms();
        int n = poll(&pfd, 1, left > 0 ? (int)left : 0);

        if (n > 0)
            return 0;
        if (n == 0)
            return -ETIMEDOUT;
        if (errno != EINTR)
            return -errno;
    }
}

int vuf_conn_connect(struct vuf_conn *ret_conn, const char *path, int timeout_ms)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd;

    if (strlen(path) >= sizeof(addr.sun_path))
        return -ENAMETOOLONG;
    memcpy(addr.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    /* A full backlog of a UNIX socket makes connect() sleep, without limit unless SO_SNDTIMEO sets
     * one. */
    struct timeval tv = {.tv_sec = timeout_ms / 1000, .tv_usec = (timeout_ms % 1000) * 1000};
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
    if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
        int err = errno;

        close(fd);
        return err == EAGAIN ? -ETIMEDOUT : -err;
    }
    vuf_conn_take(ret_conn, fd, timeout_ms);
    return 0;
}

void vuf_conn_take(struct vuf_conn *ret_conn, int fd, int timeout_ms)
{
    *ret_conn = (struct vuf_conn){.fd = fd, .timeout_ms = timeout_ms};
}

void vuf_conn_close(struct vuf_conn *conn)
{
    if (conn->fd >= 0)
        close(conn->fd);
    conn->fd = -1;
}

int vuf_conn_send_raw(struct vuf_conn *conn, const void *bytes, size_t len, const int *fds,
                      size_t n_fds)
{
    union {
        struct cmsghdr align;
        char buf[CMSG_SPACE(sizeof(int) * VUF_FDS_MAX)];
    } control;
    const unsigned char *pos = bytes;
    int64_t deadline = now_ms() + conn->timeout_ms;

    if (n_fds > VUF_FDS_MAX || (n_fds && !len))
        return -EINVAL;
    while (len) {
        struct iovec iov = {.iov_base = (void *)pos, .iov_len = len};
        struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

        if (n_fds) {
            memset(&control, 0, sizeof(control));
            msg.msg_control = control.buf;
            msg.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
            struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

            cmsg->cmsg_level = SOL_SOCKET;
            cmsg->cmsg_type = SCM_RIGHTS;
            cmsg->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
            memcpy(CMSG_DATA(cmsg), fds, sizeof(int) * n_fds);
        }
        ssize_t n = sendmsg(conn->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n >= 0) {
            pos += n;
            len -= (size_t)n;
            n_fds = 0;
            continue;
        }
        if (errno == EPIPE)
            return -ECONNRESET;
        if (errno != EAGAIN && errno != EINTR)
            return -errno;
        int r = wait_ready(conn->fd, POLLOUT, deadline);

        if (r < 0)
            return r;
    }
    return 0;
}

int vuf_conn_send(struct vuf_conn *conn, const struct vuf_hdr *hdr, const void *payload, size_t len,
                  const int *fds, size_t n_fds)
{
    unsigned char buf[sizeof(*hdr) + VUF_PAYLOAD_MAX];

    if (len > VUF_PAYLOAD_MAX)
        return -EMSGSIZE;
    memcpy(buf, hdr, sizeof(*hdr));
    if (len)
        memcpy(buf + sizeof(*hdr), payload, len);
    return vuf_conn_send_raw(conn, buf, sizeof(*hdr) + len, fds, n_fds);
}

/* Moves the descriptors of a received control message into MSG, closes those that do not fit. */
static void collect_fds(struct msghdr *received, struct vuf_msg *msg)
{
    struct cmsghdr *cmsg;

    for (cmsg = CMSG_FIRSTHDR(received); cmsg; cmsg = CMSG_NXTHDR(received, cmsg)) {
        if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);

        for (size_t i = 0; i < n; i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(int), sizeof(int));
            if (msg && msg->n_fds < VUF_FDS_MAX)
                msg->fds[msg->n_fds++] = fd;
            else
                close(fd);
        }
    }
}

/* One recvmsg; waits until DEADLINE.  Returns the bytes (> 0) or a negative errno. */
static ssize_t recv_some(struct vuf_conn *conn, void *bytes, size_t size, struct vuf_msg *fds_to,
                         int64_t deadline)
{
    union {
        struct cmsghdr align;
        char buf[CMSG_SPACE(sizeof(int) * VUF_FDS_MAX)];
    } control;

    for (;;) {
        struct iovec iov = {.iov_base = bytes, .iov_len = size};
        struct msghdr msg = {
            .msg_iov = &iov,
            .msg_iovlen = 1,
            .msg_control = control.buf,
            .msg_controllen = sizeof(control.buf),
        };
        ssize_t n = recvmsg(conn->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

        if (n > 0) {
            collect_fds(&msg, fds_to);
            return n;
        }
        if (n == 0)
            return -ECONNRESET;
        if (errno != EAGAIN && errno != EINTR)
            return -errno;
        int r = wait_ready(conn->fd, POLLIN, deadline);

        if (r < 0)
            return r;
    }
}

static int recv_exactly(struct vuf_conn *conn, void *bytes, size_t size, struct vuf_msg *msg,
                        int64_t deadline)
{
    unsigned char *pos = bytes;

    while (size) {
        ssize_t n = recv_some(conn, pos, size, msg, deadline);

        if (n < 0)
            return (int)n;
        pos += n;
        size -= (size_t)n;
    }
    return 0;
}

int vuf_conn_recv(struct vuf_conn *conn, struct vuf_msg *ret_msg)
{
    int64_t deadline = now_ms() + conn->timeout_ms;
    int r;

    ret_msg->n_fds = 0;
    r = recv_exactly(conn, &ret_msg->hdr, sizeof(ret_msg->hdr), ret_msg, deadline);
    if (r == 0 && ret_msg->hdr.size > VUF_PAYLOAD_MAX)
        r = -EMSGSIZE;
    if (r == 0)
        r = recv_exactly(conn, ret_msg->payload, ret_msg->hdr.size, ret_msg, deadline);
    if (r < 0)
        vuf_msg_close_fds(ret_msg);
    return r;
}

int vuf_conn_recv_raw(struct vuf_conn *conn, void *bytes, size_t size, size_t *ret_len)
{
    ssize_t n = recv_some(conn, bytes, size, NULL, now_ms() + conn->timeout_ms);

    if (n < 0)
        return (int)n;
    *ret_len = (size_t)n;
    return 0;
}

int vuf_conn_wait_close(struct vuf_conn *conn)
{
    char byte;
    int r = wait_ready(conn->fd, POLLIN, now_ms() + conn->timeout_ms);

    if (r < 0)
        return r;
    ssize_t n = recv(conn->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

    if (n == 0 || (n < 0 && errno == ECONNRESET))
        return 0;
    return n > 0 ? -EBUSY : -errno;
}

int vuf_conn_answer(struct vuf_conn *conn, const struct vuf_msg *request, uint64_t value)
{
    struct vuf_hdr hdr = {
        .request = request->hdr.request,
        .flags = VUF_VERSION | VUF_FLAG_REPLY,
        .size = sizeof(value),
    };

    return vuf_conn_send(conn, &hdr, &value, sizeof(value), NULL, 0);
}

void vuf_msg_close_fds(struct vuf_msg *msg)
{
    while (msg->n_fds)
        close(msg->fds[--msg->n_fds]);
}
