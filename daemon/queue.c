// SPDX-License-Identifier: BSD-3-Clause
#include "queue.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "deferred.h"
#include "guestfault.h"
#include "log.h"
#include "scope.h"
#include "worker.h"

void queue_init(struct queue *queue, unsigned index, struct queue_context *context)
{
    memset(queue, 0, sizeof(*queue));
    queue->index = index;
    queue->context = context;
    queue->kick_fd = -1;
    queue->call_fd = -1;
    queue->err_fd = -1;
    queue->wake_fd = -1;
    queue->ended_fd = -1;
    pthread_mutex_init(&queue->pop_lock, NULL);
    pthread_mutex_init(&queue->push_lock, NULL);
    pthread_cond_init(&queue->role_free, NULL);
    pthread_cond_init(&queue->started, NULL);
}

static void replace_fd(int *place, int fd)
{
    if (*place >= 0)
        close(*place);
    *place = fd;
}

void queue_free(struct queue *queue)
{
    deferred_drop(queue);
    replace_fd(&queue->kick_fd, -1);
    replace_fd(&queue->call_fd, -1);
    replace_fd(&queue->err_fd, -1);
    pthread_cond_destroy(&queue->started);
    pthread_cond_destroy(&queue->role_free);
    pthread_mutex_destroy(&queue->push_lock);
    pthread_mutex_destroy(&queue->pop_lock);
}

/* Eventfds (which have no file type), pipes and sockets; nothing that is always readable. */
static bool is_event_source(int fd)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return false;
    return (st.st_mode & S_IFMT) == 0 || S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode);
}

int queue_set_kick(struct queue *queue, int fd)
{
    autoclose int owned = fd;

    if (queue->running)
        return -EBUSY;
    if (owned >= 0 && !is_event_source(owned))
        return -EINVAL;
    replace_fd(&queue->kick_fd, steal_fd(&owned));
    return 0;
}

/* call and err: event sinks that the threads may be using right now. */
static int set_sink(struct queue *queue, int *place, int fd)
{
    autoclose int owned = fd;

    if (owned >= 0 && !is_event_source(owned))
        return -EINVAL;

    bool nonblocking = owned >= 0 && (fcntl(owned, F_GETFL) & O_NONBLOCK);
    pthread_mutex_lock(&queue->push_lock);
    int old = *place;
    *place = steal_fd(&owned);
    if (place == &queue->call_fd)
        queue->call_fd_nonblocking = nonblocking;
    pthread_mutex_unlock(&queue->push_lock);
    if (old >= 0)
        close(old);
    return 0;
}

/*
 * Signals an event descriptor without ever blocking: a full eventfd or pipe has an event
 * pending already. A front-end that turns O_NONBLOCK off afterwards can only block its own queue.
 */
static void signal_event(int fd, bool nonblocking)
{
    static const uint64_t one = 1;
    struct pollfd room = {.fd = fd, .events = POLLOUT};

    if (fd < 0 || (!nonblocking && poll(&room, 1, 0) <= 0))
        return;
    ssize_t rc = write(fd, &one, sizeof(one));
    if (rc < 0 && errno != EAGAIN)
        log_limited(LOG_LEVEL_DEBUG, "an event descriptor cannot be written: errno %d", errno);
}

int queue_set_call(struct queue *queue, int fd)
{
    int rc = set_sink(queue, &queue->call_fd, fd);

    /*
     * Without acknowledgements the front-end cannot know whether a ring that it starts with the
     * kick descriptor answers before the call descriptor is there: such a notification is made up
     * for.
     */
    pthread_mutex_lock(&queue->push_lock);
    if (queue->call_missed && queue->call_fd >= 0) {
        queue->call_missed = false;
        signal_event(queue->call_fd, queue->call_fd_nonblocking);
    }
    pthread_mutex_unlock(&queue->push_lock);
    return rc;
}

int queue_set_err(struct queue *queue, int fd)
{
    return set_sink(queue, &queue->err_fd, fd);
}

bool queue_is_ready(const struct queue *queue)
{
    return queue->enabled && queue->kick_fd >= 0 && queue->layout_size_set &&
           queue->layout_addresses_set;
}

void queue_announce(struct queue *queue)
{
    if (queue->unannounced == 0)
        return;
    queue->unannounced = 0;
    if (!virtq_wants_notification(&queue->virtq))
        return;
    if (queue->call_fd < 0)
        queue->call_missed = true;
    else
        signal_event(queue->call_fd, queue->call_fd_nonblocking);
}

