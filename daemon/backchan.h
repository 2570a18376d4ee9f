// SPDX-License-Identifier: BSD-3-Clause
/*
 * The channel for requests of our own to the front-end (SET_BACKEND_REQ_FD), each of which is
 * acknowledged ("VHOST_USER_PROTOCOL_F_REPLY_ACK").
 *
 * Owner: the device, for one connection. Two kinds of threads use it:
 *
 *  - the queues' threads ask. One call is under way at a time; it holds call_lock to its end, which
 *    depends on the front-end.
 *  - the control thread opens, starts, stops, and must never wait for the front-end, which may be
 *    waiting for it: QEMU does nothing else until GET_VRING_BASE or SET_MEM_TABLE is answered. It
 *    takes state_lock, under which nothing is waited for, and call_lock only if it is free.
 *
 * Locks in this order: call_lock, state_lock. They rank below all locks of the file system.
 */
#ifndef VIOFS_BACKCHAN_H
#define VIOFS_BACKCHAN_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * How long a front-end may take to acknowledge, until the call fails. QEMU may do nothing else for
 * as long while it saves a snapshot, or its host swaps: the next call may find it well again.
 */
#define BACKCHAN_TIMEOUT_MS   10000

/* How long further calls wait for the replies to one that took too long, until they fail, too. */
#define BACKCHAN_LATE_MS      100

/* Requests in one call, at the most. */
#define BACKCHAN_REQUESTS_MAX 2

/* A reply: a header and 64 bits. */
#define BACKCHAN_REPLY_SIZE   20

struct backchan {
    int timeout_ms; /* BACKCHAN_TIMEOUT_MS; less in tests */
    int wake_fd;    /* an eventfd: who waits, look at the state again */

    pthread_mutex_t call_lock;
    int fd; /* -1: none */
    bool dead;
    unsigned owed;                      /* replies to requests that nobody waits for any more */
    bool late;                          /* some of them to a call that took too long */
    uint8_t reply[BACKCHAN_REPLY_SIZE]; /* the one that is coming in, */
    unsigned reply_fill;                /* and how much of it is there */

    pthread_mutex_t state_lock;
    bool stopped;
    unsigned turn;  /* goes up with each interruption */
    int next_fd;    /* replaces fd as soon as no call uses that; -1: none does */
    bool is_opened; /* control thread only */
};

struct backchan_request {
    uint32_t number;
    const void *payload;
    uint32_t size; /* of payload, bytes: at most 1 KiB */
    int fd;        /* goes along; borrowed. -1: none */
    /*
     * The front-end must not come to read it after the device was stopped: QEMU ends in a crash.
     * Its first byte goes ahead. Once that is read, QEMU does nothing else before it has the rest
     * and has carried it out; if we are stopped before, or wait too long, the rest makes it a
     * request that nobody knows, which is refused at any time.
     */
    bool staged;
};

/* The channel is stopped and has no descriptor. Returns 0 or a negative errno. */
int backchan_init(struct backchan *channel);

/* No thread may be using it. */
void backchan_destroy(struct backchan *channel);

/*
 * Control thread. Takes fd over, also on failure; it replaces an earlier one, whose call, if one is
 * under way, is interrupted. -ENOTSOCK if it is not a socket, or another negative errno.
 */
int backchan_open(struct backchan *channel, int fd);

/* Control thread. True after an open that succeeded. */
bool backchan_is_open(const struct backchan *channel);

/*
 * Control thread. stop: whatever call is under way or comes ends with -ECANCELED, until start.
 * interrupt: the calls that are under way do. Neither waits for that.
 */
void backchan_start(struct backchan *channel);
void backchan_stop(struct backchan *channel);
void backchan_interrupt(struct backchan *channel);

/* Whether a call is under way, or was a moment ago. Control thread. */
bool backchan_is_busy(struct backchan *channel);

/*
 * Any thread of a queue: sends the requests, one after another, then waits for their replies, in
 * the same order. All but the first are there to be waited for only: when the call is interrupted
 * with the first one answered, it counts as answered. Returns 0 with the value of the first, or
 *
 *  -EAGAIN     no request could be sent, and none was
 *
 *  -ECANCELED  stopped or interrupted: a request that was sent may still be carried out, unless it
 *              is staged. Replies that have come all the same are taken
 *
 *  -EIO        no answer in time: a request may still be carried out. Until its reply has come,
 *              calls end so after BACKCHAN_LATE_MS and ask nothing
 *
 *  -EIO        no channel, a broken answer, or the peer has left: no further call on this
 *              descriptor succeeds
 */
int backchan_ask(struct backchan *channel, const struct backchan_request *requests, unsigned count,
                 uint64_t *ret_value);

#endif
