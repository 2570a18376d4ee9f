// SPDX-License-Identifier: BSD-3-Clause
#include "host_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>

static struct flock to_flock(const struct host_lock *lock)
{
    return (struct flock){
        .l_type = (short)lock->type,
        .l_whence = SEEK_SET,
        .l_start = lock->start,
        .l_len = lock->end == HOST_LOCK_END ? 0 : lock->end - lock->start + 1,
    };
}

int host_lock_set(int fd, const struct host_lock *lock)
{
    struct flock wanted = to_flock(lock);
    if (fcntl(fd, F_OFD_SETLK, &wanted) == 0)
        return 0;
    return errno == EACCES ? -EAGAIN : -errno;
}

int host_lock_get(int fd, struct host_lock *lock)
{
    struct flock found = to_flock(lock);
    if (fcntl(fd, F_OFD_GETLK, &found) < 0)
        return -errno;
    lock->type = found.l_type;
    if (found.l_type == F_UNLCK)
        return 0;
    lock->start = found.l_start;
    lock->end = found.l_len ? found.l_start + found.l_len - 1 : HOST_LOCK_END;
    return 0;
}

int host_flock(int fd, int type)
{
    int operation = type == F_UNLCK ? LOCK_UN : type == F_RDLCK ? LOCK_SH : LOCK_EX;
    return flock(fd, operation | LOCK_NB) < 0 ? -errno : 0;
}
