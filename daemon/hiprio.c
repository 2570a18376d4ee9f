// SPDX-License-Identifier: BSD-3-Clause
#include "hiprio.h"

#include <errno.h>
#include <time.h>

#include "guestfault.h"

/* How long FORGETs gather, and how soon after the last one a kick must come for that. */
#define NAP_MS      1
#define OFTEN_NS    (2 * 1000000)

/*
 * So many are done at a time, and not before there are as many: in ten microseconds or so, which is
 * no long wait for a request, and half of what they take one by one.
 */
#define HELPED_WITH 4

void hiprio_woken(struct queue *hiprio)
{
    struct timespec before = hiprio->woken;

    clock_gettime(CLOCK_MONOTONIC, &hiprio->woken);
    hiprio->busy = queue_ns_between(&before, &hiprio->woken) < OFTEN_NS;
}

bool hiprio_nap(struct queue *hiprio, bool (*sleep)(struct queue *queue, int timeout_ms))
{
    if (!hiprio->busy)
        return false;
    uint16_t before = hiprio->virtq.last_avail;
    atomic_store(&hiprio->naps, true);
    sleep(hiprio, NAP_MS);
    atomic_store(&hiprio->naps, false);
    return hiprio->virtq.last_avail != before || virtq_has_more(&hiprio->virtq);
}

/* pop_lock held. Gives the chain back; the leader announces it after its nap. */
static void give_back(struct queue *hiprio, uint16_t head)
{
    pthread_mutex_lock(&hiprio->push_lock);
    virtq_push(&hiprio->virtq, head, 0);
    if (hiprio->unannounced++ == 0)
        clock_gettime(CLOCK_MONOTONIC, &hiprio->unannounced_since);
    pthread_mutex_unlock(&hiprio->push_lock);
}

/*
 * pop_lock held, and kept until the FORGET is done: so the ring neither stops nor moves to other
 * memory meanwhile. Returns 0 when one was done, 1 when there is none, or something else, or a
 * negative errno when the ring is broken.
 */
static int forget_next(struct queue *hiprio, struct fuse_thread *fuse)
{
    struct virtq *vq = &hiprio->virtq;
    struct virtq_slot *slot = &hiprio->leader->slot;

    int rc = virtq_pop(vq, slot);
    if (rc <= 0)
        return rc < 0 ? rc : 1;
    if (!fuse_server_forget(fuse, &slot->chain)) {
        virtq_unpop(vq);
        return 1;
    }
    give_back(hiprio, slot->head);
    return 0;
}

void hiprio_help(struct queue *hiprio, struct fuse_thread *fuse)
{
    int rc = 0;

    if (pthread_mutex_trylock(&hiprio->pop_lock))
        return;
    /* As long as the leader naps, its slot is free. */
    bool may = atomic_load(&hiprio->naps) && !hiprio->stopping &&
               atomic_load(&hiprio->state) == QUEUE_RUNNING;
    if (may && virtq_waiting(&hiprio->virtq) >= HELPED_WITH) {
        for (unsigned i = 0; i < HELPED_WITH && rc == 0; i++)
            rc = forget_next(hiprio, fuse);
    }
    if (guestfault_taken()) {
        hiprio->virtq.fault = "its ring was taken away";
        rc = -EFAULT;
    }
    pthread_mutex_unlock(&hiprio->pop_lock);
    if (rc < 0)
        queue_break(hiprio, hiprio->virtq.fault);
}
