// SPDX-License-Identifier: BSD-3-Clause
/*
 * The insides of dax, for dax*.c alone. A range belongs to the file whose node id it holds: the
 * fields of a range, and the chains that it is in, change with that file's lock held.
 */
#ifndef VIOFS_DAX_TABLE_H
#define VIOFS_DAX_TABLE_H

#include <pthread.h>
#include <stdatomic.h>

#include "dax.h"

#define DAX_PAGE        UINT64_C(4096)
#define DAX_RANGE_PAGES ((unsigned)(DAX_RANGE_SIZE / DAX_PAGE))
#define DAX_LOCKS       64u
#define DAX_BUCKETS     1024u

enum {
    DAX_TAIL = 1 << 0,     /* the pages from `real` on are ours */
    DAX_WRITABLE = 1 << 1, /* mapped so that the guest can store */
    DAX_STORES = 1 << 2,   /* the guest said that it will */
};

struct dax_range {
    _Atomic uint64_t nodeid; /* 0: free */
    uint64_t limit;          /* tail: a request is cutting the file to this size */
    uint64_t size;           /* tail: how long the file was when last in step */
    int64_t changed;         /* tail: when it had last changed then; 0: to be looked at again */
    uint64_t block;          /* which DAX_RANGE_SIZE of the file */
    uint32_t next;           /* 1 + index of the next in the chain; 0: end */
    uint16_t real;           /* pages that show the file itself */
    uint16_t flags;
    /* What an earlier session, or a call without an answer, may have left with the front-end. */
    uint16_t doubt_real; /* pages of a real piece */
    uint16_t doubt_tail; /* 1 + the page where a tail starts; 0: none */
    /* dax_mirror.c, with the mirror's lock. */
    uint16_t pins; /* requests that work in the mirror */
    bool mirrored;
};
_Static_assert(sizeof(struct dax_range) <= 64, "a mapping takes at most 64 bytes");

/* Chains of ranges by node id. Read without lock to see that there is nothing to do. */
struct dax_bucket {
    _Atomic uint32_t open;  /* growth or a tail may have to be looked after */
    _Atomic uint32_t whole; /* all pages are real */
};

struct dax_counters {
    atomic_ullong mapped;
    atomic_ullong removed;
    atomic_ullong tails;
    atomic_ullong refused;
};

struct dax {
    struct fuse_server *server;
    struct dax_mapper mapper; /* window_size 0: no way to a window */
    atomic_bool exact;
    uint64_t size; /* of the window as asked for */
    uint32_t range_count;
    struct dax_range *ranges;
    struct dax_bucket *buckets;
    _Atomic uint32_t in_use; /* ranges that are not free */
    pthread_mutex_t locks[DAX_LOCKS];
    struct dax_counters counters;

    /* Tails, all of them laid out as the window is. */
    int tail_fd;
    char *tail;    /* what the guest sees */
    int common_fd; /* never given away */
    char *common;  /* what file and guest agreed on when last in step */

    char *mirror; /* the window, for requests that point into it (dax_mirror.c) */
    pthread_mutex_t mirror_lock;
    struct dax_keeper *keeper;
};

/* A file, opened when first needed. */
struct dax_file {
    struct fuse_thread *thread;
    struct inode *inode;
    int fd; /* -1: not yet */
    bool writable;
};

#define DAX_FILE(a_thread, an_inode) \
    ((struct dax_file){.thread = (a_thread), .inode = (an_inode), .fd = -1})

/* Opens the file, to write if that is allowed and the front-end wants it or `write` is. */
int dax_file_open(struct dax_file *file, bool write);
int dax_file_stat(struct dax_file *file, struct statx *ret_attributes);
void dax_file_close(struct dax_file *file);

static inline uint32_t dax_index(const struct dax *dax, const struct dax_range *range)
{
    return (uint32_t)(range - dax->ranges);
}

static inline uint64_t dax_start(const struct dax_range *range)
{
    return range->block << DAX_RANGE_SHIFT;
}

/* How much of a file of this size lies in the range. */
static inline uint64_t dax_within(const struct dax_range *range, uint64_t size)
{
    uint64_t start = dax_start(range);
    if (size <= start)
        return 0;
    return size - start < DAX_RANGE_SIZE ? size - start : DAX_RANGE_SIZE;
}

/* Whether what a file of this size has in the range is mapped. */
static inline bool dax_is_covered(const struct dax_range *range, uint64_t size)
{
    return (range->flags & DAX_TAIL) || dax_within(range, size) <= range->real * DAX_PAGE;
}

/* The lock of a file. */
pthread_mutex_t *dax_lock_of(struct dax *dax, uint64_t nodeid);
struct dax_bucket *dax_bucket_of(const struct dax *dax, uint64_t nodeid);

/* dax_range.c, all with the file's lock: */

/* Takes a free range for a file, or -EAGAIN. */
int dax_claim(struct dax *dax, struct dax_range *range, uint64_t nodeid, uint64_t block);

/*
 * Maps what a file with these attributes has in the range and is not mapped; and, as a tail, room
 * for what it may grow to. What could not be done for a stop (-REQ_STOPPED) is left for another
 * call.
 */
int dax_cover(struct dax *dax, struct dax_range *range, struct dax_file *file,
              const struct statx *attributes, uint64_t promised);

/* Lets the guest store where it only read. */
int dax_upgrade(struct dax *dax, struct dax_range *range, struct dax_file *file);
/*
 * Takes the pieces back; the range stays the file's. ask: with calls to the front-end. Returns 0,
 * -REQ_STOPPED with the rest of the pieces as they were, or what the front-end said, with the
 * pieces in doubt.
 */
int dax_uncover(struct dax *dax, struct dax_range *range, struct dax_file *file, bool ask);
/* The same, and the range is free, except after -REQ_STOPPED. */
int dax_release(struct dax *dax, struct dax_range *range, struct dax_file *file, bool ask);

/* dax_tail.c, all with the file's lock: */

/* Makes the tail's memory show the file; for a tail that the guest does not see yet, too. */
int dax_tail_push(struct dax *dax, struct dax_range *range, struct dax_file *file,
                  const struct statx *attributes);
/* Writes what the guest has stored in the tail to the file, but for what the file no longer has. */
int dax_tail_pull(struct dax *dax, struct dax_range *range, struct dax_file *file, uint64_t size);
/* Whether a pull would write anything. */
bool dax_tail_dirty(const struct dax *dax, const struct dax_range *range);
/* Gives the memory back. */
void dax_tail_drop(struct dax *dax, struct dax_range *range);

/* When a file has last changed, in ns. */
int64_t dax_time_of_change(const struct statx *attributes);

/* dax_mirror.c: the mirror no longer shows the range. The file's lock is held. */
void dax_mirror_drop(struct dax *dax, struct dax_range *range);

/* dax_policy.c: the file was mapped, and should not have been; entirely: never again. */
void dax_doubt(struct inode *inode, bool entirely);

/* dax_keeper.c: a thread that looks after tails in which the guest may be storing. */
int dax_keeper_start(struct dax *dax);
void dax_keeper_stop(struct dax *dax);
void dax_keeper_wake(struct dax *dax);

#endif
