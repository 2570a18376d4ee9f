// SPDX-License-Identifier: BSD-3-Clause
/*
 * The DAX window on the device's side: how the front-end is asked to map (include/dax_mapper.h, on
 * the back-end channel), and where the window lies in the guest's memory.
 *
 * Nothing tells a back-end the guest address of the window. But QEMU counts what is mapped there as
 * memory of the guest and sends it in its next memory table, with the file's own descriptor: a
 * region that is, by file, offset and length, one of the latest mappings gives the address away.
 * None of these regions gets into struct memmap: they come and go with every mapping, would be kept
 * from going by the requests that run, and are told of only while the table has room for them.
 *
 * Owner: the device, for one connection. The control thread calls the functions below; the mapper's
 * own are called by the queues' threads. lock guards the latest mappings; it is held for a moment
 * and ranks below all others.
 */
#ifndef VIOFS_WINDOW_H
#define VIOFS_WINDOW_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "backchan.h"
#include "dax_mapper.h"
#include "settings.h"
#include "virtq.h"
#include "vu_proto.h"

/* The region's id (virtio 1.3, 5.11.4.1). */
#define DAX_SHMID      0

/* Mappings that are known again in a memory table. A table has the oldest ones of a window, too. */
#define DAX_LATEST_MAX 1024

enum dax_way { DAX_WAY_NONE, DAX_WAY_SHMEM, DAX_WAY_FS_MAP };

struct dax_latest {
    uint64_t device; /* the file's; */
    uint64_t inode;
    uint64_t fd_offset;
    uint64_t window_offset;
    uint64_t length; /* 0: not in use */
};

struct dax_window {
    const struct settings *settings;
    struct fuse_server *server;
    struct backchan *channel;

    bool config_asked; /* by GET_SHMEM_CONFIG: the front-end has a window for us */
    bool decided;      /* the next two are: once for each connection, and when they change */
    enum dax_way way;
    bool exact; /* as in struct dax_mapper */

    struct virtq_window place; /* for the queues */

    pthread_mutex_t lock;
    struct dax_latest latest[DAX_LATEST_MAX]; /* a ring */
    unsigned next;

    atomic_ulong maps, unmaps, refusals;
};

void dax_window_init(struct dax_window *window, const struct settings *settings,
                     struct fuse_server *server, struct backchan *channel);
void dax_window_destroy(struct dax_window *window);

/* True when SHMEM is to be offered. */
bool dax_window_offers_shmem(const struct settings *settings);

/*
 * Finds out how, and whether, this front-end can be asked to map, and tells the file system. To be
 * called when no queue runs and the first one is about to start. features: protocol features as
 * negotiated.
 */
void dax_window_settle(struct dax_window *window, uint64_t features);

/*
 * The front-end has left, no queue runs: the file system has no window any more. After
 * fuse_server_reset(), and before the device is freed, which the mapper uses.
 */
void dax_window_leave(struct dax_window *window);

/* For virtq_set_window(): NULL when the guest has no window. */
const struct virtq_window *dax_window_place(const struct dax_window *window);

/*
 * Leaves the window's regions out of a memory table. fds are theirs, in the same order, and are
 * moved along; none is closed. Returns how many are left. complete: there are no other regions. If
 * none is in the window then, nothing is mapped there, or it has moved: its place is forgotten, and
 * the next mapping tells it.
 */
unsigned dax_window_filter(struct dax_window *window, struct vu_memory_region *regions, int *fds,
                           unsigned count, bool complete);

/* True when the region lies in the window, as far as its place is known. */
bool dax_window_covers(const struct dax_window *window, const struct vu_memory_region *region);

/*
 * RESET_DEVICE: whoever starts the guest anew may put the window elsewhere.
 *
 * Status 0 is not the moment: QEMU sends it for each pause, too, over which the window stays where
 * it is, mappings and all; and when these are too many for a table, none would tell its place
 * again. Where status 0 does stand for a reset, QEMU has dropped all mappings when it sends the
 * next table, which is complete and has none. A place that outlived its window all the same could
 * do harm only if a driver gave us addresses there that are another device's: a BAR is aligned to
 * its size, so that the old place and the new one have no byte in common.
 */
void dax_window_forget_place(struct dax_window *window);

#endif
