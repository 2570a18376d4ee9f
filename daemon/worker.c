// SPDX-License-Identifier: BSD-3-Clause
#include "worker.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/uio.h>
#include <unistd.h>

#include "deferred.h"
#include "guestfault.h"
#include "log.h"

/* How long a request that was interrupted for the sake of another queue is left alone. */
#define RESTART_PAUSE_MS 1

static bool is_broken(struct queue *queue)
{
    return atomic_load_explicit(&queue->state, memory_order_relaxed) == QUEUE_BROKEN;
}

/* pop_lock held. Gives the role away; with a follower waiting, it takes over. */
static void give_up_role(struct worker *worker)
{
    struct queue *queue = worker->queue;

    worker->leading = false;
    queue->has_leader = false;
    if (queue->followers)
        pthread_cond_signal(&queue->role_free);
}

/* The batch is over for this thread: what is done is shown. push_lock not held. */
static void announce(struct queue *queue)
{
    pthread_mutex_lock(&queue->push_lock);
    if (!is_broken(queue))
        queue_announce(queue);
    pthread_mutex_unlock(&queue->push_lock);
}

/* The file system's hook: the running request is about to block for long. */
static void request_may_block(void *argument)
{
    struct worker *worker = argument;
    struct queue *queue = worker->queue;

    announce(queue);
    if (!worker->leading || queue->thread_count == 1)
        return;
    pthread_mutex_lock(&queue->pop_lock);
    give_up_role(worker);
    pthread_mutex_unlock(&queue->pop_lock);
}

/* The file system's hook: the running request is answered later. */
static struct fuse_deferral *defer_request(void *argument, const struct iovec *pieces,
                                           unsigned count)
{
    struct deferred *deferred = deferred_take(argument, pieces, count);
    return deferred ? &deferred->deferral : NULL;
}

/*
 * Takes one event from the kick descriptor, which poll() found readable. The descriptor is shared
 * with the front-end, so its flags are left alone and it may turn out empty.
 * Returns false when it will never be of use again.
 */
static bool drain_kick(int fd)
{
    uint64_t value;
    struct iovec iov = {.iov_base = &value, .iov_len = sizeof(value)};

    ssize_t got = preadv2(fd, &iov, 1, -1, RWF_NOWAIT);
    if (got < 0 && (errno == EOPNOTSUPP || errno == EINVAL))
        got = read(fd, &value, sizeof(value));
    if (got > 0)
        return true;
    return got < 0 && (errno == EAGAIN || errno == EINTR);
}

/* Sleeps until a kick or a wake-up. The leader calls, no lock held. Returns true on a kick. */
static bool sleep_for_kick(struct queue *queue)
{
    struct pollfd fds[2] = {
        {.fd = queue->wake_fd, .events = POLLIN},
        {.fd = queue->kick_dead ? -1 : queue->kick_fd, .events = POLLIN},
    };

    if (poll(fds, 2, -1) < 0 || !fds[1].revents)
        return false;
    if (drain_kick(queue->kick_fd))
        return true;
    log_limited(LOG_LEVEL_WARN, "queue %u: the kick descriptor is at its end", queue->index);
    queue->kick_dead = true;
    return false;
}

/*
 * Waits for work as the leader. Called and left with pop_lock held, which is dropped while
 * sleeping. Returns when the ring may have something, or the queue stops.
 */
static void wait_for_work(struct queue *queue)
{
    pthread_mutex_lock(&queue->push_lock);
    queue_announce(queue);
    pthread_mutex_unlock(&queue->push_lock);

    /* This is the place for polling the ring a while before asking for kicks. */
    if (virtq_arm_kicks(&queue->virtq) && queue->kicked)
        return;

    pthread_mutex_unlock(&queue->pop_lock);
    bool kicked = sleep_for_kick(queue);
    pthread_mutex_lock(&queue->pop_lock);
    if (kicked)
        queue->kicked = true;
}

/*
 * There are completions that nobody was told of, and this thread goes on with a request that may
 * take any time: the control thread has an eye on it. Costs a system call only when it sleeps.
 */
static void ask_for_watch(struct queue_context *context)
{
    static const uint64_t one = 1;

    if (atomic_load(&context->watched) || atomic_exchange(&context->watched, true))
        return;
    if (write(context->watch_fd, &one, sizeof(one)) < 0)
        log_debug("the control thread cannot be woken: errno %d", errno);
}

/*
 * Becomes leader and takes a chain. Returns 1 with a chain, 0 when the queue stops, or a negative
 * errno when the ring is broken.
 */
static int take_chain(struct worker *worker)
{
    struct queue *queue = worker->queue;
    int rc = 0;

    pthread_mutex_lock(&queue->pop_lock);
    while (!worker->leading && queue->has_leader && !queue->stopping) {
        announce(queue);
        queue->followers++;
        pthread_cond_wait(&queue->role_free, &queue->pop_lock);
        queue->followers--;
    }
    if (!worker->leading && !queue->has_leader) {
        worker->leading = true;
        queue->has_leader = true;
    }

    while (!queue->stopping) {
        rc = queue->kicked ? virtq_pop(&queue->virtq, &worker->slot) : 0;
        if (guestfault_taken()) {
            queue->virtq.fault = "its ring was taken away";
            rc = -EFAULT;
        }
        if (rc)
            break;
        wait_for_work(queue);
    }
    if (rc > 0) {
        virtq_disarm_kicks(&queue->virtq);
        pthread_mutex_lock(&queue->push_lock);
        worker->chain_memory = queue->memory;
        bool deferred = queue->unannounced != 0;
        pthread_mutex_unlock(&queue->push_lock);
        /* The only thread has taken the last one that was taken. */
        worker->slot.chain.restartable = queue->thread_count == 1;
        if (deferred)
            ask_for_watch(queue->context);
        /* With more to do, whoever is or becomes free next goes on with it. */
        if (queue->thread_count > 1 && virtq_has_more(&queue->virtq))
            give_up_role(worker);
    }
    pthread_mutex_unlock(&queue->pop_lock);
    return rc;
}

