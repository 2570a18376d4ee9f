// SPDX-License-Identifier: BSD-3-Clause
#include "worker.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/epoll.h>
#if __has_include(<sys/rseq.h>)
#include <sys/rseq.h>
#endif
#include <time.h>
#include <unistd.h>

#include "bare_call.h"
#include "deferred.h"
#include "guestfault.h"
#include "hiprio.h"
#include "log.h"

/* Looks at the ring between two looks at the clock: about a microsecond. */
#define POLL_LOOKS       32

/* How long FORGETs gather, and how soon after the last one a kick must come for that. */
#define HIPRIO_NAP_MS    1
#define BUSY_NS          (2 * 1000000)

/* Of struct rseq, when it was made (include/uapi/linux/rseq.h). */
#define RSEQ_SIZE_MIN    32

/* How long a request that was interrupted for the sake of another queue is left alone. */
#define RESTART_PAUSE_MS 1

static bool is_broken(struct queue *queue)
{
    return atomic_load_explicit(&queue->state, memory_order_relaxed) == QUEUE_BROKEN;
}

/* pop_lock held. The queue has no leader until a follower has taken over, or this thread again. */
static void give_up_role(struct queue *queue)
{
    queue->leader = NULL;
    if (queue->followers)
        pthread_cond_signal(&queue->role_free);
}

static void wake_watch(struct queue_context *context)
{
    static const uint64_t one = 1;

    if (write(context->watch_fd, &one, sizeof(one)) < 0)
        log_debug("the control thread cannot be woken: errno %d", errno);
}

/* The queue has no leader, and no follower to become one. */
static void ask_for_thread(struct queue *queue)
{
    if (!atomic_exchange(&queue->thread_wanted, true))
        wake_watch(queue->context);
}

/* Tells the processor that this is a loop that waits. */
static inline void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* The batch is over for this thread: what is done is shown. push_lock not held. */
static void announce(struct queue *queue)
{
    pthread_mutex_lock(&queue->push_lock);
    if (!is_broken(queue))
        queue_announce(queue);
    pthread_mutex_unlock(&queue->push_lock);
}

/* The file system's hook: the running request may take long. */
static void request_may_wait(void *argument)
{
    struct worker *worker = argument;

    announce(worker->queue);
}

/*
 * The file system's hook: the running request is about to block. Whoever is at hand goes on with
 * what comes meanwhile. If nobody is, a thread is asked for, which will find no leader; so will
 * this one, if it is quicker.
 */
static void request_may_block(void *argument)
{
    struct worker *worker = argument;
    struct queue *queue = worker->queue;

    announce(queue);
    if (queue->worker_slots == 1)
        return;
    queue_lock_pop(queue);
    bool leads = queue->leader == worker;
    bool wanted = leads && !queue->followers;
    if (leads)
        give_up_role(queue);
    pthread_mutex_unlock(&queue->pop_lock);
    if (wanted)
        ask_for_thread(queue);
}

/* The file system's hook: the running request is answered later. */
static struct fuse_deferral *defer_request(void *argument, const struct iovec *pieces,
                                           unsigned count)
{
    struct deferred *deferred = deferred_take(argument, pieces, count);
    return deferred ? &deferred->deferral : NULL;
}

/*
 * Sleeps until a kick or a wake-up, or the timeout (milliseconds, -1: none). The leader calls, no
 * lock held. Returns true on a kick.
 *
 * An eventfd is watched edge-triggered and never read while the ring runs: each kick wakes,
 * whatever has gathered in the counter. That saves a system call per sleep.
 */
static bool sleep_for_kick(struct queue *queue, int timeout_ms)
{
    struct epoll_event event;

    if (bare_epoll_wait(queue->epoll_fd, &event, 1, timeout_ms) <= 0 ||
        event.data.fd != queue->kick_fd)
        return false;
    if (queue->kick_counts || queue_drain_kick(queue))
        return true;
    log_limited(LOG_LEVEL_WARN, "queue %u: the kick descriptor is at its end", queue->index);
    epoll_ctl(queue->epoll_fd, EPOLL_CTL_DEL, queue->kick_fd, NULL);
    return false;
}

