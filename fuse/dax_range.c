// SPDX-License-Identifier: BSD-3-Clause
/* One range of the window: what is mapped in it. Always with the lock of the file it belongs to. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "dax_table.h"
#include "host_path.h"
#include "log.h"
#include "scope.h"
#include "server.h"

static bool mode_refused(int error)
{
    return error == -EACCES || error == -EPERM || error == -EROFS || error == -ETXTBSY;
}

/*
 * For writing only where it must be: as long as anybody has a file open or mapped for writing, the
 * host cannot execute it. An exact front-end cannot make a mapping writable afterwards without
 * taking it away for a moment, so there it is writable from the start.
 */
int dax_file_open(struct dax_file *file, bool write)
{
    struct fuse_thread *thread = file->thread;
    struct dax *dax = thread->server->dax;

    if (file->fd >= 0 && (file->writable || !write))
        return 0;
    dax_file_close(file);
    unsigned mark = thread->temporary_count;
    bool try_write = !thread->server->settings->readonly && (write || atomic_load(&dax->exact));
    int error = try_write ? inode_open(thread, file->inode, O_RDWR, &file->fd) : -EROFS;
    file->writable = !error;
    if (!write && mode_refused(error))
        error = inode_open(thread, file->inode, O_RDONLY, &file->fd);
    while (thread->temporary_count > mark)
        close(thread->temporary[--thread->temporary_count]);
    return error;
}

void dax_file_close(struct dax_file *file)
{
    scope_close(&file->fd);
    file->fd = -1;
}

int dax_file_stat(struct dax_file *file, struct statx *ret_attributes)
{
    int error = dax_file_open(file, false);
    return error ? error : host_stat_fd(file->fd, ret_attributes);
}

static void chain_remove(struct dax *dax, _Atomic uint32_t *head, struct dax_range *range)
{
    uint32_t self = dax_index(dax, range) + 1;
    uint32_t at = atomic_load_explicit(head, memory_order_relaxed);
    if (at == self) {
        atomic_store(head, range->next);
        return;
    }
    while (at) {
        struct dax_range *other = &dax->ranges[at - 1];
        if (other->next == self) {
            other->next = range->next;
            return;
        }
        at = other->next;
    }
}

static void chain_add(struct dax *dax, _Atomic uint32_t *head, struct dax_range *range)
{
    range->next = atomic_load_explicit(head, memory_order_relaxed);
    atomic_store(head, dax_index(dax, range) + 1);
}

static _Atomic uint32_t *chain_of(const struct dax *dax, const struct dax_range *range)
{
    struct dax_bucket *bucket = dax_bucket_of(dax, range->nodeid);
    return range->real == DAX_RANGE_PAGES ? &bucket->whole : &bucket->open;
}

/* Sets how many pages are real, which decides about the chain. */
static void set_real(struct dax *dax, struct dax_range *range, unsigned pages)
{
    _Atomic uint32_t *before = chain_of(dax, range);
    range->real = (uint16_t)pages;
    _Atomic uint32_t *after = chain_of(dax, range);
    if (after == before)
        return;
    chain_remove(dax, before, range);
    chain_add(dax, after, range);
}

int dax_claim(struct dax *dax, struct dax_range *range, uint64_t nodeid, uint64_t block)
{
    uint64_t nobody = 0;
    if (!atomic_compare_exchange_strong(&range->nodeid, &nobody, nodeid))
        return -EAGAIN;
    range->block = block;
    range->real = 0;
    range->flags = 0;
    range->limit = UINT64_MAX;
    range->size = 0;
    range->changed = 0;
    atomic_fetch_add(&dax->in_use, 1);
    atomic_fetch_add_explicit(&dax->counters.mapped, 1, memory_order_relaxed);
    /* Seen by requests that are about to tell a size: before the file is looked at. */
    chain_add(dax, chain_of(dax, range), range);
    return 0;
}

static bool in_doubt(const struct dax_range *range)
{
    return range->doubt_real || range->doubt_tail;
}

/* A file system may say ECANCELED for reasons of its own. */
static int stopped(int error)
{
    return error == -ECANCELED ? -REQ_STOPPED : error;
}

