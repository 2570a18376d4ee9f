// SPDX-License-Identifier: BSD-3-Clause
#include "host_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "bare_call.h"
#include "host_path.h"

_Static_assert(offsetof(struct host_dirent, name) == offsetof(struct dirent64, d_name) &&
                   offsetof(struct host_dirent, type) == offsetof(struct dirent64, d_type),
               "the kernel's layout");

int host_create(int dirfd, const char *name, int flags, mode_t mode, int *ret_fd)
{
    int fd = bare_openat(dirfd, name, flags | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd < 0)
        return -errno;
    *ret_fd = fd;
    return 0;
}

int host_create_nameless(int dirfd, int flags, mode_t mode, int *ret_fd)
{
    int fd = openat(dirfd, ".", flags | O_TMPFILE | O_CLOEXEC, mode);
    if (fd < 0)
        return -errno;
    *ret_fd = fd;
    return 0;
}

int host_mknod(int dirfd, const char *name, mode_t mode, uint32_t rdev)
{
    return mknodat(dirfd, name, mode, rdev) < 0 ? -errno : 0;
}

int host_mkdir(int dirfd, const char *name, mode_t mode)
{
    return mkdirat(dirfd, name, mode) < 0 ? -errno : 0;
}

int host_symlink(int dirfd, const char *name, const char *target)
{
    return symlinkat(target, dirfd, name) < 0 ? -errno : 0;
}

int host_link(int fd, int dirfd, const char *name)
{
    struct fd_name file = fd_name(fd);
    return linkat(AT_FDCWD, file.text, dirfd, name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

int host_unlink(int dirfd, const char *name)
{
    return unlinkat(dirfd, name, 0) < 0 ? -errno : 0;
}

int host_rmdir(int dirfd, const char *name)
{
    return unlinkat(dirfd, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

int host_rename(int from_dirfd, const char *from, int to_dirfd, const char *to, unsigned flags)
{
    return renameat2(from_dirfd, from, to_dirfd, to, flags) < 0 ? -errno : 0;
}

int host_read_dir(int fd, void *buffer, size_t size, size_t *ret_length)
{
    ssize_t length = getdents64(fd, buffer, size);
    if (length < 0)
        return -errno;
    *ret_length = (size_t)length;
    return 0;
}
