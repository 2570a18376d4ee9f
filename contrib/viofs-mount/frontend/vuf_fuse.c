// SPDX-License-Identifier: BSD-3-Clause
#include "vuf_fuse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PAGE        4096u
#define WRITE_HEAD  (sizeof(struct vuf_in_header) + sizeof(struct vuf_write_in))
#define HIPRIO_DATA PAGE

/* Room of one request: a page whose end holds what comes before the data, then the data; once for
 * each way. */
static size_t slot_size(size_t data)
{
    return 2 * (PAGE + data);
}

static size_t data_of(const struct vuf_fuse_options *options, unsigned int ring)
{
    /* A page more than asked: names and arguments of other requests may come on top of the data. */
    return ring == VUF_HIPRIO ? HIPRIO_DATA : options->data + PAGE;
}

static unsigned int depth_of(const struct vuf_fuse_options *options, unsigned int ring)
{
    return ring == VUF_HIPRIO ? options->hiprio_depth : options->depth;
}

size_t vuf_fuse_mem_size(unsigned int n_rings, const struct vuf_fuse_options *options)
{
    size_t sum = PAGE;

    for (unsigned int i = 0; i < n_rings; i++)
        sum += depth_of(options, i) * slot_size(data_of(options, i));
    return sum;
}

static int open_pool(struct vuf_fuse_pool *pool, struct vuf_dev *dev, unsigned int ring,
                     unsigned int depth, size_t data)
{
    unsigned char *slot = vuf_mem_alloc(&dev->mem, depth * slot_size(data), PAGE);

    if (!slot || !depth)
        return slot ? -EINVAL : -ENOMEM;
    pool->reqs = calloc(depth, sizeof(*pool->reqs));
    if (!pool->reqs)
        return -ENOMEM;
    pool->ring = &dev->rings[ring];
    pool->n_reqs = pool->n_free = depth;
    for (unsigned int i = depth; i-- > 0;) {
        struct vuf_fuse_req *req = &pool->reqs[i];
        unsigned char *base = slot + i * slot_size(data);

        *req = (struct vuf_fuse_req){
            .in = base + PAGE - WRITE_HEAD,
            .in_cap = data + WRITE_HEAD,
            .out = base + PAGE + data + PAGE - sizeof(struct vuf_out_header),
            .out_cap = data + sizeof(struct vuf_out_header),
            .ring = ring,
            .next = pool->free,
        };
        pool->free = req;
    }
    return 0;
}

int vuf_fuse_open(struct vuf_fuse *ret_fuse, struct vuf_dev *dev,
                  const struct vuf_fuse_options *options)
{
    struct vuf_fuse fuse = {.dev = dev, .pid = 1};
    int r = -ENOMEM;

    fuse.pools = calloc(dev->n_rings, sizeof(*fuse.pools));
    if (!fuse.pools)
        return -ENOMEM;
    for (fuse.n_pools = 0; fuse.n_pools < dev->n_rings; fuse.n_pools++) {
        unsigned int i = fuse.n_pools;

        r = open_pool(&fuse.pools[i], dev, i, depth_of(options, i), data_of(options, i));
        if (r < 0) {
            vuf_fuse_close(&fuse);
            return r;
        }
    }
    *ret_fuse = fuse;
    return 0;
}

void vuf_fuse_close(struct vuf_fuse *fuse)
{
    for (unsigned int i = 0; i < fuse->n_pools; i++)
        free(fuse->pools[i].reqs);
    free(fuse->pools);
    *fuse = (struct vuf_fuse){0};
}

struct vuf_fuse_req *vuf_fuse_get(struct vuf_fuse *fuse, unsigned int ring)
{
    struct vuf_fuse_pool *pool = &fuse->pools[ring];
    struct vuf_fuse_req *req = pool->free;

    if (req) {
        pool->free = req->next;
        pool->n_free--;
    }
    return req;
}

void vuf_fuse_put(struct vuf_fuse *fuse, struct vuf_fuse_req *req)
{
    struct vuf_fuse_pool *pool = &fuse->pools[req->ring];

    /* Last in, first out: the warmest memory goes out again. */
    req->next = pool->free;
    pool->free = req;
    pool->n_free++;
}

static unsigned int add_piece(struct vuf_fuse *fuse, struct vuf_piece *pieces, unsigned int n,
                              const unsigned char *base, size_t len)
{
    if (!len)
        return n;
    pieces[n] = (struct vuf_piece){.gpa = vuf_mem_gpa(&fuse->dev->mem, base), .len = (uint32_t)len};
    return n + 1;
}

