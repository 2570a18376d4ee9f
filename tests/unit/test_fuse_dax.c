// SPDX-License-Identifier: BSD-3-Clause
/* Files in the DAX window: what the guest would see there is compared with the file. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "dax_front.h"
#include "test.h"

static void init_answers(void)
{
    struct guest guest;
    window_begin(&guest, true);
    struct fuse_init_in in = {.major = 7,
                              .minor = 45,
                              .flags = FUSE_INIT_EXT | FUSE_MAP_ALIGNMENT,
                              .flags2 = FUSE_HAS_INODE_DAX >> 32};
    CHECK_EQ(guest_do(&guest, FUSE_INIT, 0, in), 0);
    struct fuse_init_out out;
    memcpy(&out, guest.body, sizeof(out));
    CHECK(out.flags & FUSE_MAP_ALIGNMENT);
    CHECK(out.flags2 & (FUSE_HAS_INODE_DAX >> 32));
    CHECK_EQ(out.map_alignment, 21);
    CHECK_EQ(window_end(&guest), 0);
}

static void map_and_look(bool exact)
{
    struct guest guest;
    window_begin(&guest, exact);
    window_host_write(&guest, "f", 0, 5 * PAGE + 123, 1);
    uint64_t node = guest_lookup(&guest, "f"), fh;
    CHECK_EQ(window_setup(&guest, node, 0, 3 * MIB2, false), 0);
    front.frozen = true;
    CHECK_EQ(window_compare(&guest, "f", 0, 3 * MIB2), -1);
    /* The guest stores, in whole pages and in the last one. */
    CHECK_EQ(window_setup(&guest, node, 0, 3 * MIB2, true), 0);
    front.window[3 * MIB2 + 10] = 'A';
    front.window[3 * MIB2 + 5 * PAGE + 122] = 'Z';
    CHECK_EQ(guest_open(&guest, node, O_RDWR, &fh), 0);
    struct fuse_fsync_in fsync_in = {.fh = fh};
    CHECK_EQ(guest_do(&guest, FUSE_FSYNC, node, fsync_in), 0);
    CHECK_EQ(window_compare(&guest, "f", 0, 3 * MIB2), -1);
    CHECK_EQ(guest_read(&guest, node, fh, 5 * PAGE + 122, 10), 1);
    CHECK_EQ(guest.body[0], 'Z');
    CHECK_EQ(guest_host_stat(&guest, "f").st_size, 5 * PAGE + 123);
    front.frozen = false;
    CHECK_EQ(window_removal(&guest, node, 3 * MIB2), 0);
    CHECK_EQ(front.piece_count, 0);
    CHECK_EQ(window_end(&guest), 0);
}

static void maps_exactly(void)
{
    map_and_look(true);
}

static void maps_loosely(void)
{
    map_and_look(false);
}

/* By itself, within a second, both ways. */
static void keeps_in_step(void)
{
    struct guest guest;
    window_begin(&guest, true);
    window_host_write(&guest, "f", 0, 1000, 1);
    uint64_t node = guest_lookup(&guest, "f");
    CHECK_EQ(window_setup(&guest, node, 0, 0, true), 0);
    front.window[500] = '!';
    window_host_write(&guest, "f", 700, 100, 9);
    int64_t difference = 0;
    for (int i = 0; i < 100 && difference >= 0; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
        difference = window_compare(&guest, "f", 0, 0);
    }
    CHECK_EQ(difference, -1);
    CHECK_EQ(front.window[500], '!');
    CHECK_EQ(front.window[750], window_pattern(750, 9));
    CHECK_EQ(window_end(&guest), 0);
}

static void grow(bool exact)
{
    static const uint32_t steps[] = {1,        100,      PAGE - 101, PAGE,    10,
                                     3 * PAGE, PAGE + 7, 100000,     1 << 20, 1 << 20};
    struct guest guest;
    window_begin(&guest, exact);
    window_host_write(&guest, "f", 0, 4 * PAGE, 1);
    uint64_t node = guest_lookup(&guest, "f"), fh;
    CHECK_EQ(window_setup(&guest, node, 0, 0, true), 0);
    CHECK_EQ(window_setup(&guest, node, MIB2, MIB2, true), 0); /* beyond the end so far */
    CHECK_EQ(guest_open(&guest, node, O_RDWR, &fh), 0);
    front.frozen = true;
    uint64_t size = 4 * PAGE;
    for (unsigned i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        if (i % 3 == 2) {
            window_host_write(&guest, "f", size, steps[i], i);
            CHECK_EQ(window_getattr(&guest, node), 0);
        } else {
            static uint8_t data[1 << 20];
            for (uint32_t n = 0; n < steps[i]; n++)
                data[n] = window_pattern(size + n, i);
            uint32_t flags = i % 2 ? O_APPEND : 0;
            CHECK_EQ(guest_write(&guest, node, fh, size, data, steps[i], flags, 0), steps[i]);
        }
        size += steps[i];
        CHECK_EQ(window_compare(&guest, "f", 0, 0), -1);
        CHECK_EQ(window_compare(&guest, "f", MIB2, MIB2), -1);
        CHECK_EQ(guest_host_stat(&guest, "f").st_size, size);
    }
    CHECK_EQ(window_end(&guest), 0);
}

