// SPDX-License-Identifier: BSD-3-Clause
/* Owners of record locks and what they hold, in step with the host. */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "host_path.h"
#include "lock_table.h"
#include "scope.h"
#include "server.h"

/* A new lock, and the second half of an old one that it falls into. */
#define RANGES_PER_CALL 2

size_t locks_arena_size(void)
{
    return LOCK_OWNERS_MAX * sizeof(struct lock_owner) +
           LOCK_RANGES_MAX * sizeof(struct lock_range);
}

int locks_new(struct fuse_server *server, struct locks **ret_locks)
{
    struct locks *locks = calloc(1, sizeof(*locks));
    if (!locks)
        return -ENOMEM;
    locks->server = server;
    locks->high_owner = locks->high_range = 1;
    pthread_mutex_init(&locks->slab_lock, NULL);
    for (unsigned i = 0; i < LOCK_STRIPES; i++)
        pthread_mutex_init(&locks->stripes[i].lock, NULL);
    locks->owners = arena_take(server->arena, LOCK_OWNERS_MAX * sizeof(struct lock_owner));
    locks->ranges = arena_take(server->arena, LOCK_RANGES_MAX * sizeof(struct lock_range));
    int error = locks->owners && locks->ranges ? lock_waits_new(locks) : -ENOMEM;
    if (error) {
        free(locks);
        return error;
    }
    *ret_locks = locks;
    return 0;
}

void locks_free(struct locks *locks)
{
    if (!locks)
        return;
    lock_waits_free(locks);
    free(locks);
}

struct lock_stripe *lock_stripe_of(struct locks *locks, uint64_t nodeid)
{
    uint64_t hash = nodeid * 0x9e3779b97f4a7c15ULL;
    return &locks->stripes[hash >> 32 & (LOCK_STRIPES - 1)];
}

/* --- slabs -------------------------------------------------------------------------------------
 */

static uint32_t take_owner(struct locks *locks)
{
    pthread_mutex_lock(&locks->slab_lock);
    uint32_t index = locks->free_owner;
    if (index)
        locks->free_owner = locks->owners[index].next;
    else if (locks->high_owner < LOCK_OWNERS_MAX)
        index = locks->high_owner++;
    pthread_mutex_unlock(&locks->slab_lock);
    if (index)
        atomic_fetch_add(&locks->owner_count, 1);
    return index;
}

static void give_owner(struct locks *locks, uint32_t index)
{
    pthread_mutex_lock(&locks->slab_lock);
    locks->owners[index].next = locks->free_owner;
    locks->free_owner = index;
    pthread_mutex_unlock(&locks->slab_lock);
    atomic_fetch_sub(&locks->owner_count, 1);
}

static uint32_t take_range_locked(struct locks *locks)
{
    uint32_t index = locks->free_range;
    if (index)
        locks->free_range = locks->ranges[index].next;
    else if (locks->high_range < LOCK_RANGES_MAX)
        index = locks->high_range++;
    return index;
}

/* Gives a chain of ranges back. */
static void give_ranges(struct locks *locks, uint32_t chain)
{
    pthread_mutex_lock(&locks->slab_lock);
    while (chain) {
        uint32_t next = locks->ranges[chain].next;
        locks->ranges[chain].next = locks->free_range;
        locks->free_range = chain;
        chain = next;
    }
    pthread_mutex_unlock(&locks->slab_lock);
}

/* As many as a change may need, as a chain: nothing can fail once the host has agreed. */
static int take_spare(struct locks *locks, uint32_t *ret_chain)
{
    uint32_t chain = 0;
    unsigned taken = 0;
    pthread_mutex_lock(&locks->slab_lock);
    for (; taken < RANGES_PER_CALL; taken++) {
        uint32_t index = take_range_locked(locks);
        if (!index)
            break;
        locks->ranges[index].next = chain;
        chain = index;
    }
    pthread_mutex_unlock(&locks->slab_lock);
    if (taken < RANGES_PER_CALL) {
        give_ranges(locks, chain);
        return -ENOLCK;
    }
    *ret_chain = chain;
    return 0;
}

/* --- ranges ------------------------------------------------------------------------------------
 */

static uint32_t pop(struct locks *locks, uint32_t *chain)
{
    uint32_t index = *chain;
    *chain = locks->ranges[index].next;
    return index;
}

static void push(struct locks *locks, uint32_t *chain, uint32_t index)
{
    locks->ranges[index].next = *chain;
    *chain = index;
}

static bool overlap(const struct host_lock *a, const struct host_lock *b)
{
    return a->start <= b->end && b->start <= a->end;
}

/* Whether b begins right behind a, or inside of it. */
static bool reaches(const struct host_lock *a, const struct host_lock *b)
{
    return a->end == HOST_LOCK_END || b->start <= a->end + 1;
}

