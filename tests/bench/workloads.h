// SPDX-License-Identifier: BSD-3-Clause
/*
 * The workloads: what one operation is, in requests.
 *
 * Constant tables.  All functions run in the engine's thread and return negative errno after
 * having told on stderr.
 */
#ifndef BENCH_WORKLOADS_H
#define BENCH_WORKLOADS_H

#include "bench.h"

enum workload_step {
    WORKLOAD_MORE = 0, /* the operation goes on with the next step */
    WORKLOAD_DONE = 1,
};

struct workload {
    const char *name;
    const char *about;
    uint32_t data;   /* bytes of a READ, WRITE or READDIRPLUS; 0: none */
    uint32_t uid;    /* user and group in the requests */
    bool entries;    /* counted in directory entries: their number varies by operation */
    bool with_write; /* the file is the sink */
    bool random;

    /* Finds nodes, opens files; synchronous calls, not measured. */
    int (*open)(struct bench *bench);
    /* Sends the request of slot->step. */
    int (*send)(struct bench *bench, struct bench_slot *slot);
    /* Checks its reply: enum workload_step. */
    int (*check)(struct bench *bench, struct bench_slot *slot, const struct vuf_fuse_req *req);
    /* Looks, on the host's side, whether all that was acknowledged is there; may be NULL. */
    int (*verify)(struct bench *bench);
};

extern const struct workload workloads[]; /* ends with a NULL name */

const struct workload *workload_find(const char *name);

/* work_meta.c */
int meta_open_files(struct bench *bench); /* looks all of files/ up */
int meta_open_dir(struct bench *bench);   /* looks files/ itself up */
int meta_open_scratch(struct bench *bench);
int getattr_send(struct bench *bench, struct bench_slot *slot);
int getattr_check(struct bench *bench, struct bench_slot *slot, const struct vuf_fuse_req *req);
int lookup_send(struct bench *bench, struct bench_slot *slot);
int lookup_check(struct bench *bench, struct bench_slot *slot, const struct vuf_fuse_req *req);
int cold_check(struct bench *bench, struct bench_slot *slot, const struct vuf_fuse_req *req);
int miss_send(struct bench *bench, struct bench_slot *slot);
int miss_check(struct bench *bench, struct bench_slot *slot, const struct vuf_fuse_req *req);
int open_send(struct bench *bench, struct bench_slot *slot);
int open_check(struct bench *bench, struct bench_slot *slot, const struct vuf_fuse_req *req);
int create_send(struct bench *bench, struct bench_slot *slot);
int create_check(struct bench *bench, struct bench_slot *slot, const struct vuf_fuse_req *req);
int create_verify(struct bench *bench);
int mknod_send(struct bench *bench, struct bench_slot *slot);
int mknod_check(struct bench *bench, struct bench_slot *slot, const struct vuf_fuse_req *req);
int statfs_open(struct bench *bench);
int statfs_send(struct bench *bench, struct bench_slot *slot);
int statfs_check(struct bench *bench, struct bench_slot *slot, const struct vuf_fuse_req *req);

/* work_file.c */
int file_send(struct bench *bench, struct bench_slot *slot);
int file_check(struct bench *bench, struct bench_slot *slot, const struct vuf_fuse_req *req);

/* work_data.c */
int data_open(struct bench *bench);
int data_send(struct bench *bench, struct bench_slot *slot);
int data_check(struct bench *bench, struct bench_slot *slot, const struct vuf_fuse_req *req);
int data_verify(struct bench *bench);

/* work_dir.c */
int list_open(struct bench *bench);
int list_send(struct bench *bench, struct bench_slot *slot);
int list_check(struct bench *bench, struct bench_slot *slot, const struct vuf_fuse_req *req);
int list_cold_check(struct bench *bench, struct bench_slot *slot, const struct vuf_fuse_req *req);

/* work_mixed.c */
int mixed_open(struct bench *bench);
int mixed_send(struct bench *bench, struct bench_slot *slot);
int mixed_check(struct bench *bench, struct bench_slot *slot, const struct vuf_fuse_req *req);

/* LOOKUP of NAME (no slash) in PARENT, waited for. */
int workload_lookup(struct bench *bench, uint64_t parent, const char *name, uint64_t *ret_nodeid);

/* A reply's error, which was to be 0, told on stderr. */
int workload_refused(const struct bench *bench, const struct vuf_fuse_req *req);

#endif
