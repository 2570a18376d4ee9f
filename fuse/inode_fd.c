// SPDX-License-Identifier: BSD-3-Clause
/*
 * From an inode to a descriptor: the bounded cache of O_PATH descriptors, and opening for I/O.
 *
 * The cache is a CLOCK: a use marks an inode hot (a plain store, only when it is not marked yet),
 * the hand takes marks away and evicts the first inode that has none. An evicted descriptor is
 * closed when every request that may have found it has ended.
 */
#include "inode.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <time.h>

#include "bare_call.h"
#include "host_fh.h"
#include "host_path.h"
#include "inode_table.h"
#include "scope.h"
#include "server.h"

/* How far the hand goes for a cold inode before it takes what it points at. */
#define CACHE_SEARCH   64

/* How many descriptors are given back while lookups wait for the cache's lock. */
#define REST_BATCH     256

/* How long a deleted file makes lookups careful. */
#define VANISH_SECONDS 10

static void cached_fd_release(void *context, uint64_t fd)
{
    struct fuse_server *server = context;
    bare_close((int)fd);
    fd_budget_give(&server->budget, NULL);
}

/* The same for a descriptor whose place in the budget was given away when it was evicted. */
static void lent_fd_release(void *context, uint64_t fd)
{
    struct fuse_server *server = context;
    bare_close((int)fd);
    atomic_fetch_sub(&server->budget.lent, 1);
}

/* Whether its descriptor does no harm on the host while nobody uses it. */
static bool may_stay(const struct inode *inode)
{
    return !S_ISREG(inode->type) && mounts_is_share(inode->mount) &&
           atomic_load(&inode->lookups) != 0;
}

/* Picks the slot to evict. Called with the cache's lock held, the cache not being empty. */
static uint32_t cache_victim(struct inode_table *table)
{
    struct inode_cache *cache = &table->cache;
    uint32_t slot = cache->hand;
    for (unsigned i = 0; i < CACHE_SEARCH; i++) {
        struct inode *inode = &table->slab[cache->slots[slot]];
        if (!atomic_exchange_explicit(&inode->hot, false, memory_order_relaxed) ||
            atomic_load_explicit(&inode->lookups, memory_order_relaxed) == 0)
            break;
        slot = (slot + 1) % cache->used;
    }
    cache->hand = (slot + 1) % cache->used;
    return slot;
}

/*
 * Makes room for one descriptor. Called with the lock held. Returns the slot, or
 * INODE_CACHE_NO_SLOT when the budget is spent; *ret_evicted is a descriptor to retire, or -1.
 */
static uint32_t cache_room(struct fuse_thread *thread, int *ret_evicted)
{
    struct inode_table *table = thread->server->inodes;
    struct inode_cache *cache = &table->cache;
    *ret_evicted = -1;
    bool full = cache->used == cache->capacity;
    /* The evicted descriptor stays counted until it is closed; the new one counts by itself. */
    if (fd_budget_take(&thread->server->budget, &thread->purse) < 0)
        return INODE_CACHE_NO_SLOT;
    if (!full)
        return cache->used++;
    uint32_t slot = cache_victim(table);
    struct inode *victim = &table->slab[cache->slots[slot]];
    *ret_evicted = atomic_exchange(&victim->fd, -1);
    victim->cache_slot = INODE_CACHE_NO_SLOT;
    return slot;
}

/* Takes an inode out of the cache, with its descriptor as it is. Called with the lock held. */
static void cache_slot_free(struct inode_table *table, struct inode *inode)
{
    struct inode_cache *cache = &table->cache;
    uint32_t slot = inode->cache_slot;
    if (slot == INODE_CACHE_NO_SLOT)
        return;
    uint32_t last = cache->slots[--cache->used];
    cache->slots[slot] = last;
    table->slab[last].cache_slot = slot;
    inode->cache_slot = INODE_CACHE_NO_SLOT;
    if (cache->hand >= cache->used)
        cache->hand = 0;
}

