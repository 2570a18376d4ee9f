// SPDX-License-Identifier: BSD-3-Clause
#include "queue.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "bare_call.h"
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
    queue->epoll_fd = -1;
    pthread_mutex_init(&queue->pop_lock, NULL);
    pthread_mutex_init(&queue->push_lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&queue->role_free, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_cond_init(&queue->started, NULL);
}

static void replace_fd(int *place, int fd)
{
    if (*place >= 0)
        close(*place);
    *place = fd;
}

void queue_forget_chains(struct queue *queue)
{
    deferred_drop(queue);
    queue->kept_count = 0;
}

void queue_free(struct queue *queue)
{
    queue_forget_chains(queue);
    replace_fd(&queue->kick_fd, -1);
    replace_fd(&queue->call_fd, -1);
    replace_fd(&queue->err_fd, -1);
    pthread_cond_destroy(&queue->started);
    pthread_cond_destroy(&queue->role_free);
    pthread_mutex_destroy(&queue->push_lock);
    pthread_mutex_destroy(&queue->pop_lock);
}

/* S_IFMT of what fd is, 0 for an eventfd, which has none; or -1. */
static int file_type(int fd)
{
    struct stat st;

    return fstat(fd, &st) < 0 ? -1 : (int)(st.st_mode & S_IFMT);
}

/* Eventfds, pipes and sockets; nothing that is always readable. */
static bool is_event_source(int fd)
{
    int type = file_type(fd);

    return type == 0 || type == S_IFIFO || type == S_IFSOCK;
}

void queue_lock_pop(struct queue *queue)
{
    if (pthread_mutex_trylock(&queue->pop_lock) == 0)
        return;
    atomic_fetch_add(&queue->pop_wanted, 1);
    pthread_mutex_lock(&queue->pop_lock);
    atomic_fetch_sub(&queue->pop_wanted, 1);
}

void queue_let_in(struct queue *queue)
{
    pthread_mutex_unlock(&queue->pop_lock);
    while (atomic_load(&queue->pop_wanted))
        sched_yield();
    pthread_mutex_lock(&queue->pop_lock);
}

bool queue_drain_kick(struct queue *queue)
{
    int fd = queue->kick_fd;
    uint64_t value;
    struct iovec iov = {.iov_base = &value, .iov_len = sizeof(value)};

    ssize_t got = preadv2(fd, &iov, 1, -1, RWF_NOWAIT);
    if (got < 0 && (errno == EOPNOTSUPP || errno == EINVAL))
        got = read(fd, &value, sizeof(value));
    if (got > 0)
        return true;
    return got < 0 && (errno == EAGAIN || errno == EINTR);
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
    ssize_t rc = bare_write(fd, &one, sizeof(one));
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
    if (!virtq_wants_notification(&queue->virtq)) {
        atomic_store_explicit(&queue->driver_untold, true, memory_order_relaxed);
        return;
    }
    atomic_store_explicit(&queue->driver_told, true, memory_order_relaxed);
    if (queue->call_fd < 0)
        queue->call_missed = true;
    else
        signal_event(queue->call_fd, queue->call_fd_nonblocking);
}

int64_t queue_ns_between(const struct timespec *start, const struct timespec *end)
{
    return (end->tv_sec - start->tv_sec) * INT64_C(1000000000) + end->tv_nsec - start->tv_nsec;
}

int64_t queue_ns_since(const struct timespec *start)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return queue_ns_between(start, &now);
}

bool queue_batch_is_full(unsigned done, int64_t age_ns, unsigned behind)
{
    if (age_ns >= QUEUE_BATCH_NS)
        return true;
    if (done < QUEUE_BATCH_MIN)
        return false;
    int64_t left_ns = age_ns / (done - 1) * behind;
    return left_ns <= (behind <= QUEUE_WAKE_LEFT ? QUEUE_WAKE_NS : QUEUE_WAKE_NS / 2);
}

/* Returns true when a notification is waiting, or may be. */
static bool watch_notifications(struct queue *queue)
{
    /* A thread that has the lock may be announcing this moment. */
    if (pthread_mutex_trylock(&queue->push_lock))
        return true;
    if (atomic_load(&queue->state) != QUEUE_BROKEN && queue->unannounced &&
        queue_ns_since(&queue->unannounced_since) >= QUEUE_BATCH_NS)
        queue_announce(queue);
    bool waiting = queue->unannounced != 0;
    pthread_mutex_unlock(&queue->push_lock);
    return waiting;
}

/*
 * Makes the slot's thread, whose last one is joined. Threads are born with every signal blocked
 * that can be; SIGBUS is the guest's own doing. pop_lock held.
 */
