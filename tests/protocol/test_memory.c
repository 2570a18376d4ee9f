// SPDX-License-Identifier: BSD-3-Clause
/*
 * Guest memory: tables and slots that are right, wrong, hostile, changed while requests run, and
 * memory that is taken away behind the daemon's back.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest.h"

#define SLOTS 509
#define GPA   0x100000ull
#define UVA   0x7f0000000000ull

static int make_memfd(off_t size)
{
    int fd = memfd_create("memory", MFD_ALLOW_SEALING);

    CHECK(fd >= 0 && ftruncate(fd, size) == 0);
    return fd;
}

static void negotiate(struct vuf_dev *dev, const struct daemon *daemon)
{
    struct vuf_dev_options options = {
        .protocol_features = EVERY_PROTOCOL_FEATURE,
        .timeout_ms = DAEMON_PATIENCE_MS,
    };

    OK(vuf_dev_open(dev, daemon->socket, &options));
}

/* A table of two regions, each with a file of 64 KiB of its own, that must be refused. */
struct bad_table {
    const char *name;
    struct vuf_region a, b;
};

static const struct bad_table bad_tables[] = {
    {"same guest address", {GPA, 0x10000, UVA, 0}, {GPA, 0x10000, UVA + 0x10000, 0}},
    {"guest overlap", {GPA, 0x10000, UVA, 0}, {GPA + 0xf000, 0x1000, UVA + 0x10000, 0}},
    {"guest overlap by a byte", {GPA, 0x10000, UVA, 0}, {GPA + 0xffff, 0x1001, UVA + 0x20000, 0}},
    {"inside the other", {GPA, 0x10000, UVA, 0}, {GPA + 0x1000, 0x1000, UVA + 0x20000, 0}},
    {"around the other", {GPA + 0x1000, 0x1000, UVA, 0}, {GPA, 0x10000, UVA + 0x20000, 0}},
    {"user overlap", {GPA, 0x10000, UVA, 0}, {GPA + 0x10000, 0x10000, UVA + 0xf000, 0}},
    {"zero size", {GPA, 0x10000, UVA, 0}, {GPA + 0x10000, 0, UVA + 0x10000, 0}},
    {"guest wrap-around", {GPA, 0x10000, UVA, 0}, {~0xfffull, 0x2000, UVA + 0x10000, 0}},
    {"user wrap-around", {GPA, 0x10000, UVA, 0}, {GPA + 0x10000, 0x2000, ~0xfffull, 0}},
    {"all of the address space", {GPA, 0x10000, UVA, 0}, {0, ~0ull, 0, 0}},
    {"huge", {GPA, 0x10000, UVA, 0}, {GPA + 0x10000, 1ull << 63, UVA + 0x10000, 0}},
    {"offset wraps", {GPA, 0x10000, UVA, 0}, {GPA + 0x10000, 0x10000, UVA + 0x10000, ~0xffffull}},
    {"offset is huge", {GPA, 0x10000, UVA, 0}, {GPA + 0x10000, 0x1000, UVA + 0x10000, 1ull << 62}},
    {"file too small", {GPA, 0x10000, UVA, 0}, {GPA + 0x10000, 0x11000, UVA + 0x10000, 0}},
    {"file too small by a byte",
     {GPA, 0x10000, UVA, 0},
     {GPA + 0x10000, 0x10001, UVA + 0x10000, 0}},
    {"behind the end", {GPA, 0x10000, UVA, 0}, {GPA + 0x10000, 0x1000, UVA + 0x10000, 0x10000}},
};

