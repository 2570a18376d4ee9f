// SPDX-License-Identifier: BSD-3-Clause
#include "deferred.h"

#include <stdlib.h>
#include <string.h>

#include "guestfault.h"
#include "queue.h"
#include "scope.h"

static void unlist(struct queue *queue, struct deferred *deferred)
{
    struct deferred **link = &queue->deferred;

    while (*link != deferred)
        link = &(*link)->next;
    *link = deferred->next;
}

static void destroy(struct deferred *deferred)
{
    memmap_unref(deferred->memory);
    free(deferred);
}

/* push_lock held, the ring runs. Returns false when it is found broken. */
static bool give_back(struct queue *queue, struct deferred *deferred)
{
    const uint8_t *from = deferred->reply;
    uint32_t left = deferred->length;

    if (!deferred->memory)
        return true;
    for (unsigned i = 0; i < deferred->count && left; i++) {
        const struct iovec *piece = &deferred->pieces[i];
        uint32_t here = piece->iov_len < left ? (uint32_t)piece->iov_len : left;

        memcpy(piece->iov_base, from, here);
        from += here;
        left -= here;
    }
    virtq_push(&queue->virtq, deferred->head, deferred->length);
    queue->unannounced++;
    return !guestfault_taken();
}

/* The server's call. The queue lives as long as its device, which waits for this. */
static void finish(struct fuse_deferral *deferral, const void *reply, size_t length)
{
    struct deferred *deferred = (struct deferred *)deferral;
    struct queue *queue = deferred->queue;

    pthread_mutex_lock(&queue->push_lock);
    deferred->length = (uint32_t)length;
    memcpy(deferred->reply, reply, length);
    bool kept = deferred->memory && !queue->ring_up;
    if (kept) {
        deferred->answered = true;
    } else {
        unlist(queue, deferred);
        if (deferred->memory && atomic_load(&queue->state) != QUEUE_BROKEN) {
            if (!give_back(queue, deferred))
                queue_harm(queue);
            queue_announce(queue);
        }
    }
    pthread_mutex_unlock(&queue->push_lock);

    if (!kept)
        destroy(deferred);
}

/* Finds the pieces again in another snapshot. Returns false when some byte is in no region of it.
 */
static bool translate(struct deferred *deferred, const struct memmap *from, const struct memmap *to)
{
    struct iovec pieces[DEFERRED_PIECES_MAX];
    unsigned count = 0;

    for (unsigned i = 0; i < deferred->count; i++) {
        uint64_t address;
        if (!memmap_guest_address(from, &deferred->pieces[i], &address))
            return false;
        int filled = memmap_translate(to, address, deferred->pieces[i].iov_len, pieces + count,
                                      DEFERRED_PIECES_MAX - count);
        if (filled < 0)
            return false;
        count += (unsigned)filled;
    }
    memcpy(deferred->pieces, pieces, count * sizeof(*pieces));
    deferred->count = count;
    return true;
}

/*
 * Moves to a snapshot of now. Memory that was taken away from under a request is not written to any
 * more. The old snapshot has another owner.
 */
static void move_to(struct deferred *deferred, struct memmap *memory)
{
    struct memmap *old = deferred->memory;

    if (!old || old == memory)
        return;
    deferred->memory = translate(deferred, old, memory) ? memmap_ref(memory) : NULL;
    memmap_unref(old);
}

struct deferred *deferred_take(struct worker *worker, const struct iovec *pieces, unsigned count)
{
    struct queue *queue = worker->queue;
    struct deferred *deferred = count <= DEFERRED_PIECES_MAX ? calloc(1, sizeof(*deferred)) : NULL;

    if (!deferred)
        return NULL;
    deferred->deferral.finish = finish;
    deferred->queue = queue;
    deferred->head = worker->slot.head;
    deferred->count = count;
    memcpy(deferred->pieces, pieces, count * sizeof(*pieces));

    pthread_mutex_lock(&queue->push_lock);
    deferred->memory = memmap_ref(worker->chain_memory);
    move_to(deferred, queue->memory);
    deferred->next = queue->deferred;
    queue->deferred = deferred;
    pthread_mutex_unlock(&queue->push_lock);
    return deferred;
}

void deferred_change_memory(struct queue *queue, struct memmap *memory)
{
    for (struct deferred *deferred = queue->deferred; deferred; deferred = deferred->next)
        move_to(deferred, memory);
}

void deferred_resume(struct queue *queue)
{
    struct deferred **link = &queue->deferred;

    while (*link) {
        struct deferred *deferred = *link;

        if (!deferred->answered) {
            link = &deferred->next;
            continue;
        }
        *link = deferred->next;
        give_back(queue, deferred);
        destroy(deferred);
    }
}

void deferred_drop(struct queue *queue)
{
    struct deferred **link = &queue->deferred;

    pthread_mutex_lock(&queue->push_lock);
    while (*link) {
        struct deferred *deferred = *link;

        memmap_unref(deferred->memory);
        deferred->memory = NULL;
        if (deferred->answered) {
            *link = deferred->next;
            destroy(deferred);
        } else {
            link = &deferred->next;
        }
    }
    pthread_mutex_unlock(&queue->push_lock);
}
