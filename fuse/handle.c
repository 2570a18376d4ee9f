// SPDX-License-Identifier: BSD-3-Clause
#include "handle.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "server.h"

struct handle_table {
    struct fuse_server *server;
    struct handle *slab;
    pthread_mutex_t lock;  /* guards free list and high */
    _Atomic uint32_t high; /* slots below it were used at some time */
    uint32_t free;         /* first of the free list; index 0 ends it and is never used */
};

int handle_table_new(struct fuse_server *server, struct handle_table **ret_table)
{
    struct handle_table *table = calloc(1, sizeof(*table));
    if (!table)
        return -ENOMEM;
    table->server = server;
    table->high = 1;
    pthread_mutex_init(&table->lock, NULL);
    table->slab = arena_take(server->arena, (size_t)HANDLES_MAX * sizeof(struct handle));
    if (!table->slab) {
        free(table);
        return -ENOMEM;
    }
    *ret_table = table;
    return 0;
}

void handle_table_free(struct handle_table *table)
{
    free(table);
}

static struct handle *slot_take(struct handle_table *table)
{
    struct handle *handle = NULL;
    pthread_mutex_lock(&table->lock);
    if (table->free) {
        handle = &table->slab[table->free];
        table->free = handle->next;
    } else if (table->high < HANDLES_MAX) {
        handle = &table->slab[table->high];
        atomic_store_explicit(&table->high, table->high + 1, memory_order_release);
    }
    pthread_mutex_unlock(&table->lock);
    return handle;
}

/* Nobody uses the handle any more. As of epoch_release. */
static void slot_release(void *context, uint64_t index)
{
    struct handle_table *table = context;
    struct handle *handle = &table->slab[index];
    close(handle->fd);
    fd_budget_give(&table->server->budget);
    pthread_mutex_destroy(&handle->position_lock);
    pthread_mutex_lock(&table->lock);
    handle->next = table->free;
    table->free = (uint32_t)index;
    pthread_mutex_unlock(&table->lock);
}

int handle_new(struct handle_table *table, enum handle_kind kind, int fd, uint32_t flags,
               uint64_t nodeid, uint64_t *ret_fh)
{
    struct handle *handle = slot_take(table);
    if (!handle)
        return -ENFILE;
    uint32_t generation = handle->last_generation + 1;
    if (generation == 0)
        generation = 1;
    handle->last_generation = generation;
    handle->fd = fd;
    atomic_store_explicit(&handle->nodeid, nodeid, memory_order_relaxed);
    handle->flags = flags;
    atomic_store_explicit(&handle->kind, kind, memory_order_relaxed);
    atomic_store_explicit(&handle->always_waits, false, memory_order_relaxed);
    handle->position = 0;
    pthread_mutex_init(&handle->position_lock, NULL);
    atomic_store_explicit(&handle->generation, generation, memory_order_release);
    *ret_fh = (uint64_t)generation << 32 | (uint32_t)(handle - table->slab);
    return 0;
}

static bool is_of(const struct handle *handle, enum handle_kind kind, uint64_t nodeid)
{
    return atomic_load_explicit(&handle->kind, memory_order_relaxed) == kind &&
           atomic_load_explicit(&handle->nodeid, memory_order_relaxed) == nodeid;
}

/* The handle of fh, or NULL. Anybody may close it at any moment, and the slot may be used again. */
static struct handle *find(struct handle_table *table, enum handle_kind kind, uint64_t fh,
                           uint64_t nodeid)
{
    uint32_t index = (uint32_t)fh;
    uint32_t generation = (uint32_t)(fh >> 32);
    if (generation == 0 || index >= atomic_load_explicit(&table->high, memory_order_acquire))
        return NULL;
    struct handle *handle = &table->slab[index];
    if (atomic_load_explicit(&handle->generation, memory_order_acquire) != generation ||
        !is_of(handle, kind, nodeid))
        return NULL;
    return handle;
}

/* Makes it last until the request ends. Returns false when it was closed a moment ago. */
static bool hold(struct fuse_thread *thread, const struct handle *handle, uint32_t generation)
{
    epoch_use(thread->epoch, (uint32_t)(handle - thread->server->handles->slab));
    return atomic_load(&handle->generation) == generation;
}

int handle_get(struct fuse_thread *thread, enum handle_kind kind, uint64_t fh, uint64_t nodeid,
               struct handle **ret_handle)
{
    struct handle *handle = find(thread->server->handles, kind, fh, nodeid);
    if (!handle || !hold(thread, handle, (uint32_t)(fh >> 32)))
        return -EBADF;
    *ret_handle = handle;
    return 0;
}

int handle_of_node(struct fuse_thread *thread, uint64_t nodeid, int *ret_fd)
{
    struct handle_table *table = thread->server->handles;
    uint32_t high = atomic_load_explicit(&table->high, memory_order_acquire);
    for (uint32_t index = 1; index < high; index++) {
        const struct handle *handle = &table->slab[index];
        uint32_t generation = atomic_load_explicit(&handle->generation, memory_order_acquire);
        if (generation != 0 &&
            atomic_load_explicit(&handle->nodeid, memory_order_relaxed) == nodeid &&
            hold(thread, handle, generation)) {
            *ret_fd = handle->fd;
            return 0;
        }
    }
    return -EBADF;
}

/* Closes an open handle; of several threads that try, one does. */
static int release(struct handle_table *table, struct handle *handle, uint32_t generation,
                   const struct epoch_slot *own)
{
    struct epochs *epochs = table->server->epochs;
    uint32_t index = (uint32_t)(handle - table->slab);
    if (!atomic_compare_exchange_strong(&handle->generation, &generation, 0))
        return -EBADF;
    if (epoch_is_used(epochs, index, own))
        epoch_retire(epochs, slot_release, table, index);
    else
        slot_release(table, index);
    return 0;
}

int handle_release(struct fuse_thread *thread, enum handle_kind kind, uint64_t fh, uint64_t nodeid)
{
    struct handle_table *table = thread->server->handles;
    struct handle *handle = find(table, kind, fh, nodeid);
    return handle ? release(table, handle, (uint32_t)(fh >> 32), thread->epoch) : -EBADF;
}

void handle_drop(struct handle_table *table, uint64_t fh)
{
    release(table, &table->slab[(uint32_t)fh], (uint32_t)(fh >> 32), NULL);
}

void handle_release_all(struct handle_table *table)
{
    uint32_t high = atomic_load_explicit(&table->high, memory_order_acquire);
    for (uint32_t index = 1; index < high; index++) {
        struct handle *handle = &table->slab[index];
        uint32_t generation = atomic_load_explicit(&handle->generation, memory_order_acquire);
        if (generation)
            release(table, handle, generation, NULL);
    }
}
