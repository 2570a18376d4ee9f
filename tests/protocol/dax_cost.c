// SPDX-License-Identifier: BSD-3-Clause
/*
 * What mapping a file costs the daemon, and what reading it by the queue does: the figures that
 * tests/bench/dax_cost makes its tables of. Not a test.
 *
 *   dax-cost --cpus CLIENT,DAEMON [--cell NAME --ops N] [STYLE...]
 *
 * prints for each front-end and cell
 *
 *   figure STYLE CELL OPERATIONS WALL DAEMON CLIENT
 *
 * with times in ns for all operations together: on the clock, of the CPU in the daemon, and in this
 * process, which is guest and front-end. Cells are setup:FILE and remove:FILE (measured as
 * map:FILE), read128K:FILE and read1M:FILE (an operation is the whole file), and hold:FILE (nobody
 * does anything while mappings for writing exist; an operation is one mapping).
 *
 * Everything is done one request at a time. The pages of a READ are a descriptor each, no two of
 * them neighbours in memory, as from Linux.
 */
#include "dax_guest.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MANY       64u /* mappings at once: too many for memory tables, as in every real guest */
#define FEW        6u  /* each of them a memory table that the daemon answers */
#define WINDOW     (MANY * WINDOW_RANGE)
#define WORDS      "--tag=dax --dax-window=128M"
#define PAGE       4096u
#define READ_MAX   (1u << 20)
#define HEAD       sizeof(struct vuf_out_header)
#define PIECES_MAX (READ_MAX / PAGE + 8)
#define RING_SIZE  1024u

#define PAIRS      2048u
#define READ_BYTES (512ull << 20) /* a reading cell ends after so many bytes */
#define HOLD_MS    400

struct kind {
    const char *name;
    uint64_t size; /* bytes */
    bool mapped;   /* not only read */
};

static const struct kind kinds[] = {
    {"2M", 2u << 20, true},      {"64K", 64u << 10, true},    {"64K+100", (64u << 10) + 100, true},
    {"1000", 1000, true},        {"4K", 4u << 10, false},     {"16K", 16u << 10, false},
    {"32K", 32u << 10, false},   {"128K", 128u << 10, false}, {"256K", 256u << 10, false},
    {"512K", 512u << 10, false}, {"1M", 1u << 20, false},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

struct style {
    const char *name;
    const struct dax_options *options;
    unsigned at_once; /* mappings that exist at the same time */
};

static const struct dax_options loose = {
    .window = {.style = WINDOW_LOOSE, .size = WINDOW},
    .guest = {.data = READ_MAX, .depth = 1, .ring_size = RING_SIZE, .indirect_max = PIECES_MAX},
};
static const struct dax_options exact = {
    .window = {.style = WINDOW_EXACT, .size = WINDOW, .at_once = true},
    .guest = {.data = READ_MAX, .depth = 1, .ring_size = RING_SIZE, .indirect_max = PIECES_MAX},
};

static struct {
    const char *cell; /* only this one, or NULL */
    unsigned ops;     /* 0: what is enough */
    int client_cpu, daemon_cpu;
} wanted;

struct run {
    struct dax dax;
    const char *style;
    unsigned at_once;
    clockid_t daemon_clock;
    const struct kind *kind;
    uint64_t nodes[MANY]; /* files of the kind */
};

struct moment {
    uint64_t wall, daemon, client; /* ns */
};

static uint64_t read_clock(clockid_t clock)
{
    struct timespec ts;

    CHECK(clock_gettime(clock, &ts) == 0);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static struct moment now(const struct run *run)
{
    return (struct moment){read_clock(CLOCK_MONOTONIC), read_clock(run->daemon_clock),
                           read_clock(CLOCK_PROCESS_CPUTIME_ID)};
}

/* The clock is read at the last reply, CPU time when front-end and daemon are done with it. */
static void add_since(struct run *run, const struct moment *begin, struct moment *sum)
{
    uint64_t wall = read_clock(CLOCK_MONOTONIC);

    window_counts(&run->dax.window);
    struct moment end = now(run);
    sum->wall += wall - begin->wall;
    sum->daemon += end.daemon - begin->daemon;
    sum->client += end.client - begin->client;
}

static bool is_wanted(const struct run *run, const char *cell)
{
    char name[40];

    snprintf(name, sizeof(name), "%s:%s", cell, run->kind->name);
    return !wanted.cell || strcmp(wanted.cell, name) == 0;
}

static void print_figure(const struct run *run, const char *cell, unsigned ops,
                         const struct moment *sum)
{
    printf("figure %s %s:%s %u %llu %llu %llu\n", run->style, cell, run->kind->name, ops,
           (unsigned long long)sum->wall, (unsigned long long)sum->daemon,
           (unsigned long long)sum->client);
}

static void pin_to(int cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof(set), &set) < 0)
        FAIL("CPU %d: %m", cpu);
}

