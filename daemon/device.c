// SPDX-License-Identifier: BSD-3-Clause
#include "device_core.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

#include "deferred.h"
#include "guestfault.h"
#include "log.h"
#include "scope.h"
#include "vu_proto.h"

/* Looks at which nothing was going on, until the watch ends. */
#define WATCH_IDLE_STEPS 3

struct device *device_new(const struct settings *settings, struct fuse_server *server, int stop_fd)
{
    struct device *device = aligned_alloc(VIRTQ_CACHE_LINE, sizeof(*device));
    if (!device)
        return NULL;

    memset(device, 0, sizeof(*device));
    device->settings = settings;
    device->server = server;
    device->stop_fd = stop_fd;
    device->context.server = server;
    device->context.hiprio = &device->queues[0];
    device->context.needs_reset = &device->needs_reset;
    device->context.pool_left = settings->thread_pool_size;
    device->context.poll_ns = settings->poll_us * INT64_C(1000);
    device->context.poll_always = settings->poll_always;
    device->queue_count = 1 + settings->request_queues;
    if (device->queue_count > DEVICE_QUEUES_MAX)
        device->queue_count = DEVICE_QUEUES_MAX;
    device->memory = memmap_new_empty();
    device->context.watch_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (!device->memory || device->context.watch_fd < 0 || backchan_init(&device->backchan) < 0) {
        memmap_unref(device->memory);
        scope_close(&device->context.watch_fd);
        free(device);
        return NULL;
    }
    dax_window_init(&device->window, settings, server, &device->backchan);
    for (unsigned i = 0; i < device->queue_count; i++)
        queue_init(&device->queues[i], i, &device->context);
    return device;
}

void device_free(struct device *device)
{
    if (!device)
        return;
    for (unsigned i = 0; i < device->queue_count; i++)
        queue_free(&device->queues[i]);
    dax_window_destroy(&device->window);
    backchan_destroy(&device->backchan);
    scope_close(&device->context.watch_fd);
    memmap_unref(device->memory);
    free(device);
}

uint64_t device_offered_features(const struct device *device)
{
    (void)device;
    return VU_BIT(VIRTIO_F_VERSION_1) | VU_BIT(VIRTIO_RING_F_INDIRECT_DESC) |
           VU_BIT(VIRTIO_RING_F_EVENT_IDX) | VU_BIT(VU_F_PROTOCOL_FEATURES);
}

uint64_t device_offered_protocol_features(const struct device *device)
{
    uint64_t offered = VU_BIT(VU_PROTOCOL_F_MQ) | VU_BIT(VU_PROTOCOL_F_REPLY_ACK) |
                       VU_BIT(VU_PROTOCOL_F_BACKEND_REQ) | VU_BIT(VU_PROTOCOL_F_BACKEND_SEND_FD) |
                       VU_BIT(VU_PROTOCOL_F_RESET_DEVICE) | VU_BIT(VU_PROTOCOL_F_STATUS);

    /*
     * Every mapping in a window is a region to QEMU: with a slot for each of them it ends itself
     * when they run out. SHARED_OBJECT is for the barrier in window.c.
     */
    if (dax_window_offers_shmem(device->settings))
        offered |= VU_BIT(VU_PROTOCOL_F_SHMEM) | VU_BIT(VU_PROTOCOL_F_SHARED_OBJECT);
    else
        offered |= VU_BIT(VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS);
    /* Without a tag of our own the front-end's configuration space is the right one. */
    if (device->settings->tag)
        offered |= VU_BIT(VU_PROTOCOL_F_CONFIG);
    return offered;
}

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

bool device_stop_asked(struct device *device)
{
    struct pollfd stop = {.fd = device->stop_fd, .events = POLLIN};

    if (device->stop_deadline)
        return true;
    if (poll(&stop, 1, 0) <= 0)
        return false;
    device->stop_deadline = now_ms() + DEVICE_STOP_TIMEOUT_MS;
    return true;
}

/*
 * Waits until fd (-1: nothing) is readable. deadline: absolute milliseconds, -1 for ever; a stop
 * of the daemon brings it forward. Returns 0 or -ETIMEDOUT.
 */
