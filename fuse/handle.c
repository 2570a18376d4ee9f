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

/* Epoch release: no request uses the handle any more. */
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
    handle->nodeid = nodeid;
    handle->flags = flags;
    handle->kind = kind;
    atomic_store_explicit(&handle->always_waits, false, memory_order_relaxed);
    handle->position = 0;
    pthread_mutex_init(&handle->position_lock, NULL);
    atomic_store_explicit(&handle->generation, generation, memory_order_release);
    *ret_fh = (uint64_t)generation << 32 | (uint32_t)(handle - table->slab);
    return 0;
}

int handle_get(struct handle_table *table, enum handle_kind kind, uint64_t fh, uint64_t nodeid,
               struct handle **ret_handle)
{
    uint32_t index = (uint32_t)fh;
    uint32_t generation = (uint32_t)(fh >> 32);
    if (generation == 0 || index >= atomic_load_explicit(&table->high, memory_order_acquire))
        return -EBADF;
    struct handle *handle = &table->slab[index];
    if (atomic_load_explicit(&handle->generation, memory_order_acquire) != generation ||
        handle->kind != kind || handle->nodeid != nodeid)
        return -EBADF;
    *ret_handle = handle;
    return 0;
}

int handle_of_node(struct handle_table *table, uint64_t nodeid, int *ret_fd)
{
    uint32_t high = atomic_load_explicit(&table->high, memory_order_acquire);
    for (uint32_t index = 1; index < high; index++) {
        const struct handle *handle = &table->slab[index];
        if (atomic_load_explicit(&handle->generation, memory_order_acquire) != 0 &&
            handle->nodeid == nodeid) {
            *ret_fd = handle->fd;
            return 0;
        }
    }
    return -EBADF;
}

/* Closes an open handle; of several threads that try, one does. */
static int release(struct handle_table *table, struct handle *handle, uint32_t generation)
{
    if (!atomic_compare_exchange_strong(&handle->generation, &generation, 0))
        return -EBADF;
    epoch_retire(table->server->epochs, slot_release, table, (uint64_t)(handle - table->slab));
    return 0;
}

int handle_release(struct handle_table *table, enum handle_kind kind, uint64_t fh, uint64_t nodeid)
{
    struct handle *handle;
    int error = handle_get(table, kind, fh, nodeid, &handle);
    return error ? error : release(table, handle, (uint32_t)(fh >> 32));
}

void handle_drop(struct handle_table *table, uint64_t fh)
{
    release(table, &table->slab[(uint32_t)fh], (uint32_t)(fh >> 32));
}

void handle_release_all(struct handle_table *table)
{
    uint32_t high = atomic_load_explicit(&table->high, memory_order_acquire);
    for (uint32_t index = 1; index < high; index++) {
        struct handle *handle = &table->slab[index];
        uint32_t generation = atomic_load_explicit(&handle->generation, memory_order_acquire);
        if (generation)
            release(table, handle, generation);
    }
}