/* --- mapping --- */

static void map_all(struct run *run, uint64_t flags)
{
    for (unsigned i = 0; i < run->at_once; i++)
        CHECK_EQ(dax_map(&run->dax, run->nodes[i], 0, i * WINDOW_RANGE, flags), 0);
}

static void unmap_all(struct run *run)
{
    for (unsigned i = 0; i < run->at_once; i++)
        CHECK_EQ(dax_unmap(&run->dax, i * WINDOW_RANGE, WINDOW_RANGE), 0);
}

static void measure_map(struct run *run)
{
    unsigned rounds = (wanted.ops ? wanted.ops : PAIRS) / run->at_once;
    struct moment setup = {0}, removal = {0};

    map_all(run, DAX_READ);
    window_counts(&run->dax.window);
    for (unsigned i = 0; i < run->at_once; i++)
        dax_expect_pattern(&run->dax, i * WINDOW_RANGE, run->kind->size, 1, 0);
    unmap_all(run);
    window_counts(&run->dax.window);
    for (unsigned i = 0; i < rounds; i++) {
        struct moment begin = now(run);
        map_all(run, DAX_READ);
        add_since(run, &begin, &setup);
        begin = now(run);
        unmap_all(run);
        add_since(run, &begin, &removal);
    }
    print_figure(run, "setup", rounds * run->at_once, &setup);
    print_figure(run, "remove", rounds * run->at_once, &removal);
}

static void measure_hold(struct run *run)
{
    struct moment sum = {0};

    map_all(run, DAX_WRITE);
    window_counts(&run->dax.window);
    struct moment begin = now(run);
    sleep_ms(HOLD_MS);
    add_since(run, &begin, &sum);
    unmap_all(run);
    print_figure(run, "hold", run->at_once, &sum);
}

/* --- reading --- */

/* Where page I of N lies in the buffer: neighbours change places. */
static size_t place_of(size_t i, size_t n)
{
    return (i ^ 1) < n ? i ^ 1 : i;
}

static void submit_read(struct run *run, struct vuf_fuse_req *req, const struct vuf_read_in *in)
{
    struct guest *guest = &run->dax.guest;
    struct vuf_in_header header = {
        .len = sizeof(header) + sizeof(*in),
        .opcode = VUF_OP_READ,
        .unique = guest->fuse.unique += 2,
        .nodeid = run->nodes[0],
        .uid = guest->fuse.uid,
        .gid = guest->fuse.gid,
        .pid = guest->fuse.pid,
    };
    struct vuf_piece pieces[PIECES_MAX] = {
        {vuf_mem_gpa(&guest->dev.mem, req->in), sizeof(header)},
        {vuf_mem_gpa(&guest->dev.mem, vuf_fuse_args(req)), sizeof(*in)},
        {vuf_mem_gpa(&guest->dev.mem, req->out), HEAD},
    };
    uint64_t data = vuf_mem_gpa(&guest->dev.mem, vuf_fuse_reply(req));
    unsigned pages = in->size / PAGE;

    memcpy(req->in, &header, sizeof(header));
    memcpy(vuf_fuse_args(req), in, sizeof(*in));
    for (unsigned i = 0; i < pages; i++)
        pieces[3 + i] = (struct vuf_piece){data + place_of(i, pages) * PAGE, PAGE};
    req->unique = header.unique;
    req->opcode = header.opcode;
    req->out_len = (uint32_t)(HEAD + in->size);
    OK(vuf_ring_add(&guest->dev.rings[1], pieces, 2, 1 + pages, req));
}

/* The bytes that a READ has brought, compared with the file's: the first of each page. */
static void check_read(const struct vuf_fuse_req *req, const struct vuf_read_in *in, size_t length)
{
    size_t pages = in->size / PAGE;

    for (size_t i = 0; i * PAGE < length; i++) {
        const unsigned char *found =
            (const unsigned char *)req->out + HEAD + place_of(i, pages) * PAGE;
        unsigned char byte;

        pattern(1, in->offset + i * PAGE, &byte, 1);
        CHECK_EQ(*found, byte);
    }
}

