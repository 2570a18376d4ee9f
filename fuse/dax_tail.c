// SPDX-License-Identifier: BSD-3-Clause
/*
 * Tails: pages in the window that are ours and not the file's, kept in step with it.
 *
 * For each byte of a tail there is what the guest sees (shared), what the file has, and what the
 * two agreed on when last in step (common). Where shared differs from common, the guest has stored:
 * that goes into the file, byte for byte, so that it takes nothing with it that the host has
 * changed beside it. Where the file differs from common, it was changed by somebody else: that goes
 * into shared, unless the guest has stored there meanwhile. What both have changed is the guest's.
 *
 * What the guest stores beyond the end of the file is not written, and gone when the file grows, as
 * in any page cache. (A file that the host cuts between the look at its size and the write becomes
 * longer again; there is no write that would not do so.)
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "dax_table.h"
#include "server.h"

/* A file that was changed less than this ago may change again without its time telling: the clock
 * of file times is coarse. */
#define SETTLED_NS INT64_C(100000000)

struct page {
    uint8_t *shared;
    uint8_t *common;
    off_t offset; /* in the file */
    size_t known; /* bytes that the file had in this page when last in step */
    size_t valid; /* that it has now */
};

static size_t part(uint64_t size, uint64_t offset)
{
    if (size <= offset)
        return 0;
    return size - offset < DAX_PAGE ? (size_t)(size - offset) : DAX_PAGE;
}

static struct page page_at(const struct dax *dax, const struct dax_range *range, unsigned number,
                           uint64_t size)
{
    uint64_t in_window = dax_index(dax, range) * DAX_RANGE_SIZE + number * DAX_PAGE;
    uint64_t offset = dax_start(range) + number * DAX_PAGE;
    return (struct page){
        .shared = (uint8_t *)dax->tail + in_window,
        .common = (uint8_t *)dax->common + in_window,
        .offset = (off_t)offset,
        .known = part(range->size, offset),
        .valid = part(size, offset),
    };
}

/* How many pages of the range a file of this size, or of the size when last in step, touches. */
static unsigned page_end(const struct dax_range *range, uint64_t size)
{
    uint64_t larger = size > range->size ? size : range->size;
    return (unsigned)((dax_within(range, larger) + DAX_PAGE - 1) / DAX_PAGE);
}

static int write_all(int fd, const uint8_t *bytes, size_t length, off_t offset)
{
    while (length) {
        struct iovec piece = {(void *)bytes, length};
        ssize_t put = pwritev2(fd, &piece, 1, offset, 0);
        if (put <= 0)
            return put < 0 ? -errno : -EIO;
        bytes += put;
        length -= (size_t)put;
        offset += put;
    }
    return 0;
}

/* The guest's stores of one page. The shared bytes are copied once: the guest goes on storing. */
static int pull_page(struct dax_file *file, const struct page *page)
{
    size_t limit = page->known < page->valid ? page->known : page->valid;
    uint8_t now[DAX_PAGE];
    memcpy(now, page->shared, limit);
    __asm__ volatile("" ::: "memory");
    for (size_t i = 0; i < limit;) {
        if (now[i] == page->common[i]) {
            i++;
            continue;
        }
        size_t end = i + 1;
        while (end < limit && now[end] != page->common[end])
            end++;
        int error = write_all(file->fd, now + i, end - i, page->offset + (off_t)i);
        if (error)
            return error;
        memcpy(page->common + i, now + i, end - i);
        i = end;
    }
    return 0;
}

static bool page_dirty(const struct page *page)
{
    return memcmp(page->shared, page->common, page->known) != 0;
}

bool dax_tail_dirty(const struct dax *dax, const struct dax_range *range)
{
    if (!(range->flags & DAX_TAIL) || !(range->flags & DAX_STORES))
        return false;
    for (unsigned i = range->real; i < page_end(range, range->size); i++) {
        struct page page = page_at(dax, range, i, range->size);
        if (page_dirty(&page))
            return true;
    }
    return false;
}