bool inode_cache_offer(struct fuse_thread *thread, struct inode *inode, int fd)
{
    struct inode_table *table = thread->server->inodes;
    struct inode_cache *cache = &table->cache;
    int evicted = -1;
    bool kept = false;

    pthread_mutex_lock(&cache->lock);
    /* Not for an inode that has one already, nor for one that was given up meanwhile. */
    if (atomic_load(&inode->fd) < 0 && atomic_load(&inode->generation) != 0) {
        uint32_t slot = cache_room(thread, &evicted);
        kept = slot != INODE_CACHE_NO_SLOT;
        if (kept) {
            cache->slots[slot] = (uint32_t)(inode - table->slab);
            inode->cache_slot = slot;
            int none = -1;
            kept = atomic_compare_exchange_strong(&inode->fd, &none, fd);
            if (!kept) { /* it was pinned in this moment, see pin() */
                cache_slot_free(table, inode);
                fd_budget_give(&thread->server->budget, &thread->purse);
            }
        }
    }
    pthread_mutex_unlock(&cache->lock);

    if (evicted >= 0)
        epoch_retire(thread->server->epochs, cached_fd_release, thread->server, (uint64_t)evicted);
    if (kept && !may_stay(inode))
        janitor_wake(thread->server->janitor);
    return kept;
}

int inode_cache_remove(struct inode_table *table, struct inode *inode)
{
    pthread_mutex_lock(&table->cache.lock);
    int fd = atomic_exchange(&inode->fd, -1);
    cache_slot_free(table, inode);
    pthread_mutex_unlock(&table->cache.lock);
    return fd;
}

void inode_cache_drop(struct inode_table *table, struct inode *inode)
{
    int fd = inode_cache_remove(table, inode);
    if (fd >= 0)
        epoch_retire(table->server->epochs, cached_fd_release, table->server, (uint64_t)fd);
}

bool inode_keep(struct inode_table *table, struct inode *inode)
{
    if (atomic_load(&inode->fd) < 0)
        return false;
    pthread_mutex_lock(&table->cache.lock);
    cache_slot_free(table, inode);
    bool kept = atomic_load(&inode->fd) >= 0;
    pthread_mutex_unlock(&table->cache.lock);
    return kept;
}

/*
 * Makes fd the inode's for good, or else what it has already: true if it is fd. Without the cache's
 * lock, as whatever others do under it begins with an inode that has a descriptor, or ends as here.
 */
static bool pin(struct inode_table *table, struct inode *inode, int fd)
{
    int none;
    do {
        none = -1;
        if (atomic_compare_exchange_strong(&inode->fd, &none, fd))
            return true;
    } while (!inode_keep(table, inode));
    return false;
}

int inode_hold(struct fuse_thread *thread, struct inode *inode, int fd)
{
    autoclose int own = -1;
    int error = inode_budget_take(thread->server, &thread->purse);
    if (error)
        return error;
    if (thread_keep(thread, fd))
        own = fd;
    else
        error = host_reopen(fd, O_PATH, &own);
    if (!error && pin(thread->server->inodes, inode, own))
        (void)steal_fd(&own);
    if (error || own >= 0)
        fd_budget_give(&thread->server->budget, &thread->purse);
    return error;
}

void inode_let_go(struct fuse_thread *thread, struct inode *inode)
{
    struct inode_table *table = thread->server->inodes;
    struct inode_cache *cache = &table->cache;
    int evicted = -1;
    if (!S_ISREG(inode->type) || inode->handle_length == 0)
        return;
    pthread_mutex_lock(&cache->lock);
    /* The descriptor is counted: what makes room for it in the cache gives its own count back. */
    if (atomic_load(&inode->fd) >= 0 && inode->cache_slot == INODE_CACHE_NO_SLOT) {
        uint32_t slot = cache->used;
        if (slot < cache->capacity) {
            cache->used++;
        } else {
            slot = cache_victim(table);
            struct inode *victim = &table->slab[cache->slots[slot]];
            evicted = atomic_exchange(&victim->fd, -1);
            victim->cache_slot = INODE_CACHE_NO_SLOT;
        }
        cache->slots[slot] = (uint32_t)(inode - table->slab);
        inode->cache_slot = slot;
    }
    pthread_mutex_unlock(&cache->lock);
    if (evicted >= 0)
        epoch_retire(thread->server->epochs, cached_fd_release, thread->server, (uint64_t)evicted);
    janitor_wake(thread->server->janitor);
}