static int64_t nanoseconds_since(const struct timespec *start)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (now.tv_sec - start->tv_sec) * INT64_C(1000000000) + now.tv_nsec - start->tv_nsec;
}

bool queue_is_late(const struct queue *queue)
{
    return queue->unannounced && nanoseconds_since(&queue->unannounced_since) >= QUEUE_BATCH_NS;
}

bool queue_watch(struct queue *queue)
{
    /* A thread that has the lock may be announcing this moment. */
    if (pthread_mutex_trylock(&queue->push_lock))
        return true;
    if (atomic_load(&queue->state) != QUEUE_BROKEN && queue_is_late(queue))
        queue_announce(queue);
    bool waiting = queue->unannounced != 0;
    pthread_mutex_unlock(&queue->push_lock);
    return waiting;
}

void queue_break(struct queue *queue, const char *why)
{
    if (atomic_exchange(&queue->state, QUEUE_BROKEN) == QUEUE_BROKEN)
        return;
    atomic_store(queue->context->needs_reset, true);
    log_limited(LOG_LEVEL_ERROR, "queue %u is broken and stopped: %s", queue->index, why);

    pthread_mutex_lock(&queue->push_lock);
    signal_event(queue->err_fd, false);
    pthread_mutex_unlock(&queue->push_lock);
    if (queue->wake_fd >= 0)
        queue_ask_stop(queue);
}

/* Threads are born with every signal blocked that can be; SIGBUS is the guest's own doing. */
static int spawn(struct worker *worker)
{
    pthread_attr_t attr;
    sigset_t blocked;

    sigfillset(&blocked);
    sigdelset(&blocked, SIGBUS);
    sigdelset(&blocked, SIGSEGV);
    sigdelset(&blocked, SIGFPE);
    sigdelset(&blocked, SIGILL);
    sigdelset(&blocked, SIGSYS);
    sigdelset(&blocked, SIGABRT);

    int rc = pthread_attr_init(&attr);
    if (rc)
        return -rc;
    pthread_attr_setsigmask_np(&attr, &blocked);
    rc = pthread_create(&worker->thread, &attr, worker_main, worker);
    pthread_attr_destroy(&attr);
    return -rc;
}

/* Spawns as many threads as can be had, and waits until each has said how it is. */
static int start_threads(struct queue *queue, unsigned thread_count)
{
    int rc = 0;
    unsigned spawned = 0;

    pthread_mutex_lock(&queue->pop_lock);
    for (; spawned < thread_count; spawned++) {
        struct worker *worker = &queue->workers[spawned];

        *worker = (struct worker){.queue = queue, .number = spawned};
        rc = spawn(worker);
        if (rc < 0)
            break;
        queue->threads_alive++;
    }
    queue->thread_count = spawned;
    while (queue->threads_up < spawned)
        pthread_cond_wait(&queue->started, &queue->pop_lock);
    unsigned serving = spawned - queue->threads_failed;
    pthread_mutex_unlock(&queue->pop_lock);

    if (serving < thread_count)
        log_limited(LOG_LEVEL_WARN, "queue %u: only %u of %u threads could be made", queue->index,
                    serving, thread_count);
    if (serving)
        return 0;
    for (unsigned i = 0; i < spawned; i++)
        pthread_join(queue->workers[i].thread, NULL);
    return rc < 0 ? rc : -EAGAIN;
}

static bool same_layout(const struct virtq_layout *a, const struct virtq_layout *b)
{
    return a->size == b->size && a->desc == b->desc && a->avail == b->avail && a->used == b->used;
}

/* The ring can be pushed to from here on, by threads that serve it and by those that answer late.
 */
static void ring_up(struct queue *queue)
{
    bool goes_on =
        queue->last_base == queue->avail_base && same_layout(&queue->last_layout, &queue->layout);

    if (!goes_on)
        deferred_drop(queue);
    pthread_mutex_lock(&queue->push_lock);
    queue->ring_up = true;
    deferred_resume(queue);
    queue_announce(queue);
    pthread_mutex_unlock(&queue->push_lock);
}