/*
 * Cuts [lock.start, lock.end] out of an owner's chain, which is sorted. What is left of the ranges
 * at its ends stays. spare: a chain to take from and give to.
 */
static void cut_out(struct locks *locks, uint32_t *chain, const struct host_lock *lock,
                    uint32_t *spare)
{
    uint32_t *link = chain;
    while (*link) {
        struct lock_range *range = &locks->ranges[*link];
        if (!overlap(&range->lock, lock)) {
            link = &range->next;
            continue;
        }
        bool before = range->lock.start < lock->start;
        bool behind = range->lock.end > lock->end;
        if (before && behind) {
            uint32_t second = pop(locks, spare);
            locks->ranges[second] = *range;
            locks->ranges[second].lock.start = lock->end + 1;
            range->lock.end = lock->start - 1;
            push(locks, &range->next, second);
            return;
        }
        if (before)
            range->lock.end = lock->start - 1;
        else if (behind)
            range->lock.start = lock->end + 1;
        else {
            push(locks, spare, pop(locks, link));
            continue;
        }
        link = &range->next;
    }
}

/* Notes that the owner has set a lock, or released it: as the kernel joins and splits them. */
static void note(struct locks *locks, struct lock_owner *owner, const struct lock_request *set,
                 uint32_t *spare)
{
    cut_out(locks, &owner->ranges, &set->lock, spare);
    if (set->lock.type == F_UNLCK)
        return;
    uint32_t *link = &owner->ranges;
    struct lock_range *before = NULL;
    while (*link && locks->ranges[*link].lock.start < set->lock.start) {
        before = &locks->ranges[*link];
        link = &before->next;
    }
    uint32_t index = pop(locks, spare);
    struct lock_range *range = &locks->ranges[index];
    range->lock = set->lock;
    range->pid = set->pid;
    push(locks, link, index);
    if (range->next) {
        struct lock_range *behind = &locks->ranges[range->next];
        if (behind->lock.type == range->lock.type && reaches(&range->lock, &behind->lock)) {
            range->lock.end = behind->lock.end;
            push(locks, spare, pop(locks, &range->next));
        }
    }
    if (before && before->lock.type == range->lock.type && reaches(&before->lock, &range->lock)) {
        before->lock.end = range->lock.end;
        push(locks, spare, pop(locks, link));
    }
}

/* A range of somebody of this guest that is in the way. 0: there is none. */
static uint32_t find_conflict(const struct locks *locks, const struct lock_stripe *stripe,
                              const struct lock_request *wanted, uint64_t *ret_owner)
{
    for (uint32_t i = stripe->owners; i; i = locks->owners[i].next) {
        const struct lock_owner *owner = &locks->owners[i];
        if (owner->nodeid != wanted->nodeid || owner->owner == wanted->owner)
            continue;
        for (uint32_t r = owner->ranges; r; r = locks->ranges[r].next) {
            const struct host_lock *held = &locks->ranges[r].lock;
            bool excludes = held->type == F_WRLCK || wanted->lock.type == F_WRLCK;
            if (excludes && overlap(held, &wanted->lock)) {
                *ret_owner = owner->owner;
                return r;
            }
        }
    }
    return 0;
}

/* --- owners ------------------------------------------------------------------------------------
 */

uint32_t lock_owner_find(const struct locks *locks, const struct lock_stripe *stripe,
                         uint64_t nodeid, uint64_t owner)
{
    for (uint32_t i = stripe->owners; i; i = locks->owners[i].next) {
        if (locks->owners[i].nodeid == nodeid && locks->owners[i].owner == owner)
            return i;
    }
    return 0;
}

/*
 * An open file of the owner's own, by way of the guest's handle: also when the file has no name any
 * more. A write lock needs one that can be written to. An append-only file must be opened so.
 */
static int open_for(const struct handle *handle, int32_t *ret_fd, uint32_t *ret_mode)
{
    static const int writable[] = {O_RDWR, O_WRONLY, O_RDWR | O_APPEND, O_WRONLY | O_APPEND};
    int mode = (int)__atomic_load_n(&handle->flags, __ATOMIC_RELAXED) & O_ACCMODE;
    if (mode == O_RDONLY) {
        *ret_mode = O_RDONLY;
        return host_reopen(handle->fd, O_RDONLY | O_NONBLOCK, ret_fd);
    }
    int error = -EBADF;
    for (unsigned i = 0; i < ARRAY_SIZE(writable) && error; i++) {
        error = host_reopen(handle->fd, writable[i] | O_NONBLOCK, ret_fd);
        *ret_mode = (uint32_t)writable[i] & O_ACCMODE;
    }
    return error;
}

