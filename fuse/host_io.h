// SPDX-License-Identifier: BSD-3-Clause
/*
 * host_io: data of open files. Every function returns a negative errno, read right beside the
 * call; descriptors are open for I/O (not O_PATH) and stay the caller's.
 *
 * No state. Any thread.
 *
 * Reading and writing switch O_DIRECT off for good where the pieces are not as it wants them.
 */
#ifndef VIOFS_HOST_IO_H
#define VIOFS_HOST_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/* Where a read goes to, and how far it has come. */
struct host_read {
    struct iovec *pieces; /* consumed */
    unsigned count;
    size_t length; /* bytes read so far */
};

/*
 * Reads on from offset + read->length into what is left of the pieces: more than one call takes
 * (IOV_MAX) need several. how: 0, or RWF_NOWAIT of preadv2(2). Returns 0 when the pieces are full
 * or the file is at its end, else a negative errno, whatever was read before; -EAGAIN (with
 * RWF_NOWAIT): go on without it.
 */
int host_read(int fd, off_t offset, int how, struct host_read *read);

/*
 * Writes pieces at offset. how: RWF_APPEND (at the end of the file, wherever that is then),
 * RWF_DSYNC, RWF_SYNC as of pwritev2(2). Returns 0 with the bytes written (fewer when the file
 * system was full, or an error came after the first bytes), else a negative errno.
 */
int host_write(int fd, const struct iovec *pieces, unsigned count, off_t offset, int how,
               size_t *ret_length);

/* Switches O_DIRECT of an open file on or off. */
int host_direct_io(int fd, bool on);

int host_truncate(int fd, off_t size);

/* truncate(2) of the regular file that fd refers to, however it was opened; O_PATH will do. */
int host_truncate_path(int fd, off_t size);

/* mode: fallocate(2)'s. */
int host_allocate(int fd, int mode, off_t offset, off_t length);

/* whence: lseek(2)'s. */
int host_seek(int fd, off_t offset, int whence, off_t *ret_offset);

int host_copy_range(int from, off_t from_offset, int to, off_t to_offset, size_t length,
                    size_t *ret_length);

int host_sync(int fd, bool data_only);

/* Writes back the whole file system that fd lies on. */
int host_sync_fs(int fd);

/* Another descriptor of the same open file, close-on-exec. The caller owns it. */
int host_duplicate(int fd, int *ret_fd);

/* What close(2) of the file would report: errors of delayed writes, on file systems that have them.
 */
int host_flush(int fd);

#endif