static void refused_tables(struct daemon *daemon)
{
    struct vuf_dev dev;

    negotiate(&dev, daemon);
    unsigned before = daemon_fd_count(daemon);
    for (size_t i = 0; i < sizeof(bad_tables) / sizeof(bad_tables[0]); i++) {
        struct vuf_mem_table table = {.n_regions = 2, .region = {bad_tables[i].a, bad_tables[i].b}};
        struct vuf_single_region a = {.region = bad_tables[i].a}, b = {.region = bad_tables[i].b};
        int fds[2] = {make_memfd(0x10000), make_memfd(0x10000)};

        printf("# %s\n", bad_tables[i].name);
        if (!guest_expect_refusal(&dev.conn, VUF_SET_MEM_TABLE, &table, 72, fds, 2)) {
            vuf_dev_close(&dev);
            negotiate(&dev, daemon);
        }
        /* The same by slots: the first is fine, the second is not. */
        OK(vuf_set_mem_table(&dev.conn, NULL, NULL, 0));
        guest_expect_ack(&dev.conn, VUF_ADD_MEM_REG, &a, sizeof(a), &fds[0], 1);
        if (!guest_expect_refusal(&dev.conn, VUF_ADD_MEM_REG, &b, sizeof(b), &fds[1], 1)) {
            vuf_dev_close(&dev);
            negotiate(&dev, daemon);
        }
        OK(vuf_set_mem_table(&dev.conn, NULL, NULL, 0));
        close(fds[0]);
        close(fds[1]);
    }
    daemon_expect_fds(daemon, before);
}

static void region_counts(struct daemon *daemon)
{
    static const uint32_t counts[] = {2, 7, 8, 9, 255, 0x10000000, 0x80000000, 0xffffffff};
    int fd = make_memfd(0x10000);
    struct vuf_dev dev;

    negotiate(&dev, daemon);
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        struct vuf_mem_table table = {.n_regions = counts[i], .region = {{GPA, 0x10000, UVA, 0}}};

        /* One region and one descriptor, and a count that says otherwise. */
        if (!guest_expect_refusal(&dev.conn, VUF_SET_MEM_TABLE, &table, 40, &fd, 1)) {
            vuf_dev_close(&dev);
            negotiate(&dev, daemon);
        }
        /* Room for all of them, and still one descriptor. */
        if (!guest_expect_refusal(&dev.conn, VUF_SET_MEM_TABLE, &table, sizeof(table), &fd, 1)) {
            vuf_dev_close(&dev);
            negotiate(&dev, daemon);
        }
    }
}

/* Odd sizes and offsets are no crime: they work as far as they go, or are refused. */
static void misaligned(struct daemon *daemon)
{
    static const struct vuf_region regions[] = {
        {GPA, 0x1001, UVA, 0},     {GPA + 1, 0x1000, UVA + 1, 0}, {GPA, 0x1000, UVA, 0x800},
        {GPA, 0x1000, UVA, 0xfff}, {GPA, 1, UVA, 0xffff},         {GPA, 3, UVA + 7, 0x1ffd},
    };
    int fd = make_memfd(0x10000);
    struct vuf_dev dev;

    negotiate(&dev, daemon);
    for (size_t i = 0; i < sizeof(regions) / sizeof(regions[0]); i++) {
        int r = vuf_set_mem_table(&dev.conn, &regions[i], &fd, 1);
        if (r != -EREMOTEIO)
            OK(r);
        guest_check_control(&dev.conn);
    }
}

static void strange_files(struct daemon *daemon)
{
    struct vuf_region region = {GPA, 0x10000, UVA, 0};
    int pipe_fds[2], read_only;
    char path[64];
    struct vuf_dev dev;

    negotiate(&dev, daemon);
    CHECK(pipe(pipe_fds) == 0);
    int sealed = make_memfd(0x10000);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", sealed);
    read_only = open(path, O_RDONLY);
    CHECK(read_only >= 0);
    CHECK(fcntl(sealed, F_ADD_SEALS, F_SEAL_WRITE) == 0);
    int fds[] = {pipe_fds[0],         pipe_fds[1], read_only, sealed, open("/dev/null", O_RDWR),
                 open("/", O_RDONLY), dev.conn.fd};
    unsigned before = daemon_fd_count(daemon);
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        int r = vuf_set_mem_table(&dev.conn, &region, &fds[i], 1);
        if (r != -EREMOTEIO)
            FAIL("descriptor %zu as guest memory: %s", i, strerrorname_np(-r));
        guest_check_control(&dev.conn);
    }
    daemon_expect_fds(daemon, before);
}

