// SPDX-License-Identifier: BSD-3-Clause
#include "handshake.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "say.h"

#define PAGE         4096u
#define OLD_INIT_IN  16 /* INIT without the extension of 7.36 */
#define MIN_INIT_OUT 24 /* shortest reply of a 7.23 or newer server that the kernel takes */

/* DAX needs a window in guest memory; pass-through and io_uring need a server on this side of the
 * socket. */
#define IMPOSSIBLE                                                            \
    (VUF_INIT_MAP_ALIGNMENT | VUF_INIT_HAS_INODE_DAX | VUF_INIT_PASSTHROUGH | \
     VUF_INIT_OVER_IO_URING)

/* Waits until FD is readable.  0, -ECANCELED, -ECONNRESET (the back-end's socket), -ETIMEDOUT. */
static int wait_for(struct vuf_fuse *fuse, int fd, int cancel_fd)
{
    struct pollfd fds[] = {
        {.fd = fd, .events = POLLIN},
        {.fd = cancel_fd, .events = POLLIN},
        {.fd = fuse->dev->conn.fd, .events = POLLIN},
    };

    for (;;) {
        int n = poll(fds, 3, fuse->dev->conn.timeout_ms);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (fds[1].revents)
            return -ECANCELED;
        if (fds[0].revents)
            return 0;
        return n ? -ECONNRESET : -ETIMEDOUT;
    }
}

static int read_init(struct vuf_fuse *fuse, int fuse_fd, int cancel_fd, struct vuf_fuse_req *req,
                     struct vuf_in_header *ret_hdr)
{
    for (;;) {
        ssize_t n = read(fuse_fd, req->in, req->in_cap);
        int r;

        if (n >= 0) {
            memcpy(ret_hdr, req->in, sizeof(*ret_hdr));
            if ((size_t)n < sizeof(*ret_hdr) + OLD_INIT_IN || ret_hdr->len != (size_t)n ||
                ret_hdr->opcode != VUF_OP_INIT) {
                say("the kernel's first request is not FUSE_INIT");
                return -EPROTO;
            }
            return 0;
        }
        r = errno == EAGAIN ? wait_for(fuse, fuse_fd, cancel_fd) : -errno;
        if (r == -EINTR)
            continue;
        if (r < 0 && r != -ECANCELED)
            say("waiting for the kernel's FUSE_INIT: %s", strerror(-r));
        if (r < 0)
            return r;
    }
}

/* Takes what is impossible out of the request, which lies in guest memory and belongs to us until
 * it is submitted. */
static void mask_request(struct vuf_fuse_req *req, const struct vuf_in_header *hdr)
{
    struct vuf_init_in in = {0};
    size_t len = hdr->len - sizeof(*hdr);

    if (len > sizeof(in))
        len = sizeof(in);
    memcpy(&in, vuf_fuse_args(req), len);
    in.flags &= (uint32_t)~IMPOSSIBLE;
    in.flags2 &= (uint32_t)(~IMPOSSIBLE >> 32);
    memcpy(vuf_fuse_args(req), &in, len);
}

static int await_reply(struct vuf_fuse *fuse, int cancel_fd, struct vuf_fuse_req *req)
{
    struct vuf_ring *ring = &fuse->dev->rings[req->ring];
    struct vuf_fuse_req *done = NULL;
    int r = 0;

    while (r == 0) {
        r = vuf_fuse_reap(fuse, req->ring, &done);
        if (r != 0)
            break;
        if (vuf_ring_calls_on(ring))
            continue;
        r = wait_for(fuse, ring->call_fd, cancel_fd);
        vuf_ring_drain_calls(ring);
    }
    vuf_ring_calls_off(ring);
    if (r < 0) {
        if (r != -ECANCELED)
            say("back-end: no answer to FUSE_INIT: %s", say_errno(r));
        return r;
    }
    if (done->bad) {
        say("back-end: FUSE_INIT: %s", done->bad);
        return -EPROTO;
    }
    if (done->error) {
        say("back-end refuses FUSE_INIT: %s", strerror(-done->error));
        return done->error;
    }
    return 0;
}

/* Hands the reply to the kernel, corrected. */
static int pass_reply(struct vuf_fuse_req *req, int fuse_fd, size_t data)
{
    struct vuf_init_out out = {0};
    size_t len = vuf_fuse_reply_len(req);
    struct iovec iov[2] = {
        {.iov_base = &req->head, .iov_len = sizeof(req->head)},
        {.iov_base = &out, .iov_len = len},
    };

    if (len < MIN_INIT_OUT || len > sizeof(out)) {
        say("back-end: its answer to FUSE_INIT has %zu bytes", len);
        return -EPROTO;
    }
    memcpy(&out, vuf_fuse_reply(req), len);
    if (out.major != VUF_FUSE_MAJOR) {
        say("back-end speaks FUSE %u.%u, not %u", out.major, out.minor, VUF_FUSE_MAJOR);
        return -EPROTO;
    }
    out.flags &= (uint32_t)~IMPOSSIBLE;
    out.flags2 &= (uint32_t)(~IMPOSSIBLE >> 32);
    if (out.max_write > data)
        out.max_write = (uint32_t)data;
    if (out.max_pages > data / PAGE)
        out.max_pages = (uint16_t)(data / PAGE);
    if (writev(fuse_fd, iov, 2) < 0) {
        int err = errno;

        say("the kernel refuses the back-end's FUSE_INIT: %s", strerror(err));
        return -err;
    }
    return 0;
}

int handshake(struct vuf_fuse *fuse, int fuse_fd, int cancel_fd, size_t data)
{
    struct vuf_fuse_req *req = vuf_fuse_get(fuse, 1);
    struct vuf_in_header hdr;
    int r;

    r = read_init(fuse, fuse_fd, cancel_fd, req, &hdr);
    if (r == 0) {
        mask_request(req, &hdr);
        r = vuf_fuse_submit_raw(fuse, req, &hdr,
                                sizeof(struct vuf_out_header) + sizeof(struct vuf_init_out));
    }
    if (r < 0)
        return r;
    vuf_fuse_kick(fuse, 1);
    r = await_reply(fuse, cancel_fd, req);
    if (r == 0)
        r = pass_reply(req, fuse_fd, data);
    if (r == 0)
        vuf_fuse_put(fuse, req);
    return r;
}
