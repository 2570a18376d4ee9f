// SPDX-License-Identifier: BSD-3-Clause
#include "host_attr.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "host_path.h"

int host_chmod(int fd, mode_t mode)
{
    struct fd_name name = fd_name(fd);
    return fchmodat(AT_FDCWD, name.text, mode, 0) < 0 ? -errno : 0;
}

int host_chown(int fd, uid_t uid, gid_t gid)
{
    return fchownat(fd, "", uid, gid, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

int host_set_times(int fd, const struct timespec times[2])
{
    return utimensat(fd, "", times, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

int host_readlink(int fd, char *buffer, size_t size, size_t *ret_length)
{
    ssize_t length = readlinkat(fd, "", buffer, size);
    if (length < 0)
        return -errno;
    *ret_length = (size_t)length;
    return 0;
}

int host_statfs(int fd, struct statfs *ret_statfs)
{
    struct statfs result;
    if (fstatfs(fd, &result) < 0)
        return -errno;
    *ret_statfs = result;
    return 0;
}
