// SPDX-License-Identifier: BSD-3-Clause
/*
 * READ and WRITE.  A reply to READ is checked by a few words of it; a WRITE is stamped at both
 * ends with its number, and the file is compared with the stamps after the run.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "share.h"
#include "workloads.h"

#define PAGE   4096u
#define PROBES 2 /* words looked at besides the first and the last */

static uint32_t file_flags(const struct bench *bench)
{
    return 0100000u | (bench->options->workload->with_write ? O_RDWR : O_RDONLY);
}

int data_open(struct bench *bench)
{
    const struct workload *workload = bench->options->workload;
    const char *name = workload->with_write ? SHARE_SINK : SHARE_DATA;
    struct vuf_open_in in = {.flags = file_flags(bench)};
    struct vuf_buf buf = {.base = &in, .len = sizeof(in)};
    struct vuf_open_out out;
    uint64_t ino, size;
    int error;
    int r = share_stat(bench->options->share, name, &ino, &size);

    if (r < 0)
        return bench_fail(bench, r, name);
    bench->block = workload->data;
    if (workload->with_write && bench->fuse.init.max_write < bench->block)
        bench->block = bench->fuse.init.max_write & ~(2 * PAGE - 1);
    if (!bench->block)
        return bench_fail(bench, -EPROTO, "max_write of the daemon");
    bench->n_blocks = size / bench->block;
    if (bench->n_blocks < bench->options->depth)
        return bench_fail(bench, -EINVAL, "the share is prepared with too small files");
    bench->stamps = calloc(bench->n_blocks, sizeof(*bench->stamps));
    if (!bench->stamps)
        return bench_fail(bench, -ENOMEM, "tables");
    r = workload_lookup(bench, VUF_ROOT_ID, name, &bench->file_node);
    if (r == 0)
        r = vuf_fuse_call(&bench->fuse, 1, VUF_OP_OPEN, bench->file_node, &buf, 1, &out,
                          sizeof(out), NULL, &error);
    else
        return r;
    if (r == 0)
        r = error;
    if (r < 0)
        return bench_fail(bench, r, "OPEN");
    bench->file_fh = out.fh;
    return 0;
}

/* Random: any block of those that belong to the slot, so that no block is in flight twice.
 * Sequential: all slots take the next one of the same stream, as read-ahead does. */
static uint64_t next_block(struct bench *bench, const struct bench_slot *slot)
{
    uint64_t depth = bench->options->depth;

    if (bench->options->workload->random)
        return slot->index + bench_random(bench) % (bench->n_blocks / depth) * depth;
    return bench->cursor++ % bench->n_blocks;
}

/* Where byte OFFSET of the data lies, which bench_send swapped page by page. */
static size_t place(const struct bench *bench, size_t offset)
{
    return bench->block > PAGE ? offset ^ PAGE : offset;
}

static uint64_t *word_at(const struct bench *bench, unsigned char *data, size_t offset)
{
    return (uint64_t *)(void *)(data + place(bench, offset));
}

static int send_write(struct bench *bench, struct bench_slot *slot, uint64_t block)
{
    struct vuf_fuse_req *req = bench_request(bench, slot);
    unsigned char *data = (unsigned char *)vuf_fuse_args(req) + sizeof(struct vuf_write_in);
    uint64_t stamp = (slot->n << 16) + slot->index + 1;

    bench->stamps[block] = stamp;
    *word_at(bench, data, 0) = stamp;
    *word_at(bench, data, bench->block - 8) = stamp;
    *(struct vuf_write_in *)vuf_fuse_args(req) = (struct vuf_write_in){
        .fh = bench->file_fh,
        .offset = slot->offset,
        .size = bench->block,
        .flags = file_flags(bench),
    };
    return bench_send(bench, slot, req,
                      &(struct bench_send){
                          .opcode = VUF_OP_WRITE,
                          .nodeid = bench->file_node,
                          .args = sizeof(struct vuf_write_in),
                          .data = bench->block,
                          .reply = sizeof(struct vuf_write_out),
                          .swap = true,
                      });
}

int data_send(struct bench *bench, struct bench_slot *slot)
{
    uint64_t block = next_block(bench, slot);
    struct vuf_fuse_req *req;

    slot->offset = block * bench->block;
    if (bench->options->workload->with_write)
        return send_write(bench, slot, block);
    req = bench_request(bench, slot);
    *(struct vuf_read_in *)vuf_fuse_args(req) = (struct vuf_read_in){
        .fh = bench->file_fh,
        .offset = slot->offset,
        .size = bench->block,
        .flags = file_flags(bench),
    };
    return bench_send(bench, slot, req,
                      &(struct bench_send){
                          .opcode = VUF_OP_READ,
                          .nodeid = bench->file_node,
                          .args = sizeof(struct vuf_read_in),
                          .reply = bench->block,
                          .paged = true,
                          .swap = true,
                      });
}

static int check_read(struct bench *bench, const struct bench_slot *slot,
                      const struct vuf_fuse_req *req)
{
    unsigned char *data = req->out + sizeof(struct vuf_out_header);
    uint64_t *first = word_at(bench, data, 0);
    uint64_t *last = word_at(bench, data, bench->block - 8);
    bool good =
        *first == share_word(slot->offset) && *last == share_word(slot->offset + bench->block - 8);

    if (vuf_fuse_reply_len(req) != bench->block)
        return bench_fail(bench, -EIO, "short read");
    for (unsigned int i = 0; good && i < PROBES; i++) {
        size_t at = bench_random(bench) % (bench->block / 8) * 8;

        good = *word_at(bench, data, at) == share_word(slot->offset + at);
    }
    if (!good)
        return bench_fail(bench, -EBADMSG, "READ brought other data");
    /* So that the next reply in this memory cannot pass by bringing nothing. */
    *first = *last = 0;
    return WORKLOAD_DONE;
}

int data_check(struct bench *bench, struct bench_slot *slot, const struct vuf_fuse_req *req)
{
    struct vuf_write_out out;

    if (req->error)
        return workload_refused(bench, req);
    if (!bench->options->workload->with_write)
        return check_read(bench, slot, req);
    memcpy(&out, req->out + sizeof(struct vuf_out_header), sizeof(out));
    if (out.size != bench->block)
        return bench_fail(bench, -EIO, "short write");
    return WORKLOAD_DONE;
}

int data_verify(struct bench *bench)
{
    int fd = share_open(bench->options->share, SHARE_SINK);
    int r = fd < 0 ? fd : 0;

    for (uint64_t i = 0; r == 0 && i < bench->n_blocks; i++) {
        uint64_t first, last;
        uint64_t at = i * bench->block;

        if (!bench->stamps[i])
            continue;
        r = share_read_word(fd, at, &first);
        if (r == 0)
            r = share_read_word(fd, at + bench->block - 8, &last);
        if (r == 0 && (first != bench->stamps[i] || last != bench->stamps[i]))
            r = -EBADMSG;
    }
    if (fd >= 0)
        close(fd);
    return r < 0 ? bench_fail(bench, r, "the file does not hold what was written") : 0;
}
