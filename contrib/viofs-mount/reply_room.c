// SPDX-License-Identifier: BSD-3-Clause
#include "reply_room.h"

#include <string.h>

/* Covers every reply of fixed size (STATX has the largest, 288 bytes) and leaves room for newer
 * minors. */
#define FIXED_ROOM 512u
#define LINK_ROOM  4096u /* PATH_MAX */

/* The u32 at OFFSET of the arguments, 0 when they are too short. */
static size_t u32_at(const void *args, size_t args_len, size_t offset)
{
    uint32_t value;

    if (args_len < offset + sizeof(value))
        return 0;
    memcpy(&value, (const unsigned char *)args + offset, sizeof(value));
    return value;
}

size_t reply_room(const struct vuf_in_header *hdr, const void *args, size_t args_len, size_t limit)
{
    size_t room = FIXED_ROOM;

    switch (hdr->opcode) {
    case VUF_OP_READ:
    case VUF_OP_READDIR:
    case VUF_OP_READDIRPLUS:
        room = u32_at(args, args_len, offsetof(struct vuf_read_in, size));
        break;
    case VUF_OP_GETXATTR:
    case VUF_OP_LISTXATTR:
        room = u32_at(args, args_len, offsetof(struct vuf_getxattr_in, size));
        if (!room)
            room = sizeof(struct vuf_getxattr_out);
        break;
    case VUF_OP_READLINK:
        room = LINK_ROOM;
        break;
    case VUF_OP_IOCTL:
        room = sizeof(struct vuf_ioctl_out) +
               u32_at(args, args_len, offsetof(struct vuf_ioctl_in, out_size));
        break;
    default:
        break;
    }
    room += sizeof(struct vuf_out_header);
    return room < limit ? room : limit;
}
