// SPDX-License-Identifier: BSD-3-Clause
#include "backchan.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "scope.h"

int backchan_set(struct backchan *channel, int fd)
{
    autoclose int owned = fd;
    struct stat st;

    if (fstat(owned, &st) < 0)
        return -errno;
    if (!S_ISSOCK(st.st_mode))
        return -ENOTSOCK;
    backchan_close(channel);
    channel->fd = steal_fd(&owned);
    return 0;
}

void backchan_close(struct backchan *channel)
{
    if (channel->fd >= 0)
        close(channel->fd);
    channel->fd = -1;
}
