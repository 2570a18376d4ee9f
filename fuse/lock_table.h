// SPDX-License-Identifier: BSD-3-Clause
/* The insides of the lock tables, for lock*.c alone: see lock.h. */
#ifndef VIOFS_LOCK_TABLE_H
#define VIOFS_LOCK_TABLE_H

#include <pthread.h>
#include <stdbool.h>

#include "lock.h"

#define LOCK_STRIPES 1024u /* a power of two */

struct lock_waits;

/* Indices into the slabs; 0 ends a chain. */
struct lock_owner {
    uint64_t nodeid;
    uint64_t owner;
    uint64_t fh;     /* through which a lock was set last */
    int32_t fd;      /* its open file on the host */
    uint32_t mode;   /* O_ACCMODE part of what fd is open for */
    uint32_t ranges; /* sorted, apart or of different types */
    uint32_t next;   /* in the stripe or the free list */
};

struct lock_range {
    struct host_lock lock; /* F_RDLCK or F_WRLCK */
    uint32_t pid;
    uint32_t next; /* in the owner's chain or the free list */
};

struct lock_stripe {
    pthread_mutex_t lock;
    uint32_t owners;
};

struct locks {
    struct fuse_server *server;
    struct lock_owner *owners; /* [LOCK_OWNERS_MAX], the arena's */
    struct lock_range *ranges; /* [LOCK_RANGES_MAX] */
    struct lock_stripe stripes[LOCK_STRIPES];
    pthread_mutex_t slab_lock;
    uint32_t free_owner, high_owner; /* slab_lock; free chain, first never used */
    uint32_t free_range, high_range;
    _Atomic uint32_t owner_count; /* 0: FLUSH and RELEASE have nothing to do */
    struct lock_waits *waits;
};

struct lock_stripe *lock_stripe_of(struct locks *locks, uint64_t nodeid);

/* An owner of a record lock on a file. The stripe is locked. 0: there is none. */
uint32_t lock_owner_find(const struct locks *locks, const struct lock_stripe *stripe,
                         uint64_t nodeid, uint64_t owner);

/*
 * Sets a record lock of an owner that exists, with a descriptor that allows it. The stripe is
 * locked. ret_blocker: with -EAGAIN, the owner of ours that is in the way, 0: none of ours.
 */
int lock_apply(struct locks *locks, struct lock_stripe *stripe, uint32_t owner,
               const struct lock_request *wanted, uint64_t *ret_blocker);

/* lock_wait.c. */
int lock_waits_new(struct locks *locks);
void lock_waits_free(struct locks *locks);

/* A lock on the file was released or made weaker: whoever waits for it tries again now. */
void lock_waits_wake(struct locks *locks, uint64_t nodeid);

/*
 * Ends with error the waits on a file that were asked for through handle fh: those of one owner for
 * record locks, or (owner 0) all. Returns true when there are others, through other handles. The
 * file's stripe is locked.
 */
bool lock_waits_cancel(struct locks *locks, uint64_t nodeid, uint64_t fh, uint64_t owner,
                       int error);

/*
 * Defers a request that has found somebody in the way: blocker of this guest, or (0) somebody else.
 * The file's stripe is locked. Returns -REQ_DEFERRED, -EDEADLK, -EINTR, -ENOLCK, -ENFILE, -ENOMEM.
 */
int lock_waits_add(struct fuse_req *req, const struct handle *handle,
                   const struct lock_request *wanted, uint64_t blocker);

/* Ends all waits. Returns when they are answered. */
void lock_waits_end(struct locks *locks);

#endif