static int unmap(struct dax *dax, const struct dax_range *range, unsigned page, unsigned pages)
{
    if (dax->mapper.window_size == 0)
        return 0;
    return stopped(dax->mapper.unmap(dax->mapper.owner,
                                     dax_index(dax, range) * DAX_RANGE_SIZE + page * DAX_PAGE,
                                     pages * DAX_PAGE));
}

/* Asked for only when it is in the way: mostly the front-end has forgotten by itself. */
static void clear_doubt(struct dax *dax, struct dax_range *range)
{
    if (range->doubt_tail)
        unmap(dax, range, range->doubt_tail - 1u, DAX_RANGE_PAGES + 1 - range->doubt_tail);
    if (range->doubt_real)
        unmap(dax, range, 0, range->doubt_real);
    range->doubt_real = range->doubt_tail = 0;
}

static int map(struct dax *dax, struct dax_range *range, const struct dax_mapping *mapping)
{
    if (dax->mapper.window_size == 0)
        return -EIO;
    int error = stopped(dax->mapper.map(dax->mapper.owner, mapping));
    if (error == -EAGAIN && in_doubt(range)) {
        clear_doubt(dax, range);
        error = stopped(dax->mapper.map(dax->mapper.owner, mapping));
    }
    if (error == -EAGAIN)
        atomic_fetch_add_explicit(&dax->counters.refused, 1, memory_order_relaxed);
    return error;
}

static int map_pages(struct dax *dax, struct dax_range *range, struct dax_file *file,
                     unsigned pages)
{
    struct dax_mapping mapping = {
        .fd = file->fd,
        .writable = file->writable,
        .fd_offset = dax_start(range),
        .window_offset = dax_index(dax, range) * DAX_RANGE_SIZE,
        .length = pages * DAX_PAGE,
    };
    int error = map(dax, range, &mapping);
    if (error != -EAGAIN)
        range->doubt_real = error ? (uint16_t)pages : 0;
    if (error)
        return error;
    dax_mirror_drop(dax, range);
    if (file->writable)
        range->flags |= DAX_WRITABLE;
    set_real(dax, range, pages);
    return 0;
}

/* The tail's content is right before anybody can see it. */
static int map_tail(struct dax *dax, struct dax_range *range, struct dax_file *file,
                    const struct statx *attributes)
{
    uint64_t offset = dax_index(dax, range) * DAX_RANGE_SIZE + range->real * DAX_PAGE;
    struct dax_mapping mapping = {
        .fd = dax->tail_fd,
        .writable = file->writable && (range->real == 0 || (range->flags & DAX_WRITABLE)),
        .fd_offset = offset,
        .window_offset = offset,
        .length = (DAX_RANGE_PAGES - range->real) * DAX_PAGE,
    };
    int error = dax_tail_push(dax, range, file, attributes);
    if (!error) {
        error = map(dax, range, &mapping);
        if (error != -EAGAIN)
            range->doubt_tail = error ? (uint16_t)(range->real + 1) : 0;
    }
    if (error) {
        dax_tail_drop(dax, range);
        return error;
    }
    dax_mirror_drop(dax, range);
    range->flags |= DAX_TAIL | (mapping.writable ? DAX_WRITABLE : 0);
    atomic_fetch_add_explicit(&dax->counters.tails, 1, memory_order_relaxed);
    if (range->flags & DAX_STORES)
        dax_keeper_wake(dax);
    return 0;
}

/*
 * What any front-end takes. One that is exact takes no file that is not open for writing. size: of
 * the file now, or what it is about to be, if that is more.
 */
static int cover_exactly(struct dax *dax, struct dax_range *range, struct dax_file *file,
                         const struct statx *attributes, uint64_t size)
{
    uint64_t within = dax_within(range, attributes->stx_size);
    if (dax_is_covered(range, size))
        return 0;
    int error = dax_file_open(file, range->flags & DAX_STORES);
    if (!error && range->real == 0 && within >= DAX_PAGE && file->writable)
        error = map_pages(dax, range, file, (unsigned)(within / DAX_PAGE));
    if (!error && !dax_is_covered(range, size))
        error = map_tail(dax, range, file, attributes);
    return error;
}

