// SPDX-License-Identifier: BSD-3-Clause
/*
 * Requests that wait for a lock, and the thread that tries for all of them.
 *
 * The kernel would have a thread sleep for each. Here a wait is a record. When somebody of this
 * guest releases a lock on the file, its waits are tried at once, in the order in which they came.
 * When the host or another guest is in the way, nobody tells when it lets go: then a wait is tried
 * again and again, less often the longer it lasts. With nothing to try the thread sleeps.
 *
 * A wait belongs to the list, and only the thread takes it out: others cancel it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "host_io.h"
#include "lock_table.h"
#include "scope.h"
#include "server.h"

#define RETRY_MIN_NS     1000000   /* how soon to try again, */
#define RETRY_MAX_NS     50000000  /* and how late, when it lasts */
#define NEVER            INT64_MAX /* only when somebody releases a lock */
#define DEADLOCK_DEPTH   64        /* waits followed: a longer cycle is not found */
#define INTERRUPTS_EARLY 16        /* remembered for requests that come to wait later */

struct lock_wait {
    struct lock_wait *next, *previous;
    struct lock_request wanted;
    int fd; /* flock: a copy of the handle's, of the budget; -1: the owner's */
    uint64_t unique;
    struct fuse_deferral *deferral;
    uint64_t blocker; /* the owner that is in the way; 0: nobody of this guest */
    int64_t due;      /* when to try again, CLOCK_MONOTONIC in ns */
    int64_t pause;    /* how long to wait after the next try in vain */
    int cancelled;    /* what to answer instead of trying again; 0: nothing */
};

struct lock_waits {
    struct locks *locks;
    pthread_mutex_t lock; /* guards the list and what is in it, and all below */
    pthread_cond_t changed;
    pthread_cond_t finished; /* count is 0 */
    struct lock_wait *first, *last;
    _Atomic uint32_t count; /* listed, or being answered */
    bool running, stop;
    pthread_t thread;
    uint64_t interrupts[INTERRUPTS_EARLY]; /* uniques, the oldest is replaced */
    unsigned next_interrupt;
};

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

int lock_waits_new(struct locks *locks)
{
    struct lock_waits *waits = calloc(1, sizeof(*waits));
    if (!waits)
        return -ENOMEM;
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&waits->changed, &attributes);
    pthread_cond_init(&waits->finished, NULL);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&waits->lock, NULL);
    waits->locks = locks;
    locks->waits = waits;
    return 0;
}

void lock_waits_free(struct locks *locks)
{
    struct lock_waits *waits = locks->waits;
    if (waits->running) {
        pthread_mutex_lock(&waits->lock);
        waits->stop = true;
        pthread_cond_signal(&waits->changed);
        pthread_mutex_unlock(&waits->lock);
        pthread_join(waits->thread, NULL);
    }
    pthread_cond_destroy(&waits->changed);
    pthread_cond_destroy(&waits->finished);
    pthread_mutex_destroy(&waits->lock);
    free(waits);
}

/* --- the list; its lock is held ----------------------------------------------------------------
 */

static void append(struct lock_waits *waits, struct lock_wait *wait)
{
    wait->previous = waits->last;
    wait->next = NULL;
    *(waits->last ? &waits->last->next : &waits->first) = wait;
    waits->last = wait;
}

static void take_out(struct lock_waits *waits, struct lock_wait *wait)
{
    *(wait->previous ? &wait->previous->next : &waits->first) = wait->next;
    *(wait->next ? &wait->next->previous : &waits->last) = wait->previous;
}

static bool deadlock_locked(const struct lock_waits *waits, uint64_t owner, uint64_t blocker)
{
    for (unsigned depth = 0; blocker && depth < DEADLOCK_DEPTH; depth++) {
        if (blocker == owner)
            return true;
        const struct lock_wait *wait = waits->first;
        while (wait && (wait->wanted.flock || wait->wanted.owner != blocker))
            wait = wait->next;
        blocker = wait ? wait->blocker : 0;
    }
    return false;
}

/* The next one to try, the oldest first; NULL with when to look again. */
static struct lock_wait *next_due(struct lock_waits *waits, int64_t *ret_when)
{
    int64_t now = now_ns();
    *ret_when = NEVER;
    for (struct lock_wait *wait = waits->first; wait; wait = wait->next) {
        if (wait->cancelled || wait->due <= now)
            return wait;
        if (wait->due < *ret_when)
            *ret_when = wait->due;
    }
    return NULL;
}

static void cancel(struct lock_waits *waits, struct lock_wait *wait, int error)
{
    wait->cancelled = error;
    pthread_cond_signal(&waits->changed);
}

