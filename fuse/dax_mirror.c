// SPDX-License-Identifier: BSD-3-Clause
/*
 * Requests whose data lies in the window: the guest reads one file straight into the pages of
 * another that it has mapped, or writes from them. The front-end may or may not tell us of the
 * window as guest memory (QEMU 11.1 stops after eight regions), so we look at it through a mirror
 * of our own: reserved addresses, laid out as the window is, in which a range shows what the guest
 * sees there while such requests run.
 *
 * Only the kernel ever touches the mirror, in pread(), pwrite() and those for lists, which say
 * EFAULT where a file has been cut under it.
 */
#include <errno.h>
#include <sys/mman.h>

#include "dax_table.h"
#include "fuse_server.h"
#include "server.h"

/* What READ and WRITE have before their data: both headers and arguments are of the same length. */
#define BEFORE_READ_REPLY sizeof(struct fuse_out_header)
#define BEFORE_WRITE_DATA (sizeof(struct fuse_in_header) + sizeof(struct fuse_write_in))

static char *mirror_of(const struct dax *dax, const struct dax_range *range)
{
    return dax->mirror + dax_index(dax, range) * DAX_RANGE_SIZE;
}

/* The mirror's lock is held. */
static void hide(struct dax *dax, struct dax_range *range)
{
    if (!range->mirrored)
        return;
    range->mirrored = false;
    /* The addresses stay ours: nothing else may ever come to lie there. */
    if (mmap(mirror_of(dax, range), DAX_RANGE_SIZE, PROT_NONE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)
        mprotect(mirror_of(dax, range), DAX_RANGE_SIZE, PROT_NONE);
}

void dax_mirror_drop(struct dax *dax, struct dax_range *range)
{
    pthread_mutex_lock(&dax->mirror_lock);
    hide(dax, range);
    pthread_mutex_unlock(&dax->mirror_lock);
}

static int show_piece(char *address, uint64_t length, bool writable, int fd, uint64_t offset)
{
    if (length == 0)
        return 0;
    void *shown = mmap(address, length, PROT_READ | (writable ? PROT_WRITE : 0),
                       MAP_SHARED | MAP_NORESERVE | MAP_FIXED, fd, (off_t)offset);
    return shown == MAP_FAILED ? -errno : 0;
}

/* The locks of file and mirror are held; the file is open if anything of it is mapped. */
static int show(struct dax *dax, struct dax_range *range, const struct dax_file *file)
{
    uint64_t real = range->real * DAX_PAGE;
    bool writable = range->flags & DAX_WRITABLE;
    char *address = mirror_of(dax, range);
    range->mirrored = true;
    int error = show_piece(address, real, writable, file->fd, dax_start(range));
    if (!error && (range->flags & DAX_TAIL))
        error = show_piece(address + real, DAX_RANGE_SIZE - real, writable, dax->tail_fd,
                           dax_index(dax, range) * DAX_RANGE_SIZE + real);
    if (error)
        hide(dax, range);
    return error;
}

/* A request's pieces are mostly the pages of one range, one after the other. */
static bool is_pinned(const struct fuse_thread *thread, uint32_t index)
{
    for (unsigned i = thread->window_pin_count; i > 0; i--) {
        if (thread->window_pins[i - 1] == index)
            return true;
    }
    return false;
}

static int pin(struct fuse_thread *thread, struct dax_range *range, struct dax_file *file)
{
    struct dax *dax = thread->server->dax;
    if (is_pinned(thread, dax_index(dax, range)))
        return 0;
    if (thread->window_pin_count == DAX_PINS_MAX)
        return -EFAULT;
    int error = range->real ? dax_file_open(file, range->flags & DAX_WRITABLE) : 0;
    if (error)
        return error;
    pthread_mutex_lock(&dax->mirror_lock);
    if (!range->mirrored)
        error = show(dax, range, file);
    if (!error) {
        range->pins++;
        thread->window_pins[thread->window_pin_count++] = dax_index(dax, range);
    }
    pthread_mutex_unlock(&dax->mirror_lock);
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
    int error = -EFAULT;
    pthread_mutex_lock(lock);
    if (atomic_load(&range->nodeid) == nodeid) {
        uint64_t end = range->flags & DAX_TAIL ? DAX_RANGE_SIZE : range->real * DAX_PAGE;
        if (offset + length <= end && (!store || (range->flags & DAX_WRITABLE)))
            error = pin(thread, range, &file);
        /* What the device stores there is the guest's doing. */
        if (!error && store)
            error = dax_upgrade(dax, range, &file);
    }
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

/* The first `before` bytes of the list are not data, and must lie elsewhere. */
static int reach_list(struct fuse_thread *thread, const struct iovec *list, unsigned count,
                      bool store, size_t before)
{
    size_t at = 0;
    for (unsigned i = 0; i < count; i++) {
        if (in_mirror(thread->server->dax, &list[i])) {
            int error = at < before ? -EFAULT : reach_piece(thread, &list[i], store);
            if (error)
                return error;
        }
        at += list[i].iov_len;
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
    int error =
        reach_list(thread, chain->readable, chain->readable_count, false, BEFORE_WRITE_DATA);
    if (!error)
        error = reach_list(thread, chain->writable, chain->writable_count, true, BEFORE_READ_REPLY);
    if (error) {
        chain->readable_count = without_window(dax, chain->readable, chain->readable_count);
        chain->writable_count = without_window(dax, chain->writable, chain->writable_count);
    }
    return error;
}

bool dax_may_use_window(uint32_t opcode, const struct fuse_chain *chain,
                        const struct fuse_server *server)
{
    const struct dax *dax = server->dax;
    const struct iovec *list = opcode == FUSE_READ ? chain->readable : chain->writable;
    unsigned count = opcode == FUSE_READ ? chain->readable_count : chain->writable_count;
    if (opcode != FUSE_READ && opcode != FUSE_WRITE)
        return false;
    for (unsigned i = 0; i < count; i++) {
        if (in_mirror(dax, &list[i]))
            return false;
    }
    return true;
}

void dax_leave(struct fuse_thread *thread)
{
    struct dax *dax = thread->server->dax;
    if (thread->window_pin_count == 0)
        return;
    pthread_mutex_lock(&dax->mirror_lock);
    while (thread->window_pin_count) {
        struct dax_range *range = &dax->ranges[thread->window_pins[--thread->window_pin_count]];
        if (--range->pins == 0)
            hide(dax, range);
    }
    pthread_mutex_unlock(&dax->mirror_lock);
}
