// SPDX-License-Identifier: BSD-3-Clause
/*
 * The client behaves as a guest with one CPU: it queues what it has, notifies once if the device
 * asked for it, and sleeps until the device calls (EVENT_IDX, at the next completion).  Replies
 * are reaped in batches, and what they set off goes out with one notification per batch.
 */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "workloads.h"

#define NS_PER_S       1000000000ull
#define PAGE           4096u
#define STALL_MS       10000
#define COUNT_STALL_MS 60000
#define HIPRIO_DEPTH   512u
#define HEAD           sizeof(struct vuf_out_header)
#define PIECES_MAX     (6 + (1u << 20) / PAGE)
#define MINOR_OFFERED  41
/* Operations of a few listings of SHARE_FEW entries, 4 KiB at a time. */
#define LISTING_OPS    60u

/* What Linux 6.12 offers, without those flags that would change what requests look like. */
#define FLAGS_OFFERED                                                                            \
    (VUF_INIT_ASYNC_READ | VUF_INIT_POSIX_LOCKS | VUF_INIT_ATOMIC_O_TRUNC |                      \
     VUF_INIT_EXPORT_SUPPORT | VUF_INIT_BIG_WRITES | VUF_INIT_DONT_MASK | VUF_INIT_FLOCK_LOCKS | \
     VUF_INIT_HAS_IOCTL_DIR | VUF_INIT_AUTO_INVAL_DATA | VUF_INIT_DO_READDIRPLUS |               \
     VUF_INIT_READDIRPLUS_AUTO | VUF_INIT_ASYNC_DIO | VUF_INIT_WRITEBACK_CACHE |                 \
     VUF_INIT_PARALLEL_DIROPS | VUF_INIT_HANDLE_KILLPRIV | VUF_INIT_POSIX_ACL |                  \
     VUF_INIT_ABORT_ERROR | VUF_INIT_MAX_PAGES | VUF_INIT_CACHE_SYMLINKS |                       \
     VUF_INIT_EXPLICIT_INVAL_DATA | VUF_INIT_SUBMOUNTS | VUF_INIT_HANDLE_KILLPRIV_V2 |           \
     VUF_INIT_SETXATTR_EXT | VUF_INIT_INIT_EXT | VUF_INIT_HAS_EXPIRE_ONLY)

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

uint64_t bench_random(struct bench *bench)
{
    uint64_t x = bench->random;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    bench->random = x;
    return x * 0x2545f4914f6cdd1dull >> 16;
}

int bench_fail(const struct bench *bench, int error, const char *text)
{
    fprintf(stderr, "viofs-bench: %s: %s: %s\n", bench->options->workload->name, text,
            strerror(-error));
    return error;
}

struct vuf_fuse_req *bench_request(struct bench *bench, struct bench_slot *slot)
{
    struct vuf_fuse_req *req = vuf_fuse_get(&bench->fuse, slot->ring);

    if (!req)
        abort(); /* as many requests as slots: an error in this program */
    req->user = slot;
    return req;
}

/* Adds LEN bytes at BASE, page by page. */
static unsigned int add_pages(const struct bench *bench, struct vuf_piece *pieces, unsigned int n,
                              const unsigned char *base, size_t len, bool swap)
{
    size_t n_pages = (len + PAGE - 1) / PAGE;

    for (size_t i = 0; i < n_pages; i++) {
        size_t page = swap && n_pages > 1 ? i ^ 1 : i;
        size_t at = page * PAGE;

        pieces[n++] = (struct vuf_piece){
            .gpa = vuf_mem_gpa(&bench->dev.mem, base + at),
            .len = (uint32_t)(len - at < PAGE ? len - at : PAGE),
        };
    }
    return n;
}

static unsigned int add_piece(const struct bench *bench, struct vuf_piece *pieces, unsigned int n,
                              const unsigned char *base, size_t len)
{
    if (!len)
        return n;
    pieces[n] = (struct vuf_piece){.gpa = vuf_mem_gpa(&bench->dev.mem, base), .len = (uint32_t)len};
    return n + 1;
}

