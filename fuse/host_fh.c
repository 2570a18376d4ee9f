// SPDX-License-Identifier: BSD-3-Clause
#include "host_fh.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* struct file_handle ends in an array of unknown length: room for the longest. */
union handle_buffer {
    struct file_handle handle;
    uint8_t room[sizeof(struct file_handle) + HOST_FH_MAX];
};

int host_fh_get(int dirfd, const char *name, struct host_fh *ret_fh, int *ret_mount_id)
{
    union handle_buffer buffer;
    buffer.handle.handle_bytes = HOST_FH_MAX;
    if (name_to_handle_at(dirfd, name, &buffer.handle, ret_mount_id, AT_EMPTY_PATH) < 0)
        return -errno;
    ret_fh->type = buffer.handle.handle_type;
    ret_fh->length = buffer.handle.handle_bytes;
    memcpy(ret_fh->bytes, buffer.handle.f_handle, buffer.handle.handle_bytes);
    return 0;
}

int host_fh_open(int mount_fd, int type, const uint8_t *bytes, unsigned length, int flags,
                 int *ret_fd)
{
    union handle_buffer buffer;
    if (length > HOST_FH_MAX)
        return -EINVAL;
    buffer.handle.handle_type = type;
    buffer.handle.handle_bytes = length;
    memcpy(buffer.handle.f_handle, bytes, length);
    int fd = open_by_handle_at(mount_fd, &buffer.handle, flags | O_CLOEXEC);
    if (fd < 0)
        /* ext4 says ENOMEM of a deleted file whose number is just being given to a new one. */
        return errno == ENOMEM ? -ESTALE : -errno;
    *ret_fd = fd;
    return 0;
}
