// SPDX-License-Identifier: BSD-3-Clause
/*
 * Files in the DAX window, with a front-end of the test's own behind the mapper: a real mapping in
 * this process, which takes what QEMU 11.1 takes (exact) or what others take (loose), and notes
 * every call that breaks the rules. What the guest would see in the window is compared with the
 * file.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "dax_mapper.h"
#include "fuse_guest.h"
#include "test.h"

#define WINDOW (64 * DAX_RANGE_SIZE)
#define MIB2   DAX_RANGE_SIZE
#define PAGE   4096u
#define PAGES  (WINDOW / PAGE)
#define PIECES 256

struct front {
    bool exact;
    char *window;
    struct piece {
        uint64_t offset, length;
        bool writable;
    } pieces[PIECES];
    unsigned piece_count;
    unsigned maps, unmaps;
    unsigned refuse_from; /* this map call and later ones are refused; 0: none */
    unsigned violations;
    bool frozen; /* nothing that is mapped may be taken away: the guest is looking */
};

static int violation(struct front *front, const char *what)
{
    fprintf(stderr, "     the front-end was asked to %s\n", what);
    front->violations++;
    return -EAGAIN;
}

static bool overlaps(const struct front *front, uint64_t offset, uint64_t length)
{
    for (unsigned i = 0; i < front->piece_count; i++) {
        const struct piece *piece = &front->pieces[i];
        if (piece->offset < offset + length && offset < piece->offset + piece->length)
            return true;
    }
    return false;
}

static int front_map(void *owner, const struct dax_mapping *mapping)
{
    struct front *front = owner;
    struct stat st;
    if (front->refuse_from && ++front->maps >= front->refuse_from)
        return -EAGAIN;
    if (fstat(mapping->fd, &st) < 0 ||
        (mapping->fd_offset | mapping->window_offset | mapping->length) % PAGE ||
        mapping->length == 0 || mapping->window_offset + mapping->length > WINDOW)
        return violation(front, "map nonsense");
    if (front->exact && st.st_size == 0)
        return violation(front, "map an empty file");
    if (front->exact && mapping->fd_offset + mapping->length > (uint64_t)st.st_size)
        return violation(front, "map past the end");
    if (front->exact && overlaps(front, mapping->window_offset, mapping->length))
        return violation(front, "map over a mapping");
    for (unsigned i = 0; i < front->piece_count; i++) {
        if (front->pieces[i].offset == mapping->window_offset)
            front->pieces[i--] = front->pieces[--front->piece_count];
    }
    if (front->piece_count == PIECES)
        return -EAGAIN;
    if (mmap(front->window + mapping->window_offset, mapping->length,
             PROT_READ | (mapping->writable ? PROT_WRITE : 0), MAP_SHARED | MAP_FIXED, mapping->fd,
             (off_t)mapping->fd_offset) == MAP_FAILED)
        return violation(front, "map what it cannot");
    front->pieces[front->piece_count++] =
        (struct piece){mapping->window_offset, mapping->length, mapping->writable};
    return 0;
}

static int front_unmap(void *owner, uint64_t offset, uint64_t length)
{
    struct front *front = owner;
    if (front->frozen)
        violation(front, "take away what the guest looks at");
    for (unsigned i = 0; i < front->piece_count; i++) {
        if (front->pieces[i].offset != offset || front->pieces[i].length != length)
            continue;
        mmap(front->window + offset, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
             0);
        front->pieces[i] = front->pieces[--front->piece_count];
        front->unmaps++;
        return 0;
    }
    return violation(front, "unmap what is not mapped");
}

static struct front front;
static struct dax_mapper mapper;