static void grows_exactly(void)
{
    grow(true);
}

static void grows_loosely(void)
{
    grow(false);
}

static void cuts(void)
{
    struct guest guest;
    window_begin(&guest, true);
    window_host_write(&guest, "f", 0, 2 * MIB2 + 100, 1);
    uint64_t node = guest_lookup(&guest, "f");
    for (unsigned i = 0; i < 3; i++)
        CHECK_EQ(window_setup(&guest, node, i * MIB2, i * MIB2, true), 0);
    CHECK_EQ(front.piece_count, 3);
    CHECK_EQ(window_set_size(&guest, node, MIB2 + 5000), 0);
    /* One whole page and a tail in the second range, nothing in the third. */
    CHECK_EQ(front.piece_count, 3);
    CHECK(!window_overlaps(2 * MIB2, MIB2));
    CHECK_EQ(window_compare(&guest, "f", 0, 0), -1);
    CHECK_EQ(window_compare(&guest, "f", MIB2, MIB2), -1);
    CHECK_EQ(window_set_size(&guest, node, 0), 0);
    CHECK_EQ(front.piece_count, 0);
    CHECK_EQ(window_set_size(&guest, node, 3 * MIB2), 0);
    CHECK_EQ(front.piece_count, 3);
    for (unsigned i = 0; i < 3; i++)
        CHECK_EQ(window_compare(&guest, "f", i * MIB2, i * MIB2), -1);
    uint64_t fh;
    front.frozen = false;
    CHECK_EQ(guest_open(&guest, node, O_RDWR | O_TRUNC, &fh), 0);
    CHECK_EQ(front.piece_count, 0);
    CHECK_EQ(guest_host_stat(&guest, "f").st_size, 0);
    CHECK_EQ(window_end(&guest), 0);
}

static void bad_arguments(void)
{
    struct guest guest;
    window_begin(&guest, true);
    window_host_write(&guest, "f", 0, 100000, 1);
    uint64_t node = guest_lookup(&guest, "f");
    CHECK_EQ(window_setup(&guest, node, PAGE, 0, false), -EINVAL);
    CHECK_EQ(window_setup(&guest, node, 0, PAGE, false), -EINVAL);
    CHECK_EQ(window_setup(&guest, node, 0, WINDOW, false), -EINVAL);
    CHECK_EQ(window_setup(&guest, node, 0, UINT64_MAX - MIB2 + 1, false), -EINVAL);
    CHECK_EQ(window_setup(&guest, node, UINT64_MAX - MIB2 + 1, 0, false), -EINVAL);
    CHECK_EQ(window_setup(&guest, node + 1, 0, 0, false), -ESTALE);
    CHECK_EQ(window_setup(&guest, FUSE_ROOT_ID, 0, 0, false), -EISDIR);
    CHECK_EQ(window_removal(&guest, node, 5 * MIB2), 0);
    CHECK_EQ(window_removal(&guest, node, PAGE), -EINVAL);
    CHECK_EQ(front.piece_count, 0);
    CHECK_EQ(window_end(&guest), 0);
}

static void takes_over_a_place(void)
{
    struct guest guest;
    window_begin(&guest, true);
    window_host_write(&guest, "a", 0, 100000, 1);
    window_host_write(&guest, "b", 0, 50000, 2);
    uint64_t a = guest_lookup(&guest, "a"), b = guest_lookup(&guest, "b");
    CHECK_EQ(window_setup(&guest, a, 0, 0, true), 0);
    front.window[99999] = 'x'; /* in the tail: must not be lost */
    CHECK_EQ(window_setup(&guest, b, 0, 0, false), 0);
    CHECK_EQ(window_compare(&guest, "b", 0, 0), -1);
    CHECK_EQ(window_setup(&guest, a, 0, MIB2, false), 0);
    CHECK_EQ(front.window[MIB2 + 99999], 'x');
    CHECK_EQ(window_compare(&guest, "a", 0, MIB2), -1);
    CHECK_EQ(window_setup(&guest, a, MIB2, MIB2, false), 0);
    CHECK_EQ(window_end(&guest), 0);
}