int vuf_fuse_submit_raw(struct vuf_fuse *fuse, struct vuf_fuse_req *req,
                        const struct vuf_in_header *hdr, size_t out_len)
{
    size_t head = sizeof(*hdr);
    size_t out_head =
        out_len < sizeof(struct vuf_out_header) ? out_len : sizeof(struct vuf_out_header);
    size_t args_end;
    struct vuf_piece pieces[5];
    unsigned int n, n_read;

    if (hdr->len < head || hdr->len > req->in_cap || out_len > req->out_cap)
        return -EMSGSIZE;
    args_end = hdr->opcode == VUF_OP_WRITE && hdr->len > WRITE_HEAD ? WRITE_HEAD : hdr->len;
    n = add_piece(fuse, pieces, 0, req->in, head);
    n = add_piece(fuse, pieces, n, req->in + head, args_end - head);
    n_read = n = add_piece(fuse, pieces, n, req->in + args_end, hdr->len - args_end);
    n = add_piece(fuse, pieces, n, req->out, out_head);
    n = add_piece(fuse, pieces, n, req->out + out_head, out_len - out_head);
    req->unique = hdr->unique;
    req->opcode = hdr->opcode;
    req->out_len = (uint32_t)out_len;
    return vuf_ring_add(fuse->pools[req->ring].ring, pieces, n_read, n - n_read, req);
}

int vuf_fuse_submit(struct vuf_fuse *fuse, struct vuf_fuse_req *req, uint32_t opcode,
                    uint64_t nodeid, size_t args_len, ssize_t reply_len)
{
    struct vuf_in_header hdr = {
        .len = (uint32_t)(sizeof(hdr) + args_len),
        .opcode = opcode,
        .unique = __atomic_add_fetch(&fuse->unique, 2, __ATOMIC_RELAXED),
        .nodeid = nodeid,
        .uid = fuse->uid,
        .gid = fuse->gid,
        .pid = fuse->pid,
    };

    if (args_len > req->in_cap - sizeof(hdr))
        return -EMSGSIZE;
    memcpy(req->in, &hdr, sizeof(hdr));
    return vuf_fuse_submit_raw(
        fuse, req, &hdr, reply_len < 0 ? 0 : sizeof(struct vuf_out_header) + (size_t)reply_len);
}

void vuf_fuse_kick(struct vuf_fuse *fuse, unsigned int ring)
{
    vuf_ring_kick(fuse->pools[ring].ring);
}

/* The rules that Linux 7.x checks replies by, and then some. */
static const char *broken_rule(const struct vuf_fuse_req *req)
{
    if (!req->out_len)
        return req->used_len ? "bytes used where none were offered" : NULL;
    if (req->used_len > req->out_len)
        return "more bytes used than offered";
    if (req->used_len < sizeof(req->head))
        return "reply shorter than its header";
    if (req->head.len != req->used_len)
        return "length in the header differs from the used length";
    if (req->head.unique != req->unique)
        return "reply to another request";
    if (req->head.error > 0 || req->head.error < -4095)
        return "error is not a negative errno";
    if (req->head.error && req->head.len != sizeof(req->head))
        return "error with data";
    return NULL;
}

int vuf_fuse_reap(struct vuf_fuse *fuse, unsigned int ring, struct vuf_fuse_req **ret_req)
{
    struct vuf_done done;
    int r = vuf_ring_pop(fuse->pools[ring].ring, &done);

    if (r <= 0)
        return r;
    struct vuf_fuse_req *req = done.token;

    req->used_len = done.len;
    if (done.len >= sizeof(req->head) && req->out_len >= sizeof(req->head))
        memcpy(&req->head, req->out, sizeof(req->head));
    else
        memset(&req->head, 0, sizeof(req->head));
    req->bad = broken_rule(req);
    req->error = req->bad ? -EPROTO : req->head.error;
    *ret_req = req;
    return 1;
}

int vuf_fuse_wait(struct vuf_fuse *fuse, unsigned int ring, int timeout_ms,
                  struct vuf_fuse_req **ret_req)
{
    for (;;) {
        int r = vuf_fuse_reap(fuse, ring, ret_req);

        if (r != 0)
            return r < 0 ? r : 0;
        r = vuf_ring_wait(fuse->pools[ring].ring, timeout_ms);
        if (r < 0)
            return r;
    }
}

