// SPDX-License-Identifier: BSD-3-Clause
/*
 * host_dir: directories, their entries made, moved, removed and read. Names are single checked
 * components, relative to an O_PATH descriptor of their directory; no symbolic link is followed.
 *
 * No state. Any thread. Every function returns 0 or a negative errno; new files belong to the
 * thread's effective ids (host_cred.h).
 */
#ifndef VIOFS_HOST_DIR_H
#define VIOFS_HOST_DIR_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

/* One record of getdents64(2), with the kernel's layout. */
struct host_dirent {
    uint64_t ino;
    int64_t next;    /* the directory position after this entry */
    uint16_t length; /* of the record, in bytes */
    uint8_t type;    /* DT_* */
    char name[];
};

/* The longest record of a file system with names of up to NAME_MAX bytes. */
#define HOST_DIRENT_MAX 280

/* Creates and opens a regular file that must not exist yet (-EEXIST). Caller owns *ret_fd. */
int host_create(int dirfd, const char *name, int flags, mode_t mode, int *ret_fd);

/*
 * Creates and opens a regular file without a name in dirfd's file system; with O_EXCL in flags it
 * can never get one. flags say O_WRONLY or O_RDWR. -EOPNOTSUPP where there are no such files.
 * Caller owns *ret_fd.
 */
int host_create_nameless(int dirfd, int flags, mode_t mode, int *ret_fd);

/* rdev: as on the wire and in dev_t's low half, 12:20 bits; used for devices only. */
int host_mknod(int dirfd, const char *name, mode_t mode, uint32_t rdev);
int host_mkdir(int dirfd, const char *name, mode_t mode);
int host_symlink(int dirfd, const char *name, const char *target);

/* A second name for what fd (O_PATH will do) stands for, also for a symbolic link itself. */
int host_link(int fd, int dirfd, const char *name);

int host_unlink(int dirfd, const char *name);
int host_rmdir(int dirfd, const char *name);

/* flags: renameat2(2)'s. */
int host_rename(int from_dirfd, const char *from, int to_dirfd, const char *to, unsigned flags);

/* Reads records from the position of fd. *ret_length 0: the end of the directory. */
int host_read_dir(int fd, void *buffer, size_t size, size_t *ret_length);

#endif
