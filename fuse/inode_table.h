// SPDX-License-Identifier: BSD-3-Clause
/*
 * The inode table's insides, for inode*.c alone.
 *
 * Locks, in the order in which they may be taken: a shard's, then the list's of threads' slots, a
 * thread's own, the slab's; or the descriptor cache's. No host call is made under any of them. The
 * epoch's own lock is a leaf below all, and so is the descriptor budget's.
 *
 *   shard   guards its index, and the step of lookups from zero together with being in there; who
 *           reads it without is told about at find_alike()
 *   spares  the list's guards the list, a thread's the free slots that it keeps (inode_slots.c)
 *   slab    guards the chunks (inode_slots.c) and the high-water mark
 *   ring    guards which ids linger; a leaf, as the epoch's
 *   cache   guards which inodes are in the descriptor cache, and fd of those that may be in it
 */
#ifndef VIOFS_INODE_TABLE_H
#define VIOFS_INODE_TABLE_H

#include <pthread.h>

#include "fdbudget.h"
#include "inode.h"
#include "inode_index.h"
#include "mounts.h"

#define INODE_SHARDS        (1u << INODE_INDEX_SKIP)
#define INODE_ROOT          1u /* slab index, as FUSE_ROOT_ID; index 0 is none */
#define INODE_CACHE_NO_SLOT UINT32_MAX

_Static_assert(INODES_MAX <= 1u << INODE_INDEX_BITS, "an index must have room for a slab index");

struct inode_shard {
    _Alignas(64) pthread_mutex_t lock;
    struct inode_index index;
};

/* The bounded cache of O_PATH descriptors of inodes that file handles stand for. */
struct inode_cache {
    _Alignas(64) pthread_mutex_t lock;
    uint32_t *slots; /* slab indices */
    uint32_t capacity;
    _Atomic uint32_t used;
    uint32_t hand; /* where the next search for a cold one begins */
};

/* Ids of inodes that the guest has forgotten, in that order; 0: an empty place (inode_linger.c). */
struct inode_ring {
    _Alignas(64) pthread_mutex_t lock;
    uint64_t *ids; /* INODES_LINGERING_MAX */
    uint32_t next; /* the oldest one's place, which is filled next */
};

/* Slots that get and give back their memory together: 64 KiB. */
#define INODE_CHUNK  512u
#define INODE_CHUNKS (INODES_MAX / INODE_CHUNK)

struct inode_chunk {
    uint32_t free;       /* first slot of its free list; 0: none */
    uint16_t used;       /* slots in use */
    uint16_t high;       /* slots from here on were not used since it got its memory */
    uint32_t generation; /* the largest that a slot had when it was given back */
};

struct inode_table {
    struct fuse_server *server;
    struct inode *slab;
    struct inode_chunk *chunks; /* INODE_CHUNKS, in the arena as well */
    struct mounts *mounts;
    uint64_t key[2]; /* random, the second odd: nobody can choose inodes that lie close together */
    bool untrimmed;  /* an index was replaced whose memory the heap may still hold; janitor only */
    struct inode_shard shards[INODE_SHARDS];
    struct inode_cache cache;
    struct inode_ring ring;
    _Atomic int64_t vanish_until; /* monotonic seconds; see inode_files_vanish() */
    _Atomic uint32_t high;        /* slots below it were used at some time */

    _Alignas(64) pthread_mutex_t spares_lock;
    struct inode_spares *spares; /* list of those of all threads */

    _Alignas(64) pthread_mutex_t slab_lock;
    uint32_t live;                    /* slots in use, those that threads keep included */
    uint32_t room_first;              /* word of room below which there is none */
    uint64_t room[INODE_CHUNKS / 64]; /* which chunks have a slot to spare */
};

/* inode_fd.c: whether a descriptor can be cached without another one's having to go. Any thread. */
bool inode_cache_has_room(const struct inode_table *table);

/*
 * inode_fd.c: opens the inode by its handle and caches the descriptor. Returns 0, with the inode
 * and its identity then being one file's until the request ends, or a negative errno.
 */
int inode_pin(struct fuse_thread *thread, struct inode *inode);

/* inode_fd.c: offers fd to be the inode's cached descriptor. False: not wanted, the caller keeps
 * it. */
bool inode_cache_offer(struct fuse_thread *thread, struct inode *inode, int fd);
/* Closes the inode's descriptor, if it has one, when every request that may have found it has
 * ended. */
void inode_cache_drop(struct inode_table *table, struct inode *inode);
/* Takes the inode's descriptor away from it, wherever it is from; -1: it has none. */
int inode_cache_remove(struct inode_table *table, struct inode *inode);

/*
 * inode_fd.c: whether, within the last seconds, the guest wanted to use a file that the host had
 * deleted since it was looked up. What is looked up meanwhile gets a descriptor at once: a name
 * that is given to one new file after the other, as editors and package managers do, then is always
 * found with a file that can still be opened, though Linux tries again only once.
 */
bool inode_files_vanish(struct inode_table *table);

/* inode_lookup.c: the shard of an identity, and taking an inode out of its index (locked). */
struct inode_shard *inode_shard_of(struct inode_table *table, uint32_t mount, uint64_t dev,
                                   uint64_t ino);
void inode_unlist(struct inode_table *table, struct inode_shard *shard, const struct inode *inode);

/* inode_lookup.c: whether attributes are those of this very file, by identity. */
bool inode_is(const struct inode *inode, const struct statx *attributes);

/*
 * inode_linger.c: leaves an inode without lookups where it is, for a while. Returns false if it may
 * not; then it is to be given up. *ret_oldest is the id of one whose time is over, or 0.
 */
bool inode_linger(struct inode_table *table, struct inode *inode, uint64_t *ret_oldest);

/* inode.c: takes one lookup back of an inode whose file is gone: it does not linger. */
void inode_forget_gone(struct inode_table *table, struct inode *inode);

/*
 * inode_lookup.c: makes the indices smaller that had more inodes once. Returns true if there was
 * one, whose memory is the heap's when requests that may see it have ended.
 */
bool inode_shards_rest(struct inode_table *table);

/* inode_slots.c: everything but the root's slot is free. */
void inode_slots_init(struct inode_table *table);
/* A slot for a new inode; NULL at INODES_MAX. Its last_generation is set. */
struct inode *inode_slot_take(struct fuse_thread *thread);
/* Gives a slot back. Returns true if that leaves memory for inode_slots_rest() to give back. */
bool inode_slot_put(struct inode_table *table, struct inode *inode);
/* Whether there may be an inode near that index. If not, the memory is better not looked at. */
bool inode_chunk_in_use(struct inode_table *table, uint32_t index);
/* How many slots are in use: not those that threads keep. */
uint32_t inode_slots_used(struct inode_table *table);
/* Gives back the memory of slots that are no longer in use. No lock held. */
void inode_slots_rest(struct inode_table *table);

#endif
