// SPDX-License-Identifier: BSD-3-Clause
#include "dax_front.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* The server's own thread maps, too. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static int violation(const char *what)
{
    fprintf(stderr, "     the front-end was asked to %s\n", what);
    front.violations++;
    return -EAGAIN;
}

bool window_overlaps(uint64_t offset, uint64_t length)
{
    for (unsigned i = 0; i < front.piece_count; i++) {
        const struct piece *piece = &front.pieces[i];
        if (piece->offset < offset + length && offset < piece->offset + piece->length)
            return true;
    }
    return false;
}

/* Every other call, more or less. */
static bool stops_by_chance(void)
{
    if (front.stop_seed == 0)
        return false;
    front.stop_seed = front.stop_seed * 1103515245u + 12345u;
    return front.stop_seed >> 30 & 1;
}

static int map_locked(const struct dax_mapping *mapping)
{
    struct stat st;
    front.maps++;
    if ((front.stop_from && front.maps >= front.stop_from) || stops_by_chance())
        return -ECANCELED;
    if (front.refuse_from && front.maps >= front.refuse_from)
        return -EAGAIN;
    /* QEMU: whatever the guest may do there. */
    if (front.exact && (fcntl(mapping->fd, F_GETFL) & O_ACCMODE) != O_RDWR)
        return violation("map what is not open for writing");
    if (fstat(mapping->fd, &st) < 0 ||
        (mapping->fd_offset | mapping->window_offset | mapping->length) % PAGE ||
        mapping->length == 0 || mapping->window_offset + mapping->length > WINDOW)
        return violation("map nonsense");
    if (front.exact && st.st_size == 0)
        return violation("map an empty file");
    if (front.exact && mapping->fd_offset + mapping->length > (uint64_t)st.st_size)
        return violation("map past the end");
    if (front.exact && window_overlaps(mapping->window_offset, mapping->length))
        return front.overlap_expected ? -EAGAIN : violation("map over a mapping");
    for (unsigned i = 0; i < front.piece_count; i++) {
        if (front.pieces[i].offset == mapping->window_offset)
            front.pieces[i--] = front.pieces[--front.piece_count];
    }
    if (front.piece_count == PIECES)
        return -EAGAIN;
    if (mmap(front.window + mapping->window_offset, mapping->length,
             PROT_READ | (mapping->writable ? PROT_WRITE : 0), MAP_SHARED | MAP_FIXED, mapping->fd,
             (off_t)mapping->fd_offset) == MAP_FAILED)
        return violation("map what it cannot");
    front.pieces[front.piece_count++] =
        (struct piece){mapping->window_offset, mapping->length, mapping->writable};
    return 0;
}

static int front_map(void *owner, const struct dax_mapping *mapping)
{
    (void)owner;
    pthread_mutex_lock(&lock);
    int error = map_locked(mapping);
    pthread_mutex_unlock(&lock);
    return error;
}

static int unmap_locked(uint64_t offset, uint64_t length)
{
    if (front.broken)
        return -EIO;
    front.broken = front.breaks;
    if (front.stop_from || front.breaks || stops_by_chance())
        return -ECANCELED;
    if (front.frozen)
        violation("take away what the guest looks at");
    for (unsigned i = 0; i < front.piece_count; i++) {
        if (front.pieces[i].offset != offset || front.pieces[i].length != length)
            continue;
        mmap(front.window + offset, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
             0);
        front.pieces[i] = front.pieces[--front.piece_count];
        front.unmaps++;
        return 0;
    }
    return violation("unmap what is not mapped");
}

static int front_unmap(void *owner, uint64_t offset, uint64_t length)
{
    (void)owner;
    pthread_mutex_lock(&lock);
    int error = unmap_locked(offset, length);
    pthread_mutex_unlock(&lock);
    return error;
}

unsigned window_pieces(void)
{
    pthread_mutex_lock(&lock);
    unsigned count = front.piece_count;
    pthread_mutex_unlock(&lock);
    return count;
}

void window_refuse_from(unsigned call)
{
    pthread_mutex_lock(&lock);
    front.refuse_from = call;
    pthread_mutex_unlock(&lock);
}

void window_stop_by_chance(unsigned seed)
{
    pthread_mutex_lock(&lock);
    front.stop_seed = seed;
    pthread_mutex_unlock(&lock);
}

struct front front;
static struct dax_mapper mapper;

