// SPDX-License-Identifier: BSD-3-Clause
/*
 * inode: every file that the guest knows by a node id.
 *
 * A node id is slab index and generation: an id that was given back never names another file.
 * Finding an inode by id takes no lock; a pointer found inside a request stays good until the
 * request ends (epoch.h), whatever other threads forget meanwhile. Nor does LOOKUP take one that
 * finds an inode which is in use by identity; a new one, and one that lingers, is counted under the
 * lock of one of INODE_SHARDS shards.
 *
 * Identity is mount, device and inode number, together with what tells a reused number apart: the
 * kernel's file handle, or an O_PATH descriptor that keeps the number from being reused.
 *
 * Owner: the table (in the arena, index-based, no pointers). Lifetime of an entry: from the
 * LOOKUP (or CREATE ...) that counts one until FORGET takes the last count back, and a while longer
 * if it lingers.
 */
#ifndef VIOFS_INODE_H
#define VIOFS_INODE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

struct fd_purse;
struct fuse_server;
struct fuse_thread;
struct inode_table;

#define INODES_MAX           (1u << 24) /* known to the guest at a time: 2 GiB of table */
#define INODES_LINGERING_MAX (1u << 16) /* forgotten, and still found: 8 MiB of the table */
#define INODE_LARGE          (1u << 20) /* bytes: to delete it takes as long as some requests */
#define INODE_HANDLE_MAX     60 /* bytes of file handle; a longer one is replaced by a descriptor */

struct inode {
    _Atomic uint32_t generation; /* of the node id; 0: it is not valid, or the slot is free */
    uint32_t last_generation;    /* what the slot's last id had */
    union {
        uint32_t next;        /* of a free slot: slab index of the next in the list; 0: end */
        atomic_bool is_large; /* of one in use: see inode_mark_large() */
    };
    uint32_t mount;           /* index in the mount table */
    _Atomic uint64_t lookups; /* the guest's reference count */
    uint64_t ino;
    uint64_t dev;
    uint64_t birth;              /* time of birth in ns, 0 where the file system has none */
    _Atomic int32_t fd;          /* O_PATH descriptor, cached or pinned; -1: none now. Of a file
                                  * that was removed: maybe as CREATE or OPEN has opened it */
    _Atomic uint32_t cache_slot; /* in the descriptor cache; set under that cache's lock */
    uint16_t type;               /* S_IFMT part of the mode: it never changes */
    atomic_bool hot;             /* used since the cache's hand last came by */
    uint8_t handle_length;       /* 0: no file handle, the descriptor is the reference and stays */
    int32_t handle_type;
    uint8_t handle[INODE_HANDLE_MAX];
    atomic_bool verified;       /* the handle was seen to lead to a file of this identity */
    atomic_bool told_stale;     /* a directory that the host deleted: ESTALE was answered once */
    _Atomic uint8_t dax_doubts; /* why it should stay on the queues: counts to a few */
    atomic_bool lingers;        /* its id is in the ring of forgotten ones (inode_linger.c) */
};
_Static_assert(sizeof(struct inode) == 128, "an inode is two cache lines");

/* Free slots that a thread takes at a time, for its next new inodes. */
#define INODE_LOT 16u

/* Those that it has left. Members of the table's list; inode_slots.c has all that touches them. */
struct inode_spares {
    pthread_mutex_t lock;
    uint32_t first; /* they are slots[first] and so on */
    uint32_t count;
    uint32_t slots[INODE_LOT];
    struct inode_spares *next;
};

/* A thread begins to use the table; and it ends, with what it has left. */
void inode_spares_join(struct inode_table *table, struct inode_spares *spares);
void inode_spares_leave(struct inode_table *table, struct inode_spares *spares);

/* What the table takes of the arena. */
size_t inodes_arena_size(void);

int inode_table_new(struct fuse_server *server, int share_fd, struct inode_table **ret_table);
void inode_table_free(struct inode_table *table);

/*
 * Finds the inode of a node id. Returns 0, or -ESTALE for an id that the guest does not hold and
 * that does not linger.
 */
int inode_get(struct inode_table *table, uint64_t nodeid, struct inode **ret_inode);

/* The place of an inode in the table. */
uint32_t inode_index(const struct inode_table *table, const struct inode *inode);

/* The node id of an inode. */
uint64_t inode_id(const struct inode_table *table, const struct inode *inode);

/*
 * Looks name up in parent, counts one lookup on what it finds, and gives its attributes. name is a
 * checked single component; a symbolic link is found, not followed. Returns 0, or the errno of
 * the host's lookup, or -ENFILE / -ENOMEM at a limit.
 *
 * ret_submount is true when a file system is mounted there (a directory of another mount than
 * parent's).
 */
int inode_lookup(struct fuse_thread *thread, struct inode *parent, const char *name,
                 struct inode **ret_inode, struct statx *ret_attributes, bool *ret_submount);

/*
 * The same with a system call less when it is a FIFO, socket or device (of which an inode keeps a
 * descriptor), and with more when it is not.
 */
int inode_lookup_special(struct fuse_thread *thread, struct inode *parent, const char *name,
                         struct inode **ret_inode, struct statx *ret_attributes,
                         bool *ret_submount);

/* What is about to lose its last name, with one lookup counted. */
struct inode_victim {
    struct inode *inode;
    int fd;        /* good until the request ends; -1: none is to be had */
    bool is_large; /* a file of INODE_LARGE bytes on the host or more */
};

