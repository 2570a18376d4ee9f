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

#include "host_fh.h"
#include "host_path.h"
#include "inode_table.h"
#include "scope.h"
#include "server.h"

/* How far the hand goes for a cold inode before it takes what it points at. */
#define CACHE_SEARCH 64

static void cached_fd_release(void *context, uint64_t fd)
{
    struct fuse_server *server = context;
    close((int)fd);
    fd_budget_give(&server->budget);
}

/* The same for a descriptor whose place in the budget was given away when it was evicted. */
static void lent_fd_release(void *context, uint64_t fd)
{
    struct fuse_server *server = context;
    close((int)fd);
    atomic_fetch_sub(&server->budget.lent, 1);
}

/* Picks the slot to evict. Called with the cache's lock held, the cache not being empty. */
static uint32_t cache_victim(struct inode_table *table)
{
    struct inode_cache *cache = &table->cache;
    uint32_t slot = cache->hand;
    for (unsigned i = 0; i < CACHE_SEARCH; i++) {
        struct inode *inode = &table->slab[cache->slots[slot]];
        if (!atomic_exchange_explicit(&inode->hot, false, memory_order_relaxed))
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
static uint32_t cache_room(struct inode_table *table, int *ret_evicted)
{
    struct inode_cache *cache = &table->cache;
    *ret_evicted = -1;
    bool full = cache->used == cache->capacity;
    /* The evicted descriptor stays counted until it is closed; the new one counts by itself. */
    if (fd_budget_take(&table->server->budget) < 0)
        return INODE_CACHE_NO_SLOT;
    if (!full)
        return cache->used++;
    uint32_t slot = cache_victim(table);
    struct inode *victim = &table->slab[cache->slots[slot]];
    *ret_evicted = atomic_exchange(&victim->fd, -1);
    victim->cache_slot = INODE_CACHE_NO_SLOT;
    return slot;
}

bool inode_cache_offer(struct fuse_thread *thread, struct inode *inode, int fd)
{
    struct inode_table *table = thread->server->inodes;
    struct inode_cache *cache = &table->cache;
    int evicted = -1;
    bool kept = false;

    pthread_mutex_lock(&cache->lock);
    /* Not for an inode that has one already, nor for one that was forgotten meanwhile. */
    if (atomic_load(&inode->fd) < 0 && atomic_load(&inode->generation) != 0) {
        uint32_t slot = cache_room(table, &evicted);
        kept = slot != INODE_CACHE_NO_SLOT;
        if (kept) {
            cache->slots[slot] = (uint32_t)(inode - table->slab);
            inode->cache_slot = slot;
            atomic_store(&inode->fd, fd);
        }
    }
    pthread_mutex_unlock(&cache->lock);

    if (evicted >= 0)
        epoch_retire(thread->server->epochs, cached_fd_release, thread->server, (uint64_t)evicted);
    return kept;
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

void inode_keep(struct inode_table *table, struct inode *inode)
{
    pthread_mutex_lock(&table->cache.lock);
    cache_slot_free(table, inode);
    pthread_mutex_unlock(&table->cache.lock);
}

int inode_hold(struct fuse_thread *thread, struct inode *inode, int fd)
{
    struct inode_table *table = thread->server->inodes;
    autoclose int own = -1;
    int error = inode_budget_take(thread->server);
    if (error)
        return error;
    error = host_reopen(fd, O_PATH, &own);
    if (!error) {
        pthread_mutex_lock(&table->cache.lock);
        if (atomic_load(&inode->fd) < 0)
            atomic_store(&inode->fd, steal_fd(&own));
        else
            cache_slot_free(table, inode);
        pthread_mutex_unlock(&table->cache.lock);
    }
    if (error || own >= 0)
        fd_budget_give(&thread->server->budget);
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
}

int inode_budget_take(struct fuse_server *server)
{
    struct fd_budget *budget = &server->budget;
    if (fd_budget_take(budget) == 0)
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

/*
 * An O_PATH descriptor by file handle. The first time it is made sure that handle and identity
 * belong together: they were taken by name, one after the other.
 */
static int open_by_handle(struct fuse_thread *thread, struct inode *inode, int *ret_fd)
{
    int mount_fd = mounts_fd(thread->server->inodes->mounts, inode->mount);
    autoclose int fd = -1;
    int error = host_fh_open(mount_fd, inode->handle_type, inode->handle, inode->handle_length,
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
    int fd = atomic_load_explicit(&inode->fd, memory_order_acquire);
    if (fd >= 0) {
        if (!atomic_load_explicit(&inode->hot, memory_order_relaxed))
            atomic_store_explicit(&inode->hot, true, memory_order_relaxed);
        *ret_fd = fd;
        return 0;
    }
    if (inode->handle_length == 0)
        return -ESTALE; /* forgotten while we came here */
    int error = open_by_handle(thread, inode, &fd);
    if (error)
        return error;
    if (!inode_cache_offer(thread, inode, fd))
        thread_close_later(thread, fd);
    *ret_fd = fd;
    return 0;
}

bool inode_closes_silently(const struct inode_table *table, const struct inode *inode)
{
    return mounts_close_silently(table->mounts, inode->mount);
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
    if (inode->handle_length && atomic_load_explicit(&inode->verified, memory_order_relaxed))
        return host_fh_open(mounts_fd(thread->server->inodes->mounts, inode->mount),
                            inode->handle_type, inode->handle, inode->handle_length,
                            flags | O_NOFOLLOW, ret_fd);
    int fd;
    int error = inode_fd(thread, inode, &fd);
    return error ? error : host_reopen(fd, flags, ret_fd);
}
