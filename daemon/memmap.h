// SPDX-License-Identifier: BSD-3-Clause
/*
 * Guest memory as the front-end describes it: an immutable, counted snapshot of regions.
 *
 * A change (SET_MEM_TABLE, ADD_MEM_REG, REM_MEM_REG) makes a new snapshot; who uses the old one
 * goes on undisturbed and lets go of it later. Regions are counted objects of their own, shared
 * between snapshots; the last snapshot that holds a region unmaps it.
 *
 * Owner: the device holds one reference to the current snapshot, each queue one to the snapshot
 * it works with, and a worker one to a snapshot that its queue has left meanwhile. Counters are
 * atomic; the contents never change, so any thread may read what it has a reference to. The last
 * unref unmaps memory, which can take long: never call it with a lock held.
 */
#ifndef VIOFS_MEMMAP_H
#define VIOFS_MEMMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "vu_proto.h"

/* Regions in one snapshot, at the most; what GET_MAX_MEM_SLOTS answers. */
#define MEMMAP_SLOTS_MAX 509

struct memmap;

/* A snapshot without any region. NULL when out of memory. */
struct memmap *memmap_new_empty(void);

/*
 * A snapshot of exactly the given regions. A region that previous (may be NULL) has too, from
 * the same place of the same file, is shared with it and not mapped again. Maps fds[i] for
 * regions[i]; the descriptors stay the caller's and are not needed afterwards.
 *
 * Returns 0 with a reference; -EINVAL for a region of size 0, one that wraps around in any of
 * its three address spaces, or overlaps another; -ENXIO for a file that is shorter than the
 * region; -E2BIG; -ENOMEM; or what fstat() and mmap() said.
 */
int memmap_new_table(const struct memmap *previous, const struct vu_memory_region *regions,
                     const int *fds, unsigned count, struct memmap **ret_map);

/* A snapshot with one more region. Errors as above; -ENOSPC when all slots are taken. */
int memmap_new_added(const struct memmap *previous, const struct vu_memory_region *region, int fd,
                     struct memmap **ret_map);

/*
 * A snapshot without the region that has exactly this guest address, user address and size
 * (mmap_offset does not count). -ENOENT if there is none, -ENOMEM.
 */
int memmap_new_removed(const struct memmap *previous, const struct vu_memory_region *region,
                       struct memmap **ret_map);

struct memmap *memmap_ref(struct memmap *map);
void memmap_unref(struct memmap *map); /* NULL is fine */

/* True when nobody but the caller has a reference: exact only for who prevents new ones. */
bool memmap_is_sole(const struct memmap *map);

/* True when some region of before is not in after. */
bool memmap_lost_regions(const struct memmap *before, const struct memmap *after);

unsigned memmap_region_count(const struct memmap *map);

/*
 * Translates [address, address + size) of guest physical memory into host addresses; a range that
 * straddles regions that follow each other becomes several entries of iov.
 * Returns how many entries were filled (0 for size 0); -EFAULT when any byte lies in no region;
 * -E2BIG when iov_max entries do not do.
 */
int memmap_translate(const struct memmap *map, uint64_t address, uint64_t size, struct iovec *iov,
                     unsigned iov_max);

/*
 * A stretch of guest memory that lies in one region: what is looked for next mostly lies where the
 * last one did. Good for as long as the snapshot that it comes from; of size 0 there is nothing in
 * it.
 */
struct memmap_span {
    uint64_t guest_address;
    uint64_t size;
    char *host;
};

/* The region around a guest address, or nothing. */
struct memmap_span memmap_span_around(const struct memmap *map, uint64_t address);

/* Whether [address, address + size) lies in the span, and where. Never for size 0. */
static inline bool memmap_span_find(const struct memmap_span *span, uint64_t address, uint64_t size,
                                    char **ret_host)
{
    uint64_t offset = address - span->guest_address;

    if (offset >= span->size || size - 1 >= span->size - offset)
        return false;
    *ret_host = span->host + offset;
    return true;
}

/*
 * The way back: the guest address of a piece that this snapshot translated. Returns false when it
 * lies in none of its regions.
 */
bool memmap_guest_address(const struct memmap *map, const struct iovec *piece,
                          uint64_t *ret_address);

/* Copies guest memory once into private memory. Returns 0 or -EFAULT. */
int memmap_copy_in(const struct memmap *map, uint64_t address, void *buffer, size_t size);

/*
 * Translates a front-end user address ("ring addresses"). The range must lie in one region.
 * Returns NULL if it does not.
 */
void *memmap_user_address(const struct memmap *map, uint64_t address, uint64_t size);

#endif