/* Every slot filled; one more is refused; any one can be taken out again. */
static void every_slot(struct daemon *daemon)
{
    int fd = make_memfd((SLOTS + 1) * 0x1000);
    struct vuf_dev dev;

    negotiate(&dev, daemon);
    unsigned before = daemon_fd_count(daemon);
    for (int round = 0; round < 2; round++) {
        for (uint64_t i = 0; i < SLOTS; i++) {
            struct vuf_region region = {GPA + i * 0x1000, 0x1000, UVA + i * 0x1000, i * 0x1000};
            OK(vuf_add_mem_reg(&dev.conn, &region, fd));
        }
        struct vuf_region more = {GPA + SLOTS * 0x1000, 0x1000, UVA + SLOTS * 0x1000, 0};
        CHECK_EQ(vuf_add_mem_reg(&dev.conn, &more, fd), -EREMOTEIO);
        CHECK_EQ(vuf_rem_mem_reg(&dev.conn, &more), -EREMOTEIO);
        for (uint64_t i = 0; i < SLOTS; i++) {
            uint64_t j = (i * 7 + 3) % SLOTS; /* 509 is a prime number */
            struct vuf_region region = {GPA + j * 0x1000, 0x1000, UVA + j * 0x1000, j * 0x1000};
            OK(vuf_rem_mem_reg(&dev.conn, &region));
            CHECK_EQ(vuf_rem_mem_reg(&dev.conn, &region), -EREMOTEIO);
        }
    }
    daemon_expect_fds(daemon, before);
}

static void unknown_region(struct daemon *daemon)
{
    static const struct vuf_region others[] = {
        {GPA + 0x1000, 0x10000, UVA, 0}, {GPA, 0x10000, UVA + 0x1000, 0},
        {GPA, 0xf000, UVA, 0},           {0, 0, 0, 0},
        {~0ull, ~0ull, ~0ull, ~0ull},
    };
    struct vuf_region region = {GPA, 0x10000, UVA, 0};
    int fd = make_memfd(0x10000);
    struct vuf_dev dev;

    negotiate(&dev, daemon);
    OK(vuf_add_mem_reg(&dev.conn, &region, fd));
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        CHECK_EQ(vuf_rem_mem_reg(&dev.conn, &others[i]), -EREMOTEIO);
    OK(vuf_rem_mem_reg(&dev.conn, &region));
    /* With a descriptor, as older front-ends do: closed without use. */
    OK(vuf_add_mem_reg(&dev.conn, &region, fd));
    guest_check_control(&dev.conn); /* by now the descriptor of that message is closed */
    unsigned before = daemon_fd_count(daemon);
    struct vuf_single_region single = {.region = region};
    guest_expect_ack(&dev.conn, VUF_REM_MEM_REG, &single, sizeof(single), &fd, 1);
    daemon_expect_fds(daemon, before);
}

/* Requests in flight, in memory that moves under them. */
static void submit_reads(struct guest *guest, uint64_t node, uint64_t fh, unsigned ring)
{
    struct vuf_fuse_req *req;

    while ((req = vuf_fuse_get(&guest->fuse, ring))) {
        struct vuf_read_in in = {.fh = fh, .size = 4096};
        memcpy(vuf_fuse_args(req), &in, sizeof(in));
        OK(vuf_fuse_submit(&guest->fuse, req, VUF_OP_READ, node, sizeof(in), 4096));
    }
    vuf_fuse_kick(&guest->fuse, ring);
}

static void collect_reads(struct guest *guest, unsigned ring, unsigned count)
{
    while (count--) {
        struct vuf_fuse_req *req;

        OK(vuf_fuse_wait(&guest->fuse, ring, DAEMON_PATIENCE_MS, &req));
        if (req->bad)
            FAIL("%s", req->bad);
        CHECK_EQ(req->error, 0);
        CHECK_EQ(vuf_fuse_reply_len(req), 13);
        CHECK(memcmp(vuf_fuse_reply(req), "hello, world\n", 13) == 0);
        vuf_fuse_put(&guest->fuse, req);
    }
}