/* One mapping, as long as the file has anything in the range, or is about to. */
static int cover_loosely(struct dax *dax, struct dax_range *range, struct dax_file *file,
                         uint64_t size)
{
    if (range->real || dax_within(range, size) == 0)
        return 0;
    int error = dax_file_open(file, range->flags & DAX_STORES);
    return error ? error : map_pages(dax, range, file, DAX_RANGE_PAGES);
}

int dax_cover(struct dax *dax, struct dax_range *range, struct dax_file *file,
              const struct statx *attributes, uint64_t promised)
{
    struct statx cut;
    if (attributes->stx_size > range->limit) {
        cut = *attributes;
        cut.stx_size = range->limit;
        attributes = &cut;
    }
    uint64_t size = promised > attributes->stx_size ? promised : attributes->stx_size;
    if (atomic_load(&dax->exact) || (range->flags & DAX_TAIL))
        return cover_exactly(dax, range, file, attributes, size);
    int error = cover_loosely(dax, range, file, size);
    if (error != -EAGAIN || dax_within(range, attributes->stx_size) == DAX_RANGE_SIZE)
        return error;
    /* Perhaps only because it reaches past the file's end. */
    error = dax_file_open(file, true);
    if (mode_refused(error))
        error = 0;
    if (!error)
        error = cover_exactly(dax, range, file, attributes, size);
    if (!error && !atomic_exchange(&dax->exact, true))
        log_info("DAX: the front-end does not map past the end of files");
    return error;
}

int dax_upgrade(struct dax *dax, struct dax_range *range, struct dax_file *file)
{
    bool mapped = range->real || (range->flags & DAX_TAIL);
    if (mapped && !(range->flags & DAX_WRITABLE)) {
        int error = dax_file_open(file, true);
        if (error)
            return error;
        if (atomic_load(&dax->exact)) {
            log_limited(LOG_LEVEL_WARN, "DAX: a file that could only be read when it was mapped "
                                        "cannot be written as long as it is mapped");
            return -ETXTBSY;
        }
        error = map_pages(dax, range, file, range->real);
        if (error)
            return error;
    }
    range->flags |= DAX_STORES;
    if (range->flags & DAX_TAIL)
        dax_keeper_wake(dax);
    return 0;
}

/* Nobody can store there any more: what is in the tail's memory now is all that there is. */
static void save_tail(struct dax *dax, struct dax_range *range, struct dax_file *file)
{
    struct statx attributes;
    int error = dax_tail_dirty(dax, range) ? dax_file_stat(file, &attributes) : 0;
    if (!error && dax_tail_dirty(dax, range))
        error = dax_tail_pull(dax, range, file, attributes.stx_size);
    if (error)
        log_limited(LOG_LEVEL_ERROR, "DAX: what the guest stored at the end of a file is lost: %s",
                    strerrordesc_np(-error));
}

int dax_uncover(struct dax *dax, struct dax_range *range, struct dax_file *file, bool ask)
{
    int result = 0;
    dax_mirror_drop(dax, range);
    if (range->flags & DAX_TAIL) {
        result = ask ? unmap(dax, range, range->real, DAX_RANGE_PAGES - range->real) : 0;
        if (result == -REQ_STOPPED)
            return result;
        if (result || !ask)
            range->doubt_tail = (uint16_t)(range->real + 1);
        save_tail(dax, range, file);
        dax_tail_drop(dax, range);
    }
    if (range->real) {
        int error = ask ? unmap(dax, range, 0, range->real) : 0;
        if (error == -REQ_STOPPED)
            return error;
        if (error || !ask)
            range->doubt_real = range->real;
        if (!result)
            result = error;
    }
    range->flags &= DAX_STORES;
    set_real(dax, range, 0);
    return result;
}

int dax_release(struct dax *dax, struct dax_range *range, struct dax_file *file, bool ask)
{
    int error = dax_uncover(dax, range, file, ask);
    if (error == -REQ_STOPPED)
        return error;
    if (error == -EAGAIN)
        error = 0; /* in doubt: seen to when the place is used again */
    chain_remove(dax, chain_of(dax, range), range);
    atomic_store(&range->nodeid, 0);
    atomic_fetch_sub(&dax->in_use, 1);
    atomic_fetch_add_explicit(&dax->counters.removed, 1, memory_order_relaxed);
    return error;
}
