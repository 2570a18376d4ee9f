// SPDX-License-Identifier: BSD-3-Clause
/*
 * A front-end and a driver for the unit tests of the device: device_serve() runs in a thread of the
 * test's own process, on one end of a socket pair.
 *
 * One struct front belongs to one test; its functions are called by the test's thread only.
 */
#ifndef VIOFS_VU_FRONT_H
#define VIOFS_VU_FRONT_H

#include <linux/virtio_ring.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "settings.h"
#include "vu_proto.h"

#define FRONT_MEMORY_SIZE (UINT64_C(4) << 20)
#define FRONT_GUEST_BASE  UINT64_C(0x100000000)
#define FRONT_USER_BASE   UINT64_C(0x7f0000000000)
#define FRONT_RING_SIZE   64
#define FRONT_RING_STRIDE 0x4000 /* a queue's ring area: table, avail at 0x1000, used at 0x2000 */
#define FRONT_BUFFERS     0x200000
#define FRONT_BUFFER_SIZE 0x1000
#define FRONT_QUEUES      4

struct front_queue {
    struct vring_desc *desc;
    struct vring_avail *avail;
    struct vring_used *used;
    uint16_t avail_index;
    uint16_t used_seen;
    int kick_fd;
    int call_fd;
    int err_fd;
};

struct front {
    struct settings settings;
    int socket_fd;
    int stop_fd;
    int result; /* of device_serve(), after front_join() */
    pthread_t thread;
    int back_fd;
    char *memory;
    int memory_fd;
    struct front_queue queues[FRONT_QUEUES];
};

/* Starts the daemon's side; settings may be changed between front_init() and front_start(). */
void front_init(struct front *front);
int front_start(struct front *front);
/* Closes the connection and waits for device_serve(). Returns its result. */
int front_end(struct front *front);
/* Waits for device_serve() and frees everything. */
int front_join(struct front *front);

/* Messages. Each returns 0 or 1 for success; negative: the connection is closed, or 5 s passed. */
int front_send(struct front *front, uint32_t request, uint32_t flags, const void *payload,
               uint32_t size, const int *fds, unsigned fd_count);
/* Returns the size of the reply's payload, or negative. */
int front_receive(struct front *front, uint32_t request, void *payload, size_t max);
/* Sends with need_reply; returns the acknowledgement (0: done) or negative. */
int64_t front_ask(struct front *front, uint32_t request, const void *payload, uint32_t size,
                  const int *fds, unsigned fd_count);
/* A request without payload whose reply is a u64. */
int64_t front_get(struct front *front, uint32_t request);
/* True when the back-end has closed the connection (waits up to 5 s). */
bool front_is_closed(struct front *front);

/* Features, protocol features and memory: all offered ones. Returns 0 or negative. */
int front_negotiate(struct front *front, uint64_t features);
int front_set_memory(struct front *front);
/* The same memory, in regions that are others. */
int front_set_memory_in_halves(struct front *front);
/* Configures and enables a ring; the first kick is the test's business. */
int front_start_ring(struct front *front, unsigned index);
/* Returns the base, or negative. */
int front_stop_ring(struct front *front, unsigned index);

/* The driver. Buffer b is a page of guest memory. */
void *front_buffer(struct front *front, unsigned b);
uint64_t front_address(unsigned b);
void front_set_desc(struct front *front, unsigned q, unsigned i, uint64_t address, uint32_t length,
                    uint16_t flags, uint16_t next);
/* A request of two descriptors, i and i + 1, on buffers i and i + 1. */
void front_request(struct front *front, unsigned q, unsigned i, uint32_t command, uint32_t argument,
                   uint32_t writable);
void front_offer(struct front *front, unsigned q, uint16_t head); /* makes available */
void front_kick(struct front *front, unsigned q);
/* Waits for one more used entry, up to 5 s. Returns its length or -1; ret_head may be NULL. */
int64_t front_used(struct front *front, unsigned q, uint32_t *ret_head);
uint16_t front_used_index(struct front *front, unsigned q);
/* How many notifications came since the last call; waits wait_ms for the first. */
uint64_t front_notified(int event_fd, int wait_ms);

#endif