/*
 * Looks at the ring for a while. pop_lock is held, and let go of when somebody else wants it.
 * Returns true when the ring has something, or may have.
 */
static bool poll_ring(struct queue *queue)
{
    struct timespec start;

    clock_gettime(CLOCK_MONOTONIC, &start);
    do {
        for (unsigned i = 0; i < POLL_LOOKS; i++) {
            if (virtq_has_more(&queue->virtq) || atomic_load(&queue->pop_wanted))
                return true;
            cpu_relax();
        }
    } while (queue_ns_since(&start) < queue->context->poll_ns);
    return false;
}

/*
 * Before kicks are asked for: whether the ring has something, or may have. A driver that did not
 * want to be told of what was done since the leader last waited is awake: it looks for replies, and
 * will ask again soon. So the leader looks as well, instead of sleeping and being woken, which on a
 * virtual machine takes longer than most requests. A driver that has to be woken first is away for
 * longer: that would take a processor's time for nothing, and is done only when asked for.
 */
static bool look_for_work(struct queue *queue, bool driver_awake)
{
    const struct queue_context *context = queue->context;

    if (!context->poll_ns)
        return false;
    if (context->poll_always)
        return poll_ring(queue);
    if (!driver_awake || !patience_asks(&queue->patience))
        return false;
    bool found = poll_ring(queue);
    if (!atomic_load(&queue->pop_wanted))
        patience_learns(&queue->patience, found ? LOOK_FOUND : LOOK_IN_VAIN);
    return found;
}

/* The same with pop_lock held, which is let go of meanwhile. */
static bool sleep_as_leader(struct queue *queue, int timeout_ms)
{
    atomic_store(&queue->asleep, true);
    pthread_mutex_unlock(&queue->pop_lock);
    bool kicked = sleep_for_kick(queue, timeout_ms);
    queue_lock_pop(queue);
    queue_step(queue);
    atomic_store(&queue->asleep, false);
    return kicked;
}

/* For let_gather(): when the leader was woken, and whether that was soon. pop_lock held. */
static void note_wake(struct queue *queue)
{
    struct timespec before = queue->woken;

    clock_gettime(CLOCK_MONOTONIC, &queue->woken);
    queue->busy = queue_ns_between(&before, &queue->woken) < BUSY_NS;
}

/*
 * If FORGETs come often, they gather while the leader of the hiprio queue naps (hiprio.h). Returns
 * true when there was, or is, something in the ring.
 */
static bool let_gather(struct worker *worker)
{
    struct queue *queue = worker->queue;
    uint16_t before = queue->virtq.last_avail;

    if (!queue->busy)
        return false;
    atomic_store(&queue->naps, true);
    sleep_as_leader(queue, HIPRIO_NAP_MS);
    atomic_store(&queue->naps, false);
    worker->owes = true; /* what others may have given back */
    return queue->virtq.last_avail != before || virtq_has_more(&queue->virtq);
}

/* Whether the driver, since the last call, was awake whenever there was something to tell it. */
static bool was_awake(struct queue *queue)
{
    bool untold = atomic_load_explicit(&queue->driver_untold, memory_order_relaxed);
    bool told = atomic_load_explicit(&queue->driver_told, memory_order_relaxed);

    atomic_store_explicit(&queue->driver_untold, false, memory_order_relaxed);
    atomic_store_explicit(&queue->driver_told, false, memory_order_relaxed);
    return untold && !told;
}

/*
 * Waits for work as the leader, so many milliseconds at most (-1: no limit). Called and left with
 * pop_lock held, which is dropped while sleeping. Returns true when the ring may have something,
 * false when the time is over or the queue stops.
 */
