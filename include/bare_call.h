// SPDX-License-Identifier: BSD-3-Clause
/*
 * System calls of the request path, without what the C library adds to them.
 *
 * In a program of several threads its functions that may block make the thread cancellable first,
 * and take that back afterwards: two atomic exchanges and two calls (glibc, nptl/cancellation.c).
 * Nobody cancels a thread here. After a sleep that code is not in the cache either, and all of it
 * is 2% of a small request.
 *
 * Each returns, and sets errno, as the function that it is named after.
 */
#ifndef VIOFS_BARE_CALL_H
#define VIOFS_BARE_CALL_H

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

/*
 * The C library's may be another system call, which looks at an empty path first. Where this one is
 * not there, or has a structure of its own, it has to do.
 */
static inline int bare_fstat(int fd, struct stat *ret_st)
{
#if defined(__x86_64__) || defined(__aarch64__)
    return (int)syscall(SYS_fstat, fd, ret_st);
#else
    return fstat(fd, ret_st);
#endif
}

/*
 * Where a pointer has 64 bits, so has a register: an offset takes one, and large files need no
 * flag. Elsewhere the C library knows how; and sanitizers look only at its functions.
 */
#if defined(__LP64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

static inline int bare_close(int fd)
{
    return (int)syscall(SYS_close, fd);
}

static inline int bare_epoll_wait(int epoll_fd, struct epoll_event *events, int max, int timeout_ms)
{
#ifdef SYS_epoll_wait
    return (int)syscall(SYS_epoll_wait, epoll_fd, events, max, timeout_ms);
#else
    return (int)syscall(SYS_epoll_pwait, epoll_fd, events, max, timeout_ms, NULL, (size_t)0);
#endif
}

static inline ssize_t bare_write(int fd, const void *bytes, size_t size)
{
    return syscall(SYS_write, fd, bytes, size);
}

static inline int bare_openat(int dirfd, const char *name, int flags, mode_t mode)
{
    return (int)syscall(SYS_openat, dirfd, name, flags, mode);
}

static inline ssize_t bare_pread(int fd, void *bytes, size_t size, off_t offset)
{
    return syscall(SYS_pread64, fd, bytes, size, offset);
}

static inline ssize_t bare_pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
    return syscall(SYS_pwrite64, fd, bytes, size, offset);
}

static inline ssize_t bare_preadv2(int fd, const struct iovec *pieces, int count, off_t offset,
                                   int how)
{
    return syscall(SYS_preadv2, fd, pieces, (long)count, offset, 0L, how);
}

static inline ssize_t bare_pwritev2(int fd, const struct iovec *pieces, int count, off_t offset,
                                    int how)
{
    return syscall(SYS_pwritev2, fd, pieces, (long)count, offset, 0L, how);
}

#else
#define bare_close      close
#define bare_epoll_wait epoll_wait
#define bare_write      write
#define bare_openat     openat
#define bare_pread      pread
#define bare_pwrite     pwrite
#define bare_preadv2    preadv2
#define bare_pwritev2   pwritev2
#endif

#endif