static int spawn(struct worker *worker)
{
    struct queue *queue = worker->queue;
    pthread_attr_t attr;
    sigset_t blocked;

    if (worker->state == WORKER_ENDED)
        pthread_join(worker->thread, NULL);
    worker->state = WORKER_NONE;
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
    if (rc) {
        log_limited(LOG_LEVEL_WARN, "queue %u: a thread cannot be made: %s", queue->index,
                    strerror(rc));
        return -rc;
    }
    worker->state = WORKER_ALIVE;
    queue->threads_alive++;
    queue->threads_starting++;
    return 0;
}

static bool take_from_pool(struct queue_context *context)
{
    unsigned left = atomic_load(&context->pool_left);

    while (left && !atomic_compare_exchange_weak(&context->pool_left, &left, left - 1))
        continue;
    return left;
}

/* pop_lock held. Makes a thread for a queue without a leader, unless there is one or one comes. */
static void add_thread(struct queue *queue)
{
    if (queue->followers || queue->threads_starting || queue->stopping)
        return;
    for (unsigned i = 0; i < queue->worker_slots; i++) {
        if (queue->workers[i].state == WORKER_ALIVE)
            continue;
        if (i && !take_from_pool(queue->context))
            return;
        if (spawn(&queue->workers[i]) < 0 && i)
            atomic_fetch_add(&queue->context->pool_left, 1);
        return;
    }
}

/* pop_lock held. The leader has been in one request for long: others go on. */
static void depose(struct queue *queue)
{
    struct worker *worker = queue->leader;

    fuse_thread_stuck(worker->fuse, true);
    worker->is_stuck = true;
    queue->leader = NULL;
    if (queue->followers)
        pthread_cond_signal(&queue->role_free);
}

/* Returns true when the leader was at work since the last look, or there is none. */
static bool watch_leader(struct queue *queue, bool all_may_wait)
{
    bool asleep = atomic_load(&queue->asleep);
    unsigned steps = atomic_load(&queue->steps);
    if (asleep || steps != queue->steps_seen)
        clock_gettime(CLOCK_MONOTONIC, &queue->seen);
    queue->steps_seen = steps;
    bool stuck = queue_ns_since(&queue->seen) >= QUEUE_WATCH_MS * 1000000;
    bool wanted = atomic_load(&queue->thread_wanted);

    if (queue->worker_slots == 1 || (!stuck && !wanted))
        return !asleep;
    if (pthread_mutex_trylock(&queue->pop_lock))
        return true;
    atomic_store(&queue->thread_wanted, false);
    if (queue->leader && stuck && !all_may_wait && !atomic_load(&queue->asleep) &&
        steps == atomic_load(&queue->steps))
        depose(queue);
    if (!queue->leader)
        add_thread(queue);
    pthread_mutex_unlock(&queue->pop_lock);
    return true;
}