static bool wait_for_work(struct worker *worker, int timeout_ms)
{
    struct queue *queue = worker->queue;

    if (worker->owes)
        announce(queue);
    worker->owes = false;
    bool awake = was_awake(queue);

    bool looks_again =
        queue->kicked && (queue->index ? look_for_work(queue, awake) : let_gather(worker));
    if (looks_again || (virtq_arm_kicks(&queue->virtq) && queue->kicked)) {
        if (atomic_load(&queue->pop_wanted))
            queue_let_in(queue);
        return true;
    }

    bool kicked = sleep_as_leader(queue, timeout_ms);
    if (queue->index == 0)
        note_wake(queue);
    if (kicked)
        queue->kicked = true;
    return kicked;
}

/*
 * This thread goes on with a request that may take any time: the control thread has an eye on it,
 * and on completions that nobody was told of. Costs a system call only when it sleeps.
 */
static void ask_for_watch(struct queue_context *context)
{
    if (!atomic_load(&context->watched) && !atomic_exchange(&context->watched, true))
        wake_watch(context);
}

/* Waits as a follower, pop_lock held. Returns false when nothing was to do for a long time. */
static bool wait_for_role(struct queue *queue)
{
    struct timespec until;

    announce(queue);
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += QUEUE_FOLLOWER_SECONDS;
    queue->followers++;
    int rc = pthread_cond_timedwait(&queue->role_free, &queue->pop_lock, &until);
    queue->followers--;
    return rc != ETIMEDOUT || !queue->leader;
}

/* pop_lock held. The worker has no request any more. */
static void got_on(struct worker *worker)
{
    if (worker->is_stuck)
        fuse_thread_stuck(worker->fuse, false);
    worker->is_stuck = false;
}

static bool has_to_settle(const struct worker *worker)
{
    return worker->unsettled && fuse_thread_owes(worker->fuse);
}

/*
 * Before this thread waits for work: releases what requests have given up; all: and what was put
 * off. pop_lock is held, and let go of meanwhile: if it takes long, another thread of the pool
 * becomes the leader.
 */
static void settle_first(struct worker *worker, bool all)
{
    struct queue *queue = worker->queue;

    pthread_mutex_unlock(&queue->pop_lock);
    announce(queue);
    worker->owes = false;
    worker->unsettled = false;
    worker->overdue = false;
    fuse_thread_settle(worker->fuse, all);
    queue_lock_pop(queue);
    if (queue->leader == worker)
        queue_step(queue);
    got_on(worker);
}

/* What taking a chain has come to, now that the ring may have been taken away under it. */
static int take_result(struct queue *queue, int rc)
{
    if (guestfault_taken())
        queue->virtq.fault = "its ring was taken away";
    else if (atomic_load_explicit(&queue->harmed, memory_order_relaxed))
        queue->virtq.fault = "guest memory was taken away";
    else
        return rc;
    return -EFAULT;
}

/*
 * pop_lock held, and the queue does not stop. Takes the chain again that this thread has kept, or
 * one that a thread kept when the ring stopped. Returns 0 when there is none, or as virtq_retake().
 */
static int retake_chain(struct worker *worker)
{
    struct queue *queue = worker->queue;
    uint16_t head = worker->slot.head;

    if (!worker->keeps_chain && !queue->kept_count)
        return 0;
    if (!worker->keeps_chain)
        head = queue->kept[--queue->kept_count];
    worker->keeps_chain = false;
    return virtq_retake(&queue->virtq, &worker->slot, head);
}

/*
 * Becomes leader and takes a chain, or takes one again, which is no business of the leader's.
 * Returns 1 with a chain, 0 when the queue stops or has no use for this thread, or a negative errno
 * when the ring is broken.
 */