int bench_send(struct bench *bench, struct bench_slot *slot, struct vuf_fuse_req *req,
               const struct bench_send *send)
{
    struct vuf_in_header hdr = {
        .len = (uint32_t)(sizeof(hdr) + send->args + send->data),
        .opcode = send->opcode,
        .unique = bench->fuse.unique += 2,
        .nodeid = send->nodeid,
        .uid = bench->fuse.uid,
        .gid = bench->fuse.gid,
        .pid = bench->fuse.pid,
    };
    struct vuf_piece pieces[PIECES_MAX];
    unsigned char *args = vuf_fuse_args(req);
    unsigned int n, n_read;
    int r;

    if (hdr.len > req->in_cap || send->reply + HEAD > req->out_cap)
        return bench_fail(bench, -EMSGSIZE, "request");
    memcpy(req->in, &hdr, sizeof(hdr));
    n = add_piece(bench, pieces, 0, req->in, sizeof(hdr));
    n = add_piece(bench, pieces, n, args, send->args);
    n_read = n = add_pages(bench, pieces, n, args + send->args, send->data, send->swap);
    n = add_piece(bench, pieces, n, req->out, HEAD);
    if (send->paged)
        n = add_pages(bench, pieces, n, req->out + HEAD, send->reply, send->swap);
    else
        n = add_piece(bench, pieces, n, req->out + HEAD, send->reply);
    req->unique = hdr.unique;
    req->opcode = hdr.opcode;
    req->out_len = (uint32_t)(HEAD + send->reply);
    r = vuf_ring_add(&bench->dev.rings[slot->ring], pieces, n_read, n - n_read, req);
    bench->result.requests += bench->measuring;
    return r < 0 ? bench_fail(bench, r, "queueing a request") : 0;
}

/* Takes finished FORGETs back; waits for one if none is free. */
static int reap_forgets(struct bench *bench)
{
    struct vuf_fuse_req *req;
    int r;

    while ((r = vuf_fuse_reap(&bench->fuse, VUF_HIPRIO, &req)) == 1)
        vuf_fuse_put(&bench->fuse, req);
    if (r == 0 && !bench->fuse.pools[VUF_HIPRIO].free) {
        vuf_fuse_kick(&bench->fuse, VUF_HIPRIO);
        r = vuf_fuse_wait(&bench->fuse, VUF_HIPRIO, STALL_MS, &req);
        if (r == 0)
            vuf_fuse_put(&bench->fuse, req);
    }
    return r < 0 ? bench_fail(bench, r, "FORGET") : 0;
}

int bench_forget(struct bench *bench, uint64_t nodeid)
{
    struct vuf_fuse_req *req;
    int r = reap_forgets(bench);

    if (r < 0)
        return r;
    req = vuf_fuse_get(&bench->fuse, VUF_HIPRIO);
    *(struct vuf_forget_in *)vuf_fuse_args(req) = (struct vuf_forget_in){.nlookup = 1};
    r = vuf_fuse_submit(&bench->fuse, req, VUF_OP_FORGET, nodeid, sizeof(struct vuf_forget_in), -1);
    if (r < 0)
        return bench_fail(bench, r, "FORGET");
    bench->forgets_pending = true;
    bench->result.requests += bench->measuring;
    return 0;
}

static void kick(struct bench *bench)
{
    if (bench->forgets_pending) {
        vuf_fuse_kick(&bench->fuse, VUF_HIPRIO);
        bench->forgets_pending = false;
    }
    for (unsigned int i = 1; i < bench->dev.n_rings; i++)
        vuf_fuse_kick(&bench->fuse, i);
}

static int begin(struct bench *bench, struct bench_slot *slot)
{
    uint64_t until = bench->batch_ns + bench->options->think_ns;

    while (bench->batch_ns < until)
        bench->batch_ns = now_ns();
    slot->step = 0;
    slot->start_ns = bench->batch_ns;
    slot->n++;
    bench->n_started++;
    return bench->options->workload->send(bench, slot);
}

