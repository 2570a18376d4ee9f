// SPDX-License-Identifier: BSD-3-Clause
/*
 * The server's and the threads' insides, for fuse/ alone.
 *
 * struct fuse_server: owner main, lives as long as the process; its tables do their own locking.
 * The working directory is /proc/self/fd from its birth on, so that "17" names descriptor 17.
 * struct fuse_thread: owner and only user is one thread.
 */
#ifndef VIOFS_SERVER_H
#define VIOFS_SERVER_H

#include "arena.h"
#include "counters.h"
#include "dax.h"
#include "epoch.h"
#include "fdbudget.h"
#include "handle.h"
#include "host_cred.h"
#include "inode.h"
#include "janitor.h"
#include "lock.h"
#include "mounts.h"
#include "opens.h"
#include "request.h"
#include "session.h"
#include "xattrmap.h"

struct fuse_server {
    const struct settings *settings;
    int share_fd;  /* O_PATH; the root inode uses it */
    int mountinfo; /* of host_mounts.h */
    bool all_ids;  /* of struct fuse_server_fds */
    struct arena *arena;
    struct epochs *epochs;
    struct fd_budget budget; /* descriptors that the guest can make us hold */
    struct inode_table *inodes;
    struct janitor *janitor;
    struct handle_table *handles;
    struct locks *locks;
    struct opens *opens; /* NULL: no guest does without OPEN */
    struct session session;
    struct counters_list counters;
    atomic_bool always_waits; /* the share's own file system has no RWF_NOWAIT */
    bool acl_works;           /* the share has POSIX ACLs, and --posix-acl wants them */
    char capability_name[XATTRMAP_NAME_MAX]; /* of setid.c; empty: the host calls it the same */
    struct dax *dax;                         /* NULL: no window was asked for */
    atomic_uint stuck_requests;
    atomic_uint stuck_in[MOUNTS_MAX]; /* of these, by mount */
};

#define NOWHERE              UINT32_MAX

/* No operation touches more inodes than a rename: two parents, and what it names. */
#define THREAD_TEMPORARY_MAX 4

struct fuse_thread {
    struct fuse_server *server;
    struct fuse_thread_hooks hooks;
    struct epoch_slot *epoch;
    struct counters counters;
    struct host_cred cred;              /* what this thread's credentials are right now */
    char *tail;                         /* FUSE_TAIL_MAX bytes: the tail of the running request */
    char *buffer;                       /* FUSE_BUFFER_SIZE bytes for an operation's own use */
    uint32_t window_pins[DAX_PINS_MAX]; /* ranges of the window that the request works in */
    unsigned window_pin_count;
    int temporary[THREAD_TEMPORARY_MAX]; /* descriptors to close when the request ends */
    unsigned temporary_count;
    bool removes_held;      /* what was last unlinked had a descriptor: inode_lookup_last() */
    _Atomic uint32_t mount; /* where the running request's inode is; NOWHERE: it has none */
    uint32_t stuck_in;      /* the mount that it is counted in; of fuse_thread_stuck() */
    struct fd_purse purse;
    struct handle_spares spare_handles;
    struct handle_late late;
    uint32_t requests; /* that it has begun, the last 2^32 */
    struct inode_spares spare_inodes;
    struct handle unopened; /* of a request whose directory or file has none (opens.h) */
};

/* Closes fd when the running request ends: for what the request uses and no table keeps. */
void thread_close_later(struct fuse_thread *thread, int fd);

/* It is not closed then: it belongs to the caller. False: it is none of these descriptors. */
bool thread_keep(struct fuse_thread *thread, int fd);

/* An operation's scratch memory: a full xattr value or list, or a directory block. */
#define FUSE_BUFFER_SIZE (65536 + 4096)

#endif
