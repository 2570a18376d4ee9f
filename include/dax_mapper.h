// SPDX-License-Identifier: BSD-3-Clause
/*
 * The DAX window, as the file system asks the device for it: pages of host files put into, and
 * taken out of, the shared memory region (virtio 1.3, 5.11.4.1 and 5.11.6.5: "DAX window", shmid 0)
 * that the guest sees. The device implements it with requests to the front-end.
 *
 * Owner: the device, for one connection, from fuse_server_set_mapper() on until that is called with
 * NULL. Any thread that runs a request may call; calls are carried out one after another.
 */
#ifndef VIOFS_DAX_MAPPER_H
#define VIOFS_DAX_MAPPER_H

#include <stdbool.h>
#include <stdint.h>

/* The guest's kernel cuts the window into ranges of this size (Linux: FUSE_DAX_SZ): so do we. */
#define DAX_RANGE_SHIFT 21
#define DAX_RANGE_SIZE  (UINT64_C(1) << DAX_RANGE_SHIFT)

/* The largest window: 32768 ranges. */
#define DAX_WINDOW_MAX  (UINT64_C(1) << 36)

/* One mapping; offsets and length are multiples of the page size, in bytes. length is not 0. */
struct dax_mapping {
    int fd; /* the file: borrowed for the call. O_RDWR if writable */
    bool writable;
    uint64_t fd_offset;
    uint64_t window_offset;
    uint64_t length;
};

struct dax_mapper {
    void *owner;
    uint64_t window_size; /* bytes: a power of two, DAX_RANGE_SIZE to DAX_WINDOW_MAX */

    /*
     * The front-end takes only pages that lie wholly inside the file, only places where nothing is
     * mapped, and it must never be given an empty file (QEMU 11.1 would make it longer). Otherwise
     * it takes mappings beyond the end of the file, and new ones over old ones.
     */
    bool exact;

    /*
     * Puts pages into the window; returns when the guest can see them. 0, or
     *
     *  -EAGAIN     the front-end refused: no room, or a rule of its own; nothing is mapped there
     *              that was not before
     *
     *  -ECANCELED  the device is being stopped: the front-end may or may not carry it out later.
     *              The request that wanted it may be restarted (FUSE_SERVER_RESTART)
     *
     *  -EIO        no channel, no answer in time, or a broken answer: the front-end may or may not
     *              carry it out, and later calls on this connection may or may not succeed
     */
    int (*map)(void *owner, const struct dax_mapping *mapping);

    /* Takes exactly one earlier mapping away. Errors as above. */
    int (*unmap)(void *owner, uint64_t window_offset, uint64_t length);
};

#endif
