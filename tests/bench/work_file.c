// SPDX-License-Identifier: BSD-3-Clause
/* A small file from end to end, as tar or a compiler meets it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "share.h"
#include "workloads.h"

enum file_step { LOOKUP, OPEN, READ, FLUSH, RELEASE };

/* O_LARGEFILE as 64-bit Linux guests send it, where the C library has 0. */
#define GUEST_LARGEFILE 0100000u

static int send_open(struct bench *bench, struct bench_slot *slot)
{
    struct vuf_fuse_req *req = bench_request(bench, slot);

    *(struct vuf_open_in *)vuf_fuse_args(req) = (struct vuf_open_in){.flags = GUEST_LARGEFILE};
    return bench_send(bench, slot, req,
                      &(struct bench_send){
                          .opcode = VUF_OP_OPEN,
                          .nodeid = slot->nodeid,
                          .args = sizeof(struct vuf_open_in),
                          .reply = sizeof(struct vuf_open_out),
                      });
}

static int send_read(struct bench *bench, struct bench_slot *slot)
{
    struct vuf_fuse_req *req = bench_request(bench, slot);

    *(struct vuf_read_in *)vuf_fuse_args(req) = (struct vuf_read_in){
        .fh = slot->fh,
        .size = SHARE_FILE_SIZE,
        .flags = GUEST_LARGEFILE,
    };
    return bench_send(bench, slot, req,
                      &(struct bench_send){
                          .opcode = VUF_OP_READ,
                          .nodeid = slot->nodeid,
                          .args = sizeof(struct vuf_read_in),
                          .reply = SHARE_FILE_SIZE,
                          .paged = true,
                      });
}

static int send_flush(struct bench *bench, struct bench_slot *slot)
{
    struct vuf_fuse_req *req = bench_request(bench, slot);

    *(struct vuf_flush_in *)vuf_fuse_args(req) =
        (struct vuf_flush_in){.fh = slot->fh, .lock_owner = slot->index + 1};
    return bench_send(bench, slot, req,
                      &(struct bench_send){
                          .opcode = VUF_OP_FLUSH,
                          .nodeid = slot->nodeid,
                          .args = sizeof(struct vuf_flush_in),
                      });
}

static int send_release(struct bench *bench, struct bench_slot *slot)
{
    struct vuf_fuse_req *req = bench_request(bench, slot);

    *(struct vuf_release_in *)vuf_fuse_args(req) =
        (struct vuf_release_in){.fh = slot->fh, .flags = GUEST_LARGEFILE};
    return bench_send(bench, slot, req,
                      &(struct bench_send){
                          .opcode = VUF_OP_RELEASE,
                          .nodeid = slot->nodeid,
                          .args = sizeof(struct vuf_release_in),
                      });
}

int file_send(struct bench *bench, struct bench_slot *slot)
{
    switch ((enum file_step)slot->step) {
    case LOOKUP:
        return lookup_send(bench, slot);
    case OPEN:
        return send_open(bench, slot);
    case READ:
        return send_read(bench, slot);
    case FLUSH:
        return send_flush(bench, slot);
    case RELEASE:
        return send_release(bench, slot);
    }
    return -EINVAL;
}

static int check_content(struct bench *bench, const struct vuf_fuse_req *req)
{
    uint64_t *words = (void *)(req->out + sizeof(struct vuf_out_header));
    size_t last = SHARE_FILE_SIZE / sizeof(*words) - 1;

    if (vuf_fuse_reply_len(req) != SHARE_FILE_SIZE || words[0] != share_word(0) ||
        words[last] != share_word(last * sizeof(*words)))
        return bench_fail(bench, -EBADMSG, "READ brought other data");
    /* So that the next reply in this memory cannot pass by bringing nothing. */
    words[0] = words[last] = 0;
    return WORKLOAD_MORE;
}

int file_check(struct bench *bench, struct bench_slot *slot, const struct vuf_fuse_req *req)
{
    const unsigned char *reply = req->out + sizeof(struct vuf_out_header);
    struct vuf_entry_out entry;
    struct vuf_open_out open;
    int r;

    /* A daemon that has nothing to do at FLUSH may say so. */
    if (req->error && !(slot->step == FLUSH && req->error == -ENOSYS))
        return workload_refused(bench, req);
    switch ((enum file_step)slot->step) {
    case LOOKUP:
        memcpy(&entry, reply, sizeof(entry));
        slot->nodeid = entry.nodeid;
        if (entry.attr.ino != bench->inos[slot->file])
            return bench_fail(bench, -EBADMSG, "attributes of another file");
        break;
    case OPEN:
        memcpy(&open, reply, sizeof(open));
        slot->fh = open.fh;
        break;
    case READ:
        return check_content(bench, req);
    case FLUSH:
        break;
    case RELEASE:
        r = bench_forget(bench, slot->nodeid);
        return r < 0 ? r : WORKLOAD_DONE;
    }
    return WORKLOAD_MORE;
}
