// SPDX-License-Identifier: BSD-3-Clause
/* The life of an inode: slots, ids, lookup counts. Finding by identity is in inode_lookup.c. */
#include "inode.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "arena.h"
#include "bare_call.h"
#include "host_path.h"
#include "inode_table.h"
#include "log.h"
#include "seed.h"
#include "server.h"

/* At most half of the descriptors may be cached inodes: the rest is for open files. */
#define CACHE_SHARE 2
#define CACHE_MAX   65536u
#define CACHE_MIN   16u

static int shards_init(struct inode_table *table)
{
    table->key[0] = seed();
    table->key[1] = seed() | 1;
    for (unsigned i = 0; i < INODE_SHARDS; i++) {
        struct inode_shard *shard = &table->shards[i];
        pthread_mutex_init(&shard->lock, NULL);
        if (inode_index_init(&shard->index) < 0)
            return -ENOMEM;
    }
    return 0;
}

static int cache_init(struct inode_table *table, int budget)
{
    struct inode_cache *cache = &table->cache;
    pthread_mutex_init(&cache->lock, NULL);
    cache->capacity = (uint32_t)budget / CACHE_SHARE;
    if (cache->capacity > CACHE_MAX)
        cache->capacity = CACHE_MAX;
    if (cache->capacity < CACHE_MIN)
        cache->capacity = CACHE_MIN;
    cache->slots = calloc(cache->capacity, sizeof(*cache->slots));
    return cache->slots ? 0 : -ENOMEM;
}

static int ring_init(struct inode_ring *ring)
{
    pthread_mutex_init(&ring->lock, NULL);
    ring->ids = calloc(INODES_LINGERING_MAX, sizeof(*ring->ids));
    return ring->ids ? 0 : -ENOMEM;
}

/* The root is known to every guest from the start, and never forgotten. */
static int root_init(struct inode_table *table, int share_fd)
{
    struct statx attributes;
    int error = host_stat_fd(share_fd, &attributes);
    if (error)
        return error;
    struct inode *root = &table->slab[INODE_ROOT];
    error = mounts_take(table->mounts, share_fd, &attributes, &root->mount);
    if (error)
        return error;
    root->ino = attributes.stx_ino;
    root->dev = makedev(attributes.stx_dev_major, attributes.stx_dev_minor);
    root->type = attributes.stx_mode & S_IFMT;
    root->lookups = 1;
    root->cache_slot = INODE_CACHE_NO_SLOT;
    root->fd = share_fd;
    root->generation = 1; /* not in its id: that is FUSE_ROOT_ID */
    return 0;
}

size_t inodes_arena_size(void)
{
    return (size_t)INODES_MAX * sizeof(struct inode) + INODE_CHUNKS * sizeof(struct inode_chunk) +
           mounts_arena_size();
}

int inode_table_new(struct fuse_server *server, int share_fd, struct inode_table **ret_table)
{
    struct inode_table *table = aligned_alloc(64, sizeof(*table));
    if (!table)
        return -ENOMEM;
    *table = (struct inode_table){.server = server};
    pthread_mutex_init(&table->slab_lock, NULL);
    pthread_mutex_init(&table->spares_lock, NULL);
    table->slab = arena_take(server->arena, (size_t)INODES_MAX * sizeof(struct inode));
    table->chunks = arena_take(server->arena, INODE_CHUNKS * sizeof(struct inode_chunk));
    int error = table->slab && table->chunks ? 0 : -ENOMEM;
    if (!error)
        error = shards_init(table);
    if (!error)
        error = cache_init(table, server->budget.limit);
    if (!error)
        error = ring_init(&table->ring);
    if (!error)
        error = mounts_new(server->arena, server->settings->file_handles, server->mountinfo,
                           server->epochs, &table->mounts);
    if (!error)
        inode_slots_init(table);
    if (!error)
        error = root_init(table, share_fd);
    if (error) {
        inode_table_free(table);
        return error;
    }
    *ret_table = table;
    return 0;
}

void inode_table_free(struct inode_table *table)
{
    if (!table)
        return;
    for (unsigned i = 0; i < INODE_SHARDS; i++)
        inode_index_free(&table->shards[i].index);
    free(table->cache.slots);
    free(table->ring.ids);
    mounts_free(table->mounts);
    free(table);
}

int inode_get(struct inode_table *table, uint64_t nodeid, struct inode **ret_inode)
{
    if (nodeid == FUSE_ROOT_ID) {
        *ret_inode = &table->slab[INODE_ROOT];
        return 0;
    }
    uint32_t index = (uint32_t)nodeid;
    uint32_t generation = (uint32_t)(nodeid >> 32);
    if (index <= INODE_ROOT || generation == 0 ||
        index >= atomic_load_explicit(&table->high, memory_order_acquire))
        return -ESTALE;
    struct inode *inode = &table->slab[index];
    if (atomic_load_explicit(&inode->generation, memory_order_acquire) != generation)
        return -ESTALE;
    *ret_inode = inode;
    return 0;
}