/* All of the file in requests of at most SIZE bytes, of whole pages. */
static void read_file(struct run *run, uint64_t fh, uint32_t size, bool check)
{
    struct vuf_fuse *fuse = &run->dax.guest.fuse;

    for (uint64_t at = 0; at < run->kind->size; at += size) {
        uint64_t left = run->kind->size - at;
        uint64_t rounded = (left + PAGE - 1) / PAGE * PAGE;
        struct vuf_read_in in = {
            .fh = fh, .offset = at, .size = rounded < size ? (uint32_t)rounded : size};
        struct vuf_fuse_req *req = vuf_fuse_get(fuse, 1), *done;

        submit_read(run, req, &in);
        vuf_fuse_kick(fuse, 1);
        OK(vuf_fuse_wait(fuse, 1, DAEMON_PATIENCE_MS, &done));
        CHECK(done == req && !req->bad);
        CHECK_EQ(req->error, 0);
        CHECK_EQ(vuf_fuse_reply_len(req), left < size ? left : size);
        if (check)
            check_read(req, &in, vuf_fuse_reply_len(req));
        vuf_fuse_put(fuse, req);
    }
}

static void measure_read(struct run *run, const char *cell, uint32_t size)
{
    uint64_t fh = guest_open(&run->dax.guest, run->nodes[0], 0);
    uint64_t enough = READ_BYTES / run->kind->size;
    unsigned ops = wanted.ops ? wanted.ops : enough < PAIRS ? (unsigned)enough : PAIRS;
    struct moment sum = {0};

    for (unsigned i = 0; i < 16; i++)
        read_file(run, fh, size, true);
    struct moment begin = now(run);
    for (unsigned i = 0; i < ops; i++)
        read_file(run, fh, size, false);
    add_since(run, &begin, &sum);
    print_figure(run, cell, ops, &sum);
    CHECK_EQ(dax_release(&run->dax, run->nodes[0], fh), 0);
}

/* --- a front-end --- */

static void prepare(struct run *run, const struct kind *kind)
{
    unsigned count = kind->mapped ? run->at_once : 1;

    run->kind = kind;
    for (unsigned i = 0; i < count; i++) {
        char name[40];

        snprintf(name, sizeof(name), "%s.%u", kind->name, i);
        close(host_create(&run->dax, name, kind->size, 1));
        run->nodes[i] = guest_lookup(&run->dax.guest, ROOT_ID, name);
    }
}

static void measure(struct daemon *daemon)
{
    const struct style *style = case_data();
    struct run run = {.style = style->name, .at_once = style->at_once};

    /* Every thread and child is born with its parent's CPU. */
    pin_to(wanted.daemon_cpu);
    daemon_start(daemon, DAEMON_SOCKET_PATH, WORDS);
    pin_to(wanted.client_cpu);
    dax_start(&run.dax, daemon, style->options);
    daemon_fd_count(daemon); /* finds the server */
    CHECK(clock_getcpuclockid(daemon->server, &run.daemon_clock) == 0);
    for (size_t i = 0; i < KINDS; i++) {
        if (!kinds[i].mapped && style->at_once < MANY)
            continue; /* READ does not depend on that */
        prepare(&run, &kinds[i]);
        if (kinds[i].mapped && is_wanted(&run, "map"))
            measure_map(&run);
        if (is_wanted(&run, "read128K"))
            measure_read(&run, "read128K", 128u << 10);
        if (is_wanted(&run, "read1M"))
            measure_read(&run, "read1M", READ_MAX);
        if (kinds[i].mapped && is_wanted(&run, "hold"))
            measure_hold(&run);
    }
    dax_finish(&run.dax);
}

static const struct style styles[] = {
    {"loose", &loose, MANY},
    {"exact-many", &exact, MANY},
    {"exact-few", &exact, FEW},
};

static const struct test_case cases[] = {
    {.name = "loose", .run = measure, .not_started = true, .data = &styles[0]},
    {.name = "exact-many", .run = measure, .not_started = true, .data = &styles[1]},
    {.name = "exact-few", .run = measure, .not_started = true, .data = &styles[2]},
};

int main(int argc, char **argv)
{
    int left = 1;

    for (int i = 1; i < argc; i++) {
        if (i + 1 < argc && strcmp(argv[i], "--cpus") == 0) {
            if (sscanf(argv[++i], "%d,%d", &wanted.client_cpu, &wanted.daemon_cpu) != 2)
                return 2;
        } else if (i + 1 < argc && strcmp(argv[i], "--cell") == 0) {
            wanted.cell = argv[++i];
        } else if (i + 1 < argc && strcmp(argv[i], "--ops") == 0) {
            wanted.ops = (unsigned)strtoul(argv[++i], NULL, 10);
        } else {
            argv[left++] = argv[i];
        }
    }
    /* Figures leave at once: the case's process ends without flushing. */
    setvbuf(stdout, NULL, _IOLBF, 0);
    return case_main(left, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