void window_begin(struct guest *guest, bool exact)
{
    front = (struct front){.exact = exact};
    front.window = mmap(NULL, WINDOW, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mapper = (struct dax_mapper){.owner = &front,
                                 .window_size = WINDOW,
                                 .exact = exact,
                                 .map = front_map,
                                 .unmap = front_unmap};
    guest_prepare(guest);
    guest->settings.dax_window = WINDOW;
    guest->settings.dax = DAX_AUTO;
    guest->settings.dax_min_size = 65536;
    guest->init_flags |= FUSE_MAP_ALIGNMENT | FUSE_HAS_INODE_DAX;
    guest->init_flags &= ~(uint64_t)FUSE_WRITEBACK_CACHE;
    guest->mapper = &mapper;
    guest_start(guest);
}

int window_end(struct guest *guest)
{
    front.frozen = false;
    int leaked = guest_end(guest);
    int bad = leaked + (int)front.violations + (int)front.piece_count;
    munmap(front.window, WINDOW);
    return bad;
}

int window_setup(struct guest *guest, uint64_t node, uint64_t file_offset, uint64_t window_offset,
                 bool write)
{
    struct fuse_setupmapping_in in = {
        .fh = UINT64_MAX,
        .foffset = file_offset,
        .moffset = window_offset,
        .len = MIB2,
        .flags = FUSE_SETUPMAPPING_FLAG_READ | (write ? FUSE_SETUPMAPPING_FLAG_WRITE : 0),
    };
    return guest_do(guest, FUSE_SETUPMAPPING, node, in);
}

int window_removal(struct guest *guest, uint64_t node, uint64_t window_offset)
{
    struct fuse_removemapping_in in = {.count = 1};
    struct fuse_removemapping_one one = {.moffset = window_offset, .len = MIB2};
    return guest_call(guest, FUSE_REMOVEMAPPING, node, &in, sizeof(in), &one, sizeof(one), 64);
}

int window_two_removals(struct guest *guest, uint64_t node, uint64_t window_offset, bool one_piece)
{
    struct fuse_removemapping_in in = {.count = one_piece ? 1 : 2};
    struct fuse_removemapping_one two[] = {
        {.moffset = window_offset, .len = one_piece ? 2 * MIB2 : MIB2},
        {.moffset = window_offset + MIB2, .len = MIB2}};
    return guest_call(guest, FUSE_REMOVEMAPPING, node, &in, sizeof(in), two,
                      in.count * sizeof(two[0]), 64);
}

int window_getattr(struct guest *guest, uint64_t node)
{
    struct fuse_getattr_in in = {0};
    return guest_do(guest, FUSE_GETATTR, node, in);
}

int window_set_size(struct guest *guest, uint64_t node, uint64_t size)
{
    struct fuse_setattr_in in = {.valid = FATTR_SIZE, .size = size};
    front.frozen = false;
    int error = guest_do(guest, FUSE_SETATTR, node, in);
    front.frozen = true;
    return error;
}

uint8_t window_pattern(uint64_t offset, unsigned seed)
{
    return (uint8_t)((offset * 2654435761u >> 7) + seed * 37 + 1);
}

void window_host_write(struct guest *guest, const char *name, uint64_t offset, size_t length,
                       unsigned seed)
{
    uint8_t *bytes = malloc(length);
    for (size_t i = 0; i < length; i++)
        bytes[i] = window_pattern(offset + i, seed);
    int fd = open(guest_path(guest, name), O_CREAT | O_WRONLY, 0644);
    if (fd < 0 || pwrite(fd, bytes, length, (off_t)offset) != (ssize_t)length)
        abort();
    close(fd);
    free(bytes);
}

/* The window shows what the host reads, for as much as the file has. Returns the first difference.
 */
int64_t window_compare(struct guest *guest, const char *name, uint64_t file_offset,
                       uint64_t window_offset)
{
    static uint8_t bytes[2 << 20];
    int fd = open(guest_path(guest, name), O_RDONLY);
    ssize_t length = pread(fd, bytes, sizeof(bytes), (off_t)file_offset);
    close(fd);
    for (ssize_t i = 0; i < length; i++) {
        if ((uint8_t)front.window[window_offset + (uint64_t)i] != bytes[i])
            return i;
    }
    return -1;
}

unsigned window_flag_of(struct guest *guest, const char *name)
{
    if (guest_lookup(guest, name) == 0)
        abort();
    return ((struct fuse_entry_out *)guest->body)->attr.flags & FUSE_ATTR_DAX;
}
