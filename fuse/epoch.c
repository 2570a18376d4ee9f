// SPDX-License-Identifier: BSD-3-Clause
#include "epoch.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "log.h"

/* A thing given up: what releases it, and the last epoch in which it could still be found. */
struct retired {
    epoch_release *release;
    void *context;
    uint64_t argument;
    uint64_t stamp;
};

struct epochs {
    _Alignas(64) _Atomic uint64_t now; /* starts at 1: 0 in a slot means outside */
    atomic_uint pending;               /* retired and not released; read after every request */

    pthread_mutex_t lock; /* guards the ring; a leaf: nothing is called under it */
    struct retired *ring; /* in the order of retirement, so stamps never fall */
    size_t capacity;      /* a power of two */
    size_t first;
    size_t count;

    unsigned slot_count;
    atomic_uint slots_high; /* slots below it were taken at some time: the rest need no look */
    struct epoch_slot *slots;
};

#define RING_START    1024
#define RELEASE_BATCH 32

int epochs_new(unsigned max_threads, struct epochs **ret_epochs)
{
    struct epochs *epochs = aligned_alloc(64, (sizeof(*epochs) + 63) / 64 * 64);
    if (!epochs)
        return -ENOMEM;
    *epochs = (struct epochs){
        .now = 1,
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .ring = calloc(RING_START, sizeof(*epochs->ring)),
        .capacity = RING_START,
        .slot_count = max_threads,
        .slots = aligned_alloc(64, max_threads * sizeof(*epochs->slots)),
    };
    if (!epochs->ring || !epochs->slots) {
        free(epochs->ring);
        free(epochs->slots);
        free(epochs);
        return -ENOMEM;
    }
    for (unsigned i = 0; i < max_threads; i++)
        epochs->slots[i] = (struct epoch_slot){.number = i};
    *ret_epochs = epochs;
    return 0;
}

void epochs_free(struct epochs *epochs)
{
    if (!epochs)
        return;
    epoch_reclaim(epochs);
    free(epochs->ring);
    free(epochs->slots);
    free(epochs);
}

int epoch_slot_take(struct epochs *epochs, struct epoch_slot **ret_slot)
{
    for (unsigned i = 0; i < epochs->slot_count; i++) {
        bool expected = false;
        if (atomic_compare_exchange_strong(&epochs->slots[i].taken, &expected, true)) {
            unsigned high = atomic_load(&epochs->slots_high);
            while (high < i + 1 && !atomic_compare_exchange_weak(&epochs->slots_high, &high, i + 1))
                continue;
            *ret_slot = &epochs->slots[i];
            return 0;
        }
    }
    return -EAGAIN;
}

void epoch_slot_put(struct epoch_slot *slot)
{
    if (slot)
        atomic_store(&slot->taken, false);
}

void epoch_enter(struct epochs *epochs, struct epoch_slot *slot)
{
    uint64_t now = atomic_load_explicit(&epochs->now, memory_order_acquire);
    atomic_store_explicit(&slot->inside, now, memory_order_release);
    /* Everything looked up from here on is looked up after the announcement is visible. */
    atomic_thread_fence(memory_order_seq_cst);
}

/* In a slot that has no more room: it may use anything. */
#define USES_ANY UINT32_MAX

void epoch_use(struct epoch_slot *slot, uint32_t n)
{
    unsigned i = 0;
    while (i < EPOCH_USES_MAX && atomic_load_explicit(&slot->uses[i], memory_order_relaxed))
        i++;
    if (i == EPOCH_USES_MAX) {
        i--;
        n = USES_ANY;
    }
    /* With full order: it is visible before the thing is looked at again. */
    atomic_store(&slot->uses[i], n);
}

bool epoch_is_used(struct epochs *epochs, uint32_t n, const struct epoch_slot *own)
{
    unsigned high = atomic_load(&epochs->slots_high);
    for (unsigned i = 0; i < high; i++) {
        if (&epochs->slots[i] == own)
            continue;
        for (unsigned j = 0; j < EPOCH_USES_MAX; j++) {
            uint32_t used = atomic_load(&epochs->slots[i].uses[j]);
            if (used == n || used == USES_ANY)
                return true;
            if (used == 0)
                break;
        }
    }
    return false;
}

