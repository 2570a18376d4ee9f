// SPDX-License-Identifier: BSD-3-Clause
/* A mixed load, see mix.h.  Listings go on, a request at a time, between the other operations. */
#include <errno.h>

#include "mix.h"
#include "workloads.h"

int mixed_open(struct bench *bench)
{
    int r = meta_open_files(bench);

    if (r == 0)
        r = list_open(bench);
    return r < 0 ? r : data_open(bench);
}

/* A slot's listing outlives the operation, and its fields are used by others. */
static void swap_listing(struct bench_slot *slot)
{
    struct bench_listing other = slot->listing;

    slot->listing = (struct bench_listing){
        .fh = slot->fh,
        .offset = slot->offset,
        .sum = slot->sum,
        .phase = slot->phase,
        .file = slot->file,
    };
    slot->fh = other.fh;
    slot->offset = other.offset;
    slot->sum = other.sum;
    slot->phase = other.phase;
    slot->file = other.file;
}

int mixed_send(struct bench *bench, struct bench_slot *slot)
{
    int r;

    if (slot->step == 0)
        slot->kind = mix_kind(bench->n_started);
    switch ((enum mix_kind)slot->kind) {
    case MIX_GETATTR:
        return getattr_send(bench, slot);
    case MIX_LOOKUP:
        return lookup_send(bench, slot);
    case MIX_SMALL_FILE:
        return file_send(bench, slot);
    case MIX_WRITE:
        return data_send(bench, slot);
    case MIX_LISTING:
        swap_listing(slot);
        r = list_send(bench, slot);
        swap_listing(slot);
        return r;
    }
    return -EINVAL;
}

int mixed_check(struct bench *bench, struct bench_slot *slot, const struct vuf_fuse_req *req)
{
    int r;

    switch ((enum mix_kind)slot->kind) {
    case MIX_GETATTR:
        return getattr_check(bench, slot, req);
    case MIX_LOOKUP:
        return lookup_check(bench, slot, req);
    case MIX_SMALL_FILE:
        return file_check(bench, slot, req);
    case MIX_WRITE:
        return data_check(bench, slot, req);
    case MIX_LISTING:
        swap_listing(slot);
        r = list_check(bench, slot, req);
        swap_listing(slot);
        bench->units = 1;
        return r;
    }
    return -EINVAL;
}
