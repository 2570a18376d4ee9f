// SPDX-License-Identifier: BSD-3-Clause
/*
 * How fast queues are emptied when the guest is out of the way: rings are filled while the daemon
 * rests, all of them are kicked, and this program sleeps until the last request is answered. So two
 * queues have two processors for themselves, also on a machine that has no third. The first thread
 * of each queue gets one of its own.
 *
 *     queue-load SOCKET PID RINGS BUSY KIND BATCH ROUNDS
 *
 * RINGS request queues, of which the first BUSY get BATCH requests of a KIND in each round; each of
 * them on a file of its own, "queueN" in the share. Prints one line of JSON. PID: the daemon's.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "account.h"
#include "vufront.h"

#define BLOCK       4096u
#define RING_SIZE   4096u
#define QUEUES_MAX  8
/* Looks in spite of no call: with two threads at one queue the last answer need not be the last
 * request's. */
#define LOOK_MS     20
#define STALL_LOOKS 500

enum kind {
    KIND_GETATTR,
    KIND_LOOKUP,
    KIND_READ,
    KIND_WRITE,
    KIND_COUNT,
};
static const char *const kind_names[] = {"getattr", "lookup", "read-4k", "write-4k"};

struct load {
    struct vuf_dev dev;
    struct vuf_fuse fuse;
    unsigned rings, busy, batch;
    enum kind kind;
    uint64_t nodes[QUEUES_MAX], handles[QUEUES_MAX];
};

