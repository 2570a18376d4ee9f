// SPDX-License-Identifier: BSD-3-Clause
#include "counts.h"

#include <inttypes.h>
#include <string.h>

static const char *const names[COUNTS_OPCODES] = {
    [VUF_OP_LOOKUP] = "LOOKUP",
    [VUF_OP_FORGET] = "FORGET",
    [VUF_OP_GETATTR] = "GETATTR",
    [VUF_OP_SETATTR] = "SETATTR",
    [VUF_OP_READLINK] = "READLINK",
    [VUF_OP_SYMLINK] = "SYMLINK",
    [VUF_OP_MKNOD] = "MKNOD",
    [VUF_OP_MKDIR] = "MKDIR",
    [VUF_OP_UNLINK] = "UNLINK",
    [VUF_OP_RMDIR] = "RMDIR",
    [VUF_OP_RENAME] = "RENAME",
    [VUF_OP_LINK] = "LINK",
    [VUF_OP_OPEN] = "OPEN",
    [VUF_OP_READ] = "READ",
    [VUF_OP_WRITE] = "WRITE",
    [VUF_OP_STATFS] = "STATFS",
    [VUF_OP_RELEASE] = "RELEASE",
    [VUF_OP_FSYNC] = "FSYNC",
    [VUF_OP_SETXATTR] = "SETXATTR",
    [VUF_OP_GETXATTR] = "GETXATTR",
    [VUF_OP_LISTXATTR] = "LISTXATTR",
    [VUF_OP_REMOVEXATTR] = "REMOVEXATTR",
    [VUF_OP_FLUSH] = "FLUSH",
    [VUF_OP_INIT] = "INIT",
    [VUF_OP_OPENDIR] = "OPENDIR",
    [VUF_OP_READDIR] = "READDIR",
    [VUF_OP_RELEASEDIR] = "RELEASEDIR",
    [VUF_OP_FSYNCDIR] = "FSYNCDIR",
    [VUF_OP_GETLK] = "GETLK",
    [VUF_OP_SETLK] = "SETLK",
    [VUF_OP_SETLKW] = "SETLKW",
    [VUF_OP_ACCESS] = "ACCESS",
    [VUF_OP_CREATE] = "CREATE",
    [VUF_OP_INTERRUPT] = "INTERRUPT",
    [VUF_OP_BMAP] = "BMAP",
    [VUF_OP_DESTROY] = "DESTROY",
    [VUF_OP_IOCTL] = "IOCTL",
    [VUF_OP_POLL] = "POLL",
    [VUF_OP_NOTIFY_REPLY] = "NOTIFY_REPLY",
    [VUF_OP_FALLOCATE] = "FALLOCATE",
    [VUF_OP_READDIRPLUS] = "READDIRPLUS",
    [VUF_OP_RENAME2] = "RENAME2",
    [VUF_OP_LSEEK] = "LSEEK",
    [VUF_OP_COPY_FILE_RANGE] = "COPY_FILE_RANGE",
    [VUF_OP_SETUPMAPPING] = "SETUPMAPPING",
    [VUF_OP_REMOVEMAPPING] = "REMOVEMAPPING",
    [VUF_OP_SYNCFS] = "SYNCFS",
    [VUF_OP_TMPFILE] = "TMPFILE",
    [VUF_OP_STATX] = "STATX",
    [VUF_OP_COPY_FILE_RANGE_64] = "COPY_FILE_RANGE_64",
};

void counts_add(struct counts *counts, const struct vuf_in_header *hdr, const void *args)
{
    struct vuf_batch_forget_in batch;

    if (hdr->opcode == VUF_OP_BATCH_FORGET && hdr->len >= sizeof(*hdr) + sizeof(batch)) {
        memcpy(&batch, args, sizeof(batch));
        counts->requests[VUF_OP_FORGET] += batch.count;
        return;
    }
    counts->requests[hdr->opcode < COUNTS_OPCODES ? hdr->opcode : 0]++;
}

void counts_print(const struct counts *counts, FILE *to)
{
    for (unsigned int i = 0; i < COUNTS_OPCODES; i++)
        if (counts->requests[i])
            fprintf(to, "%s %" PRIu64 "\n", names[i] ? names[i] : "UNKNOWN", counts->requests[i]);
}