int inode_budget_take(struct fuse_server *server, struct fd_purse *purse)
{
    struct fd_budget *budget = &server->budget;
    unsigned closed;
    do {
        if (fd_budget_take(budget, purse) == 0)
            return 0;
        closed = handle_close_idle(server->handles, FD_LOT);
    } while (closed);
    /* Another thread may have closed the last ones since we looked. */
    if (fd_budget_take(budget, purse) == 0)
        return 0;
    if (atomic_fetch_add(&budget->lent, 1) >= FD_BUDGET_LENT_MAX) {
        atomic_fetch_sub(&budget->lent, 1);
        return -ENFILE;
    }

    struct inode_table *table = server->inodes;
    int evicted = -1;
    pthread_mutex_lock(&table->cache.lock);
    if (table->cache.used) {
        struct inode *victim = &table->slab[table->cache.slots[cache_victim(table)]];
        evicted = atomic_exchange(&victim->fd, -1);
        cache_slot_free(table, victim);
    }
    pthread_mutex_unlock(&table->cache.lock);
    if (evicted < 0) {
        atomic_fetch_sub(&budget->lent, 1);
        return -ENFILE;
    }
    epoch_retire(server->epochs, lent_fd_release, server, (uint64_t)evicted);
    return 0;
}

int inode_sync_mounts(struct inode_table *table, int share_fd)
{
    return mounts_sync(table->mounts, share_fd);
}

/*
 * Goes down from the slot given, until REST_BATCH are closed. Returns where to go on; 0: nowhere.
 * What comes into a slot that is freed is from a higher one, which was looked at.
 */
static uint32_t rest_some(struct inode_table *table, uint32_t slot, unsigned *left)
{
    struct inode_cache *cache = &table->cache;
    struct fuse_server *server = table->server;
    unsigned closed = 0;
    pthread_mutex_lock(&cache->lock);
    if (slot > cache->used)
        slot = cache->used;
    while (slot > 0 && closed < REST_BATCH) {
        struct inode *inode = &table->slab[cache->slots[--slot]];
        if (may_stay(inode))
            continue;
        if (atomic_exchange_explicit(&inode->hot, false, memory_order_relaxed)) {
            ++*left;
            continue;
        }
        int fd = atomic_exchange(&inode->fd, -1);
        cache_slot_free(table, inode);
        epoch_retire(server->epochs, cached_fd_release, server, (uint64_t)fd);
        closed++;
    }
    pthread_mutex_unlock(&cache->lock);
    return slot;
}

/*
 * Once an index that was replaced is the heap's, what lies there between other memory is given
 * back, which the heap does not do by itself. Returns 1 if that has to wait, for a request that is
 * under way.
 */
static unsigned trim(struct inode_table *table)
{
    if (!table->untrimmed)
        return 0;
    if (epoch_owes(table->server->epochs))
        return 1;
    table->untrimmed = false;
    malloc_trim(0);
    return 0;
}

unsigned inode_rest(struct inode_table *table)
{
    unsigned left = 0;
    uint32_t slot = UINT32_MAX;
    do {
        slot = rest_some(table, slot, &left);
        /* Here, and not in a request that leaves its epoch: the last close of a file may take long.
         */
        epoch_reclaim(table->server->epochs);
    } while (slot > 0);
    left += handle_rest(table->server->handles) + mounts_rest(table->mounts);
    inode_slots_rest(table);
    table->untrimmed |= inode_shards_rest(table);
    epoch_reclaim(table->server->epochs);
    return left + trim(table);
}

static int64_t now_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return now.tv_sec;
}

bool inode_files_vanish(struct inode_table *table)
{
    int64_t until = atomic_load_explicit(&table->vanish_until, memory_order_relaxed);
    if (until == 0)
        return false;
    if (now_seconds() <= until)
        return true;
    atomic_compare_exchange_strong(&table->vanish_until, &until, 0);
    return false;
}

/* What the guest is told of a file that is gone. */
static int gone(struct inode_table *table, struct inode *inode)
{
    atomic_store_explicit(&table->vanish_until, now_seconds() + VANISH_SECONDS,
                          memory_order_relaxed);
    bool again = S_ISDIR(inode->type) &&
                 atomic_exchange_explicit(&inode->told_stale, true, memory_order_relaxed);
    return again ? -ENOENT : -ESTALE;
}

/*
 * An O_PATH descriptor by file handle. The first time it is made sure that handle and identity
 * belong together: they were taken by name, one after the other.
 */
