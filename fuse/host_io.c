// SPDX-License-Identifier: BSD-3-Clause
#include "host_io.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "bare_call.h"
#include "host_path.h"

/* The most pieces that one readv or writev takes: the kernel's UIO_MAXIOV. */
#define PIECES_PER_CALL 1024u

/*
 * No I/O error ends a transfer inside a sector, so a read that stops there has met the end of the
 * file, and need not ask again to be sure.
 */
#define SECTOR          512

/* Takes the first length bytes off the list. */
static void pieces_advance(struct iovec **pieces, unsigned *count, size_t length)
{
    while (*count && (*pieces)->iov_len <= length) {
        length -= (*pieces)->iov_len;
        ++*pieces;
        --*count;
    }
    if (*count) {
        (*pieces)->iov_base = (char *)(*pieces)->iov_base + length;
        (*pieces)->iov_len -= length;
    }
}

static size_t pieces_length(const struct iovec *pieces, unsigned count)
{
    size_t length = 0;
    for (unsigned i = 0; i < count; i++)
        length += pieces[i].iov_len;
    return length;
}

/*
 * After EINVAL, once in a call: O_DIRECT wants each piece aligned, and a guest's buffer, which is
 * one piece for its program, comes in pages, and is cut where a request ends. So what a local file
 * system takes may be refused here. The file is read and written through the host's cache from then
 * on. If it is so already, another thread has just met the same.
 */
static bool without_direct_io(int fd, int error, bool *tried)
{
    if (error != -EINVAL || *tried)
        return false;
    *tried = true;
    return host_direct_io(fd, false) == 0;
}

/* For one piece, which is most often all there is, a list is not worth its copying. */
static ssize_t read_pieces(int fd, const struct iovec *pieces, unsigned count, off_t offset,
                           int how)
{
    if (count == 1 && how == 0)
        return bare_pread(fd, pieces->iov_base, pieces->iov_len, offset);
    return bare_preadv2(fd, pieces, (int)count, offset, how);
}

static ssize_t write_pieces(int fd, const struct iovec *pieces, unsigned count, off_t offset,
                            int how)
{
    if (count == 1 && how == 0)
        return bare_pwrite(fd, pieces->iov_base, pieces->iov_len, offset);
    return bare_pwritev2(fd, pieces, (int)count, offset, how);
}

int host_read(int fd, off_t offset, int how, struct host_read *read)
{
    bool tried = false;
    while (read->count) {
        unsigned now = read->count < PIECES_PER_CALL ? read->count : PIECES_PER_CALL;
        off_t here = offset + (off_t)read->length;
        ssize_t got = read_pieces(fd, read->pieces, now, here, how);
        if (got < 0) {
            int error = -errno;
            if (without_direct_io(fd, error, &tried))
                continue;
            return error; /* a short answer would tell the guest that the file ends here */
        }
        read->length += (size_t)got;
        if (got == 0)
            break;
        unsigned before = read->count;
        pieces_advance(&read->pieces, &read->count, (size_t)got);
        if (before - read->count < now && (here + got) % SECTOR)
            break;
    }
    return 0;
}

int host_write(int fd, const struct iovec *pieces, unsigned count, off_t offset, int how,
               size_t *ret_length)
{
    size_t done = 0;
    bool tried = false;
    while (count) {
        unsigned now = count < PIECES_PER_CALL ? count : PIECES_PER_CALL;
        ssize_t put = write_pieces(fd, pieces, now, offset + (off_t)done, how);
        if (put < 0) {
            int error = -errno;
            if (without_direct_io(fd, error, &tried))
                continue;
            if (done == 0)
                return error;
            break;
        }
        done += (size_t)put;
        if (now == count || (size_t)put < pieces_length(pieces, now))
            break;
        pieces += now;
        count -= now;
    }
    *ret_length = done;
    return 0;
}

int host_direct_io(int fd, bool on)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0)
        return -errno;
    flags = on ? flags | O_DIRECT : flags & ~O_DIRECT;
    return fcntl(fd, F_SETFL, flags) < 0 ? -errno : 0;
}

int host_truncate(int fd, off_t size)
{
    return ftruncate(fd, size) < 0 ? -errno : 0;
}

int host_truncate_path(int fd, off_t size)
{
    return truncate(fd_name(fd).text, size) < 0 ? -errno : 0;
}

int host_allocate(int fd, int mode, off_t offset, off_t length)
{
    return fallocate(fd, mode, offset, length) < 0 ? -errno : 0;
}

int host_seek(int fd, off_t offset, int whence, off_t *ret_offset)
{
    off_t result = lseek(fd, offset, whence);
    if (result < 0)
        return -errno;
    *ret_offset = result;
    return 0;
}

int host_copy_range(int from, off_t from_offset, int to, off_t to_offset, size_t length,
                    size_t *ret_length)
{
    ssize_t copied = copy_file_range(from, &from_offset, to, &to_offset, length, 0);
    if (copied < 0)
        return -errno;
    *ret_length = (size_t)copied;
    return 0;
}

int host_sync(int fd, bool data_only)
{
    return (data_only ? fdatasync(fd) : fsync(fd)) < 0 ? -errno : 0;
}

int host_sync_fs(int fd)
{
    return syncfs(fd) < 0 ? -errno : 0;
}

int host_duplicate(int fd, int *ret_fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0)
        return -errno;
    *ret_fd = copy;
    return 0;
}

int host_flush(int fd)
{
    int copy;
    int error = host_duplicate(fd, &copy);
    if (error)
        return error;
    return close(copy) < 0 ? -errno : 0;
}