bool queue_watch(struct queue *queue, bool all_may_wait)
{
    unsigned steps = queue->steps_seen;
    bool busy = watch_leader(queue, all_may_wait);
    bool waiting = watch_notifications(queue);

    return busy || waiting || steps != queue->steps_seen;
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

void queue_harm(struct queue *queue)
{
    static const uint64_t one = 1;

    atomic_store(&queue->harmed, true);
    if (write(queue->wake_fd, &one, sizeof(one)) < 0)
        log_debug("queue %u: cannot be woken: errno %d", queue->index, errno);
}

static void join_threads(struct queue *queue)
{
    for (unsigned i = 0; i < queue->worker_slots; i++) {
        pthread_mutex_lock(&queue->pop_lock);
        bool was_made = queue->workers[i].state != WORKER_NONE;
        pthread_mutex_unlock(&queue->pop_lock);
        if (was_made)
            pthread_join(queue->workers[i].thread, NULL);
    }
}

/* Makes the first thread, and waits until it has said how it is. */
static int start_thread(struct queue *queue)
{
    pthread_mutex_lock(&queue->pop_lock);
    int rc = spawn(&queue->workers[0]);
    while (queue->threads_starting)
        pthread_cond_wait(&queue->started, &queue->pop_lock);
    if (rc == 0 && queue->threads_failed)
        rc = -EAGAIN;
    pthread_mutex_unlock(&queue->pop_lock);
    if (rc < 0)
        join_threads(queue);
    return rc;
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
        queue_forget_chains(queue);
    /* What was taken from the ring shows that it was started. */
    if (queue->kept_count)
        queue->kicked = true;
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
    replace_fd(&queue->epoll_fd, -1);
    replace_fd(&queue->wake_fd, -1);
    replace_fd(&queue->ended_fd, -1);
    free(queue->workers);
    queue->workers = NULL;
    queue->worker_slots = 0;
    memmap_unref(queue->memory);
    queue->memory = NULL;
    queue->running = false;
}

/* What the leader sleeps on: a kick, and being told to look again. */
static int open_epoll(struct queue *queue)
{
    struct epoll_event wake = {.events = EPOLLIN, .data.fd = queue->wake_fd};
    struct epoll_event kick = {.events = EPOLLIN, .data.fd = queue->kick_fd};

    queue->kick_counts = file_type(queue->kick_fd) == 0;
    if (queue->kick_counts)
        kick.events |= EPOLLET;
    queue->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (queue->epoll_fd < 0 ||
        epoll_ctl(queue->epoll_fd, EPOLL_CTL_ADD, queue->wake_fd, &wake) < 0 ||
        epoll_ctl(queue->epoll_fd, EPOLL_CTL_ADD, queue->kick_fd, &kick) < 0)
        return -errno;
    return 0;
}

static int open_run(struct queue *queue, unsigned threads_max)
{
    queue->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    queue->ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (queue->wake_fd < 0 || queue->ended_fd < 0)
        return -errno;
    queue->workers = calloc(threads_max, sizeof(queue->workers[0]));
    if (!queue->workers)
        return -ENOMEM;
    queue->worker_slots = threads_max;
    for (unsigned i = 0; i < threads_max; i++) {
        queue->workers[i].queue = queue;
        queue->workers[i].number = i;
    }
    return open_epoll(queue);
}

int queue_start(struct queue *queue, struct memmap *memory, uint64_t features, unsigned threads_max)
{
    virtq_init(&queue->virtq, &queue->layout, features);
    virtq_set_window(&queue->virtq, queue->context->window);
    int rc = virtq_attach(&queue->virtq, memory);
    if (rc < 0)
        return rc;

    queue->memory = memmap_ref(memory);
    rc = open_run(queue, threads_max);
    if (rc < 0) {
        end_run(queue);
        return rc;
    }

    (void)guestfault_taken();
    virtq_begin(&queue->virtq, queue->avail_base);
    if (guestfault_taken()) {
        end_run(queue);
        return -EFAULT;
    }
    queue->leader = NULL;
    queue->stopping = false;
    queue->followers = 0;
    queue->threads_starting = 0;
    queue->threads_failed = 0;
    queue->threads_alive = 0;
    queue->unannounced = 0;
    queue->call_missed = false;
    atomic_store(&queue->harmed, false);
    atomic_store(&queue->driver_told, false);
    atomic_store(&queue->driver_untold, false);
    patience_start(&queue->patience);
    atomic_store(&queue->state, QUEUE_RUNNING);
    ring_up(queue);

    rc = start_thread(queue);
    if (rc < 0) {
        ring_down(queue);
        atomic_store(&queue->state, QUEUE_IDLE);
        end_run(queue);
        return rc;
    }
    queue->running = true;
    log_debug("queue %u runs: size %u, from %u", queue->index, queue->layout.size,
              queue->avail_base);
    return 0;
}

void queue_ask_stop(struct queue *queue)
{
    static const uint64_t one = 1;

    queue_lock_pop(queue);
    queue->stopping = true;
    pthread_cond_broadcast(&queue->role_free);
    pthread_mutex_unlock(&queue->pop_lock);
    if (write(queue->wake_fd, &one, sizeof(one)) < 0)
        log_debug("queue %u: cannot be woken: errno %d", queue->index, errno);
}

void queue_finish_stop(struct queue *queue)
{
    int expected = QUEUE_RUNNING;

    join_threads(queue);
    ring_down(queue);
    /* What was kicked before is told by the ring itself. */
    if (queue->kick_counts)
        queue_drain_kick(queue);
    queue->avail_base = queue->virtq.last_avail;
    queue->left_over = queue->kicked && atomic_load(&queue->state) == QUEUE_RUNNING &&
                       virtq_has_more(&queue->virtq);
    (void)guestfault_taken();
    if (atomic_load(&queue->state) == QUEUE_BROKEN)
        queue_forget_chains(queue);
    /* A broken one stays so until the front-end takes notice. */
    atomic_compare_exchange_strong(&queue->state, &expected, QUEUE_IDLE);
    end_run(queue);
    log_debug("queue %u stopped at %u", queue->index, queue->avail_base);
}

void queue_change_memory(struct queue *queue, struct memmap *memory)
{
    struct memmap *old = NULL;

    queue_lock_pop(queue);
    pthread_mutex_lock(&queue->push_lock);
    int rc = virtq_attach(&queue->virtq, memory);
    if (rc == 0) {
        old = queue->memory;
        queue->memory = memmap_ref(memory);
        deferred_change_memory(queue, memory);
        for (unsigned i = 0; i < queue->worker_slots; i++) {
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