/* The same memory with more and with fewer regions around it, while the rings run. */
static void change_while_running(struct daemon *daemon)
{
    struct guest_options options = {.rings = 4, .depth = 32, .ring_size = 128};
    struct guest guest;

    guest_start(&guest, daemon, &options);
    uint64_t node = guest_lookup(&guest, ROOT_ID, "hello"), fh = guest_open(&guest, node, 0);
    struct vuf_region ram = vuf_mem_region(&guest.dev.mem);
    int fd = make_memfd(0x100000);
    for (unsigned i = 0; i < 50; i++) {
        struct vuf_region regions[2] = {ram, {GPA, 0x10000 + i * 0x1000, UVA, 0}};
        int fds[2] = {guest.dev.mem.fd, fd};

        for (unsigned ring = 1; ring < 4; ring++)
            submit_reads(&guest, node, fh, ring);
        if (i % 3 == 0) {
            OK(vuf_set_mem_table(&guest.dev.conn, regions, fds, 2));
            OK(vuf_set_mem_table(&guest.dev.conn, regions, fds, 1));
        } else {
            OK(vuf_add_mem_reg(&guest.dev.conn, &regions[1], fd));
            OK(vuf_rem_mem_reg(&guest.dev.conn, &regions[1]));
        }
        for (unsigned ring = 1; ring < 4; ring++)
            collect_reads(&guest, ring, 32);
    }
}

/*
 * The region with rings and buffers is removed while requests run: the rings may break, nothing
 * else; and with the memory back and the rings started again, all is well.
 */
static void ram_removed(struct daemon *daemon)
{
    struct guest_options options = {.depth = 32, .ring_size = 128};
    struct guest guest;

    guest_start(&guest, daemon, &options);
    uint64_t node = guest_lookup(&guest, ROOT_ID, "hello"), fh = guest_open(&guest, node, 0);
    struct vuf_region ram = vuf_mem_region(&guest.dev.mem);
    for (int i = 0; i < 10; i++) {
        uint32_t base;

        submit_reads(&guest, node, fh, 1);
        OK(vuf_rem_mem_reg(&guest.dev.conn, &ram));
        guest_check_control(&guest.dev.conn);
        OK(vuf_add_mem_reg(&guest.dev.conn, &ram, guest.dev.mem.fd));
        for (unsigned ring = 0; ring < 2; ring++) {
            OK(vuf_get_vring_base(&guest.dev.conn, ring, &base));
            vuf_ring_reset(&guest.dev.rings[ring], 0);
        }
        /* The pools believe that their requests are still out: start over with them. */
        struct vuf_fuse_options fuse = {.depth = 32, .hiprio_depth = 8, .data = 65536};
        vuf_fuse_close(&guest.fuse);
        guest.dev.mem.used =
            (size_t)(guest.scratch - guest.dev.mem.map) - (vuf_fuse_mem_size(2, &fuse) - 4096);
        OK(vuf_fuse_open(&guest.fuse, &guest.dev, &fuse));
        guest_start_ring(&guest, 0);
        guest_start_ring(&guest, 1);
        guest_init(&guest);
        node = guest_lookup(&guest, ROOT_ID, "hello");
        fh = guest_open(&guest, node, 0);
        guest_check_alive(&guest);
    }
}

/* A chain whose buffers lie in regions that follow each other, and in one that has gone. */
static void straddling_buffers(struct daemon *daemon)
{
    struct guest guest;

    guest_start(&guest, daemon, NULL);
    /* Three more regions, one file each, neighbours in guest memory only. */
    unsigned char *maps[3];
    for (unsigned i = 0; i < 3; i++) {
        struct vuf_region region = {GPA + i * 0x1000, 0x1000, UVA + i * 0x100000, 0};
        int fd = make_memfd(0x1000);
        maps[i] = mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        CHECK(maps[i] != MAP_FAILED);
        OK(vuf_add_mem_reg(&guest.dev.conn, &region, fd));
        close(fd);
    }
    uint64_t node = guest_lookup(&guest, ROOT_ID, "hello"), fh = guest_open(&guest, node, 0);
    struct vuf_in_header hdr = {.len = 80, .opcode = VUF_OP_READ, .unique = 77, .nodeid = node};
    struct vuf_read_in in = {.fh = fh, .size = 4096 + 2000};
    /* Header in the first page's end and the second's beginning, reply in the second and third. */
    memcpy(maps[0] + 0x1000 - 20, &hdr, 20);
    memcpy(maps[1], (char *)&hdr + 20, 20);
    memcpy(maps[1] + 20, &in, 40);
    struct vuf_piece pieces[] = {{GPA + 0x1000 - 20, 80}, {GPA + 0x1000 + 100, 4096 + 2000 + 16}};
    struct vuf_done done;
    static char token;
    OK(vuf_ring_add(&guest.dev.rings[1], pieces, 1, 1, &token));
    vuf_ring_kick(&guest.dev.rings[1]);
    OK(vuf_ring_wait(&guest.dev.rings[1], DAEMON_PATIENCE_MS));
    CHECK_EQ(vuf_ring_pop(&guest.dev.rings[1], &done), 1);
    CHECK_EQ(done.len, 16 + 13);
    struct vuf_out_header out;
    memcpy(&out, maps[1] + 100, sizeof(out));
    CHECK_EQ(out.error, 0);
    CHECK_EQ(out.unique, 77);
    CHECK(memcmp(maps[1] + 116, "hello, world\n", 13) == 0);
}