/* Waits for this very request; what comes in before is an old one whose caller gave up. */
static int wait_for(struct vuf_fuse *fuse, struct vuf_fuse_req *req)
{
    for (;;) {
        struct vuf_fuse_req *done;
        int r = vuf_fuse_wait(fuse, req->ring, fuse->dev->conn.timeout_ms, &done);

        if (r < 0)
            return r;
        if (done == req)
            return 0;
        vuf_fuse_put(fuse, done);
    }
}

int vuf_fuse_call(struct vuf_fuse *fuse, unsigned int ring, uint32_t opcode, uint64_t nodeid,
                  const struct vuf_buf *in, unsigned int n_in, void *out, size_t out_size,
                  size_t *ret_len, int *ret_error)
{
    struct vuf_fuse_req *req = vuf_fuse_get(fuse, ring);
    size_t len = 0;
    int r = 0;

    if (!req)
        return -EBUSY;
    for (unsigned int i = 0; i < n_in && r == 0; i++) {
        if (in[i].len > req->in_cap - sizeof(struct vuf_in_header) - len)
            r = -EMSGSIZE;
        else if (in[i].len)
            memcpy((unsigned char *)vuf_fuse_args(req) + len, in[i].base, in[i].len);
        len += in[i].len;
    }
    if (r == 0)
        r = vuf_fuse_submit(fuse, req, opcode, nodeid, len, (ssize_t)out_size);
    if (r < 0) {
        vuf_fuse_put(fuse, req);
        return r;
    }
    vuf_fuse_kick(fuse, ring);
    r = wait_for(fuse, req);
    if (r < 0)
        return r; /* the device still has it: it must not be reused */
    if (req->bad) {
        r = -EPROTO;
    } else {
        len = vuf_fuse_reply_len(req);
        if (len)
            memcpy(out, vuf_fuse_reply(req), len);
        if (ret_len)
            *ret_len = len;
        *ret_error = req->error;
    }
    vuf_fuse_put(fuse, req);
    return r;
}

int vuf_fuse_init(struct vuf_fuse *fuse, uint32_t minor, uint64_t flags)
{
    struct vuf_init_in in = {
        .major = VUF_FUSE_MAJOR,
        .minor = minor,
        .max_readahead = 128 * 1024,
        .flags = (uint32_t)flags,
        .flags2 = (uint32_t)(flags >> 32),
    };
    /* The long form exists from 7.36 on, and is announced by a flag of its own. */
    struct vuf_buf buf = {.base = &in, .len = flags & VUF_INIT_INIT_EXT ? sizeof(in) : 16};
    int error;
    int r;

    memset(&fuse->init, 0, sizeof(fuse->init));
    r = vuf_fuse_call(fuse, fuse->n_pools > 1 ? 1 : 0, VUF_OP_INIT, 0, &buf, 1, &fuse->init,
                      sizeof(fuse->init), NULL, &error);
    return r < 0 ? r : error;
}

int vuf_fuse_destroy(struct vuf_fuse *fuse)
{
    unsigned int ring = fuse->n_pools > 1 ? 1 : 0;
    struct vuf_fuse_req *req = vuf_fuse_get(fuse, ring);
    int r;

    if (!req)
        return -EBUSY;
    r = vuf_fuse_submit(fuse, req, VUF_OP_DESTROY, 0, 0, 0);
    if (r < 0) {
        vuf_fuse_put(fuse, req);
        return r;
    }
    vuf_fuse_kick(fuse, ring);
    r = wait_for(fuse, req);
    if (r < 0)
        return r;
    r = req->used_len == 0 ? 0 : req->error;
    vuf_fuse_put(fuse, req);
    return r;
}

int vuf_fuse_forget(struct vuf_fuse *fuse, uint64_t nodeid, uint64_t nlookup)
{
    struct vuf_fuse_req *req = vuf_fuse_get(fuse, VUF_HIPRIO);
    int r;

    if (!req)
        return -EBUSY;
    memcpy(vuf_fuse_args(req), &(struct vuf_forget_in){.nlookup = nlookup},
           sizeof(struct vuf_forget_in));
    r = vuf_fuse_submit(fuse, req, VUF_OP_FORGET, nodeid, sizeof(struct vuf_forget_in), -1);
    if (r < 0) {
        vuf_fuse_put(fuse, req);
        return r;
    }
    vuf_fuse_kick(fuse, VUF_HIPRIO);
    r = wait_for(fuse, req);
    if (r < 0)
        return r;
    r = req->bad ? -EPROTO : 0;
    vuf_fuse_put(fuse, req);
    return r;
}
