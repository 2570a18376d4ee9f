// SPDX-License-Identifier: BSD-3-Clause
/*
 * One queue's life: what the front-end told about its ring, the threads that serve it while it
 * runs, its three event descriptors.
 *
 * Owner: the device, which has an array of them. Only the control thread calls the functions
 * of this header, except where it says otherwise. Two locks, in this order:
 *
 *  pop_lock   the pop side of the virtqueue, who is leader, stopping, the kick descriptor.
 *  push_lock  the push side, the unannounced batch, the call descriptor.
 *
 * Neither is held across a call that may block. virtqueue and memory change only with both held.
 *
 * Leader and followers: one thread, the leader, sleeps on the kick descriptor and takes
 * chains. It runs request after request itself, without waking anybody, and hands the role on when
 * its own request is about to block; when it blocks unforeseen, the role is taken from it. Threads
 * are made when they are missed, and end when they are not. pop_lock is taken by
 * queue_lock_pop(), as the leader may be polling under it.
 */
#ifndef VIOFS_QUEUE_H
#define VIOFS_QUEUE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "fuse_server.h"
#include "memmap.h"
#include "patience.h"
#include "virtq.h"

/* Threads of one queue, at the most, whatever --thread-pool-size says. */
#define QUEUE_THREADS_MAX      64

/* A thread that had nothing to do for so long, while another one is leader, ends. */
#define QUEUE_FOLLOWER_SECONDS 5

/*
 * A notification costs as much as several small requests, so completions gather in a batch while
 * there is more to do. But a driver that is told late has nothing new in the ring when the last
 * request is done, and the two take turns, each idle while the other works. So it is told when what
 * is left would be done, at the pace of this batch, before it is awake: within QUEUE_WAKE_NS, or,
 * if that is more than QUEUE_WAKE_LEFT requests, within half of it, as a driver that is woken for a
 * few of many short ones has to be woken for the rest as well. No batch is announced with less than
 * QUEUE_BATCH_MIN in it before it is QUEUE_BATCH_NS old.
 *
 * When the next request takes its time, its thread cannot look: then the control thread does, every
 * QUEUE_WATCH_MS. It also takes the role away from a leader who has not got on for as long, so a
 * slow host call delays what comes behind it by 4 to 8 milliseconds. To look more often would take
 * it from one who only waits for a processor, and costs small requests a hundredth on a single one.
 */
#define QUEUE_BATCH_MIN        4
#define QUEUE_BATCH_NS         100000
#define QUEUE_WAKE_NS          30000
#define QUEUE_WAKE_LEFT        10
#define QUEUE_WATCH_MS         4

enum queue_state {
    QUEUE_IDLE,    /* no threads */
    QUEUE_RUNNING, /* threads serve the ring */
    QUEUE_BROKEN,  /* the ring broke the rules: its threads end, nothing in it is touched */
};

struct deferred;
struct queue;

enum worker_state {
    WORKER_NONE, /* a slot without a thread */
    WORKER_ALIVE,
    WORKER_ENDED, /* to be joined */
};

struct worker {
    struct queue *queue;
    unsigned number; /* its slot in the queue; all but 0 are of the pool */
    pthread_t thread;
    enum worker_state state; /* pop_lock */
    bool is_stuck;           /* pop_lock: the server was told so */
    bool owes;               /* its own: a notification was put off, or may have been */
    bool unsettled;          /* its own: it has run a request since it settled all */
    bool overdue;            /* its own: and so far it could not settle any of it */
    bool keeps_chain;        /* its own: the one in slot was interrupted, to be begun anew */
    struct fuse_thread *fuse;
    struct virtq_slot slot;

    /* Written by the worker with one of the locks held, by others with both. */
    struct memmap *chain_memory; /* what the running chain points into; NULL: no chain */
    bool chain_memory_held;      /* the queue went on to another snapshot: a reference is ours */
};

