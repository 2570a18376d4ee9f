// SPDX-License-Identifier: BSD-3-Clause
#include "crowd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SAMPLES_MAX   400000
#define STALL_US      1000
#define FAST_KINDS    8

/* The coarse limit, for machines that are busy with other things. */
#define P99_US        50000
/* The strict one: VIOFSD_ISOLATION=strict. */
#define STRICT_FACTOR 2
#define STRICT_US     100

static unsigned samples[SAMPLES_MAX];

static long long now_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (long long)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* Takes note of an answer. Fast requests have no job. */
static void note(struct crowd *crowd, struct vuf_fuse_req *req)
{
    struct crowd_job *job = req->user;

    if (req->bad)
        FAIL("the reply to opcode %u: %s", req->opcode, req->bad);
    if (job) {
        CHECK(!job->answered);
        job->answered = true;
        job->error = req->error;
        job->length = vuf_fuse_reply_len(req);
        job->took_us = now_us() - job->sent_us;
        crowd->answered++;
        if (crowd->again && job->error == 0)
            crowd_send(crowd, (unsigned)(job - crowd->jobs), 1, job->kind);
    }
}

/* A fast request from start to end; slow ones may end meanwhile. Its reply goes to out. */
static void call(struct crowd *crowd, uint32_t opcode, uint64_t node, const void *args, size_t size,
                 const char *name, void *out, size_t room)
{
    struct vuf_fuse *fuse = &crowd->guest.fuse;
    struct vuf_fuse_req *req = vuf_fuse_get(fuse, 1), *done = NULL;
    size_t length = size;

    CHECK(req);
    if (size)
        memcpy(vuf_fuse_args(req), args, size);
    if (name) {
        memcpy((char *)vuf_fuse_args(req) + size, name, strlen(name) + 1);
        length += strlen(name) + 1;
    }
    req->user = NULL;
    OK(vuf_fuse_submit(fuse, req, opcode, node, length, (ssize_t)room));
    vuf_fuse_kick(fuse, 1);
    while (done != req) {
        if (vuf_fuse_wait(fuse, 1, DAEMON_PATIENCE_MS, &done) < 0)
            FAIL("a fast request of opcode %u is not answered", opcode);
        note(crowd, done);
        if (done != req)
            vuf_fuse_put(fuse, done);
    }
    if (req->error)
        FAIL("a fast request of opcode %u: %s", opcode, strerrorname_np(-req->error));
    if (out)
        memcpy(out, vuf_fuse_reply(req), room);
    vuf_fuse_put(fuse, req);
}

static uint64_t fast_open(struct crowd *crowd)
{
    struct vuf_open_in in = {.flags = O_RDWR};
    struct vuf_open_out out;

    call(crowd, VUF_OP_OPEN, crowd->fast_file, &in, sizeof(in), NULL, &out, sizeof(out));
    return out.fh;
}

static void fast_release(struct crowd *crowd, uint64_t node, uint64_t fh)
{
    struct vuf_release_in in = {.fh = fh};

    call(crowd, VUF_OP_RELEASE, node, &in, sizeof(in), NULL, NULL, 0);
}

static void fast_create(struct crowd *crowd)
{
    struct vuf_create_in in = {.flags = O_RDWR, .mode = 0100644};
    struct vuf_create_out out;
    char name[32];

    snprintf(name, sizeof(name), "made%lu", crowd->made++);
    call(crowd, VUF_OP_CREATE, crowd->fast_dir, &in, sizeof(in), name, &out, sizeof(out));
    fast_release(crowd, out.entry.nodeid, out.open.fh);
    call(crowd, VUF_OP_UNLINK, crowd->fast_dir, NULL, 0, name, NULL, 0);
}

static void fast(struct crowd *crowd, unsigned kind)
{
    struct vuf_read_in read = {.fh = crowd->fast_fh, .size = 4096};
    struct vuf_read_in list = {.fh = crowd->fast_dir_fh, .size = 4096};
    struct {
        struct vuf_write_in in;
        char data[16];
    } write = {.in = {.fh = crowd->fast_fh, .size = sizeof(write.data)}};
    struct vuf_getattr_in getattr = {0};
    char out[4096];

    switch (kind % FAST_KINDS) {
    case 0:
        call(crowd, VUF_OP_GETATTR, crowd->fast_file, &getattr, sizeof(getattr), NULL, out,
             sizeof(struct vuf_attr_out));
        break;
    case 1:
        call(crowd, VUF_OP_LOOKUP, crowd->fast_dir, NULL, 0, "file", out,
             sizeof(struct vuf_entry_out));
        break;
    case 2:
        call(crowd, VUF_OP_READ, crowd->fast_file, &read, sizeof(read), NULL, out, sizeof(out));
        break;
    case 3:
        call(crowd, VUF_OP_WRITE, crowd->fast_file, &write, sizeof(write), NULL, out,
             sizeof(struct vuf_write_out));
        break;
    case 4:
        fast_release(crowd, crowd->fast_file, fast_open(crowd));
        break;
    case 5:
        fast_create(crowd);
        break;
    case 6:
        call(crowd, VUF_OP_READDIRPLUS, crowd->fast_dir, &list, sizeof(list), NULL, out,
             sizeof(out));
        break;
    case 7:
        call(crowd, VUF_OP_STATFS, crowd->fast_dir, NULL, 0, NULL, out,
             sizeof(struct vuf_statfs_out));
        break;
    }
}

