// SPDX-License-Identifier: BSD-3-Clause
#include "forgets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void forgets_open(struct forgets *forgets, struct vuf_fuse *fuse)
{
    *forgets = (struct forgets){.fuse = fuse};
    pthread_mutex_init(&forgets->lock, NULL);
}

void forgets_close(struct forgets *forgets)
{
    pthread_mutex_destroy(&forgets->lock);
    free(forgets->waiting);
}

static int take_back(struct forgets *forgets)
{
    struct vuf_fuse_req *done;
    int r;

    while ((r = vuf_fuse_reap(forgets->fuse, VUF_HIPRIO, &done)) > 0)
        vuf_fuse_put(forgets->fuse, done);
    return r;
}

static bool send_one(struct forgets *forgets, const struct vuf_forget_one *one)
{
    struct vuf_fuse_req *req = vuf_fuse_get(forgets->fuse, VUF_HIPRIO);
    struct vuf_forget_in in = {.nlookup = one->nlookup};

    if (!req)
        return false;
    memcpy(vuf_fuse_args(req), &in, sizeof(in));
    if (vuf_fuse_submit(forgets->fuse, req, VUF_OP_FORGET, one->nodeid, sizeof(in), -1) < 0) {
        vuf_fuse_put(forgets->fuse, req);
        return false;
    }
    return true;
}

/* Sends as many of the waiting as fit.  A call is asked for only while some still wait. */
static int drain(struct forgets *forgets)
{
    struct vuf_ring *ring = &forgets->fuse->dev->rings[VUF_HIPRIO];
    int r;

    vuf_ring_calls_off(ring);
    do {
        r = take_back(forgets);
        if (r < 0)
            return r;
        while (forgets->n_waiting && send_one(forgets, &forgets->waiting[forgets->first])) {
            forgets->first++;
            forgets->n_waiting--;
        }
        vuf_fuse_kick(forgets->fuse, VUF_HIPRIO);
    } while (forgets->n_waiting && vuf_ring_calls_on(ring));
    return 0;
}

static int append(struct forgets *forgets, const struct vuf_forget_one *batch, size_t n)
{
    if (forgets->first) {
        memmove(forgets->waiting, forgets->waiting + forgets->first,
                forgets->n_waiting * sizeof(*batch));
        forgets->first = 0;
    }
    if (forgets->n_waiting + n > forgets->capacity) {
        size_t capacity = 2 * (forgets->n_waiting + n);
        void *bigger = realloc(forgets->waiting, capacity * sizeof(*batch));

        if (!bigger)
            return -ENOMEM;
        forgets->waiting = bigger;
        forgets->capacity = capacity;
    }
    memcpy(forgets->waiting + forgets->n_waiting, batch, n * sizeof(*batch));
    forgets->n_waiting += n;
    return 0;
}

int forgets_add(struct forgets *forgets, const struct vuf_forget_one *batch, size_t n)
{
    int r, lost;

    pthread_mutex_lock(&forgets->lock);
    r = take_back(forgets);
    while (r == 0 && n && !forgets->n_waiting && send_one(forgets, batch)) {
        batch++;
        n--;
    }
    lost = n ? append(forgets, batch, n) : 0;
    if (r == 0)
        r = drain(forgets);
    pthread_mutex_unlock(&forgets->lock);
    return r < 0 ? r : lost;
}

int forgets_interrupt(struct forgets *forgets, uint64_t unique)
{
    struct vuf_interrupt_in in = {.unique = unique};
    struct vuf_fuse_req *req;
    int r;

    pthread_mutex_lock(&forgets->lock);
    r = take_back(forgets);
    req = r == 0 ? vuf_fuse_get(forgets->fuse, VUF_HIPRIO) : NULL;
    if (req) {
        memcpy(vuf_fuse_args(req), &in, sizeof(in));
        /* Room for a reply: some back-ends answer EAGAIN when they do not know the request. */
        if (vuf_fuse_submit(forgets->fuse, req, VUF_OP_INTERRUPT, 0, sizeof(in), 0) < 0)
            vuf_fuse_put(forgets->fuse, req);
        vuf_fuse_kick(forgets->fuse, VUF_HIPRIO);
    }
    pthread_mutex_unlock(&forgets->lock);
    return r;
}

int forgets_service(struct forgets *forgets)
{
    int r;

    pthread_mutex_lock(&forgets->lock);
    r = drain(forgets);
    pthread_mutex_unlock(&forgets->lock);
    return r;
}