static bool may_begin(const struct bench *bench)
{
    return !bench->stopping && (!bench->n_started_max || bench->n_started < bench->n_started_max);
}

static int finished(struct bench *bench, struct vuf_fuse_req *req)
{
    struct bench_slot *slot = req->user;
    int r;

    if (req->bad) {
        fprintf(stderr, "viofs-bench: reply to request %u: %s\n", req->opcode, req->bad);
        return -EPROTO;
    }
    bench->units = 1;
    r = bench->options->workload->check(bench, slot, req);
    vuf_fuse_put(&bench->fuse, req);
    if (r < 0)
        return r;
    if (r == WORKLOAD_MORE) {
        slot->step++;
        return bench->options->workload->send(bench, slot);
    }
    if (bench->measuring) {
        bench->result.ops += bench->units;
        if (bench->units)
            histogram_add(&bench->result.latency, bench->batch_ns - slot->start_ns);
    }
    if (may_begin(bench))
        return begin(bench, slot);
    bench->n_active--;
    return 0;
}

/* Handles all that is finished.  Returns how many replies, or an error. */
static int reap(struct bench *bench)
{
    int n = 0;

    for (unsigned int i = 1; i < bench->dev.n_rings; i++) {
        struct vuf_fuse_req *req;
        int r;

        while ((r = vuf_fuse_reap(&bench->fuse, i, &req)) == 1) {
            bench->batch_ns = now_ns();
            r = finished(bench, req);
            if (r < 0)
                return r;
            n++;
        }
        if (r < 0)
            return bench_fail(bench, r, "the device broke the ring");
    }
    return n;
}

/* Tells the ways to stall apart: requests not taken, not answered, or answered without a call. */
static int fail_stalled(const struct bench *bench)
{
    for (unsigned int i = 1; i < bench->dev.n_rings; i++) {
        const struct vuf_ring *ring = &bench->dev.rings[i];
        uint16_t kick_at;

        memcpy(&kick_at, &ring->used->ring[ring->size], sizeof(kick_at));
        fprintf(stderr,
                "viofs-bench: ring %u: available %u, kicked at %u, device asked for a kick at %u; "
                "used %u, reaped %u, asked for a call at %u\n",
                i, ring->avail->idx, ring->kicked_idx, kick_at, ring->used->idx, ring->used_idx,
                ring->avail->ring[ring->size]);
    }
    return bench_fail(bench, -ETIMEDOUT, "the daemon stopped answering, or did not call");
}

/* Sleeps until a request ring has a completion. */
static int wait_rings(struct bench *bench)
{
    struct pollfd pfds[VUF_QUEUES_MAX];
    unsigned int n_rings = bench->dev.n_rings;
    struct pollfd *conn = &pfds[n_rings - 1]; /* behind the request rings' */
    bool there = false;

    for (unsigned int i = 1; i < n_rings; i++) {
        pfds[i - 1] = (struct pollfd){.fd = bench->dev.rings[i].call_fd, .events = POLLIN};
        there |= vuf_ring_calls_on(&bench->dev.rings[i]);
    }
    *conn = (struct pollfd){.fd = bench->dev.conn.fd, .events = POLLRDHUP};
    while (!there) {
        int n = poll(pfds, n_rings, STALL_MS);

        if (n < 0 && errno != EINTR)
            return bench_fail(bench, -errno, "poll");
        if (n == 0)
            return fail_stalled(bench);
        if (conn->revents)
            return bench_fail(bench, -ECONNRESET, "the daemon left");
        for (unsigned int i = 1; i < n_rings; i++) {
            if (pfds[i - 1].revents)
                vuf_ring_drain_calls(&bench->dev.rings[i]);
            there |= vuf_ring_calls_on(&bench->dev.rings[i]);
        }
    }
    for (unsigned int i = 1; i < n_rings; i++)
        vuf_ring_calls_off(&bench->dev.rings[i]);
    return 0;
}