static void begin(struct guest *guest, bool exact)
{
    front = (struct front){.exact = exact};
    front.window = mmap(NULL, WINDOW, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mapper = (struct dax_mapper){.owner = &front,
                                 .window_size = WINDOW,
                                 .exact = exact,
                                 .map = front_map,
                                 .unmap = front_unmap};
    guest_prepare(guest);
    guest->settings.dax_window = WINDOW;
    guest->settings.dax = DAX_AUTO;
    guest->settings.dax_min_size = 65536;
    guest->init_flags |= FUSE_MAP_ALIGNMENT | FUSE_HAS_INODE_DAX;
    guest->init_flags &= ~(uint64_t)FUSE_WRITEBACK_CACHE;
    guest->mapper = &mapper;
    guest_start(guest);
}

/* DESTROY takes everything back, and nothing of it broke a rule. Returns 0 if all is well. */
static int end(struct guest *guest)
{
    front.frozen = false;
    int leaked = guest_end(guest);
    int bad = leaked + (int)front.violations + (int)front.piece_count;
    munmap(front.window, WINDOW);
    return bad;
}

static int setup(struct guest *guest, uint64_t node, uint64_t file_offset, uint64_t window_offset,
                 bool write)
{
    struct fuse_setupmapping_in in = {
        .fh = UINT64_MAX,
        .foffset = file_offset,
        .moffset = window_offset,
        .len = MIB2,
        .flags = FUSE_SETUPMAPPING_FLAG_READ | (write ? FUSE_SETUPMAPPING_FLAG_WRITE : 0),
    };
    return guest_do(guest, FUSE_SETUPMAPPING, node, in);
}

static int removal(struct guest *guest, uint64_t node, uint64_t window_offset)
{
    struct {
        struct fuse_removemapping_in in;
        uint32_t padding;
        struct fuse_removemapping_one one;
    } args;
    struct fuse_removemapping_in in = {.count = 1};
    struct fuse_removemapping_one one = {.moffset = window_offset, .len = MIB2};
    (void)args;
    return guest_call(guest, FUSE_REMOVEMAPPING, node, &in, sizeof(in), &one, sizeof(one), 64);
}

static int getattr(struct guest *guest, uint64_t node)
{
    struct fuse_getattr_in in = {0};
    return guest_do(guest, FUSE_GETATTR, node, in);
}

static int set_size(struct guest *guest, uint64_t node, uint64_t size)
{
    struct fuse_setattr_in in = {.valid = FATTR_SIZE, .size = size};
    front.frozen = false;
    int error = guest_do(guest, FUSE_SETATTR, node, in);
    front.frozen = true;
    return error;
}

static uint8_t pattern(uint64_t offset, unsigned seed)
{
    return (uint8_t)((offset * 2654435761u >> 7) + seed * 37 + 1);
}

/* Makes or overwrites part of a file on the host. */
static void host_write(struct guest *guest, const char *name, uint64_t offset, size_t length,
                       unsigned seed)
{
    uint8_t *bytes = malloc(length);
    for (size_t i = 0; i < length; i++)
        bytes[i] = pattern(offset + i, seed);
    int fd = open(guest_path(guest, name), O_CREAT | O_WRONLY, 0644);
    if (fd < 0 || pwrite(fd, bytes, length, (off_t)offset) != (ssize_t)length)
        abort();
    close(fd);
    free(bytes);
}

/* The window shows what the host reads, for as much as the file has. Returns the first difference.
 */
static int64_t compare(struct guest *guest, const char *name, uint64_t file_offset,
                       uint64_t window_offset)
{
    static uint8_t bytes[2 << 20];
    int fd = open(guest_path(guest, name), O_RDONLY);
    ssize_t length = pread(fd, bytes, sizeof(bytes), (off_t)file_offset);
    close(fd);
    for (ssize_t i = 0; i < length; i++) {
        if ((uint8_t)front.window[window_offset + (uint64_t)i] != bytes[i])
            return i;
    }
    return -1;
}

static void init_answers(void)
{
    struct guest guest;
    begin(&guest, true);
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
    CHECK_EQ(end(&guest), 0);
}

static void map_and_look(bool exact)
{
    struct guest guest;
    begin(&guest, exact);
    host_write(&guest, "f", 0, 5 * PAGE + 123, 1);
    uint64_t node = guest_lookup(&guest, "f"), fh;
    CHECK_EQ(setup(&guest, node, 0, 3 * MIB2, false), 0);
    front.frozen = true;
    CHECK_EQ(compare(&guest, "f", 0, 3 * MIB2), -1);
    /* The guest stores, in whole pages and in the last one. */
    CHECK_EQ(setup(&guest, node, 0, 3 * MIB2, true), 0);
    front.window[3 * MIB2 + 10] = 'A';
    front.window[3 * MIB2 + 5 * PAGE + 122] = 'Z';
    CHECK_EQ(guest_open(&guest, node, O_RDWR, &fh), 0);
    struct fuse_fsync_in fsync_in = {.fh = fh};
    CHECK_EQ(guest_do(&guest, FUSE_FSYNC, node, fsync_in), 0);
    CHECK_EQ(compare(&guest, "f", 0, 3 * MIB2), -1);
    CHECK_EQ(guest_read(&guest, node, fh, 5 * PAGE + 122, 10), 1);
    CHECK_EQ(guest.body[0], 'Z');
    CHECK_EQ(guest_host_stat(&guest, "f").st_size, 5 * PAGE + 123);
    front.frozen = false;
    CHECK_EQ(removal(&guest, node, 3 * MIB2), 0);
    CHECK_EQ(front.piece_count, 0);
    CHECK_EQ(end(&guest), 0);
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
    begin(&guest, true);
    host_write(&guest, "f", 0, 1000, 1);
    uint64_t node = guest_lookup(&guest, "f");
    CHECK_EQ(setup(&guest, node, 0, 0, true), 0);
    front.window[500] = '!';
    host_write(&guest, "f", 700, 100, 9);
    int64_t difference = 0;
    for (int i = 0; i < 100 && difference >= 0; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
        difference = compare(&guest, "f", 0, 0);
    }
    CHECK_EQ(difference, -1);
    CHECK_EQ(front.window[500], '!');
    CHECK_EQ((uint8_t)front.window[750], pattern(750, 9));
    CHECK_EQ(end(&guest), 0);
}

static void grow(bool exact)
{
    static const uint32_t steps[] = {1,        100,      PAGE - 101, PAGE,    10,
                                     3 * PAGE, PAGE + 7, 100000,     1 << 20, 1 << 20};
    struct guest guest;
    begin(&guest, exact);
    host_write(&guest, "f", 0, 4 * PAGE, 1);
    uint64_t node = guest_lookup(&guest, "f"), fh;
    CHECK_EQ(setup(&guest, node, 0, 0, true), 0);
    CHECK_EQ(setup(&guest, node, MIB2, MIB2, true), 0); /* beyond the end so far */
    CHECK_EQ(guest_open(&guest, node, O_RDWR, &fh), 0);
    front.frozen = true;
    uint64_t size = 4 * PAGE;
    for (unsigned i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        if (i % 3 == 2) {
            host_write(&guest, "f", size, steps[i], i);
            CHECK_EQ(getattr(&guest, node), 0);
        } else {
            static uint8_t data[1 << 20];
            for (uint32_t n = 0; n < steps[i]; n++)
                data[n] = pattern(size + n, i);
            uint32_t flags = i % 2 ? O_APPEND : 0;
            CHECK_EQ(guest_write(&guest, node, fh, size, data, steps[i], flags, 0), steps[i]);
        }
        size += steps[i];
        CHECK_EQ(compare(&guest, "f", 0, 0), -1);
        CHECK_EQ(compare(&guest, "f", MIB2, MIB2), -1);
        CHECK_EQ(guest_host_stat(&guest, "f").st_size, size);
    }
    CHECK_EQ(end(&guest), 0);
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
    begin(&guest, true);
    host_write(&guest, "f", 0, 2 * MIB2 + 100, 1);
    uint64_t node = guest_lookup(&guest, "f");
    for (unsigned i = 0; i < 3; i++)
        CHECK_EQ(setup(&guest, node, i * MIB2, i * MIB2, true), 0);
    CHECK_EQ(front.piece_count, 3);
    CHECK_EQ(set_size(&guest, node, MIB2 + 5000), 0);
    /* One whole page and a tail in the second range, nothing in the third. */
    CHECK_EQ(front.piece_count, 3);
    CHECK(!overlaps(&front, 2 * MIB2, MIB2));
    CHECK_EQ(compare(&guest, "f", 0, 0), -1);
    CHECK_EQ(compare(&guest, "f", MIB2, MIB2), -1);
    CHECK_EQ(set_size(&guest, node, 0), 0);
    CHECK_EQ(front.piece_count, 0);
    CHECK_EQ(set_size(&guest, node, 3 * MIB2), 0);
    CHECK_EQ(front.piece_count, 3);
    for (unsigned i = 0; i < 3; i++)
        CHECK_EQ(compare(&guest, "f", i * MIB2, i * MIB2), -1);
    uint64_t fh;
    front.frozen = false;
    CHECK_EQ(guest_open(&guest, node, O_RDWR | O_TRUNC, &fh), 0);
    CHECK_EQ(front.piece_count, 0);
    CHECK_EQ(guest_host_stat(&guest, "f").st_size, 0);
    CHECK_EQ(end(&guest), 0);
}

static void bad_arguments(void)
{
    struct guest guest;
    begin(&guest, true);
    host_write(&guest, "f", 0, 100000, 1);
    uint64_t node = guest_lookup(&guest, "f");
    CHECK_EQ(setup(&guest, node, PAGE, 0, false), -EINVAL);
    CHECK_EQ(setup(&guest, node, 0, PAGE, false), -EINVAL);
    CHECK_EQ(setup(&guest, node, 0, WINDOW, false), -EINVAL);
    CHECK_EQ(setup(&guest, node, 0, UINT64_MAX - MIB2 + 1, false), -EINVAL);
    CHECK_EQ(setup(&guest, node, UINT64_MAX - MIB2 + 1, 0, false), -EINVAL);
    CHECK_EQ(setup(&guest, node + 1, 0, 0, false), -ESTALE);
    CHECK_EQ(setup(&guest, FUSE_ROOT_ID, 0, 0, false), -EISDIR);
    CHECK_EQ(removal(&guest, node, 5 * MIB2), 0);
    CHECK_EQ(removal(&guest, node, PAGE), -EINVAL);
    CHECK_EQ(front.piece_count, 0);
    CHECK_EQ(end(&guest), 0);
}

static void takes_over_a_place(void)
{
    struct guest guest;
    begin(&guest, true);
    host_write(&guest, "a", 0, 100000, 1);
    host_write(&guest, "b", 0, 50000, 2);
    uint64_t a = guest_lookup(&guest, "a"), b = guest_lookup(&guest, "b");
    CHECK_EQ(setup(&guest, a, 0, 0, true), 0);
    front.window[99999] = 'x'; /* in the tail: must not be lost */
    CHECK_EQ(setup(&guest, b, 0, 0, false), 0);
    CHECK_EQ(compare(&guest, "b", 0, 0), -1);
    CHECK_EQ(setup(&guest, a, 0, MIB2, false), 0);
    CHECK_EQ(front.window[MIB2 + 99999], 'x');
    CHECK_EQ(compare(&guest, "a", 0, MIB2), -1);
    CHECK_EQ(setup(&guest, a, MIB2, MIB2, false), 0);
    CHECK_EQ(end(&guest), 0);
}

static void refusals(void)
{
    for (unsigned n = 1; n < 8; n++) {
        struct guest guest;
        begin(&guest, true);
        host_write(&guest, "f", 0, 10 * PAGE + 5, 1);
        uint64_t node = guest_lookup(&guest, "f"), fh;
        front.refuse_from = n;
        int error = setup(&guest, node, 0, 0, true);
        CHECK_EQ(error, n <= 2 ? -EAGAIN : 0);
        CHECK_EQ(front.piece_count, n <= 2 ? 0 : 2);
        front.refuse_from = 0;
        CHECK_EQ(setup(&guest, node, 0, 0, true), 0);
        CHECK_EQ(compare(&guest, "f", 0, 0), -1);
        /* What cannot be mapped later is refused before it is done. */
        CHECK_EQ(setup(&guest, node, MIB2, MIB2, true), 0);
        CHECK_EQ(guest_open(&guest, node, O_RDWR, &fh), 0);
        front.refuse_from = 1;
        front.maps = 0;
        CHECK_EQ(guest_write(&guest, node, fh, MIB2 + 10, "abc", 3, 0, 0), -EAGAIN);
        CHECK_EQ(guest_host_stat(&guest, "f").st_size, 10 * PAGE + 5);
        front.refuse_from = 0;
        CHECK_EQ(guest_write(&guest, node, fh, MIB2 + 10, "abc", 3, 0, 0), 3);
        CHECK(memcmp(front.window + MIB2 + 10, "abc", 3) == 0);
        CHECK_EQ(end(&guest), 0);
    }
}

static unsigned flag_of(struct guest *guest, const char *name)
{
    if (guest_lookup(guest, name) == 0)
        abort();
    return ((struct fuse_entry_out *)guest->body)->attr.flags & FUSE_ATTR_DAX;
}

static void flags(void)
{
    struct guest guest;
    begin(&guest, true);
    host_write(&guest, "small", 0, PAGE, 1);
    host_write(&guest, "large", 0, 64 * PAGE, 1);
    host_write(&guest, "cut", 0, 64 * PAGE + 1, 1);
    host_write(&guest, "program", 0, 64 * PAGE, 1);
    chmod(guest_path(&guest, "program"), 0755);
    CHECK(!flag_of(&guest, "small"));
    CHECK(flag_of(&guest, "large"));
    CHECK(!flag_of(&guest, "cut"));
    CHECK(!flag_of(&guest, "program"));
    guest.settings.readonly = true;
    CHECK(flag_of(&guest, "cut"));
    CHECK(flag_of(&guest, "program"));
    guest.settings.readonly = false;
    guest.settings.dax = DAX_ALWAYS;
    CHECK(flag_of(&guest, "small"));
    guest.settings.dax = DAX_NEVER;
    CHECK(!flag_of(&guest, "large"));
    guest.settings.dax = DAX_AUTO;
    uint64_t node = guest_lookup(&guest, "large"), fh;
    CHECK_EQ(guest_open(&guest, node, O_RDWR, &fh), 0);
    uint8_t page[PAGE] = {0};
    for (unsigned i = 0; i < 4; i++)
        CHECK_EQ(guest_write(&guest, node, fh, (64 + i) * PAGE, page, PAGE, O_APPEND, 0), PAGE);
    CHECK(!flag_of(&guest, "large"));
    CHECK_EQ(end(&guest), 0);
    begin(&guest, false);
    host_write(&guest, "cut", 0, 64 * PAGE + 1, 1);
    CHECK(flag_of(&guest, "cut"));
    CHECK_EQ(end(&guest), 0);
}

static void readonly(void)
{
    struct guest guest;
    begin(&guest, true);
    guest.settings.readonly = true;
    host_write(&guest, "f", 0, 9999, 1);
    uint64_t node = guest_lookup(&guest, "f");
    CHECK_EQ(setup(&guest, node, 0, 0, true), -EROFS);
    CHECK_EQ(setup(&guest, node, 0, 0, false), 0);
    for (unsigned i = 0; i < front.piece_count; i++)
        CHECK(!front.pieces[i].writable);
    CHECK_EQ(compare(&guest, "f", 0, 0), -1);
    CHECK_EQ(end(&guest), 0);
}

/* A buffer in the window: one file read straight into a page of another, and into itself. */
static void into_the_window(void)
{
    struct guest guest;
    begin(&guest, true);
    host_write(&guest, "a", 0, 3 * PAGE + 50, 1);
    host_write(&guest, "b", 0, 3 * PAGE + 50, 2);
    uint64_t a = guest_lookup(&guest, "a"), b = guest_lookup(&guest, "b"), fh;
    CHECK_EQ(setup(&guest, b, 0, MIB2, true), 0);
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
        struct fuse_chain chain = {&readable, 1, writable, 2, true, false};
        size_t used = fuse_server_run(guest.thread, &chain);
        if (i == 2) {
            CHECK_EQ(used, sizeof(reply));
            CHECK_EQ(reply.error, -EFAULT);
            break;
        }
        CHECK_EQ(reply.error, 0);
        CHECK_EQ(used, sizeof(reply) + 3 * PAGE - 200);
        for (unsigned n = 0; n < 3 * PAGE - 200; n++)
            CHECK_EQ((uint8_t)front.window[MIB2 + 200 + n], pattern(100 + n, 1));
        CHECK_EQ(getattr(&guest, b), 0);
    }
    CHECK_EQ(end(&guest), 0);
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
    RUN(refusals);
    RUN(flags);
    RUN(readonly);
    RUN(into_the_window);
    return test_result();
}
