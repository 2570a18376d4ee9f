// SPDX-License-Identifier: BSD-3-Clause
/*
 * FUSE requests over the rings of a device.
 *
 * A session owns, per ring, a pool of requests; each has an input and an output area of its own in
 * guest memory, laid out so that the data of WRITE and the data of a READ reply start on a page. As
 * from Linux, a message goes out as header, arguments, data, and the reply comes as header, rest:
 * each a piece of its own.
 *
 * Synchronous:   vuf_fuse_call (arguments and reply are copied).
 * Asynchronous:  vuf_fuse_get, fill vuf_fuse_args, vuf_fuse_submit, vuf_fuse_kick; then
 * vuf_fuse_wait or vuf_fuse_reap, read vuf_fuse_reply, vuf_fuse_put.  Up to as many in flight as
 * the pool has.
 *
 * Owner: the one who called vuf_fuse_open; ends with vuf_fuse_close, before the device.  A request
 * belongs to its ring: get, submit, reap and put by one thread at a time per ring; different rings
 * are independent.
 *
 * Two kinds of failure are kept apart.  Functions return transport errors: -ETIMEDOUT, -EPROTO (the
 * device broke the ring, or the reply breaks the rules: see vuf_fuse_req.bad), negative errno.  The
 * file system's own errno is in req->error or *ret_error.
 */
#ifndef VUF_FUSE_H
#define VUF_FUSE_H

#include <sys/types.h>

#include "vuf_dev.h"
#include "vuf_fuse_abi.h"

#define VUF_HIPRIO 0 /* ring for FORGET and INTERRUPT; requests go to 1 and up */

struct vuf_fuse_req {
    /* Set by the library. */
    unsigned char *in;  /* struct vuf_in_header, then arguments; in_cap bytes, guest memory */
    unsigned char *out; /* struct vuf_out_header, then results; out_cap bytes, guest memory */
    size_t in_cap;
    size_t out_cap;
    unsigned int ring;
    uint64_t unique;
    uint32_t opcode;
    uint32_t out_len; /* writable bytes offered, header included */

    /* After completion. */
    uint32_t used_len; /* exactly as the device reported it */
    struct vuf_out_header
        head;        /* private copy of the reply's header; zeroes when used_len is too small */
    int error;       /* head.error, or -EPROTO when the reply breaks the rules */
    const char *bad; /* which rule, for humans; NULL for a proper reply */

    void *user;                /* the caller's */
    struct vuf_fuse_req *next; /* free list */
};

struct vuf_fuse_pool {
    struct vuf_ring *ring;
    struct vuf_fuse_req *reqs;
    struct vuf_fuse_req *free;
    unsigned int n_reqs;
    unsigned int n_free;
};

struct vuf_fuse {
    struct vuf_dev *dev; /* borrowed */
    struct vuf_fuse_pool *pools;
    unsigned int n_pools; /* rings of the device */
    uint64_t unique;      /* last one given out; atomic, steps of 2 as in Linux */
    uint32_t uid;         /* written into each request's header */
    uint32_t gid;
    uint32_t pid;
    struct vuf_init_out init; /* the back-end's answer to vuf_fuse_init */
};

struct vuf_fuse_options {
    unsigned int depth;        /* requests per request ring, 1 or more */
    unsigned int hiprio_depth; /* requests on ring 0, 1 or more */
    size_t data;               /* largest data of a WRITE or READ, bytes, whole pages */
};

/* One stretch of the caller's memory. */
struct vuf_buf {
    const void *base;
    size_t len;
};

/* Guest memory that a session of n_rings rings takes: the `extra` of vuf_dev_layout. */
size_t vuf_fuse_mem_size(unsigned int n_rings, const struct vuf_fuse_options *options);

/* The rings must exist (vuf_dev_create_rings).  -ENOMEM: not enough guest memory. */
int vuf_fuse_open(struct vuf_fuse *ret_fuse, struct vuf_dev *dev,
                  const struct vuf_fuse_options *options);

/* Accepts a zeroed struct.  Requests in flight are forgotten. */
void vuf_fuse_close(struct vuf_fuse *fuse);

/* A free request, or NULL when all are in flight. */
struct vuf_fuse_req *vuf_fuse_get(struct vuf_fuse *fuse, unsigned int ring);
void vuf_fuse_put(struct vuf_fuse *fuse, struct vuf_fuse_req *req);

/* Where arguments go, and where results are. */
static inline void *vuf_fuse_args(struct vuf_fuse_req *req)
{
    return req->in + sizeof(struct vuf_in_header);
}

static inline void *vuf_fuse_reply(struct vuf_fuse_req *req)
{
    return req->out + sizeof(struct vuf_out_header);
}

/* Bytes of result behind the header; 0 unless the reply is proper. */
static inline size_t vuf_fuse_reply_len(const struct vuf_fuse_req *req)
{
    return !req->bad && req->used_len > sizeof(struct vuf_out_header)
               ? req->used_len - sizeof(struct vuf_out_header)
               : 0;
}

/*
 * Queues the request whose ARGS_LEN bytes of arguments lie in vuf_fuse_args, with room for
 * REPLY_LEN bytes of result; the header is written here.  reply_len < 0: no writable part at all
 * (FORGET).  -ENOSPC: ring full.  The device is not told before vuf_fuse_kick.
 */
int vuf_fuse_submit(struct vuf_fuse *fuse, struct vuf_fuse_req *req, uint32_t opcode,
                    uint64_t nodeid, size_t args_len, ssize_t reply_len);

/* The same for a message that lies in req->in complete; HDR is a private copy of its header.
 * OUT_LEN counts the reply's header, 0: no writable part. */
int vuf_fuse_submit_raw(struct vuf_fuse *fuse, struct vuf_fuse_req *req,
                        const struct vuf_in_header *hdr, size_t out_len);

/* Publishes, and notifies if wanted. */
void vuf_fuse_kick(struct vuf_fuse *fuse, unsigned int ring);

/* Next finished request of the ring.  1: *ret_req, 0: none, -EPROTO: ring broken. */
int vuf_fuse_reap(struct vuf_fuse *fuse, unsigned int ring, struct vuf_fuse_req **ret_req);

/* The same, but sleeps up to timeout_ms for it.  0 or -ETIMEDOUT, -EPROTO. */
int vuf_fuse_wait(struct vuf_fuse *fuse, unsigned int ring, int timeout_ms,
                  struct vuf_fuse_req **ret_req);

/*
 * One request from start to end on a ring with nothing else in flight.  IN: arguments, any number
 * of stretches. OUT: room for OUT_SIZE bytes of result; *ret_len (may be NULL) gets how many came,
 * *ret_error the file system's errno (0 or negative), both only on success.  Waits at most the
 * connection's timeout; a late reply is dropped by later calls.
 */
int vuf_fuse_call(struct vuf_fuse *fuse, unsigned int ring, uint32_t opcode, uint64_t nodeid,
                  const struct vuf_buf *in, unsigned int n_in, void *out, size_t out_size,
                  size_t *ret_len, int *ret_error);

/* INIT with MINOR and FLAGS (64-bit word); the answer is in fuse->init. Returns transport errors,
 * else the file system's. */
int vuf_fuse_init(struct vuf_fuse *fuse, uint32_t minor, uint64_t flags);

/* DESTROY.  A reply of length 0 counts as an answer, as Rust virtiofsd 1.14 gives it. */
int vuf_fuse_destroy(struct vuf_fuse *fuse);

/* FORGET on hiprio, waited for. */
int vuf_fuse_forget(struct vuf_fuse *fuse, uint64_t nodeid, uint64_t nlookup);

#endif
