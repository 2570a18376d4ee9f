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
    bool overlap_expected;
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
        return front->overlap_expected ? -EAGAIN : violation(front, "map over a mapping");
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

/* A guest that starts anew has not taken its mappings back; the front-end may have, or not. */
static void starts_anew(void)
{
    for (unsigned forgets = 0; forgets < 2; forgets++) {
        struct guest guest;
        begin(&guest, true);
        host_write(&guest, "f", 0, 2 * PAGE + 5, 1);
        host_write(&guest, "g", 0, 3 * PAGE + 5, 2);
        uint64_t node = guest_lookup(&guest, "f");
        CHECK_EQ(setup(&guest, node, 0, 0, true), 0);
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
        CHECK_EQ(setup(&guest, node, 0, 0, true), 0);
        CHECK_EQ(front.piece_count, 2);
        CHECK_EQ(compare(&guest, "g", 0, 0), -1);
        /* What is in doubt no more is never taken back by mistake. */
        front.frozen = true;
        front.overlap_expected = false;
        CHECK_EQ(setup(&guest, node, MIB2, MIB2, true), 0);
        front.refuse_from = 1;
        uint64_t fh;
        CHECK_EQ(guest_open(&guest, node, O_RDWR, &fh), 0);
        CHECK_EQ(guest_write(&guest, node, fh, MIB2, "x", 1, 0, 0), -EAGAIN);
        front.refuse_from = 0;
        CHECK_EQ(compare(&guest, "g", 0, 0), -1);
        CHECK_EQ(end(&guest), 0);
    }
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

/*
 * Anything in any order, against a model: bytes as the guest must see them. The window is compared
 * after every step, the file after every step that says so.
 */
#define MODEL_MAX (3 * MIB2)

struct model {
    struct guest guest;
    uint64_t node, fh;
    uint64_t size;
    uint8_t bytes[MODEL_MAX];
    int place[3]; /* the range of the window that shows this range of the file; -1: none */
    bool stores[3];
    unsigned random;
};

static unsigned pick(struct model *model, unsigned below)
{
    model->random = model->random * 1664525u + 1013904223u;
    return below ? (model->random >> 8) % below : 0;
}

static void model_write(struct model *model, uint64_t offset, const uint8_t *data, size_t length)
{
    if (offset > model->size)
        memset(model->bytes + model->size, 0, offset - model->size);
    memcpy(model->bytes + offset, data, length);
    if (offset + length > model->size)
        model->size = offset + length;
}

/* The window shows the model. */
static bool model_seen(struct model *model)
{
    for (unsigned i = 0; i < 3; i++) {
        uint64_t start = i * MIB2;
        if (model->place[i] < 0 || model->size <= start)
            continue;
        uint64_t length = model->size - start < MIB2 ? model->size - start : MIB2;
        const char *shown = front.window + (uint64_t)model->place[i] * MIB2;
        if (memcmp(shown, model->bytes + start, length) == 0)
            continue;
        for (uint64_t n = 0; n < length; n++) {
            if ((uint8_t)shown[n] != model->bytes[start + n]) {
                fprintf(stderr, "     range %u differs at %lu of %lu: %u, not %u\n", i, n, length,
                        (uint8_t)shown[n], model->bytes[start + n]);
                break;
            }
        }
        return false;
    }
    return true;
}

/* The file is the model. */
static bool model_synced(struct model *model)
{
    static uint8_t bytes[MODEL_MAX + 1];
    struct fuse_fsync_in in = {.fh = model->fh};
    if (guest_do(&model->guest, FUSE_FSYNC, model->node, in) != 0)
        return false;
    int fd = open(guest_path(&model->guest, "f"), O_RDONLY);
    ssize_t length = pread(fd, bytes, sizeof(bytes), 0);
    close(fd);
    return length == (ssize_t)model->size && memcmp(bytes, model->bytes, model->size) == 0;
}

static bool model_map(struct model *model)
{
    unsigned block = pick(model, 3), place = pick(model, 8);
    bool write = pick(model, 2);
    for (unsigned i = 0; i < 3; i++) {
        if (model->place[i] == (int)place && i != block)
            return true; /* Linux would not */
    }
    if (model->place[block] >= 0 && model->place[block] != (int)place)
        return true;
    model->place[block] = (int)place;
    model->stores[block] |= write;
    return setup(&model->guest, model->node, block * MIB2, place * MIB2, write) == 0;
}

static bool model_unmap(struct model *model)
{
    unsigned block = pick(model, 3);
    if (model->place[block] < 0)
        return true;
    front.frozen = false;
    int error = removal(&model->guest, model->node, (uint64_t)model->place[block] * MIB2);
    front.frozen = true;
    model->place[block] = -1;
    model->stores[block] = false;
    return error == 0;
}

/* A place for up to 10,000 bytes, mostly around the end of the file. */
static uint64_t model_place(struct model *model, size_t *ret_length)
{
    *ret_length = 1 + pick(model, pick(model, 4) ? 300 : 10000);
    uint64_t limit = MODEL_MAX - *ret_length;
    uint64_t offset =
        pick(model, 3) ? model->size + pick(model, 5000) - 4000 : pick(model, MODEL_MAX);
    return offset > limit ? pick(model, (unsigned)limit) : offset;
}

static bool model_request(struct model *model)
{
    static uint8_t data[10000];
    size_t length;
    uint64_t offset = model_place(model, &length);
    bool append = pick(model, 3) == 0 && model->size + length <= MODEL_MAX;
    for (size_t i = 0; i < length; i++)
        data[i] = (uint8_t)pick(model, 256);
    int put = guest_write(&model->guest, model->node, model->fh, offset, data, length,
                          append ? O_APPEND : 0, 0);
    model_write(model, append ? model->size : offset, data, length);
    return put == (int)length;
}

static bool model_store(struct model *model)
{
    size_t length;
    uint64_t offset = model_place(model, &length);
    for (size_t i = 0; i < length && offset + i < model->size; i++) {
        unsigned block = (unsigned)((offset + i) / MIB2);
        if (model->place[block] < 0 || !model->stores[block])
            continue;
        uint8_t byte = (uint8_t)pick(model, 256);
        front.window[(uint64_t)model->place[block] * MIB2 + (offset + i) % MIB2] = (char)byte;
        model->bytes[offset + i] = byte;
    }
    return true;
}

/* By the host, told to the guest by GETATTR. */
static bool model_host(struct model *model)
{
    static uint8_t data[10000];
    size_t length;
    uint64_t offset = model_place(model, &length);
    if (!model_synced(model))
        return false;
    for (size_t i = 0; i < length; i++)
        data[i] = (uint8_t)pick(model, 256);
    int fd = open(guest_path(&model->guest, "f"), O_WRONLY);
    ssize_t put = pwrite(fd, data, length, (off_t)offset);
    close(fd);
    model_write(model, offset, data, length);
    return put == (ssize_t)length && getattr(&model->guest, model->node) == 0;
}

static bool model_resize(struct model *model)
{
    uint64_t size =
        pick(model, 3) ? model->size + pick(model, 20000) - 10000 : pick(model, MODEL_MAX);
    if (size > MODEL_MAX)
        size = pick(model, 3) * PAGE;
    if (size > model->size)
        memset(model->bytes + model->size, 0, size - model->size);
    model->size = size;
    return set_size(&model->guest, model->node, size) == 0;
}

static bool model_step(struct model *model)
{
    switch (pick(model, 12)) {
    case 0:
    case 1:
        return model_map(model);
    case 2:
        return model_unmap(model);
    case 3:
    case 4:
        return model_request(model);
    case 5:
    case 6:
    case 7:
        return model_store(model);
    case 8:
        return model_host(model);
    case 9:
        return model_resize(model);
    case 10:
        return model_synced(model);
    default:
        return getattr(&model->guest, model->node) == 0;
    }
}

static void anything(bool exact, unsigned seed)
{
    static struct model model;
    const char *scale = getenv("VIOFSD_TEST_SCALE");
    unsigned steps = scale && strcmp(scale, "full") == 0 ? 1000000 : 5000;
    model = (struct model){.place = {-1, -1, -1}, .random = seed};
    begin(&model.guest, exact);
    guest_host_file(&model.guest, "f", "");
    model.node = guest_lookup(&model.guest, "f");
    CHECK_EQ(guest_open(&model.guest, model.node, O_RDWR, &model.fh), 0);
    front.frozen = exact;
    for (unsigned i = 0; i < steps; i++) {
        unsigned before = model.random;
        if (!model_step(&model) || !model_seen(&model) || front.violations) {
            model.random = before;
            fprintf(stderr, "     seed %u, step %u, kind %u, size %lu\n", seed, i, pick(&model, 12),
                    model.size);
            CHECK(false);
        }
    }
    CHECK(model_synced(&model));
    CHECK_EQ(end(&model.guest), 0);
}

static void anything_exactly(void)
{
    unsigned seed = (unsigned)time(NULL);
    printf("     seed %u\n", seed);
    anything(true, seed);
}

static void anything_loosely(void)
{
    unsigned seed = (unsigned)time(NULL) + 1;
    printf("     seed %u\n", seed);
    anything(false, seed);
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
    RUN(anything_exactly);
    RUN(anything_loosely);
    return test_result();
}
