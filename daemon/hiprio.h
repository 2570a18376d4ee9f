// SPDX-License-Identifier: BSD-3-Clause
/*
 * FORGETs, which come by the hiprio queue one by one and often. Nobody waits for them, and waking a
 * thread costs more than a FORGET. So once they come often, the queue's thread naps instead of
 * asking for kicks, and they gather. Those of a millisecond take a tenth of one together, in which
 * a request waits if it shares the processor. So whoever serves the first request queue does some
 * of them whenever it has told the driver of all that it has done, and the nap ends with little
 * left to do.
 *
 * Only the first: two queues that otherwise have no cache line in common would both write to this
 * one's.
 */
#ifndef VIOFS_HIPRIO_H
#define VIOFS_HIPRIO_H

#include <stdbool.h>

#include "queue.h"

/*
 * A nap of the hiprio queue's leader, if FORGETs come often. Called and left with its pop_lock
 * held, which sleep() drops meanwhile. Returns true when there was, or is, something in the ring.
 */
bool hiprio_nap(struct queue *hiprio, bool (*sleep)(struct queue *queue, int timeout_ms));

/* The hiprio queue's leader was woken by a kick, or a stop. pop_lock held. */
void hiprio_woken(struct queue *hiprio);

/* Whether hiprio_help() may find something to do for a thread of this queue. */
static inline bool hiprio_wants_help(const struct queue *queue)
{
    const struct queue *hiprio = queue->context->hiprio;

    return queue->index == 1 && atomic_load_explicit(&hiprio->naps, memory_order_relaxed);
}

/* A thread of another queue does some of the FORGETs that gather. No lock held. */
void hiprio_help(struct queue *hiprio, struct fuse_thread *fuse);

#endif