static int open_by_handle(struct fuse_thread *thread, struct inode *inode, int *ret_fd)
{
    int mount_fd;
    autoclose int fd = -1;
    int error = mounts_fd(thread->server->inodes->mounts, inode->mount, &mount_fd);
    if (error)
        return error;
    if (!mounts_is_share(inode->mount))
        janitor_wake(thread->server->janitor);
    error = host_fh_open(mount_fd, inode->handle_type, inode->handle, inode->handle_length,
                         O_PATH | O_NOFOLLOW, &fd);
    if (error)
        return error;
    if (!atomic_load_explicit(&inode->verified, memory_order_relaxed)) {
        struct statx attributes;
        error = host_stat_fd(fd, &attributes);
        if (error)
            return error;
        if (!inode_is(inode, &attributes))
            return -ESTALE;
        atomic_store_explicit(&inode->verified, true, memory_order_relaxed);
    }
    *ret_fd = steal_fd(&fd);
    return 0;
}

int inode_fd(struct fuse_thread *thread, struct inode *inode, int *ret_fd)
{
    struct inode_table *table = thread->server->inodes;
    int fd = atomic_load_explicit(&inode->fd, memory_order_acquire);
    if (fd >= 0) {
        if (!atomic_load_explicit(&inode->hot, memory_order_relaxed))
            atomic_store_explicit(&inode->hot, true, memory_order_relaxed);
        *ret_fd = fd;
        return 0;
    }
    if (inode->handle_length == 0)
        return -ESTALE; /* given up while we came here */
    int error = open_by_handle(thread, inode, &fd);
    /* Open files live on, whatever the host deletes or unmounts (umount -l). */
    if (error == -ESTALE && handle_of_node(thread, inode_id(table, inode), ret_fd) == 0)
        return 0;
    if (error == -ESTALE)
        return gone(table, inode);
    if (error)
        return error;
    if (!inode_cache_offer(thread, inode, fd))
        thread_close_later(thread, fd);
    *ret_fd = fd;
    return 0;
}

bool inode_cache_has_room(const struct inode_table *table)
{
    return atomic_load_explicit(&table->cache.used, memory_order_relaxed) < table->cache.capacity;
}

int inode_pin(struct fuse_thread *thread, struct inode *inode)
{
    int fd;
    if (inode->handle_length == 0)
        return -ESTALE;
    int error = open_by_handle(thread, inode, &fd);
    if (!error && !inode_cache_offer(thread, inode, fd))
        thread_close_later(thread, fd);
    return error;
}

bool inode_closes_silently(const struct inode_table *table, const struct inode *inode)
{
    return mounts_close_silently(table->mounts, inode->mount);
}

bool inode_ignores_ids(const struct inode_table *table, const struct inode *inode,
                       bool takes_blocks)
{
    return mounts_ignores_ids(table->mounts, inode->mount, takes_blocks);
}

bool inode_offsets_last(const struct inode_table *table, const struct inode *inode)
{
    return mounts_offsets_last(table->mounts, inode->mount);
}

int inode_open(struct fuse_thread *thread, struct inode *inode, int flags, int *ret_fd)
{
    if (S_ISLNK(inode->type))
        return -ELOOP;
    if (!S_ISREG(inode->type) && !S_ISDIR(inode->type))
        return -ENXIO;
    /*
     * By handle is a third faster than by /proc/self/fd. Only once it is verified: before that,
     * the type might be another file's, and opening is what must not happen to a FIFO or device.
     */
    int mount_fd;
    if (inode->handle_length && atomic_load_explicit(&inode->verified, memory_order_relaxed) &&
        mounts_fd(thread->server->inodes->mounts, inode->mount, &mount_fd) == 0) {
        if (!mounts_is_share(inode->mount))
            janitor_wake(thread->server->janitor);
        int error = host_fh_open(mount_fd, inode->handle_type, inode->handle, inode->handle_length,
                                 flags | O_NOFOLLOW, ret_fd);
        /* A descriptor may lead to a deleted file where a handle does not. */
        if (error != -ESTALE)
            return error;
    }
    int fd;
    int error = inode_fd(thread, inode, &fd);
    return error ? error : host_reopen(fd, flags, ret_fd);
}
