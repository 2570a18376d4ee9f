// SPDX-License-Identifier: BSD-3-Clause
/*
 * Requests whose buffers lie in the DAX window: a guest that reads a file into a page which is
 * itself a mapping of a file, and writes from one. The device reaches what it has mapped there, and
 * nothing else: one request fails, the ring goes on.
 */
#include "dax_guest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define R        WINDOW_RANGE

/* Where a request's parts are in the case's scratch memory. */
#define ARGS_AT  0
#define REPLY_AT 4096

struct two_files {
    struct dax dax;
    int a, b;
    uint64_t a_node, b_node;
    uint64_t a_fh, b_fh;
};

/* a: at the start of the window. b: at 4 R, and its second range at 6 R. */
static void start(struct two_files *files, struct daemon *daemon)
{
    struct dax *dax = &files->dax;

    dax_start(dax, daemon, case_data());
    files->a = host_create(dax, "a", R + 5 * 4096 + 100, 1);
    files->b = host_create(dax, "b", R + 9 * 4096 + 300, 2);
    files->a_node = guest_lookup(&dax->guest, ROOT_ID, "a");
    files->b_node = guest_lookup(&dax->guest, ROOT_ID, "b");
    files->a_fh = guest_open(&dax->guest, files->a_node, O_RDWR);
    files->b_fh = guest_open(&dax->guest, files->b_node, O_RDWR);
    CHECK_EQ(dax_map(dax, files->a_node, 0, 0, DAX_WRITE), 0);
    CHECK_EQ(dax_map(dax, files->b_node, 0, 4 * R, DAX_WRITE), 0);
    CHECK_EQ(dax_map(dax, files->b_node, R, 6 * R, DAX_WRITE), 0);
}

/* One request with these data pieces; returns the file system's errno. */
static int request(struct dax *dax, struct vuf_in_header hdr, const void *args, size_t args_size,
                   const struct vuf_piece *data, unsigned n_data, bool to_device)
{
    static char token;
    struct guest *guest = &dax->guest;
    struct vuf_ring *ring = &guest->dev.rings[1];
    unsigned char *head = guest->scratch + ARGS_AT, *reply = guest->scratch + REPLY_AT;
    struct vuf_piece pieces[10] = {
        {vuf_mem_gpa(&guest->dev.mem, head), (uint32_t)(sizeof(hdr) + args_size)}};
    struct vuf_piece reply_piece = {vuf_mem_gpa(&guest->dev.mem, reply),
                                    hdr.opcode == VUF_OP_WRITE ? 24 : 16};
    struct vuf_out_header out;
    struct vuf_done done;
    unsigned n = 1;

    hdr.len = (uint32_t)(sizeof(hdr) + args_size);
    hdr.unique = 4242;
    for (unsigned i = 0; i < n_data && to_device; i++)
        hdr.len += data[i].len;
    memcpy(head, &hdr, sizeof(hdr));
    memcpy(head + sizeof(hdr), args, args_size);
    memset(reply, 0xff, 24);
    for (unsigned i = 0; i < n_data && to_device; i++)
        pieces[n++] = data[i];
    unsigned n_read = n;
    pieces[n++] = reply_piece;
    for (unsigned i = 0; i < n_data && !to_device; i++)
        pieces[n++] = data[i];
    OK(vuf_ring_add(ring, pieces, n_read, n - n_read, &token));
    vuf_ring_kick(ring);
    OK(vuf_ring_wait(ring, DAEMON_PATIENCE_MS));
    CHECK_EQ(vuf_ring_pop(ring, &done), 1);
    memcpy(&out, reply, sizeof(out));
    CHECK_EQ(out.unique, 4242);
    CHECK_EQ(out.len, done.len);
    if (out.error)
        CHECK_EQ(done.len, sizeof(out));
    return out.error;
}

/* READ of a file into the window, in PIECES equal parts. */
static int read_into(struct dax *dax, uint64_t node, uint64_t fh, uint64_t offset, uint32_t size,
                     uint64_t window_offset, unsigned n_pieces)
{
    struct vuf_in_header hdr = {.opcode = VUF_OP_READ, .nodeid = node};
    struct vuf_read_in in = {.fh = fh, .offset = offset, .size = size};
    struct vuf_piece data[8];

    for (unsigned i = 0; i < n_pieces; i++)
        data[i] =
            (struct vuf_piece){WINDOW_GPA + window_offset + size / n_pieces * i, size / n_pieces};
    return request(dax, hdr, &in, sizeof(in), data, n_pieces, false);
}