static void need(int rc, const char *what)
{
    if (rc >= 0)
        return;
    fprintf(stderr, "queue-load: %s: %s\n", what, strerror(-rc));
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void open_session(struct load *load, const char *path)
{
    struct vuf_fuse_options pool = {.depth = load->batch, .hiprio_depth = 8, .data = BLOCK};
    struct vuf_dev_layout layout = {
        .n_rings = load->rings + 1, .ring_size = RING_SIZE, .indirect_max = 8};

    layout.extra = vuf_fuse_mem_size(layout.n_rings, &pool);
    need(vuf_dev_open(&load->dev, path, NULL), path);
    need(vuf_dev_create_rings(&load->dev, &layout), "rings");
    need(vuf_fuse_open(&load->fuse, &load->dev, &pool), "requests");
    need(vuf_dev_start(&load->dev), "start");
    need(vuf_fuse_init(&load->fuse, 38, VUF_INIT_INIT_EXT), "INIT");
}

static void call(struct load *load, uint32_t opcode, uint64_t node, const struct vuf_buf *in,
                 void *out, size_t room)
{
    int error = 0;

    need(vuf_fuse_call(&load->fuse, 1, opcode, node, in, 1, out, room, NULL, &error), "a call");
    need(error, "a request");
}

static void open_files(struct load *load)
{
    for (unsigned i = 0; i < load->busy; i++) {
        struct vuf_open_in open_in = {.flags = O_RDWR};
        struct vuf_entry_out entry;
        struct vuf_open_out open_out;
        char name[16];

        snprintf(name, sizeof(name), "queue%u", i + 1);
        call(load, VUF_OP_LOOKUP, VUF_ROOT_ID, &(struct vuf_buf){name, strlen(name) + 1}, &entry,
             sizeof(entry));
        load->nodes[i] = entry.nodeid;
        call(load, VUF_OP_OPEN, entry.nodeid, &(struct vuf_buf){&open_in, sizeof(open_in)},
             &open_out, sizeof(open_out));
        load->handles[i] = open_out.fh;
    }
}

static int submit(struct load *load, unsigned queue, unsigned n)
{
    struct vuf_fuse_req *req = vuf_fuse_get(&load->fuse, queue + 1);
    uint64_t node = load->nodes[queue], fh = load->handles[queue];
    struct vuf_read_in read = {.fh = fh, .size = BLOCK, .offset = n % 16 * BLOCK};
    struct vuf_write_in write = {.fh = fh, .size = BLOCK, .offset = n % 16 * BLOCK};
    void *args = vuf_fuse_args(req);

    switch (load->kind) {
    case KIND_GETATTR:
        memset(args, 0, sizeof(struct vuf_getattr_in));
        return vuf_fuse_submit(&load->fuse, req, VUF_OP_GETATTR, node,
                               sizeof(struct vuf_getattr_in), sizeof(struct vuf_attr_out));
    case KIND_LOOKUP:
        snprintf(args, 16, "queue%u", queue + 1);
        return vuf_fuse_submit(&load->fuse, req, VUF_OP_LOOKUP, VUF_ROOT_ID, strlen(args) + 1,
                               sizeof(struct vuf_entry_out));
    case KIND_READ:
        memcpy(args, &read, sizeof(read));
        return vuf_fuse_submit(&load->fuse, req, VUF_OP_READ, node, sizeof(read), BLOCK);
    case KIND_WRITE:
        memcpy(args, &write, sizeof(write));
        return vuf_fuse_submit(&load->fuse, req, VUF_OP_WRITE, node, sizeof(write) + BLOCK,
                               sizeof(struct vuf_write_out));
    case KIND_COUNT:
        break;
    }
    return -EINVAL;
}

/* Asks the device for a call when what was added last is done. */
static void ask_for_call(struct vuf_ring *ring)
{
    uint16_t last = (uint16_t)(ring->avail_idx - 1);

    vuf_ring_drain_calls(ring);
    __atomic_store_n(&ring->avail->ring[ring->size], last, __ATOMIC_SEQ_CST);
}

/* Sleeps until the ring is empty. */
static void wait_empty(const struct vuf_ring *ring)
{
    struct pollfd called = {.fd = ring->call_fd, .events = POLLIN};

    for (int looks = 0; looks < STALL_LOOKS; looks++) {
        if (__atomic_load_n(&ring->used->idx, __ATOMIC_ACQUIRE) == ring->avail_idx)
            return;
        poll(&called, 1, LOOK_MS);
    }
    need(-ETIMEDOUT, "the daemon");
}

static void reap(struct load *load)
{
    for (unsigned i = 1; i <= load->busy; i++) {
        struct vuf_fuse_req *req;
        int rc;

        while ((rc = vuf_fuse_reap(&load->fuse, i, &req)) == 1) {
            need(req->error, "a reply");
            vuf_fuse_put(&load->fuse, req);
        }
        need(rc, "the ring");
    }
}

/* Nanoseconds from the first kick to the last answer. */
static uint64_t round_trip(struct load *load)
{
    for (unsigned queue = 0; queue < load->busy; queue++)
        for (unsigned n = 0; n < load->batch; n++)
            need(submit(load, queue, n), "queueing");
    for (unsigned i = 1; i <= load->busy; i++)
        ask_for_call(&load->dev.rings[i]);
    uint64_t start = now_ns();
    for (unsigned i = 1; i <= load->busy; i++)
        vuf_fuse_kick(&load->fuse, i);
    for (unsigned i = 1; i <= load->busy; i++)
        wait_empty(&load->dev.rings[i]);
    uint64_t took = now_ns() - start;
    reap(load);
    return took;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* Gives the first thread of each busy queue, "queueN/0", a processor. Returns how many it found. */
static unsigned pin_threads(pid_t pid, unsigned busy)
{
    char path[300], name[32] = "";
    unsigned pinned = 0, queue, number;

    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    DIR *dir = opendir(path);
    for (const struct dirent *entry; dir && (entry = readdir(dir));) {
        snprintf(path, sizeof(path), "/proc/%d/task/%.20s/comm", (int)pid, entry->d_name);
        FILE *file = fopen(path, "re");
        bool read = file && fgets(name, sizeof(name), file);
        if (file)
            fclose(file);
        if (!read || sscanf(name, "queue%u/%u", &queue, &number) != 2 || number || queue < 1 ||
            queue > busy)
            continue;
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET((queue - 1) % (unsigned)sysconf(_SC_NPROCESSORS_ONLN), &set);
        if (sched_setaffinity(atoi(entry->d_name), sizeof(set), &set) == 0)
            pinned++;
    }
    if (dir)
        closedir(dir);
    return pinned;
}

static void measure(struct load *load, pid_t pid, unsigned rounds)
{
    uint64_t *took = calloc(rounds, sizeof(*took));
    struct account_tree tree;
    struct account before, after;
    unsigned pinned = 0;

    if (!took)
        need(-ENOMEM, "rounds");
    round_trip(load);
    need(account_find_tree(&tree, pid), "the daemon's processes");
    for (unsigned i = 0; i < tree.n_pids; i++)
        pinned += pin_threads(tree.pids[i], load->busy);
    if (pinned != load->busy)
        need(-ESRCH, "the queues' threads");
    need(account_read(&before, &tree), "the daemon's time");
    for (unsigned i = 0; i < rounds; i++)
        took[i] = round_trip(load);
    need(account_read(&after, &tree), "the daemon's time");
    account_subtract(&after, &before);
    qsort(took, rounds, sizeof(*took), compare);

    double ops = (double)load->busy * load->batch;
    /* The best tenth: what else the machine does can only take away from it. */
    printf("{\"ops\": %.0f, \"cpu_us\": %.4f, \"median_rate\": %.0f, \"good_rate\": %.0f}\n",
           ops * rounds, (double)after.daemon_ns / 1000 / (ops * rounds),
           ops * 1e9 / (double)took[rounds / 2], ops * 1e9 / (double)took[rounds / 10]);
    free(took);
}

int main(int argc, char **argv)
{
    struct load load = {0};

    if (argc != 8) {
        fprintf(stderr, "usage: queue-load SOCKET PID RINGS BUSY KIND BATCH ROUNDS\n");
        return 2;
    }
    load.rings = (unsigned)atoi(argv[3]);
    load.busy = (unsigned)atoi(argv[4]);
    while (load.kind < KIND_COUNT && strcmp(kind_names[load.kind], argv[5]) != 0)
        load.kind++;
    load.batch = (unsigned)atoi(argv[6]);
    int rounds = atoi(argv[7]);
    if (load.busy < 1 || load.busy > load.rings || load.rings > QUEUES_MAX ||
        load.kind == KIND_COUNT || load.batch < 1 || load.batch > RING_SIZE || rounds < 1)
        return 2;
    open_session(&load, argv[1]);
    open_files(&load);
    measure(&load, atoi(argv[2]), (unsigned)rounds);
    vuf_dev_stop(&load.dev);
    return 0;
}
