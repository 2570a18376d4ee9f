// SPDX-License-Identifier: BSD-3-Clause
/*
 * Requests as large as a guest may make them: thousands of pages, each a piece of its own, that lie
 * in memory in an order of their own; more pieces than one system call takes.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest.h"

#define PAGE      4096u
#define PAGES     5000u
#define SIZE      ((size_t)PAGES * PAGE)
#define STEP      1237u /* has no divisor in common with PAGES: each page comes once */
#define RING_SIZE 8192u

static const struct guest_options direct = {
    .ring_size = RING_SIZE, .depth = 4, .scratch = SIZE + PAGE};
static const struct guest_options indirect = {
    .ring_size = RING_SIZE, .indirect_max = RING_SIZE, .depth = 4, .scratch = SIZE + PAGE};

/* Page I of the data, somewhere in guest memory; the first page there is for headers. */
static unsigned char *page_of(struct guest *guest, unsigned i)
{
    return guest->scratch + PAGE + (size_t)(i * STEP % PAGES) * PAGE;
}

static struct vuf_piece piece_of(struct guest *guest, const void *at, size_t len)
{
    return (struct vuf_piece){vuf_mem_gpa(&guest->dev.mem, at), (uint32_t)len};
}

static unsigned char byte_of(size_t offset)
{
    return (unsigned char)(offset * 2654435761u >> 19 ^ offset >> 12);
}

/* Sends one request, whose pieces are headers and all pages. Returns the used length. */
static uint32_t send_pieces(struct guest *guest, const struct vuf_piece *pieces, unsigned n_read,
                            unsigned n_write)
{
    struct vuf_ring *ring = &guest->dev.rings[1];
    struct vuf_done done;
    static char token;

    OK(vuf_ring_add(ring, pieces, n_read, n_write, &token));
    vuf_ring_kick(ring);
    OK(vuf_ring_wait(ring, DAEMON_PATIENCE_MS));
    CHECK_EQ(vuf_ring_pop(ring, &done), 1);
    return done.len;
}

static void write_all(struct guest *guest, uint64_t node, uint64_t fh)
{
    static struct vuf_piece pieces[PAGES + 2];
    struct {
        struct vuf_in_header hdr;
        struct vuf_write_in in;
    } *in = (void *)guest->scratch;
    struct {
        struct vuf_out_header hdr;
        struct vuf_write_out out;
    } *out = (void *)(guest->scratch + PAGE / 2);

    in->hdr = (struct vuf_in_header){
        .len = (uint32_t)(sizeof(*in) + SIZE), .opcode = VUF_OP_WRITE, .unique = 2, .nodeid = node};
    in->in = (struct vuf_write_in){.fh = fh, .size = (uint32_t)SIZE};
    pieces[0] = piece_of(guest, in, sizeof(*in));
    for (unsigned i = 0; i < PAGES; i++) {
        for (unsigned j = 0; j < PAGE; j++)
            page_of(guest, i)[j] = byte_of((size_t)i * PAGE + j);
        pieces[1 + i] = piece_of(guest, page_of(guest, i), PAGE);
    }
    pieces[1 + PAGES] = piece_of(guest, out, sizeof(*out));
    CHECK_EQ(send_pieces(guest, pieces, 1 + PAGES, 1), sizeof(*out));
    CHECK_EQ(out->hdr.error, 0);
    CHECK_EQ(out->out.size, SIZE);
}

static void check_file(const struct daemon *daemon)
{
    unsigned char page[PAGE];
    char path[sizeof(daemon->share) + 8];

    snprintf(path, sizeof(path), "%s/large", daemon->share);
    int fd = open(path, O_RDONLY);
    for (size_t at = 0; at < SIZE; at += PAGE) {
        CHECK_EQ(pread(fd, page, PAGE, (off_t)at), PAGE);
        for (unsigned j = 0; j < PAGE; j++)
            CHECK(page[j] == byte_of(at + j));
    }
    close(fd);
}

/* From an offset in the middle of a page on: the file ends before the room does. */
static void read_all(struct guest *guest, uint64_t node, uint64_t fh, size_t offset)
{
    static struct vuf_piece pieces[PAGES + 2];
    struct {
        struct vuf_in_header hdr;
        struct vuf_read_in in;
    } *in = (void *)guest->scratch;
    struct vuf_out_header *out = (void *)(guest->scratch + PAGE / 2);

    in->hdr = (struct vuf_in_header){
        .len = sizeof(*in), .opcode = VUF_OP_READ, .unique = 4, .nodeid = node};
    in->in = (struct vuf_read_in){.fh = fh, .offset = offset, .size = (uint32_t)SIZE};
    pieces[0] = piece_of(guest, in, sizeof(*in));
    pieces[1] = piece_of(guest, out, sizeof(*out));
    for (unsigned i = 0; i < PAGES; i++) {
        memset(page_of(guest, i), 0xee, PAGE);
        pieces[2 + i] = piece_of(guest, page_of(guest, i), PAGE);
    }
    CHECK_EQ(send_pieces(guest, pieces, 1, 1 + PAGES), sizeof(*out) + SIZE - offset);
    CHECK_EQ(out->error, 0);
    for (size_t at = 0; at < SIZE; at++)
        CHECK(page_of(guest, (unsigned)(at / PAGE))[at % PAGE] ==
              (at < SIZE - offset ? byte_of(offset + at) : 0xee));
}

static void many_pages(struct daemon *daemon)
{
    struct guest guest;
    uint64_t node, fh;

    guest_start(&guest, daemon, case_data());
    node = guest_create(&guest, ROOT_ID, "large", &fh);
    write_all(&guest, node, fh);
    check_file(daemon);
    read_all(&guest, node, fh, 0);
    read_all(&guest, node, fh, 3 * PAGE + 17);
    guest_check_alive(&guest);
}

static const struct test_case cases[] = {
    {.name = "many-pages", .run = many_pages, .data = &direct},
    {.name = "many-pages-indirect", .run = many_pages, .data = &indirect},
};

int main(int argc, char **argv)
{
    return case_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
