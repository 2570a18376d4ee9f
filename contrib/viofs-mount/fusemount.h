// SPDX-License-Identifier: BSD-3-Clause
/*
 * The mount itself: made with libfuse3, which knows the options, fusermount3 and its privileges;
 * unmounted by child processes, because umount(2) sleeps as long as the file system does.
 *
 * Owner: main.  Threads: the main thread only.
 */
#ifndef VIOFS_MOUNT_FUSEMOUNT_H
#define VIOFS_MOUNT_FUSEMOUNT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct fuse_session;

struct fusemount {
    struct fuse_session *session; /* made the mount */
    int fd;                       /* /dev/fuse, non-blocking, owned; -1 when closed */
    const char *directory;        /* absolute, the caller's */
    uint64_t mount_id;            /* 0: not known */
    uint32_t dev_major;
    uint32_t dev_minor;
};

/*
 * Mounts on DIRECTORY with the options a virtiofs guest uses (default_permissions, allow_other
 * where allowed) and EXTRA (comma-separated, may be NULL).  SOURCE is what the mount table shows.
 * -EINVAL: a bad option in EXTRA; other errors: the mount failed.  A message has been printed in
 * both cases.
 */
int fusemount_open(struct fusemount *ret_mount, const char *source, const char *directory,
                   const char *extra);

/* Remembers which mount it is, for fusemount_present.  Once the mount answers. */
void fusemount_identify(struct fusemount *mount);

/* Is our mount the one on top of the directory?  Sends nothing to the file system. */
bool fusemount_present(const struct fusemount *mount);

enum unmount {
    UNMOUNT_PLAIN,      /* fails when the mount is in use */
    UNMOUNT_WRITE_BACK, /* write back all data, then detach */
    UNMOUNT_DETACH,     /* detach, for what is dead already */
};

/* Starts a child that unmounts; its exit status 0 means done.  Returns the pid or a negative errno.
 */
pid_t fusemount_start_unmount(const struct fusemount *mount, enum unmount how);

/* Closes the descriptor: when it was the last one, the kernel aborts the connection and everybody
 * who waits for the file system gets an error. */
void fusemount_close(struct fusemount *mount);

#endif
