// SPDX-License-Identifier: BSD-3-Clause
#include "handle.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bare_call.h"
#include "server.h"

/* In handle.user; no thread's number. */
#define HANDLE_USED_BY_MANY UINT32_MAX

/* In a place of idle: the janitor has not been by since it was filled. */
#define IDLE_FRESH          (UINT32_C(1) << 31)
/* The same: it is a late one, for no OPEN. */
#define IDLE_LATE           (UINT32_C(1) << 30)
#define IDLE_INDEX          (~(IDLE_FRESH | IDLE_LATE))
#define IDLE_IN_LINE        (64 / sizeof(uint32_t))
_Static_assert(HANDLE_SLOTS <= IDLE_LATE, "a handle's index must leave the bits free");

/* A file that the host was asked to open so many looks of the janitor ago does not become idle. */
#define IDLE_RESTS_MAX 2

/*
 * idle[i] is the handle of a closed file whose node id ends in i, 0: none. It belongs to whoever
 * takes it out of there: its generation is 0, so that nobody else finds it.
 */
struct handle_table {
    struct fuse_server *server;
    struct handle *slab;
    _Atomic uint32_t *idle;
    uint32_t idle_mask;
    uint32_t idle_line_bits; /* so many lines as are the power of two of this */
    _Atomic uint32_t high;   /* slots below it were used at some time */
    _Atomic uint32_t rests;  /* looks of the janitor */

    _Alignas(64) pthread_mutex_t lock; /* guards free list and high */
    uint32_t free;                     /* first of the free list; index 0 ends it */
};

size_t handles_arena_size(void)
{
    return HANDLE_SLOTS * sizeof(struct handle);
}

int handle_table_new(struct fuse_server *server, struct handle_table **ret_table)
{
    struct handle_table *table = aligned_alloc(64, sizeof(*table));
    if (!table)
        return -ENOMEM;
    *table = (struct handle_table){.server = server, .high = 1};
    pthread_mutex_init(&table->lock, NULL);
    uint32_t idle = 1;
    while (idle < HANDLES_IDLE_MAX &&
           idle * 2 <= (uint32_t)server->budget.limit / HANDLES_IDLE_SHARE)
        idle *= 2;
    table->idle_mask = idle - 1;
    while (idle >> table->idle_line_bits > IDLE_IN_LINE)
        table->idle_line_bits++;
    size_t size = (IDLE_IN_LINE * sizeof(*table->idle)) << table->idle_line_bits;
    table->idle = aligned_alloc(64, size);
    table->slab = arena_take(server->arena, handles_arena_size());
    if (!table->idle || !table->slab) {
        handle_table_free(table);
        return -ENOMEM;
    }
    memset(table->idle, 0, size);
    *ret_table = table;
    return 0;
}

void handle_table_free(struct handle_table *table)
{
    if (!table)
        return;
    free(table->idle);
    free(table);
}

/* Moves up to HANDLE_LOT free slots from the table to the thread. */
static void spares_fetch(struct handle_table *table, struct handle_spares *spares)
{
    pthread_mutex_lock(&table->lock);
    while (spares->count < HANDLE_LOT && table->free) {
        spares->slots[spares->count++] = table->free;
        table->free = table->slab[table->free].next;
    }
    uint32_t high = atomic_load_explicit(&table->high, memory_order_relaxed);
    while (spares->count < HANDLE_LOT && high < HANDLE_SLOTS)
        spares->slots[spares->count++] = high++;
    atomic_store_explicit(&table->high, high, memory_order_release);
    pthread_mutex_unlock(&table->lock);
}

/* Moves all but so many back. */
static void spares_return(struct handle_table *table, struct handle_spares *spares, uint32_t keep)
{
    pthread_mutex_lock(&table->lock);
    while (spares->count > keep) {
        uint32_t index = spares->slots[--spares->count];
        table->slab[index].next = table->free;
        table->free = index;
    }
    pthread_mutex_unlock(&table->lock);
}

void handle_spares_return(struct fuse_thread *thread)
{
    spares_return(thread->server->handles, &thread->spare_handles, 0);
}

static struct handle *slot_take(struct handle_table *table, struct handle_spares *spares)
{
    if (spares->count == 0)
        spares_fetch(table, spares);
    if (spares->count == 0)
        return NULL;
    return &table->slab[spares->slots[--spares->count]];
}

