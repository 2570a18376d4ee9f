// SPDX-License-Identifier: BSD-3-Clause
#include "hiprio.h"

#include <time.h>

#include "guestfault.h"

/*
 * So many are done at a time, and not before there are as many: in ten microseconds or so, which is
 * no long wait for a request, and half of what they take one by one.
 */
#define HELPED_WITH 4

/*
 * Both locks held, the leader naps: its slot is free. Takes the next chain if it is a FORGET, and
 * gives it back. Returns false when there is none, or something else, or nonsense, which is all
 * left to the leader.
 */
static bool take_next(struct queue *hiprio, struct fuse_forget *ret_forget)
{
    struct virtq *vq = &hiprio->virtq;
    struct virtq_slot *slot = &hiprio->leader->slot;

    if (virtq_pop(vq, slot) <= 0)
        return false;
    if (!fuse_forget_read(&slot->chain, ret_forget)) {
        virtq_unpop(vq);
        return false;
    }
    virtq_push(vq, slot->head, 0);
    /* The leader announces it after its nap. */
    if (hiprio->unannounced++ == 0)
        clock_gettime(CLOCK_MONOTONIC, &hiprio->unannounced_since);
    return true;
}

/* Both locks held. Returns how many were taken. */
static unsigned take_some(struct queue *hiprio, struct fuse_forget forgets[HELPED_WITH])
{
    unsigned count = 0;

    if (!atomic_load(&hiprio->naps) || hiprio->stopping || atomic_load(&hiprio->harmed) ||
        atomic_load(&hiprio->state) != QUEUE_RUNNING)
        return 0;
    if (virtq_waiting(&hiprio->virtq) >= HELPED_WITH) {
        while (count < HELPED_WITH && take_next(hiprio, &forgets[count]))
            count++;
    }
    if (!guestfault_taken())
        return count;
    queue_harm(hiprio);
    return 0;
}

/* Who waits for the locks comes first: this is done by the leader as well. */
void hiprio_help(struct queue *hiprio, struct fuse_thread *fuse)
{
    struct fuse_forget forgets[HELPED_WITH];
    unsigned count = 0;

    if (atomic_load(&hiprio->pop_wanted) || pthread_mutex_trylock(&hiprio->pop_lock))
        return;
    if (pthread_mutex_trylock(&hiprio->push_lock) == 0) {
        count = take_some(hiprio, forgets);
        pthread_mutex_unlock(&hiprio->push_lock);
    }
    pthread_mutex_unlock(&hiprio->pop_lock);
    if (count)
        fuse_server_forget(fuse, forgets, count);
}