static int wait_until(struct device *device, int fd, int64_t deadline)
{
    for (;;) {
        bool stop = device_stop_asked(device);
        if (stop && (deadline < 0 || deadline > device->stop_deadline))
            deadline = device->stop_deadline;

        int64_t left = deadline < 0 ? INT32_MAX : deadline - now_ms();
        struct pollfd fds[2] = {
            {.fd = fd, .events = POLLIN},
            {.fd = stop ? -1 : device->stop_fd, .events = POLLIN},
        };
        if (left < 0)
            left = 0;
        if (left > INT32_MAX)
            left = INT32_MAX;
        int rc = poll(fds, 2, (int)left);
        if (rc > 0 && fds[0].revents)
            return 0;
        if (rc == 0 && deadline >= 0)
            return -ETIMEDOUT;
    }
}

/* Looks after all queues once. Returns true when something was going on. */
static bool watch_queues(struct device *device)
{
    bool waiting = false;
    bool front_end = backchan_is_busy(&device->backchan);

    for (unsigned i = 0; i < device->queue_count; i++) {
        if (device->queues[i].running && queue_watch(&device->queues[i], front_end))
            waiting = true;
    }
    /* A ring that was taken away is found so by its own thread. */
    (void)guestfault_taken();
    return waiting;
}

/*
 * The watch ends when nothing has waited for a while. A thread that saw it still on has left its
 * completion before that, so it is seen by the last look after the end.
 */
static void watch_step(struct device *device, unsigned *idle)
{
    struct queue_context *context = &device->context;
    uint64_t value;

    if (read(context->watch_fd, &value, sizeof(value)) > 0)
        *idle = 0;
    *idle = watch_queues(device) ? 0 : *idle + 1;
    if (*idle < WATCH_IDLE_STEPS)
        return;
    atomic_store(&context->watched, false);
    if (watch_queues(device)) {
        atomic_store(&context->watched, true);
        *idle = 0;
    }
}

void device_wait_message(struct device *device, int socket_fd)
{
    struct pollfd fds[3] = {
        {.fd = socket_fd, .events = POLLIN},
        {.fd = device->stop_fd, .events = POLLIN},
        {.fd = device->context.watch_fd, .events = POLLIN},
    };
    unsigned idle = 0;

    for (;;) {
        int rc = poll(fds, 3, atomic_load(&device->context.watched) ? QUEUE_WATCH_MS : -1);
        if (rc > 0 && (fds[0].revents || fds[1].revents))
            return;
        if (rc >= 0)
            watch_step(device, &idle);
    }
}

static bool runs_any(const struct device *device)
{
    for (unsigned i = 0; i < device->queue_count; i++) {
        if (device->queues[i].running)
            return true;
    }
    return false;
}

/* queue_ask_stop() was called. */
static int wait_stopped(struct device *device, struct queue *queue, int64_t deadline)
{
    int rc = wait_until(device, queue->ended_fd, deadline);
    if (rc < 0) {
        log_limited(LOG_LEVEL_ERROR, "queue %u: a request hangs in the host", queue->index);
        return rc;
    }
    queue_finish_stop(queue);
    return 0;
}

int device_stop_queue(struct device *device, struct queue *queue, int timeout_ms)
{
    if (!queue->running)
        return 0;
    queue_ask_stop(queue);
    /* The front-end may do nothing else until it is told that the queue has stopped. */
    backchan_stop(&device->backchan);
    return wait_stopped(device, queue, timeout_ms < 0 ? -1 : now_ms() + timeout_ms);
}

int device_stop_all(struct device *device, int timeout_ms)
{
    int64_t deadline = timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
    int result = 0;

    for (unsigned i = 0; i < device->queue_count; i++) {
        if (device->queues[i].running)
            queue_ask_stop(&device->queues[i]);
    }
    backchan_stop(&device->backchan);
    for (unsigned i = 0; i < device->queue_count; i++) {
        struct queue *queue = &device->queues[i];
        int rc = queue->running ? wait_stopped(device, queue, deadline) : 0;

        if (rc < 0)
            result = rc;
    }
    return result;
}

