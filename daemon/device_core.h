// SPDX-License-Identifier: BSD-3-Clause
/*
 * The state of the device and what the request handlers may do to it. device.h is the public face.
 *
 * Owner: device_serve(), one object for each connection. Control thread only; what queue threads
 * share is in struct queue, and needs_reset.
 */
#ifndef VIOFS_DEVICE_CORE_H
#define VIOFS_DEVICE_CORE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "backchan.h"
#include "device.h"
#include "memmap.h"
#include "queue.h"
#include "window.h"

/* Queue 0 is hiprio, the others carry requests. */
#define DEVICE_REQUEST_QUEUES_MAX 63
#define DEVICE_QUEUES_MAX         (1 + DEVICE_REQUEST_QUEUES_MAX)

/* How long a stopping queue may take to answer what it has taken, unless the daemon itself stops.
 */
#define DEVICE_DRAIN_TIMEOUT_MS   5000

/* How long memory that the front-end takes away may stay pinned before the request is answered. */
#define DEVICE_MEMORY_TIMEOUT_MS  250

struct device {
    const struct settings *settings;
    struct fuse_server *server;
    int stop_fd;
    int64_t stop_deadline; /* milliseconds, CLOCK_MONOTONIC; 0: nobody asked to stop */

    uint64_t features; /* as negotiated */
    bool features_set;
    uint64_t protocol_features;
    uint8_t status; /* as the front-end set it */
    atomic_bool needs_reset;

    struct memmap *memory;
    struct backchan backchan;
    struct dax_window window;
    struct queue_context context;
    unsigned queue_count;
    struct queue queues[DEVICE_QUEUES_MAX];
};

/* Returns NULL when out of memory or descriptors. */
struct device *device_new(const struct settings *settings, struct fuse_server *server, int stop_fd);

/* Every queue must be stopped. */
void device_free(struct device *device);

uint64_t device_offered_features(const struct device *device);
uint64_t device_offered_protocol_features(const struct device *device);

/* True when stop_fd is readable; starts the clock of DEVICE_STOP_TIMEOUT_MS the first time. */
bool device_stop_asked(struct device *device);

/* Waits until the front-end has sent something, or left, or the daemon must stop. Meanwhile looks
 * after notifications that wait (queue.h). */
void device_wait_message(struct device *device, int socket_fd);

/*
 * Stops the queue, or all of them, and waits until what they had taken is answered, or left for
 * later. Requests of ours to the front-end end at once, those of other queues, too, and no
 * further one is made until device_resume_requests(), or a queue is started. timeout_ms -1: for
 * ever, unless the daemon must stop. Returns 0, or -ETIMEDOUT when a request hangs: such a queue
 * stays as it is, and the device must not be used or freed any more until a later call succeeds.
 */
int device_stop_queue(struct device *device, struct queue *queue, int timeout_ms);
int device_stop_all(struct device *device, int timeout_ms);

/*
 * Starts the queues that are ready and not running, stops those that run and are not ready. To be
 * called after every change. Returns 0 or -ETIMEDOUT, as device_stop_queue(). A queue that
 * cannot be started is logged; it stays idle if its memory is missing, else it is broken.
 */
int device_settle(struct device *device);

/*
 * After the message that has stopped queues is answered: those that still run may ask the
 * front-end again, which is no longer waiting for us.
 */
void device_resume_requests(struct device *device);

/*
 * Makes memory (taken over) the current snapshot, in running queues too; one that has the same
 * regions changes nothing. If regions went away,
 * waits up to DEVICE_MEMORY_TIMEOUT_MS for the requests that work in them; they stay mapped until
 * the last one is done.
 */
void device_set_memory(struct device *device, struct memmap *memory);

/*
 * The end of a ring: GET_VRING_BASE, RESET_DEVICE. The queue must be stopped. It can start again
 * after a new kick descriptor; the call and error descriptors stay, as QEMU sets the
 * error descriptor only once.
 */
void device_end_ring(struct queue *queue);

/* RESET_DEVICE: as new, but for memory, protocol features, call and error descriptors. All queues
 * must be stopped. */
void device_reset(struct device *device);

#endif