/* What a queue needs of the device; the same for all queues. */
struct queue_context {
    struct fuse_server *server;
    struct queue *hiprio;
    atomic_bool *needs_reset;          /* set when a ring breaks */
    atomic_bool watched;               /* the control thread looks after the queues */
    int watch_fd;                      /* an eventfd: wakes it to do so */
    atomic_uint pool_left;             /* threads of --thread-pool-size that may still be made */
    int64_t poll_ns;                   /* --poll-us */
    bool poll_always;                  /* not only while the driver is awake */
    const struct virtq_window *window; /* changes while no queue runs; NULL: none */
};

struct queue {
    unsigned index;
    struct queue_context *context;

    /* What the front-end configured. Control thread only. */
    struct virtq_layout layout;
    bool layout_size_set;
    bool layout_addresses_set;
    uint16_t avail_base;
    bool enabled;
    bool running; /* threads exist */
    /*
     * The ring is started: by a kick, or because it went on from where a ring stopped that had
     * chains left whose kick was consumed, in it or kept. Written by the leader (pop_lock) while
     * running.
     */
    bool kicked;
    bool left_over; /* at the last stop the ring had chains: not taken, or left there for later */
    unsigned worker_slots;

    /* Descriptors; -1: none. */
    int kick_fd;      /* changes only while no thread exists */
    bool kick_counts; /* it is an eventfd */
    int epoll_fd;     /* what the leader sleeps on. For one run of the queue */
    int call_fd;      /* push_lock */
    bool call_fd_nonblocking;
    int err_fd;   /* push_lock */
    int wake_fd;  /* readable: sleeping leader, look again. For one run of the queue */
    int ended_fd; /* readable: the last thread has left. For one run of the queue */

    pthread_mutex_t pop_lock;
    pthread_cond_t role_free; /* with pop_lock: followers wait here */
    pthread_cond_t started;   /* with pop_lock: queue_start() waits here */
    struct worker *leader;    /* NULL: none */
    bool stopping;
    unsigned followers;
    unsigned threads_starting; /* made, and not yet reported */
    unsigned threads_failed;   /* could not get what they need */
    unsigned threads_alive;
    atomic_uint pop_wanted; /* so many threads wait for pop_lock */

    /*
     * Heads of chains that threads kept when the ring stopped (worker.c). When it goes on they are
     * taken again before anything else, so threads and this list never have more chains than there
     * are threads. pop_lock, or no thread exists.
     */
    uint16_t kept[QUEUE_THREADS_MAX];
    unsigned kept_count;

    struct patience patience; /* of a leader who looks for requests. pop_lock */
    /* Of the hiprio queue. pop_lock, or written with it held */
    struct timespec woken; /* the leader, at the end of its last sleep without a timeout */
    bool busy;             /* and soon after the one before */
    atomic_bool naps;      /* the leader: others may help (hiprio.h), and use its slot */

    /* For the watch. Written with pop_lock held. */
    atomic_uint steps;         /* chains taken, sleeps ended */
    atomic_bool asleep;        /* the leader waits for a kick */
    unsigned steps_seen;       /* at the last look. Control thread only, as is the next */
    struct timespec seen;      /* when it was found to have got on */
    atomic_bool thread_wanted; /* a leader gave its role away, and nobody was there to take it */

    pthread_mutex_t push_lock;
    struct deferred *deferred;       /* chains that are answered later (deferred.h) */
    bool ring_up;                    /* the ring may be pushed to */
    struct virtq_layout last_layout; /* of the ring's last run. Control thread only */
    uint16_t last_base;              /* where it stopped */
    atomic_bool harmed;              /* somebody else has found guest memory taken away */
    bool call_missed;          /* a notification was wanted when there was no call descriptor */
    atomic_bool driver_told;   /* of something, since the leader last waited: a hint */
    atomic_bool driver_untold; /* the same: it did not want to be */
    unsigned unannounced;      /* completions since the last decision about a notification */
    struct timespec unannounced_since;