static int write_from(struct dax *dax, uint64_t node, uint64_t fh, uint64_t offset, uint32_t size,
                      uint64_t window_offset, unsigned n_pieces)
{
    struct vuf_in_header hdr = {.opcode = VUF_OP_WRITE, .nodeid = node};
    struct vuf_write_in in = {.fh = fh, .offset = offset, .size = size};
    struct vuf_piece data[8];

    for (unsigned i = 0; i < n_pieces; i++)
        data[i] =
            (struct vuf_piece){WINDOW_GPA + window_offset + size / n_pieces * i, size / n_pieces};
    return request(dax, hdr, &in, sizeof(in), data, n_pieces, true);
}

static void expect_host(int fd, uint64_t offset, size_t size, unsigned seed, uint64_t from)
{
    static char found[65536], wanted[65536];

    CHECK(size <= sizeof(found));
    pattern(seed, from, wanted, size);
    CHECK(pread(fd, found, size, (off_t)offset) == (ssize_t)size);
    for (size_t i = 0; i < size; i++)
        if (found[i] != wanted[i])
            FAIL("file byte %#llx is not that of pattern %u", (unsigned long long)(offset + i),
                 seed);
}

/* File a into b's mapping. */
static void read_into_another(struct daemon *daemon)
{
    struct two_files files;
    struct dax *dax = &files.dax;

    start(&files, daemon);
    CHECK_EQ(read_into(dax, files.a_node, files.a_fh, 4096, 8192, 4 * R + 65536, 1), 0);
    expect_host(files.b, 65536, 8192, 1, 4096);
    dax_expect_pattern(dax, 4 * R + 65536, 8192, 1, 4096);
    /* Odd places, several pieces, up to the file's last whole page and into the one after it. */
    CHECK_EQ(read_into(dax, files.a_node, files.a_fh, 77, 30000, 4 * R + 100001, 5), 0);
    expect_host(files.b, 100001, 30000, 1, 77);
    CHECK_EQ(read_into(dax, files.a_node, files.a_fh, 0, 9 * 4096 + 300, 6 * R, 1), 0);
    dax_getattr(dax, files.b_node);
    expect_host(files.b, R, 9 * 4096 + 300, 1, 0);
    dax_expect_file(dax, 6 * R, files.b, R);
    CHECK_EQ(host_size(files.b), R + 9 * 4096 + 300);
    dax_finish(dax);
}

/* A file into its own mapping: other place, same place. */
static void read_into_itself(struct daemon *daemon)
{
    struct two_files files;
    struct dax *dax = &files.dax;

    start(&files, daemon);
    CHECK_EQ(read_into(dax, files.a_node, files.a_fh, 65536, 4096, 0, 1), 0);
    expect_host(files.a, 0, 4096, 1, 65536);
    CHECK_EQ(read_into(dax, files.a_node, files.a_fh, 8192, 8192, 8192, 1), 0);
    expect_host(files.a, 8192, 8192, 1, 8192);
    CHECK_EQ(read_into(dax, files.b_node, files.b_fh, R + 9 * 4096, 300, 6 * R + 9 * 4096, 1), 0);
    dax_expect_pattern(dax, 6 * R + 9 * 4096, 300, 2, R + 9 * 4096);
    dax_getattr(dax, files.b_node);
    expect_host(files.b, R + 9 * 4096, 300, 2, R + 9 * 4096);
    dax_finish(dax);
}

static void write_from_another(struct daemon *daemon)
{
    struct two_files files;
    struct dax *dax = &files.dax;

    start(&files, daemon);
    CHECK_EQ(write_from(dax, files.b_node, files.b_fh, 4096, 8192, 65536, 1), 0);
    expect_host(files.b, 4096, 8192, 1, 65536);
    dax_expect_pattern(dax, 4 * R + 4096, 8192, 1, 65536);
    CHECK_EQ(write_from(dax, files.b_node, files.b_fh, 33, 50000, 123457, 5), 0);
    expect_host(files.b, 33, 50000, 1, 123457);
    /* What a guest has stored a moment ago counts, in a page of ours, too. */
    dax_store(dax, 6 * R + 9 * 4096, 300, 9, 0);
    CHECK_EQ(write_from(dax, files.a_node, files.a_fh, 5, 300, 6 * R + 9 * 4096, 1), 0);
    expect_host(files.a, 5, 300, 9, 0);
    /* Appending to the file that the data comes from. */
    CHECK_EQ(
        write_from(dax, files.b_node, files.b_fh, host_size(files.b), 40000, 4 * R + 200000, 1), 0);
    CHECK_EQ(host_size(files.b), R + 9 * 4096 + 40300);
    dax_expect_file(dax, 6 * R, files.b, R);
    expect_host(files.b, R + 9 * 4096 + 300, 40000, 2, 200000);
    dax_finish(dax);
}