/*
 * push_lock held. The worker has no chain any more. Returns what to unref after the lock; NULL is
 * fine.
 */
static struct memmap *release_memory(struct worker *worker)
{
    struct memmap *held = worker->chain_memory_held ? worker->chain_memory : NULL;

    worker->chain_memory = NULL;
    worker->chain_memory_held = false;
    return held;
}

/* Gives the chain back and lets go of its memory. Decides whether the batch is full. */
static void give_back(struct worker *worker, size_t length)
{
    struct queue *queue = worker->queue;

    pthread_mutex_lock(&queue->push_lock);
    if (!is_broken(queue)) {
        virtq_push(&queue->virtq, worker->slot.head, (uint32_t)length);
        if (queue->unannounced++ == 0)
            clock_gettime(CLOCK_MONOTONIC, &queue->unannounced_since);
        else if (queue->unannounced >= QUEUE_BATCH_MAX || queue_is_late(queue))
            queue_announce(queue);
    }
    struct memmap *held = release_memory(worker);
    pthread_mutex_unlock(&queue->push_lock);
    memmap_unref(held);
}

/* The chain is given back by somebody else; this thread only lets go of its memory. */
static void let_go(struct worker *worker)
{
    struct queue *queue = worker->queue;

    pthread_mutex_lock(&queue->push_lock);
    struct memmap *held = release_memory(worker);
    pthread_mutex_unlock(&queue->push_lock);
    memmap_unref(held);
}

/*
 * Leaves the chain in the ring: a stop has interrupted the request, and it can be begun anew. If
 * it is this queue that stops, the ring goes on with the chain when it runs again, here or
 * elsewhere; otherwise this thread does, in a moment.
 */
static void leave_in_ring(struct worker *worker)
{
    struct queue *queue = worker->queue;
    struct pollfd wake = {.fd = queue->wake_fd, .events = POLLIN};

    pthread_mutex_lock(&queue->pop_lock);
    virtq_unpop(&queue->virtq);
    pthread_mutex_lock(&queue->push_lock);
    struct memmap *held = release_memory(worker);
    pthread_mutex_unlock(&queue->push_lock);
    pthread_mutex_unlock(&queue->pop_lock);
    memmap_unref(held);
    announce(queue);
    poll(&wake, 1, RESTART_PAUSE_MS);
}

static void serve(struct worker *worker)
{
    struct queue *queue = worker->queue;

    for (;;) {
        int rc = take_chain(worker);

        if (rc <= 0) {
            announce(queue);
            if (rc < 0)
                queue_break(queue, queue->virtq.fault);
            return;
        }

        size_t length = fuse_server_run(worker->fuse, &worker->slot.chain);
        if (guestfault_taken())
            queue_break(queue, "guest memory was taken away");
        if (length == FUSE_SERVER_RESTART)
            leave_in_ring(worker);
        else if (length == FUSE_SERVER_DEFERRED)
            let_go(worker);
        else
            give_back(worker, length);
        if (guestfault_taken())
            queue_break(queue, "its ring was taken away");
        if (is_broken(queue))
            return;
    }
}

/* Tells queue_start() how it went; failed threads leave at once. */
static bool report(struct worker *worker, bool ready)
{
    struct queue *queue = worker->queue;

    pthread_mutex_lock(&queue->pop_lock);
    queue->threads_up++;
    if (!ready)
        queue->threads_failed++;
    pthread_cond_signal(&queue->started);
    pthread_mutex_unlock(&queue->pop_lock);
    return ready;
}

static bool prepare(struct worker *worker)
{
    struct queue *queue = worker->queue;
    struct fuse_thread_hooks hooks = {
        .may_block = request_may_block, .defer = defer_request, .argument = worker};
    char name[16];

    snprintf(name, sizeof(name), "queue%u/%u", queue->index % 1000, worker->number % 1000);
    pthread_setname_np(pthread_self(), name);
    if (virtq_slot_init(&worker->slot, queue->layout.size) < 0)
        return false;
    if (fuse_thread_new(queue->context->server, &hooks, &worker->fuse) == 0)
        return true;
    virtq_slot_free(&worker->slot);
    return false;
}

/* The last thread that leaves says so. */
static void leave(struct worker *worker)
{
    static const uint64_t one = 1;
    struct queue *queue = worker->queue;

    pthread_mutex_lock(&queue->pop_lock);
    if (worker->leading)
        give_up_role(worker);
    if (--queue->threads_alive == 0 && write(queue->ended_fd, &one, sizeof(one)) < 0)
        log_error("queue %u: its end cannot be told: errno %d", queue->index, errno);
    pthread_mutex_unlock(&queue->pop_lock);
}

void *worker_main(void *argument)
{
    struct worker *worker = argument;

    if (report(worker, prepare(worker))) {
        serve(worker);
        fuse_thread_free(worker->fuse);
        virtq_slot_free(&worker->slot);
    }
    leave(worker);
    return NULL;
}