static void start_queue(struct device *device, struct queue *queue)
{
    unsigned threads_max = 1 + device->settings->thread_pool_size;

    if (!runs_any(device)) {
        dax_window_settle(&device->window, device->protocol_features);
        device->context.window = dax_window_place(&device->window);
    }
    backchan_start(&device->backchan);
    if (threads_max > QUEUE_THREADS_MAX)
        threads_max = QUEUE_THREADS_MAX;
    int rc = queue_start(queue, device->memory, device->features, threads_max);
    if (rc == -EFAULT || rc == -EINVAL) {
        /* The memory that the ring lies in may still come. */
        log_limited(LOG_LEVEL_WARN, "queue %u has its ring outside guest memory", queue->index);
    } else if (rc < 0) {
        log_limited(LOG_LEVEL_ERROR, "queue %u cannot be started: %s", queue->index, strerror(-rc));
        queue_break(queue, "there are no resources to run it");
    }
}

/* A broken ring's threads have been told to end by queue_break(). */
static bool has_ended(const struct queue *queue)
{
    struct pollfd ended = {.fd = queue->ended_fd, .events = POLLIN};

    return poll(&ended, 1, 0) > 0;
}

int device_settle(struct device *device)
{
    for (unsigned i = 0; i < device->queue_count; i++) {
        struct queue *queue = &device->queues[i];
        bool broken = atomic_load(&queue->state) == QUEUE_BROKEN;
        bool ready = queue_is_ready(queue) && device->features_set && !broken;
        int rc = 0;

        if (queue->running && broken && has_ended(queue))
            rc = wait_stopped(device, queue, 0);
        else if (queue->running && !ready && !broken)
            rc = device_stop_queue(device, queue, DEVICE_DRAIN_TIMEOUT_MS);
        else if (!queue->running && ready && memmap_region_count(device->memory))
            start_queue(device, queue);
        if (rc < 0)
            return rc;
    }
    return 0;
}

void device_resume_requests(struct device *device)
{
    if (runs_any(device))
        backchan_start(&device->backchan);
}

void device_set_memory(struct device *device, struct memmap *memory)
{
    struct memmap *old = device->memory;
    int64_t deadline = now_ms() + DEVICE_MEMORY_TIMEOUT_MS;

    /* QEMU sends the table for each mapping in the DAX window, which is not in it. */
    if (!memmap_lost_regions(old, memory) && !memmap_lost_regions(memory, old)) {
        memmap_unref(memory);
        return;
    }
    device->memory = memory;
    for (unsigned i = 0; i < device->queue_count; i++) {
        struct queue *queue = &device->queues[i];

        if (!queue->running) {
            pthread_mutex_lock(&queue->push_lock);
            deferred_change_memory(queue, memory);
            pthread_mutex_unlock(&queue->push_lock);
            continue;
        }
        queue_change_memory(queue, memory);
        /* A broken ring has no use for the old memory once its threads have left. */
        if (atomic_load(&queue->state) == QUEUE_BROKEN) {
            queue_ask_stop(queue);
            backchan_interrupt(&device->backchan);
            wait_stopped(device, queue, deadline);
        }
    }
    /* A request that works in memory which stays has no reason to delay the answer. */
    if (memmap_lost_regions(old, memory)) {
        while (!memmap_is_sole(old) && now_ms() < deadline && !device_stop_asked(device))
            wait_until(device, -1, now_ms() + 1);
        if (!memmap_is_sole(old))
            log_limited(LOG_LEVEL_WARN, "a request still works in memory that was taken away");
    }
    memmap_unref(old);
}

void device_end_ring(struct queue *queue)
{
    queue_set_kick(queue, -1);
    queue->kicked = false;
    atomic_store(&queue->state, QUEUE_IDLE);
}

void device_reset(struct device *device)
{
    device->features = 0;
    device->features_set = false;
    device->status = 0;
    atomic_store(&device->needs_reset, false);
    dax_window_forget_place(&device->window);
    for (unsigned i = 0; i < device->queue_count; i++) {
        struct queue *queue = &device->queues[i];

        device_end_ring(queue);
        queue_forget_chains(queue);
        queue->enabled = false;
        queue->layout_size_set = false;
        queue->layout_addresses_set = false;
        queue->avail_base = 0;
        queue->left_over = false;
    }
    fuse_server_reset(device->server);
}