/* A guest that starts anew has not taken its mappings back; the front-end may have, or not. */
static void starts_anew(void)
{
    for (unsigned forgets = 0; forgets < 2; forgets++) {
        struct guest guest;
        window_begin(&guest, true);
        window_host_write(&guest, "f", 0, 2 * PAGE + 5, 1);
        window_host_write(&guest, "g", 0, 3 * PAGE + 5, 2);
        uint64_t node = guest_lookup(&guest, "f");
        CHECK_EQ(window_setup(&guest, node, 0, 0, true), 0);
        front.window[2 * PAGE + 4] = 'z';
        struct fuse_init_in in = {.major = 7, .minor = 38, .flags = FUSE_MAP_ALIGNMENT};
        CHECK_EQ(guest_do(&guest, FUSE_INIT, 0, in), 0);
        CHECK_EQ(front.unmaps, 0);
        int fd = open(guest_path(&guest, "f"), O_RDONLY);
        char last = 0;
        CHECK_EQ(pread(fd, &last, 1, 2 * PAGE + 4), 1);
        close(fd);
        CHECK_EQ(last, 'z');
        if (forgets)
            front.piece_count = 0;
        front.overlap_expected = !forgets;
        node = guest_lookup(&guest, "g");
        CHECK_EQ(window_setup(&guest, node, 0, 0, true), 0);
        CHECK_EQ(front.piece_count, 2);
        CHECK_EQ(window_compare(&guest, "g", 0, 0), -1);
        /* What is in doubt no more is never taken back by mistake. */
        front.frozen = true;
        front.overlap_expected = false;
        CHECK_EQ(window_setup(&guest, node, MIB2, MIB2, true), 0);
        front.refuse_from = 1;
        uint64_t fh;
        CHECK_EQ(guest_open(&guest, node, O_RDWR, &fh), 0);
        CHECK_EQ(guest_write(&guest, node, fh, MIB2, "x", 1, 0, 0), -EAGAIN);
        front.refuse_from = 0;
        CHECK_EQ(window_compare(&guest, "g", 0, 0), -1);
        CHECK_EQ(window_end(&guest), 0);
    }
}

static void refusals(void)
{
    for (unsigned n = 1; n < 8; n++) {
        struct guest guest;
        window_begin(&guest, true);
        window_host_write(&guest, "f", 0, 10 * PAGE + 5, 1);
        uint64_t node = guest_lookup(&guest, "f"), fh;
        front.refuse_from = n;
        int error = window_setup(&guest, node, 0, 0, true);
        CHECK_EQ(error, n <= 2 ? -EAGAIN : 0);
        CHECK_EQ(front.piece_count, n <= 2 ? 0 : 2);
        front.refuse_from = 0;
        CHECK_EQ(window_setup(&guest, node, 0, 0, true), 0);
        CHECK_EQ(window_compare(&guest, "f", 0, 0), -1);
        /* What cannot be mapped later is refused before it is done. */
        CHECK_EQ(window_setup(&guest, node, MIB2, MIB2, true), 0);
        CHECK_EQ(guest_open(&guest, node, O_RDWR, &fh), 0);
        front.refuse_from = 1;
        front.maps = 0;
        CHECK_EQ(guest_write(&guest, node, fh, MIB2 + 10, "abc", 3, 0, 0), -EAGAIN);
        CHECK_EQ(guest_host_stat(&guest, "f").st_size, 10 * PAGE + 5);
        front.refuse_from = 0;
        CHECK_EQ(guest_write(&guest, node, fh, MIB2 + 10, "abc", 3, 0, 0), 3);
        CHECK(memcmp(front.window + MIB2 + 10, "abc", 3) == 0);
        CHECK_EQ(window_end(&guest), 0);
    }
}

