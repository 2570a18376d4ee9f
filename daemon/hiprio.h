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
 * one's. And only if others of its threads can go on meanwhile: the last FORGET of a large file
 * that was removed may delete it.
 */
#ifndef VIOFS_HIPRIO_H
#define VIOFS_HIPRIO_H

#include <stdbool.h>

#include "queue.h"

/* Whether hiprio_help() may find something to do for a thread of this queue. */
static inline bool hiprio_wants_help(const struct queue *queue)
{
    const struct queue *hiprio = queue->context->hiprio;

    return queue->index == 1 && queue->worker_slots > 1 &&
           atomic_load_explicit(&hiprio->naps, memory_order_relaxed);
}

/* A thread of another queue does some of the FORGETs that gather. No lock held. */
void hiprio_help(struct queue *hiprio, struct fuse_thread *fuse);

#endif
