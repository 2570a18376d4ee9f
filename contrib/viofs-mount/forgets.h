// SPDX-License-Identifier: BSD-3-Clause
/*
 * The hiprio queue: one FORGET per buffer as Linux virtiofs sends them, and INTERRUPT if asked for.
 *
 * /dev/fuse hands out FORGETs in batches of up to tens of thousands.  What finds no room on the
 * ring waits in a list here, so that no reader ever sleeps on behalf of a FORGET.
 *
 * Owner: the pump.  Threads: any; one mutex inside, held for the ring and the list, never while
 * sleeping.  One worker watches the ring's call descriptor and calls forgets_service.
 */
#ifndef VIOFS_MOUNT_FORGETS_H
#define VIOFS_MOUNT_FORGETS_H

#include <pthread.h>

#include "vuf_fuse.h"

struct forgets {
    pthread_mutex_t lock;
    struct vuf_fuse *fuse; /* borrowed; ring 0 of it is ours alone */
    struct vuf_forget_one *waiting;
    size_t n_waiting;
    size_t first;    /* of the waiting ones */
    size_t capacity; /* of the list */
};

void forgets_open(struct forgets *forgets, struct vuf_fuse *fuse);
void forgets_close(struct forgets *forgets);

/* Sends or queues N of them; BATCH is copied.  0, -ENOMEM (some are lost: the back-end remembers
 * the inodes until the mount ends), -EPROTO (ring broken). */
int forgets_add(struct forgets *forgets, const struct vuf_forget_one *batch, size_t n);

/* Sends INTERRUPT for the request UNIQUE; dropped when the ring is full, for it is only a hint. */
int forgets_interrupt(struct forgets *forgets, uint64_t unique);

/* Takes back what the device has finished, sends what waits.  0 or -EPROTO. */
int forgets_service(struct forgets *forgets);

#endif