bool epoch_is_written(struct epochs *epochs, uint64_t nodeid)
{
    unsigned high = atomic_load(&epochs->slots_high);
    for (unsigned i = 0; i < high; i++) {
        if (atomic_load(&epochs->slots[i].writes) == nodeid)
            return true;
    }
    return false;
}

static void use_nothing(struct epoch_slot *slot)
{
    for (unsigned i = 0; i < EPOCH_USES_MAX; i++) {
        if (atomic_load_explicit(&slot->uses[i], memory_order_relaxed) == 0)
            break;
        atomic_store_explicit(&slot->uses[i], 0, memory_order_release);
    }
}

void epoch_exit(struct epoch_slot *slot)
{
    use_nothing(slot);
    atomic_store_explicit(&slot->inside, 0, memory_order_release);
    /*
     * The barrier pairs with the one in epoch_retire(): of a thread that leaves and one that
     * retires at the same moment, at least one sees the other, so nothing stays retired for want
     * of anybody looking.
     */
    atomic_thread_fence(memory_order_seq_cst);
}

bool epoch_owes(const struct epochs *epochs)
{
    return atomic_load_explicit(&epochs->pending, memory_order_relaxed) != 0;
}

void epoch_leave(struct epochs *epochs, struct epoch_slot *slot)
{
    epoch_exit(slot);
    if (epoch_owes(epochs))
        epoch_reclaim(epochs);
}

/* Doubles the ring. Called with the lock held. */
static bool ring_grow(struct epochs *epochs)
{
    struct retired *larger = calloc(epochs->capacity * 2, sizeof(*larger));
    if (!larger)
        return false;
    for (size_t i = 0; i < epochs->count; i++)
        larger[i] = epochs->ring[(epochs->first + i) & (epochs->capacity - 1)];
    free(epochs->ring);
    epochs->ring = larger;
    epochs->capacity *= 2;
    epochs->first = 0;
    return true;
}

void epoch_retire(struct epochs *epochs, epoch_release *release, void *context, uint64_t argument)
{
    pthread_mutex_lock(&epochs->lock);
    if (epochs->count == epochs->capacity && !ring_grow(epochs)) {
        pthread_mutex_unlock(&epochs->lock);
        log_limited(LOG_LEVEL_ERROR, "out of memory: a table entry is lost until the next start");
        return;
    }
    epochs->ring[(epochs->first + epochs->count) & (epochs->capacity - 1)] = (struct retired){
        .release = release,
        .context = context,
        .argument = argument,
        .stamp = atomic_fetch_add(&epochs->now, 1),
    };
    epochs->count++;
    atomic_fetch_add(&epochs->pending, 1);
    pthread_mutex_unlock(&epochs->lock);
}

/* The oldest epoch that some thread is still inside of. */
static uint64_t oldest_inside(struct epochs *epochs)
{
    uint64_t oldest = UINT64_MAX;
    unsigned high = atomic_load(&epochs->slots_high);
    for (unsigned i = 0; i < high; i++) {
        uint64_t inside = atomic_load(&epochs->slots[i].inside);
        if (inside && inside < oldest)
            oldest = inside;
    }
    return oldest;
}

/* Takes up to RELEASE_BATCH notes that are due. */
static unsigned take_due(struct epochs *epochs, struct retired *ret_due)
{
    unsigned due = 0;
    pthread_mutex_lock(&epochs->lock);
    uint64_t oldest = oldest_inside(epochs);
    while (due < RELEASE_BATCH && epochs->count) {
        struct retired *front = &epochs->ring[epochs->first];
        if (front->stamp >= oldest)
            break;
        ret_due[due++] = *front;
        epochs->first = (epochs->first + 1) & (epochs->capacity - 1);
        epochs->count--;
    }
    atomic_fetch_sub(&epochs->pending, due);
    pthread_mutex_unlock(&epochs->lock);
    return due;
}

void epoch_reclaim(struct epochs *epochs)
{
    struct retired due[RELEASE_BATCH];
    unsigned count;
    do {
        count = take_due(epochs, due);
        for (unsigned i = 0; i < count; i++)
            due[i].release(due[i].context, due[i].argument);
    } while (count == RELEASE_BATCH);
}