/*
 * The memory file is cut short: whoever touches it gets SIGBUS. The daemon lives on, its control
 * channel too, and what lies in another file is served as before.
 */
static void truncated_buffers(struct daemon *daemon)
{
    struct guest_options options = {.rings = 3};
    struct guest guest;
    static char token;

    guest_start(&guest, daemon, &options);
    struct vuf_region region = {GPA, 0x10000, UVA, 0};
    int fd = make_memfd(0x10000);
    OK(vuf_add_mem_reg(&guest.dev.conn, &region, fd));
    CHECK(ftruncate(fd, 0) == 0);
    struct vuf_piece pieces[] = {{GPA, 80}, {GPA + 0x1000, 4096}};
    OK(vuf_ring_add(&guest.dev.rings[2], pieces, 1, 1, &token));
    vuf_ring_kick(&guest.dev.rings[2]);
    guest_expect_broken(&guest, 2);
    guest_check_alive(&guest);
    OK(vuf_rem_mem_reg(&guest.dev.conn, &region));
    guest_check_alive(&guest);
}

/* READ into pages that are gone: the kernel finds out, not a signal; both must be survived. */
static void truncated_data(struct daemon *daemon)
{
    struct guest_options options = {.rings = 3};
    struct guest guest;
    static char token;

    guest_start(&guest, daemon, &options);
    uint64_t node = guest_lookup(&guest, ROOT_ID, "hello"), fh = guest_open(&guest, node, 0);
    struct vuf_region region = {GPA, 0x10000, UVA, 0};
    int fd = make_memfd(0x10000);
    OK(vuf_add_mem_reg(&guest.dev.conn, &region, fd));
    CHECK(ftruncate(fd, 0x1000) == 0);
    struct vuf_in_header hdr = {.len = 80, .opcode = VUF_OP_READ, .unique = 3, .nodeid = node};
    struct vuf_read_in in = {.fh = fh, .size = 4096};
    memcpy(guest.scratch, &hdr, sizeof(hdr));
    memcpy(guest.scratch + sizeof(hdr), &in, sizeof(in));
    struct vuf_piece pieces[] = {{vuf_mem_gpa(&guest.dev.mem, guest.scratch), 80},
                                 {vuf_mem_gpa(&guest.dev.mem, guest.scratch + 4096), 16},
                                 {GPA + 0x2000, 4096}};
    OK(vuf_ring_add(&guest.dev.rings[2], pieces, 1, 2, &token));
    vuf_ring_kick(&guest.dev.rings[2]);
    /* Either an errno in the reply, or a broken ring. */
    struct vuf_done done;
    int r = vuf_ring_wait(&guest.dev.rings[2], 2000);
    if (r == 0) {
        CHECK_EQ(vuf_ring_pop(&guest.dev.rings[2], &done), 1);
        struct vuf_out_header out;
        memcpy(&out, guest.scratch + 4096, sizeof(out));
        CHECK(out.error < 0);
        CHECK_EQ(done.len, 16);
    } else {
        guest_expect_broken(&guest, 2);
    }
    guest_check_alive(&guest);
}

/* All of the guest's memory goes, rings included, with requests running and kicks coming. */
static void truncated_everything(struct daemon *daemon)
{
    struct guest_options options = {.rings = 5, .depth = 16};
    struct guest guest;

    guest_start(&guest, daemon, &options);
    uint64_t node = guest_lookup(&guest, ROOT_ID, "hello"), fh = guest_open(&guest, node, 0);
    for (unsigned ring = 1; ring < 5; ring++)
        submit_reads(&guest, node, fh, ring);
    CHECK(ftruncate(guest.dev.mem.fd, 0) == 0);
    for (int i = 0; i < 10; i++)
        for (unsigned ring = 0; ring < 5; ring++)
            vuf_ring_kick_always(&guest.dev.rings[ring]);
    sleep_ms(50);
    guest_check_control(&guest.dev.conn);
    for (unsigned ring = 0; ring < 5; ring++) {
        uint32_t base;
        OK(vuf_get_vring_base(&guest.dev.conn, ring, &base));
    }
    guest_check_control(&guest.dev.conn);
}