    atomic_int state; /* enum queue_state */
    struct memmap *memory;
    struct virtq virtq;
    struct worker *workers; /* worker_slots of them */
};

void queue_init(struct queue *queue, unsigned index, struct queue_context *context);

/* Closes all descriptors. The queue must not be running. */
void queue_free(struct queue *queue);

/*
 * Configuration. Each takes fd over (-1: none, polling), also on failure.
 * Kick descriptors must be eventfds, pipes or sockets, which can be polled in earnest: -EINVAL
 * for anything else; -EBUSY while the queue is running.
 */
int queue_set_kick(struct queue *queue, int fd);
int queue_set_call(struct queue *queue, int fd);
int queue_set_err(struct queue *queue, int fd);

/* True when the front-end has given all that a running queue needs, but for memory. */
bool queue_is_ready(const struct queue *queue);

/*
 * Starts a thread on the ring, which lies in memory (a reference is taken); up to threads_max
 * (1 to QUEUE_THREADS_MAX) there can be later. features: as negotiated. Returns 0 when the thread
 * serves; a negative errno otherwise, with everything as before the call.
 */
int queue_start(struct queue *queue, struct memmap *memory, uint64_t features,
                unsigned threads_max);

/* Tells the threads to end when they have answered their request, or left it. Does not wait. */
void queue_ask_stop(struct queue *queue);

/* After ended_fd became readable: joins the threads, keeps avail_base, lets go of memory. */
void queue_finish_stop(struct queue *queue);

/*
 * Moves a running queue to another snapshot, between two requests; those that run keep the old one
 * pinned until they are answered. A ring that is not in the new snapshot breaks the queue.
 */
void queue_change_memory(struct queue *queue, struct memmap *memory);

/*
 * Declares the ring broken: logs once, signals the error descriptor, ends the threads if there are
 * any. Called by the queue's own threads, or by the control thread; no lock held.
 */
void queue_break(struct queue *queue, const char *why);

/*
 * For those who are no thread of the queue, and may not break it, as it may stop any moment: its
 * leader is woken and does so. push_lock held, and the ring is up.
 */
void queue_harm(struct queue *queue);

/*
 * Looks after a running queue: makes a notification that has waited too long, and sees to it that
 * a leader who is stuck is one no longer (unless all_may_wait: the front-end keeps them waiting).
 * Returns true when something was going on: look again.
 */
bool queue_watch(struct queue *queue, bool all_may_wait);

/*
 * Nobody is left to be answered: drops what is deferred, and kept to be begun anew. No thread of
 * the queue exists.
 */
void queue_forget_chains(struct queue *queue);

/* For worker.c. push_lock held: tells the driver of what was given back, if it wants to know. */
void queue_announce(struct queue *queue);

/*
 * For worker.c: whether the driver should be told of a batch of so many completions, the first of
 * them age_ns old, behind (see virtq_behind()) chains being left to do.
 */
bool queue_batch_is_full(unsigned done, int64_t age_ns, unsigned behind);

/* pop_lock, which a leader that polls gives away when it is wanted, by queue_let_in(). */
void queue_lock_pop(struct queue *queue);
void queue_let_in(struct queue *queue);

/* For worker.c. pop_lock held: the leader has got on. */
static inline void queue_step(struct queue *queue)
{
    atomic_store(&queue->steps, atomic_load_explicit(&queue->steps, memory_order_relaxed) + 1);
}

/*
 * For worker.c. Takes one event from the kick descriptor, which was found readable. It is shared
 * with the front-end, so its flags are left alone and it may turn out empty. Returns false when it
 * will never be of use again.
 */
bool queue_drain_kick(struct queue *queue);

int64_t queue_ns_between(const struct timespec *start, const struct timespec *end);
int64_t queue_ns_since(const struct timespec *start);

#endif