static int spin_rings(struct bench *bench)
{
    uint64_t limit = bench->batch_ns + STALL_MS * (NS_PER_S / 1000);

    for (;;) {
        for (unsigned int i = 1; i < bench->dev.n_rings; i++) {
            struct vuf_ring *ring = &bench->dev.rings[i];

            if (__atomic_load_n(&ring->used->idx, __ATOMIC_ACQUIRE) != ring->used_idx)
                return 0;
        }
        if (now_ns() > limit)
            return bench_fail(bench, -ETIMEDOUT, "the daemon stopped answering");
    }
}

static int step(struct bench *bench)
{
    int r = reap(bench);

    if (r == 0 && bench->n_active)
        r = bench->options->spin ? spin_rings(bench) : wait_rings(bench);
    kick(bench);
    return r < 0 ? r : 0;
}

static void read_notifications(struct bench *bench, uint64_t *ret_kicks, uint64_t *ret_calls)
{
    uint64_t kicks = 0, calls = 0;

    for (unsigned int i = 0; i < bench->dev.n_rings; i++) {
        vuf_ring_drain_calls(&bench->dev.rings[i]);
        kicks += bench->dev.rings[i].n_kicks;
        calls += bench->dev.rings[i].n_calls;
    }
    *ret_kicks = kicks;
    *ret_calls = calls;
}

/* Runs until the clock shows END_NS, or until all operations are done if END_NS is 0. */
static int run_until(struct bench *bench, uint64_t end_ns)
{
    int r = 0;

    while (r == 0 && bench->n_active && (!end_ns || bench->batch_ns < end_ns))
        r = step(bench);
    return r;
}

static int measure(struct bench *bench, const struct account_tree *tree)
{
    const struct bench_options *options = bench->options;
    struct bench_result *result = &bench->result;
    struct account before;
    uint64_t kicks, calls, start;
    int r;

    r = account_read(&before, tree);
    if (r < 0)
        return bench_fail(bench, r, "the daemon's accounts");
    read_notifications(bench, &kicks, &calls);
    start = now_ns();
    bench->measuring = true;
    r = run_until(bench, options->ops ? 0 : start + (uint64_t)(options->seconds * 1e9));
    bench->measuring = false;
    result->ns = now_ns() - start;
    if (r < 0)
        return r;
    read_notifications(bench, &result->kicks, &result->calls);
    result->kicks -= kicks;
    result->calls -= calls;
    r = account_read(&result->used, tree);
    if (r < 0)
        return bench_fail(bench, r, "the daemon's accounts");
    account_subtract(&result->used, &before);
    return 0;
}

/* The slots' first operations. */
static int begin_all(struct bench *bench)
{
    int r = 0;

    bench->batch_ns = now_ns();
    for (unsigned int i = 0; r == 0 && i < bench->options->depth && may_begin(bench); i++) {
        bench->n_active++;
        r = begin(bench, &bench->slots[i]);
    }
    return r;
}

/* Lets N operations run in lockstep. */
static int run_lockstep(struct bench *bench, struct trace *trace, uint64_t n)
{
    int r;

    bench->n_started_max = bench->n_started + n;
    r = begin_all(bench);
    while (r == 0 && bench->n_active) {
        for (unsigned int i = 1; i < bench->dev.n_rings; i++)
            vuf_ring_calls_on(&bench->dev.rings[i]);
        kick(bench);
        r = trace_run_until_asleep(trace, COUNT_STALL_MS);
        if (r < 0)
            return bench_fail(bench, r, "tracing the daemon");
        for (unsigned int i = 1; i < bench->dev.n_rings; i++)
            vuf_ring_drain_calls(&bench->dev.rings[i]);
        r = reap(bench);
        if (r == 0 && bench->n_active)
            return fail_stalled(bench);
        r = r < 0 ? r : 0;
    }
    /* FORGETs of the last operations. */
    kick(bench);
    return r < 0 ? r : trace_run_until_asleep(trace, COUNT_STALL_MS);
}