/* --- the thread --------------------------------------------------------------------------------
 */

/*
 * One try. The stripe is locked around it, as for everything that changes locks of the file, so
 * that a FLUSH or RELEASE is before it, and has cancelled the wait, or behind it.
 */
static int try(struct lock_waits *waits, struct lock_wait *wait, uint64_t *ret_blocker)
{
    struct locks *locks = waits->locks;
    struct lock_stripe *stripe = lock_stripe_of(locks, wait->wanted.nodeid);
    *ret_blocker = 0;
    pthread_mutex_lock(&stripe->lock);
    pthread_mutex_lock(&waits->lock);
    int error = wait->cancelled;
    pthread_mutex_unlock(&waits->lock);
    if (!error && wait->wanted.flock) {
        error = host_flock(wait->fd, wait->wanted.lock.type);
    } else if (!error) {
        uint32_t owner = lock_owner_find(locks, stripe, wait->wanted.nodeid, wait->wanted.owner);
        error = owner ? lock_apply(locks, stripe, owner, &wait->wanted, ret_blocker) : -EBADF;
    }
    pthread_mutex_unlock(&stripe->lock);
    return error;
}

/* The answer. Not under the lock: the device takes locks of its own, and may have to wait. */
static void finish(struct lock_waits *waits, struct lock_wait *wait, int error)
{
    struct fuse_out_header header = {.len = sizeof(header), .error = error, .unique = wait->unique};
    _Static_assert(sizeof(header) <= FUSE_DEFERRAL_REPLY_MAX, "a header fits");
    if (wait->fd >= 0) {
        close(wait->fd);
        fd_budget_give(&waits->locks->server->budget, NULL);
    }
    wait->deferral->finish(wait->deferral, &header, sizeof(header));
    /* A weaker lock than it had may be what another one waits for. */
    if (!error && wait->wanted.lock.type == F_RDLCK)
        lock_waits_wake(waits->locks, wait->wanted.nodeid);
    free(wait);
}

/* Called and left with the lock held, which is dropped meanwhile. */
static void try_and_see(struct lock_waits *waits, struct lock_wait *wait)
{
    uint64_t blocker;
    wait->due = NEVER; /* a release that comes while it is tried makes it due again */
    pthread_mutex_unlock(&waits->lock);
    int error = try(waits, wait, &blocker);
    pthread_mutex_lock(&waits->lock);
    if (error == -EAGAIN && wait->cancelled)
        error = wait->cancelled;
    if (error == -EAGAIN && blocker != wait->blocker &&
        deadlock_locked(waits, wait->wanted.owner, blocker))
        error = -EDEADLK;
    if (error == -EAGAIN) {
        wait->blocker = blocker;
        if (!blocker && wait->due == NEVER)
            wait->due = now_ns() + wait->pause;
        wait->pause = wait->pause * 2 < RETRY_MAX_NS ? wait->pause * 2 : RETRY_MAX_NS;
        return;
    }
    take_out(waits, wait);
    pthread_mutex_unlock(&waits->lock);
    finish(waits, wait, error);
    pthread_mutex_lock(&waits->lock);
    if (atomic_fetch_sub(&waits->count, 1) == 1)
        pthread_cond_broadcast(&waits->finished);
}

static void *waits_main(void *argument)
{
    struct lock_waits *waits = argument;
    pthread_setname_np(pthread_self(), "locks");
    pthread_mutex_lock(&waits->lock);
    while (!waits->stop) {
        int64_t when;
        struct lock_wait *wait = next_due(waits, &when);
        if (wait) {
            try_and_see(waits, wait);
        } else if (when == NEVER) {
            pthread_cond_wait(&waits->changed, &waits->lock);
        } else {
            struct timespec until = {.tv_sec = when / 1000000000, .tv_nsec = when % 1000000000};
            pthread_cond_timedwait(&waits->changed, &waits->lock, &until);
        }
    }
    pthread_mutex_unlock(&waits->lock);
    return NULL;
}

/* The first wait starts it: most guests never wait. It is sealed as the thread that starts it is.
 */
static int start_thread(struct lock_waits *waits)
{
    if (waits->running)
        return 0;
    int error = -pthread_create(&waits->thread, NULL, waits_main, waits);
    waits->running = !error;
    return error;
}

/* --- what others ask for -----------------------------------------------------------------------
 */

static bool was_interrupted(struct lock_waits *waits, uint64_t unique)
{
    for (unsigned i = 0; i < INTERRUPTS_EARLY; i++) {
        if (waits->interrupts[i] == unique) {
            waits->interrupts[i] = 0;
            return true;
        }
    }
    return false;
}