static void ring_down(struct queue *queue)
{
    pthread_mutex_lock(&queue->push_lock);
    queue->ring_up = false;
    pthread_mutex_unlock(&queue->push_lock);
    queue->last_layout = queue->layout;
    queue->last_base = queue->virtq.last_avail;
}

/* Drops what belongs to one run of the queue. */
static void end_run(struct queue *queue)
{
    replace_fd(&queue->wake_fd, -1);
    replace_fd(&queue->ended_fd, -1);
    free(queue->workers);
    queue->workers = NULL;
    queue->thread_count = 0;
    memmap_unref(queue->memory);
    queue->memory = NULL;
    queue->running = false;
}

int queue_start(struct queue *queue, struct memmap *memory, uint64_t features,
                unsigned thread_count)
{
    virtq_init(&queue->virtq, &queue->layout, features);
    virtq_set_window(&queue->virtq, queue->context->window);
    int rc = virtq_attach(&queue->virtq, memory);
    if (rc < 0)
        return rc;

    queue->memory = memmap_ref(memory);
    queue->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    queue->ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    queue->workers = calloc(thread_count, sizeof(queue->workers[0]));
    if (queue->wake_fd < 0 || queue->ended_fd < 0 || !queue->workers) {
        rc = queue->workers ? -EMFILE : -ENOMEM;
        end_run(queue);
        return rc;
    }

    (void)guestfault_taken();
    virtq_begin(&queue->virtq, queue->avail_base);
    if (guestfault_taken()) {
        end_run(queue);
        return -EFAULT;
    }
    queue->has_leader = false;
    queue->stopping = false;
    queue->kick_dead = false;
    queue->followers = 0;
    queue->threads_up = 0;
    queue->threads_failed = 0;
    queue->threads_alive = 0;
    queue->unannounced = 0;
    queue->call_missed = false;
    atomic_store(&queue->state, QUEUE_RUNNING);
    ring_up(queue);

    rc = start_threads(queue, thread_count);
    if (rc < 0) {
        ring_down(queue);
        atomic_store(&queue->state, QUEUE_IDLE);
        end_run(queue);
        return rc;
    }
    queue->running = true;
    log_debug("queue %u runs: size %u, from %u, %u threads", queue->index, queue->layout.size,
              queue->avail_base, queue->thread_count);
    return 0;
}

void queue_ask_stop(struct queue *queue)
{
    static const uint64_t one = 1;

    pthread_mutex_lock(&queue->pop_lock);
    queue->stopping = true;
    pthread_cond_broadcast(&queue->role_free);
    pthread_mutex_unlock(&queue->pop_lock);
    if (write(queue->wake_fd, &one, sizeof(one)) < 0)
        log_debug("queue %u: cannot be woken: errno %d", queue->index, errno);
}

void queue_finish_stop(struct queue *queue)
{
    int expected = QUEUE_RUNNING;

    for (unsigned i = 0; i < queue->thread_count; i++)
        pthread_join(queue->workers[i].thread, NULL);
    ring_down(queue);
    queue->avail_base = queue->virtq.last_avail;
    queue->left_over = queue->kicked && atomic_load(&queue->state) == QUEUE_RUNNING &&
                       virtq_has_more(&queue->virtq);
    (void)guestfault_taken();
    /* A broken one stays so until the front-end takes notice. */
    atomic_compare_exchange_strong(&queue->state, &expected, QUEUE_IDLE);
    end_run(queue);
    log_debug("queue %u stopped at %u", queue->index, queue->avail_base);
}

void queue_change_memory(struct queue *queue, struct memmap *memory)
{
    struct memmap *old = NULL;

    pthread_mutex_lock(&queue->pop_lock);
    pthread_mutex_lock(&queue->push_lock);
    int rc = virtq_attach(&queue->virtq, memory);
    if (rc == 0) {
        old = queue->memory;
        queue->memory = memmap_ref(memory);
        deferred_change_memory(queue, memory);
        for (unsigned i = 0; i < queue->thread_count; i++) {
            struct worker *worker = &queue->workers[i];

            if (worker->chain_memory == old && !worker->chain_memory_held) {
                worker->chain_memory_held = true;
                memmap_ref(old);
            }
        }
    }
    pthread_mutex_unlock(&queue->push_lock);
    pthread_mutex_unlock(&queue->pop_lock);

    memmap_unref(old);
    if (rc < 0)
        queue_break(queue, "its ring is no longer in guest memory");
}
