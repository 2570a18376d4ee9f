// SPDX-License-Identifier: BSD-3-Clause
/*
 * Requests whose buffers lie in the window: the guest reads one file straight into the pages of
 * another that it has mapped, or writes from them. The front-end may or may not tell us of the
 * window as guest memory (QEMU 11.1 stops after eight regions), so we look at it through a mirror
 * of our own: reserved addresses, laid out as the window is, in which a range shows what the guest
 * sees there from the first such request until it is unmapped.
 */
#include <errno.h>
#include <sys/mman.h>

#include "dax_table.h"
#include "fuse_server.h"
#include "server.h"

static char *mirror_of(const struct dax *dax, const struct dax_range *range)
{
    return dax->mirror + dax_index(dax, range) * DAX_RANGE_SIZE;
}

void dax_mirror_drop(struct dax *dax, struct dax_range *range)
{
    if (!(range->flags & DAX_MIRRORED))
        return;
    range->flags &= ~DAX_MIRRORED;
    /* A guest that uses pages while it gives them up finds zeros, and what it stores is gone. */
    if (mmap(mirror_of(dax, range), DAX_RANGE_SIZE, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)
        /* Never a wrong file behind these addresses. */
        munmap(mirror_of(dax, range), DAX_RANGE_SIZE);
}

static int mirror_piece(char *address, uint64_t length, bool writable, int fd, uint64_t offset)
{
    if (length == 0)
        return 0;
    void *shown = mmap(address, length, PROT_READ | (writable ? PROT_WRITE : 0),
                       MAP_SHARED | MAP_NORESERVE | MAP_FIXED, fd, (off_t)offset);
    return shown == MAP_FAILED ? -errno : 0;
}

/* The file's lock is held. */
static int show(struct dax *dax, struct dax_range *range, struct dax_file *file)
{
    uint64_t real = range->real * DAX_PAGE;
    bool writable = range->flags & DAX_WRITABLE;
    char *address = mirror_of(dax, range);
    int error = 0;
    if (real)
        error = dax_file_open(file, writable);
    if (error)
        return error;
    range->flags |= DAX_MIRRORED;
    error = mirror_piece(address, real, writable, file->fd, dax_start(range));
    if (!error && (range->flags & DAX_TAIL))
        error = mirror_piece(address + real, DAX_RANGE_SIZE - real, writable, dax->tail_fd,
                             dax_index(dax, range) * DAX_RANGE_SIZE + real);
    if (error)
        dax_mirror_drop(dax, range);
    return error;
}

/* [offset, offset + length) of the range is about to be used. */
static int reach_range(struct fuse_thread *thread, struct dax_range *range, uint64_t offset,
                       uint64_t length, bool store)
{
    struct dax *dax = thread->server->dax;
    uint64_t nodeid = atomic_load(&range->nodeid);
    struct inode *inode;
    if (nodeid == 0 || inode_get(thread->server->inodes, nodeid, &inode) < 0)
        return -EFAULT;
    struct dax_file file = DAX_FILE(thread, inode);
    pthread_mutex_t *lock = dax_lock_of(dax, nodeid);
    pthread_mutex_lock(lock);
    uint64_t end = range->flags & DAX_TAIL ? DAX_RANGE_SIZE : range->real * DAX_PAGE;
    int error = 0;
    if (atomic_load(&range->nodeid) != nodeid || offset + length > end ||
        (store && !(range->flags & DAX_WRITABLE)))
        error = -EFAULT;
    else if (!(range->flags & DAX_MIRRORED))
        error = show(dax, range, &file);
    /* What the device stores there is the guest's doing. */
    if (!error && store && !(range->flags & DAX_STORES))
        error = dax_upgrade(dax, range, &file);
    pthread_mutex_unlock(lock);
    dax_file_close(&file);
    return error ? -EFAULT : 0;
}

static bool in_mirror(const struct dax *dax, const struct iovec *piece)
{
    return (uintptr_t)piece->iov_base - (uintptr_t)dax->mirror < dax->size;
}

static int reach_piece(struct fuse_thread *thread, const struct iovec *piece, bool store)
{
    struct dax *dax = thread->server->dax;
    uint64_t offset = (uint64_t)((char *)piece->iov_base - dax->mirror);
    uint64_t left = piece->iov_len;
    int error = left > dax->size - offset ? -EFAULT : 0;
    while (!error && left) {
        uint64_t within = offset % DAX_RANGE_SIZE;
        uint64_t here = DAX_RANGE_SIZE - within < left ? DAX_RANGE_SIZE - within : left;
        error = reach_range(thread, &dax->ranges[offset >> DAX_RANGE_SHIFT], within, here, store);
        offset += here;
        left -= here;
    }
    return error;
}

static int reach_list(struct fuse_thread *thread, struct iovec *list, unsigned count, bool store)
{
    for (unsigned i = 0; i < count; i++) {
        int error =
            in_mirror(thread->server->dax, &list[i]) ? reach_piece(thread, &list[i], store) : 0;
        if (error)
            return error;
    }
    return 0;
}

static unsigned without_window(const struct dax *dax, struct iovec *list, unsigned count)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < count; i++) {
        if (!in_mirror(dax, &list[i]))
            list[kept++] = list[i];
    }
    return kept;
}

int dax_reach(struct fuse_thread *thread, struct fuse_chain *chain)
{
    struct dax *dax = thread->server->dax;
    int error = reach_list(thread, chain->readable, chain->readable_count, false);
    if (!error)
        error = reach_list(thread, chain->writable, chain->writable_count, true);
    if (error) {
        chain->readable_count = without_window(dax, chain->readable, chain->readable_count);
        chain->writable_count = without_window(dax, chain->writable, chain->writable_count);
    }
    return error;
}