/* Header and reply in the window: not what drivers do, but no reason to break. */
static void everything_in_the_window(struct daemon *daemon)
{
    static char token;
    struct two_files files;
    struct dax *dax = &files.dax;
    struct vuf_in_header hdr = {.len = 56, .opcode = VUF_OP_GETATTR, .unique = 9};
    struct vuf_getattr_in in = {0};
    struct vuf_out_header out;
    struct vuf_done done;

    start(&files, daemon);
    hdr.nodeid = files.a_node;
    CHECK_EQ(window_store(&dax->window, 4 * R, &hdr, sizeof(hdr)), 0);
    CHECK_EQ(window_store(&dax->window, 4 * R + sizeof(hdr), &in, sizeof(in)), 0);
    struct vuf_piece pieces[] = {{WINDOW_GPA + 4 * R, 56}, {WINDOW_GPA + 4 * R + 4096, 120}};
    OK(vuf_ring_add(&dax->guest.dev.rings[1], pieces, 1, 1, &token));
    vuf_ring_kick(&dax->guest.dev.rings[1]);
    OK(vuf_ring_wait(&dax->guest.dev.rings[1], DAEMON_PATIENCE_MS));
    CHECK_EQ(vuf_ring_pop(&dax->guest.dev.rings[1], &done), 1);
    if (done.len) {
        CHECK_EQ(window_load(&dax->window, 4 * R + 4096, &out, sizeof(out)), 0);
        CHECK_EQ(out.unique, 9);
        CHECK_EQ(out.len, done.len);
    }
    guest_check_alive(&dax->guest);
    dax_finish(dax);
}

/* Where nothing is mapped, or the window ends. */
static void nothing_there(struct daemon *daemon)
{
    struct two_files files;
    struct dax *dax = &files.dax;

    start(&files, daemon);
    for (unsigned i = 0; i < 3; i++) {
        CHECK_EQ(read_into(dax, files.a_node, files.a_fh, 0, 4096, 9 * R, 1), -EFAULT);
        CHECK_EQ(write_from(dax, files.a_node, files.a_fh, 0, 4096, 9 * R, 1), -EFAULT);
        /* Half of it is there. */
        CHECK_EQ(read_into(dax, files.a_node, files.a_fh, 0, 8192, R - 4096, 1), -EFAULT);
        CHECK_EQ(read_into(dax, files.a_node, files.a_fh, 0, 8192, R - 4096, 2), -EFAULT);
        CHECK_EQ(write_from(dax, files.a_node, files.a_fh, 0, 8192, R - 4096, 2), -EFAULT);
        guest_check_ring(&dax->guest, 1);
    }
    dax_expect_file(dax, 0, files.a, 0);
    /* Behind the last page of a file, in its range. */
    host_create(dax, "c", 3 * 4096, 3);
    uint64_t node = guest_lookup(&dax->guest, ROOT_ID, "c");
    CHECK_EQ(dax_map(dax, node, 0, 9 * R, DAX_WRITE), 0);
    CHECK_EQ(write_from(dax, files.a_node, files.a_fh, 0, 8192, 9 * R + 4096, 1), 0);
    expect_host(files.a, 0, 8192, 3, 4096);
    CHECK_EQ(write_from(dax, files.a_node, files.a_fh, 0, 8192, 9 * R + 8192, 1), -EFAULT);
    CHECK_EQ(write_from(dax, files.a_node, files.a_fh, 0, 4096, 9 * R + 3 * 4096, 1), -EFAULT);
    CHECK_EQ(read_into(dax, files.b_node, files.b_fh, 0, 4096, 9 * R + 3 * 4096, 1), -EFAULT);
    CHECK_EQ(read_into(dax, files.b_node, files.b_fh, 0, 4096, 10 * R - 4096, 1), -EFAULT);
    expect_host(files.a, 0, 8192, 3, 4096);
    /* Mapped, used, and gone. */
    CHECK_EQ(write_from(dax, files.a_node, files.a_fh, 0, 4096, 6 * R, 1), 0);
    CHECK_EQ(dax_unmap(dax, 6 * R, R), 0);
    CHECK_EQ(write_from(dax, files.a_node, files.a_fh, 0, 4096, 6 * R, 1), -EFAULT);
    CHECK_EQ(read_into(dax, files.a_node, files.a_fh, 0, 4096, 6 * R, 1), -EFAULT);
    guest_check_alive(&dax->guest);
    dax_finish(dax);
}

/* The address of the window was never told. */
static void unknown_address(struct daemon *daemon)
{
    struct two_files files;
    struct dax *dax = &files.dax;

    start(&files, daemon);
    for (unsigned i = 0; i < 3; i++) {
        CHECK_EQ(read_into(dax, files.a_node, files.a_fh, 0, 4096, 4 * R, 1), -EFAULT);
        CHECK_EQ(write_from(dax, files.a_node, files.a_fh, 0, 4096, 0, 3), -EFAULT);
        guest_check_alive(&dax->guest);
    }
    dax_expect_file(dax, 4 * R, files.b, 0);
    expect_host(files.b, 0, 4096, 2, 0);
    expect_host(files.a, 0, 4096, 1, 0);
    dax_finish(dax);
}