int dax_tail_pull(struct dax *dax, struct dax_range *range, struct dax_file *file, uint64_t size)
{
    /* Nothing that is written now may make the file longer than it is about to be. */
    if (size > range->limit)
        size = range->limit;
    for (unsigned i = range->real; i < page_end(range, size); i++) {
        struct page page = page_at(dax, range, i, size);
        if (!page_dirty(&page))
            continue;
        int error = dax_file_open(file, true);
        if (!error)
            error = pull_page(file, &page);
        if (error)
            return error;
    }
    return 0;
}

/* Reads what the file has of the page; it may have become shorter than it was. */
static int read_page(struct dax_file *file, struct page *page, uint8_t *bytes)
{
    size_t done = 0;
    while (done < page->valid) {
        struct iovec piece = {bytes + done, page->valid - done};
        ssize_t got = preadv2(file->fd, &piece, 1, page->offset + (off_t)done, 0);
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    memset(bytes + done, 0, DAX_PAGE - done);
    return 0;
}

static int push_page(struct dax_file *file, struct page *page)
{
    uint8_t bytes[DAX_PAGE];
    int error = read_page(file, page, bytes);
    if (error)
        return error;
    /* A hole in the file stays one here (see make_room()). */
    if (page->known == 0 && memcmp(bytes, page->common, DAX_PAGE) == 0)
        return 0;
    for (size_t i = 0; i < page->known && i < page->valid; i++) {
        if (bytes[i] == page->common[i])
            continue;
        __atomic_compare_exchange_n(&page->shared[i], &page->common[i], bytes[i], false,
                                    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
        page->common[i] = bytes[i];
    }
    if (page->valid > page->known)
        memcpy(page->shared + page->known, bytes + page->known, page->valid - page->known);
    else if (page->known > page->valid)
        memset(page->shared + page->valid, 0, page->known - page->valid);
    memcpy(page->common, bytes, DAX_PAGE);
    return 0;
}

/* Not the time of modification, which can be set to what it was before. */
int64_t dax_time_of_change(const struct statx *attributes)
{
    return attributes->stx_ctime.tv_sec * INT64_C(1000000000) + attributes->stx_ctime.tv_nsec;
}

/* The same, or 0 for a file that may have changed again since. */
static int64_t settled_change(const struct statx *attributes)
{
    struct timespec now;
    int64_t changed = dax_time_of_change(attributes);
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t now_ns = now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
    return now_ns - changed > SETTLED_NS ? changed : 0;
}

/* Pages that the file did not reach so far hold nothing, whatever the guest has stored there. */
static void make_room(struct dax *dax, const struct dax_range *range, uint64_t size)
{
    uint64_t known = (dax_within(range, range->size) + DAX_PAGE - 1) / DAX_PAGE;
    uint64_t valid = (dax_within(range, size) + DAX_PAGE - 1) / DAX_PAGE;
    if (known < range->real)
        known = range->real;
    if (valid > known)
        fallocate(dax->tail_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                  (off_t)(dax_index(dax, range) * DAX_RANGE_SIZE + known * DAX_PAGE),
                  (off_t)((valid - known) * DAX_PAGE));
}

int dax_tail_push(struct dax *dax, struct dax_range *range, struct dax_file *file,
                  const struct statx *attributes)
{
    uint64_t size = attributes->stx_size;
    int64_t changed = settled_change(attributes);
    if (range->size == size && range->changed == changed && changed)
        return 0;
    make_room(dax, range, size);
    for (unsigned i = range->real; i < page_end(range, size); i++) {
        struct page page = page_at(dax, range, i, size);
        int error = push_page(file, &page);
        if (error)
            return error;
    }
    range->size = size;
    range->changed = changed;
    return 0;
}

void dax_tail_drop(struct dax *dax, struct dax_range *range)
{
    uint64_t offset = dax_index(dax, range) * DAX_RANGE_SIZE + range->real * DAX_PAGE;
    uint64_t length = (DAX_RANGE_PAGES - range->real) * DAX_PAGE;
    fallocate(dax->tail_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
              (off_t)length);
    fallocate(dax->common_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
              (off_t)length);
    range->size = 0;
    range->changed = 0;
    range->flags &= ~DAX_TAIL;
}
