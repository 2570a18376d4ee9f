// SPDX-License-Identifier: BSD-3-Clause
/*
 * Files that change size while they are mapped: after each reply the window shows what the file
 * has, no page that is mapped is ever taken away where the guest does not expect it, and no page
 * stays mapped that the file no longer has.
 */
#include "dax_guest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define R      WINDOW_RANGE
#define RANGES 4

struct file {
    struct dax dax;
    int fd;
    uint64_t node;
    uint64_t fh;
};

/* A file of this size whose first RANGES ranges are mapped at the start of the window. */
static void start(struct file *file, struct daemon *daemon, uint64_t size)
{
    dax_start(&file->dax, daemon, case_data());
    file->fd = host_create(&file->dax, "file", size, 1);
    file->node = guest_lookup(&file->dax.guest, ROOT_ID, "file");
    file->fh = guest_open(&file->dax.guest, file->node, O_RDWR);
    for (uint64_t at = 0; at < RANGES * R; at += R)
        CHECK_EQ(dax_map(&file->dax, file->node, at, at, DAX_WRITE), 0);
    CHECK_EQ(host_size(file->fd), size);
}

static void expect_all(struct file *file)
{
    for (uint64_t at = 0; at < RANGES * R; at += R)
        dax_expect_file(&file->dax, at, file->fd, at);
    if (dax_is_exact(&file->dax))
        window_check_backed(&file->dax.window);
}

static void finish(struct file *file)
{
    CHECK_EQ(dax_unmap(&file->dax, 0, RANGES * R), 0);
    CHECK_EQ(window_counts(&file->dax.window).pieces, 0);
    dax_finish(&file->dax);
}

static const uint64_t steps[] = {
    0,     1,         100,       4095,      4096,      4097,      8192,     65536,
    65537, 1000000,   R - 4096,  R - 1,     R,         R + 1,     R + 4096, R + 9000,
    2 * R, 2 * R + 5, 3 * R - 1, 3 * R + 1, 3 * R + 8, 4 * R - 3, 4 * R,    4 * R + 10000,
};

#define STEPS (sizeof(steps) / sizeof(steps[0]))

/* By WRITE, from the end of the file on, in requests of at most 64 KiB. */
static void by_write(struct daemon *daemon)
{
    static char bytes[65536];
    struct file file;

    start(&file, daemon, 0);
    unsigned long unmaps = window_counts(&file.dax.window).unmaps;
    for (unsigned i = 0; i + 1 < STEPS; i++) {
        for (uint64_t at = steps[i]; at < steps[i + 1];) {
            size_t part = steps[i + 1] - at < sizeof(bytes) ? steps[i + 1] - at : sizeof(bytes);

            pattern(2, at, bytes, part);
            CHECK_EQ(dax_write(&file.dax, file.node, file.fh, at, bytes, part), 0);
            at += part;
        }
        CHECK_EQ(host_size(file.fd), steps[i + 1]);
        expect_all(&file);
        if (dax_is_exact(&file.dax))
            CHECK_EQ(window_counts(&file.dax.window).unmaps, unmaps);
    }
    finish(&file);
}

/* WRITE that leaves a hole before itself: zeros. */
static void by_write_behind_a_hole(struct daemon *daemon)
{
    struct file file;

    start(&file, daemon, 50);
    unsigned long unmaps = window_counts(&file.dax.window).unmaps;
    for (unsigned i = 2; i + 1 < STEPS; i++) {
        CHECK_EQ(dax_write(&file.dax, file.node, file.fh, steps[i + 1] - 1, "x", 1), 0);
        CHECK_EQ(host_size(file.fd), steps[i + 1]);
        expect_all(&file);
        if (dax_is_exact(&file.dax))
            CHECK_EQ(window_counts(&file.dax.window).unmaps, unmaps);
    }
    finish(&file);
}

/* WRITE and stores by turns, at the end of the file and before it. */
static void write_and_store(struct daemon *daemon)
{
    static char bytes[5000];
    struct file file;
    uint64_t size = 3;

    start(&file, daemon, size);
    for (unsigned i = 0; i < 300 && size + 5000 < RANGES * R; i++) {
        size_t part = 1 + i * 977 % 4999;

        /* The last bytes of the file, through the window: they must not get lost. */
        uint64_t stored = size < 200 ? size : 200;
        dax_store(&file.dax, size - stored, stored, 100 + i, 0);
        pattern(i, 0, bytes, part);
        CHECK_EQ(dax_write(&file.dax, file.node, file.fh, size, bytes, part), 0);
        dax_expect_pattern(&file.dax, size - stored, stored, 100 + i, 0);
        dax_expect_pattern(&file.dax, size, part, i, 0);
        size += part;
        CHECK_EQ(host_size(file.fd), size);
        if (i % 20 == 0)
            expect_all(&file);
    }
    dax_getattr(&file.dax, file.node);
    expect_all(&file);
    finish(&file);
}