/* The daemon knows all files, and has served each of them, before anything counts. */
static int run_counted(struct bench *bench, const struct account_tree *tree)
{
    const struct bench_options *options = bench->options;
    uint64_t listing = options->workload->entries ? options->depth * LISTING_OPS : 0;
    static struct trace trace; /* too large for the stack */
    int r;

    bench->n_started_max = listing ? listing : options->depth + 4 * (uint64_t)options->files;
    r = begin_all(bench);
    kick(bench);
    if (r == 0)
        r = run_until(bench, 0);
    if (r < 0)
        return r;
    r = trace_attach(&trace, tree, options->count);
    if (r < 0)
        return bench_fail(bench, r, "tracing the daemon");
    r = run_lockstep(bench, &trace, options->depth);
    trace.counts.n_threads = 0;
    bench->measuring = true;
    if (r == 0)
        r = run_lockstep(bench, &trace, options->ops);
    bench->measuring = false;
    bench->result.counts = trace.counts;
    trace_detach(&trace);
    if (r == 0 && options->workload->verify)
        r = options->workload->verify(bench);
    return r;
}

int bench_run(struct bench *bench)
{
    const struct bench_options *options = bench->options;
    struct account_tree tree = {.n_pids = 0};
    int r = 0;

    if (options->pid) {
        r = account_find_tree(&tree, options->pid);
        if (r < 0)
            return bench_fail(bench, r, "the daemon's processes");
    }
    if (options->lockstep)
        return run_counted(bench, &tree);
    bench->n_started_max = options->ops;
    r = begin_all(bench);
    kick(bench);
    if (r == 0 && !options->ops)
        r = run_until(bench, bench->batch_ns + (uint64_t)(options->warmup * 1e9));
    if (r == 0)
        r = measure(bench, &tree);
    bench->stopping = true;
    if (r == 0)
        r = run_until(bench, 0);
    if (r == 0 && options->workload->verify)
        r = options->workload->verify(bench);
    return r;
}

static int open_session(struct bench *bench)
{
    const struct bench_options *options = bench->options;
    struct vuf_fuse_options fuse = {
        .depth = (options->depth + options->queues - 1) / options->queues + 1,
        .hiprio_depth = HIPRIO_DEPTH,
        .data = options->workload->data > 8 * PAGE ? options->workload->data : 8 * PAGE,
    };
    struct vuf_dev_layout layout = {
        .n_rings = options->queues + 1,
        .ring_size = options->ring_size,
        .indirect_max = PIECES_MAX,
    };
    int r = vuf_dev_open(&bench->dev, options->socket, NULL);

    if (r < 0)
        return bench_fail(bench, r, options->socket);
    if (layout.n_rings > bench->dev.n_queues_max)
        return bench_fail(bench, -ERANGE, "the daemon serves fewer queues");
    layout.extra = vuf_fuse_mem_size(layout.n_rings, &fuse);
    r = vuf_dev_create_rings(&bench->dev, &layout);
    if (r == 0)
        r = vuf_dev_start(&bench->dev);
    if (r == 0)
        r = vuf_fuse_open(&bench->fuse, &bench->dev, &fuse);
    if (r == 0)
        r = vuf_fuse_init(&bench->fuse, MINOR_OFFERED, FLAGS_OFFERED);
    return r < 0 ? bench_fail(bench, r, "bringing up the device") : 0;
}

int bench_open(struct bench *bench, const struct bench_options *options)
{
    int r;

    bench->options = options;
    bench->random = 0x9e3779b97f4a7c15ull;
    r = open_session(bench);
    if (r < 0)
        return r;
    bench->slots = calloc(options->depth, sizeof(*bench->slots));
    if (!bench->slots)
        return bench_fail(bench, -ENOMEM, "slots");
    for (unsigned int i = 0; i < options->depth; i++) {
        bench->slots[i].index = i;
        bench->slots[i].ring = 1 + i % options->queues;
    }
    r = options->workload->open(bench);
    /* Files were found as root; what is measured comes from the workload's user. */
    bench->fuse.uid = bench->fuse.gid = options->workload->uid;
    return r;
}

void bench_close(struct bench *bench)
{
    vuf_fuse_close(&bench->fuse);
    vuf_dev_close(&bench->dev);
    free(bench->slots);
    free(bench->nodes);
    free(bench->inos);
    free(bench->stamps);
}