/*
 * For what is about to lose its name: the inode by which the guest knows what it calls name in
 * parent. Returns -ENOENT if the guest does not know it, or if it is a file with other names left,
 * or the errno of the host's open(2).
 */
int inode_lookup_last(struct fuse_thread *thread, struct inode *parent, const char *name,
                      struct inode_victim *ret_victim);

/*
 * The same as inode_lookup() for a file that is open: fd is any descriptor of it, and stays the
 * caller's. For what was just created, where the name may already mean something else.
 */
int inode_of_file(struct fuse_thread *thread, int fd, struct inode **ret_inode,
                  struct statx *ret_attributes);

/*
 * For LOOKUP of "." and "..", which a guest with FUSE_EXPORT_SUPPORT asks of node ids that it may
 * have forgotten. inode_again counts one lookup on inode itself. inode_parent finds the directory
 * above and counts one on that; the share's root is above itself, and a directory that lies outside
 * of the share by now has nothing above it: -ESTALE, never a way out.
 */
int inode_again(struct fuse_thread *thread, struct inode *inode, struct statx *ret_attributes);
int inode_parent(struct fuse_thread *thread, struct inode *inode, struct inode **ret_inode,
                 struct statx *ret_attributes);

/*
 * Takes count lookups back; at zero the guest no longer knows the inode. An id that it does not
 * hold, or a count larger than what it has, is clamped: a guest can only harm itself.
 */
void inode_forget(struct fuse_thread *thread, uint64_t nodeid, uint64_t count);

/*
 * Forgets every inode but the root. Other threads may be inside requests. Inside the thread's
 * epoch, which ends meanwhile: what the request has found so far is not good any more.
 */
void inode_forget_all(struct fuse_thread *thread);

/* How many inodes the guest knows, the root and those that linger included. */
uint32_t inode_count(struct inode_table *table);

/* Whether the inode has a descriptor at this moment. */
static inline bool inode_has_fd(const struct inode *inode)
{
    return atomic_load(&inode->fd) >= 0;
}

/*
 * A descriptor of the inode, for what an O_PATH descriptor is good for. It belongs to the table (or
 * to the request) and is good until the request ends; never close it. Returns 0 or a negative
 * errno.
 *
 * A file that the host deleted is -ESTALE: Linux then looks the path up again, and its program gets
 * what is there now, or ENOENT. A directory that is deleted is -ENOENT from the second time on:
 * Linux holds it by something else than a path, as the current directory of a process.
 */
int inode_fd(struct fuse_thread *thread, struct inode *inode, int *ret_fd);

/*
 * Closes the descriptors that nobody used since the last call, of regular files, whose space on the
 * host they keep once the file is deleted, of everything on mounts below the share, which they
 * keep from being unmounted, and of what lingers. Returns how many of these are left. Gives back
 * the memory of inodes that the guest has forgotten. The janitor, outside of epochs.
 */
unsigned inode_rest(struct inode_table *table);

/* syncfs(2) for everything mounted at and below the share, see mounts_sync(). */
int inode_sync_mounts(struct inode_table *table, int share_fd);

/*
 * Takes one descriptor from the budget for something other than a cached inode; if need be, from
 * one. purse: as of fd_budget_take(). Returns 0, or -ENFILE when all are in use in earnest.
 */
int inode_budget_take(struct fuse_server *server, struct fd_purse *purse);

/*
 * Keeps the inode's descriptor until it is forgotten: for a file whose last name is gone. Its file
 * handle alone would not keep it alive. Returns false when it has none at this moment.
 */
bool inode_keep(struct inode_table *table, struct inode *inode);

/*
 * The same for one that may have no descriptor yet: fd is any of the file, or one of the
 * request's own (thread_close_later()), which the inode then takes over. It counts in the
 * budget. Returns 0, -ENFILE, or the errno of the host.
 */
int inode_hold(struct fuse_thread *thread, struct inode *inode, int fd);

/*
 * Says of an inode that keeps its descriptor, for one of those reasons, that its file is large.
 * When the guest forgets it, that descriptor is the last thing that leads to the file, and closing
 * it is the deletion, which takes the host a millisecond for each 10 to 70 MB. So it is the
 * janitor's to close, and no request waits for it. What becomes large only later is closed as all
 * others are.
 */
static inline void inode_mark_large(struct inode *inode)
{
    atomic_store_explicit(&inode->is_large, true, memory_order_relaxed);
}

/* Takes that back for a regular file: it has a name again, so that a file handle will do. */
void inode_let_go(struct fuse_thread *thread, struct inode *inode);

/*
 * Whether closing a file that was written can tell nothing that the writes did not: true for local
 * file systems that are known, false for all others.
 */
bool inode_closes_silently(const struct inode_table *table, const struct inode *inode);

/* Whether a call is the same to the inode's file system whoever makes it: mounts_ignores_ids(). */
bool inode_ignores_ids(const struct inode_table *table, const struct inode *inode,
                       bool takes_blocks);

/*
 * Whether an offset that a directory's listing gave means the same when the directory is opened
 * again, however it has changed: true where that is known of the file system.
 */
bool inode_offsets_last(const struct inode_table *table, const struct inode *inode);

/*
 * Opens a regular file or directory for I/O. flags are open(2)'s; O_CREAT, O_EXCL and O_NOFOLLOW
 * must not be among them; close-on-exec is added. Anything but a regular file or a directory is
 * never opened: -ENXIO (sockets, FIFOs, devices) or -ELOOP (symbolic links). The caller owns the
 * descriptor.
 */
int inode_open(struct fuse_thread *thread, struct inode *inode, int flags, int *ret_fd);

#endif
