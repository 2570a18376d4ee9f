// SPDX-License-Identifier: BSD-3-Clause
#include "host_xattr.h"

#include <errno.h>
#include <sys/xattr.h>

#include "host_path.h"

int host_xattr_get(int fd, const char *name, void *value, size_t size, size_t *ret_length)
{
    struct fd_name file = fd_name(fd);
    ssize_t length = getxattr(file.text, name, value, size);
    if (length < 0)
        return -errno;
    *ret_length = (size_t)length;
    return 0;
}

int host_xattr_list(int fd, char *names, size_t size, size_t *ret_length)
{
    struct fd_name file = fd_name(fd);
    ssize_t length = listxattr(file.text, names, size);
    if (length < 0)
        return -errno;
    *ret_length = (size_t)length;
    return 0;
}

int host_xattr_set(int fd, const char *name, const void *value, size_t size, int flags)
{
    struct fd_name file = fd_name(fd);
    return setxattr(file.text, name, value, size, flags) < 0 ? -errno : 0;
}

int host_xattr_remove(int fd, const char *name)
{
    struct fd_name file = fd_name(fd);
    return removexattr(file.text, name) < 0 ? -errno : 0;
}