void crowd_start(struct crowd *ret_crowd, struct daemon *daemon)
{
    static const struct guest_options options = {
        .depth = CROWD_MAX + 8, .ring_size = 1024, .data = 4096};

    memset(ret_crowd, 0, sizeof(*ret_crowd));
    guest_start(&ret_crowd->guest, daemon, &options);
    crowd_furnish(ret_crowd);
}

void crowd_furnish(struct crowd *crowd)
{
    crowd->fast_dir = guest_lookup(&crowd->guest, ROOT_ID, "fast");
    crowd->fast_file = guest_create(&crowd->guest, crowd->fast_dir, "file", &crowd->fast_fh);
    crowd->fast_dir_fh = guest_opendir(&crowd->guest, crowd->fast_dir);
}

void crowd_lookup(struct crowd *crowd)
{
    fast(crowd, 1);
}

void crowd_open(struct crowd *crowd)
{
    fast(crowd, 4);
}

void crowd_prepare(struct crowd *crowd, unsigned first, unsigned count)
{
    for (unsigned i = first; i < first + count; i++)
        slow_target(&crowd->guest, i, &crowd->jobs[i].target);
}

void crowd_send(struct crowd *crowd, unsigned first, unsigned count, const struct slow_kind *kind)
{
    for (unsigned i = first; i < first + count; i++) {
        struct crowd_job *job = &crowd->jobs[i];

        job->kind = kind;
        job->answered = false;
        job->sent_us = now_us();
        slow_send(&crowd->guest, kind, &job->target, job);
        crowd->sent++;
    }
    vuf_fuse_kick(&crowd->guest.fuse, 1);
}

bool crowd_wait(struct crowd *crowd, int milliseconds)
{
    long long end = now_ms() + milliseconds;
    struct vuf_fuse_req *req;

    while (crowd->answered < crowd->sent) {
        long long left = end - now_ms();

        /* What is there by then is taken, however long that takes. */
        if (vuf_fuse_wait(&crowd->guest.fuse, 1, left > 0 ? (int)left : 0, &req) < 0)
            return false;
        note(crowd, req);
        vuf_fuse_put(&crowd->guest.fuse, req);
    }
    return true;
}

static int compare(const void *a, const void *b)
{
    unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;

    return x < y ? -1 : x > y;
}

struct crowd_times crowd_measure(struct crowd *crowd, int milliseconds, unsigned until_answered)
{
    long long end = now_us() + 1000LL * milliseconds, start = now_us();
    unsigned n = 0;

    while (start < end && n < SAMPLES_MAX &&
           (!until_answered || crowd->answered < until_answered)) {
        fast(crowd, n);
        long long now = now_us();
        samples[n++] = (unsigned)(now - start);
        start = now;
    }
    CHECK(n > 0);
    unsigned long long all = 0, stalled = 0;
    for (unsigned i = 0; i < n; i++) {
        all += samples[i];
        stalled += samples[i] < STALL_US ? 0 : samples[i];
    }
    qsort(samples, n, sizeof(samples[0]), compare);
    return (struct crowd_times){n, samples[n / 2], samples[n - 1 - n / 100], samples[n - 1],
                                (unsigned)(all ? stalled * 100 / all : 0)};
}

unsigned crowd_one(struct crowd *crowd)
{
    long long start = now_us();

    fast(crowd, 0);
    return (unsigned)(now_us() - start);
}

void crowd_hold(const char *what, const struct crowd_times *without, const struct crowd_times *with,
                unsigned max_us)
{
    const char *mode = getenv("VIOFSD_ISOLATION");
    bool strict = mode && strcmp(mode, "strict") == 0;
    unsigned limit = strict ? without->p99 * STRICT_FACTOR + STRICT_US : P99_US;

    const struct crowd_times *both[] = {without, with};
    printf("# %-12s", what);
    for (int i = 0; i < 2; i++)
        printf(" %s: p50 %4u p99 %5u max %6u, %u%% of the time in 1 ms and more (%u)%s",
               i ? "with" : "without", both[i]->p50, both[i]->p99, both[i]->max, both[i]->stalled,
               both[i]->count, i ? "\n" : ";");
    fflush(stdout);
    if (with->p99 > limit)
        FAIL("%s: p99 of fast requests is %u us, without slow ones it is %u", what, with->p99,
             without->p99);
    if (with->max > max_us)
        FAIL("%s: a fast request took %u us", what, with->max);
}
