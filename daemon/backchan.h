// SPDX-License-Identifier: BSD-3-Clause
/*
 * The channel for requests of our own to the front-end (SET_BACKEND_REQ_FD). So far it only keeps
 * the descriptor.
 *
 * Owner: the device, for one connection. Control thread only.
 */
#ifndef VIOFS_BACKCHAN_H
#define VIOFS_BACKCHAN_H

struct backchan {
    int fd; /* -1: none */
};

#define BACKCHAN_CLOSED ((struct backchan){.fd = -1})

/*
 * Takes fd over, also on failure; an earlier one is closed. -ENOTSOCK if it is not a socket, or
 * another negative errno.
 */
int backchan_set(struct backchan *channel, int fd);
void backchan_close(struct backchan *channel);

#endif
