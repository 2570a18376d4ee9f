// SPDX-License-Identifier: BSD-3-Clause
/*
 * A vhost-user connection seen from the front-end: whole messages, or any bytes one likes.
 *
 * Owner: whoever filled the struct (vuf_conn_connect, vuf_conn_take); ends with vuf_conn_close.
 * Threads: one at a time, no lock inside.  The same struct serves the back-end request channel,
 * where this side receives requests and answers them with vuf_conn_answer.
 *
 * Errors are negative errno throughout.  Those with a meaning of their own:
 *   -ETIMEDOUT    nothing (or not enough) happened within timeout_ms; no call waits longer
 *   -ECONNRESET   the peer closed the connection
 *   -EPROTO       the answer is not the one that the specification asks for
 *   -EREMOTEIO    the back-end acknowledged with a value other than 0, kept in last_ack
 * `ret_` parameters are untouched on failure unless the prototype says otherwise.
 */
#ifndef VUF_CONN_H
#define VUF_CONN_H

#include <stdbool.h>
#include <stddef.h>

#include "vuf_proto.h"

#define VUF_DEFAULT_TIMEOUT_MS 10000
#define VUF_FDS_MAX            253 /* the kernel's limit for one SCM_RIGHTS */
#define VUF_PAYLOAD_MAX        4096

struct vuf_conn {
    int fd;            /* connected socket, owned; -1 when closed */
    int timeout_ms;    /* limit of every call, in milliseconds */
    bool ack;          /* polite requests ask for REPLY_ACK; set by vuf_set_protocol_features */
    uint64_t features; /* what SET_FEATURES sent last */
    uint64_t protocol_features; /* what SET_PROTOCOL_FEATURES sent last */
    uint64_t last_ack;          /* value of the latest acknowledgement */
};

/* One received message.  The descriptors belong to the receiver: vuf_msg_close_fds, or take them
 * out. */
struct vuf_msg {
    struct vuf_hdr hdr;
    unsigned char payload[VUF_PAYLOAD_MAX];
    int fds[VUF_FDS_MAX];
    size_t n_fds;
};

/* Connects to the UNIX socket PATH.  -ENAMETOOLONG when it does not fit into a socket address. */
int vuf_conn_connect(struct vuf_conn *ret_conn, const char *path, int timeout_ms);

/* Takes over the connected socket FD. */
void vuf_conn_take(struct vuf_conn *ret_conn, int fd, int timeout_ms);

/* Closes; a second call does nothing. */
void vuf_conn_close(struct vuf_conn *conn);

/*
 * Sends exactly these bytes, descriptors riding on the first of them.  Bytes need not form a
 * message: pieces, wrong headers and too many descriptors are what this function is for.  n_fds <=
 * VUF_FDS_MAX; len may be 0 only with n_fds 0.
 */
int vuf_conn_send_raw(struct vuf_conn *conn, const void *bytes, size_t len, const int *fds,
                      size_t n_fds);

/* Sends header and payload (hdr->size is not checked against len) with descriptors. */
int vuf_conn_send(struct vuf_conn *conn, const struct vuf_hdr *hdr, const void *payload, size_t len,
                  const int *fds, size_t n_fds);

/* Receives one message.  -EMSGSIZE for a payload above VUF_PAYLOAD_MAX. ret_msg is scratch on
 * failure, but holds no open descriptor then. */
int vuf_conn_recv(struct vuf_conn *conn, struct vuf_msg *ret_msg);

/* Receives whatever comes next, up to size bytes; 0 bytes never: the end is -ECONNRESET.
 * Descriptors that come along are closed. */
int vuf_conn_recv_raw(struct vuf_conn *conn, void *bytes, size_t size, size_t *ret_len);

/* Waits until the peer closes.  0 when it did, -ETIMEDOUT when it did not, -EBUSY when it sent
 * something. */
int vuf_conn_wait_close(struct vuf_conn *conn);

/* Answers a request of the back-end (back-end channel) with a u64. */
int vuf_conn_answer(struct vuf_conn *conn, const struct vuf_msg *request, uint64_t value);

void vuf_msg_close_fds(struct vuf_msg *msg);

#endif
