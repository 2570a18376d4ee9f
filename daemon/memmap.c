// SPDX-License-Identifier: BSD-3-Clause
#include "memmap.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "guestfault.h"
#include "log.h"
#include "scope.h"

/* No file and no address space is larger; keeps all sums below far from wrapping around. */
#define REGION_SIZE_MAX (UINT64_C(1) << 47)

struct region {
    atomic_uint refs;
    struct vu_memory_region at;
    char *host; /* of the region's first byte */
    void *mapping;
    size_t mapping_size;
    dev_t device; /* the file, to know the region again */
    ino_t inode;
    int fault_slot;
};

struct memmap {
    atomic_uint refs;
    unsigned count;
    struct region *regions[]; /* count of them, by guest address */
};

static struct region *region_ref(struct region *region)
{
    atomic_fetch_add_explicit(&region->refs, 1, memory_order_relaxed);
    return region;
}

static void region_unref(struct region *region)
{
    if (!region || atomic_fetch_sub_explicit(&region->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (region->fault_slot >= 0)
        guestfault_forget(region->fault_slot);
    if (region->mapping != MAP_FAILED)
        munmap(region->mapping, region->mapping_size);
    free(region);
}

static void scope_region(struct region **region)
{
    region_unref(*region);
}

static void scope_memmap(struct memmap **map)
{
    memmap_unref(*map);
}

static bool wraps(uint64_t start, uint64_t size)
{
    /* The last byte may be the last of the address space. */
    return start > UINT64_MAX - (size - 1);
}

static bool overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
    return a - b < b_size || b - a < a_size;
}

static int check_region(const struct vu_memory_region *at)
{
    if (at->size == 0 || at->size > REGION_SIZE_MAX || at->mmap_offset > REGION_SIZE_MAX ||
        wraps(at->guest_address, at->size) || wraps(at->user_address, at->size))
        return -EINVAL;
    return 0;
}

/* The page size of the file's own mapping: a huge page on hugetlbfs. Returns -errno. */
static int file_page_size(int fd, size_t *ret_size)
{
    struct statfs fs;

    if (fstatfs(fd, &fs) < 0)
        return -errno;
    *ret_size = fs.f_type == HUGETLBFS_MAGIC ? (size_t)fs.f_bsize : (size_t)sysconf(_SC_PAGESIZE);
    return 0;
}

static int map_region(struct region *region, int fd)
{
    const struct vu_memory_region *at = &region->at;
    struct stat st;
    size_t page = 0;

    if (fstat(fd, &st) < 0)
        return -errno;
    /* Touching what the file does not have would only raise SIGBUS later. */
    if (S_ISREG(st.st_mode) &&
        (st.st_size < 0 || at->mmap_offset + at->size > (uint64_t)st.st_size))
        return -ENXIO;
    int rc = file_page_size(fd, &page);
    if (rc < 0)
        return rc;

    uint64_t start = at->mmap_offset & ~(uint64_t)(page - 1);
    uint64_t end = (at->mmap_offset + at->size + page - 1) & ~(uint64_t)(page - 1);
    region->mapping_size = (size_t)(end - start);
    region->mapping = mmap(NULL, region->mapping_size, PROT_READ | PROT_WRITE,
                           MAP_SHARED | MAP_NORESERVE, fd, (off_t)start);
    if (region->mapping == MAP_FAILED)
        return -errno;
    region->host = (char *)region->mapping + (at->mmap_offset - start);
    region->device = st.st_dev;
    region->inode = st.st_ino;
    /* A guest's secrets do not belong into our core file. */
    madvise(region->mapping, region->mapping_size, MADV_DONTDUMP);

    rc = guestfault_register(region->mapping, region->mapping_size, page);
    if (rc < 0)
        return rc;
    region->fault_slot = rc;
    return 0;
}

static int region_new(const struct vu_memory_region *at, int fd, struct region **ret_region)
{
    __attribute__((cleanup(scope_region))) struct region *region = calloc(1, sizeof(*region));

    if (!region)
        return -ENOMEM;
    region->refs = 1;
    region->at = *at;
    region->mapping = MAP_FAILED;
    region->fault_slot = -1;

    int rc = map_region(region, fd);
    if (rc < 0)
        return rc;
    *ret_region = steal_ptr(region);
    return 0;
}

/* The region of previous that maps the same part of the same file to the same addresses. */
static struct region *find_same(const struct memmap *previous, const struct vu_memory_region *at,
                                int fd)
{
    struct stat st;

    if (!previous || fstat(fd, &st) < 0)
        return NULL;
    for (unsigned i = 0; i < previous->count; i++) {
        struct region *region = previous->regions[i];

        /* The mapping keeps the inode alive, so its number means the same file. */
        if (memcmp(&region->at, at, sizeof(*at)) == 0 && region->device == st.st_dev &&
            region->inode == st.st_ino && !guestfault_damaged(region->fault_slot))
            return region;
    }
    return NULL;
}

static struct memmap *memmap_alloc(unsigned capacity)
{
    struct memmap *map = calloc(1, sizeof(*map) + capacity * sizeof(map->regions[0]));

    if (map)
        map->refs = 1;
    return map;
}

/* Puts a region in its place by guest address and takes it over. -EINVAL: it overlaps one. */
static int insert(struct memmap *map, struct region *region)
{
    unsigned place = map->count;

    for (unsigned i = 0; i < map->count; i++) {
        const struct vu_memory_region *other = &map->regions[i]->at;

        if (overlap(region->at.guest_address, region->at.size, other->guest_address, other->size) ||
            overlap(region->at.user_address, region->at.size, other->user_address, other->size))
            return -EINVAL;
        if (place == map->count && other->guest_address > region->at.guest_address)
            place = i;
    }
    memmove(&map->regions[place + 1], &map->regions[place],
            (map->count - place) * sizeof(map->regions[0]));
    map->regions[place] = region;
    map->count++;
    return 0;
}

struct memmap *memmap_new_empty(void)
{
    return memmap_alloc(0);
}

/* Checks, maps or shares one region and puts it into map. */
static int add_one(struct memmap *map, const struct memmap *previous,
                   const struct vu_memory_region *at, int fd)
{
    __attribute__((cleanup(scope_region))) struct region *region = NULL;
    int rc = check_region(at);
    if (rc < 0)
        return rc;

    struct region *same = find_same(previous, at, fd);
    if (same) {
        region = region_ref(same);
    } else {
        rc = region_new(at, fd, &region);
        if (rc < 0)
            return rc;
    }
    rc = insert(map, region);
    if (rc == 0)
        (void)steal_ptr(region);
    return rc;
}

int memmap_new_table(const struct memmap *previous, const struct vu_memory_region *regions,
                     const int *fds, unsigned count, struct memmap **ret_map)
{
    if (count > MEMMAP_SLOTS_MAX)
        return -E2BIG;

    __attribute__((cleanup(scope_memmap))) struct memmap *map = memmap_alloc(count);
    if (!map)
        return -ENOMEM;
    for (unsigned i = 0; i < count; i++) {
        int rc = add_one(map, previous, &regions[i], fds[i]);
        if (rc < 0)
            return rc;
    }
    *ret_map = steal_ptr(map);
    return 0;
}

int memmap_new_added(const struct memmap *previous, const struct vu_memory_region *at, int fd,
                     struct memmap **ret_map)
{
    if (previous->count >= MEMMAP_SLOTS_MAX)
        return -ENOSPC;

    __attribute__((cleanup(scope_memmap))) struct memmap *map = memmap_alloc(previous->count + 1);
    if (!map)
        return -ENOMEM;
    for (unsigned i = 0; i < previous->count; i++)
        map->regions[map->count++] = region_ref(previous->regions[i]);
    int rc = add_one(map, NULL, at, fd);
    if (rc < 0)
        return rc;
    *ret_map = steal_ptr(map);
    return 0;
}

int memmap_new_removed(const struct memmap *previous, const struct vu_memory_region *at,
                       struct memmap **ret_map)
{
    __attribute__((cleanup(scope_memmap))) struct memmap *map = memmap_alloc(previous->count);
    if (!map)
        return -ENOMEM;
    for (unsigned i = 0; i < previous->count; i++) {
        const struct vu_memory_region *other = &previous->regions[i]->at;

        if (other->guest_address == at->guest_address && other->user_address == at->user_address &&
            other->size == at->size)
            continue;
        map->regions[map->count++] = region_ref(previous->regions[i]);
    }
    if (map->count == previous->count)
        return -ENOENT;
    *ret_map = steal_ptr(map);
    return 0;
}

struct memmap *memmap_ref(struct memmap *map)
{
    atomic_fetch_add_explicit(&map->refs, 1, memory_order_relaxed);
    return map;
}

void memmap_unref(struct memmap *map)
{
    if (!map || atomic_fetch_sub_explicit(&map->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (unsigned i = 0; i < map->count; i++)
        region_unref(map->regions[i]);
    free(map);
}

bool memmap_is_sole(const struct memmap *map)
{
    return atomic_load_explicit(&map->refs, memory_order_acquire) == 1;
}

bool memmap_lost_regions(const struct memmap *before, const struct memmap *after)
{
    for (unsigned i = 0; i < before->count; i++) {
        bool found = false;

        for (unsigned j = 0; j < after->count && !found; j++)
            found = before->regions[i] == after->regions[j];
        if (!found)
            return true;
    }
    return false;
}

bool memmap_guest_address(const struct memmap *map, const struct iovec *piece,
                          uint64_t *ret_address)
{
    for (unsigned i = 0; i < map->count; i++) {
        const struct region *region = map->regions[i];
        uintptr_t offset = (uintptr_t)piece->iov_base - (uintptr_t)region->host;

        if (offset < region->at.size && piece->iov_len <= region->at.size - offset) {
            *ret_address = region->at.guest_address + offset;
            return true;
        }
    }
    return false;
}

unsigned memmap_region_count(const struct memmap *map)
{
    return map->count;
}

/* The region that holds a guest address, or NULL. */
static const struct region *find_guest(const struct memmap *map, uint64_t address)
{
    unsigned low = 0, high = map->count;

    while (low < high) {
        unsigned middle = (low + high) / 2;
        const struct region *region = map->regions[middle];

        if (address < region->at.guest_address)
            high = middle;
        else if (address - region->at.guest_address < region->at.size)
            return region;
        else
            low = middle + 1;
    }
    return NULL;
}

int memmap_translate(const struct memmap *map, uint64_t address, uint64_t size, struct iovec *iov,
                     unsigned iov_max)
{
    unsigned filled = 0;

    if (size && wraps(address, size))
        return -EFAULT;
    while (size) {
        const struct region *region = find_guest(map, address);
        if (!region)
            return -EFAULT;
        if (filled == iov_max)
            return -E2BIG;

        uint64_t offset = address - region->at.guest_address;
        uint64_t here = region->at.size - offset;
        if (here > size)
            here = size;
        iov[filled++] = (struct iovec){.iov_base = region->host + offset, .iov_len = (size_t)here};
        address += here;
        size -= here;
    }
    return (int)filled;
}

struct memmap_span memmap_span_around(const struct memmap *map, uint64_t address)
{
    const struct region *region = find_guest(map, address);

    if (!region)
        return (struct memmap_span){0};
    return (struct memmap_span){region->at.guest_address, region->at.size, region->host};
}

int memmap_copy_in(const struct memmap *map, uint64_t address, void *buffer, size_t size)
{
    char *to = buffer;

    while (size) {
        struct iovec piece;
        int rc = memmap_translate(map, address, size, &piece, 1);
        if (rc < 0 && rc != -E2BIG)
            return rc;

        memcpy(to, piece.iov_base, piece.iov_len);
        to += piece.iov_len;
        address += piece.iov_len;
        size -= piece.iov_len;
    }
    /* From here on the private copy counts: the compiler must not read the source again. */
    __asm__ volatile("" ::: "memory");
    return 0;
}

void *memmap_user_address(const struct memmap *map, uint64_t address, uint64_t size)
{
    for (unsigned i = 0; i < map->count; i++) {
        const struct region *region = map->regions[i];
        uint64_t offset = address - region->at.user_address;

        if (offset < region->at.size)
            return size <= region->at.size - offset ? region->host + offset : NULL;
    }
    return NULL;
}