static void slot_give(struct handle_table *table, struct handle_spares *spares, uint32_t index)
{
    if (spares->count == HANDLE_SPARES_MAX)
        spares_return(table, spares, HANDLE_LOT);
    spares->slots[spares->count++] = index;
}

/* Nobody uses the handle any more, whose descriptor is closed or somebody else's. */
static void slot_vacate(struct handle_table *table, struct handle *handle, struct fd_purse *purse)
{
    fd_budget_give(&table->server->budget, purse);
    pthread_mutex_destroy(&handle->position_lock);
}

static void handle_close(struct handle_table *table, struct handle *handle, struct fd_purse *purse)
{
    bare_close(handle->fd);
    slot_vacate(table, handle, purse);
}

/* The same later and by whatever thread, as of epoch_release. */
static void close_retired(void *context, uint64_t index)
{
    struct handle_table *table = context;
    struct handle_spares one = {.count = 1, .slots = {(uint32_t)index}};
    handle_close(table, &table->slab[index], NULL);
    spares_return(table, &one, 0);
}

/* From here on others find it. Returns its fh. */
static uint64_t publish(struct fuse_thread *thread, struct handle *handle)
{
    uint32_t generation = handle->last_generation + 1;
    if (generation == 0)
        generation = 1;
    handle->last_generation = generation;
    atomic_store_explicit(&handle->user, epoch_slot_number(thread->epoch), memory_order_relaxed);
    atomic_store_explicit(&handle->generation, generation, memory_order_release);
    return (uint64_t)generation << 32 | (uint32_t)(handle - thread->server->handles->slab);
}