/* The waits' lock is held. Takes the request away from its thread as the last thing. */
static int add_locked(struct lock_waits *waits, struct fuse_req *req, struct lock_wait *wait)
{
    const struct fuse_thread_hooks *hooks = &req->thread->hooks;
    if (was_interrupted(waits, wait->unique))
        return -EINTR;
    if (atomic_load(&waits->count) >= LOCK_WAITS_MAX)
        return -ENOLCK;
    if (!wait->wanted.flock && deadlock_locked(waits, wait->wanted.owner, wait->blocker))
        return -EDEADLK;
    int error = start_thread(waits);
    if (error)
        return -ENOLCK;
    wait->deferral = hooks->defer(hooks->argument, req->out.header, req->out.header_count);
    if (!wait->deferral)
        return -ENOMEM;
    append(waits, wait);
    atomic_fetch_add(&waits->count, 1);
    pthread_cond_signal(&waits->changed);
    return -REQ_DEFERRED;
}

int lock_waits_add(struct fuse_req *req, const struct handle *handle,
                   const struct lock_request *wanted, uint64_t blocker)
{
    struct lock_waits *waits = req->server->locks->waits;
    if (!req->thread->hooks.defer)
        return -ENOLCK;
    autofree struct lock_wait *wait = calloc(1, sizeof(*wait));
    if (!wait)
        return -ENOMEM;
    *wait = (struct lock_wait){
        .wanted = *wanted,
        .fd = -1,
        .unique = req->header.unique,
        .blocker = blocker,
        .due = blocker ? NEVER : now_ns() + RETRY_MIN_NS,
        .pause = RETRY_MIN_NS,
    };
    int error = 0;
    if (wanted->flock) {
        error = inode_budget_take(req->server, NULL);
        if (!error) {
            error = host_duplicate(handle->fd, &wait->fd);
            if (error)
                fd_budget_give(&req->server->budget, NULL);
        }
    }
    if (error)
        return error;
    pthread_mutex_lock(&waits->lock);
    error = add_locked(waits, req, wait);
    pthread_mutex_unlock(&waits->lock);
    if (error == -REQ_DEFERRED) {
        (void)steal_ptr(wait);
    } else if (wait->fd >= 0) {
        close(wait->fd);
        fd_budget_give(&req->server->budget, NULL);
    }
    return error;
}

void lock_waits_wake(struct locks *locks, uint64_t nodeid)
{
    struct lock_waits *waits = locks->waits;
    if (!atomic_load(&waits->count))
        return;
    pthread_mutex_lock(&waits->lock);
    for (struct lock_wait *wait = waits->first; wait; wait = wait->next) {
        if (wait->wanted.nodeid == nodeid)
            wait->due = 0;
    }
    pthread_cond_signal(&waits->changed);
    pthread_mutex_unlock(&waits->lock);
}

bool lock_waits_cancel(struct locks *locks, uint64_t nodeid, uint64_t fh, uint64_t owner, int error)
{
    struct lock_waits *waits = locks->waits;
    bool others = false;
    if (!atomic_load(&waits->count))
        return false;
    pthread_mutex_lock(&waits->lock);
    for (struct lock_wait *wait = waits->first; wait; wait = wait->next) {
        const struct lock_request *wanted = &wait->wanted;
        if (wanted->nodeid != nodeid || (owner && (wanted->flock || wanted->owner != owner)))
            continue;
        if (wanted->fh == fh)
            cancel(waits, wait, error);
        else
            others = true;
    }
    pthread_mutex_unlock(&waits->lock);
    return others;
}

void locks_interrupt(struct locks *locks, uint64_t unique)
{
    struct lock_waits *waits = locks->waits;
    pthread_mutex_lock(&waits->lock);
    struct lock_wait *wait = waits->first;
    while (wait && wait->unique != unique)
        wait = wait->next;
    if (wait)
        cancel(waits, wait, -EINTR);
    else
        waits->interrupts[waits->next_interrupt++ % INTERRUPTS_EARLY] = unique;
    pthread_mutex_unlock(&waits->lock);
}

/* Nobody in the guest waits for the answer any more, or it is for a session that is over. */
void lock_waits_end(struct locks *locks)
{
    struct lock_waits *waits = locks->waits;
    pthread_mutex_lock(&waits->lock);
    for (struct lock_wait *wait = waits->first; wait; wait = wait->next)
        cancel(waits, wait, -EIO);
    while (atomic_load(&waits->count))
        pthread_cond_wait(&waits->finished, &waits->lock);
    for (unsigned i = 0; i < INTERRUPTS_EARLY; i++)
        waits->interrupts[i] = 0;
    pthread_mutex_unlock(&waits->lock);
}