uint32_t inode_index(const struct inode_table *table, const struct inode *inode)
{
    return (uint32_t)(inode - table->slab);
}

uint64_t inode_id(const struct inode_table *table, const struct inode *inode)
{
    uint32_t index = (uint32_t)(inode - table->slab);
    if (index == INODE_ROOT)
        return FUSE_ROOT_ID;
    return (uint64_t)inode->last_generation << 32 | index;
}

static void close_last(struct inode_table *table, struct inode *inode)
{
    struct fuse_server *server = table->server;
    int fd = inode_cache_remove(table, inode);
    if (fd < 0)
        return;
    if (atomic_load_explicit(&inode->is_large, memory_order_relaxed) &&
        janitor_close(server->janitor, fd))
        return;
    bare_close(fd);
    fd_budget_give(&server->budget, NULL);
}

/* Epoch release: nobody can be using the inode that was given up any more. */
static void slot_release(void *context, uint64_t index)
{
    struct inode_table *table = context;
    struct inode *inode = &table->slab[index];
    close_last(table, inode);
    mounts_drop(table->mounts, inode->mount);
    if (inode_slot_put(table, inode))
        janitor_wake(table->server->janitor);
}

/* Takes an inode with no lookups left out of the index, unless a LOOKUP found it meanwhile. */
static bool unlink_unused(struct inode_table *table, struct inode *inode)
{
    struct inode_shard *shard = inode_shard_of(table, inode->mount, inode->dev, inode->ino);
    pthread_mutex_lock(&shard->lock);
    bool unused = atomic_load(&inode->lookups) == 0 && inode->generation != 0;
    if (unused) {
        inode_unlist(table, shard, inode);
        atomic_store_explicit(&inode->generation, 0, memory_order_release);
    }
    pthread_mutex_unlock(&shard->lock);
    return unused;
}

/* What was kept open for the guest's sake. */
static void close_kept(struct inode_table *table, const struct inode *inode)
{
    opens_drop(table->server->opens, inode);
    if (S_ISREG(inode->type))
        handle_drop_idle(table->server->handles, inode_id(table, inode));
}

static void give_up(struct inode_table *table, struct inode *inode)
{
    if (!unlink_unused(table, inode))
        return;
    close_kept(table, inode);
    epoch_retire(table->server->epochs, slot_release, table, inode_index(table, inode));
}

/* linger: the guest may still come back for it. */
static void forget(struct inode_table *table, struct inode *inode, uint64_t count, bool linger)
{
    uint64_t before = atomic_load(&inode->lookups);
    uint64_t after;
    do {
        after = before > count ? before - count : 0;
    } while (!atomic_compare_exchange_weak(&inode->lookups, &before, after));
    if (after)
        return;
    uint64_t oldest = 0;
    if (linger && inode_linger(table, inode, &oldest))
        opens_drop(table->server->opens, inode);
    else
        give_up(table, inode);
    if (oldest && inode_get(table, oldest, &inode) == 0)
        give_up(table, inode);
}

void inode_forget(struct fuse_thread *thread, uint64_t nodeid, uint64_t count)
{
    struct inode_table *table = thread->server->inodes;
    struct inode *inode;
    if (nodeid == FUSE_ROOT_ID || inode_get(table, nodeid, &inode) != 0)
        return;
    /* What may be closed is the server's: other file systems may learn whose close it is. */
    if (!host_cred_is_own(&thread->cred) && !inode_ignores_ids(table, inode, false))
        host_cred_own(&thread->cred);
    forget(table, inode, count, true);
}

void inode_forget_gone(struct inode_table *table, struct inode *inode)
{
    forget(table, inode, 1, false);
}

void inode_forget_all(struct fuse_thread *thread)
{
    struct inode_table *table = thread->server->inodes;
    struct epochs *epochs = thread->server->epochs;
    uint32_t high = atomic_load_explicit(&table->high, memory_order_acquire);
    for (uint32_t index = INODE_ROOT + 1; index < high; index++) {
        if (index % INODE_CHUNK == 0) {
            /* Millions of inodes, maybe: what is given up need not wait for us. */
            epoch_leave(epochs, thread->epoch);
            epoch_enter(epochs, thread->epoch);
            if (!inode_chunk_in_use(table, index)) {
                index += INODE_CHUNK - 1;
                continue;
            }
        }
        struct inode *inode = &table->slab[index];
        if (atomic_load_explicit(&inode->generation, memory_order_acquire) == 0)
            continue;
        /* A LOOKUP that is still running may bring it back: then it enters the ring anew. */
        atomic_store(&inode->lingers, false);
        forget(table, inode, UINT64_MAX, false);
    }
    pthread_mutex_lock(&table->ring.lock);
    memset(table->ring.ids, 0, INODES_LINGERING_MAX * sizeof(*table->ring.ids));
    pthread_mutex_unlock(&table->ring.lock);
}

uint32_t inode_count(struct inode_table *table)
{
    return inode_slots_used(table);
}