/* Truncated before the ring is started at all. */
static void truncated_before_start(struct daemon *daemon)
{
    struct guest_options options = {.no_init = true};
    struct guest guest;
    uint32_t base;

    guest_negotiate(&guest, daemon, &options);
    struct vuf_region ram = vuf_mem_region(&guest.dev.mem);
    OK(vuf_set_mem_table(&guest.dev.conn, &ram, &guest.dev.mem.fd, 1));
    struct vuf_vring_addr addr = {1, 0, ram.uva, ram.uva + 0x2000, ram.uva + 0x1000, 0};
    OK(vuf_set_vring_num(&guest.dev.conn, 1, 64));
    OK(vuf_set_vring_addr(&guest.dev.conn, &addr));
    OK(vuf_set_vring_kick(&guest.dev.conn, 1, guest.dev.rings[1].kick_fd));
    CHECK(ftruncate(guest.dev.mem.fd, 0) == 0);
    int r = vuf_set_vring_enable(&guest.dev.conn, 1, true);
    if (r != -EREMOTEIO)
        OK(r);
    vuf_ring_kick_always(&guest.dev.rings[1]);
    sleep_ms(20);
    guest_check_control(&guest.dev.conn);
    OK(vuf_get_vring_base(&guest.dev.conn, 1, &base));
}

/* Growing and shrinking by turns, ten times, with readers all the time. */
static void truncated_again_and_again(struct daemon *daemon)
{
    struct guest_options options = {.rings = 3};
    struct guest guest;

    guest_start(&guest, daemon, &options);
    for (int i = 0; i < 30; i++) {
        struct vuf_region region = {GPA, 0x10000, UVA, 0};
        struct vuf_ring *ring = &guest.dev.rings[2];
        struct vuf_piece pieces[] = {{GPA, 80}, {GPA + 0x1000, 4096}};
        static char token;
        uint32_t base;
        int fd = make_memfd(0x10000);

        OK(vuf_add_mem_reg(&guest.dev.conn, &region, fd));
        OK(vuf_ring_add(ring, pieces, 1, 1, &token));
        vuf_ring_kick(ring);
        CHECK(ftruncate(fd, 0) == 0);
        CHECK(ftruncate(fd, 0x10000) == 0);
        vuf_ring_kick_always(ring);
        OK(vuf_get_vring_base(&guest.dev.conn, 2, &base));
        vuf_ring_reset(ring, 0);
        OK(vuf_rem_mem_reg(&guest.dev.conn, &region));
        guest_start_ring(&guest, 2);
        guest_check_ring(&guest, 1);
        close(fd);
    }
    guest_check_ring(&guest, 2);
}

static const struct test_case cases[] = {
    {.name = "refused-tables", .run = refused_tables, .words = "--persistent", .end = END_TERM},
    {.name = "region-counts", .run = region_counts, .words = "--persistent", .end = END_TERM},
    {.name = "misaligned", .run = misaligned},
    {.name = "strange-files", .run = strange_files},
    {.name = "every-slot", .run = every_slot},
    {.name = "unknown-region", .run = unknown_region},
    {.name = "change-while-running", .run = change_while_running},
    {.name = "ram-removed", .run = ram_removed},
    {.name = "straddling-buffers", .run = straddling_buffers},
    {.name = "truncated-buffers", .run = truncated_buffers},
    {.name = "truncated-data", .run = truncated_data},
    {.name = "truncated-everything-leave", .run = truncated_everything},
    {.name = "truncated-everything-term", .run = truncated_everything, .end = END_TERM},
    {.name = "truncated-before-start", .run = truncated_before_start},
    {.name = "truncated-again-and-again", .run = truncated_again_and_again},
};

int main(int argc, char **argv)
{
    return case_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