/*
 * The owner has an open file for reading and wants a write lock through a handle that allows it: it
 * gets another open file, which takes its locks over. They are all read locks, so both can have
 * them at the same time, and at no moment does nobody.
 */
static int make_writable(struct locks *locks, struct lock_owner *owner, const struct handle *handle)
{
    autoclose int fd = -1;
    uint32_t mode;
    int error = open_for(handle, &fd, &mode);
    for (uint32_t r = owner->ranges; r && !error; r = locks->ranges[r].next)
        error = host_lock_set(fd, &locks->ranges[r].lock);
    if (error)
        return error;
    int old = owner->fd;
    owner->fd = steal_fd(&fd);
    owner->mode = mode;
    close(old);
    return 0;
}

static int new_owner(struct locks *locks, struct lock_stripe *stripe, const struct handle *handle,
                     const struct lock_request *wanted, uint32_t *ret_owner)
{
    struct fd_budget *budget = &locks->server->budget;
    int error = inode_budget_take(locks->server, NULL);
    if (error)
        return error;
    uint32_t index = take_owner(locks);
    if (!index) {
        fd_budget_give(budget, NULL);
        return -ENOLCK;
    }
    struct lock_owner *owner = &locks->owners[index];
    error = open_for(handle, &owner->fd, &owner->mode);
    if (error) {
        give_owner(locks, index);
        fd_budget_give(budget, NULL);
        return error;
    }
    owner->nodeid = wanted->nodeid;
    owner->owner = wanted->owner;
    owner->fh = wanted->fh;
    owner->ranges = 0;
    owner->next = stripe->owners;
    stripe->owners = index;
    *ret_owner = index;
    return 0;
}

/* The end of an owner: closing its open file releases what it holds. */
static void drop_owner(struct locks *locks, uint32_t *link)
{
    uint32_t index = *link;
    struct lock_owner *owner = &locks->owners[index];
    *link = owner->next;
    close(owner->fd);
    fd_budget_give(&locks->server->budget, NULL);
    give_ranges(locks, owner->ranges);
    give_owner(locks, index);
}

int lock_apply(struct locks *locks, struct lock_stripe *stripe, uint32_t index,
               const struct lock_request *wanted, uint64_t *ret_blocker)
{
    struct lock_owner *owner = &locks->owners[index];
    uint32_t spare;
    int error = take_spare(locks, &spare);
    if (error)
        return error;
    error = host_lock_set(owner->fd, &wanted->lock);
    if (!error) {
        owner->fh = wanted->fh;
        note(locks, owner, wanted, &spare);
    } else if (error == -EAGAIN) {
        *ret_blocker = 0;
        find_conflict(locks, stripe, wanted, ret_blocker);
    }
    give_ranges(locks, spare);
    return error;
}

/* The stripe is locked. *ret_blocker as in lock_apply(). */
static int set_locked(struct locks *locks, struct lock_stripe *stripe, const struct handle *handle,
                      const struct lock_request *wanted, uint64_t *ret_blocker)
{
    uint32_t index = lock_owner_find(locks, stripe, wanted->nodeid, wanted->owner);
    int error = 0;
    if (!index && wanted->lock.type == F_UNLCK)
        return 0;
    if (!index)
        error = new_owner(locks, stripe, handle, wanted, &index);
    else if (wanted->lock.type == F_WRLCK && locks->owners[index].mode == O_RDONLY)
        error = make_writable(locks, &locks->owners[index], handle);
    return error ? error : lock_apply(locks, stripe, index, wanted, ret_blocker);
}

/* --- what requests ask for ---------------------------------------------------------------------
 */

int locks_get(struct fuse_thread *thread, const struct handle *handle,
              const struct lock_request *wanted, struct host_lock *ret_lock, uint32_t *ret_pid)
{
    struct locks *locks = thread->server->locks;
    struct lock_stripe *stripe = lock_stripe_of(locks, wanted->nodeid);
    struct host_lock lock = wanted->lock;
    uint32_t pid = 0;
    uint64_t blocker;
    int error = 0;
    pthread_mutex_lock(&stripe->lock);
    uint32_t range = find_conflict(locks, stripe, wanted, &blocker);
    if (range) {
        lock = locks->ranges[range].lock;
        pid = locks->ranges[range].pid;
    } else {
        /* Asked by way of its own open file, an owner does not meet itself. */
        uint32_t index = lock_owner_find(locks, stripe, wanted->nodeid, wanted->owner);
        error = host_lock_get(index ? locks->owners[index].fd : handle->fd, &lock);
    }
    pthread_mutex_unlock(&stripe->lock);
    if (error)
        return error;
    *ret_lock = lock;
    *ret_pid = pid;
    return 0;
}