int handle_new(struct fuse_thread *thread, enum handle_kind kind, int fd, uint32_t flags,
               uint64_t nodeid, uint64_t *ret_fh)
{
    struct handle_table *table = thread->server->handles;
    struct handle *handle = slot_take(table, &thread->spare_handles);
    if (!handle)
        return -ENFILE;
    handle->fd = fd;
    atomic_store_explicit(&handle->nodeid, nodeid, memory_order_relaxed);
    handle->flags = flags;
    atomic_store_explicit(&handle->kind, kind, memory_order_relaxed);
    atomic_store_explicit(&handle->always_waits, false, memory_order_relaxed);
    handle->born = atomic_load_explicit(&table->rests, memory_order_relaxed);
    handle->position = 0;
    pthread_mutex_init(&handle->position_lock, NULL);
    *ret_fh = publish(thread, handle);
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

/*
 * Makes it last until the request ends. Returns false when it was closed a moment ago.
 *
 * Closing looks at the announcements of all threads, unless the one that closes is the handle's
 * only user since it was opened. That is safe as these steps have one order for everybody: whoever
 * uses it says so in user and then finds the generation unchanged, whoever closes it changes the
 * generation and then reads user; so the second of the two sees what the first one did. What a late
 * user writes to a slot that is somebody else's by now only makes that handle's closing look.
 */
static bool hold(struct fuse_thread *thread, struct handle *handle, uint32_t generation)
{
    epoch_use(thread->epoch, (uint32_t)(handle - thread->server->handles->slab));
    uint32_t user = atomic_load(&handle->user);
    if (user != HANDLE_USED_BY_MANY && user != epoch_slot_number(thread->epoch))
        atomic_store(&handle->user, HANDLE_USED_BY_MANY);
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
        struct handle *handle = &table->slab[index];
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

/* Closes a handle that only the caller has. thread: the caller's; NULL: nobody knows. */
static void close_own(struct handle_table *table, uint32_t index, struct fuse_thread *thread)
{
    if (!thread) {
        close_retired(table, index);
        return;
    }
    handle_close(table, &table->slab[index], &thread->purse);
    slot_give(table, &thread->spare_handles, index);
}

/* Neighbours may be files of other queues: they are in different cache lines. */
static _Atomic uint32_t *idle_place(const struct handle_table *table, uint64_t nodeid)
{
    uint32_t index = (uint32_t)nodeid & table->idle_mask;
    uint32_t line = index & ((1u << table->idle_line_bits) - 1);
    return &table->idle[line * IDLE_IN_LINE + (index >> table->idle_line_bits)];
}

/* Takes the handle of a node out of its place, so that it is the caller's, if these bits of it are
 * as wanted. Returns NULL if there is none.
 */
static struct handle *take_idle(struct handle_table *table, uint64_t nodeid, uint32_t bits,
                                uint32_t wanted)
{
    _Atomic uint32_t *place = idle_place(table, nodeid);
    uint32_t word = atomic_load(place);
    while (word && (word & bits) == wanted) {
        uint32_t index = word & IDLE_INDEX;
        struct handle *handle = &table->slab[index];
        if (atomic_load_explicit(&handle->nodeid, memory_order_relaxed) != nodeid)
            return NULL;
        if (!atomic_compare_exchange_strong(place, &word, 0))
            continue;
        if (atomic_load_explicit(&handle->nodeid, memory_order_relaxed) == nodeid)
            return handle;
        /* Between the two looks it was closed, and came back as another node's. */
        close_own(table, index, NULL);
    }
    return NULL;
}

/* Puts a handle that only the caller has into its place, with that bit more; one that is there
 * gives way.
 */
static void put_idle(struct fuse_thread *thread, struct handle *handle, uint32_t bit)
{
    struct handle_table *table = thread->server->handles;
    uint32_t index = (uint32_t)(handle - table->slab);
    uint64_t nodeid = atomic_load_explicit(&handle->nodeid, memory_order_relaxed);
    uint32_t before = atomic_exchange(idle_place(table, nodeid), index | bit | IDLE_FRESH);
    if (before)
        close_own(table, before & IDLE_INDEX, thread);
    janitor_wake(table->server->janitor);
}

int handle_open_idle(struct fuse_thread *thread, uint64_t nodeid, uint64_t *ret_fh)
{
    struct handle *handle = take_idle(thread->server->handles, nodeid, IDLE_LATE, 0);
    if (!handle)
        return -ENOENT;
    *ret_fh = publish(thread, handle);
    return 0;
}

void handle_drop_idle(struct handle_table *table, uint64_t nodeid)
{
    struct handle *handle = take_idle(table, nodeid, 0, 0);
    if (handle)
        close_own(table, (uint32_t)(handle - table->slab), NULL);
}

bool handle_has_idle(const struct handle_table *table, uint64_t nodeid)
{
    uint32_t word = atomic_load(idle_place(table, nodeid));
    const struct handle *handle = &table->slab[word & IDLE_INDEX];
    return word && atomic_load_explicit(&handle->nodeid, memory_order_relaxed) == nodeid;
}

int handle_take_idle(struct fuse_thread *thread, uint64_t nodeid)
{
    struct handle_table *table = thread->server->handles;
    struct handle *handle = take_idle(table, nodeid, 0, 0);
    if (!handle)
        return -1;
    int fd = handle->fd;
    slot_vacate(table, handle, &thread->purse);
    slot_give(table, &thread->spare_handles, (uint32_t)(handle - table->slab));
    return fd;
}

unsigned handle_rest(struct handle_table *table)
{
    unsigned left = 0;
    atomic_fetch_add(&table->rests, 1);
    for (uint32_t i = 0; i <= table->idle_mask; i++) {
        uint32_t word = atomic_load(&table->idle[i]);
        if (!word)
            continue;
        bool fresh = word & IDLE_FRESH;
        bool changed =
            !atomic_compare_exchange_strong(&table->idle[i], &word, fresh ? word & ~IDLE_FRESH : 0);
        if (fresh || changed)
            left++;
        else
            close_own(table, word & IDLE_INDEX, NULL);
    }
    return left;
}

unsigned handle_close_idle(struct handle_table *table, unsigned at_most)
{
    unsigned closed = 0;
    for (uint32_t i = 0; i <= table->idle_mask && closed < at_most; i++) {
        uint32_t word = atomic_load(&table->idle[i]);
        if (word)
            word = atomic_exchange(&table->idle[i], 0);
        if (word) {
            close_own(table, word & IDLE_INDEX, NULL);
            closed++;
        }
    }
    return closed;
}

/* Whether a closed file may be opened again without asking the host. */
static bool is_reusable(const struct handle_table *table, const struct handle *handle)
{
    uint32_t rests = atomic_load_explicit(&table->rests, memory_order_relaxed);
    return __atomic_load_n(&handle->flags, __ATOMIC_RELAXED) == O_RDONLY &&
           rests - handle->born < IDLE_RESTS_MAX;
}

/* Takes the oldest late file off the thread's list, and closes it if it is still so. */
static void close_oldest(struct fuse_thread *thread)
{
    struct handle_table *table = thread->server->handles;
    struct handle_late *late = &thread->late;
    uint64_t nodeid = late->nodeids[late->first];
    late->first = (late->first + 1) % HANDLES_LATE_MAX;
    late->count--;
    struct handle *handle = take_idle(table, nodeid, IDLE_LATE, IDLE_LATE);
    if (handle)
        close_own(table, (uint32_t)(handle - table->slab), thread);
}

void handle_close_late(struct fuse_thread *thread, bool all)
{
    struct handle_late *late = &thread->late;
    while (late->count && (all || thread->requests - late->at[late->first] >= HANDLE_LATE_REQUESTS))
        close_oldest(thread);
}

static void put_late(struct fuse_thread *thread, struct handle *handle)
{
    struct handle_late *late = &thread->late;
    if (late->count == HANDLES_LATE_MAX)
        close_oldest(thread);
    uint32_t last = (late->first + late->count++) % HANDLES_LATE_MAX;
    late->nodeids[last] = atomic_load_explicit(&handle->nodeid, memory_order_relaxed);
    late->at[last] = thread->requests;
    put_idle(thread, handle, IDLE_LATE);
}

/* How the descriptor of a file that the guest closes may stay. */
enum stay { STAYS_NOT, STAYS_IDLE, STAYS_LATE };

/*
 * Takes an open handle from the guest; of several threads that try, one does. thread: the caller's,
 * which has no more use for it itself; NULL: nobody knows. stays: how its descriptor may.
 */
static int release(struct handle_table *table, struct handle *handle, uint32_t generation,
                   struct fuse_thread *thread, enum stay stays)
{
    struct epochs *epochs = table->server->epochs;
    uint32_t index = (uint32_t)(handle - table->slab);
    if (!atomic_compare_exchange_strong(&handle->generation, &generation, 0))
        return -EBADF;
    const struct epoch_slot *own = thread ? thread->epoch : NULL;
    bool mine = own && atomic_load(&handle->user) == epoch_slot_number(own);
    if (!mine && epoch_is_used(epochs, index, own))
        epoch_retire(epochs, close_retired, table, index);
    else if (stays == STAYS_LATE)
        put_late(thread, handle);
    else if (stays == STAYS_IDLE && is_reusable(table, handle))
        put_idle(thread, handle, 0);
    else
        close_own(table, index, thread);
    return 0;
}

int handle_release(struct fuse_thread *thread, enum handle_kind kind, uint64_t fh, uint64_t nodeid)
{
    struct handle_table *table = thread->server->handles;
    struct handle *handle = find(table, kind, fh, nodeid);
    return handle ? release(table, handle, (uint32_t)(fh >> 32), thread, STAYS_NOT) : -EBADF;
}

int handle_release_idle(struct fuse_thread *thread, uint64_t fh, uint64_t nodeid)
{
    struct handle_table *table = thread->server->handles;
    struct handle *handle = find(table, HANDLE_FILE, fh, nodeid);
    return handle ? release(table, handle, (uint32_t)(fh >> 32), thread, STAYS_IDLE) : -EBADF;
}

int handle_release_late(struct fuse_thread *thread, uint64_t fh, uint64_t nodeid)
{
    struct handle_table *table = thread->server->handles;
    struct handle *handle = find(table, HANDLE_FILE, fh, nodeid);
    return handle ? release(table, handle, (uint32_t)(fh >> 32), thread, STAYS_LATE) : -EBADF;
}

void handle_drop(struct handle_table *table, uint64_t fh)
{
    release(table, &table->slab[(uint32_t)fh], (uint32_t)(fh >> 32), NULL, STAYS_NOT);
}

void handle_release_all(struct handle_table *table)
{
    uint32_t high = atomic_load_explicit(&table->high, memory_order_acquire);
    for (uint32_t index = 1; index < high; index++) {
        struct handle *handle = &table->slab[index];
        uint32_t generation = atomic_load_explicit(&handle->generation, memory_order_acquire);
        if (generation)
            release(table, handle, generation, NULL, STAYS_NOT);
    }
    handle_close_idle(table, UINT_MAX);
}
