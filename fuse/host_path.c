// SPDX-License-Identifier: BSD-3-Clause
#include "host_path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "bare_call.h"

/* What lookups and replies need: the mount and birth tell one file from another. */
#define STAT_MASK (STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID)

int host_stat_name(int dirfd, const char *name, struct statx *ret_attributes)
{
    const int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT;
    if (statx(dirfd, name, flags, STAT_MASK, ret_attributes) < 0)
        return -errno;
    return 0;
}

int host_stat_fd(int fd, struct statx *ret_attributes)
{
    return host_stat_synced(fd, 0, ret_attributes);
}

int host_stat_synced(int fd, int sync, struct statx *ret_attributes)
{
    if (statx(fd, "", AT_EMPTY_PATH | sync, STAT_MASK, ret_attributes) < 0)
        return -errno;
    return 0;
}

static struct statx_timestamp timestamp(const struct timespec *time)
{
    return (struct statx_timestamp){.tv_sec = time->tv_sec, .tv_nsec = (uint32_t)time->tv_nsec};
}

int host_stat_basic(int fd, struct statx *ret_attributes)
{
    struct stat st;
    if (bare_fstat(fd, &st) < 0)
        return -errno;
    *ret_attributes = (struct statx){
        .stx_mask = STATX_BASIC_STATS,
        .stx_blksize = (uint32_t)st.st_blksize,
        .stx_nlink = (uint32_t)st.st_nlink,
        .stx_uid = st.st_uid,
        .stx_gid = st.st_gid,
        .stx_mode = (uint16_t)st.st_mode,
        .stx_ino = st.st_ino,
        .stx_size = (uint64_t)st.st_size,
        .stx_blocks = (uint64_t)st.st_blocks,
        .stx_atime = timestamp(&st.st_atim),
        .stx_ctime = timestamp(&st.st_ctim),
        .stx_mtime = timestamp(&st.st_mtim),
        .stx_rdev_major = major(st.st_rdev),
        .stx_rdev_minor = minor(st.st_rdev),
    };
    return 0;
}

int host_open_path(int dirfd, const char *name, int *ret_fd)
{
    int fd = bare_openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    *ret_fd = fd;
    return 0;
}

int host_reopen(int fd, int flags, int *ret_fd)
{
    int again = bare_openat(AT_FDCWD, fd_name(fd).text, flags | O_CLOEXEC, 0);
    if (again < 0)
        return -errno;
    *ret_fd = again;
    return 0;
}

int host_path_of(int fd, char *buffer, size_t size, size_t *ret_length)
{
    ssize_t length = readlinkat(AT_FDCWD, fd_name(fd).text, buffer, size);
    if (length < 0)
        return -errno;
    *ret_length = (size_t)length;
    return 0;
}

struct fd_name fd_name(int fd)
{
    struct fd_name name = {{0}};
    char digits[sizeof(name.text)];
    unsigned count = 0;
    do {
        digits[count++] = (char)('0' + fd % 10);
        fd /= 10;
    } while (fd > 0);
    for (unsigned i = 0; i < count; i++)
        name.text[i] = digits[count - 1 - i];
    return name;
}
