// SPDX-License-Identifier: BSD-3-Clause
/*
 * Chains that are given back later than their requests end, by whatever thread has their answer
 * then: the guest waits for a lock, and neither a queue nor a thread does.
 *
 * A deferred chain is where its reply goes, and the reference to guest memory that this needs. It
 * outlives stops of its ring: a pause of the VM stops a ring and goes on with it, and the guest,
 * which does not notice, still waits. An answer that comes meanwhile is kept until then. Only when
 * the ring starts anew (other addresses, another index), breaks, or is reset, is there nobody left
 * to be answered.
 *
 * Owner: the server, from deferred_take() to fuse_deferral.finish(); listed in its queue until
 * then. Everything is guarded by the queue's push_lock.
 */
#ifndef VIOFS_DEFERRED_H
#define VIOFS_DEFERRED_H

#include <stdbool.h>
#include <stdint.h>

#include "fuse_server.h"
#include "memmap.h"

#define DEFERRED_PIECES_MAX 16 /* a piece has a byte at least */

struct queue;
struct worker;

struct deferred {
    struct fuse_deferral deferral;
    struct queue *queue;
    struct deferred *next; /* in the queue's list */
    struct memmap *memory; /* what pieces point into; NULL: nobody is left to be answered */
    uint16_t head;         /* names the chain */
    bool answered;         /* while the ring did not run: the server is done with it */
    uint8_t reply[FUSE_DEFERRAL_REPLY_MAX];
    uint32_t length;
    unsigned count;
    struct iovec pieces[DEFERRED_PIECES_MAX];
};

/* Takes over the chain that the worker runs. Returns NULL when out of memory. The worker calls. */
struct deferred *deferred_take(struct worker *worker, const struct iovec *pieces, unsigned count);

/*
 * The control thread calls the rest. Snapshots change while the device holds both: none of these
 * lets go of the last reference.
 *
 * The ring starts, and goes on from where it stopped: gives back what was answered meanwhile.
 * push_lock held, no thread of the queue exists.
 */
void deferred_resume(struct queue *queue);

/* From now on guest memory is this. push_lock held. */
void deferred_change_memory(struct queue *queue, struct memmap *memory);

/* Nobody is left to be answered. Takes push_lock. */
void deferred_drop(struct queue *queue);

#endif