static void flags(void)
{
    struct guest guest;
    window_begin(&guest, true);
    window_host_write(&guest, "small", 0, PAGE, 1);
    window_host_write(&guest, "large", 0, 64 * PAGE, 1);
    window_host_write(&guest, "cut", 0, 64 * PAGE + 1, 1);
    window_host_write(&guest, "program", 0, 64 * PAGE, 1);
    chmod(guest_path(&guest, "program"), 0755);
    CHECK(!window_flag_of(&guest, "small"));
    CHECK(window_flag_of(&guest, "large"));
    CHECK(!window_flag_of(&guest, "cut"));
    CHECK(!window_flag_of(&guest, "program"));
    guest.settings.readonly = true;
    CHECK(!window_flag_of(&guest, "large"));
    guest.settings.readonly = false;
    guest.settings.dax = DAX_ALWAYS;
    CHECK(window_flag_of(&guest, "small"));
    guest.settings.dax = DAX_NEVER;
    CHECK(!window_flag_of(&guest, "large"));
    guest.settings.dax = DAX_AUTO;
    uint64_t node = guest_lookup(&guest, "large"), fh;
    CHECK_EQ(guest_open(&guest, node, O_RDWR, &fh), 0);
    CHECK_EQ(window_setup(&guest, node, 0, 0, false), 0);
    uint8_t page[PAGE] = {0};
    for (unsigned i = 0; i < 4; i++)
        CHECK_EQ(guest_write(&guest, node, fh, (64 + i) * PAGE, page, PAGE, O_APPEND, 0), PAGE);
    CHECK(!window_flag_of(&guest, "large"));
    CHECK_EQ(window_end(&guest), 0);
    window_begin(&guest, false);
    window_host_write(&guest, "cut", 0, 64 * PAGE + 1, 1);
    CHECK(window_flag_of(&guest, "cut"));
    CHECK_EQ(window_end(&guest), 0);
}

static void readonly(void)
{
    struct guest guest;
    window_begin(&guest, true);
    guest.settings.readonly = true;
    window_host_write(&guest, "f", 0, 9999, 1);
    uint64_t node = guest_lookup(&guest, "f");
    CHECK_EQ(window_setup(&guest, node, 0, 0, true), -EROFS);
    CHECK_EQ(window_setup(&guest, node, 0, 0, false), 0);
    for (unsigned i = 0; i < front.piece_count; i++)
        CHECK(!front.pieces[i].writable);
    CHECK_EQ(window_compare(&guest, "f", 0, 0), -1);
    CHECK_EQ(window_end(&guest), 0);
}

/* A buffer in the window: one file read straight into a page of another, and into itself. */
static void into_the_window(void)
{
    struct guest guest;
    window_begin(&guest, true);
    window_host_write(&guest, "a", 0, 3 * PAGE + 50, 1);
    window_host_write(&guest, "b", 0, 3 * PAGE + 50, 2);
    uint64_t a = guest_lookup(&guest, "a"), b = guest_lookup(&guest, "b"), fh;
    CHECK_EQ(window_setup(&guest, b, 0, MIB2, true), 0);
    CHECK_EQ(guest_open(&guest, a, O_RDWR, &fh), 0);
    struct {
        struct fuse_in_header header;
        struct fuse_read_in in;
    } request = {
        .header = {.len = sizeof(request), .opcode = FUSE_READ, .unique = 7, .nodeid = a},
        .in = {.fh = fh, .offset = 100, .size = 3 * PAGE - 100},
    };
    struct fuse_out_header reply;
    for (unsigned i = 0; i < 3; i++) {
        /* Whole pages and the tail; then where nothing is mapped. */
        char *place = fuse_server_window(guest.server) + (i == 2 ? 9 * MIB2 : MIB2 + 200);
        struct iovec readable = {&request, sizeof(request)};
        struct iovec writable[] = {{&reply, sizeof(reply)}, {place, 3 * PAGE - 200}};
        struct fuse_chain chain = {.readable = &readable,
                                   .readable_count = 1,
                                   .writable = writable,
                                   .writable_count = 2,
                                   .in_window = true};
        size_t used = fuse_server_run(guest.thread, &chain);
        if (i == 2) {
            CHECK_EQ(used, sizeof(reply));
            CHECK_EQ(reply.error, -EFAULT);
            break;
        }
        CHECK_EQ(reply.error, 0);
        CHECK_EQ(used, sizeof(reply) + 3 * PAGE - 200);
        for (unsigned n = 0; n < 3 * PAGE - 200; n++)
            CHECK_EQ(front.window[MIB2 + 200 + n], window_pattern(100 + n, 1));
        CHECK_EQ(window_getattr(&guest, b), 0);
    }
    CHECK_EQ(window_end(&guest), 0);
}

int main(void)
{
    RUN(init_answers);
    RUN(maps_exactly);
    RUN(maps_loosely);
    RUN(keeps_in_step);
    RUN(grows_exactly);
    RUN(grows_loosely);
    RUN(cuts);
    RUN(bad_arguments);
    RUN(takes_over_a_place);
    RUN(starts_anew);
    RUN(refusals);
    RUN(flags);
    RUN(readonly);
    RUN(into_the_window);
    return test_result();
}