/* Tries once, with the stripe locked. */
static int try_locked(struct locks *locks, struct lock_stripe *stripe, const struct handle *handle,
                      const struct lock_request *wanted, uint64_t *ret_blocker)
{
    *ret_blocker = 0;
    if (wanted->flock)
        return host_flock(handle->fd, wanted->lock.type);
    return set_locked(locks, stripe, handle, wanted, ret_blocker);
}

int locks_set(struct fuse_thread *thread, const struct handle *handle,
              const struct lock_request *wanted)
{
    struct locks *locks = thread->server->locks;
    struct lock_stripe *stripe = lock_stripe_of(locks, wanted->nodeid);
    uint64_t blocker;
    pthread_mutex_lock(&stripe->lock);
    int error = try_locked(locks, stripe, handle, wanted, &blocker);
    pthread_mutex_unlock(&stripe->lock);
    /* Also when it failed: a flock() that cannot be converted has lost what it had. */
    if (wanted->lock.type != F_WRLCK || wanted->flock)
        lock_waits_wake(locks, wanted->nodeid);
    return error;
}

int locks_wait(struct fuse_req *req, const struct handle *handle, const struct lock_request *wanted)
{
    struct locks *locks = req->server->locks;
    struct lock_stripe *stripe = lock_stripe_of(locks, wanted->nodeid);
    uint64_t blocker;
    pthread_mutex_lock(&stripe->lock);
    int error = try_locked(locks, stripe, handle, wanted, &blocker);
    if (error == -EAGAIN)
        error = lock_waits_add(req, handle, wanted, blocker);
    pthread_mutex_unlock(&stripe->lock);
    if (wanted->lock.type != F_WRLCK || wanted->flock)
        lock_waits_wake(locks, wanted->nodeid);
    return error;
}

/* Gives up all that an owner holds; itself, too, unless it waits for something else. */
static void release_owner(struct locks *locks, uint32_t *link, bool keep)
{
    static const struct host_lock all = {0, HOST_LOCK_END, F_UNLCK};
    struct lock_owner *owner = &locks->owners[*link];
    if (!keep || host_lock_set(owner->fd, &all) < 0) {
        drop_owner(locks, link);
        return;
    }
    give_ranges(locks, owner->ranges);
    owner->ranges = 0;
}

void locks_flush(struct locks *locks, uint64_t nodeid, uint64_t fh, uint64_t owner)
{
    if (!atomic_load(&locks->owner_count))
        return;
    struct lock_stripe *stripe = lock_stripe_of(locks, nodeid);
    bool held = false;
    pthread_mutex_lock(&stripe->lock);
    for (uint32_t *link = &stripe->owners; *link; link = &locks->owners[*link].next) {
        const struct lock_owner *entry = &locks->owners[*link];
        if (entry->nodeid == nodeid && entry->owner == owner) {
            held = entry->ranges;
            release_owner(locks, link, lock_waits_cancel(locks, nodeid, fh, owner, -EBADF));
            break;
        }
    }
    pthread_mutex_unlock(&stripe->lock);
    if (held)
        lock_waits_wake(locks, nodeid);
}

void locks_release(struct locks *locks, const struct handle *handle, uint64_t fh, bool flocked)
{
    if (!flocked && !atomic_load(&locks->owner_count))
        return;
    uint64_t nodeid = handle->nodeid;
    struct lock_stripe *stripe = lock_stripe_of(locks, nodeid);
    pthread_mutex_lock(&stripe->lock);
    lock_waits_cancel(locks, nodeid, fh, 0, -EBADF);
    /*
     * A process has given up its locks before it lets go of its last descriptor of an open file;
     * what is left was set by the open file itself (F_OFD_SETLK in the guest).
     */
    for (uint32_t *link = &stripe->owners; *link;) {
        const struct lock_owner *entry = &locks->owners[*link];
        if (entry->nodeid == nodeid && entry->fh == fh)
            drop_owner(locks, link);
        else
            link = &locks->owners[*link].next;
    }
    /* Not left to the end of the open file: requests and waits may still have a copy of it. */
    if (flocked)
        host_flock(handle->fd, F_UNLCK);
    pthread_mutex_unlock(&stripe->lock);
    lock_waits_wake(locks, nodeid);
}

void locks_end(struct locks *locks)
{
    lock_waits_end(locks);
    if (!atomic_load(&locks->owner_count))
        return;
    for (unsigned i = 0; i < LOCK_STRIPES; i++) {
        struct lock_stripe *stripe = &locks->stripes[i];
        pthread_mutex_lock(&stripe->lock);
        while (stripe->owners)
            drop_owner(locks, &stripe->owners);
        pthread_mutex_unlock(&stripe->lock);
    }
}