/* More mappings than a table holds: their place is known from the first ones. */
static void beyond_the_table(struct daemon *daemon)
{
    struct two_files files;
    struct dax *dax = &files.dax;

    start(&files, daemon);
    host_create(dax, "c", 9 * R, 3);
    uint64_t node = guest_lookup(&dax->guest, ROOT_ID, "c");
    for (uint64_t i = 0; i < 9; i++)
        CHECK_EQ(dax_map(dax, node, i * R, (7 + i) * R, DAX_WRITE), 0);
    for (uint64_t i = 0; i < 9; i++) {
        CHECK_EQ(write_from(dax, files.a_node, files.a_fh, 11, 20000, (7 + i) * R + 5, 1), 0);
        expect_host(files.a, 11, 20000, 3, i * R + 5);
    }
    CHECK_EQ(read_into(dax, files.b_node, files.b_fh, 500, 5000, 15 * R, 1), 0);
    dax_expect_pattern(dax, 15 * R, 5000, 2, 500);
    CHECK_EQ(write_from(dax, files.a_node, files.a_fh, 0, 4096, 5 * R, 1), -EFAULT);
    dax_finish(dax);
}

/* The file was cut by the host: there is a mapping, but no page. */
static void cut_by_the_host(struct daemon *daemon)
{
    struct two_files files;
    struct dax *dax = &files.dax;

    start(&files, daemon);
    CHECK_EQ(read_into(dax, files.a_node, files.a_fh, 0, 4096, 4 * R + R / 2, 1), 0);
    CHECK(ftruncate(files.b, 4096) == 0);
    int error = read_into(dax, files.a_node, files.a_fh, 0, 4096, 4 * R + R / 2, 1);
    CHECK(error <= 0);
    error = write_from(dax, files.a_node, files.a_fh, 0, 4096, 4 * R + R / 2, 1);
    CHECK(error <= 0);
    CHECK_EQ(host_size(files.b), 4096);
    guest_check_alive(&dax->guest);
    dax_finish(dax);
}

/* The daemon must not write for the guest where the guest may only read. */
static void read_only(struct daemon *daemon)
{
    struct dax dax;

    dax_start(&dax, daemon, case_data());
    int fd = host_create(&dax, "file", R + 5000, 1);
    host_create(&dax, "other", 65536, 2);
    uint64_t node = guest_lookup(&dax.guest, ROOT_ID, "file");
    uint64_t other = guest_lookup(&dax.guest, ROOT_ID, "other");
    uint64_t fh = guest_open(&dax.guest, other, O_RDONLY);
    CHECK_EQ(dax_map(&dax, node, 0, 0, DAX_READ), 0);
    CHECK_EQ(dax_map(&dax, node, R, R, DAX_READ), 0);
    CHECK(read_into(&dax, other, fh, 0, 4096, 8192, 1) < 0);
    read_into(&dax, other, fh, 0, 4096, R + 4096, 1);
    dax_getattr(&dax, node);
    expect_host(fd, 8192, 4096, 1, 8192);
    expect_host(fd, R + 4096, 904, 1, R + 4096);
    guest_check_alive(&dax.guest);
    dax_finish(&dax);
}

static const struct dax_options no_tables = {
    .window = {.style = WINDOW_EXACT, .without_tables = true}};
static const struct dax_options host_cuts = {
    .window = {.style = WINDOW_EXACT, .eof_is_lenient = true}};

#define CASE(a_name, function, options)                                             \
    {                                                                               \
        .name = a_name, .run = function, .words = DAX_WINDOW_WORD, .data = &options \
    }

static const struct test_case cases[] = {
    CASE("read-into-another", read_into_another, dax_exact),
    CASE("read-into-itself", read_into_itself, dax_exact),
    CASE("write-from-another", write_from_another, dax_exact),
    CASE("everything-in-the-window", everything_in_the_window, dax_exact),
    CASE("nothing-there", nothing_there, dax_exact),
    CASE("beyond-the-table", beyond_the_table, dax_exact),
    CASE("cut-by-the-host", cut_by_the_host, host_cuts),
    {.name = "read-only",
     .run = read_only,
     .words = DAX_WINDOW_WORD " --readonly",
     .data = &dax_exact},
    CASE("unknown-address-exact", unknown_address, no_tables),
    CASE("unknown-address-loose", unknown_address, dax_loose),
};

int main(int argc, char **argv)
{
    return case_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