static int take_chain(struct worker *worker)
{
    struct queue *queue = worker->queue;
    int rc = 0;

    queue_lock_pop(queue);
    got_on(worker);
    while (!queue->stopping) {
        rc = take_result(queue, retake_chain(worker));
        if (rc)
            break;
        if (queue->leader && queue->leader != worker) {
            if (has_to_settle(worker) || fuse_thread_puts_off(worker->fuse)) {
                settle_first(worker, true);
                continue;
            }
            if (wait_for_role(queue))
                continue;
            break;
        }
        if (!queue->leader) {
            queue_step(queue);        /* what the last leader was stuck in is not this one's */
            worker->unsettled = true; /* but it may have had to settle */
            queue->leader = worker;
        }
        rc = queue->kicked ? virtq_pop(&queue->virtq, &worker->slot) : 0;
        rc = take_result(queue, rc);
        if (rc)
            break;
        if (has_to_settle(worker)) {
            settle_first(worker, false);
            continue;
        }
        bool puts_off = fuse_thread_puts_off(worker->fuse);
        bool came = wait_for_work(worker, puts_off ? FUSE_PUT_OFF_MS : -1);
        if (came)
            virtq_expect(&queue->virtq, &worker->slot);
        if (puts_off && !came)
            settle_first(worker, true);
    }
    if (worker->keeps_chain)
        queue->kept[queue->kept_count++] = worker->slot.head;
    if (rc > 0) {
        if (queue->leader == worker) {
            queue_step(queue);
            virtq_disarm_kicks(&queue->virtq);
        }
        worker->chain_memory = queue->memory;
        if (worker->owes || queue->worker_slots > 1)
            ask_for_watch(queue->context);
    }
    bool wanted = rc > 0 && !queue->leader && !queue->followers;
    pthread_mutex_unlock(&queue->pop_lock);
    if (wanted)
        ask_for_thread(queue);
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

/* push_lock held. Whether the batch is full, behind chains being left to do. */
static bool is_full(const struct queue *queue, unsigned behind)
{
    int64_t age_ns = queue_ns_since(&queue->unannounced_since);

    return queue_batch_is_full(queue->unannounced, age_ns, behind);
}

/*
 * Gives the chain back and lets go of its memory. Decides whether the batch is full: also when
 * nothing is left in the ring, which is most often the end of it, and costs no look at the clock.
 */
static void give_back(struct worker *worker, size_t length)
{
    struct queue *queue = worker->queue;

    pthread_mutex_lock(&queue->push_lock);
    if (!is_broken(queue)) {
        virtq_push(&queue->virtq, worker->slot.head, (uint32_t)length);
        bool first = queue->unannounced++ == 0;
        unsigned behind = virtq_behind(&queue->virtq, &worker->slot);
        /* Others have announced the last ones, and may go on doing so. */
        bool overdue = first && worker->overdue && fuse_thread_owes(worker->fuse);
        if (behind == 0 || overdue || (!first && is_full(queue, behind)))
            queue_announce(queue);
        else if (first)
            clock_gettime(CLOCK_MONOTONIC, &queue->unannounced_since);
        worker->owes = queue->unannounced != 0;
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
 * Leaves the chain for later: a stop has interrupted the request, and it can be begun anew. As long
 * as this thread is the leader nobody has taken anything behind the chain, and it can stay in the
 * ring: if that stops, it goes on with the chain when it runs again, here or elsewhere. A chain
 * whose thread does not lead any more is kept: if the ring does not go on here, it is never
 * answered. If it is another ring that stops, this thread comes back to the chain in a moment.
 */
static void leave_for_later(struct worker *worker)
{
    struct queue *queue = worker->queue;
    struct pollfd wake = {.fd = queue->wake_fd, .events = POLLIN};

    queue_lock_pop(queue);
    worker->keeps_chain = queue->leader != worker;
    if (!worker->keeps_chain)
        virtq_unpop(&queue->virtq);
    pthread_mutex_lock(&queue->push_lock);
    struct memmap *held = release_memory(worker);
    pthread_mutex_unlock(&queue->push_lock);
    pthread_mutex_unlock(&queue->pop_lock);
    memmap_unref(held);
    announce(queue);
    poll(&wake, 1, RESTART_PAUSE_MS);
}

/*
 * Between two requests, unless some reply would wait for it: does what nobody waits for, and
 * releases what has to be.
 */
static void settle(struct worker *worker)
{
    worker->unsettled = true;
    worker->overdue = worker->owes;
    if (worker->owes)
        return;
    if (hiprio_wants_help(worker->queue))
        hiprio_help(worker->queue->context->hiprio, worker->fuse);
    if (fuse_thread_owes(worker->fuse) || fuse_thread_puts_off(worker->fuse))
        fuse_thread_settle(worker->fuse, false);
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
            leave_for_later(worker);
        else if (length == FUSE_SERVER_DEFERRED)
            let_go(worker);
        else
            give_back(worker, length);
        if (guestfault_taken())
            queue_break(queue, "its ring was taken away");
        settle(worker);
        if (is_broken(queue))
            return;
    }
}

/* Tells queue_start(), or the watch, how it went; failed threads leave at once. */
static bool report(struct worker *worker, bool ready)
{
    struct queue *queue = worker->queue;

    queue_lock_pop(queue);
    queue->threads_starting--;
    if (!ready)
        queue->threads_failed++;
    pthread_cond_signal(&queue->started);
    pthread_mutex_unlock(&queue->pop_lock);
    return ready;
}

/*
 * Whenever a thread comes back from a sleep, the kernel notes for it on which processor: 3% of a
 * small request. The C library has asked for that, for sched_getcpu(), which nobody calls here. The
 * size must be what it has registered, which is never less than that of the first version.
 */
static void do_without_rseq(void)
{
#ifdef RSEQ_SIG
    char *area = (char *)__builtin_thread_pointer() + __rseq_offset;
    unsigned size = __rseq_size < RSEQ_SIZE_MIN ? RSEQ_SIZE_MIN : __rseq_size;

    if (__rseq_size && syscall(SYS_rseq, area, size, RSEQ_FLAG_UNREGISTER, RSEQ_SIG) < 0)
        log_debug("rseq cannot be done without: errno %d", errno);
#endif
}

static bool prepare(struct worker *worker)
{
    struct queue *queue = worker->queue;
    struct fuse_thread_hooks hooks = {.may_wait = request_may_wait,
                                      .may_block = request_may_block,
                                      .defer = defer_request,
                                      .argument = worker};
    char name[16];

    snprintf(name, sizeof(name), "queue%u/%u", queue->index % 1000, worker->number % 1000);
    pthread_setname_np(pthread_self(), name);
    do_without_rseq();
    if (virtq_slot_init(&worker->slot, queue->layout.size) < 0)
        return false;
    if (fuse_thread_new(queue->context->server, &hooks, &worker->fuse) == 0)
        return true;
    virtq_slot_free(&worker->slot);
    return false;
}

/* From here on the watch has nothing to do with this worker. */
static void stand_down(struct worker *worker)
{
    struct queue *queue = worker->queue;

    queue_lock_pop(queue);
    if (queue->leader == worker)
        give_up_role(queue);
    got_on(worker);
    pthread_mutex_unlock(&queue->pop_lock);
}

/* The last thread that leaves says so. */
static void leave(struct worker *worker)
{
    static const uint64_t one = 1;
    struct queue *queue = worker->queue;

    queue_lock_pop(queue);
    worker->state = WORKER_ENDED;
    if (worker->number)
        atomic_fetch_add(&queue->context->pool_left, 1);
    if (--queue->threads_alive == 0 && write(queue->ended_fd, &one, sizeof(one)) < 0)
        log_error("queue %u: its end cannot be told: errno %d", queue->index, errno);
    pthread_mutex_unlock(&queue->pop_lock);
}

void *worker_main(void *argument)
{
    struct worker *worker = argument;

    if (report(worker, prepare(worker))) {
        serve(worker);
        stand_down(worker);
        fuse_thread_free(worker->fuse);
        virtq_slot_free(&worker->slot);
    }
    leave(worker);
    return NULL;
}