static void by_setattr(struct daemon *daemon)
{
    struct file file;

    start(&file, daemon, 0);
    for (unsigned i = 1; i < STEPS; i++) {
        CHECK_EQ(dax_set_size(&file.dax, file.node, steps[i]), 0);
        expect_all(&file);
        /* Something at both ends of what is new, which the next step must keep. */
        for (uint64_t at = 0; at < 2; at++) {
            uint64_t place = at ? steps[i] - 1 : steps[i - 1];
            if (place < RANGES * R)
                dax_store(&file.dax, place, 1, i, 0);
        }
        dax_getattr(&file.dax, file.node);
        expect_all(&file);
    }
    finish(&file);
}

static void by_fallocate(struct daemon *daemon)
{
    struct file file;

    start(&file, daemon, 0);
    for (unsigned i = 0; i + 1 < STEPS; i++) {
        CHECK_EQ(dax_allocate(&file.dax, file.node, file.fh, steps[i], steps[i + 1] - steps[i]), 0);
        CHECK_EQ(host_size(file.fd), steps[i + 1]);
        expect_all(&file);
        if (steps[i + 1] <= RANGES * R)
            dax_store(&file.dax, steps[i], steps[i + 1] - steps[i] < 99 ? 1 : 99, i, 0);
        dax_getattr(&file.dax, file.node);
        expect_all(&file);
    }
    finish(&file);
}

/* By the host; the guest learns it from GETATTR. */
static void by_the_host(struct daemon *daemon)
{
    struct file file;

    start(&file, daemon, 0);
    unsigned long unmaps = window_counts(&file.dax.window).unmaps;
    for (unsigned i = 0; i + 1 < STEPS; i++) {
        host_write(file.fd, steps[i], steps[i + 1] - steps[i], 3);
        CHECK_EQ(dax_getattr(&file.dax, file.node).size, steps[i + 1]);
        expect_all(&file);
        if (dax_is_exact(&file.dax))
            CHECK_EQ(window_counts(&file.dax.window).unmaps, unmaps);
    }
    finish(&file);
}

/* LOOKUP tells a size as well. */
static void by_the_host_then_lookup(struct daemon *daemon)
{
    struct file file;

    start(&file, daemon, 10);
    for (unsigned i = 2; i + 1 < STEPS; i++) {
        struct vuf_entry_out entry;

        host_write(file.fd, steps[i], steps[i + 1] - steps[i], 3);
        CHECK_EQ(dax_call(&file.dax, 1, VUF_OP_LOOKUP, ROOT_ID, NULL, 0, "file", 5, &entry,
                          sizeof(entry)),
                 0);
        CHECK_EQ(entry.nodeid, file.node);
        CHECK_EQ(entry.attr.size, steps[i + 1]);
        expect_all(&file);
    }
    finish(&file);
}

/* COPY_FILE_RANGE makes its target longer. */
static void by_copy(struct daemon *daemon)
{
    struct file file;

    start(&file, daemon, 10);
    host_create(&file.dax, "source", 4 * R, 5);
    uint64_t source = guest_lookup(&file.dax.guest, ROOT_ID, "source");
    uint64_t source_fh = guest_open(&file.dax.guest, source, O_RDONLY);
    uint64_t size = 10;
    for (unsigned i = 2; i + 2 < STEPS; i++) {
        struct vuf_copy_file_range_in in = {
            source_fh, 77, file.node, file.fh, size, steps[i + 1] - size, 0,
        };
        struct vuf_write_out out = {0};

        if (steps[i + 1] <= size)
            continue;
        CHECK_EQ(dax_call(&file.dax, 1, VUF_OP_COPY_FILE_RANGE, source, &in, sizeof(in), NULL, 0,
                          &out, sizeof(out)),
                 0);
        CHECK(out.size > 0);
        size += out.size;
        CHECK_EQ(host_size(file.fd), size);
        expect_all(&file);
    }
    CHECK(size > R);
    finish(&file);
}

/* --- shorter --- */

