// SPDX-License-Identifier: BSD-3-Clause
/*
 * host_lock: locks on files, fcntl(2)'s of open file descriptions and flock(2)'s. Nothing here
 * waits: -EAGAIN means that somebody else has a lock in the way.
 *
 * No state. Any thread. A lock belongs to the open file that fd refers to, and goes with it.
 */
#ifndef VIOFS_HOST_LOCK_H
#define VIOFS_HOST_LOCK_H

#include <stdint.h>
#include <sys/types.h>

/* The last byte of a lock that reaches to the end of the file, however long that becomes. */
#define HOST_LOCK_END INT64_MAX

/* A range of bytes, both ends included, as the wire and the kernel's struct file_lock have it. */
struct host_lock {
    int64_t start; /* 0 to end */
    int64_t end;   /* to HOST_LOCK_END */
    int type;      /* F_RDLCK, F_WRLCK, F_UNLCK */
};

/* F_OFD_SETLK. -EBADF: fd is not open for what the type needs; -ENOLCK. */
int host_lock_set(int fd, const struct host_lock *lock);

/*
 * F_OFD_GETLK: what is in the way of *lock, which it is replaced by; its type is F_UNLCK when
 * nothing is.
 */
int host_lock_get(int fd, struct host_lock *lock);

/* type as above, for the whole file. */
int host_flock(int fd, int type);

#endif
