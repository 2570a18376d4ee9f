// SPDX-License-Identifier: BSD-3-Clause
/*
 * One benchmark run: a session with a daemon, N operations in flight, and what was measured.
 *
 * Each operation in flight is a slot, which walks through the steps of its workload; a workload
 * (workloads.h) says which request a step sends and checks its reply.  The engine keeps the slots
 * going and takes the time.
 *
 * Owner: main.  Threads: one; the daemon's side is another process.  Functions return negative
 * errno after having told on stderr what went wrong.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stdint.h>

#include "account.h"
#include "histogram.h"
#include "trace.h"
#include "vufront.h"

#define BENCH_SLOTS_MAX 1024u

struct workload;

struct bench_options {
    const char *socket;
    const char *share; /* the shared directory as seen here */
    const struct workload *workload;
    unsigned int depth;  /* operations in flight, 1 to BENCH_SLOTS_MAX */
    unsigned int queues; /* request queues */
    unsigned int ring_size;
    double seconds;
    double warmup;
    uint64_t ops;  /* if not 0: exactly that many operations, no warm-up */
    bool spin;     /* look at the ring again and again instead of sleeping on the call descriptor */
    bool lockstep; /* see bench_run; with ops and pid */
    bool count;    /* in lockstep: the daemon's system calls */
    unsigned int files; /* of SHARE_FILES, how many are used in turn */
    bool few_entries;   /* list SHARE_FEW entries, not SHARE_ENTRIES */
    uint64_t think_ns;  /* pause before each operation, busy, not in its latency */
    pid_t pid;          /* daemon to account for, 0: none */
    uint64_t data_size;
    int cpu; /* to run on, -1: any */
};

struct bench_listing {
    uint64_t fh, offset, sum;
    unsigned int phase, file;
};

struct bench_slot {
    unsigned int index;
    unsigned int ring;
    unsigned int step; /* of the operation, from 0 */
    uint64_t start_ns;
    uint64_t n; /* operations that this slot began */
    uint64_t nodeid;
    uint64_t fh;
    uint64_t offset;
    unsigned int phase; /* this and what follows: the workload's own */
    uint64_t sum;
    unsigned int file;
    unsigned int kind;
    struct bench_listing listing;
};

struct bench_result {
    uint64_t ops; /* units, see struct bench */
    uint64_t ns;
    uint64_t kicks;
    uint64_t calls;
    uint64_t requests; /* FORGET included */
    struct account used;
    struct trace_counts counts;
    struct histogram latency;
};

struct bench {
    const struct bench_options *options;
    struct vuf_dev dev;
    struct vuf_fuse fuse;
    struct bench_slot *slots; /* options->depth */
    unsigned int n_active;    /* slots with an operation in flight */
    uint64_t n_started;
    uint64_t n_started_max; /* 0: any number */
    bool stopping;
    bool measuring;
    uint64_t units;       /* what the operation just checked counts for; 1 unless it says */
    bool forgets_pending; /* queued on hiprio, not kicked */
    uint64_t random;
    uint64_t batch_ns; /* time of the latest look at the clock */
    struct bench_result result;

    /* The workload's. */
    uint64_t dir_node;
    uint64_t list_node;
    uint64_t file_node;
    uint64_t file_fh;
    uint64_t *nodes;  /* SHARE_FILES */
    uint64_t *inos;   /* ditto: inode numbers on the host */
    uint64_t *stamps; /* what each block of the sink was last given */
    uint64_t n_blocks;
    uint64_t fs_blocks; /* of the share's file system */
    uint64_t n_entries;
    uint32_t block;
    uint64_t cursor;
};

int bench_open(struct bench *bench, const struct bench_options *options);

/* Runs and measures.  In lockstep all operations in flight send their requests with one
 * notification, the daemon answers them and goes to sleep, all replies are taken.  So the same
 * things happen in each run, whatever the machine is busy with, and can be counted. */
int bench_run(struct bench *bench);
void bench_close(struct bench *bench);

/* For workloads: an asynchronous request of SLOT, whose argument area FILL has filled (see
 * bench_request).  DATA bytes of a reply or of a WRITE are cut into pages as a guest's are; with
 * SWAP neighbouring pages change places, so that no two are adjacent in memory. */
struct bench_send {
    uint32_t opcode;
    uint64_t nodeid;
    size_t args;  /* bytes of arguments, without the data of a WRITE */
    size_t data;  /* bytes of data behind the arguments of a WRITE, else 0 */
    size_t reply; /* bytes of room for the result, without the header */
    bool paged;   /* cut the result into pages */
    bool swap;
};

/* A free request; there is one for each slot.  Arguments go to vuf_fuse_args. */
struct vuf_fuse_req *bench_request(struct bench *bench, struct bench_slot *slot);
int bench_send(struct bench *bench, struct bench_slot *slot, struct vuf_fuse_req *req,
               const struct bench_send *send);

/* Queues a FORGET of one lookup. */
int bench_forget(struct bench *bench, uint64_t nodeid);

uint64_t bench_random(struct bench *bench);

/* Prints "WORKLOAD: text: reason" and returns ERROR. */
int bench_fail(const struct bench *bench, int error, const char *text);

#endif
