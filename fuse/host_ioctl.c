// SPDX-License-Identifier: BSD-3-Clause
#include "host_ioctl.h"

#include <errno.h>
#include <sys/ioctl.h>

int host_flags_get(int fd, uint32_t *ret_flags)
{
    /* The number says long; what is stored is an int. */
    int flags = 0;
    if (ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0)
        return -errno;
    *ret_flags = (uint32_t)flags;
    return 0;
}

int host_flags_set(int fd, uint32_t flags)
{
    int value = (int)flags;
    return ioctl(fd, FS_IOC_SETFLAGS, &value) < 0 ? -errno : 0;
}

int host_fsxattr_get(int fd, struct fsxattr *ret_fsxattr)
{
    struct fsxattr fsxattr = {0};
    if (ioctl(fd, FS_IOC_FSGETXATTR, &fsxattr) < 0)
        return -errno;
    *ret_fsxattr = fsxattr;
    return 0;
}

int host_fsxattr_set(int fd, const struct fsxattr *fsxattr)
{
    struct fsxattr value = *fsxattr;
    return ioctl(fd, FS_IOC_FSSETXATTR, &value) < 0 ? -errno : 0;
}
