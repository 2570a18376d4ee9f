// SPDX-License-Identifier: BSD-3-Clause
/*
 * Listings of the directory of SHARE_ENTRIES or SHARE_FEW entries, one after the other in each
 * slot: OPENDIR, READDIRPLUS until an empty reply, RELEASEDIR.  An operation is one request, and
 * counts for as many units as it brought entries.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "share.h"
#include "workloads.h"

#define DIR_FLAGS (0100000u | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC)

/* slot->phase; zero at the start. */
enum phase { OPENING, READING, CLOSING };

int list_open(struct bench *bench)
{
    bool few = bench->options->few_entries;

    bench->n_entries = few ? SHARE_FEW : SHARE_ENTRIES;
    return workload_lookup(bench, VUF_ROOT_ID, few ? SHARE_DIR_FEW : SHARE_DIR_ENTRY,
                           &bench->list_node);
}

static int send_opendir(struct bench *bench, struct bench_slot *slot)
{
    struct vuf_fuse_req *req = bench_request(bench, slot);

    slot->offset = slot->sum = slot->file = 0;
    *(struct vuf_open_in *)vuf_fuse_args(req) = (struct vuf_open_in){.flags = DIR_FLAGS};
    return bench_send(bench, slot, req,
                      &(struct bench_send){
                          .opcode = VUF_OP_OPENDIR,
                          .nodeid = bench->list_node,
                          .args = sizeof(struct vuf_open_in),
                          .reply = sizeof(struct vuf_open_out),
                      });
}

int list_send(struct bench *bench, struct bench_slot *slot)
{
    struct vuf_fuse_req *req;

    if (slot->phase == OPENING)
        return send_opendir(bench, slot);
    req = bench_request(bench, slot);
    if (slot->phase == CLOSING) {
        *(struct vuf_release_in *)vuf_fuse_args(req) =
            (struct vuf_release_in){.fh = slot->fh, .flags = DIR_FLAGS};
        return bench_send(bench, slot, req,
                          &(struct bench_send){
                              .opcode = VUF_OP_RELEASEDIR,
                              .nodeid = bench->list_node,
                              .args = sizeof(struct vuf_release_in),
                          });
    }
    *(struct vuf_read_in *)vuf_fuse_args(req) = (struct vuf_read_in){
        .fh = slot->fh,
        .offset = slot->offset,
        .size = bench->options->workload->data,
        .flags = DIR_FLAGS,
    };
    return bench_send(bench, slot, req,
                      &(struct bench_send){
                          .opcode = VUF_OP_READDIRPLUS,
                          .nodeid = bench->list_node,
                          .args = sizeof(struct vuf_read_in),
                          .reply = bench->options->workload->data,
                          .paged = true,
                      });
}

/* Counts one entry; "." and ".." may come without a node. */
static int take_entry(struct bench *bench, struct bench_slot *slot,
                      const struct vuf_direntplus *plus, const char *name, bool cold)
{
    unsigned int number = 0;

    if (name[0] == '.')
        return 0;
    if (!plus->entry.nodeid || plus->dirent.namelen != 6 || name[0] != 'e')
        return bench_fail(bench, -EBADMSG, "READDIRPLUS brought an odd entry");
    for (unsigned int i = 1; i < 6; i++)
        number = number * 10 + (unsigned int)(name[i] - '0');
    slot->sum += number;
    slot->file++;
    bench->units++;
    return cold ? bench_forget(bench, plus->entry.nodeid) : 0;
}

static int take_entries(struct bench *bench, struct bench_slot *slot,
                        const struct vuf_fuse_req *req, bool cold)
{
    const unsigned char *at = req->out + sizeof(struct vuf_out_header);
    const unsigned char *end = at + vuf_fuse_reply_len(req);
    int r = 0;

    if (at == end) {
        if (slot->file != bench->n_entries ||
            slot->sum != bench->n_entries * (bench->n_entries - 1) / 2)
            return bench_fail(bench, -EBADMSG, "the listing is not complete");
        slot->phase = CLOSING;
        return 0;
    }
    while (r == 0 && at < end) {
        struct vuf_direntplus plus;

        if ((size_t)(end - at) < sizeof(plus))
            return bench_fail(bench, -EBADMSG, "a piece of an entry");
        memcpy(&plus, at, sizeof(plus));
        if (VUF_DIRENTPLUS_SIZE(plus.dirent.namelen) > (size_t)(end - at))
            return bench_fail(bench, -EBADMSG, "a piece of an entry");
        r = take_entry(bench, slot, &plus, (const char *)at + sizeof(plus), cold);
        slot->offset = plus.dirent.off;
        at += VUF_DIRENTPLUS_SIZE(plus.dirent.namelen);
    }
    return r;
}

static int check(struct bench *bench, struct bench_slot *slot, const struct vuf_fuse_req *req,
                 bool cold)
{
    struct vuf_open_out out;

    if (req->error)
        return workload_refused(bench, req);
    bench->units = 0;
    if (slot->phase == READING)
        return take_entries(bench, slot, req, cold) < 0 ? -EBADMSG : WORKLOAD_DONE;
    if (slot->phase == OPENING) {
        memcpy(&out, req->out + sizeof(struct vuf_out_header), sizeof(out));
        slot->fh = out.fh;
        slot->phase = READING;
    } else {
        slot->phase = OPENING;
    }
    return WORKLOAD_DONE;
}

int list_check(struct bench *bench, struct bench_slot *slot, const struct vuf_fuse_req *req)
{
    return check(bench, slot, req, false);
}

int list_cold_check(struct bench *bench, struct bench_slot *slot, const struct vuf_fuse_req *req)
{
    return check(bench, slot, req, true);
}