static void cut(struct file *file, uint64_t size, bool by_open)
{
    if (by_open) {
        struct vuf_open_in in = {.flags = O_RDWR | O_TRUNC};
        struct vuf_open_out out = {0};

        CHECK_EQ(size, 0);
        CHECK_EQ(dax_call(&file->dax, 1, VUF_OP_OPEN, file->node, &in, sizeof(in), NULL, 0, &out,
                          sizeof(out)),
                 0);
        CHECK_EQ(dax_release(&file->dax, file->node, out.fh), 0);
    } else {
        CHECK_EQ(dax_set_size(&file->dax, file->node, size), 0);
    }
    CHECK_EQ(host_size(file->fd), size);
}

/* Down to each step, and up again: zeros where the old data was. */
static void cut_and_grow(struct daemon *daemon)
{
    struct file file;

    start(&file, daemon, 4 * R + 10000);
    for (unsigned i = STEPS - 1; i-- > 0;) {
        cut(&file, steps[i], steps[i] == 0);
        expect_all(&file);
        CHECK_EQ(dax_set_size(&file.dax, file.node, steps[i + 1]), 0);
        expect_all(&file);
        uint64_t end = steps[i + 1] < RANGES * R ? steps[i + 1] : RANGES * R;
        if (end > steps[i])
            dax_expect_zeros(&file.dax, steps[i], end - steps[i]);
        cut(&file, steps[i], false);
        expect_all(&file);
    }
    finish(&file);
}

/* To nothing and to a random size, with stores and writes in between. */
static void cut_to_nothing(struct daemon *daemon)
{
    struct file file;

    start(&file, daemon, 2 * R + 100);
    for (unsigned i = 0; i < 60; i++) {
        uint64_t size = 1 + i * 7919 * 977 % (RANGES * R);

        cut(&file, 0, i % 2);
        expect_all(&file);
        CHECK_EQ(dax_write(&file.dax, file.node, file.fh, size - 1, "y", 1), 0);
        expect_all(&file);
        dax_store(&file.dax, size / 2, size - size / 2 < 9000 ? 1 : 9000, i, 0);
        dax_getattr(&file.dax, file.node);
        expect_all(&file);
    }
    finish(&file);
}

/* The last page's bytes behind a new end do not come back when the file grows, by whatever. */
static void no_old_bytes(struct daemon *daemon)
{
    struct file file;

    start(&file, daemon, 2 * 4096);
    for (unsigned way = 0; way < 4; way++) {
        CHECK_EQ(dax_set_size(&file.dax, file.node, 0), 0);
        CHECK_EQ(dax_set_size(&file.dax, file.node, 2 * 4096), 0);
        dax_store(&file.dax, 0, 2 * 4096, 9, 0);
        CHECK_EQ(dax_set_size(&file.dax, file.node, 4096 + 10), 0);
        dax_store(&file.dax, 4096 + 10, 500, 8, 0); /* a careless guest */
        if (way == 0)
            CHECK_EQ(dax_set_size(&file.dax, file.node, 3 * 4096), 0);
        else if (way == 1)
            CHECK_EQ(dax_write(&file.dax, file.node, file.fh, 3 * 4096 - 1, "z", 1), 0);
        else if (way == 2)
            CHECK_EQ(dax_allocate(&file.dax, file.node, file.fh, 0, 3 * 4096), 0);
        else
            CHECK(ftruncate(file.fd, 3 * 4096) == 0);
        dax_getattr(&file.dax, file.node);
        expect_all(&file);
        dax_expect_pattern(&file.dax, 0, 4096 + 10, 9, 0);
        /* A shared page keeps what was stored behind the end, as on the host itself; what the
         * daemon shows of its own must be what the file has. */
        if (dax_is_exact(&file.dax))
            dax_expect_zeros(&file.dax, 4096 + 10 + 500, 4096 - 510);
        dax_expect_zeros(&file.dax, 8192, 4095);
    }
    finish(&file);
}

/* FALLOCATE with holes, where the host's file system can. */
static void punched(struct daemon *daemon)
{
    struct vuf_fallocate_in in = {.offset = 5000,
                                  .length = 4 * 4096,
                                  .mode = 3 /* FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE */};
    struct file file;

    start(&file, daemon, 10 * 4096 + 100);
    in.fh = file.fh;
    int error =
        dax_call(&file.dax, 1, VUF_OP_FALLOCATE, file.node, &in, sizeof(in), NULL, 0, NULL, 0);
    if (error != -EOPNOTSUPP) {
        CHECK_EQ(error, 0);
        expect_all(&file);
        dax_expect_zeros(&file.dax, 5000, 4 * 4096);
        in.offset = 10 * 4096 - 50; /* into the last page */
        in.length = 100;
        CHECK_EQ(
            dax_call(&file.dax, 1, VUF_OP_FALLOCATE, file.node, &in, sizeof(in), NULL, 0, NULL, 0),
            0);
        expect_all(&file);
        dax_expect_zeros(&file.dax, 10 * 4096 - 50, 100);
    }
    finish(&file);
}

