// SPDX-License-Identifier: BSD-3-Clause
/*
 * handle: every open file and directory of the guest.
 *
 * A handle (fh) is slab index and generation, as a node id is; finding one takes no lock, and its
 * descriptor stays open until the request that found it ends, also when another thread releases
 * it meanwhile (epoch.h). It is good only together with the node id that it was opened on.
 *
 * Whoever opens and closes files needs a slot for each. So that queues do not wait for each other
 * there, a thread takes free slots from the table and gives them back HANDLE_LOT at a time, and
 * keeps a few in between. What threads can keep is not missing: the table has so many more slots.
 *
 * Programs open the same files again and again, for which Linux sends OPEN and RELEASE each time.
 * So a file that was open for reading only may become idle instead: the guest has no handle of it,
 * the descriptor stays for the next OPEN of the same inode, one for each place of a table that the
 * inode's index leads to. The janitor closes what was not opened again for a while; and what is
 * opened again and again is opened anew on the host after as long, where it may be deleted by now.
 *
 * A new file is closed late: when the thread that has served its RELEASE has nothing else to do,
 * and after HANDLE_LATE_REQUESTS more requests or HANDLES_LATE_MAX more such files at the latest.
 * Until then it has the same place, for UNLINK, which needs a descriptor of what it removes: many
 * files live for a moment.
 *
 * Owner: the table (in the arena). Lifetime: OPEN / CREATE / OPENDIR to RELEASE(DIR).
 */
#ifndef VIOFS_HANDLE_H
#define VIOFS_HANDLE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fuse_server.h"

struct handle_table;

#define HANDLES_MAX          (1u << 20) /* open at a time: no descriptor budget is larger */

/* Free slots that a thread moves at a time, and may keep. */
#define HANDLE_LOT           16u
#define HANDLE_SPARES_MAX    (2 * HANDLE_LOT)

/* For all that may be open and all that threads may keep; slot 0 is never used. */
#define HANDLE_SLOTS         (1 + HANDLES_MAX + FUSE_THREADS_MAX * HANDLE_SPARES_MAX)

/* Idle ones: at most so many, and of the descriptor budget at most the share; but one. */
#define HANDLES_IDLE_MAX     4096u
#define HANDLES_IDLE_SHARE   16

/* Late ones of a thread, and how many more requests it may run until it closes one. */
#define HANDLES_LATE_MAX     64u
#define HANDLE_LATE_REQUESTS 128u

enum handle_kind { HANDLE_FILE = 1, HANDLE_DIR = 2 };

struct handle {
    /* A cache line of its own: neighbours may be files of other queues. */
    _Alignas(64) _Atomic uint32_t generation; /* of the fh while open; 0: not the guest's */
    uint32_t last_generation;
    uint32_t next; /* free list */
    int32_t fd;
    _Atomic uint64_t nodeid;
    uint32_t flags;           /* open(2) flags that the descriptor has; O_CREAT: CREATE made the
                               * file with it; O_DIRECT: see host_io.h */
    _Atomic uint16_t kind;    /* enum handle_kind */
    atomic_bool always_waits; /* its file system has no RWF_NOWAIT */
    uint32_t born;            /* looks of the janitor before the host opened it */
    _Atomic uint32_t user;    /* the one thread that has used it; HANDLE_USED_BY_MANY */

    /* Directories: where the descriptor's position is. Held over lseek and getdents together. */
    pthread_mutex_t position_lock;
    int64_t position;
};

/* Numbers of free slots that a thread keeps. Only that thread touches them. */
struct handle_spares {
    uint32_t count;
    uint32_t slots[HANDLE_SPARES_MAX];
};

/* Nodes whose files a thread has to close late, in that order. Only that thread touches it. */
struct handle_late {
    uint32_t first, count;
    uint32_t at[HANDLES_LATE_MAX]; /* the thread's number of requests then */
    uint64_t nodeids[HANDLES_LATE_MAX];
};

/* What the table takes of the arena. */
size_t handles_arena_size(void);

int handle_table_new(struct fuse_server *server, struct handle_table **ret_table);
void handle_table_free(struct handle_table *table);

/*
 * Makes a handle of fd, which was counted in the descriptor budget and which the table takes over
 * on success. Returns 0, or -ENFILE when there is no slot: never, as fd counts in the budget.
 */
int handle_new(struct fuse_thread *thread, enum handle_kind kind, int fd, uint32_t flags,
               uint64_t nodeid, uint64_t *ret_fh);

/* Finds an open handle, which is good until the request ends. Returns 0, or -EBADF when fh is not
 * an open handle of that kind and node.
 */
int handle_get(struct fuse_thread *thread, enum handle_kind kind, uint64_t fh, uint64_t nodeid,
               struct handle **ret_handle);

/*
 * A descriptor of any open handle of that node, good until the request ends. Looks at all of them:
 * for when nothing else leads to the file any more. Returns 0 or -EBADF.
 */
int handle_of_node(struct fuse_thread *thread, uint64_t nodeid, int *ret_fd);

/* Closes a handle, now or when the last other request that uses it has ended. Returns 0 or -EBADF.
 */
int handle_release(struct fuse_thread *thread, enum handle_kind kind, uint64_t fh, uint64_t nodeid);

/*
 * The same for a file whose descriptor may serve the next OPEN as well: if it is open for reading
 * and nothing else (flags O_RDONLY), is not too old, and no other request uses it, it becomes idle.
 */
int handle_release_idle(struct fuse_thread *thread, uint64_t fh, uint64_t nodeid);

/* The same for one that CREATE opened, whatever for: it is closed late. No OPEN gets it again. */
int handle_release_late(struct fuse_thread *thread, uint64_t fh, uint64_t nodeid);

/* Opens that node's idle file again, for the guest. Returns 0, or -ENOENT when there is none. */
int handle_open_idle(struct fuse_thread *thread, uint64_t nodeid, uint64_t *ret_fh);

/* Closes that node's idle or late file, if there is one: the node is given up. */
void handle_drop_idle(struct handle_table *table, uint64_t nodeid);

/* Whether that node has an idle or late file: what another thread may change at any moment. */
bool handle_has_idle(const struct handle_table *table, uint64_t nodeid);

/*
 * Takes the descriptor of that node's idle or late file, which becomes the caller's and no longer
 * counts in the budget. Returns it, or -1 when there is none.
 */
int handle_take_idle(struct fuse_thread *thread, uint64_t nodeid);

/* Closes the thread's late files; not all: those whose time is over. */
void handle_close_late(struct fuse_thread *thread, bool all);

/*
 * Closes the idle files that are so for one or two calls of this. Returns how many are left. The
 * janitor. Late files as well, of threads that are stuck.
 */
unsigned handle_rest(struct handle_table *table);

/*
 * Closes idle and late files, so many at most, for the sake of their descriptors. Returns how many.
 * 0: there is none, but for one each that other threads are just closing.
 */
unsigned handle_close_idle(struct handle_table *table, unsigned at_most);

/* The same by fh alone, for one that is no handle of the guest's. */
void handle_drop(struct handle_table *table, uint64_t fh);

void handle_release_all(struct handle_table *table);

/* The thread ends: its free slots are the table's again. */
void handle_spares_return(struct fuse_thread *thread);

#endif
