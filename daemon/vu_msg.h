// SPDX-License-Identifier: BSD-3-Clause
/*
 * One vhost-user message and the descriptors that came with it.
 *
 * Owner: the control thread, which keeps one struct vu_msg on its stack for each message. The
 * descriptors in it belong to the message: a handler takes one with vu_msg_take_fd(), what is
 * left is closed by vu_msg_clear(). Single-threaded, no lock.
 */
#ifndef VIOFS_VU_MSG_H
#define VIOFS_VU_MSG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "vu_proto.h"

/* Descriptors in one message, at the most: SET_MEM_TABLE has the most of all. */
#define VU_FDS_MAX VU_MEM_TABLE_REGIONS

struct vu_msg {
    struct vu_header header;
    union vu_payload payload;
    int fds[VU_FDS_MAX]; /* -1: taken by a handler */
    unsigned fd_count;
};

/*
 * Receives one whole message, however many pieces it comes in. Whatever happens, msg owns the
 * descriptors received so far: call vu_msg_clear() in every case.
 *
 * Descriptors may arrive with any of the pieces; all are close-on-exec. More of them than
 * VU_FDS_MAX, a payload larger than any known one, a wrong version or a reply flag end the
 * connection: nothing that follows on the stream could be trusted.
 *
 * stop_fd is watched for readability all the time, also between two pieces.
 *
 * Returns 1 with a message; 0 when the peer left between messages; -ECANCELED when stop_fd
 * became readable; -ECONNRESET when the peer left inside a message; -EPROTO for what is named
 * above; another negative errno from the socket.
 */
int vu_msg_receive(int socket_fd, int stop_fd, struct vu_msg *msg);

/*
 * Waits until poll() tells events (or an error) of socket_fd, watching stop_fd all the time.
 * Returns 0, -ECANCELED when stop_fd became readable, or a negative errno.
 */
int vu_msg_wait(int socket_fd, int stop_fd, short events);

/*
 * Sends a reply to request: header.request and header.flags are made here, size bytes of payload
 * follow. Waits for room in the socket unless stop_fd becomes readable.
 * Returns 0, -ECANCELED (stop) or a negative errno of the socket.
 */
int vu_msg_reply(int socket_fd, int stop_fd, uint32_t request,
                 const union vu_reply_payload *payload, uint32_t size);

/*
 * One recvmsg(): up to size bytes to data, descriptors to msg, which must be valid. Never blocks.
 * Returns the number of bytes (0: the peer left), or a negative errno: -EAGAIN, -EINTR; -EPROTO for
 * more than VU_FDS_MAX descriptors with one message.
 */
ssize_t vu_msg_receive_piece(int socket_fd, struct vu_msg *msg, void *data, size_t size);

/* Takes descriptor number i out of the message; -1 if there is none. The caller owns it. */
int vu_msg_take_fd(struct vu_msg *msg, unsigned i);

/* Closes the descriptors that nobody took. */
void vu_msg_clear(struct vu_msg *msg);

#endif