/* The host cuts the file itself: what is left is right after GETATTR, and growing again works. */
static void cut_by_the_host(struct daemon *daemon)
{
    struct file file;

    start(&file, daemon, 4 * R);
    for (unsigned i = STEPS - 1; i-- > 0;) {
        CHECK(ftruncate(file.fd, (off_t)steps[i]) == 0);
        CHECK_EQ(dax_getattr(&file.dax, file.node).size, steps[i]);
        for (uint64_t at = 0; at < RANGES * R; at += R)
            dax_expect_file(&file.dax, at, file.fd, at);
        if (i % 3 == 0) {
            host_write(file.fd, steps[i], R / 2, i);
            CHECK_EQ(dax_getattr(&file.dax, file.node).size, steps[i] + R / 2);
            for (uint64_t at = 0; at < RANGES * R; at += R)
                dax_expect_file(&file.dax, at, file.fd, at);
        }
    }
    CHECK_EQ(dax_set_size(&file.dax, file.node, 0), 0);
    expect_all(&file);
    finish(&file);
}

static const struct dax_options host_cuts = {
    .window = {.style = WINDOW_EXACT, .eof_is_lenient = true}};

/* An appended file, its range mapped only now and then. */
static void append(struct daemon *daemon)
{
    static char bytes[3000];
    struct file file;
    uint64_t size = 0;

    start(&file, daemon, 0);
    for (unsigned i = 0; i < 1000; i++) {
        pattern(4, size, bytes, sizeof(bytes));
        CHECK_EQ(dax_write(&file.dax, file.node, file.fh, size, bytes, sizeof(bytes)), 0);
        size += sizeof(bytes);
        if (i % 50 == 7)
            CHECK_EQ(dax_unmap(&file.dax, size / R * R, R), 0);
        if (i % 50 == 9)
            CHECK_EQ(dax_map(&file.dax, file.node, size / R * R, size / R * R, DAX_READ), 0);
        if (i % 50 != 7 && i % 50 != 8 && (size - 3000) / R == size / R)
            dax_expect_pattern(&file.dax, size - 3000, 3000, 4, size - 3000);
    }
    finish(&file);
}

#define BOTH(a_name, function)                                                                 \
    {.name = a_name "-exact", .run = function, .words = DAX_WINDOW_WORD, .data = &dax_exact},  \
    {                                                                                          \
        .name = a_name "-loose", .run = function, .words = DAX_WINDOW_WORD, .data = &dax_loose \
    }

#define STRICT(a_name, function)                                                                 \
    {                                                                                            \
        .name = a_name "-strict", .run = function, .words = DAX_WINDOW_WORD, .data = &dax_strict \
    }

static const struct test_case cases[] = {
    BOTH("write", by_write),
    STRICT("write", by_write),
    BOTH("write-behind-a-hole", by_write_behind_a_hole),
    BOTH("write-and-store", write_and_store),
    STRICT("write-and-store", write_and_store),
    BOTH("setattr", by_setattr),
    STRICT("setattr", by_setattr),
    BOTH("fallocate", by_fallocate),
    BOTH("host", by_the_host),
    STRICT("host", by_the_host),
    BOTH("host-then-lookup", by_the_host_then_lookup),
    BOTH("copy", by_copy),
    BOTH("cut-and-grow", cut_and_grow),
    STRICT("cut-and-grow", cut_and_grow),
    BOTH("cut-to-nothing", cut_to_nothing),
    BOTH("no-old-bytes", no_old_bytes),
    BOTH("punched", punched),
    {.name = "cut-by-the-host-exact",
     .run = cut_by_the_host,
     .words = DAX_WINDOW_WORD,
     .data = &host_cuts},
    {.name = "cut-by-the-host-loose",
     .run = cut_by_the_host,
     .words = DAX_WINDOW_WORD,
     .data = &dax_loose},
    BOTH("append", append),
    STRICT("append", append),
};

int main(int argc, char **argv)
{
    return case_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
